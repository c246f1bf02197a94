// Cards that are one for the reader. Pure.
//
// Link-local, multicast and broadcast addresses are on every link and say little of who talks to whom: they are a card of
// each kind, unless somebody wants to see them. And in a past range a workload may come twice: what an older Tycho summed up
// by the minute knows its name only, what came since its kind and cluster, too.
import type { Card, Edge } from "./drawn";
import { card_key } from "./graph";

export type LocalKind = "link-local" | "multicast" | "broadcast";

// RFC 3927, 4291 §2.4, 5771, 919; an unspecified source is a host that has no address of its link yet.
export function local_kind(card: Card): LocalKind | null {
	if (card.kind !== "address" || !card.name) return null;
	const name = card.name.toLowerCase();
	if (name.includes(":")) {
		if (/^fe[89ab]/.test(name) || name === "::") return "link-local";
		return name.startsWith("ff") ? "multicast" : null;
	}
	const [a, b] = name.split(".").map(Number);
	if (name === "255.255.255.255") return "broadcast";
	if ((a === 169 && b === 254) || name === "0.0.0.0") return "link-local";
	return a! >= 224 && a! < 240 ? "multicast" : null;
}

export function has_local(cards: Card[]): boolean {
	return cards.some((c) => c && local_kind(c));
}

const sums = ["forwarded", "dropped", "audited", "unknown", "bytes"] as const;

function add(into: Edge, edge: Edge): void {
	into.ids = [...(into.ids ?? [into.id]), edge.id];
	for (const field of sums)
		if (edge[field]) into[field] = (into[field] ?? 0) + (edge[field] ?? 0);
	for (const field of ["first", "first_dropped"] as const) {
		const first = Math.min(into[field] || Infinity, edge[field] || Infinity);
		if (first !== Infinity) into[field] = first;
	}
	for (const field of ["last", "last_dropped"] as const)
		if (edge[field]) into[field] = Math.max(into[field] ?? 0, edge[field] ?? 0);
	if (edge.reasons) {
		into.reasons = { ...into.reasons };
		for (const [reason, n] of Object.entries(edge.reasons))
			into.reasons[reason] = (into.reasons[reason] ?? 0) + n;
	}
}

export interface Folding {
	local: boolean; // local peers each on a card of their own
	past: boolean;
	clusters: number; // that are known by name
}

export function clusters_of(...lists: Card[][]): number {
	return new Set(lists.flat().flatMap((c) => c?.cluster ?? [])).size;
}

// What is the same for two cards that are one.
export function identity_of(card: Card, folding: Folding): string {
	const kind = folding.local ? null : local_kind(card);
	if (kind) return kind;
	if (!folding.past || !["workload", "pod"].includes(card.kind)) return card_key(card);
	return ["named", folding.clusters > 1 ? card.cluster : "", card.namespace, card.name].join("|");
}

// Edges that fall together are added up.
export function fold(
	cards: Card[],
	edges: Edge[],
	folding: Folding,
): { cards: Card[]; edges: Edge[] } {
	const kept = new Map<string, Card>();
	const card_of: number[] = [];
	let found = 0;

	for (const card of cards) {
		if (!card) continue;
		const key = identity_of(card, folding);
		const kind = folding.local ? null : local_kind(card);
		const before = kept.get(key);
		found++;
		card_of[card.id] = before?.id ?? card.id;
		if (kind) kept.set(key, { id: card_of[card.id]!, kind: "local", name: kind, count: (before?.count ?? 0) + 1 });
		else if (!before || (card.workload && !before.workload))
			kept.set(key, { ...card, id: card_of[card.id]! });
	}
	const together = new Map<string, Edge>();
	const all = edges.filter(Boolean);
	if (kept.size === found) return { cards: [...kept.values()], edges: all };
	for (const edge of all) {
		const [from, to] = [card_of[edge.from] ?? edge.from, card_of[edge.to] ?? edge.to];
		const key = `${from}>${to}:${edge.port ?? 0}/${edge.protocol}`;
		const known = together.get(key);
		if (known) add(known, edge);
		else together.set(key, { ...edge, from, to });
	}
	return { cards: [...kept.values()], edges: [...together.values()] };
}
