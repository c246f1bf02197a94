/* observer/metrics: configurations, and what is wrong with them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>

#include "base/buf.h"
#include "observer/metrics/config.h"
#include "metrics_world.h"

static void expect_refused(const char *list, const char *sentence)
{
	AUTO_WORLD w;
	struct err e;
	open_world(&w, 1000, false);
	assert_int_not_equal(flow_metrics_list(w.fm, str_of(list), &e), ERR_OK);
	assert_string_equal(e.msg, sentence);
}

static void what_is_wrong_with_a_list_is_said(void **state)
{
	(void)state;
	expect_refused("flow:sourceContext=podd",
		       "unable to initialize metric 'flow': unknown context 'podd'");
	expect_refused("flow:sourceContext",
		       "unable to initialize metric 'flow': unknown context ''");
	expect_refused(
		"drop:labelsContext=source_port",
		"unable to initialize metric 'drop': invalid labelsContext value: source_port");
	expect_refused("http httpV2", "plugin http conflicts with plugin httpV2");
	expect_refused("flow flow", "metric 'flow' is given twice");
	expect_refused("FLOW", "none of these metrics exists");
}

static void an_unknown_metric_among_others_is_warned_of(void **state)
{
	(void)state;
	AUTO_WORLD w;
	open_world(&w, 1000, false);
	configure(&w, "sctp flow");
	assert_int_equal(w.warnings, 1);
}

static void an_option_that_no_metric_has_is_warned_of(void **state)
{
	(void)state;
	AUTO_WORLD w;
	open_world(&w, 1000, false);
	configure(&w, "flow:labelContext=source_namespace;sourcecontext=pod dns:query;ignoreAAAA "
		      "drop:quary");
	assert_int_equal(w.warnings, 2);
	struct flow f = packet(EVENT_DROP, FLOW__VERDICT__DROPPED);
	count(&w, &f);
	expect(&w, "hubble_drop_total{protocol=\"TCP\",reason=\"DROP_REASON_UNKNOWN\"} 1");
}

static void expect_yaml_fault(const char *text, const char *sentence)
{
	struct metrics_config *config = NULL;
	struct err e;

	if (metrics_config_yaml(str_of(text), &config, &e) == ERR_OK) {
		metrics_config_free(config);
		fail_msg("taken: %s", text);
	}
	assert_string_equal(e.msg, sentence);
}

static void what_is_wrong_with_a_file_is_said_with_its_line(void **state)
{
	(void)state;
	expect_yaml_fault("metrics:\n- name: drop\n- name: drop\n",
			  "line 3: duplicate metric specified: drop");
	expect_yaml_fault("metrics: 7\n", "line 1: metrics are a list");
	expect_yaml_fault("metrics:\n- contextOptions: []\n", "line 2: a metric without a name");
	expect_yaml_fault("metrics:\n- name: [drop]\n", "line 2: the name of a metric is a text");
	expect_yaml_fault("- a\n", "line 1: expected a mapping with 'metrics'");
	expect_yaml_fault("metrics:\n- name: flow\n  includeFilters:\n  - verdict: [7.5]\n",
			  "line 4: filter: proto: (line 1:13): invalid value for enum field "
			  "verdict: 7.5");
	expect_yaml_fault("x: &x {contextOptions: []}\nmetrics:\n- name: flow\n  <<: *x\n",
			  "line 4: merge keys (<<) are not understood");
	/* what a filter does not have must not make it a filter that everything passes */
	expect_yaml_fault("metrics:\n- name: flow\n  includeFilters:\n  - source_pods: [shop/]\n",
			  "line 4: filter: proto: (line 1:2): unknown field \"source_pods\"");
	expect_yaml_fault("metrics:\n- name: flow\n  excludeFilters:\n  - verdict: [DROP]\n",
			  "line 4: filter: proto: (line 1:13): invalid value for enum field "
			  "verdict: \"DROP\"");
	expect_yaml_fault("metrics:\n- name: flow\n  excludeFilters:\n  - reply: [oN]\n",
			  "line 4: filter: proto: (line 1:11): invalid value for bool field "
			  "reply: \"oN\"");
}

/* YAML 1.1, https://yaml.org/type/bool.html */
static void a_truth_is_written_in_any_of_yamls_ways(void **state)
{
	(void)state;
	static const char *const words[] = { "true", "True", "TRUE", "yes", "Yes", "YES",
					     "on",   "On",   "ON",   "y",   "Y" };
	static const char *const others[] = { "false", "False", "FALSE", "no", "No", "NO",
					      "off",   "Off",   "OFF",   "n",  "N" };
	for (size_t i = 0; i < ARRAY_LEN(words); i++) {
		char text[128];
		struct metrics_config *config = NULL;
		(void)snprintf(text, sizeof text,
			       "metrics: [{name: flow, includeFilters: [{reply: [%s, %s]}]}]",
			       words[i], others[i]);
		assert_int_equal(metrics_config_yaml(str_of(text), &config, NULL), ERR_OK);
		const Flow__FlowFilter *f = config->metrics[0].include[0];
		assert_int_equal(f->n_reply, 2);
		assert_true(f->reply[0]);
		assert_false(f->reply[1]);
		metrics_config_free(config);
	}
}

/* sigs.k8s.io/yaml, which reads the reference's file: where a text is wanted, numbers and truths
 * become one, and of a key that is there twice the last counts. */
static void what_is_no_text_is_made_one(void **state)
{
	(void)state;
	struct metrics_config *config = NULL;
	assert_int_equal(
		metrics_config_yaml(STR("metrics:\n- name: 7\n- name: flow\n  name: httpV2\n"
					"  contextOptions:\n  - name: exemplars\n"
					"    values: [yes, \"yes\", off, 80]\n"),
				    &config, NULL),
		ERR_OK);
	assert_int_equal(config->count, 2);
	assert_true(str_is(config->metrics[0].name, "7"));
	assert_true(str_is(config->metrics[1].name, "httpV2"));
	const struct metric_option *o = &config->metrics[1].options[0];
	static const char *const texts[] = { "true", "yes", "false", "80" };
	assert_int_equal(o->value_count, ARRAY_LEN(texts));
	for (size_t i = 0; i < ARRAY_LEN(texts); i++)
		assert_true(str_is(o->values[i], texts[i]));
	metrics_config_free(config);
}

static void a_file_of_aliases_does_not_explode(void **state)
{
	(void)state;
	AUTO_BUF struct buf text = buf_init(1 << 20);
	struct metrics_config *config = NULL;
	struct err e;
	buf_lit(&text, "a: &a [x,x,x,x,x,x,x,x,x,x]\n");
	for (char c = 'b'; c < 'j'; c++)
		buf_printf(&text, "%c: &%c [*%c,*%c,*%c,*%c,*%c,*%c,*%c,*%c,*%c,*%c]\n", c, c,
			   c - 1, c - 1, c - 1, c - 1, c - 1, c - 1, c - 1, c - 1, c - 1, c - 1);
	buf_lit(&text, "metrics:\n- name: flow\n  includeFilters:\n  - source_ip: *i\n");
	assert_int_equal(metrics_config_yaml(buf_str(&text), &config, &e), ERR_PARSE);
	assert_non_null(strstr(e.msg, "too much when its aliases are followed"));
}

static void a_bad_file_leaves_everything_as_it_was(void **state)
{
	(void)state;
	AUTO_WORLD w;
	open_world(&w, 1000, false);
	struct flow f = packet(EVENT_TRACE, FLOW__VERDICT__FORWARDED);
	assert_int_equal(flow_metrics_file(w.fm, STR("metrics: [{name: flow}]"), NULL), ERR_OK);
	count(&w, &f);
	assert_int_not_equal(flow_metrics_file(w.fm, STR("metrics: [{name: "), NULL), ERR_OK);
	count(&w, &f);
	expect(&w, "hubble_flows_processed_total{protocol=\"TCP\",subtype=\"to-endpoint\","
		   "type=\"Trace\",verdict=\"FORWARDED\"} 2");
}

static void a_filter_that_cannot_be_made_leaves_the_old_one(void **state)
{
	(void)state;
	AUTO_WORLD w;
	open_world(&w, 1000, false);
	struct flow f = packet(EVENT_DROP, FLOW__VERDICT__DROPPED);
	assert_int_equal(
		flow_metrics_file(
			w.fm, STR("metrics: [{name: drop, includeFilters: [{source_pod: [a/]}]}]"),
			NULL),
		ERR_OK);
	assert_int_equal(flow_metrics_file(
				 w.fm,
				 STR("metrics: [{name: drop, includeFilters: [{source_ip: [x]}]}]"),
				 NULL),
			 ERR_OK);
	assert_int_equal(w.warnings, 1);
	assert_non_null(strstr(w.warning, "metric 'drop' keeps its filters: invalid IP address"));
	count(&w, &f);
	expect_none(&w, "hubble_drop_total{");
}

static void labels_may_not_change_but_those_that_never_were_may_be_mended(void **state)
{
	static const struct str wrong = STR(
		"metrics: [{name: drop, contextOptions: [{name: sourceContext, values: [podd]}]}]");
	static const struct str right = STR(
		"metrics: [{name: drop, contextOptions: [{name: sourceContext, values: [pod]}]}]");
	static const struct str other = STR(
		"metrics: [{name: drop, contextOptions: [{name: sourceContext, values: [ip]}]}]");
	struct err e;

	(void)state;
	AUTO_WORLD w;
	open_world(&w, 1000, false);
	struct flow f = packet(EVENT_DROP, FLOW__VERDICT__DROPPED);
	f.src_ep = pod(&w, "shop", "cart-0");
	assert_int_equal(flow_metrics_file(w.fm, wrong, NULL), ERR_OK);
	assert_int_equal(w.warnings, 1);
	if (flow_metrics_file(w.fm, right, &e) != ERR_OK)
		fail_msg("%s", e.msg);
	count(&w, &f);
	expect(&w, "hubble_drop_total{protocol=\"TCP\",reason=\"DROP_REASON_UNKNOWN\","
		   "source=\"shop/cart-0\"} 1");
	assert_int_equal(flow_metrics_file(w.fm, other, &e), ERR_INVALID);
	assert_non_null(strstr(e.msg, "metric 'drop' cannot change"));
	assert_int_equal(flow_metrics_file(w.fm, STR("metrics: []"), NULL), ERR_OK);
	assert_int_equal(flow_metrics_file(w.fm, other, NULL), ERR_INVALID);
	assert_int_equal(flow_metrics_file(w.fm, right, NULL), ERR_OK);
	assert_int_equal(w.warnings, 1);
}

static void one_plugin_can_take_the_place_of_the_other(void **state)
{
	(void)state;
	AUTO_WORLD w;
	open_world(&w, 1000, false);
	assert_int_equal(flow_metrics_file(w.fm, STR("metrics: [{name: http}]"), NULL), ERR_OK);
	assert_int_equal(flow_metrics_file(w.fm, STR("metrics: [{name: httpV2}]"), NULL), ERR_OK);
	assert_int_equal(w.warnings, 0); /* the reference crashes */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_wrong_with_a_list_is_said),
		cmocka_unit_test(an_unknown_metric_among_others_is_warned_of),
		cmocka_unit_test(an_option_that_no_metric_has_is_warned_of),
		cmocka_unit_test(what_is_wrong_with_a_file_is_said_with_its_line),
		cmocka_unit_test(a_truth_is_written_in_any_of_yamls_ways),
		cmocka_unit_test(what_is_no_text_is_made_one),
		cmocka_unit_test(a_file_of_aliases_does_not_explode),
		cmocka_unit_test(a_bad_file_leaves_everything_as_it_was),
		cmocka_unit_test(a_filter_that_cannot_be_made_leaves_the_old_one),
		cmocka_unit_test(labels_may_not_change_but_those_that_never_were_may_be_mended),
		cmocka_unit_test(one_plugin_can_take_the_place_of_the_other),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
