/* Segments and zones when memory runs out: every allocation fails once; it is said, and the next
 * try is whole. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "filter/zone.h"
#include "store/segment.h"
#include "tests/unit/nomem.h"

enum { FLOWS = 700, OUT_BYTES = 1 << 20 };

static struct flow flows[FLOWS], back[FLOWS];

/* Different enough that every table grows. */
static void make(void)
{
	static uint8_t ext[FLOWS];

	for (uint32_t i = 0; i < FLOWS; i++) {
		ext[i] = (uint8_t)i;
		flows[i] = (struct flow){ .seq = i + 1,
					  .uuid = { i, i },
					  .l4 = FLOW_L4_TCP,
					  .src_port = (uint16_t)i,
					  .src_ep = { i * 100 },
					  .bits = i,
					  .ifindex = i,
					  .socket_cookie = i,
					  .ext = ext,
					  .ext_len = i % 300 };
		memcpy(flows[i].src_ip, &i, sizeof i);
	}
}

static enum err_code encode(struct segment_encoder *enc, struct buf *out, struct err *e)
{
	enum err_code code = segment_add(enc, flows, FLOWS, e);

	return code == ERR_OK ? segment_finish(enc, out, e) : code;
}

static void every_failure_while_writing_is_said_and_the_next_segment_is_whole(void **state)
{
	AUTO_BUF struct buf want = buf_init(OUT_BYTES), got = buf_init(OUT_BYTES);
	AUTO(segment_encoder_free) struct segment_encoder *plain = NULL;
	long failures = 0;
	struct err e;

	(void)state;
	assert_int_equal(segment_encoder_new(1, &plain, &e), ERR_OK);
	assert_int_equal(encode(plain, &want, &e), ERR_OK);
	for (long n = 0;; n++) {
		AUTO(segment_encoder_free) struct segment_encoder *enc = NULL;

		nomem_after(n);
		enum err_code code = segment_encoder_new(1, &enc, &e);
		buf_reset(&got);
		if (code == ERR_OK)
			code = encode(enc, &got, &e);
		bool failed = nomem_end();
		if (!failed) {
			assert_int_equal(code, ERR_OK);
			break;
		}
		failures++;
		assert_int_equal(code, ERR_NOMEM);
		if (!enc)
			continue;
		buf_reset(&got);
		assert_int_equal(encode(enc, &got, &e), ERR_OK);
		assert_int_equal(got.len, want.len);
		assert_memory_equal(got.p, want.p, want.len);
	}
	assert_true(failures > 50);
}

static void every_failure_while_reading_is_said_and_the_next_load_is_whole(void **state)
{
	AUTO_BUF struct buf bytes = buf_init(OUT_BYTES);
	AUTO(segment_encoder_free) struct segment_encoder *enc = NULL;
	uint64_t bits[FLOWS / 64 + 1];
	size_t found;
	struct err e;

	(void)state;
	assert_int_equal(segment_encoder_new(1, &enc, &e), ERR_OK);
	assert_int_equal(encode(enc, &bytes, &e), ERR_OK);
	for (long n = 0;; n++) {
		AUTO(segment_free) struct segment *s = NULL;

		nomem_after(n);
		enum err_code code = segment_new(&s, &e);
		if (code == ERR_OK)
			code = segment_open(s, buf_str(&bytes), &e);
		if (code == ERR_OK)
			code = segment_match(s, 0, FLOWS, bits, &found, &e);
		if (code == ERR_OK)
			code = segment_load(s, FLOW_MEMBERS_ALL, 0, FLOWS, back, &e);
		bool failed = nomem_end();
		if (!failed) {
			assert_int_equal(code, ERR_OK);
			break;
		}
		assert_int_equal(code, ERR_NOMEM);
		if (!s)
			continue;
		assert_int_equal(segment_open(s, buf_str(&bytes), &e), ERR_OK);
		assert_int_equal(segment_load(s, FLOW_MEMBERS_ALL, 0, FLOWS, back, &e), ERR_OK);
		assert_int_equal(segment_match(s, 0, FLOWS, bits, &found, &e), ERR_OK);
		assert_int_equal(found, FLOWS);
		for (size_t i = 0; i < FLOWS; i++)
			assert_int_equal(back[i].src_ep.v, flows[i].src_ep.v);
	}
}

/* A zone without memory for a name says "perhaps", never no. */
static void a_zone_without_memory_never_says_no_wrongly(void **state)
{
	AUTO_BUF struct buf bytes = buf_init(FLOW_ZONE_BYTES);
	const struct flow_zone_ids same = { .endpoints = NULL };
	struct err e;

	(void)state;
	for (long n = 0;; n++) {
		AUTO(flow_zone_free) struct flow_zone *z = NULL;

		nomem_after(n);
		enum err_code code = flow_zone_new(&z, &e);
		if (code == ERR_OK) {
			flow_zone_add(z, flows, FLOWS);
			buf_reset(&bytes);
			flow_zone_put(&bytes, z);
			if (!bytes.failed)
				code = flow_zone_get(z, buf_str(&bytes), FLOW_MEMBERS_ALL, &same,
						     &e);
		}
		bool failed = nomem_end();
		assert_true(code == ERR_OK || code == ERR_NOMEM);
		if (z && code == ERR_OK && !bytes.failed)
			assert_true(flow_filter_may_match(NULL, z));
		if (!failed)
			break;
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_failure_while_writing_is_said_and_the_next_segment_is_whole),
		cmocka_unit_test(every_failure_while_reading_is_said_and_the_next_load_is_whole),
		cmocka_unit_test(a_zone_without_memory_never_says_no_wrongly),
	};

	make();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
