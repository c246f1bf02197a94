/* tycho.v1 GetFilteredStatus: what ServerStatus says, of some flows only. Reads the whole log, in
 * portions like any stream, so that nobody waits for it. */
#include "observer/api/inside.h"
#include "observer/api/rate.h"
#include "observer/observer.pb-c.h"
#include "tycho/v1/flows.pb-c.h"

struct count {
	struct reading_sink sink; /* first: the sink is the count */
	struct api *api;
	struct reading reading;
	struct flow_filter *filter;
	struct wall_ns now;
	uint64_t flows, recent; /* of the last RATE_WINDOW_S */
};

static void count_free(struct count *c)
{
	if (!c)
		return;
	flow_filter_free(c->filter);
	free(c);
}
AUTO_DEFINE(struct count, count_free);

static void done(void *state)
{
	count_free(state);
}

static bool take_record(struct reading_sink *sink, const struct flow *f)
{
	struct count *c = (struct count *)sink;

	if (f->kind != FLOW_KIND_FLOW)
		return true;
	c->flows++;
	c->recent += flow_is(f, FLOW_HAS_TIME) && f->time.v + RATE_WINDOW_S * NS_PER_S >= c->now.v;
	return true;
}

static bool take_loss(struct reading_sink *sink, const struct reading_loss *loss)
{
	(void)sink;
	(void)loss; /* what is held no more is not counted */
	return true;
}

static double rate_of(const struct count *c, const struct flow_log_counts *log, uint64_t uptime_ns)
{
	uint64_t covered_ns =
		rate_covered_ns(c->now, log->oldest_time, log->records > log->held, uptime_ns);

	return (double)c->recent * (double)NS_PER_S / (double)covered_ns;
}

static enum rpc_fill fill(struct rpc_call *call, void *state)
{
	struct count *c = state;
	struct api *a = c->api;

	if (reading_pull(&c->reading, a->batch, mono_now(), c->now, &c->sink, NULL) == READING_MORE)
		return RPC_MORE;
	struct flow_log_counts counts = flow_log_counts(a->log);
	Observer__ServerStatusResponse answer;
	observer__server_status_response__init(&answer);
	answer.num_flows = answer.seen_flows = c->flows;
	answer.max_flows = counts.capacity;
	answer.uptime_ns = mono_now().v - a->started.v;
	answer.version = a->version;
	answer.flows_rate = rate_of(c, &counts, answer.uptime_ns);
	uint8_t *to =
		rpc_call_reserve(call, observer__server_status_response__get_packed_size(&answer));
	if (to)
		rpc_call_commit(call, observer__server_status_response__pack(&answer, to));
	rpc_call_end(call, to ? RPC_OK : RPC_RESOURCE_EXHAUSTED, "%s", "");
	return RPC_ENDED;
}

static const struct rpc_stream_ops ops = { fill, done };

static enum err_code prepare(struct count *c, struct api *a,
			     const Tycho__V1__GetFilteredStatusRequest *request, struct err *e)
{
	static const struct reading_request everything = { .first = true };

	c->sink = (struct reading_sink){ take_record, take_loss, NULL };
	c->api = a;
	c->now = wall_now();
	enum err_code code =
		flow_filter_new(request->whitelist, request->n_whitelist, request->blacklist,
				request->n_blacklist, a->dict, &c->filter, e);
	return code != ERR_OK ? code
			      : reading_init(&c->reading, &everything, a->log, NULL, FLOW_KIND_FLOW,
					     c->filter, e);
}

void api_get_filtered_status(struct rpc_call *call, struct str request, void *ctx)
{
	ProtobufCMessage *m = rpc_request_unpack(
		call, request, &tycho__v1__get_filtered_status_request__descriptor);
	AUTO(count_free) struct count *c = m ? calloc(1, sizeof *c) : NULL;
	struct err e;

	if (!m)
		return;
	if (!c)
		rpc_call_end(call, RPC_RESOURCE_EXHAUSTED, "no memory for a count");
	else if (prepare(c, ctx, (const Tycho__V1__GetFilteredStatusRequest *)m, &e) != ERR_OK)
		api_refuse(call, &e);
	else
		rpc_call_stream(call, &ops, TAKE(c));
	protobuf_c_message_free_unpacked(m, NULL);
}
