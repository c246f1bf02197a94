/* lib/store: large segments are sorted, and nobody can tell but by the time it takes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "flow/flow.pb-c.h"
#include "store/inside.h"
#include "store_fixture.h"

enum { RECORDS = 28000, HOLE = 5000 }; /* the hole: before the last quarter */

/* One block, with a hole in its numbers. */
static void put_large(struct fixture *fx)
{
	struct err e = { 0 };

	assert_int_equal(fixture_put(fx, RECORDS - RECORDS / 4, &e), ERR_OK);
	fx->next_seq += HOLE;
	fixture_block(fx, RECORDS / 4);
}

/* When their hour is over, segments that are large enough are sorted. */
static void tend_later(struct fixture *fx)
{
	fx->now = after(fx->now, 3600);
	fixture_tend(fx);
}

static struct flow_filter *filter_of(struct fixture *fx, const char *pod, bool dropped)
{
	Flow__FlowFilter f = FLOW__FLOW_FILTER__INIT;
	Flow__FlowFilter *list[] = { &f };
	Flow__Verdict verdict = FLOW__VERDICT__DROPPED;
	struct flow_filter *filter = NULL;
	char name[64];
	char *names[] = { name };
	struct err e = { 0 };

	(void)snprintf(name, sizeof name, "shop/%s", pod ? pod : "");
	f.n_source_pod = pod ? 1 : 0;
	f.source_pod = names;
	f.n_verdict = dropped ? 1 : 0;
	f.verdict = &verdict;
	if (flow_filter_new(list, 1, NULL, 0, fx->dict, &filter, &e) != ERR_OK)
		fail_msg("%s", e.msg);
	return filter;
}

static uint64_t sorted(struct fixture *fx)
{
	return fixture_sql(fx, "SELECT count(*) FROM segment WHERE shelves > 1 AND level = 9");
}

/* Every question that there is an answer to, asked of @fx; the answers one after the other. */
static size_t ask_all(struct fixture *fx, struct seen *answers)
{
	static const char *const pods[] = { NULL, "cart-0", "mail-0", "nobody-0" };
	const uint64_t end = FIRST_SEQ + RECORDS + HOLE, hole = end - HOLE - RECORDS / 4;
	const struct store_range ranges[] = {
		{ { 0 }, { UINT64_MAX }, 0, UINT64_MAX },
		{ { 0 }, { UINT64_MAX }, FIRST_SEQ + 1, FIRST_SEQ + 2 },
		{ { 0 }, { UINT64_MAX }, FIRST_SEQ + 777, hole + HOLE / 2 },
		{ { 0 }, { UINT64_MAX }, hole + 1, UINT64_MAX },
		{ after(NOON, 0.0035), after(NOON, 0.0135), 0, UINT64_MAX },
		{ after(NOON, 0.0035), after(NOON, 0.0035), FIRST_SEQ, end },
	};
	AUTO(store_reader_free) struct store_reader *r = fixture_reader(fx);
	size_t n = 0;

	for (size_t range = 0; range < ARRAY_LEN(ranges); range++)
		for (size_t i = 0; i < 2 * 2 * ARRAY_LEN(pods); i++) {
			AUTO(flow_filter_free)
			struct flow_filter *filter = filter_of(fx, pods[i / 4], i / 2 % 2);
			struct store_scan_config config = { .range = ranges[range],
							    .filter = filter,
							    .kinds = UINT32_MAX,
							    .backward = i % 2 };
			answers[n] = fixture_scan(fx, r, &config);
			assert_int_equal(answers[n].wrong, 0);
			assert_true(answers[n].ordered);
			n++;
		}
	return n;
}

static void large_segments_are_sorted_and_every_answer_stays(void **state)
{
	struct fixture *fx = *state;
	struct seen before[128], after_[128];

	fixture_open(fx);
	put_large(fx);
	size_t n = ask_all(fx, before);
	assert_true(n <= ARRAY_LEN(before));
	assert_int_equal(before[0].count, RECORDS);
	assert_int_equal(before[2].count, RECORDS / 100); /* of each hundred one is dropped */
	assert_int_equal(sorted(fx), 0);
	tend_later(fx);
	assert_int_equal(sorted(fx), 1);
	assert_int_equal(fixture_sql(fx, "SELECT sum(count) FROM shelf"), RECORDS);
	assert_int_equal(fixture_sql(fx, "SELECT count(*) FROM segment_data"),
			 fixture_sql(fx, "SELECT shelves FROM segment"));
	assert_int_equal(fixture_sql(fx, "SELECT bytes FROM segment"),
			 fixture_sql(fx, "SELECT sum(length(data)) FROM segment_data"));
	assert_int_equal(ask_all(fx, after_), n);
	for (size_t i = 0; i < n; i++) {
		assert_int_equal(after_[i].count, before[i].count);
		assert_int_equal(after_[i].first, before[i].first);
		assert_int_equal(after_[i].last, before[i].last);
	}
	AUTO(store_reader_free) struct store_reader *r = fixture_reader(fx);
	assert_int_equal(fixture_chain(r).blocks, 1);
	assert_int_equal(store_counts(fx->store).records, RECORDS);
	assert_int_equal(store_counts(fx->store).segments, 1);
}

static void small_segments_are_sorted_when_they_have_become_a_large_one(void **state)
{
	struct fixture *fx = *state;

	fixture_open(fx);
	for (int i = 0; i < 40; i++) {
		fixture_block(fx, 500);
		fixture_tend(fx);
	}
	assert_int_equal(sorted(fx), 0);
	fx->now = after(fx->now, 3600);
	fixture_block(fx, 10);
	fixture_tend(fx);
	assert_int_equal(sorted(fx), 1);
	AUTO(store_reader_free) struct store_reader *r = fixture_reader(fx);
	struct seen seen = fixture_scan(fx, r, &ALL_RECORDS);
	assert_int_equal(seen.count, 20010);
	assert_int_equal(seen.wrong, 0);
	assert_true(seen.ordered);
}

/* A block of @n records between 200 hosts that are met equally often; each seventh goes elsewhere. */
static void put_of_many_hosts(struct fixture *fx, size_t n)
{
	struct err e = { 0 };

	for (size_t i = 0; i < n; i++) {
		struct flow f = fixture_flow(fx, fx->next_seq++, fx->now);
		ip_from_v4(f.src_ip, (const uint8_t[4]){ 10, 0, 1, (uint8_t)(i % 200) });
		if (i % 7)
			ip_from_v4(f.dst_ip,
				   (const uint8_t[4]){ 10, 0, 1, (uint8_t)(i / 200 % 200) });
		else
			ip_from_v4(f.dst_ip, (const uint8_t[4]){ 10, 9, i >> 8 & 255, i & 255 });
		assert_int_equal(store_put(fx->store, &f, 1, fx->now, &e), ERR_OK);
	}
	fixture_block(fx, 0);
}

/* A shelf for each two of five or eight groups of busy hosts, for each of eight or sixteen that talk
 * to others, and one for what was dropped. */
static void the_larger_a_segment_the_more_shelves_it_has(void **state)
{
	struct fixture *fx = *state;
	enum { SMALL = 40000, LARGE = 98304 };

	fx->config.seal_flows = LARGE;
	fixture_open(fx);
	put_of_many_hosts(fx, SMALL);
	tend_later(fx);
	assert_int_equal(fixture_sql(fx, "SELECT max(shelves) FROM segment"), 1 + 15 + 8);
	put_of_many_hosts(fx, LARGE);
	fixture_tend(fx); /* at once: it is large enough */
	assert_int_equal(sorted(fx), 2);
	assert_int_equal(fixture_sql(fx, "SELECT max(shelves) FROM segment"), 1 + 36 + 16);
	AUTO(store_reader_free) struct store_reader *r = fixture_reader(fx);
	AUTO(flow_filter_free) struct flow_filter *filter = filter_of(fx, NULL, true);
	struct store_scan_config config = ALL_RECORDS;
	for (int backward = 0; backward < 2; backward++) {
		config.backward = backward;
		config.filter = NULL;
		struct seen seen = fixture_scan(fx, r, &config);
		assert_int_equal(seen.count, SMALL + LARGE);
		assert_true(seen.ordered);
		config.filter = filter;
		assert_int_equal(fixture_scan(fx, r, &config).count, (SMALL + LARGE) / 100);
	}
}

/* What was dropped lies on the first shelf, by itself: the others could be anything. */
static void what_a_question_is_not_about_is_not_read(void **state)
{
	struct fixture *fx = *state;

	fixture_open(fx);
	put_large(fx);
	tend_later(fx);
	(void)fixture_sql(fx, "UPDATE segment_data SET data = zeroblob(10)"
			      " WHERE first_seq > (SELECT min(id) FROM shelf)");
	AUTO(store_reader_free) struct store_reader *r = fixture_reader(fx);
	AUTO(flow_filter_free) struct flow_filter *filter = filter_of(fx, NULL, true);
	struct store_scan_config config = ALL_RECORDS;
	config.filter = filter;
	assert_int_equal(fixture_scan(fx, r, &config).count, RECORDS / 100);
	assert_int_equal(count_gaps(r, STORE_GAP_DAMAGED), 0);
	config.filter = NULL;
	assert_int_equal(fixture_scan(fx, r, &config).count, 0);
	assert_int_equal(count_gaps(r, STORE_GAP_DAMAGED), 1);
}

static void a_shelf_that_is_not_what_it_was_makes_a_gap_of_its_segment(void **state)
{
	static const char *const harm[] = {
		"DELETE FROM segment_data WHERE first_seq = (SELECT max(id) FROM shelf)",
		"UPDATE segment_data SET data = x'00'",
		"DELETE FROM shelf WHERE id = (SELECT max(id) FROM shelf)",
		"UPDATE shelf SET count = count + 1 WHERE id = (SELECT max(id) FROM shelf)",
		"UPDATE shelf SET sum = sum + 1 WHERE id = (SELECT max(id) FROM shelf)",
		"UPDATE segment SET shelves = shelves - 1",
	};
	struct fixture *fx = *state;

	for (size_t i = 0; i < ARRAY_LEN(harm); i++) {
		fixture_open(fx);
		put_large(fx);
		tend_later(fx);
		(void)fixture_sql(fx, harm[i]);
		AUTO(store_reader_free) struct store_reader *r = fixture_reader(fx);
		assert_int_equal(fixture_scan(fx, r, &ALL_RECORDS).count, 0);
		assert_int_equal(count_gaps(r, STORE_GAP_DAMAGED), 1);
		store_reader_free(TAKE(r));
		fixture_close(fx);
		char command[100];
		(void)snprintf(command, sizeof command, "rm %s/flows.db*", fx->dir);
		assert_int_equal(system(command), 0);
		fx->next_seq = FIRST_SEQ;
	}
}

/* A zone of which a bit flipped cannot hide a record. */
static void a_damaged_zone_of_a_shelf_hides_nothing(void **state)
{
	struct fixture *fx = *state;

	fixture_open(fx);
	put_large(fx);
	tend_later(fx);
	(void)fixture_sql(fx, "UPDATE shelf SET zone = (SELECT zone FROM shelf ORDER BY id DESC"
			      " LIMIT 1)");
	AUTO(store_reader_free) struct store_reader *r = fixture_reader(fx);
	AUTO(flow_filter_free) struct flow_filter *filter = filter_of(fx, NULL, true);
	struct store_scan_config config = ALL_RECORDS;
	config.filter = filter;
	assert_int_equal(fixture_scan(fx, r, &config).count, RECORDS / 100);
}

/* Looks whether rows lead to their records. */
static enum err_code check_rows(struct fixture *fx, struct err *e)
{
	const struct store_scan_config config = { .range = { { 0 }, { UINT64_MAX }, 0, UINT64_MAX },
						  .kinds = UINT32_MAX,
						  .checks_rows = true };
	AUTO(store_reader_free) struct store_reader *r = fixture_reader(fx);
	AUTO(store_scan_free) struct store_scan *sc = NULL;
	const struct flow *flows;
	size_t n, count = 0;
	enum err_code code = store_scan_new(r, &config, &sc, e);

	for (bool more = true; more && code == ERR_OK; count += code == ERR_OK ? n : 0)
		code = store_scan_next(sc, RECORDS, &flows, &n, &more, e);
	if (code == ERR_OK)
		assert_int_equal(count, RECORDS);
	return code;
}

static void rows_that_lead_past_their_records_are_found(void **state)
{
	static const struct {
		const char *change, *back, *words;
	} cases[] = {
		{ "UPDATE segment SET from_ns = from_ns + 1",
		  "UPDATE segment SET from_ns = from_ns - 1", "whose row says other times" },
		{ "UPDATE segment SET to_ns = to_ns - 1", "UPDATE segment SET to_ns = to_ns + 1",
		  "whose row says other times" },
		{ "UPDATE segment SET last_seq = last_seq - 1",
		  "UPDATE segment SET last_seq = last_seq + 1", "whose row says other numbers" },
		{ "UPDATE segment SET zone = (SELECT zone FROM shelf ORDER BY id LIMIT 1)",
		  "UPDATE segment SET zone = (SELECT value FROM meta WHERE name = 'kept')",
		  "that its zones do not know" },
		/* the others' have the sums that belong to them */
		{ "UPDATE shelf SET (zone, zone_sum) ="
		  " (SELECT zone, zone_sum FROM shelf ORDER BY id LIMIT 1)",
		  NULL, "that its zones do not know" },
	};
	struct fixture *fx = *state;
	struct err e = { 0 };

	fixture_open(fx);
	put_large(fx);
	assert_int_equal(check_rows(fx, &e), ERR_OK); /* in one piece */
	tend_later(fx);
	assert_int_equal(sorted(fx), 1);
	assert_int_equal(check_rows(fx, &e), ERR_OK);
	(void)fixture_sql(fx, "INSERT INTO meta SELECT 'kept', zone FROM segment");
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		(void)fixture_sql(fx, cases[i].change);
		if (check_rows(fx, &e) != ERR_INVALID || !strstr(e.msg, cases[i].words))
			fail_msg("%s: %s", cases[i].change, e.msg);
		if (!cases[i].back)
			break;
		(void)fixture_sql(fx, cases[i].back);
		assert_int_equal(check_rows(fx, &e), ERR_OK);
	}
}

static void a_scan_survives_sorting_behind_its_back(void **state)
{
	struct fixture *fx = *state;

	for (int backward = 0; backward < 2; backward++) {
		fixture_open(fx);
		uint64_t first = fx->next_seq, count = 0, last = backward ? UINT64_MAX : 0;
		for (int i = 0; i < 3; i++)
			fixture_block(fx, 30000);
		AUTO(store_reader_free) struct store_reader *r = fixture_reader(fx);
		AUTO(store_scan_free) struct store_scan *sc = NULL;
		struct store_scan_config config = ALL_RECORDS;
		struct err e = { 0 };
		bool more = true;
		config.backward = backward;
		config.range.from_seq = first;
		assert_int_equal(store_scan_new(r, &config, &sc, &e), ERR_OK);
		for (int pass = 0; more; pass++) {
			const struct flow *flows;
			size_t n;
			if (store_scan_next(sc, 20000, &flows, &n, &more, &e) != ERR_OK)
				fail_msg("%s", e.msg);
			for (size_t i = 0; i < n; i++) {
				assert_true(backward ? flows[i].seq < last : flows[i].seq > last);
				last = flows[i].seq;
			}
			count += n;
			if (pass == 2)
				tend_later(fx);
		}
		assert_int_equal(sorted(fx), 1 + backward);
		assert_int_equal(count, 90000);
		store_reader_free(TAKE(r));
		fixture_close(fx);
	}
}

static void edges_are_counted_again_from_sorted_segments(void **state)
{
	struct fixture *fx = *state;

	fixture_open(fx);
	fixture_block(fx, 25000); /* edges are written some seconds later */
	tend_later(fx);
	assert_int_equal(sorted(fx), 1);
	fixture_kill(fx);
	fixture_open(fx);
	fixture_close(fx);
	assert_int_equal(fixture_sql(fx, "SELECT sum(flows) FROM edge"), 25000);
}

static void nothing_stays_of_shelves_that_are_pruned(void **state)
{
	struct fixture *fx = *state;
	struct err e = { 0 };

	fx->config.retention_ns = 7200 * NS_PER_S;
	fixture_open(fx);
	put_large(fx);
	tend_later(fx);
	assert_int_equal(sorted(fx), 1);
	fx->now = after(fx->now, 4000);
	fixture_block(fx, 10);
	assert_int_equal(store_tick(fx->store, fx->now, &e), ERR_OK);
	fixture_tend(fx);
	assert_int_equal(fixture_sql(fx, "SELECT count(*) FROM shelf"), 0);
	assert_int_equal(fixture_sql(fx, "SELECT count(*) FROM segment_data"), 1);
	assert_int_equal(store_counts(fx->store).records, 10);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, fixture_make, fixture_remove)
	const struct CMUnitTest tests[] = {
		T(large_segments_are_sorted_and_every_answer_stays),
		T(small_segments_are_sorted_when_they_have_become_a_large_one),
		T(the_larger_a_segment_the_more_shelves_it_has),
		T(what_a_question_is_not_about_is_not_read),
		T(a_shelf_that_is_not_what_it_was_makes_a_gap_of_its_segment),
		T(a_damaged_zone_of_a_shelf_hides_nothing),
		T(rows_that_lead_past_their_records_are_found),
		T(a_scan_survives_sorting_behind_its_back),
		T(edges_are_counted_again_from_sorted_segments),
		T(nothing_stays_of_shelves_that_are_pruned),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
