// Ties the parts together: socket → state → page, and the page's wishes back. The only file with a clock.
import { render } from "preact";
import { App, type Scheme } from "./App";
import { filters_of, parse_line } from "./filter";
import "./page.css";
import { Socket } from "./socket";
import { address_of, type Range, read_address } from "./time_range";
import { type Event, type State, initial, reduce } from "./state";
import { read_message } from "./wire";

const SCHEME_KEY = "tycho.scheme";
const TICK_MS = 1000; // ages of things are shown in seconds

let state: State = initial("");
let scheme: Scheme = read_scheme();
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
			<App state={state} now={Date.now()} scheme={scheme} wishes={wishes} on_scheme={set_scheme} />,
			document.getElementById("page")!,
		);
	});
}

function happen(event: Event): void {
	state = reduce(state, event);
	draw();
}

const socket = new Socket(
	`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/live`,
	{
		opened() {
			happen({ type: "opened" });
			happen({ type: "asked", watch, range: state.range }); // a new connection begins anew
		},
		closed(reason) {
			happen({ type: "closed", reason, now: Date.now() });
			void leave_if_logged_out();
		},
		text: (text) => happen({ type: "message", message: read_message(text), now: Date.now() }),
	},
);

// A browser does not say why a socket was refused. If the page itself is refused too, the session has ended; the filter
// goes along to the login and back.
async function leave_if_logged_out(): Promise<void> {
	const answer = await fetch("/", { method: "HEAD", redirect: "manual" }).catch(() => null);
	if (answer?.type === "opaqueredirect") location.assign(`/login${location.hash}`);
}

// A line that cannot be asked is shown with its problem, and what was asked before goes on.
function ask(line: string, range: Range | null): void {
	const parsed = parse_line(line);
	const filters = parsed.ok ? filters_of(parsed.terms) : parsed;
	happen({ type: "line", line, problem: filters.ok ? "" : filters.reason });
	if (!filters.ok) return;
	watch++;
	happen({ type: "asked", watch, range });
	socket.ask({ type: "watch", watch, ...range, allow: filters.allow, deny: filters.deny });
}

// Filter and range are part of the address: a view can be sent to somebody, and the browser's Back works.
function go(line: string, range: Range | null): void {
	history.pushState(null, "", `${location.pathname}${address_of(line, range)}`);
	ask(line, range);
}

function ask_address(): void {
	const { line, range } = read_address(location.hash);
	ask(line, range);
}

const wishes = {
	line(line: string) {
		if (line === state.line && !state.line_problem) return;
		go(line, state.range);
	},
	range: (range: Range | null) => go(state.line, range),
	select: (selection: State["selection"]) => happen({ type: "select", selection }),
	pause: (on: boolean) => happen({ type: "pause", on }),
	log_out: () =>
		void fetch("/logout", { method: "POST", redirect: "manual" }).then(leave_if_logged_out, () => {}),
	unfold: (group: string, on: boolean) => happen({ type: "unfold", group, on }),
};

addEventListener("popstate", ask_address);
document.documentElement.dataset.scheme = scheme;
ask_address();
setInterval(draw, TICK_MS);
