/* ui-server/login, ui-server/form: sessions begin with a right password and end; fields and cookies
 * as WHATWG URL §5.1 and RFC 6265 §4.2.1 have them. */
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "ui-server/form.h"
#include "ui-server/login.h"

/* `openssl passwd -6 -salt tycho0 secret` */
#define ALICE                                                                                      \
	"alice:$6$tycho0$1WVN3/Kcvbx4cxZGxvF2mCFYl0rENlLATomBum"                                   \
	"UwOQBxgJUT5QSHrvplKxiytIj8d3LcX6epUSrvWNT6mk45J0\n"

static const struct mono_ns start = { 1000 * NS_PER_S };

static struct ui_login *login_of(const char *text)
{
	char path[] = "/tmp/tycho-login-XXXXXX";
	struct ui_login *l = NULL;
	int fd = mkstemp(path);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	assert_int_equal(close(fd), 0);
	/* the file is read again when it changes, and kept when it is gone */
	enum err_code code = ui_login_new(path, &l, NULL);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(code, ERR_OK);
	return l;
}

/* The answer, whether known or worked out. */
static enum users_answer try_login(struct ui_login *l, const char *name, const char *password,
				   struct mono_ns now, char token[UI_LOGIN_TOKEN_BYTES])
{
	struct pollfd heard = { .fd = users_fd(ui_login_users(l)), .events = POLLIN };
	uint64_t attempt;
	enum users_answer answer =
		ui_login_try(l, str_of(name), str_of(password), now, token, &attempt);

	while (answer == USERS_PENDING) {
		assert_int_equal(poll(&heard, 1, -1), 1);
		users_hear(ui_login_users(l));
		answer = ui_login_answer(l, attempt, now, token);
	}
	return answer;
}

static void a_right_password_begins_a_session_and_no_other_does(void **state)
{
	(void)state;
	AUTO(ui_login_free) struct ui_login *l = login_of(ALICE);
	char token[UI_LOGIN_TOKEN_BYTES] = "", other[UI_LOGIN_TOKEN_BYTES];

	assert_int_equal(try_login(l, "alice", "wrong", start, token), USERS_NO);
	assert_int_equal(try_login(l, "bob", "secret", start, token), USERS_NO);
	assert_int_equal(try_login(l, "", "", start, token), USERS_NO);
	assert_string_equal(token, "");
	assert_false(ui_login_holds(l, STR(""), start));
	assert_int_equal(try_login(l, "alice", "secret", start, token), USERS_YES);
	assert_int_equal(strlen(token), UI_LOGIN_TOKEN_BYTES - 1);
	assert_true(ui_login_holds(l, str_of(token), start));
	assert_int_equal(try_login(l, "alice", "secret", start, other), USERS_YES);
	assert_string_not_equal(token, other);
	token[0] = token[0] == '0' ? '1' : '0';
	assert_false(ui_login_holds(l, str_of(token), start));
	assert_false(ui_login_holds(l, str_upto(str_of(other), 63), start));
	assert_true(ui_login_holds(l, str_of(other), start));
}

static void a_session_ends_when_told_or_after_its_hours(void **state)
{
	(void)state;
	AUTO(ui_login_free) struct ui_login *l = login_of(ALICE);
	char a[UI_LOGIN_TOKEN_BYTES], b[UI_LOGIN_TOKEN_BYTES];
	struct mono_ns end = { start.v + UI_LOGIN_HOURS * 3600 * NS_PER_S };

	assert_int_equal(try_login(l, "alice", "secret", start, a), USERS_YES);
	assert_int_equal(try_login(l, "alice", "secret", start, b), USERS_YES);
	ui_login_end(l, str_of(a));
	ui_login_end(l, str_of(a));
	assert_false(ui_login_holds(l, str_of(a), start));
	assert_true(ui_login_holds(l, str_of(b), (struct mono_ns){ end.v - 1 }));
	assert_false(ui_login_holds(l, str_of(b), end));
}

static void one_session_too_many_ends_the_oldest_alone(void **state)
{
	(void)state;
	AUTO(ui_login_free) struct ui_login *l = login_of(ALICE);
	char oldest[UI_LOGIN_TOKEN_BYTES], second[UI_LOGIN_TOKEN_BYTES], next[UI_LOGIN_TOKEN_BYTES];
	struct mono_ns now = start;

	assert_int_equal(try_login(l, "alice", "secret", now, oldest), USERS_YES);
	now.v++;
	assert_int_equal(try_login(l, "alice", "secret", now, second), USERS_YES);
	for (size_t i = 2; i < UI_LOGIN_SESSIONS; i++) {
		now.v++;
		assert_int_equal(try_login(l, "alice", "secret", now, next), USERS_YES);
	}
	assert_true(ui_login_holds(l, str_of(oldest), now));
	now.v++;
	assert_int_equal(try_login(l, "alice", "secret", now, next), USERS_YES);
	assert_false(ui_login_holds(l, str_of(oldest), now));
	assert_true(ui_login_holds(l, str_of(second), now));
	assert_true(ui_login_holds(l, str_of(next), now));
}

static void fields_are_decoded_or_not_given_at_all(void **state)
{
	(void)state;
	static const struct {
		const char *body, *want; /* NULL: none */
	} cases[] = {
		{ "name=a", "a" },
		{ "x=1&name=a+b%21&name=c", "a b!" },
		{ "name=", "" },
		{ "name=%C3%A9=", "\xc3\xa9=" },
		{ "name=12345678", "12345678" },
		{ "name=123456789", NULL }, /* one more than fits */
		{ "name=%4", NULL },
		{ "name=%", NULL },
		{ "name=%zz", NULL },
		{ "name", NULL },
		{ "surname=a", NULL },
		{ "&&=", NULL },
		{ "", NULL },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char out[8];
		struct str got;
		bool found = ui_form_get(str_of(cases[i].body), "name", out, sizeof out, &got);
		assert_int_equal(found, cases[i].want != NULL);
		if (found)
			assert_true(str_is(got, cases[i].want));
	}
}

static void a_cookie_is_found_by_its_whole_name(void **state)
{
	(void)state;
	struct str got;

	assert_true(ui_cookie_get(STR("a=1; tycho=x=y; tycho=z"), "tycho", &got));
	assert_true(str_is(got, "x=y"));
	assert_true(ui_cookie_get(STR("tycho="), "tycho", &got));
	assert_true(str_is(got, ""));
	assert_false(ui_cookie_get(STR("nottycho=1; tycho2=1; tycho"), "tycho", &got));
	assert_false(ui_cookie_get(STR(""), "tycho", &got));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_right_password_begins_a_session_and_no_other_does),
		cmocka_unit_test(a_session_ends_when_told_or_after_its_hours),
		cmocka_unit_test(one_session_too_many_ends_the_oldest_alone),
		cmocka_unit_test(fields_are_decoded_or_not_given_at_all),
		cmocka_unit_test(a_cookie_is_found_by_its_whole_name),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
