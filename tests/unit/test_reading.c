/* observer/api/reading: every combination of selectors against a naive answer, with and without a
 * store behind the log. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "flow/flow.pb-c.h"
#include "reading_scene.h"

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
	bool is_all_before = rq->until && !rq->follow; /* without a number */
	bool is_history = s->store && (rq->first || rq->since || rq->number || is_all_before);
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
	} bad[] = { { INT64_C(-62135596801), 0, "(seconds:-62135596801) before 0001-01-01" },
		    { INT64_C(253402300800), 5, "(seconds:253402300800 nanos:5) after 9999-12-31" },
		    { 0, -1, "(nanos:-1) has out-of-range nanos" },
		    { 0, 1000000000, "(nanos:1000000000) has out-of-range nanos" } };

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
			assert_memory_equal(e.msg, "proto: timestamp ", 17);
			assert_string_equal(e.msg + 17, bad[i].says);
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

static void a_loss_is_told_with_the_stretch_that_it_is_missing_from(void **state)
{
	struct scene *s = *state;
	static struct collector got;
	struct reading r;

	collector_init(&got, RECORDS_MAX);
	assert_int_equal(reading_init(&r, &(struct reading_request){ .follow = true }, s->log,
				      s->past, FLOW_KIND_FLOW, NULL, NULL),
			 ERR_OK);
	assert_int_equal(pull_at_wall(s, &r, &got, 900 * 1000), READING_IDLE);
	for (uint64_t i = 0; i < CAPACITY + 10; i++)
		put(s, i % 2 ? FLOW_KIND_FLOW : FLOW_KIND_AGENT, 1, i % 2 ? 1000 + i : 9000);
	assert_int_equal(pull_at_wall(s, &r, &got, 2000 * 1000), READING_IDLE);
	assert_int_equal(got.lost, 10);
	assert_int_equal(got.lost_first.v, 900 * NS_PER_S); /* when it began to follow */
	assert_int_equal(got.lost_last.v, 1011 * NS_PER_S);
	r.told.v = 0;
	for (uint64_t i = 0; i < CAPACITY + 7; i++)
		put(s, FLOW_KIND_FLOW, 1, 3000 + i);
	assert_int_equal(pull_at_wall(s, &r, &got, 4000 * 1000), READING_IDLE);
	assert_int_equal(got.losses, 2);
	assert_int_equal(got.lost_first.v, (1000 + CAPACITY + 8) * NS_PER_S);
	assert_int_equal(got.lost_last.v, 3007 * NS_PER_S);
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

static void until_ends_a_follower_that_nothing_comes_for(void **state)
{
	enum { UNTIL_S = 2000 };
	struct scene *s = *state;
	static struct collector got;
	struct reading r;
	Google__Protobuf__Timestamp until;
	const struct reading_request request = { .until = &until, .follow = true, .number = 100 };
	const uint64_t end_ms = UNTIL_S * 1000 + READING_GRACE_NS / NS_PER_MS;

	google__protobuf__timestamp__init(&until);
	until.seconds = UNTIL_S;
	put(s, FLOW_KIND_FLOW, 1, 1000);
	collector_init(&got, 0);
	assert_int_equal(reading_init(&r, &request, s->log, s->past, FLOW_KIND_FLOW, NULL, NULL),
			 ERR_OK);
	assert_int_equal(pull_at_wall(s, &r, &got, end_ms + 1),
			 READING_MORE); /* the backlog first */
	got.room = RECORDS_MAX;
	assert_int_equal(pull_at_wall(s, &r, &got, end_ms), READING_IDLE);
	put(s, FLOW_KIND_FLOW, 1, UNTIL_S); /* comes late */
	assert_int_equal(pull_at_wall(s, &r, &got, end_ms), READING_IDLE);
	assert_int_equal(got.count, 2);
	assert_int_equal(pull_at_wall(s, &r, &got, end_ms + 1), READING_ENDED);
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

/* A filter that takes all the steps there are for each record, which is milliseconds. */
static struct flow_filter *costly_filter(const struct flow_dict *dict)
{
	char toil[] = "[1,2,3,4,5,6,7,8,9].all(a,[1,2,3,4,5,6,7,8,9].all(b,"
		      "[1,2,3,4,5,6,7,8,9].all(c,[1,2,3,4,5,6,7,8,9].all(d,"
		      "[1,2,3,4,5,6,7,8,9].all(x,[1,2,3,4,5,6,7,8,9].all(y,a+b+c+d+x+y>0))))))",
	     *texts[] = { toil };
	Flow__FlowFilter__Experimental x = FLOW__FLOW_FILTER__EXPERIMENTAL__INIT;
	Flow__FlowFilter message = FLOW__FLOW_FILTER__INIT, *list = &message;
	struct flow_filter *ff = NULL;
	struct err e;

	x.cel_expression = texts;
	x.n_cel_expression = 1;
	message.experimental = &x;
	if (flow_filter_new(&list, 1, NULL, 0, dict, &ff, &e) != ERR_OK)
		fail_msg("%s", e.msg);
	return ff;
}

static void a_filter_that_costs_milliseconds_a_record_is_asked_of_few_at_a_time(void **state)
{
	struct scene *s = *state;
	static struct collector got;
	AUTO(flow_filter_free) struct flow_filter *ff = costly_filter(s->dict);
	struct reading r;

	for (uint64_t i = 0; i < 200; i++)
		put(s, FLOW_KIND_FLOW, 1, 1000);
	for (int walks = 0; walks < 2; walks++) { /* back from the end, and on from the start */
		const struct reading_request request = { .first = !walks, .number = 100 };
		collector_init(&got, 0);
		assert_int_equal(reading_init(&r, &request, s->log, NULL, FLOW_KIND_FLOW, ff, NULL),
				 ERR_OK);
		uint64_t *at = walks ? &r.walk_at : &r.at, looked[3] = { 0 };
		for (size_t i = 0; i < ARRAY_LEN(looked); i++) {
			uint64_t before = *at;
			assert_int_equal(pull_once(s, &r, &got, (struct mono_ns){ NS_PER_S },
						   (struct wall_ns){ 1 }),
					 READING_MORE);
			looked[i] = walks ? before - *at : *at - before;
		}
		assert_int_equal(looked[0], 64); /* it is not known before */
		/* how many exactly is for the machine's speed to say */
		assert_in_range(looked[1], 1, 32);
		assert_in_range(looked[2], 1, 8);
		reading_done(&r);
	}
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
			contradictions_and_impossible_times_are_refused_in_the_references_words,
			make_scene, free_scene),
		cmocka_unit_test_setup_teardown(a_follower_sees_what_is_put_later, make_scene,
						free_scene),
		cmocka_unit_test_setup_teardown(
			a_filter_that_costs_milliseconds_a_record_is_asked_of_few_at_a_time,
			make_scene, free_scene),
		cmocka_unit_test_setup_teardown(
			losses_are_told_once_a_second_at_most_and_each_record_once, make_scene,
			free_scene),
		cmocka_unit_test_setup_teardown(
			until_ends_a_follower_with_the_first_later_record_of_its_kind, make_scene,
			free_scene),
		cmocka_unit_test_setup_teardown(until_ends_a_follower_that_nothing_comes_for,
						make_scene, free_scene),
		cmocka_unit_test_setup_teardown(losing_what_is_older_than_since_is_no_loss,
						make_scene, free_scene),
		cmocka_unit_test_setup_teardown(
			a_loss_is_told_with_the_stretch_that_it_is_missing_from, make_scene,
			free_scene),
		cmocka_unit_test_setup_teardown(a_loss_that_is_not_due_is_told_before_the_end,
						make_scene, free_scene),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
