/* observer/name/seen: which namespaces are listed, in what order, and for how long. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/buf.h"
#include "observer/name/seen.h"

#define NOON ((struct wall_ns){ UINT64_C(1700000000) * NS_PER_S })
enum { CROWD = 3 * SEEN_MAX }; /* finds each place taken, wherever hashes lead it */

struct world {
	struct flow_dict *dict;
	struct seen *seen;
	struct buf text;
	size_t count;
};

static int setup(void **state)
{
	struct world *w = calloc(1, sizeof *w);

	assert_non_null(w);
	assert_int_equal(flow_dict_new(1 << 18, &w->dict, NULL), ERR_OK);
	assert_int_equal(seen_new(w->dict, STR("mine"), &w->seen, NULL), ERR_OK);
	w->text = buf_init(1 << 20);
	*state = w;
	return 0;
}

static int teardown(void **state)
{
	struct world *w = *state;

	seen_free(w->seen);
	flow_dict_free(w->dict);
	buf_done(&w->text);
	free(w);
	return 0;
}

static struct wall_ns later(uint64_t seconds)
{
	return (struct wall_ns){ NOON.v + seconds * NS_PER_S };
}

static struct endpoint_id pod_in(struct world *w, const char *cluster, const char *ns)
{
	return flow_dict_endpoint(w->dict, &(struct endpoint){ .identity = 1000,
							       .cluster = str_of(cluster),
							       .namespace_ = str_of(ns),
							       .pod = STR("p") });
}

static void put(void *ctx, struct str cluster, struct str ns)
{
	struct world *w = ctx;

	buf_printf(&w->text, "%.*s/%.*s ", STR_FMT(cluster), STR_FMT(ns));
	w->count++;
}

/* "cluster/namespace " for each that is listed @now. */
static const char *listed(struct world *w, struct wall_ns now)
{
	buf_reset(&w->text);
	w->count = 0;
	seen_list(w->seen, now, put, w);
	assert_false(w->text.failed);
	return buf_cstr(&w->text);
}

/* @n pods, each in a namespace of its own: "@prefix-0" and so on. */
static void mark_crowd(struct world *w, const char *prefix, int n, struct wall_ns now)
{
	char ns[32];

	for (int i = 0; i < n; i++) {
		(void)snprintf(ns, sizeof ns, "%s-%d", prefix, i);
		seen_mark(w->seen, pod_in(w, "far", ns), now);
	}
}

static void each_is_listed_once_by_cluster_and_name(void **state)
{
	struct world *w = *state;
	static const char *const in[][2] = { { "west", "shop" }, { "east", "web" },
					     { "west", "bank" }, { "east", "shop" },
					     { "east", "web" },  { "east", "a" } };

	assert_string_equal(listed(w, NOON), "");
	for (size_t i = 0; i < ARRAY_LEN(in); i++)
		seen_mark(w->seen, pod_in(w, in[i][0], in[i][1]), NOON);
	assert_string_equal(listed(w, NOON), "east/a east/shop east/web west/bank west/shop ");
}

static void who_names_no_cluster_is_in_our_own_and_the_default_one_has_no_name(void **state)
{
	struct world *w = *state;

	seen_mark(w->seen, pod_in(w, "", "shop"), NOON);
	seen_mark(w->seen, pod_in(w, "mine", "shop"), NOON);
	assert_string_equal(listed(w, NOON), "mine/shop ");
	seen_mark(w->seen, pod_in(w, "default", "shop"), NOON);
	assert_string_equal(listed(w, NOON), "/shop mine/shop ");
}

static void what_has_no_namespace_is_not_listed(void **state)
{
	struct world *w = *state;

	for (int i = 0; i < 2; i++) { /* known by now: as before */
		seen_mark(w->seen, (struct endpoint_id){ 0 }, NOON);
		seen_mark(w->seen, pod_in(w, "east", ""), NOON);
	}
	assert_string_equal(listed(w, NOON), "");
}

static void a_namespace_is_listed_for_an_hour_after_its_last_flow(void **state)
{
	struct world *w = *state;
	const struct endpoint_id shop = pod_in(w, "east", "shop");

	seen_mark(w->seen, shop, NOON);
	assert_string_equal(listed(w, later(SEEN_FOR_S)), "east/shop ");
	assert_string_equal(listed(w, later(SEEN_FOR_S + 1)), "");
	seen_mark(w->seen, shop, later(60));
	seen_mark(w->seen, shop, NOON); /* a flow that comes late takes nothing back */
	assert_string_equal(listed(w, later(60 + SEEN_FOR_S)), "east/shop ");
	assert_string_equal(listed(w, later(60 + SEEN_FOR_S + 1)), "");
}

static void more_than_there_is_room_for_wait_until_others_expire(void **state)
{
	struct world *w = *state;

	mark_crowd(w, "early", CROWD, NOON);
	const struct endpoint_id late = pod_in(w, "far", "late");
	seen_mark(w->seen, late, later(SEEN_FOR_S));
	assert_null(strstr(listed(w, later(SEEN_FOR_S)), "far/late "));
	assert_int_equal(w->count, SEEN_MAX);
	assert_int_equal(seen_unlisted(w->seen), CROWD - SEEN_MAX + 1);
	seen_mark(w->seen, late, later(SEEN_FOR_S + 1));
	assert_string_equal(listed(w, later(SEEN_FOR_S + 1)), "far/late ");
}

/* Those whose place others have by now. */
static void who_comes_back_is_not_taken_for_another(void **state)
{
	enum { FEW = 1000, MORE = 2 * SEEN_MAX };
	struct world *w = *state;
	const struct wall_ns next = later(SEEN_FOR_S + 1), last = later(2 * (SEEN_FOR_S + 1));

	mark_crowd(w, "first", FEW, NOON);
	mark_crowd(w, "second", MORE, next);
	(void)listed(w, next);
	assert_int_equal(w->count, SEEN_MAX);
	mark_crowd(w, "first", FEW, last);
	assert_null(strstr(listed(w, last), "second"));
	assert_int_equal(w->count, FEW);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
		T(each_is_listed_once_by_cluster_and_name),
		T(who_names_no_cluster_is_in_our_own_and_the_default_one_has_no_name),
		T(what_has_no_namespace_is_not_listed),
		T(a_namespace_is_listed_for_an_hour_after_its_last_flow),
		T(more_than_there_is_room_for_wait_until_others_expire),
		T(who_comes_back_is_not_taken_for_another),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
