/*
 * notice - what a source says about itself: an agent event of ours, or a gap.
 *
 * They come when something changes, not with every event; @why and @path are cut at some hundred
 * bytes.
 * Threads  the capture thread.
 */
#ifndef TYCHO_OBSERVER_SOURCE_NOTICE_H
#define TYCHO_OBSERVER_SOURCE_NOTICE_H

#include "observer/source/source.h"

/* AGENT_EVENT_UNKNOWN of type @type ("cilium-connected") with {"path": @path, @key: @value}; @key
 * NULL: without. */
void notice_event(struct raw_sink *sink, const char *type, const char *path, const char *key,
		  const char *value);
/* Between @from and @to events may be missing; nobody knows how many: a LostEvent whose count is
 * 0. */
void notice_gap(struct raw_sink *sink, struct wall_ns from, struct wall_ns to);

#endif
