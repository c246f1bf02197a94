/*
 * agent - what the observer says about itself: agent events, on their way into the one log.
 *
 * Any thread tells; the capture thread, which alone writes the log, reads them as one more source.
 * A socket pair carries them, so neither side needs a lock. What does not fit into it (hundreds of
 * events at once) is lost and counted there.
 */
#ifndef TYCHO_OBSERVER_AGENT_H
#define TYCHO_OBSERVER_AGENT_H

#include "observer/source/source.h"

struct agent;

/* *@ret_source is the reading end, for capture_new; *@ret the telling end, own. */
MUST_CHECK enum err_code agent_new(struct agent **ret, struct source **ret_source, struct err *e);
void agent_free(struct agent *a);
AUTO_DEFINE(struct agent, agent_free);

/* AGENT_STARTED. */
void agent_tell_started(struct agent *a, struct wall_ns when);
/* AGENT_EVENT_UNKNOWN with a type of our own, e.g. "endpoints-reloaded", and a JSON object as its
 * notification. */
void agent_tell(struct agent *a, const char *type, const char *json);

#endif
