/* ui-server/pulse: flows and drops by the second, and only of the seconds that are kept. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/buf.h"
#include "ui-server/pulse.h"

static struct wall_ns second(uint64_t s)
{
	return (struct wall_ns){ s * NS_PER_S + 1 };
}

static void assert_put(const struct ui_pulse *p, uint64_t now, unsigned seconds, const char *json)
{
	AUTO_BUF struct buf b = buf_init(1 << 16);

	ui_pulse_put(p, second(now), seconds, &b);
	assert_string_equal(buf_cstr(&b), json);
}

/* Of second @s, at that second. */
static void add(struct ui_pulse *p, uint64_t s, bool dropped)
{
	ui_pulse_add(p, second(s), second(s), dropped);
}

static void seconds_without_flows_are_zero(void **state)
{
	(void)state;
	struct ui_pulse p = { 0 };

	add(&p, 1000, false);
	add(&p, 1000, true);
	add(&p, 1002, false);
	assert_put(&p, 1003, 4, "{\"from\":1000,\"flows\":[2,0,1,0],\"drops\":[1,0,0,0]}");
	assert_put(&p, 1002, 1, "{\"from\":1002,\"flows\":[1],\"drops\":[0]}");
}

static void a_second_takes_the_place_of_the_one_that_is_no_longer_kept(void **state)
{
	(void)state;
	struct ui_pulse p = { 0 };

	add(&p, 1000, true);
	add(&p, 1000 + UI_WIRE_PULSE_SECONDS, false);
	assert_put(&p, 1000 + UI_WIRE_PULSE_SECONDS, 1,
		   "{\"from\":1300,\"flows\":[1],\"drops\":[0]}");
	add(&p, 1000, true); /* late beyond what is kept: not counted */
	assert_put(&p, 1000 + UI_WIRE_PULSE_SECONDS, 1,
		   "{\"from\":1300,\"flows\":[1],\"drops\":[0]}");
	assert_put(&p, 1000, 1, "{\"from\":1000,\"flows\":[0],\"drops\":[0]}");
}

static void a_clock_that_is_wrong_does_not_hide_the_flows_of_others(void **state)
{
	(void)state;
	struct ui_pulse p = { 0 };

	add(&p, 1000, false);
	ui_pulse_add(&p, second(1000 + UI_WIRE_PULSE_SECONDS), second(1000), false);
	ui_pulse_add(&p, second(1001 + 7 * UI_WIRE_PULSE_SECONDS), second(1000), true);
	add(&p, 1001, false);
	assert_put(&p, 1001, 2, "{\"from\":1000,\"flows\":[1,1],\"drops\":[0,0]}");
	/* one that is a little ahead counts when it is time */
	ui_pulse_add(&p, second(1003), second(1001), true);
	assert_put(&p, 1003, 2, "{\"from\":1002,\"flows\":[0,1],\"drops\":[0,1]}");
}

static void a_past_range_is_counted_in_steps(void **state)
{
	(void)state;
	struct ui_pulse p = { .step_s = 10 };

	add(&p, 1000, false);
	add(&p, 1009, true);
	add(&p, 1010, false);
	assert_put(&p, 1019, 3, "{\"from\":990,\"step\":10,\"flows\":[0,2,1],\"drops\":[0,1,0]}");
}

static void sums_count_in_their_step_and_stop_at_the_largest_number(void **state)
{
	(void)state;
	struct ui_pulse p = { .step_s = 60 };

	ui_pulse_add_sum(&p, 600, 7, 2);
	ui_pulse_add_sum(&p, 659, 1, 1);
	ui_pulse_add_sum(&p, 660, UINT64_MAX, 5);
	ui_pulse_add_sum(&p, 661, 1, UINT32_MAX - 5);
	assert_put(&p, 660, 2,
		   "{\"from\":600,\"step\":60,\"flows\":[8,4294967295],\"drops\":[3,4294967295]}");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(seconds_without_flows_are_zero),
		cmocka_unit_test(a_past_range_is_counted_in_steps),
		cmocka_unit_test(a_second_takes_the_place_of_the_one_that_is_no_longer_kept),
		cmocka_unit_test(a_clock_that_is_wrong_does_not_hide_the_flows_of_others),
		cmocka_unit_test(sums_count_in_their_step_and_stop_at_the_largest_number),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
