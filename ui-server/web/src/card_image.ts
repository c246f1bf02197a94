// A card as an SVG picture for the map: name, kind, and a row for each port it serves.
import type { Node } from "./graph";
import { CARD_WIDTH, card_height, shown_ports } from "./layout";

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

// As they are in the scheme in force: what a variable stands for, only an element can say.
export function read_colors(): Colors {
	const probe = document.body.appendChild(document.createElement("i"));
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

const FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Noto Sans', 'DejaVu Sans', sans-serif";
const MONO = "ui-monospace, 'SF Mono', Menlo, Consolas, 'DejaVu Sans Mono', monospace";

function escape(text: string): string {
	return text.replace(/[&<>"']/g, (c) => `&#${c.charCodeAt(0)};`).replace(/[\u0000-\u001f]/g, " ");
}

let measuring: CanvasRenderingContext2D | null = null;

// The end of a name tells more than its middle: both stay.
export function fit(text: string, width: number, font: string): string {
	measuring ??= document.createElement("canvas").getContext("2d");
	if (!measuring) return text;
	measuring.font = font;
	if (measuring.measureText(text).width <= width) return text;
	for (let keep = text.length - 1; keep > 2; keep--) {
		const tail = Math.floor(keep * 0.4);
		const cut = `${text.slice(0, keep - tail)}…${text.slice(text.length - tail)}`;
		if (measuring.measureText(cut).width <= width) return cut;
	}
	return text.slice(0, 2);
}

// 16 × 16: what sort of thing it is, without colour.
function icon(node: Node): string {
	if (!node.card) return `<path d="M2.5 5.5h11v8h-11zM4.5 3h7M3.5 4.3h9" />`;
	switch (node.card.kind) {
		case "workload":
			return `<path d="M8 1.8 13.4 4.9v6.2L8 14.2 2.6 11.1V4.9zM2.8 5 8 8l5.2-3M8 8v6" />`;
		case "pod":
		case "identity":
			return `<path d="M8 1.8 13.4 4.9v6.2L8 14.2 2.6 11.1V4.9z" />`;
		case "local":
			return `<path d="M3 8h10M8 3v10M4.5 4.5l7 7M11.5 4.5l-7 7" />`;
		case "reserved":
			return `<path d="M2.5 3h11v4h-11zM2.5 9h11v4h-11zM5 5h.1M5 11h.1" />`;
		default:
			return `<circle cx="8" cy="8" r="5.7" /><path d="M2.3 8h11.4M8 2.3c3.6 3.4 3.6 8 0 11.4M8 2.3c-3.6 3.4-3.6 8 0 11.4" />`;
	}
}

export function card_image(node: Node, c: Colors, selected: boolean): string {
	const w = CARD_WIDTH;
	const h = card_height(node);
	const ports = shown_ports(node);
	const outside = node.card && !["workload", "pod", "identity"].includes(node.card.kind);
	const radius = outside ? 20 : 7;
	const sort = node.card ? node.kind : `${node.folded} ${node.folded === 1 ? "card" : "cards"}`;
	const kind = [node.change, sort].filter(Boolean).join(" · ");
	const name = fit(node.name, w - 46, `600 13px ${FONT}`);
	const more = node.ports.length - ports.length;
	const border = selected ? c.accent : c.line;
	const name_y = kind ? 18 : 25;
	const rows = ports
		.map((port, i) => {
			const y = 40 + i * 18 + 9;
			const last = i === ports.length - 1 && node.card && more > 0 ? `  +${more}` : "";
			return `<circle cx="0" cy="${y}" r="3" fill="${c.quiet}" /><text x="14" y="${y + 4}" font-family="${MONO}" font-size="11" fill="${c.quiet}" xml:space="preserve">${escape(port + last)}</text>`;
		})
		.join("");
	const svg = `<svg xmlns="http://www.w3.org/2000/svg" width="${w + 8}" height="${h + 4}" viewBox="-4 -2 ${w + 8} ${h + 4}">
<rect x="0.5" y="0.5" width="${w - 1}" height="${h - 1}" rx="${radius}" fill="${c.card}" stroke="${border}" stroke-width="${selected ? 2 : 1}"${outside ? ' stroke-dasharray="4 3"' : ""} />
${node.card ? "" : `<rect x="4.5" y="4.5" width="${w - 9}" height="${h - 9}" rx="5" fill="none" stroke="${c.line}" />`}
<g transform="translate(12 ${12})" fill="none" stroke="${c.quiet}" stroke-width="1.3" stroke-linejoin="round" stroke-linecap="round">${icon(node)}</g>
<text x="36" y="${name_y}" font-family="${FONT}" font-size="13" font-weight="600" fill="${c.text}">${escape(name)}</text>
${kind ? `<text x="36" y="32" font-family="${FONT}" font-size="11" fill="${c.quiet}">${escape(fit(kind, w - 46, `11px ${FONT}`))}</text>` : ""}
${ports.length ? `<path d="M1 39.5H${w - 1}" stroke="${c.line}" />` : ""}${rows}
${node.dropped ? `<circle cx="${w - 13}" cy="13" r="3.5" fill="${c.dropped}" />` : ""}
</svg>`;
	return `data:image/svg+xml;utf8,${encodeURIComponent(svg)}`;
}
