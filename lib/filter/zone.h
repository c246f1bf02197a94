/*
 * zone - what a set of records holds, in short: enough for a filter to say "nothing in there is
 * mine" without looking at one of them.
 *
 *	records ──► flow_zone (a few hundred bytes) ──► flow_filter_may_match: no │ perhaps
 *
 * Shape    small sets are exact (verdicts, kinds, drop reasons, endpoints while they are few);
 *          large ones are Bloom filters. A zone never says no wrongly.
 * Bytes    flow_zone_put / flow_zone_get; ids of endpoints and nodes in them are whatever the
 *          records had, and are translated by whoever stores them.
 */
#ifndef TYCHO_FILTER_ZONE_H
#define TYCHO_FILTER_ZONE_H

#include "base/buf.h"
#include "base/err.h"
#include "filter/filter.h"
#include "flow/flow.h"
#include "flow/members.h"

struct flow_zone;

MUST_CHECK enum err_code flow_zone_new(struct flow_zone **ret, struct err *e);
void flow_zone_free(struct flow_zone *z);
AUTO_DEFINE(struct flow_zone, flow_zone_free);
void flow_zone_reset(struct flow_zone *z);

void flow_zone_add(struct flow_zone *z, const struct flow *flows, size_t n);
/* What one of the two holds: for merged segments. */
void flow_zone_merge(struct flow_zone *z, const struct flow_zone *other);

void flow_zone_put(struct buf *b, const struct flow_zone *z);
/* ERR_PARSE: damaged. @endpoint and @node translate the ids that were put into the ids of the
 * filter's dictionary; 0 from them means "unknown": then the zone cannot say no by names. */
struct flow_zone_ids {
	struct endpoint_id (*endpoint)(void *ctx, uint32_t stored);
	struct node_id (*node)(void *ctx, uint32_t stored);
	void *ctx;
};
MUST_CHECK enum err_code flow_zone_get(struct flow_zone *z, struct str bytes,
				       const struct flow_zone_ids *ids, struct err *e);

/* False: no record of the zone can match. Not const: predicates remember answers. */
bool flow_filter_may_match(struct flow_filter *ff, const struct flow_zone *z);
/* The members that match and match_n look at. Where a record has a FLOW_ODD_ bit, is FLOW_WHOLE, or
 * an enum is 255, its accessors look into ext as well: whoever loads columns loads ext for those.
 */
flow_members flow_filter_members(const struct flow_filter *ff);

#endif
