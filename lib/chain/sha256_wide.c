/*
 * Many messages at once, with AVX-512: word i of each of sixteen messages' blocks lies in vector i,
 * a lane for each message, and all go through the rounds together; two such groups fill each
 * other's waits. Three times what two messages with SHA's own instructions come to on a Zen 5, a
 * sixth more on a Zen 4 (tests/bench/bench_chain.c). Lanes whose message is over keep what they have.
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

/* Sixteen rounds from @from on; words become those of the sixteen after them, if there are any. */
WIDE_INLINE void rounds(__m512i letters[][8], __m512i words[][16], int from, int groups,
			bool are_more)
{
#pragma GCC unroll 16
	for (int i = 0; i < 16; i++) {
		const __m512i k = _mm512_set1_epi32((int)sha256_constants[from + i]);
#pragma GCC unroll 2
		for (int n = 0; n < groups; n++) {
			/* a is s[-i], b is s[1 - i], …: the letters move, and not what they stand
			 * for */
			__m512i *s = letters[n], *w = words[n];
			__m512i *a = &s[(0 - i) & 7], *b = &s[(1 - i) & 7], *c = &s[(2 - i) & 7],
				*d = &s[(3 - i) & 7], *e = &s[(4 - i) & 7], *f = &s[(5 - i) & 7],
				*g = &s[(6 - i) & 7], *h = &s[(7 - i) & 7];
			__m512i one = _mm512_add_epi32(
				_mm512_add_epi32(_mm512_add_epi32(*h, k), w[i]),
				_mm512_add_epi32(BIG_SIGMA(*e, 6, 11, 25),
						 _mm512_ternarylogic_epi32(*e, *f, *g, CHOOSE)));
			__m512i two =
				_mm512_add_epi32(BIG_SIGMA(*a, 2, 13, 22),
						 _mm512_ternarylogic_epi32(*a, *b, *c, MAJORITY));
			*d = _mm512_add_epi32(*d, one);
			*h = _mm512_add_epi32(one, two);
			if (are_more)
				w[i] = _mm512_add_epi32(
					_mm512_add_epi32(w[i],
							 SMALL_SIGMA(w[(i + 1) & 15], 7, 18, 3)),
					_mm512_add_epi32(
						w[(i + 9) & 15],
						SMALL_SIGMA(w[(i + 14) & 15], 17, 19, 10)));
		}
	}
}

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
	for (int from = 0; from < 48; from += 16)
		rounds(letters, words, from, groups, true);
	rounds(letters, words, 48, groups, false);
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

/* As sha256_pad, without calls and branches: what is masked off is not read, and zero. */
WIDE_INLINE size_t pad(const uint8_t *left, uint64_t bytes, uint8_t tail[2 * SHA256_BLOCK])
{
	size_t n = bytes % SHA256_BLOCK, blocks = n + 9 > SHA256_BLOCK ? 2 : 1;
	const __mmask64 first = UINT64_C(1) << n;
	const __mmask8 last_word = 0x80;
	long long bits = (long long)__builtin_bswap64(bytes << 3);
	__m512i block = _mm512_or_si512(_mm512_maskz_loadu_epi8(first - 1, (const void *)left),
					_mm512_maskz_set1_epi8(first, (char)0x80));

	_mm512_store_si512(
		tail,
		_mm512_or_si512(block, _mm512_maskz_set1_epi64(blocks == 1 ? last_word : 0, bits)));
	_mm512_store_si512(tail + SHA256_BLOCK, _mm512_maskz_set1_epi64(last_word, bits));
	return blocks;
}

/* The states of sixteen lanes as hashes, for the first @n of them. */
WIDE_INLINE void put_hashes(const __m512i state[8], uint8_t *const *ret, size_t n)
{
	const __m256i swap =
		_mm256_broadcastsi128_si256(_mm_set_epi64x(0x0c0d0e0f08090a0b, 0x0405060700010203));
	__m512i v[16];

	for (int i = 0; i < 8; i++) {
		v[i] = state[i];
		v[8 + i] = _mm512_setzero_si512();
	}
	transpose(v);
	for (size_t l = 0; l < n; l++)
		_mm256_storeu_si256((__m256i *)ret[l],
				    _mm256_shuffle_epi8(_mm512_castsi512_si256(v[l]), swap));
}

/* Where each message's blocks are: in the message, the last one or two in its tail. Eight lanes to
 * a vector, so that no branch is to be guessed. */
struct places {
	uint64_t message[SHA256_LANES],
		tail[SHA256_LANES]; /* addresses of block 0, if it was there */
	uint64_t in_place[SHA256_LANES], total[SHA256_LANES]; /* blocks */
} __attribute__((aligned(64)));

WIDE_INLINE void places_of_block(const struct places *w, size_t block,
				 const uint8_t *p[SHA256_LANES], __mmask16 lanes[GROUPS])
{
	static const uint8_t nothing[SHA256_BLOCK];
	const __m512i now = _mm512_set1_epi64((long long)block),
		      from = _mm512_set1_epi64((long long)(block * SHA256_BLOCK)),
		      none = _mm512_set1_epi64((long long)(uintptr_t)nothing);

	lanes[0] = lanes[1] = 0;
#pragma GCC unroll 4
	for (size_t l = 0; l < SHA256_LANES; l += 8) {
		__mmask8 in_place =
			_mm512_cmplt_epu64_mask(now, _mm512_load_si512(w->in_place + l));
		__mmask8 is_there = _mm512_cmplt_epu64_mask(now, _mm512_load_si512(w->total + l));
		__m512i base = _mm512_mask_blend_epi64(in_place, _mm512_load_si512(w->tail + l),
						       _mm512_load_si512(w->message + l));
		_mm512_storeu_si512(p + l, _mm512_mask_add_epi64(none, is_there, base, from));
		lanes[l / 16] = (__mmask16)(lanes[l / 16] | (unsigned)is_there << l % 16);
	}
}

WIDE void sha256_wide(const struct str *messages, uint8_t *const *ret, size_t n)
{
	uint8_t tails[SHA256_LANES][2 * SHA256_BLOCK] __attribute__((aligned(64)));
	struct places where;
	size_t most = 0;
	__m512i state[GROUPS][8];

	for (size_t l = 0; l < SHA256_LANES; l++)
		where.message[l] = where.tail[l] = where.in_place[l] = where.total[l] = 0;
	for (size_t l = 0; l < n; l++) {
		const uint8_t *p = (const uint8_t *)(messages[l].len ? messages[l].p : "");
		size_t in_place = messages[l].len / SHA256_BLOCK;
		size_t total =
			in_place + pad(p + in_place * SHA256_BLOCK, messages[l].len, tails[l]);
		where.message[l] = (uintptr_t)p;
		where.tail[l] = (uintptr_t)tails[l] - in_place * SHA256_BLOCK;
		where.in_place[l] = in_place;
		where.total[l] = total;
		most = total > most ? total : most;
	}
	for (int i = 0; i < 8; i++)
		state[0][i] = state[1][i] = _mm512_set1_epi32((int)sha256_initial[i]);
	for (size_t block = 0; block < most; block++) {
		const uint8_t *p[SHA256_LANES];
		__mmask16 lanes[GROUPS];

		places_of_block(&where, block, p, lanes);
		if (n > 16)
			block_of_thirtytwo(state, p, lanes);
		else
			block_of_sixteen(state, p, lanes);
	}
	put_hashes(state[0], ret, n < 16 ? n : 16);
	if (n > 16)
		put_hashes(state[1], ret + 16, n - 16);
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
