/* lib/policy: answers that the recorded verdicts do not reach. */
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "flow/flow.h"
#include "policy_fixture.h"

static void an_empty_set_selects_nobody(void **state)
{
	(void)state;
	AUTO(policy_set_free) struct policy_set *set = set_of("");
	const struct policy_answer a = ask(set, POLICY_INGRESS, &web, &db, NULL, IPPROTO_TCP, 80);

	assert_int_equal(a.verdict, POLICY_NOT_SELECTED);
}

static void an_end_without_labels_is_the_world(void **state)
{
	(void)state;
	AUTO(policy_set_free)
	struct policy_set *set =
		set_of(CNP("{endpointSelector: {}, ingress: [{fromEntities: [world]}]}"));
	const struct policy_end nobody = { 0 };
	struct policy_answer a = ask(set, POLICY_INGRESS, &web, &nobody, NULL, IPPROTO_TCP, 80);

	assert_int_equal(a.verdict, POLICY_ALLOWED);
	a = ask(set, POLICY_EGRESS, &nobody, &web, NULL, IPPROTO_TCP, 80);
	assert_int_equal(a.verdict, POLICY_NOT_ENFORCED);
}

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

/* Cilium 1.19.4, pkg/policy/types/requirements.go: labels of all groups that an address is in. */
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
		{ "{matchLabels: {zone: corp}}", "10.1.0.1", true },
		{ "{matchLabels: {zone: corp}}", "192.0.2.7", false },
		{ "{matchLabels: {zone: lab}}", "10.1.0.1", true },
		{ "{matchLabels: {zone: corp, team: net}}", "10.1.0.1", true },
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
				       GROUP("a", "zone: corp", "10.0.0.0/8")
					       GROUP("b", "team: net, zone: lab", "10.1.0.0/16"),
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

#define POD(name, rest)                                                                            \
	"---\napiVersion: v1\nkind: Pod\nmetadata: {name: " name ", namespace: shop}\n" rest "\n"
#define PORTS(number) "containers: [{ports: [{name: metrics, containerPort: " number "}]}]"

/* A pod on its node's network is no endpoint, one that is over has no address any more. */
static void names_of_ports_are_looked_up_in_pods_with_an_address_of_their_own(void **state)
{
	(void)state;
	AUTO(policy_set_free)
	struct policy_set *set = set_of(
		CNP("{endpointSelector: {}, egress: [{toPorts: [{ports: [{port: metrics, protocol: "
		    "TCP}]}]}]}") POD("db-0", "spec: {" PORTS("8080") "}")
			POD("agent-0", "spec: {hostNetwork: true, " PORTS("9100") "}") POD(
				"job-0", "spec: {" PORTS("9200") "}\nstatus: {phase: Succeeded}")
				POD("job-1", "spec: {" PORTS("9300") "}\nstatus: {phase: Failed}"));

	assert_int_equal(ask(set, POLICY_EGRESS, &web, &db, NULL, IPPROTO_TCP, 8080).verdict,
			 POLICY_ALLOWED);
	assert_int_equal(ask(set, POLICY_EGRESS, &web, &db, NULL, IPPROTO_TCP, 9100).verdict,
			 POLICY_DEFAULT_DENIED);
}

/* Cilium 1.19, pkg/labelsfilter: the default filter. */
/* Cilium's agent does not see which containers for the start run on beside the others: all count. */
static void names_of_ports_are_those_of_containers_for_the_start_too(void **state)
{
	(void)state;
	AUTO(policy_set_free)
	struct policy_set *set = set_of(
		CNP("{endpointSelector: {}, egress: [{toPorts: [{ports: [{port: metrics, protocol: "
		    "TCP}, {port: first, protocol: TCP}, {port: last, protocol: TCP}, {port: none, "
		    "protocol: TCP}]}]}]}")
			POD("db-0",
			    "spec: {containers: [{ports: [{name: first, containerPort: 1}, "
			    "{name: last, containerPort: 65535}, {name: none, containerPort: "
			    "65536}, {name: none, containerPort: 0}]}], initContainers: "
			    "[{restartPolicy: Always, ports: [{name: metrics, containerPort: "
			    "8080}]}]}"));
	static const struct {
		uint16_t port;
		bool open;
	} cases[] = { { 1, true }, { 65535, true }, { 8080, true }, { 0, false } };

	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		assert_int_equal(
			ask(set, POLICY_EGRESS, &web, &db, NULL, IPPROTO_TCP, cases[i].port)
				.verdict,
			cases[i].open ? POLICY_ALLOWED : POLICY_DEFAULT_DENIED);
}

static void labels_that_are_part_of_an_identity_count(void **state)
{
	(void)state;
	static const struct {
		const char *key;
		bool counts;
	} cases[] = {
		{ "app", true },
		{ "app.kubernetes.io/name", true },
		{ "ioXkubernetes", true },
		{ "io.kubernetes.pod.namespace", true },
		{ "io.kubernetes.pod.name", false },
		{ "kubernetes.io/arch", false },
		{ "beta.kubernetes.io/os", false },
		{ "node.beta.kubernetes.io/x", false },
		{ "topology.kubernetes.io/zone", false },
		{ "job-name", true },
		{ "batch.kubernetes.io/job-name", true },
		{ "batch.kubernetes.io/job-completion-index", false },
		{ "batch.kubernetes.io/controller-uid", false },
		{ "controller-uid", false },
		{ "statefulset.kubernetes.io/pod-name", false },
		{ "apps.kubernetes.io/pod-index", false },
		{ "pod-template-hash", false },
		{ "annotation.hello", false },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		if (policy_label_counts(str_of(cases[i].key)) != cases[i].counts)
			fail_msg("%s", cases[i].key);
}

static void a_namespace_is_known_by_its_name_without_an_object(void **state)
{
	(void)state;
	AUTO(policy_set_free)
	struct policy_set *set = set_of(
		KNP("a", "{podSelector: {}, ingress: [{from: [{namespaceSelector: {matchLabels: "
			 "{kubernetes.io/metadata.name: shop}}}]}]}"));
	AUTO(policy_set_free)
	struct policy_set *told = set_of(
		KNP("a", "{podSelector: {}, ingress: [{from: [{namespaceSelector: {matchLabels: "
			 "{team: a}}}]}]}") "---\napiVersion: v1\nkind: Namespace\n"
					    "metadata: {name: shop, labels: {team: a}}\n");

	assert_int_equal(ask(set, POLICY_INGRESS, &web, &db, NULL, IPPROTO_TCP, 80).verdict,
			 POLICY_ALLOWED);
	assert_int_equal(ask(told, POLICY_INGRESS, &web, &db, NULL, IPPROTO_TCP, 80).verdict,
			 POLICY_ALLOWED);
}

static void more_rules_than_an_answer_holds_are_counted(void **state)
{
	(void)state;
	AUTO_BUF struct buf text = buf_init(1 << 20);

	buf_lit(&text, KNP("a", "\n  podSelector: {}\n  ingress:"));
	for (int i = 0; i < POLICY_BY_MAX + 3; i++)
		buf_lit(&text, "  - {}\n");
	AUTO(policy_set_free) struct policy_set *set = set_of(buf_cstr(&text));
	const struct policy_answer a = ask(set, POLICY_INGRESS, &web, &db, NULL, IPPROTO_TCP, 80);
	assert_int_equal(a.verdict, POLICY_ALLOWED);
	assert_int_equal(a.count, POLICY_BY_MAX);
	assert_int_equal(a.left_out, 3);
	assert_int_equal(a.by[POLICY_BY_MAX - 1].rule, POLICY_BY_MAX - 1);
}

static void labels_beyond_the_limit_are_not_looked_at(void **state)
{
	(void)state;
	AUTO(policy_set_free)
	struct policy_set *set =
		set_of(CNP("{endpointSelector: {matchLabels: {last: x}}, ingress: [{}]}"));
	struct str labels[POLICY_LABELS_MAX + 1];
	struct policy_end end = web;

	for (size_t i = 0; i <= POLICY_LABELS_MAX; i++)
		labels[i] = STR("k8s:other=x");
	end.labels = labels;
	end.label_count = POLICY_LABELS_MAX + 1;
	labels[POLICY_LABELS_MAX] = STR("k8s:last=x");
	assert_int_equal(ask(set, POLICY_INGRESS, &end, &db, NULL, IPPROTO_TCP, 80).verdict,
			 POLICY_NOT_SELECTED);
	labels[POLICY_LABELS_MAX - 1] = STR("k8s:last=x");
	assert_int_equal(ask(set, POLICY_INGRESS, &end, &db, NULL, IPPROTO_TCP, 80).verdict,
			 POLICY_DEFAULT_DENIED);
}

/* What Cilium's documentation says of matchPattern (security/policy/language, DNS based). */
static void stars_in_names_mean_what_is_documented(void **state)
{
	(void)state;
	static const struct {
		const char *pattern, *name;
		bool matches;
	} cases[] = {
		{ "*.cilium.io", "www.cilium.io", true },
		{ "*.cilium.io", "WWW.Cilium.IO.", true },
		{ "az.example", "AZ.Example", true },
		{ "AZ.example", "az.example", true },
		{ "*.cilium.io", "cilium.io", false },
		{ "*.cilium.io", "sub.www.cilium.io", false },
		{ "*cilium.io", "cilium.io", true },
		{ "*cilium.io", "sub-cilium.io", true },
		{ "*cilium.io", "www.cilium.io", false },
		{ "sub*.cilium.io", "subdomain.cilium.io", true },
		{ "sub*.cilium.io", "www.cilium.io", false },
		{ "sub*.cilium.io", "blog.cilium.io", false },
		{ "**.cilium.io", "a.b.cilium.io", true },
		{ "**.cilium.io", "b.cilium.io", true },
		{ "**.cilium.io", "cilium.io", false },
		{ "****.cilium.io", "a.b.cilium.io", true },
		{ "****.cilium.io", "cilium.io", false },
		{ "***cilium.io", "sub-cilium.io", true },
		{ "***cilium.io", "a.b.cilium.io", false },
		{ "*", "any.name.at.all", true },
		{ "*.", "any.name.at.all", true },
		{ "**", "any.name.at.all", true },
		{ "***.", "any.name.at.all", true },
		{ "a*b*c.io", "abbbc.io", true },
		{ "a*b*c.io", "ab.bc.io", false },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		static const struct str world[] = { { "reserved:world", 14 } };
		const struct policy_end out = { .labels = world, .label_count = 1 };
		char text[512];

		(void)snprintf(text, sizeof text,
			       CNP("{endpointSelector: {}, egress: [{toFQDNs: [{matchPattern: "
				   "'%s'}]}]}"),
			       cases[i].pattern);
		AUTO(policy_set_free) struct policy_set *set = set_of(text);
		const struct policy_answer a =
			ask(set, POLICY_EGRESS, &web, &out, cases[i].name, IPPROTO_TCP, 443);
		if ((a.verdict == POLICY_ALLOWED) != cases[i].matches)
			fail_msg("%s, %s", cases[i].pattern, cases[i].name);
	}
}

/* Of @egress, two rules, asked for 203.0.113.7, or www.example: 443/TCP, or UDP. */
static struct policy_answer ask_for(const char *egress, uint8_t protocol, char proxy[16],
				    char mode[32])
{
	static const struct str world[] = { { "reserved:world", 14 } };
	uint8_t ip[1][16];
	char text[2048];

	assert_true(ip_parse(STR("203.0.113.7"), ip[0]));
	const struct policy_end out = {
		.labels = world, .label_count = 1, .ips = (const uint8_t(*)[16])ip, .ip_count = 1
	};
	(void)snprintf(text, sizeof text, CNP("{endpointSelector: {}, egress: [%s]}"), egress);
	AUTO(policy_set_free) struct policy_set *set = set_of(text);
	const struct policy_answer a =
		ask(set, POLICY_EGRESS, &web, &out, "www.example", protocol, 443);
	(void)snprintf(proxy, 16, "%.*s", STR_FMT(a.redirect)); /* the set goes */
	(void)snprintf(mode, 32, "%.*s", STR_FMT(a.authentication));
	return a;
}

static struct policy_answer ask_for_proxy(const char *egress, uint8_t protocol, char proxy[16])
{
	char mode[32];

	return ask_for(egress, protocol, proxy, mode);
}

#define WORLD "toEntities: [world]"
#define TO_443(peer, more)                                                                         \
	"{" peer ", toPorts: [{ports: [{port: '443', protocol: TCP}], " more "}]}"
#define TO_RANGE(more)                                                                             \
	"{" WORLD ", toPorts: [{ports: [{port: '400', endPort: 500, protocol: TCP}], " more "}]}"
#define HTTP "rules: {http: [{method: GET}]}"
#define KAFKA "rules: {kafka: [{topic: t}]}"
#define OWN "rules: {l7proto: pg, l7: [{a: b}]}"
#define DNS "rules: {dns: [{matchPattern: '*'}]}"
#define NAMES "serverNames: [www.example]"
#define TERMINATING(secret) "terminatingTLS: {secret: {" secret "}}"
#define ORIGINATING(secret) "originatingTLS: {secret: {" secret "}}"
#define LISTENER(more) "listener: {envoyConfig: {name: c}, name: l" more "}"

/* Cilium's order of what rules ask for of one packet, whichever rule comes first (pkg/policy, the
 * priorities of listeners). */
static void of_proxies_one_wins(void **state)
{
	(void)state;
	static const struct {
		const char *one, *other, *proxy;
	} cases[] = {
		{ TO_443(WORLD, NAMES ", " TERMINATING("name: s")), TO_443(WORLD, HTTP), "http" },
		{ TO_443(WORLD, TERMINATING("name: s")), TO_443(WORLD, OWN), "pg" },
		{ TO_443(WORLD, KAFKA), TO_RANGE(HTTP), "http" },
		{ TO_443(WORLD, OWN), TO_RANGE(KAFKA), "kafka" },
		{ TO_443(WORLD, NAMES), TO_RANGE(OWN), "pg" },
		{ TO_443(WORLD, DNS), TO_RANGE(NAMES), "tls" },
		{ TO_443(WORLD, DNS), TO_RANGE(LISTENER("")), "dns" },
		{ TO_443(WORLD, HTTP), TO_RANGE(LISTENER(", priority: 100")), "crd" },
		{ TO_443(WORLD, "originatingTLS: {secret: {name: s}}"), TO_RANGE("rules: null"),
		  "tls" },
		{ TO_443(WORLD, NAMES ", " LISTENER("")), TO_RANGE("rules: null"), "crd" },
		{ TO_443(WORLD, "rules: null"), TO_RANGE(LISTENER("")), "crd" },
	};
	char proxy[16], both[1024];

	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		for (size_t turn = 0; turn < 2; turn++) {
			(void)snprintf(both, sizeof both, "%s, %s",
				       turn ? cases[i].other : cases[i].one,
				       turn ? cases[i].one : cases[i].other);
			assert_int_equal(ask_for_proxy(both, IPPROTO_TCP, proxy).verdict,
					 POLICY_ALLOWED);
			assert_string_equal(proxy, cases[i].proxy);
		}
}

/* All but DNS, TLS and listeners look at TCP only, where the rule is for any protocol. */
static void proxies_of_tcp_are_no_others(void **state)
{
	(void)state;
	static const struct {
		const char *more, *tcp, *udp;
	} cases[] = { { "rules: {l7proto: pg}", "pg", "" },
		      { DNS, "dns", "dns" },
		      { NAMES, "tls", "tls" },
		      { LISTENER(""), "crd", "crd" } };
	char text[512], proxy[16];

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		(void)snprintf(text, sizeof text,
			       "{" WORLD ", toPorts: [{ports: [{port: '443'}], %s}]}",
			       cases[i].more);
		assert_int_equal(ask_for_proxy(text, IPPROTO_TCP, proxy).verdict, POLICY_ALLOWED);
		assert_string_equal(proxy, cases[i].tcp);
		assert_int_equal(ask_for_proxy(text, IPPROTO_UDP, proxy).verdict, POLICY_ALLOWED);
		assert_string_equal(proxy, cases[i].udp);
	}
}

/* Two rules that ask for different proxies, or authentication, of one peer on one port: Cilium
 * cannot compute the policy of the end (pkg/policy, how the rules of a port are merged). */
static void rules_that_exclude_each_other_break_the_end(void **state)
{
	(void)state;
#define CIDR "toCIDR: [203.0.113.0/24]"
#define SET "toCIDRSet: [{cidr: 203.0.113.0/24, except: [203.0.113.128/25]}]"
#define NAME "toFQDNs: [{matchName: www.example}]"
#define AUTH(peer, mode) "{" peer ", authentication: {mode: " mode "}}"
#define OTHER_LISTENER(more) "listener: {envoyConfig: {name: c}, name: m" more "}"
#define PORT_443 "toPorts: [{ports: [{port: '443', protocol: TCP}]}]"
	static const struct {
		const char *rules;
		bool breaks;
	} cases[] = {
		{ TO_443(WORLD, HTTP) ", " TO_443(WORLD, KAFKA), true },
		{ TO_443(WORLD, HTTP) ", " TO_RANGE(KAFKA), false },
		{ TO_443(WORLD, HTTP) ", " TO_443(CIDR, KAFKA), false },
		{ TO_443(CIDR, HTTP) ", " TO_443(CIDR, KAFKA), true },
		{ TO_443(CIDR, HTTP) ", " TO_443("toCIDR: [203.0.0.0/16]", KAFKA), false },
		{ TO_443(CIDR, HTTP) ", " TO_443(NAME, KAFKA), false },
		{ TO_443("toEntities: [host, world]", HTTP) ", " TO_443(WORLD, KAFKA), true },
		{ TO_443(SET, HTTP) ", " TO_443(SET, KAFKA), true },
		{ TO_443(SET, HTTP) ", " TO_443(CIDR, KAFKA), false },
		{ TO_443(NAME, HTTP) ", " TO_443(NAME, KAFKA), true },
		{ TO_443(NAME, HTTP) ", " TO_443("toFQDNs: [{matchPattern: '*.example'}]", KAFKA),
		  false },
		{ TO_443("toEntities: [all]", HTTP) ", " TO_443("toEntities: [all]", KAFKA), true },
		{ "{toPorts: [{ports: [{port: '443', protocol: TCP}], " HTTP "}]}, " //
		  TO_443("toEntities: [all, host]", KAFKA),
		  true },
		{ TO_443(WORLD, NAMES) ", " TO_443(WORLD, HTTP), true },
		{ TO_443(WORLD, HTTP) ", " TO_443(WORLD, NAMES), true },
		{ TO_443(WORLD, NAMES ", " TERMINATING("name: s")) ", " TO_443(WORLD, HTTP),
		  false },
		{ TO_443(WORLD, NAMES) ", " TO_443(WORLD, HTTP ", " TERMINATING("name: s")),
		  false },
		{ TO_443(WORLD, NAMES) ", " TO_443(WORLD, "rules: {http: []}"), false },
		{ TO_443(WORLD, NAMES) ", " TO_443(CIDR, HTTP), false },
		{ TO_443(WORLD, TERMINATING("name: s")) ", " TO_443(WORLD, TERMINATING("name: t")),
		  true },
		{ TO_443(WORLD, TERMINATING("name: s")) ", " //
		  TO_443(WORLD, TERMINATING("name: s, namespace: shop")),
		  true },
		{ TO_443(WORLD, TERMINATING("name: s")) ", " TO_443(WORLD, TERMINATING("name: s")),
		  false },
		{ TO_443(WORLD, TERMINATING("name: s")) ", " TO_443(WORLD, ORIGINATING("name: t")),
		  false },
		{ TO_443(WORLD, TERMINATING("name: s")) ", " TO_443(CIDR, TERMINATING("name: t")),
		  false },
		{ TO_443(WORLD, ORIGINATING("name: s")) ", " TO_443(WORLD, ORIGINATING("name: t")),
		  true },
		{ TO_443(WORLD, ORIGINATING("name: s, namespace: a")) ", " //
		  TO_443(WORLD, ORIGINATING("name: s, namespace: b") ", " HTTP),
		  true },
		{ TO_443(WORLD, LISTENER("")) ", " TO_443(WORLD, LISTENER("")), false },
		{ TO_443(WORLD, LISTENER("")) ", " TO_443(WORLD, OTHER_LISTENER("")), true },
		{ TO_443(WORLD, LISTENER(", priority: 7")) ", " //
		  TO_443(WORLD, OTHER_LISTENER(", priority: 7")),
		  true },
		{ TO_443(WORLD, LISTENER(", priority: 7")) ", " TO_443(WORLD, OTHER_LISTENER("")),
		  false },
		{ TO_443(WORLD, LISTENER("")) ", " //
		  TO_443(WORLD, "listener: {envoyConfig: {name: d}, name: l}"),
		  true },
		{ TO_443(WORLD, LISTENER("")) ", " //
		  TO_443(WORLD, "listener: {envoyConfig: {name: c, kind: "
				"CiliumClusterwideEnvoyConfig}, name: l}"),
		  true },
		{ TO_443(WORLD, LISTENER("")) ", " //
		  TO_443(WORLD, "listener: {envoyConfig: {name: c, kind: CiliumEnvoyConfig}, "
				"name: l}"),
		  false },
		{ TO_443(WORLD, LISTENER("")) ", " TO_443(CIDR, OTHER_LISTENER("")), false },
		{ TO_443(WORLD, LISTENER("")) ", " //
		  TO_443(WORLD, "listener: {envoyConfig: {name: d}, name: shop/c/l}"),
		  false },
		{ TO_443(WORLD, LISTENER("")) ", " //
		  TO_443(WORLD, "listener: {envoyConfig: {name: c}, name: far/c/l}"),
		  true },
		{ TO_443(WORLD, "listener: {envoyConfig: {name: c}, name: far/l}") ", " //
		  TO_443(WORLD, "listener: {envoyConfig: {name: d}, name: shop/c/far/l}"),
		  false },
		{ TO_443(WORLD, NAMES) ", " TO_443(WORLD, DNS), true },
		{ TO_443(WORLD, NAMES) ", " TO_443(WORLD, LISTENER("")), true },
		{ TO_443(WORLD, HTTP) ", " TO_443(WORLD, LISTENER("")), true },
		{ TO_443(WORLD, NAMES) ", " TO_443(WORLD, NAMES), false },
		{ AUTH(WORLD, "required") ", " AUTH(WORLD, "disabled"), true },
		{ AUTH(WORLD, "required") ", " AUTH(WORLD, "required"), false },
		{ AUTH(WORLD, "required") ", {" WORLD "}", false },
		{ AUTH(WORLD, "required") ", " AUTH(CIDR, "disabled"), false },
		{ AUTH(CIDR, "required") ", " AUTH(CIDR, "disabled"), true },
		{ AUTH(WORLD, "required") ", " AUTH(WORLD ", " PORT_443, "disabled"), false },
		{ AUTH(WORLD ", " PORT_443, "required") ", " AUTH(WORLD ", " PORT_443, "disabled"),
		  true },
	};
	char proxy[16];

	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		if ((ask_for_proxy(cases[i].rules, IPPROTO_TCP, proxy).verdict == POLICY_BROKEN) !=
		    cases[i].breaks)
			fail_msg("%s", cases[i].rules);
}

/* Which rules, for whoever has to mend them. */
static void what_breaks_an_end_is_told(void **state)
{
	(void)state;
	AUTO(policy_set_free)
	struct policy_set *set = set_of(CNP("{endpointSelector: {}, ingress: [{}], egress: [{" WORLD
					    "}, " TO_443(WORLD, TERMINATING("name: t")) ", " TO_443(
						    WORLD, TERMINATING("name: s")) "]}"));
	const struct policy_answer a = ask(set, POLICY_INGRESS, &web, &db, NULL, IPPROTO_TCP, 80);
	AUTO_BUF struct buf by = buf_init(256);

	assert_int_equal(a.verdict, POLICY_BROKEN);
	assert_int_equal(a.clash, POLICY_CLASH_TERMINATING);
	assert_int_equal(a.count, 2);
	for (size_t i = 0; i < a.count; i++)
		policy_ref_rule_put(set, a.by[i], &by);
	assert_string_equal(buf_cstr(&by), "#spec.egress[1]#spec.egress[2]");
}

/* Of other pods' rules nothing is broken here, nor do they hide what is. */
static void only_ends_that_both_rules_select_are_broken(void **state)
{
	(void)state;
#define OF(app, what)                                                                              \
	"---\napiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\nmetadata: {name: " app what     \
	", namespace: shop}\nspec: {endpointSelector: {matchLabels: {app: " app                    \
	"}}, egress: [" TO_443(WORLD, TERMINATING("name: " what)) "]}\n"
	AUTO(policy_set_free)
	struct policy_set *set =
		set_of(OF("a", "s") OF("a", "t") OF("web", "s") OF("web", "t") OF("db", "s"));

	assert_int_equal(ask(set, POLICY_EGRESS, &web, &db, NULL, IPPROTO_TCP, 80).verdict,
			 POLICY_BROKEN);
	assert_int_equal(ask(set, POLICY_EGRESS, &db, &web, NULL, IPPROTO_TCP, 80).verdict,
			 POLICY_DEFAULT_DENIED);
}

/* Thousands of namespaces may ask the same world for different things. */
static void rules_for_pods_of_different_namespaces_never_meet(void **state)
{
	(void)state;
	enum { NAMESPACES = 100 }; /* pairs of them: more than a set takes of contradictions */
	AUTO_BUF struct buf text = buf_init(1 << 20);

	for (int i = 0; i < NAMESPACES; i++)
		buf_printf(&text,
			   "---\napiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\n"
			   "metadata: {name: x, namespace: n%d}\n"
			   "spec: {endpointSelector: {}, egress: [%s]}\n",
			   i, i % 2 ? TO_443(WORLD, HTTP) : TO_443(WORLD, NAMES));
	AUTO(policy_set_free) struct policy_set *set = set_of(buf_cstr(&text));
	assert_int_equal(policy_set_count(set), NAMESPACES);
	assert_int_equal(policy_set_conflict_count(set), 0);
}

static void policies_contradict_each_other_up_to_a_limit(void **state)
{
	(void)state;
	enum { FEW = 4, MANY = 130 }; /* policies; two halves, 65 * 65 pairs */
	struct err e;

	for (int n = FEW; n <= MANY; n += MANY - FEW) {
		AUTO(policy_builder_free) struct policy_builder *b = builder();
		AUTO(policy_set_free) struct policy_set *set = NULL;
		AUTO_BUF struct buf text = buf_init(1 << 20);

		for (int i = 0; i < n; i++)
			buf_printf(&text,
				   "---\napiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\n"
				   "metadata: {name: x%d, namespace: shop}\n"
				   "spec: {endpointSelector: {}, egress: [%s]}\n",
				   i, i % 2 ? TO_443(CIDR, HTTP) : TO_443(CIDR, KAFKA));
		assert_int_equal(policy_builder_add_text(b, buf_str(&text), &e), ERR_OK);
		enum err_code code = policy_builder_finish(b, &set, &e);
		if (n == FEW) {
			assert_int_equal(code, ERR_OK);
			assert_int_equal(policy_set_conflict_count(set), FEW / 2 * (FEW / 2));
		} else {
			assert_int_equal(code, ERR_INVALID);
			assert_non_null(strstr(e.msg, "more than 4096 rules that exclude"));
		}
	}
}

/* Cilium: an entry of the policy map says what is asked for; the most specific one that says it
 * counts, for wider ones, too. */
static void authentication_is_told_of_what_is_allowed(void **state)
{
	(void)state;
#define AT_443(peer, mode) "{" peer ", " PORT_443 ", authentication: {mode: " mode "}}"
	static const struct {
		const char *rules, *mode;
	} cases[] = {
		{ "{" WORLD "}", "" },
		{ AUTH(WORLD, "required"), "required" },
		{ AUTH(WORLD, "disabled"), "" },
		{ AUTH(WORLD, "test-always-fail"), "test-always-fail" },
		{ AUTH(WORLD, "required") ", " TO_443(WORLD, "rules: null"), "required" },
		{ AUTH("toCIDR: [198.51.100.0/24]", "required") ", {" WORLD "}", "" },
		{ AUTH(WORLD, "required") ", " AT_443(WORLD, "disabled"), "" },
		{ AUTH(WORLD, "disabled") ", " AT_443(WORLD, "required"), "required" },
		{ AUTH(WORLD, "disabled") ", " AUTH(CIDR, "required"), "required" },
		{ AUTH(CIDR, "required") ", " AUTH(WORLD, "test-always-fail"), "test-always-fail" },
		{ "{" PORT_443 ", authentication: {mode: required}}, " AT_443(WORLD, "disabled"),
		  "" },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		for (int turn = 0; turn < 2; turn++) {
			char proxy[16], mode[32], text[1024], *comma;

			(void)snprintf(text, sizeof text, "%s", cases[i].rules);
			if (turn && (comma = strstr(text, "}, {"))) /* the other way round */
				(void)snprintf(text, sizeof text, "%s, %.*s", //
					       cases[i].rules + (comma - text) + 3,
					       (int)(comma - text) + 1, cases[i].rules);
			assert_int_equal(ask_for(text, IPPROTO_TCP, proxy, mode).verdict,
					 POLICY_ALLOWED);
			if (strcmp(mode, cases[i].mode) != 0)
				fail_msg("%s: '%s'", text, mode);
		}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_empty_set_selects_nobody),
		cmocka_unit_test(an_end_without_labels_is_the_world),
		cmocka_unit_test(bits_behind_the_length_of_a_block_do_not_count),
		cmocka_unit_test(a_block_has_no_address_of_the_other_family),
		cmocka_unit_test(groups_are_selected_by_all_that_an_address_is_in),
		cmocka_unit_test(a_list_of_blocks_and_groups_means_all_of_them),
		cmocka_unit_test(a_service_stands_for_pods_of_the_local_cluster),
		cmocka_unit_test(backends_are_those_of_the_service_that_is_meant),
		cmocka_unit_test(a_peer_by_its_namespaces_labels_need_not_be_in_the_policys_own),
		cmocka_unit_test(policies_contradict_each_other_up_to_a_limit),
		cmocka_unit_test(backends_of_a_service_are_those_that_serve),
		cmocka_unit_test(
			peers_of_a_clusterwide_policy_are_pods_whatever_is_asked_of_namespaces),
		cmocka_unit_test(reserved_labels_may_be_asked_for_with_a_dot),
		cmocka_unit_test(names_of_ports_are_looked_up_in_pods_with_an_address_of_their_own),
		cmocka_unit_test(names_of_ports_are_those_of_containers_for_the_start_too),
		cmocka_unit_test(labels_that_are_part_of_an_identity_count),
		cmocka_unit_test(a_namespace_is_known_by_its_name_without_an_object),
		cmocka_unit_test(more_rules_than_an_answer_holds_are_counted),
		cmocka_unit_test(labels_beyond_the_limit_are_not_looked_at),
		cmocka_unit_test(stars_in_names_mean_what_is_documented),
		cmocka_unit_test(of_proxies_one_wins),
		cmocka_unit_test(proxies_of_tcp_are_no_others),
		cmocka_unit_test(rules_that_exclude_each_other_break_the_end),
		cmocka_unit_test(what_breaks_an_end_is_told),
		cmocka_unit_test(only_ends_that_both_rules_select_are_broken),
		cmocka_unit_test(rules_for_pods_of_different_namespaces_never_meet),
		cmocka_unit_test(authentication_is_told_of_what_is_allowed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
