/*
 * nums - lists of numbers as bytes: small ones in a code that compresses, large ones beside it.
 *
 *	value    code (one byte each, zstd)                    rest (bits, as they are)
 *	0…15     the value                                     –
 *	larger   16 + 2 (bits - 5) + the second highest bit    what is below the two highest bits
 *
 * So that the compressor sees the sizes, which repeat, and not the digits, which are noise.
 *
 * Threads  one thread per struct.
 */
#ifndef TYCHO_STORE_NUMS_H
#define TYCHO_STORE_NUMS_H

#include "base/err.h"
#include "base/str.h"

enum { NUMS_SMALL = 16, NUMS_CODES = NUMS_SMALL + 2 * (64 - 4) };

/* --- writing ------------------------------------------------------------------------------- */

struct nums_out {
	uint8_t *codes;
	size_t count, room;
	uint8_t *bits;
	size_t bytes, bytes_room; /* whole ones in @bits */
	uint64_t rest;            /* the last ones, lowest first */
	unsigned rest_bits;       /* < 64 */
};

/* Room for @n more numbers, whatever they are. */
MUST_CHECK bool nums_reserve(struct nums_out *o, size_t n);
static inline void nums_put_bits_(struct nums_out *o, uint64_t v, unsigned n)
{
	o->rest |= v << o->rest_bits;
	if (o->rest_bits + n < 64) {
		o->rest_bits += n;
		return;
	}
	for (int i = 0; i < 8; i++)
		o->bits[o->bytes + (size_t)i] = (uint8_t)(o->rest >> 8 * i);
	o->bytes += 8;
	o->rest = o->rest_bits ? v >> (64 - o->rest_bits) : 0;
	o->rest_bits = o->rest_bits + n - 64;
}
/* Room must have been reserved. */
static inline void nums_put(struct nums_out *o, uint64_t v)
{
	if (v < NUMS_SMALL) {
		o->codes[o->count++] = (uint8_t)v;
		return;
	}
	unsigned bits = 64 - (unsigned)__builtin_clzll(v);
	o->codes[o->count++] = (uint8_t)(NUMS_SMALL + 2 * (bits - 5) + (v >> (bits - 2) & 1));
	nums_put_bits_(o, v & ((UINT64_C(1) << (bits - 2)) - 1), bits - 2);
}
/* Writes out the last bits: no more puts until the reset. */
void nums_end(struct nums_out *o);
void nums_reset(struct nums_out *o); /* memory is kept */
void nums_done(struct nums_out *o);

/* Signed differences as unsigned numbers: 0, -1, 1, -2, 2, … */
static inline uint64_t nums_zigzag(uint64_t difference)
{
	return difference << 1 ^ (0 - (difference >> 63));
}
static inline uint64_t nums_unzigzag(uint64_t v)
{
	return v >> 1 ^ (0 - (v & 1));
}

/* --- reading ------------------------------------------------------------------------------- */

struct nums_in {
	const uint8_t *code, *codes_end;
	const uint8_t *bits;
	size_t bytes;
	size_t at; /* bit */
	bool bad;  /* more was asked for than there is, or a code that is none: yields 0 */
};

static inline struct nums_in nums_in_of(struct str codes, struct str bits)
{
	const uint8_t *code = (const uint8_t *)(codes.len ? codes.p : "");

	return (struct nums_in){ .code = code,
				 .codes_end = code + codes.len,
				 .bits = (const uint8_t *)(bits.len ? bits.p : ""),
				 .bytes = bits.len };
}
uint64_t nums_get_slow_(struct nums_in *in, unsigned code);
static inline uint64_t nums_get(struct nums_in *in)
{
	if (__builtin_expect(in->code == in->codes_end, 0)) {
		in->bad = true;
		return 0;
	}
	unsigned code = *in->code++;
	if (code < NUMS_SMALL)
		return code;
	unsigned bits = (code - NUMS_SMALL) / 2 + 3; /* below the two highest */
	if (__builtin_expect(bits > 56 || in->at / 8 + 8 > in->bytes, 0)) {
		/* of a copy: whoever gives its address away keeps it out of the registers */
		struct nums_in slow = *in;
		uint64_t v = nums_get_slow_(&slow, code);
		*in = slow;
		return v;
	}
	uint64_t low;
	memcpy(&low, in->bits + in->at / 8, sizeof low);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
	low = __builtin_bswap64(low);
#endif
	low = low >> in->at % 8 & ((UINT64_C(1) << bits) - 1);
	in->at += bits;
	return (UINT64_C(2) | (code & 1)) << bits | low;
}
/* The next @n of them. Much faster than one by one. */
void nums_get_n(struct nums_in *in, uint64_t *ret, size_t n);

#endif
