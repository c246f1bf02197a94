/*
 * site_in - what the files of the web server share; nobody else includes it.
 *
 * site.c owns the context, http.c answers requests, live.c talks on websockets.
 */
#ifndef TYCHO_UI_SITE_IN_H
#define TYCHO_UI_SITE_IN_H

#include <libwebsockets.h>

#include "base/buf.h"
#include "ui-server/hub.h"
#include "ui-server/site.h"
#include "ui-server/status.h"

struct ui_site {
	struct ui_site_config config;
	struct lws_context *context;
	struct lws_vhost *vhost;
	struct ui_hub *hub;
	struct ui_status *status;
	size_t pages; /* websockets that are open */
	bool stopping;
	struct buf frame; /* what is being sent; LWS_PRE bytes in front */
};

/* A request's header; "" if it has none, or one longer than @size. Borrowed from @out. */
struct str site_header(struct lws *wsi, enum lws_token_indexes token, char *out, int size);
struct ui_site *site_of(struct lws *wsi);

/* One request, with what is left to send of its answer. */
struct http_session {
	struct str rest;
};
int http_callback(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in,
		  size_t len);

/* One open page. */
struct live_session {
	struct ui_view *view; /* NULL: watches nothing yet */
	struct ui_view_cursor cursor;
	uint32_t watch;
	uint64_t status; /* cursor of ui_status */
	bool is_open, greeted;
	bool refused;                /* the last question was; to be said */
	char refusal[ERR_MSG_BYTES]; /* why */
	struct buf message;          /* what came of one that is not complete */
};
int live_callback(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in,
		  size_t len);

#endif
