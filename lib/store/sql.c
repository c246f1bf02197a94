#include "store/sql.h"

#include <stdio.h>

#include "store/segment.h"
#include "store/sql_inside.h"
#include "store/store.h"

enum {
	/* Half full, it still takes the names of any segment: a record has two ends. */
	DICT_ENTRIES = 4 * SEGMENT_MAX,
	TEXT_MAX = 64 << 20, /* a cell */
	STATEMENT_MAX = 1 << 20,
	DEPTH_MAX = 100,
	COLUMNS_MAX = 500,
	LOOK_UP_STEPS = 1000, /* of SQLite's machine, between two looks at is_cancelled */
};

/* --- tools for the tables ----------------------------------------------------------------- */

struct declared {
	struct store_sql *q;
	const struct sql_table *table;
};

int sql_register(struct store_sql *q, const struct sql_table *t, const sqlite3_module *module)
{
	struct declared *d = malloc(sizeof *d);

	if (!d)
		return SQLITE_NOMEM;
	*d = (struct declared){ q, t };
	return sqlite3_create_module_v2(q->h, t->name, module, d, free); /* frees in any case */
}

/* time, from_time, to_time: moments as texts */
static bool is_time(const struct sql_column *c)
{
	return str_has_suffix(str_of(c->name), STR("time"));
}

/* "CREATE TABLE x (a TEXT, …)" */
static int declare(struct store_sql *q, const struct sql_table *t)
{
	AUTO_BUF struct buf b = buf_init(1 << 16);

	buf_lit(&b, "CREATE TABLE x (");
	for (size_t i = 0; i < t->count; i++)
		buf_printf(&b, "%s%s %s%s%s", i ? ", " : "", t->columns[i].name, t->columns[i].type,
			   is_time(&t->columns[i]) ? " COLLATE " : "",
			   is_time(&t->columns[i]) ? sql_time_collation : "");
	buf_char(&b, ')');
	const char *text = buf_cstr(&b);
	q->is_declaring = true;
	int rc = b.failed ? SQLITE_NOMEM : sqlite3_declare_vtab(q->h, text);
	q->is_declaring = false;
	return rc;
}

int sql_connect(sqlite3 *h, void *data, int argc, const char *const *argv, sqlite3_vtab **ret,
		char **why)
{
	const struct declared *d = data;
	struct sql_vtab *v = sqlite3_malloc(sizeof *v);

	(void)h;
	(void)argc;
	(void)argv;
	(void)why;
	if (!v)
		return SQLITE_NOMEM;
	*v = (struct sql_vtab){ .q = d->q, .table = d->table };
	int rc = declare(d->q, d->table);
	if (rc != SQLITE_OK) {
		sqlite3_free(v);
		return rc;
	}
	*ret = &v->base;
	return SQLITE_OK;
}

int sql_disconnect(sqlite3_vtab *v)
{
	sqlite3_free(v);
	return SQLITE_OK;
}

int sql_open_reader(struct store_sql *q, struct flow_dict *dict, struct store_reader **ret)
{
	struct err e;

	return store_reader_open(q->dir, dict, ret, &e) == ERR_OK ? SQLITE_OK : sql_failed(q, &e);
}

int sql_failed(struct store_sql *q, const struct err *e)
{
	q->why = *e;
	return e->code == ERR_NOMEM ? SQLITE_NOMEM : SQLITE_ERROR;
}

struct str sql_time_text(struct wall_ns t, char tmp[SQL_TIME_BYTES])
{
	struct civil c = civil_of((int64_t)(t.v / NS_PER_S));
	int len = snprintf(tmp, SQL_TIME_BYTES, "%04d-%02d-%02dT%02d:%02d:%02d.%09dZ",
			   (int)(c.year % 10000), c.month % 100, c.day % 100, c.hour % 100,
			   c.minute % 100, c.second % 100, (int)(t.v % NS_PER_S));

	return str_n(tmp, (size_t)len);
}

const char sql_time_collation[] = "TIME";

struct str sql_time_key(struct str s, char tmp[SQL_TIME_BYTES])
{
	enum { DAY = 10, LONGEST = 35 }; /* "2024-03-01", and with nine digits and an offset */
	char text[LONGEST];
	struct timestamp t;
	struct wall_ns wall;

	if (s.len <= DAY || s.len > LONGEST ||
	    (s.len == SQL_TIME_BYTES - 1 && s.p[DAY] == 'T' && s.p[s.len - 1] == 'Z'))
		return s;
	memcpy(text, s.p, s.len);
	const bool has_blank = text[DAY] == ' ';
	if (has_blank)
		text[DAY] = 'T';
	if (timestamp_parse(str_n(text, s.len), &t) && timestamp_to_wall(t, &wall))
		return sql_time_text(wall, tmp);
	if (!has_blank || s.len >= SQL_TIME_BYTES)
		return s;
	memcpy(tmp, text, s.len);
	return str_n(tmp, s.len);
}

static int compare_times(void *ctx, int a_len, const void *a, int b_len, const void *b)
{
	char tmp[2][SQL_TIME_BYTES];

	(void)ctx;
	return str_cmp(sql_time_key(str_n(a, (size_t)a_len), tmp[0]),
		       sql_time_key(str_n(b, (size_t)b_len), tmp[1]));
}

bool sql_compares_times(sqlite3_index_info *info, int i)
{
	return sqlite3_stricmp(sqlite3_vtab_collation(info, i), sql_time_collation) == 0;
}

void sql_result_time(sqlite3_context *c, struct wall_ns t)
{
	char tmp[SQL_TIME_BYTES];

	sql_result_text(c, sql_time_text(t, tmp));
}

void sql_result_text(sqlite3_context *c, struct str s)
{
	if (s.len)
		sqlite3_result_text64(c, s.p, s.len, SQLITE_TRANSIENT, SQLITE_UTF8);
	else
		sqlite3_result_null(c);
}

bool sql_time_span(struct str s, struct wall_ns *ret_first, struct wall_ns *ret_last)
{
	static const char lowest[] = "0001-01-01T00:00:00.000000000Z";
	/* how much longer a text may be that begins with so many characters; at least */
	static const struct {
		size_t len;
		uint64_t s;
	} open[] = { { 30, 0 },     { 19, 1 },         { 16, 60 },        { 13, 3600 },
		     { 10, 86400 }, { 7, 31 * 86400 }, { 4, 366 * 86400 } };
	char text[sizeof lowest], tmp[SQL_TIME_BYTES];
	struct timestamp t;

	s = sql_time_key(s, tmp);
	if (s.len < 4 || s.len >= sizeof lowest)
		return false;
	memcpy(text, lowest, sizeof text);
	memcpy(text, s.p, s.len);
	for (size_t i = 0; i < s.len; i++) /* the same form: other texts compare in other ways */
		if ((lowest[i] >= '0' && lowest[i] <= '9') ? s.p[i] < '0' || s.p[i] > '9'
							   : s.p[i] != lowest[i])
			return false;
	if (!timestamp_parse(str_n(text, sizeof lowest - 1), &t) ||
	    !timestamp_to_wall(t, ret_first))
		return false; /* "2024-1": no beginning of a time */
	for (size_t i = 0; i < ARRAY_LEN(open); i++)
		if (s.len >= open[i].len) {
			uint64_t left = UINT64_MAX - ret_first->v, more = open[i].s * NS_PER_S;

			ret_last->v = ret_first->v + (more < left ? more : left);
			return true;
		}
	return false;
}

/* --- life --------------------------------------------------------------------------------- */

static int authorize(void *ctx, int action, const char *a, const char *b, const char *c,
		     const char *d)
{
	const struct store_sql *q = ctx;

	(void)a;
	(void)c;
	(void)d;
	if (q->is_declaring)
		return SQLITE_OK;
	switch (action) {
	case SQLITE_SELECT:
	case SQLITE_READ:
	case SQLITE_RECURSIVE:
		return SQLITE_OK;
	case SQLITE_FUNCTION:
		return b && sqlite3_stricmp(b, "load_extension") == 0 ? SQLITE_DENY : SQLITE_OK;
	default:
		return SQLITE_DENY;
	}
}

static int look_up(void *ctx)
{
	struct store_sql *q = ctx;

	return atomic_load_explicit(&q->is_cancelled, memory_order_relaxed);
}

/* ago('90m'): the text of the time that long before now. */
static void ago(sqlite3_context *c, int count, sqlite3_value **values)
{
	const struct store_sql *q = sqlite3_user_data(c);
	const char *text = (const char *)sqlite3_value_text(values[0]);
	struct str s = str_of(text);
	int64_t ns;

	(void)count;
	if (!duration_parse_days(s, &ns) || ns < 0) {
		sqlite3_result_error(c, "ago() takes a duration such as '15m', '2h' or '7d'", -1);
		return;
	}
	sql_result_time(c,
			(struct wall_ns){ (uint64_t)ns < q->now.v ? q->now.v - (uint64_t)ns : 0 });
}

static enum err_code prepare(struct store_sql *q, struct err *e)
{
	static const struct {
		int id, value;
	} limits[] = {
		{ SQLITE_LIMIT_LENGTH, TEXT_MAX },
		{ SQLITE_LIMIT_SQL_LENGTH, STATEMENT_MAX },
		{ SQLITE_LIMIT_EXPR_DEPTH, DEPTH_MAX },
		{ SQLITE_LIMIT_COLUMN, COLUMNS_MAX },
		{ SQLITE_LIMIT_ATTACHED, 0 },
		{ SQLITE_LIMIT_WORKER_THREADS, 0 },
		{ SQLITE_LIMIT_LIKE_PATTERN_LENGTH, 1000 },
	};

	if (sqlite3_open_v2(":memory:", &q->h, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL) !=
	    SQLITE_OK)
		return err_set(e, ERR_NOMEM, "SQL");
	for (size_t i = 0; i < ARRAY_LEN(limits); i++)
		(void)sqlite3_limit(q->h, limits[i].id, limits[i].value);
	(void)sqlite3_db_config(q->h, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
	(void)sqlite3_db_config(q->h, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
	(void)sqlite3_db_config(q->h, SQLITE_DBCONFIG_DQS_DML, 0, NULL);
	(void)sqlite3_db_config(q->h, SQLITE_DBCONFIG_DQS_DDL, 0, NULL);
	sqlite3_progress_handler(q->h, LOOK_UP_STEPS, look_up, q);
	if (sqlite3_create_collation(q->h, sql_time_collation, SQLITE_UTF8, NULL, compare_times) !=
		    SQLITE_OK ||
	    sql_flows_register(q) != SQLITE_OK || sql_others_register(q) != SQLITE_OK ||
	    sqlite3_create_function(q->h, "ago", 1, SQLITE_UTF8 | SQLITE_DETERMINISTIC, q, ago,
				    NULL, NULL) != SQLITE_OK ||
	    sqlite3_set_authorizer(q->h, authorize, q) != SQLITE_OK)
		return err_set(e, ERR_NOMEM, "SQL");
	return ERR_OK;
}

enum err_code store_sql_new(const char *dir, struct wall_ns now, struct store_sql **ret,
			    struct err *e)
{
	AUTO(store_sql_free) struct store_sql *q = calloc(1, sizeof *q);
	AUTO(store_reader_free) struct store_reader *r = NULL;

	if (q)
		q->dir = str_dup(str_of(dir));
	if (!q || !q->dir)
		return err_set(e, ERR_NOMEM, "SQL");
	q->now = now;
	q->dict_entries = DICT_ENTRIES;
	enum err_code code = flow_dict_new(1, &q->dict, e);
	if (code == ERR_OK)
		code = store_reader_open(dir, q->dict, &r, e); /* to hear at once what is wrong */
	if (code == ERR_OK)
		code = prepare(q, e);
	if (code == ERR_OK)
		*ret = TAKE(q);
	return code;
}

void store_sql_free(struct store_sql *q)
{
	if (!q)
		return;
	(void)sqlite3_close(q->h);
	flow_dict_free(q->dict);
	free(q->dir);
	free(q);
}

size_t store_sql_damaged(const struct store_sql *q)
{
	return q->damaged;
}

void store_sql_cancel(struct store_sql *q)
{
	atomic_store_explicit(&q->is_cancelled, true, memory_order_relaxed);
}

/* --- a statement -------------------------------------------------------------------------- */

static enum err_code explain(struct store_sql *q, int rc, struct err *e)
{
	if (atomic_load_explicit(&q->is_cancelled, memory_order_relaxed))
		return err_set(e, ERR_CANCELLED, "interrupted");
	if (q->why.code != ERR_OK) {
		if (e)
			*e = q->why;
		return q->why.code;
	}
	if ((rc & 0xff) == SQLITE_AUTH)
		return err_set(e, ERR_PERMISSION,
			       "only SELECT is possible, over flows, gaps, endpoints, edges and "
			       "policies");
	return err_set(e, rc == SQLITE_NOMEM ? ERR_NOMEM : ERR_INVALID, "%s", sqlite3_errmsg(q->h));
}

/* Room for all of the row's bytes in hexadecimal: cells point into it, so it must not move. */
static void reserve_hex(sqlite3_stmt *st, size_t count, struct buf *hex)
{
	size_t bytes = 0;

	buf_reset(hex);
	for (size_t i = 0; i < count; i++)
		if (sqlite3_column_type(st, (int)i) == SQLITE_BLOB)
			bytes += (size_t)sqlite3_column_bytes(st, (int)i);
	(void)buf_reserve(hex, 2 * bytes + 1);
}

static struct store_sql_cell cell_of(sqlite3_stmt *st, int i, struct buf *hex)
{
	struct store_sql_cell cell = { .type = STORE_SQL_NULL, .text = STR("") };

	switch (sqlite3_column_type(st, i)) {
	case SQLITE_NULL:
		return cell;
	case SQLITE_BLOB:
		cell.type = STORE_SQL_TEXT;
		const uint8_t *p = sqlite3_column_blob(st, i);
		size_t from = hex->len, n = (size_t)sqlite3_column_bytes(st, i);
		for (size_t k = 0; k < n; k++)
			buf_printf(hex, "%02x", p[k]);
		cell.text = str_from(buf_str(hex), from);
		return cell;
	case SQLITE_INTEGER:
		cell.type = STORE_SQL_INTEGER;
		cell.integer = sqlite3_column_int64(st, i);
		break;
	case SQLITE_FLOAT:
		cell.type = STORE_SQL_REAL;
		cell.real = sqlite3_column_double(st, i);
		break;
	default:
		cell.type = STORE_SQL_TEXT;
	}
	const char *text = (const char *)sqlite3_column_text(st, i);
	cell.text = str_n(text ? text : "", (size_t)sqlite3_column_bytes(st, i));
	return cell;
}

static enum err_code run_rows(struct store_sql *q, sqlite3_stmt *st,
			      const struct store_sql_sink *sink, struct err *e)
{
	size_t count = (size_t)sqlite3_column_count(st);
	AUTO(own_free) const char **names = calloc(count, sizeof *names);
	AUTO(own_free) struct store_sql_cell *cells = calloc(count, sizeof *cells);
	AUTO_BUF struct buf hex = buf_init((size_t)2 * TEXT_MAX);
	enum err_code code;
	int rc;

	if (!names || !cells)
		return err_set(e, ERR_NOMEM, "SQL");
	for (size_t i = 0; i < count; i++)
		names[i] = sqlite3_column_name(st, (int)i);
	code = sink->head(sink->ctx, names, count, e);
	while (code == ERR_OK && (rc = sqlite3_step(st)) != SQLITE_DONE) {
		if (rc != SQLITE_ROW)
			return explain(q, rc, e);
		reserve_hex(st, count, &hex);
		for (size_t i = 0; i < count; i++)
			cells[i] = cell_of(st, (int)i, &hex);
		code = hex.failed ? err_set(e, ERR_NOMEM, "a cell is too large")
				  : sink->row(sink->ctx, cells, count, e);
	}
	return code;
}

/* Is there more than blanks and comments? */
static bool is_more(struct store_sql *q, const char *rest)
{
	sqlite3_stmt *st = NULL;
	const char *end;
	bool more = false;

	for (; *rest && !more; rest = end) {
		end = rest;
		more = sqlite3_prepare_v2(q->h, rest, -1, &st, &end) != SQLITE_OK || st;
		(void)sqlite3_finalize(st);
		if (end == rest)
			break;
	}
	return more;
}

enum err_code store_sql_run(struct store_sql *q, struct str statement,
			    const struct store_sql_sink *sink, struct err *e)
{
	sqlite3_stmt *st = NULL;
	const char *rest = "";

	q->why.code = ERR_OK;
	q->unread = 0;
	if (statement.len > STATEMENT_MAX)
		return err_set(e, ERR_INVALID, "the statement is longer than %d bytes",
			       STATEMENT_MAX);
	AUTO(own_free) char *text = str_dup(statement);
	if (!text)
		return err_set(e, ERR_NOMEM, "SQL");
	int rc = sqlite3_prepare_v2(q->h, text, -1, &st, &rest);
	if (rc != SQLITE_OK)
		return explain(q, rc, e);
	enum err_code code;
	if (!st)
		code = err_set(e, ERR_INVALID, "there is no statement");
	else if (is_more(q, rest))
		code = err_set(e, ERR_INVALID, "one statement at a time: what is '%s'?",
			       EXCERPT(str_trim(str_of(rest))));
	else if (!sqlite3_column_count(st) || !sqlite3_stmt_readonly(st))
		code = explain(q, SQLITE_AUTH, e);
	else
		code = run_rows(q, st, sink, e);
	(void)sqlite3_finalize(st);
	if (code == ERR_OK && q->unread)
		code = err_set(
			e, ERR_PARSE,
			"the store is damaged: %zu part%s of it could not be read, and rows are "
			"missing here",
			q->unread, q->unread == 1 ? "" : "s");
	return code;
}

/* --- the schema --------------------------------------------------------------------------- */

static void put_table(struct buf *b, const struct sql_table *t)
{
	buf_printf(b, "-- %s\nCREATE TABLE %s (\n", t->help, t->name);
	for (size_t i = 0; i < t->count; i++) {
		const struct sql_column *c = &t->columns[i];

		buf_printf(b, "  %s %s%s -- %s\n", c->name, c->type, i + 1 < t->count ? "," : "",
			   c->help);
	}
	buf_lit(b, ");\n");
}

void store_sql_schema(struct buf *b)
{
	put_table(b, &sql_flows_table);
	for (size_t i = 0; i < sql_other_tables_count; i++)
		put_table(b, &sql_other_tables[i]);
}
