/* experimental.cel_expression as one filter field among others: its lists, its faults. The language
 * itself is test_cel's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "filter/filter.h"
#include "flow/flow.pb-c.h"

static const struct flow dropped = { .verdict = 2 }, forwarded = { .verdict = 1 },
			 lost = { .kind = FLOW_KIND_LOST };

/* A filter of up to two expressions, "" for none; the dictionary lives as long as the test. */
static struct flow_filter *filter_of(const char *first, const char *second, bool black,
				     struct flow_dict *dict)
{
	char a[128], b[128], *texts[] = { a, b };
	Flow__FlowFilter__Experimental x = FLOW__FLOW_FILTER__EXPERIMENTAL__INIT;
	Flow__FlowFilter message = FLOW__FLOW_FILTER__INIT, *list = &message;
	struct flow_filter *ff = NULL;
	struct err e;

	(void)snprintf(a, sizeof a, "%s", first);
	(void)snprintf(b, sizeof b, "%s", second);
	x.cel_expression = texts;
	x.n_cel_expression = (size_t)(*first != 0) + (*second != 0);
	message.experimental = &x;
	if (flow_filter_new(&list, !black, &list, black, dict, &ff, &e) != ERR_OK)
		fail_msg("%s", e.msg);
	return ff;
}

static int setup(void **state)
{
	struct flow_dict *dict = NULL;

	if (flow_dict_new(10, &dict, NULL) != ERR_OK)
		return 1;
	*state = dict;
	return 0;
}

static int teardown(void **state)
{
	flow_dict_free(*state);
	return 0;
}

static void any_of_several_expressions_may_hold(void **state)
{
	AUTO(flow_filter_free)
	struct flow_filter *ff =
		filter_of("_flow.verdict == Verdict.DROPPED", "_flow.verdict == 7", false, *state);

	assert_true(flow_filter_match(ff, &dropped));
	assert_false(flow_filter_match(ff, &forwarded));
	assert_true(flow_filter_match(ff, &(struct flow){ .verdict = 7 }));
}

static void no_expression_asks_for_nothing(void **state)
{
	AUTO(flow_filter_free) struct flow_filter *ff = filter_of("", "", false, *state);

	assert_true(flow_filter_is_empty(ff));
	assert_true(flow_filter_match(ff, &lost));
}

static void what_is_no_flow_is_a_flow_without_fields(void **state)
{
	AUTO(flow_filter_free)
	struct flow_filter *ff = filter_of("_flow.verdict == 0", "", false, *state);

	assert_true(flow_filter_match(ff, &lost));
	assert_false(flow_filter_match(ff, &dropped));
}

/* Which the reference does: it looks no further. */
static void a_fault_is_a_no_and_counted(void **state)
{
	AUTO(flow_filter_free)
	struct flow_filter *ff = filter_of("1 / (_flow.verdict - 1) == 1", "true", false, *state);
	AUTO(flow_filter_free)
	struct flow_filter *black = filter_of("_flow.node_labels[3] == ''", "", true, *state);
	const struct flow both[] = { dropped, forwarded, forwarded };
	const char *why = "";
	uint64_t bits;

	assert_int_equal(flow_filter_faults(NULL, &why), 0);
	assert_int_equal(flow_filter_faults(ff, &why), 0);
	assert_int_equal(flow_filter_match_n(ff, both, 3, &bits), 1);
	assert_int_equal(bits, 1);
	assert_string_equal(why, "");
	assert_int_equal(flow_filter_faults(ff, &why), 2);
	assert_string_equal(why, "division by zero");
	assert_int_equal(flow_filter_faults(ff, &why), 0);

	assert_true(flow_filter_match(black, &dropped));
	assert_int_equal(flow_filter_faults(black, &why), 1);
	assert_string_equal(why, "index out of bounds: 3");
}

static void a_long_chain_of_mistakes_fits_an_err(void **state)
{
	char text[300];
	char *texts[] = { text };
	Flow__FlowFilter__Experimental x = FLOW__FLOW_FILTER__EXPERIMENTAL__INIT;
	Flow__FlowFilter message = FLOW__FLOW_FILTER__INIT, *list = &message;
	struct flow_filter *ff = NULL;
	struct err e;

	for (size_t i = 0; i < sizeof text - 1; i++)
		text[i] = "a+"[i % 2]; /* 150 deep */
	text[sizeof text - 1] = '\0';
	x.cel_expression = texts;
	x.n_cel_expression = 1;
	message.experimental = &x;
	assert_int_equal(flow_filter_new(&list, 1, NULL, 0, *state, &ff, &e), ERR_INVALID);
	assert_null(ff);
	assert_non_null(strstr(e.msg, "error compiling CEL expression: ERROR: <input>:1:1: "
				      "undeclared reference to 'a'"));
}

/* One that takes some ten thousand steps and holds, and @others that do not. */
static bool holds_among(size_t others, struct flow_dict *dict, uint64_t *ret_faults)
{
	enum { MOST = FLOW_FILTER_CEL_MAX };
	char toil[] = "[1,2,3,4,5,6,7,8,9].all(a,[1,2,3,4,5,6,7,8,9].all(b,"
		      "[1,2,3,4,5,6,7,8,9].all(c,[1,2,3,4,5,6,7,8,9].all(d,a+b+c+d>0))))",
	     no[] = "false", *texts[MOST];
	Flow__FlowFilter__Experimental x = FLOW__FLOW_FILTER__EXPERIMENTAL__INIT;
	Flow__FlowFilter message = FLOW__FLOW_FILTER__INIT, *list = &message;
	AUTO(flow_filter_free) struct flow_filter *ff = NULL;
	const char *why = "";
	struct err e;

	for (size_t i = 0; i < others; i++)
		texts[i] = no;
	texts[others] = toil;
	x.cel_expression = texts;
	x.n_cel_expression = others + 1;
	message.experimental = &x;
	if (flow_filter_new(&list, 1, NULL, 0, dict, &ff, &e) != ERR_OK)
		fail_msg("%s", e.msg);
	bool holds = flow_filter_match(ff, &forwarded);
	*ret_faults = flow_filter_faults(ff, &why);
	return holds;
}

static void the_expressions_of_a_request_share_the_steps_of_one(void **state)
{
	uint64_t faults;

	assert_true(holds_among(0, *state, &faults));
	assert_int_equal(faults, 0);
	assert_false(holds_among(FLOW_FILTER_CEL_MAX - 1, *state, &faults));
	assert_int_equal(faults, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(any_of_several_expressions_may_hold),
		cmocka_unit_test(no_expression_asks_for_nothing),
		cmocka_unit_test(what_is_no_flow_is_a_flow_without_fields),
		cmocka_unit_test(a_fault_is_a_no_and_counted),
		cmocka_unit_test(a_long_chain_of_mistakes_fits_an_err),
		cmocka_unit_test(the_expressions_of_a_request_share_the_steps_of_one),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
