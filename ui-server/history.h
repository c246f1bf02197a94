/*
 * ui_history - flows and drops over all of the server's record, in steps that grow with it.
 *
 *	oldest record                                             now
 *	  │ asked for once, and kept                    │ the last steps, asked for again
 *	  └──────────────────── UI_WIRE_PULSE_SECONDS at most┘
 *
 * From tycho.v1.History/GetServiceMap's rates: all nodes together, whatever filters a page has. A
 * server without them has no history; nothing is said of it then.
 *
 * Threads  a thread of its own asks, every few seconds; from, put: any thread.
 */
#ifndef TYCHO_UI_HISTORY_H
#define TYCHO_UI_HISTORY_H

#include "base/err.h"
#include "base/time.h"

struct buf;
struct rpc_channel;
struct ui_history;

/* @channel outlives it. */
MUST_CHECK enum err_code ui_history_new(struct rpc_channel *channel, struct ui_history **ret,
					struct err *e);
void ui_history_free(struct ui_history *h); /* waits for the call in flight; NULL is a no-op */
AUTO_DEFINE(struct ui_history, ui_history_free);

/* Since when there is a record; 0: there is none. */
void ui_history_from(struct ui_history *h, struct wall_ns oldest);
/* Appends a Pulse (docs/wire.md). @return false, and nothing appended, if none is known. */
bool ui_history_put(struct ui_history *h, struct buf *b);

/* Seconds of a step, whole minutes, for a record so long that ends at any time within one. */
uint64_t ui_history_step_s(uint64_t record_s);

#endif
