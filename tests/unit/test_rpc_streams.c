/* lib/rpc: many streams at once, slow and stuck ones, and the end of a server under load. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/buf.h"
#include "rpc_fixture.h"

enum { MANY = 500 };

/* Until @want streams have begun. The C core moves when it is polled, so @st is, meanwhile. */
static void wait_until_begun(struct rpc_stream *st, size_t want)
{
	struct mono_ns start = mono_now();

	while (atomic_load(&fixture_streams) < want) {
		struct str message;
		struct err e;
		enum err_code code = rpc_stream_next(st, NS_PER_MS, &message, &e);
		if (code != ERR_OK && code != ERR_TIMEOUT)
			fail_msg("the stream ended: %s", e.msg);
		if (mono_now().v - start.v > 120 * NS_PER_S)
			fail_msg("%zu of %zu streams have begun", atomic_load(&fixture_streams),
				 want);
	}
}

static bool given_back(void *want)
{
	return atomic_load(&fixture_done) >= *(size_t *)want;
}

static void a_server_ends_under_five_hundred_busy_streams(void **state)
{
	(void)state;
	/* With grace and without: both must get every state back and every tag out. */
	static const uint64_t graces[] = { 0, NS_PER_S / 10 };

	for (size_t g = 0; g < ARRAY_LEN(graces); g++) {
		struct rpc_server *s = fixture_serve((struct rpc_server_config){ 0 });
		struct rpc_channel *ch = fixture_channel(s);
		struct rpc_stream *streams[MANY];

		for (size_t i = 0; i < MANY; i++)
			streams[i] =
				fixture_open(ch, i % 2 ? "/test.T/Flood" : "/test.T/Idle", "tick");
		wait_until_begun(streams[0], MANY);
		rpc_server_free(s, graces[g]);
		assert_int_equal(fixture_done, MANY);
		for (size_t i = 0; i < MANY; i++) {
			struct str message;
			struct err e;
			enum err_code code;
			while ((code = rpc_stream_next(streams[i], 30 * NS_PER_S, &message, &e)) ==
			       ERR_OK)
				;
			assert_true(code == ERR_UNAVAILABLE || code == ERR_CANCELLED ||
				    code == ERR_IO);
			rpc_stream_free(streams[i]);
		}
		rpc_channel_free(ch);
	}
}

static void a_follower_is_told_that_the_server_goes(void **state)
{
	(void)state;
	struct rpc_server *s = fixture_serve((struct rpc_server_config){ 0 });
	struct rpc_channel *ch = fixture_channel(s);
	struct rpc_stream *st = fixture_open(ch, "/test.T/Idle", "");
	struct str message;
	struct err e;

	wait_until_begun(st, 1);
	rpc_server_free(s, 5 * NS_PER_S);
	assert_int_equal(rpc_stream_next(st, 30 * NS_PER_S, &message, &e), ERR_UNAVAILABLE);
	assert_string_equal(e.msg, "rpc error: code = Unavailable desc = server is shutting down");
	rpc_stream_free(st);
	rpc_channel_free(ch);
}

static void a_hundred_followers_each_get_everything(void **state)
{
	(void)state;
	enum { FOLLOWERS = 100, MESSAGES = 200 };
	struct rpc_server *s = fixture_serve((struct rpc_server_config){ .queue_messages = 16 });
	struct rpc_channel *ch = fixture_channel(s);
	struct rpc_stream *streams[FOLLOWERS];
	char text[16];

	for (size_t i = 0; i < FOLLOWERS; i++)
		streams[i] = fixture_open(ch, "/test.T/Count", "200");
	for (unsigned k = 0; k < MESSAGES; k++) {
		(void)snprintf(text, sizeof text, "%u", k);
		for (size_t i = 0; i < FOLLOWERS; i++)
			assert_string_equal(fixture_next(streams[i]), text);
	}
	for (size_t i = 0; i < FOLLOWERS; i++) {
		assert_null(fixture_next(streams[i]));
		rpc_stream_free(streams[i]);
	}
	rpc_channel_free(ch);
	rpc_server_free(s, NS_PER_S);
	assert_int_equal(fixture_done, FOLLOWERS);
}

static bool one_is_stalled(void *s)
{
	return rpc_server_stats(s).stalled_calls == 1;
}

static void a_stuck_follower_is_cut_off_while_others_go_on(void **state)
{
	(void)state;
	struct rpc_server *s = fixture_serve((struct rpc_server_config){ .stall_ns = NS_PER_S });
	struct rpc_channel *ch = fixture_channel(s), *other = fixture_channel(s);
	struct rpc_stream *stuck = fixture_open(ch, "/test.T/Flood", "");
	struct rpc_stream *idle = fixture_open(ch, "/test.T/Idle", "");
	struct str message;
	struct err e;

	/* @stuck is not read: the windows of HTTP/2 fill up, and nothing moves. @busy is. */
	struct rpc_stream *busy = fixture_open(other, "/test.T/Flood", "");
	while (!one_is_stalled(s))
		assert_int_equal(strlen(fixture_next(busy)), 1024);
	for (int i = 0; i < 1000; i++)
		assert_int_equal(strlen(fixture_next(busy)), 1024);
	enum err_code code;
	while ((code = rpc_stream_next(stuck, 30 * NS_PER_S, &message, &e)) == ERR_OK)
		;
	assert_int_equal(code, ERR_NOMEM);
	assert_int_equal(rpc_stream_result(stuck)->status, RPC_RESOURCE_EXHAUSTED);
	/* Saying nothing is not being stuck. */
	assert_int_equal(rpc_stream_next(idle, NS_PER_MS, &message, &e), ERR_TIMEOUT);
	assert_int_equal(rpc_server_stats(s).stalled_calls, 1);
	rpc_stream_free(stuck);
	rpc_stream_free(idle);
	rpc_stream_free(busy);
	rpc_channel_free(ch);
	rpc_channel_free(other);
	rpc_server_free(s, NS_PER_S);
	assert_int_equal(fixture_done, 3);
}

static void a_slow_reader_costs_one_queue_of_memory(void **state)
{
	(void)state;
	struct rpc_server *s = fixture_serve((struct rpc_server_config){ 0 });
	struct rpc_channel *ch = fixture_channel(s);
	struct rpc_stream *slow = fixture_open(ch, "/test.T/Flood", ""),
			  *busy = fixture_open(ch, "/test.T/Flood", "");

	for (int i = 0; i < 20000; i++)
		assert_int_equal(strlen(fixture_next(busy)), 1024);
	/* What was sent is what @busy read, and what the windows of both hold (64 KiB … a few MiB):
	 * had the slow one been fed at the same pace, this would be twice as much. */
	uint64_t sent = rpc_server_stats(s).messages_sent;
	assert_true(sent >= 20000 && sent < 35000);
	rpc_stream_free(slow);
	rpc_stream_free(busy);
	rpc_channel_free(ch);
	rpc_server_free(s, 0);
}

static void a_queue_holds_four_mebibytes_whatever_its_length(void **state)
{
	(void)state;
	struct rpc_server *s = fixture_serve((struct rpc_server_config){ .queue_messages = 8 });
	struct rpc_channel *ch = fixture_channel(s);
	struct rpc_stream *st = fixture_open(ch, "/test.T/Heavy", "");
	size_t messages = 0;

	while (fixture_next(st))
		messages++;
	assert_int_equal(messages, 4);
	rpc_stream_free(st);
	rpc_channel_free(ch);
	rpc_server_free(s, NS_PER_S);
}

static void *read_thousand(void *ch)
{
	struct rpc_stream *st = fixture_open(ch, "/test.T/Count", "1000");
	uintptr_t n = 0;

	while (fixture_next(st))
		n++;
	rpc_stream_free(st);
	return (void *)n;
}

static void threads_share_a_channel(void **state)
{
	(void)state;
	struct rpc_server *s = fixture_serve((struct rpc_server_config){ 0 });
	struct rpc_channel *ch = fixture_channel(s);
	pthread_t threads[4];

	for (size_t i = 0; i < ARRAY_LEN(threads); i++)
		assert_int_equal(pthread_create(&threads[i], NULL, read_thousand, ch), 0);
	for (size_t i = 0; i < ARRAY_LEN(threads); i++) {
		void *n;
		pthread_join(threads[i], &n);
		assert_int_equal((uintptr_t)n, 1000);
	}
	rpc_channel_free(ch);
	rpc_server_free(s, NS_PER_S);
}

static void *wake_and_set(void *s)
{
	for (int i = 0; i < 2000; i++) {
		rpc_server_wake(s);
		rpc_server_set_health(s, "svc", i % 2 == 0);
		(void)rpc_server_stats(s);
	}
	return NULL;
}

static void any_thread_may_wake_and_set_health(void **state)
{
	(void)state;
	struct rpc_server *s = fixture_serve((struct rpc_server_config){ 0 });
	struct rpc_channel *ch = fixture_channel(s);
	struct rpc_stream *st = fixture_open(ch, "/test.T/Idle", "tick");
	pthread_t threads[3];

	for (size_t i = 0; i < ARRAY_LEN(threads); i++)
		assert_int_equal(pthread_create(&threads[i], NULL, wake_and_set, s), 0);
	for (int i = 0; i < 50; i++)
		assert_string_equal(fixture_next(st), "tick");
	for (size_t i = 0; i < ARRAY_LEN(threads); i++)
		pthread_join(threads[i], NULL);
	rpc_stream_free(st);
	rpc_channel_free(ch);
	rpc_server_free(s, NS_PER_S);
	size_t one = 1;
	assert_true(given_back(&one));
}

static bool all_given_back(void *nothing)
{
	(void)nothing;
	return atomic_load(&fixture_done) == atomic_load(&fixture_streams);
}

static void work_for_a_caller_who_is_gone_ends(void **state)
{
	(void)state;
	struct rpc_server *s = fixture_serve((struct rpc_server_config){ 0 });
	struct rpc_channel *ch = fixture_channel(s);
	AUTO_BUF struct buf answer = buf_init(100);
	struct rpc_result result;
	struct str message;

	struct rpc_stream *st = fixture_open(ch, "/test.T/Toil", "");
	wait_until_begun(st, 1);
	/* others are served meanwhile */
	assert_int_equal(rpc_unary(ch, "/test.T/Echo", STR("here"), 0, &answer, &result, NULL),
			 ERR_OK);
	rpc_stream_cancel(st);
	assert_int_equal(rpc_stream_next(st, 0, &message, NULL), ERR_CANCELLED);
	fixture_wait(all_given_back, NULL, "the work of who has cancelled to end");
	/* and one whose deadline passes */
	assert_int_equal(
		rpc_unary(ch, "/test.T/Toil", STR(""), NS_PER_S / 5, &answer, &result, NULL),
		ERR_TIMEOUT);
	fixture_wait(all_given_back, NULL, "the work of who has waited long enough to end");
	rpc_stream_free(st);
	rpc_channel_free(ch);
	rpc_server_free(s, NS_PER_S);
}

static void a_crowd_that_toils_delays_no_call_by_a_turn_of_each(void **state)
{
	(void)state;
	enum { CROWD = 100, CALLS = 20, TOIL_US = 2000 };
	struct rpc_server *s = fixture_serve((struct rpc_server_config){ 0 });
	struct rpc_channel *ch = fixture_channel(s), *other = fixture_channel(s);
	struct rpc_stream *streams[CROWD];
	AUTO_BUF struct buf answer = buf_init(100);

	for (size_t i = 0; i < CROWD; i++)
		streams[i] = fixture_open(ch, "/test.T/Toil", "2000");
	wait_until_begun(streams[0], CROWD);
	size_t before = atomic_load(&fixture_toils);
	for (size_t i = 0; i < CALLS; i++) {
		buf_reset(&answer);
		assert_int_equal(rpc_unary(other, "/test.T/Echo", STR("x"), 0, &answer, NULL, NULL),
				 ERR_OK);
	}
	/* Each call would meet every toiler once; five or ten at a time are what it does meet. */
	assert_in_range(atomic_load(&fixture_toils) - before, 0, CALLS * CROWD / 2);
	for (size_t i = 0; i < CROWD; i++)
		rpc_stream_free(streams[i]);
	rpc_channel_free(other);
	rpc_channel_free(ch);
	rpc_server_free(s, NS_PER_S);
}

static void what_is_asked_by_all_streams_together_has_a_bound(void **state)
{
	(void)state;
	enum { LARGE = 3 << 20, FIT = RPC_ASKED_BYTES / LARGE };
	struct rpc_server *s = fixture_serve((struct rpc_server_config){ 0 });
	struct rpc_channel *ch = fixture_channel(s);
	struct rpc_stream *streams[FIT + 1], *small;
	char *large = malloc(LARGE + 1);
	struct str message;
	struct err e;

	assert_non_null(large);
	memset(large, 'x', LARGE);
	large[LARGE] = 0;
	for (int round = 0; round < 2; round++) { /* what is over is asked for no more */
		size_t before = atomic_load(&fixture_streams);
		for (size_t i = 0; i < FIT; i++) {
			streams[i] = fixture_open(ch, "/test.T/Idle", large);
			wait_until_begun(streams[i], before + i + 1);
		}
		streams[FIT] = fixture_open(ch, "/test.T/Idle", large);
		assert_int_equal(rpc_stream_next(streams[FIT], 0, &message, &e), ERR_NOMEM);
		assert_string_equal(e.msg, "rpc error: code = ResourceExhausted desc = too much is "
					   "asked for at the same time: try again later");
		small = fixture_open(ch, "/test.T/Count", "1");
		assert_string_equal(fixture_next(small), "0");
		rpc_stream_free(small);
		size_t gone = before + FIT + 1; /* with the small one */
		for (size_t i = 0; i <= FIT; i++)
			rpc_stream_free(streams[i]);
		fixture_wait(given_back, &gone, "the streams to be given back");
	}
	free(large);
	rpc_channel_free(ch);
	rpc_server_free(s, NS_PER_S);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_server_ends_under_five_hundred_busy_streams),
		cmocka_unit_test(a_follower_is_told_that_the_server_goes),
		cmocka_unit_test(a_hundred_followers_each_get_everything),
		cmocka_unit_test(a_stuck_follower_is_cut_off_while_others_go_on),
		cmocka_unit_test(a_slow_reader_costs_one_queue_of_memory),
		cmocka_unit_test(a_queue_holds_four_mebibytes_whatever_its_length),
		cmocka_unit_test(threads_share_a_channel),
		cmocka_unit_test(any_thread_may_wake_and_set_health),
		cmocka_unit_test(work_for_a_caller_who_is_gone_ends),
		cmocka_unit_test(a_crowd_that_toils_delays_no_call_by_a_turn_of_each),
		cmocka_unit_test(what_is_asked_by_all_streams_together_has_a_bound),
	};

	rpc_init();
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	rpc_shutdown();
	return failed;
}
