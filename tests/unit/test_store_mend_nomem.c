/* lib/store's mending when memory runs out, ours or SQLite's: what is mended is as if it had not. */
#include <fcntl.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "store/inside.h"
#include "store_fixture.h"
#include "tests/unit/nomem.h"

enum { PAGE = 4096, LARGE = 17000, BLOCKS = 60, RECORDS = 10 };

/* --- SQLite asks for memory as we do --------------------------------------------------------- */

static void *get(int bytes)
{
	size_t *p = malloc((size_t)bytes + 16);

	if (!p)
		return NULL;
	*p = (size_t)bytes;
	return p + 2;
}

static void put(void *p)
{
	free((size_t *)p - 2);
}

static void *get_again(void *old, int bytes)
{
	size_t *p = realloc((size_t *)old - 2, (size_t)bytes + 16);

	if (!p)
		return NULL;
	*p = (size_t)bytes;
	return p + 2;
}

static int size_of(void *p)
{
	return p ? (int)((size_t *)p)[-2] : 0;
}

static int round_up(int bytes)
{
	return (bytes + 7) & ~7;
}

static int begin(void *ctx)
{
	(void)ctx;
	return SQLITE_OK;
}

static void end(void *ctx)
{
	(void)ctx;
}

/* --- a store with damage in each table ------------------------------------------------------- */

static void fill(struct fixture *fx)
{
	fixture_open(fx);
	fixture_block(fx, LARGE); /* which is sorted onto shelves */
	fx->now = after(fx->now, 3600);
	fixture_tend(fx);
	for (int i = 0; i < BLOCKS; i++) {
		const struct store_gap gap = { .cause = STORE_GAP_KERNEL,
					       .from = fx->now,
					       .to = after(fx->now, 1),
					       .lost = 3,
					       .node = STR("a/b"),
					       .detail = STR("the ring was full") };
		fixture_put_other(fx, i);
		store_note_gap(fx->store, &gap);
		fixture_block(fx, RECORDS - 1);
		fx->now = after(fx->now, 60);
	}
	fixture_close(fx);
}

static void damage_leaf(struct fixture *fx, const char *table)
{
	char path[100], sql[200];
	uint8_t bytes[PAGE];

	(void)snprintf(sql, sizeof sql,
		       "SELECT pageno FROM dbstat WHERE name = '%s' AND pagetype = 'leaf'"
		       " ORDER BY path LIMIT 1",
		       table);
	uint64_t number = fixture_sql(fx, sql);
	fixture_path(fx, "flows.db", path);
	int fd = open(path, O_RDWR);
	memset(bytes, 0xa5, sizeof bytes);
	assert_int_equal(pwrite(fd, bytes, PAGE, (off_t)(number - 1) * PAGE), PAGE);
	assert_int_equal(close(fd), 0);
}

static void restore(struct fixture *fx)
{
	char command[300];

	(void)snprintf(command, sizeof command, "rm -f %s/flows.db*; cp %s/saved %s/flows.db",
		       fx->dir, fx->dir, fx->dir);
	assert_int_equal(system(command), 0);
}

/* --- what is there afterwards ---------------------------------------------------------------- */

struct found {
	uint64_t records, wrong, kernel_gaps, damage_gaps, flows, shelves;
};

static struct found look(struct fixture *fx)
{
	struct store_scan_config config = ALL_RECORDS;
	AUTO(store_reader_free) struct store_reader *r = fixture_reader(fx);
	struct found f;

	config.takes_nameless = true;
	struct seen seen = fixture_scan(fx, r, &config);
	f.records = seen.count;
	f.wrong = seen.wrong;
	f.kernel_gaps = count_gaps(r, STORE_GAP_KERNEL);
	f.damage_gaps = count_gaps(r, STORE_GAP_DAMAGED);
	f.flows = fixture_sql(fx, "SELECT sum(flows) FROM edges");
	f.shelves = fixture_sql(fx, "SELECT count(*) FROM shelf");
	return f;
}

static bool is_set_aside(struct fixture *fx)
{
	char command[200];

	(void)snprintf(command, sizeof command, "ls %s | grep -q damaged", fx->dir);
	return system(command) == 0;
}

/* The store is opened, which mends it; without memory, again. @return true if an allocation failed. */
static bool open_after(struct fixture *fx, long n, struct found *ret)
{
	struct err e = { 0 };

	restore(fx);
	nomem_after(n);
	enum err_code code = store_open(&fx->config, fx->now, fx->next_seq, &fx->store, &e);
	bool more = false;
	if (code == ERR_OK) {
		atomic_store(&fx->store->mend_due, true); /* as if a reader had met the rest */
		(void)!store_tend(fx->store, fx->now, &more, &e);
	}
	bool failed = nomem_end();
	if (code != ERR_OK && code != ERR_NOMEM)
		fail_msg("allocation %ld: %s", n, e.msg);
	if (code != ERR_OK) {
		assert_true(failed);
		fixture_open(fx);
	}
	fx->now = after(fx->now, 61); /* it is tried again */
	assert_int_equal(store_tick(fx->store, fx->now, &e), ERR_OK);
	atomic_store(&fx->store->mend_due, true);
	fixture_tend(fx);
	*ret = look(fx);
	fixture_close(fx);
	if (is_set_aside(fx))
		fail_msg("allocation %ld: the file was set aside", n);
	return failed;
}

static void survive_each_failed_allocation(struct fixture *fx, const char *const *damaged,
					   size_t count)
{
	struct found whole, f;
	char command[300];

	fill(fx);
	for (size_t i = 0; i < count; i++)
		damage_leaf(fx, damaged[i]);
	(void)snprintf(command, sizeof command, "cp %s/flows.db %s/saved", fx->dir, fx->dir);
	assert_int_equal(system(command), 0);
	const struct wall_ns now = after(fx->now, 10);
	fx->now = now;
	assert_false(open_after(fx, LONG_MAX, &whole));
	assert_int_equal(whole.records, LARGE + BLOCKS * RECORDS);
	assert_int_equal(whole.kernel_gaps, BLOCKS);
	long n = 0;
	for (bool failed = true; failed; n += n < 64 ? 1 : n / 16) {
		fx->now = now;
		failed = open_after(fx, n, &f);
		if (memcmp(&f, &whole, sizeof f) != 0)
			fail_msg("allocation %ld: %llu records, %llu and %llu gaps", n,
				 (unsigned long long)f.records, (unsigned long long)f.kernel_gaps,
				 (unsigned long long)f.damage_gaps);
	}
	assert_true(n > 1000);
}

static void rows_of_segments_survive_each_failed_allocation(void **state)
{
	static const char *const damaged[] = { "segment", "gap", "party" };

	survive_each_failed_allocation(*state, damaged, ARRAY_LEN(damaged));
}

static void rows_of_shelves_survive_each_failed_allocation(void **state)
{
	static const char *const damaged[] = { "shelf" };

	survive_each_failed_allocation(*state, damaged, ARRAY_LEN(damaged));
}

int main(void)
{
	static const sqlite3_mem_methods memory = { get,      put,   get_again, size_of,
						    round_up, begin, end,       NULL };
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, fixture_make, fixture_remove)
		T(rows_of_segments_survive_each_failed_allocation),
		T(rows_of_shelves_survive_each_failed_allocation),
	};

	if (sqlite3_config(SQLITE_CONFIG_MALLOC, &memory) != SQLITE_OK)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
