// Past ranges: what the record covers, and what is missing from it. Pure.
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

export const iso = (ms: number) => new Date(ms).toISOString().replace(".000Z", "Z");

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
