// The page in headless Chromium before a busy cluster (ui_sim.c): 500 workloads, 5,000 edges, 5,000 flows a second. Frames while
// panning and zooming, the lag, and how the heap grows over a run: TYCHO_BENCH_PAGE_S seconds, 60 if it is not set.
import { spawn } from "node:child_process";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { Stage } from "../web/stage.mjs";

const BIN = join(process.env.TYCHO_BUILD ?? "build", "bin");
const RUN_S = Number(process.env.TYCHO_BENCH_PAGE_S ?? 60);
const [WORKLOADS, EDGES, RATE] = [500, 5000, 5000];
const [PAN_S, SAMPLE_S, WAIT_MS] = [8, 5, 120_000];
const SPEED = 0.4; // px a ms, of the hand that drags
const MIB = 1 << 20;

const figure = (what, measured, unit, bound = "-", budget = "-") =>
	console.log(["figure", what, Number(measured.toPrecision(6)), unit, bound, budget].join("\t"));
const sorted = (list) => [...list].sort((a, b) => a - b);
const median = (list) => sorted(list)[list.length >> 1];

// The browser is a session of its own, so that the priority of the run (tests/bench/run) is not its own, too.
function first_in_line(part_of_command) {
	for (const pid of readdirSync("/proc").filter(Number))
		try {
			if (!readFileSync(`/proc/${pid}/cmdline`, "utf8").includes(part_of_command)) continue;
			writeFileSync(`/proc/${pid}/autogroup`, readFileSync("/proc/self/autogroup", "utf8").trim().split(" ").pop());
		} catch {
			// gone, or not ours to say
		}
}

function simulator() {
	const child = spawn(join(BIN, "ui_sim"), [WORKLOADS, EDGES, RATE, "batched"].map(String), {
		stdio: ["pipe", "pipe", "inherit"],
	});
	return new Promise((resolve, reject) => {
		child.once("exit", () => reject(new Error("ui_sim ended")));
		createInterface(child.stdout).once("line", (line) =>
			resolve({ address: line.split(" ")[1], stop: () => child.stdin.end() }),
		);
	});
}

// Frames that the browser gives while @act goes on, and new pictures of all lines in them.
async function frames(page, act) {
	await page.evaluate(() => {
		const seen = (window.seen = { times: [], pictures: 0 });
		// A new picture takes the place of the last.
		seen.watching = new MutationObserver((list) => (seen.pictures += list.length));
		seen.watching.observe(document.querySelector(".lines"), { childList: true });
		const step = (time) => {
			seen.times.push(time);
			seen.next = requestAnimationFrame(step);
		};
		seen.next = requestAnimationFrame(step);
	});
	await act();
	return page.evaluate(() => {
		const { times, pictures, watching, next } = window.seen;
		cancelAnimationFrame(next);
		watching.disconnect();
		const spans = times.slice(1).map((t, i) => t - times[i]);
		const seconds = (times.at(-1) - times[0]) / 1000;
		return { frames: spans.length / seconds, pictures: pictures / seconds, spans };
	});
}

const viewport = (page) =>
	page.evaluate(() => {
		const { cy } = document.querySelector(".canvas")._cyreg;
		return { x: cy.pan().x, zoom: cy.zoom() };
	});

// Drags the map to and fro, as far as the pane is wide: farther than the picture of its lines reaches.
async function pan(page) {
	const box = await page.locator(".canvas").boundingBox();
	const [x, y] = [box.x + box.width - 20, box.y + 0.73 * box.height];
	const reach = box.width - 40;
	const before = await viewport(page);
	let furthest = 0;
	const result = await frames(page, async () => {
		await page.mouse.move(x, y);
		await page.mouse.down();
		const start = performance.now();
		for (let i = 1; performance.now() - start < PAN_S * 1000; i++) {
			const along = ((performance.now() - start) * SPEED) % (2 * reach);
			await page.mouse.move(x - Math.min(along, 2 * reach - along), y + (i % 7));
			if (i % 5 === 3) furthest = Math.max(furthest, Math.abs((await viewport(page)).x - before.x));
		}
		await page.mouse.up();
	});
	if (furthest < reach / 4) throw new Error(`the map moves ${furthest} px with the mouse's ${reach}`);
	return result;
}

// The wheel, from all of the map to four times as near and back.
async function zoom(page) {
	const box = await page.locator(".canvas").boundingBox();
	let [least, most] = [Infinity, 0];
	const result = await frames(page, async () => {
		await page.mouse.move(box.x + box.width / 2, box.y + box.height / 2);
		const start = performance.now();
		for (let i = 0; performance.now() - start < PAN_S * 1000; i++) {
			const now = await viewport(page);
			[least, most] = [Math.min(least, now.zoom), Math.max(most, now.zoom)];
			await page.mouse.wheel(0, Math.floor((performance.now() - start) / 1000) % 2 ? 40 : -40);
		}
	});
	if (most < 1.5 * least) throw new Error(`the wheel takes the map from ${least} to ${most} only`);
	return result;
}

function tell(what, { frames, pictures, spans }) {
	figure(what, frames, "/s", "at least", 30);
	figure("the same: 95 of 100 frames within", sorted(spans)[Math.floor(spans.length * 0.95)], "ms");
	figure("the same: the longest", Math.max(...spans), "ms");
	figure("the same: new pictures of all lines", pictures, "/s");
}

const graph = (page) =>
	page.evaluate(() => {
		const cy = document.querySelector(".canvas")._cyreg.cy;
		const said = document.querySelector(".canvas").getAttribute("aria-label");
		return { nodes: cy.nodes(".card").length, lines: Number(/(\d+) lines/.exec(said)[1]) };
	});

const fact = (page, name) =>
	page.evaluate((f) => document.querySelector(`[data-fact=${f}]`)?.textContent ?? "", name);

async function heap(session) {
	await session.send("HeapProfiler.collectGarbage");
	return (await session.send("Runtime.getHeapUsage")).usedSize / MIB;
}

const stage = new Stage();
const sim = await simulator();
try {
	const ui = await stage.ui(sim.address);
	const browser = await stage.browser();
	first_in_line(stage.folder);
	const page = await browser.newPage();
	page.setDefaultTimeout(WAIT_MS);
	const session = await browser.newCDPSession(page);
	await session.send("HeapProfiler.enable");
	const began = performance.now();
	await page.goto(ui.address);
	await page.waitForFunction(() => document.querySelector(".canvas")?._cyreg?.cy.nodes(".card").length >= 25);
	figure(`${WORKLOADS} workloads, ${EDGES} edges: to the map, folded by namespace`, (performance.now() - began) / 1000, "s");
	// all edges are there, and the map has come to rest
	await page.waitForFunction(
		(n) => Number(document.querySelector("[data-fact=flows]").textContent.replace(/\D/g, "")) > n,
		2 * EDGES,
	);
	await page.waitForTimeout(2000);
	const folded = await graph(page);
	tell(`folded, ${folded.nodes} cards, ${folded.lines} lines: frames while panning`, await pan(page));

	const unfolding = performance.now();
	await page.evaluate(() => {
		const cy = document.querySelector(".canvas")._cyreg.cy;
		cy.nodes(".card").forEach((n) => n.emit("tap"));
	});
	await page.waitForFunction((n) => document.querySelector(`.lines canvas[data-lines="${n}"]`), EDGES);
	figure("all unfolded, laid out and drawn after", (performance.now() - unfolding) / 1000, "s");
	await page.getByRole("button", { name: "All of it" }).click();
	await page.waitForTimeout(2000);
	const open = await graph(page);
	tell(`all shown, ${open.nodes} cards, ${open.lines} lines: frames while panning`, await pan(page));
	tell("all shown: frames while zooming", await zoom(page));

	const sizes = [];
	const start = performance.now();
	const end = start + RUN_S * 1000;
	let lag = 0;
	for (let i = 0; performance.now() < end || sizes.length < 4; i++) {
		await page.waitForTimeout(SAMPLE_S * 1000); // this is no test
		sizes.push(await heap(session));
		const [, number, unit] = /([\d.]+) ?(ms|s)/.exec(await fact(page, "lag")) ?? [0, 0, "ms"];
		lag = Math.max(lag, unit === "s" ? number * 1000 : Number(number));
	}
	const quarter = Math.max(1, sizes.length >> 2);
	const [first, last] = [median(sizes.slice(0, quarter)), median(sizes.slice(-quarter))];
	figure(`heap after ${((performance.now() - start) / 60_000).toFixed(1)} min of ${RATE} flows/s`, last, "MiB");
	figure("the same: grown since its first quarter", last - first, "MiB", "at most", 4);
	figure("the same: flows to page, the most seen", lag, "ms");
	console.error(`left out: ${await fact(page, "left-out")}, flows: ${await fact(page, "flows")}`);
} finally {
	await stage.close();
	sim.stop();
}
