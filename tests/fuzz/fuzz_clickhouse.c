/* Any bytes as rows of an answer, as an error, and as a text that is quoted. */
#include <stdint.h>
#include <stdlib.h>

#include "clickhouse/failure.h"
#include "clickhouse/quote.h"
#include "clickhouse/rowbinary.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { TEXT_MAX = 1000, LIST_MAX = 8 };

static void must(bool holds)
{
	if (!holds)
		abort();
}

static bool read_row(void *ctx, struct rowbinary_reader *r)
{
	uint64_t *sum = ctx;

	*sum += rowbinary_u64(r);
	for (size_t n = rowbinary_length(r); n && rowbinary_is_well(r); n--) {
		const struct str s = rowbinary_text(r);
		must(s.len <= TEXT_MAX);
		*sum += s.len ? (unsigned char)s.p[s.len - 1] : 0;
	}
	if (!rowbinary_is_null(r))
		*sum += rowbinary_u32(r) + rowbinary_u16(r);
	return true;
}

/* In pieces of @step bytes: the rows must be the same. */
static uint64_t read_rows(struct str bytes, size_t step, bool *ret_whole)
{
	uint64_t sum = 0;
	struct rowbinary_rows rows = { .each = read_row,
				       .ctx = &sum,
				       .text_max = TEXT_MAX,
				       .list_max = LIST_MAX,
				       .rest = buf_init(1 << 20) };

	for (size_t at = 0; at < bytes.len; at += step)
		if (!rowbinary_rows_take(&rows, str_upto(str_from(bytes, at), step)))
			break;
	*ret_whole = rowbinary_rows_end(&rows, NULL) == ERR_OK;
	buf_done(&rows.rest);
	return sum;
}

/* Nothing within the quotes may end them, nor begin an escape that is not ours. */
static void quote(struct str text)
{
	AUTO_BUF struct buf b = buf_init(16 << 20);

	clickhouse_quote_put(&b, text);
	must(!b.failed && b.len >= 2 && b.p[0] == '\'' && b.p[b.len - 1] == '\'');
	size_t at = 1, i = 0;
	for (; at < b.len - 1; i++) {
		unsigned char c = (unsigned char)b.p[at++];
		must(c >= ' ' && c < 0x7f && c != '\'');
		if (c == '\\') {
			must(b.p[at] == 'x');
			const char digits[3] = { b.p[at + 1], b.p[at + 2], '\0' };
			c = (unsigned char)strtoul(digits, NULL, 16);
			at += 3;
		}
		must(i < text.len && c == (unsigned char)text.p[i]);
	}
	must(i == text.len);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct str bytes = str_n(size ? (const char *)data : "", size);
	struct clickhouse_failure f;
	struct err e;
	bool whole, whole_in_pieces;

	(void)read_rows(bytes, size ? size : 1, &whole);
	(void)read_rows(bytes, 1, &whole_in_pieces);
	must(whole == whole_in_pieces);
	if (clickhouse_failure_read(bytes, &f)) {
		must(f.text.len <= size && clickhouse_failure_set(&e, "server", &f) != ERR_OK);
		must(utf8_is_valid(str_of(e.msg)));
	}
	quote(bytes);
	return 0;
}
