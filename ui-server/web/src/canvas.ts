// The map on canvases: everything that puts lines, cards and groups there.
//
//	ground   groups; drawn anew for each frame that moves
//	picture  all lines and cards; larger than the pane. While the map moves it is only shifted and scaled; once it rests it
//	         is drawn anew, sharp. With many lines that goes in slices, between which the browser breathes.
//	top      what is selected and what is next to it, and the groups' names; drawn anew for each frame that moves
//	sheet    all of these on one, for paper: made at once, where it is asked for
import { type Colors, draw_card, fit, font } from "./card";
import type { Outcome } from "./flow";
import { along, arrival, distance, type Shape, trace } from "./line_shape";
import type { Node } from "./graph";
import { CARD_WIDTH, type Place, card_height } from "./layout";
import type { Group } from "./places";

export interface Stroke {
	key: string;
	shape: Shape;
	outcome: Outcome;
	width: number; // px at full size
	label: string; // on its middle
	look: "plain" | "gone" | "same";
}

export interface Placed {
	node: Node;
	at: Place; // its middle
}

export interface Viewport {
	zoom: number;
	x: number; // of the map's origin in the pane
	y: number;
}

const MARGIN = 256; // px of the picture beyond each edge of the pane
const AT_ONCE = 250; // lines that need no slices
const CHUNK = 40; // lines stroked together
const SLICE_MS = 8; // of drawing in a frame that rests
const MOVING_SLICE_MS = 4;
const FRAME_MS = 20; // a frame that took longer had too large a slice
const REST_MS = 140; // without a move
const SCALED_MOST = 2; // the picture is not stretched further while the map moves
const PULSE_MS = 700;
const PAUSE_OF_WORK = 8; // times as long as a picture took
const NAMES_FROM = 0.3; // zoom: on smaller cards names cannot be read
const NEAR_PX = 1.3; // on the screen, at least, of lines that stand out
const EDGE_PX = 8; // from the pane's edge to a group's name that is held there
const CARD_REACH = 100; // px from a card's middle to its corners, at most
const THIN = 0.4; // px on the screen, at least
const HEAD_FROM = 3; // px on the screen: smaller heads are left out
const LABEL_ROOM = 26; // px on the screen between two labels
const LABEL_SHARES = [0.5, 0.4, 0.6, 0.3, 0.7, 0.2, 0.8]; // of its line's way, where a label may be
const FAR_ALPHA = 0.3; // of what does not stand out, where something does
const SHEET_RATIO = 3; // pixels of a sheet for a px: printers see more than screens
const LABELS_PAST_CARDS = 150; // cards: among more of them labels are in the middle of their lines

// Lines that are stroked alike.
interface Batch {
	look: Stroke["look"];
	outcome: Outcome;
	width: number;
	strokes: Stroke[];
}

// A picture of all lines as they were at one time, seen from one place.
interface Picture {
	canvas: HTMLCanvasElement;
	view: Viewport;
	content: number;
}

interface Job extends Picture {
	batches: Batch[];
	strokes: Stroke[];
	cards: Placed[];
	at: number; // of batches
	card: number; // of cards
	began_at: number;
}

const order: Outcome[] = ["unknown", "forwarded", "audited", "dropped"]; // the last on top

function batches_of(strokes: Stroke[]): Batch[] {
	const alike = new Map<string, Batch>();
	for (const stroke of strokes) {
		const { look, outcome, width } = stroke;
		const key = `${look}|${outcome}|${width}`;
		const known = alike.get(key);
		if (known) known.strokes.push(stroke);
		else alike.set(key, { look, outcome, width, strokes: [stroke] });
	}
	return [...alike.values()]
		.sort((a, b) => order.indexOf(a.outcome) - order.indexOf(b.outcome) || a.width - b.width)
		.flatMap((batch) =>
			Array.from({ length: Math.ceil(batch.strokes.length / CHUNK) }, (_, i) => ({
				...batch,
				strokes: batch.strokes.slice(i * CHUNK, (i + 1) * CHUNK),
			})),
		);
}

// For where there is no room for the words.
function short_label(label: string): string {
	const signs: Record<string, string> = { "no longer dropped": "✓", new: "+", gone: "−" };
	return label.startsWith("✕") ? "✕" : (signs[label] ?? label);
}

export class Canvas {
	private readonly box: HTMLDivElement;
	private readonly ground: HTMLCanvasElement;
	private readonly top: HTMLCanvasElement;
	private picture: Picture;
	private spare: HTMLCanvasElement; // for the next
	private job: Job | null = null;
	private strokes: Stroke[] = [];
	private batches: Batch[] = [];
	private cards: Placed[] = [];
	private looks = ""; // of the cards, and where they are
	private groups: Group[] = [];
	private near: Set<string> | null = null;
	private selected: Set<string> = new Set();
	private pulses = new Map<string, number>(); // keys of lines, and since when
	private content = 0; // grows with each change of what is drawn
	private view: Viewport = { zoom: 1, x: 0, y: 0 };
	private width = 0;
	private height = 0;
	private moved_at = 0;
	private frame = 0; // 0: none is asked for
	private took_ms = 0; // to make the last picture
	private finished_at = 0;
	private drew_at = 0; // when a slice began; 0: not in the frame before
	private per_slice = 4 * CHUNK; // lines, at most
	private shifted = false; // ground and top are not what they should be

	constructor(
		container: HTMLElement,
		private colors: Colors,
	) {
		this.box = document.createElement("div");
		this.box.className = "lines";
		this.ground = this.canvas();
		this.top = this.canvas();
		this.picture = { canvas: this.canvas(), view: this.view, content: -1 };
		this.spare = this.canvas();
		this.box.append(this.ground, this.picture.canvas, this.top);
		container.prepend(this.box);
	}

	private canvas(): HTMLCanvasElement {
		return document.createElement("canvas");
	}

	destroy(): void {
		cancelAnimationFrame(this.frame);
		this.box.remove();
	}

	resize(width: number, height: number): void {
		if (width === this.width && height === this.height) return;
		[this.width, this.height] = [width, height];
		this.job = null;
		for (const canvas of [this.ground, this.top]) this.size(canvas, 0);
		this.change();
	}

	private size(canvas: HTMLCanvasElement, margin: number, ratio = devicePixelRatio || 1): void {
		canvas.width = Math.ceil((this.width + 2 * margin) * ratio);
		canvas.height = Math.ceil((this.height + 2 * margin) * ratio);
		canvas.style.width = `${canvas.width / ratio}px`;
		canvas.style.height = `${canvas.height / ratio}px`;
	}

	paint(colors: Colors): void {
		this.colors = colors;
		this.change();
	}

	set(strokes: Stroke[], cards: Placed[], groups: Group[]): void {
		this.groups = groups;
		this.cards = cards;
		const looks = cards
			.map(({ node: n, at }) => [at.x, at.y, n.key, n.kind, n.folded, n.dropped > 0, n.change, n.rows, ...n.ports.slice(0, 5)])
			.join();
		const same_cards = looks === this.looks;
		this.looks = looks;
		this.shifted = true;
		// Numbers that grow do not show in most lines: only what looks different is drawn anew; and what is only thicker or
		// thinner than before, of thousands there is always one, not so often that it takes much of the time.
		const all = (alike: (now: Stroke, before: Stroke) => boolean) =>
			same_cards &&
			strokes.length === this.strokes.length &&
			strokes.every((s, i) => alike(s, this.strokes[i]!));
		const alike = (a: Stroke, b: Stroke) =>
			a.shape === b.shape && a.label === b.label && a.look === b.look && a.key === b.key;
		const is_soon = performance.now() < this.finished_at + PAUSE_OF_WORK * this.took_ms;
		if (all((a, b) => alike(a, b) && (is_soon || a.width === b.width))) return this.wake();
		this.strokes = strokes;
		this.batches = batches_of(strokes);
		this.change();
	}

	// @near: keys of lines and cards that stand out from the others, null: none do. @selected: of these, what is selected itself.
	highlight(near: Set<string> | null, selected: Set<string>): void {
		this.near = near;
		this.selected = selected;
		this.shifted = true;
		this.wake();
	}

	// Something happened on this line: it is seen for a moment.
	pulse(key: string): void {
		this.pulses.set(key, performance.now());
		this.shifted = true;
		this.wake();
	}

	look(view: Viewport): void {
		if (view.zoom === this.view.zoom && view.x === this.view.x && view.y === this.view.y) return;
		this.view = view;
		this.moved_at = performance.now();
		this.shifted = true;
		this.place();
		this.wake();
	}

	// The line nearest to a point of the map, not farther away than @reach; drops first, as they lie on top.
	hit(x: number, y: number, reach: number): Stroke | null {
		let best: Stroke | null = null;
		let least = Infinity;
		for (const stroke of this.strokes) {
			if (this.near && !this.near.has(stroke.key)) continue;
			const d = distance(stroke.shape, x, y, reach) - (stroke.outcome === "dropped" ? 1 : 0);
			if (d < least) [best, least] = [stroke, d];
		}
		return best;
	}

	// What the pane shows, in these colours; null: it shows nothing, or has no room.
	sheet(colors: Colors): HTMLCanvasElement | null {
		if (!this.width || !this.height || !this.cards.length) return null;
		const [sheet, picture] = [this.canvas(), this.canvas()];
		const on = (canvas: HTMLCanvasElement) => {
			this.size(canvas, 0, SHEET_RATIO);
			return this.context(canvas, this.view, 0, SHEET_RATIO);
		};
		const [c, lines] = [on(sheet), on(picture)];
		const own = this.colors;
		this.colors = colors;
		this.draw_ground(c);
		for (const batch of this.batches) this.stroke(lines, batch, this.view.zoom, this.strokes.length);
		this.put_labels(lines, this.strokes, this.cards, this.view.zoom);
		for (const { node, at } of this.cards) draw_card(lines, node, at, colors, false, this.view.zoom);
		c.save();
		c.resetTransform();
		c.globalAlpha = this.near ? FAR_ALPHA : 1;
		c.drawImage(picture, 0, 0);
		c.restore();
		this.draw_top(c, performance.now());
		this.colors = own;
		return sheet;
	}

	private change(): void {
		this.content++;
		this.shifted = true;
		this.wake();
	}

	private wake(): void {
		if (!this.frame) this.frame = requestAnimationFrame((now) => this.next_frame(now));
	}

	// Where the picture belongs, seen from here.
	private place(): void {
		const { canvas, view } = this.picture;
		const scale = this.view.zoom / view.zoom;
		const ratio = devicePixelRatio || 1;
		const whole = (n: number) => Math.round(n * ratio) / ratio; // or it would be blurred
		const x = this.view.x - scale * (view.x + MARGIN);
		const y = this.view.y - scale * (view.y + MARGIN);
		canvas.style.transform =
			scale === 1 ? `translate(${whole(x)}px, ${whole(y)}px)` : `translate(${x}px, ${y}px) scale(${scale})`;
		canvas.style.opacity = String(this.near ? FAR_ALPHA : 1);
	}

	// True while the picture, moved as it is, has something for every part of the pane, and no blocks for pixels.
	private covers(): boolean {
		const { view } = this.picture;
		const scale = this.view.zoom / view.zoom;
		const left = this.view.x - scale * (view.x + MARGIN);
		const top = this.view.y - scale * (view.y + MARGIN);
		return (
			scale <= SCALED_MOST &&
			left <= 0 &&
			top <= 0 &&
			left + scale * (this.width + 2 * MARGIN) >= this.width &&
			top + scale * (this.height + 2 * MARGIN) >= this.height
		);
	}

	private next_frame(now: number): void {
		this.frame = 0;
		if (this.drew_at) {
			const took = performance.now() - this.drew_at;
			this.per_slice =
				took > FRAME_MS
					? Math.max(CHUNK, this.per_slice * 0.7)
					: Math.min(50 * CHUNK, this.per_slice * 1.2);
			this.drew_at = 0;
		}
		if (this.shifted || this.pulses.size) {
			this.shifted = false;
			this.draw_ground(this.clear(this.ground));
			this.draw_top(this.clear(this.top), now);
			this.place();
		}
		const same_view = (a: Viewport) => a.zoom === this.view.zoom && a.x === this.view.x && a.y === this.view.y;
		const is_new = this.picture.content === this.content && same_view(this.picture.view);
		const resting = performance.now() - this.moved_at > REST_MS;
		if (!is_new && this.width) {
			if (this.job && resting && !same_view(this.job.view)) this.job = null;
			if (!this.job && (resting || !this.covers())) this.begin();
			if (this.job)
				this.go_on(this.strokes.length <= AT_ONCE ? Infinity : resting ? SLICE_MS : MOVING_SLICE_MS);
			this.wake();
		}
		if (this.pulses.size) this.wake();
	}

	private begin(): void {
		const canvas = this.spare;
		this.size(canvas, MARGIN); // which clears it
		this.job = {
			canvas,
			view: { ...this.view },
			content: this.content,
			batches: this.batches,
			strokes: this.strokes,
			cards: this.cards,
			at: 0,
			card: 0,
			began_at: performance.now(),
		};
	}

	// The picture that is being made, for @budget_ms more.
	private go_on(budget_ms: number): void {
		const job = this.job!;
		const start = performance.now();
		const c = this.context(job.canvas, job.view, MARGIN);
		const { zoom } = job.view;
		let drawn = 0;
		while (drawn < this.per_slice || budget_ms === Infinity) {
			if (performance.now() - start > budget_ms) break;
			if (job.at < job.batches.length) {
				const batch = job.batches[job.at++]!;
				this.stroke(c, batch, zoom, job.strokes.length);
				drawn += batch.strokes.length;
				if (job.at === job.batches.length) this.put_labels(c, job.strokes, job.cards, zoom);
			} else if (job.card < job.cards.length) {
				const { node, at } = job.cards[job.card++]!;
				if (this.is_seen(at, job.view)) draw_card(c, node, at, this.colors, false, zoom);
				drawn += 2;
			} else break;
		}
		this.drew_at = budget_ms === Infinity ? 0 : start;
		if (job.at < job.batches.length || job.card < job.cards.length) return;
		job.canvas.dataset["lines"] = String(job.strokes.length);
		this.picture.canvas.replaceWith(job.canvas);
		this.spare = this.picture.canvas;
		this.picture = { canvas: job.canvas, view: job.view, content: job.content };
		this.job = null;
		this.finished_at = performance.now();
		this.took_ms = this.finished_at - job.began_at;
		this.place();
	}

	// Whether a card there is on the picture.
	private is_seen({ x, y }: Place, view: Viewport): boolean {
		const [left, top] = [x * view.zoom + view.x + MARGIN, y * view.zoom + view.y + MARGIN];
		const reach = CARD_REACH * view.zoom;
		return (
			left > -reach && top > -reach && left < this.width + 2 * MARGIN + reach && top < this.height + 2 * MARGIN + reach
		);
	}

	private context(
		canvas: HTMLCanvasElement,
		view: Viewport,
		margin: number,
		ratio = devicePixelRatio || 1,
	): CanvasRenderingContext2D {
		const c = canvas.getContext("2d")!;
		const zoom = view.zoom * ratio;
		c.setTransform(zoom, 0, 0, zoom, (view.x + margin) * ratio, (view.y + margin) * ratio);
		return c;
	}

	private clear(canvas: HTMLCanvasElement): CanvasRenderingContext2D {
		const c = canvas.getContext("2d")!;
		c.resetTransform();
		c.clearRect(0, 0, canvas.width, canvas.height);
		return this.context(canvas, this.view, 0);
	}

	private color_of(outcome: Outcome, look: Stroke["look"]): string {
		return look === "gone" || outcome === "unknown" ? this.colors.quiet : this.colors[outcome];
	}

	// @of: lines of the whole map. Among thousands each is thinner and lets others through, so that what many share is dark.
	private stroke(c: CanvasRenderingContext2D, batch: Batch, zoom: number, of: number, thin = THIN): void {
		const { outcome, look } = batch;
		const crowd = Math.min(1, Math.max(0, Math.log10(of / 50) / 1.65));
		const quiet = outcome === "forwarded" || outcome === "unknown";
		const width = Math.max(thin / zoom, batch.width * (1 - 0.5 * crowd));
		const dash = Math.max(1, 0.6 / zoom);
		const color = this.color_of(outcome, look);
		const head = 6 + width * 1.6;
		const has_head = head * zoom >= HEAD_FROM;
		c.globalAlpha = look === "same" ? 0.3 : quiet ? 1 - 0.6 * crowd : 1;
		c.strokeStyle = c.fillStyle = color;
		c.lineWidth = width;
		c.lineCap = "butt";
		c.setLineDash(
			(look === "gone"
				? [3, 6]
				: outcome === "dropped"
					? [7, 5]
					: outcome === "audited"
						? [2, 4]
						: []
			).map((n) => n * dash),
		);
		c.beginPath();
		for (const { shape } of batch.strokes) trace(c, shape, has_head ? head * 0.8 : 0);
		c.stroke();
		c.setLineDash([]);
		if (has_head) {
			c.beginPath();
			for (const { shape } of batch.strokes) {
				const tip = shape.points.at(-1)!;
				const way = arrival(shape);
				const [x, y] = [tip.x - way.x * head, tip.y - way.y * head];
				const half = head * 0.45;
				c.moveTo(tip.x, tip.y);
				c.lineTo(x - way.y * half, y + way.x * half);
				c.lineTo(x + way.y * half, y - way.x * half);
			}
			c.fill();
		}
		c.globalAlpha = 1;
	}

	// At a size that can be read, where there is room between them, and on no card if that can be.
	private put_labels(c: CanvasRenderingContext2D, strokes: Stroke[], cards: Placed[], zoom: number): void {
		const size = Math.max(13, Math.min(10 / zoom, 60));
		const taken: { at: Place; reach: number }[] = [];
		const obstacles = cards.length <= LABELS_PAST_CARDS ? cards : [];
		const is_on_card = (at: Place, reach: number) =>
			obstacles.some(
				({ node, at: card }) =>
					Math.abs(card.x - at.x) < CARD_WIDTH / 2 + reach &&
					Math.abs(card.y - at.y) < (card_height(node) + size) / 2,
			);
		// Words first: a cross that has no room is seen by its line's dashes.
		const labelled = strokes.filter((s) => s.label).sort((a, b) => b.label.length - a.label.length);
		for (const { label: words, shape, outcome, look } of labelled) {
			const half = (text: string) => Math.max(size * 0.6, text.length * size * 0.3);
			const places = LABEL_SHARES.map((share) => along(shape, share));
			const free_for = (text: string) => places.find((place) => !is_on_card(place, half(text)));
			const label = free_for(words) ? words : short_label(words);
			const at = free_for(label);
			if (!at) continue;
			const reach = Math.max(LABEL_ROOM / 2 / zoom, half(label));
			if (
				taken.some(
					(t) =>
						Math.abs(t.at.y - at.y) < Math.max(LABEL_ROOM / zoom, size) * 0.9 &&
						Math.abs(t.at.x - at.x) < t.reach + reach,
				)
			)
				continue;
			taken.push({ at, reach });
			if (label === "✕") this.cross(c, at, size * 0.3, this.color_of(outcome, look));
			else this.text(c, label, at, size * 0.92, this.color_of(outcome, look));
		}
	}

	private cross(c: CanvasRenderingContext2D, at: Place, r: number, color: string): void {
		c.beginPath();
		c.arc(at.x, at.y, r * 1.9, 0, 7);
		c.fillStyle = this.colors.surface;
		c.fill();
		c.beginPath();
		c.moveTo(at.x - r, at.y - r);
		c.lineTo(at.x + r, at.y + r);
		c.moveTo(at.x + r, at.y - r);
		c.lineTo(at.x - r, at.y + r);
		c.strokeStyle = color;
		c.lineWidth = r * 0.5;
		c.lineCap = "round";
		c.stroke();
	}

	private text(c: CanvasRenderingContext2D, text: string, at: Place, size: number, color: string): void {
		c.font = font(size, 600);
		c.textAlign = "center";
		c.textBaseline = "middle";
		const width = c.measureText(text).width + size * 0.5;
		c.fillStyle = this.colors.surface;
		c.beginPath();
		c.roundRect(at.x - width / 2, at.y - size * 0.7, width, size * 1.4, size * 0.3);
		c.fill();
		c.fillStyle = color;
		c.fillText(text, at.x, at.y + size * 0.05);
	}

	private draw_ground(c: CanvasRenderingContext2D): void {
		c.lineWidth = 1 / this.view.zoom;
		c.fillStyle = this.colors.group;
		c.strokeStyle = this.colors.line;
		for (const { left, top, right, bottom } of this.groups) {
			c.beginPath();
			c.roundRect(left, top, right - left, bottom - top, 12);
			c.fill();
			c.stroke();
		}
	}

	private draw_top(c: CanvasRenderingContext2D, now: number): void {
		const { zoom } = this.view;
		if (this.near) {
			const near = this.strokes.filter((s) => this.near!.has(s.key));
			for (const stroke of near)
				if (this.selected.has(stroke.key)) this.underlay(c, stroke, 0.28, 10);
			for (const batch of batches_of(near)) this.stroke(c, batch, zoom, 0, NEAR_PX);
			this.put_labels(c, near, this.cards, zoom);
			for (const { node, at } of this.cards)
				if (this.near.has(node.key))
					draw_card(c, node, at, this.colors, this.selected.has(node.key), zoom);
			if (zoom < NAMES_FROM) this.name_near(c, zoom);
		}
		for (const [key, since] of this.pulses) {
			const age = (now - since) / PULSE_MS;
			const stroke = this.strokes.find((s) => s.key === key);
			if (age >= 1) this.pulses.delete(key);
			else if (stroke) this.underlay(c, stroke, 0.45 * (1 - Math.max(0, age)), 14, true);
		}
		// Names of groups are read at any distance.
		const size = Math.max(13, 12 / zoom);
		c.font = font(size, 600);
		c.textBaseline = "alphabetic";
		c.textAlign = "left";
		c.lineJoin = "round";
		c.lineWidth = size * 0.3;
		c.strokeStyle = this.colors.group;
		c.fillStyle = this.colors.quiet;
		for (const group of this.groups) {
			const y = size > 24 ? group.top - 3 / zoom : group.top + 6 + size * 0.9;
			const own = group.left + 12;
			const name = fit(c, group.name, group.right - own);
			// Of a group that begins beyond the pane's edge it stays at the edge, for as long as there is group.
			const last = Math.max(own, group.right - 12 - c.measureText(name).width);
			const left = Math.min(last, Math.max(own, (EDGE_PX - this.view.x) / zoom));
			if (zoom < 0.8) c.strokeText(name, left, y);
			c.fillText(name, left, y);
		}
	}

	// Names of what stands out, below cards that are too small for theirs.
	private name_near(c: CanvasRenderingContext2D, zoom: number): void {
		const size = 11 / zoom;
		const taken: Place[] = [];
		const near = this.cards.filter(({ node }) => this.near!.has(node.key));
		near.sort((a, b) => Number(this.selected.has(b.node.key)) - Number(this.selected.has(a.node.key)));
		for (const { node, at } of near) {
			const low = { x: at.x, y: at.y + size * 1.9 };
			if (taken.some((t) => Math.abs(t.y - low.y) < size * 1.5 && Math.abs(t.x - low.x) < size * 7)) continue;
			taken.push(low);
			this.text(c, node.name, low, size, this.colors.text);
		}
	}

	private underlay(c: CanvasRenderingContext2D, stroke: Stroke, alpha: number, width: number, own = false): void {
		c.globalAlpha = alpha;
		c.strokeStyle = own ? this.color_of(stroke.outcome, stroke.look) : this.colors.accent;
		c.lineWidth = stroke.width + Math.max(width, (width * 0.5) / this.view.zoom);
		c.lineCap = "round";
		c.beginPath();
		trace(c, stroke.shape, 0);
		c.stroke();
		c.globalAlpha = 1;
	}
}
