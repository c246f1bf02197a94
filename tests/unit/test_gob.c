/* observer/cilium: Go's gob, within bounds. Streams are those observed of Cilium
 * (reference/cilium-events.md 5.1), and hand-made after the documentation of encoding/gob. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/buf.h"
#include "monitor_stream.h"
#include "observer/cilium/gob.h"

static struct gob gob_bytes_of(const char *bytes, size_t len)
{
	return gob_of(str_n(bytes, len));
}
#define GOB(literal) gob_bytes_of("" literal, sizeof(literal) - 1)

static void integers_take_one_byte_or_say_how_many(void **state)
{
	(void)state;
	struct gob g = GOB("\x00\x7f\xff\x80\xfe\x01\x2c\xf8\xff\xff\xff\xff\xff\xff\xff\xff");

	assert_int_equal(gob_uint(&g), 0);
	assert_int_equal(gob_uint(&g), 127);
	assert_int_equal(gob_uint(&g), 128);
	assert_int_equal(gob_uint(&g), 300);
	assert_true(gob_uint(&g) == UINT64_MAX);
	assert_false(g.bad);
	assert_int_equal(gob_uint(&g), 0); /* beyond the end */
	assert_true(g.bad);
}

static void signed_integers_keep_the_sign_in_the_last_bit(void **state)
{
	(void)state;
	struct gob g = GOB("\x00\x01\x02\x12\x7f\xf8\xff\xff\xff\xff\xff\xff\xff\xff");

	assert_int_equal(gob_int(&g), 0);
	assert_int_equal(gob_int(&g), -1);
	assert_int_equal(gob_int(&g), 1);
	assert_int_equal(gob_int(&g), 9);
	assert_int_equal(gob_int(&g), -64);
	assert_true(gob_int(&g) == INT64_MIN);
}

static void a_fault_is_sticky(void **state)
{
	(void)state;
	struct gob g = GOB("\xf7\x01\x02\x03"); /* nine bytes are no integer */

	assert_int_equal(gob_uint(&g), 0);
	assert_true(g.bad);
	assert_int_equal(gob_bytes(&g).len, 0);
	g = GOB("\x05"
		"abc"); /* longer than there is */
	assert_int_equal(gob_bytes(&g).len, 0);
	assert_true(g.bad);
	assert_ptr_equal(g.p, g.end);
	g = gob_bytes_of("\xfe\x01\x02", 2); /* two bytes of which one is there */
	assert_int_equal(gob_uint(&g), 0);
	assert_true(g.bad);
}

static void frames_are_short_until_they_are_whole(void **state)
{
	(void)state;
	size_t head, body;
	const struct str s = str_n(monitor_sample_cpu0, sizeof monitor_sample_cpu0);

	for (size_t n = 0; n < s.len; n++)
		assert_int_equal(gob_frame(str_upto(s, n), &head, &body), GOB_FRAME_SHORT);
	assert_int_equal(gob_frame(s, &head, &body), GOB_FRAME_WHOLE);
	assert_int_equal(head, 1);
	assert_int_equal(body, 12);
	assert_int_equal(gob_frame(STR("\x00"), &head, &body), GOB_FRAME_BAD);
	assert_int_equal(gob_frame(STR("\xf7"), &head, &body), GOB_FRAME_BAD);
	/* one byte more than the limit */
	assert_int_equal(gob_frame(STR("\xfd\x40\x00\x01"), &head, &body), GOB_FRAME_BAD);
	assert_int_equal(gob_frame(STR("\xfd\x40\x00\x00"), &head, &body), GOB_FRAME_SHORT);
	assert_int_equal(head, 4);
	assert_int_equal(body, GOB_MESSAGE_MAX);
}

struct pair {
	int64_t a;
	struct str s;
};
static const struct gob_want pair_wants[] = {
	{ "A", GOB_WANT_NUMBER, offsetof(struct pair, a), NULL },
	{ "S", GOB_WANT_TEXT, offsetof(struct pair, s), NULL },
	{ NULL, GOB_WANT_NUMBER, 0, NULL },
};

static void put_message(struct buf *b, struct str body)
{
	buf_char(b, (char)body.len);
	buf_str_put(b, body);
}

/* type T struct { A int; X []string; S string }, id 65, []string, id 66, and type U struct { B int
 * }, id 68, whose field is kept behind those of T. */
static void put_types(struct buf *b)
{
	put_message(b, STR("\xff\x81\x03\x01\x01\x01T\x01\xff\x82\x00\x01\x03\x01\x01"
			   "A\x01\x04\x00\x01\x01X\x01\xff\x84\x00\x01\x01S\x01\x0c\x00\x00\x00"));
	put_message(b, STR("\xff\x83\x02\x01\x02\xff\x84\x00\x01\x0c\x00\x00"));
	put_message(b, STR("\xff\x87\x03\x01\x01\x01U\x01\xff\x88\x00\x01\x01\x01\x01"
			   "B\x01\x04\x00\x00\x00"));
}

static bool read_pair(struct str value_body, struct pair *ret)
{
	static struct gob_types types;
	AUTO_BUF struct buf stream = buf_init(4096);
	struct gob value;
	int32_t id;

	put_types(&stream);
	put_message(&stream, value_body);
	*ret = (struct pair){ 0 };
	static char kept[4096]; /* what is read is borrowed */
	memcpy(kept, stream.p, stream.len);
	return gob_first_value(&types, str_n(kept, stream.len), &id, &value) &&
	       gob_read(&value, &types, id, pair_wants, ret);
}

static void fields_that_nobody_asked_for_are_stepped_over(void **state)
{
	(void)state;
	struct pair p;

	/* A 5, X ["a", "bc"], S "end" */
	assert_true(read_pair(STR("\xff\x82\x01\x0a\x01\x02\x01"
				  "a\x02"
				  "bc\x01\x03"
				  "end\x00"),
			      &p));
	assert_int_equal(p.a, 5);
	assert_true(str_is(p.s, "end"));
	/* zero values are left out: only S */
	assert_true(read_pair(STR("\xff\x82\x03\x03"
				  "end\x00"),
			      &p));
	assert_int_equal(p.a, 0);
	assert_true(str_is(p.s, "end"));
	/* nothing at all */
	assert_true(read_pair(STR("\xff\x82\x00"), &p));
}

static void values_that_contradict_themselves_are_refused(void **state)
{
	(void)state;
	struct pair p;

	/* a fourth field of three */
	assert_false(read_pair(STR("\xff\x82\x04\x01\x00"), &p));
	/* the third field, and then one more than there are */
	assert_false(read_pair(STR("\xff\x82\x03\x03"
				   "end\x01\x0a\x00"),
			       &p));
	/* the first field, and a step of all three from there */
	assert_false(read_pair(STR("\xff\x82\x01\x0a\x03\x0a\x00"), &p));
	/* a step so wide that it would be one back, to a field that was there */
	assert_false(read_pair(STR("\xff\x82\x02\x00\xf8\xff\xff\xff\xff\xff\xff\xff\xff\x0a"
				   "\x00"),
			       &p));
	/* more elements than bytes */
	assert_false(read_pair(STR("\xff\x82\x02\xfe\xff\xff\x00"), &p));
	/* no end */
	assert_false(read_pair(STR("\xff\x82\x01\x0a"), &p));
	/* of a type that was never defined */
	assert_false(read_pair(STR("\xff\x86\x01\x0a\x00"), &p));
	/* of a type that is no struct */
	assert_false(read_pair(STR("\xff\x84\x01\x01"
				   "a"),
			       &p));
}

static void every_cut_of_a_stream_is_no_value(void **state)
{
	(void)state;
	static struct gob_types types;
	AUTO_BUF struct buf stream = buf_init(4096);
	struct gob value;
	int32_t id;

	put_types(&stream);
	put_message(&stream, STR("\xff\x82\x01\x0a\x02\x03"
				 "end\x00"));
	for (size_t n = 0; n < stream.len; n++)
		assert_false(gob_first_value(&types, str_upto(buf_str(&stream), n), &id, &value));
	assert_true(gob_first_value(&types, buf_str(&stream), &id, &value));
}

static void a_type_that_holds_itself_does_not_recurse_for_ever(void **state)
{
	(void)state;
	static struct gob_types types;
	AUTO_BUF struct buf stream = buf_init(1 << 16);
	struct gob value;
	int32_t id;
	struct pair p = { 0 };

	/* type T struct { X T }: each level takes one byte */
	put_message(&stream, STR("\xff\x81\x03\x01\x01\x01T\x01\xff\x82\x00\x01\x01\x01\x01X\x01"
				 "\xff\x82\x00\x00\x00"));
	char body[100] = "\xff\x82";
	memset(body + 2, 1, sizeof body - 2);
	put_message(&stream, str_n(body, sizeof body));
	assert_true(gob_first_value(&types, buf_str(&stream), &id, &value));
	assert_false(gob_read(&value, &types, id, pair_wants, &p));
	assert_true(value.bad);
}

static void too_many_types_are_refused(void **state)
{
	(void)state;
	static struct gob_types types;
	struct gob value;
	int32_t id;
	size_t n = 0;

	gob_types_reset(&types);
	for (int32_t t = 64; t < 64 + GOB_TYPES_MAX + 1; t++) {
		char body[32];
		struct buf b = buf_fixed(body, sizeof body);
		monitor_put_uint(&b, (uint64_t)t * 2 - 1);              /* -t */
		buf_put(&b, "\x02\x01\x02\x04\x00\x01\x0c\x00\x00", 9); /* a slice of string */
		n += gob_take(&types, buf_str(&b), &id, &value) == GOB_DEFINED;
	}
	assert_int_equal(n, GOB_TYPES_MAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(integers_take_one_byte_or_say_how_many),
		cmocka_unit_test(signed_integers_keep_the_sign_in_the_last_bit),
		cmocka_unit_test(a_fault_is_sticky),
		cmocka_unit_test(frames_are_short_until_they_are_whole),
		cmocka_unit_test(fields_that_nobody_asked_for_are_stepped_over),
		cmocka_unit_test(values_that_contradict_themselves_are_refused),
		cmocka_unit_test(every_cut_of_a_stream_is_no_value),
		cmocka_unit_test(a_type_that_holds_itself_does_not_recurse_for_ever),
		cmocka_unit_test(too_many_types_are_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
