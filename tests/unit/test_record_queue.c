/* observer/upstream/record_queue: in order, bounded, and nobody who polls sleeps over anything. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include <poll.h>
#include <pthread.h>

#include "observer/upstream/record_queue.h"

static struct record_queue *queue_of(size_t bytes)
{
	struct record_queue *q;

	assert_int_equal(record_queue_new(bytes, &q, NULL), ERR_OK);
	return q;
}

static bool is_readable(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	return poll(&p, 1, 0) == 1;
}

static const char bytes[4096];

/* A record whose count is @n. */
static bool put(struct record_queue *q, uint64_t n, size_t who_bytes, size_t message_bytes)
{
	return record_queue_put(q, &(struct record){ .kind = 3,
						     .count = n,
						     .wall = { n + 1 },
						     .who = str_n(bytes, who_bytes),
						     .message = str_n(bytes, message_bytes) });
}

/* The count of the next record; -1: none. */
static int64_t take(struct record_queue *q)
{
	struct record r;

	if (!record_queue_peek(q, &r))
		return -1;
	record_queue_pop(q);
	return (int64_t)r.count;
}

static void sizes_that_are_no_power_of_two_are_refused(void **state)
{
	(void)state;
	struct record_queue *q;
	assert_int_equal(record_queue_new(5000, &q, NULL), ERR_INVALID);
	assert_int_equal(record_queue_new(2048, &q, NULL), ERR_INVALID);
}

static void a_record_comes_out_as_it_went_in(void **state)
{
	(void)state;
	AUTO(record_queue_free) struct record_queue *q = queue_of(4096);
	struct record r;
	assert_false(is_readable(record_queue_fd(q)));
	assert_false(record_queue_peek(q, &r));
	assert_true(record_queue_put(q, &(struct record){ 5, 6, { 7 }, STR("n1"), STR("text") }));
	assert_true(is_readable(record_queue_fd(q)));
	assert_true(record_queue_peek(q, &r));
	assert_int_equal(r.kind, 5);
	assert_int_equal(r.count, 6);
	assert_int_equal(r.wall.v, 7);
	assert_true(str_is(r.who, "n1"));
	assert_true(str_is(r.message, "text"));
	record_queue_pop(q);
	assert_false(record_queue_peek(q, &r));
	assert_false(is_readable(record_queue_fd(q)));
}

static void an_empty_record_is_one(void **state)
{
	(void)state;
	AUTO(record_queue_free) struct record_queue *q = queue_of(4096);
	assert_true(put(q, 1, 0, 0));
	assert_int_equal(take(q), 1);
	assert_int_equal(take(q), -1);
}

static void a_record_of_more_than_a_quarter_never_fits(void **state)
{
	(void)state;
	AUTO(record_queue_free) struct record_queue *q = queue_of(4096);
	size_t most = 0;
	while (record_queue_fits(q, 0, most + 1))
		most++;
	assert_in_range(most, 900, 1023);
	assert_true(put(q, 1, 0, most));
	assert_false(put(q, 2, 0, most + 1));
	assert_false(put(q, 2, 1, most));
	assert_false(record_queue_fits(q, SIZE_MAX, 1));
	assert_false(record_queue_fits(q, 1, SIZE_MAX));
}

static void a_full_queue_takes_none_and_says_when_it_does(void **state)
{
	(void)state;
	AUTO(record_queue_free) struct record_queue *q = queue_of(4096);
	int64_t n = 0, at = 0;
	while (put(q, (uint64_t)n, 3, 100))
		n++;
	assert_in_range(n, 20, 31);
	assert_false(record_queue_has_room(q, 100));
	assert_false(is_readable(record_queue_room_fd(q)));
	assert_int_equal(take(q), at++);
	assert_false(is_readable(record_queue_room_fd(q))); /* one record is not worth it */
	while (at < n / 2 + 1)
		assert_int_equal(take(q), at++);
	assert_true(is_readable(record_queue_room_fd(q)));
	assert_true(put(q, (uint64_t)n++, 3, 100));
	while (at < n)
		assert_int_equal(take(q), at++);
	assert_int_equal(take(q), -1);
	assert_true(record_queue_has_room(q, 100));
}

static void room_that_was_promised_is_there_wherever_the_ring_stands(void **state)
{
	(void)state;
	AUTO(record_queue_free) struct record_queue *q = queue_of(4096);
	uint64_t n = 0, at = 0;
	for (size_t step = 0; step < 2000; step++) {
		while (!record_queue_has_room(q, 700))
			assert_int_equal(take(q), at++);
		assert_true(put(q, n++, step % 37, 500 - step % 91));
		assert_true(put(q, n++, 0, step % 160));
	}
	while (at < n)
		assert_int_equal(take(q), at++);
}

static void what_is_left_for_later_keeps_the_descriptor_readable(void **state)
{
	(void)state;
	AUTO(record_queue_free) struct record_queue *q = queue_of(4096);
	assert_true(put(q, 1, 0, 0));
	assert_true(put(q, 2, 0, 0));
	assert_int_equal(take(q), 1);
	record_queue_rest(q);
	assert_true(is_readable(record_queue_fd(q)));
	assert_int_equal(take(q), 2);
	assert_int_equal(take(q), -1);
	assert_false(is_readable(record_queue_fd(q)));
	record_queue_rest(q); /* nothing there: one look too many does no harm */
	assert_int_equal(take(q), -1);
	assert_false(is_readable(record_queue_fd(q)));
}

enum { MANY = 200000 };

static void *write_many(void *arg)
{
	struct record_queue *q = arg;
	uint64_t n;

	for (uint64_t i = 0; i < MANY;) {
		if (put(q, i, i % 11, i * 7 % 300)) {
			i++;
			continue;
		}
		struct pollfd p = { .fd = record_queue_room_fd(q), .events = POLLIN };
		if (poll(&p, 1, 20000) != 1)
			return arg; /* slept over the room */
		(void)!read(p.fd, &n, sizeof n);
	}
	return NULL;
}

static void two_threads_that_only_poll_get_everything_across_in_order(void **state)
{
	(void)state;
	AUTO(record_queue_free) struct record_queue *q = queue_of(8192);
	pthread_t writer;
	void *stuck;
	int64_t next = 0;

	assert_int_equal(pthread_create(&writer, NULL, write_many, q), 0);
	while (next < MANY) {
		struct pollfd p = { .fd = record_queue_fd(q), .events = POLLIN };
		assert_int_equal(poll(&p, 1, 20000), 1);
		int64_t got = 0;
		for (int i = 0; i < 50 && (got = take(q)) >= 0; i++)
			assert_int_equal(got, next++);
		if (got >= 0)
			record_queue_rest(q);
	}
	assert_int_equal(pthread_join(writer, &stuck), 0);
	assert_null(stuck);
	assert_int_equal(take(q), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sizes_that_are_no_power_of_two_are_refused),
		cmocka_unit_test(a_record_comes_out_as_it_went_in),
		cmocka_unit_test(an_empty_record_is_one),
		cmocka_unit_test(a_record_of_more_than_a_quarter_never_fits),
		cmocka_unit_test(a_full_queue_takes_none_and_says_when_it_does),
		cmocka_unit_test(room_that_was_promised_is_there_wherever_the_ring_stands),
		cmocka_unit_test(what_is_left_for_later_keeps_the_descriptor_readable),
		cmocka_unit_test(two_threads_that_only_poll_get_everything_across_in_order),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
