/* lib/store: what a damaged page of the small tables costs: at most what lay on it. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "disk_fault.h"
#include "store/inside.h"
#include "store/reader.h"
#include "store_fixture.h"

/* what a page is filled with: this stands for none, it cannot be read */
enum { UNREADABLE = -1 };
enum { PAGE = 4096, LARGE = 17000, BLOCKS = 120, OTHERS = 2, RECORDS = 10, SEEDS = 130 };

/* --- a store with something in every table --------------------------------------------------- */

static enum err_code note_policy(struct fixture *fx, int number, char *json, size_t bytes,
				 struct err *e)
{
	char name[32];
	const struct store_policy p = {
		.kind = STR("NetworkPolicy"),
		.namespace_ = STR("shop"),
		.name = str_n(name, (size_t)snprintf(name, sizeof name, "policy-%d", number)),
		.uid = STR("u-1"),
		.resource_version = STR("7"),
		.origin = STR("files"),
		.json = str_n(json, bytes),
		.from = fx->now,
	};

	return store_note_policy(fx->store, &p, fx->now, e);
}

static void fill(struct fixture *fx)
{
	AUTO(own_free) char *text = malloc(20000);
	struct err e;

	memset(text, 'x', 20000);
	fixture_open(fx);
	fixture_block(fx, LARGE); /* which is sorted onto shelves */
	fx->now = after(fx->now, 3600);
	fixture_tend(fx);
	for (int i = 0; i < BLOCKS; i++) {
		for (int k = 0; k < OTHERS; k++)
			fixture_put_other(fx, OTHERS * i + k);
		if (i % 8 == 0)
			assert_int_equal(note_policy(fx, i, text, i == 40 ? 20000 : 600, &e),
					 ERR_OK);
		const struct store_gap gap = { .cause = STORE_GAP_KERNEL,
					       .from = fx->now,
					       .to = after(fx->now, 1),
					       .lost = 3,
					       .first_seq = 7,
					       .last_seq = 9,
					       .node = STR("a/b"),
					       .detail = STR("the \"ring\" was full") };
		store_note_gap(fx->store, &gap);
		fixture_block(fx, RECORDS - OTHERS);
		fx->now = after(fx->now, 60);
		const struct store_checkpoint c = { .entry = store_counts(fx->store).entries,
						    .text = str_n(text, 300),
						    .signature = str_n(text, 64),
						    .key = STR("key") };
		if (i % 3 == 0)
			assert_int_equal(store_put_checkpoint(fx->store, &c, &e), ERR_OK);
	}
	fixture_close(fx);
}

/* --- what is answered ------------------------------------------------------------------------ */

struct answers {
	uint64_t records, backward, flows, known_flows, policies, checkpoints, entries;
	uint64_t kernel_gaps, damage_gaps;
	enum err_code code; /* the first one that is none of ERR_OK */
};

static void count_gap(void *ctx, const struct store_gap *gap)
{
	struct answers *a = ctx;

	a->damage_gaps += gap->cause == STORE_GAP_DAMAGED;
	a->kernel_gaps += gap->cause == STORE_GAP_KERNEL && gap->lost == 3 &&
			  gap->to.v == gap->from.v + NS_PER_S && gap->first_seq == 7 &&
			  gap->last_seq == 9 && str_is(gap->node, "a/b") &&
			  str_is(gap->detail, "the \"ring\" was full");
}

static void count_edge(void *ctx, const struct store_edge *edge)
{
	struct answers *a = ctx;

	a->flows += edge->flows;
	a->known_flows += str_is(edge->dst.name, "world") ? edge->flows : 0;
}

static void count_policy(void *ctx, const struct store_policy *policy)
{
	(void)policy;
	((struct answers *)ctx)->policies++;
}

static bool count_checkpoint(void *ctx, const struct store_checkpoint *c)
{
	(void)c;
	((struct answers *)ctx)->checkpoints++;
	return true;
}

static bool count_entry(void *ctx, const struct store_entry *entry)
{
	(void)entry;
	((struct answers *)ctx)->entries++;
	return true;
}

static void keep(struct answers *a, enum err_code code)
{
	a->code = a->code == ERR_OK ? code : a->code;
}

static uint64_t scan(struct store_reader *r, bool backward, struct answers *a)
{
	AUTO(store_scan_free) struct store_scan *sc = NULL;
	struct store_scan_config config = ALL_RECORDS;
	const struct flow *flows;
	uint64_t seen = 0, last = backward ? UINT64_MAX : 0;
	size_t n;

	config.backward = backward;
	config.takes_nameless = true;
	enum err_code code = store_scan_new(r, &config, &sc, NULL);
	for (bool more = true; more && code == ERR_OK;) {
		code = store_scan_next(sc, 1000, &flows, &n, &more, NULL);
		for (size_t i = 0; i < n && code == ERR_OK; i++, seen++) {
			assert_true(backward ? flows[i].seq < last : flows[i].seq > last);
			last = flows[i].seq;
		}
	}
	keep(a, code);
	return seen;
}

static struct answers ask(struct fixture *fx)
{
	const struct wall_ns since = { 0 }, until = { UINT64_MAX };
	AUTO(store_reader_free) struct store_reader *r = fixture_reader(fx);
	struct answers a = { .code = ERR_OK };
	struct store_bounds bounds;
	struct wall_ns from, to;
	uint64_t held = 0;

	a.records = scan(r, false, &a);
	a.backward = scan(r, true, &a);
	keep(&a, store_gaps(r, since, until, count_gap, &a, NULL));
	keep(&a, store_edges(r, since, until, SIZE_MAX, count_edge, &a, &to, NULL));
	keep(&a, store_policies(r, since, until, count_policy, &a, NULL));
	keep(&a, store_checkpoints(r, 0, count_checkpoint, &a, NULL));
	keep(&a, store_chain(r, 0, count_entry, &a, NULL));
	keep(&a, store_extent(r, &from, &to, NULL));
	keep(&a, store_bounds(r, &bounds, NULL));
	keep(&a, store_held(r, 0, INT64_MAX, &held, NULL));
	keep(&a, store_edges_oldest(r, &from, NULL));
	return a;
}

/* --- every page ------------------------------------------------------------------------------ */

struct page {
	uint64_t number;
	char table[40];
	bool is_leaf, is_last; /* of the table's leaves */
	uint64_t rows;         /* that lie on it */
};

static size_t list_pages(const char *path, struct page *list, size_t max)
{
	static const char sql[] = "SELECT pageno, name, pagetype = 'leaf', path = max(path)"
				  " OVER (PARTITION BY name, pagetype), ncell FROM dbstat"
				  " WHERE name != 'segment_data' OR pagetype != 'overflow'";
	size_t n = 0;
	sqlite3_stmt *st;
	sqlite3 *h;

	assert_int_equal(sqlite3_open(path, &h), SQLITE_OK);
	assert_int_equal(sqlite3_prepare_v2(h, sql, -1, &st, NULL), SQLITE_OK);
	for (; sqlite3_step(st) == SQLITE_ROW; n++) {
		assert_true(n < max);
		list[n] = (struct page){ .number = column_u64(st, 0),
					 .is_leaf = column_u64(st, 2) != 0,
					 .is_last = column_u64(st, 3) != 0,
					 .rows = column_u64(st, 4) };
		(void)snprintf(list[n].table, sizeof list[n].table, "%s",
			       (const char *)sqlite3_column_text(st, 1));
	}
	assert_int_equal(sqlite3_finalize(st), SQLITE_OK);
	assert_int_equal(sqlite3_close(h), SQLITE_OK);
	return n;
}

static bool is_one_of(const char *table, const char *const *names, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (strcmp(table, names[i]) == 0)
			return true;
	return false;
}

/* Without these nobody can tell what the rest means, or where a block would go. */
static bool may_be_set_aside(const struct page *p)
{
	static const char *const keys[] = { "sqlite_schema", "sqlite_sequence", "meta" };
	static const char *const ends[] = { "entry", "segment_data" };

	return is_one_of(p->table, keys, ARRAY_LEN(keys)) ||
	       (is_one_of(p->table, ends, ARRAY_LEN(ends)) && (!p->is_leaf || p->is_last));
}

static bool is_set_aside(struct fixture *fx)
{
	char command[200];

	(void)snprintf(command, sizeof command, "ls %s | grep -q damaged", fx->dir);
	return system(command) == 0;
}

static void damage(struct fixture *fx, uint64_t page, int rubbish)
{
	uint8_t bytes[PAGE];
	char path[100];

	fixture_path(fx, "flows.db", path);
	if (rubbish == UNREADABLE) {
		disk_fault_add(path, (int64_t)(page - 1) * PAGE, (int64_t)page * PAGE);
		return;
	}
	int fd = open(path, O_RDWR);
	memset(bytes, rubbish, sizeof bytes);
	assert_int_equal(pwrite(fd, bytes, PAGE, (off_t)(page - 1) * PAGE), PAGE);
	assert_int_equal(close(fd), 0);
}

/* The file as it was saved, but for a page, unless that is 0; another process's dictionary. */
static void restore(struct fixture *fx, uint64_t page, int rubbish)
{
	char path[100], command[600];

	fixture_path(fx, "flows.db", path);
	(void)snprintf(command, sizeof command, "rm -f %s*; cp %s/saved %s", path, fx->dir, path);
	assert_int_equal(system(command), 0);
	flow_dict_free(fx->dict);
	assert_int_equal(flow_dict_new(4096, &fx->dict, NULL), ERR_OK);
	fx->config.dict = fx->dict;
	disk_fault_clear();
	if (page)
		damage(fx, page, rubbish);
}

static void save(struct fixture *fx)
{
	char command[200];

	(void)snprintf(command, sizeof command, "cp %s/flows.db %s/saved", fx->dir, fx->dir);
	assert_int_equal(system(command), 0);
}

/* Blocks, as they come: some may be lost. */
static void go_on(struct fixture *fx, int blocks)
{
	for (int i = 0; i < blocks; i++) {
		(void)!fixture_put(fx, RECORDS, NULL);
		fx->now = after(fx->now, 1);
		(void)!store_tick(fx->store, fx->now, NULL);
	}
}

/* Until nothing is left to do, over a few failures. */
static void tend(struct fixture *fx, const struct page *p)
{
	struct err e = { 0 };
	bool more = true;

	for (int failures = 0; more;) {
		more = false;
		if (store_tend(fx->store, fx->now, &more, &e) == ERR_OK)
			continue;
		if (++failures > 3)
			fail_msg("page %d of %s: %s", (int)p->number, p->table, e.msg);
		more = true;
	}
}

/* A run that meets what there is, one that is asked for it, and one after long. */
static struct answers live_with(struct fixture *fx, const struct page *p, uint64_t *ret_lost,
				uint64_t *ret_left)
{
	fx->config.retention_ns = 0;
	fixture_open(fx);
	go_on(fx, 8);
	tend(fx, p);
	(void)ask(fx); /* what is met is mended */
	tend(fx, p);
	go_on(fx, 2);
	assert_true(store_counts(fx->store).is_writing);
	*ret_lost = store_counts(fx->store).lost;
	fixture_close(fx);
	fixture_open(fx);
	struct answers a = ask(fx);
	fixture_close(fx);
	fx->config.retention_ns = 7 * 86400 * NS_PER_S;
	fx->now = after(fx->now, 8 * 86400);
	fixture_open(fx);
	go_on(fx, 3);
	tend(fx, p);
	*ret_left = store_counts(fx->store).records;
	assert_true(store_counts(fx->store).is_writing);
	keep(&a, ask(fx).code);
	fixture_close(fx);
	return a;
}

static void expect(const struct page *p, const struct answers *a, const struct answers *whole,
		   uint64_t lost)
{
	const bool is_data = strcmp(p->table, "segment_data") == 0;
	const bool is_told = a->damage_gaps > 0;

	if (a->code != ERR_OK)
		fail_msg("page %d of %s: a question failed", (int)p->number, p->table);
	assert_int_equal(a->records, a->backward);
	if (is_data)
		assert_true(is_told);
	else
		assert_int_equal(a->records + lost, whole->records);
	assert_int_equal(a->kernel_gaps, whole->kernel_gaps);
	assert_true(a->flows == whole->flows || (is_told && strcmp(p->table, "edge_minute") == 0));
	assert_true(a->known_flows == a->flows || (is_told && strcmp(p->table, "party") == 0));
	if (strcmp(p->table, "policy") != 0)
		assert_int_equal(a->policies, whole->policies);
	if (strcmp(p->table, "checkpoint") != 0)
		assert_int_equal(a->checkpoints, whole->checkpoints);
	if (p->is_leaf && a->policies + a->checkpoints != whole->policies + whole->checkpoints) {
		assert_true(is_told);
		assert_int_equal(a->policies + a->checkpoints + p->rows,
				 whole->policies + whole->checkpoints);
	}
	assert_true(a->entries + lost / RECORDS >= whole->entries ||
		    (is_told && strcmp(p->table, "entry") == 0));
}

static void damage_each_page(struct fixture *fx, const int rubbish[2])
{
	struct page pages[400], none = { .table = "" };
	uint64_t lost, left;
	size_t aside = 0;
	char path[100];

	fill(fx);
	save(fx);
	fixture_path(fx, "saved", path);
	size_t count = list_pages(path, pages, ARRAY_LEN(pages));
	const struct wall_ns now = after(fx->now, 10);
	const uint64_t next_seq = fx->next_seq + 1000;
	fx->now = now;
	fx->next_seq = next_seq;
	restore(fx, 0, 0);
	const struct answers whole = live_with(fx, &none, &lost, &left);
	assert_int_equal(whole.code, ERR_OK);
	assert_int_equal(whole.records, LARGE + BLOCKS * RECORDS + 10 * RECORDS);
	assert_int_equal(whole.kernel_gaps, BLOCKS);
	assert_int_equal(whole.damage_gaps, 0);
	for (size_t i = 0; i < count; i++) {
		fx->now = now;
		fx->next_seq = next_seq;
		restore(fx, pages[i].number, rubbish[i % 2]);
		struct answers a = live_with(fx, &pages[i], &lost, &left);
		if (is_set_aside(fx)) {
			if (!may_be_set_aside(&pages[i]))
				fail_msg("page %d of %s", (int)pages[i].number, pages[i].table);
			assert_true(a.damage_gaps > 0);
			aside++;
		} else {
			expect(&pages[i], &a, &whole, lost);
		}
		assert_int_equal(left, 3 * RECORDS);
	}
	assert_in_range(aside, 1, count / 4);
}

static void any_page_of_any_table_may_be_damaged(void **state)
{
	damage_each_page(*state, (const int[2]){ 0, 0xa5 });
}

static void any_page_of_any_table_may_be_one_that_the_disk_cannot_read(void **state)
{
	damage_each_page(*state, (const int[2]){ UNREADABLE, UNREADABLE });
}

static uint64_t next_of(uint64_t *x)
{
	*x = *x * UINT64_C(6364136223846793005) + 1442695040888963407;
	return *x >> 33;
}

/* Until nothing is left to do, or nothing helps. */
static void tend_at_all(struct fixture *fx)
{
	bool more = true;

	for (int failures = 0; more && failures < 4;) {
		more = false;
		if (store_tend(fx->store, fx->now, &more, NULL) != ERR_OK) {
			failures++;
			more = true;
		}
	}
}

/* A run that meets what there is; then all of it is too old. */
static void outlive(struct fixture *fx, uint64_t seed)
{
	fx->config.retention_ns = 0;
	fixture_open(fx);
	go_on(fx, 8);
	tend_at_all(fx);
	(void)ask(fx);
	tend_at_all(fx);
	go_on(fx, 2);
	fixture_close(fx);
	fx->config.retention_ns = 7 * 86400 * NS_PER_S;
	fx->now = after(fx->now, 8 * 86400);
	const struct wall_ns since = fx->now;
	fixture_open(fx);
	for (int hour = 0; hour < 3; hour++) {
		go_on(fx, 3);
		tend_at_all(fx);
		fx->now = after(fx->now, 3600);
	}
	go_on(fx, 3);
	const struct store_counts c = store_counts(fx->store);
	if (!c.is_writing || c.oldest.v < since.v || c.records < 3 * RECORDS ||
	    c.records > 4 * 3 * RECORDS)
		fail_msg("seed %d: %d records are left", (int)seed, (int)c.records);
	const struct answers a = ask(fx);
	if (a.code != ERR_OK || a.records != c.records || a.backward != c.records)
		fail_msg("seed %d: code %d, %d and %d records of %d", (int)seed, a.code,
			 (int)a.records, (int)a.backward, (int)c.records);
	fixture_close(fx);
}

/* Several places at once: whatever they are, what is too old goes, and what comes is kept. */
static void any_pages_may_be_damaged_at_once(void **state)
{
	static const int rubbish[] = { 0, 0xa5, UNREADABLE };
	struct fixture *fx = *state;

	fill(fx);
	save(fx);
	const uint64_t pages = fixture_file_bytes(fx) / PAGE, next_seq = fx->next_seq + 1000;
	const struct wall_ns now = after(fx->now, 10);
	for (uint64_t seed = 1; seed <= SEEDS; seed++) {
		uint64_t x = seed;
		fx->now = now;
		fx->next_seq = next_seq;
		restore(fx, 0, 0);
		size_t n = 2 + next_of(&x) % 9;
		for (size_t i = 0; i < n; i++) {
			uint64_t page = 1 + next_of(&x) % pages;

			damage(fx, page, rubbish[next_of(&x) % ARRAY_LEN(rubbish)]);
		}
		outlive(fx, seed);
	}
}

/* --- what is said elsewhere, too ------------------------------------------------------------- */

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

/* --- while the store runs -------------------------------------------------------------------- */

/* Rubbish over the leaf of @table that is @order: by another process, since who closes a file drops the
 * locks that SQLite has on it. */
static void damage_leaf(struct fixture *fx, const char *table, const char *order)
{
	char path[100], text[300];
	struct err e;

	(void)fixture_sql(fx, "PRAGMA wal_checkpoint(TRUNCATE)");
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

static int make(void **state)
{
	disk_fault_clear();
	return fixture_make(state);
}

int main(void)
{
	disk_fault_install();
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, make, fixture_remove)
		T(any_page_of_any_table_may_be_damaged),
		T(any_page_of_any_table_may_be_one_that_the_disk_cannot_read),
		T(any_pages_may_be_damaged_at_once),
		T(rows_of_segments_are_made_of_their_columns_and_the_chain),
		T(a_page_in_anothers_place_leads_nobody_in_a_circle),
		T(rows_of_shelves_are_made_of_their_columns),
		T(gaps_are_made_of_the_chain),
		T(a_gap_that_the_chain_cannot_tell_either_is_left_out),
		T(names_that_are_still_in_use_are_there_again_for_what_was_said_before),
		T(numbers_of_entries_go_on_behind_an_end_that_was_lost),
		T(numbers_of_names_that_were_lost_are_not_given_again),
		T(edges_that_come_have_their_names),
		T(a_minute_of_the_map_that_is_not_what_was_written_is_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
