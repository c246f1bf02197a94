#include "cilium_ask.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/buf.h"
#include "flow/flow.pb-c.h"
#include "flow/json.h"
#include "flow/lost.h"
#include "flow/wire.h"
#include "observer/cilium/cilium.h"
#include "observer/upstream/agent_policy.h"

enum { PARSERS = 64, HEADERS = 8, MESSAGE_BYTES = 1 << 20 };

struct parser {
	char *options; /* NULL: not in use */
	json_t *json;
	const char *allow[HEADERS], *deny[HEADERS];
	struct cilium *cilium;
	struct agent_policies *policies; /* NULL: they are not to be correlated */
};

struct cilium_asker {
	struct cilium_world *world;
	struct parser parsers[PARSERS];
};

struct cilium_asker *cilium_asker_new(struct cilium_world *w)
{
	struct cilium_asker *a = calloc(1, sizeof *a);

	assert_non_null(a);
	a->world = w;
	return a;
}

void cilium_asker_free(struct cilium_asker *a)
{
	for (size_t i = 0; a && i < PARSERS; i++) {
		cilium_free(a->parsers[i].cilium);
		agent_policies_free(a->parsers[i].policies);
		json_decref(a->parsers[i].json);
		free(a->parsers[i].options);
	}
	free(a);
}

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

static struct parser *parser_for(struct cilium_asker *a, struct str options)
{
	struct cilium_world *w = a->world;
	struct parser *p = a->parsers;
	struct err e;

	for (; p->options; p++)
		if (str_is(options, p->options))
			return p;
	assert_true(p < a->parsers + PARSERS - 1);
	p->options = strndup(options.p, options.len);
	p->json = json_loadb(options.p, options.len, 0, NULL);
	assert_true(p->options && p->json);
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

/* What is not a function of the question (golden/events/README.md), and what we say besides. */
static const char *const not_fixed[] = { "uuid", "time", "emitter", "node_labels" };

static const ProtobufCMessageDescriptor *type_of(const struct flow *f)
{
	return f->kind == FLOW_KIND_FLOW    ? &flow__flow__descriptor
	       : f->kind == FLOW_KIND_DEBUG ? &flow__debug_event__descriptor
					    : &flow__agent_event__descriptor;
}

static json_t *json_of(const ProtobufCMessageDescriptor *type, struct str wire)
{
	AUTO_BUF struct buf text = buf_init(4 * MESSAGE_BYTES);
	struct err e;

	if (json_put_message(&text, type, wire, &e) != ERR_OK)
		fail_msg("%s", e.msg);
	json_t *json = json_loadb(text.p, text.len, JSON_ALLOW_NUL, NULL);
	assert_non_null(json);
	return json;
}

static json_t *json_of_flow(const struct flow *f, const struct flow_dict *dict)
{
	AUTO_BUF struct buf wire = buf_init(MESSAGE_BYTES);

	if (f->kind == FLOW_KIND_FLOW)
		flow_encode(&wire, f, dict);
	else
		buf_put(&wire, f->ext, f->ext_len);
	assert_false(wire.failed);
	json_t *json = json_of(type_of(f), buf_str(&wire));
	for (size_t i = 0; f->kind == FLOW_KIND_FLOW && i < ARRAY_LEN(not_fixed); i++)
		(void)json_object_del(json, not_fixed[i]);
	return json;
}

static bool take_time(const json_t *in, const char *key, struct timestamp *ret)
{
	const char *text = json_string_value(json_object_get(in, key));

	return text && timestamp_parse(str_of(text), ret);
}

/* These questions are no bytes, but say what is to be told. */
static json_t *ask_lost(struct str payload)
{
	AUTO_BUF struct buf wire = buf_init(256);
	json_t *in = json_loadb(payload.p, payload.len, JSON_DECODE_INT_AS_REAL, NULL);
	struct flow_lost lost = { .cpu = -1 };

	assert_non_null(in);
	double count = json_real_value(json_object_get(in, "num_events_lost"));
	lost.source = (int32_t)json_real_value(json_object_get(in, "source"));
	lost.count = count >= 18446744073709551615.0 ? UINT64_MAX : (uint64_t)count;
	lost.cpu = (int32_t)json_real_value(json_object_get(in, "cpu"));
	lost.has_first = take_time(in, "first", &lost.first);
	lost.has_last = take_time(in, "last", &lost.last);
	json_decref(in);
	flow_lost_put(&wire, &lost);
	return json_of(&flow__lost_event__descriptor, buf_str(&wire));
}

struct buf cilium_unhex(struct str hex)
{
	struct buf out = buf_init(hex.len / 2 + 1);

	for (size_t i = 0; i + 1 < hex.len; i += 2) {
		char digits[3] = { hex.p[i], hex.p[i + 1], 0 };
		buf_char(&out, (char)strtoul(digits, NULL, 16));
	}
	assert_false(out.failed);
	return out;
}

const char *cilium_ask(struct cilium_asker *a, const struct cilium_question *q, json_t **ret)
{
	static const char *const outcomes[] = {
		[CILIUM_TAKEN] = "flow", [CILIUM_SKIPPED] = "skip", [CILIUM_REFUSED] = "error"
	};
	struct flow f = { .time = { 1 }, .bits = FLOW_HAS_TIME };
	uint32_t cpu;

	if (str_is(q->kind, "lost")) {
		*ret = ask_lost(q->payload);
		return "flow";
	}
	AUTO_BUF struct buf ext = buf_init(MESSAGE_BYTES), payload = cilium_unhex(q->payload);
	assert_true(parse_u32(q->cpu, &cpu));
	const struct cilium_sample in = {
		.bytes = buf_str(&payload),
		.cpu = (int32_t)cpu,
		.monitor = str_is(q->kind, "l7") || str_is(q->kind, "agent"),
	};
	struct parser *p = parser_for(a, q->options);
	enum cilium_outcome outcome = cilium_event(p->cilium, &in, &f, &ext);
	if (outcome != CILIUM_TAKEN)
		return outcomes[outcome];
	if (f.kind == FLOW_KIND_FLOW && p->policies)
		agent_policies_flow(p->policies, a->world->dict, &f, &ext);
	assert_false(ext.failed);
	f.ext = (const uint8_t *)ext.p;
	f.ext_len = (uint32_t)ext.len;
	f.node = cilium_world_node(a->world, q->node);
	*ret = json_of_flow(&f, a->world->dict);
	return outcomes[outcome];
}
