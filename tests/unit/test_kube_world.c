/* observer/kubernetes/world: objects as an API server gives them, and the names made of them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/buf.h"
#include "observer/kubernetes/inside.h"
#include "observer/kubernetes/thing.h"
#include "observer/kubernetes/world.h"

static struct kube_world *world_new(void)
{
	struct kube_world *w;

	assert_int_equal(kube_world_new("", "node-a", &w, NULL), ERR_OK);
	return w;
}

static json_t *json_of(const char *text)
{
	json_error_t where;
	json_t *v = json_loads(text, 0, &where);

	if (!v)
		fail_msg("%s: %s", where.text, text);
	return v;
}

static void put(struct kube_world *w, enum kube_kind kind, const char *text)
{
	json_t *v = json_of(text);

	assert_true(kube_world_put(w, kind, v));
	json_decref(v);
}

static void take_out(struct kube_world *w, enum kube_kind kind, const char *text)
{
	json_t *v = json_of(text);

	kube_world_remove(w, kind, v);
	json_decref(v);
}

/* Who has @ip: the first that claims it, as in the name table. */
static const struct name_prefix *who(const struct kube_view *v, const char *ip)
{
	uint8_t want[16];

	assert_true(ip_parse(str_of(ip), want));
	for (size_t i = 0; i < v->names.prefix_count; i++)
		if (memcmp(v->names.prefixes[i].ip, want, 16) == 0)
			return &v->names.prefixes[i];
	return NULL;
}

static void view_of(struct kube_world *w, struct kube_view *v)
{
	assert_int_equal(kube_world_view(w, v, NULL), ERR_OK);
}

static void assert_str(struct str s, const char *text)
{
	if (!str_is(s, text))
		fail_msg("'%.*s' is not '%s'", STR_FMT(s), text);
}

static bool has_label(const struct name_prefix *p, const char *text)
{
	for (size_t i = 0; i < p->endpoint.label_count; i++)
		if (str_is(p->endpoint.labels[i], text))
			return true;
	return false;
}

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

static void pod_named(struct kube_world *w, const char *name, const char *created, const char *more,
		      const char *ip)
{
	char text[1024];

	(void)snprintf(text, sizeof text,
		       "{\"metadata\":{\"name\":\"%s\",\"namespace\":\"n\",\"creationTimestamp\":"
		       "\"%s\"},\"spec\":{},\"status\":{%s\"podIP\":\"%s\"}}",
		       name, created, more, ip);
	put(w, KUBE_PODS, text);
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

static void only_what_changes_names_is_a_change(void **state)
{
	(void)state;
	AUTO(kube_world_free) struct kube_world *w = world_new();
	pod_named(w, "a", "2026-01-01T00:00:00Z", "", "10.0.0.1");
	assert_int_equal(kube_world_dirt(w), KUBE_DIRTY_NAMES);
	pod_named(w, "a", "2026-01-01T00:00:00Z", "\"reason\":\"x\",", "10.0.0.1");
	assert_int_equal(kube_world_dirt(w), 0);
	take_out(w, KUBE_PODS, "{\"metadata\":{\"name\":\"a\",\"namespace\":\"n\"}}");
	assert_int_equal(kube_world_dirt(w), KUBE_DIRTY_NAMES);
	take_out(w, KUBE_PODS, "{\"metadata\":{\"name\":\"a\",\"namespace\":\"n\"}}");
	assert_int_equal(kube_world_dirt(w), 0);
}

/* What changes say, kept as a plain list. */
struct told {
	struct {
		uint8_t ip[16];
		char name[64], labels[512];
		uint32_t identity;
	} list[64];
	size_t count;
	char ids[16][64]; /* the last label of identities 300 … 315; "": there is none */
};

static void forget_ip(struct told *t, const uint8_t ip[16])
{
	for (size_t i = 0; i < t->count; i++)
		if (memcmp(t->list[i].ip, ip, 16) == 0)
			t->list[i--] = t->list[--t->count];
}

static int compare_labels(const void *a, const void *b)
{
	return str_cmp(*(const struct str *)a, *(const struct str *)b);
}

/* In order: views do not put them into one. */
static void put_labels(const struct endpoint *ep, char text[512])
{
	struct str labels[16];
	struct buf b = buf_fixed(text, 512);

	assert_in_range(ep->label_count, 1, ARRAY_LEN(labels));
	memcpy(labels, ep->labels, ep->label_count * sizeof *labels);
	qsort(labels, ep->label_count, sizeof *labels, compare_labels);
	for (size_t i = 0; i < ep->label_count; i++)
		buf_printf(&b, "%.*s;", STR_FMT(labels[i]));
	assert_false(b.failed);
	(void)buf_cstr(&b);
}

static void learn(struct told *t, const struct kube_view *v)
{
	for (size_t i = 0; i < v->gone_count; i++)
		forget_ip(t, v->gone[i].ip);
	for (size_t i = 0; i < v->names.prefix_count; i++) {
		const struct name_prefix *p = &v->names.prefixes[i];
		forget_ip(t, p->ip);
		assert_in_range(t->count, 0, ARRAY_LEN(t->list) - 1);
		memcpy(t->list[t->count].ip, p->ip, 16);
		(void)snprintf(t->list[t->count].name, 64, "%.*s", STR_FMT(p->endpoint.pod));
		t->list[t->count].identity = p->endpoint.identity;
		put_labels(&p->endpoint, t->list[t->count++].labels);
	}
	for (size_t i = 0; i < v->names.identity_count; i++) {
		const struct name_identity *id = &v->names.identities[i];
		struct str first = id->label_count ? id->labels[0] : STR("");
		assert_in_range(id->identity, 300, 315);
		(void)snprintf(t->ids[id->identity - 300], 64, "%.*s", STR_FMT(first));
	}
}

/* The changes since the last call, learned, come to what a view of all says. */
static void assert_told(struct kube_world *w, struct told *t)
{
	struct kube_view v;

	assert_false(kube_world_wants_all(w));
	assert_int_equal(kube_world_changes(w, &v, NULL), ERR_OK);
	learn(t, &v);
	kube_view_done(&v);
	view_of(w, &v);
	assert_int_equal(v.names.prefix_count, t->count);
	struct told all = { .count = 0 };
	learn(&all, &v);
	for (size_t i = 0; i < t->count; i++) {
		size_t k = 0;
		while (k < t->count && memcmp(t->list[i].ip, all.list[k].ip, 16) != 0)
			k++;
		assert_in_range(k, 0, t->count - 1); /* the view has it, too */
		assert_string_equal(t->list[i].name, all.list[k].name);
		assert_string_equal(t->list[i].labels, all.list[k].labels);
		assert_int_equal(t->list[i].identity, all.list[k].identity);
	}
	for (size_t i = 0; i < ARRAY_LEN(all.ids); i++)
		assert_string_equal(t->ids[i], all.ids[i]);
	kube_view_done(&v);
}

static void changes_come_to_what_a_view_says(void **state)
{
	(void)state;
	AUTO(kube_world_free) struct kube_world *w = world_new();
	struct told t = { .count = 0 };

	pod_named(w, "a", "2026-01-01T00:00:00Z", "", "10.0.0.1");
	pod_named(w, "b", "2026-01-02T00:00:00Z", "", "10.0.0.1"); /* younger: has it */
	pod_named(w, "c", "2026-01-02T00:00:00Z", "", "10.0.0.3");
	assert_told(w, &t);
	take_out(w, KUBE_PODS, "{\"metadata\":{\"name\":\"b\",\"namespace\":\"n\"}}");
	assert_told(w, &t);
	assert_string_equal(t.list[1].name, "a");                  /* falls back to the older */
	pod_named(w, "c", "2026-01-02T00:00:00Z", "", "10.0.0.4"); /* moved */
	assert_told(w, &t);
	put(w, KUBE_NAMESPACES, "{\"metadata\":{\"name\":\"n\",\"labels\":{\"team\":\"x\"}}}");
	assert_told(w, &t);
	assert_non_null(strstr(t.list[0].labels, "k8s:io.cilium.k8s.namespace.labels.team=x;"));
	put(w, KUBE_NODES,
	    "{\"metadata\":{\"name\":\"node-b\"},\"status\":{\"addresses\":[{\"type\":"
	    "\"InternalIP\",\"address\":\"192.0.2.9\"}]}}");
	assert_told(w, &t);
	put(w, KUBE_SLICES,
	    "{\"metadata\":{\"name\":\"kubernetes\",\"namespace\":\"default\",\"labels\":{"
	    "\"kubernetes.io/service-name\":\"kubernetes\"}},\"endpoints\":[{\"addresses\":["
	    "\"192.0.2.9\",\"198.51.100.7\"]}]}");
	assert_told(w, &t); /* a node is an API server now, and one runs elsewhere */
	pod_named(w, "a", "2026-01-01T00:00:00Z", "\"phase\":\"Succeeded\",", "10.0.0.1");
	assert_told(w, &t);
	assert_int_equal(t.count, 3);
}

static void of_more_changes_than_are_noted_all_is_told(void **state)
{
	(void)state;
	AUTO(kube_world_free) struct kube_world *w = world_new();
	struct kube_view v;

	for (size_t some = 0; some < 2; some++) { /* noted is what came after what was told */
		view_of(w, &v);
		kube_view_done(&v);
		assert_false(kube_world_wants_all(w));
		for (unsigned i = 0; i <= KUBE_CHANGED_MAX; i++) {
			char name[16], ip[24];
			(void)snprintf(name, sizeof name, "p%u", i);
			(void)snprintf(ip, sizeof ip, "10.%zu.%u.%u", some, i >> 8, i & 255);
			pod_named(w, name, "2026-01-01T00:00:00Z", "", ip);
		}
		assert_true(kube_world_wants_all(w));
	}
	view_of(w, &v);
	assert_int_equal(v.names.prefix_count, KUBE_CHANGED_MAX + 1);
	kube_view_done(&v);
}

static void a_number_that_cilium_gives_later_is_a_change_of_that_pod(void **state)
{
	(void)state;
	AUTO(kube_world_free) struct kube_world *w = world_new();
	struct kube_view v;

	pod_named(w, "a", "2026-01-01T00:00:00Z", "", "10.0.0.1");
	pod_named(w, "b", "2026-01-01T00:00:00Z", "", "10.0.0.2");
	view_of(w, &v);
	kube_view_done(&v);
	put(w, KUBE_CILIUM_ENDPOINTS,
	    "{\"metadata\":{\"name\":\"a\",\"namespace\":\"n\"},\"status\":{\"identity\":{\"id\":"
	    "4711}}}");
	assert_false(kube_world_wants_all(w));
	assert_int_equal(kube_world_changes(w, &v, NULL), ERR_OK);
	assert_int_equal(v.names.prefix_count, 1);
	assert_int_equal(who(&v, "10.0.0.1")->endpoint.identity, 4711);
	assert_false(v.has_services);
	kube_view_done(&v);
}

static void pod_with_app(struct kube_world *w, unsigned pod, unsigned app)
{
	char text[512];

	(void)snprintf(text, sizeof text,
		       "{\"metadata\":{\"name\":\"p%u\",\"namespace\":\"n\",\"labels\":{\"app\":"
		       "\"%u\"}},\"status\":{\"phase\":\"Running\",\"podIP\":\"10.0.0.%u\"}}",
		       pod, app, pod);
	put(w, KUBE_PODS, text);
}

/* Of pods with label app=@app in namespace n. */
static void identity_of_app(struct kube_world *w, unsigned identity, unsigned app, bool there)
{
	char text[512];

	(void)snprintf(text, sizeof text,
		       "{\"metadata\":{\"name\":\"%u\"},\"security-labels\":{\"k8s:app\":\"%u\","
		       "\"k8s:io.kubernetes.pod.namespace\":\"n\","
		       "\"k8s:io.cilium.k8s.namespace.labels.team\":\"x\","
		       "\"k8s:io.cilium.k8s.policy.cluster\":\"default\"}}",
		       identity, app);
	if (there)
		put(w, KUBE_CILIUM_IDENTITIES, text);
	else
		take_out(w, KUBE_CILIUM_IDENTITIES, text);
}

static void an_identity_is_a_change_of_the_pods_that_have_it_and_of_no_other(void **state)
{
	(void)state;
	AUTO(kube_world_free) struct kube_world *w = world_new();
	struct kube_view v;

	put(w, KUBE_NAMESPACES, "{\"metadata\":{\"name\":\"n\",\"labels\":{\"team\":\"x\"}}}");
	for (unsigned i = 1; i <= 9; i++)
		pod_with_app(w, i, i % 3);
	view_of(w, &v);
	assert_int_equal(who(&v, "10.0.0.4")->endpoint.identity, 0);
	kube_view_done(&v);
	(void)kube_world_dirt(w);
	identity_of_app(w, 4711, 1, true);
	assert_int_equal(kube_world_dirt(w), KUBE_DIRTY_NAMES);
	assert_false(kube_world_wants_all(w));
	assert_int_equal(kube_world_changes(w, &v, NULL), ERR_OK);
	assert_int_equal(v.names.prefix_count, 3);
	assert_int_equal(who(&v, "10.0.0.4")->endpoint.identity, 4711);
	assert_int_equal(v.names.identity_count, 1);
	assert_int_equal(v.names.identities[0].label_count, 4);
	kube_view_done(&v);
	identity_of_app(w, 4712, 7, true); /* nobody's */
	assert_int_equal(kube_world_dirt(w), KUBE_DIRTY_NAMES);
	assert_int_equal(kube_world_changes(w, &v, NULL), ERR_OK);
	assert_int_equal(v.names.prefix_count, 0);
	assert_int_equal(v.names.identity_count, 1);
	kube_view_done(&v);
	/* of many at once, all is told */
	for (unsigned i = 0; i < 100; i++)
		identity_of_app(w, 5000 + i, 2, true);
	assert_true(kube_world_wants_all(w));
	view_of(w, &v);
	assert_int_equal(who(&v, "10.0.0.5")->endpoint.identity, 5000);
	kube_view_done(&v);
	assert_false(kube_world_wants_all(w));
}

/* Each pod has the lowest identity of its app, or 0. @app: of pods by number, 1 and up. @of: of
 * identities, from 300 on; NO_APP: it is not there. */
enum { NO_APP = 99 };
static void expect_lowest(const struct told *t, const unsigned app[21], const unsigned of[16])
{
	for (size_t i = 0; i < t->count; i++) {
		unsigned pod = (unsigned)atoi(t->list[i].name + 1), want = 0;
		for (unsigned k = 16; k-- > 0;)
			want = of[k] == app[pod] ? 300 + k : want;
		assert_int_equal(t->list[i].identity, want);
	}
}

static void identities_that_come_and_go_come_to_what_a_view_says(void **state)
{
	(void)state;
	AUTO(kube_world_free) struct kube_world *w = world_new();
	struct told t = { .count = 0 };
	uint64_t random = UINT64_C(0x9e3779b97f4a7c15);
	unsigned app_of[21], of[16];

	put(w, KUBE_NAMESPACES, "{\"metadata\":{\"name\":\"n\",\"labels\":{\"team\":\"x\"}}}");
	for (unsigned i = 1; i <= 20; i++)
		pod_with_app(w, i, app_of[i] = i % 4);
	for (unsigned i = 0; i < 16; i++)
		of[i] = NO_APP;
	assert_told(w, &t);
	for (int round = 0; round < 300; round++) {
		for (unsigned k = 0; k <= round % 5u; k++) {
			random ^= random << 13;
			random ^= random >> 7;
			random ^= random << 17;
			unsigned id = 300 + random % 16, app = (random >> 8) % 5;
			bool there = (random >> 16) % 4 > 1;
			if ((random >> 16) % 4 == 0) {
				pod_with_app(w, 1 + random % 20, app);
				app_of[1 + random % 20] = app;
			} else {
				identity_of_app(w, id, app, there);
				of[id - 300] = there ? app : NO_APP;
			}
		}
		assert_told(w, &t);
		expect_lowest(&t, app_of, of);
	}
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
		cmocka_unit_test(only_what_changes_names_is_a_change),
		cmocka_unit_test(changes_come_to_what_a_view_says),
		cmocka_unit_test(identities_that_come_and_go_come_to_what_a_view_says),
		cmocka_unit_test(an_identity_is_a_change_of_the_pods_that_have_it_and_of_no_other),
		cmocka_unit_test(of_more_changes_than_are_noted_all_is_told),
		cmocka_unit_test(a_number_that_cilium_gives_later_is_a_change_of_that_pod),
		cmocka_unit_test(a_policy_is_kept_with_its_kind_and_without_status),
		cmocka_unit_test(names_of_ports_are_kept_of_sidecars_too),
		cmocka_unit_test(backends_that_do_not_serve_are_left_out),
		cmocka_unit_test(names_of_ports_are_those_of_pods_with_an_address_of_their_own),
		cmocka_unit_test(each_world_has_hashes_of_its_own),
		cmocka_unit_test(what_is_told_has_an_order_that_hangs_on_names_alone),
		cmocka_unit_test(an_object_without_name_is_left_out_and_counted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
