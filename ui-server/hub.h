/*
 * ui_hub - the views that are watched now; browsers that ask the same share one.
 *
 * Threads  one thread (the web server's).
 * Limits   UI_WIRE_VIEWS different questions at a time.
 */
#ifndef TYCHO_UI_HUB_H
#define TYCHO_UI_HUB_H

#include "ui-server/view.h"
#include "ui-server/wire.h"

struct ui_hub;

/* @config is the pattern of every view: all but its filters. What it points to outlives the hub. */
MUST_CHECK enum err_code ui_hub_new(const struct ui_view_config *config, struct ui_hub **ret,
				    struct err *e);
void ui_hub_free(struct ui_hub *h); /* waits for all threads; NULL is a no-op */
AUTO_DEFINE(struct ui_hub, ui_hub_free);

/* The view of @filters, started if need be. Give it back with leave. Fails with ERR_NOMEM if too
 * many are watched. */
MUST_CHECK enum err_code ui_hub_join(struct ui_hub *h, struct str filters, struct ui_view **ret,
				     struct err *e);
/* The last to leave ends the view, without waiting for it. NULL is a no-op. */
void ui_hub_leave(struct ui_hub *h, struct ui_view *v);
/* Frees views that have ended. Call when a view notifies. */
void ui_hub_reap(struct ui_hub *h);

#endif
