// Past ranges: what the record covers, and what is missing from it. Pure.
import { count_text } from "./flow";
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

// Of a range that goes on, the part that is over; all of it where that is less than a minute.
export function part_over(range: Range, now: number): Range {
	const until = Math.min(range.until, Math.floor(now / MINUTE_MS) * MINUTE_MS);
	return until > range.since ? { ...range, until } : range;
}

export function range_flags({ since, until }: Range): string {
	return ` --since ${iso(since)} --until ${iso(until)}`;
}

// Since when any node has records; 0 if none is known.
export function oldest_of(coverage: Coverage[]): number {
	const times = coverage.map((c) => Date.parse(c.oldest ?? "")).filter((t) => t > 0);
	return times.length ? Math.min(...times) : 0;
}

// Those that are not reached, or keep no record, first; then as people count: 2 before 10.
export function sorted_nodes(coverage: Coverage[]): Coverage[] {
	const rank = (c: Coverage) => (c.error ? 0 : Date.parse(c.oldest ?? "") > 0 ? 2 : 1);
	const { compare } = new Intl.Collator("en", { numeric: true });
	return [...coverage].sort((a, b) => rank(a) - rank(b) || compare(a.node_name ?? "", b.node_name ?? ""));
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

// A stretch of time from which some nodes' flows are missing.
export interface Stretch extends Range {
	nodes: number; // how many, at most
	one: Missing; // of them
}

// What a page knows that has looked since @from: what it saw itself, whoever keeps a record of it, or cannot be reached now.
export function looked_since(coverage: Coverage[], from: number): Coverage[] {
	return coverage
		.filter((c) => !c.error)
		.map((c) => (Date.parse(c.oldest ?? "") <= from ? c : { ...c, oldest: iso(from) }));
}

// Whose flows of a time are missing, and why; "" if nobody's are.
export function gone_text(missing: Missing[], at: number): string {
	const gone = missing.filter((m) => m.since <= at && at < Math.max(m.until, m.since + 1));
	const [one] = gone;
	const more = gone.length > 1 ? `, and ${count_text(gone.length - 1)} more` : "";
	return one ? `missing: ${one.node}, ${one.cause}${more}` : "";
}

// How much of the record is missing, as opacity of what is drawn over it.
export const shade_of = ({ nodes }: Stretch, of: number) => 0.4 + (0.6 * nodes) / Math.max(1, of);

const SHADES = 8; // shares of all nodes that are told apart

// Of a record of @nodes, in the order of time; neighbours from which about as many nodes are missing are one.
export function stretches(missing: Missing[], nodes: number): Stretch[] {
	const turns = missing.flatMap((m) => [
		{ at: m.since, begins: true, m },
		{ at: Math.max(m.until, m.since + 1), begins: false, m },
	]);
	turns.sort((a, b) => a.at - b.at);
	const shade = (n: number) => Math.ceil((SHADES * n) / Math.max(1, nodes));
	const open = new Set<Missing>();
	const list: Stretch[] = [];
	turns.forEach(({ at, begins, m }, i) => {
		if (begins) open.add(m);
		else open.delete(m);
		const until = turns[i + 1]?.at ?? at;
		const [one] = open;
		if (!one || until === at) return;
		const n = Math.min(Math.max(1, nodes), open.size);
		const last = list.at(-1);
		if (last && last.until === at && shade(last.nodes) === shade(n)) {
			last.until = until;
			last.nodes = Math.max(last.nodes, n);
		} else list.push({ since: at, until, nodes: n, one });
	});
	return list;
}
