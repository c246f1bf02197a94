#include "ui-server/login.h"

#include <openssl/crypto.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <sys/random.h>

enum { RANDOM_BYTES = (UI_LOGIN_TOKEN_BYTES - 1) / 2 };
#define SESSION_NS (UI_LOGIN_HOURS * 3600 * NS_PER_S)

struct session {
	unsigned char sum[SHA256_DIGEST_LENGTH];
	struct mono_ns until; /* 0: free */
};

struct ui_login {
	struct users *users;
	struct session sessions[UI_LOGIN_SESSIONS];
};

void ui_login_free(struct ui_login *l)
{
	if (!l)
		return;
	users_free(l->users);
	free(l);
}

enum err_code ui_login_new(const char *path, struct ui_login **ret, struct err *e)
{
	AUTO(ui_login_free) struct ui_login *l = calloc(1, sizeof *l);

	if (!l)
		return err_set(e, ERR_NOMEM, "logins");
	enum err_code code = users_new(path, &l->users, e);
	if (code != ERR_OK)
		return code;
	*ret = TAKE(l);
	return ERR_OK;
}

/* The one that is free, or ends first. */
static struct session *seat(struct ui_login *l)
{
	struct session *best = &l->sessions[0];

	for (size_t i = 1; i < UI_LOGIN_SESSIONS; i++)
		if (l->sessions[i].until.v < best->until.v)
			best = &l->sessions[i];
	return best;
}

static enum users_answer begin_session(struct ui_login *l, enum users_answer answer,
				       struct mono_ns now, char ret_token[UI_LOGIN_TOKEN_BYTES])
{
	unsigned char bytes[RANDOM_BYTES];

	if (answer != USERS_YES)
		return answer;
	if (getrandom(bytes, sizeof bytes, 0) != sizeof bytes)
		return USERS_LATER;
	for (size_t i = 0; i < sizeof bytes; i++)
		(void)snprintf(ret_token + 2 * i, 3, "%02x", bytes[i]);
	OPENSSL_cleanse(bytes, sizeof bytes);
	struct session *s = seat(l);
	(void)SHA256((const unsigned char *)ret_token, UI_LOGIN_TOKEN_BYTES - 1, s->sum);
	s->until.v = now.v + SESSION_NS;
	return USERS_YES;
}

enum users_answer ui_login_try(struct ui_login *l, struct str name, struct str password,
			       struct mono_ns now, char ret_token[UI_LOGIN_TOKEN_BYTES],
			       uint64_t *ret_attempt)
{
	return begin_session(l, users_check(l->users, name, password, now, ret_attempt), now,
			     ret_token);
}

enum users_answer ui_login_answer(struct ui_login *l, uint64_t attempt, struct mono_ns now,
				  char ret_token[UI_LOGIN_TOKEN_BYTES])
{
	return begin_session(l, users_answer(l->users, attempt), now, ret_token);
}

struct users *ui_login_users(struct ui_login *l)
{
	return l->users;
}

/* All are looked at, whichever it is. */
static size_t find(const struct ui_login *l, struct str token)
{
	unsigned char sum[SHA256_DIGEST_LENGTH];
	size_t found = UI_LOGIN_SESSIONS;

	if (token.len != UI_LOGIN_TOKEN_BYTES - 1)
		return found;
	(void)SHA256((const unsigned char *)token.p, token.len, sum);
	for (size_t i = 0; i < UI_LOGIN_SESSIONS; i++)
		if (CRYPTO_memcmp(l->sessions[i].sum, sum, sizeof sum) == 0 &&
		    l->sessions[i].until.v)
			found = i;
	return found;
}

bool ui_login_holds(const struct ui_login *l, struct str token, struct mono_ns now)
{
	size_t i = find(l, token);

	return i < UI_LOGIN_SESSIONS && now.v < l->sessions[i].until.v;
}

void ui_login_end(struct ui_login *l, struct str token)
{
	size_t i = find(l, token);

	if (i < UI_LOGIN_SESSIONS)
		l->sessions[i] = (struct session){ 0 };
}
