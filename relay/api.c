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
