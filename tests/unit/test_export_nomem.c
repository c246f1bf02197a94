/* observer/export when memory runs out: a sentence, or a line that is counted as lost; nothing
 * else. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <unistd.h>

#include "flow/dict.h"
#include "observer/export/backups.h"
#include "observer/export/config.h"
#include "observer/export/exporter.h"
#include "tests/unit/nomem.h"

#define ENTRY                                                                                      \
	"{name: one, filePath: /dev/null, fieldMask: [time, verdict], fileCompress: true, "        \
	"includeFilters: [{verdict: [FORWARDED]}], excludeFilters: [{source_pod: [a/b]}]%s}"

static const struct export_now now = { { NS_PER_S }, { NS_PER_S } };

static void each_failed_allocation_of_a_file_is_a_sentence(void **state)
{
	(void)state;
	bool failed = true;

	for (long n = 0; failed; n++) {
		AUTO(export_specs_free) struct export_specs *s = NULL;
		struct err e = { .msg = "" };
		nomem_after(n);
		enum err_code code = export_specs_yaml(
			STR("flowLogs: [{name: a, filePath: /a, fieldMask: [time], "
			    "includeFilters: [{verdict: [DROPPED], source_pod: [b]}]}]"),
			&s, &e);
		failed = nomem_end();
		if (code != (failed ? ERR_NOMEM : ERR_OK))
			fail_msg("allocation %ld: %d: %s", n, code, e.msg);
	}
}

static void each_failed_allocation_of_options_is_a_sentence(void **state)
{
	(void)state;
	const struct export_options o = { .path = "/a",
					  .allow = { "{\"verdict\":[\"DROPPED\"]}" },
					  .allow_count = 1,
					  .mask = "time,verdict" };
	bool failed = true;

	for (long n = 0; failed; n++) {
		AUTO(export_specs_free) struct export_specs *s = NULL;
		struct err e = { .msg = "" };
		nomem_after(n);
		enum err_code code = export_specs_options(&o, &s, &e);
		failed = nomem_end();
		assert_true(failed ? code == ERR_NOMEM && *e.msg : code == ERR_OK);
	}
}

/* @return true if an allocation failed on the way. */
static bool export_after(long n, const char *more, bool while_made)
{
	AUTO(flow_dict_free) struct flow_dict *dict = NULL;
	AUTO(export_backups_free) struct export_backups *backups = NULL;
	AUTO(export_specs_free) struct export_specs *s = NULL;
	static const uint8_t lost[] = { 0x10, 3 };
	const struct flow flows[] = {
		{ .kind = FLOW_KIND_FLOW, .bits = FLOW_HAS_TIME, .verdict = 1 },
		{ .kind = FLOW_KIND_FLOW, .bits = FLOW_HAS_TIME, .verdict = 1, .direction = 1 },
		{ .kind = FLOW_KIND_LOST, .ext = lost, .ext_len = sizeof lost },
	};
	struct exporter *x = NULL;
	char text[512];
	struct err e = { .msg = "" };

	(void)snprintf(text, sizeof text, "flowLogs: [" ENTRY "]", more);
	assert_int_equal(flow_dict_new(64, &dict, NULL), ERR_OK);
	assert_int_equal(export_backups_new(&backups, NULL), ERR_OK);
	assert_int_equal(export_specs_yaml(str_of(text), &s, NULL), ERR_OK);
	const struct exporter_env env = { dict, "n0", backups };
	if (while_made)
		nomem_after(n);
	enum err_code code = exporter_new(&s->specs[0], &env, now, &x, &e);
	bool failed = while_made && nomem_end();
	assert_true(failed ? code == ERR_NOMEM && *e.msg : code == ERR_OK);
	if (failed)
		return true;
	if (!while_made)
		nomem_after(n);
	exporter_put(x, flows, ARRAY_LEN(flows), now);
	exporter_pass(x, now);
	failed = !while_made && nomem_end();
	struct exporter_counts c = exporter_counts(x);
	if (!*more)
		assert_int_equal(c.lines + c.lost, 2); /* no filter on flows passes a lost event */
	exporter_free(x, now);
	return failed;
}

static void each_failed_allocation_of_an_exporter_is_a_sentence_or_a_lost_line(void **state)
{
	(void)state;
	static const char *const more[] = {
		"", ", fieldAggregate: [verdict], aggregationInterval: 1h"
	};

	for (size_t i = 0; i < ARRAY_LEN(more); i++)
		for (int while_made = 0; while_made < 2; while_made++) {
			long n = 0;
			while (export_after(n, more[i], while_made))
				n++;
			assert_true(n > 2 && n < 10000);
		}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_failed_allocation_of_a_file_is_a_sentence),
		cmocka_unit_test(each_failed_allocation_of_options_is_a_sentence),
		cmocka_unit_test(
			each_failed_allocation_of_an_exporter_is_a_sentence_or_a_lost_line),
	};

	/* what is made once, at first use, is there */
	AUTO(export_specs_free) struct export_specs *s = NULL;
	if (export_specs_yaml(STR("flowLogs: [{name: a, filePath: /a, includeFilters: [{}]}]"), &s,
			      NULL) != ERR_OK)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
