#include "observer/compose.h"

#include "base/counter.h"
#include "bpf/event.h"
#include "flow/flow.pb-c.h"
#include "flow/lost.h"
#include "flow/uuid.h"
#include "flow/wire.h"
#include "observer/cilium/text.h"
#include "observer/decode/decode.h"
#include "observer/decode/dns.h"
#include "observer/drop_reason.h"
#include "observer/upstream/agent_names.h"

/* Message type numbers of Cilium's monitor (reference/cilium-events.md section 2). */
enum { EVENT_DROP = 1, EVENT_TRACE = 4, EVENT_POLICY_VERDICT = 5, EVENT_L7 = 129 };

/* Raw observation points of trace events (section 3.8); to-endpoint is 0 there and 101 in the
 * API. */
enum {
	POINT_TO_ENDPOINT = 0,
	POINT_FROM_ENDPOINT = 5,
	POINT_FROM_NETWORK = 10,
	POINT_TO_NETWORK = 11
};

/* The most records that a captured message has: behind the headers of IPv4, UDP and DNS and a
 * question for the root each takes 11 bytes, a name of one byte and nothing in it. */
_Static_assert((BPF_EVENT_DNS_CAP_BYTES - 20 - 8 - 12 - 5) / 11 <= DNS_RECORDS,
	       "all records of a message are read");

enum { ETHERTYPE_IPV4 = 0x0800, ETHERTYPE_IPV6 = 0x86dd, DNS_PORT = 53 };

void compose_init(struct compose *c, struct flow_log *log, struct flow_dict *dict,
		  struct name_table *names, const struct flow_clock *clock, const uint64_t seed[2])
{
	*c = (struct compose){
		.log = log,
		.dict = dict,
		.names = names,
		.clock = clock,
		.uuid_seed = { seed[0], seed[1] },
	};
	c->ext = buf_fixed(c->ext_bytes, sizeof c->ext_bytes);
}

struct compose_counts compose_counts(const struct compose *c)
{
	return (struct compose_counts){
		.events = counter_get(&c->events),
		.refused = counter_get(&c->refused),
		.bad_messages = counter_get(&c->bad_messages),
		.lost = counter_get(&c->lost),
		.cut = counter_get(&c->cut),
		.cut_dns = counter_get(&c->cut_dns),
	};
}

uint64_t compose_lost_of(const struct compose *c, uint32_t cpu)
{
	return counter_get(&c->lost_of[cpu]);
}

/* From the number that the log will give it: whoever keeps the number need not keep the uuid. */
static void stamp_uuid(const struct compose *c, struct flow *f)
{
	flow_uuid_make(c->uuid_seed, flow_log_range(c->log).next, f->uuid);
	f->bits |= FLOW_HAS_UUID;
}

/* A sub-message's bytes go into ext as they are; the log copies them. */
static void append(struct compose *c, struct flow *f, struct buf *ext)
{
	if (ext->failed) {
		/* more text than a record may carry: the numbers still count */
		flow_drop_ext(f);
		counter_add(&c->cut, 1);
	} else {
		f->ext = (const uint8_t *)ext->p;
		f->ext_len = (uint32_t)ext->len;
	}
	stamp_uuid(c, f);
	flow_log_put(c->log, f);
}

static struct wall_ns time_of(const struct compose *c, const struct raw_event *ev,
			      struct mono_ns now)
{
	if (ev->mono.v)
		return flow_clock_wall(c->clock, ev->mono);
	if (ev->wall.v)
		return ev->wall;
	return flow_clock_wall(c->clock, now);
}

/* A connection leaves when its first packet was sent from here; the replies then come in, and are
 * part of the same outgoing connection. */
static uint8_t trace_direction(const struct raw_event *ev, bool sent_from_here)
{
	if (!ev->reply_known)
		return FLOW__TRAFFIC_DIRECTION__TRAFFIC_DIRECTION_UNKNOWN;
	return sent_from_here != ev->reply ? FLOW__TRAFFIC_DIRECTION__EGRESS
					   : FLOW__TRAFFIC_DIRECTION__INGRESS;
}

static void set_event_type(struct flow *f, int32_t type, int32_t sub_type)
{
	f->event_type = type;
	f->event_sub_type = sub_type;
	f->bits |= FLOW_HAS_EVENT_TYPE;
}

static void trace_members(struct flow *f, const struct raw_event *ev)
{
	bool ingress = ev->direction == RAW_DIR_INGRESS; /* of the interface */
	int32_t point;

	if (ev->endpoint_side)
		point = ingress ? POINT_FROM_ENDPOINT : POINT_TO_ENDPOINT;
	else
		point = ingress ? POINT_FROM_NETWORK : POINT_TO_NETWORK;
	/* What enters by a pod's interface was sent by the pod; what leaves by the network's, by
	 * this node. */
	bool sent_from_here = ev->endpoint_side == ingress;

	f->verdict = FLOW__VERDICT__FORWARDED;
	set_event_type(f, EVENT_TRACE, point);
	f->trace_point = point == POINT_TO_ENDPOINT ? FLOW__TRACE_OBSERVATION_POINT__TO_ENDPOINT
						    : (uint8_t)point;
	f->direction = trace_direction(ev, sent_from_here);
	if (!ev->reply_known)
		return;
	f->is_reply = ev->reply ? FLOW_REPLY_TRUE : FLOW_REPLY_FALSE;
	if (ev->reply)
		f->trace_reason = FLOW__TRACE_REASON__REPLY;
	else if (ev->cause == BPF_CAUSE_NEW)
		f->trace_reason = FLOW__TRACE_REASON__NEW;
	else
		f->trace_reason = FLOW__TRACE_REASON__ESTABLISHED;
}

static void kernel_reason(struct compose *c, struct flow *f, struct str name)
{
	if (!name.len)
		return;
	size_t at = ((uintptr_t)name.p >> 4) % COMPOSE_REASONS;
	/* The kernel's names have an address each; those made for numbers without a name share one.
	 */
	if (c->reasons[at].text != name.p ||
	    !str_eq(flow_dict_get_kernel_reason(c->dict, c->reasons[at].id), name)) {
		c->reasons[at].text = name.p;
		c->reasons[at].id = flow_dict_kernel_reason(c->dict, name);
		c->reasons[at].code = (uint8_t)drop_reason_of_kernel(name);
	}
	f->kernel_reason = c->reasons[at].id;
	f->drop_reason = f->drop_desc = c->reasons[at].code;
}

static void drop_members(struct compose *c, struct flow *f, const struct raw_event *ev)
{
	f->verdict = FLOW__VERDICT__DROPPED;
	kernel_reason(c, f, ev->kernel_reason);
	set_event_type(f, EVENT_DROP, (int32_t)f->drop_reason);
	if (!flow_is(f, FLOW_HAS_IP))
		return;
	/* As Cilium sees it from the endpoint that the packet belongs to. */
	if (name_is_local(c->names, f->src_ip))
		f->direction = FLOW__TRAFFIC_DIRECTION__EGRESS;
	else if (name_is_local(c->names, f->dst_ip))
		f->direction = FLOW__TRAFFIC_DIRECTION__INGRESS;
}

static void put_policy(struct compose *c, struct flow *f, const struct raw_event *ev)
{
	if (!ev->policy.len || ev->verdict == RAW_AUDIT || ev->direction == RAW_DIR_UNKNOWN)
		return;
	bool ingress = ev->direction == RAW_DIR_INGRESS, allow = ev->verdict == RAW_ALLOW;
	uint32_t list = allow ? (ingress ? 21002 : 21001) : (ingress ? 21005 : 21004);

	size_t mark = wire_begin(&c->ext, list);
	put_clean(&c->ext, 1, ev->policy);
	put_clean(&c->ext, 2, ev->policy_namespace);
	wire_put_str(&c->ext, 5, ev->policy_kind.len ? ev->policy_kind : STR("NetfilterRule"));
	wire_end(&c->ext, mark);
	f->bits |= FLOW_HAS_POLICIES;
}

static void verdict_members(struct compose *c, struct flow *f, const struct raw_event *ev)
{
	static const uint8_t verdicts[] = {
		[RAW_ALLOW] = FLOW__VERDICT__FORWARDED,
		[RAW_DENY] = FLOW__VERDICT__DROPPED,
		[RAW_AUDIT] = FLOW__VERDICT__AUDIT,
	};

	f->verdict = verdicts[ev->verdict];
	set_event_type(f, EVENT_POLICY_VERDICT, 0);
	if (ev->direction == RAW_DIR_INGRESS)
		f->direction = FLOW__TRAFFIC_DIRECTION__INGRESS;
	else if (ev->direction == RAW_DIR_EGRESS)
		f->direction = FLOW__TRAFFIC_DIRECTION__EGRESS;
	if (ev->verdict == RAW_DENY)
		f->drop_reason = f->drop_desc = DROP_REASON_POLICY_DENIED;
	else
		f->is_reply = FLOW_REPLY_FALSE;
	put_policy(c, f, ev);
}

static void put_interface(struct flow *f, const struct raw_event *ev)
{
	if (!ev->ifindex)
		return;
	f->bits |= FLOW_HAS_IFACE;
	f->ifindex = ev->ifindex;
	if (ev->ifname)
		(void)memccpy(f->ifname, ev->ifname, 0, sizeof f->ifname - 1);
}

static void put_detail(struct flow *f, const struct raw_event *ev)
{
	f->packets = ev->packets ? ev->packets : 1;
	f->bytes = ev->packets ? ev->bytes : ev->packet_bytes;
	f->netns = ev->netns;
	f->bits |= FLOW_HAS_DETAIL;
}

/* The L7 flow of a DNS message; what its answers say is learned first, so that it names itself. */
static void dns_flow(struct compose *c, const struct flow *packet,
		     const struct decode_payload *payload)
{
	struct dns_message m;

	if (!dns_parse(payload->bytes, packet->l4 == FLOW_L4_TCP, &m))
		return;
	if (m.cut)
		counter_add(&c->cut_dns, 1);
	struct flow f = *packet;
	f.type = FLOW__FLOW_TYPE__L7;
	f.verdict = FLOW__VERDICT__FORWARDED;
	set_event_type(&f, EVENT_L7, 0);
	f.trace_point = 0;
	f.trace_reason = 0;
	f.is_reply = m.response ? FLOW_REPLY_TRUE : FLOW_REPLY_FALSE;
	f.bits &= ~(uint32_t)(FLOW_HAS_TCP_FLAGS | FLOW_HAS_NAMES | FLOW_HAS_POLICIES |
			      FLOW_HAS_ETHERNET);
	f.tcp_flags = 0;
	f.packets = f.bytes = 0; /* the L3/L4 flow counts them */
	if (m.response && m.rcode == 0)
		for (size_t i = 0; i < m.answer_count; i++)
			name_learn(c->names, f.dst_ip, m.answers[i].ip, str_of(m.query),
				   m.answers[i].ttl_s, f.time);
	buf_reset(&c->ext);
	dns_put_l7(&c->ext, &m);
	f.bits |= FLOW_HAS_L7;
	name_flow(c->names, &f, &c->ext);
	append(c, &f, &c->ext);
}

static bool is_dns(const struct flow *f, const struct decode_payload *payload)
{
	return payload->bytes.len && (f->l4 == FLOW_L4_UDP || f->l4 == FLOW_L4_TCP) &&
	       (f->src_port == DNS_PORT || f->dst_port == DNS_PORT);
}

static void packet_event(struct compose *c, const struct raw_event *ev, struct mono_ns now)
{
	struct flow f;
	struct decode_payload payload;
	enum decode_start start = DECODE_ETHERNET;

	flow_clear(&f);
	f.kind = FLOW_KIND_FLOW;
	f.type = FLOW__FLOW_TYPE__L3_L4;
	f.bits = FLOW_HAS_TIME;
	f.time = time_of(c, ev, now);
	if (ev->l3)
		start = ev->ethertype == ETHERTYPE_IPV6 ? DECODE_IPV6 : DECODE_IPV4;
	if (ev->l3 && ev->ethertype != ETHERTYPE_IPV6 && ev->ethertype != ETHERTYPE_IPV4) {
		counter_add(&c->refused, 1);
		return;
	}
	if (!decode_packet(ev->packet, start, true, &f, &payload)) {
		counter_add(&c->refused, 1);
		return;
	}
	name_ahead(c->names, &f);
	buf_reset(&c->ext);
	put_interface(&f, ev);
	put_detail(&f, ev);
	switch (ev->kind) {
	case RAW_TRACE:
		trace_members(&f, ev);
		break;
	case RAW_DROP:
		drop_members(c, &f, ev);
		break;
	default:
		verdict_members(c, &f, ev);
		break;
	}
	bool dns = ev->kind == RAW_TRACE && is_dns(&f, &payload);
	/* A DNS message that is reported only for what it says has been counted already, or will
	 * be. */
	if (ev->kind != RAW_TRACE || ev->cause != BPF_CAUSE_DNS || ev->packets) {
		name_flow(c->names, &f, &c->ext);
		if (c->policies)
			policy_flow(c->policies, &f, &c->ext);
		append(c, &f, &c->ext);
	}
	if (dns)
		dns_flow(c, &f, &payload);
}

static void message_event(struct compose *c, const struct raw_event *ev, enum flow_kind kind,
			  struct mono_ns now)
{
	struct flow f = { .kind = (uint8_t)kind,
			  .bits = FLOW_HAS_TIME,
			  .time = time_of(c, ev, now) };

	f.node = name_node(c->names);
	if (ev->node.len)
		f.node = flow_dict_node(c->dict, &(struct node){ .name = ev->node });
	f.ext = (const uint8_t *)ev->packet.p;
	f.ext_len = (uint32_t)ev->packet.len;
	flow_log_put(c->log, &f);
}

static void whole_flow(struct compose *c, const struct raw_event *ev)
{
	struct flow f;

	if (flow_decode(ev->packet, c->dict, &f, NULL) != ERR_OK) {
		counter_add(&c->bad_messages, 1);
		return;
	}
	name_flow(c->names, &f, &c->ext); /* it has its names; they are noted */
	flow_log_put(c->log, &f);
}

static void lost_event(struct compose *c, const struct raw_event *ev, struct mono_ns now)
{
	counter_add(&c->lost, ev->lost);
	if (ev->cpu >= 0 && ev->cpu < COMPOSE_CPUS)
		counter_add(&c->lost_of[ev->cpu], ev->lost);
	buf_reset(&c->ext);
	flow_lost_put(&c->ext, &(struct flow_lost){
				       .source = FLOW__LOST_EVENT_SOURCE__PERF_EVENT_RING_BUFFER,
				       .count = ev->lost,
				       .cpu = ev->cpu });
	struct raw_event message = *ev;
	message.packet = buf_str(&c->ext);
	message_event(c, &message, FLOW_KIND_LOST, now);
}

static void cilium_sample_event(struct compose *c, const struct raw_event *ev, struct mono_ns now)
{
	struct flow f;
	const struct cilium_sample in = { .bytes = ev->packet,
					  .cpu = ev->cpu,
					  .now = now,
					  .monitor = ev->kind == RAW_CILIUM_MONITOR };
	enum cilium_outcome outcome = CILIUM_REFUSED;
	struct buf *ext = c->cilium ? cilium_ext(c->cilium) : &c->ext;

	flow_clear(&f);
	f.bits = FLOW_HAS_TIME;
	f.time = time_of(c, ev, now);
	if (c->cilium)
		outcome = cilium_event(c->cilium, &in, &f, ext);
	if (outcome == CILIUM_REFUSED || (f.kind != FLOW_KIND_FLOW && ext->failed)) {
		counter_add(&c->refused, 1);
		return;
	}
	if (outcome == CILIUM_SKIPPED)
		return;
	if (f.kind == FLOW_KIND_FLOW) {
		/* what the agent knows comes before what is derived */
		if (c->agent_policies)
			agent_policies_flow(c->agent_policies, c->dict, &f, ext);
		if (c->policies)
			policy_flow(c->policies, &f, ext);
		append(c, &f, ext);
		return;
	}
	if (f.kind == FLOW_KIND_AGENT)
		agent_names_poke(c->agent); /* endpoints, addresses or policies may have changed */
	f.ext = (const uint8_t *)ext->p;
	f.ext_len = (uint32_t)ext->len;
	flow_log_put(c->log, &f);
}

void compose_event(struct compose *c, const struct raw_event *ev, struct mono_ns now)
{
	counter_add(&c->events, 1);
	switch (ev->kind) {
	case RAW_TRACE:
	case RAW_DROP:
	case RAW_VERDICT:
		packet_event(c, ev, now);
		break;
	case RAW_FLOW:
		whole_flow(c, ev);
		break;
	case RAW_CILIUM:
	case RAW_CILIUM_MONITOR:
		cilium_sample_event(c, ev, now);
		break;
	case RAW_LOST:
		lost_event(c, ev, now);
		break;
	case RAW_LOST_MESSAGE:
		message_event(c, ev, FLOW_KIND_LOST, now);
		break;
	case RAW_AGENT:
		message_event(c, ev, FLOW_KIND_AGENT, now);
		break;
	case RAW_DEBUG:
		message_event(c, ev, FLOW_KIND_DEBUG, now);
		break;
	}
}
