/* lib/flow/pack: what is packed comes out to the byte, through tables of any size and through other
 * streams; and bytes of strangers do no harm. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/buf.h"
#include "flow/pack.h"
#include "flow/wire.h"
#include "tests/unit/flow_random.h"

enum { MAX_BYTES = 1 << 24, FLOWS = 3000 };

static struct flow_packer *packer_of(size_t bytes)
{
	struct flow_packer *p = NULL;

	assert_int_equal(flow_packer_new(bytes, &p, NULL), ERR_OK);
	return p;
}

static struct flow_unpacker *unpacker_of(size_t bytes)
{
	struct flow_unpacker *u = NULL;

	assert_int_equal(flow_unpacker_new(bytes, &u, NULL), ERR_OK);
	return u;
}

/* @return bytes of the record. */
static size_t assert_survives(struct flow_packer *p, struct flow_unpacker *u, struct str response)
{
	AUTO_BUF struct buf record = buf_init(MAX_BYTES);
	AUTO_BUF struct buf out = buf_init(MAX_BYTES);
	bool is_void = true;

	flow_packer_put(p, response, &record);
	assert_int_equal(flow_unpacker_take(u, buf_str(&record), &out, &is_void, NULL), ERR_OK);
	assert_false(is_void);
	assert_bytes_equal(buf_str(&out), response);
	return record.len;
}

static struct str random_response(struct random *r, struct flow_dict *d, struct buf *b)
{
	struct flow f = random_made(r, d);

	buf_reset(b);
	flow_encode_response(b, &f, d, STR("cluster/a-node-with-a-long-name"));
	return buf_str(b);
}

static void responses_survive_tables_of_any_size(void **state)
{
	(void)state;
	struct random r = random_of("responses", 1);
	AUTO(flow_dict_free) struct flow_dict *d = dict_of(4096);
	AUTO_BUF struct buf b = buf_init(MAX_BYTES);
	const size_t sizes[][2] = {
		{ 0, 0 }, { 1, 20000 }, { 12345, 12345 }, { 9000, 1 << 20 }, { 1 << 30, 1 << 30 }
	};

	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		AUTO(flow_packer_free) struct flow_packer *p = packer_of(sizes[i][0]);
		AUTO(flow_unpacker_free) struct flow_unpacker *u = unpacker_of(sizes[i][1]);
		for (int n = 0; n < FLOWS; n++) {
			pool_reset();
			(void)assert_survives(p, u, random_response(&r, d, &b));
		}
	}
}

/* A response with one field of @len bytes, all @fill, that may come again. */
static struct str response_of(struct buf *b, uint32_t field, char fill, size_t len)
{
	buf_reset(b);
	size_t flow = wire_begin(b, 1);
	wire_put_tag(b, field, WIRE_LEN);
	wire_put_varint(b, len);
	for (size_t i = 0; i < len; i++)
		buf_char(b, fill);
	wire_end(b, flow);
	return buf_str(b);
}

static void a_piece_is_kept_at_its_second_time_and_named_at_its_third(void **state)
{
	(void)state;
	AUTO(flow_packer_free) struct flow_packer *p = packer_of(0);
	AUTO(flow_unpacker_free) struct flow_unpacker *u = unpacker_of(0);
	AUTO_BUF struct buf b = buf_init(MAX_BYTES);
	struct str response = response_of(&b, 8, 'x', 200);

	assert_in_range(assert_survives(p, u, response), 200, 220);
	assert_in_range(assert_survives(p, u, response), 200, 220);
	for (int i = 0; i < 3; i++)
		assert_int_equal(assert_survives(p, u, response),
				 1 /* flags */ + 1 + 3 /* what is before it */ +
					 1 /* its number */);
}

static void what_is_of_one_flow_alone_is_not_kept(void **state)
{
	(void)state;
	AUTO(flow_packer_free) struct flow_packer *p = packer_of(0);
	AUTO(flow_unpacker_free) struct flow_unpacker *u = unpacker_of(0);
	AUTO_BUF struct buf b = buf_init(MAX_BYTES);

	for (int i = 0; i < 3; i++) {
		assert_in_range(assert_survives(p, u, response_of(&b, 34, 'u', 36)), 40, 50);
		assert_in_range(assert_survives(p, u, response_of(&b, 8, 's', 20)), 20, 30);
		assert_in_range(assert_survives(p, u, response_of(&b, 8, 'l', 5000)), 5000, 5020);
	}
}

static void pieces_that_had_to_go_are_sent_again(void **state)
{
	(void)state;
	AUTO(flow_packer_free) struct flow_packer *p = packer_of(0);
	AUTO(flow_unpacker_free) struct flow_unpacker *u = unpacker_of(0);
	AUTO_BUF struct buf b = buf_init(MAX_BYTES);

	/* 2,000 bytes each: of 26, four have room in a table of 8 KiB. */
	for (int round = 0; round < 6; round++)
		for (char c = 'a'; c <= 'z'; c++)
			(void)assert_survives(p, u,
					      response_of(&b, 8, c, 1000 + 37 * (size_t)(c - 'a')));
}

static void bytes_that_are_no_response_survive(void **state)
{
	(void)state;
	struct random r = random_of("bytes", 2);
	AUTO(flow_packer_free) struct flow_packer *p = packer_of(0);
	AUTO(flow_unpacker_free) struct flow_unpacker *u = unpacker_of(0);

	(void)assert_survives(p, u, STR(""));
	for (int n = 0; n < FLOWS; n++) {
		char bytes[300];
		size_t len = random_below(&r, sizeof bytes);
		for (size_t i = 0; i < len; i++)
			bytes[i] = (char)random_below(&r, random_bool(&r) ? 256 : 12);
		(void)assert_survives(p, u, str_n(bytes, len));
	}
}

/* Three streams into one: a relay. */
static void records_go_from_many_streams_into_one(void **state)
{
	(void)state;
	struct random r = random_of("relay", 3);
	AUTO(flow_dict_free) struct flow_dict *d = dict_of(4096);
	AUTO_BUF struct buf b = buf_init(MAX_BYTES);
	AUTO_BUF struct buf record = buf_init(MAX_BYTES);
	AUTO_BUF struct buf again = buf_init(MAX_BYTES);
	AUTO_BUF struct buf out = buf_init(MAX_BYTES);
	struct flow_packer *from[3];
	struct flow_unpacker *between[3];
	AUTO(flow_packer_free) struct flow_packer *p = packer_of(10000);
	AUTO(flow_unpacker_free) struct flow_unpacker *u = unpacker_of(10000);
	bool is_void;

	for (size_t i = 0; i < 3; i++) {
		from[i] = packer_of(8192 << i);
		between[i] = unpacker_of(8192 << i);
	}
	for (int n = 0; n < FLOWS; n++) {
		size_t i = random_below(&r, 3);
		pool_reset();
		struct str response = random_response(&r, d, &b);
		buf_reset(&record);
		buf_reset(&again);
		buf_reset(&out);
		flow_packer_put(from[i], response, &record);
		assert_int_equal(flow_repack(between[i], buf_str(&record), p, &again, NULL),
				 ERR_OK);
		assert_int_equal(flow_unpacker_take(u, buf_str(&again), &out, &is_void, NULL),
				 ERR_OK);
		assert_bytes_equal(buf_str(&out), response);
		if (n % 7 == 0) /* from a peer that does not pack */
			(void)assert_survives(p, u, response);
	}
	for (size_t i = 0; i < 3; i++) {
		flow_packer_free(from[i]);
		flow_unpacker_free(between[i]);
	}
}

/* --- records as the header describes them, written by hand ---------------------------------------
 */

#define TAKE_OK(u, record, want)                                                                   \
	do {                                                                                       \
		AUTO_BUF struct buf out_ = buf_init(MAX_BYTES);                                    \
		bool is_void_;                                                                     \
		assert_int_equal(flow_unpacker_take(u, STR(record), &out_, &is_void_, NULL),       \
				 ERR_OK);                                                          \
		assert_bytes_equal(buf_str(&out_), STR(want));                                     \
	} while (0)

static void a_record_is_read_as_it_is_described(void **state)
{
	(void)state;
	AUTO(flow_unpacker_free) struct flow_unpacker *u = unpacker_of(0);

	TAKE_OK(u, "\0", "");
	TAKE_OK(u,
		"\0\x0c"
		"abc",
		"abc"); /* 3 << 2 | 0 */
	TAKE_OK(u,
		"\1\x0d"
		"def\x08"
		"gh",
		"defgh"); /* 3 << 2 | 1: kept */
	TAKE_OK(u,
		"\1\x02\x05"
		"i\x02\x06",
		"defiidef"); /* 0 << 2 | 2: the latest; 1 << 2 | 2 */
	TAKE_OK(u,
		"\4\x05"
		"j",
		"");                      /* void, but kept */
	TAKE_OK(u, "\0\x02\x0a", "jdef"); /* 2 << 2 | 2 */
	TAKE_OK(u,
		"\2\x04\x04"
		"k",
		"k"); /* with a time */
}

static void heads_carry_times_as_differences(void **state)
{
	(void)state;
	struct wall_ns last = { 0 };
	struct flow_pack_head head;

	/* zigzag: 300 is 600 = 0xd8 0x04; -1 is 1 */
	assert_int_equal(flow_pack_head(STR("\3\xd8\x04xyz"), &last, &head, NULL), ERR_OK);
	assert_true(head.is_flow && head.has_time && !head.is_void);
	assert_int_equal(head.time.v, 300);
	assert_bytes_equal(head.pieces, STR("xyz"));
	assert_int_equal(flow_pack_head(STR("\0"), &last, &head, NULL), ERR_OK);
	assert_true(!head.is_flow && !head.has_time && head.time.v == 0);
	assert_int_equal(flow_pack_head(STR("\2\x01"), &last, &head, NULL), ERR_OK);
	assert_int_equal(head.time.v, 299);
	assert_int_equal(flow_pack_head(STR("\4"), &last, &head, NULL), ERR_OK);
	assert_true(head.is_void);
}

static void heads_say_what_the_response_is(void **state)
{
	(void)state;
	AUTO(flow_packer_free) struct flow_packer *p = packer_of(0);
	AUTO_BUF struct buf record = buf_init(MAX_BYTES);
	struct wall_ns last = { 0 };
	struct flow_pack_head head;
	/* a flow, a lost event and a node's status, each with time { 2, 3 } */
	const struct {
		struct str response;
		bool is_flow, has_time;
	} cases[] = {
		{ STR("\x0a\x00\xca\x3e\x04\x08\x02\x10\x03"), true, true },
		{ STR("\x1a\x00\xca\x3e\x04\x08\x02\x10\x03"), false, true },
		{ STR("\x12\x00\xca\x3e\x04\x08\x02\x10\x03"), false, false },
		{ STR("\x0a\x00"), true, false },
		{ STR("\xff"), false, false },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		buf_reset(&record);
		flow_packer_put(p, cases[i].response, &record);
		assert_int_equal(flow_pack_head(buf_str(&record), &last, &head, NULL), ERR_OK);
		assert_int_equal(head.is_flow, cases[i].is_flow);
		assert_int_equal(head.has_time, cases[i].has_time);
		assert_int_equal(head.time.v, cases[i].has_time ? 2000000003 : 0);
	}
}

/* --- strangers
 * ------------------------------------------------------------------------------------ */

static void what_is_no_record_is_an_error(void **state)
{
	(void)state;
	static const struct str records[] = {
		STR(""),                                             /* not even flags */
		STR("\x08"),                                         /* unknown flags */
		STR("\x02"),                                         /* a time that is not there */
		STR("\x02\x80"),                                     /* … that does not end */
		STR("\x02\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02"), /* … of more than 64 bits */
		STR("\0\x0c"
		    "ab"),     /* shorter than it says */
		STR("\0\x80"), /* no piece */
		STR("\0\x03"), /* no such piece */
		STR("\0\x01"), /* nothing to keep */
		STR("\0\x02"), /* never kept */
		STR("\0\x05"
		    "a\x06"), /* … so long ago */
		STR("\0\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x01"),
	};

	for (size_t i = 0; i < ARRAY_LEN(records); i++) {
		AUTO(flow_unpacker_free) struct flow_unpacker *u = unpacker_of(0);
		AUTO_BUF struct buf out = buf_init(MAX_BYTES);
		struct err e;
		bool is_void;
		assert_int_equal(flow_unpacker_take(u, records[i], &out, &is_void, &e), ERR_PARSE);
	}
}

static void too_long_a_piece_is_not_kept(void **state)
{
	(void)state;
	AUTO_BUF struct buf out = buf_init(MAX_BYTES);
	AUTO_BUF struct buf record = buf_init(MAX_BYTES);
	bool is_void;

	for (size_t over = 0; over < 2; over++) {
		AUTO(flow_unpacker_free) struct flow_unpacker *u = unpacker_of(0);
		size_t len = FLOW_PIECE_MAX + over;
		buf_reset(&record);
		buf_char(&record, 0);
		wire_put_varint(&record, len << 2 | 1);
		memset(buf_reserve(&record, len), 'x', len);
		record.len += len;
		assert_int_equal(flow_unpacker_take(u, buf_str(&record), &out, &is_void, NULL),
				 over ? ERR_PARSE : ERR_OK);
	}
}

/* 4 KiB, named 2,000 times. */
static struct str bomb(struct buf *b)
{
	buf_reset(b);
	buf_char(b, 0);
	wire_put_varint(b, FLOW_PIECE_MAX << 2 | 1);
	memset(buf_reserve(b, FLOW_PIECE_MAX), 'x', FLOW_PIECE_MAX);
	b->len += FLOW_PIECE_MAX;
	for (int i = 0; i < 2000; i++)
		buf_char(b, 2);
	return buf_str(b);
}

static void a_record_that_stands_for_too_much_is_an_error(void **state)
{
	(void)state;
	AUTO_BUF struct buf record = buf_init(MAX_BYTES);
	AUTO_BUF struct buf out = buf_init(1 << 20);
	AUTO(flow_unpacker_free) struct flow_unpacker *u = unpacker_of(0);
	bool is_void;

	assert_int_equal(flow_unpacker_take(u, bomb(&record), &out, &is_void, NULL), ERR_PARSE);
	assert_true(out.cap <= 1 << 20);
}

static void after_a_bad_record_of_one_stream_those_of_others_survive(void **state)
{
	(void)state;
	AUTO(flow_unpacker_free) struct flow_unpacker *bad = unpacker_of(0), *good = unpacker_of(0);
	AUTO(flow_packer_free) struct flow_packer *p = packer_of(0);
	AUTO(flow_unpacker_free) struct flow_unpacker *u = unpacker_of(0);
	AUTO_BUF struct buf record = buf_init(MAX_BYTES);
	AUTO_BUF struct buf out = buf_init(MAX_BYTES);
	bool is_void = false;
	/* two pieces that are worth keeping (a field of 28 bytes), then a fault */
	const struct str broken = STR("\0\x79"
				      "\x0a\x1c"
				      "abcdefghijklmnopqrstuvwxyz12"
				      "\x79"
				      "\x0a\x1c"
				      "ABCDEFGHIJKLMNOPQRSTUVWXYZ56"
				      "\x03"),
			 fine = STR("\0\x79"
				    "\x0a\x1c"
				    "abcdefghijklmnopqrstuvwxyz12"
				    "\x02");

	assert_int_equal(flow_repack(bad, broken, p, &record, NULL), ERR_PARSE);
	assert_int_equal(flow_unpacker_take(u, buf_str(&record), &out, &is_void, NULL), ERR_OK);
	assert_true(is_void && out.len == 0);
	buf_reset(&record);
	assert_int_equal(flow_repack(good, fine, p, &record, NULL), ERR_OK);
	assert_int_equal(record.len, 3); /* the other stream's piece serves this one, too */
	assert_int_equal(flow_unpacker_take(u, buf_str(&record), &out, &is_void, NULL), ERR_OK);
	assert_false(is_void);
	assert_bytes_equal(buf_str(&out), STR("\x0a\x1c"
					      "abcdefghijklmnopqrstuvwxyz12"
					      "\x0a\x1c"
					      "abcdefghijklmnopqrstuvwxyz12"));
	buf_reset(&record);
	assert_int_equal(flow_repack(good, bomb(&out), p, &record, NULL), ERR_PARSE);
	assert_false(record.failed);
}

static void what_is_no_row_of_fields_is_not_packed_again(void **state)
{
	(void)state;
	static const struct {
		struct str record;
		bool is_good;
	} cases[] = {
		{ STR("\0"), true },
		{ STR("\0\x08\x08\x01"), true }, /* a varint */
		{ STR("\0\x04\x0a\x04\x03\x04"
		      "a\x08"
		      "bc"),
		  true }, /* a length, in pieces */
		{ STR("\0\x14\x0d"
		      "abcd"),
		  true }, /* 32 bits */
		{ STR("\0\x24\x09"
		      "abcdefgh"),
		  true },                     /* 64 bits */
		{ STR("\0\x04\x08"), false }, /* a value is missing */
		{ STR("\0\x0c\x0a\x02"
		      "a"),
		  false },                        /* a byte is missing */
		{ STR("\0\x08\x00\x01"), false }, /* field 0 */
		{ STR("\0\x04\x0b"), false },     /* a group */
		{ STR("\0\x30\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"), false },
		{ STR("\0\x2c\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"), true },
		{ STR("\0\x2c\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02"), false },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		AUTO(flow_unpacker_free) struct flow_unpacker *u = unpacker_of(0);
		AUTO(flow_packer_free) struct flow_packer *p = packer_of(0);
		AUTO_BUF struct buf out = buf_init(MAX_BYTES);
		assert_int_equal(flow_repack(u, cases[i].record, p, &out, NULL),
				 cases[i].is_good ? ERR_OK : ERR_PARSE);
	}
}

static void a_table_is_what_both_sides_have_room_for(void **state)
{
	(void)state;
	assert_int_equal(flow_table_agreed(STR("")), 0);
	assert_int_equal(flow_table_agreed(STR("much")), 0);
	assert_int_equal(flow_table_agreed(STR("8191")), 0);
	assert_int_equal(flow_table_agreed(STR("8192")), 8192);
	assert_int_equal(flow_table_agreed(STR("18446744073709551615")), FLOW_TABLE_SERVED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(responses_survive_tables_of_any_size),
		cmocka_unit_test(a_piece_is_kept_at_its_second_time_and_named_at_its_third),
		cmocka_unit_test(what_is_of_one_flow_alone_is_not_kept),
		cmocka_unit_test(pieces_that_had_to_go_are_sent_again),
		cmocka_unit_test(bytes_that_are_no_response_survive),
		cmocka_unit_test(records_go_from_many_streams_into_one),
		cmocka_unit_test(a_record_is_read_as_it_is_described),
		cmocka_unit_test(heads_carry_times_as_differences),
		cmocka_unit_test(heads_say_what_the_response_is),
		cmocka_unit_test(what_is_no_record_is_an_error),
		cmocka_unit_test(too_long_a_piece_is_not_kept),
		cmocka_unit_test(a_record_that_stands_for_too_much_is_an_error),
		cmocka_unit_test(what_is_no_row_of_fields_is_not_packed_again),
		cmocka_unit_test(a_table_is_what_both_sides_have_room_for),
		cmocka_unit_test(after_a_bad_record_of_one_stream_those_of_others_survive),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
