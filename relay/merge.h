/*
 * merge - many streams, each in order of time, become one: with patience, but not without end.
 *
 *	lane A  10 12 15 ──┐
 *	lane B  11 ────────┼──► 10 11 (B is empty: wait for it) … 12 15
 *	lane C  ended      ┘
 *
 * The oldest item of all lanes goes out when nothing older can come: when every lane has an item or
 * has ended. While a lane is empty, its silence holds the others up, within bounds:
 *
 * History  (an item older than @live_from) waits as long as some empty lane has patience left. A
 *          lane begins with @drain_ns of it, its silence uses it up, each item it delivers earns
 *          MERGE_EARN_NS back. So a lane that keeps delivering is waited for, and the answer is in
 *          exact order; a dead one holds up the rest once, a trickling one hardly longer.
 * Live     items wait MERGE_SETTLE_NS since they came (at most @drain_ns), or until @window of them
 *          are held. Within that, lanes may be this much apart and the order is still exact.
 *
 * An item that comes later than that is passed on all the same, out of order. Nothing is dropped.
 *
 * Shape    any number of lanes; each holds what is put into it: the caller bounds that.
 * Time     passed in. Items without a time (0) go out first.
 * Threads  one.
 */
#ifndef TYCHO_RELAY_MERGE_H
#define TYCHO_RELAY_MERGE_H

#include "base/err.h"
#include "base/str.h"
#include "base/time.h"

struct merge;

#define MERGE_EARN_NS (10 * NS_PER_MS)
#define MERGE_SETTLE_NS (100 * NS_PER_MS)

struct merge_config {
	size_t window; /* live items held, at least 1 */
	uint64_t drain_ns;
	struct wall_ns live_from;
};

/* What is merged: bytes, who keeps them, and what they are. The merge looks at none of it. */
struct merge_item {
	void *owner, *about;
	struct str bytes;
	unsigned kind;
};

MUST_CHECK enum err_code merge_new(const struct merge_config *config, struct merge **ret,
				   struct err *e);
void merge_free(struct merge *m); /* NULL is a no-op; items still in it are the caller's to find:
				     merge_pop_any */
AUTO_DEFINE(struct merge, merge_free);

/* A new lane, empty and waited for from @now on. */
MUST_CHECK enum err_code merge_lane_add(struct merge *m, struct mono_ns now, size_t *ret_lane,
					struct err *e);
/* Nothing more comes; what is in it still goes out. Twice is as good as once. */
void merge_lane_end(struct merge *m, size_t lane);
/* It comes back, with all its patience. */
void merge_lane_reopen(struct merge *m, size_t lane, struct mono_ns now);

/* Fails with ERR_NOMEM; the item is then the caller's. */
MUST_CHECK enum err_code merge_put(struct merge *m, size_t lane, struct wall_ns time,
				   struct merge_item item, struct mono_ns now, struct err *e);
/* The next item to go out; false: none is due. */
bool merge_pop(struct merge *m, struct mono_ns now, struct merge_item *ret);
/* Any item, in no order; false: it is empty. */
bool merge_pop_any(struct merge *m, struct merge_item *ret);
/* Items in it. */
size_t merge_held(const struct merge *m);
/* Open lanes. */
size_t merge_open_lanes(const struct merge *m);
/* Open, empty and out of patience. */
bool merge_lane_is_silent(const struct merge *m, size_t lane, struct mono_ns now);

#endif
