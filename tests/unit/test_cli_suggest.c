/* Flows as policies: what they select, allow, deny and say; and that no name gets out of its place. */
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "cli/policy_suggest.h"
#include "flow/dict.h"
#include "flow/fields.h"
#include "flow/flow.pb-c.h"
#include "flow/wire.h"
#include "policy/policy.h"
#include "policy/suggest.h"

enum { DENIED_BY_DEFAULT = 133, EVENT_TRACE = 4, TEXT_MAX = 8 << 20 };

struct world {
	struct flow_dict *dict;
	struct buf ext;
};

static int setup(void **state)
{
	struct world *w = calloc(1, sizeof *w);

	assert_int_equal(flow_dict_new(5000, &w->dict, NULL), ERR_OK);
	w->ext = buf_init(1 << 16);
	*state = w;
	return 0;
}

static int teardown(void **state)
{
	struct world *w = *state;

	buf_done(&w->ext);
	flow_dict_free(w->dict);
	free(w);
	return 0;
}

/* "NAMESPACE/POD", labels with ',' between; @workload "" is none. */
static struct endpoint_id pod(struct world *w, const char *ns, const char *name,
			      const char *workload, const char *labels)
{
	struct str list[16], rest = str_of(labels);
	struct workload wl = { str_of(workload), STR("Deployment") };
	size_t n = 0;

	while (*labels && str_split(&rest, ',', &list[n]))
		n++;
	return flow_dict_endpoint(w->dict, &(struct endpoint){ .namespace_ = str_of(ns),
							       .pod = str_of(name),
							       .labels = list,
							       .label_count = n,
							       .workloads = &wl,
							       .workload_count = *workload != 0 });
}

static struct endpoint_id entity(struct world *w, const char *label)
{
	return pod(w, "", "", "", label);
}

static struct flow flow_of(struct endpoint_id src, struct endpoint_id dst, uint16_t port)
{
	struct flow f = {
		.bits = FLOW_HAS_SRC_IP | FLOW_HAS_DST_IP | FLOW_HAS_EVENT_TYPE | FLOW_HAS_IP |
			FLOW_HAS_TIME,
		.time = { 1700000000 * NS_PER_S },
		.l4 = FLOW_L4_TCP,
		.event_type = EVENT_TRACE,
		.is_reply = FLOW_REPLY_FALSE,
		.direction = FLOW__TRAFFIC_DIRECTION__INGRESS,
		.src_ep = src,
		.dst_ep = dst,
		.src_port = 40000,
		.dst_port = port,
		.verdict = FLOW__VERDICT__FORWARDED,
	};

	ip_from_v4(f.src_ip, (const uint8_t[]){ 10, 0, (uint8_t)(src.v >> 8), (uint8_t)src.v });
	ip_from_v4(f.dst_ip, (const uint8_t[]){ 10, 0, (uint8_t)(dst.v >> 8), (uint8_t)dst.v });
	return f;
}

static struct flow drop_of(struct endpoint_id src, struct endpoint_id dst, uint16_t port)
{
	struct flow f = flow_of(src, dst, port);

	f.verdict = FLOW__VERDICT__DROPPED;
	f.drop_desc = DENIED_BY_DEFAULT;
	return f;
}

static struct flow reply_to(struct flow f)
{
	struct flow r = flow_of(f.dst_ep, f.src_ep, f.src_port);

	r.src_port = f.dst_port;
	r.is_reply = FLOW_REPLY_TRUE;
	return r;
}

static const struct suggest_config plain = {
	.ingress = true, .egress = true, .bits4 = 32, .bits6 = 128
};

static struct suggest_config cilium(void)
{
	struct suggest_config c = plain;

	c.kind = SUGGEST_CILIUM;
	return c;
}

/* What @n flows come to; all pods of shop are asked for. The check has passed. */
struct made {
	struct buf text;
	struct suggest_counts counts;
	enum err_code code;
};

static struct made made_of(const struct world *w, const struct suggest_config *config,
			   const struct flow *flows, size_t n)
{
	AUTO(suggest_free) struct suggest *s = NULL;
	struct made m = { .text = buf_init(TEXT_MAX) };
	json_t *policies, *one;
	struct err e = { 0 };
	size_t i;

	assert_int_equal(suggest_new(config, w->dict, &s, NULL), ERR_OK);
	for (i = 0; i < n; i++) {
		const struct endpoint *src = flow_dict_get_endpoint(w->dict, flows[i].src_ep);
		const struct endpoint *dst = flow_dict_get_endpoint(w->dict, flows[i].dst_ep);

		assert_int_equal(suggest_flow(s, &flows[i],
					      src && !str_is(src->namespace_, "kube-system"),
					      dst && !str_is(dst->namespace_, "kube-system"), NULL),
				 ERR_OK);
	}
	m.code = suggest_policies(s, &policies, &m.counts, &e);
	if (m.code != ERR_OK)
		return m;
	json_array_foreach(policies, i, one) suggest_put_yaml(&m.text, one);
	if (suggest_check(s, buf_str(&m.text), &e) != ERR_OK)
		fail_msg("%s\n%s", e.msg, buf_cstr(&m.text));
	AUTO_BUF struct buf json = buf_init(TEXT_MAX);
	suggest_put_json(&json, policies);
	if (suggest_check(s, buf_str(&json), &e) != ERR_OK)
		fail_msg("%s\n%s", e.msg, buf_cstr(&json));
	json_decref(policies);
	return m;
}

static bool says(struct made *m, const char *text)
{
	return strstr(buf_cstr(&m->text), text) != NULL;
}

#define HOLDS(m, text_)                                                                            \
	do {                                                                                       \
		if (!says(&(m), text_))                                                            \
			fail_msg("not in it: %s\n%s", text_, buf_cstr(&(m).text));                 \
	} while (0)
#define LACKS(m, text_)                                                                            \
	do {                                                                                       \
		if (says(&(m), text_))                                                             \
			fail_msg("in it: %s\n%s", text_, buf_cstr(&(m).text));                     \
	} while (0)

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

static void with_name(struct world *w, struct flow *f, const char *name)
{
	size_t at = w->ext.len;

	wire_put_str(&w->ext, FLOW_FIELD_DESTINATION_NAMES, str_of(name));
	f->bits |= FLOW_HAS_NAMES;
	f->ext = (const uint8_t *)w->ext.p + at;
	f->ext_len = (uint32_t)(w->ext.len - at);
}

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

/* --- whatever flows there are ----------------------------------------------------------------- */

static uint64_t next(uint64_t *seed)
{
	*seed = *seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return *seed >> 33;
}

enum { PODS = 24, ENDS = PODS + 5, FLOWS = 120, ROUNDS = 150 };

static struct endpoint_id random_pod(struct world *w, uint64_t *seed)
{
	static const char *const spaces[] = { "shop", "far", "kube-system" };
	static const char *const labels[] = {
		"k8s:app=a",  "k8s:app=b",  "k8s:k8s-app=kube-dns",   "k8s:tier=1",
		"k8s:tier=2", "k8s:zone=x", "k8s:pod-template-hash=9"
	};
	char text[256] = "k8s:all=1", name[32], workload[32] = "";

	for (size_t i = 0; i < ARRAY_LEN(labels); i++)
		if (next(seed) % 3 == 0) {
			strcat(text, ",");
			strcat(text, labels[i]);
		}
	(void)snprintf(name, sizeof name, "p-%u", (unsigned)(next(seed) % 1000));
	if (next(seed) % 4)
		(void)snprintf(workload, sizeof workload, "w%u", (unsigned)(next(seed) % 8));
	return pod(w, spaces[next(seed) % 3], name, workload, next(seed) % 12 ? text : "");
}

static struct flow random_flow(struct world *w, const struct endpoint_id *ends, uint64_t *seed)
{
	static const uint8_t l4[] = { FLOW_L4_TCP, FLOW_L4_TCP, FLOW_L4_UDP, FLOW_L4_SCTP,
				      FLOW_L4_ICMP4 };
	static const uint16_t ports[] = { 53, 80, 443, 5432, 9153 };
	struct flow f = flow_of(ends[next(seed) % ENDS], ends[next(seed) % ENDS],
				ports[next(seed) % ARRAY_LEN(ports)]);

	if (next(seed) % 8 == 0)
		f = drop_of(f.src_ep, f.dst_ep, f.dst_port);
	f.l4 = l4[next(seed) % ARRAY_LEN(l4)];
	if (f.l4 == FLOW_L4_ICMP4) {
		memset(f.l4_bytes, 0, sizeof f.l4_bytes);
		f.icmp_type = 8;
	}
	f.dst_ip[15] ^= (uint8_t)(next(seed) % 3);
	f.time.v += next(seed) % 1000 * NS_PER_S;
	if (next(seed) % 3 == 0)
		with_name(w, &f, next(seed) % 2 ? "a.example" : "b.example.");
	return f;
}

static void shuffle(struct flow *flows, size_t n, uint64_t *seed)
{
	for (size_t i = n - 1; i > 0; i--) {
		size_t j = next(seed) % (i + 1);
		struct flow f = flows[i];

		flows[i] = flows[j];
		flows[j] = f;
	}
}

static struct policy_row *row_of(const struct policy_set *set, const struct endpoint *ep)
{
	struct policy_row *row = malloc(policy_row_bytes(set));
	const struct policy_end end = { .namespace_ = ep->namespace_,
					.pod = ep->pod,
					.labels = ep->labels,
					.label_count = ep->label_count };

	assert_non_null(row);
	policy_row_fill(set, &end, row);
	return row;
}

static void denies(const struct policy_set *set, enum policy_direction direction,
		   const struct policy_row *subject, const struct policy_row *peer,
		   const uint8_t address[16], uint16_t port)
{
	static struct policy_answer answer;
	uint8_t ip[1][16];

	memcpy(ip[0], address, 16);
	const struct policy_query query = {
		.direction = direction,
		.subject = subject,
		.peer = { peer, (const uint8_t(*)[16])ip, 1, NULL, 0 },
		.protocol = IPPROTO_TCP,
		.port = port,
	};
	policy_ask(set, &query, &answer);
	if (!policy_verdict_denies(answer.verdict) && answer.verdict != POLICY_LOCALHOST)
		fail_msg("port %u is %s", port, policy_verdict_name(answer.verdict));
}

/* A port, a workload and an address that none of the flows has are denied to and from the pods asked
 * for. */
static void denies_others(struct world *w, const char *text, const struct flow *f)
{
	static const struct policy_config config = { .meaning = POLICY_AS_KUBERNETES };
	static const uint8_t nowhere[16] = { [10] = 0xff, [11] = 0xff, 203, 0, 113, 200 };
	AUTO(policy_builder_free) struct policy_builder *b = NULL;
	AUTO(policy_set_free) struct policy_set *set = NULL;
	const struct endpoint *ends[] = { flow_dict_get_endpoint(w->dict, f->src_ep),
					  flow_dict_get_endpoint(w->dict, f->dst_ep) };
	struct endpoint_id new = pod(w, "elsewhere", "n-0", "n", "k8s:app=a,k8s:tier=1");
	struct endpoint_id world = entity(w, "reserved:world");

	assert_int_equal(policy_builder_new(&config, &b, NULL), ERR_OK);
	assert_int_equal(policy_builder_add_text(b, str_of(text), NULL), ERR_OK);
	assert_int_equal(policy_builder_finish(b, &set, NULL), ERR_OK);
	AUTO(own_free) struct policy_row *source = row_of(set, ends[0]);
	AUTO(own_free) struct policy_row *destination = row_of(set, ends[1]);
	AUTO(own_free) struct policy_row *other = row_of(set, flow_dict_get_endpoint(w->dict, new));
	AUTO(own_free)
	struct policy_row *outside = row_of(set, flow_dict_get_endpoint(w->dict, world));
	for (int i = 0; i < 2; i++) {
		enum policy_direction direction = i ? POLICY_INGRESS : POLICY_EGRESS;
		struct policy_row *subject = i ? destination : source;

		if (!ends[i]->namespace_.len || str_is(ends[i]->namespace_, "kube-system"))
			continue;
		denies(set, direction, subject, i ? source : destination, i ? f->src_ip : f->dst_ip,
		       7777);
		denies(set, direction, subject, other, nowhere, 80);
		denies(set, direction, subject, outside, nowhere, 443);
	}
}

static void whatever_was_forwarded_is_allowed_and_nothing_else(void **state)
{
	struct world *w = *state;
	static const char *const others[] = { "reserved:world", "reserved:host",
					      "reserved:remote-node", "reserved:kube-apiserver",
					      "reserved:unknown" };
	static struct flow flows[FLOWS];
	struct endpoint_id ends[ENDS];

	for (uint64_t round = 0; round < ROUNDS; round++) {
		uint64_t seed = round;
		struct suggest_config config = round % 2 ? cilium() : plain;

		print_message("seed %u\n", (unsigned)seed);
		flow_dict_reset(w->dict);
		buf_reset(&w->ext);
		(void)buf_reserve(&w->ext, 1 << 15); /* flows point into it */
		if (next(&seed) % 3 == 0)
			config.bits4 = 24;
		config.with_denied = next(&seed) % 3 == 0;
		for (size_t i = 0; i < ENDS; i++)
			ends[i] = i < PODS ? random_pod(w, &seed) : entity(w, others[i - PODS]);
		for (size_t i = 0; i < FLOWS; i++)
			flows[i] = random_flow(w, ends, &seed);
		struct made m = made_of(w, &config, flows, FLOWS);
		assert_int_equal(m.code, ERR_OK);
		for (size_t i = 0; i < FLOWS; i += 7)
			denies_others(w, buf_cstr(&m.text), &flows[i]);
		shuffle(flows, FLOWS, &seed);
		struct made again = made_of(w, &config, flows, FLOWS);
		assert_string_equal(buf_cstr(&m.text), buf_cstr(&again.text));
		buf_done(&m.text);
		buf_done(&again.text);
	}
}

/* --- names from outside ----------------------------------------------------------------------- */

static void no_name_gets_out_of_a_comment_or_a_text(void **state)
{
	struct world *w = *state;
	static const char *const names[] = {
		"x\nkind: Secret",
		"x\r\n---\n",
		"x\xc2\x85kind: Secret",
		"x\xe2\x80\xa8kind: Secret",
		"x\xe2\x80\xae",
		"\x1b[31m",
		"# x",
		"\t",
		"null",
		"\xef\xbb\xbf",
		"\xf0\x9f\x98\x80",
	};

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		struct endpoint_id a = pod(w, "shop", names[i], names[i], "k8s:app=on"),
				   b = pod(w, names[i], "b", names[i], "k8s:app=1e3");
		const struct flow flows[] = { flow_of(a, a, 80), flow_of(a, b, 81) };
		struct made m = made_of(w, &plain, flows, 2);
		json_t *documents = NULL, *one;
		size_t k;

		HOLDS(m, "app: \"on\"\n");
		assert_int_equal(policy_yaml(buf_str(&m.text), &documents, NULL), ERR_OK);
		json_array_foreach(documents, k, one)
		{
			assert_string_equal(json_string_value(json_object_get(one, "kind")),
					    "NetworkPolicy");
			assert_int_equal(json_object_size(one), 4);
		}
		json_decref(documents);
		for (size_t j = 0; j < m.text.len; j++) {
			unsigned char c = (unsigned char)m.text.p[j];
			assert_true(c == '\n' || (c >= 0x20 && c != 0x7f));
		}
		LACKS(m, "\xc2\x85");
		LACKS(m, "\xe2\x80");
		LACKS(m, "\n\n");
		buf_done(&m.text);
	}
}

static void random_text(char *out, size_t room, uint64_t *seed)
{
	static const char *const pieces[] = {
		"\n",           "\r", "#", " #",  ": ",   "- ",     "---\n", "\"",       "'",
		"\\",           "\t", "a", "web", "null", "\x7f",   "\x1b",  "\xc2\x85", "\xff",
		"\xe2\x80\xa9", "{}", "[", "&x",  "*x",   "!!str ", "|\n"
	};

	*out = 0;
	for (uint64_t n = next(seed) % 6; n; n--) {
		const char *piece = pieces[next(seed) % ARRAY_LEN(pieces)];

		if (strlen(out) + strlen(piece) + 1 < room)
			strcat(out, piece);
	}
}

/* Policies are as many as without odd names, and of the same parts. */
static void odd_names_make_no_other_objects(void **state)
{
	struct world *w = *state;

	for (uint64_t round = 0; round < 500; round++) {
		uint64_t seed = round;
		char name[64], kind[64], label[96] = "k8s:app=", dns[64];
		struct suggest_config config = round % 2 ? cilium() : plain;
		json_t *documents = NULL, *one;
		size_t k;

		print_message("seed %u\n", (unsigned)seed);
		flow_dict_reset(w->dict);
		buf_reset(&w->ext);
		random_text(name, sizeof name, &seed);
		random_text(kind, sizeof kind, &seed);
		random_text(label + strlen(label), 64, &seed);
		random_text(dns, sizeof dns, &seed);
		struct endpoint_id a = pod(w, "shop", name, kind, label),
				   b = pod(w, "shop", "b", "b", "k8s:role=b"),
				   out = entity(w, "reserved:world");
		struct flow flows[] = { flow_of(a, b, 80), flow_of(a, out, 81), drop_of(b, a, 82) };
		with_name(w, &flows[1], dns);
		struct made m = made_of(w, &config, flows, ARRAY_LEN(flows));
		assert_int_equal(m.code, ERR_OK);
		assert_int_equal(policy_yaml(buf_str(&m.text), &documents, NULL), ERR_OK);
		assert_int_equal(json_array_size(documents), m.counts.policies);
		json_array_foreach(documents, k, one)
		{
			assert_int_equal(json_object_size(one), 4);
			assert_int_equal(json_object_size(json_object_get(one, "metadata")), 2);
			assert_int_equal(json_object_size(json_object_get(one, "spec")),
					 config.kind == SUGGEST_CILIUM ? 3 : 4);
		}
		json_decref(documents);
		for (size_t j = 0; j < m.text.len; j++) {
			unsigned char c = (unsigned char)m.text.p[j];
			assert_true(c == '\n' || (c >= 0x20 && c != 0x7f));
		}
		buf_done(&m.text);
	}
}

static void a_name_without_end_is_cut(void **state)
{
	struct world *w = *state;
	AUTO(own_free) char *name = calloc(1, 100001);

	memset(name, 'x', 100000);
	struct endpoint_id a = pod(w, "shop", "a", name, "k8s:app=a");
	const struct flow f = flow_of(a, a, 80);
	struct made m = made_of(w, &plain, &f, 1);

	assert_int_equal(m.code, ERR_OK);
	assert_true(m.text.len < 4096);
	buf_done(&m.text);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
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
		T(whatever_was_forwarded_is_allowed_and_nothing_else),
		T(no_name_gets_out_of_a_comment_or_a_text),
		T(odd_names_make_no_other_objects),
		T(a_name_without_end_is_cut),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
