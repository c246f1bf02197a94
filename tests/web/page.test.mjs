// The page in Chromium, against an observer that replays the traffic of flows.mjs. What it must show follows from that
// list.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { after, before } from "node:test";
import { conversations, flow_of, flows, json_lines } from "./flows.mjs";
import { load } from "./load.mjs";
import { becomes, fact, faults, health, map_lines, open as open_in, pixels, row_count, test, violations } from "./look.mjs";
import { HASH, request } from "./request.mjs";
import { Stage } from "./stage.mjs";

const MINUTE_MS = 60_000;
const DROPPED_RGB = [0xc6, 0x2a, 0x2f]; // --dropped of the light scheme
const DROPPED_DARK_RGB = [0xff, 0x74, 0x70]; // … and of the dark one
const outcome = { FORWARDED: "forwarded", DROPPED: "dropped", AUDIT: "audited" };
const shown_name = {
	visitor: "203.0.113.80",
	stripe: "api.stripe.com",
	dns: "coredns",
	api: "kube-apiserver",
};
const named = (name) => shown_name[name] ?? name;
const count = (list) => list.reduce((sum, c) => sum + c[4], 0);
const lines_of = (list) =>
	list
		.map(
			([from, to, port, l4, n, verdict]) =>
				`${named(from)} to ${named(to)} ${port}/${l4}: ${n} ${outcome[verdict]}`,
		)
		.sort();
const all = count(conversations);
const dropped = conversations.filter((c) => c[5] === "DROPPED");

let stage, browser, shop, shop_ui;
const open = (url, prepare) => open_in(browser, url, prepare);

before(async () => {
	stage = new Stage();
	shop = await stage.observer("shop", json_lines(flows()));
	shop_ui = await stage.ui(shop.address);
	browser = await stage.browser();
});
after(async () => {
	await stage.close();
	assert.deepEqual(faults, []);
});

test("the map has exactly the connections that were made, and the table their flows", async () => {
	const page = await open(shop_ui.address);
	await becomes(page, map_lines, lines_of(conversations));
	await becomes(page, row_count, all);
	await becomes(page, fact, `${all} flows`, "flows");
	await becomes(page, fact, `${count(dropped)} dropped`, "dropped");
	await becomes(page, health, "live");
	const newest = flows().at(-1);
	const first_row = page.locator(".row").first();
	assert.match(await first_row.innerText(), new RegExp(newest.verdict));
	await page.close();
});

test("drops are red, and only while they are on the map", async () => {
	const page = await open(shop_ui.address);
	await becomes(page, pixels, true, DROPPED_RGB);
	await page.getByRole("button", { name: "Forwarded" }).click();
	await becomes(page, map_lines, lines_of(conversations.filter((c) => c[5] === "FORWARDED")));
	await becomes(page, pixels, false, DROPPED_RGB);
	await page.close();
});

test("filters change map and table, live in the address, and Back undoes them", async () => {
	const page = await open(shop_ui.address);
	await page.getByRole("button", { name: "Dropped", exact: true }).click();
	await becomes(page, map_lines, lines_of(dropped));
	await becomes(page, row_count, count(dropped));
	assert.equal(
		new URLSearchParams(new URL(page.url()).hash.slice(1)).get("filter"),
		"verdict=DROPPED",
	);

	const filter = page.getByRole("combobox", { name: "Filter" });
	await filter.fill("from-workload=catalog not verdict=DROPPED");
	await filter.press("Enter");
	await becomes(
		page,
		map_lines,
		lines_of(conversations.filter((c) => c[0] === "catalog" && c[5] !== "DROPPED")),
	);

	await filter.fill("to-port=5432 protocol=tcp");
	await filter.press("Enter");
	await becomes(page, map_lines, lines_of(conversations.filter((c) => c[2] === 5432)));

	await page.getByRole("combobox", { name: "Namespace" }).selectOption("payments");
	const paid = (c) => ["gateway", "ledger"].includes(c[0]) || ["gateway", "ledger"].includes(c[1]);
	await becomes(page, map_lines, lines_of(conversations.filter((c) => c[2] === 5432 && paid(c))));

	const address = page.url();
	await page.goBack();
	await becomes(page, map_lines, lines_of(conversations.filter((c) => c[2] === 5432)));
	const other = await open(address);
	await becomes(other, map_lines, lines_of(conversations.filter((c) => c[2] === 5432 && paid(c))));
	await other.close();
	await page.close();
});

test("where flows are of several clusters, one can be chosen", async () => {
	const within = (cluster, verdict) => {
		const flow = flow_of(["frontend", "catalog", 8080, "TCP", 1, verdict], 0, new Date(0));
		for (const end of [flow.source, flow.destination]) end.cluster_name = cluster;
		return flow;
	};
	const list = [within("east", "FORWARDED"), within("west", "DROPPED")];
	const observer = await stage.observer("clusters", json_lines(list));
	const ui = await stage.ui(observer.address);
	const page = await open(ui.address);
	const line = (what) => `frontend to catalog 8080/TCP: 1 ${what}`;
	await becomes(page, map_lines, [line("dropped"), line("forwarded")]);
	const clusters = page.getByRole("combobox", { name: "Cluster" });
	await clusters.selectOption("west");
	await becomes(page, map_lines, [line("dropped")]);
	assert.match(page.url(), /filter=cluster%3Dwest$/);
	await clusters.selectOption({ label: "all clusters" });
	await becomes(page, row_count, 2);
	assert.deepEqual(await violations(page), []);
	await page.close();
	await ui.stop();
	await observer.stop();
});

test("a filter that cannot be is explained, and what was shown stays", async () => {
	const page = await open(shop_ui.address);
	await becomes(page, row_count, all);
	const filter = page.getByRole("combobox", { name: "Filter" });
	await filter.fill("bogus=1");
	await filter.press("Enter");
	await page.getByRole("alert").filter({ hasText: "“bogus=” is no filterStill shown: all flows" }).waitFor();
	assert.equal(await page.evaluate(row_count), all);
	await filter.fill("ip=1.2.3");
	await filter.press("Enter");
	await page.getByRole("alert").filter({ hasText: "invalid IP address" }).waitFor();
	await page.close();
});

test("a flow, a card and a line say all that is known of them, by mouse and by keyboard", async () => {
	const page = await open(shop_ui.address);
	await becomes(page, row_count, all);
	const details = page.getByRole("complementary", { name: "Details" });
	await page.locator(".row.dropped").first().click();
	await details
		.getByText("ingress_denied_by")
		.or(details.getByText("drop_reason_desc"))
		.first()
		.waitFor();
	// The address has it: for a table that it is in, and for one that it is not in.
	const address = page.url();
	const what = await details.innerText();
	for (const hash of [new URL(address).hash, new URL(address).hash.replace("#", "#filter=verdict%3DFORWARDED&")]) {
		const other = await open(`${shop_ui.address}/${hash}`);
		await becomes(other, () => document.querySelector(".detail").innerText, what);
		await other.close();
	}
	await page.keyboard.press("Escape");
	await details.getByText("10 dropped").waitFor();
	await page.locator(".canvas").focus();
	await page.keyboard.press("ArrowRight");
	await details.getByText("Asks", { exact: true }).waitFor();
	await details.getByRole("button", { name: "shop/frontend" }).click();
	await details.getByText("8080/TCP").first().waitFor();
	await becomes(page, row_count, count(conversations.filter((c) => c[0] === "visitor")));
	await details.getByRole("button", { name: "Only these flows" }).click();
	await becomes(page, map_lines, lines_of(conversations.filter((c) => c[0] === "visitor")));
	await page.close();
});

test("numbers lead to their flows, and a shared address has selection and panels as they were", async () => {
	const page = await open(shop_ui.address);
	await becomes(page, row_count, all);
	await page.locator(".canvas").focus();
	await page.keyboard.press("ArrowRight");
	const details = page.getByRole("complementary", { name: "Details" });
	await details.getByRole("button", { name: "shop/frontend" }).click();
	await details.getByRole("heading", { name: "203.0.113.80 → shop/frontend" }).waitFor();
	await page.getByRole("button", { name: "Flows panel" }).press("Enter");
	await page.getByRole("separator", { name: "Width of the details" }).focus();
	await page.keyboard.press("ArrowLeft");
	assert.deepEqual(await violations(page), []);
	const other = await open(page.url());
	const same = other.getByRole("complementary", { name: "Details" });
	await same.getByRole("heading", { name: "203.0.113.80 → shop/frontend" }).waitFor();
	assert.equal(await other.getByRole("table", { name: "Flows, newest first" }).isVisible(), false);
	const width = await other.getByRole("separator", { name: "Width of the details" }).getAttribute("aria-valuenow");
	assert.equal(width, "320"); // a step from 300
	const panel = (name) => other.getByRole("button", { name: `${name} panel` });
	await panel("Map").click();
	assert.equal(await panel("Details").isDisabled(), true); // something is always shown
	await panel("Flows").click();
	const visited = conversations.filter((c) => c[0] === "visitor");
	await same.getByRole("button", { name: String(count(visited)) }).first().click();
	await becomes(other, row_count, count(visited));
	await becomes(other, map_lines, lines_of(visited));
	await other.getByRole("button", { name: "Clear the filter" }).click();
	await becomes(other, row_count, all);
	await other.getByLabel("Coverage").getByRole("button", { name: `${count(dropped)} dropped` }).click();
	await becomes(other, row_count, count(dropped));
	await other.close();
	await page.close();
});

test("who decided a drop is said", async () => {
	const page = await open(
		`${shop_ui.address}/#filter=${encodeURIComponent("to-workload=ledger verdict=DROPPED")}`,
	);
	const details = page.getByRole("complementary", { name: "Details" });
	await becomes(page, row_count, 7);
	await page.locator(".canvas").focus();
	await page.keyboard.press("ArrowRight");
	await details.getByText("payments/cde-lockdown").waitFor();
	await page.close();
});

test("before anything is selected it is said who was refused by whom, how often, and by which policy", async () => {
	const page = await open(shop_ui.address);
	await becomes(page, row_count, all);
	const refused = () =>
		[...document.querySelectorAll(".detail .peers")[0].children].map((e) => e.innerText.replace(/\s+/g, " "));
	await becomes(page, refused, [
		"shop/checkout → payments/ledger 5432/TCP by payments/cde-lockdown 7",
		"shop/catalog → api.stripe.com 443/TCP 3",
	]);
	const details = page.getByRole("complementary", { name: "Details" });
	await details.getByRole("button", { name: "shop/checkout → payments/ledger" }).click();
	await details.getByRole("heading", { name: "shop/checkout → payments/ledger" }).waitFor();
	// So is it of one flow, before all of its fields.
	await page.locator(".row.dropped").first().click();
	const said = () => document.querySelector(".detail .ends + dl").innerText.split(/\s+/).join(" ");
	await becomes(page, said, "Reason POLICY_DENIED Decided by payments/cde-lockdown ingress");
	assert.match(await page.locator(".ends").innerText(), /^shop\/checkout-5c9b-k8l → payments\/ledger-0 5432\/TCP$/);
	await page.close();
});

test("what is said of all drops is the sum of what is said of each, though counts come before the map that has them", async () => {
	let say;
	const page = await open(shop_ui.address, (made) =>
		made.routeWebSocket("**/live", (socket) => {
			const server = socket.connectToServer();
			let last;
			socket.onMessage((text) => last?.is_ours || server.send(text)); // that ours is taken is nothing to the server
			server.onMessage((text) => {
				if (last?.is_ours) return;
				const message = JSON.parse(text);
				if (message.type === "update") last = message;
				socket.send(text);
			});
			say = (dropped, map) => {
				last = { ...last, is_ours: true, rows: [], left_out: 0, totals: { ...last.totals, dropped }, map };
				socket.send(JSON.stringify(last));
			};
		}),
	);
	const refused = count(dropped);
	const heading = () => document.querySelector(".detail h2").textContent;
	await becomes(page, heading, `${refused} dropped`);
	await becomes(page, row_count, all);
	say(refused + 7);
	const both = () => [".detail h2", "[data-fact=dropped]"].map((of) => document.querySelector(of).textContent);
	await becomes(page, both, [`${refused} dropped`, `${refused + 7} dropped`]);
	say(refused + 7, { full: false, cards: [], edges: [], untracked: 7 });
	await becomes(page, heading, `${refused + 7} dropped`);
	await page.close();
});

test("that there is nothing is said when history has answered, and until then that it is asked", async () => {
	// What the server says of history comes when the test lets it: of each question its own, on each connection anew.
	const [held, released] = [new Map(), new Set()];
	let cut, is_held = () => {}, connections = 0;
	const page = await open(shop_ui.address, (made) =>
		made.routeWebSocket("**/live", (socket) => {
			const server = socket.connectToServer();
			connections++;
			for (const of of [held, released]) of.clear();
			cut = () => socket.close();
			socket.onMessage((text) => server.send(text));
			server.onMessage((text) => {
				const message = JSON.parse(text);
				const { watch } = message;
				if (message.caught_up && watch > 1 && !released.has(watch)) {
					delete message.caught_up;
					held.set(watch, () => {
						released.add(watch);
						socket.send(JSON.stringify({ ...message, rows: [], caught_up: true }));
					});
					is_held();
				}
				socket.send(JSON.stringify(message));
			});
		}),
	);
	const held_back = async (watch) => {
		while (!held.has(watch)) await new Promise((then) => (is_held = then));
	};
	const said = () => [...document.querySelectorAll(".map .empty, .flows .empty, .detail h2")].map((e) => e.textContent.split(". ")[0].trim());
	const asking = (what) => [`Asking for earlier connections${what}`, "Asking the server…", `Asking for earlier flows${what}`];
	const none = ["No connections with this filter", "No flows", "No flows with this filter"];
	await becomes(page, row_count, all);
	const filter = page.getByRole("combobox", { name: "Filter" });
	const ask = async (line) => {
		await filter.fill(line);
		await filter.press("Enter");
	};
	await ask("port=9");
	await held_back(2);
	await becomes(page, said, asking(" with this filter…"));
	assert.equal(await page.evaluate(fact, "nothing-known"), "nothing known yet");
	assert.deepEqual(await violations(page), []);

	// A second question is asked: the first one's answer says nothing of it.
	const first = held.get(2);
	await ask("port=10");
	await held_back(3);
	first();
	await becomes(page, said, asking(" with this filter…"));
	held.get(3)();
	await becomes(page, said, none);

	// What was answered was so on a connection that is gone.
	cut();
	await becomes(page, said, asking(" with this filter…"));
	await held_back(3);
	assert.equal(connections, 2);
	await becomes(page, said, asking(" with this filter…"));
	held.get(3)();
	await becomes(page, said, none);
	await page.close();
});

test("where no server answers, nothing is said to have not been", async () => {
	const ui = await stage.ui(`unix://${stage.folder}/nobody.sock`);
	const page = await open(ui.address);
	await becomes(page, health, "away");
	await page.getByRole("heading", { name: "Nothing known" }).waitFor();
	assert.equal(await page.evaluate(fact, "nothing-known"), "nothing known yet");
	assert.deepEqual(await violations(page), []);
	assert.doesNotMatch(await page.locator(".page").innerText(), /\b0 (flows|dropped|lost)\b|Nothing dropped/);
	await page.close();
	await ui.stop();
});

test("the table downloads as the flows that it has, as tycho prints them", async () => {
	const page = await open(shop_ui.address);
	await page.getByRole("button", { name: "Dropped", exact: true }).click();
	await becomes(page, row_count, count(dropped));
	const coming = page.waitForEvent("download");
	await page.getByRole("button", { name: "Download" }).click();
	const file = await coming;
	assert.equal(file.suggestedFilename(), "flows.jsonl");
	const lines = readFileSync(await file.path(), "utf8").trimEnd().split("\n").map(JSON.parse);
	assert.equal(lines.length, count(dropped));
	for (const { flow, node_name, time } of lines)
		assert.deepEqual([flow.verdict, node_name, time], ["DROPPED", "node-a", flow.time]);
	await page.close();
});

test("a past range has the map and the flows of the record, lives in the address, and ends in live", async () => {
	const page = await open(shop_ui.address);
	await becomes(page, row_count, all);
	await page.getByLabel("Time range").selectOption({ label: "Last 24 h" });
	await becomes(page, health, "past");
	// The record's map knows who was outside by name only.
	const outside = lines_of(conversations).map((l) => l.replace(/^203.0.113.80/, "world"));
	await becomes(page, map_lines, outside.sort());
	await becomes(page, row_count, all);
	await becomes(page, fact, `${all} flows`, "flows");
	// All of the record, whatever is looked at.
	const record = page.getByRole("img", { name: `${all} flows, ${count(dropped)} of them dropped` });
	await record.waitFor();
	assert.match(await page.evaluate(fact, "missing"), /^1 gap in range \(node-a, .* before its record\)$/);
	// What is selected has its rates in the range.
	await page.locator(".canvas").focus();
	await page.keyboard.press("ArrowRight");
	await page.getByRole("img", { name: /flows per second on average/ }).waitFor();
	await page.keyboard.press("Escape");
	const other = await open(page.url());
	await becomes(other, health, "past");
	await becomes(other, row_count, all);
	await other.close();

	const bar = await page.locator(".record").boundingBox();
	await page.mouse.move(bar.x + 4, bar.y + 8);
	await page.mouse.down();
	await page.mouse.move(bar.x + bar.width / 2, bar.y + 8);
	await page.mouse.up();
	await becomes(page, row_count, 0); // before anything was seen
	await becomes(page, map_lines, []);
	await page.goBack();
	await becomes(page, row_count, all);
	await page.getByRole("button", { name: "Back to live" }).click();
	await becomes(page, health, "live");
	await becomes(page, map_lines, lines_of(conversations));
	await page.close();
});

test("a keyboard goes along the record and the strip, hears what is there, and looks at what it marks", async () => {
	const page = await open(shop_ui.address);
	await becomes(page, row_count, all);
	await page.getByLabel("Time range").selectOption({ label: "Last 24 h" });
	await becomes(page, health, "past");
	await becomes(page, row_count, all);
	const last = () => {
		const hash = new URLSearchParams(location.hash.slice(1));
		return [hash.get("since"), hash.get("until")].map((time) => Date.parse(time));
	};
	const [since, until] = await page.evaluate(last);
	const record = page.getByRole("slider", { name: "Time in the record" });
	const value = async () => Number(await record.getAttribute("aria-valuenow"));
	const text = () => document.activeElement.getAttribute("aria-valuetext");
	await record.focus();
	await page.keyboard.press("Home");
	assert.equal(await value(), since);
	assert.match(await page.evaluate(text), /missing: node-a, before its record$/);
	await becomes(page, () => document.querySelectorAll(".strip .missing").length, 1);
	assert.deepEqual(await violations(page), []);
	// Of what is marked nothing remains after Escape, nor after a step without Shift; Back is not meant before.
	for (const keys of [["Shift+ArrowRight", "Escape"], ["Shift+End", "ArrowLeft"]]) {
		await page.keyboard.press(keys[0]);
		await becomes(page, () => document.querySelectorAll(".record .marked").length, 2);
		assert.match(await page.evaluate(text), /, marked from .*, (1 min|24 h|1 d)$/);
		await page.keyboard.press(keys[1]);
		await becomes(page, () => document.querySelectorAll(".record .marked").length, 1);
		assert.doesNotMatch(await page.evaluate(text), /marked/);
	}
	await page.keyboard.press("Home");
	for (const key of ["Shift+ArrowRight", "Shift+ArrowRight", "Shift+ArrowRight", "Shift+ArrowLeft", "Enter"])
		await page.keyboard.press(key);
	await becomes(page, last, [since, since + 2 * MINUTE_MS]);
	await becomes(page, row_count, 0); // before anything was seen
	await becomes(page, () => document.activeElement.getAttribute("aria-label"), "Time in the record");
	await page.goBack();
	await becomes(page, row_count, all);
	// One place is the minute that it is in.
	for (const key of ["End", "PageDown"]) await page.keyboard.press(key);
	const at = await value();
	assert.ok(at > since && at < until, String(at));
	await page.keyboard.press("Space");
	await becomes(page, last, [Math.floor(at / MINUTE_MS) * MINUTE_MS, Math.floor(at / MINUTE_MS) * MINUTE_MS + MINUTE_MS]);
	await page.getByRole("button", { name: "Back to live" }).click();
	await becomes(page, health, "live");
	await becomes(page, row_count, all);

	const strip = page.getByRole("slider", { name: "Time in the strip, 5 min" });
	await strip.focus();
	await becomes(page, () => /^\d\d:\d\d:\d\d, .* flows per second/.test(document.activeElement.ariaValueText), true);
	const end = Number(await strip.getAttribute("aria-valuenow"));
	await page.keyboard.press("Shift+ArrowLeft");
	await page.locator(".strip .marked").waitFor({ state: "attached" });
	assert.deepEqual(await violations(page), []);
	await page.keyboard.press("Enter");
	await becomes(page, health, "past");
	const [from, to] = await page.evaluate(last);
	assert.ok(from <= end && to >= end && to - from <= 2 * MINUTE_MS, `${from} ${end} ${to}`);
	await becomes(page, () => document.activeElement.className, "handle");
	// Nothing is marked any more: Escape is the page's, and without a handle so are the arrows.
	await page.keyboard.press("Escape");
	await becomes(page, health, "past");
	await page.close();
});

test("each port that one card asks another for has a line, which ends at its row", async () => {
	const asked = [
		["frontend", "catalog", 8080, "TCP", 15, "FORWARDED"],
		["frontend", "catalog", 9090, "TCP", 5, "FORWARDED"],
		["frontend", "catalog", 9187, "TCP", 3, "DROPPED"],
	];
	const list = asked.flatMap((c) => Array.from({ length: c[4] }, (_, i) => flow_of(c, i, new Date(Date.UTC(2026, 0, 1) + c[2] + i))));
	const observer = await stage.observer("ports", json_lines(list));
	const ui = await stage.ui(observer.address);
	const page = await open(ui.address);
	await becomes(page, map_lines, lines_of(asked));
	await becomes(page, () => document.querySelector(".map").dataset.young, "false"); // nothing moves any more
	const place = await page.evaluate(() => {
		const pane = document.querySelector(".canvas");
		const { cy } = pane._cyreg;
		const card = cy.nodes().filter((n) => n.id().includes("catalog"));
		const { x1, y1 } = card.renderedBoundingBox({ includeOverlays: false });
		const { left, top } = pane.getBoundingClientRect();
		return { left: left + x1, top: top + y1, zoom: cy.zoom() };
	});
	const said = () => document.querySelector(".tip")?.innerText.replace(/\s+/g, " ") ?? "";
	for (const [row, [, , port, , n, verdict]] of asked.entries()) {
		await page.mouse.move(place.left - 6 * place.zoom, place.top + (40 + 18 * (row + 0.5)) * place.zoom);
		await becomes(page, said, `${n} ${outcome[verdict]} ${port}/TCP ${n}`);
	}
	await page.close();
	await ui.stop();
	await observer.stop();
});

test("the table's columns are chosen, and stay chosen", async () => {
	const page = await open(shop_ui.address);
	await becomes(page, row_count, all);
	const heads = () =>
		[...document.querySelectorAll("[role=columnheader]")].map((e) => e.textContent);
	await page.getByRole("button", { name: "Columns" }).press("Enter");
	assert.deepEqual(await violations(page), []);
	await page.getByRole("checkbox", { name: "From address" }).press("Space");
	await page.getByRole("checkbox", { name: "Why" }).press("Space");
	const want = ["Time", "Verdict", "From", "From address", "Way", "To", "Port", "Node"];
	await becomes(page, heads, want);
	await page.keyboard.press("Escape");
	assert.equal(await page.getByRole("checkbox").count(), 0);
	const address = page.locator(".row").first().locator(".from-address");
	assert.equal(await address.innerText(), flows().at(-1).IP.source);
	await page.reload();
	await becomes(page, heads, want);
	await page.getByRole("button", { name: "Columns" }).click();
	await page.getByRole("button", { name: "As usual" }).click();
	await becomes(page, heads, ["Time", "Verdict", "From", "Way", "To", "Port", "Why", "Node"]);
	await page.close();
});

test("what is done twice within one frame is done twice", async () => {
	const page = await open(shop_ui.address);
	await becomes(page, row_count, all);
	await page.getByRole("button", { name: "Columns" }).click();
	// Between two events a browser does what was put off to the end of the first one (microtasks), but need not draw.
	const heads = await page.evaluate(async () => {
		for (const name of ["From address", "To address", "Why"]) {
			[...document.querySelectorAll("#columns label")]
				.find((e) => e.textContent.trim() === name)
				.click();
			await null;
		}
		await new Promise(requestAnimationFrame);
		return [...document.querySelectorAll("[role=columnheader]")].map((e) => e.textContent);
	});
	assert.deepEqual(heads, ["Time", "Verdict", "From", "From address", "Way", "To", "To address", "Port", "Node"]);
	await page.getByRole("button", { name: "As usual" }).click();
	await page.keyboard.press("Escape");

	const press = (target, keys) =>
		page.evaluate(
			async ([target, keys]) => {
				for (const key of keys) {
					document
						.querySelector(target)
						.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true }));
					await null;
				}
			},
			[target, keys],
		);
	await press("body", [" ", " ", " "]);
	await becomes(page, health, "paused");
	await press("[role=rowgroup]", ["ArrowDown", "ArrowDown", "ArrowDown"]);
	const selected = () => [...document.querySelectorAll(".row")].findIndex((e) => e.ariaSelected === "true");
	await becomes(page, selected, 2);
	await page.keyboard.press("Escape");

	// On the map as far as with time between them.
	const where = () => new URLSearchParams(location.hash.slice(1)).get("select");
	await page.locator(".canvas").focus();
	for (const key of ["ArrowRight", "ArrowRight", "ArrowRight"]) await page.keyboard.press(key);
	const third = await page.evaluate(where);
	await page.keyboard.press("Escape");
	await becomes(page, where, null);
	await press(".canvas", ["ArrowRight", "ArrowRight", "ArrowRight"]);
	assert.equal(await page.evaluate(where), third);
	await page.keyboard.press("Escape");

	// Of the completions the second, and no other.
	await page.locator("#filter").fill("verdict=");
	const [, second] = await page.locator("#completions li").allTextContents();
	await press("#filter", ["ArrowDown", "ArrowDown", "Enter"]);
	await becomes(page, () => new URLSearchParams(location.hash.slice(1)).get("filter"), second.trim());
	await page.close();
});

test("a flow is copied as JSON, and as a command that finds it and no other", async () => {
	await browser.grantPermissions(["clipboard-read", "clipboard-write"]);
	const page = await open(shop_ui.address);
	await page.getByRole("button", { name: "Dropped", exact: true }).click();
	await becomes(page, row_count, count(dropped));
	// That it was copied is said for a moment only: who is late does not see it.
	const copied = async (row, name) => {
		await page.evaluate(() => navigator.clipboard.writeText(""));
		await page.locator(".row").nth(row).click();
		await page.getByRole("button", { name }).click();
		const text = await page.waitForFunction(() => navigator.clipboard.readText());
		return text.jsonValue();
	};
	for (const row of [0, 1]) {
		const { flow } = JSON.parse(await copied(row, "Copy as JSON"));
		const found = stage.shell(`${await copied(row, "Copy as command")} -o json`);
		assert.deepEqual(
			found.map((line) => line.flow),
			[flow],
		);
	}
	await page.close();
});

// An hour, and the hour before it, of which each conversation says how many flows it had in either.
const hours = (() => {
	const now = (Math.floor(Date.now() / MINUTE_MS) - 60) * MINUTE_MS;
	return { before: now - 60 * MINUTE_MS, now, end: now + 60 * MINUTE_MS };
})();
const compared = [
	["frontend", "catalog", 8080, "TCP", "FORWARDED", 9, 20, null],
	["catalog", "postgres", 5432, "TCP", "FORWARDED", 4, 0, "gone"],
	["catalog", "redis", 6379, "TCP", "FORWARDED", 0, 6, "new"],
	["checkout", "ledger", 5432, "TCP", "DROPPED", 2, 7, "more drops"],
	["catalog", "stripe", 443, "TCP", "DROPPED", 5, 0, "gone"],
];
const compared_flows = ["before", "now"].flatMap((hour, which) =>
	compared.flatMap((c, i) =>
		Array.from({ length: c[5 + which] }, (_, n) =>
			flow_of([...c.slice(0, 4), 0, c[4]], i * 100 + n, new Date(hours[hour] + n * 1000)),
		),
	),
);
const differences = () =>
	[...document.querySelectorAll("[data-change]")].map((row) => [
		row.dataset.change,
		...[...row.querySelectorAll("[role=cell]")].slice(1, 7).map((c) => c.textContent.trim()),
	]);

test("two ranges are compared on the map and in a table, in the address too, without a mouse", async () => {
	const observer = await stage.observer("hours", json_lines(compared_flows), "--replay-keep-time");
	const ui = await stage.ui(observer.address);
	const iso = (ms) => new Date(ms).toISOString();
	const page = await open(`${ui.address}/#since=${iso(hours.now)}&until=${iso(hours.end)}`);
	const lines = (which) => compared.filter((c) => c[5 + which]).length;
	await becomes(page, () => document.querySelectorAll("[data-line]").length, lines(1));
	await page.getByRole("button", { name: "Compare" }).press("Enter");
	const want = [
		["new", "shop/catalog", "→", "data/redis", "6379/TCP", "0 → 0", "0 → 6"],
		["gone", "shop/catalog", "→", "api.stripe.com", "443/TCP", "5 → 0", "0 → 0"],
		["gone", "shop/catalog", "→", "data/postgres", "5432/TCP", "0 → 0", "4 → 0"],
		["more drops", "shop/checkout", "→", "payments/ledger", "5432/TCP", "2 → 7", "0 → 0"],
	];
	await becomes(page, differences, want);
	await becomes(
		page,
		map_lines,
		compared
			.map(([from, to, port, l4, verdict, before, now, change]) => {
				const what = `${now || before} ${outcome[verdict]}, ${change ?? "same"}`;
				return `${named(from)} to ${named(to)} ${port}/${l4}: ${what}`;
			})
			.sort(),
	);
	await page.getByText("1 new · 2 gone · 1 more drops").waitFor();
	const gone = page.getByRole("button", { name: "2 gone" });
	await gone.press("Enter");
	await becomes(page, differences, want.slice(1, 3));
	await gone.press("Enter");
	await becomes(page, differences, want);

	await page.getByRole("table", { name: "Differences" }).focus();
	await page.keyboard.press("ArrowDown");
	const details = page.getByRole("complementary", { name: "Details" });
	await details.getByText("0 → 6").first().waitFor();
	for (const colorScheme of ["light", "dark"]) {
		await page.emulateMedia({ colorScheme });
		assert.deepEqual(await violations(page), [], colorScheme);
	}
	await page.keyboard.press("Escape");
	// On a phone it has the columns that there is room for, in one line.
	await page.setViewportSize({ width: 390, height: 844 });
	await page.getByRole("tab", { name: "Flows" }).click();
	const heads = () => {
		const shown = [...document.querySelectorAll("[role=columnheader]")].map((e) => e.getBoundingClientRect());
		const tops = shown.filter((box) => box.width).map((box) => box.top);
		return [tops.length, Math.max(...tops) - Math.min(...tops) < 10];
	};
	await becomes(page, heads, [5, true]);
	await page.setViewportSize({ width: 1280, height: 800 });
	const other = await open(page.url());
	await becomes(other, differences, want);
	await other.getByRole("button", { name: "End comparison" }).press("Enter");
	await becomes(other, () => document.querySelectorAll("[data-line]").length, lines(1));
	await other.close();

	// An hour before all that is known: all is new, and it is said why that may not be so.
	const from = page.getByLabel("Before, from");
	const local = (ms) => new Date(ms - new Date(ms).getTimezoneOffset() * MINUTE_MS).toISOString();
	await from.fill(local(hours.before - 90 * MINUTE_MS).slice(0, 16));
	await page.getByLabel("Before, to").fill(local(hours.before - 30 * MINUTE_MS).slice(0, 16));
	await becomes(
		page,
		() => [...document.querySelectorAll("[data-change]")].map((row) => row.dataset.change),
		["new", "new", "new"],
	);
	assert.match(
		await page.evaluate(fact, "doubt"),
		/the range before has gaps \(node-a, 1 h, before its record\)/,
	);
	await page.close();
	await ui.stop();
	await observer.stop();
});

test("the page is sent no more than it has read, but for what may be ahead", async () => {
	const { "x-limits": limits } = JSON.parse(readFileSync(new URL("../../ui-server/wire.schema.json", import.meta.url)));
	const observer = await stage.observer(
		"ahead",
		json_lines(flows()),
		...["--replay-speed", "1", "--replay-repeat", "1000"],
	);
	const ui = await stage.ui(observer.address);
	let [came, read, most] = [0, 0, 0];
	const HEARD = 10; // messages after which the server has heard that the page says what it has read
	const page = await open(ui.address, (made) =>
		made.on("websocket", (socket) => {
			socket.on("framereceived", () => {
				came++;
				if (read >= HEARD) most = Math.max(most, came - read);
			});
			socket.on("framesent", ({ payload }) => {
				const said = JSON.parse(payload);
				if (said.type === "taken") read = said.messages;
			});
		}),
	);
	await page.locator(".row").first().waitFor();
	while (read < HEARD) await page.evaluate(() => new Promise(requestAnimationFrame));
	await page.evaluate(() => {
		const end = performance.now() + 1500;
		while (performance.now() < end); // a page that has no time
	});
	const before = came;
	while (came < before + 5) await page.evaluate(() => new Promise(requestAnimationFrame));
	assert.ok(most > 0 && most <= limits.ahead.value, `${most} ahead`);
	await page.close();
	await ui.stop();
	await observer.stop();
});

test("a paused table stands still while flows are counted on", async () => {
	const observer = await stage.observer(
		"stream",
		json_lines(flows()),
		"--replay-speed",
		"1",
		"--replay-repeat",
		"1000",
	);
	const ui = await stage.ui(observer.address);
	const page = await open(ui.address);
	await page.locator(".row").first().waitFor();
	await page.keyboard.press("Space");
	await becomes(page, health, "paused");
	const still = await page.locator(".rows").innerText();
	await page.locator(".since").waitFor();
	await page.waitForFunction(
		() => Number(/\d+/.exec(document.querySelector(".since")?.textContent ?? "")?.[0]) >= 20,
	);
	assert.equal(await page.locator(".rows").innerText(), still);
	await page.keyboard.press("Space");
	await becomes(page, health, "live");
	await page.waitForFunction((text) => document.querySelector(".rows").innerText !== text, still);
	// What flows as one looks has a rate.
	await page.locator(".canvas").focus();
	await page.keyboard.press("ArrowRight");
	await page.getByRole("img", { name: /flows per second now/ }).waitFor();
	await page.close();
	await ui.stop();
	await observer.stop();
});

test("flows that the table has no room for are counted, to the flow", async () => {
	// Fewer than the page keeps, and far more than an update holds.
	const repeat = Math.floor(4999 / all);
	const observer = await stage.observer(
		"flood",
		json_lines(flows()),
		"--replay-repeat",
		String(repeat),
	);
	const ui = await stage.ui(observer.address);
	const page = await open(ui.address);
	await becomes(page, fact, `${(repeat * all).toLocaleString("en")} flows`, "flows");
	await page.locator(".left-out").first().waitFor();
	const counted = () =>
		Number(document.querySelector("[role=table]")?.getAttribute("aria-rowcount")) +
		[...document.querySelectorAll(".left-out")].reduce(
			(sum, e) => sum + Number(/[\d,]+/.exec(e.textContent)[0].replace(",", "")),
			0,
		);
	await becomes(page, counted, repeat * all);
	await page.close();
	await ui.stop();
	await observer.stop();
});

// Where Cytoscape, which says what card is meant, has the cards.
const card_places = () =>
	Object.fromEntries(
		document
			.querySelector(".canvas")
			._cyreg.cy.nodes()
			.map((n) => [n.id(), n.position()]),
	);
const card_count = () => document.querySelector(".canvas")._cyreg.cy.nodes().length;

test("an observer that comes back is told, as a gap, and followed on: newcomers find room, all others stay in place", async () => {
	const name = "workload||shop|StatefulSet|mailer|";
	const more = ["checkout", "frontend"].map((from) => [from, "mailer", 25, "TCP", 1, "FORWARDED"]);
	let observer = await stage.observer("restart", json_lines(flows()));
	const ui = await stage.ui(observer.address);
	const page = await open(ui.address);
	await becomes(page, row_count, all);
	await becomes(page, () => document.querySelector(".map").dataset.young, "false");
	const before = await page.evaluate(card_places);
	assert.deepEqual(await observer.stop(), { code: 0, signal: null });
	await becomes(page, health, "away");
	await page.locator(".banner").waitFor();
	await becomes(page, row_count, all); // what was seen stays
	// How long it has been so is seen, but not said anew each second; and what nobody told is not taken for silence.
	const said = (where) => {
		const copy = document.querySelector(where).cloneNode(true);
		for (const hidden of copy.querySelectorAll("[aria-hidden=true]")) hidden.remove();
		return copy.textContent;
	};
	assert.equal(await page.evaluate(said, ".health"), "server away");
	assert.match(await page.locator(".health").innerText(), /^server away\s+· \d+ s$/);
	await page.locator(".strip .handle").focus();
	const at_end = () => {
		document.activeElement.dispatchEvent(new KeyboardEvent("keydown", { key: "End", bubbles: true }));
		return /, missing: all nodes, server away$/.test(document.activeElement.ariaValueText);
	};
	await becomes(page, at_end, true);
	const later = more.map((c, i) => flow_of(c, i, new Date(flows().at(-1).time)));
	observer = await stage.observer("restart", json_lines([...flows(), ...later]));
	await becomes(page, health, "live");
	await becomes(page, fact, `${2 * all + count(more)} flows`, "flows");
	assert.match(await page.evaluate(fact, "gaps"), /^1 gap /);

	await becomes(page, card_count, Object.keys(before).length + 1);
	const after = await page.evaluate(card_places);
	assert.deepEqual({ ...after, [name]: undefined }, { ...before, [name]: undefined });
	await page.getByRole("button", { name: "Dropped", exact: true }).click();
	await becomes(page, card_count, 4);
	for (const [key, { x }] of Object.entries(await page.evaluate(card_places)))
		assert.equal(x, before[key].x, key); // and as high as before without ports that are not shown
	await page.getByRole("button", { name: "All", exact: true }).click();
	await becomes(page, card_places, after);
	await page.getByRole("button", { name: "Arrange anew" }).click();
	const x_of = (key) => document.querySelector(".canvas")._cyreg.cy.getElementById(key).position().x;
	await page.waitForFunction(`(${x_of})(${JSON.stringify(name)}) !== ${after[name].x}`);
	await page.close();
	await ui.stop();
	await observer.stop();
});

test("a server of the page that comes back is found again", async () => {
	let ui = await stage.ui(shop.address);
	const page = await open(ui.address);
	await becomes(page, row_count, all);
	assert.deepEqual(await ui.stop(), { code: 0, signal: null });
	await becomes(page, health, "away");
	ui = await stage.ui(shop.address, new URL(ui.address).host);
	await becomes(page, health, "live");
	await becomes(page, row_count, all);
	await page.close();
	await ui.stop();
});

test("nothing on the page is hard to read or to reach (axe), in both schemes", async () => {
	for (const scheme of ["light", "dark"]) {
		const page = await open(shop_ui.address);
		await page.emulateMedia({ colorScheme: scheme, reducedMotion: "reduce" });
		await becomes(page, row_count, all);
		await page.locator(".row.dropped").first().click();
		assert.deepEqual(await violations(page), [], scheme);
		await page.close();
	}
});

test("a number beside a long name is not broken", async () => {
	const list = Array.from({ length: 1234 }, (_, i) => {
		const flow = flow_of(dropped[0], i, new Date(Date.UTC(2026, 0, 1) + i));
		for (const [end, n] of [["source", "a"], ["destination", "b"]]) flow[end].workloads[0].name = `${n.repeat(30)}-${"name-".repeat(6)}end`;
		return flow;
	});
	const observer = await stage.observer("long", json_lines(list));
	const ui = await stage.ui(observer.address);
	const page = await open(ui.address);
	await page.getByRole("separator", { name: "Width of the details" }).focus();
	for (let step = 0; step < 10; step++) await page.keyboard.press("ArrowRight");
	const details = page.getByRole("complementary", { name: "Details" });
	for (const within of [details.locator("li"), details.locator("li", { hasText: "POLICY_DENIED" })]) {
		const number = within.first().getByRole("button", { name: "1,234", exact: true });
		await number.waitFor();
		assert.ok((await number.boundingBox()).height < 24);
	}
	assert.equal(await page.evaluate(() => document.querySelector(".detail").scrollWidth - document.querySelector(".detail").clientWidth), 0);
	await page.close();
	await ui.stop();
	await observer.stop();
});

test("on paper the page is light, whatever its reader chose, and has nothing to click", async () => {
	const page = await open(shop_ui.address);
	await becomes(page, row_count, all);
	await page.evaluate(() => localStorage.setItem("tycho.scheme", "dark"));
	await page.reload();
	await becomes(page, row_count, all);
	await becomes(page, pixels, true, DROPPED_DARK_RGB); // the map is drawn before it is printed
	await becomes(page, pixels, false, DROPPED_RGB);
	await page.emulateMedia({ media: "print" });
	await becomes(page, pixels, true, DROPPED_RGB);
	await becomes(page, () => getComputedStyle(document.querySelector("h2 button")).color, `rgb(${DROPPED_RGB.join(", ")})`);
	assert.equal(await page.getByRole("button", { name: "Pause" }).isVisible(), false);
	assert.equal(await page.getByLabel("Coverage").isVisible(), true);
	// An example of a filter would be read as the filter of what is printed.
	assert.equal(await page.getByRole("combobox", { name: "Filter" }).isVisible(), false);
	await page.emulateMedia({ media: "screen" });
	await page.getByRole("button", { name: "Dropped", exact: true }).click();
	await page.getByRole("button", { name: /^shop\/checkout → payments\/ledger/ }).click();
	await page.emulateMedia({ media: "print" });
	assert.equal(await page.getByRole("combobox", { name: "Filter" }).isVisible(), true);
	assert.equal(await page.getByRole("button", { name: "Dropped", exact: true }).isVisible(), false);
	assert.equal(await page.locator(".bar h2 .link").isVisible(), true);
	await page.emulateMedia({ media: "screen" });
	await page.evaluate(() => localStorage.removeItem("tycho.scheme"));
	await page.close();
});

test("who presses, by keyboard, what then goes away is not left nowhere", async () => {
	const page = await open(`${shop_ui.address}/#filter=verdict%3DDROPPED`);
	const focused = () => {
		const { activeElement: e } = document;
		return e.getAttribute("aria-label") ?? e.textContent;
	};
	const press = async (button) => {
		await button.focus();
		await page.keyboard.press("Enter");
	};
	const details = page.getByRole("complementary", { name: "Details" });
	await becomes(page, map_lines, lines_of(dropped));
	await press(page.getByRole("button", { name: "Clear the filter" }));
	await becomes(page, focused, "Filter");
	await becomes(page, map_lines, lines_of(conversations));
	await press(details.getByRole("button", { name: "shop/checkout → payments/ledger" }));
	await details.getByRole("button", { name: "Back" }).waitFor();
	await becomes(page, focused, "Details");
	await press(details.getByRole("button", { name: "Back" }));
	await details.getByText("Between whom").waitFor();
	await becomes(page, focused, "Details");
	await press(page.getByRole("button", { name: "Compare" }));
	await becomes(page, () => document.activeElement.className, "chip");
	await press(page.getByRole("button", { name: "End comparison" }));
	await page.getByRole("region", { name: "Comparison" }).waitFor({ state: "detached" });
	await becomes(page, focused, "Compare");
	// A mouse takes no focus along.
	await page.getByRole("button", { name: "Dropped", exact: true }).click();
	const clear = page.getByRole("button", { name: "Clear the filter" });
	await clear.click();
	await clear.waitFor({ state: "detached" });
	assert.equal(await page.evaluate(() => document.activeElement.id), "");
	await page.close();
});

test("a change that the browser tells nobody of is seen all the same", async () => {
	const page = await open(shop_ui.address, (page) =>
		page.addInitScript(() => {
			localStorage.setItem("tycho.scheme", "dark");
			MediaQueryList.prototype.addEventListener = () => {};
		}),
	);
	await becomes(page, pixels, true, DROPPED_DARK_RGB);
	await page.emulateMedia({ media: "print" });
	await becomes(page, pixels, true, DROPPED_RGB);
	await page.evaluate(() => localStorage.removeItem("tycho.scheme"));
	await page.close();
});

test("the map is drawn for paper when printing begins, for which no frame comes", async () => {
	// Frames stop with the first drop that the map has, before it is on a canvas.
	const page = await open(shop_ui.address, (page) =>
		page.addInitScript(() => {
			localStorage.setItem("tycho.scheme", "dark");
			const frame = requestAnimationFrame;
			window.requestAnimationFrame = (then) => frame((now) => window.held || then(now));
			new MutationObserver(() => (window.held ||= document.querySelector("[data-line=dropped]") !== null)).observe(
				document,
				{ childList: true, subtree: true },
			);
		}),
	);
	await page.waitForFunction(() => window.held, undefined, { polling: 20 });
	const drawn = async () => [await page.evaluate(pixels, DROPPED_RGB), await page.evaluate(pixels, DROPPED_DARK_RGB)];
	assert.deepEqual(await drawn(), [false, false]);
	await page.evaluate(() => dispatchEvent(new Event("beforeprint")));
	assert.deepEqual(await drawn(), [true, false]);
	await page.evaluate(() => dispatchEvent(new Event("afterprint")));
	assert.deepEqual(await drawn(), [false, false]);
	await page.evaluate(() => localStorage.removeItem("tycho.scheme"));
	await page.close();
});

test("the whole map is on paper, which is narrower than the screen", async () => {
	const page = await open(shop_ui.address);
	await becomes(page, row_count, all);
	const pane_width = () => page.evaluate(() => document.querySelector(".canvas").clientWidth);
	const wide = await pane_width();
	await page.evaluate(() => dispatchEvent(new Event("beforeprint")));
	await page.emulateMedia({ media: "print" });
	await page.setViewportSize({ width: 800, height: 1000 });
	const [sheet, pane, legend] = await page.evaluate(() =>
		[".sheet", ".canvas", ".legend"].map((of) => {
			const { left, top, right, bottom } = document.querySelector(of).getBoundingClientRect();
			return { left, top, right, bottom };
		}),
	);
	assert.deepEqual({ ...sheet, bottom: 0 }, { ...pane, bottom: 0 });
	assert.ok(sheet.bottom > pane.top + 100 && sheet.bottom <= legend.top && legend.bottom <= pane.bottom);
	assert.ok((await pane_width()) < wide);
	assert.equal(await page.evaluate(() => document.querySelector(".sheet").width), 3 * wide);
	assert.equal(await page.evaluate(() => getComputedStyle(document.querySelector(".sheet")).objectFit), "contain");
	assert.equal(await page.locator(".lines").isVisible(), false);
	await page.evaluate(() => dispatchEvent(new Event("afterprint")));
	assert.equal(await page.locator(".lines").isVisible(), true);
	await page.pdf({ format: "A4" });
	assert.equal(await page.locator(".sheet").count(), 0);
	await page.close();
});

// How many sheets a PDF has, and where on one its links are, in points from the lower left corner.
const printed = (pdf) => {
	const text = pdf.toString("latin1");
	const links = [...text.matchAll(/\/Rect \[([^\]]*)\]/g)].map(([, numbers]) => numbers.split(" ").map(Number));
	return { sheets: Number(/\/Type \/Pages\s[^>]*\/Count (\d+)/.exec(text)[1]), links };
};

test("on paper of any form, from a window of any, the page is one sheet, and its last line stands at the foot alone", async () => {
	const page = await open(shop_ui.address);
	await becomes(page, row_count, all);
	const margin = { top: "1cm", bottom: "1cm", left: "1cm", right: "1cm" };
	const margin_pt = 72 / 2.54;
	for (const size of [{ width: 1280, height: 800 }, { width: 1280, height: 400 }])
		for (const paper of [
			{ format: "A4", landscape: true },
			{ format: "Letter", landscape: true },
			{ format: "A5", landscape: true },
			{ format: "A4", landscape: true, scale: 1.5 },
			{ format: "A4" },
		]) {
			await page.setViewportSize(size);
			const { sheets, links } = printed(await page.pdf({ ...paper, margin }));
			const of = JSON.stringify({ size, paper });
			assert.equal(sheets, 1, of);
			assert.equal(links.length, 1, of); // licences, in the last line
			const above_foot = links[0][1] - margin_pt;
			assert.ok(above_foot >= 0 && above_foot < 10 * (paper.scale ?? 1), `${above_foot} pt above the foot: ${of}`);
		}
	// So it is laid out there, with all its parts and all columns, of however narrow paper:
	const { columns } = await load("columns");
	for (const shown of ["", Object.keys(columns).join()]) {
		await page.evaluate((shown) => localStorage.setItem("tycho.columns", shown), shown);
		await page.emulateMedia({ media: "screen" });
		await page.setViewportSize({ width: 1280, height: 800 });
		await page.reload();
		await becomes(page, row_count, all);
		await page.emulateMedia({ media: "print" });
		for (const [width, height] of [[794, 1123], [718, 1047], [559, 794], [300, 420], [1123, 794]]) {
			await page.setViewportSize({ width, height });
			const wide = await page.evaluate(() =>
				[...document.querySelectorAll(".page, .canvas, .detail, .status, .flows, [role=columnheader], .row > *")].flatMap((e) => {
					const { left, right, width } = e.getBoundingClientRect();
					return width && left >= -0.5 && right <= innerWidth + 0.5 ? [] : [`${e.className} ${left} ${right}`];
				}),
			);
			assert.deepEqual(wide, [], `${width} × ${height}`);
			assert.equal(await page.locator("[role=columnheader]").count(), shown ? Object.keys(columns).length : 8);
		}
	}
	await page.evaluate(() => localStorage.removeItem("tycho.columns"));
	for (const [width, height] of [[1047, 718], [980, 740], [718, 484]]) {
		await page.setViewportSize({ width, height });
		const { last, under, cut } = await page.evaluate(() => {
			const box = (of) => document.querySelector(of).getBoundingClientRect();
			const body = box(".flows .body");
			const is_cut = (r) => r.top < body.bottom && r.bottom > body.bottom + 1;
			return {
				last: box(".status").bottom,
				under: box("main").bottom - box(".status").top,
				cut: [...document.querySelectorAll(".row")].some((e) => is_cut(e.getBoundingClientRect())),
			};
		});
		assert.equal(Math.round(last), height);
		assert.ok(under <= 0.5, `${under} px`);
		assert.equal(cut, false);
	}
	await page.close();
});

test("on a phone the panels are tabs", async () => {
	const page = await open(shop_ui.address);
	await page.setViewportSize({ width: 390, height: 844 });
	await becomes(page, row_count, all);
	const tab = () => document.querySelector("[role=tab][aria-selected=true]").textContent;
	await page.getByRole("tab", { name: "Flows" }).click();
	// What is tapped is shown, and Back leads to where it was tapped; so it does by keyboard.
	await page.locator(".row").first().click();
	await page.getByRole("button", { name: "Copy as JSON" }).waitFor();
	assert.equal(await page.evaluate(tab), "Details");
	await page.getByRole("button", { name: "Back", exact: true }).click();
	await becomes(page, tab, "Flows");
	for (const key of ["ArrowDown", "Enter"]) await page.keyboard.press(key);
	await becomes(page, () => document.activeElement.id, "panel-detail");
	await page.keyboard.press("Escape");
	await becomes(page, () => document.activeElement.getAttribute("aria-label"), "Flows, newest first");
	assert.deepEqual(await violations(page), []);
	assert.equal(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), true);
	await page.close();
});

// Cards of these names that are seen whole, and how far from the pane's top the topmost of all that are seen is.
const in_pane = (names) => {
	const { clientWidth, clientHeight, _cyreg } = document.querySelector(".canvas");
	const seen = _cyreg.cy
		.nodes()
		.map((n) => ({ id: n.id(), ...n.renderedBoundingBox() }))
		.filter(({ x1, y1, x2, y2 }) => x1 >= 0 && y1 >= 0 && x2 <= clientWidth && y2 <= clientHeight);
	const [pane, legend] = [".map", ".legend"].map((s) => document.querySelector(s).getBoundingClientRect());
	return {
		names: names.filter((name) => seen.some(({ id }) => id.split("|").includes(name))),
		past_legend: seen.every(({ y1 }) => y1 >= legend.bottom - pane.top),
	};
};

test("what is selected is said, and what is said at the pointer is seen whole", async () => {
	const page = await open(shop_ui.address);
	await becomes(page, row_count, all);
	const said = () => document.querySelector("[data-said=selection]").textContent;
	await page.locator("[role=table]").focus();
	await page.keyboard.press("ArrowDown");
	await becomes(page, said, "FORWARDED, payments/gateway-0 to kube-apiserver, 6443 TCP");
	await page.keyboard.press("Escape");
	await becomes(page, said, "");
	await page.locator(".canvas").focus();
	await page.keyboard.press("ArrowRight");
	await becomes(page, said, "203.0.113.80, address");
	await page.getByRole("button", { name: "shop/frontend" }).click();
	await becomes(page, said, "203.0.113.80 to shop/frontend");
	// What is not beside it is dim; nothing is where it is not on the map.
	const is_dim = () => [...document.querySelectorAll(".lines canvas")].some((c) => c.style.opacity === "0.3");
	await becomes(page, is_dim, true);
	await page.getByRole("button", { name: "203.0.113.80" }).click();
	await page.getByRole("button", { name: "Dropped", exact: true }).click();
	await becomes(page, map_lines, lines_of(dropped));
	await becomes(page, is_dim, false);
	await page.getByText("Not seen with this filter.").waitFor();
	await page.getByRole("button", { name: "All", exact: true }).click();
	await becomes(page, is_dim, true);

	const box = await page.locator(".canvas").boundingBox();
	const corner = { x: box.x + box.width - 8, y: box.y + box.height - 8 };
	await page.evaluate(() => {
		const { cy } = document.querySelector(".canvas")._cyreg;
		const { x, y } = cy.nodes().first().position();
		cy.viewport({ zoom: 1, pan: { x: cy.width() - 10 - x, y: cy.height() - 10 - y } });
	});
	await page.mouse.move(corner.x - 20, corner.y - 2);
	await page.mouse.move(corner.x, corner.y);
	const tip = await page.locator(".map .tip").boundingBox();
	assert.ok(tip.x + tip.width <= box.x + box.width && tip.y + tip.height <= box.y + box.height);
	await page.close();
});

test("a phone begins where drops are, and the map's legend lies on no card", async () => {
	const page = await open(shop_ui.address, (made) => made.setViewportSize({ width: 390, height: 844 }));
	await becomes(page, row_count, all);
	const refusing = dropped.map((c) => named(c[1]));
	await becomes(page, in_pane, { names: refusing, past_legend: true }, refusing);
	await page.close();
});

test("of a range of days the head has both ends, and room for all of its buttons, on a phone too", async () => {
	const page = await open(shop_ui.address);
	await becomes(page, row_count, all);
	await page.getByLabel("Time range").selectOption({ label: "Last 7 d" });
	await becomes(page, health, "past");
	for (const width of [1280, 1024, 761, 390, 320]) {
		await page.setViewportSize({ width, height: 844 });
		const ends = () => [...document.querySelectorAll("header button")].map((e) => e.getBoundingClientRect().right > innerWidth);
		await becomes(page, () => document.documentElement.scrollWidth <= innerWidth, true);
		assert.equal((await page.evaluate(ends)).includes(true), false, `at ${width} px`);
	}
	assert.match(await page.locator(".health").innerText(), /^\S+ \d+, \d\d:\d\d – \S+ \d+, \d\d:\d\d$/);
	await page.close();
});

test("the map's legend and buttons leave each other room, however narrow it is", async () => {
	const page = await open(shop_ui.address);
	await becomes(page, row_count, all);
	const are_apart = () => {
		const [a, b] = [".zoom", ".legend"].map((s) => document.querySelector(s).getBoundingClientRect());
		return a.right <= b.left || b.right <= a.left || a.bottom <= b.top || b.bottom <= a.top;
	};
	await page.getByRole("separator", { name: "Width of the details" }).focus();
	for (let step = 0; step < 20; step++) await page.keyboard.press("ArrowLeft");
	for (const width of [1280, 900, 780, 390]) {
		await page.setViewportSize({ width, height: 800 });
		await becomes(page, are_apart, true);
	}
	await page.close();
});

test("in a low window, as at 200 %, the page is scrolled, and its last line stays", async () => {
	const page = await open(shop_ui.address);
	for (const size of [{ width: 640, height: 400 }, { width: 844, height: 390 }]) {
		await page.setViewportSize(size);
		await becomes(page, row_count, all);
		const { map, last, wide } = await page.evaluate(() => ({
			map: document.querySelector(".map").clientHeight,
			last: document.querySelector(".status").getBoundingClientRect().bottom,
			wide: document.documentElement.scrollWidth,
		}));
		assert.ok(map >= 250, `the map has ${map} px of ${size.height}`);
		assert.equal(Math.round(last), size.height);
		assert.equal(wide, size.width);
	}
	await page.close();
});

test("a login is asked for over TLS, keeps the filter, and ends with log out", async () => {
	const { cert, key } = stage.certificate();
	const users = stage.file("users", `alice:${HASH}\n`);
	const ui = await stage.ui(
		shop.address,
		"127.0.0.1:0",
		...["--tls-server-cert-file", cert, "--tls-server-key-file", key, "--login-file", users],
	);
	assert.match(ui.address, /^https:/);
	const page = await open(`${ui.address}/#filter=verdict%3DDROPPED`);
	const name = page.getByLabel("Name");
	const password = page.getByLabel("Password");
	await name.fill("alice");
	await password.fill("wrong");
	await password.press("Enter");
	await page.getByRole("alert").filter({ hasText: "Wrong name or password" }).waitFor();
	assert.deepEqual(await violations(page), []);
	await name.fill("alice");
	await password.fill("secret");
	await page.getByRole("button", { name: "Log in" }).click();
	await becomes(page, map_lines, lines_of(dropped));
	const [cookie] = (await page.context().cookies()).filter((c) => c.name.includes("tycho-ui"));
	const { name: cookie_name, httpOnly, secure, sameSite, expires } = cookie;
	assert.match(cookie_name, /^__Host-tycho-ui-/);
	assert.deepEqual([httpOnly, secure, sameSite, expires], [true, true, "Strict", -1]);
	assert.equal(await page.evaluate(() => document.cookie), "");

	await page.getByRole("button", { name: "Log out" }).click();
	await password.waitFor();
	assert.match(page.url(), /\/login#filter=verdict%3DDROPPED$/);
	const { host } = new URL(ui.address);
	const again = await request(ui.address, "/", { host, cookie: `${cookie_name}=${cookie.value}` });
	assert.equal(again.status, 303);
	await page.close();
	await ui.stop();
});
