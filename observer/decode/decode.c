#include "observer/decode/decode.h"

#include "observer/decode/be.h"
#include "observer/decode/mptcp.h"

/* The layers that are taken apart; anything else ends the chain. */
enum layer {
	LAYER_NONE,
	LAYER_ETHERNET,
	LAYER_VLAN,
	LAYER_IPV4,
	LAYER_IPV6,
	LAYER_TCP,
	LAYER_UDP,
	LAYER_SCTP,
	LAYER_ICMP4,
	LAYER_ICMP6,
	LAYER_VRRP,
	LAYER_IGMP,
};

/* What is left of the packet, and how to read it. A layer's function consumes its header, names the
 * next layer and returns false if the packet is to be refused. */
struct chain {
	const uint8_t *p;
	size_t len; /* bytes at p */
	enum layer next;
	bool vlan; /* tags may be stepped over */
	bool tagged;
	struct flow *f;
	struct decode_payload payload;
};

enum {
	PACKET_BITS = FLOW_HAS_ETHERNET | FLOW_HAS_IP | FLOW_HAS_SRC_IP | FLOW_HAS_DST_IP |
		      FLOW_HAS_TCP_FLAGS,

	/* IEEE 802.3 / IANA EtherTypes. */
	TYPE_IPV4 = 0x0800,
	TYPE_BRIDGED = 0x6558, /* transparent Ethernet bridging: a frame within the frame */
	TYPE_VLAN = 0x8100,    /* 802.1Q */
	TYPE_SVLAN = 0x88a8,   /* 802.1ad */
	TYPE_IPV6 = 0x86dd,
	TYPE_RAW = 0xffff, /* the reference reads it as IPv4 */

	ETHERNET_BYTES = 14,
	VLAN_BYTES = 4,
	IPV4_BYTES = 20,
	IPV6_BYTES = 40,
	TCP_BYTES = 20,
	UDP_BYTES = 8,
	SCTP_BYTES = 12,
	ICMP4_BYTES = 8,
	ICMP6_BYTES = 4,
	VRRP_BYTES = 8,
	IGMP_BYTES = 8,

	IPV4_MORE_FRAGMENTS = 0x2000,
	IPV4_OFFSET_MASK = 0x1fff,
	IPV6_HOP_BY_HOP = 0,
	IPV6_FRAGMENT = 44,
	HOP_PAD1 = 0,     /* RFC 8200 §4.2 */
	HOP_JUMBO = 0xc2, /* RFC 2675 §2 */
};

static void skip(struct chain *c, size_t bytes)
{
	c->p += bytes;
	c->len -= bytes;
}

/* A length that a header gives ends the packet there, unless the capture ended before. */
static void limit(struct chain *c, size_t bytes)
{
	if (bytes < c->len)
		c->len = bytes;
}

static enum layer layer_of_type(uint16_t type, bool vlan)
{
	switch (type) {
	case TYPE_IPV4:
	case TYPE_RAW:
		return LAYER_IPV4;
	case TYPE_IPV6:
		return LAYER_IPV6;
	case TYPE_BRIDGED:
		return LAYER_ETHERNET;
	case TYPE_VLAN:
	case TYPE_SVLAN:
		return vlan ? LAYER_VLAN : LAYER_NONE;
	default: /* among them lengths, below 0x0600: what follows is LLC */
		return LAYER_NONE;
	}
}

/* One table for both IP versions: ICMPv6 in IPv4 is taken apart, as the reference does. IANA
 * protocol numbers. */
static enum layer layer_of_protocol(uint8_t protocol)
{
	static const uint8_t layers[256] = {
		[1] = LAYER_ICMP4,  [2] = LAYER_IGMP,   [4] = LAYER_IPV4,   [6] = LAYER_TCP,
		[17] = LAYER_UDP,   [41] = LAYER_IPV6,  [58] = LAYER_ICMP6, [94] = LAYER_IPV4,
		[112] = LAYER_VRRP, [132] = LAYER_SCTP,
	};
	return (enum layer)layers[protocol];
}

static bool take_ethernet(struct chain *c)
{
	if (c->len < ETHERNET_BYTES)
		return false;
	memcpy(c->f->dst_mac, c->p, 6);
	memcpy(c->f->src_mac, c->p + 6, 6);
	c->f->bits |= FLOW_HAS_ETHERNET;
	c->next = layer_of_type(be16(c->p + 12), c->vlan);
	skip(c, ETHERNET_BYTES);
	return true;
}

/* IEEE 802.1Q §9.6: priority (3 bits), drop eligible (1), id (12); then what type follows. */
static bool take_vlan(struct chain *c)
{
	if (c->len < VLAN_BYTES)
		return false;
	if (!c->tagged)
		c->payload.vlan_id = be16(c->p) & 0x0fff;
	c->tagged = true;
	c->next = layer_of_type(be16(c->p + 2), c->vlan);
	skip(c, VLAN_BYTES);
	return true;
}

/* RFC 791 §3.1: type 0 ends the list, type 1 is one byte, all others have a length; the reference
 * wants it above 2. */
static bool ip_options_are_sound(const uint8_t *p, size_t len)
{
	while (len && *p != 0) {
		size_t bytes = 1;

		if (*p != 1) {
			if (len < 2 || p[1] <= 2 || p[1] > len)
				return false;
			bytes = p[1];
		}
		p += bytes;
		len -= bytes;
	}
	return true;
}

static bool take_ipv4(struct chain *c)
{
	if (c->len < IPV4_BYTES)
		return false;

	const uint8_t *p = c->p;
	struct flow *f = c->f;
	size_t header = (size_t)(p[0] & 0x0f) * 4, total = be16(p + 2);
	uint16_t fragment = be16(p + 6);

	if (total == 0) /* segmentation offload: the length is not known yet */
		total = c->len;
	if (total < IPV4_BYTES || header < IPV4_BYTES || header > total || header > c->len)
		return false;
	if (header > IPV4_BYTES && !ip_options_are_sound(p + IPV4_BYTES, header - IPV4_BYTES))
		return false;
	ip_from_v4(f->src_ip, p + 12);
	ip_from_v4(f->dst_ip, p + 16);
	f->ip_version = 1;
	f->bits |= FLOW_HAS_IP | FLOW_HAS_SRC_IP | FLOW_HAS_DST_IP;
	c->payload.fragment = fragment & (IPV4_MORE_FRAGMENTS | IPV4_OFFSET_MASK);
	/* Even a first fragment is left closed: the next layer's lengths would not fit it. */
	c->next = c->payload.fragment ? LAYER_NONE : layer_of_protocol(p[9]);
	limit(c, total);
	skip(c, header);
	return true;
}

/* RFC 8200 §4.3. Consumes the header at c->p. An option may run over the header's end, not over the
 * capture's.
 * *@jumbo_bytes stays 0 without a jumbogram option. */
static bool take_hop_by_hop(struct chain *c, uint32_t *jumbo_bytes)
{
	if (c->len < 2)
		return false;

	size_t header = ((size_t)c->p[1] + 1) * 8;
	if (header > c->len)
		return false;
	for (size_t at = 2; at < header;) {
		if (c->len - at < 2)
			return false;

		const uint8_t *option = c->p + at;
		size_t bytes = option[0] == HOP_PAD1 ? 1 : (size_t)option[1] + 2;
		if (bytes > c->len - at)
			return false;
		if (option[0] == HOP_JUMBO && *jumbo_bytes == 0) {
			if (option[1] != 4 || be32(option + 2) <= UINT16_MAX)
				return false;
			*jumbo_bytes = be32(option + 2);
		}
		at += bytes;
	}
	skip(c, header);
	return true;
}

static bool take_ipv6(struct chain *c)
{
	if (c->len < IPV6_BYTES)
		return false;

	struct flow *f = c->f;
	size_t payload = be16(c->p + 4);
	uint8_t next = c->p[6];

	memcpy(f->src_ip, c->p + 8, 16);
	memcpy(f->dst_ip, c->p + 24, 16);
	f->ip_version = 2;
	f->bits |= FLOW_HAS_IP | FLOW_HAS_SRC_IP | FLOW_HAS_DST_IP;
	skip(c, IPV6_BYTES);

	uint32_t jumbo_bytes = 0;
	size_t before = c->len;
	if (next == IPV6_HOP_BY_HOP) {
		const uint8_t *header = c->p;

		if (!take_hop_by_hop(c, &jumbo_bytes))
			return false;
		next = header[0];
	}
	/* RFC 2675 §3: exactly one of the two lengths is given. */
	if ((payload == 0) != (jumbo_bytes != 0))
		return false;
	if (jumbo_bytes)
		limit(c, jumbo_bytes - (before - c->len));
	else
		/* The length counts the hop-by-hop header in. The reference forgets that and lets
		 * the packet end later by as much; but a length that ends inside that header would
		 * leave us less than nothing. */
		limit(c, payload > before - c->len ? payload - (before - c->len) : 0);
	c->payload.fragment = next == IPV6_FRAGMENT;
	c->next = layer_of_protocol(next);
	return true;
}

/* RFC 9293 §3.1: kind 0 ends the list, kind 1 is one byte, all others have a length that counts
 * itself. */
static bool tcp_options_are_sound(const uint8_t *p, size_t len)
{
	while (len && *p != 0) {
		size_t bytes = 1;

		if (*p == MPTCP_KIND) {
			if (len < 3 || !mptcp_is_sound(p, len))
				return false;
			bytes = p[1];
		} else if (*p != 1) {
			if (len < 2 || p[1] < 2 || p[1] > len)
				return false;
			bytes = p[1];
		}
		p += bytes;
		len -= bytes;
	}
	return true;
}

static void set_ports(struct chain *c, enum flow_l4 l4)
{
	c->f->l4 = (uint8_t)l4;
	c->f->src_port = be16(c->p);
	c->f->dst_port = be16(c->p + 2);
}

static bool take_tcp(struct chain *c)
{
	if (c->len < TCP_BYTES)
		return false;

	const uint8_t *p = c->p;
	size_t header = (size_t)(p[12] >> 4) * 4;
	if (header < TCP_BYTES || header > c->len)
		return false;
	if (header > TCP_BYTES && !tcp_options_are_sound(p + TCP_BYTES, header - TCP_BYTES))
		return false;
	set_ports(c, FLOW_L4_TCP);
	/* FIN is bit 0 and CWR bit 7 in the header and in FLOW_TCP_ alike; NS is the lowest bit of
	 * the byte before. */
	c->f->tcp_flags = (uint16_t)((p[12] & 1) << 8 | p[13]);
	c->f->bits |= FLOW_HAS_TCP_FLAGS;
	skip(c, header);
	c->payload.bytes = str_n(c->p, c->len);
	return true;
}

static bool take_udp(struct chain *c)
{
	if (c->len < UDP_BYTES)
		return false;

	size_t total = be16(c->p + 4);
	if (total > 0 && total < UDP_BYTES) /* 0: a jumbogram, RFC 2675 §4 */
		return false;
	set_ports(c, FLOW_L4_UDP);
	if (total)
		limit(c, total);
	skip(c, UDP_BYTES);
	c->payload.bytes = str_n(c->p, c->len);
	return true;
}

static bool take_sctp(struct chain *c)
{
	if (c->len < SCTP_BYTES)
		return false;
	set_ports(c, FLOW_L4_SCTP);
	return true;
}

static bool take_icmp(struct chain *c, enum flow_l4 l4, size_t header)
{
	if (c->len < header)
		return false;
	c->f->l4 = (uint8_t)l4;
	c->f->icmp_type = c->p[0];
	c->f->icmp_code = c->p[1];
	return true;
}

/* RFC 3768 §5.2 (version 2; the version nibble is not looked at). An address list that was cut off
 * is no fault: nobody asks for the addresses, and the reference refuses it only where its own
 * buffer happens to end. */
static bool take_vrrp(struct chain *c)
{
	if (c->len < VRRP_BYTES || (c->p[0] & 0x0f) != 1 || c->p[3] == 0)
		return false;
	c->f->l4 = FLOW_L4_VRRP;
	c->f->vrrp_type = c->p[0] & 0x0f;
	c->f->vrrp_vrid = c->p[1];
	c->f->vrrp_priority = c->p[2];
	return true;
}

/* RFC 2236 §2. Version 3 reports are read the same way: what they have in place of a group is shown
 * as one. */
static bool take_igmp(struct chain *c)
{
	if (c->len < IGMP_BYTES)
		return false;
	c->f->l4 = FLOW_L4_IGMP;
	c->f->igmp_type = c->p[0];
	memcpy(c->f->igmp_group, c->p + 4, 4);
	return true;
}

static bool take(struct chain *c, enum layer layer)
{
	switch (layer) {
	case LAYER_ETHERNET:
		return take_ethernet(c);
	case LAYER_VLAN:
		return take_vlan(c);
	case LAYER_IPV4:
		return take_ipv4(c);
	case LAYER_IPV6:
		return take_ipv6(c);
	case LAYER_TCP:
		return take_tcp(c);
	case LAYER_UDP:
		return take_udp(c);
	case LAYER_SCTP:
		return take_sctp(c);
	case LAYER_ICMP4:
		return take_icmp(c, FLOW_L4_ICMP4, ICMP4_BYTES);
	case LAYER_ICMP6:
		return take_icmp(c, FLOW_L4_ICMP6, ICMP6_BYTES);
	case LAYER_VRRP:
		return take_vrrp(c);
	case LAYER_IGMP:
		return take_igmp(c);
	case LAYER_NONE:
		break;
	}
	return true;
}

bool decode_packet(struct str packet, enum decode_start start, bool vlan, struct flow *f,
		   struct decode_payload *ret_payload)
{
	static const enum layer first[] = {
		[DECODE_ETHERNET] = LAYER_ETHERNET,
		[DECODE_IPV4] = LAYER_IPV4,
		[DECODE_IPV6] = LAYER_IPV6,
	};
	struct chain c = {
		.p = (const uint8_t *)packet.p,
		.len = packet.len,
		.next = first[start],
		.vlan = vlan,
		.f = f,
		.payload.bytes = STR(""),
	};

	f->bits &= ~(uint32_t)PACKET_BITS;
	f->ip_version = 0;
	f->l4 = FLOW_L4_NONE;
	while (c.next != LAYER_NONE && c.len) {
		enum layer layer = c.next;

		c.next = LAYER_NONE; /* transport layers are the last ones */
		if (!take(&c, layer))
			return false;
	}
	*ret_payload = c.payload;
	return true;
}
