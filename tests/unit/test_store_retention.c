/* lib/store: what goes when it is too old or too much, and what stays: the chain, names, edges, gaps. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "store/inside.h"
#include "store_fixture.h"

static void what_is_too_old_goes_and_the_chain_holds_from_there(void **state)
{
	struct fixture *fx = *state;
	struct wall_ns oldest, newest;
	struct err e = { 0 };

	fx->config.retention_ns = 3 * 3600 * NS_PER_S;
	fixture_open(fx);
	uint64_t put = 0;
	for (int hour = 0; hour < 12; hour++) {
		fixture_run(fx, 20, 50);
		put += 1000;
		fx->now = after(fx->now, 3580);
		assert_int_equal(store_tick(fx->store, fx->now, &e), ERR_OK);
		fixture_tend(fx);
	}
	AUTO(store_reader_free) struct store_reader *r = fixture_reader(fx);
	struct store_counts c = store_counts(fx->store);
	assert_int_equal(c.records + c.pruned_records, put);
	assert_in_range(c.records, 2000, 4000);
	struct seen seen = fixture_scan(fx, r, &ALL_RECORDS);
	assert_int_equal(seen.count, c.records);
	struct seen_chain chain = fixture_chain(r); /* checks each hash */
	assert_true(chain.first > 100);
	assert_int_equal(chain.blocks, c.blocks);
	assert_true(strchr(chain.kinds, 'p') != NULL);
	assert_int_equal(fixture_sql(fx, "SELECT min(number) FROM entry"), chain.first);
	assert_int_equal(store_extent(r, &oldest, &newest, &e), ERR_OK);
	assert_in_range(oldest.v, fx->now.v - 4 * 3600 * NS_PER_S, fx->now.v);
	assert_int_equal(oldest.v, c.oldest.v);
	/* The last pruning names the entry before the first, and its hash. */
	char want[64];
	(void)snprintf(want, sizeof want, "\"to_entry\":\"%llu\"",
		       (unsigned long long)chain.first - 1);
	char sql[200];
	(void)snprintf(sql, sizeof sql,
		       "SELECT count(*) FROM entry WHERE kind = 6 AND body LIKE '%%%s%%'", want);
	assert_int_equal(fixture_sql(fx, sql), 1);
	/* And so it is after a restart. */
	store_reader_free(TAKE(r));
	fixture_close(fx);
	fixture_open(fx);
	r = fixture_reader(fx);
	assert_int_equal(fixture_chain(r).first, chain.first);
	assert_int_equal(store_counts(fx->store).records, c.records);
}

static struct chain_hash hash_of_entry(struct fixture *fx, uint64_t number)
{
	sqlite3_stmt *st =
		DB_ASK(&fx->store->db, "SELECT hash FROM entry WHERE number = ?1", DB_I(number));
	struct chain_hash hash;

	assert_true(db_next(&fx->store->db, st));
	assert_int_equal(column_blob(st, 0).len, sizeof hash.v);
	memcpy(hash.v, column_blob(st, 0).p, sizeof hash.v);
	db_leave(st);
	return hash;
}

/* Cuts the chain behind @number; @hash must be what is left of what was before. */
static void cut(struct fixture *fx, uint64_t number, const struct chain_hash *hash)
{
	struct chain_head anchor;
	struct chain_hash told;

	assert_int_equal(chain_cut(&fx->store->db, number, &told, NULL), ERR_OK);
	assert_memory_equal(told.v, hash->v, sizeof told.v);
	assert_int_equal(chain_read_anchor(&fx->store->db, &anchor, NULL), ERR_OK);
	assert_int_equal(anchor.number, number);
	assert_memory_equal(anchor.hash.v, hash->v, sizeof told.v);
	assert_int_equal(fixture_sql(fx, "SELECT min(number) FROM entry"), number + 1);
}

/* Of what damage has left of the chain. */
static void what_is_cut_off_leaves_the_hash_of_the_last_entry_that_was_there(void **state)
{
	struct fixture *fx = *state;

	fixture_open(fx);
	for (int i = 0; i < 12; i++)
		fixture_block(fx, 1);
	const struct chain_hash second = hash_of_entry(fx, 2), fourth = hash_of_entry(fx, 4);
	cut(fx, 2, &second);
	(void)fixture_sql(fx, "DELETE FROM entry WHERE number IN (5, 6)");
	cut(fx, 6, &fourth);
	(void)fixture_sql(fx, "DELETE FROM entry WHERE number IN (7, 8)");
	cut(fx, 8, &fourth); /* nothing is left: that of the cut before */
}

/* The last one before what is left vouches for its beginning. */
static void what_is_cut_off_takes_its_checkpoints_but_the_last_one_along(void **state)
{
	static const uint64_t signed_entries[] = { 1, 3, 4, 7, 7, 9 };
	static const struct {
		uint64_t at, left, first;
	} cuts[] = { { 2, 6, 1 }, { 6, 4, 4 }, { 7, 3, 7 }, { 8, 3, 7 }, { 11, 1, 9 } };
	struct fixture *fx = *state;
	struct chain_hash hash;

	fixture_open(fx);
	for (int i = 0; i < 12; i++)
		fixture_block(fx, 1);
	for (size_t i = 0; i < ARRAY_LEN(signed_entries); i++) {
		const struct store_checkpoint c = { .entry = signed_entries[i],
						    .text = STR("{}"),
						    .signature = STR("s"),
						    .key = STR("k") };
		assert_int_equal(store_put_checkpoint(fx->store, &c, NULL), ERR_OK);
	}
	for (size_t i = 0; i < ARRAY_LEN(cuts); i++) {
		assert_int_equal(chain_cut(&fx->store->db, cuts[i].at, &hash, NULL), ERR_OK);
		assert_int_equal(fixture_sql(fx, "SELECT count(*) FROM checkpoint"), cuts[i].left);
		assert_int_equal(fixture_sql(fx, "SELECT min(entry) FROM checkpoint"),
				 cuts[i].first);
	}
}

static void a_record_is_as_old_as_its_block_whatever_it_says_itself(void **state)
{
	struct fixture *fx = *state;
	struct err e = { 0 };

	fx->config.retention_ns = 3600 * NS_PER_S;
	fixture_open(fx);
	for (int i = 0; i < 10; i++) {
		struct flow f = fixture_flow(fx, fx->next_seq++, (struct wall_ns){ 1 });
		assert_int_equal(store_put(fx->store, &f, 1, fx->now, &e), ERR_OK);
		fx->now = after(fx->now, 1);
		assert_int_equal(store_tick(fx->store, fx->now, &e), ERR_OK);
		fixture_tend(fx);
	}
	assert_int_equal(store_counts(fx->store).records, 10);
}

static void a_clock_that_was_ahead_does_not_keep_records_for_ever(void **state)
{
	struct fixture *fx = *state;
	struct err e = { 0 };

	fx->config.retention_ns = 3600 * NS_PER_S;
	fixture_open(fx);
	fx->now = after(fx->now, 86400.0 * 3650);
	fixture_block(fx, 10);
	fx->now = NOON;
	fixture_block(fx, 10);
	fx->now = after(NOON, 7300);
	fixture_block(fx, 10);
	assert_int_equal(store_tick(fx->store, fx->now, &e), ERR_OK);
	fixture_tend(fx);
	assert_int_equal(store_counts(fx->store).records, 10);
}

/* What cannot be pruned holds up nothing else, and is told as long as it is so. */
static void a_task_that_fails_is_told_and_the_others_are_done(void **state)
{
	struct fixture *fx = *state;
	struct err e = { 0 };
	bool more = false;

	fx->config.retention_ns = 3600 * NS_PER_S;
	fixture_open(fx);
	fixture_block(fx, 10);
	(void)fixture_sql(fx, "CREATE TRIGGER no BEFORE DELETE ON segment WHEN old.first_seq = 1000"
			      " BEGIN SELECT RAISE(ABORT, 'not this one'); END");
	fx->now = after(fx->now, 7200);
	for (int i = 0; i < 16; i++)
		fixture_block(fx, 10);
	for (uint64_t i = 1; i < 4; i++) {
		assert_int_not_equal(store_tend(fx->store, fx->now, &more, &e), ERR_OK);
		assert_non_null(strstr(e.msg, "not this one"));
		assert_false(more);
		assert_int_equal(store_counts(fx->store).tend_errors, i);
	}
	assert_int_equal(store_counts(fx->store).pruned_records, 0);
	assert_int_equal(store_counts(fx->store).merges, 1);
	AUTO(store_reader_free) struct store_reader *r = fixture_reader(fx);
	assert_int_equal(fixture_scan(fx, r, &ALL_RECORDS).count, 170);
	(void)fixture_sql(fx, "DROP TRIGGER no");
	fixture_tend(fx);
	assert_int_equal(fixture_scan(fx, r, &ALL_RECORDS).count, 160);
	assert_int_equal(store_counts(fx->store).tend_errors, 3);
	(void)fixture_chain(r);
}

static void a_file_that_is_too_large_shrinks_from_the_oldest_end(void **state)
{
	struct fixture *fx = *state;
	const uint64_t limit = 4 << 20;

	fx->config.retention_bytes = limit;
	fixture_open(fx);
	for (int i = 0; i < 40; i++) {
		fixture_bulk(fx, 500); /* half a MiB */
		fixture_tend(fx);
	}
	struct store_counts c = store_counts(fx->store);
	assert_true(c.pruned_records > 0);
	assert_true(c.records >= 3000);
	AUTO(store_reader_free) struct store_reader *r = fixture_reader(fx);
	struct store_scan_config config = ALL_RECORDS;
	struct seen seen = fixture_scan(fx, r, &config);
	assert_int_equal(seen.count, c.records);
	assert_int_equal(seen.last, fx->next_seq - 1);
	(void)fixture_chain(r);
	store_reader_free(TAKE(r));
	fixture_close(fx); /* moves the log into the file */
	assert_true(fixture_file_bytes(fx) <= limit);
}

static void space_goes_back_to_the_file_system(void **state)
{
	struct fixture *fx = *state;
	struct err e = { 0 };

	fx->config.retention_ns = 3600 * NS_PER_S;
	fixture_open(fx);
	for (int i = 0; i < 40; i++)
		fixture_bulk(fx, 500);
	fixture_close(fx);
	uint64_t before = fixture_file_bytes(fx);
	assert_true(before > 20 << 20);
	fx->now = after(fx->now, 7200);
	fixture_open(fx);
	fixture_block(fx, 10);
	assert_int_equal(store_tick(fx->store, fx->now, &e), ERR_OK);
	fixture_tend(fx);
	fixture_close(fx);
	assert_true(fixture_file_bytes(fx) < 6 << 20); /* 4 MiB of slack may stay */
}

/* A pod of its own in every record, as where pods come and go. */
static void put_pods(struct fixture *fx, int first, int count)
{
	struct err e = { 0 };

	for (int i = first; i < first + count; i++) {
		char pod[120], label[200];
		(void)snprintf(pod, sizeof pod, "job-%d", i);
		(void)snprintf(label, sizeof label, "k8s:job=%0150d", i);
		const struct str labels[] = { str_of(label) };
		const struct endpoint ep = { .identity = (uint32_t)i,
					     .namespace_ = STR("batch"),
					     .pod = str_of(pod),
					     .labels = labels,
					     .label_count = 1 };
		struct flow f = fixture_flow(fx, fx->next_seq++, fx->now);
		f.src_ep = flow_dict_endpoint(fx->dict, &ep);
		assert_int_equal(store_put(fx->store, &f, 1, fx->now, &e), ERR_OK);
	}
	fx->now = after(fx->now, 1);
	assert_int_equal(store_tick(fx->store, fx->now, &e), ERR_OK);
}

/* Of pods that have gone nothing stays once their last records have; the others' names do. */
static void names_go_with_the_last_record_that_means_them(void **state)
{
	struct fixture *fx = *state;
	uint64_t most = 0;

	fx->config.retention_ns = 2 * 86400 * NS_PER_S;
	fixture_open(fx);
	for (int day = 0; day < 12; day++) {
		put_pods(fx, 1 + 200 * day, 200);
		fixture_block(fx, 100);
		fx->now = after(fx->now, 86400);
		fixture_tend(fx);
		uint64_t names = fixture_sql(fx, "SELECT count(*) FROM endpoint");
		most = names > most ? names : most;
	}
	/* Two days of records, and the days that they began and end in; and those of every day. */
	assert_in_range(most, 2 * 200, 5 * 200 + 9);
	assert_int_equal(fixture_sql(fx, "SELECT count(*) FROM endpoint WHERE namespace = 'shop'"),
			 8);
	AUTO(store_reader_free) struct store_reader *r = fixture_reader(fx);
	struct store_scan_config config = ALL_RECORDS;
	AUTO(store_scan_free) struct store_scan *sc = NULL;
	struct err e = { 0 };
	uint64_t seen = 0;
	assert_int_equal(store_scan_new(r, &config, &sc, &e), ERR_OK);
	for (bool more = true; more;) { /* every record that is held knows who it was */
		const struct flow *flows;
		size_t n;
		assert_int_equal(store_scan_next(sc, 1000, &flows, &n, &more, &e), ERR_OK);
		for (size_t i = 0; i < n; i++)
			assert_non_null(flow_dict_get_endpoint(fx->dict, flows[i].src_ep));
		seen += n;
	}
	assert_int_equal(seen, store_counts(fx->store).records);
	(void)fixture_chain(r);
}

/* Numbers say the order, times what is in a range, and sealing what is old. */
static void a_clock_set_back_changes_neither_order_nor_ranges(void **state)
{
	struct fixture *fx = *state;
	struct store_scan_config config = ALL_RECORDS;

	fx->config.retention_ns = 3600 * NS_PER_S;
	fixture_open(fx);
	fixture_block(fx, 30);
	fx->now.v -= 600 * NS_PER_S;
	fixture_block(fx, 20);
	fixture_tend(fx);
	AUTO(store_reader_free) struct store_reader *r = fixture_reader(fx);
	for (int backward = 0; backward < 2; backward++) {
		config = ALL_RECORDS;
		config.backward = backward;
		struct seen seen = fixture_scan(fx, r, &config);
		assert_int_equal(seen.count, 50);
		assert_true(seen.ordered);
		config.range.since = NOON;
		assert_int_equal(fixture_scan(fx, r, &config).count, 30);
		config.range.since.v = 0;
		config.range.until = (struct wall_ns){ NOON.v - 1 };
		seen = fixture_scan(fx, r, &config);
		assert_int_equal(seen.count, 20);
		assert_int_equal(backward ? seen.last : seen.first, FIRST_SEQ + 30);
	}
	assert_int_equal(count_gaps(r, STORE_GAP_CLOCK), 1);
	/* An hour after the second block by the clock as it is now, the older one is not kept
	 * longer for having been sealed at a later time. */
	fx->now = after(fx->now, 3602);
	fixture_block(fx, 10);
	fixture_tend(fx);
	assert_int_equal(fixture_scan(fx, r, &ALL_RECORDS).count, 10);
	(void)fixture_chain(r);
}

static void edges_outlive_flows_and_end_in_their_time(void **state)
{
	struct fixture *fx = *state;
	struct err e = { 0 };

	fx->config.retention_ns = 3600 * NS_PER_S;
	fx->config.edges_retention_ns = 10 * 86400 * NS_PER_S;
	fixture_open(fx);
	fixture_block(fx, 100);
	for (int day = 0; day < 9; day++) {
		fx->now = after(fx->now, 86400);
		assert_int_equal(store_tick(fx->store, fx->now, &e), ERR_OK);
		fixture_tend(fx);
	}
	assert_int_equal(store_counts(fx->store).records, 0);
	assert_int_equal(fixture_sql(fx, "SELECT sum(flows) FROM edges"), 100);
	/* Names that only flows meant have gone; those of the edges not. */
	assert_int_equal(fixture_sql(fx, "SELECT count(*) FROM endpoint"), 0);
	fx->now = after(fx->now, 3.0 * 86400);
	assert_int_equal(store_tick(fx->store, fx->now, &e), ERR_OK);
	fixture_tend(fx);
	assert_int_equal(fixture_sql(fx, "SELECT count(*) FROM edge"), 0);
	/* What is seen again is there again. */
	fixture_block(fx, 100);
	AUTO(store_reader_free) struct store_reader *r = fixture_reader(fx);
	struct seen seen = fixture_scan(fx, r, &ALL_RECORDS);
	assert_int_equal(seen.count, 100);
	assert_int_equal(seen.wrong, 0);
}

static void edges_of_flows_that_are_kept_are_kept(void **state)
{
	struct fixture *fx = *state;
	struct err e = { 0 };

	fixture_open(fx);
	/* a replay, say */
	const struct wall_ns long_ago = { fx->now.v - 1000 * 86400 * NS_PER_S };
	const struct flow old = fixture_flow(fx, fx->next_seq++, long_ago);
	assert_int_equal(store_put(fx->store, &old, 1, fx->now, &e), ERR_OK);
	assert_int_equal(store_seal(fx->store, fx->now, &e), ERR_OK);
	fx->now = after(fx->now, 120);
	assert_int_equal(store_tick(fx->store, fx->now, &e), ERR_OK);
	fixture_tend(fx);
	assert_int_equal(store_counts(fx->store).records, 1);
	assert_int_equal(fixture_sql(fx, "SELECT sum(flows) FROM edges"), 1);
}

static void gaps_are_told_as_long_as_the_chain_has_them(void **state)
{
	struct fixture *fx = *state;
	struct err e = { 0 };

	fx->config.retention_ns = 3600 * NS_PER_S;
	fixture_open(fx);
	fixture_block(fx, 10);
	/* what a replay reports as lost, say */
	const struct wall_ns long_ago = { fx->now.v - 1000 * 86400 * NS_PER_S };
	store_note_gap(fx->store, &(struct store_gap){ .cause = STORE_GAP_KERNEL,
						       .from = long_ago,
						       .to = long_ago,
						       .lost = 7 });
	fixture_block(fx, 10);
	fixture_block(fx, 10); /* behind the gap in the chain */
	fx->now = after(fx->now, 120);
	assert_int_equal(store_tick(fx->store, fx->now, &e), ERR_OK);
	fixture_tend(fx);
	assert_int_equal(fixture_sql(fx, "SELECT count(*) FROM entry WHERE kind = 2"), 1);
	assert_int_equal(fixture_sql(fx, "SELECT sum(lost) FROM gap"), 7);
	/* and go with it */
	fx->now = after(fx->now, 2.0 * 3600);
	fixture_block(fx, 10);
	fixture_tend(fx);
	fx->now = after(fx->now, 120);
	assert_int_equal(store_tick(fx->store, fx->now, &e), ERR_OK);
	fixture_tend(fx);
	assert_int_equal(fixture_sql(fx, "SELECT count(*) FROM entry WHERE kind = 2"), 0);
	assert_int_equal(fixture_sql(fx, "SELECT count(*) FROM gap"), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, fixture_make, fixture_remove)
		T(what_is_too_old_goes_and_the_chain_holds_from_there),
		T(what_is_cut_off_leaves_the_hash_of_the_last_entry_that_was_there),
		T(what_is_cut_off_takes_its_checkpoints_but_the_last_one_along),
		T(a_record_is_as_old_as_its_block_whatever_it_says_itself),
		T(a_clock_that_was_ahead_does_not_keep_records_for_ever),
		T(a_task_that_fails_is_told_and_the_others_are_done),
		T(a_file_that_is_too_large_shrinks_from_the_oldest_end),
		T(space_goes_back_to_the_file_system),
		T(edges_outlive_flows_and_end_in_their_time),
		T(edges_of_flows_that_are_kept_are_kept),
		T(gaps_are_told_as_long_as_the_chain_has_them),
		T(names_go_with_the_last_record_that_means_them),
		T(a_clock_set_back_changes_neither_order_nor_ranges),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
