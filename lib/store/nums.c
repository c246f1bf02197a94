#include "store/nums.h"

#include <stdlib.h>
#include <string.h>

#include "flow/swar.h"

static bool grow(uint8_t **p, size_t *room, size_t want)
{
	size_t bigger = *room * 2 > want ? *room * 2 : want;

	if (want <= *room)
		return true;
	uint8_t *more = realloc(*p, bigger);
	if (!more)
		return false;
	*p = more;
	*room = bigger;
	return true;
}

bool nums_reserve(struct nums_out *o, size_t n)
{
	return grow(&o->codes, &o->room, o->count + n) &&
	       grow(&o->bits, &o->bytes_room, o->bytes + 8 * n + 16);
}

void nums_end(struct nums_out *o)
{
	for (unsigned i = 0; i < o->rest_bits; i += 8)
		o->bits[o->bytes++] = (uint8_t)(o->rest >> i);
	o->rest = 0;
	o->rest_bits = 0;
}

void nums_reset(struct nums_out *o)
{
	o->count = o->bytes = 0;
	o->rest = 0;
	o->rest_bits = 0;
}

void nums_done(struct nums_out *o)
{
	free(o->codes);
	free(o->bits);
	*o = (struct nums_out){ 0 };
}

/* Bits [at, at + n) where nine bytes are there to be read, or not. */
static uint64_t bits_at(const uint8_t *p, size_t bytes, size_t at, unsigned n)
{
	uint8_t last[9] = { 0 };
	const uint8_t *from = p + at / 8;

	if (bytes - at / 8 < sizeof last) {
		memcpy(last, from, bytes - at / 8);
		from = last;
	}
	uint64_t v;
	memcpy(&v, from, sizeof v);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
	v = __builtin_bswap64(v);
#endif
	v >>= at % 8;
	if (at % 8)
		v |= (uint64_t)from[8] << (64 - at % 8);
	return v & ((UINT64_C(1) << n) - 1); /* n < 64 */
}

/* What a code says, if at most 56 bits follow: without a branch, since large and small numbers take
 * turns as they like. */
enum { PLAIN_CODES = NUMS_SMALL + 2 * (56 - 2) };
struct code_meaning {
	uint64_t base; /* the two highest bits, or all of it */
	uint64_t mask; /* those below them */
	uint64_t bits; /* how many */
};
#define SMALL_CODE(v)                                                                              \
	{                                                                                          \
		.base = (v)                                                                        \
	}
#define LARGE_CODES(n)                                                                             \
	{ UINT64_C(2) << (n), (UINT64_C(1) << (n)) - 1, (n) },                                     \
	{                                                                                          \
		UINT64_C(3) << (n), (UINT64_C(1) << (n)) - 1, (n)                                  \
	}
#define FOUR_SMALL(v) SMALL_CODE(v), SMALL_CODE((v) + 1), SMALL_CODE((v) + 2), SMALL_CODE((v) + 3)
#define SIX_LARGE(n)                                                                               \
	LARGE_CODES(n), LARGE_CODES((n) + 1), LARGE_CODES((n) + 2), LARGE_CODES((n) + 3),          \
		LARGE_CODES((n) + 4), LARGE_CODES((n) + 5)
static const struct code_meaning meanings[] = {
	FOUR_SMALL(0), FOUR_SMALL(4), FOUR_SMALL(8), FOUR_SMALL(12), SIX_LARGE(3),
	SIX_LARGE(9),  SIX_LARGE(15), SIX_LARGE(21), SIX_LARGE(27),  SIX_LARGE(33),
	SIX_LARGE(39), SIX_LARGE(45), SIX_LARGE(51),
};
_Static_assert(ARRAY_LEN(meanings) == PLAIN_CODES, "a meaning for each");

void nums_get_n(struct nums_in *in, uint64_t *ret, size_t n)
{
	enum { STEP = 8, MOST_BYTES = STEP * 7 + 8 };
	const uint8_t *bits = in->bits;
	size_t i = 0;

	while (n - i >= STEP && (size_t)(in->codes_end - in->code) >= STEP) {
		uint64_t codes = swar_load((const char *)in->code);
		if (!(codes & SWAR_ONES * (0x100 - NUMS_SMALL))) {
			for (size_t k = 0; k < STEP; k++)
				ret[i + k] = in->code[k];
			in->code += STEP;
			i += STEP;
			continue;
		}
		size_t at = in->at;
		uint64_t large = codes | ((codes & ~SWAR_HIGHS) + SWAR_ONES * (128 - PLAIN_CODES));
		if (large & SWAR_HIGHS || in->bytes < MOST_BYTES ||
		    at / 8 > in->bytes - MOST_BYTES) {
			for (size_t k = 0; k < STEP; k++)
				ret[i++] = nums_get(in);
			continue;
		}
		for (size_t k = 0; k < STEP; k++) {
			const struct code_meaning *m = &meanings[codes & 0xff];
			uint64_t low;

			memcpy(&low, bits + at / 8, sizeof low);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
			low = __builtin_bswap64(low);
#endif
			ret[i + k] = m->base | (low >> at % 8 & m->mask);
			at += m->bits;
			codes >>= 8;
		}
		in->at = at;
		in->code += STEP;
		i += STEP;
	}
	while (i < n)
		ret[i++] = nums_get(in);
}

uint64_t nums_get_slow_(struct nums_in *in, unsigned code)
{
	unsigned bits = (code - NUMS_SMALL) / 2 + 5;

	if (in->bad || code >= NUMS_CODES || bits - 2 > in->bytes * 8 - in->at) {
		in->bad = true;
		return 0;
	}
	uint64_t low = bits_at(in->bits, in->bytes, in->at, bits - 2);
	in->at += bits - 2;
	return UINT64_C(1) << (bits - 1) | (uint64_t)(code & 1) << (bits - 2) | low;
}
