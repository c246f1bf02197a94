/*
 * rowbinary - ClickHouse's format RowBinary, written and read: the values of a row one after the
 * other, without names, types or separators.
 *
 *	UInt64   8 bytes, little-endian        Nullable(T)   0 and the value, or 1
 *	String   length (LEB128) and bytes     Array(T)      length (LEB128) and the values
 *
 * Reading  is sticky: after the first failure all reads give 0 or "", and one check at the end of
 *          the row suffices. @is_short: the bytes ended within a value, and more of them may mend
 *          it; @is_bad: none will.
 */
#ifndef TYCHO_CLICKHOUSE_ROWBINARY_H
#define TYCHO_CLICKHOUSE_ROWBINARY_H

#include "base/buf.h"
#include "base/err.h"

void rowbinary_put_u8(struct buf *b, uint8_t v);
void rowbinary_put_u16(struct buf *b, uint16_t v);
void rowbinary_put_u32(struct buf *b, uint32_t v);
void rowbinary_put_u64(struct buf *b, uint64_t v);
void rowbinary_put_length(struct buf *b, uint64_t n); /* of an array; also a String's */
void rowbinary_put_text(struct buf *b, struct str s);
static inline void rowbinary_put_null(struct buf *b, bool is_null) /* before a Nullable's value */
{
	rowbinary_put_u8(b, is_null);
}

struct rowbinary_reader {
	const uint8_t *p, *end;
	size_t text_max; /* bytes of a String; longer ones are bad */
	size_t list_max; /* values of an array */
	bool is_short, is_bad;
};
struct rowbinary_reader rowbinary_reader_of(struct str bytes, size_t text_max, size_t list_max);
uint8_t rowbinary_u8(struct rowbinary_reader *r);
uint16_t rowbinary_u16(struct rowbinary_reader *r);
uint32_t rowbinary_u32(struct rowbinary_reader *r);
uint64_t rowbinary_u64(struct rowbinary_reader *r);
/* Borrowed from the bytes. */
struct str rowbinary_text(struct rowbinary_reader *r);
/* How many values of an array follow. */
size_t rowbinary_length(struct rowbinary_reader *r);
/* True: NULL, no value follows. */
bool rowbinary_is_null(struct rowbinary_reader *r);
static inline bool rowbinary_is_well(const struct rowbinary_reader *r)
{
	return !r->is_short && !r->is_bad;
}
static inline bool rowbinary_is_at_end(const struct rowbinary_reader *r)
{
	return rowbinary_is_well(r) && r->p == r->end;
}

/*
 * rows of an answer that comes in pieces: what a piece leaves of a row waits for the next.
 *
 * @each reads one row with @r and returns false to stop; it is called again for a row that was
 * short, so it acts only once rowbinary_is_well. Texts are borrowed for the call.
 */
struct rowbinary_rows {
	bool (*each)(void *ctx, struct rowbinary_reader *r);
	void *ctx;
	size_t text_max, list_max;
	struct buf rest; /* buf_init(bytes that a row may have) */
	bool is_bad;     /* a row that cannot be read, or is longer than that */
};
/* A clickhouse_piece_fn; @ctx is the rowbinary_rows. */
bool rowbinary_rows_take(void *ctx, struct str piece);
/* Whether the answer ended where a row ends. ERR_PARSE. */
MUST_CHECK enum err_code rowbinary_rows_end(const struct rowbinary_rows *rows, struct err *e);

#endif
