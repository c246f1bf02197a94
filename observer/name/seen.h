/*
 * seen - the namespaces that flows were seen in during the last hour, for GetNamespaces.
 *
 * Threads  mark: the capture thread, without lock, allocation or system call. list: any thread.
 * Shape    SEEN_MAX namespaces at a time, three times what a cluster of Kubernetes is meant to
 *          have; more are not listed until others expire, and the sides of flows in them counted.
 */
#ifndef TYCHO_OBSERVER_SEEN_H
#define TYCHO_OBSERVER_SEEN_H

#include "base/err.h"
#include "flow/dict.h"

enum { SEEN_MAX = 1 << 15, SEEN_FOR_S = 3600 };

struct seen;

/* @own_cluster: cluster of endpoints that name none; "default" counts as "". Borrowed, as is @dict.
 * */
MUST_CHECK enum err_code seen_new(const struct flow_dict *dict, struct str own_cluster,
				  struct seen **ret, struct err *e);
void seen_free(struct seen *s);
AUTO_DEFINE(struct seen, seen_free);

/* @ep was a flow's source or destination at @now. */
void seen_mark(struct seen *s, struct endpoint_id ep, struct wall_ns now);
/* Any thread: sides of flows whose namespace found no room. */
uint64_t seen_unlisted(const struct seen *s);
/* Calls @each in order of cluster, then namespace. */
void seen_list(const struct seen *s, struct wall_ns now,
	       void (*each)(void *ctx, struct str cluster, struct str ns), void *ctx);

#endif
