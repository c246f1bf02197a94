/*
 * db - one SQLite connection with its statements: prepared once, bound always.
 *
 *	DB_RUN(db, e, "INSERT INTO t VALUES (?1, ?2)", DB_I(n), DB_B(bytes))
 *
 *	sqlite3_stmt *st = DB_ASK(db, "SELECT … WHERE n = ?1", DB_I(n));
 *	while (db_next(db, st))
 *		… column_u64(st, 0) …
 *	if (db_ended(db, "read what there is", e) != ERR_OK) …
 *
 * Statements are found again by the address of their text: give literals. Texts and bytes bound are
 * borrowed until the next use of the statement; those of columns until the next step.
 *
 * Errors   in the system's words where the system said no ("No space left on device"), else in
 *          SQLite's. A damaged file is ERR_PARSE, also where a page of it cannot be read (disk.h); a
 *          full or failing disk ERR_IO, a file that may not be written ERR_PERMISSION.
 * Threads  one thread per connection.
 */
#ifndef TYCHO_STORE_DB_H
#define TYCHO_STORE_DB_H

#include <sqlite3.h>

#include "base/err.h"
#include "base/str.h"
#include "store/disk.h"

enum { DB_STATEMENTS = 96 };

struct db {
	sqlite3 *h;
	struct {
		const char *sql;
		sqlite3_stmt *st;
	} statements[DB_STATEMENTS];
	size_t count;
	bool is_held; /* all that is read is of one moment: db_hold */
	int rc;       /* SQLite's code of the last call that failed; SQLITE_OK */
	int os;       /* errno of it, if the system said no */
	/* of it: what could not be read; os 0: that was not it */
	struct disk_fault fault;
	struct disk_faults *faults; /* where all of them are told; may be NULL */
};

enum db_mode {
	DB_WRITE,    /* made if it is not there */
	DB_READ,     /* of a file that others may write */
	DB_IMMUTABLE /* of a file that nobody writes, in a folder that we may not write */
};
/* @faults (may be NULL) is borrowed until the close. */
MUST_CHECK enum err_code db_open(struct db *ret, const char *path, enum db_mode mode,
				 struct disk_faults *faults, struct err *e);
void db_close(struct db *db); /* harmless on zeros */

struct db_value {
	enum { DB_VALUE_NULL, DB_VALUE_INT, DB_VALUE_TEXT, DB_VALUE_BLOB } type;
	int64_t i;
	struct str s;
};
#define DB_I(v) ((struct db_value){ .type = DB_VALUE_INT, .i = (int64_t)(v) })
#define DB_T(v) ((struct db_value){ .type = DB_VALUE_TEXT, .s = (v) })
#define DB_B(v) ((struct db_value){ .type = DB_VALUE_BLOB, .s = (v) })
#define DB_H(hash) DB_B(str_n((hash).v, sizeof(hash).v))
#define DB_NULL ((struct db_value){ .type = DB_VALUE_NULL })

/* NULL on failure, which db_next and db_ended then tell. */
sqlite3_stmt *db_ask(struct db *db, const char *sql, const struct db_value *values, size_t count);
#define DB_ASK(db, sql, ...)                                                                       \
	db_ask((db), (sql), (const struct db_value[]){ __VA_ARGS__ },                              \
	       sizeof((const struct db_value[]){ __VA_ARGS__ }) / sizeof(struct db_value))
/* The same of a text that is made for once: finalize it. */
sqlite3_stmt *db_once(struct db *db, const char *sql);
/* True: @st is at a row. */
bool db_next(struct db *db, sqlite3_stmt *st);
/* How it ended. @doing: "read the gaps", in front of the reason. */
MUST_CHECK enum err_code db_ended(struct db *db, const char *doing, struct err *e);
/* Leaves a statement before its end: it would hold a snapshot. */
void db_leave(sqlite3_stmt *st);
/* Runs to the end. */
MUST_CHECK enum err_code db_run(struct db *db, struct err *e, const char *sql,
				const struct db_value *values, size_t count);
#define DB_RUN(db, e, sql, ...)                                                                    \
	db_run((db), (e), (sql), (const struct db_value[]){ __VA_ARGS__ },                         \
	       sizeof((const struct db_value[]){ __VA_ARGS__ }) / sizeof(struct db_value))
/* Several statements, not kept. */
MUST_CHECK enum err_code db_script(struct db *db, const char *sql, struct err *e);
/* The first column of the first row; @otherwise if there is none. ERR_OK or as db_ended. */
MUST_CHECK enum err_code db_number(struct db *db, const char *sql, uint64_t otherwise,
				   uint64_t *ret, struct err *e);

/* Rows of @table at and behind @at, in the order of its first column, the number @key, cannot be
 * read: *@ret_next, which is larger, is where they can be again; INT64_MAX: nowhere. */
MUST_CHECK enum err_code db_next_readable(struct db *db, const char *table, const char *key,
					  int64_t at, int64_t *ret_next, struct err *e);

MUST_CHECK enum err_code db_begin(struct db *db, struct err *e);
/* For several questions: the file is locked once for all of them, and they are answered as of one
 * moment. Ends with db_rollback, of a reader with db_end_reading. */
MUST_CHECK enum err_code db_begin_reading(struct db *db, struct err *e);
void db_end_reading(struct db *db);
/* The same of a reader, around all that it asks until it lets go or is closed. */
MUST_CHECK enum err_code db_hold(struct db *db, struct err *e);
void db_let_go(struct db *db);
MUST_CHECK enum err_code db_commit(struct db *db, struct err *e);
void db_rollback(struct db *db);

/* After a call of SQLite's own: what could not be read is told. */
void db_note_faults(struct db *db);
/* True if the last failure says that the file itself is broken. */
bool db_is_damaged(const struct db *db);
/* True if the last failure says that the write-ahead log cannot be used: a part of it cannot be read. */
bool db_log_is_damaged(const struct db *db);

static inline uint64_t column_u64(sqlite3_stmt *st, int i)
{
	return (uint64_t)sqlite3_column_int64(st, i);
}
static inline struct str column_blob(sqlite3_stmt *st, int i)
{
	const void *p = sqlite3_column_blob(st, i); /* in this order, as SQLite asks */
	int n = sqlite3_column_bytes(st, i);

	return str_n(p ? p : "", p ? (size_t)n : 0);
}
static inline struct str column_text(sqlite3_stmt *st, int i)
{
	const void *p = sqlite3_column_text(st, i);
	int n = sqlite3_column_bytes(st, i);

	return str_n(p ? p : "", p ? (size_t)n : 0);
}

#endif
