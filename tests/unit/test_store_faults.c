/* lib/store: what goes wrong is owned up to, and the observer goes on. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "store/reader.h"
#include "store_fixture.h"

static void path_in(struct fixture *fx, const char *name, char path[100])
{
	assert_in_range(snprintf(path, 100, "%.40s/%.50s", fx->dir, name), 1, 99);
}

static struct seen_gap only_gap(struct store_reader *r)
{
	struct seen_gap gaps[4] = { 0 };
	size_t n = fixture_gaps(r, gaps, ARRAY_LEN(gaps));

	for (size_t i = 0; n != 1 && i < n && i < ARRAY_LEN(gaps); i++)
		print_message("%s %llu to %llu, lost %llu: %s\n",
			      store_gap_cause_name(gaps[i].cause),
			      (unsigned long long)gaps[i].from.v, (unsigned long long)gaps[i].to.v,
			      (unsigned long long)gaps[i].lost, gaps[i].detail);
	assert_int_equal(n, 1);
	return gaps[0];
}

/* --- ends --------------------------------------------------------------------------------- */

static void a_stop_leaves_a_gap_until_the_next_start(void **state)
{
	struct fixture *fx = *state;

	fixture_open(fx);
	fixture_block(fx, 10);
	struct wall_ns stopped = fx->now;
	fixture_close(fx);
	fx->now = after(fx->now, 3600);
	fixture_open(fx);
	AUTO(store_reader_free) struct store_reader *r = fixture_reader(fx);
	struct seen_gap gap = only_gap(r);
	assert_int_equal(gap.cause, STORE_GAP_DOWN);
	assert_int_equal(gap.from.v, stopped.v);
	assert_int_equal(gap.to.v, fx->now.v);
	assert_int_equal(fixture_scan(fx, r, &ALL_RECORDS).count, 10);
}

static void a_kill_loses_the_open_block_and_says_so(void **state)
{
	struct fixture *fx = *state;
	struct err e = { 0 };

	fixture_open(fx);
	fixture_block(fx, 10);
	fixture_block(fx, 10);
	struct wall_ns sealed = fx->now;
	assert_int_equal(fixture_put(fx, 10, &e), ERR_OK);
	fixture_kill(fx);
	fx->now = after(fx->now, 30);
	fixture_open(fx);
	AUTO(store_reader_free) struct store_reader *r = fixture_reader(fx);
	struct seen_gap gap = only_gap(r);
	assert_int_equal(gap.cause, STORE_GAP_CRASHED);
	assert_int_equal(gap.from.v, sealed.v);
	assert_int_equal(gap.to.v, fx->now.v);
	assert_int_equal(fixture_scan(fx, r, &ALL_RECORDS).count, 20);
	(void)fixture_chain(r);
}

static void a_quiet_store_gives_a_sign_of_life(void **state)
{
	struct fixture *fx = *state;
	struct err e = { 0 };

	fixture_open(fx);
	fixture_block(fx, 10);
	for (int i = 0; i < 100; i++) {
		fx->now = after(fx->now, 1);
		assert_int_equal(store_tick(fx->store, fx->now, &e), ERR_OK);
	}
	struct wall_ns ended = fx->now;
	fixture_kill(fx);
	fx->now = after(fx->now, 3600);
	fixture_open(fx);
	AUTO(store_reader_free) struct store_reader *r = fixture_reader(fx);
	assert_in_range(only_gap(r).from.v, ended.v - 10 * NS_PER_S, ended.v);
}

static void killed_again_and_again_it_keeps_all_that_was_sealed(void **state)
{
	struct fixture *fx = *state;
	struct err e = { 0 };
	uint64_t sealed = 0;

	for (int run = 0; run < 12; run++) {
		fixture_open(fx);
		for (int i = 0; i < run; i++) {
			fixture_block(fx, 50);
			sealed += 50;
		}
		assert_int_equal(fixture_put(fx, 7, &e), ERR_OK);
		fixture_kill(fx);
		fx->next_seq += 1000; /* as the epoch does */
		fx->now = after(fx->now, 5);
	}
	fixture_open(fx);
	AUTO(store_reader_free) struct store_reader *r = fixture_reader(fx);
	struct seen seen = fixture_scan(fx, r, &ALL_RECORDS);
	assert_int_equal(seen.count, sealed);
	assert_int_equal(seen.wrong, 0);
	assert_true(seen.ordered);
	assert_int_equal(count_gaps(r, STORE_GAP_CRASHED), 12);
	(void)fixture_chain(r);
}

static void edges_count_each_record_once_over_a_kill(void **state)
{
	struct fixture *fx = *state;

	fixture_open(fx);
	fixture_block(fx, 50);
	fixture_block(fx, 60);
	fixture_kill(fx);
	fixture_open(fx);
	fixture_block(fx, 5);
	fixture_close(fx);
	assert_int_equal(fixture_sql(fx, "SELECT sum(flows) FROM edge"), 115);
	assert_int_equal(fixture_sql(fx, "SELECT sum(bytes) FROM edges WHERE src = 'cart'"
					 " AND src_namespace = 'shop' AND dst = 'world' AND"
					 " dst_port = 443"),
			 /* two of eight pods: numbers 1000 to 1114 that are 0 or 1 modulo 8 */
			 30 * 120);
}

/* The file is there, but cannot be opened until later: what the run before left is counted then. */
static void edges_are_recounted_when_the_file_opens_late(void **state)
{
	static const char *const parts[] = { "flows.db", "flows.db-wal" };
	struct fixture *fx = *state;
	char path[2][100], aside[2][120];
	struct err e = { 0 };

	for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
		path_in(fx, parts[i], path[i]);
		(void)snprintf(aside[i], sizeof aside[i], "%.99s.aside", path[i]);
	}
	fixture_open(fx);
	fixture_block(fx, 50);
	fixture_block(fx, 60);
	fixture_kill(fx);
	for (size_t i = 0; i < ARRAY_LEN(parts); i++)
		assert_int_equal(rename(path[i], aside[i]), 0);
	assert_int_equal(mkdir(path[0], 0700), 0);
	fixture_open(fx);
	assert_int_not_equal(fixture_put(fx, 7, &e), ERR_OK); /* lost, but counted */
	assert_int_equal(rmdir(path[0]), 0);
	for (size_t i = 0; i < ARRAY_LEN(parts); i++)
		assert_int_equal(rename(aside[i], path[i]), 0);
	fx->now = after(fx->now, 1);
	assert_int_equal(store_tick(fx->store, fx->now, &e), ERR_OK);
	fixture_block(fx, 5);
	fixture_close(fx);
	assert_int_equal(fixture_sql(fx, "SELECT sum(flows) FROM edge"), 50 + 60 + 7 + 5);
	assert_int_equal(fixture_sql(fx, "SELECT count(DISTINCT src) FROM edges"), 4);
}

/* --- clocks ------------------------------------------------------------------------------- */

static void a_clock_that_is_set_back_is_noted(void **state)
{
	struct fixture *fx = *state;
	struct err e = { 0 };

	fixture_open(fx);
	fixture_block(fx, 10);
	struct wall_ns before = fx->now;
	fx->now.v -= 600 * NS_PER_S;
	assert_int_equal(fixture_put(fx, 10, &e), ERR_OK);
	fx->now = after(fx->now, 1);
	assert_int_equal(store_tick(fx->store, fx->now, &e), ERR_OK);
	AUTO(store_reader_free) struct store_reader *r = fixture_reader(fx);
	struct seen_gap gap = only_gap(r);
	assert_int_equal(gap.cause, STORE_GAP_CLOCK);
	assert_int_equal(gap.to.v, before.v);
	assert_int_equal(gap.from.v, before.v - 600 * NS_PER_S);
	assert_int_equal(fixture_scan(fx, r, &ALL_RECORDS).count, 20);
}

static void a_clock_that_is_set_back_over_a_restart_is_noted(void **state)
{
	struct fixture *fx = *state;

	fixture_open(fx);
	fixture_block(fx, 10);
	fixture_close(fx);
	fx->now.v -= 600 * NS_PER_S;
	fixture_open(fx);
	fixture_block(fx, 10);
	AUTO(store_reader_free) struct store_reader *r = fixture_reader(fx);
	assert_int_equal(count_gaps(r, STORE_GAP_CLOCK), 1);
	assert_int_equal(fixture_scan(fx, r, &ALL_RECORDS).count, 20);
}

static void a_step_of_less_than_a_second_is_no_gap(void **state)
{
	struct fixture *fx = *state;
	struct err e = { 0 };

	fixture_open(fx);
	fixture_block(fx, 10);
	fx->now.v -= 900 * NS_PER_MS;
	assert_int_equal(fixture_put(fx, 10, &e), ERR_OK);
	fx->now = after(fx->now, 1);
	assert_int_equal(store_tick(fx->store, fx->now, &e), ERR_OK);
	AUTO(store_reader_free) struct store_reader *r = fixture_reader(fx);
	assert_int_equal(fixture_gaps(r, NULL, 0), 0);
}

/* --- who may ------------------------------------------------------------------------------ */

static struct store_gap kernel_gap(struct wall_ns when)
{
	return (struct store_gap){
		.cause = STORE_GAP_KERNEL, .from = when, .to = when, .lost = 1, .node = STR("")
	};
}

/* More gaps than there is room for until the next block become wider; none is forgotten, and those
 * that are near to one that is there make no other wider. */
static void more_gaps_than_can_wait_become_wider(void **state)
{
	enum { COUNT = 3 * GAPS_PENDING };
	struct fixture *fx = *state;
	struct seen_gap list[GAPS_PENDING];
	uint64_t lost = 0;

	fixture_open(fx);
	fixture_block(fx, 1);
	for (int i = 0; i < COUNT; i++) {
		const struct store_gap gap = kernel_gap(after(NOON, 10 * i));
		store_note_gap(fx->store, &gap);
	}
	const struct store_gap near = kernel_gap(after(NOON, 0.5));
	store_note_gap(fx->store, &near);
	fixture_block(fx, 1);
	AUTO(store_reader_free) struct store_reader *r = fixture_reader(fx);
	assert_int_equal(fixture_gaps(r, list, ARRAY_LEN(list)), GAPS_PENDING);
	for (size_t i = 0; i < GAPS_PENDING; i++)
		lost += list[i].lost;
	assert_int_equal(lost, COUNT + 1);
	assert_int_equal(list[0].from.v, NOON.v);
	assert_int_equal(list[0].to.v, after(NOON, 0.5).v);
	assert_int_equal(list[GAPS_PENDING - 1].from.v, after(NOON, 10 * (GAPS_PENDING - 1)).v);
	assert_int_equal(list[GAPS_PENDING - 1].to.v, after(NOON, 10 * (COUNT - 1)).v);
}

/* Readers may find much that is damaged: it is found again. */
static void damage_that_is_found_leaves_room_for_gaps_that_are_told_once(void **state)
{
	struct fixture *fx = *state;

	fixture_open(fx);
	for (int i = 0; i < 2 * GAPS_PENDING; i++)
		fixture_block(fx, 1);
	(void)fixture_sql(fx, "DELETE FROM segment_data");
	AUTO(store_reader_free) struct store_reader *r = fixture_reader(fx);
	assert_int_equal(fixture_scan(fx, r, &ALL_RECORDS).count, 0);
	for (int i = 0; i < 5; i++) {
		const struct store_gap gap = kernel_gap(after(NOON, 10 * i));
		store_note_gap(fx->store, &gap);
	}
	fixture_block(fx, 1);
	assert_int_equal(count_gaps(r, STORE_GAP_KERNEL), 5);
	assert_true(count_gaps(r, STORE_GAP_DAMAGED) > 1);
}

static void a_gap_that_is_noted_after_the_stop_is_written(void **state)
{
	struct fixture *fx = *state;
	const struct store_gap gap = kernel_gap(NOON);
	struct err e = { 0 };

	fixture_open(fx);
	fixture_block(fx, 1);
	assert_int_equal(store_stop(fx->store, fx->now, &e), ERR_OK);
	store_note_gap(fx->store, &gap);
	fixture_close(fx);
	fixture_open(fx);
	AUTO(store_reader_free) struct store_reader *r = fixture_reader(fx);
	assert_int_equal(count_gaps(r, STORE_GAP_KERNEL), 1);
}

static void two_stores_in_one_folder_are_one_too_many(void **state)
{
	struct fixture *fx = *state;
	struct store *other = NULL;
	struct err e = { 0 };

	fixture_open(fx);
	assert_int_equal(store_open(&fx->config, fx->now, FIRST_SEQ, &other, &e), ERR_EXISTS);
	assert_non_null(strstr(e.msg, "another observer"));
	assert_null(other);
	fixture_close(fx);
	assert_int_equal(store_open(&fx->config, fx->now, FIRST_SEQ, &other, &e), ERR_OK);
	store_close(other, fx->now);
}

static void a_newer_file_is_refused_with_a_sentence(void **state)
{
	struct fixture *fx = *state;
	struct err e = { 0 };

	fixture_open(fx);
	fixture_close(fx);
	(void)fixture_sql(fx, "PRAGMA user_version = 99");
	assert_int_equal(store_open(&fx->config, fx->now, FIRST_SEQ, &fx->store, &e),
			 ERR_UNSUPPORTED);
	assert_non_null(strstr(e.msg, "newer Tycho"));
	AUTO(store_reader_free) struct store_reader *r = NULL;
	assert_int_equal(store_reader_open(fx->dir, fx->dict, &r, &e), ERR_UNSUPPORTED);
	assert_int_equal(fixture_sql(fx, "PRAGMA user_version"), 99); /* and left alone */
}

static void somebody_elses_database_is_refused_and_left_alone(void **state)
{
	struct fixture *fx = *state;
	struct err e = { 0 };

	(void)fixture_sql(fx, "CREATE TABLE precious (x)");
	assert_int_equal(store_open(&fx->config, fx->now, FIRST_SEQ, &fx->store, &e),
			 ERR_UNSUPPORTED);
	assert_int_equal(fixture_sql(fx, "SELECT count(*) FROM sqlite_schema"), 1);
}

static void numbers_go_on_behind_what_the_file_holds(void **state)
{
	struct fixture *fx = *state;

	fixture_open(fx);
	fixture_block(fx, 10);
	fixture_close(fx);
	fx->next_seq = 5; /* the state directory was lost, and the clock stands in 1970 */
	fixture_open(fx);
	assert_int_equal(store_taken(fx->store), FIRST_SEQ + 10);
	fixture_block(fx, 10);
	AUTO(store_reader_free) struct store_reader *r = fixture_reader(fx);
	assert_int_equal(fixture_scan(fx, r, &ALL_RECORDS).count, 20);
}

/* --- disks -------------------------------------------------------------------------------- */

/* SQLite says "full" as it does when the file system is. */
static void limit_pages(struct fixture *fx, const char *sql)
{
	assert_int_equal(db_script(&fx->store->db, sql, NULL), ERR_OK);
}

static void a_full_disk_loses_blocks_and_a_gap_says_which(void **state)
{
	struct fixture *fx = *state;
	struct seen_gap gaps[4];
	struct err e = { 0 };

	fixture_open(fx);
	fixture_block(fx, 100);
	limit_pages(fx, "PRAGMA max_page_count = 1");
	struct wall_ns failed = fx->now;
	for (int i = 0; i < 3; i++) {
		assert_int_equal(fixture_put(fx, 2000, &e), ERR_OK);
		fx->now = after(fx->now, 1);
		assert_int_equal(store_tick(fx->store, fx->now, &e), ERR_IO);
		assert_non_null(strstr(e.msg, "No space left on device"));
		assert_false(store_counts(fx->store).is_writing);
		assert_int_equal(store_sealed(fx->store), fx->next_seq); /* nobody waits for it */
	}
	AUTO(store_reader_free) struct store_reader *r = fixture_reader(fx);
	assert_int_equal(only_gap(r).cause, STORE_GAP_WRITE); /* known before it can be written */
	limit_pages(fx, "PRAGMA max_page_count = 1000000");
	fixture_block(fx, 100);
	assert_true(store_counts(fx->store).is_writing);
	assert_int_equal(store_counts(fx->store).lost, 6000);
	assert_int_equal(fixture_gaps(r, gaps, ARRAY_LEN(gaps)), 1);
	assert_int_equal(gaps[0].cause, STORE_GAP_WRITE);
	assert_int_equal(gaps[0].lost, 6000);
	assert_int_equal(gaps[0].first_seq, FIRST_SEQ + 100);
	assert_int_equal(gaps[0].last_seq, FIRST_SEQ + 6099);
	assert_in_range(gaps[0].from.v, failed.v, failed.v + NS_PER_S);
	assert_string_equal(gaps[0].detail, "No space left on device");
	assert_int_equal(fixture_scan(fx, r, &ALL_RECORDS).count, 200);
	assert_non_null(strstr(fixture_chain(r).kinds, "g"));
}

static void names_of_a_lost_block_are_there_for_the_next(void **state)
{
	struct fixture *fx = *state;
	struct err e = { 0 };

	fixture_open(fx);
	limit_pages(fx, "PRAGMA max_page_count = 1");
	assert_int_equal(fixture_put(fx, 2000, &e), ERR_OK);
	fx->now = after(fx->now, 1);
	assert_int_equal(store_tick(fx->store, fx->now, &e), ERR_IO);
	limit_pages(fx, "PRAGMA max_page_count = 1000000");
	fixture_block(fx, 300);
	fixture_close(fx);
	flow_dict_free(fx->dict); /* another process has its own */
	assert_int_equal(flow_dict_new(100, &fx->dict, NULL), ERR_OK);
	fx->config.dict = fx->dict;
	fixture_open(fx);
	AUTO(store_reader_free) struct store_reader *r = fixture_reader(fx);
	struct seen seen = fixture_scan(fx, r, &ALL_RECORDS);
	assert_int_equal(seen.count, 300);
	assert_int_equal(seen.wrong, 0);
}

/* A folder where nothing can be written: the database's name is taken by a folder. */
static void a_store_that_cannot_be_written_at_first_is_when_it_can(void **state)
{
	struct fixture *fx = *state;
	char path[100];
	struct err e = { 0 };

	path_in(fx, "flows.db", path);
	assert_int_equal(mkdir(path, 0700), 0);
	fixture_open(fx);
	assert_int_not_equal(fixture_put(fx, 100, &e), ERR_OK);
	AUTO(store_reader_free) struct store_reader *r = fixture_reader(fx);
	fx->now = after(fx->now, 1);
	assert_int_not_equal(store_tick(fx->store, fx->now, &e), ERR_OK);
	assert_int_equal(store_counts(fx->store).lost, 100);
	assert_int_equal(rmdir(path), 0);
	fx->now = after(fx->now, 1);
	assert_int_equal(store_tick(fx->store, fx->now, &e), ERR_OK);
	fixture_block(fx, 50);
	assert_int_equal(fixture_scan(fx, r, &ALL_RECORDS).count, 50);
	struct seen_gap gap = only_gap(r);
	assert_int_equal(gap.cause, STORE_GAP_WRITE);
	assert_int_equal(gap.lost, 100);
	assert_int_equal(fixture_chain(r).first, 1);
}

/* --- damage ------------------------------------------------------------------------------- */

static void a_damaged_segment_is_stepped_over_and_becomes_a_gap(void **state)
{
	struct fixture *fx = *state;

	fixture_open(fx);
	for (int i = 0; i < 5; i++)
		fixture_block(fx, 500);
	(void)fixture_sql(fx, "UPDATE segment_data SET data = zeroblob(length(data))"
			      " WHERE first_seq = 1500");
	AUTO(store_reader_free) struct store_reader *r = fixture_reader(fx);
	struct store_scan_config config = ALL_RECORDS;
	for (int i = 0; i < 2; i++) {
		config.backward = i;
		assert_int_equal(fixture_scan(fx, r, &config).count, 2000);
	}
	struct seen_gap gap = only_gap(r);
	assert_int_equal(gap.cause, STORE_GAP_DAMAGED);
	assert_int_equal(gap.lost, 500);
	assert_int_equal(gap.first_seq, FIRST_SEQ + 500);
	assert_int_equal(gap.last_seq, FIRST_SEQ + 999);
	/* With the next block it is an entry of the chain, once. */
	fixture_block(fx, 10);
	assert_int_equal(fixture_scan(fx, r, &ALL_RECORDS).count, 2010);
	fixture_block(fx, 10);
	assert_int_equal(count_gaps(r, STORE_GAP_DAMAGED), 1);
	assert_string_equal(fixture_chain(r).kinds, "sg");
}

/* Refuses to read a table, once. */
struct refusal {
	const char *table;
	int left;
};

static int refuse(void *ctx, int action, const char *a, const char *b, const char *c, const char *d)
{
	struct refusal *refusal = ctx;

	(void)b;
	(void)c;
	(void)d;
	return action == SQLITE_READ && strcmp(a, refusal->table) == 0 && refusal->left-- > 0
		       ? SQLITE_DENY
		       : SQLITE_OK;
}

static bool see_entry(void *ctx, const struct store_entry *entry)
{
	(void)ctx;
	(void)entry;
	return true;
}

static void a_name_that_cannot_be_read_is_no_missing_name(void **state)
{
	struct refusal refusal = { "endpoint", 1 };
	struct fixture *fx = *state;
	const struct flow *flows;
	struct err e = { 0 };
	size_t n;
	bool more;

	fixture_open(fx);
	fixture_block(fx, 100);
	AUTO(store_reader_free) struct store_reader *r = NULL;
	AUTO(store_scan_free) struct store_scan *sc = NULL;
	assert_int_equal(store_reader_open(fx->dir, fx->dict, &r, &e), ERR_OK);
	assert_int_equal(store_scan_new(r, &ALL_RECORDS, &sc, &e), ERR_OK);
	assert_int_equal(sqlite3_set_authorizer(r->db.h, refuse, &refusal), SQLITE_OK);
	assert_int_equal(store_scan_next(sc, 1000, &flows, &n, &more, &e), ERR_PERMISSION);
	assert_non_null(strstr(e.msg, "read a name"));
	struct seen seen = fixture_scan(fx, r, &ALL_RECORDS); /* another one finds it well */
	assert_int_equal(seen.count, 100);
	assert_int_equal(seen.wrong, 0);
}

static void a_segment_that_cannot_be_looked_up_ends_the_walk(void **state)
{
	struct refusal refusal = { "segment", 1 };
	struct fixture *fx = *state;
	struct err e = { 0 };

	fixture_open(fx);
	fixture_block(fx, 100);
	fixture_block(fx, 100);
	AUTO(store_reader_free) struct store_reader *r = NULL;
	assert_int_equal(store_reader_open(fx->dir, fx->dict, &r, &e), ERR_OK);
	assert_int_equal(sqlite3_set_authorizer(r->db.h, refuse, &refusal), SQLITE_OK);
	assert_int_equal(store_chain(r, 0, see_entry, NULL, &e), ERR_PERMISSION);
	assert_int_equal(store_chain(r, 0, see_entry, NULL, &e), ERR_OK);
}

static void set_data(sqlite3 *h, const void *bytes, int size)
{
	sqlite3_stmt *st;

	assert_int_equal(sqlite3_prepare_v2(h, "UPDATE segment_data SET data = ?1", -1, &st, NULL),
			 SQLITE_OK);
	assert_int_equal(sqlite3_bind_blob(st, 1, bytes, size, SQLITE_STATIC), SQLITE_OK);
	assert_int_equal(sqlite3_step(st), SQLITE_DONE);
	assert_int_equal(sqlite3_finalize(st), SQLITE_OK);
}

/* SQLite does not look into blobs, and not every codec sees every bit. */
static void no_single_bit_of_a_segment_may_flip(void **state)
{
	struct fixture *fx = *state;
	uint8_t bytes[16384];
	char path[100];
	sqlite3_blob *blob;
	sqlite3 *h;

	fixture_open(fx);
	fixture_block(fx, 200);
	path_in(fx, "flows.db", path);
	assert_int_equal(sqlite3_open(path, &h), SQLITE_OK);
	assert_int_equal(sqlite3_blob_open(h, "main", "segment_data", "data", FIRST_SEQ, 0, &blob),
			 SQLITE_OK);
	int size = sqlite3_blob_bytes(blob);
	assert_in_range(size, 100, sizeof bytes);
	assert_int_equal(sqlite3_blob_read(blob, bytes, size, 0), SQLITE_OK);
	assert_int_equal(sqlite3_blob_close(blob), SQLITE_OK);
	assert_int_equal(sqlite3_exec(h, "PRAGMA synchronous = OFF", NULL, NULL, NULL), SQLITE_OK);
	AUTO(store_reader_free) struct store_reader *r = NULL;
	for (int at = 0; at < size; at += 3) {
		uint8_t bit = (uint8_t)(1 << at % 8);
		bytes[at] ^= bit;
		set_data(h, bytes, size);
		store_reader_free(TAKE(r)); /* each finds its damage anew */
		assert_int_equal(store_reader_open(fx->dir, fx->dict, &r, NULL), ERR_OK);
		assert_int_equal(fixture_scan(fx, r, &ALL_RECORDS).count, 0);
		assert_int_equal(count_gaps(r, STORE_GAP_DAMAGED), 1);
		bytes[at] ^= bit;
	}
	set_data(h, bytes, size);
	assert_int_equal(sqlite3_close(h), SQLITE_OK);
	assert_int_equal(fixture_scan(fx, r, &ALL_RECORDS).count, 200);
}

/* Bytes that are as they were written, and are no records from some place on. */
static void a_segment_that_cannot_be_read_to_its_end_is_stepped_over(void **state)
{
	struct fixture *fx = *state;
	char path[100], text[200];
	uint8_t bytes[16384];
	sqlite3_blob *blob;
	sqlite3 *h;

	fixture_open(fx);
	for (int i = 0; i < 5; i++)
		fixture_block(fx, 500);
	path_in(fx, "flows.db", path);
	assert_int_equal(sqlite3_open(path, &h), SQLITE_OK);
	assert_int_equal(
		sqlite3_blob_open(h, "main", "segment_data", "data", FIRST_SEQ + 500, 1, &blob),
		SQLITE_OK);
	int size = sqlite3_blob_bytes(blob), kept = size - size / 4;
	assert_in_range(size, 100, sizeof bytes);
	assert_int_equal(sqlite3_blob_read(blob, bytes, size, 0), SQLITE_OK);
	memset(bytes + kept, 0xff, (size_t)(size - kept));
	assert_int_equal(sqlite3_blob_write(blob, bytes, size, 0), SQLITE_OK);
	assert_int_equal(sqlite3_blob_close(blob), SQLITE_OK);
	assert_int_equal(sqlite3_close(h), SQLITE_OK);
	(void)snprintf(text, sizeof text, "UPDATE segment SET sum = %lld WHERE first_seq = %d",
		       (long long)hash_bytes(bytes, (size_t)size, 0), FIRST_SEQ + 500);
	(void)fixture_sql(fx, text);
	AUTO(store_reader_free) struct store_reader *r = fixture_reader(fx);
	struct store_scan_config config = ALL_RECORDS;
	for (int i = 0; i < 2; i++) {
		config.backward = i;
		struct seen seen = fixture_scan(fx, r, &config);
		assert_int_equal(seen.count, 2000);
		assert_int_equal(seen.wrong, 0);
	}
	struct seen_gap gap = only_gap(r);
	assert_int_equal(gap.cause, STORE_GAP_DAMAGED);
	assert_int_equal(gap.lost, 500);
	assert_int_equal(gap.first_seq, FIRST_SEQ + 500);
}

/* Every page in turn: nothing that is read is wrong, and what is missing is said to be. */
static void any_one_page_may_be_damaged(void **state)
{
	struct fixture *fx = *state;
	char path[100], saved[120], command[300];
	enum { PAGE = 4096 };
	struct stat st;

	fixture_open(fx);
	for (int i = 0; i < 8; i++)
		fixture_block(fx, 400);
	fixture_close(fx);
	path_in(fx, "flows.db", path);
	(void)snprintf(saved, sizeof saved, "%s.saved", path);
	(void)snprintf(command, sizeof command, "cp %s %s", path, saved);
	assert_int_equal(system(command), 0);
	assert_int_equal(stat(path, &st), 0);
	size_t whole = 0, short_of = 0, refused = 0;
	for (off_t at = 0; at < st.st_size; at += PAGE) {
		uint8_t bytes[PAGE];
		(void)snprintf(command, sizeof command, "cp %s %s", saved, path);
		assert_int_equal(system(command), 0);
		int fd = open(path, O_RDWR);
		memset(bytes, 0xa5, sizeof bytes);
		assert_int_equal(pwrite(fd, bytes, PAGE, at), PAGE);
		assert_int_equal(close(fd), 0);
		AUTO(store_reader_free) struct store_reader *r = NULL;
		AUTO(store_scan_free) struct store_scan *sc = NULL;
		struct err e = { 0 };
		const struct flow *flows;
		size_t n, seen = 0;
		bool more = true;
		if (store_reader_open(fx->dir, fx->dict, &r, &e) != ERR_OK) {
			refused++;
			continue;
		}
		enum err_code code = store_scan_new(r, &ALL_RECORDS, &sc, &e);
		while (code == ERR_OK && more) {
			code = store_scan_next(sc, 1000, &flows, &n, &more, &e);
			for (size_t i = 0; code == ERR_OK && i < n; i++)
				assert_int_equal(flows[i].verdict,
						 fixture_flow(fx, flows[i].seq, NOON).verdict);
			seen += code == ERR_OK ? n : 0;
		}
		if (code != ERR_OK)
			refused++;
		else if (seen == 3200)
			whole++;
		else
			short_of++;
		/* What is not there is a gap, if the gaps can be read. */
		struct seen_gap gaps[16];
		uint64_t lost = 0;
		if (code != ERR_OK || seen == 3200)
			continue;
		size_t count = fixture_gaps(r, gaps, ARRAY_LEN(gaps));
		for (size_t i = 0; i < count && i < ARRAY_LEN(gaps); i++)
			lost += gaps[i].cause == STORE_GAP_DAMAGED;
		assert_true(lost > 0);
	}
	assert_true(whole > 0 && short_of > 0 && refused > 0);
	/* The writer: it opens whatever it finds, or another file. */
	for (off_t at = 0; at < st.st_size; at += PAGE) {
		uint8_t bytes[PAGE];
		(void)snprintf(command, sizeof command, "cp %s %s", saved, path);
		assert_int_equal(system(command), 0);
		int fd = open(path, O_RDWR);
		memset(bytes, 0xa5, sizeof bytes);
		assert_int_equal(pwrite(fd, bytes, PAGE, at), PAGE);
		assert_int_equal(close(fd), 0);
		fx->next_seq += 100000;
		fx->now = after(fx->now, 10);
		fixture_open(fx);
		struct err e = { 0 };
		for (int i = 0; i < 6; i++) {
			(void)!fixture_put(fx, 10, &e);
			fx->now = after(fx->now, 1);
			(void)!store_tick(fx->store, fx->now, &e);
			for (bool more = true; more;)
				if (store_tend(fx->store, fx->now, &more, &e) != ERR_OK)
					break;
		}
		if (!store_counts(fx->store).is_writing)
			fail_msg("page %d: %s", (int)(at / PAGE), e.msg);
		fixture_close(fx);
	}
}

static void write_text(struct fixture *fx, const char *name, const char *text)
{
	char path[100];

	path_in(fx, name, path);
	FILE *f = fopen(path, "w");
	assert_non_null(f);
	for (int i = 0; i < 10000; i++)
		assert_true(fputs(text, f) >= 0);
	assert_int_equal(fclose(f), 0);
}

/* The file in the folder begins so. */
static void assert_text(struct fixture *fx, const char *name, const char *text)
{
	char path[100], bytes[64] = { 0 };

	path_in(fx, name, path);
	FILE *f = fopen(path, "r");
	if (!f)
		fail_msg("no %s", path);
	assert_in_range(strlen(text), 1, sizeof bytes - 1);
	assert_int_equal(fread(bytes, 1, strlen(text), f), strlen(text));
	assert_int_equal(fclose(f), 0);
	assert_string_equal(bytes, text);
}

static void a_file_of_rubbish_is_kept_aside(void **state)
{
	struct fixture *fx = *state;

	write_text(fx, "flows.db", "rubbish ");
	fixture_open(fx);
	fixture_block(fx, 10);
	AUTO(store_reader_free) struct store_reader *r = fixture_reader(fx);
	struct seen_gap gap = only_gap(r);
	assert_int_equal(gap.cause, STORE_GAP_DAMAGED);
	assert_text(fx, "flows.db.damaged-1700000000", "rubbish ");
	assert_string_equal(gap.detail, "kept as flows.db.damaged-1700000000");
	assert_int_equal(fixture_scan(fx, r, &ALL_RECORDS).count, 10);
}

/* What is set aside is all that there is of a history: none may take another's place. */
static void files_that_are_set_aside_within_one_second_are_all_kept(void **state)
{
	static const char *const texts[] = { "first ", "second ", "third ", "fourth " };
	static const char *const names[] = { "", "-2", "-4", "-5" };
	struct fixture *fx = *state;
	char name[64], detail[80];

	/* a log without its file */
	write_text(fx, "flows.db.damaged-1700000000-3-wal", "of another ");
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		fx->now = NOON;
		write_text(fx, "flows.db", texts[i]);
		fixture_open(fx);
		AUTO(store_reader_free) struct store_reader *r = fixture_reader(fx);
		(void)snprintf(detail, sizeof detail, "kept as flows.db.damaged-1700000000%s",
			       names[i]);
		assert_string_equal(only_gap(r).detail, detail);
		store_reader_free(TAKE(r));
		fixture_close(fx);
	}
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		(void)snprintf(name, sizeof name, "flows.db.damaged-1700000000%s", names[i]);
		assert_text(fx, name, texts[i]);
	}
	assert_text(fx, "flows.db.damaged-1700000000-3-wal", "of another ");
}

/* A reader that copies what is pending just before it is written meets it in the file again. */
static void a_gap_that_is_written_while_it_is_read_is_told_once(void **state)
{
	struct fixture *fx = *state;

	fixture_open(fx);
	const struct store_gap gap = { .cause = STORE_GAP_KERNEL,
				       .from = fx->now,
				       .to = after(fx->now, 1),
				       .lost = 7,
				       .node = STR(""),
				       .detail = STR("") };
	store_note_gap(fx->store, &gap);
	fixture_block(fx, 10);
	store_note_gap(fx->store, &gap); /* in the file, and pending */
	AUTO(store_reader_free) struct store_reader *r = fixture_reader(fx);
	struct seen_gap told = only_gap(r);
	assert_int_equal(told.cause, STORE_GAP_KERNEL);
	assert_int_equal(told.lost, 7);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, fixture_make, fixture_remove)
		T(a_stop_leaves_a_gap_until_the_next_start),
		T(a_kill_loses_the_open_block_and_says_so),
		T(a_quiet_store_gives_a_sign_of_life),
		T(killed_again_and_again_it_keeps_all_that_was_sealed),
		T(edges_count_each_record_once_over_a_kill),
		T(edges_are_recounted_when_the_file_opens_late),
		T(a_clock_that_is_set_back_is_noted),
		T(a_clock_that_is_set_back_over_a_restart_is_noted),
		T(a_step_of_less_than_a_second_is_no_gap),
		T(a_gap_that_is_written_while_it_is_read_is_told_once),
		T(more_gaps_than_can_wait_become_wider),
		T(damage_that_is_found_leaves_room_for_gaps_that_are_told_once),
		T(a_gap_that_is_noted_after_the_stop_is_written),
		T(two_stores_in_one_folder_are_one_too_many),
		T(a_newer_file_is_refused_with_a_sentence),
		T(somebody_elses_database_is_refused_and_left_alone),
		T(numbers_go_on_behind_what_the_file_holds),
		T(a_full_disk_loses_blocks_and_a_gap_says_which),
		T(names_of_a_lost_block_are_there_for_the_next),
		T(a_store_that_cannot_be_written_at_first_is_when_it_can),
		T(a_damaged_segment_is_stepped_over_and_becomes_a_gap),
		T(a_name_that_cannot_be_read_is_no_missing_name),
		T(a_segment_that_cannot_be_looked_up_ends_the_walk),
		T(no_single_bit_of_a_segment_may_flip),
		T(a_segment_that_cannot_be_read_to_its_end_is_stepped_over),
		T(any_one_page_may_be_damaged),
		T(a_file_of_rubbish_is_kept_aside),
		T(files_that_are_set_aside_within_one_second_are_all_kept),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
