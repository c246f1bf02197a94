// What is looked at, as the page's address says it: it can be sent to somebody. Pure.
import { type Panel, type Panels, type Selection, usual_panels } from "./state";
import { flow_id } from "./flow";
import { iso, range_between, type Range } from "./time_range";

export interface View {
	line: string; // the filter
	range: Range | null; // null: what comes
	against: Range | null; // what the range is compared with; null, too, where there is no range
	local: boolean; // link-local and multicast peers each on a card of their own
	selection: Selection;
	panels: Panels;
}

export const size_limits = { flows: [12, 80], details: [220, 900] } as const;

export function sized(panels: Panels, which: keyof typeof size_limits, to: number): Panels {
	const [least, most] = size_limits[which];
	return { ...panels, [which]: Math.round(Math.min(most, Math.max(least, to))) };
}

export function address_of({ line, range, against, local, selection, panels }: View): string {
	const parts = new URLSearchParams();
	if (line) parts.set("filter", line);
	if (range) {
		parts.set("since", iso(range.since));
		parts.set("until", iso(range.until));
	}
	if (range && against) {
		parts.set("against-since", iso(against.since));
		parts.set("against-until", iso(against.until));
	}
	if (local) parts.set("local", "shown");
	if (selection.kind === "card") parts.append("select", selection.key);
	if (selection.kind === "edge") {
		parts.append("select", selection.from);
		parts.append("select", selection.to);
	}
	if (selection.kind === "coverage") parts.set("show", "coverage");
	const flow = selection.kind === "flow" ? flow_id(selection.row.flow) : selection.kind === "sought" && selection.flow;
	if (flow && flow.time) parts.set("flow", [flow.time, flow.uuid].filter(Boolean).join("_"));
	if (panels.hidden.length) parts.set("hide", panels.hidden.join());
	for (const which of ["flows", "details"] as const)
		if (panels[which] !== usual_panels[which]) parts.set(`size-${which}`, String(panels[which]));
	return [...parts].length ? `#${parts}` : "";
}

// What cannot be read as a range is none: the view is live.
export function read_address(hash: string): View {
	const parts = new URLSearchParams(hash.slice(1));
	const range_of = (from: string, to: string) => {
		const [since, until] = [from, to].map((name) => Date.parse(parts.get(name) ?? ""));
		return since! >= 0 && until! > since! ? range_between(since!, until!) : null;
	};
	const range = range_of("since", "until");
	return {
		line: parts.get("filter") ?? "",
		range,
		against: range && range_of("against-since", "against-until"),
		local: parts.get("local") === "shown",
		selection: read_selection(parts),
		panels: read_panels(parts),
	};
}

function read_selection(parts: URLSearchParams): Selection {
	const [time, ...uuid] = (parts.get("flow") ?? "").split("_");
	if (Date.parse(time!) >= 0)
		return { kind: "sought", flow: { time: time!, uuid: uuid.join("_") }, is_gone: false };
	if (parts.get("show") === "coverage") return { kind: "coverage" };
	const [from, to] = parts.getAll("select");
	if (from && to) return { kind: "edge", from, to };
	return from ? { kind: "card", key: from } : { kind: "nothing" };
}

// Something is always shown.
function read_panels(parts: URLSearchParams): Panels {
	const known: Panel[] = ["map", "details", "flows"];
	const said = (parts.get("hide") ?? "").split(",");
	const hidden = known.filter((p) => said.includes(p));
	let panels: Panels = { ...usual_panels, hidden: hidden.length < known.length ? hidden : [] };
	for (const which of ["flows", "details"] as const) {
		const size = Number(parts.get(`size-${which}`) ?? NaN);
		if (Number.isFinite(size)) panels = sized(panels, which, size);
	}
	return panels;
}
