#include "store/edge_rows.h"

#include <stddef.h>
#include <stdlib.h>
#include <zstd.h>
#include <zstd_errors.h>

#include "flow/wire.h"
#include "store/nums.h"

#define MAGIC "tyE\001"
enum { MAGIC_BYTES = sizeof MAGIC - 1, LEVEL = 3 };

bool edge_rows_reserve(struct edge_rows *r, size_t n)
{
	size_t want = r->count + n, room = r->room * 2 > want ? r->room * 2 : want;

	if (want <= r->room)
		return true;
	struct edge_row *list = realloc(r->list, room * sizeof *list);
	if (!list)
		return false;
	r->list = list;
	r->room = room;
	return true;
}

void edge_rows_done(struct edge_rows *r)
{
	free(r->list);
	*r = (struct edge_rows){ 0 };
}

/* --- members ------------------------------------------------------------------------------ */

#define MEMBER(m)                                                                                  \
	{                                                                                          \
		offsetof(struct edge_row, m), sizeof(((struct edge_row *)0)->m)                    \
	}
static const struct {
	uint8_t at, bytes;
} members[EDGE_ROW_COLUMNS_] = {
	[EDGE_ROW_SRC] = MEMBER(src),         [EDGE_ROW_DST] = MEMBER(dst),
	[EDGE_ROW_PORT] = MEMBER(port),       [EDGE_ROW_L4] = MEMBER(l4),
	[EDGE_ROW_VERDICT] = MEMBER(verdict), [EDGE_ROW_DROP_DESC] = MEMBER(drop_desc),
	[EDGE_ROW_POLICY] = MEMBER(policy),   [EDGE_ROW_DNS] = MEMBER(dns),
	[EDGE_ROW_NODE] = MEMBER(node),       [EDGE_ROW_FLOWS] = MEMBER(flows),
	[EDGE_ROW_PACKETS] = MEMBER(packets), [EDGE_ROW_BYTES] = MEMBER(bytes),
	[EDGE_ROW_L7_OK] = MEMBER(l7_ok),     [EDGE_ROW_L7_ERRORS] = MEMBER(l7_errors),
};
#undef MEMBER

uint64_t edge_row_get(const struct edge_row *row, enum edge_column column)
{
	const void *p = (const char *)row + members[column].at;

	switch (members[column].bytes) {
	case sizeof(uint8_t):
		return *(const uint8_t *)p;
	case sizeof(uint16_t):
		return *(const uint16_t *)p;
	case sizeof(uint32_t):
		return *(const uint32_t *)p;
	default:
		return *(const uint64_t *)p;
	}
}

void edge_row_set(struct edge_row *row, enum edge_column column, uint64_t v)
{
	void *p = (char *)row + members[column].at;

	switch (members[column].bytes) {
	case sizeof(uint8_t):
		*(uint8_t *)p = (uint8_t)v;
		break;
	case sizeof(uint16_t):
		*(uint16_t *)p = (uint16_t)v;
		break;
	case sizeof(uint32_t):
		*(uint32_t *)p = (uint32_t)v;
		break;
	default:
		*(uint64_t *)p = v;
	}
}

/* --- sorted ------------------------------------------------------------------------------- */

static int compare(const void *x, const void *y)
{
	for (enum edge_column c = 0; c < EDGE_ROW_KEY_COLUMNS; c++) {
		uint64_t a = edge_row_get(x, c), b = edge_row_get(y, c);
		if (a != b)
			return a < b ? -1 : 1;
	}
	return 0;
}

static void add(struct edge_row *to, const struct edge_row *row)
{
	for (enum edge_column c = EDGE_ROW_KEY_COLUMNS; c < EDGE_ROW_COLUMNS_; c++)
		edge_row_set(to, c, edge_row_get(to, c) + edge_row_get(row, c));
}

void edge_rows_sort(struct edge_rows *r)
{
	size_t kept = 0;

	if (!r->count)
		return;
	qsort(r->list, r->count, sizeof *r->list, compare);
	for (size_t i = 1; i < r->count; i++) {
		if (compare(&r->list[kept], &r->list[i]) == 0)
			add(&r->list[kept], &r->list[i]);
		else
			r->list[++kept] = r->list[i];
	}
	r->count = kept + 1;
}

/* --- columns ------------------------------------------------------------------------------ */

/* As it is written beside the row before: rows are sorted, so their ends differ little. */
static uint64_t cell(const struct edge_row *row, const struct edge_row *before,
		     enum edge_column column)
{
	uint64_t v = edge_row_get(row, column);

	if (column == EDGE_ROW_SRC)
		return (uint32_t)(v - before->src);
	return column == EDGE_ROW_DST ? nums_zigzag(v - before->dst) : v;
}

static void set_cell(struct edge_row *row, const struct edge_row *before, enum edge_column column,
		     uint64_t v)
{
	if (column == EDGE_ROW_SRC)
		v += before->src;
	edge_row_set(row, column, column == EDGE_ROW_DST ? before->dst + nums_unzigzag(v) : v);
}

static const struct edge_row nothing;

/* --- packed ------------------------------------------------------------------------------- */

static enum err_code no_memory(struct err *e)
{
	return err_set(e, ERR_NOMEM, "the service map of a minute");
}

static enum err_code put_streams(const struct nums_out *o, size_t rows, struct buf *to,
				 struct err *e)
{
	size_t bound = ZSTD_compressBound(o->count);
	AUTO(own_free) char *packed = malloc(bound);

	if (!packed)
		return no_memory(e);
	size_t len = ZSTD_compress(packed, bound, o->codes, o->count, LEVEL);
	if (ZSTD_isError(len)) /* room there is: it found no memory */
		return no_memory(e);
	buf_put(to, MAGIC, MAGIC_BYTES);
	wire_put_varint(to, rows);
	wire_put_varint(to, o->count);
	wire_put_varint(to, len);
	buf_put(to, packed, len);
	buf_put(to, o->bits, o->bytes);
	return to->failed ? no_memory(e) : ERR_OK;
}

enum err_code edge_rows_pack(const struct edge_rows *r, struct buf *to, struct err *e)
{
	struct nums_out o = { 0 };

	if (!nums_reserve(&o, r->count * EDGE_ROW_COLUMNS_)) {
		nums_done(&o);
		return no_memory(e);
	}
	for (enum edge_column c = 0; c < EDGE_ROW_COLUMNS_; c++)
		for (size_t i = 0; i < r->count; i++)
			nums_put(&o, cell(&r->list[i], i ? &r->list[i - 1] : &nothing, c));
	nums_end(&o);
	enum err_code code = put_streams(&o, r->count, to, e);
	nums_done(&o);
	return code;
}

static enum err_code damaged(struct err *e)
{
	return err_set(e, ERR_PARSE, "damaged minute of the service map");
}

/* What a column cannot hold is no row that was written. */
static bool fits(enum edge_column column, uint64_t v)
{
	unsigned bits = members[column].bytes * 8U + (column == EDGE_ROW_DST); /* zigzag */

	return bits >= 64 || !(v >> bits);
}

static bool read_columns(struct nums_in *in, struct edge_row *list, size_t count)
{
	for (enum edge_column c = 0; c < EDGE_ROW_COLUMNS_; c++)
		for (size_t i = 0; i < count; i++) {
			uint64_t v = nums_get(in);
			if (!fits(c, v))
				return false;
			set_cell(&list[i], i ? &list[i - 1] : &nothing, c, v);
		}
	return !in->bad;
}

enum err_code edge_rows_unpack(struct str bytes, struct edge_rows *r, struct err *e)
{
	uint64_t rows, codes, stored;

	if (!str_has_prefix(bytes, str_n(MAGIC, MAGIC_BYTES)))
		return damaged(e);
	struct wire_reader w = wire_reader_of(str_from(bytes, MAGIC_BYTES));
	if (!wire_next_varint(&w, &rows) || !wire_next_varint(&w, &codes) ||
	    !wire_next_varint(&w, &stored) || rows > EDGE_ROWS_MOST ||
	    codes != rows * EDGE_ROW_COLUMNS_ || stored > (size_t)(w.end - w.p))
		return damaged(e);
	AUTO(own_free) char *text = malloc(codes ? codes : 1);
	if (!text || !edge_rows_reserve(r, rows))
		return no_memory(e);
	size_t got = ZSTD_decompress(text, codes, w.p, stored);
	if (got != codes)
		return ZSTD_getErrorCode(got) == ZSTD_error_memory_allocation ? no_memory(e)
									      : damaged(e);
	struct nums_in in =
		nums_in_of(str_n(text, codes), str_n(w.p + stored, (size_t)(w.end - w.p) - stored));
	if (rows && !read_columns(&in, r->list + r->count, rows))
		return damaged(e);
	r->count += rows;
	return ERR_OK;
}
