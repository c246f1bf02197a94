/* observer/name: the tables that names stand on: stable numbers, DNS names learned and told. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "observer/name/dns_names.h"
#include "observer/name/numbers.h"
#include "observer/name/told.h"

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
	assert_int_equal(numbers_get(n, STR("foobar")), 256 + UINT64_C(0x85944171f73967e8) % 65280);
}

static void colliding_texts_get_numbers_of_their_own_until_there_are_none(void **state)
{
	(void)state;
	AUTO(numbers_free) struct numbers *n = NULL;
	bool taken[8] = { false };
	char text[16];

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

/* As the header says it, place by place. */
enum { PLACES = 100, TEXTS = 160, CHANGES = 20000 };
struct naive {
	int text[PLACES]; /* - 1: never used */
	unsigned held[PLACES];
};

static size_t naive_get(struct naive *n, int text, size_t home)
{
	size_t at = home;

	for (size_t i = 0; i < PLACES; i++)
		if (n->text[i] == text) {
			n->held[i]++;
			return i;
		}
	for (size_t probe = PLACES; probe-- > 0;) /* the nearest one is what stays */
		if (!n->held[(home + probe) % PLACES])
			at = (home + probe) % PLACES;
	for (size_t probe = PLACES; probe-- > 0;)
		if (n->text[(home + probe) % PLACES] < 0)
			at = (home + probe) % PLACES;
	if (!n->held[at])
		n->text[at] = text;
	n->held[at]++;
	return at;
}

static void numbers_are_those_of_looking_place_by_place(void **state)
{
	uint64_t random = 0x9e3779b97f4a7c15;
	struct naive naive = { .held = { 0 } };
	AUTO(numbers_free) struct numbers *n = NULL;
	size_t home[TEXTS];
	char text[16];

	(void)state;
	print_message("seed %llx\n", (unsigned long long)random);
	memset(naive.text, 0xff, sizeof naive.text);
	for (int i = 0; i < TEXTS; i++) { /* the first of all texts is where its hash points */
		AUTO(numbers_free) struct numbers *alone = NULL;
		(void)snprintf(text, sizeof text, "t%d", i);
		assert_int_equal(numbers_new(7, 6 + PLACES, &alone, NULL), ERR_OK);
		home[i] = numbers_get(alone, str_of(text)) - 7;
	}
	assert_int_equal(numbers_new(7, 6 + PLACES, &n, NULL), ERR_OK);
	for (int i = 0; i < CHANGES; i++) {
		random = random * UINT64_C(6364136223846793005) + 1442695040888963407;
		unsigned what = (unsigned)(random >> 33);
		/* fuller and emptier by turns; at times to the last place */
		bool get = what % 16 < (i / 1000 % 2 ? 6 : 10);
		if (get) {
			int which = (int)(what / 16 % TEXTS);
			(void)snprintf(text, sizeof text, "t%d", which);
			size_t at = naive_get(&naive, which, home[which]);
			assert_int_equal(numbers_get(n, str_of(text)), 7 + at);
		} else {
			size_t at = what / 16 % PLACES;
			naive.held[at] -= naive.held[at] > 0;
			numbers_drop(n, (uint32_t)(7 + at));
		}
	}
}

static void an_address_keeps_the_sixteen_names_that_last_longest(void **state)
{
	(void)state;
	AUTO(dns_names_free) struct dns_names *d = NULL;
	struct str names[DNS_NAMES_PER_ADDRESS];
	struct dns_client client = { client_ip, { 0 } };
	const uint8_t *address = some_ip;
	char name[16];

	assert_int_equal(dns_names_new(100, 1, &d, NULL), ERR_OK);
	for (uint32_t i = 0; i < 20; i++) {
		(void)snprintf(name, sizeof name, "n%02u.example", i);
		dns_names_learn(d, client, address, str_of(name), 100 + i, noon);
	}
	assert_int_equal(dns_names_count(d), DNS_NAMES_PER_ADDRESS);
	assert_int_equal(dns_names_find(d, address, client, false, noon, names),
			 DNS_NAMES_PER_ADDRESS);
	assert_true(str_is(names[0], "n04.example"));
	assert_int_equal(dns_names_pushed_out(d), 4);
	/* said again, and in the place of what is over: nothing is lost */
	dns_names_learn(d, client, address, STR("n19.example"), 100, noon);
	dns_names_learn(d, client, address, STR("late.example"), 100,
			(struct wall_ns){ noon.v + (DNS_GRACE_S + 200) * NS_PER_S });
	assert_int_equal(dns_names_pushed_out(d), 4);
}

static void a_full_table_forgets_what_is_not_used(void **state)
{
	(void)state;
	AUTO(dns_names_free) struct dns_names *d = NULL;
	struct str names[DNS_NAMES_PER_ADDRESS];
	uint8_t address[16] = { 0 };
	struct dns_client client = { client_ip, { 0 } };

	assert_int_equal(dns_names_new(8, 1, &d, NULL), ERR_OK);
	for (uint8_t i = 0; i < 200; i++) {
		address[15] = i;
		dns_names_learn(d, client, address, STR("some.example"), 60, noon);
		address[15] = 0; /* the first one is asked for all the time */
		assert_int_equal(dns_names_find(d, address, client, true, noon, names), 1);
	}
	assert_int_equal(dns_names_count(d), 8);
	size_t found = 0;
	for (unsigned i = 0; i < 256; i++) {
		address[15] = (uint8_t)i;
		found += dns_names_find(d, address, client, true, noon, names);
	}
	assert_int_equal(found, 8);
	assert_int_equal(dns_names_pushed_out(d), 200 - 8);
	assert_int_equal(dns_names_new(0, 1, &d, NULL), ERR_INVALID);
}

/* Cilium sorts names with their last dots, and '-' comes before '.' in ASCII. */
static void names_are_in_the_order_they_have_with_their_last_dots(void **state)
{
	(void)state;
	static const struct str in_order[] = { STR("a"),         STR("a.com-x"), STR("a.com"),
					       STR("a.com.x-y"), STR("a.com.x"), STR("a.com0"),
					       STR("b") };

	for (size_t i = 0; i < ARRAY_LEN(in_order); i++)
		for (size_t k = 0; k < ARRAY_LEN(in_order); k++) {
			int order = dns_name_cmp(in_order[i], in_order[k]);
			assert_int_equal((order > 0) - (order < 0), (i > k) - (i < k));
		}
}

static struct name_told told_of(uint8_t last, uint32_t endpoint, const char *name, uint64_t until_s)
{
	return (struct name_told){ .ip = { [15] = last },
				   .endpoint = endpoint,
				   .name = str_of(name),
				   .until = { until_s * NS_PER_S } };
}

static void assert_told(const struct told *t, uint8_t last, uint32_t endpoint, uint64_t now_s,
			const char *want)
{
	struct str names[TOLD_PER_ADDRESS];
	const uint8_t ip[16] = { [15] = last };
	size_t n = told_find(t, ip, endpoint, (struct wall_ns){ now_s * NS_PER_S }, names);
	char text[256];
	int at = 0;

	text[0] = 0;
	for (size_t i = 0; i < n; i++)
		at += snprintf(text + at, sizeof text - (size_t)at, "%s%.*s", i ? " " : "",
			       STR_FMT(names[i]));
	assert_string_equal(text, want);
}

static void what_was_told_is_found_by_endpoint_and_address_until_it_ends(void **state)
{
	(void)state;
	struct told *t = NULL;
	const struct name_told list[] = {
		told_of(7, 42, "shop.example.", 100),
		told_of(7, 42, "Cart.Example.", 200),
		told_of(7, 42, "shop.example", 300), /* again, longer */
		told_of(7, 43, "other.example.", 100),
		told_of(8, 42, "far.example.", 100),
		told_of(7, 42, "", 100),
		told_of(7, 42, "not a name", 100),
		told_of(7, 42, "a\xc2\x9b.example", 100), /* U+009B steers terminals */
	};

	assert_int_equal(told_new(list, ARRAY_LEN(list), &t, NULL), ERR_OK);
	assert_told(t, 7, 42, 100, "cart.example shop.example");
	assert_told(t, 7, 42, 300, "shop.example");
	assert_told(t, 7, 42, 301, "");
	assert_told(t, 7, 42, 0, "cart.example shop.example"); /* whatever their age */
	assert_told(t, 7, 43, 100, "other.example");
	assert_told(t, 8, 42, 100, "far.example");
	assert_told(t, 8, 43, 100, "");
	assert_told(t, 9, 42, 100, "");
	assert_told(NULL, 7, 42, 100, "");
	assert_ptr_equal(told_ref(t), t);
	told_unref(t);
	assert_told(t, 8, 42, 100, "far.example"); /* it is still held */
	told_unref(t);
	told_unref(told_ref(NULL));
}

static void nothing_told_is_found_nowhere_and_of_too_much_the_first_names_stay(void **state)
{
	(void)state;
	struct name_told many[TOLD_PER_ADDRESS + 5];
	char names[TOLD_PER_ADDRESS + 5][16];
	struct str got[TOLD_PER_ADDRESS];
	struct told *t = NULL;

	assert_int_equal(told_new(NULL, 0, &t, NULL), ERR_OK);
	assert_told(t, 7, 42, 0, "");
	told_unref(t);
	for (size_t i = 0; i < ARRAY_LEN(many); i++) { /* the last one first */
		(void)snprintf(names[i], sizeof names[i], "n%03zu.example",
			       ARRAY_LEN(many) - 1 - i);
		many[i] = told_of(7, 42, names[i], 100);
	}
	many[0].endpoint = 43; /* and who comes after it is found all the same */
	assert_int_equal(told_new(many, ARRAY_LEN(many), &t, NULL), ERR_OK);
	assert_int_equal(told_find(t, many[1].ip, 42, noon, got), 0);
	assert_int_equal(told_find(t, many[1].ip, 42, (struct wall_ns){ 1 }, got),
			 TOLD_PER_ADDRESS);
	assert_true(str_is(got[0], "n000.example"));
	assert_true(str_is(got[TOLD_PER_ADDRESS - 1], "n063.example"));
	assert_int_equal(told_find(t, many[1].ip, 43, (struct wall_ns){ 1 }, got), 1);
	assert_int_equal(told_left_out(t), 4);
	told_unref(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(numbers_are_fnv1a_of_the_text),
		cmocka_unit_test(colliding_texts_get_numbers_of_their_own_until_there_are_none),
		cmocka_unit_test(numbers_are_those_of_looking_place_by_place),
		cmocka_unit_test(an_address_keeps_the_sixteen_names_that_last_longest),
		cmocka_unit_test(a_full_table_forgets_what_is_not_used),
		cmocka_unit_test(names_are_in_the_order_they_have_with_their_last_dots),
		cmocka_unit_test(what_was_told_is_found_by_endpoint_and_address_until_it_ends),
		cmocka_unit_test(
			nothing_told_is_found_nowhere_and_of_too_much_the_first_names_stay),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
