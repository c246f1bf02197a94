/*
 * speech - what one call of a peer says, a flow at a time, and how that gets to a client.
 *
 *	message ──► speech_next ──► item … (merge, others' items between) … ──► outlet_put
 *	                                                  client ◄── plain, or packed: flow/pack.h
 *
 * A flow stays the bytes it came as: what comes packed stays packed for a client who can unpack,
 * and is unpacked for others only when it goes out. So the items of a speech go out, all of them,
 * in the order in which they came.
 *
 * Threads  the server's.
 */
#ifndef TYCHO_RELAY_SPEECH_H
#define TYCHO_RELAY_SPEECH_H

#include "base/buf.h"
#include "base/err.h"
#include "base/time.h"
#include "flow/wire.h"
#include "rpc/batch.h"

struct flow_packer;
struct flow_unpacker;
struct lane;
struct rpc_call;

/* One call to a peer: embedded nowhere, counted by hand. */
struct speech {
	struct lane *lane;
	bool is_batched; /* tycho.v1 */
	bool is_bad;     /* something in it could not be unpacked */
	size_t uses;     /* the call, and each of its messages that still has items */
	size_t table_bytes;
	struct flow_unpacker *unpacker; /* made for the first that is packed */
	struct wall_ns last;
};

enum item_kind {
	ITEM_PLAIN,
	ITEM_PACKED,
	ITEM_KNOWN /* packed; of no interest, but for the pieces in it */
};

struct item {
	enum item_kind kind;
	bool is_flow;
	struct wall_ns time; /* that it is put in order by; 0: at once */
	struct str bytes;
};

/* @table_bytes: what we have told the peer. Of one use. */
MUST_CHECK enum err_code speech_new(struct lane *lane, bool is_batched, size_t table_bytes,
				    struct speech **ret, struct err *e);
void speech_unref(struct speech *s); /* one use less; NULL is a no-op */

/* The items of @message, one after the other: @rest is at first the message. ERR_CLOSED: there are
 * no more. ERR_PARSE: the peer sent bytes that are no flow. */
MUST_CHECK enum err_code speech_next(struct speech *s, struct str *rest, struct item *ret,
				     struct err *e);

/* The client's end. */
struct outlet {
	bool is_batched;
	struct rpc_batch batch;
	struct flow_packer *packer; /* NULL: the client cannot unpack */
	struct buf plain;           /* of the item that was unpacked last */
};

enum { OUTLET_MESSAGE_MAX = 4 << 20 };

/* Packs if the client of @call has said that it can unpack. Embedded; outlet_done is due after a
 * failure, too, and a no-op for zeros. */
MUST_CHECK enum err_code outlet_init(struct outlet *o, const struct rpc_call *call, bool is_batched,
				     struct err *e);
void outlet_done(struct outlet *o);
/* A response of our own. @return false: the client's queue is full. */
bool outlet_say(struct outlet *o, struct rpc_call *call, struct str response);
/* OUTLET_FULL: again later, before any other item; @item may have become a plain one.
 * OUTLET_BAD: what the peer packed cannot be read. OUTLET_NOTHING: there was nothing to send. */
enum outlet_put { OUTLET_TAKEN, OUTLET_FULL, OUTLET_BAD, OUTLET_NOTHING };
enum outlet_put outlet_put(struct outlet *o, struct rpc_call *call, struct speech *from,
			   unsigned *kind, struct str *bytes);
/* As rpc_batch_flush. */
bool outlet_flush(struct outlet *o, struct rpc_call *call, bool at_once);
/* The stream cannot go on. */
bool outlet_failed(const struct outlet *o);

#endif
