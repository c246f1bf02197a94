/* Bundles with one byte flipped, or cut off: each is found out. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "bundle_edit.h"
#include "evidence_world.h"

static void every_flipped_byte_is_found(void **state)
{
	struct world *w = *state;
	size_t len;

	world_bundle(w, &everything);
	AUTO(own_free) char *bytes = read_all(w->ef.bundle_path, &len);
	const struct evidence_verify_config config = { .path = "bundle", .threads = 1 };
	AUTO_BUF struct buf summary = buf_init(1 << 20);
	assert_int_equal(evidence_verify_bytes(&config, str_n(bytes, len), &summary, NULL), ERR_OK);
	for (size_t i = 0; i < len; i++) {
		struct err e = { .msg = "" };
		bytes[i] = (char)(bytes[i] ^ 1 << i % 8);
		enum err_code code =
			evidence_verify_bytes(&config, str_n(bytes, len), &summary, &e);
		bytes[i] = (char)(bytes[i] ^ 1 << i % 8);
		if (code == ERR_OK)
			fail_msg("byte %zu of %zu", i, len);
		assert_true(*e.msg);
		if (i % 97 == 0) {
			char name[32];
			(void)snprintf(name, sizeof name, "byte-%zu", i);
			bytes[i] = (char)(bytes[i] ^ 1 << i % 8);
			write_file(w->ef.bundle_path, str_n(bytes, len));
			world_leave(w, "bad", name);
			bytes[i] = (char)(bytes[i] ^ 1 << i % 8);
		}
	}
}

static void every_cut_is_found(void **state)
{
	struct world *w = *state;
	size_t len;

	world_bundle(w, &everything);
	AUTO(own_free) char *bytes = read_all(w->ef.bundle_path, &len);
	const struct evidence_verify_config config = { .path = "bundle", .threads = 1 };
	AUTO_BUF struct buf summary = buf_init(1 << 20);
	for (size_t n = 0; n < len; n += n < 300 || n + 300 > len ? 1 : 17) {
		assert_int_not_equal(
			evidence_verify_bytes(&config, str_n(bytes, n), &summary, NULL), ERR_OK);
		if (n % 1700 == 0 || n + 1 == len) {
			char name[32];
			(void)snprintf(name, sizeof name, "cut-%zu", n);
			write_file(w->ef.bundle_path, str_n(bytes, n));
			world_leave(w, "bad", name);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, world_make, world_remove)
		T(every_flipped_byte_is_found),
		T(every_cut_is_found),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
