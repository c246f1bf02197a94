/*
 * Settings: who wins, and how the configuration file is read and written. Texts follow
 * reference/hubble-cli.md section 3; quoting of YAML scalars follows yaml.v3, whose output the
 * recorded cases hold.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/stat.h>
#include <cmocka.h>

#include "base/buf.h"
#include "cli/settings.h"
#include "cli/yaml_text.h"

struct fixture {
	char dir[64], path[128];
	struct flags *flags;
	struct settings *settings;
};

static void write_file(const char *path, const char *text)
{
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	assert_true(fputs(text, f) >= 0);
	assert_int_equal(fclose(f), 0);
}

static void setup(struct fixture *x, const char *file_text, const char *flag)
{
	static const struct flag_set *const sets[] = { &global_flags, &server_flags };
	const struct flags_config config = { .sets = sets, .set_count = ARRAY_LEN(sets) };
	char config_flag[160];
	struct err e;

	snprintf(x->dir, sizeof x->dir, "/tmp/tycho-settings-XXXXXX");
	assert_non_null(mkdtemp(x->dir));
	snprintf(x->path, sizeof x->path, "%s/config.yaml", x->dir);
	if (file_text)
		write_file(x->path, file_text);
	snprintf(config_flag, sizeof config_flag, "--config=%s", x->path);
	const char *const args[] = { config_flag, flag };
	assert_int_equal(flags_parse(&config, args, flag ? 2 : 1, &x->flags, &e), ERR_OK);
	assert_int_equal(settings_load(x->flags, &x->settings, &e), ERR_OK);
}

static void teardown(struct fixture *x)
{
	settings_free(x->settings);
	flags_free(x->flags);
	(void)unlink(x->path);
	assert_int_equal(rmdir(x->dir), 0);
}

static void clear_environment(void)
{
	static const char *const names[] = {
		"TYCHO_SERVER", "HUBBLE_SERVER", "TYCHO_TLS_CA_CERT_FILES",
		"TYCHO_TLS",    "HUBBLE_TLS",    "TYCHO_REQUEST_TIMEOUT"
	};

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		unsetenv(names[i]);
}

static void flag_then_environment_then_file_then_default(void **state)
{
	(void)state;
	struct fixture x;

	clear_environment();
	setup(&x, NULL, NULL);
	assert_string_equal(settings_text(x.settings, "server"), "localhost:4245");
	teardown(&x);
	setup(&x, "Server: file:1\n", NULL);
	assert_string_equal(settings_text(x.settings, "server"), "file:1");
	setenv("HUBBLE_SERVER", "hubble:2", 1);
	assert_string_equal(settings_text(x.settings, "server"), "hubble:2");
	setenv("TYCHO_SERVER", "tycho:3", 1);
	assert_string_equal(settings_text(x.settings, "server"), "tycho:3");
	setenv("TYCHO_SERVER", "", 1);
	assert_string_equal(settings_text(x.settings, "server"), "hubble:2");
	teardown(&x);
	setup(&x, "server: file:1\n", "--server=flag:4");
	assert_string_equal(settings_text(x.settings, "server"), "flag:4");
	settings_set_server(x.settings, "own:5");
	assert_string_equal(settings_text(x.settings, "server"), "own:5");
	teardown(&x);
	clear_environment();
}

static void values_have_types(void **state)
{
	(void)state;
	struct fixture x;

	clear_environment();
	setup(&x,
	      "tls: true\ntimeout: 1m30s\nrequest-timeout: 5\ndebug: perhaps\n"
	      "tls-ca-cert-files:\n- /a\n- /b\n",
	      NULL);
	assert_true(settings_bool(x.settings, "tls"));
	assert_false(settings_bool(x.settings, "debug"));
	assert_true(settings_duration_ns(x.settings, "timeout") == INT64_C(90000000000));
	assert_true(settings_duration_ns(x.settings, "request-timeout") == 5);
	assert_string_equal(settings_item(x.settings, "tls-ca-cert-files", 1), "/b");
	assert_null(settings_item(x.settings, "tls-ca-cert-files", 2));
	teardown(&x);
	setenv("TYCHO_TLS_CA_CERT_FILES", "/x /y,/z", 1);
	setup(&x, NULL, NULL);
	assert_string_equal(settings_item(x.settings, "tls-ca-cert-files", 0), "/x");
	assert_string_equal(settings_item(x.settings, "tls-ca-cert-files", 2), "/z");
	assert_null(settings_item(x.settings, "tls-ca-cert-files", 3));
	teardown(&x);
	clear_environment();
}

static void a_broken_file_is_as_none(void **state)
{
	(void)state;
	static const char *const broken[] = { "server: [unclosed", "- a\n- b\n", "just words",
					      "\x01" };
	struct fixture x;

	clear_environment();
	for (size_t i = 0; i < ARRAY_LEN(broken); i++) {
		setup(&x, broken[i], NULL);
		assert_string_equal(settings_text(x.settings, "server"), "localhost:4245");
		assert_non_null(settings_file_fault(x.settings));
		teardown(&x);
	}
	setup(&x, "server: a:1\n", NULL);
	assert_null(settings_file_fault(x.settings));
	teardown(&x);
}

static void expect_refused(const char *file_text, const char *sentence)
{
	struct fixture x;
	struct err e;

	setup(&x, file_text, NULL);
	assert_true(settings_check_values(x.settings, &e) != ERR_OK ||
		    settings_check(x.settings, &e) != ERR_OK);
	assert_string_equal(e.msg, sentence);
	teardown(&x);
}

static void contradictions_are_found_before_a_command_runs(void **state)
{
	(void)state;
	struct fixture x;
	struct err e;

	clear_environment();
	setup(&x, NULL, NULL);
	assert_int_equal(settings_check(x.settings, &e), ERR_OK);
	teardown(&x);
	setup(&x, "tls: F\nrequest-timeout: 5\ntimeout: ''\nserver: maybe\n", NULL);
	assert_int_equal(settings_check_values(x.settings, &e), ERR_OK);
	assert_int_equal(settings_check(x.settings, &e), ERR_OK);
	teardown(&x);
	setenv("HUBBLE_TLS", "yes", 1);
	expect_refused(NULL, "invalid value \"yes\" of 'tls' in the environment: expected true or "
			     "false");
	clear_environment();
	setenv("TYCHO_REQUEST_TIMEOUT", "soon", 1);
	expect_refused(NULL, "invalid value \"soon\" of 'request-timeout' in the environment: "
			     "expected a duration such as 5s");
	clear_environment();
	expect_refused(
		"basic-auth-username: u\n",
		"invalid flag(s): must specify both basic-auth-username and basic-auth-password");
	expect_refused("tls-client-key-file: k\n", "invalid flag(s): certificate and private key "
						   "are both required, but only one was provided");
	expect_refused("tls-client-key-file: k\ntls-client-cert-file: c\n",
		       "invalid flag(s): transport layer security required");
	expect_refused("tls: true\ntls-ca-cert-files: [/nonexistent/ca]\n",
		       "cannot load cert '/nonexistent/ca': open /nonexistent/ca: no such file or "
		       "directory");
}

static void one_setting_prints_by_its_type(void **state)
{
	(void)state;
	static const struct {
		const char *key, *text;
	} cases[] = { { "server", "localhost:4245\n" },
		      { "timeout", "5s\n" },
		      { "tls", "false\n" },
		      { "port-forward-port", "\"4245\"\n" },
		      { "tls-ca-cert-files", "[]\n" },
		      { "kubeconfig", "\"\"\n" } };
	struct fixture x;
	struct err e;

	clear_environment();
	setup(&x, "allowlist: ['{}']\n", NULL);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		AUTO_BUF struct buf b = buf_init(1000);
		assert_int_equal(settings_put_one(x.settings, cases[i].key, &b, &e), ERR_OK);
		assert_string_equal(buf_cstr(&b), cases[i].text);
	}
	AUTO_BUF struct buf b = buf_init(1000);
	assert_int_equal(settings_put_one(x.settings, "bogus", &b, &e), ERR_NOT_FOUND);
	assert_string_equal(e.msg, "unknown key: bogus");
	assert_int_equal(settings_put_one(x.settings, "allowlist", &b, &e), ERR_INVALID);
	teardown(&x);
}

static void a_file_that_is_rewritten_keeps_what_else_it_holds(void **state)
{
	(void)state;
	AUTO_CONFIG_FILE struct config_file f = { 0 }, again = { 0 };
	char dir[] = "/tmp/tycho-config-XXXXXX", path[100], inner[100];
	const char *server = "x:1";
	struct stat st;
	struct err e;

	assert_non_null(mkdtemp(dir));
	snprintf(inner, sizeof inner, "%s/new", dir);
	snprintf(path, sizeof path, "%s/new/c.yaml", dir);
	assert_int_equal(
		config_file_parse(STR("tls: true\nnote: \"4245\"\nlist: [a, 'b c']\n"), &f, &e),
		ERR_OK);
	assert_int_equal(config_file_set(&f, "server", &server, 1, false, true, &e), ERR_OK);
	assert_int_equal(config_file_save(&f, path, &e), ERR_OK);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600); /* it may hold a password */
	assert_int_equal(config_file_load(path, &again, &e), ERR_OK);
	assert_int_equal(again.count, 4);
	assert_string_equal(config_file_find(&again, "server")->items[0], "x:1");
	assert_string_equal(config_file_find(&again, "list")->items[1], "b c");
	assert_true(config_file_find(&again, "note")->quoted);
	assert_false(config_file_find(&again, "tls")->quoted);
	assert_int_equal(unlink(path) | rmdir(inner) | rmdir(dir), 0);
}

/* As the reference's reader does, which keeps values, not words. */
static void what_a_file_says_is_kept_in_one_form(void **state)
{
	(void)state;
	static const struct {
		const char *text, *kept;
	} cases[] = {
		{ "AzZ: a\n", "azz: a\n" },
		{ "n: 1_000\n", "\"n\": 1000\n" },
		{ "n: 0x10\n", "\"n\": 16\n" },
		{ "k: -0\n", "k: 0\n" },
		{ "k: -7\n", "k: -7\n" },
		{ "k: TRUE\n", "k: true\n" },
		{ "k: 'true'\n", "k: \"true\"\n" },
		{ "k: []\n", "k: []\n" },
		{ "k: [1, a]\n", "k:\n    - 1\n    - a\n" },
		{ "k: [a, '1']\n", "k:\n    - a\n    - \"1\"\n" },
		{ "k: ~\n", "" },
		{ "k: null\n", "" },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		AUTO_CONFIG_FILE struct config_file f = { 0 };
		AUTO_BUF struct buf b = buf_init(1000);
		assert_int_equal(config_file_parse(str_of(cases[i].text), &f, NULL), ERR_OK);
		for (size_t k = 0; k < f.count; k++)
			config_value_put(&b, &f.values[k]);
		assert_string_equal(buf_cstr(&b), cases[i].kept);
	}
}

static void strings_are_quoted_where_they_could_be_misread(void **state)
{
	(void)state;
	static const struct {
		const char *text, *yaml;
	} cases[] = {
		{ "", "\"\"" },
		{ "plain", "plain" },
		{ "/a/b.pem", "/a/b.pem" },
		{ "4245", "\"4245\"" },
		{ "true", "\"true\"" },
		{ "no", "\"no\"" },
		{ "~", "\"~\"" },
		{ "1.5e3", "\"1.5e3\"" },
		{ "0x1F", "\"0x1F\"" },
		{ "1:30", "\"1:30\"" },
		{ "2001-01-01", "\"2001-01-01\"" },
		{ "a: b", "'a: b'" },
		{ "a:b", "a:b" },
		{ "{}", "'{}'" },
		{ "it's", "it's" },
		{ "'x'", "'''x'''" },
		{ "# x", "'# x'" },
		{ "a #b", "'a #b'" },
		{ "-x", "-x" },
		{ "- x", "'- x'" },
		{ "ü", "ü" },
		{ "😀", "\"\\U0001F600\"" },
		{ "\x7f", "\"\\x7F\"" },
		{ "---", "'---'" },
		{ "a ", "'a '" },
		{ " a", "' a'" },
		{ "a  b", "a  b" },
		{ "a\tb", "\"a\\tb\"" },
		{ "it's ", "'it''s '" },
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		AUTO_BUF struct buf b = buf_init(1000);
		yaml_put_string(&b, str_of(cases[i].text));
		assert_string_equal(buf_cstr(&b), cases[i].yaml);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(flag_then_environment_then_file_then_default),
		cmocka_unit_test(values_have_types),
		cmocka_unit_test(a_broken_file_is_as_none),
		cmocka_unit_test(contradictions_are_found_before_a_command_runs),
		cmocka_unit_test(one_setting_prints_by_its_type),
		cmocka_unit_test(a_file_that_is_rewritten_keeps_what_else_it_holds),
		cmocka_unit_test(what_a_file_says_is_kept_in_one_form),
		cmocka_unit_test(strings_are_quoted_where_they_could_be_misread),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
