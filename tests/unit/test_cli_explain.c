/*
 * What --explain says is what the filters do. The JSON is judged in two ways: put together again it
 * is the filters it came from, to the byte; and evaluated as its any_of and all_of say, it chooses
 * the flows that the filter engine chooses.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>
#include <jansson.h>

#include "cli/explain.h"
#include "cli/explain_field.h"
#include "cli/filter_rule.h"
#include "filter/filter.h"
#include "flow_random.h"

enum { TEXT_BYTES = 1 << 20, FLOWS = 64 };

struct use {
	const char *flag, *value; /* flag "allowlist", "denylist": raw JSON */
};

/* False: the flags contradict each other. */
static bool read_uses(const struct use *uses, struct observe_request *r)
{
	AUTO(observe_filter_free) struct observe_filter *of = NULL;
	struct err e;

	assert_int_equal(observe_filter_new(&of, &e), ERR_OK);
	for (const struct use *u = uses; u->flag; u++)
		if (!strstr(u->flag, "list") &&
		    observe_filter_set(of, u->flag, u->value, &e) != ERR_OK)
			return false;
	assert_int_equal(observe_filter_check(of, &e), ERR_OK);
	assert_int_equal(observe_filter_lists(of, &r->allow, &r->deny, &e), ERR_OK);
	r->allow_by_flags = r->allow.count;
	r->deny_by_flags = r->deny.count;
	for (const struct use *u = uses; u->flag; u++)
		if (strstr(u->flag, "list"))
			assert_int_equal(
				filter_list_add_json(*u->flag == 'a' ? &r->allow : &r->deny,
						     u->value, &e),
				ERR_OK);
	return true;
}

static json_t *explained(const struct observe_request *r)
{
	AUTO_BUF struct buf text = buf_init(TEXT_BYTES);
	const struct explain x = { .request = r, .server = "localhost:4245" };
	struct err e;

	assert_int_equal(explain_put_json(&x, &text, &e), ERR_OK);
	json_t *root = json_loads(buf_cstr(&text), JSON_REJECT_DUPLICATES, NULL);
	assert_non_null(root);
	return root;
}

/* {"field":[…]}, with what lies deeper in an object of its own. */
static void set_field(json_t *filter, const char *name, json_t *values)
{
	static const char deeper[] = "experimental.";

	if (strncmp(name, deeper, sizeof deeper - 1) != 0) {
		assert_int_equal(json_object_set(filter, name, values), 0);
		return;
	}
	json_t *inner = json_object();
	assert_int_equal(json_object_set(inner, name + sizeof deeper - 1, values), 0);
	assert_int_equal(json_object_set_new(filter, "experimental", inner), 0);
}

static void add_filter(struct filter_list *list, const json_t *filter)
{
	char *text = json_dumps(filter, JSON_COMPACT);
	struct err e;

	assert_non_null(text);
	if (filter_list_add_json(list, text, &e) != ERR_OK)
		fail_msg("%s: %s", text, e.msg);
	free(text);
}

/* --- put together again --- */

static void assert_same_filters(const json_t *any_of, const struct filter_list *want)
{
	AUTO_FILTER_LIST struct filter_list got = { 0 };

	for (size_t i = 0; i < json_array_size(any_of); i++) {
		const json_t *all_of = json_object_get(json_array_get(any_of, i), "all_of");
		json_t *filter = json_object();
		for (size_t k = 0; k < json_array_size(all_of); k++) {
			const json_t *condition = json_array_get(all_of, k);
			set_field(filter, json_string_value(json_object_get(condition, "field")),
				  json_object_get(condition, "any_of"));
		}
		add_filter(&got, filter);
		json_decref(filter);
	}
	assert_int_equal(got.count, want->count);
	for (size_t i = 0; i < got.count; i++) {
		pool_reset();
		assert_bytes_equal(pack(got.items[i]), pack(want->items[i]));
	}
}

static void assert_complete(const struct use *uses)
{
	AUTO_OBSERVE_REQUEST struct observe_request r = { 0 };

	assert_true(read_uses(uses, &r));
	json_t *root = explained(&r);
	json_t *show = json_object_get(json_object_get(root, "show"), "any_of");
	if (r.allow.count) {
		assert_same_filters(show, &r.allow);
	} else { /* everything: one alternative that asks for nothing */
		assert_int_equal(json_array_size(show), 1);
		assert_int_equal(
			json_array_size(json_object_get(json_array_get(show, 0), "all_of")), 0);
	}
	assert_same_filters(json_object_get(json_object_get(root, "hide"), "any_of"), &r.deny);
	json_decref(root);
}
#define USES(...) ((const struct use[]){ __VA_ARGS__, { NULL, NULL } })

/* A value that each flag takes; flags that are not here take "a". */
static const struct use samples[] = {
	{ "protocol", "tcp" },
	{ "tcp-flags", "syn,ack" },
	{ "type", "trace:to-stack" },
	{ "verdict", "DROPPED" },
	{ "drop-reason-desc", "POLICY_DENIED" },
	{ "http-status", "5+" },
	{ "http-header", "a: b" },
	{ "ip-trace-id", "18446744073709551615" },
	{ "from-ip", "10.0.0.0/8" },
	{ "snat-ip", "::1" },
	{ "ip", "1.1.1.1" },
	{ "to-ip", "fd00::/8" },
	{ "ip-version", "none" },
	{ "from-port", "80" },
	{ "port", "80" },
	{ "to-port", "80" },
	{ "from-workload", "Deployment/web" },
	{ "from-identity", "world" },
	{ "identity", "0x10" },
	{ "to-identity", "4294967295" },
	{ "traffic-direction", "egress" },
	{ "cel-expression", "_flow.uuid == \"<&>\" && true" },
};

static const char *sample_of(const char *flag)
{
	for (size_t i = 0; i < ARRAY_LEN(samples); i++)
		if (strcmp(samples[i].flag, flag) == 0)
			return samples[i].value;
	return "a";
}

static void every_filter_flag_is_in_the_explanation(void **state)
{
	(void)state;
	for (size_t i = 0; i < FILTER_RULE_COUNT; i++) {
		const struct use use = { filter_rules[i].flag, sample_of(filter_rules[i].flag) };
		if (filter_rules[i].rule == RULE_NOT)
			continue;
		assert_complete(USES(use));
		assert_complete(USES({ "not", "true" }, use));
		assert_complete(USES(use, { "not", "true" }, { "verdict", "ERROR" }));
	}
}

static void raw_lists_are_in_the_explanation_with_all_their_values(void **state)
{
	(void)state;
	assert_complete(USES(
		{ "pod", "a" }, { "allowlist", "{}{\"reply\":[true,false],\"verdict\":[77,2]}" },
		{ "denylist", "{\"interface\":[{\"index\":3},{\"name\":\"e\\u0001h\"},{}]}" },
		{ "denylist",
		  "{\"event_type\":[{\"type\":0},{\"type\":-1,\"match_sub_type\":true}],"
		  "\"source_workload\":[{}],\"tcp_flags\":[{}],\"trace_id\":[\"\"]}" }));
}

/* A field that a later version of the API adds must not be passed over in silence. */
static void every_field_of_a_filter_has_words(void **state)
{
	(void)state;
	const ProtobufCMessageDescriptor *desc = &flow__flow_filter__descriptor;
	const ProtobufCMessageDescriptor *deeper = &flow__flow_filter__experimental__descriptor;

	assert_int_equal(desc->n_fields - 1 + deeper->n_fields, EXPLAIN_FIELD_COUNT);
	for (size_t i = 0; i < EXPLAIN_FIELD_COUNT; i++) {
		const char *name = explain_field_name(i), *dot = strchr(name, '.');
		assert_non_null(protobuf_c_message_descriptor_get_field_by_name(
			dot ? deeper : desc, dot ? dot + 1 : name));
		for (size_t k = 0; k < i; k++)
			assert_string_not_equal(name, explain_field_name(k));
	}
}

/* --- evaluated --- */

static struct endpoint_id endpoint_of(struct random *rnd, struct flow_dict *d)
{
	static const char *const namespaces[] = { "", "default", "shop" }, *const pods[] = {
		"", "a", "ab", "b"
	};
	const struct str labels[] = { STR("k8s:app=a"), STR("k8s:app=b") };
	const struct workload workload = { STR("web"), STR("Deployment") };

	if (!random_below(rnd, 4))
		return (struct endpoint_id){ 0 };
	return flow_dict_endpoint(d, &(struct endpoint){
					     .identity = (uint32_t)random_below(rnd, 4),
					     .cluster = STR("a"),
					     .namespace_ = str_of(namespaces[random_below(rnd, 3)]),
					     .pod = str_of(pods[random_below(rnd, 4)]),
					     .labels = &labels[random_below(rnd, 2)],
					     .label_count = 1,
					     .workloads = &workload,
					     .workload_count = random_below(rnd, 2),
				     });
}

/* Flows of few values each, so that filters of few values find some of them. */
static struct flow plain_flow(struct random *rnd, struct flow_dict *d)
{
	static const int types[] = { 1, 4, 5, 129 };
	struct flow f = {
		.bits = FLOW_HAS_IP | FLOW_HAS_SRC_IP | FLOW_HAS_DST_IP | FLOW_HAS_EVENT_TYPE |
			FLOW_HAS_TCP_FLAGS | (random_bool(rnd) ? FLOW_ENCRYPTED : 0),
		.verdict = (uint8_t)(1 + random_below(rnd, 2)),
		.drop_desc = random_bool(rnd) ? 133 : 134,
		.ip_version = (uint8_t)(1 + random_below(rnd, 2)),
		.direction = (uint8_t)(1 + random_below(rnd, 2)),
		.is_reply = (uint8_t)random_below(rnd, 3),
		.event_type = types[random_below(rnd, ARRAY_LEN(types))],
		.event_sub_type = (int32_t)random_below(rnd, 4),
		.l4 = random_bool(rnd) ? FLOW_L4_TCP : FLOW_L4_UDP,
		.tcp_flags = (uint16_t)(random_bool(rnd) ? FLOW_TCP_SYN : FLOW_TCP_ACK),
		.src_port = random_bool(rnd) ? 80 : 443,
		.dst_port = random_bool(rnd) ? 80 : 53,
		.src_ip = { [10] = 0xff, [11] = 0xff, [12] = 10, [15] = 1 },
		.dst_ip = { [10] = 0xff, [11] = 0xff, [12] = 10, [15] = 2 },
		.src_ep = endpoint_of(rnd, d),
		.dst_ep = endpoint_of(rnd, d),
	};
	if (random_bool(rnd))
		f.dst_ip[12] = 192;
	return f;
}

struct world {
	struct flow_dict *dict;
	struct flow flows[FLOWS];
};

/* Bit i: flows[i] is chosen. */
static uint64_t engine_answer(struct world *w, const struct filter_list *allow,
			      const struct filter_list *deny)
{
	AUTO(flow_filter_free) struct flow_filter *filter = NULL;
	uint64_t bits = 0;
	struct err e;

	if (flow_filter_new(allow->items, allow->count, deny->items, deny->count, w->dict, &filter,
			    &e) != ERR_OK)
		fail_msg("%s", e.msg);
	for (size_t i = 0; i < FLOWS; i++)
		bits |= (uint64_t)flow_filter_match(filter, &w->flows[i]) << i;
	return bits;
}

/* The engine is asked about single values only; how they combine is the explanation's word. */
static uint64_t value_answer(struct world *w, const char *field, json_t *value)
{
	AUTO_FILTER_LIST struct filter_list one = { 0 }, none = { 0 };
	json_t *filter = json_object(), *values = json_pack("[O]", value);

	set_field(filter, field, values);
	add_filter(&one, filter);
	json_decref(values);
	json_decref(filter);
	return engine_answer(w, &one, &none);
}

static uint64_t condition_answer(struct world *w, const json_t *condition)
{
	const char *field = json_string_value(json_object_get(condition, "field"));
	const json_t *values = json_object_get(condition, "any_of");
	uint64_t any = 0;

	for (size_t i = 0; i < json_array_size(values); i++)
		any |= value_answer(w, field, json_array_get(values, i));
	return any;
}

static uint64_t explained_answer(struct world *w, const json_t *side)
{
	const json_t *any_of = json_object_get(side, "any_of");
	uint64_t any = 0;

	for (size_t i = 0; i < json_array_size(any_of); i++) {
		const json_t *all_of = json_object_get(json_array_get(any_of, i), "all_of");
		uint64_t all = UINT64_MAX;
		for (size_t k = 0; k < json_array_size(all_of); k++)
			all &= condition_answer(w, json_array_get(all_of, k));
		any |= all;
	}
	return any;
}

static void the_explanation_chooses_the_flows_that_the_filters_choose(void **state)
{
	(void)state;
	enum { SETS = 400, MOST_USES = 7 };
	static const struct use choices[] = {
		{ "pod", "a" },
		{ "pod", "shop/a" },
		{ "from-pod", "a" },
		{ "to-pod", "shop/" },
		{ "namespace", "shop" },
		{ "from-namespace", "shop" },
		{ "to-namespace", "default" },
		{ "all-namespaces", "true" },
		{ "port", "80" },
		{ "port", "53" },
		{ "from-port", "443" },
		{ "to-port", "80" },
		{ "protocol", "tcp" },
		{ "protocol", "udp" },
		{ "verdict", "DROPPED" },
		{ "verdict", "FORWARDED" },
		{ "drop-reason-desc", "POLICY_DENIED" },
		{ "type", "trace" },
		{ "type", "drop" },
		{ "type", "trace:to-stack" },
		{ "ip", "10.0.0.1" },
		{ "to-ip", "10.0.0.0/8" },
		{ "ipv4", "v4" },
		{ "label", "app=a" },
		{ "to-label", "!app" },
		{ "identity", "1" },
		{ "to-identity", "2" },
		{ "tcp-flags", "syn" },
		{ "traffic-direction", "egress" },
		{ "encrypted", "true" },
		{ "unencrypted", "true" },
		{ "workload", "Deployment/web" },
		{ "cluster", "a" },
		{ "cel-expression", "_flow.is_reply == true" },
		{ "cel-expression", "_flow.verdict == Verdict.DROPPED" },
		{ "allowlist", "{\"reply\":[true]}" },
		{ "allowlist", "{\"source_port\":[\"80\"],\"verdict\":[\"DROPPED\"]}{}" },
		{ "denylist", "{\"reply\":[false],\"protocol\":[\"udp\",\"sctp\"]}" },
	};
	struct random rnd = random_of(__func__, 11);
	AUTO(flow_dict_free) struct flow_dict *dict = dict_of(1000);
	static struct world w;
	size_t sets = 0, some = 0;

	w.dict = dict;
	for (size_t i = 0; i < FLOWS; i++)
		w.flows[i] = plain_flow(&rnd, dict);
	while (sets < SETS) {
		AUTO_OBSERVE_REQUEST struct observe_request r = { 0 };
		struct use uses[2 * MOST_USES + 1] = { { NULL, NULL } };
		size_t n = 0;
		for (uint64_t left = random_below(&rnd, MOST_USES + 1); left; left--) {
			struct use use = choices[random_below(&rnd, ARRAY_LEN(choices))];
			if (!strstr(use.flag, "list") && random_below(&rnd, 3) == 0)
				uses[n++] = (struct use){ "not", "true" };
			uses[n++] = use;
		}
		if (!read_uses(uses, &r))
			continue;
		json_t *root = explained(&r);
		uint64_t got = explained_answer(&w, json_object_get(root, "show")) &
			       ~explained_answer(&w, json_object_get(root, "hide"));
		uint64_t want = engine_answer(&w, &r.allow, &r.deny);
		if (got != want)
			fail_msg("%016llx chosen, %016llx by %s", (unsigned long long)want,
				 (unsigned long long)got, json_dumps(root, 0));
		json_decref(root);
		some += want && want != UINT64_MAX;
		sets++;
	}
	assert_true(some > SETS / 4); /* else there was little to tell apart */
}

/* --- words --- */

static void expect_words(const struct use *uses, struct observe_request r, const char *file,
			 const char *words)
{
	AUTO_BUF struct buf text = buf_init(TEXT_BYTES);
	const struct explain x = { .request = &r, .server = "localhost:4245", .file = file };
	struct err e;

	assert_true(read_uses(uses, &r));
	assert_int_equal(explain_put_words(&x, &text, &e), ERR_OK);
	assert_string_equal(buf_cstr(&text), words);
	observe_request_done(&r);
}

static void no_filter_shows_every_flow(void **state)
{
	(void)state;
	expect_words(USES({ NULL, NULL }), (struct observe_request){ .number = 20 }, NULL,
		     "Asks the server localhost:4245.\n"
		     "Prints the newest 20 flows that match (of each node, where the server is a "
		     "relay).\n"
		     "\n"
		     "Shows every flow.\n");
}

static void alternatives_are_numbered_and_their_sides_explained(void **state)
{
	(void)state;
	expect_words(
		USES({ "pod", "web" }, { "to-port", "80" }, { "to-port", "443" }),
		(struct observe_request){ .follow = true }, NULL,
		"Asks the server localhost:4245.\n"
		"Begins now, then follows: prints flows as they happen.\n"
		"\n"
		"Shows flows for which any of these holds:\n"
		"  1. all of:\n"
		"       the source is a pod of namespace default whose name begins with web\n"
		"       the destination port is 80 or 443\n"
		"  2. all of:\n"
		"       the destination is a pod of namespace default whose name begins with web\n"
		"       the destination port is 80 or 443\n"
		"\n"
		"A flag without from- or to- asks for either side: one alternative is for the "
		"source, one for the\ndestination. Several such flags ask for the same side.\n");
}

static void negated_flags_are_said_to_be_one_filter(void **state)
{
	(void)state;
	expect_words(USES({ "not", "true" }, { "verdict", "DROPPED" }, { "not", "true" },
			  { "protocol", "udp" }, { "denylist", "{\"reply\":[true]}" }),
		     (struct observe_request){ .number = 1, .first = true }, "flows.json",
		     "Reads the file flows.json; no server is asked.\n"
		     "Prints the first 1 flow that matches.\n"
		     "\n"
		     "Shows every flow, but hides flows for which any of these holds:\n"
		     "  1. all of:\n"
		     "       the verdict is DROPPED\n"
		     "       the protocol is udp\n"
		     "  2. this holds (from --denylist):\n"
		     "       the flow is a reply\n"
		     "\n"
		     "Flags behind --not are one filter together: a flow that matches only some of "
		     "them is not hidden.\n");
}

static void an_empty_filter_is_said_to_match_anything(void **state)
{
	(void)state;
	expect_words(USES({ "verdict", "ERROR" }, { "denylist", "{}" }),
		     (struct observe_request){ .has_since = true,
					       .since = { 1709287200, 0 },
					       .has_until = true,
					       .until = { 1709287201, 500000000 },
					       .mask = (const char *const[]){ "time", "IP.source" },
					       .mask_count = 2 },
		     NULL,
		     "Asks the server localhost:4245.\n"
		     "Takes flows from 2024-03-01T10:00:00Z on, up to and including "
		     "2024-03-01T10:00:01.500Z.\n"
		     "Prints all stored flows that match.\n"
		     "\n"
		     "Shows flows for which this holds:\n"
		     "       the verdict is ERROR\n"
		     "Of these, hides flows for which nothing is required, so every one (from "
		     "--denylist)\n"
		     "\n"
		     "Asks for these fields of each flow only:\n"
		     "       time, IP.source\n");
}

static void values_say_what_they_match_not_how_they_are_spelled(void **state)
{
	(void)state;
	static const struct {
		struct use use;
		const char *words;
	} cases[] = {
		{ { "from-ip", "10.0.0.0/8" }, "the source address is in 10.0.0.0/8" },
		{ { "from-ip", "10.0.0.1" }, "the source address is 10.0.0.1" },
		{ { "from-pod", "/web" },
		  "the source is a pod of any namespace whose name begins with web" },
		{ { "from-namespace", "shop" }, "the source is in namespace shop" },
		{ { "from-all-namespaces", "true" }, "the source is in any namespace" },
		{ { "to-fqdn", "*.example.com" },
		  "a DNS name of the destination matches *.example.com" },
		{ { "node-name", "prod/k8s1" }, "the node is named k8s1 in cluster prod" },
		{ { "node-name", "prod/" }, "the node is in cluster prod" },
		{ { "type", "trace:to-stack" }, "the event type is trace:to-stack" },
		{ { "type", "130:1" }, "the event type is agent:1" },
		{ { "http-status", "40+" }, "the HTTP status begins with 40" },
		{ { "http-path", "/a b" },
		  "the path of the HTTP URL matches the regular expression `/a b`" },
		{ { "to-identity", "2" }, "the security identity of the destination is 2 (world)" },
		{ { "tcp-flags", "ack,syn" }, "the TCP flags include SYN+ACK" },
		{ { "drop-reason-desc", "POLICY_DENIED" },
		  "the flow was dropped, and the reason is POLICY_DENIED" },
		{ { "unencrypted", "true" }, "the flow is not encrypted" },
		{ { "ip-version", "none" }, "the IP version is none (not IP)" },
		{ { "from-workload", "Pod/x" }, "a workload of the source is a Pod named x" },
		{ { "cel-expression", "true" }, "CEL evaluates to true: `true`" },
		{ { "from-label", "a=b\033[31m" },
		  "the labels of the source match \"a=b\\x1b[31m\"" },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		AUTO_OBSERVE_REQUEST struct observe_request r = { 0 };
		AUTO_BUF struct buf text = buf_init(TEXT_BYTES);
		size_t field = 0;

		assert_true(read_uses(USES(cases[i].use), &r));
		assert_int_equal(r.allow.count, 1);
		while (!explain_field_values(field, r.allow.items[0]))
			field++;
		explain_field_put_words(field, r.allow.items[0], &text);
		assert_string_equal(buf_cstr(&text), cases[i].words);
	}
}

/* reference/hubble-api.md 3.2 and 3.3; of a file the first or last N are of those in the time
 * range. */
static void number_and_time_say_which_of_the_stored_flows(void **state)
{
	(void)state;
	static const struct {
		struct observe_request request;
		const char *of_server, *of_file;
	} cases[] = {
		{ { .number = 0 }, "all", "all" },
		{ { .number = UINT64_MAX }, "all", "all" },
		{ { .number = 5 }, "newest", "newest" },
		{ { .number = 5, .first = true }, "oldest", "oldest" },
		{ { .number = 5, .has_until = true }, "newest", "newest" },
		{ { .number = 5, .has_since = true }, "oldest", "newest" },
		{ { .number = 5, .has_since = true, .first = true }, "oldest", "oldest" },
		{ { .has_since = true }, "all", "all" },
		{ { .follow = true }, "none", "all" },
		{ { .follow = true, .number = 5 }, "newest", "newest" },
		{ { .follow = true, .has_since = true }, "all", "all" },
		{ { .follow = true, .has_since = true, .number = 5 }, "all", "newest" },
		{ { .follow = true, .number = UINT64_MAX }, "all", "all" },
	};

	for (size_t i = 0; i < 2 * ARRAY_LEN(cases); i++) {
		AUTO_BUF struct buf text = buf_init(TEXT_BYTES);
		bool file = i % 2;
		const struct explain x = { .request = &cases[i / 2].request,
					   .server = "s",
					   .file = file ? "f" : NULL };
		struct err e;

		assert_int_equal(explain_put_json(&x, &text, &e), ERR_OK);
		json_t *root = json_loads(buf_cstr(&text), JSON_REJECT_DUPLICATES, NULL);
		const json_t *select = json_object_get(root, "select");
		const char *order = json_string_value(json_object_get(select, "order"));
		bool counted = strcmp(order, "all") != 0 && strcmp(order, "none") != 0;
		assert_string_equal(order, file ? cases[i / 2].of_file : cases[i / 2].of_server);
		assert_int_equal(json_integer_value(json_object_get(select, "number")),
				 counted ? 5 : 0);
		json_decref(root);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_filter_flag_is_in_the_explanation),
		cmocka_unit_test(raw_lists_are_in_the_explanation_with_all_their_values),
		cmocka_unit_test(every_field_of_a_filter_has_words),
		cmocka_unit_test(the_explanation_chooses_the_flows_that_the_filters_choose),
		cmocka_unit_test(number_and_time_say_which_of_the_stored_flows),
		cmocka_unit_test(no_filter_shows_every_flow),
		cmocka_unit_test(alternatives_are_numbered_and_their_sides_explained),
		cmocka_unit_test(negated_flags_are_said_to_be_one_filter),
		cmocka_unit_test(an_empty_filter_is_said_to_match_anything),
		cmocka_unit_test(values_say_what_they_match_not_how_they_are_spelled),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
