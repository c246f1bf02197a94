/* observer/upstream/agent_policy: which rules made the key that matched (reference 6.2, and the
 * rule forms of Cilium's L4Policy.GetModel). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>
#include <netinet/in.h>

#include "flow/flow.pb-c.h"
#include "observer/upstream/agent_policy.h"

#define ANYBODY                                                                                    \
	"&LabelSelector{MatchLabels:map[string]string{},MatchExpressions:[]"                       \
	"LabelSelectorRequirement{},}"
#define CLIENTS                                                                                    \
	"&LabelSelector{MatchLabels:map[string]string{any.app: client,},MatchExpressions:[]"       \
	"LabelSelectorRequirement{},}"
#define ADMINS                                                                                     \
	"&LabelSelector{MatchLabels:map[string]string{any.app: admin,},MatchExpressions:[]"        \
	"LabelSelectorRequirement{},}"
#define LABELS(name)                                                                               \
	"[\"k8s:io.cilium.k8s.policy.derived-from=CiliumNetworkPolicy\","                          \
	"\"k8s:io.cilium.k8s.policy.name=" name "\","                                              \
	"\"k8s:io.cilium.k8s.policy.namespace=shop\",\"k8s:io.cilium.k8s.policy.uid=u\"]"
#define RULE(inner, rest) "{\"rule\":\"" inner "\"," rest "}"
#define INNER(port, protocol, selectors)                                                           \
	"{\\\"port\\\":" port ",\\\"protocol\\\":\\\"" protocol                                    \
	"\\\",\\\"l7-rules\\\":[" selectors "]}"
#define OF(selector) "{\\\"" selector "\\\":null}"
#define DENY(selector) "{\\\"" selector "\\\":{\\\"verdict\\\":1}}"
#define FROM(sets) "\"derived-from-rules\":[" sets "]"

enum { CLIENT = 1001, ADMIN = 1002, STRANGER = 1003, EP = 42 };

static const char selectors[] =
	"[{\"selector\":\"" CLIENTS "\",\"identities\":[2000,1001],\"users\":1},"
	"{\"selector\":\"" ADMINS "\",\"identities\":[1002],\"users\":1},"
	"{\"selector\":\"" ANYBODY "\",\"identities\":[1001,1002,1003]}]";

static struct agent_policy *policy_of(const char *ingress, const char *egress)
{
	static char text[1 << 20];
	struct agent_policy *p;
	json_error_t where;

	(void)snprintf(text, sizeof text,
		       "[{\"id\":41},{\"id\":42,\"status\":{\"namedPorts\":[{\"name\":\"web\","
		       "\"port\":8080,\"protocol\":\"TCP\"}],\"policy\":{\"realized\":{"
		       "\"policy-revision\":17,\"l4\":{\"ingress\":[%s],\"egress\":[%s]}}}}}]",
		       ingress, egress);
	json_t *endpoints = json_loads(text, 0, &where);
	if (!endpoints)
		fail_msg("%s in %s", where.text, text);
	json_t *cache = json_loads(selectors, 0, &where);
	assert_non_null(cache);
	assert_int_equal(agent_policy_new(endpoints, cache, &p, NULL), ERR_OK);
	json_decref(endpoints);
	json_decref(cache);
	return p;
}

/* The names of the policies of a key, "a b"; as a flow's ingress_allowed_by they must parse. */
static const char *by(const struct agent_policy *p, enum agent_direction direction, bool denied,
		      uint32_t identity, uint8_t protocol, uint16_t port, uint32_t match_type)
{
	static char out[512];
	const struct agent_policy_key key = { EP,       direction, denied,    identity,
					      protocol, port,      match_type };
	AUTO_BUF struct buf b = buf_init(1 << 16);
	size_t n = agent_policy_put(p, &key, 21002, &b), at = 0;
	Flow__Flow *f = flow__flow__unpack(NULL, b.len, (const uint8_t *)b.p);

	assert_non_null(f);
	assert_int_equal(f->n_ingress_allowed_by, n);
	out[0] = 0;
	for (size_t i = 0; i < n; i++) {
		const Flow__Policy *policy = f->ingress_allowed_by[i];
		assert_string_equal(policy->namespace_, "shop");
		assert_string_equal(policy->kind, "CiliumNetworkPolicy");
		assert_int_equal(policy->revision, 17);
		assert_int_equal(policy->n_labels, 4);
		at += (size_t)snprintf(out + at, sizeof out - at, "%s%s", i ? " " : "",
				       policy->name);
	}
	flow__flow__free_unpacked(f, NULL);
	return out;
}
#define TCP_IN(p, who, port, type) by(p, AGENT_INGRESS, false, who, IPPROTO_TCP, port, type)

static void the_match_type_says_which_key_and_so_which_rule(void **state)
{
	(void)state;
	AUTO(agent_policy_free)
	struct agent_policy *p = policy_of(
		RULE(INNER("80", "TCP", OF(CLIENTS)), FROM(LABELS("l3l4"))) "," RULE(INNER("80", "TCP", OF(ANYBODY)), FROM(LABELS("l4"))) "," RULE(
			INNER("0", "TCP", OF(CLIENTS)),
			FROM(LABELS(
				"l3proto"))) "," RULE(INNER("0", "TCP", OF(ANYBODY)),
						      FROM(LABELS(
							      "proto"))) "," RULE(INNER("0", "ANY",
											OF(CLIENTS)),
										  FROM(LABELS(
											  "l3"))) "," RULE(INNER("0",
														 "ANY",
														 OF(ANYBODY)),
													   FROM(LABELS(
														   "all"))),
		"");
	assert_int_equal(agent_policy_rules(p), 6);
	assert_string_equal(TCP_IN(p, CLIENT, 80, 1), "l3");
	assert_string_equal(TCP_IN(p, CLIENT, 80, 2), "l3l4");
	assert_string_equal(TCP_IN(p, CLIENT, 80, 0), "l3l4"); /* looked up like 2 */
	assert_string_equal(TCP_IN(p, CLIENT, 80, 7), "l3l4");
	assert_string_equal(TCP_IN(p, CLIENT, 80, 3), "l4");
	assert_string_equal(TCP_IN(p, CLIENT, 80, 4), "all");
	assert_string_equal(TCP_IN(p, CLIENT, 80, 5), "l3proto");
	assert_string_equal(TCP_IN(p, CLIENT, 80, 6), "proto");
	assert_string_equal(TCP_IN(p, STRANGER, 80, 2), "");
	assert_string_equal(TCP_IN(p, CLIENT, 81, 2), "");
	assert_string_equal(by(p, AGENT_INGRESS, false, CLIENT, IPPROTO_UDP, 80, 2), "");
	assert_string_equal(by(p, AGENT_EGRESS, false, CLIENT, IPPROTO_TCP, 80, 2), "");
	assert_string_equal(by(p, AGENT_INGRESS, true, CLIENT, IPPROTO_TCP, 80, 2), "");
}

static void each_selector_has_its_own_rules_where_the_agent_says_so(void **state)
{
	(void)state;
	AUTO(agent_policy_free)
	struct agent_policy *p = policy_of(
		RULE(INNER("80", "TCP", OF(CLIENTS) "," OF(ADMINS)),
		     FROM(LABELS("one") "," LABELS("two") "," LABELS(
			     "three")) ","
				       "\"rules-by-selector\":{\"" CLIENTS "\":[" LABELS(
					       "one") "],"
						      "\"" ADMINS "\":[" LABELS("two") "," LABELS(
							      "three") "]}"),
		"");
	assert_string_equal(TCP_IN(p, CLIENT, 80, 2), "one");
	assert_string_equal(TCP_IN(p, ADMIN, 80, 2), "two three");
}

static void where_the_agent_does_not_say_only_what_is_sure_is_told(void **state)
{
	(void)state;
	AUTO(agent_policy_free)
	struct agent_policy *p = policy_of(
		"",
		RULE(INNER("80", "TCP", OF(CLIENTS) "," OF(ADMINS)),
		     FROM(LABELS("one") "," LABELS(
			     "two"))) "," RULE(INNER("81", "TCP", OF(CLIENTS) "," OF(ADMINS)),
					       FROM(LABELS(
						       "single"))) "," RULE(INNER("82", "TCP",
										  OF(CLIENTS)),
									    FROM(LABELS("one") "," LABELS(
										    "two"))));
	assert_string_equal(by(p, AGENT_EGRESS, false, CLIENT, IPPROTO_TCP, 80, 2), "");
	assert_string_equal(by(p, AGENT_EGRESS, false, ADMIN, IPPROTO_TCP, 81, 2), "single");
	assert_string_equal(by(p, AGENT_EGRESS, false, CLIENT, IPPROTO_TCP, 82, 2), "one two");
}

static void rules_that_deny_answer_for_denials_only(void **state)
{
	(void)state;
	AUTO(agent_policy_free)
	struct agent_policy *p = policy_of(
		RULE(INNER("80", "TCP", DENY(CLIENTS) "," OF(ADMINS)),
		     FROM(LABELS("no") "," LABELS(
			     "yes")) ","
				     "\"rules-by-selector\":{\"" CLIENTS
				     "\":[" LABELS("no") "],"
							 "\"" ADMINS "\":[" LABELS("yes") "]}"),
		"");
	assert_string_equal(by(p, AGENT_INGRESS, true, CLIENT, IPPROTO_TCP, 80, 2), "no");
	assert_string_equal(by(p, AGENT_INGRESS, false, CLIENT, IPPROTO_TCP, 80, 2), "");
	assert_string_equal(by(p, AGENT_INGRESS, false, ADMIN, IPPROTO_TCP, 80, 2), "yes");
	assert_string_equal(by(p, AGENT_INGRESS, true, ADMIN, IPPROTO_TCP, 80, 2), "");
}

static void ports_may_be_ranges_names_and_icmp_types(void **state)
{
	(void)state;
	AUTO(agent_policy_free)
	struct agent_policy *p = policy_of(
		RULE("{\\\"port\\\":1000,\\\"endPort\\\":1003,\\\"protocol\\\":\\\"TCP\\\","
		     "\\\"l7-rules\\\":[" OF(CLIENTS) "]}",
		     FROM(LABELS(
			     "range"))) "," RULE("{\\\"port\\\":0,\\\"port-name\\\":\\\"web\\\","
						 "\\\"protocol\\\":\\\"TCP\\\","
						 "\\\"l7-rules\\\":[" OF(CLIENTS) "]}",
						 FROM(LABELS(
							 "named"))) "," RULE("{\\\"port\\\":0,"
									     "\\\"port-name\\\":"
									     "\\\"none\\\","
									     "\\\"protocol\\\":"
									     "\\\"TCP\\\","
									     "\\\"l7-rules\\\":"
									     "[" OF(CLIENTS) "]}",
									     FROM(LABELS(
										     "unknow"
										     "n"))) "," RULE(INNER("8",
													   "ICMP",
													   OF(CLIENTS)),
												     FROM(LABELS(
													     "ping"))),
		"");
	assert_string_equal(TCP_IN(p, CLIENT, 999, 2), "");
	assert_string_equal(TCP_IN(p, CLIENT, 1000, 2), "range");
	assert_string_equal(TCP_IN(p, CLIENT, 1003, 2), "range");
	assert_string_equal(TCP_IN(p, CLIENT, 1004, 2), "");
	assert_string_equal(TCP_IN(p, CLIENT, 8080, 2), "named");
	assert_string_equal(TCP_IN(p, CLIENT, 80, 5), ""); /* a name nobody has is not "any port" */
	assert_string_equal(by(p, AGENT_INGRESS, false, CLIENT, IPPROTO_ICMP, 8, 2), "ping");
}

static void the_same_rules_twice_are_told_once(void **state)
{
	(void)state;
	AUTO(agent_policy_free)
	struct agent_policy *p = policy_of(
		RULE(INNER("80", "TCP", OF(CLIENTS)), FROM(LABELS("a"))) "," RULE(
			INNER("80", "TCP", OF(CLIENTS)), FROM(LABELS("a") "," LABELS("b"))),
		"");
	assert_string_equal(TCP_IN(p, CLIENT, 80, 2), "a b");
}

/* The policy map has an entry for 80, and of 79 to 90 those for 79, 80-87, 88-89 and 90: the key of
 * a port finds only what is for that port alone. */
static void an_entry_for_a_port_goes_before_those_for_several(void **state)
{
	(void)state;
	AUTO(agent_policy_free)
	struct agent_policy *p = policy_of(
		RULE(INNER("80", "TCP", OF(CLIENTS)), FROM(LABELS("one"))) "," RULE(
			INNER("90", "TCP", OF(CLIENTS)),
			FROM(LABELS("last"))) "," RULE("{\\\"port\\\":79,\\\"endPort\\\":90,"
						       "\\\"protocol\\\":\\\"TCP\\\","
						       "\\\"l7-rules\\\":[" OF(CLIENTS) "]}",
						       FROM(LABELS("range"))),
		"");
	assert_string_equal(TCP_IN(p, CLIENT, 80, 2), "one");
	assert_string_equal(TCP_IN(p, CLIENT, 90, 2), "last range");
	assert_string_equal(TCP_IN(p, CLIENT, 79, 2), "range");
	assert_string_equal(TCP_IN(p, CLIENT, 85, 2), "range"); /* Hubble says nothing here */
	assert_string_equal(TCP_IN(p, CLIENT, 91, 2), "");
}

/* Entries for the same: one that leads to a proxy takes the place of one that does not. */
static void of_rules_for_the_same_the_one_with_precedence_counts(void **state)
{
	(void)state;
#define HTTP(selector) "{\\\"" selector "\\\":{\\\"http\\\":[{}]}}"
#define LISTENER(selector, priority)                                                               \
	"{\\\"" selector "\\\":{\\\"listenerPriority\\\":" priority "}}"
	static const char plain[] = RULE(INNER("80", "TCP", OF(CLIENTS)), FROM(LABELS("plain"))),
			  http[] = RULE(INNER("80", "TCP", HTTP(CLIENTS)), FROM(LABELS("http"))),
			  last[] = RULE(INNER("80", "TCP", LISTENER(CLIENTS, "101")),
					FROM(LABELS("last"))),
			  first[] = RULE(INNER("80", "TCP", LISTENER(CLIENTS, "1")),
					 FROM(LABELS("first")));
	static const struct {
		const char *one, *other, *want;
	} cases[] = {
		{ plain, http, "http" },   { http, plain, "http" },   { last, plain, "last" },
		{ http, last, "last" },    { first, last, "first" },  { last, first, "first" },
		{ plain, plain, "plain" }, { first, first, "first" },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char both[4096];
		(void)snprintf(both, sizeof both, "%s,%s", cases[i].one, cases[i].other);
		AUTO(agent_policy_free) struct agent_policy *p = policy_of(both, "");
		assert_string_equal(TCP_IN(p, CLIENT, 80, 2), cases[i].want);
	}
}

/* As the agent merges lists that are sorted by the texts of their labels. */
static void policies_of_several_rules_are_told_in_order(void **state)
{
	(void)state;
	AUTO(agent_policy_free)
	struct agent_policy *p = policy_of(
		RULE(INNER("80", "TCP", OF(CLIENTS)), FROM(LABELS("b") "," LABELS("e"))) "," RULE(
			INNER("80", "TCP", OF(CLIENTS)),
			FROM(LABELS("a") "," LABELS("b") "," LABELS("c") "," LABELS("f"))),
		"");
	assert_string_equal(TCP_IN(p, CLIENT, 80, 2), "a b c e f");
}

/* How many of a key's policies are named, and how many more the flow says there are. */
static void count_policies(const struct agent_policy *p, size_t *ret_named, size_t *ret_left_out)
{
	const struct agent_policy_key key = {
		EP, AGENT_INGRESS, false, CLIENT, IPPROTO_TCP, 80, 2
	};
	AUTO_BUF struct buf b = buf_init(1 << 16);
	size_t n = agent_policy_put(p, &key, 21002, &b);
	Flow__Flow *f = flow__flow__unpack(NULL, b.len, (const uint8_t *)b.p);

	assert_non_null(f);
	assert_int_equal(f->n_ingress_allowed_by, n);
	*ret_named = n;
	*ret_left_out = f->tycho ? f->tycho->policies_left_out : 0;
	flow__flow__free_unpacked(f, NULL);
}

/* "p000", "p001" …: rule sets of one filter. */
static void put_names(struct buf *b, int first, int count)
{
	buf_lit(b, "{\"rule\":\"" INNER("80", "TCP", OF(CLIENTS)) "\",\"derived-from-rules\":[");
	for (int i = first; i < first + count; i++)
		buf_printf(b,
			   "%s[\"k8s:io.cilium.k8s.policy.derived-from=CiliumNetworkPolicy\","
			   "\"k8s:io.cilium.k8s.policy.name=p%05d\"]",
			   i > first ? "," : "", i);
	buf_lit(b, "]}");
}

static void policies_beyond_the_most_are_counted_each_once(void **state)
{
	(void)state;
	static const struct {
		int one, other; /* rule sets of two filters, from the first on */
		size_t named, left_out;
	} cases[] = {
		{ 64, 0, 64, 0 }, { 65, 1, 64, 1 }, { 40, 100, 64, 36 }, { 1000, 1000, 64, 936 }
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		AUTO_BUF struct buf text = buf_init(1 << 20);
		size_t named, left_out;
		put_names(&text, 0, cases[i].one);
		buf_char(&text, ',');
		put_names(&text, 0, cases[i].other);
		AUTO(agent_policy_free) struct agent_policy *p = policy_of(buf_cstr(&text), "");
		count_policies(p, &named, &left_out);
		assert_int_equal(named, cases[i].named);
		assert_int_equal(left_out, cases[i].left_out);
	}
}

/* The only label of the only policy of a key, "" for none. */
static const char *own(const struct agent_policy *p, enum agent_direction direction, bool denied,
		       uint32_t identity, uint32_t match_type)
{
	static char out[128];
	const struct agent_policy_key key = { EP,          direction, denied,    identity,
					      IPPROTO_TCP, 80,        match_type };
	AUTO_BUF struct buf b = buf_init(1 << 16);
	size_t n = agent_policy_put(p, &key, 21002, &b);
	Flow__Flow *f = flow__flow__unpack(NULL, b.len, (const uint8_t *)b.p);

	assert_non_null(f);
	assert_in_range(n, 0, 1);
	out[0] = 0;
	if (n) {
		const Flow__Policy *policy = f->ingress_allowed_by[0];
		assert_int_equal(policy->n_labels, 1);
		assert_int_equal(policy->revision, 3);
		assert_string_equal(policy->name, "");
		(void)snprintf(out, sizeof out, "%s", policy->labels[0]);
	}
	flow__flow__free_unpacked(f, NULL);
	return out;
}

static struct agent_policy *policy_enabled(const char *enabled)
{
	json_t *endpoints = json_pack("[{s:i, s:{s:{s:{s:i, s:s}}}}]", "id", EP, "status", "policy",
				      "realized", "policy-revision", 3, "policy-enabled", enabled);
	struct agent_policy *p;

	assert_non_null(endpoints);
	assert_int_equal(agent_policy_new(endpoints, NULL, &p, NULL), ERR_OK);
	json_decref(endpoints);
	assert_int_equal(agent_policy_rules(p), 0); /* these are nobody's rules */
	return p;
}

/* What tests/oracle/correlation has of Cilium 1.19. */
static void what_no_rule_is_about_the_agent_allows_itself(void **state)
{
	(void)state;
	enum { HOST = 1, BY_ALL = 4, BY_IDENTITY = 1 };
	static const char in[] = "reserved:io.cilium.policy.derived-from=allow-any-ingress",
			  out[] = "reserved:io.cilium.policy.derived-from=allow-any-egress",
			  host[] = "reserved:io.cilium.policy.derived-from=allow-localhost-ingress";
	static const struct {
		const char *enabled;
		bool in, out, host;
	} cases[] = {
		{ "none", true, true, true },          { "ingress", false, true, true },
		{ "egress", true, false, true },       { "both", false, false, true },
		{ "audit-egress", true, false, true }, { "audit-both", false, false, true },
		{ "", false, false, false }, /* an agent that does not say */
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		AUTO(agent_policy_free) struct agent_policy *p = policy_enabled(cases[i].enabled);
		assert_string_equal(own(p, AGENT_INGRESS, false, CLIENT, BY_ALL),
				    cases[i].in ? in : "");
		assert_string_equal(own(p, AGENT_EGRESS, false, CLIENT, BY_ALL),
				    cases[i].out ? out : "");
		assert_string_equal(own(p, AGENT_INGRESS, false, HOST, BY_IDENTITY),
				    cases[i].host ? host : "");
		assert_string_equal(own(p, AGENT_INGRESS, false, CLIENT, BY_IDENTITY), "");
		assert_string_equal(own(p, AGENT_EGRESS, false, HOST, BY_IDENTITY), "");
		assert_string_equal(own(p, AGENT_INGRESS, true, HOST, BY_IDENTITY), "");
		assert_string_equal(own(p, AGENT_INGRESS, true, CLIENT, BY_ALL), "");
	}
}

static void what_is_no_policy_is_none(void **state)
{
	(void)state;
	AUTO(agent_policy_free)
	struct agent_policy *p =
		policy_of("7,{},{\"rule\":\"{\"},{\"rule\":\"{\\\"protocol\\\":\\\"X\\\"}\"},"
			  "{\"rule\":\"[]\"}," RULE(INNER("80", "TCP", "3,null"), FROM("4,[5]")),
			  "");
	assert_string_equal(TCP_IN(p, CLIENT, 80, 2), "");
	AUTO(agent_policy_free) struct agent_policy *none = NULL;
	assert_int_equal(agent_policy_new(NULL, NULL, &none, NULL), ERR_OK);
	assert_string_equal(TCP_IN(none, CLIENT, 80, 2), "");
}

/* ---- flows */

static struct endpoint_id side(struct flow_dict *d, uint32_t id, uint32_t identity)
{
	return flow_dict_endpoint(d, &(struct endpoint){ .id = id, .identity = identity });
}

static void verdict_flows_get_policies_as_hubble_gives_them(void **state)
{
	(void)state;
	AUTO(flow_dict_free) struct flow_dict *d = NULL;
	AUTO(agent_policies_free) struct agent_policies *all = NULL;
	assert_int_equal(flow_dict_new(100, &d, NULL), ERR_OK);
	assert_int_equal(agent_policies_new(&all, NULL), ERR_OK);
	const struct flow allowed = {
		.bits = FLOW_HAS_EVENT_TYPE | FLOW_HAS_IP,
		.event_type = 5,
		.verdict = FLOW__VERDICT__FORWARDED,
		.direction = FLOW__TRAFFIC_DIRECTION__INGRESS,
		.l4 = FLOW_L4_TCP,
		.dst_port = 80,
		.policy_match_type = 2,
		.src_ep = side(d, 0, CLIENT),
		.dst_ep = side(d, EP, 5000),
	};
	struct flow f = allowed;
	char bytes[2048];
	struct buf ext = buf_fixed(bytes, sizeof bytes);
	agent_policies_flow(all, d, &f, &ext);
	assert_int_equal(ext.len, 0); /* nothing is known yet */

	agent_policies_set_take(
		all, policy_of(RULE(INNER("80", "TCP", OF(CLIENTS)), FROM(LABELS("in"))) "," RULE(
				       INNER("81", "TCP", DENY(CLIENTS)), FROM(LABELS("deny"))),
			       RULE(INNER("80", "TCP", OF(CLIENTS)), FROM(LABELS("out")))));
	enum { CASES = 6 };
	struct flow flows[CASES];
	for (size_t i = 0; i < CASES; i++)
		flows[i] = allowed;
	/* ingress allowed, egress allowed, ingress denied */
	const char *want[CASES][3] = { { "in", NULL, NULL } };
	flows[1].direction = FLOW__TRAFFIC_DIRECTION__EGRESS;
	flows[1].src_ep = side(d, EP, 5000);
	flows[1].dst_ep = side(d, 0, CLIENT);
	want[1][1] = "out";
	flows[2].verdict = FLOW__VERDICT__DROPPED; /* by default: 133 */
	flows[2].drop_desc = 133;
	flows[2].dst_port = 81;
	flows[3].verdict = FLOW__VERDICT__DROPPED; /* by a rule */
	flows[3].drop_desc = 181;
	flows[3].dst_port = 81;
	want[3][2] = "deny";
	flows[4].verdict = FLOW__VERDICT__AUDIT;
	flows[5].verdict = FLOW__VERDICT__REDIRECTED;
	want[5][0] = "in";
	for (size_t i = 0; i < CASES; i++) {
		buf_reset(&ext);
		agent_policies_flow(all, d, &flows[i], &ext);
		Flow__Flow *m = flow__flow__unpack(NULL, ext.len, (const uint8_t *)ext.p);
		assert_non_null(m);
		assert_int_equal(m->n_ingress_allowed_by, want[i][0] != NULL);
		assert_int_equal(m->n_egress_allowed_by, want[i][1] != NULL);
		assert_int_equal(m->n_ingress_denied_by, want[i][2] != NULL);
		assert_int_equal(m->n_egress_denied_by, 0);
		if (want[i][0])
			assert_string_equal(m->ingress_allowed_by[0]->name, want[i][0]);
		if (want[i][1])
			assert_string_equal(m->egress_allowed_by[0]->name, want[i][1]);
		if (want[i][2])
			assert_string_equal(m->ingress_denied_by[0]->name, want[i][2]);
		assert_int_equal(flow_is(&flows[i], FLOW_HAS_POLICIES), ext.len > 0);
		flow__flow__free_unpacked(m, NULL);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_match_type_says_which_key_and_so_which_rule),
		cmocka_unit_test(each_selector_has_its_own_rules_where_the_agent_says_so),
		cmocka_unit_test(where_the_agent_does_not_say_only_what_is_sure_is_told),
		cmocka_unit_test(rules_that_deny_answer_for_denials_only),
		cmocka_unit_test(ports_may_be_ranges_names_and_icmp_types),
		cmocka_unit_test(the_same_rules_twice_are_told_once),
		cmocka_unit_test(an_entry_for_a_port_goes_before_those_for_several),
		cmocka_unit_test(of_rules_for_the_same_the_one_with_precedence_counts),
		cmocka_unit_test(policies_of_several_rules_are_told_in_order),
		cmocka_unit_test(policies_beyond_the_most_are_counted_each_once),
		cmocka_unit_test(what_no_rule_is_about_the_agent_allows_itself),
		cmocka_unit_test(what_is_no_policy_is_none),
		cmocka_unit_test(verdict_flows_get_policies_as_hubble_gives_them),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
