// Where cards go: from left to right as requests do, groups together. In layers while that fits on a screen; a large or
// tangled map in columns, from those that mostly ask to those that are mostly asked. Pure.
import { Graph as Dagre, layout } from "@dagrejs/dagre";
import type { Graph, Line, Node } from "./graph";

export const CARD_WIDTH = 164;
const HEAD_HEIGHT = 40;
const PORT_HEIGHT = 18;

export function shown_ports(node: Node): string[] {
	return node.card ? node.ports.slice(0, node.rows) : [];
}
export function height_of_rows(rows: number): number {
	return HEAD_HEIGHT + rows * PORT_HEIGHT + (rows ? 6 : 0);
}
export function card_height(node: Node): number {
	return height_of_rows(shown_ports(node).length);
}
// From the card's middle to the middle of the row that @line ends at.
export function port_offset(node: Node, line: Line): number {
	const rows = shown_ports(node);
	if (!rows.length) return 0;
	const row = rows.indexOf(line.row);
	// The last one says how many more there are.
	return HEAD_HEIGHT + ((row < 0 ? rows.length - 1 : row) + 0.5) * PORT_HEIGHT - card_height(node) / 2;
}

export interface Place {
	x: number;
	y: number;
}

export interface Layout {
	places: Map<string, Place>; // middles of cards, by key
	is_layered: boolean; // lines go past the cards of each column
	routes: Map<string, Place[]>; // of a layered one: ways around other cards, by "from>to"; without the ends
}

export function lay_out(graph: Graph): Layout {
	const columns: Layout = { places: in_columns(graph), is_layered: false, routes: new Map() };
	const pairs = new Set(graph.lines.map((line) => `${line.from}>${line.to}`));
	if (graph.nodes.length > LAYERS_MOST || pairs.size > LAYERS_PAIRS_MOST) return columns;
	const layered = in_layers(graph);
	if (!layered) return columns;
	const zoom = zoom_of(graph, layered.places);
	return zoom >= LEGIBLE || zoom >= LAYERS_WORTH * zoom_of(graph, columns.places) ? layered : columns;
}

const STUB = 10; // px that a line goes on straight from a card, before it turns
const TURN_SHARE = 0.3; // of its lane, that it turns earlier or later
const HALF = CARD_WIDTH / 2;

// The corners of a line along @route, from a card at @a to one at @b, which it leaves and reaches at heights @out and
// @into from their middles: past the cards of each column that lies between, never behind them. Forwards it goes from the
// right to the left side, backwards the other way round. First and last are its ends. @lane: px below the middle of those that
// run beside it; where they go up or down, what ends farthest in that direction turns first, so that none crosses another.
export function corners(a: Place, b: Place, out: number, into: number, route: Place[], lane = 0): Place[] {
	const start_y = a.y + out;
	const end_y = b.y + into;
	if (Math.abs(b.x - a.x) < HALF) {
		// In one column: around its right side.
		const x = Math.max(a.x, b.x) + HALF + 2 * STUB;
		return [
			{ x: a.x + HALF, y: start_y },
			{ x, y: start_y },
			{ x, y: end_y },
			{ x: b.x + HALF + 2, y: end_y },
		];
	}
	const way = b.x > a.x ? 1 : -1;
	const between = route
		.filter((p) => (p.x - a.x) * way > HALF && (b.x - p.x) * way > HALF)
		.flatMap((p) => [
			{ x: p.x - way * (HALF + STUB), y: p.y },
			{ x: p.x + way * (HALF + STUB), y: p.y },
		]);
	const aside = (dy: number) => -Math.sign(dy) * lane * TURN_SHARE;
	const after = between[0]?.y ?? end_y;
	const before = between.at(-1)?.y ?? start_y;
	return [
		{ x: a.x + way * HALF, y: start_y },
		{ x: a.x + way * (HALF + STUB + aside(after - start_y)), y: start_y },
		...between,
		{ x: b.x - way * (HALF + STUB + 4 - aside(end_y - before)), y: end_y },
		{ x: b.x - way * (HALF + 2), y: end_y },
	];
}

const LANE = 10; // px between a card and a line that goes past it

// A route for a line that came after the cards had their places: in each column between, the nearest free height.
export function way_past(from: Place, to: Place, nodes: Node[], places: Map<string, Place>): Place[] {
	const way = to.x > from.x ? 1 : -1;
	const columns = new Map<number, [number, number][]>();
	for (const node of nodes) {
		const p = places.get(node.key);
		if (!p || (p.x - from.x) * way <= HALF || (to.x - p.x) * way <= HALF) continue;
		const reach = card_height(node) / 2 + LANE;
		columns.set(p.x, [...(columns.get(p.x) ?? []), [p.y - reach, p.y + reach]]);
	}
	return [...columns]
		.sort(([a], [b]) => (a - b) * way)
		.map(([x, taken]) => {
			const straight = from.y + ((to.y - from.y) * (x - from.x)) / (to.x - from.x);
			const free = [straight, ...taken.flat()].filter((y) => !taken.some(([a, b]) => y > a && y < b));
			const cost = (y: number) => Math.abs(y - straight);
			return { x, y: free.reduce((best, y) => (cost(y) < cost(best) ? y : best)) };
		});
}

// Whether the straight line from @p to @q touches a card with its middle at @at.
function touches(p: Place, q: Place, at: Place, height: number): boolean {
	let [from, to] = [0, 1];
	for (const [start, way, middle, half] of [
		[p.x, q.x - p.x, at.x, HALF],
		[p.y, q.y - p.y, at.y, height / 2],
	] as const) {
		if (way === 0) {
			if (Math.abs(start - middle) >= half) return false;
			continue;
		}
		const [a, b] = [(middle - half - start) / way, (middle + half - start) / way];
		from = Math.max(from, Math.min(a, b));
		to = Math.min(to, Math.max(a, b));
	}
	return from < to;
}

// Whether a line along @route from @from to @to, keys of cards, is behind no other card.
export function is_past_cards(from: string, to: string, route: Place[], nodes: Node[], places: Map<string, Place>): boolean {
	const [a, b] = [places.get(from), places.get(to)];
	if (!a || !b) return true;
	const points = corners(a, b, 0, 0, route);
	return nodes.every((node) => {
		const [at, height] = [places.get(node.key)!, card_height(node)];
		const is_end = node.key === from || node.key === to;
		return is_end || points.every((p, i) => !i || !touches(points[i - 1]!, p, at, height));
	});
}

// Of more, layers are never as large as columns, and take seconds to find: 3.5 s for 25 folded groups with 600 lines.
const LAYERS_MOST = 60; // cards
const LAYERS_PAIRS_MOST = 80; // that talk to each other
const PANE = { width: 1040, height: 450 }; // px: a laptop's, less what is left free around the drawing
const LEGIBLE = 0.55; // zoom at which names and ports can be read
const LAYERS_WORTH = 0.8; // as large in layers as in columns: lines that go past cards are worth the rest

// How large it can be drawn so that all of it is seen; of a pane that is always the same, as is where cards are then.
function zoom_of(graph: Graph, places: Map<string, Place>): number {
	const boxes = graph.nodes.map((node) => ({ ...places.get(node.key)!, half: card_height(node) / 2 }));
	const width = Math.max(...boxes.map((b) => b.x)) - Math.min(...boxes.map((b) => b.x)) + CARD_WIDTH;
	const height = Math.max(...boxes.map((b) => b.y + b.half)) - Math.min(...boxes.map((b) => b.y - b.half));
	return Math.min(PANE.width / width, PANE.height / height);
}

// Null where dagre finds none: of a hundred maps there may be one for which it fails, on a bend in the middle of a card.
function in_layers(graph: Graph): Layout | null {
	const g = new Dagre({ compound: true, multigraph: false });
	g.setGraph({ rankdir: "LR", nodesep: 26, ranksep: 56, edgesep: 14, marginx: 16, marginy: 16 });
	g.setDefaultEdgeLabel(() => ({}));
	for (const group of graph.groups) g.setNode(`group:${group}`, {});
	for (const node of graph.nodes) {
		g.setNode(node.key, { width: CARD_WIDTH, height: card_height(node) });
		if (node.group) g.setParent(node.key, `group:${node.group}`);
	}
	for (const line of graph.lines)
		if (line.from !== line.to) g.setEdge(line.from, line.to, { weight: 1 });
	try {
		layout(g);
	} catch {
		return null;
	}
	const places = new Map<string, Place>();
	const routes = new Map<string, Place[]>();
	for (const node of graph.nodes)
		places.set(node.key, { x: g.node(node.key).x ?? 0, y: g.node(node.key).y ?? 0 });
	for (const { v, w } of g.edges()) {
		const points = (g.edge(v, w) as { points?: Place[] }).points ?? [];
		// Of its points those matter that lie in a column of cards.
		const columns = graph.nodes.map((n) => places.get(n.key)!.x);
		const inside = points
			.slice(1, -1)
			.filter((p) => columns.some((x) => Math.abs(x - p.x) < CARD_WIDTH / 2));
		routes.set(`${v}>${w}`, inside);
	}
	return { places, is_layered: true, routes };
}

interface Block {
	group: string;
	width: number;
	height: number;
	score: number; // 1: only asks, -1: is only asked
	members: { node: Node; x: number; y: number }[]; // middles, from the block's corner
}

const GAP = 22;
const COLUMN_GAP = 110; // lines run here
const COLUMN_GAP_MOST = 240;
const GROUP_EDGE = 18;
const ASPECT = 2.1; // width to height of what is wanted
const COLUMN_HEIGHTS = [0.7, 0.85, 1, 1.2, 1.4, 1.7]; // to that of a square's as wide: the one is taken that is drawn largest

// How much more a card asks than it is asked.
function scores(graph: Graph): Map<string, number> {
	const asks = new Map<string, number>();
	const asked = new Map<string, number>();
	for (const line of graph.lines) {
		asks.set(line.from, (asks.get(line.from) ?? 0) + 1);
		asked.set(line.to, (asked.get(line.to) ?? 0) + 1);
	}
	return new Map(
		graph.nodes.map(({ key }) => {
			const [out, back] = [asks.get(key) ?? 0, asked.get(key) ?? 0];
			return [key, out + back ? (out - back) / (out + back) : 0];
		}),
	);
}

// A group's cards as a small grid; a card on its own is a block, too.
function block_of(group: string, nodes: Node[], score: Map<string, number>): Block {
	const edge = group ? GROUP_EDGE : 0;
	const columns = Math.ceil(Math.sqrt(nodes.length / 2));
	const rows = Math.ceil(nodes.length / columns);
	const block: Block = { group, width: 0, height: 0, score: 0, members: [] };
	nodes.sort((a, b) => score.get(b.key)! - score.get(a.key)! || a.name.localeCompare(b.name));
	for (let column = 0; column * rows < nodes.length; column++) {
		let y = edge;
		for (const node of nodes.slice(column * rows, (column + 1) * rows)) {
			const height = card_height(node);
			block.members.push({
				node,
				x: edge + column * (CARD_WIDTH + 60) + CARD_WIDTH / 2,
				y: y + height / 2,
			});
			block.score += score.get(node.key)! / nodes.length;
			y += height + GAP;
		}
		block.height = Math.max(block.height, y - GAP + edge);
	}
	block.width = columns * (CARD_WIDTH + 60) - 60 + 2 * edge;
	return block;
}

function in_columns(graph: Graph): Map<string, Place> {
	const score = scores(graph);
	const by_group = new Map<string, Node[]>();
	for (const node of graph.nodes) {
		const key = node.group || `alone ${node.key}`;
		by_group.set(key, [...(by_group.get(key) ?? []), node]);
	}
	const blocks = [...by_group.values()].map((nodes) => block_of(nodes[0]!.group, nodes, score));
	blocks.sort(
		(a, b) => b.score - a.score || a.members[0]!.node.key.localeCompare(b.members[0]!.node.key),
	);
	const area = blocks.reduce((sum, b) => sum + (b.width + COLUMN_GAP) * (b.height + 2 * GAP), 0);
	const highest = Math.max(...blocks.map((b) => b.height));
	const ways = COLUMN_HEIGHTS.map((share) => stacked(blocks, Math.max(highest, share * Math.sqrt(area / ASPECT))));
	const zooms = ways.map((places) => zoom_of(graph, places));
	return ways[zooms.indexOf(Math.max(...zooms))]!;
}

// One below the other, in columns of @height at most.
function stacked(blocks: Block[], height: number): Map<string, Place> {
	const columns: { blocks: { block: Block; y: number }[]; width: number; height: number }[] = [];
	for (const block of blocks) {
		let column = columns.at(-1);
		// A group's name is above it.
		const gap = (block.group || column?.blocks.at(-1)?.block.group ? 3 : 1) * GAP;
		if (!column || column.height + gap + block.height > height)
			columns.push((column = { blocks: [], width: 0, height: 0 }));
		const y = column.height && column.height + gap;
		column.blocks.push({ block, y });
		column.height = y + block.height;
		column.width = Math.max(column.width, block.width);
	}
	// Where it would be narrow, lines have the room.
	const narrow = columns.reduce((sum, column) => sum + column.width, 0);
	const high = Math.max(...columns.map((column) => column.height));
	const wanted = (ASPECT * high - narrow) / Math.max(1, columns.length - 1);
	const gap = Math.min(COLUMN_GAP_MOST, Math.max(COLUMN_GAP, wanted));
	const places = new Map<string, Place>();
	let x = 0;
	for (const column of columns) {
		for (const { block, y } of column.blocks)
			for (const m of block.members) places.set(m.node.key, { x: x + m.x, y: y + m.y });
		x += column.width + gap;
	}
	return places;
}
