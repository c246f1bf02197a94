/* lib/store: what lay on a damaged page and is said elsewhere, too, is made again. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "disk_fault.h"
#include "page_damage.h"
#include "store/inside.h"
#include "store/reader.h"

/* All that @sql says. */
static uint64_t sum_of(struct fixture *fx, const char *sql)
{
	char path[100];
	sqlite3_stmt *st;
	sqlite3 *h;
	uint64_t sum = 0;

	fixture_path(fx, "flows.db", path);
	assert_int_equal(sqlite3_open(path, &h), SQLITE_OK);
	assert_int_equal(sqlite3_prepare_v2(h, sql, -1, &st, NULL), SQLITE_OK);
	while (sqlite3_step(st) == SQLITE_ROW)
		for (int i = 0; i < sqlite3_column_count(st); i++) {
			struct str cell = column_blob(st, i);
			sum = hash_bytes(cell.p, cell.len, sum + 1);
		}
	assert_int_equal(sqlite3_finalize(st), SQLITE_OK);
	assert_int_equal(sqlite3_close(h), SQLITE_OK);
	return sum;
}

/* Of the store that was saved one page is damaged; it is opened, asked and closed. */
static void mend_page(struct fixture *fx, uint64_t number)
{
	restore(fx, number, 0xa5);
	fixture_open(fx);
	(void)ask(fx);
	fx->now = after(fx->now, 1);
	assert_int_equal(store_tick(fx->store, fx->now, NULL), ERR_OK);
	assert_int_equal(mend_if_due(fx->store, fx->now, NULL), ERR_OK);
	fixture_close(fx);
}

/* Each leaf of @table in turn: what @sql says is the same again once the store was opened and asked. */
static void expect_restored(struct fixture *fx, const char *table, const char *sql)
{
	struct page pages[400];
	size_t tried = 0;
	char path[100];

	fill(fx);
	save(fx);
	fixture_path(fx, "saved", path);
	size_t count = list_pages(path, pages, ARRAY_LEN(pages));
	uint64_t before = sum_of(fx, sql);
	for (size_t i = 0; i < count; i++) {
		if (strcmp(pages[i].table, table) != 0 || !pages[i].is_leaf)
			continue;
		mend_page(fx, pages[i].number);
		assert_false(is_set_aside(fx));
		assert_int_equal(sum_of(fx, sql), before);
		tried++;
	}
	assert_true(tried > 0);
}

static void rows_of_segments_are_made_of_their_columns_and_the_chain(void **state)
{
	expect_restored(*state, "segment",
			"SELECT first_seq, last_seq, count, blocks, from_ns, to_ns, untimed,"
			" sealed_ns, last_entry, damaged, bytes, sum, zone, shelves FROM segment"
			" ORDER BY first_seq");
}

/* A page that was written to another one's place. */
static void a_page_in_anothers_place_leads_nobody_in_a_circle(void **state)
{
	struct fixture *fx = *state;
	struct page pages[400];
	uint8_t bytes[PAGE];
	size_t before = SIZE_MAX, tried = 0;
	char path[100];

	fill(fx);
	save(fx);
	fixture_path(fx, "saved", path);
	size_t count = list_pages(path, pages, ARRAY_LEN(pages));
	for (size_t i = 0; i < count; i++) {
		if (strcmp(pages[i].table, "segment") != 0 || !pages[i].is_leaf)
			continue;
		for (int later = 0; later < 2 && before != SIZE_MAX; later++, tried++) {
			const struct page *from = &pages[later ? i : before];
			const struct page *to = &pages[later ? before : i];
			AUTO(store_reader_free) struct store_reader *r = NULL;
			struct answers a = { .code = ERR_OK };
			restore(fx, 0, 0);
			fixture_path(fx, "flows.db", path);
			int fd = open(path, O_RDWR);
			assert_int_equal(pread(fd, bytes, PAGE, (off_t)(from->number - 1) * PAGE),
					 PAGE);
			assert_int_equal(pwrite(fd, bytes, PAGE, (off_t)(to->number - 1) * PAGE),
					 PAGE);
			assert_int_equal(close(fd), 0);
			assert_int_equal(store_reader_open(fx->dir, fx->dict, &r, NULL), ERR_OK);
			for (int backward = 0; backward < 2; backward++) {
				AUTO(store_scan_free) struct store_scan *sc = NULL;
				struct store_scan_config config = ALL_RECORDS;
				const struct flow *flows;
				bool more = true;
				size_t n, calls = 0;
				config.backward = backward;
				assert_int_equal(store_scan_new(r, &config, &sc, NULL), ERR_OK);
				while (more && calls++ < 10 * BLOCKS)
					assert_int_equal(
						store_scan_next(sc, 1000, &flows, &n, &more, NULL),
						ERR_OK);
				assert_false(more);
			}
			fixture_open(fx);
			a = ask(fx);
			assert_int_equal(a.records, LARGE + BLOCKS * RECORDS);
			assert_int_equal(a.backward, a.records);
			fixture_close(fx);
		}
		before = i;
	}
	assert_true(tried > 0);
}

static void rows_of_shelves_are_made_of_their_columns(void **state)
{
	expect_restored(*state, "shelf", "SELECT * FROM shelf ORDER BY id");
}

static void gaps_are_made_of_the_chain(void **state)
{
	expect_restored(
		*state, "gap",
		"SELECT cause, from_ns, to_ns, lost, first_seq, last_seq, node, detail, entry"
		" FROM gap WHERE cause = 3 ORDER BY entry");
}

/* Damage in two places: what cannot be made again is left out. */
static void a_gap_that_the_chain_cannot_tell_either_is_left_out(void **state)
{
	struct fixture *fx = *state;
	struct page pages[400];
	char path[100];

	fill(fx);
	(void)fixture_sql(fx, "UPDATE entry SET body = '{' WHERE number ="
			      " (SELECT min(entry) FROM gap)");
	save(fx);
	fixture_path(fx, "saved", path);
	for (size_t i = list_pages(path, pages, ARRAY_LEN(pages)); i-- > 0;) {
		if (strcmp(pages[i].table, "gap_to") != 0 && strcmp(pages[i].table, "gap") != 0)
			continue;
		mend_page(fx, pages[i].number);
		assert_in_range(fixture_sql(fx, "SELECT count(*) FROM gap WHERE cause = 3"),
				BLOCKS - 1, BLOCKS);
	}
}

int main(void)
{
	disk_fault_install();
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, make, fixture_remove)
		T(rows_of_segments_are_made_of_their_columns_and_the_chain),
		T(a_page_in_anothers_place_leads_nobody_in_a_circle),
		T(rows_of_shelves_are_made_of_their_columns),
		T(gaps_are_made_of_the_chain),
		T(a_gap_that_the_chain_cannot_tell_either_is_left_out),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
