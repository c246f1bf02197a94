// Numbers of the page lead to what they count: as many flows as they say, and to what is missing where they count that.
import assert from "node:assert/strict";
import { after, before } from "node:test";
import { conversations, flow_of, json_lines } from "./flows.mjs";
import { becomes, fact, faults, health, open as open_in, row_count, test, violations } from "./look.mjs";
import { Stage } from "./stage.mjs";

const MINUTE_MS = 60_000;
const start = Math.floor(Date.now() / MINUTE_MS) * MINUTE_MS - 90 * MINUTE_MS;
const iso = (ms) => new Date(ms).toISOString();

// What came back, from the port that was asked.
function answer_to(flow) {
	const { l4, IP, source, destination, destination_names, ...rest } = flow;
	const [[protocol, { source_port, destination_port }]] = Object.entries(l4);
	return {
		...rest,
		l4: { [protocol]: { source_port: destination_port, destination_port: source_port } },
		IP: { ...IP, source: IP.destination, destination: IP.source },
		...{ source: destination, destination: source, is_reply: true, traffic_direction: "INGRESS" },
		...(destination_names && { source_names: destination_names }),
	};
}

// Every third request that was forwarded has an answer; some went by way of a proxy, and one was lost there.
const asked = conversations.flatMap((c, i) =>
	Array.from({ length: c[4] }, (_, n) => ({ c, n, flow: flow_of(c, 1000 * i + n, new Date(start + (1000 * i + n) * 10)) })),
);
const list = asked.flatMap(({ c: [from, to, , , , verdict], n, flow }) => {
	if (verdict !== "FORWARDED") return [flow];
	if (from === "frontend" && to === "catalog") flow.verdict = n === 0 ? "ERROR" : n % 2 ? "REDIRECTED" : "FORWARDED";
	return n % 3 || flow.verdict === "ERROR" ? [flow] : [flow, answer_to(flow)];
});
const ends = (flow) => [flow.source, flow.destination].map((end) => end.workloads?.[0].name);
const outcomes = {
	forwarded: ["FORWARDED", "REDIRECTED"],
	dropped: ["DROPPED", "ERROR"],
};
const counted = (has, outcome) => list.filter((f) => has(f) && outcomes[outcome].includes(f.verdict)).length;

let stage, browser, ui;
const open = (url, prepare) => open_in(browser, url, prepare);

before(async () => {
	stage = new Stage();
	const observer = await stage.observer("shop", json_lines(list), "--replay-keep-time");
	ui = await stage.ui(observer.address);
	browser = await stage.browser();
	await browser.grantPermissions(["clipboard-read", "clipboard-write"]);
});
after(async () => {
	await stage.close();
	assert.deepEqual(faults, []);
});

const card = (namespace, kind, name) => `workload||${namespace}|${kind}|${name}|`;
const at = (...keys) => `${ui.address}/#${keys.map((key) => `select=${encodeURIComponent(key)}`).join("&")}`;
const frontend = card("shop", "Deployment", "frontend");
const catalog = card("shop", "Deployment", "catalog");

// The numbers in the details that lead to flows, in their order.
const numbers = () =>
	[...document.querySelectorAll(".detail button[title='Only these flows']")]
		.map((e) => e.textContent.replace(/[✕, ]/g, ""))
		.flatMap((text, i) => (/^\d+$/.test(text) ? [[i, Number(text)]] : []));

// Flows that the map has: it comes a while after their number.
const on_map = () =>
	[...document.querySelectorAll("[data-line]")].reduce((n, e) => n + Number(/: (\d+) /.exec(e.textContent)[1]), 0);

const TRIED = 5; // numbers of a view
const views = [
	["a card that asks and is asked", [frontend], (f) => ends(f).includes("frontend")],
	["one that is asked, and asks outside", [card("payments", "StatefulSet", "gateway")], (f) => ends(f).includes("gateway")],
	["one that has drops", [card("payments", "StatefulSet", "ledger")], (f) => ends(f).includes("ledger")],
	["a line", [frontend, catalog], (f) => ends(f).includes("frontend") && ends(f).includes("catalog")],
];
for (const [name, keys, has] of views)
	test(`every count in the details of ${name} leads to as many flows, answers among them`, async () => {
		const page = await open(at(...keys));
		await becomes(page, on_map, list.length);
		const shown = await page.evaluate(numbers);
		for (const outcome of ["forwarded", "dropped"])
			if (counted(has, outcome))
				assert.ok(shown.some(([, n]) => n === counted(has, outcome)), `${counted(has, outcome)} ${outcome}: ${shown}`);
		const counts = new Map(shown.map(([i, n]) => [n, i])); // one of each
		for (const [n, i] of [...counts].slice(0, TRIED)) {
			await page.locator(".detail button[title='Only these flows']").nth(i).press("Enter");
			await becomes(page, fact, `${n} flows`, "flows");
			await becomes(page, row_count, n);
			await page.goBack();
			await becomes(page, fact, `${list.length} flows`, "flows");
			await becomes(page, numbers, shown);
		}
		await page.close();
	});

test("what is said of the whole view leads to its flows, and shows the table if it was hidden", async () => {
	const dropped = counted(() => true, "dropped");
	const page = await open(`${ui.address}/#hide=flows`);
	const table = page.getByRole("table", { name: "Flows, newest first" });
	const details = page.getByRole("complementary", { name: "Details" });
	await becomes(page, fact, `${list.length} flows`, "flows");
	assert.equal(await table.isVisible(), false);
	await details.getByRole("button", { name: `${list.length} flows` }).press("Enter");
	await table.waitFor();
	await becomes(page, row_count, list.length);
	await page.getByLabel("Coverage").getByRole("button", { name: `${dropped} dropped` }).click();
	await becomes(page, row_count, dropped);
	assert.equal(await page.getByRole("button", { name: "Dropped", exact: true }).getAttribute("aria-pressed"), "true");
	await page.getByRole("button", { name: "Clear the filter" }).click();
	await becomes(page, row_count, list.length);
	// Of what a filter leaves nothing of, what there is without it, as the record has it.
	await page.getByRole("img", { name: `: ${list.length} flows, ${dropped} of them dropped` }).waitFor();
	const filter = page.getByRole("combobox", { name: "Filter" });
	await filter.fill("from-namespace=nobody");
	await filter.press("Enter");
	await becomes(page, row_count, 0);
	const seen = page.getByRole("button", { name: `Traffic seen: ${list.length} flows.` });
	await seen.first().waitFor();
	assert.deepEqual(await violations(page), []);
	await seen.first().press("Enter");
	await becomes(page, health, "past");
	await becomes(page, row_count, list.length);
	await page.getByRole("button", { name: "Back to live" }).click();
	await becomes(page, row_count, list.length);
	// Of a flow, what it has in common with others.
	await page.locator(".row.dropped").first().click();
	await details.getByRole("button", { name: "POLICY_DENIED" }).press("Enter");
	await becomes(page, row_count, list.filter((f) => f.drop_reason_desc === "POLICY_DENIED").length);
	await page.setViewportSize({ width: 390, height: 844 });
	await page.getByRole("tab", { name: "Details" }).click();
	await details.getByRole("button", { name: /^\d+ dropped$/ }).click();
	assert.equal(await page.getByRole("tab", { name: "Flows" }).getAttribute("aria-selected"), "true");
	await page.close();
});

test("a reason without a name is shown by its number, and leads to its flows, of the record too", async () => {
	const drops = conversations.filter((c) => c[5] === "DROPPED");
	const reasons = [212, 212, 213, "POLICY_DENIED"];
	const list = drops.flatMap((c, i) =>
		reasons.map((drop_reason_desc, n) => {
			const time = new Date(start + (10 * i + n) * 1000);
			const kernel = drop_reason_desc === 213 && { tycho: { kernel_drop_reason: "FULL_MOON" } };
			return { ...flow_of(c, 10 * i + n, time), drop_reason_desc, ...kernel };
		}),
	);
	const observer = await stage.observer("numbered", json_lines(list), "--replay-keep-time");
	const numbered_ui = await stage.ui(observer.address);
	const range = `since=${iso(start)}&until=${iso(start + 30 * MINUTE_MS)}`;
	const of_212 = 2 * drops.length;
	for (const address of ["", range]) {
		const page = await open(`${numbered_ui.address}/#${address}`);
		const details = page.getByRole("complementary", { name: "Details" });
		await becomes(page, row_count, list.length);
		const why = () => [...document.querySelectorAll(".detail .peers:last-of-type li")].map((e) => [...e.children].map((c) => c.textContent.trim()).join(": "));
		await becomes(page, why, [`reason 212: ${of_212}`, `reason 213 FULL_MOON: ${drops.length}`, `POLICY_DENIED: ${drops.length}`]);
		await details.locator("li", { hasText: "reason 212" }).getByRole("button").press("Enter");
		await becomes(page, row_count, of_212);
		await becomes(page, () => [...new Set([...document.querySelectorAll(".row .why")].map((e) => e.textContent))], ["reason 212"]);
		assert.match(page.url(), /reason%3D212/);
		// So in a terminal.
		await page.evaluate(() => navigator.clipboard.writeText(""));
		await details.getByRole("button", { name: "Copy" }).press("Enter");
		const command = await (await page.waitForFunction(() => navigator.clipboard.readText())).jsonValue();
		assert.equal(stage.shell(`${command.replace("--follow", "--last 100")} -o json`).length, of_212);
		// And of a line's counts, and of one flow's fields.
		await page.goBack();
		await becomes(page, row_count, list.length);
		await details.getByRole("button", { name: /→/ }).first().press("Enter");
		await details.getByText("reason 213").locator("xpath=..").getByRole("button", { name: "1" }).press("Enter");
		await becomes(page, row_count, 1);
		await page.getByRole("button", { name: "Clear the filter" }).click();
		await becomes(page, row_count, list.length);
		await page.locator(".row", { hasText: "FULL_MOON (reason 213)" }).first().click();
		await details.getByRole("button", { name: "213", exact: true }).press("Enter");
		await becomes(page, row_count, drops.length);
		await page.close();
	}
	await numbered_ui.stop();
	await observer.stop();
});

test("the last line leads to what is known of each node, and to the times that are missing", async () => {
	const page = await open(ui.address);
	await becomes(page, row_count, list.length);
	const details = page.getByRole("complementary", { name: "Details" });
	await page.getByLabel("Coverage").getByRole("button", { name: "0 lost" }).press("Enter");
	await details.getByRole("heading", { name: "What is known" }).waitFor();
	await details.getByRole("button", { name: /^since / }).waitFor();
	for (const colorScheme of ["light", "dark"]) {
		await page.emulateMedia({ colorScheme });
		assert.deepEqual(await violations(page), [], colorScheme);
	}
	// The address has it.
	const other = await open(page.url());
	await other.getByRole("heading", { name: "What is known" }).waitFor();
	await other.getByRole("button", { name: "node-a" }).press("Enter");
	await becomes(other, row_count, list.length);
	assert.match(other.url(), /filter=node%3Dnode-a/);
	await other.close();
	await details.getByRole("button", { name: /^since / }).press("Enter");
	await becomes(page, health, "past");
	await becomes(page, fact, `${list.length} flows`, "flows");
	await page.close();
});

// A map that is folded: workloads in each of three namespaces, that ask each other and the next namespace within an hour, and
// the hour before it. (Rates of these are not halfway between two that are said.)
const WORKLOADS = 64;
const hours = { before: start - 30 * MINUTE_MS, now: start + 30 * MINUTE_MS };
const spaces = ["east", "mid", "west"];
const crowd = Object.keys(hours).flatMap((hour, which) =>
	spaces.flatMap((namespace, s) =>
		Array.from({ length: WORKLOADS }, (_, i) => {
			const end = (space, n) => ({
				...{ namespace: space, pod_name: `w${n}-0`, identity: 2000 + n },
				workloads: [{ name: `w${n}`, kind: "Deployment" }],
			});
			const flow = flow_of(["frontend", "catalog", 8080, "TCP", 1, "FORWARDED"], i, new Date(hours[hour] + (60 * s + i) * 1000));
			// The second half of "mid" asks twice in the later hour.
			const times = which && s === 1 && i >= WORKLOADS / 2 ? 2 : 1;
			const to = i % 2 ? spaces[(s + 1) % 3] : namespace;
			return Array.from({ length: times }, () => ({ ...flow, source: end(namespace, i), destination: end(to, (i + 1) % WORKLOADS) }));
		}).flat(),
	),
);
const of_space = (space, hour) =>
	crowd.filter(
		(f) =>
			[f.source.namespace, f.destination.namespace].includes(space) &&
			Math.floor((Date.parse(f.time) - hours.before) / (60 * MINUTE_MS)) === (hour === "now" ? 1 : 0),
	).length;
// As the details say it: flows a second, with two digits.
const a_second = (n) => String(Math.round((n / 3600) * 100) / 100);

test("a folded group has its rate and its flows in a past range, and in both ranges that are compared", async () => {
	const observer = await stage.observer("crowd", json_lines(crowd), "--replay-keep-time");
	const crowd_ui = await stage.ui(observer.address);
	const range = `since=${iso(hours.now)}&until=${iso(hours.now + 60 * MINUTE_MS)}`;
	const page = await open(`${crowd_ui.address}/#${range}&select=${encodeURIComponent("group|mid")}`);
	const details = page.getByRole("complementary", { name: "Details" });
	await details.getByRole("heading", { name: "mid" }).waitFor();
	await details.getByText(`${WORKLOADS} workloads, folded`).waitFor();
	const rate = (hour) => new RegExp(`${a_second(of_space("mid", hour)).replace(".", "\\.")} flows per second on average`);
	await details.getByRole("img", { name: rate("now") }).waitFor();
	// What stays within it counts, too; and so in a terminal.
	await becomes(page, row_count, of_space("mid", "now"));
	await page.evaluate(() => navigator.clipboard.writeText(""));
	await details.getByRole("button", { name: "Copy as command" }).press("Enter");
	const command = await page.waitForFunction(() => navigator.clipboard.readText());
	assert.equal(stage.shell(`${await command.jsonValue()} -o json`).length, of_space("mid", "now"));
	await page.getByRole("button", { name: "Compare" }).press("Enter");
	await details.getByRole("img", { name: new RegExp(`^Before: ${rate("before").source}`) }).waitFor();
	await details.getByRole("img", { name: new RegExp(`^Now: ${rate("now").source}`) }).waitFor();
	const [was, is] = [of_space("mid", "before"), of_space("mid", "now")];
	await details.getByText(`${was} → ${is}`).first().waitFor();
	for (const colorScheme of ["light", "dark"]) {
		await page.emulateMedia({ colorScheme });
		assert.deepEqual(await violations(page), [], colorScheme);
	}
	// What was before is looked at on its own.
	await details.getByRole("button", { name: String(was), exact: true }).first().press("Enter");
	await becomes(page, fact, `${was} flows`, "flows");
	assert.match(page.url(), new RegExp(`since=${encodeURIComponent(iso(hours.before).replace(".000Z", "Z"))}`));
	assert.doesNotMatch(page.url(), /against/);
	await page.goBack();
	await details.getByText(`${was} → ${is}`).first().waitFor();
	await page.close();
	await crowd_ui.stop();
	await observer.stop();
});
