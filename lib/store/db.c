#include "store/db.h"

#include <errno.h>
#include <stdio.h>

#include "base/buf.h"
#include "store/edge_table.h"

enum {
	BUSY_MS = 5000, /* others lock the file for moments only, when it is opened or closed */
	PATH_BYTES = 4096,
};

static enum err_code code_of(int rc)
{
	if (rc == SQLITE_IOERR_CORRUPTFS)
		return ERR_PARSE;
	switch (rc & 0xff) {
	case SQLITE_NOMEM:
		return ERR_NOMEM;
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB:
		return ERR_PARSE;
	case SQLITE_READONLY:
	case SQLITE_PERM:
	case SQLITE_AUTH:
		return ERR_PERMISSION;
	case SQLITE_CANTOPEN:
		return ERR_NOT_FOUND;
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
		return ERR_AGAIN;
	case SQLITE_MISUSE:
	case SQLITE_ERROR:
	case SQLITE_RANGE:
		return ERR_INTERNAL;
	default:
		return ERR_IO;
	}
}

void db_note_faults(struct db *db)
{
	if (disk_fault_take(&db->fault) && db->faults && !db->fault.is_everywhere)
		disk_faults_note(db->faults, &db->fault);
}

static void note(struct db *db, int rc)
{
	db->rc = db->h ? sqlite3_extended_errcode(db->h) : rc;
	if ((db->rc & 0xff) != (rc & 0xff))
		db->rc = rc;
	db->os = 0;
	db_note_faults(db);
	if ((rc & 0xff) == SQLITE_FULL && !disk_was_full())
		db->rc = SQLITE_CORRUPT;
	else if ((rc & 0xff) == SQLITE_FULL)
		db->os = ENOSPC;
	else if (db->h && ((rc & 0xff) == SQLITE_IOERR || (rc & 0xff) == SQLITE_CANTOPEN))
		db->os = sqlite3_system_errno(db->h);
}

static enum err_code fault(struct db *db, const char *doing, struct err *e)
{
	enum err_code code = code_of(db->rc);
	char words[DISK_WORDS];

	if (db->fault.os && !db->fault.is_everywhere)
		return err_set(e, code, "%s: %s", doing, disk_words(&db->fault, words));
	if (db->os) {
		(void)err_errno(e, db->os, "%s", doing);
		if (e)
			e->code = code;
		return code;
	}
	bool is_its_word = db->h && (sqlite3_errcode(db->h) & 0xff) == (db->rc & 0xff);
	return err_set(e, code, "%s: %s", doing,
		       is_its_word ? sqlite3_errmsg(db->h) : sqlite3_errstr(db->rc));
}

/* Of a call that may fail: nothing has yet. */
static void begin(struct db *db)
{
	db->rc = SQLITE_OK;
	db->fault.os = 0;
	(void)disk_fault_take(NULL);
	(void)disk_was_full();
}

/* The path as a URI: what would end it or mean more is escaped. */
static void put_uri(struct buf *b, const char *path)
{
	buf_lit(b, "file:");
	for (const char *p = path; *p; p++) {
		if (*p == '%' || *p == '?' || *p == '#')
			buf_printf(b, "%%%02x", (unsigned)*p);
		else
			buf_char(b, *p);
	}
	buf_lit(b, "?immutable=1");
}

enum err_code db_open(struct db *ret, const char *path, enum db_mode mode,
		      struct disk_faults *faults, struct err *e)
{
	int flags = SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE |
		    (mode == DB_WRITE ? SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE
				      : SQLITE_OPEN_READONLY);
	char bytes[PATH_BYTES];
	struct buf uri = buf_fixed(bytes, sizeof bytes);
	const char *name = path, *vfs = disk_vfs();

	if (!vfs)
		return err_set(e, ERR_NOMEM, "open '%s'", path);

	if (mode == DB_IMMUTABLE) {
		put_uri(&uri, path);
		name = buf_cstr(&uri);
		flags |= SQLITE_OPEN_URI;
		if (uri.failed)
			return err_set(e, ERR_INVALID, "open '%s': the name is too long", path);
	}
	struct db db = { .faults = faults };
	begin(&db);
	int rc = sqlite3_open_v2(name, &db.h, flags, vfs);
	if (rc == SQLITE_OK)
		rc = edge_table_register(db.h);
	if (rc != SQLITE_OK) {
		note(&db, rc);
		enum err_code code = fault(&db, path, e);
		(void)sqlite3_close(db.h);
		return code;
	}
	(void)sqlite3_busy_timeout(db.h, BUSY_MS);
	*ret = db;
	return ERR_OK;
}

void db_close(struct db *db)
{
	for (size_t i = 0; i < db->count; i++)
		(void)sqlite3_finalize(db->statements[i].st);
	/* The last one to close moves the log into the file. */
	if (db->h)
		disk_fill(db->h);
	begin(db);
	(void)sqlite3_close(db->h);
	db_note_faults(db);
	*db = (struct db){ 0 };
}

static sqlite3_stmt *prepare(struct db *db, const char *sql)
{
	for (size_t i = 0; i < db->count; i++)
		if (db->statements[i].sql == sql)
			return db->statements[i].st;
	if (db->count == DB_STATEMENTS) { /* cannot happen: they are literals of these files */
		db->rc = SQLITE_MISUSE;
		return NULL;
	}
	sqlite3_stmt *st;
	int rc = sqlite3_prepare_v3(db->h, sql, -1, SQLITE_PREPARE_PERSISTENT, &st, NULL);
	if (rc != SQLITE_OK) {
		note(db, rc);
		return NULL;
	}
	db->statements[db->count].sql = sql;
	db->statements[db->count++].st = st;
	return st;
}

sqlite3_stmt *db_ask(struct db *db, const char *sql, const struct db_value *values, size_t count)
{
	begin(db);
	sqlite3_stmt *st = prepare(db, sql);
	int rc = SQLITE_OK;

	if (!st)
		return NULL;
	(void)sqlite3_reset(st);
	for (size_t i = 0; i < count && rc == SQLITE_OK; i++) {
		const struct db_value *v = &values[i];
		int at = (int)i + 1;
		if (v->type == DB_VALUE_NULL)
			rc = sqlite3_bind_null(st, at);
		else if (v->type == DB_VALUE_INT)
			rc = sqlite3_bind_int64(st, at, v->i);
		else if (v->type == DB_VALUE_TEXT)
			rc = sqlite3_bind_text64(st, at, v->s.p, v->s.len, SQLITE_STATIC,
						 SQLITE_UTF8);
		else
			rc = sqlite3_bind_blob64(st, at, v->s.p, v->s.len, SQLITE_STATIC);
	}
	if (rc != SQLITE_OK) {
		note(db, rc);
		return NULL;
	}
	return st;
}

sqlite3_stmt *db_once(struct db *db, const char *sql)
{
	sqlite3_stmt *st = NULL;

	begin(db);
	int rc = sqlite3_prepare_v2(db->h, sql, -1, &st, NULL);
	if (rc != SQLITE_OK)
		note(db, rc);
	return st;
}

bool db_next(struct db *db, sqlite3_stmt *st)
{
	if (!st)
		return false;
	int rc = sqlite3_step(st);
	if (rc == SQLITE_ROW)
		return true;
	if (rc != SQLITE_DONE)
		note(db, rc);
	(void)sqlite3_reset(st);
	return false;
}

enum err_code db_ended(struct db *db, const char *doing, struct err *e)
{
	return db->rc == SQLITE_OK ? ERR_OK : fault(db, doing, e);
}

void db_leave(sqlite3_stmt *st)
{
	if (st)
		(void)sqlite3_reset(st);
}

static const char *doing_of(const struct db *db)
{
	return sqlite3_db_readonly(db->h, "main") == 1 ? "read the store" : "write the store";
}

enum err_code db_run(struct db *db, struct err *e, const char *sql, const struct db_value *values,
		     size_t count)
{
	sqlite3_stmt *st = db_ask(db, sql, values, count);

	while (db_next(db, st))
		;
	return db_ended(db, doing_of(db), e);
}

enum err_code db_script(struct db *db, const char *sql, struct err *e)
{
	begin(db);
	int rc = sqlite3_exec(db->h, sql, NULL, NULL, NULL);

	if (rc == SQLITE_OK)
		return ERR_OK;
	note(db, rc);
	return fault(db, doing_of(db), e);
}

enum err_code db_number(struct db *db, const char *sql, uint64_t otherwise, uint64_t *ret,
			struct err *e)
{
	sqlite3_stmt *st = db_ask(db, sql, NULL, 0);
	uint64_t v = otherwise;

	if (db_next(db, st)) {
		if (sqlite3_column_type(st, 0) != SQLITE_NULL)
			v = column_u64(st, 0);
		db_leave(st);
	}
	enum err_code code = db_ended(db, "read the store", e);
	if (code == ERR_OK)
		*ret = v;
	return code;
}

/* Is there a row from @key on that can be read, or none at all? */
static enum err_code can_be_read(struct db *db, sqlite3_stmt *st, uint64_t key, bool *ret,
				 struct err *e)
{
	if (st) {
		(void)sqlite3_reset(st);
		(void)sqlite3_bind_int64(st, 1, (int64_t)key);
	}
	if (st)
		begin(db);
	bool found = db_next(db, st);
	enum err_code code = found ? ERR_OK : db_ended(db, "read the store", e);
	if (found && column_u64(st, 0) < key) /* another page lies there */
		code = ERR_PARSE;
	if (st)
		(void)sqlite3_reset(st);
	*ret = code == ERR_OK;
	return code == ERR_PARSE ? ERR_OK : code;
}

enum err_code db_next_readable(struct db *db, const char *table, const char *key, int64_t at,
			       int64_t *ret_next, struct err *e)
{
	uint64_t from = (uint64_t)at, room = (uint64_t)INT64_MAX - from, good = 1, bad = 0;
	char text[128];
	bool can = false;

	(void)snprintf(text, sizeof text, "SELECT * FROM %s WHERE %s >= ?1 ORDER BY %s LIMIT 1",
		       table, key, key);
	sqlite3_stmt *st = db_once(db, text);
	enum err_code code = ERR_OK;

	for (; code == ERR_OK && !can && good < room; good = can ? good : 2 * good)
		code = can_be_read(db, st, from + good, &can, e);
	for (bad = good / 2; code == ERR_OK && can && good - bad > 1;) {
		uint64_t middle = bad + (good - bad) / 2;
		bool here;
		code = can_be_read(db, st, from + middle, &here, e);
		if (here)
			good = middle;
		else
			bad = middle;
	}
	(void)sqlite3_finalize(st);
	if (code == ERR_OK)
		*ret_next = can ? (int64_t)(from + good) : INT64_MAX;
	return code;
}

enum err_code db_begin(struct db *db, struct err *e)
{
	static const char sql[] = "BEGIN IMMEDIATE";

	return db_run(db, e, sql, NULL, 0);
}

enum err_code db_begin_reading(struct db *db, struct err *e)
{
	static const char sql[] = "BEGIN";

	return db->is_held ? ERR_OK : db_run(db, e, sql, NULL, 0);
}

void db_end_reading(struct db *db)
{
	if (!db->is_held)
		db_rollback(db);
}

enum err_code db_hold(struct db *db, struct err *e)
{
	uint64_t tables;
	enum err_code code = db_begin_reading(db, e);

	/* The moment is that of the first question. */
	if (code == ERR_OK)
		code = db_number(db, "SELECT count(*) FROM sqlite_schema", 0, &tables, e);
	db->is_held = db->is_held || code == ERR_OK;
	if (!db->is_held)
		db_rollback(db);
	return code;
}

void db_let_go(struct db *db)
{
	db->is_held = false;
	db_rollback(db);
}

enum err_code db_commit(struct db *db, struct err *e)
{
	static const char sql[] = "COMMIT";

	return db_run(db, e, sql, NULL, 0);
}

void db_rollback(struct db *db)
{
	static const char sql[] = "ROLLBACK";
	int rc = db->rc, os = db->os;
	struct disk_fault fault = db->fault;

	/* Some failures have rolled back already. */
	if (!sqlite3_get_autocommit(db->h))
		(void)!db_run(db, NULL, sql, NULL, 0);
	db->rc = rc;
	db->os = os;
	db->fault = fault;
}

bool db_is_damaged(const struct db *db)
{
	return code_of(db->rc) == ERR_PARSE;
}

bool db_log_is_damaged(const struct db *db)
{
	return (db->rc & 0xff) == SQLITE_IOERR && db->fault.os && db->fault.is_log &&
	       !db->fault.is_everywhere;
}
