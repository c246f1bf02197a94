/* lib/policy: whom a rule means: blocks, groups of them, services, namespaces, entities. */
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "flow/flow.h"
#include "policy_fixture.h"

static void bits_behind_the_length_of_a_block_do_not_count(void **state)
{
	(void)state;
	AUTO(policy_set_free)
	struct policy_set *set = set_of(
		KNP("a", "{podSelector: {}, ingress: [{from: [{ipBlock: {cidr: 10.0.0.255/24}},"
			 " {ipBlock: {cidr: '2001:db8:ff::/33'}},"
			 " {ipBlock: {cidr: '2001:db9:0:0:ffff::/65'}}]}]}"));
	static const struct {
		const char *ip;
		bool in;
	} cases[] = { { "10.0.0.0", true },         { "10.0.0.129", true },
		      { "10.0.1.0", false },        { "9.255.255.255", false },
		      { "2001:db8::", true },       { "2001:db8:7fff::1", true },
		      { "2001:db8:8000::", false }, { "2001:db9:0:0:8000::", true },
		      { "2001:db9::", false } };

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		uint8_t ip[1][16];
		assert_true(ip_parse(str_of(cases[i].ip), ip[0]));
		const struct policy_end from = { .ips = (const uint8_t(*)[16])ip, .ip_count = 1 };
		assert_int_equal(
			ask(set, POLICY_INGRESS, &web, &from, NULL, IPPROTO_TCP, 80).verdict,
			cases[i].in ? POLICY_ALLOWED : POLICY_DEFAULT_DENIED);
	}
}

static enum policy_verdict egress_to(const struct policy_set *set, const char *address)
{
	uint8_t ip[1][16];

	assert_true(ip_parse(str_of(address), ip[0]));
	const struct policy_end to = { .ips = (const uint8_t(*)[16])ip, .ip_count = 1 };
	return ask(set, POLICY_EGRESS, &web, &to, NULL, IPPROTO_TCP, 80).verdict;
}

static void a_block_has_no_address_of_the_other_family(void **state)
{
	(void)state;
	static const char *const policies[] = {
		CNP("{endpointSelector: {}, egress: [{toCIDR: ['::/0']}]}"),
		CNP("{endpointSelector: {}, egress: [{toCIDRSet: [{cidr: '::/1'}]}]}"),
		CNP("{endpointSelector: {}, egress: [{toCIDR: ['::ffff:0:0/96']}]}"),
		KNP("a", "{podSelector: {}, egress: [{to: [{ipBlock: {cidr: '::/0'}}]}]}"),
	};

	for (size_t i = 0; i < ARRAY_LEN(policies); i++) {
		AUTO(policy_set_free) struct policy_set *set = set_of(policies[i]);

		assert_int_equal(egress_to(set, "192.0.2.7"), POLICY_DEFAULT_DENIED);
	}
	AUTO(policy_set_free)
	struct policy_set *set = set_of(CNP("{endpointSelector: {}, egress: [{toCIDR: ['::/0']}],"
					    " egressDeny: [{toCIDR: [0.0.0.0/0]}]}"));
	assert_int_equal(egress_to(set, "2001:db8::7"), POLICY_ALLOWED);
	assert_int_equal(egress_to(set, "192.0.2.7"), POLICY_DENIED);
}

/* Cilium 1.19, pkg/ipcache/metadata.go (mergeParentLabels): labels of all groups that an address is in,
 * the longest block first. */
static void groups_are_selected_by_all_that_an_address_is_in(void **state)
{
	(void)state;
#define GROUP(name, labels, block)                                                                 \
	"---\napiVersion: cilium.io/v2\nkind: CiliumCIDRGroup\n"                                   \
	"metadata: {name: " name ", labels: {" labels "}}\nspec: {externalCIDRs: [" block "]}\n"
	static const struct {
		const char *selector, *address;
		bool selected;
	} cases[] = {
		{ "{matchLabels: {zone: corp}}", "10.200.0.1", true },
		{ "{matchLabels: {zone: corp}}", "10.2.0.1", false },
		{ "{matchLabels: {zone: edge}}", "10.2.0.1", true },
		{ "{matchLabels: {zone: edge}}", "10.1.0.1", false },
		{ "{matchLabels: {zone: corp}}", "192.0.2.7", false },
		{ "{matchLabels: {zone: lab}}", "10.1.0.1", true },
		{ "{matchLabels: {zone: lab, team: net}}", "10.1.0.1", true },
		{ "{matchLabels: {size: big, team: net}}", "10.1.0.1", true },
		{ "{matchLabels: {zone: corp, team: net}}", "10.2.0.1", false },
		{ "{matchExpressions: [{key: zone, operator: NotIn, values: [lab]}]}", "10.1.0.1",
		  false },
		{ "{matchExpressions: [{key: zone, operator: NotIn, values: [lab]}]}", "10.2.0.1",
		  true },
		{ "{matchExpressions: [{key: zone, operator: NotIn, values: [lab]}]}", "192.0.2.7",
		  true },
		{ "{matchExpressions: [{key: team, operator: DoesNotExist}]}", NULL, true },
		{ "{matchExpressions: [{key: team, operator: Exists}]}", NULL, false },
		{ "{}", NULL, true },
		{ "{}, except: [192.0.2.0/24]", "192.0.2.7", false },
		{ "{}, except: [192.0.2.0/24]", "192.0.3.7", true },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char text[2048];
		uint8_t ip[1][16] = { 0 };

		(void)snprintf(text, sizeof text,
			       CNP("{endpointSelector: {}, egress: [{toCIDRSet: "
				   "[{cidrGroupSelector: %s}]}]}")
				       GROUP("a", "zone: corp, size: big", "10.0.0.0/8")
					       GROUP("b", "team: net, zone: lab", "10.1.0.0/16")
						       GROUP("c", "zone: edge", "10.0.0.0/9"),
			       cases[i].selector);
		AUTO(policy_set_free) struct policy_set *set = set_of(text);
		assert_true(!cases[i].address || ip_parse(str_of(cases[i].address), ip[0]));
		const struct policy_end out = { .ip = ip[0],
						.ips = (const uint8_t(*)[16])ip,
						.ip_count = 1 };
		const struct policy_end *to = cases[i].address ? &out : &db;
		const struct policy_answer a =
			ask(set, POLICY_EGRESS, &web, to, NULL, IPPROTO_TCP, 80);
		if ((a.verdict == POLICY_ALLOWED) != cases[i].selected)
			fail_msg("case %zu: %s", i, policy_verdict_name(a.verdict));
	}
}

static const struct str far_labels[] = { { "k8s:app=db", 10 },
					 { "k8s:io.cilium.k8s.policy.cluster=c2", 35 } };
static const struct policy_end far_db = {
	.namespace_ = { "shop", 4 }, .pod = { "db-0", 4 }, .labels = far_labels, .label_count = 2
};

/* One list may have blocks, groups by name and groups by label. */
static void a_list_of_blocks_and_groups_means_all_of_them(void **state)
{
	(void)state;
#define LISTS(list)                                                                                \
	CNP("{endpointSelector: {}, egress: [{toCIDRSet: [" list "{cidrGroupRef: none}, "          \
	    "{cidrGroupSelector: {matchLabels: {zone: lab}}}]}]}")                                 \
	GROUP("a", "zone: corp", "10.0.0.0/8, 172.16.0.0/12")                                      \
	GROUP("b", "zone: lab", "198.51.100.0/24")                                                 \
	GROUP("c", "zone: none", "203.0.113.0/24")
	static const struct {
		const char *text, *address;
		bool in;
	} cases[] = { { LISTS("{cidr: 192.0.2.0/28}, {cidrGroupRef: a}, "), "192.0.2.1", true },
		      { LISTS("{cidr: 192.0.2.0/28}, {cidrGroupRef: a}, "), "192.0.2.16", false },
		      { LISTS("{cidr: 192.0.2.0/28}, {cidrGroupRef: a}, "), "10.0.0.1", true },
		      { LISTS("{cidr: 192.0.2.0/28}, {cidrGroupRef: a}, "), "172.16.0.1", true },
		      { LISTS("{cidr: 192.0.2.0/28}, {cidrGroupRef: a}, "), "198.51.100.1", true },
		      { LISTS("{cidr: 192.0.2.0/28}, {cidrGroupRef: a}, "), "203.0.113.1", false },
		      { LISTS(""), "198.51.100.1", true },
		      { LISTS(""), "203.0.113.1", false } };

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		AUTO(policy_set_free) struct policy_set *set = set_of(cases[i].text);
		uint8_t ip[1][16];
		assert_true(ip_parse(str_of(cases[i].address), ip[0]));
		const struct policy_end to = { .ip = ip[0],
					       .ips = (const uint8_t(*)[16])ip,
					       .ip_count = 1 };
		if ((ask(set, POLICY_EGRESS, &web, &to, NULL, IPPROTO_TCP, 80).verdict ==
		     POLICY_ALLOWED) != cases[i].in)
			fail_msg("case %zu: %s", i, cases[i].address);
	}
}

static void a_service_stands_for_pods_of_the_local_cluster(void **state)
{
	(void)state;
	AUTO(policy_set_free)
	struct policy_set *set = set_of(
		CNP("{endpointSelector: {}, egress: [{toServices: [{k8sService: {serviceName: db, "
		    "namespace: shop}}]}]}") "---\napiVersion: v1\nkind: Service\n"
					     "metadata: {name: db, namespace: shop}\n"
					     "spec: {selector: {app: db}}\n");

	assert_int_equal(ask(set, POLICY_EGRESS, &web, &db, NULL, IPPROTO_TCP, 80).verdict,
			 POLICY_ALLOWED);
	assert_int_equal(ask(set, POLICY_EGRESS, &web, &far_db, NULL, IPPROTO_TCP, 80).verdict,
			 POLICY_DEFAULT_DENIED);
}

/* The agent looks services up for rules that allow only. */
static void a_service_in_a_rule_that_denies_is_nobody_and_with_ports_everybody(void **state)
{
	(void)state;
#define SERVICE                                                                                    \
	"---\napiVersion: v1\nkind: Service\nmetadata: {name: db, namespace: shop}\n"              \
	"spec: {selector: {app: db}}\n"
#define DENY(more)                                                                                 \
	CNP("{endpointSelector: {}, egress: [{toEntities: [all]}], egressDeny: [{toServices: "     \
	    "[{k8sService: {serviceName: db, namespace: shop}}]" more "}]}")                       \
	SERVICE
	AUTO(policy_set_free) struct policy_set *plain = set_of(DENY(""));
	AUTO(policy_set_free)
	struct policy_set *port = set_of(DENY(", toPorts: [{ports: [{port: '80'}]}]"));

	assert_int_equal(ask(plain, POLICY_EGRESS, &web, &db, NULL, IPPROTO_TCP, 80).verdict,
			 POLICY_ALLOWED);
	assert_int_equal(egress_to(port, "192.0.2.1"), POLICY_DENIED);
	assert_int_equal(ask(port, POLICY_EGRESS, &web, &db, NULL, IPPROTO_TCP, 81).verdict,
			 POLICY_ALLOWED);
}

/* Of a NetworkPolicy's peers: the policy's own namespace, and the local cluster unless one is named, take the
 * place of what podSelector's labels say. */
static void a_pods_namespace_and_cluster_are_not_asked_for_by_labels_of_its_own(void **state)
{
	(void)state;
#define FROM(label)                                                                                \
	KNP("a", "{podSelector: {}, egress: [{to: [{podSelector: {matchLabels: {" label "}}}]}]}")
	AUTO(policy_set_free)
	struct policy_set *other = set_of(FROM("io.kubernetes.pod.namespace: far"));
	AUTO(policy_set_free)
	struct policy_set *none = set_of(FROM("io.cilium.k8s.policy.cluster: ''"));
	AUTO(policy_set_free)
	struct policy_set *far = set_of(FROM("io.cilium.k8s.policy.cluster: far"));

	assert_int_equal(ask(other, POLICY_EGRESS, &web, &db, NULL, IPPROTO_TCP, 80).verdict,
			 POLICY_ALLOWED);
	assert_int_equal(ask(none, POLICY_EGRESS, &web, &db, NULL, IPPROTO_TCP, 80).verdict,
			 POLICY_ALLOWED);
	assert_int_equal(ask(far, POLICY_EGRESS, &web, &db, NULL, IPPROTO_TCP, 80).verdict,
			 POLICY_DEFAULT_DENIED);
}

/* The API server takes it, and fills in that it is of ingress. */
static void a_network_policy_without_a_spec_denies_what_comes_in(void **state)
{
	(void)state;
	AUTO(policy_set_free)
	struct policy_set *set = set_of("apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\n"
					"metadata: {name: none, namespace: shop}\n");

	assert_int_equal(ask(set, POLICY_INGRESS, &db, &web, NULL, IPPROTO_TCP, 80).verdict,
			 POLICY_DEFAULT_DENIED);
	assert_int_equal(ask(set, POLICY_EGRESS, &web, &db, NULL, IPPROTO_TCP, 80).verdict,
			 POLICY_NOT_SELECTED);
}

static void backends_are_those_of_the_service_that_is_meant(void **state)
{
	(void)state;
#define BACKEND(service, ns, ip)                                                                   \
	"---\napiVersion: v1\nkind: Service\nmetadata: {name: " service ", namespace: " ns         \
	"}\nspec: {}\n---\napiVersion: v1\nkind: Endpoints\nmetadata: {name: " service             \
	", namespace: " ns "}\nsubsets: [{addresses: [{ip: " ip "}]}]\n"
	AUTO(policy_set_free)
	struct policy_set *set = set_of(
		CNP("{endpointSelector: {}, egress: [{toServices: [{k8sService: {serviceName: out, "
		    "namespace: shop}}]}]}") BACKEND("out", "shop", "192.0.2.1")
			BACKEND("other", "shop", "192.0.2.2") BACKEND("out", "far", "192.0.2.3"));

	assert_int_equal(egress_to(set, "192.0.2.1"), POLICY_ALLOWED);
	assert_int_equal(egress_to(set, "192.0.2.2"), POLICY_DEFAULT_DENIED);
	assert_int_equal(egress_to(set, "192.0.2.3"), POLICY_DEFAULT_DENIED);
}

/* Whichever of its labels asks for them. */
static void a_peer_by_its_namespaces_labels_need_not_be_in_the_policys_own(void **state)
{
	(void)state;
	AUTO(policy_set_free)
	struct policy_set *set = set_of(
		CNP("{endpointSelector: {}, egress: [{toEndpoints: [{matchLabels: {app: db, "
		    "'k8s:io.cilium.k8s.namespace.labels.team': b}}]}]}") //
		"---\napiVersion: v1\nkind: Namespace\nmetadata: {name: far, labels: {team: b}}\n");
	static const struct str labels[] = { STR("k8s:app=db") };
	struct policy_end to = { .namespace_ = STR("far"), .labels = labels, .label_count = 1 };

	assert_int_equal(ask(set, POLICY_EGRESS, &web, &to, NULL, IPPROTO_TCP, 80).verdict,
			 POLICY_ALLOWED);
	to.namespace_ = STR("farther");
	assert_int_equal(ask(set, POLICY_EGRESS, &web, &to, NULL, IPPROTO_TCP, 80).verdict,
			 POLICY_DEFAULT_DENIED);
}

static void backends_of_a_service_are_those_that_serve(void **state)
{
	(void)state;
	AUTO(policy_set_free)
	struct policy_set *set = set_of(CNP(
		"{endpointSelector: {}, egress: [{toServices: [{k8sService: {serviceName: out, "
		"namespace: shop}}]}]}") "---\napiVersion: v1\nkind: Service\n"
					 "metadata: {name: out, namespace: shop}\nspec: {}\n"
					 "---\napiVersion: discovery.k8s.io/v1\n"
					 "kind: EndpointSlice\nmetadata: {name: out-1, "
					 "namespace: shop, labels: "
					 "{kubernetes.io/service-name: out}}\nendpoints:\n"
					 "- addresses: [192.0.2.1]\n"
					 "- {addresses: [192.0.2.2], conditions: {ready: true}}\n"
					 "- {addresses: [192.0.2.3], conditions: {ready: "
					 "false}}\n"
					 "- {addresses: [192.0.2.4], conditions: {ready: false, "
					 "serving: true, terminating: true}}\n"
					 "- {addresses: [192.0.2.5], conditions: {ready: false, "
					 "serving: false, terminating: true}}\n");
	static const struct {
		const char *address;
		enum policy_verdict verdict;
	} cases[] = { { "192.0.2.1", POLICY_ALLOWED },
		      { "192.0.2.2", POLICY_ALLOWED },
		      { "192.0.2.3", POLICY_DEFAULT_DENIED },
		      { "192.0.2.4", POLICY_ALLOWED },
		      { "192.0.2.5", POLICY_DEFAULT_DENIED } };

	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		assert_int_equal(egress_to(set, cases[i].address), cases[i].verdict);
}

static void peers_of_a_clusterwide_policy_are_pods_whatever_is_asked_of_namespaces(void **state)
{
	(void)state;
	AUTO(policy_set_free)
	struct policy_set *set = set_of(CCNP(
		"{endpointSelector: {}, egress: [{toEndpoints: [{matchExpressions: ["
		"{key: 'k8s:io.cilium.k8s.namespace.labels.env', operator: NotIn, values: [prod]}, "
		"{key: 'k8s:io.cilium.k8s.policy.cluster', operator: NotIn, values: [c2]}]}]}]}"));

	assert_int_equal(egress_to(set, "192.0.2.7"), POLICY_DEFAULT_DENIED);
	assert_int_equal(ask(set, POLICY_EGRESS, &web, &db, NULL, IPPROTO_TCP, 80).verdict,
			 POLICY_ALLOWED);
}

/* Cilium, pkg/labels: "reserved." before a key is a source without a colon. */
static void reserved_labels_may_be_asked_for_with_a_dot(void **state)
{
	(void)state;
	AUTO(policy_set_free)
	struct policy_set *set = set_of(
		CNP("{endpointSelector: {}, egress: [{toEndpoints: [{matchLabels: {reserved.world: "
		    "''}}]}]}"));

	assert_int_equal(egress_to(set, "192.0.2.7"), POLICY_ALLOWED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bits_behind_the_length_of_a_block_do_not_count),
		cmocka_unit_test(a_block_has_no_address_of_the_other_family),
		cmocka_unit_test(groups_are_selected_by_all_that_an_address_is_in),
		cmocka_unit_test(a_list_of_blocks_and_groups_means_all_of_them),
		cmocka_unit_test(a_service_stands_for_pods_of_the_local_cluster),
		cmocka_unit_test(a_network_policy_without_a_spec_denies_what_comes_in),
		cmocka_unit_test(backends_are_those_of_the_service_that_is_meant),
		cmocka_unit_test(
			a_service_in_a_rule_that_denies_is_nobody_and_with_ports_everybody),
		cmocka_unit_test(
			a_pods_namespace_and_cluster_are_not_asked_for_by_labels_of_its_own),
		cmocka_unit_test(a_peer_by_its_namespaces_labels_need_not_be_in_the_policys_own),
		cmocka_unit_test(backends_of_a_service_are_those_that_serve),
		cmocka_unit_test(
			peers_of_a_clusterwide_policy_are_pods_whatever_is_asked_of_namespaces),
		cmocka_unit_test(reserved_labels_may_be_asked_for_with_a_dot),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
