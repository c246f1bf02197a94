/*
 * drop_event - a note as the API server takes it: an Event of the core API, version v1.
 *
 *	POST   /api/v1/namespaces/shop/events              all of it
 *	PATCH  /api/v1/namespaces/shop/events/cart-0.17f…  count and lastTimestamp: application/merge-patch+json
 *
 * Shape    Warning, reason PacketDrop, about the pod; source.component and reportingComponent are
 *          "tycho", source.host and reportingInstance this node. What kubectl makes one line of:
 *          "12s (x340 over 6m)" are lastTimestamp, count and firstTimestamp.
 * Source   Kubernetes' API reference, "Event v1 core"; pkg/apis/core/validation/events.go: the
 *          namespace is the pod's, names are at most 253 bytes, messages 1,024, instances 128.
 */
#ifndef TYCHO_OBSERVER_DROP_EVENTS_EVENT_H
#define TYCHO_OBSERVER_DROP_EVENTS_EVENT_H

#include "base/buf.h"
#include "observer/drop_events/limiter.h"

enum { DROP_EVENT_NAME_MAX = 253, DROP_EVENT_INSTANCE_MAX = 128 };

/* "cart-0.17f3a5b2c4d60e81": the pod's name, as much of it as fits, and the note's number. */
void drop_event_name_put(struct buf *to, const struct drop_note *n);
/* JSON. @node is this node's name in Kubernetes. */
void drop_event_put(struct buf *to, const struct drop_note *n, const char *node);
void drop_event_patch_put(struct buf *to, const struct drop_note *n);

#endif
