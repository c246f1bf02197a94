// Past ranges: what the record covers, what is missing from it, and how a range stands in the address. Pure.
import { type Panel, type Panels, type Selection, usual_panels } from "./state";
import type { Coverage, Gap } from "./wire";

// Milliseconds since the epoch, in whole minutes: what the service map of the record is counted by.
export interface Range {
	since: number;
	until: number;
}

export const MINUTE_MS = 60_000;

// From one time to another, whichever comes first, widened to whole minutes.
export function range_between(a: number, b: number): Range {
	const since = Math.floor(Math.min(a, b) / MINUTE_MS) * MINUTE_MS;
	const until = Math.ceil(Math.max(a, b) / MINUTE_MS) * MINUTE_MS;
	return { since, until: Math.max(until, since + MINUTE_MS) };
}

const iso = (ms: number) => new Date(ms).toISOString().replace(".000Z", "Z");

// What is looked at, as the address says it.
export interface View {
	line: string; // the filter
	range: Range | null; // null: what comes
	against: Range | null; // what the range is compared with; null, too, where there is no range
	local: boolean; // link-local and multicast peers each on a card of their own
	selection: Selection; // a flow is not in the address: the table moves on
	panels: Panels;
}

const sizes = { flows: [12, 80], details: [220, 900] } as const;

export function sized(panels: Panels, which: keyof typeof sizes, to: number): Panels {
	const [least, most] = sizes[which];
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
		selection: read_selection(parts.getAll("select")),
		panels: read_panels(parts),
	};
}

function read_selection([from, to]: string[]): Selection {
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

// As long as @range, and so much earlier.
export function range_before(range: Range, by_ms: number): Range {
	return { since: range.since - by_ms, until: range.until - by_ms };
}

// The last @minutes that are over: what is still being counted cannot be compared.
export function last_minutes(now: number, minutes: number): Range {
	const until = Math.floor(now / MINUTE_MS) * MINUTE_MS;
	return { since: until - minutes * MINUTE_MS, until };
}

export function range_flags({ since, until }: Range): string {
	return ` --since ${iso(since)} --until ${iso(until)}`;
}

// Since when any node has records; 0 if none is known.
export function oldest_of(coverage: Coverage[]): number {
	const times = coverage.map((c) => Date.parse(c.oldest ?? "")).filter((t) => t > 0);
	return times.length ? Math.min(...times) : 0;
}

export interface Missing extends Range {
	node: string;
	cause: string;
	lost: number; // 0: not known
}

// Gaps, and times before a node's record begins, as far as they lie in the range.
export function missing_in(coverage: Coverage[], range: Range): Missing[] {
	const missing: Missing[] = [];
	const add = (node: string, from: number, to: number, gap: Gap) => {
		if (from < range.until && to >= range.since)
			missing.push({
				node,
				since: Math.max(from, range.since),
				until: Math.min(to, range.until),
				cause: (gap.cause ?? "UNKNOWN").toLowerCase().replaceAll("_", " "),
				lost: Number(gap.lost ?? 0),
			});
	};
	for (const node of coverage) {
		const name = node.node_name ?? "";
		const oldest = Date.parse(node.oldest ?? "");
		if (node.error) add(name, range.since, range.until, { cause: "NOT REACHED" });
		else if (!(oldest <= range.since))
			add(name, range.since, oldest > 0 ? oldest : range.until, { cause: "BEFORE ITS RECORD" });
		for (const gap of node.gaps ?? [])
			add(gap.node_name || name, Date.parse(gap.from ?? ""), Date.parse(gap.to ?? ""), gap);
	}
	return missing;
}
