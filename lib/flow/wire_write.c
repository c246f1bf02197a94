/*
 * Made flows are written in one pass into room that is known to suffice, so that no field asks for
 * room again. Members go out in ascending field order; the fields of ext, which are ascending too,
 * are let in at the gaps.
 */
#include "flow/wire.h"

#include "base/buf.h"
#include "flow/dict_wire.h"
#include "flow/fields.h"
#include "flow/text.h"

enum {
	/* All members of a made flow but names, ext and Summary: below 600 with the longest
	 * varints. */
	MEMBERS_MAX_BYTES = 768,
	SUMMARY_FIXED_BYTES = 256,
	LENGTH_BYTES = 2, /* a flow is 128 to 16,383 bytes long, nearly always */
};

static inline uint8_t *put_varint(uint8_t *p, uint64_t v)
{
	for (; v >= 0x80; v >>= 7)
		*p++ = (uint8_t)(v | 0x80);
	*p++ = (uint8_t)v;
	return p;
}

static inline uint8_t *put_tag(uint8_t *p, uint32_t number, enum wire_type type)
{
	return put_varint(p, number << 3 | type); /* constant, folds to a store */
}

static inline uint8_t *put_u64(uint8_t *p, uint32_t number, uint64_t v)
{
	return v ? put_varint(put_tag(p, number, WIRE_VARINT), v) : p;
}

/* int32 and enums: negative numbers are sign-extended to ten bytes. */
static inline uint8_t *put_i32(uint8_t *p, uint32_t number, int32_t v)
{
	return put_u64(p, number, (uint64_t)(int64_t)v);
}

static inline uint8_t *put_bytes(uint8_t *p, struct str s)
{
	if (s.len)
		memcpy(p, s.p, s.len);
	return p + s.len;
}

static inline uint8_t *put_len(uint8_t *p, uint32_t number, struct str s)
{
	return put_bytes(put_varint(put_tag(p, number, WIRE_LEN), s.len), s);
}

/* A message that is shorter than 128 bytes: its length takes the byte before @body. */
static inline void end_short(uint8_t *body, const uint8_t *end)
{
	body[-1] = (uint8_t)(end - body);
}

static uint8_t *put_timestamp(uint8_t *p, uint32_t number, struct timestamp t)
{
	uint8_t *body = put_tag(p, number, WIRE_LEN) + 1;

	p = put_u64(body, 1, (uint64_t)t.s);
	p = put_i32(p, 2, t.ns);
	end_short(body, p);
	return p;
}

static uint8_t *put_ethernet(uint8_t *p, const struct flow *f)
{
	p = put_tag(p, FLOW_FIELD_ETHERNET, WIRE_LEN);
	*p++ = 2 * (2 + MAC_CHARS);
	*p++ = 1 << 3 | WIRE_LEN;
	*p++ = MAC_CHARS;
	mac_put((char *)p, f->src_mac);
	p += MAC_CHARS;
	*p++ = 2 << 3 | WIRE_LEN;
	*p++ = MAC_CHARS;
	mac_put((char *)p, f->dst_mac);
	return p + MAC_CHARS;
}

static uint8_t *put_address(uint8_t *p, uint32_t number, const uint8_t ip[16])
{
	p = put_tag(p, number, WIRE_LEN);
	struct str text = ip_text(ip, (char *)p + 1);
	*p = (uint8_t)text.len;
	return p + 1 + text.len;
}

static uint8_t *put_ip(uint8_t *p, const struct flow *f)
{
	uint8_t *mark = put_tag(p, FLOW_FIELD_IP, WIRE_LEN), *body = mark + 1;

	p = body;
	if (f->bits & FLOW_HAS_SRC_IP)
		p = put_address(p, 1, f->src_ip);
	if (f->bits & FLOW_HAS_DST_IP)
		p = put_address(p, 2, f->dst_ip);
	p = put_u64(p, 3, f->ip_version);
	p = put_u64(p, 4, flow_is(f, FLOW_ENCRYPTED));
	if (f->bits & FLOW_HAS_XLATED)
		p = put_address(p, 5, f->src_xlated);
	/* three addresses of 39 characters and their tags still take less than 128 bytes, four
	 * bytes less */
	end_short(body, p);
	return p;
}

static uint8_t *put_tcp_flags(uint8_t *p, unsigned flags)
{
	uint8_t *body = put_tag(p, 3, WIRE_LEN) + 1;

	p = body;
	for (unsigned bit = 0; flags >> bit && bit < 9; bit++)
		p = put_u64(p, bit + 1, flags >> bit & 1);
	end_short(body, p);
	return p;
}

static uint8_t *put_l4(uint8_t *p, const struct flow *f)
{
	uint8_t *outer = put_tag(p, FLOW_FIELD_L4, WIRE_LEN) + 1,
		*body = put_tag(outer, f->l4, WIRE_LEN) + 1;

	p = body;
	switch ((enum flow_l4)f->l4) {
	case FLOW_L4_TCP:
	case FLOW_L4_UDP:
	case FLOW_L4_SCTP:
		p = put_u64(p, 1, f->src_port);
		p = put_u64(p, 2, f->dst_port);
		if (f->l4 == FLOW_L4_TCP && flow_is(f, FLOW_HAS_TCP_FLAGS))
			p = put_tcp_flags(p, f->tcp_flags);
		break;
	case FLOW_L4_ICMP4:
	case FLOW_L4_ICMP6:
		p = put_u64(p, 1, f->icmp_type);
		p = put_u64(p, 2, f->icmp_code);
		break;
	case FLOW_L4_VRRP:
		p = put_u64(p, 1, f->vrrp_type);
		p = put_u64(p, 2, f->vrrp_vrid);
		p = put_u64(p, 3, f->vrrp_priority);
		break;
	case FLOW_L4_IGMP: {
		uint8_t group[16];
		ip_from_v4(group, f->igmp_group);
		p = put_u64(p, 1, f->igmp_type);
		p = put_address(p, 2, group);
		break;
	}
	case FLOW_L4_NONE:
		break;
	}
	end_short(body, p);
	end_short(outer, p);
	return p;
}

static uint8_t *put_event_type(uint8_t *p, const struct flow *f)
{
	uint8_t *body = put_tag(p, FLOW_FIELD_EVENT_TYPE, WIRE_LEN) + 1;

	p = put_i32(body, 1, f->event_type);
	p = put_i32(p, 2, f->event_sub_type);
	end_short(body, p);
	return p;
}

static uint8_t *put_interface(uint8_t *p, const struct flow *f)
{
	uint8_t *body = put_tag(p, FLOW_FIELD_INTERFACE, WIRE_LEN) + 1;
	struct str name = str_n(f->ifname, strnlen(f->ifname, FLOW_IFNAME_BYTES));

	p = put_u64(body, 1, f->ifindex);
	if (name.len)
		p = put_len(p, 2, name);
	end_short(body, p);
	return p;
}

/* The wrapped bool; the old field repeats it, and cannot say "unknown". */
static uint8_t *put_is_reply(uint8_t *p, const struct flow *f)
{
	p = put_tag(p, FLOW_FIELD_IS_REPLY, WIRE_LEN);
	if (f->is_reply != FLOW_REPLY_TRUE) {
		*p++ = 0;
		return p;
	}
	*p++ = 2;
	return put_u64(p, 1, 1);
}

/* --- ext --- */

/* Which fields of a made flow: all of them, or one side of what flow_encode_core sets apart. */
enum pieces { PIECES_ALL, PIECES_CORE };

/* The fields of a made flow's ext that are still to be written. */
struct ext {
	struct wire_reader r;
	struct wire_field next; /* number UINT32_MAX: none left */
	bool core, has_dns;     /* core: steps over what flow_encode_core leaves out */
};

/* A field of DNS, given that the flow has a DNS record or has none. */
static bool is_dns_field(uint32_t number, bool has_dns)
{
	return number == FLOW_FIELD_SOURCE_NAMES || number == FLOW_FIELD_DESTINATION_NAMES ||
	       (has_dns && (number == FLOW_FIELD_L7 || number == FLOW_FIELD_SUMMARY));
}

static void ext_step(struct ext *x)
{
	do {
		if (!wire_next(&x->r, &x->next))
			x->next.number = UINT32_MAX;
	} while (x->core &&
		 (x->next.number == FLOW_FIELD_TUNNEL || is_dns_field(x->next.number, x->has_dns)));
}

static struct ext ext_of(const struct flow *f, enum pieces pieces)
{
	struct ext x = { .r = wire_reader_of(str_n(f->ext, f->ext_len)),
			 .next.number = UINT32_MAX,
			 .core = pieces == PIECES_CORE };

	x.has_dns = x.core && flow_has_dns(f);

	if (f->ext_len)
		ext_step(&x);
	return x;
}

/* Writes ext's fields below @number. */
static inline uint8_t *put_ext_below(uint8_t *p, struct ext *x, uint32_t number)
{
	for (; __builtin_expect(x->next.number < number, 0); ext_step(x))
		p = put_bytes(p, x->next.raw);
	return p;
}

/* tycho.v1.FlowDetail: the members, and what ext has of it besides (a merge, as protobuf merges:
 * one after the other). */
static uint8_t *put_detail(uint8_t *p, const struct flow *f, struct str reason, struct ext *x)
{
	bool in_ext = x->next.number == FLOW_FIELD_TYCHO;
	uint8_t *body = put_tag(p, FLOW_FIELD_TYCHO, WIRE_LEN) + 1, *end = body;

	end = put_u64(end, DETAIL_FIELD_SEQ, f->seq);
	end = put_u64(end, DETAIL_FIELD_PACKETS, f->packets);
	end = put_u64(end, DETAIL_FIELD_BYTES, f->bytes);
	if (reason.len)
		end = put_len(end, DETAIL_FIELD_KERNEL_DROP_REASON, reason);
	end = put_u64(end, DETAIL_FIELD_NETNS, f->netns);
	for (; x->next.number == FLOW_FIELD_TYCHO; ext_step(x))
		end = put_bytes(end, x->next.bytes);
	size_t len = (size_t)(end - body);
	if (!len && !in_ext)
		return p;
	if (len < 0x80) {
		end_short(body, end);
		return end;
	}
	uint8_t head[10];
	size_t head_bytes = (size_t)(put_varint(head, len) - head);
	memmove(body - 1 + head_bytes, body, len);
	memcpy(body - 1, head, head_bytes);
	return end + head_bytes - 1;
}

/* --- a flow --- */

/* What a made flow's ids stand for, looked up once. */
struct names {
	struct str src_ep, dst_ep, src_svc, dst_svc; /* p NULL: absent */
	struct str src_ep_rest, dst_ep_rest;         /* behind src_ep, dst_ep */
	struct str node_name, node_labels, emitter, reason;
	size_t bytes; /* of all, with room for tags and lengths */
};

/* @src_ep, @dst_ep: in two pieces each. Inline, or the whole struct is cleared first and copied
 * afterwards. */
__attribute__((always_inline)) static inline struct names names_of(const struct flow *f,
								   const struct flow_dict *d,
								   const struct str src_ep[2],
								   const struct str dst_ep[2])
{
	static const struct str absent = { NULL, 0 };
	const struct node *node = flow_dict_get_node(d, f->node);
	struct str src_svc = absent, dst_svc = absent, reason = absent;

	if (f->src_svc.v | f->dst_svc.v) {
		const struct service *src = flow_dict_get_service(d, f->src_svc);
		const struct service *dst = flow_dict_get_service(d, f->dst_svc);
		src_svc = src ? src->wire : absent;
		dst_svc = dst ? dst->wire : absent;
	}
	if (f->kernel_reason)
		reason = flow_dict_get_kernel_reason(d, f->kernel_reason);
	struct names n = {
		.src_ep = src_ep[0],
		.dst_ep = dst_ep[0],
		.src_svc = src_svc,
		.dst_svc = dst_svc,
		.src_ep_rest = src_ep[1],
		.dst_ep_rest = dst_ep[1],
		.node_name = node ? node->name_wire : absent,
		.node_labels = node ? node->labels_wire : absent,
		.emitter = node ? node->emitter_wire : absent,
		.reason = reason,
	};
	n.bytes = n.src_ep.len + n.src_ep_rest.len + n.dst_ep.len + n.dst_ep_rest.len +
		  n.src_svc.len + n.dst_svc.len + n.node_name.len + n.node_labels.len +
		  n.emitter.len + n.reason.len;
	return n;
}

static inline uint8_t *put_endpoint(uint8_t *p, uint32_t number, struct str wire, struct str rest)
{
	p = put_varint(put_tag(p, number, WIRE_LEN), wire.len + rest.len);
	return put_bytes(put_bytes(p, wire), rest);
}

/* @p has room for the members, @n and ext; @summary too. Twice inline: once for all, once for the
 * core. */
__attribute__((always_inline)) static inline uint8_t *put_made(uint8_t *p, const struct flow *f,
							       const struct names *n,
							       struct str summary,
							       enum pieces pieces)
{
	struct ext x = ext_of(f, pieces);

	if (f->bits & FLOW_HAS_TIME)
		p = put_timestamp(p, FLOW_FIELD_TIME, timestamp_of(f->time));
	p = put_u64(p, FLOW_FIELD_VERDICT, f->verdict);
	p = put_u64(p, FLOW_FIELD_DROP_REASON, f->drop_reason);
	if (pieces == PIECES_ALL && f->bits & FLOW_HAS_ETHERNET)
		p = put_ethernet(p, f);
	if (pieces == PIECES_ALL && f->bits & FLOW_HAS_IP)
		p = put_ip(p, f);
	if (f->l4)
		p = put_l4(p, f);
	if (n->src_ep.p)
		p = put_endpoint(p, FLOW_FIELD_SOURCE, n->src_ep, n->src_ep_rest);
	if (n->dst_ep.p)
		p = put_endpoint(p, FLOW_FIELD_DESTINATION, n->dst_ep, n->dst_ep_rest);
	p = put_u64(p, FLOW_FIELD_TYPE, f->type);
	p = put_bytes(p, n->node_name);
	p = put_ext_below(p, &x, FLOW_FIELD_REPLY); /* source_names, destination_names, l7 */
	p = put_u64(p, FLOW_FIELD_REPLY, f->is_reply == FLOW_REPLY_TRUE);
	if (f->bits & FLOW_HAS_EVENT_TYPE)
		p = put_event_type(p, f);
	if (n->src_svc.p)
		p = put_len(p, FLOW_FIELD_SOURCE_SERVICE, n->src_svc);
	if (n->dst_svc.p)
		p = put_len(p, FLOW_FIELD_DESTINATION_SERVICE, n->dst_svc);
	p = put_u64(p, FLOW_FIELD_TRAFFIC_DIRECTION, f->direction);
	p = put_u64(p, FLOW_FIELD_POLICY_MATCH_TYPE, f->policy_match_type);
	p = put_u64(p, FLOW_FIELD_TRACE_OBSERVATION_POINT, f->trace_point);
	p = put_i32(p, FLOW_FIELD_DROP_REASON_DESC, (int32_t)f->drop_desc);
	if (f->is_reply != FLOW_REPLY_ABSENT)
		p = put_is_reply(p, f);
	p = put_u64(p, FLOW_FIELD_DEBUG_CAPTURE_POINT, f->capture_point);
	if (f->bits & FLOW_HAS_IFACE)
		p = put_interface(p, f);
	p = put_u64(p, FLOW_FIELD_PROXY_PORT, f->proxy_port);
	p = put_ext_below(p, &x, FLOW_FIELD_SOCK_XLATE_POINT); /* trace_context */
	p = put_u64(p, FLOW_FIELD_SOCK_XLATE_POINT, f->sock_point);
	p = put_u64(p, FLOW_FIELD_SOCKET_COOKIE, f->socket_cookie);
	p = put_u64(p, FLOW_FIELD_CGROUP_ID, f->cgroup_id);
	if (f->bits & FLOW_HAS_UUID) {
		p = put_tag(p, FLOW_FIELD_UUID, WIRE_LEN);
		*p++ = UUID_CHARS;
		uuid_put((char *)p, f->uuid);
		p += UUID_CHARS;
	}
	p = put_u64(p, FLOW_FIELD_AUTH_TYPE, f->auth_type);
	p = put_u64(p, FLOW_FIELD_TRACE_REASON, f->trace_reason);
	p = put_bytes(p, n->node_labels);
	p = put_ext_below(p, &x, FLOW_FIELD_IP_TRACE_ID); /* file, tunnel */
	if (f->bits & FLOW_HAS_IP_TRACE_ID) {
		uint8_t *body = put_tag(p, FLOW_FIELD_IP_TRACE_ID, WIRE_LEN) + 1;
		p = put_u64(body, 1, f->ip_trace_id);
		end_short(body, p);
	}
	p = put_bytes(p, n->emitter);
	p = put_ext_below(p, &x, FLOW_FIELD_SUMMARY); /* policies, policy_log, aggregate */
	if (summary.len)
		p = put_len(p, FLOW_FIELD_SUMMARY, summary);
	p = put_ext_below(p, &x, FLOW_FIELD_TYCHO); /* extensions */
	p = put_detail(p, f, n->reason, &x);
	return put_ext_below(p, &x, UINT32_MAX);
}

/* The Summary that a made flow gets, into @b: a fixed one, which is replaced if it is too small. */
static void put_summary(struct buf *b, const struct flow *f, const struct flow_dict *d,
			size_t names_bytes)
{
	if (f->bits & FLOW_HAS_SUMMARY)
		return;
	flow_summary_put(b, f, d);
	if (b->failed) { /* an L7 record with long names */
		*b = buf_init((size_t)f->ext_len * 2 + names_bytes + SUMMARY_FIXED_BYTES);
		flow_summary_put(b, f, d);
	}
}

/* Appends the flow with @before unused bytes in front of it. @return where the flow begins; NULL:
 * failed. */
static uint8_t *append_flow(struct buf *b, const struct flow *f, const struct flow_dict *d,
			    size_t before)
{
	if (f->bits & FLOW_WHOLE) {
		char *to = buf_reserve(b, before + f->ext_len);
		if (!to)
			return NULL;
		b->len += before;
		buf_put(b, f->ext, f->ext_len);
		return (uint8_t *)to + before;
	}
	const struct endpoint *src = flow_dict_get_endpoint(d, f->src_ep);
	const struct endpoint *dst = flow_dict_get_endpoint(d, f->dst_ep);
	const struct str src_ep[2] = { src ? src->wire : (struct str){ NULL, 0 } },
			 dst_ep[2] = { dst ? dst->wire : (struct str){ NULL, 0 } };
	const struct names n = names_of(f, d, src_ep, dst_ep);
	char space[SUMMARY_FIXED_BYTES];
	AUTO_BUF struct buf summary = buf_fixed(space, sizeof space);
	put_summary(&summary, f, d, n.bytes);
	char *to = buf_reserve(b, before + MEMBERS_MAX_BYTES + n.bytes + summary.len + f->ext_len);
	if (!to)
		return NULL;
	uint8_t *body = (uint8_t *)to + before;
	uint8_t *end = put_made(body, f, &n, buf_str(&summary), PIECES_ALL);
	b->len += (size_t)(end - (uint8_t *)to);
	return body;
}

void flow_encode(struct buf *b, const struct flow *f, const struct flow_dict *d)
{
	(void)append_flow(b, f, d, 0);
}

/* --- a made flow in pieces --- */

bool flow_has_dns(const struct flow *f)
{
	if (!(f->bits & FLOW_HAS_L7))
		return false;
	struct wire_reader r = wire_reader_of(str_n(f->ext, f->ext_len));
	for (struct wire_field x; wire_next(&r, &x);) {
		if (x.number != FLOW_FIELD_L7 || x.type != WIRE_LEN)
			continue;
		struct wire_reader l7 = wire_reader_of(x.bytes);
		for (struct wire_field y; wire_next(&l7, &y);)
			if (y.number == L7_FIELD_DNS)
				return true;
		if (l7.bad)
			return true;
	}
	return r.bad;
}

void flow_encode_core(struct buf *b, const struct flow *f, const struct flow_dict *d,
		      const struct str src_ep[2], const struct str dst_ep[2])
{
	const struct names n = names_of(f, d, src_ep, dst_ep);
	char space[SUMMARY_FIXED_BYTES];
	AUTO_BUF struct buf summary = buf_fixed(space, sizeof space);

	if (!flow_has_dns(f))
		put_summary(&summary, f, d, n.bytes);
	char *to = buf_reserve(b, MEMBERS_MAX_BYTES + n.bytes + summary.len + f->ext_len);
	if (!to)
		return;
	uint8_t *end = put_made((uint8_t *)to, f, &n, buf_str(&summary), PIECES_CORE);
	b->len += (size_t)(end - (uint8_t *)to);
}

void flow_encode_addresses(struct buf *b, const struct flow *f)
{
	uint8_t *to = (uint8_t *)buf_reserve(b, MEMBERS_MAX_BYTES), *p = to;

	if (!to)
		return;
	if (f->bits & FLOW_HAS_ETHERNET)
		p = put_ethernet(p, f);
	if (f->bits & FLOW_HAS_IP)
		p = put_ip(p, f);
	b->len += (size_t)(p - to);
	if (!f->ext_len)
		return;
	struct wire_reader r = wire_reader_of(str_n(f->ext, f->ext_len));
	for (struct wire_field x; wire_next(&r, &x);)
		if (x.number == FLOW_FIELD_TUNNEL)
			buf_str_put(b, x.raw);
}

void flow_encode_dns(struct buf *b, const struct flow *f, const struct flow_dict *d)
{
	if (!f->ext_len)
		return;
	bool has_dns = flow_has_dns(f);
	struct wire_reader r = wire_reader_of(str_n(f->ext, f->ext_len));
	for (struct wire_field x; wire_next(&r, &x);)
		if (is_dns_field(x.number, has_dns))
			buf_str_put(b, x.raw);
	if (has_dns && !(f->bits & FLOW_HAS_SUMMARY)) {
		char space[SUMMARY_FIXED_BYTES];
		AUTO_BUF struct buf summary = buf_fixed(space, sizeof space);
		put_summary(&summary, f, d, 2 * (size_t)f->ext_len);
		wire_put_str(b, FLOW_FIELD_SUMMARY, buf_str(&summary));
	}
}

/* --- a response --- */

/* Field @number with the flow. Its length is known last: most need two bytes for it, others are
 * moved. */
static void put_flow_field(struct buf *b, const struct flow *f, const struct flow_dict *d,
			   uint32_t number)
{
	wire_put_tag(b, number, WIRE_LEN);
	size_t start = b->len;
	uint8_t *body = append_flow(b, f, d, LENGTH_BYTES);
	if (!body)
		return;
	size_t len = b->len - start - LENGTH_BYTES;
	uint8_t head[10];
	size_t head_bytes = (size_t)(put_varint(head, len) - head);
	if (head_bytes != LENGTH_BYTES) {
		if (head_bytes > LENGTH_BYTES && !buf_reserve(b, head_bytes - LENGTH_BYTES))
			return;
		memmove(b->p + start + head_bytes, b->p + start + LENGTH_BYTES, len);
		b->len = start + head_bytes + len;
	}
	memcpy(b->p + start, head, head_bytes);
}

static struct str node_name_of(const struct flow *f, const struct flow_dict *d,
			       struct str otherwise)
{
	const struct node *node = flow_dict_get_node(d, f->node);
	struct str name;

	if (node && node->name.len)
		return node->name;
	if (f->kind == FLOW_KIND_FLOW && flow_is(f, FLOW_WHOLE) &&
	    wire_find(str_n(f->ext, f->ext_len), FLOW_FIELD_NODE_NAME, &name) && name.len)
		return name; /* the dictionary had no place for it */
	return otherwise;
}

void flow_encode_response(struct buf *b, const struct flow *f, const struct flow_dict *d,
			  struct str node)
{
	static const uint32_t field_of_kind[] = {
		[FLOW_KIND_FLOW] = RESPONSE_FIELD_FLOW,
		[FLOW_KIND_LOST] = RESPONSE_FIELD_LOST_EVENTS,
		[FLOW_KIND_AGENT] = RESPONSE_FIELD_AGENT_EVENT,
		[FLOW_KIND_DEBUG] = RESPONSE_FIELD_DEBUG_EVENT,
		[FLOW_KIND_NODE_STATUS] = RESPONSE_FIELD_NODE_STATUS,
	};
	if (f->kind == FLOW_KIND_FLOW)
		put_flow_field(b, f, d, RESPONSE_FIELD_FLOW);
	else
		wire_put_len(b, field_of_kind[f->kind], str_n(f->ext, f->ext_len));
	flow_encode_behind(b, f, d, node);
}

void flow_encode_behind(struct buf *b, const struct flow *f, const struct flow_dict *d,
			struct str node)
{
	struct timestamp t;
	uint8_t time[32];

	wire_put_str(b, RESPONSE_FIELD_NODE_NAME, node_name_of(f, d, node));
	if (flow_time(f, &t))
		buf_put(b, time, (size_t)(put_timestamp(time, RESPONSE_FIELD_TIME, t) - time));
}
