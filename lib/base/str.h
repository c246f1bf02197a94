/*
 * str - strings with lengths, and parsers that read a whole string or refuse it.
 *
 * A struct str borrows its bytes: they need no terminator, may hold NULs, and live as long as their
 * owner says. Parsers accept the whole of @s in the stated grammar and nothing else; on failure
 * they return false and leave *ret alone.
 */
#ifndef TYCHO_BASE_STR_H
#define TYCHO_BASE_STR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct str {
	const char *p;
	size_t len; /* bytes */
};

#define STR(literal) ((struct str){ "" literal, sizeof(literal) - 1 })
#define STR_FMT(s) (int)(s).len, (s).p /* for "%.*s" */

static inline struct str str_of(const char *z)
{
	return (struct str){ z ? z : "", z ? strlen(z) : 0 };
}
static inline struct str str_n(const void *p, size_t len)
{
	return (struct str){ p, len };
}
static inline bool str_eq(struct str a, struct str b)
{
	return a.len == b.len && (a.len == 0 || memcmp(a.p, b.p, a.len) == 0);
}
static inline bool str_is(struct str a, const char *z)
{
	return str_eq(a, str_of(z));
}
static inline bool str_has_prefix(struct str s, struct str prefix)
{
	return s.len >= prefix.len && (prefix.len == 0 || memcmp(s.p, prefix.p, prefix.len) == 0);
}
static inline bool str_has_suffix(struct str s, struct str suffix)
{
	return s.len >= suffix.len &&
	       (suffix.len == 0 || memcmp(s.p + s.len - suffix.len, suffix.p, suffix.len) == 0);
}
/* From byte @from to the end, or to @to; indices beyond the end mean the end. */
static inline struct str str_from(struct str s, size_t from)
{
	from = from < s.len ? from : s.len;
	return (struct str){ s.p + from, s.len - from };
}
static inline struct str str_upto(struct str s, size_t to)
{
	return (struct str){ s.p, to < s.len ? to : s.len };
}

/* Byte order, shorter first on a tie; as memcmp. */
int str_cmp(struct str a, struct str b);
/* Case-insensitive for ASCII letters, all other bytes as they are. */
bool str_eq_nocase(struct str a, struct str b);
/* Index of the first (last) @c, or s.len when there is none. */
size_t str_find(struct str s, char c);
size_t str_find_last(struct str s, char c);
/* Without leading and trailing ASCII white space. */
struct str str_trim(struct str s);
/* Cuts off the part before the first @sep into *ret_head and leaves the rest in *s, without the
 * separator. @return false when *s is exhausted: "a,,b" gives "a", "", "b"; "" gives one "". Start
 * with a copy of the string; p == NULL marks exhaustion. */
bool str_split(struct str *s, char sep, struct str *ret_head);
/* malloc'ed, terminated copy; NULL when out of memory. Own. */
char *str_dup(struct str s);

/* Decimal digits only, no sign, no blanks; within @max. */
bool parse_u64(struct str s, uint64_t max, uint64_t *ret);
bool parse_u32(struct str s, uint32_t *ret);
bool parse_u16(struct str s, uint16_t *ret);
bool parse_u8(struct str s, uint8_t *ret);
/* "1", "t", "T", "true", "TRUE", "True" and the same for false: Go's strconv.ParseBool. */
bool parse_bool(struct str s, bool *ret);

/* True if @s is well-formed UTF-8 (RFC 3629: no surrogates, no overlong forms, up to U+10FFFF). */
bool utf8_is_valid(struct str s);
/* At most @max bytes of the beginning of @s, cut at a character. */
struct str utf8_upto(struct str s, size_t max);
/* For sentences about foreign texts: @s, or, if it does not fit into @out, its beginning, cut at a
 * character, and "…". @size at least 4. Terminated; returns @out, so that it can be an argument. */
const char *str_excerpt(struct str s, char *out, size_t size);
enum { EXCERPT_BYTES = 104 };
#define EXCERPT(s) str_excerpt((s), (char[EXCERPT_BYTES]){ 0 }, EXCERPT_BYTES)
/* Copies @s to @out, each ill-formed sequence replaced by U+FFFD, at most @size bytes, cut at a
 * character. @out needs no terminator and gets none. @return bytes written. */
size_t utf8_sanitize(struct str s, char *out, size_t size);

/* 64-bit hash with a seed; fast, not cryptographic: where keys come from outside, the seed is random
 * and told to nobody, so that they cannot be made to collide. */
uint64_t hash_bytes(const void *p, size_t len, uint64_t seed);

#endif
