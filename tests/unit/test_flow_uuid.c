/* Names of flows from a run's seed and their numbers. */
#include "flow_random.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "flow/uuid.h"

enum { MANY = 20000 };

static void seed_and_number_give_a_uuid_of_version_4_that_gives_the_seed_back(void **state)
{
	static const uint64_t edges[] = { 0, 1, UINT64_MAX, UINT64_C(1) << 60, UINT64_C(1) << 62 };
	struct random r = random_of("uuid", 20);
	uint64_t seed[2], uuid[2], back[2];

	(void)state;
	for (size_t i = 0; i < MANY; i++) {
		uint64_t seq = random_number(&r, UINT64_MAX);

		seed[0] = i < 25 ? edges[i / 5] : random_u64(&r);
		seed[1] = i < 25 ? edges[i % 5] : random_u64(&r);
		flow_uuid_make(seed, seq, uuid);
		assert_int_equal(uuid[0] >> 12 & 0xf, 4);
		assert_int_equal(uuid[1] >> 62, 2);
		assert_true(flow_uuid_seed(uuid, seq, back));
		assert_true(back[0] == (seed[0] & ((UINT64_C(1) << 60) - 1)));
		assert_true(back[1] == (seed[1] & ((UINT64_C(1) << 62) - 1)));
	}
}

static void any_uuid_of_version_4_comes_back_from_its_seed(void **state)
{
	struct random r = random_of("uuid", 21);

	(void)state;
	for (size_t i = 0; i < MANY; i++) {
		uint64_t uuid[2] = { (random_u64(&r) & ~UINT64_C(0xf000)) | 0x4000,
				     random_u64(&r) >> 2 | UINT64_C(1) << 63 };
		uint64_t seq = random_u64(&r), seed[2], back[2];

		assert_true(flow_uuid_seed(uuid, seq, seed));
		flow_uuid_make(seed, seq, back);
		assert_true(back[0] == uuid[0] && back[1] == uuid[1]);
	}
}

static void other_versions_have_no_seed(void **state)
{
	uint64_t seed[2] = { 7, 8 };

	(void)state;
	for (uint64_t version = 0; version < 16; version++)
		for (uint64_t variant = 0; variant < 4; variant++) {
			uint64_t uuid[2] = { version << 12, variant << 62 };

			if (version == 4 && variant == 2)
				continue;
			assert_false(flow_uuid_seed(uuid, 1, seed));
			assert_true(seed[0] == 7 && seed[1] == 8);
		}
}

/* Neighbouring numbers differ in about half of the 122 free bits: binomial with a mean of 61 and a
 * deviation of 5.5; the mean of 20,000 of them stays within 0.04 of it (one deviation). */
static void neighbours_look_unrelated(void **state)
{
	struct random r = random_of("uuid", 22);
	uint64_t seed[2] = { random_u64(&r), random_u64(&r) }, start = random_u64(&r) >> 2;
	uint64_t before[2], now[2], changed = 0;

	(void)state;
	flow_uuid_make(seed, start, before);
	for (uint64_t i = 1; i <= MANY; i++) {
		flow_uuid_make(seed, start + i, now);
		int bits = __builtin_popcountll(now[0] ^ before[0]) +
			   __builtin_popcountll(now[1] ^ before[1]);
		assert_in_range(bits, 25, 97); /* 6.5 deviations */
		changed += (uint64_t)bits;
		before[0] = now[0];
		before[1] = now[1];
	}
	assert_in_range(changed, MANY * 608 / 10, MANY * 612 / 10);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(seed_and_number_give_a_uuid_of_version_4_that_gives_the_seed_back),
		cmocka_unit_test(any_uuid_of_version_4_comes_back_from_its_seed),
		cmocka_unit_test(other_versions_have_no_seed),
		cmocka_unit_test(neighbours_look_unrelated),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
