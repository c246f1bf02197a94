/*
 * api - observer.Observer, answered by asking the peers.
 *
 *	GetFlows       flows.c   the request goes to every peer, the answers are merged by time;
 *	                         tycho.v1's GetFlowBatches: the same, many answers a message
 *	ServerStatus   gather.c  each peer is asked; sums; tycho.v1's GetFilteredStatus: the same
 *	GetNodes       gather.c  the same; one node each
 *	GetNamespaces  gather.c  the same; their union
 *	GetTime        gather.c  the same; what each clock says (tycho.v1)
 *	GetCoverage, GetServiceMap, Export (tycho.v1)
 *	               pass.c    what each node says goes on as it comes
 *
 * Semantics are Hubble Relay's (reference/hubble-exporter-relay.md section 3); docs/relay.md lists
 * where we do better.
 *
 * Threads  the methods run on the server's one thread; so does the fan, which wakes them.
 */
#ifndef TYCHO_RELAY_API_H
#define TYCHO_RELAY_API_H

#include "base/err.h"
#include "relay/keeper.h"
#include "relay/peers.h"
#include "rpc/fan.h"
#include "rpc/server.h"

struct api;

struct api_config {
	struct rpc_fan *fan; /* all borrowed, must outlive the api */
	struct peers *peers;
	struct keeper *keeper;
	const char *version;        /* "tycho-relay v0.1.0" */
	const char *node_name;      /* who says what we say ourselves */
	size_t window;              /* live flows held back to be put in order */
	uint64_t drain_ns;          /* how long one peer's silence may hold the others up */
	bool forward_authorization; /* of the caller, too, goes on to the peers */
};

/* Since the start. Any thread. */
struct api_counts {
	uint64_t queries;      /* flow streams that began … */
	uint64_t live_queries; /* … and have not ended */
	uint64_t flows;        /* messages of peers given to clients */
	uint64_t node_errors;  /* streams of peers that failed */
	uint64_t gathers;      /* status, nodes, namespaces, … asked of all peers */
};

MUST_CHECK enum err_code api_new(const struct api_config *config, struct api **ret, struct err *e);
void api_free(struct api *a); /* after the server that uses its methods */
AUTO_DEFINE(struct api, api_free);

struct api_counts api_counts(const struct api *a);

/* The methods to give to rpc_server_config; borrowed for the api's life. */
const struct rpc_method *api_methods(const struct api *a, size_t *ret_count);
/* Whom to wake when peers have answered. Until then answers wait for the server's next tick. */
void api_set_server(struct api *a, struct rpc_server *s);

#endif
