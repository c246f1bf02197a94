/* observer/metrics: values of labels that flows of others can have. What is expected here is what Hubble's own handlers
 * tell of the same flows (tests/oracle/metrics). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>

#include "metrics_world.h"

static void a_workload_without_a_name_is_no_value(void **state)
{
	(void)state;
	AUTO_WORLD w;
	open_world(&w, 1000, false);
	configure(&w, "policy:sourceContext=workload|identity");
	count_message(&w, "{\"event_type\":{\"type\":129},\"source\":{\"namespace\":\"shop\","
			  "\"labels\":[\"k8s:app=web\"],\"workloads\":[{\"kind\":\"Job\"}]}}");
	expect(&w,
	       "hubble_policy_verdicts_total{action=\"verdict_unknown\","
	       "direction=\"traffic_direction_unknown\",match=\"l7/\",source=\"k8s:app=web\"} 1");
}

/* Each twice: a key must not take one for the other. */
static void an_ip_version_that_has_no_name_is_its_number(void **state)
{
	static const char *const versions[] = { "-1", "2", "254", "255", "300", "\"IPv4\"" };
	(void)state;
	AUTO_WORLD w;
	open_world(&w, 1000, false);
	configure(&w, "tcp");
	for (size_t i = 0; i < 2 * ARRAY_LEN(versions); i++) {
		char json[256];
		(void)snprintf(json, sizeof json,
			       "{\"verdict\":\"FORWARDED\",\"IP\":{\"ipVersion\":%s},"
			       "\"l4\":{\"TCP\":{\"flags\":{\"SYN\":true,\"RST\":true}}}}",
			       versions[i % ARRAY_LEN(versions)]);
		count_message(&w, json);
	}
	expect(&w, "hubble_tcp_flags_total{family=\"-1\",flag=\"SYN\"} 2");
	expect(&w, "hubble_tcp_flags_total{family=\"IPv6\",flag=\"SYN\"} 2");
	expect(&w, "hubble_tcp_flags_total{family=\"254\",flag=\"RST\"} 2");
	expect(&w, "hubble_tcp_flags_total{family=\"255\",flag=\"RST\"} 2");
	expect(&w, "hubble_tcp_flags_total{family=\"300\",flag=\"SYN\"} 2");
	expect(&w, "hubble_tcp_flags_total{family=\"IPv4\",flag=\"SYN\"} 2");
}

static void only_http_has_exemplars(void **state)
{
	(void)state;
	AUTO_WORLD w;
	open_world(&w, 1000, false);
	configure(&w, "kafka:exemplars=true http:exemplars=true");
	count_message(&w, "{\"l7\":{\"type\":\"REQUEST\",\"kafka\":{}},"
			  "\"trace_context\":{\"parent\":{\"trace_id\":\"of-kafka\"}}}");
	count_message(&w, "{\"l7\":{\"type\":\"REQUEST\",\"http\":{}},"
			  "\"trace_context\":{\"parent\":{\"trace_id\":\"of-http\"}}}");
	assert_null(strstr(page_as(&w, PAGE_OPENMETRICS), "of-kafka"));
	assert_non_null(strstr(w.page, "of-http"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_workload_without_a_name_is_no_value),
		cmocka_unit_test(only_http_has_exemplars),
		cmocka_unit_test(an_ip_version_that_has_no_name_is_its_number),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
