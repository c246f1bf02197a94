/*
 * ui_view - one question to the server, followed for as long as somebody watches the answers.
 *
 *	server ──GetFlows──► its thread ──► map, recent flows, rates, totals ──► any number of
 *browsers, (allow, deny)                                                     each with a cursor
 *
 * Browsers with the same filters share a view, and so one stream. A browser is never queued for:
 * each time it can take something, it gets what is new since its cursor in one update, and is told
 * how many flows were left out.
 *
 * A stream that ends is asked for again, from the last flow on, after a pause that grows from 0.25
 *s to 4 s. If the server is a new one by then, what lies between is a gap, and counted.
 *
 * Filters with a range (since and until of GetFlows) are asked once: the map comes from the
 *server's tycho.v1.History/GetServiceMap, widened to whole minutes, and the table from the newest
 *@history flows of the range. A server without that call, such as Hubble's, has the map of these
 *flows only.
 *
 * Threads  new, free, read: one thread (the web server's). stop: any thread.
 */
#ifndef TYCHO_UI_VIEW_H
#define TYCHO_UI_VIEW_H

#include "base/err.h"
#include "base/time.h"

struct buf;
struct rpc_channel;
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

/* A reader's place. All zero: has seen nothing. */
struct ui_view_cursor {
	uint64_t recent, map, changes;
	struct mono_ns map_at; /* when the map was last sent */
	uint64_t second;       /* up to which rates were sent, since the epoch */
};

/* Appends one update (docs/wire.md) with all that is new since @cursor, and moves it. @return
 * false, and nothing appended, if there is nothing new, or no memory now. */
bool ui_view_read(struct ui_view *v, struct ui_view_cursor *cursor, uint32_t watch,
		  struct mono_ns now, struct wall_ns wall, struct buf *b);

#endif
