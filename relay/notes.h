/*
 * notes - what the relay itself has to say to a client: node_status messages, encoded, in order.
 *
 * Errors that follow one another with the same text become one message with several nodes: when a
 * switch dies, a hundred peers fail in the same words.
 */
#ifndef TYCHO_RELAY_NOTES_H
#define TYCHO_RELAY_NOTES_H

#include "base/buf.h"
#include "base/err.h"
#include "base/time.h"
#include "relay/relay.pb-c.h"

struct notes {
	const char *node_name; /* borrowed: the relay's own */
	struct buf ready;      /* each message after its length, a size_t */
	size_t sent;           /* bytes of it that are done with */
	struct buf names;      /* of the message being made: field node_names, again and again */
	struct buf scratch;
	char error[ERR_MSG_BYTES]; /* its text; "": none is being made */
	struct mono_ns error_since;
};

void notes_init(struct notes *n, const char *node_name);
void notes_done(struct notes *n);

/* One more name for the message that notes_state makes. */
void notes_name(struct notes *n, const char *name);
/* "These nodes are now @state": of the names since the last message; nothing if there were none. */
void notes_state(struct notes *n, Relay__NodeState state);
/* "This node has failed". Between notes_name and notes_state it must not be called. */
void notes_error(struct notes *n, const char *name, const char *text, struct mono_ns now);
/* An error collected for @window_ns, or any with 0, is ready now. */
void notes_flush(struct notes *n, struct mono_ns now, uint64_t window_ns);

/* The next message to send, borrowed; false: none. notes_sent when it is. */
bool notes_next(const struct notes *n, struct str *ret);
void notes_sent(struct notes *n);
/* Nothing is ready, and nothing is being made. */
bool notes_is_empty(const struct notes *n);
/* Out of memory: something could not be noted. */
bool notes_failed(const struct notes *n);

#endif
