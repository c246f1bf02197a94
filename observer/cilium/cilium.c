#include "observer/cilium/cilium.h"

#include <arpa/inet.h>
#include <stdio.h>

#include "flow/fields.h"
#include "flow/flow.pb-c.h"
#include "flow/wire.h"
#include "observer/cilium/agent_event.h"
#include "observer/cilium/debug.h"
#include "observer/cilium/l7.h"
#include "observer/cilium/tunnel.h"
#include "observer/decode/decode.h"
#include "observer/name/said.h"

enum {
	/* raw observation points and reasons of traces, reference 3.8 */
	POINT_TO_ENDPOINT = 0,
	POINT_TO_PROXY = 1,
	REASON_REPLY = 2,
	REASON_UNKNOWN = 5,
	REASON_SRV6_ENCAP = 6,
	REASON_SRV6_DECAP = 7,
	REASON_MASK = 0x7f,
	REASON_ENCRYPTED = 0x80,

	/* flags of drops and traces, reference 3.3 */
	FLAG_IPV6 = 1 << 0,
	FLAG_L3 = 1 << 1,
	FLAG_VXLAN = 1 << 2,
	FLAG_GENEVE = 1 << 3,

	/* flags of policy verdicts, reference 3.4 */
	VERDICT_DIRECTION = 3,
	VERDICT_INGRESS = 1,
	VERDICT_IPV6 = 1 << 2,
	VERDICT_MATCH_SHIFT = 3,
	VERDICT_MATCH = 7,
	VERDICT_AUDITED = 1 << 6,
	VERDICT_L3 = 1 << 7,

	SOCK_IPV6 = 1 << 0,
};

struct cilium {
	struct cilium_config config;
	enum cilium_release release; /* what is read now; see learn_release */
	struct l7 *l7;
	struct gob_types types; /* of notifications */
	struct buf ext;
	char ext_bytes[CILIUM_EXT_BYTES];
};

enum err_code cilium_new(const struct cilium_config *config, struct cilium **ret, struct err *e)
{
	AUTO(cilium_free) struct cilium *c = calloc(1, sizeof *c);

	if (!c)
		return err_set(e, ERR_NOMEM, "decoder of Cilium's events");
	c->config = *config;
	c->release = config->release == CILIUM_RELEASE_AUTO ? CILIUM_RELEASE_1_19 : config->release;
	const struct l7_config l7 = { .dict = config->dict,
				      .names = config->names,
				      .redact = config->redact,
				      .learn_dns = config->learn_dns };
	enum err_code code = l7_new(&l7, &c->l7, e);
	if (code != ERR_OK)
		return code;
	c->ext = buf_fixed(c->ext_bytes, sizeof c->ext_bytes);
	*ret = TAKE(c);
	return ERR_OK;
}

struct buf *cilium_ext(struct cilium *c)
{
	buf_reset(&c->ext);
	return &c->ext;
}

void cilium_free(struct cilium *c)
{
	if (!c)
		return;
	l7_free(c->l7);
	free(c);
}

/* A datapath message on its way to a flow. */
struct event {
	struct cilium *c;
	const struct cilium_layout *layout;
	const uint8_t *p; /* the fixed part */
	struct str packet;
	uint8_t subtype;
	uint16_t source; /* endpoint id */
	struct mono_ns now;
	struct flow *f;
	uint32_t src_identity, dst_identity;
	struct tunnel tunnel;
	bool is_translated; /* the message has an address from before translation */
};

/* The version numbers of drops and traces tell the release whose other messages have none: 1.19
 * raised both. */
static void learn_release(struct cilium *c, const struct cilium_layout *l)
{
	if (c->config.release != CILIUM_RELEASE_AUTO)
		return;
	if (l->type == CILIUM_DROP)
		c->release = l->version >= 3 ? CILIUM_RELEASE_1_19 : CILIUM_RELEASE_1_18;
	else if (l->type == CILIUM_TRACE)
		c->release = l->version >= 2 ? CILIUM_RELEASE_1_19 : CILIUM_RELEASE_1_18;
}

/* And so does the length of a policy verdict: fixed part, captured packet, at most 7 bytes of
 * padding (reference 1). A length that fits neither layout tells nothing. */
static void learn_from_length(struct cilium *c, struct str sample)
{
	enum { CAPTURED_AT = 12, OLD_BYTES = 32, NEW_BYTES = 40, END_BYTES = 48 };
	uint16_t captured;

	if (c->config.release != CILIUM_RELEASE_AUTO || sample.len < OLD_BYTES ||
	    sample.p[0] != CILIUM_POLICY_VERDICT)
		return;
	memcpy(&captured, sample.p + CAPTURED_AT, sizeof captured);
	/* wraps round where less than the packet is there: that fits neither */
	size_t fixed = sample.len - captured;
	if (fixed >= OLD_BYTES && fixed < NEW_BYTES)
		c->release = CILIUM_RELEASE_1_18;
	else if (fixed >= NEW_BYTES && fixed < END_BYTES)
		c->release = CILIUM_RELEASE_1_19;
}

static uint8_t u8(const struct event *ev, enum cilium_field field)
{
	return cilium_u8(ev->layout, ev->p, field);
}
static uint32_t u32(const struct event *ev, enum cilium_field field)
{
	return cilium_u32(ev->layout, ev->p, field);
}

static void set_event_type(const struct event *ev, int32_t sub_type)
{
	ev->f->event_type = ev->layout->type;
	ev->f->event_sub_type = sub_type;
	ev->f->bits |= FLOW_HAS_EVENT_TYPE;
}

static void set_interface(const struct event *ev, uint32_t ifindex)
{
	const struct cilium_config *config = &ev->c->config;

	ev->f->ifindex = ifindex;
	ev->f->bits |= FLOW_HAS_IFACE;
	if (config->link_name)
		(void)config->link_name(config->link_ctx, ifindex, ev->now, ev->f->ifname);
}

static void set_ip_trace_id(const struct event *ev)
{
	ev->f->ip_trace_id = cilium_u64(ev->layout, ev->p, CILIUM_IP_TRACE_ID);
	if (ev->f->ip_trace_id)
		ev->f->bits |= FLOW_HAS_IP_TRACE_ID;
}

/* --- packets ------------------------------------------------------------------------------ */

/* Fills the packet's members. False: refused. */
static bool read_packet(struct event *ev, bool l3, bool ipv6, enum tunnel_protocol overlay)
{
	struct decode_payload payload;
	enum decode_start start = !l3 ? DECODE_ETHERNET : ipv6 ? DECODE_IPV6 : DECODE_IPV4;

	if (!ev->packet.len)
		return true;
	if (!decode_packet(ev->packet, start, false, ev->f, &payload))
		return false;
	if (overlay == TUNNEL_NONE)
		name_ahead(ev->c->config.names, ev->f);
	return overlay == TUNNEL_NONE || tunnel_open(overlay, payload.bytes, ev->f, &ev->tunnel);
}

static enum tunnel_protocol overlay_of(uint8_t flags)
{
	return flags & FLAG_VXLAN    ? TUNNEL_VXLAN
	       : flags & FLAG_GENEVE ? TUNNEL_GENEVE
				     : TUNNEL_NONE;
}

/* The address before translation, as 16 bytes; false if the message has none. */
static bool original_ip(const struct event *ev, uint8_t ret[16])
{
	static const uint8_t none[16], none_v4[16] = { [10] = 0xff, [11] = 0xff };
	const uint8_t *ip = ev->p + ev->layout->at[CILIUM_ORIG_IP];

	if (!ev->layout->at[CILIUM_ORIG_IP])
		return false;
	if (u8(ev, CILIUM_FLAGS) & FLAG_IPV6)
		memcpy(ret, ip, 16);
	else
		ip_from_v4(ret, ip);
	return memcmp(ret, none, 16) != 0 && memcmp(ret, none_v4, 16) != 0;
}

/* --- message types ------------------------------------------------------------------------ */

static bool read_drop(struct event *ev)
{
	uint8_t flags = u8(ev, CILIUM_FLAGS);

	if (!read_packet(ev, flags & FLAG_L3, flags & FLAG_IPV6, overlay_of(flags)))
		return false;
	ev->f->verdict = FLOW__VERDICT__DROPPED;
	ev->f->drop_reason = ev->f->drop_desc = ev->subtype;
	set_event_type(ev, ev->subtype);
	set_ip_trace_id(ev);
	ev->src_identity = u32(ev, CILIUM_SRC_LABEL);
	ev->dst_identity = u32(ev, CILIUM_DST_LABEL);
	return true;
}

static bool read_trace(struct event *ev)
{
	struct flow *f = ev->f;
	uint8_t flags = u8(ev, CILIUM_FLAGS), reason = u8(ev, CILIUM_REASON) & REASON_MASK;
	uint8_t original[16];

	if (!read_packet(ev, flags & FLAG_L3, flags & FLAG_IPV6, overlay_of(flags)))
		return false;
	f->verdict = FLOW__VERDICT__FORWARDED;
	set_event_type(ev, ev->subtype);
	f->trace_point = ev->subtype == POINT_TO_ENDPOINT
				 ? FLOW__TRACE_OBSERVATION_POINT__TO_ENDPOINT
				 : ev->subtype;
	f->trace_reason = reason < REASON_UNKNOWN    ? reason + 1
			  : reason == REASON_UNKNOWN ? 0
						     : reason;
	if (reason != REASON_UNKNOWN && reason != REASON_SRV6_ENCAP && reason != REASON_SRV6_DECAP)
		f->is_reply = reason == REASON_REPLY ? FLOW_REPLY_TRUE : FLOW_REPLY_FALSE;
	if (u32(ev, CILIUM_IFINDEX))
		set_interface(ev, u32(ev, CILIUM_IFINDEX));
	if (ev->subtype == POINT_TO_PROXY)
		f->proxy_port = cilium_u16(ev->layout, ev->p, CILIUM_DST_ID);
	set_ip_trace_id(ev);
	ev->src_identity = u32(ev, CILIUM_SRC_LABEL);
	ev->dst_identity = u32(ev, CILIUM_DST_LABEL);
	ev->is_translated = original_ip(ev, original);
	if (!flow_is(f, FLOW_HAS_IP))
		return true;
	if (u8(ev, CILIUM_REASON) & REASON_ENCRYPTED)
		f->bits |= FLOW_ENCRYPTED;
	if (ev->is_translated && memcmp(original, f->src_ip, 16) != 0) {
		memcpy(f->src_xlated, f->src_ip, 16);
		memcpy(f->src_ip, original, 16);
		f->bits |= FLOW_HAS_XLATED;
	}
	return true;
}

static bool read_policy_verdict(struct event *ev)
{
	struct flow *f = ev->f;
	uint8_t flags = u8(ev, CILIUM_FLAGS);
	int32_t verdict = (int32_t)u32(ev, CILIUM_VERDICT);
	bool ingress = (flags & VERDICT_DIRECTION) == VERDICT_INGRESS;

	if (!read_packet(ev, flags & VERDICT_L3, flags & VERDICT_IPV6, TUNNEL_NONE))
		return false;
	if (verdict < 0) {
		f->verdict = FLOW__VERDICT__DROPPED;
		f->drop_reason = f->drop_desc = -(uint32_t)verdict;
	} else {
		f->verdict = verdict > 0               ? FLOW__VERDICT__REDIRECTED
			     : flags & VERDICT_AUDITED ? FLOW__VERDICT__AUDIT
						       : FLOW__VERDICT__FORWARDED;
		f->is_reply = FLOW_REPLY_FALSE;
	}
	set_event_type(ev, ev->subtype); /* the datapath writes 0 */
	f->auth_type = u8(ev, CILIUM_AUTH_TYPE);
	f->policy_match_type = flags >> VERDICT_MATCH_SHIFT & VERDICT_MATCH;
	f->direction = ingress ? FLOW__TRAFFIC_DIRECTION__INGRESS : FLOW__TRAFFIC_DIRECTION__EGRESS;
	*(ingress ? &ev->src_identity : &ev->dst_identity) = u32(ev, CILIUM_REMOTE);
	return true;
}

static bool read_capture(struct event *ev)
{
	uint32_t arg = u32(ev, CILIUM_ARG1);

	set_event_type(ev, ev->subtype);
	ev->f->capture_point = ev->subtype;
	switch (ev->subtype) {
	case FLOW__DEBUG_CAPTURE_POINT__DBG_CAPTURE_DELIVERY:
	case FLOW__DEBUG_CAPTURE_POINT__DBG_CAPTURE_FROM_LB:
	case FLOW__DEBUG_CAPTURE_POINT__DBG_CAPTURE_AFTER_V46:
	case FLOW__DEBUG_CAPTURE_POINT__DBG_CAPTURE_AFTER_V64:
	case FLOW__DEBUG_CAPTURE_POINT__DBG_CAPTURE_SNAT_PRE:
	case FLOW__DEBUG_CAPTURE_POINT__DBG_CAPTURE_SNAT_POST:
		if (arg)
			set_interface(ev, arg);
		break;
	case FLOW__DEBUG_CAPTURE_POINT__DBG_CAPTURE_PROXY_PRE:
	case FLOW__DEBUG_CAPTURE_POINT__DBG_CAPTURE_PROXY_POST:
		ev->f->proxy_port = ntohl(arg);
		break;
	default:
		break;
	}
	return read_packet(ev, false, false, TUNNEL_NONE);
}

/* --- what depends on names ---------------------------------------------------------------- */

/* @src_id: Endpoint.ID of the source, 0 if it does not live here. */
static void set_direction(const struct event *ev, uint32_t src_id)
{
	uint8_t reason = u8(ev, CILIUM_REASON) & REASON_MASK;
	bool egress = false;

	if (!ev->source)
		return;
	if (ev->layout->type == CILIUM_DROP) {
		egress = ev->source == src_id;
	} else if (ev->layout->type == CILIUM_TRACE && reason != REASON_UNKNOWN) {
		/* the reference compares 16 bits here */
		bool sent_here = ev->source == (uint16_t)src_id;
		egress = sent_here != (reason == REASON_REPLY) || ev->is_translated;
	} else {
		return;
	}
	ev->f->direction =
		egress ? FLOW__TRAFFIC_DIRECTION__EGRESS : FLOW__TRAFFIC_DIRECTION__INGRESS;
}

/* Names of datapath source files, reference 3.7. */
static struct str file_name(uint8_t id, char tmp[16])
{
	static const char *const programs[] = {
		NULL,        "bpf_host.c", "bpf_lxc.c",     "bpf_overlay.c",
		"bpf_xdp.c", "bpf_sock.c", "bpf_network.c", "bpf_wireguard.c"
	};
	static const char *const headers[] = { "drop.h",
					       "srv6.h",
					       "icmp6.h",
					       "nodeport.h",
					       "lb.h",
					       "mcast.h",
					       "ipv4.h",
					       "conntrack.h",
					       "local_delivery.h",
					       "trace.h",
					       "encap.h",
					       "host_firewall.h",
					       "nodeport_egress.h",
					       "ipv6.h",
					       "classifiers.h" };
	enum { FIRST_HEADER = 101 };

	if (id > 0 && id < ARRAY_LEN(programs))
		return str_of(programs[id]);
	if (id >= FIRST_HEADER && id < FIRST_HEADER + ARRAY_LEN(headers))
		return str_of(headers[id - FIRST_HEADER]);
	return str_n(tmp, (size_t)snprintf(tmp, 16, "unknown(%u)", id));
}

static void put_file(const struct event *ev, struct buf *ext)
{
	char tmp[16];
	size_t mark = wire_begin(ext, FLOW_FIELD_FILE);

	wire_put_str(ext, 1, file_name(u8(ev, CILIUM_FILE), tmp));
	wire_put_u64(ext, 2, cilium_u16(ev->layout, ev->p, CILIUM_LINE));
	wire_end(ext, mark);
}

/* --- socket traces ------------------------------------------------------------------------ */

static enum cilium_outcome read_sock(struct event *ev, struct buf *ext)
{
	static const uint8_t verdicts[] = { 0, FLOW__VERDICT__TRACED, FLOW__VERDICT__TRANSLATED,
					    FLOW__VERDICT__TRACED, FLOW__VERDICT__TRANSLATED };
	static const uint8_t protocols[] = { FLOW_L4_NONE, FLOW_L4_TCP, FLOW_L4_UDP };
	struct flow *f = ev->f;
	const struct cilium_layout *l = ev->layout;
	bool ipv6 = u8(ev, CILIUM_FLAGS) & SOCK_IPV6;
	uint8_t protocol = u8(ev, CILIUM_L4_PROTO), pod[16], peer[16];
	uint16_t peer_port = cilium_u16(l, ev->p, CILIUM_DST_PORT);

	f->cgroup_id = cilium_u64(l, ev->p, CILIUM_CGROUP);
	bool known = name_cgroup_ip(ev->c->config.names, f->cgroup_id, ipv6, pod);
	if (!known && !ev->c->config.keep_unknown_cgroups)
		return CILIUM_SKIPPED;
	if (ipv6)
		memcpy(peer, ev->p + l->at[CILIUM_DST_IP], 16);
	else
		ip_from_v4(peer, ev->p + l->at[CILIUM_DST_IP]);
	f->type = FLOW__FLOW_TYPE__SOCK;
	set_event_type(ev, ev->subtype);
	f->sock_point = ev->subtype;
	f->socket_cookie = cilium_u64(l, ev->p, CILIUM_COOKIE);
	f->verdict = ev->subtype < ARRAY_LEN(verdicts) ? verdicts[ev->subtype] : 0;
	f->l4 = protocol < ARRAY_LEN(protocols) ? protocols[protocol] : FLOW_L4_NONE;
	f->ip_version = ipv6 ? FLOW__IPVERSION__IPv6 : FLOW__IPVERSION__IPv4;
	bool reverse =
		ev->subtype == FLOW__SOCKET_TRANSLATION_POINT__SOCK_XLATE_POINT_PRE_DIRECTION_REV ||
		ev->subtype == FLOW__SOCKET_TRANSLATION_POINT__SOCK_XLATE_POINT_POST_DIRECTION_REV;
	uint32_t pod_bit = reverse ? FLOW_HAS_DST_IP : FLOW_HAS_SRC_IP;
	f->bits |= FLOW_HAS_IP | FLOW_HAS_SRC_IP | FLOW_HAS_DST_IP;
	if (!known)
		f->bits &= ~pod_bit;
	else
		memcpy(reverse ? f->dst_ip : f->src_ip, pod, 16);
	memcpy(reverse ? f->src_ip : f->dst_ip, peer, 16);
	*(reverse ? &f->src_port : &f->dst_port) = peer_port;
	/* A service is found by its port whatever the protocol; a port without a protocol is not
	 * shown. */
	uint8_t l4 = f->l4;
	f->l4 = FLOW_L4_TCP;
	(void)name_flow_said(ev->c->config.names, f, 0, 0, ext);
	f->l4 = l4;
	if (!l4)
		memset(f->l4_bytes, 0, sizeof f->l4_bytes);
	return CILIUM_TAKEN;
}

/* --- debug messages ----------------------------------------------------------------------- */

/* google.protobuf.UInt32Value and its like. */
static void put_value(struct buf *b, uint32_t number, uint64_t v)
{
	size_t mark = wire_begin(b, number);

	wire_put_u64(b, 1, v);
	wire_end(b, mark);
}

/* flow.Endpoint without workloads: so the reference tells who a debug message comes from. */
static void put_source(struct buf *b, const struct endpoint *ep, uint32_t id)
{
	size_t mark = wire_begin(b, 2);

	wire_put_u64(b, 1, id);
	if (ep) {
		bool hides = said_is_node_local(ep->identity);
		size_t shown = hides ? said_longest_cidr(ep->labels, ep->label_count) : SIZE_MAX;

		wire_put_u64(b, 2, ep->identity);
		wire_put_str(b, 3, ep->namespace_);
		for (size_t i = 0; i < ep->label_count; i++)
			if (!hides || i == shown || !said_is_cidr(ep->labels[i]))
				wire_put_len(b, 4, ep->labels[i]);
		wire_put_str(b, 5, ep->pod);
		wire_put_str(b, 7, ep->cluster);
	}
	wire_end(b, mark);
}

static enum cilium_outcome read_debug(const struct event *ev, int32_t cpu, struct buf *ext)
{
	char text[256];
	struct buf message = buf_fixed(text, sizeof text);
	uint32_t arg1 = u32(ev, CILIUM_ARG1), arg2 = u32(ev, CILIUM_ARG2);
	uint32_t arg3 = u32(ev, CILIUM_ARG3);

	ev->f->kind = FLOW_KIND_DEBUG;
	ev->f->node = name_node(ev->c->config.names);
	debug_text_put(&message, ev->subtype, arg1, arg2, arg3);
	wire_put_u64(ext, 1, ev->subtype);
	if (ev->source)
		put_source(ext, name_local(ev->c->config.names, ev->source), ev->source);
	put_value(ext, 3, u32(ev, CILIUM_HASH));
	put_value(ext, 4, arg1);
	put_value(ext, 5, arg2);
	put_value(ext, 6, arg3);
	wire_put_str(ext, 7, buf_str(&message));
	if (cpu >= 0)
		put_value(ext, 8, (uint32_t)cpu);
	return CILIUM_TAKEN;
}

/* --- all of them -------------------------------------------------------------------------- */

static enum cilium_outcome datapath_event(struct cilium *c, const struct cilium_sample *in,
					  struct flow *f, struct buf *ext)
{
	static bool (*const read[])(struct event *) = {
		[CILIUM_DROP] = read_drop,
		[CILIUM_CAPTURE] = read_capture,
		[CILIUM_TRACE] = read_trace,
		[CILIUM_POLICY_VERDICT] = read_policy_verdict,
	};

	learn_from_length(c, in->bytes);
	const struct cilium_layout *l = cilium_layout_of(in->bytes, c->release);

	if (!l)
		return CILIUM_REFUSED;
	learn_release(c, l);
	struct event ev = {
		.c = c,
		.layout = l,
		.p = (const uint8_t *)in->bytes.p,
		.packet = str_from(in->bytes, l->bytes),
		.subtype = (uint8_t)in->bytes.p[1],
		.now = in->now,
		.f = f,
		.tunnel.protocol = TUNNEL_NONE,
	};
	if (l->type == CILIUM_TRACE_SOCK)
		return read_sock(&ev, ext);
	memcpy(&ev.source, ev.p + 2, sizeof ev.source);
	if (l->type == CILIUM_DEBUG)
		return read_debug(&ev, in->cpu, ext);
	f->type = FLOW__FLOW_TYPE__L3_L4;
	if (!read[l->type](&ev))
		return CILIUM_REFUSED;
	uint32_t src_id = name_flow_said(c->config.names, f, ev.src_identity, ev.dst_identity, ext);
	set_direction(&ev, src_id);
	if (l->type == CILIUM_DROP)
		put_file(&ev, ext);
	if (ev.tunnel.protocol != TUNNEL_NONE)
		tunnel_put(ext, &ev.tunnel);
	if (ev.tunnel.last_layer.len) {
		wire_put_str(ext, FLOW_FIELD_SUMMARY, ev.tunnel.last_layer);
		f->bits |= FLOW_HAS_SUMMARY;
	}
	return CILIUM_TAKEN;
}

enum cilium_outcome cilium_event(struct cilium *c, const struct cilium_sample *in, struct flow *f,
				 struct buf *ext)
{
	struct str rest = str_from(in->bytes, 1);
	bool taken;

	f->kind = FLOW_KIND_FLOW;
	switch (in->monitor && in->bytes.len ? (uint8_t)in->bytes.p[0] : 0) {
	case CILIUM_ACCESS_LOG:
		taken = l7_record(c->l7, rest, f, ext);
		break;
	case CILIUM_AGENT:
		f->kind = FLOW_KIND_AGENT;
		f->node = name_node(c->config.names);
		taken = agent_event_put(rest, &c->types, ext);
		break;
	default:
		return datapath_event(c, in, f, ext);
	}
	return taken ? CILIUM_TAKEN : CILIUM_REFUSED;
}
