/*
 * eat - a text that should be JSON, compared from its front with what a protobuf message says,
 * without writing it.
 *
 * Whatever is eaten is what lib/flow's JSON writer would have written there. False is "no, or not
 * known": text that JSON escapes other than by a backslash alone, fields that stand in another order
 * than their declaration, values that are their default, well-known types. The eater is then
 * anywhere.
 *
 * Nearly all that is compared is short, and there is much of it: the small ones are inline.
 */
#ifndef TYCHO_EVIDENCE_EAT_H
#define TYCHO_EVIDENCE_EAT_H

#include "flow/schema.h"
#include "flow/swar.h"
#include "flow/wire.h"

/* What is left of the text. */
struct eater {
	const char *p, *end;
};

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

/* Nearly all that is compared is short: a call would cost more than the comparison. */
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

static inline bool eat(struct eater *t, const char *p, size_t n)
{
	if ((size_t)(t->end - t->p) < n || !is_same(t->p, p, n))
		return false;
	t->p += n;
	return true;
}

/* Of a length that the compiler knows: a few instructions. */
#define eat_lit(t, literal) eat_fixed((t), "" literal, sizeof(literal) - 1)
__attribute__((always_inline)) static inline bool eat_fixed(struct eater *t, const char *p,
							    size_t n)
{
	if ((size_t)(t->end - t->p) < n || memcmp(t->p, p, n) != 0)
		return false;
	t->p += n;
	return true;
}

/* Characters that JSON, as lib/flow writes it, does not hold as they are, marked. */
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

/* The rest of a string whose quote has been eaten: with quotes and backslashes, which have a
 * backslash before them. */
bool eat_escaped(struct eater *t, struct str s);

/* A string with its quotes. */
static inline bool eat_string(struct eater *t, struct str s)
{
	if (!eat_lit(t, "\""))
		return false;
	if ((size_t)(t->end - t->p) < s.len + 1 || t->p[s.len] != '"' ||
	    !is_same(t->p, s.p, s.len) || !is_plain(s.p, s.len))
		return t->p < t->end && eat_escaped(t, s);
	t->p += s.len + 1;
	return true;
}

/* A message whose fields stand in the order of their declaration, repeated ones behind each other;
 * messages in it nest at most @depth deep. */
bool eat_message(struct eater *t, const struct schema_message *m, struct str bytes, int depth);
/* A field with a comma before it and its name; nothing if it is not there (raw.len 0). Not for
 * repeated ones. */
bool eat_field(struct eater *t, const struct schema_field *f, const struct wire_field *x);

#endif
