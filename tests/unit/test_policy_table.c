/* observer/policy: who is named for a drop or a verdict, how sure it is, and what is left alone. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "flow/wire.h"
#include "observer/drop_reason.h"
#include "policy_world.h"

/* --- what is named ---------------------------------------------------------------------------- */

static void a_drop_is_given_to_the_policies_that_deny_by_default(void **state)
{
	struct world *w = *state;

	in_force(w, DB_FROM_WEB);
	Flow__Flow *m = named(w, flow_of(EVENT_DROP, w->far, w->db, PORT));
	assert_int_equal(m->n_ingress_denied_by, 1);
	assert_int_equal(policies_of(m), 1);
	assert_string_equal(m->ingress_denied_by[0]->name, "db");
	assert_string_equal(m->ingress_denied_by[0]->namespace_, "shop");
	assert_string_equal(m->ingress_denied_by[0]->kind, "NetworkPolicy");
	assert_int_equal(m->ingress_denied_by[0]->revision, 42);
	assert_int_equal(m->ingress_denied_by[0]->n_labels, 1);
	assert_string_equal(m->ingress_denied_by[0]->labels[0], FLOW_POLICY_DERIVED_LABEL);
	assert_int_equal(source_of(m), 2); /* likely */
	assert_int_equal(m->tycho->n_policy_rules, 1);
	assert_string_equal(m->tycho->policy_rules[0], "knp:shop/db");
	done(m);
}

static void a_drop_that_no_policy_explains_names_nobody(void **state)
{
	struct world *w = *state;

	in_force(w, DB_FROM_WEB);
	Flow__Flow *m = named(w, flow_of(EVENT_DROP, w->web, w->db, PORT));
	assert_int_equal(policies_of(m), 0);
	assert_int_equal(source_of(m), 0);
	assert_int_equal(policy_table_counts(w->table).unexplained, 1);
	done(m);
}

static void a_verdict_of_a_rule_is_given_to_the_policies_that_agree(void **state)
{
	struct world *w = *state;

	in_force(w, DB_FROM_WEB);
	struct flow f = flow_of(EVENT_VERDICT, w->web, w->db, PORT);
	f.direction = FLOW__TRAFFIC_DIRECTION__INGRESS;
	f.verdict = FLOW__VERDICT__FORWARDED;
	Flow__Flow *m = named(w, f);
	assert_int_equal(m->n_ingress_allowed_by, 1);
	assert_int_equal(source_of(m), 1); /* derived */
	assert_string_equal(m->tycho->policy_rules[0], "knp:shop/db#ingress[0]");
	done(m);

	f = flow_of(EVENT_VERDICT, w->web, w->db, PORT + 1);
	f.direction = FLOW__TRAFFIC_DIRECTION__INGRESS;
	m = named(w, f);
	assert_int_equal(m->n_ingress_denied_by, 1);
	assert_int_equal(source_of(m), 1);
	done(m);
}

static void a_verdict_that_policies_contradict_is_marked_and_names_nobody(void **state)
{
	struct world *w = *state;

	in_force(w, DB_FROM_WEB);
	struct flow f = flow_of(EVENT_VERDICT, w->web, w->db, PORT);
	f.direction = FLOW__TRAFFIC_DIRECTION__INGRESS;
	Flow__Flow *m = named(w, f);
	assert_int_equal(policies_of(m), 0);
	assert_int_equal(source_of(m), 3);
	done(m);
}

/* The rule did not say which way: whoever agrees with it is named, and nobody contradicts. */
static void a_verdict_without_a_direction_is_given_to_who_agrees(void **state)
{
	struct world *w = *state;

	in_force(w, DB_FROM_WEB KNP("web", "{podSelector: {matchLabels: {app: web}}, policyTypes: "
					   "[Egress], egress: [{ports: [{port: 8080}, {port: "
					   "9090}]}]}"));
	static const struct {
		uint16_t port;
		bool passed;
		size_t egress_allowed, ingress_allowed, egress_denied, ingress_denied;
	} cases[] = { { PORT, true, 1, 1, 0, 0 },
		      { 9090, false, 0, 0, 0, 1 },
		      { 22, false, 0, 0, 1, 0 },
		      { PORT, false, 0, 0, 0, 0 } };

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct flow f = flow_of(EVENT_VERDICT, w->web, w->db, cases[i].port);
		f.direction = FLOW__TRAFFIC_DIRECTION__TRAFFIC_DIRECTION_UNKNOWN;
		if (cases[i].passed)
			f.verdict = FLOW__VERDICT__FORWARDED;
		Flow__Flow *m = named(w, f);
		assert_int_equal(m->n_egress_allowed_by, cases[i].egress_allowed);
		assert_int_equal(m->n_ingress_allowed_by, cases[i].ingress_allowed);
		assert_int_equal(m->n_egress_denied_by, cases[i].egress_denied);
		assert_int_equal(m->n_ingress_denied_by, cases[i].ingress_denied);
		assert_int_equal(source_of(m), policies_of(m) ? 2 : 0); /* derived, likely */
		done(m);
	}
}

/* Nor do policies contradict where they decide nothing. */
static void a_verdict_at_an_end_without_policies_contradicts_nobody(void **state)
{
	struct world *w = *state;

	in_force(w, DB_FROM_WEB);
	struct flow f = flow_of(EVENT_VERDICT, w->outside, w->db, PORT);
	f.direction = FLOW__TRAFFIC_DIRECTION__EGRESS; /* asked at an address outside */
	Flow__Flow *m = named(w, f);
	assert_int_equal(source_of(m), 0);
	done(m);
	in_force(w, "apiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\n"
		    "metadata: {name: db, namespace: shop}\n"
		    "spec: {endpointSelector: {matchLabels: {app: db}}, ingress: [{authentication: "
		    "{mode: required}, fromEntities: [all]}, {authentication: {mode: disabled}, "
		    "fromEntities: [all]}]}\n");
	f = flow_of(EVENT_VERDICT, w->web, w->db, PORT);
	f.direction = FLOW__TRAFFIC_DIRECTION__INGRESS; /* these rules cannot be computed */
	m = named(w, f);
	assert_int_equal(source_of(m), 0);
	assert_int_equal(policy_table_counts(w->table).contradicted, 0);
	done(m);
}

/* All that is outside is one endpoint. */
static void addresses_outside_have_answers_of_their_own(void **state)
{
	struct world *w = *state;

	in_force(w, KNP("db", "{podSelector: {matchLabels: {app: db}}, ingress: [{from: [{ipBlock: "
			      "{cidr: 192.0.2.1/32}}]}]}"));
	for (uint8_t last = 1; last <= 2; last++) {
		struct flow f = flow_of(EVENT_VERDICT, w->outside, w->db, PORT);

		f.direction = FLOW__TRAFFIC_DIRECTION__INGRESS;
		f.verdict = last == 1 ? FLOW__VERDICT__FORWARDED : FLOW__VERDICT__DROPPED;
		ip_from_v4(f.src_ip, (const uint8_t[]){ 192, 0, 2, last });
		Flow__Flow *m = named(w, f);
		assert_int_equal(source_of(m), 1);
		assert_int_equal(m->n_ingress_allowed_by, last == 1);
		assert_int_equal(m->n_ingress_denied_by, last == 2);
		done(m);
	}
}

/* An API server newer than we are gave a policy there of which we know only a part. */
static void where_policies_are_known_in_part_only_nothing_is_certain(void **state)
{
	struct world *w = *state;
	struct flow f = flow_of(EVENT_VERDICT, w->web, w->db, PORT);

	f.direction = FLOW__TRAFFIC_DIRECTION__INGRESS;
	f.verdict = FLOW__VERDICT__FORWARDED;
	assert_int_equal(
		policy_publish(w->table,
			       set_by(DB_FROM_WEB KNP("new", "{podSelector: {matchLabels: {app: "
							     "far}}, newer: 1}"),
				      true),
			       (struct wall_ns){ 1 }, NULL),
		ERR_OK);
	Flow__Flow *m = named(w, f);
	assert_int_equal(m->n_ingress_allowed_by, 1);
	assert_int_equal(source_of(m), 2); /* likely */
	done(m);
	f.verdict = FLOW__VERDICT__DROPPED;
	m = named(w, f);
	assert_int_equal(policies_of(m), 0);
	assert_int_equal(source_of(m), 0); /* and nobody is contradicted */
	done(m);
}

static void a_later_packet_of_a_connection_is_less_sure(void **state)
{
	struct world *w = *state;

	in_force(w, DB_FROM_WEB);
	struct flow f = flow_of(EVENT_VERDICT, w->far, w->db, PORT);
	f.direction = FLOW__TRAFFIC_DIRECTION__INGRESS;
	f.tcp_flags = FLOW_TCP_ACK;
	Flow__Flow *m = named(w, f);
	assert_int_equal(source_of(m), 2);
	done(m);
}

static void a_drop_between_pods_of_this_node_blames_the_sender_first(void **state)
{
	struct world *w = *state;

	in_force(w, DB_FROM_WEB KNP("closed", "{podSelector: {}, policyTypes: [Egress]}"));
	Flow__Flow *m = named(w, flow_of(EVENT_DROP, w->web, w->db, PORT + 1));
	assert_int_equal(m->n_egress_denied_by, 1);
	assert_int_equal(m->n_ingress_denied_by, 0);
	assert_string_equal(m->egress_denied_by[0]->name, "closed");
	done(m);
	/* one who lives elsewhere was asked elsewhere */
	m = named(w, flow_of(EVENT_DROP, w->far, w->db, PORT + 1));
	assert_int_equal(m->n_egress_denied_by, 0);
	assert_int_equal(m->n_ingress_denied_by, 1);
	done(m);
}

static void more_policies_than_a_list_holds_are_counted(void **state)
{
	struct world *w = *state;
	AUTO_BUF struct buf text = buf_init(65536);

	for (int i = 0; i < POLICY_NAMED_MAX + 2; i++)
		buf_printf(&text,
			   "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\n"
			   "metadata: {name: p%d, namespace: shop}\nspec: {podSelector: {}}\n---\n",
			   i);
	in_force(w, buf_cstr(&text));
	Flow__Flow *m = named(w, flow_of(EVENT_DROP, w->far, w->db, PORT));
	assert_int_equal(m->n_ingress_denied_by, POLICY_NAMED_MAX);
	assert_int_equal(m->tycho->n_policy_rules, POLICY_NAMED_MAX);
	assert_int_equal(m->tycho->policies_left_out, 2);
	done(m);
}

static void names_from_dns_open_what_rules_open_to_them(void **state)
{
	struct world *w = *state;

	in_force(w, "apiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\n"
		    "metadata: {name: out, namespace: shop}\n"
		    "spec: {endpointSelector: {}, egress: [{toFQDNs: [{matchPattern: "
		    "'*.example'}]}]}\n");
	struct flow f = flow_of(EVENT_VERDICT, w->web, w->outside, 443);
	f.direction = FLOW__TRAFFIC_DIRECTION__EGRESS;
	f.verdict = FLOW__VERDICT__FORWARDED;
	Flow__Flow *m = named(w, f);
	assert_int_equal(source_of(m), 3); /* nobody said that this address is so called */
	done(m);
	/* the last one of as many as an address can have: 16 learned, 64 of an agent */
	for (int i = 1; i < 16 + 64; i++)
		wire_put_str(&w->ext, 14, STR("other.test"));
	wire_put_str(&w->ext, 14, STR("shop.example"));
	f.bits |= FLOW_HAS_NAMES;
	m = named(w, f);
	assert_int_equal(m->n_egress_allowed_by, 1);
	assert_int_equal(source_of(m), 1);
	done(m);
}

/* --- what is left alone ----------------------------------------------------------------------- */

static void what_is_not_ours_to_say_is_left_alone(void **state)
{
	struct world *w = *state;
	struct flow cases[] = {
		flow_of(EVENT_TRACE, w->far, w->db, PORT), flow_of(EVENT_DROP, w->far, w->db, PORT),
		flow_of(EVENT_DROP, w->far, w->db, PORT),  flow_of(EVENT_DROP, w->far, w->db, PORT),
		flow_of(EVENT_DROP, w->far, w->db, PORT),  flow_of(EVENT_DROP, w->far, w->db, PORT),
	};

	in_force(w, DB_FROM_WEB);
	cases[1].drop_desc = DROP_REASON_NO_SOCKET; /* nobody listened: no policy's doing */
	cases[2].is_reply = FLOW_REPLY_TRUE;
	cases[3].l4 = FLOW_L4_NONE; /* a fragment */
	cases[4].bits &= ~(uint32_t)FLOW_HAS_SRC_IP;
	cases[5].dst_ep = w->outside; /* a service's own address */
	cases[5].dst_svc.v = 1;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		Flow__Flow *m = named(w, cases[i]);
		assert_int_equal(policies_of(m), 0);
		assert_int_equal(source_of(m), 0);
		done(m);
	}
	struct flow f = flow_of(EVENT_DROP, w->far, w->db, PORT);
	f.bits |= FLOW_HAS_POLICIES; /* its rule named one */
	policy_flow(w->table, &f, &w->ext);
	assert_int_equal(w->ext.len, 0);
	assert_int_equal(policy_table_counts(w->table).asked, 0);
}

/* Cilium: a rule allows it, and asks for authentication that has not taken place. */
static void what_is_dropped_until_it_is_authenticated_contradicts_nobody(void **state)
{
	struct world *w = *state;

	in_force(w, DB_FROM_WEB);
	struct flow f = flow_of(EVENT_VERDICT, w->web, w->db, PORT);
	f.direction = FLOW__TRAFFIC_DIRECTION__INGRESS;
	f.drop_desc = DROP_REASON_AUTH_REQUIRED;
	Flow__Flow *m = named(w, f);
	assert_int_equal(policies_of(m), 0);
	assert_int_equal(source_of(m), 0);
	assert_int_equal(policy_table_counts(w->table).contradicted, 0);
	done(m);
}

static void without_policies_nothing_is_said(void **state)
{
	struct world *w = *state;
	Flow__Flow *m = named(w, flow_of(EVENT_DROP, w->far, w->db, PORT));

	assert_int_equal(policies_of(m), 0);
	done(m);
	in_force(w, "");
	m = named(w, flow_of(EVENT_DROP, w->far, w->db, PORT));
	assert_int_equal(policies_of(m), 0);
	done(m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, world_make, world_free)
		TEST(a_drop_is_given_to_the_policies_that_deny_by_default),
		TEST(a_drop_that_no_policy_explains_names_nobody),
		TEST(a_verdict_of_a_rule_is_given_to_the_policies_that_agree),
		TEST(a_verdict_that_policies_contradict_is_marked_and_names_nobody),
		TEST(a_verdict_without_a_direction_is_given_to_who_agrees),
		TEST(a_verdict_at_an_end_without_policies_contradicts_nobody),
		TEST(addresses_outside_have_answers_of_their_own),
		TEST(where_policies_are_known_in_part_only_nothing_is_certain),
		TEST(a_later_packet_of_a_connection_is_less_sure),
		TEST(a_drop_between_pods_of_this_node_blames_the_sender_first),
		TEST(more_policies_than_a_list_holds_are_counted),
		TEST(names_from_dns_open_what_rules_open_to_them),
		TEST(what_is_not_ours_to_say_is_left_alone),
		TEST(what_is_dropped_until_it_is_authenticated_contradicts_nobody),
		TEST(without_policies_nothing_is_said),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
