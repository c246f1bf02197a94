// How things are, in a word or a sentence. Pure.
import { full_time_text, short_time_text, time_text, whole_duration_text } from "./flow";
import { outcome_terms } from "./graph";
import type { State } from "./state";
import { missing_in, type Range } from "./time_range";

export interface Health {
	kind: "away" | "connecting" | "past" | "paused" | "live";
	text: string;
	since: string; // how long it has been so, where that is said
	reason: string;
}

function range_text({ since, until }: Range, now: number): string {
	const day = (ms: number) => new Date(ms).toDateString();
	const is_today = day(since) === day(now) && day(until) === day(now);
	const text = (ms: number) => (is_today ? time_text(ms).slice(0, 5) : short_time_text(ms));
	return `${text(since)} – ${text(until)}`;
}

export function health(state: State, now: number): Health {
	if (state.link.kind === "broken")
		return {
			kind: "away",
			text: "no connection",
			since: whole_duration_text(now - state.link.since),
			reason: `${state.link.reason}.`,
		};
	if (state.upstream.kind === "away")
		return {
			kind: "away",
			text: "server away",
			since: whole_duration_text(now - state.upstream.since),
			reason: `The server does not answer: ${plain_reason(state.upstream.reason)}.`,
		};
	if (state.link.kind === "connecting" || state.upstream.kind === "connecting") {
		const is_reading = state.link.kind === "open" && state.range !== null;
		return { kind: "connecting", text: is_reading ? "reading the record" : "connecting", since: "", reason: "" };
	}
	if (state.range)
		return {
			kind: "past",
			text: range_text(state.range, now),
			since: "",
			reason: `${full_time_text(state.range.since)} – ${full_time_text(state.range.until)}`,
		};
	if (state.paused.kind === "yes") return { kind: "paused", text: "paused", since: "", reason: "" };
	return { kind: "live", text: "live", since: "", reason: "" };
}

// Without what only says that it was gRPC's.
function plain_reason(reason: string): string {
	return reason
		.replace(/^rpc error: code = \w+ desc = /, "")
		.replace(/^connection error: desc = "(.*)"$/, "$1")
		.replace(/^transport: Error while dialing: /, "")
		.replace(/\.$/, "");
}

// What is said where there is nothing to show: @seen flows, of all the record, stand between the two.
export interface Empty {
	text: string;
	seen: number;
	then: string;
}

export function empty_text(state: State, what: string): Empty {
	const only = (text: string): Empty => ({ text, seen: 0, then: "" });
	const known = knowledge(state);
	if (known === "away") return only(`No ${what} to show: there is no connection to the server.`);
	const seen = state.history.flows.reduce((sum, n) => sum + n, 0);
	// Who asks for drops alone is told that there were none.
	const is_of_drops = state.shown_line === "verdict=DROPPED" || state.shown_line === outcome_terms("dropped").join(" ");
	const these = is_of_drops ? "drops" : what;
	const none = `No ${these}`;
	const with_filter = state.shown_line && !is_of_drops ? " with this filter" : "";
	if (known === "asked")
		return only(state.upstream.kind === "live" ? `Asking for earlier ${these}${with_filter}…` : "Asking the server…");
	if (state.range)
		return {
			text: `${none} in this range${with_filter}.`,
			seen,
			then: missing_in(state.coverage, state.range).length ? "The last line says what is missing from the range." : "",
		};
	if (!state.shown_line) return only(`No ${what} yet. What comes is shown at once.`);
	return { text: `${none}${with_filter}.`, seen, then: is_of_drops ? "The next is shown at once." : "Widen it, or wait: what comes is shown." };
}

// Whether zero means that there were none: only who has been answered knows, of what comes too from history.
export function knowledge(state: State): "known" | "asked" | "away" {
	if (state.totals.flows > 0) return "known";
	if (state.link.kind === "broken" || state.upstream.kind === "away") return "away";
	return state.upstream.kind === "past" || state.has_caught_up ? "known" : "asked";
}
