// How the tests of the page look at it: a page of the stage's browser, what it says, and what was wrong with it.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test as node_test } from "node:test";
import { require } from "./stage.mjs";

// For the slowest of machines: on two cores with fifty at work a step has taken eight seconds.
const WAIT_MS = 60_000;
// One that hangs fails, and the others go on.
export const test = (name, body) => node_test(name, { timeout: 3 * WAIT_MS }, body);
export const faults = []; // of any page: console errors, exceptions, calls to elsewhere

export async function open(browser, url, prepare = () => {}) {
	const page = await browser.newPage();
	await prepare(page);
	page.setDefaultTimeout(WAIT_MS);
	page.on("pageerror", (e) => faults.push(String(e)));
	// Chromium says itself that a socket was refused, which is what some tests are about, and that pixels were read.
	page.on("console", (m) => {
		if (
			["error", "warning"].includes(m.type()) &&
			!/ERR_CONNECTION|WebSocket connection|willReadFrequently|status of 403/.test(m.text())
		)
			faults.push(m.text());
	});
	page.on("request", (r) => {
		if (!r.url().startsWith(new URL(url).origin) && !r.url().startsWith("data:"))
			faults.push(`asks ${r.url()}`);
	});
	await page.goto(url);
	return page;
}

const axe = readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");

// What is hard to read or to reach; asked through the debugger, for the page's own policy lets nobody add a script.
export async function violations(page) {
	const session = await page.context().newCDPSession(page);
	await session.send("Runtime.evaluate", { expression: axe });
	const { result } = await session.send("Runtime.evaluate", {
		expression:
			"axe.run().then(r => JSON.stringify(r.violations.map(v => [v.id, v.nodes.map(n => n.html.slice(0, 120) + ' ' + n.failureSummary)])))",
		awaitPromise: true,
	});
	return JSON.parse(result.value);
}

// Waits until @read of the page gives @expected; says what it gave instead.
export async function becomes(page, read, expected, argument) {
	const end = Date.now() + WAIT_MS;
	let value;
	do {
		value = await page.evaluate(read, argument);
		try {
			assert.deepEqual(value, expected);
			return;
		} catch {
			await page.evaluate(() => new Promise(requestAnimationFrame));
		}
	} while (Date.now() < end);
	assert.deepEqual(value, expected);
}

export const map_lines = () =>
	[...document.querySelectorAll("[data-line]")].map((e) => e.textContent).sort();
export const row_count = () =>
	Number(document.querySelector("[role=table]")?.getAttribute("aria-rowcount"));
export const fact = (name) => document.querySelector(`[data-fact=${name}]`)?.textContent ?? "";
export const health = () => document.querySelector(".page")?.dataset.state;
export const pixels = ([r, g, b]) => {
	let n = 0;
	for (const canvas of document.querySelectorAll(".canvas canvas")) {
		const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
		for (let i = 0; i < data.length; i += 4)
			if (data[i] === r && data[i + 1] === g && data[i + 2] === b) n++;
	}
	return n > 20;
};

