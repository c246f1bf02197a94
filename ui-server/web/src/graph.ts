// From cards and edges as the server counts them to what is drawn: one line for each row of a card that another asks, and
// for each outcome; one for all ports that have no row. Groups are folded where the map is large.
import type { Ways } from "./filter";
import { count_text, type Outcome, visible } from "./flow";
import type { Card, Change, Edge } from "./drawn";

export const FOLD_FROM = 150; // cards
export const PORTS_SHOWN = 4; // rows of a card
export const NO_ROW = ""; // of ports beyond these, and of all ports of a folded group

export interface Node {
	key: string; // stable while the page is open, and across reconnects
	card: Card | null; // null: a folded group
	cards: Card[]; // it alone, or all of the group
	name: string;
	cluster: string; // "" where there is but one
	kind: string; // Deployment, pod, DNS name, …
	group: string; // "" outside of all groups
	folded: number; // cards in a folded group
	ports: string[]; // served, most used first
	rows: number; // of them that are shown, at most
	dropped: number;
	own: Edge[]; // to itself, or within the group: there may be no line for these
	change: "new" | "gone" | ""; // while two ranges are compared
}

export interface Line {
	key: string;
	from: string;
	to: string;
	outcome: Outcome;
	count: number;
	row: string; // where it ends: a port, or NO_ROW
	port: string; // the same, of NO_ROW the most used
	edges: Edge[]; // all that end there, whatever their outcome
	change: Change | null; // null: nothing is compared
	delta: number; // of drops, to those before
}

export interface Graph {
	nodes: Node[];
	lines: Line[];
	groups: string[];
	folds: boolean;
}

const kinds: Record<Card["kind"], string> = {
	workload: "workload",
	pod: "pod",
	reserved: "",
	identity: "identity",
	name: "DNS name",
	cidr: "CIDR",
	address: "address",
	rest: "",
	nowhere: "",
	local: "",
};

export function card_name(card: Card): string {
	if (card.kind === "rest") return "other addresses";
	if (card.kind === "nowhere") return "no address";
	return visible(card.name ?? "");
}
export function card_kind(card: Card): string {
	if (card.kind === "local") return `${card.count} ${card.count === 1 ? "address" : "addresses"}`;
	return card.workload || kinds[card.kind];
}
export function card_key(card: Card): string {
	return [card.kind, card.cluster, card.namespace, card.workload, card.name, card.identity]
		.map((part) => part ?? "")
		.join("|");
}
// As details and table name it.
export function name_of(node: Node): string {
	return node.group ? `${node.group}/${node.name}` : node.name;
}

// What stands behind a folded group.
export function folded_text({ folded: n, name }: Node): string {
	const one = name === OUTSIDE ? "peer" : "workload";
	return `${count_text(n)} ${n === 1 ? one : `${one}s`}`;
}
export function is_outside(card: Card): boolean {
	return card.kind !== "workload" && card.kind !== "pod" && card.kind !== "identity";
}

export function port_text(edge: Edge): string {
	return edge.port ? `${edge.port}/${edge.protocol}` : edge.protocol;
}
export function total(edge: Edge): number {
	return (edge.forwarded ?? 0) + (edge.dropped ?? 0) + (edge.audited ?? 0) + (edge.unknown ?? 0);
}

// Clusters are named only where there is more than one.
function cluster_namer(cards: Card[]): (card: Card) => string {
	const clusters = new Set(cards.filter((c) => c.namespace).map((c) => c.cluster ?? ""));
	return (card) => (clusters.size > 1 ? (card.cluster ?? "") : "");
}

function group_name(card: Card, cluster: string): string {
	if (is_outside(card) || !card.namespace) return "";
	return visible(cluster ? `${cluster}/${card.namespace}` : card.namespace);
}

export const OUTSIDE = "outside"; // the group of all who are in none

// Of a folded group.
export const group_key = (group: string) => `group|${group}`;

export function graph_of(cards: Card[], edges: Edge[], unfolded: string[]): Graph {
	const cluster_of = cluster_namer(cards);
	const folds = cards.length >= FOLD_FROM;
	const open = new Set(unfolded);
	const nodes = new Map<string, Node>();
	const by_card: string[] = [];

	for (const card of cards) {
		const cluster = cluster_of(card);
		const group = group_name(card, cluster);
		const fold = folds && !open.has(group || OUTSIDE);
		const key = fold ? group_key(group || OUTSIDE) : card_key(card);
		by_card[card.id] = key;
		const known = nodes.get(key);
		if (known) {
			known.folded += fold ? 1 : 0;
			known.cards.push(card);
			continue;
		}
		nodes.set(key, {
			key,
			card: fold ? null : card,
			cards: [card],
			name: fold ? group || OUTSIDE : card_name(card),
			cluster,
			kind: fold ? "" : card_kind(card),
			group: fold ? "" : group,
			folded: fold ? 1 : 0,
			ports: [],
			rows: PORTS_SHOWN,
			dropped: 0,
			own: [],
			change: "",
		});
	}
	const lines = lines_of(edges, by_card, nodes);
	mark_changes(lines, nodes);
	return {
		nodes: [...nodes.values()],
		lines,
		groups: [...new Set([...nodes.values()].map((n) => n.group))].filter(Boolean).sort(),
		folds,
	};
}

// The most used first, by powers of two: rows must not swap places whenever one of them is a flow ahead.
function by_use([a, n]: [string, number], [b, m]: [string, number]): number {
	return Math.floor(Math.log2(m)) - Math.floor(Math.log2(n)) || parseInt(a) - parseInt(b) || (a < b ? -1 : 1);
}

function lines_of(edges: Edge[], by_card: string[], nodes: Map<string, Node>): Line[] {
	const pairs = new Map<string, Edge[]>();
	const served = new Map<string, Map<string, number>>();

	for (const edge of edges) {
		const from = by_card[edge.from];
		const to = by_card[edge.to];
		if (!from || !to) continue;
		const pair = `${from}>${to}`;
		const list = pairs.get(pair);
		if (list) list.push(edge);
		else pairs.set(pair, [edge]);
		if (from === to) nodes.get(to)!.own.push(edge);
		const ports = served.get(to) ?? new Map<string, number>();
		ports.set(port_text(edge), (ports.get(port_text(edge)) ?? 0) + total(edge));
		served.set(to, ports);
		if (edge.change !== "gone") nodes.get(to)!.dropped += edge.dropped ?? 0;
	}
	for (const [key, ports] of served)
		nodes.get(key)!.ports = [...ports].sort(by_use).map(([port]) => port);
	return [...pairs.entries()].flatMap(([pair, list]) => {
		const to = nodes.get(by_card[list[0]!.to]!)!;
		if (!to.card || (list.length === 1 && to.ports.length <= PORTS_SHOWN))
			return lines_between(pair, to.card ? port_text(list[0]!) : NO_ROW, list, by_card);
		const has_row = new Set(to.ports.slice(0, PORTS_SHOWN));
		const rows = new Map<string, Edge[]>();
		for (const edge of list) {
			const port = port_text(edge);
			const row = has_row.has(port) ? port : NO_ROW;
			const others = rows.get(row);
			if (others) others.push(edge);
			else rows.set(row, [edge]);
		}
		return [...rows].flatMap(([row, edges]) => lines_between(pair, row, edges, by_card));
	});
}

// Of all that is between two cards; the lines are of one pair, or of many.
export function edges_of(lines: Line[]): Edge[] {
	return [...new Set(lines.flatMap((line) => line.edges))];
}

export function is_of_pair(line: Line, from: string, to: string): boolean {
	return line.from === from && line.to === to;
}

function lines_between(pair: string, row: string, edges: Edge[], by_card: string[]): Line[] {
	const from = by_card[edges[0]!.from]!;
	const to = by_card[edges[0]!.to]!;
	const outcomes: Outcome[] = ["forwarded", "dropped", "audited", "unknown"];

	if (from === to && edges.every((e) => !e.dropped && !e.audited)) return []; // talks to itself, or within a folded group
	const sum = (list: Edge[], outcome: Outcome) => list.reduce((n, e) => n + (e[outcome] ?? 0), 0);
	return outcomes.flatMap((outcome): Line[] => {
		const having = edges
			.filter((e) => e[outcome])
			.sort((a, b) => (b[outcome] ?? 0) - (a[outcome] ?? 0));
		const living = having.filter((e) => e.change !== "gone");
		const shown = living.length ? living : having;
		const count = sum(shown, outcome);
		if (!count) return [];
		return [
			{
				key: `${pair}|${row}:${outcome}`,
				...{ from, to, outcome, count, row, edges },
				port: port_text(shown[0]!),
				change: line_change(shown, outcome),
				delta: outcome === "dropped" ? shown.reduce((n, e) => n + (e.delta ?? 0), 0) : 0,
			},
		];
	});
}

const drop_changes: Change[] = ["now dropped", "new", "more drops", "fewer drops"];
const other_changes: Change[] = ["new", "no longer dropped"];

// A line is all its edges: the most telling of them counts.
function line_change(edges: Edge[], outcome: Outcome): Change | null {
	if (!edges[0]?.change) return null;
	if (edges.every((e) => e.change === "gone")) return "gone";
	const telling = outcome === "dropped" ? drop_changes : other_changes;
	return telling.find((c) => edges.some((e) => e.change === c)) ?? "same";
}

// A card all of whose lines are new, or gone, is so itself.
function mark_changes(lines: Line[], nodes: Map<string, Node>): void {
	const seen = new Map<string, Set<string>>();
	for (const line of lines) {
		if (!line.change) return;
		for (const key of [line.from, line.to])
			for (const edge of line.edges)
				seen.set(key, (seen.get(key) ?? new Set<string>()).add(edge.change ?? ""));
	}
	for (const [key, changes] of seen) {
		const [only] = changes;
		if (changes.size === 1 && (only === "new" || only === "gone")) nodes.get(key)!.change = only;
	}
}

export interface Summary {
	forwarded: number;
	dropped: number;
	audited: number;
	bytes: number;
	first: number;
	last: number;
	first_dropped: number; // ms since the epoch; 0: not known
	last_dropped: number;
	unnamed: number; // drops without a reason that is known
	reasons: [string, number][];
	deciders: { policy: string; on: string }[];
}

export function summary_of(edges: Edge[]): Summary {
	const reasons = new Map<string, number>();
	const deciders = new Map<string, string>();
	const sum: Summary = {
		forwarded: 0,
		dropped: 0,
		audited: 0,
		bytes: 0,
		first: 0,
		last: 0,
		first_dropped: 0,
		last_dropped: 0,
		unnamed: 0,
		reasons: [],
		deciders: [],
	};
	for (const e of edges) {
		sum.forwarded += e.forwarded ?? 0;
		sum.dropped += e.dropped ?? 0;
		sum.audited += e.audited ?? 0;
		sum.bytes += e.bytes ?? 0;
		sum.first = Math.min(sum.first || Infinity, e.first ?? Infinity);
		sum.last = Math.max(sum.last, e.last ?? 0);
		sum.first_dropped = Math.min(sum.first_dropped || Infinity, e.first_dropped ?? Infinity);
		sum.last_dropped = Math.max(sum.last_dropped, e.last_dropped ?? 0);
		for (const [reason, n] of Object.entries(e.reasons ?? {}))
			reasons.set(reason, (reasons.get(reason) ?? 0) + n);
		if (e.denied_by) deciders.set(e.denied_by, e.denied_on ?? "");
	}
	for (const when of ["first", "first_dropped"] as const) if (sum[when] === Infinity) sum[when] = 0;
	sum.unnamed = sum.dropped - [...reasons.values()].reduce((n, of) => n + of, 0);
	sum.reasons = [...reasons].sort((a, b) => b[1] - a[1]);
	sum.deciders = [...deciders].map(([policy, on]) => ({ policy, on }));
	return sum;
}

// Terms of the filter line for one side; none where there are no words for it.
export function node_terms(node: Node | undefined, side: "from" | "to"): string[] {
	const terms = node?.card ? card_terms(node.card, side) : [];
	return node?.cluster && terms.length ? worded([`${side}-cluster=${node.cluster}`, ...terms]) : terms;
}

// What has a space in it would be two words of the line, about something else.
function worded(terms: string[]): string[] {
	return terms.some((term) => /\s/.test(term)) ? [] : terms;
}

function card_terms(card: Card, side: "from" | "to"): string[] {
	return worded(card_values(card, side));
}

function card_values(card: Card, side: "from" | "to"): string[] {
	const space = card.namespace ? [`${side}-namespace=${card.namespace}`] : [];
	switch (card.kind) {
		case "workload":
			return [...space, `${side}-workload=${card.workload ? `${card.workload}/` : ""}${card.name}`];
		case "pod":
			return [`${side}-pod=${card.namespace ?? ""}/${card.name}`];
		case "reserved":
			// Of the record only its name is known.
			return [card.identity ? `${side}-identity=${card.identity}` : `${side}-label=reserved:${card.name}`];
		case "identity":
			return [`${side}-identity=${card.identity}`];
		case "name":
			return [`${side}-dns=${card.name}`];
		case "address":
		case "cidr":
			return [`${side}-ip=${card.name}`];
		default:
			return [];
	}
}

const WAYS_MOST = 40; // cards of a group that has no word of its own

// Terms for all flows of one side, as alternatives; null where there are no words for some of them.
export function node_ways(node: Node | undefined, side: "from" | "to"): Ways | null {
	if (!node) return null;
	if (node.card) {
		const terms = node_terms(node, side);
		return terms.length ? [terms] : null;
	}
	const cluster = node.cluster ? [`${side}-cluster=${node.cluster}`] : [];
	const [first] = node.cards;
	if (node.name !== OUTSIDE) {
		const terms = worded([...cluster, `${side}-namespace=${first!.namespace}`]);
		return terms.length ? [terms] : null;
	}
	if (node.cards.length > WAYS_MOST) return null;
	// Words of one name are alternatives.
	const ways = new Map<string, string[]>();
	for (const card of node.cards) {
		const terms = card_terms(card, side);
		if (!terms.length) return null;
		const name = terms.length > 1 ? terms.join(" ") : terms[0]!.slice(0, terms[0]!.indexOf("="));
		ways.set(name, [...(ways.get(name) ?? []), ...terms]);
	}
	return [...ways.values()];
}

// All flows of a card or group, whichever side it is.
export function ways_of_node(node: Node | undefined): Ways | null {
	const [from, to] = [node_ways(node, "from"), node_ways(node, "to")];
	return from && to && [...from, ...to];
}

const PORTS_ASKED = 8;

// All flows of @edges, which are from one to the other: requests, and answers, which come from the port that was asked.
export function ways_between(from: Node | undefined, to: Node | undefined, edges: Edge[]): Ways | null {
	const both = (a: Ways | null, b: Ways | null, ...more: string[]) =>
		a && b && a.flatMap((x) => b.map((y) => [...x, ...y, ...more]));
	const there = [node_ways(from, "from"), node_ways(to, "to")] as const;
	const back = [node_ways(to, "from"), node_ways(from, "to")] as const;
	const ports = [...new Set(edges.map((e) => e.port ?? 0))].sort((a, b) => a - b);
	const asks_ports = ports.length <= PORTS_ASKED && ports.every(Boolean);
	const of = (side: "from" | "to") => (asks_ports ? ports.map((port) => `${side}-port=${port}`) : []);
	const protocols = [...new Set(edges.map((e) => e.protocol.toLowerCase()))];
	const protocol = protocols.length === 1 && is_asked_for(protocols[0]!) ? [`protocol=${protocols[0]}`] : [];
	const [requests, answers] = [
		both(...there, ...of("to"), ...protocol),
		both(...back, ...of("from"), ...protocol),
	];
	return requests && answers && [...requests, ...answers];
}

function is_asked_for(protocol: string): boolean {
	return ["tcp", "udp", "sctp", "icmpv4", "icmpv6"].includes(protocol);
}

const verdicts_of: Record<Outcome, string[]> = {
	forwarded: ["FORWARDED", "REDIRECTED", "TRACED", "TRANSLATED"],
	dropped: ["DROPPED", "ERROR"],
	audited: ["AUDIT"],
	unknown: [],
};

// Terms for what became of flows.
export function outcome_terms(outcome: Outcome): string[] {
	return verdicts_of[outcome].map((verdict) => `verdict=${verdict}`);
}
