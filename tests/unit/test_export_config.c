/* observer/export: the options and the file of exporters, and what is wrong with them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>

#include "flow/flow.pb-c.h"
#include "observer/export/config.h"

static struct export_specs *yaml(const char *text)
{
	struct export_specs *s;
	struct err e;

	if (export_specs_yaml(str_of(text), &s, &e) != ERR_OK)
		fail_msg("%s", e.msg);
	return s;
}

static void every_key_of_an_entry_is_read(void **state)
{
	(void)state;
	AUTO(export_specs_free)
	struct export_specs *s =
		yaml("flowLogs:\n"
		     "- name: drops\n"
		     "  filePath: /var/log/drops.log\n"
		     "  fieldMask: [time, source.pod_name]\n"
		     "  fieldAggregate: [verdict]\n"
		     "  aggregationInterval: 1m30s\n"
		     "  includeFilters: [{verdict: [DROPPED]}, {source_port: ['80']}]\n"
		     "  excludeFilters: [{reply: [yes]}]\n"
		     "  fileMaxSizeMb: 3\n"
		     "  fileMaxBackups: 7\n"
		     "  fileCompress: true\n"
		     "  end: 2026-12-31T23:00:00+01:00\n");
	assert_int_equal(s->count, 1);
	const struct export_spec *x = &s->specs[0];
	assert_string_equal(x->name, "drops");
	assert_string_equal(x->path, "/var/log/drops.log");
	assert_int_equal(x->mask_count, 2);
	assert_string_equal(x->mask[1], "source.pod_name");
	assert_int_equal(x->aggregate_count, 1);
	assert_string_equal(x->aggregate[0], "verdict");
	assert_int_equal(x->interval_ns, 90 * NS_PER_S);
	assert_int_equal(x->include_count, 2);
	assert_int_equal(x->include[0]->verdict[0], FLOW__VERDICT__DROPPED);
	assert_string_equal(x->include[1]->source_port[0], "80");
	assert_int_equal(x->exclude_count, 1);
	assert_int_equal(x->max_bytes, 3 << 20);
	assert_int_equal(x->max_backups, 7);
	assert_true(x->compress);
	assert_true(x->has_end);
	assert_int_equal(x->end.s, 1798754400);
}

static void what_an_entry_leaves_out_is_as_hubble_has_it(void **state)
{
	(void)state;
	AUTO(export_specs_free)
	struct export_specs *s =
		yaml("flowLogs:\n"
		     "- {name: a, filePath: stdout}\n"
		     "- {name: b, filePath: /b, fileMaxSizeMb: 0, fileMaxBackups: 0,"
		     " includeFilters: [], fieldMask: null}\n");
	assert_int_equal(s->count, 2);
	for (size_t i = 0; i < 2; i++) {
		const struct export_spec *x = &s->specs[i];
		assert_int_equal(x->max_bytes, 10 << 20);
		assert_int_equal(x->max_backups, 5);
		assert_false(x->compress);
		assert_false(x->has_end);
		assert_int_equal(x->mask_count + x->aggregate_count + x->include_count +
					 x->exclude_count,
				 0);
		assert_int_equal(x->interval_ns, 0);
	}
}

static void a_file_may_hold_no_entry(void **state)
{
	(void)state;
	static const char *const texts[] = { "", "---\n", "flowLogs:\n", "flowLogs: []\n", "{}" };

	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		AUTO(export_specs_free) struct export_specs *s = yaml(texts[i]);
		assert_int_equal(s->count, 0);
	}
}

static void entries_are_equal_where_they_mean_the_same(void **state)
{
	(void)state;
	AUTO(export_specs_free)
	struct export_specs *a = yaml("flowLogs: [{name: a, filePath: /a, fileMaxSizeMb: 10,"
				      " includeFilters: [{verdict: [DROPPED]}]}]");
	AUTO(export_specs_free)
	struct export_specs *b = yaml("flowLogs:\n- includeFilters:\n  - {verdict: [2]}\n"
				      "  filePath: \"/a\"\n  name: a # the same\n");
	assert_true(str_eq(a->specs[0].text, b->specs[0].text));
	static const char *const others[] = {
		"{name: b, filePath: /a, includeFilters: [{verdict: [DROPPED]}]}",
		"{name: a, filePath: /b, includeFilters: [{verdict: [DROPPED]}]}",
		"{name: a, filePath: /a, includeFilters: [{verdict: [AUDIT]}]}",
		"{name: a, filePath: /a, includeFilters: [{verdict: [DROPPED]}], excludeFilters: "
		"[{}]}",
		"{name: a, filePath: /a, includeFilters: [{verdict: [DROPPED]}], fileMaxSizeMb: 1}",
		"{name: a, filePath: /a, includeFilters: [{verdict: [DROPPED]}], fileMaxBackups: "
		"1}",
		"{name: a, filePath: /a, includeFilters: [{verdict: [DROPPED]}], fileCompress: on}",
		"{name: a, filePath: /a, includeFilters: [{verdict: [DROPPED]}], fieldMask: "
		"[time]}",
		"{name: a, filePath: /a, includeFilters: [{verdict: [DROPPED]}], fieldAggregate: "
		"[time]}",
		"{name: a, filePath: /a, includeFilters: [{verdict: [DROPPED]}], "
		"aggregationInterval: 1s}",
		"{name: a, filePath: /a, includeFilters: [{verdict: [DROPPED]}], end: "
		"\"2030-01-01T00:00:00Z\"}",
	};
	for (size_t i = 0; i < ARRAY_LEN(others); i++) {
		char text[256] = "flowLogs: [";
		strcat(strcat(text, others[i]), "]");
		AUTO(export_specs_free) struct export_specs *c = yaml(text);
		assert_false(str_eq(a->specs[0].text, c->specs[0].text));
	}
}

static void expect_fault(const char *text, const char *sentence)
{
	struct export_specs *s;
	struct err e;

	assert_int_equal(export_specs_yaml(str_of(text), &s, &e), ERR_PARSE);
	assert_string_equal(e.msg, sentence);
}

static void what_is_wrong_with_a_file_is_said_with_its_line(void **state)
{
	(void)state;
	expect_fault("flowLogs: [", "line 2: did not find expected node content");
	expect_fault("- a", "line 1: expected a mapping with 'flowLogs'");
	expect_fault("flowlog: []", "line 1: unknown key 'flowlog'");
	expect_fault("flowLogs: {}", "line 1: flowLogs are a list");
	expect_fault("flowLogs: [a]", "line 1: an entry of flowLogs is a mapping");
	expect_fault("flowLogs:\n- filePath: /a", "line 2: an entry without name");
	expect_fault("flowLogs:\n- name: a", "line 2: an entry without filePath");
	expect_fault("flowLogs:\n- name: ''\n  filePath: /a", "line 2: name: expected a text");
	expect_fault("flowLogs:\n- name: [a]\n  filePath: /a", "line 2: name: expected a text");
	expect_fault("flowLogs:\n- name: \"a\\0b\"\n  filePath: /a",
		     "line 2: name: expected a text");
	expect_fault("flowLogs:\n- {name: a, filePath: /a}\n- {name: a, filePath: /b}",
		     "line 3: two entries have the name 'a'");
	expect_fault("flowLogs:\n- {name: a, filePath: stdout}\n- {name: b, filePath: stdout}",
		     "line 3: two entries have the filePath 'stdout'");
	expect_fault("flowLogs:\n- {name: a, filePath: /a, <<: {}}",
		     "line 2: merge keys (<<) are not understood");
}

static void expect_entry_fault(const char *members, const char *sentence)
{
	char text[256] = "flowLogs:\n- name: a\n  filePath: /a\n  ";

	strcat(text, members);
	expect_fault(text, sentence);
}

static void what_is_wrong_with_an_entry_is_said(void **state)
{
	(void)state;
	expect_entry_fault("includeFilter: []", "line 4: unknown key 'includeFilter'");
	expect_entry_fault("includeFilters: {}",
			   "line 4: includeFilters: expected a list of filters");
	expect_entry_fault("includeFilters: [a]", "line 4: a filter is a mapping");
	expect_entry_fault("excludeFilters: [{verdicts: [DROPPED]}]",
			   "line 4: filter: proto: (line 1:2): unknown field \"verdicts\"");
	expect_entry_fault("fieldMask: time", "line 4: fieldMask: expected a list of fields");
	expect_entry_fault("fieldMask: [[time]]", "line 4: fieldMask: expected a text");
	expect_entry_fault("fileMaxSizeMb: -1",
			   "line 4: fileMaxSizeMb: expected a number from 0 to 1048576");
	expect_entry_fault("fileMaxSizeMb: '5'",
			   "line 4: fileMaxSizeMb: expected a number from 0 to 1048576");
	expect_entry_fault("fileMaxBackups: 10001",
			   "line 4: fileMaxBackups: expected a number from 0 to 10000");
	expect_entry_fault("fileCompress: 1", "line 4: fileCompress: expected true or false");
	expect_entry_fault(
		"aggregationInterval: 30",
		"line 4: aggregationInterval: expected a time from 100ms on, such as 30s, "
		"or 0");
	expect_entry_fault(
		"aggregationInterval: 1ms",
		"line 4: aggregationInterval: expected a time from 100ms on, such as 30s, "
		"or 0");
	expect_entry_fault("end: tomorrow",
			   "line 4: end: expected a time such as 2026-12-31T23:00:00Z");
}

static void more_entries_than_there_may_be_are_refused(void **state)
{
	(void)state;
	static char text[EXPORT_SPECS * 64 + 128] = "flowLogs:\n";
	size_t at = strlen(text);

	for (int i = 0; i < EXPORT_SPECS; i++)
		at += (size_t)snprintf(text + at, sizeof text - at,
				       "- {name: n%d, filePath: /%d}\n", i, i);
	AUTO(export_specs_free) struct export_specs *s = yaml(text);
	assert_int_equal(s->count, EXPORT_SPECS);
	(void)snprintf(text + at, sizeof text - at, "- {name: x, filePath: /x}\n");
	expect_fault(text, "line 2: more than 64 flowLogs");
}

static void options_are_one_exporter(void **state)
{
	(void)state;
	const struct export_options o = {
		.path = "/a",
		.allow = { "{\"verdict\":[\"DROPPED\"]} {\"source_port\":[\"1\"]}\n{}", " {} " },
		.allow_count = 2,
		.deny = { "{\"reply\":[true]}" },
		.deny_count = 1,
		.mask = "time, source.pod_name,,verdict",
		.aggregate = "verdict",
		.interval_ns = NS_PER_S,
		.max_size_mb = 2,
		.max_backups = 3,
		.compress = true,
	};
	AUTO(export_specs_free) struct export_specs *s = NULL;
	struct err e;

	if (export_specs_options(&o, &s, &e) != ERR_OK)
		fail_msg("%s", e.msg);
	const struct export_spec *x = &s->specs[0];
	assert_int_equal(s->count, 1);
	assert_string_equal(x->name, "");
	assert_string_equal(x->path, "/a");
	assert_int_equal(x->include_count, 4);
	assert_int_equal(x->exclude_count, 1);
	assert_int_equal(x->mask_count, 3);
	assert_string_equal(x->mask[2], "verdict");
	assert_int_equal(x->aggregate_count, 1);
	assert_int_equal(x->max_bytes, 2 << 20);
	assert_int_equal(x->max_backups, 3);
	assert_int_equal(x->interval_ns, NS_PER_S);
	assert_true(x->compress);
}

static void expect_refused(const struct export_options *o, const char *sentence)
{
	struct export_specs *s;
	struct err e;

	assert_int_not_equal(export_specs_options(o, &s, &e), ERR_OK);
	assert_string_equal(e.msg, sentence);
}

static void what_is_wrong_with_an_option_is_said_by_its_name(void **state)
{
	(void)state;
	expect_refused(&(struct export_options){ .path = "" },
		       "--export-file-path is empty: a file, or stdout, is needed");
	expect_refused(&(struct export_options){ .path = "/a", .allow = { "" }, .allow_count = 1 },
		       "--export-allowlist is empty: a flow filter is needed");
	expect_refused(&(struct export_options){ .path = "/a",
						 .deny = { "{\"verdicts\":[]}" },
						 .deny_count = 1 },
		       "--export-denylist '{\"verdicts\":[]}': proto: (line 1:2): unknown field "
		       "\"verdicts\"");
	expect_refused(&(struct export_options){ .path = "/a", .mask = " ," },
		       "--export-fieldmask is empty: fields of a flow are needed");
	expect_refused(&(struct export_options){ .path = "/a", .aggregate = "" },
		       "--export-fieldaggregate is empty: fields of a flow are needed");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_key_of_an_entry_is_read),
		cmocka_unit_test(what_an_entry_leaves_out_is_as_hubble_has_it),
		cmocka_unit_test(a_file_may_hold_no_entry),
		cmocka_unit_test(entries_are_equal_where_they_mean_the_same),
		cmocka_unit_test(what_is_wrong_with_a_file_is_said_with_its_line),
		cmocka_unit_test(what_is_wrong_with_an_entry_is_said),
		cmocka_unit_test(more_entries_than_there_may_be_are_refused),
		cmocka_unit_test(options_are_one_exporter),
		cmocka_unit_test(what_is_wrong_with_an_option_is_said_by_its_name),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
