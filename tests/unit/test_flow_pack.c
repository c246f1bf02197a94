/* lib/flow/pack: what is packed comes out to the byte, through tables of any size;
 * and bytes of strangers do no harm. */
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

static void a_flow_and_what_is_behind_it_are_packed_as_the_response_of_both(void **state)
{
	(void)state;
	struct random r = random_of("parts", 3);
	AUTO(flow_dict_free) struct flow_dict *d = dict_of(4096);
	AUTO(flow_packer_free) struct flow_packer *p = packer_of(0);
	AUTO(flow_unpacker_free) struct flow_unpacker *u = unpacker_of(0);
	AUTO_BUF struct buf flow = buf_init(MAX_BYTES), behind = buf_init(MAX_BYTES),
			    response = buf_init(MAX_BYTES), record = buf_init(MAX_BYTES),
			    out = buf_init(MAX_BYTES);
	struct wall_ns last = { 0 }, want;
	struct flow_pack_head head;
	struct timestamp t;
	bool is_void;

	for (int n = 0; n < FLOWS; n++) {
		pool_reset();
		struct flow f = random_made(&r, d);
		buf_reset(&flow);
		buf_reset(&behind);
		buf_reset(&response);
		buf_reset(&record);
		buf_reset(&out);
		flow_encode(&flow, &f, d);
		flow_encode_behind(&behind, &f, d, STR(""));
		flow_encode_response(&response, &f, d, STR(""));
		bool has_time = flow_time(&f, &t);
		flow_packer_put_flow(p, buf_str(&flow), has_time ? &t : NULL, buf_str(&behind),
				     &record);
		assert_int_equal(flow_pack_head(buf_str(&record), &last, &head, NULL), ERR_OK);
		assert_true(head.is_flow);
		assert_int_equal(head.has_time, has_time && timestamp_to_wall(t, &want));
		if (head.has_time)
			assert_int_equal(head.time.v, want.v);
		assert_int_equal(flow_unpacker_take(u, buf_str(&record), &out, &is_void, NULL),
				 ERR_OK);
		assert_bytes_equal(buf_str(&out), buf_str(&response));
	}
}

static void a_flow_with_nothing_behind_it_is_packed(void **state)
{
	(void)state;
	AUTO(flow_packer_free) struct flow_packer *p = NULL;
	AUTO(flow_unpacker_free) struct flow_unpacker *u = NULL;
	AUTO_BUF struct buf record = buf_init(MAX_BYTES), back = buf_init(MAX_BYTES);
	bool is_void;

	assert_int_equal(flow_packer_new(FLOW_TABLE_MIN, &p, NULL), ERR_OK);
	assert_int_equal(flow_unpacker_new(FLOW_TABLE_MIN, &u, NULL), ERR_OK);
	/* field 1, a flow, is empty: no bytes anywhere, and no pointers to any */
	flow_packer_put_flow(p, (struct str){ 0 }, NULL, (struct str){ 0 }, &record);
	assert_int_equal(flow_unpacker_take(u, buf_str(&record), &back, &is_void, NULL), ERR_OK);
	assert_true(str_eq(buf_str(&back), str_n("\x0a\0", 2)));
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

/* Fields that say what kind of flow it is: one after the other they are one piece. */
static void fields_that_come_together_are_one_piece(void **state)
{
	(void)state;
	AUTO(flow_packer_free) struct flow_packer *p = packer_of(0);
	AUTO(flow_unpacker_free) struct flow_unpacker *u = unpacker_of(0);
	/* Type, node_name, is_reply, uuid, two node_labels */
	const struct str response = STR("\x0a\x56"
					"\x50\x01"
					"\x5a\x0e"
					"cluster/node-1"
					"\xd2\x01\x02\x08\x01"
					"\x92\x02\x12"
					"12345678-9abc-def0"
					"\xaa\x02\x12"
					"kubernetes.io/os=x"
					"\xaa\x02\x12"
					"kubernetes.io/os=y");

	for (int i = 0; i < 4; i++) {
		size_t len = assert_survives(p, u, response);
		if (i > 1)
			assert_int_equal(len, 1 /* flags */ + 1 + 2 /* what is before it */ +
						      1 /* the first piece */ + 1 + 21 /* uuid */ +
						      1 /* the second */);
	}
}

static void what_is_of_one_flow_alone_is_not_kept(void **state)
{
	(void)state;
	AUTO(flow_packer_free) struct flow_packer *p = packer_of(0);
	AUTO(flow_unpacker_free) struct flow_unpacker *u = unpacker_of(0);
	AUTO_BUF struct buf b = buf_init(MAX_BYTES);

	for (int i = 0; i < 3; i++) {
		assert_in_range(assert_survives(p, u, response_of(&b, 34, 'u', 36)), 40, 50);
		assert_in_range(assert_survives(p, u, response_of(&b, 8, 's', 10)), 10, 20);
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

static void a_table_is_what_both_sides_have_room_for(void **state)
{
	(void)state;
	assert_int_equal(flow_table_agreed(STR("")), 0);
	assert_int_equal(flow_table_agreed(STR("much")), 0);
	assert_int_equal(flow_table_agreed(STR("8191")), 0);
	assert_int_equal(flow_table_agreed(STR("8192")), 8192);
	assert_int_equal(flow_table_agreed(STR("18446744073709551615")), FLOW_TABLE_SERVED);
	assert_int_equal(flow_tables_agreed(STR("8191")), 0);
	assert_int_equal(flow_tables_agreed(STR("300000")), 300000);
	assert_int_equal(flow_tables_agreed(STR("18446744073709551615")), FLOW_TABLES_SERVED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(responses_survive_tables_of_any_size),
		cmocka_unit_test(a_flow_and_what_is_behind_it_are_packed_as_the_response_of_both),
		cmocka_unit_test(a_flow_with_nothing_behind_it_is_packed),
		cmocka_unit_test(a_piece_is_kept_at_its_second_time_and_named_at_its_third),
		cmocka_unit_test(fields_that_come_together_are_one_piece),
		cmocka_unit_test(what_is_of_one_flow_alone_is_not_kept),
		cmocka_unit_test(pieces_that_had_to_go_are_sent_again),
		cmocka_unit_test(bytes_that_are_no_response_survive),
		cmocka_unit_test(a_record_is_read_as_it_is_described),
		cmocka_unit_test(heads_carry_times_as_differences),
		cmocka_unit_test(heads_say_what_the_response_is),
		cmocka_unit_test(what_is_no_record_is_an_error),
		cmocka_unit_test(too_long_a_piece_is_not_kept),
		cmocka_unit_test(a_record_that_stands_for_too_much_is_an_error),
		cmocka_unit_test(a_table_is_what_both_sides_have_room_for),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
