#include "observer/cilium/tunnel.h"

#include "flow/fields.h"
#include "flow/wire.h"
#include "observer/decode/be.h"
#include "observer/decode/decode.h"

enum {
	VXLAN_BYTES = 8,
	GENEVE_BYTES = 8,
	OPTION_BYTES = 4,
	VXLAN_PORT = 4789,
	GENEVE_PORT = 6081,
	TYPE_BRIDGED = 0x6558,
	TYPE_IPV4 = 0x0800,
	TYPE_RAW = 0xffff, /* the reference reads it as IPv4 */
	TYPE_IPV6 = 0x86dd,
	MEMBERS = FLOW_HAS_ETHERNET | FLOW_HAS_IP | FLOW_HAS_SRC_IP | FLOW_HAS_DST_IP |
		  FLOW_HAS_TCP_FLAGS,
};

/* What a tunnel header says: where the inner packet lies, and what it is. */
struct opened {
	uint32_t vni;
	struct str inner;
	bool known; /* @start says how to read @inner */
	enum decode_start start;
};

static uint32_t be24(const uint8_t *p)
{
	return (uint32_t)p[0] << 16 | be16(p + 1);
}

static bool open_vxlan(struct str s, struct opened *ret)
{
	if (s.len < VXLAN_BYTES)
		return false;
	*ret = (struct opened){ .vni = be24((const uint8_t *)s.p + 4),
				.inner = str_from(s, VXLAN_BYTES),
				.known = true,
				.start = DECODE_ETHERNET };
	return true;
}

/* RFC 8926 §3.5: class (2 bytes), type, length of the data in words of 4 bytes. Steps over @bytes of
 * options; as in the reference, the last one may run over that length, not over the packet. */
static bool skip_options(struct str *s, size_t bytes)
{
	size_t at = 0;

	while (at < bytes) {
		if (s->len - at < OPTION_BYTES)
			return false;
		size_t option = (size_t)(s->p[at + 3] & 0x1f) * 4 + OPTION_BYTES;
		if (option > s->len - at)
			return false;
		at += option;
	}
	*s = str_from(*s, at);
	return true;
}

static bool open_geneve(struct str s, struct opened *ret)
{
	const uint8_t *p = (const uint8_t *)s.p;

	if (s.len < GENEVE_BYTES)
		return false;
	struct str inner = str_from(s, GENEVE_BYTES);
	if (!skip_options(&inner, (size_t)(p[0] & 0x3f) * 4))
		return false;
	*ret = (struct opened){ .vni = be24(p + 4), .inner = inner, .known = true };
	switch (be16(p + 2)) {
	case TYPE_BRIDGED:
		ret->start = DECODE_ETHERNET;
		break;
	case TYPE_IPV4:
	case TYPE_RAW:
		ret->start = DECODE_IPV4;
		break;
	case TYPE_IPV6:
		ret->start = DECODE_IPV6;
		break;
	default:
		ret->known = false;
	}
	return true;
}

static bool open_one(enum tunnel_protocol protocol, struct str s, struct opened *ret)
{
	return protocol == TUNNEL_VXLAN ? open_vxlan(s, ret) : open_geneve(s, ret);
}

/* The reference asks the destination port what follows, and the source port only where that one
 * says nothing; these are the ports that it knows (gopacket's layers/ports.go). */
static enum tunnel_protocol next_tunnel(const struct flow *f)
{
	const uint16_t ports[] = { f->dst_port, f->src_port };

	for (size_t i = 0; f->l4 == FLOW_L4_UDP && i < 2; i++)
		switch (ports[i]) {
		case VXLAN_PORT:
			return TUNNEL_VXLAN;
		case GENEVE_PORT:
			return TUNNEL_GENEVE;
		case 53:
		case 67:
		case 68:
		case 123:
		case 546:
		case 547:
		case 623:
		case 666:
		case 1000:
		case 1812:
		case 2123:
		case 2152:
		case 2222:
		case 3784:
		case 5060:
		case 6343:
		case 44818:
			return TUNNEL_NONE;
		default:
			break;
		}
	return TUNNEL_NONE;
}

static void clear_packet(struct flow *f)
{
	f->bits &= ~(uint32_t)MEMBERS;
	f->ip_version = 0;
	f->l4 = FLOW_L4_NONE;
}

/* What @inner has takes the place of what @f has. */
static void take_inner(struct flow *f, const struct flow *inner)
{
	if (inner->bits & FLOW_HAS_ETHERNET) {
		memcpy(f->src_mac, inner->src_mac, sizeof f->src_mac);
		memcpy(f->dst_mac, inner->dst_mac, sizeof f->dst_mac);
	}
	if (inner->bits & FLOW_HAS_IP) {
		memcpy(f->src_ip, inner->src_ip, sizeof f->src_ip);
		memcpy(f->dst_ip, inner->dst_ip, sizeof f->dst_ip);
		f->ip_version = inner->ip_version;
	}
	if (inner->l4) {
		f->l4 = inner->l4;
		memcpy(f->l4_bytes, inner->l4_bytes, sizeof f->l4_bytes);
		f->bits &= ~(uint32_t)FLOW_HAS_TCP_FLAGS;
	}
	f->bits |= inner->bits & MEMBERS;
}

static struct str header_name(enum tunnel_protocol protocol)
{
	return protocol == TUNNEL_VXLAN ? STR("VXLAN") : STR("Geneve");
}

/* The last layer of @f where its l4 is not; empty where it is. */
static struct str layer_name(const struct flow *f)
{
	return f->l4                ? STR("")
	       : f->ip_version == 1 ? STR("IPv4")
	       : f->ip_version == 2 ? STR("IPv6")
				    : STR("Ethernet");
}

bool tunnel_open(enum tunnel_protocol protocol, struct str payload, struct flow *f,
		 struct tunnel *ret)
{
	enum tunnel_protocol at = protocol;
	struct opened opened;

	if (f->l4 != FLOW_L4_UDP)
		return false;
	*ret = (struct tunnel){ .protocol = protocol,
				.ip_version = f->ip_version,
				.src_port = f->src_port,
				.dst_port = f->dst_port };
	memcpy(ret->src_ip, f->src_ip, sizeof ret->src_ip);
	memcpy(ret->dst_ip, f->dst_ip, sizeof ret->dst_ip);
	clear_packet(f);
	/* The flagged header must be there, even if nothing is; a nested one begins with a byte. */
	do {
		struct flow inner = { 0 };
		struct decode_payload rest = { 0 };

		if (!open_one(at, payload, &opened))
			return false;
		if (at == protocol)
			ret->vni = opened.vni;
		if (f->l4)
			ret->last_layer = header_name(at);
		if (!opened.known || !opened.inner.len)
			break;
		if (!decode_packet(opened.inner, opened.start, false, &inner, &rest))
			return false;
		if (f->l4)
			ret->last_layer = layer_name(&inner);
		take_inner(f, &inner);
		at = next_tunnel(&inner);
		payload = rest.bytes;
	} while (at != TUNNEL_NONE && payload.len);
	return true;
}

static void put_ip(struct buf *b, uint32_t number, const uint8_t ip[16])
{
	char tmp[FLOW_IP_TEXT_BYTES];

	wire_put_str(b, number, ip_text(ip, tmp));
}

void tunnel_put(struct buf *ext, const struct tunnel *t)
{
	size_t tunnel = wire_begin(ext, FLOW_FIELD_TUNNEL);

	wire_put_u64(ext, 1, t->protocol);
	size_t mark = wire_begin(ext, 2); /* flow.IP */
	put_ip(ext, 1, t->src_ip);
	put_ip(ext, 2, t->dst_ip);
	wire_put_u64(ext, 3, t->ip_version);
	wire_end(ext, mark);
	mark = wire_begin(ext, 3); /* flow.Layer4 */
	size_t udp = wire_begin(ext, FLOW_L4_UDP);
	wire_put_u64(ext, 1, t->src_port);
	wire_put_u64(ext, 2, t->dst_port);
	wire_end(ext, udp);
	wire_end(ext, mark);
	wire_put_u64(ext, 4, t->vni);
	wire_end(ext, tunnel);
}
