/*
 * intake - what the messages of a Hubble server mean for our log: new or seen before, whole or with
 * a gap before it. From messages to records of the queue; no network in here.
 *
 * Limits   a message yields at most RECORD_QUEUE_AT_ONCE records, with at most INTAKE_OWN_BYTES of
 *          text beside its own bytes: who calls has made sure of the room.
 * Threads  one; counts from any.
 */
#ifndef TYCHO_OBSERVER_UPSTREAM_INTAKE_H
#define TYCHO_OBSERVER_UPSTREAM_INTAKE_H

#include <stdatomic.h>

#include "base/buf.h"
#include "flow/dict.h"
#include "observer/upstream/hubble.h"
#include "observer/upstream/record_queue.h"
#include "observer/upstream/resume.h"

enum { INTAKE_OWN_BYTES = 40000 };
enum intake_stream { INTAKE_FLOWS, INTAKE_AGENT, INTAKE_DEBUG, INTAKE_STREAMS };

struct intake {
	const char *address; /* borrowed */
	struct record_queue *queue;
	struct resume *seen[INTAKE_STREAMS];
	/* of INTAKE_FLOWS: takes until some 10 to 20 s ago; what a relay says of its nodes is late
	 */
	uint64_t taken_before[2];
	struct mono_ns taken_at;
	struct wall_ns asked[INTAKE_STREAMS]; /* when first; 0 not yet */
	struct buf message;
	_Atomic uint64_t flows, other, seen_before, gaps, bad, nodes, newest_ns;
};

MUST_CHECK enum err_code intake_init(struct intake *in, const char *address,
				     struct record_queue *queue, size_t remembered, uint64_t seed,
				     struct err *e);
void intake_done(struct intake *in); /* zeroed is fine */

/* A GetFlowsResponse, GetAgentEventsResponse or GetDebugEventsResponse. False: it is none. */
bool intake_message(struct intake *in, enum intake_stream which, struct str message,
		    struct mono_ns now, struct wall_ns wall);
/* A record that came before we were started, in order. */
void intake_remember(struct intake *in, const struct flow *f, const struct flow_dict *dict);
/* That stream broke. */
void intake_break(struct intake *in, enum intake_stream which);
/* The server was started anew and has nothing to say: tells the gap of one node. False: there is
 * none (left). */
bool intake_tell_gap(struct intake *in, struct wall_ns wall);
/* The request to begin or go on with, appended to @b. */
void intake_request(struct intake *in, enum intake_stream which, uint64_t history_ns,
		    struct wall_ns wall, struct buf *b);
/* An agent event of our own: @type, and a JSON object made of "server" and @key: @text. */
void intake_tell(struct intake *in, const char *type, const char *key, const char *text,
		 struct wall_ns wall);

#endif
