/*
 * Streams of tycho.v1 in which each node speaks for itself: GetCoverage, GetServiceMap, Export. The
 * request goes to every peer as it is, what they say goes to the client as it comes: a node's own
 * messages in their order, those of different nodes mixed. Of a node that cannot be asked the
 * client is told, in the call's own form.
 *
 * A service map's first part is complete when every node's is: so the nodes' word for it is taken
 * out and the relay's own comes when all have spoken, or failed. With follow, nodes that come, or
 * come back, are asked from then on. Where nobody has one, the client is told why instead: an empty
 * map would be a lie.
 */
#include <stdio.h>

#include "access/gate.h"
#include "base/map.h"
#include "flow/wire.h"
#include "relay/inside.h"
#include "relay/resume.h"
#include "rpc/failure.h"
#include "rpc/request.h"
#include "tycho/v1/evidence.pb-c.h"
#include "tycho/v1/history.pb-c.h"

enum {
	REQUEST_MAX_BYTES = 5 << 20,
	MESSAGE_MAX_BYTES = 4 << 20,
	LANES_MAX = 100000,
	RESULT_BYTES = sizeof((struct rpc_result *)0)->message,
	FIELD_NODE_NAME = 1,  /* of all three answers */
	MAP_UNTIL = 2,        /* of GetServiceMapRequest */
	MAP_FOLLOW = 3,       /* the same */
	MAP_COMPLETE = 3,     /* of GetServiceMapResponse */
	COVERAGE_RECORDS = 7, /* of GetCoverageResponse … */
	COVERAGE_BYTES = 8,
	COVERAGE_EDGES = 9,
	COVERAGE_COUNTED = 15,
	COVERAGE_RANGE_RECORDS = 16,
};
#define REJOIN_NS (500 * NS_PER_MS)

/* What differs between the calls. */
struct passage {
	const char *method;
	const ProtobufCMessageDescriptor *request;
	uint32_t error; /* field of the answer that says why a node has none; 0: there is none */
	const char *unknown; /* why a node that does not know the call has none */
	bool is_map;
	bool has_counts; /* and sums of all namespaces, for who may see all */
};

enum lane_state { LANE_TO_OPEN, LANE_OPEN, LANE_ENDED, LANE_LOST };

struct lane {
	struct peer *peer; /* counted */
	enum lane_state state;
	bool is_complete;     /* a map's first part */
	struct resume resume; /* of which only the pauses are of use */
};

/* Why a map has nothing of anybody: the gravest that was said. A request that one node refuses is
 * wrong; that one node is of another make says nothing about those that are away. */
enum gravity { GRAVE_NOT, GRAVE_UNKNOWN_CALL, GRAVE_AWAY, GRAVE_REFUSED };
struct reason {
	enum gravity gravity;
	enum rpc_status status;
	char text[RESULT_BYTES];
};

struct pass {
	struct api *api;
	const struct passage *passage;
	struct rpc_group *group;
	struct buf request, message;
	struct map *by_name; /* peer's name to lane's index */
	struct lane **lanes; /* each at one place for good: calls know it */
	size_t count, cap;
	struct rpc_fan_event *inbox; /* taken, not looked at yet */
	bool follow, has_completed;
	struct wall_ns until; /* of a follower; UINT64_MAX: it has no end */
	/* Of a map: a node has told of its own; and why others have not. */
	bool has_spoken;
	struct reason reason;
	bool hides_counts;
	uint64_t generation;
	struct mono_ns rejoin_at, suspect_at;
};

static void pass_free(struct pass *p)
{
	if (!p)
		return;
	while (p->inbox) {
		struct rpc_fan_event *next = p->inbox->next;
		rpc_fan_event_free(p->inbox);
		p->inbox = next;
	}
	rpc_group_free(p->group);
	for (size_t i = 0; i < p->count; i++) {
		peer_unref(p->lanes[i]->peer);
		free(p->lanes[i]);
	}
	free(p->lanes);
	map_free(p->by_name);
	buf_done(&p->request);
	buf_done(&p->message);
	free(p);
}
AUTO_DEFINE(struct pass, pass_free);

static void done(void *state)
{
	pass_free(state);
}

/* ---- whom to ask */

static enum err_code add_lane(struct pass *p, struct peer *peer, struct err *e)
{
	if (p->count == p->cap) {
		size_t cap = p->cap ? 2 * p->cap : 16;
		struct lane **lanes = realloc(p->lanes, cap * sizeof(struct lane *));
		if (!lanes)
			return err_set(e, ERR_NOMEM, "streams of %zu peers", cap);
		p->lanes = lanes;
		p->cap = cap;
	}
	AUTO(own_free) struct lane *lane = calloc(1, sizeof *lane);
	if (!lane)
		return err_set(e, ERR_NOMEM, "stream of a peer");
	enum err_code code = map_put(p->by_name, str_of(peer->name), (uint32_t)p->count, NULL, e);
	if (code != ERR_OK)
		return code;
	lane->peer = peer_ref(peer);
	p->lanes[p->count++] = TAKE(lane);
	return ERR_OK;
}

static struct lane *lane_of(const struct pass *p, const char *name)
{
	uint32_t i;

	return map_get(p->by_name, str_of(name), &i) ? p->lanes[i] : NULL;
}

/* Who is on the list now, and does not take part (any more). */
static enum err_code look_for_peers(struct pass *p, struct mono_ns now, struct err *e)
{
	struct peer_list list;
	enum err_code code = peers_snapshot(p->api->config.peers, &list, e);

	if (code != ERR_OK)
		return code;
	p->generation = list.generation;
	for (size_t i = 0; code == ERR_OK && i < list.count; i++) {
		struct lane *lane = lane_of(p, list.peers[i]->name);
		if (!lane) {
			code = add_lane(p, list.peers[i], e);
		} else if (lane->state == LANE_LOST && now.v >= lane->resume.retry_at.v &&
			   peer_is_available(list.peers[i])) {
			peer_unref(lane->peer);
			lane->peer = peer_ref(list.peers[i]);
			lane->state = LANE_TO_OPEN;
		}
	}
	peer_list_done(&list);
	return code;
}

/* ---- what comes of it */

/* A message of ours: @name, and @text in the field for errors. @return false: no room. */
static bool send_error(struct pass *p, struct rpc_call *call, const struct lane *lane,
		       const char *text)
{
	char clean[ERR_MSG_BYTES];

	if (!p->passage->error)
		return true;
	size_t len = utf8_sanitize(str_of(text), clean, sizeof clean);
	buf_reset(&p->message);
	wire_put_str(&p->message, FIELD_NODE_NAME, str_of(lane->peer->name));
	wire_put_str(&p->message, p->passage->error,
		     len ? str_n(clean, len) : STR("unknown error"));
	return rpc_call_send(call, buf_str(&p->message));
}

static void note_reason(struct pass *p, enum gravity gravity, enum rpc_status status,
			const char *text)
{
	if (gravity <= p->reason.gravity)
		return;
	p->reason = (struct reason){ gravity, status, "" };
	(void)str_excerpt(str_of(text), p->reason.text, sizeof p->reason.text);
}

/* @return false: no room; call again. */
static bool open_lane(struct pass *p, struct rpc_call *call, struct lane *lane, struct mono_ns now)
{
	struct rpc_fan_call *opened;
	struct err e;
	const char *why = lane->peer->channel ? "it cannot be reached" : lane->peer->why;

	if (peer_is_available(lane->peer)) {
		if (rpc_fan_call_open(p->group, lane->peer->channel, p->passage->method,
				      buf_str(&p->request), 0, lane, &opened, &e) == ERR_OK) {
			lane->state = LANE_OPEN;
			lane->resume.has_moved = false;
			return true;
		}
		why = e.msg;
	}
	if (!send_error(p, call, lane, why))
		return false;
	note_reason(p, GRAVE_AWAY, RPC_UNAVAILABLE, "no node that can be reached has a map");
	lane->state = LANE_LOST;
	lane->is_complete = true;
	resume_failed(&lane->resume, now);
	return true;
}

/* @return false: there is more to open, or no room. */
static bool open_some(struct pass *p, struct rpc_call *call, struct mono_ns now)
{
	size_t opened = 0;

	for (size_t i = 0; i < p->count; i++) {
		if (p->lanes[i]->state != LANE_TO_OPEN)
			continue;
		if (opened++ == API_OPENED_AT_ONCE || !open_lane(p, call, p->lanes[i], now))
			return false;
	}
	return true;
}

/* A node's part of a map, without its word that this was all. */
static bool send_map(struct pass *p, struct rpc_call *call, struct lane *lane, struct str message)
{
	struct wire_reader fields = wire_reader_of(message);
	bool completes = false;
	struct wire_field f;

	buf_reset(&p->message);
	while (wire_next(&fields, &f)) {
		if (f.number == MAP_COMPLETE && f.type == WIRE_VARINT)
			completes |= f.value != 0;
		else
			buf_str_put(&p->message, f.raw);
	}
	if (fields.bad || p->message.failed) {
		lane->is_complete = true;
		return true; /* nothing that one could read */
	}
	if (!rpc_call_send(call, buf_str(&p->message)))
		return false;
	lane->is_complete |= completes;
	p->has_spoken = true;
	return true;
}

/* A node's coverage, without how much it holds. */
static bool send_uncounted(struct pass *p, struct rpc_call *call, struct str message)
{
	struct wire_reader fields = wire_reader_of(message);
	struct wire_field f;

	buf_reset(&p->message);
	while (wire_next(&fields, &f))
		if (f.number != COVERAGE_RECORDS && f.number != COVERAGE_BYTES &&
		    f.number != COVERAGE_EDGES && f.number != COVERAGE_COUNTED &&
		    f.number != COVERAGE_RANGE_RECORDS)
			buf_str_put(&p->message, f.raw);
	if (fields.bad || p->message.failed)
		return true; /* nothing that one could read */
	return rpc_call_send(call, buf_str(&p->message));
}

static bool on_message(struct pass *p, struct rpc_call *call, const struct rpc_fan_event *ev)
{
	struct lane *lane = ev->owner;

	lane->resume.has_moved = true;
	if (p->passage->is_map)
		return send_map(p, call, lane, ev->message);
	return p->hides_counts ? send_uncounted(p, call, ev->message)
			       : rpc_call_send(call, ev->message);
}

static bool on_end(struct pass *p, struct rpc_call *call, const struct rpc_fan_event *ev,
		   struct mono_ns now)
{
	struct lane *lane = ev->owner;
	const enum rpc_status status = ev->result->status;
	bool is_unknown = status == RPC_UNIMPLEMENTED;
	bool is_refused = !is_unknown && resume_is_refused(&lane->resume, status);
	struct err e;

	if (status != RPC_OK) {
		(void)failure_set(&e, ev->result);
		if (!send_error(p, call, lane, is_unknown ? p->passage->unknown : e.msg))
			return false;
		api_add(&p->api->node_errors, 1);
		note_reason(p,
			    is_unknown   ? GRAVE_UNKNOWN_CALL
			    : is_refused ? GRAVE_REFUSED
					 : GRAVE_AWAY,
			    status, ev->result->message);
	}
	/* Who does not know the call will not know it in a moment, nor who refuses it like it. */
	bool is_final = status == RPC_OK || is_unknown || is_refused;
	lane->state = is_final ? LANE_ENDED : LANE_LOST;
	resume_failed(&lane->resume, now);
	lane->is_complete = true;
	return true;
}

/* @return false: no room. */
static bool take_events(struct pass *p, struct rpc_call *call, struct mono_ns now)
{
	for (;;) {
		if (!p->inbox)
			p->inbox = rpc_group_take(p->group);
		struct rpc_fan_event *ev = p->inbox;
		if (!ev)
			return true;
		if (!(ev->kind == RPC_FAN_MESSAGE ? on_message(p, call, ev)
						  : on_end(p, call, ev, now)))
			return false;
		p->inbox = ev->next;
		rpc_fan_event_free(ev);
	}
}

/* ---- the stream */

/* Who follows waits for those that are away, and for new ones; up to the end of what was asked for. */
static bool goes_on(const struct pass *p)
{
	return p->follow && (p->until.v == UINT64_MAX || wall_now().v <= p->until.v);
}

static bool is_over(const struct pass *p)
{
	bool waits = goes_on(p);
	size_t ended = 0;

	if (p->inbox)
		return false;
	for (size_t i = 0; i < p->count; i++) {
		enum lane_state state = p->lanes[i]->state;
		if (state != LANE_ENDED && (state != LANE_LOST || waits))
			return false;
		ended += state == LANE_ENDED;
	}
	/* Nodes end by themselves what has an end, by their own clocks. */
	return !waits || (ended && p->until.v != UINT64_MAX);
}

static bool all_complete(const struct pass *p)
{
	bool all = true;

	for (size_t i = 0; all && i < p->count; i++)
		all = p->lanes[i]->is_complete;
	return all;
}

/* Who owes an answer and is silent may be dead. */
static void suspect_the_silent(struct pass *p, struct mono_ns now)
{
	if (now.v < p->suspect_at.v)
		return;
	p->suspect_at.v = now.v + p->api->config.drain_ns;
	for (size_t i = 0; i < p->count; i++)
		if (p->lanes[i]->state == LANE_OPEN && !p->lanes[i]->is_complete)
			api_suspect(p->api, p->lanes[i]->peer);
}

/* Nobody has a map. A follower waits for those that are away. */
static bool has_nothing(const struct pass *p)
{
	return !p->has_spoken && p->reason.gravity &&
	       (!p->follow || p->reason.gravity != GRAVE_AWAY);
}

static enum rpc_fill fill(struct rpc_call *call, void *state)
{
	struct pass *p = state;
	struct mono_ns now = mono_now();
	struct err e;

	bool changed = peers_generation(p->api->config.peers) != p->generation;
	if ((changed || now.v >= p->rejoin_at.v) && goes_on(p)) {
		p->rejoin_at.v = now.v + REJOIN_NS;
		(void)!look_for_peers(p, now, &e); /* no memory now: again in a moment */
	}
	if (!open_some(p, call, now) || !take_events(p, call, now))
		return RPC_MORE;
	suspect_the_silent(p, now);
	if (p->passage->is_map && !p->has_completed && all_complete(p)) {
		if (has_nothing(p)) {
			rpc_call_end(call, p->reason.status, "%s", p->reason.text);
			return RPC_ENDED;
		}
		buf_reset(&p->message);
		wire_put_str(&p->message, FIELD_NODE_NAME, str_of(p->api->config.node_name));
		wire_put_u64(&p->message, MAP_COMPLETE, 1);
		p->has_completed = rpc_call_send(call, buf_str(&p->message));
		return RPC_MORE;
	}
	if (!is_over(p))
		return RPC_IDLE;
	rpc_call_end(call, RPC_OK, "%s", "");
	return RPC_ENDED;
}

static const struct rpc_stream_ops ops = { fill, done };

/* A time that is none is no end. */
static struct wall_ns end_of(struct str message)
{
	struct timestamp t = { 0 };
	struct wall_ns end;

	return wire_timestamp(message, &t) && timestamp_to_wall(t, &end)
		       ? end
		       : (struct wall_ns){ UINT64_MAX };
}

static enum err_code prepare(struct pass *p, const struct rpc_call *call, struct str request,
			     struct err *e)
{
	struct wire_reader fields = wire_reader_of(request);
	struct mono_ns now = mono_now();
	struct wire_field f;

	p->request = buf_init(REQUEST_MAX_BYTES);
	p->message = buf_init(MESSAGE_MAX_BYTES);
	p->suspect_at.v = now.v + p->api->config.drain_ns;
	p->rejoin_at.v = now.v + REJOIN_NS;
	buf_str_put(&p->request, request);
	p->until.v = UINT64_MAX;
	while (wire_next(&fields, &f))
		if (p->passage->is_map && f.number == MAP_FOLLOW && f.type == WIRE_VARINT)
			p->follow = f.value != 0;
		else if (p->passage->is_map && f.number == MAP_UNTIL && f.type == WIRE_LEN)
			p->until = end_of(f.bytes);
	if (fields.bad)
		return err_set(e, ERR_INVALID, "the request is no protobuf");
	if (p->request.failed)
		return err_set(e, ERR_NOMEM, "request");
	enum err_code code = rpc_group_new(p->api->config.fan, api_wake, p->api, &p->group, e);
	if (code == ERR_OK)
		code = api_forward_headers(p->api, call, NULL, 0, p->group, e);
	if (code == ERR_OK)
		code = map_new(LANES_MAX, now.v, &p->by_name, e);
	return code == ERR_OK ? look_for_peers(p, now, e) : code;
}

static void begin(struct rpc_call *call, struct str request, struct api *a,
		  const struct passage *passage)
{
	struct err e;

	if (!rpc_request_is(call, request, passage->request))
		return;
	AUTO(pass_free) struct pass *p = calloc(1, sizeof *p);
	if (!p) {
		rpc_call_end(call, RPC_RESOURCE_EXHAUSTED, "no memory for a stream");
		return;
	}
	p->api = a;
	p->passage = passage;
	p->hides_counts = passage->has_counts && gate_rights(call);
	api_add(&a->gathers, 1);
	enum err_code code = prepare(p, call, request, &e);
	if (code == ERR_OK)
		rpc_call_stream(call, &ops, TAKE(p));
	else
		rpc_call_end(call,
			     code == ERR_NOMEM ? RPC_RESOURCE_EXHAUSTED : RPC_INVALID_ARGUMENT,
			     "%s", e.msg);
}

void api_get_coverage(struct rpc_call *call, struct str request, void *ctx)
{
	static const struct passage coverage = {
		.method = "/tycho.v1.History/GetCoverage",
		.request = &tycho__v1__get_coverage_request__descriptor,
		.error = 6,
		.unknown = "it does not tell what it keeps, as Hubble's servers do not",
		.has_counts = true,
	};

	begin(call, request, ctx, &coverage);
}

void api_get_service_map(struct rpc_call *call, struct str request, void *ctx)
{
	static const struct passage map = {
		.method = "/tycho.v1.History/GetServiceMap",
		.request = &tycho__v1__get_service_map_request__descriptor,
		.is_map = true,
	};

	begin(call, request, ctx, &map);
}

void api_export(struct rpc_call *call, struct str request, void *ctx)
{
	static const struct passage export = {
		.method = "/tycho.v1.Evidence/Export",
		.request = &tycho__v1__export_request__descriptor,
		.error = 7,
		.unknown = "it has no evidence to export, as Hubble's servers have none",
	};

	begin(call, request, ctx, &export);
}
