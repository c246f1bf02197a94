/* lib/rpc/fan: many calls, one thread; inboxes that are bounded; channels that come back. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/eventfd.h>

#include <cmocka.h>

#include "rpc/fanning.h"
#include "rpc_fixture.h"

static void ring(void *ctx)
{
	const uint64_t one = 1;

	assert_int_equal(write(*(int *)ctx, &one, sizeof one), sizeof one);
}

/* Every test is run with a fan that has a thread, and with one whose work a server does. */
static bool is_hosted;
static struct rpc_server *host;

static struct rpc_fan *fan_of(void)
{
	struct rpc_fan *f = NULL;

	if (is_hosted) {
		assert_int_equal(rpc_fan_new_for_server(&f, NULL), ERR_OK);
		host = fixture_serve((struct rpc_server_config){ .fan = f });
	} else {
		assert_int_equal(rpc_fan_new(&f, NULL), ERR_OK);
	}
	return f;
}

static void free_fan(struct rpc_fan *f)
{
	rpc_server_free(TAKE(host), 0);
	rpc_fan_free(f);
}

static struct rpc_fan_channel *channel_to(struct rpc_fan *f, const char *address)
{
	struct rpc_fan_channel *ch = NULL;
	struct err e;

	if (rpc_fan_channel_new(f, &(struct rpc_channel_config){ .address = address }, NULL, NULL,
				&ch, &e) != ERR_OK)
		fail_msg("channel: %s", e.msg);
	return ch;
}

static struct rpc_fan_channel *channel_of(struct rpc_fan *f, const struct rpc_server *s)
{
	char address[64];

	(void)snprintf(address, sizeof address, "127.0.0.1:%d", rpc_server_port(s, 0));
	return channel_to(f, address);
}

/* A group whose news can be waited for. */
struct inbox {
	int fd;
	struct rpc_group *group;
	struct rpc_fan_event *events;
};

static void inbox_init(struct inbox *in, struct rpc_fan *f)
{
	*in = (struct inbox){ .fd = eventfd(0, EFD_CLOEXEC) };
	assert_true(in->fd >= 0);
	assert_int_equal(rpc_group_new(f, ring, &in->fd, &in->group, NULL), ERR_OK);
}

static void inbox_done(struct inbox *in)
{
	while (in->events) {
		struct rpc_fan_event *next = in->events->next;
		rpc_fan_event_free(in->events);
		in->events = next;
	}
	rpc_group_free(in->group);
	(void)close(in->fd);
}

/* The next event; waits for it. Own. */
static struct rpc_fan_event *next(struct inbox *in)
{
	uint64_t rings;

	while (!in->events && !(in->events = rpc_group_take(in->group)))
		assert_int_equal(read(in->fd, &rings, sizeof rings), sizeof rings);
	struct rpc_fan_event *ev = in->events;
	in->events = ev->next;
	return ev;
}

static struct rpc_fan_call *open_call(struct inbox *in, struct rpc_fan_channel *ch,
				      const char *method, const char *request, uint64_t timeout_ns,
				      void *owner)
{
	struct rpc_fan_call *c = NULL;

	assert_int_equal(rpc_fan_call_open(in->group, ch, method, str_of(request), timeout_ns,
					   owner, &c, NULL),
			 ERR_OK);
	return c;
}

static void expect_end_with(struct inbox *in, enum rpc_status status, const char *message)
{
	struct rpc_fan_event *ev = next(in);

	assert_int_equal(ev->kind, RPC_FAN_END);
	assert_int_equal(ev->result->status, status);
	assert_string_equal(ev->result->message, message);
	rpc_fan_event_free(ev);
}

static void expect_end(struct inbox *in, enum rpc_status status)
{
	struct rpc_fan_event *ev = next(in);

	assert_int_equal(ev->kind, RPC_FAN_END);
	assert_int_equal(ev->result->status, status);
	rpc_fan_event_free(ev);
}

static void a_fan_without_calls_ends(void **state)
{
	(void)state;
	free_fan(fan_of());
	rpc_fan_free(NULL);
}

static void one_answer_and_then_the_end(void **state)
{
	(void)state;
	struct rpc_server *s = fixture_serve((struct rpc_server_config){ 0 });
	struct rpc_fan *f = fan_of();
	struct rpc_fan_channel *ch = channel_of(f, s);
	struct inbox in;
	inbox_init(&in, f);
	int me;
	struct rpc_fan_call *c = open_call(&in, ch, "/test.T/Echo", "hello", 0, &me);

	struct rpc_fan_event *ev = next(&in);
	assert_int_equal(ev->kind, RPC_FAN_MESSAGE);
	assert_true(str_is(ev->message, "hello"));
	assert_ptr_equal(ev->owner, &me);
	assert_ptr_equal(ev->call, c);
	assert_true(rpc_fan_channel_heard(ch).v > 0);
	rpc_fan_event_free(ev);
	expect_end(&in, RPC_OK);
	inbox_done(&in);
	rpc_fan_channel_free(ch);
	free_fan(f);
	rpc_server_free(s, 0);
}

static void a_refusal_comes_with_the_servers_words(void **state)
{
	(void)state;
	struct rpc_server *s = fixture_serve((struct rpc_server_config){ 0 });
	struct rpc_fan *f = fan_of();
	struct rpc_fan_channel *ch = channel_of(f, s);
	struct inbox in;
	inbox_init(&in, f);
	(void)open_call(&in, ch, "/test.T/Fail", "no such thing", 0, NULL);

	expect_end_with(&in, RPC_INVALID_ARGUMENT, "no such thing");
	inbox_done(&in);
	rpc_fan_channel_free(ch);
	free_fan(f);
	rpc_server_free(s, 0);
}

static void
every_message_comes_once_in_order_before_the_end_however_late_it_is_fetched(void **state)
{
	(void)state;
	enum { COUNT = 10 * RPC_FAN_MESSAGES };
	struct rpc_server *s = fixture_serve((struct rpc_server_config){ 0 });
	struct rpc_fan *f = fan_of();
	struct rpc_fan_channel *ch = channel_of(f, s);
	struct inbox in;
	char want[24];
	inbox_init(&in, f);
	(void)open_call(&in, ch, "/test.T/Count", "1280", 0, NULL);

	/* What is held and not freed stops the reading at the limit, and nothing else does. */
	struct rpc_fan_event *held[RPC_FAN_MESSAGES];
	for (size_t i = 0; i < RPC_FAN_MESSAGES; i++)
		held[i] = next(&in);
	assert_null(in.events);
	assert_null(rpc_group_take(in.group));
	for (size_t i = 0; i < RPC_FAN_MESSAGES; i++) {
		(void)snprintf(want, sizeof want, "%zu", i);
		assert_true(str_is(held[i]->message, want));
		rpc_fan_event_free(held[i]);
	}
	for (size_t i = RPC_FAN_MESSAGES; i < COUNT; i++) {
		struct rpc_fan_event *ev = next(&in);
		(void)snprintf(want, sizeof want, "%zu", i);
		assert_int_equal(ev->kind, RPC_FAN_MESSAGE);
		assert_true(str_is(ev->message, want));
		rpc_fan_event_free(ev);
	}
	expect_end(&in, RPC_OK);
	inbox_done(&in);
	rpc_fan_channel_free(ch);
	free_fan(f);
	rpc_server_free(s, 0);
}

/* The next of the call's tags off the queue that nobody else works at; channels' own are done. */
static struct tag *next_tag(struct rpc_fan *f)
{
	for (;;) {
		grpc_event ev = grpc_completion_queue_next(
			fan_queue(f), gpr_inf_future(GPR_CLOCK_MONOTONIC), NULL);
		struct tag *t = fan_unmark(ev.tag);
		assert_int_equal(ev.type, GRPC_OP_COMPLETE);
		if (t->kind != TAG_WATCH)
			return t;
		fan_take(f, ev.tag);
	}
}

/* Threads of the core finish the two in any order. */
static void a_status_that_comes_before_the_last_message_is_told_after_it(void **state)
{
	(void)state;
	struct rpc_server *s = fixture_serve((struct rpc_server_config){ 0 });
	struct rpc_fan *f = NULL;
	struct tag *message = NULL, *status = NULL;
	struct inbox in;
	assert_int_equal(rpc_fan_new_for_server(&f, NULL), ERR_OK);
	struct rpc_fan_channel *ch = channel_of(f, s);
	inbox_init(&in, f);
	(void)open_call(&in, ch, "/test.T/Echo", "hello", 0, NULL);

	while (!message || !status) {
		struct tag *t = next_tag(f);
		if (t->kind == TAG_MESSAGE)
			message = t;
		else if (t->kind == TAG_STATUS)
			status = t;
		else
			fan_take(f, fan_mark(t));
	}
	fan_take(f, fan_mark(status));
	fan_tell(f);
	assert_null(rpc_group_take(in.group));
	fan_take(f, fan_mark(message));
	do { /* until there is no other message */
		message = next_tag(f);
		fan_take(f, fan_mark(message));
	} while (message->kind != TAG_MESSAGE);
	fan_tell(f);
	struct rpc_fan_event *ev = next(&in);
	assert_int_equal(ev->kind, RPC_FAN_MESSAGE);
	assert_true(str_is(ev->message, "hello"));
	rpc_fan_event_free(ev);
	expect_end(&in, RPC_OK);
	inbox_done(&in);
	rpc_fan_channel_free(ch);
	rpc_fan_free(f);
	rpc_server_free(s, 0);
}

static void a_full_inbox_stops_no_other_call_of_the_channel(void **state)
{
	(void)state;
	struct rpc_server *s = fixture_serve((struct rpc_server_config){ 0 });
	struct rpc_fan *f = fan_of();
	struct rpc_fan_channel *ch = channel_of(f, s);
	struct inbox full, other;
	inbox_init(&full, f);
	inbox_init(&other, f);
	(void)open_call(&full, ch, "/test.T/Flood", "", 0, NULL);
	struct rpc_fan_event *held[RPC_FAN_MESSAGES];
	for (size_t i = 0; i < RPC_FAN_MESSAGES; i++)
		held[i] = next(&full);

	for (size_t i = 0; i < 100; i++) {
		(void)open_call(&other, ch, "/test.T/Echo", "x", 0, NULL);
		rpc_fan_event_free(next(&other));
		expect_end(&other, RPC_OK);
	}
	for (size_t i = 0; i < RPC_FAN_MESSAGES; i++)
		rpc_fan_event_free(held[i]);
	inbox_done(&other);
	inbox_done(&full);
	rpc_fan_channel_free(ch);
	free_fan(f);
	rpc_server_free(s, 0);
}

static void deadlines_cancels_and_resets_end_a_call_in_their_own_words(void **state)
{
	(void)state;
	struct rpc_server *s = fixture_serve((struct rpc_server_config){ 0 });
	struct rpc_fan *f = fan_of();
	struct rpc_fan_channel *ch = channel_of(f, s);
	struct inbox in;
	inbox_init(&in, f);
	(void)open_call(&in, ch, "/test.T/Idle", "", 50 * NS_PER_MS, NULL);
	expect_end(&in, RPC_DEADLINE_EXCEEDED);

	rpc_fan_call_cancel(open_call(&in, ch, "/test.T/Idle", "", 0, NULL));
	expect_end(&in, RPC_CANCELLED);

	(void)open_call(&in, ch, "/test.T/Idle", "", 0, NULL);
	rpc_fan_channel_reset(ch, "it does not answer");
	expect_end_with(&in, RPC_UNAVAILABLE, "it does not answer");
	inbox_done(&in);
	rpc_fan_channel_free(ch);
	free_fan(f);
	rpc_server_free(s, 0);
}

static void a_closed_channel_ends_its_calls_and_calls_nobody_any_more(void **state)
{
	(void)state;
	struct rpc_server *s = fixture_serve((struct rpc_server_config){ 0 });
	struct rpc_fan *f = fan_of();
	struct rpc_fan_channel *ch = channel_of(f, s);
	struct inbox in;
	inbox_init(&in, f);
	(void)open_call(&in, ch, "/test.T/Idle", "", 0, NULL);
	rpc_fan_channel_close(ch, "no longer wanted");
	expect_end_with(&in, RPC_UNAVAILABLE, "no longer wanted");
	assert_false(rpc_fan_channel_is_usable(ch));
	assert_int_equal(rpc_fan_channel_state(ch), RPC_CONNECTION_SHUTDOWN);

	/* the server is there, and would answer */
	(void)open_call(&in, ch, "/test.T/Echo", "", 0, NULL);
	expect_end(&in, RPC_UNAVAILABLE);
	rpc_fan_channel_reset(ch, "nothing brings it back");
	rpc_fan_channel_renew(ch);
	(void)open_call(&in, ch, "/test.T/Echo", "", 0, NULL);
	expect_end(&in, RPC_UNAVAILABLE);
	assert_false(rpc_fan_channel_is_usable(ch));
	inbox_done(&in);
	rpc_fan_channel_free(ch);
	free_fan(f);
	rpc_server_free(s, 0);
}

/* How often a channel's state has changed. */
struct watcher {
	pthread_mutex_t mx;
	pthread_cond_t moved;
	size_t changes;
};

static void on_changed(void *ctx)
{
	struct watcher *w = ctx;

	pthread_mutex_lock(&w->mx);
	w->changes++;
	pthread_cond_signal(&w->moved);
	pthread_mutex_unlock(&w->mx);
}

static void wait_usable(struct watcher *w, const struct rpc_fan_channel *ch, bool usable)
{
	pthread_mutex_lock(&w->mx);
	while (rpc_fan_channel_is_usable(ch) != usable)
		pthread_cond_wait(&w->moved, &w->mx);
	pthread_mutex_unlock(&w->mx);
}

static void a_channel_says_when_its_server_goes_and_comes_and_a_reset_makes_it_new(void **state)
{
	(void)state;
	char address[128];
	struct rpc_fan_channel *ch = NULL;
	struct watcher w = { PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 0 };
	struct rpc_fan *f = fan_of();
	(void)snprintf(address, sizeof address, "unix://%s/fan.sock", fixture_dir());
	const struct rpc_listen here = { .address = address };
	const struct rpc_server_config config = { .listens = &here, .listen_count = 1 };

	assert_int_equal(rpc_fan_channel_new(f, &(struct rpc_channel_config){ .address = address },
					     on_changed, &w, &ch, NULL),
			 ERR_OK);
	wait_usable(&w, ch, false); /* nobody is there */
	struct rpc_server *s = fixture_serve(config);
	wait_usable(&w, ch, true);
	rpc_server_free(s, 0);
	wait_usable(&w, ch, false);
	s = fixture_serve(config);
	wait_usable(&w, ch, true);
	size_t before = w.changes;
	rpc_fan_channel_reset(ch, "once more");
	wait_usable(&w, ch, true);
	assert_true(w.changes >= before + 1);
	rpc_fan_channel_free(ch);
	free_fan(f);
	rpc_server_free(s, 0);
}

static void calls_without_a_server_end_at_once(void **state)
{
	(void)state;
	struct rpc_fan *f = fan_of();
	struct rpc_fan_channel *ch = channel_to(f, "unix:///nowhere/at-all.sock");
	struct inbox in;
	inbox_init(&in, f);
	(void)open_call(&in, ch, "/test.T/Echo", "", 0, NULL);
	expect_end(&in, RPC_UNAVAILABLE);
	inbox_done(&in);
	rpc_fan_channel_free(ch);
	free_fan(f);
}

static void bad_arguments_and_missing_certificates_are_refused_at_once(void **state)
{
	(void)state;
	struct rpc_fan *f = fan_of();
	struct rpc_fan_channel *ch = NULL;
	const char *const ca[] = { "/nowhere/ca.pem" };
	const struct rpc_tls tls = { .ca_files = ca, .ca_file_count = 1 };
	struct err e;

	assert_int_equal(rpc_fan_channel_new(f, &(struct rpc_channel_config){ .address = "x:0" },
					     NULL, NULL, &ch, &e),
			 ERR_INVALID);
	assert_int_equal(rpc_fan_channel_new(
				 f, &(struct rpc_channel_config){ .address = "x:1", .tls = &tls },
				 NULL, NULL, &ch, &e),
			 ERR_NOT_FOUND);
	assert_null(ch);
	free_fan(f);
}

static void everything_may_go_in_the_middle_of_everything(void **state)
{
	(void)state;
	enum { CHANNELS = 20, CALLS = 25 };
	static const char *const methods[] = { "/test.T/Flood", "/test.T/Idle", "/test.T/Count",
					       "/test.T/Echo", "/test.T/None" };
	struct rpc_server *s = fixture_serve((struct rpc_server_config){ 0 });
	struct rpc_fan *f = fan_of();
	struct rpc_fan_channel *channels[CHANNELS];
	struct inbox in;

	inbox_init(&in, f);
	for (size_t i = 0; i < CHANNELS; i++) {
		channels[i] = channel_of(f, s);
		for (size_t k = 0; k < CALLS; k++)
			(void)open_call(&in, channels[i], methods[k % ARRAY_LEN(methods)], "1000",
					0, NULL);
	}
	for (size_t i = 0; i < 1000; i++)
		rpc_fan_event_free(next(&in));
	for (size_t i = 0; i < CHANNELS; i += 2)
		rpc_fan_channel_reset(channels[i], "again");
	for (size_t i = 0; i < 1000; i++)
		rpc_fan_event_free(next(&in));
	for (size_t i = 0; i < CHANNELS; i++)
		rpc_fan_channel_free(channels[i]);
	inbox_done(&in);
	free_fan(f);
	rpc_server_free(s, 0);
}

static int set_up(void **state)
{
	(void)state;
	rpc_init();
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	if (is_hosted)
		rpc_shutdown();
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_fan_without_calls_ends),
		cmocka_unit_test(one_answer_and_then_the_end),
		cmocka_unit_test(a_refusal_comes_with_the_servers_words),
		cmocka_unit_test(
			every_message_comes_once_in_order_before_the_end_however_late_it_is_fetched),
		cmocka_unit_test(a_status_that_comes_before_the_last_message_is_told_after_it),
		cmocka_unit_test(a_full_inbox_stops_no_other_call_of_the_channel),
		cmocka_unit_test(deadlines_cancels_and_resets_end_a_call_in_their_own_words),
		cmocka_unit_test(a_closed_channel_ends_its_calls_and_calls_nobody_any_more),
		cmocka_unit_test(
			a_channel_says_when_its_server_goes_and_comes_and_a_reset_makes_it_new),
		cmocka_unit_test(calls_without_a_server_end_at_once),
		cmocka_unit_test(bad_arguments_and_missing_certificates_are_refused_at_once),
		cmocka_unit_test(everything_may_go_in_the_middle_of_everything),
	};
	int failed = cmocka_run_group_tests(tests, set_up, tear_down);
	is_hosted = true;
	return failed +
	       cmocka_run_group_tests_name("with a server's thread", tests, NULL, tear_down);
}
