/* edge/rates: flows and drops by steps of time, and only of the range. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "flow/flow.pb-c.h"
#include "edge/rates.h"
#include "tycho/v1/history.pb-c.h"

enum { FIELD = 5 }; /* GetServiceMapResponse.rates */

static struct wall_ns at(uint64_t s)
{
	return (struct wall_ns){ s * NS_PER_S };
}

static Tycho__V1__GetServiceMapResponse *told(const struct rates *r)
{
	AUTO_BUF struct buf b = buf_init(1 << 16);

	rates_put(r, FIELD, &b);
	assert_false(b.failed);
	Tycho__V1__GetServiceMapResponse *m =
		tycho__v1__get_service_map_response__unpack(NULL, b.len, (const uint8_t *)b.p);
	assert_non_null(m);
	return m;
}

static void steps_are_multiples_since_the_epoch_and_those_without_flows_are_left_out(void **state)
{
	(void)state;
	AUTO(rates_free) struct rates *r = NULL;
	struct err e;

	assert_int_equal(rates_new(at(130), at(299), 60, &r, &e), ERR_OK);
	rates_add(r, at(119), FLOW__VERDICT__FORWARDED, 9); /* before the first step */
	rates_add(r, at(120), FLOW__VERDICT__FORWARDED, 1); /* of a minute that has begun before */
	rates_add(r, (struct wall_ns){ at(180).v - 1 }, FLOW__VERDICT__DROPPED, 2);
	rates_add(r, at(299), FLOW__VERDICT__ERROR, 4);
	rates_add(r, at(299), FLOW__VERDICT__AUDIT, 8);
	rates_add(r, at(300), FLOW__VERDICT__DROPPED, 16); /* after the last */
	Tycho__V1__GetServiceMapResponse *m = told(r);
	assert_int_equal(m->n_rates, 2);
	assert_int_equal(m->rates[0]->step, 120);
	assert_int_equal(m->rates[0]->flows, 3);
	assert_int_equal(m->rates[0]->dropped, 2);
	assert_int_equal(m->rates[1]->step, 240);
	assert_int_equal(m->rates[1]->flows, 12);
	assert_int_equal(m->rates[1]->dropped, 4);
	tycho__v1__get_service_map_response__free_unpacked(m, NULL);
}

static void a_range_has_its_limits(void **state)
{
	(void)state;
	struct rates *r = NULL;
	struct err e;

	assert_int_equal(rates_new(at(0), at(RATES_STEPS), 1, &r, &e), ERR_INVALID);
	assert_int_equal(rates_new(at(1), (struct wall_ns){ at(1).v - 1 }, 1, &r, &e), ERR_INVALID);
	assert_null(r);
	assert_int_equal(rates_new(at(0), at(RATES_STEPS - 1), 1, &r, &e), ERR_OK);
	rates_add(r, at(RATES_STEPS - 1), FLOW__VERDICT__FORWARDED, 1);
	rates_add(r, at(RATES_STEPS), FLOW__VERDICT__FORWARDED, 1);
	rates_add(r, (struct wall_ns){ UINT64_MAX }, FLOW__VERDICT__FORWARDED, 1);
	Tycho__V1__GetServiceMapResponse *m = told(r);
	assert_int_equal(m->n_rates, 1);
	assert_int_equal(m->rates[0]->step, RATES_STEPS - 1);
	tycho__v1__get_service_map_response__free_unpacked(m, NULL);
	rates_free(r);
	assert_int_equal(rates_new(at(0), (struct wall_ns){ UINT64_MAX }, UINT32_MAX, &r, &e),
			 ERR_OK);
	rates_free(r);
	rates_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
			steps_are_multiples_since_the_epoch_and_those_without_flows_are_left_out),
		cmocka_unit_test(a_range_has_its_limits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
