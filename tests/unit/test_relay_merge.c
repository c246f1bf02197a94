/* relay/merge: streams in order become one in order, and no silence is waited for without end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "relay/merge.h"

#define DRAIN_NS NS_PER_S
#define LIVE_FROM 1000000 /* in ns of the flows' clock: below is history */

static struct mono_ns at_ms(uint64_t ms)
{
	return (struct mono_ns){ 5 * NS_PER_S + ms * NS_PER_MS };
}

static struct merge *merge_of(size_t window, size_t lanes)
{
	struct merge *m;
	size_t lane;
	const struct merge_config config = { .window = window,
					     .drain_ns = DRAIN_NS,
					     .live_from = { LIVE_FROM } };

	assert_int_equal(merge_new(&config, &m, NULL), ERR_OK);
	for (size_t i = 0; i < lanes; i++) {
		assert_int_equal(merge_lane_add(m, at_ms(0), &lane, NULL), ERR_OK);
		assert_int_equal(lane, i);
	}
	return m;
}

/* Items are their own times. */
static void put(struct merge *m, size_t lane, uintptr_t time, uint64_t ms)
{
	assert_int_equal(merge_put(m, lane, (struct wall_ns){ time },
				   (struct merge_item){ .owner = (void *)time }, at_ms(ms), NULL),
			 ERR_OK);
}

static uintptr_t pop(struct merge *m, uint64_t ms)
{
	struct merge_item item;

	return merge_pop(m, at_ms(ms), &item) ? (uintptr_t)item.owner : 0;
}

static void an_empty_merge_has_nothing(void **state)
{
	(void)state;
	AUTO(merge_free) struct merge *none = merge_of(100, 0);
	AUTO(merge_free) struct merge *m = merge_of(100, 2);
	assert_int_equal(pop(none, 0), 0);
	assert_int_equal(pop(m, 0), 0);
	assert_int_equal(merge_open_lanes(m), 2);
	assert_int_equal(merge_held(m), 0);
	assert_false(merge_pop_any(m, &(struct merge_item){ 0 }));
}

static void one_stream_passes_at_once(void **state)
{
	(void)state;
	AUTO(merge_free) struct merge *m = merge_of(100, 1);
	put(m, 0, 10, 0);
	put(m, 0, LIVE_FROM + 1, 0);
	assert_int_equal(pop(m, 0), 10);
	assert_int_equal(pop(m, 0), LIVE_FROM + 1);
}

static void the_oldest_of_all_streams_goes_first_and_of_equals_the_lower_stream(void **state)
{
	(void)state;
	AUTO(merge_free) struct merge *m = merge_of(100, 3);
	put(m, 2, 11, 0);
	put(m, 1, 12, 0);
	put(m, 0, 12, 0);
	assert_int_equal(pop(m, 0), 11);
	merge_lane_end(m, 2);
	assert_int_equal(merge_put(m, 0, (struct wall_ns){ 13 },
				   (struct merge_item){ .owner = (void *)13 }, at_ms(0), NULL),
			 ERR_OK);
	assert_int_equal(merge_held(m), 3);
	assert_int_equal(pop(m, 0), 12);
	assert_int_equal(merge_held(m), 2); /* lane 0 still has 13, lane 1 its 12 */
	assert_int_equal(pop(m, 0), 12);
	merge_lane_end(m, 1);
	assert_int_equal(pop(m, 0), 13);
}

static void history_waits_for_a_silent_stream_until_its_patience_ends(void **state)
{
	(void)state;
	AUTO(merge_free) struct merge *m = merge_of(1, 2); /* the window is for what is live */
	put(m, 0, 10, 0);
	put(m, 0, 20, 0);
	assert_int_equal(pop(m, 999), 0);
	assert_false(merge_lane_is_silent(m, 1, at_ms(999)));
	assert_int_equal(pop(m, 1000), 10);
	assert_true(merge_lane_is_silent(m, 1, at_ms(1000)));
	assert_int_equal(pop(m, 1000), 20); /* once for all it holds */
}

static void a_stream_in_time_is_in_order(void **state)
{
	(void)state;
	AUTO(merge_free) struct merge *m = merge_of(100, 2);
	put(m, 0, 10, 0);
	put(m, 1, 5, 900);
	assert_int_equal(pop(m, 900), 5);
	/* it has used up 900 ms and earned 10 */
	assert_int_equal(pop(m, 1009), 0);
	assert_int_equal(pop(m, 1010), 10);
}

static void a_late_item_passes_out_of_order_and_is_not_lost(void **state)
{
	(void)state;
	AUTO(merge_free) struct merge *m = merge_of(100, 2);
	put(m, 0, 10, 0);
	put(m, 0, 30, 0);
	assert_int_equal(pop(m, 1000), 10);
	put(m, 1, 5, 1000);
	assert_int_equal(pop(m, 1000), 5);
}

static void a_stream_that_keeps_delivering_is_waited_for_again_and_again(void **state)
{
	(void)state;
	AUTO(merge_free) struct merge *m = merge_of(100, 2);
	for (uintptr_t i = 0; i < 1000; i++)
		put(m, 0, 1000 + 2 * i, 0);
	/* 9 ms of silence before each, which is less than an item earns: 9 s in all */
	for (uintptr_t i = 0; i < 1000; i++) {
		uint64_t ms = 9 * (i + 1);
		assert_int_equal(pop(m, ms), 0);
		put(m, 1, 1001 + 2 * i, ms);
		assert_int_equal(pop(m, ms), 1000 + 2 * i);
		assert_int_equal(pop(m, ms), i < 999 ? 1001 + 2 * i : 0);
	}
}

static void a_stream_that_trickles_is_waited_for_little_more_than_once(void **state)
{
	(void)state;
	AUTO(merge_free) struct merge *m = merge_of(100, 2);
	uint64_t ms = 0, waited_ms = 0;

	for (uintptr_t i = 0; i < 101; i++)
		put(m, 0, 1000 + i, 0);
	for (uintptr_t i = 0; i < 100; i++) {
		for (; !pop(m, ms); ms++)
			waited_ms++;
		put(m, 1, 500 + i, ms); /* old news, each time the other got one through */
		assert_int_equal(pop(m, ms), 500 + i);
	}
	/* its patience, and 10 ms for each of a hundred items */
	assert_true(waited_ms >= 1000 && waited_ms <= 2000);
}

static void live_items_wait_a_moment_for_the_others(void **state)
{
	(void)state;
	AUTO(merge_free) struct merge *m = merge_of(100, 2);
	put(m, 0, LIVE_FROM + 10, 50);
	assert_int_equal(pop(m, 149), 0);
	put(m, 1, LIVE_FROM + 5, 149);
	assert_int_equal(pop(m, 149), LIVE_FROM + 5);
	assert_int_equal(pop(m, 149), 0);
	assert_int_equal(pop(m, 150), LIVE_FROM + 10);
}

static void live_items_beyond_the_window_do_not_wait(void **state)
{
	(void)state;
	AUTO(merge_free) struct merge *m = merge_of(3, 2);
	put(m, 0, LIVE_FROM + 1, 0);
	put(m, 0, LIVE_FROM + 2, 0);
	assert_int_equal(pop(m, 0), 0);
	put(m, 0, LIVE_FROM + 3, 0);
	assert_int_equal(pop(m, 0), LIVE_FROM + 1);
	assert_int_equal(pop(m, 0), 0);
}

static void items_without_a_time_do_not_wait(void **state)
{
	(void)state;
	AUTO(merge_free) struct merge *m = merge_of(100, 2);
	const char *news = "news";
	put(m, 0, 10, 0);
	assert_int_equal(merge_put(m, 1, (struct wall_ns){ 0 },
				   (struct merge_item){ .bytes = str_of(news) }, at_ms(0), NULL),
			 ERR_OK);
	struct merge_item item;
	assert_true(merge_pop(m, at_ms(0), &item));
	assert_ptr_equal(item.bytes.p, news);
	assert_int_equal(pop(m, 0), 0);
}

static void ended_streams_are_not_waited_for_and_come_back_with_all_their_patience(void **state)
{
	(void)state;
	AUTO(merge_free) struct merge *m = merge_of(100, 2);
	put(m, 0, 10, 0);
	put(m, 0, 20, 0);
	merge_lane_end(m, 1);
	merge_lane_end(m, 1);
	assert_int_equal(merge_open_lanes(m), 1);
	assert_int_equal(pop(m, 0), 10);
	merge_lane_reopen(m, 1, at_ms(2000));
	merge_lane_reopen(m, 1, at_ms(2500));
	assert_int_equal(merge_open_lanes(m), 2);
	assert_int_equal(pop(m, 2999), 0);
	assert_int_equal(pop(m, 3000), 20);
}

static void what_a_stream_held_when_it_ended_still_goes_out(void **state)
{
	(void)state;
	AUTO(merge_free) struct merge *m = merge_of(100, 2);
	put(m, 0, 10, 0);
	merge_lane_end(m, 0);
	put(m, 1, 20, 0);
	assert_int_equal(pop(m, 0), 10);
	assert_int_equal(pop(m, 0), 20);
	assert_int_equal(pop(m, 0), 0);
}

/* ---- against a model: lists searched from end to end, time a loop over lanes */

enum { MODEL_LANES = 7, MODEL_ITEMS = 4000 };

struct model_lane {
	uintptr_t item[MODEL_ITEMS];
	uint64_t came[MODEL_ITEMS];
	size_t head, tail;
	bool open;
	uint64_t silent_from, patience;
};

static uint64_t random_next(uint64_t *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 7;
	*seed ^= *seed << 17;
	return *seed;
}

static size_t model_held(const struct model_lane *lanes)
{
	size_t held = 0;

	for (size_t i = 0; i < MODEL_LANES; i++)
		held += lanes[i].tail - lanes[i].head;
	return held;
}

/* The rules of merge.h, said once more. */
static uintptr_t model_pop(struct model_lane *lanes, size_t window, uint64_t now)
{
	struct model_lane *first = NULL;
	bool someone_empty = false, someone_awaited = false;

	for (size_t i = 0; i < MODEL_LANES; i++) {
		struct model_lane *l = &lanes[i];
		if (l->head < l->tail && (!first || l->item[l->head] < first->item[first->head]))
			first = l;
		if (l->head == l->tail && l->open) {
			someone_empty = true;
			someone_awaited |= now < l->silent_from + l->patience;
		}
	}
	if (!first)
		return 0;
	uintptr_t item = first->item[first->head];
	bool is_live = item >= LIVE_FROM;
	if (someone_empty && !is_live && someone_awaited)
		return 0;
	if (someone_empty && is_live && model_held(lanes) < window &&
	    now < first->came[first->head] + 100 * NS_PER_MS)
		return 0;
	first->head++;
	first->silent_from = now;
	return item;
}

static void model_put(struct model_lane *l, uintptr_t item, uint64_t now)
{
	if (l->open) {
		uint64_t silent = l->head == l->tail ? now - l->silent_from : 0;
		l->patience = silent < l->patience ? l->patience - silent : 0;
		l->patience += 10 * NS_PER_MS;
		if (l->patience > DRAIN_NS)
			l->patience = DRAIN_NS;
	}
	l->item[l->tail] = item;
	l->came[l->tail++] = now;
}

static void run_against_model(uint64_t seed)
{
	size_t window = 1 + random_next(&seed) % 20;
	AUTO(merge_free) struct merge *m = merge_of(window, MODEL_LANES);
	struct model_lane *lanes = calloc(MODEL_LANES, sizeof *lanes);
	uint64_t ms = 0;
	uintptr_t next[MODEL_LANES];

	assert_non_null(lanes);
	for (size_t i = 0; i < MODEL_LANES; i++) {
		next[i] = 1 + i; /* all times differ: each lane has those of its own residue */
		lanes[i].open = true;
		lanes[i].silent_from = at_ms(0).v;
		lanes[i].patience = DRAIN_NS;
	}
	for (int step = 0; step < MODEL_ITEMS; step++) {
		size_t lane = random_next(&seed) % MODEL_LANES;
		struct model_lane *l = &lanes[lane];
		switch (random_next(&seed) % 8) {
		case 0:
			ms += random_next(&seed) % 300;
			break;
		case 1:
			if (random_next(&seed) % 50 == 0) {
				l->open = false;
				merge_lane_end(m, lane);
			}
			break;
		case 2:
			if (!l->open) {
				l->open = true;
				l->patience = DRAIN_NS;
				l->silent_from = l->head == l->tail ? at_ms(ms).v : 0;
			}
			merge_lane_reopen(m, lane, at_ms(ms));
			break;
		case 3:
		case 4:
		case 5:
			next[lane] += MODEL_LANES * (1 + random_next(&seed) % 400);
			model_put(l, next[lane], at_ms(ms).v);
			put(m, lane, next[lane], ms);
			break;
		default:
			assert_int_equal(pop(m, ms), model_pop(lanes, window, at_ms(ms).v));
			break;
		}
		assert_int_equal(merge_held(m), model_held(lanes));
	}
	size_t left = 0;
	while (merge_pop_any(m, &(struct merge_item){ 0 }))
		left++;
	assert_int_equal(left, model_held(lanes));
	free(lanes);
}

static void any_sequence_of_events_is_as_in_the_model(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 300; seed++)
		run_against_model(seed * UINT64_C(0x9e3779b97f4a7c15));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_empty_merge_has_nothing),
		cmocka_unit_test(one_stream_passes_at_once),
		cmocka_unit_test(
			the_oldest_of_all_streams_goes_first_and_of_equals_the_lower_stream),
		cmocka_unit_test(history_waits_for_a_silent_stream_until_its_patience_ends),
		cmocka_unit_test(a_stream_in_time_is_in_order),
		cmocka_unit_test(a_late_item_passes_out_of_order_and_is_not_lost),
		cmocka_unit_test(a_stream_that_keeps_delivering_is_waited_for_again_and_again),
		cmocka_unit_test(a_stream_that_trickles_is_waited_for_little_more_than_once),
		cmocka_unit_test(live_items_wait_a_moment_for_the_others),
		cmocka_unit_test(live_items_beyond_the_window_do_not_wait),
		cmocka_unit_test(items_without_a_time_do_not_wait),
		cmocka_unit_test(
			ended_streams_are_not_waited_for_and_come_back_with_all_their_patience),
		cmocka_unit_test(what_a_stream_held_when_it_ended_still_goes_out),
		cmocka_unit_test(any_sequence_of_events_is_as_in_the_model),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
