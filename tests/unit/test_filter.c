/* The contract of filter/filter.h: lists, records of every kind, odd flows, batches, mistakes. */
#include <setjmp.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/buf.h"
#include "flow/wire.h"
#include "filter/zone.h"
#include "filter_short.h"

static bool matches(Flow__FlowFilter *white, const struct flow *f, const struct flow_dict *d)
{
	AUTO(flow_filter_free) struct flow_filter *ff = filter_of(white, NULL, d);
	uint64_t bits;

	bool one = flow_filter_match(ff, f);
	assert_int_equal(flow_filter_match_n(ff, f, 1, &bits), one);
	assert_int_equal(bits, one);
	assert_true(zone_may_match(ff, f) || !one);
	return one;
}

/* --- lists ------------------------------------------------------------------------------------ */

static void no_filter_and_empty_filters_match_everything(void **state)
{
	AUTO(flow_dict_free) struct flow_dict *d = dict_of(10);
	struct flow flows[65] = { { .kind = FLOW_KIND_LOST } };
	Flow__FlowFilter *empty = NEW(flow__flow_filter);
	uint64_t bits[2];

	(void)state;
	AUTO(flow_filter_free) struct flow_filter *nothing = filter_of(NULL, NULL, d);
	AUTO(flow_filter_free) struct flow_filter *white = filter_of(empty, NULL, d);
	AUTO(flow_filter_free) struct flow_filter *black = filter_of(NULL, empty, d);
	assert_true(flow_filter_is_empty(NULL));
	assert_true(flow_filter_is_empty(nothing));
	assert_true(flow_filter_is_empty(white));
	assert_false(flow_filter_is_empty(black));
	assert_true(flow_filter_match(NULL, &flows[0]));
	assert_true(flow_filter_match(nothing, &flows[0]));
	assert_true(flow_filter_match(white, &flows[1]));
	assert_false(flow_filter_match(black, &flows[0]));
	assert_int_equal(flow_filter_match_n(NULL, flows, 65, bits), 65);
	assert_int_equal(bits[0], UINT64_MAX);
	assert_int_equal(bits[1], 1);
	assert_int_equal(flow_filter_match_n(black, flows, 65, bits), 0);
	assert_int_equal(bits[0] | bits[1], 0);
	assert_int_equal(flow_filter_match_n(white, flows, 0, bits), 0);
}

static void the_blacklist_takes_from_what_any_whitelist_filter_lets_in(void **state)
{
	AUTO(flow_dict_free) struct flow_dict *d = dict_of(10);
	AUTO(flow_filter_free) struct flow_filter *ff = NULL;
	Flow__FlowFilter *white[2] = { NEW(flow__flow_filter), NEW(flow__flow_filter) },
			 *black = NEW(flow__flow_filter);
	struct flow flows[] = {
		{ .l4 = FLOW_L4_UDP, .src_port = 5000, .dst_port = 53 },
		{ .l4 = FLOW_L4_UDP, .src_port = 53, .dst_port = 5000 },
		{ .l4 = FLOW_L4_TCP, .src_port = 5000, .dst_port = 53 },
		{ .l4 = FLOW_L4_UDP, .src_port = 5000, .dst_port = 123 },
		{ .l4 = FLOW_L4_NONE, .src_port = 53, .dst_port = 53 },
	};
	uint64_t bits;

	(void)state;
	set_texts(white[0], source_port, 1, "53");
	set_texts(white[1], destination_port, 1, "53");
	set_texts(black, protocol, 1, "TCP");
	assert_int_equal(flow_filter_new(white, 2, &black, 1, d, &ff, NULL), ERR_OK);
	assert_int_equal(flow_filter_match_n(ff, flows, ARRAY_LEN(flows), &bits), 2);
	assert_int_equal(bits, 0x3);
	for (size_t i = 0; i < ARRAY_LEN(flows); i++) {
		const struct flow *f = &flows[i];
		const flow_members ports = FLOW_MEMBER(FLOW_MEMBER_SRC_PORT) |
					   FLOW_MEMBER(FLOW_MEMBER_DST_PORT),
				   l4 = FLOW_MEMBER(FLOW_MEMBER_L4);

		assert_int_equal(flow_filter_must_match_known(ff, f, ports | l4), i < 2);
		assert_false(flow_filter_must_match_known(ff, f, ports)); /* it could be TCP */
		assert_false(flow_filter_must_match_known(ff, f, l4));
		struct flow odd = *f;
		odd.bits = FLOW_ODD_L4;
		assert_false(flow_filter_must_match_known(ff, &odd, ports | l4));
	}
}

/* --- numbers at their edges ------------------------------------------------------------------- */

static void ports_match_in_short_and_in_long_lists(void **state)
{
	AUTO(flow_dict_free) struct flow_dict *d = dict_of(10);
	struct flow f = { .l4 = FLOW_L4_SCTP, .src_port = 65535, .dst_port = 0 };
	Flow__FlowFilter *ff = NEW(flow__flow_filter);

	(void)state;
	set_texts(ff, source_port, 1, "65535");
	assert_true(matches(ff, &f, d));
	set_texts(ff, source_port, 4, "1", "2", "3", "0065535");
	assert_true(matches(ff, &f, d));
	set_texts(ff, source_port, 5, "1", "2", "3", "65535", "4");
	assert_true(matches(ff, &f, d));
	set_texts(ff, source_port, 5, "1", "2", "3", "65534", "4");
	assert_false(matches(ff, &f, d));
	set_texts(ff, destination_port, 1, "0");
	ff->n_source_port = 0;
	assert_true(matches(ff, &f, d));
	f.l4 = FLOW_L4_ICMP4;
	assert_false(matches(ff, &f, d));
}

/* A whole flow from a message. */
static struct flow decoded(const Flow__Flow *m, struct flow_dict *d)
{
	struct flow f;
	struct err e;

	if (flow_decode(pack(m), d, &f, &e) != ERR_OK)
		fail_msg("%s", e.msg);
	return f;
}

static void ports_beyond_16_bits_are_compared_by_their_low_half(void **state)
{
	AUTO(flow_dict_free) struct flow_dict *d = dict_of(10);
	Flow__Flow *m = NEW(flow__flow);
	Flow__FlowFilter *ff = NEW(flow__flow_filter);

	(void)state;
	m->l4 = NEW(flow__layer4);
	m->l4->protocol_case = FLOW__LAYER4__PROTOCOL_TCP;
	m->l4->tcp = NEW(flow__tcp);
	m->l4->tcp->source_port = 65536 + 80;
	struct flow f = decoded(m, d);
	set_texts(ff, source_port, 1, "80");
	assert_true(matches(ff, &f, d));
	set_texts(ff, source_port, 1, "81");
	assert_false(matches(ff, &f, d));
}

static void enum_numbers_that_no_byte_holds_are_told_apart(void **state)
{
	AUTO(flow_dict_free) struct flow_dict *d = dict_of(10);
	static const int numbers[] = { 0, 63, 64, 254, 255, 256, 300, -1 };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(numbers); i++) {
		Flow__Flow *m = NEW(flow__flow);

		m->verdict = (Flow__Verdict)numbers[i];
		m->ip = NEW(flow__ip);
		m->ip->ipversion = (Flow__IPVersion)numbers[i];
		struct flow f = decoded(m, d);
		for (size_t k = 0; k < ARRAY_LEN(numbers); k++) {
			Flow__FlowFilter *by_verdict = NEW(flow__flow_filter),
					 *by_version = NEW(flow__flow_filter);

			set_numbers(by_verdict, verdict, Flow__Verdict, (Flow__Verdict)numbers[k]);
			set_numbers(by_version, ip_version, Flow__IPVersion,
				    (Flow__IPVersion)numbers[k]);
			assert_int_equal(matches(by_verdict, &f, d), i == k);
			assert_int_equal(matches(by_version, &f, d), i == k);
		}
	}
}

static void addresses_are_compared_as_texts_and_prefixes_as_numbers(void **state)
{
	AUTO(flow_dict_free) struct flow_dict *d = dict_of(10);
	static const struct {
		const char *asked, *flow;
		bool matches;
	} cases[] = {
		{ "10.0.0.1", "10.0.0.1", true },
		{ "::1", "::1", true },
		{ "::1", "0:0:0:0:0:0:0:1", false },
		{ "0:0:0:0:0:0:0:1", "0:0:0:0:0:0:0:1", true },
		{ "0:0:0:0:0:0:0:1", "::1", false },
		{ "::/64", "0:0:0:0:0:0:0:1", true },
		{ "10.0.0.0/8", "10.255.0.1", true },
		{ "10.0.0.0/8", "11.0.0.1", false },
		{ "0.0.0.0/0", "::1", false },
		{ "::/0", "10.0.0.1", false },
		{ "10.0.0.0/8", "::ffff:10.0.0.1", false },
		{ "::ffff:10.0.0.0/104", "::ffff:10.0.0.1", true },
		{ "::ffff:10.0.0.0/104", "10.0.0.1", false },
		{ "::ffff:10.0.0.1", "10.0.0.1", false },
		{ "fe80::/10", "fe80::1%eth0", false },
		{ "fe80::1%eth0", "fe80::1%eth0", true },
		{ "0.0.0.0/0", "nonsense", false },
		{ "0.0.0.0/0", "", false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		Flow__Flow *m = NEW(flow__flow);
		Flow__FlowFilter *ff = NEW(flow__flow_filter);

		m->ip = NEW(flow__ip);
		m->ip->source = pool_text(str_of(cases[i].flow));
		struct flow f = decoded(m, d);
		set_texts(ff, source_ip, 1, cases[i].asked);
		if (matches(ff, &f, d) != cases[i].matches)
			fail_msg("%s, %s", cases[i].asked, cases[i].flow);
	}
}

/* --- what is no flow -------------------------------------------------------------------------- */

static void agent_and_debug_events_are_told_by_event_type(void **state)
{
	AUTO(flow_dict_free) struct flow_dict *d = dict_of(10);
	Flow__AgentEvent *agent = NEW(flow__agent_event);
	Flow__DebugEvent *debug = NEW(flow__debug_event);
	static const struct {
		int32_t type;
		bool match_sub_type;
		int32_t sub_type;
		bool agent, debug;
	} cases[] = {
		{ 0, false, 0, true, true },   { 130, false, 0, true, false },
		{ 2, false, 0, false, true },  { 4, false, 0, false, false },
		{ 130, true, 3, true, false }, { 130, true, 4, false, false },
		{ 2, true, 7, false, true },   { 0, true, 7, false, true },
	};

	(void)state;
	agent->type = FLOW__AGENT_EVENT_TYPE__POLICY_UPDATED;
	debug->type = FLOW__DEBUG_EVENT_TYPE__DBG_CT_LOOKUP_REV;
	struct str agent_bytes = pack(agent), debug_bytes = pack(debug);
	struct flow events[] = {
		{ .kind = FLOW_KIND_AGENT,
		  .ext = (const uint8_t *)agent_bytes.p,
		  .ext_len = (uint32_t)agent_bytes.len },
		{ .kind = FLOW_KIND_DEBUG,
		  .ext = (const uint8_t *)debug_bytes.p,
		  .ext_len = (uint32_t)debug_bytes.len },
		{ .kind = FLOW_KIND_LOST },
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		Flow__FlowFilter *ff = NEW(flow__flow_filter);

		add_event_type(ff, cases[i].type, cases[i].match_sub_type, cases[i].sub_type);
		assert_int_equal(matches(ff, &events[0], d), cases[i].agent);
		assert_int_equal(matches(ff, &events[1], d), cases[i].debug);
		assert_false(matches(ff, &events[2], d));
	}
}

static void what_is_no_flow_has_no_fields_but_lacks_labels(void **state)
{
	AUTO(flow_dict_free) struct flow_dict *d = dict_of(10);
	Flow__FlowFilter *verdict = NEW(flow__flow_filter), *uuid = NEW(flow__flow_filter),
			 *label = NEW(flow__flow_filter), *encrypted = NEW(flow__flow_filter),
			 *protocol = NEW(flow__flow_filter);

	(void)state;
	set_numbers(verdict, verdict, Flow__Verdict, FLOW__VERDICT__VERDICT_UNKNOWN);
	set_texts(uuid, uuid, 1, "");
	set_texts(label, source_label, 1, "!app");
	set_numbers(encrypted, encrypted, protobuf_c_boolean, false);
	set_texts(protocol, protocol, 2, "tcp", "dns");
	for (unsigned kind = FLOW_KIND_LOST; kind <= FLOW_KIND_NODE_STATUS; kind++) {
		/* members that a record of this kind does not use may hold anything */
		struct flow f = { .kind = (uint8_t)kind, .l4 = FLOW_L4_TCP };

		assert_false(matches(verdict, &f, d));
		assert_false(matches(uuid, &f, d));
		assert_false(matches(protocol, &f, d));
		assert_true(matches(label, &f, d));
		assert_int_equal(matches(encrypted, &f, d),
				 kind == FLOW_KIND_LOST || kind == FLOW_KIND_NODE_STATUS);
	}
}

/* --- dictionary ------------------------------------------------------------------------------- */

static void answers_are_forgotten_when_the_dictionary_starts_anew(void **state)
{
	AUTO(flow_dict_free) struct flow_dict *d = dict_of(10);
	Flow__FlowFilter *white = NEW(flow__flow_filter);

	(void)state;
	set_texts(white, source_pod, 1, "shop/cart");
	AUTO(flow_filter_free) struct flow_filter *ff = filter_of(white, NULL, d);
	struct endpoint cart = { .namespace_ = STR("shop"), .pod = STR("cart-0") };
	struct endpoint other = { .namespace_ = STR("shop"), .pod = STR("web-0") };
	struct flow f = { .src_ep = flow_dict_endpoint(d, &cart) };
	assert_true(flow_filter_match(ff, &f));
	assert_true(flow_filter_match(ff, &f));
	flow_dict_reset(d);
	struct flow g = { .src_ep = flow_dict_endpoint(d, &other) };
	assert_int_equal(f.src_ep.v, g.src_ep.v);
	assert_false(flow_filter_match(ff, &g));
}

/* Hubble 1.19: ParseNamespaceName in pkg/hubble/k8s/utils.go splits at every slash and takes the
 * first two parts. */
static void a_path_ends_at_its_second_slash(void **state)
{
	AUTO(flow_dict_free) struct flow_dict *d = dict_of(10);
	Flow__FlowFilter *white = NEW(flow__flow_filter);

	(void)state;
	set_texts(white, source_pod, 2, "shop/cart/x", "other//y");
	AUTO(flow_filter_free) struct flow_filter *ff = filter_of(white, NULL, d);
	struct endpoint cart = { .namespace_ = STR("shop"), .pod = STR("cart-0") };
	struct endpoint web = { .namespace_ = STR("shop"), .pod = STR("web-0") };
	struct endpoint any = { .namespace_ = STR("other"), .pod = STR("web-0") };
	struct flow f = { .src_ep = flow_dict_endpoint(d, &cart) };
	struct flow g = { .src_ep = flow_dict_endpoint(d, &web) };
	struct flow h = { .src_ep = flow_dict_endpoint(d, &any) };
	assert_true(flow_filter_match(ff, &f));
	assert_false(flow_filter_match(ff, &g));
	assert_true(flow_filter_match(ff, &h));
}

/* --- mistakes --------------------------------------------------------------------------------- */

static void expect_error(Flow__FlowFilter *ff, enum err_code code, const char *sentence)
{
	AUTO(flow_dict_free) struct flow_dict *d = dict_of(10);
	struct flow_filter *filter = NULL;
	struct err e = { .msg = "" };

	assert_int_equal(flow_filter_new(&ff, 1, NULL, 0, d, &filter, &e), code);
	assert_string_equal(e.msg, sentence);
	assert_null(filter);
	e.msg[0] = '\0';
	assert_int_equal(flow_filter_new(NULL, 0, &ff, 1, d, &filter, &e), code);
	assert_string_equal(e.msg, sentence);
	assert_int_equal(flow_filter_new(&ff, 1, NULL, 0, d, &filter, NULL), code);
}

static void mistakes_are_answered_in_the_reference_words(void **state)
{
	Flow__FlowFilter *ff;

	(void)state;
#define EXPECT(field, value, sentence)                                                             \
	(ff = NEW(flow__flow_filter), set_texts(ff, field, 2, "1", value),                         \
	 expect_error(ff, ERR_INVALID, sentence))
#define EXPECT_ONE(field, value, sentence)                                                         \
	(ff = NEW(flow__flow_filter), set_texts(ff, field, 1, value),                              \
	 expect_error(ff, ERR_INVALID, sentence))
	EXPECT(source_port, "",
	       "invalid source port filter: invalid port \"\": strconv.ParseUint: parsing \"\": "
	       "invalid "
	       "syntax");
	EXPECT(destination_port, "-1",
	       "invalid destination port filter: invalid port \"-1\": strconv.ParseUint: parsing "
	       "\"-1\": invalid syntax");
	EXPECT(source_port, "65536",
	       "invalid source port filter: invalid port \"65536\": strconv.ParseUint: parsing "
	       "\"65536\": value out of range");
	EXPECT(source_port, "65536+", /* the first mistake from the left */
	       "invalid source port filter: invalid port \"65536+\": strconv.ParseUint: parsing "
	       "\"65536+\": value out of range");
	EXPECT(source_port, "6553+6",
	       "invalid source port filter: invalid port \"6553+6\": strconv.ParseUint: parsing "
	       "\"6553+6\": invalid syntax");
	ff = NEW(flow__flow_filter); /* and of the fields the first one, in the reference's order */
	set_texts(ff, source_ip_xlated, 1, "y");
	set_texts(ff, destination_ip, 1, "x");
	expect_error(ff, ERR_INVALID,
		     "invalid IP address \"x\" in filter: ParseAddr(\"x\"): unable to parse IP");
	EXPECT_ONE(protocol, "quic", "invalid protocol filter: unknown protocol: \"quic\"");
	EXPECT_ONE(
		source_ip, "10.0.0",
		"invalid IP address \"10.0.0\" in filter: ParseAddr(\"10.0.0\"): IPv4 address too "
		"short");
	EXPECT_ONE(destination_ip, "x/8",
		   "invalid IP prefix \"x/8\" in filter: netip.ParsePrefix(\"x/8\"): "
		   "ParseAddr(\"x\"): unable to parse IP");
	EXPECT_ONE(source_ip_xlated, "",
		   "invalid IP address \"\" in filter: ParseAddr(\"\"): unable to parse IP");
	EXPECT(source_pod, "", "invalid filter, name must not be empty");
	EXPECT(source_service, "",
	       "invalid source service filter: invalid filter, name must not be empty");
	EXPECT(destination_service, "",
	       "invalid destination service filter: invalid filter, name must not be empty");
	EXPECT(destination_cluster_name, "", "invalid filter, name must not be empty");
	EXPECT(source_fqdn, "", "empty pattern");
	EXPECT(destination_fqdn, "a..", "multiple trailing dots in pattern");
	EXPECT(node_name, "a/b/c", "too many slashes in pattern");
	EXPECT(dns_query, "*a",
	       "invalid DNS query filter: failed to compile regexp: error parsing regexp: missing "
	       "argument "
	       "to repetition operator: `*`");
	EXPECT(http_path, "(",
	       "invalid http path filter: (: error parsing regexp: missing closing ): `(`");
	EXPECT(http_url, "[",
	       "invalid http url filter: [: error parsing regexp: missing closing ]: `[`");
	EXPECT_ONE(http_status_code, "6+",
		   "invalid http status code filter: invalid status code prefix: \"6+\"");
	EXPECT_ONE(http_status_code, "+",
		   "invalid http status code filter: invalid status code prefix: \"+\"");
	EXPECT_ONE(http_status_code, "404+",
		   "invalid http status code filter: invalid status code prefix: \"404+\"");
	EXPECT_ONE(http_status_code, "40",
		   "invalid http status code filter: invalid status code prefix: \"40\"");
	EXPECT(source_label, "a b",
	       "invalid source label filter: unable to parse requirement: found 'b', expected: in, "
	       "notin, =, ==, !=, gt, lt");
	EXPECT(destination_label, "a,",
	       "invalid destination label filter: found '', expected: identifier after ','");
	EXPECT(node_labels, "a=b c",
	       "invalid node label filter: found 'c', expected: ',' or 'end of string'");
	ff = NEW(flow__flow_filter);
	ff->experimental = NEW(flow__flow_filter__experimental);
	set_texts(ff->experimental, cel_expression, 2, "true", "_flow.nope");
	expect_error(ff, ERR_INVALID,
		     "error compiling CEL expression: ERROR: <input>:1:6: undefined field 'nope'\n"
		     " | _flow.nope\n"
		     " | .....^");
}

static void http_fields_want_layer_7_events(void **state)
{
	static const char *const names[] = { "status code", "method", "path", "url", "headers" };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		Flow__FlowFilter *ff = NEW(flow__flow_filter);
		AUTO(flow_dict_free) struct flow_dict *d = dict_of(10);
		char sentence[200];

		(void)snprintf(sentence, sizeof sentence,
			       "filtering by http %s requires the event type filter to only match "
			       "'l7' events",
			       names[i]);
		if (i == 0)
			set_texts(ff, http_status_code, 1, "200");
		else if (i == 1)
			set_texts(ff, http_method, 1, "GET");
		else if (i == 2)
			set_texts(ff, http_path, 1, "/");
		else if (i == 3)
			set_texts(ff, http_url, 1, "/");
		else
			ff->n_http_header = 1,
			ff->http_header =
				copy_of(&(void *){ NEW(flow__httpheader) }, sizeof(void *));
		add_event_type(ff, 4, false, 0);
		expect_error(ff, ERR_INVALID, sentence);
		add_event_type(ff, 129, false, 0);
		AUTO(flow_filter_free) struct flow_filter *good = filter_of(ff, NULL, d);
		assert_non_null(good);
	}
}

static int reset(void **state)
{
	(void)state;
	pool_reset();
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(no_filter_and_empty_filters_match_everything, reset),
		cmocka_unit_test_setup(the_blacklist_takes_from_what_any_whitelist_filter_lets_in,
				       reset),
		cmocka_unit_test_setup(ports_match_in_short_and_in_long_lists, reset),
		cmocka_unit_test_setup(ports_beyond_16_bits_are_compared_by_their_low_half, reset),
		cmocka_unit_test_setup(enum_numbers_that_no_byte_holds_are_told_apart, reset),
		cmocka_unit_test_setup(addresses_are_compared_as_texts_and_prefixes_as_numbers,
				       reset),
		cmocka_unit_test_setup(agent_and_debug_events_are_told_by_event_type, reset),
		cmocka_unit_test_setup(what_is_no_flow_has_no_fields_but_lacks_labels, reset),
		cmocka_unit_test_setup(answers_are_forgotten_when_the_dictionary_starts_anew,
				       reset),
		cmocka_unit_test_setup(a_path_ends_at_its_second_slash, reset),
		cmocka_unit_test_setup(mistakes_are_answered_in_the_reference_words, reset),
		cmocka_unit_test_setup(http_fields_want_layer_7_events, reset),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
