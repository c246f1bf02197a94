/* Policies beside what was seen: what is called unused, wide, open, and what is not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "cli/policy_audit.h"
#include "cli/preview.h"
#include "flow/fields.h"
#include "flow/flow.pb-c.h"
#include "flow/wire.h"
#include "suggest_world.h"

enum { TEXT_MAX = 4 << 20 };

static struct policy_set *set_of(const char *text)
{
	const struct policy_config config = { .counted_labels = true };
	AUTO(policy_builder_free) struct policy_builder *b = NULL;
	struct policy_set *set = NULL;
	struct err e = { 0 };

	if (policy_builder_new(&config, &b, &e) != ERR_OK ||
	    policy_builder_add_text(b, str_of(text), &e) != ERR_OK ||
	    policy_builder_finish(b, &set, &e) != ERR_OK)
		fail_msg("%s\n%s", e.msg, text);
	return set;
}

/* What @n flows come to, as people read it. */
static struct made audit_of(const struct world *w, const char *policies, const struct flow *flows,
			    size_t n)
{
	AUTO(policy_set_free) struct policy_set *set = set_of(policies);
	AUTO(audit_free) struct audit *a = NULL;
	struct made m = { .text = buf_init(TEXT_MAX) };
	struct audit_report report;
	const struct audited said = { set, &report, STR(""), false };

	assert_int_equal(audit_new(set, w->dict, &a, NULL), ERR_OK);
	for (size_t i = 0; i < n; i++)
		assert_int_equal(audit_flow(a, &flows[i], NULL), ERR_OK);
	assert_int_equal(audit_finish(a, &report, NULL), ERR_OK);
	audit_put_text(&m.text, &said);
	assert_false(m.text.failed);
	return m;
}

#define KNP(name, spec)                                                                            \
	"apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\n"                                  \
	"metadata: {name: " name ", namespace: shop}\nspec: " spec "\n---\n"
#define CNP(name, spec)                                                                            \
	"apiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\n"                                    \
	"metadata: {name: " name ", namespace: shop}\nspec: " spec "\n---\n"
#define DB(ingress) KNP("db", "{podSelector: {matchLabels: {app: db}}, ingress: [" ingress "]}")
#define WEB_OUT(egress)                                                                            \
	CNP("web", "{endpointSelector: {matchLabels: {app: web}}, egress: [" egress "]}")
#define APP(name) "{podSelector: {matchLabels: {app: " name "}}}"

static void rules_without_flows_are_unused(void **state)
{
	struct world *w = *state;
	struct endpoint_id web = pod(w, "shop", "web-0", "web", "k8s:app=web"),
			   db = pod(w, "shop", "db-0", "db", "k8s:app=db");
	const struct flow flows[] = { flow_of(web, db, 5432), reply_to(flow_of(web, db, 5432)),
				      drop_of(web, db, 22) };
	struct made m =
		audit_of(w,
			 DB("{from: [" APP("web") "], ports: [{port: 5432}]}, "
						  "{from: [" APP("web") "], ports: [{port: 22}]}"),
			 flows, ARRAY_LEN(flows));

	/* what was denied did not use the rule that would have allowed it, nor is it called unused */
	HOLDS(m, "2 rules of 1 policy: 0 unused, 0 wider than seen, 1 not judged;");
	HOLDS(m,
	      "knp:shop/db#ingress[1]: flows match it, which were recorded as decided otherwise");
	HOLDS(m, "would deny 0 flows that passed, and allow 1 that were denied");
	LACKS(m, "UNUSED");
	buf_done(&m.text);
	m = audit_of(w,
		     DB("{from: [" APP("web") "], ports: [{port: 5432}]}, "
					      "{from: [" APP("cart") "], ports: [{port: 5432}]}"),
		     flows, ARRAY_LEN(flows));
	HOLDS(m, "UNUSED: no flow was decided by these\nknp:shop/db#ingress[1]\n");
	LACKS(m, "knp:shop/db#ingress[0]");
	buf_done(&m.text);
}

/* What passed at the source and was dropped at the destination did not use what would let it in. */
static void what_did_not_get_through_used_no_rule_there(void **state)
{
	struct world *w = *state;
	struct endpoint_id web = pod(w, "shop", "web-0", "web", "k8s:app=web"),
			   db = pod(w, "shop", "db-0", "db", "k8s:app=db");
	struct flow flows[] = { flow_of(web, db, 22), drop_of(web, db, 22), flow_of(web, db, 22) };

	flows[0].direction = FLOW__TRAFFIC_DIRECTION__EGRESS;
	struct made m = audit_of(w, DB("{from: [" APP("web") "]}"), flows, 2);
	HOLDS(m, "knp:shop/db#ingress[0]: flows match it, which were recorded as decided "
		 "otherwise\n");
	buf_done(&m.text);
	m = audit_of(w, DB("{from: [" APP("web") "]}"), flows, 3);
	HOLDS(m, "knp:shop/db#ingress[0]: 2 flows\n");
	buf_done(&m.text);
}

static void policies_of_nobody_are_told_once(void **state)
{
	struct world *w = *state;
	struct endpoint_id web = pod(w, "shop", "web-0", "web", "k8s:app=web"),
			   db = pod(w, "shop", "db-0", "db", "k8s:app=db");
	const struct flow flows[] = { flow_of(web, db, 5432) };
	struct made m = audit_of(
		w, KNP("x", "{podSelector: {matchLabels: {app: x}}, ingress: [{}]}"), flows, 1);

	HOLDS(m,
	      "UNUSED: no flow was decided by these\nknp:shop/x: selects no pod that is known\n");
	LACKS(m, "knp:shop/x#");
	buf_done(&m.text);
}

#define BOTH_WAYS                                                                                  \
	KNP("out", "{podSelector: {matchLabels: {app: web}}, policyTypes: [Egress], "              \
		   "egress: [{to: [" APP("db") "], ports: [{port: 5432}]}]}")

static void a_drop_at_the_destination_was_let_out_at_the_source(void **state)
{
	struct world *w = *state;
	struct endpoint_id web = pod(w, "shop", "web-0", "web", "k8s:app=web"),
			   db = pod(w, "shop", "db-0", "db", "k8s:app=db");
	struct flow out = flow_of(web, db, 5432), in = drop_of(web, db, 5432);
	const char *deny = BOTH_WAYS CNP(
		"stop",
		"{endpointSelector: {matchLabels: {app: db}}, ingressDeny: [{fromEndpoints: "
		"[{matchLabels: {app: web}}]}, {fromEndpoints: [{matchLabels: {app: x}}]}]}");

	out.direction = FLOW__TRAFFIC_DIRECTION__EGRESS;
	struct made m = audit_of(w, deny, (const struct flow[]){ out, in }, 2);
	HOLDS(m, "UNUSED: no flow was decided by these\ncnp:shop/stop#spec.ingressDeny[1]: denied "
		 "nothing\n");
	LACKS(m, "out#egress[0]");
	LACKS(m, "not as recorded");
	buf_done(&m.text);

	/* dropped at the source, it never met those of the destination */
	in.direction = FLOW__TRAFFIC_DIRECTION__EGRESS;
	m = audit_of(w, deny, &in, 1);
	HOLDS(m,
	      "cnp:shop/stop#spec.ingressDeny[0]: flows match it, which were recorded as decided "
	      "otherwise\n");
	HOLDS(m, "knp:shop/out#egress[0]: flows match it");
	buf_done(&m.text);
}

static void audit_mode_denies(void **state)
{
	struct world *w = *state;
	struct endpoint_id web = pod(w, "shop", "web-0", "web", "k8s:app=web"),
			   db = pod(w, "shop", "db-0", "db", "k8s:app=db");
	struct flow f = flow_of(web, db, 22);

	f.verdict = FLOW__VERDICT__AUDIT;
	struct made m = audit_of(w,
				 CNP("stop", "{endpointSelector: {matchLabels: {app: db}}, "
					     "ingressDeny: [{fromEndpoints: [{}]}]}"),
				 &f, 1);
	HOLDS(m, "1 rule of 1 policy: 0 unused,");
	LACKS(m, "not as recorded");
	buf_done(&m.text);
}

/* --- wide ------------------------------------------------------------------------------------- */

static void ports_that_were_not_seen_are_wide(void **state)
{
	struct world *w = *state;
	struct endpoint_id web = pod(w, "shop", "web-0", "web", "k8s:app=web"),
			   db = pod(w, "shop", "db-0", "db", "k8s:app=db");
	const struct flow flows[] = { flow_of(web, db, 5433), flow_of(web, db, 5432) };
	struct made m = audit_of(w,
				 DB("{from: [" APP("web") "], ports: [{port: 5432, endPort: 6432}, "
							  "{port: 9187}, {port: 5433}]}"),
				 flows, 2);

	HOLDS(m, "WIDER THAN SEEN: of what these rules allow, not all was used\n"
		 "knp:shop/db#ingress[0]: 2 flows\n"
		 "  ports  5432-6432/TCP: seen 5432/TCP, 5433/TCP\n"
		 "  ports  9187/TCP: never seen\n");
	LACKS(m, "ports  5433");
	LACKS(m, "peers");
	buf_done(&m.text);
	m = audit_of(w, DB("{from: [" APP("web") "]}"), flows, 2);
	HOLDS(m, "  ports  all: seen 5432/TCP, 5433/TCP\n");
	buf_done(&m.text);
}

/* "ANY" is one port, and DNS by UDP and TCP is one, too. */
static void protocols_that_belong_together_are_one_port(void **state)
{
	struct world *w = *state;
	struct endpoint_id web = pod(w, "shop", "web-0", "web", "k8s:app=web"),
			   db = pod(w, "shop", "db-0", "db", "k8s:app=db");
	const struct flow flows[] = { flow_of(web, db, 80), flow_of(web, db, 53) };
	struct made m = audit_of(w,
				 WEB_OUT("{toEndpoints: [{matchLabels: {app: db}}], toPorts: "
					 "[{ports: [{port: \"80\"}, {port: \"53\", protocol: UDP}, "
					 "{port: \"53\", protocol: TCP}]}]}"),
				 flows, 2);

	HOLDS(m, "1 rule of 1 policy: 0 unused, 0 wider than seen,");
	buf_done(&m.text);
	m = audit_of(w,
		     WEB_OUT("{toEndpoints: [{matchLabels: {app: db}}], toPorts: [{ports: [{port: "
			     "\"80\", protocol: UDP}, {port: \"80\", protocol: TCP}]}]}"),
		     flows, 2);
	HOLDS(m, "  ports  80/UDP: never seen\n");
	LACKS(m, "80/TCP:");
	buf_done(&m.text);
}

static void peers_that_never_came_are_wide(void **state)
{
	struct world *w = *state;
	struct endpoint_id web = pod(w, "shop", "web-0", "web", "k8s:app=web,k8s:tier=a"),
			   other = pod(w, "shop", "web-1", "web", "k8s:app=web,k8s:tier=a"),
			   cart = pod(w, "shop", "cart-0", "cart", "k8s:app=cart,k8s:tier=a"),
			   db = pod(w, "shop", "db-0", "db", "k8s:app=db");
	const struct flow flows[] = { flow_of(web, db, 5432), flow_of(cart, other, 80) };
	struct made m = audit_of(w,
				 DB("{from: [{podSelector: {matchLabels: {tier: a}}}, " APP(
					 "batch") "], "
						  "ports: [{port: 5432}]}"),
				 flows, 2);

	/* the other pod of a workload that came is no finding */
	HOLDS(m, "knp:shop/db#ingress[0]: 1 flow\n"
		 "  peers  tier=a in shop: seen shop/web; never shop/cart\n"
		 "  peers  app=batch in shop: never seen\n");
	LACKS(m, "ports");
	buf_done(&m.text);
}

static struct flow outwards(struct endpoint_id from, struct endpoint_id to, uint8_t c, uint8_t d)
{
	struct flow f = flow_of(from, to, 443);

	ip_from_v4(f.dst_ip, (const uint8_t[]){ 192, 0, c, d });
	return f;
}

static void blocks_are_compared_with_addresses(void **state)
{
	struct world *w = *state;
	struct endpoint_id web = pod(w, "shop", "web-0", "web", "k8s:app=web"),
			   out = entity(w, "reserved:world");
	struct flow flows[300] = { outwards(web, out, 2, 7), outwards(web, out, 2, 9) };
	const char *policy = WEB_OUT("{toCIDR: [192.0.0.0/8, 192.0.2.0/28, 203.0.113.0/24], "
				     "toPorts: [{ports: [{port: \"443\", protocol: TCP}]}]}");
	struct made m = audit_of(w, policy, flows, 2);

	HOLDS(m, "  peers  192.0.0.0/8: seen 192.0.2.7, 192.0.2.9 (all in 192.0.2.0/28)\n"
		 "  peers  203.0.113.0/24: never seen\n");
	LACKS(m, "peers  192.0.2.0/28");
	buf_done(&m.text);

	/* too many to be told one by one: whether they are in a smaller block is known all the same */
	for (size_t i = 0; i < ARRAY_LEN(flows); i++)
		flows[i] = outwards(web, out, (uint8_t)(i / 256), (uint8_t)i);
	m = audit_of(w, policy, flows, ARRAY_LEN(flows));
	HOLDS(m, "  peers  192.0.0.0/8: seen many (all in 192.0.0.0/23)\n");
	buf_done(&m.text);
	for (size_t i = 0; i < ARRAY_LEN(flows); i++)
		flows[i] = outwards(web, out, (uint8_t)i, 1);
	m = audit_of(w, WEB_OUT("{toCIDR: [192.0.0.0/16], toPorts: [{ports: [{port: \"443\"}]}]}"),
		     flows, ARRAY_LEN(flows));
	LACKS(m, "WIDER");
	buf_done(&m.text);
}

static void names_are_compared_with_names(void **state)
{
	struct world *w = *state;
	struct endpoint_id web = pod(w, "shop", "web-0", "web", "k8s:app=web"),
			   out = entity(w, "reserved:world");
	struct flow flows[2] = { outwards(web, out, 2, 7), outwards(web, out, 2, 9) };
	const char *policy = WEB_OUT(
		"{toFQDNs: [{matchName: api.example}, {matchName: old.example}, {matchPattern: "
		"\"*.shop.example\"}], toPorts: [{ports: [{port: \"443\"}]}]}");

	struct made m = audit_of(w, policy, flows, 2);
	HOLDS(m, "cnp:shop/web#spec.egress[0]: DNS names are asked for, and of an address that its "
		 "pods reach none is known\n");
	buf_done(&m.text);
	with_name(w, &flows[0], "api.example");
	with_name(w, &flows[1], "a.shop.example");
	m = audit_of(w, policy, flows, 2);
	HOLDS(m, "  peers  old.example: never seen\n"
		 "  peers  *.shop.example: seen a.shop.example\n");
	LACKS(m, "peers  api.example");
	buf_done(&m.text);

	/* one more, of which nobody knows the name: on this port it may be any */
	const struct flow more[] = { flows[0], flows[1], outwards(web, out, 2, 8) };
	m = audit_of(w, policy, more, 3);
	LACKS(m, "old.example");
	buf_done(&m.text);
	const struct flow others[] = { outwards(web, out, 2, 8) };
	m = audit_of(w,
		     WEB_OUT("{toFQDNs: [{matchName: api.example}], toPorts: [{ports: [{port: "
			     "\"80\"}]}]}"),
		     others, 1);
	HOLDS(m, "UNUSED: no flow was decided by these\ncnp:shop/web#spec.egress[0]\n");
	buf_done(&m.text);
}

static void whom_the_world_uses_is_not_wide_for_anybody(void **state)
{
	struct world *w = *state;
	struct endpoint_id web = pod(w, "shop", "web-0", "web", "k8s:app=web"),
			   db = pod(w, "shop", "db-0", "db", "k8s:app=db"),
			   out = entity(w, "reserved:world");
	const struct flow flows[] = { flow_of(web, db, 5432), flow_of(out, db, 5432) };
	const char *policy = DB("{ports: [{port: 5432}]}");
	struct made m = audit_of(w, policy, flows, 1);

	HOLDS(m, "knp:shop/db#ingress[0]: 1 flow\n  peers  anybody: seen shop/web\n");
	buf_done(&m.text);
	m = audit_of(w, policy, flows, 2);
	LACKS(m, "WIDER");
	buf_done(&m.text);
}

static void entities_are_told_as_they_were_written(void **state)
{
	struct world *w = *state;
	struct endpoint_id web = pod(w, "shop", "web-0", "web", "k8s:app=web"),
			   db = pod(w, "shop", "db-0", "db", "k8s:app=db"),
			   out = entity(w, "reserved:world");
	const struct flow flows[] = { flow_of(web, db, 443), outwards(web, out, 2, 7) };
	struct made m = audit_of(w,
				 WEB_OUT("{toEntities: [cluster, world, host], toPorts: [{ports: "
					 "[{port: \"443\"}]}]}"),
				 flows, 2);

	HOLDS(m, "cnp:shop/web#spec.egress[0]: 2 flows\n"
		 "  peers  cluster: seen shop/db; never shop/web\n"
		 "  peers  world: seen 192.0.2.7\n"
		 "  peers  host: never seen\n");
	LACKS(m, "world-ipv4");
	buf_done(&m.text);
}

/* Written to match nothing, so that all is denied. */
static void empty_rules_are_no_finding(void **state)
{
	struct world *w = *state;
	struct endpoint_id web = pod(w, "shop", "web-0", "web", "k8s:app=web"),
			   db = pod(w, "shop", "db-0", "db", "k8s:app=db");
	struct flow f = drop_of(web, db, 80);

	f.direction = FLOW__TRAFFIC_DIRECTION__EGRESS;
	struct made m = audit_of(w, WEB_OUT("{}"), &f, 1);
	HOLDS(m, "0 rules of 1 policy: 0 unused,");
	LACKS(m, "UNUSED");
	buf_done(&m.text);
}

/* --- what is not covered ---------------------------------------------------------------------- */

static void pods_that_nobody_selects_are_open(void **state)
{
	struct world *w = *state;
	struct endpoint_id web = pod(w, "shop", "web-0", "web", "k8s:app=web"),
			   loose = pod(w, "shop", "db-1", "db", "k8s:app=other"),
			   db = pod(w, "shop", "db-0", "db", "k8s:app=db"),
			   far = pod(w, "shop", "far-0", "far",
				     "k8s:app=far,k8s:io.cilium.k8s.policy.cluster=other"),
			   host = entity(w, "reserved:host");
	const struct flow flows[] = { flow_of(web, db, 80), flow_of(web, loose, 80),
				      flow_of(web, loose, 81), flow_of(host, web, 80),
				      flow_of(far, db, 80) };
	struct made m = audit_of(w, DB("{}"), flows, ARRAY_LEN(flows));

	HOLDS(m, "OPEN: no policy selects these pods, everything is allowed\n"
		 "WORKLOAD   DIRECTION   PODS     FLOWS\n"
		 "shop/web   egress      1 of 1   3\n"
		 "shop/db    ingress     1 of 2   2\n"
		 "shop/web   ingress     1 of 1   1\n"
		 "shop/db    egress      2 of 2   0\n");
	LACKS(m, "shop/far ");
	HOLDS(m, "1 flow: a pod of another cluster than --policy-cluster\n");
	buf_done(&m.text);
}

static void what_nobody_denies_by_default_is_told(void **state)
{
	struct world *w = *state;
	struct endpoint_id web = pod(w, "shop", "web-0", "web", "k8s:app=web"),
			   db = pod(w, "shop", "db-0", "db", "k8s:app=db");
	const struct flow flows[] = { flow_of(web, db, 80), flow_of(web, db, 81) };
	struct made m = audit_of(
		w,
		CNP("soft", "{endpointSelector: {matchLabels: {app: web}}, enableDefaultDeny: "
			    "{egress: false}, egress: [{toPorts: [{ports: [{port: \"80\"}]}]}]}"),
		flows, 2);

	HOLDS(m, "ALLOWED BY DEFAULT: no rule allows these, and the policies there deny nothing\n"
		 "WORKLOAD   DIRECTION   FLOWS   POLICIES\n"
		 "shop/web   egress      1       cnp:shop/soft\n");
	buf_done(&m.text);
}

/* --- what flows name -------------------------------------------------------------------------- */

static void named(struct world *w, struct flow *f, uint32_t field, const char *name)
{
	AUTO_BUF struct buf policy = buf_init(1024);
	size_t at = w->ext.len;

	wire_put_str(&policy, 1, str_of(name));
	wire_put_str(&policy, 2, STR("shop"));
	wire_put_str(&policy, 5, STR("NetworkPolicy"));
	wire_put_str(&w->ext, field, buf_str(&policy));
	f->bits |= FLOW_HAS_POLICIES;
	f->ext = (const uint8_t *)w->ext.p + at;
	f->ext_len = (uint32_t)(w->ext.len - at);
}

#define TWO                                                                                        \
	DB("{from: [" APP("web") "], ports: [{port: 5432}]}")                                      \
	KNP("also", "{podSelector: {matchLabels: {app: db}}, ingress: [{from: [" APP("web") "]}]"  \
											    "}")

static void a_flow_counts_for_the_policies_that_it_names(void **state)
{
	struct world *w = *state;
	struct endpoint_id web = pod(w, "shop", "web-0", "web", "k8s:app=web"),
			   db = pod(w, "shop", "db-0", "db", "k8s:app=db");
	struct flow f = flow_of(web, db, 5432);

	(void)buf_reserve(&w->ext, 4096); /* flows borrow from it */
	struct made m = audit_of(w, TWO, &f, 1);
	LACKS(m, "UNUSED");
	buf_done(&m.text);
	named(w, &f, FLOW_FIELD_INGRESS_ALLOWED_BY, "db");
	m = audit_of(w, TWO, &f, 1);
	HOLDS(m, "UNUSED: no flow was decided by these\nknp:shop/also#ingress[0]\n");
	buf_done(&m.text);

	/* the list had no room for all of them */
	AUTO_BUF struct buf detail = buf_init(16);
	wire_put_u64(&detail, DETAIL_FIELD_POLICIES_LEFT_OUT, 1);
	wire_put_str(&w->ext, FLOW_FIELD_TYCHO, buf_str(&detail));
	f.ext_len = (uint32_t)(w->ext.p + w->ext.len - (const char *)f.ext);
	m = audit_of(w, TWO, &f, 1);
	LACKS(m, "UNUSED");
	buf_done(&m.text);

	/* of the other direction it names nobody */
	named(w, &f, FLOW_FIELD_EGRESS_ALLOWED_BY, "db");
	m = audit_of(w, TWO, &f, 1);
	LACKS(m, "UNUSED");
	buf_done(&m.text);

	named(w, &f, FLOW_FIELD_INGRESS_ALLOWED_BY, "mesh");
	m = audit_of(w, TWO, &f, 1);
	HOLDS(m, "incomplete: policies that are not among these decided 1 flow: knp:shop/mesh\n");
	buf_done(&m.text);
}

static void all_flows_that_others_decided_are_counted(void **state)
{
	enum { MANY = 100 };
	struct world *w = *state;
	struct endpoint_id web = pod(w, "shop", "web-0", "web", "k8s:app=web"),
			   db = pod(w, "shop", "db-0", "db", "k8s:app=db");
	struct flow flows[MANY];
	char name[16];

	(void)buf_reserve(&w->ext, 1 << 16); /* flows borrow from it */
	for (uint16_t i = 0; i < MANY; i++) {
		(void)snprintf(name, sizeof name, "mesh-%u", i);
		flows[i] = flow_of(web, db, (uint16_t)(1 + i));
		named(w, &flows[i], FLOW_FIELD_INGRESS_ALLOWED_BY, name);
	}
	struct made m = audit_of(w, TWO, flows, MANY);
	HOLDS(m,
	      "incomplete: policies that are not among these decided 100 flows: knp:shop/mesh-0");
	buf_done(&m.text);
}

/* Whoever decides names it; whoever sees the packet pass by does not. */
static void names_do_not_part_the_flows_of_a_connection(void **state)
{
	struct world *w = *state;
	struct endpoint_id web = pod(w, "shop", "web-0", "web", "k8s:app=web"),
			   db = pod(w, "shop", "db-0", "db", "k8s:app=db");
	struct flow flows[] = { flow_of(web, db, 22), drop_of(web, db, 22) };

	flows[0].direction = FLOW__TRAFFIC_DIRECTION__EGRESS;
	named(w, &flows[1], FLOW_FIELD_INGRESS_DENIED_BY, "db");
	struct made m =
		audit_of(w, DB("{from: [" APP("web") "], ports: [{port: 5432}]}"), flows, 2);
	LACKS(m, "not as recorded");
	buf_done(&m.text);
	m = audit_of(w, DB("{from: [" APP("web") "], ports: [{port: 22}]}"), flows, 2);
	HOLDS(m, "knp:shop/db#ingress[0]: flows match it, which were recorded");
	HOLDS(m, "would deny 0 flows that passed, and allow 1 that were denied");
	buf_done(&m.text);
}

/* What was in force was not what is in the file. */
static void a_rule_of_a_policy_that_was_another_is_not_judged(void **state)
{
	struct world *w = *state;
	struct endpoint_id web = pod(w, "shop", "web-0", "web", "k8s:app=web"),
			   db = pod(w, "shop", "db-0", "db", "k8s:app=db");
	struct flow f = flow_of(web, db, 99);

	named(w, &f, FLOW_FIELD_INGRESS_ALLOWED_BY, "db");
	struct made m = audit_of(w, TWO, &f, 1);
	HOLDS(m, "NOT JUDGED: no flow is known to have used these\n"
		 "knp:shop/db#ingress[0]: flows name its policy, and no rule of it is for them: "
		 "another version of it was in force\n");
	buf_done(&m.text);
}

/* --- what is not known ------------------------------------------------------------------------ */

static void rules_that_ask_for_what_nobody_told_are_not_judged(void **state)
{
	struct world *w = *state;
	struct endpoint_id web = pod(w, "shop", "web-0", "web", "k8s:app=web"),
			   db = pod(w, "shop", "db-0", "db", "k8s:app=db");
	const struct flow flows[] = { flow_of(web, db, 5432) };
	const char *policy = DB("{from: [" APP("web") "], ports: [{port: 5432}]}, "
						      "{ports: [{port: metrics}]}");
	const char *pods = "apiVersion: v1\nkind: Pod\nmetadata: {name: db-0, namespace: shop}\n"
			   "spec: {containers: [{name: a, ports: [{name: metrics, containerPort: "
			   "9187}]}]}\n---\n";
	char both[2048];

	struct made m = audit_of(w, policy, flows, 1);
	HOLDS(m, "knp:shop/db#ingress[1]: names of ports are asked for: give the Pods\n");
	LACKS(m, "UNUSED");
	buf_done(&m.text);
	(void)snprintf(both, sizeof both, "%s%s", pods, policy);
	m = audit_of(w, both, flows, 1);
	HOLDS(m, "UNUSED: no flow was decided by these\nknp:shop/db#ingress[1]\n");
	buf_done(&m.text);
}

/* An answer holds 64 rules: which others were for the connection, nobody knows. */
static void of_more_rules_than_an_answer_holds_none_is_unused(void **state)
{
	struct world *w = *state;
	AUTO_BUF struct buf policy = buf_init(1 << 16);
	struct endpoint_id web = pod(w, "shop", "web-0", "web", "k8s:app=web"),
			   db = pod(w, "shop", "db-0", "db", "k8s:app=db");
	const struct flow f = flow_of(web, db, 80);

	buf_lit(&policy,
		"apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: db, "
		"namespace: shop}\nspec: {podSelector: {}, ingress: [");
	for (int i = 0; i <= POLICY_BY_MAX; i++)
		buf_lit(&policy, "{ports: [{port: 80}]}, ");
	buf_lit(&policy, "{ports: [{port: 81}]}]}\n");
	struct made m = audit_of(w, buf_cstr(&policy), &f, 1);
	HOLDS(m, "66 rules of 1 policy: 0 unused, 64 wider than seen, 2 not judged;");
	HOLDS(m, "knp:shop/db#ingress[65]: more rules were for one connection than are told\n");
	buf_done(&m.text);
}

static void ends_that_nobody_named_are_not_known(void **state)
{
	struct world *w = *state;
	struct endpoint_id db = pod(w, "shop", "db-0", "db", "k8s:app=db"),
			   nobody = entity(w, "reserved:unknown");
	const struct flow flows[] = { flow_of(nobody, db, 1), flow_of(nobody, db, 2) };
	struct made m = audit_of(w, DB("{}"), flows, 2);

	HOLDS(m, "NOT KNOWN: what the policies decide\n"
		 "2 flows: who one of the ends is, is not known\n");
	buf_done(&m.text);
}

/* --- any flows -------------------------------------------------------------------------------- */

static uint32_t next(uint32_t *seed)
{
	*seed = *seed * 1664525 + 1013904223;
	return *seed >> 8;
}

enum { ENDS = 9, FLOWS = 400 };

static void any_ends(struct world *w, struct endpoint_id ends[ENDS])
{
	static const char *const labels[] = { "k8s:app=a", "k8s:app=b", "k8s:app=c,k8s:tier=x",
					      "k8s:app=d,k8s:tier=x" };

	for (size_t i = 0; i < 6; i++) {
		char name[8] = { 'p', (char)('0' + i) };

		ends[i] = pod(w, i < 4 ? "shop" : "other", name, name, labels[i % 4]);
	}
	ends[6] = entity(w, "reserved:world");
	ends[7] = entity(w, "reserved:host");
	ends[8] = entity(w, "reserved:unknown");
}

static struct flow any_flow(uint32_t *seed, const struct endpoint_id ends[ENDS])
{
	const struct endpoint_id from = ends[next(seed) % ENDS], to = ends[next(seed) % ENDS];
	uint16_t port = (uint16_t)(80 + next(seed) % 4);
	struct flow f = next(seed) % 4 ? flow_of(from, to, port) : drop_of(from, to, port);

	if (next(seed) % 3 == 0)
		f.direction = FLOW__TRAFFIC_DIRECTION__EGRESS;
	if (next(seed) % 11 == 0 && f.verdict == FLOW__VERDICT__DROPPED)
		f.verdict = FLOW__VERDICT__AUDIT;
	if (next(seed) % 5 == 0 && f.verdict == FLOW__VERDICT__FORWARDED)
		f = reply_to(f);
	f.time.v += next(seed) % 1000 * NS_PER_S;
	return f;
}

static const char any_policies[] = KNP(
	"a", "{podSelector: {matchLabels: {app: a}}, policyTypes: [Ingress, Egress], "
	     "ingress: [{from: [" APP(
		     "b") "], ports: [{port: 80}]}], "
			  "egress: [{to: [{podSelector: {}}], ports: [{port: 80, endPort: 81}]}]}")
	KNP("b", "{podSelector: {matchLabels: {app: b}}, ingress: [{from: [{ipBlock: {cidr: "
		 "10.0.0.0/8}}, {podSelector: {matchLabels: {tier: x}}}]}]}")
		CNP("c",
		    "{endpointSelector: {matchLabels: {app: c}}, ingressDeny: [{fromEndpoints: "
		    "[{matchLabels: {app: d}}]}], ingress: [{fromEntities: [cluster]}]}")
			CNP("d", "{endpointSelector: {matchLabels: {app: d}}, egress: [{toPorts: "
				 "[{ports: [{port: "
				 "\"80\", protocol: TCP}], rules: {http: [{}]}}]}]}");

static uint32_t any_field(uint32_t *seed)
{
	static const uint32_t fields[] = { FLOW_FIELD_EGRESS_ALLOWED_BY,
					   FLOW_FIELD_INGRESS_ALLOWED_BY,
					   FLOW_FIELD_EGRESS_DENIED_BY,
					   FLOW_FIELD_INGRESS_DENIED_BY };

	return fields[next(seed) % ARRAY_LEN(fields)];
}

/* How much is decided otherwise than it was recorded is what preview says of the same flows. */
static void changes_are_those_of_preview(void **state)
{
	struct world *w = *state;
	AUTO(policy_set_free) struct policy_set *set = set_of(any_policies);
	struct endpoint_id ends[ENDS];
	uint32_t seed = 7;

	any_ends(w, ends);
	for (int round = 0; round < 20; round++) {
		AUTO(audit_free) struct audit *a = NULL;
		AUTO(preview_free) struct preview *p = NULL;
		AUTO(own_free) struct preview_row *rows = NULL;
		struct audit_report report;
		struct preview_counts counts;
		size_t count, audited = 0;

		assert_int_equal(audit_new(set, w->dict, &a, NULL), ERR_OK);
		assert_int_equal(preview_new(set, NULL, w->dict, &p, NULL), ERR_OK);
		for (int i = 0; i < FLOWS; i++) {
			struct flow f = any_flow(&seed, ends);

			buf_reset(&w->ext);
			if (next(&seed) % 3 == 0)
				named(w, &f, any_field(&seed), next(&seed) % 2 ? "a" : "mesh");
			audited += f.verdict == FLOW__VERDICT__AUDIT;
			assert_int_equal(audit_flow(a, &f, NULL), ERR_OK);
			assert_int_equal(preview_flow(p, &f, NULL), ERR_OK);
		}
		assert_int_equal(audit_finish(a, &report, NULL), ERR_OK);
		assert_int_equal(preview_rows(p, &rows, &count, &counts, NULL), ERR_OK);
		assert_int_equal(report.newly_denied.flows, counts.flows[PREVIEW_DENIED]);
		assert_int_equal(report.newly_denied.connections,
				 counts.connections[PREVIEW_DENIED]);
		assert_int_equal(report.newly_allowed.flows, counts.flows[PREVIEW_ALLOWED]);
		assert_int_equal(report.newly_allowed.connections,
				 counts.connections[PREVIEW_ALLOWED]);
		assert_int_equal(report.other + audited, counts.other);
		assert_true(counts.flows[PREVIEW_DENIED] && counts.flows[PREVIEW_ALLOWED]);
	}
}

static void the_order_of_flows_does_not_matter(void **state)
{
	struct world *w = *state;
	struct endpoint_id ends[ENDS];
	struct flow flows[FLOWS];
	uint32_t seed = 3;
	struct made first = { .text = buf_init(TEXT_MAX) };

	any_ends(w, ends);
	for (int i = 0; i < FLOWS; i++)
		flows[i] = any_flow(&seed, ends);
	for (int round = 0; round < 5; round++) {
		struct made m = audit_of(w, any_policies, flows, FLOWS);

		if (!round)
			buf_str_put(&first.text, buf_str(&m.text));
		assert_string_equal(buf_cstr(&m.text), buf_cstr(&first.text));
		buf_done(&m.text);
		for (size_t i = FLOWS; i > 1; i--) {
			size_t j = next(&seed) % i;
			struct flow f = flows[i - 1];

			flows[i - 1] = flows[j];
			flows[j] = f;
		}
	}
	buf_done(&first.text);
}

/* Policies made of flows are just what these need. */
static void suggested_policies_have_no_findings(void **state)
{
	struct world *w = *state;
	struct endpoint_id web = pod(w, "shop", "web-0", "web", "k8s:app=web"),
			   db = pod(w, "shop", "db-0", "db", "k8s:app=db"),
			   dns = pod(w, "kube-system", "dns-0", "dns", "k8s:k8s-app=kube-dns"),
			   out = entity(w, "reserved:world");
	struct flow flows[] = { flow_of(web, db, 5432), flow_of(web, dns, 53),
				outwards(web, out, 2, 7), flow_of(out, web, 80),
				flow_of(db, web, 9000) };

	flows[1].l4 = FLOW_L4_UDP;
	for (int kind = 0; kind < 2; kind++) {
		const struct suggest_config config = kind ? cilium() : plain;
		struct made made = made_of(w, &config, flows, ARRAY_LEN(flows));
		struct made m = audit_of(w, buf_cstr(&made.text), flows, ARRAY_LEN(flows));

		HOLDS(m, ": 0 unused, 0 wider than seen, 0 not judged;");
		LACKS(m, "shop/web");
		LACKS(m, "shop/db");
		LACKS(m, "not as recorded");
		buf_done(&m.text);
		buf_done(&made.text);
	}
}

/* Beyond the limit each flow is asked by itself: what it used is not called unused. Nor do so many take
 * the room of those that are told. */
static void connections_beyond_the_limit_use_rules(void **state)
{
	struct world *w = *state;
	AUTO(policy_set_free)
	struct policy_set *set = set_of(DB("{ports: [{port: 1, endPort: 60000}]}, "
					   "{ports: [{port: 60001}]}"));
	AUTO(audit_free) struct audit *a = NULL;
	struct endpoint_id db = pod(w, "shop", "db-0", "db", "k8s:app=db"),
			   out = entity(w, "reserved:world");
	enum { CLIENTS = AUDIT_TEXTS_MAX };
	struct audit_report r;

	assert_true((int)CLIENTS > (int)AUDIT_CONNECTIONS_MAX);
	assert_int_equal(audit_new(set, w->dict, &a, NULL), ERR_OK);
	for (uint32_t i = 0; i < CLIENTS + 10; i++) {
		struct flow f = flow_of(out, db, i < CLIENTS ? 80 : 60001);

		ip_from_v4(f.src_ip, (const uint8_t[]){ 11, (uint8_t)(i >> 16), (uint8_t)(i >> 8),
							(uint8_t)i });
		assert_int_equal(audit_flow(a, &f, NULL), ERR_OK);
	}
	assert_int_equal(audit_finish(a, &r, NULL), ERR_OK);
	assert_int_equal(r.again, CLIENTS + 10 - AUDIT_CONNECTIONS_MAX);
	assert_int_equal(r.flows, CLIENTS + 10);
	assert_int_equal(r.rule_count, 2);
	assert_int_equal(r.rules[0].flows, CLIENTS);
	assert_int_equal(r.rules[1].flows, 10);
	assert_int_equal(r.results[AUDIT_UNUSED], 0);
	assert_int_equal(r.open_count, 1);
	assert_true(str_is(r.open[0].workload, "shop/db"));
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, suggest_setup, suggest_teardown)
	const struct CMUnitTest tests[] = {
		TEST(rules_without_flows_are_unused),
		TEST(what_did_not_get_through_used_no_rule_there),
		TEST(policies_of_nobody_are_told_once),
		TEST(a_drop_at_the_destination_was_let_out_at_the_source),
		TEST(audit_mode_denies),
		TEST(ports_that_were_not_seen_are_wide),
		TEST(protocols_that_belong_together_are_one_port),
		TEST(peers_that_never_came_are_wide),
		TEST(blocks_are_compared_with_addresses),
		TEST(names_are_compared_with_names),
		TEST(whom_the_world_uses_is_not_wide_for_anybody),
		TEST(entities_are_told_as_they_were_written),
		TEST(empty_rules_are_no_finding),
		TEST(pods_that_nobody_selects_are_open),
		TEST(what_nobody_denies_by_default_is_told),
		TEST(a_flow_counts_for_the_policies_that_it_names),
		TEST(all_flows_that_others_decided_are_counted),
		TEST(names_do_not_part_the_flows_of_a_connection),
		TEST(a_rule_of_a_policy_that_was_another_is_not_judged),
		TEST(rules_that_ask_for_what_nobody_told_are_not_judged),
		TEST(of_more_rules_than_an_answer_holds_none_is_unused),
		TEST(ends_that_nobody_named_are_not_known),
		TEST(changes_are_those_of_preview),
		TEST(the_order_of_flows_does_not_matter),
		TEST(suggested_policies_have_no_findings),
		TEST(connections_beyond_the_limit_use_rules),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
