/* What tables of known texts are looked up by. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "record/scan.h"

/* Tables find what is known of an address by its hash: neighbours must not share a place. */
static void addresses_next_to_each_other_have_hashes_of_their_own(void **state)
{
	enum { PLACES = 4096, ADDRESSES = 512 };
	static bool taken[PLACES];
	size_t places = 0;

	(void)state;
	for (unsigned i = 0; i < ADDRESSES; i++) {
		char text[40]; /* longer than an address: bytes of what follows count for nothing */
		int len = snprintf(text, sizeof text, "10.14.%u.%u", i / 256, i % 256);
		bool *place = &taken[scan_hash(text, (size_t)len) % PLACES];
		places += !*place;
		*place = true;
	}
	/* thrown at random, 512 balls fill some 481 of 4,096 boxes: 4,096 (1 - exp(-1/8)) */
	assert_in_range(places, 450, ADDRESSES);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(addresses_next_to_each_other_have_hashes_of_their_own),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
