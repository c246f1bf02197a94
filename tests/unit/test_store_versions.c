/* lib/store: files that an older Tycho wrote. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include <cmocka.h>
#include <sqlite3.h>

#include "base/buf.h"
#include "flow/flow.pb-c.h"
#include "store/inside.h"
#include "store_fixture.h"

static void run_sql(const char *path, const char *sql)
{
	sqlite3 *h;
	char *why = NULL;

	assert_int_equal(sqlite3_open(path, &h), SQLITE_OK);
	if (sqlite3_exec(h, sql, NULL, NULL, &why) != SQLITE_OK)
		fail_msg("%s", why);
	assert_int_equal(sqlite3_close(h), SQLITE_OK);
}

/* The file as an older version left it, in the fixture's folder: 50 records. */
static void put_file(struct fixture *fx, const char *dump)
{
	static char sql[64 << 10];
	char path[100];
	FILE *f = fopen(dump, "r");

	assert_non_null(f);
	sql[fread(sql, 1, sizeof sql - 1, f)] = '\0';
	(void)fclose(f);
	(void)snprintf(path, sizeof path, "%s/flows.db", fx->dir);
	run_sql(path, sql);
	fx->now = after(NOON, 5000);
	fx->next_seq = FIRST_SEQ + 50;
}

static void a_file_of_version_1_is_read_and_goes_on(void **state)
{
	struct fixture *fx = *state;

	put_file(fx, STORE_V1);
	fixture_open(fx);
	assert_int_equal(fixture_sql(fx, "PRAGMA user_version"), 5);
	AUTO(store_reader_free) struct store_reader *r = fixture_reader(fx);
	struct seen seen = fixture_scan(fx, r, &ALL_RECORDS);
	assert_int_equal(seen.count, 50);
	assert_int_equal(seen.first, FIRST_SEQ);
	assert_int_equal(seen.last, FIRST_SEQ + 49);
	assert_int_equal(seen.wrong, 0);
	assert_true(seen.ordered);
	fixture_block(fx, 30);
	fixture_tend(fx);
	assert_int_equal(fixture_scan(fx, r, &ALL_RECORDS).count, 80);
	/* The chain is the old one, and goes on. */
	struct seen_chain chain = fixture_chain(r);
	assert_int_equal(chain.first, 1);
	assert_int_equal(chain.blocks, 4);
	assert_string_equal(chain.kinds, "sgpsgs");
	assert_int_equal(count_gaps(r, STORE_GAP_KERNEL), 1);
	assert_int_equal(count_gaps(r, STORE_GAP_DOWN), 1);
	assert_int_equal(store_counts(fx->store).records, 80);
	/* Who gave the policies of that time, nobody said. */
	assert_int_equal(fixture_sql(fx, "SELECT count(*) FROM policy WHERE origin = ''"), 1);
	/* Names keep the numbers that old segments know them by. */
	assert_int_equal(fixture_sql(fx, "SELECT count(*) FROM endpoint"), 9);
	fixture_close(fx);
	assert_int_equal(fixture_sql(fx, "SELECT sum(flows) FROM edge"), 80);
}

struct edge_sum {
	uint64_t flows, cart;
};

static void add_edge(void *ctx, const struct store_edge *edge)
{
	struct edge_sum *sum = ctx;

	sum->flows += edge->flows;
	sum->cart += str_is(edge->src.name, "cart") ? edge->flows : 0;
	assert_true(str_is(edge->src.cluster, "") && str_is(edge->src.kind, ""));
	assert_true(str_is(edge->dst.cluster, "") && str_is(edge->dst.kind, ""));
}

static void add_policy(void *ctx, const struct store_policy *policy)
{
	++*(size_t *)ctx;
	assert_true(str_is(policy->origin, ""));
	assert_true(policy->json.len > 0);
}

/* All that readers ask for. The numbers are those of the dumps, by hand. */
static void expect_old_records(struct fixture *fx, struct store_reader *r, size_t policies)
{
	const struct wall_ns never = { UINT64_MAX };
	struct edge_sum edges = { 0 };
	struct wall_ns next;
	struct err e = { 0 };
	size_t found = 0;
	struct seen seen = fixture_scan(fx, r, &ALL_RECORDS);

	assert_int_equal(seen.count, 50);
	assert_int_equal(seen.first, FIRST_SEQ);
	assert_int_equal(seen.wrong, 0);
	assert_true(seen.ordered);
	assert_int_equal(fixture_chain(r).blocks, 3);
	assert_int_equal(
		store_edges(r, (struct wall_ns){ 0 }, never, SIZE_MAX, add_edge, &edges, &next, &e),
		ERR_OK);
	assert_int_equal(edges.flows, 50);
	assert_int_equal(edges.cart, 14);
	assert_int_equal(store_policies(r, (struct wall_ns){ 0 }, never, add_policy, &found, &e),
			 ERR_OK);
	assert_int_equal(found, policies);
}

static void a_reader_needs_no_observer_for_an_old_file(void **state)
{
	static const struct {
		const char *dump;
		uint64_t version;
		size_t policies;
	} files[] = { { STORE_V1, 1, 1 }, { STORE_V3, 3, 0 } };
	struct fixture *fx = *state;
	char path[100];

	(void)snprintf(path, sizeof path, "%s/flows.db", fx->dir);
	for (size_t i = 0; i < ARRAY_LEN(files); i++) {
		AUTO(store_reader_free) struct store_reader *r = NULL;
		struct err e = { 0 };
		put_file(fx, files[i].dump);
		if (store_reader_open(fx->dir, fx->dict, &r, &e) != ERR_OK)
			fail_msg("%s", e.msg);
		expect_old_records(fx, r, files[i].policies);
		store_reader_free(TAKE(r));
		assert_int_equal(fixture_sql(fx, "PRAGMA user_version"), files[i].version);
		assert_int_equal(unlink(path), 0);
	}
}

/* An observer is begun while somebody looks: what it writes is seen as it is. */
static void a_reader_of_an_old_file_goes_on_when_it_becomes_a_new_one(void **state)
{
	struct fixture *fx = *state;
	AUTO(store_reader_free) struct store_reader *r = NULL;
	struct err e = { 0 };

	put_file(fx, STORE_V1);
	assert_int_equal(store_reader_open(fx->dir, fx->dict, &r, &e), ERR_OK);
	expect_old_records(fx, r, 1);
	fixture_open(fx);
	fixture_block(fx, 20000);
	fx->now = after(fx->now, 3600);
	fixture_tend(fx); /* in several pieces, which only the new column tells */
	assert_int_equal(fixture_sql(fx, "SELECT count(*) FROM segment WHERE shelves > 1"), 1);
	struct seen seen = fixture_scan(fx, r, &ALL_RECORDS);
	assert_int_equal(seen.count, 50 + 20000);
	assert_int_equal(seen.wrong, 0);
	assert_true(seen.ordered);
}

/* As a crash leaves it that came before the first table. */
static void a_reader_says_who_has_to_open_an_empty_file_first(void **state)
{
	struct fixture *fx = *state;
	struct store_reader *r = NULL;
	struct err e = { 0 };
	char path[100];

	(void)snprintf(path, sizeof path, "%s/flows.db", fx->dir);
	run_sql(path, "PRAGMA user_version = 0");
	FILE *f = fopen(path, "a");
	assert_non_null(f);
	assert_int_equal(fclose(f), 0);
	assert_int_equal(store_reader_open(fx->dir, fx->dict, &r, &e), ERR_UNSUPPORTED);
	assert_non_null(strstr(e.msg, "let its observer open it once"));
}

/* What was large already then is sorted bit by bit, while the store is used. */
static void large_segments_of_version_1_are_sorted_in_time(void **state)
{
	struct fixture *fx = *state;
	char path[100];
	bool more;

	fixture_open(fx);
	fixture_block(fx, 20000);
	fixture_block(fx, 20000);
	fixture_block(fx, 100);
	fixture_close(fx);
	(void)snprintf(path, sizeof path, "%s/flows.db", fx->dir);
	run_sql(path,
		"DROP VIEW edges; DROP VIEW party_known; DROP TABLE edge_minute;"
		"CREATE TABLE edge (minute, src, dst, port, l4, verdict, drop_desc, policy, dns,"
		" node, flows, packets, bytes, l7_ok, l7_errors);"
		"ALTER TABLE segment DROP COLUMN shelves; DROP TABLE shelf;"
		"ALTER TABLE policy DROP COLUMN origin;"
		"ALTER TABLE party RENAME TO known; CREATE TABLE party (id INTEGER PRIMARY KEY"
		" AUTOINCREMENT, namespace TEXT, name TEXT, day INTEGER);"
		"INSERT INTO party SELECT id, namespace, name, day FROM known;"
		"DROP TABLE known; CREATE VIEW edges AS SELECT 1;"
		"UPDATE segment SET level = 9; PRAGMA user_version = 1");
	fixture_open(fx);
	AUTO(store_reader_free) struct store_reader *r = fixture_reader(fx);
	assert_int_equal(fixture_scan(fx, r, &ALL_RECORDS).count, 40100);
	assert_int_equal(store_tend(fx->store, fx->now, &more, NULL), ERR_OK);
	assert_true(more);
	assert_int_equal(fixture_sql(fx, "SELECT count(*) FROM segment WHERE shelves > 1"), 1);
	struct seen seen = fixture_scan(fx, r, &ALL_RECORDS);
	assert_int_equal(seen.count, 40100);
	assert_true(seen.ordered);
	fixture_tend(fx);
	assert_int_equal(fixture_sql(fx, "SELECT count(*) FROM segment WHERE shelves > 1"), 2);
	seen = fixture_scan(fx, r, &ALL_RECORDS);
	assert_int_equal(seen.count, 40100);
	assert_int_equal(seen.wrong, 0);
	assert_true(seen.ordered);
}

/* A flow between two workloads of the names that the old file knows. */
static struct flow flow_of(struct fixture *fx, struct str cluster, struct str name, struct str kind)
{
	struct flow f = fixture_flow(fx, fx->next_seq++, fx->now);
	const struct workload workload = { name, kind };

	f.src_ep = flow_dict_endpoint(fx->dict, &(struct endpoint){ .identity = 7,
								    .cluster = cluster,
								    .namespace_ = STR("shop"),
								    .pod = STR("a-pod"),
								    .workloads = &workload,
								    .workload_count = 1 });
	f.verdict = FLOW__VERDICT__FORWARDED;
	f.drop_desc = 0;
	return f;
}

static void put(struct fixture *fx, struct flow f)
{
	struct err e = { 0 };

	if (store_put(fx->store, &f, 1, fx->now, &e) != ERR_OK)
		fail_msg("%s", e.msg);
}

/* Of the edges that the old file had, those of @name and what they now say. */
static uint64_t old_flows(struct fixture *fx, const char *name, const char *cluster,
			  const char *kind)
{
	char sql[300];

	(void)snprintf(sql, sizeof sql,
		       "SELECT coalesce(sum(flows), 0) FROM edges WHERE minute < 28333500"
		       " AND src = '%s' AND src_cluster = '%s' AND src_kind = '%s'",
		       name, cluster, kind);
	return fixture_sql(fx, sql);
}

/* Ends of edges had neither cluster nor kind in version 3. */
static void edges_of_version_3_are_kept_and_say_what_is_known_of_their_ends_since(void **state)
{
	struct fixture *fx = *state;
	enum { CART = 14, FRONT = 18, DB = 12, MAIL = 6 }; /* of the dump's edges, by hand */

	put_file(fx, STORE_V3);
	fixture_open(fx);
	assert_int_equal(fixture_sql(fx, "PRAGMA user_version"), 5);
	AUTO(store_reader_free) struct store_reader *r = fixture_reader(fx);
	assert_int_equal(fixture_scan(fx, r, &ALL_RECORDS).count, 50);
	assert_int_equal(fixture_sql(fx, "SELECT count(*) FROM edges"), 9);
	assert_int_equal(old_flows(fx, "cart", "", ""), CART);
	assert_int_equal(old_flows(fx, "front", "", ""), FRONT);
	assert_int_equal(old_flows(fx, "db", "", ""), DB);
	assert_int_equal(old_flows(fx, "mail", "", ""), MAIL);

	/* one each of cart and mail, two that are called front, none of db; in a minute of old
	 * edges, and in a new one */
	fx->now = after(NOON, 20);
	put(fx, flow_of(fx, STR("c1"), STR("cart"), STR("Deployment")));
	fx->now = after(NOON, 86400);
	put(fx, flow_of(fx, STR("c1"), STR("cart"), STR("Deployment")));
	put(fx, flow_of(fx, STR("c1"), STR("front"), STR("Deployment")));
	put(fx, flow_of(fx, STR("c2"), STR("front"), STR("Deployment")));
	put(fx, flow_of(fx, STR(""), STR("mail"), STR("StatefulSet")));
	fixture_close(fx);
	assert_int_equal(old_flows(fx, "cart", "c1", "Deployment"), CART + 1);
	assert_int_equal(old_flows(fx, "cart", "", ""), 0);
	assert_int_equal(old_flows(fx, "front", "", ""), FRONT); /* which of them, nobody knows */
	assert_int_equal(old_flows(fx, "db", "", ""), DB);
	assert_int_equal(old_flows(fx, "mail", "", "StatefulSet"), MAIL);
	assert_int_equal(fixture_sql(fx, "SELECT sum(flows) FROM edges"), 55);
	/* Numbers of names go on where they were. */
	assert_int_equal(fixture_sql(fx, "SELECT min(id) FROM party WHERE cluster IS NOT NULL"), 7);
}

/* A minute of a port scan, say: as it was in version 4, a row for each edge. */
static void a_minute_of_many_edges_of_version_4_is_kept(void **state)
{
	enum { ROWS = 40000 };
	struct fixture *fx = *state;
	char path[100];

	fixture_open(fx);
	fixture_block(fx, 1);
	fixture_close(fx);
	(void)snprintf(path, sizeof path, "%s/flows.db", fx->dir);
	run_sql(path,
		"DROP TABLE edge_minute;"
		"CREATE TABLE edge (minute, src, dst, port, l4, verdict, drop_desc, policy, dns,"
		" node, flows, packets, bytes, l7_ok, l7_errors);"
		"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 40000)"
		" INSERT INTO edge SELECT 28333400, 1, 2, i, 1, 2, 133, 0, 0, 0, i, 2 * i, 3 * i,"
		" 4, 5 FROM n;"
		"PRAGMA user_version = 4");
	fixture_open(fx);
	fixture_close(fx);
	assert_int_equal(fixture_sql(fx, "SELECT count(*) FROM edge_minute"),
			 (ROWS + 16383) / 16384);
	assert_int_equal(fixture_sql(fx, "SELECT count(*) FROM edge WHERE minute = 28333400"
					 " AND src = 1 AND dst = 2 AND l4 = 1 AND verdict = 2"
					 " AND drop_desc = 133 AND flows = port"
					 " AND packets = 2 * port AND bytes = 3 * port"
					 " AND l7_ok = 4 AND l7_errors = 5"),
			 ROWS);
	assert_int_equal(fixture_sql(fx, "SELECT count(DISTINCT port) FROM edge"), ROWS);
}

/* A migration is one transaction: one that fails leaves the old file. */
static void a_migration_that_fails_leaves_the_old_file(void **state)
{
	struct fixture *fx = *state;
	struct err e = { 0 };
	char path[100];

	put_file(fx, STORE_V1);
	(void)snprintf(path, sizeof path, "%s/flows.db", fx->dir);
	run_sql(path, "CREATE TABLE shelf (in_the_way)");
	assert_int_not_equal(store_open(&fx->config, fx->now, fx->next_seq, &fx->store, &e),
			     ERR_OK);
	assert_non_null(strstr(e.msg, "shelf"));
	assert_int_equal(fixture_sql(fx, "PRAGMA user_version"), 1);
	assert_int_equal(fixture_sql(fx, "SELECT count(*) FROM pragma_table_info('segment')"
					 " WHERE name = 'shelves'"),
			 0);
	run_sql(path, "DROP TABLE shelf");
	fixture_open(fx);
	assert_int_equal(fixture_sql(fx, "PRAGMA user_version"), 5);
	AUTO(store_reader_free) struct store_reader *r = fixture_reader(fx);
	assert_int_equal(fixture_scan(fx, r, &ALL_RECORDS).count, 50);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, fixture_make, fixture_remove)
	const struct CMUnitTest tests[] = {
		T(a_file_of_version_1_is_read_and_goes_on),
		T(a_reader_needs_no_observer_for_an_old_file),
		T(a_reader_of_an_old_file_goes_on_when_it_becomes_a_new_one),
		T(a_reader_says_who_has_to_open_an_empty_file_first),
		T(edges_of_version_3_are_kept_and_say_what_is_known_of_their_ends_since),
		T(a_minute_of_many_edges_of_version_4_is_kept),
		T(large_segments_of_version_1_are_sorted_in_time),
		T(a_migration_that_fails_leaves_the_old_file),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
