// The filter line: what its words ask for, and the commands that show the same.
import assert from "node:assert/strict";
import { test } from "node:test";
import { load } from "./load.mjs";

const filter = await load("filter");

const ask = (line) => {
	const parsed = filter.parse_line(line);
	assert.ok(parsed.ok, parsed.reason);
	const { ok, allow, deny, reason } = filter.filters_of(parsed.terms);
	assert.ok(ok, reason);
	return { allow, deny };
};

test("words of one name are alternatives, different names hold together", () => {
	assert.deepEqual(ask(""), { allow: [], deny: [] });
	assert.deepEqual(ask("verdict=dropped verdict=AUDIT to-port=443"), {
		allow: [{ verdict: ["DROPPED", "AUDIT"], destination_port: ["443"] }],
		deny: [],
	});
});

test("a word about either side is two filters, and two such words are four", () => {
	assert.deepEqual(ask("port=53").allow, [{ source_port: ["53"] }, { destination_port: ["53"] }]);
	assert.equal(ask("port=53 ip=10.0.0.0/8").allow.length, 4);
	assert.deepEqual(ask("port=53 port=443").allow, [
		{ source_port: ["53", "443"] },
		{ destination_port: ["53", "443"] },
	]);
});

test("what stands after not is denied", () => {
	assert.deepEqual(ask("not protocol=udp not to-dns=*.example.com"), {
		allow: [],
		deny: [{ protocol: ["udp"] }, { destination_fqdn: ["*.example.com"] }],
	});
});

test("a namespace and a name in any namespace are that name in the namespace", () => {
	assert.deepEqual(ask("from-namespace=shop from-pod=/web").allow, [{ source_pod: ["shop/web"] }]);
	const both = filter.filters_of(filter.parse_line("from-pod=shop/web pod=/db").terms);
	assert.equal(both.ok, false);
});

test("words without a name are taken for what they look like", () => {
	const names = {
		dropped: "verdict",
		TCP: "protocol",
		443: "port",
		"10.0.0.1": "ip",
		"2001:db8::/32": "ip",
		"*.a.example": "dns",
		"shop/": "pod",
		web: "pod",
	};
	for (const [word, name] of Object.entries(names))
		assert.equal(filter.parse_line(word).terms[0].name, name, word);
});

test("a cluster is either side's, or the side's that is named", () => {
	assert.deepEqual(ask("cluster=east").allow, [
		{ source_cluster_name: ["east"] },
		{ destination_cluster_name: ["east"] },
	]);
	assert.deepEqual(ask("from-cluster=east to-cluster=west").allow, [
		{ source_cluster_name: ["east"], destination_cluster_name: ["west"] },
	]);
});

test("a line is narrowed to some flows: what it asked of the same sides is replaced, all else stays", () => {
	const terms = ["from-namespace=shop", "from-workload=web"];
	const narrowed = (line) => filter.narrowed(line, terms);
	assert.equal(narrowed(""), "from-namespace=shop from-workload=web");
	assert.equal(narrowed("from-ip=10.0.0.1 port=53"), "port=53 from-namespace=shop from-workload=web");
	assert.equal(narrowed("to-port=53 not ip=::1"), "to-port=53 not ip=::1 from-namespace=shop from-workload=web");
	// What is asked of either side, and cannot be asked together with them.
	assert.equal(
		narrowed("verdict=DROPPED namespace=pay"),
		"verdict=DROPPED from-namespace=shop from-workload=web",
	);
});

test("what is no filter is refused with a reason", () => {
	for (const line of ["bogus=1", "port=", "not", "identity=x"]) {
		const parsed = filter.parse_line(line);
		assert.equal(parsed.ok, false, line);
		assert.ok(parsed.reason.length > 5);
	}
});

test("a line is the command that shows the same, with quotes where a shell needs them", () => {
	assert.equal(
		filter.command_of("to-dns=*.example.com not port=53", "localhost:4245"),
		"tycho observe --server localhost:4245 --follow --to-fqdn '*.example.com' --not --port 53",
	);
	assert.equal(
		filter.command_of("pod=a'b", "x"),
		"tycho observe --server x --follow --pod 'a'\\''b'",
	);
});

test("a flow is a command with its time, ends and ports, quoted for a shell", () => {
	const flow = {
		time: "2026-01-01T00:00:00.000000001Z",
		verdict: "DROPPED",
		IP: { source: "10.0.0.1", destination: "2001:db8::1" },
		l4: { TCP: { source_port: 40000, destination_port: 443 } },
		source: { namespace: "shop", pod_name: "it's-0" },
		destination: { identity: 2 },
	};
	assert.equal(
		filter.flow_command(flow, "localhost:4245"),
		"tycho observe --server localhost:4245 --since 2026-01-01T00:00:00.000000001Z --until 2026-01-01T00:00:00.000000001Z" +
			" --from-pod 'shop/it'\\''s-0' --to-ip 2001:db8::1 --protocol tcp --from-port 40000 --to-port 443 --verdict DROPPED",
	);
	// What is not known, or newer than the page, is not asked for.
	assert.equal(
		filter.flow_command({ verdict: 99, l4: { ICMPv6: {} }, uuid: "a b" }, "x"),
		"tycho observe --server x --protocol icmpv6 --uuid 'a b'",
	);
});
