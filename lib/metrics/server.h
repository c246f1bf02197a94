/*
 * metrics_server - /metrics, /healthz and /readyz over HTTP or HTTPS, on a thread of its own.
 *
 *	Prometheus ──GET /metrics──► page written ──► gzip if asked ──► answer
 *	probe ──────GET /healthz, /readyz ──────────► "ok", or why not
 *
 * Threads  metrics_server_new starts one, metrics_server_free stops and joins it. Writing a page
 *          takes the registry's lock for as long as its families take to print; @ready runs on
 *          this thread.
 * Limits   METRICS_CONNECTIONS at a time, of which the one that has been silent for longest makes
 *          room; a request's head HTTP_REQUEST_BYTES; ten seconds to send one, thirty to take an
 *          answer; a page METRICS_PAGE_BYTES.
 * Counts   what it answers, as Hubble's server does: hubble_metrics_http_handler_requests_total and
 *          …_request_duration_seconds, both by status.
 */
#ifndef TYCHO_METRICS_SERVER_H
#define TYCHO_METRICS_SERVER_H

#include "metrics/metrics.h"

struct rpc_tls;
struct metrics_server;

enum { METRICS_CONNECTIONS = 32, METRICS_PAGE_BYTES = 64 << 20, METRICS_WHY_BYTES = 256 };

struct metrics_server_config {
	const char *address;       /* host:port */
	struct metrics *metrics;   /* outlives the server */
	const struct rpc_tls *tls; /* NULL: plain text. Copied */
	const char *users_file;    /* users.h; NULL: no password asked. /metrics only */
	/* False: /readyz says 503 and what is in @why. NULL: always ready. */
	bool (*ready)(void *ctx, char why[METRICS_WHY_BYTES]);
	void *ctx;
};

/* ERR_EXISTS (address in use), ERR_INVALID, ERR_NOT_FOUND, ERR_PERMISSION, ERR_PARSE: see
 * rpc_server_new and users_new. */
MUST_CHECK enum err_code metrics_server_new(const struct metrics_server_config *config,
					    struct metrics_server **ret, struct err *e);
void metrics_server_free(struct metrics_server *s);
AUTO_DEFINE(struct metrics_server, metrics_server_free);

/* The port that was really given. */
int metrics_server_port(const struct metrics_server *s);

#endif
