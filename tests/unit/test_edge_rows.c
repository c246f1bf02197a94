/* lib/store: a minute of the service map, packed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "store/edge_rows.h"

/* A linear congruential generator: the same rows each time. */
static uint64_t next_random(uint64_t *x)
{
	*x = *x * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return *x >> 20;
}

/* Rows of all sizes; @spread: how different they are. */
static void add_random(struct edge_rows *r, size_t n, uint64_t spread, uint64_t seed)
{
	assert_true(edge_rows_reserve(r, n));
	for (size_t i = 0; i < n; i++)
		r->list[r->count++] =
			(struct edge_row){ .src = (uint32_t)(next_random(&seed) % spread),
					   .dst = (uint32_t)(next_random(&seed) % spread),
					   .dns = (uint32_t)(next_random(&seed) % 3),
					   .policy = (uint32_t)(next_random(&seed) % 2),
					   .node = 7,
					   .drop_desc = (uint32_t)(next_random(&seed) % 200),
					   .port = (uint16_t)next_random(&seed),
					   .l4 = (uint8_t)(next_random(&seed) % 7),
					   .verdict = (uint8_t)(next_random(&seed) % 7),
					   .flows = 1 + next_random(&seed) % 100,
					   .packets = next_random(&seed) % 100000,
					   .bytes = next_random(&seed),
					   .l7_ok = (uint32_t)(next_random(&seed) % 2),
					   .l7_errors = (uint32_t)next_random(&seed) };
}

static bool is_same(const struct edge_row *a, const struct edge_row *b)
{
	return a->src == b->src && a->dst == b->dst && a->dns == b->dns && a->policy == b->policy &&
	       a->node == b->node && a->drop_desc == b->drop_desc && a->port == b->port &&
	       a->l4 == b->l4 && a->verdict == b->verdict && a->flows == b->flows &&
	       a->packets == b->packets && a->bytes == b->bytes && a->l7_ok == b->l7_ok &&
	       a->l7_errors == b->l7_errors;
}

static void assert_comes_back(const struct edge_rows *r)
{
	AUTO_BUF struct buf bytes = buf_init(SIZE_MAX);
	AUTO_EDGE_ROWS struct edge_rows back = { 0 };
	struct err e = { 0 };

	assert_int_equal(edge_rows_pack(r, &bytes, &e), ERR_OK);
	assert_int_equal(edge_rows_unpack(buf_str(&bytes), &back, &e), ERR_OK);
	assert_int_equal(back.count, r->count);
	for (size_t i = 0; i < r->count; i++)
		if (!is_same(&back.list[i], &r->list[i]))
			fail_msg("row %zu of %zu", i, r->count);
}

static void what_is_packed_comes_back(void **state)
{
	static const size_t counts[] = { 0, 1, 2, 100, 5000, EDGE_ROWS_MOST };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(counts); i++) {
		AUTO_EDGE_ROWS struct edge_rows r = { 0 };
		add_random(&r, counts[i], i % 2 ? 50 : UINT32_MAX, i + 1);
		edge_rows_sort(&r);
		assert_comes_back(&r);
	}
}

static void the_largest_numbers_come_back(void **state)
{
	const struct edge_row least = { .flows = 1 },
			      most = { .src = UINT32_MAX,
				       .dst = UINT32_MAX,
				       .dns = UINT32_MAX,
				       .policy = UINT32_MAX,
				       .node = UINT32_MAX,
				       .drop_desc = UINT32_MAX,
				       .port = UINT16_MAX,
				       .l4 = UINT8_MAX,
				       .verdict = UINT8_MAX,
				       .flows = UINT64_MAX,
				       .packets = UINT64_MAX,
				       .bytes = UINT64_MAX,
				       .l7_ok = UINT32_MAX,
				       .l7_errors = UINT32_MAX },
			      back = { .src = UINT32_MAX, .dst = 0, .flows = 2 };
	AUTO_EDGE_ROWS struct edge_rows r = { 0 };

	(void)state;
	assert_true(edge_rows_reserve(&r, 3));
	r.list[0] = most;
	r.list[1] =
		back; /* the difference of the destinations is the largest there is, both ways */
	r.list[2] = least;
	r.count = 3;
	edge_rows_sort(&r);
	assert_int_equal(r.list[0].flows, 1);
	assert_int_equal(r.list[1].flows, 2);
	assert_comes_back(&r);
}

/* Each of what tells two edges apart by itself. */
static void rows_of_one_edge_become_one_and_others_stay(void **state)
{
	static const struct edge_row one = {
		.src = 1, .dst = 2, .flows = 3, .packets = 4, .bytes = 5, .l7_ok = 6, .l7_errors = 7
	};
	struct edge_row others[9];
	AUTO_EDGE_ROWS struct edge_rows r = { 0 };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(others); i++)
		others[i] = one;
	others[0].src++;
	others[1].dst++;
	others[2].port++;
	others[3].l4++;
	others[4].verdict++;
	others[5].drop_desc++;
	others[6].policy++;
	others[7].dns++;
	others[8].node++;
	assert_true(edge_rows_reserve(&r, 2 + ARRAY_LEN(others)));
	r.list[r.count++] = one;
	for (size_t i = 0; i < ARRAY_LEN(others); i++)
		r.list[r.count++] = others[i];
	r.list[r.count++] = one;
	edge_rows_sort(&r);
	assert_int_equal(r.count, 1 + ARRAY_LEN(others));
	const struct edge_row twice = { .src = 1,
					.dst = 2,
					.flows = 6,
					.packets = 8,
					.bytes = 10,
					.l7_ok = 12,
					.l7_errors = 14 };
	assert_true(is_same(&r.list[0], &twice));
}

/* Of any other bytes come rows, or none: what was there before stays in any case. */
static void other_bytes_are_refused_or_rows(void **state)
{
	AUTO_BUF struct buf bytes = buf_init(SIZE_MAX);
	AUTO_EDGE_ROWS struct edge_rows r = { 0 };
	struct err e = { 0 };
	size_t refused = 0;

	(void)state;
	add_random(&r, 20, 5, 1);
	edge_rows_sort(&r);
	const struct edge_row first = r.list[0];
	const size_t rows = r.count;
	assert_int_equal(edge_rows_pack(&r, &bytes, &e), ERR_OK);
	for (size_t i = 0; i < bytes.len; i++) {
		bytes.p[i] = (char)~bytes.p[i];
		enum err_code code = edge_rows_unpack(buf_str(&bytes), &r, &e);
		bytes.p[i] = (char)~bytes.p[i];
		refused += code == ERR_PARSE;
		assert_true(code == ERR_PARSE ? r.count == rows : code == ERR_OK);
		assert_true(is_same(&r.list[0], &first));
		r.count = rows;
		assert_int_equal(edge_rows_unpack(str_n(bytes.p, i), &r, &e), ERR_PARSE);
		assert_int_equal(r.count, rows);
	}
	assert_true(refused > 10);
	/* more rows than there may be */
	AUTO_EDGE_ROWS struct edge_rows many = { 0 };
	add_random(&many, EDGE_ROWS_MOST + 1, UINT32_MAX, 1);
	edge_rows_sort(&many);
	assert_int_equal(many.count, EDGE_ROWS_MOST + 1);
	buf_reset(&bytes);
	assert_int_equal(edge_rows_pack(&many, &bytes, &e), ERR_OK);
	assert_int_equal(edge_rows_unpack(buf_str(&bytes), &r, &e), ERR_PARSE);
	assert_string_equal(e.msg, "damaged minute of the service map");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_packed_comes_back),
		cmocka_unit_test(the_largest_numbers_come_back),
		cmocka_unit_test(rows_of_one_edge_become_one_and_others_stay),
		cmocka_unit_test(other_bytes_are_refused_or_rows),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
