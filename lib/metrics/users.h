/*
 * users - who may scrape, or look at the page: a file of names and password hashes, read again when
 * it changes.
 *
 *	# name:hash, as `htpasswd -B` and `openssl passwd -6` make them
 *	prometheus:$2y$10$…
 *
 * Hashes are those of crypt(5) that are fit for passwords: bcrypt, yescrypt, scrypt, SHA-512 and
 * SHA-256. Passwords in the clear are refused.
 *
 *	server's thread                                     worker
 *	users_check ──► known ──► yes
 *	    └──► attempt ──► [ waiting, USERS_WAITING at most ] ──► crypt(3)
 *	users_answer ◄───────────── users_fd is readable ◄─────────────┘
 *
 * Cost     a hash is meant to be slow (50 ms and more), so a thread of its own works on it. What was
 *          right is remembered, as its SHA-256 with a secret of this process, so that a scrape costs
 *          it once; what is not remembered is tried at most ten times a second.
 * Threads  one at a time, and none of these waits for the worker: users_free leaves it the hash it is
 *          at, and what that needs.
 */
#ifndef TYCHO_METRICS_USERS_H
#define TYCHO_METRICS_USERS_H

#include "base/err.h"
#include "base/str.h"
#include "base/time.h"

struct users;

/* ERR_PARSE: a line that is no name:hash, a hash of another kind; with its number. */
MUST_CHECK enum err_code users_new(const char *path, struct users **ret, struct err *e);
void users_free(struct users *u);
AUTO_DEFINE(struct users, users_free);

enum { USERS_WAITING = 8 }; /* attempts that nobody has asked the answer of */

enum users_answer {
	USERS_YES,
	USERS_NO,
	USERS_LATER,   /* too many attempts: ask in a second */
	USERS_BUSY,    /* as many are waiting as may */
	USERS_PENDING, /* ask users_answer, with the attempt */
};
/* Rereads the file if it looks other than before; what cannot be read is logged once, and the old
 * users stay. *@ret_attempt is set with USERS_PENDING, else 0. */
enum users_answer users_check(struct users *u, struct str name, struct str password,
			      struct mono_ns now, uint64_t *ret_attempt);
/* What came of it: USERS_PENDING, or its end, which can be asked for once. */
enum users_answer users_answer(struct users *u, uint64_t attempt);
/* Nobody waits for it any more. No-op for an attempt that has ended, and for 0. */
void users_forget(struct users *u, uint64_t attempt);

/* Readable when there are answers; for who polls. */
int users_fd(const struct users *u);
/* It is not, until there are more. Before the answers are asked for. */
void users_hear(struct users *u);

#endif
