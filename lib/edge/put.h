/*
 * edge_put - edges of the map as a tycho.v1.GetServiceMapResponse has them.
 */
#ifndef TYCHO_EDGE_PUT_H
#define TYCHO_EDGE_PUT_H

#include "edge/map.h"

/* Appends one of the answer's edges. */
void edge_put(struct buf *b, const struct edge_key *key, const struct edge_totals *totals);

#endif
