/* cli: JSON values one behind the other, cut apart. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "cli/json_piece.h"

/* Texts, what of them is the first value, and what follows it. */
static void test_a_value_ends_where_its_last_byte_is(void **state)
{
	static const char *const cases[][2] = {
		{ "{}", "" },
		{ "{}{}", "{}" },
		{ "{\"a\": {\"b\":[1, 2.5e-3 ,-0]} }\n{", "\n{" },
		{ "[[],{},[{}]] x", " x" },
		{ "\"\\u00e9\\\"}\\\\\"}", "}" },
		{ "12.50x", "x" },
		{ "01", "1" },
		{ "nullify", "ify" },
		{ "true false", " false" },
		{ "-1]", "]" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		size_t used = 0;
		struct err e = { 0 };
		if (json_piece(str_of(cases[i][0]), &used, &e) != ERR_OK)
			fail_msg("%s: %s", cases[i][0], e.msg);
		assert_string_equal(cases[i][0] + used, cases[i][1]);
	}
}

/* The sentences are those of Go 1.19's encoding/json for these texts. */
static void test_what_is_no_json_is_refused_in_the_words_of_go(void **state)
{
	static const char *const cases[][2] = {
		{ "x", "invalid character 'x' looking for beginning of value" },
		{ "]", "invalid character ']' looking for beginning of value" },
		{ "{\"a\":}", "invalid character '}' looking for beginning of value" },
		{ "[1,]", "invalid character ']' looking for beginning of value" },
		{ "{]", "invalid character ']' looking for beginning of object key string" },
		{ "{\"a\":1,}",
		  "invalid character '}' looking for beginning of object key string" },
		{ "{'a':1}", "invalid character '\\'' looking for beginning of object key string" },
		{ "{\"a\" 1}", "invalid character '1' after object key" },
		{ "{\"a\"\"b\"}", "invalid character '\"' after object key" },
		{ "{\"a\":1]", "invalid character ']' after object key:value pair" },
		{ "[1 2]", "invalid character '2' after array element" },
		{ "[01]", "invalid character '1' after array element" },
		{ "\"a\tb\"", "invalid character '\\t' in string literal" },
		{ "\"\\q\"", "invalid character 'q' in string escape code" },
		{ "\"\\u12g4\"", "invalid character 'g' in \\u hexadecimal character escape" },
		{ "-x", "invalid character 'x' in numeric literal" },
		{ "1.x", "invalid character 'x' after decimal point in numeric literal" },
		{ "1e+x", "invalid character 'x' in exponent of numeric literal" },
		{ "trua", "invalid character 'a' in literal true (expecting 'e')" },
		{ "nil", "invalid character 'i' in literal null (expecting 'u')" },
		{ "\xc3\xa9", "invalid character '\xc3\x83' looking for beginning of value" },
		{ "\x7f", "invalid character '\\x7f' looking for beginning of value" },
		{ "{", "unexpected EOF" },
		{ "{\"a", "unexpected EOF" },
		{ "[1, ", "unexpected EOF" },
		{ "\"\\", "unexpected EOF" },
		{ "\"\\u00", "unexpected EOF" },
		{ "-", "unexpected EOF" },
		{ "1.", "unexpected EOF" },
		{ "fals", "unexpected EOF" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		size_t used;
		struct err e = { 0 };
		assert_int_equal(json_piece(str_of(cases[i][0]), &used, &e), ERR_PARSE);
		assert_string_equal(e.msg, cases[i][1]);
	}
}

enum { DEEP = 10000 };

static void test_nesting_has_an_end(void **state)
{
	static char text[2 * (DEEP + 1)];
	struct err e = { 0 };
	size_t used = 0;

	(void)state;
	memset(text, '[', DEEP);
	memset(text + DEEP, ']', DEEP);
	assert_int_equal(json_piece(str_n(text, 2 * (size_t)DEEP), &used, &e), ERR_OK);
	assert_int_equal(used, 2 * DEEP);
	memset(text, '[', DEEP + 1);
	assert_int_equal(json_piece(str_n(text, 2 * (size_t)DEEP), &used, &e), ERR_PARSE);
	assert_string_equal(e.msg, "invalid character '[' exceeded max depth");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_value_ends_where_its_last_byte_is),
		cmocka_unit_test(test_what_is_no_json_is_refused_in_the_words_of_go),
		cmocka_unit_test(test_nesting_has_an_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
