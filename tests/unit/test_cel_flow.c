/* Fields of flows: what expressions see of a record is what protobuf sees of its bytes, whether the
 * record was made from a packet or came whole. And the limits, on flows and expressions that ask
 * for much. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/buf.h"
#include "cel/cel.h"
#include "flow/flow.pb-c.h"
#include "flow/wire.h"
#include "flow_random.h"

enum { FLOWS = 300, MAX_BYTES = 1 << 20 };

static struct flow_dict *dict;

static int setup(void **state)
{
	(void)state;
	return flow_dict_new(1000, &dict, NULL) != ERR_OK;
}

static int teardown(void **state)
{
	(void)state;
	flow_dict_free(dict);
	pool_reset();
	return 0;
}

static struct cel_program *compiled(const char *text)
{
	struct cel_program *p = NULL;
	struct err e;

	if (cel_compile(str_of(text), &p, &e) != ERR_OK)
		fail_msg("%s: %s", text, e.msg);
	return p;
}

static enum cel_answer answer_of(const char *text, const struct flow *f, struct str *ret_why)
{
	AUTO(cel_free) struct cel_program *p = compiled(text);
	struct str why = STR("");
	static char kept[256];
	enum cel_answer answer = cel_eval(p, f, dict, &why);

	(void)snprintf(kept, sizeof kept, "%.*s", STR_FMT(why));
	if (ret_why)
		*ret_why = str_of(kept);
	return answer;
}

static void expect_yes(const char *text, const struct flow *f)
{
	struct str why;
	enum cel_answer answer = answer_of(text, f, &why);

	if (answer != CEL_YES)
		fail_msg("%s: answer %d %.*s", text, (int)answer, STR_FMT(why));
}

static struct flow whole(struct str bytes)
{
	struct flow f;
	struct err e;

	if (flow_decode(bytes, dict, &f, &e) != ERR_OK)
		fail_msg("%s", e.msg);
	return f;
}

static void absent_fields_are_zero_and_not_there(void **state)
{
	static const char *const rows[] = {
		"_flow == Flow{}",
		"_flow.verdict == 0 && !has(_flow.verdict)",
		"_flow.uuid == '' && !has(_flow.uuid)",
		"_flow.time == timestamp(0) && !has(_flow.time)",
		"_flow.is_reply == null && !has(_flow.is_reply)",
		"!has(_flow.l4) && !has(_flow.l4.TCP) && !has(_flow.l4.TCP.flags)",
		"_flow.l4.TCP.source_port == 0u && !_flow.l4.TCP.flags.SYN",
		"_flow.source.labels == [] && _flow.source.identity == 0u && !has(_flow.source)",
		"_flow.source == Endpoint{}",
		"_flow.l7.http.headers.size() == 0 && _flow.l7.http.method == ''",
		"_flow.trace_context.parent.trace_id == ''",
		"_flow.IP.source == '' && _flow.IP.ipVersion == IPVersion.IP_NOT_USED",
		"_flow.ethernet.source == '' && _flow.interface.name == ''",
		"_flow.node_name == ''",
		"_flow.Summary == '' && _flow.egress_allowed_by.size() == 0",
	};
	struct flow made = { .kind = FLOW_KIND_FLOW }, empty = whole(STR(""));

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		expect_yes(rows[i], &empty);
		if (!strstr(rows[i], "Flow{}") && !strstr(rows[i], "Summary"))
			expect_yes(rows[i], &made);
	}
}

static void empty_messages_are_there(void **state)
{
	/* time, IP, l4 { TCP }, source, l7, is_reply, all without content */
	struct flow f = whole(STR("\x0a\x00\x2a\x00\x32\x02\x0a\x00\x42\x00\x7a\x00\xd2\x01\x00"));

	(void)state;
	expect_yes("has(_flow.time) && has(_flow.IP) && has(_flow.source) && has(_flow.l7)", &f);
	expect_yes("has(_flow.l4) && has(_flow.l4.TCP) && !has(_flow.l4.UDP)", &f);
	expect_yes("has(has(_flow.l4.TCP)) && !has(has(_flow.l4.UDP))", &f);
	expect_yes("has(_flow.is_reply) && !_flow.is_reply", &f);
	expect_yes("!has(_flow.destination) && _flow.source == Endpoint{} && _flow != Flow{}", &f);
	struct flow bare = whole(STR("\x32\x00"));
	expect_yes("has(_flow.l4) && !has(_flow.l4.TCP) && !has(_flow.time)", &bare);
}

static void records_that_are_no_flow_have_no_fields(void **state)
{
	struct flow lost = { .kind = FLOW_KIND_LOST, .verdict = 2, .bits = FLOW_HAS_TIME };

	(void)state;
	expect_yes("_flow.uuid == '' && _flow.verdict == 0 && !has(_flow.time)", &lost);
	/* as the reference has it: no flow is not an empty flow */
	expect_yes("_flow != Flow{} && _flow == _flow", &lost);
	expect_yes("_flow.extensions == null", &lost);
	assert_int_equal(answer_of("_flow.extensions.x == 1", &lost, NULL), CEL_FAULT);
}

static void fields_that_only_the_bytes_hold_are_read(void **state)
{
	Flow__Flow *m = NEW(flow__flow);
	Flow__Layer7 *l7 = NEW(flow__layer7);
	Flow__HTTP *http = NEW(flow__http);
	Flow__HTTPHeader *header = NEW(flow__httpheader);
	Flow__Policy *policy = NEW(flow__policy);
	Google__Protobuf__BoolValue *reply = NEW(google__protobuf__bool_value);
	char *names[] = { pool_text(STR("a.example")), pool_text(STR("b.example")) };

	(void)state;
	header->key = pool_text(STR("Host"));
	header->value = pool_text(STR("web"));
	http->code = 503;
	http->method = pool_text(STR("GET"));
	http->headers = &header;
	http->n_headers = 1;
	l7->record_case = FLOW__LAYER7__RECORD_HTTP;
	l7->http = http;
	l7->latency_ns = UINT64_C(18446744073709551615);
	policy->kind = pool_text(STR("CiliumNetworkPolicy"));
	policy->revision = 7;
	m->l7 = l7;
	m->destination_names = names;
	m->n_destination_names = 2;
	m->egress_denied_by = &policy;
	m->n_egress_denied_by = 1;
	m->is_reply = reply;
	m->drop_reason_desc = (Flow__DropReason)-3;
	m->summary = pool_text(STR("TCP Flags: SYN"));
	struct flow f = whole(pack(m));
	expect_yes("_flow.l7.http.code == 503u && _flow.l7.http.headers[0].value == 'web'", &f);
	expect_yes("has(_flow.l7.http) && !has(_flow.l7.dns) && _flow.l7.dns.query == ''", &f);
	expect_yes("_flow.l7.latency_ns == 18446744073709551615u", &f);
	expect_yes("_flow.destination_names == ['a.example', 'b.example']", &f);
	expect_yes("_flow.egress_denied_by.exists(p, p.revision == 7u && p.kind != '')", &f);
	expect_yes("has(_flow.is_reply) && _flow.is_reply == false", &f);
	expect_yes("_flow.drop_reason_desc == -3 && _flow.Summary.startsWith('TCP')", &f);
	expect_yes("_flow == _flow && _flow != Flow{}", &f);
	expect_yes("_flow.l7.http == HTTP{code: 503u, method: 'GET', headers: [HTTPHeader{key: "
		   "'Host', value: 'web'}]}",
		   &f);
}

static void made_flows_have_in_ext_what_no_member_holds(void **state)
{
	Flow__Flow *m = NEW(flow__flow);
	Flow__Layer7 *l7 = NEW(flow__layer7);
	Flow__DNS *dns = NEW(flow__dns);
	Flow__Aggregate *aggregate = NEW(flow__aggregate);
	char *names[] = { pool_text(STR("a.example")) };

	(void)state;
	dns->query = pool_text(STR("a.example."));
	l7->record_case = FLOW__LAYER7__RECORD_DNS;
	l7->dns = dns;
	aggregate->ingress_flow_count = 3;
	m->source_names = names;
	m->n_source_names = 1;
	m->l7 = l7;
	m->aggregate = aggregate;
	struct str ext = pack(m);
	struct flow f = {
		.bits = FLOW_HAS_L7 | FLOW_HAS_NAMES,
		.verdict = 2,
		.ext = (const uint8_t *)ext.p,
		.ext_len = (uint32_t)ext.len,
	};
	expect_yes("_flow.l7.dns.query == 'a.example.' && has(_flow.l7) && has(_flow.l7.dns)", &f);
	expect_yes("_flow.source_names == ['a.example'] && _flow.verdict == 2", &f);
	expect_yes("_flow.aggregate.ingress_flow_count == 3u && !has(_flow.tunnel)", &f);
	expect_yes("dyn(_flow).l7 == _flow.l7 && dyn(_flow).verdict == 2", &f);
	f.bits = 0;
	f.ext_len = 0;
	expect_yes("!has(_flow.l7) && _flow.l7.dns.query == '' && _flow.source_names == []", &f);
}

static void pieces_of_a_message_are_merged_and_the_last_of_a_oneof_counts(void **state)
{
	AUTO_BUF struct buf b = buf_init(MAX_BYTES);

	(void)state;
	for (uint32_t number = 100; number <= 102; number++) {
		size_t l7 = wire_begin(&b, 15);

		if (number < 102) {
			wire_put_len(&b, number,
				     STR("\x0a\x01x")); /* dns { query: "x" }, then http */
		} else {
			wire_put_len(&b, 101, STR("\x12\x03GET"));
			wire_put_len(&b, 101, STR("\x08\x05"));
		}
		wire_end(&b, l7);
	}
	struct flow f = whole(buf_str(&b));
	expect_yes("!has(_flow.l7.dns) && _flow.l7.dns.query == ''", &f);
	expect_yes("_flow.l7.http.method == 'GET' && _flow.l7.http.code == 5u", &f);
}

/* A record with something in most members. */
static struct flow random_flow(struct random *r)
{
	static const uint8_t l4[] = { FLOW_L4_NONE, FLOW_L4_TCP, FLOW_L4_UDP, FLOW_L4_SCTP };
	struct flow f = {
		.bits = (uint32_t)random_u64(r) &
			(FLOW_HAS_TIME | FLOW_HAS_IP | FLOW_ENCRYPTED | FLOW_HAS_UUID |
			 FLOW_HAS_EVENT_TYPE | FLOW_HAS_IFACE),
		.time = { random_number(r, UINT64_MAX / 2) },
		.uuid = { random_u64(r), random_u64(r) },
		.verdict = (uint8_t)random_below(r, 9),
		.type = (uint8_t)random_below(r, 4),
		.l4 = l4[random_below(r, 4)],
		.direction = (uint8_t)random_below(r, 3),
		.is_reply = (uint8_t)random_below(r, 3),
		.trace_point = (uint8_t)random_below(r, 12),
		.trace_reason = (uint8_t)random_below(r, 9),
		.auth_type = (uint8_t)random_below(r, 3),
		.capture_point = (uint8_t)random_below(r, 12),
		.sock_point = (uint8_t)random_below(r, 5),
		.event_type = (int32_t)random_number(r, UINT32_MAX),
		.event_sub_type = (int32_t)random_number(r, UINT32_MAX),
		.drop_reason = (uint32_t)random_number(r, UINT32_MAX),
		.drop_desc = (uint32_t)random_number(r, UINT32_MAX),
		.policy_match_type = (uint32_t)random_number(r, UINT32_MAX),
		.proxy_port = (uint32_t)random_number(r, UINT32_MAX),
		.socket_cookie = random_number(r, UINT64_MAX),
		.cgroup_id = random_number(r, UINT64_MAX),
		.src_ep = random_endpoint(r, dict),
		.dst_ep = random_bool(r) ? random_endpoint(r, dict) : (struct endpoint_id){ 0 },
		.ifindex = 3,
		.ifname = "eth0",
	};

	if (f.l4) {
		f.src_port = (uint16_t)random_number(r, UINT16_MAX);
		f.dst_port = (uint16_t)random_number(r, UINT16_MAX);
	}
	if (f.l4 == FLOW_L4_TCP && random_bool(r)) {
		f.bits |= FLOW_HAS_TCP_FLAGS;
		f.tcp_flags = (uint16_t)random_below(r, 512);
	}
	if (f.bits & FLOW_HAS_IP) {
		f.bits |= FLOW_HAS_SRC_IP | FLOW_HAS_DST_IP;
		random_ip(r, f.src_ip);
		random_ip(r, f.dst_ip);
		f.ip_version = 1 + !ip_is_v4(f.src_ip);
	} else {
		f.bits &= ~(uint32_t)FLOW_ENCRYPTED;
	}
	return f;
}

/* Paths that the record answers, and the same through dyn(), which has the message's bytes asked.
 */
static void records_and_their_bytes_answer_alike(void **state)
{
	static const char *const paths[] = {
		"verdict",
		"Type",
		"traffic_direction",
		"auth_type",
		"trace_observation_point",
		"trace_reason",
		"debug_capture_point",
		"sock_xlate_point",
		"drop_reason",
		"drop_reason_desc",
		"policy_match_type",
		"proxy_port",
		"socket_cookie",
		"cgroup_id",
		"event_type.type",
		"event_type.sub_type",
		"is_reply",
		"time",
		"IP.source",
		"IP.destination",
		"IP.source_xlated",
		"IP.ipVersion",
		"IP.encrypted",
		"l4.TCP.source_port",
		"l4.TCP.destination_port",
		"l4.UDP.source_port",
		"l4.UDP.destination_port",
		"l4.SCTP.source_port",
		"l4.SCTP.destination_port",
		"l4.TCP.flags.FIN",
		"l4.TCP.flags.SYN",
		"l4.TCP.flags.RST",
		"l4.TCP.flags.PSH",
		"l4.TCP.flags.ACK",
		"l4.TCP.flags.URG",
		"l4.TCP.flags.ECE",
		"l4.TCP.flags.CWR",
		"l4.TCP.flags.NS",
		"source.ID",
		"source.identity",
		"source.cluster_name",
		"source.namespace",
		"source.pod_name",
		"source.labels",
		"destination.ID",
		"destination.identity",
		"destination.cluster_name",
		"destination.namespace",
		"destination.pod_name",
		"destination.labels",
		"interface.name",
		"uuid",
		"Summary",
		"source.workloads",
		"node_name",
	};
	static const char *const presences[] = {
		"l4.TCP",
		"l4.UDP",
		"l4.SCTP",
		"l4.ICMPv4",
		"time",
		"IP",
		"l7",
		"is_reply",
		"source",
		"destination",
		"verdict",
		"uuid",
		"l4",
		"event_type",
		"interface",
		"source.labels",
		"source.identity",
	};
	struct random r = random_of("test_cel_flow", 1);

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(paths) + ARRAY_LEN(presences); i++) {
		char text[200], presence[200];
		bool has = i >= ARRAY_LEN(paths);
		const char *path = has ? presences[i - ARRAY_LEN(paths)] : paths[i];

		(void)snprintf(text, sizeof text, "dyn(_flow).%s == _flow.%s", path, path);
		(void)snprintf(presence, sizeof presence, "has(dyn(_flow).%s) == has(_flow.%s)",
			       path, path);
		AUTO(cel_free) struct cel_program *p = compiled(has ? presence : text);
		for (size_t k = 0; k < FLOWS; k++) {
			AUTO_BUF struct buf b = buf_init(MAX_BYTES);
			struct flow made = random_flow(&r);
			struct str why = STR("");

			flow_encode(&b, &made, dict);
			struct flow read = whole(buf_str(&b));
			if (cel_eval(p, &made, dict, &why) != CEL_YES ||
			    cel_eval(p, &read, dict, &why) != CEL_YES)
				fail_msg("%s: flow %zu; %.*s", text, k, STR_FMT(why));
		}
	}
}

/* --- limits -------------------------------------------------------------------------------- */

static char *repeat(const char *before, const char *middle, const char *after, size_t n)
{
	size_t nb = strlen(before), na = strlen(after), nm = strlen(middle), at = 0;
	char *text = malloc(n * (nb + na) + nm + 1);

	assert_non_null(text);
	for (size_t i = 0; i < n; i++, at += nb)
		memcpy(text + at, before, nb);
	memcpy(text + at, middle, nm);
	at += nm;
	for (size_t i = 0; i < n; i++, at += na)
		memcpy(text + at, after, na);
	text[at] = '\0';
	return text;
}

static void expect_refused(char *text, const char *sentence)
{
	struct cel_program *p = NULL;
	struct err e = { .msg = "" };

	assert_int_not_equal(cel_compile(str_of(text), &p, &e), ERR_OK);
	if (!strstr(e.msg, sentence))
		fail_msg("%.80s: %s", text, e.msg);
	free(text);
}

static void nesting_is_bounded(void **state)
{
	static const char limit[] = "ERROR: <input>:-1:0: expression recursion limit exceeded: 250",
			  deepest[] = "ERROR: <input>:-1:0: max recursion depth exceeded";

	(void)state;
	expect_refused(repeat("(", "true", ")", 251), limit);
	expect_refused(repeat("(", "true", ")", 100000 / 2 - 2), limit);
	expect_refused(repeat("[", "1", "]", 300), limit);
	expect_refused(repeat("", "1", " + 1", 20000), deepest);
	expect_refused(repeat("", "_flow", ".source", 10000), deepest);
	expect_refused(repeat("true ? true : ", "true", "", 300), limit);
	expect_refused(repeat("[1].map(x, ", "x", ")", 260), limit);
	AUTO(own_free)
	char *chain = repeat("", "true", " && true", 12000), *deep = repeat("(", "true", ")", 200);
	struct flow f = { .kind = FLOW_KIND_FLOW };
	expect_yes(chain, &f);
	expect_yes(deep, &f);
}

static void length_is_bounded(void **state)
{
	(void)state;
	expect_refused(repeat(" ", "true", "", 100000),
		       "expression code point size exceeds limit: size: 100004, limit 100000");
	AUTO(own_free) char *longest = repeat(" ", "true", "", 99996);
	struct flow f = { .kind = FLOW_KIND_FLOW };
	expect_yes(longest, &f);
}

static void what_takes_too_long_is_a_fault(void **state)
{
	struct flow f = { .kind = FLOW_KIND_FLOW };
	AUTO_BUF struct buf list = buf_init(MAX_BYTES);
	static const char *const rows[] = {
		"L.all(a, L.all(b, L.all(c, L.all(d, a != b + c + d + 1000))))",
		"true || L.all(a, L.all(b, L.all(c, L.all(d, a != b + c + d + 1000))))",
		"L.map(a, L.map(b, L.map(c, L.map(d, a)))).size() == 0",
		"L.map(a, 'x').map(a, a + a).map(a, L.map(b, L.map(c, a.matches(dyn(a))))).size() "
		"== 0",
		"[L].map(a, [a, a]).map(a, [a, a]).map(a, [a, a]).map(a, [a, a]).map(a, [a, a])"
		".map(a, [a, a]).map(a, [a, a]).map(a, [a, a]).map(a, [a, a]).map(a, [a, a])"
		".map(a, [a, a]).map(a, [a, a]).map(a, [a, a]).map(a, [a, a]).map(a, [a, a])"
		".all(a, a == a)",
	};

	(void)state;
	buf_lit(&list, "[_flow.verdict");
	for (int i = 1; i < 64; i++)
		buf_printf(&list, ",%d", i);
	buf_lit(&list, "]");
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		AUTO_BUF struct buf text = buf_init(MAX_BYTES);
		struct str why;

		for (const char *c = rows[i]; *c; c++) {
			if (*c == 'L')
				buf_str_put(&text, buf_str(&list));
			else
				buf_char(&text, *c);
		}
		enum cel_answer answer = answer_of(buf_cstr(&text), &f, &why);
		if (i == 1)
			assert_int_equal(answer, CEL_YES); /* it need not look */
		else if (answer != CEL_FAULT ||
			 !str_has_prefix(why, STR("the expression needs too m")))
			fail_msg("%s: %d %.*s", rows[i], (int)answer, STR_FMT(why));
	}
}

/* Each a thousand steps, that one evaluation may not have, but does not need. */
static void constants_that_take_too_long_are_left_to_the_evaluation(void **state)
{
	AUTO(own_free)
	char *text = repeat("", "true", " || 'aaaaaaaaaaaaaaaaaaaaaa'.matches('(a*)*b')", 2000);
	AUTO(own_free)
	char *all = repeat("", "true", " && !'aaaaaaaaaaaaaaaaaaaaaa'.matches('(a*)*b')", 2000);
	struct flow f = { .kind = FLOW_KIND_FLOW };
	struct str why;

	(void)state;
	expect_yes(text, &f);
	assert_int_equal(answer_of(all, &f, &why), CEL_FAULT);
	assert_true(str_is(why, "the expression needs too many steps"));
}

static void types_that_double_are_given_up(void **state)
{
	(void)state;
	/* [map(int, [map(int, …)])]: not as deep as it is wide, 2^60 parts if written out */
	expect_refused(repeat("", "[1]", ".map(a, {a: a})", 60), "the expression is too complex");
}

static void texts_that_grow_run_out_of_memory(void **state)
{
	AUTO(own_free)
	char *text =
		repeat("", "[string(_flow.verdict) + 'xxxxxxxxxxxxxxxx']", ".map(a, a + a)", 40);
	AUTO_BUF struct buf b = buf_init(MAX_BYTES);
	struct flow f = { .kind = FLOW_KIND_FLOW };
	struct str why;

	(void)state;
	buf_printf(&b, "%s.size() == 1", text);
	assert_int_equal(answer_of(buf_cstr(&b), &f, &why), CEL_FAULT);
	assert_true(str_is(why, "the expression needs too much memory"));
}

static void a_program_answers_again_after_a_fault(void **state)
{
	AUTO(cel_free)
	struct cel_program *p =
		compiled("[_flow.verdict].map(v, 10 / v)[0] > 4 && _flow.uuid == ''");
	struct flow zero = { .kind = FLOW_KIND_FLOW }, two = { .verdict = 2 };
	struct str why = STR("");

	(void)state;
	for (int i = 0; i < 3; i++) {
		assert_int_equal(cel_eval(p, &zero, dict, &why), CEL_FAULT);
		assert_true(str_is(why, "division by zero"));
		assert_int_equal(cel_eval(p, &two, dict, &why), CEL_YES);
	}
}

static void memory_is_taken_back_after_each_evaluation(void **state)
{
	AUTO(cel_free)
	struct cel_program *p =
		compiled("('xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx' + _flow.IP.source).size() == 32");
	struct flow f = { .verdict = 1 };
	struct str why = STR("");

	(void)state;
	for (size_t i = 0; i < CEL_MEMORY_BYTES / 16; i++)
		assert_int_equal(cel_eval(p, &f, dict, &why), CEL_YES);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(absent_fields_are_zero_and_not_there),
		cmocka_unit_test(empty_messages_are_there),
		cmocka_unit_test(records_that_are_no_flow_have_no_fields),
		cmocka_unit_test(fields_that_only_the_bytes_hold_are_read),
		cmocka_unit_test(made_flows_have_in_ext_what_no_member_holds),
		cmocka_unit_test(pieces_of_a_message_are_merged_and_the_last_of_a_oneof_counts),
		cmocka_unit_test(records_and_their_bytes_answer_alike),
		cmocka_unit_test(nesting_is_bounded),
		cmocka_unit_test(length_is_bounded),
		cmocka_unit_test(what_takes_too_long_is_a_fault),
		cmocka_unit_test(constants_that_take_too_long_are_left_to_the_evaluation),
		cmocka_unit_test(types_that_double_are_given_up),
		cmocka_unit_test(texts_that_grow_run_out_of_memory),
		cmocka_unit_test(memory_is_taken_back_after_each_evaluation),
		cmocka_unit_test(a_program_answers_again_after_a_fault),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
