// What the page's server gives to whom, and with which headers.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { HASH, request } from "./request.mjs";
import { Stage } from "./stage.mjs";

let stage, observer, ui;

before(async () => {
	stage = new Stage();
	observer = await stage.observer("empty", "");
	ui = await stage.ui(observer.address);
});
after(() => stage.close());

test("other names and other sites are turned away", async () => {
	const { host } = new URL(ui.address);
	assert.equal((await request(ui.address, "/", { host: "evil.example" })).status, 403);
	assert.equal(
		(await request(ui.address, "/", { host: `localhost:${new URL(ui.address).port}` })).status,
		200,
	);
	assert.equal((await request(ui.address, "/", { host }, "POST")).status, 405);
	assert.equal((await request(ui.address, "/../etc/passwd", { host })).status, 404);
	const upgrade = (origin, more = {}) => ({
		host,
		...(origin ? { origin } : {}),
		connection: "Upgrade",
		upgrade: "websocket",
		"sec-websocket-version": "13",
		"sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==",
		"sec-websocket-protocol": "tycho-ui.v1",
		...more,
	});
	assert.equal((await request(ui.address, "/live", upgrade(`http://${host}`))).status, 101);
	for (const origin of ["http://evil.example", `https://${host}`, "null", null])
		assert.notEqual((await request(ui.address, "/live", upgrade(origin))).status, 101);
	assert.notEqual(
		(await request(ui.address, "/live", upgrade("http://evil.example", { host: "evil.example" }))).status,
		101,
	);
	assert.notEqual((await request(ui.address, "/elsewhere", upgrade(`http://${host}`))).status, 101);
});

test("the page comes compressed, is asked for once, and may use nothing but itself", async () => {
	const { host } = new URL(ui.address);
	const first = await request(ui.address, "/page.js", { host, "accept-encoding": "gzip, br" });
	assert.equal(first.headers["content-encoding"], "gzip");
	assert.equal(
		(
			await request(ui.address, "/page.js", {
				host,
				"accept-encoding": "gzip",
				"if-none-match": first.headers.etag,
			})
		).status,
		304,
	);
	assert.equal((await request(ui.address, "/page.js", { host })).headers["content-encoding"], undefined);
	const policy = (await request(ui.address, "/", { host })).headers["content-security-policy"];
	for (const rule of [
		"default-src 'none'",
		"script-src 'self'",
		"style-src 'self'",
		"frame-ancestors 'none'",
	])
		assert.ok(policy.split("; ").includes(rule), rule);
	assert.doesNotMatch(policy, /unsafe|\*|https?:/);
});

test("without a session there are the login page and its looks, and nothing else", async () => {
	const users = stage.file("users", `alice:${HASH}\n`);
	const ui = await stage.ui(observer.address, "127.0.0.1:0", "--login-file", users);
	const { host } = new URL(ui.address);
	const get = (path, more = {}) => request(ui.address, path, { host, ...more });
	for (const path of ["/login", "/page.css", "/icon.svg"])
		assert.equal((await get(path)).status, 200, path);
	for (const path of ["/", "/page.js", "/licenses.txt", "/live", "/elsewhere"]) {
		const { status, headers } = await get(path, { cookie: "tycho-ui=x" });
		assert.deepEqual([status, headers.location], [303, "/login"], path);
	}
	const socket = {
		...{ origin: ui.address, connection: "Upgrade", upgrade: "websocket" },
		...{ "sec-websocket-version": "13", "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==" },
		"sec-websocket-protocol": "tycho-ui.v1",
	};
	assert.notEqual((await get("/live", socket)).status, 101);

	const post = (body, more = {}, path = "/login") =>
		request(
			ui.address,
			path,
			{ host, origin: ui.address, "content-length": String(body.length), ...more },
			"POST",
			body,
		);
	const right = "name=alice&password=secret";
	assert.equal((await post(right, { origin: "http://evil.example" })).status, 403);
	assert.equal((await post("name=alice&password=s%65cre")).status, 403);
	assert.equal((await post("password=secret")).status, 403);
	assert.equal((await post("x".repeat(2049))).status, 413);
	assert.equal((await post("")).status, 413);
	const { status, headers } = await post(right);
	assert.deepEqual([status, headers.location], [303, "/"]);
	const [set] = headers["set-cookie"];
	assert.match(set, /^tycho-ui-\d+=[0-9a-f]{64}; Path=\/; HttpOnly; SameSite=Strict$/);
	const cookie = set.split(";")[0];
	assert.equal((await get("/", { cookie })).status, 200);
	assert.equal((await get("/live", { ...socket, cookie })).status, 101);
	assert.equal((await post("", { cookie, origin: "null" }, "/logout")).status, 403);
	assert.equal((await get("/", { cookie })).status, 200);
	assert.equal((await post("", { cookie }, "/logout")).status, 303);
	assert.equal((await get("/", { cookie })).status, 303);
	await ui.stop();
});
