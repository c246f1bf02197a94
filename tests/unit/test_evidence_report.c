/* lib/evidence: the page that people read says what is there, and what is not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "evidence/report.h"

enum { PAGE_BYTES = 1 << 20 };

#define BEGAN "\"oldest\":\"2026-08-02T00:00:00Z\",\"newest\":\"2026-08-03T00:00:00Z\""

static struct report_node node_of(const char *name, const char *statement)
{
	return (struct report_node){ .name = str_of(name), .statement = str_of(statement) };
}

/* The page of @nodes, its tags taken away; cells end in '|'. The caller's to free. */
static char *page_of(struct report_node *nodes, size_t count)
{
	AUTO(report_free) struct report *r = NULL;
	AUTO_BUF struct buf b = buf_init(PAGE_BYTES);
	const struct report_scope scope = { .words = STR("Shows every flow."),
					    .since = STR("2026-08-01T00:00:00Z"),
					    .until = STR("2026-08-04T00:00:00Z") };
	struct err e;

	assert_int_equal(report_new(&r, &e), ERR_OK);
	report_put_html(r, &scope, nodes, count, &b);
	assert_false(b.failed);
	char *text = calloc(1, b.len + 1), *to = text;
	assert_non_null(text);
	for (size_t i = 0; i < b.len; i++) {
		if (b.p[i] != '<') {
			*to++ = b.p[i];
			continue;
		}
		if (str_has_prefix(str_n(b.p + i, b.len - i), STR("</td>")))
			*to++ = '|';
		i += str_find(str_n(b.p + i, b.len - i), '>');
	}
	return text;
}

static void assert_says(struct report_node *nodes, size_t count, const char *what)
{
	char *text = page_of(nodes, count);

	if (!strstr(text, what))
		fail_msg("no '%s' in:\n%s", what, text);
	free(text);
}
#define ASSERT_SAYS(nodes, what) assert_says((nodes), ARRAY_LEN(nodes), (what))

static void a_record_that_covers_the_range_has_no_gap(void **state)
{
	(void)state;
	struct report_node nodes[] = { node_of("n", "{\"since\":\"2026-08-02T00:00:00Z\"," BEGAN
						    ",\"gaps\":[]}") };

	ASSERT_SAYS(nodes, "0known gaps in the record");
	ASSERT_SAYS(nodes, "No gap is known in this range.");
}

static void what_lies_before_the_record_is_a_gap(void **state)
{
	(void)state;
	struct report_node begins[] = { node_of("n", "{\"since\":\"2026-08-01T00:00:00Z\"," BEGAN
						     ",\"gaps\":[]}") };
	struct report_node all[] = { node_of("n", "{\"until\":\"2026-07-01T00:00:00Z\"," BEGAN
						  ",\"gaps\":[]}") };
	struct report_node none[] = { node_of("n", "{\"gaps\":[]}") };

	ASSERT_SAYS(begins, "1known gaps in the record");
	ASSERT_SAYS(begins, "n|no record|2026-08-01 00:00:00|2026-08-02 00:00:00|not known|");
	ASSERT_SAYS(all, "1known gaps in the record");
	ASSERT_SAYS(all, "n|no record|–|2026-07-01 00:00:00|not known|");
	ASSERT_SAYS(none, "n|no record|–|–|not known|");
}

static void a_node_that_did_not_answer_is_not_covered(void **state)
{
	(void)state;
	struct report_node nodes[] = { node_of("b", ""), node_of("a", "{" BEGAN ",\"gaps\":[]}") };

	nodes[0].error = STR("it cannot be reached");
	ASSERT_SAYS(nodes, "1 of 2nodes answered");
	ASSERT_SAYS(nodes, "b|no answer|2026-08-01 00:00:00|2026-08-04 00:00:00|not known|it cannot"
			   " be reached|");
}

static void nodes_stand_in_the_order_of_their_names(void **state)
{
	(void)state;
	struct report_node nodes[] = { node_of("n3", "{" BEGAN "}"), node_of("n1", "{" BEGAN "}"),
				       node_of("n2", "") };
	char *text = page_of(nodes, ARRAY_LEN(nodes));
	const char *const at[] = { strstr(text, "\nn1|"), strstr(text, "\nn2|"),
				   strstr(text, "\nn3|") };

	assert_true(at[0] && at[1] && at[2] && at[0] < at[1] && at[1] < at[2]);
	free(text);
}

static void a_clock_set_back_lost_nothing(void **state)
{
	(void)state;
	struct report_node nodes[] = { node_of(
		"n", "{" BEGAN ",\"gaps\":[{\"cause\":\"clock-set-back\",\"lost\":\"0\"},"
		     "{\"cause\":\"kernel-lost\",\"lost\":\"0\"},"
		     "{\"cause\":\"ring-overwritten\",\"lost\":\"1234567\"}]}") };

	ASSERT_SAYS(nodes, "2known gaps in the record");
	ASSERT_SAYS(nodes, "clock-set-back|–|–|none|");
	ASSERT_SAYS(nodes, "kernel-lost|–|–|not known|");
	ASSERT_SAYS(nodes, "ring-overwritten|–|–|1,234,567|");
}

#define POLICY(name, version, times)                                                               \
	"{\"kind\":\"NetworkPolicy\",\"namespace\":\"shop\",\"name\":\"" name                      \
	"\",\"resource_version\":\"" version "\"," times ",\"text\":\"{}\",\"sha256\":\"00\"}\n"
#define FROM_SIX "\"from\":\"2026-08-02T06:00:00.25Z\""
#define SAME_SECOND "\"from\":\"2026-08-02T06:00:00.75Z\""
#define TO_SEVEN ",\"to\":\"2026-08-02T07:00:00Z\""
#define FROM_EIGHT "\"from\":\"2026-08-02T08:00:00Z\""

static void a_policy_stands_once_with_the_nodes_that_had_it(void **state)
{
	(void)state;
	struct report_node nodes[] = { node_of("b", "{" BEGAN "}"), node_of("a", "{" BEGAN "}"),
				       node_of("c", "{" BEGAN "}"), node_of("away", "") };

	nodes[0].policies = STR(POLICY("everywhere", "7", FROM_SIX) POLICY("some", "1", FROM_SIX));
	nodes[1].policies = STR(POLICY("some", "1", SAME_SECOND) POLICY(
		"one", "3", FROM_SIX TO_SEVEN) POLICY("everywhere", "7", FROM_SIX));
	nodes[2].policies =
		STR(POLICY("everywhere", "7", SAME_SECOND) POLICY("one", "3", FROM_SIX TO_SEVEN)
			    POLICY("one", "3", FROM_EIGHT) POLICY("one", "4", FROM_EIGHT));
	ASSERT_SAYS(nodes,
		    "NodesIn force fromTo\n"
		    "NetworkPolicy|shop|everywhere|7|all 3|2026-08-02 06:00:00|–|\n"
		    "NetworkPolicy|shop|one|3|a, c|2026-08-02 06:00:00|2026-08-02 07:00:00|\n"
		    "c|2026-08-02 08:00:00|–|\n"
		    "NetworkPolicy|shop|one|4|c|2026-08-02 08:00:00|–|\n"
		    "NetworkPolicy|shop|some|1|a, b|2026-08-02 06:00:00|–|\n");
}

static void a_policy_of_the_only_node_is_the_nodes(void **state)
{
	(void)state;
	struct report_node nodes[] = { node_of("n<1>", "{" BEGAN "}") };

	nodes[0].policies = STR(POLICY("p", "7", FROM_SIX));
	ASSERT_SAYS(nodes, "NetworkPolicy|shop|p|7|n&lt;1&gt;|2026-08-02 06:00:00|–|\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_record_that_covers_the_range_has_no_gap),
		cmocka_unit_test(what_lies_before_the_record_is_a_gap),
		cmocka_unit_test(a_node_that_did_not_answer_is_not_covered),
		cmocka_unit_test(nodes_stand_in_the_order_of_their_names),
		cmocka_unit_test(a_clock_set_back_lost_nothing),
		cmocka_unit_test(a_policy_stands_once_with_the_nodes_that_had_it),
		cmocka_unit_test(a_policy_of_the_only_node_is_the_nodes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
