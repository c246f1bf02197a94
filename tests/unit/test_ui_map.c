/* ui-server/servicemap: flows as JSON in, cards and edges out; expected values are counted by hand
 * from the flows. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>
#include <jansson.h>

#include "base/buf.h"
#include "flow/flow.pb-c.h"
#include "flow/json.h"
#include "flow/wire.h"
#include "ui-server/servicemap.h"

struct fixture {
	struct flow_dict *dict;
	struct ui_map *map;
	json_t *json; /* what the map said last */
};

static void set_up(struct fixture *f, struct ui_map_limits limits)
{
	struct err e;

	f->json = NULL;
	assert_int_equal(flow_dict_new(1000, &f->dict, &e), ERR_OK);
	assert_int_equal(ui_map_new(limits, 42, &f->map, &e), ERR_OK);
}

static void tear_down(struct fixture *f)
{
	json_decref(f->json);
	ui_map_free(f->map);
	flow_dict_free(f->dict);
}
#define FIXTURE __attribute__((cleanup(tear_down))) struct fixture

static const struct ui_map_limits plenty = { 100, 100, 50 };

static void add(struct fixture *f, const char *json)
{
	AUTO_BUF struct buf wire = buf_init(1 << 16);
	struct flow flow;
	struct err e;

	assert_int_equal(
		json_read_message(str_of(json), &flow__flow__descriptor, NULL, &wire, NULL, &e),
		ERR_OK);
	assert_int_equal(flow_decode(buf_str(&wire), f->dict, &flow, &e), ERR_OK);
	ui_map_add(f->map, &flow, f->dict);
}

static void read_map(struct fixture *f, uint64_t since)
{
	AUTO_BUF struct buf b = buf_init(1 << 20);

	json_decref(f->json);
	ui_map_put(f->map, since, &b);
	f->json = json_loads(buf_cstr(&b), JSON_REJECT_DUPLICATES, NULL);
	assert_non_null(f->json);
}

static size_t count_of(const struct fixture *f, const char *list)
{
	return json_array_size(json_object_get(f->json, list));
}
static json_t *edge_at(const struct fixture *f, size_t i)
{
	return json_array_get(json_object_get(f->json, "edges"), i);
}
static long number(const json_t *object, const char *member)
{
	return (long)json_integer_value(json_object_get(object, member));
}
static const char *text(const json_t *object, const char *member)
{
	const char *s = json_string_value(json_object_get(object, member));

	return s ? s : "";
}
/* "kind namespace/name" of the card at one end of an edge. */
static void assert_end(const struct fixture *f, const json_t *edge, const char *end,
		       const char *expected)
{
	long id = number(edge, end);
	char said[200] = "";

	for (size_t i = 0; i < count_of(f, "cards"); i++) {
		json_t *c = json_array_get(json_object_get(f->json, "cards"), i);
		if (number(c, "id") == id)
			(void)snprintf(said, sizeof said, "%s %s/%s", text(c, "kind"),
				       text(c, "namespace"), text(c, "name"));
	}
	assert_string_equal(said, expected);
}

#define WEB                                                                                        \
	"{\"namespace\":\"shop\",\"pod_name\":\"web-1\",\"workloads\":[{\"name\":\"web\","         \
	"\"kind\":\"Deployment\"}]}"
#define WEB2                                                                                       \
	"{\"namespace\":\"shop\",\"pod_name\":\"web-2\",\"workloads\":[{\"name\":\"web\","         \
	"\"kind\":\"Deployment\"}]}"
#define DB "{\"namespace\":\"data\",\"pod_name\":\"db-0\"}"
#define TCP(src, dst) "\"l4\":{\"TCP\":{\"source_port\":" #src ",\"destination_port\":" #dst "}}"
#define FLAGS(src, dst, flags)                                                                     \
	"\"l4\":{\"TCP\":{\"source_port\":" #src ",\"destination_port\":" #dst                     \
	",\"flags\":{" flags "}}}"

#define DENIED(clock, more)                                                                        \
	"\"verdict\":\"DROPPED\",\"time\":\"2024-03-01T" clock                                     \
	"Z\",\"drop_reason_desc\":\"POLICY_DENIED\"" more

static void nothing_seen_is_an_empty_map(void **state)
{
	(void)state;
	FIXTURE f;
	set_up(&f, plenty);
	read_map(&f, 0);
	assert_true(json_is_true(json_object_get(f.json, "full")));
	assert_int_equal(count_of(&f, "cards") + count_of(&f, "edges"), 0);
}

static void pods_of_a_workload_share_a_card_and_answers_the_edge_of_the_request(void **state)
{
	(void)state;
	FIXTURE f;
	set_up(&f, plenty);
	add(&f, "{\"verdict\":\"FORWARDED\",\"is_reply\":false,\"source\":" WEB
		",\"destination\":" DB "," TCP(41000, 5432) "}");
	add(&f, "{\"verdict\":\"FORWARDED\",\"is_reply\":true,\"source\":" DB
		",\"destination\":" WEB "," TCP(5432, 41000) "}");
	add(&f, "{\"verdict\":\"FORWARDED\",\"is_reply\":false,\"source\":" WEB2
		",\"destination\":" DB "," TCP(42000, 5432) "}");
	read_map(&f, 0);
	assert_int_equal(count_of(&f, "cards"), 2);
	assert_int_equal(count_of(&f, "edges"), 1);
	assert_end(&f, edge_at(&f, 0), "from", "workload shop/web");
	assert_end(&f, edge_at(&f, 0), "to", "pod data/db-0");
	assert_int_equal(number(edge_at(&f, 0), "port"), 5432);
	assert_string_equal(text(edge_at(&f, 0), "protocol"), "TCP");
	assert_int_equal(number(edge_at(&f, 0), "forwarded"), 3);
}

static void drops_that_do_not_say_who_asked_are_told_by_flags_and_ports(void **state)
{
	(void)state;
	static const char *const drops[] = {
		/* a request */
		"{\"verdict\":\"DROPPED\",\"source\":" WEB ",\"destination\":" DB
		"," FLAGS(41000, 5432, "\"SYN\":true") "}",
		/* the answer to one */
		"{\"verdict\":\"DROPPED\",\"source\":" DB ",\"destination\":" WEB
		"," FLAGS(5432, 41000, "\"SYN\":true,\"ACK\":true") "}",
		/* the middle of a connection, both ways */
		"{\"verdict\":\"DROPPED\",\"source\":" WEB ",\"destination\":" DB
		"," FLAGS(41000, 5432, "\"ACK\":true") "}",
		"{\"verdict\":\"ERROR\",\"source\":" DB ",\"destination\":" WEB
		"," FLAGS(5432, 41000, "\"RST\":true") "}",
	};
	FIXTURE f;
	set_up(&f, plenty);
	for (size_t i = 0; i < ARRAY_LEN(drops); i++)
		add(&f, drops[i]);
	read_map(&f, 0);
	assert_int_equal(count_of(&f, "edges"), 1);
	assert_end(&f, edge_at(&f, 0), "from", "workload shop/web");
	assert_int_equal(number(edge_at(&f, 0), "dropped"), 4);
	assert_int_equal(number(edge_at(&f, 0), "forwarded"), 0);
}

static void every_outcome_is_counted_for_itself_with_reasons_and_who_decided(void **state)
{
	(void)state;
	FIXTURE f;
	set_up(&f, plenty);
	static const char *const rest[] = {
		"\"verdict\":\"REDIRECTED\",\"time\":\"2024-03-01T08:00:00Z\"",
		"\"verdict\":\"AUDIT\"",
		"\"verdict\":99", /* of a later version */
		DENIED("10:00:00.5",
		       ",\"ingress_denied_by\":[{\"name\":\"cde\",\"namespace\":\"data\"}]"),
		DENIED("09:00:00", ""),
		"\"verdict\":\"DROPPED\",\"tycho\":{\"kernel_drop_reason\":\"NO_SOCKET\"}",
	};
	for (size_t i = 0; i < ARRAY_LEN(rest); i++) {
		char json[1000];
		(void)snprintf(json, sizeof json,
			       "{\"is_reply\":false,\"source\":" WEB ",\"destination\":" DB
			       "," TCP(41000, 443) ",%s}",
			       rest[i]);
		add(&f, json);
	}
	read_map(&f, 0);
	assert_int_equal(count_of(&f, "edges"), 1);
	json_t *edge = edge_at(&f, 0), *reasons = json_object_get(edge, "reasons");
	assert_int_equal(number(edge, "forwarded"), 1);
	assert_int_equal(number(edge, "audited"), 1);
	assert_int_equal(number(edge, "unknown"), 1);
	assert_int_equal(number(edge, "dropped"), 3);
	assert_int_equal(number(reasons, "POLICY_DENIED"), 2);
	assert_int_equal(number(reasons, "NO_SOCKET"), 1);
	assert_string_equal(text(edge, "denied_by"), "data/cde");
	assert_string_equal(text(edge, "denied_on"), "ingress");
	/* date -u -d 2024-03-01T10:00:00 +%s */
	assert_true(json_integer_value(json_object_get(edge, "last_dropped")) == 1709287200500);
	assert_true(json_integer_value(json_object_get(edge, "first_dropped")) == 1709283600000);
	assert_true(json_integer_value(json_object_get(edge, "first")) == 1709280000000);
}

static void a_reason_without_a_name_is_its_number_whatever_the_kernel_calls_it(void **state)
{
	(void)state;
	FIXTURE f;
	set_up(&f, plenty);
	static const char *const reasons[] = {
		"\"drop_reason_desc\":212",
		"\"drop_reason_desc\":212,\"tycho\":{\"kernel_drop_reason\":\"NO_SOCKET\"}",
		"\"drop_reason_desc\":-7",
		"\"drop_reason_desc\":0",
	};
	for (size_t i = 0; i < ARRAY_LEN(reasons); i++) {
		char json[1000];
		(void)snprintf(json, sizeof json,
			       "{\"is_reply\":false,\"source\":" WEB ",\"destination\":" DB
			       "," TCP(41000, 443) ",\"verdict\":\"DROPPED\",%s}",
			       reasons[i]);
		add(&f, json);
	}
	read_map(&f, 0);
	const json_t *counts = json_object_get(edge_at(&f, 0), "reasons");
	assert_int_equal(number(edge_at(&f, 0), "dropped"), 4);
	assert_int_equal(number(counts, "212"), 2);
	assert_int_equal(number(counts, "-7"), 1);
	assert_int_equal(json_object_size(counts), 2);
}

static void ports_and_protocols_are_edges_of_their_own(void **state)
{
	(void)state;
	FIXTURE f;
	set_up(&f, plenty);
	static const char *const l4[] = {
		TCP(41000, 443),
		TCP(41000, 80),
		"\"l4\":{\"UDP\":{\"source_port\":41000,\"destination_port\":443}}",
		"\"l4\":{\"ICMPv4\":{\"type\":8}}",
	};
	for (size_t i = 0; i < ARRAY_LEN(l4); i++) {
		char json[1000];
		(void)snprintf(json, sizeof json,
			       "{\"verdict\":\"FORWARDED\",\"source\":" WEB ",\"destination\":" DB
			       ",%s}",
			       l4[i]);
		add(&f, json);
	}
	read_map(&f, 0);
	assert_int_equal(count_of(&f, "cards"), 2);
	assert_int_equal(count_of(&f, "edges"), 4);
	assert_string_equal(text(edge_at(&f, 3), "protocol"), "ICMPv4");
	assert_null(json_object_get(edge_at(&f, 3), "port"));
}

static void the_outside_has_the_most_telling_name_there_is(void **state)
{
	(void)state;
	static const struct {
		const char *side, *card;
	} cases[] = {
		{ "\"destination\":{\"identity\":7}", "reserved /kube-apiserver" },
		{ "\"destination\":{\"identity\":1,\"labels\":[\"reserved:host\"]}",
		  "reserved /host" },
		{ "\"destination\":{\"identity\":2},\"destination_names\":[\"a.example\"],"
		  "\"IP\":{\"destination\":\"192.0.2.1\"}",
		  "name /a.example" },
		{ "\"destination\":{\"identity\":2},\"IP\":{\"destination\":\"192.0.2.1\"}",
		  "address /192.0.2.1" },
		{ "\"IP\":{\"destination\":\"2001:db8::1\"}", "address /2001:db8::1" },
		{ "\"destination\":{\"identity\":16777217,\"labels\":[\"cidr:192.0.2.0/24\","
		  "\"reserved:world\"]}",
		  "cidr /192.0.2.0/24" },
		{ "\"destination\":{\"identity\":4242,\"namespace\":\"far\","
		  "\"labels\":[\"k8s:app=cart\"]}",
		  "identity far/cart" },
		{ "\"Type\":\"L3_L4\"", "nowhere /" },
	};
	FIXTURE f;
	set_up(&f, plenty);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char json[1000];
		(void)snprintf(json, sizeof json,
			       "{\"verdict\":\"FORWARDED\",\"source\":" WEB ",%s}", cases[i].side);
		add(&f, json);
	}
	read_map(&f, 0);
	assert_int_equal(count_of(&f, "edges"), ARRAY_LEN(cases));
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		assert_end(&f, edge_at(&f, i), "to", cases[i].card);
}

static void a_reader_gets_only_what_changed_since_its_version(void **state)
{
	(void)state;
	FIXTURE f;
	set_up(&f, plenty);
	add(&f, "{\"verdict\":\"FORWARDED\",\"source\":" WEB ",\"destination\":" DB
		"," TCP(41000, 1) "}");
	add(&f, "{\"verdict\":\"FORWARDED\",\"source\":" WEB ",\"destination\":" DB
		"," TCP(41000, 2) "}");
	uint64_t version = ui_map_version(f.map);
	add(&f, "{\"verdict\":\"FORWARDED\",\"source\":" WEB ",\"destination\":" DB
		"," TCP(41000, 2) "}");
	read_map(&f, version);
	assert_true(json_is_false(json_object_get(f.json, "full")));
	assert_int_equal(count_of(&f, "cards"), 0);
	assert_int_equal(count_of(&f, "edges"), 1);
	assert_int_equal(number(edge_at(&f, 0), "id"), 1);
	assert_int_equal(number(edge_at(&f, 0), "forwarded"), 2);
	read_map(&f, ui_map_version(f.map));
	assert_int_equal(count_of(&f, "edges"), 0);
}

static void add_address(struct fixture *f, int last)
{
	char json[300];

	(void)snprintf(json, sizeof json,
		       "{\"verdict\":\"FORWARDED\",\"source\":" WEB
		       ",\"IP\":{\"destination\":\"192.0.2.%d\"}," TCP(41000, 443) "}",
		       last);
	add(f, json);
}

static void addresses_beyond_the_limit_share_a_card_and_known_ones_keep_theirs(void **state)
{
	(void)state;
	FIXTURE f;
	set_up(&f, (struct ui_map_limits){ 100, 100, 2 });
	for (int last = 1; last <= 5; last++)
		add_address(&f, last);
	add_address(&f, 1);
	read_map(&f, 0);
	assert_int_equal(count_of(&f, "cards"), 1 + 2 + 1);
	assert_int_equal(count_of(&f, "edges"), 3);
	assert_int_equal(number(edge_at(&f, 0), "forwarded"), 2);
	assert_end(&f, edge_at(&f, 2), "to", "rest /");
	assert_int_equal(number(edge_at(&f, 2), "forwarded"), 3);
	assert_int_equal(number(f.json, "untracked"), 0);
}

static void flows_that_find_no_room_are_counted(void **state)
{
	(void)state;
	FIXTURE f;
	set_up(&f, (struct ui_map_limits){ 3, 2, 3 });
	for (int last = 1; last <= 4; last++)
		add_address(&f, last); /* web and two addresses are three cards */
	read_map(&f, 0);
	assert_int_equal(count_of(&f, "cards"), 3);
	assert_int_equal(number(f.json, "untracked"), 2);
	add(&f, "{\"verdict\":\"FORWARDED\",\"source\":" WEB ",\"destination\":" WEB2
		"," TCP(41000, 9) "}");
	read_map(&f, 0);
	assert_int_equal(count_of(&f, "edges"), 2);
	assert_int_equal(number(f.json, "untracked"), 3);
}

static void names_survive_a_dictionary_that_starts_anew(void **state)
{
	(void)state;
	FIXTURE f;
	set_up(&f, plenty);
	add(&f, "{\"verdict\":\"FORWARDED\",\"source\":" WEB ",\"destination\":" DB
		"," TCP(41000, 1) "}");
	flow_dict_reset(f.dict);
	/* The other way round: ids are given out anew. */
	add(&f, "{\"verdict\":\"FORWARDED\",\"source\":" DB ",\"destination\":" WEB
		"," TCP(41000, 1) "}");
	read_map(&f, 0);
	assert_int_equal(count_of(&f, "cards"), 2);
	assert_end(&f, edge_at(&f, 1), "from", "pod data/db-0");
	assert_end(&f, edge_at(&f, 1), "to", "workload shop/web");
}

static Tycho__V1__Peer peer_of(const char *namespace_, const char *name, const char *kind)
{
	Tycho__V1__Peer p;

	tycho__v1__peer__init(&p);
	p.namespace_ = (char *)(uintptr_t)namespace_;
	p.workload = (char *)(uintptr_t)name;
	p.workload_kind = (char *)(uintptr_t)kind;
	return p;
}

static void edges_of_a_server_add_up_over_nodes_and_verdicts(void **state)
{
	(void)state;
	FIXTURE f;
	char *policies[] = { (char *)(uintptr_t) "data/deny" };
	char *names[] = { (char *)(uintptr_t) "api.example" };
	Tycho__V1__Peer web = peer_of("shop", "web", "Deployment"),
			db = peer_of("data", "db-0", ""), outside = peer_of("", "world", ""),
			host = peer_of("", "host", "");
	Google__Protobuf__Timestamp early, late;
	Tycho__V1__Edge edge;

	set_up(&f, plenty);
	google__protobuf__timestamp__init(&early);
	google__protobuf__timestamp__init(&late);
	early.seconds = 1000;
	late.seconds = 2000;
	outside.dns_names = names;
	outside.n_dns_names = 1;
	tycho__v1__edge__init(&edge);
	edge.source = &web;
	edge.destination = &db;
	edge.protocol = (char *)(uintptr_t) "TCP";
	edge.port = 5432;
	edge.verdict = FLOW__VERDICT__FORWARDED;
	edge.flows = 5;
	edge.bytes = 100;
	edge.first_seen = edge.last_seen = &early;
	ui_map_add_edge(f.map, &edge); /* of two nodes */
	edge.last_seen = &late;
	ui_map_add_edge(f.map, &edge);
	edge.first_seen = &late;
	edge.verdict = FLOW__VERDICT__DROPPED;
	edge.drop_reason = FLOW__DROP_REASON__POLICY_DENIED;
	edge.policies = policies;
	edge.n_policies = 1;
	edge.flows = 3;
	ui_map_add_edge(f.map, &edge);
	edge.destination = &outside;
	edge.drop_reason = (Flow__DropReason)212; /* of a later version */
	ui_map_add_edge(f.map, &edge);
	edge.destination = &host;
	ui_map_add_edge(f.map, &edge);
	edge.destination = NULL;
	ui_map_add_edge(f.map, &edge);
	read_map(&f, 0);
	assert_int_equal(count_of(&f, "edges"), 3);
	const json_t *e = edge_at(&f, 0);
	assert_end(&f, edge_at(&f, 0), "from", "workload shop/web");
	assert_end(&f, edge_at(&f, 0), "to", "pod data/db-0");
	assert_int_equal(json_integer_value(json_object_get(e, "port")), 5432);
	assert_int_equal(json_integer_value(json_object_get(e, "forwarded")), 10);
	assert_int_equal(json_integer_value(json_object_get(e, "dropped")), 3);
	assert_int_equal(json_integer_value(json_object_get(e, "bytes")), 300);
	assert_int_equal(json_integer_value(json_object_get(e, "first")), 1000000);
	assert_int_equal(json_integer_value(json_object_get(e, "first_dropped")), 2000000);
	assert_int_equal(
		json_integer_value(json_object_get(json_object_get(e, "reasons"), "POLICY_DENIED")),
		3);
	assert_string_equal(json_string_value(json_object_get(e, "denied_by")), "data/deny");
	assert_null(json_object_get(e, "denied_on"));
	assert_end(&f, edge_at(&f, 1), "to", "name /api.example");
	assert_int_equal(number(json_object_get(edge_at(&f, 1), "reasons"), "212"), 3);
	assert_end(&f, edge_at(&f, 2), "to", "reserved /host");
	assert_int_equal(json_integer_value(json_object_get(f.json, "untracked")), 3);
}

/* As in the record's map: nobody talks to anybody. */
static void a_frame_without_addresses_is_no_edge(void **state)
{
	(void)state;
	FIXTURE f;

	set_up(&f, plenty);
	add(&f, "{\"verdict\":\"FORWARDED\"}");
	read_map(&f, 0);
	assert_int_equal(count_of(&f, "cards"), 0);
	assert_int_equal(count_of(&f, "edges"), 0);
	assert_int_equal(number(f.json, "untracked"), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_seen_is_an_empty_map),
		cmocka_unit_test(
			pods_of_a_workload_share_a_card_and_answers_the_edge_of_the_request),
		cmocka_unit_test(drops_that_do_not_say_who_asked_are_told_by_flags_and_ports),
		cmocka_unit_test(every_outcome_is_counted_for_itself_with_reasons_and_who_decided),
		cmocka_unit_test(
			a_reason_without_a_name_is_its_number_whatever_the_kernel_calls_it),
		cmocka_unit_test(ports_and_protocols_are_edges_of_their_own),
		cmocka_unit_test(the_outside_has_the_most_telling_name_there_is),
		cmocka_unit_test(a_reader_gets_only_what_changed_since_its_version),
		cmocka_unit_test(
			addresses_beyond_the_limit_share_a_card_and_known_ones_keep_theirs),
		cmocka_unit_test(flows_that_find_no_room_are_counted),
		cmocka_unit_test(edges_of_a_server_add_up_over_nodes_and_verdicts),
		cmocka_unit_test(names_survive_a_dictionary_that_starts_anew),
		cmocka_unit_test(a_frame_without_addresses_is_no_edge),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
