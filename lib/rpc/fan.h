/*
 * rpc_fan - calls to many servers at once: one completion queue, one thread, for all of them.
 *
 *	channel ──┐                          ┌── group A: its calls' events, in the order they came
 *	channel ──┼──► queue ──► fan thread ─┼── group B ──► notify() … owner: rpc_group_take
 *	channel ──┘                          └── …
 *
 * A channel is a lasting connection to one address that keeps itself up: it connects at once and
 * connects again, with back-off and jitter. A call does not survive its connection. Calls belong to
 * a group; what happens to them lands in the group's inbox, where its owner fetches it.
 *
 * Limits   of each call, at most RPC_FAN_MESSAGES messages and RPC_FAN_BYTES bytes (or one larger
 *          message) are held until the owner frees them, of all calls of a group about
 *          RPC_FAN_GROUP_BYTES or one message each; beyond, nothing is read, and the sender
 *          is slowed down by HTTP/2. One call's full inbox delays no other.
 * Threads  any function from any thread; a group's events are for one thread at a time. notify runs
 *          on the fan's (or the server's) thread, changed on any, both under the fan's lock: they
 *          may wake somebody, and no more.
 */
#ifndef TYCHO_RPC_FAN_H
#define TYCHO_RPC_FAN_H

#include "rpc/client.h"

struct rpc_fan;
struct rpc_fan_channel;
struct rpc_group;
struct rpc_fan_call;

enum { RPC_FAN_MESSAGES = 128, RPC_FAN_BYTES = 256 << 10, RPC_FAN_GROUP_BYTES = 64 << 20 };

MUST_CHECK enum err_code rpc_fan_new(struct rpc_fan **ret, struct err *e);
/* One without a thread of its own: a server's does its work (rpc_server_config.fan). A relay's
 * calls and clients then share one queue, and a flow goes through without a switch of threads.
 * Before the server starts and after it is freed nobody works; that does no harm. */
MUST_CHECK enum err_code rpc_fan_new_for_server(struct rpc_fan **ret, struct err *e);
/* After every channel and group is freed; waits for the last calls to go. NULL is a no-op. */
void rpc_fan_free(struct rpc_fan *f);
AUTO_DEFINE(struct rpc_fan, rpc_fan_free);

/* Starts to connect. @config is copied; user_agent and metadata as for rpc_channel_new. @changed,
 * may be NULL, hears of every change of rpc_fan_channel_is_usable. Fails as rpc_channel_new. */
MUST_CHECK enum err_code rpc_fan_channel_new(struct rpc_fan *f,
					     const struct rpc_channel_config *config,
					     void (*changed)(void *ctx), void *ctx,
					     struct rpc_fan_channel **ret, struct err *e);
/* Its calls end with UNAVAILABLE. NULL is a no-op. */
void rpc_fan_channel_free(struct rpc_fan_channel *ch);
AUTO_DEFINE(struct rpc_fan_channel, rpc_fan_channel_free);
/* Connected, or connecting with nothing known against it. After a failure only a new connection
 * makes it usable again. */
bool rpc_fan_channel_is_usable(const struct rpc_fan_channel *ch);
/* What gRPC says of the connection; any thread. */
enum rpc_connection {
	RPC_CONNECTION_IDLE,
	RPC_CONNECTION_CONNECTING,
	RPC_CONNECTION_READY,
	RPC_CONNECTION_FAILED,
	RPC_CONNECTION_SHUTDOWN
};
enum rpc_connection rpc_fan_channel_state(const struct rpc_fan_channel *ch);
/* When the server last sent anything on any call; 0: never. */
struct mono_ns rpc_fan_channel_heard(const struct rpc_fan_channel *ch);
/* The connection is worth nothing (the other end does not answer): ends its calls with UNAVAILABLE
 * and @why, and connects anew. */
void rpc_fan_channel_reset(struct rpc_fan_channel *ch, const char *why);
/* For good, while there are still calls that know it: they end with UNAVAILABLE and @why, so does
 * each that is opened later, and nothing is connected any more. */
void rpc_fan_channel_close(struct rpc_fan_channel *ch, const char *why);
/* Connects anew if the certificate files have changed; calls in progress go on with what they began
 * with. New calls see to that by themselves, but who is not connected gets none. */
void rpc_fan_channel_renew(struct rpc_fan_channel *ch);

enum rpc_fan_kind { RPC_FAN_MESSAGE, RPC_FAN_END };

struct rpc_fan_event {
	struct rpc_fan_event *next; /* in what rpc_group_take returns; then the owner's to use */
	struct rpc_fan_call *call;  /* valid until the RPC_FAN_END is freed */
	void *owner;                /* as given to rpc_fan_call_open */
	enum rpc_fan_kind kind;
	struct str message;              /* RPC_FAN_MESSAGE */
	const struct rpc_result *result; /* RPC_FAN_END: the call's last event */
	uint32_t uses;                   /* the owner's to use */
};

MUST_CHECK enum err_code rpc_group_new(struct rpc_fan *f, void (*notify)(void *ctx), void *ctx,
				       struct rpc_group **ret, struct err *e);
/* Cancels its calls and forgets their events; those that were taken must be freed before. notify is
 * not called any more. NULL is a no-op. Does not wait. */
void rpc_group_free(struct rpc_group *g);
AUTO_DEFINE(struct rpc_group, rpc_group_free);

/* Headers of every call that is opened from now on, beside the channel's own; copied, replacing
 * those given before. What no header may be (upper case, control characters) is left out. */
MUST_CHECK enum err_code rpc_group_set_headers(struct rpc_group *g,
					       const struct rpc_header *headers, size_t count,
					       struct err *e);

/* Everything that has happened since, as a list in order; NULL: nothing. Own: rpc_fan_event_free
 * each. */
struct rpc_fan_event *rpc_group_take(struct rpc_group *g);
/* Frees one event, and lets the call read on. NULL is a no-op. */
void rpc_fan_event_free(struct rpc_fan_event *ev);

/* Starts a call with one request and any number of answers. Never waits: when there is no
 * connection after all, the call ends with UNAVAILABLE. @timeout_ns 0: none. ERR_NOMEM. */
MUST_CHECK enum err_code rpc_fan_call_open(struct rpc_group *g, struct rpc_fan_channel *ch,
					   const char *method, struct str request,
					   uint64_t timeout_ns, void *owner,
					   struct rpc_fan_call **ret, struct err *e);
/* Its RPC_FAN_END comes soon, with CANCELLED. */
void rpc_fan_call_cancel(struct rpc_fan_call *c);

#endif
