/* gaps, endpoints, edges, policies: tables of the file, shown as they are meant to be read. */
#include <stdio.h>

#include "flow/flow.pb-c.h"
#include "flow/names.h"
#include "store/minutes.h"
#include "store/reader.h"
#include "store/sql_inside.h"

/* How a column of the inner statement is shown. */
enum show { SHOW_AS_IS, SHOW_TIME, SHOW_MINUTE, SHOW_CAUSE, SHOW_VERDICT, SHOW_L4, SHOW_DROP };

static const struct sql_column gap_columns[] = {
	{ "from_time", "TEXT", "begin" },
	{ "to_time", "TEXT", "end; the same as from_time for an instant" },
	{ "cause", "TEXT", "observer-down, observer-crashed, kernel-lost, …: docs/store.md" },
	{ "lost", "INTEGER", "records, NULL if nobody knows" },
	{ "first_seq", "INTEGER", "first number that is missing, NULL if nobody knows" },
	{ "last_seq", "INTEGER", "last number that is missing" },
	{ "node", "TEXT", "whose it is, NULL: this store's node" },
	{ "detail", "TEXT", "what the system said" },
};
static const struct sql_column endpoint_columns[] = {
	{ "identity", "INTEGER", "security identity" },
	{ "cluster", "TEXT", "name of the cluster" },
	{ "namespace", "TEXT", "Kubernetes namespace" },
	{ "pod", "TEXT", "name of the pod" },
	{ "workload", "TEXT", "name of its first workload" },
	{ "workload_kind", "TEXT", "Deployment, DaemonSet, …" },
	{ "labels", "TEXT", "labels as a JSON array" },
};
static const struct sql_column edge_columns[] = {
	{ "time", "TEXT", "begin of the minute" },
	{ "node", "TEXT", "node that saw it" },
	{ "source_cluster", "TEXT", "cluster of the source" },
	{ "source_namespace", "TEXT", "namespace of the source" },
	{ "source", "TEXT", "its workload, else pod, else reserved name" },
	{ "source_kind", "TEXT", "Deployment, DaemonSet, … of a workload" },
	{ "destination_cluster", "TEXT", "cluster of the destination" },
	{ "destination_namespace", "TEXT", "namespace of the destination" },
	{ "destination", "TEXT", "its workload, else pod, else reserved name" },
	{ "destination_kind", "TEXT", "Deployment, DaemonSet, … of a workload" },
	{ "destination_name", "TEXT", "DNS name of a destination outside" },
	{ "destination_port", "INTEGER", "port of the service's side" },
	{ "protocol", "TEXT", "TCP, UDP, …" },
	{ "verdict", "TEXT", "FORWARDED, DROPPED, …" },
	{ "drop_reason_desc", "TEXT", "POLICY_DENIED, … of drops" },
	{ "policy", "TEXT", "the policy that decided" },
	{ "flows", "INTEGER", "flows counted" },
	{ "packets", "INTEGER", "packets in them" },
	{ "bytes", "INTEGER", "bytes in them" },
	{ "l7_ok", "INTEGER", "L7 answers that succeeded" },
	{ "l7_errors", "INTEGER", "L7 answers that did not" },
};
static const struct sql_column policy_columns[] = {
	{ "kind", "TEXT", "NetworkPolicy, CiliumNetworkPolicy, …" },
	{ "namespace", "TEXT", "its namespace, NULL: of the cluster" },
	{ "name", "TEXT", "its name" },
	{ "uid", "TEXT", "Kubernetes' name for this object" },
	{ "resource_version", "TEXT", "its version" },
	{ "from_time", "TEXT", "in force from here on, as far as known" },
	{ "to_time", "TEXT", "until then; NULL: still" },
	{ "json", "TEXT", "the object; NULL: it was deleted" },
	{ "origin", "TEXT", "who gave it: files, kubernetes, cilium-agent; NULL: not known" },
};

const struct sql_table sql_other_tables[] = {
	{ "gaps", "What is missing in the record, and why.", gap_columns, ARRAY_LEN(gap_columns) },
	{ "endpoints", "Whose names are known: sources and destinations of flows.",
	  endpoint_columns, ARRAY_LEN(endpoint_columns) },
	{ "edges", "The service map by the minute, once it has ended; kept longer than flows.",
	  edge_columns, ARRAY_LEN(edge_columns) },
	{ "policies", "Policies and when they were in force.", policy_columns,
	  ARRAY_LEN(policy_columns) },
};
const size_t sql_other_tables_count = ARRAY_LEN(sql_other_tables);

/* The same tables in the file: rows from number ?3 of @key on, which is the last column. ?1 and ?2 are
 * the first and last minute asked for, where @by_minute; column 0 then has the minute. */
static const struct inner {
	const char *sql, *order, *table, *key;
	bool by_minute;
	const enum show *shows;
} inners[] = {
	{ "SELECT from_ns, to_ns, cause, nullif(lost, 0), nullif(first_seq, 0), nullif(last_seq, "
	  "0), node, detail, id FROM gap WHERE id >= ?3",
	  "from_ns, id", "gap", "id", false,
	  (const enum show[]){ SHOW_TIME, SHOW_TIME, SHOW_CAUSE, 0, 0, 0, 0, 0 } },
	{ "SELECT identity, cluster, namespace, pod, workload, workload_kind, labels, id"
	  " FROM endpoint WHERE id >= ?3",
	  "id", "endpoint", "id", false, (const enum show[ARRAY_LEN(endpoint_columns)]){ 0 } },
	{ "SELECT minute, node, src_cluster, src_namespace, src, src_kind, dst_cluster,"
	  " dst_namespace, dst, dst_kind, dst_dns, nullif(dst_port, 0), l4, verdict, drop_desc,"
	  " policy, flows, packets, bytes, l7_ok, l7_errors, minute FROM edges"
	  " WHERE minute >= max(?1, ?3) AND minute <= ?2",
	  "minute", "edge", "minute", true,
	  (const enum show[ARRAY_LEN(edge_columns)]){
		  [0] = SHOW_MINUTE, [12] = SHOW_L4, [13] = SHOW_VERDICT, [14] = SHOW_DROP } },
	{ "SELECT kind, namespace, name, uid, resource_version, from_ns, nullif(to_ns, 0), text,"
	  " origin, id FROM policy WHERE id >= ?3",
	  "from_ns, id", "policy", "id", false,
	  (const enum show[]){ 0, 0, 0, 0, 0, SHOW_TIME, SHOW_TIME, 0, 0 } },
};
_Static_assert(ARRAY_LEN(inners) == ARRAY_LEN(sql_other_tables), "one for each");

struct cursor {
	sqlite3_vtab_cursor base;
	struct store_reader *r;
	sqlite3_stmt *st;
	bool at_end;
	int64_t row;
	int64_t low, high; /* minutes asked for */
	bool walks;        /* around damage: in the order of the key */
	int64_t at;        /* the key to go on with */
};

static const struct inner *inner_of(const sqlite3_vtab *v)
{
	return &inners[((const struct sql_vtab *)v)->table - sql_other_tables];
}

static int best_index(sqlite3_vtab *v, sqlite3_index_info *info)
{
	info->estimatedCost = 1e5;
	info->estimatedRows = 100000;
	if (inner_of(v)->by_minute)
		minutes_plan(info, sql_compares_times);
	return SQLITE_OK;
}

static int open_cursor(sqlite3_vtab *v, sqlite3_vtab_cursor **ret)
{
	struct store_sql *q = ((struct sql_vtab *)v)->q;
	struct cursor *c = sqlite3_malloc(sizeof *c);

	if (!c)
		return SQLITE_NOMEM;
	*c = (struct cursor){ .st = NULL };
	int rc = sql_open_reader(q, q->dict, &c->r);
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
	store_reader_free(c->r);
	sqlite3_free(c);
	return SQLITE_OK;
}

static int failed(struct cursor *c, int rc)
{
	struct err e;

	c->at_end = true;
	(void)err_set(&e, (rc & 0xff) == SQLITE_CORRUPT ? ERR_PARSE : ERR_IO, "read the store: %s",
		      sqlite3_errmsg(c->r->db.h));
	return sql_failed(((struct sql_vtab *)c->base.pVtab)->q, &e);
}

/* From c->at on. */
static int begin(struct cursor *c)
{
	const struct inner *inner = inner_of(c->base.pVtab);
	char text[600];

	(void)snprintf(text, sizeof text, "%s ORDER BY %s", inner->sql,
		       c->walks ? inner->key : inner->order);
	(void)sqlite3_finalize(c->st);
	c->st = NULL;
	int rc = sqlite3_prepare_v2(c->r->db.h, text, -1, &c->st, NULL);
	if (rc != SQLITE_OK)
		return rc;
	if (inner->by_minute) {
		(void)sqlite3_bind_int64(c->st, 1, c->low);
		(void)sqlite3_bind_int64(c->st, 2, c->high);
	}
	(void)sqlite3_bind_int64(c->st, 3, c->at);
	return SQLITE_OK;
}

/* The row at c->at, or the next one, cannot be read: it, or what it names, lies on a damaged page. A
 * minute has many rows; those of it that are left go with it. */
static int step_over(struct cursor *c)
{
	const struct inner *inner = inner_of(c->base.pVtab);
	struct store_sql *q = ((struct sql_vtab *)c->base.pVtab)->q;
	struct db *db = &c->r->db;
	struct err e;
	char text[128];
	int64_t next;

	q->unread++;
	(void)snprintf(text, sizeof text, "SELECT %s FROM %s WHERE %s >= ?1 ORDER BY 1 LIMIT 1",
		       inner->key, inner->table, inner->key);
	sqlite3_stmt *st = db_once(db, text);
	(void)sqlite3_bind_int64(st, 1, c->at);
	if (db_next(db, st))
		c->at = sqlite3_column_int64(st, 0);
	(void)sqlite3_finalize(st);
	if (db_next_readable(db, inner->table, inner->key, c->at, &next, &e) != ERR_OK)
		return SQLITE_IOERR;
	c->at_end = next == INT64_MAX;
	c->at = next;
	return c->at_end ? SQLITE_OK : begin(c);
}

static int next(sqlite3_vtab_cursor *v)
{
	struct cursor *c = (struct cursor *)v;
	struct store_sql *q = ((struct sql_vtab *)v->pVtab)->q;
	int rc;

	c->row++;
	while ((rc = sqlite3_step(c->st)) != SQLITE_ROW && rc != SQLITE_DONE) {
		if ((rc & 0xff) != SQLITE_CORRUPT)
			return failed(c, rc);
		if (atomic_load_explicit(&q->is_cancelled, memory_order_relaxed))
			return SQLITE_INTERRUPT;
		/* what is sorted first meets damage before there is a row: then not in that order */
		bool is_first = !c->walks && c->row == 1;
		c->walks = true;
		rc = is_first ? begin(c) : step_over(c);
		if (rc != SQLITE_OK)
			return failed(c, rc);
		if (c->at_end)
			return SQLITE_OK;
	}
	c->at_end = rc != SQLITE_ROW;
	if (rc == SQLITE_ROW) {
		const struct inner *inner = inner_of(v->pVtab);
		int64_t key = sqlite3_column_int64(c->st, sqlite3_column_count(c->st) - 1);
		c->at = inner->by_minute ? key : key + 1;
	}
	return SQLITE_OK;
}

static int64_t minute_of(sqlite3_value *v, bool last, int64_t otherwise)
{
	struct wall_ns first_ns, last_ns;

	if (sqlite3_value_type(v) != SQLITE_TEXT)
		return otherwise;
	struct str text = str_n(sqlite3_value_text(v), (size_t)sqlite3_value_bytes(v));
	if (!sql_time_span(text, &first_ns, &last_ns))
		return otherwise;
	return (int64_t)((last ? last_ns.v : first_ns.v) / (60 * NS_PER_S));
}

static int filter(sqlite3_vtab_cursor *v, int number, const char *text, int argc,
		  sqlite3_value **argv)
{
	struct cursor *c = (struct cursor *)v;

	(void)text;
	c->low = 0;
	c->high = INT64_MAX;
	for (int i = 0; i < argc; i++) {
		if (minutes_is_end(number, i))
			c->high = minute_of(argv[i], true, c->high);
		else
			c->low = minute_of(argv[i], false, c->low);
	}
	c->row = 0;
	c->at = c->low; /* of minutes; other keys begin with 1 */
	c->walks = false;
	int rc = begin(c);
	return rc == SQLITE_OK ? next(v) : failed(c, rc);
}

static int at_end(sqlite3_vtab_cursor *v)
{
	return ((struct cursor *)v)->at_end;
}

static int column(sqlite3_vtab_cursor *v, sqlite3_context *ctx, int i)
{
	const struct cursor *c = (const struct cursor *)v;
	const enum show *shows = inner_of(v->pVtab)->shows;
	int64_t number = sqlite3_column_int64(c->st, i);
	const char *name;

	if (sqlite3_column_type(c->st, i) == SQLITE_NULL) {
		sqlite3_result_null(ctx);
		return SQLITE_OK;
	}
	switch (shows[i]) {
	case SHOW_TIME:
		sql_result_time(ctx, (struct wall_ns){ (uint64_t)number });
		break;
	case SHOW_MINUTE:
		sql_result_time(ctx, (struct wall_ns){ (uint64_t)number * 60 * NS_PER_S });
		break;
	case SHOW_CAUSE:
		name = number >= 0 && number < STORE_GAP_CAUSES_
			       ? store_gap_cause_name((enum store_gap_cause)number)
			       : "unknown";
		sql_result_text(ctx, str_of(name));
		break;
	case SHOW_VERDICT:
		sql_result_text(ctx,
				str_of(enum_name(&flow__verdict__descriptor, (int32_t)number)));
		break;
	case SHOW_DROP:
		name = enum_name(&flow__drop_reason__descriptor, (int32_t)number);
		sql_result_text(ctx, number ? str_of(name) : STR(""));
		break;
	case SHOW_L4:
		sql_result_text(ctx, str_of(l4_name((uint64_t)number)));
		break;
	default:
		if (sqlite3_column_type(c->st, i) == SQLITE_TEXT)
			sql_result_text(ctx, column_text(c->st, i));
		else
			sqlite3_result_value(ctx, sqlite3_column_value(c->st, i));
	}
	return SQLITE_OK;
}

static int row_id(sqlite3_vtab_cursor *v, sqlite3_int64 *ret)
{
	*ret = ((struct cursor *)v)->row;
	return SQLITE_OK;
}

int sql_others_register(struct store_sql *q)
{
	static const sqlite3_module module = {
		.xConnect = sql_connect,
		.xBestIndex = best_index,
		.xDisconnect = sql_disconnect,
		.xOpen = open_cursor,
		.xClose = close_cursor,
		.xFilter = filter,
		.xNext = next,
		.xEof = at_end,
		.xColumn = column,
		.xRowid = row_id,
	};

	for (size_t i = 0; i < ARRAY_LEN(sql_other_tables); i++) {
		int rc = sql_register(q, &sql_other_tables[i], &module);

		if (rc != SQLITE_OK)
			return rc;
	}
	return SQLITE_OK;
}
