/*
 * tycho sql - read-only SQL over a store's file, opened directly: no server is asked.
 */
#include <errno.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/state.h"
#include "cli/command.h"
#include "cli/report.h"
#include "flow/json.h"
#include "flow/text_table.h"
#include "store/sql.h"

enum {
	TABLE_MAX_BYTES = 256 << 20,
	PIECE_BYTES = 64 << 10, /* written at once */
	ROW_MAX_BYTES = 128 << 20,
	PATH_BYTES = 4096,
};
#define EXACT_MAX (INT64_C(1) << 53) /* beyond, a JSON number is not what most readers read */

static const struct flag_def sql_defs[] = {
	{ .name = "store",
	  .type = FLAG_STRING,
	  .placeholder = "DIR",
	  .values = "FILE",
	  .help = "The store's folder (default /var/lib/tycho, or $XDG_STATE_HOME/tycho when not "
		  "root)" },
	{ .name = "output",
	  .short_ = 'o',
	  .type = FLAG_CHOICE,
	  .def = "table",
	  .placeholder = "FORMAT",
	  .values = "table csv json",
	  .help = "Output format: table, csv (RFC 4180), json (an object a line)" },
	{ .name = "limit",
	  .type = FLAG_UINT64,
	  .def = "10000",
	  .placeholder = "ROWS",
	  .help = "Print at most so many rows and say so if there are more; 0: all" },
	{ .name = "schema",
	  .type = FLAG_BOOL,
	  .help = "Print the tables and their columns instead" },
};
static const struct flag_set sql_flags = { "SQL", sql_defs, ARRAY_LEN(sql_defs) };
static const struct flag_set *const sql_sets[] = { &sql_flags };

enum format { FORMAT_TABLE, FORMAT_CSV, FORMAT_JSON }; /* in the order of --output's values */

struct printer {
	enum format format;
	uint64_t limit, rows;
	const char *const *names; /* of the query's life */
	struct buf out;           /* what is still to be written; of a table, all of it */
};

/* --- rows --------------------------------------------------------------------------------- */

static enum err_code flush(struct printer *p, size_t beyond, struct err *e)
{
	if (p->out.failed)
		return err_set(e, ERR_NOMEM, "the answer is too large for %s",
			       p->format == FORMAT_TABLE ? "a table: use -o csv or -o json"
							 : "one row");
	if (p->format == FORMAT_TABLE || p->out.len <= beyond)
		return ERR_OK;
	enum err_code code = cli_write(buf_str(&p->out), e);
	buf_reset(&p->out);
	return code;
}

static void put_csv(struct buf *b, struct str s)
{
	bool quoted = false;

	for (size_t i = 0; i < s.len; i++)
		quoted |= s.p[i] == '"' || s.p[i] == ',' || s.p[i] == '\n' || s.p[i] == '\r';
	if (!quoted) {
		buf_str_put(b, s);
		return;
	}
	buf_char(b, '"');
	for (size_t i = 0; i < s.len; i++) {
		if (s.p[i] == '"')
			buf_char(b, '"');
		buf_char(b, s.p[i]);
	}
	buf_char(b, '"');
}

/* A tab or line feed would be another cell or row; nothing steers the terminal. */
static void put_table_cell(struct buf *b, struct str s)
{
	for (size_t i = 0; i < s.len; i++) {
		unsigned char c = (unsigned char)s.p[i];

		buf_char(b, c < 0x20 || c == 0x7f ? ' ' : (char)c);
	}
	if (!s.len)
		buf_char(b, '-');
}

/* With no more digits than it takes to be read as the same number. */
static void put_real(struct buf *b, double v)
{
	char text[40];

	for (int digits = 15; digits <= 17; digits++) {
		(void)snprintf(text, sizeof text, "%.*g", digits, v);
		if (strtod(text, NULL) == v)
			break;
	}
	buf_str_put(b, str_of(text));
}

static void put_json_cell(struct buf *b, const struct store_sql_cell *c)
{
	switch (c->type) {
	case STORE_SQL_NULL:
		buf_lit(b, "null");
		break;
	case STORE_SQL_INTEGER:
		if (c->integer <= EXACT_MAX && c->integer >= -EXACT_MAX)
			buf_i64(b, c->integer);
		else
			buf_printf(b, "\"%lld\"", (long long)c->integer);
		break;
	case STORE_SQL_REAL:
		if (isfinite(c->real))
			put_real(b, c->real);
		else
			json_put_string(b, c->text);
		break;
	case STORE_SQL_TEXT:
		json_put_string(b, c->text);
		break;
	}
}

static enum err_code on_head(void *ctx, const char *const *names, size_t count, struct err *e)
{
	struct printer *p = ctx;

	p->names = names;
	for (size_t i = 0; i < count && p->format != FORMAT_JSON; i++) {
		if (i)
			buf_char(&p->out, p->format == FORMAT_CSV ? ',' : '\t');
		if (p->format == FORMAT_CSV)
			put_csv(&p->out, str_of(names[i]));
		else
			put_table_cell(&p->out, str_of(names[i]));
	}
	if (p->format != FORMAT_JSON)
		buf_str_put(&p->out, p->format == FORMAT_CSV ? STR("\r\n") : STR("\n"));
	return flush(p, PIECE_BYTES, e);
}

static enum err_code on_row(void *ctx, const struct store_sql_cell *cells, size_t count,
			    struct err *e)
{
	struct printer *p = ctx;
	struct buf *b = &p->out;

	if (p->limit && p->rows == p->limit)
		return err_set(e, ERR_AGAIN, "limit");
	p->rows++;
	if (p->format == FORMAT_JSON)
		buf_char(b, '{');
	for (size_t i = 0; i < count; i++) {
		if (i)
			buf_char(b, p->format == FORMAT_TABLE ? '\t' : ',');
		if (p->format == FORMAT_CSV) {
			put_csv(b, cells[i].text);
		} else if (p->format == FORMAT_TABLE) {
			put_table_cell(b, cells[i].text);
		} else {
			json_put_string(b, str_of(p->names[i]));
			buf_char(b, ':');
			put_json_cell(b, &cells[i]);
		}
	}
	buf_str_put(b, p->format == FORMAT_JSON  ? STR("}\n")
		       : p->format == FORMAT_CSV ? STR("\r\n")
						 : STR("\n"));
	return flush(p, PIECE_BYTES, e);
}

/* What is there is shown, however the query ended. */
static enum err_code print_rest(struct printer *p, struct err *e)
{
	if (p->format != FORMAT_TABLE)
		return flush(p, 0, e);
	AUTO_BUF struct buf table = buf_init((size_t)2 * TABLE_MAX_BYTES);
	if (p->out.failed || !text_table_put(&table, buf_str(&p->out)))
		return err_set(e, ERR_NOMEM,
			       "the answer is too large for a table: use -o csv or -o json");
	return cli_write(buf_str(&table), e);
}

/* --- the command -------------------------------------------------------------------------- */

static struct store_sql *running; /* for the signal handler, which has no other way to know */

static void on_signal(int number)
{
	(void)number;
	store_sql_cancel(running);
}

static enum err_code print_schema(struct err *e)
{
	AUTO_BUF struct buf b = buf_init(1 << 16);

	store_sql_schema(&b);
	return cli_write(buf_str(&b), e);
}

static enum err_code run_query(struct store_sql *q, const char *statement, struct printer *p,
			       struct err *e)
{
	const struct store_sql_sink sink = { on_head, on_row, p };
	const struct sigaction on_interrupt = { .sa_handler = on_signal };
	struct err last = { .code = ERR_OK };

	running = q;
	(void)sigaction(SIGINT, &on_interrupt, NULL);
	enum err_code code = store_sql_run(q, str_of(statement), &sink, e);
	bool is_cut = code == ERR_AGAIN;
	if (store_sql_damaged(q))
		(void)fprintf(stderr,
			      "The store is damaged: %zu part%s of it could not be read. Flows, or "
			      "their names, are missing here.\n",
			      store_sql_damaged(q), store_sql_damaged(q) == 1 ? "" : "s");
	if (code == ERR_CLOSED)
		return code;
	/* before the sentence about a query that is wrong there is nothing to be shown */
	if (p->out.len && (code == ERR_OK || p->rows) && print_rest(p, &last) != ERR_OK &&
	    (code == ERR_OK || is_cut)) {
		*e = last;
		return last.code;
	}
	if (!is_cut)
		return code;
	(void)fprintf(stderr, "There are more rows: --limit %llu is reached.\n",
		      (unsigned long long)p->limit);
	return ERR_OK;
}

static enum err_code run_sql(struct cli *cli, struct err *e)
{
	const char *dir = flags_text(cli->flags, "store"), *limit = flags_text(cli->flags, "limit");
	struct printer p = { .format = (enum format)flags_choice(cli->flags, "output") };
	AUTO(store_sql_free) struct store_sql *q = NULL;
	char usual[PATH_BYTES];

	if (flags_bool(cli->flags, "schema"))
		return print_schema(e);
	if (flags_word_count(cli->flags) != 1)
		return err_set(e, ERR_INVALID,
			       "tycho sql takes one statement in quotes, such as \"select verdict, "
			       "count(*) from flows group by 1\"");
	(void)parse_u64(str_of(limit), UINT64_MAX, &p.limit);
	state_folder(usual, sizeof usual);
	if (store_sql_new(*dir ? dir : usual, wall_now(), &q, e) != ERR_OK)
		return e->code;
	p.out = buf_init(p.format == FORMAT_TABLE ? TABLE_MAX_BYTES : ROW_MAX_BYTES);
	enum err_code code = run_query(q, flags_word(cli->flags, 0), &p, e);
	buf_done(&p.out);
	return code;
}

const struct command sql_command = {
	.name = "sql",
	.words = "STATEMENT",
	.help = "Ask an observer's store in SQL",
	.details =
		"Runs one SELECT over the store of an observer on this machine, while it runs or "
		"not. No server is asked; who may read the file may ask. The tables are flows, "
		"gaps, endpoints, edges and policies: --schema prints their columns, and "
		"docs/sql.md explains them.\n\n"
		"Conditions on time, seq, verdict, addresses, ports, namespaces, pods and nodes "
		"narrow what is read; all others are checked row by row. ago('1h') is the time "
		"an hour before now. Nothing can be written.",
	.examples =
		"  tycho sql \"select time, source_pod, destination_pod, destination_port from "
		"flows\n"
		"    where verdict = 'DROPPED' and time > ago('1h') order by seq desc limit 20\"\n"
		"  tycho sql -o csv \"select source, destination, sum(bytes) from edges group by "
		"1, 2\"\n"
		"  tycho sql \"select * from gaps\"",
	.sets = sql_sets,
	.set_count = ARRAY_LEN(sql_sets),
	.run = run_sql,
};
