/* lib/flow: the small tools for wire bytes. Source of expected bytes:
 * protobuf.dev/programming-guides/encoding. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/buf.h"
#include "flow/wire.h"
#include "flow_random.h"

enum { MAX_BYTES = 1 << 20 };

static void numbers_are_written_as_the_guide_says(void **state)
{
	(void)state;
	AUTO_BUF struct buf b = buf_init(MAX_BYTES);

	wire_put_u64(&b, 1, 150);
	assert_bytes_equal(buf_str(&b), STR("\x08\x96\x01"));
	buf_reset(&b);
	wire_put_str(&b, 2, STR("testing"));
	assert_bytes_equal(buf_str(&b), STR("\x12\x07testing"));
	buf_reset(&b);
	wire_put_u64(&b, 1, 0);
	wire_put_str(&b, 2, STR(""));
	assert_int_equal(b.len, 0);
	wire_put_len(&b, 2, STR(""));
	assert_bytes_equal(buf_str(&b), STR("\x12\x00"));
	buf_reset(&b);
	wire_put_u64(&b, 1, UINT64_MAX);
	assert_bytes_equal(buf_str(&b), STR("\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"));
	buf_reset(&b);
	wire_put_tag(&b, (1 << 29) - 1, WIRE_I32);
	assert_bytes_equal(buf_str(&b), STR("\xfd\xff\xff\xff\x0f"));
}

static void a_sub_message_gets_the_length_it_has(void **state)
{
	(void)state;
	static const size_t lengths[] = { 0, 1, 127, 128, 16383, 16384, 300000 };
	static char text[300000];

	for (size_t i = 0; i < ARRAY_LEN(lengths); i++) {
		AUTO_BUF struct buf b = buf_init(MAX_BYTES);
		AUTO_BUF struct buf want = buf_init(MAX_BYTES);
		size_t outer = wire_begin(&b, 3), inner = wire_begin(&b, 1000);
		buf_put(&b, text, lengths[i]);
		wire_end(&b, inner);
		wire_end(&b, outer);

		AUTO_BUF struct buf sub = buf_init(MAX_BYTES);
		wire_put_len(&sub, 1000, str_n(text, lengths[i]));
		wire_put_len(&want, 3, buf_str(&sub));
		assert_false(b.failed);
		assert_bytes_equal(buf_str(&b), buf_str(&want));
	}
}

static void a_sub_message_that_does_not_fit_fails_the_buffer(void **state)
{
	(void)state;
	char space[131];
	struct buf b =
		buf_fixed(space, 130); /* one byte short of tag, two bytes of length, and 128 */
	size_t mark = wire_begin(&b, 1);

	memset(buf_reserve(&b, 128), 0, 128);
	b.len += 128;
	wire_end(&b, mark);
	assert_true(b.failed);
	b = buf_fixed(space, 131);
	mark = wire_begin(&b, 1);
	memset(buf_reserve(&b, 128), 0, 128);
	b.len += 128;
	wire_end(&b, mark);
	assert_false(b.failed);
	assert_int_equal(b.len, 131);
}

static void every_type_of_field_is_read(void **state)
{
	(void)state;
	struct wire_reader r =
		wire_reader_of(STR("\x08\x96\x01"                         /* 1: 150 */
				   "\x12\x02hi"                           /* 2: "hi" */
				   "\x1d\x01\x02\x03\x04"                 /* 3: fixed32 */
				   "\x21\x01\x02\x03\x04\x05\x06\x07\x08" /* 4: fixed64 */
				   "\x2b\x08\x01\x33\x34\x2c" /* 5: group with a group in it */
				   "\xc2\xc8\xcd\x01\x01x" /* 421000: "x" */));
	struct wire_field f;

	assert_true(wire_next(&r, &f));
	assert_int_equal(f.number, 1);
	assert_int_equal(f.type, WIRE_VARINT);
	assert_int_equal(f.value, 150);
	assert_int_equal(f.raw.len, 3);
	assert_true(wire_next(&r, &f));
	assert_bytes_equal(f.bytes, STR("hi"));
	assert_int_equal(f.value, 0);
	assert_int_equal(f.raw.len, 4);
	assert_true(wire_next(&r, &f));
	assert_int_equal(f.type, WIRE_I32);
	assert_int_equal(f.value, 0x04030201);
	assert_true(wire_next(&r, &f));
	assert_int_equal(f.value, 0x0807060504030201);
	assert_true(wire_next(&r, &f));
	assert_int_equal(f.type, WIRE_GROUP);
	assert_int_equal(f.number, 5);
	assert_bytes_equal(f.bytes, STR("\x08\x01\x33\x34"));
	assert_int_equal(f.raw.len, 6);
	assert_true(wire_next(&r, &f));
	assert_int_equal(f.number, 421000);
	assert_bytes_equal(f.bytes, STR("x"));
	assert_false(wire_next(&r, &f));
	assert_false(r.bad);
	assert_false(wire_next(&r, &f));
}

static void a_fault_stays(void **state)
{
	(void)state;
	struct wire_reader r = wire_reader_of(STR("\x08\x01\x07\x00\x08\x01"));
	struct wire_field f;

	assert_true(wire_next(&r, &f));
	assert_false(wire_next(&r, &f)); /* wire type 7 */
	assert_true(r.bad);
	assert_false(wire_next(&r, &f));
	assert_true(r.bad);
}

static void groups_nest_to_a_limit(void **state)
{
	(void)state;
	for (size_t depth = 60; depth < 70; depth++) {
		char bytes[200];
		memset(bytes, 0x0b, depth);
		memset(bytes + depth, 0x0c, depth);
		struct wire_reader r = wire_reader_of(str_n(bytes, 2 * depth));
		struct wire_field f;
		assert_int_equal(wire_next(&r, &f), depth <= 64);
		assert_int_equal(r.bad, depth > 64);
	}
}

static void find_yields_the_first_occurrence(void **state)
{
	(void)state;
	struct str s = STR("unset");

	assert_true(wire_find(STR("\x10\x01\x12\x01"
				  "a\x12\x01"
				  "b"),
			      2, &s)); /* the varint 2 is another thing */
	assert_bytes_equal(s, STR("a"));
	assert_false(wire_find(STR("\x12\x01"
				   "a"),
			       3, &s));
	assert_false(wire_find(STR(""), 3, &s));
	assert_bytes_equal(s, STR("a"));
}

/* What is written with random tags, numbers and lengths is read again, and cut anywhere it is
 * refused. */
static void what_is_written_is_read(void **state)
{
	(void)state;
	struct random r = random_of(__func__, 0x3177);

	for (int round = 0; round < 5000; round++) {
		char space[512], text[200] = { 0 };
		struct buf b = buf_fixed(space, sizeof space);
		uint32_t number = 1 + (uint32_t)random_number(&r, (1 << 29) - 2);
		bool is_text = random_bool(&r);
		uint64_t value = random_number(&r, UINT64_MAX) >> random_below(&r, 64);
		size_t len = random_below(&r, sizeof text);
		wire_put_tag(&b, number, is_text ? WIRE_LEN : WIRE_VARINT);
		wire_put_varint(&b, is_text ? len : value);
		if (is_text)
			buf_put(&b, text, len);
		assert_false(b.failed);

		struct wire_field f;
		for (size_t cut = 1; cut < b.len; cut++) {
			AUTO(own_free) char *part = malloc(cut);
			assert_non_null(part);
			memcpy(part, space, cut);
			struct wire_reader in = wire_reader_of(str_n(part, cut));
			assert_false(wire_next(&in, &f));
			assert_true(in.bad);
		}
		struct wire_reader in = wire_reader_of(buf_str(&b));
		assert_true(wire_next(&in, &f));
		assert_int_equal(f.number, number);
		assert_int_equal(f.type, is_text ? WIRE_LEN : WIRE_VARINT);
		assert_int_equal(f.value, is_text ? 0 : value);
		assert_int_equal(f.bytes.len, is_text ? len : 0);
		assert_int_equal(f.raw.len, b.len);
		assert_false(wire_next(&in, &f));
		assert_false(in.bad);
	}
}

static void fields_are_sorted_and_lists_keep_their_order(void **state)
{
	(void)state;
	static const char *const texts[] = { "a", "bb", "" };
	AUTO_BUF struct buf b = buf_init(1000), sorted = buf_init(1000);

	buf_str_put(&b, STR("what was there"));
	buf_str_put(&sorted, STR("what was there"));
	size_t start = b.len;
	wire_put_u64(&b, 100000, 7);
	for (size_t i = 0; i < ARRAY_LEN(texts); i++)
		wire_put_len(&b, 13, str_of(texts[i]));
	wire_put_u64(&b, 2, 300);
	for (size_t i = 0; i < ARRAY_LEN(texts); i++)
		wire_put_len(&b, 5, str_of(texts[i]));

	wire_put_u64(&sorted, 2, 300);
	for (size_t i = 0; i < ARRAY_LEN(texts); i++)
		wire_put_len(&sorted, 5, str_of(texts[i]));
	for (size_t i = 0; i < ARRAY_LEN(texts); i++)
		wire_put_len(&sorted, 13, str_of(texts[i]));
	wire_put_u64(&sorted, 100000, 7);

	wire_sort(&b, start);
	assert_int_equal(b.len, sorted.len);
	assert_memory_equal(b.p, sorted.p, b.len);
	wire_sort(&b, start);
	assert_memory_equal(b.p, sorted.p, b.len);
	wire_sort(&b, b.len); /* an empty message */
	assert_memory_equal(b.p, sorted.p, b.len);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(numbers_are_written_as_the_guide_says),
		cmocka_unit_test(a_sub_message_gets_the_length_it_has),
		cmocka_unit_test(a_sub_message_that_does_not_fit_fails_the_buffer),
		cmocka_unit_test(every_type_of_field_is_read),
		cmocka_unit_test(a_fault_stays),
		cmocka_unit_test(groups_nest_to_a_limit),
		cmocka_unit_test(find_yields_the_first_occurrence),
		cmocka_unit_test(what_is_written_is_read),
		cmocka_unit_test(fields_are_sorted_and_lists_keep_their_order),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
