/*
 * row - a record of the store as a row of ClickHouse's table of flows (clickhouse/schema.h).
 */
#ifndef TYCHO_OBSERVER_SHIP_ROW_H
#define TYCHO_OBSERVER_SHIP_ROW_H

#include "base/buf.h"
#include "flow/dict.h"
#include "flow/flow.h"
#include "store/store.h"

/* What one row after the other needs; ship_row_done frees. */
struct ship_row {
	const struct flow_dict *dict; /* of the records; borrowed, as is @node */
	struct str node;              /* "cluster/node" or "node" */
	struct buf text;
};
struct ship_row ship_row_init(const struct flow_dict *dict, struct str node);
void ship_row_done(struct ship_row *r);

/* Appends @f, a flow or lost events, as RowBinary in the order of the table's columns. @time_ns: its
 * time, or that of a record that has none. Fails as @b does, or where one record is larger than any
 * may be: @b is then failed. */
void ship_row_put(struct ship_row *r, struct buf *b, const struct flow *f, uint64_t time_ns);

/* A row of the table of gaps. @entry: its number in the chain, or what stands for it. */
void ship_gap_put(struct buf *b, struct str node, uint64_t entry, struct str cause,
		  const struct store_gap *gap);

#endif
