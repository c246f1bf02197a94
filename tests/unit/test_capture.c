/* observer/capture: what a stop still takes from its sources. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/eventfd.h>

#include <cmocka.h>

#include "observer/capture.h"

/* A source that is never readable: @held_back events come after a flush, at most @room of them each
 * time. */
struct fake {
	struct source base;
	int fd;
	size_t held_back, flushed, room;
	bool endless; /* has always one more */
};

static int fake_fd(const struct source *s)
{
	return ((const struct fake *)(const void *)s)->fd;
}

static size_t fake_drain(struct source *s, struct raw_sink *sink, size_t max)
{
	struct fake *f = (struct fake *)(void *)s;
	size_t n = f->endless ? 1 : f->flushed < max ? f->flushed : max;

	for (size_t i = 0; i < n; i++)
		sink->event(sink, &(struct raw_event){ .kind = RAW_LOST, .lost = 1, .cpu = -1 });
	f->flushed -= f->endless ? 0 : n;
	return n;
}

static bool fake_flush(struct source *s)
{
	struct fake *f = (struct fake *)(void *)s;
	size_t n = f->held_back < f->room ? f->held_back : f->room;

	f->held_back -= n;
	f->flushed += n;
	return f->held_back > 0;
}

static bool never_ends(const struct source *s)
{
	(void)s;
	return false;
}

static void fake_free(struct source *s)
{
	(void)close(((struct fake *)(void *)s)->fd);
}

static const struct source_ops flushing = {
	.name = "flushing",
	.fd = fake_fd,
	.drain = fake_drain,
	.flush = fake_flush,
	.free = fake_free,
};
static const struct source_ops plain = {
	.name = "plain",
	.fd = fake_fd,
	.drain = fake_drain,
	.free = fake_free,
};
static const struct source_ops replaying = {
	.name = "replaying",
	.fd = fake_fd,
	.drain = fake_drain,
	.ended = never_ends,
	.free = fake_free,
};

struct world {
	struct flow_dict *dict;
	struct name_table *names;
	struct flow_log *log;
};

static int setup(void **state)
{
	static struct world w;
	struct err e;

	assert_int_equal(flow_dict_new(1000, &w.dict, &e), ERR_OK);
	assert_int_equal(
		name_table_new(&(struct name_config){ .node = "n1" }, w.dict, &w.names, &e),
		ERR_OK);
	assert_int_equal(flow_log_new(&(struct flow_log_config){ .capacity = 1023, .first_seq = 1 },
				      &w.log, &e),
			 ERR_OK);
	*state = &w;
	return 0;
}

static int teardown(void **state)
{
	struct world *w = *state;

	flow_log_free(w->log);
	name_table_free(w->names);
	flow_dict_free(w->dict);
	return 0;
}

/* Records that the log has more after a capture of @f was started and stopped. */
static uint64_t taken(struct world *w, struct fake *f)
{
	struct source *sources[] = { &f->base };
	const struct capture_config config = { .sources = sources,
					       .source_count = 1,
					       .log = w->log,
					       .dict = w->dict,
					       .names = w->names,
					       .ended_fd = -1 };
	uint64_t before = flow_log_counts(w->log).records;
	struct capture *c;
	struct err e;

	f->fd = eventfd(0, EFD_CLOEXEC);
	assert_true(f->fd >= 0);
	assert_int_equal(capture_new(&config, &c, &e), ERR_OK);
	capture_free(c);
	return flow_log_counts(w->log).records - before;
}

static void a_stop_takes_what_a_source_held_back(void **state)
{
	struct fake f = { .base.ops = &flushing, .held_back = 10, .room = 100 };

	assert_int_equal(taken(*state, &f), 10);
}

static void what_does_not_fit_at_once_is_flushed_in_turns(void **state)
{
	struct fake f = { .base.ops = &flushing, .held_back = 10, .room = 3 };

	assert_int_equal(taken(*state, &f), 10);
}

static void a_source_that_holds_nothing_back_is_drained_once_more(void **state)
{
	struct fake f = { .base.ops = &plain, .flushed = 5000 };

	assert_int_equal(taken(*state, &f), 5000);
}

static void a_flood_does_not_hold_up_the_stop(void **state)
{
	struct fake f = { .base.ops = &flushing, .endless = true };

	assert_in_range(taken(*state, &f), 1, 100000);
}

static void a_replay_is_stopped_where_it_is(void **state)
{
	struct fake f = { .base.ops = &replaying, .flushed = 10 };

	assert_int_equal(taken(*state, &f), 0);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(a_stop_takes_what_a_source_held_back),
	cmocka_unit_test(what_does_not_fit_at_once_is_flushed_in_turns),
	cmocka_unit_test(a_source_that_holds_nothing_back_is_drained_once_more),
	cmocka_unit_test(a_flood_does_not_hold_up_the_stop),
	cmocka_unit_test(a_replay_is_stopped_where_it_is),
};

int main(void)
{
	return cmocka_run_group_tests(tests, setup, teardown);
}
