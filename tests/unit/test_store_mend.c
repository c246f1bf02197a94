/* lib/store: what a damaged page costs, whichever it is: at most what lay on it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "disk_fault.h"
#include "page_damage.h"

enum { SEEDS = 130 };

static bool is_one_of(const char *table, const char *const *names, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (strcmp(table, names[i]) == 0)
			return true;
	return false;
}

/* Without these nobody can tell what the rest means, or where a block would go. */
static bool may_be_set_aside(const struct page *p)
{
	static const char *const keys[] = { "sqlite_schema", "sqlite_sequence", "meta" };
	static const char *const ends[] = { "entry", "segment_data" };

	return is_one_of(p->table, keys, ARRAY_LEN(keys)) ||
	       (is_one_of(p->table, ends, ARRAY_LEN(ends)) && (!p->is_leaf || p->is_last));
}

/* Until nothing is left to do, over a few failures. */
static void tend(struct fixture *fx, const struct page *p)
{
	struct err e = { 0 };
	bool more = true;

	for (int failures = 0; more;) {
		more = false;
		if (store_tend(fx->store, fx->now, &more, &e) == ERR_OK)
			continue;
		if (++failures > 3)
			fail_msg("page %d of %s: %s", (int)p->number, p->table, e.msg);
		more = true;
	}
}

/* A run that meets what there is, one that is asked for it, and one after long. */
static struct answers live_with(struct fixture *fx, const struct page *p, uint64_t *ret_lost,
				uint64_t *ret_left)
{
	fx->config.retention_ns = 0;
	fixture_open(fx);
	go_on(fx, 8);
	tend(fx, p);
	(void)ask(fx); /* what is met is mended */
	tend(fx, p);
	go_on(fx, 2);
	assert_true(store_counts(fx->store).is_writing);
	*ret_lost = store_counts(fx->store).lost;
	fixture_close(fx);
	fixture_open(fx);
	struct answers a = ask(fx);
	fixture_close(fx);
	fx->config.retention_ns = 7 * 86400 * NS_PER_S;
	fx->now = after(fx->now, 8 * 86400);
	fixture_open(fx);
	go_on(fx, 3);
	tend(fx, p);
	*ret_left = store_counts(fx->store).records;
	assert_true(store_counts(fx->store).is_writing);
	keep(&a, ask(fx).code);
	fixture_close(fx);
	return a;
}

static void expect(const struct page *p, const struct answers *a, const struct answers *whole,
		   uint64_t lost)
{
	const bool is_data = strcmp(p->table, "segment_data") == 0;
	const bool is_told = a->damage_gaps > 0;

	if (a->code != ERR_OK)
		fail_msg("page %d of %s: a question failed", (int)p->number, p->table);
	assert_int_equal(a->records, a->backward);
	if (is_data)
		assert_true(is_told);
	else
		assert_int_equal(a->records + lost, whole->records);
	assert_int_equal(a->kernel_gaps, whole->kernel_gaps);
	assert_true(a->flows == whole->flows || (is_told && strcmp(p->table, "edge_minute") == 0));
	assert_true(a->known_flows == a->flows || (is_told && strcmp(p->table, "party") == 0));
	if (strcmp(p->table, "policy") != 0)
		assert_int_equal(a->policies, whole->policies);
	if (strcmp(p->table, "checkpoint") != 0)
		assert_int_equal(a->checkpoints, whole->checkpoints);
	if (p->is_leaf && a->policies + a->checkpoints != whole->policies + whole->checkpoints) {
		assert_true(is_told);
		assert_int_equal(a->policies + a->checkpoints + p->rows,
				 whole->policies + whole->checkpoints);
	}
	assert_true(a->entries + lost / RECORDS >= whole->entries ||
		    (is_told && strcmp(p->table, "entry") == 0));
}

static void damage_each_page(struct fixture *fx, const int rubbish[2])
{
	struct page pages[400], none = { .table = "" };
	uint64_t lost, left;
	size_t aside = 0;
	char path[100];

	fill(fx);
	save(fx);
	fixture_path(fx, "saved", path);
	size_t count = list_pages(path, pages, ARRAY_LEN(pages));
	const struct wall_ns now = after(fx->now, 10);
	const uint64_t next_seq = fx->next_seq + 1000;
	fx->now = now;
	fx->next_seq = next_seq;
	restore(fx, 0, 0);
	const struct answers whole = live_with(fx, &none, &lost, &left);
	assert_int_equal(whole.code, ERR_OK);
	assert_int_equal(whole.records, LARGE + BLOCKS * RECORDS + 10 * RECORDS);
	assert_int_equal(whole.kernel_gaps, BLOCKS);
	assert_int_equal(whole.damage_gaps, 0);
	for (size_t i = 0; i < count; i++) {
		fx->now = now;
		fx->next_seq = next_seq;
		restore(fx, pages[i].number, rubbish[i % 2]);
		struct answers a = live_with(fx, &pages[i], &lost, &left);
		if (is_set_aside(fx)) {
			if (!may_be_set_aside(&pages[i]))
				fail_msg("page %d of %s", (int)pages[i].number, pages[i].table);
			assert_true(a.damage_gaps > 0);
			aside++;
		} else {
			expect(&pages[i], &a, &whole, lost);
		}
		assert_int_equal(left, 3 * RECORDS);
	}
	assert_in_range(aside, 1, count / 4);
}

static void any_page_of_any_table_may_be_damaged(void **state)
{
	damage_each_page(*state, (const int[2]){ 0, 0xa5 });
}

static void any_page_of_any_table_may_be_one_that_the_disk_cannot_read(void **state)
{
	damage_each_page(*state, (const int[2]){ UNREADABLE, UNREADABLE });
}

/* Which leads from a page to the one before it, for those who move pages: nothing else is said there. */
static void a_page_of_the_pointer_map_costs_nothing(void **state)
{
	static const int rubbish[] = { 0, 0xa5, UNREADABLE };
	const struct page map = { .number = 2, .table = "the pointer map" };
	struct fixture *fx = *state;
	uint64_t lost, left;

	fill(fx);
	save(fx);
	const uint64_t next_seq = fx->next_seq + 1000;
	const struct wall_ns now = after(fx->now, 10);
	for (size_t i = 0; i < ARRAY_LEN(rubbish); i++) {
		fx->now = now;
		fx->next_seq = next_seq;
		restore(fx, map.number, rubbish[i]);
		const struct answers a = live_with(fx, &map, &lost, &left);
		assert_int_equal(a.code, ERR_OK);
		assert_false(is_set_aside(fx));
		assert_int_equal(lost, 0);
		assert_int_equal(left, 3 * RECORDS);
		assert_int_equal(a.records, LARGE + BLOCKS * RECORDS + 10 * RECORDS);
		assert_int_equal(a.backward, a.records);
		assert_int_equal(a.kernel_gaps, BLOCKS);
		assert_int_equal(a.damage_gaps, 0);
		assert_int_equal(a.policies, BLOCKS / 8);
	}
}

static uint64_t next_of(uint64_t *x)
{
	*x = *x * UINT64_C(6364136223846793005) + 1442695040888963407;
	return *x >> 33;
}

/* Until nothing is left to do, or nothing helps. */
static void tend_at_all(struct fixture *fx)
{
	bool more = true;

	for (int failures = 0; more && failures < 4;) {
		more = false;
		if (store_tend(fx->store, fx->now, &more, NULL) != ERR_OK) {
			failures++;
			more = true;
		}
	}
}

/* A run that meets what there is; then all of it is too old. */
static void outlive(struct fixture *fx, uint64_t seed)
{
	fx->config.retention_ns = 0;
	fixture_open(fx);
	go_on(fx, 8);
	tend_at_all(fx);
	(void)ask(fx);
	tend_at_all(fx);
	go_on(fx, 2);
	fixture_close(fx);
	fx->config.retention_ns = 7 * 86400 * NS_PER_S;
	fx->now = after(fx->now, 8 * 86400);
	const struct wall_ns since = fx->now;
	fixture_open(fx);
	for (int hour = 0; hour < 3; hour++) {
		go_on(fx, 3);
		tend_at_all(fx);
		fx->now = after(fx->now, 3600);
	}
	go_on(fx, 3);
	const struct store_counts c = store_counts(fx->store);
	if (!c.is_writing || c.oldest.v < since.v || c.records < 3 * RECORDS ||
	    c.records > 4 * 3 * RECORDS)
		fail_msg("seed %d: %d records are left", (int)seed, (int)c.records);
	const struct answers a = ask(fx);
	if (a.code != ERR_OK || a.records != c.records || a.backward != c.records)
		fail_msg("seed %d: code %d, %d and %d records of %d", (int)seed, a.code,
			 (int)a.records, (int)a.backward, (int)c.records);
	fixture_close(fx);
}

/* Several places at once: whatever they are, what is too old goes, and what comes is kept. */
static void any_pages_may_be_damaged_at_once(void **state)
{
	static const int rubbish[] = { 0, 0xa5, UNREADABLE };
	struct fixture *fx = *state;

	fill(fx);
	save(fx);
	const uint64_t pages = fixture_file_bytes(fx) / PAGE, next_seq = fx->next_seq + 1000;
	const struct wall_ns now = after(fx->now, 10);
	for (uint64_t seed = 1; seed <= SEEDS; seed++) {
		uint64_t x = seed;
		fx->now = now;
		fx->next_seq = next_seq;
		restore(fx, 0, 0);
		size_t n = 2 + next_of(&x) % 9;
		for (size_t i = 0; i < n; i++) {
			uint64_t page = 1 + next_of(&x) % pages;

			damage(fx, page, rubbish[next_of(&x) % ARRAY_LEN(rubbish)]);
		}
		outlive(fx, seed);
	}
}

int main(void)
{
	disk_fault_install();
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, make, fixture_remove)
		T(any_page_of_any_table_may_be_damaged),
		T(any_page_of_any_table_may_be_one_that_the_disk_cannot_read),
		T(a_page_of_the_pointer_map_costs_nothing),
		T(any_pages_may_be_damaged_at_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
