// What of the state is shown, and by which names it can be asked for. Pure.
import { columns, who } from "./columns";
import { compare, type Comparison } from "./compare";
import { FILTERS_MOST, filters_of, narrowed, parse_line, type Ways } from "./filter";
import type { Flow, FlowFilter } from "./flow";
import { clusters_of, fold, type Folding, identity_of } from "./fold";
import { card_name, edges_of, folded_text, type Graph, group_key, is_of_pair, name_of, type Node, node_ways, OUTSIDE, outcome_terms, ways_between, ways_of_node } from "./graph";
import { is_between, is_of_card } from "./match";
import { completed } from "./rates";
import type { Selection, State } from "./state";
import type { Pulse, Watch } from "./wire";

// What is drawn: cards and edges as they came, local peers folded; or those of both ranges, once both are here.
export type Drawn = Omit<Comparison, "differences"> & { differences: Comparison["differences"] | null };

export function sides_of(state: State): Drawn {
	const { against, range } = state;
	const folding: Folding = {
		local: state.local,
		past: range !== null,
		clusters: clusters_of(state.cards, against?.cards ?? []),
	};
	const now = fold(state.cards, state.edges, folding);
	if (!against || !range || against.kind !== "here" || state.upstream.kind !== "past")
		return { ...now, differences: null };
	const share = (range.until - range.since) / (against.range.until - against.range.since);
	const before = fold(against.cards, against.edges, folding);
	return compare(before, now, share, (card) => identity_of(card, folding));
}

// Whatever way @name is written, what stands beside it stays on its side (Unicode's FSI and PDI).
const isolated = (name: string) => `\u2068${name}\u2069`;

// What of the map the table is narrowed to.
export function selected_on_map(
	selection: Selection,
	graph: Graph,
): { name: string; has(flow: Flow): boolean } | null {
	const node = (key: string) => graph.nodes.find((n) => n.key === key);
	const name = ({ card, name: group }: Node) => (card ? card_name(card) : group);
	if (selection.kind === "card") {
		const own = node(selection.key);
		return own ? { name: name(own), has: (flow) => own.cards.some((card) => is_of_card(flow, card)) } : null;
	}
	if (selection.kind !== "edge") return null;
	const [from, to] = [node(selection.from), node(selection.to)];
	return from && to
		? {
				name: `${isolated(name(from))} → ${isolated(name(to))}`,
				has: (flow) => is_between(flow, from.cards, to.cards),
			}
		: null;
}

// What stays selected of @selection when @group is unfolded, or folded if not @on: of a folded card its group.
export function selected_after(selection: Selection, graph: Graph, group: string, on: boolean): Selection {
	const own = group_key(group);
	const goes = (key: string) =>
		on ? key === own : graph.nodes.some((n) => n.key === key && n.card && (n.group || OUTSIDE) === group);
	switch (selection.kind) {
		case "card":
			return !goes(selection.key) ? selection : on ? { kind: "nothing" } : { kind: "card", key: own };
		case "edge":
			return goes(selection.from) || goes(selection.to) ? { kind: "nothing" } : selection;
		default:
			return selection;
	}
}

// What is selected, for those who hear it: on the map and in the table nothing else tells them.
export function selected_text(selection: Selection, graph: Graph): string {
	const node = (key: string) => graph.nodes.find((n) => n.key === key);
	const refused = (dropped: boolean) => (dropped ? ", drops" : "");
	switch (selection.kind) {
		case "card": {
			const card = node(selection.key);
			return card ? [name_of(card), card.card ? card.kind : folded_text(card)].filter(Boolean).join(", ") + refused(card.dropped > 0) : "";
		}
		case "edge": {
			const [from, to] = [node(selection.from), node(selection.to)];
			const lines = graph.lines.filter((l) => is_of_pair(l, selection.from, selection.to));
			return from && to ? `${name_of(from)} to ${name_of(to)}${refused(lines.some((l) => l.outcome === "dropped"))}` : "";
		}
		case "flow": {
			const { flow } = selection.row;
			return `${String(flow.verdict ?? "flow")}, ${who(flow, "source")} to ${who(flow, "destination")}, ${columns.port.text(flow)}`;
		}
		default:
			return "";
	}
}

// The filter line's words for all flows of it; null: there are none.
export function selected_ways(selection: Selection, graph: Graph): Ways | null {
	const node = (key: string) => graph.nodes.find((n) => n.key === key);
	if (selection.kind === "card") return ways_of_node(node(selection.key));
	if (selection.kind !== "edge") return null;
	const { from, to } = selection;
	return ways_between(node(from), node(to), edges_of(graph.lines.filter((l) => is_of_pair(l, from, to))));
}

// All flows of what is selected, among those of @line: requests and answers. Null: there are no words for them.
export function selected_filters(
	selection: Selection,
	graph: Graph,
	line: string,
): Pick<Watch, "allow" | "deny"> | null {
	const node = (key: string) => graph.nodes.find((n) => n.key === key);
	const both = (a: Ways | null, b: Ways | null) => a && b && a.flatMap((x) => b.map((y) => [...x, ...y]));
	const sides: { ways: Ways | null; more: FlowFilter }[] =
		selection.kind === "card"
			? [{ ways: ways_of_node(node(selection.key)), more: {} }]
			: selection.kind === "edge"
				? [
						{ ends: [selection.from, selection.to], more: {} },
						{ ends: [selection.to, selection.from], more: { reply: [true] } },
					].map(({ ends: [from, to], more }) => ({
						ways: both(node_ways(node(from!), "from"), node_ways(node(to!), "to")),
						more,
					}))
				: [];
	const allow: FlowFilter[] = [];
	let deny: FlowFilter[] = [];
	for (const { ways, more } of sides) {
		const parsed = parse_line(ways ? narrowed(line, ways) : line);
		const filters = parsed.ok ? filters_of(parsed.terms) : parsed;
		if (!filters.ok || !ways) return null;
		allow.push(...filters.allow.map((filter) => ({ ...filter, ...more })));
		deny = filters.deny;
	}
	return allow.length && allow.length <= FILTERS_MOST ? { allow, deny } : null;
}

// The record's rates, where they are of what is asked for.
export function history_of({ shown_line: line, history: all }: State, now: number): Pulse | null {
	const history = completed(all, now / 1000);
	if (line === "verdict=DROPPED" || line === outcome_terms("dropped").join(" ")) return { ...history, flows: history.drops };
	return line ? null : history;
}

// What the filter line can be completed with.
export function seen_values(state: State): Record<string, string[]> {
	const cards = state.cards.filter(Boolean);
	const of = (values: (string | undefined)[]) =>
		[...new Set(values.filter((v): v is string => Boolean(v)))].sort().slice(0, 500);
	return {
		cluster: of([...state.clusters, ...cards.map((c) => c.cluster)]),
		namespace: of([...state.namespaces, ...cards.map((c) => c.namespace)]),
		workload: of(cards.filter((c) => c.kind === "workload").map((c) => c.name)),
		pod: of(
			cards
				.filter((c) => c.kind === "pod")
				.map((c) => `${c.namespace ?? ""}/${c.name}`)
				.concat(cards.filter((c) => c.namespace).map((c) => `${c.namespace}/`)),
		),
		dns: of(cards.filter((c) => c.kind === "name").map((c) => c.name)),
		ip: of(cards.filter((c) => c.kind === "address").map((c) => c.name)),
		port: of(state.edges.map((e) => (e?.port ? String(e.port) : undefined))),
		protocol: ["tcp", "udp", "icmp", "sctp", "http", "dns"],
		verdict: ["FORWARDED", "DROPPED", "AUDIT", "ERROR", "REDIRECTED", "TRACED", "TRANSLATED"],
		reason: of(state.edges.flatMap((e) => Object.keys(e?.reasons ?? {}))),
	};
}
