/*
 * fanning - the inside of a fan, shared by fan.c (groups, calls, the thread) and fan_channel.c
 * (connections).
 *
 * Everything but what is immutable is under the fan's lock.
 */
#ifndef TYCHO_RPC_FANNING_H
#define TYCHO_RPC_FANNING_H

#include <pthread.h>
#include <stdatomic.h>

#include "rpc/dial.h"
#include "rpc/fan.h"

enum {
	/* of the queue, before the groups concerned are told: once for many */
	EVENTS_PER_PASS = 64,
};

enum tag_kind { TAG_WATCH, TAG_SENT, TAG_HEADERS, TAG_MESSAGE, TAG_STATUS };
struct tag {
	enum tag_kind kind;
	void *owner; /* struct watch, struct rpc_fan_call */
};

struct rpc_fan {
	grpc_completion_queue *cq;
	pthread_t thread;
	bool has_thread; /* else a server does its work */
	/* Guards all below and everything in channels, groups and calls that is not immutable.
	 * Sections are short; none waits, but for certificate files that have changed. */
	pthread_mutex_t mx;
	struct rpc_group *told[EVENTS_PER_PASS]; /* groups with news in this pass */
	size_t told_count;
	struct mono_ns pass_at;
};

struct rpc_fan_channel {
	struct rpc_fan *fan; /* immutable after new, down to @changed_ctx */
	struct dial dial;    /* its tls under the lock */
	void (*changed)(void *ctx);
	void *changed_ctx;

	size_t refs; /* the owner's, each watch's and each call's */
	bool is_freed, is_closed;
	grpc_channel *core;  /* replaced by a reset, and when the certificate files change … */
	unsigned generation; /* … so many times */
	/* written under the lock, read by any */
	atomic_bool is_usable;
	_Atomic int state; /* enum rpc_connection, as the core last said */
	_Atomic uint64_t heard_ns;
	struct rpc_fan_call *calls;
};

/* The core tells of one change of one connection state; then it is asked again. */
struct watch {
	struct tag tag;
	struct rpc_fan_channel *ch; /* counted */
	unsigned generation;        /* of the core it watches */
};

struct rpc_group {
	struct rpc_fan *fan;
	void (*notify)(void *ctx);
	void *ctx;
	bool is_freed, is_told;
	size_t refs;            /* the owner's and each call's */
	grpc_metadata *headers; /* written under the lock, by the owner's thread only */
	size_t header_count;
	struct rpc_fan_call *calls;
	size_t call_count;
	struct rpc_fan_event *first, **last; /* inbox */
};

/* What an event is in here: the message's bytes stand on the core's buffer. */
struct event {
	struct rpc_fan_event pub; /* first: the event is one */
	struct message message;
	size_t bytes;
};

struct rpc_fan_call {
	struct rpc_fan_call *next_in_group, **prev_in_group;
	struct rpc_fan_call *next_in_channel, **prev_in_channel;
	struct rpc_group *group;
	struct rpc_fan_channel *ch;
	void *owner;
	grpc_call *core;
	struct tag sent, headers_came, message_came, status_came;
	size_t refs; /* the core's tags under way, and each event's */
	grpc_metadata_array headers, trailers;
	grpc_byte_buffer *incoming; /* the core's until TAG_MESSAGE */
	bool is_reading, is_drained, is_over, has_ended;
	size_t held, held_bytes; /* messages the owner has not freed */
	grpc_status_code status;
	grpc_slice status_text;
	struct rpc_result result;
	struct event end; /* there in any case: an end must not fail for want of memory */
};

/* ---- fan_channel.c, under the lock */
void channel_unref(struct rpc_fan_channel *ch);
/* A new connection for calls to come if the certificate files have changed. */
void channel_renew(struct rpc_fan_channel *ch);
/* One change of one connection's state. */
void channel_on_watch(struct watch *w);

#endif
