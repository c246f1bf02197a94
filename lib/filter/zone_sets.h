/*
 * zone_sets - what struct flow_zone is made of, for the predicates that ask it.
 *
 * Every set may hold more than there was, never less. A set that became too large, or could not get
 * memory, is "any": it holds everything.
 */
#ifndef TYCHO_FILTER_ZONE_SETS_H
#define TYCHO_FILTER_ZONE_SETS_H

#include "filter/zone.h"

/* Dictionary ids: one bit each. */
struct id_set {
	uint64_t *words;
	size_t count; /* of words */
	bool any;
};

enum {
	ZONE_FEW = 48,             /* numbers of a few_set */
	ZONE_IP_BITS = 1 << 15,    /* of the Bloom filter of addresses */
	ZONE_FLAG_SETS = 1 << 9,   /* combinations of TCP flags */
	ZONE_PORT_WORDS = 1 << 10, /* 65,536 ports */
};

/* A few different numbers. */
struct few_set {
	size_t count; /* ZONE_FEW + 1: any */
	uint64_t v[ZONE_FEW];
};

struct flow_zone {
	bool is_empty;
	uint32_t kinds;     /* bit k: enum flow_kind k; bit 31: any beyond */
	uint32_t some_bits; /* enum flow_bits that at least one record has */
	/* of flows: bit b%64 of word b/64 */
	uint64_t verdicts[4], directions[4], ip_versions[4];
	uint32_t l4;           /* bit l: enum flow_l4 l & 31 */
	bool replies[2];       /* some flow counts as no reply, as a reply (pred_reply) */
	bool encrypted[2];     /* some is not, some is */
	bool traced[2];        /* some has no IP trace id, some has */
	struct few_set drops;  /* drop_desc of what is DROPPED */
	struct few_set events; /* event_type << 32 | event_sub_type */
	uint64_t flags[ZONE_FLAG_SETS / 64]; /* tcp_flags of TCP flows that have them */
	/* Both sides together: replies make the two alike. */
	uint64_t ports[ZONE_PORT_WORDS]; /* of TCP, UDP, SCTP */
	struct id_set endpoints, services, nodes;
	uint64_t ips[ZONE_IP_BITS / 64]; /* Bloom filter */
	uint32_t ip4_min, ip4_max;       /* min > max: no IPv4 */
	bool has_ip6;
	/* what the previous record had, to add it only once */
	uint8_t last_ip[2][16];
};

static inline bool id_set_has(const struct id_set *s, uint32_t id)
{
	return s->any || (id / 64 < s->count && (s->words[id / 64] >> id % 64 & 1));
}
bool few_set_has(const struct few_set *s, uint64_t v);
static inline bool few_set_is_any(const struct few_set *s)
{
	return s->count > ZONE_FEW;
}
/* Perhaps one of the addresses is @ip. */
bool zone_has_ip(const struct flow_zone *z, const uint8_t ip[16]);

#endif
