/* doctor/finding: what people and programs are told of one thing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <jansson.h>

#include "doctor/finding.h"

static void tell(struct findings *f, struct buf *b, enum verdict verdict, const char *check,
		 const char *fix, const char *fmt, ...) FORMAT(6, 7);
static void tell(struct findings *f, struct buf *b, enum verdict verdict, const char *check,
		 const char *fix, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	findings_put(f, b, verdict, check, fix, fmt, ap);
	va_end(ap);
}

static void people_see_columns_and_below_them_what_to_do(void **state)
{
	struct findings f = { .check_columns = 7 };
	AUTO_BUF struct buf b = buf_init(4096);

	(void)state;
	tell(&f, &b, VERDICT_OK, "port", "", "%s is free", "[::1]:4245");
	tell(&f, &b, VERDICT_WARN, "clock", "set it", "it is %d s ahead", 3);
	tell(&f, &b, VERDICT_FAIL, "kernel", FIX("take %d.%d", 5, 8), "too old");
	assert_string_equal(buf_cstr(&b), "ok    port    [::1]:4245 is free\n"
					  "warn  clock   it is 3 s ahead\n"
					  "              to do: set it\n"
					  "fail  kernel  too old\n"
					  "              to do: take 5.8\n");
	assert_int_equal(f.failed, 1);
}

static void programs_get_an_object_a_line(void **state)
{
	struct findings f = { .json = true };
	AUTO_BUF struct buf b = buf_init(4096);
	json_t *first, *second;
	char *line2;

	(void)state;
	tell(&f, &b, VERDICT_OK, "tls", "", "a \"quoted\"\nname");
	tell(&f, &b, VERDICT_FAIL, "tls", "renew it", "over");
	line2 = strchr(buf_cstr(&b), '\n') + 1;
	assert_int_equal(line2[strlen(line2) - 1], '\n');
	first = json_loadb(buf_cstr(&b), (size_t)(line2 - buf_cstr(&b)), 0, NULL);
	second = json_loads(line2, 0, NULL);
	assert_int_equal(json_object_size(first), 3); /* no fix where there is nothing to do */
	assert_string_equal(json_string_value(json_object_get(first, "check")), "tls");
	assert_string_equal(json_string_value(json_object_get(first, "result")), "ok");
	assert_string_equal(json_string_value(json_object_get(first, "detail")),
			    "a \"quoted\"\nname");
	assert_string_equal(json_string_value(json_object_get(second, "result")), "fail");
	assert_string_equal(json_string_value(json_object_get(second, "fix")), "renew it");
	assert_int_equal(f.failed, 1);
	json_decref(first);
	json_decref(second);
}

static void text_from_elsewhere_cannot_steer_the_terminal(void **state)
{
	struct findings f = { .check_columns = 3 };
	AUTO_BUF struct buf b = buf_init(4096);

	(void)state;
	tell(&f, &b, VERDICT_FAIL, "tls", "ask \x1b]0;me\a", "\x1b[2J\r\nok\x7f caf\xc3\xa9");
	assert_string_equal(buf_cstr(&b), "fail  tls ^[[2J^M^Jok^? caf\xc3\xa9\n"
					  "          to do: ask ^[]0;me^G\n");
	/* C1 (ECMA-48 5.3) as what it stands for in seven bits; alone, its bytes are no text */
	buf_reset(&b);
	tell(&f, &b, VERDICT_OK, "tls", "",
	     "\xc2\x9b"
	     "2J\xc2\x9c\xc2\xa0|\x9b"
	     "2J");
	assert_string_equal(buf_cstr(&b), "ok    tls ^[[2J^[\\\xc2\xa0|\xef\xbf\xbd"
					  "2J\n");
}

static void what_is_too_long_is_cut(void **state)
{
	struct findings f = { .check_columns = 3 };
	AUTO_BUF struct buf b = buf_init(64 << 10);

	(void)state;
	tell(&f, &b, VERDICT_OK, "tls", "", "%0*d", 5000, 0);
	assert_int_equal(b.len, strlen("ok    tls \n") + FINDING_TEXT_BYTES - 1);
	assert_false(b.failed);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(people_see_columns_and_below_them_what_to_do),
		cmocka_unit_test(programs_get_an_object_a_line),
		cmocka_unit_test(text_from_elsewhere_cannot_steer_the_terminal),
		cmocka_unit_test(what_is_too_long_is_cut),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
