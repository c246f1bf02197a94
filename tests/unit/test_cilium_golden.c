/* observer/cilium: recorded monitor messages and what the reference parser of Cilium 1.19 makes of
 * them, given the same world (golden/events/README.md). */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>
#include <jansson.h>

#include "base/buf.h"
#include "cilium_world.h"
#include "flow/flow.pb-c.h"
#include "flow/json.h"
#include "flow/lost.h"
#include "flow/wire.h"
#include "observer/cilium/cilium.h"
#include "observer/upstream/agent_policy.h"
#include "recorded.h"

enum { COLUMNS = 9, PARSERS = 16, HEADERS = 8 };

/* One line of events.tsv. */
struct recorded {
	struct str id, kind, payload, cpu, node, outcome, expected, options, note;
};

static bool next_event(struct str *rest, struct recorded *ret)
{
	struct str line, *columns[COLUMNS] = { &ret->id,       &ret->kind,    &ret->payload,
					       &ret->cpu,      &ret->node,    &ret->outcome,
					       &ret->expected, &ret->options, &ret->note };

	if (!str_split(rest, '\n', &line) || !line.len)
		return false;
	for (size_t i = 0; i < COLUMNS; i++)
		assert_true(str_split(&line, '\t', columns[i]));
	return true;
}

static struct str unhex(struct str hex, struct buf *out)
{
	buf_reset(out);
	for (size_t i = 0; i + 1 < hex.len; i += 2) {
		char digits[3] = { hex.p[i], hex.p[i + 1], 0 };
		buf_char(out, (char)strtoul(digits, NULL, 16));
	}
	assert_false(out->failed);
	return buf_str(out);
}

/* A parser per value of the options column: what L7 lines leave behind must not mix. */
struct parser {
	struct str options;
	json_t *json;
	const char *allow[HEADERS], *deny[HEADERS];
	struct cilium *cilium;
	struct agent_policies *policies; /* NULL: they are not to be correlated */
};

static size_t texts(const json_t *list, const char **ret)
{
	size_t i;
	json_t *v;

	json_array_foreach(list, i, v)
	{
		assert_in_range(i, 0, HEADERS - 1);
		ret[i] = json_string_value(v);
	}
	return json_array_size(list);
}

static struct parser *parser_for(struct parser parsers[PARSERS], struct cilium_world *w,
				 struct str options)
{
	struct parser *p = parsers;
	struct err e;

	for (; p->cilium; p++)
		if (str_eq(p->options, options))
			return p;
	assert_true(p < parsers + PARSERS - 1);
	p->options = options;
	p->json = json_loadb(options.p, options.len, 0, NULL);
	assert_non_null(p->json);
	const json_t *redact = json_object_get(p->json, "redact");
	const json_t *skip = json_object_get(p->json, "skip_unknown_cgroup_ids");
	struct cilium_config config = {
		.dict = w->dict,
		.names = w->names,
		.link_name = cilium_world_link,
		.link_ctx = w,
		.release = CILIUM_RELEASE_1_19,
		.keep_unknown_cgroups = json_is_false(skip),
		.redact = {
			.enabled = redact != NULL,
			.http_urlquery = json_is_true(json_object_get(redact, "http_urlquery")),
			.http_userinfo = json_is_true(json_object_get(redact, "http_userinfo")),
			.kafka_apikey = json_is_true(json_object_get(redact, "kafka_apikey")),
			.headers_allow = p->allow,
			.headers_deny = p->deny,
			.allow_count = texts(json_object_get(redact, "headers_allow"), p->allow),
			.deny_count = texts(json_object_get(redact, "headers_deny"), p->deny),
		},
	};
	if (cilium_new(&config, &p->cilium, &e) != ERR_OK)
		fail_msg("%s", e.msg);
	if (!json_is_false(json_object_get(p->json, "policy_correlation")))
		p->policies = cilium_world_policies(w);
	return p;
}

/* What is not a function of the line (golden/events/README.md), and what we say besides. */
static const char *const not_fixed[] = { "uuid", "time", "emitter", "node_labels" };
/* The agent's REST API, where our policies come from, does not have it. */
static const char *const not_told[] = { "policy_log" };

static const ProtobufCMessageDescriptor *type_of(const struct flow *f)
{
	return f->kind == FLOW_KIND_FLOW    ? &flow__flow__descriptor
	       : f->kind == FLOW_KIND_DEBUG ? &flow__debug_event__descriptor
					    : &flow__agent_event__descriptor;
}

static json_t *json_of(const struct flow *f, const struct flow_dict *dict)
{
	AUTO_BUF struct buf wire = buf_init(1 << 20), text = buf_init(1 << 20);
	struct err e;

	if (f->kind == FLOW_KIND_FLOW)
		flow_encode(&wire, f, dict);
	else
		buf_put(&wire, f->ext, f->ext_len);
	if (json_put_message(&text, type_of(f), buf_str(&wire), &e) != ERR_OK)
		fail_msg("%s", e.msg);
	json_t *json = json_loadb(text.p, text.len, 0, NULL);
	assert_non_null(json);
	for (size_t i = 0; f->kind == FLOW_KIND_FLOW && i < ARRAY_LEN(not_fixed); i++)
		(void)json_object_del(json, not_fixed[i]);
	return json;
}

/* Members that differ, or that only one of the two has. */
static void print_differences(const json_t *want, const json_t *got)
{
	const json_t *const sides[2] = { want, got };
	const char *key;
	json_t *v;

	for (int side = 0; side < 2; side++)
		json_object_foreach((json_t *)(uintptr_t)sides[side], key, v)
		{
			if (json_equal(v, json_object_get(sides[!side], key)))
				continue;
			char *text = json_dumps(v, JSON_SORT_KEYS | JSON_ENCODE_ANY);
			print_error("  %s %s: %.300s\n", side ? "got " : "want", key, text);
			free(text);
		}
}

static bool same(const struct recorded *r, const struct flow *f, const struct flow_dict *dict)
{
	json_t *want = json_loadb(r->expected.p, r->expected.len, 0, NULL);
	json_t *got = json_of(f, dict);

	assert_non_null(want);
	for (size_t i = 0; i < ARRAY_LEN(not_told); i++)
		(void)json_object_del(want, not_told[i]);
	bool equal = json_equal(want, got);
	if (!equal) {
		print_error("%.*s (%.*s) differs\n", STR_FMT(r->id), STR_FMT(r->note));
		print_differences(want, got);
	}
	json_decref(want);
	json_decref(got);
	return equal;
}

static bool holds(struct parser *parsers, struct cilium_world *w, const struct recorded *r,
		  struct buf *payload)
{
	static const char *const outcomes[] = {
		[CILIUM_TAKEN] = "flow", [CILIUM_SKIPPED] = "skip", [CILIUM_REFUSED] = "error"
	};
	AUTO_BUF struct buf ext = buf_init(1 << 16);
	struct flow f = { .time = { 1 }, .bits = FLOW_HAS_TIME };
	uint32_t cpu;

	assert_true(parse_u32(r->cpu, &cpu));
	const struct cilium_sample in = {
		.bytes = unhex(r->payload, payload),
		.cpu = (int32_t)cpu,
		.monitor = str_is(r->kind, "l7") || str_is(r->kind, "agent"),
	};
	struct parser *parser = parser_for(parsers, w, r->options);
	enum cilium_outcome outcome = cilium_event(parser->cilium, &in, &f, &ext);
	if (!str_is(r->outcome, outcomes[outcome])) {
		print_error("%.*s (%.*s) is \"%s\", not \"%.*s\"\n", STR_FMT(r->id),
			    STR_FMT(r->note), outcomes[outcome], STR_FMT(r->outcome));
		return false;
	}
	if (outcome != CILIUM_TAKEN)
		return true;
	if (f.kind == FLOW_KIND_FLOW && parser->policies)
		agent_policies_flow(parser->policies, w->dict, &f, &ext);
	assert_false(ext.failed);
	f.ext = (const uint8_t *)ext.p;
	f.ext_len = (uint32_t)ext.len;
	f.node = cilium_world_node(w, r->node);
	return same(r, &f, w->dict);
}

static bool take_time(const json_t *in, const char *key, struct timestamp *ret)
{
	const char *text = json_string_value(json_object_get(in, key));

	return text && timestamp_parse(str_of(text), ret);
}

/* These lines are no bytes, but say what is to be told. */
static bool lost_holds(const struct recorded *r)
{
	AUTO_BUF struct buf wire = buf_init(256), text = buf_init(1024);
	json_t *in = json_loadb(r->payload.p, r->payload.len, JSON_DECODE_INT_AS_REAL, NULL);
	json_t *want = json_loadb(r->expected.p, r->expected.len, 0, NULL);
	struct flow_lost lost = { .cpu = -1 };

	assert_true(in && want);
	double count = json_real_value(json_object_get(in, "num_events_lost"));
	lost.source = (int32_t)json_real_value(json_object_get(in, "source"));
	lost.count = count >= 18446744073709551615.0 ? UINT64_MAX : (uint64_t)count;
	lost.cpu = (int32_t)json_real_value(json_object_get(in, "cpu"));
	lost.has_first = take_time(in, "first", &lost.first);
	lost.has_last = take_time(in, "last", &lost.last);
	flow_lost_put(&wire, &lost);
	assert_int_equal(
		json_put_message(&text, &flow__lost_event__descriptor, buf_str(&wire), NULL),
		ERR_OK);
	json_t *got = json_loadb(text.p, text.len, 0, NULL);
	bool equal = json_equal(want, got);
	if (!equal)
		print_error("%.*s differs: %.*s\n", STR_FMT(r->id), STR_FMT(buf_str(&text)));
	json_decref(in);
	json_decref(want);
	json_decref(got);
	return equal;
}

static void every_recorded_event_gives_what_the_reference_made_of_it(void **state)
{
	(void)state;
	AUTO_BUF struct buf all = recorded_read("golden/events/events.tsv"),
			    payload = buf_init(1 << 20);
	AUTO_CILIUM_WORLD w = cilium_world_open();
	struct parser parsers[PARSERS] = { 0 };
	struct str rest = buf_str(&all), head;
	struct recorded r;
	size_t lines = 0, wrong = 0;

	assert_true(str_split(&rest, '\n', &head));
	while (next_event(&rest, &r)) {
		lines++;
		if (str_is(r.kind, "lost")) {
			wrong += !lost_holds(&r);
			continue;
		}
		wrong += !holds(parsers, &w, &r, &payload);
	}
	for (struct parser *p = parsers; p->cilium; p++) {
		cilium_free(p->cilium);
		agent_policies_free(p->policies);
		json_decref(p->json);
	}
	assert_in_range(lines, 2000, SIZE_MAX);
	if (wrong)
		fail_msg("%zu of %zu recorded events differ", wrong, lines);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_recorded_event_gives_what_the_reference_made_of_it),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
