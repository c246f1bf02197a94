#include "relay/archive/scan.h"

#include "base/buf.h"
#include "clickhouse/quote.h"
#include "clickhouse/schema.h"
#include "filter/filter.h"
#include "flow/dict.h"
#include "flow/wire.h"
#include "relay/archive/inside.h"
#include "relay/archive/plan.h"
#include "relay/archive/query.h"

/* Rows of one statement. */
enum { PAGE_ROWS = PLAN_ROWS_MAX };

struct scan {
	const struct scan_config *config;
	struct query *query;
	struct plan plan;
	struct buf sql;
	struct scan_place last, row;
	bool has_last;
	uint64_t page_rows; /* of the statement that runs */
	bool has_enough;
	struct err fault; /* code ERR_OK: none */
};

int scan_place_cmp(const struct scan_place *a, const struct scan_place *b)
{
	if (a->time.v != b->time.v)
		return a->time.v < b->time.v ? -1 : 1;
	int order = str_cmp(str_n(a->node, a->node_len), str_n(b->node, b->node_len));
	return order ? order : (a->seq > b->seq) - (a->seq < b->seq);
}

/* ---- statements */

/* What is common to counting and reading. */
static void put_conditions(struct scan *s, struct wall_ns from, struct wall_ns until)
{
	const struct scan_config *c = s->config;

	buf_printf(&s->sql, " FROM " CLICKHOUSE_FLOWS " WHERE time_ns >= %llu AND time_ns <= %llu",
		   (unsigned long long)from.v, (unsigned long long)until.v);
	if (c->flows_only)
		buf_lit(&s->sql, " AND kind = '" CLICKHOUSE_KIND_FLOW "' AND (");
	else
		buf_lit(&s->sql, " AND (kind = '" CLICKHOUSE_KIND_LOST "' OR ");
	buf_str_put(&s->sql, c->where);
	buf_char(&s->sql, ')');
}

static enum err_code ask(struct scan *s, bool (*each)(void *ctx, struct rowbinary_reader *r),
			 struct err *e)
{
	buf_lit(&s->sql, " FORMAT RowBinary");
	if (s->sql.failed)
		return err_set(e, ERR_NOMEM, "a question of more than %d bytes to ClickHouse",
			       ARCHIVE_SQL_MAX);
	return query_ask(s->query, buf_str(&s->sql), each, s, e);
}

static bool take_count(void *ctx, struct rowbinary_reader *r)
{
	struct scan *s = ctx;
	uint64_t step = rowbinary_u64(r), rows = rowbinary_u64(r);

	if (rowbinary_is_well(r))
		plan_count(&s->plan, step, rows);
	return true;
}

static enum err_code count(struct scan *s, const struct plan_task *task, struct err *e)
{
	buf_reset(&s->sql);
	/* a difference is signed there: made what it was again */
	buf_printf(&s->sql,
		   "SELECT intDiv(toUInt64(time_ns - %llu), toUInt64(%llu)) AS step, "
		   "toUInt64(count())",
		   (unsigned long long)task->from.v, (unsigned long long)task->step_ns);
	put_conditions(s, task->from, task->until);
	buf_lit(&s->sql, " GROUP BY step");
	return ask(s, take_count, e);
}

/* ---- rows */

static enum err_code decode(struct scan *s, struct str response, struct flow *ret, struct err *e)
{
	struct flow_response parts;
	enum err_code code = flow_response_split(response, &parts, e);

	if (code != ERR_OK || !parts.has_message || parts.kind != FLOW_KIND_FLOW)
		return err_set(e, ERR_INTERNAL,
			       "row %llu of node '%.*s' in " CLICKHOUSE_FLOWS
			       " is no flow, though it says so",
			       (unsigned long long)s->row.seq, (int)s->row.node_len, s->row.node);
	if (!s->config->keeps_names && flow_dict_is_half_full(s->config->dict))
		flow_dict_reset(s->config->dict);
	return flow_decode(parts.message, s->config->dict, ret, e);
}

/* A row that is new. @return false: no more. */
static bool take_row(struct scan *s, bool is_flow, struct str response)
{
	const struct scan_config *c = s->config;
	struct scan_row row = { &s->row, is_flow, response, NULL };
	struct flow flow;

	if (is_flow && (c->filter || c->decodes)) {
		if (decode(s, response, &flow, &s->fault) != ERR_OK)
			return false;
		if (c->filter && !flow_filter_match(c->filter, &flow))
			return true;
		row.flow = &flow;
	}
	s->has_enough = !c->take(c->ctx, &row, &s->fault);
	return !s->has_enough;
}

static bool has_response(const struct scan_config *c)
{
	return !c->keys_only || c->filter || c->decodes;
}

static bool on_row(void *ctx, struct rowbinary_reader *r)
{
	struct scan *s = ctx;
	uint64_t time_ns = rowbinary_u64(r);
	struct str node = rowbinary_text(r);
	uint64_t seq = rowbinary_u64(r);
	bool is_flow = rowbinary_u8(r);
	struct str response = has_response(s->config) ? rowbinary_text(r) : STR("");

	if (!rowbinary_is_well(r))
		return true; /* more of it will come */
	s->page_rows++;
	if (node.len > SCAN_NODE_MAX) {
		(void)err_set(&s->fault, ERR_INTERNAL,
			      "a node's name in " CLICKHOUSE_FLOWS " has %zu bytes", node.len);
		return false;
	}
	s->row.time.v = time_ns;
	s->row.node_len = node.len;
	if (node.len)
		memcpy(s->row.node, node.p, node.len);
	s->row.seq = seq;
	if (s->has_last && scan_place_cmp(&s->row, &s->last) == 0)
		return true; /* twice */
	bool goes_on = take_row(s, is_flow, response);
	s->last = s->row;
	s->has_last = true;
	return goes_on;
}

/* Rows behind the last one that was seen, of a slice it may be in. */
static void put_behind(struct scan *s)
{
	const char op = s->config->backward ? '<' : '>';
	const unsigned long long time = s->last.time.v, seq = s->last.seq;

	buf_printf(&s->sql, " AND (time_ns %c %llu OR time_ns = %llu AND (node %c ", op, time, time,
		   op);
	clickhouse_quote_put(&s->sql, str_n(s->last.node, s->last.node_len));
	buf_lit(&s->sql, " OR node = ");
	clickhouse_quote_put(&s->sql, str_n(s->last.node, s->last.node_len));
	buf_printf(&s->sql, " AND seq %c %llu))", op, seq);
}

/* One page of a slice. */
static enum err_code read_page(struct scan *s, struct wall_ns from, struct wall_ns until,
			       bool is_first, struct err *e)
{
	const char *order = s->config->backward ? " DESC" : "";

	buf_reset(&s->sql);
	buf_printf(&s->sql, "SELECT time_ns, node, seq, kind = '" CLICKHOUSE_KIND_FLOW "'%s",
		   has_response(s->config) ? ", response" : "");
	put_conditions(s, from, until);
	if (!is_first)
		put_behind(s);
	buf_printf(&s->sql, " ORDER BY time_ns%s, node%s, seq%s LIMIT %d", order, order, order,
		   PAGE_ROWS);
	s->page_rows = 0;
	enum err_code code = ask(s, on_row, e);
	if (s->fault.code == ERR_OK)
		return code;
	if (e)
		*e = s->fault;
	return s->fault.code;
}

/* With less than the @counted rows an answer is no whole one, though it may look so: old servers end
 * a statement that somebody kills as if it were done. */
static enum err_code read_slice(struct scan *s, struct wall_ns from, struct wall_ns until,
				uint64_t counted, struct err *e)
{
	enum err_code code;
	bool is_first = true;
	uint64_t rows = 0;

	do {
		struct wall_ns low = is_first || s->config->backward ? from : s->last.time,
			       high = is_first || !s->config->backward ? until : s->last.time;
		code = read_page(s, low, high, is_first, e);
		is_first = false;
		rows += s->page_rows;
	} while (code == ERR_OK && !s->has_enough && s->page_rows == PAGE_ROWS);
	if (code == ERR_OK && !s->has_enough && rows < counted)
		return err_set(
			e, ERR_UNAVAILABLE,
			"ClickHouse gave %llu rows of %llu that it had counted: it was told to "
			"stop, or rows were deleted meanwhile; ask again",
			(unsigned long long)rows, (unsigned long long)counted);
	return code;
}

static enum err_code read_planned(struct scan *s, struct err *e)
{
	enum err_code code = ERR_OK;

	while (code == ERR_OK && !s->has_enough) {
		const struct plan_task task = plan_next(&s->plan);
		if (task.kind == PLAN_END)
			break;
		code = task.kind == PLAN_COUNT ? count(s, &task, e)
					       : read_slice(s, task.from, task.until, task.rows, e);
	}
	return code;
}

static enum err_code read_all(struct scan *s, struct err *e)
{
	const struct scan_config *c = s->config;
	const struct wall_ns timeless = { 0 };
	struct wall_ns from = { c->from.v ? c->from.v : 1 };
	enum err_code code = ERR_OK;

	if (c->has_timeless && !c->backward)
		code = read_slice(s, timeless, timeless, 0, e);
	/* forward, the plan begins where there is something: the windows grow from there */
	if (code == ERR_OK && !c->backward)
		code = scan_oldest(s->query, from, c->until, &from, e);
	if (code == ERR_OK && from.v && !s->has_enough) {
		plan_init(&s->plan, from, c->until, c->backward, wall_now());
		code = read_planned(s, e);
	}
	if (code == ERR_OK && c->has_timeless && c->backward && !s->has_enough)
		code = read_slice(s, timeless, timeless, 0, e);
	return code;
}

enum err_code scan_run(struct query *q, const struct scan_config *config, struct err *e)
{
	AUTO(own_free) struct scan *s = calloc(1, sizeof *s);

	if (!s)
		return err_set(e, ERR_NOMEM, "reading rows");
	s->config = config;
	s->query = q;
	s->sql = buf_init(ARCHIVE_SQL_MAX);
	enum err_code code = read_all(s, e);
	buf_done(&s->sql);
	return code;
}

/* ---- where it begins */

static bool take_time(void *ctx, struct rowbinary_reader *r)
{
	struct wall_ns *oldest = ctx;
	uint64_t time_ns = rowbinary_u64(r);

	if (rowbinary_is_well(r))
		oldest->v = time_ns;
	return true;
}

enum err_code scan_oldest(struct query *q, struct wall_ns from, struct wall_ns until,
			  struct wall_ns *ret, struct err *e)
{
	char text[256];
	struct buf sql = buf_fixed(text, sizeof text);
	struct wall_ns oldest = { 0 };

	buf_printf(&sql,
		   "SELECT min(time_ns) FROM " CLICKHOUSE_FLOWS
		   " WHERE time_ns >= %llu AND time_ns <= %llu FORMAT RowBinary",
		   (unsigned long long)from.v, (unsigned long long)until.v);
	enum err_code code = query_ask(q, buf_str(&sql), take_time, &oldest, e);
	if (code == ERR_OK)
		*ret = oldest;
	return code;
}
