/*
 * rpc_server - a gRPC server on one thread: unary calls, and streams that are pulled.
 *
 *	  client ◄── HTTP/2 ◄── C core ◄── queue of a call (bounded) ◄── fill() of the method
 *
 * A method's begin() gets the request. It answers at once (rpc_call_reply, rpc_call_end) or turns
 * the call into a stream (rpc_call_stream). A stream is pulled: whenever the call's queue has room,
 * the server asks fill() for more. So a client that reads slowly is asked for less, holds one queue
 * of memory, and delays nobody: its method simply is not called. A client that does not take a
 * single message for @stall_ns while one is waiting is cut off with RESOURCE_EXHAUSTED.
 *
 * Threads  begin, fill and done run on the server's one thread; they must not block. rpc_call_*
 *          functions may only be called from there, except rpc_server_wake.
 * Time     a stream that has nothing to say returns RPC_IDLE and is asked again at the next tick
 *          (@tick_ns), or sooner after rpc_server_wake. Without idle streams nothing ticks: the
 *          thread sleeps.
 * Limits   a queue holds @queue_messages messages and 4 MiB, or one larger message; all of them
 *          together about RPC_QUEUES_BYTES, or one message each. Of what comes in, and is not
 *          taken yet, 64 MiB are held, and the requests of all streams are RPC_ASKED_BYTES; beyond, streams that wait for the rest of their request are
 *          cancelled. A connection has @max_streams streams, those of a unix socket are not
 *          told apart.
 * Process  gRPC 1.51 stops listening for good when it runs out of file descriptors. So the soft
 *          limit is raised to the hard one (RLIMIT_NOFILE, for the whole process), and a listener
 *          that died all the same is replaced as soon as descriptors are free; calls in progress go
 *          on meanwhile.
 * Built in grpc.health.v1 (Check, List, Watch), server reflection v1 and v1alpha, UNIMPLEMENTED for
 *          the rest.
 */
#ifndef TYCHO_RPC_SERVER_H
#define TYCHO_RPC_SERVER_H

#include "rpc/rpc.h"

struct rpc_server;
struct buf;
struct rpc_call;
struct rpc_fan;

enum {
	RPC_QUEUES_BYTES = 64 << 20,
	RPC_ASKED_BYTES = 64 << 20, /* requests of all streams, as methods make something of them */
	RPC_ASKED_SMALL_BYTES = 16 << 10, /* such requests are always taken */
};

enum rpc_fill {
	RPC_MORE, /* there is more to say: call fill again when the queue has room */
	RPC_IDLE, /* nothing now: call fill again at the next tick, or after rpc_server_wake */
	RPC_ENDED /* fill has called rpc_call_end */
};

struct rpc_stream_ops {
	/* Add messages with rpc_call_send while it returns true and there is something to say; a
	 * few dozen a call are plenty. Long work yields: return RPC_MORE having sent nothing to be
	 * called again after other calls had their turn. */
	enum rpc_fill (*fill)(struct rpc_call *call, void *state);
	/* The call is over for whatever reason; @state is the method's to free. Called exactly
	 * once. */
	void (*done)(void *state);
};

struct rpc_method {
	const char *path; /* "/observer.Observer/GetFlows" */
	/* @request is borrowed until begin returns. Must reply, end or stream before it returns. */
	void (*begin)(struct rpc_call *call, struct str request, void *ctx);
	void *ctx;
};

/* What is called, and with what; a gate may put another of the server's methods and requests in
 * their place. Both borrowed for as long as the call lasts. */
struct rpc_admission {
	const char *path;
	struct str request;
};
/* Asked before each call of a method (the built-in ones are everybody's), and before each fill of a
 * stream. @return false when it has ended the call. What it leaves with the call
 * (rpc_call_set_guest) is there for the methods. */
struct rpc_gate {
	bool (*admit)(struct rpc_call *call, struct rpc_admission *what, void *ctx);
	bool (*may_go_on)(struct rpc_call *call, void *ctx);
	void *ctx;
};

struct rpc_listen {
	/* "unix:///run/tycho/observer.sock", "localhost:4245", ":4244", "127.0.0.1:0", "[::1]:1" */
	const char *address;
	const struct rpc_tls *tls; /* NULL: plain text */
	/* unix sockets: permission bits of the file, e.g. 0660; 0: as the umask says */
	unsigned socket_mode;
};

struct rpc_server_config {
	const struct rpc_method *methods;
	size_t method_count;
	struct rpc_gate gate; /* admit NULL: everybody may everything */
	/* made by rpc_fan_new_for_server: this server's thread does its work; borrowed, freed after
	 * the server; NULL: none */
	struct rpc_fan *fan;
	const struct rpc_listen *listens;
	size_t listen_count;
	/* initial metadata of every answer, e.g. hubble-server-version */
	const struct rpc_metadata *metadata;
	size_t metadata_count;
	const char *const *health_services; /* names that are SERVING from the start, beside "" */
	size_t health_service_count;
	uint64_t tick_ns;         /* 0: 10 ms */
	uint64_t stall_ns;        /* 0: 30 s */
	size_t queue_messages;    /* per stream; 0: 128 */
	size_t max_request_bytes; /* 0: 4 MiB, gRPC's default */
	uint32_t max_streams;     /* concurrent streams per connection; 0: 1024 */
};

/* Binds every address and starts the thread. Everything @config points to is copied or only read
 * now, except @ctx of the methods. Fails with ERR_EXISTS (address in use: SO_REUSEPORT is off),
 * ERR_INVALID (bad address), ERR_NOT_FOUND / ERR_PERMISSION / ERR_PARSE (a certificate file is
 * missing, unreadable, expired or does not fit its key), or as the system says (socket's directory
 * missing, port below 1024). A stale unix socket is replaced, one that somebody listens on is
 * ERR_EXISTS. */
MUST_CHECK enum err_code rpc_server_new(const struct rpc_server_config *config,
					struct rpc_server **ret, struct err *e);
/* Streams in progress end with UNAVAILABLE "server is shutting down"; waits up to @grace_ns for
 * them, cancels the rest, joins the thread, unlinks unix sockets. NULL is a no-op. */
void rpc_server_free(struct rpc_server *s, uint64_t grace_ns);

/* The port that listen @i was given (for ":0"), 0 for unix sockets. */
int rpc_server_port(const struct rpc_server *s, size_t i);
/* Any thread, never blocks for long: idle streams are asked again at once rather than at the next
 * tick. Calls in quick succession become one; while no stream is idle it costs two atomic
 * operations, else about a microsecond and a switch of threads. */
void rpc_server_wake(struct rpc_server *s);
/* Any thread: SERVING or NOT_SERVING for Check and Watch. Unknown names are added. */
void rpc_server_set_health(struct rpc_server *s, const char *service, bool serving);

/* Unary answer. Ends the call. */
void rpc_call_reply(struct rpc_call *call, struct str message);
/* Ends the call with @status; the text is made valid UTF-8. For streams: after what is queued. */
void rpc_call_end(struct rpc_call *call, enum rpc_status status, const char *fmt, ...) FORMAT(3, 4);
/* Makes the call a stream. Initial metadata is sent at once. Takes @state until ops->done. */
void rpc_call_stream(struct rpc_call *call, const struct rpc_stream_ops *ops, void *state);
/* Queues one message (copied). @return false when the queue was already full: the message was not
 * taken. */
bool rpc_call_send(struct rpc_call *call, struct str message);
/* As rpc_call_send without the copy from a second buffer: room for @bytes to encode into, NULL when
 * the queue is full; then rpc_call_commit with the bytes really used (0 takes it back). */
uint8_t *rpc_call_reserve(struct rpc_call *call, size_t bytes);
void rpc_call_commit(struct rpc_call *call, size_t used);
/* Peer as gRPC names it, e.g. "ipv4:127.0.0.1:5000" or "unix:"; valid until the call is over. */
const char *rpc_call_peer(const struct rpc_call *call);
/* Value of a request header, or an empty str. Valid until the call is over. */
struct str rpc_call_header(const struct rpc_call *call, const char *key);

/* Headers of the request that are the caller's own: none of HTTP's and gRPC's ("user-agent",
 * "grpc-…", "te", "content-type"). @return how many, at most @max. Valid until the call is over. */
size_t rpc_call_headers(const struct rpc_call *call, struct rpc_header *out, size_t max);
/* Appends the names in the client's certificate, each terminated: its subject alternative names;
 * without any, the common name. @return how many; 0 without a certificate. */
size_t rpc_call_cert_names(const struct rpc_call *call, struct buf *out);
/* What the gate knows of the caller. @release, may be NULL, gets it back when the call is over,
 * after the method's done. */
void rpc_call_set_guest(struct rpc_call *call, void *guest, void (*release)(void *guest));
void *rpc_call_guest(const struct rpc_call *call); /* NULL: none */

struct rpc_server_stats {
	uint64_t calls, live_calls, messages_sent, bytes_sent, stalled_calls;
};
/* Any thread. */
struct rpc_server_stats rpc_server_stats(const struct rpc_server *s);

/* By method, the built-in ones included. Any thread. @return how many of them; at most @max are
 * written to @out, whose paths are borrowed from the server. */
enum { RPC_STATUS_COUNT = RPC_UNAUTHENTICATED + 1, RPC_DURATION_BOUNDS = 11 };
extern const uint64_t rpc_duration_bounds_ns[RPC_DURATION_BOUNDS];
enum rpc_kind { RPC_UNARY, RPC_SERVER_STREAM, RPC_BIDI_STREAM }; /* as the .proto files have it */
struct rpc_method_counts {
	const char *path;
	enum rpc_kind kind;
	uint64_t started, received, sent;   /* calls, messages */
	uint64_t handled[RPC_STATUS_COUNT]; /* calls that are over, by status */
	uint64_t
		durations[RPC_DURATION_BOUNDS + 1]; /* of those: each in the first bucket it fits */
	uint64_t duration_ns;                       /* of all of them together */
};
size_t rpc_server_method_counts(const struct rpc_server *s, struct rpc_method_counts *out,
				size_t max);

#endif
