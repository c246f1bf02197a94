/*
 * edge_rows - the service map of a minute as bytes.
 *
 * Who talked to whom changes little within a minute's rows when they are sorted: columns of small
 * numbers (nums.h), which compress to a few bytes a row, where a row of its own took forty.
 *
 * Bytes    "tyE" and the format's number; varints: rows, bytes of the codes, bytes of them as stored;
 *          the codes, compressed by zstd; the bits. Columns come one after the other, in the order of
 *          enum edge_column; the first is the difference to the row before, the second as well, zigzag.
 * Threads  one thread per struct.
 */
#ifndef TYCHO_STORE_EDGE_ROWS_H
#define TYCHO_STORE_EDGE_ROWS_H

#include "base/buf.h"
#include "base/err.h"

/* Of one piece. A minute that has more is in several. */
enum { EDGE_ROWS_MOST = 1 << 15 };

/* What is counted for one edge. Numbers of parties, src to node, are the file's. */
struct edge_row {
	uint32_t src, dst, dns, policy, node; /* 0: none */
	uint32_t drop_desc;
	uint16_t port;
	uint8_t l4, verdict;
	uint64_t flows, packets, bytes;
	uint32_t l7_ok, l7_errors;
};
/* Its members one by one: what tells edges apart, in the order of rows, then what is counted. */
enum edge_column {
	EDGE_ROW_SRC,
	EDGE_ROW_DST,
	EDGE_ROW_PORT,
	EDGE_ROW_L4,
	EDGE_ROW_VERDICT,
	EDGE_ROW_DROP_DESC,
	EDGE_ROW_POLICY,
	EDGE_ROW_DNS,
	EDGE_ROW_NODE,
	EDGE_ROW_FLOWS,
	EDGE_ROW_PACKETS,
	EDGE_ROW_BYTES,
	EDGE_ROW_L7_OK,
	EDGE_ROW_L7_ERRORS,
	EDGE_ROW_COLUMNS_,
	EDGE_ROW_KEY_COLUMNS = EDGE_ROW_FLOWS
};
uint64_t edge_row_get(const struct edge_row *row, enum edge_column column);
/* Cut to what the member can hold. */
void edge_row_set(struct edge_row *row, enum edge_column column, uint64_t v);

/* Zeros: none. */
struct edge_rows {
	struct edge_row *list;
	size_t count, room;
};
/* Room for @n more. */
MUST_CHECK bool edge_rows_reserve(struct edge_rows *r, size_t n);
void edge_rows_done(struct edge_rows *r);
#define AUTO_EDGE_ROWS __attribute__((cleanup(edge_rows_done)))

/* In the order of what they count for; those that count for the same become one. */
void edge_rows_sort(struct edge_rows *r);

/* Those of @r, sorted, at most EDGE_ROWS_MOST, behind what @to holds. */
MUST_CHECK enum err_code edge_rows_pack(const struct edge_rows *r, struct buf *to, struct err *e);
/* Behind those of @r. ERR_PARSE: they are none. On failure @r is as it was. */
MUST_CHECK enum err_code edge_rows_unpack(struct str bytes, struct edge_rows *r, struct err *e);

/* What tells whether packed bytes are those that were written. */
static inline uint64_t edge_rows_sum(struct str bytes)
{
	return hash_bytes(bytes.p, bytes.len, 0);
}

#endif
