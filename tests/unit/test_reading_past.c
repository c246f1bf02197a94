/* observer/api/reading and past: what the log no longer has, or never had, is looked for in the store. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "flow/flow.pb-c.h"
#include "reading_scene.h"

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

/* Begins before anything is put. */
static void follow_with_store(struct scene *s, struct reading *r, struct collector *got)
{
	give_store(s);
	assert_int_equal(reading_init(r, &(struct reading_request){ .follow = true }, s->log,
				      s->past, FLOW_KIND_FLOW, NULL, NULL),
			 ERR_OK);
	collector_init(got, 0);
}

static void a_follower_that_the_log_overtakes_finds_its_flows_in_the_store(void **state)
{
	static struct collector got;
	struct scene *s = *state;
	struct reading r;

	follow_with_store(s, &r, &got);
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

static void what_a_store_that_cannot_write_never_had_is_missing_from_there_to_the_log(void **state)
{
	enum { READ = 50, KEPT = 100, ALL = 600, TIME_S = 1000 };
	static struct collector got;
	struct scene *s = *state;
	struct reading r;

	follow_with_store(s, &r, &got);
	for (size_t i = 0; i < ALL; i++) {
		put(s, FLOW_KIND_FLOW, FLOW__VERDICT__FORWARDED, TIME_S + i);
		if (i == READ - 1)
			assert_int_equal(pull_all(s, &r, &got, 1000), READING_IDLE);
		if (i == KEPT - 1)
			keep(s, true); /* the last that it could write */
	}
	assert_int_equal(pull_all(s, &r, &got, 1000), READING_IDLE);
	assert_int_equal(got.count, KEPT + CAPACITY);
	assert_int_equal(got.lost, ALL - KEPT - CAPACITY);
	assert_int_equal(got.losses, 1);
	assert_int_equal(got.lost_first.v, (TIME_S + KEPT - 1) * NS_PER_S);
	assert_int_equal(got.lost_last.v, (TIME_S + ALL - CAPACITY) * NS_PER_S);
	reading_done(&r);
}

static void a_hole_in_the_store_is_between_what_was_read_and_the_log(void **state)
{
	enum { READ = 50, KEPT = 100, HOLE = 10, ALL = 600, TIME_S = 1000 };
	static struct collector got;
	struct scene *s = *state;
	struct reading r;
	Google__Protobuf__Timestamp since;

	google__protobuf__timestamp__init(&since);
	since.seconds = TIME_S + 20;
	give_store(s);
	for (size_t i = 0; i < ALL; i++) {
		put(s, FLOW_KIND_FLOW, FLOW__VERDICT__FORWARDED, TIME_S + i);
		if (i == KEPT - 1)
			keep(s, false);
		if (i == KEPT + HOLE - 1)
			s->kept = KEPT + HOLE;
	}
	keep(s, true);
	for (int with_since = 0; with_since < 2; with_since++) {
		collector_init(&got, 0);
		assert_int_equal(
			reading_init(&r,
				     &(struct reading_request){
					     .first = true, .since = with_since ? &since : NULL },
				     s->log, s->past, FLOW_KIND_FLOW, NULL, NULL),
			ERR_OK);
		assert_int_equal(pull_all(s, &r, &got, 1000), READING_ENDED);
		assert_int_equal(got.lost, HOLE);
		/* without a begin it is after the first one that was found */
		assert_int_equal(got.lost_first.v, (TIME_S + (with_since ? 20 : 0)) * NS_PER_S);
		assert_int_equal(got.lost_last.v, (TIME_S + ALL - CAPACITY) * NS_PER_S);
		reading_done(&r);
	}
	/* the keeper says so when it notices */
	store_note_gap(s->store, &(struct store_gap){ .cause = STORE_GAP_WRITE,
						      .from = { (TIME_S + KEPT) * NS_PER_S },
						      .to = { (TIME_S + KEPT + 9) * NS_PER_S },
						      .lost = HOLE,
						      .first_seq = FIRST_SEQ + KEPT,
						      .last_seq = FIRST_SEQ + KEPT + HOLE - 1,
						      .node = STR(""),
						      .detail = STR("") });
	collector_init(&got, 0);
	assert_int_equal(reading_init(&r, &(struct reading_request){ .first = true }, s->log,
				      s->past, FLOW_KIND_FLOW, NULL, NULL),
			 ERR_OK);
	assert_int_equal(pull_all(s, &r, &got, 1000), READING_ENDED);
	assert_int_equal(got.lost, HOLE);
	assert_int_equal(got.lost_first.v, (TIME_S + KEPT) * NS_PER_S);
	assert_int_equal(got.lost_last.v, (TIME_S + KEPT + 9) * NS_PER_S);
	reading_done(&r);
}

static void what_retention_has_taken_is_not_lost(void **state)
{
	enum { OLD = 200, ALL = 600 };
	static struct collector got;
	struct scene *s = *state;
	struct reading r;
	const struct wall_ns later = { 20 * NS_PER_S };
	bool more;

	s->retention_ns = 10 * NS_PER_S;
	give_store(s);
	for (size_t i = 0; i < OLD; i++)
		put(s, FLOW_KIND_FLOW, FLOW__VERDICT__FORWARDED, 1000 + i);
	keep(s, true); /* at 1 s and 3 s */
	for (size_t i = OLD; i < ALL; i++)
		put(s, FLOW_KIND_FLOW, FLOW__VERDICT__FORWARDED, 1000 + i);
	assert_int_equal(store_put(s->store, &s->put[OLD], ALL - OLD, later, NULL), ERR_OK);
	assert_int_equal(store_seal(s->store, later, NULL), ERR_OK);
	do
		assert_int_equal(store_tend(s->store, later, &more, NULL), ERR_OK);
	while (more);
	assert_int_equal(store_counts(s->store).pruned_records, OLD);
	assert_int_equal(reading_init(&r, &(struct reading_request){ .first = true }, s->log,
				      s->past, FLOW_KIND_FLOW, NULL, NULL),
			 ERR_OK);
	collector_init(&got, 0);
	assert_int_equal(pull_all(s, &r, &got, 1000), READING_ENDED);
	expect_numbers(&got, FIRST_SEQ + OLD, ALL - OLD);
	assert_int_equal(got.lost, 0);
	reading_done(&r);
}

/* --- what it costs ------------------------------------------------------------------------ */

static size_t scans; /* of the store that were opened (--wrap) */

enum err_code __real_store_scan_new(struct store_reader *r, const struct store_scan_config *config,
				    struct store_scan **ret, struct err *e);
enum err_code __wrap_store_scan_new(struct store_reader *r, const struct store_scan_config *config,
				    struct store_scan **ret, struct err *e);

enum err_code __wrap_store_scan_new(struct store_reader *r, const struct store_scan_config *config,
				    struct store_scan **ret, struct err *e)
{
	scans++;
	return __real_store_scan_new(r, config, ret, e);
}

/* Asks; @return how many scans that took. */
static size_t all_that(const struct scene *s, const struct reading_request *request, size_t count)
{
	static struct collector got;
	struct reading r;

	scans = 0;
	collector_init(&got, 0);
	assert_int_equal(reading_init(&r, request, s->log, s->past, FLOW_KIND_FLOW, NULL, NULL),
			 ERR_OK);
	assert_int_equal(pull_all(s, &r, &got, 1000), READING_ENDED);
	assert_int_equal(got.count, count);
	reading_done(&r);
	return scans;
}

static void the_store_is_not_looked_at_for_what_the_log_holds(void **state)
{
	enum { RECORDS = 3 * CAPACITY, TIME_S = 1000 };
	static struct collector got;
	struct scene *s = *state;
	Google__Protobuf__Timestamp until;
	const struct {
		struct reading_request request;
		uint64_t until_s;
		size_t first, count;
		bool looks;
	} questions[] = {
		{ { 0 }, 0, RECORDS - CAPACITY, CAPACITY, false },
		{ { .number = CAPACITY }, 0, RECORDS - CAPACITY, CAPACITY, false },
		{ { .number = CAPACITY + 1 }, 0, RECORDS - CAPACITY - 1, CAPACITY + 1, true },
		{ { .number = 20, .until = &until }, RECORDS - 9, RECORDS - 28, 20, false },
		{ { .number = CAPACITY - 8, .until = &until },
		  RECORDS - 9,
		  RECORDS - CAPACITY,
		  CAPACITY - 8,
		  false },
		{ { .number = CAPACITY - 7, .until = &until },
		  RECORDS - 9,
		  RECORDS - CAPACITY - 1,
		  CAPACITY - 7,
		  true },
		{ { .number = 20, .until = &until }, 100, 81, 20, true },
		{ { .until = &until }, 100, 0, 101, true },
		{ { .until = &until }, RECORDS - 9, 0, RECORDS - 8, true },
		{ { .until = &until, .follow = true }, RECORDS - 9, 0, 0, false },
	};

	google__protobuf__timestamp__init(&until);
	give_store(s);
	for (size_t i = 0; i < CAPACITY; i++)
		put(s, FLOW_KIND_FLOW, FLOW__VERDICT__FORWARDED, TIME_S + i);
	keep(s, true);
	until.seconds = TIME_S + 9;
	assert_int_equal(all_that(s, &(struct reading_request){ .until = &until }, 10), 0);
	assert_int_equal(all_that(s, &(struct reading_request){ .since = &until }, CAPACITY - 9),
			 0);
	assert_int_equal(all_that(s, &(struct reading_request){ .first = true }, CAPACITY), 0);
	for (size_t i = CAPACITY; i < RECORDS; i++)
		put(s, FLOW_KIND_FLOW, FLOW__VERDICT__FORWARDED, TIME_S + i);
	keep(s, true);
	for (size_t i = 0; i < ARRAY_LEN(questions); i++) {
		struct reading r;
		until.seconds = (int64_t)(TIME_S + questions[i].until_s);
		scans = 0;
		collector_init(&got, 0);
		assert_int_equal(reading_init(&r, &questions[i].request, s->log, s->past,
					      FLOW_KIND_FLOW, NULL, NULL),
				 ERR_OK);
		(void)pull_all(s, &r, &got, 1000);
		expect_numbers(&got, FIRST_SEQ + questions[i].first, questions[i].count);
		assert_int_equal(scans > 0, questions[i].looks);
		reading_done(&r);
	}
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

int main(void)
{
	const struct CMUnitTest tests[] = {
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
		cmocka_unit_test_setup_teardown(
			what_a_store_that_cannot_write_never_had_is_missing_from_there_to_the_log,
			make_scene, free_scene),
		cmocka_unit_test_setup_teardown(
			a_hole_in_the_store_is_between_what_was_read_and_the_log, make_scene,
			free_scene),
		cmocka_unit_test_setup_teardown(what_retention_has_taken_is_not_lost, make_scene,
						free_scene),
		cmocka_unit_test_setup_teardown(the_store_is_not_looked_at_for_what_the_log_holds,
						make_scene, free_scene),
		cmocka_unit_test_setup_teardown(more_readings_than_scans_each_keep_their_place,
						make_scene, free_scene),
		cmocka_unit_test_setup_teardown(places_without_a_scan_of_their_own_miss_nothing,
						make_scene, free_scene),
		cmocka_unit_test_setup_teardown(places_without_a_scan_of_their_own_get_on,
						make_scene, free_scene),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
