/* lib/store: damage to the file is stepped over, and owned up to. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "flow/flow.pb-c.h"
#include "store/reader.h"
#include "store_fixture.h"

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
	struct seen_gap gap = fixture_only_gap(r);
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

/* Two blocks of four records each: the first one's pods are others than the second one's. */
static void open_with_a_damaged_name(struct fixture *fx)
{
	fixture_open(fx);
	fixture_block(fx, 4);
	fixture_block(fx, 4);
	(void)fixture_sql(fx, "UPDATE endpoint SET wire = zeroblob(length(wire))"
			      " WHERE pod = 'db-0'");
}

static void expect_nameless(struct store_reader *r)
{
	struct seen_gap gap = fixture_only_gap(r);

	assert_int_equal(gap.cause, STORE_GAP_DAMAGED);
	assert_int_equal(gap.lost, 0);
	assert_int_equal(gap.first_seq, FIRST_SEQ + 4);
	assert_int_equal(gap.last_seq, FIRST_SEQ + 7);
	assert_string_equal(gap.detail, "names that cannot be read");
}

static void records_whose_names_cannot_be_read_come_without_and_it_is_told_once(void **state)
{
	struct fixture *fx = *state;
	struct store_scan_config config = ALL_RECORDS;

	open_with_a_damaged_name(fx);
	AUTO(store_reader_free) struct store_reader *r = fixture_reader(fx);
	config.takes_nameless = true;
	for (int i = 0; i < 2; i++) {
		config.backward = i;
		struct seen seen = fixture_scan(fx, r, &config);
		assert_int_equal(seen.count, 8);
		assert_int_equal(seen.wrong, 1);
	}
	expect_nameless(r);
	/* With the next block it is an entry of the chain, once, however often it is asked. */
	fixture_block(fx, 4);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(fixture_scan(fx, r, &config).count, 12);
		fixture_block(fx, 0);
	}
	expect_nameless(r);
	assert_string_equal(fixture_chain(r).kinds, "sg");
	assert_int_equal(fixture_sql(fx, "SELECT total(damaged) FROM segment"), 0);
}

static void what_is_to_be_proven_steps_over_records_whose_names_cannot_be_read(void **state)
{
	struct fixture *fx = *state;

	open_with_a_damaged_name(fx);
	AUTO(store_reader_free) struct store_reader *r = fixture_reader(fx);
	struct seen seen = fixture_scan(fx, r, &ALL_RECORDS);
	assert_int_equal(seen.count, 4);
	assert_int_equal(seen.last, FIRST_SEQ + 3);
	assert_int_equal(seen.wrong, 0);
	expect_nameless(r);
}

/* Whoever asks for a name learns that some cannot be read: here nobody else does. */
static void a_question_by_name_tells_that_it_cannot_know(void **state)
{
	struct fixture *fx = *state;
	struct store_scan_config config = ALL_RECORDS;
	char pod[] = "shop/db-0", *pods[] = { pod };
	Flow__FlowFilter ff, *list = &ff;
	AUTO(flow_filter_free) struct flow_filter *filter = NULL;
	struct err e = { 0 };

	open_with_a_damaged_name(fx);
	AUTO(store_reader_free) struct store_reader *r = fixture_reader(fx);
	flow__flow_filter__init(&ff);
	ff.source_pod = pods;
	ff.n_source_pod = 1;
	assert_int_equal(flow_filter_new(&list, 1, NULL, 0, fx->dict, &filter, &e), ERR_OK);
	config.filter = filter;
	config.takes_nameless = true;
	assert_int_equal(fixture_scan(fx, r, &config).count, 0);
	expect_nameless(r);
}

static void a_name_that_is_gone_is_told_like_one_that_is_damaged(void **state)
{
	struct fixture *fx = *state;

	open_with_a_damaged_name(fx);
	(void)fixture_sql(fx, "DELETE FROM endpoint WHERE pod = 'db-0'");
	AUTO(store_reader_free) struct store_reader *r = fixture_reader(fx);
	assert_int_equal(fixture_scan(fx, r, &ALL_RECORDS).count, 4);
	expect_nameless(r);
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
	fixture_path(fx, "flows.db", path);
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
	fixture_path(fx, "flows.db", path);
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
	struct seen_gap gap = fixture_only_gap(r);
	assert_int_equal(gap.cause, STORE_GAP_DAMAGED);
	assert_int_equal(gap.lost, 500);
	assert_int_equal(gap.first_seq, FIRST_SEQ + 500);
}

enum { PAGE = 4096 };

/* @from as @to, but for the page at @at. */
static void copy_damaged(const char *from, const char *to, off_t at)
{
	char command[2100];
	uint8_t bytes[PAGE];

	(void)snprintf(command, sizeof command, "cp %s %s", from, to);
	assert_int_equal(system(command), 0);
	int fd = open(to, O_RDWR);
	memset(bytes, 0xa5, sizeof bytes);
	assert_int_equal(pwrite(fd, bytes, PAGE, at), PAGE);
	assert_int_equal(close(fd), 0);
}

struct looked {
	size_t whole, nameless, short_of, refused;
};

/* Asks the file for all that was put. */
static void look_at(struct fixture *fx, bool takes_nameless, struct looked *looked)
{
	AUTO(store_reader_free) struct store_reader *r = NULL;
	AUTO(store_scan_free) struct store_scan *sc = NULL;
	struct store_scan_config config = ALL_RECORDS;
	struct err e = { 0 };
	const struct flow *flows;
	size_t n, seen = 0, nameless = 0;
	bool more = true;

	config.takes_nameless = takes_nameless;
	enum err_code code = store_reader_open(fx->dir, fx->dict, &r, &e);
	if (code == ERR_OK)
		code = store_scan_new(r, &config, &sc, &e);
	while (code == ERR_OK && more) {
		code = store_scan_next(sc, 1000, &flows, &n, &more, &e);
		for (size_t i = 0; code == ERR_OK && i < n; i++) {
			assert_int_equal(flows[i].verdict,
					 fixture_flow(fx, flows[i].seq, NOON).verdict);
			nameless += !fixture_is_as_put(fx, &flows[i]);
		}
		seen += code == ERR_OK ? n : 0;
	}
	if (code != ERR_OK) {
		looked->refused++;
		return;
	}
	looked->whole += seen == 3200 && !nameless;
	looked->nameless += nameless > 0;
	looked->short_of += seen < 3200;
	assert_true(takes_nameless || !nameless);
	/* What is not there is a gap. */
	assert_true((seen == 3200 && !nameless) || count_gaps(r, STORE_GAP_DAMAGED) > 0);
}

/* Every page in turn: nothing that is read is wrong, and what is missing is said to be. */
static void any_one_page_may_be_damaged(void **state)
{
	struct fixture *fx = *state;
	char path[100], saved[120], command[300];
	struct looked proven = { 0 }, asked = { 0 };
	struct stat st;

	fixture_open(fx);
	for (int i = 0; i < 8; i++)
		fixture_block(fx, 400);
	fixture_close(fx);
	fixture_path(fx, "flows.db", path);
	(void)snprintf(saved, sizeof saved, "%s.saved", path);
	(void)snprintf(command, sizeof command, "cp %s %s", path, saved);
	assert_int_equal(system(command), 0);
	assert_int_equal(stat(path, &st), 0);
	for (off_t at = 0; at < st.st_size; at += PAGE) {
		copy_damaged(saved, path, at);
		look_at(fx, false, &proven);
		look_at(fx, true, &asked);
	}
	assert_true(proven.whole > 0 && proven.short_of > 0 && proven.refused > 0);
	assert_int_equal(asked.refused, proven.refused);
	assert_int_equal(asked.whole, proven.whole);
	assert_in_range(asked.nameless, 1, proven.short_of - 1);
	assert_int_equal(asked.nameless + asked.short_of, proven.short_of);
	/* The writer: it opens whatever it finds, or another file, and then keeps what comes. */
	for (off_t at = 0; at < st.st_size; at += PAGE) {
		copy_damaged(saved, path, at);
		fx->next_seq += 100000;
		fx->now = after(fx->now, 10);
		fixture_open(fx);
		struct err e = { 0 };
		enum err_code code = ERR_OK;
		for (int i = 0; i < 10; i++) {
			code = fixture_put(fx, 10, &e);
			fx->now = after(fx->now, 1);
			if (store_tick(fx->store, fx->now, &e) != ERR_OK)
				code = e.code;
			for (bool more = true; more;)
				if (store_tend(fx->store, fx->now, &more, &e) != ERR_OK)
					break;
		}
		if (code != ERR_OK || !store_counts(fx->store).is_writing)
			fail_msg("page %d: %s", (int)(at / PAGE), e.msg);
		fixture_close(fx);
	}
}

/* Rubbish over a page of a file that is open: by another process, since who closes a file drops the
 * locks that SQLite has on it. */
static void damage_page(struct fixture *fx, uint64_t number)
{
	char path[100], command[300];

	fixture_move_log(fx);
	fixture_path(fx, "flows.db", path);
	(void)snprintf(command, sizeof command,
		       "tr '\\0' '\\245' </dev/zero | dd of=%s bs=%d seek=%llu count=1"
		       " iflag=fullblock conv=notrunc status=none",
		       path, PAGE, (unsigned long long)number - 1);
	assert_int_equal(system(command), 0);
}

static void a_page_of_the_table_of_segments_is_stepped_over_and_the_store_goes_on(void **state)
{
	enum { BLOCKS = 200 };
	struct fixture *fx = *state;

	fixture_open(fx);
	for (int i = 0; i < BLOCKS; i++)
		fixture_block(fx, 10);
	damage_page(fx, fixture_sql(fx, "SELECT pageno FROM dbstat WHERE name = 'segment' AND"
					" pagetype = 'leaf' ORDER BY path LIMIT 1 OFFSET 1"));
	AUTO(store_reader_free) struct store_reader *r = fixture_reader(fx);
	uint64_t left = fixture_scan(fx, r, &ALL_RECORDS).count;
	assert_in_range(left, 10, 10 * BLOCKS - 10);
	for (int i = 0; i < 5; i++) {
		fixture_block(fx, 10);
		left += 10;
		assert_int_equal(fixture_scan(fx, r, &ALL_RECORDS).count, left);
	}
	struct seen_gap gap = fixture_only_gap(r);
	assert_int_equal(gap.cause, STORE_GAP_DAMAGED);
	uint64_t lost = 10 * BLOCKS + 50 - left;
	assert_int_equal(gap.last_seq + 1 - gap.first_seq, lost);
	/* a block has ten records, and a second */
	assert_int_equal(gap.from.v, after(NOON, (double)(gap.first_seq - FIRST_SEQ) / 10).v);
	assert_int_equal(gap.to.v, after(gap.from, (double)lost / 10).v);
	assert_string_equal(fixture_chain(r).kinds, "sg");
}

/* A block whose edges are written, and others whose edges a kill takes. */
static void leave_uncounted(struct fixture *fx, size_t blocks, size_t records)
{
	fixture_open(fx);
	fixture_block(fx, 10);
	for (size_t i = 0; i < blocks; i++)
		fixture_block(fx, records);
	fx->now = after(fx->now, 3600); /* what is large is sorted onto shelves */
	fixture_tend(fx);
	fixture_kill(fx);
}

/* They are counted again. @return flows of the map by the minute. */
static uint64_t count_again(struct fixture *fx)
{
	fixture_open(fx);
	fixture_close(fx);
	return fixture_sql(fx, "SELECT sum(flows) FROM edge");
}

static struct seen_gap only_damage(struct fixture *fx)
{
	AUTO(store_reader_free) struct store_reader *r = NULL;
	struct seen_gap gaps[16];
	size_t at = SIZE_MAX;

	assert_int_equal(store_reader_open(fx->dir, fx->dict, &r, NULL), ERR_OK);
	size_t n = fixture_gaps(r, gaps, ARRAY_LEN(gaps));
	for (size_t i = 0; i < n; i++)
		if (gaps[i].cause == STORE_GAP_DAMAGED) {
			assert_int_equal(at, SIZE_MAX);
			at = i;
		}
	assert_in_range(at, 0, n - 1);
	return gaps[at];
}

static void names_that_cannot_be_read_while_edges_are_counted_again_are_told(void **state)
{
	struct fixture *fx = *state;

	leave_uncounted(fx, 2, 4);
	(void)fixture_sql(fx, "UPDATE endpoint SET wire = x'00' WHERE pod = 'cart-0'");
	assert_int_equal(count_again(fx), 18);
	assert_string_equal(only_damage(fx).detail, "names that cannot be read");
}

enum { LARGE = 20000 };

static void a_shelf_that_is_gone_when_edges_are_counted_again_is_told(void **state)
{
	struct fixture *fx = *state;

	leave_uncounted(fx, 1, LARGE);
	(void)fixture_sql(fx, "DELETE FROM shelf WHERE id = (SELECT max(id) FROM shelf)");
	assert_int_equal(count_again(fx), 10);
	struct seen_gap gap = only_damage(fx);
	assert_int_equal(gap.first_seq, FIRST_SEQ); /* merged with the small one */
	assert_int_equal(gap.lost, 10 + LARGE);
}

static void damage_that_is_told_is_not_told_again_when_edges_are_counted_again(void **state)
{
	struct fixture *fx = *state;

	fixture_open(fx);
	for (int i = 0; i < 3; i++)
		fixture_block(fx, 10);
	(void)fixture_sql(fx, "UPDATE segment_data SET data = zeroblob(9) WHERE first_seq = 1010");
	AUTO(store_reader_free) struct store_reader *r = fixture_reader(fx);
	assert_int_equal(fixture_scan(fx, r, &ALL_RECORDS).count, 20);
	store_reader_free(TAKE(r));
	fixture_block(fx, 10); /* the gap comes with it */
	fixture_kill(fx);
	assert_int_equal(count_again(fx), 30);
	assert_int_equal(only_damage(fx).first_seq, 1010);
}

/* A row whose zone lies on other pages, to the first of which nothing leads. */
static void leave_a_row_without_its_end(struct fixture *fx)
{
	uint8_t bytes[PAGE], number[4];
	char path[100];

	leave_uncounted(fx, 1, LARGE);
	(void)fixture_sql(fx, "UPDATE segment SET zone = zeroblob(20000)");
	uint64_t page = fixture_sql(fx, "SELECT pageno FROM dbstat WHERE name = 'segment' AND"
					" pagetype = 'overflow' ORDER BY path LIMIT 1");
	off_t leaf = (off_t)fixture_sql(fx, "SELECT pageno FROM dbstat WHERE name = 'segment' AND"
					    " pagetype = 'leaf'");
	for (size_t i = 0; i < sizeof number; i++)
		number[i] = (uint8_t)(page >> (24 - 8 * i));
	fixture_path(fx, "flows.db", path);
	int fd = open(path, O_RDWR);
	assert_int_equal(pread(fd, bytes, PAGE, (leaf - 1) * PAGE), PAGE);
	uint8_t *at = memmem(bytes, PAGE, number, sizeof number);
	assert_non_null(at);
	memset(at, 0xff, sizeof number);
	assert_int_equal(pwrite(fd, bytes, PAGE, (leaf - 1) * PAGE), PAGE);
	assert_int_equal(close(fd), 0);
}

static void a_segment_whose_row_cannot_be_read_when_edges_are_counted_again_is_told(void **state)
{
	struct fixture *fx = *state;

	leave_a_row_without_its_end(fx);
	assert_int_equal(count_again(fx), 10);
	struct seen_gap gap = only_damage(fx);
	assert_string_equal(gap.detail, "a page of the table of segments");
	assert_int_equal(gap.first_seq, FIRST_SEQ);
}

static void edges_that_cannot_be_counted_again_at_all_are_told(void **state)
{
	struct fixture *fx = *state;

	leave_a_row_without_its_end(fx);
	damage_page(fx, fixture_sql(fx, "SELECT rootpage FROM sqlite_schema"
					" WHERE name = 'segment_sealed'"));
	assert_int_equal(count_again(fx), 10);
	struct seen_gap gap = only_damage(fx);
	assert_string_equal(gap.detail, "the service map was not counted to its end: read the "
					"segments: database disk image is malformed");
	assert_true(gap.from.v <= NOON.v && gap.to.v == fx->now.v);
}

/* The names of the fixture's records lie on the first of several pages, which is damaged. */
static void leave_names_on_a_damaged_page(struct fixture *fx)
{
	enum { OTHERS = 100 };
	struct err e;

	fixture_open(fx);
	fixture_block(fx, 10);
	for (int i = 0; i < OTHERS; i++)
		fixture_put_other(fx, i);
	assert_int_equal(store_seal(fx->store, fx->now, &e), ERR_OK);
	damage_page(fx, fixture_sql(fx, "SELECT pageno FROM dbstat WHERE name = 'endpoint' AND"
					" pagetype = 'leaf' ORDER BY path LIMIT 1"));
	assert_int_equal(db_script(&fx->store->db, "PRAGMA shrink_memory", &e), ERR_OK);
}

/* Of @count that came last, all are there, with their names. */
static void expect_last(struct fixture *fx, uint64_t count)
{
	struct store_scan_config config = ALL_RECORDS;
	AUTO(store_reader_free) struct store_reader *r = fixture_reader(fx);

	config.range.from_seq = fx->next_seq - count;
	struct seen seen = fixture_scan(fx, r, &config);
	assert_int_equal(seen.count, count);
	assert_int_equal(seen.wrong, 0);
	assert_int_equal(store_counts(fx->store).lost, 0);
}

static void names_on_a_damaged_page_are_written_anew_when_the_store_is_opened(void **state)
{
	struct fixture *fx = *state;

	leave_names_on_a_damaged_page(fx);
	fixture_close(fx);
	fixture_open(fx);
	fixture_block(fx, 10);
	expect_last(fx, 10);
}

static void names_on_a_damaged_page_are_written_anew_when_a_day_begins(void **state)
{
	struct fixture *fx = *state;

	leave_names_on_a_damaged_page(fx);
	fx->now = after(fx->now, 86400);
	fixture_block(fx, 10); /* the day begins when it is sealed */
	fixture_block(fx, 10);
	expect_last(fx, 10);
}

static void write_text(struct fixture *fx, const char *name, const char *text)
{
	char path[100];

	fixture_path(fx, name, path);
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

	fixture_path(fx, name, path);
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
	struct seen_gap gap = fixture_only_gap(r);
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
		assert_string_equal(fixture_only_gap(r).detail, detail);
		store_reader_free(TAKE(r));
		fixture_close(fx);
	}
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		(void)snprintf(name, sizeof name, "flows.db.damaged-1700000000%s", names[i]);
		assert_text(fx, name, texts[i]);
	}
	assert_text(fx, "flows.db.damaged-1700000000-3-wal", "of another ");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, fixture_make, fixture_remove)
		T(a_damaged_segment_is_stepped_over_and_becomes_a_gap),
		T(a_name_that_cannot_be_read_is_no_missing_name),
		T(records_whose_names_cannot_be_read_come_without_and_it_is_told_once),
		T(what_is_to_be_proven_steps_over_records_whose_names_cannot_be_read),
		T(a_question_by_name_tells_that_it_cannot_know),
		T(a_name_that_is_gone_is_told_like_one_that_is_damaged),
		T(a_segment_that_cannot_be_looked_up_ends_the_walk),
		T(no_single_bit_of_a_segment_may_flip),
		T(a_segment_that_cannot_be_read_to_its_end_is_stepped_over),
		T(any_one_page_may_be_damaged),
		T(a_page_of_the_table_of_segments_is_stepped_over_and_the_store_goes_on),
		T(names_that_cannot_be_read_while_edges_are_counted_again_are_told),
		T(a_shelf_that_is_gone_when_edges_are_counted_again_is_told),
		T(damage_that_is_told_is_not_told_again_when_edges_are_counted_again),
		T(a_segment_whose_row_cannot_be_read_when_edges_are_counted_again_is_told),
		T(edges_that_cannot_be_counted_again_at_all_are_told),
		T(names_on_a_damaged_page_are_written_anew_when_the_store_is_opened),
		T(names_on_a_damaged_page_are_written_anew_when_a_day_begins),
		T(a_file_of_rubbish_is_kept_aside),
		T(files_that_are_set_aside_within_one_second_are_all_kept),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
