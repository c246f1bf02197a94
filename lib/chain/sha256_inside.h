/*
 * sha256_inside - what the ways of SHA-256 share.
 */
#ifndef TYCHO_CHAIN_SHA256_INSIDE_H
#define TYCHO_CHAIN_SHA256_INSIDE_H

#include "chain/sha256.h"

enum { SHA256_BLOCK = 64, SHA256_LANES = 32 };

extern const uint32_t sha256_initial[8];
extern const uint32_t sha256_constants[64];

static inline void sha256_put_be32(uint8_t *to, uint32_t v)
{
	v = __builtin_bswap32(v);
	memcpy(to, &v, sizeof v);
}

/* The end of a message: what is left of it, 0x80, zeros, its length in bits. @return blocks. */
static inline size_t sha256_pad(const uint8_t *left, uint64_t bytes, uint8_t tail[2 * SHA256_BLOCK])
{
	size_t n = bytes % SHA256_BLOCK, blocks = n + 9 > SHA256_BLOCK ? 2 : 1;

	if (n)
		memcpy(tail, left, n);
	tail[n] = 0x80;
	memset(tail + n + 1, 0, blocks * SHA256_BLOCK - n - 9);
	sha256_put_be32(tail + blocks * SHA256_BLOCK - 8, (uint32_t)(bytes >> 29));
	sha256_put_be32(tail + blocks * SHA256_BLOCK - 4, (uint32_t)(bytes << 3));
	return blocks;
}

/* sha256_wide.c: 32 messages, a lane of a vector each. Only where _is_there says so. */
bool sha256_wide_is_there(void);
/* @n: at most SHA256_LANES. */
void sha256_wide(const struct str *messages, uint8_t *const *ret, size_t n);

#endif
