/*
 * The grammar of the command line. Expected sentences are those of spf13/pflag as Hubble's
 * CLI 1.19.4 prints them (reference/hubble-cli.md sections 2 and 4.2).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "cli/flags.h"
#include "quote_cases.h"

static const struct flag_def defs[] = {
	{ .name = "follow", .short_ = 'f', .type = FLAG_BOOL },
	{ .name = "quiet", .short_ = 'q', .type = FLAG_BOOL, .def = "true" },
	{ .name = "output", .short_ = 'o', .type = FLAG_STRING, .def = "compact" },
	{ .name = "last", .type = FLAG_UINT64, .def = "0" },
	{ .name = "port", .type = FLAG_UINT16 },
	{ .name = "timeout", .type = FLAG_DURATION, .def = "5s" },
	{ .name = "paths", .short_ = 'p', .type = FLAG_STRING_SLICE },
	{ .name = "json", .type = FLAG_STRING_ARRAY },
	{ .name = "shape", .type = FLAG_CHOICE, .def = "round", .values = "flat round odd" },
	{ .name = "side", .type = FLAG_CHOICE, .values = "left right" },
	{ .name = "pod", .short_ = 'n', .type = FLAG_FILTER },
	{ .name = "not", .type = FLAG_FILTER, .no_opt = "true" },
};
static const struct flag_set set = { "Test", defs, ARRAY_LEN(defs) };
static const struct flag_set *const sets[] = { &set };

/* Writes "name=text;" for each filter; refuses the text "bad". */
static enum err_code note_filter(void *ctx, const struct flag_def *def, const char *text,
				 struct err *e)
{
	char *seen = ctx;

	if (strcmp(text, "bad") == 0)
		return err_set(e, ERR_INVALID, "no such thing: %s", text);
	strcat(strcat(strcat(strcat(seen, def->name), "="), text), ";");
	return ERR_OK;
}

static char filters_seen[256];

static enum err_code parse(const char *const *args, struct flags **ret, struct err *e)
{
	const struct flags_config config = { sets, 1, note_filter, filters_seen };
	size_t n = 0;

	filters_seen[0] = '\0';
	while (args[n])
		n++;
	return flags_parse(&config, args, n, ret, e);
}
#define ARGS(...) ((const char *const[]){ __VA_ARGS__, NULL })

static void expect_error(const char *const *args, const char *sentence)
{
	struct flags *f = NULL;
	struct err e;

	assert_int_not_equal(parse(args, &f, &e), ERR_OK);
	assert_string_equal(e.msg, sentence);
	assert_null(f);
}

static void values_come_after_a_blank_an_equals_sign_or_at_once(void **state)
{
	(void)state;
	static const char *const forms[][3] = {
		{ "--output", "json", NULL }, { "--output=json", NULL }, { "-o", "json", NULL },
		{ "-ojson", NULL },           { "-o=json", NULL },
	};
	for (size_t i = 0; i < ARRAY_LEN(forms); i++) {
		AUTO(flags_free) struct flags *f = NULL;
		struct err e;
		assert_int_equal(parse(forms[i], &f, &e), ERR_OK);
		assert_string_equal(flags_text(f, "output"), "json");
		assert_int_equal(flags_word_count(f), 0);
	}
}

static void the_last_use_counts_and_defaults_fill_in(void **state)
{
	(void)state;
	AUTO(flags_free) struct flags *f = NULL;
	struct err e;

	assert_int_equal(parse(ARGS("-o", "a", "--output=b", "--quiet=false"), &f, &e), ERR_OK);
	assert_string_equal(flags_text(f, "output"), "b");
	assert_false(flags_bool(f, "quiet"));
	assert_false(flags_given(f, "timeout"));
	assert_string_equal(flags_text(f, "timeout"), "5s");
	assert_string_equal(flags_text(f, "json"), "");
}

static void a_bool_takes_no_word_but_an_attached_value(void **state)
{
	(void)state;
	AUTO(flags_free) struct flags *f = NULL;
	struct err e;

	assert_int_equal(parse(ARGS("--follow", "false", "-fq", "-f=0"), &f, &e), ERR_OK);
	assert_false(flags_bool(f, "follow"));
	assert_int_equal(flags_word_count(f), 1);
	assert_string_equal(flags_word(f, 0), "false");
	expect_error(ARGS("--follow=maybe"),
		     "invalid argument \"maybe\" for \"-f, --follow\" flag: "
		     "strconv.ParseBool: parsing \"maybe\": invalid syntax");
}

static void letters_share_a_dash_and_the_last_takes_the_rest(void **state)
{
	(void)state;
	AUTO(flags_free) struct flags *f = NULL;
	struct err e;

	assert_int_equal(parse(ARGS("-fqodict"), &f, &e), ERR_OK);
	assert_true(flags_bool(f, "follow"));
	assert_string_equal(flags_text(f, "output"), "dict");
}

static void two_dashes_end_the_flags(void **state)
{
	(void)state;
	AUTO(flags_free) struct flags *f = NULL;
	struct err e;

	assert_int_equal(parse(ARGS("a", "--", "--output", "-x"), &f, &e), ERR_OK);
	assert_int_equal(flags_word_count(f), 3);
	assert_string_equal(flags_word(f, 1), "--output");
	assert_null(flags_word(f, 3));
	assert_false(flags_given(f, "output"));
}

static void an_empty_word_and_a_lone_dash_are_words(void **state)
{
	(void)state;
	AUTO(flags_free) struct flags *f = NULL;
	struct err e;

	assert_int_equal(parse(ARGS("", "-", "-o", ""), &f, &e), ERR_OK);
	assert_int_equal(flags_word_count(f), 2);
	assert_true(flags_given(f, "output"));
	assert_string_equal(flags_text(f, "output"), "");
}

static void faults_name_the_flag(void **state)
{
	(void)state;
	expect_error(ARGS("--bogus"), "unknown flag: --bogus");
	expect_error(ARGS("--verd=1"), "unknown flag: --verd");
	expect_error(ARGS("--outpu", "x"), "unknown flag: --outpu; did you mean --output?");
	expect_error(ARGS("-fx"), "unknown shorthand flag: 'x' in -x");
	expect_error(ARGS("--output"), "flag needs an argument: --output");
	expect_error(ARGS("-fo"), "flag needs an argument: 'o' in -o");
	expect_error(ARGS("--=x"), "bad flag syntax: --=x");
	expect_error(ARGS("---x"), "bad flag syntax: ---x");
}

static void a_choice_is_one_of_its_values(void **state)
{
	(void)state;
	AUTO(flags_free) struct flags *f = NULL;
	struct err e;

	assert_int_equal(parse(ARGS("--shape", "odd", "x"), &f, &e), ERR_OK);
	assert_int_equal(flags_choice(f, "shape"), 2);
	assert_int_equal(flags_choice(f, "side"), 2); /* none of two */
	flags_free(f);
	f = NULL;
	assert_int_equal(parse(ARGS("x"), &f, &e), ERR_OK);
	assert_int_equal(flags_choice(f, "shape"), 1);
	expect_error(ARGS("--shape=o"),
		     "invalid argument \"o\" for \"--shape\" flag: expected flat, round or odd");
	expect_error(ARGS("--side="),
		     "invalid argument \"\" for \"--side\" flag: expected left or right");
}

static void numbers_are_checked_as_go_does(void **state)
{
	(void)state;
	AUTO(flags_free) struct flags *f = NULL;
	struct err e;

	expect_error(ARGS("--last", "x"), "invalid argument \"x\" for \"--last\" flag: "
					  "strconv.ParseUint: parsing \"x\": invalid syntax");
	expect_error(ARGS("--last=18446744073709551616"),
		     "invalid argument \"18446744073709551616\" for \"--last\" flag: "
		     "strconv.ParseUint: parsing "
		     "\"18446744073709551616\": value out of range");
	expect_error(ARGS("--port=65536"),
		     "invalid argument \"65536\" for \"--port\" flag: strconv.ParseUint: parsing "
		     "\"65536\": value out of range");
	expect_error(ARGS("--last", "-1"), "invalid argument \"-1\" for \"--last\" flag: "
					   "strconv.ParseUint: parsing \"-1\": invalid syntax");
	expect_error(
		ARGS("--timeout", "abc"),
		"invalid argument \"abc\" for \"--timeout\" flag: time: invalid duration \"abc\"");
	assert_int_equal(parse(ARGS("--last=18446744073709551615"), &f, &e), ERR_OK);
	assert_true(flags_u64(f, "last") == UINT64_MAX);
}

static void base_zero_knows_prefixes_and_underscores(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		uint64_t value;
	} good[] = { { "0", 0 },     { "010", 8 },      { "0x1F", 31 }, { "0o17", 15 },
		     { "0b101", 5 }, { "1_000", 1000 }, { "0x_f", 15 }, { "0_7", 7 } };
	static const char *const bad[] = { "",   "08",  "0x", "1__0", "_1",
					   "1_", "0xg", "+1", " 1",   "1 " };
	uint64_t v;

	for (size_t i = 0; i < ARRAY_LEN(good); i++) {
		assert_int_equal(flag_parse_uint(good[i].text, 0, 64, &v, NULL), ERR_OK);
		assert_true(v == good[i].value);
	}
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_int_equal(flag_parse_uint(bad[i], 0, 64, &v, NULL), ERR_INVALID);
	assert_int_equal(flag_parse_uint("0x1", 10, 64, &v, NULL), ERR_INVALID);
	assert_int_equal(flag_parse_uint("255", 10, 8, &v, NULL), ERR_OK);
	assert_int_equal(flag_parse_uint("256", 10, 8, &v, NULL), ERR_INVALID);
}

static void slices_are_split_like_csv_and_arrays_are_not(void **state)
{
	(void)state;
	AUTO(flags_free) struct flags *f = NULL;
	struct err e;

	assert_int_equal(
		parse(ARGS("-p", "a,\"b,c\",", "--paths=d", "--json={1,2}", "--json", ""), &f, &e),
		ERR_OK);
	assert_string_equal(flags_item(f, "paths", 0), "a");
	assert_string_equal(flags_item(f, "paths", 1), "b,c");
	assert_string_equal(flags_item(f, "paths", 2), "");
	assert_string_equal(flags_item(f, "paths", 3), "d");
	assert_null(flags_item(f, "paths", 4));
	assert_string_equal(flags_item(f, "json", 0), "{1,2}");
	assert_string_equal(flags_item(f, "json", 1), "");
	assert_null(flags_item(f, "json", 2));
	expect_error(ARGS("--paths", "a\"b"), "invalid argument \"a\\\"b\" for \"-p, --paths\" "
					      "flag: parse error on line 1, column 2: bare \" in "
					      "non-quoted-field");
}

static void filters_are_told_in_order_and_the_first_fault_ends(void **state)
{
	(void)state;
	AUTO(flags_free) struct flags *f = NULL;
	struct err e;

	assert_int_equal(parse(ARGS("-n", "x", "--not", "--pod=y", "-nz"), &f, &e), ERR_OK);
	assert_string_equal(filters_seen, "pod=x;not=true;pod=y;pod=z;");
	expect_error(ARGS("--pod", "bad", "--last", "y"),
		     "invalid argument \"bad\" for \"-n, --pod\" flag: no such thing: bad");
}

static void quoting_is_gos(void **state)
{
	(void)state;
	char out[100], tiny[6];

	assert_string_equal(flag_quote("a\"b\\c\n\t\x01\x7f", out, sizeof out),
			    "\"a\\\"b\\\\c\\n\\t\\x01\\x7f\"");
	assert_string_equal(flag_quote("ü😀", out, sizeof out), "\"ü😀\"");
	assert_string_equal(flag_quote("\xc3", out, sizeof out), "\"\\xc3\"");
	assert_string_equal(flag_quote("a\xc2\x9b\xe2\x80\x8b", out, sizeof out),
			    "\"a\\u009b\\u200b\"");
	assert_string_equal(flag_quote("much too long", tiny, sizeof tiny), "\"…\"");
}

static void what_is_too_long_to_be_quoted_is_cut_between_characters(void **state)
{
	(void)state;
	assert_quotes_are_cut_between_characters(flag_quote);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(values_come_after_a_blank_an_equals_sign_or_at_once),
		cmocka_unit_test(the_last_use_counts_and_defaults_fill_in),
		cmocka_unit_test(a_bool_takes_no_word_but_an_attached_value),
		cmocka_unit_test(letters_share_a_dash_and_the_last_takes_the_rest),
		cmocka_unit_test(two_dashes_end_the_flags),
		cmocka_unit_test(an_empty_word_and_a_lone_dash_are_words),
		cmocka_unit_test(faults_name_the_flag),
		cmocka_unit_test(a_choice_is_one_of_its_values),
		cmocka_unit_test(numbers_are_checked_as_go_does),
		cmocka_unit_test(base_zero_knows_prefixes_and_underscores),
		cmocka_unit_test(slices_are_split_like_csv_and_arrays_are_not),
		cmocka_unit_test(filters_are_told_in_order_and_the_first_fault_ends),
		cmocka_unit_test(quoting_is_gos),
		cmocka_unit_test(what_is_too_long_to_be_quoted_is_cut_between_characters),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
