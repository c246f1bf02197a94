/* lib/metrics: series, folding, the two formats. Formats after the Prometheus text format 0.0.4 and
 * OpenMetrics 1.0. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <math.h>
#include <stdio.h>

#include "metrics/metrics.h"

enum { PAGE_BYTES = 16 << 20 };

static const struct metric_label labels[] = { { "verdict", false }, { "pod", true } };
static const struct metric_spec flows = { .name = "flows_total",
					  .help = "Flows",
					  .type = METRIC_COUNTER,
					  .labels = labels,
					  .label_count = ARRAY_LEN(labels) };
static const struct metric_spec seconds = { .name = "duration_seconds",
					    .help = "How long",
					    .type = METRIC_HISTOGRAM,
					    .labels = labels,
					    .label_count = ARRAY_LEN(labels) };

static struct metrics *metrics_of(size_t series_max)
{
	struct metrics *m;

	assert_int_equal(metrics_new(series_max, &m, NULL), ERR_OK);
	return m;
}

static struct metric_family *family_of(struct metrics *m, const struct metric_spec *spec)
{
	struct metric_family *f;

	assert_int_equal(metric_family_new(m, spec, &f, NULL), ERR_OK);
	return f;
}

static struct metric_ref series(struct metric_family *f, const char *verdict, const char *pod)
{
	return metric_series_get(f, (struct str[]){ str_of(verdict), str_of(pod) });
}

static void count(struct metric_family *f, const char *verdict, const char *pod, uint64_t n)
{
	struct metric_ref ref = series(f, verdict, pod);

	assert_non_null(ref.series);
	metric_add(ref, n);
}

/* Own. */
static char *page_of(struct metrics *m, enum page_format format)
{
	struct buf out = buf_init(PAGE_BYTES);

	assert_int_equal(metrics_write(m, format, &out, NULL), ERR_OK);
	char *text = str_dup(buf_str(&out));
	buf_done(&out);
	assert_non_null(text);
	return text;
}

static void expect_page(struct metrics *m, enum page_format format, const char *text)
{
	AUTO(own_free) char *page = page_of(m, format);

	assert_string_equal(page, text);
}

/* The value of the line that begins with @sample; -1: there is none. */
static double value_of(struct metrics *m, const char *sample)
{
	AUTO(own_free) char *page = page_of(m, PAGE_TEXT);
	size_t len = strlen(sample);

	for (const char *at = page; (at = strstr(at, sample)); at += len)
		if ((at == page || at[-1] == '\n') && at[len] == ' ')
			return strtod(at + len, NULL);
	return -1;
}

static double sum_of(struct metrics *m, const char *name)
{
	AUTO(own_free) char *page = page_of(m, PAGE_TEXT);
	double sum = 0;

	for (const char *at = page; (at = strstr(at, name)); at++)
		if (at == page || at[-1] == '\n')
			sum += strtod(strchr(at, '}') + 1, NULL);
	return sum;
}

static void a_family_without_series_is_not_told(void **state)
{
	(void)state;
	AUTO(metrics_free) struct metrics *m = metrics_of(64);
	(void)family_of(m, &flows);
	expect_page(m, PAGE_TEXT, "");
	expect_page(m, PAGE_OPENMETRICS, "# EOF\n");
}

static void labels_stand_by_name_and_samples_in_order(void **state)
{
	(void)state;
	AUTO(metrics_free) struct metrics *m = metrics_of(64);
	struct metric_family *f = family_of(m, &flows);
	count(f, "FORWARDED", "b", 2);
	count(f, "DROPPED", "a", 1);
	count(f, "FORWARDED", "b", 5);
	expect_page(m, PAGE_TEXT,
		    "# HELP flows_total Flows\n# TYPE flows_total counter\n"
		    "flows_total{pod=\"a\",verdict=\"DROPPED\"} 1\n"
		    "flows_total{pod=\"b\",verdict=\"FORWARDED\"} 7\n");
	expect_page(m, PAGE_OPENMETRICS,
		    "# HELP flows Flows\n# TYPE flows counter\n"
		    "flows_total{pod=\"a\",verdict=\"DROPPED\"} 1.0\n"
		    "flows_total{pod=\"b\",verdict=\"FORWARDED\"} 7.0\n# EOF\n");
}

static void no_label_value_breaks_the_format(void **state)
{
	(void)state;
	AUTO(metrics_free) struct metrics *m = metrics_of(64);
	struct metric_family *f = family_of(m, &flows);
	metric_add(metric_series_get(f, (struct str[]){ STR("a\"b\\c\nd} 1\n# EOF"), STR("") }), 1);
	metric_add(metric_series_get(f, (struct str[]){ STR("x\xff\xc3\0y"), STR("z") }), 1);
	expect_page(
		m, PAGE_TEXT,
		"# HELP flows_total Flows\n# TYPE flows_total counter\n"
		"flows_total{pod=\"\",verdict=\"a\\\"b\\\\c\\nd} 1\\n# EOF\"} 1\n"
		"flows_total{pod=\"z\",verdict=\"x\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbdy\"} 1\n");
}

/* What is cut says so, and two values that begin alike stay two series. */
static void long_values_that_differ_only_at_their_ends_are_two_series(void **state)
{
	(void)state;
	AUTO(metrics_free) struct metrics *m = metrics_of(64);
	struct metric_family *f = family_of(m, &flows);
	char value[METRIC_VALUE_BYTES + 1];
	const struct str whole = { value, sizeof value };

	memset(value, 'a', sizeof value);
	for (unsigned i = 0; i < 6; i++) {
		value[sizeof value - 1] = (char)('0' + i % 3);
		metric_add(metric_series_get(f, (struct str[]){ STR("v"), whole }), 1);
	}
	assert_int_equal(metrics_counts(m).series, 3);
	const struct metric_match match = { 1, whole }; /* the labels by number are verdict, pod */
	assert_int_equal(metric_series_remove(f, &match, 1), 1);
	/* as long as it may be: whole */
	value[0] = 'b';
	metric_add(metric_series_get(
			   f, (struct str[]){ STR("v"), str_upto(whole, METRIC_VALUE_BYTES) }),
		   1);
	AUTO_BUF struct buf out = buf_init(1 << 20);
	assert_int_equal(metrics_write(m, PAGE_TEXT, &out, NULL), ERR_OK);
	unsigned cut = 0, as_they_are = 0;
	for (const char *at = buf_cstr(&out); (at = strstr(at, "pod=\"")); at++) {
		size_t len = strcspn(at + 5, "\"");
		assert_in_range(len, METRIC_VALUE_BYTES - 3, METRIC_VALUE_BYTES);
		cut += strstr(at, "aaa…") != NULL && strstr(at, "aaa…") < at + 5 + len;
		as_they_are += at[5] == 'b';
	}
	assert_int_equal(cut, 2);
	assert_int_equal(as_they_are, 1);
}

static void a_long_value_is_cut_at_a_character(void **state)
{
	enum { MARK = sizeof "…" - 1 + 16, KEPT = METRIC_VALUE_BYTES - MARK - 1 };
	(void)state;
	AUTO(metrics_free) struct metrics *m = metrics_of(64);
	struct metric_family *f = family_of(m, &flows);
	AUTO_BUF struct buf out = buf_init(1 << 20);
	char value[METRIC_VALUE_BYTES + 2], line[METRIC_VALUE_BYTES + 100];
	memset(value, 'a', sizeof value);
	memcpy(value + KEPT, "\xc3\xa9", 2); /* é across the border */
	metric_add(metric_series_get(f, (struct str[]){ STR("v"), str_n(value, sizeof value) }), 1);
	assert_int_equal(metrics_write(m, PAGE_TEXT, &out, NULL), ERR_OK);
	(void)snprintf(line, sizeof line, "\nflows_total{pod=\"%.*s…", KEPT, value);
	assert_non_null(strstr(buf_cstr(&out), line));
	assert_true(utf8_is_valid(buf_str(&out)));
}

static void values_that_differ_only_in_where_they_are_split_are_two_series(void **state)
{
	(void)state;
	AUTO(metrics_free) struct metrics *m = metrics_of(64);
	struct metric_family *f = family_of(m, &flows);
	count(f, "a\",verdict=\"b", "c", 1);
	count(f, "b", "c\",verdict=\"a", 1);
	assert_int_equal(metrics_counts(m).series, 2);
}

static void a_name_can_be_taken_once(void **state)
{
	(void)state;
	AUTO(metrics_free) struct metrics *m = metrics_of(64);
	struct metric_family *f = family_of(m, &flows), *other;
	assert_int_equal(metric_family_new(m, &flows, &other, NULL), ERR_EXISTS);
	metric_family_free(f);
	f = family_of(m, &flows);
	count(f, "v", "p", 1);
	assert_true(value_of(m, "flows_total{pod=\"p\",verdict=\"v\"}") == 1);
}

static void a_histogram_counts_up_to_each_bound(void **state)
{
	(void)state;
	AUTO(metrics_free) struct metrics *m = metrics_of(64);
	struct metric_family *f = family_of(m, &seconds);
	struct metric_ref ref = series(f, "v", "p");
	metric_observe(ref, 0.005); /* on a bound: within */
	metric_observe(ref, 0.0051);
	metric_observe(ref, 11);
	expect_page(m, PAGE_OPENMETRICS,
		    "# HELP duration_seconds How long\n# TYPE duration_seconds histogram\n"
		    "duration_seconds_bucket{pod=\"p\",verdict=\"v\",le=\"0.005\"} 1\n"
		    "duration_seconds_bucket{pod=\"p\",verdict=\"v\",le=\"0.01\"} 2\n"
		    "duration_seconds_bucket{pod=\"p\",verdict=\"v\",le=\"0.025\"} 2\n"
		    "duration_seconds_bucket{pod=\"p\",verdict=\"v\",le=\"0.05\"} 2\n"
		    "duration_seconds_bucket{pod=\"p\",verdict=\"v\",le=\"0.1\"} 2\n"
		    "duration_seconds_bucket{pod=\"p\",verdict=\"v\",le=\"0.25\"} 2\n"
		    "duration_seconds_bucket{pod=\"p\",verdict=\"v\",le=\"0.5\"} 2\n"
		    "duration_seconds_bucket{pod=\"p\",verdict=\"v\",le=\"1.0\"} 2\n"
		    "duration_seconds_bucket{pod=\"p\",verdict=\"v\",le=\"2.5\"} 2\n"
		    "duration_seconds_bucket{pod=\"p\",verdict=\"v\",le=\"5.0\"} 2\n"
		    "duration_seconds_bucket{pod=\"p\",verdict=\"v\",le=\"10.0\"} 2\n"
		    "duration_seconds_bucket{pod=\"p\",verdict=\"v\",le=\"+Inf\"} 3\n"
		    "duration_seconds_sum{pod=\"p\",verdict=\"v\"} 11.0101\n"
		    "duration_seconds_count{pod=\"p\",verdict=\"v\"} 3\n# EOF\n");
}

static void an_exemplar_stands_behind_its_sample_in_openmetrics_only(void **state)
{
	(void)state;
	AUTO(metrics_free) struct metrics *m = metrics_of(64);
	struct metric_ref ref = series(family_of(m, &flows), "v", "p");
	char long_trace[METRIC_TRACE_BYTES + 1];
	memset(long_trace, 'x', sizeof long_trace);
	metric_add(ref, 1);
	metric_exemplar(ref, STR("4bf9"), 1, (struct wall_ns){ 1500000000 });
	metric_exemplar(ref, str_n(long_trace, sizeof long_trace), 1, (struct wall_ns){ 1 });
	expect_page(
		m, PAGE_OPENMETRICS,
		"# HELP flows Flows\n# TYPE flows counter\n"
		"flows_total{pod=\"p\",verdict=\"v\"} 1.0 # {traceID=\"4bf9\"} 1.0 1.500000000\n"
		"# EOF\n");
	expect_page(m, PAGE_TEXT,
		    "# HELP flows_total Flows\n# TYPE flows_total counter\n"
		    "flows_total{pod=\"p\",verdict=\"v\"} 1\n");
}

static void numbers_are_the_shortest_that_read_back(void **state)
{
	static const struct {
		double v;
		const char *text, *open;
	} cases[] = {
		{ 0, "0", "0.0" },
		{ 0.1, "0.1", "0.1" },
		{ 2.0049999990000003, "2.0049999990000003", "2.0049999990000003" },
		{ -3, "-3", "-3.0" },
		{ 1e300, "1e+300", "1e+300" },
		{ 999999999999999, "999999999999999", "999999999999999.0" },
		{ INFINITY, "+Inf", "+Inf" },
		{ -INFINITY, "-Inf", "-Inf" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		AUTO_BUF struct buf text = buf_init(100), open = buf_init(100);
		page_number_put(&text, PAGE_TEXT, cases[i].v);
		page_number_put(&open, PAGE_OPENMETRICS, cases[i].v);
		assert_string_equal(buf_cstr(&text), cases[i].text);
		assert_string_equal(buf_cstr(&open), cases[i].open);
	}
}

/* --- the budget --------------------------------------------------------------------------- */

static void count_pods(struct metric_family *f, unsigned from, unsigned to, uint64_t n)
{
	for (unsigned i = from; i < to; i++) {
		char pod[16];
		(void)snprintf(pod, sizeof pod, "p%u", i);
		count(f, "v", pod, n);
	}
}

static void a_full_budget_folds_the_least_active(void **state)
{
	(void)state;
	AUTO(metrics_free) struct metrics *m = metrics_of(64);
	struct metric_family *f = family_of(m, &flows);
	count_pods(f, 0, 4, 1);    /* the least active */
	count_pods(f, 4, 64, 100); /* full */
	assert_int_equal(metrics_counts(m).folded, 0);
	count_pods(f, 64, 65, 7); /* full + 1: a sixteenth goes */
	assert_int_equal(metrics_counts(m).folded, 4);
	assert_true(value_of(m, "flows_total{pod=\"p0\",verdict=\"v\"}") == -1);
	assert_true(value_of(m, "flows_total{pod=\"other\",verdict=\"v\"}") == 4);
	assert_true(value_of(m, "flows_total{pod=\"p4\",verdict=\"v\"}") == 100);
	assert_true(value_of(m, "flows_total{pod=\"p64\",verdict=\"v\"}") == 7);
}

static void nothing_is_lost_and_the_budget_holds_however_many_come(void **state)
{
	(void)state;
	AUTO(metrics_free) struct metrics *m = metrics_of(100);
	struct metric_family *f = family_of(m, &flows), *h = family_of(m, &seconds);
	for (unsigned i = 0; i < 5000; i++) {
		char pod[16];
		(void)snprintf(pod, sizeof pod, "p%u", i);
		count(f, i % 2 ? "a" : "b", pod, 1);
		metric_observe(series(h, "v", pod), 1);
		assert_true(metrics_counts(m).series <= 100);
	}
	assert_true(sum_of(m, "flows_total{") == 5000);
	assert_true(sum_of(m, "duration_seconds_count{") == 5000);
	assert_true(sum_of(m, "duration_seconds_sum{") == 5000);
	assert_int_equal(metrics_counts(m).refused, 0);
}

static void what_was_told_is_not_told_again_under_another_name(void **state)
{
	(void)state;
	AUTO(metrics_free) struct metrics *m = metrics_of(64);
	struct metric_family *f = family_of(m, &flows);
	count_pods(f, 0, 4, 1000);
	free(page_of(m, PAGE_TEXT)); /* told: 1000 each */
	count_pods(f, 0, 4, 1);
	count_pods(f, 4, 64, 5000);
	count_pods(f, 64, 65, 1);
	/* rate() saw the thousands under their own names; each has one more to tell */
	assert_true(value_of(m, "flows_total{pod=\"other\",verdict=\"v\"}") == 4);
}

static void folded_labels_are_the_open_ones_until_nothing_else_helps(void **state)
{
	(void)state;
	AUTO(metrics_free) struct metrics *m = metrics_of(64);
	struct metric_family *f = family_of(m, &flows);
	for (unsigned i = 0; i < 1000; i++) {
		char verdict[16];
		(void)snprintf(verdict, sizeof verdict, "v%u", i);
		count(f, verdict, "p", 1);
	}
	assert_true(metrics_counts(m).series <= 64);
	assert_true(sum_of(m, "flows_total{") == 1000);
	assert_true(value_of(m, "flows_total{pod=\"other\",verdict=\"other\"}") > 800);
}

static void a_ref_knows_when_its_series_is_gone(void **state)
{
	(void)state;
	AUTO(metrics_free) struct metrics *m = metrics_of(64);
	struct metric_family *f = family_of(m, &flows);
	struct metric_ref first = series(f, "v", "p0");
	assert_true(metric_ref_is_live(first));
	count_pods(f, 1, 65, 10);
	assert_false(metric_ref_is_live(first));
	assert_false(metric_ref_is_live((struct metric_ref){ 0 }));
}

static void what_was_busy_long_ago_gives_way(void **state)
{
	(void)state;
	AUTO(metrics_free) struct metrics *m = metrics_of(64);
	struct metric_family *f = family_of(m, &flows);
	count_pods(f, 0, 1, 50);
	for (unsigned round = 0; round < 40; round++)
		count_pods(f, 1000 * round + 1, 1000 * round + 64, 20);
	assert_true(value_of(m, "flows_total{pod=\"p0\",verdict=\"v\"}") == -1);
}

static void removing_takes_the_series_of_all_values_given(void **state)
{
	(void)state;
	AUTO(metrics_free) struct metrics *m = metrics_of(64);
	struct metric_family *f = family_of(m, &flows);
	count(f, "a", "p\"1", 1);
	count(f, "b", "p\"1", 1);
	count(f, "a", "p2", 1);
	const struct metric_match both[] = { { 1, STR("p\"1") }, { 0, STR("a") } };
	assert_int_equal(metric_series_remove(f, both, 2), 1);
	assert_int_equal(metric_series_remove(f, both, 2), 0);
	assert_int_equal(metric_series_remove(f, both, 1), 1);
	assert_int_equal(metrics_counts(m).removed, 2);
	expect_page(m, PAGE_TEXT,
		    "# HELP flows_total Flows\n# TYPE flows_total counter\n"
		    "flows_total{pod=\"p2\",verdict=\"a\"} 1\n");
}

/* Against a plain model: series come and go, and the table always finds what is there. */
static void the_table_holds_what_was_put_into_it(void **state)
{
	(void)state;
	AUTO(metrics_free) struct metrics *m = metrics_of(5000);
	struct metric_family *f = family_of(m, &flows);
	uint64_t model[2000] = { 0 }, seed = 42;
	for (unsigned step = 0; step < 40000; step++) {
		seed = seed * UINT64_C(6364136223846793005) + 1;
		unsigned i = (unsigned)(seed >> 33) % ARRAY_LEN(model);
		char pod[16];
		(void)snprintf(pod, sizeof pod, "p%u", i);
		if (step % 3 == 2) {
			const struct metric_match match = { 1, str_of(pod) };
			assert_int_equal(metric_series_remove(f, &match, 1), model[i] != 0);
			model[i] = 0;
			continue;
		}
		struct metric_ref ref = series(f, "v", pod);
		assert_int_equal(ref.series->count, model[i]);
		metric_add(ref, 1);
		model[i]++;
	}
}

static void collect_two(void *ctx, struct metrics_page *p)
{
	page_counter(p, "own_total", "Own", *(const unsigned *)ctx);
	page_gauge(p, "level", "Level", 0.5);
}

static void callbacks_write_behind_the_families(void **state)
{
	(void)state;
	AUTO(metrics_free) struct metrics *m = metrics_of(64);
	unsigned value = 3;
	assert_int_equal(metrics_collect(m, collect_two, &value, NULL), ERR_OK);
	count(family_of(m, &flows), "v", "p", 1);
	expect_page(m, PAGE_OPENMETRICS,
		    "# HELP flows Flows\n# TYPE flows counter\n"
		    "flows_total{pod=\"p\",verdict=\"v\"} 1.0\n"
		    "# HELP own Own\n# TYPE own counter\nown_total 3.0\n"
		    "# HELP level Level\n# TYPE level gauge\nlevel 0.5\n# EOF\n");
}

static void a_page_that_does_not_fit_is_an_error(void **state)
{
	(void)state;
	AUTO(metrics_free) struct metrics *m = metrics_of(64);
	AUTO_BUF struct buf out = buf_init(20);
	struct err e;
	count(family_of(m, &flows), "v", "p", 1);
	assert_int_equal(metrics_write(m, PAGE_TEXT, &out, &e), ERR_NOMEM);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_family_without_series_is_not_told),
		cmocka_unit_test(labels_stand_by_name_and_samples_in_order),
		cmocka_unit_test(no_label_value_breaks_the_format),
		cmocka_unit_test(a_long_value_is_cut_at_a_character),
		cmocka_unit_test(long_values_that_differ_only_at_their_ends_are_two_series),
		cmocka_unit_test(values_that_differ_only_in_where_they_are_split_are_two_series),
		cmocka_unit_test(a_name_can_be_taken_once),
		cmocka_unit_test(a_histogram_counts_up_to_each_bound),
		cmocka_unit_test(an_exemplar_stands_behind_its_sample_in_openmetrics_only),
		cmocka_unit_test(numbers_are_the_shortest_that_read_back),
		cmocka_unit_test(a_full_budget_folds_the_least_active),
		cmocka_unit_test(nothing_is_lost_and_the_budget_holds_however_many_come),
		cmocka_unit_test(what_was_told_is_not_told_again_under_another_name),
		cmocka_unit_test(folded_labels_are_the_open_ones_until_nothing_else_helps),
		cmocka_unit_test(a_ref_knows_when_its_series_is_gone),
		cmocka_unit_test(what_was_busy_long_ago_gives_way),
		cmocka_unit_test(removing_takes_the_series_of_all_values_given),
		cmocka_unit_test(the_table_holds_what_was_put_into_it),
		cmocka_unit_test(callbacks_write_behind_the_families),
		cmocka_unit_test(a_page_that_does_not_fit_is_an_error),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
