#include "flow/pack.h"
#include "relay/inside.h"

static void get_agent_events(struct rpc_call *call, struct str request, void *ctx)
{
	(void)request, (void)ctx;
	rpc_call_end(call, RPC_UNIMPLEMENTED, "GetAgentEvents not yet implemented");
}

static void get_debug_events(struct rpc_call *call, struct str request, void *ctx)
{
	(void)request, (void)ctx;
	rpc_call_end(call, RPC_UNIMPLEMENTED, "GetDebugEvents not yet implemented");
}

enum err_code api_new(const struct api_config *config, struct api **ret, struct err *e)
{
	const struct rpc_method methods[API_METHODS] = {
		{ "/observer.Observer/GetFlows", api_get_flows, NULL },
		{ "/tycho.v1.Flows/GetFlowBatches", api_get_flow_batches, NULL },
		{ "/tycho.v1.Flows/GetFilteredStatus", api_get_filtered_status, NULL },
		{ "/tycho.v1.Flows/GetTime", api_get_time, NULL },
		{ "/tycho.v1.History/GetCoverage", api_get_coverage, NULL },
		{ "/tycho.v1.History/GetServiceMap", api_get_service_map, NULL },
		{ "/tycho.v1.Evidence/Export", api_export, NULL },
		{ "/observer.Observer/GetAgentEvents", get_agent_events, NULL },
		{ "/observer.Observer/GetDebugEvents", get_debug_events, NULL },
		{ "/observer.Observer/GetNodes", api_get_nodes, NULL },
		{ "/observer.Observer/GetNamespaces", api_get_namespaces, NULL },
		{ "/observer.Observer/ServerStatus", api_server_status, NULL },
	};
	struct api *a = calloc(1, sizeof *a);
	if (!a)
		return err_set(e, ERR_NOMEM, "api");
	a->config = *config;
	memcpy(a->methods, methods, sizeof methods);
	for (size_t i = 0; i < API_METHODS; i++)
		a->methods[i].ctx = a;
	*ret = a;
	return ERR_OK;
}

void api_free(struct api *a)
{
	free(a);
}

const struct rpc_method *api_methods(const struct api *a, size_t *ret_count)
{
	*ret_count = API_METHODS;
	return a->methods;
}

void api_set_server(struct api *a, struct rpc_server *s)
{
	atomic_store_explicit(&a->server, s, memory_order_release);
}

void api_wake(void *ctx)
{
	struct api *a = ctx;
	struct rpc_server *s = atomic_load_explicit(&a->server, memory_order_acquire);

	if (s)
		rpc_server_wake(s);
}

void api_suspect(struct api *a, struct peer *p)
{
	if (!atomic_exchange_explicit(&p->is_suspect, true, memory_order_acq_rel))
		keeper_poke(a->config.keeper);
}

enum err_code api_forward_headers(const struct api *a, const struct rpc_call *call,
				  const struct rpc_header *own, size_t own_count,
				  struct rpc_group *g, struct err *e)
{
	enum { HEADERS_MAX = 32, READ_MAX = HEADERS_MAX + 8, BYTES_MAX = 8 << 10 };
	struct rpc_header headers[READ_MAX + API_OWN_HEADERS_MAX];
	size_t n = rpc_call_headers(call, headers, READ_MAX), kept = 0, bytes = 0;

	for (size_t i = 0; i < n; i++) {
		if (str_is(headers[i].key, "authorization") && !a->config.forward_authorization)
			continue;
		if (str_is(headers[i].key, FLOW_TABLE_HEADER) ||
		    str_is(headers[i].key, FLOW_TABLES_HEADER))
			continue;
		bytes += headers[i].key.len + headers[i].value.len;
		headers[kept++] = headers[i];
	}
	/* one that is left out could be what a node knows the caller by */
	if (n == READ_MAX || kept > HEADERS_MAX || bytes > BYTES_MAX)
		return err_set(e, ERR_INVALID,
			       "more than %d headers or %d bytes of them cannot go on to the nodes",
			       HEADERS_MAX, BYTES_MAX);
	for (size_t i = 0; i < own_count; i++)
		headers[kept++] = own[i];
	return kept ? rpc_group_set_headers(g, headers, kept, e) : ERR_OK;
}

static uint64_t load(const _Atomic uint64_t *counter)
{
	return atomic_load_explicit(counter, memory_order_relaxed);
}

struct api_counts api_counts(const struct api *a)
{
	return (struct api_counts){
		.queries = load(&a->queries),
		.live_queries = load(&a->live_queries),
		.flows = load(&a->flows),
		.node_errors = load(&a->node_errors),
		.gathers = load(&a->gathers),
	};
}
