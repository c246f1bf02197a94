// A map that is looked at: who is on it stays where it is, and newcomers take room that is free. Pure.
//
//	┌ shop ─────────────────┐   ┌ payments ──┐
//	│ frontend    catalog   │   │ ledger     │     a newcomer of shop stands near whom it talks to: in its group's box, or
//	│ checkout    [newcomer]│   └────────────┘     where the box can grow over nothing; where it cannot grow, in another
//	└───────────────────────┘    ┌ shop ─────┐     box of the same name
//	                             │ [newcomer]│
//	                             └───────────┘
//
// What is not shown now, as with a filter, keeps its place for when it comes back.
import { type Graph, type Node, PORTS_SHOWN } from "./graph";
import { CARD_WIDTH, type Place, card_height, height_of_rows } from "./layout";

// Where a card is. Its head stays where it is when it becomes higher, for another port.
export interface Spot {
	x: number; // its middle
	top: number;
	height: number; // of all the rows that it may have
	group: string; // "" outside of all groups
	part: number; // which of its group's boxes it is in, from 0 on
}

export type Spots = ReadonlyMap<string, Spot>;

export interface Box {
	left: number;
	top: number;
	right: number;
	bottom: number;
}

export interface Group extends Box {
	name: string;
	part: number;
}

const PADDING = 16; // px from a card to its group's edge
const HEAD = 34; // the same above, where the group's name is
const BETWEEN = 10; // groups, at least
const GAP = 22; // cards above each other
const ASIDE = 40; // cards beside each other: lines run there
const STEP = CARD_WIDTH + 56; // from column to column
const ROW_GAP = 10; // left below a card that becomes higher
const OTHER_BOX = 500; // px that a card would rather be away from where it belongs than in a box of its own

function box_of({ x, top, height }: Pick<Spot, "x" | "top" | "height">): Box {
	return { left: x - CARD_WIDTH / 2, top, right: x + CARD_WIDTH / 2, bottom: top + height };
}

function grown(box: Box, by_x: number, by_y = by_x): Box {
	return { left: box.left - by_x, top: box.top - by_y, right: box.right + by_x, bottom: box.bottom + by_y };
}

function with_edge(card: Box): Box {
	return { left: card.left - PADDING, top: card.top - HEAD, right: card.right + PADDING, bottom: card.bottom + PADDING };
}

function union(a: Box, b: Box): Box {
	return {
		left: Math.min(a.left, b.left),
		top: Math.min(a.top, b.top),
		right: Math.max(a.right, b.right),
		bottom: Math.max(a.bottom, b.bottom),
	};
}

function meet(a: Box, b: Box): boolean {
	return a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom;
}

// The boxes of groups, around their cards.
export function groups_of(spots: Iterable<Spot>): Group[] {
	const groups = new Map<string, Group>();
	for (const spot of spots) {
		if (!spot.group) continue;
		const key = `${spot.group}\n${spot.part}`;
		const own = with_edge(box_of(spot));
		groups.set(key, { ...union(groups.get(key) ?? own, own), name: spot.group, part: spot.part });
	}
	return [...groups.values()];
}

// Of a new layout.
export function spots_of(graph: Graph, places: ReadonlyMap<string, Place>): Map<string, Spot> {
	return new Map(
		graph.nodes.map((node) => {
			const { x, y } = places.get(node.key)!;
			const height = card_height(node);
			return [node.key, { x, top: y - height / 2, height, group: node.group, part: 0 }];
		}),
	);
}

// As many rows as its spot has room for; the middle of the card with these.
export function placed(node: Node, spot: Spot): { node: Node; at: Place } {
	let rows = PORTS_SHOWN;
	while (rows && height_of_rows(rows) > spot.height) rows--;
	const shown = rows < node.rows ? { ...node, rows } : node;
	return { node: shown, at: { x: spot.x, y: spot.top + card_height(shown) / 2 } };
}

// Whether a card may be there: on no other, and its group's box on nothing that it was not on before.
function is_free(spot: Spot, others: Spot[], groups: Group[]): boolean {
	const card = box_of(spot);
	const apart = grown(card, ASIDE, ROW_GAP);
	if (others.some((o) => meet(apart, box_of(o)))) return false;
	const is_own = (o: { part: number }, name: string) => name === spot.group && o.part === spot.part;
	if (!spot.group) return !groups.some((g) => meet(grown(card, BETWEEN), g));
	const before = groups.find((g) => is_own(g, g.name));
	const after = before ? union(before, with_edge(card)) : with_edge(card);
	const meets_more = (o: Box, by: number) => meet(grown(after, by), o) && !(before && meet(grown(before, by), o));
	const bars = (o: Box) => meets_more(o, BETWEEN) || meets_more(o, 0);
	return !groups.some((g) => !is_own(g, g.name) && bars(g)) && !others.some((o) => !o.group && bars(box_of(o)));
}

function extent(spots: Spot[]): Box {
	return spots.map((s) => with_edge(box_of(s))).reduce(union);
}

// How much larger @box is with @other in it, along its edges.
function growth(box: Box, other: Box): number {
	const all = union(box, other);
	return all.right - all.left - (box.right - box.left) + all.bottom - all.top - (box.bottom - box.top);
}

interface Peer {
	spot: Spot;
	way: 1 | -1; // 1: it asks the card, which belongs to its right
}

// Where a newcomer could stand, whether it is free or not.
function candidates(own: Omit<Spot, "x" | "top">, peers: Peer[], others: Spot[], groups: Group[]): Spot[] {
	const { height } = own;
	const all = extent(others);
	const columns = [...new Set(others.map((o) => o.x))];
	// Between columns where there is room for another one, which lines can pass.
	const beside = [...peers.map((p) => p.spot), ...others.filter((o) => own.group && o.group === own.group)]
		.flatMap(({ x }) => [x - STEP, x + STEP])
		.filter((x) => columns.every((c) => Math.abs(c - x) >= CARD_WIDTH + ASIDE));
	const xs = new Set([...columns, ...beside, Math.min(...columns) - STEP, Math.max(...columns) + STEP]);
	const [above, below] = own.group ? [HEAD, PADDING] : [0, 0];
	const between = own.group ? BETWEEN : GAP;
	return [...xs].flatMap((x) => {
		const column = { left: x - CARD_WIDTH / 2 - ASIDE, right: x + CARD_WIDTH / 2 + ASIDE };
		const is_here = (b: Box) => b.left < column.right && column.left < b.right;
		const tops = [
			...peers.map((p) => p.spot.top),
			...others
				.map(box_of)
				.filter(is_here)
				.flatMap((b) => [b.bottom + GAP, b.top - GAP - height]),
			...groups
				.filter(is_here)
				.flatMap((g) => [g.bottom + between + above, g.top - between - below - height, g.top + HEAD]),
			all.bottom + between + above,
		];
		return [...new Set(tops)].map((top) => ({ ...own, x, top }));
	});
}

function newcomer_spot(node: Node, peers: Peer[], others: Spot[]): Spot {
	const groups = groups_of(others);
	const all = extent(others);
	const height = card_height(node);
	const boxes = groups.filter((g) => g.name === node.group);
	const parts = node.group ? [...boxes.map((g) => g.part), Math.max(-1, ...boxes.map((g) => g.part)) + 1] : [0];
	const middle = { x: (all.left + all.right) / 2, y: (all.top + all.bottom) / 2 };
	const cost = (spot: Spot) => {
		const box = with_edge(box_of(spot));
		const own = boxes.find((g) => g.part === spot.part);
		const wishes = peers.length
			? peers.map((p) => [p.spot.x + p.way * STEP, p.spot.top] as const)
			: [[own ? (own.left + own.right) / 2 : middle.x, own ? own.bottom : all.bottom] as const];
		const away = wishes.reduce((sum, [x, y]) => sum + Math.abs(spot.x - x) + Math.abs(spot.top - y), 0);
		const other_box = own || !boxes.length ? 0 : OTHER_BOX + Math.min(...boxes.map((g) => growth(g, box)));
		return away / wishes.length + (own ? growth(own, box) : 0) + growth(all, box) + other_box;
	};
	const ranked = parts
		.flatMap((part) => candidates({ height, group: node.group, part }, peers, others, groups))
		.map((spot) => ({ spot, cost: cost(spot) }))
		.sort((a, b) => a.cost - b.cost || a.spot.x - b.spot.x || a.spot.top - b.spot.top);
	// Below everything else there always is room.
	return ranked.find(({ spot }) => is_free(spot, others, groups))!.spot;
}

// One that serves more ports than it had room for takes as much of what is free below it as it needs.
function heightened(spot: Spot, wanted: number, others: Spot[]): Spot {
	const groups = groups_of([spot, ...others]);
	for (let rows = PORTS_SHOWN; height_of_rows(rows) > spot.height; rows--) {
		const higher = { ...spot, height: height_of_rows(rows) };
		if (higher.height <= wanted && is_free(higher, others, groups)) return higher;
	}
	return spot;
}

// Spots for all of @graph beside those that are @known, of which there is one at least: these stay.
export function with_newcomers(graph: Graph, known: Spots): Map<string, Spot> {
	const spots = new Map(known);
	const others = (key: string) => [...spots].flatMap(([k, spot]) => (k === key ? [] : [spot]));
	for (const node of graph.nodes) {
		const spot = spots.get(node.key);
		if (!spot) continue;
		const own = spot.group === node.group ? spot : { ...spot, group: node.group };
		const wanted = card_height(node);
		spots.set(node.key, wanted > own.height ? heightened(own, wanted, others(node.key)) : own);
	}
	const waiting = new Map(graph.nodes.filter((n) => !spots.has(n.key)).map((n) => [n.key, n]));
	const ties = new Map<string, { to: string; way: 1 | -1 }[]>();
	for (const { from, to } of graph.lines) {
		if (from === to) continue;
		if (waiting.has(to)) ties.set(to, [...(ties.get(to) ?? []), { to: from, way: 1 }]);
		if (waiting.has(from)) ties.set(from, [...(ties.get(from) ?? []), { to, way: -1 }]);
	}
	const peers_of = (key: string): Peer[] =>
		(ties.get(key) ?? []).flatMap(({ to, way }) => {
			const spot = spots.get(to);
			return spot ? [{ spot, way }] : [];
		});
	// Those first that talk to most of whom is there.
	while (waiting.size) {
		const [next] = [...waiting.values()]
			.map((node) => ({ node, peers: peers_of(node.key) }))
			.sort((a, b) => b.peers.length - a.peers.length || a.node.key.localeCompare(b.node.key));
		spots.set(next!.node.key, newcomer_spot(next!.node, next!.peers, [...spots.values()]));
		waiting.delete(next!.node.key);
	}
	return spots;
}
