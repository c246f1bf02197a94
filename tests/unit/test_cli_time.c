/*
 * The texts of --since and --until. Epoch seconds were computed with date(1); which forms pass is
 * Go's time.Parse as the reference uses it (reference/hubble-cli.md 4.1).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "cli/observe_time.h"

static const struct timestamp now = { 1709632800, 500000000 }; /* 2024-03-05T10:00:00.5Z */

static void expect(const char *text, int64_t s, int32_t ns)
{
	struct timestamp t = { 0 };
	struct err e;

	assert_int_equal(observe_time_parse(str_of(text), now, &t, &e), ERR_OK);
	assert_true(t.s == s);
	assert_int_equal(t.ns, ns);
}

static void refuse(const char *text)
{
	struct timestamp t = { 7, 7 };
	struct err e;
	char sentence[200];

	assert_int_equal(observe_time_parse(str_of(text), now, &t, &e), ERR_PARSE);
	snprintf(sentence, sizeof sentence, "failed to convert %s to time", text);
	assert_string_equal(e.msg, sentence);
	assert_true(t.s == 7 && t.ns == 7);
}

static void durations_count_back_from_now(void **state)
{
	(void)state;
	expect("0", now.s, now.ns);
	expect("90s", now.s - 90, now.ns);
	expect("600ms", now.s - 1, 900000000);
	expect("-600ms", now.s + 1, 100000000);
	expect("-1h30m", now.s + 5400, now.ns);
	expect("1000000h", now.s - INT64_C(3600000000), now.ns);
	/* -d of the least duration is itself in Go: not so far in the future, but in the past */
	expect("-9223372036854775808ns", now.s - 9223372037, now.ns + 145224192);
}

static void dates_and_times_of_any_precision(void **state)
{
	(void)state;
	expect("2024-03-05", 1709596800, 0);
	expect("2024-03-05T10Z", 1709632800, 0);
	expect("2024-03-05T10:05Z", 1709633100, 0);
	expect("2024-03-05T12:05+02:00", 1709633100, 0);
	expect("2024-03-05T00:00:00-10:30", 1709634600, 0);
	expect("2024-03-05T10:00:00.123456789Z", 1709632800, 123456789);
	expect("2024-03-05T10:00:00.1234567899Z", 1709632800, 123456789);
	expect("2024-03-05T10:00:00,5Z", 1709632800, 500000000);
	expect("2024-03-05T9:00:00Z", 1709629200, 0);
	expect("2024-02-29", 1709164800, 0);
	expect("0001-01-01T00:00:00Z", TIMESTAMP_MIN_S, 0);
	expect("9999-12-31T23:59:59Z", TIMESTAMP_MAX_S, 0);
}

static void rfc_1123_with_a_zone_in_numbers(void **state)
{
	(void)state;
	expect("Tue, 05 Mar 2024 10:00:00 +0000", 1709632800, 0);
	expect("Tue, 05 Mar 2024 12:05:00 +0200", 1709633100, 0);
	expect("mon, 05 mar 2024 10:00:00 +0000", 1709632800, 0);
	expect("Tue,  05   Mar 2024 10:00:00  +0000", 1709632800, 0); /* time.Parse: skip */
	refuse("Tue,05 Mar 2024 10:00:00 +0000");
	refuse("Tue, 05 Mar 2024 10:00:00 UTC");
	refuse("Tue 05 Mar 2024 10:00:00 +0000");
	refuse("Tue, 30 Feb 2024 10:00:00 +0000");
}

static void what_is_no_time_is_refused(void **state)
{
	(void)state;
	static const char *const bad[] = {
		"",
		"now",
		"2024-03-05T10:00",
		"2024-3-5",
		"2024-13-01",
		"2024-02-30",
		"2023-02-29",
		"2024-03-05T24:00:00Z",
		"2024-03-05T10:60:00Z",
		"2024-03-05T10:00:60Z",
		"1709632800",
		"2024-03-05t10:00:00Z",
		"2024-03-05T10:00:00z",
		"10000-01-01",
		"2024-03-05Z",
		"2024-03-05 ",
		"2024-03-05T10:00:00.Z",
		"2024-03-05T10:00:00+0200",
		"Mar  5 10:00:00.000",
	};
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		refuse(bad[i]);
}

static void a_proto_timestamp_reaches_from_year_1_to_9999(void **state)
{
	(void)state;
	struct err e;

	assert_int_equal(observe_time_check((struct timestamp){ TIMESTAMP_MIN_S, 0 }, &e), ERR_OK);
	assert_int_equal(observe_time_check((struct timestamp){ TIMESTAMP_MAX_S, 0 }, &e), ERR_OK);
	expect("0000-01-01", INT64_C(-62167219200), 0);
	assert_int_not_equal(observe_time_check((struct timestamp){ INT64_C(-62167219200), 0 }, &e),
			     ERR_OK);
	assert_string_equal(e.msg, "proto: timestamp (seconds:-62167219200) before 0001-01-01");
	assert_int_not_equal(observe_time_check((struct timestamp){ TIMESTAMP_MAX_S + 1, 5 }, &e),
			     ERR_OK);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(durations_count_back_from_now),
		cmocka_unit_test(dates_and_times_of_any_precision),
		cmocka_unit_test(rfc_1123_with_a_zone_in_numbers),
		cmocka_unit_test(what_is_no_time_is_refused),
		cmocka_unit_test(a_proto_timestamp_reaches_from_year_1_to_9999),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
