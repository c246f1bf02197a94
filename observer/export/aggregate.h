/*
 * aggregate - flows that are equal in a few fields, counted.
 *
 *	{a → b, INGRESS} {a → b, EGRESS} {c → b, INGRESS}
 *	──► {a → b, aggregate {1 ingress, 1 egress}}, {c → b, aggregate {1 ingress}}
 *
 * A group is what the field mask leaves of a flow, by its bytes (reference/hubble-exporter-relay.md
 * 2.4); flows are counted by their traffic direction.
 *
 * Bounds   AGGREGATE_GROUPS groups of AGGREGATE_BYTES together. What no longer fits is refused, and
 *          finds room when the groups have been told.
 * Threads  one.
 */
#ifndef TYCHO_OBSERVER_EXPORT_AGGREGATE_H
#define TYCHO_OBSERVER_EXPORT_AGGREGATE_H

#include "base/err.h"
#include "base/str.h"
#include "flow/flow.h"

enum { AGGREGATE_GROUPS = 65536, AGGREGATE_BYTES = 16 << 20 };

struct aggregate;

MUST_CHECK enum err_code aggregate_new(const char *const *paths, size_t count,
				       struct aggregate **ret, struct err *e);
void aggregate_free(struct aggregate *a);
AUTO_DEFINE(struct aggregate, aggregate_free);

/* @f is a flow. @return false: there is no room; nothing was counted. */
bool aggregate_add(struct aggregate *a, const struct flow *f, const struct flow_dict *d);
size_t aggregate_count(const struct aggregate *a); /* of groups */
/* Hands each group over as flow.Flow bytes, borrowed for the call, and forgets all. */
void aggregate_tell(struct aggregate *a, void (*tell)(void *ctx, struct str flow), void *ctx);

#endif
