/*
 * scan - rows of tycho_flows in order of time, node and number, forward or back, as a plan slices
 * them, in bounded memory.
 *
 *	plan ──► SELECT count … ──► plan ──► SELECT … LIMIT ──► rows ──► each once ──► filter ──► take
 *	                                         ▲ │
 *	                                         └─┘ behind the last row, while a slice has more
 *
 * Twice    rows that are there twice are neighbours; the second is left out.
 * Threads  the query's.
 */
#ifndef TYCHO_RELAY_SCAN_H
#define TYCHO_RELAY_SCAN_H

#include "base/err.h"
#include "base/time.h"
#include "flow/flow.h"

struct flow_dict;
struct flow_filter;
struct query;

/* Where a row is in the order; node is at most SCAN_NODE_MAX bytes. */
enum { SCAN_NODE_MAX = 512 };
struct scan_place {
	struct wall_ns time;
	size_t node_len;
	char node[SCAN_NODE_MAX];
	uint64_t seq;
};
/* As memcmp. */
int scan_place_cmp(const struct scan_place *a, const struct scan_place *b);

/* Borrowed for the call. */
struct scan_row {
	const struct scan_place *place;
	bool is_flow;            /* else: what was lost, which no filter is asked about */
	struct str response;     /* "" where the scan has no use for it */
	const struct flow *flow; /* NULL unless decoded: with a filter, or @decodes */
};

struct scan_config {
	struct wall_ns from, until; /* inclusive */
	bool has_timeless;          /* and rows without a time, which have 0: before all others */
	bool backward;
	bool flows_only;
	bool keys_only; /* the response is of use for the filter alone */
	bool decodes;
	bool keeps_names;           /* whoever takes the rows holds on to ids of the dictionary */
	struct str where;           /* as where_put has it */
	struct flow_filter *filter; /* NULL: all */
	struct flow_dict *dict;     /* the filter's; NULL only if nothing is decoded */
	/* @return false: that was enough; or *@e is filled, and code not ERR_OK. */
	bool (*take)(void *ctx, const struct scan_row *row, struct err *e);
	void *ctx;
};

/* ERR_OK: take had all, or enough. */
MUST_CHECK enum err_code scan_run(struct query *q, const struct scan_config *config, struct err *e);

/* The time of the first row from @from to @until, rows without a time apart; 0: there is none. */
MUST_CHECK enum err_code scan_oldest(struct query *q, struct wall_ns from, struct wall_ns until,
				     struct wall_ns *ret, struct err *e);

#endif
