/*
 * correlation_policies < questions > answers
 *
 * By which policies a Cilium endpoint allowed or denied what, as we read it from the agent's API: the side of
 * tests/oracle/correlation that is ours. A question is a line of JSON, what main.go beside it answers; the answer is a list of
 * the policies of each verdict.
 */
#include <stdio.h>

#include "base/buf.h"
#include "flow/flow.pb-c.h"
#include "flow/json.h"
#include "flow/wire.h"
#include "observer/upstream/agent_policy.h"

enum { ANSWER_BYTES = 1 << 20, FIELD = 1 };

static void fail(const char *what)
{
	(void)fprintf(stderr, "correlation_policies: %s\n", what);
	exit(2);
}

static json_int_t number(const json_t *object, const char *key)
{
	return json_integer_value(json_object_get(object, key));
}

static json_t *policies_of(const struct agent_policy *p, uint16_t endpoint, const json_t *verdict)
{
	AUTO_BUF struct buf told = buf_init(ANSWER_BYTES), text = buf_init(ANSWER_BYTES);
	json_t *list = json_array();
	const struct agent_policy_key key = {
		.endpoint = endpoint,
		.direction = json_is_true(json_object_get(verdict, "egress")) ? AGENT_EGRESS
									      : AGENT_INGRESS,
		.denied = json_is_true(json_object_get(verdict, "denied")),
		.identity = (uint32_t)number(verdict, "identity"),
		.protocol = (uint8_t)number(verdict, "protocol"),
		.port = (uint16_t)number(verdict, "port"),
		.match_type = (uint32_t)number(verdict, "match"),
	};

	(void)agent_policy_put(p, &key, FIELD, &told);
	struct wire_reader r = wire_reader_of(buf_str(&told));
	for (struct wire_field x; wire_next(&r, &x);) {
		buf_reset(&text);
		if (json_put_message(&text, &flow__policy__descriptor, x.bytes, NULL) != ERR_OK)
			fail("a policy that is none");
		json_array_append_new(list, json_loadb(text.p, text.len, 0, NULL));
	}
	return list;
}

static void answer(const char *line)
{
	AUTO(agent_policy_free) struct agent_policy *p = NULL;
	json_t *q = json_loads(line, 0, NULL), *all = json_array(), *verdict;
	json_t *endpoints = json_object_get(q, "endpoints");
	struct err e;
	size_t i;

	if (!json_is_object(q))
		fail("a question that is no JSON");
	if (agent_policy_new(endpoints, json_object_get(q, "selectors"), &p, &e) != ERR_OK)
		fail(e.msg);
	uint16_t endpoint = (uint16_t)number(json_array_get(endpoints, 0), "id");
	json_array_foreach(json_object_get(q, "verdicts"), i, verdict)
		json_array_append_new(all, policies_of(p, endpoint, verdict));
	char *text = json_dumps(all, JSON_COMPACT);
	(void)puts(text);
	free(text);
	json_decref(all);
	json_decref(q);
}

int main(void)
{
	char *line = NULL;
	size_t size = 0;

	while (getline(&line, &size, stdin) > 0)
		answer(line);
	free(line);
	return fflush(stdout) == 0 ? 0 : 2;
}
