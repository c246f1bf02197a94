// Where a keyboard is in a stretch of time, and what of that it has marked. Pure.

// Milliseconds since the epoch, as all here.
export interface Extent {
	since: number;
	until: number;
	step: number;
	zero: number; // a time on which a step begins
}

export interface Cursor {
	at: number;
	marked_from: number; // @at, where nothing is marked
}

const PAGE = 10; // of them are the whole stretch

// What a stretch that has moved on leaves of it. Null: one that stands at the end.
export function within(cursor: Cursor | null, { since, until }: Extent): Cursor {
	const clamped = (time: number) => Math.min(until, Math.max(since, time));
	return { at: clamped(cursor?.at ?? until), marked_from: clamped(cursor?.marked_from ?? until) };
}

export const has_mark = ({ at, marked_from }: Cursor) => at !== marked_from;

function stepped(at: number, by: number, { step, zero }: Extent): number {
	const steps = (at - zero) / step;
	return zero + (by < 0 ? Math.ceil(steps) + by : Math.floor(steps) + by) * step;
}

// @cursor after @key, as of any slider; while @is_marking what was left behind is marked. Null: the key is none of these.
export function moved(cursor: Cursor, key: string, is_marking: boolean, extent: Extent): Cursor | null {
	const page = Math.max(1, Math.round((extent.until - extent.since) / extent.step / PAGE));
	const by: Record<string, number> = {
		...{ ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1 },
		...{ PageDown: -page, PageUp: page },
	};
	const to = key === "Home" ? extent.since : key === "End" ? extent.until : by[key] && stepped(cursor.at, by[key], extent);
	if (to === undefined) return null;
	return within({ at: to, marked_from: is_marking ? cursor.marked_from : to }, extent);
}
