/* Addresses: the same text, or within a prefix. */
#include "base/gotext.h"
#include "filter/netip.h"
#include "filter/pred.h"
#include "filter/zone_sets.h"
#include "flow/flow.pb-c.h"

struct ip_pred {
	struct pred t;
	enum flow_side side;
	struct strs *texts; /* as given; the reference compares addresses as texts */
	uint8_t (*ips)[16]; /* those texts that are canonical: all that a flow with a canonical
			       address can equal */
	struct netip_prefix *prefixes;
	struct ip_mask *masks; /* the prefixes again, for addresses of 16 bytes */
	size_t ip_count, prefix_count;
};

/* In memory order: bits are only compared. */
struct ip_mask {
	uint64_t addr[2], mask[2];
	bool is_v4;
};

static struct ip_mask mask_of(const struct netip_prefix *p)
{
	struct ip_mask m = { .is_v4 = p->addr.is_v4 };
	unsigned bits = p->bits + (m.is_v4 ? 96 : 0);
	uint8_t mask[16] = { 0 };

	for (unsigned i = 0; i < bits; i++)
		mask[i / 8] |= (uint8_t)(0x80 >> i % 8);
	memcpy(m.mask, mask, sizeof mask);
	memcpy(m.addr, p->addr.ip, sizeof m.addr);
	return m;
}

static void ip_free(struct pred *t)
{
	struct ip_pred *ip = (struct ip_pred *)t;

	free(ip->texts);
	free(ip->ips);
	free(ip->prefixes);
	free(ip->masks);
	free(ip);
}

static bool in_prefixes(const struct ip_pred *ip, const struct netip *a)
{
	for (size_t i = 0; i < ip->prefix_count; i++)
		if (netip_prefix_contains(&ip->prefixes[i], a))
			return true;
	return false;
}

static bool odd_ip_matches(const struct ip_pred *ip, const struct flow *f)
{
	char tmp[FLOW_IP_TEXT_BYTES];
	struct str text = flow_ip_text(f, ip->side, tmp);
	struct netip a;

	if (!text.len)
		return false;
	if (strs_have(ip->texts, text))
		return true;
	return ip->prefix_count && netip_parse(text, &a, NULL) == ERR_OK && in_prefixes(ip, &a);
}

static bool ip_matches(struct pred *t, const struct flow *f)
{
	static const uint32_t has[] = { [FLOW_SRC] = FLOW_HAS_SRC_IP,
					[FLOW_DST] = FLOW_HAS_DST_IP,
					[FLOW_XLATED] = FLOW_HAS_XLATED };
	const struct ip_pred *ip = (const struct ip_pred *)t;
	const uint8_t *bytes = ip->side == FLOW_SRC   ? f->src_ip
			       : ip->side == FLOW_DST ? f->dst_ip
						      : f->src_xlated;

	if (flow_is(f, FLOW_ODD_IP))
		return odd_ip_matches(ip, f);
	if (!flow_is(f, has[ip->side]))
		return false;
	for (size_t i = 0; i < ip->ip_count; i++)
		if (memcmp(ip->ips[i], bytes, 16) == 0)
			return true;
	uint64_t addr[2];
	bool is_v4 = ip_is_v4(bytes);
	memcpy(addr, bytes, sizeof addr);
	for (size_t i = 0; i < ip->prefix_count; i++) {
		const struct ip_mask *m = &ip->masks[i];

		if (m->is_v4 == is_v4 && !((addr[0] ^ m->addr[0]) & m->mask[0]) &&
		    !((addr[1] ^ m->addr[1]) & m->mask[1]))
			return true;
	}
	return false;
}

/* Addresses of IPv4 are a range, others are just there or not; whole addresses can be looked up. */
static bool prefix_may_match(const struct netip_prefix *p, const struct flow_zone *z)
{
	if (p->bits == (p->addr.is_v4 ? 32 : 128) && !zone_has_ip(z, p->addr.ip))
		return false;
	if (!p->addr.is_v4)
		return z->has_ip6;
	const uint8_t *b = p->addr.ip + 12;
	uint32_t low = (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3];
	uint32_t rest = p->bits >= 32 ? 0 : UINT32_MAX >> p->bits;
	return z->ip4_min <= (low | rest) && z->ip4_max >= (low & ~rest);
}

static bool ip_may_match(struct pred *t, const struct flow_zone *z)
{
	const struct ip_pred *ip = (const struct ip_pred *)t;

	if (z->some_bits & FLOW_ODD_IP)
		return true;
	if (ip->side == FLOW_XLATED) /* its addresses are not noted */
		return z->some_bits & FLOW_HAS_XLATED;
	for (size_t i = 0; i < ip->ip_count; i++)
		if (zone_has_ip(z, ip->ips[i]))
			return true;
	for (size_t i = 0; i < ip->prefix_count; i++)
		if (prefix_may_match(&ip->prefixes[i], z))
			return true;
	return false;
}

static enum err_code add_value(struct ip_pred *ip, struct str s, struct err *e)
{
	char tmp[FLOW_IP_TEXT_BYTES];
	struct netip a;

	if (str_find(s, '/') < s.len) {
		if (netip_prefix_parse(s, &ip->prefixes[ip->prefix_count], e) != ERR_OK)
			return err_in(e, "invalid IP prefix %s in filter", GO_QUOTE(s));
		ip->masks[ip->prefix_count] = mask_of(&ip->prefixes[ip->prefix_count]);
		ip->prefix_count++;
		return ERR_OK;
	}
	if (netip_parse(s, &a, e) != ERR_OK)
		return err_in(e, "invalid IP address %s in filter", GO_QUOTE(s));
	if (!a.has_zone && str_eq(ip_text(a.ip, tmp), s))
		memcpy(ip->ips[ip->ip_count++], a.ip, sizeof a.ip);
	return ERR_OK;
}

static enum err_code ip_pred_new(char *const *values, size_t count, enum flow_side side,
				 struct pred **ret, struct err *e)
{
	if (!count)
		return ERR_OK;
	struct ip_pred *ip = calloc(1, sizeof *ip);
	if (!ip)
		return err_set(e, ERR_NOMEM, "flow filter");
	ip->t = (struct pred){ .matches = ip_matches,
			       .may_match = ip_may_match,
			       .members = FLOW_MEMBER(side == FLOW_SRC   ? FLOW_MEMBER_SRC_IP
						      : side == FLOW_DST ? FLOW_MEMBER_DST_IP
									 : FLOW_MEMBER_SRC_XLATED),
			       .free = ip_free,
			       .cost = 1 };
	AUTO(pred_free) struct pred *made = &ip->t;
	ip->side = side;
	ip->texts = strs_copy(values, count);
	ip->ips = calloc(count, sizeof *ip->ips);
	ip->prefixes = calloc(count, sizeof *ip->prefixes);
	ip->masks = calloc(count, sizeof *ip->masks);
	if (!ip->texts || !ip->ips || !ip->prefixes || !ip->masks)
		return err_set(e, ERR_NOMEM, "flow filter");
	for (size_t i = 0; i < count; i++) {
		enum err_code code = add_value(ip, ip->texts->v[i], e);

		if (code != ERR_OK)
			return code;
	}
	*ret = TAKE(made);
	return ERR_OK;
}

enum err_code pred_source_ip_new(const Flow__FlowFilter *ff, const struct flow_dict *dict,
				 struct pred **ret, struct err *e)
{
	(void)dict;
	return ip_pred_new(ff->source_ip, ff->n_source_ip, FLOW_SRC, ret, e);
}

enum err_code pred_source_ip_xlated_new(const Flow__FlowFilter *ff, const struct flow_dict *dict,
					struct pred **ret, struct err *e)
{
	(void)dict;
	return ip_pred_new(ff->source_ip_xlated, ff->n_source_ip_xlated, FLOW_XLATED, ret, e);
}

enum err_code pred_destination_ip_new(const Flow__FlowFilter *ff, const struct flow_dict *dict,
				      struct pred **ret, struct err *e)
{
	(void)dict;
	return ip_pred_new(ff->destination_ip, ff->n_destination_ip, FLOW_DST, ret, e);
}
