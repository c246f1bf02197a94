// pictures URL FOLDER: what the page at URL looks like, into FOLDER, in both schemes. docs/images is made from the demo:
//
//	sudo make demo && sleep 300 && node tests/web/pictures.mjs http://127.0.0.1:12000 docs/images
import { join } from "node:path";
import { Stage } from "./stage.mjs";

const [url, folder, only = ""] = process.argv.slice(2);
if (!folder) {
	console.error("usage: pictures.mjs URL FOLDER [PART OF A NAME]");
	process.exit(1);
}
const SETTLED_MS = 2500; // cards have glided to their places, rates are known

const wide = { width: 1280, height: 800 };
const phone = { width: 390, height: 844 };
const shots = [
	{ name: "page", size: wide },
	{ name: "page-large", size: { width: 1920, height: 1080 } },
	{ name: "dropped", size: wide, hash: "#filter=verdict%3DDROPPED" },
	{ name: "details", size: wide, act: (page) => page.locator(".row.dropped").first().click() },
	{
		name: "compare",
		size: wide,
		act: async (page) => {
			await page.getByRole("button", { name: "Compare" }).click();
			await page.getByText("Reading both ranges").first().waitFor({ state: "hidden" });
		},
	},
	{ name: "phone", size: phone },
	{ name: "phone-flows", size: phone, act: (page) => page.getByRole("tab", { name: "Flows" }).click() },
	{ name: "phone-details", size: phone, act: (page) => page.getByRole("tab", { name: "Details" }).click() },
];

const stage = new Stage();
try {
	const browser = await stage.browser();
	for (const { name, size, hash = "", act } of shots.filter((s) => s.name.includes(only)))
		for (const scheme of ["light", "dark"]) {
			const page = await browser.newPage();
			await page.emulateMedia({ colorScheme: scheme, reducedMotion: "reduce" });
			await page.setViewportSize(size);
			await page.goto(`${url}/${hash}`);
			await page.locator("[role=table] .row, .empty").first().waitFor({ state: "attached" });
			await page.waitForTimeout(SETTLED_MS);
			await act?.(page);
			await page.waitForTimeout(SETTLED_MS / 5);
			await page.screenshot({ path: join(folder, `${name}-${scheme}.png`) });
			await page.close();
		}
} finally {
	await stage.close();
}
