/* The metrics that look at packets: drop, flow, flows-to-world, icmp, policy, port-distribution,
 * tcp. */
#include "flow/fields.h"
#include "flow/flow.pb-c.h"
#include "flow/names.h"
#include "flow/wire.h"
#include "observer/metrics/handler.h"

/* Message types of Cilium's monitor (reference/cilium-events.md section 2). */
enum { EVENT_DROP = 1, EVENT_CAPTURE = 3, EVENT_TRACE = 4, EVENT_VERDICT = 5, EVENT_L7 = 129 };
enum { IDENTITY_HOST = 1, REASON_POLICY_DENIED = 133 };

int32_t handler_event(const struct flow *f)
{
	return flow_is(f, FLOW_HAS_EVENT_TYPE) ? f->event_type : 0;
}

/* What handler_protocol depends on beside l4 and the kind of layer 7. */
enum event_class { CLASS_OTHER, CLASS_PACKET, CLASS_L7 };
static enum event_class class_of(const struct flow *f)
{
	switch (handler_event(f)) {
	case EVENT_DROP:
	case EVENT_CAPTURE:
	case EVENT_TRACE:
	case EVENT_VERDICT:
		return CLASS_PACKET;
	case EVENT_L7:
		return CLASS_L7;
	default:
		return CLASS_OTHER;
	}
}

static const char *l4_label(const struct flow *f)
{
	const char *name = l4_name(f->l4);

	return *name ? name : "Unknown L4";
}

const char *handler_protocol(const struct flow *f, const struct l7_part *l7)
{
	static const char *const l7_names[] = {
		[L7_RECORD_NONE] = "Unknown L7",
		[L7_RECORD_DNS] = "DNS",
		[L7_RECORD_HTTP] = "HTTP",
		[L7_RECORD_KAFKA] = "Kafka",
	};

	switch (class_of(f)) {
	case CLASS_PACKET:
		return l4_label(f);
	case CLASS_L7:
		return l7_names[l7->kind];
	default:
		return "Unknown flow";
	}
}

static uint64_t protocol_key(const struct flow *f, const struct l7_part *l7)
{
	return (uint64_t)f->l4 | (uint64_t)l7->kind << 3 | (uint64_t)class_of(f) << 5; /* 7 bits */
}

static struct str enum_text(struct handler_values *v, const ProtobufCEnumDescriptor *desc,
			    int32_t number)
{
	size_t from = v->scratch->len;

	enum_put(v->scratch, desc, number);
	return str_n(v->scratch->p + from, v->scratch->len - from);
}

static struct str verdict_text(struct handler_values *v, const struct flow *f)
{
	return enum_text(v, &flow__verdict__descriptor,
			 flow_enum(f, FLOW_FIELD_VERDICT, f->verdict));
}

static struct str number_text(struct handler_values *v, int64_t number)
{
	size_t from = v->scratch->len;

	buf_i64(v->scratch, number);
	return str_n(v->scratch->p + from, v->scratch->len - from);
}

/* --- drop --------------------------------------------------------------------------------- */

/* The kernel's own reason, where Cilium has no name for it: id in the dictionary, 0 for none. */
static uint16_t kernel_reason_of(const struct flow *f)
{
	return flow_is(f, FLOW_HAS_DETAIL) &&
			       !enum_name(&flow__drop_reason__descriptor, (int32_t)f->drop_desc)
		       ? f->kernel_reason
		       : 0;
}

static void put_drop(struct handler *h, const struct flow *f, const struct l7_part *l7,
		     struct handler_values *v)
{
	(void)h;
	v->values[0] = flow_dict_get_kernel_reason(v->dict, kernel_reason_of(f));
	if (!v->values[0].len)
		v->values[0] = enum_text(v, &flow__drop_reason__descriptor, (int32_t)f->drop_desc);
	v->values[1] = str_of(handler_protocol(f, l7));
}

static void count_drop(struct handler *h, struct handler_env *env, const struct flow *f,
		       const struct l7_part *l7)
{
	if (f->verdict != FLOW__VERDICT__DROPPED)
		return;
	if (env->kernel_drops && !flow_is(f, FLOW_WHOLE) && handler_event(f) == EVENT_VERDICT)
		return;
	uint64_t key = (uint64_t)kernel_reason_of(f) << 40 | (uint64_t)f->drop_desc << 8 |
		       protocol_key(f, l7);
	handler_add(env, handler_ref(h, env, f, l7, 0, key, 0, put_drop));
}

/* --- flow --------------------------------------------------------------------------------- */

static void put_flow(struct handler *h, const struct flow *f, const struct l7_part *l7,
		     struct handler_values *v)
{
	static const char *const l7_types[] = {
		[L7_RECORD_NONE] = "",
		[L7_RECORD_DNS] = "DNS",
		[L7_RECORD_HTTP] = "HTTP",
		[L7_RECORD_KAFKA] = "Kafka",
	};
	struct str type = STR(""), sub_type = STR("");

	(void)h;
	switch (handler_event(f)) {
	case EVENT_L7:
		type = STR("L7");
		sub_type = str_of(l7_types[l7->kind]);
		break;
	case EVENT_DROP:
		type = STR("Drop");
		break;
	case EVENT_CAPTURE:
		type = STR("Capture");
		break;
	case EVENT_TRACE:
		type = STR("Trace");
		sub_type = str_of(trace_point_text((uint8_t)f->event_sub_type));
		break;
	case EVENT_VERDICT:
		type = STR("PolicyVerdict");
		break;
	default:
		type = STR("Unknown");
		sub_type = number_text(v, handler_event(f));
	}
	v->values[0] = str_of(handler_protocol(f, l7));
	v->values[1] = type;
	v->values[2] = sub_type;
	v->values[3] = verdict_text(v, f);
}

static void count_flow(struct handler *h, struct handler_env *env, const struct flow *f,
		       const struct l7_part *l7)
{
	int32_t event = handler_event(f);
	uint8_t point = event == EVENT_TRACE ? (uint8_t)f->event_sub_type : 0;
	uint64_t key = (uint64_t)(uint32_t)event << 24 | (uint64_t)point << 16 |
		       (uint64_t)f->verdict << 8 | f->l4 | (uint64_t)l7->kind << 3;

	if (f->verdict == UINT8_MAX)
		handler_add(env, handler_ref_slow(h, env, f, l7, 0, put_flow));
	else
		handler_add(env, handler_ref(h, env, f, l7, 0, key, 0, put_flow));
}

/* --- flows-to-world ----------------------------------------------------------------------- */

static bool has_world_label(const struct endpoint *ep)
{
	for (size_t i = 0; ep && i < ep->label_count; i++)
		if (str_is(ep->labels[i], "reserved:world") ||
		    str_is(ep->labels[i], "reserved:world-ipv4") ||
		    str_is(ep->labels[i], "reserved:world-ipv6"))
			return true;
	return false;
}

static bool is_world(struct handler *h, struct handler_env *env, struct endpoint_id id)
{
	uint32_t *known = &h->worlds[id.v % HANDLER_WORLDS];

	if (!id.v)
		return false;
	if (*known >> 1 != id.v)
		*known = id.v << 1 | has_world_label(flow_dict_get_endpoint(env->dict, id));
	return *known & 1;
}

/* Of a message that came whole, an empty layer 4 is there, too. */
static bool has_l4(const struct flow *f)
{
	struct str l4;

	return f->l4 != FLOW_L4_NONE ||
	       (flow_is(f, FLOW_WHOLE) && wire_find(str_n(f->ext, f->ext_len), FLOW_FIELD_L4, &l4));
}

static void put_to_world(struct handler *h, const struct flow *f, const struct l7_part *l7,
			 struct handler_values *v)
{
	uint32_t port;

	v->values[0] = str_of(handler_protocol(f, l7));
	v->values[1] = verdict_text(v, f);
	if (h->port && flow_port(f, FLOW_DST, &port))
		v->values[2] = number_text(v, port);
}

static void count_to_world(struct handler *h, struct handler_env *env, const struct flow *f,
			   const struct l7_part *l7)
{
	bool reply = f->is_reply == FLOW_REPLY_TRUE, dropped = f->verdict == FLOW__VERDICT__DROPPED;
	uint32_t port = 0;

	if (!flow_is(f, FLOW_HAS_EVENT_TYPE) || !is_world(h, env, f->dst_ep) || !has_l4(f))
		return;
	if (dropped ? !h->any_drop && f->drop_desc != REASON_POLICY_DENIED : reply)
		return;
	if (h->syn_only && (reply || f->l4 != FLOW_L4_TCP || !flow_is(f, FLOW_HAS_TCP_FLAGS) ||
			    !(f->tcp_flags & FLOW_TCP_SYN)))
		return;
	bool has_port = h->port && flow_port(f, FLOW_DST, &port);
	uint64_t key = (uint64_t)port << 24 | (uint64_t)has_port << 16 | (uint64_t)f->verdict << 8 |
		       protocol_key(f, l7);
	if (f->verdict == UINT8_MAX)
		handler_add(env, handler_ref_slow(h, env, f, l7, 0, put_to_world));
	else
		handler_add(env, handler_ref(h, env, f, l7, 0, key, 0, put_to_world));
}

/* --- icmp --------------------------------------------------------------------------------- */

static void put_icmp(struct handler *h, const struct flow *f, const struct l7_part *l7,
		     struct handler_values *v)
{
	size_t from = v->scratch->len;

	(void)h, (void)l7;
	if (f->l4 == FLOW_L4_ICMP4)
		icmp4_text_put(v->scratch, f->icmp_type, f->icmp_code);
	else
		icmp6_text_put(v->scratch, f->icmp_type, f->icmp_code);
	v->values[0] = f->l4 == FLOW_L4_ICMP4 ? STR("IPv4") : STR("IPv6");
	v->values[1] = str_n(v->scratch->p + from, v->scratch->len - from);
}

static void count_icmp(struct handler *h, struct handler_env *env, const struct flow *f,
		       const struct l7_part *l7)
{
	if (f->l4 != FLOW_L4_ICMP4 && f->l4 != FLOW_L4_ICMP6)
		return;
	uint64_t key = (uint64_t)f->l4 << 16 | (uint64_t)f->icmp_type << 8 | f->icmp_code;
	handler_add(env, handler_ref(h, env, f, l7, 0, key, 0, put_icmp));
}

/* --- policy ------------------------------------------------------------------------------- */

static void put_policy(struct handler *h, const struct flow *f, const struct l7_part *l7,
		       struct handler_values *v)
{
	static const char *const l7_matches[] = {
		[L7_RECORD_NONE] = "l7/",
		[L7_RECORD_DNS] = "l7/dns",
		[L7_RECORD_HTTP] = "l7/http",
		[L7_RECORD_KAFKA] = "l7/kafka",
	};
	struct str direction = enum_text(v, &flow__traffic_direction__descriptor,
					 flow_enum(f, FLOW_FIELD_TRAFFIC_DIRECTION, f->direction));

	(void)h;
	v->values[0] = handler_lower(v, direction);
	v->values[1] = handler_event(f) == EVENT_L7
			       ? str_of(l7_matches[l7->kind])
			       : handler_lower(v, str_of(policy_match_text(f->policy_match_type)));
	v->values[2] = handler_lower(v, verdict_text(v, f));
}

static bool is_from_host(const struct handler_env *env, const struct flow *f)
{
	const struct endpoint *ep = flow_dict_get_endpoint(env->dict, f->src_ep);

	return ep && ep->identity == IDENTITY_HOST;
}

static void count_policy(struct handler *h, struct handler_env *env, const struct flow *f,
			 const struct l7_part *l7)
{
	int32_t event = handler_event(f);

	if (event != EVENT_L7 && (event != EVENT_VERDICT || is_from_host(env, f)))
		return;
	uint64_t key = (uint64_t)f->policy_match_type << 20 | (uint64_t)f->direction << 12 |
		       (uint64_t)f->verdict << 4 | (uint64_t)l7->kind << 1 | (event == EVENT_L7);
	if (f->verdict == UINT8_MAX || f->direction == UINT8_MAX)
		handler_add(env, handler_ref_slow(h, env, f, l7, 0, put_policy));
	else
		handler_add(env, handler_ref(h, env, f, l7, 0, key, 0, put_policy));
}

/* --- port-distribution -------------------------------------------------------------------- */

static bool has_passed(const struct flow *f)
{
	return f->verdict == FLOW__VERDICT__FORWARDED || f->verdict == FLOW__VERDICT__REDIRECTED;
}

static void put_ports(struct handler *h, const struct flow *f, const struct l7_part *l7,
		      struct handler_values *v)
{
	uint32_t port = 0;

	(void)h, (void)l7;
	(void)flow_port(f, FLOW_DST, &port);
	v->values[0] = str_of(l4_label(f));
	v->values[1] = number_text(v, port);
}

static void count_ports(struct handler *h, struct handler_env *env, const struct flow *f,
			const struct l7_part *l7)
{
	uint32_t port = 0;

	if (!has_passed(f) || f->l4 == FLOW_L4_NONE || f->is_reply != FLOW_REPLY_FALSE)
		return;
	(void)flow_port(f, FLOW_DST, &port);
	uint64_t key = (uint64_t)port << 8 | f->l4;
	handler_add(env, handler_ref(h, env, f, l7, 0, key, 0, put_ports));
}

/* --- tcp ---------------------------------------------------------------------------------- */

enum { IP_VERSION = 3 }; /* of flow.IP */
enum tcp_flag { TCP_FIN, TCP_SYN, TCP_SYN_ACK, TCP_RST };

/* flow.IPVersion: what the member cannot hold is in the message. */
static int32_t ip_version_of(const struct flow *f)
{
	struct str ip;
	uint64_t version = f->ip_version;

	if (version == UINT8_MAX && wire_find(str_n(f->ext, f->ext_len), FLOW_FIELD_IP, &ip)) {
		struct wire_reader r = wire_reader_of(ip);
		for (struct wire_field x; wire_next(&r, &x);)
			if (x.number == IP_VERSION && x.type == WIRE_VARINT)
				version = x.value;
	}
	return (int32_t)(uint32_t)version;
}

static void put_tcp(struct handler *h, const struct flow *f, enum tcp_flag flag,
		    struct handler_values *v)
{
	static const char *const flags[] = { "FIN", "SYN", "SYN-ACK", "RST" };

	(void)h;
	v->values[0] = str_of(flags[flag]);
	v->values[1] = enum_text(v, &flow__ipversion__descriptor, ip_version_of(f));
}
#define PUT_TCP(name, flag)                                                                        \
	static void name(struct handler *h, const struct flow *f, const struct l7_part *l7,        \
			 struct handler_values *v)                                                 \
	{                                                                                          \
		(void)l7;                                                                          \
		put_tcp(h, f, flag, v);                                                            \
	}
PUT_TCP(put_fin, TCP_FIN)
PUT_TCP(put_syn, TCP_SYN)
PUT_TCP(put_syn_ack, TCP_SYN_ACK)
PUT_TCP(put_rst, TCP_RST)

static void count_flag(struct handler *h, struct handler_env *env, const struct flow *f,
		       enum tcp_flag flag, handler_put_fn *put)
{
	static const struct l7_part none;
	uint64_t key = (uint64_t)f->ip_version << 8 | flag;

	handler_add(env, f->ip_version == UINT8_MAX
				 ? handler_ref_slow(h, env, f, &none, 0, put)
				 : handler_ref(h, env, f, &none, 0, key, 0, put));
}

static void count_tcp(struct handler *h, struct handler_env *env, const struct flow *f,
		      const struct l7_part *l7)
{
	bool syn_ack = (f->tcp_flags & FLOW_TCP_ACK) != 0;

	(void)l7;
	if (f->l4 != FLOW_L4_TCP || !flow_is(f, FLOW_HAS_TCP_FLAGS | FLOW_HAS_IP) || !has_passed(f))
		return;
	if (f->tcp_flags & FLOW_TCP_FIN)
		count_flag(h, env, f, TCP_FIN, put_fin);
	if ((f->tcp_flags & FLOW_TCP_SYN) && !syn_ack)
		count_flag(h, env, f, TCP_SYN, put_syn);
	if ((f->tcp_flags & FLOW_TCP_SYN) && syn_ack)
		count_flag(h, env, f, TCP_SYN_ACK, put_syn_ack);
	if (f->tcp_flags & FLOW_TCP_RST)
		count_flag(h, env, f, TCP_RST, put_rst);
}

enum { PASSED = 1u << FLOW__VERDICT__FORWARDED | 1u << FLOW__VERDICT__REDIRECTED };

const struct handler_kind handlers_of_flows[] = {
	{ .name = "drop",
	  .count = count_drop,
	  .gate = { .verdicts = 1u << FLOW__VERDICT__DROPPED },
	  .families = { { "hubble_drop_total",
			  "Number of drops",
			  METRIC_COUNTER,
			  { "reason", "protocol" } } } },
	{ .name = "flow",
	  .count = count_flow,
	  .families = { { "hubble_flows_processed_total",
			  "Total number of flows processed",
			  METRIC_COUNTER,
			  { "protocol", "type", "subtype", "verdict" } } } },
	{ .name = "flows-to-world",
	  .count = count_to_world,
	  .families = { { "hubble_flows_to_world_total",
			  "Total number of flows to reserved:world",
			  METRIC_COUNTER,
			  { "protocol", "verdict", "*port" } } } },
	{ .name = "icmp",
	  .count = count_icmp,
	  .gate = { .l4s = 1u << FLOW_L4_ICMP4 | 1u << FLOW_L4_ICMP6 },
	  .families = { { "hubble_icmp_total",
			  "Number of ICMP messages",
			  METRIC_COUNTER,
			  { "family", "type" } } } },
	{ .name = "policy",
	  .count = count_policy,
	  .families = { { "hubble_policy_verdicts_total",
			  "Total number of Cilium network policy verdicts",
			  METRIC_COUNTER,
			  { "direction", "match", "action" } } } },
	{ .name = "port-distribution",
	  .count = count_ports,
	  .gate = { .verdicts = PASSED },
	  .families = { { "hubble_port_distribution_total",
			  "Numbers of packets distributed by destination port",
			  METRIC_COUNTER,
			  { "protocol", "*port" } } } },
	{ .name = "tcp",
	  .count = count_tcp,
	  .gate = { .l4s = 1u << FLOW_L4_TCP,
		    .verdicts = PASSED,
		    .tcp_flags = FLOW_TCP_FIN | FLOW_TCP_SYN | FLOW_TCP_RST },
	  .families = { { "hubble_tcp_flags_total",
			  "TCP flag occurrences",
			  METRIC_COUNTER,
			  { "flag", "family" } } } },
};
const size_t handlers_of_flows_count = ARRAY_LEN(handlers_of_flows);
