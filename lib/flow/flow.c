#include "flow/flow.h"

#include "flow/fields.h"
#include "flow/text.h"
#include "flow/wire.h"

static struct wire_reader ext_reader(const struct flow *f)
{
	return wire_reader_of(str_n(f->ext, f->ext_len));
}

/* The text at ext's field @outer, sub-field @inner, or @outer itself if @inner is 0. As protobuf
 * merges: the last one counts. */
static struct str ext_text(const struct flow *f, uint32_t outer, uint32_t inner)
{
	struct str text = { "", 0 };
	struct wire_reader r = ext_reader(f);

	for (struct wire_field x; wire_next(&r, &x);) {
		if (x.number != outer || x.type != WIRE_LEN)
			continue;
		if (!inner) {
			text = x.bytes;
			continue;
		}
		struct wire_reader sub = wire_reader_of(x.bytes);
		for (struct wire_field y; wire_next(&sub, &y);)
			if (y.number == inner && y.type == WIRE_LEN)
				text = y.bytes;
	}
	return text;
}

int32_t flow_enum(const struct flow *f, uint32_t field, uint8_t member)
{
	uint64_t v = member;

	if (member == UINT8_MAX && flow_is(f, FLOW_WHOLE)) {
		struct wire_reader r = ext_reader(f);
		for (struct wire_field x; wire_next(&r, &x);)
			if (x.number == field && x.type == WIRE_VARINT)
				v = x.value;
	}
	return (int32_t)(uint32_t)v;
}

void flow_drop_ext(struct flow *f)
{
	static const struct {
		uint32_t odd, claims; /* what the member holds is not what the message says */
	} odds[] = {
		{ FLOW_ODD_TIME, FLOW_HAS_TIME },
		{ FLOW_ODD_IP, FLOW_HAS_SRC_IP | FLOW_HAS_DST_IP | FLOW_HAS_XLATED },
		{ FLOW_ODD_MAC, FLOW_HAS_ETHERNET },
		{ FLOW_ODD_UUID, FLOW_HAS_UUID },
		{ FLOW_ODD_IFACE, FLOW_HAS_IFACE },
	};
	uint32_t gone = FLOW_WHOLE | FLOW_HAS_L7 | FLOW_HAS_NAMES | FLOW_HAS_POLICIES |
			FLOW_HAS_SUMMARY | FLOW_HAS_TRACE_CONTEXT;

	for (size_t i = 0; i < ARRAY_LEN(odds); i++)
		if (flow_is(f, odds[i].odd))
			gone |= odds[i].odd | odds[i].claims;
	if (flow_is(f, FLOW_ODD_L4)) {
		gone |= FLOW_ODD_L4 | FLOW_HAS_TCP_FLAGS;
		f->l4 = FLOW_L4_NONE;
		memset(f->l4_bytes, 0, sizeof f->l4_bytes);
	}
	f->bits &= ~gone;
	f->ext = NULL;
	f->ext_len = 0;
}

struct str flow_ip_text(const struct flow *f, enum flow_side side, char tmp[FLOW_IP_TEXT_BYTES])
{
	static const struct {
		uint32_t has, field;
	} sides[] = {
		[FLOW_SRC] = { FLOW_HAS_SRC_IP, 1 },
		[FLOW_DST] = { FLOW_HAS_DST_IP, 2 },
		[FLOW_XLATED] = { FLOW_HAS_XLATED, 5 },
	};

	if (!flow_is(f, sides[side].has))
		return (struct str){ "", 0 };
	if (flow_is(f, FLOW_ODD_IP))
		return ext_text(f, FLOW_FIELD_IP, sides[side].field);
	return ip_text(side == FLOW_SRC   ? f->src_ip
		       : side == FLOW_DST ? f->dst_ip
					  : f->src_xlated,
		       tmp);
}

struct str flow_mac_text(const struct flow *f, enum flow_side side, char tmp[FLOW_MAC_TEXT_BYTES])
{
	if (!flow_is(f, FLOW_HAS_ETHERNET) || side == FLOW_XLATED)
		return (struct str){ "", 0 };
	if (flow_is(f, FLOW_ODD_MAC))
		return ext_text(f, FLOW_FIELD_ETHERNET, side == FLOW_SRC ? 1 : 2);
	mac_put(tmp, side == FLOW_SRC ? f->src_mac : f->dst_mac);
	tmp[MAC_CHARS] = 0;
	return str_n(tmp, MAC_CHARS);
}

struct str flow_uuid_text(const struct flow *f, char tmp[FLOW_UUID_TEXT_BYTES])
{
	if (!flow_is(f, FLOW_HAS_UUID))
		return (struct str){ "", 0 };
	if (flow_is(f, FLOW_ODD_UUID))
		return ext_text(f, FLOW_FIELD_UUID, 0);
	uuid_put(tmp, f->uuid);
	tmp[UUID_CHARS] = 0;
	return str_n(tmp, UUID_CHARS);
}

bool flow_time(const struct flow *f, struct timestamp *ret)
{
	if (!flow_is(f, FLOW_HAS_TIME))
		return false;
	if (!flow_is(f, FLOW_ODD_TIME)) {
		*ret = timestamp_of(f->time);
		return true;
	}
	struct timestamp t = { 0 };
	struct wire_reader r = ext_reader(f);
	for (struct wire_field x; wire_next(&r, &x);)
		if (x.number == FLOW_FIELD_TIME && x.type == WIRE_LEN)
			(void)wire_timestamp(x.bytes, &t);
	*ret = t;
	return true;
}

/* The number at ext's l4, member @f->l4, field @number: for ports that the members cannot hold. */
static uint32_t ext_l4_number(const struct flow *f, uint32_t number)
{
	uint32_t v = 0;
	struct wire_reader r = ext_reader(f);

	for (struct wire_field x; wire_next(&r, &x);) {
		if (x.number != FLOW_FIELD_L4 || x.type != WIRE_LEN)
			continue;
		struct wire_reader l4 = wire_reader_of(x.bytes);
		for (struct wire_field y; wire_next(&l4, &y);) {
			if (y.type != WIRE_LEN || y.number > FLOW_L4_IGMP)
				continue;
			if (y.number != f->l4) /* a later member of the oneof takes it back */
				v = 0;
			struct wire_reader ports = wire_reader_of(y.bytes);
			for (struct wire_field z; y.number == f->l4 && wire_next(&ports, &z);)
				if (z.number == number && z.type == WIRE_VARINT)
					v = (uint32_t)z.value;
		}
	}
	return v;
}

bool flow_port(const struct flow *f, enum flow_side side, uint32_t *ret)
{
	if ((f->l4 != FLOW_L4_TCP && f->l4 != FLOW_L4_UDP && f->l4 != FLOW_L4_SCTP) ||
	    side == FLOW_XLATED)
		return false;
	if (flow_is(f, FLOW_ODD_L4))
		*ret = ext_l4_number(f, side == FLOW_SRC ? 1 : 2);
	else
		*ret = side == FLOW_SRC ? f->src_port : f->dst_port;
	return true;
}

struct str flow_ifname(const struct flow *f)
{
	if (!flow_is(f, FLOW_HAS_IFACE))
		return (struct str){ "", 0 };
	if (flow_is(f, FLOW_ODD_IFACE))
		return ext_text(f, FLOW_FIELD_INTERFACE, 2);
	return str_n(f->ifname, strnlen(f->ifname, FLOW_IFNAME_BYTES));
}
