/* ui-server/guard: who may call us, and from which pages. Cases follow RFC 9110 §7.2 and RFC 6454
 * §6. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/own.h"
#include "ui-server/guard.h"

static const char *const given[] = { "tycho.example" };
static const struct ui_names names = { given, ARRAY_LEN(given) };

static void addresses_localhost_and_given_names_are_ours(void **state)
{
	(void)state;
	static const char *const ours[] = { "127.0.0.1:12000", "127.0.0.1",     "[::1]:12000",
					    "[::1]",           "localhost",     "LocalHost:80",
					    "10.1.2.3:12000",  "tycho.example", "TYCHO.example:1" };

	for (size_t i = 0; i < ARRAY_LEN(ours); i++)
		assert_true(ui_host_is_ours(str_of(ours[i]), &names));
}

static void names_that_anybody_could_point_here_are_not(void **state)
{
	(void)state;
	static const char *const others[] = {
		"evil.example:12000",
		"localhost.evil.example",
		"tycho.example.evil.example",
		"127.0.0.1.nip.io",
		"tycho.example.",
		"",
		"localhost:",
		"localhost:80:80",
		"localhost:99999",
		"user@localhost",
		"[::1",
		"[::1]x",
		"[localhost]",
		"[127.0.0.1]:80",
		":80",
		"127.0.0.1:12000 evil",
		"xtycho.example",
		"0x7f.1",
	};

	for (size_t i = 0; i < ARRAY_LEN(others); i++)
		assert_false(ui_host_is_ours(str_of(others[i]), &names));
}

static void a_page_is_ours_if_it_came_from_the_very_host_it_calls(void **state)
{
	(void)state;
	static const struct {
		const char *origin, *host;
		bool ours;
	} cases[] = {
		{ "http://127.0.0.1:12000", "127.0.0.1:12000", true },
		{ "http://localhost", "localhost", true },
		{ "http://LOCALHOST:12000", "localhost:12000", true },
		{ "http://localhost:12001", "localhost:12000", false }, /* another server here */
		{ "http://127.0.0.1:12000", "localhost:12000", false },
		{ "https://localhost:12000", "localhost:12000", false },
		{ "http://evil.example", "localhost:12000", false },
		{ "http://evil.example:12000", "evil.example:12000", false }, /* rebound */
		{ "null", "localhost:12000", false }, /* a sandboxed frame */
		{ "", "localhost:12000", false },
		{ "http://", "", false },
		{ "http://localhost:12000/", "localhost:12000", false },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		assert_int_equal(ui_origin_is_ours(str_of(cases[i].origin), str_of(cases[i].host),
						   &names, false),
				 cases[i].ours);
	assert_true(ui_origin_is_ours(STR("https://[::1]:1"), STR("[::1]:1"), &names, true));
	assert_false(ui_origin_is_ours(STR("http://[::1]:1"), STR("[::1]:1"), &names, true));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(addresses_localhost_and_given_names_are_ours),
		cmocka_unit_test(names_that_anybody_could_point_here_are_not),
		cmocka_unit_test(a_page_is_ours_if_it_came_from_the_very_host_it_calls),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
