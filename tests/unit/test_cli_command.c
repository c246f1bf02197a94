/*
 * Finding subcommands (cobra's rules), the texts made from the tables, reading lines, comparing
 * versions.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/buf.h"
#include "cli/command.h"
#include "cli/connect.h"
#include "cli/file.h"
#include "cli/report.h"

/* "observe flows|--last 2": the path found, and what is left of the words. */
static void expect_found(const char *const *args, const char *found)
{
	const struct command *path[COMMAND_MAX_DEPTH];
	AUTO(own_free) const char **rest = NULL;
	AUTO_BUF struct buf text = buf_init(1000);
	size_t depth, rest_count, n = 0;
	struct err e;

	while (args[n])
		n++;
	assert_int_equal(command_find(args, n, path, &depth, &rest, &rest_count, &e), ERR_OK);
	for (size_t i = 0; i < depth; i++)
		buf_printf(&text, "%s%s", i ? " " : "", path[i]->name);
	buf_char(&text, '|');
	for (size_t i = 0; i < rest_count; i++)
		buf_printf(&text, "%s%s", i ? " " : "", rest[i]);
	assert_string_equal(buf_cstr(&text), found);
}
#define ARGS(...) ((const char *const[]){ __VA_ARGS__, NULL })

static void flags_may_stand_before_a_subcommand(void **state)
{
	(void)state;
	expect_found(ARGS(NULL), "tycho|");
	expect_found(ARGS("observe", "flows", "--last", "2"), "tycho observe flows|--last 2");
	expect_found(ARGS("observe", "--last", "2", "flows"), "tycho observe flows|--last 2");
	expect_found(ARGS("--server", "observe", "-D", "status"),
		     "tycho status|--server observe -D");
	expect_found(ARGS("observe", "-f", "agent-events"), "tycho observe agent-events|-f");
	expect_found(ARGS("observe", "--not", "flows"), "tycho observe flows|--not");
	expect_found(ARGS("list", "node"), "tycho list nodes|");
}

static void words_that_name_nothing_stay_words(void **state)
{
	(void)state;
	expect_found(ARGS("observe", "bogus", "flows"), "tycho observe|bogus flows");
	expect_found(ARGS("observe", "--pod", "flows"), "tycho observe|--pod flows");
	expect_found(ARGS("observe", "--", "flows"), "tycho observe|-- flows");
	expect_found(ARGS("list", "bogus"), "tycho list|bogus");
}

static void an_unknown_command_is_named_with_its_neighbours(void **state)
{
	(void)state;
	const struct command *path[COMMAND_MAX_DEPTH];
	const char **rest;
	size_t depth, count;
	struct err e;

	assert_int_equal(command_find(ARGS("statu", "x"), 2, path, &depth, &rest, &count, &e),
			 ERR_INVALID);
	assert_string_equal(
		e.msg, "unknown command \"statu\" for \"tycho\"\n\nDid you mean this?\n\tstatus\n");
	assert_int_equal(command_find(ARGS("zzzzzz"), 1, path, &depth, &rest, &count, &e),
			 ERR_INVALID);
	assert_string_equal(e.msg, "unknown command \"zzzzzz\" for \"tycho\"");
	assert_int_equal(
		command_find(ARGS("evidence", "exprot"), 2, path, &depth, &rest, &count, &e),
		ERR_INVALID);
	assert_string_equal(e.msg, "unknown command \"exprot\" for \"tycho evidence\"\n\n"
				   "Did you mean this?\n\texport\n");
}

/* Every command that shows, and every flag, is in the help of its command and in the manual. */
static void check_texts(const struct command *const *path, size_t depth, const char *manual)
{
	const struct command *command = path[depth - 1];
	AUTO_BUF struct buf help = buf_init(1 << 20);
	char word[80];

	help_put(&help, path, depth, 100);
	assert_false(help.failed);
	for (size_t s = 0; s < command->set_count; s++) {
		for (size_t i = 0; i < command->sets[s]->count; i++) {
			const struct flag_def *def = &command->sets[s]->flags[i];
			assert_non_null(def->help);
			snprintf(word, sizeof word, "--%s", def->name);
			assert_true(def->hidden || strstr(buf_cstr(&help), word));
			snprintf(word, sizeof word, "Fl \\-%s", def->name);
			assert_true(def->hidden || strstr(manual, word));
		}
	}
	for (size_t i = 0; i < command->child_count; i++) {
		const struct command *deeper[COMMAND_MAX_DEPTH];
		assert_true(depth < COMMAND_MAX_DEPTH);
		assert_true(command->children[i]->hidden ||
			    strstr(buf_cstr(&help), command->children[i]->name));
		for (size_t k = 0; k < depth; k++)
			deeper[k] = path[k];
		deeper[depth] = command->children[i];
		if (!command->children[i]->hidden)
			check_texts(deeper, depth + 1, manual);
	}
}

static void help_and_manual_hold_every_command_and_flag(void **state)
{
	(void)state;
	const struct command *const root[] = { &root_command };
	AUTO_BUF struct buf manual = buf_init(1 << 20);

	manual_put(&manual);
	assert_false(manual.failed);
	check_texts(root, 1, buf_cstr(&manual));
}

/* No two flags of one command may share a name or a letter. */
static void check_unique(const struct command *command)
{
	const struct flag_set *sets[COMMAND_MAX_SETS];
	size_t n = command_sets(command, sets);

	assert_true(n <= COMMAND_MAX_SETS);
	for (size_t s = 0; s < n; s++) {
		for (size_t i = 0; i < sets[s]->count; i++) {
			const struct flag_def *def = &sets[s]->flags[i];
			assert_ptr_equal(flag_find(sets, n, str_of(def->name)), def);
			if (def->short_)
				assert_ptr_equal(flag_find_short(sets, n, def->short_), def);
		}
	}
	for (size_t i = 0; i < command->child_count; i++)
		check_unique(command->children[i]);
}

static void names_and_letters_are_unique(void **state)
{
	(void)state;
	check_unique(&root_command);
}

/* A reader over a pipe that holds @text. */
static struct line_reader *reader_of(const char *text, size_t len, int *ret_fd)
{
	struct line_reader *r = NULL;
	struct err e;
	int fds[2];

	assert_int_equal(pipe(fds), 0);
	assert_int_equal(write(fds[1], text, len), len);
	assert_int_equal(close(fds[1]), 0);
	assert_int_equal(line_reader_new(fds[0], "pipe", &r, &e), ERR_OK);
	*ret_fd = fds[0];
	return r;
}

static void lines_end_with_lf_cr_lf_or_the_end(void **state)
{
	(void)state;
	static const char *const want[] = { "a", "", "b\rc", "d" };
	AUTO_FD int fd = -1;
	AUTO(line_reader_free) struct line_reader *r = reader_of("a\n\nb\rc\r\nd", 9, &fd);
	struct str line;
	struct err e;

	for (size_t i = 0; i < ARRAY_LEN(want); i++) {
		assert_int_equal(line_reader_next(r, &line, &e), ERR_OK);
		assert_true(str_is(line, want[i]));
	}
	assert_int_equal(line_reader_next(r, &line, &e), ERR_CLOSED);
}

static void a_line_may_have_65535_bytes_and_no_more(void **state)
{
	(void)state;
	static char text[LINE_MAX_BYTES + 3];
	struct str line;
	struct err e;

	memset(text, 'x', sizeof text);
	for (size_t extra = 0; extra < 2; extra++) {
		FILE *f = tmpfile(); /* a pipe holds less */
		assert_non_null(f);
		assert_int_equal(fwrite(text, 1, LINE_MAX_BYTES + extra, f),
				 LINE_MAX_BYTES + extra);
		assert_true(fputs("\nnext\n", f) >= 0);
		assert_int_equal(fseek(f, 0, SEEK_SET), 0);
		struct line_reader *r = NULL;
		assert_int_equal(line_reader_new(fileno(f), "file", &r, &e), ERR_OK);
		if (!extra) {
			assert_int_equal(line_reader_next(r, &line, &e), ERR_OK);
			assert_int_equal(line.len, LINE_MAX_BYTES);
			assert_true(line_reader_has_next(r));
		} else {
			assert_int_equal(line_reader_next(r, &line, &e), ERR_PARSE);
			assert_string_equal(e.msg, "bufio.Scanner: token too long");
		}
		line_reader_free(r);
		assert_int_equal(fclose(f), 0);
	}
}

static void versions_compare_by_major_and_minor(void **state)
{
	(void)state;
	assert_true(version_is_older("1.19.4", STR("1.20.0")));
	assert_true(version_is_older("1.19.4", STR("v2.0.0+g1a2b3c4")));
	assert_false(version_is_older("1.19.4", STR("1.19.9")));
	assert_false(version_is_older("1.19.4", STR("1.9.0")));
	assert_false(version_is_older("1.19.4", STR("")));
	assert_false(version_is_older("1.19.4", STR("unknown")));
}

static void numbers_are_grouped_and_texts_made_harmless(void **state)
{
	(void)state;
	AUTO_BUF struct buf b = buf_init(1000);

	buf_grouped(&b, 0);
	buf_char(&b, ' ');
	buf_grouped(&b, 999);
	buf_char(&b, ' ');
	buf_grouped(&b, 1000);
	buf_char(&b, ' ');
	buf_grouped(&b, UINT64_MAX);
	buf_char(&b, ' ');
	report_text(&b, "a\x1b[31m\r");
	assert_string_equal(buf_cstr(&b), "0 999 1,000 18,446,744,073,709,551,615 a^[[31m\\r");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(flags_may_stand_before_a_subcommand),
		cmocka_unit_test(words_that_name_nothing_stay_words),
		cmocka_unit_test(an_unknown_command_is_named_with_its_neighbours),
		cmocka_unit_test(help_and_manual_hold_every_command_and_flag),
		cmocka_unit_test(names_and_letters_are_unique),
		cmocka_unit_test(lines_end_with_lf_cr_lf_or_the_end),
		cmocka_unit_test(a_line_may_have_65535_bytes_and_no_more),
		cmocka_unit_test(versions_compare_by_major_and_minor),
		cmocka_unit_test(numbers_are_grouped_and_texts_made_harmless),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
