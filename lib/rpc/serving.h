/*
 * serving - the inside of a server, shared by server.c (thread and life), call.c (calls and
 * streams), listen.c (ports), health.c and reflection.c.
 *
 * Everything here belongs to the server's thread unless it says otherwise; before the thread starts
 * and after it is joined, to whoever calls rpc_server_new and rpc_server_free.
 */
#ifndef TYCHO_RPC_SERVING_H
#define TYCHO_RPC_SERVING_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/time.h"
#include "rpc/address.h"
#include "rpc/inside.h"
#include "rpc/server.h"
#include "rpc/tally.h"
#include "rpc/tls.h"

/* A ring of calls; a call is in at most one of each kind. */
struct link {
	struct link *prev, *next;
};
static inline void link_init(struct link *l)
{
	l->prev = l->next = l;
}
static inline bool link_is_empty(const struct link *l)
{
	return l->next == l;
}
static inline void link_del(struct link *l)
{
	l->prev->next = l->next;
	l->next->prev = l->prev;
	link_init(l);
}
static inline void link_append(struct link *head, struct link *l)
{
	l->prev = head->prev;
	l->next = head;
	head->prev->next = l;
	head->prev = l;
}
#define LINK_OWNER(l, type, member) ((type *)(void *)((char *)(l)-offsetof(type, member)))

/* What comes back from the completion queue. */
enum tag_kind {
	TAG_REQUEST,
	TAG_CLOSE,
	TAG_READ,
	TAG_HEADERS,
	TAG_SEND,
	TAG_STATUS,
	TAG_CORE_DOWN,
	TAG_BELL
};
struct tag {
	enum tag_kind kind;
	void *owner; /* struct rpc_call, struct core; NULL for the bell */
};

/* One grpc_server. There is one at a time, but for the moment after its listeners failed: then the
 * old one still carries its calls while a new one listens (see listen.c). */
struct core {
	struct rpc_server *server;
	grpc_server *grpc;
	struct tag down;
	bool is_going;   /* shut down, waiting for its last connection */
	size_t requests; /* calls we are ready for: posted and not yet come */
	struct tls_port **ports;
	size_t port_count;
	struct core *next;
};

struct listener {
	struct address address; /* with the port really bound once known */
	struct rpc_tls tls;     /* our own copies of the paths */
	bool has_tls;
	unsigned socket_mode;
};

struct health;
struct reflection;

enum { CONNECTIONS = 1 << 16 };

struct rpc_server {
	/* immutable after start */
	struct rpc_method *methods;
	size_t method_count;
	struct tally *tallies; /* of the server thread to write, of any to read */
	size_t tally_count;
	struct rpc_gate gate;
	struct listener *listeners;
	size_t listener_count;
	grpc_metadata *metadata;
	size_t metadata_count;
	uint64_t tick_ns, stall_ns;
	size_t queue_messages, max_request_bytes;
	uint32_t max_streams;
	uint64_t seed; /* of connection_streams */
	struct health *health;
	struct reflection *reflection;
	grpc_completion_queue *cq; /* the fan's, if there is one */
	struct rpc_fan *fan;
	pthread_t thread;
	pthread_t self; /* the same, once @runs */
	bool has_thread;

	/* server thread only */
	struct core *cores; /* newest first */
	struct link calls;  /* all that have begun */
	struct link ready;  /* want fill, have nothing in flight */
	struct link idle;   /* said RPC_IDLE */
	size_t live_calls;  /* in @calls */
	size_t asked_bytes; /* of the requests of all that are streams */
	/* By the hash of the connection's name. Two that meet share what one may have: with 64 Ki
	 * of them and a seed nobody knows, that is rare, and nothing that can be aimed at. */
	uint32_t connection_streams[CONNECTIONS];
	size_t unstarted; /* posted, to be announced */
	bool is_stopping;
	uint64_t rebuild_at_ns; /* 0: listeners are well */
	unsigned rebuild_tries;

	/* Waking: a grpc_server without ports, shut down already. Shutting it down again is
	 * documented to be idempotent and to notify: the one public way to post to a completion
	 * queue from C. */
	grpc_server *bell;
	struct tag bell_tag;
	pthread_mutex_t bell_mx;
	bool bell_is_gone;        /* guarded by bell_mx */
	atomic_bool bell_is_rung; /* at most one ring is under way */
	atomic_bool wake_idle;    /* rpc_server_wake was called */
	atomic_size_t idle_count; /* a wake without idle streams need not ring */
	atomic_bool accept_failed, stop, runs;
	_Atomic uint64_t grace_ns;
	struct accept_watch watch;

	/* written by the server thread, read by any */
	_Atomic uint64_t stat_calls, stat_live, stat_messages, stat_bytes, stat_stalled;
};

/* Anything the loop should look at: makes it run a pass. Any thread. */
void server_ring(struct rpc_server *s);

/* ---- listen.c */
/* Binds every listener to a new grpc_server and starts it. On failure the half-made one goes away
 * by itself, through the queue. */
MUST_CHECK enum err_code core_start(struct rpc_server *s, struct err *e);
/* No new calls or connections; the tag comes when the last connection is gone. */
void core_stop(struct core *c);
/* After its tag. */
void core_free(struct core *c);
/* Keeps calls posted, so that the next ones are announced. */
void core_expect(struct core *c);
/* The accept failed somewhere, or it is time to try again. */
void listen_repair(struct rpc_server *s, uint64_t now_ns);

/* ---- call.c */
struct rpc_call {
	struct rpc_server *server;
	struct core *core;
	grpc_call *grpc;
	grpc_call_details details;
	grpc_metadata_array headers;
	struct tag request, close, read, sent_headers, send, status;
	struct link in_calls, in_turn; /* in_turn: ready or idle */

	size_t in_flight; /* batches that have not come back */
	int cancelled;    /* written by gRPC until the close tag */
	/* closed: the close tag came; dead: nothing can be sent any more */
	bool is_closed, is_dead;
	bool has_begun, is_reading, is_sending, is_idle, is_ending;
	bool headers_started, headers_done, status_started, status_done;
	struct tally *tally; /* NULL: no method of ours */
	uint64_t begun_ns;
	char *peer;
	uint32_t *connection; /* its streams; NULL: not counted */
	const char *path;     /* of the method; borrowed from the server */
	void *guest;
	void (*release_guest)(void *guest);
	grpc_byte_buffer *received;
	size_t asked_bytes; /* of a stream's request */

	const struct rpc_stream_ops *ops;
	void *state;
	/* Streams in both directions: takes each message of the client after the first, once all
	 * answers to the one before are sent. */
	void (*on_message)(struct rpc_call *call, struct str message);

	grpc_slice *queue; /* ring of server->queue_messages */
	size_t queue_head, queue_count, queue_bytes;
	grpc_slice reserved; /* rpc_call_reserve … rpc_call_commit */
	bool has_reserved;

	enum rpc_status end_status;
	grpc_slice end_text;

	uint64_t sent;           /* messages taken by the client */
	uint64_t sent_at_check;  /* as of the last look for stalled streams … */
	uint64_t stuck_since_ns; /* … and since when nothing moved; 0: it moves */
};

/* Posts one more call to be announced. False: no memory now. */
bool call_post(struct core *c);
/* One event of a call. */
void call_event(struct tag *t, bool ok);
/* Asks the method for more, if it is its turn, and sends what can be sent. */
void call_fill(struct rpc_call *c);
/* Sends what can be sent. */
void call_pump(struct rpc_call *c);
/* Cuts off streams that take nothing. */
void call_check_stalls(struct rpc_server *s, uint64_t now_ns);
/* All idle streams are to be asked again. */
void call_wake_idle(struct rpc_server *s);
/* Ends every stream for the shutdown. */
void call_end_all(struct rpc_server *s);
/* As rpc_call_stream, for a call in both directions: @on_message is told of every message after the
 * first. */
void call_converse(struct rpc_call *call, void (*on_message)(struct rpc_call *, struct str),
		   void *state);

/* ---- health.c, reflection.c: methods of their own */
MUST_CHECK enum err_code health_new(const char *const *services, size_t count, struct health **ret,
				    struct err *e);
void health_free(struct health *h);                                   /* NULL is a no-op */
void health_set(struct health *h, const char *service, bool serving); /* any thread */
/* Tells the watchers what has changed. */
void health_publish(struct health *h);
/* NULL when @path is not its own. */
void (*health_method(struct str path))(struct rpc_call *, struct str, void *);

MUST_CHECK enum err_code reflection_new(const struct rpc_server *s, struct reflection **ret,
					struct err *e);
void reflection_free(struct reflection *r); /* NULL is a no-op */
void (*reflection_method(struct str path))(struct rpc_call *, struct str, void *);
/* How a method of the .proto files is called; RPC_UNARY if there is no such method. */
enum rpc_kind reflection_kind(const struct reflection *r, struct str path);

#endif
