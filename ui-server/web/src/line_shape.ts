// Where a line of the map runs, in the map's own coordinates. Pure.
import { CARD_WIDTH, type Place } from "./layout";

const HALF = CARD_WIDTH / 2;
const CORNER = 14; // radius
const STEPS = 24; // straight pieces that stand for a curve where distance to it is asked for

export interface Shape {
	points: Place[]; // of a curve its start, two points that pull at it, and its end; else all corners
	is_curve: boolean;
	box: [number, number, number, number]; // all of it: left, top, right, bottom
	flat: Float64Array | null; // as straight pieces; made when it is first asked for
}

// What a canvas and a Path2D have in common.
type Path = Pick<CanvasRenderingContext2D, "moveTo" | "lineTo" | "arcTo" | "bezierCurveTo">;

export function shape_of(points: Place[], is_curve: boolean): Shape {
	const xs = points.map((p) => p.x);
	const ys = points.map((p) => p.y);
	// A curve lies within its four points.
	const box: Shape["box"] = [Math.min(...xs), Math.min(...ys), Math.max(...xs), Math.max(...ys)];
	return { points, is_curve, box, flat: null };
}

// Cards of one group between which lines run together.
export interface Block {
	left: number;
	right: number;
	middle: number; // of its height
}

// A curve from the card at @a, which it leaves at the height @out from its middle, to the port at the height @into of the
// one at @b. It leaves and arrives towards the other. Lines between the same two blocks are pulled together on their way.
export function curve(a: Place, b: Place, out: number, into: number, lane: number, blocks?: [Block, Block]): Shape {
	const start_y = a.y + out;
	const end_y = b.y + into;
	if (Math.abs(b.x - a.x) < HALF) {
		// In one column: around its right side, the farther the higher.
		const x = Math.max(a.x, b.x) + HALF + 24 + Math.min(60, Math.abs(end_y - start_y) / 10) + Math.abs(lane);
		return shape_of(
			[
				{ x: a.x + HALF, y: start_y },
				{ x, y: start_y },
				{ x, y: end_y },
				{ x: b.x + HALF + 2, y: end_y },
			],
			true,
		);
	}
	const way = b.x > a.x ? 1 : -1;
	const from = { x: a.x + way * HALF, y: start_y };
	const to = { x: b.x - way * (HALF + 2), y: end_y };
	const far = Math.abs(to.x - from.x);
	const [leave, arrive] = blocks
		? [
				{ x: way > 0 ? blocks[0].right : blocks[0].left, y: blocks[0].middle },
				{ x: way > 0 ? blocks[1].left : blocks[1].right, y: blocks[1].middle },
			]
		: [from, to];
	// Past the block's edge, but not past the middle of the way: curves that overshoot are knots.
	const pull = (end: Place, edge: Place, sign: number) => ({
		x: end.x + sign * way * Math.min(far / 2, Math.abs(edge.x - end.x) + Math.min(120, far / 3)),
		y: end.y + (edge.y - end.y) * 0.7 + lane,
	});
	return shape_of([from, pull(from, leave, 1), pull(to, arrive, -1), to], true);
}

// The way in which the line arrives, of length 1.
export function arrival(shape: Shape): Place {
	const [before, end] = shape.points.slice(-2) as [Place, Place];
	const length = Math.hypot(end.x - before.x, end.y - before.y) || 1;
	return { x: (end.x - before.x) / length, y: (end.y - before.y) / length };
}

// @short: px that it ends earlier, for the head of an arrow.
export function trace(path: Path, shape: Shape, short: number): void {
	const { points } = shape;
	const start = points[0]!;
	const end = points.at(-1)!;
	const way = arrival(shape);
	const [x, y] = [end.x - way.x * short, end.y - way.y * short];
	path.moveTo(start.x, start.y);
	if (shape.is_curve) {
		path.bezierCurveTo(points[1]!.x, points[1]!.y, points[2]!.x, points[2]!.y, x, y);
		return;
	}
	for (let i = 1; i + 1 < points.length; i++) {
		const [before, at, after] = [points[i - 1]!, points[i]!, points[i + 1]!];
		const room = Math.min(
			Math.hypot(at.x - before.x, at.y - before.y),
			Math.hypot(after.x - at.x, after.y - at.y),
		);
		path.arcTo(at.x, at.y, after.x, after.y, Math.min(CORNER, room / 2));
	}
	path.lineTo(x, y);
}

export function flattened(shape: Shape): Float64Array {
	if (shape.flat) return shape.flat;
	const { points } = shape;
	if (!shape.is_curve) return (shape.flat = Float64Array.from(points.flatMap((p) => [p.x, p.y])));
	const flat = new Float64Array(2 * (STEPS + 1));
	const [a, b, c, d] = points as [Place, Place, Place, Place];
	for (let i = 0; i <= STEPS; i++) {
		const t = i / STEPS;
		const u = 1 - t;
		const w = [u * u * u, 3 * u * u * t, 3 * u * t * t, t * t * t] as const;
		flat[2 * i] = w[0] * a.x + w[1] * b.x + w[2] * c.x + w[3] * d.x;
		flat[2 * i + 1] = w[0] * a.y + w[1] * b.y + w[2] * c.y + w[3] * d.y;
	}
	return (shape.flat = flat);
}

export function middle(shape: Shape): Place {
	return along(shape, 0.5);
}

// A @share of the way along it.
export function along(shape: Shape, share: number): Place {
	const flat = flattened(shape);
	const length = (i: number) => Math.hypot(flat[i + 2]! - flat[i]!, flat[i + 3]! - flat[i + 1]!);
	let left = 0;
	for (let i = 0; i + 3 < flat.length; i += 2) left += length(i) * share;
	for (let i = 0; i + 3 < flat.length; i += 2) {
		const l = length(i);
		if (left <= l) {
			const t = l ? left / l : 0;
			return {
				x: flat[i]! + t * (flat[i + 2]! - flat[i]!),
				y: flat[i + 1]! + t * (flat[i + 3]! - flat[i + 1]!),
			};
		}
		left -= l;
	}
	return shape.points[0]!;
}

// From a point to the line; Infinity where it is farther than @reach.
export function distance(shape: Shape, x: number, y: number, reach: number): number {
	const [left, top, right, bottom] = shape.box;
	if (x < left - reach || x > right + reach || y < top - reach || y > bottom + reach) return Infinity;
	const flat = flattened(shape);
	let best = Infinity;
	for (let i = 0; i + 3 < flat.length; i += 2) {
		const [ax, ay] = [flat[i]!, flat[i + 1]!];
		const [dx, dy] = [flat[i + 2]! - ax, flat[i + 3]! - ay];
		const along = ((x - ax) * dx + (y - ay) * dy) / (dx * dx + dy * dy || 1);
		const t = Math.min(1, Math.max(0, along));
		best = Math.min(best, Math.hypot(x - ax - t * dx, y - ay - t * dy));
	}
	return best <= reach ? best : Infinity;
}
