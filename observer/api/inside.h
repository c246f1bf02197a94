/* What the files of observer/api share; private to the room. */
#ifndef TYCHO_OBSERVER_API_INSIDE_H
#define TYCHO_OBSERVER_API_INSIDE_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/buf.h"
#include "observer/api/api.h"
#include "observer/api/reading.h"
#include "rpc/address.h"
#include "rpc/request.h"

enum { API_METHODS = 12, API_MESSAGE_MAX = 64 << 20 };

/* One stream that is being answered, as metrics see it. */
struct subscriber {
	struct subscriber *next, **link; /* guarded by the api's subscribers_mx */
	bool follows;
	_Atomic uint64_t at; /* next record; the server thread writes */
};

struct api {
	/* immutable */
	const struct flow_log *log;
	struct flow_dict *dict;
	struct name_table *names;
	struct mono_ns started;
	char *version, *node_name, *address;    /* owned */
	char *tls_server_name;                  /* owned; NULL: plain text */
	uint64_t retention_ns, retention_bytes; /* of the store */
	struct rpc_method methods[API_METHODS];
	/* server thread: scratch of the call at work */
	struct past *past; /* NULL: no store */
	struct flow_batch *batch;
	struct buf message, flow;
	/* any thread */
	pthread_mutex_t subscribers_mx;
	struct subscriber *subscribers; /* guarded by subscribers_mx */
	_Atomic uint64_t lost_records, filter_faults;
	_Atomic int port; /* 0: the address's own */
};

/* @s may be zero: it then never was a subscriber, and removing it is a no-op. */
void api_subscribe(struct api *a, struct subscriber *s, const struct reading *r);
void api_unsubscribe(struct api *a, struct subscriber *s);

/* Methods: rpc_method.begin with the api as @ctx. */
void api_get_flows(struct rpc_call *call, struct str request, void *ctx);
void api_get_flow_batches(struct rpc_call *call, struct str request, void *ctx);
void api_get_filtered_status(struct rpc_call *call, struct str request, void *ctx);
void api_get_time(struct rpc_call *call, struct str request, void *ctx);
void api_get_agent_events(struct rpc_call *call, struct str request, void *ctx);
void api_get_debug_events(struct rpc_call *call, struct str request, void *ctx);
void api_server_status(struct rpc_call *call, struct str request, void *ctx);
void api_get_nodes(struct rpc_call *call, struct str request, void *ctx);
void api_get_namespaces(struct rpc_call *call, struct str request, void *ctx);
void api_notify(struct rpc_call *call, struct str request, void *ctx);
void api_get_coverage(struct rpc_call *call, struct str request, void *ctx);
void api_get_service_map(struct rpc_call *call, struct str request, void *ctx);

/* Unary answer. */
void api_reply(struct api *a, struct rpc_call *call, const ProtobufCMessage *m);
/* Ends @call with what a request's fault maps to. */
void api_refuse(struct rpc_call *call, const struct err *e);
/* Where peers reach this observer; "": nowhere. */
void api_address(const struct api *a, char out[static ADDRESS_TARGET_BYTES]);
/* Who says a record that is no flow: the node it came from, else this one. */
struct str api_node_of(const struct api *a, const struct flow *f);
/* Appends @w as a Timestamp in field @field. */
void api_put_time(struct buf *b, uint32_t field, struct wall_ns w);
/* Appends the fields node_name and time that all stream answers end with. */
void api_put_node_and_time(struct buf *b, struct str node, bool has_time, struct timestamp t);

/* One fill of a stream: pulls @r into @sink; ends the call when the reading has. */
enum rpc_fill api_fill(struct api *a, struct rpc_call *call, struct reading *r,
		       struct reading_sink *sink, struct subscriber *subscriber);

#endif
