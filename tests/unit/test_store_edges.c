/* lib/store: the service map by the minute. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "flow/flow.pb-c.h"
#include "flow/wire.h"
#include "disk_fault.h"
#include "store/inside.h"
#include "store_fixture.h"

struct edge_sum {
	uint64_t edges, flows, dropped;
};

static void add_edge(void *ctx, const struct store_edge *edge)
{
	struct edge_sum *sum = ctx;

	assert_true(str_is(edge->node, "here"));
	assert_true(str_is(edge->dst.name, "world"));
	assert_true(str_is(edge->src.namespace_, "shop"));
	assert_int_equal(edge->dst_port, 443);
	assert_int_equal(edge->minute.v % (60 * NS_PER_S), 0);
	assert_int_equal(edge->bytes, edge->flows * 120);
	sum->edges++;
	sum->flows += edge->flows;
	if (edge->verdict == FLOW__VERDICT__DROPPED) {
		assert_int_equal(edge->drop_desc, 133);
		sum->dropped += edge->flows;
	}
}

static void count_flows(void *ctx, const struct store_edge *edge)
{
	struct edge_sum *sum = ctx;

	sum->edges++;
	sum->flows += edge->flows;
}

static void edges_add_up_by_workload_and_minute(void **state)
{
	struct fixture *fx = *state;
	struct edge_sum sum = { 0 }, none = { 0 };
	struct wall_ns next;
	struct err e = { 0 };

	fixture_open(fx);
	for (int second = 0; second < 65; second++)
		fixture_block(fx, 100);
	fx->now = after(fx->now, 60);
	assert_int_equal(store_tick(fx->store, fx->now, &e), ERR_OK);
	AUTO(store_reader_free) struct store_reader *r = fixture_reader(fx);
	assert_int_equal(store_edges(r, NOON, fx->now, SIZE_MAX, add_edge, &sum, &next, &e),
			 ERR_OK);
	assert_true(next.v == UINT64_MAX);
	assert_int_equal(sum.flows, 6500);
	assert_int_equal(sum.dropped, 65); /* one in a hundred */
	/* NOON is 20 s into its minute: three minutes of four workloads, and drops */
	assert_in_range(sum.edges, 3 * 4, 3 * 8);
	assert_int_equal(store_edges(r, after(NOON, 600), after(NOON, 700), SIZE_MAX, add_edge,
				     &none, &next, &e),
			 ERR_OK);
	assert_int_equal(none.edges, 0);
}

static void edges_are_read_in_turns_of_whole_minutes(void **state)
{
	struct fixture *fx = *state;
	struct wall_ns next = NOON;
	struct err e = { 0 };
	size_t turns = 0;

	fixture_open(fx);
	for (int second = 0; second < 105; second++) /* NOON is 20 s into its minute: of three */
		fixture_block(fx, 100);
	fx->now = after(fx->now, 60);
	assert_int_equal(store_tick(fx->store, fx->now, &e), ERR_OK);
	AUTO(store_reader_free) struct store_reader *r = fixture_reader(fx);
	struct edge_sum sum = { 0 };
	for (uint64_t before = 0; next.v != UINT64_MAX; turns++) {
		size_t had = sum.edges;
		assert_int_equal(store_edges(r, next, fx->now, 1, add_edge, &sum, &next, &e),
				 ERR_OK);
		assert_in_range(sum.edges - had, 4,
				8); /* of one minute: four workloads, and drops */
		assert_true(next.v > before &&
			    (next.v == UINT64_MAX || next.v % (60 * NS_PER_S) == 0));
		before = next.v;
	}
	assert_int_equal(turns, 3);
	assert_int_equal(sum.flows, 10500);
}

static uint64_t written(struct fixture *fx)
{
	return fixture_sql(fx, "SELECT coalesce(sum(flows), 0) FROM edge");
}

/* A row that is written four times a minute costs four times as much. */
static void what_is_counted_of_a_minute_is_written_when_it_has_ended(void **state)
{
	/* NOON is 20 s into its minute, which ends 40 s later; its last records come a second late */
	const struct wall_ns end = after(NOON, 40);
	struct fixture *fx = *state;

	fixture_open(fx);
	fixture_block(fx, 10); /* the first ones are written at once: it is long since the last */
	assert_int_equal(written(fx), 10);
	while (fx->now.v < after(end, 1).v) {
		fixture_block(fx, 10);
		assert_int_equal(written(fx), 10);
		assert_int_equal(store_counts(fx->store).edges_pending.v, NOON.v - 20 * NS_PER_S);
	}
	fixture_block(fx, 10);
	assert_int_equal(written(fx), 10 * (1 + 40 + 1));
	assert_true(store_counts(fx->store).edges_pending.v == UINT64_MAX);
	for (int second = 0; second < 59; second++) {
		fixture_block(fx, 10);
		assert_int_equal(written(fx), 10 * (1 + 40 + 1));
	}
	fixture_block(fx, 10);
	assert_int_equal(written(fx), 10 * (1 + 40 + 1 + 60));
}

/* @return seconds from the time at which others were written until a record of @time was. */
static unsigned seconds_until_written(struct fixture *fx, struct wall_ns time)
{
	struct err e = { 0 };
	struct flow f = fixture_flow(fx, FIRST_SEQ, time);
	uint64_t before = written(fx);

	assert_true(store_counts(fx->store).edges_pending.v == UINT64_MAX);
	f.seq = fx->next_seq++;
	assert_int_equal(store_put(fx->store, &f, 1, fx->now, &e), ERR_OK);
	for (unsigned seconds = 1; seconds < 200; seconds++) {
		fx->now = after(fx->now, 1);
		assert_int_equal(store_tick(fx->store, fx->now, &e), ERR_OK);
		if (written(fx) == before + 1)
			return seconds;
	}
	return 0;
}

/* A history that is taken over, and clocks that are wrong. */
static void records_of_another_time_are_counted_a_little_later(void **state)
{
	struct fixture *fx = *state;

	fixture_open(fx);
	fixture_block(fx, 10);
	assert_int_equal(seconds_until_written(fx, after(NOON, -3600)), 15);
	assert_int_equal(seconds_until_written(fx, after(NOON, 3600)), 75);
}

/* What comes behind the end of its minute is added to what is there: of one edge there is one row. */
static void late_records_of_a_minute_add_to_its_rows(void **state)
{
	struct fixture *fx = *state;

	fixture_open(fx);
	fixture_block(fx, 1);
	const uint64_t rows = fixture_sql(fx, "SELECT count(*) FROM edges");
	for (int late = 1; late <= 3; late++) {
		assert_true(seconds_until_written(fx, NOON));
		assert_int_equal(fixture_sql(fx, "SELECT sum(flows) FROM edges"), 1 + late);
		assert_int_equal(fixture_sql(fx, "SELECT count(*) FROM edges"), rows);
		assert_int_equal(fixture_sql(fx, "SELECT count(*) FROM edge_minute"), 1);
	}
}

static void put_ports(struct fixture *fx, int first, int count)
{
	struct err e = { 0 };

	for (int port = first; port < first + count; port++) {
		struct flow f = fixture_flow(fx, FIRST_SEQ, fx->now);
		f.seq = fx->next_seq++;
		f.dst_port = (uint16_t)port;
		assert_int_equal(store_put(fx->store, &f, 1, fx->now, &e), ERR_OK);
	}
	fx->now = after(fx->now, 1);
	assert_int_equal(store_tick(fx->store, fx->now, &e), ERR_OK);
}

/* A scan of ports makes more edges than are held until they are due: none goes uncounted. */
static void a_full_table_of_edges_is_written_before_more_come(void **state)
{
	enum { FULL = 1 << 14, MORE = 1000 };
	struct fixture *fx = *state;

	fixture_open(fx);
	fixture_block(fx, 1); /* with it edges are written: not due for a while */
	put_ports(fx, 1000, FULL + 1);
	put_ports(fx, 1000 + FULL + 1, MORE);
	fixture_close(fx);
	assert_int_equal(fixture_sql(fx, "SELECT sum(flows) FROM edges"), 1 + FULL + 1 + MORE);
	assert_int_equal(fixture_sql(fx, "SELECT count(*) FROM edges"), 1 + FULL + 1 + MORE);
}

/* A scan's minute comes in several portions: what is there of it is not written anew for each. */
static void a_minute_with_many_edges_is_in_pieces(void **state)
{
	enum { FULL = 1 << 14 };
	struct fixture *fx = *state;
	struct wall_ns next;
	struct edge_sum sum = { 0 };
	struct err e = { 0 };

	fixture_open(fx);
	for (int i = 0; i < 5; i++) {
		struct flow f = fixture_flow(fx, FIRST_SEQ, fx->now);
		for (int k = 0; k < FULL; k++) {
			f.seq = fx->next_seq++;
			f.dst_port = (uint16_t)k;
			f.drop_desc = (uint32_t)i;
			assert_int_equal(store_put(fx->store, &f, 1, fx->now, &e), ERR_OK);
		}
		assert_int_equal(store_seal(fx->store, fx->now, &e), ERR_OK);
		assert_int_equal(store_tick(fx->store, after(fx->now, 1), &e), ERR_OK);
	}
	fixture_close(fx);
	assert_int_equal(fixture_sql(fx, "SELECT count(*) FROM edges"), 5 * FULL);
	assert_in_range(fixture_sql(fx, "SELECT count(*) FROM edge_minute"), 3, 5);
	fixture_open(fx);
	AUTO(store_reader_free) struct store_reader *r = fixture_reader(fx);
	assert_int_equal(store_edges(r, NOON, NOON, SIZE_MAX, count_flows, &sum, &next, &e),
			 ERR_OK);
	assert_int_equal(sum.edges, 5 * FULL);
	assert_int_equal(sum.flows, 5 * FULL);
}

/* Ports from @first on, all in one call. */
static enum err_code put_at_once(struct fixture *fx, int first, size_t count, struct err *e)
{
	AUTO(own_free) struct flow *flows = calloc(count, sizeof *flows);

	assert_non_null(flows);
	for (size_t i = 0; i < count; i++) {
		flows[i] = fixture_flow(fx, FIRST_SEQ, fx->now);
		flows[i].seq = fx->next_seq++;
		flows[i].dst_port = (uint16_t)(first + (int)i);
	}
	return store_put(fx->store, flows, count, fx->now, e);
}

/* What is written early says up to which record it counts: what came later is counted again. */
static void edges_behind_a_full_table_are_counted_over_a_kill(void **state)
{
	enum { FULL = 1 << 14, CHUNK = STORE_CHUNK };
	struct fixture *fx = *state;
	struct err e = { 0 };

	fixture_open(fx);
	fixture_block(fx, 1);
	assert_int_equal(put_at_once(fx, 1000, FULL + CHUNK, &e), ERR_OK);
	assert_int_equal(store_seal(fx->store, fx->now, &e), ERR_OK);
	fixture_kill(fx);
	fixture_open(fx);
	fixture_close(fx);
	assert_int_equal(fixture_sql(fx, "SELECT sum(flows) FROM edges"), 1 + FULL + CHUNK);
}

/* The table is full and cannot be written: what finds no room is not kept without its edges. */
static void records_without_room_for_their_edges_are_a_gap(void **state)
{
	enum { FULL = 1 << 14, MORE = 3000 };
	struct fixture *fx = *state;
	struct err e = { 0 };

	fixture_open(fx);
	fixture_block(fx, 1);
	uint64_t first = fx->next_seq;
	assert_int_equal(put_at_once(fx, 1000, FULL, &e), ERR_OK);
	disk_fault_full(true);
	assert_int_equal(put_at_once(fx, 1000 + FULL, MORE, &e), ERR_IO);
	disk_fault_full(false);
	fx->now = after(fx->now, 1);
	assert_int_equal(store_tick(fx->store, fx->now, &e), ERR_OK);
	assert_int_equal(store_counts(fx->store).lost, FULL + MORE);
	fixture_block(fx, 10);
	struct seen_gap gap;
	AUTO(store_reader_free) struct store_reader *r = fixture_reader(fx);
	assert_int_equal(fixture_gaps(r, &gap, 1), 1);
	assert_int_equal(gap.cause, STORE_GAP_WRITE);
	assert_int_equal(gap.first_seq, first);
	assert_int_equal(gap.lost, FULL + MORE);
	assert_int_equal(fixture_scan(fx, r, &ALL_RECORDS).count, 1 + 10);
	fixture_close(fx);
	assert_int_equal(fixture_sql(fx, "SELECT sum(flows) FROM edges"), 1 + FULL + 10);
}

/* A history that is taken over: each record of a minute of its own, backwards. */
static void records_of_many_minutes_are_counted_each_in_its_own(void **state)
{
	enum { MINUTES = 3000 };
	struct fixture *fx = *state;

	fixture_open(fx);
	for (int i = 0; i < MINUTES; i++) {
		struct flow f = fixture_flow(fx, fx->next_seq++, after(NOON, -60 * (i / 2)));
		assert_int_equal(store_put(fx->store, &f, 1, fx->now, NULL), ERR_OK);
	}
	fixture_close(fx);
	assert_int_equal(fixture_sql(fx, "SELECT sum(flows) FROM edges"), MINUTES);
	assert_int_equal(fixture_sql(fx, "SELECT count(*) FROM edge_minute"), MINUTES / 2);
	assert_int_equal(fixture_sql(fx, "SELECT count(*) FROM (SELECT minute FROM edges GROUP BY"
					 " minute HAVING sum(flows) = 2)"),
			 MINUTES / 2);
}

static void replies_count_for_the_edge_of_the_request(void **state)
{
	struct fixture *fx = *state;
	struct err e = { 0 };

	fixture_open(fx);
	struct flow f = fixture_flow(fx, fx->next_seq++, fx->now), back = f;
	back.seq = fx->next_seq++;
	back.is_reply = FLOW_REPLY_TRUE;
	back.src_ep = f.dst_ep;
	back.dst_ep = f.src_ep;
	back.src_port = f.dst_port;
	back.dst_port = f.src_port;
	assert_int_equal(store_put(fx->store, &f, 1, fx->now, &e), ERR_OK);
	assert_int_equal(store_put(fx->store, &back, 1, fx->now, &e), ERR_OK);
	fixture_close(fx);
	assert_int_equal(fixture_sql(fx, "SELECT count(*) FROM edges"), 1);
	assert_int_equal(fixture_sql(fx, "SELECT flows FROM edges WHERE dst_port = 443"), 2);
}

/* One of those who are called shop/cart, and how many flows it had. */
struct seen_end {
	const char *cluster, *kind;
	uint64_t flows;
};

static void count_end(void *ctx, const struct store_edge *edge)
{
	for (struct seen_end *s = ctx; s->cluster; s++)
		if (str_is(edge->src.cluster, s->cluster) && str_is(edge->src.kind, s->kind) &&
		    str_is(edge->src.namespace_, "shop") && str_is(edge->src.name, "cart"))
			s->flows += edge->flows;
}

static void workloads_of_one_name_are_told_apart_by_cluster_and_kind(void **state)
{
	struct seen_end seen[] = { { "", "Deployment", 0 },   { "c1", "Deployment", 0 },
				   { "c2", "Deployment", 0 }, { "c1", "StatefulSet", 0 },
				   { "c1", "", 0 }, /* a pod that is called so */
				   { NULL, NULL, 0 } };
	struct fixture *fx = *state;
	struct wall_ns next;
	struct err e = { 0 };

	fixture_open(fx);
	for (size_t i = 0; seen[i].cluster; i++)
		for (size_t n = 0; n <= i; n++) {
			const struct workload cart = { STR("cart"), str_of(seen[i].kind) };
			struct flow f = fixture_flow(fx, fx->next_seq++, fx->now);
			f.src_ep = flow_dict_endpoint(
				fx->dict,
				&(struct endpoint){ .cluster = str_of(seen[i].cluster),
						    .namespace_ = STR("shop"),
						    .pod = STR("cart"),
						    .workloads = &cart,
						    .workload_count = *seen[i].kind != 0 });
			assert_int_equal(store_put(fx->store, &f, 1, fx->now, &e), ERR_OK);
		}
	fixture_close(fx);
	fixture_open(fx);
	AUTO(store_reader_free) struct store_reader *r = fixture_reader(fx);
	assert_int_equal(
		store_edges(r, NOON, after(NOON, 60), SIZE_MAX, count_end, seen, &next, &e),
		ERR_OK);
	for (size_t i = 0; seen[i].cluster; i++)
		assert_int_equal(seen[i].flows, i + 1);
}

/* Whoever is asked by names without end makes no file without end. */
static void flows_to_more_names_than_are_kept_count_without_and_are_told(void **state)
{
	enum { KEPT = 1 << 13, MORE = 10 };
	struct fixture *fx = *state;
	char ext[64], name[32];
	struct err e = { 0 };

	fixture_open(fx);
	for (int i = 0; i < KEPT + MORE; i++) {
		struct buf b = buf_fixed(ext, sizeof ext);
		struct flow f = fixture_flow(fx, fx->next_seq++, fx->now);
		(void)snprintf(name, sizeof name, "n%05d.example", i);
		wire_put_str(&b, 14, str_of(name)); /* destination_names */
		f.ext = (const uint8_t *)b.p;
		f.ext_len = (uint32_t)b.len;
		f.bits |= FLOW_HAS_NAMES;
		assert_int_equal(store_put(fx->store, &f, 1, fx->now, &e), ERR_OK);
	}
	assert_int_equal(store_counts(fx->store).edges_nameless, MORE);
	fixture_close(fx);
	assert_int_equal(fixture_sql(fx, "SELECT sum(flows) FROM edges"), KEPT + MORE);
	assert_int_equal(fixture_sql(fx, "SELECT sum(flows) FROM edges WHERE dst_dns = ''"), MORE);
}

/* Of policies with names of any length none is lost: what is cut says so. */
static void a_policy_with_a_long_name_is_cut_and_not_forgotten(void **state)
{
	struct fixture *fx = *state;
	static char name[4096], ext[sizeof name + 32];
	struct buf b = buf_fixed(ext, sizeof ext);
	struct err e = { 0 };

	fixture_open(fx);
	memset(name, 'x', sizeof name);
	size_t mark = wire_begin(&b, 21005); /* ingress_denied_by */
	wire_put_str(&b, 1, str_n(name, sizeof name));
	wire_end(&b, mark);
	struct flow f = fixture_flow(fx, fx->next_seq++, fx->now);
	f.ext = (const uint8_t *)b.p;
	f.ext_len = (uint32_t)b.len;
	f.bits |= FLOW_HAS_POLICIES;
	assert_int_equal(store_put(fx->store, &f, 1, fx->now, &e), ERR_OK);
	fixture_close(fx);
	assert_int_equal(fixture_sql(fx, "SELECT count(*) FROM edges WHERE policy LIKE 'xxx%x…'"
					 " AND length(policy) = 509 + 1"),
			 1);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, fixture_make, fixture_remove)
	const struct CMUnitTest tests[] = {
		T(edges_add_up_by_workload_and_minute),
		T(edges_are_read_in_turns_of_whole_minutes),
		T(what_is_counted_of_a_minute_is_written_when_it_has_ended),
		T(records_of_another_time_are_counted_a_little_later),
		T(late_records_of_a_minute_add_to_its_rows),
		T(a_full_table_of_edges_is_written_before_more_come),
		T(a_minute_with_many_edges_is_in_pieces),
		T(edges_behind_a_full_table_are_counted_over_a_kill),
		T(records_without_room_for_their_edges_are_a_gap),
		T(records_of_many_minutes_are_counted_each_in_its_own),
		T(replies_count_for_the_edge_of_the_request),
		T(workloads_of_one_name_are_told_apart_by_cluster_and_kind),
		T(flows_to_more_names_than_are_kept_count_without_and_are_told),
		T(a_policy_with_a_long_name_is_cut_and_not_forgotten),
	};

	disk_fault_install();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
