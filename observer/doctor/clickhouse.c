/*
 * Of ClickHouse: that it answers us, that its tables fit and may be written, its clock.
 */
#include "observer/doctor/inside.h"

#include "base/time.h"
#include "clickhouse/options.h"
#include "clickhouse/schema.h"

enum { STATEMENT_BYTES = 16 << 10 };
#define SKEW_WARN_NS (2 * NS_PER_S) /* the server's clock is told in whole seconds */

static const char *clickhouse_fix(enum err_code code)
{
	switch (code) {
	case ERR_PERMISSION:
		return "give --clickhouse-user and --clickhouse-password-file of a user who may "
		       "SELECT and INSERT there, and for https --clickhouse-ca-file";
	case ERR_UNAVAILABLE:
	case ERR_TIMEOUT:
		return "see whether the server runs, and whether this machine may reach it";
	case ERR_PARSE:
		return "give the URL of ClickHouse's HTTP port: 8123, or 8443 for https";
	case ERR_NOT_FOUND:
		return "make the database: CREATE DATABASE";
	default:
		return "";
	}
}

/* That a row would be taken: none is sent, and so none stays. */
static bool may_insert(struct clickhouse *c, const struct clickhouse_table *t, struct err *e)
{
	AUTO_BUF struct buf sql = buf_init(STATEMENT_BYTES);

	buf_printf(&sql, "INSERT INTO %s (", t->name);
	clickhouse_columns_put(&sql, t);
	buf_lit(&sql, ") SELECT ");
	clickhouse_columns_put(&sql, t);
	buf_printf(&sql, " FROM %s WHERE 0", t->name);
	const struct clickhouse_statement s = { .sql = buf_str(&sql) };
	return (sql.failed ? err_set(e, ERR_NOMEM, "ClickHouse") : clickhouse_run(c, &s, e)) ==
	       ERR_OK;
}

static const char insert_fix[] = "let the user write there: GRANT SELECT, INSERT on both tables, "
				 "and a profile without readonly; or name another with "
				 "--clickhouse-user";

/* Who may only read makes no table, either. */
static bool is_reader(struct clickhouse *c)
{
	AUTO_BUF struct buf answer = buf_init(DOCTOR_TEXT_BYTES);
	const struct clickhouse_statement s = {
		.sql = STR("SELECT value FROM system.settings WHERE name = 'readonly' "
			   "FORMAT TabSeparated")
	};

	return clickhouse_ask(c, s, &answer, NULL) == ERR_OK &&
	       !str_is(str_trim(buf_str(&answer)), "0");
}

static void check_table(struct doctor *d, struct clickhouse *c, const struct clickhouse_table *t)
{
	struct err e;
	enum err_code code = clickhouse_table_check(c, t, &e);

	if (code == ERR_OK && may_insert(c, t, &e))
		doctor_say(d, VERDICT_OK, "clickhouse", "",
			   "table %s of %s fits, and may be written", t->name,
			   clickhouse_server(c));
	else if (code == ERR_OK)
		doctor_say(d, VERDICT_FAIL, "clickhouse",
			   e.code == ERR_PERMISSION ? insert_fix : clickhouse_fix(e.code),
			   "table %s fits, but cannot be written: %s", t->name, e.msg);
	else if (code == ERR_NOT_FOUND && !clickhouse_code(c) && is_reader(c))
		doctor_say(d, VERDICT_FAIL, "clickhouse", insert_fix,
			   "%s; and this user may only read", e.msg);
	else if (code == ERR_NOT_FOUND && !clickhouse_code(c))
		doctor_say(
			d, VERDICT_WARN, "clickhouse",
			"the observer makes it if its user may; else: deploy/clickhouse/schema.sql",
			"%s", e.msg);
	else
		doctor_say(d, VERDICT_FAIL, "clickhouse", clickhouse_fix(code), "%s", e.msg);
}

/* Flows have the times of the nodes; now() in people's questions and TTLs is the server's. */
static void check_clock(struct doctor *d, struct wall_ns asked, uint64_t theirs_s)
{
	const uint64_t theirs = theirs_s * NS_PER_S;
	const uint64_t off = asked.v > theirs ? asked.v - theirs : theirs - asked.v;

	doctor_say(d, off > SKEW_WARN_NS ? VERDICT_WARN : VERDICT_OK, "clock",
		   off > SKEW_WARN_NS ? "set both clocks (NTP, chrony): questions about the last "
					"hour are asked by the server's, and answered by times of "
					"this node's"
				      : "",
		   "ClickHouse's clock is %.0f s %s, known to a second", (double)off / 1e9,
		   theirs < asked.v ? "behind" : "ahead");
}

/* False: who answers is no ClickHouse. */
static bool read_hello(struct str answer, struct str *ret_version, uint64_t *ret_time_s)
{
	const size_t tab = str_find(answer, '\t');

	*ret_version = str_upto(answer, tab);
	return tab < answer.len && parse_u64(str_from(answer, tab + 1), UINT32_MAX, ret_time_s);
}

void doctor_clickhouse(struct doctor *d)
{
	AUTO(clickhouse_free) struct clickhouse *c = NULL;
	AUTO_BUF struct buf answer = buf_init(DOCTOR_TEXT_BYTES);
	const struct clickhouse_statement hello = {
		.sql = STR(
			"SELECT version(), toUInt64(toUnixTimestamp(now())) FORMAT TabSeparated")
	};
	struct clickhouse_config config = d->o->clickhouse;
	struct str version;
	uint64_t time_s;
	struct err e;

	if (!config.url)
		return;
	if (clickhouse_password_is_open(&config))
		doctor_say(d, VERDICT_WARN, "clickhouse", "use https, or a server on this machine",
			   "the password and flows travel in plain text");
	config.quiet_ms = CLICKHOUSE_CONNECT_MS;
	enum err_code code = clickhouse_new(&config, &c, &e);
	const struct wall_ns asked = wall_now();
	if (code == ERR_OK)
		code = clickhouse_ask(c, hello, &answer, &e);
	if (code == ERR_OK && !read_hello(str_trim(buf_str(&answer)), &version, &time_s))
		code = err_set(&e, ERR_PARSE, "%s does not answer as ClickHouse does",
			       clickhouse_server(c));
	if (code != ERR_OK) {
		doctor_say(d, VERDICT_FAIL, "clickhouse", clickhouse_fix(code), "%s", e.msg);
		return;
	}
	doctor_say(d, VERDICT_OK, "clickhouse", "", "%s answers, version %s", clickhouse_server(c),
		   EXCERPT(version));
	check_clock(d, asked, time_s);
	check_table(d, c, &clickhouse_flows);
	check_table(d, c, &clickhouse_gaps);
}
