/* Bundles with one byte flipped, cut off, or with a frame of somebody else: each is found out. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "bundle_edit.h"
#include "evidence/archive.h"
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

/* A bundle of these bytes, with the sum that they have. */
static void write_summed(const char *path, struct buf *bytes)
{
	struct archive_sum s;
	uint8_t sum[SHA256_BYTES];

	archive_sum_init(&s);
	archive_sum_add(&s, buf_str(bytes));
	archive_sum_end(&s, sum);
	archive_sum_put(bytes, sum);
	assert_false(bytes->failed);
	write_file(path, buf_str(bytes));
}

/* Frames that unpack to nothing, by whoever makes the sum anew: something could be hidden in one. */
static void a_frame_that_does_not_belong_there_is_found(void **state)
{
	/* RFC 8878 §3.1.2, §3.1.1: a skippable frame of four bytes; a frame of one empty block */
	static const char skippable[] = "\x50\x2a\x4d\x18\x04\0\0\0hide";
	static const char empty[] = "\x28\xb5\x2f\xfd\x20\0\x01\0\0";
	const struct str frames[] = { str_n(skippable, sizeof skippable - 1),
				      str_n(empty, sizeof empty - 1) };
	struct world *w = *state;
	uint8_t sum[SHA256_BYTES];
	struct err e;
	size_t len, cases = 0;
	struct str frame;

	world_bundle(w, &everything);
	AUTO(own_free) char *bytes = read_all(w->ef.bundle_path, &len);
	struct str all = str_n(bytes, len);
	assert_int_equal(archive_sum_split(&all, sum, NULL), ERR_OK);
	for (struct str rest = all; rest.len;) {
		assert_int_equal(frame_next(&rest, &frame, NULL), ERR_OK);
		for (size_t i = 0; i < ARRAY_LEN(frames); i++) {
			const struct evidence_verify_config config = { .path = w->ef.bundle_path };
			AUTO_BUF struct buf changed = buf_init(len + 1024),
					    summary = buf_init(1 << 20);
			char name[32];
			(void)snprintf(name, sizeof name, "frame-%zu", cases++);
			buf_str_put(&changed, str_n(all.p, (size_t)(rest.p - all.p)));
			buf_str_put(&changed, frames[i]);
			buf_str_put(&changed, rest);
			write_summed(w->ef.bundle_path, &changed);
			assert_int_equal(evidence_verify(&config, &summary, &e), ERR_PARSE);
			world_leave(w, "bad", name);
		}
	}
	assert_true(cases >= 2 * 3); /* the manifest's, a chunk's, the report's */
	AUTO_BUF struct buf same = buf_init(len), summary = buf_init(1 << 20);
	buf_str_put(&same, all);
	write_summed(w->ef.bundle_path, &same);
	const struct evidence_verify_config config = { .path = w->ef.bundle_path };
	assert_int_equal(evidence_verify(&config, &summary, NULL), ERR_OK);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, world_make, world_remove)
		T(every_flipped_byte_is_found),
		T(every_cut_is_found),
		T(a_frame_that_does_not_belong_there_is_found),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
