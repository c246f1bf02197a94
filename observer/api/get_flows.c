/* GetFlows: reference/hubble-api.md section 3; and tycho.v1's GetFlowBatches, the same by the
 * batch. */
#include "access/gate.h"
#include "flow/flow.pb-c.h"
#include "flow/mask.h"
#include "flow/pack.h"
#include "flow/wire.h"
#include "observer/api/inside.h"
#include "observer/observer.pb-c.h"
#include "rpc/batch.h"

enum {
	FIELD_LOST_EVENTS = 3, /* of GetFlowsResponse */
	LOST_SOURCE = 1,       /* of flow.LostEvent */
	LOST_COUNT = 2,
	LOST_FIRST = 4,
	LOST_LAST = 5,
	BATCH_PACKED = 2, /* of tycho.v1.FlowBatch */
};

struct stream {
	struct reading_sink sink; /* first: the sink is the stream */
	struct api *api;
	struct rpc_call *call;
	struct reading reading;
	struct flow_filter *filter;
	struct flow_mask *mask;
	bool is_batched;
	struct rpc_batch batch;
	struct flow_packer *packer; /* NULL: the caller cannot unpack */
	struct subscriber subscriber;
};

static void stream_free(struct stream *s)
{
	const char *why;

	if (!s)
		return;
	api_unsubscribe(s->api, &s->subscriber);
	if (s->filter)
		atomic_fetch_add_explicit(&s->api->filter_faults,
					  flow_filter_faults(s->filter, &why),
					  memory_order_relaxed);
	reading_done(&s->reading);
	flow_filter_free(s->filter);
	flow_mask_free(s->mask);
	rpc_batch_done(&s->batch);
	flow_packer_free(s->packer);
	free(s);
}
AUTO_DEFINE(struct stream, stream_free);

static void done(void *state)
{
	stream_free(state);
}

/* Sends one response, or adds it to the batch. @return false when there is no room. */
static bool send(struct stream *s, struct str response)
{
	if (!s->is_batched)
		return rpc_call_send(s->call, response);
	struct buf *batch = rpc_batch_open(&s->batch, s->call);
	if (!batch)
		return false;
	if (s->packer) {
		size_t mark = wire_begin(batch, BATCH_PACKED);
		flow_packer_put(s->packer, response, batch);
		wire_end(batch, mark);
	} else {
		(void)rpc_batch_put(&s->batch, s->call, response); /* it has room */
	}
	s->api->message.failed |= rpc_batch_failed(&s->batch);
	return true;
}

/* Packs a flow as it is, without making a response of it first. @return false: there is no room. */
static bool send_packed(struct stream *s, const struct flow *f)
{
	struct api *a = s->api;
	struct str flow = str_n(f->ext, f->ext_len);
	struct timestamp t;
	struct buf *batch = rpc_batch_open(&s->batch, s->call);

	if (!batch)
		return false;
	buf_reset(&a->flow);
	if (!(f->bits & FLOW_WHOLE)) {
		flow_encode(&a->flow, f, a->dict);
		flow = buf_str(&a->flow);
	}
	buf_reset(&a->message);
	flow_encode_behind(&a->message, f, a->dict, STR(""));
	size_t mark = wire_begin(batch, BATCH_PACKED);
	flow_packer_put_flow(s->packer, flow, flow_time(f, &t) ? &t : NULL, buf_str(&a->message),
			     batch);
	wire_end(batch, mark);
	a->message.failed |= rpc_batch_failed(&s->batch);
	return !a->message.failed && !a->flow.failed;
}

static bool send_record(struct reading_sink *sink, const struct flow *f)
{
	struct stream *s = (struct stream *)sink;
	struct buf *b = &s->api->message;

	if (s->packer && !s->mask && f->kind == FLOW_KIND_FLOW) {
		bool sent = send_packed(s, f);
		gate_count(s->call, sent);
		return sent;
	}
	buf_reset(b);
	if (s->mask && f->kind == FLOW_KIND_FLOW) {
		buf_reset(&s->api->flow);
		flow_encode(&s->api->flow, f, s->api->dict);
		flow_mask_response(s->mask, buf_str(&s->api->flow), b);
	} else {
		flow_encode_response(b, f, s->api->dict,
				     f->kind == FLOW_KIND_FLOW ? STR("") : api_node_of(s->api, f));
	}
	if (b->failed || s->api->flow.failed || !send(s, buf_str(b)))
		return false;
	gate_count(s->call, 1);
	return true;
}

static bool send_loss(struct reading_sink *sink, const struct reading_loss *loss)
{
	struct stream *s = (struct stream *)sink;
	struct buf *b = &s->api->message;

	buf_reset(b);
	size_t mark = wire_begin(b, FIELD_LOST_EVENTS);
	wire_put_u64(b, LOST_SOURCE, FLOW__LOST_EVENT_SOURCE__HUBBLE_RING_BUFFER);
	wire_put_u64(b, LOST_COUNT, loss->records);
	api_put_time(b, LOST_FIRST, loss->first);
	api_put_time(b, LOST_LAST, loss->last);
	wire_end(b, mark);
	api_put_node_and_time(b, str_of(s->api->node_name), true, timestamp_of(loss->last));
	if (b->failed || !send(s, buf_str(b)))
		return false;
	atomic_fetch_add_explicit(&s->api->lost_records, loss->records, memory_order_relaxed);
	return true;
}

static bool flush(struct reading_sink *sink, bool is_end)
{
	struct stream *s = (struct stream *)sink;

	return rpc_batch_flush(&s->batch, s->call, is_end);
}

static enum rpc_fill fill(struct rpc_call *call, void *state)
{
	struct stream *s = state;

	s->call = call;
	return api_fill(s->api, call, &s->reading, &s->sink, &s->subscriber);
}

static const struct rpc_stream_ops ops = { fill, done };

/* In the reference's order: request, filters, position, mask. @return false: refused, and the call
 * has ended. */
static bool prepare(struct stream *s, struct rpc_call *call,
		    const Observer__GetFlowsRequest *request)
{
	const struct api *a = s->api;
	struct err e;

	if (request->first && request->follow) {
		rpc_call_end(call, RPC_INVALID_ARGUMENT, "first cannot be specified with follow");
		return false;
	}
	enum err_code code =
		flow_filter_new(request->whitelist, request->n_whitelist, request->blacklist,
				request->n_blacklist, a->dict, &s->filter, &e);
	const struct reading_request selectors = { .number = request->number,
						   .first = request->first,
						   .follow = request->follow,
						   .since = request->since,
						   .until = request->until };
	if (code == ERR_OK)
		code = reading_init(&s->reading, &selectors, a->log, a->past, FLOW_KIND_FLOW,
				    s->filter, &e);
	if (code != ERR_OK) {
		api_refuse(call, &e);
		return false;
	}
	if (request->field_mask &&
	    flow_mask_new((const char *const *)request->field_mask->paths,
			  request->field_mask->n_paths, &s->mask, &e) != ERR_OK) {
		rpc_call_end(call, RPC_UNKNOWN, "invalid fieldmask");
		return false;
	}
	return true;
}

/* What the caller said it can unpack. @return false: refused, and the call has ended. */
static bool agree_on_packing(struct stream *s, struct rpc_call *call)
{
	size_t table = flow_table_agreed(rpc_call_header(call, FLOW_TABLE_HEADER));
	struct err e;

	if (!table || flow_packer_new(table, &s->packer, &e) == ERR_OK)
		return true;
	api_refuse(call, &e);
	return false;
}

static void begin(struct rpc_call *call, struct str request, struct api *a, bool is_batched)
{
	ProtobufCMessage *m =
		rpc_request_unpack(call, request, &observer__get_flows_request__descriptor);
	AUTO(stream_free) struct stream *s = m ? calloc(1, sizeof *s) : NULL;

	if (!m)
		return;
	if (!s) {
		rpc_call_end(call, RPC_RESOURCE_EXHAUSTED, "no memory for a stream");
	} else {
		s->sink =
			(struct reading_sink){ send_record, send_loss, is_batched ? flush : NULL };
		s->api = a;
		s->is_batched = is_batched;
		rpc_batch_init(&s->batch, API_MESSAGE_MAX);
		if (prepare(s, call, (const Observer__GetFlowsRequest *)m) &&
		    (!is_batched || agree_on_packing(s, call))) {
			api_subscribe(a, &s->subscriber, &s->reading);
			rpc_call_stream(call, &ops, TAKE(s));
		}
	}
	protobuf_c_message_free_unpacked(m, NULL);
}

void api_get_flows(struct rpc_call *call, struct str request, void *ctx)
{
	begin(call, request, ctx, false);
}

void api_get_flow_batches(struct rpc_call *call, struct str request, void *ctx)
{
	begin(call, request, ctx, true);
}
