/*
 * GetFlows, and GetFlowBatches: one request to every peer, one stream in order of time to the
 * client.
 *
 *	peers ──► calls ──► group's inbox ──► speech ──► merge ──► outlet ──► client's queue
 *	                                                   notes ──┘ (who takes part, who failed)
 *
 * A flow stays the bytes it came as; only its time is looked at. Nothing is read from a peer that
 * the client has no room for: each call holds its few messages, and HTTP/2 tells the peer to wait.
 * Other clients have calls of their own.
 *
 * With follow, a peer that failed is asked again when it is back, from where it stopped; so is one
 * that joins later. The stream then ends only when the peers have ended it (until; those that are
 * away by then are not waited for, nor those that would never say so), or the client.
 */
#include <stdio.h>

#include "access/gate.h"
#include "base/map.h"
#include "flow/node_status.h"
#include "observer/observer.pb-c.h"
#include "relay/inside.h"
#include "relay/merge.h"
#include "relay/notes.h"
#include "relay/outlet.h"
#include "relay/request.h"
#include "relay/resume.h"
#include "relay/speech.h"
#include "rpc/failure.h"
#include "rpc/request.h"

enum {
	REQUEST_MAX_BYTES = 5 << 20,
	/* of the inbox, before something is sent, or others get their turn */
	RESPONSES_AT_ONCE = 2048,
	LANES_MAX = 100000,
	MESSAGE_ITEMS_MAX = 1 << 16, /* who puts more into one means harm */
};
/* How often a follower looks for peers that are back or new. */
#define REJOIN_NS (500 * NS_PER_MS)
/* A follower's `until` has passed when nodes of ours have ended by themselves, which leave a second
 * for what comes late. Who then says nothing for as long again, as a Hubble agent that nothing
 * happens to, has nothing more. */
#define UNTIL_GRACE_NS (3 * NS_PER_S)

enum lane_state {
	LANE_TO_OPEN,
	LANE_OPEN,
	LANE_LOST, /* failed: with follow, to be opened again */
	LANE_GONE, /* no peer any more; it may become one again */
	LANE_ENDED /* said all it had to say */
};

/* One peer in one query. */
struct lane {
	struct peer *peer; /* counted */
	enum lane_state state;
	size_t in_merge;
	struct rpc_fan_call *call; /* of LANE_OPEN */
	struct speech *speech;     /* the call's */
	struct routes routes;      /* of its streams, at the client */
	bool is_bad;               /* what it says is no protobuf: the rest is not looked at */
	bool is_late;              /* the time it was asked for has passed */
	struct resume resume;
};

struct query {
	struct api *api;
	struct rpc_group *group;
	struct merge *merge;
	struct notes notes;
	struct buf original, resumed; /* requests */
	struct request request;
	struct wall_ns started;
	struct map *by_name; /* peer's name to lane's index */
	struct lane **lanes; /* each at one place for good: calls know it */
	size_t lane_count, lane_cap, to_open;
	struct rpc_fan_event *inbox; /* taken, not looked at yet */
	struct merge_item stuck; /* out of the merge, not taken by the client's queue yet; owner may
				    be NULL */
	uint64_t sent;
	struct outlet outlet;
	struct told told;    /* to each peer */
	uint64_t generation; /* of the peers when last looked at */
	struct mono_ns rejoin_at, suspect_at;
	struct mono_ns filled, quiet_since; /* last; all that came was taken, and nothing came */
};

/* One use less of the message that the item is part of. */
static void item_free(struct merge_item item)
{
	struct rpc_fan_event *ev = item.owner;

	packed_stream_unref(item.about);
	if (!ev || --ev->uses)
		return;
	speech_unref(ev->owner);
	rpc_fan_event_free(ev);
}

static void query_free(struct query *q)
{
	if (!q)
		return;
	atomic_fetch_sub_explicit(&q->api->live_queries, 1, memory_order_relaxed);
	item_free(q->stuck);
	while (q->inbox) {
		struct rpc_fan_event *next = q->inbox->next;
		rpc_fan_event_free(q->inbox);
		q->inbox = next;
	}
	for (struct merge_item item; q->merge && merge_pop_any(q->merge, &item);)
		item_free(item);
	merge_free(q->merge);
	outlet_done(&q->outlet);
	rpc_group_free(q->group);
	for (size_t i = 0; i < q->lane_count; i++) {
		speech_unref(q->lanes[i]->speech);
		routes_done(&q->lanes[i]->routes);
		peer_unref(q->lanes[i]->peer);
		free(q->lanes[i]);
	}
	free(q->lanes);
	map_free(q->by_name);
	notes_done(&q->notes);
	buf_done(&q->original);
	buf_done(&q->resumed);
	free(q);
}
AUTO_DEFINE(struct query, query_free);

static void done(void *state)
{
	query_free(state);
}

/* ---- lanes */

static enum err_code add_lane(struct query *q, struct peer *p, struct mono_ns now, struct err *e)
{
	if (q->lane_count == q->lane_cap) {
		size_t cap = q->lane_cap ? 2 * q->lane_cap : 16;
		struct lane **lanes = realloc(q->lanes, cap * sizeof(struct lane *));
		if (!lanes)
			return err_set(e, ERR_NOMEM, "streams of %zu peers", cap);
		q->lanes = lanes;
		q->lane_cap = cap;
	}
	AUTO(own_free) struct lane *lane = calloc(1, sizeof *lane);
	if (!lane)
		return err_set(e, ERR_NOMEM, "stream of a peer");
	enum err_code code = merge_lane_add(q->merge, now, &lane->in_merge, e);
	if (code != ERR_OK)
		return code;
	code = map_put(q->by_name, str_of(p->name), (uint32_t)q->lane_count, NULL, e);
	if (code != ERR_OK) {
		merge_lane_end(q->merge, lane->in_merge);
		return code;
	}
	lane->peer = peer_ref(p);
	q->lanes[q->lane_count++] = TAKE(lane);
	q->to_open++;
	return ERR_OK;
}

/* Ends a lane that has no call (any more). */
static void close_lane(struct query *q, struct lane *lane, enum lane_state state)
{
	lane->state = state;
	lane->call = NULL;
	speech_unref(TAKE(lane->speech));
	merge_lane_end(q->merge, lane->in_merge);
}

static void fail_lane(struct query *q, struct lane *lane, const char *text, struct mono_ns now)
{
	resume_failed(&lane->resume, now);
	api_add(&q->api->node_errors, 1);
	close_lane(q, lane, LANE_LOST);
	notes_error(&q->notes, lane->peer->name, text, now);
}

static void open_lane(struct query *q, struct lane *lane, struct mono_ns now)
{
	struct err e;
	struct str request =
		resume_request(&lane->resume, buf_str(&q->original), &q->request, &q->resumed);

	bool is_batched = !atomic_load_explicit(&lane->peer->is_foreign, memory_order_relaxed);

	if (q->resumed.failed) {
		fail_lane(q, lane, "out of memory", now);
		return;
	}
	if (speech_new(lane, is_batched, &q->told, &lane->speech, &e) != ERR_OK ||
	    rpc_fan_call_open(q->group, lane->peer->channel,
			      is_batched ? "/tycho.v1.Flows/GetFlowBatches"
					 : "/observer.Observer/GetFlows",
			      request, 0, lane->speech, &lane->call, &e) != ERR_OK) {
		fail_lane(q, lane, e.msg, now);
		return;
	}
	lane->state = LANE_OPEN;
	resume_begun(&lane->resume, q->started);
}

/* @return false when there is more to open: other clients first. */
static bool open_some(struct query *q, struct mono_ns now)
{
	size_t opened = 0;

	for (size_t i = 0; q->to_open && i < q->lane_count; i++) {
		if (q->lanes[i]->state != LANE_TO_OPEN)
			continue;
		if (opened++ == API_OPENED_AT_ONCE)
			return false;
		q->to_open--;
		open_lane(q, q->lanes[i], now);
	}
	return true;
}

/* ---- what peers say */

static void refuse_rest(struct query *q, struct lane *lane, const char *why, struct mono_ns now)
{
	lane->is_bad = true;
	rpc_fan_call_cancel(lane->call);
	notes_error(&q->notes, lane->peer->name, why, now);
}

/* One item of @ev. */
static void on_item(struct query *q, struct rpc_fan_event *ev, const struct item *item,
		    struct mono_ns now)
{
	struct speech *speech = ev->owner;
	struct lane *lane = speech->lane;
	struct merge_item merged = { ev, item->stream, item->bytes, ITEM_RESPONSE };
	struct err e;

	bool came_before = item->is_flow && !resume_take(&lane->resume, item->time);
	if (item->stream)
		merged.kind = came_before || item->is_void ? ITEM_VOID : ITEM_RECORD;
	else if (came_before)
		return;
	if (merge_put(q->merge, lane->in_merge, item->time, merged, now, &e) != ERR_OK) {
		refuse_rest(q, lane, e.msg, now);
		return;
	}
	ev->uses++;
	if (item->stream)
		item->stream->uses++;
}

/* @return how many items it was. */
static size_t on_message(struct query *q, struct rpc_fan_event *ev, struct mono_ns now)
{
	struct speech *speech = ev->owner;
	struct lane *lane = speech->lane;
	struct item item;
	struct err e;
	size_t n = 0;

	ev->uses = 1; /* ours */
	speech->uses++;
	speech_message(speech, ev->message);
	while (!lane->is_bad && speech == lane->speech) {
		enum err_code code = speech_next(speech, &item, &e);
		if (code == ERR_CLOSED)
			break;
		if (code == ERR_OK && n++ == MESSAGE_ITEMS_MAX)
			code = err_set(&e, ERR_PARSE, NODE_SENT_NO_FLOW);
		if (code == ERR_OK)
			on_item(q, ev, &item, now);
		else
			refuse_rest(q, lane, e.msg, now);
	}
	item_free((struct merge_item){ .owner = ev });
	return n + 1;
}

static void open_again(struct query *q, struct lane *lane)
{
	lane->state = LANE_TO_OPEN;
	lane->call = NULL;
	speech_unref(TAKE(lane->speech));
	q->to_open++;
}

static void on_end(struct query *q, struct rpc_fan_event *ev, struct mono_ns now)
{
	const struct speech *speech = ev->owner;
	struct lane *lane = speech->lane;
	struct err e;

	if (atomic_load_explicit(&lane->peer->is_gone, memory_order_acquire)) {
		close_lane(q, lane, LANE_GONE);
		notes_name(&q->notes, lane->peer->name);
		notes_state(&q->notes, RELAY__NODE_STATE__NODE_GONE);
	} else if (lane->is_bad || lane->is_late) {
		close_lane(q, lane, LANE_ENDED); /* it would say the same again */
	} else if (ev->result->status == RPC_OK) {
		close_lane(q, lane, LANE_ENDED);
	} else if (resume_was_cut_off(&lane->resume, &q->request, ev->result->status)) {
		open_again(q, lane);
	} else if (speech->batches && ev->result->status == RPC_UNIMPLEMENTED) {
		atomic_store_explicit(&lane->peer->is_foreign, true, memory_order_relaxed);
		resume_not_begun(&lane->resume);
		open_again(q, lane);
	} else {
		(void)failure_set(&e, ev->result);
		fail_lane(q, lane, e.msg, now);
		if (resume_is_refused(&lane->resume, ev->result->status))
			lane->state = LANE_ENDED;
	}
	rpc_fan_event_free(ev);
}

/* @return false when there is more to look at. */
static bool take_events(struct query *q, struct mono_ns now)
{
	for (size_t n = 0; n < RESPONSES_AT_ONCE;) {
		if (!q->inbox)
			q->inbox = rpc_group_take(q->group);
		struct rpc_fan_event *ev = q->inbox;
		if (!ev)
			return true;
		q->inbox = ev->next;
		q->quiet_since = now;
		if (ev->kind == RPC_FAN_MESSAGE) {
			n += on_message(q, ev, now);
		} else {
			on_end(q, ev, now);
			n++;
		}
	}
	return false;
}

/* ---- who takes part */

/* A peer of the list, in a query that follows. */
static enum err_code rejoin_peer(struct query *q, struct peer *p, struct mono_ns now, struct err *e)
{
	uint32_t i;

	if (!peer_is_available(p))
		return ERR_OK;
	if (!map_get(q->by_name, str_of(p->name), &i)) {
		enum err_code code = add_lane(q, p, now, e);
		if (code == ERR_OK)
			notes_name(&q->notes, p->name);
		return code;
	}
	struct lane *lane = q->lanes[i];
	if (lane->state != LANE_GONE &&
	    (lane->state != LANE_LOST || now.v < lane->resume.retry_at.v))
		return ERR_OK;
	(void)peer_ref(p);
	peer_unref(lane->peer);
	lane->peer = p; /* it may have another address now */
	lane->state = LANE_TO_OPEN;
	q->to_open++;
	merge_lane_reopen(q->merge, lane->in_merge, now);
	notes_name(&q->notes, p->name);
	return ERR_OK;
}

/* Who is new, or back, takes part from now on. */
static void rejoin(struct query *q, struct mono_ns now)
{
	struct peer_list list;
	struct err e;

	bool changed = peers_generation(q->api->config.peers) != q->generation;
	if (!q->request.follow || (!changed && now.v < q->rejoin_at.v))
		return;
	q->rejoin_at.v = now.v + REJOIN_NS;
	if (peers_snapshot(q->api->config.peers, &list, &e) != ERR_OK)
		return; /* again in a moment */
	q->generation = list.generation;
	notes_flush(&q->notes, now, 0);
	for (size_t i = 0; i < list.count; i++)
		if (rejoin_peer(q, list.peers[i], now, &e) != ERR_OK)
			break;
	notes_state(&q->notes, RELAY__NODE_STATE__NODE_CONNECTED);
	peer_list_done(&list);
}

/* Silence of a peer that has something to answer may mean that it is dead; a follower's may not. */
static void suspect_the_silent(struct query *q, struct mono_ns now)
{
	if (q->request.follow || now.v < q->suspect_at.v)
		return;
	q->suspect_at.v = now.v + q->api->config.drain_ns / 2;
	for (size_t i = 0; i < q->lane_count; i++)
		if (q->lanes[i]->state == LANE_OPEN &&
		    merge_lane_is_silent(q->merge, q->lanes[i]->in_merge, now))
			api_suspect(q->api, q->lanes[i]->peer);
}

/* Of those that are away nothing more is expected. */
static bool waits_for_nobody(const struct query *q)
{
	return !q->request.follow || wall_now().v > q->request.until.v;
}

static bool is_over(const struct query *q)
{
	size_t ended = 0;

	if (q->inbox || q->stuck.owner || merge_held(q->merge) || merge_open_lanes(q->merge))
		return false;
	if (waits_for_nobody(q))
		return true;
	for (size_t i = 0; i < q->lane_count; i++) {
		if (q->lanes[i]->state == LANE_LOST)
			return false;
		ended += q->lanes[i]->state == LANE_ENDED;
	}
	return ended > 0;
}

/* Hubble's servers end with the first flow later than `until`, which may be long in coming. Nodes of
 * ours end by themselves, and are waited for: one that is slow is not done. */
static void end_the_late(struct query *q, struct mono_ns now)
{
	uint64_t until = q->request.until.v;

	if (!q->request.follow || until == UINT64_MAX)
		return;
	/* While the client had no room, nobody was listened to. */
	if (q->inbox || q->stuck.owner || now.v - q->filled.v > NS_PER_S)
		q->quiet_since = now;
	q->filled = now;
	uint64_t wall = wall_now().v;
	if (wall <= until || wall - until < UNTIL_GRACE_NS ||
	    now.v - q->quiet_since.v < UNTIL_GRACE_NS)
		return;
	for (size_t i = 0; i < q->lane_count; i++) {
		struct lane *lane = q->lanes[i];
		if (lane->state != LANE_OPEN || lane->is_late || lane->speech->batches)
			continue;
		lane->is_late = true;
		rpc_fan_call_cancel(lane->call);
	}
}

/* ---- the stream */

static bool send_notes(struct query *q, struct rpc_call *call)
{
	for (struct str message; notes_next(&q->notes, &message); notes_sent(&q->notes))
		if (!outlet_say(&q->outlet, call, message))
			return false;
	return true;
}

/* What a peer packed cannot be read, so the rest of it cannot be, either. */
static void refuse_speech(struct query *q, struct speech *speech, struct mono_ns now)
{
	struct lane *lane = speech->lane;

	speech->is_bad = true;
	if (speech != lane->speech) /* it has had its say */
		notes_error(&q->notes, lane->peer->name, NODE_SENT_NO_FLOW, now);
	else if (!lane->is_bad)
		refuse_rest(q, lane, NODE_SENT_NO_FLOW, now);
}

static bool send_flows(struct query *q, struct rpc_call *call, struct mono_ns now)
{
	uint64_t sent = 0;
	bool has_room = true;

	while (q->stuck.owner || merge_pop(q->merge, now, &q->stuck)) {
		const struct rpc_fan_event *ev = q->stuck.owner;
		struct speech *speech = ev->owner;
		enum outlet_put done =
			speech->is_bad ? OUTLET_NOTHING
				       : outlet_put(&q->outlet, call, speech->lane->peer->name,
						    &speech->lane->routes, &q->stuck);
		has_room = done != OUTLET_FULL;
		if (!has_room)
			break;
		if (done == OUTLET_BAD)
			refuse_speech(q, speech, now);
		sent += done == OUTLET_TAKEN;
		item_free(q->stuck);
		q->stuck = (struct merge_item){ 0 };
	}
	q->sent += sent;
	api_add(&q->api->flows, sent);
	gate_count(call, sent);
	return has_room;
}

static enum rpc_fill fill(struct rpc_call *call, void *state)
{
	struct query *q = state;
	struct mono_ns now = mono_now();

	rejoin(q, now);
	bool all_opened = open_some(q, now);
	bool all_taken = take_events(q, now);
	end_the_late(q, now);
	bool over = is_over(q);
	notes_flush(&q->notes, now, over ? 0 : q->api->config.drain_ns);
	if (notes_failed(&q->notes) || outlet_failed(&q->outlet)) {
		rpc_call_end(call, RPC_RESOURCE_EXHAUSTED, "no memory for a message");
		return RPC_ENDED;
	}
	if (!send_notes(q, call) || !send_flows(q, call, now))
		return RPC_MORE;
	over = is_over(q) && notes_is_empty(&q->notes) && all_opened && all_taken;
	if (!outlet_flush(&q->outlet, call, over))
		return RPC_MORE;
	suspect_the_silent(q, now);
	if (!all_opened || !all_taken)
		return RPC_MORE;
	if (!over)
		return merge_open_lanes(q->merge) || q->request.follow ? RPC_IDLE : RPC_MORE;
	rpc_call_end(call, RPC_OK, "%s", "");
	return RPC_ENDED;
}

static const struct rpc_stream_ops ops = { fill, done };

/* Everybody who can be asked is; the client is told who can and who cannot. */
static enum err_code invite(struct query *q, const struct peer_list *list, struct mono_ns now,
			    struct err *e)
{
	for (size_t i = 0; i < list->count; i++) {
		if (!peer_is_available(list->peers[i]))
			continue;
		enum err_code code = add_lane(q, list->peers[i], now, e);
		if (code != ERR_OK)
			return code;
		notes_name(&q->notes, list->peers[i]->name);
	}
	notes_state(&q->notes, RELAY__NODE_STATE__NODE_CONNECTED);
	uint32_t lane;
	for (size_t i = 0; i < list->count; i++)
		if (!map_get(q->by_name, str_of(list->peers[i]->name), &lane))
			notes_name(&q->notes, list->peers[i]->name);
	notes_state(&q->notes, RELAY__NODE_STATE__NODE_UNAVAILABLE);
	return ERR_OK;
}

/* So many of each peer: what the reference holds of all together would be a millisecond's worth of
 * a thousand nodes. Never more than all of them may send. */
static size_t window_of(size_t configured, uint64_t number, size_t peers)
{
	size_t each = number && number < configured ? (size_t)number : configured;

	return each * (peers ? peers : 1);
}

/* To peers: a share for each of the room that there is for tables, the client's if that unpacks. */
static enum err_code tell_peers(struct query *q, const struct rpc_call *call, size_t peers,
				struct err *e)
{
	char table[24], tables[24];
	size_t all = q->outlet.tables_bytes ? q->outlet.tables_bytes : FLOW_TABLES_SERVED,
	       share = all / (peers ? peers : 1);

	share = share < FLOW_TABLE_MIN ? FLOW_TABLE_MIN : share;
	q->told = (struct told){ share < FLOW_TABLE_SERVED ? share : FLOW_TABLE_SERVED, share };
	(void)snprintf(table, sizeof table, "%zu", q->told.table);
	(void)snprintf(tables, sizeof tables, "%zu", q->told.tables);
	const struct rpc_header headers[API_OWN_HEADERS_MAX] = {
		{ STR(FLOW_TABLE_HEADER), str_of(table) },
		{ STR(FLOW_TABLES_HEADER), str_of(tables) },
	};
	return api_forward_headers(q->api, call, headers, ARRAY_LEN(headers), q->group, e);
}

static enum err_code prepare(struct query *q, const struct rpc_call *call, struct str request,
			     struct err *e)
{
	const struct api_config *config = &q->api->config;
	struct mono_ns now = mono_now();
	struct peer_list list;

	q->started = wall_now();
	q->rejoin_at.v = now.v + REJOIN_NS;
	q->suspect_at.v = now.v + config->drain_ns;
	notes_init(&q->notes, config->node_name);
	q->original = buf_init(REQUEST_MAX_BYTES);
	q->resumed = buf_init(REQUEST_MAX_BYTES);
	enum err_code code = request_read(request, &q->request, e);
	if (code != ERR_OK)
		return code;
	buf_str_put(&q->original, request);
	if (q->original.failed)
		return err_set(e, ERR_NOMEM, "request");
	code = rpc_group_new(config->fan, api_wake, q->api, &q->group, e);
	if (code == ERR_OK)
		code = map_new(LANES_MAX, now.v, &q->by_name, e);
	if (code == ERR_OK)
		code = peers_snapshot(config->peers, &list, e);
	if (code != ERR_OK)
		return code;
	q->generation = list.generation;
	const struct merge_config merge = {
		.window = window_of(config->window, q->request.number, list.count),
		.drain_ns = config->drain_ns,
		.live_from = q->started,
	};
	code = tell_peers(q, call, list.count, e);
	if (code == ERR_OK)
		code = merge_new(&merge, &q->merge, e);
	if (code == ERR_OK)
		code = invite(q, &list, now, e);
	peer_list_done(&list);
	return code;
}

static void begin(struct rpc_call *call, struct str request, struct api *a, bool is_batched)
{
	struct err e;

	/* Else each node would say so. */
	if (!rpc_request_is(call, request, &observer__get_flows_request__descriptor))
		return;
	AUTO(query_free) struct query *q = calloc(1, sizeof *q);
	if (!q) {
		rpc_call_end(call, RPC_RESOURCE_EXHAUSTED, "no memory for a stream");
		return;
	}
	q->api = a;
	api_add(&a->queries, 1);
	api_add(&a->live_queries, 1);
	outlet_init(&q->outlet, call, is_batched);
	enum err_code code = prepare(q, call, request, &e);
	if (code == ERR_OK)
		rpc_call_stream(call, &ops, TAKE(q));
	else
		rpc_call_end(call,
			     code == ERR_NOMEM ? RPC_RESOURCE_EXHAUSTED : RPC_INVALID_ARGUMENT,
			     "%s", e.msg);
}

void api_get_flows(struct rpc_call *call, struct str request, void *ctx)
{
	begin(call, request, ctx, false);
}

void api_get_flow_batches(struct rpc_call *call, struct str request, void *ctx)
{
	begin(call, request, ctx, true);
}
