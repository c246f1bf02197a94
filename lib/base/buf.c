#include "base/buf.h"

#include <stdarg.h>
#include <stdio.h>

static void give_back(const struct buf *b)
{
	if (b->secret && b->p)
		explicit_bzero(b->p, b->cap);
	free(b->p);
}

void buf_done(struct buf *b)
{
	if (!b->fixed)
		give_back(b);
	*b = (struct buf){ .max = b->max, .secret = b->secret };
}

static char *grow(const struct buf *b, size_t cap)
{
	if (!b->secret)
		return realloc(b->p, cap);
	char *p = malloc(cap); /* realloc would leave the old bytes behind */
	if (p && b->p) {
		memcpy(p, b->p, b->cap);
		give_back(b);
	}
	return p;
}

char *buf_reserve_slow_(struct buf *b, size_t n)
{
	if (b->failed)
		return NULL;
	if (b->p && n <= b->cap - b->len)
		return b->p + b->len;
	if (b->fixed || n > b->max - b->len) {
		b->failed = true;
		return NULL;
	}
	size_t need = b->len + n, cap = b->cap ? b->cap : 256;
	while (cap < need)
		cap = cap > b->max / 2 ? b->max : cap * 2;
	if (cap > b->max)
		cap = b->max;
	if (cap == 0)
		cap = 1; /* a zero limit still yields a place to write nothing to */
	char *p = grow(b, cap);
	if (!p) {
		b->failed = true;
		return NULL;
	}
	b->p = p;
	b->cap = cap;
	return b->p + b->len;
}

void buf_printf(struct buf *b, const char *fmt, ...)
{
	va_list ap, again;
	va_start(ap, fmt);
	va_copy(again, ap);
	char small[256];
	int n = vsnprintf(small, sizeof small, fmt, ap);
	va_end(ap);
	if (n >= 0 && (size_t)n < sizeof small) {
		buf_put(b, small, (size_t)n);
	} else if (n >= 0) {
		AUTO(own_free) char *large = malloc((size_t)n + 1);
		if (large) {
			(void)vsnprintf(large, (size_t)n + 1, fmt, again);
			buf_put(b, large, (size_t)n);
		} else {
			b->failed = true;
		}
	} else {
		b->failed = true;
	}
	va_end(again);
}

void buf_u64(struct buf *b, uint64_t v)
{
	char digits[20];
	size_t n = sizeof digits;

	do {
		digits[--n] = (char)('0' + v % 10);
		v /= 10;
	} while (v);
	buf_put(b, digits + n, sizeof digits - n);
}

void buf_i64(struct buf *b, int64_t v)
{
	if (v < 0)
		buf_char(b, '-');
	buf_u64(b, v < 0 ? 0 - (uint64_t)v : (uint64_t)v);
}

const char *buf_cstr(struct buf *b)
{
	char *end = buf_reserve(b, 1);

	if (!end) {
		if (!b->p || !b->cap)
			return "";
		end = b->p + (b->len < b->cap ? b->len : b->cap - 1);
	}
	*end = 0;
	return b->p;
}

void buf_grouped(struct buf *b, uint64_t v)
{
	char digits[24];
	struct buf all = buf_fixed(digits, sizeof digits);

	buf_u64(&all, v);
	for (size_t i = 0; i < all.len; i++) {
		if (i && (all.len - i) % 3 == 0)
			buf_char(b, ',');
		buf_char(b, digits[i]);
	}
}
