// A small shop's traffic as JSON lines, to be replayed: who asks whom, and what became of it. The tests know this
// list, so what the page must show follows from it and not from what the page shows.
const clients = "10.1.0.";

// [namespace/pod, workload kind]; "" namespace: outside.
const pods = {
	frontend: { namespace: "shop", pod: "frontend-6f7d-x2p", kind: "Deployment", ip: `${clients}10` },
	checkout: { namespace: "shop", pod: "checkout-5c9b-k8l", kind: "Deployment", ip: `${clients}11` },
	catalog: { namespace: "shop", pod: "catalog-7d4f-q1m", kind: "Deployment", ip: `${clients}12` },
	gateway: { namespace: "payments", pod: "gateway-0", kind: "StatefulSet", ip: `${clients}20` },
	ledger: { namespace: "payments", pod: "ledger-0", kind: "StatefulSet", ip: `${clients}21` },
	postgres: { namespace: "data", pod: "postgres-0", kind: "StatefulSet", ip: `${clients}30` },
	redis: { namespace: "data", pod: "redis-0", kind: "StatefulSet", ip: `${clients}31` },
	dns: {
		namespace: "kube-system",
		pod: "coredns-5d78-zz9",
		kind: "Deployment",
		ip: `${clients}53`,
		name: "coredns",
	},
	stripe: { dns: "api.stripe.com", ip: "198.51.100.7" },
	visitor: { ip: "203.0.113.80" },
	api: { identity: 7, ip: "10.96.0.1" },
	// Who comes later, where a test wants it:
	mailer: { namespace: "shop", pod: "mailer-0", kind: "StatefulSet", ip: `${clients}40` },
};

// [from, to, port, protocol, requests, verdict]
export const conversations = [
	["visitor", "frontend", 8080, "TCP", 40, "FORWARDED"],
	["frontend", "catalog", 8080, "TCP", 36, "FORWARDED"],
	["frontend", "checkout", 8080, "TCP", 12, "FORWARDED"],
	["checkout", "gateway", 8443, "TCP", 9, "FORWARDED"],
	["checkout", "ledger", 5432, "TCP", 7, "DROPPED"],
	["catalog", "postgres", 5432, "TCP", 22, "FORWARDED"],
	["catalog", "redis", 6379, "TCP", 30, "FORWARDED"],
	["checkout", "redis", 6379, "TCP", 8, "FORWARDED"],
	["checkout", "dns", 53, "UDP", 5, "FORWARDED"],
	["frontend", "dns", 53, "UDP", 6, "FORWARDED"],
	["gateway", "ledger", 5432, "TCP", 9, "FORWARDED"],
	["gateway", "stripe", 443, "TCP", 4, "FORWARDED"],
	["ledger", "postgres", 5432, "TCP", 11, "AUDIT"],
	["catalog", "stripe", 443, "TCP", 3, "DROPPED"],
	["gateway", "api", 6443, "TCP", 2, "FORWARDED"],
];

function endpoint(name) {
	const p = pods[name];
	if (p.identity) return { identity: p.identity, labels: ["reserved:kube-apiserver"] };
	if (!p.pod) return { identity: 2, labels: ["reserved:world"] };
	return {
		ID: 100 + Object.keys(pods).indexOf(name),
		identity: 1000 + Object.keys(pods).indexOf(name),
		namespace: p.namespace,
		labels: [`k8s:app=${name}`],
		pod_name: p.pod,
		workloads: [{ name: p.name ?? name, kind: p.kind }],
	};
}

export function flow_of([from, to, port, protocol, , verdict], i, time) {
	const flow = {
		time: time.toISOString(),
		verdict,
		IP: { source: pods[from].ip, destination: pods[to].ip, ipVersion: "IPv4" },
		l4: { [protocol]: { source_port: 40000 + (i % 20000), destination_port: port } },
		source: endpoint(from),
		destination: endpoint(to),
		Type: "L3_L4",
		node_name: "node-a",
		event_type: { type: verdict === "DROPPED" ? 1 : 4 },
		traffic_direction: "EGRESS",
		is_reply: false,
		Summary: protocol === "TCP" ? "TCP Flags: SYN" : "UDP",
	};
	if (pods[to].dns) flow.destination_names = [pods[to].dns];
	if (protocol === "TCP") flow.l4.TCP.flags = { SYN: true };
	if (verdict === "DROPPED") {
		delete flow.is_reply; // as Cilium: drops do not say
		flow.drop_reason = 133;
		flow.drop_reason_desc = "POLICY_DENIED";
		if (to === "ledger") flow.ingress_denied_by = [{ name: "cde-lockdown", namespace: "payments" }];
	}
	return flow;
}

// All requests, shuffled evenly: the same list on each call.
export function flows() {
	const start = Date.UTC(2026, 0, 1);
	const most = Math.max(...conversations.map((c) => c[4]));
	const lines = [];
	for (let round = 0; round < most; round++)
		for (const c of conversations)
			if (Math.floor(((round + 1) * c[4]) / most) > Math.floor((round * c[4]) / most))
				lines.push(flow_of(c, lines.length, new Date(start + lines.length * 10)));
	return lines;
}

export function json_lines(list) {
	return list
		.map((flow) => `${JSON.stringify({ flow, node_name: flow.node_name, time: flow.time })}\n`)
		.join("");
}
