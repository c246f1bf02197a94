/* observer/drop_events when memory runs out: a drop is not told, or an event not made, and nothing
 * else ends. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "observer/drop_events/event.h"
#include "observer/kubernetes/local_pods.h"
#include "tests/unit/nomem.h"

static const struct drop_what what = { { "n", 1 }, { "p", 1 }, { "u", 1 }, { "m", 1 } };

static void a_drop_without_memory_for_its_note_is_not_told_and_the_next_is(void **state)
{
	const struct drop_limiter_config config = { .interval_ns = NS_PER_S };
	const struct wall_ns when = { 1 };
	const struct mono_ns now = { NS_PER_S };
	struct drop_limiter *l = NULL;
	(void)state;

	nomem_after(0);
	assert_int_equal(drop_limiter_new(&config, &l, NULL), ERR_NOMEM);
	assert_true(nomem_end());
	assert_int_equal(drop_limiter_new(&config, &l, NULL), ERR_OK);
	nomem_after(0);
	assert_int_equal(drop_limiter_take(l, &what, when, now), DROP_FULL);
	assert_true(nomem_end());
	assert_int_equal(drop_limiter_waiting(l), 0);
	assert_int_equal(drop_limiter_take(l, &what, when, now), DROP_TELL);
	drop_limiter_free(l);
}

static void an_event_is_whole_or_it_is_none(void **state)
{
	const struct drop_note n = { .what = what, .number = 1, .count = 1 };
	long i = 0;
	(void)state;

	for (bool failed = true; failed; i++) {
		AUTO_BUF struct buf b = buf_init(4096);
		nomem_after(i);
		drop_event_put(&b, &n, "node");
		failed = nomem_end();
		assert_true(b.failed || (b.len > 400 && b.p[b.len - 1] == '}'));
	}
	assert_true(i > 1); /* jansson's own are not among them */
}

static void a_pod_that_could_not_be_noted_is_not_there(void **state)
{
	struct local_pods *p = NULL;
	char uid[LOCAL_POD_UID_BYTES];
	(void)state;

	nomem_after(0);
	assert_int_equal(local_pods_new(&p, NULL), ERR_NOMEM);
	(void)nomem_end();
	assert_int_equal(local_pods_new(&p, NULL), ERR_OK);
	nomem_after(0);
	local_pods_put(p, STR("n"), STR("p"), STR("u"));
	assert_true(nomem_end());
	assert_false(local_pods_find(p, STR("n"), STR("p"), uid));
	local_pods_put(p, STR("n"), STR("p"), STR("u"));
	assert_true(local_pods_find(p, STR("n"), STR("p"), uid));
	local_pods_free(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_drop_without_memory_for_its_note_is_not_told_and_the_next_is),
		cmocka_unit_test(an_event_is_whole_or_it_is_none),
		cmocka_unit_test(a_pod_that_could_not_be_noted_is_not_there),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
