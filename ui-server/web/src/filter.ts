// The filter line: words as the CLI has them, "verdict=DROPPED not from-pod=shop/ port=443", to Hubble's FlowFilters.
//
// Words of one name are alternatives, different names must all hold, as with the CLI's flags. A filter's fields are
// joined by "and", so a word about either side ("pod=") becomes two filters, and words multiply.
import { range_flags, type Range } from "./time_range";
import { type Flow, type FlowFilter, protocol_of } from "./flow";

export interface Term {
	name: string;
	value: string;
	not: boolean;
}

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
		alternatives: plain("drop_reason_desc", upper),
		help: "POLICY_DENIED, …",
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
	for (const word of line.split(/\s+/).filter(Boolean)) {
		if (word.toLowerCase() === "not" && !not) {
			not = true;
			continue;
		}
		const at = word.indexOf("=");
		const name = at < 0 ? "" : word.slice(0, at).toLowerCase();
		const value = at < 0 ? word : word.slice(at + 1);
		if (at >= 0 && !words[name]) return { ok: false, reason: `“${name}=” is no filter` };
		if (!value) return { ok: false, reason: `“${name}=” needs a value` };
		if (name.endsWith("identity") && !/^\d{1,10}$/.test(value))
			return { ok: false, reason: `${name}=${value}: expected a number` };
		terms.push(at < 0 ? { ...guess(value), not } : { name, value, not });
		not = false;
	}
	if (not) return { ok: false, reason: "“not” needs a filter after it" };
	return { ok: true, terms };
}

// "shop/" and "/web" are "shop/web"; null if they are not a namespace and a name in any namespace.
function join_pods(a: string[], b: string[]): string[] | null {
	const [spaces, names] = a.every((v) => v.endsWith("/")) ? [a, b] : [b, a];
	if (!spaces.every((v) => v.endsWith("/")) || !names.every((v) => v.startsWith("/"))) return null;
	return spaces.flatMap((space) => names.map((name) => space.slice(0, -1) + name));
}

// Both at once: null if they ask for the same field in two ways, which a FlowFilter cannot say.
function join(a: FlowFilter, b: FlowFilter): FlowFilter | null {
	const both = { ...a, ...b };
	for (const field of Object.keys(b) as (keyof FlowFilter)[]) {
		if (!(field in a)) continue;
		if (field !== "source_pod" && field !== "destination_pod") return null;
		const pods = join_pods(a[field] ?? [], b[field] ?? []);
		if (!pods) return null;
		both[field] = pods;
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

const MOST = 64; // filters the server takes in one list

export function filters_of(terms: Term[]): Filters {
	const by_name = new Map<string, string[]>();
	for (const term of terms.filter((t) => !t.not))
		by_name.set(term.name, [...(by_name.get(term.name) ?? []), term.value]);
	let allow: FlowFilter[] = by_name.size ? [{}] : [];
	for (const [name, values] of by_name) {
		const next: FlowFilter[] = [];
		for (const have of allow)
			for (const more of alternatives_of(name, values)) {
				const both = join(have, more);
				if (!both)
					return { ok: false, reason: `${name}= asks again for what another filter asks for` };
				next.push(both);
			}
		allow = next;
	}
	const deny = terms.filter((t) => t.not).flatMap((t) => words[t.name]!.alternatives(t.value));
	if (allow.length > MOST || deny.length > MOST)
		return { ok: false, reason: "too many filters at once" };
	return { ok: true, allow, deny };
}

export function line_of(terms: Term[]): string {
	return terms.map((t) => `${t.not ? "not " : ""}${t.name}=${t.value}`).join(" ");
}

// @line with all its @name= words replaced by one for each of @values.
export function with_values(line: string, name: string, values: string[]): string {
	const parsed = parse_line(line);
	const rest = parsed.ok ? parsed.terms.filter((t) => t.name !== name || t.not) : [];
	return line_of([...rest, ...values.map((value) => ({ name, value, not: false }))]);
}

// @line about the flows that @terms are about: what it asked of the same side before, or by the same name, is replaced, and
// so is what it asked of either side if it cannot be asked together with them.
export function narrowed(line: string, terms: string[]): string {
	const parsed = parse_line(line);
	const about = (name: string) => /^(from|to)-/.exec(name)?.[1] ?? name;
	const asked = new Set(terms.map((t) => about(t.slice(0, t.indexOf("=")))));
	const kept = parsed.ok ? parsed.terms.filter((t) => t.not || !asked.has(about(t.name))) : [];
	const sides = kept.filter((t) => t.not || !words[`from-${t.name}`]);
	const lines = [kept, sides].map((list) => [line_of(list), ...terms].filter(Boolean).join(" "));
	const can_be = (text: string) => {
		const all = parse_line(text);
		return all.ok && filters_of(all.terms).ok;
	};
	return lines.find(can_be) ?? lines[1]!;
}

export function values_of(line: string, name: string): string[] {
	const parsed = parse_line(line);
	return parsed.ok ? parsed.terms.filter((t) => t.name === name && !t.not).map((t) => t.value) : [];
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

export function command_of(line: string, server: string, range: Range | null = null): string {
	const parsed = parse_line(line);
	const terms = parsed.ok ? parsed.terms : [];
	const flags = terms.map(
		(t) => `${t.not ? " --not" : ""} --${words[t.name]!.flag} ${quoted(t.value)}`,
	);
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
