/* observer/options: a command line is read whole or refused with a sentence that names the
 * option. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "observer/options.h"

#define READ(o, e, ...)                                                                            \
	obs_options_read((int)ARRAY_LEN(((const char *[]){ "tycho-observer", __VA_ARGS__ })),      \
			 (const char *const[]){ "tycho-observer", __VA_ARGS__, NULL }, (o), (e))

static void both_spellings_of_a_value_are_read(void **state)
{
	(void)state;
	struct obs_options o;
	struct err e;
	assert_int_equal(READ(&o, &e, "--listen", "localhost:0", "--listen=unix:///x", "--interval",
			      "1s", "--noise", "--drops-everywhere", "--interface", "veth*",
			      "--nflog-group", "5", "--ring-capacity=127", "--stall-timeout=2s"),
			 ERR_OK);
	assert_int_equal(o.listen_count, 2);
	assert_string_equal(o.listen[1], "unix:///x");
	assert_true(o.bpf_config.interval_ns == 1000000000u);
	assert_true(o.bpf_config.noise);
	assert_int_equal(o.bpf_config.drop_scope, BPF_SCOPE_MACHINE);
	assert_string_equal(o.bpf_config.interfaces[0], "veth*");
	assert_int_equal(o.nflog.groups[0], 5);
	assert_int_equal(o.ring_capacity, 127);
	assert_true(o.stall_timeout_ns == 2000000000u);
	assert_true(o.bpf);
}

static void misuse_is_one_sentence_that_names_the_option(void **state)
{
	(void)state;
	static const struct {
		const char *argv[6];
		const char *named;
	} cases[] = {
		{ { "x", "--bogus" }, "--bogus" },
		{ { "x", "stray" }, "stray" },
		{ { "x", "--listen" }, "--listen" },
		{ { "x", "--noise=yes" }, "--noise" },
		{ { "x", "--interval", "soon" }, "--interval" },
		{ { "x", "--interval", "1ms" }, "--interval" },
		{ { "x", "--stall-timeout", "0s" }, "--stall-timeout" },
		{ { "x", "--nflog-group", "70000" }, "--nflog-group" },
		{ { "x", "--ring-capacity", "-1" }, "--ring-capacity" },
		{ { "x", "--replay-speed", "nan" }, "--replay-speed" },
		{ { "x", "--log-level", "loud" }, "--log-level" },
		{ { "x", "--node-label", "noequals" }, "--node-label" },
		{ { "x", "--tls-cert-file", "c" }, "--tls-key-file" },
		{ { "x", "--tls-client-ca-file", "c" }, "--tls-cert-file" },
		{ { "x", "--nflog-pattern", "a" }, "--nflog-group" },
		{ { "x", "--no-bpf" }, "--no-bpf" },
		{ { "x", "--replay", "-", "--replay-repeat", "2" }, "--replay-repeat" },
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const char *argv[7] = { 0 };
		int argc = 0;
		for (; argc < 6 && cases[i].argv[argc]; argc++)
			argv[argc] = cases[i].argv[argc];
		struct obs_options o;
		struct err e;
		assert_int_equal(obs_options_read(argc, argv, &o, &e), ERR_INVALID);
		assert_non_null(strstr(e.msg, cases[i].named));
		assert_null(strchr(e.msg, '\n'));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(both_spellings_of_a_value_are_read),
		cmocka_unit_test(misuse_is_one_sentence_that_names_the_option),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
