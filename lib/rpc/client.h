/*
 * rpc_client - calls to a gRPC server: blocking, one call per thread at a time, cancellable from
 * any thread.
 *
 * A channel is a lasting connection to one address; it reconnects by itself, a call does not.
 */
#ifndef TYCHO_RPC_CLIENT_H
#define TYCHO_RPC_CLIENT_H

#include "base/time.h"
#include "rpc/rpc.h"

struct buf;
struct rpc_channel;
struct rpc_stream;

struct rpc_channel_config {
	/* "host:port", "tls://host:port", "unix:///path", "unix:/path", "[::1]:4245" */
	const char *address;
	const struct rpc_tls *tls;           /* NULL: plain text, unless the address says tls:// */
	const char *user_agent;              /* NULL: "tycho/<version>" */
	const struct rpc_metadata *metadata; /* sent with every call, e.g. authorization; copied */
	size_t metadata_count;
	size_t max_message_bytes; /* 0: 4 MiB */
};

/* Connects lazily: only bad arguments and certificate files fail here. */
MUST_CHECK enum err_code rpc_channel_new(const struct rpc_channel_config *config,
					 struct rpc_channel **ret, struct err *e);
void rpc_channel_free(struct rpc_channel *ch); /* NULL is a no-op; no stream may remain */
AUTO_DEFINE(struct rpc_channel, rpc_channel_free);

/* How a call ended. The message is the server's (or the C core's, when it never got there). */
struct rpc_result {
	enum rpc_status status;
	char message[512];
};

/* One request, one answer, appended to @ret_response. Blocks for at most @timeout_ns (0: no limit).
 * ERR_OK only when the server said OK; otherwise *ret_result tells, and *e holds one sentence in
 * the form "rpc error: code = X desc = Y" (just Y for UNKNOWN), as the reference CLI prints it. */
MUST_CHECK enum err_code rpc_unary(struct rpc_channel *ch, const char *method, struct str request,
				   uint64_t timeout_ns, struct buf *ret_response,
				   struct rpc_result *ret_result, struct err *e);

/* Starts a server-streaming call. Does not wait for the server. */
MUST_CHECK enum err_code rpc_stream_open(struct rpc_channel *ch, const char *method,
					 struct str request, struct rpc_stream **ret,
					 struct err *e);
/* Next message, borrowed until the next call on @s. Blocks until there is one, at most @timeout_ns
 * (0: no limit). ERR_CLOSED: the server ended the stream with OK. ERR_TIMEOUT: nothing yet, call
 * again. ERR_CANCELLED: rpc_stream_cancel. Anything else: *e has the sentence as rpc_unary makes
 * it; see rpc_stream_result. */
MUST_CHECK enum err_code rpc_stream_next(struct rpc_stream *s, uint64_t timeout_ns,
					 struct str *ret_message, struct err *e);
/* True when a message is here already, so that rpc_stream_next would not block: lets a printer hold
 * back its flush while there is more to print. */
bool rpc_stream_has_next(struct rpc_stream *s);
/* Valid after rpc_stream_next returned other than ERR_OK and ERR_TIMEOUT. */
const struct rpc_result *rpc_stream_result(const struct rpc_stream *s);
/* Value of an initial-metadata header of the answer, "" if absent or not here yet. Borrowed. */
struct str rpc_stream_header(const struct rpc_stream *s, const char *key);
/* Any thread, any time before free: ends the call; a waiting rpc_stream_next is ERR_CANCELLED. */
void rpc_stream_cancel(struct rpc_stream *s);
/* Cancels if need be, waits for the last tag; NULL is a no-op. */
void rpc_stream_free(struct rpc_stream *s);
AUTO_DEFINE(struct rpc_stream, rpc_stream_free);

#endif
