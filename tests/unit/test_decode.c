/* observer/decode: packets to flow records, against recorded events of the reference and hand-made
 * packets. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>
#include <jansson.h>

#include "base/buf.h"
#include "observer/decode/decode.h"
#include "recorded.h"

/* ---- recorded events ---- */

static size_t unhex(struct str hex, uint8_t *out)
{
	assert_int_equal(hex.len % 2, 0);
	for (size_t i = 0; i < hex.len / 2; i++) {
		char digits[3] = { hex.p[2 * i], hex.p[2 * i + 1], 0 };
		out[i] = (uint8_t)strtoul(digits, NULL, 16);
	}
	return hex.len / 2;
}

/* Where the packet of a recorded sample begins and how it is to be read: Cilium's monitor messages,
 * little-endian. */
struct sample {
	size_t fixed_bytes;
	enum decode_start start;
	bool tunnel; /* flagged as underlay: the inner packet is shown, which is not this module's
			part */
};

enum { MESSAGE_DROP = 1, MESSAGE_CAPTURE = 3, MESSAGE_TRACE = 4, MESSAGE_VERDICT = 5 };

/* False where already the fixed message does not decode. */
static bool sample_layout(const uint8_t *p, size_t len, struct sample *ret)
{
	static const size_t drop_bytes[] = { 36, 36, 40, 48 }, trace_bytes[] = { 32, 48, 56 };
	uint8_t version = len > 14 ? p[14] : 0,
		flags = 0; /* 1 IPv6, 2 starts at L3, 4 VXLAN, 8 Geneve */
	struct sample s = { 0 };

	switch (len ? p[0] : 0) {
	case MESSAGE_DROP:
		if (len < 36 || version >= ARRAY_LEN(drop_bytes))
			return false;
		s.fixed_bytes = drop_bytes[version];
		if (version >= 2)
			flags = len > 36 ? p[36] : 0;
		break;
	case MESSAGE_TRACE:
		if (len < 32 || version >= ARRAY_LEN(trace_bytes))
			return false;
		s.fixed_bytes = trace_bytes[version];
		flags = p[27];
		break;
	case MESSAGE_VERDICT:
		s.fixed_bytes = 40;
		if (len >= 40)
			flags = (uint8_t)((p[27] >> 2 & 1) | (p[27] >> 7) << 1);
		break;
	case MESSAGE_CAPTURE:
		s.fixed_bytes = 24;
		break;
	default:
		return false;
	}
	if (len < s.fixed_bytes)
		return false;
	s.start = !(flags & 2) ? DECODE_ETHERNET : flags & 1 ? DECODE_IPV6 : DECODE_IPV4;
	s.tunnel = flags & 0xc;
	*ret = s;
	return true;
}

static void set_number(json_t *o, const char *key, int value)
{
	if (value) /* proto3 JSON leaves zero out */
		assert_int_equal(json_object_set_new(o, key, json_integer(value)), 0);
}

static void set_text(json_t *o, const char *key, struct str s)
{
	if (s.len)
		assert_int_equal(json_object_set_new(o, key, json_stringn(s.p, s.len)), 0);
}

static json_t *l4_json(const struct flow *f)
{
	static const char *const flag_names[] = { "FIN", "SYN", "RST", "PSH", "ACK",
						  "URG", "ECE", "CWR", "NS" };
	static const char *const names[] = {
		[FLOW_L4_TCP] = "TCP",      [FLOW_L4_UDP] = "UDP",   [FLOW_L4_ICMP4] = "ICMPv4",
		[FLOW_L4_ICMP6] = "ICMPv6", [FLOW_L4_SCTP] = "SCTP", [FLOW_L4_VRRP] = "VRRP",
		[FLOW_L4_IGMP] = "IGMP"
	};
	json_t *o = json_object();

	switch ((enum flow_l4)f->l4) {
	case FLOW_L4_TCP:
	case FLOW_L4_UDP:
	case FLOW_L4_SCTP:
		set_number(o, "source_port", f->src_port);
		set_number(o, "destination_port", f->dst_port);
		break;
	case FLOW_L4_ICMP4:
	case FLOW_L4_ICMP6:
		set_number(o, "type", f->icmp_type);
		set_number(o, "code", f->icmp_code);
		break;
	case FLOW_L4_VRRP:
		set_number(o, "type", f->vrrp_type);
		set_number(o, "vrid", f->vrrp_vrid);
		set_number(o, "priority", f->vrrp_priority);
		break;
	case FLOW_L4_IGMP: {
		char group[16];
		(void)snprintf(group, sizeof group, "%u.%u.%u.%u", f->igmp_group[0],
			       f->igmp_group[1], f->igmp_group[2], f->igmp_group[3]);
		set_number(o, "type", f->igmp_type);
		set_text(o, "group_address", str_of(group));
		break;
	}
	case FLOW_L4_NONE:
		json_decref(o);
		return NULL;
	}
	if (flow_is(f, FLOW_HAS_TCP_FLAGS)) {
		json_t *flags = json_object();
		for (size_t i = 0; i < ARRAY_LEN(flag_names); i++)
			if (f->tcp_flags & 1 << i)
				(void)json_object_set_new(flags, flag_names[i], json_true());
		(void)json_object_set_new(o, "flags", flags);
	}
	return json_pack("{s:o}", names[f->l4], o);
}

/* What the packet determines of a flow, as proto3 JSON. */
static json_t *packet_json(const struct flow *f)
{
	char tmp[FLOW_IP_TEXT_BYTES], mac[FLOW_MAC_TEXT_BYTES], text[200];
	json_t *o = json_object();

	if (flow_is(f, FLOW_HAS_ETHERNET)) {
		json_t *e = json_object();
		set_text(e, "source", flow_mac_text(f, FLOW_SRC, mac));
		set_text(e, "destination", flow_mac_text(f, FLOW_DST, mac));
		(void)json_object_set_new(o, "ethernet", e);
	}
	if (flow_is(f, FLOW_HAS_IP)) {
		json_t *ip = json_object();
		set_text(ip, "source", flow_ip_text(f, FLOW_SRC, tmp));
		set_text(ip, "destination", flow_ip_text(f, FLOW_DST, tmp));
		set_text(ip, "ipVersion", str_of(f->ip_version == 1 ? "IPv4" : "IPv6"));
		(void)json_object_set_new(o, "IP", ip);
	}
	if (f->l4)
		(void)json_object_set_new(o, "l4", l4_json(f));

	struct buf b = buf_fixed(text, sizeof text);
	flow_summary_put(&b, f, NULL);
	set_text(o, "Summary", buf_str(&b));
	return o;
}

/* The same part of what the reference made of the whole event. */
static json_t *expected_json(const json_t *whole)
{
	static const char *const keys[] = { "ethernet", "IP", "l4", "Summary" };
	json_t *o = json_object();

	for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
		json_t *v = json_object_get(whole, keys[i]);
		if (v)
			(void)json_object_set(o, keys[i], v);
	}
	/* The message, not the packet, says that it was encrypted, and what its source was before
	 * translation. */
	json_t *ip = json_object_get(o, "IP"), *xlated = json_object_get(ip, "source_xlated");
	(void)json_object_del(ip, "encrypted");
	if (xlated)
		(void)json_object_set(ip, "source", xlated);
	(void)json_object_del(ip, "source_xlated");
	return o;
}

struct counts {
	int flows, errors, failed;
};

static void check_row(struct str id, const uint8_t *sample, size_t len, struct str outcome,
		      struct str expected, struct counts *n)
{
	struct sample s;
	struct flow f = { 0 };
	struct decode_payload payload;
	bool decoded = sample_layout(sample, len, &s);

	if (decoded && s.tunnel)
		return;
	if (decoded) {
		/* A block of its own, so that the address sanitizer sees a read past the end. */
		size_t bytes = len - s.fixed_bytes;
		char *packet = malloc(bytes ? bytes : 1);
		assert_non_null(packet);
		memcpy(packet, sample + s.fixed_bytes, bytes);
		decoded = decode_packet(str_n(packet, bytes), s.start, false, &f, &payload);
		free(packet);
	}
	if (decoded != str_is(outcome, "flow")) {
		print_error("%.*s: outcome should be %.*s: %.*s\n", STR_FMT(id), STR_FMT(outcome),
			    STR_FMT(expected));
		n->failed++;
		return;
	}
	if (!decoded) {
		n->errors++;
		return;
	}

	json_t *whole = json_loadb(expected.p, expected.len, 0, NULL);
	assert_non_null(whole);
	json_t *want = expected_json(whole), *got = packet_json(&f);
	if (!json_equal(want, got)) {
		char *w = json_dumps(want, JSON_SORT_KEYS), *g = json_dumps(got, JSON_SORT_KEYS);
		print_error("%.*s\n  expected %s\n  got      %s\n", STR_FMT(id), w, g);
		free(w);
		free(g);
		n->failed++;
	}
	json_decref(got);
	json_decref(want);
	json_decref(whole);
	n->flows++;
}

static void packets_of_recorded_events_become_what_the_reference_made_of_them(void **state)
{
	(void)state;
	static const char *const kinds[] = { "drop", "trace", "policy-verdict", "debug-capture" };
	AUTO_BUF struct buf file = recorded_read("golden/events/events.tsv");
	struct str rest = buf_str(&file), line;
	struct counts n = { 0 };
	static uint8_t sample[1 << 16];

	while (str_split(&rest, '\n', &line)) {
		struct str cell[9], cells = line;
		size_t count = 0;
		while (count < ARRAY_LEN(cell) && str_split(&cells, '\t', &cell[count]))
			count++;
		bool packet = false;
		for (size_t i = 0; count > 6 && i < ARRAY_LEN(kinds); i++)
			packet |= str_is(cell[1], kinds[i]);
		if (!packet)
			continue;
		assert_true(cell[2].len / 2 <= sizeof sample);
		check_row(cell[0], sample, unhex(cell[2], sample), cell[5], cell[6], &n);
	}
	assert_int_equal(n.failed, 0);
	/* The file holds 1,643 such events, a part of them tunnels: a reader that skips them all
	 * would pass otherwise. */
	assert_true(n.flows > 1200);
	assert_true(n.errors > 150);
}

/* ---- hand-made packets ---- */

#define ETHERNET(type) 2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, (type) >> 8, (type)&0xff
/* RFC 791: 10.0.0.1 to 10.0.0.2, header of 20 bytes. */
#define IPV4(total, fragment, protocol)                                                            \
	0x45, 0, (total) >> 8, (total)&0xff, 0, 0, (fragment) >> 8, (fragment)&0xff, 64, protocol, \
		0, 0, 10, 0, 0, 1, 10, 0, 0, 2
/* RFC 8200: fd00::1 to fd00::2. */
#define IPV6(length, next)                                                                         \
	0x60, 0, 0, 0, (length) >> 8, (length)&0xff, next, 64, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, \
		0, 0, 0, 0, 1, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2
/* RFC 9293: 40000 to 80, header of @words * 4 bytes. */
#define TCP(words, flags)                                                                          \
	0x9c, 0x40, 0, 80, 0, 0, 0, 0, 0, 0, 0, 0, (words) << 4, flags, 0xff, 0xff, 0, 0, 0, 0
/* RFC 768: 40000 to 53. */
#define UDP(length) 0x9c, 0x40, 0, 53, (length) >> 8, (length)&0xff, 0, 0

struct result {
	bool ok;
	struct flow f;
	struct decode_payload payload;
	size_t payload_at; /* offset in the packet, if it has bytes */
};

static struct result decode_as(enum decode_start start, bool vlan, const uint8_t *p, size_t len)
{
	struct result r = { .f = { .seq = 7, .verdict = 2, .bits = FLOW_HAS_TIME } };
	char *copy = malloc(len ? len : 1);

	assert_non_null(copy);
	memcpy(copy, p, len);
	r.ok = decode_packet(str_n(copy, len), start, vlan, &r.f, &r.payload);
	if (r.ok) {
		assert_int_equal(r.f.seq, 7);
		assert_int_equal(r.f.verdict, 2);
		assert_true(flow_is(&r.f, FLOW_HAS_TIME));
		if (r.payload.bytes.len)
			r.payload_at = (size_t)(r.payload.bytes.p - copy);
	}
	free(copy);
	return r;
}
#define DECODE(start, vlan, ...)                                                                   \
	decode_as(start, vlan, (const uint8_t[]){ __VA_ARGS__ },                                   \
		  sizeof((const uint8_t[]){ __VA_ARGS__ }))

static void an_empty_packet_is_a_flow_without_layers(void **state)
{
	(void)state;
	struct result r = decode_as(DECODE_ETHERNET, true, (const uint8_t *)"", 0);
	assert_true(r.ok);
	assert_int_equal(r.f.bits, FLOW_HAS_TIME);
	assert_int_equal(r.f.l4, FLOW_L4_NONE);
	assert_int_equal(r.f.ip_version, 0);
	assert_int_equal(r.payload.bytes.len, 0);
}

/* Members that an earlier packet left in the same record are gone. */
static void a_record_can_be_used_again(void **state)
{
	(void)state;
	static const uint8_t tcp[] = { ETHERNET(0x0800), IPV4(40, 0, 6), TCP(5, 2) };
	static const uint8_t arp[] = { ETHERNET(0x0806), 0, 1 };
	struct flow f = { 0 };
	struct decode_payload payload;
	assert_true(decode_packet(str_n(tcp, sizeof tcp), DECODE_ETHERNET, false, &f, &payload));
	assert_int_equal(f.l4, FLOW_L4_TCP);
	assert_true(decode_packet(str_n(arp, sizeof arp), DECODE_ETHERNET, false, &f, &payload));
	assert_int_equal(f.bits, FLOW_HAS_ETHERNET);
	assert_int_equal(f.l4, FLOW_L4_NONE);
	assert_int_equal(f.ip_version, 0);
}

static void a_packet_cut_anywhere_is_read_up_to_a_layer_or_refused(void **state)
{
	(void)state;
	static const uint8_t packet[] = {
		ETHERNET(0x0800), IPV4(44, 0, 6), TCP(5, 0x18), 'G', 'E', 'T', ' '
	};
	for (size_t len = 0; len <= sizeof packet; len++) {
		struct result r = decode_as(DECODE_ETHERNET, false, packet, len);
		assert_int_equal(r.ok, len == 0 || len == 14 || len == 34 || len >= 54);
		if (!r.ok)
			continue;
		assert_int_equal(flow_is(&r.f, FLOW_HAS_ETHERNET), len >= 14);
		assert_int_equal(flow_is(&r.f, FLOW_HAS_IP), len >= 34);
		assert_int_equal(r.f.l4, len >= 54 ? FLOW_L4_TCP : FLOW_L4_NONE);
		assert_int_equal(r.payload.bytes.len, len >= 54 ? len - 54 : 0);
	}
	static const uint8_t packet6[] = { IPV6(12, 17), UDP(12), 1, 2, 3, 4 };
	for (size_t len = 0; len <= sizeof packet6; len++) {
		struct result r = decode_as(DECODE_IPV6, false, packet6, len);
		assert_int_equal(r.ok, len == 0 || len == 40 || len >= 48);
	}
}

static void addresses_ports_and_flags_stand_where_the_rfcs_put_them(void **state)
{
	(void)state;
	char tmp[FLOW_IP_TEXT_BYTES], mac[FLOW_MAC_TEXT_BYTES];
	struct result r =
		DECODE(DECODE_ETHERNET, false, ETHERNET(0x0800), IPV4(40, 0, 6), TCP(5, 0x12));
	assert_true(r.ok);
	assert_true(str_is(flow_mac_text(&r.f, FLOW_SRC, mac), "02:00:00:00:00:01"));
	assert_true(str_is(flow_mac_text(&r.f, FLOW_DST, mac), "02:00:00:00:00:02"));
	assert_true(str_is(flow_ip_text(&r.f, FLOW_SRC, tmp), "10.0.0.1"));
	assert_true(str_is(flow_ip_text(&r.f, FLOW_DST, tmp), "10.0.0.2"));
	assert_int_equal(r.f.ip_version, 1);
	assert_int_equal(r.f.src_port, 40000);
	assert_int_equal(r.f.dst_port, 80);
	assert_int_equal(r.f.tcp_flags, FLOW_TCP_SYN | FLOW_TCP_ACK);

	r = DECODE(DECODE_IPV6, false, IPV6(12, 132), 0x0b, 0x59, 0x0b, 0x5a, 0, 0, 0, 0, 0, 0, 0,
		   0);
	assert_true(r.ok);
	assert_false(flow_is(&r.f, FLOW_HAS_ETHERNET));
	assert_true(str_is(flow_ip_text(&r.f, FLOW_SRC, tmp), "fd00::1"));
	assert_int_equal(r.f.ip_version, 2);
	assert_int_equal(r.f.l4, FLOW_L4_SCTP);
	assert_int_equal(r.f.src_port, 2905);
	assert_int_equal(r.f.dst_port, 2906);
}

static void lengths_in_headers_bound_the_payload(void **state)
{
	(void)state;
	/* Ethernet pads short frames (IEEE 802.3 §3.2.8): four bytes behind the datagram are no
	 * payload. */
	struct result r = DECODE(DECODE_ETHERNET, false, ETHERNET(0x0800), IPV4(31, 0, 17), UDP(11),
				 1, 2, 3, 9, 9, 9, 9);
	assert_true(r.ok);
	assert_int_equal(r.payload.bytes.len, 3);
	assert_int_equal(r.payload_at, 14 + 20 + 8);
	/* The length of UDP alone */
	r = DECODE(DECODE_IPV4, false, IPV4(35, 0, 17), UDP(11), 1, 2, 3, 9, 9, 9, 9);
	assert_int_equal(r.payload.bytes.len, 3);
	r = DECODE(DECODE_IPV4, false, IPV4(35, 0, 17), UDP(8), 1, 2, 3, 9, 9, 9, 9);
	assert_true(r.ok);
	assert_int_equal(r.payload.bytes.len, 0);
	/* A capture that ended early is what there is. */
	r = DECODE(DECODE_IPV4, false, IPV4(1500, 0, 17), UDP(1480), 1, 2, 3);
	assert_true(r.ok);
	assert_int_equal(r.payload.bytes.len, 3);
	/* Segmentation offload leaves IPv4's length 0, RFC 2675 §4 UDP's. */
	r = DECODE(DECODE_IPV4, false, IPV4(0, 0, 17), UDP(0), 1, 2, 3);
	assert_true(r.ok);
	assert_int_equal(r.payload.bytes.len, 3);
	assert_false(DECODE(DECODE_IPV4, false, IPV4(30, 0, 17), UDP(7), 1, 2).ok);
	assert_false(DECODE(DECODE_IPV4, false, IPV4(19, 0, 17), UDP(8)).ok);
}

static void even_the_first_fragment_has_no_transport(void **state)
{
	(void)state;
	enum { MORE = 0x2000, DONT = 0x4000 };
	static const uint16_t fragments[] = { MORE, MORE | 185, 185, 1 };
	for (size_t i = 0; i < ARRAY_LEN(fragments); i++) {
		struct result r = DECODE(DECODE_IPV4, false, IPV4(40, fragments[i], 6), TCP(5, 2));
		assert_true(r.ok);
		assert_true(r.payload.fragment);
		assert_int_equal(r.f.l4, FLOW_L4_NONE);
	}
	struct result r = DECODE(DECODE_IPV4, false, IPV4(40, DONT, 6), TCP(5, 2));
	assert_false(r.payload.fragment);
	assert_int_equal(r.f.l4, FLOW_L4_TCP);
	/* RFC 8200 §4.5: an extension header of its own */
	r = DECODE(DECODE_IPV6, false, IPV6(28, 44), 6, 0, 0, 1, 0, 0, 0, 1, TCP(5, 2));
	assert_true(r.ok);
	assert_true(r.payload.fragment);
	assert_int_equal(r.f.l4, FLOW_L4_NONE);
}

static void the_inner_packet_of_ip_in_ip_is_shown(void **state)
{
	(void)state;
	char tmp[FLOW_IP_TEXT_BYTES];
	/* RFC 2003 (4), RFC 2473 (41), and 94, which the reference reads like 4 */
	static const uint8_t v4[] = { 4, 94 };
	for (size_t i = 0; i < ARRAY_LEN(v4); i++) {
		struct result r =
			DECODE(DECODE_IPV6, false, IPV6(40, v4[i]), IPV4(40, 0, 6), TCP(5, 2));
		assert_true(r.ok);
		assert_int_equal(r.f.ip_version, 1);
		assert_true(str_is(flow_ip_text(&r.f, FLOW_DST, tmp), "10.0.0.2"));
		assert_int_equal(r.f.dst_port, 80);
	}
	struct result r = DECODE(DECODE_IPV4, false, IPV4(80, 0, 41), IPV6(20, 6), TCP(5, 2));
	assert_true(r.ok);
	assert_int_equal(r.f.ip_version, 2);
	assert_int_equal(r.f.l4, FLOW_L4_TCP);
	/* the outer length bounds the inner packet */
	assert_false(DECODE(DECODE_IPV4, false, IPV4(70, 0, 41), IPV6(20, 6), TCP(5, 2)).ok);
	/* and an inner one that is broken spoils the whole */
	assert_false(
		DECODE(DECODE_IPV4, false, IPV4(30, 0, 4), 0x45, 0, 0, 40, 0, 0, 0, 0, 64, 6).ok);
}

static void headers_within_headers_end(void **state)
{
	(void)state;
	static uint8_t packet[65535];
	static const uint8_t header[] = { IPV4(0, 0, 4) };
	for (size_t at = 0; at + sizeof header <= sizeof packet; at += sizeof header)
		memcpy(packet + at, header, sizeof header);
	/* 3,276 headers and 15 bytes of another one */
	assert_false(decode_as(DECODE_IPV4, false, packet, sizeof packet).ok);
	assert_true(decode_as(DECODE_IPV4, false, packet, sizeof packet / 20 * 20).ok);
}

static void hop_by_hop_is_stepped_over_and_checked(void **state)
{
	(void)state;
	/* RFC 2710 §3: MLD behind a router alert (5, 2 bytes) and a PadN */
	struct result r = DECODE(DECODE_IPV6, false, IPV6(32, 0), 58, 0, 5, 2, 0, 0, 1, 0, 131, 0,
				 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0);
	assert_true(r.ok);
	assert_int_equal(r.f.l4, FLOW_L4_ICMP6);
	assert_int_equal(r.f.icmp_type, 131);
	/* longer than what is there */
	assert_false(DECODE(DECODE_IPV6, false, IPV6(8, 0), 58, 1, 1, 4, 0, 0, 0, 0).ok);
	/* an option longer than what is there */
	assert_false(DECODE(DECODE_IPV6, false, IPV6(8, 0), 58, 0, 1, 200, 0, 0, 0, 0).ok);
	/* an option at the very end of the capture: the reference wants two bytes even of a Pad1 */
	assert_false(DECODE(DECODE_IPV6, false, IPV6(8, 0), 58, 0, 1, 3, 0, 0, 0, 0).ok);
	assert_false(DECODE(DECODE_IPV6, false, IPV6(8, 0), 58, 0, 1, 3, 0, 0, 0, 5).ok);
	/* the payload length counts the header in; what follows is padding of the frame */
	r = DECODE(DECODE_IPV6, false, IPV6(30, 0), 6, 0, 1, 4, 0, 0, 0, 0, TCP(5, 2), 1, 2, 9, 9,
		   9);
	assert_true(r.ok);
	assert_int_equal(r.payload.bytes.len, 2);
	/* anywhere but first it ends the chain, as the other extension headers do (RFC 8200 §4.1)
	 */
	static const uint8_t others[] = { 43, 50, 51, 59, 60, 135 };
	for (size_t i = 0; i < ARRAY_LEN(others); i++) {
		r = DECODE(DECODE_IPV6, false, IPV6(28, others[i]), 6, 0, 1, 4, 0, 0, 0, 0,
			   TCP(5, 2));
		assert_true(r.ok);
		assert_int_equal(r.f.l4, FLOW_L4_NONE);
	}
}

static void a_jumbogram_has_exactly_one_length(void **state)
{
	(void)state;
	/* RFC 2675: payload length 0, option 0xc2 with 4 bytes, beyond 65,535 */
	struct result r =
		DECODE(DECODE_IPV6, false, IPV6(0, 0), 17, 0, 0xc2, 4, 0, 1, 0, 0, UDP(0), 1, 2, 3);
	assert_true(r.ok);
	assert_int_equal(r.f.dst_port, 53);
	assert_int_equal(r.payload.bytes.len, 3);
	assert_false(
		DECODE(DECODE_IPV6, false, IPV6(16, 0), 17, 0, 0xc2, 4, 0, 1, 0, 0, UDP(8)).ok);
	assert_false(
		DECODE(DECODE_IPV6, false, IPV6(0, 0), 17, 0, 0xc2, 4, 0, 0, 0xff, 0xff, UDP(8))
			.ok);
	assert_false(DECODE(DECODE_IPV6, false, IPV6(0, 0), 17, 0, 0xc2, 3, 0, 1, 0, 0, UDP(8)).ok);
	assert_false(DECODE(DECODE_IPV6, false, IPV6(0, 0), 17, 0, 1, 4, 0, 0, 0, 0, UDP(8)).ok);
	assert_false(DECODE(DECODE_IPV6, false, IPV6(0, 17), UDP(8)).ok);

	/* 65,536 bytes behind the IPv6 header: hop-by-hop, UDP and payload; five bytes of padding
	 */
	static uint8_t large[40 + 65536 + 5] = { IPV6(0, 0), 17, 0, 0xc2, 4, 0, 1, 0, 0, UDP(0) };
	r = decode_as(DECODE_IPV6, false, large, sizeof large);
	assert_true(r.ok);
	assert_int_equal(r.payload.bytes.len, 65536 - 8 - 8);
}

static void options_must_fit_their_header(void **state)
{
	(void)state;
	/* RFC 2113: router alert, 4 bytes */
	struct result r = DECODE(DECODE_IPV4, false, 0x46, 0, 0, 32, 0, 0, 0, 0, 1, 2, 0, 0, 10, 0,
				 0, 1, 224, 0, 0, 1, 148, 4, 0, 0, 0x11, 100, 0, 0, 0, 0, 0, 0);
	assert_true(r.ok);
	assert_int_equal(r.f.l4, FLOW_L4_IGMP);
	assert_int_equal(r.f.igmp_type, 0x11);
	/* what stands behind the end of the list is padding */
	assert_true(DECODE(DECODE_IPV4, false, 0x46, 0, 0, 24, 0, 0, 0, 0, 1, 99, 0, 0, 10, 0, 0, 1,
			   10, 0, 0, 2, 1, 0, 255, 255)
			    .ok);
	assert_false(DECODE(DECODE_IPV4, false, 0x46, 0, 0, 24, 0, 0, 0, 0, 1, 99, 0, 0, 10, 0, 0,
			    1, 10, 0, 0, 2, 1, 1, 1, 148)
			     .ok);
	assert_false(DECODE(DECODE_IPV4, false, 0x46, 0, 0, 24, 0, 0, 0, 0, 1, 99, 0, 0, 10, 0, 0,
			    1, 10, 0, 0, 2, 148, 5, 0, 0)
			     .ok);
	/* a length of 2 is too short for the reference; a header longer than the whole packet */
	assert_false(DECODE(DECODE_IPV4, false, 0x46, 0, 0, 24, 0, 0, 0, 0, 1, 99, 0, 0, 10, 0, 0,
			    1, 10, 0, 0, 2, 148, 2, 0, 0)
			     .ok);
	assert_false(DECODE(DECODE_IPV4, false, 0x46, 0, 0, 20, 0, 0, 0, 0, 1, 99, 0, 0, 10, 0, 0,
			    1, 10, 0, 0, 2, 1, 1, 1, 1, 9, 9)
			     .ok);
	/* RFC 9293 §3.1: no-operation, then window scale of 3 bytes */
	assert_true(DECODE(DECODE_IPV4, false, IPV4(44, 0, 6), TCP(6, 2), 1, 3, 3, 7).ok);
	assert_true(DECODE(DECODE_IPV4, false, IPV4(44, 0, 6), TCP(6, 2), 0, 3, 0, 0).ok);
	assert_true(DECODE(DECODE_IPV4, false, IPV4(44, 0, 6), TCP(6, 2), 4, 2, 1, 1).ok);
	assert_false(DECODE(DECODE_IPV4, false, IPV4(44, 0, 6), TCP(6, 2), 2, 5, 5, 0xb4).ok);
	assert_false(DECODE(DECODE_IPV4, false, IPV4(44, 0, 6), TCP(6, 2), 2, 1, 5, 0xb4).ok);
	assert_false(DECODE(DECODE_IPV4, false, IPV4(44, 0, 6), TCP(6, 2), 1, 1, 1, 2).ok);
	assert_false(DECODE(DECODE_IPV4, false, IPV4(40, 0, 6), TCP(4, 2)).ok);
	assert_false(DECODE(DECODE_IPV4, false, IPV4(40, 0, 6), TCP(6, 2)).ok);
}

static void tags_are_stepped_over_where_that_was_asked(void **state)
{
	(void)state;
	/* IEEE 802.1Q: priority 5, id 100 */
	struct result r = DECODE(DECODE_ETHERNET, true, ETHERNET(0x8100), 0xa0, 100, 0x08, 0,
				 IPV4(40, 0, 6), TCP(5, 2));
	assert_true(r.ok);
	assert_int_equal(r.payload.vlan_id, 100);
	assert_int_equal(r.f.dst_port, 80);
	/* 802.1ad: service tag 4094 outside, customer tag 7 inside */
	r = DECODE(DECODE_ETHERNET, true, ETHERNET(0x88a8), 0x0f, 0xfe, 0x81, 0, 0, 7, 0x86, 0xdd,
		   IPV6(20, 6), TCP(5, 2));
	assert_true(r.ok);
	assert_int_equal(r.payload.vlan_id, 4094);
	assert_int_equal(r.f.dst_port, 80);
	/* id 0 is a tag of its own: priority only (802.1Q §9.6), and still the outermost one */
	r = DECODE(DECODE_ETHERNET, true, ETHERNET(0x8100), 0, 0, 0x81, 0, 0, 7, 0x08, 0,
		   IPV4(40, 0, 6), TCP(5, 2));
	assert_int_equal(r.payload.vlan_id, 0);
	assert_false(DECODE(DECODE_ETHERNET, true, ETHERNET(0x8100), 0, 1, 8).ok);

	r = DECODE(DECODE_ETHERNET, false, ETHERNET(0x8100), 0xa0, 100, 0x08, 0, IPV4(40, 0, 6),
		   TCP(5, 2));
	assert_true(r.ok);
	assert_int_equal(r.payload.vlan_id, 0);
	assert_false(flow_is(&r.f, FLOW_HAS_IP));
}

static void a_frame_within_a_frame_is_shown(void **state)
{
	(void)state;
	/* EtherType 0x6558, transparent Ethernet bridging (RFC 1701) */
	struct result r = DECODE(DECODE_ETHERNET, false, ETHERNET(0x6558), 4, 4, 4, 4, 4, 4, 6, 6,
				 6, 6, 6, 6, 8, 0, IPV4(40, 0, 6), TCP(5, 2));
	assert_true(r.ok);
	assert_int_equal(r.f.dst_mac[0], 4);
	assert_int_equal(r.f.src_mac[0], 6);
	assert_int_equal(r.f.dst_port, 80);
}

static void vrrp_and_igmp_follow_their_rfcs(void **state)
{
	(void)state;
	static const uint8_t group[] = { 239, 1, 2, 3 };
	/* RFC 3768 §5.1 */
	struct result r = DECODE(DECODE_IPV4, false, IPV4(32, 0, 112), 0x21, 51, 100, 1, 0, 1, 0, 0,
				 10, 0, 0, 250);
	assert_true(r.ok);
	assert_int_equal(r.f.l4, FLOW_L4_VRRP);
	assert_int_equal(r.f.vrrp_type, 1);
	assert_int_equal(r.f.vrrp_vrid, 51);
	assert_int_equal(r.f.vrrp_priority, 100);
	/* §7.1: other types must be discarded; an advertisement has an address */
	assert_false(DECODE(DECODE_IPV4, false, IPV4(32, 0, 112), 0x22, 51, 100, 1, 0, 1, 0, 0, 10,
			    0, 0, 250)
			     .ok);
	assert_false(DECODE(DECODE_IPV4, false, IPV4(28, 0, 112), 0x21, 51, 100, 0, 0, 1, 0, 0).ok);
	assert_false(DECODE(DECODE_IPV4, false, IPV4(27, 0, 112), 0x21, 51, 100, 1, 0, 1, 0).ok);
	/* RFC 2236 §2 */
	r = DECODE(DECODE_IPV4, false, IPV4(28, 0, 2), 0x16, 0, 0, 0, 239, 1, 2, 3);
	assert_true(r.ok);
	assert_int_equal(r.f.igmp_type, 0x16);
	assert_memory_equal(r.f.igmp_group, group, 4);
	assert_false(DECODE(DECODE_IPV4, false, IPV4(27, 0, 2), 0x16, 0, 0, 0, 239, 1, 2).ok);
}

static void transports_are_known_in_either_ip_version(void **state)
{
	(void)state;
	struct result r = DECODE(DECODE_IPV4, false, IPV4(24, 0, 58), 128, 0, 0, 0);
	assert_true(r.ok);
	assert_int_equal(r.f.l4, FLOW_L4_ICMP6);
	assert_int_equal(r.f.icmp_type, 128);
	assert_false(DECODE(DECODE_IPV6, false, IPV6(7, 1), 8, 0, 0, 0, 0, 1, 0).ok);
	r = DECODE(DECODE_IPV6, false, IPV6(8, 1), 3, 4, 0, 0, 0, 0, 0, 0);
	assert_true(r.ok);
	assert_int_equal(r.f.l4, FLOW_L4_ICMP4);
	assert_int_equal(r.f.icmp_type, 3);
	assert_int_equal(r.f.icmp_code, 4);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(packets_of_recorded_events_become_what_the_reference_made_of_them),
		cmocka_unit_test(an_empty_packet_is_a_flow_without_layers),
		cmocka_unit_test(a_record_can_be_used_again),
		cmocka_unit_test(a_packet_cut_anywhere_is_read_up_to_a_layer_or_refused),
		cmocka_unit_test(addresses_ports_and_flags_stand_where_the_rfcs_put_them),
		cmocka_unit_test(lengths_in_headers_bound_the_payload),
		cmocka_unit_test(even_the_first_fragment_has_no_transport),
		cmocka_unit_test(the_inner_packet_of_ip_in_ip_is_shown),
		cmocka_unit_test(headers_within_headers_end),
		cmocka_unit_test(hop_by_hop_is_stepped_over_and_checked),
		cmocka_unit_test(a_jumbogram_has_exactly_one_length),
		cmocka_unit_test(options_must_fit_their_header),
		cmocka_unit_test(tags_are_stepped_over_where_that_was_asked),
		cmocka_unit_test(a_frame_within_a_frame_is_shown),
		cmocka_unit_test(vrrp_and_igmp_follow_their_rfcs),
		cmocka_unit_test(transports_are_known_in_either_ip_version),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
