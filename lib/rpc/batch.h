/*
 * rpc_batch - many small messages of a stream as few large ones.
 *
 *	put, put, put … ──► one message: field 1, again and again ──► call
 *
 * A batch goes out when it has grown to RPC_BATCH_BYTES, and, on a flush, when RPC_BATCH_PAUSE_NS
 * have passed since the last one: who listens to a thousand streams is not woken for each message
 * of each, and what is rare still goes at once. On the wire it is a protobuf message whose repeated
 * field 1 the messages are; who writes into it himself (rpc_batch_open) may add other fields.
 *
 * Threads  the server's, as its call.
 */
#ifndef TYCHO_RPC_BATCH_H
#define TYCHO_RPC_BATCH_H

#include "base/buf.h"
#include "base/time.h"

struct rpc_call;

enum { RPC_BATCH_BYTES = 64 << 10 };
#define RPC_BATCH_PAUSE_NS (50 * NS_PER_MS)

struct rpc_batch {
	struct buf bytes;
	struct mono_ns sent_at;
};

/* Embedded; a single message is at most @max_bytes. */
void rpc_batch_init(struct rpc_batch *b, size_t max_bytes);
void rpc_batch_done(struct rpc_batch *b);

/* Where the next field is to be written; NULL when the call has no room for the batch that is full.
 * Valid until the next call on @b. */
struct buf *rpc_batch_open(struct rpc_batch *b, struct rpc_call *call);
/* @return false when the call has no room: the message was not taken. */
bool rpc_batch_put(struct rpc_batch *b, struct rpc_call *call, struct str message);
/* To be called when there is nothing more just now; @at_once, e.g. at the end: nothing waits for
 * more. @return false when the call has no room: call again. */
bool rpc_batch_flush(struct rpc_batch *b, struct rpc_call *call, bool at_once);
/* A message did not fit, or there was no memory: the stream cannot go on. */
static inline bool rpc_batch_failed(const struct rpc_batch *b)
{
	return b->bytes.failed;
}

#endif
