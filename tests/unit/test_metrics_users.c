/* lib/metrics/users: names and passwords from a file, checked beside all else. */
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "metrics/users.h"
#include "users_file.h"

/* The answer, whether known or worked out. */
static enum users_answer check(struct users *u, const char *name, const char *password,
			       struct mono_ns now)
{
	struct pollfd heard = { .fd = users_fd(u), .events = POLLIN };
	uint64_t attempt;
	enum users_answer answer = users_check(u, str_of(name), str_of(password), now, &attempt);

	while (answer == USERS_PENDING) {
		assert_int_equal(poll(&heard, 1, -1), 1);
		users_hear(u);
		answer = users_answer(u, attempt);
	}
	return answer;
}

static void right_passwords_are_right_and_no_others(void **state)
{
	(void)state;
	AUTO_FOLDER f = folder_of("# who\n\nprometheus:" SECRET_HASH "\n");
	AUTO(users_free) struct users *u = NULL;
	struct mono_ns now = { 5 * NS_PER_S };
	assert_int_equal(users_new(f.file, &u, NULL), ERR_OK);
	assert_int_equal(check(u, "prometheus", "secret", now), USERS_YES);
	assert_int_equal(check(u, "prometheus", "secret", now), USERS_YES);
	assert_int_equal(check(u, "prometheus", "Secret", now), USERS_NO);
	assert_int_equal(check(u, "prometheus", "", now), USERS_NO);
	assert_int_equal(check(u, "prometheu", "secret", now), USERS_NO);
	assert_int_equal(check(u, "", "secret", now), USERS_NO);
}

static void guessing_is_slow_and_does_not_keep_others_out(void **state)
{
	(void)state;
	AUTO_FOLDER f = folder_of("a:" SECRET_HASH "\n");
	AUTO(users_free) struct users *u = NULL;
	struct mono_ns now = { 5 * NS_PER_S };
	assert_int_equal(users_new(f.file, &u, NULL), ERR_OK);
	assert_int_equal(check(u, "a", "secret", now), USERS_YES);
	for (unsigned i = 0; i < 9; i++)
		assert_int_equal(check(u, "a", "guess", now), USERS_NO);
	assert_int_equal(check(u, "a", "guess", now), USERS_LATER);
	assert_int_equal(check(u, "a", "secret", now), USERS_YES);
	now.v += NS_PER_S;
	assert_int_equal(check(u, "a", "guess", now), USERS_NO);
}

static void a_changed_file_is_read_and_a_bad_one_is_not_believed(void **state)
{
	(void)state;
	AUTO_FOLDER f = folder_of("a:" SECRET_HASH "\n");
	AUTO(users_free) struct users *u = NULL;
	struct mono_ns now = { 5 * NS_PER_S };
	assert_int_equal(users_new(f.file, &u, NULL), ERR_OK);
	assert_int_equal(check(u, "a", "secret", now), USERS_YES);
	FILE *file = fopen(f.file, "we");
	assert_true(file && fputs("a:secret\n", file) >= 0 && fclose(file) == 0);
	assert_int_equal(check(u, "a", "secret", now), USERS_YES);
	file = fopen(f.file, "we");
	assert_true(file && fputs("bob:" SECRET_HASH "\n", file) >= 0 && fclose(file) == 0);
	assert_int_equal(check(u, "a", "secret", now), USERS_NO);
	assert_int_equal(check(u, "bob", "secret", now), USERS_YES);
}

static void as_many_passwords_wait_as_there_is_room_for(void **state)
{
	uint64_t attempts[USERS_WAITING + 1];
	struct mono_ns now = { 5 * NS_PER_S };

	(void)state;
	AUTO_FOLDER f = folder_of("a:" ENDLESS_HASH "\n");
	AUTO(users_free) struct users *u = NULL;
	assert_int_equal(users_new(f.file, &u, NULL), ERR_OK);
	for (unsigned i = 0; i < USERS_WAITING; i++)
		assert_int_equal(users_check(u, STR("a"), STR("x"), now, &attempts[i]),
				 USERS_PENDING);
	assert_int_equal(users_check(u, STR("a"), STR("x"), now, &attempts[USERS_WAITING]),
			 USERS_BUSY);
	assert_int_equal(attempts[USERS_WAITING], 0);
	users_forget(u, 0);
	for (unsigned i = 0; i < USERS_WAITING; i++)
		assert_int_equal(users_answer(u, attempts[i]), USERS_PENDING);
	/* the one that is worked on, and one that waits */
	for (unsigned i = 0; i < 2; i++) {
		now.v += NS_PER_S;
		users_forget(u, attempts[i]);
		assert_int_equal(users_answer(u, attempts[i]), USERS_NO);
		assert_int_equal(users_check(u, STR("a"), STR("x"), now, &attempts[i]),
				 USERS_PENDING);
		assert_int_equal(users_check(u, STR("a"), STR("x"), now, &attempts[USERS_WAITING]),
				 USERS_BUSY);
	}
}

static void what_is_wrong_with_a_users_file_is_said(void **state)
{
	static const struct {
		const char *text, *why;
	} cases[] = {
		{ "a:" SECRET_HASH "\nnobody\n", "line 2: expected name:hash" },
		{ "a:secret\n", "line 1: the hash of 'a' is none of bcrypt" },
		{ "# none\n", "nobody is in it" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		AUTO_FOLDER f = folder_of(cases[i].text);
		struct users *u;
		struct err e;
		assert_int_equal(users_new(f.file, &u, &e), ERR_PARSE);
		assert_non_null(strstr(e.msg, cases[i].why));
		assert_null(strstr(e.msg, "secret"));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(right_passwords_are_right_and_no_others),
		cmocka_unit_test(guessing_is_slow_and_does_not_keep_others_out),
		cmocka_unit_test(a_changed_file_is_read_and_a_bad_one_is_not_believed),
		cmocka_unit_test(as_many_passwords_wait_as_there_is_room_for),
		cmocka_unit_test(what_is_wrong_with_a_users_file_is_said),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
