/* observer/keep's policies when memory runs out: what could not be told is told with the next call,
 * and nothing else ends. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "observer/keep/policies.h"
#include "store_fixture.h"
#include "tests/unit/nomem.h"

enum { POLICIES = 9 };

static struct keep_policies *policies_from(unsigned first)
{
	struct keep_policies *p = NULL;

	assert_int_equal(keep_policies_new(&p, NULL), ERR_OK);
	for (unsigned i = first; i < first + POLICIES; i++) {
		char name[24];
		(void)snprintf(name, sizeof name, "policy-%u", i);
		json_t *object = json_pack("{s:s,s:{s:s,s:s}}", "kind", "NetworkPolicy", "metadata",
					   "name", name, "namespace", "shop");
		assert_int_equal(keep_policies_add(p, object, STR("files"), NULL), ERR_OK);
		json_decref(object);
	}
	return p;
}

/* @return true if an allocation failed on the way. */
static bool note_after(struct fixture *fx, unsigned first, long n)
{
	AUTO(keep_policies_free) struct keep_policies *p = policies_from(first);
	struct err e = { 0 };
	char sql[120];

	nomem_after(n);
	enum err_code code = keep_policies_note(p, fx->store, fx->now, &e);
	bool failed = nomem_end();
	if (code != ERR_OK) {
		assert_true(failed && *e.msg);
		assert_int_equal(keep_policies_note(p, fx->store, fx->now, &e), ERR_OK);
	}
	assert_int_equal(fixture_sql(fx, "SELECT count(*) FROM policy WHERE to_ns = 0"), POLICIES);
	for (unsigned i = first; i < first + POLICIES; i++) {
		(void)snprintf(sql, sizeof sql,
			       "SELECT count(*) FROM policy WHERE to_ns = 0 AND name = 'policy-%u'",
			       i);
		assert_int_equal(fixture_sql(fx, sql), 1);
	}
	return failed;
}

static void policies_survive_each_failed_allocation(void **state)
{
	struct fixture *fx = *state;
	long n = 0;

	fixture_open(fx);
	for (unsigned first = 0; note_after(fx, first, n); first += POLICIES - 3) {
		fx->now = after(fx->now, 10);
		n++;
	}
	assert_true(n > 10);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(policies_survive_each_failed_allocation,
						fixture_make, fixture_remove),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
