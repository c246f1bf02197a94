/* lib/flow: names of numbers, against the reference tables of Cilium 1.19.4, and our field numbers
 * against the compiled descriptors. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "flow/fields.h"
#include "flow/flow.h"
#include "flow/flow.pb-c.h"
#include "flow/names.h"
#include "observer/observer.pb-c.h"
#include "recorded.h"

enum { MAX_BYTES = 4096, MAX_COLUMNS = 8 };

/* The next line's columns, borrowed from @line. @return how many; 0 at the end. */
static size_t next_row(FILE *f, char line[1024], struct str columns[MAX_COLUMNS])
{
	size_t n = 0;

	if (!fgets(line, 1024, f))
		return 0;
	struct str rest = str_upto(str_of(line), str_find(str_of(line), '\n'));
	while (n < MAX_COLUMNS && str_split(&rest, '\t', &columns[n]))
		n++;
	return n;
}

static uint32_t number(struct str s)
{
	uint32_t v = 0;

	assert_true(parse_u32(s, &v));
	return v;
}

static void assert_text(const char *got, struct str want)
{
	if (!got || !str_is(want, got))
		fail_msg("'%s' is not '%.*s'", got ? got : "(none)", STR_FMT(want));
}

static void each_drop_reason_has_its_text(void **state)
{
	(void)state;
	FILE *f = recorded_open("reference/drop-reasons.tsv");
	char line[1024];
	struct str c[MAX_COLUMNS];
	size_t rows = 0;

	while (next_row(f, line, c)) {
		if (str_is(c[0], "code"))
			continue;
		const char *text = drop_reason_text(number(c[0]));
		if (str_is(c[2], "-"))
			assert_null(text);
		else
			assert_text(text, c[2]);
		if (!str_is(c[1], "-"))
			assert_text(
				enum_name(&flow__drop_reason__descriptor, (int32_t)number(c[0])),
				c[1]);
		rows++;
	}
	(void)fclose(f);
	assert_true(rows > 80);
	assert_null(drop_reason_text(1));
	assert_null(drop_reason_text(206));
	assert_null(drop_reason_text(UINT32_MAX));
}

static void each_reserved_identity_has_its_name(void **state)
{
	(void)state;
	FILE *f = recorded_open("reference/reserved-identities.tsv");
	char line[1024];
	struct str c[MAX_COLUMNS];
	size_t rows = 0;

	while (next_row(f, line, c)) {
		if (str_is(c[0], "number"))
			continue;
		uint32_t n = number(c[0]), parsed = 77;
		if (str_eq(c[0], c[2])) /* rendered as its number */
			assert_null(identity_name(n));
		else
			assert_text(identity_name(n), c[2]);
		assert_int_equal(identity_parse_name(c[1], &parsed), str_is(c[3], "yes"));
		assert_int_equal(parsed, str_is(c[3], "yes") ? n : 77);
		rows++;
	}
	(void)fclose(f);
	assert_int_equal(rows, 12);
	uint32_t n;
	assert_null(identity_name(12));
	assert_false(identity_parse_name(STR("World"), &n));
	assert_false(identity_parse_name(STR(""), &n));
}

static void enums_are_those_of_the_reference(void **state)
{
	(void)state;
	static const struct {
		const char *name;
		const ProtobufCEnumDescriptor *desc;
	} enums[] = {
		{ "FlowType", &flow__flow_type__descriptor },
		{ "AuthType", &flow__auth_type__descriptor },
		{ "TraceObservationPoint", &flow__trace_observation_point__descriptor },
		{ "TraceReason", &flow__trace_reason__descriptor },
		{ "L7FlowType", &flow__l7_flow_type__descriptor },
		{ "IPVersion", &flow__ipversion__descriptor },
		{ "Verdict", &flow__verdict__descriptor },
		{ "DropReason", &flow__drop_reason__descriptor },
		{ "TrafficDirection", &flow__traffic_direction__descriptor },
		{ "DebugCapturePoint", &flow__debug_capture_point__descriptor },
		{ "LostEventSource", &flow__lost_event_source__descriptor },
		{ "AgentEventType", &flow__agent_event_type__descriptor },
		{ "SocketTranslationPoint", &flow__socket_translation_point__descriptor },
		{ "DebugEventType", &flow__debug_event_type__descriptor },
		{ "NodeState", &relay__node_state__descriptor },
	};
	FILE *f = recorded_open("reference/hubble-enums.tsv");
	char line[1024];
	struct str c[MAX_COLUMNS];
	size_t rows = 0;

	while (next_row(f, line, c))
		for (size_t i = 0; i < ARRAY_LEN(enums); i++) {
			if (!str_is(c[1], enums[i].name))
				continue;
			int32_t n = -1;
			assert_text(enum_name(enums[i].desc, (int32_t)number(c[3])), c[2]);
			assert_true(enum_number(enums[i].desc, c[2], &n));
			assert_int_equal(n, number(c[3]));
			rows++;
		}
	(void)fclose(f);
	assert_true(rows > 200);
}

static void an_unknown_enum_number_is_written_in_decimal(void **state)
{
	(void)state;
	AUTO_BUF struct buf b = buf_init(MAX_BYTES);
	int32_t n = 5;

	enum_put(&b, &flow__verdict__descriptor, 2);
	buf_char(&b, ' ');
	enum_put(&b, &flow__verdict__descriptor, 99);
	buf_char(&b, ' ');
	enum_put(&b, &flow__verdict__descriptor, -1);
	assert_string_equal(buf_cstr(&b), "DROPPED 99 -1");
	assert_false(enum_number(&flow__verdict__descriptor, STR("dropped"), &n));
	assert_false(enum_number(&flow__verdict__descriptor, STR("DROPPE"), &n));
	assert_int_equal(n, 5);
}

/* Source: reference/cilium-events.md 3.4, 3.8, 2, 6.1, 6.5. */
static void events_have_their_texts(void **state)
{
	(void)state;
	assert_string_equal(trace_point_text(0), "to-endpoint");
	assert_string_equal(trace_point_text(3), "to-stack");
	assert_string_equal(trace_point_text(9), "from-overlay");
	assert_string_equal(trace_point_text(13), "to-crypto");
	assert_null(trace_point_text(14));
	assert_null(trace_point_text(101));
	assert_string_equal(policy_match_text(0), "none");
	assert_string_equal(policy_match_text(1), "L3-Only");
	assert_string_equal(policy_match_text(2), "L3-L4");
	assert_string_equal(policy_match_text(3), "L4-Only");
	assert_string_equal(policy_match_text(4), "all");
	assert_string_equal(policy_match_text(5), "L3-Proto");
	assert_string_equal(policy_match_text(6), "Proto-Only");
	assert_string_equal(policy_match_text(7), "unknown");
	assert_string_equal(event_type_text(0), "unspec");
	assert_string_equal(event_type_text(1), "drop");
	assert_string_equal(event_type_text(3), "capture");
	assert_string_equal(event_type_text(5), "policy-verdict");
	assert_null(event_type_text(6));
	assert_string_equal(event_type_text(7), "trace-sock");
	assert_string_equal(event_type_text(129), "l7");
	assert_string_equal(event_type_text(130), "agent");
	assert_null(event_type_text(-1));
	assert_string_equal(igmp_type_text(0x11), "IGMP Membership Query");
	assert_string_equal(igmp_type_text(0x22), "IGMPv3 Membership Report");
	assert_string_equal(igmp_type_text(0), "");
	assert_string_equal(dns_type_text(1), "A");
	assert_string_equal(dns_type_text(28), "AAAA");
	assert_string_equal(dns_type_text(256), "URI");
	assert_string_equal(dns_type_text(257), "Unknown"); /* CAA */
	assert_string_equal(dns_type_text(17), "Unknown");
	assert_string_equal(dns_type_text(0), "Unknown");
	assert_string_equal(dns_rcode_text(0), "No Error");
	assert_string_equal(dns_rcode_text(3), "Non-Existent Domain");
	assert_string_equal(dns_rcode_text(11), "Unknown");
	assert_string_equal(dns_rcode_text(23), "Bad Cookie");
	assert_string_equal(dns_rcode_text(UINT16_MAX), "Unknown");
}

static void protocols_have_their_names(void **state)
{
	(void)state;
	assert_string_equal(l4_name(FLOW_L4_NONE), "");
	assert_string_equal(l4_name(FLOW_L4_TCP), "TCP");
	assert_string_equal(l4_name(FLOW_L4_ICMP6), "ICMPv6");
	assert_string_equal(l4_name(FLOW_L4_IGMP), "IGMP");
	assert_string_equal(l4_name(FLOW_L4_IGMP + 1), "");
	assert_string_equal(l4_name(UINT64_MAX), "");
}

static void icmp_messages_have_their_texts(void **state)
{
	(void)state;
	static const struct {
		uint8_t version, type, code;
		const char *text;
	} cases[] = {
		{ 4, 8, 0, "EchoRequest" },
		{ 4, 0, 0, "EchoReply" },
		{ 4, 8, 3, "EchoRequest(Code: 3)" },
		{ 4, 3, 3, "DestinationUnreachable(Port)" },
		{ 4, 3, 15, "DestinationUnreachable(PrecedenceCutoff)" },
		{ 4, 3, 16, "DestinationUnreachable(Code: 16)" },
		{ 4, 5, 2, "Redirect(TOS+Net)" },
		{ 4, 11, 0, "TimeExceeded(TTLExceeded)" },
		{ 4, 12, 2, "ParameterProblem(BadLength)" },
		{ 4, 200, 1, "200(1)" },
		{ 6, 128, 0, "EchoRequest" },
		{ 6, 1, 4, "DestinationUnreachable(PortUnreachable)" },
		{ 6, 2, 0, "PacketTooBig" },
		{ 6, 3, 9, "TimeExceeded(Code: 9)" },
		{ 6, 135, 0, "NeighborSolicitation" },
		{ 6, 8, 0, "8(0)" },
	};
	AUTO_BUF struct buf b = buf_init(MAX_BYTES);

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		buf_reset(&b);
		(cases[i].version == 4 ? icmp4_text_put : icmp6_text_put)(&b, cases[i].type,
									  cases[i].code);
		assert_string_equal(buf_cstr(&b), cases[i].text);
	}
}

static void our_field_numbers_are_those_of_the_descriptors(void **state)
{
	(void)state;
	static const struct {
		const ProtobufCMessageDescriptor *desc;
		const char *name;
		unsigned number;
	} fields[] = {
#define FLOW(field_name, constant) { &flow__flow__descriptor, field_name, constant }
		FLOW("time", FLOW_FIELD_TIME),
		FLOW("verdict", FLOW_FIELD_VERDICT),
		FLOW("drop_reason", FLOW_FIELD_DROP_REASON),
		FLOW("ethernet", FLOW_FIELD_ETHERNET),
		FLOW("IP", FLOW_FIELD_IP),
		FLOW("l4", FLOW_FIELD_L4),
		FLOW("source", FLOW_FIELD_SOURCE),
		FLOW("destination", FLOW_FIELD_DESTINATION),
		FLOW("Type", FLOW_FIELD_TYPE),
		FLOW("node_name", FLOW_FIELD_NODE_NAME),
		FLOW("source_names", FLOW_FIELD_SOURCE_NAMES),
		FLOW("destination_names", FLOW_FIELD_DESTINATION_NAMES),
		FLOW("l7", FLOW_FIELD_L7),
		FLOW("reply", FLOW_FIELD_REPLY),
		FLOW("event_type", FLOW_FIELD_EVENT_TYPE),
		FLOW("source_service", FLOW_FIELD_SOURCE_SERVICE),
		FLOW("destination_service", FLOW_FIELD_DESTINATION_SERVICE),
		FLOW("traffic_direction", FLOW_FIELD_TRAFFIC_DIRECTION),
		FLOW("policy_match_type", FLOW_FIELD_POLICY_MATCH_TYPE),
		FLOW("trace_observation_point", FLOW_FIELD_TRACE_OBSERVATION_POINT),
		FLOW("drop_reason_desc", FLOW_FIELD_DROP_REASON_DESC),
		FLOW("is_reply", FLOW_FIELD_IS_REPLY),
		FLOW("debug_capture_point", FLOW_FIELD_DEBUG_CAPTURE_POINT),
		FLOW("interface", FLOW_FIELD_INTERFACE),
		FLOW("proxy_port", FLOW_FIELD_PROXY_PORT),
		FLOW("trace_context", FLOW_FIELD_TRACE_CONTEXT),
		FLOW("sock_xlate_point", FLOW_FIELD_SOCK_XLATE_POINT),
		FLOW("socket_cookie", FLOW_FIELD_SOCKET_COOKIE),
		FLOW("cgroup_id", FLOW_FIELD_CGROUP_ID),
		FLOW("uuid", FLOW_FIELD_UUID),
		FLOW("auth_type", FLOW_FIELD_AUTH_TYPE),
		FLOW("trace_reason", FLOW_FIELD_TRACE_REASON),
		FLOW("node_labels", FLOW_FIELD_NODE_LABELS),
		FLOW("file", FLOW_FIELD_FILE),
		FLOW("tunnel", FLOW_FIELD_TUNNEL),
		FLOW("ip_trace_id", FLOW_FIELD_IP_TRACE_ID),
		FLOW("emitter", FLOW_FIELD_EMITTER),
		FLOW("egress_allowed_by", FLOW_FIELD_EGRESS_ALLOWED_BY),
		FLOW("ingress_allowed_by", FLOW_FIELD_INGRESS_ALLOWED_BY),
		FLOW("egress_denied_by", FLOW_FIELD_EGRESS_DENIED_BY),
		FLOW("ingress_denied_by", FLOW_FIELD_INGRESS_DENIED_BY),
		FLOW("policy_log", FLOW_FIELD_POLICY_LOG),
		FLOW("aggregate", FLOW_FIELD_AGGREGATE),
		FLOW("Summary", FLOW_FIELD_SUMMARY),
		FLOW("extensions", FLOW_FIELD_EXTENSIONS),
		FLOW("tycho", FLOW_FIELD_TYCHO),
#undef FLOW
		{ &tycho__v1__flow_detail__descriptor, "seq", DETAIL_FIELD_SEQ },
		{ &tycho__v1__flow_detail__descriptor, "packets", DETAIL_FIELD_PACKETS },
		{ &tycho__v1__flow_detail__descriptor, "bytes", DETAIL_FIELD_BYTES },
		{ &tycho__v1__flow_detail__descriptor, "kernel_drop_reason",
		  DETAIL_FIELD_KERNEL_DROP_REASON },
		{ &tycho__v1__flow_detail__descriptor, "netns", DETAIL_FIELD_NETNS },
		{ &tycho__v1__flow_detail__descriptor, "nflog_prefix", DETAIL_FIELD_NFLOG_PREFIX },
		{ &observer__export_event__descriptor, "flow", RESPONSE_FIELD_FLOW },
		{ &observer__export_event__descriptor, "node_status", RESPONSE_FIELD_NODE_STATUS },
		{ &observer__export_event__descriptor, "lost_events", RESPONSE_FIELD_LOST_EVENTS },
		{ &observer__export_event__descriptor, "agent_event", RESPONSE_FIELD_AGENT_EVENT },
		{ &observer__export_event__descriptor, "debug_event", RESPONSE_FIELD_DEBUG_EVENT },
		{ &observer__export_event__descriptor, "node_name", RESPONSE_FIELD_NODE_NAME },
		{ &observer__export_event__descriptor, "time", RESPONSE_FIELD_TIME },
		{ &observer__get_flows_response__descriptor, "lost_events",
		  RESPONSE_FIELD_LOST_EVENTS },
		{ &observer__get_flows_response__descriptor, "time", RESPONSE_FIELD_TIME },
	};
	size_t of_flow = 0;

	for (size_t i = 0; i < ARRAY_LEN(fields); i++) {
		const ProtobufCFieldDescriptor *fd =
			protobuf_c_message_descriptor_get_field_by_name(fields[i].desc,
									fields[i].name);
		assert_non_null(fd);
		assert_int_equal(fd->id, fields[i].number);
		of_flow += fields[i].desc == &flow__flow__descriptor;
	}
	assert_int_equal(of_flow, flow__flow__descriptor.n_fields); /* none was forgotten */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_drop_reason_has_its_text),
		cmocka_unit_test(each_reserved_identity_has_its_name),
		cmocka_unit_test(enums_are_those_of_the_reference),
		cmocka_unit_test(an_unknown_enum_number_is_written_in_decimal),
		cmocka_unit_test(events_have_their_texts),
		cmocka_unit_test(protocols_have_their_names),
		cmocka_unit_test(icmp_messages_have_their_texts),
		cmocka_unit_test(our_field_numbers_are_those_of_the_descriptors),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
