/* base/terminal: no control character but those that lines are made of reaches a terminal, and all
 * of them reach whatever else. */
#include <errno.h>
#include <fcntl.h>
#include <pty.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <termios.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/terminal.h"

static void assert_shown(const char *text, const char *want)
{
	AUTO_BUF struct buf b = buf_init(1000);

	terminal_put(&b, str_of(text));
	assert_string_equal(buf_cstr(&b), want);
}

static void controls_are_shown_and_all_else_passes(void **state)
{
	(void)state;
	assert_shown("", "");
	assert_shown("a line\tof cells\nand a second\r\n", "a line\tof cells\nand a second\r\n");
	assert_shown("\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80 \xc2\xa0",
		     "\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80 \xc2\xa0");
	assert_shown("\a\b\v\f\x0e\x0f\x7f", "\\u0007\\u0008\\u000b\\u000c\\u000e\\u000f\\u007f");
	assert_shown("\xc2\x80\xc2\x9b"
		     "2J\xc2\x9f",
		     "\\u0080\\u009b2J\\u009f");
	assert_shown("over\rwritten\r", "over\\u000dwritten\\u000d");
	/* a byte of another character is none of ours: U+009B is 0xc2 0x9b only */
	assert_shown("\xc4\x9b \xe1\x82\x9b \xc2", "\xc4\x9b \xe1\x82\x9b \xc2");
}

static void marks_that_turn_the_order_of_text_are_shown(void **state)
{
	(void)state;
	assert_shown("\u202ecba\u202c \u2066x\u2069 \u061c\u200e\u200f\u2028\u2029",
		     "\\u202ecba\\u202c \\u2066x\\u2069 \\u061c\\u200e\\u200f\\u2028\\u2029");
	assert_shown("\u2027\u202f\u2065\u206a\u200d\u2010\u061b\u20ac",
		     "\u2027\u202f\u2065\u206a\u200d\u2010\u061b\u20ac");
	assert_shown("\xe2\x80", "\xe2\x80");
	assert_shown("\xd8", "\xd8");
}

static void colours_of_our_own_printers_pass_and_no_other_sequence(void **state)
{
	(void)state;
	assert_shown("\x1b[31mred\x1b[0m \x1b[36mcyan\x1b[0m",
		     "\x1b[31mred\x1b[0m \x1b[36mcyan\x1b[0m");
	assert_shown("\x1b[37m\x1b[30m\x1b[1m\x1b[2J\x1b]0;title",
		     "\\u001b[37m\\u001b[30m\\u001b[1m\\u001b[2J\\u001b]0;title");
	assert_shown("\x1b", "\\u001b");
	assert_shown("\x1b[3", "\\u001b[3");
	assert_shown("\x1b[31", "\\u001b[31");
}

static void nul_is_shown(void **state)
{
	(void)state;
	AUTO_BUF struct buf b = buf_init(100);
	terminal_put(&b, STR("a\0b"));
	assert_string_equal(buf_cstr(&b), "a\\u0000b");
}

/* What comes out at the other end, of a pipe or a terminal without settings of its own. */
static void assert_written(int from, int to, const char *text, const char *want)
{
	char got[100] = "";
	size_t n = 0;

	assert_int_equal(terminal_write(to, str_of(text), NULL), ERR_OK);
	while (n < strlen(want)) {
		ssize_t more = read(from, got + n, sizeof got - 1 - n);
		assert_true(more > 0);
		n += (size_t)more;
	}
	assert_string_equal(got, want);
}

static void only_a_terminal_is_spared(void **state)
{
	(void)state;
	int pipes[2], master, slave;
	struct termios raw;
	struct err e;

	assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
	assert_written(pipes[0], pipes[1], "a\xc2\x9b\a\x1b[2Jz\n", "a\xc2\x9b\a\x1b[2Jz\n");
	assert_int_equal(openpty(&master, &slave, NULL, NULL, NULL), 0);
	assert_int_equal(tcgetattr(slave, &raw), 0);
	cfmakeraw(&raw);
	assert_int_equal(tcsetattr(slave, TCSANOW, &raw), 0);
	assert_written(master, slave, "a\xc2\x9b\a\x1b[2Jz\n", "a\\u009b\\u0007\\u001b[2Jz\n");
	assert_int_equal(close(pipes[0]), 0);
	assert_int_equal(terminal_write(pipes[1], STR("x"), &e), ERR_CLOSED);
	(void)close(pipes[1]);
	(void)close(master);
	(void)close(slave);
}

int main(void)
{
	(void)signal(SIGPIPE, SIG_IGN);
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(controls_are_shown_and_all_else_passes),
		cmocka_unit_test(marks_that_turn_the_order_of_text_are_shown),
		cmocka_unit_test(colours_of_our_own_printers_pass_and_no_other_sequence),
		cmocka_unit_test(nul_is_shown),
		cmocka_unit_test(only_a_terminal_is_spared),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
