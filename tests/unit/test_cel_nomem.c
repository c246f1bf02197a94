/* Without memory, at any one place: compiling says so, an evaluation is a fault, and nothing leaks.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "cel/cel.h"

void *__real_malloc(size_t size);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t size);

static size_t allocations_left = SIZE_MAX;

static bool may_allocate(void)
{
	if (allocations_left == SIZE_MAX)
		return true;
	if (!allocations_left)
		return false;
	allocations_left--;
	return true;
}

void *__wrap_malloc(size_t size)
{
	return may_allocate() ? __real_malloc(size) : NULL;
}

void *__wrap_calloc(size_t n, size_t size)
{
	return may_allocate() ? __real_calloc(n, size) : NULL;
}

void *__wrap_realloc(void *p, size_t size)
{
	return may_allocate() ? __real_realloc(p, size) : NULL;
}

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
	for (size_t n = 0;; n++) {
		struct err e = { .msg = "" };

		p = NULL;
		allocations_left = n;
		enum err_code code = cel_compile(str_of(text), &p, &e);
		if (code != ERR_OK) {
			allocations_left = SIZE_MAX;
			assert_null(p);
			assert_true(e.msg[0] != '\0');
			failed++;
			continue;
		}
		enum cel_answer answer = cel_eval(p, &f, dict, &why);
		bool all = allocations_left > 0;
		allocations_left = SIZE_MAX;
		assert_true(answer == CEL_YES || (answer == CEL_FAULT && why.len));
		/* and the program is as good as new */
		assert_int_equal(cel_eval(p, &f, dict, &why), CEL_YES);
		cel_free(p);
		if (all)
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
