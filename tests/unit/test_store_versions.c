/* lib/store: files that an older Tycho wrote. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>
#include <sqlite3.h>

#include "base/buf.h"
#include "store/inside.h"
#include "store_fixture.h"

static void run_sql(const char *path, const char *sql)
{
	sqlite3 *h;
	char *why = NULL;

	assert_int_equal(sqlite3_open(path, &h), SQLITE_OK);
	if (sqlite3_exec(h, sql, NULL, NULL, &why) != SQLITE_OK)
		fail_msg("%s", why);
	assert_int_equal(sqlite3_close(h), SQLITE_OK);
}

/* The file as version 1 left it, in the fixture's folder. */
static void put_version_1(struct fixture *fx)
{
	static char sql[64 << 10];
	char path[100];
	FILE *f = fopen(STORE_V1, "r");

	assert_non_null(f);
	sql[fread(sql, 1, sizeof sql - 1, f)] = '\0';
	(void)fclose(f);
	(void)snprintf(path, sizeof path, "%s/flows.db", fx->dir);
	run_sql(path, sql);
	fx->now = after(NOON, 5000);
	fx->next_seq = FIRST_SEQ + 50;
}

static void a_file_of_version_1_is_read_and_goes_on(void **state)
{
	struct fixture *fx = *state;

	put_version_1(fx);
	fixture_open(fx);
	assert_int_equal(fixture_sql(fx, "PRAGMA user_version"), 3);
	AUTO(store_reader_free) struct store_reader *r = fixture_reader(fx);
	struct seen seen = fixture_scan(fx, r, &ALL_RECORDS);
	assert_int_equal(seen.count, 50);
	assert_int_equal(seen.first, FIRST_SEQ);
	assert_int_equal(seen.last, FIRST_SEQ + 49);
	assert_int_equal(seen.wrong, 0);
	assert_true(seen.ordered);
	fixture_block(fx, 30);
	fixture_tend(fx);
	assert_int_equal(fixture_scan(fx, r, &ALL_RECORDS).count, 80);
	/* The chain is the old one, and goes on. */
	struct seen_chain chain = fixture_chain(r);
	assert_int_equal(chain.first, 1);
	assert_int_equal(chain.blocks, 4);
	assert_string_equal(chain.kinds, "sgpsgs");
	assert_int_equal(count_gaps(r, STORE_GAP_KERNEL), 1);
	assert_int_equal(count_gaps(r, STORE_GAP_DOWN), 1);
	assert_int_equal(store_counts(fx->store).records, 80);
	/* Who gave the policies of that time, nobody said. */
	assert_int_equal(fixture_sql(fx, "SELECT count(*) FROM policy WHERE origin = ''"), 1);
	/* Names keep the numbers that old segments know them by. */
	assert_int_equal(fixture_sql(fx, "SELECT count(*) FROM endpoint"), 9);
	fixture_close(fx);
	assert_int_equal(fixture_sql(fx, "SELECT sum(flows) FROM edge"), 80);
}

static void a_reader_says_who_has_to_open_an_old_file_first(void **state)
{
	struct fixture *fx = *state;
	struct store_reader *r = NULL;
	struct err e = { 0 };

	put_version_1(fx);
	assert_int_equal(store_reader_open(fx->dir, fx->dict, &r, &e), ERR_UNSUPPORTED);
	assert_non_null(strstr(e.msg, "let its observer open it once"));
	assert_int_equal(fixture_sql(fx, "PRAGMA user_version"), 1);
}

/* What was large already then is sorted bit by bit, while the store is used. */
static void large_segments_of_version_1_are_sorted_in_time(void **state)
{
	struct fixture *fx = *state;
	char path[100];

	fixture_open(fx);
	fixture_block(fx, 20000);
	fixture_block(fx, 20000);
	fixture_block(fx, 100);
	fixture_close(fx);
	(void)snprintf(path, sizeof path, "%s/flows.db", fx->dir);
	run_sql(path, "ALTER TABLE segment DROP COLUMN shelves; DROP TABLE shelf;"
		      "ALTER TABLE policy DROP COLUMN origin;"
		      "UPDATE segment SET level = 9; PRAGMA user_version = 1");
	fixture_open(fx);
	AUTO(store_reader_free) struct store_reader *r = fixture_reader(fx);
	assert_int_equal(fixture_scan(fx, r, &ALL_RECORDS).count, 40100);
	assert_true(store_tend(fx->store, fx->now));
	assert_int_equal(fixture_sql(fx, "SELECT count(*) FROM segment WHERE shelves > 1"), 1);
	struct seen seen = fixture_scan(fx, r, &ALL_RECORDS);
	assert_int_equal(seen.count, 40100);
	assert_true(seen.ordered);
	fixture_tend(fx);
	assert_int_equal(fixture_sql(fx, "SELECT count(*) FROM segment WHERE shelves > 1"), 2);
	seen = fixture_scan(fx, r, &ALL_RECORDS);
	assert_int_equal(seen.count, 40100);
	assert_int_equal(seen.wrong, 0);
	assert_true(seen.ordered);
}

/* A migration is one transaction: one that fails leaves the old file. */
static void a_migration_that_fails_leaves_the_old_file(void **state)
{
	struct fixture *fx = *state;
	struct err e = { 0 };
	char path[100];

	put_version_1(fx);
	(void)snprintf(path, sizeof path, "%s/flows.db", fx->dir);
	run_sql(path, "CREATE TABLE shelf (in_the_way)");
	assert_int_not_equal(store_open(&fx->config, fx->now, fx->next_seq, &fx->store, &e),
			     ERR_OK);
	assert_non_null(strstr(e.msg, "shelf"));
	assert_int_equal(fixture_sql(fx, "PRAGMA user_version"), 1);
	assert_int_equal(fixture_sql(fx, "SELECT count(*) FROM pragma_table_info('segment')"
					 " WHERE name = 'shelves'"),
			 0);
	run_sql(path, "DROP TABLE shelf");
	fixture_open(fx);
	assert_int_equal(fixture_sql(fx, "PRAGMA user_version"), 3);
	AUTO(store_reader_free) struct store_reader *r = fixture_reader(fx);
	assert_int_equal(fixture_scan(fx, r, &ALL_RECORDS).count, 50);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, fixture_make, fixture_remove)
	const struct CMUnitTest tests[] = {
		T(a_file_of_version_1_is_read_and_goes_on),
		T(a_reader_says_who_has_to_open_an_old_file_first),
		T(large_segments_of_version_1_are_sorted_in_time),
		T(a_migration_that_fails_leaves_the_old_file),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
