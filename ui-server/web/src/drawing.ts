// The map's drawing by Cytoscape: everything that touches its instance. Cards are pictures, lines end at the port they use.
import cytoscape, { type Core, type EdgeSingular, type NodeSingular } from "cytoscape";
import { type Colors, card_image, read_colors } from "./card_image";
import { count_text } from "./flow";
import type { Line, Node } from "./graph";
import { CARD_WIDTH, type Place, card_height, corners, lay_out, port_offset, way_past } from "./layout";
import type { Props } from "./ServiceMap";
import type { Selection } from "./state";

const GLIDE_MS = 260;
const FIT_PADDING = 28;
const FIT_ZOOM_MOST = 1.15;
const PHONE_PX = 600;
const PHONE_ZOOM_LEAST = 0.8;

// What is said beside the pointer.
export interface Tip {
	x: number;
	y: number;
	lines: string[];
}

function width_of(count: number): number {
	return Math.min(5.5, 1.2 + Math.log10(Math.max(1, count)) * 0.8);
}

function stylesheet(c: Colors): cytoscape.StylesheetJson {
	const line = (color: string) => ({ "line-color": color, "target-arrow-color": color, color });
	return [
		{
			selector: "node.card",
			style: {
				shape: "round-rectangle",
				width: CARD_WIDTH,
				height: "data(height)",
				"background-opacity": 0,
				"border-width": 0,
				"background-image": "data(image)",
				"background-width": CARD_WIDTH + 8,
				"background-height": "data(image_height)",
				"background-clip": "none",
				"bounds-expansion": 6,
				"background-image-containment": "over",
				"overlay-opacity": 0,
			},
		},
		{
			selector: "node.group",
			style: {
				shape: "round-rectangle",
				"corner-radius": "12",
				"background-color": c.group,
				"background-opacity": 1,
				"border-width": 1,
				"border-color": c.line,
				padding: "26px",
				label: "data(label)",
				"font-size": 13,
				"font-weight": 600,
				color: c.quiet,
				"text-valign": "top",
				"text-halign": "center",
				"text-margin-y": 21, // within the padding
				"overlay-opacity": 0,
				events: "no",
			},
		},
		{
			selector: "edge",
			style: {
				width: "data(width)",
				"curve-style": "unbundled-bezier",
				"edge-distances": "endpoints" as never, // not in its types yet
				"control-point-distances": "data(distances)" as never,
				"control-point-weights": "data(weights)" as never,
				"source-endpoint": "data(source_end)" as never,
				"target-endpoint": "data(target_end)" as never,
				"target-arrow-shape": "triangle",
				"arrow-scale": 0.9,
				"line-cap": "round",
				"overlay-opacity": 0,
				...line(c.forwarded),
				label: "data(label)",
				"font-size": 12,
				"font-weight": 600,
				"text-background-color": c.surface,
				"text-background-opacity": 1,
				"text-background-padding": "2px",
				"text-background-shape": "roundrectangle",
			},
		},
		{
			selector: "edge.routed",
			style: {
				"curve-style": "round-segments" as never, // not in its types yet
				"segment-distances": "data(distances)" as never,
				"segment-weights": "data(weights)" as never,
				"segment-radii": [14],
			},
		},
		{
			selector: "edge.dropped",
			style: {
				...line(c.dropped),
				"line-style": "dashed",
				"line-dash-pattern": [7, 5],
				"line-cap": "butt",
				"font-size": 14,
				"font-weight": 700,
				"z-index": 10,
			},
		},
		{
			selector: "edge.audited",
			style: {
				...line(c.audited),
				"line-style": "dashed",
				"line-dash-pattern": [2, 5],
				"line-cap": "butt",
			},
		},
		{ selector: "edge.unknown", style: line(c.quiet) },
		{
			selector: "edge.gone",
			style: { ...line(c.quiet), "line-style": "dashed", "line-dash-pattern": [3, 6] },
		},
		{ selector: "edge.same", style: { opacity: 0.3 } },
		{ selector: ".faded", style: { opacity: 0.35 } },
		{ selector: "edge.near", style: { "z-index": 20 } },
		{
			selector: "edge.selected",
			style: {
				"underlay-color": c.accent,
				"underlay-opacity": 0.28,
				"underlay-padding": 5,
				"z-index": 30,
			},
		},
	];
}

// A curve that leaves and arrives level, for lines of which no way around the cards is known.
function curve(from: Place, to: Place, lane: number): Place[] {
	const back = to.x < from.x + 8;
	const reach = back
		? Math.max(60, Math.abs(to.x - from.x) * 0.35)
		: Math.min(48, (to.x - from.x) / 2);
	return [
		from,
		{ x: from.x + reach, y: from.y + lane },
		{ x: to.x - reach, y: to.y + lane },
		to,
	];
}

// Points between the ends of a line, as Cytoscape wants them.
function relative(points: Place[]) {
	const [from, to] = [points[0]!, points.at(-1)!];
	const dx = to.x - from.x;
	const dy = to.y - from.y;
	const length = Math.hypot(dx, dy) || 1;
	const inner = points.slice(1, -1);
	return {
		distances: inner.map((p) => ((p.x - from.x) * -dy + (p.y - from.y) * dx) / length),
		weights: inner.map((p) => ((p.x - from.x) * dx + (p.y - from.y) * dy) / (length * length)),
	};
}

// Beside each other where both happen between the same two.
const lanes: Record<Line["outcome"], number> = {
	forwarded: 0,
	dropped: 14,
	audited: -14,
	unknown: 26,
};

function describe(line: Line): string[] {
	const by =
		line.edges.length > 3
			? [...line.edges].sort((a, b) => (b[line.outcome] ?? 0) - (a[line.outcome] ?? 0))
			: line.edges;
	const change = line.change && line.change !== "same" ? `${line.change} · ` : "";
	return [
		`${change}${count_text(line.count)} ${line.outcome}`,
		...by
			.filter((e) => e[line.outcome])
			.slice(0, 4)
			.map(
				(e) => `${e.port ? `${e.port}/` : ""}${e.protocol}  ${count_text(e[line.outcome] ?? 0)}`,
			),
	];
}

// What is written on a line: that it was dropped, and while ranges are compared how it differs.
function label_of(line: Line): string {
	const cross = line.outcome === "dropped" && line.change !== "gone" ? "✕" : "";
	switch (line.change) {
		case null:
		case "same":
			return cross;
		case "more drops":
		case "fewer drops":
			return `${cross} ${line.delta > 0 ? "+" : "−"}${count_text(Math.abs(line.delta))}`;
		default:
			return `${cross} ${line.change}`.trim();
	}
}

export class Drawing {
	readonly cy: Core;
	private colors: Colors;
	private places = new Map<string, Place>();
	private routes = new Map<string, Place[]>();
	private drawn = -1;
	private touched = false; // the reader chose where to look
	private pictures = new Map<string, string>(); // of each card, what its picture was made from
	nodes = new Map<string, Node>();
	lines = new Map<string, Line>();

	constructor(
		container: HTMLElement,
		private props: Props,
		tip: (tip: Tip | null) => void,
	) {
		this.colors = read_colors();
		this.cy = cytoscape({
			container,
			style: stylesheet(this.colors),
			autoungrabify: true,
			boxSelectionEnabled: false,
			selectionType: "single",
			minZoom: 0.08,
			maxZoom: 2.5,
		});
		this.cy.on("tap", (event) => this.tapped(event.target));
		this.cy.on("dbltap", "node.card, edge", (event) =>
			this.isolated(event.target as NodeSingular | EdgeSingular),
		);
		this.cy.on("pan zoom", (event) => {
			if ((event as { originalEvent?: unknown }).originalEvent) this.touched = true;
		});
		container.addEventListener("wheel", () => (this.touched = true), { passive: true });
		this.cy.on("tapdrag", () => (this.touched = true));
		this.cy.on("mouseover", "edge", (event) => {
			const line = this.lines.get((event.target as EdgeSingular).id());
			if (line) tip({ ...event.renderedPosition, lines: describe(line) });
		});
		this.cy.on("mouseout", "edge", () => tip(null));
	}

	update(props: Props): void {
		const before = this.props;
		this.props = props;
		if (
			this.drawn >= 0 &&
			before.graph === props.graph &&
			before.selection === props.selection &&
			before.scheme === props.scheme
		)
			return;
		if (before.scheme !== props.scheme) {
			this.colors = read_colors();
			this.cy.style(stylesheet(this.colors));
		}
		this.nodes = new Map(props.graph.nodes.map((n) => [n.key, n]));
		// What a card asks of itself is in its details; a loop would say nothing more.
		this.lines = new Map(props.graph.lines.filter((l) => l.from !== l.to).map((l) => [l.key, l]));
		this.cy.batch(() => {
			if (this.drawn !== props.structure) this.restructure();
			this.refresh();
		});
	}

	private restructure(): void {
		const known = this.places;
		const cards = this.props.graph.nodes;
		const new_cards = cards.some((n) => !known.has(n.key));
		const first = known.size === 0;
		this.drawn = this.props.structure;
		const wanted = new Set([
			...this.nodes.keys(),
			...this.lines.keys(),
			...this.props.graph.groups.map((g) => `group:${g}`),
		]);
		this.cy
			.elements()
			.filter((e) => !wanted.has(e.id()))
			.remove();
		if (new_cards) ({ places: this.places, routes: this.routes } = lay_out(this.props.graph));
		else this.places = new Map(cards.map((n) => [n.key, known.get(n.key)!]));
		for (const group of this.props.graph.groups)
			if (this.cy.getElementById(`group:${group}`).empty())
				this.cy.add({
					group: "nodes",
					data: { id: `group:${group}`, label: group },
					classes: "group",
				});
		const calm =
			first || matchMedia("(prefers-reduced-motion: reduce)").matches || cards.length > 120;
		for (const node of cards) {
			const position = this.places.get(node.key)!;
			const element = this.cy.getElementById(node.key);
			if (element.empty()) {
				const parent = node.group ? { parent: `group:${node.group}` } : {};
				this.cy.add({
					group: "nodes",
					data: { id: node.key, ...parent },
					position: { ...position },
					classes: "card",
				});
			} else if (calm) element.position({ ...position });
			else element.animate({ position: { ...position } }, { duration: GLIDE_MS });
		}
		if (new_cards && !this.touched) setTimeout(() => this.fit(), calm ? 0 : GLIDE_MS + 20);
	}

	private refresh(): void {
		const { selection } = this.props;
		const near = this.near(selection);
		for (const node of this.nodes.values()) {
			const element = this.cy.getElementById(node.key);
			const selected = selection.kind === "card" && selection.key === node.key;
			this.picture(node, element, selected);
			element.toggleClass("faded", near !== null && !near.has(node.key));
		}
		for (const line of this.lines.values()) this.refresh_line(line, near);
	}

	// Pictures are dear: only a card that looks different gets a new one.
	private picture(node: Node, element: cytoscape.CollectionReturnValue, selected: boolean): void {
		const look = [
			node.name,
			node.kind,
			node.folded,
			node.dropped > 0,
			node.change,
			selected,
			this.props.scheme,
			...node.ports,
		].join("|");
		if (this.pictures.get(node.key) === look && element.data("image")) return;
		this.pictures.set(node.key, look);
		const height = card_height(node);
		element.data({
			image: card_image(node, this.colors, selected),
			height,
			image_height: height + 4,
		});
	}

	private refresh_line(line: Line, near: Set<string> | null): void {
		const from = this.nodes.get(line.from);
		const to = this.nodes.get(line.to);
		const a = this.places.get(line.from);
		const b = this.places.get(line.to);
		if (!from || !to || !a || !b) return;
		const half = CARD_WIDTH / 2;
		const y = port_offset(to, line);
		// A folded or small source: all lines leave from the head's middle.
		const out = 20 - card_height(from) / 2;
		const lane = this.lane(line);
		const route =
			this.routes.get(`${line.from}>${line.to}`) ??
			(this.routes.size ? way_past(a, b, this.props.graph.nodes, this.places) : undefined);
		const points = route
			? corners(a, b, out + lane / 2, y + lane / 2.5, route.map((p) => ({ x: p.x, y: p.y + lane / 2 })))
			: [
					{ x: a.x + half, y: a.y + out },
					{ x: b.x - half - 2, y: b.y + y },
				];
		const start = points[0]!;
		const end = points.at(-1)!;
		const data = {
			width: width_of(line.count),
			label: label_of(line),
			source_end: `${start.x - a.x}px ${start.y - a.y}px`,
			target_end: `${end.x - b.x}px ${end.y - b.y}px`,
			...relative(route ? points : curve(start, end, lane)),
		};
		let element = this.cy.getElementById(line.key);
		if (element.empty())
			element = this.cy.add({
				group: "edges",
				data: { id: line.key, source: line.from, target: line.to, ...data },
				classes: line.outcome,
			});
		else element.data(data);
		const selection = this.props.selection;
		const selected =
			selection.kind === "edge" && selection.from === line.from && selection.to === line.to;
		element.toggleClass("routed", route !== undefined);
		element.toggleClass("selected", selected);
		element.toggleClass("gone", line.change === "gone");
		element.toggleClass("same", line.change === "same" && near === null);
		element.toggleClass("faded", near !== null && !near.has(line.key));
		element.toggleClass("near", near !== null && near.has(line.key));
	}

	private lane(line: Line): number {
		const alone =
			[...this.lines.values()].filter((l) => l.from === line.from && l.to === line.to).length === 1;
		return alone ? 0 : lanes[line.outcome];
	}

	// What the selection touches; null while nothing is selected.
	private near(selection: Selection): Set<string> | null {
		if (selection.kind !== "card" && selection.kind !== "edge") return null;
		const near = new Set<string>();
		for (const line of this.lines.values()) {
			const hit =
				selection.kind === "card"
					? line.from === selection.key || line.to === selection.key
					: line.from === selection.from && line.to === selection.to;
			if (hit) for (const key of [line.key, line.from, line.to]) near.add(key);
		}
		if (selection.kind === "card") near.add(selection.key);
		return near.size ? near : null;
	}

	private selection_of(element: NodeSingular | EdgeSingular): Selection {
		const line = this.lines.get(element.id());
		if (line) return { kind: "edge", from: line.from, to: line.to };
		return this.nodes.has(element.id()) ? { kind: "card", key: element.id() } : { kind: "nothing" };
	}

	private tapped(target: unknown): void {
		if (target === this.cy) this.props.on_select({ kind: "nothing" });
		else this.props.on_select(this.selection_of(target as NodeSingular));
	}

	private isolated(element: NodeSingular | EdgeSingular): void {
		const node = this.nodes.get(element.id());
		if (node && !node.card) this.props.on_unfold(node.name);
		else this.props.on_isolate(this.selection_of(element));
	}

	fit(): void {
		if (this.cy.elements().empty()) return;
		this.cy.fit(undefined, FIT_PADDING);
		if (this.cy.zoom() > FIT_ZOOM_MOST) {
			this.cy.zoom(FIT_ZOOM_MOST);
			this.cy.center();
		} else if (this.cy.width() < PHONE_PX && this.cy.zoom() < PHONE_ZOOM_LEAST) {
			// Names that can be read come first; the rest is a finger's move away.
			this.cy.zoom(PHONE_ZOOM_LEAST);
			this.cy.center();
			const left = this.cy.elements().renderedBoundingBox().x1;
			this.cy.panBy({ x: FIT_PADDING / 2 - left, y: 0 });
		}
		this.touched = false;
	}

	// The pane has another size: what was seen whole is seen whole.
	resized(): void {
		this.cy.resize();
		if (!this.touched) this.fit();
	}

	zoom(by: number): void {
		const middle = { x: this.cy.width() / 2, y: this.cy.height() / 2 };
		this.cy.zoom({ level: this.cy.zoom() * by, renderedPosition: middle });
		this.touched = true;
	}

	// The nearest card in a direction from the selected one, or the first.
	walk(dx: number, dy: number): void {
		const selection = this.props.selection;
		const here = selection.kind === "card" ? this.places.get(selection.key) : undefined;
		let best: { key: string; cost: number } | null = null;
		for (const [key, p] of this.places) {
			const [x, y] = here ? [p.x - here.x, p.y - here.y] : [p.x, p.y];
			const ahead = x * dx + y * dy;
			const aside = Math.abs(x * dy) + Math.abs(y * dx);
			if (here && ahead <= 1) continue;
			const cost = here ? ahead + aside * 2 : x + y;
			if (!best || cost < best.cost) best = { key, cost };
		}
		if (best) this.props.on_select({ kind: "card", key: best.key });
	}
}
