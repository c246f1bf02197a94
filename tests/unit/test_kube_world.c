/* observer/kubernetes/world: objects as an API server gives them, and the names made of them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/buf.h"
#include "kube_fixture.h"
#include "observer/kubernetes/inside.h"
#include "observer/kubernetes/local_pods.h"
#include "observer/kubernetes/thing.h"

#define WEB                                                                                        \
	"{\"metadata\":{\"name\":\"web-5f-x\",\"generateName\":\"web-5f-\",\"namespace\":"         \
	"\"shop\","                                                                                \
	"\"creationTimestamp\":\"2026-01-01T00:00:00Z\",\"labels\":{\"app\":\"web\","              \
	"\"empty\":\"\",\"pod-template-hash\":\"5f\"},\"ownerReferences\":[{\"kind\":"             \
	"\"ReplicaSet\",\"name\":\"web-5f\",\"controller\":true}]},\"spec\":{\"nodeName\":"        \
	"\"node-a\",\"serviceAccountName\":\"sa\"},\"status\":{\"phase\":\"Running\",\"podIP\":"   \
	"\"10.0.1.5\",\"podIPs\":[{\"ip\":\"10.0.1.5\"},{\"ip\":\"fd00::5\"}]}}"

static void a_pod_has_cilium_s_labels_its_deployment_and_both_addresses(void **state)
{
	(void)state;
	AUTO(kube_world_free) struct kube_world *w = world_new();
	struct kube_view v;
	put(w, KUBE_NAMESPACES, "{\"metadata\":{\"name\":\"shop\",\"labels\":{\"team\":\"a\"}}}");
	put(w, KUBE_PODS, WEB);
	view_of(w, &v);
	const struct name_prefix *p = who(&v, "10.0.1.5"), *six = who(&v, "fd00::5");
	assert_non_null(p);
	assert_non_null(six);
	assert_int_equal(v.names.prefix_count, 2);
	assert_true(p->local);
	assert_str(p->endpoint.pod, "web-5f-x");
	assert_str(six->endpoint.pod, "web-5f-x");
	assert_int_equal(p->endpoint.workload_count, 1);
	assert_str(p->endpoint.workloads[0].kind, "Deployment");
	assert_str(p->endpoint.workloads[0].name, "web");
	/* Cilium: pkg/labelsfilter leaves pod-template-hash out; Label.String has no "=" before
	 * nothing */
	assert_int_equal(p->endpoint.label_count, 6);
	assert_true(has_label(p, "k8s:app=web"));
	assert_true(has_label(p, "k8s:empty"));
	assert_true(has_label(p, "k8s:io.cilium.k8s.namespace.labels.team=a"));
	assert_true(has_label(p, "k8s:io.cilium.k8s.policy.cluster=default"));
	assert_true(has_label(p, "k8s:io.cilium.k8s.policy.serviceaccount=sa"));
	assert_true(has_label(p, "k8s:io.kubernetes.pod.namespace=shop"));
	kube_view_done(&v);
}

static void of_two_pods_with_one_address_the_finished_has_none_and_the_younger_wins(void **state)
{
	(void)state;
	AUTO(kube_world_free) struct kube_world *w = world_new();
	struct kube_view v;
	pod_named(w, "done", "2026-01-03T00:00:00Z", "\"phase\":\"Succeeded\",", "10.0.0.1");
	pod_named(w, "failed", "2026-01-03T00:00:00Z", "\"phase\":\"Failed\",", "10.0.0.2");
	pod_named(w, "old", "2026-01-01T00:00:00Z", "", "10.0.0.1");
	pod_named(w, "young", "2026-01-02T00:00:00Z", "", "10.0.0.1");
	view_of(w, &v);
	assert_str(who(&v, "10.0.0.1")->endpoint.pod, "young");
	assert_null(who(&v, "10.0.0.2"));
	kube_view_done(&v);
	put(w, KUBE_PODS,
	    "{\"metadata\":{\"name\":\"young\",\"namespace\":\"n\",\"creationTimestamp\":"
	    "\"2026-01-02T00:00:00Z\",\"deletionTimestamp\":\"2026-01-04T00:00:00Z\"},"
	    "\"status\":{\"podIP\":\"10.0.0.1\"}}");
	view_of(w, &v);
	assert_str(who(&v, "10.0.0.1")->endpoint.pod, "old");
	kube_view_done(&v);
}

/* What a kubelet writes of a pod that ends, step by step; true: the address is still the pod's. */
static const struct {
	const char *says;
	bool is_leaving, has_it;
} ends[] = {
	{ "", false, true },
	{ "\"phase\":\"Running\",", true, true },
	/* KEP 3085: the sandbox is there; is gone; nobody said */
	{ "\"conditions\":[{\"type\":\"Ready\",\"status\":\"False\"},{\"type\":"
	  "\"PodReadyToStartContainers\",\"status\":\"True\"}],",
	  false, true },
	{ "\"conditions\":[{\"type\":\"Ready\",\"status\":\"False\"},{\"type\":"
	  "\"PodReadyToStartContainers\",\"status\":\"False\"}],",
	  false, false },
	{ "\"conditions\":[{\"type\":\"PodReadyToStartContainers\",\"status\":\"Unknown\"}],",
	  false, true },
	/* one container of two has ended; both; of a pod that nobody deletes, they start again */
	{ "\"containerStatuses\":[{\"state\":{\"terminated\":{\"exitCode\":0}}},"
	  "{\"state\":{\"running\":{}}}],",
	  true, true },
	{ "\"containerStatuses\":[{\"state\":{\"terminated\":{\"exitCode\":0}}},"
	  "{\"state\":{\"terminated\":{\"exitCode\":137}}}],",
	  true, false },
	{ "\"containerStatuses\":[{\"state\":{\"terminated\":{\"exitCode\":0}}}],", false, true },
	/* a sidecar (init containers, 1.28) ends last, and so may what somebody debugs with */
	{ "\"containerStatuses\":[{\"state\":{\"terminated\":{}}}],\"initContainerStatuses\":"
	  "[{\"state\":{\"terminated\":{}}},{\"state\":{\"running\":{}}}],",
	  true, true },
	{ "\"containerStatuses\":[{\"state\":{\"terminated\":{}}}],\"ephemeralContainerStatuses\":"
	  "[{\"state\":{\"running\":{}}}],",
	  true, true },
	{ "\"containerStatuses\":[{\"state\":{\"terminated\":{}}}],\"initContainerStatuses\":"
	  "[{\"state\":{\"terminated\":{}}}],",
	  true, false },
	/* nothing is known of them, or nothing that can be read */
	{ "\"containerStatuses\":[],", true, true },
	{ "\"containerStatuses\":{},\"conditions\":\"x\",", true, true },
	{ "\"containerStatuses\":[{\"state\":{\"terminated\":null}}],", true, true },
	{ "\"containerStatuses\":[7],\"conditions\":[7],", true, true },
};

static void
a_pod_without_network_or_without_a_container_that_runs_has_its_address_no_more(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(ends); i++) {
		AUTO(kube_world_free) struct kube_world *w = world_new();
		struct kube_view v;
		char text[1024];
		pod_named(w, "a", "2026-01-01T00:00:00Z", "\"phase\":\"Running\",", "10.0.0.1");
		view_of(w, &v);
		assert_str(who(&v, "10.0.0.1")->endpoint.pod, "a");
		kube_view_done(&v);
		(void)snprintf(
			text, sizeof text,
			"{\"metadata\":{\"name\":\"a\",\"namespace\":\"n\",%s"
			"\"creationTimestamp\":\"2026-01-01T00:00:00Z\"},\"status\":{%s"
			"\"podIP\":\"10.0.0.1\"}}",
			ends[i].is_leaving ? "\"deletionTimestamp\":\"2026-01-04T00:00:00Z\"," : "",
			ends[i].says);
		put(w, KUBE_PODS, text);
		view_of(w, &v);
		if ((who(&v, "10.0.0.1") != NULL) != ends[i].has_it)
			fail_msg("%s has %s", ends[i].says, ends[i].has_it ? "none" : "it");
		kube_view_done(&v);
	}
}

static void nodes_are_host_remote_node_and_kube_apiserver(void **state)
{
	(void)state;
	AUTO(kube_world_free) struct kube_world *w = world_new();
	struct kube_view v;
	put(w, KUBE_NODES,
	    "{\"metadata\":{\"name\":\"node-a\"},\"status\":{\"addresses\":[{\"type\":"
	    "\"InternalIP\","
	    "\"address\":\"192.0.2.1\"},{\"type\":\"Hostname\",\"address\":\"node-a\"}]}}");
	put(w, KUBE_NODES,
	    "{\"metadata\":{\"name\":\"node-b\"},\"status\":{\"addresses\":[{\"type\":"
	    "\"InternalIP\","
	    "\"address\":\"192.0.2.2\"},{\"type\":\"ExternalIP\",\"address\":\"203.0.113.2\"}]}}");
	put(w, KUBE_SLICES,
	    "{\"metadata\":{\"name\":\"kubernetes\",\"namespace\":\"default\",\"labels\":{"
	    "\"kubernetes.io/"
	    "service-name\":\"kubernetes\"}},\"addressType\":\"IPv4\",\"endpoints\":"
	    "[{\"addresses\":[\"192.0.2.2\"]},{\"addresses\":[\"203.0.113.9\"]}]}");
	/* hostNetwork: the node's address is the node's */
	put(w, KUBE_PODS,
	    "{\"metadata\":{\"name\":\"agent\",\"namespace\":\"infra\"},\"spec\":{\"hostNetwork\":"
	    "true},\"status\":{\"podIP\":\"192.0.2.1\"}}");
	view_of(w, &v);
	/* numbers: reference/reserved-identities.tsv */
	assert_int_equal(who(&v, "192.0.2.1")->endpoint.identity, 1);
	assert_true(has_label(who(&v, "192.0.2.1"), "reserved:host"));
	assert_int_equal(who(&v, "192.0.2.2")->endpoint.identity, 7);
	assert_true(has_label(who(&v, "192.0.2.2"), "reserved:kube-apiserver"));
	assert_true(has_label(who(&v, "192.0.2.2"), "reserved:remote-node"));
	assert_int_equal(who(&v, "203.0.113.2")->endpoint.identity, 6);
	assert_true(has_label(who(&v, "203.0.113.9"), "reserved:kube-apiserver"));
	assert_true(has_label(who(&v, "203.0.113.9"), "reserved:world"));
	kube_view_done(&v);
}

/* As after a node was made anew under another name. */
static void an_address_that_two_nodes_claim_is_this_ones(void **state)
{
	(void)state;
	static const char *const names[] = { "a-node", "node-a", "z-node" };
	AUTO(kube_world_free) struct kube_world *w = world_new();
	struct kube_view v;
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		char text[256];
		(void)snprintf(text, sizeof text,
			       "{\"metadata\":{\"name\":\"%s\"},\"status\":{\"addresses\":"
			       "[{\"type\":\"InternalIP\",\"address\":\"192.0.2.1\"}]}}",
			       names[i]);
		put(w, KUBE_NODES, text);
	}
	view_of(w, &v);
	assert_int_equal(v.names.prefix_count, 1);
	assert_int_equal(who(&v, "192.0.2.1")->endpoint.identity, 1); /* host */
	kube_view_done(&v);
}

static void a_service_is_named_by_address_and_port_and_a_headless_one_is_not(void **state)
{
	(void)state;
	AUTO(kube_world_free) struct kube_world *w = world_new();
	struct kube_view v;
	put(w, KUBE_SERVICES,
	    "{\"metadata\":{\"name\":\"dual\",\"namespace\":\"shop\"},\"spec\":{\"clusterIP\":"
	    "\"10.96.0.7\",\"clusterIPs\":[\"10.96.0.7\",\"fd00:96::7\"],\"ports\":[{\"port\":80}]}"
	    "}");
	put(w, KUBE_SERVICES,
	    "{\"metadata\":{\"name\":\"db\",\"namespace\":\"shop\"},\"spec\":{\"clusterIP\":"
	    "\"None\","
	    "\"clusterIPs\":[\"None\"],\"ports\":[{\"port\":5432}]}}");
	view_of(w, &v);
	assert_int_equal(v.names.service_count, 2);
	for (size_t i = 0; i < 2; i++) {
		assert_str(v.names.services[i].service.name, "dual");
		assert_int_equal(v.names.services[i].port, 80);
	}
	kube_view_done(&v);
}

static void cilium_s_identities_win_by_endpoint_and_else_by_labels(void **state)
{
	(void)state;
	AUTO(kube_world_free) struct kube_world *w = world_new();
	struct kube_view v;
	pod_named(w, "a", "2026-01-01T00:00:00Z", "", "10.0.0.1");
	pod_named(w, "b", "2026-01-01T00:00:00Z", "", "10.0.0.2");
	put(w, KUBE_CILIUM_IDENTITIES,
	    "{\"metadata\":{\"name\":\"31007\"},\"security-labels\":{"
	    "\"k8s:io.kubernetes.pod.namespace\":\"n\",\"k8s:io.cilium.k8s.policy.cluster\":"
	    "\"default\"}}");
	put(w, KUBE_CILIUM_ENDPOINTS,
	    "{\"metadata\":{\"name\":\"a\",\"namespace\":\"n\"},\"status\":{\"identity\":{\"id\":"
	    "555}}}");
	view_of(w, &v);
	assert_int_equal(who(&v, "10.0.0.1")->endpoint.identity, 555);
	assert_int_equal(who(&v, "10.0.0.2")->endpoint.identity, 31007);
	kube_view_done(&v);
}

static void a_workload_is_what_owns_the_pod(void **state)
{
	static const struct {
		const char *kind, *name, *want_kind, *want;
	} cases[] = {
		{ "StatefulSet", "db", "StatefulSet", "db" },
		{ "DaemonSet", "agent", "DaemonSet", "agent" },
		{ "Job", "migrate", "Job", "migrate" },
		{ "Job", "report-28391234", "CronJob", "report" },
		{ "Job", "report-1", "Job", "report-1" },
		{ "Job", "report-1234567", "Job", "report-1234567" }, /* seven digits */
		{ "Job", "report-1234567890", "CronJob", "report" },
		/* eleven */
		{ "Job", "report-12345678901", "Job", "report-12345678901" },
		{ "ReplicaSet", "bare", "ReplicaSet", "bare" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		AUTO(kube_world_free) struct kube_world *w = world_new();
		struct kube_view v;
		char text[1024];
		(void)snprintf(
			text, sizeof text,
			"{\"metadata\":{\"name\":\"p\",\"namespace\":\"n\",\"generateName\":"
			"\"p-\",\"ownerReferences\":[{\"kind\":\"X\",\"name\":\"x\"},{\"kind\":"
			"\"%s\",\"name\":\"%s\",\"controller\":true}]},\"status\":{\"podIP\":"
			"\"10.0.0.1\"}}",
			cases[i].kind, cases[i].name);
		put(w, KUBE_PODS, text);
		view_of(w, &v);
		const struct endpoint *ep = &who(&v, "10.0.0.1")->endpoint;
		assert_str(ep->workloads[0].kind, cases[i].want_kind);
		assert_str(ep->workloads[0].name, cases[i].want);
		kube_view_done(&v);
	}
}

static void what_a_list_does_not_name_goes_at_its_end_and_not_before(void **state)
{
	(void)state;
	AUTO(kube_world_free) struct kube_world *w = world_new();
	struct kube_view v;
	pod_named(w, "a", "2026-01-01T00:00:00Z", "", "10.0.0.1");
	pod_named(w, "b", "2026-01-01T00:00:00Z", "", "10.0.0.2");
	kube_world_begin(w, KUBE_PODS);
	pod_named(w, "b", "2026-01-01T00:00:00Z", "", "10.0.0.2");
	view_of(w, &v);
	assert_non_null(who(&v, "10.0.0.1"));
	kube_view_done(&v);
	kube_world_begin(w, KUBE_PODS); /* that list broke off; the next one is whole */
	pod_named(w, "a", "2026-01-01T00:00:00Z", "", "10.0.0.1");
	kube_world_end(w, KUBE_PODS);
	view_of(w, &v);
	assert_non_null(who(&v, "10.0.0.1"));
	assert_null(who(&v, "10.0.0.2"));
	assert_int_equal(kube_world_count(w, KUBE_PODS), 1);
	kube_view_done(&v);
}

static void take_policy(void *ctx, enum kube_kind kind, struct str json)
{
	struct buf *b = ctx;

	buf_printf(b, "%s %.*s\n", kube_kind_name(kind), STR_FMT(json));
}

static void a_policy_is_kept_with_its_kind_and_without_status(void **state)
{
	(void)state;
	AUTO(kube_world_free) struct kube_world *w = world_new();
	AUTO_BUF struct buf b = buf_init(4096);
	put(w, KUBE_NETWORK_POLICIES,
	    "{\"metadata\":{\"name\":\"p\",\"namespace\":\"n\",\"resourceVersion\":\"7\","
	    "\"managedFields\":[1]},\"spec\":{\"podSelector\":{}},\"status\":{}}");
	assert_int_equal(kube_world_dirt(w), KUBE_DIRTY_POLICIES);
	assert_int_equal(kube_world_policies(w, &(struct kube_needs){ 0 }, take_policy, &b, NULL),
			 ERR_OK);
	assert_string_equal(buf_cstr(&b),
			    "NetworkPolicy {\"apiVersion\":\"networking.k8s.io/v1\",\"kind\":"
			    "\"NetworkPolicy\",\"metadata\":{\"name\":\"p\",\"namespace\":\"n\","
			    "\"resourceVersion\":\"7\"},\"spec\":{\"podSelector\":{}}}\n");
}

static void names_of_ports_are_kept_of_sidecars_too(void **state)
{
	(void)state;
	AUTO(kube_world_free) struct kube_world *w = world_new();
	AUTO_BUF struct buf b = buf_init(4096);

	put(w, KUBE_PODS,
	    "{\"metadata\":{\"name\":\"p\",\"namespace\":\"n\"},\"spec\":{\"containers\":[{"
	    "\"ports\":[{\"name\":\"web\",\"containerPort\":80},{\"containerPort\":81}]}],"
	    "\"initContainers\":[{\"restartPolicy\":\"Always\",\"ports\":[{\"name\":\"proxy\","
	    "\"containerPort\":15001}]}]}}");
	assert_int_equal(kube_world_policies(w, &(struct kube_needs){ .port_names = true },
					     take_policy, &b, NULL),
			 ERR_OK);
	assert_string_equal(buf_cstr(&b),
			    "Pod {\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{\"name\":"
			    "\"p\",\"namespace\":\"n\"},\"spec\":{\"containers\":[{\"ports\":[{"
			    "\"containerPort\":80,\"name\":\"web\"},{\"containerPort\":15001,"
			    "\"name\":\"proxy\"}]}]}}\n");
	/* nobody asks: none are told */
	buf_reset(&b);
	assert_int_equal(kube_world_policies(w, &(struct kube_needs){ 0 }, take_policy, &b, NULL),
			 ERR_OK);
	assert_int_equal(b.len, 0);
}

static void names_of_ports_are_those_of_pods_with_an_address_of_their_own(void **state)
{
	(void)state;
	static const char *const others[] = {
		"\"spec\":{\"hostNetwork\":true,%s}",
		"\"spec\":{%s},\"status\":{\"phase\":\"Succeeded\"}",
		"\"spec\":{%s},\"status\":{\"phase\":\"Failed\"}",
	};

	for (size_t i = 0; i < ARRAY_LEN(others); i++) {
		AUTO(kube_world_free) struct kube_world *w = world_new();
		AUTO_BUF struct buf b = buf_init(4096), text = buf_init(1024);

		buf_lit(&text, "{\"metadata\":{\"name\":\"p\",\"namespace\":\"n\"},");
		buf_printf(
			&text, others[i],
			"\"containers\":[{\"ports\":[{\"name\":\"web\",\"containerPort\":80}]}]");
		buf_char(&text, '}');
		put(w, KUBE_PODS, buf_cstr(&text));
		assert_int_equal(kube_world_policies(w, &(struct kube_needs){ .port_names = true },
						     take_policy, &b, NULL),
				 ERR_OK);
		assert_int_equal(b.len, 0);
	}
}

static void backends_that_do_not_serve_are_left_out(void **state)
{
	(void)state;
	AUTO(kube_world_free) struct kube_world *w = world_new();
	AUTO_BUF struct buf b = buf_init(4096);

	put(w, KUBE_SLICES,
	    "{\"metadata\":{\"name\":\"s-1\",\"namespace\":\"n\",\"labels\":{"
	    "\"kubernetes.io/service-name\":\"s\"}},\"addressType\":\"IPv4\",\"endpoints\":["
	    "{\"addresses\":[\"192.0.2.1\"],\"conditions\":{\"ready\":false}},"
	    "{\"addresses\":[\"192.0.2.2\"],\"conditions\":{\"ready\":true}}]}");
	assert_int_equal(kube_world_policies(w, &(struct kube_needs){ .services = true },
					     take_policy, &b, NULL),
			 ERR_OK);
	assert_non_null(strstr(buf_cstr(&b), "\"endpoints\":[{\"addresses\":[\"192.0.2.2\"]}]"));
}

static void ten_of_each(struct kube_world *w, bool backwards)
{
	char text[512];

	for (int i = 0; i < 10; i++) {
		int n = backwards ? 9 - i : i;
		(void)snprintf(
			text, sizeof text,
			"{\"metadata\":{\"name\":\"p%d\",\"namespace\":\"n%d\",\"labels\":{\"a\":"
			"\"%d\"}},\"spec\":{\"podSelector\":{},\"clusterIP\":\"10.1.0.1\","
			"\"ports\":[{\"port\":80}]}}",
			n, n % 3, n);
		put(w, KUBE_NETWORK_POLICIES, text);
		put(w, KUBE_SERVICES, text);
		put(w, KUBE_PODS, text);
	}
}

/* Users choose names, labels and policies: nobody may know where these go. */
static void each_world_has_hashes_of_its_own(void **state)
{
	(void)state;
	AUTO(kube_world_free) struct kube_world *a = world_new();
	AUTO(kube_world_free) struct kube_world *b = world_new();

	ten_of_each(a, false);
	ten_of_each(b, false);
	const struct kube_thing *x = *kube_find(&a->things[KUBE_PODS], STR("n1"), STR("p1"));
	const struct kube_thing *y = *kube_find(&b->things[KUBE_PODS], STR("n1"), STR("p1"));
	assert_true(x && y);
	assert_true(x->hash != y->hash);
	assert_true(x->content != y->content);
	assert_true(x->labels->hash != y->labels->hash);
}

/* Of services that share an address, say, the same is shown on every node. */
static void what_is_told_has_an_order_that_hangs_on_names_alone(void **state)
{
	(void)state;
	struct buf texts[2] = { buf_init(65536), buf_init(65536) };

	for (int i = 0; i < 2; i++) {
		AUTO(kube_world_free) struct kube_world *w = world_new();
		struct kube_view v;
		ten_of_each(w, i);
		assert_int_equal(kube_world_policies(w, &(struct kube_needs){ .services = true },
						     take_policy, &texts[i], NULL),
				 ERR_OK);
		view_of(w, &v);
		for (size_t n = 0; n < v.names.service_count; n++)
			buf_printf(&texts[i], "%.*s\n", STR_FMT(v.names.services[n].service.name));
		assert_int_equal(v.names.service_count, 10);
		kube_view_done(&v);
	}
	assert_string_equal(buf_cstr(&texts[0]), buf_cstr(&texts[1]));
	buf_done(&texts[0]);
	buf_done(&texts[1]);
}

#define POD_AT(node, uid)                                                                          \
	"{\"metadata\":{\"name\":\"db-0\",\"namespace\":\"shop\",\"uid\":\"" uid                   \
	"\"},\"spec\":{\"nodeName\":\"" node "\"},\"status\":{\"phase\":\"Running\"}}"

/* The uid of the pod shop/db-0 of this node; "": there is none. */
static const char *uid_of(struct local_pods *pods, char uid[LOCAL_POD_UID_BYTES])
{
	return local_pods_find(pods, STR("shop"), STR("db-0"), uid) ? uid : "";
}

static void pods_of_this_node_are_told_with_the_uid_that_they_have_now(void **state)
{
	(void)state;
	AUTO(local_pods_free) struct local_pods *pods = NULL;
	AUTO(kube_world_free) struct kube_world *w = world_new();
	char uid[LOCAL_POD_UID_BYTES];
	assert_int_equal(local_pods_new(&pods, NULL), ERR_OK);
	kube_world_tell_local(w, pods);
	assert_string_equal(uid_of(pods, uid), "");
	put(w, KUBE_PODS, POD_AT("node-a", "one"));
	assert_string_equal(uid_of(pods, uid), "one");
	assert_false(local_pods_find(pods, STR("sho"), STR("pdb-0"), uid));
	put(w, KUBE_PODS, POD_AT("node-a", "two")); /* all else is as it was */
	assert_string_equal(uid_of(pods, uid), "two");
	put(w, KUBE_PODS, POD_AT("node-b", "three"));
	assert_string_equal(uid_of(pods, uid), "");
	put(w, KUBE_PODS, POD_AT("node-a", "four"));
	take_out(w, KUBE_PODS, POD_AT("node-a", "four"));
	assert_string_equal(uid_of(pods, uid), "");
	put(w, KUBE_PODS, POD_AT("node-a", "five"));
	kube_world_begin(w, KUBE_PODS); /* a list that does not name it */
	assert_string_equal(uid_of(pods, uid), "five");
	kube_world_end(w, KUBE_PODS);
	assert_string_equal(uid_of(pods, uid), "");
}

static json_t *object_of(const char *name)
{
	return json_pack("{s:{s:s, s:s}}", "metadata", "name", name, "namespace", "shop");
}

static json_t *numbered_labels(int count)
{
	json_t *labels = json_object();
	char key[24];

	for (int i = 0; i < count; i++) {
		(void)snprintf(key, sizeof key, "label-%05d", i);
		json_object_set_new(labels, key, json_string("x"));
	}
	return labels;
}

/* Ports from 1 on; addresses are those of 10.97.0.0 on. */
static json_t *service_of(int ports, int addresses)
{
	json_t *service = object_of("wide"), *list = json_array(), *ips = json_array();
	char ip[24];

	for (int i = 1; i <= ports; i++)
		json_array_append_new(list,
				      json_pack("{s:i, s:i}", "port", i, "nodePort", 30000 + i));
	for (int i = 0; i < addresses; i++) {
		(void)snprintf(ip, sizeof ip, "10.97.%d.%d", i >> 8, i & 255);
		json_array_append_new(ips, json_string(ip));
	}
	json_object_set_new(service, "spec",
			    json_pack("{s:o, s:o}", "ports", list, "externalIPs", ips));
	return service;
}

static bool put_object(struct kube_world *w, enum kube_kind kind, json_t *object)
{
	bool is_in = kube_world_put(w, kind, object);

	json_decref(object);
	return is_in;
}

static size_t fronts_of(struct kube_world *w)
{
	struct kube_view v;

	view_of(w, &v);
	size_t count = v.names.service_count;
	kube_view_done(&v);
	return count;
}

static void a_service_has_all_its_ports_and_addresses(void **state)
{
	(void)state;
	AUTO(kube_world_free) struct kube_world *w = world_new();

	put(w, KUBE_NODES,
	    "{\"metadata\":{\"name\":\"node-a\"},\"status\":{\"addresses\":[{\"type\":"
	    "\"InternalIP\",\"address\":\"192.0.2.1\"}]}}");
	assert_true(put_object(w, KUBE_SERVICES, service_of(2000, 3)));
	assert_int_equal(fronts_of(w), 2000 * 3 + 2000);
	assert_true(put_object(w, KUBE_SERVICES, service_of(2, 3000)));
	assert_int_equal(fronts_of(w), 2 * 3000 + 2);
	assert_int_equal(kube_world_left_out(w), 0);
}

static void a_service_beyond_the_bound_is_left_out_with_what_it_was(void **state)
{
	(void)state;
	AUTO(kube_world_free) struct kube_world *w = world_new();

	_Static_assert(KUBE_FRONTS_MAX == 512 * 512, "the service beyond it has one more port");
	assert_true(put_object(w, KUBE_SERVICES, service_of(512, 512)));
	assert_int_equal(fronts_of(w), KUBE_FRONTS_MAX);
	assert_false(put_object(w, KUBE_SERVICES, service_of(513, 512)));
	assert_int_equal(fronts_of(w), 0);
	assert_int_equal(kube_world_left_out(w), 1);
}

static void all_labels_of_a_pod_and_its_namespace_are_shown(void **state)
{
	(void)state;
	AUTO(kube_world_free) struct kube_world *w = world_new();
	json_t *ns = json_pack("{s:{s:s, s:o}}", "metadata", "name", "shop", "labels",
			       numbered_labels(KUBE_LABELS_MAX));
	json_t *pod = object_of("web-0");
	struct kube_view v;

	json_object_set_new(json_object_get(pod, "metadata"), "labels",
			    numbered_labels(KUBE_LABELS_MAX));
	json_object_set_new(pod, "status", json_pack("{s:[{s:s}]}", "podIPs", "ip", "10.0.0.9"));
	assert_true(put_object(w, KUBE_NAMESPACES, ns));
	assert_true(put_object(w, KUBE_PODS, pod));
	view_of(w, &v);
	const struct name_prefix *p = who(&v, "10.0.0.9");
	/* and those that Cilium adds: cluster and namespace */
	assert_int_equal(p->endpoint.label_count, 2 * KUBE_LABELS_MAX + 2);
	assert_true(has_label(p, "k8s:label-01023=x"));
	assert_true(has_label(p, "k8s:io.cilium.k8s.namespace.labels.label-01023=x"));
	kube_view_done(&v);
	pod = object_of("web-0");
	json_object_set_new(json_object_get(pod, "metadata"), "labels",
			    numbered_labels(KUBE_LABELS_MAX + 1));
	assert_false(put_object(w, KUBE_PODS, pod));
	assert_int_equal(kube_world_count(w, KUBE_PODS), 0);
	assert_int_equal(kube_world_left_out(w), 1);
}

static void an_object_without_name_is_left_out_and_counted(void **state)
{
	(void)state;
	AUTO(kube_world_free) struct kube_world *w = world_new();
	json_t *v = json_of("{\"metadata\":{\"namespace\":\"n\"}}");
	for (int k = 0; k < KUBE_KINDS; k++)
		assert_false(kube_world_put(w, (enum kube_kind)k, v));
	assert_int_equal(kube_world_left_out(w), KUBE_KINDS);
	json_decref(v);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_pod_has_cilium_s_labels_its_deployment_and_both_addresses),
		cmocka_unit_test(
			of_two_pods_with_one_address_the_finished_has_none_and_the_younger_wins),
		cmocka_unit_test(
			a_pod_without_network_or_without_a_container_that_runs_has_its_address_no_more),
		cmocka_unit_test(nodes_are_host_remote_node_and_kube_apiserver),
		cmocka_unit_test(an_address_that_two_nodes_claim_is_this_ones),
		cmocka_unit_test(a_service_is_named_by_address_and_port_and_a_headless_one_is_not),
		cmocka_unit_test(cilium_s_identities_win_by_endpoint_and_else_by_labels),
		cmocka_unit_test(a_workload_is_what_owns_the_pod),
		cmocka_unit_test(what_a_list_does_not_name_goes_at_its_end_and_not_before),
		cmocka_unit_test(a_policy_is_kept_with_its_kind_and_without_status),
		cmocka_unit_test(names_of_ports_are_kept_of_sidecars_too),
		cmocka_unit_test(backends_that_do_not_serve_are_left_out),
		cmocka_unit_test(names_of_ports_are_those_of_pods_with_an_address_of_their_own),
		cmocka_unit_test(each_world_has_hashes_of_its_own),
		cmocka_unit_test(what_is_told_has_an_order_that_hangs_on_names_alone),
		cmocka_unit_test(pods_of_this_node_are_told_with_the_uid_that_they_have_now),
		cmocka_unit_test(a_service_has_all_its_ports_and_addresses),
		cmocka_unit_test(a_service_beyond_the_bound_is_left_out_with_what_it_was),
		cmocka_unit_test(all_labels_of_a_pod_and_its_namespace_are_shown),
		cmocka_unit_test(an_object_without_name_is_left_out_and_counted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
