// The map: Cytoscape knows fingers, mouse and wheel, where one looks, and which card is meant; Canvas draws. Thousands of lines
// and hundreds of cards are more than Cytoscape draws while they move: docs/benchmarks.md.
import cytoscape, { type Core, type NodeSingular } from "cytoscape";
import { type Colors, read_colors } from "./card";
import { count_text } from "./flow";
import { folded_text, is_of_pair, type Line, type Node } from "./graph";
import { CARD_WIDTH, type Place, card_height, corners, is_past_cards, lay_out, port_offset, way_past } from "./layout";
import { Canvas, type Placed, type Stroke } from "./canvas";
import { type Block, curve, type Shape, shape_of } from "./line_shape";
import { type Group, type Spot, groups_of, placed, spots_of, with_newcomers } from "./places";
import type { Props } from "./ServiceMap";
import type { Selection } from "./state";

const GLIDE_MS = 260;
const GLIDING_MOST = 120; // cards; more would stutter
const FIT_PADDING = 20;
const FIT_FOOT = 44; // the legend's
const FIT_ZOOM_MOST = 1.3;
const PHONE_PX = 600;
const LEGEND_ABOVE_PX = 720; // of the pane; page.css has it, too
const PHONE_ZOOM_LEAST = 0.8;
const GROUP_HEAD = 34; // px above a card, which its group's name is in
const REACH_PX = 7; // from the pointer to a line that is meant
const SECOND_CLICK_MS = 400;

// What is said beside the pointer.
export interface Tip {
	x: number;
	y: number;
	lines: string[];
}

// By the rate, on a log scale from one flow in a hundred seconds on; in steps that the eye can tell apart.
function width_of(per_s: number): number {
	const magnitude = Math.min(6, Math.max(0, Math.log10(Math.max(1e-9, per_s)) + 2));
	return Math.round(4 * (1.2 + magnitude * 0.72)) / 4;
}

function stylesheet(): cytoscape.StylesheetJson {
	return [
		{
			selector: "node",
			style: {
				shape: "round-rectangle",
				width: CARD_WIDTH,
				height: "data(height)",
				"background-opacity": 0,
				"border-width": 0,
				"overlay-opacity": 0,
			},
		},
	];
}

function is_calm(): boolean {
	return matchMedia("(prefers-reduced-motion: reduce)").matches;
}

const outcomes: Line["outcome"][] = ["audited", "forwarded", "dropped", "unknown"]; // from above, of one row
const LANE_PX = 14; // between lines of the same two cards, on their way
const LANES_PX = 44; // all of them, at most
const ARRIVAL_PX = 5; // between those that end at the same row

// Where a line runs beside the others of the same two cards, and beside those that end at the same row; 0: alone.
interface Lane {
	on_way: number;
	at_end: number;
}

// The higher the row, the higher the lane: lines to one card do not cross.
function lanes_of(lines: Line[], into: (line: Line) => number): Map<Line, Lane> {
	const lanes = new Map<Line, Lane>();
	const pairs = new Map<string, Line[]>();
	for (const line of lines) {
		const pair = `${line.from}>${line.to}`;
		const list = pairs.get(pair);
		if (list) list.push(line);
		else pairs.set(pair, [line]);
	}
	const rank = (line: Line) => outcomes.indexOf(line.outcome);
	for (const list of pairs.values()) {
		if (list.length === 1) {
			lanes.set(list[0]!, { on_way: 0, at_end: 0 });
			continue;
		}
		list.sort((a, b) => into(a) - into(b) || rank(a) - rank(b));
		const step = Math.min(LANE_PX, LANES_PX / list.length);
		list.forEach((line, i) => {
			const beside = list.filter((other) => into(other) === into(line));
			lanes.set(line, {
				on_way: (i - (list.length - 1) / 2) * step,
				at_end: (beside.indexOf(line) - (beside.length - 1) / 2) * ARRIVAL_PX,
			});
		});
	}
	return lanes;
}

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

function describe_card(node: Node, lines: Line[]): string[] {
	const sum = (end: "from" | "to", what: "dropped" | "all") =>
		lines
			.filter((l) => l[end] === node.key && (what === "all" || l.outcome === "dropped"))
			.reduce((n, l) => n + l.count, 0);
	const said = (end: "from" | "to", words: string) => {
		const [all, dropped] = [sum(end, "all"), sum(end, "dropped")];
		return all ? [`${words} ${count_text(all)}${dropped ? `, ${count_text(dropped)} dropped` : ""}`] : [];
	};
	const name = node.group ? `${node.group}/${node.name}` : node.name;
	return [
		node.card ? name : `${name}: ${folded_text(node)}, click to unfold`,
		...said("to", "asked"),
		...said("from", "asks"),
	];
}

export class Drawing {
	readonly cy: Core;
	private readonly layer: Canvas;
	private colors: Colors;
	private spots = new Map<string, Spot>(); // of all cards since all was laid out, shown or not
	private places = new Map<string, Place>(); // where cards belong
	private seen_at = new Map<string, Place>(); // where they are, while they glide there
	private is_layered = false;
	private routes = new Map<string, Place[]>();
	private shapes = new Map<string, { of: string; shape: Shape }>(); // of lines, and what they were made from
	private drawn = -1;
	private arrangement = -1;
	private folds = false;
	private is_arranging = false; // what comes with the first cards is laid out with them
	private touched = false; // the reader chose where to look
	private gliding = 0;
	private unfolded_at = -SECOND_CLICK_MS;
	private over = ""; // what the pointer is over
	nodes = new Map<string, Node>();
	lines = new Map<string, Line>();

	constructor(
		container: HTMLElement,
		private props: Props,
		private tip: (tip: Tip | null) => void,
	) {
		this.colors = read_colors();
		this.cy = cytoscape({
			container,
			style: stylesheet(),
			autoungrabify: true,
			boxSelectionEnabled: false,
			selectionType: "single",
			minZoom: 0.05,
			maxZoom: 2.5,
		});
		this.layer = new Canvas(container, this.colors);
		this.layer.resize(this.cy.width(), this.cy.height());
		this.cy.on("tap", (event) => this.tapped(this.selection_at(event)));
		this.cy.on("dbltap", (event) => this.isolated(this.selection_at(event)));
		this.cy.on("viewport", () => this.layer.look({ zoom: this.cy.zoom(), ...this.cy.pan() }));
		this.cy.on("pan zoom", (event) => {
			if ((event as { originalEvent?: unknown }).originalEvent) this.touched = true;
		});
		container.addEventListener("wheel", () => (this.touched = true), { passive: true });
		this.cy.on("tapdrag", (event) => {
			if ((event.originalEvent as MouseEvent | undefined)?.buttons) this.touched = true;
		});
		this.cy.on("mousemove", (event) => this.hover(event, container));
		container.addEventListener("pointerleave", () => this.say(null));
	}

	// The map as it is to be seen now, drawn at once: while a page is printed no frames come. Paper is light.
	sheet(): HTMLCanvasElement | null {
		cancelAnimationFrame(this.gliding);
		this.glide(this.places);
		this.shapes.clear();
		this.draw();
		this.resized();
		return this.layer.sheet(read_colors("light"));
	}

	destroy(): void {
		cancelAnimationFrame(this.gliding);
		this.layer.destroy();
		this.cy.destroy();
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
			this.layer.paint(this.colors);
		}
		const known = this.lines;
		this.take_nodes();
		// What a card asks of itself is in its details; a loop would say nothing more.
		this.lines = new Map(props.graph.lines.filter((l) => l.from !== l.to).map((l) => [l.key, l]));
		this.cy.batch(() => {
			if (this.drawn !== props.structure) this.restructure();
			this.refresh();
		});
		if (before.is_followed && props.is_followed) this.tell_changes(known);
	}

	// A verdict that is new between two that had talked before.
	private tell_changes(known: Map<string, Line>): void {
		if (is_calm()) return;
		const pair = ({ from, to }: Line) => `${from}>${to}`;
		const pairs = new Set([...known.values()].map(pair));
		const verdicts = new Set([...known.values()].map((line) => `${pair(line)}:${line.outcome}`));
		const rows = new Set([...known.values()].map((line) => `${pair(line)}|${line.row}`));
		for (const [key, line] of this.lines) {
			if (known.has(key) || !pairs.has(pair(line))) continue;
			// A port that is asked for the first time has the verdict that others have.
			if (!verdicts.has(`${pair(line)}:${line.outcome}`) || rows.has(`${pair(line)}|${line.row}`)) this.layer.pulse(key);
		}
	}

	// Cards as the graph has them, with as many rows as there is room for.
	private take_nodes(): void {
		this.nodes = new Map(
			this.props.graph.nodes.map((node) => {
				const spot = this.spots.get(node.key);
				return [node.key, spot ? placed(node, spot).node : node];
			}),
		);
	}

	// All anew where nothing is known of what is shown, or its reader asked for it; else newcomers find room.
	private must_arrange(): boolean {
		const { graph, arrangement, is_young } = this.props;
		const known = graph.nodes.filter((n) => this.spots.has(n.key)).length;
		return (
			known === 0 ||
			arrangement !== this.arrangement ||
			graph.folds !== this.folds ||
			(is_young && (this.is_arranging || known < graph.nodes.length / 2))
		);
	}

	private restructure(): void {
		this.say(null); // what the pointer was over may be elsewhere
		const { graph, arrangement, structure } = this.props;
		const known = this.places;
		this.drawn = structure;
		this.cy
			.elements()
			.filter((e) => !this.nodes.has(e.id()))
			.remove();
		this.shapes.clear();
		if (!graph.nodes.length) {
			this.is_arranging = false;
			this.places = new Map();
			return;
		}
		this.is_arranging = this.must_arrange();
		if (this.is_arranging) {
			this.arrangement = arrangement;
			this.folds = graph.folds;
			const { places, is_layered, routes } = lay_out(graph);
			this.is_layered = is_layered;
			this.routes = routes;
			this.spots = spots_of(graph, places);
		} else this.spots = with_newcomers(graph, this.spots);
		this.take_nodes();
		const cards = [...this.nodes.values()];
		this.places = new Map(cards.map((node) => [node.key, placed(node, this.spots.get(node.key)!).at]));
		if (!this.is_arranging) this.reroute(cards);
		for (const node of cards) {
			if (this.cy.getElementById(node.key).empty())
				this.cy.add({
					group: "nodes",
					data: { id: node.key },
					position: { ...this.places.get(node.key)! },
					pannable: true, // the map is dragged by its cards, too
					classes: "card",
				});
		}
		const calm = !known.size || is_calm() || cards.length > GLIDING_MOST;
		this.glide(calm || !this.is_arranging ? this.places : known);
		// What is asked for anew is looked at as a whole, and so is who comes where nobody looks.
		if (!this.touched && (this.is_arranging || this.props.is_young || !this.sees_all()))
			setTimeout(() => this.fit(), calm || !this.is_arranging ? 0 : GLIDE_MS + 20);
	}

	// Lines that newcomers stand on find another way.
	private reroute(cards: Node[]): void {
		for (const { from, to } of this.lines.values()) {
			const route = this.routes.get(`${from}>${to}`);
			if (route && !is_past_cards(from, to, route, cards, this.places)) this.routes.delete(`${from}>${to}`);
		}
	}

	// All cards anew, for those who ask for it.
	arrange(): void {
		this.arrangement = -1;
		this.touched = false;
		this.cy.batch(() => {
			this.restructure();
			this.refresh();
		});
	}

	// Cards that had a place move from there to where they belong now, and lines with them.
	private glide(from: Map<string, Place>): void {
		cancelAnimationFrame(this.gliding);
		const start = performance.now();
		const moving = [...this.places].some(([key, to]) => {
			const at = from.get(key);
			return at && (at.x !== to.x || at.y !== to.y);
		});
		const put = (share: number) => {
			this.seen_at = new Map(
				[...this.places].map(([key, to]) => {
					const at = from.get(key) ?? to;
					return [key, { x: at.x + (to.x - at.x) * share, y: at.y + (to.y - at.y) * share }];
				}),
			);
			this.cy.batch(() => {
				for (const [key, at] of this.seen_at) this.cy.getElementById(key).position({ ...at });
			});
		};
		const step = () => {
			const share = Math.min(1, (performance.now() - start) / GLIDE_MS);
			put(1 - (1 - share) ** 3);
			this.shapes.clear();
			this.draw();
			if (share < 1) this.gliding = requestAnimationFrame(step);
		};
		put(moving ? 0 : 1);
		if (moving) this.gliding = requestAnimationFrame(step);
	}

	private refresh(): void {
		const { selection } = this.props;
		for (const node of this.nodes.values()) {
			const element = this.cy.getElementById(node.key);
			const height = card_height(node);
			if (element.data("height") !== height) element.data("height", height);
		}
		this.draw();
		const is_selected = (l: Line) =>
			selection.kind === "edge" && is_of_pair(l, selection.from, selection.to);
		const selected = new Set([...this.lines.values()].filter(is_selected).map((l) => l.key));
		if (selection.kind === "card") selected.add(selection.key);
		this.layer.highlight(this.near(selection), selected);
	}

	private draw(): void {
		const lanes = lanes_of([...this.lines.values()], (line) => {
			const to = this.nodes.get(line.to);
			return to ? port_offset(to, line) : 0;
		});
		const blocks = this.blocks();
		const span_s = Math.max(10, this.props.span_s);
		const strokes: Stroke[] = [];
		for (const line of this.lines.values()) {
			const shape = this.shape(line, lanes.get(line)!, blocks);
			if (shape)
				strokes.push({
					key: line.key,
					shape,
					outcome: line.outcome,
					width: width_of(line.count / span_s),
					label: label_of(line),
					look: line.change === "gone" ? "gone" : line.change === "same" ? "same" : "plain",
				});
		}
		const cards = [...this.nodes.values()].flatMap((node): Placed[] => {
			const at = this.seen_at.get(node.key);
			return at ? [{ node, at }] : [];
		});
		this.layer.set(strokes, cards, this.groups());
	}

	private shape(line: Line, { on_way: lane, at_end }: Lane, blocks: Map<string, Block>): Shape | null {
		const from = this.nodes.get(line.from);
		const to = this.nodes.get(line.to);
		const a = this.seen_at.get(line.from);
		const b = this.seen_at.get(line.to);
		if (!from || !to || !a || !b) return null;
		const y = port_offset(to, line) + at_end;
		const made_from = `${y}|${lane}|${card_height(from)}`;
		const known = this.shapes.get(line.key);
		if (known?.of === made_from) return known.shape;
		// A folded or small source: all lines leave from the head's middle.
		const out = 20 - card_height(from) / 2;
		const route =
			this.routes.get(`${line.from}>${line.to}`) ??
			(this.is_layered ? way_past(a, b, [...this.nodes.values()], this.seen_at) : undefined);
		const [block_a, block_b] = [blocks.get(line.from), blocks.get(line.to)];
		const shape = route
			? shape_of(
					corners(a, b, out + lane / 2, y, route.map((p) => ({ x: p.x, y: p.y + lane / 2 })), lane),
					false,
				)
			: curve(a, b, out, y, lane, block_a && block_b && block_a !== block_b ? [block_a, block_b] : undefined);
		this.shapes.set(line.key, { of: made_from, shape });
		return shape;
	}

	// Around cards where they are seen.
	private groups(): Group[] {
		const seen = [...this.nodes.values()].flatMap((node): Spot[] => {
			const [spot, at] = [this.spots.get(node.key), this.seen_at.get(node.key)];
			const height = card_height(node);
			return spot && at ? [{ ...spot, x: at.x, top: at.y - height / 2, height }] : [];
		});
		return groups_of(seen);
	}

	// Of cards, by their keys.
	private blocks(): Map<string, Block> {
		const blocks = new Map(
			this.groups().map((g) => [
				`${g.name}|${g.part}`,
				{ left: g.left, right: g.right, middle: (g.top + g.bottom) / 2 },
			]),
		);
		return new Map(
			[...this.nodes.keys()].flatMap((key): [string, Block][] => {
				const spot = this.spots.get(key);
				const block = spot && blocks.get(`${spot.group}|${spot.part}`);
				return block ? [[key, block]] : [];
			}),
		);
	}

	// What the selection touches; null while nothing that is on the map is selected.
	private near(selection: Selection): Set<string> | null {
		if (selection.kind !== "card" && selection.kind !== "edge") return null;
		const near = new Set<string>();
		for (const line of this.lines.values()) {
			const hit =
				selection.kind === "card"
					? line.from === selection.key || line.to === selection.key
					: is_of_pair(line, selection.from, selection.to);
			if (hit) for (const key of [line.key, line.from, line.to]) near.add(key);
		}
		if (selection.kind === "card" && this.nodes.has(selection.key)) near.add(selection.key);
		return near.size ? near : null;
	}

	private line_at(event: cytoscape.EventObject): Line | undefined {
		const { x, y } = event.position;
		const stroke = this.layer.hit(x, y, REACH_PX / this.cy.zoom());
		return stroke ? this.lines.get(stroke.key) : undefined;
	}

	private selection_at(event: cytoscape.EventObject): Selection {
		if (event.target !== this.cy) return { kind: "card", key: (event.target as NodeSingular).id() };
		const line = this.line_at(event);
		return line ? { kind: "edge", from: line.from, to: line.to } : { kind: "nothing" };
	}

	private hover(event: cytoscape.EventObject, container: HTMLElement): void {
		if ((event.originalEvent as MouseEvent | undefined)?.buttons) return this.say(null);
		const node = event.target === this.cy ? undefined : this.nodes.get((event.target as NodeSingular).id());
		const line = node ? undefined : this.line_at(event);
		container.style.cursor = node || line ? "pointer" : "";
		if (node) this.say({ ...event.renderedPosition, lines: describe_card(node, [...this.lines.values()]) });
		else if (line) this.say({ ...event.renderedPosition, lines: describe(line) });
		else this.say(null);
	}

	private say(tip: Tip | null): void {
		const over = JSON.stringify(tip);
		if (over === this.over) return;
		this.over = over;
		this.tip(tip);
	}

	private tapped(selection: Selection): void {
		const node = selection.kind === "card" ? this.nodes.get(selection.key) : undefined;
		if (node && !node.card) {
			this.unfolded_at = performance.now();
			this.props.on_unfold(node.name);
		} else if (!this.is_second_click()) this.props.on_select(selection);
	}

	private isolated(selection: Selection): void {
		const node = selection.kind === "card" ? this.nodes.get(selection.key) : undefined;
		if (selection.kind !== "nothing" && (!node || node.card) && !this.is_second_click())
			this.props.on_isolate(selection);
	}

	// What Enter does to the selected card.
	enter(): void {
		const { selection } = this.props;
		const node = selection.kind === "card" ? this.nodes.get(selection.key) : undefined;
		if (node && !node.card) this.props.on_unfold(node.name);
		else if (node) this.props.on_isolate(selection);
	}

	// Of a double click, of which the first has unfolded what was there: it is not meant for what has come in its place.
	private is_second_click(): boolean {
		return performance.now() - this.unfolded_at < SECOND_CLICK_MS;
	}

	// All that is drawn, from the leftmost to the lowest.
	private extent(): { left: number; top: number; right: number; bottom: number } {
		const boxes = [...this.nodes.values()].flatMap((node) => {
			const at = this.places.get(node.key);
			const [w, h] = [CARD_WIDTH / 2, card_height(node) / 2];
			return at ? [{ left: at.x - w, top: at.y - h, right: at.x + w, bottom: at.y + h }] : [];
		});
		const lines = [...this.shapes.values()].map(({ shape: { box } }) => {
			const [left, top, right, bottom] = box;
			return { left, top, right, bottom };
		});
		const all = [...boxes, ...this.groups(), ...lines];
		return {
			left: Math.min(...all.map((b) => b.left)),
			top: Math.min(...all.map((b) => b.top)),
			right: Math.max(...all.map((b) => b.right)),
			bottom: Math.max(...all.map((b) => b.bottom)),
		};
	}

	private sees_all(): boolean {
		const { left, top, right, bottom } = this.extent();
		const { x1, y1, x2, y2 } = this.cy.extent();
		return left >= x1 && top >= y1 && right <= x2 && bottom <= y2;
	}

	fit(): void {
		if (!this.nodes.size) return;
		const { left, top, right, bottom } = this.extent();
		const [width, height] = [this.cy.width(), this.cy.height()];
		const fits = Math.min(
			(width - 2 * FIT_PADDING) / (right - left),
			(height - FIT_PADDING - FIT_FOOT) / (bottom - top),
		);
		// Names that can be read come first; the rest is a finger's move away.
		const small = width < PHONE_PX && fits < PHONE_ZOOM_LEAST;
		const zoom = small ? PHONE_ZOOM_LEAST : Math.max(this.cy.minZoom(), Math.min(FIT_ZOOM_MOST, fits));
		const room = { width: (width - FIT_PADDING) / zoom, height: (height - FIT_FOOT - FIT_PADDING) / zoom };
		const [too_wide, too_high] = [right - left > room.width, bottom - top > room.height];
		const best = too_wide || too_high ? this.fullest(room) : null;
		const x = best && too_wide ? FIT_PADDING / 2 - best.left * zoom : width / 2 - (zoom * (left + right)) / 2;
		const middle = best && too_high ? best.top + room.height / 2 : (top + bottom) / 2;
		const [head, foot] = width <= LEGEND_ABOVE_PX ? [FIT_FOOT, FIT_PADDING] : [FIT_PADDING, FIT_FOOT];
		this.cy.viewport({ zoom, pan: { x, y: (height - foot + head) / 2 - zoom * middle } });
		this.touched = false;
	}

	// Of a pane that not all of the map fits into, the corner from which most cards are seen whole; who was refused something
	// counts twice.
	private fullest({ width, height }: { width: number; height: number }): { left: number; top: number } {
		const cards = [...this.nodes.values()].flatMap((node) => {
			const [at, half] = [this.places.get(node.key), card_height(node) / 2];
			const weight = node.dropped ? 2 : 1;
			return at ? [{ left: at.x - CARD_WIDTH / 2, top: at.y - half, bottom: at.y + half, weight }] : [];
		});
		const places = (of: number[]) => [...new Set(of)].sort((a, b) => a - b);
		let best = { left: 0, top: 0, weight: 0 };
		for (const left of places(cards.map((c) => c.left))) {
			const column = cards.filter((c) => c.left >= left && c.left + CARD_WIDTH <= left + width);
			for (const top of places(column.map((c) => c.top - GROUP_HEAD))) {
				const seen = column.filter((c) => c.top >= top && c.bottom <= top + height);
				const weight = seen.reduce((sum, c) => sum + c.weight, 0);
				if (weight > best.weight) best = { left, top, weight };
			}
		}
		return best;
	}

	// The pane has another size: what was seen whole is seen whole.
	resized(): void {
		this.cy.resize();
		this.layer.resize(this.cy.width(), this.cy.height());
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
