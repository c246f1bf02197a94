/* observer/compose: Cilium's events on their way into the log. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "flow/fields.h"
#include "flow/flow.pb-c.h"
#include "flow/wire.h"
#include "l7_record.h"
#include "observer/compose.h"

struct world {
	struct flow_dict *dict;
	struct name_table *names;
	struct flow_log *log;
	struct flow_batch *batch;
	struct flow_clock clock;
	struct cilium *cilium;
	struct compose compose;
	uint64_t cursor;
};

enum { STARTED_S = 1700000000 };

static int setup(void **state)
{
	struct world *w = calloc(1, sizeof *w);
	static const uint64_t seed[2] = { 1, 2 };
	static const struct str label = { "k8s:app=cart", 12 };
	const struct name_prefix pod = { .ip = { [10] = 0xff, [11] = 0xff, 10, 0, 0, 12 },
					 .bits = 128,
					 .local = true,
					 .verbatim = true,
					 .endpoint = { .id = 12,
						       .identity = 3000,
						       .pod = STR("cart-0"),
						       .labels = &label,
						       .label_count = 1 } };
	const struct name_view view = { .prefixes = &pod, .prefix_count = 1 };
	struct err e;

	assert_int_equal(flow_dict_new(1000, &w->dict, &e), ERR_OK);
	assert_int_equal(name_table_new(&(struct name_config){ .node = "n1", .cluster = "" },
					w->dict, &w->names, &e),
			 ERR_OK);
	assert_int_equal(name_update(w->names, 0, &view, &e), ERR_OK);
	const struct flow_log_config lc = { .capacity = 63,
					    .ext_bytes = 4 * CILIUM_EXT_BYTES,
					    .first_seq = 1 };
	assert_int_equal(flow_log_new(&lc, &w->log, &e), ERR_OK);
	assert_int_equal(flow_batch_new(w->log, 16, &w->batch, &e), ERR_OK);
	w->clock = flow_clock_of((struct mono_ns){ 0 },
				 (struct wall_ns){ (uint64_t)STARTED_S * NS_PER_S });
	const struct cilium_config cc = { .dict = w->dict, .names = w->names, .learn_dns = true };
	assert_int_equal(cilium_new(&cc, &w->cilium, &e), ERR_OK);
	compose_init(&w->compose, w->log, w->dict, w->names, &w->clock, seed);
	w->compose.cilium = w->cilium;
	w->cursor = 1;
	*state = w;
	return 0;
}

static int teardown(void **state)
{
	struct world *w = *state;

	cilium_free(w->cilium);
	flow_batch_free(w->batch);
	flow_log_free(w->log);
	name_table_free(w->names);
	flow_dict_free(w->dict);
	free(w);
	return 0;
}

static const struct flow *next(struct world *w)
{
	uint64_t lost;
	size_t n = flow_log_read(w->log, &w->cursor, w->cursor + 1, w->batch, &lost);

	return n ? &w->batch->flows[0] : NULL;
}

static void feed(struct world *w, enum raw_kind kind, const void *bytes, size_t len,
		 uint64_t mono_ns)
{
	const struct raw_event ev = {
		.kind = kind, .mono = { mono_ns }, .packet = str_n(bytes, len), .cpu = 3
	};

	compose_event(&w->compose, &ev, (struct mono_ns){ 9 * NS_PER_S });
}

/* Trace, version 0: from endpoint 12, identities 3000 and 2, 34 bytes of Ethernet and IPv4 from
 * 10.0.0.12 to 192.0.2.7. */
static const uint8_t trace[32 + 34] = {
	[0] = 4,        [1] = 3,          [2] = 12,         [16] = 3000 & 0xff, [17] = 3000 >> 8,
	[20] = 2,       [32 + 12] = 0x08, [32 + 14] = 0x45, [32 + 17] = 20,     [32 + 26] = 10,
	[32 + 29] = 12, [32 + 30] = 192,  [32 + 32] = 2,    [32 + 33] = 7,
};

static void a_sample_is_a_flow_at_the_kernels_time(void **state)
{
	struct world *w = *state;

	feed(w, RAW_CILIUM, trace, sizeof trace, 5 * NS_PER_S);
	const struct flow *f = next(w);
	assert_non_null(f);
	assert_int_equal(f->kind, FLOW_KIND_FLOW);
	assert_true(f->time.v == (STARTED_S + UINT64_C(5)) * NS_PER_S);
	assert_true(f->bits & FLOW_HAS_UUID);
	assert_int_equal(f->seq, 1);
	assert_int_equal(f->verdict, FLOW__VERDICT__FORWARDED);
	assert_int_equal(f->direction, FLOW__TRAFFIC_DIRECTION__EGRESS);
	assert_true(str_is(flow_dict_get_endpoint(w->dict, f->src_ep)->pod, "cart-0"));
	assert_int_equal(flow_dict_get_endpoint(w->dict, f->dst_ep)->identity, 2);
	assert_int_equal(compose_counts(&w->compose).refused, 0);
	/* the monitor's have no stamp: it is now */
	feed(w, RAW_CILIUM_MONITOR, trace, sizeof trace, 0);
	assert_true(next(w)->time.v == (STARTED_S + UINT64_C(9)) * NS_PER_S);
}

static void what_does_not_decode_is_counted_and_nothing_else(void **state)
{
	struct world *w = *state;
	const uint8_t agent[] = { 130, 1, 2, 3 };

	for (size_t n = 0; n < 32; n++)
		feed(w, RAW_CILIUM, trace, n, 0);
	/* records of the agent never come out of the kernel */
	feed(w, RAW_CILIUM, agent, sizeof agent, 0);
	feed(w, RAW_CILIUM_MONITOR, agent, sizeof agent, 0);
	assert_null(next(w));
	assert_int_equal(compose_counts(&w->compose).refused, 34);
	/* nor does anything where nobody asked for Cilium's events */
	w->compose.cilium = NULL;
	feed(w, RAW_CILIUM, trace, sizeof trace, 0);
	assert_null(next(w));
	assert_int_equal(compose_counts(&w->compose).refused, 35);
}

static void a_socket_trace_of_nobody_is_left_out_uncounted(void **state)
{
	struct world *w = *state;
	const uint8_t sock[44] = { [0] = 7, [1] = 1, [2] = 1, [16] = 1 };

	feed(w, RAW_CILIUM, sock, sizeof sock, 0);
	assert_null(next(w));
	assert_int_equal(compose_counts(&w->compose).refused, 0);
}

static void debug_messages_and_notifications_are_records_of_their_own(void **state)
{
	struct world *w = *state;
	const uint8_t debug[20] = { [0] = 2, [1] = 1, [2] = 12 };
	/* AgentNotify { Type 2, Text "{}" }: reference/cilium-events.md 5.2 */
	static const uint8_t started[] = {
		130,  0x2a, 0x7f, 0x03, 0x01, 0x01, 0x0b, 'A',  'g',  'e',  'n',  't',  'N',  'o',
		't',  'i',  'f',  'y',  0x01, 0xff, 0x80, 0x00, 0x01, 0x02, 0x01, 0x04, 'T',  'y',
		'p',  'e',  0x01, 0x06, 0x00, 0x01, 0x04, 'T',  'e',  'x',  't',  0x01, 0x0c, 0x00,
		0x00, 0x00, 0x09, 0xff, 0x80, 0x01, 0x02, 0x01, 0x02, '{',  '}',  0x00,
	};

	feed(w, RAW_CILIUM, debug, sizeof debug, 0);
	const struct flow *f = next(w);
	assert_non_null(f);
	assert_int_equal(f->kind, FLOW_KIND_DEBUG);
	assert_true(flow_dict_get_node(w->dict, f->node) != NULL);
	feed(w, RAW_CILIUM_MONITOR, started, sizeof started, 0);
	f = next(w);
	assert_non_null(f);
	assert_int_equal(f->kind, FLOW_KIND_AGENT);
	assert_int_equal(f->ext[0], 1 << 3); /* type */
	assert_int_equal(f->ext[1], FLOW__AGENT_EVENT_TYPE__AGENT_STARTED);
}

/* Endpoint 12 has 300 labels, and an identity that is the node's own: of its prefixes one is told. */
static void a_debug_message_tells_the_labels_that_are_shown(void **state)
{
	struct world *w = *state;
	enum { WORKLOAD = 300, MANY = WORKLOAD + 2 };
	static char texts[WORKLOAD][16];
	struct str labels[MANY];
	const uint8_t debug[20] = { [0] = 2, [1] = 1, [2] = 12 };
	const struct name_prefix pod = { .ip = { [10] = 0xff, [11] = 0xff, 10, 0, 0, 12 },
					 .bits = 128,
					 .local = true,
					 .verbatim = true,
					 .endpoint = { .id = 12,
						       .identity = 1 << 24 | 7,
						       .labels = labels,
						       .label_count = MANY } };
	const struct name_view view = { .prefixes = &pod, .prefix_count = 1 };
	struct str source = STR("");
	size_t told = 0, prefixes = 0;
	struct wire_field x;
	struct err e;

	for (size_t i = 0; i < WORKLOAD; i++) {
		(void)snprintf(texts[i], sizeof texts[i], "k8s:l%03zu", i);
		labels[i] = str_of(texts[i]);
	}
	labels[WORKLOAD] = STR("cidr:10.0.0.0/8");
	labels[WORKLOAD + 1] = STR("cidr:10.0.0.12/32");
	assert_int_equal(name_update(w->names, 0, &view, &e), ERR_OK);
	feed(w, RAW_CILIUM, debug, sizeof debug, 0);
	const struct flow *f = next(w);
	assert_non_null(f);
	assert_true(wire_find(str_n(f->ext, f->ext_len), 2, &source));
	for (struct wire_reader r = wire_reader_of(source); wire_next(&r, &x);)
		if (x.number == 4) {
			told++;
			prefixes += str_has_prefix(x.bytes, STR("cidr:"));
		}
	assert_int_equal(told, WORKLOAD + 1);
	assert_int_equal(prefixes, 1);
}

/* LogRecord of a DNS response "shop.example. 60 IN A 192.0.2.7" from 10.0.0.34:53
 * to 10.0.0.12:40000, endpoint 12; gob, written down after reference/cilium-events.md section 5. */
static const uint8_t dns_response[] = {
	0x81, 0x7a, 0xff, 0x81, 0x03, 0x01, 0x01, 0x09, 0x4c, 0x6f, 0x67, 0x52, 0x65, 0x63, 0x6f,
	0x72, 0x64, 0x01, 0xff, 0x82, 0x00, 0x01, 0x06, 0x01, 0x04, 0x54, 0x79, 0x70, 0x65, 0x01,
	0x0c, 0x00, 0x01, 0x09, 0x54, 0x69, 0x6d, 0x65, 0x73, 0x74, 0x61, 0x6d, 0x70, 0x01, 0x0c,
	0x00, 0x01, 0x0e, 0x53, 0x6f, 0x75, 0x72, 0x63, 0x65, 0x45, 0x6e, 0x64, 0x70, 0x6f, 0x69,
	0x6e, 0x74, 0x01, 0xff, 0x84, 0x00, 0x01, 0x13, 0x44, 0x65, 0x73, 0x74, 0x69, 0x6e, 0x61,
	0x74, 0x69, 0x6f, 0x6e, 0x45, 0x6e, 0x64, 0x70, 0x6f, 0x69, 0x6e, 0x74, 0x01, 0xff, 0x84,
	0x00, 0x01, 0x11, 0x54, 0x72, 0x61, 0x6e, 0x73, 0x70, 0x6f, 0x72, 0x74, 0x50, 0x72, 0x6f,
	0x74, 0x6f, 0x63, 0x6f, 0x6c, 0x01, 0x06, 0x00, 0x01, 0x03, 0x44, 0x4e, 0x53, 0x01, 0xff,
	0x86, 0x00, 0x00, 0x00, 0x28, 0xff, 0x83, 0x03, 0x01, 0x01, 0x01, 0x45, 0x01, 0xff, 0x84,
	0x00, 0x01, 0x03, 0x01, 0x02, 0x49, 0x44, 0x01, 0x06, 0x00, 0x01, 0x04, 0x49, 0x50, 0x76,
	0x34, 0x01, 0x0c, 0x00, 0x01, 0x04, 0x50, 0x6f, 0x72, 0x74, 0x01, 0x06, 0x00, 0x00, 0x00,
	0x2a, 0xff, 0x85, 0x03, 0x01, 0x01, 0x01, 0x44, 0x01, 0xff, 0x86, 0x00, 0x01, 0x03, 0x01,
	0x05, 0x51, 0x75, 0x65, 0x72, 0x79, 0x01, 0x0c, 0x00, 0x01, 0x03, 0x49, 0x50, 0x73, 0x01,
	0xff, 0x88, 0x00, 0x01, 0x03, 0x54, 0x54, 0x4c, 0x01, 0x06, 0x00, 0x00, 0x00, 0x0c, 0xff,
	0x87, 0x02, 0x01, 0x02, 0xff, 0x88, 0x00, 0x01, 0x0a, 0x00, 0x00, 0x63, 0xff, 0x82, 0x01,
	0x08, 0x52, 0x65, 0x73, 0x70, 0x6f, 0x6e, 0x73, 0x65, 0x01, 0x14, 0x32, 0x30, 0x32, 0x36,
	0x2d, 0x30, 0x31, 0x2d, 0x32, 0x30, 0x54, 0x31, 0x30, 0x3a, 0x30, 0x30, 0x3a, 0x30, 0x30,
	0x5a, 0x01, 0x01, 0x01, 0x01, 0x09, 0x31, 0x30, 0x2e, 0x30, 0x2e, 0x30, 0x2e, 0x33, 0x34,
	0x01, 0x35, 0x00, 0x01, 0x01, 0x0c, 0x01, 0x09, 0x31, 0x30, 0x2e, 0x30, 0x2e, 0x30, 0x2e,
	0x31, 0x32, 0x01, 0xfe, 0x9c, 0x40, 0x00, 0x01, 0x11, 0x01, 0x01, 0x0d, 0x73, 0x68, 0x6f,
	0x70, 0x2e, 0x65, 0x78, 0x61, 0x6d, 0x70, 0x6c, 0x65, 0x2e, 0x01, 0x01, 0x04, 0xc0, 0x00,
	0x02, 0x07, 0x01, 0x3c, 0x00, 0x00,
};

static void an_answer_teaches_the_name_that_later_flows_show(void **state)
{
	struct world *w = *state;

	feed(w, RAW_CILIUM, trace, sizeof trace, 0);
	assert_false(next(w)->bits & FLOW_HAS_NAMES);
	feed(w, RAW_CILIUM_MONITOR, dns_response, sizeof dns_response, 0);
	const struct flow *f = next(w);
	assert_non_null(f);
	assert_int_equal(f->type, FLOW__FLOW_TYPE__L7);
	assert_int_equal(f->is_reply, FLOW_REPLY_TRUE);
	feed(w, RAW_CILIUM, trace, sizeof trace, 0);
	f = next(w);
	struct str name;
	assert_true(f->bits & FLOW_HAS_NAMES);
	assert_true(wire_find(str_n(f->ext, f->ext_len), 14, &name)); /* destination_names */
	assert_true(str_is(name, "shop.example"));
}

/* LogRecord { Type "Request", Timestamp, HTTP { URL } }, of which the URL is behind it. */
static const uint8_t http_request[] = {
	0x81, 0x38, 0xff, 0x81, 0x03, 0x01, 0x01, 0x09, 'L',  'o',  'g',  'R',  'e',  'c',
	'o',  'r',  'd',  0x01, 0xff, 0x82, 0x00, 0x01, 0x03, 0x01, 0x04, 'T',  'y',  'p',
	'e',  0x01, 0x0c, 0x00, 0x01, 0x09, 'T',  'i',  'm',  'e',  's',  't',  'a',  'm',
	'p',  0x01, 0x0c, 0x00, 0x01, 0x04, 'H',  'T',  'T',  'P',  0x01, 0xff, 0x84, 0x00,
	0x00, 0x00, 0x17, 0xff, 0x83, 0x03, 0x01, 0x01, 0x01, 'H',  0x01, 0xff, 0x84, 0x00,
	0x01, 0x01, 0x01, 0x03, 'U',  'R',  'L',  0x01, 0x0c, 0x00, 0x00, 0x00,
};

/* Feeds a request with a URL of @bytes, and reads the flow back. */
static const struct flow *read_url(struct world *w, size_t bytes, struct str *ret_url)
{
	AUTO_BUF struct buf message = buf_init(4 << 20), url = buf_init(4 << 20),
			    body = buf_init(4 << 20);
	struct str l7, http;

	while (url.len < bytes)
		buf_char(&url, (char)('a' + url.len % 26));
	buf_put(&body, "\xff\x82\x01\x07Request\x01\x14", 13);
	buf_lit(&body, "2026-01-20T10:00:00Z");
	buf_put(&body, "\x01\x01", 2);
	monitor_put_uint(&body, url.len);
	buf_str_put(&body, buf_str(&url));
	buf_put(&body, "\0\0", 2);
	buf_put(&message, http_request, sizeof http_request);
	monitor_put_uint(&message, body.len);
	buf_str_put(&message, buf_str(&body));
	feed(w, RAW_CILIUM_MONITOR, message.p, message.len, 0);
	const struct flow *f = next(w);
	assert_non_null(f);
	*ret_url = STR("");
	if (wire_find(str_n(f->ext, f->ext_len), FLOW_FIELD_L7, &l7)) {
		assert_true(wire_find(l7, 101, &http));
		assert_true(wire_find(http, 3, ret_url));
		assert_true(str_eq(*ret_url, buf_str(&url)));
	}
	return f;
}

/* The record keeps its numbers; its text goes, all of it, and is counted. */
static void text_beyond_the_limit_is_counted_and_the_flow_stays(void **state)
{
	struct world *w = *state;
	struct str url;

	const struct flow *f = read_url(w, CILIUM_EXT_BYTES - 100, &url);
	assert_int_equal(url.len, CILIUM_EXT_BYTES - 100);
	size_t most = CILIUM_EXT_BYTES - (f->ext_len - url.len);
	f = read_url(w, most, &url);
	assert_int_equal(url.len, most);
	assert_int_equal(f->ext_len, CILIUM_EXT_BYTES);
	assert_int_equal(compose_counts(&w->compose).cut, 0);
	f = read_url(w, most + 1, &url);
	assert_int_equal(f->ext_len, 0);
	assert_int_equal(f->type, FLOW__FLOW_TYPE__L7);
	assert_false(f->bits & (FLOW_HAS_L7 | FLOW_HAS_SUMMARY | FLOW_HAS_NAMES));
	assert_int_equal(compose_counts(&w->compose).cut, 1);
	/* once for each, and by nobody else */
	(void)read_url(w, most + 1, &url);
	(void)read_url(w, 20000, &url);
	assert_int_equal(url.len, 20000);
	assert_int_equal(compose_counts(&w->compose).cut, 2);
	assert_int_equal(compose_counts(&w->compose).refused, 0);
	assert_int_equal(flow_log_counts(w->log).cut, 0);
}

/* No bit says that there is what has gone. */
static void a_flow_without_its_text_does_not_claim_to_have_it(void **state)
{
	static const uint32_t gone = FLOW_HAS_L7 | FLOW_HAS_SUMMARY | FLOW_HAS_TRACE_CONTEXT;
	struct world *w = *state;

	for (size_t bytes = 1000; bytes <= CILIUM_EXT_BYTES; bytes += CILIUM_EXT_BYTES - 1000) {
		AUTO_BUF struct buf message = buf_init(4 << 20), members = buf_init(4 << 20);
		buf_put(&members, "\2\1", 2); /* HTTP { URL, Headers }, DNS { Query } */
		monitor_put_uint(&members, bytes);
		for (size_t i = 0; i < bytes; i++)
			buf_char(&members, 'a');
		buf_lit(&members, "\1\1\13Traceparent\1\67"
				  "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
		buf_put(&members, "\0\1\1\2a.\0\0", 8);
		put_record(&message, "Request", buf_str(&members));
		feed(w, RAW_CILIUM_MONITOR, message.p, message.len, 0);
		const struct flow *f = next(w);
		assert_non_null(f);
		assert_int_equal(f->bits & gone, bytes == 1000 ? gone : 0);
		assert_int_equal(f->ext_len != 0, bytes == 1000);
	}
	assert_int_equal(compose_counts(&w->compose).cut, 1);
}

/* The same answer with RCODE 3, as Go's own encoder writes it. */
static const uint8_t dns_refused[] = {
	0x81, 'z',  0xff, 0x83, 0x03, 0x01, 0x01, 0x09, 'L',  'o',  'g',  'R',  'e',  'c',  'o',
	'r',  'd',  0x01, 0xff, 0x84, 0x00, 0x01, 0x06, 0x01, 0x04, 'T',  'y',  'p',  'e',  0x01,
	0x0c, 0x00, 0x01, 0x09, 'T',  'i',  'm',  'e',  's',  't',  'a',  'm',  'p',  0x01, 0x0c,
	0x00, 0x01, 0x0e, 'S',  'o',  'u',  'r',  'c',  'e',  'E',  'n',  'd',  'p',  'o',  'i',
	'n',  't',  0x01, 0xff, 0x86, 0x00, 0x01, 0x13, 'D',  'e',  's',  't',  'i',  'n',  'a',
	't',  'i',  'o',  'n',  'E',  'n',  'd',  'p',  'o',  'i',  'n',  't',  0x01, 0xff, 0x86,
	0x00, 0x01, 0x11, 'T',  'r',  'a',  'n',  's',  'p',  'o',  'r',  't',  'P',  'r',  'o',
	't',  'o',  'c',  'o',  'l',  0x01, 0x06, 0x00, 0x01, 0x03, 'D',  'N',  'S',  0x01, 0xff,
	0x88, 0x00, 0x00, 0x00, '(',  0xff, 0x85, 0x03, 0x01, 0x01, 0x01, 'E',  0x01, 0xff, 0x86,
	0x00, 0x01, 0x03, 0x01, 0x02, 'I',  'D',  0x01, 0x06, 0x00, 0x01, 0x04, 'I',  'P',  'v',
	'4',  0x01, 0x0c, 0x00, 0x01, 0x04, 'P',  'o',  'r',  't',  0x01, 0x06, 0x00, 0x00, 0x00,
	'4',  0xff, 0x87, 0x03, 0x01, 0x01, 0x01, 'D',  0x01, 0xff, 0x88, 0x00, 0x01, 0x04, 0x01,
	0x05, 'Q',  'u',  'e',  'r',  'y',  0x01, 0x0c, 0x00, 0x01, 0x03, 'I',  'P',  's',  0x01,
	0xff, 0x8a, 0x00, 0x01, 0x03, 'T',  'T',  'L',  0x01, 0x06, 0x00, 0x01, 0x05, 'R',  'C',
	'o',  'd',  'e',  0x01, 0x04, 0x00, 0x00, 0x00, 0x17, 0xff, 0x89, 0x02, 0x01, 0x01, 0x09,
	'[',  ']',  '[',  ']',  'u',  'i',  'n',  't',  '8',  0x01, 0xff, 0x8a, 0x00, 0x01, 0x0a,
	0x00, 0x00, 'c',  0xff, 0x84, 0x01, 0x08, 'R',  'e',  's',  'p',  'o',  'n',  's',  'e',
	0x01, 0x14, '2',  '0',  '2',  '6',  '-',  '0',  '1',  '-',  '2',  '0',  'T',  '1',  '0',
	':',  '0',  '0',  ':',  '0',  '0',  'Z',  0x01, 0x02, 0x09, '1',  '0',  '.',  '0',  '.',
	'0',  '.',  '3',  '4',  0x01, '5',  0x00, 0x01, 0x01, 0x0c, 0x01, 0x09, '1',  '0',  '.',
	'0',  '.',  '0',  '.',  '1',  '2',  0x01, 0xfe, 0x9c, '@',  0x00, 0x01, 0x11, 0x01, 0x01,
	0x0d, 's',  'h',  'o',  'p',  '.',  'e',  'x',  'a',  'm',  'p',  'l',  'e',  '.',  0x01,
	0x01, 0x04, 0xc0, 0x00, 0x02, 0x07, 0x01, '<',  0x01, 0x06, 0x00, 0x00,
};

static void an_answer_that_says_no_teaches_nothing(void **state)
{
	struct world *w = *state;

	feed(w, RAW_CILIUM_MONITOR, dns_refused, sizeof dns_refused, 0);
	const struct flow *f = next(w);
	struct str l7, dns;
	assert_non_null(f);
	assert_true(wire_find(str_n(f->ext, f->ext_len), 15, &l7)); /* flow.Flow.l7 */
	assert_true(wire_find(l7, 100, &dns));
	Flow__DNS *m = flow__dns__unpack(NULL, dns.len, (const uint8_t *)dns.p);
	assert_non_null(m);
	assert_int_equal(m->rcode, 3);
	assert_int_equal(m->n_ips, 1);
	flow__dns__free_unpacked(m, NULL);
	feed(w, RAW_CILIUM, trace, sizeof trace, 0);
	assert_false(next(w)->bits & FLOW_HAS_NAMES);
}

/* LogRecord { Type "Request", Timestamp, IPVersion 2 }, as Go's own encoder writes it. */
static const uint8_t odd_version[] = {
	0x81, '<',  0xff, 0x81, 0x03, 0x01, 0x01, 0x09, 'L',  'o',  'g', 'R', 'e',  'c',  'o',
	'r',  'd',  0x01, 0xff, 0x82, 0x00, 0x01, 0x03, 0x01, 0x04, 'T', 'y', 'p',  'e',  0x01,
	0x0c, 0x00, 0x01, 0x09, 'T',  'i',  'm',  'e',  's',  't',  'a', 'm', 'p',  0x01, 0x0c,
	0x00, 0x01, 0x09, 'I',  'P',  'V',  'e',  'r',  's',  'i',  'o', 'n', 0x01, 0x06, 0x00,
	0x00, 0x00, '$',  0xff, 0x82, 0x01, 0x07, 'R',  'e',  'q',  'u', 'e', 's',  't',  0x01,
	0x14, '2',  '0',  '2',  '6',  '-',  '0',  '1',  '-',  '2',  '0', 'T', '1',  '0',  ':',
	'0',  '0',  ':',  '0',  '0',  'Z',  0x01, 0x02, 0x00,
};

static void a_record_of_neither_ipv4_nor_ipv6_is_refused(void **state)
{
	struct world *w = *state;

	feed(w, RAW_CILIUM_MONITOR, odd_version, sizeof odd_version, 0);
	assert_null(next(w));
	assert_int_equal(compose_counts(&w->compose).refused, 1);
}

static void losses_are_told_with_their_cpu(void **state)
{
	struct world *w = *state;
	const struct raw_event ev = { .kind = RAW_LOST, .lost = 300, .cpu = 5 };

	compose_event(&w->compose, &ev, (struct mono_ns){ NS_PER_S });
	const struct flow *f = next(w);
	assert_non_null(f);
	assert_int_equal(f->kind, FLOW_KIND_LOST);
	/* source 1 (PERF_EVENT_RING_BUFFER), num_events_lost 300, cpu { 5 } */
	static const uint8_t want[] = { 0x08, 1, 0x10, 0xac, 2, 0x1a, 2, 0x08, 5 };
	assert_int_equal(f->ext_len, sizeof want);
	assert_memory_equal(f->ext, want, sizeof want);
	assert_int_equal(compose_counts(&w->compose).lost, 300);
	/* and counted by it, where it is known */
	const struct raw_event more = { .kind = RAW_LOST, .lost = 7, .cpu = 5 };
	const struct raw_event of_none = { .kind = RAW_LOST, .lost = 9, .cpu = -1 };
	const struct raw_event of_many = { .kind = RAW_LOST, .lost = 9, .cpu = COMPOSE_CPUS };
	compose_event(&w->compose, &more, (struct mono_ns){ NS_PER_S });
	compose_event(&w->compose, &of_none, (struct mono_ns){ NS_PER_S });
	compose_event(&w->compose, &of_many, (struct mono_ns){ NS_PER_S });
	assert_int_equal(compose_lost_of(&w->compose, 5), 307);
	assert_int_equal(compose_lost_of(&w->compose, 0), 0);
	assert_int_equal(compose_counts(&w->compose).lost, 325);
}

int main(void)
{
#define WITH_WORLD(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
	const struct CMUnitTest tests[] = {
		WITH_WORLD(a_sample_is_a_flow_at_the_kernels_time),
		WITH_WORLD(what_does_not_decode_is_counted_and_nothing_else),
		WITH_WORLD(a_socket_trace_of_nobody_is_left_out_uncounted),
		WITH_WORLD(debug_messages_and_notifications_are_records_of_their_own),
		WITH_WORLD(a_debug_message_tells_the_labels_that_are_shown),
		WITH_WORLD(an_answer_teaches_the_name_that_later_flows_show),
		WITH_WORLD(text_beyond_the_limit_is_counted_and_the_flow_stays),
		WITH_WORLD(a_flow_without_its_text_does_not_claim_to_have_it),
		WITH_WORLD(an_answer_that_says_no_teaches_nothing),
		WITH_WORLD(a_record_of_neither_ipv4_nor_ipv6_is_refused),
		WITH_WORLD(losses_are_told_with_their_cpu),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
