/*
 * sql_inside - what the virtual tables share.
 */
#ifndef TYCHO_STORE_SQL_INSIDE_H
#define TYCHO_STORE_SQL_INSIDE_H

#include <sqlite3.h>
#include <stdatomic.h>

#include "flow/dict.h"
#include "store/sql.h"

struct store_sql {
	sqlite3 *h;
	char *dir;
	struct wall_ns now;
	struct flow_dict *dict; /* of tables without names of the store's; it stays empty */
	size_t dict_entries;    /* of each cursor over flows, which has its own dictionary */
	size_t damaged;         /* parts of flows stepped over */
	size_t unread;          /* the same of the other tables, by this statement */
	atomic_bool is_cancelled;
	bool is_declaring; /* a table of ours: what SQLite does for it is not the statement's doing
			    */
	struct err why;    /* code other than ERR_OK: what a table failed with */
};

struct store_reader;

struct sql_column {
	const char *name, *type; /* "TEXT", "INTEGER" */
	const char *help;
};
struct sql_table {
	const char *name, *help;
	const struct sql_column *columns;
	size_t count;
};
extern const struct sql_table sql_flows_table;
extern const struct sql_table sql_other_tables[];
extern const size_t sql_other_tables_count;

/* Make the tables known to q->h. @return SQLite's code. */
int sql_flows_register(struct store_sql *q);
int sql_others_register(struct store_sql *q);

/* What a virtual table is to SQLite. */
struct sql_vtab {
	sqlite3_vtab base;
	struct store_sql *q;
	const struct sql_table *table;
};
/* Makes @t known as @module's, which has the next two as xConnect and xDisconnect, and no xCreate:
 * the table is there under its module's name, and cannot be made. */
int sql_register(struct store_sql *q, const struct sql_table *t, const sqlite3_module *module);
int sql_connect(sqlite3 *h, void *data, int argc, const char *const *argv, sqlite3_vtab **ret,
		char **why);
int sql_disconnect(sqlite3_vtab *v);
/* A reader for a cursor of its own; names of records go to @dict. */
int sql_open_reader(struct store_sql *q, struct flow_dict *dict, struct store_reader **ret);
/* Keeps @e for the answer, and yields SQLITE_ERROR. */
int sql_failed(struct store_sql *q, const struct err *e);

/* Texts of times are RFC 3339 in UTC with nine digits, so that they compare as the times do. Their
 * columns have the collation TIME, for which other ways to write a time compare as these. */
enum { SQL_TIME_BYTES = 31 };
extern const char sql_time_collation[];
/* @s in that form, if it says a time in another: with an offset or fewer digits, or with a blank
 * for its T, as SQLite's datetime() has it; a beginning stays one. Else @s itself. */
struct str sql_time_key(struct str s, char tmp[SQL_TIME_BYTES]);
/* Is the constraint @i one that sql_time_span may decide? */
bool sql_compares_times(sqlite3_index_info *info, int i);
struct str sql_time_text(struct wall_ns t, char tmp[SQL_TIME_BYTES]);
void sql_result_time(sqlite3_context *c, struct wall_ns t);
void sql_result_text(sqlite3_context *c, struct str s); /* copied; "" is NULL */
/* The span of times whose texts begin with @s, or with its key; false: it is no beginning of such a
 * text. */
bool sql_time_span(struct str s, struct wall_ns *ret_first, struct wall_ns *ret_last);

#endif
