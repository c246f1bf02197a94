/* ui-server/status_text: a page is told the parts of the status that it was not told as they are. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "ui-server/status_text.h"

enum { NAMESPACES = 1 << UI_STATUS_NAMESPACES, COVERAGE = 1 << UI_STATUS_COVERAGE };

struct desk {
	struct ui_status_text next, text;
};

static int make(void **state)
{
	struct desk *d = calloc(1, sizeof *d);

	ui_status_text_init(&d->next);
	ui_status_text_init(&d->text);
	*state = d;
	return d ? 0 : -1;
}

static int end(void **state)
{
	struct desk *d = *state;

	ui_status_text_done(&d->next);
	ui_status_text_done(&d->text);
	free(d);
	return 0;
}

static void set(struct buf *b, const char *text)
{
	buf_reset(b);
	buf_str_put(b, str_of(text));
}

/* The next version, with these namespaces ("" none) and coverage with this key. */
static void take(struct desk *d, const char *namespaces, const char *coverage, uint64_t key)
{
	set(&d->next.head, "{\"n\":1");
	set(&d->next.parts[UI_STATUS_NAMESPACES].json, namespaces);
	d->next.parts[UI_STATUS_NAMESPACES].key = strlen(namespaces);
	set(&d->next.parts[UI_STATUS_COVERAGE].json, coverage);
	d->next.parts[UI_STATUS_COVERAGE].key = key;
	assert_true(ui_status_text_take(&d->text, &d->next));
}

static void says(const struct ui_status_text *t, uint64_t told, const char *want)
{
	AUTO_BUF struct buf b = buf_init(UI_STATUS_BYTES);

	ui_status_text_put(t, ui_status_text_news(t, told), &b);
	assert_string_equal(buf_cstr(&b), want);
}

static void who_is_new_is_told_all_and_who_knows_it_the_head(void **state)
{
	struct desk *d = *state;

	assert_true(d->text.version == 0);
	take(d, "[1]", "[2]", 2);
	says(&d->text, 0, "{\"n\":1,\"namespaces\":[1],\"coverage\":[2]}");
	says(&d->text, 1, "{\"n\":1}");
	take(d, "[1]", "[2]", 2);
	assert_true(d->text.version == 2);
	says(&d->text, 1, "{\"n\":1}");
	says(&d->text, 0, "{\"n\":1,\"namespaces\":[1],\"coverage\":[2]}");
}

static void who_was_passed_over_is_told_what_changed_meanwhile(void **state)
{
	struct desk *d = *state;

	take(d, "[1]", "[2]", 2);   /* version 1 */
	take(d, "[1]", "[3]", 3);   /* 2 */
	take(d, "[1,1]", "[3]", 3); /* 3 */
	take(d, "[1,1]", "[3]", 3); /* 4 */
	assert_int_equal(ui_status_text_news(&d->text, 0), NAMESPACES | COVERAGE);
	assert_int_equal(ui_status_text_news(&d->text, 1), NAMESPACES | COVERAGE);
	assert_int_equal(ui_status_text_news(&d->text, 2), NAMESPACES);
	assert_int_equal(ui_status_text_news(&d->text, 3), 0);
}

static void with_the_same_key_who_is_new_is_told_the_latest_and_others_nothing(void **state)
{
	struct desk *d = *state;

	take(d, "", "[\"until 1\"]", 7);
	take(d, "", "[\"until 2\"]", 7);
	says(&d->text, 1, "{\"n\":1}");
	says(&d->text, 0, "{\"n\":1,\"coverage\":[\"until 2\"]}");
}

static void a_part_that_was_absent_is_new_to_all(void **state)
{
	struct desk *d = *state;

	take(d, "", "[2]", 2);
	take(d, "", "", 2);
	assert_int_equal(ui_status_text_news(&d->text, 0), 0);
	take(d, "", "[2]", 2);
	/* to who came while it was absent, and knows version 2, too */
	assert_int_equal(ui_status_text_news(&d->text, 2), COVERAGE);
}

static void a_part_that_did_not_fit_is_absent_and_a_head_that_did_not_is_no_version(void **state)
{
	struct desk *d = *state;

	take(d, "[1]", "[2]", 2);
	d->next.parts[UI_STATUS_COVERAGE].json.failed = true;
	assert_true(ui_status_text_take(&d->text, &d->next));
	says(&d->text, 0, "{\"n\":1,\"namespaces\":[1]}");
	d->next.head.failed = true;
	assert_false(ui_status_text_take(&d->text, &d->next));
	assert_true(d->text.version == 2);
}

static void a_copy_says_the_same(void **state)
{
	struct desk *d = *state;
	struct ui_status_text copy;

	ui_status_text_init(&copy);
	take(d, "[1]", "[2]", 2);
	assert_true(ui_status_text_copy(&copy, &d->text));
	take(d, "", "[2]", 2);
	says(&copy, 0, "{\"n\":1,\"namespaces\":[1],\"coverage\":[2]}");
	assert_true(ui_status_text_copy(&copy, &d->text));
	assert_true(copy.version == 2);
	says(&copy, 0, "{\"n\":1,\"coverage\":[2]}");
	says(&copy, 1, "{\"n\":1}");
	ui_status_text_done(&copy);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, make, end)
		T(who_is_new_is_told_all_and_who_knows_it_the_head),
		T(who_was_passed_over_is_told_what_changed_meanwhile),
		T(with_the_same_key_who_is_new_is_told_the_latest_and_others_nothing),
		T(a_part_that_was_absent_is_new_to_all),
		T(a_part_that_did_not_fit_is_absent_and_a_head_that_did_not_is_no_version),
		T(a_copy_says_the_same),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
