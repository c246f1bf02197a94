/*
 * tycho.v1.History/GetServiceMap: who talks to whom, of any range of time, and live.
 *
 *	since                          boundary            now
 *	  │ edges by the minute (store)   │ flows (store, log) │ flows as they come
 *	  └───────────────► edge_map ◄────┴────────────────────┘
 *	                       └──► snapshot; with follow, every so often what has changed
 *
 * The store's edges know no filter: with one, the flows themselves are read from the start. Edges
 * are of whole minutes, so the range is widened to these.
 */
#include <sys/random.h>

#include "edge/map.h"
#include "edge/put.h"
#include "edge/rates.h"
#include "flow/wire.h"
#include "observer/api/inside.h"
#include "tycho/v1/history.pb-c.h"

enum {
	EDGES_MAX = 200000,
	EDGES_A_MESSAGE = 256,
	EDGES_A_TURN = 4096, /* of the store's, some milliseconds; and the rest of a minute */
	INTERVAL_MS = 1000,
	INTERVAL_MIN_MS = 100,
};
#define MINUTE_NS (60 * NS_PER_S)
#define FLUSHED_NS MINUTE_NS /* a minute that ended so long ago is in the store */

/* Field numbers of history.proto. */
enum {
	ANSWER_NODE = 1,
	ANSWER_COMPLETE = 3,
	ANSWER_LEFT_OUT = 4,
	ANSWER_RATES = 5,
};

enum phase { FROM_EDGES, FROM_FLOWS, TELLING, FOLLOWING };

struct stream {
	struct reading_sink sink; /* first: the sink is the stream */
	struct api *api;
	struct edge_map *map;
	struct rates *rates; /* NULL: nobody asks */
	bool rates_only;
	struct flow_filter *filter;
	struct reading reading;
	enum phase phase;
	bool follow, has_flows, has_ended, has_completed;
	uint64_t edges_at, edges_end; /* ns: what is still to be had from the store's edges */
	/* telling */
	size_t at;
	uint64_t told_version, telling_version;
	struct mono_ns told;
	uint64_t interval_ns;
	size_t in_message;
};

static void stream_free(struct stream *s)
{
	if (!s)
		return;
	reading_done(&s->reading);
	flow_filter_free(s->filter);
	edge_map_free(s->map);
	rates_free(s->rates);
	free(s);
}
AUTO_DEFINE(struct stream, stream_free);

static void done(void *state)
{
	stream_free(state);
}

/* --- taking in ------------------------------------------------------------------------------ */

static bool take_record(struct reading_sink *sink, const struct flow *f)
{
	struct stream *s = (struct stream *)sink;

	if (s->rates && f->kind == FLOW_KIND_FLOW)
		rates_add(s->rates, f->time, f->verdict, 1);
	if (!s->rates_only)
		edge_map_add_flow(s->map, f, s->api->dict);
	return true;
}

/* Loss is GetCoverage's to tell. */
static bool take_loss(struct reading_sink *sink, const struct reading_loss *loss)
{
	(void)sink;
	(void)loss;
	return true;
}

static void take_edge(void *ctx, const struct store_edge *in)
{
	struct stream *s = ctx;
	const struct edge_key key = {
		.src = in->src,
		.dst = in->dst,
		.dns = in->dst_dns,
		.policy = in->policy,
		.drop_desc = in->drop_desc,
		.port = in->dst_port,
		.l4 = in->l4,
		.verdict = in->verdict,
	};

	if (s->rates)
		rates_add(s->rates, in->minute, in->verdict, in->flows);
	if (s->rates_only)
		return;
	edge_map_add(s->map, &key,
		     &(struct edge_totals){ in->flows, in->packets, in->bytes, in->l7_ok,
					    in->l7_errors, in->minute, in->minute });
}

static enum err_code take_edges(struct stream *s, struct err *e)
{
	struct wall_ns next;
	enum err_code code = store_edges(past_reader(s->api->past), (struct wall_ns){ s->edges_at },
					 (struct wall_ns){ s->edges_end - 1 }, EDGES_A_TURN,
					 take_edge, s, &next, e);

	if (code != ERR_OK)
		return code;
	s->edges_at = next.v;
	if (s->edges_at >= s->edges_end)
		s->phase = FROM_FLOWS;
	return ERR_OK;
}

/* --- telling -------------------------------------------------------------------------------- */

static bool put_edge(void *ctx, const struct edge_key *key, const struct edge_totals *totals)
{
	struct stream *s = ctx;
	struct buf *b = &s->api->message;

	if (s->in_message == EDGES_A_MESSAGE)
		return false;
	s->in_message++;
	edge_put(b, key, totals);
	return true;
}

static void begin_telling(struct stream *s)
{
	s->phase = TELLING;
	s->at = 0;
	s->telling_version = edge_map_version(s->map);
}

/* One message. */
static enum rpc_fill tell(struct stream *s, struct rpc_call *call)
{
	struct buf *b = &s->api->message;
	size_t at = s->at;

	buf_reset(b);
	s->in_message = 0;
	wire_put_str(b, ANSWER_NODE, str_of(s->api->node_name));
	bool is_last = edge_map_each(s->map, s->told_version, &at, put_edge, s);
	if (is_last && !s->has_completed) {
		wire_put_u64(b, ANSWER_COMPLETE, 1);
		if (s->rates)
			rates_put(s->rates, ANSWER_RATES, b);
	}
	if (is_last)
		wire_put_u64(b, ANSWER_LEFT_OUT, edge_map_left_out(s->map));
	if (b->failed) {
		rpc_call_end(call, RPC_RESOURCE_EXHAUSTED, "no memory for a message");
		return RPC_ENDED;
	}
	if (!rpc_call_send(call, buf_str(b)))
		return RPC_MORE;
	s->at = at;
	if (!is_last)
		return RPC_MORE;
	s->has_completed = true;
	s->told_version = s->telling_version;
	s->told = mono_now();
	s->phase = FOLLOWING;
	return RPC_MORE;
}

/* --- the stream ----------------------------------------------------------------------------- */

static enum rpc_fill failed(struct rpc_call *call, const struct err *e)
{
	rpc_call_end(call, RPC_INTERNAL, "the store cannot be read: %s", e->msg);
	return RPC_ENDED;
}

/* Reads flows; to be told when all that there is has been read, and later when it is time. */
static enum rpc_fill read_flows(struct stream *s, struct rpc_call *call)
{
	struct mono_ns now = mono_now();
	enum reading_state state = READING_ENDED;
	struct err e;

	if (s->has_flows && !s->has_ended)
		state = reading_pull(&s->reading, s->api->batch, now, wall_now(), &s->sink, &e);
	if (state == READING_FAILED)
		return failed(call, &e);
	s->has_ended = state == READING_ENDED;
	bool is_new = edge_map_version(s->map) != s->told_version;
	bool is_due = now.v - s->told.v >= s->interval_ns;
	if (s->phase == FROM_FLOWS ? state != READING_MORE : is_new && (is_due || s->has_ended)) {
		begin_telling(s);
		return RPC_MORE;
	}
	if (s->phase == FOLLOWING && (s->has_ended || !s->follow)) {
		rpc_call_end(call, RPC_OK, "%s", "");
		return RPC_ENDED;
	}
	return state == READING_MORE ? RPC_MORE : RPC_IDLE;
}

static enum rpc_fill fill(struct rpc_call *call, void *state)
{
	struct stream *s = state;
	struct err e;

	switch (s->phase) {
	case FROM_EDGES:
		return take_edges(s, &e) == ERR_OK ? RPC_MORE : failed(call, &e);
	case TELLING:
		return tell(s, call);
	case FROM_FLOWS:
	case FOLLOWING:
		break;
	}
	return read_flows(s, call);
}

static const struct rpc_stream_ops ops = { fill, done };

static Google__Protobuf__Timestamp message_of(uint64_t ns)
{
	Google__Protobuf__Timestamp m = GOOGLE__PROTOBUF__TIMESTAMP__INIT;
	struct timestamp t = timestamp_of((struct wall_ns){ ns });

	m.seconds = t.s;
	m.nanos = t.ns;
	return m;
}

/* Which part of the range the store's edges can answer, and which the flows must. */
static enum err_code divide(struct stream *s, const Tycho__V1__GetServiceMapRequest *in,
			    struct wall_ns now, uint64_t *ret_flows_from, struct err *e)
{
	uint64_t since = *ret_flows_from, until = UINT64_MAX, oldest = 0;
	struct wall_ns w;

	if (in->until &&
	    timestamp_to_wall((struct timestamp){ in->until->seconds, in->until->nanos }, &w))
		until = w.v;
	uint64_t boundary = now.v / MINUTE_NS * MINUTE_NS - FLUSHED_NS;
	/* Flows that are read late, of a history that is taken over, say, have sums that are not
	 * written yet. */
	uint64_t pending = past_counts(s->api->past).edges_pending.v;
	boundary = pending < boundary ? pending : boundary;
	/* Where a minute begins, another one ends: it is not counted whole for one instant. */
	uint64_t last = until < UINT64_MAX - MINUTE_NS
				? (until + MINUTE_NS - 1) / MINUTE_NS * MINUTE_NS
				: UINT64_MAX;
	s->has_flows = last > boundary;
	s->edges_end = last < boundary ? last : boundary;
	enum err_code code = store_edges_oldest(past_reader(s->api->past), &w, e);
	if (code != ERR_OK)
		return code;
	oldest = w.v;
	s->edges_at = since > oldest ? since / MINUTE_NS * MINUTE_NS : oldest;
	if (!oldest || s->edges_at >= s->edges_end) {
		s->has_flows = true; /* there are none for it */
		return ERR_OK;
	}
	s->phase = FROM_EDGES;
	*ret_flows_from = s->edges_end;
	return ERR_OK;
}

static enum err_code prepare(struct stream *s, const Tycho__V1__GetServiceMapRequest *in,
			     struct err *e)
{
	struct api *a = s->api;
	struct wall_ns now = wall_now(), since = { 0 };
	uint64_t seed = 0;
	enum err_code code;

	(void)!getrandom(&seed, sizeof seed, 0);
	code = edge_map_new(EDGES_MAX, seed, &s->map, e);
	if (code == ERR_OK)
		code = flow_filter_new(in->whitelist, in->n_whitelist, in->blacklist,
				       in->n_blacklist, a->dict, &s->filter, e);
	if (code != ERR_OK)
		return code;
	if (in->since &&
	    !timestamp_to_wall((struct timestamp){ in->since->seconds, in->since->nanos }, &since))
		since = (struct wall_ns){ in->since->seconds < 0 ? 0 : now.v };
	s->rates_only = in->rates_only;
	code = rates_asked(in, since, now, &s->rates, e);
	if (code != ERR_OK)
		return code;
	s->phase = FROM_FLOWS;
	s->has_flows = true;
	s->follow = in->follow;
	s->interval_ns = (in->interval_ms ? in->interval_ms : INTERVAL_MS) * NS_PER_MS;
	if (s->interval_ns < INTERVAL_MIN_MS * NS_PER_MS)
		s->interval_ns = INTERVAL_MIN_MS * NS_PER_MS;
	/* an end alone is all before it, as of flows */
	bool has_begin = in->since || (in->until && !in->follow);
	if (has_begin && !in->n_whitelist && !in->n_blacklist && a->past)
		code = divide(s, in, now, &since.v, e);
	if (code != ERR_OK)
		return code;
	Google__Protobuf__Timestamp from = message_of(since.v);
	const struct reading_request selectors = { .follow = in->follow,
						   .with_log = true,
						   .since = has_begin ? &from : NULL,
						   .until = in->until };
	return reading_init(&s->reading, &selectors, a->log, a->past, FLOW_KIND_FLOW, s->filter, e);
}

void api_get_service_map(struct rpc_call *call, struct str request, void *ctx)
{
	ProtobufCMessage *m =
		rpc_request_unpack(call, request, &tycho__v1__get_service_map_request__descriptor);
	AUTO(stream_free) struct stream *s = m ? calloc(1, sizeof *s) : NULL;
	struct err e;

	if (!m)
		return;
	if (!s) {
		rpc_call_end(call, RPC_RESOURCE_EXHAUSTED, "no memory for a stream");
	} else {
		s->sink = (struct reading_sink){ take_record, take_loss, NULL };
		s->api = ctx;
		if (prepare(s, (const Tycho__V1__GetServiceMapRequest *)m, &e) == ERR_OK)
			rpc_call_stream(call, &ops, TAKE(s));
		else
			api_refuse(call, &e);
	}
	protobuf_c_message_free_unpacked(m, NULL);
}
