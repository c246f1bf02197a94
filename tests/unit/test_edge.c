/* lib/edge: who talks to whom, and the map of it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "edge/map.h"
#include "flow/fields.h"
#include "flow/flow.pb-c.h"
#include "flow/wire.h"

struct scene {
	struct flow_dict *dict;
	struct edge_map *map;
	struct endpoint_id web, db, world, cidr;
};

static int make_scene(void **state)
{
	struct scene *s = calloc(1, sizeof *s);
	const struct workload deployment = { STR("web"), STR("Deployment") };
	const struct str world[] = { STR("reserved:world") },
			 cidr[] = { STR("cidr:192.0.2.0/24"), STR("reserved:world") };

	*state = s;
	if (!s || flow_dict_new(100, &s->dict, NULL) != ERR_OK ||
	    edge_map_new(3, 1, &s->map, NULL) != ERR_OK)
		return -1;
	s->web = flow_dict_endpoint(s->dict, &(struct endpoint){ .identity = 4001,
								 .namespace_ = STR("shop"),
								 .pod = STR("web-0"),
								 .workloads = &deployment,
								 .workload_count = 1 });
	s->db = flow_dict_endpoint(s->dict, &(struct endpoint){ .identity = 4002,
								.namespace_ = STR("store"),
								.pod = STR("db-0") });
	s->world = flow_dict_endpoint(
		s->dict, &(struct endpoint){ .identity = 2, .labels = world, .label_count = 1 });
	s->cidr = flow_dict_endpoint(
		s->dict,
		&(struct endpoint){ .identity = 1 << 24 | 7, .labels = cidr, .label_count = 2 });
	return 0;
}

static int free_scene(void **state)
{
	struct scene *s = *state;

	edge_map_free(s->map);
	flow_dict_free(s->dict);
	free(s);
	return 0;
}

static struct flow tcp(struct endpoint_id src, struct endpoint_id dst, uint16_t src_port,
		       uint16_t dst_port, enum flow_reply reply)
{
	return (struct flow){ .bits = FLOW_HAS_TIME,
			      .time = { 5 * NS_PER_S },
			      .l4 = FLOW_L4_TCP,
			      .src_ep = src,
			      .dst_ep = dst,
			      .src_port = src_port,
			      .dst_port = dst_port,
			      .is_reply = (uint8_t)reply,
			      .verdict = FLOW__VERDICT__FORWARDED };
}

static void expect_name(struct scene *s, struct endpoint_id id, const char *namespace_,
			const char *name, const char *kind)
{
	struct edge_side side = edge_side_of(flow_dict_get_endpoint(s->dict, id));

	assert_true(str_is(side.namespace_, namespace_));
	assert_true(str_is(side.name, name));
	assert_true(str_is(side.kind, kind));
}

static void a_side_is_its_workload_else_pod_else_block_else_reserved_name(void **state)
{
	struct scene *s = *state;

	expect_name(s, s->web, "shop", "web", "Deployment");
	expect_name(s, s->db, "store", "db-0", "");
	expect_name(s, s->cidr, "", "192.0.2.0/24", "");
	expect_name(s, s->world, "", "world", "");
	expect_name(s, (struct endpoint_id){ 0 }, "", "unknown", "");
}

/* Names of what is not in a namespace have none, whatever the endpoint says. */
static void a_block_comes_before_a_reserved_name_and_a_label_is_better_than_nothing(void **state)
{
	struct scene *s = *state;
	const struct str block[] = { STR("reserved:world"), STR("cidr:198.51.100.0/24") },
			 cidr[] = { STR("cidr:") }, app[] = { STR("k8s:app=x"), STR("k8s:b") };
	const struct {
		struct endpoint endpoint;
		const char *namespace_, *name;
	} cases[] = {
		{ { .identity = 2, .namespace_ = STR("n"), .labels = block, .label_count = 2 },
		  "",
		  "198.51.100.0/24" },
		{ { .identity = 1, .namespace_ = STR("n"), .labels = cidr, .label_count = 1 },
		  "",
		  "host" },
		{ { .identity = 5000, .namespace_ = STR("n"), .labels = app, .label_count = 2 },
		  "n",
		  "k8s:app=x" },
		{ { .identity = 5000, .namespace_ = STR("n") }, "n", "unknown" },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		expect_name(s, flow_dict_endpoint(s->dict, &cases[i].endpoint), cases[i].namespace_,
			    cases[i].name, "");
}

static void an_answer_is_known_by_its_word_its_flags_or_its_ports(void **state)
{
	struct scene *s = *state;
	struct flow f = tcp(s->web, s->db, 40000, 5432, FLOW_REPLY_FALSE);

	assert_false(edge_is_answer(&f));
	assert_int_equal(edge_port(&f), 5432);
	f = tcp(s->db, s->web, 5432, 40000, FLOW_REPLY_TRUE);
	assert_true(edge_is_answer(&f));
	assert_int_equal(edge_port(&f), 5432);
	f = tcp(s->db, s->web, 5432, 40000, FLOW_REPLY_ABSENT);
	assert_true(edge_is_answer(&f)); /* 40000 is a port of clients */
	f.bits |= FLOW_HAS_TCP_FLAGS;
	f.tcp_flags = FLOW_TCP_SYN;
	assert_false(edge_is_answer(&f)); /* but a SYN asks */
	f.tcp_flags |= FLOW_TCP_ACK;
	assert_true(edge_is_answer(&f));
	f = tcp(s->db, s->web, 5432, 6000, FLOW_REPLY_ABSENT);
	assert_false(edge_is_answer(&f)); /* nothing tells */
}

/* Linux gives clients ports from 32768 on. */
static void ports_of_clients_begin_where_linux_begins_them(void **state)
{
	struct scene *s = *state;
	static const struct {
		uint16_t src, dst;
		bool answers;
	} cases[] = { { 32767, 32768, true },
		      { 32767, 32767, false },
		      { 32768, 32768, false },
		      { 1, 65535, true },
		      { 0, 40000, false } };

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct flow f = tcp(s->db, s->web, cases[i].src, cases[i].dst, FLOW_REPLY_ABSENT);

		assert_int_equal(edge_is_answer(&f), cases[i].answers);
	}
}

static void the_policy_that_denied_comes_before_the_one_that_allowed(void **state)
{
	char ext[128], text[128];
	struct buf b = buf_fixed(ext, sizeof ext), out = buf_fixed(text, sizeof text);
	struct flow f = { .bits = FLOW_HAS_POLICIES };

	(void)state;
	size_t mark = wire_begin(&b, 21001); /* egress_allowed_by */
	wire_put_str(&b, 1, STR("allow"));
	wire_end(&b, mark);
	mark = wire_begin(&b, 21005); /* ingress_denied_by */
	wire_put_str(&b, 1, STR("deny"));
	wire_put_str(&b, 2, STR("shop"));
	wire_end(&b, mark);
	f.ext = (const uint8_t *)b.p;
	f.ext_len = (uint32_t)b.len;
	edge_policy_put(&out, &f);
	assert_true(str_is(buf_str(&out), "shop/deny"));
}

static void a_policy_of_the_whole_cluster_has_its_name_only(void **state)
{
	char ext[128], text[128];
	struct buf b = buf_fixed(ext, sizeof ext), out = buf_fixed(text, sizeof text);

	(void)state;
	size_t mark = wire_begin(&b, 21004); /* egress_denied_by */
	wire_put_str(&b, 1, STR("all"));
	wire_put_len(&b, 2, STR(""));
	wire_end(&b, mark);
	const struct flow f = { .bits = FLOW_HAS_POLICIES,
				.ext = (const uint8_t *)b.p,
				.ext_len = (uint32_t)b.len };
	edge_policy_put(&out, &f);
	assert_true(str_is(buf_str(&out), "all"));
}

/* Only answers say it: HTTP's 4xx and 5xx (RFC 9110), and what DNS calls an rcode but 0. */
static void a_request_went_wrong_if_its_answer_says_so(void **state)
{
	enum { DNS = 100, HTTP = 101, REQUEST = 1, RESPONSE = 2, SAMPLE = 3 };
	static const struct {
		uint32_t type, record, field;
		uint64_t value;
		enum edge_l7 how;
	} cases[] = {
		{ RESPONSE, HTTP, 1, 399, EDGE_L7_OK },
		{ RESPONSE, HTTP, 1, 400, EDGE_L7_ERROR },
		{ RESPONSE, HTTP, 1, 503, EDGE_L7_ERROR },
		{ REQUEST, HTTP, 1, 400, EDGE_L7_NONE },
		{ SAMPLE, HTTP, 1, 400, EDGE_L7_NONE },
		{ RESPONSE, DNS, 6, 0, EDGE_L7_OK },
		{ RESPONSE, DNS, 6, 3, EDGE_L7_ERROR },
		{ REQUEST, DNS, 6, 3, EDGE_L7_NONE },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char ext[128];
		struct buf b = buf_fixed(ext, sizeof ext);
		size_t l7 = wire_begin(&b, FLOW_FIELD_L7);
		wire_put_u64(&b, 1, cases[i].type);
		size_t record = wire_begin(&b, cases[i].record);
		wire_put_u64(&b, cases[i].field, cases[i].value);
		wire_end(&b, record);
		wire_end(&b, l7);
		struct flow f = { .bits = FLOW_HAS_L7,
				  .ext = (const uint8_t *)b.p,
				  .ext_len = (uint32_t)b.len };
		assert_int_equal(edge_l7_of(&f), cases[i].how);
		f.bits = 0;
		assert_int_equal(edge_l7_of(&f), EDGE_L7_NONE);
	}
}

static void a_dns_name_is_for_those_who_have_no_better_one(void **state)
{
	struct scene *s = *state;
	char ext[128];
	struct buf b = buf_fixed(ext, sizeof ext);
	wire_put_str(&b, FLOW_FIELD_DESTINATION_NAMES, STR("api.example"));
	struct flow f = tcp(s->web, s->cidr, 40000, 443, FLOW_REPLY_FALSE);

	f.bits |= FLOW_HAS_NAMES;
	f.ext = (const uint8_t *)b.p;
	f.ext_len = (uint32_t)b.len;
	assert_true(str_is(edge_dns_name(&f, s->dict), "api.example"));
	f.dst_ep = s->db; /* a pod is itself by whatever name it is called */
	assert_int_equal(edge_dns_name(&f, s->dict).len, 0);
	f.dst_ep = (struct endpoint_id){ 0 };
	assert_true(str_is(edge_dns_name(&f, s->dict), "api.example"));
	f.is_reply = FLOW_REPLY_TRUE; /* then the name would be the source's */
	assert_int_equal(edge_dns_name(&f, s->dict).len, 0);
}

static void a_frame_without_addresses_connects_nobody(void **state)
{
	struct scene *s = *state;
	struct flow f = { .bits = FLOW_HAS_TIME, .verdict = FLOW__VERDICT__FORWARDED };

	assert_false(edge_has_ends(&f));
	f.bits |= FLOW_HAS_IP;
	assert_true(edge_has_ends(&f));
	f.bits = 0;
	f.src_ep = s->web;
	assert_true(edge_has_ends(&f));
}

struct listed {
	size_t count, stop_after;
	struct edge_key key;
	struct edge_totals totals;
};

static bool list(void *ctx, const struct edge_key *key, const struct edge_totals *totals)
{
	struct listed *l = ctx;

	if (l->count == l->stop_after)
		return false;
	l->count++;
	l->key = *key;
	l->totals = *totals;
	return true;
}

static size_t edges(const struct scene *s)
{
	struct listed l = { .stop_after = 99 };
	size_t at = 0;

	assert_true(edge_map_each(s->map, 0, &at, list, &l));
	return l.count;
}

static void request_and_answer_are_one_edge_with_their_sum(void **state)
{
	struct scene *s = *state;
	struct flow ask = tcp(s->web, s->db, 40000, 5432, FLOW_REPLY_FALSE),
		    answer = tcp(s->db, s->web, 5432, 40000, FLOW_REPLY_TRUE);
	struct listed l = { .stop_after = 9 };
	size_t at = 0;

	ask.bits |= FLOW_HAS_DETAIL;
	ask.packets = 2;
	ask.bytes = 200;
	answer.time.v = 9 * NS_PER_S;
	for (int i = 0; i < 3; i++)
		edge_map_add_flow(s->map, &ask, s->dict);
	edge_map_add_flow(s->map, &answer, s->dict);
	assert_true(edge_map_each(s->map, 0, &at, list, &l));
	assert_int_equal(l.count, 1);
	assert_true(str_is(l.key.src.name, "web") && str_is(l.key.dst.name, "db-0"));
	assert_int_equal(l.key.port, 5432);
	assert_int_equal(l.totals.flows, 4);
	assert_int_equal(l.totals.packets, 6);
	assert_int_equal(l.totals.bytes, 600);
	assert_int_equal(l.totals.first.v, 5 * NS_PER_S);
	assert_int_equal(l.totals.last.v, 9 * NS_PER_S);
}

/* Nor are losses, and what agents tell, flows. */
static void what_a_flow_does_not_say_is_not_summed(void **state)
{
	struct scene *s = *state;
	struct flow f = tcp(s->web, s->db, 40000, 5432, FLOW_REPLY_FALSE);
	struct listed l = { .stop_after = 9 };
	size_t at = 0;

	f.packets = f.bytes = 77; /* without the bit that they mean something */
	edge_map_add_flow(s->map, &f, s->dict);
	f.kind = FLOW_KIND_LOST;
	edge_map_add_flow(s->map, &f, s->dict);
	f.kind = FLOW_KIND_AGENT;
	edge_map_add_flow(s->map, &f, s->dict);
	assert_true(edge_map_each(s->map, 0, &at, list, &l));
	assert_int_equal(l.count, 1);
	assert_int_equal(l.totals.flows, 1);
	assert_int_equal(l.totals.packets, 0);
	assert_int_equal(l.totals.bytes, 0);
}

struct model {
	size_t count;
	uint64_t flows;
};

static bool expect_flows(void *ctx, const struct edge_key *key, const struct edge_totals *totals)
{
	struct model *m = ctx;

	(void)key;
	m->count++;
	assert_int_equal(totals->flows, m->flows);
	return true;
}

/* More of them than are found by their numbers at once, and in each other's place there: products of a
 * Fibonacci number and the golden ratio are nearly whole. */
static void each_number_of_a_key_tells_edges_apart(void **state)
{
	enum { DROPS = 200, VERDICTS = 4, PORTS = 3, L4S = 3, ROUNDS = 3, FAR = 10946 };
	static const uint8_t l4s[L4S] = { FLOW_L4_TCP, FLOW_L4_UDP, FLOW_L4_SCTP };
	struct scene *s = *state;
	AUTO(edge_map_free) struct edge_map *map = NULL;
	struct model m = { 0, 2 * ROUNDS };
	size_t at = 0;

	assert_int_equal(edge_map_new(2 * DROPS * VERDICTS * PORTS * L4S, 1, &map, NULL), ERR_OK);
	for (int i = 0; i < ROUNDS * VERDICTS * PORTS * L4S * DROPS; i++) {
		int rest = i / DROPS;
		struct flow f =
			tcp(s->web, s->db, 40000, (uint16_t)(1 + rest % PORTS), FLOW_REPLY_FALSE);
		f.drop_desc = (uint32_t)(i % DROPS * FAR);
		f.l4 = l4s[rest / PORTS % L4S];
		f.verdict = (uint8_t)(rest / PORTS / L4S % VERDICTS);
		for (int twice = 0; twice < 2; twice++)
			edge_map_add_flow(map, &f, s->dict);
	}
	assert_true(edge_map_each(map, 0, &at, expect_flows, &m));
	assert_int_equal(m.count, DROPS * VERDICTS * PORTS * L4S);
	assert_int_equal(edge_map_left_out(map), 0);
}

static void a_flow_and_a_row_of_the_record_are_one_edge_where_cluster_and_kind_agree(void **state)
{
	struct scene *s = *state;
	struct flow ask = tcp(s->web, s->db, 40000, 5432, FLOW_REPLY_FALSE);
	struct edge_key row = { .src = { STR(""), STR("shop"), STR("web"), STR("Deployment") },
				.dst = { STR(""), STR("store"), STR("db-0"), STR("") },
				.port = 5432,
				.l4 = ask.l4,
				.verdict = ask.verdict };
	struct listed l = { .stop_after = 9 };
	size_t at = 0;

	edge_map_add(s->map, &row, &(struct edge_totals){ .flows = 7 });
	edge_map_add_flow(s->map, &ask, s->dict);
	assert_true(edge_map_each(s->map, 0, &at, list, &l));
	assert_int_equal(l.count, 1);
	assert_int_equal(l.totals.flows, 8);
	row.src.kind = STR("StatefulSet");
	edge_map_add(s->map, &row, &(struct edge_totals){ .flows = 1 });
	row.dst.cluster = STR("far");
	edge_map_add(s->map, &row, &(struct edge_totals){ .flows = 1 });
	assert_int_equal(edges(s), 3);
}

static void only_what_changed_is_told_again(void **state)
{
	struct scene *s = *state;
	struct flow a = tcp(s->web, s->db, 1, 5432, FLOW_REPLY_FALSE),
		    b = tcp(s->web, s->world, 1, 443, FLOW_REPLY_FALSE);
	struct listed l = { .stop_after = 9 };
	size_t at = 0;

	edge_map_add_flow(s->map, &a, s->dict);
	edge_map_add_flow(s->map, &b, s->dict);
	uint64_t version = edge_map_version(s->map);
	edge_map_add_flow(s->map, &a, s->dict);
	assert_true(edge_map_each(s->map, version, &at, list, &l));
	assert_int_equal(l.count, 1);
	assert_true(str_is(l.key.dst.name, "db-0"));
	assert_int_equal(l.totals.flows, 2);
}

static void a_listing_that_was_stopped_goes_on_where_it_was(void **state)
{
	struct scene *s = *state;
	size_t at = 0;
	struct listed l = { .stop_after = 1 };

	for (uint16_t port = 1; port <= 3; port++) {
		struct flow f = tcp(s->web, s->db, 1, port, FLOW_REPLY_FALSE);
		edge_map_add_flow(s->map, &f, s->dict);
	}
	assert_false(edge_map_each(s->map, 0, &at, list, &l));
	assert_int_equal(l.key.port, 1);
	l = (struct listed){ .stop_after = 9 };
	assert_true(edge_map_each(s->map, 0, &at, list, &l));
	assert_int_equal(l.count, 2);
}

static void beyond_the_limit_flows_are_counted_as_left_out(void **state)
{
	struct scene *s = *state;

	for (uint16_t port = 1; port <= 5; port++) {
		struct flow f = tcp(s->web, s->db, 1, port, FLOW_REPLY_FALSE);
		edge_map_add_flow(s->map, &f, s->dict);
	}
	assert_int_equal(edges(s), 3);
	assert_int_equal(edge_map_left_out(s->map), 2);
	struct flow known = tcp(s->web, s->db, 1, 2, FLOW_REPLY_FALSE);
	edge_map_add_flow(s->map, &known, s->dict);
	assert_int_equal(edge_map_left_out(s->map), 2);
	/* of a sum, all flows */
	edge_map_add(s->map, &(struct edge_key){ .port = 9 }, &(struct edge_totals){ .flows = 10 });
	assert_int_equal(edge_map_left_out(s->map), 12);
}

/* A rule's policy may have a name of kilobytes, and names of others' flows any length. */
static void a_name_that_is_cut_says_so_and_is_the_same_from_the_store(void **state)
{
	struct scene *s = *state;
	static char name[3 * EDGE_TEXT_BYTES], ext[2 * sizeof name];
	struct buf b = buf_fixed(ext, sizeof ext);
	struct flow f = tcp(s->web, s->db, 40000, 5432, FLOW_REPLY_FALSE);
	struct listed l = { .stop_after = 9 };
	size_t at = 0;

	for (size_t i = 0; i < sizeof name; i += 3)
		memcpy(name + i, "\xe2\x82\xac", 3); /* U+20AC */
	size_t mark = wire_begin(&b, 21005);         /* ingress_denied_by */
	wire_put_str(&b, 1, str_n(name, sizeof name));
	wire_put_str(&b, 2, STR("shop"));
	wire_end(&b, mark);
	f.ext = (const uint8_t *)b.p;
	f.ext_len = (uint32_t)b.len;
	f.bits |= FLOW_HAS_POLICIES;
	edge_map_add_flow(s->map, &f, s->dict);
	assert_true(edge_map_each(s->map, 0, &at, list, &l));
	assert_in_range(l.key.policy.len, EDGE_TEXT_BYTES - 3, EDGE_TEXT_BYTES);
	assert_true(str_has_prefix(l.key.policy, STR("shop/\xe2\x82\xac")));
	assert_true(utf8_is_valid(l.key.policy));
	assert_true(str_has_suffix(l.key.policy, STR("…")));
	/* what the store says of it has been cut already */
	edge_map_add(s->map, &l.key, &(struct edge_totals){ .flows = 7 });
	assert_int_equal(edges(s), 1);
}

static void a_sum_from_the_store_adds_to_the_edge_of_its_flows(void **state)
{
	struct scene *s = *state;
	struct flow f = tcp(s->web, s->db, 1, 5432, FLOW_REPLY_FALSE);
	struct listed l = { .stop_after = 9 };
	size_t at = 0;

	edge_map_add_flow(s->map, &f, s->dict);
	edge_map_add(
		s->map,
		&(struct edge_key){ .src = { STR(""), STR("shop"), STR("web"), STR("Deployment") },
				    .dst = { STR(""), STR("store"), STR("db-0"), STR("") },
				    .dns = STR(""),
				    .policy = STR(""),
				    .port = 5432,
				    .l4 = FLOW_L4_TCP,
				    .verdict = FLOW__VERDICT__FORWARDED },
		&(struct edge_totals){ .flows = 10, .first = { NS_PER_S } });
	assert_true(edge_map_each(s->map, 0, &at, list, &l));
	assert_int_equal(l.count, 1);
	assert_int_equal(l.totals.flows, 11);
	assert_int_equal(l.totals.first.v, NS_PER_S);
}

#define SCENE(test) cmocka_unit_test_setup_teardown(test, make_scene, free_scene)

int main(void)
{
	const struct CMUnitTest tests[] = {
		SCENE(a_side_is_its_workload_else_pod_else_block_else_reserved_name),
		SCENE(a_block_comes_before_a_reserved_name_and_a_label_is_better_than_nothing),
		SCENE(ports_of_clients_begin_where_linux_begins_them),
		SCENE(an_answer_is_known_by_its_word_its_flags_or_its_ports),
		cmocka_unit_test(the_policy_that_denied_comes_before_the_one_that_allowed),
		cmocka_unit_test(a_policy_of_the_whole_cluster_has_its_name_only),
		cmocka_unit_test(a_request_went_wrong_if_its_answer_says_so),
		SCENE(a_dns_name_is_for_those_who_have_no_better_one),
		SCENE(a_frame_without_addresses_connects_nobody),
		SCENE(request_and_answer_are_one_edge_with_their_sum),
		SCENE(what_a_flow_does_not_say_is_not_summed),
		SCENE(each_number_of_a_key_tells_edges_apart),
		SCENE(a_flow_and_a_row_of_the_record_are_one_edge_where_cluster_and_kind_agree),
		SCENE(only_what_changed_is_told_again),
		SCENE(a_listing_that_was_stopped_goes_on_where_it_was),
		SCENE(beyond_the_limit_flows_are_counted_as_left_out),
		SCENE(a_name_that_is_cut_says_so_and_is_the_same_from_the_store),
		SCENE(a_sum_from_the_store_adds_to_the_edge_of_its_flows),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
