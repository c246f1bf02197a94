/*
 * buf - bytes that grow up to a limit, with a sticky failure.
 *
 * After the first write that does not fit (or the first failed allocation) the buffer is `failed`,
 * later writes do nothing, and one check at the end suffices. Embedded: buf_init / buf_done. A buf
 * can also stand on memory of the caller (buf_fixed): it then never allocates.
 */
#ifndef TYCHO_BASE_BUF_H
#define TYCHO_BASE_BUF_H

#include "base/own.h"
#include "base/str.h"

struct buf {
	char *p;
	size_t len, cap, max; /* bytes */
	bool failed;          /* something did not fit: content is incomplete */
	bool fixed;           /* memory belongs to the caller */
	bool secret;          /* memory is wiped before it is given back */
};

/* Empty; allocates on first use, never beyond @max bytes. */
static inline struct buf buf_init(size_t max)
{
	return (struct buf){ .max = max };
}
static inline struct buf buf_fixed(void *p, size_t size)
{
	return (struct buf){ .p = p, .cap = size, .max = size, .fixed = true };
}
/* The same, for keys and tokens: what it holds is wiped when it grows or is done. */
static inline struct buf buf_init_secret(size_t max)
{
	return (struct buf){ .max = max, .secret = true };
}
void buf_done(struct buf *b);
/* Empty again, memory kept. */
static inline void buf_reset(struct buf *b)
{
	b->len = 0;
	b->failed = false;
}
static inline struct str buf_str(const struct buf *b)
{
	return (struct str){ b->p ? b->p : "", b->len };
}

/* Room for @n more bytes, to be filled at the returned place and counted with b->len += used.
 * NULL when it does not fit (the buffer is then failed). Valid until the next call. */
char *buf_reserve_slow_(struct buf *b, size_t n);
static inline char *buf_reserve(struct buf *b, size_t n)
{
	if (__builtin_expect(!b->failed && n <= b->cap - b->len && b->p, 1))
		return b->p + b->len;
	return buf_reserve_slow_(b, n);
}
static inline void buf_put(struct buf *b, const void *p, size_t n)
{
	char *to = buf_reserve(b, n);

	if (to && n) {
		memcpy(to, p, n);
		b->len += n;
	}
}
static inline void buf_str_put(struct buf *b, struct str s)
{
	buf_put(b, s.p, s.len);
}
static inline void buf_char(struct buf *b, char c)
{
	char *to = buf_reserve(b, 1);

	if (to) {
		*to = c;
		b->len++;
	}
}
/* A string literal. */
#define buf_lit(b, literal) buf_put((b), "" literal, sizeof(literal) - 1)
void buf_printf(struct buf *b, const char *fmt, ...) FORMAT(2, 3);
/* Decimal. */
void buf_u64(struct buf *b, uint64_t v);
void buf_i64(struct buf *b, int64_t v);
/* For people: 12,345,678. */
void buf_grouped(struct buf *b, uint64_t v);
/* Terminates (the NUL is not counted in len) and returns the text; "" if failed before any
 * write. */
const char *buf_cstr(struct buf *b);

#define AUTO_BUF __attribute__((cleanup(buf_done)))

#endif
