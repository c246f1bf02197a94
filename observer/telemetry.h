/*
 * telemetry - the observer's metrics as a whole: Hubble's from the flow log, its own from all
 * rooms, and the endpoint that tells them.
 *
 * Threads  two of its own (metrics_reader, metrics_server). What it asks other rooms at a scrape,
 *          any thread may ask.
 */
#ifndef TYCHO_OBSERVER_TELEMETRY_H
#define TYCHO_OBSERVER_TELEMETRY_H

#include "base/err.h"
#include "metrics/metrics.h"
#include "observer/options.h"
#include "observer/telling.h"

struct api;
struct capture;
struct evidence;
struct flow_dict;
struct flow_log;
struct name_table;
struct rpc_server;
struct store;
struct telemetry;

struct telemetry_config {
	const struct obs_options *options; /* borrowed, as is the rest; outlives the telemetry */
	struct flow_log *log;
	const struct flow_dict *dict;
	struct name_table *names;
	struct api *api;
	const struct capture *capture;
	struct rpc_server *server;
	struct store *store;       /* NULL: none is kept */
	struct evidence *evidence; /* of the store; NULL without one */
	/* More readers of the log, and more families, by rooms that this one does not know. NULL:
	 * none. */
	const struct telling_reader *readers;
	size_t reader_count;
	metrics_collect_fn *collect;
	void *ctx;
};

MUST_CHECK enum err_code telemetry_new(const struct telemetry_config *config,
				       struct telemetry **ret, struct err *e);
/* Before what it was given. */
void telemetry_free(struct telemetry *t);
AUTO_DEFINE(struct telemetry, telemetry_free);

int telemetry_port(const struct telemetry *t);

#endif
