/*
 * sha256 - FIPS 180-4's SHA-256, for many short messages: 32 at a time in the lanes of AVX-512, or
 * two where the processor has instructions for it (x86-64's SHA extensions), otherwise libcrypto's.
 *
 * One message leaves these instructions waiting for themselves, two fill each other's waits
 * (tests/bench/bench_chain.c prints both); and libcrypto's calls that look an algorithm up by name
 * cost more than a short message does.
 *
 * Threads  pure functions.
 */
#ifndef TYCHO_CHAIN_SHA256_H
#define TYCHO_CHAIN_SHA256_H

#include "base/str.h"

enum { SHA256_BYTES = 32 };

void sha256(struct str message, uint8_t ret[SHA256_BYTES]);
/* Two messages of any lengths; quickest where they need as many blocks of 64 bytes. */
void sha256_two(const struct str messages[2], uint8_t *const ret[2]);

/* Any number of them; quickest where each SHA256_AT_ONCE that follow each other need as many
 * blocks. */
enum { SHA256_AT_ONCE = 32 };
void sha256_many(const struct str *messages, uint8_t *const *ret, size_t n);

/* A message that comes in pieces. */
struct sha256 {
	uint32_t state[8];
	uint64_t bytes;
	uint8_t part[64];
};
void sha256_init(struct sha256 *s);
void sha256_put(struct sha256 *s, struct str bytes);
void sha256_end(struct sha256 *s, uint8_t ret[SHA256_BYTES]);

/* HMAC (RFC 2104) by a key of at most a block of 64 bytes. libcrypto's would leave 1.2 MB of it in
 * the memory of a process that needs nothing else of it. */
void sha256_hmac(struct str key, struct str message, uint8_t ret[SHA256_BYTES]);

/* Without the processor's instructions: for tests. */
void sha256_two_plain(const struct str messages[2], uint8_t *const ret[2]);

#endif
