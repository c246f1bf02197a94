/*
 * swar - eight bytes at a time: tests on the bytes of one 64-bit number.
 *
 * A result is zero exactly if no byte passes the test, and its lowest mark is exact: that is the
 * first byte that passed. Above it a borrow may have marked bytes that did not. Source: "Hacker's
 * Delight" 6-1, find first 0-byte.
 */
#ifndef TYCHO_FLOW_SWAR_H
#define TYCHO_FLOW_SWAR_H

#include <stdint.h>
#include <string.h>

#define SWAR_ONES UINT64_C(0x0101010101010101)
#define SWAR_HIGHS UINT64_C(0x8080808080808080)

static inline uint64_t swar_load(const char *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof v);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
	v = __builtin_bswap64(v);
#endif
	return v; /* the first byte is the lowest */
}
static inline void swar_store(char *p, uint64_t v)
{
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
	v = __builtin_bswap64(v);
#endif
	memcpy(p, &v, sizeof v);
}
/* A byte below @n, at most 128. */
static inline uint64_t swar_below(uint64_t v, unsigned n)
{
	return (v - SWAR_ONES * n) & ~v & SWAR_HIGHS;
}
static inline uint64_t swar_equal(uint64_t v, char c)
{
	return swar_below(v ^ (SWAR_ONES * (uint8_t)c), 1);
}

/* Place of the first byte marked in @marks, which is not zero. */
static inline unsigned swar_first(uint64_t marks)
{
	return (unsigned)__builtin_ctzll(marks) / 8;
}

#endif
