// Parts of the page that need no browser: the state's reducer, ranges and rates, the graph, the table's columns.
import assert from "node:assert/strict";
import { test } from "node:test";
import { load } from "./load.mjs";

const address = await load("address");
const compare = await load("compare");
const columns = await load("columns");
const filter = await load("filter");
const flow_term = await load("flow_term");
const flow_words = await load("flow");
const fold = await load("fold");
const graph = await load("graph");
const health = await load("health");
const curve = await load("curve");
const layout = await load("layout");
const match = await load("match");
const rates = await load("rates");
const line_shape = await load("line_shape");
const shown = await load("shown");
const socket = await load("socket");
const state = await load("state");
const time_cursor = await load("time_cursor");
const time_range = await load("time_range");

test("a range is whole minutes, either way round, and survives the address", () => {
	const at = Date.UTC(2026, 0, 1, 12);
	const range = time_range.range_between(at + 90_000, at + 1);
	assert.deepEqual(range, { since: at, until: at + 120_000 });
	assert.deepEqual(time_range.range_between(at, at), { since: at, until: at + 60_000 });
	const live = {
		...{ line: "", range: null, against: null, local: false },
		...{ selection: { kind: "nothing" }, panels: state.usual_panels },
	};
	const against = time_range.range_before(range, 3_600_000);
	const time = "2026-01-01T00:00:00.000000001Z";
	assert.deepEqual(against, { since: at - 3_600_000, until: at - 3_480_000 });
	for (const view of [
		live,
		{ ...live, line: "verdict=DROPPED", range },
		{ ...live, range, against },
		{ ...live, local: true },
		{ ...live, selection: { kind: "coverage" } },
		{ ...live, selection: { kind: "card", key: "workload||shop|Deployment|a&b=c|" } },
		{ ...live, selection: { kind: "edge", from: "a|b", to: "c|d" } },
		{ ...live, selection: { kind: "sought", flow: { time, uuid: "a_b-c" }, is_gone: false } },
		{ ...live, selection: { kind: "sought", flow: { time, uuid: "" }, is_gone: false } },
		{ ...live, panels: { hidden: ["map", "flows"], flows: 12, details: 900 } },
	])
		assert.deepEqual(address.read_address(address.address_of(view)), view);
	assert.equal(address.address_of(live), "");
	assert.equal(address.address_of({ ...live, against }), ""); // with nothing to compare it with
	assert.deepEqual(time_range.last_minutes(at + 59_999, 5), { since: at - 300_000, until: at });
	// A flow is told by its time and uuid; sizes have limits, and something is always shown.
	const flow = (of) => ({ ...live, selection: { kind: "flow", row: { id: 1, flow: of } } });
	assert.equal(address.address_of(flow({})), "");
	assert.deepEqual(address.read_address(address.address_of(flow({ time, uuid: "u" }))).selection, {
		...{ kind: "sought", flow: { time, uuid: "u" } },
		is_gone: false,
	});
	for (const nonsense of ["#flow=", "#flow=x_y", "#flow=_u"])
		assert.equal(address.read_address(nonsense).selection.kind, "nothing", nonsense);
	for (const nonsense of ["#hide=map,details,flows", "#hide=header", "#size-flows=x&size-details="])
		assert.deepEqual(address.read_address(nonsense).panels.hidden, [], nonsense);
	assert.deepEqual(address.read_address("#size-flows=1&size-details=1e9").panels, {
		...state.usual_panels,
		...{ flows: 12, details: 900 },
	});
	for (const broken of ["", "#since=x&until=y", "#since=2026-01-01T00:00:00Z", `#until=${at}`])
		assert.equal(address.read_address(broken).range, null, broken);
	assert.equal(
		filter.command_of("port=443", "s:1", range),
		"tycho observe --server s:1 --since 2026-01-01T12:00:00Z --until 2026-01-01T12:02:00Z --port 443",
	);
});

test("what is missing is said of the time it is missing from, and not of what a page saw itself", () => {
	const at = (s) => new Date(s * 1000).toISOString();
	const coverage = [
		{ node_name: "a", oldest: at(100), gaps: [{ from: at(300), to: at(320), cause: "OBSERVER_RESTARTED" }] },
		{ node_name: "b", oldest: at(200) },
		{ node_name: "c" },
		{ node_name: "d", error: "no" },
	];
	const range = { since: 50_000, until: 500_000 };
	const texts = (list) => [60, 150, 250, 310, 400].map((s) => time_range.gone_text(time_range.missing_in(list, range), s * 1000));
	assert.deepEqual(texts(coverage), [
		"missing: a, before its record, and 3 more",
		"missing: b, before its record, and 2 more",
		...["missing: c, before its record, and 1 more", "missing: a, observer restarted, and 2 more"],
		"missing: c, before its record, and 1 more",
	]);
	const a = { ...coverage[0], oldest: at(50) };
	const seen = time_range.looked_since([a, ...coverage.slice(1)], 240_000);
	assert.deepEqual(texts(seen), [
		...["missing: b, before its record, and 1 more", "missing: b, before its record, and 1 more"],
		...["", "missing: a, observer restarted", ""],
	]);
	assert.equal(time_range.shade_of({ nodes: 2 }, 2), 1);
});

test("a keyboard moves by steps that begin where others do, no further than the ends, and marks with Shift alone", () => {
	const extent = { since: 130, until: 1250, step: 100, zero: 0 };
	const at = (cursor, keys) =>
		keys.split(" ").reduce((c, key) => time_cursor.moved(c, key.replace("+", ""), key.startsWith("+"), extent), cursor);
	const end = time_cursor.within(null, extent);
	assert.deepEqual(end, { at: 1250, marked_from: 1250 });
	const moves = {
		...{ ArrowLeft: 1200, "ArrowLeft ArrowDown": 1100, "ArrowLeft ArrowRight": 1250, "Home ArrowUp": 200 },
		...{ PageDown: 1200, Home: 130, "Home ArrowLeft": 130, "Home PageUp End": 1250 },
	};
	for (const [keys, to] of Object.entries(moves)) assert.deepEqual(at(end, keys), { at: to, marked_from: to }, keys);
	assert.deepEqual(at(end, "Home +ArrowRight +ArrowRight +ArrowLeft"), { at: 200, marked_from: 130 });
	assert.deepEqual(at(end, "+Home"), { at: 130, marked_from: 1250 });
	assert.equal(time_cursor.has_mark(at(end, "+Home ArrowRight")), false);
	for (const key of ["Enter", "Escape", "Tab", "x"]) assert.equal(time_cursor.moved(end, key, false, extent), null, key);
	// Ten pages are the whole; what has moved on takes the mark's begin along.
	const long = { since: 0, until: 3000, step: 10, zero: 0 };
	assert.equal(time_cursor.moved({ at: 1500, marked_from: 1500 }, "PageUp", false, long).at, 1800);
	assert.deepEqual(time_cursor.within({ at: 900, marked_from: 100 }, extent), { at: 900, marked_from: 130 });
});

test("the page says how far it has read, once what it was told is shown", () => {
	const made = [];
	class FakeSocket {
		static OPEN = 1;
		readyState = 0;
		sent = [];
		constructor() {
			made.push(this);
		}
		send(text) {
			this.sent.push(JSON.parse(text));
		}
		open() {
			this.readyState = FakeSocket.OPEN;
			this.onopen();
		}
	}
	const taken = (n) => ({ type: "taken", messages: n });
	const question = { type: "watch", watch: 1 };
	let not_shown = [];
	const show = () => {
		for (const then of not_shown.splice(0)) then();
	};
	const [timer, before] = [globalThis.setTimeout, globalThis.WebSocket];
	globalThis.WebSocket = FakeSocket;
	try {
		const s = new socket.Socket("ws://x", {
			opened() {},
			closed() {},
			text() {},
			shown: (then) => not_shown.push(then),
		});
		s.ask(question);
		const [first] = made;
		first.open();
		assert.deepEqual(first.sent, [taken(0), question]);
		first.onmessage({ data: "{}" });
		first.onmessage({ data: "{}" });
		assert.deepEqual(first.sent.slice(2), []); // not on the screen yet
		show();
		assert.deepEqual(first.sent.slice(2), [taken(1), taken(2)]);
		// Of a connection that is gone nothing is said on the next one, which counts anew.
		first.onmessage({ data: "{}" });
		globalThis.setTimeout = (again) => again();
		first.readyState = 3;
		first.onclose({ reason: "" });
		const second = made[1];
		second.open();
		show();
		assert.deepEqual(second.sent, [taken(0), question]);
		second.onmessage({ data: "{}" });
		show();
		assert.deepEqual(second.sent.slice(2), [taken(1)]);
		assert.equal(first.sent.length, 4);
	} finally {
		globalThis.setTimeout = timer;
		globalThis.WebSocket = before;
	}
});

test("rates are what lies between two notes of the counts, also where those wrap", () => {
	const edge = (id, forwarded, dropped) => ({ id, from: 0, to: 1, protocol: "TCP", forwarded, dropped });
	let marks = rates.with_mark([], [edge(0, 100, 0)], 1000);
	assert.equal(rates.with_mark(marks, [edge(0, 200, 0)], 1000 + rates.MARK_MS - 1), marks);
	assert.deepEqual(rates.rates_of(marks, [edge(0)]).flows, []);
	marks = rates.with_mark(marks, [edge(0, 2 ** 32 - 10, 0)], 6000);
	// One that is new began with nothing; a list of edges has holes.
	marks = rates.with_mark(marks, [edge(0, 2 ** 32 + 10, 0), undefined, edge(2, 30, 20)], 11_000);
	assert.deepEqual(rates.rates_of(marks, [edge(2)]), {
		...{ step_s: 5, is_past: false, unknown: 0 },
		...{ flows: [0, 10], drops: [0, 4] },
	});
	assert.deepEqual(rates.rates_of(marks, [edge(0)]).flows, [(2 ** 32 - 110) / 5, 4]);
	assert.deepEqual(rates.rates_of(marks, [{ ...edge(0), ids: [0, 2] }]).flows[1], 14);
	for (let i = 0; i < 100; i++) marks = rates.with_mark(marks, [], 20_000 + i * 5000);
	assert.equal(marks.length, 61); // five minutes
});

test("rates of a past range are what the server counted within it, a second", () => {
	const pulse = { from: 540, step: 60, flows: [600, 120, 60, 6], drops: [0, 60, 0, 6] };
	const range = { since: 600_000, until: 720_000 };
	assert.deepEqual(rates.rates_in(pulse, range, 0), {
		...{ step_s: 60, is_past: true, unknown: 0 },
		...{ flows: [2, 1], drops: [1, 0] },
	});
	// What was before the record is no rate.
	const unknown = (oldest) => rates.rates_in(pulse, range, oldest).unknown;
	assert.deepEqual([659_999, 660_000, 719_999, 720_000, 900_000].map(unknown), [0, 1, 1, 2, 2]);
	const nothing = { from: 0, flows: [], drops: [] };
	assert.deepEqual(rates.rates_in(nothing, { since: 0, until: 60_000 }, 1).flows, []);
});

test("a step that goes on is drawn as if it went on, and one that has only begun as the one before", () => {
	const pulse = { from: 600, step: 60, flows: [100, 30], drops: [6, 2] };
	const at = (now_s) => [rates.completed(pulse, now_s).flows[1], rates.completed(pulse, now_s).drops[1]];
	assert.deepEqual([661, 699, 700, 720].map(at), [[100, 6], [100, 6], [45, 3], [30, 2]]);
	assert.deepEqual(pulse.flows, [100, 30]);
	for (const short of [{ ...pulse, flows: [], drops: [] }, { ...pulse, flows: [5], drops: [0] }])
		assert.equal(rates.completed(short, 601), short);
});

test("before the page looked the strip has the record's averages, and from then on what was seen", () => {
	const { PULSE_SECONDS, with_history } = state;
	// Seconds 1000 to 1004; the record by the minute from 900 on; up to date since 1002.
	const pulse = { from: 1000, flows: [1, 30, 5, 6, 7], drops: [0, 0, 1, 0, 0] };
	const history = { from: 900, step: 60, flows: [600, 1200], drops: [60, 0] };
	const filled = with_history(pulse, history, 930_000, 1_002_000);
	assert.equal(filled.from, 1005 - PULSE_SECONDS);
	assert.equal(filled.flows.length, PULSE_SECONDS);
	const at = (s) => [filled.flows[s - filled.from], filled.drops[s - filled.from]];
	assert.deepEqual([899, 929, 930, 959, 960, 999].map(at), [[0, 0], [0, 0], [10, 1], [10, 1], [20, 0], [20, 0]]);
	assert.deepEqual([1000, 1001, 1002, 1003, 1004].map(at), [[20, 0], [30, 0], [5, 1], [6, 0], [7, 0]]);
	assert.equal(with_history(pulse, { from: 0, flows: [], drops: [] }, 0, 0), pulse);
	const nothing = { from: 0, flows: [], drops: [] };
	assert.equal(with_history(nothing, history, 0, 0), nothing);
});

test("what a page begins with was too fast for nobody", () => {
	const update = (more) => ({
		type: "message",
		now: 0,
		message: {
			...{ type: "update", watch: 0, sent: 10_000, state: { kind: "live" }, rows: [], left_out: 7 },
			...{ pulse: { from: 0, flows: [], drops: [] }, totals: { newest: 1000 } },
			...more,
		},
	});
	const old = state.reduce(state.initial(""), update({}));
	assert.deepEqual([old.earlier, old.left_out, old.marks.length], [7, 0, 0]);
	const fresh = state.reduce(old, update({ totals: { newest: 9000 } }));
	assert.deepEqual([fresh.earlier, fresh.left_out, fresh.marks.length], [14, 0, 0]);
	const next = state.reduce(fresh, update({ totals: { newest: 9000 }, left_out: 3 }));
	assert.deepEqual([next.earlier, next.left_out], [14, 3]);
	const again = state.reduce(next, { type: "asked", watch: 1, range: null });
	assert.deepEqual([again.earlier, again.left_out, again.marks.length], [0, 0, 0]);
});

test("what was on an edge before it is followed is no rate, though counts come before the map that has it", () => {
	const edge = (dropped) => ({ id: 0, from: 0, to: 0, protocol: "TCP", dropped });
	const map = (dropped) => ({ full: false, cards: [], edges: [edge(dropped)], untracked: 0 });
	const update = (sent, newest, more) => ({
		type: "message",
		now: sent,
		message: {
			...{ type: "update", watch: 0, sent, state: { kind: "live" }, rows: [], left_out: 0 },
			...{ pulse: { from: 0, flows: [], drops: [] }, totals: { newest } },
			...more,
		},
	});
	const updates = [
		update(10_000, 1000, { map: map(600) }), // of an hour ago
		update(10_200, 10_100), // all of it has been counted
		update(10_400, 10_300, { map: map(3600) }),
		update(15_400, 15_300, { map: map(3610) }),
	];
	const { marks } = updates.reduce(state.reduce, state.initial(""));
	assert.deepEqual(rates.rates_of(marks, [edge()]).drops, [2]);
});

test("only who has been answered says that there was nothing", () => {
	const seen = { ...state.initial(""), link: { kind: "open" } };
	const of = (more) => health.knowledge({ ...seen, ...more });
	const away = { upstream: { kind: "away", reason: "", since: 0 } };
	assert.equal(of({}), "asked");
	assert.equal(of(away), "away");
	assert.equal(of({ ...away, totals: { ...seen.totals, flows: 1 } }), "known");
	assert.equal(of({ upstream: { kind: "live" }, link: { kind: "broken", reason: "", since: 0 } }), "away");
	assert.equal(of({ upstream: { kind: "past" } }), "known");
	assert.equal(of({ upstream: { kind: "live" } }), "asked");
	assert.equal(of({ upstream: { kind: "live" }, has_caught_up: true }), "known");
	assert.equal(of({ upstream: { kind: "live" }, totals: { ...seen.totals, flows: 1 } }), "known");
});

test("in an empty range it is said what there is elsewhere, and that some is missing only where it is so", () => {
	const range = { since: 60_000, until: 120_000 };
	const of = (oldest) =>
		health.empty_text(
			{
				...state.initial(""),
				...{ link: { kind: "open" }, upstream: { kind: "past" }, range },
				coverage: [{ node_name: "a", oldest: new Date(oldest).toISOString() }],
				history: { from: 0, step: 60, flows: [0, 0, 7], drops: [0, 0, 0] },
			},
			"flows",
		);
	assert.deepEqual(of(30_000), { text: "No flows in this range.", seen: 7, then: "" });
	assert.match(of(90_000).then, /what is missing/);
	const live = (line, has_caught_up) =>
		health.empty_text(
			{ ...state.initial(""), shown_line: line, has_caught_up, link: { kind: "open" }, upstream: { kind: "live" } },
			"connections",
		).text;
	assert.equal(live("verdict=DROPPED", true), "No drops.");
	assert.equal(live("verdict=DROPPED port=53", true), "No connections with this filter.");
	assert.equal(live("", false), "Asking for earlier connections…");
	assert.equal(live("verdict=DROPPED", false), "Asking for earlier drops…");
	assert.equal(live("verdict=DROPPED port=53", false), "Asking for earlier connections with this filter…");
});

test("a past range is said by the clock today, and with its days else", () => {
	const at = (...time) => new Date(2026, 4, ...time).getTime();
	const said = (since, until, now) =>
		health.health({ ...state.initial(""), link: { kind: "open" }, upstream: { kind: "past" }, range: { since, until } }, now).text;
	assert.equal(said(at(5, 9, 0), at(5, 9, 30), at(5, 10)), "09:00 – 09:30");
	const [since, until] = [at(4, 10, 0), at(5, 10, 0)];
	assert.equal(said(since, until, at(5, 10)), `${flow_words.short_time_text(since)} – ${flow_words.short_time_text(until)}`);
	assert.equal(said(since, since + 60_000, at(5, 10)), [since, since + 60_000].map(flow_words.short_time_text).join(" – "));
});

test("what has a space in its name is not asked for by two words", () => {
	const cards = [card(0, "a b"), card(1, "c"), { id: 2, kind: "address", name: "10.0.0.1" }];
	const [two, one] = graph.graph_of(cards, [], []).nodes;
	assert.deepEqual(graph.node_terms(two, "from"), []);
	assert.equal(graph.ways_of_node(two), null);
	assert.equal(graph.ways_between(two, one, []), null);
	assert.notEqual(graph.ways_of_node(one), null);
	const of_space = (namespace) => {
		const many = Array.from({ length: graph.FOLD_FROM }, (_, i) => card(i, `w${i}`, { namespace }));
		return graph.ways_of_node(graph.graph_of(many, [], []).nodes[0]);
	};
	assert.deepEqual([of_space("a b"), of_space("ab")], [null, [["from-namespace=ab"], ["to-namespace=ab"]]]);
});

test("what cannot be seen in a name is shown, and what scripts are written with stays", () => {
	const { visible } = flow_words;
	assert.equal(visible("name\u202egnp.exe"), "name\\u202egnp.exe");
	assert.equal(visible("a\u200bb\u0007\u009b"), "a\\u200bb\\u0007\\u009b");
	for (const name of ["web-0", "خدمة‌الدفع", "каталог", "👩‍🚀", "在庫"]) assert.equal(visible(name), name);
});

test("a past range is drawn until it was answered: what goes on is not drawn as less", () => {
	const pulse = { from: 0, step: 60, flows: [120, 120, 60, 0, 0], drops: [0, 0, 30, 0, 0] };
	const shown = rates.completed(rates.begun(pulse, 180 - 15), 180 - 15);
	assert.deepEqual([shown.flows, shown.drops], [[120, 120, 80], [0, 0, 40]]);
	assert.deepEqual(rates.begun(pulse, 1000), pulse);
	assert.deepEqual(rates.begun(pulse, -1).flows, []);
});

test("a line is hit where it runs, and its middle lies on it", () => {
	const at = (x, y) => ({ x, y });
	const corners = line_shape.shape_of([at(0, 0), at(100, 0), at(100, 50), at(200, 50)], false);
	assert.equal(line_shape.distance(corners, 50, 3, 5), 3);
	assert.equal(line_shape.distance(corners, 104, 25, 5), 4);
	assert.equal(line_shape.distance(corners, 50, 25, 5), Infinity);
	assert.deepEqual(line_shape.middle(corners), at(100, 25)); // 125 of 250
	assert.deepEqual(line_shape.arrival(corners), at(1, 0));
	// A cubic of Bézier's between two level ends: symmetric, so half-way at half of its height.
	const curve = line_shape.curve(at(0, 0), at(600, 200), 0, 0, 0);
	const middle = line_shape.middle(curve);
	assert.ok(Math.abs(middle.x - 299) < 4 && Math.abs(middle.y - 100) < 4, JSON.stringify(middle));
	assert.ok(line_shape.distance(curve, middle.x, middle.y, 5) < 1e-6);
	assert.deepEqual(line_shape.arrival(curve), at(1, 0));
	// Towards the left it leaves and arrives towards the left.
	const back = line_shape.curve(at(600, 0), at(0, 0), 0, 0, 0);
	assert.deepEqual(
		[back.points[0].x, back.points.at(-1).x],
		[600 - layout.CARD_WIDTH / 2, layout.CARD_WIDTH / 2 + 2],
	);
	assert.deepEqual(line_shape.arrival(back), at(-1, 0));
	for (const shape of [corners, curve, back]) {
		const flat = line_shape.flattened(shape);
		for (let i = 0; i < flat.length; i += 2)
			assert.ok(
				flat[i] >= shape.box[0] && flat[i] <= shape.box[2] && flat[i + 1] >= shape.box[1] && flat[i + 1] <= shape.box[3],
			);
	}
});

test("a flow of the address is selected when it comes, or is said to be gone", () => {
	const flow = { time: "2026-01-01T00:00:00.000000001Z", uuid: "u", verdict: "DROPPED" };
	const id = { time: flow.time, uuid: "u" };
	const sought = state.reduce(state.initial(""), {
		type: "select",
		selection: { kind: "sought", flow: id, is_gone: false },
	});
	const others = [{ ...flow, uuid: "v" }, { ...flow, time: "2026-01-01T00:00:00.000000002Z" }];
	const not_yet = state.reduce(sought, update({ rows: others }));
	assert.equal(not_yet.selection.kind, "sought");
	const here = state.reduce(not_yet, update({ rows: [flow] }));
	assert.deepEqual(here.selection, { kind: "flow", row: here.rows.at(-1) });
	// Of an answer to a question of its own; an answer about another is passed over.
	const found = state.reduce(sought, { type: "found", id, flow });
	assert.deepEqual(found.selection, { kind: "flow", row: { id: 0, flow } });
	assert.equal(state.reduce(sought, { type: "found", id: { ...id, uuid: "v" }, flow }), sought);
	assert.equal(state.reduce(sought, { type: "found", id, flow: null }).selection.is_gone, true);
	assert.equal(state.reduce(here, { type: "found", id, flow: null }), here);
});

test("rates that were asked for are those of the last question, when all are here", () => {
	const message = (more, which = "now") => ({ type: "curve_message", which, message: { ...update({}).message, sent: 120_000, ...more } });
	const pulse = { from: 60, step: 60, flows: [3], drops: [1] };
	const asked = { watch: 7, of: "x", answer: "waiting" };
	let s = state.initial("");
	assert.equal(state.reduce(s, message({ watch: 1, pulse })), s);
	s = state.reduce(s, { type: "curve", which: "now", curve: asked });
	assert.equal(state.reduce(s, message({ watch: 6, pulse, state: { kind: "past" } })), s);
	assert.equal(state.reduce(s, message({ watch: 7, pulse, state: { kind: "connecting" } })), s);
	assert.equal(state.reduce(s, message({ watch: 7, pulse, state: { kind: "past" } }, "before")), s);
	const here = state.reduce(s, message({ watch: 7, pulse, state: { kind: "past" } }));
	assert.deepEqual(here.curves, { now: { ...asked, answer: pulse }, before: null });
	// A minute that goes on is as it will be if it goes on so; what is to come is not zero.
	const going_on = { watch: 7, sent: 165_000, state: { kind: "past" }, pulse: { from: 0, step: 60, flows: [6, 6, 3, 0], drops: [0, 0, 0, 0] } };
	assert.deepEqual(state.reduce(s, message(going_on)).curves.now.answer.flows, [6, 6, 4]);
	const refused = { type: "curve_message", which: "now", message: { type: "refused", watch: 7, reason: "no" } };
	assert.equal(state.reduce(s, refused).curves.now.answer, "refused");
	assert.equal(state.reduce(here, { type: "curve", which: "now", curve: null }).curves.now, null);
	// Those of the range that it is compared with are kept beside.
	const both = state.reduce(here, { type: "curve", which: "before", curve: { ...asked, watch: 8 } });
	const after = state.reduce(both, message({ watch: 8, pulse, state: { kind: "past" } }, "before"));
	assert.deepEqual(after.curves, { now: here.curves.now, before: { ...asked, watch: 8, answer: pulse } });
});

test("other namespaces or clusters, folded or not, are a reason to lay all out anew, and nothing else is", () => {
	let s = state.initial("");
	const arranged = (line) => {
		const before = s.arrangement;
		s = state.reduce(s, { type: "line", line, problem: "" });
		s = state.reduce(s, { type: "asked", watch: s.watch + 1, range: null });
		return s.arrangement - before;
	};
	const lines = ["verdict=DROPPED", "namespace=a verdict=DROPPED", "verdict=DROPPED namespace=a", "namespace=a"];
	assert.deepEqual(lines.map(arranged), [0, 1, 0, 0]);
	assert.deepEqual(["namespace=b", "to-cluster=x namespace=b", ""].map(arranged), [1, 1, 1]);
	const of = (event) => state.reduce(s, event).arrangement - s.arrangement;
	assert.equal(of({ type: "unfold", group: "a", on: true }), 1);
	assert.equal(of({ type: "local", on: true }), 0);
	// A line that cannot be asked shows nothing else.
	assert.equal(of({ type: "line", line: "namespace=", problem: "needs a value" }), 0);
});

test("a server that keeps no record is remembered to keep none, until it says otherwise", () => {
	const says = (before, more) =>
		state.reduce(before, {
			type: "message",
			message: { type: "status", server: "s:1", status: {}, ...more },
			now: 0,
		});
	const unknown = says(state.initial(""), {});
	assert.equal(unknown.has_record, true);
	const none = says(unknown, { record: false });
	assert.equal(says(none, {}).has_record, false);
	assert.equal(says(none, { record: true }).has_record, true);
});

test("what is missing from a range is what lies in it, with its cause", () => {
	const at = Date.UTC(2026, 0, 1, 12);
	const iso = (minutes) => new Date(at + minutes * 60_000).toISOString();
	const range = { since: at, until: at + 600_000 };
	const gap = (from, to) => ({ cause: "OBSERVER_DOWN", from: iso(from), to: iso(to), lost: "7" });
	const coverage = [
		{ node_name: "a", oldest: iso(-60), gaps: [gap(-20, -10), gap(-1, 1), gap(9, 20), gap(10, 11)] },
		{ node_name: "b", oldest: iso(2) },
		{ node_name: "c", error: "gone" },
	];
	const minutes = ({ node, since, until, cause }) => [
		...[node, (since - at) / 60_000],
		...[(until - at) / 60_000, cause],
	];
	assert.deepEqual(time_range.missing_in(coverage, range).map(minutes), [
		["a", 0, 1, "observer down"],
		["a", 9, 10, "observer down"],
		["b", 0, 2, "before its record"],
		["c", 0, 10, "not reached"],
	]);
	assert.equal(time_range.oldest_of(coverage), at - 3_600_000);
	assert.equal(time_range.oldest_of([]), 0);
});

test("nodes that need somebody come first, and what is missing from many is one stretch", () => {
	const node = (name, more = { oldest: new Date(1000).toISOString() }) => ({ node_name: name, ...more });
	const list = [node("w10"), node("w2"), node("w30", { error: "away" }), node("w4", {}), node("w3")];
	assert.deepEqual(
		time_range.sorted_nodes(list).map((c) => c.node_name),
		["w30", "w4", "w2", "w3", "w10"],
	);
	const of = (name, since, until) => ({ node: name, since, until, cause: "observer down", lost: 0 });
	const told = (missing, nodes) => time_range.stretches(missing, nodes).map((s) => [s.since, s.until, s.nodes]);
	assert.deepEqual(told([], 3), []);
	assert.deepEqual(told([of("a", 10, 30), of("b", 20, 40)], 2), [[10, 20, 1], [20, 30, 2], [30, 40, 1]]);
	assert.deepEqual(told([of("a", 10, 20), of("b", 30, 40)], 2), [[10, 20, 1], [30, 40, 1]]);
	assert.deepEqual(told([of("a", 10, 10)], 1), [[10, 11, 1]]);
	// Of a thousand that began one after the other there are as many stretches as shades, and all time has one.
	const begun = Array.from({ length: 1000 }, (_, i) => of(`n${i}`, 0, i + 1));
	const all = told(begun, 1000);
	assert.equal(all.length, 8);
	assert.deepEqual([all[0][0], all.at(-1)[1], all[0][2]], [0, 1000, 1000]);
	for (const [i, [since]] of all.slice(1).entries()) assert.equal(since, all[i][1]);
});

test("of a range that goes on only what is over is compared, and a rate that is not zero does not say so", () => {
	const range = { since: 60_000, until: 360_000 };
	assert.deepEqual(time_range.part_over(range, 335_000), { since: 60_000, until: 300_000 });
	assert.deepEqual(time_range.part_over(range, 400_000), range);
	assert.deepEqual(time_range.part_over(range, 100_000), range);
	assert.deepEqual([0, 0.001, 0.0049, 0.005, 12.4].map(flow_words.rate_text), ["0", "< 0.01", "< 0.01", "0.01", "12"]);
});

test("flows belong to the cards that the server makes of their ends, asked or answered", () => {
	const a = { namespace: "shop", pod_name: "a-0", workloads: [{ name: "a", kind: "Deployment" }] };
	const ask = (more) => ({ source: a, IP: { source: "10.0.0.1", destination: "ff02::1" }, ...more });
	const own = { id: 0, kind: "workload", namespace: "shop", name: "a" };
	const ends = [
		[{ kind: "pod", namespace: "pay", name: "b-0" }, { destination: { namespace: "pay", pod_name: "b-0" } }],
		[{ kind: "reserved", name: "host", identity: 1 }, { destination: { identity: 1 } }],
		[{ kind: "reserved", name: "world" }, { destination: { labels: ["reserved:world"] } }],
		[{ kind: "name", name: "x.example" }, { destination_names: ["x.example"] }],
		[{ kind: "cidr", name: "10.0.0.0/8" }, { destination: { labels: ["cidr:10.0.0.0/8"] } }],
		[{ kind: "address", name: "ff02::1" }, {}],
		[{ kind: "local", name: "multicast" }, {}],
	];
	for (const [card, more] of ends) {
		assert.ok(match.is_between(ask(more), [own], [card]), card.kind);
		assert.ok(match.is_between(ask(more), [card], [own]), card.kind); // an answer
		assert.ok(match.is_of_card(ask(more), card), card.kind);
		assert.ok(!match.is_between(ask(more), [own], [{ ...card, name: "other", identity: 9 }]), card.kind);
		assert.ok(!match.is_of_card({}, card), card.kind);
	}
	assert.ok(!match.is_of_card(ask({}), { ...own, namespace: "pay" }));
	const east = { source: { ...a, cluster_name: "east" } };
	assert.ok(match.is_of_card(ask(east), { ...own, cluster: "east" }));
	assert.ok(!match.is_of_card(ask(east), { ...own, cluster: "west" }));
});

test("a curve's steps are as wide as their time, and what is not zero is seen", () => {
	assert.equal(curve.steps([0, 10, 1], 10, 0, 2), "M0 100.0H2L2 6.0H4L4 90.6H6");
	assert.equal(curve.steps([], 10, 0, 2), "");
	assert.equal(curve.outline([0, 1], 1000, 5), "M5 100.0L6 95.0");
	assert.deepEqual([0.3, 1, 7, 11, 100].map(curve.ceiling).map((n) => Math.round(n * 10) / 10), [0.5, 1, 10, 20, 100]);
});

test("columns stay in their order, the last one stays, and what was kept by another version is passed over", () => {
	assert.deepEqual(columns.read_columns(null), columns.usual);
	assert.deepEqual(columns.read_columns("nothing,way"), columns.usual);
	assert.deepEqual(columns.read_columns("node,future,time"), ["time", "node"]);
	const two = columns.with_column(["time", "node"], "from-address", true);
	assert.deepEqual(two, ["time", "from-address", "node"]);
	assert.deepEqual(columns.read_columns(columns.write_columns(two)), two);
	assert.deepEqual(columns.with_column(["time"], "time", false), ["time"]);
	assert.deepEqual(columns.with_column(["time", "node"], "time", false), ["node"]);
});

test("columns say what the flow says, and nothing where it says nothing", () => {
	const flow = {
		IP: { source: "10.0.0.1" },
		source: { identity: 7, namespace: "n", pod_name: "p" },
		l4: { UDP: { source_port: 53, destination_port: 40000 } },
		is_reply: true,
		ingress_denied_by: [{ namespace: "n", name: "a" }],
		egress_denied_by: [{ name: "b" }, { name: "b" }],
		traffic_direction: "EGRESS",
	};
	const text = (c, f = flow) => columns.columns[c].text(f);
	assert.deepEqual(
		["from", "from-address", "from-port", "from-identity", "port", "policy", "direction"].map((c) => text(c)),
		["n/p", "10.0.0.1", "53", "7", "53 UDP", "n/a, b", "egress"],
	);
	for (const c of Object.keys(columns.columns).filter((c) => !["verdict", "from", "to", "way"].includes(c)))
		assert.equal(text(c, {}), "", c);
});

const card = (id, name, more = {}) => ({
	id,
	kind: "workload",
	namespace: "shop",
	workload: "Deployment",
	name,
	...more,
});
const update = (more) => ({
	type: "message",
	now: 1000,
	message: {
		type: "update",
		watch: 0,
		sent: 990,
		state: { kind: "live" },
		totals: { flows: 0, dropped: 0, lost: 0, gaps: 0, gap_ms: 0, oldest: 0, newest: 0, lag_ms: 0 },
		pulse: { from: 100, flows: [1], drops: [0] },
		rows: [],
		left_out: 0,
		...more,
	},
});

test("updates add rows up to what is kept, and count what was left out", () => {
	let s = state.initial("");
	for (let i = 0; i < 3; i++)
		s = state.reduce(s, update({ rows: Array.from({ length: 2000 }, () => ({})), left_out: 5 }));
	assert.equal(s.rows.length, state.ROWS_KEPT);
	assert.equal(s.rows.at(-1).id, 6000);
	assert.deepEqual([s.earlier, s.left_out], [5, 10]); // the first brings what was before, too
	assert.equal(s.page_lag, 10);
});

test("an answer to a question that is no longer asked changes nothing", () => {
	const s = state.reduce(state.initial(""), { type: "asked", watch: 2 });
	assert.equal(state.reduce(s, update({ watch: 1, rows: [{}] })), s);
	assert.equal(state.reduce(s, update({ watch: 2, rows: [{}] })).rows.length, 1);
});

test("while paused the rows shown stay, and go on afterwards", () => {
	let s = state.reduce(state.initial(""), update({ rows: [{}] }));
	s = state.reduce(s, { type: "pause", on: true });
	s = state.reduce(s, update({ rows: [{}, {}] }));
	assert.equal(state.visible_rows(s).length, 1);
	assert.equal(s.next_row - s.paused.at, 2);
	assert.equal(state.visible_rows(state.reduce(s, { type: "pause", on: false })).length, 3);
});

test("a map's delta changes what it names, and a full one replaces all", () => {
	const map = (full, cards, edges) => update({ map: { full, cards, edges, untracked: 0 } });
	let s = state.reduce(
		state.initial(""),
		map(
			true,
			[card(0, "a"), card(1, "b")],
			[{ id: 0, from: 0, to: 1, protocol: "TCP", forwarded: 1 }],
		),
	);
	const structure = s.structure;
	s = state.reduce(s, map(false, [], [{ id: 0, from: 0, to: 1, protocol: "TCP", forwarded: 2 }]));
	assert.equal(s.edges[0].forwarded, 2);
	assert.equal(s.structure, structure); // counts move nothing
	s = state.reduce(s, map(true, [card(0, "c")], []));
	assert.deepEqual([s.cards.length, s.edges.length], [1, 0]);
});

test("rates of seconds that come again replace the old ones", () => {
	const merged = state.merge_pulse(
		{ from: 10, flows: [1, 2, 3], drops: [0, 0, 1] },
		{ from: 12, flows: [9, 4], drops: [2, 0] },
	);
	assert.deepEqual(merged, { from: 10, flows: [1, 2, 9, 4], drops: [0, 0, 2, 0] });
});

test("a status of another protocol is a reason to reload", () => {
	const s = state.reduce(state.initial(""), {
		type: "message",
		now: 1,
		message: { type: "hello", protocol: 2, version: "9" },
	});
	assert.equal(s.link.kind, "broken");
});

test("drops add up: since when, until when, why, and how many for reasons that nobody named", () => {
	const edge = (id, more) => ({ id, from: 0, to: 1, protocol: "TCP", ...more });
	const sum = graph.summary_of([
		edge(0, { forwarded: 1, first: 1, last: 900 }),
		edge(1, { dropped: 5, first_dropped: 300, last_dropped: 400, reasons: { POLICY_DENIED: 3 }, denied_by: "a/b" }),
		edge(2, { dropped: 2, first_dropped: 200, last_dropped: 350, reasons: { POLICY_DENIED: 1, NO_SOCKET: 1 } }),
	]);
	assert.deepEqual([sum.dropped, sum.first_dropped, sum.last_dropped], [7, 200, 400]);
	assert.deepEqual(sum.reasons, [["POLICY_DENIED", 4], ["NO_SOCKET", 1]]);
	assert.equal(sum.unnamed, 2);
	// A reason that has no name is its number: in words, in the table, and to be asked for.
	assert.deepEqual(["POLICY_DENIED", "212", "-7"].map(flow_words.reason_text), ["POLICY_DENIED", "reason 212", "reason -7"]);
	const drop = { verdict: "DROPPED", drop_reason_desc: 212, tycho: { kernel_drop_reason: "X" } };
	assert.equal(flow_words.why_of(drop), "X (reason 212)");
	assert.equal(flow_words.why_of({ ...drop, tycho: undefined }), "reason 212");
	assert.equal(flow_words.why_of({ ...drop, drop_reason_desc: "NO_SOCKET" }), "NO_SOCKET");
	assert.equal(flow_words.kernel_names([drop, drop, {}].map((flow) => ({ flow })), "212"), "X");
	const named = ["D", "C", "B", "A"].map((kernel_drop_reason) => ({ flow: { ...drop, tycho: { kernel_drop_reason } } }));
	assert.equal(flow_words.kernel_names(named, "212"), "A, B, C, …");
	assert.equal(flow_words.kernel_names([{ flow: { ...drop, drop_reason_desc: "NO_SOCKET" } }], "NO_SOCKET"), "");
	assert.equal(flow_words.why_of({ ...drop, drop_reason_desc: 0 }), "X");
	assert.equal(flow_term.flow_term(drop, "drop_reason_desc"), "reason=212");
	assert.deepEqual(sum.deciders, [{ policy: "a/b", on: "" }]);
	assert.equal(graph.summary_of([edge(0, { forwarded: 1 })]).first_dropped, 0);
});

test("between two cards there is a line for each port that has a row, and for each outcome there", () => {
	const edges = [
		{ id: 0, from: 0, to: 1, port: 80, protocol: "TCP", forwarded: 1 },
		{ id: 1, from: 0, to: 1, port: 443, protocol: "TCP", forwarded: 5, dropped: 2 },
	];
	const g = graph.graph_of([card(0, "a"), card(1, "b")], edges, []);
	assert.deepEqual(
		g.lines.map((l) => [l.outcome, l.count, l.port]),
		[
			["forwarded", 1, "80/TCP"],
			["forwarded", 5, "443/TCP"],
			["dropped", 2, "443/TCP"],
		],
	);
	assert.deepEqual(g.nodes[1].ports, ["443/TCP", "80/TCP"]);
	assert.equal(new Set(g.lines.map((l) => l.key)).size, 3);
	assert.deepEqual(g.lines.map((l) => layout.port_offset(g.nodes[1], l)), [26, 8, 8]);
	assert.deepEqual(graph.edges_of(g.lines), edges);
	assert.equal(shown.selected_ways({ kind: "edge", from: g.nodes[0].key, to: g.nodes[1].key }, g).length, 2);
	const said = shown.selected_ways({ kind: "edge", from: g.nodes[0].key, to: g.nodes[1].key }, g).flat();
	for (const port of [80, 443]) assert.ok(said.includes(`to-port=${port}`), said.join(" "));
});

test("ports that have no row share a line, which ends at the row that says how many more there are", () => {
	const edges = [...Array(7)].map((_, i) => ({ id: i, from: 0, to: 1, port: 80 + i, protocol: "TCP", forwarded: 2 ** (7 - i) }));
	const g = graph.graph_of([card(0, "a"), card(1, "b")], edges, []);
	const b = g.nodes[1];
	assert.deepEqual(g.lines.map((l) => [l.port, l.count]), [["80/TCP", 128], ["81/TCP", 64], ["82/TCP", 32], ["83/TCP", 16], ["84/TCP", 14]]);
	const offsets = g.lines.map((l) => layout.port_offset(b, l));
	assert.deepEqual(offsets.map((y) => y - offsets[0]), [0, 18, 36, 54, 54]);
	// A card without room for all of them says so in an earlier row.
	assert.deepEqual(g.lines.map((l) => layout.port_offset({ ...b, rows: 2 }, l)).map((y, _, all) => y - all[0]), [0, 18, 18, 18, 18]);
	// A folded group has no rows.
	const many = [...Array(graph.FOLD_FROM)].map((_, i) => card(i, `w${i}`, { namespace: i ? "n" : "m" }));
	assert.deepEqual(graph.graph_of(many, edges, []).lines.map((l) => [l.row, l.count]), [["", 254]]);
});

test("where there are clusters, cards are told apart by them, in words of the filter line too", () => {
	const edges = [{ id: 0, from: 0, to: 1, protocol: "TCP", port: 80, forwarded: 1 }];
	const of = (...clusters) =>
		graph.graph_of([card(0, "a", { cluster: clusters[0] }), card(1, "a", { cluster: clusters[1] })], edges, []);
	const two = of("east", "west");
	assert.deepEqual(two.groups, ["east/shop", "west/shop"]);
	const words = ["from-cluster=east", "from-namespace=shop", "from-workload=Deployment/a"];
	assert.deepEqual(graph.node_terms(two.nodes[0], "from"), words);
	const [one] = graph.graph_of([card(0, "a", { cluster: "east" })], [], []).nodes;
	assert.deepEqual([one.group, graph.node_terms(one, "from")], ["shop", words.slice(1)]);
	// Requests and their answers, of the flows that the line is about.
	const line = two.lines[0];
	const selection = { kind: "edge", from: line.from, to: line.to };
	const found = shown.selected_filters(selection, two, "verdict=DROPPED namespace=shop");
	const side = (name, cluster) => ({
		[`${name}_cluster_name`]: [cluster],
		[`${name}_pod`]: ["shop/"],
		[`${name}_workload`]: [{ name: "a", kind: "Deployment" }],
	});
	const verdict = ["DROPPED"];
	assert.deepEqual(found, {
		allow: [
			{ verdict, ...side("source", "east"), ...side("destination", "west") },
			{ verdict, ...side("source", "west"), ...side("destination", "east"), reply: [true] },
		],
		deny: [],
	});
	const whole = shown.selected_filters({ kind: "card", key: line.from }, two, "");
	assert.deepEqual(whole.allow, [side("source", "east"), side("destination", "east")]);
	assert.equal(shown.selected_filters({ kind: "nothing" }, two, ""), null);
	const nowhere = graph.graph_of([{ id: 0, kind: "nowhere" }], [], []);
	assert.equal(shown.selected_filters({ kind: "card", key: nowhere.nodes[0].key }, nowhere, ""), null);
});

test("a large map folds its namespaces, and shows those that were unfolded", () => {
	assert.equal(graph.graph_of(Array.from({ length: 149 }, (_, i) => card(i, `w${i}`)), [], []).folds, false);
	const cards = Array.from({ length: graph.FOLD_FROM }, (_, i) =>
		card(i, `w${i}`, { namespace: i < 3 ? "small" : "big" }),
	);
	const edges = [{ id: 0, from: 0, to: 5, protocol: "TCP", port: 1, dropped: 1 }];
	const folded = graph.graph_of(cards, edges, []);
	assert.deepEqual(
		folded.nodes.map((n) => [n.name, n.folded]),
		[
			["small", 3],
			["big", cards.length - 3],
		],
	);
	assert.equal(folded.lines.length, 1);
	assert.equal(graph.graph_of(cards, edges, ["small"]).nodes.length, 4);
});

test("what is folded or unfolded takes the selection along", () => {
	const cards = Array.from({ length: graph.FOLD_FROM }, (_, id) => ({
		...{ id, kind: "workload", namespace: `n${id % 2}`, workload: "Deployment", name: `w${id}` },
	}));
	const edges = [{ id: 0, from: 0, to: 1, protocol: "TCP", forwarded: 1 }];
	const of = (unfolded, selection, group, on) =>
		shown.selected_after(selection, graph.graph_of(cards, edges, unfolded), group, on);
	const card = (key) => ({ kind: "card", key });
	const [own, other] = [card(graph.group_key("n0")), card(graph.card_key(cards[0]))];
	assert.deepEqual(of([], own, "n0", true), { kind: "nothing" });
	assert.deepEqual(of([], own, "n1", true), own);
	assert.deepEqual(of(["n0"], other, "n0", false), own);
	assert.deepEqual(of(["n0"], other, "n1", false), other);
	const edge = { kind: "edge", from: own.key, to: graph.group_key("n1") };
	assert.deepEqual(of([], edge, "n1", true), { kind: "nothing" });
	assert.deepEqual(of([], { kind: "coverage" }, "n1", true), { kind: "coverage" });
});

test("a folded group has words for all of its flows, or none where one of its cards has none", () => {
	const cards = Array.from({ length: graph.FOLD_FROM + 1 }, (_, i) => card(i, `w${i}`, { namespace: "big" }));
	const out = (...list) => {
		const more = list.map((c, i) => ({ id: cards.length + i, ...c }));
		const all = [...cards, ...more];
		const edges = [
			{ id: 0, from: 0, to: all.length - 1, protocol: "TCP", port: 443, forwarded: 3 },
			{ id: 1, from: 0, to: 1, protocol: "TCP", port: 80, forwarded: 5 },
		];
		return graph.graph_of(all, edges, []);
	};
	const stripe = { kind: "name", name: "api.stripe.com" };
	const g = out({ kind: "address", name: "10.0.0.1" }, { kind: "address", name: "10.0.0.2" }, stripe);
	const [big, outside] = g.nodes;
	assert.deepEqual([big.name, outside.name, outside.cards.length], ["big", "outside", 3]);
	assert.deepEqual(graph.node_ways(big, "from"), [["from-namespace=big"]]);
	assert.deepEqual(graph.node_ways(outside, "to"), [["to-ip=10.0.0.1", "to-ip=10.0.0.2"], ["to-dns=api.stripe.com"]]);
	assert.deepEqual(big.own.map((e) => e.id), [1]); // what stays within has no line, but is counted
	const select = (key) => shown.selected_filters({ kind: "card", key }, g, "verdict=DROPPED");
	const verdict = ["DROPPED"];
	assert.deepEqual(select(big.key).allow, [
		{ verdict, source_pod: ["big/"] },
		{ verdict, destination_pod: ["big/"] },
	]);
	assert.deepEqual(select(outside.key).allow.slice(0, 2), [
		{ verdict, source_ip: ["10.0.0.1", "10.0.0.2"] },
		{ verdict, source_fqdn: ["api.stripe.com"] },
	]);
	// Requests, and answers from the port that was asked.
	assert.deepEqual(graph.ways_between(big, outside, g.lines[0].edges), [
		["from-namespace=big", "to-ip=10.0.0.1", "to-ip=10.0.0.2", "to-port=443", "protocol=tcp"],
		["from-namespace=big", "to-dns=api.stripe.com", "to-port=443", "protocol=tcp"],
		["from-ip=10.0.0.1", "from-ip=10.0.0.2", "to-namespace=big", "from-port=443", "protocol=tcp"],
		["from-dns=api.stripe.com", "to-namespace=big", "from-port=443", "protocol=tcp"],
	]);
	// The table is narrowed to it, too.
	const { name, has } = shown.selected_on_map({ kind: "card", key: outside.key }, g);
	assert.equal(name, "outside");
	assert.deepEqual([{ IP: { source: "10.0.0.2" } }, { IP: { source: "10.0.0.3" } }].map(has), [true, false]);
	for (const wordless of [{ kind: "rest" }, { kind: "nowhere" }]) {
		const other = out(stripe, wordless);
		assert.equal(graph.ways_of_node(other.nodes[1]), null);
		assert.equal(shown.selected_filters({ kind: "card", key: other.nodes[1].key }, other, ""), null);
		assert.equal(graph.ways_between(...other.nodes, []), null);
	}
	const many = out(...Array.from({ length: 41 }, (_, i) => ({ kind: "address", name: `10.0.0.${i}` })));
	assert.equal(graph.ways_of_node(many.nodes[1]), null); // more than one asks for in a line
});

test("a field of a flow is the filter line's word for it, where there is one", () => {
	const flow = {
		...{ time: "2026-01-01T00:00:00Z", verdict: "DROPPED", drop_reason_desc: "POLICY_DENIED", node_name: "east/node-a" },
		...{ IP: { source: "10.0.0.1", destination: "::1" }, l4: { UDP: { source_port: 5353, destination_port: 53 } } },
		source: { identity: 7, namespace: "shop", pod_name: "web-0", workloads: [{ kind: "Deployment", name: "web" }, { name: "it" }] },
		...{ destination: { pod_name: "alone" }, destination_names: ["a.example", "b.example"], source_names: ["c.example"] },
		summary: { text: "two words" },
	};
	const words = {
		...{ verdict: "verdict=DROPPED", drop_reason_desc: "reason=POLICY_DENIED", node_name: "node=east/node-a" },
		...{ "IP.source": "from-ip=10.0.0.1", "IP.destination": "to-ip=::1", source_names: "from-dns=c.example" },
		...{ "l4.UDP.source_port": "from-port=5353", "l4.UDP.destination_port": "to-port=53" },
		...{ "source.identity": "from-identity=7", "source.namespace": "from-namespace=shop", "source.pod_name": "from-pod=shop/web-0" },
		...{ "source.workloads[0].name": "from-workload=Deployment/web", "source.workloads[1].name": "from-workload=it" },
	};
	for (const [path, word] of Object.entries(words)) {
		assert.equal(flow_term.flow_term(flow, path), word);
		assert.ok(filter.parse_line(word).ok, word);
	}
	for (const path of ["time", "summary.text", "destination.pod_name", "destination_names", "source.workloads[0].kind", "l4.TCP.source_port", ""])
		assert.equal(flow_term.flow_term(flow, path), null, path);
	assert.equal(flow_term.flow_term({ verdict: 99, source: { namespace: "a b" } }, "source.namespace"), null);
	assert.equal(flow_term.flow_term({ verdict: 99 }, "verdict"), null);
});

const side = (cards, edges) => ({ cards, edges: edges.map((e, id) => ({ id, protocol: "TCP", ...e })) });

test("of two ranges it is told what is new, gone, and dropped more or less often", () => {
	// The same workloads, known by other numbers.
	const before = side(
		[card(0, "a"), card(1, "b"), card(2, "c")],
		[
			{ from: 0, to: 1, port: 80, forwarded: 5 },
			{ from: 0, to: 1, port: 81, forwarded: 5, dropped: 2 },
			{ from: 0, to: 1, port: 82, dropped: 3 },
			{ from: 0, to: 1, port: 83, dropped: 3, forwarded: 1 },
			{ from: 1, to: 2, port: 84, forwarded: 9 },
			{ from: 0, to: 1, port: 85, dropped: 4 },
		],
	);
	const now = side(
		[card(0, "b"), card(1, "a"), card(2, "d")],
		[
			{ from: 1, to: 0, port: 80, forwarded: 5, dropped: 1 },
			{ from: 1, to: 0, port: 81, forwarded: 50, dropped: 2 }, // only more of it
			{ from: 1, to: 0, port: 82, dropped: 9 },
			{ from: 1, to: 0, port: 83, forwarded: 1 },
			{ from: 1, to: 2, port: 84, forwarded: 7 },
			{ from: 1, to: 0, port: 85, dropped: 3 },
		],
	);
	const found = compare.compare(before, now, 1);
	const told = found.differences.map((d) => [
		...[d.change, d.from.name, d.to.name],
		...[(d.now ?? d.before).port, d.weight],
	]);
	assert.deepEqual(told, [
		["now dropped", "a", "b", 80, 1],
		["new", "a", "d", 84, 7],
		["gone", "b", "c", 84, 9],
		["no longer dropped", "a", "b", 83, 3],
		["more drops", "a", "b", 82, 6],
		["fewer drops", "a", "b", 85, 1],
	]);
	assert.deepEqual(
		compare.tally(found.differences).map(([, n]) => n),
		[1, 1, 1, 1, 1, 1],
	);
	const g = graph.graph_of(found.cards, found.edges, []);
	assert.deepEqual(
		g.nodes.map((n) => [n.name, n.change]),
		[
			["b", ""],
			["a", ""],
			["d", "new"],
			["c", "gone"],
		],
	);
	assert.deepEqual(
		g.lines.map((l) => [l.from.split("|")[4], l.to.split("|")[4], l.outcome, l.change, l.delta]),
		[
			["a", "b", "forwarded", "same", 0], // 80
			["a", "b", "dropped", "now dropped", 1],
			["a", "b", "forwarded", "same", 0], // 81
			["a", "b", "dropped", "same", 0],
			["a", "b", "dropped", "more drops", 6], // 82
			["a", "b", "forwarded", "no longer dropped", 0], // 83 and 85, which have no row
			["a", "b", "dropped", "fewer drops", -1],
			["a", "d", "forwarded", "new", 0],
			["b", "c", "forwarded", "gone", 0],
		],
	);
	assert.deepEqual(compare.compare(now, now, 1).differences, []);
	assert.deepEqual(compare.compare(side([], []), side([], []), 1).differences, []);
});

test("a longer range is expected to have more drops", () => {
	const drops = (dropped) =>
		side([card(0, "a"), card(1, "b")], [{ from: 0, to: 1, port: 1, dropped }]);
	const change = (before, now, share) =>
		compare.compare(drops(before), drops(now), share).differences.map((d) => d.change);
	assert.deepEqual(change(5, 10, 2), []);
	assert.deepEqual(change(5, 9, 2), ["fewer drops"]);
	assert.deepEqual(change(10, 6, 0.5), ["more drops"]);
});

test("what may be missing from either range is said with the comparison", () => {
	const at = Date.UTC(2026, 0, 1, 12);
	const hour = 3_600_000;
	const iso = (ms) => new Date(ms).toISOString();
	const [before, now] = [at - hour, at].map((since) => ({ since, until: since + hour }));
	const node = (oldest, gaps = []) => ({ node_name: "n", oldest: iso(oldest), gaps });
	const gap = (from, to) => ({ cause: "KERNEL_LOST", from: iso(from), to: iso(to) });
	const doubts = (coverage) => compare.doubts(coverage, before, now);
	assert.deepEqual(doubts([node(at - 2 * hour)]), []);
	assert.deepEqual(doubts([]), ["this server does not say what it missed"]);
	assert.deepEqual(doubts([node(at - hour / 2)]), [
		"the range before has gaps (n, 30 min, before its record)",
	]);
	assert.deepEqual(doubts([node(at - 2 * hour, [gap(at + 1000, at + 3000), gap(at + 5000, at + 6000)])]), [
		"the range now has gaps (n, 2.0 s, kernel lost, and 1 more)",
	]);
});

test("the other range of a comparison is heard for its own question only, and until it ends", () => {
	const range = { since: 0, until: 60_000 };
	const message = (more) => ({ type: "against_message", message: { ...update({}).message, ...more } });
	const map = { full: true, cards: [card(0, "a")], edges: [], untracked: 4 };
	let s = state.initial("");
	assert.equal(state.reduce(s, message({ map })), s);
	s = state.reduce(s, { type: "against", watch: 3, range });
	assert.equal(s.against.kind, "waiting");
	assert.equal(state.reduce(s, message({ watch: 2, map })), s);
	s = state.reduce(s, message({ watch: 3, map, state: { kind: "connecting" } }));
	assert.deepEqual([s.against.kind, s.against.cards.length], ["waiting", 1]);
	s = state.reduce(s, message({ watch: 3, state: { kind: "past" } }));
	assert.deepEqual([s.against.kind, s.against.cards.length, s.against.untracked], ["here", 1, 4]);
	assert.equal(s.rows.length, 0);
	const refused = { type: "refused", watch: 3, reason: "no" };
	assert.equal(state.reduce(s, { type: "against_message", message: refused }).against.reason, "no");
	assert.equal(state.reduce(s, { type: "against_closed", reason: "x" }).against.kind, "away");
	assert.equal(state.reduce(s, { type: "against", watch: 4, range: null }).against, null);
});

// RFC 3927, RFC 4291 §2.5.6 and §2.7, RFC 5771, RFC 919.
test("link-local, multicast and broadcast addresses are told from all others", () => {
	const kind = (name) => fold.local_kind({ kind: "address", name });
	for (const name of ["169.254.0.1", "fe80::1", "FE80::1", "febf::1", "::", "0.0.0.0"])
		assert.equal(kind(name), "link-local", name);
	for (const name of ["224.0.0.1", "239.255.255.250", "ff02::1:ff00:2", "ff05::2"])
		assert.equal(kind(name), "multicast", name);
	assert.equal(kind("255.255.255.255"), "broadcast");
	for (const name of ["10.0.0.1", "169.253.0.1", "223.1.1.1", "240.0.0.1", "fec0::1", "fd00::1", "::1"])
		assert.equal(kind(name), null, name);
	assert.equal(fold.local_kind({ kind: "name", name: "ff.example" }), null);
});

test("local peers are one card of a kind, and what they did is added up", () => {
	const address = (id, name) => ({ id, kind: "address", name });
	const icmp = (from, to, more) => ({ from, to, protocol: "ICMPv6", ...more });
	const cards = [card(0, "a"), address(1, "fe80::1"), address(2, "fe80::2"), address(3, "ff02::1")];
	const folding = { local: false, past: false, clusters: 0 };
	const list = [
		icmp(0, 1, { id: 0, forwarded: 2, first: 5, last: 6, reasons: { X: 1 } }),
		icmp(0, 2, { id: 1, forwarded: 3, dropped: 1, first: 4, last: 9, reasons: { X: 2, Y: 1 } }),
		icmp(1, 3, { id: 2, forwarded: 1 }),
		icmp(2, 1, { id: 3, forwarded: 1 }),
	];
	const { cards: kept, edges } = fold.fold(cards, list, folding);
	assert.deepEqual(
		kept.map((c) => [c.name, c.count]),
		[
			["a", undefined],
			["link-local", 2],
			["multicast", 1],
		],
	);
	assert.deepEqual(edges[0], {
		...icmp(0, 1, { id: 0, forwarded: 5, dropped: 1, first: 4, last: 9 }),
		reasons: { X: 3, Y: 1 },
		ids: [0, 1],
	});
	const g = graph.graph_of(kept, edges, []);
	assert.equal(g.lines.length, 3); // among themselves is no line
	assert.equal(g.nodes[1].kind, "2 addresses");
	assert.deepEqual(fold.fold(cards, list, { ...folding, local: true }), { cards, edges: list });
	const others = [card(0, "a"), card(1, "b")];
	assert.deepEqual(fold.fold(others, [], folding).cards, others);
});

test("in a past range a workload is one card, whether or not its kind is known of all minutes", () => {
	const cards = [
		{ id: 0, kind: "pod", namespace: "shop", name: "a" },
		card(1, "a", { cluster: "c1" }),
		card(2, "b", { cluster: "c1" }),
	];
	const edge = (id, from) => ({ id, from, to: 2, protocol: "TCP", port: 1, forwarded: 1 });
	const edges = [edge(0, 0), edge(1, 1)];
	const past = { local: false, past: true, clusters: fold.clusters_of(cards) };
	const one = fold.fold(cards, edges, past);
	assert.deepEqual(one.cards, [{ ...cards[1], id: 0 }, cards[2]]);
	assert.deepEqual(one.edges, [{ ...edge(0, 0), forwarded: 2, ids: [0, 1] }]);
	assert.equal(fold.fold(cards, edges, { ...past, past: false }).cards.length, 3);
	// Two clusters may each have one: then what is not known of is neither.
	const two = [...cards, card(3, "a", { cluster: "c2" })];
	assert.equal(fold.fold(two, [], { ...past, clusters: fold.clusters_of(two) }).cards.length, 4);
	// And before and now are the same workload, too.
	const found = compare.compare(
		{ cards: [cards[0], cards[2]], edges: [edges[0]] },
		{ cards: cards.slice(1), edges: [edges[1]] },
		1,
		(c) => fold.identity_of(c, past),
	);
	assert.deepEqual(found.differences, []);
});
