/* base/opt: rows of every kind take their values, limits included, or refuse them with a sentence.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/opt.h"
#include "base/time.h"

enum colour { RED, GREEN };

struct shared {
	const char *list[2];
	size_t list_count;
};
struct options {
	bool quiet, loud, exact;
	const char *text;
	uint16_t port;
	uint64_t period_ns, bytes;
	enum colour colour;
	struct shared shared;
	struct opt_common common;
};

static const char *const colours[] = { [RED] = "red", [GREEN] = "green", NULL };
static const struct opt_row rows[] = {
	{ "quiet", NULL, "say less", OPT_FLAG(struct options, quiet) },
	{ "soft", NULL, "be not loud", OPT_UNSET(struct options, loud) },
	{ "exact", "BOOL", "to the byte", OPT_BOOL(struct options, exact) },
	{ "text", "WORD", "a word", OPT_TEXT(struct options, text), .want = "a word" },
	{ "port", "N", "a port", OPT_NUMBER(struct options, port), .min = 1, .want = "a port" },
	{ "period", "TIME", "a time", OPT_DURATION(struct options, period_ns), .min = NS_PER_S,
	  .max = 90 * 86400 * NS_PER_S, .or_zero = true, .want = "a time" },
	{ "size", "SIZE", "a size", OPT_SIZE(struct options, bytes), .max = 4096,
	  .want = "a size" },
	{ "colour", "NAME", "red or green", OPT_WORD(struct options, colour, colours),
	  .want = "red or green" },
};
static const struct opt_row shared_rows[] = {
	{ "item", "X", "one of two", OPT_LIST(struct shared, list, list_count) },
};
static const struct opt_group groups[] = {
	{ "Own", rows, ARRAY_LEN(rows), 0 },
	{ "Shared", shared_rows, ARRAY_LEN(shared_rows), offsetof(struct options, shared) },
	OPT_COMMON_GROUP(struct options, common),
};
static const struct opt_program program = { "x", "0", "x tests.", groups, ARRAY_LEN(groups) };

#define READ(o, e, ...)                                                                            \
	opt_read(&program, (int)ARRAY_LEN(((const char *[]){ "x", __VA_ARGS__ })),                 \
		 (const char *const[]){ "x", __VA_ARGS__, NULL }, (o), (e))

static void every_kind_of_row_takes_its_value(void **state)
{
	(void)state;
	struct options o = { .loud = true, .common = OPT_COMMON_DEFAULT };
	struct err e;

	assert_int_equal(READ(&o, &e, "--quiet", "--soft", "--exact=true", "--text", "a=b",
			      "--port=65535", "--period", "90d", "--size=4K", "--colour", "green",
			      "--item=1", "--item", "2", "--log-level=error", "--ready-fd", "7"),
			 ERR_OK);
	assert_true(o.quiet && !o.loud && o.exact);
	assert_string_equal(o.text, "a=b");
	assert_int_equal(o.port, 65535);
	assert_true(o.period_ns == 90 * 86400 * NS_PER_S);
	assert_int_equal(o.bytes, 4096);
	assert_int_equal(o.colour, GREEN);
	assert_int_equal(o.shared.list_count, 2);
	assert_string_equal(o.shared.list[1], "2");
	assert_int_equal(o.common.log_level, LOG_ERROR);
	assert_int_equal(o.common.ready_fd, 7);
	assert_int_equal(READ(&o, &e, "--period=0", "--period=1s", "--size=0"), ERR_OK);
	assert_true(o.period_ns == NS_PER_S && o.bytes == 0);
}

static void what_is_not_let_in_is_refused_with_a_sentence(void **state)
{
	(void)state;
	static const struct {
		const char *words[3];
		const char *sentence;
	} cases[] = {
		{ { "--bogus" }, "unknown option --bogus; see --help" },
		{ { "--color=red" }, "unknown option --color; did you mean --colour?" },
		{ { "--itme" }, "unknown option --itme; did you mean --item?" },
		{ { "stray" }, "unexpected argument \"stray\"; see --help" },
		{ { "--" }, "unexpected argument \"--\"; see --help" },
		{ { "-q" }, "unexpected argument \"-q\"; see --help" },
		{ { "--quiet=yes" }, "--quiet takes no value" },
		{ { "--text" }, "--text needs a value: WORD" },
		{ { "--text=" }, "--text : expected a word" },
		{ { "--exact=maybe" }, "--exact maybe: expected true or false" },
		{ { "--port=0" }, "--port 0: expected a port" },
		{ { "--port=65536" }, "--port 65536: expected a port" },
		{ { "--port=-1" }, "--port -1: expected a port" },
		{ { "--period=999ms" }, "--period 999ms: expected a time" },
		{ { "--period=91d" }, "--period 91d: expected a time" },
		{ { "--period=d" }, "--period d: expected a time" },
		{ { "--period=-1s" }, "--period -1s: expected a time" },
		{ { "--size=5K" }, "--size 5K: expected a size" },
		{ { "--size=K" }, "--size K: expected a size" },
		{ { "--size=" }, "--size : expected a size" },
		{ { "--colour=blue" }, "--colour blue: expected red or green" },
		{ { "--item=1", "--item=2", "--item=3" }, "--item is given more than 2 times" },
		{ { "--ready-fd=x" }, "--ready-fd x: expected a file descriptor" },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const char *argv[4] = { "x" };
		struct options o = { .common = OPT_COMMON_DEFAULT };
		struct err e;
		int argc = 1;
		for (; argc < 4 && cases[i].words[argc - 1]; argc++)
			argv[argc] = cases[i].words[argc - 1];
		assert_int_equal(opt_read(&program, argc, argv, &o, &e), ERR_INVALID);
		assert_string_equal(e.msg, cases[i].sentence);
	}
}

static void of_two_that_go_together_one_alone_is_refused(void **state)
{
	(void)state;
	struct err e;

	assert_int_equal(opt_both("cert", NULL, "key", NULL, &e), ERR_OK);
	assert_int_equal(opt_both("cert", "c", "key", "k", &e), ERR_OK);
	assert_int_equal(opt_both("cert", "c", "key", NULL, &e), ERR_INVALID);
	assert_string_equal(e.msg, "--cert and --key are needed together");
}

static void an_option_without_what_it_needs_is_refused_by_name(void **state)
{
	(void)state;
	static const struct opt_need needs[] = {
		{ "quiet", true, "quiet" },
		{ "port", false, "--item" },
		{ "soft", false, "--exact" },
	};
	static const struct {
		const char *argv[4];
		const char *sentence; /* NULL: nothing is amiss */
	} cases[] = {
		{ { "x", "--quiet" }, NULL },
		{ { "x", "--port=1" }, "--port needs --item" },
		{ { "x", "--port", "1" }, "--port needs --item" },
		{ { "x", "--quiet", "--soft" }, "--soft needs --exact" },
		{ { "x", "--soft", "--port=1" }, "--port needs --item" },
		/* values that look like options are none */
		{ { "x", "--text", "--soft" }, NULL },
		{ { "x", "--text=", "--soft" }, "--soft needs --exact" },
		{ { "x", "--text", "--soft", "--soft" }, "--soft needs --exact" },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		int argc = 0;
		struct err e;
		while (argc < 4 && cases[i].argv[argc])
			argc++;
		enum err_code code =
			opt_check_needs(&program, argc, cases[i].argv, needs, ARRAY_LEN(needs), &e);
		assert_int_equal(code, cases[i].sentence ? ERR_INVALID : ERR_OK);
		if (cases[i].sentence)
			assert_string_equal(e.msg, cases[i].sentence);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_kind_of_row_takes_its_value),
		cmocka_unit_test(what_is_not_let_in_is_refused_with_a_sentence),
		cmocka_unit_test(of_two_that_go_together_one_alone_is_refused),
		cmocka_unit_test(an_option_without_what_it_needs_is_refused_by_name),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
