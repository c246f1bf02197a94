#include "store/nums.h"

#include <stdlib.h>
#include <string.h>

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
