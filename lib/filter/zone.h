/*
 * zone - what a set of records holds, in short: enough for a filter to say "nothing in there is
 * mine" without looking at one of them.
 *
 *	records ──► flow_zone ──► bytes ──► flow_zone ──► flow_filter_may_match: no │ perhaps
 *
 * Shape    exact: kinds, verdicts, directions, drop reasons, event types, TCP flags; ports below
 *          32,768, endpoints, services and nodes while they are at most some thousand. Higher ports
 *          by their upper byte, addresses by a Bloom filter and the range of IPv4. As bytes some
 *          hundred, with many peers a few thousand. A zone never says no wrongly.
 * Ids      of endpoints, services and nodes in its bytes are whatever the records had, and are
 *          translated by whoever stores them.
 * Threads  one thread per struct flow_zone.
 */
#ifndef TYCHO_FILTER_ZONE_H
#define TYCHO_FILTER_ZONE_H

#include "base/buf.h"
#include "base/err.h"
#include "filter/filter.h"
#include "flow/flow.h"
#include "flow/members.h"

struct flow_zone;

/* Of no records. */
MUST_CHECK enum err_code flow_zone_new(struct flow_zone **ret, struct err *e);
void flow_zone_free(struct flow_zone *z);
AUTO_DEFINE(struct flow_zone, flow_zone_free);
void flow_zone_reset(struct flow_zone *z);

void flow_zone_add(struct flow_zone *z, const struct flow *flows, size_t n);

/* At most FLOW_ZONE_BYTES. */
enum { FLOW_ZONE_BYTES = 48 << 10 };
void flow_zone_put(struct buf *b, const struct flow_zone *z);

/* They translate @n stored ids, none of them 0, into those of the filter's dictionary, in place; 0
 * means "unknown": the zone then cannot say no by names. A NULL translates nothing: ids are the
 * dictionary's own. */
struct flow_zone_ids {
	void (*endpoints)(void *ctx, uint32_t *ids, size_t n);
	void (*services)(void *ctx, uint32_t *ids, size_t n);
	void (*nodes)(void *ctx, uint32_t *ids, size_t n);
	void *ctx;
};
/* Replaces what @z holds, for filters that look at none but the @members (flow_filter_members): of
 * the others @z may know nothing, and is not to be put or asked. ERR_PARSE: damaged; @z then holds
 * anything. */
MUST_CHECK enum err_code flow_zone_get(struct flow_zone *z, struct str bytes, flow_members members,
				       const struct flow_zone_ids *ids, struct err *e);

/* False: no record of the zone can match. Not const: predicates remember answers. NULL filter:
 * true, if there are records. */
bool flow_filter_may_match(struct flow_filter *ff, const struct flow_zone *z);

/* The members that match and match_n look at. Where a record has a FLOW_ODD_ bit, is FLOW_WHOLE, is
 * no flow, or an enum is 255, its accessors look into ext as well: whoever loads columns loads ext
 * for those. */
flow_members flow_filter_members(const struct flow_filter *ff);
/* Of a record of which only the @known members are filled in: false if it cannot match, whatever
 * the others are. @f->kind is always filled in; without FLOW_MEMBER_BITS in @known, @f->bits holds
 * all bits that the record could have, FLOW_ODD_ ones apart. */
bool flow_filter_may_match_known(struct flow_filter *ff, const struct flow *f, flow_members known);
/* The other way round: true if it matches, whatever the others are. Without FLOW_MEMBER_BITS in
 * @known that holds for records that have @f's bits and perhaps more, FLOW_ODD_ ones apart. */
bool flow_filter_must_match_known(struct flow_filter *ff, const struct flow *f, flow_members known);

#endif
