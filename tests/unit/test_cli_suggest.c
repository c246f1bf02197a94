/* Flows as policies: what they select, allow, deny and say. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "flow/fields.h"
#include "flow/flow.pb-c.h"
#include "flow/wire.h"
#include "suggest_world.h"

/* --- rules ------------------------------------------------------------------------------------ */

static void a_workload_has_a_policy_for_what_it_asks_and_is_asked(void **state)
{
	struct world *w = *state;
	struct endpoint_id web = pod(w, "shop", "web-0", "web", "k8s:app=web"),
			   db = pod(w, "shop", "db-0", "db", "k8s:app=db");
	const struct flow flows[] = { flow_of(web, db, 5432), reply_to(flow_of(web, db, 5432)) };
	struct made m = made_of(w, &plain, flows, 2);

	assert_string_equal(buf_cstr(&m.text),
			    "---\n"
			    "# shop/db (Deployment)\n"
			    "# No egress was seen that is to be allowed: all of it is denied.\n"
			    "apiVersion: networking.k8s.io/v1\n"
			    "kind: NetworkPolicy\n"
			    "metadata:\n"
			    "  name: db\n"
			    "  namespace: shop\n"
			    "spec:\n"
			    "  podSelector:\n"
			    "    matchLabels:\n"
			    "      app: db\n"
			    "  policyTypes:\n"
			    "  - Ingress\n"
			    "  - Egress\n"
			    "  ingress:\n"
			    "  # shop/web (Deployment): 2 flows, 2023-11-14T22:13:20Z\n"
			    "  - from:\n"
			    "    - podSelector:\n"
			    "        matchLabels:\n"
			    "          app: web\n"
			    "    ports:\n"
			    "    - port: 5432\n"
			    "      protocol: TCP\n"
			    "  egress: []\n"
			    "---\n"
			    "# shop/web (Deployment)\n"
			    "# No ingress was seen that is to be allowed: all of it is denied.\n"
			    "apiVersion: networking.k8s.io/v1\n"
			    "kind: NetworkPolicy\n"
			    "metadata:\n"
			    "  name: web\n"
			    "  namespace: shop\n"
			    "spec:\n"
			    "  podSelector:\n"
			    "    matchLabels:\n"
			    "      app: web\n"
			    "  policyTypes:\n"
			    "  - Ingress\n"
			    "  - Egress\n"
			    "  ingress: []\n"
			    "  egress:\n"
			    "  # shop/db (Deployment): 2 flows, 2023-11-14T22:13:20Z\n"
			    "  - to:\n"
			    "    - podSelector:\n"
			    "        matchLabels:\n"
			    "          app: db\n"
			    "    ports:\n"
			    "    - port: 5432\n"
			    "      protocol: TCP\n");
	assert_int_equal(m.counts.flows, 2);
	assert_int_equal(m.counts.policies, 2);
	buf_done(&m.text);
}

static void labels_of_one_pod_run_or_release_select_nothing(void **state)
{
	struct world *w = *state;
	struct endpoint_id a = pod(w, "shop", "a-0", "a",
				   "k8s:pod-template-hash=5f,k8s:job-name=a-1,"
				   "k8s:app.kubernetes.io/version=v2,k8s:helm.sh/chart=a-1.0,"
				   "container:tier=x,k8s:zone=blue,k8s:bad key=1,k8s:k8s-app=a");
	const struct flow f = flow_of(a, a, 80);
	struct made m = made_of(w, &plain, &f, 1);

	HOLDS(m, "    matchLabels:\n      k8s-app: a\n  policyTypes");
	LACKS(m, "5f");
	LACKS(m, "v2");
	buf_done(&m.text);
}

static void labels_that_tell_workloads_apart_are_added(void **state)
{
	struct world *w = *state;
	struct endpoint_id a = pod(w, "shop", "a-0", "a", "k8s:app=x,k8s:side=left,k8s:zone=1"),
			   b = pod(w, "shop", "b-0", "b", "k8s:app=x,k8s:side=right,k8s:zone=1");
	const struct flow f = flow_of(a, b, 80);
	struct made m = made_of(w, &plain, &f, 1);

	HOLDS(m, "      app: x\n      side: left\n  policyTypes");
	HOLDS(m, "      app: x\n      side: right\n  policyTypes");
	buf_done(&m.text);
}

static void a_label_that_not_all_pods_of_a_workload_have_selects_none(void **state)
{
	struct world *w = *state;
	struct endpoint_id a = pod(w, "shop", "a-0", "a", "k8s:app=x,k8s:zone=1"),
			   b = pod(w, "shop", "a-1", "a", "k8s:zone=1");
	const struct flow f = flow_of(a, b, 80);
	struct made m = made_of(w, &plain, &f, 1);

	HOLDS(m, "    matchLabels:\n      zone: \"1\"\n  policyTypes");
	LACKS(m, "app:");
	buf_done(&m.text);
}

static void workloads_that_labels_do_not_tell_apart_share_one_policy(void **state)
{
	struct world *w = *state;
	struct endpoint_id a = pod(w, "shop", "a-0", "a", "k8s:app=x"),
			   b = pod(w, "shop", "b-0", "b", "k8s:app=x,k8s:more=1"),
			   c = pod(w, "shop", "c-0", "c", "k8s:app=c");
	const struct flow flows[] = { flow_of(c, a, 80), flow_of(b, c, 81) };
	struct made m = made_of(w, &plain, flows, 2);

	assert_int_equal(m.counts.policies, 2);
	HOLDS(m, "# shop/a (Deployment), shop/b (Deployment)\n"
		 "# Their labels do not tell them apart: one policy for all of them.\n");
	buf_done(&m.text);
}

static void names_of_policies_differ(void **state)
{
	struct world *w = *state;
	struct endpoint_id a = pod(w, "shop", "a-0", "Web_1", "k8s:app=a"),
			   b = pod(w, "shop", "b-0", "web-1", "k8s:app=b"),
			   c = pod(w, "shop", "c-0", "!", "k8s:app=c");
	const struct flow flows[] = { flow_of(a, b, 80), flow_of(b, c, 80) };
	struct made m = made_of(w, &plain, flows, 2);

	HOLDS(m, "  name: web-1\n");
	HOLDS(m, "  name: web-1-2\n");
	HOLDS(m, "  name: workload\n");
	buf_done(&m.text);
}

static void peers_with_the_same_ports_share_a_rule(void **state)
{
	struct world *w = *state;
	struct endpoint_id a = pod(w, "shop", "a-0", "a", "k8s:app=a"),
			   b = pod(w, "far", "b-0", "b", "k8s:app=b"),
			   db = pod(w, "kube-system", "db-0", "db", "k8s:app=db");
	struct suggest_config config = plain;
	const struct flow flows[] = { flow_of(a, db, 1), flow_of(b, db, 1), flow_of(db, a, 2),
				      flow_of(db, b, 2) };

	config.egress = false;
	struct made m = made_of(w, &config, flows, 4);
	assert_int_equal(m.counts.policies, 2);
	LACKS(m, "Egress");
	HOLDS(m, "kubernetes.io/metadata.name: kube-system\n");
	buf_done(&m.text);
	struct endpoint_id x = pod(w, "shop", "x-0", "x", "k8s:app=x");
	const struct flow more[] = { flow_of(a, x, 1), flow_of(b, x, 1) };
	m = made_of(w, &config, more, 2);
	HOLDS(m, "  # far/b (Deployment): 1 flow, 2023-11-14T22:13:20Z\n"
		 "  # shop/a (Deployment): 1 flow, 2023-11-14T22:13:20Z\n"
		 "  - from:\n"
		 "    - namespaceSelector:\n"
		 "        matchLabels:\n"
		 "          kubernetes.io/metadata.name: far\n"
		 "      podSelector:\n"
		 "        matchLabels:\n"
		 "          app: b\n"
		 "    - podSelector:\n"
		 "        matchLabels:\n"
		 "          app: a\n"
		 "    ports:\n"
		 "    - port: 1\n"
		 "      protocol: TCP\n");
	buf_done(&m.text);
}

static void dns_of_the_cluster_is_one_rule_for_both_protocols(void **state)
{
	struct world *w = *state;
	struct endpoint_id a = pod(w, "shop", "a-0", "a", "k8s:app=a"),
			   dns = pod(w, "kube-system", "d-0", "d", "k8s:k8s-app=kube-dns");
	struct flow f = flow_of(a, dns, 53);

	f.l4 = FLOW_L4_UDP;
	struct made m = made_of(w, &plain, &f, 1);
	HOLDS(m, "  # DNS of the cluster: by UDP, and by TCP for long answers\n");
	HOLDS(m, "    - port: 53\n      protocol: UDP\n    - port: 53\n      protocol: TCP\n");
	buf_done(&m.text);
}

/* --- outside ---------------------------------------------------------------------------------- */

static void addresses_are_blocks_and_join_where_that_is_asked_for(void **state)
{
	struct world *w = *state;
	struct endpoint_id a = pod(w, "shop", "a-0", "a", "k8s:app=a"),
			   out = entity(w, "reserved:world");
	struct flow flows[] = { flow_of(a, out, 443), flow_of(a, out, 443), flow_of(a, out, 443) };
	struct suggest_config config = plain;

	ip_from_v4(flows[0].dst_ip, (const uint8_t[]){ 192, 0, 2, 7 });
	ip_from_v4(flows[1].dst_ip, (const uint8_t[]){ 192, 0, 2, 130 });
	assert_true(ip_parse(STR("2001:db8::7"), flows[2].dst_ip));
	struct made m = made_of(w, &config, flows, 3);
	HOLDS(m, "cidr: 192.0.2.130/32\n    - ipBlock:\n        cidr: 192.0.2.7/32\n"
		 "    - ipBlock:\n        cidr: 2001:db8::7/128\n");
	buf_done(&m.text);
	config.bits4 = 24;
	config.bits6 = 33;
	m = made_of(w, &config, flows, 3);
	HOLDS(m, "cidr: 192.0.2.0/24\n");
	HOLDS(m, "cidr: 2001:db8::/33\n");
	LACKS(m, "192.0.2.7");
	buf_done(&m.text);
}

static void names_are_names_for_cilium_with_the_rule_for_dns_that_they_need(void **state)
{
	struct world *w = *state;
	struct endpoint_id a = pod(w, "shop", "a-0", "a", "k8s:app=a"),
			   out = entity(w, "reserved:world");
	struct suggest_config config = cilium();
	struct flow f = flow_of(a, out, 443);

	with_name(w, &f, "API.example.org.");
	struct made m = made_of(w, &config, &f, 1);
	HOLDS(m, "  - toFQDNs:\n    - matchName: api.example.org\n");
	HOLDS(m, "  # Not seen, but needed: names of toFQDNs are learned from DNS\n");
	HOLDS(m, "        dns:\n        - matchPattern: '*'\n");
	buf_done(&m.text);
	m = made_of(w, &plain, &f, 1);
	LACKS(m, "example");
	buf_done(&m.text);
	with_name(w, &f, "b.example");
	wire_put_str(&w->ext, FLOW_FIELD_DESTINATION_NAMES, STR("a.example"));
	wire_put_str(&w->ext, FLOW_FIELD_DESTINATION_NAMES, STR("c.example"));
	f.ext = (const uint8_t *)w->ext.p;
	f.ext_len = (uint32_t)w->ext.len;
	m = made_of(w, &config, &f, 1);
	HOLDS(m, "  - toFQDNs:\n    - matchName: a.example\n    toPorts:\n");
	buf_done(&m.text);
	with_name(w, &f, "no name");
	m = made_of(w, &config, &f, 1);
	LACKS(m, "toFQDNs");
	HOLDS(m, "toCIDR");
	buf_done(&m.text);
}

static void nodes_are_entities_for_cilium_and_addresses_for_kubernetes(void **state)
{
	struct world *w = *state;
	struct endpoint_id a = pod(w, "shop", "a-0", "a", "k8s:app=a"),
			   api = entity(w, "reserved:kube-apiserver,reserved:remote-node"),
			   host = entity(w, "reserved:host");
	struct suggest_config config = cilium();
	const struct flow flows[] = { flow_of(a, api, 6443), flow_of(host, a, 8080) };
	struct made m = made_of(w, &config, flows, 2);

	HOLDS(m, "  - toEntities:\n    - kube-apiserver\n");
	HOLDS(m, "  - fromEntities:\n    - host\n");
	buf_done(&m.text);
	m = made_of(w, &plain, flows, 2);
	HOLDS(m, "/32 (kube-apiserver): 1 flow");
	HOLDS(m, "# Without a rule, for its own node always reaches a pod:\n"
		 "#   from its own node, TCP 8080: 1 flow\n");
	HOLDS(m, "  ingress: []\n");
	buf_done(&m.text);
}

static void what_no_rule_can_say_is_told(void **state)
{
	struct world *w = *state;
	struct endpoint_id a = pod(w, "shop", "a-0", "a", "k8s:app=a"),
			   b = pod(w, "shop", "b-0", "b", "k8s:app=b"),
			   unknown = entity(w, "reserved:unknown");
	struct suggest_config config = cilium();
	struct flow flows[] = { flow_of(a, b, 80), flow_of(a, b, 0), flow_of(a, unknown, 7) };

	flows[1].l4 = FLOW_L4_ICMP4;
	memset(flows[1].l4_bytes, 0, sizeof flows[1].l4_bytes);
	flows[1].icmp_type = 8;
	struct made m = made_of(w, &plain, flows, 3);
	HOLDS(m, "#   to shop/b (Deployment), ICMPv4: 1 flow; NetworkPolicy knows no ICMP\n");
	HOLDS(m, ", TCP 7: 1 flow; nobody named the other end\n");
	assert_int_equal(m.counts.unsaid, 2);
	buf_done(&m.text);
	m = made_of(w, &config, flows, 3);
	HOLDS(m, "    icmps:\n    - fields:\n      - family: IPv4\n        type: 8\n");
	assert_int_equal(m.counts.unsaid, 1);
	buf_done(&m.text);
}

/* --- what counts as seen ---------------------------------------------------------------------- */

static void what_was_denied_stays_denied_unless_asked_for(void **state)
{
	struct world *w = *state;
	struct endpoint_id a = pod(w, "shop", "a-0", "a", "k8s:app=a"),
			   b = pod(w, "shop", "b-0", "b", "k8s:app=b");
	struct suggest_config config = plain;
	struct flow flows[] = { flow_of(a, b, 80), flow_of(a, b, 22), drop_of(a, b, 22) };

	/* the node of the source saw it leave, the other one dropped it */
	flows[1].direction = FLOW__TRAFFIC_DIRECTION__EGRESS;
	struct made m = made_of(w, &config, flows, 3);
	LACKS(m, "port: 22\n");
	HOLDS(m, "#   from shop/a (Deployment), TCP 22: 2 flows\n");
	assert_int_equal(m.counts.denied, 2);
	buf_done(&m.text);
	config.with_denied = true;
	m = made_of(w, &config, flows, 3);
	HOLDS(m, "port: 22\n");
	HOLDS(m, "1 of them denied");
	buf_done(&m.text);
	flows[2] = flows[1]; /* in audit mode it passes */
	flows[2].verdict = FLOW__VERDICT__AUDIT;
	m = made_of(w, &plain, flows, 3);
	HOLDS(m, "port: 22\n");
	buf_done(&m.text);
}

static void only_drops_that_policies_decided_are_denied(void **state)
{
	enum { EVENT_VERDICT = 5, NO_SOCKET = 172, NOT_AUTHENTICATED = 189 };
	struct world *w = *state;
	struct endpoint_id a = pod(w, "shop", "a-0", "a", "k8s:app=a");
	struct flow flows[] = { flow_of(a, a, 80), drop_of(a, a, 1), drop_of(a, a, 2),
				drop_of(a, a, 3) };

	flows[1].event_type = EVENT_VERDICT;
	flows[1].drop_desc = 0;
	flows[2].event_type = EVENT_VERDICT;
	flows[2].drop_desc = NOT_AUTHENTICATED;
	flows[3].drop_desc = NO_SOCKET;
	struct made m = made_of(w, &plain, flows, 4);
	assert_int_equal(m.counts.denied, 1);
	assert_int_equal(m.counts.other, 2);
	HOLDS(m, "#   from shop/a (Deployment), TCP 1: 1 flow\n");
	buf_done(&m.text);
}

static void who_opened_is_judged_by_flags_and_ports_where_nobody_says(void **state)
{
	struct world *w = *state;
	struct endpoint_id a = pod(w, "shop", "a-0", "a", "k8s:app=a"),
			   b = pod(w, "shop", "b-0", "b", "k8s:app=b");
	struct flow flows[] = { reply_to(flow_of(a, b, 80)), flow_of(a, b, 45000),
				flow_of(a, b, 50051) };

	for (size_t i = 0; i < ARRAY_LEN(flows); i++)
		flows[i].is_reply = FLOW_REPLY_ABSENT;
	flows[2].bits |= FLOW_HAS_TCP_FLAGS;
	flows[2].tcp_flags = FLOW_TCP_SYN;
	struct made m = made_of(w, &plain, flows, 3);
	HOLDS(m, "port: 80\n");
	HOLDS(m, "port: 50051\n");
	LACKS(m, "40000");
	LACKS(m, "45000");
	assert_int_equal(m.counts.other, 1);
	buf_done(&m.text);
}

static void nothing_forwarded_is_nothing_to_suggest(void **state)
{
	struct world *w = *state;
	struct endpoint_id a = pod(w, "shop", "a-0", "a", "k8s:app=a");
	const struct flow f = drop_of(a, a, 80);

	assert_int_equal(made_of(w, &plain, &f, 0).code, ERR_NOT_FOUND);
	assert_int_equal(made_of(w, &plain, &f, 1).code, ERR_NOT_FOUND);
	struct flow ping = flow_of(a, a, 0);
	ping.l4 = FLOW_L4_ICMP4;
	memset(ping.l4_bytes, 0, sizeof ping.l4_bytes);
	ping.icmp_type = 8;
	assert_int_equal(made_of(w, &plain, &ping, 1).code, ERR_NOT_FOUND);
}

static void peers_and_ports_beyond_the_limits_are_told(void **state)
{
	struct world *w = *state;
	struct endpoint_id a = pod(w, "shop", "a-0", "a", "k8s:app=a"),
			   out = entity(w, "reserved:world");
	static struct flow flows[SUGGEST_PEERS_MAX + 1];

	for (size_t i = 0; i < ARRAY_LEN(flows); i++) {
		flows[i] = flow_of(a, out, 443);
		flows[i].dst_ip[14] = (uint8_t)(i >> 8);
		flows[i].dst_ip[15] = (uint8_t)i;
	}
	struct made m = made_of(w, &plain, flows, ARRAY_LEN(flows) - 1);
	assert_int_equal(m.counts.left_out, 0);
	buf_done(&m.text);
	m = made_of(w, &plain, flows, ARRAY_LEN(flows));
	assert_int_equal(m.counts.left_out, 1);
	HOLDS(m, "beyond the limits of peers or ports");
	buf_done(&m.text);
	for (size_t i = 0; i < SUGGEST_PORTS_MAX + 2; i++)
		flows[i] = flow_of(a, a, (uint16_t)(i + 1));
	struct suggest_config config = cilium();
	m = made_of(w, &config, flows, SUGGEST_PORTS_MAX + 2);
	assert_int_equal(m.counts.left_out, 2);
	buf_done(&m.text);
}
int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, suggest_setup, suggest_teardown)
	const struct CMUnitTest tests[] = {
		T(a_workload_has_a_policy_for_what_it_asks_and_is_asked),
		T(labels_of_one_pod_run_or_release_select_nothing),
		T(labels_that_tell_workloads_apart_are_added),
		T(a_label_that_not_all_pods_of_a_workload_have_selects_none),
		T(workloads_that_labels_do_not_tell_apart_share_one_policy),
		T(names_of_policies_differ),
		T(peers_with_the_same_ports_share_a_rule),
		T(dns_of_the_cluster_is_one_rule_for_both_protocols),
		T(addresses_are_blocks_and_join_where_that_is_asked_for),
		T(names_are_names_for_cilium_with_the_rule_for_dns_that_they_need),
		T(nodes_are_entities_for_cilium_and_addresses_for_kubernetes),
		T(what_no_rule_can_say_is_told),
		T(what_was_denied_stays_denied_unless_asked_for),
		T(only_drops_that_policies_decided_are_denied),
		T(who_opened_is_judged_by_flags_and_ports_where_nobody_says),
		T(nothing_forwarded_is_nothing_to_suggest),
		T(peers_and_ports_beyond_the_limits_are_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
