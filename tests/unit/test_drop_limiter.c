/* observer/drop_events/limiter: what is told now, and what one event says for many drops. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "observer/drop_events/limiter.h"

#define MINUTE (60 * NS_PER_S)
enum { NUMBER = 1000, BEGIN_S = 5000 };

static struct drop_limiter *limiter_of(uint64_t interval_ns, uint32_t rate)
{
	const struct drop_limiter_config config = {
		.interval_ns = interval_ns, .rate = rate, .seed = 7, .number = NUMBER
	};
	struct drop_limiter *l = NULL;

	assert_int_equal(drop_limiter_new(&config, &l, NULL), ERR_OK);
	return l;
}

/* A drop with this message, at pod p, @ns after the begin; on both clocks. */
static enum drop_limit take(struct drop_limiter *l, const char *message, uint64_t ns)
{
	const struct drop_what what = { STR("n"), STR("p"), STR("uid"), str_of(message) };

	return drop_limiter_take(l, &what, (struct wall_ns){ ns },
				 (struct mono_ns){ BEGIN_S * NS_PER_S + ns });
}

static enum drop_limit take_nth(struct drop_limiter *l, unsigned i, uint64_t ns)
{
	char message[24];

	(void)snprintf(message, sizeof message, "m%u", i);
	return take(l, message, ns);
}

/* The one that waits longest is told. */
static void tell(struct drop_limiter *l)
{
	drop_limiter_next(l)->is_made = true;
	drop_limiter_told(l);
}

static void the_same_is_told_once_in_the_interval(void **state)
{
	(void)state;
	AUTO(drop_limiter_free) struct drop_limiter *l = limiter_of(2 * MINUTE, 0);
	assert_int_equal(take(l, "a", 0), DROP_TELL);
	tell(l);
	assert_int_equal(take(l, "a", 1), DROP_REPEATED);
	assert_int_equal(take(l, "b", 1), DROP_TELL);
	assert_int_equal(take(l, "a", 2 * MINUTE - 1), DROP_REPEATED);
	assert_int_equal(take(l, "a", 2 * MINUTE), DROP_TELL);
	assert_int_equal(take(l, "a", 2 * MINUTE), DROP_REPEATED);
}

static void other_pods_and_pods_made_again_are_told_for_themselves(void **state)
{
	static const struct drop_what whats[] = {
		{ STR("n"), STR("p"), STR("u"), STR("m") },
		{ STR("n"), STR("p"), STR("v"), STR("m") },
		{ STR("n"), STR("q"), STR("u"), STR("m") },
		{ STR("o"), STR("p"), STR("u"), STR("m") },
		{ STR("np"), STR(""), STR("u"), STR("m") },
		{ STR("n"), STR("p"), STR(""), STR("um") },
		{ STR("n"), STR("p"), STR("u"), STR("mm") },
	};
	(void)state;
	AUTO(drop_limiter_free) struct drop_limiter *l = limiter_of(MINUTE, 0);
	for (int again = 0; again < 2; again++)
		for (size_t i = 0; i < ARRAY_LEN(whats); i++)
			assert_int_equal(drop_limiter_take(l, &whats[i], (struct wall_ns){ 1 },
							   (struct mono_ns){ MINUTE }),
					 again ? DROP_REPEATED : DROP_TELL);
}

static void without_an_interval_each_is_told_but_for_those_that_wait(void **state)
{
	(void)state;
	AUTO(drop_limiter_free) struct drop_limiter *l = limiter_of(0, 0);
	assert_int_equal(take(l, "a", 0), DROP_TELL);
	assert_int_equal(take(l, "a", 0), DROP_REPEATED);
	tell(l);
	assert_int_equal(take(l, "a", 0), DROP_TELL);
}

static void a_note_counts_every_drop_and_knows_its_event(void **state)
{
	(void)state;
	AUTO(drop_limiter_free) struct drop_limiter *l = limiter_of(MINUTE, 0);
	(void)take(l, "a", 5);
	struct drop_note *n = drop_limiter_next(l);
	assert_int_equal(n->number, NUMBER + 1);
	assert_false(n->is_made);
	(void)take(l, "a", 3); /* sources may be late */
	tell(l);
	assert_null(drop_limiter_next(l));
	for (uint64_t i = 1; i <= 10; i++)
		(void)take(l, "a", i * NS_PER_S);
	assert_int_equal(take(l, "a", MINUTE + 9), DROP_TELL);
	n = drop_limiter_next(l);
	assert_true(n->is_made);
	assert_int_equal(n->number, NUMBER + 1);
	assert_int_equal(n->count, 13);
	assert_int_equal(n->first.v, 3);
	assert_int_equal(n->last.v, MINUTE + 9);
	assert_true(str_is(n->what.namespace_, "n") && str_is(n->what.pod, "p") &&
		    str_is(n->what.uid, "uid") && str_is(n->what.message, "a"));
	(void)take(l, "b", 2 * MINUTE);
	tell(l);
	assert_int_equal(drop_limiter_next(l)->number, NUMBER + 2);
}

static void notes_are_told_in_the_order_they_came(void **state)
{
	(void)state;
	AUTO(drop_limiter_free) struct drop_limiter *l = limiter_of(MINUTE, 0);
	(void)take(l, "a", 0);
	(void)take(l, "b", 0);
	assert_int_equal(drop_limiter_waiting(l), 2);
	assert_true(str_is(drop_limiter_next(l)->what.message, "a"));
	tell(l);
	assert_true(str_is(drop_limiter_next(l)->what.message, "b"));
	(void)take(l, "c", 0);
	tell(l);
	assert_true(str_is(drop_limiter_next(l)->what.message, "c"));
	tell(l);
	assert_int_equal(drop_limiter_waiting(l), 0);
}

static void what_failed_is_new_the_next_time(void **state)
{
	(void)state;
	AUTO(drop_limiter_free) struct drop_limiter *l = limiter_of(MINUTE, 0);
	(void)take(l, "a", 0);
	(void)take(l, "b", 0);
	drop_limiter_failed(l);
	assert_int_equal(drop_limiter_notes(l), 1);
	assert_int_equal(take(l, "b", 1), DROP_REPEATED);
	assert_int_equal(take(l, "a", 1), DROP_TELL);
	tell(l);
	assert_int_equal(drop_limiter_next(l)->count, 1);
}

static void only_what_would_be_told_takes_of_the_rate(void **state)
{
	(void)state;
	AUTO(drop_limiter_free) struct drop_limiter *l = limiter_of(MINUTE, 2);
	assert_int_equal(take(l, "a", 0), DROP_TELL);
	for (int i = 0; i < 1000; i++)
		assert_int_equal(take(l, "a", 0), DROP_REPEATED);
	assert_int_equal(take(l, "b", 0), DROP_TELL);
	assert_int_equal(take(l, "c", 0), DROP_RATE);
	assert_int_equal(take(l, "c", NS_PER_S / 2 - 1), DROP_RATE);
	assert_int_equal(take(l, "c", NS_PER_S / 2), DROP_TELL);
	assert_int_equal(take(l, "d", NS_PER_S / 2), DROP_RATE);
	/* and nothing is saved up beyond a second's worth */
	for (unsigned i = 0; i < 2; i++)
		assert_int_equal(take_nth(l, i, 100 * NS_PER_S), DROP_TELL);
	assert_int_equal(take_nth(l, 2, 100 * NS_PER_S), DROP_RATE);
	assert_int_equal(drop_limiter_notes(l), 5); /* those that were not told make none */
}

static void over_a_long_time_it_is_the_rate(void **state)
{
	enum { RATE = 3, SECONDS = 1000, A_SECOND = 50 };
	unsigned told = 0;
	(void)state;
	AUTO(drop_limiter_free) struct drop_limiter *l = limiter_of(0, RATE);
	for (unsigned i = 0; i < SECONDS * A_SECOND; i++) {
		if (take_nth(l, i, i * (NS_PER_S / A_SECOND)) == DROP_TELL) {
			told++;
			tell(l);
		}
	}
	assert_in_range(told, RATE * (SECONDS - 1), RATE * (SECONDS + 1));
}

static void a_full_queue_says_so_and_takes_nothing_of_the_rate(void **state)
{
	(void)state;
	AUTO(drop_limiter_free) struct drop_limiter *l = limiter_of(MINUTE, DROP_WAITING_MAX + 1);
	for (unsigned i = 0; i < DROP_WAITING_MAX; i++)
		assert_int_equal(take_nth(l, i, 0), DROP_TELL);
	for (unsigned i = 0; i < 1000; i++)
		assert_int_equal(take_nth(l, DROP_WAITING_MAX, 0), DROP_FULL);
	assert_int_equal(take_nth(l, 0, 0), DROP_REPEATED);
	assert_int_equal(drop_limiter_waiting(l), DROP_WAITING_MAX);
	tell(l);
	assert_int_equal(take_nth(l, DROP_WAITING_MAX, 0), DROP_TELL);
}

static void the_one_that_was_told_longest_ago_is_forgotten_first(void **state)
{
	(void)state;
	AUTO(drop_limiter_free) struct drop_limiter *l = limiter_of(MINUTE, 0);
	for (unsigned i = 0; i < DROP_NOTES_MAX; i++) {
		assert_int_equal(take_nth(l, i, i), DROP_TELL);
		tell(l);
	}
	assert_int_equal(take_nth(l, 0, MINUTE), DROP_TELL); /* again: 1 is the oldest now */
	tell(l);
	assert_int_equal(take_nth(l, DROP_NOTES_MAX, MINUTE), DROP_TELL);
	assert_int_equal(drop_limiter_notes(l), DROP_NOTES_MAX);
	assert_int_equal(take_nth(l, 0, MINUTE), DROP_REPEATED);
	assert_int_equal(take_nth(l, DROP_NOTES_MAX - 1, MINUTE), DROP_REPEATED);
	assert_int_equal(take_nth(l, 1, MINUTE), DROP_TELL);
	assert_int_equal(drop_limiter_notes(l), DROP_NOTES_MAX);
}

/* Against a plain model: a list of what was told when. */
static void it_is_what_a_plain_list_would_say(void **state)
{
	enum { MESSAGES = 40, STEPS = 20000 };
	uint64_t told[MESSAGES] = { 0 }, counts[MESSAGES] = { 0 }, random = 88172645463325252U;
	bool waits[MESSAGES] = { 0 };
	(void)state;
	AUTO(drop_limiter_free) struct drop_limiter *l = limiter_of(MINUTE, 0);
	print_message("seed %llu\n", (unsigned long long)random);
	for (uint64_t i = 1; i <= STEPS; i++) {
		random ^= random << 13;
		random ^= random >> 7;
		random ^= random << 17;
		unsigned m = (unsigned)(random % MESSAGES);
		uint64_t now = i * NS_PER_S;
		struct drop_note *n = drop_limiter_next(l);
		if (n && random >> 32 & 1) {
			uint32_t which = 0;
			assert_true(parse_u32(str_from(n->what.message, 1), &which));
			assert_int_equal(n->count, counts[which]);
			waits[which] = false;
			if (random >> 33 & 3) {
				tell(l);
			} else {
				drop_limiter_failed(l);
				counts[which] = told[which] = 0;
			}
			continue;
		}
		bool again = counts[m] && (waits[m] || now - told[m] < MINUTE);
		assert_int_equal(take_nth(l, m, now), again ? DROP_REPEATED : DROP_TELL);
		counts[m]++;
		told[m] = again ? told[m] : now;
		waits[m] |= !again;
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_same_is_told_once_in_the_interval),
		cmocka_unit_test(other_pods_and_pods_made_again_are_told_for_themselves),
		cmocka_unit_test(without_an_interval_each_is_told_but_for_those_that_wait),
		cmocka_unit_test(a_note_counts_every_drop_and_knows_its_event),
		cmocka_unit_test(notes_are_told_in_the_order_they_came),
		cmocka_unit_test(what_failed_is_new_the_next_time),
		cmocka_unit_test(only_what_would_be_told_takes_of_the_rate),
		cmocka_unit_test(over_a_long_time_it_is_the_rate),
		cmocka_unit_test(a_full_queue_says_so_and_takes_nothing_of_the_rate),
		cmocka_unit_test(the_one_that_was_told_longest_ago_is_forgotten_first),
		cmocka_unit_test(it_is_what_a_plain_list_would_say),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
