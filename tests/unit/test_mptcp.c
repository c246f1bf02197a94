/* observer/decode: lengths of Multipath TCP's options (RFC 8684 §3), as the reference's decoder has them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/own.h"
#include "observer/decode/mptcp.h"

enum { OPTION_BYTES_MAX = 40 };

/* Is an option of @bytes sound that begins with @head and @flags, where there is room for it? */
static bool is_sound(unsigned head, unsigned flags, unsigned bytes)
{
	const uint8_t option[] = { MPTCP_KIND, (uint8_t)bytes, (uint8_t)head, (uint8_t)flags };

	return mptcp_is_sound(option, OPTION_BYTES_MAX);
}

/* Exactly the lengths of @want, which 0 ends, are. */
static void has_lengths(unsigned head, unsigned flags, const uint8_t *want)
{
	for (unsigned bytes = 0; bytes <= OPTION_BYTES_MAX; bytes++) {
		bool wanted = bytes && *want == bytes;
		want += wanted;
		if (is_sound(head, flags, bytes) != wanted)
			fail_msg("head %x, flags %x: %u bytes", head, flags, bytes);
	}
	assert_int_equal(*want, 0);
}

#define HAS_LENGTHS(head, flags, ...) has_lengths(head, flags, (const uint8_t[]){ __VA_ARGS__, 0 })

static void options_have_the_lengths_of_their_subtype(void **state)
{
	(void)state;
	HAS_LENGTHS(0x01, 0, 4, 12, 20, 22, 24); /* MP_CAPABLE */
	HAS_LENGTHS(0x10, 0, 12, 16, 24);        /* MP_JOIN */
	HAS_LENGTHS(0x50, 0, 3, 4);              /* MP_PRIO */
	HAS_LENGTHS(0x60, 0, 12);                /* MP_FAIL */
	HAS_LENGTHS(0x70, 0, 12);                /* MP_FASTCLOSE */
	HAS_LENGTHS(0x80, 0, 4);                 /* MP_TCPRST */
}

static void a_data_sequence_signal_has_what_its_flags_say(void **state)
{
	(void)state;
	HAS_LENGTHS(0x20, 0x00, 4);
	HAS_LENGTHS(0x20, 0x01, 8);      /* an acknowledgement */
	HAS_LENGTHS(0x20, 0x03, 12);     /* of 8 bytes */
	HAS_LENGTHS(0x20, 0x02, 4);      /* of 8 bytes, but it is not there */
	HAS_LENGTHS(0x20, 0x04, 14, 16); /* a mapping, with a checksum or without */
	HAS_LENGTHS(0x20, 0x0c, 18, 20);
	HAS_LENGTHS(0x20, 0x0f, 26, 28);
	HAS_LENGTHS(0x20, 0x10, 4); /* the end of the data */
}

static void an_address_comes_with_a_code_unless_it_is_echoed(void **state)
{
	(void)state;
	HAS_LENGTHS(0x30, 0, 16, 18, 28, 30);
	HAS_LENGTHS(0x31, 0, 8, 10, 20, 22);
	HAS_LENGTHS(0x34, 0, 8, 10, 20, 22); /* version 0: IPv4 */
	HAS_LENGTHS(0x36, 0, 8, 10, 20, 22); /* IPv6 */
}

static void a_list_of_addresses_has_one_at_least(void **state)
{
	(void)state;
	for (unsigned bytes = 0; bytes <= OPTION_BYTES_MAX; bytes++)
		assert_int_equal(is_sound(0x40, 0, bytes), bytes >= 4);
}

static void of_unknown_subtypes_only_the_room_is_looked_at(void **state)
{
	(void)state;
	for (unsigned subtype = 9; subtype < 16; subtype++)
		for (unsigned bytes = 0; bytes <= OPTION_BYTES_MAX + 1; bytes++)
			assert_int_equal(is_sound(subtype << 4, 0, bytes),
					 bytes > 0 && bytes <= OPTION_BYTES_MAX);
	assert_false(mptcp_is_sound((const uint8_t[]){ MPTCP_KIND, 4, 0x01 }, 3));
	assert_true(mptcp_is_sound((const uint8_t[]){ MPTCP_KIND, 3, 0x50 }, 3));
	/* a signal's flags would lie behind the header */
	assert_false(mptcp_is_sound((const uint8_t[]){ MPTCP_KIND, 3, 0x20 }, 3));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(options_have_the_lengths_of_their_subtype),
		cmocka_unit_test(a_data_sequence_signal_has_what_its_flags_say),
		cmocka_unit_test(an_address_comes_with_a_code_unless_it_is_echoed),
		cmocka_unit_test(a_list_of_addresses_has_one_at_least),
		cmocka_unit_test(of_unknown_subtypes_only_the_room_is_looked_at),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
