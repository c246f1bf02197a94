/*
 * inside - the world's struct, for the files that it consists of: world.c (objects), view.c (names
 * made of them).
 */
#ifndef TYCHO_OBSERVER_KUBERNETES_INSIDE_H
#define TYCHO_OBSERVER_KUBERNETES_INSIDE_H

#include "base/map.h"
#include "observer/kubernetes/claims.h"

enum { KUBE_CHANGED_IDS = 16 }; /* each costs a look at all pods; of more, all are told */

struct kube_table {
	struct kube_thing **buckets;
	size_t room, count; /* room: a power of two */
	uint64_t generation;
	uint64_t seed; /* the world's */
};

struct kube_world {
	char *cluster, *node;
	uint64_t seed; /* for all hashing: names, labels and policies are who uses the cluster's */
	struct kube_reading reading;
	struct kube_table things[KUBE_KINDS];
	struct kube_labels **sets; /* label sets of pods */
	size_t set_room, set_count;
	struct kube_claims claims;
	struct map *ids; /* numbers that Cilium gave, by label set (ids.h); NULL: to be made */
	uint32_t changed_ids[KUBE_CHANGED_IDS]; /* identities; some more than once */
	size_t changed_id_count;
	bool was_told;       /* there was a view: changes are changes of it */
	bool wants_all;      /* changes cannot be told one by one */
	bool wants_services; /* of services, or of this node's address */
	uint64_t left_out, views;
	struct local_pods *local; /* is told of this node's pods; may be NULL */
	unsigned dirt;
	bool uses_services, uses_port_names; /* some policy does */
};

/* Where the thing is, or where it would be; never NULL. */
struct kube_thing **kube_find(struct kube_table *t, struct str namespace_, struct str name);

/* All of a kind by namespace and name, so that what comes first is the same for everybody; then
 * NULL. Own (free), the things are not. NULL: no memory. */
const struct kube_thing **kube_in_order(const struct kube_world *w, enum kube_kind kind);

/* In no order that lasts: that of hashes. */
#define EACH_THING(w, kind, t)                                                                     \
	for (size_t t##_at = 0; t##_at < (w)->things[kind].room; t##_at++)                         \
		for (const struct kube_thing *t = (w)->things[kind].buckets[t##_at]; t; t = t->next)

#endif
