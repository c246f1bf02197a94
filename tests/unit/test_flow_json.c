/* JSON read and written, against the reference's own words: hubble-cli.md 5.4. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/buf.h"
#include "flow/flow.pb-c.h"
#include "flow/json.h"
#include "flow/schema.h"
#include "google/protobuf/any.pb-c.h"
#include "grpc/health/v1/health.pb-c.h"
#include "observer/observer.pb-c.h"

#define RESPONSE (&observer__get_flows_response__descriptor)
#define FLOW (&flow__flow__descriptor)
#define FILTER (&flow__flow_filter__descriptor)

static const struct json_options strict = { .reject_unknown = true };
static const struct json_options lax = { .reject_unknown = false };

/* The bytes are those that a protobuf library writes of the same message: fields in order. */
static void assert_sorted(const ProtobufCMessageDescriptor *desc, struct str wire)
{
	AUTO_BUF struct buf again = buf_init(SIZE_MAX);
	ProtobufCMessage *m =
		protobuf_c_message_unpack(desc, NULL, wire.len, (const uint8_t *)wire.p);

	assert_non_null(m);
	char *to = buf_reserve(&again, protobuf_c_message_get_packed_size(m) + 1);
	assert_non_null(to);
	again.len = protobuf_c_message_pack(m, (uint8_t *)to);
	protobuf_c_message_free_unpacked(m, NULL);
	assert_int_equal(again.len, wire.len);
	assert_memory_equal(again.p, wire.p, wire.len);
}

/* @text read as @desc and written again; fails the test if either does. */
static void assert_becomes(const ProtobufCMessageDescriptor *desc, const char *text,
			   const char *expected)
{
	AUTO_BUF struct buf wire = buf_init(SIZE_MAX);
	AUTO_BUF struct buf json = buf_init(SIZE_MAX);
	struct err e;

	if (json_read_message(str_of(text), desc, &strict, &wire, NULL, &e) != ERR_OK)
		fail_msg("%s: %s", text, e.msg);
	if (!memchr(buf_str(&wire).p, '\0', wire.len)) /* where protobuf-c ends a text */
		assert_sorted(desc, buf_str(&wire));
	if (json_put_message(&json, desc, buf_str(&wire), &e) != ERR_OK)
		fail_msg("%s: %s", text, e.msg);
	assert_string_equal(buf_cstr(&json), expected);
}

static bool is_read(const ProtobufCMessageDescriptor *desc, struct str text,
		    const struct json_options *options, bool *ret_unknown, struct err *e)
{
	AUTO_BUF struct buf wire = buf_init(SIZE_MAX);

	buf_lit(&wire, "kept");
	enum err_code code = json_read_message(text, desc, options, &wire, ret_unknown, e);
	assert_true(code == ERR_OK || code == ERR_PARSE);
	if (code != ERR_OK)
		assert_string_equal(buf_cstr(&wire), "kept"); /* nothing half written */
	return code == ERR_OK;
}

static void assert_refused(const ProtobufCMessageDescriptor *desc, const char *text)
{
	struct err e;

	if (is_read(desc, str_of(text), &strict, NULL, &e))
		fail_msg("%s was read", text);
	if (is_read(desc, str_of(text), &lax, NULL, &e))
		fail_msg("%s was read by the lax reader", text);
}

/* --- order and shape ---------------------------------------------------------------- */

static void members_come_in_declaration_order(void **state)
{
	/* hubble-cli.md 5.4, the table of orders; the last member of Flow is our own */
	static const char *const orders[][2] = {
		{ "flow.Flow", "time uuid emitter verdict drop_reason auth_type ethernet IP l4 "
			       "tunnel source destination Type node_name "
			       "node_labels source_names destination_names l7 reply event_type "
			       "source_service destination_service "
			       "traffic_direction policy_match_type trace_observation_point "
			       "trace_reason file ip_trace_id "
			       "drop_reason_desc is_reply debug_capture_point interface proxy_port "
			       "trace_context sock_xlate_point "
			       "socket_cookie cgroup_id Summary extensions egress_allowed_by "
			       "ingress_allowed_by egress_denied_by "
			       "ingress_denied_by policy_log aggregate tycho " },
		{ "flow.Endpoint",
		  "ID identity cluster_name namespace labels pod_name workloads " },
		{ "flow.IP", "source source_xlated destination ipVersion encrypted " },
		{ "flow.FlowFilter",
		  "uuid source_ip source_ip_xlated source_pod source_fqdn source_label "
		  "source_service source_workload "
		  "source_cluster_name destination_ip destination_pod destination_fqdn "
		  "destination_label "
		  "destination_service destination_workload destination_cluster_name "
		  "traffic_direction verdict "
		  "drop_reason_desc interface event_type http_status_code protocol source_port "
		  "destination_port reply "
		  "dns_query source_identity destination_identity http_method http_path http_url "
		  "http_header tcp_flags "
		  "node_name node_labels ip_version trace_id ip_trace_id encrypted experimental " },
	};
	(void)state;

	for (size_t i = 0; i < ARRAY_LEN(orders); i++) {
		const struct schema_message *m = schema_find(str_of(orders[i][0]));
		AUTO_BUF struct buf names = buf_init(SIZE_MAX);
		assert_non_null(m);
		for (size_t k = 0; k < m->field_count; k++) {
			buf_str_put(&names, m->fields[k].name);
			buf_char(&names, ' ');
			assert_ptr_equal(schema_field_named(m, m->fields[k].name), &m->fields[k]);
			assert_ptr_equal(schema_field_named(m, m->fields[k].json_name),
					 &m->fields[k]);
			assert_ptr_equal(schema_field_numbered(m, m->fields[k].number),
					 &m->fields[k]);
		}
		assert_string_equal(buf_cstr(&names), orders[i][1]);
	}
	assert_null(schema_find(STR("flow.Nothing")));
	assert_null(schema_field_named(schema_find(STR("flow.Flow")), STR("summary")));
	assert_null(schema_field_numbered(schema_find(STR("flow.Flow")), 7));
}

/* The reader guesses which key comes next; a wrong guess must cost time only. */
static void keys_may_come_in_any_order_and_spelling(void **state)
{
	(void)state;
	static const char expected[] =
		"{\"verdict\":\"DROPPED\",\"source\":{\"ID\":1,\"identity\":2},"
		"\"source_names\":[\"a\"],\"is_reply\":true}";
	static const char *const same[] = {
		expected,
		"{\"is_reply\":true,\"source_names\":[\"a\"],\"source\":{\"identity\":2,\"ID\":1},"
		"\"verdict\":\"DROPPED\"}",
		"{ \"verdict\" : 2 ,\n\"source\"\t:{\"ID\" :1, \"identity\":2}, "
		"\"source_names\":[\"a\"]"
		" ,\"is_reply\":true }",
		"{\"verdict\":2,\"\\u0073ource\":{\"\\u0049D\":1,\"identity\":2},"
		"\"sourceNames\":[\"a\"],\"isReply\":true}",
	};

	for (size_t i = 0; i < ARRAY_LEN(same); i++)
		assert_becomes(FLOW, same[i], expected);
	assert_refused(FLOW, "{\"verdict\":2,\"verdict\":2}");
	assert_refused(FLOW, "{\"verdict\":2,\"source\":{},\"source\":{}}");
	assert_refused(FLOW, "{\"verdict\"");
	assert_refused(FLOW, "{\"verdict\":");
	assert_refused(FLOW, "{\"verdict\":2,verdict:2}");
}

static void defaults_are_left_out_and_wrappers_kept(void **state)
{
	(void)state;
	assert_becomes(FLOW, "{}", "{}");
	assert_becomes(FLOW,
		       "{\"verdict\":0,\"node_name\":\"\",\"drop_reason\":0,\"reply\":false,"
		       "\"source_names\":[]}",
		       "{}");
	assert_becomes(FLOW, "{\"is_reply\":false}", "{\"is_reply\":false}");
	assert_becomes(FLOW, "{\"is_reply\":null,\"l4\":null,\"verdict\":null}", "{}");
	assert_becomes(FLOW, "{\"l4\":{\"TCP\":{}},\"source\":{}}",
		       "{\"l4\":{\"TCP\":{}},\"source\":{}}");
	assert_becomes(&flow__lost_event__descriptor, "{\"cpu\":0,\"numEventsLost\":7}",
		       "{\"num_events_lost\":\"7\",\"cpu\":0}");
	assert_becomes(FILTER,
		       "{\"reply\":[false,true],\"ip_trace_id\":[0,\"5\"],\"encrypted\":[]}",
		       "{\"reply\":[false,true],\"ip_trace_id\":[\"0\",\"5\"]}");
}

static void enums_go_by_name_and_unknown_ones_by_number(void **state)
{
	(void)state;
	assert_becomes(
		FLOW,
		"{\"verdict\":2,\"Type\":\"L7\",\"drop_reason_desc\":133,\"traffic_direction\":9}",
		"{\"verdict\":\"DROPPED\",\"Type\":\"L7\",\"traffic_direction\":9,\"drop_reason_"
		"desc\":\"POLICY_DENIED\"}");
	assert_becomes(FLOW, "{\"verdict\":-1}", "{\"verdict\":-1}");
	assert_becomes(FLOW, "{\"verdict\":1e0}", "{\"verdict\":\"FORWARDED\"}");
}

static void well_known_types_have_their_own_form(void **state)
{
	(void)state;
	assert_becomes(FLOW, "{\"time\":\"2024-03-01T12:00:00.5+02:00\"}",
		       "{\"time\":\"2024-03-01T10:00:00.500Z\"}");
	/* Go's time.Parse takes these beyond RFC 3339 */
	assert_becomes(FLOW, "{\"time\":\"2024-03-01T10:00:00+24:60\"}",
		       "{\"time\":\"2024-02-29T09:00:00Z\"}");
	assert_refused(FLOW, "{\"time\":\"2024-03-01T10:00:00+25:00\"}");
	assert_becomes(FLOW, "{\"time\":\"0000-12-31T23:59:59-01:00\"}",
		       "{\"time\":\"0001-01-01T00:59:59Z\"}");
	assert_becomes(FLOW, "{\"time\":\"2024-03-01T10:00:00,1234567899Z\"}",
		       "{\"time\":\"2024-03-01T10:00:00.123456789Z\"}");
	assert_refused(FLOW, "{\"time\":\"2024-03-01T10:00:00.1234567890Z\"}");
	assert_refused(FLOW, "{\"time\":\"2024-03-01T10:00:00,Z\"}");
	assert_becomes(FLOW, "{\"time\":\"2024-03-01T9:00:00Z\"}",
		       "{\"time\":\"2024-03-01T09:00:00Z\"}");
	assert_becomes(FLOW, "{\"time\":\"2024-03-01T10:00:00,5Z\"}",
		       "{\"time\":\"2024-03-01T10:00:00.500Z\"}");
	assert_becomes(FLOW, "{\"time\":\"0001-01-01T00:00:00Z\"}",
		       "{\"time\":\"0001-01-01T00:00:00Z\"}");
	assert_becomes(&observer__get_flows_request__descriptor,
		       "{\"field_mask\":\"time,source.podName\"}",
		       "{\"field_mask\":\"time,source.podName\"}");
	assert_becomes(
		FLOW,
		"{\"extensions\":{\"value\":\"-1.5s\",\"@type\":\"x/google.protobuf.Duration\"}}",
		"{\"extensions\":{\"@type\":\"x/"
		"google.protobuf.Duration\",\"value\":\"-1.500s\"}}");
	assert_becomes(FLOW, "{\"extensions\":{}}", "{\"extensions\":{}}");
	assert_becomes(
		FLOW,
		"{\"extensions\":{\"@type\":\"a/google.protobuf.Any\",\"value\":{\"@type\":\"b/"
		"flow.Service\",\"name\":\"n\"}}}",
		"{\"extensions\":{\"@type\":\"a/google.protobuf.Any\",\"value\":{\"@type\":\"b/"
		"flow.Service\",\"name\":\"n\"}}}");
	assert_refused(
		FLOW,
		"{\"extensions\":{\"@type\":\"x/flow.Service\",\"@type\":\"x/flow.Service\"}}");
	/* parseDuration of Go's protojson: a point needs no digit on either side */
	assert_becomes(
		FLOW,
		"{\"extensions\":{\"value\":\"1.s\",\"@type\":\"x/google.protobuf.Duration\"}}",
		"{\"extensions\":{\"@type\":\"x/google.protobuf.Duration\",\"value\":\"1s\"}}");
	assert_becomes(
		FLOW,
		"{\"extensions\":{\"value\":\"-.s\",\"@type\":\"x/google.protobuf.Duration\"}}",
		"{\"extensions\":{\"@type\":\"x/google.protobuf.Duration\",\"value\":\"0s\"}}");
	assert_refused(FLOW, "{\"extensions\":{\"@type\":\"x/google.protobuf.Duration\"}}");
	/* an Empty needs no value, and is written with one */
	assert_becomes(FLOW, "{\"extensions\":{\"@type\":\"x/google.protobuf.Empty\"}}",
		       "{\"extensions\":{\"@type\":\"x/google.protobuf.Empty\",\"value\":{}}}");
	assert_refused(FLOW,
		       "{\"extensions\":{\"@type\":\"x/google.protobuf.Empty\",\"value\":[]}}");
}

static void an_any_of_unknown_type_is_shown_as_its_bytes(void **state)
{
	/* Flow.extensions (150000) = Any{ type_url "x/y.Z", value 01 02 03 }; base64 of RFC 4648:
	 * AQID */
	static const char wire[] = "\x82\x9f\x49\x0c\x0a\x05x/y.Z\x12\x03\x01\x02\x03";
	AUTO_BUF struct buf json = buf_init(SIZE_MAX);
	(void)state;

	assert_int_equal(json_put_message(&json, FLOW, str_n(wire, sizeof wire - 1), NULL), ERR_OK);
	assert_string_equal(buf_cstr(&json),
			    "{\"extensions\":{\"@type\":\"x/y.Z\",\"value\":\"AQID\"}}");
}

/* --- numbers and strings ------------------------------------------------------------ */

static void numbers_are_whole_and_in_range(void **state)
{
	static const struct {
		const char *number, *port, *cookie; /* as proxy_port (uint32) and socket_cookie
						       (uint64); NULL: refused */
	} cases[] = {
		{ "1", "1", "1" },
		{ "\"1\"", "1", "1" },
		{ "1.0", "1", "1" },
		{ "1.50e1", "15", "15" },
		{ "100e-2", "1", "1" },
		{ "-0", "", "" },
		{ "0.0e7", "", "" },
		{ "4294967295", "4294967295", "4294967295" },
		{ "4294967296", NULL, "4294967296" },
		{ "18446744073709551615", NULL, "18446744073709551615" },
		{ "18446744073709551616", NULL, NULL },
		{ "99999999999999999999", NULL, NULL },
		{ "1e19", NULL, "10000000000000000000" },
		{ "1e20", NULL, NULL },
		{ "1e99999999999", NULL, NULL },
		{ "1.5", NULL, NULL },
		{ "15e-1", NULL, NULL },
		{ "-1", NULL, NULL },
		{ "\" 1\"", NULL, NULL },
		{ "\"1 \"", NULL, NULL },
		{ "\"1 2\"", "1",
		  "1" }, /* the reference reads one token of the string and no more */
		{ "\"\"", NULL, NULL },
		{ "\"0x10\"", NULL, NULL },
		{ "01", NULL, NULL },
		{ "+1", NULL, NULL },
		{ ".5", NULL, NULL },
		{ "1.", NULL, NULL },
		/* parseNumber of Go's internal/encoding/json, which wants no digit behind an 'e'
		 * that something follows, and normalizeToIntString */
		{ "1e", "1", "1" },
		{ "\"1e\"", NULL, NULL },
		{ "1e+", NULL, NULL },
		{ "1ex", NULL, NULL },
		{ "0e99999999999", "", "" },
		{ "10000000000000000000000000e-25", "1", "1" },
		{ "10000000000000000000000001e-25", NULL, NULL },
		{ "0.000000000000000000001e21", NULL, NULL },
		{ "1x", NULL, NULL },
		{ "true", NULL, NULL },
		{ "{}", NULL, NULL },
	};
	(void)state;

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char text[128], expected[128];
		(void)snprintf(text, sizeof text, "{\"proxy_port\":%s}", cases[i].number);
		(void)snprintf(expected, sizeof expected,
			       cases[i].port && cases[i].port[0] ? "{\"proxy_port\":%s}" : "{}",
			       cases[i].port ? cases[i].port : "");
		if (cases[i].port)
			assert_becomes(FLOW, text, expected);
		else
			assert_refused(FLOW, text);
		(void)snprintf(text, sizeof text, "{\"socketCookie\":%s}", cases[i].number);
		(void)snprintf(expected, sizeof expected,
			       cases[i].cookie && cases[i].cookie[0] ? "{\"socket_cookie\":\"%s\"}"
								     : "{}",
			       cases[i].cookie ? cases[i].cookie : "");
		if (cases[i].cookie)
			assert_becomes(FLOW, text, expected);
		else
			assert_refused(FLOW, text);
	}
	assert_becomes(FLOW, "{\"event_type\":{\"type\":-2147483648}}",
		       "{\"event_type\":{\"type\":-2147483648}}");
	assert_refused(FLOW, "{\"event_type\":{\"type\":-2147483649}}");
	assert_refused(FLOW, "{\"event_type\":{\"type\":2147483648}}");
}

static void doubles_are_the_shortest_that_read_back(void **state)
{
	/* encoding/json of Go: exponents only below 1e-6 and from 1e21 on */
	static const char *const cases[][2] = {
		{ "0.1", "0.1" },
		{ "5.25", "5.25" },
		{ "1e21", "1e+21" },
		{ "1e20", "100000000000000000000" },
		{ "0.000001", "0.000001" },
		{ "1e-7", "1e-7" },
		{ "\"NaN\"", "\"NaN\"" },
		{ "\"-Infinity\"", "\"-Infinity\"" },
		{ "0.30000000000000004", "0.30000000000000004" },
	};
	(void)state;

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char text[128], expected[128];
		(void)snprintf(text, sizeof text, "{\"flows_rate\":%s}", cases[i][0]);
		(void)snprintf(expected, sizeof expected, "{\"flows_rate\":%s}", cases[i][1]);
		assert_becomes(&observer__server_status_response__descriptor, text, expected);
	}
	assert_refused(&observer__server_status_response__descriptor, "{\"flows_rate\":1e999}");
	assert_refused(&observer__server_status_response__descriptor, "{\"flows_rate\":1e}");
}

static void strings_are_escaped_as_the_reference_escapes_them(void **state)
{
	(void)state;
	assert_becomes(FLOW,
		       "{\"Summary\":\"\\u003c>&\\/\\\"\\\\\\b\\f\\n\\r\\t\\u0000\\u001f\x7f\"}",
		       "{\"Summary\":\"\\u003c\\u003e\\u0026/"
		       "\\\"\\\\\\b\\f\\n\\r\\t\\u0000\\u001f\x7f\"}");
	assert_becomes(FLOW, "{\"Summary\":\"\\u2028\xe2\x80\xa9 \\ud83d\\ude00 \xc3\xa9\"}",
		       "{\"Summary\":\"\\u2028\\u2029 \xf0\x9f\x98\x80 \xc3\xa9\"}");
	/* an escaped member name is the same name; text around every boundary of eight bytes */
	assert_becomes(FLOW, "{\"\\u0053ummary\":\"12345678\\n\"}",
		       "{\"Summary\":\"12345678\\n\"}");
	for (size_t n = 0; n < 40; n++) {
		char text[128], expected[128];
		(void)snprintf(text, sizeof text, "{\"Summary\":\"%.*s<\"}", (int)n,
			       "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz");
		(void)snprintf(expected, sizeof expected, "{\"Summary\":\"%.*s\\u003c\"}", (int)n,
			       "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz");
		assert_becomes(FLOW, text, expected);
	}
	assert_refused(FLOW, "{\"Summary\":\"\\ud800\"}");
	assert_refused(FLOW, "{\"Summary\":\"\\udc00\\ud800\"}");
	assert_refused(FLOW, "{\"Summary\":\"\\ud800\\u0041\"}");
	assert_refused(FLOW, "{\"Summary\":\"\xff\"}");
	assert_refused(FLOW, "{\"Summary\":\"\\n\xc0\xaf\"}");
	assert_refused(FLOW, "{\"Summary\":\"a\nb\"}");
}

static void invalid_utf8_is_written_as_the_replacement_character(void **state)
{
	AUTO_BUF struct buf b = buf_init(SIZE_MAX);
	(void)state;

	json_put_string(&b, STR("a\xff\xe2\x82z\xc3"));
	assert_string_equal(buf_cstr(&b), "\"a\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbdz\xef\xbf\xbd\"");
}

/* --- faults ------------------------------------------------------------------------- */

static void every_prefix_of_a_message_is_refused(void **state)
{
	static const char text[] =
		"{\"flow\":{\"l4\":{\"TCP\":{\"source_port\":12}},\"source_names\":[\"a\\u0041\","
		"\"b\"],"
		"\"extensions\":{\"@type\":\"x/"
		"flow.Service\",\"name\":\"n\"}},\"time\":\"2024-03-01T10:00:00Z\"}";
	struct err e;
	(void)state;

	for (size_t n = 0; n < sizeof text - 1; n++) {
		AUTO(own_free)
		char *exact =
			malloc(n ? n : 1); /* so that the sanitizer sees a byte read too far */
		assert_non_null(exact);
		memcpy(exact, text, n);
		if (is_read(RESPONSE, str_n(exact, n), &strict, NULL, &e))
			fail_msg("%.*s was read", (int)n, text);
	}
	assert_true(is_read(RESPONSE, str_of(text), &strict, NULL, &e));
}

static void unknown_members_are_told_from_other_faults(void **state)
{
	static const struct {
		const char *text;
		bool unknown; /* strictly refused for something unknown */
		bool lax;     /* read when unknown things are let pass */
	} cases[] = {
		{ "{\"bogus\":1}", true, true },
		{ "{\"bogus\":{\"a\":[1,{}]},\"verdict\":1}", true, true },
		{ "{\"bogus\":}", true, false },
		{ "{\"verdict\":\"NEW\"}", true, true },
		{ "{\"extensions\":{\"x\":1}}", true, true },
		{ "{\"verdict\":1.5}", false, false },
		{ "{\"verdict\":true}", false, false },
		{ "{\"Summary\":1}", false, false },
		{ "{\"Summary\":\"a\",\"Summary\":\"b\"}", false, false },
		{ "{\"node_name\":\"a\",\"nodeName\":\"b\"}", false, false },
		{ "{\"l4\":{\"TCP\":{},\"UDP\":{}}}", false, false },
		{ "{} {}", false, false },
		{ "[]", false, false },
	};
	(void)state;

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		bool unknown = false;
		struct err e;
		assert_false(is_read(FLOW, str_of(cases[i].text), &strict, &unknown, &e));
		assert_int_equal(unknown, cases[i].unknown);
		assert_int_equal(is_read(FLOW, str_of(cases[i].text), &lax, NULL, &e),
				 cases[i].lax);
	}
}

static void faults_name_their_place(void **state)
{
	static const char *const cases[][2] = {
		/* as recorded in golden/expected/malformed */
		{ "{\"flow\":{\"verdict\":1.5}}",
		  "proto: (line 1:20): invalid value for enum field verdict: 1.5" },
		{ "{\"flow\":{},\"lost_events\":{}}",
		  "proto: (line 1:12): error parsing \"lost_events\", oneof "
		  "observer.GetFlowsResponse.response_types is already set" },
		{ "{\"node_name\":\"a\",\"node_name\":\"b\",\"flow\":{}}",
		  "proto: (line 1:18): duplicate field \"node_name\"" },
		{ "{\"flow\":{\"Summary\":\"a\",}}",
		  "proto: syntax error (line 1:24): unexpected token }" },
		{ "{\"flow\":{\"source_names\":[\"a\",]}}",
		  "proto: syntax error (line 1:30): unexpected token ]" },
		{ "{\"flow\":{}} trailing",
		  "proto: syntax error (line 1:13): invalid value trailing" },
		{ "{\"flow\":", "proto: unexpected EOF" },
		{ "   ", "proto: syntax error (line 1:4): unexpected token " },
		{ "{flow:{}}", "proto: syntax error (line 1:2): invalid value flow" },
	};
	(void)state;

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct err e;
		assert_false(is_read(RESPONSE, str_of(cases[i][0]), &strict, NULL, &e));
		assert_string_equal(e.msg, cases[i][1]);
	}
}

static void nesting_ends_before_the_stack_does(void **state)
{
	AUTO_BUF struct buf text = buf_init(SIZE_MAX);
	struct err e;
	(void)state;

	/* unknown values: 10,000 levels in all, the message being one of them */
	for (size_t depth = 9999; depth <= 10000; depth++) {
		buf_reset(&text);
		buf_lit(&text, "{\"x\":");
		for (size_t i = 0; i < depth; i++)
			buf_char(&text, '[');
		for (size_t i = 0; i < depth; i++)
			buf_char(&text, ']');
		buf_char(&text, '}');
		assert_int_equal(is_read(FLOW, buf_str(&text), &lax, NULL, &e), depth == 9999);
	}
	/* messages: a hundred */
	buf_reset(&text);
	for (size_t i = 0; i < 100000; i++)
		buf_lit(&text, "{\"@type\":\"/google.protobuf.Any\",\"value\":");
	assert_false(
		is_read(&google__protobuf__any__descriptor, buf_str(&text), &strict, NULL, &e));
	/* on the wire: Any{ type_url, value: Any{ … } } */
	AUTO_BUF struct buf wire = buf_init(SIZE_MAX);
	AUTO_BUF struct buf outer = buf_init(SIZE_MAX);
	for (size_t i = 0; i < 300; i++) {
		buf_reset(&outer);
		buf_lit(&outer, "\x0a\x14/google.protobuf.Any\x12");
		for (size_t n = wire.len;; n >>= 7) {
			buf_char(&outer, (char)(n < 0x80 ? n : n | 0x80));
			if (n < 0x80)
				break;
		}
		buf_str_put(&outer, buf_str(&wire));
		buf_reset(&wire);
		buf_str_put(&wire, buf_str(&outer));
	}
	buf_reset(&text);
	assert_int_equal(
		json_put_message(&text, &google__protobuf__any__descriptor, buf_str(&wire), &e),
		ERR_PARSE);
	assert_int_equal(text.len, 0);
}

/* --- the wire ----------------------------------------------------------------------- */

static void assert_written(const ProtobufCMessageDescriptor *desc, struct str wire,
			   const char *expected)
{
	AUTO_BUF struct buf json = buf_init(SIZE_MAX);
	struct err e;

	enum err_code code = json_put_message(&json, desc, wire, &e);
	if (!expected) {
		assert_int_equal(code, ERR_PARSE);
		assert_int_equal(json.len, 0);
		return;
	}
	if (code != ERR_OK)
		fail_msg("%s: %s", expected, e.msg);
	assert_string_equal(buf_cstr(&json), expected);
}

static void the_wires_liberties_are_understood(void **state)
{
	(void)state;
	/* the last of a scalar counts; pieces of a message are merged; unknown fields and wrong
	 * wire types are skipped */
	assert_written(FLOW, STR("\x10\x01\x10\x02"), "{\"verdict\":\"DROPPED\"}");
	assert_written(FLOW, STR("\x42\x02\x08\x05\x42\x02\x10\x06"),
		       "{\"source\":{\"ID\":5,\"identity\":6}}");
	assert_written(FLOW, STR("\x38\x01\x12\x01x\x10\x01"), "{\"verdict\":\"FORWARDED\"}");
	/* the last member of a oneof wins */
	assert_written(&flow__layer4__descriptor, STR("\x0a\x02\x08\x01\x12\x02\x08\x02"),
		       "{\"UDP\":{\"source_port\":2}}");
	/* numbers packed, one by one, and mixed: FlowFilter.source_identity = 19 */
	assert_written(FILTER, STR("\x9a\x01\x03\x01\xac\x02\x98\x01\x05\x9a\x01\x01\x00"),
		       "{\"source_identity\":[1,300,5,0]}");
	assert_written(FILTER, STR("\x9a\x01\x00"), "{}");
	assert_written(FILTER, STR("\x9a\x01\x02\x01\xac"), NULL);
	/* a negative enum takes ten bytes; timestamps beyond their range cannot be written */
	assert_written(FLOW, STR("\x10\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"),
		       "{\"verdict\":-1}");
	assert_written(FLOW, STR("\x0a\x06\x10\x80\x94\xeb\xdc\x03"), NULL);
	assert_written(FLOW, STR("\x10"), NULL);
	assert_written(FLOW, STR("\x42\x05\x08"), NULL);
	assert_written(&grpc__health__v1__health_list_response__descriptor,
		       STR("\x0a\x07\x0a\x01s\x12\x02\x08\x01"),
		       "{\"statuses\":{\"s\":{\"status\":\"SERVING\"}}}");
}

static void a_buffer_that_is_too_small_is_said(void **state)
{
	static const char text[] =
		"{\"node_name\":\"a\\nb\",\"source\":{\"labels\":[\"x\",\"y\"]},\"is_reply\":true}";
	AUTO_BUF struct buf wire = buf_init(SIZE_MAX);
	struct err e;
	(void)state;

	assert_int_equal(json_read_message(str_of(text), FLOW, &strict, &wire, NULL, &e), ERR_OK);
	for (size_t n = 0; n < 100; n++) {
		char memory[128];
		struct buf small = buf_fixed(memory, n);
		enum err_code code =
			json_read_message(str_of(text), FLOW, &strict, &small, NULL, &e);
		assert_true(code == ERR_NOMEM ||
			    (code == ERR_OK && str_eq(buf_str(&small), buf_str(&wire))));
		small = buf_fixed(memory, n);
		code = json_put_message(&small, FLOW, buf_str(&wire), &e);
		assert_int_equal(code, n < strlen(text) - 1 ? ERR_NOMEM : code);
	}
}

static void objects_may_follow_one_another(void **state)
{
	struct str text = STR(" {\"verdict\":[\"DROPPED\"]}{\"reply\":[true]} x");
	AUTO_BUF struct buf wire = buf_init(SIZE_MAX);
	size_t used = 0;
	struct err e;
	(void)state;

	assert_int_equal(json_read_prefix(text, FILTER, &strict, &wire, &used, &e), ERR_OK);
	assert_int_equal(used, strlen(" {\"verdict\":[\"DROPPED\"]}"));
	text = str_from(text, used);
	assert_int_equal(json_read_prefix(text, FILTER, &strict, &wire, &used, &e), ERR_OK);
	assert_int_equal(used, strlen("{\"reply\":[true]}"));
	assert_int_equal(json_read_prefix(str_from(text, used), FILTER, &strict, &wire, &used, &e),
			 ERR_PARSE);
}

static void indented_json_is_laid_out_as_go_does(void **state)
{
	AUTO_BUF struct buf wire = buf_init(SIZE_MAX);
	AUTO_BUF struct buf json = buf_init(SIZE_MAX);
	struct err e;
	(void)state;

	assert_int_equal(
		json_read_message(
			STR("{\"source\":{\"labels\":[\"{a\\\"\",\"b\"]},\"destination\":{}}"),
			FLOW, &strict, &wire, NULL, &e),
		ERR_OK);
	assert_int_equal(json_put_message_indented(&json, FLOW, buf_str(&wire), "..", "  ", &e),
			 ERR_OK);
	assert_string_equal(buf_cstr(&json), "{\n"
					     "..  \"source\": {\n"
					     "..    \"labels\": [\n"
					     "..      \"{a\\\"\",\n"
					     "..      \"b\"\n"
					     "..    ]\n"
					     "..  },\n"
					     "..  \"destination\": {}\n"
					     "..}");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(members_come_in_declaration_order),
		cmocka_unit_test(keys_may_come_in_any_order_and_spelling),
		cmocka_unit_test(defaults_are_left_out_and_wrappers_kept),
		cmocka_unit_test(enums_go_by_name_and_unknown_ones_by_number),
		cmocka_unit_test(well_known_types_have_their_own_form),
		cmocka_unit_test(an_any_of_unknown_type_is_shown_as_its_bytes),
		cmocka_unit_test(numbers_are_whole_and_in_range),
		cmocka_unit_test(doubles_are_the_shortest_that_read_back),
		cmocka_unit_test(strings_are_escaped_as_the_reference_escapes_them),
		cmocka_unit_test(invalid_utf8_is_written_as_the_replacement_character),
		cmocka_unit_test(every_prefix_of_a_message_is_refused),
		cmocka_unit_test(unknown_members_are_told_from_other_faults),
		cmocka_unit_test(faults_name_their_place),
		cmocka_unit_test(nesting_ends_before_the_stack_does),
		cmocka_unit_test(the_wires_liberties_are_understood),
		cmocka_unit_test(a_buffer_that_is_too_small_is_said),
		cmocka_unit_test(objects_may_follow_one_another),
		cmocka_unit_test(indented_json_is_laid_out_as_go_does),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
