#include "clickhouse/rowbinary.h"

#include <endian.h>

/* --- writing ------------------------------------------------------------------------------- */

void rowbinary_put_u8(struct buf *b, uint8_t v)
{
	buf_char(b, (char)v);
}

void rowbinary_put_u16(struct buf *b, uint16_t v)
{
	v = htole16(v);
	buf_put(b, &v, sizeof v);
}

void rowbinary_put_u32(struct buf *b, uint32_t v)
{
	v = htole32(v);
	buf_put(b, &v, sizeof v);
}

void rowbinary_put_u64(struct buf *b, uint64_t v)
{
	v = htole64(v);
	buf_put(b, &v, sizeof v);
}

void rowbinary_put_length(struct buf *b, uint64_t n)
{
	for (; n >= 0x80; n >>= 7)
		buf_char(b, (char)(0x80 | (n & 0x7f)));
	buf_char(b, (char)n);
}

void rowbinary_put_text(struct buf *b, struct str s)
{
	rowbinary_put_length(b, s.len);
	buf_str_put(b, s);
}

/* --- reading ------------------------------------------------------------------------------- */

struct rowbinary_reader rowbinary_reader_of(struct str bytes, size_t text_max, size_t list_max)
{
	const uint8_t *p = (const uint8_t *)(bytes.len ? bytes.p : "");

	return (struct rowbinary_reader){
		.p = p, .end = p + bytes.len, .text_max = text_max, .list_max = list_max
	};
}

/* @n bytes, or NULL. */
static const uint8_t *take(struct rowbinary_reader *r, size_t n)
{
	if (!rowbinary_is_well(r))
		return NULL;
	if ((size_t)(r->end - r->p) < n) {
		r->is_short = true;
		return NULL;
	}
	r->p += n;
	return r->p - n;
}

uint8_t rowbinary_u8(struct rowbinary_reader *r)
{
	const uint8_t *p = take(r, 1);

	return p ? *p : 0;
}

uint16_t rowbinary_u16(struct rowbinary_reader *r)
{
	const uint8_t *p = take(r, sizeof(uint16_t));
	uint16_t v = 0;

	if (p)
		memcpy(&v, p, sizeof v);
	return le16toh(v);
}

uint32_t rowbinary_u32(struct rowbinary_reader *r)
{
	const uint8_t *p = take(r, sizeof(uint32_t));
	uint32_t v = 0;

	if (p)
		memcpy(&v, p, sizeof v);
	return le32toh(v);
}

uint64_t rowbinary_u64(struct rowbinary_reader *r)
{
	const uint8_t *p = take(r, sizeof(uint64_t));
	uint64_t v = 0;

	if (p)
		memcpy(&v, p, sizeof v);
	return le64toh(v);
}

/* At most @max; what is more is bad, however many bytes say so. */
static size_t length(struct rowbinary_reader *r, size_t max)
{
	uint64_t v = 0;

	for (unsigned shift = 0; shift < 63; shift += 7) {
		const uint8_t byte = rowbinary_u8(r);
		v |= (uint64_t)(byte & 0x7f) << shift;
		if (!rowbinary_is_well(r))
			return 0;
		if (v > max)
			break;
		if (byte < 0x80)
			return (size_t)v;
	}
	r->is_bad = true;
	return 0;
}

struct str rowbinary_text(struct rowbinary_reader *r)
{
	const size_t n = length(r, r->text_max);
	const uint8_t *p = take(r, n);

	return p ? str_n(p, n) : STR("");
}

size_t rowbinary_length(struct rowbinary_reader *r)
{
	return length(r, r->list_max);
}

bool rowbinary_is_null(struct rowbinary_reader *r)
{
	const uint8_t v = rowbinary_u8(r);

	if (v > 1)
		r->is_bad = true;
	return v == 1 && rowbinary_is_well(r);
}

/* --- rows in pieces ------------------------------------------------------------------------ */

/* Rows from the beginning of @s on; *@ret_used bytes of them were whole. */
static bool take_rows(struct rowbinary_rows *rows, struct str s, size_t *ret_used)
{
	*ret_used = 0;
	while (*ret_used < s.len) {
		struct rowbinary_reader r =
			rowbinary_reader_of(str_from(s, *ret_used), rows->text_max, rows->list_max);
		const uint8_t *from = r.p;
		const bool goes_on = rows->each(rows->ctx, &r);
		if (r.is_bad || (!r.is_short && r.p == from)) {
			rows->is_bad = true;
			return false;
		}
		if (r.is_short)
			return true;
		*ret_used += (size_t)(r.p - from);
		if (!goes_on)
			return false;
	}
	return true;
}

bool rowbinary_rows_take(void *ctx, struct str piece)
{
	struct rowbinary_rows *rows = ctx;
	const bool has_rest = rows->rest.len;
	size_t used;

	if (has_rest) {
		buf_str_put(&rows->rest, piece);
		if (rows->rest.failed) {
			rows->is_bad = true;
			return false;
		}
		piece = buf_str(&rows->rest);
	}
	const bool goes_on = take_rows(rows, piece, &used);
	if (!goes_on)
		return false;
	if (has_rest) {
		memmove(rows->rest.p, rows->rest.p + used, rows->rest.len - used);
		rows->rest.len -= used;
	} else {
		buf_str_put(&rows->rest, str_from(piece, used));
	}
	rows->is_bad = rows->rest.failed;
	return !rows->is_bad;
}

enum err_code rowbinary_rows_end(const struct rowbinary_rows *rows, struct err *e)
{
	if (rows->is_bad || rows->rest.len)
		return err_set(e, ERR_PARSE,
			       "ClickHouse's answer does not have the rows that were "
			       "asked for");
	return ERR_OK;
}
