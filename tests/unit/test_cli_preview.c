/* Recorded flows against policies: what is said to change, and what is said to be unknown. */
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "cli/preview.h"
#include "flow/dict.h"
#include "flow/fields.h"
#include "flow/flow.pb-c.h"
#include "flow/wire.h"
#include "policy_flow.h"

enum { EVENT_VERDICT = 5 };

struct world {
	struct flow_dict *dict;
	struct endpoint_id web, db, outside, nobody, far;
	struct buf ext;
};

static struct endpoint_id endpoint(struct world *w, const char *ns, const char *pod,
				   const char *label)
{
	const struct str labels[] = { str_of(label) };

	return flow_dict_endpoint(w->dict, &(struct endpoint){ .namespace_ = str_of(ns),
							       .pod = str_of(pod),
							       .labels = labels,
							       .label_count = 1 });
}

static int setup(void **state)
{
	struct world *w = calloc(1, sizeof *w);
	const struct str labels[] = { STR("k8s:app=web"),
				      STR("k8s:io.cilium.k8s.policy.cluster=other") };

	assert_int_equal(flow_dict_new(1000, &w->dict, NULL), ERR_OK);
	w->web = endpoint(w, "shop", "web-0", "k8s:app=web");
	w->db = endpoint(w, "shop", "db-0", "k8s:app=db");
	w->outside = endpoint(w, "", "", "reserved:world");
	w->nobody = endpoint(w, "", "", "reserved:unknown");
	w->far = flow_dict_endpoint(w->dict, &(struct endpoint){ .namespace_ = STR("shop"),
								 .pod = STR("far-0"),
								 .labels = labels,
								 .label_count = 2 });
	w->ext = buf_init(4096);
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

#define KNP(name, spec)                                                                            \
	"apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\n"                                  \
	"metadata: {name: " name ", namespace: shop}\nspec: " spec "\n---\n"
#define DB(ingress) KNP("db", "{podSelector: {matchLabels: {app: db}}, ingress: [" ingress "]}")
#define FROM_WEB "{from: [{podSelector: {matchLabels: {app: web}}}], ports: [{port: 5432}]}"

static struct policy_set *set_of(const char *text)
{
	const struct policy_config config = { 0 };
	AUTO(policy_builder_free) struct policy_builder *b = NULL;
	struct policy_set *set = NULL;
	struct err e = { 0 };

	if (policy_builder_new(&config, &b, &e) != ERR_OK ||
	    policy_builder_origin(b, STR(PREVIEW_ORIGIN_NEW), &e) != ERR_OK)
		fail_msg("%s", e.msg);
	/* a field that nobody knows is for an API server to have */
	policy_builder_served(b, strstr(text, "newer:") != NULL);
	if (policy_builder_add_text(b, str_of(text), &e) != ERR_OK ||
	    policy_builder_finish(b, &set, &e) != ERR_OK)
		fail_msg("%s", e.msg);
	return set;
}

/* What @n flows come to, as lines "change flows source destination port why". */
struct seen {
	struct buf text;
	struct preview_counts counts;
};

static struct seen put_to(struct world *w, const char *after_text, const char *before_text,
			  const struct flow *flows, size_t n)
{
	AUTO(policy_set_free) struct policy_set *after = set_of(after_text);
	AUTO(policy_set_free) struct policy_set *before = before_text ? set_of(before_text) : NULL;
	AUTO(preview_free) struct preview *p = NULL;
	AUTO(own_free) struct preview_row *rows = NULL;
	struct seen s = { .text = buf_init(1 << 16) };
	size_t count;

	assert_int_equal(preview_new(after, before, w->dict, &p, NULL), ERR_OK);
	for (size_t i = 0; i < n; i++)
		assert_int_equal(preview_flow(p, &flows[i], NULL), ERR_OK);
	assert_int_equal(preview_rows(p, &rows, &count, &s.counts, NULL), ERR_OK);
	for (size_t i = 0; i < count; i++)
		buf_printf(&s.text, "%s %llu %.*s %.*s %u/%u %s %.*s\n",
			   preview_change_name(rows[i].change), (unsigned long long)rows[i].flows,
			   STR_FMT(rows[i].source), STR_FMT(rows[i].destination), rows[i].port,
			   rows[i].protocol, rows[i].direction == POLICY_INGRESS ? "in" : "out",
			   STR_FMT(rows[i].why));
	return s;
}

static void comes_to(struct world *w, const char *after, const char *before,
		     const struct flow *flows, size_t n, const char *want)
{
	struct seen s = put_to(w, after, before, flows, n);

	assert_string_equal(buf_cstr(&s.text), want);
	buf_done(&s.text);
}

/* --- without what was in force -------------------------------------------------------------- */

static void what_passed_and_no_rule_allows_is_newly_denied(void **state)
{
	struct world *w = *state;
	const struct flow flows[] = { flow_of(w->web, w->db, 5432), flow_of(w->web, w->db, 9999),
				      flow_of(w->web, w->db, 9999), flow_of(w->db, w->web, 80) };
	struct seen s = put_to(w, DB(FROM_WEB), NULL, flows, ARRAY_LEN(flows));

	assert_string_equal(buf_cstr(&s.text),
			    "denied 2 shop/web-0 shop/db-0 9999/6 in knp:shop/db\n");
	assert_int_equal(s.counts.flows[PREVIEW_SAME], 2);
	assert_int_equal(s.counts.connections[PREVIEW_SAME], 2);
	assert_int_equal(s.counts.connections[PREVIEW_DENIED], 1);
	assert_int_equal(s.counts.other, 0);
	buf_done(&s.text);
}

static void what_was_denied_and_a_rule_allows_is_newly_allowed(void **state)
{
	struct world *w = *state;
	const struct flow flows[] = { drop_of(w->web, w->db, 5432), drop_of(w->web, w->db, 1) };

	comes_to(w, DB(FROM_WEB), NULL, flows, 2,
		 "allowed 1 shop/web-0 shop/db-0 5432/6 in knp:shop/db#ingress[0]\n");
}

static void the_end_that_denies_is_told(void **state)
{
	struct world *w = *state;
	const struct flow flow = flow_of(w->web, w->db, 5432);

	comes_to(w, KNP("out", "{podSelector: {matchLabels: {app: web}}, policyTypes: [Egress]}"),
		 NULL, &flow, 1, "denied 1 shop/web-0 shop/db-0 5432/6 out knp:shop/out\n");
}

/* The node of the source saw it leave; the node of the destination dropped it. */
static void a_drop_at_the_destination_is_no_connection_that_passed(void **state)
{
	struct world *w = *state;
	struct flow flows[] = { flow_of(w->web, w->db, 1), drop_of(w->web, w->db, 1) };

	flows[0].direction = FLOW__TRAFFIC_DIRECTION__EGRESS;
	comes_to(w, DB(FROM_WEB), NULL, flows, 2, "");
	comes_to(w, DB("{}"), NULL, flows, 2,
		 "allowed 1 shop/web-0 shop/db-0 1/6 in knp:shop/db#ingress[0]\n");
}

static void a_record_that_has_it_both_ways_is_told_as_unknown(void **state)
{
	struct world *w = *state;
	const struct flow flows[] = { flow_of(w->web, w->db, 1), drop_of(w->web, w->db, 1) };

	comes_to(w, DB(FROM_WEB), NULL, flows, 2,
		 "unknown 2 shop/web-0 shop/db-0 1/6 in the record has it both ways\n");
}

static void a_reply_belongs_to_its_connection(void **state)
{
	struct world *w = *state;
	const struct flow flows[] = { reply_to(flow_of(w->web, w->db, 1)) };

	comes_to(w, DB(FROM_WEB), NULL, flows, 1,
		 "denied 1 shop/web-0 shop/db-0 1/6 in knp:shop/db\n");
}

/* Of a flow that does not say which way it went, only what opens a connection tells. */
static void a_flow_without_a_direction_counts_where_its_flags_tell(void **state)
{
	struct world *w = *state;
	struct flow flows[] = { flow_of(w->web, w->db, 1), reply_to(flow_of(w->web, w->db, 1)),
				flow_of(w->web, w->db, 1) };

	flows[0].tcp_flags = FLOW_TCP_SYN;
	flows[1].tcp_flags = FLOW_TCP_SYN | FLOW_TCP_ACK;
	flows[2].tcp_flags = FLOW_TCP_ACK;
	for (size_t i = 0; i < 3; i++)
		flows[i].is_reply = FLOW_REPLY_ABSENT;
	struct seen s = put_to(w, DB(FROM_WEB), NULL, flows, 3);
	assert_string_equal(buf_cstr(&s.text),
			    "denied 2 shop/web-0 shop/db-0 1/6 in knp:shop/db\n");
	assert_int_equal(s.counts.other, 1);
	buf_done(&s.text);
}

static void what_no_policy_decided_is_counted_and_left_alone(void **state)
{
	struct world *w = *state;
	struct flow flows[] = { flow_of(w->web, w->db, 1), drop_of(w->web, w->db, 1),
				flow_of(w->web, w->db, 1), flow_of(w->web, w->db, 1) };

	flows[0].type = FLOW__FLOW_TYPE__L7;
	flows[1].drop_desc = 2; /* no policy's reason */
	flows[2].dst_svc = flow_dict_service(
		w->dict, &(struct service){ .namespace_ = STR("shop"), .name = STR("db") });
	flows[2].dst_ep = w->outside; /* the service's own address */
	flows[3].verdict = FLOW__VERDICT__AUDIT;
	struct seen s = put_to(w, DB(FROM_WEB), NULL, flows, ARRAY_LEN(flows));
	assert_string_equal(buf_cstr(&s.text), "");
	assert_int_equal(s.counts.other, ARRAY_LEN(flows));
	buf_done(&s.text);
}

static void a_ping_is_asked_for_by_its_request(void **state)
{
	struct world *w = *state;
	struct flow flows[] = { flow_of(w->web, w->db, 0), flow_of(w->db, w->web, 0) };

	for (size_t i = 0; i < 2; i++) {
		memset(flows[i].l4_bytes, 0, sizeof flows[i].l4_bytes);
		flows[i].l4 = FLOW_L4_ICMP4;
	}
	flows[0].icmp_type = 8;
	flows[1].is_reply = FLOW_REPLY_TRUE;
	comes_to(w, DB(FROM_WEB), NULL, flows, 2,
		 "denied 2 shop/web-0 shop/db-0 8/1 in knp:shop/db\n");
}

/* --- what cannot be told ---------------------------------------------------------------------- */

static void an_end_that_nobody_named_is_unknown(void **state)
{
	struct world *w = *state;
	const struct flow flows[] = { flow_of(w->nobody, w->db, 5432),
				      flow_of((struct endpoint_id){ 0 }, w->db, 5432) };

	comes_to(w, DB(FROM_WEB), NULL, flows, 2,
		 "unknown 1 10.0.0.0 shop/db-0 5432/6 in who one of the ends is, is not known\n"
		 "unknown 1 10.0.0.4 shop/db-0 5432/6 in who one of the ends is, is not known\n");
}

static void a_pod_of_another_cluster_is_unknown(void **state)
{
	struct world *w = *state;
	const struct flow flow = flow_of(w->web, w->far, 5432);

	comes_to(w, DB(FROM_WEB), NULL, &flow, 1,
		 "unknown 1 shop/web-0 shop/far-0 5432/6 in a pod of another cluster than "
		 "--policy-cluster\n");
}

#define OUT(peers)                                                                                 \
	"apiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\n"                                    \
	"metadata: {name: out, namespace: shop}\n"                                                 \
	"spec: {endpointSelector: {}, egress: [{" peers "}]}\n"

static void what_rules_ask_for_and_nobody_told_is_unknown(void **state)
{
	struct world *w = *state;
	const struct flow outside = flow_of(w->web, w->outside, 443);
	const struct flow flow = flow_of(w->web, w->db, 5432);
	static const char namespaces[] = "{from: [{namespaceSelector: {matchLabels: {team: a}}}]}";
	static const char namespace_object[] =
		"apiVersion: v1\nkind: Namespace\nmetadata: {name: shop, labels: {team: a}}\n";
	AUTO_BUF struct buf text = buf_init(4096);

	buf_printf(&text, DB("%s"), namespaces);
	comes_to(w, buf_cstr(&text), NULL, &flow, 1,
		 "unknown 1 shop/web-0 shop/db-0 5432/6 in labels of namespaces are asked for: "
		 "give the Namespaces\n");
	buf_printf(&text, "%s", namespace_object);
	comes_to(w, buf_cstr(&text), NULL, &flow, 1, "");
	comes_to(w, DB("{ports: [{port: postgres}]}"), NULL, &flow, 1,
		 "unknown 1 shop/web-0 shop/db-0 5432/6 in names of ports are asked for: give the "
		 "Pods\n");
	comes_to(w, OUT("toCIDRSet: [{cidrGroupRef: a}]"), NULL, &outside, 1,
		 "unknown 1 shop/web-0 10.0.0.3 443/6 in groups of addresses are asked for: give "
		 "the CiliumCIDRGroups\n");
	comes_to(w,
		 OUT("toCIDRSet: [{cidrGroupRef: a}]") "---\napiVersion: cilium.io/v2\nkind: "
						       "CiliumCIDRGroup\nmetadata: {name: "
						       "b}\nspec: {externalCIDRs: [10.0.0.0/8]}\n",
		 NULL, &outside, 1, "denied 1 shop/web-0 10.0.0.3 443/6 out cnp:shop/out\n");
	comes_to(w, OUT("toGroups: [{aws: {region: x}}]"), NULL, &outside, 1,
		 "unknown 1 shop/web-0 10.0.0.3 443/6 in groups of a cloud are asked for, whose "
		 "addresses are not known\n");
	comes_to(w, OUT("toServices: [{k8sService: {serviceName: a}}]"), NULL, &outside, 1,
		 "unknown 1 shop/web-0 10.0.0.3 443/6 in services are asked for: give the Services "
		 "and EndpointSlices\n");
	/* what is allowed anyway needs none of it */
	comes_to(w, DB("{ports: [{port: postgres}]}, {}"), NULL, &flow, 1, "");
}

/* Another pod's policy decides nothing, whatever it asks for; nor does the other direction. */
static void what_others_ask_for_makes_nothing_unknown(void **state)
{
	struct world *w = *state;
	const struct flow flow = flow_of(w->web, w->db, 5432);
	static const char other[] = KNP(
		"x", "{podSelector: {matchLabels: {app: x}}, ingress: [{ports: [{port: "
		     "postgres}]}, {from: [{namespaceSelector: {matchLabels: {team: a}}}]}]}")
		KNP("out", "{podSelector: {matchLabels: {app: db}}, policyTypes: [Egress], egress: "
			   "[{ports: [{port: postgres}]}]}");
	AUTO_BUF struct buf text = buf_init(4096);

	buf_printf(&text, "%s%s", DB("{ports: [{port: 1}]}"), other);
	comes_to(w, buf_cstr(&text), NULL, &flow, 1,
		 "denied 1 shop/web-0 shop/db-0 5432/6 in knp:shop/db\n");
}

static void what_policies_of_nodes_decide_is_unknown(void **state)
{
	struct world *w = *state;
	const struct flow flow = flow_of(w->web, endpoint(w, "", "", "reserved:host"), 22);
	static const char nodes[] =
		"apiVersion: cilium.io/v2\nkind: CiliumClusterwideNetworkPolicy\n"
		"metadata: {name: n}\nspec: {nodeSelector: {}, ingress: [{fromEntities: "
		"[remote-node]}]}\n";

	comes_to(w, nodes, NULL, &flow, 1,
		 "unknown 1 shop/web-0 host 22/6 in policies of nodes decide there, if Cilium's "
		 "host firewall is on: they are not evaluated\n");
	comes_to(w, DB(FROM_WEB), NULL, &flow, 1, "");
}

static void where_policies_are_known_in_part_it_is_unknown(void **state)
{
	struct world *w = *state;
	const struct flow flow = flow_of(w->web, w->db, 5432);

	comes_to(w, DB(FROM_WEB) KNP("x", "{podSelector: {matchLabels: {app: x}}, newer: 1}"), NULL,
		 &flow, 1,
		 "unknown 1 shop/web-0 shop/db-0 5432/6 in a policy there has fields that are not "
		 "known\n");
}

static void an_address_without_its_name_is_unknown_where_names_are_asked_for(void **state)
{
	struct world *w = *state;
	struct flow flow = flow_of(w->web, w->outside, 443);
	static const char policy[] =
		"apiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\n"
		"metadata: {name: out, namespace: shop}\n"
		"spec: {endpointSelector: {}, egress: [{toFQDNs: [{matchName: api.example}]}]}\n";

	comes_to(w, policy, NULL, &flow, 1,
		 "unknown 1 shop/web-0 10.0.0.3 443/6 in DNS names are asked for, and none is "
		 "known of the address\n");
	wire_put_str(&w->ext, FLOW_FIELD_DESTINATION_NAMES, STR("other.example"));
	flow.ext = (const uint8_t *)w->ext.p;
	flow.ext_len = (uint32_t)w->ext.len;
	comes_to(w, policy, NULL, &flow, 1,
		 "denied 1 shop/web-0 other.example 443/6 out cnp:shop/out\n");
}

static void rules_of_a_proxy_are_not_evaluated(void **state)
{
	struct world *w = *state;
	const struct flow flow = flow_of(w->web, w->db, 80);
	static const char policy[] =
		"apiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\n"
		"metadata: {name: api, namespace: shop}\n"
		"spec: {endpointSelector: {matchLabels: {app: db}}, ingress: [{toPorts: [{ports: "
		"[{port: '80', protocol: TCP}], rules: {http: [{method: GET}]}}]}]}\n";

	comes_to(w, policy, NULL, &flow, 1,
		 "unknown 1 shop/web-0 shop/db-0 80/6 in allowed as far as a proxy, whose rules "
		 "are not evaluated\n");
}

#define OF_DB(rules)                                                                               \
	"apiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\n"                                    \
	"metadata: {name: db, namespace: shop}\n"                                                  \
	"spec: {endpointSelector: {matchLabels: {app: db}}, ingress: [" rules "]}\n"

static void authentication_is_not_known_to_succeed(void **state)
{
	struct world *w = *state;
	const struct flow flow = flow_of(w->web, w->db, 80);
	static const char always_fails[] = OF_DB("{authentication: {mode: test-always-fail}, "
						 "fromEndpoints: [{}]}");
	static const char required[] = OF_DB("{authentication: {mode: required}, "
					     "fromEndpoints: [{}]}");

	comes_to(w, required, NULL, &flow, 1,
		 "unknown 1 shop/web-0 shop/db-0 80/6 in allowed once both ends are "
		 "authenticated, which nobody here knows\n");
	comes_to(w, always_fails, NULL, &flow, 1,
		 "denied 1 shop/web-0 shop/db-0 80/6 in cnp:shop/db#spec.ingress[0]\n");
}

static void what_is_dropped_until_it_is_authenticated_was_denied_by_nobody(void **state)
{
	struct world *w = *state;
	struct flow flow = drop_of(w->web, w->db, 80);

	flow.drop_desc = FLOW__DROP_REASON__AUTH_REQUIRED;
	flow.event_type = EVENT_VERDICT;
	struct seen s = put_to(w, OF_DB("{fromEndpoints: [{}]}"), NULL, &flow, 1);
	assert_int_equal(s.counts.other, 1);
	assert_string_equal(buf_cstr(&s.text), "");
	buf_done(&s.text);
}

static void rules_that_contradict_each_other_are_named(void **state)
{
	struct world *w = *state;
	const struct flow flow = flow_of(w->web, w->db, 80);
	static const char policy[] =
		OF_DB("{fromEndpoints: [{}], authentication: {mode: required}}, "
		      "{fromEndpoints: [{}], authentication: {mode: disabled}}");

	comes_to(w, policy, NULL, &flow, 1,
		 "unknown 1 shop/web-0 shop/db-0 80/6 in rules ask for different authentication: "
		 "cnp:shop/db#spec.ingress[0] and cnp:shop/db#spec.ingress[1]\n");
}

/* --- with what was in force ----------------------------------------------------------------- */

static void what_both_decide_alike_is_no_change_and_what_they_do_not_is(void **state)
{
	struct world *w = *state;
	const struct flow flows[] = { flow_of(w->web, w->db, 5432), drop_of(w->web, w->db, 1) };

	comes_to(w, DB(FROM_WEB) KNP("more", "{podSelector: {matchLabels: {app: web}}}"),
		 DB(FROM_WEB), flows, 2, "");
	comes_to(w, DB("{}"), DB(FROM_WEB), flows, 2,
		 "allowed 1 shop/web-0 shop/db-0 1/6 in knp:shop/db#ingress[0]\n");
	comes_to(w, DB(""), DB(FROM_WEB), flows, 2,
		 "denied 1 shop/web-0 shop/db-0 5432/6 in knp:shop/db\n");
}

static void a_record_that_the_policies_in_force_do_not_explain_is_unknown(void **state)
{
	struct world *w = *state;
	const struct flow flow = flow_of(w->web, w->db, 1);

	comes_to(w, DB(FROM_WEB) KNP("more", "{podSelector: {}}"), DB(FROM_WEB), &flow, 1,
		 "unknown 1 shop/web-0 shop/db-0 1/6 in the record is not what the policies of "
		 "--now decide\n");
}

/* --- limits ----------------------------------------------------------------------------------- */

static void connections_beyond_the_limit_are_counted(void **state)
{
	struct world *w = *state;
	AUTO(policy_set_free) struct policy_set *set = set_of(DB(FROM_WEB));
	AUTO(preview_free) struct preview *p = NULL;
	AUTO(own_free) struct preview_row *rows = NULL;
	struct preview_counts counts;
	size_t count;

	assert_int_equal(preview_new(set, NULL, w->dict, &p, NULL), ERR_OK);
	for (int i = 0; i <= UINT16_MAX; i++) {
		const struct flow f = flow_of(w->web, w->db, (uint16_t)i);
		assert_int_equal(preview_flow(p, &f, NULL), ERR_OK);
	}
	for (int i = 0; i < 3; i++) {
		const struct flow f = flow_of(w->db, w->web, (uint16_t)i);
		assert_int_equal(preview_flow(p, &f, NULL), ERR_OK);
	}
	assert_int_equal(preview_rows(p, &rows, &count, &counts, NULL), ERR_OK);
	assert_int_equal(counts.left_out, 3);
	assert_int_equal(counts.connections[PREVIEW_DENIED], UINT16_MAX); /* all but 5432 */
	assert_int_equal(counts.connections[PREVIEW_SAME], 1);
}

/* Beyond the room for names an end has none, which is no pod without labels. */
static void ends_that_there_was_no_room_for_are_unknown(void **state)
{
	struct world *w = *state;
	struct endpoint_id last = w->web;

	for (int i = 0; flow_dict_counts(w->dict).overflows == 0; i++) {
		char name[16];

		(void)snprintf(name, sizeof name, "p-%d", i);
		last = endpoint(w, "shop", name, "k8s:app=web");
	}
	assert_true(last.v > 0);
	const struct flow f = flow_of(last, w->db, 5432);
	comes_to(w, DB(FROM_WEB), NULL, &f, 1,
		 "unknown 1 10.0.3.233 shop/db-0 5432/6 in who one of the ends is, is not known\n");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(what_passed_and_no_rule_allows_is_newly_denied),
		TEST(what_was_denied_and_a_rule_allows_is_newly_allowed),
		TEST(the_end_that_denies_is_told),
		TEST(a_drop_at_the_destination_is_no_connection_that_passed),
		TEST(a_record_that_has_it_both_ways_is_told_as_unknown),
		TEST(a_reply_belongs_to_its_connection),
		TEST(a_flow_without_a_direction_counts_where_its_flags_tell),
		TEST(what_no_policy_decided_is_counted_and_left_alone),
		TEST(a_ping_is_asked_for_by_its_request),
		TEST(an_end_that_nobody_named_is_unknown),
		TEST(a_pod_of_another_cluster_is_unknown),
		TEST(what_rules_ask_for_and_nobody_told_is_unknown),
		TEST(what_others_ask_for_makes_nothing_unknown),
		TEST(what_policies_of_nodes_decide_is_unknown),
		TEST(where_policies_are_known_in_part_it_is_unknown),
		TEST(an_address_without_its_name_is_unknown_where_names_are_asked_for),
		TEST(rules_of_a_proxy_are_not_evaluated),
		TEST(authentication_is_not_known_to_succeed),
		TEST(what_is_dropped_until_it_is_authenticated_was_denied_by_nobody),
		TEST(rules_that_contradict_each_other_are_named),
		TEST(what_both_decide_alike_is_no_change_and_what_they_do_not_is),
		TEST(a_record_that_the_policies_in_force_do_not_explain_is_unknown),
		TEST(connections_beyond_the_limit_are_counted),
		TEST(ends_that_there_was_no_room_for_are_unknown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
