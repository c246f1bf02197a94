/* SQL over a store: what comes out, that what is pushed changes nothing, that nothing is written.
 */
#include "store_fixture.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/buf.h"
#include "store/sql_inside.h"

enum { RECORDS = 3000, ANSWER_BYTES = 1 << 22 };

struct desk {
	struct fixture *fx;
	struct store_sql *q;
	struct buf answer; /* "name|name\na|b\n" */
	size_t stop_after; /* rows; 0: never */
	size_t rows;
};

/* Two blocks of TCP records a microsecond apart, a gap of a second's sleep between them, one lost
 * event, a policy. */
static int setup(void **state)
{
	struct desk *d = calloc(1, sizeof *d);
	void *fx;
	struct err e;

	assert_non_null(d);
	assert_int_equal(fixture_make(&fx), 0);
	d->fx = fx;
	fixture_open(d->fx);
	fixture_block(d->fx, RECORDS / 2);
	const struct store_gap gap = { .cause = STORE_GAP_KERNEL,
				       .from = d->fx->now,
				       .to = after(d->fx->now, 1),
				       .lost = 42,
				       .detail = STR("the ring was full") };
	store_note_gap(d->fx->store, &gap);
	const struct store_policy policy = { .kind = STR("NetworkPolicy"),
					     .namespace_ = STR("shop"),
					     .name = STR("db-clients"),
					     .uid = STR("u-1"),
					     .origin = STR("files"),
					     .resource_version = STR("7"),
					     .json = STR("{\"kind\":\"NetworkPolicy\"}"),
					     .from = d->fx->now };
	assert_int_equal(store_note_policy(d->fx->store, &policy, d->fx->now, &e), ERR_OK);
	struct flow lost = { .kind = FLOW_KIND_LOST,
			     .seq = d->fx->next_seq++,
			     .bits = FLOW_HAS_TIME,
			     .time = d->fx->now };
	assert_int_equal(store_put(d->fx->store, &lost, 1, d->fx->now, &e), ERR_OK);
	fixture_block(d->fx, RECORDS / 2);
	fixture_close(d->fx);
	assert_int_equal(store_sql_new(d->fx->dir, after(NOON, 60), &d->q, &e), ERR_OK);
	d->answer = buf_init(ANSWER_BYTES);
	*state = d;
	return 0;
}

static int teardown(void **state)
{
	struct desk *d = *state;
	void *fx = d->fx;

	store_sql_free(d->q);
	buf_done(&d->answer);
	assert_int_equal(fixture_remove(&fx), 0);
	free(d);
	return 0;
}

static enum err_code on_head(void *ctx, const char *const *names, size_t count, struct err *e)
{
	struct desk *d = ctx;

	(void)e;
	for (size_t i = 0; i < count; i++)
		buf_printf(&d->answer, "%s%s", i ? "|" : "", names[i]);
	buf_char(&d->answer, '\n');
	return ERR_OK;
}

static enum err_code on_row(void *ctx, const struct store_sql_cell *cells, size_t count,
			    struct err *e)
{
	struct desk *d = ctx;

	if (d->stop_after && d->rows == d->stop_after)
		return err_set(e, ERR_AGAIN, "enough");
	d->rows++;
	for (size_t i = 0; i < count; i++) {
		buf_str_put(&d->answer, i ? STR("|") : STR(""));
		buf_str_put(&d->answer,
			    cells[i].type == STORE_SQL_NULL ? STR("NULL") : cells[i].text);
	}
	buf_char(&d->answer, '\n');
	return ERR_OK;
}

static enum err_code run(struct desk *d, const char *statement, struct err *e)
{
	const struct store_sql_sink sink = { on_head, on_row, d };

	buf_reset(&d->answer);
	d->rows = 0;
	return store_sql_run(d->q, str_of(statement), &sink, e);
}

/* The rows without the names. */
static const char *ask(struct desk *d, const char *statement)
{
	struct err e;

	if (run(d, statement, &e) != ERR_OK)
		fail_msg("%s: %s", statement, e.msg);
	return strchr(buf_cstr(&d->answer), '\n') + 1;
}

static void assert_refused(struct desk *d, const char *statement, enum err_code code,
			   const char *word)
{
	struct err e = { .msg = "" };

	assert_int_equal(run(d, statement, &e), code);
	if (!strstr(e.msg, word))
		fail_msg("%s: \"%s\" lacks \"%s\"", statement, e.msg, word);
}

/* --- tests -------------------------------------------------------------------------------- */

static void flows_are_rows_with_their_members(void **state)
{
	struct desk *d = *state;

	/* record 1007, as the fixture makes it: seq % 8 = 7, seq % 100 = 7; its time is NOON and as
	 * many microseconds as its number */
	assert_string_equal(
		ask(d,
		    "select seq, time, time_ns, kind, verdict, drop_reason_desc, type, node_name,"
		    " source_ip, source_port, source_identity, source_namespace, source_pod,"
		    " source_workload, source_labels, source_service, destination_ip,"
		    " destination_port, destination_identity, destination_pod, ip_version,"
		    " protocol, is_reply, packets, bytes, kernel_drop_reason, tcp_flags, netns"
		    " from flows where seq = 1007"),
		"1007|2023-11-14T22:13:20.001007000Z|1700000000001007000|flow|DROPPED|POLICY_"
		"DENIED|"
		"L3_L4|here|10.0.0.7|40007|1007|shop|mail-0|mail|[\"k8s:app=shop\",\"k8s:tier=x\"]|"
		"NULL|192.0.2.1|443|2|NULL|4|TCP|0|2|120|NETFILTER_DROP|NULL|NULL\n");
	assert_string_equal(ask(d, "select json_extract(json, '$.verdict'),"
				   " json_extract(json, '$.l4.TCP.destination_port') from flows"
				   " where seq = 1007"),
			    "DROPPED|443\n");
}

static void what_is_no_flow_is_a_row_of_its_kind(void **state)
{
	struct desk *d = *state;

	assert_string_equal(ask(d, "select kind, count(*), count(verdict) from flows group by 1"),
			    "flow|3000|3000\nlost|1|0\n");
	assert_string_equal(ask(d, "select seq, verdict, source_ip from flows where kind = 'lost'"),
			    "2500|NULL|NULL\n");
	assert_string_equal(ask(d, "select count(*) from flows where kind = 'nothing'"), "0\n");
}

/* A unary + keeps SQLite from handing a constraint to the table: both must find the same. */
static void what_is_pushed_finds_what_comparing_finds(void **state)
{
	static const char *const columns[][6] = {
		{ "verdict", "'DROPPED'", "'FORWARDED'", "'AUDIT'", "'nonsense'", "''" },
		{ "drop_reason_desc", "'POLICY_DENIED'", "'NO_ROUTE'", "'x'", "133", "''" },
		{ "kind", "'flow'", "'lost'", "'agent'", "'x'", "1" },
		{ "source_port", "40007", "'40007'", "70000", "-1", "40007.5" },
		{ "destination_port", "443", "80", "'443'", "NULL", "0" },
		{ "source_identity", "1003", "0", "4294967296", "'1003'", "2" },
		{ "destination_identity", "2", "1", "-2", "2.0", "'x'" },
		{ "source_namespace", "'shop'", "'sho'", "'Shop'", "'shop/cart'", "''" },
		{ "source_pod", "'cart-0'", "'cart'", "'front-'", "'*'", "'shop/cart-0'" },
		{ "destination_pod", "'cart-0'", "''", "NULL", "'a/b'", "1" },
		{ "source_workload", "'cart'", "'car'", "''", "'front'", "'x'" },
		{ "source_ip", "'10.0.0.3'", "'10.0.0.0/8'", "'::ffff:10.0.0.3'", "'10.0.0.03'",
		  "''" },
		{ "destination_ip", "'192.0.2.1'", "'192.0.2.2'", "'no address'", "1", "NULL" },
		{ "node_name", "'here'", "'Here'", "'her*'", "'default/here'", "'here.'" },
		{ "protocol", "'TCP'", "'tcp'", "'UDP'", "'dns'", "''" },
		{ "traffic_direction", "'TRAFFIC_DIRECTION_UNKNOWN'", "'EGRESS'", "'x'", "1",
		  "''" },
		{ "seq", "1007", "0", "-1", "'1007'", "9223372036854775807" },
		{ "time_ns", "1700000000001007000", "0", "-5", "'x'", "NULL" },
		{ "time", "'2023-11-14T22:13:20.001007000Z'", "'2023'", "''", "'x'", "1" },
		{ "uuid", "(select uuid from flows where seq = 1007)", "''", "'x'", "NULL", "1" },
	};
	struct desk *d = *state;
	size_t found = 0;

	for (size_t i = 0; i < ARRAY_LEN(columns); i++)
		for (size_t k = 1; k < ARRAY_LEN(columns[i]); k++) {
			char statement[300], want[100];

			(void)snprintf(statement, sizeof statement,
				       "select count(*), min(seq) from flows where +%s = %s",
				       columns[i][0], columns[i][k]);
			(void)snprintf(want, sizeof want, "%s", ask(d, statement));
			(void)snprintf(statement, sizeof statement,
				       "select count(*), min(seq) from flows where %s = %s",
				       columns[i][0], columns[i][k]);
			const char *got = ask(d, statement);
			/* + takes the column's affinity away, too: '443' is no number then */
			bool is_other_type =
				strncmp(want, "0|", 2) == 0 && got[0] != '0' &&
				strspn(columns[i][k], "'0123456789.") == strlen(columns[i][k]);
			if (strcmp(got, want) != 0 && !is_other_type)
				fail_msg("%s: %s, without pushing %s", statement, got, want);
			found += got[0] != '0';
		}
	assert_in_range(found, 25, 60); /* some values are there, and some are not */
}

static void ranges_of_time_and_number_find_what_comparing_finds(void **state)
{
	static const char *const bounds[][2] = {
		{ "time", "'2023'" },
		{ "time", "'2023-11-14'" },
		{ "time", "'2023-11-14T22:13'" },
		{ "time", "'2023-11-14T22:13:20'" },
		{ "time", "'2023-11-14T22:13:20.0015'" },
		{ "time", "'2023-11-14T22:13:20.001500000Z'" },
		{ "time", "'2023-11-14 22:13:20'" },
		{ "time", "'2023-11-14T22:13:20.001500000+01:00'" },
		{ "time", "'2023-1'" },
		{ "time", "'9999-12-31T23:59:59'" },
		{ "time", "''" },
		{ "time", "ago('30s')" },
		{ "time", "5" },
		{ "time_ns", "1700000000001500000" },
		{ "time_ns", "-1" },
		{ "seq", "1500" },
		{ "seq", "1500.5" },
		{ "seq", "9223372036854775807" },
		{ "seq", "-9223372036854775808" },
	};
	static const char *const ops[] = { "<", "<=", ">", ">=", "=" };
	struct desk *d = *state;

	for (size_t i = 0; i < ARRAY_LEN(bounds); i++)
		for (size_t k = 0; k < ARRAY_LEN(ops); k++) {
			char statement[300], want[100];

			(void)snprintf(
				statement, sizeof statement,
				"select count(*), min(seq), max(seq) from flows where +%s %s %s",
				bounds[i][0], ops[k], bounds[i][1]);
			(void)snprintf(want, sizeof want, "%s", ask(d, statement));
			(void)snprintf(
				statement, sizeof statement,
				"select count(*), min(seq), max(seq) from flows where %s %s %s",
				bounds[i][0], ops[k], bounds[i][1]);
			const char *got = ask(d, statement);
			/* a number compared with a text column becomes a text */
			if (strcmp(got, want) != 0 && strcmp(bounds[i][1], "5") != 0)
				fail_msg("%s: %s, without pushing %s", statement, got, want);
		}
}

static void times_compare_as_times_however_they_are_written(void **state)
{
	/* the instant of NOON, and one between two records, as nanoseconds and otherwise */
	static const char *const times[][2] = {
		{ "1700000000000000000", "2023-11-14T22:13:20Z" },
		{ "1700000000000000000", "2023-11-15T03:58:20+05:45" },
		{ "1700000000000000000", "2023-11-14 22:13:20Z" },
		{ "1700000000001500000", "2023-11-14T22:13:20.0015Z" },
		{ "1700000000001500000", "2023-11-14T21:13:20.001500-01:00" },
		{ "1700000000001007000", "2023-11-14T22:13:20.001007Z" },
	};
	static const char *const ops[] = { "<", "<=", ">", ">=", "=", "<>" };
	struct desk *d = *state;

	for (size_t i = 0; i < ARRAY_LEN(times); i++)
		for (size_t k = 0; k < ARRAY_LEN(ops); k++) {
			char statement[300], want[100];

			(void)snprintf(statement, sizeof statement,
				       "select count(*), min(seq), max(seq) from flows"
				       " where time_ns %s %s",
				       ops[k], times[i][0]);
			(void)snprintf(want, sizeof want, "%s", ask(d, statement));
			(void)snprintf(statement, sizeof statement,
				       "select count(*), min(seq), max(seq) from flows"
				       " where time %s '%s'",
				       ops[k], times[i][1]);
			assert_string_equal(ask(d, statement), want);
		}
	/* SQLite's own form is a beginning; who wants texts gets them */
	assert_string_equal(
		ask(d, "select (select count(*) from flows where time > datetime('2023-11-14"
		       " 22:13:20')) = (select count(*) from flows where time_ns >="
		       " 1700000000000000000), (select count(*) from flows where time >"
		       " datetime('2023-11-14 22:13:59')), (select count(*) from edges where"
		       " time = '2023-11-14T22:13:00Z') = (select count(*) from edges), (select"
		       " count(*) from edges where time = '2023-11-14T22:13:00Z' collate binary)"),
		"1|0|1|0\n");
}

static void lists_joins_and_orders_are_sqlites(void **state)
{
	struct desk *d = *state;

	assert_string_equal(ask(d,
				"select count(*) from flows where verdict in ('DROPPED', 'AUDIT')"
				" or seq = 1001"),
			    "31\n");
	assert_string_equal(ask(d,
				"select count(*) from flows a, flows b where a.seq between 1000"
				" and 1010 and b.seq = a.seq + 1 and b.source_pod <> a.source_pod"),
			    "11\n");
	assert_string_equal(ask(d, "select seq from flows order by seq desc limit 3"),
			    "4000\n3999\n3998\n");
	assert_string_equal(ask(d, "select seq from flows where verdict = 'DROPPED' order by seq"
				   " limit 2"),
			    "1007\n1107\n");
	assert_string_equal(ask(d, "with recursive n(i) as (select 1 union all select i + 1 from n"
				   " where i < 5) select sum(i) from n"),
			    "15\n");
}

/* Each cell stays where it is until the row was seen, however large those behind it are. */
static void bytes_are_shown_in_hexadecimal(void **state)
{
	struct desk *d = *state;

	assert_string_equal(ask(d, "select x'00ff', x'', x'0aB0'"), "00ff||0ab0\n");
	const char *row = ask(d, "select x'01020304', zeroblob(100), x'05', zeroblob(9000), x'06'");
	assert_int_equal(strlen(row), 8 + 1 + 200 + 1 + 2 + 1 + 18000 + 1 + 2 + 1);
	assert_memory_equal(row, "01020304|000000", 15);
	assert_memory_equal(row + 8 + 1 + 200, "|05|000000", 10);
	assert_string_equal(row + strlen(row) - 5, "0|06\n");
}

static void a_comment_behind_the_statement_is_none(void **state)
{
	struct desk *d = *state;

	assert_string_equal(ask(d, "select 1; -- what that means"), "1\n");
	assert_string_equal(ask(d, "select 1 /* in */ ; /* behind */ ; \n -- and\n ;"), "1\n");
	assert_refused(d, "select 1; -- a\n select 2", ERR_INVALID, "one statement at a time");
	assert_refused(d, "select 1; /* a */ nonsense", ERR_INVALID, "one statement at a time");
}

static void gaps_endpoints_edges_and_policies_can_be_asked(void **state)
{
	struct desk *d = *state;

	assert_string_equal(ask(d, "select * from gaps where cause = 'kernel-lost'"),
			    "2023-11-14T22:13:21.000000000Z|2023-11-14T22:13:22.000000000Z|"
			    "kernel-lost|42|NULL|NULL|NULL|the ring was full\n");
	assert_string_equal(ask(d, "select identity, namespace, workload, labels from endpoints"
				   " where pod = 'db-1'"),
			    "1006|shop|db|[\"k8s:app=shop\",\"k8s:tier=x\"]\n");
	assert_string_equal(
		ask(d, "select kind, namespace, name, uid, resource_version, from_time,"
		       " to_time, json, origin from policies"),
		"NetworkPolicy|shop|db-clients|u-1|7|2023-11-14T22:13:21.000000000Z|NULL|"
		"{\"kind\":\"NetworkPolicy\"}|files\n");
	assert_string_equal(
		ask(d, "select source, protocol, verdict, drop_reason_desc, sum(flows),"
		       " sum(bytes) from edges where source = 'mail' group by 1, 2, 3, 4"),
		"mail|TCP|DROPPED|POLICY_DENIED|15|1800\nmail|TCP|FORWARDED|NULL|360|43200\n");
	assert_string_equal(
		ask(d, "select distinct source_cluster, source_namespace, source, source_kind,"
		       " destination_cluster, destination, destination_kind from edges where"
		       " source = 'mail'"),
		"NULL|shop|mail|Deployment|NULL|world|NULL\n");
}

static void a_minute_of_the_edges_is_found_by_its_time(void **state)
{
	static const char *const conditions[] = {
		"time = '2023-11-14T22:13:00.000000000Z'",
		"time >= '2023-11-14T22:13'",
		"time > '2023-11-14T22:13:00.000000000Z'",
		"time < '2023-11-14T22:13:30'",
		"time between '2023-11-14' and '2023-11-15'",
		"'2023-11-15' > time and time > '2024'",
	};
	struct desk *d = *state;
	size_t found = 0;

	for (size_t i = 0; i < ARRAY_LEN(conditions); i++) {
		char statement[300], want[100], plain[200];
		const char *from = conditions[i];

		/* the same with "+time" */
		size_t len = 0;
		for (; *from; from++) {
			if (strncmp(from, "time", 4) == 0)
				plain[len++] = '+';
			plain[len++] = *from;
		}
		plain[len] = 0;
		(void)snprintf(statement, sizeof statement, "select sum(flows) from edges where %s",
			       plain);
		(void)snprintf(want, sizeof want, "%s", ask(d, statement));
		(void)snprintf(statement, sizeof statement, "select sum(flows) from edges where %s",
			       conditions[i]);
		assert_string_equal(ask(d, statement), want);
		found += strcmp(want, "NULL\n") != 0;
	}
	assert_int_equal(found, 4);
}

static void nothing_can_be_written_attached_or_set(void **state)
{
	static const char *const statements[] = {
		"insert into flows (seq) values (1)",
		"delete from flows",
		"update gaps set lost = 0",
		"create table t (a)",
		"create temp table t (a)",
		"create view v as select 1",
		"create virtual table t using flows",
		"drop table flows",
		"attach 'file.db' as other",
		"detach main",
		"vacuum into 'copy.db'",
		"pragma query_only = off",
		"pragma table_info(flows)",
		"begin",
		"savepoint s",
		"reindex",
		"analyze",
		"select load_extension('x')",
	};
	struct desk *d = *state;
	struct err e;

	for (size_t i = 0; i < ARRAY_LEN(statements); i++) {
		enum err_code code = run(d, statements[i], &e);

		if (code != ERR_PERMISSION && code != ERR_INVALID)
			fail_msg("%s: %s", statements[i], err_code_name(code));
	}
	assert_refused(d, "create table t (a)", ERR_PERMISSION, "only SELECT");
	assert_refused(d, "attach 'x' as y", ERR_PERMISSION, "only SELECT");
	assert_refused(d, "pragma user_version", ERR_PERMISSION, "only SELECT");
}

static void mistakes_are_told_in_a_sentence(void **state)
{
	struct desk *d = *state;

	assert_refused(d, "", ERR_INVALID, "no statement");
	assert_refused(d, "-- nothing", ERR_INVALID, "no statement");
	assert_refused(d, "selec 1", ERR_INVALID, "syntax error");
	assert_refused(d, "select nope from flows", ERR_INVALID, "no such column: nope");
	assert_refused(d, "select 1; select 2", ERR_INVALID, "one statement at a time");
	assert_refused(d, "select ago('soon')", ERR_INVALID, "such as '15m'");
	assert_refused(d, "select ago(5)", ERR_INVALID, "such as '15m'");
	assert_refused(d, "select ago(NULL)", ERR_INVALID, "such as '15m'");
	assert_refused(d, "select zeroblob(100000000)", ERR_INVALID, "too big");
	struct err e;
	struct store_sql *q = NULL;
	assert_int_equal(store_sql_new("/nowhere", NOON, &q, &e), ERR_NOT_FOUND);
	assert_null(q);
}

static void ago_counts_from_the_given_now(void **state)
{
	struct desk *d = *state;

	/* now is NOON and a minute: 22:14:20 */
	assert_string_equal(ask(d, "select ago('0s'), ago('1m30s'), ago('2d')"),
			    "2023-11-14T22:14:20.000000000Z|2023-11-14T22:12:50.000000000Z|"
			    "2023-11-12T22:14:20.000000000Z\n");
}

static void the_caller_can_end_a_query_at_a_row(void **state)
{
	struct desk *d = *state;
	struct err e;

	d->stop_after = 5;
	assert_int_equal(run(d, "select seq from flows", &e), ERR_AGAIN);
	d->stop_after = 0;
	assert_int_equal(d->rows, 5);
	assert_string_equal(ask(d, "select count(*) from flows"), "3001\n");
}

static void damaged_parts_are_counted(void **state)
{
	struct desk *d = *state;
	struct err e;

	(void)fixture_sql(d->fx, "UPDATE segment_data SET data = zeroblob(100)");
	store_sql_free(d->q);
	assert_int_equal(store_sql_new(d->fx->dir, NOON, &d->q, &e), ERR_OK);
	assert_int_equal(store_sql_damaged(d->q), 0);
	assert_string_equal(ask(d, "select count(*) from flows"), "0\n");
	assert_true(store_sql_damaged(d->q) > 0);
	assert_string_equal(ask(d, "select count(*) > 0 from edges"), "1\n");
}

static void names_that_cannot_be_read_are_counted_as_damage(void **state)
{
	struct desk *d = *state;
	struct err e;

	assert_int_equal(store_sql_damaged(d->q), 0);
	(void)fixture_sql(d->fx, "UPDATE endpoint SET wire = zeroblob(length(wire))"
				 " WHERE pod = 'db-0'");
	store_sql_free(d->q);
	assert_int_equal(store_sql_new(d->fx->dir, NOON, &d->q, &e), ERR_OK);
	assert_string_equal(ask(d, "select count(*) from flows where source_pod = 'db-0'"), "0\n");
	assert_true(store_sql_damaged(d->q) > 0);
	assert_string_equal(ask(d, "select count(*) from flows where seq <= 4000"), "3001\n");
}

/* Each of the other tables on several pages. */
static void fill_tables(struct fixture *fx)
{
	enum { BLOCKS = 200 };
	char text[600];
	struct err e;

	memset(text, 'x', sizeof text);
	fixture_open(fx);
	for (int i = 0; i < BLOCKS; i++) {
		char name[32];
		struct flow f = fixture_flow(fx, fx->next_seq++, fx->now);
		const struct str label = str_n(text, 200);
		const struct endpoint src = {
			.namespace_ = STR("shop"),
			.pod = str_n(name, (size_t)snprintf(name, sizeof name, "other-%d", i)),
			.labels = &label,
			.label_count = 1,
		};
		f.src_ep = flow_dict_endpoint(fx->dict, &src);
		assert_int_equal(store_put(fx->store, &f, 1, fx->now, &e), ERR_OK);
		const struct store_gap gap = { .cause = STORE_GAP_KERNEL,
					       .from = fx->now,
					       .to = after(fx->now, 1),
					       .lost = 1,
					       .detail = str_n(text, 150) };
		store_note_gap(fx->store, &gap);
		const struct store_policy policy = { .kind = STR("NetworkPolicy"),
						     .namespace_ = STR("shop"),
						     .name = src.pod,
						     .uid = STR("u-1"),
						     .origin = STR("files"),
						     .resource_version = STR("7"),
						     .json = str_n(text, sizeof text),
						     .from = fx->now };
		if (i % 10 == 0)
			assert_int_equal(store_note_policy(fx->store, &policy, fx->now, &e),
					 ERR_OK);
		fixture_block(fx, 8);
		fx->now = after(fx->now, 60);
	}
	fixture_close(fx);
}

/* Rubbish over the leaf in the middle of @table. @return what lay there, to be put back. */
static void swap_leaf(struct fixture *fx, const char *table, uint8_t bytes[4096])
{
	char sql[300], path[100];
	uint8_t old[4096];

	(void)snprintf(sql, sizeof sql,
		       "SELECT pageno FROM dbstat WHERE name = '%s' AND pagetype = 'leaf' ORDER BY"
		       " path LIMIT 1 OFFSET (SELECT count(*) / 2 FROM dbstat WHERE name = '%s'"
		       " AND pagetype = 'leaf')",
		       table, table);
	static uint64_t page;
	if (bytes[0] == 0xa5)
		page = fixture_sql(fx, sql);
	fixture_path(fx, "flows.db", path);
	int fd = open(path, O_RDWR);
	assert_int_equal(pread(fd, old, sizeof old, (off_t)(page - 1) * 4096), sizeof old);
	assert_int_equal(pwrite(fd, bytes, sizeof old, (off_t)(page - 1) * 4096), sizeof old);
	assert_int_equal(close(fd), 0);
	memcpy(bytes, old, sizeof old);
}

static uint64_t first_number(struct desk *d)
{
	return strtoull(strchr(buf_cstr(&d->answer), '\n') + 1, NULL, 10);
}

static void rows_around_a_damaged_page_are_answered_and_it_is_told(void **state)
{
	static const struct {
		const char *table, *of, *ends;
	} cases[] = {
		{ "gap", "gaps", "min(from_time) || max(from_time)" },
		{ "endpoint", "endpoints", "max(pod = 'other-0') + max(pod = 'other-199')" },
		{ "edge_minute", "edges", "min(time) || max(time)" },
		{ "policy", "policies", "max(name = 'other-0') + max(name = 'other-190')" },
	};
	struct desk *d = *state;
	char count[100], ends[200], ends_before[200];
	struct err e;

	fill_tables(d->fx);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		uint8_t bytes[4096];
		(void)snprintf(count, sizeof count, "select count(*) from %s", cases[i].of);
		(void)snprintf(ends, sizeof ends, "select %s from %s", cases[i].ends, cases[i].of);
		(void)snprintf(ends_before, sizeof ends_before, "%s", ask(d, ends));
		uint64_t all = strtoull(ask(d, count), NULL, 10);
		memset(bytes, 0xa5, sizeof bytes);
		swap_leaf(d->fx, cases[i].table, bytes);
		assert_refused(d, count, ERR_PARSE,
			       "the store is damaged: 1 part of it could not be read, and rows are "
			       "missing here");
		assert_int_equal(d->rows, 1);
		assert_in_range(first_number(d), all / 4, all - 1);
		assert_int_equal(run(d, ends, &e), ERR_PARSE);
		assert_string_equal(strchr(buf_cstr(&d->answer), '\n') + 1, ends_before);
		swap_leaf(d->fx, cases[i].table, bytes);
		assert_int_equal(strtoull(ask(d, count), NULL, 10), all);
	}
	assert_int_equal(store_sql_damaged(d->q), 0);
}

static void edges_without_their_names_are_left_out_and_it_is_told(void **state)
{
	struct desk *d = *state;
	uint8_t bytes[4096];
	struct err e;

	fill_tables(d->fx);
	uint64_t all = strtoull(ask(d, "select count(*) from edges"), NULL, 10);
	memset(bytes, 0xa5, sizeof bytes);
	swap_leaf(d->fx, "party", bytes);
	assert_int_equal(run(d, "select count(*) from edges", &e), ERR_PARSE);
	assert_in_range(first_number(d), all / 4, all - 1);
}

static void a_cancelled_query_ends(void **state)
{
	struct desk *d = *state;
	struct err e;

	store_sql_cancel(d->q);
	assert_int_equal(run(d, "select count(*) from flows", &e), ERR_CANCELLED);
	assert_string_equal(e.msg, "interrupted");
	/* without our tables, too */
	assert_int_equal(run(d,
			     "with recursive n(i) as (select 1 union all select i + 1 from n)"
			     " select count(*) from n",
			     &e),
			 ERR_CANCELLED);
}

static void the_schema_names_every_column_that_a_star_shows(void **state)
{
	static const char *const tables[] = { "flows", "gaps", "endpoints", "edges", "policies" };
	struct desk *d = *state;
	AUTO_BUF struct buf schema = buf_init(1 << 16);

	store_sql_schema(&schema);
	struct str rest = buf_str(&schema);
	for (size_t t = 0; t < ARRAY_LEN(tables); t++) {
		char statement[100], create[100];
		struct str line, names;
		struct err e;

		(void)snprintf(statement, sizeof statement, "select * from %s limit 0", tables[t]);
		assert_int_equal(run(d, statement, &e), ERR_OK);
		names = buf_str(&d->answer);
		names.len--; /* the line's end */
		assert_true(str_split(&rest, '\n', &line) && str_has_prefix(line, STR("-- ")));
		(void)snprintf(create, sizeof create, "CREATE TABLE %s (", tables[t]);
		assert_true(str_split(&rest, '\n', &line) && str_is(line, create));
		for (struct str name; str_split(&names, '|', &name);) {
			assert_true(str_split(&rest, '\n', &line));
			line = str_trim(line);
			assert_true(str_has_prefix(line, name) && line.p[name.len] == ' ');
		}
		assert_true(str_split(&rest, '\n', &line) && str_is(line, ");"));
	}
	assert_int_equal(rest.len, 0);
}

/* Two records of each of @count pods that no block before had, in a block of their own. */
static void put_pods(struct fixture *fx, int first, int count)
{
	struct err e;

	for (int i = 0; i < 2 * count; i++) {
		struct flow f = fixture_flow(fx, fx->next_seq++, fx->now);
		char pod[16];

		(void)snprintf(pod, sizeof pod, "many-%d", first + i / 2);
		f.src_ep =
			flow_dict_endpoint(fx->dict, &(struct endpoint){ .namespace_ = STR("crowd"),
									 .pod = str_of(pod) });
		assert_int_equal(store_put(fx->store, &f, 1, fx->now, &e), ERR_OK);
	}
	fx->now = after(fx->now, 1);
	assert_int_equal(store_tick(fx->store, fx->now, &e), ERR_OK);
}

static void names_beyond_the_room_for_them_are_found(void **state)
{
	enum { ROOM = 16, BLOCKS = 20, PODS = 7 }; /* and one destination: half of the room */
	struct desk *d = *state;

	fixture_open(d->fx);
	for (int i = 0; i < BLOCKS; i++)
		put_pods(d->fx, i * PODS, PODS);
	fixture_close(d->fx);
	d->q->dict_entries = ROOM;
	assert_string_equal(
		ask(d, "select count(*), count(distinct source_pod), sum(source_labels is not null)"
		       " from flows where source_namespace = 'crowd'"),
		"280|140|0\n");
	for (int i = 0; i < BLOCKS * PODS; i++) {
		char statement[100];

		(void)snprintf(statement, sizeof statement,
			       "select count(*) from flows where source_pod = 'many-%d'", i);
		assert_string_equal(ask(d, statement), "2\n");
	}
	assert_string_equal(
		ask(d, "select a.source_pod, b.source_pod from flows a, flows b"
		       " where a.source_pod = 'many-3' and b.seq = a.seq + 100 order by a.seq"),
		"many-3|many-53\nmany-3|many-53\n");
	assert_string_equal(ask(d, "select source_pod from flows where source_namespace = 'crowd'"
				   " order by seq desc limit 1"),
			    "many-139\n");
}

static void a_segment_with_more_names_than_room_is_no_wrong_answer(void **state)
{
	struct desk *d = *state;

	d->q->dict_entries = 4;
	assert_refused(d, "select count(*) from flows where source_pod = 'cart-0'", ERR_NOMEM,
		       "more names than there is room for");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(flows_are_rows_with_their_members),
		cmocka_unit_test(what_is_no_flow_is_a_row_of_its_kind),
		cmocka_unit_test(what_is_pushed_finds_what_comparing_finds),
		cmocka_unit_test(ranges_of_time_and_number_find_what_comparing_finds),
		cmocka_unit_test(times_compare_as_times_however_they_are_written),
		cmocka_unit_test(lists_joins_and_orders_are_sqlites),
		cmocka_unit_test(bytes_are_shown_in_hexadecimal),
		cmocka_unit_test(a_comment_behind_the_statement_is_none),
		cmocka_unit_test(gaps_endpoints_edges_and_policies_can_be_asked),
		cmocka_unit_test(a_minute_of_the_edges_is_found_by_its_time),
		cmocka_unit_test(nothing_can_be_written_attached_or_set),
		cmocka_unit_test(mistakes_are_told_in_a_sentence),
		cmocka_unit_test(ago_counts_from_the_given_now),
		cmocka_unit_test(the_caller_can_end_a_query_at_a_row),
		cmocka_unit_test(the_schema_names_every_column_that_a_star_shows),
		/* they leave blocks behind, and little room */
		cmocka_unit_test(names_beyond_the_room_for_them_are_found),
		cmocka_unit_test(a_segment_with_more_names_than_room_is_no_wrong_answer),
		cmocka_unit_test(
			names_that_cannot_be_read_are_counted_as_damage), /* they stay so */
		cmocka_unit_test(damaged_parts_are_counted),              /* it leaves them so */
		cmocka_unit_test_setup_teardown(
			rows_around_a_damaged_page_are_answered_and_it_is_told, setup, teardown),
		cmocka_unit_test_setup_teardown(
			edges_without_their_names_are_left_out_and_it_is_told, setup, teardown),
		cmocka_unit_test(a_cancelled_query_ends), /* the last one: it stays cancelled */
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
