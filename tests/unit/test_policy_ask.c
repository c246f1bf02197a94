/* lib/policy: answers that the recorded verdicts do not reach: names of ports and hosts, labels, limits. */
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

/* Cilium, pkg/policy/api/icmp.go and pkg/policy/rule.go: a rule is for all ports only where it has neither
 * ports nor ICMP's types, and one of ICMP's entries has none of them. */
static void entries_without_a_port_or_a_type_are_for_none(void **state)
{
	(void)state;
#define FROM_WEB(more)                                                                             \
	CNP("{endpointSelector: {}, ingress: [{fromEndpoints: [{matchLabels: {app: web}}], " more  \
	    "}]}")
	static const struct {
		const char *text;
		bool tcp, ping;
	} cases[] = {
		{ FROM_WEB("icmps: []"), true, true },
		{ FROM_WEB("icmps: [{}]"), false, false },
		{ FROM_WEB("icmps: [{fields: []}]"), false, false },
		{ FROM_WEB("icmps: [{fields: []}, {fields: [{type: 8}]}]"), false, true },
		{ FROM_WEB("toPorts: []"), true, true },
		{ FROM_WEB("toPorts: [{}]"), false, false },
		{ FROM_WEB("toPorts: [{ports: []}]"), false, false },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		AUTO(policy_set_free) struct policy_set *set = set_of(cases[i].text);
		bool tcp = ask(set, POLICY_INGRESS, &db, &web, NULL, IPPROTO_TCP, 80).verdict ==
			   POLICY_ALLOWED;
		bool ping = ask(set, POLICY_INGRESS, &db, &web, NULL, IPPROTO_ICMP, 8).verdict ==
			    POLICY_ALLOWED;

		if (tcp != cases[i].tcp || ping != cases[i].ping)
			fail_msg("case %zu: %d %d", i, tcp, ping);
	}
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

/* Cilium 1.19, pkg/labelsfilter: the default filter. */
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
		{ "io.kubernetes.pod.namespaces", true },
		/* the agent says these, whatever the pod's own labels do */
		{ "io.kubernetes.pod.namespace", false },
		{ "io.cilium.k8s.policy.cluster", false },
		{ "io.cilium.k8s.policy.serviceaccount", false },
		{ "io.cilium.k8s.namespace.labels.team", false },
		{ "io.cilium.k8s.x", false },
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

/* A pod of Kubernetes with all labels that it may have, and those of its namespace: the last one counts.
 * Of an end with more than are looked at nothing is sure, whichever end it is. */
static void labels_beyond_the_limit_leave_nothing_sure(void **state)
{
	(void)state;
	AUTO(policy_set_free)
	struct policy_set *set =
		set_of(CNP("{endpointSelector: {matchLabels: {last: x}}, ingress: [{}]}"));
	static struct str labels[POLICY_LABELS_MAX + 1];
	struct policy_end end = web;

	for (size_t i = 0; i <= POLICY_LABELS_MAX; i++)
		labels[i] = STR("k8s:other=x");
	end.labels = labels;
	end.label_count = POLICY_LABELS_MAX;
	labels[POLICY_LABELS_MAX - 1] = STR("k8s:last=x");
	struct policy_answer a = ask(set, POLICY_INGRESS, &end, &db, NULL, IPPROTO_TCP, 80);
	assert_int_equal(a.verdict, POLICY_DEFAULT_DENIED);
	assert_false(a.unsure);
	end.label_count++;
	a = ask(set, POLICY_INGRESS, &end, &db, NULL, IPPROTO_TCP, 80);
	assert_int_equal(a.verdict, POLICY_DEFAULT_DENIED);
	assert_true(a.unsure);
	assert_true(ask(set, POLICY_INGRESS, &db, &end, NULL, IPPROTO_TCP, 80).unsure);
	assert_false(ask(set, POLICY_INGRESS, &db, &web, NULL, IPPROTO_TCP, 80).unsure);
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_empty_set_selects_nobody),
		cmocka_unit_test(an_end_without_labels_is_the_world),
		cmocka_unit_test(entries_without_a_port_or_a_type_are_for_none),
		cmocka_unit_test(names_of_ports_are_looked_up_in_pods_with_an_address_of_their_own),
		cmocka_unit_test(names_of_ports_are_those_of_containers_for_the_start_too),
		cmocka_unit_test(labels_that_are_part_of_an_identity_count),
		cmocka_unit_test(a_namespace_is_known_by_its_name_without_an_object),
		cmocka_unit_test(more_rules_than_an_answer_holds_are_counted),
		cmocka_unit_test(labels_beyond_the_limit_leave_nothing_sure),
		cmocka_unit_test(stars_in_names_mean_what_is_documented),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
