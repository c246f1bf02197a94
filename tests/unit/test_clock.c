/* observer/clock: kernel stamps become wall-clock times that never run backwards. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "observer/clock.h"

enum { S = 1000000000 };

static struct mono_ns mono(uint64_t v)
{
	return (struct mono_ns){ v };
}
static struct wall_ns wall(uint64_t v)
{
	return (struct wall_ns){ v };
}

static void a_stamp_becomes_the_wall_time_of_its_moment(void **state)
{
	(void)state;
	struct flow_clock c = flow_clock_of(mono(5ull * S), wall(1000ull * S));
	assert_true(flow_clock_wall(&c, mono(5ull * S)).v == 1000ull * S);
	assert_true(flow_clock_wall(&c, mono(4ull * S)).v == 999ull * S);
	assert_true(flow_clock_wall(&c, mono(7ull * S)).v == 1002ull * S);
}

static void a_step_forward_is_taken_over_at_once(void **state)
{
	(void)state;
	struct flow_clock c = flow_clock_of(mono(5ull * S), wall(1000ull * S));
	assert_true(flow_clock_look(&c, mono(6ull * S), wall(5000ull * S)) == 0);
	assert_true(flow_clock_wall(&c, mono(6ull * S)).v == 5000ull * S);
}

static void a_step_back_keeps_the_order_and_is_made_good_in_twice_its_size(void **state)
{
	(void)state;
	struct flow_clock c = flow_clock_of(mono(100ull * S), wall(1000ull * S));
	struct wall_ns last = flow_clock_wall(&c, mono(100ull * S));
	bool told = false;

	/* the wall clock is set back by 10 s; a look each second */
	for (uint64_t t = 101; t <= 120; t++) {
		uint64_t step = flow_clock_look(&c, mono(t * S), wall((1000 + t - 100 - 10) * S));
		if (step) {
			assert_false(told); /* once */
			assert_true(step == 10ull * S);
			told = true;
		}
		struct wall_ns now = flow_clock_wall(&c, mono(t * S));
		assert_true(now.v > last.v);
		last = now;
	}
	assert_true(told);
	assert_true(last.v == (1000ull + 20 - 10) * S); /* caught up after 20 s */
}

static void stamps_older_than_the_look_stay_behind_those_given_out(void **state)
{
	(void)state;
	struct flow_clock c = flow_clock_of(mono(100ull * S), wall(1000ull * S));
	struct wall_ns before = flow_clock_wall(&c, mono(100ull * S));
	(void)flow_clock_look(&c, mono(100ull * S + S / 2), wall(900ull * S));
	/* an event stamped right after the one before, read only now */
	assert_true(flow_clock_wall(&c, mono(100ull * S + S / 2)).v >= before.v);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_stamp_becomes_the_wall_time_of_its_moment),
		cmocka_unit_test(a_step_forward_is_taken_over_at_once),
		cmocka_unit_test(a_step_back_keeps_the_order_and_is_made_good_in_twice_its_size),
		cmocka_unit_test(stamps_older_than_the_look_stay_behind_those_given_out),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
