/* Records as columns: what goes in comes back, and what is damaged is said to be. */
#include "flow_random.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "filter/filter.h"
#include "flow/flow.pb-c.h"
#include "flow/uuid.h"
#include "store/nums.h"
#include "store/segment.h"

enum { SOME = 700, OUT_BYTES = 64 << 20 };

struct desk {
	struct segment_encoder *encoder;
	struct segment *segment;
	struct flow_dict *dict;
	struct flow *flows, *back;
	struct buf out;
};

static int setup(void **state)
{
	struct desk *d = calloc(1, sizeof *d);
	struct err e;

	assert_non_null(d);
	assert_int_equal(segment_encoder_new(1, &d->encoder, &e), ERR_OK);
	assert_int_equal(segment_new(&d->segment, &e), ERR_OK);
	d->dict = dict_of(1 << 16);
	d->flows = calloc(SEGMENT_MAX + 1, sizeof *d->flows);
	d->back = calloc(SEGMENT_MAX, sizeof *d->back);
	assert_true(d->flows && d->back);
	d->out = buf_init(OUT_BYTES);
	*state = d;
	return 0;
}

static int teardown(void **state)
{
	struct desk *d = *state;

	segment_encoder_free(d->encoder);
	segment_free(d->segment);
	flow_dict_free(d->dict);
	free(d->flows);
	free(d->back);
	buf_done(&d->out);
	free(d);
	return 0;
}

static void encode(struct desk *d, size_t n)
{
	struct err e;

	buf_reset(&d->out);
	if (segment_add(d->encoder, d->flows, n, &e) != ERR_OK ||
	    segment_finish(d->encoder, &d->out, &e) != ERR_OK)
		fail_msg("%s", e.msg);
}

static void load(struct desk *d, flow_members members, size_t from, size_t n)
{
	struct err e;

	if (segment_load(d->segment, members, from, n, d->back, &e) != ERR_OK)
		fail_msg("%s", e.msg);
}

/* All of a record but its padding and where its ext lies. */
static void assert_same(const struct flow *a, const struct flow *b)
{
	struct flow x = *a, y = *b;

	assert_int_equal(x.ext_len, y.ext_len);
	if (x.ext_len)
		assert_memory_equal(x.ext, y.ext, x.ext_len);
	x.ext = y.ext = NULL;
	assert_memory_equal(&x, &y, sizeof x);
}

static void assert_round_trip(struct desk *d, size_t n)
{
	struct err e;

	encode(d, n);
	assert_int_equal(segment_open(d->segment, buf_str(&d->out), &e), ERR_OK);
	assert_int_equal(segment_count(d->segment), n);
	memset(d->back, 0, n * sizeof *d->back);
	load(d, FLOW_MEMBERS_ALL, 0, n);
	for (size_t i = 0; i < n; i++)
		assert_same(&d->back[i], &d->flows[i]);
}

/* Random in every member, some of them like the one before. */
static void fill(struct desk *d, struct random *r, size_t n)
{
	uint64_t seq = random_u64(r) >> 2;
	const uint64_t seed[2] = { random_u64(r), random_u64(r) };

	for (size_t i = 0; i < n; i++) {
		struct flow *f = &d->flows[i];

		*f = i && random_bool(r) ? d->flows[random_below(r, i)] : random_made(r, d->dict);
		f->seq = seq += 1 + (random_below(r, 50) == 0) * random_below(r, 1000);
		f->kind = random_below(r, 20) ? 0 : (uint8_t)random_below(r, 5);
		if (random_below(r, 3))
			flow_uuid_make(seed, f->seq, f->uuid);
	}
}

static void every_member_of_random_records_comes_back(void **state)
{
	struct desk *d = *state;
	struct random r = random_of("segment", 30);
	static const size_t counts[] = { 1, 2, 63, 64, 65, SOME };

	for (size_t i = 0; i < ARRAY_LEN(counts); i++) {
		pool_reset();
		fill(d, &r, counts[i] > 300 ? 300 : counts[i]);
		for (size_t k = 300; k < counts[i]; k++) {
			d->flows[k] = d->flows[k - 300];
			d->flows[k].seq = d->flows[k - 1].seq + 1;
		}
		assert_round_trip(d, counts[i]);
	}
}

static void the_largest_segment_comes_back_and_one_more_is_refused(void **state)
{
	struct desk *d = *state;
	struct err e;

	for (size_t i = 0; i <= SEGMENT_MAX; i++)
		d->flows[i] = (struct flow){ .seq = i + 1,
					     .time.v = i * 1000,
					     .bits = FLOW_HAS_TIME,
					     .l4 = FLOW_L4_TCP,
					     .src_port = (uint16_t)i,
					     .dst_port = (uint16_t)(i >> 16) };
	assert_round_trip(d, SEGMENT_MAX);
	buf_reset(&d->out);
	assert_int_equal(segment_add(d->encoder, d->flows, SEGMENT_MAX + 1, &e), ERR_INVALID);
	/* none of them was added, and a segment of none is none */
	assert_int_equal(segment_finish(d->encoder, &d->out, &e), ERR_INVALID);
	assert_int_equal(segment_add(d->encoder, d->flows, 0, &e), ERR_OK);
	assert_int_equal(segment_finish(d->encoder, &d->out, &e), ERR_INVALID);
	assert_int_equal(d->out.len, 0);
}

static void segments_follow_each_other_in_one_buffer(void **state)
{
	struct desk *d = *state;
	struct random r = random_of("segment", 31);
	struct err e;

	pool_reset();
	fill(d, &r, 10);
	encode(d, 10);
	size_t first = d->out.len;
	assert_int_equal(segment_add(d->encoder, d->flows + 3, 5, &e), ERR_OK);
	assert_int_equal(segment_finish(d->encoder, &d->out, &e), ERR_OK);
	assert_int_equal(segment_open(d->segment, str_from(buf_str(&d->out), first), &e), ERR_OK);
	assert_int_equal(segment_count(d->segment), 5);
	load(d, FLOW_MEMBERS_ALL, 0, 5);
	for (size_t i = 0; i < 5; i++)
		assert_same(&d->back[i], &d->flows[i + 3]);
}

static void one_member_in_any_part_is_as_in_the_whole(void **state)
{
	struct desk *d = *state;
	struct random r = random_of("segment", 32);
	struct err e;

	pool_reset();
	fill(d, &r, 200);
	encode(d, 200);
	for (unsigned m = 0; m < FLOW_MEMBERS_; m++) {
		size_t from = random_below(&r, 200), n = random_below(&r, 200 - from + 1);

		assert_int_equal(segment_open(d->segment, buf_str(&d->out), &e), ERR_OK);
		memcpy(d->back, d->flows + from, n * sizeof *d->back);
		/* what is there before is what the record has: only a wrong value shows */
		load(d, FLOW_MEMBER(m), from, n);
		for (size_t i = 0; i < n; i++)
			assert_same(&d->back[i], &d->flows[from + i]);
		assert_int_equal(
			segment_load(d->segment, FLOW_MEMBER(m), from, 201 - from, d->back, &e),
			ERR_INVALID);
	}
}

static void an_asked_member_is_filled_in(void **state)
{
	struct desk *d = *state;
	struct random r = random_of("segment", 33);
	struct err e;

	pool_reset();
	fill(d, &r, 100);
	encode(d, 100);
	for (unsigned m = 0; m < FLOW_MEMBERS_; m++) {
		assert_int_equal(segment_open(d->segment, buf_str(&d->out), &e), ERR_OK);
		/* all others first, then the one on top of zeros: together they are the record */
		memset(d->back, 0, 100 * sizeof *d->back);
		load(d, FLOW_MEMBERS_ALL & ~FLOW_MEMBER(m), 0, 100);
		load(d, FLOW_MEMBER(m), 0, 100);
		for (size_t i = 0; i < 100; i++)
			assert_same(&d->back[i], &d->flows[i]);
	}
}

/* Whatever the bytes, the answer is a record or "damaged"; sanitizers see the rest. */
static void damaged_bytes_are_told_or_yield_some_record(void **state)
{
	struct desk *d = *state;
	struct random r = random_of("segment", 34);
	struct err e;

	pool_reset();
	fill(d, &r, 150);
	encode(d, 150);
	uint64_t bits[3];
	size_t found;
	for (size_t i = 0; i < 3000; i++) {
		AUTO(own_free) char *bytes = malloc(d->out.len);
		size_t len = d->out.len, at = random_below(&r, i % 2 && len > 200 ? 200 : len);

		assert_non_null(bytes);
		memcpy(bytes, d->out.p, len);
		bytes[at] = (char)(bytes[at] ^ 1 << random_below(&r, 8));
		if (random_below(&r, 4) == 0)
			len = random_below(&r, len);
		enum err_code code = segment_open(d->segment, str_n(bytes, len), &e);
		if (code == ERR_OK) {
			size_t n =
				segment_count(d->segment) < 150 ? segment_count(d->segment) : 150;
			code = segment_load(d->segment, FLOW_MEMBERS_ALL, 0, n, d->back, &e);
			if (code == ERR_OK)
				code = segment_match(d->segment, 0, n, bits, &found, &e);
		}
		assert_true(code == ERR_OK || code == ERR_PARSE);
	}
}

static void bytes_that_end_early_are_damaged(void **state)
{
	struct desk *d = *state;
	struct random r = random_of("segment", 35);
	struct err e;

	pool_reset();
	fill(d, &r, 40);
	encode(d, 40);
	for (size_t len = 0; len < d->out.len; len++) {
		AUTO(own_free) char *bytes = malloc(len + 1); /* as long as it is: no byte beyond */

		assert_non_null(bytes);
		memcpy(bytes, d->out.p, len);
		enum err_code code = segment_open(d->segment, str_n(bytes, len), &e);
		if (code == ERR_OK)
			code = segment_load(d->segment, FLOW_MEMBERS_ALL, 0, 40, d->back, &e);
		assert_int_equal(code, ERR_PARSE);
	}
}

static uint32_t plus_ten(void *ctx, uint32_t stored)
{
	++*(size_t *)ctx;
	return stored + 10;
}

static uint16_t plus_ten_16(void *ctx, uint16_t stored)
{
	++*(size_t *)ctx;
	return (uint16_t)(stored + 10);
}

static void ids_are_translated_once_each_and_0_stays(void **state)
{
	struct desk *d = *state;
	size_t calls = 0;
	struct segment_ids ids = { plus_ten, plus_ten, plus_ten, plus_ten_16, &calls },
			   none = { 0 };
	struct err e;

	for (size_t i = 0; i < 1000; i++)
		d->flows[i] = (struct flow){ .seq = i + 1,
					     .src_ep = { i % 3 },
					     .dst_svc = { 7 },
					     .node = { 2 },
					     .kernel_reason = (uint16_t)(i % 2) };
	encode(d, 1000);
	segment_translate(d->segment, &ids);
	assert_int_equal(segment_open(d->segment, buf_str(&d->out), &e), ERR_OK);
	memset(d->back, 0, 1000 * sizeof *d->back);
	load(d, FLOW_MEMBERS_ALL, 0, 1000);
	segment_translate(d->segment, &none);
	for (size_t i = 0; i < 1000; i++) {
		assert_int_equal(d->back[i].src_ep.v, i % 3 ? i % 3 + 10 : 0);
		assert_int_equal(d->back[i].dst_ep.v, 0);
		assert_int_equal(d->back[i].src_svc.v, 0);
		assert_int_equal(d->back[i].dst_svc.v, 17);
		assert_int_equal(d->back[i].node.v, 12);
		assert_int_equal(d->back[i].kernel_reason, i % 2 ? 11 : 0);
	}
	assert_in_range(calls, 1, 20); /* once in each row of a table, not in each record */
}

/* More than a few hundred: behind these, other conversations and counts, and the rest as before. */
static void fill_many(struct desk *d, struct random *r, size_t n)
{
	size_t made = n < 200 ? n : 200;

	fill(d, r, made);
	for (size_t i = made; i < n; i++) {
		struct flow *f = &d->flows[i];

		*f = d->flows[random_below(r, random_bool(r) ? i : made)];
		f->seq = d->flows[i - 1].seq + 1;
		if (random_bool(r))
			f->src_port = (uint16_t)random_u64(r);
		if (random_bool(r))
			f->packets = random_below(r, 4);
	}
}

static void rows_in_any_order_are_as_in_the_whole(void **state)
{
	struct desk *d = *state;
	struct random r = random_of("segment", 36);
	uint32_t rows[80];
	struct err e;

	pool_reset();
	fill(d, &r, 200);
	encode(d, 200);
	assert_int_equal(segment_open(d->segment, buf_str(&d->out), &e), ERR_OK);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		rows[i] = (uint32_t)random_below(&r, 200);
	memset(d->back, 0, ARRAY_LEN(rows) * sizeof *d->back);
	assert_int_equal(
		segment_load_rows(d->segment, FLOW_MEMBERS_ALL, rows, ARRAY_LEN(rows), d->back, &e),
		ERR_OK);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		assert_same(&d->back[i], &d->flows[rows[i]]);
	uint32_t places[ARRAY_LEN(rows)];
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		places[i] = (uint32_t)(2 * (ARRAY_LEN(rows) - i)); /* every other one, backwards */
	memset(d->back, 0xa5, (2 * ARRAY_LEN(rows) + 2) * sizeof *d->back);
	struct flow untouched = d->back[1];
	assert_int_equal(segment_load_whole(d->segment, rows, places, ARRAY_LEN(rows), d->back, &e),
			 ERR_OK);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		assert_same(&d->back[places[i]], &d->flows[rows[i]]);
		assert_memory_equal(&d->back[places[i] - 1], &untouched, sizeof untouched);
	}
	rows[3] = 200;
	assert_int_equal(segment_load_rows(d->segment, FLOW_MEMBERS_ALL, rows, 4, d->back, &e),
			 ERR_INVALID);
	assert_int_equal(segment_load_whole(d->segment, rows, places, 4, d->back, &e), ERR_INVALID);
	assert_int_equal(segment_numbers(d->segment, rows, 4, &(uint64_t[4]){ 0 }[0], &e),
			 ERR_INVALID);
}

static void expected_rows_are_as_in_the_whole_and_others_refused(void **state)
{
	enum { FEW = 200, MANY = 12000 }; /* of many, conversations share places of guesses */
	struct desk *d = *state;
	struct random r = random_of("segment", 38);
	struct err e;

	for (int round = 0; round < 20; round++) {
		static uint32_t rows[MANY];
		uint64_t bits[MANY / 64 + 1] = { 0 };
		size_t count = round < 18 ? FEW : MANY, n = 0;

		pool_reset();
		fill_many(d, &r, count);
		encode(d, count);
		for (uint32_t i = 0; i < count; i++)
			if (random_below(&r, 10) == 0) {
				bits[i / 64] |= UINT64_C(1) << i % 64;
				rows[n++] = i;
			}
		assert_int_equal(segment_open(d->segment, buf_str(&d->out), &e), ERR_OK);
		if (round % 2)
			load(d, FLOW_MEMBERS_ALL, 0, count); /* what was there does no harm */
		assert_int_equal(segment_expect(d->segment, bits, &e), ERR_OK);
		memset(d->back, 0, count * sizeof *d->back);
		assert_int_equal(
			segment_load_rows(d->segment, FLOW_MEMBERS_ALL, rows, n, d->back, &e),
			ERR_OK);
		for (size_t i = 0; i < n; i++)
			assert_same(&d->back[i], &d->flows[rows[i]]);
		assert_int_equal(segment_load(d->segment, FLOW_MEMBERS_ALL, 0, count, d->back, &e),
				 ERR_INVALID);
		load(d, FLOW_MEMBER(FLOW_MEMBER_TIME) | FLOW_MEMBER(FLOW_MEMBER_SEQ), 0, count);
	}
}

/* What ends say is asked once for a link: of more links than are remembered, with a few
 * conversations each in both directions, none is told another's answer. */
static void ends_are_asked_for_in_each_link_of_many(void **state)
{
	enum { LINKS = 6000, COUNT = 4 * LINKS };
	struct desk *d = *state;
	struct random r = random_of("segment", 43);
	char from[] = "10.0.0.0/9", to[] = "10.1.2.0/24", *sources[] = { from }, *ends[] = { to };
	Flow__FlowFilter a = FLOW__FLOW_FILTER__INIT, b = FLOW__FLOW_FILTER__INIT,
			 *white[] = { &a, &b };
	struct flow_filter *made = NULL;
	static uint64_t got[COUNT / 64 + 1], want[COUNT / 64 + 1];
	size_t found;
	struct err e;

	for (size_t i = 0; i < COUNT; i++) {
		size_t link = i < LINKS ? i : random_below(&r, LINKS);
		const uint8_t ip[] = { 10, (uint8_t)(link * 7 % 251), (uint8_t)(link / 251),
				       (uint8_t)link };
		struct flow *f = &d->flows[i];

		*f = (struct flow){ .seq = i + 1,
				    .bits = FLOW_HAS_IP | FLOW_HAS_SRC_IP | FLOW_HAS_DST_IP,
				    .verdict = FLOW__VERDICT__FORWARDED,
				    .l4 = FLOW_L4_TCP,
				    .src_port = (uint16_t)(40000 + random_below(&r, 3)),
				    .dst_port = 80 };
		assert_true(ip_parse(STR("10.1.2.3"), f->dst_ip));
		memcpy(f->src_ip, f->dst_ip, 12); /* the prefix of IPv4 */
		memcpy(f->src_ip + 12, ip, sizeof ip);
		if (random_bool(&r)) {
			struct flow other = *f;
			memcpy(f->src_ip, other.dst_ip, 16);
			memcpy(f->dst_ip, other.src_ip, 16);
			f->src_port = other.dst_port;
			f->dst_port = other.src_port;
		}
	}
	a.n_source_ip = a.n_destination_ip = b.n_source_ip = 1;
	a.source_ip = sources;
	a.destination_ip = ends;
	b.source_ip = ends;
	assert_int_equal(flow_filter_new(white, 1, &white[1], 1, d->dict, &made, &e), ERR_OK);
	AUTO(flow_filter_free) struct flow_filter *filter = made;
	const struct segment_question q = { .filter = filter, .kinds = UINT32_MAX },
				      all = { .kinds = UINT32_MAX };
	encode(d, COUNT);
	assert_int_equal(segment_open(d->segment, buf_str(&d->out), &e), ERR_OK);
	segment_ask(d->segment, &q);
	assert_int_equal(segment_match(d->segment, 0, COUNT, got, &found, &e), ERR_OK);
	segment_ask(d->segment, &all);
	assert_int_equal(found, flow_filter_match_n(filter, d->flows, COUNT, want));
	assert_in_range(found, COUNT / 8, COUNT / 2);
	assert_memory_equal(got, want, COUNT / 8);
}

/* They share memory: none takes another's, however large they are, and whatever was there. */
static void segments_open_together_keep_what_is_theirs(void **state)
{
	enum { PARTS = 5 };
	static const size_t counts[3][PARTS] = { { 3, 900, 1, 7000, 40 },
						 { 7000, 1, 2000, 3, 900 },
						 { 1, 1, 20000, 1, 1 } };
	struct desk *d = *state;
	struct random r = random_of("segment", 39);
	struct segment *parts[PARTS] = { d->segment };
	struct err e;

	for (size_t p = 1; p < PARTS; p++)
		assert_int_equal(segment_new_beside(d->segment, &parts[p], &e), ERR_OK);
	for (size_t round = 0; round < ARRAY_LEN(counts); round++) {
		struct buf bytes[PARTS];
		size_t from = 0, at = 0;

		pool_reset();
		fill_many(d, &r, 20100);
		for (size_t p = 0; p < PARTS; from += counts[round][p++]) {
			bytes[p] = buf_init(OUT_BYTES);
			assert_int_equal(
				segment_add(d->encoder, d->flows + from, counts[round][p], &e),
				ERR_OK);
			assert_int_equal(segment_finish(d->encoder, &bytes[p], &e), ERR_OK);
			assert_int_equal(segment_open(parts[p], buf_str(&bytes[p]), &e), ERR_OK);
		}
		memset(d->back, 0, from * sizeof *d->back);
		for (int piece = 0; piece < 2; piece++) /* in turns */
			for (size_t p = at = 0; p < PARTS; at += counts[round][p++]) {
				size_t half = counts[round][p] / 2;
				assert_int_equal(segment_load(parts[p],
							      piece ? FLOW_MEMBERS_ALL
								    : FLOW_MEMBER(FLOW_MEMBER_TIME),
							      0, piece ? counts[round][p] : half,
							      d->back + at, &e),
						 ERR_OK);
			}
		for (size_t i = 0; i < from; i++)
			assert_same(&d->back[i], &d->flows[i]);
		for (size_t p = 0; p < PARTS; p++)
			buf_done(&bytes[p]);
	}
	for (size_t p = 1; p < PARTS; p++)
		segment_free(parts[p]);
}

/* Numbers of all sizes, and columns that are cut: many at a time as one by one. */
static void numbers_read_at_once_are_as_one_by_one(void **state)
{
	enum { MOST = 300 };
	struct random r = random_of("segment", 42);

	(void)state;
	for (int round = 0; round < 2000; round++) {
		struct nums_out o = { 0 };
		uint64_t put[MOST], got[MOST];
		size_t n = random_below(&r, MOST), taken = 0;
		unsigned widest = (unsigned)random_below(&r, 64);

		assert_true(nums_reserve(&o, n));
		for (size_t i = 0; i < n; i++) {
			put[i] = random_u64(&r) >> (63 - random_below(&r, widest + 1));
			nums_put(&o, put[i]);
		}
		nums_end(&o);
		/* in memory of its own: reading on would be seen */
		AUTO(own_free) char *codes = malloc(n + 1), *bits = malloc(o.bytes + 1);
		assert_true(codes && bits);
		memcpy(codes + 1, o.codes ? (const char *)o.codes : "", n);
		memcpy(bits + 1, o.bits ? (const char *)o.bits : "", o.bytes);
		struct nums_in in = nums_in_of(str_n(codes + 1, n), str_n(bits + 1, o.bytes));
		while (taken < n) {
			size_t some = 1 + random_below(&r, n - taken);
			nums_get_n(&in, got + taken, some);
			taken += some;
		}
		assert_false(in.bad);
		assert_memory_equal(got, put, n * sizeof *got);
		nums_get_n(&in, got, 1);
		assert_true(in.bad);
		if (n && o.bytes) {
			struct nums_in one = nums_in_of(str_n(codes + 1, n),
							str_n(bits + 1, o.bytes - 1)),
				       many = one;
			nums_get_n(&many, got, n);
			for (size_t i = 0; i < n; i++)
				put[i] = nums_get(&one);
			assert_true(one.bad && many.bad);
			assert_memory_equal(got, put, n * sizeof *got);
		}
		nums_done(&o);
	}
}

/* Which filters match is held by test_filter_golden; here are kinds and the question itself. */
static void kinds_are_chosen_and_some_pass_unfiltered(void **state)
{
	struct desk *d = *state;
	struct random r = random_of("segment", 37);
	Flow__FlowFilter white = FLOW__FLOW_FILTER__INIT, *list = &white;
	Flow__Verdict dropped = FLOW__VERDICT__DROPPED;
	AUTO(flow_filter_free) struct flow_filter *filter = NULL;
	uint64_t bits[4];
	size_t found;
	struct err e;

	white.n_verdict = 1;
	white.verdict = &dropped;
	assert_int_equal(flow_filter_new(&list, 1, NULL, 0, d->dict, &filter, &e), ERR_OK);
	for (size_t i = 0; i < 200; i++)
		d->flows[i] = (struct flow){ .seq = i + 1,
					     .kind = (uint8_t)random_below(&r, 3),
					     .verdict = (uint8_t)random_below(&r, 4) };
	encode(d, 200);
	assert_int_equal(segment_open(d->segment, buf_str(&d->out), &e), ERR_OK);
	assert_int_equal(segment_match(d->segment, 0, 200, bits, &found, &e), ERR_OK);
	assert_int_equal(found, 200);
	for (uint32_t kinds = 0; kinds < 8; kinds++)
		for (uint32_t unfiltered = 0; unfiltered < 8; unfiltered++) {
			const struct segment_question q = { filter, kinds, unfiltered };
			size_t want = 0;

			segment_ask(d->segment, &q);
			assert_int_equal(segment_match(d->segment, 10, 190, bits, &found, &e),
					 ERR_OK);
			for (size_t i = 10; i < 200; i++) {
				const struct flow *f = &d->flows[i];
				bool pass = kinds >> f->kind & 1 && (unfiltered >> f->kind & 1 ||
								     flow_filter_match(filter, f));

				want += pass;
				assert_int_equal(bits[(i - 10) / 64] >> (i - 10) % 64 & 1, pass);
			}
			assert_int_equal(found, want);
		}
	const struct segment_question all = { NULL, UINT32_MAX, 0 };
	segment_ask(d->segment, &all);
	assert_int_equal(segment_match(d->segment, 100, 101, bits, &found, &e), ERR_INVALID);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_member_of_random_records_comes_back),
		cmocka_unit_test(the_largest_segment_comes_back_and_one_more_is_refused),
		cmocka_unit_test(segments_follow_each_other_in_one_buffer),
		cmocka_unit_test(one_member_in_any_part_is_as_in_the_whole),
		cmocka_unit_test(an_asked_member_is_filled_in),
		cmocka_unit_test(ids_are_translated_once_each_and_0_stays),
		cmocka_unit_test(rows_in_any_order_are_as_in_the_whole),
		cmocka_unit_test(expected_rows_are_as_in_the_whole_and_others_refused),
		cmocka_unit_test(ends_are_asked_for_in_each_link_of_many),
		cmocka_unit_test(segments_open_together_keep_what_is_theirs),
		cmocka_unit_test(numbers_read_at_once_are_as_one_by_one),
		cmocka_unit_test(kinds_are_chosen_and_some_pass_unfiltered),
		cmocka_unit_test(damaged_bytes_are_told_or_yield_some_record),
		cmocka_unit_test(bytes_that_end_early_are_damaged),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
