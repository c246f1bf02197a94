/*
 * sql - read-only SQL over a store's file, by virtual tables.
 *
 *	select source_pod, count(*) from flows where verdict = 'DROPPED' and time > ago('1h') …
 *	                                 │ verdict, time: pushed into zones and segments
 *	                                 v
 *	flows  gaps  endpoints  edges  policies
 *
 * What is asked of flows with = on names, addresses, ports, verdicts, numbers, and with < > on
 * times and numbers narrows the scan; everything else is done by SQLite on what comes out of it.
 *
 * Safety   statements read these tables and nothing else: an authorizer refuses writing, attaching,
 *          pragmas, other files. Lengths of texts, of statements and the depth of expressions are
 *          bounded.
 * Threads  one thread, but for store_sql_cancel.
 */
#ifndef TYCHO_STORE_SQL_H
#define TYCHO_STORE_SQL_H

#include "base/buf.h"
#include "base/err.h"
#include "base/time.h"

struct store_sql;

/* The store in @dir. @now: what ago() counts from. ERR_NOT_FOUND and others as store_reader_open.
 */
MUST_CHECK enum err_code store_sql_new(const char *dir, struct wall_ns now, struct store_sql **ret,
				       struct err *e);
void store_sql_free(struct store_sql *q);
AUTO_DEFINE(struct store_sql, store_sql_free);

enum store_sql_type { STORE_SQL_NULL, STORE_SQL_INTEGER, STORE_SQL_REAL, STORE_SQL_TEXT };
struct store_sql_cell {
	enum store_sql_type type;
	int64_t integer;
	double real;
	struct str text; /* of numbers, too: as SQLite writes them; blobs in hex */
};
/* Cells and names are borrowed for the call. Anything but ERR_OK ends the query and is its result.
 */
struct store_sql_sink {
	enum err_code (*head)(void *ctx, const char *const *names, size_t count, struct err *e);
	enum err_code (*row)(void *ctx, const struct store_sql_cell *cells, size_t count,
			     struct err *e);
	void *ctx;
};
/* One statement. ERR_INVALID: SQLite's sentence about it; ERR_PERMISSION: it does not only read;
 * ERR_CANCELLED; ERR_IO, ERR_PARSE: the store; rows that could be read were given. */
MUST_CHECK enum err_code store_sql_run(struct store_sql *q, struct str statement,
				       const struct store_sql_sink *sink, struct err *e);
/* Parts of the store that could not be read: their flows, or names of flows, are missing in the
 * answers so far. */
size_t store_sql_damaged(const struct store_sql *q);
/* Ends the running query soon, and those after it. Any thread, and signal handlers. */
void store_sql_cancel(struct store_sql *q);

/* The tables as CREATE TABLE statements, a column a line with what it is. */
void store_sql_schema(struct buf *b);

#endif
