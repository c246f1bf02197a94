/*
 * inside - what the files of the relay's API share.
 */
#ifndef TYCHO_RELAY_INSIDE_H
#define TYCHO_RELAY_INSIDE_H

#include <stdatomic.h>

#include "relay/api.h"

/* Calls opened in one go, so that a thousand peers do not hold up other clients. */
enum { API_OPENED_AT_ONCE = 64, API_METHODS = 6 };

struct api {
	struct api_config config;
	struct rpc_server *_Atomic server; /* NULL until there is one */
	struct rpc_method methods[API_METHODS];
};

void api_get_flows(struct rpc_call *call, struct str request, void *ctx);
void api_server_status(struct rpc_call *call, struct str request, void *ctx);
void api_get_nodes(struct rpc_call *call, struct str request, void *ctx);
void api_get_namespaces(struct rpc_call *call, struct str request, void *ctx);

/* For groups: @ctx is the api. */
void api_wake(void *ctx);
/* A query waits for @p in vain. */
void api_suspect(struct api *a, struct peer *p);

#endif
