/* ui-server/options: a command line is read whole or refused with a sentence that names the option.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "ui-server/options.h"

#define READ(o, e, ...)                                                                            \
	ui_options_read((int)ARRAY_LEN(((const char *[]){ "tycho-ui", __VA_ARGS__ })),             \
			(const char *const[]){ "tycho-ui", __VA_ARGS__, NULL }, (o), (e))

static void without_options_it_serves_this_machine_only(void **state)
{
	(void)state;
	struct ui_options o;
	struct err e;

	assert_int_equal(READ(&o, &e, "--log-level=warn"), ERR_OK);
	assert_string_equal(o.server, "localhost:4245");
	assert_string_equal(o.listen_host, "127.0.0.1");
	assert_int_equal(o.listen_port, 12000);
	assert_true(o.listen_is_loopback);
}

static void addresses_of_all_kinds_are_taken_apart(void **state)
{
	(void)state;
	struct ui_options o;
	struct err e;

	assert_int_equal(READ(&o, &e, "--listen", "[::1]:0"), ERR_OK);
	assert_string_equal(o.listen_host, "::1");
	assert_int_equal(o.listen_port, 0);
	assert_int_equal(READ(&o, &e, "--listen=0.0.0.0:8080", "--insecure-listen", "--no-auth"),
			 ERR_OK);
	assert_false(o.listen_is_loopback);
	assert_int_equal(READ(&o, &e, "--server", "tls://relay:443", "--tls-ca-cert-files", "ca",
			      "--tls-client-cert-file=c", "--tls-client-key-file=k"),
			 ERR_OK);
	assert_string_equal(o.tls_files.ca_files[0], "ca");
}

static void beyond_loopback_are_encryption_and_login_or_their_waivers(void **state)
{
	(void)state;
	struct ui_options o;
	struct err e;

	assert_int_equal(READ(&o, &e, "--listen=0.0.0.0:1", "--tls-server-cert-file=c",
			      "--tls-server-key-file=k", "--login-file=f"),
			 ERR_OK);
	assert_string_equal(o.server_cert_file, "c");
	assert_string_equal(o.server_key_file, "k");
	assert_string_equal(o.login_file, "f");
	assert_int_equal(READ(&o, &e, "--listen=0.0.0.0:1", "--tls-server-cert-file=c",
			      "--tls-server-key-file=k"),
			 ERR_INVALID);
	assert_non_null(strstr(e.msg, "--no-auth"));
	assert_int_equal(READ(&o, &e, "--listen=0.0.0.0:1", "--insecure-listen", "--login-file=f"),
			 ERR_OK);
	assert_int_equal(READ(&o, &e, "--login-file=f"), ERR_OK);
}

static void misuse_is_one_sentence_that_names_the_option(void **state)
{
	(void)state;
	static const struct {
		const char *argv[4];
		const char *named;
	} cases[] = {
		{ { "x", "--bogus" }, "--bogus" },
		{ { "x", "stray" }, "stray" },
		{ { "x", "--listen" }, "--listen" },
		{ { "x", "--tls=yes" }, "--tls" },
		{ { "x", "--listen", "12000" }, "--listen" },
		{ { "x", "--listen", "localhost" }, "--listen" },
		{ { "x", "--listen", "localhost:70000" }, "--listen" },
		{ { "x", "--listen", "0.0.0.0:12000" }, "--insecure-listen" },
		{ { "x", "--listen", "[::]:12000" }, "--insecure-listen" },
		{ { "x", "--listen", "[::]:12000", "--no-auth" }, "--tls-server-cert-file" },
		{ { "x", "--listen", "[::]:12000", "--login-file=f" }, "--insecure-listen" },
		{ { "x", "--listen", "[::]:12000", "--insecure-listen" }, "--login-file" },
		{ { "x", "--tls-server-cert-file=c" }, "--tls-server-key-file" },
		{ { "x", "--tls-server-key-file=k" }, "--tls-server-cert-file" },
		{ { "x", "--login-file=f", "--no-auth" }, "--no-auth" },
		{ { "x", "--history", "0" }, "--history" },
		{ { "x", "--history", "1000001" }, "--history" },
		{ { "x", "--log-level", "loud" }, "--log-level" },
		{ { "x", "--tls", "--tls-client-key-file=k" }, "--tls-client-cert-file" },
		{ { "x", "--tls-allow-insecure" }, "--tls" },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		int argc = 0;
		struct ui_options o;
		struct err e;
		while (argc < 4 && cases[i].argv[argc])
			argc++;
		assert_int_equal(ui_options_read(argc, cases[i].argv, &o, &e), ERR_INVALID);
		assert_non_null(strstr(e.msg, cases[i].named));
		assert_null(strchr(e.msg, '\n'));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(without_options_it_serves_this_machine_only),
		cmocka_unit_test(addresses_of_all_kinds_are_taken_apart),
		cmocka_unit_test(beyond_loopback_are_encryption_and_login_or_their_waivers),
		cmocka_unit_test(misuse_is_one_sentence_that_names_the_option),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
