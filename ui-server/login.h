/*
 * ui_login - who may look: names and passwords from a file (metrics/users.h), and the sessions of
 * those who gave them.
 *
 *	password ──try──► token, which the browser keeps as a cookie ──holds──► the page
 *
 * Limits   UI_LOGIN_SESSIONS at a time, of which the oldest makes room; a session ends after twelve
 *          hours, when the browser says so, and with this process. Ten guesses a second.
 * Secrets  tokens are 32 random bytes; kept is their SHA-256, so that looking one up says nothing
 *          of others, and comparing takes as long for any.
 * Threads  one at a time.
 */
#ifndef TYCHO_UI_LOGIN_H
#define TYCHO_UI_LOGIN_H

#include "base/err.h"
#include "base/str.h"
#include "base/time.h"
#include "metrics/users.h"

enum {
	UI_LOGIN_SESSIONS = 512,
	UI_LOGIN_HOURS = 12,
	UI_LOGIN_TOKEN_BYTES = 65, /* as text, terminated */
};

struct ui_login;

/* @path is borrowed until new returns. Fails as users_new. */
MUST_CHECK enum err_code ui_login_new(const char *path, struct ui_login **ret, struct err *e);
void ui_login_free(struct ui_login *l); /* NULL is a no-op */
AUTO_DEFINE(struct ui_login, ui_login_free);

/* As users_check. USERS_YES: a session has begun, and its token is in @ret_token. USERS_LATER: too
 * many attempts, or no randomness. */
enum users_answer ui_login_try(struct ui_login *l, struct str name, struct str password,
			       struct mono_ns now, char ret_token[UI_LOGIN_TOKEN_BYTES],
			       uint64_t *ret_attempt);
/* As users_answer, and the same of sessions. */
enum users_answer ui_login_answer(struct ui_login *l, uint64_t attempt, struct mono_ns now,
				  char ret_token[UI_LOGIN_TOKEN_BYTES]);
/* Who checks the passwords: for users_forget, users_fd and users_hear. */
struct users *ui_login_users(struct ui_login *l);
/* True if @token is of a session that goes on. */
bool ui_login_holds(const struct ui_login *l, struct str token, struct mono_ns now);
/* Ends the session of @token, if there is one. */
void ui_login_end(struct ui_login *l, struct str token);

#endif
