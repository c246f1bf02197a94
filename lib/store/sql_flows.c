/* flows: the records of the store as rows. */
#include "store/reader.h"
#include "store/sql_flows.h"

enum {
	PORTION = 1 << 16, /* records looked at between two looks at is_cancelled */
	TEXT_BYTES = 16 << 20,
};

struct cursor {
	sqlite3_vtab_cursor base;
	struct store_sql *q;
	struct flow_dict *dict; /* its own: rows of other cursors outlast a reset */
	struct store_reader *r;
	struct store_scan *scan;
	struct flow_filter *filter; /* NULL: all */
	const struct flow *flows;   /* borrowed from the scan */
	size_t count, at;
	bool more;
	struct buf text;
};

/* --- life of a cursor --------------------------------------------------------------------- */

static int open_cursor(sqlite3_vtab *v, sqlite3_vtab_cursor **ret)
{
	struct store_sql *q = ((struct sql_vtab *)v)->q;
	struct cursor *c = sqlite3_malloc(sizeof *c);

	if (!c)
		return SQLITE_NOMEM;
	*c = (struct cursor){ .q = q, .text = buf_init(TEXT_BYTES) };
	struct err e;
	int rc = flow_dict_new(q->dict_entries, &c->dict, &e) == ERR_OK
			 ? sql_open_reader(q, c->dict, &c->r)
			 : sql_failed(q, &e);
	if (rc != SQLITE_OK) {
		flow_dict_free(c->dict);
		sqlite3_free(c);
		return rc;
	}
	*ret = &c->base;
	return SQLITE_OK;
}

static int close_cursor(sqlite3_vtab_cursor *v)
{
	struct cursor *c = (struct cursor *)v;
	size_t damaged = gaps_count(&c->r->found);

	c->q->damaged = damaged > c->q->damaged ? damaged : c->q->damaged;
	store_scan_free(c->scan);
	flow_filter_free(c->filter);
	store_reader_free(c->r);
	flow_dict_free(c->dict);
	buf_done(&c->text);
	sqlite3_free(c);
	return SQLITE_OK;
}

/* To the next record, portion by portion. */
static int advance(struct cursor *c)
{
	struct err e;

	while (c->at == c->count && c->more) {
		if (atomic_load_explicit(&c->q->is_cancelled, memory_order_relaxed))
			return SQLITE_INTERRUPT;
		c->at = c->count = 0;
		if (store_scan_next(c->scan, PORTION, &c->flows, &c->count, &c->more, &e) != ERR_OK)
			return sql_failed(c->q, &e);
	}
	return SQLITE_OK;
}

static int filter(sqlite3_vtab_cursor *v, int number, const char *what, int argc,
		  sqlite3_value **argv)
{
	struct cursor *c = (struct cursor *)v;
	struct pushed p;
	Flow__FlowFilter *list = &p.ff;
	struct err e;

	store_scan_free(TAKE(c->scan));
	flow_filter_free(TAKE(c->filter));
	c->at = c->count = 0;
	flows_push(&p, what, argc, argv);
	c->more = !p.nothing && p.config.kinds;
	/* a filter that cannot be made is not needed: SQLite compares */
	if (p.any && flow_filter_new(&list, 1, NULL, 0, c->dict, &c->filter, NULL) != ERR_OK)
		c->filter = NULL;
	flows_pushed_done(&p);
	p.config.filter = c->filter;
	p.config.backward = number & FLOWS_BACKWARD;
	p.config.forgets_names = true;
	p.config.takes_nameless = true;
	if (c->more && store_scan_new(c->r, &p.config, &c->scan, &e) != ERR_OK)
		return sql_failed(c->q, &e);
	return advance(c);
}

static int next(sqlite3_vtab_cursor *v)
{
	struct cursor *c = (struct cursor *)v;

	c->at++;
	return advance(c);
}

static int at_end(sqlite3_vtab_cursor *v)
{
	const struct cursor *c = (const struct cursor *)v;

	return c->at == c->count;
}

static int row_id(sqlite3_vtab_cursor *v, sqlite3_int64 *ret)
{
	const struct cursor *c = (const struct cursor *)v;

	*ret = (sqlite3_int64)c->flows[c->at].seq;
	return SQLITE_OK;
}

static int column(sqlite3_vtab_cursor *v, sqlite3_context *x, int i)
{
	struct cursor *c = (struct cursor *)v;

	flows_cell(x, &c->flows[c->at], c->dict, &c->text, i);
	return SQLITE_OK;
}

int sql_flows_register(struct store_sql *q)
{
	static const sqlite3_module module = {
		.xConnect = sql_connect,
		.xBestIndex = flows_best_index,
		.xDisconnect = sql_disconnect,
		.xOpen = open_cursor,
		.xClose = close_cursor,
		.xFilter = filter,
		.xNext = next,
		.xEof = at_end,
		.xColumn = column,
		.xRowid = row_id,
	};

	return sql_register(q, &sql_flows_table, &module);
}
