/*
 * site_in - what the files of the web server share; nobody else includes it.
 *
 * site.c owns the context, http.c answers requests, live.c talks on websockets.
 */
#ifndef TYCHO_UI_SITE_IN_H
#define TYCHO_UI_SITE_IN_H

#include <libwebsockets.h>

#include "base/buf.h"
#include "metrics/https.h"
#include "ui-server/frame.h"
#include "ui-server/hub.h"
#include "ui-server/login.h"
#include "ui-server/site.h"
#include "ui-server/status.h"
#include "ui-server/wire.h"

struct ui_site {
	struct ui_site_config config;
	struct lws_context *context;
	struct lws_vhost *vhost;
	struct https *https; /* NULL: plain HTTP */
	struct ui_hub *hub;
	struct ui_status *status;
	size_t pages; /* websockets that are open */
	bool stopping;
	lws_sorted_usec_list_t goodbye;    /* when it has taken long enough */
	struct live_session *first;        /* of them */
	struct http_session *logins;       /* whose passwords are being checked */
	struct ui_frames frames;           /* texts on their way */
	struct ui_status_text status_text; /* the latest */
	/* What was made of it, by the set of parts; NULL: nobody has needed that yet. */
	struct ui_frame *status_frames[UI_STATUS_SETS];
};

/* A request's header; "" if it has none, or one longer than @size. Borrowed from @out. */
struct str site_header(struct lws *wsi, enum lws_token_indexes token, char *out, int size);
struct ui_site *site_of(struct lws *wsi);
/* Answers an upgrade with @status. @return what its callback returns. */
int site_refuse_upgrade(struct lws *wsi, unsigned status);
/* The session that a request's cookie names, "" if none. Borrowed from @out. */
struct str site_session(struct lws *wsi, char *out, int size);
enum { SITE_COOKIE_BYTES = 40, SITE_COOKIES_BYTES = 4096 };
/* Ports share a browser's cookies, so that the name has ours; "__Host-" binds it to HTTPS. */
const char *site_cookie_name(const struct ui_site *s, char out[SITE_COOKIE_BYTES]);

/* One request, with what is left to send of its answer. */
enum { LOGIN_FORM_BYTES = 2048 };
struct http_session {
	struct str rest;
	bool posts; /* a login is on its way */
	size_t form_bytes;
	char form[LOGIN_FORM_BYTES]; /* of one that is being checked, the name */
	uint64_t attempt;            /* to log in, being checked (login.h); 0: none */
	struct lws *wsi;             /* then, and of the site's logins */
	struct http_session *next, **before;
};
/* Passwords have been checked: who waits for that is answered soon. */
void http_hear_logins(struct ui_site *site);
/* The library's context of TLS is there; before the first connection. */
void site_begin_tls(struct lws *wsi, void *context);
int http_callback(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in,
		  size_t len);

/* One open page. */
struct live_session {
	struct lws *wsi;                     /* NULL: it has ended */
	struct live_session *next, **before; /* of the site's pages */
	struct ui_view *view;                /* NULL: watches nothing yet */
	struct ui_view_cursor cursor;
	uint32_t watch;
	struct mono_ns asked_until; /* ASK_EVERY_NS for each question, from now or before on */
	uint64_t status;            /* version that it was told; 0: none */
	bool greeted;
	bool is_paced;                      /* it says what it has taken */
	uint64_t messages, taken;           /* begun to be sent, and taken by it */
	struct ui_frame *frame;             /* on its way; NULL: none */
	bool is_update;                     /* it is one */
	size_t sent;                        /* bytes of its text */
	struct mono_ns moved_at;            /* when some of it last went out */
	char session[UI_LOGIN_TOKEN_BYTES]; /* "": nobody was asked */
	bool refused;                       /* the last question was; to be said */
	char refusal[ERR_MSG_BYTES];        /* why */
	struct buf message;                 /* what came of one that is not complete */
};
int live_callback(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in,
		  size_t len);

#endif
