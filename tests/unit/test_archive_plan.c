/* relay/archive/plan: every row is read once, in order, in slices of few. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "relay/archive/plan.h"

#define HOUR_NS (3600 * NS_PER_S)
#define NOW_NS (UINT64_C(1700000000) * NS_PER_S)

/* Rows: their times, in order. */
struct rows {
	uint64_t at[4096];
	size_t count;
};

static size_t count_in(const struct rows *r, uint64_t from, uint64_t until)
{
	size_t n = 0;

	for (size_t i = 0; i < r->count; i++)
		n += r->at[i] >= from && r->at[i] <= until;
	return n;
}

/* What ClickHouse would say. @return rows looked at. */
static size_t answer_count(struct plan *p, const struct plan_task *t, const struct rows *r)
{
	size_t looked_at = 0;

	for (size_t i = 0; i < r->count; i++)
		if (r->at[i] >= t->from.v && r->at[i] <= t->until.v) {
			plan_count(p, (r->at[i] - t->from.v) / t->step_ns, 1);
			looked_at++;
		}
	return looked_at;
}

struct outcome {
	size_t rows, reads, counts, largest, looked_at;
};

/* Goes through a whole plan; slices must follow each other. */
static struct outcome go_through(const struct rows *r, uint64_t from, uint64_t until, bool backward)
{
	struct plan p;
	struct outcome o = { 0 };
	uint64_t edge = backward ? UINT64_MAX : 0;
	bool has_edge = false;

	plan_init(&p, (struct wall_ns){ from }, (struct wall_ns){ until }, backward,
		  (struct wall_ns){ NOW_NS });
	for (;;) {
		const struct plan_task t = plan_next(&p);
		if (t.kind == PLAN_END)
			return o;
		assert_true(t.from.v <= t.until.v);
		assert_true(t.from.v >= from && t.until.v <= until);
		if (t.kind == PLAN_COUNT) {
			assert_true((t.until.v - t.from.v) / t.step_ns < PLAN_STEPS);
			o.counts++;
			o.looked_at += answer_count(&p, &t, r);
			continue;
		}
		assert_true(!has_edge || (backward ? t.until.v < edge : t.from.v > edge));
		edge = backward ? t.from.v : t.until.v;
		has_edge = true;
		size_t n = count_in(r, t.from.v, t.until.v);
		assert_true(n > 0);
		assert_int_equal(t.rows, n);
		o.largest = n > o.largest ? n : o.largest;
		o.rows += n;
		o.reads++;
	}
}

static void a_range_without_rows_is_not_read(void **state)
{
	(void)state;
	static const struct rows none;

	for (int backward = 0; backward < 2; backward++) {
		struct outcome o = go_through(&none, 0, UINT64_MAX, backward);
		assert_int_equal(o.reads, 0);
		assert_true(o.counts < 20);
		assert_int_equal(go_through(&none, 5, 4, backward).counts, 0);
		assert_int_equal(go_through(&none, 5, 5, backward).counts, 1);
	}
}

static void rows_are_read_once_at_the_edges_of_time_too(void **state)
{
	(void)state;
	static struct rows r = { { 1, 2, HOUR_NS - 1, HOUR_NS, HOUR_NS + 1, NOW_NS - 1, NOW_NS,
				   NOW_NS + 1, UINT64_MAX - 1, UINT64_MAX },
				 10 };

	for (int backward = 0; backward < 2; backward++) {
		assert_int_equal(go_through(&r, 0, UINT64_MAX, backward).rows, 10);
		assert_int_equal(go_through(&r, 2, NOW_NS, backward).rows, 6);
		assert_int_equal(go_through(&r, UINT64_MAX, UINT64_MAX, backward).rows, 1);
		for (size_t i = 0; i < r.count; i++)
			assert_int_equal(go_through(&r, r.at[i], r.at[i], backward).rows, 1);
	}
}

static void many_in_one_step_are_counted_again(void **state)
{
	(void)state;
	struct rows *r = calloc(1, sizeof *r);

	assert_non_null(r);
	/* one millisecond holds all, in a range of years */
	for (r->count = 0; r->count < 4096; r->count++)
		r->at[r->count] = NOW_NS / 2 + r->count * 200;
	for (int backward = 0; backward < 2; backward++) {
		struct outcome o = go_through(r, 1, UINT64_MAX, backward);
		assert_int_equal(o.rows, 4096);
		assert_true(o.reads > 1);
		assert_true(o.largest <= 2 * PLAN_ROWS_MIN * 2);
	}
	free(r);
}

static void rows_of_one_nanosecond_are_one_slice(void **state)
{
	(void)state;
	struct rows *r = calloc(1, sizeof *r);

	assert_non_null(r);
	for (r->count = 0; r->count < 4096; r->count++)
		r->at[r->count] = NOW_NS - 7;
	for (int backward = 0; backward < 2; backward++) {
		struct outcome o = go_through(r, 1, UINT64_MAX, backward);
		assert_int_equal(o.rows, 4096);
		assert_int_equal(o.reads, 1);
	}
	free(r);
}

static void the_newest_are_found_without_a_look_at_the_old(void **state)
{
	(void)state;
	struct plan p;
	struct rows *r = calloc(1, sizeof *r);
	size_t looked_at = 0;

	assert_non_null(r);
	for (r->count = 0; r->count < 4000; r->count++)
		r->at[r->count] = NOW_NS - (4000 - r->count) * HOUR_NS / 8;
	plan_init(&p, (struct wall_ns){ 0 }, (struct wall_ns){ UINT64_MAX }, true,
		  (struct wall_ns){ NOW_NS });
	struct plan_task t = plan_next(&p);
	for (; t.kind == PLAN_COUNT; t = plan_next(&p))
		looked_at += answer_count(&p, &t, r);
	assert_int_equal(t.kind, PLAN_READ);
	assert_true(count_in(r, t.from.v, t.until.v) > 0);
	assert_true(t.until.v >= r->at[r->count - 1]);
	assert_true(looked_at < 20);
	free(r);
}

static void counts_that_fit_no_step_are_passed_over(void **state)
{
	(void)state;
	struct plan p;

	plan_init(&p, (struct wall_ns){ 10 }, (struct wall_ns){ 19 }, false,
		  (struct wall_ns){ NOW_NS });
	assert_int_equal(plan_next(&p).kind, PLAN_COUNT);
	plan_count(&p, 10, 1);
	plan_count(&p, UINT64_MAX, 1);
	assert_int_equal(plan_next(&p).kind, PLAN_END);
	assert_int_equal(plan_next(&p).kind, PLAN_END);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_range_without_rows_is_not_read),
		cmocka_unit_test(rows_are_read_once_at_the_edges_of_time_too),
		cmocka_unit_test(many_in_one_step_are_counted_again),
		cmocka_unit_test(rows_of_one_nanosecond_are_one_slice),
		cmocka_unit_test(the_newest_are_found_without_a_look_at_the_old),
		cmocka_unit_test(counts_that_fit_no_step_are_passed_over),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
