/* lib/flow: flow.Flow bytes to whole records, and the accessors over made, whole and odd flows. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/buf.h"
#include "flow/flow.pb-c.h"
#include "flow/wire.h"
#include "flow_random.h"
#include "observer/observer.pb-c.h"

enum { MAX_BYTES = 1 << 20, ROUNDS = 20000 };

static struct flow decode(struct str message, struct flow_dict *d)
{
	struct flow f;
	struct err e = { 0 };

	memset(&f, 0xa5, sizeof f); /* "filled entirely" */
	if (flow_decode(message, d, &f, &e) != ERR_OK)
		fail_msg("%s", e.msg);
	return f;
}

static bool decodes(struct str message)
{
	AUTO(flow_dict_free) struct flow_dict *d = dict_of(100);
	struct flow f = { .verdict = 77 };
	struct err e = { 0 };

	if (flow_decode(message, d, &f, &e) == ERR_OK)
		return true;
	assert_int_equal(e.code, ERR_PARSE);
	assert_int_equal(f.verdict, 77); /* untouched on failure */
	return false;
}

#define assert_str(got, want)                                                                      \
	do {                                                                                       \
		struct str got_ = (got);                                                           \
		if (!str_is(got_, (want)))                                                         \
			fail_msg("'%.*s' is not '%s'", STR_FMT(got_), (want));                     \
	} while (0)

/* --- what was written is read --- */

static void assert_same_layers(const struct flow *got, const struct flow *want)
{
	static const uint8_t none[16] = { 0 };
	bool ip = flow_is(want, FLOW_HAS_IP), mac = flow_is(want, FLOW_HAS_ETHERNET);

	assert_memory_equal(got->src_ip, ip && flow_is(want, FLOW_HAS_SRC_IP) ? want->src_ip : none,
			    16);
	assert_memory_equal(got->dst_ip, ip && flow_is(want, FLOW_HAS_DST_IP) ? want->dst_ip : none,
			    16);
	assert_memory_equal(got->src_xlated,
			    ip && flow_is(want, FLOW_HAS_XLATED) ? want->src_xlated : none, 16);
	assert_int_equal(got->ip_version, ip ? want->ip_version : 0);
	assert_memory_equal(got->src_mac, mac ? want->src_mac : none, 6);
	assert_memory_equal(got->dst_mac, mac ? want->dst_mac : none, 6);
	assert_int_equal(got->l4, want->l4);
	if (want->l4 == FLOW_L4_TCP)
		assert_int_equal(got->tcp_flags,
				 flow_is(want, FLOW_HAS_TCP_FLAGS) ? want->tcp_flags : 0);
	switch ((enum flow_l4)want->l4) {
	case FLOW_L4_TCP:
	case FLOW_L4_UDP:
	case FLOW_L4_SCTP:
		assert_int_equal(got->src_port, want->src_port);
		assert_int_equal(got->dst_port, want->dst_port);
		break;
	case FLOW_L4_ICMP4:
	case FLOW_L4_ICMP6:
		assert_int_equal(got->icmp_type, want->icmp_type);
		assert_int_equal(got->icmp_code, want->icmp_code);
		break;
	case FLOW_L4_VRRP:
		assert_int_equal(got->vrrp_type, want->vrrp_type);
		assert_int_equal(got->vrrp_vrid, want->vrrp_vrid);
		assert_int_equal(got->vrrp_priority, want->vrrp_priority);
		break;
	case FLOW_L4_IGMP:
		assert_int_equal(got->igmp_type, want->igmp_type);
		assert_memory_equal(got->igmp_group, want->igmp_group, 4);
		break;
	case FLOW_L4_NONE:
		break;
	}
}

static void assert_same_numbers(const struct flow *got, const struct flow *want)
{
	assert_int_equal(got->verdict, want->verdict);
	assert_int_equal(got->type, want->type);
	assert_int_equal(got->is_reply, want->is_reply);
	assert_int_equal(got->direction, want->direction);
	assert_int_equal(got->auth_type, want->auth_type);
	assert_int_equal(got->trace_point, want->trace_point);
	assert_int_equal(got->trace_reason, want->trace_reason);
	assert_int_equal(got->capture_point, want->capture_point);
	assert_int_equal(got->sock_point, want->sock_point);
	assert_int_equal(got->drop_reason, want->drop_reason);
	assert_int_equal(got->drop_desc, want->drop_desc);
	assert_int_equal(got->policy_match_type, want->policy_match_type);
	assert_int_equal(got->proxy_port, want->proxy_port);
	assert_int_equal(got->socket_cookie, want->socket_cookie);
	assert_int_equal(got->cgroup_id, want->cgroup_id);
	assert_int_equal(got->packets, want->packets);
	assert_int_equal(got->bytes, want->bytes);
	assert_int_equal(got->netns, want->netns);
	assert_int_equal(got->kernel_reason, want->kernel_reason);
	assert_int_equal(got->src_ep.v, want->src_ep.v);
	assert_int_equal(got->dst_ep.v, want->dst_ep.v);
	assert_int_equal(got->src_svc.v, want->src_svc.v);
	assert_int_equal(got->dst_svc.v, want->dst_svc.v);
	if (flow_is(want, FLOW_HAS_TIME))
		assert_int_equal(got->time.v, want->time.v);
	if (flow_is(want, FLOW_HAS_UUID))
		assert_memory_equal(got->uuid, want->uuid, 16);
	if (flow_is(want, FLOW_HAS_IP_TRACE_ID))
		assert_int_equal(got->ip_trace_id, want->ip_trace_id);
	if (flow_is(want, FLOW_HAS_EVENT_TYPE)) {
		assert_int_equal(got->event_type, want->event_type);
		assert_int_equal(got->event_sub_type, want->event_sub_type);
	}
	if (flow_is(want, FLOW_HAS_IFACE)) {
		assert_int_equal(got->ifindex, want->ifindex);
		assert_string_equal(got->ifname, want->ifname);
	}
}

/* The encoder is held against protobuf-c (test_flow_encode), so what it writes may stand for
 * protobuf here. */
static void a_flow_that_was_written_is_read_back(void **state)
{
	(void)state;
	struct random r = random_of(__func__, 0xdec0de);
	AUTO(flow_dict_free) struct flow_dict *d = dict_of(1 << 20);
	AUTO_BUF struct buf b = buf_init(MAX_BYTES);
	const uint32_t with_ip =
		FLOW_HAS_SRC_IP | FLOW_HAS_DST_IP | FLOW_HAS_XLATED | FLOW_ENCRYPTED;
	const uint32_t compared = FLOW_HAS_TIME | FLOW_HAS_ETHERNET | FLOW_HAS_IP | FLOW_HAS_UUID |
				  FLOW_HAS_EVENT_TYPE | FLOW_HAS_IFACE | FLOW_HAS_IP_TRACE_ID |
				  with_ip | FLOW_HAS_L7 | FLOW_HAS_TCP_FLAGS;

	for (int i = 0; i < ROUNDS; i++) {
		pool_reset();
		struct flow want = random_made(&r, d);
		buf_reset(&b);
		flow_encode(&b, &want, d);
		struct flow got = decode(buf_str(&b), d);
		uint32_t bits = want.bits & compared;
		if (!(bits & FLOW_HAS_IP))
			bits &= ~with_ip;
		if (want.l4 != FLOW_L4_TCP)
			bits &= ~(uint32_t)FLOW_HAS_TCP_FLAGS;
		assert_int_equal(got.bits & compared, bits);
		assert_true(flow_is(&got, FLOW_WHOLE));
		assert_int_equal(got.bits >> 24, 0); /* nothing is odd */
		assert_ptr_equal(got.ext, b.p);
		assert_int_equal(got.ext_len, b.len);
		assert_int_equal(got.seq, 0);
		assert_same_layers(&got, &want);
		assert_same_numbers(&got, &want);
		const struct node *node = flow_dict_get_node(d, want.node);
		assert_int_equal(got.node.v, node && node->wire.len ? want.node.v : 0);
	}
}

static void flags_tell_what_only_ext_has(void **state)
{
	(void)state;
	pool_reset();
	Flow__Flow *m = NEW(flow__flow);
	AUTO(flow_dict_free) struct flow_dict *d = dict_of(10);
	assert_int_equal(decode(pack(m), d).bits, FLOW_WHOLE);

	m->n_source_names = 1;
	m->source_names = (char *[]){ pool_text(STR("x.example")) };
	assert_int_equal(decode(pack(m), d).bits, FLOW_WHOLE | FLOW_HAS_NAMES);
	m->n_source_names = 0;

	Flow__Policy *policy = NEW(flow__policy);
	m->n_ingress_denied_by = 1;
	m->ingress_denied_by = &policy;
	assert_int_equal(decode(pack(m), d).bits, FLOW_WHOLE | FLOW_HAS_POLICIES);
	m->n_ingress_denied_by = 0;

	m->summary = pool_text(STR("s"));
	m->trace_context = NEW(flow__trace_context);
	m->source_service = NEW(flow__service);
	m->l7 = NEW(flow__layer7);
	struct flow f = decode(pack(m), d);
	assert_int_equal(f.bits, FLOW_WHOLE | FLOW_HAS_SUMMARY | FLOW_HAS_TRACE_CONTEXT |
					 FLOW_HAS_SVC | FLOW_HAS_L7);
	assert_int_not_equal(f.src_svc.v, 0);
}

static void an_empty_endpoint_is_there_and_a_missing_one_is_not(void **state)
{
	(void)state;
	pool_reset();
	Flow__Flow *m = NEW(flow__flow);
	AUTO(flow_dict_free) struct flow_dict *d = dict_of(10);

	m->source = NEW(flow__endpoint);
	struct flow f = decode(pack(m), d);
	assert_non_null(flow_dict_get_endpoint(d, f.src_ep));
	assert_int_equal(f.dst_ep.v, 0);
}

/* --- odd content --- */

static Flow__Flow *flow_with_ip(const char *source)
{
	pool_reset();
	Flow__Flow *m = NEW(flow__flow);
	m->ip = NEW(flow__ip);
	m->ip->source = pool_text(str_of(source));
	return m;
}

static void an_address_that_is_not_canonical_keeps_its_text(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		bool odd;
		uint8_t ip[16];
	} cases[] = {
		{ "10.1.2.3", false, { [10] = 0xff, 0xff, 10, 1, 2, 3 } },
		{ "fd00::5", false, { 0xfd, [15] = 5 } },
		{ "::", false, { 0 } },
		{ "0:0:0:0:0:0:0:1", true, { [15] = 1 } },
		{ "FD00::5", true, { 0xfd, [15] = 5 } },
		{ "::ffff:10.1.2.3", true, { [10] = 0xff, 0xff, 10, 1, 2, 3 } },
		{ "::ffff:a01:203", true, { [10] = 0xff, 0xff, 10, 1, 2, 3 } },
		{ "10.1.2.03", true, { 0 } },
		{ "not an address", true, { 0 } },
		{ "fe80::1%eth0", true, { 0 } },
	};
	char tmp[FLOW_IP_TEXT_BYTES];

	AUTO(flow_dict_free) struct flow_dict *d = dict_of(10);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct flow f = decode(pack(flow_with_ip(cases[i].text)), d);
		assert_true(flow_is(&f, FLOW_HAS_SRC_IP));
		assert_int_equal(flow_is(&f, FLOW_ODD_IP), cases[i].odd);
		assert_memory_equal(f.src_ip, cases[i].ip, 16);
		assert_str(flow_ip_text(&f, FLOW_SRC, tmp), cases[i].text);
		assert_str(flow_ip_text(&f, FLOW_DST, tmp), "");
	}
	struct flow none = decode(pack(flow_with_ip("")), d);
	assert_true(flow_is(&none, FLOW_HAS_IP));
	assert_false(flow_is(&none, FLOW_HAS_SRC_IP));
	assert_str(flow_ip_text(&none, FLOW_SRC, tmp), "");
}

static void one_odd_address_does_not_spoil_the_others(void **state)
{
	(void)state;
	Flow__Flow *m = flow_with_ip("bogus");
	m->ip->destination = pool_text(STR("10.0.0.1"));
	m->ip->source_xlated = pool_text(STR("fd00::1"));
	AUTO(flow_dict_free) struct flow_dict *d = dict_of(10);
	struct flow f = decode(pack(m), d);
	char tmp[FLOW_IP_TEXT_BYTES];

	assert_str(flow_ip_text(&f, FLOW_SRC, tmp), "bogus");
	assert_str(flow_ip_text(&f, FLOW_DST, tmp), "10.0.0.1");
	assert_str(flow_ip_text(&f, FLOW_XLATED, tmp), "fd00::1");
}

static void a_mac_that_is_not_canonical_keeps_its_text(void **state)
{
	(void)state;
	static const char *const texts[][2] = {
		{ "AA:bb:cc:00:00:01", "ff:ff:ff:ff:ff:ff" },
		{ "aa-bb-cc-00-00-01", "" },
		{ "", "" },
		{ "aa:bb:cc:00:00:0", "aa:bb:cc:00:00:012" },
		{ "aa:bb:cc:00:00:01", "aa:bb:cc:00:00:0G" },
	};
	AUTO(flow_dict_free) struct flow_dict *d = dict_of(10);
	char tmp[FLOW_MAC_TEXT_BYTES];

	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		pool_reset();
		Flow__Flow *m = NEW(flow__flow);
		m->ethernet = NEW(flow__ethernet);
		m->ethernet->source = pool_text(str_of(texts[i][0]));
		m->ethernet->destination = pool_text(str_of(texts[i][1]));
		struct flow f = decode(pack(m), d);
		assert_true(flow_is(&f, FLOW_HAS_ETHERNET | FLOW_ODD_MAC));
		assert_str(flow_mac_text(&f, FLOW_SRC, tmp), texts[i][0]);
		assert_str(flow_mac_text(&f, FLOW_DST, tmp), texts[i][1]);
	}
}

static void a_uuid_in_capitals_is_odd_and_stays(void **state)
{
	(void)state;
	static const char *const texts[] = {
		"13112375-FCCC-4a98-8530-3e89644c4b05", "u1",
		"13112375-fccc-4a98-8530-3e89644c4b0",  "131123750fccc-4a98-8530-3e89644c4b05",
		"13112375-fccc04a98-8530-3e89644c4b05", "13112375-fccc-4a9808530-3e89644c4b05",
		"13112375-fccc-4a98-853003e89644c4b05", "13112375-fccc-4a98-8530-3e89644c4b0g"
	};
	AUTO(flow_dict_free) struct flow_dict *d = dict_of(10);
	char tmp[FLOW_UUID_TEXT_BYTES];

	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		pool_reset();
		Flow__Flow *m = NEW(flow__flow);
		m->uuid = pool_text(str_of(texts[i]));
		struct flow f = decode(pack(m), d);
		assert_true(flow_is(&f, FLOW_HAS_UUID | FLOW_ODD_UUID));
		assert_int_equal(f.uuid[0] | f.uuid[1], 0);
		assert_str(flow_uuid_text(&f, tmp), texts[i]);
	}
}

static void a_canonical_uuid_is_a_number(void **state)
{
	(void)state;
	pool_reset();
	Flow__Flow *m = NEW(flow__flow);
	m->uuid = pool_text(STR("13112375-fccc-4a98-8530-3e89644c4b05"));
	AUTO(flow_dict_free) struct flow_dict *d = dict_of(10);
	struct flow f = decode(pack(m), d);
	char tmp[FLOW_UUID_TEXT_BYTES];

	assert_false(flow_is(&f, FLOW_ODD_UUID));
	assert_int_equal(f.uuid[0], 0x13112375fccc4a98);
	assert_int_equal(f.uuid[1], 0x85303e89644c4b05);
	assert_str(flow_uuid_text(&f, tmp), "13112375-fccc-4a98-8530-3e89644c4b05");
}

static void times_beyond_a_wall_clock_are_clamped_and_kept(void **state)
{
	(void)state;
	static const struct {
		struct timestamp t;
		bool odd;
		uint64_t ns;
	} cases[] = {
		{ { 0, 0 }, false, 0 },
		{ { 1, 999999999 }, false, 1999999999 },
		{ { -1, 0 }, true, 0 },
		{ { TIMESTAMP_MAX_S, 5 }, true, UINT64_MAX },
		{ { TIMESTAMP_MIN_S, 0 }, true, 0 },
		{ { 1, 1000000000 }, true, UINT64_MAX },
		{ { 1, -1 }, true, UINT64_MAX },
	};
	AUTO(flow_dict_free) struct flow_dict *d = dict_of(10);

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		pool_reset();
		Flow__Flow *m = NEW(flow__flow);
		m->time = NEW(google__protobuf__timestamp);
		m->time->seconds = cases[i].t.s;
		m->time->nanos = cases[i].t.ns;
		struct flow f = decode(pack(m), d);
		struct timestamp t;
		assert_int_equal(flow_is(&f, FLOW_ODD_TIME), cases[i].odd);
		assert_int_equal(f.time.v, cases[i].ns);
		assert_true(flow_time(&f, &t));
		assert_int_equal(t.s, cases[i].t.s);
		assert_int_equal(t.ns, cases[i].t.ns);
	}
	struct flow none = { 0 };
	struct timestamp t;
	assert_false(flow_time(&none, &t));
}

static void a_port_beyond_16_bits_is_still_told(void **state)
{
	(void)state;
	pool_reset();
	Flow__Flow *m = NEW(flow__flow);
	m->l4 = NEW(flow__layer4);
	m->l4->protocol_case = FLOW__LAYER4__PROTOCOL_UDP;
	m->l4->udp = NEW(flow__udp);
	m->l4->udp->source_port = 65536;
	m->l4->udp->destination_port = 53;
	AUTO(flow_dict_free) struct flow_dict *d = dict_of(10);
	struct flow f = decode(pack(m), d);
	uint32_t port;

	assert_true(flow_is(&f, FLOW_ODD_L4));
	assert_true(flow_port(&f, FLOW_SRC, &port));
	assert_int_equal(port, 65536);
	assert_true(flow_port(&f, FLOW_DST, &port));
	assert_int_equal(port, 53);
	/* l4 { UDP { source_port: 65536 } } l4 { TCP {} } l4 { UDP { destination_port: 65537 } }:
	 * TCP took the first back */
	f = decode(STR("\x32\x06\x12\x04\x08\x80\x80\x04\x32\x02\x0a\x00\x32\x06\x12\x04\x10\x81"
		       "\x80\x04"),
		   d);
	assert_true(flow_port(&f, FLOW_SRC, &port));
	assert_int_equal(port, 0);
	assert_true(flow_port(&f, FLOW_DST, &port));
	assert_int_equal(port, 65537);
	struct flow icmp = { .l4 = FLOW_L4_ICMP4 };
	assert_false(flow_port(&icmp, FLOW_SRC, &port));
}

static void a_long_interface_name_is_told_from_ext(void **state)
{
	(void)state;
	static const char *const names[] = { "", "eth0", "fifteen-letters", "sixteen--letters" };
	AUTO(flow_dict_free) struct flow_dict *d = dict_of(10);

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		pool_reset();
		Flow__Flow *m = NEW(flow__flow);
		m->interface = NEW(flow__network_interface);
		m->interface->name = pool_text(str_of(names[i]));
		struct flow f = decode(pack(m), d);
		assert_int_equal(flow_is(&f, FLOW_ODD_IFACE), i == 3);
		assert_str(flow_ifname(&f), names[i]);
	}
}

static void without_its_message_a_flow_claims_only_what_its_members_say(void **state)
{
	(void)state;
	AUTO(flow_dict_free) struct flow_dict *d = dict_of(10);
	char ip[FLOW_IP_TEXT_BYTES];
	struct timestamp t;
	uint32_t port;

	Flow__Flow *m = flow_with_ip("10.1.2.3");
	m->verdict = FLOW__VERDICT__DROPPED;
	m->summary = pool_text(STR("a summary"));
	m->l7 = NEW(flow__layer7);
	struct flow f = decode(pack(m), d);
	assert_true(flow_is(&f, FLOW_WHOLE | FLOW_HAS_L7 | FLOW_HAS_SUMMARY));
	flow_drop_ext(&f);
	assert_int_equal(f.ext_len, 0);
	assert_false(f.bits & (FLOW_WHOLE | FLOW_HAS_L7 | FLOW_HAS_SUMMARY));
	assert_str(flow_ip_text(&f, FLOW_SRC, ip), "10.1.2.3");
	assert_int_equal(f.verdict, FLOW__VERDICT__DROPPED);

	m = flow_with_ip("not an address");
	m->time = NEW(google__protobuf__timestamp);
	m->time->seconds = -1;
	m->interface = NEW(flow__network_interface);
	m->interface->name = pool_text(STR("sixteen--letters"));
	m->l4 = NEW(flow__layer4);
	m->l4->protocol_case = FLOW__LAYER4__PROTOCOL_UDP;
	m->l4->udp = NEW(flow__udp);
	m->l4->udp->source_port = 65536;
	f = decode(pack(m), d);
	assert_true(flow_is(&f, FLOW_ODD_IP | FLOW_ODD_TIME | FLOW_ODD_IFACE | FLOW_ODD_L4));
	flow_drop_ext(&f);
	assert_str(flow_ip_text(&f, FLOW_SRC, ip), "");
	assert_false(flow_time(&f, &t));
	assert_str(flow_ifname(&f), "");
	assert_false(flow_port(&f, FLOW_SRC, &port));
}

static void unknown_enum_numbers_are_kept(void **state)
{
	(void)state;
	static const int32_t numbers[] = { 0, 5, 254, 255, 256, INT32_MAX, -1, INT32_MIN };
	AUTO(flow_dict_free) struct flow_dict *d = dict_of(10);

	for (size_t i = 0; i < ARRAY_LEN(numbers); i++) {
		pool_reset();
		Flow__Flow *m = NEW(flow__flow);
		m->verdict = (Flow__Verdict)numbers[i];
		struct flow f = decode(pack(m), d);
		assert_int_equal(f.verdict, numbers[i] >= 0 && numbers[i] < 255 ? numbers[i] : 255);
		assert_int_equal(flow_enum(&f, 2, f.verdict), numbers[i]);
	}
}

/* --- protobuf's rules --- */

static void of_a_field_that_comes_twice_the_last_counts(void **state)
{
	(void)state;
	AUTO(flow_dict_free) struct flow_dict *d = dict_of(10);
	struct flow f = decode(STR("\x10\x01\x10\x02"), d);
	assert_int_equal(f.verdict, 2);

	/* l4 { TCP { source_port: 5 flags { SYN: true } } } l4 { UDP { destination_port: 7 } } */
	f = decode(STR("\x32\x08\x0a\x06\x08\x05\x1a\x02\x10\x01\x32\x04\x12\x02\x10\x07"), d);
	assert_int_equal(f.l4, FLOW_L4_UDP);
	assert_int_equal(f.src_port, 0);
	assert_int_equal(f.dst_port, 7);
	assert_false(flow_is(&f, FLOW_HAS_TCP_FLAGS));
}

static void a_message_that_comes_in_pieces_is_merged(void **state)
{
	(void)state;
	AUTO(flow_dict_free) struct flow_dict *d = dict_of(10);
	/* source { identity: 3 labels: "a" } source { pod_name: "p" labels: "b" } and the node's
	 * name twice */
	struct flow f = decode(STR("\x42\x05\x10\x03\x22\x01"
				   "a"
				   "\x42\x06\x2a\x01"
				   "p"
				   "\x22\x01"
				   "b"
				   "\x5a\x01"
				   "m"
				   "\x5a\x01"
				   "n"
				   "\xaa\x02\x01"
				   "k"
				   "\xaa\x02\x01"
				   "l"),
			       d);
	const struct endpoint *ep = flow_dict_get_endpoint(d, f.src_ep);

	assert_int_equal(ep->identity, 3);
	assert_str(ep->pod, "p");
	assert_int_equal(ep->label_count, 2);
	assert_str(ep->labels[0], "a");
	assert_str(ep->labels[1], "b");
	const struct node *node = flow_dict_get_node(d, f.node);
	assert_str(node->name, "n");
	assert_int_equal(node->label_count, 2);
	assert_str(node->labels[1], "l");
}

static void unknown_fields_and_unexpected_types_are_passed_over(void **state)
{
	(void)state;
	AUTO(flow_dict_free) struct flow_dict *d = dict_of(10);
	/* verdict as LEN, time as varint, field 500 as a group with a field inside, field 6 as
	 * fixed32 */
	struct flow f = decode(
		STR("\x12\x01x\x08\x05\xa3\x1f\x08\x01\xa4\x1f\x35\x01\x02\x03\x04\x50\x02"), d);

	assert_int_equal(f.verdict, 0);
	assert_int_equal(f.bits, FLOW_WHOLE);
	assert_int_equal(f.type, 2);
}

static void malformed_bytes_are_refused(void **state)
{
	(void)state;
	static const struct str bad[] = {
		{ "\x10", 1 },             /* a tag without value */
		{ "\x10\x80", 2 },         /* an unfinished varint */
		{ "\x0a\x02\x08", 3 },     /* longer than the message */
		{ "\x0a\x02\x08\x80", 4 }, /* malformed inside */
		{ "\x2a\x01\x0a", 3 },
		{ "\x32\x03\x0a\x01\x08", 5 },
		{ "\x42\x01\x10", 3 },         /* in source, */
		{ "\x4a\x03\x32\x01\x0a", 5 }, /* in a workload of destination, */
		{ "\xa2\x01\x01\x0a", 4 },     /* in source_service, */
		{ "\xca\x02\x01\x0a", 4 },     /* in emitter */
		{ "\x00\x01", 2 },             /* field 0 */
		{ "\x17", 1 },                 /* wire type 7 */
		{ "\x14", 1 },                 /* the end of no group */
		{ "\x13\x08\x01", 3 },         /* a group without end */
		{ "\x13\x1c", 2 },             /* that ends another */
		{ "\x10\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02", 11 }, /* more than 64 bits */
		{ "\xff\xff\xff\xff\x7f\x01", 6 }, /* a field number beyond 29 bits */
	};

	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		if (decodes(bad[i]))
			fail_msg("case %zu was accepted", i);
	assert_true(decodes(STR("")));
	assert_true(decodes(STR("\x10\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01")));
}

static void a_full_dictionary_is_no_fault_of_the_message(void **state)
{
	(void)state;
	AUTO(flow_dict_free) struct flow_dict *d = dict_of(1);
	(void)flow_dict_service(d, &(struct service){ .name = STR("a") });
	(void)flow_dict_node(d, &(struct node){ .name = STR("a") });
	struct flow f = decode(STR("\xa2\x01\x03\x0a\x01x\x5a\x01y"), d);

	assert_int_equal(f.src_svc.v, 0);
	assert_int_equal(f.node.v, 0);
	assert_true(flow_is(&f, FLOW_HAS_SVC));
	assert_int_equal(flow_dict_counts(d).overflows, 2);
	AUTO_BUF struct buf b = buf_init(MAX_BYTES); /* and the name is still told */
	flow_encode_response(&b, &f, d, STR("me"));
	struct flow_response r;
	assert_int_equal(flow_response_split(buf_str(&b), &r, NULL), ERR_OK);
	assert_str(r.node_name, "y");
}

static void every_prefix_of_a_flow_is_read_or_refused_within_its_bytes(void **state)
{
	(void)state;
	struct random r = random_of(__func__, 0x9efe);
	AUTO(flow_dict_free) struct flow_dict *d = dict_of(1000);
	AUTO_BUF struct buf b = buf_init(MAX_BYTES);

	pool_reset();
	struct flow made = random_made(&r, d);
	flow_encode(&b, &made, d);
	for (size_t n = 0; n < b.len; n++) {
		char *copy = malloc(n ? n : 1); /* so that the sanitizer guards its end */
		assert_non_null(copy);
		memcpy(copy, b.p, n);
		(void)decodes(str_n(copy, n));
		free(copy);
	}
}

/* --- responses --- */

static void a_response_falls_into_its_parts(void **state)
{
	(void)state;
	pool_reset();
	Observer__GetFlowsResponse *m = NEW(observer__get_flows_response);
	m->response_types_case = OBSERVER__GET_FLOWS_RESPONSE__RESPONSE_TYPES_LOST_EVENTS;
	m->lost_events = NEW(flow__lost_event);
	m->lost_events->num_events_lost = 3;
	m->node_name = pool_text(STR("edge/n1"));
	m->time = NEW(google__protobuf__timestamp);
	m->time->seconds = -5;
	m->time->nanos = 7;
	struct flow_response r;

	assert_int_equal(flow_response_split(pack(m), &r, NULL), ERR_OK);
	assert_true(r.has_message);
	assert_int_equal(r.kind, FLOW_KIND_LOST);
	assert_bytes_equal(r.message, pack(m->lost_events));
	assert_str(r.node_name, "edge/n1");
	assert_true(r.has_time);
	assert_int_equal(r.time.s, -5);
	assert_int_equal(r.time.ns, 7);
}

static void each_member_of_a_response_has_its_kind(void **state)
{
	(void)state;
	static const struct {
		const char *tag;
		enum flow_kind kind;
	} cases[] = { { "\x0a", FLOW_KIND_FLOW },
		      { "\x12", FLOW_KIND_NODE_STATUS },
		      { "\x1a", FLOW_KIND_LOST },
		      { "\x22", FLOW_KIND_AGENT },
		      { "\x2a", FLOW_KIND_DEBUG } };
	struct flow_response r;

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char message[2] = { cases[i].tag[0], 0 };
		assert_int_equal(flow_response_split(str_n(message, 2), &r, NULL), ERR_OK);
		assert_true(r.has_message);
		assert_int_equal(r.kind, cases[i].kind);
	}
	assert_int_equal(flow_response_split(STR("\x32\x00"), &r, NULL),
			 ERR_OK); /* of a later version */
	assert_false(r.has_message);
	assert_int_equal(flow_response_split(STR("\x0a"), &r, NULL), ERR_PARSE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_flow_that_was_written_is_read_back),
		cmocka_unit_test(flags_tell_what_only_ext_has),
		cmocka_unit_test(an_empty_endpoint_is_there_and_a_missing_one_is_not),
		cmocka_unit_test(an_address_that_is_not_canonical_keeps_its_text),
		cmocka_unit_test(one_odd_address_does_not_spoil_the_others),
		cmocka_unit_test(a_mac_that_is_not_canonical_keeps_its_text),
		cmocka_unit_test(a_uuid_in_capitals_is_odd_and_stays),
		cmocka_unit_test(a_canonical_uuid_is_a_number),
		cmocka_unit_test(times_beyond_a_wall_clock_are_clamped_and_kept),
		cmocka_unit_test(a_port_beyond_16_bits_is_still_told),
		cmocka_unit_test(a_long_interface_name_is_told_from_ext),
		cmocka_unit_test(without_its_message_a_flow_claims_only_what_its_members_say),
		cmocka_unit_test(unknown_enum_numbers_are_kept),
		cmocka_unit_test(of_a_field_that_comes_twice_the_last_counts),
		cmocka_unit_test(a_message_that_comes_in_pieces_is_merged),
		cmocka_unit_test(unknown_fields_and_unexpected_types_are_passed_over),
		cmocka_unit_test(malformed_bytes_are_refused),
		cmocka_unit_test(a_full_dictionary_is_no_fault_of_the_message),
		cmocka_unit_test(every_prefix_of_a_flow_is_read_or_refused_within_its_bytes),
		cmocka_unit_test(a_response_falls_into_its_parts),
		cmocka_unit_test(each_member_of_a_response_has_its_kind),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
