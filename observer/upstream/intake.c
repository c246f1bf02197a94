#include "observer/upstream/intake.h"

#include <jansson.h>

#include "base/counter.h"
#include "flow/flow.pb-c.h"
#include "flow/wire.h"
#include "relay/relay.pb-c.h"

enum {
	MESSAGE_BYTES = INTAKE_OWN_BYTES / 2,
	EVENTS_REMEMBERED = 1 << 12, /* agent and debug events come by the dozen */
	NODES_NAMED = 20,            /* of a message about nodes; the others are counted */
	/* flow.Flow */
	FLOW_TIME = 1,
	FLOW_NODE_NAME = 11,
	FLOW_UUID = 34,
	/* GetFlowsRequest; the others differ in follow */
	REQUEST_FLOWS_FOLLOW = 3,
	REQUEST_EVENTS_FOLLOW = 2,
	REQUEST_SINCE = 7,
};
#define NODES_LATE_NS (10 * NS_PER_S) /* a relay gathers equal errors for so long */

enum err_code intake_init(struct intake *in, const char *address, struct record_queue *queue,
			  size_t remembered, uint64_t seed, struct err *e)
{
	*in = (struct intake){
		.address = address,
		.queue = queue,
		.message = buf_init(MESSAGE_BYTES),
	};
	enum err_code code = resume_new(remembered, seed, &in->seen[INTAKE_FLOWS], e);
	if (code == ERR_OK)
		code = resume_new(EVENTS_REMEMBERED, seed, &in->seen[INTAKE_AGENT], e);
	if (code == ERR_OK)
		code = resume_new(EVENTS_REMEMBERED, seed, &in->seen[INTAKE_DEBUG], e);
	return code;
}

void intake_done(struct intake *in)
{
	for (size_t i = 0; i < INTAKE_STREAMS; i++)
		resume_free(in->seen[i]);
	buf_done(&in->message);
}

static void put(struct intake *in, int kind, struct str who, struct wall_ns wall,
		struct str message)
{
	const struct record r = {
		.kind = kind, .count = 1, .wall = wall, .who = who, .message = message
	};

	if (!record_queue_fits(in->queue, who.len, message.len) ||
	    !record_queue_put(in->queue, &r)) {
		const struct record lost = { .kind = RAW_LOST, .count = 1 };
		counter_add(&in->bad, 1);
		(void)record_queue_put(in->queue, &lost);
		return;
	}
	counter_add(kind == RAW_FLOW ? &in->flows : &in->other, 1);
}

/* ---- what we say ourselves */

/* Takes @notification. */
static void tell_json(struct intake *in, const char *type, json_t *notification,
		      struct wall_ns wall)
{
	char *text = notification ? json_dumps(notification, JSON_COMPACT) : NULL;

	json_decref(notification);
	buf_reset(&in->message);
	size_t unknown = wire_begin(&in->message, 100); /* AGENT_EVENT_UNKNOWN */
	wire_put_str(&in->message, 1, str_of(type));
	wire_put_str(&in->message, 2, str_of(text ? text : "{}"));
	wire_end(&in->message, unknown);
	free(text);
	if (!in->message.failed)
		put(in, RAW_AGENT, STR(""), wall, buf_str(&in->message));
}

static json_t *json_text(struct str s)
{
	char clean[500]; /* six times as long at worst, when escaped */

	return json_stringn(clean, utf8_sanitize(s, clean, sizeof clean));
}

void intake_tell(struct intake *in, const char *type, const char *key, const char *text,
		 struct wall_ns wall)
{
	tell_json(in, type,
		  json_pack("{s:o, s:o}", "server", json_text(str_of(in->address)), key,
			    json_text(str_of(text))),
		  wall);
}

static json_t *json_time(struct wall_ns w)
{
	char text[40];
	struct buf b = buf_fixed(text, sizeof text);

	timestamp_put(&b, timestamp_of(w));
	return json_stringn(b.p, b.len);
}

static void put_time(struct buf *b, uint32_t field, struct wall_ns w)
{
	struct timestamp t = timestamp_of(w);
	size_t mark = wire_begin(b, field);

	wire_put_u64(b, 1, (uint64_t)t.s);
	wire_put_u64(b, 2, (uint64_t)t.ns);
	wire_end(b, mark);
}

static void tell_gap(struct intake *in, const struct resume_gap *gap, struct wall_ns wall)
{
	counter_add(&in->gaps, 1);
	tell_json(in, "hubble-gap",
		  json_pack("{s:o, s:o, s:o, s:o}", "server", json_text(str_of(in->address)),
			    "node", json_text(gap->node), "from", json_time(gap->from), "to",
			    json_time(gap->to)),
		  wall);
	buf_reset(&in->message);
	wire_put_u64(&in->message, 1, FLOW__LOST_EVENT_SOURCE__HUBBLE_RING_BUFFER);
	put_time(&in->message, 4, gap->from);
	put_time(&in->message, 5, gap->to);
	put(in, RAW_LOST_MESSAGE, gap->node, gap->to, buf_str(&in->message));
}

/* ---- what the server says */

/* @return true: it is new; the gap before it is told. */
static bool is_new(struct intake *in, enum intake_stream which, struct str node, struct str id,
		   struct wall_ns time, struct wall_ns wall)
{
	struct resume_gap gap;
	bool has_gap;
	bool fresh = resume_take(in->seen[which], node, id, time, &has_gap, &gap);

	if (has_gap && which == INTAKE_FLOWS)
		tell_gap(in, &gap, wall);
	if (!fresh)
		counter_add(&in->seen_before, 1);
	return fresh;
}

static struct wall_ns time_of(const struct flow_response *response)
{
	struct wall_ns wall = { 0 };

	if (response->has_time)
		(void)timestamp_to_wall(response->time, &wall);
	return wall;
}

static bool read_time(struct str message, struct wall_ns *ret)
{
	struct wire_reader r = wire_reader_of(message);
	struct timestamp t = { 0 };

	for (struct wire_field f; wire_next(&r, &f);) {
		if (f.type == WIRE_VARINT && f.number == 1)
			t.s = (int64_t)f.value;
		else if (f.type == WIRE_VARINT && f.number == 2)
			t.ns = (int32_t)f.value;
	}
	return !r.bad && timestamp_to_wall(t, ret);
}

/* By what a flow is known: what it says of itself counts more than its envelope. False: it is no
 * protobuf. */
static bool read_flow(struct str message, struct str *node, struct str *id, struct wall_ns *time)
{
	struct wire_reader r = wire_reader_of(message);

	*id = message;
	for (struct wire_field f; wire_next(&r, &f);) {
		if (f.type != WIRE_LEN)
			continue;
		if (f.number == FLOW_TIME)
			(void)read_time(f.bytes, time);
		else if (f.number == FLOW_NODE_NAME)
			*node = f.bytes;
		else if (f.number == FLOW_UUID && f.bytes.len)
			*id = f.bytes;
	}
	return !r.bad;
}

static bool take_flow(struct intake *in, const struct flow_response *response, struct wall_ns wall)
{
	struct wall_ns time = time_of(response);
	struct str node = response->node_name, id;

	if (!read_flow(response->message, &node, &id, &time))
		return false;
	if (!is_new(in, INTAKE_FLOWS, node, id, time, wall))
		return true;
	put(in, RAW_FLOW, node, time, response->message);
	if (time.v > counter_get(&in->newest_ns))
		atomic_store_explicit(&in->newest_ns, time.v, memory_order_relaxed);
	atomic_store_explicit(&in->nodes, resume_nodes(in->seen[INTAKE_FLOWS]),
			      memory_order_relaxed);
	return true;
}

static const char *state_name(int32_t state)
{
	const ProtobufCEnumValue *v =
		protobuf_c_enum_descriptor_get_value(&relay__node_state__descriptor, state);

	return v ? v->name : "UNKNOWN_NODE_STATE";
}

/* A relay has lost nodes, or has them (again). */
static bool take_nodes(struct intake *in, struct str message, struct wall_ns wall)
{
	Relay__NodeStatusEvent *m =
		relay__node_status_event__unpack(NULL, message.len, (const uint8_t *)message.p);
	json_t *names = json_array();

	if (!m) {
		json_decref(names);
		return false;
	}
	bool is_lost = m->state_change != RELAY__NODE_STATE__NODE_CONNECTED;
	for (size_t i = 0; i < m->n_node_names; i++) {
		struct str name = str_of(m->node_names[i]);
		if (is_lost)
			resume_break_node(in->seen[INTAKE_FLOWS], name, in->taken_before[1]);
		if (i < NODES_NAMED)
			(void)json_array_append_new(names, json_text(str_of(EXCERPT(name))));
	}
	tell_json(in, "hubble-nodes",
		  json_pack("{s:o, s:s, s:I, s:o, s:o}", "server", json_text(str_of(in->address)),
			    "state", state_name(m->state_change), "count",
			    (json_int_t)m->n_node_names, "nodes", names, "message",
			    json_text(str_of(m->message))),
		  wall);
	relay__node_status_event__free_unpacked(m, NULL);
	return true;
}

static bool take_response(struct intake *in, struct str message, struct wall_ns wall)
{
	struct flow_response response;

	if (flow_response_split(message, &response, NULL) != ERR_OK)
		return false;
	if (!response.has_message)
		return true;
	switch (response.kind) {
	case FLOW_KIND_FLOW:
		return take_flow(in, &response, wall);
	case FLOW_KIND_NODE_STATUS:
		return take_nodes(in, response.message, wall);
	case FLOW_KIND_LOST:
		if (is_new(in, INTAKE_FLOWS, response.node_name, response.message,
			   time_of(&response), wall))
			put(in, RAW_LOST_MESSAGE, response.node_name, time_of(&response),
			    response.message);
		return true;
	default:
		return true; /* no server sends others here */
	}
}

/* GetAgentEventsResponse and GetDebugEventsResponse: event 1, node_name 1000, time 1001. */
static bool take_event(struct intake *in, enum intake_stream which, struct str message,
		       struct wall_ns wall)
{
	struct wire_reader r = wire_reader_of(message);
	struct str event = { 0 }, node = STR("");
	struct wall_ns time = { 0 };

	for (struct wire_field f; wire_next(&r, &f);) {
		if (f.type != WIRE_LEN)
			continue;
		if (f.number == 1)
			event = f.bytes;
		else if (f.number == 1000)
			node = f.bytes;
		else if (f.number == 1001)
			(void)read_time(f.bytes, &time);
	}
	if (r.bad)
		return false;
	if (event.p && is_new(in, which, node, event, time, wall))
		put(in, which == INTAKE_AGENT ? RAW_AGENT : RAW_DEBUG, node, time, event);
	return true;
}

bool intake_message(struct intake *in, enum intake_stream which, struct str message,
		    struct mono_ns now, struct wall_ns wall)
{
	if (which != INTAKE_FLOWS)
		return take_event(in, which, message, wall);
	if (now.v - in->taken_at.v > NODES_LATE_NS) {
		in->taken_before[1] = in->taken_before[0];
		in->taken_before[0] = resume_taken(in->seen[INTAKE_FLOWS]);
		in->taken_at = now;
	}
	return take_response(in, message, wall);
}

void intake_remember(struct intake *in, const struct flow *f, const struct flow_dict *dict)
{
	static const enum intake_stream streams[] = {
		[FLOW_KIND_FLOW] = INTAKE_FLOWS,
		[FLOW_KIND_LOST] = INTAKE_FLOWS,
		[FLOW_KIND_AGENT] = INTAKE_AGENT,
		[FLOW_KIND_DEBUG] = INTAKE_DEBUG,
	};
	const struct node *node = flow_dict_get_node(dict, f->node);
	struct str name = node ? node->name : STR(""), id = str_n(f->ext, f->ext_len);
	struct wall_ns time = { flow_is(f, FLOW_HAS_TIME) ? f->time.v : 0 };
	struct resume_gap gap;
	bool has_gap;

	if (f->kind >= ARRAY_LEN(streams) ||
	    (f->kind == FLOW_KIND_FLOW && !read_flow(id, &name, &id, &time)))
		return;
	(void)resume_take(in->seen[streams[f->kind]], name, id, time, &has_gap, &gap);
}

void intake_break(struct intake *in, enum intake_stream which)
{
	resume_break(in->seen[which]);
}

bool intake_tell_gap(struct intake *in, struct wall_ns wall)
{
	struct resume_gap gap;

	if (!resume_next_gap(in->seen[INTAKE_FLOWS], wall, &gap))
		return false;
	tell_gap(in, &gap, wall);
	return true;
}

void intake_request(struct intake *in, enum intake_stream which, uint64_t history_ns,
		    struct wall_ns wall, struct buf *b)
{
	bool is_first = in->asked[which].v == 0;
	struct wall_ns since;

	if (is_first)
		in->asked[which] = wall;
	bool goes_on = resume_since(in->seen[which], wall, &since);
	if (!goes_on) {
		/* what came while nobody answered counts, too */
		uint64_t asked = in->asked[which].v;
		since.v = asked > history_ns ? asked - history_ns : 0;
	}
	wire_put_u64(b, which == INTAKE_FLOWS ? REQUEST_FLOWS_FOLLOW : REQUEST_EVENTS_FOLLOW, 1);
	if (goes_on || history_ns || !is_first)
		put_time(b, REQUEST_SINCE, since);
}
