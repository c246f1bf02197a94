/*
 * speech - what one call of a peer says, a flow at a time.
 *
 *	message ──► speech_message, speech_next ──► item … (merge, others' items between) …
 *
 * A flow stays the bytes it came as: a response, or a record that the peer, or a node behind it,
 * has packed (flow/unbatch.h); then only its head is looked at. So the items of a speech go out,
 * all of them, in the order in which they came.
 *
 * Threads  the server's.
 */
#ifndef TYCHO_RELAY_SPEECH_H
#define TYCHO_RELAY_SPEECH_H

#include "base/err.h"
#include "base/time.h"
#include "flow/unbatch.h"

struct lane;

/* What we have told the peers that we have for tables, in bytes; 0: told nothing. */
struct told {
	size_t table, tables;
};

/* One call to a peer: embedded nowhere, counted by hand. */
struct speech {
	struct lane *lane;
	struct flow_unbatch *batches; /* tycho.v1; NULL: the standard call */
	struct str plain;             /* of the standard call: the message, until it was told */
	bool is_bad;                  /* something in it could not be unpacked */
	size_t uses;                  /* the call, and each of its messages that still has items */
};

/* Of one use. */
MUST_CHECK enum err_code speech_new(struct lane *lane, bool is_batched, const struct told *told,
				    struct speech **ret, struct err *e);
void speech_unref(struct speech *s); /* one use less; NULL is a no-op */

struct item {
	struct packed_stream *stream; /* of a record; NULL: @bytes are a response */
	struct str bytes;
	bool is_flow;
	bool is_void;        /* a record of no interest, but for the pieces in it */
	struct wall_ns time; /* that it is put in order by; 0: at once */
};

/* The next message; borrowed, as its items are. */
void speech_message(struct speech *s, struct str message);
/* Its items, one after the other. ERR_CLOSED: there are no more. ERR_PARSE: the peer sent bytes
 * that are no flow. */
MUST_CHECK enum err_code speech_next(struct speech *s, struct item *ret, struct err *e);

#endif
