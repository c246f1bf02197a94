// Neighbours that every link has, and that say little of who talks to whom: link-local, multicast and broadcast addresses.
// They are one card each, unless somebody wants to see them. Pure.
import type { Card, Edge } from "./drawn";

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
	for (const field of sums)
		if (edge[field]) into[field] = (into[field] ?? 0) + (edge[field] ?? 0);
	into.first = Math.min(into.first || Infinity, edge.first || Infinity);
	if (into.first === Infinity) delete into.first;
	for (const field of ["last", "last_dropped"] as const)
		if (edge[field]) into[field] = Math.max(into[field] ?? 0, edge[field] ?? 0);
	if (edge.reasons) {
		into.reasons = { ...into.reasons };
		for (const [reason, n] of Object.entries(edge.reasons))
			into.reasons[reason] = (into.reasons[reason] ?? 0) + n;
	}
}

// Cards and edges with one card for each kind of local peer; edges that fall together are added up.
export function fold_local(cards: Card[], edges: Edge[]): { cards: Card[]; edges: Edge[] } {
	const folded = new Map<LocalKind, Card>();
	const card_of: number[] = [];
	const kept: Card[] = [];

	for (const card of cards) {
		if (!card) continue;
		const kind = local_kind(card);
		const one = kind ? (folded.get(kind) ?? { id: card.id, kind: "local", name: kind, count: 0 }) : card;
		if (kind) one.count = (one.count ?? 0) + 1;
		if (!kind || !folded.has(kind)) kept.push(one);
		if (kind) folded.set(kind, one);
		card_of[card.id] = one.id;
	}
	if (!folded.size) return { cards: kept, edges };
	const together = new Map<string, Edge>();
	for (const edge of edges) {
		if (!edge) continue;
		const [from, to] = [card_of[edge.from] ?? edge.from, card_of[edge.to] ?? edge.to];
		const key = `${from}>${to}:${edge.port ?? 0}/${edge.protocol}`;
		const known = together.get(key);
		if (known) add(known, edge);
		else together.set(key, { ...edge, from, to });
	}
	return { cards: kept, edges: [...together.values()] };
}
