/* observer/ship's feed when memory runs out: what could not be made comes the next time, whole. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "observer/ship/feed.h"
#include "store_fixture.h"
#include "tests/unit/nomem.h"

/* All that a feed gives from the beginning on, one block after the other. False: memory ran out. */
static bool take_all(struct feed *f, struct buf *ret)
{
	struct feed_block b;
	struct err e = { 0 };

	feed_seek(f, 0, 0, 0);
	for (;;) {
		enum err_code code = feed_next(f, &b, &e);
		if (code != ERR_OK) {
			assert_int_equal(code, ERR_NOMEM);
			assert_true(*e.msg);
			return false;
		}
		if (!b.count)
			return true;
		buf_str_put(ret, b.rows);
		feed_sent(f, &b);
	}
}

static void what_fails_comes_again_whole(void **state)
{
	struct fixture *fx = *state;
	const struct store_gap gap = { .cause = STORE_GAP_RING,
				       .from = NOON,
				       .to = NOON,
				       .lost = 17,
				       .node = STR(""),
				       .detail = STR("why") };
	AUTO_BUF struct buf whole = buf_init(1 << 20), some = buf_init(1 << 20);
	AUTO(feed_free) struct feed *f = NULL;
	bool failed = true;

	fixture_open(fx);
	store_note_gap(fx->store, &gap);
	fixture_block(fx, 20);
	assert_int_equal(feed_new(fx->store, fx->dict, "here", &f, NULL), ERR_OK);
	assert_true(take_all(f, &whole));
	assert_true(buf_reserve(&some, whole.len) != NULL); /* the test's own */
	for (long n = 0; failed; n++) {
		buf_reset(&some);
		feed_free(TAKE(f));
		assert_int_equal(feed_new(fx->store, fx->dict, "here", &f, NULL), ERR_OK);
		nomem_after(n);
		bool done = take_all(f, &some);
		failed = nomem_end();
		assert_true(done || failed);
		if (!done) {
			/* what came before is right as far as it goes */
			assert_memory_equal(some.p, whole.p, some.len);
			buf_reset(&some);
			assert_true(take_all(f, &some));
		}
		assert_int_equal(some.len, whole.len);
		assert_memory_equal(some.p, whole.p, whole.len);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(what_fails_comes_again_whole, fixture_make,
						fixture_remove),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
