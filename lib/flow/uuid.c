#include "flow/uuid.h"

/*
 * A uuid of version 4 has 122 free bits: 60 in its first half, 62 in its second. The number is
 * added to the seed, and a Feistel network mixes the two halves: each step can be taken back, so
 * numbers never share a uuid and every uuid leads to its seed.
 */
enum { ROUNDS = 4, HIGH_BITS = 60, LOW_BITS = 62 };

static const uint64_t HIGH_MASK = (UINT64_C(1) << HIGH_BITS) - 1,
		      LOW_MASK = (UINT64_C(1) << LOW_BITS) - 1;

/* Finalizer of splitmix64 (Steele, Lea, Flood 2014): every bit of @v moves half of the others. */
static uint64_t mix(uint64_t v, uint64_t round)
{
	v += round * UINT64_C(0x9e3779b97f4a7c15);
	v = (v ^ v >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	v = (v ^ v >> 27) * UINT64_C(0x94d049bb133111eb);
	return v ^ v >> 31;
}

/* RFC 9562 §5.4: four bits of version in the first half, two of variant in the second. */
enum { VERSION = 4, VARIANT = 2 };

void flow_uuid_make(const uint64_t seed[2], uint64_t seq, uint64_t ret_uuid[2])
{
	uint64_t high = seed[0] & HIGH_MASK, low = (seed[1] + seq) & LOW_MASK;

	for (uint64_t i = 1; i <= ROUNDS; i += 2) {
		high ^= mix(low, i) & HIGH_MASK;
		low ^= mix(high, i + 1) & LOW_MASK;
	}
	ret_uuid[0] = high >> 12 << 16 | (uint64_t)VERSION << 12 | (high & 0xfff);
	ret_uuid[1] = (uint64_t)VARIANT << LOW_BITS | low;
}

bool flow_uuid_seed(const uint64_t uuid[2], uint64_t seq, uint64_t ret_seed[2])
{
	if ((uuid[0] >> 12 & 0xf) != VERSION || uuid[1] >> LOW_BITS != VARIANT)
		return false;
	uint64_t high = uuid[0] >> 16 << 12 | (uuid[0] & 0xfff), low = uuid[1] & LOW_MASK;

	for (uint64_t i = ROUNDS; i >= 1; i -= 2) {
		low ^= mix(high, i) & LOW_MASK;
		high ^= mix(low, i - 1) & HIGH_MASK;
	}
	ret_seed[0] = high;
	ret_seed[1] = (low - seq) & LOW_MASK;
	return true;
}
