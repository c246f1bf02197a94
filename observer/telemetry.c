#include "observer/telemetry.h"

#include <stdio.h>

#include "base/log.h"
#include "config.h"
#include "metrics/process.h"
#include "metrics/rpc_metrics.h"
#include "metrics/server.h"
#include "observer/capture.h"
#include "observer/metrics/flow_metrics.h"
#include "observer/metrics/reader.h"
#include "observer/evidence/evidence.h"
#include "observer/store_telling.h"
#include "observer/telling.h"
#include "rpc/rpc.h"

enum { SILENT_S = 10 /* a capture thread that looked at nothing for so long is not well */ };

struct telemetry {
	const struct capture *capture;
	struct metrics *metrics;
	struct flow_metrics *flows;
	struct metrics_reader *reader;
	struct metrics_server *server;
	struct process_info process;
	const char *certificates[2];
	struct telling telling;
};

static void warn(void *ctx, const char *sentence)
{
	(void)ctx;
	log_warn("metrics are not as configured", "err=%s", LOG_QUOTE(sentence));
}

static bool is_ready(void *ctx, char why[METRICS_WHY_BYTES])
{
	const struct telemetry *t = ctx;
	uint64_t silent_ns = mono_now().v - capture_seen(t->capture).v;

	if (silent_ns < SILENT_S * NS_PER_S)
		return true;
	(void)snprintf(why, METRICS_WHY_BYTES, "the capture thread has not moved for %llu s",
		       (unsigned long long)(silent_ns / NS_PER_S));
	return false;
}

static enum err_code open_flows(struct telemetry *t, const struct telemetry_config *config,
				struct err *e)
{
	const struct obs_options *o = config->options;
	const struct flow_metrics_config flows = {
		.metrics = t->metrics,
		.dict = config->dict,
		.kernel_drops = obs_options_see_drops(o),
		.own = true,
		.warn = warn,
	};
	enum err_code code = flow_metrics_new(&flows, &t->flows, e);
	if (code == ERR_OK && o->metrics &&
	    flow_metrics_list(t->flows, str_of(o->metrics), e) != ERR_OK)
		code = err_in(e, "--metrics");
	const struct metrics_reader_config reader = { .log = config->log,
						      .metrics = t->flows,
						      .names = config->names,
						      .dict = config->dict,
						      .file = o->metrics_config };
	return code == ERR_OK ? metrics_reader_new(&reader, &t->reader, e) : code;
}

static enum err_code open_server(struct telemetry *t, const struct telemetry_config *config,
				 struct err *e)
{
	const struct metrics_server_config server = { .metrics = t->metrics,
						      .ready = is_ready,
						      .ctx = t };
	return serve_metrics(&config->options->serve, &server, &t->server, e);
}

enum err_code telemetry_new(const struct telemetry_config *config, struct telemetry **ret,
			    struct err *e)
{
	AUTO(telemetry_free) struct telemetry *t = calloc(1, sizeof *t);
	if (!t)
		return err_set(e, ERR_NOMEM, "metrics");
	t->capture = config->capture;
	t->certificates[0] = config->options->serve.tls.cert_file;
	t->certificates[1] = config->options->serve.metrics_tls.cert_file;
	t->process = (struct process_info){ .program = "tycho-observer",
					    .version = TYCHO_VERSION,
					    .certificates = t->certificates,
					    .certificate_count = ARRAY_LEN(t->certificates),
					    .started = wall_now() };
	enum err_code code = metrics_new(config->options->metrics_series, &t->metrics, e);
	if (code == ERR_OK)
		code = open_flows(t, config, e);
	t->telling = (struct telling){
		.log = config->log,
		.dict = config->dict,
		.names = config->names,
		.api = config->api,
		.capture = config->capture,
		.metrics = t->metrics,
		.reader = t->reader,
		.store = config->store,
		.readers = config->readers,
		.reader_count = config->reader_count,
	};
	if (code == ERR_OK)
		code = metrics_collect(t->metrics, telling_collect, &t->telling, e);
	if (code == ERR_OK)
		code = metrics_collect(t->metrics, rpc_metrics_collect, config->server, e);
	if (code == ERR_OK && config->store)
		code = metrics_collect(t->metrics, store_telling_collect, config->store, e);
	if (code == ERR_OK && config->evidence)
		code = metrics_collect(t->metrics, evidence_tell, config->evidence, e);
	if (code == ERR_OK && config->collect)
		code = metrics_collect(t->metrics, config->collect, config->ctx, e);
	if (code == ERR_OK)
		code = metrics_collect(t->metrics, process_collect, &t->process, e);
	if (code == ERR_OK)
		code = open_server(t, config, e); /* last: it asks all of the above */
	if (code != ERR_OK)
		return code;
	*ret = TAKE(t);
	return ERR_OK;
}

void telemetry_free(struct telemetry *t)
{
	if (!t)
		return;
	metrics_server_free(t->server);
	metrics_reader_free(t->reader);
	flow_metrics_free(t->flows);
	metrics_free(t->metrics);
	free(t);
}

int telemetry_port(const struct telemetry *t)
{
	return metrics_server_port(t->server);
}
