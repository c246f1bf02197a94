#include "observer/cilium/agent_event.h"

#include <jansson.h>
#include <stdio.h>

#include "base/own.h"
#include "base/time.h"
#include "flow/flow.pb-c.h"
#include "flow/wire.h"
#include "observer/cilium/text.h"

struct notification {
	int64_t type;
	struct str text;
};

static const struct gob_want wants[] = {
	{ "Type", GOB_WANT_NUMBER, offsetof(struct notification, type), NULL },
	{ "Text", GOB_WANT_TEXT, offsetof(struct notification, text), NULL },
	{ NULL, GOB_WANT_NUMBER, 0, NULL },
};

/* --- members of the JSON ------------------------------------------------------------------ */

enum kind { KIND_TEXT, KIND_TEXTS, KIND_NUMBER, KIND_OPTIONAL, KIND_TIME };

struct member {
	const char *key;
	enum kind kind;
	uint32_t field;
};

static void put_text(struct buf *b, const json_t *v, uint32_t field)
{
	wire_put_str(b, field, str_n(json_string_value(v), json_string_length(v)));
}

static void put_time(struct buf *b, const json_t *v, uint32_t field)
{
	struct timestamp t;

	if (!timestamp_parse_lax(str_n(json_string_value(v), json_string_length(v)), &t))
		return;
	size_t mark = wire_begin(b, field);
	wire_put_u64(b, 1, (uint64_t)t.s);
	wire_put_u64(b, 2, (uint64_t)t.ns);
	wire_end(b, mark);
}

/* False if @v is nothing that this member can be: then the notification is not what it says. */
static bool put_member(struct buf *b, const struct member *m, const json_t *v)
{
	size_t i;
	json_t *item;

	if (!v || json_is_null(v))
		return true;
	switch (m->kind) {
	case KIND_TEXT:
		if (json_is_string(v))
			put_text(b, v, m->field);
		return json_is_string(v);
	case KIND_TEXTS:
		json_array_foreach((json_t *)(uintptr_t)v, i, item)
		{
			if (!json_is_string(item))
				return false;
			wire_put_len(b, m->field,
				     str_n(json_string_value(item), json_string_length(item)));
		}
		return json_is_array(v);
	case KIND_NUMBER:
		if (json_is_integer(v))
			wire_put_u64(b, m->field, (uint64_t)json_integer_value(v));
		return json_is_integer(v);
	case KIND_OPTIONAL: {
		if (!json_is_integer(v))
			return false;
		size_t mark = wire_begin(b, m->field); /* google.protobuf.UInt32Value */
		wire_put_u64(b, 1, (uint32_t)json_integer_value(v));
		wire_end(b, mark);
		return true;
	}
	case KIND_TIME:
		if (json_is_string(v))
			put_time(b, v, m->field);
		return json_is_string(v);
	}
	return false;
}

/* --- kinds of notifications --------------------------------------------------------------- */

static const struct member start_members[] = { { "time", KIND_TIME, 1 }, { NULL, KIND_TEXT, 0 } };
static const struct member policy_members[] = {
	{ "labels", KIND_TEXTS, 1 },
	{ "revision", KIND_NUMBER, 2 },
	{ "rule_count", KIND_NUMBER, 3 },
	{ NULL, KIND_TEXT, 0 },
};
static const struct member regeneration_members[] = {
	{ "id", KIND_NUMBER, 1 },
	{ "labels", KIND_TEXTS, 2 },
	{ "error", KIND_TEXT, 3 },
	{ NULL, KIND_TEXT, 0 },
};
static const struct member endpoint_members[] = {
	{ "id", KIND_NUMBER, 1 },     { "labels", KIND_TEXTS, 2 },   { "error", KIND_TEXT, 3 },
	{ "pod-name", KIND_TEXT, 4 }, { "namespace", KIND_TEXT, 5 }, { NULL, KIND_TEXT, 0 },
};
static const struct member ipcache_members[] = {
	{ "cidr", KIND_TEXT, 1 },        { "id", KIND_NUMBER, 2 },
	{ "old-id", KIND_OPTIONAL, 3 },  { "host-ip", KIND_TEXT, 4 },
	{ "old-host-ip", KIND_TEXT, 5 }, { "encrypt-key", KIND_NUMBER, 6 },
	{ "namespace", KIND_TEXT, 7 },   { "pod-name", KIND_TEXT, 8 },
	{ NULL, KIND_TEXT, 0 },
};

enum { FIELD_UNKNOWN = 100, TYPE_FIRST = 2 };

/* By the agent's own number, from TYPE_FIRST up. */
static const struct {
	uint32_t type, field; /* flow.AgentEventType; member of the oneof */
	const struct member *members;
} notifications[] = {
	{ FLOW__AGENT_EVENT_TYPE__AGENT_STARTED, 101, start_members },
	{ FLOW__AGENT_EVENT_TYPE__ENDPOINT_REGENERATE_SUCCESS, 103, regeneration_members },
	{ FLOW__AGENT_EVENT_TYPE__ENDPOINT_REGENERATE_FAILURE, 103, regeneration_members },
	{ FLOW__AGENT_EVENT_TYPE__POLICY_UPDATED, 102, policy_members },
	{ FLOW__AGENT_EVENT_TYPE__POLICY_DELETED, 102, policy_members },
	{ FLOW__AGENT_EVENT_TYPE__ENDPOINT_CREATED, 104, endpoint_members },
	{ FLOW__AGENT_EVENT_TYPE__ENDPOINT_DELETED, 104, endpoint_members },
	{ FLOW__AGENT_EVENT_TYPE__IPCACHE_UPSERTED, 105, ipcache_members },
	{ FLOW__AGENT_EVENT_TYPE__IPCACHE_DELETED, 105, ipcache_members },
};

static bool put_known(struct buf *out, int64_t type, const json_t *json)
{
	if (type < TYPE_FIRST || type >= TYPE_FIRST + (int64_t)ARRAY_LEN(notifications) ||
	    !json_is_object(json))
		return false;
	size_t at = (size_t)(type - TYPE_FIRST), start = out->len;
	wire_put_u64(out, 1, notifications[at].type);
	size_t mark = wire_begin(out, notifications[at].field);
	for (const struct member *m = notifications[at].members; m->key; m++)
		if (!put_member(out, m, json_object_get(json, m->key))) {
			out->len = start;
			return false;
		}
	wire_end(out, mark);
	return true;
}

static void put_unknown(struct buf *out, const struct notification *n)
{
	char number[24];
	size_t mark = wire_begin(out, FIELD_UNKNOWN);

	(void)snprintf(number, sizeof number, "%lld", (long long)n->type);
	wire_put_str(out, 1, str_of(number));
	put_clean(out, 2, n->text);
	wire_end(out, mark);
}

bool agent_event_put(struct str stream, struct gob_types *t, struct buf *out)
{
	struct notification n;
	struct gob value;
	int32_t id;

	if (!gob_first_value(t, stream, &id, &value) || !gob_read(&value, t, id, wants, &n))
		return false;
	json_t *json = json_loadb(n.text.p, n.text.len, JSON_ALLOW_NUL, NULL);
	if (!put_known(out, n.type, json))
		put_unknown(out, &n);
	json_decref(json);
	return true;
}
