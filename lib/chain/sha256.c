/* libcrypto's block function is reached through SHA256_Transform. It is marked as deprecated in
 * favour of calls that allocate, which is what we are here to avoid; it is there in OpenSSL 3.0 to
 * 3.5. */
#define OPENSSL_SUPPRESS_DEPRECATED
#include "chain/sha256_inside.h"

#include <openssl/sha.h>
#include <stdatomic.h>

enum { BLOCK = SHA256_BLOCK };

const uint32_t sha256_initial[8] = { 0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
				     0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19 };

const uint32_t sha256_constants[64] __attribute__((aligned(16))) = {
	0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4,
	0xab1c5ed5, 0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe,
	0x9bdc06a7, 0xc19bf174, 0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f,
	0x4a7484aa, 0x5cb0a9dc, 0x76f988da, 0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7,
	0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967, 0x27b70a85, 0x2e1b2138, 0x4d2c6dfc,
	0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85, 0xa2bfe8a1, 0xa81a664b,
	0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070, 0x19a4c116,
	0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
	0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7,
	0xc67178f2,
};

static void put_state(const uint32_t state[8], uint8_t ret[SHA256_BYTES])
{
	for (size_t i = 0; i < 8; i++)
		sha256_put_be32(ret + 4 * i, state[i]);
}

static void blocks_plain(uint32_t state[8], const uint8_t *p, size_t blocks)
{
	SHA256_CTX ctx = { 0 };

	for (size_t i = 0; i < 8; i++)
		ctx.h[i] = state[i];
	for (; blocks--; p += BLOCK)
		SHA256_Transform(&ctx, p);
	for (size_t i = 0; i < 8; i++)
		state[i] = ctx.h[i];
}

#if defined(__x86_64__)
#include <cpuid.h>
#include <immintrin.h>

#define SHA_TARGET __attribute__((target("sha,sse4.1,ssse3")))

/* The state as the instructions want it: a, b, e, f and c, d, g, h. */
struct lane {
	__m128i abef, cdgh;
};

SHA_TARGET static inline struct lane lane_of(const uint32_t state[8])
{
	__m128i low = _mm_loadu_si128((const __m128i *)state);
	__m128i high = _mm_loadu_si128((const __m128i *)(state + 4));

	low = _mm_shuffle_epi32(low, 0xb1);
	high = _mm_shuffle_epi32(high, 0x1b);
	return (struct lane){ _mm_alignr_epi8(low, high, 8), _mm_blend_epi16(high, low, 0xf0) };
}

SHA_TARGET static inline void lane_put(struct lane l, uint32_t state[8])
{
	__m128i feba = _mm_shuffle_epi32(l.abef, 0x1b), dchg = _mm_shuffle_epi32(l.cdgh, 0xb1);

	_mm_storeu_si128((__m128i *)state, _mm_blend_epi16(feba, dchg, 0xf0));
	_mm_storeu_si128((__m128i *)(state + 4), _mm_alignr_epi8(dchg, feba, 8));
}

/* Four rounds: @i counts from 0 to 15; w[i & 3] becomes the message words of these rounds. */
SHA_TARGET __attribute__((always_inline)) static inline void rounds(struct lane *l, __m128i w[4],
								    const uint8_t *block, size_t i)
{
	const __m128i swap = _mm_set_epi64x(0x0c0d0e0f08090a0b, 0x0405060700010203);
	__m128i *now = &w[i & 3], k;

	if (i < 4) {
		*now = _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)block + i), swap);
	} else {
		__m128i last = w[(i + 3) & 3], before = w[(i + 2) & 3];
		*now = _mm_sha256msg2_epu32(
			_mm_add_epi32(_mm_sha256msg1_epu32(*now, w[(i + 1) & 3]),
				      _mm_alignr_epi8(last, before, 4)),
			last);
	}
	k = _mm_add_epi32(*now, _mm_load_si128((const __m128i *)sha256_constants + i));
	l->cdgh = _mm_sha256rnds2_epu32(l->cdgh, l->abef, k);
	l->abef = _mm_sha256rnds2_epu32(l->abef, l->cdgh, _mm_shuffle_epi32(k, 0x0e));
}

SHA_TARGET __attribute__((always_inline)) static inline void lane_add(struct lane *l,
								      struct lane before)
{
	l->abef = _mm_add_epi32(l->abef, before.abef);
	l->cdgh = _mm_add_epi32(l->cdgh, before.cdgh);
}

SHA_TARGET static void blocks_sha(uint32_t state[8], const uint8_t *p, size_t blocks)
{
	struct lane l = lane_of(state);

	for (; blocks--; p += BLOCK) {
		struct lane before = l;
		__m128i w[4];
#pragma GCC unroll 16
		for (size_t i = 0; i < 16; i++)
			rounds(&l, w, p, i);
		lane_add(&l, before);
	}
	lane_put(l, state);
}

/* As many blocks of each of two messages. */
SHA_TARGET static void blocks_sha_two(uint32_t a_state[8], uint32_t b_state[8], const uint8_t *a,
				      const uint8_t *b, size_t blocks)
{
	struct lane x = lane_of(a_state), y = lane_of(b_state);

	for (; blocks--; a += BLOCK, b += BLOCK) {
		struct lane x_before = x, y_before = y;
		__m128i v[4], w[4];
#pragma GCC unroll 16
		for (size_t i = 0; i < 16; i++) {
			rounds(&x, v, a, i);
			rounds(&y, w, b, i);
		}
		lane_add(&x, x_before);
		lane_add(&y, y_before);
	}
	lane_put(x, a_state);
	lane_put(y, b_state);
}

/* CPUID is slow, and slower in a virtual machine: asked once. Threads that ask at the same time
 * find the same answer. */
static bool has_sha(void)
{
	static atomic_int known; /* 0: not asked yet; 1: no; 2: yes */
	int k = atomic_load_explicit(&known, memory_order_relaxed);

	if (!k) {
		unsigned a, b = 0, c = 0, d, leaf7 = 0;
		if (__get_cpuid_count(7, 0, &a, &b, &c, &d))
			leaf7 = b;
		c = 0;
		(void)__get_cpuid(1, &a, &b, &c, &d);
		k = leaf7 & bit_SHA && c & bit_SSE4_1 && c & bit_SSSE3 ? 2 : 1;
		atomic_store_explicit(&known, k, memory_order_relaxed);
	}
	return k == 2;
}

static void blocks_of(uint32_t state[8], const uint8_t *p, size_t blocks)
{
	if (has_sha())
		blocks_sha(state, p, blocks);
	else
		blocks_plain(state, p, blocks);
}

/* A message as blocks: those in place, then its padded end. */
struct blocks {
	uint32_t state[8];
	const uint8_t *p;
	size_t in_place, total;
	uint8_t tail[2 * BLOCK];
};

static void blocks_init(struct blocks *b, struct str message)
{
	memcpy(b->state, sha256_initial, sizeof b->state);
	b->p = (const uint8_t *)(message.len ? message.p : ""); /* NULL is no place to add to */
	b->in_place = message.len / BLOCK;
	b->total = b->in_place + sha256_pad(b->p + b->in_place * BLOCK, message.len, b->tail);
}

static const uint8_t *block_at(const struct blocks *b, size_t i, size_t *ret_run)
{
	bool in_place = i < b->in_place;

	*ret_run = (in_place ? b->in_place : b->total) - i;
	return in_place ? b->p + i * BLOCK : b->tail + (i - b->in_place) * BLOCK;
}

void sha256_two(const struct str messages[2], uint8_t *const ret[2])
{
	struct blocks a, b;
	size_t i = 0, a_run, b_run;

	if (!has_sha()) {
		sha256_two_plain(messages, ret);
		return;
	}
	blocks_init(&a, messages[0]);
	blocks_init(&b, messages[1]);
	while (i < a.total && i < b.total) {
		const uint8_t *p = block_at(&a, i, &a_run), *q = block_at(&b, i, &b_run);
		size_t run = a_run < b_run ? a_run : b_run;
		blocks_sha_two(a.state, b.state, p, q, run);
		i += run;
	}
	struct blocks *rest = a.total > b.total ? &a : &b;
	while (i < rest->total) {
		const uint8_t *p = block_at(rest, i, &a_run);
		blocks_sha(rest->state, p, a_run);
		i += a_run;
	}
	put_state(a.state, ret[0]);
	put_state(b.state, ret[1]);
}

#else

static void blocks_of(uint32_t state[8], const uint8_t *p, size_t blocks)
{
	blocks_plain(state, p, blocks);
}

void sha256_two(const struct str messages[2], uint8_t *const ret[2])
{
	sha256_two_plain(messages, ret);
}

#endif

static void one(struct str message, uint8_t ret[SHA256_BYTES],
		void (*blocks)(uint32_t state[8], const uint8_t *p, size_t blocks))
{
	uint32_t state[8];
	uint8_t tail[2 * BLOCK];
	const uint8_t *p = (const uint8_t *)(message.len ? message.p : "");
	size_t in_place = message.len / BLOCK;

	memcpy(state, sha256_initial, sizeof state);
	blocks(state, p, in_place);
	blocks(state, tail, sha256_pad(p + in_place * BLOCK, message.len, tail));
	put_state(state, ret);
}

void sha256(struct str message, uint8_t ret[SHA256_BYTES])
{
	one(message, ret, blocks_of);
}

enum { WIDE_LEAST = 6 }; /* fewer are sooner done by twos */

void sha256_many(const struct str *messages, uint8_t *const *ret, size_t n)
{
	while (n >= WIDE_LEAST && sha256_wide_is_there()) {
		size_t k = n < SHA256_LANES ? n : SHA256_LANES;
		sha256_wide(messages, ret, k);
		messages += k;
		ret += k;
		n -= k;
	}
	for (; n >= 2; messages += 2, ret += 2, n -= 2)
		sha256_two(messages, ret);
	if (n)
		sha256(*messages, *ret);
}

void sha256_two_plain(const struct str messages[2], uint8_t *const ret[2])
{
	for (size_t i = 0; i < 2; i++)
		one(messages[i], ret[i], blocks_plain);
}

void sha256_init(struct sha256 *s)
{
	memcpy(s->state, sha256_initial, sizeof s->state);
	s->bytes = 0;
}

void sha256_put(struct sha256 *s, struct str bytes)
{
	size_t held = s->bytes % BLOCK;

	if (!bytes.len)
		return;
	s->bytes += bytes.len;
	if (held) {
		size_t n = BLOCK - held < bytes.len ? BLOCK - held : bytes.len;
		memcpy(s->part + held, bytes.p, n);
		bytes = str_from(bytes, n);
		if (held + n < BLOCK)
			return;
		blocks_of(s->state, s->part, 1);
	}
	blocks_of(s->state, (const uint8_t *)bytes.p, bytes.len / BLOCK);
	if (bytes.len % BLOCK)
		memcpy(s->part, bytes.p + bytes.len / BLOCK * BLOCK, bytes.len % BLOCK);
}

void sha256_end(struct sha256 *s, uint8_t ret[SHA256_BYTES])
{
	uint8_t tail[2 * BLOCK];

	blocks_of(s->state, tail, sha256_pad(s->part, s->bytes, tail));
	put_state(s->state, ret);
}

void sha256_hmac(struct str key, struct str message, uint8_t ret[SHA256_BYTES])
{
	enum { INNER = 0x36, OUTER = 0x5c };
	uint8_t pad[BLOCK] = { 0 };
	struct sha256 s;

	memcpy(pad, key.p, key.len);
	for (size_t i = 0; i < BLOCK; i++)
		pad[i] ^= INNER;
	sha256_init(&s);
	sha256_put(&s, str_n(pad, BLOCK));
	sha256_put(&s, message);
	sha256_end(&s, ret);
	for (size_t i = 0; i < BLOCK; i++)
		pad[i] ^= INNER ^ OUTER;
	sha256_init(&s);
	sha256_put(&s, str_n(pad, BLOCK));
	sha256_put(&s, str_n(ret, SHA256_BYTES));
	sha256_end(&s, ret);
	explicit_bzero(pad, sizeof pad);
}
