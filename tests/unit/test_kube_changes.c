/* observer/kubernetes/world: what has changed, pods and identities, comes to what there is. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/buf.h"
#include "kube_fixture.h"
#include "observer/kubernetes/inside.h"
#include "observer/kubernetes/thing.h"

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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(only_what_changes_names_is_a_change),
		cmocka_unit_test(changes_come_to_what_a_view_says),
		cmocka_unit_test(identities_that_come_and_go_come_to_what_a_view_says),
		cmocka_unit_test(an_identity_is_a_change_of_the_pods_that_have_it_and_of_no_other),
		cmocka_unit_test(of_more_changes_than_are_noted_all_is_told),
		cmocka_unit_test(a_number_that_cilium_gives_later_is_a_change_of_that_pod),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
