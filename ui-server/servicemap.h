/*
 * ui_map - who talks to whom: flows summed up as cards (workloads, pods, names, addresses) and
 * edges between them.
 *
 *	card  shop/frontend (Deployment) ──► card  payments/gateway      one edge for each source,
 *	                                  8443/TCP: 120 forwarded,       destination, port and
 *	                                            4 dropped            protocol
 *
 * Replies count on the edge of the request that they answer. A card is the most telling name that
 * a flow has for its side: workload, else pod, else reserved identity ("host"), else DNS name, else
 * CIDR, else address.
 *
 * What a flow says of its direction is lib/edge's to tell, as for the record's map (edge_map). The
 * sums are not the same and cannot be one: the record keeps a row for each verdict, reason, policy
 * and name, for ever and without addresses, which would be without end; a page wants one edge for
 * all of these, peers outside by address for as long as it looks, on which side a policy denied,
 * and the kernel's own reasons. A past range's map is made from the record's rows (add_edge).
 *
 * Shape    bounded by ui_map_limits. Cards and edges are never forgotten while the map lives: it is
 *          the map of one stream, and goes with it.
 * Threads  one at a time: the caller locks.
 * Loss     addresses beyond the limit share one card, "other addresses"; flows that would need a
 *          card or an edge too many are counted as untracked.
 */
#ifndef TYCHO_UI_SERVICEMAP_H
#define TYCHO_UI_SERVICEMAP_H

#include "base/err.h"
#include "flow/dict.h"
#include "flow/flow.h"
#include "tycho/v1/history.pb-c.h"

struct buf;
struct ui_map;

/* What became of a flow, as the map draws it. */
enum ui_outcome { UI_FORWARDED, UI_DROPPED, UI_AUDITED, UI_UNKNOWN, UI_OUTCOME_COUNT_ };
/* From flow.Verdict; ERROR counts as dropped. Verdicts of later versions are unknown. */
enum ui_outcome ui_outcome_of(const struct flow *f);

struct ui_map_limits {
	size_t cards, edges;
	size_t addresses; /* cards that are a bare address; less than cards */
};

/* @seed for hashing: random where flows come from outside. */
MUST_CHECK enum err_code ui_map_new(struct ui_map_limits limits, uint64_t seed, struct ui_map **ret,
				    struct err *e);
void ui_map_free(struct ui_map *m); /* NULL is a no-op */
AUTO_DEFINE(struct ui_map, ui_map_free);

/* @f names its endpoints in @dict, always the same one. */
void ui_map_add(struct ui_map *m, const struct flow *f, const struct flow_dict *dict);

/* An edge of a server's service map (tycho.v1), with all its flows; from several nodes they add up.
 * Peers outside are known by DNS name or as "world": such edges have no addresses. */
void ui_map_add_edge(struct ui_map *m, const Tycho__V1__Edge *edge);

/* Grows with each flow that was added. */
uint64_t ui_map_version(const struct ui_map *m);
/* Appends what is new or changed since version @since (0: everything) as a JSON object;
 * docs/wire.md names its members. */
void ui_map_put(const struct ui_map *m, uint64_t since, struct buf *b);

#endif
