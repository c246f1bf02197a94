/*
 * seed - what an intake knows when we start: the newest of what the store holds, so that a restart
 * of ours is a break like any other.
 */
#ifndef TYCHO_OBSERVER_UPSTREAM_SEED_H
#define TYCHO_OBSERVER_UPSTREAM_SEED_H

#include "observer/upstream/intake.h"

struct flow_dict;
struct store;

/* Flows of other servers that are not older than a day at @now, at most @most of them; events
 * likewise. After it, all streams have broken. Reads the store: takes as long as that takes. Fails
 * as the store does; what was read counts. */
MUST_CHECK enum err_code seed_intake(struct intake *in, struct store *store,
				     const struct flow_dict *dict, size_t most, struct wall_ns now,
				     struct err *e);

#endif
