/* lib/store: what goes wrong is owned up to, and the observer goes on. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "disk_fault.h"
#include "store/reader.h"
#include "store_fixture.h"

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
	struct seen_gap gap = fixture_only_gap(r);
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
	struct seen_gap gap = fixture_only_gap(r);
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
	assert_in_range(fixture_only_gap(r).from.v, ended.v - 10 * NS_PER_S, ended.v);
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
		fixture_path(fx, parts[i], path[i]);
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
	struct seen_gap gap = fixture_only_gap(r);
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

/* With its cluster a node's name has up to 511 bytes. Gaps near to each other are one for such a node,
 * too. */
static void a_gap_has_its_nodes_whole_name(void **state)
{
	struct fixture *fx = *state;
	static char name[512];
	struct store_gap gap = kernel_gap(NOON);

	memset(name, 'n', sizeof name - 1);
	gap.node = str_of(name);
	fixture_open(fx);
	fixture_block(fx, 1);
	for (int i = 0; i < 3; i++)
		store_note_gap(fx->store, &gap);
	fixture_block(fx, 1);
	assert_int_equal(fixture_sql(fx, "SELECT count(*) FROM gap"), 1);
	assert_int_equal(fixture_sql(fx, "SELECT length(node) FROM gap"), 511);
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

static void a_full_disk_loses_blocks_and_a_gap_says_which(void **state)
{
	struct fixture *fx = *state;
	struct seen_gap gaps[4];
	struct err e = { 0 };

	fixture_open(fx);
	fixture_block(fx, 100);
	disk_fault_full(true);
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
	assert_int_equal(fixture_only_gap(r).cause,
			 STORE_GAP_WRITE); /* known before it can be written */
	disk_fault_full(false);
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
	disk_fault_full(true);
	assert_int_equal(fixture_put(fx, 2000, &e), ERR_OK);
	fx->now = after(fx->now, 1);
	assert_int_equal(store_tick(fx->store, fx->now, &e), ERR_IO);
	disk_fault_full(false);
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

	fixture_path(fx, "flows.db", path);
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
	struct seen_gap gap = fixture_only_gap(r);
	assert_int_equal(gap.cause, STORE_GAP_WRITE);
	assert_int_equal(gap.lost, 100);
	assert_int_equal(fixture_chain(r).first, 1);
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
	struct seen_gap told = fixture_only_gap(r);
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
		T(a_gap_has_its_nodes_whole_name),
		T(somebody_elses_database_is_refused_and_left_alone),
		T(numbers_go_on_behind_what_the_file_holds),
		T(a_full_disk_loses_blocks_and_a_gap_says_which),
		T(names_of_a_lost_block_are_there_for_the_next),
		T(a_store_that_cannot_be_written_at_first_is_when_it_can),
	};

	disk_fault_install();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
