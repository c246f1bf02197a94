/* cli: what `tycho status` says of the record of one node and of several. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "cli/status_history.h"

enum { TEXT_BYTES = 1 << 16, NODES = 8, GAPS = 3 };

/* Nodes "n0", "n1", … that all keep seven days; 1970-01-02T00:00:00Z is second 86,400. */
struct world {
	Tycho__V1__GetCoverageResponse said[NODES];
	Google__Protobuf__Timestamp oldest[NODES], checkpoint[NODES];
	Tycho__V1__Gap gaps[GAPS], *list[GAPS];
	struct history_node nodes[NODES];
	char names[NODES][24];
	struct history history;
};

static Google__Protobuf__Timestamp at(int64_t s)
{
	Google__Protobuf__Timestamp m = GOOGLE__PROTOBUF__TIMESTAMP__INIT;

	m.seconds = s;
	m.nanos = 999999999;
	return m;
}

static void begin(struct world *w, size_t count)
{
	*w = (struct world){ .history = { .nodes = w->nodes, .count = count } };
	for (size_t i = 0; i < GAPS; i++) {
		tycho__v1__gap__init(&w->gaps[i]);
		w->gaps[i].cause = TYCHO__V1__GAP__CAUSE__OBSERVER_DOWN;
		w->list[i] = &w->gaps[i];
	}
	for (size_t i = 0; i < count; i++) {
		Tycho__V1__GetCoverageResponse *n = &w->said[i];
		tycho__v1__get_coverage_response__init(n);
		(void)snprintf(w->names[i], sizeof w->names[i], "n%zu", i);
		n->node_name = w->names[i];
		n->has_store = true;
		w->oldest[i] = at(86400);
		n->oldest = &w->oldest[i];
		n->records = 1500;
		n->bytes = 3 << 20;
		n->retention_s = 7 * 86400;
		n->retention_bytes = UINT64_C(10) << 30;
		w->checkpoint[i] = at(2 * 86400);
		n->last_checkpoint = &w->checkpoint[i];
		n->gaps = w->list;
		w->nodes[i].said = n;
	}
}

static void says(const struct world *w, const char *want)
{
	AUTO_BUF struct buf b = buf_init(TEXT_BYTES);

	status_history_put_lines(&b, &w->history);
	assert_string_equal(buf_cstr(&b), want);
}

static void value_is(const struct world *w, enum status_history_value which, const char *want)
{
	AUTO_BUF struct buf b = buf_init(TEXT_BYTES);

	status_history_put(&b, &w->history, which);
	assert_string_equal(buf_cstr(&b), want);
}

static void one_node_says_what_it_keeps_since_when_and_whether_it_is_signed(void **state)
{
	(void)state;
	struct world w;

	begin(&w, 1);
	says(&w, "History: 1,500 records since 1970-01-02T00:00:00Z, 3.0 MiB\n"
		 "Retention: 7d, 10.0 GiB\n"
		 "Gaps in 24h: 0\n"
		 "Last Checkpoint: 1970-01-03T00:00:00Z\n");
	value_is(&w, STATUS_HISTORY_NOT_WRITING, "0");
}

static void counts_that_are_not_for_who_asks_are_left_out(void **state)
{
	(void)state;
	struct world w;

	begin(&w, 1);
	w.said[0].records = w.said[0].bytes = 0;
	value_is(&w, STATUS_HISTORY, "since 1970-01-02T00:00:00Z");
}

static void a_record_that_is_empty_or_unsigned_says_so(void **state)
{
	(void)state;
	struct world w;

	begin(&w, 1);
	w.said[0].oldest = w.said[0].last_checkpoint = NULL;
	value_is(&w, STATUS_HISTORY, "empty so far");
	value_is(&w, STATUS_HISTORY_CHECKPOINT, "none yet");
	begin(&w, 2);
	w.said[1].last_checkpoint = NULL;
	value_is(&w, STATUS_HISTORY_CHECKPOINT, "none yet on some nodes");
}

static void limits_are_said_as_people_give_them(void **state)
{
	(void)state;
	static const struct {
		uint64_t s, bytes;
		const char *want;
	} cases[] = {
		{ 36 * 3600, 0, "36h0m0s" },
		{ 86400, (UINT64_C(1) << 30) - (1 << 20), "1d, 1023.0 MiB" },
		{ 0, UINT64_C(1) << 30, "of any age, 1.0 GiB" },
		{ 0, 0, "without limit" },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct world w;
		begin(&w, 1);
		w.said[0].retention_s = cases[i].s;
		w.said[0].retention_bytes = cases[i].bytes;
		value_is(&w, STATUS_HISTORY_RETENTION, cases[i].want);
	}
}

static void a_clock_that_was_set_back_is_no_gap(void **state)
{
	(void)state;
	struct world w;

	begin(&w, 2);
	w.gaps[1].cause = TYCHO__V1__GAP__CAUSE__CLOCK_SET_BACK;
	w.said[0].n_gaps = 2;
	value_is(&w, STATUS_HISTORY_GAPS, "1 on 1 node");
	w.said[1].n_gaps = 3;
	value_is(&w, STATUS_HISTORY_GAPS, "3 on 2 nodes");
	begin(&w, 1);
	w.said[0].n_gaps = 3;
	value_is(&w, STATUS_HISTORY_GAPS, "3");
}

static void nodes_are_summed_up_and_those_in_need_are_named(void **state)
{
	(void)state;
	struct world w;
	char error[] = "it is away\x1b[2J";

	begin(&w, 5);
	w.oldest[1] = at(3 * 86400);
	w.checkpoint[1] = at(86400);
	w.said[2].retention_s = 86400;
	w.said[2].not_writing = true;
	w.said[3].has_store = false;
	tycho__v1__get_coverage_response__init(&w.said[4]);
	w.said[4].node_name = w.names[4];
	w.said[4].error = error;
	says(&w, "History: 3/4 nodes, 4,500 records since 1970-01-02T00:00:00Z "
		 "(all since 1970-01-04T00:00:00Z), 9.0 MiB\n"
		 "Retention: differs between nodes\n"
		 "Gaps in 24h: 0\n"
		 "Last Checkpoint: 1970-01-02T00:00:00Z\n"
		 "Not Writing: 1\n"
		 "  - n2\n"
		 "Without History: 1\n"
		 "  - n3\n"
		 "History Unknown: 1\n"
		 "  - n4: it is away^[[2J\n");
	value_is(&w, STATUS_HISTORY_NOT_WRITING, "1");
}

static void what_an_archived_node_keeps_itself_is_not_known(void **state)
{
	(void)state;
	struct world w;

	begin(&w, 2);
	w.said[0].archived = true;
	w.said[0].retention_s = 0;
	w.said[0].last_checkpoint = NULL;
	value_is(&w, STATUS_HISTORY_RETENTION, "7d, 10.0 GiB");
	value_is(&w, STATUS_HISTORY_CHECKPOINT, "1970-01-03T00:00:00Z");
	w.said[1].archived = true;
	value_is(&w, STATUS_HISTORY_RETENTION, "ClickHouse's");
	value_is(&w, STATUS_HISTORY_CHECKPOINT, "not known here");
}

static void of_many_nodes_in_need_the_first_five_are_named(void **state)
{
	(void)state;
	struct world w;

	for (size_t failing = 5; failing <= 7; failing += 2) {
		begin(&w, 8);
		for (size_t i = 0; i < failing; i++)
			w.said[i].not_writing = true;
		AUTO_BUF struct buf b = buf_init(TEXT_BYTES);
		status_history_put_lines(&b, &w.history);
		const char *list = strstr(buf_cstr(&b), "Not Writing");
		assert_string_equal(list, failing == 5 ? "Not Writing: 5\n  - n0\n  - n1\n  - n2\n"
							 "  - n3\n  - n4\n"
						       : "Not Writing: 7\n  - n0\n  - n1\n  - n2\n"
							 "  - n3\n  - n4\n  - and 2 more...\n");
	}
}

static void where_nobody_keeps_any_there_is_one_line(void **state)
{
	(void)state;
	struct world w;

	begin(&w, 2);
	w.said[0].has_store = w.said[1].has_store = false;
	says(&w, "History: none beyond memory\n");
	value_is(&w, STATUS_HISTORY_GAPS, "N/A");
}

static void where_nobody_answered_nothing_is_claimed(void **state)
{
	(void)state;
	struct world w;
	char error[] = "it is away";

	begin(&w, 0);
	says(&w, "");
	value_is(&w, STATUS_HISTORY, "N/A");
	begin(&w, 1);
	tycho__v1__get_coverage_response__init(&w.said[0]);
	w.said[0].node_name = w.names[0];
	w.said[0].error = error;
	says(&w, "History Unknown: 1\n  - n0: it is away\n");
	value_is(&w, STATUS_HISTORY, "N/A");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_node_says_what_it_keeps_since_when_and_whether_it_is_signed),
		cmocka_unit_test(counts_that_are_not_for_who_asks_are_left_out),
		cmocka_unit_test(a_record_that_is_empty_or_unsigned_says_so),
		cmocka_unit_test(limits_are_said_as_people_give_them),
		cmocka_unit_test(a_clock_that_was_set_back_is_no_gap),
		cmocka_unit_test(nodes_are_summed_up_and_those_in_need_are_named),
		cmocka_unit_test(what_an_archived_node_keeps_itself_is_not_known),
		cmocka_unit_test(of_many_nodes_in_need_the_first_five_are_named),
		cmocka_unit_test(where_nobody_keeps_any_there_is_one_line),
		cmocka_unit_test(where_nobody_answered_nothing_is_claimed),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
