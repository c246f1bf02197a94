/* lib/flow: records to flow.Flow and observer.GetFlowsResponse. The oracle is protobuf-c, which
 * writes fields in ascending order as we promise to: what it packs must be our bytes. */
#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/buf.h"
#include "flow/fields.h"
#include "flow/flow.pb-c.h"
#include "flow/wire.h"
#include "flow_random.h"
#include "observer/observer.pb-c.h"

enum { MAX_BYTES = 1 << 20, ROUNDS = 20000 };

/* --- what the record should say, by libc and protobuf-c --- */

static char *address_text(const uint8_t ip[16])
{
	char text[INET6_ADDRSTRLEN];
	bool v4 = ip_is_v4(ip);

	assert_non_null(inet_ntop(v4 ? AF_INET : AF_INET6, v4 ? ip + 12 : ip, text, sizeof text));
	return pool_text(str_of(text));
}

static char *hex_text(const char *fmt, const uint8_t *b)
{
	char text[64];

	(void)snprintf(text, sizeof text, fmt, b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7], b[8],
		       b[9], b[10], b[11], b[12], b[13], b[14], b[15]);
	return pool_text(str_of(text));
}

static char *mac_text(const uint8_t mac[6])
{
	uint8_t b[16] = { 0 };

	memcpy(b, mac, 6);
	return hex_text("%02x:%02x:%02x:%02x:%02x:%02x", b);
}

static char *uuid_text(const uint64_t uuid[2])
{
	uint8_t b[16];

	for (int i = 0; i < 16; i++)
		b[i] = (uint8_t)(uuid[i / 8] >> (8 * (7 - i % 8)));
	return hex_text("%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", b);
}

static Flow__TCPFlags *tcp_flags_message(unsigned flags)
{
	Flow__TCPFlags *m = NEW(flow__tcpflags);

	m->fin = !!(flags & FLOW_TCP_FIN);
	m->syn = !!(flags & FLOW_TCP_SYN);
	m->rst = !!(flags & FLOW_TCP_RST);
	m->psh = !!(flags & FLOW_TCP_PSH);
	m->ack = !!(flags & FLOW_TCP_ACK);
	m->urg = !!(flags & FLOW_TCP_URG);
	m->ece = !!(flags & FLOW_TCP_ECE);
	m->cwr = !!(flags & FLOW_TCP_CWR);
	m->ns = !!(flags & FLOW_TCP_NS);
	return m;
}

static Flow__Layer4 *l4_message(const struct flow *f)
{
	Flow__Layer4 *l4 = NEW(flow__layer4);

	switch ((enum flow_l4)f->l4) {
	case FLOW_L4_NONE:
		return NULL;
	case FLOW_L4_TCP:
		l4->protocol_case = FLOW__LAYER4__PROTOCOL_TCP;
		l4->tcp = NEW(flow__tcp);
		l4->tcp->source_port = f->src_port;
		l4->tcp->destination_port = f->dst_port;
		if (flow_is(f, FLOW_HAS_TCP_FLAGS))
			l4->tcp->flags = tcp_flags_message(f->tcp_flags);
		break;
	case FLOW_L4_UDP:
		l4->protocol_case = FLOW__LAYER4__PROTOCOL_UDP;
		l4->udp = NEW(flow__udp);
		l4->udp->source_port = f->src_port;
		l4->udp->destination_port = f->dst_port;
		break;
	case FLOW_L4_SCTP:
		l4->protocol_case = FLOW__LAYER4__PROTOCOL_SCTP;
		l4->sctp = NEW(flow__sctp);
		l4->sctp->source_port = f->src_port;
		l4->sctp->destination_port = f->dst_port;
		break;
	case FLOW_L4_ICMP4:
		l4->protocol_case = FLOW__LAYER4__PROTOCOL_ICMPV4;
		l4->icmpv4 = NEW(flow__icmpv4);
		l4->icmpv4->type = f->icmp_type;
		l4->icmpv4->code = f->icmp_code;
		break;
	case FLOW_L4_ICMP6:
		l4->protocol_case = FLOW__LAYER4__PROTOCOL_ICMPV6;
		l4->icmpv6 = NEW(flow__icmpv6);
		l4->icmpv6->type = f->icmp_type;
		l4->icmpv6->code = f->icmp_code;
		break;
	case FLOW_L4_VRRP:
		l4->protocol_case = FLOW__LAYER4__PROTOCOL_VRRP;
		l4->vrrp = NEW(flow__vrrp);
		l4->vrrp->type = f->vrrp_type;
		l4->vrrp->vrid = f->vrrp_vrid;
		l4->vrrp->priority = f->vrrp_priority;
		break;
	case FLOW_L4_IGMP: {
		uint8_t group[16];
		ip_from_v4(group, f->igmp_group);
		l4->protocol_case = FLOW__LAYER4__PROTOCOL_IGMP;
		l4->igmp = NEW(flow__igmp);
		l4->igmp->type = f->igmp_type;
		l4->igmp->group_address = address_text(group);
		break;
	}
	}
	return l4;
}

static Flow__Endpoint *endpoint_message(const struct endpoint *ep)
{
	if (!ep)
		return NULL;
	Flow__Endpoint *m = NEW(flow__endpoint);
	m->id = ep->id;
	m->identity = ep->identity;
	m->cluster_name = pool_text(ep->cluster);
	m->namespace_ = pool_text(ep->namespace_);
	m->pod_name = pool_text(ep->pod);
	m->n_labels = ep->label_count;
	m->labels = pool_take(sizeof(char *) * (ep->label_count + 1));
	for (size_t i = 0; i < ep->label_count; i++)
		m->labels[i] = pool_text(ep->labels[i]);
	m->n_workloads = ep->workload_count;
	m->workloads = pool_take(sizeof(void *) * (ep->workload_count + 1));
	for (size_t i = 0; i < ep->workload_count; i++) {
		m->workloads[i] = NEW(flow__workload);
		m->workloads[i]->name = pool_text(ep->workloads[i].name);
		m->workloads[i]->kind = pool_text(ep->workloads[i].kind);
	}
	return m;
}

static Flow__Service *service_message(const struct service *s)
{
	if (!s)
		return NULL;
	Flow__Service *m = NEW(flow__service);
	m->name = pool_text(s->name);
	m->namespace_ = pool_text(s->namespace_);
	return m;
}

static Flow__IP *ip_message(const struct flow *f)
{
	Flow__IP *ip = NEW(flow__ip);

	if (flow_is(f, FLOW_HAS_SRC_IP))
		ip->source = address_text(f->src_ip);
	if (flow_is(f, FLOW_HAS_DST_IP))
		ip->destination = address_text(f->dst_ip);
	if (flow_is(f, FLOW_HAS_XLATED))
		ip->source_xlated = address_text(f->src_xlated);
	ip->ipversion = (Flow__IPVersion)f->ip_version;
	ip->encrypted = flow_is(f, FLOW_ENCRYPTED);
	return ip;
}

static void set_layers(Flow__Flow *m, const struct flow *f)
{
	if (flow_is(f, FLOW_HAS_ETHERNET)) {
		m->ethernet = NEW(flow__ethernet);
		m->ethernet->source = mac_text(f->src_mac);
		m->ethernet->destination = mac_text(f->dst_mac);
	}
	if (flow_is(f, FLOW_HAS_IP))
		m->ip = ip_message(f);
	m->l4 = l4_message(f);
	if (flow_is(f, FLOW_HAS_IFACE)) {
		m->interface = NEW(flow__network_interface);
		m->interface->index = f->ifindex;
		m->interface->name = pool_text(str_of(f->ifname));
	}
}

static void set_names(Flow__Flow *m, const struct flow *f, const struct flow_dict *d)
{
	const struct node *node = flow_dict_get_node(d, f->node);

	m->source = endpoint_message(flow_dict_get_endpoint(d, f->src_ep));
	m->destination = endpoint_message(flow_dict_get_endpoint(d, f->dst_ep));
	m->source_service = service_message(flow_dict_get_service(d, f->src_svc));
	m->destination_service = service_message(flow_dict_get_service(d, f->dst_svc));
	if (!node)
		return;
	m->node_name = pool_text(node->name);
	m->n_node_labels = node->label_count;
	m->node_labels = pool_take(sizeof(char *) * (node->label_count + 1));
	for (size_t i = 0; i < node->label_count; i++)
		m->node_labels[i] = pool_text(node->labels[i]);
	if (node->emitter_name.len || node->emitter_version.len) {
		m->emitter = NEW(flow__emitter);
		m->emitter->name = pool_text(node->emitter_name);
		m->emitter->version = pool_text(node->emitter_version);
	}
}

static void set_numbers(Flow__Flow *m, const struct flow *f)
{
	m->verdict = (Flow__Verdict)f->verdict;
	m->drop_reason = f->drop_reason;
	m->type = (Flow__FlowType)f->type;
	m->traffic_direction = (Flow__TrafficDirection)f->direction;
	m->policy_match_type = f->policy_match_type;
	m->trace_observation_point = (Flow__TraceObservationPoint)f->trace_point;
	m->drop_reason_desc = (Flow__DropReason)f->drop_desc;
	m->debug_capture_point = (Flow__DebugCapturePoint)f->capture_point;
	m->proxy_port = f->proxy_port;
	m->sock_xlate_point = (Flow__SocketTranslationPoint)f->sock_point;
	m->socket_cookie = f->socket_cookie;
	m->cgroup_id = f->cgroup_id;
	m->auth_type = (Flow__AuthType)f->auth_type;
	m->trace_reason = (Flow__TraceReason)f->trace_reason;
}

/* flow.Flow of a made flow: what ext has, and the members. */
static Flow__Flow *expected(const struct flow *f, const struct flow_dict *d)
{
	Flow__Flow *m = flow__flow__unpack(&pool_allocator, f->ext_len, f->ext);
	assert_non_null(m);

	if (flow_is(f, FLOW_HAS_TIME)) {
		m->time = NEW(google__protobuf__timestamp);
		m->time->seconds = (int64_t)(f->time.v / NS_PER_S);
		m->time->nanos = (int32_t)(f->time.v % NS_PER_S);
	}
	if (flow_is(f, FLOW_HAS_UUID))
		m->uuid = uuid_text(f->uuid);
	set_layers(m, f);
	set_names(m, f, d);
	set_numbers(m, f);
	if (f->is_reply) {
		m->is_reply = NEW(google__protobuf__bool_value);
		m->is_reply->value = m->reply = f->is_reply == FLOW_REPLY_TRUE;
	}
	if (flow_is(f, FLOW_HAS_EVENT_TYPE)) {
		m->event_type = NEW(flow__cilium_event_type);
		m->event_type->type = f->event_type;
		m->event_type->sub_type = f->event_sub_type;
	}
	if (flow_is(f, FLOW_HAS_IP_TRACE_ID)) {
		m->ip_trace_id = NEW(flow__iptrace_id);
		m->ip_trace_id->trace_id = f->ip_trace_id;
	}
	if (!m->tycho && (f->seq || f->packets || f->bytes || f->netns || f->kernel_reason))
		m->tycho = NEW(tycho__v1__flow_detail);
	if (m->tycho) {
		m->tycho->seq = f->seq;
		m->tycho->packets = f->packets;
		m->tycho->bytes = f->bytes;
		m->tycho->netns = f->netns;
		m->tycho->kernel_drop_reason =
			pool_text(flow_dict_get_kernel_reason(d, f->kernel_reason));
	}
	if (!flow_is(f, FLOW_HAS_SUMMARY)) {
		AUTO_BUF struct buf summary = buf_init(MAX_BYTES);
		flow_summary_put(&summary, f, d);
		m->summary = pool_text(buf_str(&summary));
	}
	return m;
}

static void a_made_flow_is_written_as_protobuf_writes_it(void **state)
{
	(void)state;
	struct random r = random_of(__func__, 0x7a11e57);
	AUTO(flow_dict_free) struct flow_dict *d = dict_of(1 << 20);
	AUTO_BUF struct buf b = buf_init(MAX_BYTES);

	for (int i = 0; i < ROUNDS; i++) {
		pool_reset();
		struct flow f = random_made(&r, d);
		buf_reset(&b);
		flow_encode(&b, &f, d);
		assert_false(b.failed);
		assert_bytes_equal(buf_str(&b), pack(expected(&f, d)));
	}
}

/* The detail's length takes one byte or two. */
static void a_detail_of_any_length_is_written_as_protobuf_writes_it(void **state)
{
	(void)state;
	AUTO(flow_dict_free) struct flow_dict *d = dict_of(1 << 10);
	AUTO_BUF struct buf b = buf_init(MAX_BYTES);
	char reason[200];

	memset(reason, 'R', sizeof reason);
	for (size_t len = 100; len < sizeof reason; len++) {
		pool_reset();
		struct flow f = { .seq = 300,
				  .netns = 4026531840,
				  .kernel_reason = flow_dict_kernel_reason(d, str_n(reason, len)) };
		buf_reset(&b);
		flow_encode(&b, &f, d);
		assert_bytes_equal(buf_str(&b), pack(expected(&f, d)));
	}
}

static void a_whole_flow_goes_out_as_it_came(void **state)
{
	(void)state;
	static const char ext[] =
		"\xa0\x06\x01\x10\x02"; /* an unknown field first, and fields out of order */
	struct flow f = {
		.bits = FLOW_WHOLE, .verdict = 5, .ext = (const uint8_t *)ext, .ext_len = 5
	};
	AUTO(flow_dict_free) struct flow_dict *d = dict_of(1);
	AUTO_BUF struct buf b = buf_init(MAX_BYTES);

	flow_encode(&b, &f, d);
	assert_bytes_equal(buf_str(&b), STR("\xa0\x06\x01\x10\x02"));
}

static void an_empty_flow_is_no_bytes(void **state)
{
	(void)state;
	struct flow f = { 0 };
	AUTO(flow_dict_free) struct flow_dict *d = dict_of(1);
	AUTO_BUF struct buf b = buf_init(MAX_BYTES);

	flow_encode(&b, &f, d);
	assert_false(b.failed);
	assert_int_equal(b.len, 0);
}

static void a_buffer_that_is_too_small_fails_and_nothing_else(void **state)
{
	(void)state;
	struct random r = { 1 };
	AUTO(flow_dict_free) struct flow_dict *d = dict_of(100);
	pool_reset();
	struct flow f = random_made(&r, d);
	for (size_t size = 0; size < 1500; size += 7) {
		char *space = malloc(size ? size : 1);
		assert_non_null(space);
		struct buf b = buf_fixed(space, size);
		flow_encode_response(&b, &f, d, STR("n"));
		assert_true(b.len <= size);
		free(space);
	}
}

/* --- responses --- */

static Observer__GetFlowsResponse *response_of(const struct buf *b)
{
	Observer__GetFlowsResponse *m = observer__get_flows_response__unpack(
		&pool_allocator, b->len, (const uint8_t *)b->p);

	assert_non_null(m);
	return m;
}

static void a_response_repeats_node_and_time_of_the_flow(void **state)
{
	(void)state;
	struct random r = random_of(__func__, 0x5eed);
	AUTO(flow_dict_free) struct flow_dict *d = dict_of(1 << 20);
	AUTO_BUF struct buf b = buf_init(MAX_BYTES);
	AUTO_BUF struct buf flow = buf_init(MAX_BYTES);

	for (int i = 0; i < 2000; i++) {
		pool_reset();
		struct flow f = i ? random_made(&r, d)
				  : (struct flow){ 0 }; /* lengths of one to three bytes */
		buf_reset(&flow);
		flow_encode(&flow, &f, d);
		buf_reset(&b);
		flow_encode_response(&b, &f, d, STR("me"));
		Observer__GetFlowsResponse *m = response_of(&b);
		assert_int_equal(m->response_types_case,
				 OBSERVER__GET_FLOWS_RESPONSE__RESPONSE_TYPES_FLOW);
		assert_bytes_equal(pack(m->flow), buf_str(&flow));
		const struct node *node = flow_dict_get_node(d, f.node);
		struct str name = node && node->name.len ? node->name : STR("me");
		assert_true(str_is(name, m->node_name));
		assert_int_equal(m->time != NULL, flow_is(&f, FLOW_HAS_TIME));
		if (m->time)
			assert_int_equal((uint64_t)m->time->seconds * NS_PER_S +
						 (uint64_t)m->time->nanos,
					 f.time.v);
		assert_bytes_equal(pack(m), buf_str(&b)); /* minimal lengths, ascending */
	}
}

static void a_long_flow_gets_a_length_of_three_bytes(void **state)
{
	(void)state;
	static uint8_t ext[20000];
	pool_reset();
	struct str name = str_n(memset(pool_take(19990), 'x', 19990), 19990);
	AUTO_BUF struct buf field = buf_fixed(ext, sizeof ext);
	wire_put_str(&field, FLOW_FIELD_POLICY_LOG, name);
	assert_false(field.failed);
	struct flow f = { .bits = FLOW_WHOLE, .ext = ext, .ext_len = (uint32_t)field.len };
	AUTO(flow_dict_free) struct flow_dict *d = dict_of(1);
	AUTO_BUF struct buf b = buf_init(MAX_BYTES);

	flow_encode_response(&b, &f, d, STR(""));
	assert_int_equal(b.len, 1 + 3 + field.len);
	assert_memory_equal(b.p + 4, ext, field.len);
	Observer__GetFlowsResponse *m = response_of(&b);
	assert_int_equal(strlen(m->flow->policy_log[0]), name.len);
}

static void lost_events_are_reported_in_the_name_of_the_node(void **state)
{
	(void)state;
	pool_reset();
	Flow__LostEvent *lost = NEW(flow__lost_event);
	lost->source = FLOW__LOST_EVENT_SOURCE__HUBBLE_RING_BUFFER;
	lost->num_events_lost = 17;
	struct str ext = pack(lost);
	struct flow f = { .kind = FLOW_KIND_LOST,
			  .bits = FLOW_HAS_TIME,
			  .time.v = 5 * NS_PER_S,
			  .ext = (const uint8_t *)ext.p,
			  .ext_len = (uint32_t)ext.len };
	AUTO(flow_dict_free) struct flow_dict *d = dict_of(1);
	AUTO_BUF struct buf b = buf_init(MAX_BYTES);

	flow_encode_response(&b, &f, d, STR("edge/n1"));
	Observer__GetFlowsResponse *m = response_of(&b);
	assert_int_equal(m->response_types_case,
			 OBSERVER__GET_FLOWS_RESPONSE__RESPONSE_TYPES_LOST_EVENTS);
	assert_int_equal(m->lost_events->num_events_lost, 17);
	assert_string_equal(m->node_name, "edge/n1");
	assert_int_equal(m->time->seconds, 5);
}

static void a_node_status_goes_out_in_its_own_field(void **state)
{
	(void)state;
	pool_reset();
	Relay__NodeStatusEvent *status = NEW(relay__node_status_event);
	status->state_change = RELAY__NODE_STATE__NODE_GONE;
	struct str ext = pack(status);
	struct flow f = { .kind = FLOW_KIND_NODE_STATUS,
			  .ext = (const uint8_t *)ext.p,
			  .ext_len = (uint32_t)ext.len };
	AUTO(flow_dict_free) struct flow_dict *d = dict_of(1);
	AUTO_BUF struct buf b = buf_init(MAX_BYTES);

	flow_encode_response(&b, &f, d, STR("relay"));
	Observer__GetFlowsResponse *m = response_of(&b);
	assert_int_equal(m->response_types_case,
			 OBSERVER__GET_FLOWS_RESPONSE__RESPONSE_TYPES_NODE_STATUS);
	assert_int_equal(m->node_status->state_change, RELAY__NODE_STATE__NODE_GONE);
	assert_null(m->time);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_made_flow_is_written_as_protobuf_writes_it),
		cmocka_unit_test(a_detail_of_any_length_is_written_as_protobuf_writes_it),
		cmocka_unit_test(a_whole_flow_goes_out_as_it_came),
		cmocka_unit_test(an_empty_flow_is_no_bytes),
		cmocka_unit_test(a_buffer_that_is_too_small_fails_and_nothing_else),
		cmocka_unit_test(a_response_repeats_node_and_time_of_the_flow),
		cmocka_unit_test(a_long_flow_gets_a_length_of_three_bytes),
		cmocka_unit_test(lost_events_are_reported_in_the_name_of_the_node),
		cmocka_unit_test(a_node_status_goes_out_in_its_own_field),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
