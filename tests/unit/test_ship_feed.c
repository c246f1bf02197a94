/* observer/ship's feed: which blocks the store becomes, and what is said of what retention removed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "clickhouse/rowbinary.h"
#include "observer/ship/feed.h"
#include "store_fixture.h"

#define DAY_NS (UINT64_C(86400) * NS_PER_S)

/* --- rows read back ------------------------------------------------------------------------ */

enum { ROWS_MAX = 4096 };

struct row {
	uint64_t seq, time_ns;
	bool is_flow;
};

static void skip_column(struct rowbinary_reader *r, struct str type)
{
	if (str_is(type, "String"))
		(void)rowbinary_text(r);
	else if (str_is(type, "UInt8"))
		(void)rowbinary_u8(r);
	else if (str_is(type, "UInt32") || str_is(type, "Int32"))
		(void)rowbinary_u32(r);
	else if (str_is(type, "UInt64"))
		(void)rowbinary_u64(r);
	else if (str_is(type, "Array(String)"))
		for (size_t n = rowbinary_length(r); n; n--)
			(void)rowbinary_text(r);
	else if (str_is(type, "Nullable(UInt8)"))
		(void)(rowbinary_is_null(r) || rowbinary_u8(r));
	else
		fail_msg("a column of type %.*s", STR_FMT(type));
}

/* Rows of flows: all columns are there, with their types. */
static size_t read_rows(const struct feed_block *b, struct row *list)
{
	struct rowbinary_reader r = rowbinary_reader_of(b->rows, 1 << 20, 1000);
	size_t n = 0;

	assert_ptr_equal(b->table, &clickhouse_flows);
	for (; !rowbinary_is_at_end(&r); n++) {
		assert_true(n < ROWS_MAX);
		assert_true(str_is(rowbinary_text(&r), "here"));
		list[n].seq = rowbinary_u64(&r);
		list[n].time_ns = rowbinary_u64(&r);
		list[n].is_flow = str_is(rowbinary_text(&r), CLICKHOUSE_KIND_FLOW);
		for (size_t i = CF_UUID; i < CF_COLUMNS_; i++)
			skip_column(&r, str_of(b->table->columns[i].type));
		assert_true(rowbinary_is_well(&r));
	}
	assert_int_equal(n, b->count);
	assert_int_equal(list[0].seq, b->first);
	assert_int_equal(list[n - 1].seq, b->last);
	return n;
}

struct gap_row {
	uint64_t entry, lost, first_seq, last_seq;
	char cause[32];
};

static struct gap_row read_gap(const struct feed_block *b)
{
	struct rowbinary_reader r = rowbinary_reader_of(b->rows, 1000, 0);
	struct gap_row g;

	assert_ptr_equal(b->table, &clickhouse_gaps);
	assert_int_equal(b->count, 1);
	assert_true(str_is(rowbinary_text(&r), "here"));
	g.entry = rowbinary_u64(&r);
	(void)str_excerpt(rowbinary_text(&r), g.cause, sizeof g.cause);
	assert_true(rowbinary_u64(&r) <= rowbinary_u64(&r)); /* from, to */
	g.lost = rowbinary_u64(&r);
	g.first_seq = rowbinary_u64(&r);
	g.last_seq = rowbinary_u64(&r);
	(void)rowbinary_text(&r);
	(void)rowbinary_text(&r);
	assert_true(rowbinary_is_at_end(&r));
	return g;
}

static struct feed *feed_of(struct fixture *fx)
{
	struct feed *f = NULL;
	struct err e = { 0 };

	if (feed_new(fx->store, fx->dict, "here", &f, &e) != ERR_OK)
		fail_msg("%s", e.msg);
	feed_seek(f, 0, 0, 0);
	return f;
}

static struct feed_block next(struct feed *f)
{
	struct feed_block b;
	struct err e = { 0 };

	if (feed_next(f, &b, &e) != ERR_OK)
		fail_msg("%s", e.msg);
	return b;
}

static void put_at(struct fixture *fx, uint64_t time_ns, uint32_t bits_less)
{
	struct flow f = fixture_flow(fx, fx->next_seq++, (struct wall_ns){ time_ns });

	f.bits &= ~bits_less;
	assert_int_equal(store_put(fx->store, &f, 1, fx->now, NULL), ERR_OK);
}

static void seal(struct fixture *fx)
{
	assert_int_equal(store_seal(fx->store, fx->now, NULL), ERR_OK);
}

static uint64_t waiting(struct feed *f)
{
	uint64_t n;
	struct wall_ns oldest;

	assert_int_equal(feed_waiting(f, &n, &oldest, NULL), ERR_OK);
	assert_int_equal(n > 0, oldest.v > 0);
	return n;
}

/* --- blocks -------------------------------------------------------------------------------- */

static void all_that_is_sealed_is_one_block_and_then_there_is_nothing(void **state)
{
	struct fixture *fx = *state;
	struct row rows[ROWS_MAX];

	fixture_open(fx);
	fixture_block(fx, 300);
	fixture_block(fx, 200);
	AUTO(feed_free) struct feed *f = feed_of(fx);
	assert_int_equal(waiting(f), 500);
	struct feed_block b = next(f);
	assert_int_equal(read_rows(&b, rows), 500);
	for (size_t i = 0; i < 500; i++)
		assert_true(rows[i].seq == FIRST_SEQ + i && rows[i].is_flow);
	feed_sent(f, &b);
	assert_int_equal(next(f).count, 0);
	assert_int_equal(waiting(f), 0);
	fixture_block(fx, 1);
	b = next(f);
	assert_int_equal(read_rows(&b, rows), 1);
	assert_int_equal(b.first, FIRST_SEQ + 500);
}

static void a_block_is_of_one_day_and_numbers_only_grow(void **state)
{
	struct fixture *fx = *state;
	static const int days[] = { 0, 0, 1, 0, 5, 5, 5 };
	static const size_t lengths[] = { 2, 1, 1, 3 };
	struct row rows[ROWS_MAX];
	uint64_t seq = FIRST_SEQ;

	fixture_open(fx);
	for (size_t i = 0; i < ARRAY_LEN(days); i++)
		put_at(fx, NOON.v + (uint64_t)days[i] * DAY_NS + i, 0);
	seal(fx);
	AUTO(feed_free) struct feed *f = feed_of(fx);
	for (size_t i = 0; i < ARRAY_LEN(lengths); i++) {
		struct feed_block b = next(f);
		assert_int_equal(read_rows(&b, rows), lengths[i]);
		assert_int_equal(b.first, seq);
		for (size_t j = 0; j < lengths[i]; j++, seq++)
			assert_int_equal(rows[j].time_ns / DAY_NS,
					 NOON.v / DAY_NS + (uint64_t)days[seq - FIRST_SEQ]);
		feed_sent(f, &b);
	}
	assert_int_equal(next(f).count, 0);
}

static void a_record_without_a_time_has_that_of_the_one_before(void **state)
{
	struct fixture *fx = *state;
	struct row rows[ROWS_MAX];

	fixture_open(fx);
	put_at(fx, NOON.v, 0);
	put_at(fx, 0, FLOW_HAS_TIME);
	put_at(fx, NOON.v + DAY_NS, 0);
	put_at(fx, 0, FLOW_HAS_TIME);
	seal(fx);
	AUTO(feed_free) struct feed *f = feed_of(fx);
	struct feed_block b = next(f);
	assert_int_equal(read_rows(&b, rows), 2);
	assert_int_equal(rows[1].time_ns, NOON.v);
	feed_sent(f, &b);
	b = next(f);
	assert_int_equal(read_rows(&b, rows), 2);
	assert_int_equal(rows[1].time_ns, NOON.v + DAY_NS);
	/* and of the one that is there already, when nothing came since */
	put_at(fx, 0, FLOW_HAS_TIME);
	seal(fx);
	feed_seek(f, b.last, NOON.v + 7, 0);
	b = next(f);
	assert_int_equal(read_rows(&b, rows), 1);
	assert_int_equal(rows[0].time_ns, NOON.v + 7);
}

static void what_may_be_there_comes_again_as_it_was(void **state)
{
	struct fixture *fx = *state;
	struct row rows[ROWS_MAX];

	fixture_open(fx);
	fixture_block(fx, 10);
	AUTO(feed_free) struct feed *f = feed_of(fx);
	struct feed_block b = next(f);
	const uint64_t last = b.last;
	feed_unsure(f, &b);
	fixture_block(fx, 10);
	feed_seek(f, 0, 0, 0); /* it is not there */
	b = next(f);
	assert_int_equal(read_rows(&b, rows), 10);
	assert_int_equal(b.last, last);
	feed_unsure(f, &b);
	feed_seek(f, last - 3, NOON.v, 0); /* a beginning is */
	b = next(f);
	assert_int_equal(read_rows(&b, rows), 3);
	assert_int_equal(b.last, last);
	feed_unsure(f, &b);
	feed_seek(f, last, NOON.v, 0); /* all of it is */
	b = next(f);
	assert_int_equal(read_rows(&b, rows), 10);
	assert_int_equal(b.first, last + 1);
}

/* --- gaps ---------------------------------------------------------------------------------- */

static void gaps_of_the_chain_come_once_before_the_records_behind_them(void **state)
{
	struct fixture *fx = *state;
	const struct store_gap gap = { .cause = STORE_GAP_RING,
				       .from = NOON,
				       .to = after(NOON, 1),
				       .lost = 17,
				       .first_seq = 5,
				       .last_seq = 21,
				       .node = STR(""),
				       .detail = STR("\"quoted\"") };

	fixture_open(fx);
	store_note_gap(fx->store, &gap);
	fixture_block(fx, 10);
	AUTO(feed_free) struct feed *f = feed_of(fx);
	struct feed_block b = next(f);
	const struct gap_row g = read_gap(&b);
	assert_string_equal(g.cause, "ring-overwritten");
	assert_int_equal(g.lost, 17);
	assert_int_equal(g.first_seq, 5);
	assert_int_equal(g.last_seq, 21);
	assert_int_equal(g.entry, b.first);
	assert_false(b.is_pruned);
	feed_sent(f, &b);
	assert_ptr_equal(next(f).table, &clickhouse_flows);
	/* a run later: it is there */
	feed_seek(f, 0, 0, g.entry);
	assert_ptr_equal(next(f).table, &clickhouse_flows);
}

/* Ten blocks a second apart, of which those that are older than 2.5 s go. */
static void let_retention_take(struct fixture *fx)
{
	for (int i = 0; i < 10; i++)
		fixture_block(fx, 100);
	fixture_tend(fx);
}

static uint64_t first_held(struct fixture *fx)
{
	AUTO(store_reader_free) struct store_reader *r = fixture_reader(fx);
	struct store_bounds bounds;

	assert_int_equal(store_bounds(r, &bounds, NULL), ERR_OK);
	return bounds.first_seq;
}

static void what_retention_took_is_a_gap_with_its_count(void **state)
{
	struct fixture *fx = *state;
	struct row rows[ROWS_MAX];

	fx->config.retention_ns = 5 * NS_PER_S / 2;
	fixture_open(fx);
	fixture_block(fx, 100);
	AUTO(feed_free) struct feed *f = feed_of(fx);
	struct feed_block b = next(f);
	feed_sent(f, &b);
	const uint64_t sent = b.last;
	let_retention_take(fx);
	const uint64_t held = first_held(fx);
	assert_true(held > sent + 1);
	b = next(f);
	struct gap_row g = read_gap(&b);
	assert_true(b.is_pruned);
	assert_string_equal(g.cause, CLICKHOUSE_CAUSE_PRUNED);
	assert_int_equal(g.entry, CLICKHOUSE_ENTRY_PRUNED | (sent + 1));
	assert_int_equal(g.first_seq, sent + 1);
	assert_int_equal(g.last_seq, held - 1);
	assert_int_equal(g.lost, 0); /* nobody had counted them */
	feed_sent(f, &b);
	b = next(f);
	(void)read_rows(&b, rows);
	assert_int_equal(b.first, held);
	assert_int_equal(waiting(f), 100 * 11 + FIRST_SEQ - held);
	/* these are counted, and then they go, too */
	const uint64_t counted = waiting(f);
	feed_unsure(f, &b);
	feed_seek(f, held - 1, NOON.v, 0);
	fx->now = after(fx->now, 60);
	fixture_tend(fx);
	b = next(f);
	g = read_gap(&b);
	assert_int_equal(g.first_seq, held);
	assert_int_equal(g.last_seq, first_held(fx) - 1);
	assert_int_equal(g.lost, counted - (FIRST_SEQ + 1100 - first_held(fx)));
	assert_int_equal(b.lost, g.lost);
	assert_int_not_equal(g.lost, 0);
}

static void what_retention_took_before_the_first_time_is_no_gap(void **state)
{
	struct fixture *fx = *state;

	fx->config.retention_ns = 5 * NS_PER_S / 2;
	fixture_open(fx);
	let_retention_take(fx);
	AUTO(feed_free) struct feed *f = feed_of(fx);
	struct feed_block b = next(f);
	assert_ptr_equal(b.table, &clickhouse_flows);
	assert_int_equal(b.first, first_held(fx));
	/* but what goes from now on, while ClickHouse is away, is */
	const uint64_t begun = b.first;
	let_retention_take(fx);
	feed_seek(f, 0, 0, 0);
	b = next(f);
	assert_true(b.is_pruned);
	assert_int_equal(read_gap(&b).first_seq, begun);
}

static void what_retention_takes_while_it_is_read_is_not_skipped_unseen(void **state)
{
	struct fixture *fx = *state;
	struct row rows[ROWS_MAX];

	fx->config.retention_ns = 5 * NS_PER_S / 2;
	fixture_open(fx);
	put_at(fx, NOON.v, 0);
	put_at(fx, NOON.v + DAY_NS, 0); /* of another day: the scan stays open behind its block */
	seal(fx);
	for (int i = 0; i < 10; i++)
		fixture_block(fx, 100);
	AUTO(feed_free) struct feed *f = feed_of(fx);
	struct feed_block b = next(f);
	assert_int_equal(read_rows(&b, rows), 1);
	feed_sent(f, &b);
	fixture_tend(fx);
	assert_true(first_held(fx) > b.last + 2);
	uint64_t at = b.last + 1;
	/* every number is in a block or in a gap, in order */
	for (b = next(f); b.count; b = next(f)) {
		if (b.is_pruned) {
			const struct gap_row g = read_gap(&b);
			assert_int_equal(g.first_seq, at);
			at = g.last_seq + 1;
		} else if (b.table == &clickhouse_flows) {
			(void)read_rows(&b, rows);
			assert_int_equal(b.first, at);
			at = b.last + 1;
		}
		feed_sent(f, &b);
	}
	assert_int_equal(at, FIRST_SEQ + 2 + 1000);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, fixture_make, fixture_remove)
	const struct CMUnitTest tests[] = {
		T(all_that_is_sealed_is_one_block_and_then_there_is_nothing),
		T(a_block_is_of_one_day_and_numbers_only_grow),
		T(a_record_without_a_time_has_that_of_the_one_before),
		T(what_may_be_there_comes_again_as_it_was),
		T(gaps_of_the_chain_come_once_before_the_records_behind_them),
		T(what_retention_took_is_a_gap_with_its_count),
		T(what_retention_took_before_the_first_time_is_no_gap),
		T(what_retention_takes_while_it_is_read_is_not_skipped_unseen),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
