/* Without memory, at any one place: compiling says so, an evaluation is a fault, and nothing leaks.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "cel/cel.h"
#include "tests/unit/nomem.h"

static const char text[] =
	"_flow.source.labels.map(l, l + 'x').filter(l, l.matches('^(a|b)+$')).size() == 0 && "
	"_flow.time.getHours('+01:00') == 1 && _flow.l7 == Layer7{} && {'a': [1, 2u]}['a'][0] == 1 "
	"&& "
	"string(_flow.verdict) + 'y' != Endpoint{namespace: 'z'}.namespace && _flow == _flow";

static void every_allocation_may_fail(void **state)
{
	AUTO(flow_dict_free) struct flow_dict *dict = NULL;
	const struct flow f = { .verdict = 2 };
	struct cel_program *p = NULL;
	struct str why;
	size_t failed = 0;

	(void)state;
	assert_int_equal(flow_dict_new(10, &dict, NULL), ERR_OK);
	/* what is made once and for all is made here */
	assert_int_equal(cel_compile(str_of(text), &p, NULL), ERR_OK);
	assert_int_equal(cel_eval(p, &f, dict, &why), CEL_YES);
	cel_free(p);
	for (long n = 0;; n++) {
		struct err e = { .msg = "" };

		p = NULL;
		nomem_after(n);
		enum err_code code = cel_compile(str_of(text), &p, &e);
		if (code != ERR_OK) {
			assert_true(nomem_end());
			assert_null(p);
			assert_true(e.msg[0] != '\0');
			failed++;
			continue;
		}
		enum cel_answer answer = cel_eval(p, &f, dict, &why);
		bool short_of_it = nomem_end();
		assert_true(answer == CEL_YES || (answer == CEL_FAULT && why.len));
		/* and the program is as good as new */
		assert_int_equal(cel_eval(p, &f, dict, &why), CEL_YES);
		cel_free(p);
		if (!short_of_it)
			break;
	}
	assert_true(failed > 5);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_allocation_may_fail),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
