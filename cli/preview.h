/*
 * preview - recorded flows put to policies that are not in force yet: what would be decided
 * differently?
 *
 *	flows ──► connections (who, to whom, port) ──► decided by the policies ──► rows
 *	                   └─► what the record says was decided
 *
 * A connection is decided at both of its ends, once for all of its flows: denied if either end
 * denies. What was decided comes from the policies that were in force, where those are given and
 * agree with the record, else from the record alone.
 *
 * Unknown  whatever cannot be told is told as that, with the reason, and is no row of another kind:
 *          an end that nobody named, rules of a proxy, names of ports without Pods, policies that
 *          are known in part, a record that says both.
 * Memory   bounded: PREVIEW_CONNECTIONS_MAX; flows beyond are counted.
 * Threads  one at a time.
 */
#ifndef TYCHO_CLI_PREVIEW_H
#define TYCHO_CLI_PREVIEW_H

#include "flow/flow.h"
#include "policy/policy.h"

enum { PREVIEW_CONNECTIONS_MAX = 1 << 16, PREVIEW_TEXTS_MAX = 1 << 18 };

/* struct policy_info, origin, of the policies that are looked at */
#define PREVIEW_ORIGIN_NEW "new"

struct preview;

/* @before: what was in force, NULL: nobody says. Both are borrowed for its life, as is @dict, the
 * dictionary of the flows. ERR_NOMEM. */
MUST_CHECK enum err_code preview_new(const struct policy_set *after,
				     const struct policy_set *before, const struct flow_dict *dict,
				     struct preview **ret, struct err *e);
void preview_free(struct preview *p);
AUTO_DEFINE(struct preview, preview_free);
/* @flow with its bytes is borrowed for the call. ERR_NOMEM. */
MUST_CHECK enum err_code preview_flow(struct preview *p, const struct flow *flow, struct err *e);

enum preview_change {
	PREVIEW_SAME,
	PREVIEW_DENIED,  /* was allowed */
	PREVIEW_ALLOWED, /* was denied */
	PREVIEW_UNKNOWN,
	PREVIEW_CHANGE_COUNT_
};
/* "same", "denied", "allowed", "unknown". */
const char *preview_change_name(enum preview_change change);

struct preview_row {
	enum preview_change change; /* never PREVIEW_SAME */
	uint64_t flows;             /* DENIED: that passed; ALLOWED: that were dropped; else both */
	struct str source, destination;  /* "shop/web", "world", "192.0.2.7", a DNS name */
	uint8_t protocol;                /* IPPROTO_ */
	uint16_t port;                   /* type of ICMP */
	enum policy_direction direction; /* of the end that decides; UNKNOWN: no meaning */
	struct str why;                  /* policies or rules, ", " between; UNKNOWN: the reason */
};
struct preview_counts {
	uint64_t flows[PREVIEW_CHANGE_COUNT_], connections[PREVIEW_CHANGE_COUNT_];
	uint64_t other; /* flows that no policy decided: of proxies, drops for other reasons, … */
	uint64_t left_out; /* flows of connections beyond the limit */
};
/* All that was seen, equal rows added up: by change, then the most flows first. @ret_rows is the
 * caller's to free; texts are borrowed for the life of @p. ERR_NOMEM. */
MUST_CHECK enum err_code preview_rows(const struct preview *p, struct preview_row **ret_rows,
				      size_t *ret_count, struct preview_counts *ret_counts,
				      struct err *e);

#endif
