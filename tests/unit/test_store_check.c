/* lib/evidence: a store that is right says what it owns up to be missing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "evidence/store_check.h"
#include "store_fixture.h"

static struct store_check_result check(struct fixture *fx)
{
	struct store_check_result found = { .records = 0 };
	struct err e = { 0 };
	AUTO(store_reader_free) struct store_reader *r = NULL;

	if (store_reader_open(fx->dir, fx->dict, &r, &e) != ERR_OK ||
	    evidence_store_check(&(struct store_check_config){ .reader = r, .dict = fx->dict },
				 &found, &e) != ERR_OK)
		fail_msg("%s", e.msg);
	return found;
}

/* From @from to @to seconds after noon; enters the chain with the next block. */
static void note(struct fixture *fx, enum store_gap_cause cause, double from, double to,
		 uint64_t lost)
{
	store_note_gap(fx->store, &(struct store_gap){ .cause = cause,
						       .from = after(NOON, from),
						       .to = after(NOON, to),
						       .lost = lost });
}

static void expect(const struct store_check_gaps *g, uint64_t count, uint64_t span_s, uint64_t lost,
		   uint64_t unknown)
{
	assert_int_equal(g->count, count);
	assert_int_equal(g->span_ns, span_s * NS_PER_S);
	assert_int_equal(g->lost, lost);
	assert_int_equal(g->unknown, unknown);
}

static void a_record_without_gaps_misses_nothing(void **state)
{
	struct fixture *fx = *state;

	fixture_open(fx);
	fixture_block(fx, 50);
	fixture_close(fx);
	struct store_check_result found = check(fx);
	expect(&found.missing, 0, 0, 0, 0);
	assert_int_equal(found.records, 50);
	assert_int_equal(found.blocks, 1);
	assert_int_equal(found.first_entry, 1);
	assert_int_equal(found.last_entry, 3); /* start, block, stop */
	assert_int_equal(found.unsigned_entries, 3);
}

static void gaps_are_counted_by_cause_and_time_once(void **state)
{
	struct fixture *fx = *state;

	fixture_open(fx);
	note(fx, STORE_GAP_KERNEL, 10, 20, 5);
	fixture_block(fx, 10);
	note(fx, STORE_GAP_KERNEL, 15, 40, 7); /* five seconds of it are told already */
	fixture_block(fx, 10);
	note(fx, STORE_GAP_KERNEL, 16, 18, 0); /* all of it */
	fixture_block(fx, 10);
	note(fx, STORE_GAP_WRITE, 30, 50, 0);
	note(fx, STORE_GAP_RING, 60, 60, 9); /* an instant */
	note(fx, STORE_GAP_CLOCK, 70, 75, 0);
	fixture_block(fx, 10);
	fixture_close(fx);
	struct store_check_result found = check(fx);
	expect(&found.gaps[STORE_GAP_KERNEL], 3, 30, 12, 1);
	expect(&found.gaps[STORE_GAP_WRITE], 1, 20, 0, 1);
	expect(&found.gaps[STORE_GAP_RING], 1, 0, 9, 0);
	expect(&found.gaps[STORE_GAP_CLOCK], 1, 5, 0, 0);
	expect(&found.gaps[STORE_GAP_DOWN], 0, 0, 0, 0);
	expect(&found.missing, 5, 40, 21,
	       2); /* 10 to 50, and the instant; the clock lost nothing */
}

/* The table keeps gaps for longer than the chain keeps the records that they lay between. */
static void gaps_of_a_time_that_was_pruned_are_no_gaps_of_the_record(void **state)
{
	struct fixture *fx = *state;
	struct err e = { 0 };

	fx->config.retention_ns = 3600 * NS_PER_S;
	fixture_open(fx);
	note(fx, STORE_GAP_KERNEL, 0, 1, 5); /* its entry is behind that of the block */
	fixture_block(fx, 10);
	fixture_block(fx, 10);
	fx->now = after(fx->now, 7200);
	note(fx, STORE_GAP_KERNEL, 7200, 7203, 6);
	fixture_block(fx, 10);
	assert_int_equal(store_tick(fx->store, fx->now, &e), ERR_OK);
	fixture_tend(fx);
	fixture_close(fx);
	assert_int_equal(fixture_sql(fx, "SELECT count(*) FROM gap"), 2);
	struct store_check_result found = check(fx);
	assert_in_range(found.first_entry, 2, 9);
	assert_int_equal(found.records, 10);
	expect(&found.missing, 1, 3, 6, 0);
}

static void damage_that_the_record_owns_up_to_is_counted(void **state)
{
	struct fixture *fx = *state;

	fixture_open(fx);
	fixture_block(fx, 10);
	fixture_block(fx, 20);
	fixture_close(fx);
	(void)fixture_sql(fx, "UPDATE segment_data SET data = zeroblob(40) WHERE first_seq ="
			      " (SELECT max(first_seq) FROM segment)");
	fixture_open(fx);
	AUTO(store_reader_free) struct store_reader *r = fixture_reader(fx);
	assert_int_equal(fixture_scan(fx, r, &ALL_RECORDS).count, 10);
	fixture_block(fx, 5); /* the gap comes with it */
	fixture_close(fx);
	struct store_check_result found = check(fx);
	assert_int_equal(found.damaged_blocks, 1);
	assert_int_equal(found.gaps[STORE_GAP_DAMAGED].count, 1);
	assert_int_equal(found.gaps[STORE_GAP_DAMAGED].lost, 20);
	assert_int_equal(found.missing.lost, 20);
}

static void names_that_cannot_be_read_are_damage_and_no_change_of_records(void **state)
{
	struct fixture *fx = *state;
	struct store_check_result found = { .records = 0 };
	struct err e = { 0 };

	fixture_open(fx);
	fixture_block(fx, 4); /* of other pods than the second */
	fixture_block(fx, 4);
	fixture_close(fx);
	(void)fixture_sql(fx, "UPDATE endpoint SET wire = zeroblob(length(wire))"
			      " WHERE pod = 'db-0'");
	AUTO(store_reader_free) struct store_reader *file = NULL;
	assert_int_equal(store_reader_open(fx->dir, fx->dict, &file, &e), ERR_OK);
	const struct store_check_config config = { .reader = file, .dict = fx->dict };
	assert_int_equal(evidence_store_check(&config, &found, &e), ERR_PARSE);
	assert_non_null(strstr(e.msg, "the records 1004 to 1007 are missing or damaged"));
	store_reader_free(TAKE(file));

	fixture_open(fx);
	AUTO(store_reader_free) struct store_reader *r = fixture_reader(fx);
	assert_int_equal(fixture_scan(fx, r, &ALL_RECORDS).count, 4);
	fixture_block(fx, 5); /* the gap comes with it */
	fixture_close(fx);
	found = check(fx);
	assert_int_equal(found.damaged_blocks, 1);
	assert_int_equal(found.gaps[STORE_GAP_DAMAGED].count, 1);
	assert_int_equal(found.gaps[STORE_GAP_DAMAGED].unknown, 1);
}

static void expect_broken(struct fixture *fx, const char *why)
{
	struct store_check_result found;
	struct err e = { 0 };
	AUTO(store_reader_free) struct store_reader *r = NULL;

	assert_int_equal(store_reader_open(fx->dir, fx->dict, &r, &e), ERR_OK);
	const struct store_check_config config = { .reader = r, .dict = fx->dict };
	assert_int_equal(evidence_store_check(&config, &found, &e), ERR_PARSE);
	assert_string_equal(e.msg, why);
}

/* Which it stays, whoever says that damage took them; but who reads it learns what was said. */
static void entries_that_are_missing_are_a_break_and_who_owns_up_is_named(void **state)
{
	static const char nobody[] =
		"the chain is broken: its entries 4 to 6 are missing, and no gap "
		"behind them owns up to damage at that time";
	struct fixture *fx = *state;

	fixture_open(fx);
	for (int i = 0; i < 10; i++)
		fixture_block(fx, 5); /* entries 2 to 11; a second each */
	fixture_close(fx);
	(void)fixture_sql(fx, "DELETE FROM entry WHERE number BETWEEN 4 AND 6");
	expect_broken(fx, nobody);
	fixture_open(fx);
	note(fx, STORE_GAP_DAMAGED, 2.5, 7, 0); /* begins too late: entry 3 was sealed after 2 */
	fixture_block(fx, 5);
	note(fx, STORE_GAP_DAMAGED, 0, 5.5, 0); /* ends too early: entry 7, after 6 */
	fixture_block(fx, 5);
	note(fx, STORE_GAP_KERNEL, 2, 6, 0);
	fixture_block(fx, 5);
	fixture_close(fx);
	expect_broken(fx, nobody);
	fixture_open(fx);
	note(fx, STORE_GAP_DAMAGED, 2, 6, 0);
	fixture_block(fx, 5);
	fixture_close(fx);
	char want[200];
	(void)snprintf(want, sizeof want,
		       "the chain is broken: its entries 4 to 6 are missing. Entry %llu owns up to "
		       "damage at that time; that they were lost by it nobody can prove",
		       (unsigned long long)fixture_sql(fx, "SELECT max(number) FROM entry WHERE"
							   " body LIKE '%damaged%'"));
	expect_broken(fx, want);
}

/* Blocks come, are merged, and go with their entries while a check is at work. */
static void a_store_that_is_written_meanwhile_is_checked_as_of_one_moment(void **state)
{
	struct fixture *fx = *state;
	struct store_check_result found = { .records = 0 };
	struct err e = { 0 };
	AUTO(store_reader_free) struct store_reader *r = NULL;

	fx->config.retention_ns = 3600 * NS_PER_S;
	fixture_open(fx);
	for (int i = 0; i < 20; i++)
		fixture_block(fx, 10);
	assert_int_equal(store_reader_open(fx->dir, fx->dict, &r, &e), ERR_OK);
	assert_int_equal(store_reader_hold(r, &e), ERR_OK);
	for (int i = 0; i < 20; i++)
		fixture_block(fx, 10);
	fixture_tend(fx);
	fx->now = after(fx->now, 7200);
	fixture_block(fx, 10);
	assert_int_equal(store_tick(fx->store, fx->now, &e), ERR_OK);
	fixture_tend(fx);
	assert_int_equal(fixture_sql(fx, "SELECT total(count) FROM segment"), 10);
	const struct store_check_config config = { .reader = r, .dict = fx->dict };
	if (evidence_store_check(&config, &found, &e) != ERR_OK)
		fail_msg("%s", e.msg);
	assert_int_equal(found.first_entry, 1);
	assert_int_equal(found.last_entry, 21); /* the start and what was there */
	assert_int_equal(found.records, 200);
	store_reader_let_go(r);
	if (evidence_store_check(&config, &found, &e) != ERR_OK)
		fail_msg("%s", e.msg);
	assert_int_equal(found.records, 10);
	assert_true(found.first_entry > 21);
	fixture_close(fx);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, fixture_make, fixture_remove)
	const struct CMUnitTest tests[] = {
		T(a_record_without_gaps_misses_nothing),
		T(gaps_are_counted_by_cause_and_time_once),
		T(gaps_of_a_time_that_was_pruned_are_no_gaps_of_the_record),
		T(damage_that_the_record_owns_up_to_is_counted),
		T(names_that_cannot_be_read_are_damage_and_no_change_of_records),
		T(entries_that_are_missing_are_a_break_and_who_owns_up_is_named),
		T(a_store_that_is_written_meanwhile_is_checked_as_of_one_moment),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
