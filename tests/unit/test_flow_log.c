/* observer/log: the ring against a plain list, and against readers on other threads. */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>

#include <cmocka.h>

#include "observer/log/log.h"

static struct flow_log *log_of(size_t capacity, size_t ext_bytes, uint64_t first_seq)
{
	struct flow_log *log = NULL;
	struct err e;

	if (flow_log_new(&(struct flow_log_config){ capacity, ext_bytes, first_seq }, &log, &e) !=
	    ERR_OK)
		fail_msg("%s", e.msg);
	return log;
}

static struct flow_batch *batch_of(const struct flow_log *log, size_t max)
{
	struct flow_batch *b = NULL;

	assert_int_equal(flow_batch_new(log, max, &b, NULL), ERR_OK);
	return b;
}

/* 0, 1, … 255, 0, …: the ext of a record is a piece of it. Written by main, before there are threads. */
static uint8_t ramp[256 + 4096];

/* Every byte of the record and of its ext follows from @id, so that a reader can tell a copy that
 * was put together from two. */
static void fill(struct flow *f, uint64_t id, uint32_t ext_len)
{
	memset(f, (int)(id * 31 + 7) & 0xff, sizeof *f);
	f->kind = FLOW_KIND_FLOW;
	f->bits = 0;
	f->packets = id;
	f->ext = ramp + (uint8_t)(id * 131);
	f->ext_len = ext_len;
}

static bool is_whole(const struct flow *f, uint64_t id, uint32_t ext_len)
{
	struct flow want;

	fill(&want, id, ext_len);
	want.seq = f->seq;
	const uint8_t *want_ext = want.ext;
	want.ext = f->ext;
	return memcmp(&want, f, sizeof want) == 0 &&
	       (!ext_len || memcmp(want_ext, f->ext, ext_len) == 0);
}

static uint64_t put(struct flow_log *log, uint64_t id, uint32_t ext_len)
{
	struct flow f;

	fill(&f, id, ext_len);
	return flow_log_put(log, &f);
}

static void a_capacity_that_is_no_power_of_two_less_one_is_refused_with_its_neighbours(void **state)
{
	(void)state;
	struct flow_log *log = NULL;
	struct err e;
	static const size_t bad[] = { 0, 2, 4, 100, (size_t)1 << 26, SIZE_MAX };

	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_int_equal(flow_log_new(&(struct flow_log_config){ bad[i], 0, 1 }, &log, &e),
				 ERR_INVALID);
	assert_int_equal(flow_log_new(&(struct flow_log_config){ 100, 0, 1 }, &log, &e),
			 ERR_INVALID);
	assert_non_null(strstr(e.msg, "63"));
	assert_non_null(strstr(e.msg, "127"));
	assert_int_equal(flow_log_new(&(struct flow_log_config){ 7, 0, 0 }, &log, NULL),
			 ERR_INVALID);
	assert_null(log);
	flow_log_free(NULL);
	flow_batch_free(NULL);
}

static void an_empty_log_has_nothing_to_read(void **state)
{
	(void)state;
	AUTO(flow_log_free) struct flow_log *log = log_of(7, 0, 100);
	AUTO(flow_batch_free) struct flow_batch *b = batch_of(log, 4);
	uint64_t cursor = 0, lost = 9;

	assert_int_equal(flow_log_read(log, &cursor, UINT64_MAX, b, &lost), 0);
	assert_int_equal(lost, 0);
	assert_int_equal(cursor, 100);
	struct flow_log_range r = flow_log_range(log);
	assert_int_equal(r.oldest, 100);
	assert_int_equal(r.next, 100);
	struct flow_log_counts c = flow_log_counts(log);
	assert_int_equal(c.held, 0);
	assert_int_equal(c.oldest_time.v, 0);
	assert_int_equal(c.newest_time.v, 0);
}

static void the_newest_record_is_there_at_once(void **state)
{
	(void)state;
	AUTO(flow_log_free) struct flow_log *log = log_of(1, 0, 5);
	AUTO(flow_batch_free) struct flow_batch *b = batch_of(log, 4);
	uint64_t cursor = 5, lost;

	for (uint64_t id = 5; id < 12; id++) {
		assert_int_equal(put(log, id, 3), id);
		assert_int_equal(flow_log_read(log, &cursor, UINT64_MAX, b, &lost), 1);
		assert_int_equal(lost, 0);
		assert_int_equal(b->flows[0].seq, id);
		assert_true(is_whole(&b->flows[0], id, 3));
	}
}

static void a_full_log_forgets_the_oldest(void **state)
{
	(void)state;
	AUTO(flow_log_free) struct flow_log *log = log_of(3, 0, 1);
	AUTO(flow_batch_free) struct flow_batch *b = batch_of(log, 8);
	uint64_t cursor = 1, lost;

	for (uint64_t id = 1; id <= 3; id++)
		(void)put(log, id, 0);
	assert_int_equal(flow_log_read(log, &cursor, UINT64_MAX, b, &lost), 3);
	assert_int_equal(lost, 0);
	(void)put(log, 4, 0);
	cursor = 1;
	assert_int_equal(flow_log_read(log, &cursor, UINT64_MAX, b, &lost), 3);
	assert_int_equal(lost, 1);
	assert_int_equal(b->flows[0].seq, 2);
	assert_int_equal(cursor, 5);
}

static void end_bounds_what_is_read_and_what_counts_as_lost(void **state)
{
	(void)state;
	AUTO(flow_log_free) struct flow_log *log = log_of(3, 0, 1);
	AUTO(flow_batch_free) struct flow_batch *b = batch_of(log, 8);
	uint64_t cursor = 1, lost;

	for (uint64_t id = 1; id <= 10; id++)
		(void)put(log, id, 0);
	assert_int_equal(flow_log_read(log, &cursor, 5, b, &lost), 0);
	assert_int_equal(lost, 4); /* 1, 2, 3, 4 */
	assert_int_equal(cursor, 5);
	assert_int_equal(flow_log_read(log, &cursor, 9, b, &lost), 1);
	assert_int_equal(lost, 3); /* 5, 6, 7 */
	assert_int_equal(b->flows[0].seq, 8);
	assert_int_equal(flow_log_read(log, &cursor, 9, b, &lost), 0);
	assert_int_equal(lost, 0);
}

static void a_cursor_of_an_earlier_run_starts_at_the_first_record(void **state)
{
	(void)state;
	AUTO(flow_log_free) struct flow_log *log = log_of(3, 0, 1000);
	AUTO(flow_batch_free) struct flow_batch *b = batch_of(log, 8);
	uint64_t cursor = 17, lost;

	(void)put(log, 1, 0);
	assert_int_equal(flow_log_read(log, &cursor, UINT64_MAX, b, &lost), 1);
	assert_int_equal(lost, 0);
	cursor = 5000; /* from a later one: nothing yet */
	assert_int_equal(flow_log_read(log, &cursor, UINT64_MAX, b, &lost), 0);
	assert_int_equal(cursor, 5000);
}

static void an_ext_larger_than_a_quarter_of_the_ring_is_cut_and_counted(void **state)
{
	(void)state;
	AUTO(flow_log_free) struct flow_log *log = log_of(7, 1024, 1);
	AUTO(flow_batch_free) struct flow_batch *b = batch_of(log, 8);
	uint64_t cursor = 1, lost;

	(void)put(log, 1, 256);
	(void)put(log, 2, 257);
	assert_int_equal(flow_log_counts(log).cut, 1);
	assert_int_equal(flow_log_read(log, &cursor, UINT64_MAX, b, &lost), 2);
	assert_true(is_whole(&b->flows[0], 1, 256));
	assert_int_equal(b->flows[1].packets, 2);
	assert_int_equal(b->flows[1].ext_len, 0);
	assert_null(b->flows[1].ext);

	/* and does not claim what only its ext could tell */
	static const uint8_t ext[257];
	const struct flow l7 = { .bits = FLOW_HAS_L7 | FLOW_HAS_DETAIL,
				 .packets = 3,
				 .ext = ext,
				 .ext_len = sizeof ext };
	flow_log_put(log, &l7);
	assert_int_equal(flow_log_read(log, &cursor, UINT64_MAX, b, &lost), 1);
	assert_int_equal(b->flows[0].bits, FLOW_HAS_DETAIL);
	assert_int_equal(b->flows[0].packets, 3);
}

static void a_full_byte_ring_gives_up_the_oldest_records(void **state)
{
	(void)state;
	AUTO(flow_log_free) struct flow_log *log = log_of(1023, 1024, 1);
	AUTO(flow_batch_free) struct flow_batch *b = batch_of(log, 16);
	uint64_t cursor = 1, lost;

	for (uint64_t id = 1; id <= 9;
	     id++) /* four of 256 bytes fit; a record without text costs nothing */
		(void)put(log, id, id % 2 ? 256 : 0);
	assert_int_equal(flow_log_range(log).oldest, 2);
	assert_int_equal(flow_log_read(log, &cursor, UINT64_MAX, b, &lost), 8);
	assert_int_equal(lost, 1);
	for (size_t i = 0; i < b->count; i++)
		assert_true(is_whole(&b->flows[i], i + 2, (i + 2) % 2 ? 256 : 0));
}

static void a_batch_without_room_for_the_text_ends_before_it(void **state)
{
	(void)state;
	AUTO(flow_log_free) struct flow_log *log = log_of(15, 4096, 1);
	AUTO(flow_batch_free) struct flow_batch *b = batch_of(log, 4);
	uint64_t cursor = 1, lost;

	for (uint64_t id = 1; id <= 4; id++)
		(void)put(log, id, 1000);
	assert_int_equal(b->ext_max, 1024);
	for (uint64_t id = 1; id <= 4; id++) {
		assert_int_equal(flow_log_read(log, &cursor, UINT64_MAX, b, &lost), 1);
		assert_true(is_whole(&b->flows[0], id, 1000));
	}
}

static void counts_say_what_was_seen_and_when(void **state)
{
	(void)state;
	AUTO(flow_log_free) struct flow_log *log = log_of(3, 0, 1);

	for (uint64_t i = 1; i <= 6; i++) {
		struct flow f = { .kind = i == 6 ? FLOW_KIND_LOST : FLOW_KIND_FLOW,
				  .bits = i == 5 || i == 2 ? FLOW_HAS_TIME : 0,
				  .time = { i * 10 } };
		(void)flow_log_put(log, &f);
	}
	struct flow_log_counts c = flow_log_counts(log);
	assert_int_equal(c.capacity, 3);
	assert_int_equal(c.held, 3);
	assert_int_equal(c.records, 6);
	assert_int_equal(c.seen_flows, 5);
	assert_int_equal(c.oldest_time.v, 50); /* 2 is gone, 4 and 6 have none */
	assert_int_equal(c.newest_time.v, 50);
}

/* --- model: a list of everything put, and the rules of the header ------------------------- */

static uint64_t next_random(uint64_t *s) /* xorshift64 (Marsaglia 2003) */
{
	*s ^= *s << 13;
	*s ^= *s >> 7;
	*s ^= *s << 17;
	return *s;
}

enum { MODEL_STEPS = 4000 };

struct model {
	uint32_t ext_len[MODEL_STEPS + 1];
	uint64_t ext_end[MODEL_STEPS + 1]; /* bytes that were put after the record's own, itself
					      included, start from 0 */
	uint64_t count, ext_total;
};

/* Oldest index the log must still hold: by number, and by the text put since. */
static uint64_t model_oldest(const struct model *m, size_t capacity, size_t ext_bytes)
{
	uint64_t oldest = m->count > capacity ? m->count - capacity : 0;

	while (oldest < m->count) {
		uint64_t start = m->ext_end[oldest] - (m->ext_len[oldest] + 7) / 8 * 8;
		if (m->ext_total - start <= ext_bytes)
			break;
		oldest++;
	}
	return oldest;
}

static void model_run(size_t capacity, size_t ext_bytes, uint64_t seed)
{
	static struct model m;
	const uint64_t first = 1 + seed % 1000;
	AUTO(flow_log_free) struct flow_log *log = log_of(capacity, ext_bytes, first);
	AUTO(flow_batch_free) struct flow_batch *b = batch_of(log, 1 + seed % 17);
	uint64_t s = seed, cursors[3] = { first, first, first };

	m = (struct model){ 0 };
	while (m.count < MODEL_STEPS) {
		uint64_t r = next_random(&s);
		if (r % 4) {
			uint32_t len =
				r % 3 ? 0 : (uint32_t)(next_random(&s) % (ext_bytes / 4 + 1));
			assert_int_equal(put(log, m.count, len), first + m.count);
			m.ext_len[m.count] = len;
			m.ext_total += (len + 7) / 8 * 8;
			m.ext_end[m.count++] = m.ext_total;
			continue;
		}
		uint64_t *cursor = &cursors[r / 4 % 3], before = *cursor, lost;
		uint64_t oldest = first + model_oldest(&m, capacity, ext_bytes);
		assert_int_equal(flow_log_range(log).oldest, oldest);
		assert_int_equal(flow_log_range(log).next, first + m.count);
		size_t n = flow_log_read(log, cursor, UINT64_MAX, b, &lost);
		assert_int_equal(lost, before < oldest ? oldest - before : 0);
		assert_int_equal(*cursor, before + lost + n);
		if (*cursor < first + m.count)
			assert_true(n > 0);
		for (size_t i = 0; i < n; i++) {
			uint64_t id = before + lost + i - first;
			assert_int_equal(b->flows[i].seq, first + id);
			assert_true(is_whole(&b->flows[i], id, m.ext_len[id]));
		}
	}
}

static void it_behaves_as_a_list_that_forgets(void **state)
{
	(void)state;
	static const size_t capacities[] = { 1, 3, 63, 1023 }, rings[] = { 256, 1024, 8192 };

	for (size_t c = 0; c < ARRAY_LEN(capacities); c++)
		for (size_t r = 0; r < ARRAY_LEN(rings); r++)
			for (uint64_t seed = 1; seed <= 3; seed++) {
				uint64_t s = seed * 7919 + capacities[c] * 31 + rings[r];
				print_message("capacity %zu, %zu bytes, seed %llu\n", capacities[c],
					      rings[r], (unsigned long long)s);
				model_run(capacities[c], rings[r], s);
			}
}

/* --- threads ------------------------------------------------------------------------------ */

/* The thread sanitizer knows which accesses are ordered; it need not meet the moment at which one
 * goes wrong, and it is slow at what the log does: to copy a word at a time. */
#ifdef __SANITIZE_THREAD__
enum { READERS = 4, RECORDS = 20000 };
#else
enum { READERS = 4, RECORDS = 200000 };
#endif

struct race {
	struct flow_log *log;
	uint32_t ext_limit;
	_Atomic bool finished; /* the writer put its last record */
};
struct reader {
	struct race *race;
	struct flow_batch *batch;
	unsigned pause; /* turns of an empty loop between reads: a slow reader */
	uint64_t read, lost, torn, disordered;
};

/* Long texts in a small ring: they are overwritten while readers copy them. */
static uint32_t ext_len_of(const struct race *race, uint64_t id)
{
	return id % 7 ? race->ext_limit - (uint32_t)(id % 5) : 0;
}

static void *write_all(void *arg)
{
	struct race *race = arg;

	for (uint64_t id = 1; id <= RECORDS; id++)
		(void)put(race->log, id, ext_len_of(race, id));
	atomic_store_explicit(&race->finished, true, memory_order_release);
	return NULL;
}

static void *read_all(void *arg)
{
	struct reader *rd = arg;
	uint64_t cursor = 1;

	for (;;) {
		bool last = atomic_load_explicit(&rd->race->finished, memory_order_acquire);
		uint64_t before = cursor, lost;
		size_t n = flow_log_read(rd->race->log, &cursor, UINT64_MAX, rd->batch, &lost);
		rd->read += n;
		rd->lost += lost;
		for (size_t i = 0; i < n; i++) {
			const struct flow *f = &rd->batch->flows[i];
			rd->disordered += f->seq != before + lost + i;
			rd->torn += !is_whole(f, f->seq, ext_len_of(rd->race, f->seq));
		}
		if (last && !n && !lost)
			return NULL;
		for (volatile unsigned i = 0; i < rd->pause; i++)
			;
	}
}

static void race_once(size_t capacity, size_t ext_bytes)
{
	struct race race = { .log = log_of(capacity, ext_bytes, 1),
			     .ext_limit = (uint32_t)ext_bytes / 4 };
	struct reader readers[READERS];
	pthread_t writer, threads[READERS];

	for (unsigned i = 0; i < READERS; i++) {
		readers[i] = (struct reader){ .race = &race, .pause = i * i * 300 };
		readers[i].batch = batch_of(race.log, i ? 64 : 1);
		assert_int_equal(pthread_create(&threads[i], NULL, read_all, &readers[i]), 0);
	}
	assert_int_equal(pthread_create(&writer, NULL, write_all, &race), 0);
	assert_int_equal(pthread_join(writer, NULL), 0);
	for (unsigned i = 0; i < READERS; i++) {
		assert_int_equal(pthread_join(threads[i], NULL), 0);
		print_message("reader %u: %llu read, %llu lost\n", i,
			      (unsigned long long)readers[i].read,
			      (unsigned long long)readers[i].lost);
		assert_int_equal(readers[i].torn, 0);
		assert_int_equal(readers[i].disordered, 0);
		assert_int_equal(readers[i].read + readers[i].lost, RECORDS);
		flow_batch_free(readers[i].batch);
	}
	flow_log_free(race.log);
}

static void every_record_is_read_whole_or_counted_lost_by_every_reader(void **state)
{
	(void)state;
	race_once(1, 1024);
	race_once(63, 256);
	race_once(63, 8192);
	race_once(1023, 8192);
}

/* --- bells -------------------------------------------------------------------------------- */

static struct flow_log_bell *bell_of(struct flow_log *log)
{
	struct flow_log_bell *bell = NULL;

	assert_int_equal(flow_log_bell_new(log, &bell, NULL), ERR_OK);
	return bell;
}

static bool rings(const struct flow_log_bell *bell)
{
	struct pollfd fd = { .fd = flow_log_bell_fd(bell), .events = POLLIN };

	return poll(&fd, 1, 0) == 1;
}

static void put_some(struct flow_log *log, size_t n, uint32_t ext_len)
{
	for (size_t i = 0; i < n; i++)
		(void)put(log, i, ext_len);
}

static void a_bell_rings_once_when_a_quarter_of_the_records_is_new(void **state)
{
	(void)state;
	AUTO(flow_log_free) struct flow_log *log = log_of(1023, 0, 1);
	struct flow_log_bell *bell = bell_of(log);

	put_some(log, 5000, 0);
	assert_false(rings(bell)); /* it was not set */
	flow_log_bell_set(bell);
	put_some(log, 250, 0);
	assert_false(rings(bell));
	put_some(log, 10, 0);
	assert_true(rings(bell));
	flow_log_bell_hear(bell);
	put_some(log, 5000, 0);
	assert_false(rings(bell));
	flow_log_bell_hear(bell); /* does not wait for it */
}

static void a_bell_rings_when_a_quarter_of_the_text_is_new(void **state)
{
	(void)state;
	AUTO(flow_log_free) struct flow_log *log = log_of(1023, 8192, 1);
	struct flow_log_bell *bell = bell_of(log);

	flow_log_bell_set(bell);
	put_some(log, 2, 1000);
	assert_false(rings(bell));
	put_some(log, 1, 48);
	assert_true(rings(bell));
}

static void a_bell_that_is_set_anew_forgets_when_it_was_to_ring(void **state)
{
	(void)state;
	AUTO(flow_log_free) struct flow_log *log = log_of(1023, 0, 1);
	struct flow_log_bell *bell = bell_of(log);

	for (int i = 0; i < 20; i++) {
		flow_log_bell_set(bell);
		put_some(log, 200, 0);
		assert_false(rings(bell));
	}
	put_some(log, 60, 0);
	assert_true(rings(bell));
}

static void each_bell_rings_in_its_own_time(void **state)
{
	(void)state;
	AUTO(flow_log_free) struct flow_log *log = log_of(1023, 0, 1);
	/* a bell rings 255 after it was set; all are set within that time */
	enum { APART = 240 / FLOW_LOG_BELLS, RINGS = 255, LATE = APART * 2 / 3 };
	struct flow_log_bell *bells[FLOW_LOG_BELLS], *more = NULL;

	for (size_t i = 0; i < ARRAY_LEN(bells); i++)
		bells[i] = bell_of(log);
	assert_int_equal(flow_log_bell_new(log, &more, NULL), ERR_NOMEM);
	assert_null(more);
	for (size_t i = 0; i < ARRAY_LEN(bells); i++) {
		flow_log_bell_set(bells[i]);
		put_some(log, APART, 0);
	}
	_Static_assert(ARRAY_LEN(bells) * APART + LATE >= RINGS, "too early");
	for (size_t i = 0; i < ARRAY_LEN(bells); i++) {
		put_some(log, LATE, 0);
		for (size_t j = 0; j < ARRAY_LEN(bells); j++)
			assert_int_equal(rings(bells[j]), j <= i);
		put_some(log, APART - LATE, 0);
	}
}

static void a_bell_of_the_smallest_log_rings_for_each_record(void **state)
{
	(void)state;
	AUTO(flow_log_free) struct flow_log *log = log_of(1, 0, 1);
	struct flow_log_bell *bell = bell_of(log);

	for (int i = 0; i < 3; i++) {
		flow_log_bell_set(bell);
		assert_false(rings(bell));
		put_some(log, 1, 0);
		assert_true(rings(bell));
		flow_log_bell_hear(bell);
	}
}

/* Sleeps without end until it is woken. The writer waits when it is half a log ahead: a bell that
 * did not ring would stop both. */
struct sleeper {
	struct flow_log *log;
	struct flow_log_bell *bell;
	_Atomic uint64_t read;
	uint64_t lost;
};

static void *sleep_and_read(void *arg)
{
	struct sleeper *sl = arg;
	AUTO(flow_batch_free) struct flow_batch *b = batch_of(sl->log, 64);
	uint64_t cursor = 1;

	for (;;) {
		uint64_t lost;
		flow_log_bell_set(sl->bell);
		while (flow_log_read(sl->log, &cursor, UINT64_MAX, b, &lost) || lost)
			sl->lost += lost;
		atomic_store_explicit(&sl->read, cursor - 1, memory_order_release);
		if (cursor > RECORDS)
			return NULL;
		struct pollfd fd = { .fd = flow_log_bell_fd(sl->bell), .events = POLLIN };
		(void)poll(&fd, 1, -1);
		flow_log_bell_hear(sl->bell);
	}
}

static void sleepers_with_a_bell_are_never_overtaken(void **state)
{
	(void)state;
	enum { CAPACITY = 255, SLEEPERS = 2 };
	AUTO(flow_log_free) struct flow_log *log = log_of(CAPACITY, 8192, 1);
	struct sleeper sleepers[SLEEPERS];
	pthread_t threads[SLEEPERS];

	for (size_t i = 0; i < SLEEPERS; i++) {
		sleepers[i] = (struct sleeper){ .log = log, .bell = bell_of(log) };
		assert_int_equal(pthread_create(&threads[i], NULL, sleep_and_read, &sleepers[i]),
				 0);
	}
	/* half of a log more, so that the last of them are rung for, too */
	for (uint64_t id = 1; id <= RECORDS + CAPACITY / 2; id++) {
		for (size_t i = 0; i < SLEEPERS; i++)
			while (id <= RECORDS &&
			       atomic_load_explicit(&sleepers[i].read, memory_order_acquire) +
					       CAPACITY / 2 <
				       id)
				(void)sched_yield();
		(void)put(log, id, id % 3 ? 0 : 24);
	}
	for (size_t i = 0; i < SLEEPERS; i++) {
		assert_int_equal(pthread_join(threads[i], NULL), 0);
		assert_int_equal(sleepers[i].lost, 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
			a_capacity_that_is_no_power_of_two_less_one_is_refused_with_its_neighbours),
		cmocka_unit_test(an_empty_log_has_nothing_to_read),
		cmocka_unit_test(the_newest_record_is_there_at_once),
		cmocka_unit_test(a_full_log_forgets_the_oldest),
		cmocka_unit_test(end_bounds_what_is_read_and_what_counts_as_lost),
		cmocka_unit_test(a_cursor_of_an_earlier_run_starts_at_the_first_record),
		cmocka_unit_test(an_ext_larger_than_a_quarter_of_the_ring_is_cut_and_counted),
		cmocka_unit_test(a_full_byte_ring_gives_up_the_oldest_records),
		cmocka_unit_test(a_batch_without_room_for_the_text_ends_before_it),
		cmocka_unit_test(counts_say_what_was_seen_and_when),
		cmocka_unit_test(it_behaves_as_a_list_that_forgets),
		cmocka_unit_test(every_record_is_read_whole_or_counted_lost_by_every_reader),
		cmocka_unit_test(a_bell_rings_once_when_a_quarter_of_the_records_is_new),
		cmocka_unit_test(a_bell_rings_when_a_quarter_of_the_text_is_new),
		cmocka_unit_test(a_bell_that_is_set_anew_forgets_when_it_was_to_ring),
		cmocka_unit_test(each_bell_rings_in_its_own_time),
		cmocka_unit_test(a_bell_of_the_smallest_log_rings_for_each_record),
		cmocka_unit_test(sleepers_with_a_bell_are_never_overtaken),
	};
	for (size_t i = 0; i < sizeof ramp; i++)
		ramp[i] = (uint8_t)i;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
