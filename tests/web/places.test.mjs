// Where the map's cards go: all of them at once, and newcomers among those that stay.
import assert from "node:assert/strict";
import { test } from "node:test";
import { load } from "./load.mjs";

const graph = await load("graph");
const layout = await load("layout");
const places = await load("places");

const card = (id, name, more = {}) => ({
	...{ id, kind: "workload", namespace: "shop", workload: "Deployment", name },
	...more,
});

const WIDTH = layout.CARD_WIDTH;

function assert_apart(g, places) {
	const boxes = g.nodes.map((n) => ({ ...places.get(n.key), h: layout.card_height(n) }));
	for (const [i, a] of boxes.entries())
		for (const b of boxes.slice(i + 1))
			assert.ok(
				Math.abs(a.x - b.x) >= layout.CARD_WIDTH || Math.abs(a.y - b.y) >= (a.h + b.h) / 2,
				"cards overlap",
			);
}

// Does the straight line from @p to @q touch the box of half width @w and half height @h around @c?
function touches(p, q, c, w, h) {
	let [from, to] = [0, 1];
	for (const [at, way, middle, half] of [
		[p.x, q.x - p.x, c.x, w],
		[p.y, q.y - p.y, c.y, h],
	]) {
		if (way === 0) {
			if (Math.abs(at - middle) >= half) return false;
			continue;
		}
		const [a, b] = [(middle - half - at) / way, (middle + half - at) / way];
		from = Math.max(from, Math.min(a, b));
		to = Math.min(to, Math.max(a, b));
	}
	return from < to;
}

test("lines go past cards, never behind them, and forwards as backwards end at their own", () => {
	for (const size of [2, 6, 14, 30]) {
		const cards = Array.from({ length: size }, (_, i) => card(i, `w${i}`, { namespace: `n${i % 3}` }));
		const pairs = cards.flatMap((_, i) => [
			[i, (i * 5 + 1) % size],
			[i, (i * 3 + 2) % size],
		]);
		const edges = pairs.map(([from, to], id) => ({ id, from, to, protocol: "TCP", port: 80, forwarded: 1 }));
		const g = graph.graph_of(cards, edges, []);
		const { places, is_layered, routes } = layout.lay_out(g);
		if (!is_layered) continue; // too large for layers
		const ways = g.lines
			.filter((l) => l.from !== l.to)
			.flatMap((line) => {
				const [a, b] = [places.get(line.from), places.get(line.to)];
				const late = layout.way_past(a, b, g.nodes, places); // had it come after the cards
				return [
					[line, a, b, routes.get(`${line.from}>${line.to}`)],
					[line, a, b, late],
				];
			});
		for (const [line, a, b, route] of ways) {
			const points = layout.corners(a, b, 0, 0, route);
			assert.equal(Math.abs(points[0].x - a.x), layout.CARD_WIDTH / 2);
			assert.ok(Math.abs(points.at(-1).x - b.x) <= layout.CARD_WIDTH / 2 + 2);
			for (const other of g.nodes.filter((n) => n.key !== line.from && n.key !== line.to))
				for (let i = 1; i < points.length; i++)
					assert.ok(
						!touches(
							...[points[i - 1], points[i], places.get(other.key)],
							...[layout.CARD_WIDTH / 2, layout.card_height(other) / 2],
						),
						`${line.key} of ${size} behind ${other.name}`,
					);
		}
	}
});

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

test("a map of some dozen cards fits into a laptop's pane at a size that can be read", () => {
	const [width, height, legible] = [1060, 470, 0.42]; // from there on a card has its name and its ports
	for (const size of [5, 20, 35, 50, 60]) {
		const spaces = Math.ceil(size / 7);
		const cards = Array.from({ length: size }, (_, i) => card(i, `w${i}`, { namespace: `n${Math.floor(i / 7)}` }));
		const roll = dice(size);
		const near = (i) => 7 * Math.floor(i / 7) + roll(7);
		const edges = cards.flatMap((_, i) =>
			[near(i), roll(3) ? near(i) : roll(size)].map((to, n) => ({
				...{ id: 2 * i + n, from: i, to: to % size },
				...{ protocol: "TCP", port: 80, forwarded: 1 },
			})),
		);
		const g = graph.graph_of(cards, edges, []);
		const { places: at } = layout.lay_out(g);
		const groups = places.groups_of(places.spots_of(g, at).values());
		assert.equal(groups.length, spaces);
		const [left, top] = ["left", "top"].map((side) => Math.min(...groups.map((b) => b[side])));
		const [right, bottom] = ["right", "bottom"].map((side) => Math.max(...groups.map((b) => b[side])));
		const zoom = Math.min(width / (right - left), height / (bottom - top));
		assert.ok(zoom >= legible, `${size} cards at ${zoom}`);
	}
});

test("a map that dagre fails on is laid out, too", () => {
	for (const seed of [274, 403, 493, 557]) {
		const roll = dice(Math.imul(seed, 2_654_435_761) >>> 0);
		for (let i = 0; i < 3; i++) roll(2);
		const size = 8 + roll(50);
		const lines = Math.min(80, Math.round(size * (1 + roll(4))));
		const spaces = 1 + roll(10);
		const cards = Array.from({ length: size }, (_, i) => card(i, `w${i}`, { namespace: `n${roll(spaces)}` }));
		const edges = Array.from({ length: lines }, (_, id) => ({
			...{ id, from: roll(size), to: roll(size) },
			...{ protocol: "TCP", port: 80 + roll(4), forwarded: 1 },
		}));
		const g = graph.graph_of(cards, edges, []);
		const { places, is_layered } = layout.lay_out(g);
		assert.equal(is_layered, false);
		assert_apart(g, places);
	}
});

const box = (spot) => ({
	...{ left: spot.x - WIDTH / 2, right: spot.x + WIDTH / 2 },
	...{ top: spot.top, bottom: spot.top + spot.height },
});
const meet = (a, b) => a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom;

// Cards, and groups' boxes with the cards that are in none: nothing lies on anything else.
function assert_nothing_overlaps(spots, said) {
	const cards = [...spots];
	const outside = cards.filter(([, s]) => !s.group).map(([key, s]) => [key, box(s)]);
	const groups = places.groups_of(spots.values()).map((g) => [`${g.name} ${g.part}`, g]);
	for (const list of [cards.map(([key, s]) => [key, box(s)]), [...groups, ...outside]])
		for (const [i, [a, a_box]] of list.entries())
			for (const [b, b_box] of list.slice(i + 1)) assert.ok(!meet(a_box, b_box), `${a} on ${b}, ${said}`);
}

// Numbers that look random, the same for a @seed.
function dice(seed) {
	return (sides) => {
		seed = (Math.imul(seed, 1_103_515_245) + 12_345) >>> 0;
		return Math.floor((seed / 2 ** 32) * sides);
	};
}

// A map of some cards, a fifth of which are outside of all namespaces.
function made_up(seed) {
	const roll = dice(seed);
	const size = 2 + roll(60);
	const spaces = 1 + roll(8);
	const cards = Array.from({ length: size }, (_, i) =>
		roll(5) ? card(i, `w${i}`, { namespace: `n${roll(spaces)}` }) : { id: i, kind: "name", name: `d${i}` },
	);
	const edges = Array.from({ length: 2 * size }, (_, id) => ({
		...{ id, from: roll(size), to: roll(size) },
		...{ protocol: "TCP", port: 80 + roll(6), forwarded: 1 },
	}));
	const up_to = (n) =>
		graph.graph_of(
			cards.slice(0, n),
			edges.filter((e) => e.from < n && e.to < n),
			[],
		);
	return { size, up_to, roll };
}

// Lines that had a way keep it unless a newcomer stands on it; others go past the cards, too.
function assert_no_line_behind(g, spots, routes, said) {
	const drawn = g.nodes.map((n) => places.placed(n, spots.get(n.key)));
	const at = new Map(drawn.map((d) => [d.node.key, d.at]));
	const nodes = drawn.map((d) => d.node);
	for (const { from, to } of g.lines.filter((l) => l.from !== l.to)) {
		const known = routes.get(`${from}>${to}`);
		const kept = known && layout.is_past_cards(from, to, known, nodes, at);
		const [a, b] = [at.get(from), at.get(to)];
		const points = layout.corners(a, b, 0, 0, kept ? known : layout.way_past(a, b, nodes, at));
		for (const node of nodes.filter((n) => n.key !== from && n.key !== to))
			for (let i = 1; i < points.length; i++)
				assert.ok(
					!touches(points[i - 1], points[i], at.get(node.key), WIDTH / 2, layout.card_height(node) / 2),
					`${from} to ${to} behind ${node.key}, ${said}`,
				);
	}
}

test("whoever comes, those who are known stay in their places, and nothing overlaps", () => {
	for (let seed = 1; seed <= 20; seed++) {
		const { size, up_to, roll } = made_up(seed);
		let shown = 1 + roll(size - 1);
		let g = up_to(shown);
		const { places: first, is_layered, routes } = layout.lay_out(g);
		let spots = places.spots_of(g, first);
		while (shown < size) {
			const before = new Map(spots);
			shown = Math.min(size, shown + 1 + roll(6));
			g = up_to(shown);
			spots = places.with_newcomers(g, before);
			const said = `seed ${seed}, ${shown} of ${size}`;
			assert.equal(spots.size, shown, said);
			for (const [key, { x, top }] of before)
				assert.deepEqual([spots.get(key).x, spots.get(key).top], [x, top], `${key}, ${said}`);
			assert_nothing_overlaps(spots, said);
			assert.deepEqual(places.with_newcomers(up_to(shown), before), spots, said); // the same each time
			assert.deepEqual(places.with_newcomers(g, spots), spots, said); // and then stays
			for (const node of g.nodes) {
				const { node: drawn, at } = places.placed(node, spots.get(node.key));
				const half = layout.card_height(drawn) / 2;
				const { top, height } = spots.get(node.key);
				assert.ok(Math.abs(at.y - half - top) < 1e-6 && 2 * half <= height + 1e-6, said);
			}
			if (is_layered) assert_no_line_behind(g, spots, routes, said);
		}
	}
});

const spot = (x, top, group, height = 64, part = 0) => ({ x, top, height, group, part });
const asks = (from, to, port = 80) => ({ from, to, port, protocol: "TCP", forwarded: 1 });
const graph_of = (names, edges) => {
	const cards = names.map((name, i) => {
		const [namespace, own] = name.split("/");
		return card(i, own, { namespace });
	});
	const ids = edges.map(([from, to, ports = [80]], i) =>
		ports.map((port, j) => ({ id: 10 * i + j, ...asks(names.indexOf(from), names.indexOf(to), port) })),
	);
	return graph.graph_of(cards, ids.flat(), []);
};
const key_of = (name) => `workload||${name.split("/")[0]}|Deployment|${name.split("/")[1]}|`;
const known = (list) => new Map(Object.entries(list).map(([name, s]) => [key_of(name), s]));

test("a newcomer stands in its namespace, at the side of whom it talks to that requests go to", () => {
	const before = known({
		...{ "shop/a": spot(0, 0, "shop"), "shop/b": spot(0, 86, "shop") },
		"pay/c": spot(900, 0, "pay"),
	});
	const now = places.with_newcomers(
		graph_of(["shop/a", "shop/b", "pay/c", "shop/new"], [["shop/a", "shop/new"], ["shop/a", "pay/c"]]),
		before,
	);
	const { x, top, group, part } = now.get(key_of("shop/new"));
	assert.deepEqual([group, part, top], ["shop", 0, 0]);
	assert.ok(x > WIDTH && x < 300, String(x)); // between a and pay
});

test("a namespace that cannot grow goes on in a box of its own, over nothing", () => {
	const before = known({
		"shop/a": spot(0, 0, "shop"),
		...{ "n/up": spot(0, -150, "up"), "n/down": spot(0, 150, "down") },
		...{ "n/left": spot(-220, 0, "left"), "n/right": spot(220, 0, "right") },
	});
	const names = ["shop/a", "shop/new"];
	const now = places.with_newcomers(graph_of(names, [["shop/a", "shop/new"]]), before);
	const made = now.get(key_of("shop/new"));
	assert.deepEqual([made.group, made.part], ["shop", 1]);
	assert_nothing_overlaps(now, "hemmed in");
	assert.equal(now.size, 6); // who is not on the map now has places, too
	assert.equal(places.groups_of(now.values()).filter((g) => g.name === "shop").length, 2);
});

test("a card that serves more ports becomes higher below its head, as far as there is room", () => {
	const lower = 64 + 2 * 18 + 10; // room for two more rows, and the rest of the gap
	const before = known({
		...{ "shop/a": spot(0, 0, "shop", 40), "shop/b": spot(220, 0, "shop") },
		"shop/c": spot(220, lower, "shop", 40),
	});
	const g = graph_of(["shop/a", "shop/b", "shop/c"], [["shop/a", "shop/b", [80, 81, 82, 83]]]);
	const now = places.with_newcomers(g, before);
	assert.deepEqual(now.get(key_of("shop/c")), before.get(key_of("shop/c")));
	const { node, at } = places.placed(g.nodes[1], now.get(key_of("shop/b")));
	assert.deepEqual(layout.shown_ports(node), ["80/TCP", "81/TCP", "82/TCP"]);
	assert.equal(at.y - layout.card_height(node) / 2, 0);
	// With nothing below there is room for all, and with fewer ports it is lower again.
	const free = places.with_newcomers(g, new Map([...before].slice(0, 2)));
	assert.equal(layout.shown_ports(places.placed(g.nodes[1], free.get(key_of("shop/b"))).node).length, 4);
	const few = graph_of(["shop/a", "shop/b"], [["shop/a", "shop/b"]]);
	const again = places.placed(few.nodes[1], places.with_newcomers(few, free).get(key_of("shop/b")));
	assert.equal(again.at.y, layout.card_height(few.nodes[1]) / 2);
});
