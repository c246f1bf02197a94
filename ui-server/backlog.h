/*
 * ui_backlog - has all of history come that a view begins with?
 *
 *	server ──GetFlows, the last N, and follow──► the view ──saw──┐
 *	       ──GetFlows, the last one─────────────► of each node ──┴─► the stream had all of these
 *
 * A stream that follows does not say where history ends: it is silent when there is nothing, and
 * when somebody still looks. A second call that does not follow ends when all nodes have answered,
 * with the newest flow of each; and what a node says comes in its own order. So who has seen these
 * has seen what was before them. Until then the second call is made again, after pauses that double
 * from 2 s to 32 s: a flow that was lost on the way, or whose node is gone, is not waited for.
 *
 * A stream that breaks before that is begun anew, with all of history, not from the last flow on:
 * of nodes that answer at different speeds the slow ones' flows may be older than that. What has
 * come already is known by its uuid, or by node and time.
 *
 * Limits   KEYS flows are remembered. Beyond that all are forgotten, and the stream goes on from the
 *          last flow after a break.
 * Threads  one at a time.
 */
#ifndef TYCHO_UI_BACKLOG_H
#define TYCHO_UI_BACKLOG_H

#include "base/err.h"
#include "base/time.h"

struct flow;
struct flow_dict;
struct flow_response;
struct rpc_channel;
struct ui_backlog;

/* @filters: fields of GetFlowsRequest. Both outlive it. @seed: of a hash table. */
MUST_CHECK enum err_code ui_backlog_new(struct rpc_channel *channel, struct str filters,
					uint64_t seed, struct ui_backlog **ret, struct err *e);
void ui_backlog_free(struct ui_backlog *b); /* NULL is a no-op */
AUTO_DEFINE(struct ui_backlog, ui_backlog_free);

/* Whether the stream that is opened next begins with history: the first one, and others while all
 * that came is remembered. */
bool ui_backlog_is_asked_for(const struct ui_backlog *b);
/* A stream has been opened. */
void ui_backlog_begin(struct ui_backlog *b);
/* A flow, or word of a loss (@f NULL), came on it. @return false: it has come before, on one that
 * broke. */
bool ui_backlog_saw(struct ui_backlog *b, const struct flow_response *r, const struct flow *f);
/* Flows were lost on their way here. */
void ui_backlog_lost(struct ui_backlog *b);

/* Asks, and takes what was answered; does not wait. @dict: of what comes. @return true: all of
 * history has been seen. There is nothing more to ask. */
bool ui_backlog_has_come(struct ui_backlog *b, struct mono_ns now, struct flow_dict *dict);

#endif
