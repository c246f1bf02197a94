/*
 * ui_ask - what a browser says on its websocket, read and checked.
 *
 *	{"type":"taken","messages":17}
 *	{"type":"watch","watch":3,"allow":[{"verdict":["DROPPED"]}],"deny":[]}
 *
 * "allow" and "deny" are flow.FlowFilter messages in proto3 JSON, as in GetFlowsRequest's whitelist
 * and blacklist. With "since" and "until", milliseconds since the epoch, a past range is asked for
 * instead of what comes: from the first up to, without, the second; with "only":"rates" of that
 * range no flows and no map. "watch" is a number that comes
 * back with every update that belongs to it.
 *
 * Limits   UI_WIRE_ASK_BYTES, UI_WIRE_ASK_FILTERS in each list.
 * Threads  pure functions: any thread.
 */
#ifndef TYCHO_UI_ASK_H
#define TYCHO_UI_ASK_H

#include "base/buf.h"
#include "base/err.h"
#include "ui-server/wire.h"

/* Beside the fields of GetFlowsRequest, and unknown to servers: 1 where only rates are asked for. */
enum { UI_ASK_ONLY_RATES = 1000 };

/* Whether @text is {"type":"taken","messages":N}, a page's word on how far it has read; sets
 * *@ret_messages only then. */
bool ui_taken_read(struct str text, uint64_t *ret_messages);

/* @text: one whole message. Appends the whitelist, blacklist, since and until fields of an
 * observer.GetFlowsRequest, and UI_ASK_ONLY_RATES, to @ret_filters: equal questions give equal
 * bytes. Fails with ERR_PARSE (no JSON, or not this message) or ERR_INVALID (a filter that no server
 * takes, in the reference's words); @ret_filters is then as it was. *@ret_watch is set whenever the
 * message has one, so that a refusal can be told to whom it concerns; 0 otherwise. */
MUST_CHECK enum err_code ui_ask_read(struct str text, uint32_t *ret_watch, struct buf *ret_filters,
				     struct err *e);

#endif
