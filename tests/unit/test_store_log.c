/* lib/store: SQLite's log, and when it is moved into the file. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "store/inside.h"
#include "store_fixture.h"

/* Until another thread has written the file to @bytes. @told: inotify(7), which has watched the file
 * since before that began. */
static void wait_for_file(struct fixture *fx, int told, uint64_t bytes)
{
	char events[4096];

	while (fixture_file_bytes(fx) < bytes)
		if (read(told, events, sizeof events) < 0 && errno != EINTR)
			fail_msg("inotify: %s", strerror(errno));
}

/* Else a power cut would take all of the run, and the log would grow as long as it lasts. */
static void the_log_is_moved_into_the_file_while_the_store_is_open(void **state)
{
	enum { LOG = 8 << 20 };
	struct fixture *fx = *state;
	char path[100];
	AUTO_FD int told = inotify_init1(IN_CLOEXEC);

	fixture_open(fx);
	(void)snprintf(path, sizeof path, "%s/flows.db", fx->dir);
	assert_true(inotify_add_watch(told, path, IN_MODIFY) >= 0);
	for (int i = 0; i < 3; i++) {
		uint64_t before = fixture_file_bytes(fx);
		for (int put = 0; put < LOG; put += 1000 << 10)
			fixture_bulk(fx, 1000);
		wait_for_file(fx, told, before + LOG / 2);
	}
}

static uint64_t log_bytes(struct fixture *fx)
{
	char path[100];
	struct stat st;

	(void)snprintf(path, sizeof path, "%s/flows.db-wal", fx->dir);
	return stat(path, &st) == 0 ? (uint64_t)st.st_size : 0;
}

struct rolling {
	char path[100];
	_Atomic bool over;
	unsigned looks;
};

/* Two readers, of whom one or the other looks at all times: to nobody who does not wait for them is
 * there a moment to begin the log anew. */
static void *roll(void *arg)
{
	struct rolling *r = arg;
	sqlite3 *h[2];

	for (int i = 0; i < 2; i++)
		if (sqlite3_open_v2(r->path, &h[i], SQLITE_OPEN_READONLY, NULL) != SQLITE_OK)
			return NULL;
	for (int i = 0; !atomic_load_explicit(&r->over, memory_order_acquire); i = !i) {
		if (sqlite3_exec(h[i], "BEGIN; SELECT 1 FROM segment LIMIT 1", NULL, NULL, NULL) ==
		    SQLITE_OK)
			r->looks++;
		(void)sqlite3_exec(h[!i], "COMMIT", NULL, NULL, NULL);
	}
	for (int i = 0; i < 2; i++)
		(void)sqlite3_close(h[i]);
	return NULL;
}

/* However long one writes without a pause, and whoever reads meanwhile. */
static void the_log_stays_small_while_much_is_written(void **state)
{
	enum {
		IMPORT = 48 << 20,
		AT_MOST = IMPORT * 3 / 4
	}; /* of a fixed limit, missed some times */
	struct fixture *fx = *state;
	struct rolling rolling = { .looks = 0 };
	pthread_t thread;

	fixture_open(fx);
	(void)snprintf(rolling.path, sizeof rolling.path, "%s/flows.db", fx->dir);
	assert_int_equal(pthread_create(&thread, NULL, roll, &rolling), 0);
	uint64_t most = 0;
	for (int put = 0; put < IMPORT; put += 1000 << 10) {
		fixture_bulk(fx, 1000);
		most = log_bytes(fx) > most ? log_bytes(fx) : most;
	}
	atomic_store_explicit(&rolling.over, true, memory_order_release);
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_true(rolling.looks > 0);
	assert_true(most <= AT_MOST);
}

/* A reader that holds on to what it sees does not hold up the writer, but the log. */
static void a_snapshot_that_is_held_makes_the_log_longer_and_nobody_waits_for_ever(void **state)
{
	struct fixture *fx = *state;
	char path[100];
	sqlite3 *h;

	fixture_open(fx);
	fixture_bulk(fx, 10);
	(void)snprintf(path, sizeof path, "%s/flows.db", fx->dir);
	assert_int_equal(sqlite3_open(path, &h), SQLITE_OK);
	assert_int_equal(sqlite3_exec(h, "BEGIN; SELECT count(*) FROM segment", NULL, NULL, NULL),
			 SQLITE_OK);
	while (log_bytes(fx) < 14 << 20)
		fixture_bulk(fx, 1000);
	assert_int_equal(sqlite3_close(h), SQLITE_OK);
	for (int put = 0; put < 16 << 20; put += 1000 << 10)
		fixture_bulk(fx, 1000);
	assert_true(log_bytes(fx) <= 20 << 20);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, fixture_make, fixture_remove)
		T(the_log_is_moved_into_the_file_while_the_store_is_open),
		T(the_log_stays_small_while_much_is_written),
		T(a_snapshot_that_is_held_makes_the_log_longer_and_nobody_waits_for_ever),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
