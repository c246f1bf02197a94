#include "observer/api/inside.h"

#include "flow/wire.h"

/* Numbers of GetFlowsResponse and its sisters; flow.Timestamp as everywhere. */
enum {
	FIELD_NODE_NAME = 1000,
	FIELD_TIME = 1001,
	TIMESTAMP_SECONDS = 1,
	TIMESTAMP_NANOS = 2,
	BATCH_RECORDS = 64
};

enum err_code api_new(const struct api_config *config, struct api **ret, struct err *e)
{
	const struct rpc_method methods[API_METHODS] = {
		{ "/observer.Observer/GetFlows", api_get_flows, NULL },
		{ "/tycho.v1.Flows/GetFlowBatches", api_get_flow_batches, NULL },
		{ "/tycho.v1.Flows/GetFilteredStatus", api_get_filtered_status, NULL },
		{ "/tycho.v1.Flows/GetTime", api_get_time, NULL },
		{ "/observer.Observer/GetAgentEvents", api_get_agent_events, NULL },
		{ "/observer.Observer/GetDebugEvents", api_get_debug_events, NULL },
		{ "/observer.Observer/ServerStatus", api_server_status, NULL },
		{ "/observer.Observer/GetNodes", api_get_nodes, NULL },
		{ "/observer.Observer/GetNamespaces", api_get_namespaces, NULL },
		{ "/peer.Peer/Notify", api_notify, NULL },
		{ "/tycho.v1.History/GetCoverage", api_get_coverage, NULL },
		{ "/tycho.v1.History/GetServiceMap", api_get_service_map, NULL },
	};
	AUTO(api_free) struct api *a = calloc(1, sizeof *a);
	if (!a)
		return err_set(e, ERR_NOMEM, "api");
	*a = (struct api){
		.log = config->log,
		.dict = config->dict,
		.names = config->names,
		.started = config->started,
		.retention_ns = config->retention_ns,
		.retention_bytes = config->retention_bytes,
		.version = str_dup(str_of(config->version)),
		.node_name = str_dup(str_of(config->node_name)),
		.address = str_dup(str_of(config->address)),
		.message = buf_init(API_MESSAGE_MAX),
		.flow = buf_init(API_MESSAGE_MAX),
	};
	if (config->tls_server_name)
		a->tls_server_name = str_dup(str_of(config->tls_server_name));
	if (!a->version || !a->node_name || !a->address ||
	    (config->tls_server_name && !a->tls_server_name))
		return err_set(e, ERR_NOMEM, "api");
	(void)pthread_mutex_init(&a->subscribers_mx, NULL);
	memcpy(a->methods, methods, sizeof methods);
	for (size_t i = 0; i < API_METHODS; i++)
		a->methods[i].ctx = a;
	enum err_code code = flow_batch_new(config->log, BATCH_RECORDS, &a->batch, e);
	if (code == ERR_OK && config->store)
		code = past_new(config->store, &a->past, e);
	if (code != ERR_OK)
		return code;
	*ret = TAKE(a);
	return ERR_OK;
}

void api_free(struct api *a)
{
	if (!a)
		return;
	free(a->version);
	free(a->node_name);
	free(a->address);
	free(a->tls_server_name);
	flow_batch_free(a->batch);
	past_free(a->past);
	buf_done(&a->message);
	buf_done(&a->flow);
	free(a);
}

void api_set_port(struct api *a, int port)
{
	atomic_store_explicit(&a->port, port, memory_order_relaxed);
}

const struct rpc_method *api_methods(const struct api *a, size_t *ret_count)
{
	*ret_count = API_METHODS;
	return a->methods;
}

void api_subscribe(struct api *a, struct subscriber *s, const struct reading *r)
{
	s->follows = r->follow;
	atomic_store_explicit(&s->at, r->at, memory_order_relaxed);
	(void)pthread_mutex_lock(&a->subscribers_mx);
	s->next = a->subscribers;
	s->link = &a->subscribers;
	if (s->next)
		s->next->link = &s->next;
	a->subscribers = s;
	(void)pthread_mutex_unlock(&a->subscribers_mx);
}

void api_unsubscribe(struct api *a, struct subscriber *s)
{
	if (!s->link)
		return;
	(void)pthread_mutex_lock(&a->subscribers_mx);
	*s->link = s->next;
	if (s->next)
		s->next->link = s->link;
	(void)pthread_mutex_unlock(&a->subscribers_mx);
	s->link = NULL;
}

struct api_counts api_counts(struct api *a)
{
	struct flow_log_range range = flow_log_range(a->log);
	struct api_counts counts = {
		.lost_records = atomic_load_explicit(&a->lost_records, memory_order_relaxed),
		.filter_faults = atomic_load_explicit(&a->filter_faults, memory_order_relaxed),
	};

	(void)pthread_mutex_lock(&a->subscribers_mx);
	for (const struct subscriber *s = a->subscribers; s; s = s->next) {
		uint64_t at = atomic_load_explicit(&s->at, memory_order_relaxed);
		uint64_t lag = at < range.next ? range.next - at : 0;
		counts.streams++;
		counts.followers += s->follows;
		if (s->follows && lag > counts.lag_records)
			counts.lag_records = lag;
	}
	(void)pthread_mutex_unlock(&a->subscribers_mx);
	return counts;
}

void api_reply(struct api *a, struct rpc_call *call, const ProtobufCMessage *m)
{
	size_t bytes = protobuf_c_message_get_packed_size(m);

	buf_reset(&a->message);
	char *to = buf_reserve(&a->message, bytes);
	if (!to) {
		rpc_call_end(call, RPC_RESOURCE_EXHAUSTED, "no memory for an answer of %zu bytes",
			     bytes);
		return;
	}
	a->message.len = protobuf_c_message_pack(m, (uint8_t *)to);
	rpc_call_reply(call, buf_str(&a->message));
}

/* The reference answers UNKNOWN to everything but a contradiction (reference/hubble-api.md section
 * 3.1). */
void api_refuse(struct rpc_call *call, const struct err *e)
{
	enum rpc_status status = e->code == ERR_NOMEM ? RPC_RESOURCE_EXHAUSTED : RPC_UNKNOWN;

	rpc_call_end(call, status, "%s", e->msg);
}

struct str api_node_of(const struct api *a, const struct flow *f)
{
	const struct node *node = flow_dict_get_node(a->dict, f->node);

	return node ? node->name : str_of(a->node_name);
}

static void put_timestamp(struct buf *b, uint32_t field, struct timestamp t)
{
	size_t mark = wire_begin(b, field);

	wire_put_u64(b, TIMESTAMP_SECONDS, (uint64_t)t.s);
	wire_put_u64(b, TIMESTAMP_NANOS, (uint64_t)t.ns);
	wire_end(b, mark);
}

void api_put_time(struct buf *b, uint32_t field, struct wall_ns w)
{
	put_timestamp(b, field, timestamp_of(w));
}

void api_put_node_and_time(struct buf *b, struct str node, bool has_time, struct timestamp t)
{
	wire_put_str(b, FIELD_NODE_NAME, node);
	if (has_time)
		put_timestamp(b, FIELD_TIME, t);
}

enum rpc_fill api_fill(struct api *a, struct rpc_call *call, struct reading *r,
		       struct reading_sink *sink, struct subscriber *subscriber)
{
	buf_reset(&a->message);
	buf_reset(&a->flow);
	struct err e;
	enum reading_state state = reading_pull(r, a->batch, mono_now(), wall_now(), sink, &e);

	atomic_store_explicit(&subscriber->at, r->at, memory_order_relaxed);

	/* A message that does not fit was refused by the sink as if there were no room. */
	if (a->message.failed || a->flow.failed) {
		rpc_call_end(call, RPC_RESOURCE_EXHAUSTED, "no memory for a message");
		return RPC_ENDED;
	}
	if (sink->flush && !sink->flush(sink, state == READING_ENDED || state == READING_FAILED))
		return RPC_MORE;
	switch (state) {
	case READING_MORE:
		return RPC_MORE;
	case READING_IDLE:
		return RPC_IDLE;
	case READING_FAILED:
		rpc_call_end(call, RPC_INTERNAL, "the store cannot be read: %s", e.msg);
		return RPC_ENDED;
	case READING_ENDED:
		break;
	}
	rpc_call_end(call, RPC_OK, "%s", "");
	return RPC_ENDED;
}
