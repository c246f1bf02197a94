// The parts of the page that need no browser: the filter line, the state's reducer, the graph and where its cards go.
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { pathToFileURL } from "node:url";
import { require, sources } from "./stage.mjs";

const folder = mkdtempSync(join(tmpdir(), "tycho-units-"));
after(() => rmSync(folder, { recursive: true, force: true }));

async function load(name) {
	const outfile = join(folder, `${name}.mjs`);
	const options = { bundle: true, format: "esm", platform: "node", logLevel: "error" };
	// As the page is built: esbuild is what Vite compiles with.
	await require("esbuild").build({
		...options,
		entryPoints: [join(sources, `${name}.ts`)],
		outfile,
		absWorkingDir: sources,
	});
	return import(pathToFileURL(outfile));
}
const filter = await load("filter");
const graph = await load("graph");
const layout = await load("layout");
const state = await load("state");
const time_range = await load("time_range");

test("a range is whole minutes, either way round, and survives the address", () => {
	const at = Date.UTC(2026, 0, 1, 12);
	const range = time_range.range_between(at + 90_000, at + 1);
	assert.deepEqual(range, { since: at, until: at + 120_000 });
	assert.deepEqual(time_range.range_between(at, at), { since: at, until: at + 60_000 });
	const hash = time_range.address_of("verdict=DROPPED", range);
	assert.deepEqual(time_range.read_address(hash), { line: "verdict=DROPPED", range });
	assert.equal(time_range.address_of("", null), "");
	for (const broken of ["", "#since=x&until=y", "#since=2026-01-01T00:00:00Z", `#until=${at}`])
		assert.equal(time_range.read_address(broken).range, null, broken);
	assert.equal(
		filter.command_of("port=443", "s:1", range),
		"tycho observe --server s:1 --since 2026-01-01T12:00:00Z --until 2026-01-01T12:02:00Z --port 443",
	);
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

const ask = (line) => {
	const parsed = filter.parse_line(line);
	assert.ok(parsed.ok, parsed.reason);
	const { ok, allow, deny, reason } = filter.filters_of(parsed.terms);
	assert.ok(ok, reason);
	return { allow, deny };
};

test("words of one name are alternatives, different names hold together", () => {
	assert.deepEqual(ask(""), { allow: [], deny: [] });
	assert.deepEqual(ask("verdict=dropped verdict=AUDIT to-port=443"), {
		allow: [{ verdict: ["DROPPED", "AUDIT"], destination_port: ["443"] }],
		deny: [],
	});
});

test("a word about either side is two filters, and two such words are four", () => {
	assert.deepEqual(ask("port=53").allow, [{ source_port: ["53"] }, { destination_port: ["53"] }]);
	assert.equal(ask("port=53 ip=10.0.0.0/8").allow.length, 4);
	assert.deepEqual(ask("port=53 port=443").allow, [
		{ source_port: ["53", "443"] },
		{ destination_port: ["53", "443"] },
	]);
});

test("what stands after not is denied", () => {
	assert.deepEqual(ask("not protocol=udp not to-dns=*.example.com"), {
		allow: [],
		deny: [{ protocol: ["udp"] }, { destination_fqdn: ["*.example.com"] }],
	});
});

test("a namespace and a name in any namespace are that name in the namespace", () => {
	assert.deepEqual(ask("from-namespace=shop from-pod=/web").allow, [{ source_pod: ["shop/web"] }]);
	const both = filter.filters_of(filter.parse_line("from-pod=shop/web pod=/db").terms);
	assert.equal(both.ok, false);
});

test("words without a name are taken for what they look like", () => {
	const names = {
		dropped: "verdict",
		TCP: "protocol",
		443: "port",
		"10.0.0.1": "ip",
		"2001:db8::/32": "ip",
		"*.a.example": "dns",
		"shop/": "pod",
		web: "pod",
	};
	for (const [word, name] of Object.entries(names))
		assert.equal(filter.parse_line(word).terms[0].name, name, word);
});

test("what is no filter is refused with a reason", () => {
	for (const line of ["bogus=1", "port=", "not", "identity=x"]) {
		const parsed = filter.parse_line(line);
		assert.equal(parsed.ok, false, line);
		assert.ok(parsed.reason.length > 5);
	}
});

test("a line is the command that shows the same, with quotes where a shell needs them", () => {
	assert.equal(
		filter.command_of("to-dns=*.example.com not port=53", "localhost:4245"),
		"tycho observe --server localhost:4245 --follow --to-fqdn '*.example.com' --not --port 53",
	);
	assert.equal(
		filter.command_of("pod=a'b", "x"),
		"tycho observe --server x --follow --pod 'a'\\''b'",
	);
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
	assert.equal(s.left_out, 15);
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

test("between two cards there is one line for each outcome, ending at the port most used", () => {
	const edges = [
		{ id: 0, from: 0, to: 1, port: 80, protocol: "TCP", forwarded: 1 },
		{ id: 1, from: 0, to: 1, port: 443, protocol: "TCP", forwarded: 5, dropped: 2 },
	];
	const g = graph.graph_of([card(0, "a"), card(1, "b")], edges, []);
	assert.deepEqual(
		g.lines.map((l) => [l.outcome, l.count, l.port]),
		[
			["forwarded", 6, "443/TCP"],
			["dropped", 2, "443/TCP"],
		],
	);
	assert.deepEqual(g.nodes[1].ports, ["443/TCP", "80/TCP"]);
});

test("a large map folds its namespaces, and shows those that were unfolded", () => {
	const cards = Array.from({ length: graph.FOLD_FROM + 2 }, (_, i) =>
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

function assert_apart(g, places) {
	const boxes = g.nodes.map((n) => ({ ...places.get(n.key), h: layout.card_height(n) }));
	for (const [i, a] of boxes.entries())
		for (const b of boxes.slice(i + 1))
			assert.ok(
				Math.abs(a.x - b.x) >= layout.CARD_WIDTH || Math.abs(a.y - b.y) >= (a.h + b.h) / 2,
				"cards overlap",
			);
}

test("cards never overlap, and the same map is laid out the same, few or many", () => {
	for (const size of [1, 5, 50, 140]) {
		const cards = Array.from({ length: size }, (_, i) =>
			card(i, `w${i}`, { namespace: `n${i % 7}` }),
		);
		const edges = cards.map((_, i) => ({
			id: i,
			from: i,
			to: (i * 7 + 3) % size,
			protocol: "TCP",
			port: 80,
			forwarded: 1,
		}));
		const g = graph.graph_of(cards, edges, []);
		const { places } = layout.lay_out(g);
		assert.equal(places.size, size);
		assert_apart(g, places);
		assert.deepEqual(layout.lay_out(graph.graph_of(cards, edges, [])).places, places);
	}
});
