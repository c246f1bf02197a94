/* lib/store: small segments become large ones, and what is asked finds the same. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "store_fixture.h"

static void small_segments_grow_together_and_nothing_changes(void **state)
{
	struct fixture *fx = *state;

	fixture_open(fx);
	fixture_run(fx, 300, 20);
	AUTO(store_reader_free) struct store_reader *r = fixture_reader(fx);
	struct store_counts c = store_counts(fx->store);
	assert_true(c.merges > 0);
	/* at most 15 of each level: 1, 16 and 256 seconds */
	assert_true(c.segments <= 3 * 15);
	assert_int_equal(c.segments, fixture_sql(fx, "SELECT count(*) FROM segment"));
	assert_int_equal(c.records, 6000);
	assert_int_equal(c.blocks, 300);
	struct store_scan_config config = ALL_RECORDS;
	for (int backward = 0; backward < 2; backward++) {
		config.backward = backward;
		struct seen seen = fixture_scan(fx, r, &config);
		assert_int_equal(seen.count, 6000);
		assert_int_equal(seen.wrong, 0);
		assert_true(seen.ordered);
	}
	assert_int_equal(fixture_chain(r).blocks, 300);
	/* Numbers and times of what was merged find it again. */
	assert_int_equal(fixture_sql(fx, "SELECT count(*) FROM segment WHERE last_seq - first_seq"
					 " + 1 != count"),
			 0);
	for (int second = 0; second < 300; second += 7) {
		config = ALL_RECORDS;
		config.range.since = after(NOON, second);
		config.range.until = after(NOON, second + 0.999);
		struct seen seen = fixture_scan(fx, r, &config);
		assert_int_equal(seen.count, 20);
		assert_int_equal(seen.first, FIRST_SEQ + 20 * (uint64_t)second);
	}
}

static void an_hour_that_is_over_is_one_segment(void **state)
{
	struct fixture *fx = *state;

	fixture_open(fx);
	fixture_run(fx, 40, 10);
	fx->now = after(fx->now, 3600);
	fixture_run(fx, 3, 10);
	assert_int_equal(fixture_sql(fx, "SELECT count(*) FROM segment WHERE level = 9"), 1);
	assert_int_equal(fixture_sql(fx, "SELECT count FROM segment WHERE level = 9"), 400);
	assert_int_equal(fixture_sql(fx, "SELECT blocks FROM segment WHERE level = 9"), 40);
}

static void large_segments_are_left_as_they_are(void **state)
{
	struct fixture *fx = *state;

	fx->config.seal_flows = 100000;
	fixture_open(fx);
	fixture_run(fx, 2, 98304); /* three quarters of what a segment grows to */
	assert_int_equal(store_counts(fx->store).merges, 0);
	assert_int_equal(store_counts(fx->store).segments, 2);
	fixture_run(fx, 15, 10000);
	assert_int_equal(fixture_sql(fx, "SELECT max(count) FROM segment"), 130000);
}

/* A scan that was begun before sees each record once, whatever is merged while it goes on. */
static void a_scan_survives_merging_behind_its_back(void **state)
{
	struct fixture *fx = *state;

	for (int backward = 0; backward < 2; backward++) {
		fixture_open(fx);
		uint64_t first = fx->next_seq;
		for (int i = 0; i < 100; i++) {
			fixture_block(fx, 100);
			fx->next_seq += 3; /* numbers have holes where the log was overwritten */
		}
		AUTO(store_reader_free) struct store_reader *r = fixture_reader(fx);
		AUTO(store_scan_free) struct store_scan *sc = NULL;
		struct store_scan_config config = ALL_RECORDS;
		struct err e = { 0 };
		uint64_t count = 0, last = backward ? UINT64_MAX : 0;
		bool more = true;
		config.backward = backward;
		config.range.from_seq = first;
		assert_int_equal(store_scan_new(r, &config, &sc, &e), ERR_OK);
		while (more) {
			const struct flow *flows;
			size_t n;
			if (store_scan_next(sc, 150, &flows, &n, &more, &e) != ERR_OK)
				fail_msg("%s", e.msg);
			for (size_t i = 0; i < n; i++) {
				assert_true(backward ? flows[i].seq < last : flows[i].seq > last);
				last = flows[i].seq;
			}
			count += n;
			bool is_more;
			assert_int_equal(store_tend(fx->store, fx->now, &is_more, &e), ERR_OK);
		}
		assert_int_equal(count, 10000);
		assert_true(store_counts(fx->store).merges > 0);
		fixture_close(fx);
	}
}

/* Texts that are much alike: a hundred megabytes of them take a few in the file. */
static void put_alike(struct fixture *fx, size_t n)
{
	struct err e = { 0 };
	uint8_t ext[1028] = { 0xa2, 0x06, 0x80, 0x08 }; /* field 100, 1,024 bytes */

	for (size_t i = 0; i < n; i++) {
		struct flow f = fixture_flow(fx, fx->next_seq++, fx->now);
		(void)snprintf((char *)ext + 4, sizeof ext - 4, "/cart/%llu",
			       (unsigned long long)f.seq);
		f.ext = ext;
		f.ext_len = sizeof ext;
		assert_int_equal(store_put(fx->store, &f, 1, fx->now, &e), ERR_OK);
	}
	fx->now = after(fx->now, 1);
	assert_int_equal(store_tick(fx->store, fx->now, &e), ERR_OK);
}

static void segments_of_many_texts_grow_as_far_as_a_segment_may(void **state)
{
	struct fixture *fx = *state;

	fixture_open(fx);
	for (int i = 0; i < 140; i++) {
		put_alike(fx, 1000);
		fixture_tend(fx);
	}
	AUTO(store_reader_free) struct store_reader *r = fixture_reader(fx);
	assert_int_equal(fixture_scan(fx, r, &ALL_RECORDS).count, 140000);
	assert_int_equal(store_counts(fx->store).tend_errors, 0);
	/* more than 131,072 records are an hour's first segment, but 64 MiB of texts are in one:
	 * four times the sixteen seconds that were one already */
	assert_int_equal(fixture_sql(fx, "SELECT max(count) FROM segment"), 64000);
}

/* Records without a time are in every range of it, also when they lie with others. */
static void records_without_a_time_are_found_after_merging(void **state)
{
	struct fixture *fx = *state;
	struct store_scan_config config = ALL_RECORDS;
	struct err e = { 0 };

	config.range.until = after(NOON, -1000);
	fixture_open(fx);
	struct flow f = fixture_flow(fx, fx->next_seq++, fx->now);
	f.bits &= ~(uint64_t)FLOW_HAS_TIME;
	f.time.v = 0;
	assert_int_equal(store_put(fx->store, &f, 1, fx->now, &e), ERR_OK);
	fixture_run(fx, 20, 10);
	assert_int_equal(store_counts(fx->store).merges, 1);
	AUTO(store_reader_free) struct store_reader *r = fixture_reader(fx);
	assert_int_equal(fixture_scan(fx, r, &config).count, 1);
	assert_int_equal(fixture_scan(fx, r, &config).first, FIRST_SEQ);
}

static void a_damaged_segment_is_left_out_of_merging(void **state)
{
	struct fixture *fx = *state;

	fixture_open(fx);
	for (int i = 0; i < 20; i++)
		fixture_block(fx, 10);
	(void)fixture_sql(fx, "DELETE FROM segment_data WHERE first_seq = 1050");
	fixture_tend(fx);
	fixture_block(fx, 10);
	fixture_tend(fx);
	AUTO(store_reader_free) struct store_reader *r = fixture_reader(fx);
	assert_int_equal(fixture_scan(fx, r, &ALL_RECORDS).count, 200);
	assert_int_equal(count_gaps(r, STORE_GAP_DAMAGED), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, fixture_make, fixture_remove)
		T(small_segments_grow_together_and_nothing_changes),
		T(an_hour_that_is_over_is_one_segment),
		T(large_segments_are_left_as_they_are),
		T(a_scan_survives_merging_behind_its_back),
		T(segments_of_many_texts_grow_as_far_as_a_segment_may),
		T(records_without_a_time_are_found_after_merging),
		T(a_damaged_segment_is_left_out_of_merging),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
