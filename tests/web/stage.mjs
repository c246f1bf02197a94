// What the tests of the page play on: an observer that replays recorded traffic, tycho-ui, and Chromium. Everything listens
// where the system says or in a folder of its own; everything that was started is ended.
import { execFileSync, spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";

const WEB = new URL("../../ui-server/web/", import.meta.url);
export const require = createRequire(new URL("package.json", WEB)); // the page's packages
export const sources = new URL("src/", WEB).pathname;
const BIN = join(process.env.TYCHO_BUILD ?? "build", "bin");
const CHROMIUM = process.env.CHROMIUM ?? "/usr/bin/chromium";
const FLAGS = [
	"--headless",
	"--no-sandbox",
	"--disable-gpu",
	"--disable-quic",
	"--no-first-run",
	"--disable-background-networking",
	"--disable-component-update",
	"--disable-sync",
];

const { chromium } = require("playwright-core");

export class Stage {
	folder = mkdtempSync(join(tmpdir(), "tycho-web-"));
	#running = new Set();

	file(name, text) {
		const path = join(this.folder, name);
		writeFileSync(path, text);
		return path;
	}

	// A certificate for 127.0.0.1, and its key.
	certificate() {
		const [cert, key] = [join(this.folder, "cert.pem"), join(this.folder, "key.pem")];
		execFileSync(
			"openssl",
			[
				...["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"],
				...["-subj", "/CN=tycho", "-addext", "subjectAltName=IP:127.0.0.1", "-days", "2"],
				...["-keyout", key, "-out", cert],
			],
			{ stdio: "ignore" },
		);
		return { cert, key };
	}

	// Starts a program and waits for its line "ready ADDRESS".
	#start(program, args) {
		const child = spawn(join(BIN, program), [...args, "--ready-fd", "3", "--log-level", "error"], {
			stdio: ["ignore", "inherit", "inherit", "pipe"],
		});
		const ended = new Promise((resolve) =>
			child.once("exit", (code, signal) => resolve({ code, signal })),
		);
		const stop = async () => {
			this.#running.delete(stop);
			child.kill("SIGTERM");
			return ended;
		};
		this.#running.add(stop);
		return new Promise((resolve, reject) => {
			let said = "";
			child.once("error", reject);
			void ended.then(({ code }) => reject(new Error(`${program} ended early with ${code}`)));
			child.stdio[3].on("data", (bytes) => {
				said += bytes;
				const line = /^ready (\S+)/.exec(said);
				if (said.includes("\n") && line) resolve({ address: line[1], stop });
			});
		});
	}

	observer(name, flows, ...more) {
		const path = this.file(`${name}.jsonl`, flows);
		return this.#start("tycho-observer", [
			...["--no-bpf", "--replay", path, "--listen", `unix://${this.folder}/${name}.sock`],
			...["--state-dir", join(this.folder, `${name}.state`), "--node-name", "node-a", ...more],
		]);
	}

	ui(server, listen = "127.0.0.1:0", ...more) {
		return this.#start("tycho-ui", ["--server", server, "--listen", listen, ...more]);
	}

	// The JSON lines that a command prints, with our programs before all others.
	shell(command) {
		const env = { ...process.env, PATH: `${BIN}:${process.env.PATH}` };
		const text = execFileSync("/bin/sh", ["-c", command], { env, encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] });
		return text.split("\n").filter(Boolean).map((line) => JSON.parse(line));
	}

	async browser() {
		const context = await chromium.launchPersistentContext(join(this.folder, "profile"), {
			executablePath: CHROMIUM,
			args: FLAGS,
			ignoreHTTPSErrors: true, // certificates of the stage are signed by nobody
			viewport: { width: 1280, height: 800 },
			colorScheme: "light",
		});
		const stop = () => context.close();
		this.#running.add(stop);
		return context;
	}

	async close() {
		for (const stop of [...this.#running].reverse()) await stop();
		rmSync(this.folder, { recursive: true, force: true });
	}
}
