/* lib/store: places of its files that the disk cannot read are damage; a disk that reads nothing is not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "disk_fault.h"
#include "store/reader.h"
#include "store_fixture.h"

enum { PAGE = 4096, BLOCKS = 20, RECORDS = 100 };

/* All of the log in the file, and nothing of that in memory. */
static void move_log(struct fixture *fx)
{
	fixture_move_log(fx);
	assert_int_equal(db_script(&fx->store->db, "PRAGMA shrink_memory", NULL), ERR_OK);
}

static void open_with_blocks(struct fixture *fx)
{
	fixture_open(fx);
	for (int i = 0; i < BLOCKS; i++)
		fixture_block(fx, RECORDS);
	move_log(fx);
}

/* The page of flows.db that is the @nth leaf of the columns. @return its number. */
static uint64_t lose_leaf_of_columns(struct fixture *fx, unsigned nth,
				     void (*lose)(const char *path, int64_t from, int64_t before))
{
	char path[100], sql[200];

	(void)snprintf(sql, sizeof sql,
		       "SELECT pageno FROM dbstat WHERE name = 'segment_data' AND pagetype = 'leaf'"
		       " ORDER BY path LIMIT 1 OFFSET %u",
		       nth);
	uint64_t number = fixture_sql(fx, sql);
	fixture_path(fx, "flows.db", path);
	lose(path, (int64_t)(number - 1) * PAGE, (int64_t)number * PAGE);
	return number;
}

static void a_page_that_cannot_be_read_is_a_gap_that_says_where(void **state)
{
	struct fixture *fx = *state;
	struct store_scan_config config = ALL_RECORDS;
	char place[STORE_PLACE_BYTES], want[STORE_PLACE_BYTES];

	open_with_blocks(fx);
	uint64_t page = lose_leaf_of_columns(fx, 3, disk_fault_add);
	(void)snprintf(want, sizeof want, "page %llu (byte %llu) of flows.db: Input/output error",
		       (unsigned long long)page, (unsigned long long)(page - 1) * PAGE);
	AUTO(store_reader_free) struct store_reader *r = fixture_reader(fx);
	uint64_t left = fixture_scan(fx, r, &config).count;
	assert_in_range(left, RECORDS, RECORDS * (BLOCKS - 1));
	config.backward = true;
	assert_int_equal(fixture_scan(fx, r, &config).count, left);
	struct seen_gap gaps[BLOCKS];
	size_t n = fixture_gaps(r, gaps, ARRAY_LEN(gaps));
	uint64_t lost = 0;
	for (size_t i = 0; i < n; i++) {
		assert_int_equal(gaps[i].cause, STORE_GAP_DAMAGED);
		assert_non_null(strstr(gaps[i].detail, want));
		lost += gaps[i].lost;
	}
	assert_int_equal(lost, RECORDS * BLOCKS - left);
	/* It is told once, and what comes is kept. */
	assert_true(store_unreadable(fx->store, place));
	assert_string_equal(place, want);
	assert_false(store_unreadable(fx->store, place));
	fixture_block(fx, RECORDS);
	assert_true(store_counts(fx->store).is_writing);
	assert_int_equal(fixture_scan(fx, r, &config).count, left + RECORDS);
	assert_int_equal(count_gaps(r, STORE_GAP_DAMAGED), n);
	assert_int_equal(strlen(fixture_chain(r).kinds), 1 + n); /* the start, and they */
}

static void a_read_that_works_when_it_is_tried_again_is_no_damage(void **state)
{
	struct fixture *fx = *state;

	open_with_blocks(fx);
	(void)lose_leaf_of_columns(fx, 3, disk_fault_add_once);
	AUTO(store_reader_free) struct store_reader *r = fixture_reader(fx);
	assert_int_equal(fixture_scan(fx, r, &ALL_RECORDS).count, BLOCKS * RECORDS);
	assert_int_equal(disk_fault_count(), 1);
	assert_int_equal(fixture_gaps(r, NULL, 0), 0);
}

/* @return what the first question says that fails. */
static enum err_code ask(struct store_reader *r, struct err *e)
{
	AUTO(store_scan_free) struct store_scan *sc = NULL;
	const struct flow *flows;
	bool more = true;
	size_t n;
	enum err_code code = store_scan_new(r, &ALL_RECORDS, &sc, e);

	while (code == ERR_OK && more)
		code = store_scan_next(sc, 1000, &flows, &n, &more, e);
	return code;
}

static void a_disk_that_reads_nothing_is_no_damage(void **state)
{
	char path[100], place[STORE_PLACE_BYTES];
	struct fixture *fx = *state;
	struct err e = { 0 };
	bool more;

	open_with_blocks(fx);
	fixture_path(fx, "flows.db", path);
	AUTO(store_reader_free) struct store_reader *r = fixture_reader(fx);
	assert_int_equal(count_gaps(r, STORE_GAP_DAMAGED), 0); /* it is open */
	disk_fault_add_for_good(path, 0, INT64_MAX);
	assert_int_equal(ask(r, &e), ERR_IO);
	assert_non_null(strstr(e.msg, "Input/output error"));
	fx->now = after(fx->now, 3600); /* merging is due */
	assert_int_equal(store_tend(fx->store, fx->now, &more, &e), ERR_IO);
	assert_int_equal(fixture_put(fx, 2 * RECORDS, &e), ERR_OK);
	fx->now = after(fx->now, 1);
	assert_int_equal(store_tick(fx->store, fx->now, &e), ERR_IO);
	assert_false(store_unreadable(fx->store, place));
	disk_fault_clear();
	fx->now = after(fx->now, 1);
	assert_int_equal(store_tick(fx->store, fx->now, &e), ERR_OK);
	fixture_block(fx, RECORDS);
	struct seen_gap gap = fixture_only_gap(r);
	assert_int_equal(gap.cause, STORE_GAP_WRITE);
	assert_int_equal(gap.lost, 2 * RECORDS);
	assert_int_equal(fixture_scan(fx, r, &ALL_RECORDS).count, (BLOCKS + 1) * RECORDS);
}

/* More than half of what is looked at cannot be read; and less. */
static void where_half_of_the_file_can_be_read_it_is_damage(void **state)
{
	struct fixture *fx = *state;
	char path[100];

	for (int half = 0; half < 2; half++) {
		open_with_blocks(fx);
		fixture_path(fx, "flows.db", path);
		int64_t size = (int64_t)fixture_file_bytes(fx);
		AUTO(store_reader_free) struct store_reader *r = fixture_reader(fx);
		assert_int_equal(count_gaps(r, STORE_GAP_DAMAGED), 0);
		disk_fault_add(path, half ? size * 9 / 16 : size * 5 / 16, size);
		assert_int_equal(ask(r, NULL), half ? ERR_OK : ERR_IO);
		assert_int_equal(count_gaps(r, STORE_GAP_DAMAGED) > 0, half);
		store_reader_free(TAKE(r));
		disk_fault_clear();
		fixture_close(fx);
		assert_int_equal(unlink(path), 0);
	}
}

static void a_schema_that_cannot_be_read_is_kept_aside(void **state)
{
	struct fixture *fx = *state;
	char path[100];

	open_with_blocks(fx);
	fixture_close(fx);
	fixture_path(fx, "flows.db", path);
	disk_fault_add(path, 0, PAGE);
	fx->now = after(fx->now, 10);
	fixture_open(fx);
	fixture_block(fx, RECORDS);
	AUTO(store_reader_free) struct store_reader *r = fixture_reader(fx);
	struct seen_gap gap = fixture_only_gap(r);
	assert_int_equal(gap.cause, STORE_GAP_DAMAGED);
	assert_non_null(strstr(gap.detail, "kept as flows.db.damaged-"));
	assert_int_equal(fixture_scan(fx, r, &ALL_RECORDS).count, RECORDS);
}

/* --- the write-ahead log --------------------------------------------------------------------- */

/* The bytes of a block's columns that no other write touches: where they lie in the log. */
static int64_t place_in_log(struct fixture *fx, uint64_t first_seq)
{
	char path[100], sql[100], bytes[64];
	static char log[1 << 22];
	sqlite3_stmt *st;
	sqlite3 *h;

	fixture_path(fx, "flows.db", path);
	(void)snprintf(sql, sizeof sql, "SELECT data FROM segment_data WHERE first_seq = %llu",
		       (unsigned long long)first_seq);
	assert_int_equal(sqlite3_open(path, &h), SQLITE_OK);
	assert_int_equal(sqlite3_prepare_v2(h, sql, -1, &st, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_step(st), SQLITE_ROW);
	struct str data = column_blob(st, 0);
	assert_true(data.len > sizeof bytes);
	memcpy(bytes, data.p + data.len - sizeof bytes, sizeof bytes);
	assert_int_equal(sqlite3_finalize(st), SQLITE_OK);
	assert_int_equal(sqlite3_close(h), SQLITE_OK);
	fixture_path(fx, "flows.db-wal", path);
	FILE *f = fopen(path, "r");
	size_t n = fread(log, 1, sizeof log, f);
	assert_int_equal(fclose(f), 0);
	assert_in_range(n, 1, sizeof log - 1);
	const char *at = NULL; /* the last one */
	for (const char *p = log; (p = memmem(p, n - (size_t)(p - log), bytes, sizeof bytes)); p++)
		at = p;
	assert_non_null(at);
	return at - log;
}

static void a_page_of_the_log_that_cannot_be_read_holds_up_no_other(void **state)
{
	struct fixture *fx = *state;
	char path[100], place[STORE_PLACE_BYTES];

	open_with_blocks(fx);
	uint64_t first = fx->next_seq;
	fixture_bulk(fx, 40);
	fixture_block(fx, RECORDS);
	int64_t at = place_in_log(fx, first);
	fixture_path(fx, "flows.db-wal", path);
	disk_fault_add(path, at, at + 1);
	sync_poke(fx->store->sync, 3000); /* waits until all is moved */
	assert_true(store_unreadable(fx->store, place));
	assert_non_null(strstr(place, " of flows.db-wal: Input/output error"));
	AUTO(store_reader_free) struct store_reader *r = fixture_reader(fx);
	assert_int_equal(fixture_scan(fx, r, &ALL_RECORDS).count, (BLOCKS + 1) * RECORDS);
	struct seen_gap gap = fixture_only_gap(r);
	assert_int_equal(gap.cause, STORE_GAP_DAMAGED);
	assert_int_equal(gap.first_seq, first);
	assert_int_equal(gap.lost, 40);
	fixture_block(fx, RECORDS); /* at the log's begin */
	fixture_block(fx, RECORDS);
	struct stat st;
	assert_int_equal(stat(path, &st), 0);
	assert_true(fixture_file_bytes(fx) > 40 * 1024);
	store_reader_free(TAKE(r));
	fixture_close(fx);
	assert_int_not_equal(stat(path, &st), 0); /* all of it was moved */
}

/* Killed: the log is there, and @at of it cannot be read. */
static void open_without_the_log(struct fixture *fx, bool is_head)
{
	char path[100], place[STORE_PLACE_BYTES];

	open_with_blocks(fx);
	uint64_t first = fx->next_seq;
	struct wall_ns last = fx->now;
	fixture_bulk(fx, 40);
	fixture_block(fx, RECORDS);
	int64_t at = is_head ? 0 : place_in_log(fx, first);
	fixture_kill(fx);
	fixture_path(fx, "flows.db-wal", path);
	disk_fault_add(path, at, at + 1);
	fx->now = after(fx->now, 10);
	fx->next_seq += 1000;
	fixture_open(fx);
	assert_true(store_unreadable(fx->store, place));
	fixture_block(fx, RECORDS);
	AUTO(store_reader_free) struct store_reader *r = fixture_reader(fx);
	struct seen seen = fixture_scan(fx, r, &ALL_RECORDS);
	assert_int_equal(seen.count, (BLOCKS + 1) * RECORDS);
	assert_int_equal(seen.wrong, 0);
	assert_int_equal(count_gaps(r, STORE_GAP_CRASHED), 1);
	assert_int_equal(count_gaps(r, STORE_GAP_DAMAGED), 1);
	struct seen_gap gaps[2];
	assert_int_equal(fixture_gaps(r, gaps, 2), 2);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(gaps[i].from.v, last.v);
		assert_int_equal(gaps[i].to.v, fx->now.v - NS_PER_S);
		if (gaps[i].cause == STORE_GAP_DAMAGED) {
			assert_memory_equal(gaps[i].detail, "kept as flows.db.damaged-", 25);
			assert_non_null(strstr(gaps[i].detail, "-wal"));
			fixture_path(fx, gaps[i].detail + strlen("kept as "), path);
			assert_int_equal(access(path, F_OK), 0);
		}
	}
	(void)fixture_chain(r);
}

static void a_log_of_which_a_page_cannot_be_read_at_a_start_is_kept_aside(void **state)
{
	open_without_the_log(*state, false);
}

static void a_log_whose_head_cannot_be_read_at_a_start_is_kept_aside(void **state)
{
	open_without_the_log(*state, true);
}

static int make(void **state)
{
	disk_fault_clear();
	return fixture_make(state);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, make, fixture_remove)
		T(a_page_that_cannot_be_read_is_a_gap_that_says_where),
		T(a_read_that_works_when_it_is_tried_again_is_no_damage),
		T(a_disk_that_reads_nothing_is_no_damage),
		T(where_half_of_the_file_can_be_read_it_is_damage),
		T(a_schema_that_cannot_be_read_is_kept_aside),
		T(a_page_of_the_log_that_cannot_be_read_holds_up_no_other),
		T(a_log_of_which_a_page_cannot_be_read_at_a_start_is_kept_aside),
		T(a_log_whose_head_cannot_be_read_at_a_start_is_kept_aside),
	};

	disk_fault_install();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
