/*
 * held - what is in tycho_flows of each node.
 *
 * Threads  the query's.
 */
#ifndef TYCHO_RELAY_HELD_H
#define TYCHO_RELAY_HELD_H

#include "base/err.h"
#include "base/time.h"

struct query;

struct held_node {
	char *name;                    /* own */
	struct wall_ns oldest, newest; /* of records that have a time; 0: none has */
	uint64_t rows, flows;          /* flows: without what tells of losses */
	uint64_t in_range;             /* rows of the range that was asked for, or without a time */
};
/* In order of their names; zeros are empty. */
struct held {
	struct held_node *nodes;
	size_t count, cap;
};
#define AUTO_HELD __attribute__((cleanup(held_done)))

/* Asks of all rows. The range is inclusive. ERR_NOMEM: or there are more than 100,000 nodes. */
MUST_CHECK enum err_code held_ask(struct query *q, struct wall_ns since, struct wall_ns until,
				  struct held *ret, struct err *e);
void held_done(struct held *h);
/* Between the oldest and the newest of all. */
uint64_t held_span_ns(const struct held *h);

#endif
