/*
 * ship - the shipper: what the store has sealed goes to ClickHouse, in order, each record once.
 *
 *	store ──feed──► block ──INSERT──► tycho_flows        at each period, or when a block is full
 *	  (the spool)     └──INSERT──► tycho_gaps
 *	ClickHouse ──max(seq)──► where to go on: at the beginning, and whenever an INSERT did not say
 *	                         whether it was done
 *
 * State    none here: where it was is asked of ClickHouse, what is not there yet lies in the store.
 * Away     a server that is away, refuses or is slow is tried again after 1 s at first, a minute at
 *          last; it is logged when that begins, for another reason, and when it is over. Nothing
 *          waits for it: neither the keeper nor capture.
 * Loss     what retention removes first is counted, logged and a row of tycho_gaps.
 * Threads  one of its own, "tycho-ship". counts, collect: any thread.
 */
#ifndef TYCHO_OBSERVER_SHIP_H
#define TYCHO_OBSERVER_SHIP_H

#include "clickhouse/client.h"
#include "flow/dict.h"
#include "store/store.h"

struct ship;
struct metrics_page;

#define SHIP_PERIOD_NS (10 * NS_PER_S)

struct ship_config {
	const struct clickhouse_config *clickhouse; /* copied */
	struct store *store;                        /* borrowed, as are the others, for its life */
	const struct flow_dict *dict;
	const char *node; /* "cluster/node" or "node": no two that ship to one table may share it */
	uint64_t period_ns; /* 0: SHIP_PERIOD_NS */
};

/* Starts the thread; a server that is away is no failure. ERR_INVALID: as clickhouse_new. */
MUST_CHECK enum err_code ship_new(const struct ship_config *config, struct ship **ret,
				  struct err *e);
/* Once the keeper has sealed its last: sends what is sealed if that works within some seconds, and
 * ends. The rest goes the next time. */
void ship_free(struct ship *s);
AUTO_DEFINE(struct ship, ship_free);

struct ship_counts {
	uint64_t records, blocks, bytes; /* taken by ClickHouse */
	uint64_t failures;               /* attempts that failed */
	uint64_t lost;                   /* records that were not sent, as far as is known */
	uint64_t gaps;                   /* how often retention was first */
	uint64_t waiting;                /* records, at the last look */
	struct wall_ns oldest;           /* time of the first of them; 0: none waits */
	bool is_working;                 /* the last attempt worked */
};
struct ship_counts ship_counts(struct ship *s);
/* The same as metrics: tycho_clickhouse_… . @ctx is the ship; NULL: nothing. */
void ship_collect(void *ctx, struct metrics_page *page);

#endif
