// How things are, in a word or a sentence. Pure.
import { duration_text, full_time_text, time_text } from "./flow";
import type { State } from "./state";

export interface Health {
	kind: "away" | "connecting" | "past" | "paused" | "live";
	text: string;
	reason: string;
}

export function health(state: State, now: number): Health {
	if (state.link.kind === "broken")
		return {
			kind: "away",
			text: `no connection · ${duration_text(Math.max(0, now - state.link.since))}`,
			reason: `${state.link.reason}.`,
		};
	if (state.upstream.kind === "away")
		return {
			kind: "away",
			text: `server away · ${duration_text(Math.max(0, now - state.upstream.since))}`,
			reason: `The server does not answer: ${plain_reason(state.upstream.reason)}.`,
		};
	if (state.link.kind === "connecting" || state.upstream.kind === "connecting")
		return { kind: "connecting", text: "connecting", reason: "" };
	if (state.range)
		return {
			kind: "past",
			text: `${time_text(state.range.since).slice(0, 5)} – ${time_text(state.range.until).slice(0, 5)}`,
			reason: `${full_time_text(state.range.since)} – ${full_time_text(state.range.until)}`,
		};
	if (state.paused.kind === "yes") return { kind: "paused", text: "paused", reason: "" };
	return { kind: "live", text: "live", reason: "" };
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
	if (state.link.kind === "broken" || state.upstream.kind === "away")
		return only(`No ${what} to show: there is no connection to the server.`);
	if (state.upstream.kind === "connecting") return only("Asking the server…");
	if (state.range)
		return only(
			`No ${what} in this range${state.shown_line ? " with this filter" : ""}. The last line says what is missing from it.`,
		);
	if (!state.shown_line) return only(`No ${what} yet. What comes is shown at once.`);
	return {
		text: `No ${what} with this filter.`,
		seen: state.history.flows.reduce((sum, n) => sum + n, 0),
		then: "Widen it, or wait: what comes is shown.",
	};
}
