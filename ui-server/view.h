/*
 * ui_view - one question to the server, followed for as long as somebody watches the answers.
 *
 *	server ──GetFlows──────► its thread ──► map, recent flows, rates, totals ──► browsers, each
 *	         (allow, deny)                                                       with a cursor
 *
 * Browsers with the same filters share a view, and so one stream, and as long as they keep up the
 * texts that they are told, too. A browser is never queued for: when it has taken one update, it
 * gets all that is new since in the next one, and is told how many flows were left out.
 *
 * The stream is tycho.v1.Flows/GetFlowBatches, or GetFlows where the server does not know that.
 *
 * What a view begins with, the last @history flows of each node, has come when the newest of each
 * has (ui-server/backlog.h); pages are told so, once and for good.
 *
 * A stream that ends is asked for again, from the last flow on, or with all of history where that
 * had not come yet, after a pause that grows from 0.25 s to 1 s. If the server is a new one by then, what lies between is a gap, and counted.
 *
 * A stream that is silent for two seconds is doubted: the server is asked how it is, and while it
 * does not say, the view is away. The stream is kept all the same, and goes on where it was.
 *
 * Filters with a range (since and until of GetFlows) are asked once: the map comes from the
 * server's tycho.v1.History/GetServiceMap, widened to whole minutes, and the table from the newest
 * @history flows of the range. A server without that call, such as Hubble's, has the map of these
 * flows only. Where only rates are asked for, that call's are all there is, unless the server does
 * not know it.
 *
 * Threads  new, free, tell: one thread (the web server's). stop: any thread.
 */
#ifndef TYCHO_UI_VIEW_H
#define TYCHO_UI_VIEW_H

#include "base/err.h"
#include "base/time.h"

struct rpc_channel;
struct ui_frame;
struct ui_frames;
struct ui_view;

struct ui_view_config {
	struct rpc_channel *channel; /* outlives the view */
	struct str filters;          /* as ui_ask_read makes them; copied */
	uint64_t history;            /* flows to begin with, at most */
	uint64_t seed;               /* of hash tables */
	/* Called on the view's thread a few times a second: there may be something to read. */
	void (*notify)(void *ctx);
	void *ctx;
};

MUST_CHECK enum err_code ui_view_new(const struct ui_view_config *config, struct ui_view **ret,
				     struct err *e);
/* Asks the thread to end; returns at once. */
void ui_view_stop(struct ui_view *v);
/* True once free would not wait. */
bool ui_view_has_ended(struct ui_view *v);
void ui_view_free(struct ui_view *v); /* stops, waits for the thread; NULL is a no-op */
AUTO_DEFINE(struct ui_view, ui_view_free);

struct str ui_view_filters(const struct ui_view *v); /* borrowed */

/* A page's place. All zero: has seen nothing. */
struct ui_view_cursor {
	uint64_t recent, map, changes;
	uint64_t second; /* up to which rates were sent, since the epoch */
	uint64_t tick;   /* the round it was told in */
};

/* Who is told, and when. */
struct ui_telling {
	struct mono_ns now;
	struct wall_ns wall;
	size_t pages; /* of all views: they share what there is to give, in rows and in bytes of
			 maps */
	struct ui_frames *frames;
};

/* An update (docs/wire.md) from its member "sent" on, with all that is new since @cursor, which is
 * moved: once in each round, of which there are five a second. Pages at the same place share one.
 * NULL: nothing new, or not in this round. Own: ui_frame_unref. */
struct ui_frame *ui_view_tell(struct ui_view *v, struct ui_view_cursor *cursor,
			      const struct ui_telling *t);

#endif
