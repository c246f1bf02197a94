/*
 * clickhouse - statements to a ClickHouse server over HTTP or HTTPS, one at a time.
 *
 *	clickhouse_run ──► POST /?database=…&query_id=… ──► whole answer, piece by piece ──► on_piece
 *
 * Whole    a server that fails in the middle of an answer says so behind what it has sent already,
 *          with status 200. So every answer is asked for with wait_end_of_query: the server keeps
 *          it (CLICKHOUSE_KEPT_BYTES in memory, the rest in its temporary files) until the
 *          statement is done, and then sends all of it or the error. And an answer must say how
 *          long it is, in one way or the other of HTTP/1.1: one that is cut is an error, too.
 * Secrets  user and password travel in headers, never in the URL; no redirect is followed.
 * Files    password and PEM, read anew for each statement or connection: renewed ones need no
 *          restart.
 * Limits   an error's text is read up to some KiB; what an answer may come to says on_piece.
 * Time     a connection @connect_ms; then @quiet_ms in which nothing moves in either direction (the
 *          server thinks, or is gone). What on_piece takes does not count.
 * Threads  one at a time; stop from any.
 */
#ifndef TYCHO_CLICKHOUSE_CLIENT_H
#define TYCHO_CLICKHOUSE_CLIENT_H

#include <stdbool.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"

struct clickhouse;

enum {
	CLICKHOUSE_KEPT_BYTES = 16 << 20,
	CLICKHOUSE_CONNECT_MS = 5000,
	CLICKHOUSE_QUIET_MS = 60000
};

/* Texts are copied by clickhouse_new. */
struct clickhouse_config {
	const char *
		url; /* "http://host:port/database", "https://…"; port and database may be left out:
			   * 8123, 8443 and "default" */
	const char *user;                 /* NULL: the server's default user */
	const char *password_file;        /* its first line; NULL: none */
	const char *ca_file;              /* NULL: the system's authorities */
	const char *cert_file, *key_file; /* ours, for those who ask for one; NULL: none */
	unsigned connect_ms, quiet_ms;    /* 0: the above */
};

/* Nothing is connected yet. ERR_INVALID: the URL, or a file that cannot be used. ERR_NOMEM. */
MUST_CHECK enum err_code clickhouse_new(const struct clickhouse_config *config,
					struct clickhouse **ret, struct err *e);
void clickhouse_free(struct clickhouse *c);
AUTO_DEFINE(struct clickhouse, clickhouse_free);

/* Any thread: what is under way fails at once with ERR_CANCELLED, and so does all that comes later,
 * until clickhouse_go_on. */
void clickhouse_stop(struct clickhouse *c);
void clickhouse_go_on(struct clickhouse *c);

/* "http://host:port", for people, and the database; borrowed. */
const char *clickhouse_server(const struct clickhouse *c);
const char *clickhouse_database(const struct clickhouse *c);

/* A piece of the answer, of any size: rows may be cut anywhere. May block: the server waits, its own
 * send_timeout at most. false: no more is wanted, the connection is closed. */
typedef bool clickhouse_piece_fn(void *ctx, struct str piece);

struct clickhouse_setting {
	const char *name, *value;
};
struct clickhouse_statement {
	struct str sql;
	struct str rows; /* of an INSERT … FORMAT …; len 0: none. @sql is then part of the URL */
	const char *query_id; /* NULL: the server makes one */
	const struct clickhouse_setting
		*settings; /* the server refuses those that it does not know */
	size_t setting_count;
	clickhouse_piece_fn *on_piece; /* NULL: there must be no answer */
	void *ctx;
};
/* ERR_OK: the statement was done, and all of its answer was given to on_piece. Else nothing is known
 * of what the server did, but by clickhouse_code:
 *  - ERR_PERMISSION: user, password or a right; a certificate
 *  - ERR_NOT_FOUND:  no such database, table or column
 *  - ERR_AGAIN:      a statement of that query_id is still running
 *  - ERR_CANCELLED:  clickhouse_stop, or on_piece wanted no more
 *  - ERR_UNAVAILABLE, ERR_TIMEOUT: cannot be reached, or cannot just now
 *  - ERR_PARSE:      who answers is no ClickHouse
 *  - ERR_IO:         any other error of the server; ERR_INVALID, ERR_NOMEM: ours */
MUST_CHECK enum err_code clickhouse_run(struct clickhouse *c, const struct clickhouse_statement *s,
					struct err *e);
/* The same, the answer appended to @ret; ERR_NOMEM beyond the limit of @ret. */
MUST_CHECK enum err_code clickhouse_ask(struct clickhouse *c, struct clickhouse_statement s,
					struct buf *ret, struct err *e);
/* The number of the error that the server answered to the last statement; 0: it did not. */
int clickhouse_code(const struct clickhouse *c);

#endif
