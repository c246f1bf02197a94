/* relay/archive/where: the condition lets through every row whose flow the filters take. SQLite stands
 * for ClickHouse: what is said is common to both, but for three functions that are given to it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>
#include <sqlite3.h>

#include "base/buf.h"
#include "clickhouse/quote.h"
#include "filter_random.h"
#include "filter_short.h"
#include "flow/names.h"
#include "flow/wire.h"
#include "relay/archive/where.h"

static const char *said(struct buf *b, Flow__FlowFilter *const *list, size_t count)
{
	buf_reset(b);
	where_put(b, list, count);
	return buf_cstr(b);
}

#define SAYS(want, ...)                                                                            \
	do {                                                                                       \
		AUTO_BUF struct buf b_ = buf_init(WHERE_MAX_BYTES + 1);                            \
		Flow__FlowFilter *list_[] = { __VA_ARGS__ };                                       \
		assert_string_equal(said(&b_, list_, ARRAY_LEN(list_)), (want));                   \
	} while (0)

static void what_columns_cannot_tell_is_not_asked_of_them(void **state)
{
	(void)state;
	AUTO_BUF struct buf b = buf_init(WHERE_MAX_BYTES + 1);
	Flow__FlowFilter *some = NEW(flow__flow_filter), *none = NEW(flow__flow_filter);

	assert_string_equal(said(&b, NULL, 0), "1");
	SAYS("1", none);
	set_texts(none, source_label, 1, "app=shop");
	SAYS("1", none);
	set_numbers(some, verdict, Flow__Verdict, FLOW__VERDICT__DROPPED);
	SAYS("(verdict IN ('DROPPED'))", some);
	SAYS("1", some, none);
	set_texts(some, source_label, 1, "app=shop");
	SAYS("(verdict IN ('DROPPED'))", some);
}

static void one_value_of_which_nothing_can_be_said_takes_the_others_with_it(void **state)
{
	(void)state;
	Flow__FlowFilter *ff = NEW(flow__flow_filter);

	set_numbers(ff, verdict, Flow__Verdict, FLOW__VERDICT__ERROR);
	set_texts(ff, source_pod, 2, "shop/cart", "/");
	set_texts(ff, destination_ip, 2, "10.0.0.1", "fd00::/8");
	set_texts(ff, node_name, 2, "k8s1", "prod-*");
	set_texts(ff, protocol, 2, "tcp", "dns");
	set_numbers(ff, ip_version, Flow__IPVersion, FLOW__IPVERSION__IPv4,
		    FLOW__IPVERSION__IP_NOT_USED);
	set_numbers(ff, reply, protobuf_c_boolean, true, false);
	add_event_type(ff, 4, false, 0);
	add_event_type(ff, 0, true, 3);
	SAYS("(verdict IN ('ERROR'))", ff);
}

static void texts_are_quoted(void **state)
{
	(void)state;
	Flow__FlowFilter *ff = NEW(flow__flow_filter);

	set_texts(ff, source_pod, 1, "a'b\\/c' OR 1");
	SAYS("(((source_namespace = 'a\\x27b\\x5C' AND startsWith(source_pod, 'c\\x27 OR 1'))))",
	     ff);
}

static void prefixes_are_asked_for_by_whole_octets(void **state)
{
	(void)state;
	static const char *const cases[][2] = {
		{ "10.1.0.0/16", "(((startsWith(source_ip, '10.1.'))))" },
		{ "10.1.2.3/31", "(((startsWith(source_ip, '10.1.2.'))))" },
		{ "10.1.2.3/32", "(((startsWith(source_ip, '10.1.2.3'))))" },
		{ "10.0.0.0/8", "(((startsWith(source_ip, '10.'))))" },
		{ "10.0.0.0/7", "1" },
		{ "::/0", "1" },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		Flow__FlowFilter *ff = NEW(flow__flow_filter);
		set_texts(ff, source_ip, 1, cases[i][0]);
		SAYS(cases[i][1], ff);
	}
}

static void what_would_take_too_much_room_is_left_unsaid(void **state)
{
	(void)state;
	enum { MANY = 8000 };
	Flow__FlowFilter *ff = NEW(flow__flow_filter);

	ff->source_port = pool_take(MANY * sizeof(char *));
	for (ff->n_source_port = 0; ff->n_source_port < MANY; ff->n_source_port++)
		ff->source_port[ff->n_source_port] = pool_text(STR("000012345"));
	AUTO_BUF struct buf b = buf_init(WHERE_MAX_BYTES + 1);
	assert_true(strlen(said(&b, &ff, 1)) > 6 * MANY);
	ff->uuid = ff->source_port;
	ff->n_uuid = ff->n_source_port;
	SAYS("1", ff);
}

/* ---- the property */

static const char *const columns[] = {
	"uuid",
	"verdict",
	"drop_reason_desc",
	"node_name",
	"source_ip",
	"source_port",
	"source_identity",
	"source_cluster",
	"source_namespace",
	"source_pod",
	"source_service",
	"destination_ip",
	"destination_port",
	"destination_identity",
	"destination_cluster",
	"destination_namespace",
	"destination_pod",
	"destination_service",
	"ip_version",
	"protocol",
	"traffic_direction",
	"is_reply",
	"event_type",
	"encrypted",
};

static void starts_with(sqlite3_context *x, int n, sqlite3_value **v)
{
	struct str s = str_of((const char *)sqlite3_value_text(v[0])),
		   with = str_of((const char *)sqlite3_value_text(v[1]));

	(void)n;
	sqlite3_result_int(x, str_has_prefix(s, with));
}

static void ends_with(sqlite3_context *x, int n, sqlite3_value **v)
{
	struct str s = str_of((const char *)sqlite3_value_text(v[0])),
		   with = str_of((const char *)sqlite3_value_text(v[1]));

	(void)n;
	sqlite3_result_int(x, str_has_suffix(s, with));
}

static void concat(sqlite3_context *x, int n, sqlite3_value **v)
{
	AUTO_BUF struct buf b = buf_init(1 << 16);

	for (int i = 0; i < n; i++)
		buf_str_put(&b, str_of((const char *)sqlite3_value_text(v[i])));
	sqlite3_result_text(x, b.len ? b.p : "", (int)b.len, SQLITE_TRANSIENT);
}

static sqlite3 *open_table(void)
{
	AUTO_BUF struct buf sql = buf_init(4096);
	sqlite3 *db;

	assert_int_equal(sqlite3_open(":memory:", &db), SQLITE_OK);
	(void)sqlite3_create_function(db, "startsWith", 2, SQLITE_UTF8, NULL, starts_with, NULL,
				      NULL);
	(void)sqlite3_create_function(db, "endsWith", 2, SQLITE_UTF8, NULL, ends_with, NULL, NULL);
	(void)sqlite3_create_function(db, "concat", -1, SQLITE_UTF8, NULL, concat, NULL, NULL);
	buf_lit(&sql, "CREATE TABLE rows (flow");
	for (size_t i = 0; i < ARRAY_LEN(columns); i++)
		buf_printf(&sql, ", %s", columns[i]);
	buf_char(&sql, ')');
	assert_int_equal(sqlite3_exec(db, buf_cstr(&sql), NULL, NULL, NULL), SQLITE_OK);
	return db;
}

/* SQLite knows no escapes: both sides have them. */
static void put_text(struct buf *b, struct str text)
{
	buf_char(b, ',');
	clickhouse_quote_put(b, text);
}

static void put_enum(struct buf *b, const ProtobufCEnumDescriptor *desc, int32_t number)
{
	buf_lit(b, ",'");
	enum_put(b, desc, number);
	buf_char(b, '\'');
}

static void put_service(struct buf *b, const struct service *svc)
{
	char text[600] = "";

	if (svc)
		(void)snprintf(text, sizeof text, "%.*s/%.*s", STR_FMT(svc->namespace_),
			       STR_FMT(svc->name));
	put_text(b, str_of(text));
}

static void put_side(struct buf *b, const struct flow *f, const struct flow_dict *d,
		     enum flow_side side)
{
	bool is_source = side == FLOW_SRC;
	const struct endpoint *ep = flow_dict_get_endpoint(d, is_source ? f->src_ep : f->dst_ep);
	char tmp[FLOW_IP_TEXT_BYTES];
	uint32_t port = 0;

	(void)flow_port(f, side, &port);
	put_text(b, flow_ip_text(f, side, tmp));
	buf_printf(b, ",%u,%u", port, ep ? ep->identity : 0);
	put_text(b, ep ? ep->cluster : STR(""));
	put_text(b, ep ? ep->namespace_ : STR(""));
	put_text(b, ep ? ep->pod : STR(""));
	put_service(b, flow_dict_get_service(d, is_source ? f->src_svc : f->dst_svc));
}

/* As lib/clickhouse/schema.h describes the columns. */
static void insert(sqlite3 *db, size_t i, const struct flow *f, const struct flow_dict *d)
{
	AUTO_BUF struct buf b = buf_init(1 << 20);
	const struct node *node = flow_dict_get_node(d, f->node);
	char uuid[FLOW_UUID_TEXT_BYTES];

	buf_printf(&b, "INSERT INTO rows VALUES (%zu", i);
	put_text(&b, flow_uuid_text(f, uuid));
	put_enum(&b, &flow__verdict__descriptor, flow_enum(f, 2, f->verdict));
	if (f->verdict == FLOW__VERDICT__DROPPED)
		put_enum(&b, &flow__drop_reason__descriptor, (int32_t)f->drop_desc);
	else
		put_text(&b, STR(""));
	put_text(&b, node ? node->name : STR(""));
	put_side(&b, f, d, FLOW_SRC);
	put_side(&b, f, d, FLOW_DST);
	buf_printf(&b, ",%d", f->ip_version == 1 ? 4 : f->ip_version == 2 ? 6 : 0);
	put_text(&b, str_of(l4_name(f->l4)));
	put_enum(&b, &flow__traffic_direction__descriptor, flow_enum(f, 22, f->direction));
	buf_str_put(&b, f->is_reply == FLOW_REPLY_ABSENT ? STR(",NULL")
			: f->is_reply == FLOW_REPLY_TRUE ? STR(",1")
							 : STR(",0"));
	buf_printf(&b, ",%d,%d)", flow_is(f, FLOW_HAS_EVENT_TYPE) ? f->event_type : 0,
		   flow_is(f, FLOW_ENCRYPTED));
	if (sqlite3_exec(db, buf_cstr(&b), NULL, NULL, NULL) != SQLITE_OK)
		fail_msg("%s: %s", sqlite3_errmsg(db), b.p);
}

/* Which rows pass, a bit each. */
static uint64_t select_rows(sqlite3 *db, const char *where)
{
	AUTO_BUF struct buf sql = buf_init(2 * WHERE_MAX_BYTES);
	sqlite3_stmt *stmt;
	uint64_t bits = 0;

	buf_printf(&sql, "SELECT flow FROM rows WHERE %s", where);
	if (sqlite3_prepare_v2(db, buf_cstr(&sql), -1, &stmt, NULL) != SQLITE_OK)
		fail_msg("%s: %s", sqlite3_errmsg(db), where);
	while (sqlite3_step(stmt) == SQLITE_ROW)
		bits |= UINT64_C(1) << sqlite3_column_int(stmt, 0);
	(void)sqlite3_finalize(stmt);
	return bits;
}

static void random_filters_lose_no_flow(void **state)
{
	enum { FLOWS = 64, FILTERS = 24, ROUNDS = 150 };
	struct random r = random_of("test_archive_where", 1);
	size_t taken = 0, let_through = 0, asked = 0;

	(void)state;
	for (int round = 0; round < ROUNDS; round++) {
		AUTO(flow_dict_free) struct flow_dict *d = dict_of(4 * FLOWS);
		static struct flow flows[FLOWS];
		struct buf bytes[FLOWS];
		Flow__Flow *messages[FLOWS];
		sqlite3 *db = open_table();

		pool_reset();
		for (size_t i = 0; i < FLOWS; i++) {
			struct flow made = random_made(&r, d);
			bytes[i] = buf_init(1 << 20);
			make_consistent(&made);
			flow_encode(&bytes[i], &made, d);
			messages[i] =
				flow__flow__unpack(NULL, bytes[i].len, (const uint8_t *)bytes[i].p);
			assert_int_equal(flow_decode(buf_str(&bytes[i]), d, &flows[i], NULL),
					 ERR_OK);
			insert(db, i, &flows[i], d);
		}
		for (size_t i = 0; i < FILTERS; i++) {
			Flow__FlowFilter *list[2] = { NEW(flow__flow_filter),
						      NEW(flow__flow_filter) };
			size_t count = 1 + random_below(&r, 2);
			AUTO(flow_filter_free) struct flow_filter *ff = NULL;
			AUTO_BUF struct buf where = buf_init(WHERE_MAX_BYTES + 1);
			uint64_t want;

			for (size_t l = 0; l < count; l++)
				for (size_t n = 1 + random_below(&r, 3); n-- > 0;)
					random_field(&r, list[l], messages[i]);
			assert_int_equal(flow_filter_new(list, count, NULL, 0, d, &ff, NULL),
					 ERR_OK);
			(void)flow_filter_match_n(ff, flows, FLOWS, &want);
			uint64_t got = select_rows(db, said(&where, list, count));
			if (want & ~got)
				fail_msg("round %d, filter %zu: %s loses %llx", round, i, where.p,
					 (unsigned long long)(want & ~got));
			taken += (size_t)__builtin_popcountll(want);
			let_through += (size_t)__builtin_popcountll(got);
			asked += FLOWS;
		}
		(void)sqlite3_close(db);
		for (size_t i = 0; i < FLOWS; i++) {
			flow__flow__free_unpacked(messages[i], NULL);
			buf_done(&bytes[i]);
		}
	}
	print_message("%zu of %zu rows, of which %zu are wanted\n", let_through, asked, taken);
	assert_true(taken > asked / 100);     /* neither filters nor flows are degenerate … */
	assert_true(let_through < asked / 2); /* … nor conditions */
}

static int reset(void **state)
{
	(void)state;
	pool_reset();
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(what_columns_cannot_tell_is_not_asked_of_them, reset),
		cmocka_unit_test_setup(
			one_value_of_which_nothing_can_be_said_takes_the_others_with_it, reset),
		cmocka_unit_test_setup(texts_are_quoted, reset),
		cmocka_unit_test_setup(prefixes_are_asked_for_by_whole_octets, reset),
		cmocka_unit_test_setup(what_would_take_too_much_room_is_left_unsaid, reset),
		cmocka_unit_test_setup(random_filters_lose_no_flow, reset),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
