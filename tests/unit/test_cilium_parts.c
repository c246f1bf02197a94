/* observer/cilium: what recorded events do not reach: memory of requests, releases that are
 * recognised, names that L7 records teach, URLs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/buf.h"
#include "flow/fields.h"
#include "flow/flow.pb-c.h"
#include "flow/wire.h"
#include "observer/cilium/cilium.h"
#include "observer/cilium/debug.h"
#include "observer/cilium/recent.h"
#include "observer/cilium/redact.h"
#include "observer/cilium/tunnel.h"

/* --- recent ------------------------------------------------------------------------------- */

static struct str id_of(int i, char tmp[16])
{
	return str_n(tmp, (size_t)snprintf(tmp, 16, "request-%d", i));
}

static void put(struct recent *r, int i)
{
	char tmp[16];
	const struct recent_note note = { .at.s = i };

	recent_put(r, id_of(i, tmp), &note);
}

/* The number remembered for @i, -1 for none. */
static int take(struct recent *r, int i)
{
	char tmp[16];
	struct recent_note note;

	return recent_take(r, id_of(i, tmp), &note) ? (int)note.at.s : -1;
}

static void what_is_taken_is_forgotten(void **state)
{
	(void)state;
	AUTO(recent_free) struct recent *r = NULL;

	assert_int_equal(recent_new(4, 1, &r, NULL), ERR_OK);
	assert_int_equal(take(r, 1), -1);
	put(r, 1);
	assert_int_equal(take(r, 1), 1);
	assert_int_equal(take(r, 1), -1);
	/* it takes no room, either */
	for (int i = 2; i <= 5; i++)
		put(r, i);
	for (int i = 2; i <= 5; i++)
		assert_int_equal(take(r, i), i);
}

static void the_one_untouched_for_longest_makes_room(void **state)
{
	(void)state;
	AUTO(recent_free) struct recent *r = NULL;

	assert_int_equal(recent_new(3, 1, &r, NULL), ERR_OK);
	for (int i = 1; i <= 3; i++)
		put(r, i);
	put(r, 1); /* touched again: 2 is the oldest now */
	put(r, 4);
	assert_int_equal(take(r, 2), -1);
	for (int i = 1; i <= 4; i++)
		if (i != 2)
			assert_int_equal(take(r, i), i);
}

static void one_is_the_smallest_memory(void **state)
{
	(void)state;
	AUTO(recent_free) struct recent *r = NULL;

	assert_int_equal(recent_new(1, 1, &r, NULL), ERR_OK);
	put(r, 1);
	put(r, 2);
	assert_int_equal(take(r, 1), -1);
	assert_int_equal(take(r, 2), 2);
}

/* Against a plain list: newest last. */
static void it_behaves_like_a_list(void **state)
{
	(void)state;
	enum { MAX = 7, IDS = 20, STEPS = 20000 };
	AUTO(recent_free) struct recent *r = NULL;
	int list[MAX], n = 0;
	uint32_t random = 12345;

	assert_int_equal(recent_new(MAX, 99, &r, NULL), ERR_OK);
	for (int step = 0; step < STEPS; step++) {
		random = random * 1664525u + 1013904223u;
		int id = (int)(random >> 16) % IDS, at = 0;
		while (at < n && list[at] != id)
			at++;
		bool known = at < n;
		if (random & 0x100) {
			assert_int_equal(take(r, id), known ? id : -1);
		} else {
			put(r, id);
			if (!known && n == MAX) { /* the oldest goes */
				at = 0;
				known = true;
			}
		}
		if (known) {
			n--;
			memmove(list + at, list + at + 1, (size_t)(n - at) * sizeof *list);
		}
		if (!(random & 0x100))
			list[n++] = id;
	}
	for (int id = 0; id < IDS; id++) {
		bool known = false;
		for (int i = 0; i < n; i++)
			known |= list[i] == id;
		assert_int_equal(take(r, id), known ? id : -1);
	}
}

/* --- URLs, headers, texts ----------------------------------------------------------------- */

static void assert_url(const struct redact *r, const char *url, const char *want)
{
	char text[256];
	struct buf b = buf_fixed(text, sizeof text);

	redact_url_put(&b, r, str_of(url));
	assert_string_equal(buf_cstr(&b), want);
}

static void a_password_is_found_where_it_can_be_and_nowhere_else(void **state)
{
	(void)state;
	const struct redact off = { 0 };
	const struct redact shown = { .enabled = true };

	assert_url(&off, "http://u:p@h/", "http://u:HUBBLE_REDACTED@h/");
	assert_url(&off, "//u:p@h", "//u:HUBBLE_REDACTED@h");
	assert_url(&off, "http://u:p@q@h/", "http://u:HUBBLE_REDACTED@h/");
	assert_url(&off, "http://u:@h/", "http://u:HUBBLE_REDACTED@h/");
	assert_url(&off, "http://u@h:80/", "http://u@h:80/");
	assert_url(&off, "http://h/a:b@c", "http://h/a:b@c");
	assert_url(&off, "http://h?u:p@x", "http://h?u:p@x");
	assert_url(&off, "/a//u:p@h", "/a//u:p@h");
	assert_url(&off, "mailto:u:p@h", "mailto:u:p@h");
	assert_url(&off, "", "");
	assert_url(&shown, "http://u:p@h/", "http://u:p@h/");
}

static void the_query_goes_with_the_fragment(void **state)
{
	(void)state;
	const struct redact r = { .enabled = true, .http_urlquery = true, .http_userinfo = true };

	assert_url(&r, "http://u:p@h/a?b=c#d", "http://u:HUBBLE_REDACTED@h/a");
	assert_url(&r, "/a#d?e", "/a");
	/* of an empty query Go keeps the mark */
	assert_url(&r, "?", "?");
	assert_url(&r, "/a?#d", "/a?");
	assert_url(&r, "/a??", "/a");
}

static void header_lists_say_what_stays_or_what_goes(void **state)
{
	(void)state;
	const char *const list[] = { "Cookie", "x-secret" };
	const struct redact all = { .enabled = true };
	const struct redact allow = { .enabled = true, .headers_allow = list, .allow_count = 2 };
	const struct redact deny = { .enabled = true, .headers_deny = list, .deny_count = 2 };
	const struct redact off = { .headers_deny = list, .deny_count = 2 };

	assert_true(redact_hides_header(&all, STR("Accept")));
	assert_false(redact_hides_header(&allow, STR("cookie")));
	assert_true(redact_hides_header(&allow, STR("Accept")));
	assert_true(redact_hides_header(&deny, STR("X-Secret")));
	assert_false(redact_hides_header(&deny, STR("X-Secret-Not")));
	assert_false(redact_hides_header(&off, STR("Cookie")));

	/* as the reference's flag takes them: a list in one value */
	const char *const joined[] = { "Authorization, cookie", "x-secret" };
	const struct redact both = { .enabled = true, .headers_deny = joined, .deny_count = 2 };
	assert_true(redact_hides_header(&both, STR("authorization")));
	assert_true(redact_hides_header(&both, STR("Cookie")));
	assert_true(redact_hides_header(&both, STR("X-Secret")));
	assert_false(redact_hides_header(&both, STR("Authorization, cookie")));
}

/* Texts that no recorded event has; reference/cilium-events.md 3.5, and Go's table of errors. */
static void debug_texts_of_states_and_errors(void **state)
{
	(void)state;
	static const struct {
		uint8_t subtype;
		uint32_t arg1, arg2;
		const char *want;
	} cases[] = {
		{ 15, 0, 0x0100, "CT verdict: New, revnat=1" },
		{ 15, 3, 0, "CT verdict: Related, revnat=0" },
		{ 15, 171, 0, "CT verdict: Invalid identity, revnat=0" },
		{ 64, 0, 0, "Socket assign: Success" },
		{ 64, 5, 0, "Socket assign: input/output error" },
		{ 64, 132, 0, "Socket assign: operation not possible due to RF-kill" },
		{ 64, 4096, 0, "Socket assign: errno 4096" },
		{ 45, 0x5000, 0, "Resolved L4 policy to: 80 / egress" },
		{ 7, 0, 2, "CT reverse lookup: sport=0 dport=0 nexthdr=0 flags=RELATED" },
		{ 68, 1, 2, "Unknown message type=68 arg1=1 arg2=2" },
		{ 0, 1, 2, "Unknown message type=0 arg1=1 arg2=2" },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char text[256];
		struct buf b = buf_fixed(text, sizeof text);
		debug_text_put(&b, cases[i].subtype, cases[i].arg1, cases[i].arg2, 0);
		assert_string_equal(buf_cstr(&b), cases[i].want);
	}
}

/* --- releases ----------------------------------------------------------------------------- */

struct reader {
	struct flow_dict *dict;
	struct name_table *names;
	struct cilium *cilium;
};

static void reader_done(struct reader *r)
{
	cilium_free(r->cilium);
	name_table_free(r->names);
	flow_dict_free(r->dict);
}
#define AUTO_READER __attribute__((cleanup(reader_done))) struct reader

static struct reader reader_of(enum cilium_release release)
{
	struct reader r = { 0 };

	assert_int_equal(flow_dict_new(1000, &r.dict, NULL), ERR_OK);
	assert_int_equal(name_table_new(&(struct name_config){ .node = "n", .cluster = "" }, r.dict,
					&r.names, NULL),
			 ERR_OK);
	const struct cilium_config config = { .dict = r.dict,
					      .names = r.names,
					      .release = release };
	assert_int_equal(cilium_new(&config, &r.cilium, NULL), ERR_OK);
	return r;
}

static enum cilium_outcome read_bytes(const struct reader *r, const void *bytes, size_t len,
				      struct flow *ret)
{
	AUTO_BUF struct buf ext = buf_init(1 << 16);
	const struct cilium_sample in = { .bytes = str_n(bytes, len), .cpu = 0 };

	*ret = (struct flow){ .time = { 1 }, .bits = FLOW_HAS_TIME };
	return cilium_event(r->cilium, &in, ret, &ext);
}

/* A policy verdict of 1.18, 32 bytes, with the 34 bytes of an Ethernet frame with IPv4 behind it.
 */
static const uint8_t verdict_1_18[32 + 34] = {
	[0] = 5,          [14] = 1,         [26] = 6,       [27] = 1,
	[32 + 12] = 0x08, [32 + 14] = 0x45, [32 + 17] = 20, [32 + 26] = 10,
};

static void the_versions_of_other_events_tell_the_release(void **state)
{
	(void)state;
	AUTO_READER r = reader_of(CILIUM_RELEASE_AUTO);
	const uint8_t drop_2[40] = { [0] = 1, [14] = 2 }, drop_3[48] = { [0] = 1, [14] = 3 };
	const uint8_t trace_1[48] = { [0] = 4, [14] = 1 };
	struct flow f;

	/* until something tells, the newest is meant: the packet would begin 8 bytes late */
	assert_int_equal(read_bytes(&r, verdict_1_18, sizeof verdict_1_18, &f), CILIUM_TAKEN);
	assert_false(f.bits & FLOW_HAS_SRC_IP);
	assert_int_equal(read_bytes(&r, drop_2, sizeof drop_2, &f), CILIUM_TAKEN);
	assert_int_equal(read_bytes(&r, verdict_1_18, sizeof verdict_1_18, &f), CILIUM_TAKEN);
	assert_true(f.bits & FLOW_HAS_SRC_IP);
	assert_int_equal(f.src_ip[12], 10);
	/* the agent was upgraded, and downgraded */
	assert_int_equal(read_bytes(&r, drop_3, sizeof drop_3, &f), CILIUM_TAKEN);
	assert_int_equal(read_bytes(&r, verdict_1_18, sizeof verdict_1_18, &f), CILIUM_TAKEN);
	assert_false(f.bits & FLOW_HAS_SRC_IP);
	assert_int_equal(read_bytes(&r, trace_1, sizeof trace_1, &f), CILIUM_TAKEN);
	assert_int_equal(read_bytes(&r, verdict_1_18, sizeof verdict_1_18, &f), CILIUM_TAKEN);
	assert_true(f.bits & FLOW_HAS_SRC_IP);
}

static void a_release_that_is_given_is_not_changed(void **state)
{
	(void)state;
	AUTO_READER r = reader_of(CILIUM_RELEASE_1_18);
	const uint8_t drop_3[48] = { [0] = 1, [14] = 3 };
	struct flow f;

	assert_int_equal(read_bytes(&r, drop_3, sizeof drop_3, &f), CILIUM_TAKEN);
	assert_int_equal(read_bytes(&r, verdict_1_18, sizeof verdict_1_18, &f), CILIUM_TAKEN);
	assert_true(f.bits & FLOW_HAS_SRC_IP);
	/* one byte less than the fixed part */
	assert_int_equal(read_bytes(&r, verdict_1_18, 31, &f), CILIUM_REFUSED);
}

/* The fixed part, a captured packet, and what the kernel pads with. */
static void the_length_of_a_verdict_tells_its_release(void **state)
{
	(void)state;
	enum { CAPTURED = 34 };
	static const size_t fixed[] = { 32, 40, 32 };
	AUTO_READER r = reader_of(CILIUM_RELEASE_AUTO);
	struct flow f;

	for (size_t i = 0; i < ARRAY_LEN(fixed); i++) {
		uint8_t bytes[40 + CAPTURED + 7] = {
			[0] = 5,
			[12] = CAPTURED,
			[14] = 1,
		};
		uint8_t *ip = bytes + fixed[i] + 14;
		ip[-2] = 8; /* EtherType */
		ip[0] = 0x45;
		ip[3] = 20;
		ip[12] = 10;
		for (size_t padding = 0; padding < 8; padding++) {
			size_t len = fixed[i] + CAPTURED + padding;
			assert_int_equal(read_bytes(&r, bytes, len, &f), CILIUM_TAKEN);
			assert_true(f.bits & FLOW_HAS_SRC_IP);
			assert_int_equal(f.src_ip[12], 10);
		}
	}
	/* a length that fits neither tells nothing */
	assert_int_equal(read_bytes(&r, verdict_1_18, sizeof verdict_1_18, &f), CILIUM_TAKEN);
	assert_true(f.bits & FLOW_HAS_SRC_IP);
}

/* --- members ------------------------------------------------------------------------------ */

/* Cilium's parser copies the byte; its datapath leaves it 0. */
static void a_verdict_has_the_subtype_of_its_message(void **state)
{
	(void)state;
	AUTO_READER r = reader_of(CILIUM_RELEASE_1_19);
	const uint8_t verdict[40] = { [0] = 5, [1] = 9, [14] = 1 };
	struct flow f;

	assert_int_equal(read_bytes(&r, verdict, sizeof verdict, &f), CILIUM_TAKEN);
	assert_int_equal(f.event_type, 5);
	assert_int_equal(f.event_sub_type, 9);
}

/* Trace 2, IPv6, L3; from fd00::1 to fd00::2, nothing behind IPv6. "Not set" is what Go's
 * net.IP.IsUnspecified says: 0.0.0.0 mapped into IPv6 as well as ::. */
static void an_original_address_that_is_unspecified_is_none(void **state)
{
	(void)state;
	AUTO_READER r = reader_of(CILIUM_RELEASE_1_19);
	uint8_t trace[56 + 40] = {
		[0] = 4,         [2] = 7,       [14] = 2,         [26] = 1,
		[27] = 3,        [56] = 0x60,   [56 + 5] = 1,     [56 + 6] = 59,
		[56 + 8] = 0xfd, [56 + 23] = 1, [56 + 24] = 0xfd, [56 + 39] = 2
	};
	struct flow f;

	for (int i = 0; i < 3; i++) {
		trace[32 + 10] = trace[32 + 11] = i >= 1 ? 0xff : 0;
		trace[32 + 12] = i >= 2 ? 10 : 0;
		assert_int_equal(read_bytes(&r, trace, sizeof trace, &f), CILIUM_TAKEN);
		assert_int_equal((f.bits & FLOW_HAS_XLATED) != 0, i == 2);
		assert_int_equal(f.direction, i == 2 ? FLOW__TRAFFIC_DIRECTION__EGRESS
						     : FLOW__TRAFFIC_DIRECTION__INGRESS);
	}
}

/* --- tunnels ------------------------------------------------------------------------------ */

/* RFC 8926 §3.4, §3.5: @words of options, of which the first says that @first words follow its head;
 * behind them lies an IPv6 header of 40 bytes with nothing in it. The reference steps over whole
 * options until their declared length is used up, whether or not the last one runs over it. */
static void options_of_geneve_lie_within_the_packet(void **state)
{
	(void)state;
	enum { HEADER = 8, IPV6 = 40, OPTIONS_MAX = 64 };
	static const struct {
		uint8_t words, first;
		size_t bytes; /* of options in the packet */
		bool taken;
	} cases[] = {
		{ 0, 0, 0, true },   { 1, 0, 4, true },   { 1, 1, 4, false },
		{ 1, 1, 8, true },   { 2, 1, 8, true },   { 15, 14, 60, true },
		{ 1, 15, 4, false }, { 1, 15, 64, true }, { 17, 16, 68, true },
		{ 2, 0, 4, false },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		uint8_t payload[HEADER + 72 + IPV6] = {
			cases[i].words, [2] = 0x86, [3] = 0xdd, [6] = 77
		};
		uint8_t *options = payload + HEADER, *inner = options + cases[i].bytes;
		struct flow f = { .l4 = FLOW_L4_UDP };
		struct tunnel t;

		options[3] = cases[i].first;
		size_t len = HEADER + cases[i].bytes;
		if (cases[i].taken) {
			memcpy(inner, (const uint8_t[IPV6]){ 0x60, [5] = 1, [6] = 59, [23] = 1 },
			       IPV6);
			len += IPV6;
		}
		assert_int_equal(
			tunnel_open(TUNNEL_GENEVE, str_n((const char *)payload, len), &f, &t),
			cases[i].taken);
		if (!cases[i].taken)
			continue;
		assert_int_equal(t.vni, 77);
		assert_int_equal(f.ip_version, 2);
		assert_int_equal(f.src_ip[15], 1);
	}
}

static void a_packet_that_is_flagged_has_the_header(void **state)
{
	(void)state;
	struct tunnel t;

	for (size_t len = 0; len <= 8; len++)
		for (enum tunnel_protocol p = TUNNEL_VXLAN; p <= TUNNEL_GENEVE; p++) {
			struct flow f = { .l4 = FLOW_L4_UDP };
			assert_int_equal(tunnel_open(p, str_n("\0\0\0\0\0\0\0", len), &f, &t),
					 len == 8);
		}
}

enum {
	VXLAN_HEAD = 14 + 20 + 8 + 8,
	VXLAN_UDP = 14 + 20,
	VXLAN_LENGTH = VXLAN_UDP + 4,
};

/* Ethernet, IPv4, UDP from 4789 to @port, VXLAN with @vni; of @len bytes from there on. */
static void put_vxlan(uint8_t *p, uint16_t port, uint8_t vni, size_t len)
{
	memcpy(p,
	       (const uint8_t[VXLAN_HEAD]){ [12] = 0x08,
					    [14] = 0x45,
					    [23] = 17,
					    [29] = vni,
					    [VXLAN_UDP] = 4789 >> 8,
					    [VXLAN_UDP + 1] = 4789 & 0xff,
					    [VXLAN_UDP + 2] = (uint8_t)(port >> 8),
					    [VXLAN_UDP + 3] = (uint8_t)port,
					    [VXLAN_LENGTH] = (uint8_t)((len - VXLAN_UDP) >> 8),
					    [VXLAN_LENGTH + 1] = (uint8_t)(len - VXLAN_UDP),
					    [VXLAN_HEAD - 2] = vni },
	       VXLAN_HEAD);
}

/* Of an inner packet the destination port says what follows, before the source port does: a port
 * that belongs to another protocol ends it, any other leaves the word to the source. */
static void a_known_destination_port_hides_a_tunnels_source_port(void **state)
{
	(void)state;
	static const uint16_t known[] = { 53,   67,   68,   123,  546,  547,  623,  666,  1000,
					  1812, 2123, 2152, 2222, 3784, 5060, 6343, 44818 };
	const uint8_t vxlan[8] = { 8, [6] = 1 };

	for (size_t i = 0; i <= ARRAY_LEN(known); i++) {
		uint8_t payload[sizeof vxlan + 2 * VXLAN_HEAD];
		struct flow f = { .l4 = FLOW_L4_UDP };
		struct tunnel t;

		memcpy(payload, vxlan, sizeof vxlan);
		put_vxlan(payload + sizeof vxlan, i < ARRAY_LEN(known) ? known[i] : 8472, 2,
			  2 * VXLAN_HEAD);
		put_vxlan(payload + sizeof vxlan + VXLAN_HEAD, 80, 3, VXLAN_HEAD);
		assert_true(tunnel_open(TUNNEL_VXLAN, str_n((const char *)payload, sizeof payload),
					&f, &t));
		/* the innermost VXLAN header is the last packet's own, to port 80 */
		assert_int_equal(t.vni, i < ARRAY_LEN(known) ? 1 : 3);
	}
}

/* The innermost packet need not have a layer 4; the one around it, UDP, is then still told. */
static void the_summary_of_a_nested_tunnel_is_its_last_layer(void **state)
{
	(void)state;
	enum { TRACE = 32, ALL = TRACE + 2 * VXLAN_HEAD };
	static const struct {
		uint8_t inner[40];
		size_t len;
		struct str want;
	} cases[] = {
		{ { 0 }, 0, { "VXLAN", 5 } },
		{ { [12] = 0x08, [13] = 0x06 }, 40, { "Ethernet", 8 } },
		{ { [12] = 0x08, [14] = 0x45, [17] = 20, [23] = 47 }, 34, { "IPv4", 4 } },
		{ { [12] = 0x08, [14] = 0x45, [17] = 26, [23] = 58 }, 40, { "", 0 } },
	};
	AUTO_READER r = reader_of(CILIUM_RELEASE_1_19);

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		AUTO_BUF struct buf ext = buf_init(1 << 16);
		uint8_t trace[ALL + 40] = { [0] = 4, [26] = 1, [27] = 4 };
		struct flow f = { .time = { 1 }, .bits = FLOW_HAS_TIME };
		struct str summary = { "", 0 };

		put_vxlan(trace + TRACE, 8472, 1, 2 * VXLAN_HEAD + cases[i].len);
		put_vxlan(trace + TRACE + VXLAN_HEAD, 4789, 2, VXLAN_HEAD + cases[i].len);
		memcpy(trace + ALL, cases[i].inner, sizeof cases[i].inner);
		const struct cilium_sample in = {
			.bytes = str_n((const char *)trace, ALL + cases[i].len), .cpu = 0
		};
		assert_int_equal(cilium_event(r.cilium, &in, &f, &ext), CILIUM_TAKEN);
		assert_int_equal(f.l4, cases[i].want.len ? FLOW_L4_UDP : FLOW_L4_ICMP6);
		(void)wire_find(buf_str(&ext), FLOW_FIELD_SUMMARY, &summary);
		assert_true(str_eq(summary, cases[i].want));
		assert_int_equal(flow_is(&f, FLOW_HAS_SUMMARY), cases[i].want.len != 0);
	}
}

/* --- times -------------------------------------------------------------------------------- */

/* One gob message: its length, which fits a byte, and @body. */
static void put_message(struct buf *b, const struct buf *body)
{
	buf_char(b, (char)body->len);
	buf_str_put(b, buf_str(body));
}

static void put_name(struct buf *b, const char *name)
{
	buf_char(b, (char)strlen(name));
	buf_str_put(b, str_of(name));
}

/* The agent's message @kind: a struct of a first member, of gob's type @type and encoded as @value,
 * and of a text. */
static void put_agents(struct buf *b, uint8_t kind, const char *first, uint8_t type,
		       struct str value, const char *second, const char *text)
{
	char tmp[2][256];
	struct buf def = buf_fixed(tmp[0], sizeof tmp[0]), body = buf_fixed(tmp[1], sizeof tmp[1]);

	buf_char(b, (char)kind);
	buf_put(&def, "\xff\x81\x03\x01\x01", 5);
	put_name(&def, "T");
	buf_put(&def, "\x01\xff\x82\x00\x01\x02\x01", 7);
	put_name(&def, first);
	buf_put(&def, (const char[]){ 1, (char)type, 0, 1 }, 4);
	put_name(&def, second);
	buf_put(&def, "\x01\x0c\x00\x00\x00", 5);
	put_message(b, &def);
	buf_put(&body, "\xff\x82\x01", 3);
	buf_str_put(&body, value);
	buf_char(&body, 1);
	put_name(&body, text);
	buf_char(&body, 0);
	put_message(b, &body);
}

/* Whether the agent's record of the time @text is one. */
static bool record_is_read(const struct reader *r, const char *text)
{
	AUTO_BUF struct buf b = buf_init(1 << 10), ext = buf_init(1 << 16);
	struct flow f = { .time = { 1 }, .bits = FLOW_HAS_TIME };

	put_agents(&b, 129, "Type", 12, STR("\007Request"), "Timestamp", text);
	const struct cilium_sample in = { .bytes = buf_str(&b), .monitor = true };
	return cilium_event(r->cilium, &in, &f, &ext) == CILIUM_TAKEN;
}

/* The time of its notification of a start, 0 if it has none. */
static int64_t start_time(const struct reader *r, const char *text)
{
	AUTO_BUF struct buf b = buf_init(1 << 10), ext = buf_init(1 << 16);
	struct flow f = { .time = { 1 }, .bits = FLOW_HAS_TIME };
	char tmp[128];
	struct buf json = buf_fixed(tmp, sizeof tmp);

	buf_printf(&json, "{\"time\":\"%s\"}", text);
	put_agents(&b, 130, "Type", 6, STR("\x02"), "Text", buf_cstr(&json));
	const struct cilium_sample in = { .bytes = buf_str(&b), .monitor = true };
	assert_int_equal(cilium_event(r->cilium, &in, &f, &ext), CILIUM_TAKEN);
	Flow__AgentEvent *event =
		flow__agent_event__unpack(NULL, ext.len, (const uint8_t *)buf_str(&ext).p);
	assert_non_null(event);
	assert_int_equal(event->type, FLOW__AGENT_EVENT_TYPE__AGENT_STARTED);
	const Google__Protobuf__Timestamp *time = event->agent_start->time;
	int64_t ns = time ? time->seconds * NS_PER_S + time->nanos : 0;
	flow__agent_event__free_unpacked(event, NULL);
	return ns;
}

/* What is no JSON is told as it is, but for bytes that no text has. */
static void a_notification_that_is_no_utf8_is_told_all_the_same(void **state)
{
	(void)state;
	AUTO_READER r = reader_of(CILIUM_RELEASE_1_19);
	AUTO_BUF struct buf b = buf_init(1 << 10), ext = buf_init(1 << 16);
	struct flow f = { .time = { 1 }, .bits = FLOW_HAS_TIME };

	put_agents(&b, 130, "Type", 6, STR("\x02"), "Text", "a\xff");
	const struct cilium_sample in = { .bytes = buf_str(&b), .monitor = true };
	assert_int_equal(cilium_event(r.cilium, &in, &f, &ext), CILIUM_TAKEN);
	Flow__AgentEvent *event =
		flow__agent_event__unpack(NULL, ext.len, (const uint8_t *)buf_str(&ext).p);
	assert_non_null(event);
	assert_non_null(event->unknown);
	assert_string_equal(event->unknown->type, "2");
	assert_string_equal(event->unknown->notification, "a\xef\xbf\xbd");
	flow__agent_event__free_unpacked(event, NULL);
}

/* The agent's own parser of times is the measure, Go's time.Parse with RFC3339Nano. */
static void times_are_read_as_the_agent_reads_them(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		int64_t ns; /* 0 none */
	} cases[] = {
		{ "1970-01-01T10:00:00.5Z", 36000500000000 },
		{ "1970-01-01T1:00:00Z", 3600000000000 },
		{ "1970-01-01T01:00:00,25Z", 3600250000000 },
		{ "1970-01-01T01:00:00.123456789987Z", 3600123456789 },
		{ "1970-01-03T00:00:00+24:00", 86400000000000 },
		{ "1970-01-01T04:00:00+02:60", 3600000000000 },
		{ "1970-01-03T00:00:00+25:00", 0 },
		{ "1970-01-01T04:00:00+02:61", 0 },
		{ "1970-01-01T01:00:60Z", 0 },
		{ "1970-01-01T01:00:00.Z", 0 },
		{ "1970-01-01t01:00:00Z", 0 },
		{ "0000-01-01T01:00:00Z", 0 },
		{ "", 0 },
	};
	AUTO_READER r = reader_of(CILIUM_RELEASE_1_19);

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		assert_int_equal(record_is_read(&r, cases[i].text), cases[i].ns != 0);
		assert_int_equal(start_time(&r, cases[i].text), cases[i].ns);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_taken_is_forgotten),
		cmocka_unit_test(the_one_untouched_for_longest_makes_room),
		cmocka_unit_test(one_is_the_smallest_memory),
		cmocka_unit_test(it_behaves_like_a_list),
		cmocka_unit_test(a_password_is_found_where_it_can_be_and_nowhere_else),
		cmocka_unit_test(the_query_goes_with_the_fragment),
		cmocka_unit_test(header_lists_say_what_stays_or_what_goes),
		cmocka_unit_test(debug_texts_of_states_and_errors),
		cmocka_unit_test(the_versions_of_other_events_tell_the_release),
		cmocka_unit_test(a_release_that_is_given_is_not_changed),
		cmocka_unit_test(the_length_of_a_verdict_tells_its_release),
		cmocka_unit_test(a_verdict_has_the_subtype_of_its_message),
		cmocka_unit_test(an_original_address_that_is_unspecified_is_none),
		cmocka_unit_test(options_of_geneve_lie_within_the_packet),
		cmocka_unit_test(a_packet_that_is_flagged_has_the_header),
		cmocka_unit_test(a_known_destination_port_hides_a_tunnels_source_port),
		cmocka_unit_test(the_summary_of_a_nested_tunnel_is_its_last_layer),
		cmocka_unit_test(a_notification_that_is_no_utf8_is_told_all_the_same),
		cmocka_unit_test(times_are_read_as_the_agent_reads_them),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
