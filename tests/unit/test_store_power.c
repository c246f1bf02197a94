/* lib/store: the power fails, at any step of any write; what lies on the disk then is a store. */
#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>

#include <cmocka.h>
#include <sqlite3.h>

#include "disk_log.h"
#include "store/inside.h"
#include "store_fixture.h"

/* Sanitizers are not what this is for, and make it slow. */
#ifdef __SANITIZE_THREAD__
enum { EVERY = 16 };
#elif defined __SANITIZE_ADDRESS__
enum { EVERY = 5 };
#else
enum { EVERY = 1 };
#endif
enum { MARKS = 64 };

/* What was true from some step on. */
struct mark {
	size_t step;
	uint64_t sealed; /* records */
	uint64_t kept;   /* of these, in the file when the log was last moved there */
	uint64_t told;   /* checkpoints of which others know */
};
struct life {
	struct mark marks[MARKS];
	size_t count;
	uint64_t kept, told;
};

static void mark(struct fixture *fx, struct life *life)
{
	assert_true(life->count < MARKS);
	life->marks[life->count++] =
		(struct mark){ disk_log_steps(), store_sealed(fx->store) - FIRST_SEQ, life->kept,
			       life->told };
}

static void block(struct fixture *fx, struct life *life, size_t n)
{
	fixture_block(fx, n);
	mark(fx, life);
}

/* What the store's second thread does when the log has grown or some seconds have passed. */
static void move_log(struct fixture *fx, struct life *life)
{
	char path[100];
	sqlite3 *h;

	(void)snprintf(path, sizeof path, "%s/flows.db", fx->dir);
	assert_int_equal(sqlite3_open(path, &h), SQLITE_OK);
	assert_int_equal(sqlite3_exec(h, "SELECT count(*) FROM sqlite_schema", NULL, NULL, NULL),
			 SQLITE_OK);
	assert_int_equal(sqlite3_wal_checkpoint_v2(h, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL),
			 SQLITE_OK);
	assert_int_equal(sqlite3_close(h), SQLITE_OK);
	life->kept = store_sealed(fx->store) - FIRST_SEQ;
	mark(fx, life);
}

static void tell_checkpoint(struct fixture *fx, struct life *life)
{
	struct err e = { 0 };
	const struct store_checkpoint c = { .entry = store_counts(fx->store).entries,
					    .text = STR("{}"),
					    .signature = STR("s"),
					    .key = STR("k") };

	assert_int_equal(store_put_checkpoint(fx->store, &c, &e), ERR_OK);
	life->told++;
	mark(fx, life);
}

/* Blocks, merges, a pruning, checkpoints; the log is moved, begun anew, and moved again. */
static void live(struct fixture *fx, struct life *life)
{
	fixture_open(fx);
	mark(fx, life);
	for (int i = 0; i < 18; i++) {
		block(fx, life, 5);
		if (i == 6 || i == 14)
			move_log(fx, life);
		if (i == 3 || i == 9)
			tell_checkpoint(fx, life);
	}
	fixture_tend(fx); /* 16 become one */
	mark(fx, life);
	block(fx, life, 5);
	tell_checkpoint(fx, life);
	move_log(fx, life);
	block(fx, life, 5);
	fixture_close(fx);
}

/* The newest that was true when a step was done. */
static struct mark mark_at(const struct life *life, size_t step)
{
	struct mark m = { 0 };

	for (size_t i = 0; i < life->count && life->marks[i].step <= step; i++)
		m = life->marks[i];
	return m;
}

static void empty_folder(struct fixture *fx)
{
	DIR *dir = opendir(fx->dir);
	char path[400];

	for (struct dirent *d; dir && (d = readdir(dir));) {
		(void)snprintf(path, sizeof path, "%s/%s", fx->dir, d->d_name);
		if (d->d_name[0] != '.')
			(void)unlink(path);
	}
	(void)closedir(dir);
}

static void check_after(struct fixture *fx, const struct life *life, size_t step, uint64_t seed)
{
	struct mark then = mark_at(life, step), end = mark_at(life, SIZE_MAX);

	empty_folder(fx);
	disk_log_cut(step, seed, fx->dir);
	fx->now = after(NOON, 3600);
	fx->next_seq = FIRST_SEQ + 100000; /* numbers are not given twice (observer/log/epoch) */
	fixture_open(fx);
	assert_int_equal(store_counts(fx->store).gaps[STORE_GAP_DAMAGED], 0);
	AUTO(store_reader_free) struct store_reader *r = fixture_reader(fx);
	struct seen seen = fixture_scan(fx, r, &ALL_RECORDS);
	assert_int_equal(seen.wrong, 0);
	assert_true(seen.ordered);
	assert_in_range(seen.count, then.kept, end.sealed);
	if (seen.count) { /* none is missing in between */
		assert_int_equal(seen.first, FIRST_SEQ);
		assert_int_equal(seen.last, FIRST_SEQ + seen.count - 1);
	}
	struct seen_chain chain = fixture_chain(r); /* checks each hash */
	assert_int_equal(chain.first, 1);
	assert_int_equal(chain.blocks, seen.count / 5);
	uint64_t told = fixture_sql(fx, "SELECT count(*) FROM checkpoint");
	assert_in_range(told, then.told, end.told);
	if (seen.count) { /* owned up to: from the last sign of life on */
		struct seen_gap list[8];
		assert_int_equal(fixture_gaps(r, list, ARRAY_LEN(list)), 1);
		bool stopped = fixture_sql(fx, "SELECT count(*) FROM entry WHERE kind = 4");
		assert_int_equal(list[0].cause, stopped ? STORE_GAP_DOWN : STORE_GAP_CRASHED);
		assert_int_equal(list[0].to.v, fx->now.v);
		assert_true(list[0].from.v <= after(NOON, (double)seen.count / 5).v);
	}
	fixture_block(fx, 3);
	assert_int_equal(fixture_scan(fx, r, &ALL_RECORDS).count, seen.count + 3);
	store_reader_free(TAKE(r));
	fixture_close(fx);
}

static void the_power_may_fail_at_any_step(void **state)
{
	struct fixture *fx = *state;
	struct life life = { .count = 0 };

	disk_log_install();
	disk_log_start();
	live(fx, &life);
	disk_log_stop();
	size_t steps = disk_log_steps();
	assert_true(steps > 300);
	for (size_t step = 0; step <= steps; step += EVERY)
		check_after(fx, &life, step, step * UINT64_C(0x9e3779b97f4a7c15));
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, fixture_make, fixture_remove)
	const struct CMUnitTest tests[] = {
		T(the_power_may_fail_at_any_step),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
