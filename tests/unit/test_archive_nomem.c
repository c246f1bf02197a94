/* relay/archive/asked when memory runs out: it fails and says so, or asks for all that it should. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "filter/filter.h"
#include "filter_short.h"
#include "relay/archive/asked.h"
#include "tests/unit/nomem.h"

/* @return true if an allocation failed on the way. */
static bool asked_after(long n, Flow__FlowFilter *white, Flow__FlowFilter *black)
{
	struct asked a = { 0 };
	struct err e = { 0 };

	nomem_after(n);
	enum err_code code = asked_init(&a, ASKED_NAMES, &white, 1, &black, 1, NULL, NULL, &e);
	bool failed = nomem_end();
	if (code == ERR_OK) {
		const struct scan_config scan = asked_scan(&a);
		assert_non_null(scan.filter);
		assert_true(failed || str_is(scan.where, "(verdict IN ('DROPPED'))"));
		/* what there was no room to say lets all through */
		assert_true(str_is(scan.where, "1") ||
			    str_is(scan.where, "(verdict IN ('DROPPED'))"));
		asked_done(&a);
	} else {
		assert_true(failed);
		assert_int_equal(code, ERR_NOMEM);
		assert_true(e.msg[0]);
	}
	return failed;
}

static void questions_survive_each_failed_allocation(void **state)
{
	long n = 0;
	Flow__FlowFilter *white = NEW(flow__flow_filter), *black = NEW(flow__flow_filter);

	(void)state;
	set_numbers(white, verdict, Flow__Verdict, FLOW__VERDICT__DROPPED);
	set_texts(white, source_label, 1, "app=shop");
	set_texts(black, source_pod, 2, "shop/cart", "kube-system/");
	while (asked_after(n, white, black))
		n++;
	assert_true(n > 10);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(questions_survive_each_failed_allocation),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
