/* base/wrap: texts in lines that fit. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/wrap.h"

static void expect(const char *text, size_t indent, const char *lines)
{
	AUTO_BUF struct buf b = buf_init(1000);

	wrap_put(&b, text, indent, 20);
	assert_string_equal(buf_cstr(&b), lines);
}

static void lines_end_before_the_last_column_is_passed(void **state)
{
	(void)state;
	expect("", 0, "\n");
	expect("12345 7890 234567890", 0, "12345 7890 234567890\n");
	expect("12345 7890 2345678901", 0, "12345 7890\n2345678901\n");
	expect("1234567890123456789012345 7", 0, "1234567890123456789012345\n7\n");
	expect("12345 78901 345", 10, "12345\n          78901 345\n");
}

static void characters_count_and_not_their_bytes(void **state)
{
	(void)state;
	expect("ääääääääää öööööööö …", 0, "ääääääääää öööööööö\n…\n");
	expect("äääääääääää öööööööö", 0, "äääääääääää öööööööö\n");
}

static void newlines_stay(void **state)
{
	(void)state;
	expect("one\n\ntwo", 0, "one\n\ntwo\n");
	expect("one\ntwo", 2, "one\n  two\n");
}

static void a_head_that_is_too_wide_stands_alone(void **state)
{
	(void)state;
	AUTO_BUF struct buf b = buf_init(1000);
	size_t width = 0;

	width = wrap_head_width(width, STR("  --a"));
	width = wrap_head_width(width, STR("  --bc"));
	width = wrap_head_width(width, STR("  --an-option-of-more-than-34-columns"));
	assert_int_equal(width, 6);
	wrap_row_put(&b, STR("  --a"), width, "first", 40);
	wrap_row_put(&b, STR("  --too-wide"), width, "second", 40);
	assert_string_equal(buf_cstr(&b), "  --a    first\n"
					  "  --too-wide\n"
					  "         second\n");
}

static void what_is_no_terminal_has_a_hundred_columns(void **state)
{
	(void)state;
	int fds[2];

	assert_int_equal(pipe(fds), 0);
	assert_int_equal(wrap_columns(fds[1]), 100);
	assert_int_equal(close(fds[0]), 0);
	assert_int_equal(close(fds[1]), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lines_end_before_the_last_column_is_passed),
		cmocka_unit_test(characters_count_and_not_their_bytes),
		cmocka_unit_test(newlines_stay),
		cmocka_unit_test(a_head_that_is_too_wide_stands_alone),
		cmocka_unit_test(what_is_no_terminal_has_a_hundred_columns),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
