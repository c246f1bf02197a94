/*
 * snapshot - one immutable state of who has which address and which (address, port) is a service.
 *
 *	snapshot 7 ──► [ page | page | page | … ] ──► services, identities, cgroups
 *	                   ▲      ▲ shared
 *	snapshot 8 ──► [ page'| page | page | … ] ──► the same
 *
 * Longest prefix wins. Single addresses, by far the most, take one probe of a hash table; shorter
 * prefixes one more for each length that occurs.
 *
 * Changes  a few prefixes that change copy the pages they lie on (PAGE_SLOTS each), and nothing
 *          else: some microseconds and kilobytes, however many addresses are known.
 * Threads  looking: any number. Making and freeing: one at a time, of all snapshots that were made
 *          of one another.
 */
#ifndef TYCHO_OBSERVER_SNAPSHOT_H
#define TYCHO_OBSERVER_SNAPSHOT_H

#include <endian.h>

#include "base/err.h"
#include "flow/flow.h"

struct told;

enum who_bits {
	WHO_CLAIMED = 1 << 0, /* a provider or the node claims it; otherwise it is the world's */
	WHO_LOCAL = 1 << 1,   /* an endpoint of this node */
	WHO_HOST = 1 << 2,    /* this node itself */
	WHO_NO_POD = 1 << 3,  /* name_prefix.pod_not_cached */
};
struct who {
	struct endpoint_id ep;
	uint32_t identity; /* of ep */
	uint32_t local_id; /* Endpoint.ID of an endpoint of this node, else 0 */
	uint8_t bits;      /* enum who_bits */
};

/* 128 bits of an address as two numbers, first byte highest. */
struct ip128 {
	uint64_t hi, lo;
};
static inline struct ip128 ip128_of(const uint8_t ip[16])
{
	struct ip128 k;

	memcpy(&k.hi, ip, 8);
	memcpy(&k.lo, ip + 8, 8);
	k.hi = be64toh(k.hi);
	k.lo = be64toh(k.lo);
	return k;
}
/* Its first @bits bits, the others zero. */
static inline struct ip128 ip128_prefix(struct ip128 k, unsigned bits)
{
	uint64_t hi = bits >= 64 ? UINT64_MAX : bits ? UINT64_MAX << (64 - bits) : 0;
	uint64_t lo = bits >= 128 ? UINT64_MAX : bits > 64 ? UINT64_MAX << (128 - bits) : 0;

	return (struct ip128){ k.hi & hi, k.lo & lo };
}

/* Keys come from providers, so they need no secret; constants as in lib/base/str.c: digits of
 * pi. */
static inline uint64_t snapshot_hash(struct ip128 ip, uint64_t salt)
{
	unsigned __int128 m = (unsigned __int128)(ip.hi ^ salt ^ UINT64_C(0x243f6a8885a308d3)) *
			      (ip.lo ^ UINT64_C(0x13198a2e03707345));

	return (uint64_t)m ^ (uint64_t)(m >> 64);
}

struct snapshot_prefix {
	struct ip128 ip; /* only the first @bits bits are set */
	uint8_t bits;
	struct who who;
	/* of the name table's numbers, held for it; 0: none */
	uint32_t held_identity, held_local;
};
struct snapshot_service {
	struct ip128 ip;
	uint16_t port; /* 0: any */
	struct service_id service;
};
/* Labels and cluster of an identity, as an endpoint that has nothing else. */
struct snapshot_identity {
	uint32_t identity;
	struct endpoint_id ep;
};
struct snapshot_cgroup {
	uint64_t cgroup;
	uint8_t ip4[16], ip6[16]; /* all zero: none */
};
/* What one provider says: observer/name/part.h. */
struct snapshot_part {
	struct snapshot_prefix *prefixes;
	size_t prefix_count, prefix_room;
	uint32_t *index; /* into prefixes */
	size_t index_mask;
	struct snapshot_service *services;
	size_t service_count;
	struct snapshot_identity *identities;
	size_t identity_count;
	struct snapshot_cgroup *cgroups;
	size_t cgroup_count;
	struct told *told; /* observer/name/told.h, counted; NULL: says nothing of that */
};

struct snapshot;

/* @parts in order of precedence: the first to claim a prefix or a service has it. Copied. @world is
 * who has the rest, @host who has loopback addresses that nobody claims. */
MUST_CHECK enum err_code snapshot_new(const struct snapshot_part *parts, size_t count,
				      struct endpoint_id world, struct endpoint_id host,
				      struct snapshot **ret, struct err *e);
struct snapshot_key {
	struct ip128 ip;
	uint8_t bits;
};
/* What changes beside prefixes: services, identities and cgroups; endpoints of this node. */
enum snapshot_more { SNAPSHOT_SERVICES = 1, SNAPSHOT_LOCALS = 2 };
/* As @old, but for what @parts say otherwise now: of the @count prefixes in @changed, and of @more,
 * and of nothing else. NULL in *@ret: too much for the room that there is, make a new one.
 * ERR_NOMEM. */
MUST_CHECK enum err_code snapshot_change(const struct snapshot *old,
					 const struct snapshot_part *parts, size_t part_count,
					 const struct snapshot_key *changed, size_t count,
					 unsigned more, struct snapshot **ret, struct err *e);
/* Memory that it shares with no other, in bytes; it takes a look at each page. */
size_t snapshot_own_bytes(const struct snapshot *s);
void snapshot_free(struct snapshot *s);
AUTO_DEFINE(struct snapshot, snapshot_free);

/* Asks the memory for what snapshot_who will look at. */
void snapshot_ahead(const struct snapshot *s, const uint8_t ip[16]);
struct who snapshot_who(const struct snapshot *s, const uint8_t ip[16]);
/* Id 0: no service. */
struct service_id snapshot_service(const struct snapshot *s, const uint8_t ip[16], uint16_t port);
bool snapshot_has_services(const struct snapshot *s);
/* Id 0: nobody knows it. */
struct endpoint_id snapshot_identity(const struct snapshot *s, uint32_t identity);
bool snapshot_has_identities(const struct snapshot *s);
/* The endpoint of this node with that Endpoint.ID; id 0: there is none. */
struct endpoint_id snapshot_local(const struct snapshot *s, uint32_t local_id);
/* NULL: nobody knows it. Borrowed. */
const struct snapshot_cgroup *snapshot_cgroup(const struct snapshot *s, uint64_t cgroup);
/* What the first provider that says so says that endpoints here were told; NULL: nothing. */
const struct told *snapshot_told(const struct snapshot *s);

#endif
