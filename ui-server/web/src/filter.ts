// The filter line: words as the CLI has them, "verdict=DROPPED not from-pod=shop/ port=443", to Hubble's FlowFilters.
//
// Words of one name are alternatives, different names must all hold, as with the CLI's flags. A filter's fields are
// joined by "and", so a word about either side ("pod=") becomes two filters, and words multiply. "or" stands between
// alternatives that need several words each: who asks and who is asked may change sides, as in an answer.
import { nearest } from "./nearest";
import { range_flags, type Range } from "./time_range";
import { type Flow, type FlowFilter, is_reason_number, protocol_of } from "./flow";

export interface Term {
	name: string;
	value: string;
	not: boolean;
	way?: number; // which of the alternatives between which "or" stands; left out: the first
}

// Words of the filter line: any of the lists, all of one list.
export type Ways = string[][];

export type Parsed = { ok: true; terms: Term[] } | { ok: false; reason: string };

export type Filters =
	{ ok: true; allow: FlowFilter[]; deny: FlowFilter[] } | { ok: false; reason: string };

// Each name yields the alternatives that one value stands for.
type Alternatives = (value: string) => FlowFilter[];

function either(make: (side: "source" | "destination") => FlowFilter): FlowFilter[] {
	return [make("source"), make("destination")];
}
function on(field: string): Alternatives {
	return (value) => either((side) => ({ [`${side}_${field}`]: [value] }));
}
function from(field: string): Alternatives {
	return (value) => [{ [`source_${field}`]: [value] }];
}
function to(field: string): Alternatives {
	return (value) => [{ [`destination_${field}`]: [value] }];
}
function plain(field: keyof FlowFilter, change = (v: string) => v): Alternatives {
	return (value) => [{ [field]: [change(value)] }];
}
function workload(value: string) {
	const [kind, name] = value.includes("/") ? value.split("/", 2) : [undefined, value];
	return kind ? { name: name ?? "", kind } : { name: name ?? "" };
}

interface Word {
	flag: string; // of `tycho observe`
	alternatives: Alternatives;
	help: string;
}

const upper = (v: string) => v.toUpperCase();

export const words: Record<string, Word> = {
	cluster: { flag: "cluster", alternatives: on("cluster_name"), help: "either side's cluster" },
	"from-cluster": { flag: "from-cluster", alternatives: from("cluster_name"), help: "who asked" },
	"to-cluster": { flag: "to-cluster", alternatives: to("cluster_name"), help: "who was asked" },
	verdict: {
		flag: "verdict",
		alternatives: plain("verdict", upper),
		help: "FORWARDED, DROPPED, AUDIT, …",
	},
	namespace: {
		flag: "namespace",
		alternatives: (v) => either((side) => ({ [`${side}_pod`]: [`${v}/`] })),
		help: "either side's namespace",
	},
	"from-namespace": {
		flag: "from-namespace",
		alternatives: (v) => [{ source_pod: [`${v}/`] }],
		help: "who asked",
	},
	"to-namespace": {
		flag: "to-namespace",
		alternatives: (v) => [{ destination_pod: [`${v}/`] }],
		help: "who was asked",
	},
	pod: { flag: "pod", alternatives: on("pod"), help: "namespace/prefix; /prefix in any namespace" },
	"from-pod": { flag: "from-pod", alternatives: from("pod"), help: "namespace/prefix" },
	"to-pod": { flag: "to-pod", alternatives: to("pod"), help: "namespace/prefix" },
	workload: {
		flag: "workload",
		alternatives: (v) => either((side) => ({ [`${side}_workload`]: [workload(v)] })),
		help: "name, or Kind/name",
	},
	"from-workload": {
		flag: "from-workload",
		alternatives: (v) => [{ source_workload: [workload(v)] }],
		help: "name, or Kind/name",
	},
	"to-workload": {
		flag: "to-workload",
		alternatives: (v) => [{ destination_workload: [workload(v)] }],
		help: "name, or Kind/name",
	},
	ip: { flag: "ip", alternatives: on("ip"), help: "address or CIDR, either side" },
	"from-ip": { flag: "from-ip", alternatives: from("ip"), help: "address or CIDR" },
	"to-ip": { flag: "to-ip", alternatives: to("ip"), help: "address or CIDR" },
	dns: { flag: "fqdn", alternatives: on("fqdn"), help: "*.example.com, either side" },
	"from-dns": { flag: "from-fqdn", alternatives: from("fqdn"), help: "*.example.com" },
	"to-dns": { flag: "to-fqdn", alternatives: to("fqdn"), help: "*.example.com" },
	port: { flag: "port", alternatives: on("port"), help: "either side's" },
	"from-port": { flag: "from-port", alternatives: from("port"), help: "1 to 65535" },
	"to-port": { flag: "to-port", alternatives: to("port"), help: "1 to 65535" },
	protocol: {
		flag: "protocol",
		alternatives: plain("protocol"),
		help: "tcp, udp, icmp, http, dns, …",
	},
	identity: {
		flag: "identity",
		alternatives: (v) => either((side) => ({ [`${side}_identity`]: [Number(v)] })),
		help: "a number, either side",
	},
	"from-identity": {
		flag: "from-identity",
		alternatives: (v) => [{ source_identity: [Number(v)] }],
		help: "a number",
	},
	"to-identity": {
		flag: "to-identity",
		alternatives: (v) => [{ destination_identity: [Number(v)] }],
		help: "a number",
	},
	label: { flag: "label", alternatives: on("label"), help: "a selector, such as k8s:app=web" },
	"from-label": { flag: "from-label", alternatives: from("label"), help: "a selector" },
	"to-label": { flag: "to-label", alternatives: to("label"), help: "a selector" },
	reason: {
		flag: "drop-reason-desc",
		alternatives: (v) => [{ drop_reason_desc: [is_reason_number(v) ? Number(v) : upper(v)] }],
		help: "POLICY_DENIED, …, or a number",
	},
	node: { flag: "node-name", alternatives: plain("node_name"), help: "cluster/node, globs" },
	status: { flag: "http-status", alternatives: plain("http_status_code"), help: "404, 5+" },
};

const verdicts = new Set([
	"FORWARDED",
	"DROPPED",
	"ERROR",
	"AUDIT",
	"REDIRECTED",
	"TRACED",
	"TRANSLATED",
]);
const protocols = new Set([
	"tcp",
	"udp",
	"icmp",
	"icmpv4",
	"icmpv6",
	"sctp",
	"http",
	"dns",
	"kafka",
	"vrrp",
	"igmp",
]);

// A word without a name: whatever it looks like.
function guess(value: string): Omit<Term, "not"> {
	if (verdicts.has(upper(value))) return { name: "verdict", value: upper(value) };
	if (protocols.has(value.toLowerCase())) return { name: "protocol", value: value.toLowerCase() };
	if (/^\d{1,5}$/.test(value)) return { name: "port", value };
	if (/^\d+(\.\d+){3}(\/\d+)?$/.test(value) || /^[0-9a-f:]*:[0-9a-f:]*(\/\d+)?$/i.test(value))
		return { name: "ip", value };
	if (/^[-a-z0-9*]+(\.[-a-z0-9*]+)+$/i.test(value)) return { name: "dns", value };
	return { name: "pod", value: value.includes("/") ? value : `/${value}` };
}

export function parse_line(line: string): Parsed {
	const terms: Term[] = [];
	let not = false;
	let way = 0;
	const is_begun = () => terms.some((t) => (t.way ?? 0) === way);
	for (const word of line.split(/\s+/).filter(Boolean)) {
		if (word.toLowerCase() === "or") {
			if (not || !is_begun()) return { ok: false, reason: "“or” needs a filter on either side" };
			way++;
			continue;
		}
		if (word.toLowerCase() === "not" && !not) {
			not = true;
			continue;
		}
		const at = word.indexOf("=");
		const name = at < 0 ? "" : word.slice(0, at).toLowerCase();
		const value = at < 0 ? word : word.slice(at + 1);
		if (at >= 0 && !words[name]) return { ok: false, reason: no_filter(name) };
		if (!value) return { ok: false, reason: `“${name}=” needs a value` };
		if (name.endsWith("identity") && !/^\d{1,10}$/.test(value))
			return { ok: false, reason: `${name}=${value}: expected a number` };
		terms.push({ ...(at < 0 ? guess(value) : { name, value }), not, ...(way ? { way } : {}) });
		not = false;
	}
	if (not) return { ok: false, reason: "“not” needs a filter after it" };
	if (way && !is_begun()) return { ok: false, reason: "“or” needs a filter on either side" };
	return { ok: true, terms };
}

function no_filter(name: string): string {
	const meant = nearest(name, Object.keys(words));
	return `“${name}=” is no filter${meant ? `; did you mean “${meant}=”?` : ""}`;
}

function ways_of(terms: Term[]): Term[][] {
	const ways = Array.from({ length: 1 + Math.max(0, ...terms.map((t) => t.way ?? 0)) }, (): Term[] => []);
	for (const term of terms) ways[term.way ?? 0]!.push(term);
	return ways;
}

// Pods that are meant by both, as "namespace/prefix"; null: by none. What has no slash is in the namespace "default".
function join_pod(a: string, b: string): string | null {
	const [[space_a, name_a], [space_b, name_b]] = [a, b].map((pod) => {
		const at = pod.indexOf("/");
		return at < 0 ? ["default", pod] : [pod.slice(0, at), pod.slice(at + 1)];
	}) as [[string, string], [string, string]];
	if (space_a && space_b && space_a !== space_b) return null;
	if (!name_a.startsWith(name_b) && !name_b.startsWith(name_a)) return null;
	return `${space_a || space_b}/${name_a.length > name_b.length ? name_a : name_b}`;
}

// The one of two workloads that says more; null: they are not the same.
function join_workload(a: { name: string; kind?: string }, b: { name: string; kind?: string }) {
	const is_same = a.name === b.name && (!a.kind || !b.kind || a.kind === b.kind);
	return is_same ? (a.kind ? a : b) : null;
}

// Values of one field that are meant by both lists; null: that cannot be said of them, as of two address ranges.
function in_common(field: keyof FlowFilter, a: unknown[], b: unknown[]): unknown[] | null {
	const pairs = <T>(join: (x: T, y: T) => unknown) =>
		(a as T[]).flatMap((x) => (b as T[]).flatMap((y) => join(x, y) ?? []));
	if (field.endsWith("_pod")) return [...new Set(pairs(join_pod))];
	if (field.endsWith("_workload")) return pairs(join_workload);
	const is_range = [...a, ...b].some((v) => /[^-\w.:]/.test(String(v)));
	return /_(cluster_name|identity|port|ip)$/.test(field) && !is_range ? a.filter((v) => b.includes(v)) : null;
}

// Both at once. "never": no flow is both. Null: they ask for the same field in two ways, which a FlowFilter cannot say.
function join(a: FlowFilter, b: FlowFilter): FlowFilter | "never" | null {
	const both = { ...a, ...b };
	for (const field of Object.keys(b) as (keyof FlowFilter)[]) {
		if (!(field in a) || JSON.stringify(a[field]) === JSON.stringify(b[field])) continue;
		const values = in_common(field, a[field] ?? [], b[field] ?? []);
		if (!values) return null;
		if (!values.length) return "never";
		Object.assign(both, { [field]: values });
	}
	return both;
}

// Values of one name, and of one field, are alternatives within it.
function alternatives_of(name: string, values: string[]): FlowFilter[] {
	const merged = new Map<string, Record<string, unknown[]>>();
	for (const value of values)
		for (const filter of words[name]!.alternatives(value)) {
			const fields = Object.keys(filter).join();
			const into = merged.get(fields) ?? {};
			for (const [field, list] of Object.entries(filter))
				into[field] = [...(into[field] ?? []), ...list];
			merged.set(fields, into);
		}
	return [...merged.values()] as FlowFilter[];
}

export const FILTERS_MOST = 64; // that the server takes in one list

// Of words that must all hold; none: everything.
function allowed(terms: Term[]): { ok: true; allow: FlowFilter[] } | { ok: false; reason: string } {
	const by_name = new Map<string, string[]>();
	for (const term of terms) by_name.set(term.name, [...(by_name.get(term.name) ?? []), term.value]);
	let allow: FlowFilter[] = by_name.size ? [{}] : [];
	for (const [name, values] of by_name) {
		const next: FlowFilter[] = [];
		for (const have of allow)
			for (const more of alternatives_of(name, values)) {
				const both = join(have, more);
				if (!both)
					return { ok: false, reason: `${name}= asks again for what another filter asks for` };
				if (both !== "never") next.push(both);
			}
		if (!next.length) return { ok: false, reason: `${name}= asks for what another filter rules out` };
		allow = next;
	}
	return { ok: true, allow };
}

export function filters_of(terms: Term[]): Filters {
	const ways = ways_of(terms);
	const nots = ways.map((way) => line_of(way.filter((t) => t.not).map((t) => ({ ...t, way: 0 }))));
	if (nots.some((n) => n !== nots[0]))
		return { ok: false, reason: "what “not” rules out has to be said in each of the alternatives" };
	const all: FlowFilter[][] = [];
	for (const way of ways) {
		const found = allowed(way.filter((t) => !t.not));
		if (!found.ok) return found;
		all.push(found.allow);
	}
	const allow = all.every((list) => list.length) ? all.flat() : [];
	const deny = ways[0]!.filter((t) => t.not).flatMap((t) => words[t.name]!.alternatives(t.value));
	if (allow.length > FILTERS_MOST || deny.length > FILTERS_MOST)
		return { ok: false, reason: "too many filters at once" };
	return { ok: true, allow, deny };
}

export function line_of(terms: Term[]): string {
	return ways_of(terms)
		.map((way) => way.map((t) => `${t.not ? "not " : ""}${t.name}=${t.value}`).join(" "))
		.join(" or ");
}

// @line with all its @name= words, in each of its alternatives, replaced by one for each of @values.
export function with_values(line: string, name: string, values: string[]): string {
	const parsed = parse_line(line);
	const own = values.map((value) => ({ name, value, not: false }));
	const ways = ways_of(parsed.ok ? parsed.terms : []).map((terms) =>
		line_of([...terms.filter((t) => t.name !== name || t.not).map((t) => ({ ...t, way: 0 })), ...own]),
	);
	return ways.includes("") ? "" : [...new Set(ways)].join(" or ");
}

function can_be(line: string): boolean {
	const parsed = parse_line(line);
	return parsed.ok && filters_of(parsed.terms).ok;
}

// Of which a flow has one.
function is_single(name: string, value: string): boolean {
	return /^((from|to)-(cluster|namespace|identity|workload|port)|verdict|reason)$/.test(name) || (/^(from|to)-ip$/.test(name) && !value.includes("/"));
}

interface Narrowed {
	terms: string[];
	kind: "exact" | "replaced" | "never"; // never: no flow is both
}

// One alternative of a line about the flows that @terms are about, too. What cannot be asked together with them, which is by
// the same name or of the same side, is left out then.
function narrowed_once(own: Term[], terms: string[]): Narrowed {
	const parsed = parse_line(terms.join(" "));
	const added = parsed.ok ? parsed.terms : [];
	// Words of one name are alternatives: of these, those that both ask for, unless there are none.
	const apart = new Set(
		added.map((t) => t.name).filter((name) => {
			const mine = values_in(own, name);
			return mine.length && !values_in(added, name).some((v) => mine.includes(v));
		}),
	);
	const both = added.filter((t) => {
		const mine = values_in(own, t.name);
		return !mine.length || apart.has(t.name) || mine.includes(t.value);
	});
	// What is asked of one side need not be asked of either.
	const is_asked = (t: Term) => both.some((b) => b.name === t.name || (b.value === t.value && b.name.endsWith(`-${t.name}`)));
	const about = (name: string) => /^(from|to)-/.exec(name)?.[1] ?? name;
	const sides = new Set(both.map((t) => about(t.name)));
	const kept = own.filter((t) => t.not || !is_asked(t));
	const of_others = kept.filter((t) => t.not || !sides.has(about(t.name)));
	const of_no_side = of_others.filter((t) => t.not || !words[`from-${t.name}`]);
	const lists = [kept, of_others, of_no_side].map((list) =>
		[...list, ...both].map((t) => line_of([{ ...t, way: 0 }])),
	);
	const never = [...apart].some((name) => [...values_in(own, name), ...values_in(added, name)].every((v) => is_single(name, v)));
	const at = lists.findIndex((list) => can_be(list.join(" ")));
	return {
		terms: lists[at < 0 ? 2 : at]!,
		kind: never ? "never" : at === 0 && !apart.size ? "exact" : "replaced",
	};
}

// @line about those of its flows that @ways are about. What cannot be asked together with these is left out.
export function narrowed(line: string, ways: Ways): string {
	const parsed = parse_line(line);
	const all = ways_of(parsed.ok ? parsed.terms : []).flatMap((own) => ways.map((terms) => narrowed_once(own, terms)));
	const possible = all.filter((way) => way.kind !== "never");
	const taken = (possible.length ? possible : all).map((way) => [...new Set(way.terms)]);
	// What is asked with less, too, is asked already.
	const is_more = (a: string[], b: string[]) => a.length > b.length && b.every((term) => a.includes(term));
	const least = taken.filter((a) => !taken.some((b) => is_more(a, b)));
	return [...new Set(least.map((terms) => terms.join(" ")))].join(" or ");
}

export function values_of(line: string, name: string): string[] {
	const parsed = parse_line(line);
	const values = parsed.ok ? parsed.terms.filter((t) => t.name === name && !t.not).map((t) => t.value) : [];
	return [...new Set(values)];
}

// Which namespaces a line is about, as one text to compare.
export function spaces_of(line: string): string {
	const parsed = parse_line(line);
	const terms = parsed.ok ? parsed.terms.filter((t) => /^(from-|to-)?(namespace|cluster)$/.test(t.name)) : [];
	return line_of(terms.sort((a, b) => a.name.localeCompare(b.name) || a.value.localeCompare(b.value)));
}

function quoted(value: string): string {
	return /^[-\w./:=@%+,]+$/.test(value) ? value : `'${value.replaceAll("'", "'\\''")}'`;
}

// Whether the CLI's flags mean what the line does. They have no "or"; two of them about either side are about the same one;
// several that are denied are denied together; of one field there is one; and reasons have names.
function are_flags(terms: Term[]): boolean {
	const names = (not: boolean) => [...new Set(terms.filter((t) => t.not === not).map((t) => t.name))];
	const fields = names(false).flatMap((name) => [
		...new Set(alternatives_of(name, values_in(terms, name)).flatMap((filter) => Object.keys(filter))),
	]);
	const either = names(false).filter((name) => words[`from-${name}`]);
	return (
		ways_of(terms).length === 1 &&
		names(true).length <= 1 &&
		either.length <= 1 &&
		new Set(fields).size === fields.length &&
		!terms.some((t) => t.name === "reason" && is_reason_number(t.value))
	);
}

function values_in(terms: Term[], name: string): string[] {
	return terms.filter((t) => t.name === name && !t.not).map((t) => t.value);
}

export function command_of(line: string, server: string, range: Range | null = null): string {
	const parsed = parse_line(line);
	const terms = parsed.ok ? parsed.terms : [];
	const filters = filters_of(terms);
	const is_raw = filters.ok && !are_flags(terms);
	const raw = (flag: string, list: FlowFilter[]) => list.map((filter) => ` --${flag} ${quoted(JSON.stringify(filter))}`);
	const flags = is_raw
		? [...raw("allowlist", filters.allow), ...raw("denylist", filters.deny)]
		: terms.map((t) => `${t.not ? " --not" : ""} --${words[t.name]!.flag} ${quoted(t.value)}`);
	return `tycho observe --server ${quoted(server)}${range ? range_flags(range) : " --follow"}${flags.join("")}`;
}

// The command that finds this one flow again: by its time, to the nanosecond, its ends and what became of it.
export function flow_command(flow: Flow, server: string): string {
	const flags: [string, string][] = [["server", server]];
	if (flow.time) flags.push(["since", flow.time], ["until", flow.time]);
	for (const [side, end] of [
		["from", "source"],
		["to", "destination"],
	] as const) {
		const { pod_name, namespace } = flow[end] ?? {};
		if (pod_name && namespace) flags.push([`${side}-pod`, `${namespace}/${pod_name}`]);
		else if (flow.IP?.[end]) flags.push([`${side}-ip`, flow.IP[end]]);
	}
	const ports = flow.l4?.TCP ?? flow.l4?.UDP ?? flow.l4?.SCTP;
	const protocol = protocol_of(flow);
	if (protocol) flags.push(["protocol", protocol.toLowerCase()]);
	if (ports?.source_port) flags.push(["from-port", String(ports.source_port)]);
	if (ports?.destination_port) flags.push(["to-port", String(ports.destination_port)]);
	if (typeof flow.verdict === "string" && verdicts.has(flow.verdict))
		flags.push(["verdict", flow.verdict]);
	if (flow.uuid) flags.push(["uuid", flow.uuid]);
	return `tycho observe${flags.map(([flag, value]) => ` --${flag} ${quoted(value)}`).join("")}`;
}

// What may stand at the end of @line, given the namespaces, pods, … that were seen.
export function completions(line: string, seen: Record<string, string[]>): string[] {
	const word = /\S*$/.exec(line)?.[0] ?? "";
	const head = line.slice(0, line.length - word.length);
	const at = word.indexOf("=");
	if (at < 0)
		return Object.keys(words)
			.filter((name) => name.startsWith(word.toLowerCase()))
			.map((name) => `${head}${name}=`);
	const name = word.slice(0, at);
	const value = word.slice(at + 1).toLowerCase();
	const kind = name.replace(/^(from|to)-/, "");
	return (seen[kind] ?? [])
		.filter((v) => v.toLowerCase().includes(value) && v.toLowerCase() !== value)
		.map((v) => `${head}${name}=${v} `);
}

// @ways, each with @terms, too.
export function with_terms(ways: Ways | null, terms: string[]): Ways | null {
	return ways && ways.map((way) => [...way, ...terms]);
}
