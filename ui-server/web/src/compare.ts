// Two ranges of time beside each other: what is new, what is gone, and which drops have changed. Pure.
import { duration_text } from "./flow";
import { card_key, total } from "./graph";
import { missing_in, type Range } from "./time_range";
import type { Card, Change, Edge } from "./drawn";
import type { Coverage } from "./wire";

export interface Side {
	cards: Card[]; // by id; holes are left out
	edges: Edge[];
}

export interface Difference {
	key: string;
	from: Card;
	to: Card;
	change: Change;
	before: Edge | null; // null: there was none
	now: Edge | null;
	weight: number; // flows that the change is about
}

export interface Comparison {
	cards: Card[]; // of both
	edges: Edge[]; // of both, with how they differ; of those that are gone the counts before
	differences: Difference[]; // the most telling first, without those that are the same
}

const ranks: Change[] = [
	"now dropped",
	"new",
	"gone",
	"no longer dropped",
	"more drops",
	"fewer drops",
	"same",
];

// @share: how much longer the range of @now is. What was counted before is expected so many times.
export function change_of(before: Edge | null, now: Edge | null, share: number): Change {
	if (!before) return "new";
	if (!now) return "gone";
	const was = (before.dropped ?? 0) * share;
	const is = now.dropped ?? 0;
	if (was === is) return "same";
	if (!was) return "now dropped";
	if (!is) return "no longer dropped";
	return is > was ? "more drops" : "fewer drops";
}

function drop_delta(before: Edge | null, now: Edge | null, share: number): number {
	return Math.round((now?.dropped ?? 0) - (before?.dropped ?? 0) * share);
}

function weight_of(change: Change, before: Edge | null, now: Edge | null, share: number): number {
	if (change === "new") return total(now!);
	if (change === "gone") return total(before!);
	return Math.abs(drop_delta(before, now, share));
}

// @identity: what is the same for a card in both ranges.
export function compare(
	before: Side,
	now: Side,
	share: number,
	identity: (card: Card) => string = card_key,
): Comparison {
	const cards: Card[] = [];
	const ids = new Map<string, number>();
	const pairs = new Map<string, { from: Card; to: Card; before: Edge | null; now: Edge | null }>();

	const add = (side: Side, which: "before" | "now") => {
		const own: Card[] = [];
		for (const card of side.cards) {
			if (!card) continue;
			const key = identity(card);
			let id = ids.get(key);
			if (id === undefined) {
				ids.set(key, (id = cards.length));
				cards.push({ ...card, id });
			}
			own[card.id] = cards[id]!;
		}
		for (const edge of side.edges) {
			const from = edge && own[edge.from];
			const to = edge && own[edge.to];
			if (!from || !to || !total(edge)) continue;
			const key = `${from.id}>${to.id}:${edge.port ?? 0}/${edge.protocol}`;
			const pair = pairs.get(key) ?? { from, to, before: null, now: null };
			pair[which] = edge;
			pairs.set(key, pair);
		}
	};
	add(now, "now"); // first: cards that are still there keep their order
	add(before, "before");

	const edges: Edge[] = [];
	const differences: Difference[] = [];
	for (const [key, { from, to, before: was, now: is }] of pairs) {
		const change = change_of(was, is, share);
		const shown = (is ?? was)!;
		edges.push({
			...shown,
			...{ id: edges.length, from: from.id, to: to.id, change },
			...(was && { was }),
			...(change !== "gone" && { delta: drop_delta(was, is, share) }),
		});
		if (change !== "same")
			differences.push({
				...{ key, from, to, change, before: was, now: is },
				weight: weight_of(change, was, is, share),
			});
	}
	differences.sort(
		(a, b) =>
			ranks.indexOf(a.change) - ranks.indexOf(b.change) ||
			b.weight - a.weight ||
			a.key.localeCompare(b.key),
	);
	return { cards, edges, differences };
}

// How many of each change there are, in the order of the table.
export function tally(differences: Difference[]): [Change, number][] {
	const counts = new Map<Change, number>();
	for (const d of differences) counts.set(d.change, (counts.get(d.change) ?? 0) + 1);
	return [...counts];
}

// Why what seems new, or gone, may only not have been seen. Empty: the record of both is whole.
export function doubts(coverage: Coverage[], before: Range, now: Range): string[] {
	if (!coverage.length) return ["this server does not say what it missed"];
	return (
		[
			["before", before],
			["now", now],
		] as const
	).flatMap(([name, range]) => {
		const [first, ...rest] = missing_in(coverage, range);
		if (!first) return [];
		const more = rest.length ? `, and ${rest.length} more` : "";
		const length = duration_text(first.until - first.since);
		return [`the range ${name} has gaps (${first.node}, ${length}, ${first.cause}${more})`];
	});
}
