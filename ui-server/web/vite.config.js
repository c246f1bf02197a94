// The page as five files with fixed names, each also compressed, for ui-server/asset.c to serve.
import { readFileSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { defineConfig } from "vite";

// What others wrote and page.js contains; their licences ask to be named.
const bundled = ["@dagrejs/dagre", "@dagrejs/graphlib", "cytoscape", "preact"];

function licenses() {
	return bundled
		.map((name) => {
			const folder = join("node_modules", name);
			const { version } = JSON.parse(readFileSync(join(folder, "package.json"), "utf8"));
			const file = readdirSync(folder).find((f) => /^licen[cs]e/i.test(f));
			return `${name} ${version}\n\n${readFileSync(join(folder, file), "utf8").trim()}\n`;
		})
		.join(`\n${"-".repeat(72)}\n\n`);
}

function finish(folder) {
	writeFileSync(join(folder, "licenses.txt"), licenses());
	for (const file of ["index.html", "login.html", "page.js", "page.css", "icon.svg", "licenses.txt"])
		writeFileSync(
			join(folder, `${file}.gz`),
			gzipSync(readFileSync(join(folder, file)), { level: 9 }),
		);
}

let folder = "";

export default defineConfig({
	base: "/",
	esbuild: { jsx: "automatic", jsxImportSource: "preact", legalComments: "none" },
	build: {
		target: "es2022",
		emptyOutDir: false,
		modulePreload: false,
		assetsInlineLimit: 0,
		chunkSizeWarningLimit: 2000,
		rollupOptions: {
			output: {
				inlineDynamicImports: true,
				entryFileNames: "page.js",
				assetFileNames: "page[extname]",
			},
		},
	},
	plugins: [
		{
			name: "finish",
			configResolved: (config) => void (folder = config.build.outDir),
			closeBundle: () => finish(folder),
		},
	],
});
