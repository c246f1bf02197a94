#include "filter/zone.h"

#include "filter/zone_sets.h"
#include "flow/flow.pb-c.h"
#include "flow/swar.h"
#include "flow/wire.h"

enum {
	ID_WORDS = 1 << 14,  /* ids beyond 2^20 are "any" */
	IDS_KEPT = 4096,     /* as bytes */
	PORTS_KEPT = 2048,   /* as bytes, of those below HIGH_PORT */
	HIGH_PORT = 1 << 15, /* from here on ports are mostly drawn at random (RFC 6056 §3.2 and
				net.ipv4.ip_local_port_range: 32768) */
	HAS_PORTS = 1 << FLOW_L4_TCP | 1 << FLOW_L4_UDP | 1 << FLOW_L4_SCTP,
	DROPPED = FLOW__VERDICT__DROPPED,
};

/* --- sets --------------------------------------------------------------------------------------
 */

/* Room for @id; without it the set is "any". */
static bool id_set_grow(struct id_set *s, uint32_t id)
{
	size_t count = s->count ? s->count : 16;

	while (count <= id / 64)
		count *= 2;
	uint64_t *words = count <= ID_WORDS ? realloc(s->words, count * sizeof *words) : NULL;
	if (!words) {
		s->any = true;
		return false;
	}
	memset(words + s->count, 0, (count - s->count) * sizeof *words);
	s->words = words;
	s->count = count;
	return true;
}

static inline void id_set_add(struct id_set *s, uint32_t id)
{
	if (id / 64 < s->count || id_set_grow(s, id))
		s->words[id / 64] |= UINT64_C(1) << id % 64;
}

static void id_set_reset(struct id_set *s)
{
	if (s->count)
		memset(s->words, 0, s->count * sizeof *s->words);
	s->any = false;
}

static size_t id_set_count(const struct id_set *s)
{
	size_t n = 0;

	for (size_t w = 0; w < s->count; w++)
		n += (size_t)__builtin_popcountll(s->words[w]);
	return n;
}

bool few_set_has(const struct few_set *s, uint64_t v)
{
	if (few_set_is_any(s))
		return true;
	for (size_t i = 0; i < s->count; i++)
		if (s->v[i] == v)
			return true;
	return false;
}

static void few_set_add(struct few_set *s, uint64_t v)
{
	if (few_set_has(s, v))
		return;
	if (s->count < ZONE_FEW)
		s->v[s->count] = v;
	s->count++;
}

/* Three places of a Bloom filter; their low bits are the same in a smaller one. */
enum { BLOOM_PLACES = 3 };
static uint64_t bloom_hash(const uint8_t ip[16])
{
	uint64_t a, b;

	memcpy(&a, ip, 8);
	memcpy(&b, ip + 8, 8);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__ /* these bits are stored */
	a = __builtin_bswap64(a);
	b = __builtin_bswap64(b);
#endif
	a = (a ^ a >> 32) * UINT64_C(0x9e3779b97f4a7c15) + b;
	a = (a ^ a >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	a = (a ^ a >> 27) * UINT64_C(0x94d049bb133111eb);
	return a ^ a >> 31;
}

bool zone_has_ip(const struct flow_zone *z, const uint8_t ip[16])
{
	uint64_t h = bloom_hash(ip);

	for (int i = 0; i < BLOOM_PLACES; i++, h >>= 20) {
		uint64_t at = h % ZONE_IP_BITS;

		if (!(z->ips[at / 64] >> at % 64 & 1))
			return false;
	}
	return true;
}

static void add_ip(struct flow_zone *z, const uint8_t ip[16])
{
	uint64_t h = bloom_hash(ip);

	for (int i = 0; i < BLOOM_PLACES; i++, h >>= 20) {
		uint64_t at = h % ZONE_IP_BITS;

		z->ips[at / 64] |= UINT64_C(1) << at % 64;
	}
	if (!ip_is_v4(ip)) {
		z->has_ip6 = true;
		return;
	}
	uint32_t v4 =
		(uint32_t)ip[12] << 24 | (uint32_t)ip[13] << 16 | (uint32_t)ip[14] << 8 | ip[15];
	z->ip4_min = v4 < z->ip4_min ? v4 : z->ip4_min;
	z->ip4_max = v4 > z->ip4_max ? v4 : z->ip4_max;
}

/* --- zones -------------------------------------------------------------------------------------
 */

enum err_code flow_zone_new(struct flow_zone **ret, struct err *e)
{
	struct flow_zone *z = calloc(1, sizeof *z);

	if (!z)
		return err_set(e, ERR_NOMEM, "zone");
	flow_zone_reset(z);
	*ret = z;
	return ERR_OK;
}

void flow_zone_free(struct flow_zone *z)
{
	if (!z)
		return;
	free(z->endpoints.words);
	free(z->services.words);
	free(z->nodes.words);
	free(z);
}

void flow_zone_reset(struct flow_zone *z)
{
	struct id_set endpoints = z->endpoints, services = z->services, nodes = z->nodes;

	id_set_reset(&endpoints);
	id_set_reset(&services);
	id_set_reset(&nodes);
	*z = (struct flow_zone){ .is_empty = true,
				 .ip4_min = UINT32_MAX,
				 .endpoints = endpoints,
				 .services = services,
				 .nodes = nodes };
}

static inline void add_byte(uint64_t set[4], uint8_t v)
{
	set[v / 64] |= UINT64_C(1) << v % 64;
}

static void add_flow(struct flow_zone *z, const struct flow *f)
{
	add_byte(z->verdicts, f->verdict);
	add_byte(z->directions, f->direction);
	add_byte(z->ip_versions, f->ip_version);
	z->l4 |= UINT32_C(1) << (f->l4 & 31);
	if (f->is_reply != FLOW_REPLY_ABSENT || f->verdict == DROPPED)
		z->replies[f->is_reply == FLOW_REPLY_TRUE] = true;
	z->encrypted[flow_is(f, FLOW_ENCRYPTED)] = true;
	z->traced[flow_is(f, FLOW_HAS_IP_TRACE_ID)] = true;
	if (f->verdict == DROPPED)
		few_set_add(&z->drops, f->drop_desc);
	if (flow_is(f, FLOW_HAS_EVENT_TYPE)) {
		uint64_t event =
			(uint64_t)(uint32_t)f->event_type << 32 | (uint32_t)f->event_sub_type;

		if (!z->events.count || z->events.v[0] != event)
			few_set_add(&z->events, event);
	}
	if (HAS_PORTS >> (f->l4 & 31) & 1) {
		z->ports[f->src_port / 64] |= UINT64_C(1) << f->src_port % 64;
		z->ports[f->dst_port / 64] |= UINT64_C(1) << f->dst_port % 64;
		if (f->l4 == FLOW_L4_TCP && flow_is(f, FLOW_HAS_TCP_FLAGS))
			z->flags[f->tcp_flags % ZONE_FLAG_SETS / 64] |= UINT64_C(1)
									<< f->tcp_flags % 64;
	}
	id_set_add(&z->endpoints, f->src_ep.v);
	id_set_add(&z->endpoints, f->dst_ep.v);
	id_set_add(&z->services, f->src_svc.v);
	id_set_add(&z->services, f->dst_svc.v);
	id_set_add(&z->nodes, f->node.v);
	if (memcmp(z->last_ip[0], f->src_ip, 16) != 0) {
		memcpy(z->last_ip[0], f->src_ip, 16);
		add_ip(z, f->src_ip);
	}
	if (memcmp(z->last_ip[1], f->dst_ip, 16) != 0) {
		memcpy(z->last_ip[1], f->dst_ip, 16);
		add_ip(z, f->dst_ip);
	}
}

void flow_zone_add(struct flow_zone *z, const struct flow *flows, size_t n)
{
	if (!n)
		return;
	if (z->is_empty) {
		/* so that the first address differs from the last one */
		for (int i = 0; i < 16; i++) {
			z->last_ip[0][i] = (uint8_t)~flows[0].src_ip[i];
			z->last_ip[1][i] = (uint8_t)~flows[0].dst_ip[i];
		}
		z->is_empty = false;
	}
	for (size_t i = 0; i < n; i++) {
		const struct flow *f = &flows[i];

		z->some_bits |= f->bits;
		z->kinds |= UINT32_C(1) << (f->kind < 31 ? f->kind : 31);
		if (f->kind == FLOW_KIND_FLOW)
			add_flow(z, f);
	}
}

static void or_words(uint64_t *to, const uint64_t *from, size_t n)
{
	for (size_t i = 0; i < n; i++)
		to[i] |= from[i];
}

/* --- as bytes ----------------------------------------------------------------------------------
 * Numbers are protobuf's varints; sets of numbers are their count and the steps between them.
 */

enum { FORMAT_1 = 1 };

static void put_varint(struct buf *b, uint64_t v)
{
	for (; v >= 0x80; v >>= 7)
		buf_char(b, (char)(v | 0x80));
	buf_char(b, (char)v);
}

/* The bits set in @words below bit @end, as steps. */
static void put_bits(struct buf *b, const uint64_t *words, size_t end)
{
	size_t count = 0, last = 0;

	for (size_t w = 0; w < end / 64; w++)
		count += (size_t)__builtin_popcountll(words[w]);
	put_varint(b, count);
	for (size_t w = 0; w < end / 64; w++)
		for (uint64_t bits = words[w]; bits; bits &= bits - 1) {
			size_t at = w * 64 + (size_t)__builtin_ctzll(bits);

			put_varint(b, at - last);
			last = at;
		}
}

static void put_ids(struct buf *b, const struct id_set *s)
{
	bool any = s->any || id_set_count(s) > IDS_KEPT;

	buf_char(b, any);
	if (!any)
		put_bits(b, s->words, s->count * 64);
}

static void put_few(struct buf *b, const struct few_set *s)
{
	put_varint(b, s->count);
	for (size_t i = 0; i < s->count && !few_set_is_any(s); i++)
		put_varint(b, s->v[i]);
}

/* Low ports one by one if they are not too many; the rest by upper bytes. */
static void put_ports(struct buf *b, const uint64_t *ports)
{
	size_t low = 0;

	for (size_t w = 0; w < HIGH_PORT / 64; w++)
		low += (size_t)__builtin_popcountll(ports[w]);
	bool exact = low <= PORTS_KEPT;
	uint64_t blocks[4] = { 0 };
	for (size_t w = exact ? HIGH_PORT / 64 : 0; w < ZONE_PORT_WORDS; w++)
		blocks[w / 256] |= (uint64_t)(ports[w] != 0) << w / 4 % 64;
	buf_char(b, exact);
	if (exact)
		put_bits(b, ports, HIGH_PORT);
	put_bits(b, blocks, 256);
}

/* Folded in half while few of its bits are set: there are fewer addresses than it has room for. */
static void put_bloom(struct buf *b, const uint64_t *bits)
{
	uint64_t folded[ZONE_IP_BITS / 64];
	size_t words = ARRAY_LEN(folded);

	memcpy(folded, bits, sizeof folded);
	for (; words > 1; words /= 2) {
		size_t set = 0;

		for (size_t i = 0; i < words / 2; i++)
			set += (size_t)__builtin_popcountll(folded[i] | folded[i + words / 2]);
		if (set * 4 > words * 32) /* half as many words, a quarter of their bits */
			break;
		or_words(folded, folded + words / 2, words / 2);
	}
	put_varint(b, words);
	for (size_t i = 0; i < words; i++)
		for (int k = 0; k < 64; k += 8)
			buf_char(b, (char)(folded[i] >> k));
}

void flow_zone_put(struct buf *b, const struct flow_zone *z)
{
	buf_char(b, FORMAT_1);
	buf_char(b, z->is_empty);
	put_varint(b, z->kinds);
	put_varint(b, z->some_bits);
	put_bits(b, z->verdicts, 256);
	put_bits(b, z->directions, 256);
	put_bits(b, z->ip_versions, 256);
	put_varint(b, z->l4);
	buf_char(b, (char)(z->replies[0] | z->replies[1] << 1 | z->encrypted[0] << 2 |
			   z->encrypted[1] << 3 | z->traced[0] << 4 | z->traced[1] << 5 |
			   z->has_ip6 << 6));
	put_few(b, &z->drops);
	put_few(b, &z->events);
	put_bits(b, z->flags, ZONE_FLAG_SETS);
	put_ports(b, z->ports);
	put_ids(b, &z->endpoints);
	put_ids(b, &z->services);
	put_ids(b, &z->nodes);
	put_varint(b, z->ip4_min);
	put_varint(b, z->ip4_max);
	put_bloom(b, z->ips);
}

/* Sticky: after a fault everything is 0. */
struct zone_reader {
	const uint8_t *p, *end;
	bool bad;
};

static uint64_t get_byte(struct zone_reader *r)
{
	r->bad |= r->p == r->end;
	return r->bad ? 0 : *r->p++;
}

static uint64_t get_varint(struct zone_reader *r)
{
	uint64_t v = 0, byte = 0x80;

	if (r->p < r->end && *r->p < 0x80 && !r->bad)
		return *r->p++; /* as nearly all are */
	for (unsigned shift = 0; shift < 64 && byte & 0x80; shift += 7) {
		byte = get_byte(r);
		v |= (byte & 0x7f) << shift;
	}
	r->bad |= (byte & 0x80) != 0;
	return r->bad ? 0 : v;
}

/* Passes over @n numbers: each ends with a byte that has no high bit. */
static void skip_varints(struct zone_reader *r, uint64_t n)
{
	while (n >= 8 && r->end - r->p >= 8) {
		uint64_t ends = ~swar_load((const char *)r->p) & SWAR_HIGHS;

		n -= (uint64_t)__builtin_popcountll(ends);
		r->p += 8;
	}
	/* the last bytes may be those of a number that goes on */
	while (n && r->p < r->end)
		n -= *r->p++ < 0x80;
	r->bad |= n != 0;
}

static void get_bits(struct zone_reader *r, uint64_t *words, size_t end)
{
	uint64_t at = 0;

	for (uint64_t n = get_varint(r); n && !r->bad; n--) {
		at += get_varint(r);
		if (at >= end) {
			r->bad = true;
			return;
		}
		words[at / 64] |= UINT64_C(1) << at % 64;
	}
}

static void get_ids(struct zone_reader *r, struct id_set *s, bool is_asked,
		    void (*translate)(void *ctx, uint32_t *ids, size_t n), void *ctx)
{
	enum { AT_ONCE = 64 };
	uint32_t ids[AT_ONCE];
	uint64_t any = get_byte(r), at = 0, left = any ? 0 : get_varint(r);

	s->any = any || !is_asked;
	if (!is_asked) {
		skip_varints(r, left);
		return;
	}
	while (left && !r->bad) {
		size_t n = 0;

		for (; left && n < AT_ONCE; left--) {
			at += get_varint(r);
			r->bad |= at >= ID_WORDS * 64;
			if (r->bad)
				return;
			if (at)
				ids[n++] = (uint32_t)at;
			else
				id_set_add(s, 0); /* of those without a name */
		}
		if (translate && n)
			translate(ctx, ids, n);
		for (size_t i = 0; i < n; i++) {
			if (ids[i])
				id_set_add(s, ids[i]);
			else
				s->any = true; /* a name that the dictionary does not have */
		}
	}
}

static void get_few(struct zone_reader *r, struct few_set *s)
{
	uint64_t count = get_varint(r);

	s->count = count <= ZONE_FEW ? (size_t)count : ZONE_FEW + 1;
	for (size_t i = 0; i < s->count && !few_set_is_any(s); i++)
		s->v[i] = get_varint(r);
}

static void get_ports(struct zone_reader *r, uint64_t *ports, bool is_asked)
{
	uint64_t blocks[4] = { 0 };

	if (!is_asked) {
		if (get_byte(r))
			skip_varints(r, get_varint(r));
		skip_varints(r, get_varint(r));
		return;
	}
	if (get_byte(r))
		get_bits(r, ports, HIGH_PORT);
	get_bits(r, blocks, 256);
	for (size_t i = 0; i < ARRAY_LEN(blocks); i++)
		for (uint64_t bits = blocks[i]; bits; bits &= bits - 1)
			memset(&ports[i * 256 + (size_t)__builtin_ctzll(bits) * 4], 0xff,
			       4 * sizeof *ports);
}

static void get_bloom(struct zone_reader *r, uint64_t *bits, bool is_asked)
{
	uint64_t words = get_varint(r);

	if (r->bad || !words || words > ZONE_IP_BITS / 64 || (words & (words - 1)) ||
	    (size_t)(r->end - r->p) < words * 8) {
		r->bad = true;
		return;
	}
	if (!is_asked) {
		r->p += words * 8;
		return;
	}
	for (size_t i = 0; i < words; i++, r->p += 8) {
		memcpy(&bits[i], r->p, 8);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
		bits[i] = __builtin_bswap64(bits[i]);
#endif
	}
	for (; words < ZONE_IP_BITS / 64; words *= 2) /* unfold */
		memcpy(bits + words, bits, words * sizeof *bits);
}

enum err_code flow_zone_get(struct flow_zone *z, struct str bytes, flow_members members,
			    const struct flow_zone_ids *ids, struct err *e)
{
	const flow_members of_ports = FLOW_MEMBER(FLOW_MEMBER_L4) |
				      FLOW_MEMBER(FLOW_MEMBER_SRC_PORT) |
				      FLOW_MEMBER(FLOW_MEMBER_DST_PORT),
			   of_ips = FLOW_MEMBER(FLOW_MEMBER_SRC_IP) |
				    FLOW_MEMBER(FLOW_MEMBER_DST_IP),
			   of_endpoints = FLOW_MEMBER(FLOW_MEMBER_SRC_EP) |
					  FLOW_MEMBER(FLOW_MEMBER_DST_EP);
	const uint8_t *p = (const uint8_t *)bytes.p;
	struct zone_reader r = { p, p + bytes.len, bytes.len == 0 };

	flow_zone_reset(z);
	r.bad |= get_byte(&r) != FORMAT_1;
	z->is_empty = get_byte(&r);
	z->kinds = (uint32_t)get_varint(&r);
	z->some_bits = (uint32_t)get_varint(&r);
	get_bits(&r, z->verdicts, 256);
	get_bits(&r, z->directions, 256);
	get_bits(&r, z->ip_versions, 256);
	z->l4 = (uint32_t)get_varint(&r);
	uint64_t has = get_byte(&r);
	for (unsigned i = 0; i < 2; i++) {
		z->replies[i] = has >> i & 1;
		z->encrypted[i] = has >> (2 + i) & 1;
		z->traced[i] = has >> (4 + i) & 1;
	}
	z->has_ip6 = has >> 6 & 1;
	get_few(&r, &z->drops);
	get_few(&r, &z->events);
	get_bits(&r, z->flags, ZONE_FLAG_SETS);
	get_ports(&r, z->ports, members & of_ports);
	get_ids(&r, &z->endpoints, members & of_endpoints, ids->endpoints, ids->ctx);
	get_ids(&r, &z->services, members & FLOW_MEMBER(FLOW_MEMBER_SERVICES), ids->services,
		ids->ctx);
	get_ids(&r, &z->nodes, members & FLOW_MEMBER(FLOW_MEMBER_NODE), ids->nodes, ids->ctx);
	z->ip4_min = (uint32_t)get_varint(&r);
	z->ip4_max = (uint32_t)get_varint(&r);
	get_bloom(&r, z->ips, members & of_ips);
	if (r.bad || r.p != r.end)
		return err_set(e, ERR_PARSE, "damaged zone");
	return ERR_OK;
}
