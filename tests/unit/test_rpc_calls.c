/* lib/rpc: unary calls and streams, our client against our server. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/buf.h"
#include "rpc/failure.h"
#include "rpc_fixture.h"

static enum err_code call(struct rpc_channel *ch, const char *method, struct str request,
			  struct buf *answer, struct rpc_result *result, struct err *e)
{
	return rpc_unary(ch, method, request, 30 * NS_PER_S, answer, result, e);
}

static void a_unary_call_brings_its_answer(void **state)
{
	(void)state;
	struct rpc_server *s = fixture_serve((struct rpc_server_config){ 0 });
	struct rpc_channel *ch = fixture_channel(s);
	AUTO_BUF struct buf answer = buf_init(8 << 20);
	struct rpc_result result;
	struct err e;

	buf_lit(&answer, "before:");
	assert_int_equal(call(ch, "/test.T/Echo", STR("hello\0world"), &answer, &result, &e),
			 ERR_OK);
	assert_true(str_eq(buf_str(&answer), STR("before:hello\0world")));
	assert_int_equal(result.status, RPC_OK);
	buf_reset(&answer);
	assert_int_equal(call(ch, "/test.T/Echo", STR(""), &answer, &result, &e), ERR_OK);
	assert_int_equal(answer.len, 0);
	/* Larger than any frame or window of HTTP/2. */
	size_t big = 3 << 20;
	char *text = malloc(big);
	memset(text, 'y', big);
	assert_int_equal(call(ch, "/test.T/Echo", str_n(text, big), &answer, &result, &e), ERR_OK);
	assert_true(str_eq(buf_str(&answer), str_n(text, big)));
	free(text);
	rpc_channel_free(ch);
	rpc_server_free(s, NS_PER_S);
}

static void an_error_becomes_one_sentence(void **state)
{
	(void)state;
	struct rpc_server *s = fixture_serve((struct rpc_server_config){ 0 });
	struct rpc_channel *ch = fixture_channel(s);
	AUTO_BUF struct buf answer = buf_init(100);
	struct rpc_result result;
	struct err e;

	assert_int_equal(call(ch, "/test.T/Fail", STR("bad \"filter\""), &answer, &result, &e),
			 ERR_INVALID);
	assert_int_equal(result.status, RPC_INVALID_ARGUMENT);
	assert_string_equal(result.message, "bad \"filter\"");
	assert_string_equal(e.msg, "rpc error: code = InvalidArgument desc = bad \"filter\"");
	assert_int_equal(call(ch, "/test.T/Silent", STR(""), &answer, &result, &e), ERR_INTERNAL);
	assert_int_equal(answer.len, 0);
	rpc_channel_free(ch);
	rpc_server_free(s, NS_PER_S);
}

static void a_unary_call_takes_one_answer_neither_none_nor_several(void **state)
{
	(void)state;
	struct rpc_server *s = fixture_serve((struct rpc_server_config){ 0 });
	struct rpc_channel *ch = fixture_channel(s);
	AUTO_BUF struct buf answer = buf_init(100);
	struct rpc_result result;
	struct err e;

	assert_int_equal(call(ch, "/test.T/Count", STR("1"), &answer, &result, &e), ERR_OK);
	assert_true(str_is(buf_str(&answer), "0"));
	for (int i = 0; i < 2; i++) {
		assert_int_equal(
			call(ch, "/test.T/Count", i ? STR("2") : STR("0"), &answer, &result, &e),
			ERR_INTERNAL);
		assert_int_equal(result.status, RPC_INTERNAL);
		assert_string_equal(result.message, "the server sent no single answer");
		assert_true(str_is(buf_str(&answer), "0")); /* nothing is appended */
	}
	rpc_channel_free(ch);
	rpc_server_free(s, NS_PER_S);
}

/* google.golang.org/grpc: Code.String; the reference CLI leaves out what says nothing. */
static void codes_without_a_name_are_shown_as_numbers_and_unknown_not_at_all(void **state)
{
	(void)state;
	struct rpc_result unknown = { RPC_UNKNOWN, "boom" },
			  strange = { (enum rpc_status)42, "boom" };
	struct err e;

	assert_int_equal(failure_set(&e, &unknown), rpc_status_to_err(RPC_UNKNOWN));
	assert_string_equal(e.msg, "boom");
	assert_int_not_equal(failure_set(&e, &strange), ERR_OK);
	assert_string_equal(e.msg, "rpc error: code = Code(42) desc = boom");
}

static void a_status_text_is_made_valid_utf8(void **state)
{
	(void)state;
	struct rpc_server *s = fixture_serve((struct rpc_server_config){ 0 });
	struct rpc_channel *ch = fixture_channel(s);
	AUTO_BUF struct buf answer = buf_init(100);
	struct rpc_result result;

	assert_int_equal(call(ch, "/test.T/Fail", STR("pod \xff\xc3 ä"), &answer, &result, NULL),
			 ERR_INVALID);
	/* RFC 3629: U+FFFD */
	assert_string_equal(result.message, "pod \xef\xbf\xbd\xef\xbf\xbd ä");
	rpc_channel_free(ch);
	rpc_server_free(s, NS_PER_S);
}

static void an_unknown_method_is_unimplemented(void **state)
{
	(void)state;
	struct rpc_server *s = fixture_serve((struct rpc_server_config){ 0 });
	struct rpc_channel *ch = fixture_channel(s);
	AUTO_BUF struct buf answer = buf_init(100);
	struct rpc_result result;
	struct err e;

	assert_int_equal(
		call(ch, "/observer.Observer/GetNamespaces", STR(""), &answer, &result, &e),
		ERR_UNSUPPORTED);
	assert_int_equal(result.status, RPC_UNIMPLEMENTED);
	struct rpc_stream *st = fixture_open(ch, "/no.Such/Stream", "");
	struct str message;
	assert_int_equal(rpc_stream_next(st, 30 * NS_PER_S, &message, &e), ERR_UNSUPPORTED);
	assert_int_equal(rpc_stream_result(st)->status, RPC_UNIMPLEMENTED);
	rpc_stream_free(st);
	rpc_channel_free(ch);
	rpc_server_free(s, NS_PER_S);
}

static void a_deadline_ends_the_call(void **state)
{
	(void)state;
	struct rpc_server *s = fixture_serve((struct rpc_server_config){ 0 });
	struct rpc_channel *ch = fixture_channel(s);
	AUTO_BUF struct buf answer = buf_init(100);
	struct rpc_result result;
	struct err e;

	/* on a slow machine the first may be over before the server has heard of it */
	for (uint64_t ns = 50 * NS_PER_MS; !atomic_load(&fixture_streams); ns *= 2) {
		assert_int_equal(rpc_unary(ch, "/test.T/Idle", STR(""), ns, &answer, &result, &e),
				 ERR_TIMEOUT);
		assert_int_equal(result.status, RPC_DEADLINE_EXCEEDED);
		assert_string_equal(
			e.msg,
			"rpc error: code = DeadlineExceeded desc = context deadline exceeded");
	}
	rpc_channel_free(ch);
	rpc_server_free(s, NS_PER_S);
	assert_int_equal(fixture_done, fixture_streams);
}

static void a_stream_brings_every_message_in_order(void **state)
{
	(void)state;
	/* Around the length of the queue, where the last message must not be left in the core's
	 * buffer. */
	static const unsigned counts[] = { 0, 1, 2, 3, 4, 5, 8, 9, 1000 };
	struct rpc_server *s = fixture_serve((struct rpc_server_config){ .queue_messages = 4 });
	struct rpc_channel *ch = fixture_channel(s);

	for (size_t i = 0; i < ARRAY_LEN(counts); i++) {
		char text[16];
		(void)snprintf(text, sizeof text, "%u", counts[i]);
		struct rpc_stream *st = fixture_open(ch, "/test.T/Count", text);
		for (unsigned k = 0; k < counts[i]; k++) {
			const char *got = fixture_next(st);
			(void)snprintf(text, sizeof text, "%u", k);
			assert_non_null(got);
			assert_string_equal(got, text);
		}
		assert_null(fixture_next(st));
		assert_null(fixture_next(st)); /* the end stays the end */
		assert_int_equal(rpc_stream_result(st)->status, RPC_OK);
		rpc_stream_free(st);
	}
	rpc_channel_free(ch);
	rpc_server_free(s, NS_PER_S);
	assert_int_equal(fixture_done, ARRAY_LEN(counts));
}

static void a_queue_of_one_message_still_flows(void **state)
{
	(void)state;
	struct rpc_server *s = fixture_serve((struct rpc_server_config){ .queue_messages = 1 });
	struct rpc_channel *ch = fixture_channel(s);
	struct rpc_stream *st = fixture_open(ch, "/test.T/Count", "100");
	size_t n = 0;

	while (fixture_next(st))
		n++;
	assert_int_equal(n, 100);
	rpc_stream_free(st);
	rpc_channel_free(ch);
	rpc_server_free(s, NS_PER_S);
}

static void an_idle_stream_is_asked_again_at_each_tick(void **state)
{
	(void)state;
	struct rpc_server *s = fixture_serve((struct rpc_server_config){ .tick_ns = NS_PER_MS });
	struct rpc_channel *ch = fixture_channel(s);
	struct rpc_stream *st = fixture_open(ch, "/test.T/Idle", "tick");

	for (int i = 0; i < 20; i++)
		assert_string_equal(fixture_next(st), "tick");
	rpc_stream_free(st);
	rpc_channel_free(ch);
	rpc_server_free(s, NS_PER_S);
}

static void a_wake_does_not_wait_for_the_tick(void **state)
{
	(void)state;
	/* A tick of an hour: whatever arrives after the first message was woken. */
	struct rpc_server *s =
		fixture_serve((struct rpc_server_config){ .tick_ns = 3600 * NS_PER_S });
	struct rpc_channel *ch = fixture_channel(s);
	struct rpc_stream *st = fixture_open(ch, "/test.T/Idle", "tick");

	assert_string_equal(fixture_next(st), "tick");
	for (int i = 0; i < 20; i++) {
		rpc_server_wake(s);
		assert_string_equal(fixture_next(st), "tick");
	}
	rpc_stream_free(st);
	rpc_channel_free(ch);
	rpc_server_free(s, NS_PER_S);
}

static bool all_done(void *want)
{
	return atomic_load(&fixture_done) == *(size_t *)want;
}

static void a_cancelled_stream_is_given_back_by_the_method(void **state)
{
	(void)state;
	struct rpc_server *s = fixture_serve((struct rpc_server_config){ 0 });
	struct rpc_channel *ch = fixture_channel(s);
	struct rpc_stream *st = fixture_open(ch, "/test.T/Flood", "");
	struct str message;
	struct err e;
	size_t one = 1;

	assert_int_equal(strlen(fixture_next(st)), 1024);
	rpc_stream_cancel(st);
	enum err_code code;
	while ((code = rpc_stream_next(st, 30 * NS_PER_S, &message, &e)) == ERR_OK)
		;
	assert_int_equal(code, ERR_CANCELLED);
	fixture_wait(all_done, &one, "the method has its state back");
	rpc_stream_free(st);
	rpc_channel_free(ch);
	rpc_server_free(s, NS_PER_S);
	assert_int_equal(fixture_done, 1);
}

static void *cancel_from_elsewhere(void *st)
{
	rpc_stream_cancel(st);
	return NULL;
}

static void a_blocked_reader_is_cancelled_from_another_thread(void **state)
{
	(void)state;
	struct rpc_server *s = fixture_serve((struct rpc_server_config){ 0 });
	struct rpc_channel *ch = fixture_channel(s);
	struct rpc_stream *st = fixture_open(ch, "/test.T/Idle", "");
	struct str message;
	struct err e;
	pthread_t thread;

	assert_int_equal(rpc_stream_next(st, NS_PER_MS, &message, &e), ERR_TIMEOUT);
	assert_false(rpc_stream_has_next(st));
	assert_int_equal(pthread_create(&thread, NULL, cancel_from_elsewhere, st), 0);
	assert_int_equal(rpc_stream_next(st, 0, &message, &e), ERR_CANCELLED);
	pthread_join(thread, NULL);
	rpc_stream_free(st);
	rpc_channel_free(ch);
	rpc_server_free(s, NS_PER_S);
}

static bool a_message_is_here(void *st)
{
	return rpc_stream_has_next(st);
}

static void the_reader_is_told_that_more_is_here(void **state)
{
	(void)state;
	struct rpc_server *s = fixture_serve((struct rpc_server_config){ 0 });
	struct rpc_channel *ch = fixture_channel(s);
	struct rpc_stream *st = fixture_open(ch, "/test.T/Count", "2");

	fixture_wait(a_message_is_here, st, "a message is here");
	assert_string_equal(fixture_next(st), "0");
	fixture_wait(a_message_is_here, st, "a message is here");
	assert_string_equal(fixture_next(st), "1");
	assert_null(fixture_next(st));
	assert_false(rpc_stream_has_next(st));
	rpc_stream_free(st);
	rpc_channel_free(ch);
	rpc_server_free(s, NS_PER_S);
}

static void headers_travel_both_ways(void **state)
{
	(void)state;
	const struct rpc_metadata version = { "hubble-server-version", "1.2.3" },
				  who = { "x-who", "me" };
	struct rpc_server *s = fixture_serve(
		(struct rpc_server_config){ .metadata = &version, .metadata_count = 1 });
	char address[64];
	(void)snprintf(address, sizeof address, "127.0.0.1:%d", rpc_server_port(s, 0));
	struct rpc_channel *ch = NULL;
	struct err e;
	assert_int_equal(rpc_channel_new(&(struct rpc_channel_config){ .address = address,
								       .metadata = &who,
								       .metadata_count = 1 },
					 &ch, &e),
			 ERR_OK);
	AUTO_BUF struct buf answer = buf_init(400);
	assert_int_equal(call(ch, "/test.T/Peer", STR(""), &answer, NULL, &e), ERR_OK);
	assert_true(str_has_prefix(buf_str(&answer), STR("ipv4:127.0.0.1:")));
	assert_true(str_has_suffix(buf_str(&answer), STR(" me")));
	struct rpc_stream *st = fixture_open(ch, "/test.T/Count", "1");
	assert_string_equal(fixture_next(st), "0");
	assert_null(fixture_next(st));
	assert_true(str_is(rpc_stream_header(st, "hubble-server-version"), "1.2.3"));
	assert_true(str_is(rpc_stream_header(st, "absent"), ""));
	rpc_stream_free(st);
	rpc_channel_free(ch);
	rpc_server_free(s, NS_PER_S);
}

static void nobody_there_reads_as_the_reference_says_it(void **state)
{
	(void)state;
	struct rpc_channel *ch = fixture_channel_to("127.0.0.1:1", NULL);
	AUTO_BUF struct buf answer = buf_init(100);
	struct err e;

	assert_int_equal(call(ch, "/test.T/Echo", STR(""), &answer, NULL, &e), ERR_UNAVAILABLE);
	/* The text grpc-go prints. */
	assert_string_equal(
		e.msg, "rpc error: code = Unavailable desc = connection error: desc = \"transport: "
		       "Error while dialing: dial tcp 127.0.0.1:1: connect: connection refused\"");
	rpc_channel_free(ch);
	ch = fixture_channel_to("unix:///nonexistent/h.sock", NULL);
	assert_int_equal(call(ch, "/test.T/Echo", STR(""), &answer, NULL, &e), ERR_UNAVAILABLE);
	assert_string_equal(
		e.msg, "rpc error: code = Unavailable desc = connection error: desc = \"transport: "
		       "Error while dialing: dial unix /nonexistent/h.sock: connect: "
		       "no such file or directory\"");
	rpc_channel_free(ch);
}

static void names_of_statuses_are_those_of_go(void **state)
{
	(void)state;
	assert_string_equal(rpc_status_name(RPC_CANCELLED), "Canceled");
	assert_string_equal(rpc_status_name(RPC_UNAUTHENTICATED), "Unauthenticated");
	assert_null(rpc_status_name((enum rpc_status)17));
	assert_int_equal(rpc_status_of(ERR_OK), RPC_OK);
	assert_int_equal(rpc_status_to_err(RPC_OK), ERR_OK);
	for (int code = ERR_OK + 1; code < ERR_CODE_COUNT_; code++)
		assert_int_not_equal(rpc_status_of((enum err_code)code), RPC_OK);
	for (int status = RPC_OK + 1; status < 99; status++)
		assert_int_not_equal(rpc_status_to_err((enum rpc_status)status), ERR_OK);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_unary_call_brings_its_answer),
		cmocka_unit_test(an_error_becomes_one_sentence),
		cmocka_unit_test(a_unary_call_takes_one_answer_neither_none_nor_several),
		cmocka_unit_test(codes_without_a_name_are_shown_as_numbers_and_unknown_not_at_all),
		cmocka_unit_test(a_status_text_is_made_valid_utf8),
		cmocka_unit_test(an_unknown_method_is_unimplemented),
		cmocka_unit_test(a_deadline_ends_the_call),
		cmocka_unit_test(a_stream_brings_every_message_in_order),
		cmocka_unit_test(a_queue_of_one_message_still_flows),
		cmocka_unit_test(an_idle_stream_is_asked_again_at_each_tick),
		cmocka_unit_test(a_wake_does_not_wait_for_the_tick),
		cmocka_unit_test(a_cancelled_stream_is_given_back_by_the_method),
		cmocka_unit_test(a_blocked_reader_is_cancelled_from_another_thread),
		cmocka_unit_test(the_reader_is_told_that_more_is_here),
		cmocka_unit_test(headers_travel_both_ways),
		cmocka_unit_test(nobody_there_reads_as_the_reference_says_it),
		cmocka_unit_test(names_of_statuses_are_those_of_go),
	};

	rpc_init();
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	rpc_shutdown();
	return failed;
}
