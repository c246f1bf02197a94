/* lib/store: pages that are damaged while the store runs, and rows that are not what was written. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "disk_fault.h"
#include "page_damage.h"
#include "store/inside.h"

/* Rubbish over the leaf of @table that is @order: by another process, since who closes a file drops the
 * locks that SQLite has on it. */
static void damage_leaf(struct fixture *fx, const char *table, const char *order)
{
	char path[100], text[300];
	struct err e;

	fixture_move_log(fx);
	(void)snprintf(text, sizeof text,
		       "SELECT pageno FROM dbstat WHERE name = '%s' AND pagetype = 'leaf'"
		       " ORDER BY path %s LIMIT 1",
		       table, order);
	uint64_t number = fixture_sql(fx, text);
	fixture_path(fx, "flows.db", path);
	(void)snprintf(text, sizeof text,
		       "tr '\\0' '\\245' </dev/zero | dd of=%s bs=%d seek=%llu count=1"
		       " iflag=fullblock conv=notrunc status=none",
		       path, PAGE, (unsigned long long)number - 1);
	assert_int_equal(system(text), 0);
	assert_int_equal(db_script(&fx->store->db, "PRAGMA shrink_memory", &e), ERR_OK);
}

static void names_that_are_still_in_use_are_there_again_for_what_was_said_before(void **state)
{
	struct fixture *fx = *state;
	struct store_scan_config config = ALL_RECORDS;

	config.takes_nameless = true;
	fixture_open(fx);
	fixture_block(fx, 100);
	damage_leaf(fx, "endpoint", "ASC");
	AUTO(store_reader_free) struct store_reader *r = NULL;
	assert_int_equal(store_reader_open(fx->dir, fx->dict, &r, NULL), ERR_OK);
	assert_int_equal(fixture_scan(fx, r, &config).wrong, 100);
	store_reader_free(TAKE(r));
	r = fixture_reader(fx);
	(void)fixture_scan(fx, r, &config);
	fixture_tend(fx);
	fixture_block(fx, 100);
	store_reader_free(TAKE(r));
	r = fixture_reader(fx);
	struct seen seen = fixture_scan(fx, r, &config);
	assert_int_equal(seen.count, 200);
	assert_int_equal(seen.wrong, 0);
}

static void numbers_of_entries_go_on_behind_an_end_that_was_lost(void **state)
{
	struct fixture *fx = *state;

	fixture_open(fx);
	for (int i = 0; i < 60; i++)
		fixture_block(fx, 10);
	uint64_t last = store_counts(fx->store).entries;
	damage_leaf(fx, "entry", "DESC");
	go_on(fx, 3);
	assert_true(store_counts(fx->store).is_writing);
	fixture_kill(fx);
	fixture_open(fx);
	assert_false(is_set_aside(fx));
	char text[200];
	(void)snprintf(text, sizeof text, "SELECT min(number) FROM entry WHERE number >= %llu",
		       (unsigned long long)last);
	assert_int_equal(fixture_sql(fx, text), last + 1);
	assert_true(store_counts(fx->store).entries > last + 1);
}

static void numbers_of_names_that_were_lost_are_not_given_again(void **state)
{
	static const char last_of_all[] = "SELECT sum(seq) FROM sqlite_sequence"
					  " WHERE name IN ('party', 'endpoint')";
	struct fixture *fx = *state;

	fill(fx);
	uint64_t last = fixture_sql(fx, last_of_all);
	assert_int_equal(fixture_sql(fx, "SELECT (SELECT max(id) FROM party)"
					 " + (SELECT max(id) FROM endpoint)"),
			 last);
	fixture_open(fx);
	damage_leaf(fx, "endpoint", "DESC");
	damage_leaf(fx, "party", "DESC");
	(void)ask(fx);
	fixture_tend(fx);
	assert_int_equal(fixture_sql(fx, last_of_all), last);
	assert_true(fixture_sql(fx, "SELECT count(*) FROM party WHERE name = 'unknown'") > 0);
	assert_true(fixture_sql(fx, "SELECT max(id) < seq FROM endpoint, sqlite_sequence"
				    " WHERE name = 'endpoint'"));
}

static void edges_that_come_have_their_names(void **state)
{
	struct fixture *fx = *state;

	fixture_open(fx);
	fixture_block(fx, 100);
	damage_leaf(fx, "party", "ASC");
	(void)ask(fx);
	fixture_tend(fx);
	fx->now = after(fx->now, 60);
	fixture_block(fx, 50);
	fixture_close(fx);
	assert_int_equal(fixture_sql(fx, "SELECT sum(flows) FROM edges"), 150);
	assert_int_equal(fixture_sql(fx, "SELECT sum(flows) FROM edges WHERE dst = 'world'"), 50);
}

/* What is packed in a row may be damaged where the page can be read. */
static void a_minute_of_the_map_that_is_not_what_was_written_is_told(void **state)
{
	static const char *const damages[] = {
		"UPDATE edge_minute SET data = zeroblob(length(data)) WHERE id >> 20 = %llu",
		"UPDATE edge_minute SET sum = sum + 1 WHERE id >> 20 = %llu",
		/* bytes that are summed up rightly, and mean nothing */
		"UPDATE edge_minute SET data = x'00', sum = edge_sum(x'00') WHERE id >> 20 = %llu",
	};
	const struct wall_ns minute = { after(NOON, 60).v / (60 * NS_PER_S) * 60 * NS_PER_S };
	struct fixture *fx = *state;
	char sql[200];

	fixture_open(fx);
	for (int i = 0; i < 3; i++) {
		fixture_block(fx, 100);
		fx->now = after(fx->now, 59);
	}
	fixture_close(fx);
	assert_int_equal(fixture_sql(fx, "SELECT count(*) FROM edge_minute"), 3);
	save(fx);
	const struct wall_ns now = fx->now;
	for (size_t i = 0; i < ARRAY_LEN(damages); i++) {
		restore(fx, 0, 0);
		fx->now = now;
		(void)snprintf(sql, sizeof sql, damages[i],
			       (unsigned long long)(minute.v / (60 * NS_PER_S)));
		(void)fixture_sql(fx, sql);
		fixture_open(fx);
		struct flow late = fixture_flow(fx, fx->next_seq++, minute);
		assert_int_equal(store_put(fx->store, &late, 1, fx->now, NULL), ERR_OK);
		fx->now = after(fx->now, 60);
		assert_int_equal(store_tick(fx->store, fx->now, NULL), ERR_OK);
		assert_int_equal(ask(fx).code, ERR_PARSE);
		fixture_tend(fx);
		struct answers a = ask(fx);
		assert_int_equal(a.code, ERR_OK);
		assert_int_equal(a.records, 301);
		assert_int_equal(a.flows, 200 + 1);
		AUTO(store_reader_free) struct store_reader *r = fixture_reader(fx);
		struct seen_gap gaps[4], gap = { .cause = STORE_GAP_CAUSES_ };
		size_t count = fixture_gaps(r, gaps, ARRAY_LEN(gaps));
		for (size_t k = 0; k < count; k++)
			gap = gaps[k].cause == STORE_GAP_DAMAGED ? gaps[k] : gap;
		assert_int_equal(count_gaps(r, STORE_GAP_DAMAGED), 1);
		assert_string_equal(gap.detail, "a page of the service map");
		assert_true(gap.from.v == minute.v && gap.to.v == minute.v + 60 * NS_PER_S);
		fixture_close(fx);
	}
}

int main(void)
{
	disk_fault_install();
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, make, fixture_remove)
		T(names_that_are_still_in_use_are_there_again_for_what_was_said_before),
		T(numbers_of_entries_go_on_behind_an_end_that_was_lost),
		T(numbers_of_names_that_were_lost_are_not_given_again),
		T(edges_that_come_have_their_names),
		T(a_minute_of_the_map_that_is_not_what_was_written_is_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
