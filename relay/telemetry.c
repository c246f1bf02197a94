#include "relay/telemetry.h"

#include <stdio.h>

#include "config.h"
#include "metrics/process.h"
#include "metrics/rpc_metrics.h"
#include "metrics/server.h"

enum { SERIES = 64 /* the relay keeps none: all it tells is collected */, STATUSES = 6 };

struct telemetry {
	struct peers *peers;
	const struct api *api;
	struct archive *archive;
	struct metrics *metrics;
	struct metrics_server *server;
	struct process_info process;
	const char *certificates[3];
};

/* As Hubble Relay has it: always all six. NIL_CONNECTION is a peer that cannot be called. */
static void count_connections(struct peers *peers, size_t statuses[STATUSES], size_t *ret_available)
{
	struct peer_list list;

	memset(statuses, 0, STATUSES * sizeof *statuses);
	*ret_available = 0;
	if (peers_snapshot(peers, &list, NULL) != ERR_OK)
		return;
	for (size_t i = 0; i < list.count; i++) {
		const struct peer *p = list.peers[i];
		statuses[p->channel ? (size_t)rpc_fan_channel_state(p->channel) : STATUSES - 1]++;
		*ret_available += peer_is_available(p);
	}
	peer_list_done(&list);
}

static void collect_nodes(void *ctx, struct metrics_page *p)
{
	static const char *const names[STATUSES] = { "IDLE",     "CONNECTING",
						     "READY",    "TRANSIENT_FAILURE",
						     "SHUTDOWN", "NIL_CONNECTION" };
	const struct telemetry *t = ctx;
	struct api_counts api = api_counts(t->api);
	size_t statuses[STATUSES], available, peers = 0;

	count_connections(t->peers, statuses, &available);
	page_family(p, "hubble_relay_pool_peer_connection_status", METRIC_GAUGE,
		    "Measures the connectivity status of all peers by counting the number of "
		    "peers for each given connection status.");
	for (size_t i = 0; i < STATUSES; i++) {
		struct page_label label = { "status", str_of(names[i]) };
		page_u64(p, &label, 1, statuses[i]);
		peers += statuses[i];
	}
	page_gauge(p, "tycho_relay_peers", "Peers known", (double)peers);
	page_gauge(p, "tycho_relay_peers_available", "Peers worth asking", (double)available);
	page_counter(p, "tycho_relay_queries_total", "Streams of flows begun", api.queries);
	page_gauge(p, "tycho_relay_live_queries", "Streams of flows being answered",
		   (double)api.live_queries);
	page_counter(p, "tycho_relay_messages_total", "Messages of peers given to clients",
		     api.flows);
	page_counter(p, "tycho_relay_node_errors_total", "Streams of peers that failed",
		     api.node_errors);
	page_counter(p, "tycho_relay_gathers_total",
		     "Questions for status, nodes or namespaces put to all peers", api.gathers);
}

static void collect_archive(void *ctx, struct metrics_page *p)
{
	const struct telemetry *t = ctx;
	struct archive_counts c;
	char why[ARCHIVE_WHY_BYTES];

	archive_counts(t->archive, &c);
	page_gauge(p, "tycho_relay_clickhouse_up", "1 when ClickHouse has answered",
		   archive_is_well(t->archive, why));
	page_counter(p, "tycho_relay_clickhouse_queries_total", "Calls answered from ClickHouse",
		     c.queries);
	page_gauge(p, "tycho_relay_clickhouse_live_queries", "Calls being answered",
		   (double)c.live_queries);
	page_counter(p, "tycho_relay_clickhouse_refused_total",
		     "Calls refused because there were too many at a time", c.refused);
	page_counter(p, "tycho_relay_clickhouse_failures_total", "Calls that ended in a fault",
		     c.failed);
	page_counter(p, "tycho_relay_clickhouse_rows_total", "Rows of ClickHouse's answers",
		     c.rows);
	page_counter(p, "tycho_relay_clickhouse_bytes_total", "Bytes of ClickHouse's answers",
		     c.bytes);
	page_family(p, "tycho_relay_clickhouse_statement_seconds", METRIC_HISTOGRAM,
		    "How long statements took, until the last row was taken");
	page_histogram(p, NULL, 0, &c.statements);
}

/* Somebody must be there to be asked; the same that gRPC's health says. */
static bool is_ready(void *ctx, char why[METRICS_WHY_BYTES])
{
	const struct telemetry *t = ctx;
	size_t statuses[STATUSES], available;
	char reason[ARCHIVE_WHY_BYTES];

	if (t->archive) {
		bool is_well = archive_is_well(t->archive, reason);
		if (!is_well)
			(void)snprintf(why, METRICS_WHY_BYTES, "%s", reason);
		return is_well;
	}
	count_connections(t->peers, statuses, &available);
	if (!available)
		(void)snprintf(why, METRICS_WHY_BYTES, "no peer is available");
	return available > 0;
}

static enum err_code add_collectors(struct telemetry *t, const struct telemetry_config *config,
				    struct err *e)
{
	enum err_code code =
		metrics_collect(t->metrics, t->archive ? collect_archive : collect_nodes, t, e);

	if (code == ERR_OK)
		code = metrics_collect(t->metrics, rpc_metrics_collect, config->server, e);
	if (code == ERR_OK)
		code = metrics_collect(t->metrics, process_collect, &t->process, e);
	return code;
}

enum err_code telemetry_new(const struct telemetry_config *config, struct telemetry **ret,
			    struct err *e)
{
	const struct rly_options *o = config->options;
	AUTO(telemetry_free) struct telemetry *t = calloc(1, sizeof *t);
	if (!t)
		return err_set(e, ERR_NOMEM, "metrics");
	t->peers = config->peers;
	t->api = config->api;
	t->archive = config->archive;
	t->certificates[0] = o->serve.tls.cert_file;
	t->certificates[1] = o->peer_files.cert_file;
	t->certificates[2] = o->serve.metrics_tls.cert_file;
	t->process = (struct process_info){ .program = "tycho-relay",
					    .version = TYCHO_VERSION,
					    .certificates = t->certificates,
					    .certificate_count = ARRAY_LEN(t->certificates),
					    .started = wall_now() };
	enum err_code code = metrics_new(SERIES, &t->metrics, e);
	if (code == ERR_OK)
		code = add_collectors(t, config, e);
	if (code != ERR_OK)
		return code;
	const struct metrics_server_config server = { .metrics = t->metrics,
						      .ready = is_ready,
						      .ctx = t };
	code = serve_metrics(&o->serve, &server, &t->server,
			     e); /* last: it asks all of the above */
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
	metrics_free(t->metrics);
	free(t);
}

int telemetry_port(const struct telemetry *t)
{
	return metrics_server_port(t->server);
}
