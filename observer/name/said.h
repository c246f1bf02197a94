/*
 * said - who an address is once an event has said which identity it has.
 *
 *	address ──► who (snapshot) ┐
 *	                           ├──► endpoint with the said identity
 *	event ──► identity ────────┘
 *
 * Cilium's datapath stamps its events with the identities it decided by. They win over what is
 * known of the addresses (an identity may have changed since), and decide which labels are shown
 * (reference/cilium-events.md 6.3).
 *
 * Shape    the last SAID_SLOTS combinations are remembered; another one is put together and
 *          interned (bounded by the dictionary).
 * Threads  said_endpoint: the capture thread. The others are pure.
 */
#ifndef TYCHO_OBSERVER_SAID_H
#define TYCHO_OBSERVER_SAID_H

#include "flow/dict.h"
#include "observer/name/snapshot.h"

/* @SAID_LABELS_ROOM: of more labels a copy is allocated while they are put together. */
enum { SAID_SLOTS = 8192, SAID_LABELS_ROOM = 256 };

struct said {
	struct {
		uint64_t version; /* of the snapshot; 0: free */
		uint32_t identity;
		struct endpoint_id ep;
		uint8_t bits;
		struct endpoint_id result;
	} slots[SAID_SLOTS];
};

/* What is not as the table has it. */
struct endpoint_id said_endpoint_slow_(struct said *said, struct flow_dict *dict,
				       const struct snapshot *s, uint64_t version, struct who who,
				       uint32_t identity);
/* Identities of CIDRs and DNS names, which each node numbers for itself. */
static inline bool said_is_node_local(uint32_t identity)
{
	return identity >> 24 == 1;
}
/* @who has the address, and the event says @identity (0: nothing). @version is that of @s, from 1
 * up. */
static inline struct endpoint_id said_endpoint(struct said *said, struct flow_dict *dict,
					       const struct snapshot *s, uint64_t version,
					       struct who who, uint32_t identity)
{
	/* Endpoints of this node keep all labels in the table: which are shown depends on the said
	 * identity. */
	bool hides_labels = who.bits & WHO_LOCAL && said_is_node_local(who.identity);

	if (who.bits & WHO_CLAIMED && (!identity || identity == who.identity) && !hides_labels)
		return who.ep;
	return said_endpoint_slow_(said, dict, s, version, who, identity);
}

/* Labels of a reserved identity. @return how many were put into @ret, 0 for other identities. */
size_t said_reserved_labels(uint32_t identity, struct str ret[2]);
static inline bool said_is_cidr(struct str label)
{
	return str_has_prefix(label, STR("cidr:"));
}
/* Place of the one cidr: label that is shown for a node-local identity; SIZE_MAX: none is. */
size_t said_longest_cidr(const struct str *labels, size_t count);
/* Keeps of @labels what is shown for @identity: of those of node-local identities only the longest
 * prefix among the cidr: labels, none of length 0. In place. @return how many. */
size_t said_filter_labels(uint32_t identity, struct str *labels, size_t count);
/* What the labels say about the cluster; "" for nothing. */
struct str said_cluster(const struct str *labels, size_t count);

#endif
