/*
 * telemetry - the relay's metrics and the endpoint that tells them: Hubble Relay's, of the same
 * names, and our own (docs/metrics.md).
 *
 * Threads  one of its own (metrics_server); what it asks at a scrape, any thread may ask.
 */
#ifndef TYCHO_RELAY_TELEMETRY_H
#define TYCHO_RELAY_TELEMETRY_H

#include "base/err.h"
#include "relay/api.h"
#include "relay/archive/archive.h"
#include "relay/options.h"

struct telemetry;

struct telemetry_config {
	const struct rly_options *options; /* borrowed, as is the rest; outlives the telemetry */
	struct peers *peers;               /* NULL with an archive, as is … */
	const struct api *api;
	struct archive *archive; /* NULL without */
	struct rpc_server *server;
};

MUST_CHECK enum err_code telemetry_new(const struct telemetry_config *config,
				       struct telemetry **ret, struct err *e);
/* Before what it was given. */
void telemetry_free(struct telemetry *t);
AUTO_DEFINE(struct telemetry, telemetry_free);

int telemetry_port(const struct telemetry *t);

#endif
