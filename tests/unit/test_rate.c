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
 * noon, of an observer that began @uptime_ms ago. */
static double rate_since(size_t capacity, size_t n, uint64_t step_ms, enum flow_kind kind,
			 uint64_t uptime_ms)
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
	return rate_of_flows(log, b, noon, uptime_ms * NS_PER_MS);
}

static double rate(size_t capacity, size_t n, uint64_t step_ms, enum flow_kind kind)
{
	return rate_since(capacity, n, step_ms, kind, 3600 * 1000);
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

static void a_young_observer_has_the_rate_of_its_life(void **state)
{
	(void)state;
	/* ten a second, for five seconds */
	assert_near(rate_since(1023, 50, 100, FLOW_KIND_FLOW, 5000), 50 / 5.0);
	assert_near(rate_since(1023, 1, 1, FLOW_KIND_FLOW, 30000), 1 / 30.0);
	/* hardly begun: as if it were a second */
	assert_near(rate_since(1023, 7, 1, FLOW_KIND_FLOW, 10), 7);
	/* what it was told of the time before counts with that time */
	assert_near(rate_since(1023, 21, 1000, FLOW_KIND_FLOW, 5000), 21 / 20.0);
	/* a minute is the most */
	assert_near(rate_since(1023, 500, 1000, FLOW_KIND_FLOW, 5000), 61 / 60.0);
	/* lost all but the last 1.26 s of its 10 s */
	assert_near(rate_since(127, 1000, 10, FLOW_KIND_FLOW, 10000), 127 / 1.26);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(flows_of_the_last_minute_count),
		cmocka_unit_test(a_log_shorter_than_a_minute_gives_the_rate_of_what_it_holds),
		cmocka_unit_test(a_young_observer_has_the_rate_of_its_life),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
