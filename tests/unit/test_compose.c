/*
 * observer/compose: raw events become flows as Cilium's parser would have it
 * (reference/cilium-events.md 6.2). Packets are built here byte by byte, from the RFCs.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "bpf/event.h"
#include "flow/flow.pb-c.h"
#include "flow/names.h"
#include "flow/uuid.h"
#include "flow/wire.h"
#include "observer/compose.h"

struct world {
	struct flow_dict *dict;
	struct name_table *names;
	struct flow_log *log;
	struct flow_batch *batch;
	struct flow_clock clock;
	struct compose compose;
	uint64_t cursor;
};

static const uint8_t pod_ip[4] = { 10, 0, 1, 5 }, peer_ip[4] = { 192, 0, 2, 9 };

static int setup(void **state)
{
	struct world *w = calloc(1, sizeof *w);
	struct err e;
	const struct str labels[] = { STR("k8s:app=cart") };
	struct name_prefix pod = { .bits = 128, .local = true };

	assert_int_equal(flow_dict_new(1000, &w->dict, &e), ERR_OK);
	const struct name_config nc = { .cluster = "edge", .node = "n1" };
	assert_int_equal(name_table_new(&nc, w->dict, &w->names, &e), ERR_OK);
	ip_from_v4(pod.ip, pod_ip);
	pod.endpoint = (struct endpoint){ .id = 7,
					  .identity = 4001,
					  .namespace_ = STR("shop"),
					  .pod = STR("cart-0"),
					  .labels = labels,
					  .label_count = 1 };
	const struct name_view view = { .prefixes = &pod, .prefix_count = 1 };
	assert_int_equal(name_update(w->names, 0, &view, &e), ERR_OK);
	const struct flow_log_config lc = { .capacity = 63, .first_seq = 1 };
	assert_int_equal(flow_log_new(&lc, &w->log, &e), ERR_OK);
	assert_int_equal(flow_batch_new(w->log, 16, &w->batch, &e), ERR_OK);
	w->clock = flow_clock_of((struct mono_ns){ 0 },
				 (struct wall_ns){ UINT64_C(1700000000) * NS_PER_S });
	const uint64_t seed[2] = { 1, 2 };
	compose_init(&w->compose, w->log, w->dict, w->names, &w->clock, seed);
	w->cursor = 1;
	*state = w;
	return 0;
}

static int teardown(void **state)
{
	struct world *w = *state;
	flow_batch_free(w->batch);
	flow_log_free(w->log);
	name_table_free(w->names);
	flow_dict_free(w->dict);
	free(w);
	return 0;
}

/* IPv4 (RFC 791) and TCP (RFC 9293) or UDP (RFC 768) headers behind 14 bytes of Ethernet. */
static size_t packet(uint8_t *out, const uint8_t src[4], const uint8_t dst[4], uint8_t proto,
		     uint16_t sport, uint16_t dport, uint8_t tcp_flags, const void *payload,
		     size_t payload_bytes)
{
	size_t l4 = proto == 6 ? 20 : 8, total = 20 + l4 + payload_bytes;
	memset(out, 0, 14 + 20 + l4);
	out[12] = 0x08;
	uint8_t *ip = out + 14, *t = ip + 20;
	ip[0] = 0x45;
	ip[2] = (uint8_t)(total >> 8);
	ip[3] = (uint8_t)total;
	ip[8] = 64;
	ip[9] = proto;
	memcpy(ip + 12, src, 4);
	memcpy(ip + 16, dst, 4);
	t[0] = (uint8_t)(sport >> 8);
	t[1] = (uint8_t)sport;
	t[2] = (uint8_t)(dport >> 8);
	t[3] = (uint8_t)dport;
	if (proto == 6) {
		t[12] = 5 << 4;
		t[13] = tcp_flags;
	} else {
		t[4] = (uint8_t)((8 + payload_bytes) >> 8);
		t[5] = (uint8_t)(8 + payload_bytes);
	}
	if (payload_bytes)
		memcpy(t + l4, payload, payload_bytes);
	return 14 + total;
}

static const struct flow *next(struct world *w)
{
	uint64_t lost;
	size_t n = flow_log_read(w->log, &w->cursor, w->cursor + 1, w->batch, &lost);
	assert_int_equal(lost, 0);
	return n ? &w->batch->flows[0] : NULL;
}

static struct raw_event raw(enum raw_kind kind, const uint8_t *bytes, size_t n)
{
	return (struct raw_event){ .kind = kind,
				   .mono = { 5 * NS_PER_S },
				   .packet = str_n(bytes, n),
				   .packet_bytes = (uint32_t)n,
				   .packets = 3,
				   .bytes = 300,
				   .ifindex = 4,
				   .ifname = "veth0",
				   .netns = 99,
				   .cpu = -1 };
}

static struct str summary(struct world *w, const struct flow *f, struct buf *b)
{
	buf_reset(b);
	flow_summary_put(b, f, w->dict);
	return buf_str(b);
}

static void a_pod_that_connects_out_is_seen_leaving(void **state)
{
	struct world *w = *state;
	uint8_t bytes[128];
	AUTO_BUF struct buf text = buf_init(1000);
	size_t n = packet(bytes, pod_ip, peer_ip, 6, 41000, 443, 0x02, NULL, 0);
	struct raw_event ev = raw(RAW_TRACE, bytes, n);
	ev.direction = RAW_DIR_INGRESS; /* enters the node by the pod's interface */
	ev.endpoint_side = true;
	ev.reply_known = true;
	ev.cause = BPF_CAUSE_NEW;
	compose_event(&w->compose, &ev, (struct mono_ns){ 6 * NS_PER_S });

	const struct flow *f = next(w);
	assert_non_null(f);
	assert_int_equal(f->kind, FLOW_KIND_FLOW);
	assert_int_equal(f->verdict, FLOW__VERDICT__FORWARDED);
	assert_int_equal(f->event_type, 4);
	assert_int_equal(f->event_sub_type, 5); /* from-endpoint */
	assert_int_equal(f->trace_point, FLOW__TRACE_OBSERVATION_POINT__FROM_ENDPOINT);
	assert_int_equal(f->trace_reason, FLOW__TRACE_REASON__NEW);
	assert_int_equal(f->direction, FLOW__TRAFFIC_DIRECTION__EGRESS);
	assert_int_equal(f->is_reply, FLOW_REPLY_FALSE);
	assert_int_equal(f->src_port, 41000);
	assert_int_equal(f->dst_port, 443);
	assert_true(f->time.v == (UINT64_C(1700000000) + 5) * NS_PER_S);
	assert_int_equal(f->packets, 3);
	assert_int_equal(f->bytes, 300);
	assert_int_equal(f->netns, 99);
	assert_true(str_is(flow_ifname(f), "veth0"));
	assert_true(str_is(summary(w, f, &text), "TCP Flags: SYN"));
	const struct endpoint *src = flow_dict_get_endpoint(w->dict, f->src_ep);
	assert_true(str_is(src->pod, "cart-0"));
	assert_int_equal(src->identity, 4001);
	assert_int_equal(flow_dict_get_endpoint(w->dict, f->dst_ep)->identity, 2); /* world */
	assert_true(str_is(flow_dict_get_node(w->dict, f->node)->name, "edge/n1"));
	/* RFC 9562: version 4, variant 10 */
	assert_int_equal((f->uuid[0] >> 12) & 0xf, 4);
	assert_int_equal(f->uuid[1] >> 62, 2);
	uint64_t seed[2];
	assert_true(flow_uuid_seed(f->uuid, f->seq, seed));
	assert_true(seed[0] == 1 && seed[1] == 2); /* setup's */
	assert_null(next(w));
}

static void the_four_ways_past_a_pods_interface_have_their_directions(void **state)
{
	struct world *w = *state;
	/* reference 6.2: S = the source is the local endpoint, R = reply; S != R is EGRESS */
	static const struct {
		bool ingress, reply;
		int point, direction;
	} cases[] = {
		{ true, false, FLOW__TRACE_OBSERVATION_POINT__FROM_ENDPOINT,
		  FLOW__TRAFFIC_DIRECTION__EGRESS },
		{ true, true, FLOW__TRACE_OBSERVATION_POINT__FROM_ENDPOINT,
		  FLOW__TRAFFIC_DIRECTION__INGRESS },
		{ false, false, FLOW__TRACE_OBSERVATION_POINT__TO_ENDPOINT,
		  FLOW__TRAFFIC_DIRECTION__INGRESS },
		{ false, true, FLOW__TRACE_OBSERVATION_POINT__TO_ENDPOINT,
		  FLOW__TRAFFIC_DIRECTION__EGRESS },
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		uint8_t bytes[128];
		size_t n = packet(bytes, peer_ip, pod_ip, 17, 1, 2, 0, "x", 1);
		struct raw_event ev = raw(RAW_TRACE, bytes, n);
		ev.direction = cases[i].ingress ? RAW_DIR_INGRESS : RAW_DIR_EGRESS;
		ev.endpoint_side = true;
		ev.reply_known = true;
		ev.reply = cases[i].reply;
		ev.cause = BPF_CAUSE_INTERVAL;
		compose_event(&w->compose, &ev, (struct mono_ns){ 0 });
		const struct flow *f = next(w);
		assert_int_equal(f->trace_point, cases[i].point);
		assert_int_equal(f->direction, cases[i].direction);
		assert_int_equal(f->trace_reason, cases[i].reply ? FLOW__TRACE_REASON__REPLY
								 : FLOW__TRACE_REASON__ESTABLISHED);
	}
}

static void a_kernel_drop_has_cilium_s_code_and_the_kernel_s_name(void **state)
{
	struct world *w = *state;
	uint8_t bytes[128];
	AUTO_BUF struct buf text = buf_init(1000);
	size_t n = packet(bytes, peer_ip, pod_ip, 6, 5, 80, 0x02, NULL, 0);
	struct raw_event ev = raw(RAW_DROP, bytes, n);
	ev.packets = ev.bytes = 0;
	ev.kernel_reason = STR("NETFILTER_DROP");
	compose_event(&w->compose, &ev, (struct mono_ns){ 0 });
	const struct flow *f = next(w);
	assert_int_equal(f->verdict, FLOW__VERDICT__DROPPED);
	assert_int_equal(f->event_type, 1);
	assert_int_equal(f->event_sub_type, 133);
	assert_int_equal(f->drop_desc, FLOW__DROP_REASON__POLICY_DENIED);
	assert_int_equal(f->is_reply, FLOW_REPLY_ABSENT);
	assert_int_equal(f->direction, FLOW__TRAFFIC_DIRECTION__INGRESS);
	assert_int_equal(f->packets, 1);
	assert_int_equal(f->bytes, n);
	assert_true(
		str_is(flow_dict_get_kernel_reason(w->dict, f->kernel_reason), "NETFILTER_DROP"));
	assert_true(str_is(summary(w, f, &text), "TCP Flags: SYN; NETFILTER_DROP"));
}

static void reasons_told_in_one_buffer_are_not_mixed_up(void **state)
{
	struct world *w = *state;
	static const char *const reasons[] = { "SUBSYS_3_12", "SUBSYS_3_4", "NETFILTER_DROP" };
	uint8_t bytes[128];
	char text[24];
	size_t n = packet(bytes, peer_ip, pod_ip, 6, 5, 80, 0x02, NULL, 0);

	for (size_t i = 0; i < ARRAY_LEN(reasons); i++) {
		struct raw_event ev = raw(RAW_DROP, bytes, n);
		(void)snprintf(text, sizeof text, "%s", reasons[i]);
		ev.kernel_reason = str_of(text);
		compose_event(&w->compose, &ev, (struct mono_ns){ 0 });
		const struct flow *f = next(w);
		assert_true(
			str_is(flow_dict_get_kernel_reason(w->dict, f->kernel_reason), reasons[i]));
		assert_int_equal(f->drop_desc == FLOW__DROP_REASON__POLICY_DENIED,
				 strcmp(reasons[i], "NETFILTER_DROP") == 0);
	}
}

static void a_logged_packet_is_a_verdict_with_its_policy(void **state)
{
	struct world *w = *state;
	static const struct {
		enum raw_verdict verdict;
		enum raw_direction direction;
		int want;
		uint32_t list; /* flow.Flow field that names the policy; 0: none */
	} cases[] = {
		{ RAW_ALLOW, RAW_DIR_INGRESS, FLOW__VERDICT__FORWARDED, 21002 },
		{ RAW_ALLOW, RAW_DIR_EGRESS, FLOW__VERDICT__FORWARDED, 21001 },
		{ RAW_DENY, RAW_DIR_INGRESS, FLOW__VERDICT__DROPPED, 21005 },
		{ RAW_DENY, RAW_DIR_EGRESS, FLOW__VERDICT__DROPPED, 21004 },
		{ RAW_AUDIT, RAW_DIR_EGRESS, FLOW__VERDICT__AUDIT, 0 },
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		uint8_t bytes[128];
		size_t n = packet(bytes, peer_ip, pod_ip, 6, 5, 80, 0x02, NULL, 0);
		struct raw_event ev = raw(RAW_VERDICT, bytes, n);
		ev.verdict = cases[i].verdict;
		ev.direction = cases[i].direction;
		ev.policy = STR("no-db");
		compose_event(&w->compose, &ev, (struct mono_ns){ 0 });
		const struct flow *f = next(w);
		assert_int_equal(f->verdict, cases[i].want);
		assert_int_equal(f->event_type, 5);
		assert_int_equal(f->direction, cases[i].direction == RAW_DIR_INGRESS
						       ? FLOW__TRAFFIC_DIRECTION__INGRESS
						       : FLOW__TRAFFIC_DIRECTION__EGRESS);
		/* reference 6.2: present and false unless denied */
		assert_int_equal(f->is_reply, cases[i].verdict == RAW_DENY ? FLOW_REPLY_ABSENT
									   : FLOW_REPLY_FALSE);
		assert_int_equal(f->drop_desc, cases[i].verdict == RAW_DENY
						       ? FLOW__DROP_REASON__POLICY_DENIED
						       : 0);
		for (uint32_t list = 21001; list <= 21005; list++) {
			struct str policy, name;
			bool found = wire_find(str_n(f->ext, f->ext_len), list, &policy);
			assert_int_equal(found, list == cases[i].list);
			if (found) {
				assert_true(wire_find(policy, 1, &name));
				assert_true(str_is(name, "no-db"));
			}
		}
	}
}

/* As the kernel's log has them: a line of 8 KiB, and bytes that are no UTF-8, which become three. */
static void a_policy_of_any_length_is_named_whole(void **state)
{
	struct world *w = *state;
	enum { LONGEST = 8192 };
	static char given[LONGEST], want[3 * LONGEST];
	uint8_t bytes[128];
	size_t n = packet(bytes, peer_ip, pod_ip, 6, 5, 80, 0x02, NULL, 0);
	struct raw_event ev = raw(RAW_VERDICT, bytes, n);
	struct str policy, name;

	memset(given, 0xff, sizeof given);
	for (size_t i = 0; i < LONGEST; i++)
		memcpy(want + 3 * i, "\xef\xbf\xbd", 3); /* U+FFFD */
	ev.verdict = RAW_DENY;
	ev.direction = RAW_DIR_EGRESS;
	ev.policy = ev.policy_namespace = str_n(given, sizeof given);
	compose_event(&w->compose, &ev, (struct mono_ns){ 0 });
	const struct flow *f = next(w);
	assert_true(wire_find(str_n(f->ext, f->ext_len), 21004, &policy));
	for (uint32_t field = 1; field <= 2; field++) {
		assert_true(wire_find(policy, field, &name));
		assert_true(str_eq(name, str_n(want, sizeof want)));
	}
	assert_int_equal(compose_counts(&w->compose).cut, 0);
}

/* A query for and an answer about "db.example": RFC 1035 §4.1. */
static const uint8_t dns_answer[] = {
	0x12, 0x34, 0x81, 0x80, 0,   1,   0,   1,   0, 0, 0,   0, 2, 'd',  'b',
	7,    'e',  'x',  'a',  'm', 'p', 'l', 'e', 0, 0, 1,   0, 1, 0xc0, 12,
	0,    1,    0,    1,    0,   0,   0,   60,  0, 4, 192, 0, 2, 9,
};

static const struct flow *connection_to_peer(struct world *w)
{
	uint8_t bytes[256];
	size_t n = packet(bytes, pod_ip, peer_ip, 6, 41000, 5432, 0x02, NULL, 0);
	struct raw_event ev = raw(RAW_TRACE, bytes, n);

	ev.direction = RAW_DIR_INGRESS;
	ev.endpoint_side = ev.reply_known = true;
	ev.cause = BPF_CAUSE_NEW;
	compose_event(&w->compose, &ev, (struct mono_ns){ 0 });
	return next(w);
}

static void a_dns_answer_is_an_l7_flow_and_names_the_address_from_then_on(void **state)
{
	struct world *w = *state;
	uint8_t bytes[256];
	static const uint8_t resolver[4] = { 10, 0, 0, 53 };
	AUTO_BUF struct buf text = buf_init(1000);
	size_t n = packet(bytes, resolver, pod_ip, 17, 53, 40000, 0, dns_answer, sizeof dns_answer);
	struct raw_event ev = raw(RAW_TRACE, bytes, n);
	ev.direction = RAW_DIR_EGRESS;
	ev.endpoint_side = true;
	ev.reply_known = ev.reply = true;
	ev.cause = BPF_CAUSE_DNS;
	ev.packets = ev.bytes = 0; /* said by another event */
	compose_event(&w->compose, &ev, (struct mono_ns){ 0 });
	const struct flow *f = next(w);
	assert_int_equal(f->type, FLOW__FLOW_TYPE__L7);
	assert_int_equal(f->event_type, 129);
	assert_int_equal(f->is_reply, FLOW_REPLY_TRUE);
	assert_true(flow_is(f, FLOW_HAS_L7));
	assert_true(str_has_prefix(summary(w, f, &text), STR("DNS Answer \"192.0.2.9\" TTL: 60")));
	assert_null(next(w));

	f = connection_to_peer(w);
	struct str name;
	assert_true(wire_find(str_n(f->ext, f->ext_len), 14, &name));
	assert_true(str_is(name, "db.example"));
}

/* The flow has what was captured; that it is not all is counted. */
static void a_dns_answer_that_is_not_there_to_its_end_is_counted(void **state)
{
	struct world *w = *state;
	uint8_t bytes[256];
	static const uint8_t resolver[4] = { 10, 0, 0, 53 };

	for (size_t missing = 0; missing < 2; missing++) {
		size_t n = packet(bytes, resolver, pod_ip, 17, 53, 40000, 0, dns_answer,
				  sizeof dns_answer);
		struct raw_event ev = raw(RAW_TRACE, bytes, n - missing);
		ev.direction = RAW_DIR_EGRESS;
		ev.endpoint_side = ev.reply_known = ev.reply = true;
		ev.cause = BPF_CAUSE_DNS;
		ev.packets = ev.bytes = 0;
		compose_event(&w->compose, &ev, (struct mono_ns){ 0 });
		const struct flow *f = next(w);
		assert_non_null(f);
		assert_true(flow_is(f, FLOW_HAS_L7));
		assert_int_equal(compose_counts(&w->compose).cut_dns, missing);
	}
}

static void a_dns_answer_that_is_an_error_names_nobody(void **state)
{
	struct world *w = *state;
	uint8_t bytes[256], refused[sizeof dns_answer];
	static const uint8_t resolver[4] = { 10, 0, 0, 53 };

	memcpy(refused, dns_answer, sizeof refused);
	refused[3] |= 3; /* RCODE: NXDOMAIN, with an address all the same */
	size_t n = packet(bytes, resolver, pod_ip, 17, 53, 40000, 0, refused, sizeof refused);
	struct raw_event ev = raw(RAW_TRACE, bytes, n);
	ev.direction = RAW_DIR_EGRESS;
	ev.endpoint_side = ev.reply_known = ev.reply = true;
	ev.cause = BPF_CAUSE_DNS;
	ev.packets = ev.bytes = 0;
	compose_event(&w->compose, &ev, (struct mono_ns){ 0 });
	assert_non_null(next(w));

	const struct flow *f = connection_to_peer(w);
	struct str name;
	assert_false(wire_find(str_n(f->ext, f->ext_len), 14, &name));
}

static void what_no_decoder_accepts_is_counted_not_logged(void **state)
{
	struct world *w = *state;
	static const uint8_t runt[13] = { 0 };
	struct raw_event ev = raw(RAW_TRACE, runt, sizeof runt);
	compose_event(&w->compose, &ev, (struct mono_ns){ 0 });
	assert_null(next(w));
	struct compose_counts counts = compose_counts(&w->compose);
	assert_int_equal(counts.refused, 1);
	assert_int_equal(counts.events, 1);
}

static void what_a_source_lost_is_told_in_the_stream(void **state)
{
	struct world *w = *state;
	const struct raw_event ev = { .kind = RAW_LOST, .lost = 17, .cpu = 3 };
	compose_event(&w->compose, &ev, (struct mono_ns){ 0 });
	const struct flow *f = next(w);
	assert_int_equal(f->kind, FLOW_KIND_LOST);
	Flow__LostEvent *lost = flow__lost_event__unpack(NULL, f->ext_len, f->ext);
	assert_non_null(lost);
	assert_int_equal(lost->num_events_lost, 17);
	assert_int_equal(lost->source, FLOW__LOST_EVENT_SOURCE__PERF_EVENT_RING_BUFFER);
	assert_int_equal(lost->cpu->value, 3);
	flow__lost_event__free_unpacked(lost, NULL);
	assert_int_equal(compose_counts(&w->compose).lost, 17);
}

static void a_foreign_message_that_is_none_is_counted(void **state)
{
	struct world *w = *state;
	const struct raw_event ev = { .kind = RAW_FLOW, .packet = STR("\xff\xff\xff"), .cpu = -1 };
	compose_event(&w->compose, &ev, (struct mono_ns){ 0 });
	assert_null(next(w));
	assert_int_equal(compose_counts(&w->compose).bad_messages, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_pod_that_connects_out_is_seen_leaving, setup,
						teardown),
		cmocka_unit_test_setup_teardown(
			the_four_ways_past_a_pods_interface_have_their_directions, setup, teardown),
		cmocka_unit_test_setup_teardown(
			a_kernel_drop_has_cilium_s_code_and_the_kernel_s_name, setup, teardown),
		cmocka_unit_test_setup_teardown(reasons_told_in_one_buffer_are_not_mixed_up, setup,
						teardown),
		cmocka_unit_test_setup_teardown(a_logged_packet_is_a_verdict_with_its_policy, setup,
						teardown),
		cmocka_unit_test_setup_teardown(a_policy_of_any_length_is_named_whole, setup,
						teardown),
		cmocka_unit_test_setup_teardown(
			a_dns_answer_is_an_l7_flow_and_names_the_address_from_then_on, setup,
			teardown),
		cmocka_unit_test_setup_teardown(a_dns_answer_that_is_an_error_names_nobody, setup,
						teardown),
		cmocka_unit_test_setup_teardown(
			a_dns_answer_that_is_not_there_to_its_end_is_counted, setup, teardown),
		cmocka_unit_test_setup_teardown(what_no_decoder_accepts_is_counted_not_logged,
						setup, teardown),
		cmocka_unit_test_setup_teardown(what_a_source_lost_is_told_in_the_stream, setup,
						teardown),
		cmocka_unit_test_setup_teardown(a_foreign_message_that_is_none_is_counted, setup,
						teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
