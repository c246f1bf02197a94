/*
 * outlet - the client's end of a query: items as messages, or batches, of its call.
 *
 *	item ──► outlet_put ─┬─► the standard call: a response each
 *	                     └─► batches: responses, and records as they came
 *
 * Records are passed on as the node packed them, each node's as a stream of its own, to a client
 * that has said how many bytes of tables it has for them (flow/pack.h). Streams beyond that, and
 * everything for other clients, are unpacked here.
 *
 * Threads  the server's.
 */
#ifndef TYCHO_RELAY_OUTLET_H
#define TYCHO_RELAY_OUTLET_H

#include "base/buf.h"
#include "base/err.h"
#include "flow/unbatch.h"
#include "relay/merge.h"
#include "rpc/batch.h"

struct rpc_call;

/* The numbers that streams of one lane have at the client: one for good for each number they have
 * at the peer. Zeros to begin with. */
struct routes {
	struct route *all;
	size_t count;
};
void routes_done(struct routes *r);

struct outlet {
	bool is_batched;
	struct rpc_batch batch;
	struct buf plain;     /* of the item that was unpacked last */
	size_t tables_bytes;  /* that the client still has for tables of others' streams */
	uint32_t route_count; /* all lanes' */
	/* Of the batch's last field, a run, if it is one: whose, and where its length stands. */
	const struct packed_stream *run_of;
	size_t run_at;
};

enum { OUTLET_MESSAGE_MAX = 4 << 20 };

/* Asks @call's headers what the client can unpack. Embedded. */
void outlet_init(struct outlet *o, const struct rpc_call *call, bool is_batched);
void outlet_done(struct outlet *o); /* of zeros, a no-op */

/* Kinds of items in a merge. All but ITEM_RESPONSE are records, and about a struct packed_stream.
 */
enum item_kind { ITEM_RESPONSE, ITEM_RECORD, ITEM_VOID /* only what it keeps is wanted */ };

/* A response of our own. @return false: the client's queue is full. */
bool outlet_say(struct outlet *o, struct rpc_call *call, struct str response);
/* @node: whom @item is from, in words; @routes: of its lane. OUTLET_FULL: again later, before any
 * other item; @item may have become a response. OUTLET_BAD: what the peer packed cannot be read.
 * OUTLET_NOTHING: there was nothing to send. */
enum outlet_put { OUTLET_TAKEN, OUTLET_FULL, OUTLET_BAD, OUTLET_NOTHING };
enum outlet_put outlet_put(struct outlet *o, struct rpc_call *call, const char *node,
			   struct routes *routes, struct merge_item *item);
/* As rpc_batch_flush. */
bool outlet_flush(struct outlet *o, struct rpc_call *call, bool at_once);
/* The stream cannot go on. */
bool outlet_failed(const struct outlet *o);

#endif
