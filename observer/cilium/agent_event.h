/*
 * agent_event - the agent's notifications as flow.AgentEvent.
 *
 *	gob { Type, Text } ──► JSON of Text ──► flow.AgentEvent
 *
 * Source   reference/cilium-events.md 5.2. What does not fit its kind becomes AGENT_EVENT_UNKNOWN
 *          with the text as it came.
 * Threads  any; allocates (they come by the minute, not by the second).
 */
#ifndef TYCHO_OBSERVER_CILIUM_AGENT_EVENT_H
#define TYCHO_OBSERVER_CILIUM_AGENT_EVENT_H

#include "base/buf.h"
#include "observer/cilium/gob.h"

/* Reads a gob stream of one notification and appends flow.AgentEvent to @out; definitions go into
 * @t. False: it is none. */
bool agent_event_put(struct str stream, struct gob_types *t, struct buf *out);

#endif
