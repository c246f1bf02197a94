/*
 * Filter flags to FlowFilters. Expected filters follow the rules of reference/hubble-cli.md 4.2 and
 * are written as the JSON that --print-raw-filters shows; the recorded cases cover every single
 * flag, here are the rules and their edges.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "base/buf.h"
#include "cli/observe_filter.h"

/* Flag and value in turn; NULL ends. Fails the test unless all are taken. */
static void expect_yaml(const char *const *uses, const char *yaml)
{
	AUTO(observe_filter_free) struct observe_filter *of = NULL;
	AUTO_FILTER_LIST struct filter_list allow = { 0 }, deny = { 0 };
	AUTO_BUF struct buf text = buf_init(1 << 16);
	struct err e;

	assert_int_equal(observe_filter_new(&of, &e), ERR_OK);
	for (; uses[0]; uses += 2)
		assert_int_equal(observe_filter_set(of, uses[0], uses[1], &e), ERR_OK);
	assert_int_equal(observe_filter_check(of, &e), ERR_OK);
	assert_int_equal(observe_filter_lists(of, &allow, &deny, &e), ERR_OK);
	assert_int_equal(filter_lists_put_yaml(&text, &allow, &deny, &e), ERR_OK);
	assert_string_equal(buf_cstr(&text), yaml);
}

/* The last use must fail with @sentence, all before it must not. */
static void expect_fault(const char *const *uses, const char *sentence)
{
	AUTO(observe_filter_free) struct observe_filter *of = NULL;
	struct err e;

	assert_int_equal(observe_filter_new(&of, &e), ERR_OK);
	for (; uses[2]; uses += 2)
		assert_int_equal(observe_filter_set(of, uses[0], uses[1], &e), ERR_OK);
	assert_int_equal(observe_filter_set(of, uses[0], uses[1], &e), ERR_INVALID);
	assert_string_equal(e.msg, sentence);
}
#define USES(...) ((const char *const[]){ __VA_ARGS__, NULL, NULL })

static void no_flag_is_no_filter(void **state)
{
	(void)state;
	expect_yaml(USES(NULL, NULL), "{}\n");
}

static void a_two_sided_flag_makes_two_alternatives(void **state)
{
	(void)state;
	expect_yaml(USES("pod", "a", "to-port", "80"),
		    "allowlist:\n"
		    "    - '{\"source_pod\":[\"a\"],\"destination_port\":[\"80\"]}'\n"
		    "    - '{\"destination_pod\":[\"a\"],\"destination_port\":[\"80\"]}'\n");
}

static void equal_alternatives_are_one(void **state)
{
	(void)state;
	expect_yaml(
		USES("verdict", "DROPPED", "verdict", "AUDIT", "encrypted", "true"),
		"allowlist:\n    - '{\"verdict\":[\"DROPPED\",\"AUDIT\"],\"encrypted\":[true]}'\n");
}

static void not_sends_one_flag_to_the_deny_list(void **state)
{
	(void)state;
	expect_yaml(USES("not", "true", "port", "53", "not", "true", "protocol", "udp", "verdict",
			 "DROPPED"),
		    "allowlist:\n    - '{\"verdict\":[\"DROPPED\"]}'\n"
		    "denylist:\n    - '{\"protocol\":[\"udp\"],\"source_port\":[\"53\"]}'\n"
		    "    - '{\"protocol\":[\"udp\"],\"destination_port\":[\"53\"]}'\n");
	expect_fault(USES("not", "true", "not", "true"), "consecutive --not statements");
}

static void a_not_without_a_flag_is_a_fault(void **state)
{
	(void)state;
	AUTO(observe_filter_free) struct observe_filter *of = NULL;
	struct err e;

	assert_int_equal(observe_filter_new(&of, &e), ERR_OK);
	assert_int_equal(observe_filter_set(of, "not", "true", &e), ERR_OK);
	assert_int_equal(observe_filter_check(of, &e), ERR_INVALID);
	assert_string_equal(e.msg, "trailing --not found in the arguments");
}

static void namespaces_extend_the_names_of_their_side(void **state)
{
	(void)state;
	expect_yaml(USES("namespace", "a", "namespace", "b", "pod", "x"),
		    "allowlist:\n"
		    "    - '{\"source_pod\":[\"a/x\",\"b/x\"]}'\n"
		    "    - '{\"destination_pod\":[\"a/x\",\"b/x\"]}'\n");
	expect_yaml(
		USES("from-namespace", "x", "from-pod", "p", "from-service", "s"),
		"allowlist:\n    - '{\"source_pod\":[\"x/p\"],\"source_service\":[\"x/s\"]}'\n");
	expect_yaml(USES("from-pod", "ns/p", "from-pod", "q", "from-namespace", "ns"),
		    "allowlist:\n    - '{\"source_pod\":[\"ns/p\",\"ns/q\"]}'\n");
	expect_yaml(USES("all-namespaces", "true"),
		    "allowlist:\n"
		    "    - '{\"source_pod\":[\"/\"]}'\n    - '{\"destination_pod\":[\"/\"]}'\n");
}

static void namespaces_that_contradict_names_are_faults(void **state)
{
	(void)state;
	expect_fault(USES("from-namespace", "b", "from-pod", "a/x"),
		     "namespace conflict: \"b\" does not contain \"a/x\"");
	expect_fault(USES("from-pod", "a/x", "from-namespace", "b"),
		     "namespace conflict: \"b\" does not contain \"a/x\"");
	expect_fault(USES("from-pod", "a/x", "from-service", "b/y"),
		     "namespace of service \"b/y\" conflict with pod \"a\"");
}

/* Joined as in Cilium 1.19.4's hubble/cmd/observe/flows_filter.go. */
static void all_names_that_a_namespace_contradicts_are_told(void **state)
{
	(void)state;
	expect_fault(USES("pod", "a/x", "service", "a/y", "namespace", "b"),
		     "namespace conflict: \"b\" does not contain \"a/x\"\n"
		     "namespace conflict: \"b\" does not contain \"a/y\"");
	/* of each list of names, the first */
	expect_fault(USES("from-pod", "a/x", "from-pod", "a/z", "to-service", "c/s", "to-pod",
			  "c/p", "from-namespace", "b"),
		     "namespace conflict: \"b\" does not contain \"a/x\"");
	expect_fault(USES("from-namespace", "b", "to-namespace", "b", "to-pod", "b/p", "from-pod",
			  "b/x", "from-service", "a/y"),
		     "namespace conflict: \"b\" does not contain \"a/y\"\n"
		     "namespace of service \"a/y\" conflict with pod \"b\"");
}

static void groups_exclude_each_other_but_not_across_not(void **state)
{
	(void)state;
	expect_fault(USES("from-label", "x", "label", "y"),
		     "filters --label and --from-label cannot be combined");
	expect_fault(USES("encrypted", "true", "unencrypted", "true"),
		     "filters --encrypted and --unencrypted cannot be combined");
	expect_yaml(USES("not", "true", "from-label", "x", "to-label", "y"),
		    "allowlist:\n"
		    "    - '{\"destination_label\":[\"y\"]}'\ndenylist:\n    - "
		    "'{\"source_label\":[\"x\"]}'\n");
}

static void values_are_read_by_their_rules(void **state)
{
	(void)state;
	expect_yaml(USES("type", "trace:to-stack", "type", "129:1", "type", "4294967295"),
		    "allowlist:\n    - "
		    "'{\"event_type\":[{\"type\":4,\"match_sub_type\":true,\"sub_type\":3},"
		    "{\"type\":129,\"match_sub_type\":true,\"sub_type\":1},{\"type\":-1}]}'\n");
	expect_yaml(USES("tcp-flags", "syn,ACK", "tcp-flags", "ns"),
		    "allowlist:\n    - "
		    "'{\"tcp_flags\":[{\"SYN\":true,\"ACK\":true},{\"NS\":true}]}'\n");
	expect_yaml(
		USES("from-workload", "Kind/name", "from-workload", "name", "from-workload",
		     "Kind/"),
		"allowlist:\n    - "
		"'{\"source_workload\":[{\"name\":\"name\",\"kind\":\"Kind\"},{\"name\":\"name\"},"
		"{\"kind\":\"Kind\"}]}'\n");
	expect_yaml(
		USES("http-header", "A: b:c", "http-header", ":"),
		"allowlist:\n    - '{\"http_header\":[{\"key\":\"A\",\"value\":\" b:c\"},{}]}'\n");
	expect_yaml(USES("from-identity", "world", "from-identity", "0x10"),
		    "allowlist:\n    - '{\"source_identity\":[2,16]}'\n");
	expect_yaml(USES("ip-version", "V6", "ip-version", "whatever", "ipv4", "v4"),
		    "allowlist:\n    - '{\"ip_version\":[\"IPv6\",\"IP_NOT_USED\",\"IPv4\"]}'\n");
	expect_yaml(USES("cel-expression", "'a' < \"b\""),
		    "allowlist:\n    - '{\"experimental\":{\"cel_expression\":[\"''a'' \\u003c "
		    "\\\"b\\\"\"]}}'\n");
}

static void bad_values_are_named(void **state)
{
	(void)state;
	expect_fault(USES("verdict", "dropped"), "invalid --verdict value: dropped");
	expect_fault(USES("tcp-flags", "syn,foo"), "unknown tcp flag: foo");
	expect_fault(USES("tcp-flags", ""), "unknown tcp flag: ");
	expect_fault(USES("traffic-direction", "UP"),
		     "up: invalid traffic direction, expected ingress or egress");
	expect_fault(USES("ip-trace-id", "0"),
		     "invalid --ip-trace-id value; must be greater than 0");
	expect_fault(USES("http-header", "foo"),
		     "invalid http-header value \"foo\", expected name:value");
	expect_fault(USES("type", "4:to-stack"),
		     "unable to parse event sub-type 'to-stack', not a known sub-type name and "
		     "unable to parse as numeric value: strconv.ParseUint: parsing \"to-stack\": "
		     "invalid syntax");
	expect_fault(USES("type", ""), "unable to parse type '', not a known type name and unable "
				       "to parse as numeric value: "
				       "strconv.ParseUint: parsing \"\": invalid syntax");
}

static void json_lists_may_hold_several_objects(void **state)
{
	(void)state;
	AUTO_FILTER_LIST struct filter_list allow = { 0 }, none = { 0 };
	AUTO_BUF struct buf text = buf_init(1 << 16);
	struct err e;

	assert_int_equal(filter_list_add_json(&allow, " {\"sourceIp\":[\"1.1.1.1\"]}{}\n", &e),
			 ERR_OK);
	assert_int_equal(filter_list_add_json(&allow, "", &e), ERR_OK);
	assert_int_equal(allow.count, 2);
	assert_int_equal(filter_lists_put_yaml(&text, &allow, &none, &e), ERR_OK);
	assert_string_equal(buf_cstr(&text),
			    "allowlist:\n    - '{\"source_ip\":[\"1.1.1.1\"]}'\n    - '{}'\n");
	assert_int_equal(filter_list_add_json(&allow, "{\"bogus\":1}", &e), ERR_PARSE);
	assert_int_equal(filter_list_add_json(&allow, "{} x", &e), ERR_PARSE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(no_flag_is_no_filter),
		cmocka_unit_test(a_two_sided_flag_makes_two_alternatives),
		cmocka_unit_test(equal_alternatives_are_one),
		cmocka_unit_test(not_sends_one_flag_to_the_deny_list),
		cmocka_unit_test(a_not_without_a_flag_is_a_fault),
		cmocka_unit_test(namespaces_extend_the_names_of_their_side),
		cmocka_unit_test(namespaces_that_contradict_names_are_faults),
		cmocka_unit_test(all_names_that_a_namespace_contradicts_are_told),
		cmocka_unit_test(groups_exclude_each_other_but_not_across_not),
		cmocka_unit_test(values_are_read_by_their_rules),
		cmocka_unit_test(bad_values_are_named),
		cmocka_unit_test(json_lists_may_hold_several_objects),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
