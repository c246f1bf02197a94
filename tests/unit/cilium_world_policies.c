/* The world's policies as the agent's REST API would tell them (status.policy.realized.l4 and
 * /v1/policy/selectors): one filter per entry of an endpoint's policy map, which allows and denies
 * alike, as the entries do not say which. */
#include "cilium_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "observer/upstream/agent_policy.h"

static long long integer_of(const json_t *object, const char *key)
{
	return (long long)json_real_value(json_object_get(object, key));
}

static const char *protocol_name(long long number)
{
	return number == 0     ? "ANY"
	       : number == 1   ? "ICMP"
	       : number == 6   ? "TCP"
	       : number == 17  ? "UDP"
	       : number == 58  ? "ICMPv6"
	       : number == 132 ? "SCTP"
			       : NULL;
}

/* A selector of one identity; 0 is everybody. */
static void selector_name(long long identity, char ret[32])
{
	(void)snprintf(ret, 32, identity ? "only-%lld" : "*", identity);
}

static json_t *filter_of(const json_t *entry, bool denies)
{
	char selector[32];

	selector_name(integer_of(entry, "identity"), selector);
	json_t *inner = json_pack("{s:I, s:s, s:[{s:{s:b}}]}", "port",
				  (json_int_t)integer_of(entry, "port"), "protocol",
				  protocol_name(integer_of(entry, "protocol")), "l7-rules",
				  selector, "isDeny", denies);
	assert_non_null(inner);
	char *text = json_dumps(inner, 0);
	json_t *labels = json_object_get(entry, "rule_labels");
	json_t *filter = json_pack("{s:s, s:O, s:{s:O}}", "rule", text, "derived-from-rules",
				   labels, "rules-by-selector", selector, labels);
	free(text);
	json_decref(inner);
	assert_non_null(filter);
	return filter;
}

static void add_endpoint(const json_t *endpoint, json_t *endpoints, json_t *selectors)
{
	json_t *filters[2] = { json_array(), json_array() }; /* ingress, egress */
	json_t *entry;
	size_t i;

	json_array_foreach(json_object_get(endpoint, "policies"), i, entry)
	{
		bool egress = strcmp(json_string_value(json_object_get(entry, "direction")),
				     "egress") == 0;
		char selector[32];
		long long identity = integer_of(entry, "identity");
		selector_name(identity, selector);
		for (int denies = 0; denies < 2; denies++)
			assert_int_equal(
				json_array_append_new(filters[egress], filter_of(entry, denies)),
				0);
		assert_int_equal(json_array_append_new(
					 selectors, json_pack("{s:s, s:[I]}", "selector", selector,
							      "identities", (json_int_t)identity)),
				 0);
	}
	json_t *told =
		json_pack("{s:I, s:{s:{s:{s:I, s:{s:o, s:o}}}}}", "id",
			  (json_int_t)integer_of(endpoint, "id"), "status", "policy", "realized",
			  "policy-revision", (json_int_t)integer_of(endpoint, "policy_revision"),
			  "l4", "ingress", filters[0], "egress", filters[1]);
	assert_non_null(told);
	assert_int_equal(json_array_append_new(endpoints, told), 0);
}

struct agent_policies *cilium_world_policies(const struct cilium_world *w)
{
	json_t *endpoints = json_array(), *selectors = json_array(), *endpoint;
	struct agent_policies *all = NULL;
	struct agent_policy *policy = NULL;
	size_t i;
	struct err e;

	json_array_foreach(json_object_get(w->json, "endpoints"), i, endpoint)
		add_endpoint(endpoint, endpoints, selectors);
	if (agent_policy_new(endpoints, selectors, &policy, &e) != ERR_OK ||
	    agent_policies_new(&all, &e) != ERR_OK)
		fail_msg("%s", e.msg);
	agent_policies_set_take(all, policy);
	json_decref(endpoints);
	json_decref(selectors);
	return all;
}
