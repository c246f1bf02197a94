/* observer/api/rate: flows a second over the last minute, or what of it the log still holds. */
#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "observer/api/rate.h"

static const struct wall_ns noon = { UINT64_C(1700000000) * NS_PER_S };

/* Rate at noon of a log of @capacity after @n records of @kind, one each @step_ms, the newest at
 * noon. */
static double rate(size_t capacity, size_t n, uint64_t step_ms, enum flow_kind kind)
{
	AUTO(flow_log_free) struct flow_log *log = NULL;
	AUTO(flow_batch_free) struct flow_batch *b = NULL;

	assert_int_equal(flow_log_new(&(struct flow_log_config){ capacity, 0, 1 }, &log, NULL),
			 ERR_OK);
	assert_int_equal(flow_batch_new(log, 64, &b, NULL), ERR_OK);
	for (size_t i = 0; i < n; i++) {
		struct flow f = { .kind = (uint8_t)kind,
				  .bits = FLOW_HAS_TIME,
				  .time = { noon.v - (n - 1 - i) * step_ms * NS_PER_MS } };
		(void)flow_log_put(log, &f);
	}
	return rate_of_flows(log, b, noon);
}

static void assert_near(double got, double want)
{
	if (fabs(got - want) > want * 0.01 + 1e-9)
		fail_msg("%f is not %f", got, want);
}

static void flows_of_the_last_minute_count(void **state)
{
	(void)state;
	assert_near(rate(1023, 0, 1, FLOW_KIND_FLOW), 0);
	assert_near(rate(1023, 1, 1, FLOW_KIND_FLOW), 1 / 60.0);
	assert_near(rate(1023, 30, 1000, FLOW_KIND_FLOW), 30 / 60.0);
	assert_near(rate(1023, 500, 1000, FLOW_KIND_FLOW), 61 / 60.0); /* both ends of the minute */
	assert_near(rate(1023, 1000, 1000, FLOW_KIND_AGENT), 0);
}

static void a_log_shorter_than_a_minute_gives_the_rate_of_what_it_holds(void **state)
{
	(void)state;
	/* 100 flows a second; 127 flows reach 1.26 s back */
	assert_near(rate(127, 1000, 10, FLOW_KIND_FLOW), 127 / 1.26);
	/* all at one moment: no time to divide by */
	assert_true(isfinite(rate(127, 1000, 0, FLOW_KIND_FLOW)));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(flows_of_the_last_minute_count),
		cmocka_unit_test(a_log_shorter_than_a_minute_gives_the_rate_of_what_it_holds),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
