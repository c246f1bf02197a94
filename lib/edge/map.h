/*
 * edge_map - the service map: flows summed up as edges, bounded, with what has changed since.
 *
 *	flow, or a sum of flows ──► edge_map_add… ──► edge {who, whom, port, verdict, …}: totals
 *	                                                    │ edge_map_each(since a version)
 *	                                                    └► snapshot, deltas
 *
 * Shape    at most @max_edges edges; what would need another is counted as left out. Edges are not
 *          forgotten while the map lives.
 * Threads  one at a time.
 */
#ifndef TYCHO_EDGE_MAP_H
#define TYCHO_EDGE_MAP_H

#include "base/err.h"
#include "base/time.h"
#include "edge/edge.h"

/* What tells edges apart. */
struct edge_key {
	struct edge_side src, dst;
	struct str dns;     /* of the destination; "" */
	struct str policy;  /* "namespace/name"; "" */
	uint32_t drop_desc; /* flow.DropReason of drops */
	uint16_t port;
	uint8_t l4;      /* enum flow_l4 */
	uint8_t verdict; /* flow.Verdict */
};
/* What is summed. */
struct edge_totals {
	uint64_t flows, packets, bytes, l7_ok, l7_errors;
	struct wall_ns first, last; /* 0: not known */
};

struct edge_map;

/* @seed for hashing: random where names come from outside. */
MUST_CHECK enum err_code edge_map_new(size_t max_edges, uint64_t seed, struct edge_map **ret,
				      struct err *e);
void edge_map_free(struct edge_map *m);
AUTO_DEFINE(struct edge_map, edge_map_free);

/* @f names its endpoints in @dict, always the same one, which is never reset. Records that are no
 * flow are passed over. */
void edge_map_add_flow(struct edge_map *m, const struct flow *f, const struct flow_dict *dict);
/* Strings are copied. */
void edge_map_add(struct edge_map *m, const struct edge_key *key, const struct edge_totals *totals);

/* Grows with each addition. */
uint64_t edge_map_version(const struct edge_map *m);
/* Flows that found no room. */
uint64_t edge_map_left_out(const struct edge_map *m);
/* Edges that changed after version @since (0: all) from number *@at on, with their totals; stops,
 * with *@at where to go on, when @each says false. @return true when it came to the end. */
bool edge_map_each(const struct edge_map *m, uint64_t since, size_t *at,
		   bool (*each)(void *ctx, const struct edge_key *key,
				const struct edge_totals *totals),
		   void *ctx);

#endif
