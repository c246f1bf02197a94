/* observer/kubernetes/world when memory runs out: an object may be left out, and is known when it is
 * told again; what is told of names is what the world holds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "observer/kubernetes/world.h"
#include "tests/unit/nomem.h"

enum { PODS = 12 };

/* Objects of one moment. */
struct objects {
	json_t *namespaces, *pods[PODS], *service;
};

static struct objects objects_of(unsigned version)
{
	char name[32], app[32], ip[32], six[32];
	struct objects o = {
		.namespaces = json_pack("{s:{s:s,s:{s:s}}}", "metadata", "name", "shop", "labels",
					"team", version % 2 ? "a" : "b"),
		.service = json_pack("{s:{s:s,s:s},s:{s:s,s:[{s:i,s:s}]}}", "metadata", "name",
				     "web", "namespace", "shop", "spec", "clusterIP", "10.96.0.1",
				     "ports", "port", 80, "protocol", "TCP"),
	};

	for (unsigned i = 0; i < PODS; i++) {
		(void)snprintf(name, sizeof name, "web-%u-%u", version, i);
		(void)snprintf(app, sizeof app, "app-%u-%u", version, i % 3);
		(void)snprintf(ip, sizeof ip, "10.0.%u.%u", i % 2 ? version % 2 : 7, i);
		(void)snprintf(six, sizeof six, "fd00::%u:%u", version % 2, i);
		o.pods[i] = json_pack(
			"{s:{s:s,s:s,s:s,s:{s:s}},s:{s:s},s:{s:s,s:s,s:[{s:s},{s:s}]}}", "metadata",
			"name", name, "namespace", "shop", "creationTimestamp",
			"2026-01-01T00:00:00Z", "labels", "app", app, "spec", "nodeName", "node-a",
			"status", "phase", "Running", "podIP", ip, "podIPs", "ip", ip, "ip", six);
	}
	return o;
}

static void objects_done(struct objects *o)
{
	json_decref(o->namespaces);
	json_decref(o->service);
	for (unsigned i = 0; i < PODS; i++)
		json_decref(o->pods[i]);
}

/* As a list, which ends what is not in it. */
static void list(struct kube_world *w, const struct objects *o)
{
	kube_world_begin(w, KUBE_NAMESPACES);
	(void)kube_world_put(w, KUBE_NAMESPACES, o->namespaces);
	kube_world_end(w, KUBE_NAMESPACES);
	kube_world_begin(w, KUBE_SERVICES);
	(void)kube_world_put(w, KUBE_SERVICES, o->service);
	kube_world_end(w, KUBE_SERVICES);
	kube_world_begin(w, KUBE_PODS);
	for (unsigned i = 0; i < PODS; i++)
		(void)kube_world_put(w, KUBE_PODS, o->pods[i]);
	kube_world_end(w, KUBE_PODS);
}

/* What the world says anew, to the names; after a failure all of it (name_change). */
static enum err_code tell(struct kube_world *w, struct name_table *t, bool *needs_all,
			  struct err *e)
{
	struct kube_view v;
	bool all = *needs_all || kube_world_wants_all(w);
	enum err_code code = all ? kube_world_view(w, &v, e) : kube_world_changes(w, &v, e);

	if (code != ERR_OK)
		return code;
	const struct name_change change = { .gone = v.gone,
					    .gone_count = v.gone_count,
					    .prefixes = v.names.prefixes,
					    .prefix_count = v.names.prefix_count,
					    .has_services = v.has_services,
					    .services = v.names.services,
					    .service_count = v.names.service_count,
					    .identities = v.names.identities,
					    .identity_count = v.names.identity_count };
	code = all ? name_update(t, 0, &v.names, e) : name_change(t, 0, &change, e);
	kube_view_done(&v);
	*needs_all = code != ERR_OK;
	return code;
}

static void assert_same(struct name_table *a, struct name_table *b)
{
	for (unsigned i = 0; i < 3 * 256; i++) {
		uint8_t ip[16] = {
			[10] = 0xff, [11] = 0xff, 10, 0, (uint8_t)(i >> 8 == 2 ? 7 : i >> 8),
			(uint8_t)i
		};
		const struct name_found x = name_find(a, ip), y = name_find(b, ip);
		assert_int_equal(x.ep != NULL, y.ep != NULL);
		if (!x.ep)
			continue;
		assert_true(str_eq(x.ep->pod, y.ep->pod));
		assert_int_equal(x.ep->label_count, y.ep->label_count);
		for (size_t l = 0; l < x.ep->label_count; l++)
			assert_true(str_eq(x.ep->labels[l], y.ep->labels[l]));
	}
}

/* @return true if an allocation failed on the way. */
static bool live_after(long n)
{
	static const struct name_config config = { .cluster = "", .node = "node-a" };
	struct flow_dict *dict = NULL;
	struct name_table *t = NULL, *fresh_names = NULL;
	struct kube_world *w = NULL, *fresh = NULL;
	struct objects one = objects_of(1), two = objects_of(2), three = objects_of(3);
	struct err e = { 0 };
	bool needs_all = false, needs_fresh = false;

	assert_int_equal(flow_dict_new(4096, &dict, NULL), ERR_OK);
	assert_int_equal(name_table_new(&config, dict, &t, NULL), ERR_OK);
	assert_int_equal(name_table_new(&config, dict, &fresh_names, NULL), ERR_OK);
	assert_int_equal(kube_world_new("", "node-a", &w, NULL), ERR_OK);
	assert_int_equal(kube_world_new("", "node-a", &fresh, NULL), ERR_OK);
	list(w, &one);
	assert_int_equal(tell(w, t, &needs_all, &e), ERR_OK);
	nomem_after(n);
	list(w, &two);
	kube_world_remove(w, KUBE_PODS, two.pods[1]);
	(void)kube_world_put(w, KUBE_PODS, two.pods[1]);
	(void)!tell(w, t, &needs_all, &e);
	bool failed = nomem_end();
	/* and is told as it is, after all */
	list(w, &three);
	if (tell(w, t, &needs_all, &e) != ERR_OK)
		fail_msg("%s", e.msg);
	list(fresh, &three);
	assert_int_equal(tell(fresh, fresh_names, &needs_fresh, &e), ERR_OK);
	assert_same(t, fresh_names);
	kube_world_free(w);
	kube_world_free(fresh);
	name_table_free(t);
	name_table_free(fresh_names);
	flow_dict_free(dict);
	objects_done(&one);
	objects_done(&two);
	objects_done(&three);
	return failed;
}

static void a_world_survives_each_failed_allocation(void **state)
{
	long n = 0;

	(void)state;
	while (live_after(n))
		n++;
	assert_true(n > 20);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_world_survives_each_failed_allocation),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
