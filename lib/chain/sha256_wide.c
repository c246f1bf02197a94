/*
 * Many messages at once, with AVX-512: word i of each of sixteen messages' blocks lies in vector i,
 * a lane for each message, and all go through the rounds together; two such groups fill each
 * other's waits. Three times what two messages with SHA's own instructions come to on a Zen 5
 * (tests/bench/bench_chain.c). Lanes whose message is over keep what they have.
 */
#include "chain/sha256_inside.h"

#if defined(__x86_64__)
#include <immintrin.h>

enum { GROUPS = SHA256_LANES / 16 };
_Static_assert(GROUPS == 2, "vectors that go together");

#define WIDE __attribute__((target("avx512f,avx512bw")))
#define WIDE_INLINE __attribute__((target("avx512f,avx512bw"), always_inline)) static inline

bool sha256_wide_is_there(void)
{
	return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw");
}

/* Rows become columns: v[i] lane j ◄─► v[j] lane i. */
WIDE_INLINE void transpose(__m512i v[16])
{
	__m512i t[16];

#pragma GCC unroll 8
	for (int i = 0; i < 16; i += 2) {
		t[i] = _mm512_unpacklo_epi32(v[i], v[i + 1]);
		t[i + 1] = _mm512_unpackhi_epi32(v[i], v[i + 1]);
	}
#pragma GCC unroll 4
	for (int i = 0; i < 16; i += 4) {
		v[i] = _mm512_unpacklo_epi64(t[i], t[i + 2]);
		v[i + 1] = _mm512_unpackhi_epi64(t[i], t[i + 2]);
		v[i + 2] = _mm512_unpacklo_epi64(t[i + 1], t[i + 3]);
		v[i + 3] = _mm512_unpackhi_epi64(t[i + 1], t[i + 3]);
	}
	/* v[4 g + c]: of rows 4 g to 4 g + 3, columns c, c + 4, c + 8, c + 12 */
#pragma GCC unroll 4
	for (int c = 0; c < 4; c++) {
		t[c] = _mm512_shuffle_i32x4(v[c], v[4 + c], 0x88);
		t[4 + c] = _mm512_shuffle_i32x4(v[c], v[4 + c], 0xdd);
		t[8 + c] = _mm512_shuffle_i32x4(v[8 + c], v[12 + c], 0x88);
		t[12 + c] = _mm512_shuffle_i32x4(v[8 + c], v[12 + c], 0xdd);
	}
#pragma GCC unroll 4
	for (int c = 0; c < 4; c++) {
		v[c] = _mm512_shuffle_i32x4(t[c], t[8 + c], 0x88);
		v[4 + c] = _mm512_shuffle_i32x4(t[4 + c], t[12 + c], 0x88);
		v[8 + c] = _mm512_shuffle_i32x4(t[c], t[8 + c], 0xdd);
		v[12 + c] = _mm512_shuffle_i32x4(t[4 + c], t[12 + c], 0xdd);
	}
}

enum { XOR3 = 0x96, CHOOSE = 0xca, MAJORITY = 0xe8 }; /* of three bits, as _ternarylogic has it */

/* Exclusive or of three rotations; of two and a shift. */
#define BIG_SIGMA(x, a, b, c)                                                                      \
	_mm512_ternarylogic_epi32(_mm512_ror_epi32(x, a), _mm512_ror_epi32(x, b),                  \
				  _mm512_ror_epi32(x, c), XOR3)
#define SMALL_SIGMA(x, a, b, c)                                                                    \
	_mm512_ternarylogic_epi32(_mm512_ror_epi32(x, a), _mm512_ror_epi32(x, b),                  \
				  _mm512_srli_epi32(x, c), XOR3)

/* One block of each lane of @groups (1 or 2, known when this is compiled) vectors: two fill each
 * other's waits. */
WIDE_INLINE void block_of_each(__m512i state[][8], const uint8_t *const *p, const __mmask16 *lanes,
			       int groups)
{
	const __m512i swap =
		_mm512_broadcast_i32x4(_mm_set_epi64x(0x0c0d0e0f08090a0b, 0x0405060700010203));
	__m512i words[GROUPS][16], letters[GROUPS][8];

#pragma GCC unroll 2
	for (int n = 0; n < groups; n++) {
#pragma GCC unroll 16
		for (int i = 0; i < 16; i++)
			words[n][i] = _mm512_shuffle_epi8(_mm512_loadu_si512(p[16 * n + i]), swap);
		transpose(words[n]);
#pragma GCC unroll 8
		for (int i = 0; i < 8; i++)
			letters[n][i] = state[n][i];
	}
	for (int from = 0; from < 64; from += 16) {
#pragma GCC unroll 16
		for (int i = 0; i < 16; i++) {
			const __m512i k = _mm512_set1_epi32((int)sha256_constants[from + i]);
#pragma GCC unroll 2
			for (int n = 0; n < groups; n++) {
				/* a is s[-i], b is s[1 - i], …: the letters move, and not what they
				 * stand for */
				__m512i *s = letters[n], *w = words[n];
				__m512i *a = &s[(0 - i) & 7], *b = &s[(1 - i) & 7],
					*c = &s[(2 - i) & 7], *d = &s[(3 - i) & 7],
					*e = &s[(4 - i) & 7], *f = &s[(5 - i) & 7],
					*g = &s[(6 - i) & 7], *h = &s[(7 - i) & 7];
				__m512i one = _mm512_add_epi32(
					_mm512_add_epi32(_mm512_add_epi32(*h, k), w[i]),
					_mm512_add_epi32(
						BIG_SIGMA(*e, 6, 11, 25),
						_mm512_ternarylogic_epi32(*e, *f, *g, CHOOSE)));
				__m512i two = _mm512_add_epi32(
					BIG_SIGMA(*a, 2, 13, 22),
					_mm512_ternarylogic_epi32(*a, *b, *c, MAJORITY));
				*d = _mm512_add_epi32(*d, one);
				*h = _mm512_add_epi32(one, two);
				/* the word sixteen rounds on; of the last sixteen nobody asks */
				w[i] = _mm512_add_epi32(
					_mm512_add_epi32(w[i],
							 SMALL_SIGMA(w[(i + 1) & 15], 7, 18, 3)),
					_mm512_add_epi32(
						w[(i + 9) & 15],
						SMALL_SIGMA(w[(i + 14) & 15], 17, 19, 10)));
			}
		}
	}
#pragma GCC unroll 2
	for (int n = 0; n < groups; n++)
#pragma GCC unroll 8
		for (int i = 0; i < 8; i++)
			state[n][i] = _mm512_mask_add_epi32(state[n][i], lanes[n], state[n][i],
							    letters[n][i]);
}

WIDE static void block_of_sixteen(__m512i state[][8], const uint8_t *const *p,
				  const __mmask16 *lanes)
{
	block_of_each(state, p, lanes, 1);
}

WIDE static void block_of_thirtytwo(__m512i state[][8], const uint8_t *const *p,
				    const __mmask16 *lanes)
{
	block_of_each(state, p, lanes, 2);
}

/* As sha256_pad, without the calls that copy and clear so few bytes: what is masked off is not
 * read, and zero. */
WIDE_INLINE size_t pad(const uint8_t *left, uint64_t bytes, uint8_t tail[2 * SHA256_BLOCK])
{
	size_t n = bytes % SHA256_BLOCK, blocks = n + 9 > SHA256_BLOCK ? 2 : 1;
	uint8_t *end = tail + blocks * SHA256_BLOCK;

	_mm512_storeu_si512(tail,
			    _mm512_maskz_loadu_epi8((UINT64_C(1) << n) - 1, (const void *)left));
	_mm512_storeu_si512(tail + SHA256_BLOCK, _mm512_setzero_si512());
	tail[n] = 0x80;
	sha256_put_be32(end - 8, (uint32_t)(bytes >> 29));
	sha256_put_be32(end - 4, (uint32_t)(bytes << 3));
	return blocks;
}

WIDE void sha256_wide(const struct str *messages, uint8_t *const *ret, size_t n)
{
	static const uint8_t nothing[SHA256_BLOCK];
	uint8_t tails[SHA256_LANES][2 * SHA256_BLOCK];
	const uint8_t *from[SHA256_LANES];
	size_t in_place[SHA256_LANES] = { 0 }, total[SHA256_LANES] = { 0 }, most = 0;
	uint32_t words[8][16];
	__m512i state[GROUPS][8];

	for (size_t l = 0; l < n; l++) {
		from[l] = (const uint8_t *)(messages[l].len ? messages[l].p : "");
		in_place[l] = messages[l].len / SHA256_BLOCK;
		total[l] = in_place[l] +
			   pad(from[l] + in_place[l] * SHA256_BLOCK, messages[l].len, tails[l]);
		most = total[l] > most ? total[l] : most;
	}
	for (int i = 0; i < 8; i++)
		state[0][i] = state[1][i] = _mm512_set1_epi32((int)sha256_initial[i]);
	for (size_t block = 0; block < most; block++) {
		const uint8_t *p[SHA256_LANES];
		__mmask16 lanes[GROUPS] = { 0 };

		for (size_t l = 0; l < SHA256_LANES; l++) {
			p[l] = block < in_place[l] ? from[l] + block * SHA256_BLOCK
			       : block < total[l]  ? tails[l] + (block - in_place[l]) * SHA256_BLOCK
						   : nothing;
			lanes[l / 16] =
				(__mmask16)(lanes[l / 16] | (unsigned)(block < total[l]) << l % 16);
		}
		if (n > 16)
			block_of_thirtytwo(state, p, lanes);
		else
			block_of_sixteen(state, p, lanes);
	}
	for (size_t l = 0; l < n; l++) {
		for (int i = 0; i < 8 && l % 16 == 0; i++)
			_mm512_storeu_si512(words[i], state[l / 16][i]);
		for (size_t i = 0; i < 8; i++)
			sha256_put_be32(ret[l] + 4 * i, words[i][l % 16]);
	}
}

#else

bool sha256_wide_is_there(void)
{
	return false;
}

void sha256_wide(const struct str *messages, uint8_t *const *ret, size_t n)
{
	sha256_many(messages, ret, n);
}

#endif
