// How fast edges were in the last minutes. The server counts since the view began; every few seconds the page notes where
// the counts are, and rates are what lies between two notes. Pure.
import type { Edge } from "./drawn";
import type { Range } from "./time_range";
import type * as wire from "./wire";

export const MARK_MS = 5000;
const MARKS_KEPT = 61; // five minutes
const BEGUN_S = 40;

// Counts by the edge's id, modulo 2^32: only differences are asked for.
export interface Mark {
	at: number; // ms since the epoch, by the server's clock
	flows: Uint32Array;
	drops: Uint32Array;
}

// @marks and one of now, if it is time. The counts of an edge that comes later begin with zero.
export function with_mark(marks: Mark[], edges: wire.Edge[], now: number): Mark[] {
	const last = marks.at(-1);
	if (last && now < last.at + MARK_MS) return marks;
	const mark: Mark = {
		at: now,
		flows: new Uint32Array(edges.length),
		drops: new Uint32Array(edges.length),
	};
	for (const edge of edges) {
		if (!edge) continue;
		const drops = edge.dropped ?? 0;
		mark.drops[edge.id] = drops;
		mark.flows[edge.id] = drops + (edge.forwarded ?? 0) + (edge.audited ?? 0) + (edge.unknown ?? 0);
	}
	return [...marks, mark].slice(-MARKS_KEPT);
}

export interface Rates {
	step_s: number; // usual time between two
	is_past: boolean; // of a range; else of the last minutes
	flows: number[]; // a second, oldest first
	drops: number[];
	unknown: number; // of them, so many at the beginning were before there was a record
}

// Of some edges together.
export function rates_of(marks: Mark[], edges: Edge[]): Rates {
	const ids = edges.flatMap((e) => e.ids ?? [e.id]);
	const rates: Rates = { step_s: MARK_MS / 1000, is_past: false, flows: [], drops: [], unknown: 0 };
	for (let i = 1; i < marks.length; i++) {
		const [before, mark] = [marks[i - 1]!, marks[i]!];
		const seconds = (mark.at - before.at) / 1000;
		const grown = (what: "flows" | "drops") =>
			ids.reduce((n, id) => n + (((mark[what][id] ?? 0) - (before[what][id] ?? 0)) >>> 0), 0) / seconds;
		rates.flows.push(grown("flows"));
		rates.drops.push(grown("drops"));
	}
	return rates;
}

// Without the steps that had not begun at @now_s.
export function begun(pulse: wire.Pulse, now_s: number): wire.Pulse {
	const n = Math.max(0, Math.ceil((now_s - pulse.from) / (pulse.step ?? 1)));
	return { ...pulse, flows: pulse.flows.slice(0, n), drops: pulse.drops.slice(0, n) };
}

// A step that goes on has counted less than one that is over: at @now_s it is drawn as if it went on as it began, and as the
// one before it while it has only begun: the record's counts come some seconds late.
export function completed(pulse: wire.Pulse, now_s: number): wire.Pulse {
	const step = pulse.step ?? 1;
	const last = pulse.flows.length - 1;
	const since_s = now_s - pulse.from - last * step;
	if (last < 1 || since_s >= step) return pulse;
	const of = (counts: number[]) =>
		counts.map((n, i) =>
			i < last ? n : since_s < BEGUN_S ? counts[last - 1]! : Math.round((n * step) / since_s),
		);
	return { ...pulse, flows: of(pulse.flows), drops: of(pulse.drops) };
}

// Of a past range, as the server counted them. @oldest: ms since the epoch, of the record; 0: not known.
export function rates_in(pulse: wire.Pulse, { since, until }: Range, oldest: number): Rates {
	const step_s = pulse.step ?? 1;
	const first = Math.max(0, Math.ceil((since / 1000 - pulse.from) / step_s));
	const end = Math.ceil((until / 1000 - pulse.from) / step_s);
	const of = (counts: number[]) => counts.slice(first, end).map((n) => n / step_s);
	const unknown = Math.floor((oldest / 1000 - pulse.from) / step_s) - first;
	const flows = of(pulse.flows);
	return {
		...{ step_s, is_past: true, flows, drops: of(pulse.drops) },
		unknown: Math.min(flows.length, Math.max(0, unknown)),
	};
}
