// Ties the parts together: socket → state → page, and the page's wishes back. The only file with a clock.
import { render } from "preact";
import { address_of, read_address, type View } from "./address";
import { App } from "./App";
import { type Column, read_columns, write_columns } from "./columns";
import { filters_of, parse_line } from "./filter";
import { type FlowId, is_flow } from "./flow";
import type { Scheme } from "./media";
import "./page.css";
import { type Handlers, Socket } from "./socket";
import type { Range } from "./time_range";
import { type Event, type Panels, type Selection, type State, type Which, initial, reduce } from "./state";
import { type Message, read_message, type Watch } from "./wire";

const SCHEME_KEY = "tycho.scheme";
const COLUMNS_KEY = "tycho.columns";
const TICK_MS = 1000; // ages of things are shown in seconds
const CURVE_PAUSE_MS = 150; // who walks over the map asks for the rates of where they stop

let state: State = initial("");
let scheme: Scheme = read_scheme();
let columns = read_columns(localStorage.getItem(COLUMNS_KEY));
let watch = 0;

function read_scheme(): Scheme {
	const kept = localStorage.getItem(SCHEME_KEY);
	return kept === "light" || kept === "dark" ? kept : "auto";
}

function set_scheme(to: Scheme): void {
	scheme = to;
	localStorage.setItem(SCHEME_KEY, to);
	document.documentElement.dataset.scheme = to;
	draw_soon();
}

function draw_now(): void {
	render(
		<App
			state={state}
			now={Date.now()}
			scheme={scheme}
			columns={columns}
			wishes={wishes}
			on_scheme={set_scheme}
		/>,
		document.getElementById("page")!,
	);
}

// Draws once, however often it is asked for, when @schedule calls.
function once(schedule: (then: () => void) => void): () => void {
	let is_due = false;
	return () => {
		if (is_due) return;
		is_due = true;
		schedule(() => {
			is_due = false;
			draw_now();
		});
	};
}

// Bursts of events are drawn once a frame. A page that is not looked at is not drawn at all.
const draw = once(requestAnimationFrame);
// What a person does is drawn before the next thing that they do, which builds on it, even within the same frame: when
// the handlers of an event are through.
const draw_soon = once(queueMicrotask);

function happen(event: Event): void {
	state = reduce(state, event);
	draw();
}

function wish(event: Event): void {
	state = reduce(state, event);
	draw_soon();
}

// What is new is drawn in the next frame; there is none while nobody looks.
let waiting: (() => void)[] = [];
function shown(then: () => void): void {
	waiting.push(then);
	if (document.hidden) all_shown();
	else if (waiting.length === 1) requestAnimationFrame(all_shown);
}
function all_shown(): void {
	const all = waiting;
	waiting = [];
	for (const then of all) then();
}
document.addEventListener("visibilitychange", () => document.hidden && all_shown());

const LIVE = `${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/live`;
const socket = new Socket(LIVE, {
	opened() {
		happen({ type: "opened" });
		happen({ type: "asked", watch: state.watch, range: state.range }); // a new connection begins anew
	},
	closed(reason) {
		happen({ type: "closed", reason, now: Date.now() });
		void leave_if_logged_out();
	},
	text: (text) => happen({ type: "message", message: read_message(text), now: Date.now() }),
	shown,
});

// Questions beside the view's have sockets of their own, for as long as their answers are wanted.
class Aside {
	private socket: Socket | null = null;

	constructor(private readonly handlers: Pick<Handlers, "opened" | "closed" | "text">) {}

	ask(question: Watch | null): void {
		if (!question) this.socket?.close();
		this.socket = question && (this.socket ?? new Socket(LIVE, { ...this.handlers, shown }));
		if (question) this.socket!.ask(question);
	}
}

const nothing = () => {};
const other = new Aside({
	opened: () => state.against && happen({ type: "against", ...state.against }),
	closed: (reason) => happen({ type: "against_closed", reason }),
	text: (text) => happen({ type: "against_message", message: read_message(text) }),
});
const curve_of = (which: Which) =>
	new Aside({
		opened: nothing,
		closed: nothing,
		text: (text) => happen({ type: "curve_message", which, message: read_message(text) }),
	});
const curves = { now: curve_of("now"), before: curve_of("before") };
const sought = new Aside({ opened: nothing, closed: nothing, text: (text) => take_sought(read_message(text)) });

function ask_against(range: Range | null, filters: Pick<Watch, "allow" | "deny">): void {
	happen({ type: "against", watch, range });
	other.ask(range && { type: "watch", watch, ...range, ...filters });
}

let curve_timer = 0;

function ask_curve(of: string, filters: Pick<Watch, "allow" | "deny"> | null): void {
	clearTimeout(curve_timer);
	const ask = (which: Which, range: Range | null) => {
		if (range && filters) {
			watch++;
			happen({ type: "curve", which, curve: { watch, of, answer: "waiting" } });
			return curves[which].ask({ type: "watch", watch, ...range, ...filters, only: "rates" });
		}
		if (state.curves[which]) happen({ type: "curve", which, curve: null });
		curves[which].ask(null);
	};
	const ask_both = () => {
		ask("now", state.range);
		ask("before", state.range && state.against && state.against.range);
	};
	if (state.range && filters) curve_timer = setTimeout(ask_both, CURVE_PAUSE_MS);
	else ask_both();
}

// A flow that the address is about may be older than what the table begins with: it is asked for by its time.
function ask_sought(flow: FlowId): void {
	const since = Math.floor(Date.parse(flow.time));
	const allow = flow.uuid ? [{ uuid: [flow.uuid] }] : [];
	sought.ask({ type: "watch", watch: ++watch, since, until: since + 1, allow });
}

function take_sought(message: Message): void {
	const { selection } = state;
	if (selection.kind !== "sought") return sought.ask(null);
	const flow = message.type === "update" && message.rows.find((row) => is_flow(row, selection.flow));
	const is_over = message.type === "refused" || (message.type === "update" && message.state.kind === "past");
	if (!flow && !is_over) return;
	happen({ type: "found", id: selection.flow, flow: flow || null });
	sought.ask(null);
}

// A browser does not say why a socket was refused. If the page itself is refused too, the session has ended; the filter
// goes along to the login and back.
async function leave_if_logged_out(): Promise<void> {
	const answer = await fetch("/", { method: "HEAD", redirect: "manual" }).catch(() => null);
	if (answer?.type === "opaqueredirect") location.assign(`/login${location.hash}`);
}

// A line that cannot be asked is shown with its problem, and what was asked before goes on.
function ask({ line, range, against, local }: View): void {
	const parsed = parse_line(line);
	const filters = parsed.ok ? filters_of(parsed.terms) : parsed;
	happen({ type: "local", on: local });
	happen({ type: "line", line, problem: filters.ok ? "" : filters.reason });
	if (!filters.ok) return;
	const { allow, deny } = filters;
	watch++;
	happen({ type: "asked", watch, range });
	socket.ask({ type: "watch", watch, ...range, allow, deny });
	ask_against(against, { allow, deny });
}

// What is looked at is part of the address: a view can be sent to somebody, and the browser's Back works.
function go(change: Partial<View>): void {
	const view = { ...view_of(state), ...change };
	if (!view.range) view.against = null;
	history.pushState(null, "", `${location.pathname}${address_of(view)}`);
	ask(view);
	draw_soon();
}

function view_of({ line, range, against, local, selection, panels }: State): View {
	return { line, range, against: against && against.range, local, selection, panels };
}

function ask_address(): void {
	const view = read_address(location.hash);
	happen({ type: "select", selection: view.selection });
	happen({ type: "panels", panels: view.panels });
	ask(view);
	if (view.selection.kind === "sought") ask_sought(view.selection.flow);
	draw_soon();
}

// What only changes how it is looked at is no step that Back would undo.
function keep_address(): void {
	history.replaceState(null, "", `${location.pathname}${address_of(view_of(state))}`);
}

const wishes = {
	line(line: string) {
		if (line === state.line && !state.line_problem) return;
		go({ line });
	},
	range: (range: Range | null) => go({ range }),
	flows: (line: string, range: Range) => go({ line, range, against: null }),
	compare: (range: Range, against: Range | null) => go({ range, against }),
	curve: ask_curve,
	local(on: boolean) {
		wish({ type: "local", on });
		keep_address();
	},
	select(selection: Selection) {
		wish({ type: "select", selection });
		keep_address();
	},
	// @is_done: nobody is dragging any more
	panels(panels: Panels, is_done: boolean) {
		wish({ type: "panels", panels });
		if (is_done) keep_address();
	},
	pause: (on: boolean) => wish({ type: "pause", on }),
	columns(shown: Column[]) {
		columns = shown;
		localStorage.setItem(COLUMNS_KEY, write_columns(shown));
		draw_soon();
	},
	log_out: () =>
		void fetch("/logout", { method: "POST", redirect: "manual" }).then(leave_if_logged_out, () => {}),
	unfold: (group: string, on: boolean) => wish({ type: "unfold", group, on }),
};

addEventListener("popstate", ask_address);
addEventListener("beforeprint", draw_now); // what has come since the last frame; no other comes
document.documentElement.dataset.scheme = scheme;
ask_address();
setInterval(draw, TICK_MS);
