/* cli: whether an answer from the past is whole. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "cli/history.h"

enum { TEXT_BYTES = 1 << 16, GAPS = 4 };

/* A node whose record begins at second 1000, with gaps of ten seconds. */
struct world {
	Tycho__V1__GetCoverageResponse said;
	Google__Protobuf__Timestamp oldest, edges_oldest, from[GAPS], to[GAPS];
	Tycho__V1__Gap gaps[GAPS], *list[GAPS];
	struct history_node node;
	char name[4];
};

static void begin(struct world *w)
{
	*w = (struct world){ .name = "n1" };
	tycho__v1__get_coverage_response__init(&w->said);
	google__protobuf__timestamp__init(&w->oldest);
	w->oldest.seconds = 1000;
	w->said.node_name = w->name;
	w->said.oldest = &w->oldest;
	w->said.has_store = true;
	w->said.gaps = w->list;
	w->node.said = &w->said;
}

static void add_gap(struct world *w, int64_t from)
{
	size_t i = w->said.n_gaps++;

	tycho__v1__gap__init(&w->gaps[i]);
	google__protobuf__timestamp__init(&w->from[i]);
	google__protobuf__timestamp__init(&w->to[i]);
	w->from[i].seconds = from;
	w->to[i].seconds = from + 10;
	w->gaps[i].cause = TYCHO__V1__GAP__CAUSE__OBSERVER_DOWN;
	w->gaps[i].from = &w->from[i];
	w->gaps[i].to = &w->to[i];
	w->list[i] = &w->gaps[i];
}

static struct history_range since(int64_t s)
{
	return (struct history_range){ .has_since = true, .since = { s, 0 } };
}

static struct history_range until(int64_t s)
{
	return (struct history_range){ .has_until = true, .until = { s, 0 } };
}

static void says(struct world *w, struct history_range range, enum history_of of, const char *want)
{
	AUTO_BUF struct buf b = buf_init(TEXT_BYTES);
	const struct history h = { .nodes = &w->node, .count = 1 };

	history_put_remarks(&b, &h, &range, of);
	assert_string_equal(buf_cstr(&b), want);
}

#define LATE "incomplete: n1: nothing before 1970-01-01T00:16:40Z, where its record begins\n"

static void a_record_must_reach_back_to_where_the_range_begins(void **state)
{
	(void)state;
	struct world w;

	begin(&w);
	says(&w, since(1000), HISTORY_OF_FLOWS, "complete: 1 node, since 1970-01-01T00:16:40Z\n");
	says(&w, since(999), HISTORY_OF_FLOWS, LATE);
	says(&w, (struct history_range){ 0 }, HISTORY_OF_FLOWS, "complete: 1 node\n");
}

static void a_range_wholly_before_the_record_is_not_covered(void **state)
{
	(void)state;
	struct world w;

	begin(&w);
	says(&w, until(1000), HISTORY_OF_FLOWS, "complete: 1 node, until 1970-01-01T00:16:40Z\n");
	says(&w, until(999), HISTORY_OF_FLOWS, LATE);
}

static void a_node_without_a_record_is_not_complete(void **state)
{
	(void)state;
	struct world w;

	begin(&w);
	w.said.oldest = NULL;
	says(&w, since(5), HISTORY_OF_FLOWS, "incomplete: n1: nothing is recorded yet\n");
	says(&w, (struct history_range){ 0 }, HISTORY_OF_FLOWS,
	     "incomplete: n1: nothing is recorded yet\n");
}

static void the_map_reaches_back_further_than_flows(void **state)
{
	(void)state;
	struct world w;

	begin(&w);
	google__protobuf__timestamp__init(&w.edges_oldest);
	w.said.edges_oldest = &w.edges_oldest;
	w.edges_oldest.seconds = 600;
	says(&w, since(600), HISTORY_OF_FLOWS, LATE);
	says(&w, since(600), HISTORY_OF_EDGES, "complete: 1 node, since 1970-01-01T00:10:00Z\n");
	says(&w, since(599), HISTORY_OF_EDGES,
	     "incomplete: n1: nothing before 1970-01-01T00:10:00Z, where its record begins\n");
	w.edges_oldest.seconds = 960; /* the minute that the record begins in */
	says(&w, since(999), HISTORY_OF_EDGES, LATE);
	w.edges_oldest.seconds = 1200; /* at first nobody talked */
	says(&w, since(1000), HISTORY_OF_EDGES, "complete: 1 node, since 1970-01-01T00:16:40Z\n");
}

static void gaps_behind_the_oldest_record_are_the_maps_only(void **state)
{
	(void)state;
	struct world w;

	begin(&w);
	add_gap(&w, 900); /* flows of that time are kept no longer */
	says(&w, (struct history_range){ 0 }, HISTORY_OF_FLOWS, "complete: 1 node\n");
	says(&w, since(800), HISTORY_OF_FLOWS, LATE);
	google__protobuf__timestamp__init(&w.edges_oldest);
	w.said.edges_oldest = &w.edges_oldest;
	w.edges_oldest.seconds = 600;
	says(&w, (struct history_range){ 0 }, HISTORY_OF_EDGES,
	     "incomplete: n1: 1970-01-01T00:15:00Z to 1970-01-01T00:15:10Z: no observer ran\n");
	add_gap(&w, 995); /* up to the record, and into it */
	says(&w, (struct history_range){ 0 }, HISTORY_OF_FLOWS,
	     "incomplete: n1: 1970-01-01T00:16:35Z to 1970-01-01T00:16:45Z: no observer ran\n");
}

static bool is_empty(struct history_range range, int64_t now)
{
	AUTO_BUF struct buf b = buf_init(TEXT_BYTES);
	bool empty = history_put_empty(&b, &range, (struct timestamp){ now, 0 });

	assert_int_equal(empty, b.len > 0);
	return empty;
}

static void a_range_of_no_time_is_told_from_one_of_an_instant(void **state)
{
	(void)state;
	struct history_range range = { true, true, { 10, 0 }, { 10, 0 } };

	assert_false(is_empty(range, 10));
	assert_true(is_empty(range, 9)); /* still to come */
	range.until.s = 9;
	assert_true(is_empty(range, 100));
	assert_false(is_empty(until(100), 50)); /* what is there of it */
	assert_false(is_empty(since(50), 50));
	assert_true(is_empty(since(51), 50));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_record_must_reach_back_to_where_the_range_begins),
		cmocka_unit_test(a_range_wholly_before_the_record_is_not_covered),
		cmocka_unit_test(a_node_without_a_record_is_not_complete),
		cmocka_unit_test(the_map_reaches_back_further_than_flows),
		cmocka_unit_test(gaps_behind_the_oldest_record_are_the_maps_only),
		cmocka_unit_test(a_range_of_no_time_is_told_from_one_of_an_instant),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
