/* base/meant: which names are near enough to what was typed, and how that is said. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/meant.h"

static const char *const names[] = { "from-pod", "to-pod", "pod",   "port",     "verdict",
				     "follow",   "first",  "since", "tcp-flags" };

static void expect(const char *typed, const char *said)
{
	struct meant m = meant_of(str_of(typed));
	AUTO_BUF struct buf b = buf_init(1000);

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		meant_offer(&m, names[i]);
	meant_put(&b, &m, "--");
	assert_string_equal(buf_cstr(&b), said);
}

static void one_or_two_slips_are_seen_through(void **state)
{
	(void)state;
	expect("verdit", "; did you mean --verdict?");   /* left out */
	expect("verrdict", "; did you mean --verdict?"); /* put in */
	expect("vardict", "; did you mean --verdict?");  /* replaced */
	expect("vedrict", "; did you mean --verdict?");  /* swapped */
	expect("vedricts", "; did you mean --verdict?"); /* swapped, put in */
	expect("tcp_flags", "; did you mean --tcp-flags?");
}

static void a_beginning_is_enough_from_two_letters_on(void **state)
{
	(void)state;
	expect("verd", "; did you mean --verdict?");
	expect("po", "; did you mean --pod or --port?");
	expect("v", "");
}

static void only_the_nearest_are_told(void **state)
{
	(void)state;
	expect("form-pod", "; did you mean --from-pod?");
	expect("fo-pod", "; did you mean --to-pod?"); /* --from-pod is two away */
}

static void what_is_like_nothing_gets_no_advice(void **state)
{
	(void)state;
	expect("", "");
	expect("bogus", "");
	expect("vrdtc", ""); /* three of seven letters */
	expect("xod-po", "");
	expect("pxx", ""); /* a short name has one slip */
	expect("verdictverdictverdictverdictverdictverdictverdict", "");
}

static void at_most_three_are_told(void **state)
{
	(void)state;
	struct meant m = meant_of(STR("to"));
	AUTO_BUF struct buf b = buf_init(1000);

	meant_offer(&m, "to-a");
	meant_offer(&m, "to-b");
	meant_offer(&m, "to-c");
	meant_offer(&m, "to-d");
	meant_put(&b, &m, "");
	assert_string_equal(buf_cstr(&b), "; did you mean to-a, to-b or to-c?");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_or_two_slips_are_seen_through),
		cmocka_unit_test(a_beginning_is_enough_from_two_letters_on),
		cmocka_unit_test(only_the_nearest_are_told),
		cmocka_unit_test(what_is_like_nothing_gets_no_advice),
		cmocka_unit_test(at_most_three_are_told),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
