#include "store/db.h"
#include "store/edge_rows.h"
#include "store/edge_table.h"
#include "store/minutes.h"

enum err_code edge_piece_read(sqlite3_stmt *st, struct edge_rows *to, struct err *e)
{
	struct str data = column_blob(st, 2);

	if (edge_rows_sum(data) != column_u64(st, 1))
		return err_set(e, ERR_PARSE, "damaged minute of the service map");
	return edge_rows_unpack(data, to, e);
}

/* --- functions ---------------------------------------------------------------------------- */

static struct str value_blob(sqlite3_value *v)
{
	const void *p = sqlite3_value_blob(v); /* in this order, as SQLite asks */
	int n = sqlite3_value_bytes(v);

	return str_n(p ? p : "", p ? (size_t)n : 0);
}

static void sum_of(sqlite3_context *ctx, int argc, sqlite3_value **argv)
{
	(void)argc;
	sqlite3_result_int64(ctx, (sqlite3_int64)edge_rows_sum(value_blob(argv[0])));
}

static void pack_step(sqlite3_context *ctx, int argc, sqlite3_value **argv)
{
	struct edge_rows *r = sqlite3_aggregate_context(ctx, sizeof *r);

	if (!r || !edge_rows_reserve(r, 1)) {
		sqlite3_result_error_nomem(ctx);
		return;
	}
	struct edge_row *row = &r->list[r->count++];
	*row = (struct edge_row){ .src = 0 };
	for (int i = 0; i < argc; i++) /* in the order of edge_column */
		edge_row_set(row, (enum edge_column)i, (uint64_t)sqlite3_value_int64(argv[i]));
}

static void pack_final(sqlite3_context *ctx)
{
	struct edge_rows *r = sqlite3_aggregate_context(ctx, 0);
	AUTO_BUF struct buf bytes = buf_init(SIZE_MAX);

	if (!r)
		return;
	edge_rows_sort(r);
	if (r->count > EDGE_ROWS_MOST)
		sqlite3_result_error_toobig(ctx);
	else if (edge_rows_pack(r, &bytes, NULL) != ERR_OK)
		sqlite3_result_error_nomem(ctx);
	else
		sqlite3_result_blob64(ctx, bytes.p, bytes.len, SQLITE_TRANSIENT);
	edge_rows_done(r);
}

/* --- the table ---------------------------------------------------------------------------- */

struct edge_table {
	sqlite3_vtab base;
	sqlite3 *h;
};

struct cursor {
	sqlite3_vtab_cursor base;
	sqlite3_stmt *st; /* minutes, packed */
	int64_t minute;
	struct edge_rows rows; /* of one piece */
	size_t at;
	int64_t row; /* of all */
	bool at_end;
};

static int connect_table(sqlite3 *h, void *ctx, int argc, const char *const *argv,
			 sqlite3_vtab **ret, char **err)
{
	(void)ctx;
	(void)argc;
	(void)argv;
	(void)err;
	int rc = sqlite3_declare_vtab(
		h, "CREATE TABLE edge (minute INTEGER, src INTEGER, dst INTEGER, port INTEGER,"
		   " l4 INTEGER, verdict INTEGER, drop_desc INTEGER, policy INTEGER, dns INTEGER,"
		   " node INTEGER, flows INTEGER, packets INTEGER, bytes INTEGER, l7_ok INTEGER,"
		   " l7_errors INTEGER)");
	/* The file's view asks it, and it does nothing but read. */
	if (rc == SQLITE_OK)
		rc = sqlite3_vtab_config(h, SQLITE_VTAB_INNOCUOUS);
	struct edge_table *t = rc == SQLITE_OK ? sqlite3_malloc(sizeof *t) : NULL;
	if (!t)
		return rc == SQLITE_OK ? SQLITE_NOMEM : rc;
	*t = (struct edge_table){ .h = h };
	*ret = &t->base;
	return SQLITE_OK;
}

static int disconnect_table(sqlite3_vtab *v)
{
	sqlite3_free(v);
	return SQLITE_OK;
}

static int best_index(sqlite3_vtab *v, sqlite3_index_info *info)
{
	(void)v;
	info->estimatedCost = 1e6;
	info->estimatedRows = 1000000;
	minutes_plan(info, NULL);
	return SQLITE_OK;
}

static int open_cursor(sqlite3_vtab *v, sqlite3_vtab_cursor **ret)
{
	static const char sql[] = "SELECT id, sum, data FROM main.edge_minute"
				  " WHERE id >= ?1 AND id <= ?2 ORDER BY id";
	struct cursor *c = sqlite3_malloc(sizeof *c);

	if (!c)
		return SQLITE_NOMEM;
	*c = (struct cursor){ .st = NULL };
	int rc = sqlite3_prepare_v2(((struct edge_table *)v)->h, sql, -1, &c->st, NULL);
	if (rc != SQLITE_OK) {
		sqlite3_free(c);
		return rc;
	}
	*ret = &c->base;
	return SQLITE_OK;
}

static int close_cursor(sqlite3_vtab_cursor *v)
{
	struct cursor *c = (struct cursor *)v;

	(void)sqlite3_finalize(c->st);
	edge_rows_done(&c->rows);
	sqlite3_free(c);
	return SQLITE_OK;
}

/* The next piece that has rows. */
static int next_piece(struct cursor *c)
{
	struct err e;
	int rc;

	for (c->rows.count = c->at = 0; !c->rows.count;) {
		rc = sqlite3_step(c->st);
		c->at_end = rc != SQLITE_ROW;
		if (c->at_end)
			return rc == SQLITE_DONE ? SQLITE_OK : rc;
		c->minute = sqlite3_column_int64(c->st, 0) >> EDGE_PIECE_BITS;
		enum err_code code = edge_piece_read(c->st, &c->rows, &e);
		c->at_end = code != ERR_OK;
		if (code != ERR_OK)
			return code == ERR_NOMEM ? SQLITE_NOMEM : SQLITE_CORRUPT;
	}
	return SQLITE_OK;
}

static int next(sqlite3_vtab_cursor *v)
{
	struct cursor *c = (struct cursor *)v;

	c->row++;
	return ++c->at < c->rows.count ? SQLITE_OK : next_piece(c);
}

/* Bounds are wide enough: SQLite looks at each row's minute again. */
static int filter(sqlite3_vtab_cursor *v, int number, const char *text, int argc,
		  sqlite3_value **argv)
{
	enum { MINUTES = 1 << 30 };
	struct cursor *c = (struct cursor *)v;
	int64_t low = 0, high = MINUTES;

	(void)text;
	for (int i = 0; i < argc; i++) {
		bool is_end = minutes_is_end(number, i);
		if (sqlite3_value_type(argv[i]) != SQLITE_INTEGER)
			continue;
		int64_t minute = sqlite3_value_int64(argv[i]);
		if (is_end && minute < high)
			high = minute;
		if (!is_end && minute > low)
			low = minute < MINUTES ? minute : MINUTES;
	}
	(void)sqlite3_reset(c->st);
	c->row = 0;
	(void)sqlite3_bind_int64(c->st, 1, low << EDGE_PIECE_BITS);
	(void)sqlite3_bind_int64(c->st, 2, high < 0 ? -1 : ((high + 1) << EDGE_PIECE_BITS) - 1);
	return next_piece(c);
}

static int at_end(sqlite3_vtab_cursor *v)
{
	return ((struct cursor *)v)->at_end;
}

static int column(sqlite3_vtab_cursor *v, sqlite3_context *ctx, int i)
{
	const struct cursor *c = (const struct cursor *)v;
	const struct edge_row *row = &c->rows.list[c->at];

	/* the minute, then those of edge_column */
	sqlite3_result_int64(ctx, i ? (sqlite3_int64)edge_row_get(row, (enum edge_column)(i - 1))
				    : c->minute);
	return SQLITE_OK;
}

static int row_id(sqlite3_vtab_cursor *v, sqlite3_int64 *ret)
{
	*ret = ((struct cursor *)v)->row;
	return SQLITE_OK;
}

int edge_table_register(sqlite3 *h)
{
	/* without xCreate: it is there by its name */
	static const sqlite3_module module = {
		.xConnect = connect_table,
		.xBestIndex = best_index,
		.xDisconnect = disconnect_table,
		.xOpen = open_cursor,
		.xClose = close_cursor,
		.xFilter = filter,
		.xNext = next,
		.xEof = at_end,
		.xColumn = column,
		.xRowid = row_id,
	};
	const int flags = SQLITE_UTF8 | SQLITE_DETERMINISTIC | SQLITE_INNOCUOUS;
	int rc = sqlite3_create_module(h, "edge", &module, NULL);

	if (rc == SQLITE_OK)
		rc = sqlite3_create_function(h, "edge_sum", 1, flags, NULL, sum_of, NULL, NULL);
	if (rc == SQLITE_OK)
		rc = sqlite3_create_function(h, "edge_pack", EDGE_ROW_COLUMNS_, flags, NULL, NULL,
					     pack_step, pack_final);
	return rc;
}
