// A module of the page that needs no browser, as the page is built: esbuild is what Vite compiles with.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { require, sources } from "./stage.mjs";

const folder = mkdtempSync(join(tmpdir(), "tycho-units-"));
process.once("exit", () => rmSync(folder, { recursive: true, force: true }));

export async function load(name) {
	const outfile = join(folder, `${name}.mjs`);
	await require("esbuild").build({
		...{ bundle: true, format: "esm", platform: "node", logLevel: "error" },
		entryPoints: [join(sources, `${name}.ts`)],
		outfile,
		absWorkingDir: sources,
	});
	return import(pathToFileURL(outfile));
}
