#include "evidence/archive.h"

#include <stdio.h>
#include <zstd.h>

#include "base/pages.h"

enum { LEVEL = 5 };

/* --- tar: IEEE Std 1003.1-2017, pax, ustar Interchange Format ----------------------------------
 */

struct header {
	char name[100], mode[8], uid[8], gid[8], size[12], mtime[12], sum[8], type, link[100],
		magic[6], version[2], uname[32], gname[32], major[8], minor[8], prefix[155],
		rest[12];
};
_Static_assert(sizeof(struct header) == TAR_BLOCK, "a header is a block");

static void octal(char *to, size_t size, uint64_t v)
{
	for (size_t i = size - 1; i-- > 0; v >>= 3)
		to[i] = (char)('0' + (v & 7));
	to[size - 1] = 0;
}

static struct header header_of(struct str name, uint64_t size, uint64_t mtime_s)
{
	struct header h = { .type = '0', .magic = "ustar", .version = { '0', '0' } };
	unsigned sum = 0;

	memcpy(h.name, name.p, name.len);
	octal(h.mode, sizeof h.mode, 0644);
	octal(h.uid, sizeof h.uid, 0);
	octal(h.gid, sizeof h.gid, 0);
	octal(h.size, sizeof h.size, size);
	octal(h.mtime, sizeof h.mtime, mtime_s);
	octal(h.major, sizeof h.major, 0);
	octal(h.minor, sizeof h.minor, 0);
	memset(h.sum, ' ', sizeof h.sum);
	for (size_t i = 0; i < sizeof h; i++)
		sum += ((const unsigned char *)&h)[i];
	octal(h.sum, 7, sum);
	return h;
}

static size_t padding(uint64_t size)
{
	return (size_t)(-size & (TAR_BLOCK - 1));
}

void tar_put(struct buf *b, const char *name, struct str content, uint64_t mtime_s)
{
	static const char zeros[TAR_BLOCK];
	struct str n = str_of(name);

	if (n.len >= TAR_NAME_MAX || content.len >= ARCHIVE_FRAME_MAX) {
		b->failed = true;
		return;
	}
	struct header h = header_of(n, content.len, mtime_s);
	buf_put(b, &h, sizeof h);
	buf_str_put(b, content);
	buf_put(b, zeros, padding(content.len));
}

void tar_end(struct buf *b)
{
	static const char zeros[2 * TAR_BLOCK];

	buf_put(b, zeros, sizeof zeros);
}

static bool is_zero(struct str s)
{
	for (size_t i = 0; i < s.len; i++)
		if (s.p[i])
			return false;
	return true;
}

static bool octal_parse(const char *p, size_t size, uint64_t *ret)
{
	uint64_t v = 0;

	for (size_t i = 0; i + 1 < size; i++) {
		if (p[i] < '0' || p[i] > '7')
			return false;
		v = v << 3 | (uint64_t)(p[i] - '0');
	}
	*ret = v;
	return p[size - 1] == 0;
}

bool tar_next(struct str *bytes, uint64_t mtime_s, struct tar_file *ret, bool *ret_end,
	      enum err_code *ret_code, struct err *e)
{
	struct header h, want;
	uint64_t size = 0;

	*ret_end = false;
	*ret_code = ERR_OK;
	if (!bytes->len)
		return false;
	if (bytes->len == sizeof h * 2 && is_zero(*bytes)) {
		*ret_end = true;
		return false;
	}
	if (bytes->len < sizeof h) {
		*ret_code = err_set(e, ERR_PARSE, "the archive ends in a file's header");
		return false;
	}
	memcpy(&h, bytes->p, sizeof h);
	size_t name_len = strnlen(h.name, sizeof h.name);
	if (!name_len || name_len == sizeof h.name || !octal_parse(h.size, sizeof h.size, &size)) {
		*ret_code = err_set(e, ERR_PARSE, "a file's header in the archive is damaged");
		return false;
	}
	want = header_of(str_n(h.name, name_len), size, mtime_s);
	if (memcmp(&h, &want, sizeof h) != 0) {
		*ret_code = err_set(e, ERR_PARSE,
				    "the header of '%.*s' in the archive is not as it was written",
				    (int)name_len, h.name);
		return false;
	}
	struct str rest = str_from(*bytes, sizeof h);
	size_t pad = padding(size);
	if (size > rest.len || pad > rest.len - size || !is_zero(str_n(rest.p + size, pad))) {
		*ret_code = err_set(e, ERR_PARSE, "'%.*s' in the archive is cut off or padded",
				    (int)name_len, h.name);
		return false;
	}
	ret->name = str_n(bytes->p, name_len);
	ret->content = str_upto(rest, (size_t)size);
	*bytes = str_from(rest, (size_t)size + pad);
	return true;
}

/* --- zstd: RFC 8878 ------------------------------------------------------------------------------
 */

enum err_code frame_put(struct buf *b, struct str bytes, struct err *e)
{
	size_t bound = ZSTD_compressBound(bytes.len);
	char *to = buf_reserve(b, bound);
	ZSTD_CCtx *c = ZSTD_createCCtx();

	if (!to || !c) {
		(void)ZSTD_freeCCtx(c);
		return err_set(e, ERR_NOMEM, "compress %zu bytes", bytes.len);
	}
	/* Written once, read by whoever doubts it: lines are searched for long matches, also in lines
	 * long before them, for each one costs a reader time. tests/bench/bench_evidence.c prints what
	 * both cost. */
	(void)ZSTD_CCtx_setParameter(c, ZSTD_c_compressionLevel, LEVEL);
	(void)ZSTD_CCtx_setParameter(c, ZSTD_c_strategy, ZSTD_lazy2);
	(void)ZSTD_CCtx_setParameter(c, ZSTD_c_enableLongDistanceMatching, 1);
	(void)ZSTD_CCtx_setParameter(c, ZSTD_c_ldmMinMatch, 96);
	(void)ZSTD_CCtx_setParameter(c, ZSTD_c_ldmHashRateLog, 4);
	(void)ZSTD_CCtx_setParameter(c, ZSTD_c_searchLog, 4);
	(void)ZSTD_CCtx_setParameter(c, ZSTD_c_minMatch, 7);
	size_t n = ZSTD_compress2(c, to, bound, bytes.p, bytes.len);
	(void)ZSTD_freeCCtx(c);
	if (ZSTD_isError(n))
		return err_set(e, ERR_NOMEM, "compress %zu bytes: %s", bytes.len,
			       ZSTD_getErrorName(n));
	b->len += n;
	return ERR_OK;
}

enum err_code frame_next(struct str *bytes, struct str *ret_frame, struct err *e)
{
	size_t n = ZSTD_findFrameCompressedSize(bytes->p, bytes->len);

	if (ZSTD_isError(n) || n > bytes->len)
		return err_set(e, ERR_PARSE, "a part of the bundle is no zstd data, or cut off");
	*ret_frame = str_upto(*bytes, n);
	*bytes = str_from(*bytes, n);
	return ERR_OK;
}

struct frame_reader {
	ZSTD_DCtx *d;
};

enum err_code frame_reader_new(struct frame_reader **ret, struct err *e)
{
	struct frame_reader *r = malloc(sizeof *r);

	if (!r || !(r->d = ZSTD_createDCtx())) {
		free(r);
		return err_set(e, ERR_NOMEM, "decompression");
	}
	*ret = r;
	return ERR_OK;
}

void frame_reader_free(struct frame_reader *r)
{
	if (!r)
		return;
	(void)ZSTD_freeDCtx(r->d);
	free(r);
}

enum err_code frame_read(struct frame_reader *r, struct str frame, struct buf *out, struct err *e)
{
	unsigned long long size = ZSTD_getFrameContentSize(frame.p, frame.len);

	buf_reset(out);
	if (size == ZSTD_CONTENTSIZE_ERROR || size == ZSTD_CONTENTSIZE_UNKNOWN ||
	    size > ARCHIVE_FRAME_MAX)
		return err_set(e, ERR_PARSE, "a part of the bundle is no zstd frame of known size");
	/* What a frame claims is not what is allocated for it at once: no real one shrinks a
	 * thousandfold and more. */
	if (size / 4096 > frame.len)
		return err_set(e, ERR_PARSE, "a part of the bundle claims to be %llu bytes", size);
	if (size >= out->cap)
		buf_done(out); /* nobody needs what it held copied */
	const char *before = out->p;
	char *to = buf_reserve(out, (size_t)size + 1);
	if (!to)
		return err_set(e, ERR_NOMEM, "a part of the bundle: %llu bytes", size);
	if (to != before)
		pages_wish_huge(to, out->cap);
	size_t n = ZSTD_decompressDCtx(r->d, to, (size_t)size, frame.p, frame.len);
	if (ZSTD_isError(n) || n != size)
		return err_set(e, ERR_PARSE, "a part of the bundle is damaged: %s",
			       ZSTD_isError(n) ? ZSTD_getErrorName(n) : "it ends early");
	out->len = n;
	return ERR_OK;
}

/* --- the sum --- */

void archive_sum_init(struct archive_sum *s)
{
	sha256_init(&s->pieces);
	sha256_init(&s->piece);
}

static void end_piece(struct archive_sum *s)
{
	uint8_t sum[SHA256_BYTES];

	sha256_end(&s->piece, sum);
	sha256_put(&s->pieces, str_n(sum, sizeof sum));
	sha256_init(&s->piece);
}

void archive_sum_add(struct archive_sum *s, struct str bytes)
{
	uint8_t sums[2][SHA256_BYTES], *const to[2] = { sums[0], sums[1] };

	while (bytes.len) {
		size_t left = ARCHIVE_PIECE - (size_t)s->piece.bytes;
		size_t n = bytes.len < left ? bytes.len : left;
		if (left == ARCHIVE_PIECE && bytes.len >= 2 * ARCHIVE_PIECE) {
			const struct str two[2] = { str_n(bytes.p, ARCHIVE_PIECE),
						    str_n(bytes.p + ARCHIVE_PIECE, ARCHIVE_PIECE) };
			sha256_two(two, to);
			sha256_put(&s->pieces, str_n(sums, sizeof sums));
			n = 2 * ARCHIVE_PIECE;
		} else {
			sha256_put(&s->piece, str_upto(bytes, n));
			if (n == left)
				end_piece(s);
		}
		bytes = str_from(bytes, n);
	}
}

void archive_sum_end(struct archive_sum *s, uint8_t ret[SHA256_BYTES])
{
	if (s->piece.bytes)
		end_piece(s);
	sha256_end(&s->pieces, ret);
}

/* RFC 8878 §3.1.1: how a frame begins. */
static const uint8_t frame_head[4] = { 0x28, 0xb5, 0x2f, 0xfd };
/* RFC 8878 §3.1.2: a skippable frame, magic number and size little-endian. */
static const uint8_t sum_head[8] = { 0x5e, 0x2a, 0x4d, 0x18, SHA256_BYTES, 0, 0, 0 };

void archive_sum_put(struct buf *b, const uint8_t sum[SHA256_BYTES])
{
	buf_put(b, sum_head, sizeof sum_head);
	buf_put(b, sum, SHA256_BYTES);
}

enum err_code archive_sum_split(struct str *bytes, uint8_t ret_sum[SHA256_BYTES], struct err *e)
{
	if (bytes->len < ARCHIVE_SUM_BYTES || memcmp(bytes->p, frame_head, sizeof frame_head) != 0)
		return err_set(e, ERR_PARSE, "this is no bundle: it is no zstd file");
	struct str rest = str_from(*bytes, bytes->len - ARCHIVE_SUM_BYTES);
	if (memcmp(rest.p, sum_head, sizeof sum_head) != 0)
		return err_set(e, ERR_PARSE,
			       "there is no sum at the end, as every bundle has: it is cut off, "
			       "added to, or none");
	memcpy(ret_sum, rest.p + sizeof sum_head, SHA256_BYTES);
	*bytes = str_upto(*bytes, bytes->len - ARCHIVE_SUM_BYTES);
	return ERR_OK;
}
