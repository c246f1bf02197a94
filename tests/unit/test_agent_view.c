/* observer/upstream/agent_view: answers shaped as Cilium's api/v1/openapi.yaml says, good and bad.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "observer/upstream/agent_view.h"

/* 2023-11-14T22:13:20Z */
static const struct wall_ns asked = { UINT64_C(1700000000) * NS_PER_S };

struct read {
	json_t *json;
	struct agent_view *view;
};

static enum err_code read_parts(struct read *r, const char *text)
{
	json_error_t where;

	r->json = json_loads(text, 0, &where);
	if (!r->json)
		fail_msg("%s", where.text);
	const struct agent_answers a = {
		json_object_get(r->json, "endpoints"),
		json_object_get(r->json, "ips"),
		json_object_get(r->json, "identities"),
		json_object_get(r->json, "services"),
		json_object_get(r->json, "cgroups"),
		json_object_get(r->json, "fqdns"),
		asked,
	};
	return agent_view_new(&a, &r->view, NULL);
}

static struct read read_text(const char *text)
{
	struct read r = { 0 };

	assert_int_equal(read_parts(&r, text), ERR_OK);
	return r;
}

static void done(struct read *r)
{
	agent_view_free(r->view);
	json_decref(r->json);
}
#define READ __attribute__((cleanup(done))) struct read

static void assert_ip(const uint8_t ip[16], const char *text)
{
	uint8_t want[16];

	assert_true(ip_parse(str_of(text), want));
	assert_memory_equal(ip, want, 16);
}

static void no_answers_are_an_empty_view(void **state)
{
	(void)state;
	READ none = read_text("{}"), empty = read_text("{\"endpoints\":[],\"ips\":null}");
	assert_int_equal(none.view->prefix_count + none.view->service_count, 0);
	assert_int_equal(empty.view->prefix_count, 0);
	assert_int_equal(empty.view->left_out, 0);
}

static void an_endpoint_has_its_addresses_id_labels_and_pod(void **state)
{
	(void)state;
	READ r = read_text(
		"{\"endpoints\":[{\"id\":1072,\"status\":{\"state\":\"ready\","
		"\"external-identifiers\":{\"k8s-namespace\":\"shop\",\"k8s-pod-name\":\"cart-0\","
		"\"pod-name\":\"shop/cart-0\"},"
		"\"identity\":{\"id\":15292,\"labels\":[\"k8s:app=cart\","
		"\"k8s:io.cilium.k8s.policy.cluster=east\"]},"
		"\"networking\":{\"addressing\":[{\"ipv4\":\"10.0.1.5\",\"ipv6\":\"fd00::5\"}]}}}]"
		"}");
	assert_int_equal(r.view->prefix_count, 2);
	assert_int_equal(r.view->local_count, 2);
	const struct name_prefix *p = r.view->prefixes;
	assert_ip(p[0].ip, "10.0.1.5");
	assert_ip(p[1].ip, "fd00::5");
	for (size_t i = 0; i < 2; i++) {
		assert_int_equal(p[i].bits, 128);
		assert_true(p[i].local && p[i].verbatim);
		assert_true(p[i].pod_not_cached); /* the IP cache says nothing */
		assert_int_equal(p[i].endpoint.id, 1072);
		assert_int_equal(p[i].endpoint.identity, 15292);
		assert_true(str_is(p[i].endpoint.namespace_, "shop"));
		assert_true(str_is(p[i].endpoint.pod, "cart-0"));
		assert_int_equal(p[i].endpoint.label_count, 2);
		assert_true(str_is(p[i].endpoint.labels[0], "k8s:app=cart"));
		assert_int_equal(p[i].endpoint.workload_count, 0);
	}
}

static void an_older_agents_pod_name_is_taken_apart(void **state)
{
	(void)state;
	READ r = read_text("{\"endpoints\":[{\"id\":7,\"status\":{\"external-identifiers\":"
			   "{\"pod-name\":\"shop/cart-0\"},\"networking\":{\"addressing\":"
			   "[{\"ipv4\":\"10.0.1.5\"}]}}}]}");
	assert_int_equal(r.view->prefix_count, 1);
	assert_true(str_is(r.view->prefixes[0].endpoint.namespace_, "shop"));
	assert_true(str_is(r.view->prefixes[0].endpoint.pod, "cart-0"));
	assert_int_equal(r.view->prefixes[0].endpoint.identity, 0); /* it waits for one */
}

static void the_ip_cache_gives_identities_and_pods_of_addresses_and_prefixes(void **state)
{
	(void)state;
	READ r = read_text(
		"{\"endpoints\":[{\"id\":7,\"status\":{\"networking\":{\"addressing\":"
		"[{\"ipv4\":\"10.0.1.5\"}]}}}],"
		"\"ips\":[{\"cidr\":\"10.0.1.5/32\",\"identity\":15292,\"hostIP\":\"192.168.0.1\","
		"\"metadata\":{\"source\":\"k8s\",\"namespace\":\"shop\",\"name\":\"cart-0\"}},"
		"{\"cidr\":\"0.0.0.0/0\",\"identity\":2},{\"cidr\":\"fd00::/8\",\"identity\":6},"
		"{\"cidr\":\"::ffff:10.9.0.0/112\",\"identity\":9}]}");
	const struct name_prefix *p = r.view->prefixes;
	assert_int_equal(r.view->prefix_count, 5);
	assert_false(p[0].pod_not_cached);
	assert_false(p[1].local);
	assert_true(p[1].verbatim);
	assert_int_equal(p[1].bits, 128);
	assert_true(str_is(p[1].endpoint.pod, "cart-0"));
	assert_int_equal(p[1].endpoint.label_count, 0); /* those of the identity */
	assert_int_equal(p[2].bits, 96);
	assert_int_equal(p[2].endpoint.identity, 2);
	assert_int_equal(p[3].bits, 8);
	assert_int_equal(p[4].bits, 112);
}

static void identities_have_labels(void **state)
{
	(void)state;
	READ r = read_text("{\"identities\":[{\"id\":1,\"labels\":[\"reserved:host\"]},"
			   "{\"id\":15292,\"labels\":[\"k8s:a=b\",\"k8s:c=d\"]},{\"id\":3}]}");
	assert_int_equal(r.view->identity_count, 3);
	assert_int_equal(r.view->identities[1].identity, 15292);
	assert_int_equal(r.view->identities[1].label_count, 2);
	assert_true(str_is(r.view->identities[1].labels[1], "k8s:c=d"));
	assert_int_equal(r.view->identities[2].label_count, 0);
}

static void front_ends_have_names_external_ones_and_tcp_first(void **state)
{
	(void)state;
	READ r = read_text(
		"{\"services\":["
		"{\"spec\":{\"frontend-address\":{\"ip\":\"10.96.0.10\",\"port\":53,"
		"\"protocol\":\"UDP\",\"scope\":\"external\"},"
		"\"flags\":{\"name\":\"dns-udp\",\"namespace\":\"kube-system\"}}},"
		"{\"spec\":{\"frontend-address\":{\"ip\":\"10.96.0.10\",\"port\":53,"
		"\"protocol\":\"TCP\"},\"flags\":{\"name\":\"old\",\"namespace\":\"x\"}},"
		"\"status\":{\"realized\":{\"frontend-address\":{\"ip\":\"10.96.0.10\",\"port\":53,"
		"\"protocol\":\"TCP\"},\"flags\":{\"name\":\"dns\",\"namespace\":\"kube-system\"}}}"
		"},"
		"{\"spec\":{\"frontend-address\":{\"ip\":\"10.96.0.11\",\"port\":80,"
		"\"protocol\":\"TCP\",\"scope\":\"internal\"},\"flags\":{\"name\":\"inside\"}}},"
		"{\"spec\":{\"frontend-address\":{\"ip\":\"10.96.0.12\",\"port\":80}}}]}");
	assert_int_equal(r.view->service_count, 2);
	assert_true(str_is(r.view->services[0].service.name, "dns"));
	assert_ip(r.view->services[0].ip, "10.96.0.10");
	assert_int_equal(r.view->services[0].port, 53);
	assert_true(str_is(r.view->services[1].service.name, "dns-udp"));
	assert_int_equal(r.view->left_out, 0);
}

static void cgroups_have_the_first_address_of_each_family(void **state)
{
	(void)state;
	READ r = read_text("{\"cgroups\":{\"pod-metadatas\":[{\"name\":\"cart-0\","
			   "\"namespace\":\"shop\",\"ips\":[\"10.0.1.5\",\"fd00::5\",\"10.0.1.6\"],"
			   "\"containers\":[{\"cgroup-id\":77,\"cgroup-path\":\"/a\"},"
			   "{\"cgroup-id\":78}]}]}}");
	assert_int_equal(r.view->cgroup_count, 2);
	assert_true(r.view->cgroups[1].cgroup == 78);
	assert_ip(r.view->cgroups[1].ip4, "10.0.1.5");
	assert_ip(r.view->cgroups[1].ip6, "fd00::5");
}

/* model DNSLookup */
static void
names_that_endpoints_were_told_hold_as_long_as_the_agent_says_and_an_hour_more(void **state)
{
	(void)state;
	READ r = read_text(
		"{\"fqdns\":[{\"endpoint-id\":42,\"fqdn\":\"one.example.\",\"source\":\"lookup\","
		"\"ips\":[\"192.0.2.7\",\"2001:db8::7\"],\"ttl\":300,"
		"\"lookup-time\":\"2023-11-14T22:13:10.000Z\","
		"\"expiration-time\":\"2023-11-14T22:18:10.500Z\"},"
		/* over, but the agent still has it, for its connections go on */
		"{\"endpoint-id\":42,\"fqdn\":\"two.example.\",\"source\":\"connection\","
		"\"ips\":[\"192.0.2.8\"],\"expiration-time\":\"2023-11-14T22:00:00Z\"},"
		/* Go's zero time; none; years ahead */
		"{\"endpoint-id\":43,\"fqdn\":\"three.example.\",\"ips\":[\"192.0.2.9\"],"
		"\"expiration-time\":\"0001-01-01T00:00:00.000Z\"},"
		"{\"endpoint-id\":43,\"fqdn\":\"four.example.\",\"ips\":[\"192.0.2.9\"]},"
		"{\"endpoint-id\":43,\"fqdn\":\"five.example.\",\"ips\":[\"192.0.2.9\"],"
		"\"expiration-time\":\"2033-11-14T22:13:20Z\"},"
		/* the agent's own, and one without addresses */
		"{\"fqdn\":\"six.example.\",\"ips\":[\"192.0.2.9\"]},"
		"{\"endpoint-id\":43,\"fqdn\":\"seven.example.\",\"ips\":null}]}");
	const uint64_t hour = UINT64_C(3600) * NS_PER_S, week = 7 * 24 * hour;
	const struct {
		const char *ip, *name;
		uint32_t endpoint;
		uint64_t until;
	} want[] = {
		{ "192.0.2.7", "one.example.", 42, asked.v + UINT64_C(290500) * NS_PER_MS + hour },
		{ "2001:db8::7", "one.example.", 42,
		  asked.v + UINT64_C(290500) * NS_PER_MS + hour },
		{ "192.0.2.8", "two.example.", 42, asked.v + hour },
		{ "192.0.2.9", "three.example.", 43, asked.v + hour },
		{ "192.0.2.9", "four.example.", 43, asked.v + hour },
		{ "192.0.2.9", "five.example.", 43, asked.v + week + hour },
	};
	assert_int_equal(r.view->told_count, ARRAY_LEN(want));
	for (size_t i = 0; i < ARRAY_LEN(want); i++) {
		const struct name_told *t = &r.view->told[i];
		assert_ip(t->ip, want[i].ip);
		assert_true(str_is(t->name, want[i].name));
		assert_int_equal(t->endpoint, want[i].endpoint);
		assert_true(t->until.v == want[i].until);
	}
	assert_int_equal(r.view->left_out, 0);
	struct name_view names = agent_view_names(r.view);
	assert_int_equal(names.told_count, ARRAY_LEN(want));
	assert_false(names.keep_told);
}

static void what_cannot_be_read_is_left_out_and_counted(void **state)
{
	(void)state;
	READ r = read_text(
		"{\"endpoints\":[7,{\"id\":0},{\"id\":-1},{\"id\":65536},{\"id\":\"5\"},"
		"{\"id\":5,\"status\":{\"networking\":{\"addressing\":[{\"ipv4\":\"x\"},{},3]}}}],"
		"\"ips\":[{},{\"cidr\":\"10.0.0.0/"
		"33\",\"identity\":1},{\"cidr\":\"a\",\"identity\":1},"
		"{\"cidr\":\"10.0.0.1/32\"},{\"cidr\":\"10.0.0.1/32\",\"identity\":4294967296},"
		"{\"cidr\":\"10.0.0.2\",\"identity\":4}],"
		"\"identities\":[{\"id\":0},{\"labels\":[\"a\"]},{\"id\":9,\"labels\":[1,\"\","
		"\"k8s:x\"]}],"
		"\"services\":[{\"spec\":{\"frontend-address\":{\"ip\":\"x\",\"port\":1},"
		"\"flags\":{\"name\":\"n\"}}}],"
		"\"cgroups\":{\"pod-metadatas\":[{\"containers\":[{}]}]},"
		"\"fqdns\":[7,{\"endpoint-id\":\"1\",\"fqdn\":\"a.\",\"ips\":[\"10.0.0.1\"]},"
		"{\"endpoint-id\":65536,\"fqdn\":\"a.\",\"ips\":[\"10.0.0.1\"]},"
		"{\"endpoint-id\":1,\"ips\":[\"10.0.0.1\"]},"
		"{\"endpoint-id\":1,\"fqdn\":\"a.\",\"ips\":[\"10.0.0.1\"],"
		"\"expiration-time\":\"soon\"},"
		"{\"endpoint-id\":1,\"fqdn\":\"a.\",\"ips\":[\"x\",5,\"10.0.0.1\"]}]}");
	assert_int_equal(r.view->left_out, 6 + 5 + 2 + 1 + 1 + 5 + 2);
	assert_int_equal(r.view->told_count, 1);
	assert_int_equal(r.view->prefix_count, 1);
	assert_int_equal(r.view->identity_count, 1);
	assert_int_equal(r.view->identities[0].label_count, 1);
	assert_int_equal(r.view->service_count, 0);
}

static void an_answer_that_is_no_list_is_an_error(void **state)
{
	(void)state;
	static const char *const texts[] = { "{\"endpoints\":{}}", "{\"ips\":\"x\"}",
					     "{\"identities\":1}", "{\"services\":true}",
					     "{\"fqdns\":{}}" };
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		READ r = { 0 };
		assert_int_equal(read_parts(&r, texts[i]), ERR_PARSE);
		assert_null(r.view);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(no_answers_are_an_empty_view),
		cmocka_unit_test(an_endpoint_has_its_addresses_id_labels_and_pod),
		cmocka_unit_test(an_older_agents_pod_name_is_taken_apart),
		cmocka_unit_test(the_ip_cache_gives_identities_and_pods_of_addresses_and_prefixes),
		cmocka_unit_test(identities_have_labels),
		cmocka_unit_test(front_ends_have_names_external_ones_and_tcp_first),
		cmocka_unit_test(cgroups_have_the_first_address_of_each_family),
		cmocka_unit_test(
			names_that_endpoints_were_told_hold_as_long_as_the_agent_says_and_an_hour_more),
		cmocka_unit_test(what_cannot_be_read_is_left_out_and_counted),
		cmocka_unit_test(an_answer_that_is_no_list_is_an_error),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
