/* relay/merge when memory runs out: what was taken comes out, in order. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "relay/merge.h"
#include "tests/unit/nomem.h"

enum { LANES = 5, ITEMS = 400 };

/* @return true if an allocation failed on the way. */
static bool merge_after(long n)
{
	const struct merge_config config = { .window = 100, .drain_ns = NS_PER_S };
	const struct mono_ns now = { 5 * NS_PER_S };
	AUTO(merge_free) struct merge *m = NULL;
	struct merge_item item;
	struct err e = { 0 };
	size_t lanes[LANES], lane_count = 0, taken = 0;
	uintptr_t last = 0;

	nomem_after(n);
	enum err_code code = merge_new(&config, &m, &e);
	for (int i = 0; i < LANES && code == ERR_OK; i++)
		lane_count += merge_lane_add(m, now, &lanes[lane_count], &e) == ERR_OK;
	for (uintptr_t time = 1; time <= ITEMS && lane_count; time++)
		taken += merge_put(m, lanes[time % lane_count], (struct wall_ns){ time },
				   (struct merge_item){ .owner = (void *)time }, now, &e) == ERR_OK;
	bool failed = nomem_end();
	if (code != ERR_OK)
		return failed;
	assert_true(failed || taken == ITEMS);
	for (size_t i = 0; i < lane_count; i++)
		merge_lane_end(m, lanes[i]);
	for (; merge_pop(m, now, &item); taken--) {
		assert_true((uintptr_t)item.owner > last);
		last = (uintptr_t)item.owner;
	}
	assert_int_equal(taken, 0);
	return failed;
}

static void streams_survive_each_failed_allocation(void **state)
{
	long n = 0;

	(void)state;
	while (merge_after(n))
		n++;
	assert_true(n > 5);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(streams_survive_each_failed_allocation),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
