#include "observer/ship/tables.h"

#include <stdio.h>

#include "clickhouse/quote.h"
#include "clickhouse/rowbinary.h"

enum { STATEMENT_BYTES = 32 << 10, ANSWER_BYTES = 4096, NODE_BYTES = 512 };

#define INSERT_BLOCK_ROWS "1048576" /* more than any of ours has: one INSERT is one block */

struct ship_tables {
	struct clickhouse *client;
	const char *node;
	char query_id[NODE_BYTES + 16];
	bool has_token, has_async; /* settings that the server knows */
};

enum err_code ship_tables_new(struct clickhouse *client, const char *node, struct ship_tables **ret,
			      struct err *e)
{
	struct ship_tables *t = malloc(sizeof *t);

	if (!t)
		return err_set(e, ERR_NOMEM, "ClickHouse");
	*t = (struct ship_tables){ .client = client, .node = node };
	(void)snprintf(t->query_id, sizeof t->query_id, "tycho-ship/%s", node);
	*ret = t;
	return ERR_OK;
}

void ship_tables_free(struct ship_tables *t)
{
	free(t);
}

static enum err_code ask(struct ship_tables *t, const struct buf *sql, struct buf *ret,
			 struct err *e)
{
	if (sql->failed)
		return err_set(e, ERR_NOMEM, "ClickHouse");
	const struct clickhouse_statement s = { .sql = buf_str(sql), .query_id = t->query_id };
	return clickhouse_ask(t->client, s, ret, e);
}

static enum err_code bad_answer(const struct ship_tables *t, struct err *e)
{
	return err_set(e, ERR_PARSE, "%s does not answer as ClickHouse does",
		       clickhouse_server(t->client));
}

/* --- what the server can do ---------------------------------------------------------------- */

enum err_code ship_tables_open(struct ship_tables *t, struct err *e)
{
	AUTO_BUF struct buf sql = buf_init(STATEMENT_BYTES), answer = buf_init(ANSWER_BYTES);
	enum err_code code = clickhouse_schema_open(t->client, e);

	if (code != ERR_OK)
		return code;
	buf_lit(&sql, "SELECT name FROM system.settings WHERE name IN "
		      "('async_insert', 'insert_deduplication_token') FORMAT RowBinary");
	code = ask(t, &sql, &answer, e);
	if (code != ERR_OK)
		return code;
	t->has_token = t->has_async = false;
	struct rowbinary_reader r = rowbinary_reader_of(buf_str(&answer), ANSWER_BYTES, 0);
	while (rowbinary_is_well(&r) && !rowbinary_is_at_end(&r)) {
		const struct str name = rowbinary_text(&r);
		t->has_token |= str_is(name, "insert_deduplication_token");
		t->has_async |= str_is(name, "async_insert");
	}
	return rowbinary_is_well(&r) ? ERR_OK : bad_answer(t, e);
}

/* --- what is there ------------------------------------------------------------------------- */

/* The numbers of an answer of one row. */
static enum err_code ask_numbers(struct ship_tables *t, const struct buf *sql, uint64_t *ret,
				 size_t count, struct err *e)
{
	AUTO_BUF struct buf answer = buf_init(ANSWER_BYTES);
	uint64_t numbers[4];
	enum err_code code = ask(t, sql, &answer, e);

	if (code != ERR_OK)
		return code;
	struct rowbinary_reader r = rowbinary_reader_of(buf_str(&answer), 0, 0);
	for (size_t i = 0; i < count; i++)
		numbers[i] = rowbinary_u64(&r);
	if (!rowbinary_is_at_end(&r))
		return bad_answer(t, e);
	memcpy(ret, numbers, count * sizeof *ret);
	return ERR_OK;
}

/* ifNull: there are servers whose aggregates of nothing are NULL. */
enum err_code ship_tables_ask(struct ship_tables *t, struct ship_position *ret, struct err *e)
{
	AUTO_BUF struct buf sql = buf_init(STATEMENT_BYTES);
	uint64_t flows[2], gaps[2];

	buf_lit(&sql, "SELECT toUInt64(ifNull(max(seq), 0)), "
		      "toUInt64(ifNull(argMax(time_ns, seq), 0)) FROM " CLICKHOUSE_FLOWS
		      " WHERE node = ");
	clickhouse_quote_put(&sql, str_of(t->node));
	buf_lit(&sql, " FORMAT RowBinary");
	enum err_code code = ask_numbers(t, &sql, flows, ARRAY_LEN(flows), e);
	if (code != ERR_OK)
		return code;
	buf_reset(&sql);
	buf_printf(&sql,
		   "SELECT toUInt64(ifNull(maxIf(entry, entry < %llu), 0)), "
		   "toUInt64(ifNull(maxIf(last_seq, entry >= %llu), 0)) FROM " CLICKHOUSE_GAPS
		   " WHERE node = ",
		   (unsigned long long)CLICKHOUSE_ENTRY_PRUNED,
		   (unsigned long long)CLICKHOUSE_ENTRY_PRUNED);
	clickhouse_quote_put(&sql, str_of(t->node));
	buf_lit(&sql, " FORMAT RowBinary");
	code = ask_numbers(t, &sql, gaps, ARRAY_LEN(gaps), e);
	if (code != ERR_OK)
		return code;
	*ret = (struct ship_position){ .seq = flows[0] > gaps[1] ? flows[0] : gaps[1],
				       .time_ns = flows[1],
				       .entry = gaps[0] };
	return ERR_OK;
}

/* --- what is put --------------------------------------------------------------------------- */

enum err_code ship_tables_put(struct ship_tables *t, const struct clickhouse_table *table,
			      struct str rows, uint64_t first, uint64_t last, struct err *e)
{
	AUTO_BUF struct buf sql = buf_init(STATEMENT_BYTES);
	char token[NODE_BYTES + 64];
	struct clickhouse_setting settings[3] = { { "max_insert_block_size", INSERT_BLOCK_ROWS } };
	size_t count = 1;

	(void)snprintf(token, sizeof token, "%s/%s/%llu-%llu", t->node, table->name,
		       (unsigned long long)first, (unsigned long long)last);
	if (t->has_token)
		settings[count++] =
			(struct clickhouse_setting){ "insert_deduplication_token", token };
	if (t->has_async) /* an answer means that it is there */
		settings[count++] = (struct clickhouse_setting){ "async_insert", "0" };
	buf_printf(&sql, "INSERT INTO %s (", table->name);
	clickhouse_columns_put(&sql, table);
	buf_lit(&sql, ") FORMAT RowBinary");
	if (sql.failed)
		return err_set(e, ERR_NOMEM, "ClickHouse");
	const struct clickhouse_statement s = { .sql = buf_str(&sql),
						.rows = rows,
						.query_id = t->query_id,
						.settings = settings,
						.setting_count = count };
	return clickhouse_run(t->client, &s, e);
}
