// Where cards go: layers from left to right, as requests do; groups stay together. Pure.
import { Graph as Dagre, layout } from "@dagrejs/dagre";
import type { Graph, Line, Node } from "./graph";

export const CARD_WIDTH = 164;
const HEAD_HEIGHT = 40;
const PORT_HEIGHT = 18;
const PORTS_SHOWN = 4;

export function shown_ports(node: Node): string[] {
	return node.card && node.ports.length ? node.ports.slice(0, PORTS_SHOWN) : [];
}
export function card_height(node: Node): number {
	const rows = shown_ports(node).length;
	return HEAD_HEIGHT + rows * PORT_HEIGHT + (rows ? 6 : 0);
}
// From the card's middle to the middle of the row that @line ends at.
export function port_offset(node: Node, line: Line): number {
	const row = shown_ports(node).indexOf(line.port);
	return row < 0 ? 0 : HEAD_HEIGHT + (row + 0.5) * PORT_HEIGHT - card_height(node) / 2;
}

export interface Place {
	x: number;
	y: number;
}

export interface Layout {
	places: Map<string, Place>; // middles of cards, by key
	routes: Map<string, Place[]>; // ways around other cards, by "from>to"; without the ends
}

export function lay_out(graph: Graph): Layout {
	const g = new Dagre({ compound: true, multigraph: false });
	g.setGraph({ rankdir: "LR", nodesep: 16, ranksep: 34, edgesep: 12, marginx: 16, marginy: 16 });
	g.setDefaultEdgeLabel(() => ({}));
	for (const group of graph.groups) g.setNode(`group:${group}`, {});
	for (const node of graph.nodes) {
		g.setNode(node.key, { width: CARD_WIDTH, height: card_height(node) });
		if (node.group) g.setParent(node.key, `group:${node.group}`);
	}
	for (const line of graph.lines) if (line.from !== line.to) g.setEdge(line.from, line.to, { weight: 1 });
	layout(g);
	const places = new Map<string, Place>();
	const routes = new Map<string, Place[]>();
	for (const node of graph.nodes) places.set(node.key, { x: g.node(node.key).x ?? 0, y: g.node(node.key).y ?? 0 });
	for (const { v, w } of g.edges()) {
		const points = (g.edge(v, w) as { points?: Place[] }).points ?? [];
		routes.set(`${v}>${w}`, points.slice(1, -1));
	}
	return { places, routes };
}
