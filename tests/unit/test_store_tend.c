/* lib/store: merging, pruning, giving space back; policies and checkpoints over it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include <cmocka.h>

#include "flow/flow.pb-c.h"
#include "store/inside.h"
#include "store_fixture.h"

/* Blocks of a second each, tended as the keeper does. */
static void run_for(struct fixture *fx, int seconds, size_t records)
{
	for (int i = 0; i < seconds; i++) {
		fixture_block(fx, records);
		fixture_tend(fx);
	}
}

/* --- merging ------------------------------------------------------------------------------ */

static void small_segments_grow_together_and_nothing_changes(void **state)
{
	struct fixture *fx = *state;

	fixture_open(fx);
	run_for(fx, 300, 20);
	AUTO(store_reader_free) struct store_reader *r = fixture_reader(fx);
	struct store_counts c = store_counts(fx->store);
	assert_true(c.merges > 0);
	/* at most 15 of each level: 1, 16 and 256 seconds */
	assert_true(c.segments <= 3 * 15);
	assert_int_equal(c.segments, fixture_sql(fx, "SELECT count(*) FROM segment"));
	assert_int_equal(c.records, 6000);
	assert_int_equal(c.blocks, 300);
	struct store_scan_config config = ALL_RECORDS;
	for (int backward = 0; backward < 2; backward++) {
		config.backward = backward;
		struct seen seen = fixture_scan(fx, r, &config);
		assert_int_equal(seen.count, 6000);
		assert_int_equal(seen.wrong, 0);
		assert_true(seen.ordered);
	}
	assert_int_equal(fixture_chain(r).blocks, 300);
	/* Numbers and times of what was merged find it again. */
	assert_int_equal(fixture_sql(fx, "SELECT count(*) FROM segment WHERE last_seq - first_seq"
					 " + 1 != count"),
			 0);
	for (int second = 0; second < 300; second += 7) {
		config = ALL_RECORDS;
		config.range.since = after(NOON, second);
		config.range.until = after(NOON, second + 0.999);
		struct seen seen = fixture_scan(fx, r, &config);
		assert_int_equal(seen.count, 20);
		assert_int_equal(seen.first, FIRST_SEQ + 20 * (uint64_t)second);
	}
}

static void an_hour_that_is_over_is_one_segment(void **state)
{
	struct fixture *fx = *state;

	fixture_open(fx);
	run_for(fx, 40, 10);
	fx->now = after(fx->now, 3600);
	run_for(fx, 3, 10);
	assert_int_equal(fixture_sql(fx, "SELECT count(*) FROM segment WHERE level = 9"), 1);
	assert_int_equal(fixture_sql(fx, "SELECT count FROM segment WHERE level = 9"), 400);
	assert_int_equal(fixture_sql(fx, "SELECT blocks FROM segment WHERE level = 9"), 40);
}

static void large_segments_are_left_as_they_are(void **state)
{
	struct fixture *fx = *state;

	fx->config.seal_flows = 100000;
	fixture_open(fx);
	run_for(fx, 2, 98304); /* three quarters of what a segment grows to */
	assert_int_equal(store_counts(fx->store).merges, 0);
	assert_int_equal(store_counts(fx->store).segments, 2);
	run_for(fx, 15, 10000);
	assert_int_equal(fixture_sql(fx, "SELECT max(count) FROM segment"), 130000);
}

/* A scan that was begun before sees each record once, whatever is merged while it goes on. */
static void a_scan_survives_merging_behind_its_back(void **state)
{
	struct fixture *fx = *state;

	for (int backward = 0; backward < 2; backward++) {
		fixture_open(fx);
		uint64_t first = fx->next_seq;
		for (int i = 0; i < 100; i++) {
			fixture_block(fx, 100);
			fx->next_seq += 3; /* numbers have holes where the log was overwritten */
		}
		AUTO(store_reader_free) struct store_reader *r = fixture_reader(fx);
		AUTO(store_scan_free) struct store_scan *sc = NULL;
		struct store_scan_config config = ALL_RECORDS;
		struct err e = { 0 };
		uint64_t count = 0, last = backward ? UINT64_MAX : 0;
		bool more = true;
		config.backward = backward;
		config.range.from_seq = first;
		assert_int_equal(store_scan_new(r, &config, &sc, &e), ERR_OK);
		while (more) {
			const struct flow *flows;
			size_t n;
			if (store_scan_next(sc, 150, &flows, &n, &more, &e) != ERR_OK)
				fail_msg("%s", e.msg);
			for (size_t i = 0; i < n; i++) {
				assert_true(backward ? flows[i].seq < last : flows[i].seq > last);
				last = flows[i].seq;
			}
			count += n;
			bool is_more;
			assert_int_equal(store_tend(fx->store, fx->now, &is_more, &e), ERR_OK);
		}
		assert_int_equal(count, 10000);
		assert_true(store_counts(fx->store).merges > 0);
		fixture_close(fx);
	}
}

/* Texts that are much alike: a hundred megabytes of them take a few in the file. */
static void put_alike(struct fixture *fx, size_t n)
{
	struct err e = { 0 };
	uint8_t ext[1028] = { 0xa2, 0x06, 0x80, 0x08 }; /* field 100, 1,024 bytes */

	for (size_t i = 0; i < n; i++) {
		struct flow f = fixture_flow(fx, fx->next_seq++, fx->now);
		(void)snprintf((char *)ext + 4, sizeof ext - 4, "/cart/%llu",
			       (unsigned long long)f.seq);
		f.ext = ext;
		f.ext_len = sizeof ext;
		assert_int_equal(store_put(fx->store, &f, 1, fx->now, &e), ERR_OK);
	}
	fx->now = after(fx->now, 1);
	assert_int_equal(store_tick(fx->store, fx->now, &e), ERR_OK);
}

static void segments_of_many_texts_grow_as_far_as_a_segment_may(void **state)
{
	struct fixture *fx = *state;

	fixture_open(fx);
	for (int i = 0; i < 140; i++) {
		put_alike(fx, 1000);
		fixture_tend(fx);
	}
	AUTO(store_reader_free) struct store_reader *r = fixture_reader(fx);
	assert_int_equal(fixture_scan(fx, r, &ALL_RECORDS).count, 140000);
	assert_int_equal(store_counts(fx->store).tend_errors, 0);
	/* more than 131,072 records are an hour's first segment, but 64 MiB of texts are in one:
	 * four times the sixteen seconds that were one already */
	assert_int_equal(fixture_sql(fx, "SELECT max(count) FROM segment"), 64000);
}

/* Records without a time are in every range of it, also when they lie with others. */
static void records_without_a_time_are_found_after_merging(void **state)
{
	struct fixture *fx = *state;
	struct store_scan_config config = ALL_RECORDS;
	struct err e = { 0 };

	config.range.until = after(NOON, -1000);
	fixture_open(fx);
	struct flow f = fixture_flow(fx, fx->next_seq++, fx->now);
	f.bits &= ~(uint64_t)FLOW_HAS_TIME;
	f.time.v = 0;
	assert_int_equal(store_put(fx->store, &f, 1, fx->now, &e), ERR_OK);
	run_for(fx, 20, 10);
	assert_int_equal(store_counts(fx->store).merges, 1);
	AUTO(store_reader_free) struct store_reader *r = fixture_reader(fx);
	assert_int_equal(fixture_scan(fx, r, &config).count, 1);
	assert_int_equal(fixture_scan(fx, r, &config).first, FIRST_SEQ);
}

static void a_damaged_segment_is_left_out_of_merging(void **state)
{
	struct fixture *fx = *state;

	fixture_open(fx);
	for (int i = 0; i < 20; i++)
		fixture_block(fx, 10);
	(void)fixture_sql(fx, "DELETE FROM segment_data WHERE first_seq = 1050");
	fixture_tend(fx);
	fixture_block(fx, 10);
	fixture_tend(fx);
	AUTO(store_reader_free) struct store_reader *r = fixture_reader(fx);
	assert_int_equal(fixture_scan(fx, r, &ALL_RECORDS).count, 200);
	assert_int_equal(count_gaps(r, STORE_GAP_DAMAGED), 1);
}

/* --- retention ---------------------------------------------------------------------------- */

static void what_is_too_old_goes_and_the_chain_holds_from_there(void **state)
{
	struct fixture *fx = *state;
	struct wall_ns oldest, newest;
	struct err e = { 0 };

	fx->config.retention_ns = 3 * 3600 * NS_PER_S;
	fixture_open(fx);
	uint64_t put = 0;
	for (int hour = 0; hour < 12; hour++) {
		run_for(fx, 20, 50);
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

/* --- policies and checkpoints -------------------------------------------------------------- */

static struct store_policy policy_of(const char *json)
{
	return (struct store_policy){ .kind = STR("NetworkPolicy"),
				      .namespace_ = STR("shop"),
				      .name = STR("deny-all"),
				      .uid = STR("u1"),
				      .resource_version = STR("7"),
				      .json = str_of(json) };
}

struct policy_list {
	size_t count;
	struct wall_ns from[8], to[8];
};

static void add_policy(void *ctx, const struct store_policy *p)
{
	struct policy_list *list = ctx;

	assert_true(str_is(p->name, "deny-all"));
	assert_true(list->count < ARRAY_LEN(list->from));
	list->from[list->count] = p->from;
	list->to[list->count++] = p->to;
}

static void policies_are_known_for_their_time(void **state)
{
	struct fixture *fx = *state;
	struct policy_list all = { 0 }, early = { 0 };
	struct err e = { 0 };

	fixture_open(fx);
	fixture_block(fx, 10);
	const char *const texts[] = { "{\"a\":1}", "{\"a\":1}", "{\"a\":2}", "" };
	struct wall_ns began = fx->now;
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		struct store_policy p = policy_of(texts[i]);
		assert_int_equal(fixture_put(fx, 3, &e), ERR_OK);
		assert_int_equal(store_note_policy(fx->store, &p, fx->now, &e), ERR_OK);
		fx->now = after(fx->now, 10);
	}
	fixture_block(fx, 10);
	AUTO(store_reader_free) struct store_reader *r = fixture_reader(fx);
	assert_int_equal(store_policies(r, NOON, fx->now, add_policy, &all, &e), ERR_OK);
	assert_int_equal(all.count, 2); /* the second said nothing new */
	assert_int_equal(all.from[0].v, began.v);
	assert_int_equal(all.to[0].v, after(began, 20).v);
	assert_int_equal(all.from[1].v, after(began, 20).v);
	assert_int_equal(all.to[1].v, after(began, 30).v);
	assert_int_equal(store_policies(r, NOON, after(began, 5), add_policy, &early, &e), ERR_OK);
	assert_int_equal(early.count, 1);
	assert_string_equal(fixture_chain(r).kinds, "sppp");
	assert_int_equal(fixture_scan(fx, r, &ALL_RECORDS).count, 32);
}

static void a_policy_that_was_made_anew_is_another_one(void **state)
{
	struct fixture *fx = *state;
	struct policy_list list = { 0 };
	struct store_policy p = policy_of("{}");
	struct err e = { 0 };

	fixture_open(fx);
	assert_int_equal(store_note_policy(fx->store, &p, fx->now, &e), ERR_OK);
	p.uid = STR("u2"); /* deleted meanwhile, and the same made again */
	fx->now = after(fx->now, 10);
	assert_int_equal(store_note_policy(fx->store, &p, fx->now, &e), ERR_OK);
	AUTO(store_reader_free) struct store_reader *r = fixture_reader(fx);
	assert_int_equal(store_policies(r, NOON, fx->now, add_policy, &list, &e), ERR_OK);
	assert_int_equal(list.count, 2);
	assert_int_equal(list.to[0].v, fx->now.v);
	assert_int_equal(list.from[1].v, fx->now.v);
}

static void a_policy_in_force_is_said_again_when_its_entry_is_pruned(void **state)
{
	struct fixture *fx = *state;
	struct store_policy p = policy_of("{}");
	struct err e = { 0 };

	fx->config.retention_ns = 3600 * NS_PER_S;
	fixture_open(fx);
	assert_int_equal(store_note_policy(fx->store, &p, fx->now, &e), ERR_OK);
	fixture_block(fx, 10);
	fx->now = after(fx->now, 7200);
	fixture_block(fx, 10);
	fixture_tend(fx);
	AUTO(store_reader_free) struct store_reader *r = fixture_reader(fx);
	struct seen_chain chain = fixture_chain(r);
	assert_string_equal(chain.kinds, "pp"); /* pruned, and the policy */
	assert_non_null(strstr(chain.last_body, "\"kind\":\"policy\""));
	assert_int_equal(fixture_sql(fx, "SELECT entry FROM policy"), chain.last);
}

static void a_policy_that_ended_is_known_as_long_as_records_of_its_time_are(void **state)
{
	struct fixture *fx = *state;
	struct policy_list list = { 0 }, none = { 0 };
	struct err e = { 0 };

	fx->config.retention_ns = 3600 * NS_PER_S;
	fixture_open(fx);
	struct store_policy p = policy_of("{}");
	assert_int_equal(store_note_policy(fx->store, &p, fx->now, &e), ERR_OK);
	fixture_block(fx, 10);
	fx->now = after(fx->now, 3000);
	fixture_block(fx, 10);
	p = policy_of("");
	assert_int_equal(store_note_policy(fx->store, &p, fx->now, &e), ERR_OK);
	fx->now = after(fx->now, 700); /* the first block goes, the second stays */
	fixture_block(fx, 10);
	fixture_tend(fx);
	assert_int_equal(store_counts(fx->store).pruned_records, 10);
	AUTO(store_reader_free) struct store_reader *r = fixture_reader(fx);
	assert_int_equal(store_policies(r, NOON, fx->now, add_policy, &list, &e), ERR_OK);
	assert_int_equal(list.count, 1);
	assert_int_equal(list.to[0].v, after(NOON, 3002).v);
	fx->now = after(fx->now, 7200); /* the second goes, and another behind it */
	fixture_block(fx, 10);
	fixture_tend(fx);
	assert_int_equal(store_policies(r, NOON, fx->now, add_policy, &none, &e), ERR_OK);
	assert_int_equal(none.count, 0);
}

/* A list of addresses, say: the largest that an observer notes is an agent's, of 16 MiB. */
static void policies_of_any_size_are_said_again(void **state)
{
	enum { LARGE = 16 << 20 };
	static const char *const names[] = { "a-small-one", "large", "one more" };
	struct fixture *fx = *state;
	struct err e = { 0 };
	AUTO(own_free) char *json = malloc(LARGE + 1);

	assert_non_null(json);
	memset(json, ' ', LARGE);
	json[0] = '{';
	json[LARGE - 1] = '}';
	json[LARGE] = '\0';
	fx->config.retention_ns = 3600 * NS_PER_S;
	fixture_open(fx);
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		struct store_policy p = policy_of(i == 1 ? json : "{}");
		p.name = str_of(names[i]);
		assert_int_equal(store_note_policy(fx->store, &p, fx->now, &e), ERR_OK);
	}
	fixture_block(fx, 10);
	fx->now = after(fx->now, 7200);
	fixture_block(fx, 10);
	fixture_tend(fx);
	AUTO(store_reader_free) struct store_reader *r = fixture_reader(fx);
	assert_string_equal(fixture_chain(r).kinds, "pppp"); /* pruned, and the policies */
	assert_int_equal(fixture_sql(fx, "SELECT count(*) FROM policy p JOIN entry e"
					 " ON e.number = p.entry WHERE e.kind = 5 AND e.body LIKE"
					 " '%\"name\":\"' || p.name || '\"%'"),
			 ARRAY_LEN(names));
	assert_int_equal(
		fixture_sql(fx, "SELECT min(length(text)) FROM policy WHERE name = 'large'"),
		LARGE);
}

struct checkpoint_list {
	size_t count;
	uint64_t entry[8];
};

static bool add_checkpoint(void *ctx, const struct store_checkpoint *c)
{
	struct checkpoint_list *list = ctx;

	assert_true(str_is(c->text, "text"));
	assert_true(str_eq(c->signature, str_n("s\0g", 3)));
	list->entry[list->count++] = c->entry;
	return list->count < 2;
}

static void keep_checkpoint(void *ctx, const struct store_checkpoint *c)
{
	(void)add_checkpoint(ctx, c);
}

static void checkpoints_come_back_in_order_until_it_is_enough(void **state)
{
	struct fixture *fx = *state;
	struct checkpoint_list list = { 0 };
	struct err e = { 0 };

	fixture_open(fx);
	AUTO(store_reader_free) struct store_reader *early = fixture_reader(fx);
	assert_int_equal(store_last_checkpoint(early, keep_checkpoint, &list, &e), ERR_OK);
	assert_int_equal(list.count, 0);
	for (uint64_t entry = 1; entry < 6; entry++) {
		const struct store_checkpoint c = { .entry = entry,
						    .text = STR("text"),
						    .signature = str_n("s\0g", 3),
						    .key = STR("key") };
		assert_int_equal(store_put_checkpoint(fx->store, &c, &e), ERR_OK);
	}
	AUTO(store_reader_free) struct store_reader *r = fixture_reader(fx);
	assert_int_equal(store_checkpoints(r, 3, add_checkpoint, &list, &e), ERR_OK);
	assert_int_equal(list.count, 2);
	assert_int_equal(list.entry[0], 3);
	assert_int_equal(list.entry[1], 4);
	list.count = 0;
	assert_int_equal(store_last_checkpoint(r, keep_checkpoint, &list, &e), ERR_OK);
	assert_int_equal(list.count, 1);
	assert_int_equal(list.entry[0], 5);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, fixture_make, fixture_remove)
		T(small_segments_grow_together_and_nothing_changes),
		T(an_hour_that_is_over_is_one_segment),
		T(large_segments_are_left_as_they_are),
		T(a_scan_survives_merging_behind_its_back),
		T(segments_of_many_texts_grow_as_far_as_a_segment_may),
		T(records_without_a_time_are_found_after_merging),
		T(a_damaged_segment_is_left_out_of_merging),
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
		T(policies_are_known_for_their_time),
		T(a_policy_that_was_made_anew_is_another_one),
		T(a_policy_in_force_is_said_again_when_its_entry_is_pruned),
		T(a_policy_that_ended_is_known_as_long_as_records_of_its_time_are),
		T(policies_of_any_size_are_said_again),
		T(checkpoints_come_back_in_order_until_it_is_enough),
		T(names_go_with_the_last_record_that_means_them),
		T(a_clock_set_back_changes_neither_order_nor_ranges),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
