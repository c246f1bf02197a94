#include "store/edge_rows.h"

#include <stdlib.h>
#include <zstd.h>
#include <zstd_errors.h>

#include "store/nums.h"

#define MAGIC "tyE\001"
enum { MAGIC_BYTES = sizeof MAGIC - 1, VARINT_BYTES = 5, LEVEL = 3 };

enum edge_column {
	COLUMN_SRC,
	COLUMN_DST,
	COLUMN_PORT,
	COLUMN_L4,
	COLUMN_VERDICT,
	COLUMN_DROP,
	COLUMN_POLICY,
	COLUMN_DNS,
	COLUMN_NODE,
	COLUMN_FLOWS,
	COLUMN_PACKETS,
	COLUMN_BYTES,
	COLUMN_L7_OK,
	COLUMN_L7_ERRORS,
	COLUMNS_
};

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

/* --- sorted ------------------------------------------------------------------------------- */

static int compare(const void *x, const void *y)
{
	const struct edge_row *a = x, *b = y;

#define BY(member)                                                                                 \
	if (a->member != b->member)                                                                \
	return a->member < b->member ? -1 : 1
	BY(src);
	BY(dst);
	BY(port);
	BY(l4);
	BY(verdict);
	BY(drop_desc);
	BY(policy);
	BY(dns);
	BY(node);
#undef BY
	return 0;
}

static void add(struct edge_row *to, const struct edge_row *row)
{
	to->flows += row->flows;
	to->packets += row->packets;
	to->bytes += row->bytes;
	to->l7_ok += row->l7_ok;
	to->l7_errors += row->l7_errors;
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

static uint64_t cell(const struct edge_row *row, const struct edge_row *before,
		     enum edge_column column)
{
	switch (column) {
	case COLUMN_SRC:
		return row->src - before->src;
	case COLUMN_DST:
		return nums_zigzag((uint64_t)row->dst - before->dst);
	case COLUMN_PORT:
		return row->port;
	case COLUMN_L4:
		return row->l4;
	case COLUMN_VERDICT:
		return row->verdict;
	case COLUMN_DROP:
		return row->drop_desc;
	case COLUMN_POLICY:
		return row->policy;
	case COLUMN_DNS:
		return row->dns;
	case COLUMN_NODE:
		return row->node;
	case COLUMN_FLOWS:
		return row->flows;
	case COLUMN_PACKETS:
		return row->packets;
	case COLUMN_BYTES:
		return row->bytes;
	case COLUMN_L7_OK:
		return row->l7_ok;
	default:
		return row->l7_errors;
	}
}

static void set_cell(struct edge_row *row, const struct edge_row *before, enum edge_column column,
		     uint64_t v)
{
	switch (column) {
	case COLUMN_SRC:
		row->src = (uint32_t)(before->src + v);
		break;
	case COLUMN_DST:
		row->dst = (uint32_t)(before->dst + nums_unzigzag(v));
		break;
	case COLUMN_PORT:
		row->port = (uint16_t)v;
		break;
	case COLUMN_L4:
		row->l4 = (uint8_t)v;
		break;
	case COLUMN_VERDICT:
		row->verdict = (uint8_t)v;
		break;
	case COLUMN_DROP:
		row->drop_desc = (uint32_t)v;
		break;
	case COLUMN_POLICY:
		row->policy = (uint32_t)v;
		break;
	case COLUMN_DNS:
		row->dns = (uint32_t)v;
		break;
	case COLUMN_NODE:
		row->node = (uint32_t)v;
		break;
	case COLUMN_FLOWS:
		row->flows = v;
		break;
	case COLUMN_PACKETS:
		row->packets = v;
		break;
	case COLUMN_BYTES:
		row->bytes = v;
		break;
	case COLUMN_L7_OK:
		row->l7_ok = (uint32_t)v;
		break;
	default:
		row->l7_errors = (uint32_t)v;
	}
}

static const struct edge_row nothing;

static void put_varint(struct buf *b, size_t v)
{
	for (; v >= 0x80; v >>= 7)
		buf_char(b, (char)(v | 0x80));
	buf_char(b, (char)v);
}

/* Of at most five bytes; the front of @bytes goes. */
static bool get_varint(struct str *bytes, size_t *ret)
{
	size_t v = 0;

	for (size_t i = 0; i < VARINT_BYTES && i < bytes->len; i++) {
		uint8_t byte = (uint8_t)bytes->p[i];
		v |= (size_t)(byte & 0x7f) << 7 * i;
		if (byte & 0x80)
			continue;
		*bytes = str_from(*bytes, i + 1);
		*ret = v;
		return true;
	}
	return false;
}

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
	put_varint(to, rows);
	put_varint(to, o->count);
	put_varint(to, len);
	buf_put(to, packed, len);
	buf_put(to, o->bits, o->bytes);
	return to->failed ? no_memory(e) : ERR_OK;
}

enum err_code edge_rows_pack(const struct edge_rows *r, struct buf *to, struct err *e)
{
	struct nums_out o = { 0 };

	if (!nums_reserve(&o, r->count * COLUMNS_)) {
		nums_done(&o);
		return no_memory(e);
	}
	for (enum edge_column c = 0; c < COLUMNS_; c++)
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
	switch (column) {
	case COLUMN_FLOWS:
	case COLUMN_PACKETS:
	case COLUMN_BYTES:
		return true;
	case COLUMN_DST: /* zigzag */
		return v <= UINT64_C(2) * UINT32_MAX;
	case COLUMN_PORT:
		return v <= UINT16_MAX;
	case COLUMN_L4:
	case COLUMN_VERDICT:
		return v <= UINT8_MAX;
	default:
		return v <= UINT32_MAX;
	}
}

static bool read_columns(struct nums_in *in, struct edge_row *list, size_t count)
{
	for (enum edge_column c = 0; c < COLUMNS_; c++)
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
	size_t rows, codes, stored;

	if (!str_has_prefix(bytes, str_n(MAGIC, MAGIC_BYTES)))
		return damaged(e);
	bytes = str_from(bytes, MAGIC_BYTES);
	if (!get_varint(&bytes, &rows) || !get_varint(&bytes, &codes) ||
	    !get_varint(&bytes, &stored) || rows > EDGE_ROWS_MOST || codes != rows * COLUMNS_ ||
	    stored > bytes.len)
		return damaged(e);
	AUTO(own_free) char *text = malloc(codes ? codes : 1);
	if (!text || !edge_rows_reserve(r, rows))
		return no_memory(e);
	size_t got = ZSTD_decompress(text, codes, bytes.p, stored);
	if (got != codes)
		return ZSTD_getErrorCode(got) == ZSTD_error_memory_allocation ? no_memory(e)
									      : damaged(e);
	struct nums_in in = nums_in_of(str_n(text, codes), str_from(bytes, stored));
	if (rows && !read_columns(&in, r->list + r->count, rows))
		return damaged(e);
	r->count += rows;
	return ERR_OK;
}
