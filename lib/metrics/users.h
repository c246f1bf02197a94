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
 * Cost     a hash is meant to be slow (50 ms and more). What was right is remembered, as its
 *          SHA-256 with a secret of this process, so that a scrape costs it once; what is not
 *          remembered is tried at most ten times a second.
 * Threads  one at a time.
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

enum users_answer { USERS_YES, USERS_NO, USERS_LATER /* too many attempts: ask in a second */ };
/* Rereads the file if it looks other than before; what cannot be read is logged once, and the old
 * users stay. */
enum users_answer users_check(struct users *u, struct str name, struct str password,
			      struct mono_ns now);

#endif
