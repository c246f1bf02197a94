/*
 * inside - what the files of lib/rpc share and nobody else sees.
 */
#ifndef TYCHO_RPC_INSIDE_H
#define TYCHO_RPC_INSIDE_H

#include <grpc/grpc.h>
#include <grpc/grpc_security.h>
#include <grpc/slice.h>

/* Later versions keep these apart from grpc.h; 1.51 does not know the files. */
#if __has_include(<grpc/impl/channel_arg_names.h>)
#include <grpc/impl/channel_arg_names.h>
#endif
#if __has_include(<grpc/impl/propagation_bits.h>)
#include <grpc/impl/propagation_bits.h>
#endif

#include "rpc/rpc.h"

struct buf;

static inline struct str slice_str(const grpc_slice *s)
{
	return str_n(GRPC_SLICE_START_PTR(*s), GRPC_SLICE_LENGTH(*s));
}
static inline grpc_slice slice_of(struct str s)
{
	return grpc_slice_from_copied_buffer(s.p, s.len);
}
static inline grpc_arg int_arg(const char *key, int value)
{
	return (grpc_arg){ .type = GRPC_ARG_INTEGER,
			   .key = (char *)(uintptr_t)key,
			   .value.integer = value };
}

/* Copies of caller's headers as gRPC wants them. Own: metadata_free(md, count). */
MUST_CHECK enum err_code metadata_copy(const struct rpc_metadata *from, size_t count,
				       grpc_metadata **ret, struct err *e);
void metadata_free(grpc_metadata *md, size_t count);
/* Value of the first header named @key, or an empty str. */
struct str metadata_find(const grpc_metadata_array *md, const char *key);

/* The bytes of a received message: borrowed from the byte buffer where they lie in one piece, else
 * gathered; those of a compressed one unpacked. The core would unpack a megabyte to a gigabyte and
 * then look how large it is, for anybody who can connect: it is told to leave that to us. @return
 * RPC_OK; RPC_INTERNAL: the compression is damaged, or none we know; RPC_RESOURCE_EXHAUSTED: more
 * than @max_bytes, or than memory. message_close is due in any case. */
struct message {
	grpc_byte_buffer *bb; /* own */
	grpc_slice whole;     /* own; what str points into */
	bool has_whole;
	char *unpacked; /* own */
};
enum rpc_status message_open(struct message *m, grpc_byte_buffer *bb_take, size_t max_bytes,
			     struct str *ret);
void message_close(struct message *m);
/* What a status of message_open says of a "message" or "request". */
const char *message_fault(enum rpc_status status);
/* Belongs to the arguments of every channel and server. */
static inline grpc_arg leave_packed_arg(void)
{
	return int_arg(GRPC_ARG_ENABLE_PER_MESSAGE_DECOMPRESSION, 0);
}

/* Of the tags that come back from a completion queue, a fan's are odd: whose they are shows before
 * anything behind them is looked at. */
static inline void *fan_mark(void *tag)
{
	return (char *)tag + 1;
}
static inline bool fan_is_marked(const void *tag)
{
	return (uintptr_t)tag & 1;
}
static inline void *fan_unmark(void *tag)
{
	return (char *)tag - 1;
}

/* A server does a fan's work: on its queue, an event at a time, then the groups concerned are told.
 * Server thread only. */
struct rpc_fan;
grpc_completion_queue *fan_queue(const struct rpc_fan *f);
void fan_take(struct rpc_fan *f, void *tag);
void fan_tell(struct rpc_fan *f);

/* A listener that gRPC 1.51 has given up on after a failed accept (out of descriptors): every
 * registered function is called, from whatever thread ran into it. */
struct accept_watch {
	void (*failed)(struct accept_watch *w);
	struct accept_watch *next; /* guarded by the registry's lock */
};
void accept_watch_add(struct accept_watch *w);
void accept_watch_remove(struct accept_watch *w);

#endif
