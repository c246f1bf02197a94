/*
 * ui_site - the web server: the page over HTTP, and one websocket to each page that is open.
 *
 * Threads  one service thread, the caller of ui_site_run, touches connections; ui_site_wake is for
 *          all others.
 * Limits   of docs/wire.md (wire.h): websockets at a time, bytes of a message from a browser.
 * Login    with @login, all but the login page wants the cookie of a session (login.h); a websocket
 *          is closed when its session ends.
 * Refuses  requests that do not name us by an address, by localhost or by one of @names, and
 *          websockets from pages other than ours (guard.h).
 */
#ifndef TYCHO_UI_SITE_H
#define TYCHO_UI_SITE_H

#include "base/err.h"
#include "ui-server/guard.h"

struct ui_hub;
struct ui_login;
struct ui_site;
struct ui_status;

struct ui_site_config {
	const char *host; /* an address or "localhost" */
	uint16_t port;    /* 0: any that is free */
	struct ui_names names;
	const char *cert_file, *key_file; /* NULL: plain HTTP */
	struct ui_login *login;           /* NULL: nobody is asked; outlives the site */
	int signals;                      /* readable: time to stop; taken */
};

/* Listens from here on, and serves in ui_site_run. */
MUST_CHECK enum err_code ui_site_new(const struct ui_site_config *config, struct ui_site **ret,
				     struct err *e);
void ui_site_free(struct ui_site *s); /* NULL is a no-op; the hub of ui_site_run still lives */
AUTO_DEFINE(struct ui_site, ui_site_free);

uint16_t ui_site_port(const struct ui_site *s);
/* Serves until @signals is readable. */
void ui_site_run(struct ui_site *s, struct ui_hub *hub, struct ui_status *status);
/* Any thread: there may be something to send. @site is a struct ui_site. */
void ui_site_wake(void *site);

#endif
