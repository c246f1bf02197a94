// What of the state is shown, and by which names it can be asked for. Pure.
import { compare, type Comparison } from "./compare";
import { filters_of, narrowed, parse_line } from "./filter";
import type { Flow, FlowFilter } from "./flow";
import { clusters_of, fold, type Folding, identity_of } from "./fold";
import { card_name, type Graph, node_terms } from "./graph";
import { is_of_card, is_of_edge } from "./match";
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

// What of the map the table is narrowed to.
export function selected_on_map(
	selection: Selection,
	graph: Graph,
): { name: string; has(flow: Flow): boolean } | null {
	const card = (key: string) => graph.nodes.find((n) => n.key === key)?.card;
	if (selection.kind === "card") {
		const own = card(selection.key);
		return own ? { name: card_name(own), has: (flow) => is_of_card(flow, own) } : null;
	}
	if (selection.kind !== "edge") return null;
	const [from, to] = [card(selection.from), card(selection.to)];
	return from && to
		? {
				name: `${card_name(from)} → ${card_name(to)}`,
				has: (flow) => is_of_edge(flow, from, to),
			}
		: null;
}

// The filter line's words for it: those of a card for the side that says most of it.
export function selected_terms(selection: Selection, graph: Graph): string[] {
	const node = (key: string) => graph.nodes.find((n) => n.key === key);
	if (selection.kind === "card")
		return node_terms(node(selection.key), graph.lines.some((l) => l.to === selection.key) ? "to" : "from");
	if (selection.kind !== "edge") return [];
	return [...node_terms(node(selection.from), "from"), ...node_terms(node(selection.to), "to")];
}

// All flows of what is selected, among those of @line: requests and answers. Null: there are no words for them.
export function selected_filters(
	selection: Selection,
	graph: Graph,
	line: string,
): Pick<Watch, "allow" | "deny"> | null {
	const node = (key: string) => graph.nodes.find((n) => n.key === key);
	const ways: { terms: string[][]; more: FlowFilter }[] =
		selection.kind === "card"
			? (["from", "to"] as const).map((side) => ({
					terms: [node_terms(node(selection.key), side)],
					more: {},
				}))
			: selection.kind === "edge"
				? [
						{ ends: [selection.from, selection.to], more: {} },
						{ ends: [selection.to, selection.from], more: { reply: [true] } },
					].map(({ ends: [from, to], more }) => ({
						terms: [node_terms(node(from!), "from"), node_terms(node(to!), "to")],
						more,
					}))
				: [];
	const allow: FlowFilter[] = [];
	let deny: FlowFilter[] = [];
	for (const { terms, more } of ways) {
		const parsed = parse_line(narrowed(line, terms.flat()));
		const filters = parsed.ok ? filters_of(parsed.terms) : parsed;
		if (!filters.ok || terms.some((side) => !side.length)) return null;
		allow.push(...filters.allow.map((filter) => ({ ...filter, ...more })));
		deny = filters.deny;
	}
	return allow.length ? { allow, deny } : null;
}

// The record's rates, where they are of what is asked for.
export function history_of({ shown_line: line, history: all }: State, now: number): Pulse | null {
	const history = completed(all, now / 1000);
	if (line === "verdict=DROPPED") return { ...history, flows: history.drops };
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
