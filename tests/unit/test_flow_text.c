/* lib/flow: texts of UUIDs and MAC addresses. Oracle: printf's %02x of each byte, between what
 * RFC 9562 section 4 and the usual form of a MAC address put. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "flow/text.h"
#include "flow_random.h"

enum { ROUNDS = 20000, BYTE_VALUES = 256 };

static void bytes_of(const uint64_t uuid[2], uint8_t ret[16])
{
	for (int i = 0; i < 16; i++)
		ret[i] = (uint8_t)(uuid[i / 8] >> (56 - 8 * (i % 8)));
}

static void print_uuid(char out[UUID_CHARS + 1], const uint64_t uuid[2])
{
	uint8_t b[16];
	char *p = out;

	bytes_of(uuid, b);
	for (int i = 0; i < 16; i++)
		p += sprintf(p, "%s%02x", i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "", b[i]);
}

static void print_mac(char out[MAC_CHARS + 1], const uint8_t m[6])
{
	(void)sprintf(out, "%02x:%02x:%02x:%02x:%02x:%02x", m[0], m[1], m[2], m[3], m[4], m[5]);
}

static void a_uuid_has_the_text_of_its_bytes_and_comes_back(void **state)
{
	(void)state;
	struct random r = random_of(__func__, 7);
	char got[UUID_CHARS], want[UUID_CHARS + 1];

	for (int i = 0; i < ROUNDS; i++) {
		const uint64_t uuid[2] = { random_u64(&r), random_u64(&r) };
		uint64_t back[2];
		uuid_put(got, uuid);
		print_uuid(want, uuid);
		assert_memory_equal(got, want, UUID_CHARS);
		assert_true(uuid_parse(str_n(got, UUID_CHARS), back));
		assert_memory_equal(back, uuid, sizeof back);
	}
}

static void a_mac_address_has_the_text_of_its_bytes_and_comes_back(void **state)
{
	(void)state;
	struct random r = random_of(__func__, 8);
	char got[MAC_CHARS], want[MAC_CHARS + 1];

	for (int i = 0; i < ROUNDS; i++) {
		const uint64_t bytes = random_u64(&r);
		uint8_t mac[6], back[6];
		memcpy(mac, &bytes, sizeof mac);
		mac_put(got, mac);
		print_mac(want, mac);
		assert_memory_equal(got, want, MAC_CHARS);
		assert_true(mac_parse(str_n(got, MAC_CHARS), back));
		assert_memory_equal(back, mac, sizeof back);
	}
}

static bool is_lower_hex(int c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
}

/* Any byte in any place: read if it is a digit among digits, or the mark that stands there. */
static void only_the_form_that_is_written_is_read(void **state)
{
	(void)state;
	static const char uuid[] = "00112233-4455-6677-8899-aabbccddeeff",
			  mac[] = "02:42:ac:11:00:9f";

	for (size_t at = 0; at < UUID_CHARS; at++)
		for (int c = 0; c < BYTE_VALUES; c++) {
			char text[sizeof uuid], back[UUID_CHARS];
			uint64_t v[2] = { 1, 2 };
			memcpy(text, uuid, sizeof uuid);
			text[at] = (char)c;
			bool want = uuid[at] == '-' ? c == '-' : is_lower_hex(c);
			assert_int_equal(uuid_parse(str_n(text, UUID_CHARS), v), want);
			if (!want) { /* and nothing is written */
				assert_true(v[0] == 1 && v[1] == 2);
				continue;
			}
			uuid_put(back, v);
			assert_memory_equal(back, text, UUID_CHARS);
		}
	for (size_t at = 0; at < MAC_CHARS; at++)
		for (int c = 0; c < BYTE_VALUES; c++) {
			char text[sizeof mac], back[MAC_CHARS];
			uint8_t v[6];
			memcpy(text, mac, sizeof mac);
			text[at] = (char)c;
			bool want = mac[at] == ':' ? c == ':' : is_lower_hex(c);
			assert_int_equal(mac_parse(str_n(text, MAC_CHARS), v), want);
			if (!want)
				continue;
			mac_put(back, v);
			assert_memory_equal(back, text, MAC_CHARS);
		}
}

static void other_lengths_are_refused(void **state)
{
	(void)state;
	static const char digits[] = "00112233-4455-6677-8899-aabbccddeeff0";
	static const char mac[] = "02:42:ac:11:00:9f0";
	uint64_t uuid[2];
	uint8_t bytes[6];

	for (size_t n = 0; n < sizeof digits; n++)
		assert_int_equal(uuid_parse(str_n(digits, n), uuid), n == UUID_CHARS);
	for (size_t n = 0; n < sizeof mac; n++)
		assert_int_equal(mac_parse(str_n(mac, n), bytes), n == MAC_CHARS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_uuid_has_the_text_of_its_bytes_and_comes_back),
		cmocka_unit_test(a_mac_address_has_the_text_of_its_bytes_and_comes_back),
		cmocka_unit_test(only_the_form_that_is_written_is_read),
		cmocka_unit_test(other_lengths_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
