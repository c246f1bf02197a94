// A card on the map's canvas: name, kind, and a row for each port it serves; from afar its name only.
import { folded_text, type Node } from "./graph";
import { CARD_WIDTH, type Place, card_height, shown_ports } from "./layout";

export interface Colors {
	surface: string;
	card: string;
	line: string;
	text: string;
	quiet: string;
	accent: string;
	forwarded: string;
	dropped: string;
	audited: string;
	group: string;
}

// As they are in the scheme in force, or in that one: what a variable stands for, only an element can say.
export function read_colors(scheme = ""): Colors {
	const probe = document.body.appendChild(document.createElement("i"));
	probe.style.colorScheme = scheme;
	const of = (name: string) => {
		probe.style.color = `var(--${name})`;
		return getComputedStyle(probe).color;
	};
	const colors: Colors = {
		surface: of("surface"),
		card: of("card"),
		line: of("line"),
		text: of("text"),
		quiet: of("quiet"),
		accent: of("accent"),
		forwarded: of("forwarded"),
		dropped: of("dropped"),
		audited: of("audited"),
		group: of("group"),
	};
	probe.remove();
	return colors;
}

const TEXT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Noto Sans', 'DejaVu Sans', sans-serif";
const MONO = "ui-monospace, 'SF Mono', Menlo, Consolas, 'DejaVu Sans Mono', monospace";
const ROWS_FROM = 0.4; // zoom: smaller rows cannot be read
const NAME_PX = 11; // on the screen, as far as there is room
const LONG_NAME_PX = 13; // at full size: of one that needs two lines
const ROW_PX = 8.5; // the same, of ports
const FAR_NAME_PX = 10; // on the screen, as far as there is room
const FAR_NAME_MOST = 26; // px at full size
const NAME_FROM_PX = 5; // on the screen

export function font(px: number, weight = 400, family = TEXT): string {
	return `${weight} ${px}px ${family}`;
}

const fitted = new Map<string, string>();
const FITTED_MOST = 20_000;

// The end of a name tells more than its middle: both stay.
export function fit(c: CanvasRenderingContext2D, text: string, width: number): string {
	const key = `${c.font}|${width}|${text}`;
	const known = fitted.get(key);
	if (known !== undefined) return known;
	if (fitted.size > FITTED_MOST) fitted.clear();
	let cut = text;
	for (let keep = text.length - 1; keep > 1 && c.measureText(cut).width > width; keep--) {
		const tail = Math.floor(keep * 0.4);
		cut = `${text.slice(0, keep - tail).replace(/\.+$/, "")}…${text.slice(text.length - tail).replace(/^\.+/, "")}`;
	}
	fitted.set(key, cut);
	return cut;
}

// On two lines, if one is too short, at the last place for a break that the first has room for.
function in_parts(c: CanvasRenderingContext2D, text: string, width: number): string[] {
	if (c.measureText(text).width <= width) return [text];
	let at = 0;
	for (const { index } of text.matchAll(/[-._/:](?=.)/g))
		if (c.measureText(text.slice(0, index + 1)).width <= width) at = index + 1;
	return (at ? [text.slice(0, at), text.slice(at)] : [text]).map((part) => fit(c, part, width));
}

// 16 × 16: what sort of thing it is, without colour.
const icons: Record<string, string> = {
	folded: "M2.5 5.5h11v8h-11zM4.5 3h7M3.5 4.3h9",
	workload: "M8 1.8 13.4 4.9v6.2L8 14.2 2.6 11.1V4.9zM2.8 5 8 8l5.2-3M8 8v6",
	pod: "M8 1.8 13.4 4.9v6.2L8 14.2 2.6 11.1V4.9z",
	identity: "M8 1.8 13.4 4.9v6.2L8 14.2 2.6 11.1V4.9z",
	local: "M3 8h10M8 3v10M4.5 4.5l7 7M11.5 4.5l-7 7",
	reserved: "M2.5 3h11v4h-11zM2.5 9h11v4h-11zM5 5h.1M5 11h.1",
	outside:
		"M13.7 8A5.7 5.7 0 1 1 2.3 8 5.7 5.7 0 1 1 13.7 8M2.3 8h11.4M8 2.3c3.6 3.4 3.6 8 0 11.4M8 2.3c-3.6 3.4-3.6 8 0 11.4",
};
const paths = new Map<string, Path2D>();

function icon(node: Node): Path2D {
	const kind = node.card ? node.card.kind : "folded";
	const name = kind in icons ? kind : "outside";
	const path = paths.get(name) ?? new Path2D(icons[name]);
	paths.set(name, path);
	return path;
}

// With its middle at @at; @zoom: what the canvas is scaled by, which decides what can be read.
export function draw_card(
	c: CanvasRenderingContext2D,
	node: Node,
	at: Place,
	colors: Colors,
	selected: boolean,
	zoom: number,
): void {
	const [w, h] = [CARD_WIDTH, card_height(node)];
	const [x, y] = [at.x - w / 2, at.y - h / 2];
	const outside = node.card !== null && !["workload", "pod", "identity"].includes(node.card.kind);
	c.beginPath();
	c.roundRect(x + 0.5, y + 0.5, w - 1, h - 1, outside ? 20 : 7);
	c.fillStyle = colors.card;
	c.fill();
	c.strokeStyle = selected ? colors.accent : colors.line;
	c.lineWidth = Math.max(selected ? 2 : 1, (selected ? 2 : 0.7) / zoom);
	c.setLineDash(outside && !selected ? [4, 3] : []);
	c.stroke();
	c.setLineDash([]);
	c.textAlign = "left";
	c.textBaseline = "alphabetic";
	if (zoom < ROWS_FROM) far(c, node, x, y, h, colors, zoom);
	else near(c, node, x, y, colors, zoom);
	if (!node.dropped) return;
	c.beginPath();
	c.arc(x + w - 13, y + 13, Math.max(3.5, Math.min(10, 2 / zoom)), 0, 7);
	c.fillStyle = colors.dropped;
	c.fill();
}

function between(least: number, n: number, most: number): number {
	return Math.min(most, Math.max(least, n));
}

function near(
	c: CanvasRenderingContext2D,
	node: Node,
	x: number,
	y: number,
	colors: Colors,
	zoom: number,
): void {
	const w = CARD_WIDTH;
	const name_px = between(13, NAME_PX / zoom, 20);
	const row_px = between(11, ROW_PX / zoom, 15);
	const sort = node.card ? node.kind : folded_text(node);
	const room = w - 46 - (node.dropped ? 12 : 0);
	c.font = font(name_px, 600);
	const { width } = c.measureText(node.name);
	// A name that takes more room takes it from the line below.
	const kind = name_px > 15.5 || (width > room && node.card) ? "" : [node.change, sort].filter(Boolean).join(" · ");
	c.lineWidth = 1;
	c.strokeStyle = colors.line;
	if (!node.card) {
		c.beginPath();
		c.roundRect(x + 3.5, y + 3.5, w - 7, card_height(node) - 7, 5);
		c.stroke();
	}
	c.save();
	c.translate(x + 12, y + 12);
	c.lineWidth = 1.3;
	c.lineJoin = c.lineCap = "round";
	c.strokeStyle = colors.quiet;
	c.stroke(icon(node));
	c.restore();
	// It becomes smaller first, then it is broken.
	const px = Math.max(Math.min(name_px, LONG_NAME_PX), name_px * Math.min(1, (room / width) * 0.99));
	c.font = font(px, 600);
	c.fillStyle = colors.text;
	const parts = kind ? [fit(c, node.name, room)] : in_parts(c, node.name, room);
	parts.forEach((part, i) =>
		c.fillText(part, x + 36, kind ? y + 18 : y + 20 + px * 0.36 + (i - (parts.length - 1) / 2) * px * 1.2),
	);
	c.fillStyle = colors.quiet;
	if (kind) {
		c.font = font(11);
		c.fillText(fit(c, kind, w - 46), x + 36, y + 32);
	}
	const ports = shown_ports(node);
	if (!ports.length) return;
	c.beginPath();
	c.moveTo(x + 1, y + 39.5);
	c.lineTo(x + w - 1, y + 39.5);
	c.stroke();
	c.font = font(row_px, 400, MONO);
	ports.forEach((port, i) => {
		const more = node.ports.length - ports.length;
		const row = y + 40 + i * 18 + 9;
		c.beginPath();
		c.arc(x, row, 3, 0, 7);
		c.fill();
		c.fillText(i === ports.length - 1 && more > 0 ? `${port}  +${more}` : port, x + 14, row + row_px * 0.36);
	});
}

function far(
	c: CanvasRenderingContext2D,
	node: Node,
	x: number,
	y: number,
	h: number,
	colors: Colors,
	zoom: number,
): void {
	const size = Math.min(FAR_NAME_MOST, Math.max(13, FAR_NAME_PX / zoom));
	if (size * zoom < NAME_FROM_PX) return;
	c.font = font(size, 600);
	c.fillStyle = colors.text;
	const room = CARD_WIDTH - 20 - (node.dropped ? 12 : 0);
	const middle = y + h / 2 + size * 0.35;
	const parts = h < 2.6 * size ? [fit(c, node.name, room)] : in_parts(c, node.name, room);
	parts.forEach((part, i) => c.fillText(part, x + 10, middle + (i - (parts.length - 1) / 2) * size * 1.15));
}
