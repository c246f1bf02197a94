/* GetAgentEvents and GetDebugEvents: reference/hubble-api.md section 5. One stream, two kinds of
 * record. */
#include "flow/wire.h"
#include "observer/api/inside.h"
#include "observer/observer.pb-c.h"

enum { FIELD_EVENT = 1 }; /* of both answers */

struct stream {
	struct reading_sink sink; /* first: the sink is the stream */
	struct api *api;
	struct rpc_call *call;
	struct reading reading;
	struct subscriber subscriber;
};

static bool send_record(struct reading_sink *sink, const struct flow *f)
{
	struct stream *s = (struct stream *)sink;
	struct buf *b = &s->api->message;
	struct timestamp t = { 0 };
	bool has_time = flow_time(f, &t);

	buf_reset(b);
	wire_put_len(b, FIELD_EVENT, str_n(f->ext, f->ext_len));
	api_put_node_and_time(b, api_node_of(s->api, f), has_time, t);
	return !b->failed && rpc_call_send(s->call, buf_str(b));
}

/* These answers have no place for it. */
static bool forget_loss(struct reading_sink *sink, const struct reading_loss *loss)
{
	(void)sink;
	(void)loss;
	return true;
}

static enum rpc_fill fill(struct rpc_call *call, void *state)
{
	struct stream *s = state;

	s->call = call;
	return api_fill(s->api, call, &s->reading, &s->sink, &s->subscriber);
}

static void done(void *state)
{
	struct stream *s = state;

	api_unsubscribe(s->api, &s->subscriber);
	reading_done(&s->reading);
	free(s);
}

static const struct rpc_stream_ops ops = { fill, done };

/* The requests of both calls have the same fields under the same numbers: one is read as the other. */
static void begin(struct api *a, struct rpc_call *call, struct str request, enum flow_kind kind)
{
	const ProtobufCMessageDescriptor *asked =
		kind == FLOW_KIND_AGENT ? &observer__get_agent_events_request__descriptor
					: &observer__get_debug_events_request__descriptor;
	if (!rpc_request_is(call, request, asked))
		return;
	ProtobufCMessage *m =
		rpc_request_unpack(call, request, &observer__get_agent_events_request__descriptor);
	const Observer__GetAgentEventsRequest *in = (const Observer__GetAgentEventsRequest *)m;
	struct err e;

	if (!m)
		return;
	const struct reading_request selectors = { .number = in->number,
						   .first = in->first,
						   .follow = in->follow,
						   .since = in->since,
						   .until = in->until };
	AUTO(own_free) struct stream *s = calloc(1, sizeof *s);
	enum err_code code = ERR_NOMEM;
	if (s) {
		*s = (struct stream){ .sink = { send_record, forget_loss, NULL }, .api = a };
		code = reading_init(&s->reading, &selectors, a->log, a->past, kind, NULL, &e);
	}
	protobuf_c_message_free_unpacked(m, NULL);
	if (!s) {
		rpc_call_end(call, RPC_RESOURCE_EXHAUSTED, "no memory for a stream");
	} else if (code == ERR_INVALID) {
		rpc_call_end(call, RPC_INVALID_ARGUMENT, "%s", e.msg);
	} else if (code != ERR_OK) {
		api_refuse(call, &e);
	} else {
		api_subscribe(a, &s->subscriber, &s->reading);
		rpc_call_stream(call, &ops, TAKE(s));
	}
}

void api_get_agent_events(struct rpc_call *call, struct str request, void *ctx)
{
	begin(ctx, call, request, FLOW_KIND_AGENT);
}

void api_get_debug_events(struct rpc_call *call, struct str request, void *ctx)
{
	begin(ctx, call, request, FLOW_KIND_DEBUG);
}
