/* lib/store when memory runs out: one allocation fails, and what comes next is as if it had not: a
 * reader answers in full, a store keeps all but what it says it lost, and nothing is taken for
 * damage. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "store/inside.h"
#include "store_fixture.h"
#include "tests/unit/nomem.h"

enum { RECORDS = 500 };

/* All records and gaps. @return how many records; ERR_NOMEM: fewer. */
static enum err_code read_all(struct store_reader *r, uint64_t *ret_count, struct err *e)
{
	AUTO(store_scan_free) struct store_scan *sc = NULL;
	enum err_code code = store_scan_new(r, &ALL_RECORDS, &sc, e);

	*ret_count = 0;
	for (bool more = true; code == ERR_OK && more;) {
		const struct flow *flows;
		size_t n;
		code = store_scan_next(sc, 1000, &flows, &n, &more, e);
		*ret_count += code == ERR_OK ? n : 0;
	}
	return code;
}

/* @return true if an allocation failed on the way. */
static bool read_after(struct fixture *fx, struct store_reader *r, long n)
{
	struct err e = { 0 };
	uint64_t count;

	/* as if the file had been set aside, and another were in its place */
	(void)atomic_fetch_add(&fx->store->generation, 1);
	nomem_after(n);
	enum err_code code = read_all(r, &count, &e);
	bool failed = nomem_end();
	if (code == ERR_OK)
		assert_int_equal(count, RECORDS);
	else
		assert_int_equal(code, ERR_NOMEM);
	assert_true(code == ERR_OK || failed);
	assert_int_equal(read_all(r, &count, &e), ERR_OK);
	assert_int_equal(count, RECORDS);
	return failed;
}

static void a_reader_survives_each_failed_allocation(void **state)
{
	struct fixture *fx = *state;
	long n = 0;

	fixture_open(fx);
	fixture_block(fx, RECORDS);
	AUTO(store_reader_free) struct store_reader *r = fixture_reader(fx);
	(void)read_after(fx, r, 1000000); /* ids of the dictionary are known from here on */
	while (read_after(fx, r, n))
		n++;
	assert_true(n > 3);
	assert_int_equal(count_gaps(r, STORE_GAP_DAMAGED), 0);
}

/* Opens, keeps, merges. @return true if an allocation failed on the way. */
static bool live_after(struct fixture *fx, long n, uint64_t *kept)
{
	struct err e = { 0 };
	bool more = true;

	nomem_after(n);
	enum err_code code = store_open(&fx->config, fx->now, fx->next_seq, &fx->store, &e);
	for (int block = 0; block < 20 && code == ERR_OK; block++) {
		struct flow flows[RECORDS / 100];
		for (size_t i = 0; i < ARRAY_LEN(flows); i++)
			flows[i] = fixture_flow(fx, fx->next_seq++, fx->now);
		(void)!store_put(fx->store, flows, ARRAY_LEN(flows), fx->now, &e);
		fx->now = after(fx->now, 1);
		(void)!store_tick(fx->store, fx->now, &e);
		*kept += ARRAY_LEN(flows);
	}
	for (int i = 0; i < 10 && code == ERR_OK && more; i++)
		(void)!store_tend(fx->store, fx->now, &more, &e);
	bool failed = nomem_end();
	if (code != ERR_OK) {
		assert_int_equal(code, ERR_NOMEM);
		assert_true(failed && *e.msg);
		return failed;
	}
	*kept -= store_counts(fx->store).lost;
	fixture_close(fx);
	return failed;
}

static void a_store_owns_up_to_what_a_failed_allocation_cost(void **state)
{
	struct fixture *fx = *state;
	uint64_t kept = 0;
	long n = 0;

	while (live_after(fx, n, &kept))
		n += n < 64 ? 1 : 3; /* those of opening it, and some of the others */
	assert_true(n > 100);
	fixture_open(fx);
	AUTO(store_reader_free) struct store_reader *r = fixture_reader(fx);
	assert_int_equal(fixture_scan(fx, r, &ALL_RECORDS).count, kept);
	char sql[80];
	(void)snprintf(sql, sizeof sql, "SELECT count(*) FROM gap WHERE cause = %d",
		       STORE_GAP_DAMAGED);
	assert_int_equal(fixture_sql(fx, sql), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_reader_survives_each_failed_allocation,
						fixture_make, fixture_remove),
		cmocka_unit_test_setup_teardown(a_store_owns_up_to_what_a_failed_allocation_cost,
						fixture_make, fixture_remove),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
