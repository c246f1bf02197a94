/* Ports and protocols: what most filters ask for, so these have the fastest loops. */
#include "base/buf.h"
#include "base/gotext.h"
#include "filter/l7.h"
#include "filter/pred.h"
#include "filter/zone_sets.h"
#include "flow/flow.pb-c.h"

/* --- ports ------------------------------------------------------------------------------------ */

enum {
	PORTS = 65536,
	FEW_PORTS = 4, /* compared one by one; more are looked up */
	HAS_PORTS = 1 << FLOW_L4_TCP | 1 << FLOW_L4_UDP | 1 << FLOW_L4_SCTP,
};

struct port_pred {
	struct pred t;
	enum flow_side side;
	size_t few; /* how many of @port count, 0 when @map is used */
	uint16_t port[FEW_PORTS];
	uint64_t map[]; /* one bit for each port */
};

static bool port_is_asked(const struct port_pred *p, uint16_t port)
{
	if (!p->few)
		return p->map[port / 64] >> port % 64 & 1;
	for (size_t i = 0; i < p->few; i++)
		if (p->port[i] == port)
			return true;
	return false;
}

/* Odd flows have ports beyond 16 bits; the reference compares their low half. */
static bool port_matches(struct pred *t, const struct flow *f)
{
	const struct port_pred *p = (const struct port_pred *)t;
	uint32_t port;

	return flow_port(f, p->side, &port) && port_is_asked(p, (uint16_t)port);
}

/* Written once, compiled for each combination of its constant arguments. */
#define ALWAYS_INLINE inline __attribute__((always_inline))

static ALWAYS_INLINE uint64_t port_bit(const struct port_pred *p, const struct flow *f,
				       bool destination, bool one)
{
	uint16_t port = destination ? f->dst_port : f->src_port;
	bool hit = one ? port == p->port[0] : port_is_asked(p, port);

	return (unsigned)hit & HAS_PORTS >> (f->l4 & 31);
}

static ALWAYS_INLINE uint64_t scan_ports(const struct port_pred *p, const struct block *b,
					 uint64_t asked, bool destination, bool one)
{
	uint64_t bits = 0;

	if (!block_is_sparse(b->n, asked)) {
		/* backwards: the first record ends up in the lowest bit */
		for (size_t i = b->n; i-- > 0;)
			bits = bits << 1 | port_bit(p, &b->flows[i], destination, one);
		return bits;
	}
	for (; asked; asked &= asked - 1) {
		size_t i = (size_t)__builtin_ctzll(asked);

		bits |= port_bit(p, &b->flows[i], destination, one) << i;
	}
	return bits;
}

static uint64_t port_matches_block(struct pred *t, const struct block *b, uint64_t asked)
{
	const struct port_pred *p = (const struct port_pred *)t;
	uint64_t bits = 0;

	if (b->some_bits & FLOW_ODD_L4) {
		for (; asked; asked &= asked - 1) {
			size_t i = (size_t)__builtin_ctzll(asked);

			bits |= (uint64_t)port_matches(t, &b->flows[i]) << i;
		}
		return bits;
	}
	if (p->side == FLOW_DST)
		return p->few == 1 ? scan_ports(p, b, asked, true, true)
				   : scan_ports(p, b, asked, true, false);
	return p->few == 1 ? scan_ports(p, b, asked, false, true)
			   : scan_ports(p, b, asked, false, false);
}

static bool port_may_match(struct pred *t, const struct flow_zone *z)
{
	const struct port_pred *p = (const struct port_pred *)t;
	uint64_t both = z->some_bits & FLOW_ODD_L4;

	for (size_t i = 0; i < p->few; i++)
		both |= z->ports[p->port[i] / 64] >> p->port[i] % 64 & 1;
	for (size_t w = 0; w < PORTS / 64 && !p->few; w++)
		both |= z->ports[w] & p->map[w];
	return both;
}

static void port_free(struct pred *t)
{
	free(t);
}

/* As strconv.ParseUint reads it: digits, with leading zeros if need be; the first mistake from the
 * left counts. @return what is wrong; NULL: nothing. */
static const char *parse_port(struct str s, uint16_t *ret)
{
	uint32_t n = 0;

	for (size_t i = 0; i < s.len; i++) {
		if (s.p[i] < '0' || s.p[i] > '9')
			return "invalid syntax";
		n = 10 * n + (uint32_t)(s.p[i] - '0');
		if (n > UINT16_MAX)
			return "value out of range";
	}
	*ret = (uint16_t)n;
	return s.len ? NULL : "invalid syntax";
}

static enum err_code port_pred_new(char *const *values, size_t count, enum flow_side side,
				   const char *name, struct pred **ret, struct err *e)
{
	if (!count)
		return ERR_OK;
	bool few = count <= FEW_PORTS;
	AUTO(own_free) struct port_pred *p = calloc(1, sizeof *p + (few ? 0 : PORTS / 8));
	if (!p)
		return err_set(e, ERR_NOMEM, "flow filter");
	p->t = (struct pred){ .matches = port_matches,
			      .matches_block = port_matches_block,
			      .may_match = port_may_match,
			      .members = FLOW_MEMBER(FLOW_MEMBER_L4) |
					 (side == FLOW_SRC ? FLOW_MEMBER(FLOW_MEMBER_SRC_PORT)
							   : FLOW_MEMBER(FLOW_MEMBER_DST_PORT)),
			      .free = port_free };
	p->side = side;
	for (size_t i = 0; i < count; i++) {
		uint16_t port;
		const char *fault = parse_port(str_of(values[i]), &port);

		if (fault) {
			const char *quoted = GO_QUOTE(str_of(values[i]));

			return err_set(e, ERR_INVALID,
				       "invalid %s port filter: invalid port %s: "
				       "strconv.ParseUint: parsing %s: %s",
				       name, quoted, quoted, fault);
		}
		if (few)
			p->port[p->few++] = port;
		else
			p->map[port / 64] |= UINT64_C(1) << port % 64;
	}
	*ret = &TAKE(p)->t;
	return ERR_OK;
}

enum err_code pred_source_port_new(const Flow__FlowFilter *ff, const struct flow_dict *dict,
				   struct pred **ret, struct err *e)
{
	(void)dict;
	return port_pred_new(ff->source_port, ff->n_source_port, FLOW_SRC, "source", ret, e);
}

enum err_code pred_destination_port_new(const Flow__FlowFilter *ff, const struct flow_dict *dict,
					struct pred **ret, struct err *e)
{
	(void)dict;
	return port_pred_new(ff->destination_port, ff->n_destination_port, FLOW_DST, "destination",
			     ret, e);
}

/* --- protocols -------------------------------------------------------------------------------- */

struct protocol_pred {
	struct pred t;
	uint32_t l4; /* bit n: enum flow_l4 n will do */
	uint32_t l7; /* bit n: enum l7_kind n will do */
};

static bool protocol_matches(struct pred *t, const struct flow *f)
{
	const struct protocol_pred *p = (const struct protocol_pred *)t;

	return (p->l4 >> (f->l4 & 31) & 1) || (p->l7 && (p->l7 >> l7_of(f).kind & 1));
}

static uint64_t protocol_matches_block(struct pred *t, const struct block *b, uint64_t asked)
{
	const struct protocol_pred *p = (const struct protocol_pred *)t;
	uint64_t bits = 0;

	for (size_t i = b->n; i-- > 0;)
		bits = bits << 1 | (p->l4 >> (b->flows[i].l4 & 31) & 1);
	if (!p->l7 || !(b->some_bits & FLOW_HAS_L7))
		return bits;
	for (asked &= ~bits; asked; asked &= asked - 1) {
		size_t i = (size_t)__builtin_ctzll(asked);

		bits |= (uint64_t)protocol_matches(t, &b->flows[i]) << i;
	}
	return bits;
}

static bool protocol_may_match(struct pred *t, const struct flow_zone *z)
{
	const struct protocol_pred *p = (const struct protocol_pred *)t;

	return (p->l4 & z->l4) || (p->l7 && z->some_bits & FLOW_HAS_L7);
}

enum err_code pred_protocol_new(const Flow__FlowFilter *ff, const struct flow_dict *dict,
				struct pred **ret, struct err *e)
{
	static const struct {
		const char *name;
		uint32_t l4, l7;
	} known[] = {
		{ "icmp", 1 << FLOW_L4_ICMP4 | 1 << FLOW_L4_ICMP6, 0 },
		{ "icmpv4", 1 << FLOW_L4_ICMP4, 0 },
		{ "icmpv6", 1 << FLOW_L4_ICMP6, 0 },
		{ "tcp", 1 << FLOW_L4_TCP, 0 },
		{ "udp", 1 << FLOW_L4_UDP, 0 },
		{ "sctp", 1 << FLOW_L4_SCTP, 0 },
		{ "vrrp", 1 << FLOW_L4_VRRP, 0 },
		{ "igmp", 1 << FLOW_L4_IGMP, 0 },
		{ "dns", 0, 1 << L7_DNS },
		{ "http", 0, 1 << L7_HTTP },
		{ "kafka", 0, 1 << L7_KAFKA },
	};

	(void)dict;
	if (!ff->n_protocol)
		return ERR_OK;
	AUTO(own_free) struct protocol_pred *p = calloc(1, sizeof *p);
	if (!p)
		return err_set(e, ERR_NOMEM, "flow filter");
	p->t = (struct pred){ .matches = protocol_matches,
			      .matches_block = protocol_matches_block,
			      .may_match = protocol_may_match,
			      .free = port_free };
	for (size_t i = 0; i < ff->n_protocol; i++) {
		struct str name = str_of(ff->protocol[i]);
		size_t k = 0;

		while (k < ARRAY_LEN(known) && !str_eq_nocase(name, str_of(known[k].name)))
			k++;
		if (k == ARRAY_LEN(known))
			return err_set(e, ERR_INVALID,
				       "invalid protocol filter: unknown protocol: %s",
				       GO_QUOTE(name));
		p->l4 |= known[k].l4;
		p->l7 |= known[k].l7;
	}
	p->t.cost = p->l7 ? 3 : 0;
	p->t.needs = p->l7 && !p->l4 ? FLOW_HAS_L7 : 0;
	p->t.members = FLOW_MEMBER(FLOW_MEMBER_L4) | (p->l7 ? FLOW_MEMBER(FLOW_MEMBER_EXT) : 0);
	*ret = &TAKE(p)->t;
	return ERR_OK;
}
