// Ties the parts together: socket → state → page, and the page's wishes back. The only file with a clock.
import { render } from "preact";
import { address_of, read_address, type View } from "./address";
import { App, type Scheme } from "./App";
import { type Column, read_columns, write_columns } from "./columns";
import { filters_of, parse_line } from "./filter";
import "./page.css";
import { Socket } from "./socket";
import type { Range } from "./time_range";
import { type Event, type Panels, type State, initial, reduce } from "./state";
import { read_message, type Watch } from "./wire";

const SCHEME_KEY = "tycho.scheme";
const COLUMNS_KEY = "tycho.columns";
const TICK_MS = 1000; // ages of things are shown in seconds

let state: State = initial("");
let scheme: Scheme = read_scheme();
let columns = read_columns(localStorage.getItem(COLUMNS_KEY));
let drawing = false;
let watch = 0;

function read_scheme(): Scheme {
	const kept = localStorage.getItem(SCHEME_KEY);
	return kept === "light" || kept === "dark" ? kept : "auto";
}

function set_scheme(to: Scheme): void {
	scheme = to;
	localStorage.setItem(SCHEME_KEY, to);
	document.documentElement.dataset.scheme = to;
	draw();
}

// Bursts of events are drawn once a frame. A page that is not looked at is not drawn at all.
function draw(): void {
	if (drawing) return;
	drawing = true;
	requestAnimationFrame(() => {
		drawing = false;
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
	});
}

function happen(event: Event): void {
	state = reduce(state, event);
	draw();
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
		happen({ type: "asked", watch, range: state.range }); // a new connection begins anew
	},
	closed(reason) {
		happen({ type: "closed", reason, now: Date.now() });
		void leave_if_logged_out();
	},
	text: (text) => happen({ type: "message", message: read_message(text), now: Date.now() }),
	shown,
});

// The other range of a comparison has a socket of its own, for as long as it is compared with.
let other: Socket | null = null;

function ask_against(range: Range | null, filters: Pick<Watch, "allow" | "deny">): void {
	happen({ type: "against", watch, range });
	if (!range) {
		other?.close();
		other = null;
		return;
	}
	other ??= new Socket(LIVE, {
		opened: () => state.against && happen({ type: "against", ...state.against }),
		closed: (reason) => happen({ type: "against_closed", reason }),
		text: (text) => happen({ type: "against_message", message: read_message(text) }),
		shown,
	});
	other.ask({ type: "watch", watch, ...range, ...filters });
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
}

function view_of({ line, range, against, local, selection, panels }: State): View {
	return { line, range, against: against && against.range, local, selection, panels };
}

function ask_address(): void {
	const view = read_address(location.hash);
	happen({ type: "select", selection: view.selection });
	happen({ type: "panels", panels: view.panels });
	ask(view);
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
	compare: (range: Range, against: Range | null) => go({ range, against }),
	local(on: boolean) {
		happen({ type: "local", on });
		keep_address();
	},
	select(selection: State["selection"]) {
		happen({ type: "select", selection });
		keep_address();
	},
	// @is_done: nobody is dragging any more
	panels(panels: Panels, is_done: boolean) {
		happen({ type: "panels", panels });
		if (is_done) keep_address();
	},
	pause: (on: boolean) => happen({ type: "pause", on }),
	columns(shown: Column[]) {
		columns = shown;
		localStorage.setItem(COLUMNS_KEY, write_columns(shown));
		draw();
	},
	log_out: () =>
		void fetch("/logout", { method: "POST", redirect: "manual" }).then(leave_if_logged_out, () => {}),
	unfold: (group: string, on: boolean) => happen({ type: "unfold", group, on }),
};

addEventListener("popstate", ask_address);
document.documentElement.dataset.scheme = scheme;
ask_address();
setInterval(draw, TICK_MS);
