/*
 * flow_mask - a google.protobuf.FieldMask over flow.Flow, compiled once, applied to wire bytes.
 *
 * Semantics are Hubble's (reference/hubble-api.md 3.5): paths are proto names, nested with dots;
 * repeated fields as a whole only; every message that a nested path passes through is present in
 * the result even if the flow lacks it. Immutable after construction: any number of threads.
 */
#ifndef TYCHO_FLOW_MASK_H
#define TYCHO_FLOW_MASK_H

#include "base/err.h"
#include "base/str.h"

struct buf;
struct flow_mask;

/* No paths: *@ret is NULL, which means everything. ERR_INVALID names the first bad path:
 * `proto: invalid path "bogus" for message "flow.Flow"`. */
MUST_CHECK enum err_code flow_mask_new(const char *const *paths, size_t count,
				       struct flow_mask **ret, struct err *e);
void flow_mask_free(struct flow_mask *m);
AUTO_DEFINE(struct flow_mask, flow_mask_free);

/* Appends what the mask leaves of @message (flow.Flow bytes), in the order that it has. NULL mask: all of it. Where messages
 * have ascending fields, what is equal is so to the byte, whichever of its messages were there. */
void flow_mask_apply(const struct flow_mask *m, struct str message, struct buf *out);
/* Appends an observer.GetFlowsResponse with what @m (NULL: all) leaves of @flow (flow.Flow bytes): its
 * node_name and time are as much of the flow's. */
void flow_mask_response(const struct flow_mask *m, struct str flow, struct buf *out);
/* True if the top-level field @number survives, whole or in part. */
bool flow_mask_has(const struct flow_mask *m, uint32_t number);

#endif
