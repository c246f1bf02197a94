/* lib/flow: texts of addresses. Oracles: libc, and the documented behaviour of Go's net/netip and
 * net.ParseIP. */
#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "flow/flow.h"
#include "flow_random.h"

#define assert_str(got, want)                                                                      \
	do {                                                                                       \
		struct str got_ = (got);                                                           \
		if (!str_is(got_, (want)))                                                         \
			fail_msg("'%.*s' is not '%s'", STR_FMT(got_), (want));                     \
	} while (0)

/* libc's reading of @text, IPv4 mapped; false where libc refuses it. */
static bool libc_parse(const char *text, uint8_t ip[16])
{
	uint8_t v4[4];

	if (inet_pton(AF_INET, text, v4) == 1) {
		ip_from_v4(ip, v4);
		return true;
	}
	return inet_pton(AF_INET6, text, ip) == 1;
}

static void a_random_address_has_the_text_that_libc_writes(void **state)
{
	(void)state;
	struct random r = random_of(__func__, 0x1b);
	char tmp[FLOW_IP_TEXT_BYTES], want[INET6_ADDRSTRLEN];

	for (int i = 0; i < 100000; i++) {
		uint8_t ip[16], back[16];
		random_ip(&r, ip);
		bool v4 = ip_is_v4(ip);
		assert_non_null(
			inet_ntop(v4 ? AF_INET : AF_INET6, v4 ? ip + 12 : ip, want, sizeof want));
		assert_str(ip_text(ip, tmp), want);
		assert_true(ip_parse(str_of(want), back));
		assert_memory_equal(back, ip, 16);
	}
}

/* RFC 5952 section 4, and what netip.Addr.String says where libc says otherwise (::1.2.3.4). */
static void canonical_texts_come_back_as_they_were(void **state)
{
	(void)state;
	static const char *const texts[] = {
		"0.0.0.0",
		"255.255.255.255",
		"10.0.0.1",
		"100.20.3.199",
		"::",
		"::1",
		"1::",
		"1::1",
		"2001:db8::1",
		"2001:db8:0:1:1:1:1:1",
		"2001:0:0:1::1",
		"2001:db8::1:0:0:1",
		"1:2:3:4:5:6:7:8",
		"::102:304",
		"::ffff",
		"::1:ffff:102:304",
		"64:ff9b::102:304",
		"1:0:3:4:5:6:7:8",
		"::3:4:5:6:7:8",
		"1:2:3:4:5:6::",
		"fe80::abcd",
		"ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
	};
	char tmp[FLOW_IP_TEXT_BYTES];

	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		uint8_t ip[16];
		assert_true(ip_parse(str_of(texts[i]), ip));
		assert_str(ip_text(ip, tmp), texts[i]);
	}
}

static void other_texts_mean_an_address_too(void **state)
{
	(void)state;
	static const char *const texts[][2] = {
		{ "::ffff:1.2.3.4", "1.2.3.4" },
		{ "::ffff:102:304", "1.2.3.4" },
		{ "0:0:0:0:0:0:0:1", "::1" },
		{ "2001:DB8::1", "2001:db8::1" },
		{ "2001:0db8::0001", "2001:db8::1" },
		{ "1:2:3:4:5:6:7::", "1:2:3:4:5:6:7:0" },
		{ "::2:3:4:5:6:7:8", "0:2:3:4:5:6:7:8" },
		{ "::1.2.3.4", "::102:304" },
		{ "1:2:3:4:5:6:1.2.3.4", "1:2:3:4:5:6:102:304" },
		{ "1::1.2.3.4", "1::102:304" },
		{ "0:0:0:0:0:ffff:1.2.3.4", "1.2.3.4" },
		{ "fe80:0:0:0::1", "fe80::1" },
	};
	char tmp[FLOW_IP_TEXT_BYTES];

	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		uint8_t ip[16];
		if (!ip_parse(str_of(texts[i][0]), ip))
			fail_msg("'%s' was refused", texts[i][0]);
		assert_str(ip_text(ip, tmp), texts[i][1]);
	}
}

/* Those of Go's net/ip_test.go and netip_test.go kinds: what ParseIP answers with nil. */
static void what_is_no_address_is_refused(void **state)
{
	(void)state;
	static const char *const texts[] = {
		"",
		".",
		":",
		"1",
		"1.2.3",
		"1.2.3.4.5",
		"1.2.3.",
		".1.2.3",
		"1..2.3",
		"256.1.1.1",
		"1.2.3.1000",
		"01.2.3.4",
		"1.2.3.04",
		"1.2.3.00",
		"-1.2.3.4",
		"+1.2.3.4",
		"1.2.3.4 ",
		" 1.2.3.4",
		"1.2.3.4/8",
		"0x1.2.3.4",
		"1.2.3.a",
		":::",
		":1",
		"1:",
		"1:2",
		"::1::",
		"1::2::3",
		"1:2:3:4:5:6:7",
		"1:2:3:4:5:6:7:8:9",
		"1:2:3:4:5:6:7:8::",
		"::1:2:3:4:5:6:7:8",
		"1:2:3:4::5:6:7:8",
		"12345::",
		"g::",
		"1:2:3:4:5:6:7:",
		":1:2:3:4:5:6:7",
		"fe80::1%eth0",
		"::1%",
		"[::1]",
		"1.2.3.4:80",
		"::1.2.3",
		"::1.2.3.4.5",
		"::1.2.3.256",
		"1:2:3:4:5:6:7:1.2.3.4",
		"1:2:3:4:5:1.2.3.4",
		"::01.2.3.4",
		"::1.2.3.4:5",
		"::1 ",
		"1:2:3:4:5:6:7:8 ",
	};
	uint8_t ip[16];

	for (size_t i = 0; i < ARRAY_LEN(texts); i++)
		if (ip_parse(str_of(texts[i]), ip))
			fail_msg("'%s' was accepted", texts[i]);
	assert_false(ip_parse((struct str){ NULL, 0 }, ip));
}

static void near_misses_are_judged_as_libc_judges_them(void **state)
{
	(void)state;
	static const char alphabet[] = "0123456789abcdefABCDEF::::....%/ g";
	static const char *const seeds[] = { "1.2.3.4", "2001:db8::1", "::ffff:1.2.3.4",
					     "1:2:3:4:5:6:7:8", "::" };
	struct random r = random_of(__func__, 0x9a55);

	for (int i = 0; i < 300000; i++) {
		char text[64];
		(void)snprintf(text, sizeof text, "%s", seeds[random_below(&r, ARRAY_LEN(seeds))]);
		for (uint64_t edits = random_below(&r, 4); edits--;) {
			size_t len = strlen(text), at = random_below(&r, len + 1);
			char c = alphabet[random_below(&r, sizeof alphabet - 1)];
			if (random_bool(&r) && at < len) {
				memmove(text + at, text + at + 1, len - at);
			} else if (len + 2 < sizeof text) {
				memmove(text + at + 1, text + at, len - at + 1);
				text[at] = c;
			}
		}
		uint8_t got[16], want[16];
		bool ok = ip_parse(str_of(text), got);
		if (ok != libc_parse(text, want))
			fail_msg("'%s' was %s", text, ok ? "accepted" : "refused");
		if (ok)
			assert_memory_equal(got, want, 16);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_random_address_has_the_text_that_libc_writes),
		cmocka_unit_test(canonical_texts_come_back_as_they_were),
		cmocka_unit_test(other_texts_mean_an_address_too),
		cmocka_unit_test(what_is_no_address_is_refused),
		cmocka_unit_test(near_misses_are_judged_as_libc_judges_them),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
