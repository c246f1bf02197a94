/*
 * scan - pieces of a text compared and looked through from its front.
 *
 * Nearly all of them are short, and there are many: these are inline.
 */
#ifndef TYCHO_RECORD_SCAN_H
#define TYCHO_RECORD_SCAN_H

#include "base/str.h"
#include "flow/swar.h"

/* What is left of the text. */
struct scan {
	const char *p, *end;
};

static inline size_t scan_left(const struct scan *s)
{
	return (size_t)(s->end - s->p);
}

/* Sixteen bytes; signed, so that what is no ASCII is below the blank, too. */
typedef signed char sixteen __attribute__((vector_size(16)));
typedef uint64_t two __attribute__((vector_size(16)));

static inline sixteen sixteen_at(const char *p)
{
	sixteen v;

	memcpy(&v, p, sizeof v);
	return v;
}

static inline bool is_zero(sixteen v)
{
	const two halves = (two)v;

	return !(halves[0] | halves[1]);
}

/* All of at most eight bytes, some of them twice; of none 'a's. */
static inline uint64_t few_at(const char *p, size_t n)
{
	uint64_t v = SWAR_ONES * 'a';

	if (n >= 4) {
		uint32_t first, last;
		memcpy(&first, p, sizeof first);
		memcpy(&last, p + n - sizeof last, sizeof last);
		v = (uint64_t)first << 32 | last;
	} else if (n) {
		v = (v << 24) | (uint64_t)(uint8_t)p[0] << 16 | (uint64_t)(uint8_t)p[n / 2] << 8 |
		    (uint8_t)p[n - 1];
	}
	return v;
}

static inline bool is_same(const char *a, const char *b, size_t n)
{
	if (n > 64)
		return memcmp(a, b, n) == 0;
	if (n > 32)
		return is_zero((sixteen_at(a) ^ sixteen_at(b)) |
			       (sixteen_at(a + 16) ^ sixteen_at(b + 16)) |
			       (sixteen_at(a + n - 32) ^ sixteen_at(b + n - 32)) |
			       (sixteen_at(a + n - 16) ^ sixteen_at(b + n - 16)));
	if (n > 16)
		return is_zero((sixteen_at(a) ^ sixteen_at(b)) |
			       (sixteen_at(a + n - 16) ^ sixteen_at(b + n - 16)));
	if (n > 8)
		return !((swar_load(a) ^ swar_load(b)) |
			 (swar_load(a + n - 8) ^ swar_load(b + n - 8)));
	return few_at(a, n) == few_at(b, n);
}

/* True, and behind them: the next @n bytes are these. */
static inline bool scan_past(struct scan *s, const char *p, size_t n)
{
	if (scan_left(s) < n || !is_same(s->p, p, n))
		return false;
	s->p += n;
	return true;
}

/* The same of a key with its quotes and colon: most are others from the first letters on. */
static inline bool scan_past_key(struct scan *s, struct str key)
{
	uint32_t a, b;

	if (scan_left(s) < key.len)
		return false;
	memcpy(&a, s->p, sizeof a);
	memcpy(&b, key.p, sizeof b);
	return a == b && scan_past(s, key.p, key.len);
}

/* Of a length that the compiler knows: a few instructions. */
#define scan_past_lit(s, literal) scan_past_fixed((s), "" literal, sizeof(literal) - 1)
#define scan_at_lit(s, literal) scan_at_fixed((s), "" literal, sizeof(literal) - 1)
__attribute__((always_inline)) static inline bool scan_at_fixed(const struct scan *s, const char *p,
								size_t n)
{
	return scan_left(s) >= n && memcmp(s->p, p, n) == 0;
}
__attribute__((always_inline)) static inline bool scan_past_fixed(struct scan *s, const char *p,
								  size_t n)
{
	if (!scan_at_fixed(s, p, n))
		return false;
	s->p += n;
	return true;
}

/* Characters that JSON, as lib/flow writes it, does not hold as they are, marked; and what is no
 * ASCII, which it may. */
static inline sixteen not_plain(sixteen v)
{
	return (v < ' ') | (v == '"') | (v == '\\') | (v == '<') | (v == '>') | (v == '&');
}

static inline bool is_plain(const char *p, size_t n)
{
	if (n < sizeof(sixteen)) {
		const two v = { n > 8 ? swar_load(p) : few_at(p, n),
				n > 8 ? swar_load(p + n - 8) : SWAR_ONES * 'a' };
		return is_zero(not_plain((sixteen)v));
	}
	sixteen stops = not_plain(sixteen_at(p + n - sizeof stops));
	for (size_t i = 0; i + sizeof stops < n; i += sizeof stops)
		stops |= not_plain(sixteen_at(p + i));
	return is_zero(stops);
}

/* Place of the first byte of eight that is not zero. */
static inline size_t first_set(uint64_t v)
{
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
	return (size_t)__builtin_clzll(v) / 8;
#else
	return (size_t)__builtin_ctzll(v) / 8;
#endif
}

/* Place of the first byte that is marked; 16: none. */
static inline size_t first_marked(sixteen v)
{
	const two halves = (two)v;

	if (halves[0])
		return first_set(halves[0]);
	return halves[1] ? 8 + first_set(halves[1]) : sizeof v;
}

/* The same of 32 bytes; 32: none. */
static inline size_t first_marked2(sixteen a, sixteen b)
{
	size_t at = first_marked(a);

	return at < sizeof a ? at : sizeof a + first_marked(b);
}

/* Bytes before the first @c, or all that are left. */
static inline size_t scan_find(const struct scan *s, char c)
{
	const char *p = s->p;

	for (; s->end - p >= (ptrdiff_t)sizeof(sixteen); p += sizeof(sixteen)) {
		size_t at = first_marked(sixteen_at(p) == c);
		if (at < sizeof(sixteen))
			return (size_t)(p - s->p) + at;
	}
	while (p < s->end && *p != c)
		p++;
	return (size_t)(p - s->p);
}

/* The same of the first that is not plain. */
static inline size_t scan_plain(const struct scan *s)
{
	const char *p = s->p;

	for (; s->end - p >= (ptrdiff_t)sizeof(sixteen); p += sizeof(sixteen)) {
		size_t at = first_marked(not_plain(sixteen_at(p)));
		if (at < sizeof(sixteen))
			return (size_t)(p - s->p) + at;
	}
	while (p < s->end && is_plain(p, 1))
		p++;
	return (size_t)(p - s->p);
}

/* Plain text and the quote that ends it: *@ret is what stands before it. */
static inline bool scan_string(struct scan *s, struct str *ret)
{
	size_t n = scan_plain(s);

	if (n == scan_left(s) || s->p[n] != '"')
		return false;
	*ret = str_n(s->p, n);
	s->p += n + 1;
	return true;
}

/* Bytes of the JSON value at the front: to the end of a string, an object, a list; to the next comma
 * or bracket of others. 0: there is none. */
size_t scan_value(const struct scan *s);

/* A hash, of 32 bits, of a few bytes of the text: whoever makes up texts that differ in others has
 * them looked up slowly, and no more. */
static inline uint64_t scan_hash(const char *p, size_t n)
{
	uint64_t h = few_at(p, n < 8 ? n : 8) + n;

	if (n > 8)
		h = (h ^ swar_load(p + n - 8)) * UINT64_C(0x9e3779b97f4a7c15) +
		    swar_load(p + (n - 8) / 2);
	if (n > 16)
		h = (h ^ h >> 29 ^ swar_load(p + n - 16)) * UINT64_C(0x9e3779b97f4a7c15) +
		    swar_load(p + (n - 8) / 4);
	/* what differs in the last bytes alone is in the upper bits until now */
	return (h ^ h >> 32) * UINT64_C(0xff51afd7ed558ccd) >> 32;
}

/* How many of eight bytes, from the first on, are digits. */
static inline unsigned digits_of(uint64_t v)
{
	/* a digit: no high bit, 3 in the upper half, and no carry out of the lower when 6 is added */
	uint64_t other = ((v & SWAR_ONES * 0xf0) ^ SWAR_ONES * 0x30) |
			 (((v & SWAR_ONES * 0x0f) + SWAR_ONES * 0x06) & SWAR_ONES * 0xf0);

	return other ? swar_first(other) : 8;
}

/* Value of @n digits, 1 to 8, from the first of eight bytes on. Source: pairs, then fours, then all,
 * as in Johnny Lee's and others' parsers. */
static inline uint64_t digits_value(uint64_t v, unsigned n)
{
	v <<= 64 - 8 * n; /* zeros before them: bytes of 0, which the mask leaves 0 */
	v &= SWAR_ONES * 0x0f;
	v = v * 10 + (v >> 8);
	v = ((v & UINT64_C(0x000000ff000000ff)) * UINT64_C(0x000f424000000064) +
	     ((v >> 16) & UINT64_C(0x000000ff000000ff)) * UINT64_C(0x0000271000000001)) >>
	    32;
	return v;
}

/* A number as JSON has it, without sign, fraction and zeros before it, of at most 19 digits: surely
 * it fits. */
static inline bool scan_u64(struct scan *s, uint64_t *ret)
{
	enum { DIGITS_MAX = 19 };
	const char *p = s->p;
	uint64_t v = 0;

	if (scan_left(s) >= 8) {
		uint64_t first = swar_load(p);
		unsigned n = digits_of(first);
		v = n ? digits_value(first, n) : 0;
		p += n;
	}
	if (p == s->p || p - s->p == 8)
		for (; p < s->end && (uint8_t)(*p - '0') < 10 && p - s->p < DIGITS_MAX; p++)
			v = v * 10 + (uint8_t)(*p - '0');
	if (p == s->p || (*s->p == '0' && p - s->p > 1))
		return false;
	*ret = v;
	s->p = p;
	return true;
}

#endif
