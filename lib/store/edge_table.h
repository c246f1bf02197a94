/*
 * edge_table - the service map by the minute as SQL sees it.
 *
 * The file has a minute in one row, packed (edge_rows.h), of the table edge_minute. Each connection
 * has besides:
 *
 *	edge                a table with a row for each edge and minute, in the order of the minutes;
 *	                    a range of them is looked up. What cannot be unpacked is damage, as a page
 *	                    that cannot be read is
 *	edge_pack(src, …)   an aggregate: its rows, sorted, as bytes
 *	edge_sum(bytes)     what edge_minute.sum must be
 *
 * In a file of before version 5, edge is a table of its own.
 */
#ifndef TYCHO_STORE_EDGE_TABLE_H
#define TYCHO_STORE_EDGE_TABLE_H

#include <sqlite3.h>

#include "store/edge_rows.h"

enum {
	/* edge_minute.id: the minute since 1970, and which of its pieces it is */
	EDGE_PIECE_BITS = 20,
};

/* The rows of @st's row of edge_minute (id, sum, data), behind those of @to, as edge_rows_unpack. ERR_PARSE
 * also if they are not what was written. */
MUST_CHECK enum err_code edge_piece_read(sqlite3_stmt *st, struct edge_rows *to, struct err *e);

/* @return SQLite's code. */
MUST_CHECK int edge_table_register(sqlite3 *h);

#endif
