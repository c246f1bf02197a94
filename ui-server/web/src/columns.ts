// The table's columns: which there are, which are shown, and what they say of a flow. Pure.
import { type Flow, outcome_of, port_of, protocol_of, side_of, time_text, visible, why_of } from "./flow";

export type Column =
	| "time"
	| "verdict"
	| "from"
	| "way"
	| "to"
	| "port"
	| "why"
	| "node"
	| "from-address"
	| "to-address"
	| "from-port"
	| "from-identity"
	| "to-identity"
	| "direction"
	| "policy"
	| "summary"
	| "interface"
	| "bytes";

interface About {
	name: string;
	width: string; // of the grid
	text(flow: Flow): string;
}

type Named = { name?: string; namespace?: string };

const denials = ["ingress_denied_by", "egress_denied_by"];

// Of those that decided, "namespace/name".
export function policies(flow: Flow, fields = [...denials, "ingress_allowed_by", "egress_allowed_by"]): string {
	const list = fields.flatMap((field) => (flow[field] as Named[] | undefined) ?? []);
	return visible([...new Set(list.map((p) => [p.namespace, p.name].filter(Boolean).join("/")))].join(", "));
}

function identity(flow: Flow, side: "source" | "destination"): string {
	const n = flow[side]?.identity;
	return n === undefined ? "" : String(n);
}

export function who(flow: Flow, side: "source" | "destination"): string {
	const { group, name } = side_of(flow, side);
	return group ? `${group}/${name}` : name;
}

function way(flow: Flow): string {
	if (outcome_of(flow) === "dropped") return "✕";
	return flow.is_reply ? "↩" : "→";
}

const name_width = "minmax(120px, 3fr)";
const address_width = "minmax(112px, 2fr)";

// In the order in which they are shown.
export const columns: Record<Column, About> = {
	time: { name: "Time", width: "96px", text: (f) => time_text(f.time) },
	verdict: { name: "Verdict", width: "92px", text: (f) => String(f.verdict ?? "UNKNOWN") },
	from: { name: "From", width: name_width, text: (f) => who(f, "source") },
	"from-address": {
		name: "From address",
		width: address_width,
		text: (f) => f.IP?.source ?? "",
	},
	"from-port": {
		name: "From port",
		width: "72px",
		text: (f) => String((f.l4?.TCP ?? f.l4?.UDP ?? f.l4?.SCTP)?.source_port ?? ""),
	},
	"from-identity": { name: "From identity", width: "96px", text: (f) => identity(f, "source") },
	way: { name: "", width: "20px", text: way },
	to: { name: "To", width: name_width, text: (f) => who(f, "destination") },
	"to-address": {
		name: "To address",
		width: address_width,
		text: (f) => f.IP?.destination ?? "",
	},
	"to-identity": { name: "To identity", width: "96px", text: (f) => identity(f, "destination") },
	port: {
		name: "Port",
		width: "104px",
		text: (f) => `${port_of(f) ?? ""} ${protocol_of(f)}`.trim(),
	},
	direction: {
		name: "Direction",
		width: "80px",
		text: (f) => (f.traffic_direction ?? "").toLowerCase(),
	},
	why: { name: "Why", width: "minmax(100px, 3fr)", text: why_of },
	policy: { name: "Policy", width: name_width, text: (f) => policies(f) },
	summary: { name: "Summary", width: name_width, text: (f) => visible(f.Summary ?? "") },
	interface: {
		name: "Interface",
		width: "96px",
		text: (f) => (f["interface"] as { name?: string } | undefined)?.name ?? "",
	},
	bytes: {
		name: "Bytes",
		width: "72px",
		text: (f) => {
			const n = (f.tycho as { bytes?: unknown } | undefined)?.bytes;
			return n === undefined ? "" : String(n);
		},
	},
	node: { name: "Node", width: "minmax(84px, 1fr)", text: (f) => f.node_name ?? "" },
};

export const usual: Column[] = ["time", "verdict", "from", "way", "to", "port", "why", "node"];
// On a phone: who, whom, when and what, whatever is chosen for wider screens.
export const narrow: Column[] = ["time", "from", "way", "to", "port"];

const order = Object.keys(columns) as Column[];

// What was kept, from a page of whatever version; nothing that can be shown: the usual.
export function read_columns(text: string | null): Column[] {
	const names = new Set((text ?? "").split(","));
	const known = order.filter((c) => names.has(c));
	return known.some((c) => c !== "way") ? known : usual;
}

export function write_columns(shown: Column[]): string {
	return shown.join(",");
}

// With, or without, one of them. The last one stays: a table of nothing says nothing.
export function with_column(shown: Column[], column: Column, on: boolean): Column[] {
	const next = order.filter((c) => (c === column ? on : shown.includes(c)));
	return next.some((c) => c !== "way") ? next : shown;
}

const GAP_PX = 12;

// Below this width the table is moved sideways.
export function least_px(shown: Column[]): number {
	const widths = shown.map((c) => Number(/\d+/.exec(columns[c].width)![0]));
	return widths.reduce((sum, px) => sum + px + GAP_PX, 2 * 16 - GAP_PX);
}

export function template_of(shown: Column[]): string {
	return shown.map((c) => columns[c].width).join(" ");
}
