/* observer/name when memory runs out: what is said then may be refused, as a whole or, of a change,
 * in part; all of it said again is known as ever. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "observer/name/name.h"
#include "tests/unit/nomem.h"

enum { PODS = 90 };

struct said {
	struct name_prefix pods[PODS];
	struct str labels[PODS][1];
	char names[PODS][24], apps[PODS][24];
};

static void say(struct said *s, unsigned version)
{
	for (unsigned i = 0; i < PODS; i++) {
		(void)snprintf(s->names[i], sizeof s->names[i], "pod-%u-%u", version, i);
		(void)snprintf(s->apps[i], sizeof s->apps[i], "k8s:app=%u-%u", version, i % 7);
		s->labels[i][0] = str_of(s->apps[i]);
		s->pods[i] = (struct name_prefix){ .bits = 128,
						   .local = i % 2,
						   .endpoint = { .namespace_ = STR("shop"),
								 .pod = str_of(s->names[i]),
								 .labels = s->labels[i],
								 .label_count = 1 } };
		memcpy(s->pods[i].ip + 10, (const uint8_t[]){ 0xff, 0xff, 10, 0, 0, (uint8_t)i },
		       6);
	}
}

/* @return true if an allocation failed on the way. */
static bool live_after(long n)
{
	static const struct name_config config = { .cluster = "edge", .node = "n" };
	static const struct name_service services[] = {
		{ .ip = { [15] = 1 }, .port = 53, .service = { .name = STR("dns") } }
	};
	static const struct str label[] = { STR("k8s:app=cart") };
	static const struct name_identity identities[] = {
		{ .identity = 3000, .labels = label, .label_count = 1 }
	};
	static const struct name_cgroup cgroups[] = { { .cgroup = 77 } };
	static const struct name_told told[] = {
		{ .ip = { [15] = 9 }, .name = STR("db.example"), .endpoint = 7, .until = { 1 } }
	};
	static const uint8_t host[1][16] = { { [15] = 2 } };
	static struct said first, second;
	struct flow_dict *dict;
	struct name_table *t = NULL;
	struct err e = { 0 };

	say(&first, 1);
	say(&second, 2);
	assert_int_equal(flow_dict_new(4096, &dict, NULL), ERR_OK);
	const struct name_view view = { .prefixes = first.pods,
					.prefix_count = PODS,
					.services = services,
					.service_count = ARRAY_LEN(services),
					.identities = identities,
					.identity_count = ARRAY_LEN(identities),
					.cgroups = cgroups,
					.cgroup_count = ARRAY_LEN(cgroups),
					.told = told,
					.told_count = ARRAY_LEN(told) };
	const struct name_gone gone = { .bits = 128,
					.ip = { [10] = 0xff, [11] = 0xff, [12] = 10, [15] = 3 } };
	const struct name_change change = { .prefixes = second.pods,
					    .prefix_count = PODS / 2,
					    .gone = &gone,
					    .gone_count = 1,
					    .has_services = true,
					    .services = services,
					    .service_count = ARRAY_LEN(services),
					    .identities = identities,
					    .identity_count = ARRAY_LEN(identities) };
	nomem_after(n);
	enum err_code code = name_table_new(&config, dict, &t, &e);
	if (code == ERR_OK) {
		(void)!name_update(t, 0, &view, &e);
		(void)!name_update_host(t, host, 1, &e);
		(void)!name_change(t, 0, &change, &e);
	}
	bool failed = nomem_end();
	if (code != ERR_OK) {
		assert_true(failed && *e.msg);
		flow_dict_free(dict);
		return true;
	}
	const struct name_view all = { .prefixes = second.pods, .prefix_count = PODS };
	assert_int_equal(name_update(t, 0, &all, &e), ERR_OK);
	for (unsigned i = 0; i < PODS; i++) {
		const struct name_found found = name_find(t, second.pods[i].ip);
		assert_non_null(found.ep);
		assert_true(str_is(found.ep->pod, second.names[i]));
		assert_true(str_is(found.ep->labels[0], second.apps[i]));
		assert_int_equal(found.local, i % 2);
	}
	name_table_free(t);
	flow_dict_free(dict);
	return failed;
}

static void names_survive_each_failed_allocation(void **state)
{
	long n = 0;

	(void)state;
	while (live_after(n))
		n++;
	assert_true(n > 50);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_survive_each_failed_allocation),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
