/*
 * api - observer.Observer, peer.Peer and tycho.v1.History, answered from flow log and store.
 *
 *	rpc_server ──► begin(request) ──► filter, mask, position ──► stream, from store and log
 *
 * Semantics are Hubble's (reference/hubble-api.md sections 3, 5, 6); where we do better,
 * docs/compatibility.md lists it.
 *
 * Where people are led to expect it, we do more: `number` without `first` or `since` yields the
 * last N flows *that match*, the newest flow is there at once, a follower without a number starts
 * after it, and flows that are a little out of order do not end a time range early.
 *
 * Threads  the methods run on the server's one thread and share buffers of the api: one api, one
 *          server.
 * Loss     a stream that the log overtook is told by LostEvents (source HUBBLE_RING_BUFFER), at
 *          most one a second, and once more before it ends: each lost record is counted exactly
 *          once.
 */
#ifndef TYCHO_OBSERVER_API_H
#define TYCHO_OBSERVER_API_H

#include "base/err.h"
#include "base/time.h"
#include "observer/log/log.h"
#include "observer/name/name.h"
#include "rpc/server.h"

struct api;
struct store;

struct api_config {
	const struct flow_log *log; /* all borrowed, must outlive the api */
	struct flow_dict *dict;
	struct name_table *names;
	const char *version;   /* "tycho v0.1.0" */
	const char *node_name; /* "cluster/node" or "node" */
	const char *address; /* where it listens for peers, "10.0.0.1:4244" or ":4244"; may be "" */
	const char *tls_server_name; /* NULL: that address is plain text */
	struct mono_ns started;
	struct store *store; /* history beyond the log; NULL: there is none */
	/* How long it keeps flows, and how large it may grow, for who asks; 0: no limit. */
	uint64_t retention_ns, retention_bytes;
};

MUST_CHECK enum err_code api_new(const struct api_config *config, struct api **ret, struct err *e);
void api_free(struct api *a); /* after the server that uses its methods */
/* The port that the address was given, where it asked for any (0). Any thread. */
void api_set_port(struct api *a, int port);
AUTO_DEFINE(struct api, api_free);

/* The methods to give to rpc_server_config; borrowed for the api's life. */
const struct rpc_method *api_methods(const struct api *a, size_t *ret_count);

/* For metrics. Any thread. */
struct api_counts {
	size_t streams, followers;
	uint64_t lag_records;   /* of the follower that is furthest behind */
	uint64_t lost_records;  /* told to clients that the log had overtaken */
	uint64_t filter_faults; /* flows on which an expression failed; of streams that are over */
};
struct api_counts api_counts(struct api *a);

#endif
