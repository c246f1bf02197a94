/*
 * tables - what a node has in ClickHouse already, asked of ClickHouse; and what is put there, in
 * statements that are atomic.
 *
 * Once     every statement of a node has the same query_id: while one of them runs, whatever became
 *          of its connection, the server refuses the next (ERR_AGAIN). So an answer to
 *          ship_tables_ask is true until this node puts something. (A server lets an INSERT run once
 *          it has read a megabyte of it, or all: of a shorter one whose connection was lost, the
 *          rest must not be delivered by others after that answer.)
 * Threads  one, as the client.
 */
#ifndef TYCHO_OBSERVER_SHIP_TABLES_H
#define TYCHO_OBSERVER_SHIP_TABLES_H

#include "clickhouse/client.h"
#include "clickhouse/schema.h"

struct ship_tables;

/* @client, @node: borrowed. */
MUST_CHECK enum err_code ship_tables_new(struct clickhouse *client, const char *node,
					 struct ship_tables **ret, struct err *e);
void ship_tables_free(struct ship_tables *t);
AUTO_DEFINE(struct ship_tables, ship_tables_free);

/* Makes the tables where they are missing, looks whether they fit, and what the server can do. Once
 * before the rest, and again after a failure. */
MUST_CHECK enum err_code ship_tables_open(struct ship_tables *t, struct err *e);

struct ship_position {
	uint64_t seq;     /* the last that is there, or that is known to be missing; 0: none */
	uint64_t time_ns; /* of the last that is there */
	uint64_t entry;   /* the last of the chain that is there; 0: none */
};
MUST_CHECK enum err_code ship_tables_ask(struct ship_tables *t, struct ship_position *ret,
					 struct err *e);

/* @rows: RowBinary, all of one partition, with numbers (entries) from @first to @last. On a failure
 * all, a beginning or none of them are there: ask. */
MUST_CHECK enum err_code ship_tables_put(struct ship_tables *t,
					 const struct clickhouse_table *table, struct str rows,
					 uint64_t first, uint64_t last, struct err *e);

#endif
