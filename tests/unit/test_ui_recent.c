/* ui-server/recent: the newest messages for readers at their own pace, refusals longer; what was
 * left out is told. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/buf.h"
#include "ui-server/recent.h"

static const struct ui_recent_most everything = { SIZE_MAX, SIZE_MAX };

static struct ui_recent *recent_of(size_t all, size_t refused)
{
	struct ui_recent *r;
	struct err e;

	assert_int_equal(ui_recent_new(all, refused, &r, &e), ERR_OK);
	return r;
}

static void put(struct ui_recent *r, const char *message)
{
	ui_recent_put(r, str_of(message), message[0] == '!');
}

/* What a reader at *cursor gets, as "a b c (left out)". */
static void assert_read(struct ui_recent *r, uint64_t *cursor, const char *expected)
{
	AUTO_BUF struct buf out = buf_init(1 << 20), text = buf_init(1 << 20);
	uint64_t left_out = 77;

	uint64_t newest = ui_recent_newest(r);
	size_t n = ui_recent_read(r, *cursor, newest, everything, &out, &left_out), seen = 0;
	*cursor = newest;
	struct str rest = buf_str(&out), message;
	while (ui_recent_next(&rest, &message)) {
		buf_str_put(&text, message);
		buf_char(&text, ' ');
		seen++;
	}
	buf_printf(&text, "(%llu)", (unsigned long long)left_out);
	assert_string_equal(buf_cstr(&text), expected);
	assert_int_equal(n, seen);
}

static void an_empty_one_has_nothing_to_say(void **state)
{
	(void)state;
	AUTO(ui_recent_free) struct ui_recent *r = recent_of(1, 1);
	uint64_t cursor = 0;

	assert_read(r, &cursor, "(0)");
	assert_true(cursor == 0);
}

static void each_reader_gets_what_came_since_its_last_time_in_order(void **state)
{
	(void)state;
	AUTO(ui_recent_free) struct ui_recent *r = recent_of(4, 2);
	uint64_t one = 0, other = 0;

	put(r, "a");
	put(r, "!b");
	put(r, "c");
	assert_read(r, &one, "a !b c (0)");
	assert_read(r, &one, "(0)");
	put(r, "d");
	assert_read(r, &one, "d (0)");
	assert_read(r, &other, "a !b c d (0)");
}

static void a_reader_that_was_overtaken_gets_the_newest_and_is_told_the_rest(void **state)
{
	(void)state;
	AUTO(ui_recent_free) struct ui_recent *r = recent_of(3, 1);
	uint64_t cursor = 0;
	char name[2] = "a";

	for (; name[0] <= 'g'; name[0]++)
		put(r, name);
	assert_read(r, &cursor, "e f g (4)");
	assert_read(r, &cursor, "(0)");
}

static void a_flood_of_traffic_does_not_wash_refusals_away(void **state)
{
	(void)state;
	AUTO(ui_recent_free) struct ui_recent *r = recent_of(2, 2);
	uint64_t cursor = 0;

	put(r, "!x");
	for (int i = 0; i < 1000; i++)
		put(r, "t");
	put(r, "!y");
	assert_read(r, &cursor, "!x t t !y (998)");
}

static void full_is_not_yet_overtaken_and_one_more_is(void **state)
{
	(void)state;
	AUTO(ui_recent_free) struct ui_recent *r = recent_of(2, 1);
	uint64_t at_full = 0, beyond = 0;

	put(r, "a");
	put(r, "b");
	assert_read(r, &at_full, "a b (0)");
	put(r, "c");
	assert_read(r, &beyond, "b c (1)");
	assert_read(r, &at_full, "c (0)");
}

static void a_message_too_long_is_left_out_and_said_so(void **state)
{
	(void)state;
	AUTO(ui_recent_free) struct ui_recent *r = recent_of(2, 1);
	AUTO_BUF struct buf longest = buf_init(1 << 20);
	uint64_t cursor = 0;

	put(r, "a");
	for (size_t i = 0; i <= UI_RECENT_MESSAGE_BYTES; i++)
		buf_char(&longest, 'x');
	ui_recent_put(r, buf_str(&longest), false);
	put(r, "b");
	assert_read(r, &cursor, "a b (1)");
}

static void a_buffer_that_is_full_loses_nothing(void **state)
{
	(void)state;
	AUTO(ui_recent_free) struct ui_recent *r = recent_of(2, 1);
	char small[6];
	struct buf out = buf_fixed(small, sizeof small);
	uint64_t cursor = 0, left_out;

	put(r, "abc");
	put(r, "def");
	assert_int_equal(ui_recent_read(r, 0, 2, everything, &out, &left_out), 0);
	assert_true(out.failed);
	assert_read(r, &cursor, "abc def (0)");
}

/* Readers of one moment get the same, whenever each of them comes. */
static void what_came_after_a_moment_is_not_told_for_it(void **state)
{
	(void)state;
	AUTO(ui_recent_free) struct ui_recent *r = recent_of(3, 2);
	char small[256];
	struct buf out = buf_fixed(small, sizeof small);
	struct str rest, message;
	uint64_t left_out;

	put(r, "a");
	put(r, "!b");
	put(r, "c");
	uint64_t moment = ui_recent_newest(r);
	put(r, "d");
	put(r, "!e");
	assert_int_equal(ui_recent_read(r, 1, moment, everything, &out, &left_out), 2);
	rest = buf_str(&out);
	assert_true(ui_recent_next(&rest, &message) && str_is(message, "!b"));
	assert_true(ui_recent_next(&rest, &message) && str_is(message, "c"));
	assert_int_equal(left_out, 0);
	for (int i = 0; i < 3; i++)
		put(r, "x"); /* a and c are overwritten */
	buf_reset(&out);
	assert_int_equal(ui_recent_read(r, 0, moment, everything, &out, &left_out), 1);
	assert_int_equal(left_out, 2);
	put(r, "!y");
	put(r, "!z"); /* and b */
	buf_reset(&out);
	assert_int_equal(ui_recent_read(r, 0, moment, everything, &out, &left_out), 0);
	assert_int_equal(left_out, 3);
}

static void who_wants_few_gets_the_newest_of_each_lane(void **state)
{
	(void)state;
	AUTO(ui_recent_free) struct ui_recent *r = recent_of(8, 8);
	const struct ui_recent_most few = { 2, 1 };
	char small[256];
	struct buf out = buf_fixed(small, sizeof small);
	uint64_t left_out;

	for (const char *p = "a\0!b\0c\0!d\0e\0f\0"; *p; p += strlen(p) + 1)
		put(r, p);
	assert_int_equal(ui_recent_read(r, 0, 6, few, &out, &left_out), 3);
	struct str rest = buf_str(&out), message;
	for (const char *p = "!d\0e\0f\0"; *p; p += strlen(p) + 1)
		assert_true(ui_recent_next(&rest, &message) && str_is(message, p));
	assert_int_equal(left_out, 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_empty_one_has_nothing_to_say),
		cmocka_unit_test(each_reader_gets_what_came_since_its_last_time_in_order),
		cmocka_unit_test(a_reader_that_was_overtaken_gets_the_newest_and_is_told_the_rest),
		cmocka_unit_test(a_flood_of_traffic_does_not_wash_refusals_away),
		cmocka_unit_test(full_is_not_yet_overtaken_and_one_more_is),
		cmocka_unit_test(a_message_too_long_is_left_out_and_said_so),
		cmocka_unit_test(a_buffer_that_is_full_loses_nothing),
		cmocka_unit_test(what_came_after_a_moment_is_not_told_for_it),
		cmocka_unit_test(who_wants_few_gets_the_newest_of_each_lane),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
