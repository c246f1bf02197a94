/* observer/name: the two tables that names stand on, stable numbers and DNS names. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/buf.h"
#include "flow/wire.h"
#include "observer/name/dns_names.h"
#include "observer/name/numbers.h"

static const struct wall_ns noon = { UINT64_C(1700000000) * NS_PER_S };
static const uint8_t client_ip[16] = { 1 }, some_ip[16] = { 2 };

static void numbers_are_fnv1a_of_the_text(void **state)
{
	(void)state;
	AUTO(numbers_free) struct numbers *n = NULL;

	assert_int_equal(numbers_new(256, 65535, &n, NULL), ERR_OK);
	/* test vectors of draft-eastlake-fnv, appendix C */
	assert_int_equal(numbers_get(n, STR("")), 256 + UINT64_C(0xcbf29ce484222325) % 65280);
	assert_int_equal(numbers_get(n, STR("a")), 256 + UINT64_C(0xaf63dc4c8601ec8c) % 65280);
	assert_int_equal(numbers_get(n, STR("foobar")),
			 256 + UINT64_C(0x85944171f73967e8) % 65280);
}

static void colliding_texts_get_numbers_of_their_own_until_there_are_none(void **state)
{
	(void)state;
	AUTO(numbers_free) struct numbers *n = NULL;
	bool taken[8] = { false };
	char text[8];

	assert_int_equal(numbers_new(1, 8, &n, NULL), ERR_OK);
	uint32_t given[9];
	for (int i = 0; i < 8; i++) {
		(void)snprintf(text, sizeof text, "t%d", i);
		given[i] = numbers_get(n, str_of(text));
		assert_in_range(given[i], 1, 8);
		assert_false(taken[given[i] - 1]);
		taken[given[i] - 1] = true;
	}
	for (int i = 0; i < 8; i++) {
		(void)snprintf(text, sizeof text, "t%d", i);
		assert_int_equal(numbers_get(n, str_of(text)), given[i]);
	}
	uint32_t shared = numbers_get(n, STR("one too many"));
	assert_in_range(shared, 1, 8);
	assert_int_equal(numbers_get(n, STR("t3")), given[3]); /* it took nobody's place */
	/* what is held no more stays until the room is needed */
	numbers_drop(n, shared);
	numbers_drop(n, given[3]);
	for (int i = 0; i < 16; i++)
		numbers_drop(n, given[i % 8]);
	assert_int_equal(numbers_get(n, STR("t5")), given[5]);
	for (int i = 0; i < 7; i++) {
		(void)snprintf(text, sizeof text, "new%d", i);
		assert_int_not_equal(numbers_get(n, str_of(text)), given[5]);
	}
}

static void an_address_keeps_the_sixteen_names_that_last_longest(void **state)
{
	(void)state;
	AUTO(dns_names_free) struct dns_names *d = NULL;
	AUTO_BUF struct buf out = buf_init(65536);
	struct dns_client client = { client_ip, { 0 } };
	const uint8_t *address = some_ip;
	char name[16];

	assert_int_equal(dns_names_new(100, 1, &d, NULL), ERR_OK);
	for (uint32_t i = 0; i < 20; i++) {
		(void)snprintf(name, sizeof name, "n%02u.example", i);
		dns_names_learn(d, client, address, str_of(name), 100 + i, noon);
	}
	assert_int_equal(dns_names_count(d), DNS_NAMES_PER_ADDRESS);
	assert_int_equal(dns_names_put(d, address, client, false, noon, 13, &out),
			 DNS_NAMES_PER_ADDRESS);
	struct str first;
	assert_true(wire_find(buf_str(&out), 13, &first));
	assert_true(str_is(first, "n04.example"));
}

static void a_full_table_forgets_what_is_not_used(void **state)
{
	(void)state;
	AUTO(dns_names_free) struct dns_names *d = NULL;
	AUTO_BUF struct buf out = buf_init(65536);
	uint8_t address[16] = { 0 };
	struct dns_client client = { client_ip, { 0 } };

	assert_int_equal(dns_names_new(8, 1, &d, NULL), ERR_OK);
	for (uint8_t i = 0; i < 200; i++) {
		address[15] = i;
		dns_names_learn(d, client, address, STR("some.example"), 60, noon);
		address[15] = 0; /* the first one is asked for all the time */
		assert_int_equal(dns_names_put(d, address, client, true, noon, 13, &out), 1);
		buf_reset(&out);
	}
	assert_int_equal(dns_names_count(d), 8);
	size_t found = 0;
	for (unsigned i = 0; i < 256; i++) {
		address[15] = (uint8_t)i;
		found += dns_names_put(d, address, client, true, noon, 13, &out);
	}
	assert_int_equal(found, 8);
	assert_int_equal(dns_names_new(0, 1, &d, NULL), ERR_INVALID);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(numbers_are_fnv1a_of_the_text),
		cmocka_unit_test(colliding_texts_get_numbers_of_their_own_until_there_are_none),
		cmocka_unit_test(an_address_keeps_the_sixteen_names_that_last_longest),
		cmocka_unit_test(a_full_table_forgets_what_is_not_used),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
