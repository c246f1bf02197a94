/* The contract of filter/filter.h: lists, records of every kind, odd flows, batches, mistakes; and
 * a property: the compiled filter against a plain reading of the reference's table over
 * protobuf-c's messages. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/buf.h"
#include "filter/filter.h"
#include "filter/zone.h"
#include "flow/fields.h"
#include "flow/flow.pb-c.h"
#include "flow/wire.h"
#include "flow_random.h"

/* --- filters and flows, written short --------------------------------------------------------- */

static char **texts_of(size_t n, ...)
{
	char **list = pool_take(n * sizeof *list);
	va_list ap;

	va_start(ap, n);
	for (size_t i = 0; i < n; i++)
		list[i] = pool_text(str_of(va_arg(ap, const char *)));
	va_end(ap);
	return list;
}

/* set_texts(ff, source_port, 2, "53", "853") */
#define set_texts(ff, field, n, ...)                                                               \
	((ff)->n_##field = (n), (ff)->field = texts_of((n), __VA_ARGS__))

static void *copy_of(const void *p, size_t bytes)
{
	return memcpy(pool_take(bytes), p, bytes);
}

#define set_numbers(ff, field, type, ...)                                                          \
	((ff)->n_##field = ARRAY_LEN(((type[]){ __VA_ARGS__ })),                                   \
	 (ff)->field = copy_of((type[]){ __VA_ARGS__ }, sizeof((type[]){ __VA_ARGS__ })))

static struct flow_filter *filter_of(Flow__FlowFilter *white, Flow__FlowFilter *black,
				     const struct flow_dict *d)
{
	struct flow_filter *ff = NULL;
	struct err e;

	if (flow_filter_new(&white, white != NULL, &black, black != NULL, d, &ff, &e) != ERR_OK)
		fail_msg("%s", e.msg);
	return ff;
}

static bool zone_may_match(struct flow_filter *ff, const struct flow *f)
{
	AUTO(flow_zone_free) struct flow_zone *z = NULL;
	struct err e;

	assert_int_equal(flow_zone_new(&z, &e), ERR_OK);
	flow_zone_add(z, f, 1);
	return flow_filter_may_match(ff, z);
}

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

static void add_event_type(Flow__FlowFilter *ff, int32_t type, bool match_sub_type,
			   int32_t sub_type)
{
	Flow__EventTypeFilter *ev = NEW(flow__event_type_filter),
			      **list = pool_take(8 * sizeof(void *));

	ev->type = type;
	ev->match_sub_type = match_sub_type;
	ev->sub_type = sub_type;
	for (size_t i = 0; i < ff->n_event_type; i++)
		list[i] = ff->event_type[i];
	list[ff->n_event_type++] = ev;
	ff->event_type = list;
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

/* --- property: the table of reference/hubble-api.md section 4, read plainly ------------------- */

static bool has_text(char **list, size_t n, const char *text)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(list[i], text) == 0)
			return true;
	return false;
}
#define ASKED_TEXT(field, text) (!ff->n_##field || has_text(ff->field, ff->n_##field, (text)))
#define ASKED_NUMBER(field, number)                                                                \
	({                                                                                         \
		bool asked_ = !ff->n_##field;                                                      \
		for (size_t i_ = 0; i_ < ff->n_##field; i_++)                                      \
			asked_ = asked_ || ff->field[i_] == (number);                              \
		asked_;                                                                            \
	})

static bool plain_path(char **list, size_t n, const char *namespace_, const char *name)
{
	for (size_t i = 0; i < n; i++) {
		const char *slash = strchr(list[i], '/'), *prefix = slash ? slash + 1 : list[i];
		size_t length = strcspn(prefix, "/");
		struct str want =
			slash ? str_n(list[i], (size_t)(slash - list[i])) : STR("default");

		if ((*namespace_ || *name) && (!want.len || str_is(want, namespace_)) &&
		    strncmp(name, prefix, length) == 0)
			return true;
	}
	return n == 0;
}

static bool plain_workload(Flow__Workload **asked, size_t n, const Flow__Endpoint *ep)
{
	for (size_t i = 0; i < n; i++)
		for (size_t k = 0; ep && k < ep->n_workloads; k++)
			if ((!*asked[i]->name ||
			     strcmp(asked[i]->name, ep->workloads[k]->name) == 0) &&
			    (!*asked[i]->kind ||
			     strcmp(asked[i]->kind, ep->workloads[k]->kind) == 0))
				return true;
	return n == 0;
}

static bool plain_port(char **asked, size_t n, const Flow__Layer4 *l4, bool source)
{
	uint32_t port = 0;
	bool has = true;

	if (l4 && l4->protocol_case == FLOW__LAYER4__PROTOCOL_TCP)
		port = source ? l4->tcp->source_port : l4->tcp->destination_port;
	else if (l4 && l4->protocol_case == FLOW__LAYER4__PROTOCOL_UDP)
		port = source ? l4->udp->source_port : l4->udp->destination_port;
	else if (l4 && l4->protocol_case == FLOW__LAYER4__PROTOCOL_SCTP)
		port = source ? l4->sctp->source_port : l4->sctp->destination_port;
	else
		has = false;
	for (size_t i = 0; i < n; i++)
		if (has && (uint32_t)atoi(asked[i]) == port)
			return true;
	return n == 0;
}

static bool plain_protocol(char **asked, size_t n, const Flow__Flow *m)
{
	static const char *const names[] = { "",       "tcp",  "udp",  "icmpv4",
					     "icmpv6", "sctp", "vrrp", "igmp" };
	unsigned l4 = m->l4 ? (unsigned)m->l4->protocol_case : 0;

	for (size_t i = 0; i < n; i++)
		if ((l4 && strcmp(asked[i], names[l4]) == 0) ||
		    (strcmp(asked[i], "icmp") == 0 &&
		     (l4 == FLOW_L4_ICMP4 || l4 == FLOW_L4_ICMP6)) ||
		    (strcmp(asked[i], "dns") == 0 && m->l7 &&
		     m->l7->record_case == FLOW__LAYER7__RECORD_DNS))
			return true;
	return n == 0;
}

static bool plain_dns(char **asked, size_t n, const Flow__Flow *m)
{
	for (size_t i = 0; i < n; i++)
		if (m->l7 && m->l7->record_case == FLOW__LAYER7__RECORD_DNS &&
		    strstr(m->l7->dns->query, asked[i]))
			return true;
	return n == 0;
}

static bool plain_names(char **asked, size_t n, char *const *names, size_t names_count)
{
	for (size_t i = 0; i < names_count; i++)
		if (has_text(asked, n, names[i]))
			return true;
	return n == 0;
}

static bool plain_reply(const Flow__FlowFilter *ff, const Flow__Flow *m)
{
	bool reply = m->is_reply && m->is_reply->value;

	if (ff->n_reply && !m->is_reply && m->verdict != FLOW__VERDICT__DROPPED)
		return false;
	return ASKED_NUMBER(reply, reply);
}

static bool plain_event_type(const Flow__FlowFilter *ff, const Flow__Flow *m)
{
	for (size_t i = 0; i < ff->n_event_type; i++) {
		const Flow__EventTypeFilter *asked = ff->event_type[i];

		if (m->event_type && (!asked->type || asked->type == m->event_type->type) &&
		    (!asked->match_sub_type || asked->sub_type == m->event_type->sub_type))
			return true;
	}
	return !ff->n_event_type;
}

static bool plain_match(const Flow__FlowFilter *ff, const Flow__Flow *m)
{
	const Flow__Endpoint *src = m->source, *dst = m->destination;
	const Flow__IP *ip = m->ip;
	bool drop_asked =
		!ff->n_drop_reason_desc || (m->verdict == FLOW__VERDICT__DROPPED &&
					    ASKED_NUMBER(drop_reason_desc, m->drop_reason_desc));

	return ASKED_TEXT(uuid, m->uuid) && ASKED_TEXT(source_ip, ip ? ip->source : "") &&
	       ASKED_TEXT(source_ip_xlated, ip ? ip->source_xlated : "") &&
	       ASKED_TEXT(destination_ip, ip ? ip->destination : "") &&
	       ASKED_TEXT(source_cluster_name, src ? src->cluster_name : "") &&
	       ASKED_TEXT(destination_cluster_name, dst ? dst->cluster_name : "") &&
	       ASKED_TEXT(trace_id, m->trace_context && m->trace_context->parent
					    ? m->trace_context->parent->trace_id
					    : "") &&
	       ASKED_NUMBER(verdict, m->verdict) &&
	       ASKED_NUMBER(traffic_direction, m->traffic_direction) &&
	       ASKED_NUMBER(ip_version, ip ? ip->ipversion : 0) &&
	       ASKED_NUMBER(encrypted, ip && ip->encrypted) &&
	       ASKED_NUMBER(ip_trace_id, m->ip_trace_id ? m->ip_trace_id->trace_id : 0) &&
	       drop_asked &&
	       (!ff->n_source_identity || (src && ASKED_NUMBER(source_identity, src->identity))) &&
	       (!ff->n_destination_identity ||
		(dst && ASKED_NUMBER(destination_identity, dst->identity))) &&
	       plain_path(ff->source_pod, ff->n_source_pod, src ? src->namespace_ : "",
			  src ? src->pod_name : "") &&
	       plain_path(ff->destination_service, ff->n_destination_service,
			  m->destination_service ? m->destination_service->namespace_ : "",
			  m->destination_service ? m->destination_service->name : "") &&
	       plain_workload(ff->source_workload, ff->n_source_workload, src) &&
	       plain_port(ff->source_port, ff->n_source_port, m->l4, true) &&
	       plain_port(ff->destination_port, ff->n_destination_port, m->l4, false) &&
	       plain_protocol(ff->protocol, ff->n_protocol, m) &&
	       plain_dns(ff->dns_query, ff->n_dns_query, m) &&
	       plain_names(ff->destination_fqdn, ff->n_destination_fqdn, m->destination_names,
			   m->n_destination_names) &&
	       plain_reply(ff, m) && plain_event_type(ff, m);
}

/* A text of the flow @m, or any other. */
static const char *text_near(struct random *r, const char *own, const char *other)
{
	return random_below(r, 3) && *own ? own : other;
}

static const char *number_text(uint64_t n)
{
	char *text = pool_take(24);

	(void)snprintf(text, 24, "%llu", (unsigned long long)n);
	return text;
}

/* Sets one field, more often than not so that @m passes. */
static void random_field(struct random *r, Flow__FlowFilter *ff, const Flow__Flow *m)
{
	static const char *const protocols[] = { "tcp",  "udp",  "icmp", "icmpv4", "icmpv6",
						 "sctp", "vrrp", "igmp", "dns" };
	const Flow__Endpoint *src = m->source ? m->source : NEW(flow__endpoint);
	const Flow__Endpoint *dst = m->destination ? m->destination : NEW(flow__endpoint);
	const Flow__Service *svc =
		m->destination_service ? m->destination_service : NEW(flow__service);
	const Flow__IP *ip = m->ip ? m->ip : NEW(flow__ip);
	const Flow__TCP *tcp = m->l4 && m->l4->protocol_case == FLOW__LAYER4__PROTOCOL_TCP
				       ? m->l4->tcp
				       : NEW(flow__tcp);
	char path[300];

	switch (random_below(r, 24)) {
	case 0:
		set_texts(ff, uuid, 2, text_near(r, m->uuid, "x"), "y");
		break;
	case 1:
		set_texts(ff, source_ip, 2, text_near(r, ip->source, "10.0.0.1"), "::2");
		break;
	case 2:
		set_texts(ff, source_ip_xlated, 1, text_near(r, ip->source_xlated, "10.0.0.1"));
		break;
	case 3:
		set_texts(ff, destination_ip, 1, text_near(r, ip->destination, "fd00::1"));
		break;
	case 4:
		set_texts(ff, source_cluster_name, 1, text_near(r, src->cluster_name, "shop"));
		break;
	case 5:
		set_texts(ff, destination_cluster_name, 2, text_near(r, dst->cluster_name, "a"),
			  "shop");
		break;
	case 6:
		set_texts(ff, trace_id, 1, random_bool(r) ? "" : "shop");
		break;
	case 7:
		set_numbers(ff, verdict, Flow__Verdict,
			    random_bool(r) ? m->verdict : FLOW__VERDICT__FORWARDED,
			    FLOW__VERDICT__ERROR);
		break;
	case 8:
		set_numbers(ff, traffic_direction, Flow__TrafficDirection,
			    (Flow__TrafficDirection)random_below(r, 3));
		break;
	case 9:
		set_numbers(ff, ip_version, Flow__IPVersion, (Flow__IPVersion)random_below(r, 3));
		break;
	case 10:
		set_numbers(ff, encrypted, protobuf_c_boolean, random_bool(r));
		break;
	case 11:
		set_numbers(ff, ip_trace_id, uint64_t,
			    m->ip_trace_id && random_bool(r) ? m->ip_trace_id->trace_id : 0, 7);
		break;
	case 12:
		set_numbers(ff, drop_reason_desc, Flow__DropReason,
			    random_bool(r) ? m->drop_reason_desc : 0);
		break;
	case 13:
		set_numbers(ff, source_identity, uint32_t, random_bool(r) ? src->identity : 0, 1);
		break;
	case 14:
		set_numbers(ff, destination_identity, uint32_t, random_bool(r) ? dst->identity : 0);
		break;
	case 15:
		(void)snprintf(path, sizeof path, "%s/%.1s",
			       random_bool(r) ? src->namespace_ : "shop",
			       random_bool(r) ? "c" : "");
		set_texts(ff, source_pod, 2, path, "kube-system/");
		break;
	case 16:
		(void)snprintf(path, sizeof path, "/%s", random_bool(r) ? svc->name : "ca");
		set_texts(ff, destination_service, 2, path, "shop");
		break;
	case 17: {
		Flow__Workload *w = NEW(flow__workload);

		w->name = src->n_workloads && random_bool(r) ? src->workloads[0]->name : w->name;
		w->kind = random_bool(r) ? pool_text(random_text(r)) : w->kind;
		ff->n_source_workload = 1;
		ff->source_workload = copy_of(&w, sizeof(void *));
		break;
	}
	case 18:
		set_texts(ff, source_port, 2, number_text(tcp->source_port), "0");
		break;
	case 19:
		set_texts(ff, destination_port, 5, number_text(tcp->destination_port), "65535", "2",
			  "3", "4");
		break;
	case 20:
		set_texts(ff, protocol, 2, protocols[random_below(r, ARRAY_LEN(protocols))],
			  protocols[random_below(r, ARRAY_LEN(protocols))]);
		break;
	case 21:
		set_texts(ff, dns_query, 1, random_bool(r) ? "a" : "qqq");
		break;
	case 22:
		set_texts(ff, destination_fqdn, 2, "shop", "cart-0");
		break;
	default:
		if (random_bool(r)) {
			set_numbers(ff, reply, protobuf_c_boolean, random_bool(r));
			break;
		}
		add_event_type(ff, m->event_type && random_bool(r) ? m->event_type->type : 0,
			       random_bool(r), m->event_type ? m->event_type->sub_type : 0);
	}
}

/* The random maker sets bits that a maker of flows would not set alone, and leaves out two about
 * @ext. */
static void make_consistent(struct flow *f)
{
	struct str ext = str_n(f->ext, f->ext_len), found;

	if (!flow_is(f, FLOW_HAS_IP)) {
		f->bits &= ~(uint32_t)(FLOW_HAS_SRC_IP | FLOW_HAS_DST_IP | FLOW_HAS_XLATED |
				       FLOW_ENCRYPTED);
		f->ip_version = 0;
	}
	if (wire_find(ext, FLOW_FIELD_DESTINATION_NAMES, &found))
		f->bits |= FLOW_HAS_NAMES;
	if (wire_find(ext, FLOW_FIELD_TRACE_CONTEXT, &found))
		f->bits |= FLOW_HAS_TRACE_CONTEXT;
	if (random_below(&(struct random){ f->seq }, 4) == 0)
		f->verdict = FLOW__VERDICT__DROPPED;
}

static void made_and_whole_flows_match_as_a_plain_reading_of_their_messages_does(void **state)
{
	enum {
		FLOWS = 66,
		FILTERS = 16,
		ROUNDS = 300
	}; /* more than one block of flows; few enough for the pool */
	struct random r = random_of("test_filter", 1);
	size_t matched = 0;

	(void)state;
	for (int round = 0; round < ROUNDS; round++) {
		AUTO(flow_dict_free) struct flow_dict *d = dict_of(4 * FLOWS);
		static struct flow made[FLOWS], whole[FLOWS];
		struct buf bytes[FLOWS];
		Flow__Flow *messages[FLOWS];

		pool_reset();
		for (size_t i = 0; i < FLOWS; i++) {
			bytes[i] = buf_init(1 << 20);
			made[i] = random_made(&r, d);
			make_consistent(&made[i]);
			flow_encode(&bytes[i], &made[i], d);
			messages[i] =
				flow__flow__unpack(NULL, bytes[i].len, (const uint8_t *)bytes[i].p);
			assert_non_null(messages[i]);
			assert_int_equal(flow_decode(buf_str(&bytes[i]), d, &whole[i], NULL),
					 ERR_OK);
		}
		for (size_t i = 0; i < FILTERS; i++) {
			Flow__FlowFilter *white = NEW(flow__flow_filter),
					 *black = NEW(flow__flow_filter);
			uint64_t bits[2][FLOWS / 64 + 1];

			for (size_t n = 1 + random_below(&r, 2); n-- > 0;)
				random_field(&r, white, messages[i]);
			random_field(&r, black, messages[random_below(&r, FLOWS)]);
			random_field(&r, black, messages[random_below(&r, FLOWS)]);
			AUTO(flow_filter_free) struct flow_filter *ff = filter_of(white, black, d);
			(void)flow_filter_match_n(ff, made, FLOWS, bits[0]);
			(void)flow_filter_match_n(ff, whole, FLOWS, bits[1]);
			for (size_t k = 0; k < FLOWS; k++) {
				bool want = plain_match(white, messages[k]) &&
					    !plain_match(black, messages[k]);

				matched += want;
				if (want && (!zone_may_match(ff, &made[k]) ||
					     !zone_may_match(ff, &whole[k])))
					fail_msg("round %d, filter %zu, flow %zu: its zone says no",
						 round, i, k);
				if (flow_filter_match(ff, &made[k]) != want ||
				    flow_filter_match(ff, &whole[k]) != want ||
				    (bits[0][k / 64] >> k % 64 & 1) != want ||
				    (bits[1][k / 64] >> k % 64 & 1) != want)
					fail_msg("round %d, filter %zu, flow %zu: expected %d",
						 round, i, k, want);
			}
		}
		for (size_t i = 0; i < FLOWS; i++) {
			flow__flow__free_unpacked(messages[i], NULL);
			buf_done(&bytes[i]);
		}
	}
	print_message("%zu matches\n", matched);
	assert_true(matched > 10000); /* of 316,800: neither filters nor flows are degenerate */
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
		cmocka_unit_test_setup(
			made_and_whole_flows_match_as_a_plain_reading_of_their_messages_does,
			reset),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
