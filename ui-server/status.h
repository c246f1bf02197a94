/*
 * ui_status - what the server says about itself, asked for every few seconds.
 *
 * Threads  a thread of its own asks; read: one thread (the web server's).
 */
#ifndef TYCHO_UI_STATUS_H
#define TYCHO_UI_STATUS_H

#include "base/err.h"
#include "ui-server/status_text.h"

struct rpc_channel;
struct ui_status;

struct ui_status_config {
	struct rpc_channel *channel; /* outlives it */
	const char *server;          /* as people know it; borrowed for its life */
	/* Called on its thread: the answer changed. */
	void (*notify)(void *ctx);
	void *ctx;
};

MUST_CHECK enum err_code ui_status_new(const struct ui_status_config *config,
				       struct ui_status **ret, struct err *e);
void ui_status_free(struct ui_status *s); /* waits for the call in flight; NULL is a no-op */
AUTO_DEFINE(struct ui_status, ui_status_free);

/* Brings @copy, the caller's own, up to date. False: there is nothing newer. */
bool ui_status_read(struct ui_status *s, struct ui_status_text *copy);

#endif
