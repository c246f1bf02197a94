/*
 * inside - what the files of the relay's API share.
 */
#ifndef TYCHO_RELAY_INSIDE_H
#define TYCHO_RELAY_INSIDE_H

#include <stdatomic.h>

#include "relay/api.h"

/* Calls opened in one go, so that a thousand peers do not hold up other clients. */
enum { API_OPENED_AT_ONCE = 64, API_METHODS = 12, API_OWN_HEADERS_MAX = 2 };

struct api {
	struct api_config config;
	struct rpc_server *_Atomic server; /* NULL until there is one */
	struct rpc_method methods[API_METHODS];
	/* written by the server's thread, read by any */
	_Atomic uint64_t queries, live_queries, flows, node_errors, gathers;
};

static inline void api_add(_Atomic uint64_t *counter, uint64_t n)
{
	atomic_fetch_add_explicit(counter, n, memory_order_relaxed);
}

void api_get_flows(struct rpc_call *call, struct str request, void *ctx);
void api_get_flow_batches(struct rpc_call *call, struct str request, void *ctx);
void api_server_status(struct rpc_call *call, struct str request, void *ctx);
void api_get_filtered_status(struct rpc_call *call, struct str request, void *ctx);
void api_get_time(struct rpc_call *call, struct str request, void *ctx);
void api_get_coverage(struct rpc_call *call, struct str request, void *ctx);
void api_get_service_map(struct rpc_call *call, struct str request, void *ctx);
void api_export(struct rpc_call *call, struct str request, void *ctx);
void api_get_nodes(struct rpc_call *call, struct str request, void *ctx);
void api_get_namespaces(struct rpc_call *call, struct str request, void *ctx);

/* For groups: @ctx is the api. */
void api_wake(void *ctx);
/* What the caller said about itself goes on to the peers with every call of @g (as the reference's
 * relay does); but for its authorization, which is for us, unless configured, and what it can
 * unpack. With @own, at most API_OWN_HEADERS_MAX. ERR_INVALID: too many, or too long. */
MUST_CHECK enum err_code api_forward_headers(const struct api *a, const struct rpc_call *call,
					     const struct rpc_header *own, size_t own_count,
					     struct rpc_group *g, struct err *e);
/* A query waits for @p in vain. */
void api_suspect(struct api *a, struct peer *p);

#endif
