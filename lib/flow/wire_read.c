/*
 * Reading follows protobuf's rules: of a repeated singular field the last value counts, a repeated
 * message is merged, and a field of an unexpected wire type is an unknown field.
 */
#include "flow/wire.h"

#include "base/buf.h"
#include "flow/fields.h"
#include "flow/text.h"

enum { NODE_FIXED_BYTES = 1024, MERGED_MAX_BYTES = 64 << 20 };

/* Enums have 32 bits on the wire; what the member cannot hold is 255, and flow_enum asks ext. */
static uint8_t enum_u8(uint64_t v)
{
	uint32_t n = (uint32_t)v;

	return n < UINT8_MAX ? (uint8_t)n : UINT8_MAX;
}

static void set_bit(struct flow *f, uint32_t bit, bool on)
{
	f->bits = on ? f->bits | bit : f->bits & ~bit;
}

static void set_time(struct flow *f, struct timestamp t)
{
	bool fits = t.ns < (int32_t)NS_PER_S && timestamp_to_wall(t, &f->time);

	if (!fits)
		f->time.v = t.s < 0 ? 0 : UINT64_MAX;
	set_bit(f, FLOW_HAS_TIME, true);
	set_bit(f, FLOW_ODD_TIME, !fits);
}

/* An address that is not canonical text is odd; the member then holds what it means, or zeros.
 * @return odd */
static bool read_address(struct flow *f, uint32_t has, struct str text, uint8_t ret[16])
{
	char tmp[FLOW_IP_TEXT_BYTES];

	set_bit(f, has, text.len != 0);
	if (!text.len)
		return false;
	if (!ip_parse(text, ret)) {
		memset(ret, 0, 16);
		return true;
	}
	/* dotted text that parses is canonical; that with colons has many forms */
	return (!ip_is_v4(ret) || memchr(text.p, ':', text.len)) &&
	       !str_eq(ip_text(ret, tmp), text);
}

static bool read_ip(struct flow *f, struct str s)
{
	struct wire_reader r = wire_reader_of(s);

	set_bit(f, FLOW_HAS_IP, true);
	for (struct wire_field x; wire_next(&r, &x);) {
		bool odd = false;
		if (x.type == WIRE_LEN && x.number == 1)
			odd = read_address(f, FLOW_HAS_SRC_IP, x.bytes, f->src_ip);
		else if (x.type == WIRE_LEN && x.number == 2)
			odd = read_address(f, FLOW_HAS_DST_IP, x.bytes, f->dst_ip);
		else if (x.type == WIRE_VARINT && x.number == 3)
			f->ip_version = enum_u8(x.value);
		else if (x.type == WIRE_VARINT && x.number == 4)
			set_bit(f, FLOW_ENCRYPTED, x.value != 0);
		else if (x.type == WIRE_LEN && x.number == 5)
			odd = read_address(f, FLOW_HAS_XLATED, x.bytes, f->src_xlated);
		if (odd)
			f->bits |= FLOW_ODD_IP;
	}
	return !r.bad;
}

static bool read_ethernet(struct flow *f, struct str s)
{
	struct wire_reader r = wire_reader_of(s);
	bool src = false, dst = false; /* in canonical form */

	for (struct wire_field x; wire_next(&r, &x);)
		if (x.type == WIRE_LEN && x.number == 1)
			src = mac_parse(x.bytes, f->src_mac);
		else if (x.type == WIRE_LEN && x.number == 2)
			dst = mac_parse(x.bytes, f->dst_mac);
	set_bit(f, FLOW_HAS_ETHERNET, true);
	/* missing addresses are odd, too: the members cannot say "none" */
	set_bit(f, FLOW_ODD_MAC, !src || !dst);
	return !r.bad;
}

static uint16_t narrow_u16(struct flow *f, uint64_t v)
{
	uint32_t n = (uint32_t)v;

	if (n > UINT16_MAX)
		f->bits |= FLOW_ODD_L4;
	return (uint16_t)n;
}

static uint8_t narrow_u8(struct flow *f, uint64_t v)
{
	uint32_t n = (uint32_t)v;

	if (n > UINT8_MAX)
		f->bits |= FLOW_ODD_L4;
	return (uint8_t)n;
}

static bool read_tcp_flags(struct flow *f, struct str s)
{
	struct wire_reader r = wire_reader_of(s);

	f->bits |= FLOW_HAS_TCP_FLAGS;
	for (struct wire_field x; wire_next(&r, &x);)
		if (x.type == WIRE_VARINT && x.number <= 9) {
			uint16_t flag = (uint16_t)(1u << (x.number - 1));
			f->tcp_flags =
				(uint16_t)(x.value ? f->tcp_flags | flag : f->tcp_flags & ~flag);
		}
	return !r.bad;
}

static bool read_ports(struct flow *f, struct str s)
{
	struct wire_reader r = wire_reader_of(s);
	bool ok = true;

	for (struct wire_field x; wire_next(&r, &x);)
		if (x.type == WIRE_VARINT && x.number == 1)
			f->src_port = narrow_u16(f, x.value);
		else if (x.type == WIRE_VARINT && x.number == 2)
			f->dst_port = narrow_u16(f, x.value);
		else if (x.type == WIRE_LEN && x.number == 3 && f->l4 == FLOW_L4_TCP)
			ok &= read_tcp_flags(f, x.bytes);
	return ok && !r.bad;
}

static bool read_icmp_vrrp(struct flow *f, struct str s)
{
	struct wire_reader r = wire_reader_of(s);
	bool vrrp = f->l4 == FLOW_L4_VRRP;

	for (struct wire_field x; wire_next(&r, &x);) {
		if (x.type != WIRE_VARINT)
			continue;
		if (x.number == 1)
			*(vrrp ? &f->vrrp_type : &f->icmp_type) = narrow_u8(f, x.value);
		else if (x.number == 2)
			*(vrrp ? &f->vrrp_vrid : &f->icmp_code) = narrow_u8(f, x.value);
		else if (x.number == 3 && vrrp)
			f->vrrp_priority = narrow_u8(f, x.value);
	}
	return !r.bad;
}

static bool read_igmp(struct flow *f, struct str s)
{
	struct wire_reader r = wire_reader_of(s);
	bool group = false; /* in canonical form */

	for (struct wire_field x; wire_next(&r, &x);) {
		uint8_t ip[16];
		if (x.type == WIRE_VARINT && x.number == 1) {
			f->igmp_type = narrow_u8(f, x.value);
		} else if (x.type == WIRE_LEN && x.number == 2) {
			group = ip_parse(x.bytes, ip) && ip_is_v4(ip) &&
				!memchr(x.bytes.p, ':', x.bytes.len);
			if (group)
				memcpy(f->igmp_group, ip + 12, 4);
		}
	}
	if (!group)
		f->bits |= FLOW_ODD_L4;
	return !r.bad;
}

static bool read_l4(struct flow *f, struct str s)
{
	struct wire_reader r = wire_reader_of(s);

	for (struct wire_field x; wire_next(&r, &x);) {
		if (x.type != WIRE_LEN || x.number > FLOW_L4_IGMP)
			continue;
		if (f->l4 != x.number) { /* another member of the oneof replaces what was there */
			memset(f->l4_bytes, 0, sizeof f->l4_bytes);
			f->bits &= ~(uint32_t)(FLOW_ODD_L4 | FLOW_HAS_TCP_FLAGS);
			f->l4 = (uint8_t)x.number;
		}
		bool ok = true;
		switch ((enum flow_l4)x.number) {
		case FLOW_L4_TCP:
		case FLOW_L4_UDP:
		case FLOW_L4_SCTP:
			ok = read_ports(f, x.bytes);
			break;
		case FLOW_L4_ICMP4:
		case FLOW_L4_ICMP6:
		case FLOW_L4_VRRP:
			ok = read_icmp_vrrp(f, x.bytes);
			break;
		case FLOW_L4_IGMP:
			ok = read_igmp(f, x.bytes);
			break;
		case FLOW_L4_NONE:
			break;
		}
		if (!ok)
			return false;
	}
	return !r.bad;
}

static bool read_event_type(struct flow *f, struct str s)
{
	struct wire_reader r = wire_reader_of(s);

	f->bits |= FLOW_HAS_EVENT_TYPE;
	for (struct wire_field x; wire_next(&r, &x);)
		if (x.type == WIRE_VARINT && x.number == 1)
			f->event_type = (int32_t)(uint32_t)x.value;
		else if (x.type == WIRE_VARINT && x.number == 2)
			f->event_sub_type = (int32_t)(uint32_t)x.value;
	return !r.bad;
}

static bool read_interface(struct flow *f, struct str s)
{
	struct wire_reader r = wire_reader_of(s);

	f->bits |= FLOW_HAS_IFACE;
	for (struct wire_field x; wire_next(&r, &x);) {
		if (x.type == WIRE_VARINT && x.number == 1) {
			f->ifindex = (uint32_t)x.value;
		} else if (x.type == WIRE_LEN && x.number == 2) {
			bool fits = x.bytes.len < FLOW_IFNAME_BYTES &&
				    !(x.bytes.len && memchr(x.bytes.p, 0, x.bytes.len));
			set_bit(f, FLOW_ODD_IFACE, !fits);
			memset(f->ifname, 0, sizeof f->ifname);
			if (fits && x.bytes.len)
				memcpy(f->ifname, x.bytes.p, x.bytes.len);
		}
	}
	return !r.bad;
}

/* The first field of a message, when it is a number: BoolValue.value, IPTraceID.trace_id. */
static bool read_number(struct str s, uint64_t *ret)
{
	struct wire_reader r = wire_reader_of(s);

	for (struct wire_field x; wire_next(&r, &x);)
		if (x.type == WIRE_VARINT && x.number == 1)
			*ret = x.value;
	return !r.bad;
}

static bool read_detail(struct flow *f, struct str s, struct flow_dict *d)
{
	struct wire_reader r = wire_reader_of(s);

	for (struct wire_field x; wire_next(&r, &x);) {
		if (x.type == WIRE_VARINT && x.number == DETAIL_FIELD_PACKETS)
			f->packets = x.value;
		else if (x.type == WIRE_VARINT && x.number == DETAIL_FIELD_BYTES)
			f->bytes = x.value;
		else if (x.type == WIRE_VARINT && x.number == DETAIL_FIELD_NETNS)
			f->netns = (uint32_t)x.value;
		else if (x.type == WIRE_LEN && x.number == DETAIL_FIELD_KERNEL_DROP_REASON)
			f->kernel_reason = flow_dict_kernel_reason(d, x.bytes);
	}
	set_bit(f, FLOW_HAS_DETAIL, f->packets || f->bytes || f->netns || f->kernel_reason);
	return !r.bad;
}

/* --- names --- */

/* What is interned when all of the message was read. */
struct found {
	struct str source, destination, source_service, destination_service; /* p NULL: absent */
	struct str node[3]; /* node_name, one node_labels, emitter: all that most flows have */
	bool node_is_plain; /* @node is all there is of the node, and none came twice */
	bool merged;        /* one of the messages came twice */
};

static void keep(struct found *found, struct str *at, struct str bytes)
{
	found->merged |= at->p != NULL;
	*at = bytes;
}

/* Merging protobuf messages is reading one after the other, so the bytes of all are simply joined.
 */
static struct str join(struct buf *b, struct str message, uint32_t number)
{
	struct wire_reader r = wire_reader_of(message);

	buf_reset(b);
	for (struct wire_field x; wire_next(&r, &x);)
		if (x.number == number && x.type == WIRE_LEN)
			buf_str_put(b, x.bytes);
	return buf_str(b);
}

/* True if all of @s can be read, and the messages in field @sub of it. Asked where the dictionary
 * had no id to give: malformed bytes are the sender's fault, a full dictionary is not. */
static bool is_well_formed(struct str s, uint32_t sub)
{
	struct wire_reader r = wire_reader_of(s);

	for (struct wire_field x; wire_next(&r, &x);)
		if (x.number == sub && x.type == WIRE_LEN && !is_well_formed(x.bytes, 0))
			return false;
	return !r.bad;
}

static bool intern_endpoint(struct str wire, struct flow_dict *d, struct endpoint_id *ret)
{
	const uint32_t workloads = 6;

	*ret = flow_dict_endpoint_wire(d, wire);
	return ret->v || is_well_formed(wire, workloads);
}

static bool intern_service(struct str wire, struct flow_dict *d, struct service_id *ret)
{
	*ret = flow_dict_service_wire(d, wire);
	return ret->v || is_well_formed(wire, 0);
}

/* @return false: malformed bytes, here and below. */
static bool intern_names(struct flow *f, struct str message, const struct found *found,
			 struct flow_dict *d)
{
	AUTO_BUF struct buf b = buf_init(MERGED_MAX_BYTES);
	bool merged = found->merged, ok = true;

	if (found->source.p)
		ok &= intern_endpoint(merged ? join(&b, message, FLOW_FIELD_SOURCE) : found->source,
				      d, &f->src_ep);
	if (found->destination.p)
		ok &= intern_endpoint(merged ? join(&b, message, FLOW_FIELD_DESTINATION)
					     : found->destination,
				      d, &f->dst_ep);
	if (found->source_service.p)
		ok &= intern_service(merged ? join(&b, message, FLOW_FIELD_SOURCE_SERVICE)
					    : found->source_service,
				     d, &f->src_svc);
	if (found->destination_service.p)
		ok &= intern_service(merged ? join(&b, message, FLOW_FIELD_DESTINATION_SERVICE)
					    : found->destination_service,
				     d, &f->dst_svc);
	return ok;
}

static void put_node_fields(struct buf *b, struct str message)
{
	struct wire_reader r = wire_reader_of(message);

	for (struct wire_field x; wire_next(&r, &x);)
		if (x.type == WIRE_LEN &&
		    (x.number == FLOW_FIELD_NODE_NAME || x.number == FLOW_FIELD_NODE_LABELS ||
		     x.number == FLOW_FIELD_EMITTER))
			buf_str_put(b, x.raw);
}

/* The node's fields stand apart in the message; together they are the key. */
static bool intern_node(struct flow *f, struct str message, const struct found *found,
			struct flow_dict *d)
{
	char space[NODE_FIXED_BYTES];
	AUTO_BUF struct buf b = buf_fixed(space, sizeof space);

	if (found->node_is_plain) {
		for (size_t i = 0; i < ARRAY_LEN(found->node); i++)
			buf_str_put(&b, found->node[i]);
	} else {
		put_node_fields(&b, message);
	}
	if (b.failed) {
		b = buf_init(MERGED_MAX_BYTES);
		put_node_fields(&b, message);
	}
	if (!b.len || b.failed)
		return true;
	f->node = flow_dict_node_wire(d, buf_str(&b));
	return f->node.v || is_well_formed(buf_str(&b), FLOW_FIELD_EMITTER);
}

/* --- a flow --- */

static void read_number_field(struct flow *f, const struct wire_field *x)
{
	uint64_t v = x->value;

	switch (x->number) {
	case FLOW_FIELD_VERDICT:
		f->verdict = enum_u8(v);
		break;
	case FLOW_FIELD_DROP_REASON:
		f->drop_reason = (uint32_t)v;
		break;
	case FLOW_FIELD_TYPE:
		f->type = enum_u8(v);
		break;
	case FLOW_FIELD_TRAFFIC_DIRECTION:
		f->direction = enum_u8(v);
		break;
	case FLOW_FIELD_POLICY_MATCH_TYPE:
		f->policy_match_type = (uint32_t)v;
		break;
	case FLOW_FIELD_TRACE_OBSERVATION_POINT:
		f->trace_point = enum_u8(v);
		break;
	case FLOW_FIELD_DROP_REASON_DESC:
		f->drop_desc = (uint32_t)v;
		break;
	case FLOW_FIELD_DEBUG_CAPTURE_POINT:
		f->capture_point = enum_u8(v);
		break;
	case FLOW_FIELD_PROXY_PORT:
		f->proxy_port = (uint32_t)v;
		break;
	case FLOW_FIELD_SOCK_XLATE_POINT:
		f->sock_point = enum_u8(v);
		break;
	case FLOW_FIELD_SOCKET_COOKIE:
		f->socket_cookie = v;
		break;
	case FLOW_FIELD_CGROUP_ID:
		f->cgroup_id = v;
		break;
	case FLOW_FIELD_AUTH_TYPE:
		f->auth_type = enum_u8(v);
		break;
	case FLOW_FIELD_TRACE_REASON:
		f->trace_reason = enum_u8(v);
		break;
	default: /* reply repeats is_reply; others are not ours */
		break;
	}
}

static void keep_node_field(struct found *found, size_t place, struct str raw)
{
	if (found->node[place].p)
		found->node_is_plain = false;
	found->node[place] = raw;
}

/* @time gathers the timestamp, which may come in pieces. */
static bool read_bytes_field(struct flow *f, const struct wire_field *x, struct timestamp *time,
			     struct found *found, struct flow_dict *d)
{
	uint64_t number = 0;

	switch (x->number) {
	case FLOW_FIELD_TIME:
		if (!wire_timestamp(x->bytes, time))
			return false;
		set_time(f, *time);
		return true;
	case FLOW_FIELD_ETHERNET:
		return read_ethernet(f, x->bytes);
	case FLOW_FIELD_IP:
		return read_ip(f, x->bytes);
	case FLOW_FIELD_L4:
		return read_l4(f, x->bytes);
	case FLOW_FIELD_SOURCE:
		keep(found, &found->source, x->bytes);
		return true;
	case FLOW_FIELD_DESTINATION:
		keep(found, &found->destination, x->bytes);
		return true;
	case FLOW_FIELD_NODE_NAME:
		keep_node_field(found, 0, x->raw);
		return true;
	case FLOW_FIELD_SOURCE_NAMES:
	case FLOW_FIELD_DESTINATION_NAMES:
		f->bits |= FLOW_HAS_NAMES;
		return true;
	case FLOW_FIELD_L7:
		f->bits |= FLOW_HAS_L7;
		return true;
	case FLOW_FIELD_EVENT_TYPE:
		return read_event_type(f, x->bytes);
	case FLOW_FIELD_SOURCE_SERVICE:
		f->bits |= FLOW_HAS_SVC;
		keep(found, &found->source_service, x->bytes);
		return true;
	case FLOW_FIELD_DESTINATION_SERVICE:
		f->bits |= FLOW_HAS_SVC;
		keep(found, &found->destination_service, x->bytes);
		return true;
	case FLOW_FIELD_IS_REPLY:
		if (!read_number(x->bytes, &number))
			return false;
		f->is_reply = number ? FLOW_REPLY_TRUE : FLOW_REPLY_FALSE;
		return true;
	case FLOW_FIELD_INTERFACE:
		return read_interface(f, x->bytes);
	case FLOW_FIELD_TRACE_CONTEXT:
		f->bits |= FLOW_HAS_TRACE_CONTEXT;
		return true;
	case FLOW_FIELD_UUID:
		set_bit(f, FLOW_HAS_UUID, x->bytes.len != 0);
		set_bit(f, FLOW_ODD_UUID, x->bytes.len && !uuid_parse(x->bytes, f->uuid));
		return true;
	case FLOW_FIELD_NODE_LABELS:
		keep_node_field(found, 1, x->raw);
		return true;
	case FLOW_FIELD_IP_TRACE_ID:
		f->bits |= FLOW_HAS_IP_TRACE_ID;
		return read_number(x->bytes, &f->ip_trace_id);
	case FLOW_FIELD_EMITTER:
		keep_node_field(found, 2, x->raw);
		return true;
	case FLOW_FIELD_EGRESS_ALLOWED_BY:
	case FLOW_FIELD_INGRESS_ALLOWED_BY:
	case FLOW_FIELD_EGRESS_DENIED_BY:
	case FLOW_FIELD_INGRESS_DENIED_BY:
		f->bits |= FLOW_HAS_POLICIES;
		return true;
	case FLOW_FIELD_SUMMARY:
		set_bit(f, FLOW_HAS_SUMMARY, x->bytes.len != 0);
		return true;
	case FLOW_FIELD_TYCHO:
		return read_detail(f, x->bytes, d);
	default:
		return true;
	}
}

enum err_code flow_decode(struct str message, struct flow_dict *d, struct flow *ret, struct err *e)
{
	if (message.len > UINT32_MAX)
		return err_set(e, ERR_PARSE, "flow of %zu bytes", message.len);
	struct flow f = { .bits = FLOW_WHOLE,
			  .ext = (const uint8_t *)message.p,
			  .ext_len = (uint32_t)message.len };
	struct found found = { .node_is_plain = true };
	struct timestamp time = { 0 };
	struct wire_reader r = wire_reader_of(message);
	bool ok = true;

	for (struct wire_field x; ok && wire_next(&r, &x);)
		if (x.type == WIRE_VARINT)
			read_number_field(&f, &x);
		else if (x.type == WIRE_LEN)
			ok = read_bytes_field(&f, &x, &time, &found, d);
	if (!ok || r.bad || !intern_names(&f, message, &found, d) ||
	    !intern_node(&f, message, &found, d))
		return err_set(e, ERR_PARSE, "malformed flow.Flow message");
	*ret = f;
	return ERR_OK;
}

enum err_code flow_response_split(struct str message, struct flow_response *ret, struct err *e)
{
	static const enum flow_kind kind_of_field[] = {
		[RESPONSE_FIELD_FLOW] = FLOW_KIND_FLOW,
		[RESPONSE_FIELD_NODE_STATUS] = FLOW_KIND_NODE_STATUS,
		[RESPONSE_FIELD_LOST_EVENTS] = FLOW_KIND_LOST,
		[RESPONSE_FIELD_AGENT_EVENT] = FLOW_KIND_AGENT,
		[RESPONSE_FIELD_DEBUG_EVENT] = FLOW_KIND_DEBUG,
	};
	struct flow_response out = { .message = { "", 0 }, .node_name = { "", 0 } };
	struct wire_reader r = wire_reader_of(message);
	bool ok = true;

	for (struct wire_field x; ok && wire_next(&r, &x);) {
		if (x.type != WIRE_LEN)
			continue;
		if (x.number < ARRAY_LEN(kind_of_field)) {
			out.kind = kind_of_field[x.number];
			out.has_message = true;
			out.message = x.bytes;
		} else if (x.number == RESPONSE_FIELD_NODE_NAME) {
			out.node_name = x.bytes;
		} else if (x.number == RESPONSE_FIELD_TIME) {
			out.has_time = true;
			ok = wire_timestamp(x.bytes, &out.time);
		}
	}
	if (!ok || r.bad)
		return err_set(e, ERR_PARSE, "malformed observer.GetFlowsResponse message");
	*ret = out;
	return ERR_OK;
}
