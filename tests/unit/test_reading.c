/* observer/api/reading: every combination of selectors against a naive answer, with and without a
 * store behind the log. */
#include <dirent.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "flow/flow.pb-c.h"
#include "observer/api/reading.h"

enum { CAPACITY = 255, RECORDS_MAX = 1000, FIRST_SEQ = 1000 };

/* A log, perhaps with a store, and all that was ever put into it. */
struct scene {
	struct flow_dict *dict;
	struct flow_log *log;
	char dir[32];
	struct store *store; /* NULL: none */
	struct past *past;
	size_t kept; /* of @put, in the store */
	struct flow_batch *batch;
	struct flow put[RECORDS_MAX];
	size_t count;
};

/* What came out. */
struct collector {
	struct reading_sink sink;
	uint64_t seqs[RECORDS_MAX];
	size_t count, room; /* room: records taken before it says full */
	uint64_t lost;
	size_t losses;
	bool is_over; /* a follower saw a record later than `until` */
};

static bool collect(struct reading_sink *sink, const struct flow *f)
{
	struct collector *c = (struct collector *)sink;

	if (!c->room)
		return false;
	c->room--;
	c->seqs[c->count++] = f->seq;
	return true;
}

static bool collect_loss(struct reading_sink *sink, const struct reading_loss *loss)
{
	struct collector *c = (struct collector *)sink;

	if (!c->room)
		return false;
	c->lost += loss->records;
	c->losses++;
	return true;
}

static int make_scene(void **state)
{
	struct scene *s = calloc(1, sizeof *s);
	struct err e;

	*state = s;
	if (!s || flow_dict_new(100, &s->dict, &e) != ERR_OK ||
	    flow_log_new(&(struct flow_log_config){ CAPACITY, 0, FIRST_SEQ }, &s->log, &e) !=
		    ERR_OK ||
	    flow_batch_new(s->log, 64, &s->batch, &e) != ERR_OK)
		return -1;
	return 0;
}

/* Blocks are small, so that a history has many. */
static void give_store(struct scene *s)
{
	struct store_config config = {
		.dir = s->dir, .dict = s->dict, .node = "n", .version = "test", .seal_flows = 37
	};

	(void)strcpy(s->dir, "/tmp/tycho-reading-XXXXXX");
	assert_non_null(mkdtemp(s->dir));
	assert_int_equal(
		store_open(&config, (struct wall_ns){ NS_PER_S }, FIRST_SEQ, &s->store, NULL),
		ERR_OK);
	assert_int_equal(past_new(s->store, &s->past, NULL), ERR_OK);
}

/* The store takes what was put since; @seal: and seals it. */
static void keep(struct scene *s, bool seal)
{
	struct wall_ns now = { NS_PER_S }, later = { 3 * NS_PER_S };

	assert_int_equal(store_put(s->store, &s->put[s->kept], s->count - s->kept, now, NULL),
			 ERR_OK);
	s->kept = s->count;
	if (seal)
		assert_int_equal(store_tick(s->store, later, NULL), ERR_OK);
}

static void remove_dir(const char *path)
{
	DIR *dir = opendir(path);

	for (struct dirent *d = dir ? readdir(dir) : NULL; d; d = readdir(dir))
		(void)unlinkat(dirfd(dir), d->d_name, 0);
	if (dir)
		(void)closedir(dir);
	(void)rmdir(path);
}

static int free_scene(void **state)
{
	struct scene *s = *state;

	past_free(s->past);
	store_close(s->store, (struct wall_ns){ 4 * NS_PER_S });
	if (*s->dir)
		remove_dir(s->dir);
	flow_batch_free(s->batch);
	flow_log_free(s->log);
	flow_dict_free(s->dict);
	free(s);
	return 0;
}

static void put(struct scene *s, enum flow_kind kind, uint8_t verdict, uint64_t time_s)
{
	struct flow f = { .kind = (uint8_t)kind,
			  .verdict = verdict,
			  .bits = time_s ? FLOW_HAS_TIME : 0,
			  .time = { time_s * NS_PER_S } };

	assert_true(s->count < RECORDS_MAX);
	f.seq = flow_log_put(s->log, &f);
	s->put[s->count++] = f;
}

static uint64_t next_random(uint64_t *s)
{
	*s ^= *s << 13;
	*s ^= *s >> 7;
	*s ^= *s << 17;
	return *s;
}

/* Times rise, but sources are a little apart; a few records have none. */
static void put_random(struct scene *s, size_t n, uint64_t *seed)
{
	static const enum flow_kind kinds[] = { FLOW_KIND_FLOW, FLOW_KIND_FLOW, FLOW_KIND_FLOW,
						FLOW_KIND_FLOW, FLOW_KIND_LOST, FLOW_KIND_AGENT,
						FLOW_KIND_DEBUG };
	for (size_t i = 0; i < n; i++) {
		uint64_t r = next_random(seed);
		uint64_t time_s = r % 31 ? 1000 + s->count + r / 31 % 4 : 0;
		put(s, kinds[r / 200 % ARRAY_LEN(kinds)],
		    r / 2000 % 3 ? FLOW__VERDICT__FORWARDED : FLOW__VERDICT__DROPPED, time_s);
	}
}

struct question {
	struct reading_request request;
	Google__Protobuf__Timestamp since, until;
	enum flow_kind kind;
	bool dropped_only;
};

static int place(const struct question *q, const struct flow *f)
{
	if (!flow_is(f, FLOW_HAS_TIME))
		return 0;
	int64_t s = (int64_t)(f->time.v / NS_PER_S);
	if (q->request.since && s < q->since.seconds)
		return -1;
	return q->request.until && s > q->until.seconds ? 1 : 0;
}

static bool is_wanted(const struct question *q, const struct flow *f)
{
	return f->kind == q->kind && place(q, f) == 0 &&
	       (!q->dropped_only || f->verdict == FLOW__VERDICT__DROPPED);
}

/* The answer of somebody with all the time in the world. */
static void naive_answer(const struct scene *s, const struct question *q, struct collector *want)
{
	const struct reading_request *rq = &q->request;
	bool is_history = s->store && (rq->first || rq->since || rq->number);
	size_t log_start = s->count > CAPACITY ? s->count - CAPACITY : 0;
	size_t start = is_history ? 0 : log_start, end = s->count;
	uint64_t left = rq->number && !rq->follow ? rq->number : UINT64_MAX;

	if (!rq->first && !rq->since && rq->number) {
		uint64_t n = 0;
		size_t at = end;
		while (at > start && n < rq->number)
			n += is_wanted(q, &s->put[--at]);
		start = at;
	} else if (!rq->first && !rq->since && rq->follow) {
		start = end;
	}
	for (size_t i = start; i < end && left; i++) {
		const struct flow *f = &s->put[i];
		/* flows end a reading of rare events, too: those that it meets, in the log */
		bool tells_time =
			f->kind == q->kind || (f->kind == FLOW_KIND_FLOW && i >= log_start);
		want->is_over |= tells_time && place(q, f) > 0;
		bool loss =
			q->kind == FLOW_KIND_FLOW && f->kind == FLOW_KIND_LOST && place(q, f) == 0;
		if (!is_wanted(q, f) && !loss)
			continue;
		want->seqs[want->count++] = f->seq;
		if (!loss && left != UINT64_MAX)
			left--;
	}
}

static struct flow_filter *filter_of(const struct scene *s, const struct question *q)
{
	Flow__FlowFilter dropped, *list = &dropped;
	Flow__Verdict verdict = FLOW__VERDICT__DROPPED;
	struct flow_filter *ff = NULL;

	flow__flow_filter__init(&dropped);
	dropped.n_verdict = 1;
	dropped.verdict = &verdict;
	assert_int_equal(flow_filter_new(&list, q->dropped_only, NULL, 0, s->dict, &ff, NULL),
			 ERR_OK);
	return ff;
}

static void collector_init(struct collector *c, size_t room)
{
	*c = (struct collector){ .sink = { collect, collect_loss, NULL }, .room = room };
}

/* Pulls until the reading is idle or over; @room records at a time. */
static enum reading_state pull_all(const struct scene *s, struct reading *r, struct collector *c,
				   size_t room)
{
	for (;;) {
		c->room = room;
		enum reading_state state = reading_pull(r, s->batch, (struct mono_ns){ NS_PER_S },
							(struct wall_ns){ 1 }, &c->sink, NULL);
		if (state != READING_MORE)
			return state;
	}
}

static enum reading_state pull_at(const struct scene *s, struct reading *r, struct collector *c,
				  uint64_t ms)
{
	return reading_pull(r, s->batch, (struct mono_ns){ ms * NS_PER_MS }, (struct wall_ns){ ms },
			    &c->sink, NULL);
}

static void ask(const struct scene *s, struct question *q, size_t room)
{
	static struct collector want, got;
	AUTO(flow_filter_free) struct flow_filter *ff = filter_of(s, q);
	struct reading r;

	collector_init(&want, 0);
	collector_init(&got, 0);
	naive_answer(s, q, &want);
	assert_int_equal(reading_init(&r, &q->request, s->log, s->past, q->kind, ff, NULL), ERR_OK);
	enum reading_state state = pull_all(s, &r, &got, room);
	assert_int_equal(state, !q->request.follow || want.is_over ? READING_ENDED : READING_IDLE);
	if (got.count != want.count ||
	    memcmp(got.seqs, want.seqs, want.count * sizeof *want.seqs) != 0)
		fail_msg("%zu records, want %zu (number %llu first %d follow %d since %lld until "
			 "%lld dropped %d kind %d)",
			 got.count, want.count, (unsigned long long)q->request.number,
			 q->request.first, q->request.follow,
			 q->request.since ? (long long)q->since.seconds : -1,
			 q->request.until ? (long long)q->until.seconds : -1, q->dropped_only,
			 q->kind);
	assert_int_equal(got.lost, 0);
	reading_done(&r);
}

static void ask_everything(struct scene *s)
{
	static const uint64_t numbers[] = { 0, 1, 7, 64, 100000 };
	static const enum flow_kind kinds[] = { FLOW_KIND_FLOW, FLOW_KIND_AGENT, FLOW_KIND_DEBUG };
	static const size_t sizes[] = { 0, 1, 5, 190,
					500 }; /* put one after the other; the last two wrap */
	uint64_t seed = 77;

	print_message("seed %llu\n", (unsigned long long)seed);
	for (size_t size = 0; size < ARRAY_LEN(sizes); size++) {
		put_random(s, sizes[size], &seed);
		if (s->store)
			keep(s, true);
		for (unsigned bits = 0; bits < 32; bits++)
			for (size_t n = 0; n < ARRAY_LEN(numbers); n++)
				for (size_t k = 0; k < ARRAY_LEN(kinds); k++) {
					struct question q = { .kind = kinds[k],
							      .dropped_only =
								      (bits & 16) &&
								      kinds[k] == FLOW_KIND_FLOW };
					google__protobuf__timestamp__init(&q.since);
					google__protobuf__timestamp__init(&q.until);
					q.since.seconds = (int64_t)(1000 + s->count - s->count / 3);
					q.until.seconds = (int64_t)(1000 + s->count - s->count / 7);
					q.request = (struct reading_request){
						.number = numbers[n],
						.first = bits & 1,
						.follow = bits & 2,
						.since = bits & 4 ? &q.since : NULL,
						.until = bits & 8 ? &q.until : NULL
					};
					if (q.request.first && q.request.follow)
						continue;
					ask(s, &q, 1 + n * 13);
				}
	}
}

static void every_combination_of_selectors_answers_as_a_plain_search_does(void **state)
{
	ask_everything(*state);
}

static void with_a_store_it_answers_as_a_plain_search_of_all_that_ever_was(void **state)
{
	struct scene *s = *state;

	give_store(s);
	ask_everything(s);
}

static void expect_numbers(const struct collector *c, uint64_t first, size_t count)
{
	assert_int_equal(c->count, count);
	for (size_t i = 0; i < count; i++)
		assert_int_equal(c->seqs[i], first + i);
}

static void what_the_store_has_taken_and_not_sealed_is_waited_for(void **state)
{
	static struct collector got;
	struct scene *s = *state;
	struct reading r;

	give_store(s);
	for (size_t i = 0; i < 30; i++)
		put(s, FLOW_KIND_FLOW, FLOW__VERDICT__FORWARDED, 1000 + i);
	keep(s, false);
	for (size_t i = 30; i < 30 + CAPACITY; i++) /* overwrites these 30 in the log */
		put(s, FLOW_KIND_FLOW, FLOW__VERDICT__FORWARDED, 1000 + i);
	assert_int_equal(reading_init(&r, &(struct reading_request){ .number = 270 }, s->log,
				      s->past, FLOW_KIND_FLOW, NULL, NULL),
			 ERR_OK);
	collector_init(&got, 0);
	assert_int_equal(pull_all(s, &r, &got, 1000), READING_IDLE);
	assert_int_equal(got.count, 0);
	keep(s, true);
	assert_int_equal(pull_all(s, &r, &got, 1000), READING_ENDED);
	expect_numbers(&got, FIRST_SEQ + 15, 270);
	assert_int_equal(got.lost, 0);
	reading_done(&r);
}

static void a_follower_that_the_log_overtakes_finds_its_flows_in_the_store(void **state)
{
	static struct collector got;
	struct scene *s = *state;
	struct reading r;

	give_store(s);
	assert_int_equal(reading_init(&r, &(struct reading_request){ .follow = true }, s->log,
				      s->past, FLOW_KIND_FLOW, NULL, NULL),
			 ERR_OK);
	collector_init(&got, 0);
	assert_int_equal(pull_all(s, &r, &got, 1000), READING_IDLE);
	for (size_t i = 0; i < 700; i++) {
		put(s, FLOW_KIND_FLOW, FLOW__VERDICT__FORWARDED, 1000 + i);
		if (i % 100 == 99)
			keep(s, i != 699);
	}
	assert_int_equal(pull_all(s, &r, &got, 9), READING_IDLE);
	expect_numbers(&got, FIRST_SEQ, 700);
	assert_int_equal(got.lost, 0);
	reading_done(&r);
}

/* --- overtaken between two looks ---------------------------------------------------------- */

/* What the log's range is asked for, by the reading too, comes here (--wrap): once it was, or just
 * before, the log moves on. */
static struct {
	struct scene *scene; /* NULL: nothing happens */
	int looks;           /* that still come before */
	bool before;
} overtake;

struct flow_log_range __real_flow_log_range(const struct flow_log *log);
struct flow_log_range __wrap_flow_log_range(const struct flow_log *log);

static void move_on(struct scene *s)
{
	for (size_t i = 0; i < 2 * CAPACITY; i++)
		put(s, FLOW_KIND_FLOW, FLOW__VERDICT__FORWARDED, 1000 + s->count);
	keep(s, true);
}

struct flow_log_range __wrap_flow_log_range(const struct flow_log *log)
{
	struct scene *s = overtake.scene && overtake.looks-- == 0 ? TAKE(overtake.scene) : NULL;

	if (s && overtake.before)
		move_on(s);
	struct flow_log_range range = __real_flow_log_range(log);
	if (s && !overtake.before)
		move_on(s);
	return range;
}

static void a_follower_that_is_overtaken_while_it_looks_finds_its_flows_in_the_store(void **state)
{
	static struct collector got;
	struct scene *s = *state;
	struct reading r;

	give_store(s);
	assert_int_equal(reading_init(&r, &(struct reading_request){ .follow = true }, s->log,
				      s->past, FLOW_KIND_FLOW, NULL, NULL),
			 ERR_OK);
	for (size_t i = 0; i < 100; i++)
		put(s, FLOW_KIND_FLOW, FLOW__VERDICT__FORWARDED, 1000 + i);
	collector_init(&got, 0);
	overtake.scene = s;
	overtake.looks = 0;
	overtake.before = false; /* they are in the log when that is asked for */
	assert_int_equal(pull_all(s, &r, &got, 1000), READING_IDLE);
	assert_null(overtake.scene);
	expect_numbers(&got, FIRST_SEQ, 100 + 2 * CAPACITY);
	assert_int_equal(got.lost, 0);
	reading_done(&r);
}

static void the_last_flows_are_found_when_the_log_moves_on_while_they_are_counted(void **state)
{
	enum { OTHERS = 150, FLOWS = 64 /* one look back */ };
	static struct collector got;
	struct scene *s = *state;
	struct reading r;

	give_store(s);
	for (size_t i = 0; i < OTHERS + FLOWS; i++)
		put(s, i < OTHERS ? FLOW_KIND_AGENT : FLOW_KIND_FLOW, FLOW__VERDICT__FORWARDED,
		    1000 + i);
	keep(s, true);
	assert_int_equal(reading_init(&r, &(struct reading_request){ .number = 100 }, s->log,
				      s->past, FLOW_KIND_FLOW, NULL, NULL),
			 ERR_OK);
	collector_init(&got, 0);
	overtake.scene = s;
	overtake.looks = 1;
	overtake.before = true;
	assert_int_equal(pull_all(s, &r, &got, 1000), READING_ENDED);
	assert_null(overtake.scene);
	expect_numbers(&got, FIRST_SEQ + OTHERS, FLOWS);
	assert_int_equal(got.lost, 0);
	reading_done(&r);
}

static void what_neither_log_nor_store_has_is_lost_and_told(void **state)
{
	static struct collector got;
	struct scene *s = *state;
	struct reading r;

	give_store(s);
	assert_int_equal(reading_init(&r, &(struct reading_request){ .follow = true }, s->log,
				      s->past, FLOW_KIND_FLOW, NULL, NULL),
			 ERR_OK);
	for (size_t i = 0; i < 600; i++) {
		put(s, FLOW_KIND_FLOW, FLOW__VERDICT__FORWARDED, 1000 + i);
		if (i == 99)
			keep(s, false);
		if (i == 109)
			s->kept = 110; /* ten that the store never gets */
	}
	keep(s, true);
	collector_init(&got, 0);
	assert_int_equal(pull_all(s, &r, &got, 50), READING_IDLE);
	assert_int_equal(got.count, 590);
	assert_int_equal(got.lost, 10);
	reading_done(&r);
}

static void more_readings_than_scans_each_keep_their_place(void **state)
{
	enum { READINGS = PAST_SCANS + 2 };
	static struct collector got[READINGS];
	struct scene *s = *state;
	struct reading r[READINGS];

	give_store(s);
	for (size_t i = 0; i < 900; i++)
		put(s, FLOW_KIND_FLOW, FLOW__VERDICT__FORWARDED, 1000 + i);
	keep(s, true);
	for (size_t i = 0; i < READINGS; i++) {
		collector_init(&got[i], 0);
		/* every other one walks back first */
		assert_int_equal(
			reading_init(&r[i],
				     &(struct reading_request){ .number = 800, .first = i % 2 },
				     s->log, s->past, FLOW_KIND_FLOW, NULL, NULL),
			ERR_OK);
	}
	for (size_t over = 0; over < READINGS;) {
		over = 0;
		for (size_t i = 0; i < READINGS; i++) {
			got[i].room = 5 + i;
			over += pull_at(s, &r[i], &got[i], 0) == READING_ENDED;
		}
	}
	for (size_t i = 0; i < READINGS; i++) {
		expect_numbers(&got[i], FIRST_SEQ + (i % 2 ? 0 : 100), 800);
		reading_done(&r[i]);
	}
}

/* Each look is a few records, most of them of no interest: a place must not need its scan to know
 * how far it came. */
static void places_without_a_scan_of_their_own_miss_nothing(void **state)
{
	enum { PLACES = PAST_SCANS + 1, RECORDS = 900, BLOCK = 37 };
	struct scene *s = *state;
	size_t wanted = 0;

	give_store(s);
	for (size_t i = 0; i < RECORDS; i++) { /* the ends of every fifth block */
		bool is_wanted = i / BLOCK % 5 == 2 && (i % BLOCK == 0 || i % BLOCK == BLOCK - 1);
		put(s, is_wanted ? FLOW_KIND_AGENT : FLOW_KIND_FLOW, 0, 1000 + i);
		wanted += is_wanted;
	}
	keep(s, true);
	for (size_t work = 1; work < 80; work += 3) {
		struct past_place places[PLACES] = { 0 };
		size_t found[PLACES] = { 0 }, over = 0;
		bool more[PLACES];
		for (size_t i = 0; i < PLACES; i++) {
			places[i].config = (struct store_scan_config){
				.range = { { 0 }, { UINT64_MAX }, 0, UINT64_MAX },
				.kinds = 1U << FLOW_KIND_AGENT,
				.backward = i % 2
			};
			more[i] = true;
		}
		for (size_t i = 0; over < PLACES; i = (i + 1) % PLACES) {
			const struct flow *flows;
			size_t n;
			if (!more[i])
				continue;
			assert_int_equal(
				past_peek(s->past, &places[i], work, &flows, &n, &more[i], NULL),
				ERR_OK);
			past_took(&places[i], n);
			found[i] += n;
			over += !more[i];
		}
		for (size_t i = 0; i < PLACES; i++)
			assert_int_equal(found[i], wanted);
	}
}

/* Blocks that only a look at each record shows to have nothing of interest, each more than a look's work. */
static void places_without_a_scan_of_their_own_get_on(void **state)
{
	enum { PLACES = PAST_SCANS + 1, RECORDS = 370, BLOCKS_MAX = 20 };
	struct scene *s = *state;

	give_store(s);
	for (size_t i = 0; i < RECORDS; i++) /* to the left and to the right of what is asked for */
		put(s, FLOW_KIND_FLOW, FLOW__VERDICT__FORWARDED, i % 2 ? 1000 : 3000);
	keep(s, true);
	for (int backward = 0; backward < 2; backward++) {
		struct past_place places[PLACES] = { 0 };
		bool more[PLACES];
		for (size_t i = 0; i < PLACES; i++)
			places[i].config =
				(struct store_scan_config){ .range = { { 1500 * NS_PER_S },
								       { 2000 * NS_PER_S },
								       0,
								       UINT64_MAX },
							    .kinds = UINT32_MAX,
							    .backward = backward };
		for (size_t look = 0; look < BLOCKS_MAX; look++)
			for (size_t i = 0; i < PLACES; i++) {
				const struct flow *flows;
				size_t n;
				assert_int_equal(past_peek(s->past, &places[i], 1, &flows, &n,
							   &more[i], NULL),
						 ERR_OK);
				assert_int_equal(n, 0);
			}
		for (size_t i = 0; i < PLACES; i++) {
			assert_false(more[i]);
			past_leave(s->past, &places[i]);
		}
	}
}

static void contradictions_and_impossible_times_are_refused_in_the_references_words(void **state)
{
	struct scene *s = *state;
	struct reading r;
	struct err e;
	Google__Protobuf__Timestamp t;
	static const struct {
		int64_t seconds;
		int32_t nanos;
		const char *says;
	} bad[] = { { INT64_C(-62135596801), 0, "before 0001-01-01" },
		    { INT64_C(253402300800), 0, "after 9999-12-31" },
		    { 0, -1, "out-of-range nanos" },
		    { 0, 1000000000, "out-of-range nanos" } };

	google__protobuf__timestamp__init(&t);
	assert_int_equal(reading_init(&r,
				      &(struct reading_request){ .first = true, .follow = true },
				      s->log, s->past, FLOW_KIND_FLOW, NULL, &e),
			 ERR_INVALID);
	assert_string_equal(e.msg, "first cannot be specified with follow");
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		t.seconds = bad[i].seconds;
		t.nanos = bad[i].nanos;
		for (int which = 0; which < 2; which++) {
			struct reading_request request = { .since = which ? &t : NULL,
							   .until = which ? NULL : &t };
			assert_int_equal(reading_init(&r, &request, s->log, s->past, FLOW_KIND_FLOW,
						      NULL, &e),
					 ERR_PARSE);
			assert_non_null(strstr(e.msg, bad[i].says));
		}
	}
}

static void a_follower_sees_what_is_put_later(void **state)
{
	struct scene *s = *state;
	static struct collector got;
	struct reading r;

	put(s, FLOW_KIND_FLOW, 1, 1000);
	collector_init(&got, 0);
	assert_int_equal(reading_init(&r, &(struct reading_request){ .follow = true }, s->log,
				      s->past, FLOW_KIND_FLOW, NULL, NULL),
			 ERR_OK);
	assert_int_equal(pull_all(s, &r, &got, 10), READING_IDLE);
	assert_int_equal(got.count, 0);
	for (uint64_t i = 0; i < 600; i++) {
		put(s, FLOW_KIND_FLOW, 1, 1001);
		assert_int_equal(pull_all(s, &r, &got, 10), READING_IDLE);
		assert_int_equal(got.count, i + 1);
		assert_int_equal(got.seqs[i], FIRST_SEQ + 1 + i);
	}
	assert_int_equal(got.lost, 0);
}

static void losses_are_told_once_a_second_at_most_and_each_record_once(void **state)
{
	struct scene *s = *state;
	static struct collector got;
	struct reading r;

	collector_init(&got, 0);
	got.room = RECORDS_MAX;
	assert_int_equal(reading_init(&r, &(struct reading_request){ .follow = true }, s->log,
				      s->past, FLOW_KIND_FLOW, NULL, NULL),
			 ERR_OK);
	for (int i = 0; i < CAPACITY + 10; i++)
		put(s, FLOW_KIND_FLOW, 1, 1000);
	assert_int_equal(pull_at(s, &r, &got, 5000), READING_IDLE);
	assert_int_equal(got.lost, 10);
	assert_int_equal(got.losses, 1);
	assert_int_equal(got.count, CAPACITY);
	for (int i = 0; i < CAPACITY + 7; i++)
		put(s, FLOW_KIND_FLOW, 1, 1000);
	assert_int_equal(pull_at(s, &r, &got, 5999), READING_IDLE);
	assert_int_equal(got.losses, 1); /* not yet */
	assert_int_equal(got.count, 2 * CAPACITY);
	got.room = 0;
	assert_int_equal(pull_at(s, &r, &got, 6000), READING_MORE); /* due, but no room */
	got.room = 1;
	assert_int_equal(pull_at(s, &r, &got, 6001), READING_IDLE);
	assert_int_equal(got.losses, 2);
	assert_int_equal(got.lost, 17);
}

static void a_loss_that_is_not_due_is_told_before_the_end(void **state)
{
	struct scene *s = *state;
	static struct collector got;
	struct reading r;
	const struct reading_request all = { .first = true };

	for (int i = 0; i < CAPACITY; i++)
		put(s, FLOW_KIND_FLOW, 1, 1000);
	collector_init(&got, 0);
	assert_int_equal(reading_init(&r, &all, s->log, s->past, FLOW_KIND_FLOW, NULL, NULL),
			 ERR_OK);
	r.told = (struct mono_ns){ 1000 * NS_PER_MS };
	for (int i = 0; i < 100; i++)
		put(s, FLOW_KIND_FLOW, 1, 1000);
	got.room = CAPACITY - 100;
	assert_int_equal(pull_at(s, &r, &got, 1001),
			 READING_MORE); /* all delivered, no room for the loss */
	assert_int_equal(got.count, CAPACITY - 100);
	got.room = 1;
	assert_int_equal(pull_at(s, &r, &got, 1002), READING_ENDED);
	assert_int_equal(got.lost, 100); /* what was put after the request is not its business */
}

static void until_ends_a_follower_with_the_first_later_record_of_its_kind(void **state)
{
	struct scene *s = *state;
	static struct collector got;
	struct reading r;
	Google__Protobuf__Timestamp until;
	const struct reading_request request = { .until = &until, .follow = true, .number = 100 };

	google__protobuf__timestamp__init(&until);
	until.seconds = 2000;
	put(s, FLOW_KIND_AGENT, 0, 9000); /* the observer's own clock is not the replay's */
	put(s, FLOW_KIND_FLOW, 1, 1000);
	collector_init(&got, RECORDS_MAX);
	assert_int_equal(reading_init(&r, &request, s->log, s->past, FLOW_KIND_FLOW, NULL, NULL),
			 ERR_OK);
	assert_int_equal(pull_at(s, &r, &got, 1000), READING_IDLE);
	put(s, FLOW_KIND_AGENT, 0, 9000);
	put(s, FLOW_KIND_FLOW, 1, 2000);
	assert_int_equal(pull_at(s, &r, &got, 1000), READING_IDLE);
	assert_int_equal(got.count, 2);
	put(s, FLOW_KIND_FLOW, 1, 2001);
	assert_int_equal(pull_at(s, &r, &got, 1000), READING_ENDED);
	assert_int_equal(got.count, 2);
}

static void losing_what_is_older_than_since_is_no_loss(void **state)
{
	struct scene *s = *state;
	static struct collector got;
	struct reading r;
	Google__Protobuf__Timestamp since;
	const struct reading_request request = { .since = &since, .follow = true };

	google__protobuf__timestamp__init(&since);
	since.seconds = 2000;
	for (int i = 0; i < CAPACITY; i++)
		put(s, FLOW_KIND_FLOW, 1, i < 200 ? 1000 : 3000);
	collector_init(&got, RECORDS_MAX);
	assert_int_equal(reading_init(&r, &request, s->log, s->past, FLOW_KIND_FLOW, NULL, NULL),
			 ERR_OK);
	for (int i = 0; i < 199; i++)
		put(s, FLOW_KIND_FLOW, 1, 3000);
	assert_int_equal(pull_at(s, &r, &got, 1000), READING_IDLE);
	assert_int_equal(got.lost, 0);
	assert_int_equal(got.count, CAPACITY - 1); /* one old flow is still there */
	for (int i = 0; i < CAPACITY + 3; i++)
		put(s, FLOW_KIND_FLOW, 1, 3000);
	assert_int_equal(pull_at(s, &r, &got, 3000), READING_IDLE);
	assert_int_equal(got.lost, 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			every_combination_of_selectors_answers_as_a_plain_search_does, make_scene,
			free_scene),
		cmocka_unit_test_setup_teardown(
			with_a_store_it_answers_as_a_plain_search_of_all_that_ever_was, make_scene,
			free_scene),
		cmocka_unit_test_setup_teardown(
			what_the_store_has_taken_and_not_sealed_is_waited_for, make_scene,
			free_scene),
		cmocka_unit_test_setup_teardown(
			a_follower_that_the_log_overtakes_finds_its_flows_in_the_store, make_scene,
			free_scene),
		cmocka_unit_test_setup_teardown(
			a_follower_that_is_overtaken_while_it_looks_finds_its_flows_in_the_store,
			make_scene, free_scene),
		cmocka_unit_test_setup_teardown(
			the_last_flows_are_found_when_the_log_moves_on_while_they_are_counted,
			make_scene, free_scene),
		cmocka_unit_test_setup_teardown(what_neither_log_nor_store_has_is_lost_and_told,
						make_scene, free_scene),
		cmocka_unit_test_setup_teardown(more_readings_than_scans_each_keep_their_place,
						make_scene, free_scene),
		cmocka_unit_test_setup_teardown(places_without_a_scan_of_their_own_miss_nothing,
						make_scene, free_scene),
		cmocka_unit_test_setup_teardown(places_without_a_scan_of_their_own_get_on,
						make_scene, free_scene),
		cmocka_unit_test_setup_teardown(
			contradictions_and_impossible_times_are_refused_in_the_references_words,
			make_scene, free_scene),
		cmocka_unit_test_setup_teardown(a_follower_sees_what_is_put_later, make_scene,
						free_scene),
		cmocka_unit_test_setup_teardown(
			losses_are_told_once_a_second_at_most_and_each_record_once, make_scene,
			free_scene),
		cmocka_unit_test_setup_teardown(
			until_ends_a_follower_with_the_first_later_record_of_its_kind, make_scene,
			free_scene),
		cmocka_unit_test_setup_teardown(losing_what_is_older_than_since_is_no_loss,
						make_scene, free_scene),
		cmocka_unit_test_setup_teardown(a_loss_that_is_not_due_is_told_before_the_end,
						make_scene, free_scene),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
