/* ui-server/history: steps that a record of any length has room in. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "ui-server/history.h"
#include "ui-server/wire.h"

/* Steps that a record touches which begins just before the end of one. */
static uint64_t touched(uint64_t record_s, uint64_t step_s)
{
	return (step_s - 1 + record_s) / step_s + 1;
}

static void any_record_fits_in_steps_of_whole_minutes(void **state)
{
	(void)state;
	for (uint64_t record_s = 0; record_s < (uint64_t)10 * 365 * 86400;
	     record_s += 1 + record_s / 7) {
		uint64_t step_s = ui_history_step_s(record_s);
		assert_int_equal(step_s % 60, 0);
		assert_true(step_s > 0);
		assert_true(touched(record_s, step_s) <= UI_WIRE_PULSE_SECONDS);
	}
}

static void a_young_record_has_steps_of_a_minute_and_a_week_some_of_an_hour(void **state)
{
	(void)state;
	assert_int_equal(ui_history_step_s(0), 60);
	assert_int_equal(ui_history_step_s(4 * 3600), 60);
	assert_int_equal(ui_history_step_s(6 * 3600), 120);
	assert_int_equal(ui_history_step_s(7 * 86400), 3600);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(any_record_fits_in_steps_of_whole_minutes),
		cmocka_unit_test(a_young_record_has_steps_of_a_minute_and_a_week_some_of_an_hour),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
