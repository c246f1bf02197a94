#include "rpc/batch.h"

#include "rpc/server.h"

enum { TAG = 1 << 3 | 2 /* field 1, with a length */, VARINT_MAX_BYTES = 10 };

void rpc_batch_init(struct rpc_batch *b, size_t max_bytes)
{
	*b = (struct rpc_batch){ .bytes =
					 buf_init(RPC_BATCH_BYTES + max_bytes + VARINT_MAX_BYTES) };
}

void rpc_batch_done(struct rpc_batch *b)
{
	buf_done(&b->bytes);
}

static bool send(struct rpc_batch *b, struct rpc_call *call)
{
	if (!b->bytes.len)
		return true;
	if (!rpc_call_send(call, buf_str(&b->bytes)))
		return false;
	buf_reset(&b->bytes);
	b->sent_at = mono_now();
	return true;
}

struct buf *rpc_batch_open(struct rpc_batch *b, struct rpc_call *call)
{
	/* Sent only when the next one comes: there is nothing to hold back at the end. */
	return b->bytes.len < RPC_BATCH_BYTES || send(b, call) ? &b->bytes : NULL;
}

bool rpc_batch_put(struct rpc_batch *b, struct rpc_call *call, struct str message)
{
	if (!rpc_batch_open(b, call))
		return false;
	buf_char(&b->bytes, TAG);
	size_t left = message.len;
	for (; left >= 0x80; left >>= 7)
		buf_char(&b->bytes, (char)(left | 0x80));
	buf_char(&b->bytes, (char)left);
	buf_str_put(&b->bytes, message);
	return true;
}

bool rpc_batch_flush(struct rpc_batch *b, struct rpc_call *call, bool at_once)
{
	if (!b->bytes.len)
		return true;
	if (!at_once && b->bytes.len < RPC_BATCH_BYTES &&
	    mono_now().v - b->sent_at.v < RPC_BATCH_PAUSE_NS)
		return true;
	return send(b, call);
}
