// Rates as paths of an SVG. Pure.

export const CURVE_HEIGHT = 100; // of the drawing; scaled to the strip
const HEADROOM = 6;
const LEAST = 5; // what is not zero is seen, however little it is

// Smooth numbers for the top of the scale, so that it does not twitch.
export function ceiling(most: number): number {
	const power = 10 ** Math.floor(Math.log10(Math.max(1e-9, most)));
	return [1, 2, 5, 10].map((n) => n * power).find((n) => n >= most) ?? most;
}

// From @start on, each number @step further.
export function outline(counts: number[], top: number, start: number, step = 1): string {
	return counts
		.map((n, i) => {
			const height = n ? Math.max(LEAST, (n / top) * (CURVE_HEIGHT - HEADROOM)) : 0;
			return `${i ? "L" : "M"}${+(start + i * step).toFixed(3)} ${(CURVE_HEIGHT - height).toFixed(1)}`;
		})
		.join("");
}

// Each number as a step as wide as the time that it is of.
export function steps(counts: number[], top: number, start: number, step: number): string {
	return counts
		.map((n, i) => {
			const height = n ? Math.max(LEAST, (n / top) * (CURVE_HEIGHT - HEADROOM)) : 0;
			const y = (CURVE_HEIGHT - height).toFixed(1);
			const x = (at: number) => +(start + at * step).toFixed(3);
			return `${i ? "L" : "M"}${x(i)} ${y}H${x(i + 1)}`;
		})
		.join("");
}
