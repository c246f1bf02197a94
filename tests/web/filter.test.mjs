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
	assert.deepEqual(ask("namespace=shop from-pod=pay/web-1 from-namespace=pay").allow, [
		{ source_pod: ["pay/web-1"], destination_pod: ["shop/"] },
	]);
	// Nobody is both, of one side; of the other one may be.
	assert.deepEqual(ask("from-pod=shop/web pod=/db").allow, [{ source_pod: ["shop/web"], destination_pod: ["/db"] }]);
	const both = filter.filters_of(filter.parse_line("from-pod=shop/web from-namespace=pay").terms);
	assert.match(both.reason, /rules out/);
	// The same of what a flow has one of; of what it may have several of, or of ranges, it cannot be asked.
	assert.deepEqual(ask("workload=web from-workload=Deployment/web to-workload=db").allow, [
		{ source_workload: [{ name: "web", kind: "Deployment" }], destination_workload: [{ name: "db" }] },
	]);
	assert.deepEqual(ask("port=53 to-port=80").allow, [{ source_port: ["53"], destination_port: ["80"] }]);
	assert.deepEqual(ask("ip=10.0.0.1 from-ip=::1").allow, [{ destination_ip: ["10.0.0.1"], source_ip: ["::1"] }]);
	assert.deepEqual(ask("identity=7 identity=8 to-identity=8").allow, [
		{ source_identity: [7, 8], destination_identity: [8] },
		{ destination_identity: [8] },
	]);
	for (const line of ["ip=10.0.0.0/8 from-ip=10.0.0.1", "dns=a.example from-dns=b.example", "label=a from-label=b"])
		assert.match(filter.filters_of(filter.parse_line(line).terms).reason, /asks again/, line);
});

test("a drop's reason is asked for by name or number, in a terminal too, whose flag takes names only", () => {
	assert.deepEqual(ask("reason=policy_denied reason=212").allow, [{ drop_reason_desc: ["POLICY_DENIED", 212] }]);
	const command = "tycho observe --server s:1 --follow";
	assert.equal(filter.command_of("reason=POLICY_DENIED", "s:1"), `${command} --drop-reason-desc POLICY_DENIED`);
	assert.equal(filter.command_of("reason=212", "s:1"), `${command} --allowlist '{"drop_reason_desc":[212]}'`);
	assert.equal(filter.command_of("not reason=212", "s:1"), `${command} --denylist '{"drop_reason_desc":[212]}'`);
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

test("a line is narrowed to some of its flows: what it asked stays, unless both cannot be asked at once", () => {
	const terms = ["from-namespace=shop", "from-workload=web"];
	const narrowed = (line) => filter.narrowed(line, [terms]);
	assert.equal(narrowed(""), "from-namespace=shop from-workload=web");
	assert.equal(narrowed("from-ip=10.0.0.1 port=53"), "from-ip=10.0.0.1 port=53 from-namespace=shop from-workload=web");
	assert.equal(narrowed("to-port=53 not ip=::1"), "to-port=53 not ip=::1 from-namespace=shop from-workload=web");
	assert.equal(narrowed("namespace=pay"), "namespace=pay from-namespace=shop from-workload=web"); // who was asked is in pay
	assert.equal(narrowed("namespace=shop verdict=DROPPED"), "verdict=DROPPED from-namespace=shop from-workload=web");
	// Words of one name are alternatives: those remain that both ask for; a flow that is none of them is none of the line.
	const verdicts = (line, ...of) => filter.narrowed(line, [of.map((v) => `verdict=${v}`)]);
	assert.equal(verdicts("verdict=DROPPED", "DROPPED", "ERROR"), "verdict=DROPPED");
	assert.equal(verdicts("verdict=DROPPED verdict=AUDIT", "DROPPED"), "verdict=DROPPED");
	assert.equal(verdicts("verdict=FORWARDED", "DROPPED"), "verdict=DROPPED");
	// A peer's numbers are of its flows with whom the line is about.
	assert.equal(
		filter.narrowed("workload=web", [["from-workload=Deployment/db"], ["to-workload=Deployment/db"]]),
		"workload=web from-workload=Deployment/db or workload=web to-workload=Deployment/db",
	);
	// Not both at once can be asked: two addresses of one side.
	assert.equal(filter.narrowed("verdict=DROPPED ip=10.0.0.0/8", [["from-ip=10.0.0.1"]]), "verdict=DROPPED from-ip=10.0.0.1");
	assert.equal(filter.narrowed("from-ip=10.0.0.0/8", [["from-ip=10.0.0.1"], ["to-ip=10.0.0.1"]]), [
		...["from-ip=10.0.0.1", "or", "from-ip=10.0.0.0/8 to-ip=10.0.0.1"],
	].join(" "));
});

test("or is between alternatives of several words, each with all else that the line asks", () => {
	assert.deepEqual(ask("from-pod=a/ to-port=80 or to-pod=a/ from-port=80 OR verdict=DROPPED"), {
		allow: [
			{ source_pod: ["a/"], destination_port: ["80"] },
			{ destination_pod: ["a/"], source_port: ["80"] },
			{ verdict: ["DROPPED"] },
		],
		deny: [],
	});
	// What is denied is denied everywhere; what asks for nothing lets all through.
	const deny = [{ protocol: ["udp"] }];
	assert.deepEqual(ask("to-port=80 not protocol=udp or not protocol=udp from-port=80"), {
		...{ allow: [{ destination_port: ["80"] }, { source_port: ["80"] }], deny },
	});
	assert.deepEqual(ask("to-port=80 not protocol=udp or not protocol=udp"), { allow: [], deny });
	const only_once = filter.parse_line("to-port=80 not protocol=udp or from-port=80");
	assert.match(filter.filters_of(only_once.terms).reason, /each of the alternatives/);
	for (const line of ["or", "or port=1", "port=1 or", "port=1 or or port=2", "port=1 not or port=2"])
		assert.match(filter.parse_line(line).reason, /needs a filter/, line);
	assert.equal(filter.line_of(filter.parse_line("port=1 or not port=2 tcp").terms), "port=1 or not port=2 protocol=tcp");

	const sides = [["from-namespace=shop"], ["to-namespace=shop"]];
	assert.equal(
		filter.narrowed("verdict=DROPPED", sides),
		"verdict=DROPPED from-namespace=shop or verdict=DROPPED to-namespace=shop",
	);
	// Of its own flows, all; of another's, those with it.
	const own = "from-namespace=shop or to-namespace=shop";
	assert.equal(filter.narrowed(own, sides), own);
	const others = [["from-namespace=pay"], ["to-namespace=pay"]];
	assert.equal(
		filter.narrowed(own, others),
		"from-namespace=shop to-namespace=pay or to-namespace=shop from-namespace=pay",
	);
	assert.equal(filter.with_values(own, "verdict", ["AUDIT"]), "from-namespace=shop verdict=AUDIT or to-namespace=shop verdict=AUDIT");
	assert.equal(filter.with_values("verdict=AUDIT or verdict=DROPPED", "verdict", []), "");
	assert.deepEqual(filter.values_of("port=1 or port=1 port=2", "port"), ["1", "2"]);
	assert.equal(
		filter.command_of("from-pod=a/ not port=53 or to-pod=a/ not port=53", "s:1"),
		`tycho observe --server s:1 --follow --allowlist '{"source_pod":["a/"]}' --allowlist '{"destination_pod":["a/"]}'` +
			` --denylist '{"source_port":["53"]}' --denylist '{"destination_port":["53"]}'`,
	);
});

test("who mistypes a filter is told which is near, and of none where none is", () => {
	const reason = (line) => filter.parse_line(line).reason;
	assert.equal(reason("from-pdo=x"), "“from-pdo=” is no filter; did you mean “from-pod=”?");
	assert.equal(reason("namespce=x"), "“namespce=” is no filter; did you mean “namespace=”?");
	assert.equal(reason("bogus=1"), "“bogus=” is no filter");
	assert.equal(reason("x=1"), "“x=” is no filter");
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

test("where flags would mean something else, the command has the filters themselves", () => {
	const raw = (line) => /list /.test(filter.command_of(line, "s:1"));
	const as_flags = ["", "namespace=a to-port=80", "from-namespace=a from-workload=b to-pod=c/", "pod=a pod=b", "not port=1 not port=2"];
	for (const line of as_flags) assert.ok(!raw(line), line);
	const others = ["namespace=a port=80", "namespace=a from-workload=b from-namespace=c", "from-namespace=a from-pod=/b", "not port=1 not ip=::1"];
	for (const line of others) assert.ok(raw(line), line);
	assert.equal(
		filter.command_of("namespace=a port=80", "s:1").match(/--allowlist/g).length,
		4, // it may be the other side's port
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
