// All that the page knows, and how each event changes it. Pure: no clock, no DOM, no network.
import { spaces_of } from "./filter";
import { type Flow, type FlowId, is_flow } from "./flow";
import { begun, completed, type Mark, with_mark } from "./rates";
import type { Range } from "./time_range";
import {
	PROTOCOL,
	type Coverage,
	type Card,
	type Edge,
	type Message,
	type Namespace,
	type Pulse,
	type ServerStatus,
	type Totals,
	type Upstream,
} from "./wire";

export const ROWS_KEPT = 5000;
export const PULSE_SECONDS = 300;
const FRESH_MS = 2000; // a flow that is no older has come as it happened

// A flow of the table; ids only grow, so that a row keeps its identity while others come.
export interface Row {
	id: number;
	flow: Flow;
}

export type Link =
	{ kind: "connecting" } | { kind: "open" } | { kind: "broken"; reason: string; since: number };

export type Selection =
	| { kind: "nothing" }
	| { kind: "card"; key: string }
	| { kind: "edge"; from: string; to: string }
	| { kind: "flow"; row: Row }
	| { kind: "coverage" } // what is known, and what is missing
	| { kind: "sought"; flow: FlowId; is_gone: boolean }; // of an address: a flow that is not here yet

// The parts of the page that can be hidden, and how large they are.
export type Panel = "map" | "details" | "flows";
export interface Panels {
	hidden: Panel[];
	flows: number; // % of the height
	details: number; // px of the width
}
export const usual_panels: Panels = { hidden: [], flows: 30, details: 300 };

// The other range of a comparison: asked for beside the first, by a question of its own.
export interface Against {
	range: Range;
	watch: number;
	kind: "waiting" | "here" | "away";
	reason: string; // of away
	cards: Card[]; // by id
	edges: Edge[]; // by id
	totals: Totals;
	untracked: number;
}

// Rates of what is selected on the map of a past range, or of two: questions of their own, too.
export type Which = "now" | "before";
export interface Curve {
	watch: number;
	of: string; // whatever tells it from others
	answer: Pulse | "waiting" | "refused";
}

export interface State {
	link: Link;
	version: string;
	login: boolean; // somebody has logged in, and can log out
	server: string;
	status:
		| { kind: "unknown" }
		| { kind: "known"; status: ServerStatus }
		| { kind: "away"; reason: string };
	clusters: string[];
	namespaces: string[];
	coverage: Coverage[]; // empty where the server does not know
	history: Pulse; // rates over all of the record; no numbers where the server does not tell
	has_record: boolean; // false: the server said that it keeps none
	line: string; // the filter
	range: Range | null; // null: what comes
	against: Against | null; // what the range is compared with
	local: boolean; // link-local and multicast peers each on a card of their own
	line_problem: string; // why the filter is not what is shown; ""
	watch: number; // number of the question that is being answered
	shown_line: string; // the filter that it asks with
	upstream: Upstream;
	has_caught_up: boolean; // all of history that a live view begins with is here
	totals: Totals;
	mapped: Totals | null; // of the same moment as cards and edges, which do not come each time; null: none came yet
	cards: Card[]; // by id
	edges: Edge[]; // by id
	untracked: number;
	structure: number; // grows when cards or edges appear
	arrangement: number; // grows when others are chosen to be shown: time to lay all out anew
	began_at: number; // ms since the epoch, when the first cards came; 0: there are none yet
	pulse: Pulse;
	rows: Row[]; // newest last
	next_row: number;
	left_out: number; // flows that this page was never sent, since it is up to date
	earlier: number; // and from before that
	is_followed: boolean; // flows come as they happen
	answered: number; // ms since the epoch, when the server sent the last update; 0: none yet
	page_lag: number; // ms from server to page, of the last update
	paused: { kind: "no" } | { kind: "yes"; rows: Row[]; at: number }; // at: next_row when it began
	selection: Selection;
	curves: Record<Which, Curve | null>;
	panels: Panels;
	marks: Mark[]; // of the edges' counts in the last minutes, while they are followed
	unfolded: string[]; // groups shown in full though the map is large
}

const no_pulse: Pulse = { from: 0, flows: [], drops: [] };
const no_totals: Totals = {
	flows: 0,
	dropped: 0,
	lost: 0,
	gaps: 0,
	gap_ms: 0,
	oldest: 0,
	newest: 0,
	lag_ms: 0,
};

export function initial(line: string): State {
	return {
		link: { kind: "connecting" },
		version: "",
		login: false,
		server: "",
		status: { kind: "unknown" },
		clusters: [],
		namespaces: [],
		coverage: [],
		history: no_pulse,
		has_record: true,
		line,
		range: null,
		against: null,
		local: false,
		line_problem: "",
		watch: 0,
		shown_line: "",
		...nothing_seen(),
		paused: { kind: "no" },
		selection: { kind: "nothing" },
		curves: { now: null, before: null },
		panels: usual_panels,
		unfolded: [],
		structure: 0,
		arrangement: 0,
		next_row: 1,
	};
}

function nothing_seen() {
	return {
		upstream: { kind: "connecting" } as Upstream,
		has_caught_up: false,
		totals: no_totals,
		mapped: null as Totals | null,
		cards: [] as Card[],
		edges: [] as Edge[],
		began_at: 0,
		untracked: 0,
		pulse: no_pulse,
		marks: [] as Mark[],
		rows: [] as Row[],
		left_out: 0,
		earlier: 0,
		is_followed: false,
		answered: 0,
		page_lag: 0,
	};
}

export type Event =
	| { type: "message"; message: Message; now: number }
	| { type: "opened" }
	| { type: "closed"; reason: string; now: number }
	| { type: "line"; line: string; problem: string }
	| { type: "asked"; watch: number; range: Range | null }
	| { type: "against"; watch: number; range: Range | null } // null: no comparison
	| { type: "against_message"; message: Message }
	| { type: "against_closed"; reason: string }
	| { type: "local"; on: boolean }
	| { type: "select"; selection: Selection }
	| { type: "found"; id: FlowId; flow: Flow | null } // null: it is not kept
	| { type: "curve"; which: Which; curve: Curve | null }
	| { type: "curve_message"; which: Which; message: Message }
	| { type: "panels"; panels: Panels }
	| { type: "pause"; on: boolean }
	| { type: "unfold"; group: string; on: boolean };

export function reduce(state: State, event: Event): State {
	switch (event.type) {
		case "message":
			return take_message(state, event.message, event.now);
		case "opened":
			return { ...state, link: { kind: "open" } };
		case "closed":
			return state.link.kind === "broken"
				? state
				: { ...state, link: { kind: "broken", reason: event.reason, since: event.now } };
		case "line":
			return { ...state, line: event.line, line_problem: event.problem };
		case "asked":
			return take_question(state, event.watch, event.range);
		case "against":
			return {
				...state,
				against: event.range && nothing_against(event.watch, event.range),
				structure: state.structure + 1,
			};
		case "against_message":
			return take_against(state, event.message);
		case "against_closed":
			return state.against
				? { ...state, against: { ...state.against, kind: "away", reason: event.reason } }
				: state;
		case "local":
			return event.on === state.local
				? state
				: { ...state, local: event.on, structure: state.structure + 1 };
		case "select":
			return { ...state, selection: event.selection };
		case "found":
			return take_found(state, event.id, event.flow);
		case "curve":
			return { ...state, curves: { ...state.curves, [event.which]: event.curve } };
		case "curve_message":
			return take_curve(state, event.which, event.message);
		case "panels":
			return { ...state, panels: event.panels };
		case "pause":
			return {
				...state,
				paused: event.on ? { kind: "yes", rows: state.rows, at: state.next_row } : { kind: "no" },
			};
		case "unfold":
			return {
				...state,
				structure: state.structure + 1,
				arrangement: state.arrangement + 1,
				unfolded: [
					...state.unfolded.filter((g) => g !== event.group),
					...(event.on ? [event.group] : []),
				],
			};
	}
}

// What was seen belongs to the question before.
function take_question(state: State, watch: number, range: Range | null): State {
	const is_anew = spaces_of(state.line) !== spaces_of(state.shown_line);
	return {
		...state,
		watch,
		range,
		...nothing_seen(),
		paused: { kind: "no" },
		structure: state.structure + 1,
		shown_line: state.line,
		arrangement: state.arrangement + (is_anew ? 1 : 0),
	};
}

function take_message(state: State, message: Message, now: number): State {
	switch (message.type) {
		case "hello":
			return message.protocol === PROTOCOL
				? { ...state, version: message.version, login: message.login ?? false }
				: {
						...state,
						link: {
							kind: "broken",
							since: now,
							reason: `tycho-ui ${message.version} speaks another protocol than this page: reload it`,
						},
					};
		case "status":
			return {
				...state,
				server: message.server,
				status: message.status
					? { kind: "known", status: message.status }
					: { kind: "away", reason: message.reason ?? "" },
				// told when they change
				coverage: message.coverage ?? state.coverage,
				history: message.history ?? state.history,
				has_record: message.record ?? state.has_record,
				...(message.namespaces && {
					namespaces: names_of(message.namespaces.namespaces, "namespace"),
					clusters: names_of(message.namespaces.namespaces, "cluster"),
				}),
			};
		case "refused":
			return message.watch === state.watch ? { ...state, line_problem: message.reason } : state;
		case "update":
			return message.watch === state.watch ? take_update(state, message, now) : state;
	}
}

function names_of(list: Namespace[] | undefined, of: "cluster" | "namespace"): string[] {
	return [...new Set((list ?? []).map((n) => n[of] ?? ""))].filter(Boolean).sort();
}

function is_sought(selection: Selection, flow: Flow): boolean {
	return selection.kind === "sought" && is_flow(flow, selection.flow);
}

function take_found(state: State, id: FlowId, flow: Flow | null): State {
	const { selection } = state;
	if (selection.kind !== "sought" || !is_flow(id, selection.flow)) return state;
	return {
		...state,
		selection: flow ? { kind: "flow", row: { id: 0, flow } } : { ...selection, is_gone: true },
	};
}

// Of an answer about rates alone, these.
function take_curve(state: State, which: Which, message: Message): State {
	const curve = state.curves[which];
	if (!curve || !("watch" in message) || message.watch !== curve.watch) return state;
	const answered = (answer: Curve["answer"]) => ({ ...state, curves: { ...state.curves, [which]: { ...curve, answer } } });
	if (message.type === "refused") return answered("refused");
	if (message.state.kind !== "past") return state;
	const sent_s = message.sent / 1000;
	return answered(completed(begun(message.pulse, sent_s), sent_s));
}

function take_update(
	state: State,
	update: Extract<Message, { type: "update" }>,
	now: number,
): State {
	const rows = update.rows.map((flow, i) => ({ id: state.next_row + i, flow }));
	const sought = rows.find((row) => is_sought(state.selection, row.flow));
	const next: State = {
		...state,
		selection: sought ? { kind: "flow", row: sought } : state.selection,
		upstream: update.state,
		has_caught_up: update.caught_up ?? false,
		totals: update.totals,
		// That of a past range is always whole.
		pulse: state.range ? update.pulse : merge_pulse(state.pulse, update.pulse),
		rows: rows.length ? [...state.rows, ...rows].slice(-ROWS_KEPT) : state.rows,
		next_row: state.next_row + rows.length,
		// Of those from before the page was up to date none was too fast for anybody.
		...(state.is_followed
			? { left_out: state.left_out + update.left_out }
			: { earlier: state.earlier + update.left_out }),
		answered: update.sent,
		page_lag: Math.max(0, now - update.sent),
	};
	// What a view begins with has been before: it is followed once flows come as they happen.
	if (update.state.kind === "live" && update.sent - update.totals.newest < FRESH_MS) next.is_followed = true;
	// Rates are counted from edges that have all from before: totals are ahead of them, for a map does not come each time.
	const is_counted = state.marks.length > 0 || (next.is_followed && update.map !== undefined);
	const marked = (after: State) => {
		if (is_counted && update.state.kind === "live") after.marks = with_mark(after.marks, after.edges, update.sent);
		return after;
	};
	if (!update.map) return marked(next);
	next.mapped = update.totals;
	if (update.map.full) next.marks = [];
	next.cards = update.map.full ? [] : state.cards.slice();
	next.edges = update.map.full ? [] : state.edges.slice();
	for (const card of update.map.cards) next.cards[card.id] = card;
	if (!next.began_at && next.cards.length) next.began_at = now;
	const edges_before = next.edges.length;
	for (const edge of update.map.edges) next.edges[edge.id] = edge;
	next.untracked = update.map.untracked;
	if (update.map.full || update.map.cards.length || next.edges.length > edges_before)
		next.structure++;
	return marked(next);
}

function nothing_against(watch: number, range: Range): Against {
	return {
		range,
		watch,
		kind: "waiting",
		reason: "",
		cards: [],
		edges: [],
		totals: no_totals,
		untracked: 0,
	};
}

// Of the other range, map and totals count; its flows are not shown.
function take_against(state: State, message: Message): State {
	const old = state.against;
	if (!old || !("watch" in message) || message.watch !== old.watch) return state;
	if (message.type === "refused")
		return { ...state, against: { ...old, kind: "away", reason: message.reason } };
	if (message.type !== "update") return state;
	const { state: upstream, totals, map } = message;
	const next: Against = {
		...old,
		kind: upstream.kind === "past" ? "here" : upstream.kind === "away" ? "away" : "waiting",
		reason: upstream.kind === "away" ? upstream.reason : "",
		totals,
	};
	if (map) {
		next.cards = map.full ? [] : old.cards.slice();
		next.edges = map.full ? [] : old.edges.slice();
		for (const card of map.cards) next.cards[card.id] = card;
		for (const edge of map.edges) next.edges[edge.id] = edge;
		next.untracked = map.untracked;
	}
	return { ...state, against: next, structure: state.structure + 1 };
}

// The newer counts win where both have a second.
export function merge_pulse(old: Pulse, add: Pulse): Pulse {
	const end = add.from + add.flows.length;
	const from = Math.max(
		end - PULSE_SECONDS,
		old.flows.length ? Math.min(old.from, add.from) : add.from,
	);
	const merged: Pulse = { from, flows: [], drops: [] };
	for (let s = from; s < end; s++) {
		const [pulse, i] = s >= add.from ? [add, s - add.from] : [old, s - old.from];
		merged.flows.push(pulse.flows[i] ?? 0);
		merged.drops.push(pulse.drops[i] ?? 0);
	}
	return merged;
}

// @pulse of the last five minutes, with the record's averages, since @oldest, where the page was not up to date yet.
export function with_history(pulse: Pulse, history: Pulse, oldest: number, followed_from: number): Pulse {
	if (!pulse.flows.length || !history.flows.length) return pulse;
	const end = pulse.from + pulse.flows.length;
	const filled: Pulse = { from: end - PULSE_SECONDS, flows: [], drops: [] };
	const step = history.step ?? 1;
	for (let s = filled.from; s < end; s++) {
		const i = Math.floor((s - history.from) / step);
		const is_old = s * 1000 >= oldest && s * 1000 < followed_from && i >= 0 && i < history.flows.length;
		for (const what of ["flows", "drops"] as const)
			filled[what].push(
				Math.max(pulse[what][s - pulse.from] ?? 0, is_old ? (history[what][i] ?? 0) / step : 0),
			);
	}
	return filled;
}

// What the table shows, newest last.
export function visible_rows(state: State): Row[] {
	return state.paused.kind === "yes" ? state.paused.rows : state.rows;
}
