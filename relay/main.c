/*
 * tycho-relay - many observers, one answer: theirs (nodes.h), or that of the ClickHouse they ship to
 * (archive/archive.h).
 *
 *	main thread   signals, peers file, peer service, life of the peers ──► list of peers, health
 *	resolver      names of --peer-dns and --peer-srv ──► main
 *	rpc-server    calls to the peers ──► inboxes of the queries ──► merge ──► clients
 *
 *	archive       is ClickHouse there? ──► health
 *	clickhouse    one for each query: rows ──► its queue ──► rpc-server ──► client
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>

#include "access/gate.h"
#include "base/log.h"
#include "base/notify.h"
#include "base/signals.h"
#include "base/std_fds.h"
#include "config.h"
#include "relay/archive/archive.h"
#include "relay/nodes.h"
#include "relay/options.h"
#include "relay/telemetry.h"
#include "rpc/server.h"

enum { SHUTDOWN_GRACE_S = 2, NODE_NAME_BYTES = 256 };

/* "" is what probes ask for, the others are what clients of an observer do. */
static const char *const health_names[] = { "", "observer.Observer", "hubble.server.Observer" };

/* Everything that lives as long as the process, torn down in reverse order. */
struct relay {
	struct rly_options o;
	char node_name[NODE_NAME_BYTES];
	int signals;
	bool rpc_up;
	struct nodes *nodes;     /* who answers: NULL, or … */
	struct archive *archive; /* … NULL */
	struct gate *gate;
	struct rpc_server *server;
	struct telemetry *telemetry; /* NULL: not asked for */
	bool is_healthy;             /* as was last told; with nodes */
};

static void relay_done(struct relay *r)
{
	telemetry_free(r->telemetry);
	if (r->archive)
		archive_stop(r->archive);
	rpc_server_free(r->server, SHUTDOWN_GRACE_S * NS_PER_S);
	nodes_free_api(r->nodes);
	archive_free(r->archive);
	gate_free(r->gate);
	nodes_free(r->nodes);
	if (r->rpc_up)
		rpc_shutdown();
	if (r->signals >= 0)
		(void)close(r->signals);
}
static void relay_done_guard_(struct relay *r)
{
	relay_done(r);
}

static enum err_code take_signals(struct relay *r, struct err *e)
{
	return signals_take(&r->signals, e);
}

static enum err_code name_us(struct relay *r, struct err *e)
{
	if (r->o.node_name && (!*r->o.node_name || strlen(r->o.node_name) >= NODE_NAME_BYTES))
		return err_set(e, ERR_INVALID, "--node-name: a name of 1 to %d bytes is needed",
			       NODE_NAME_BYTES - 1);
	if (r->o.node_name)
		(void)snprintf(r->node_name, sizeof r->node_name, "%s", r->o.node_name);
	else if (gethostname(r->node_name, sizeof r->node_name - 1) < 0)
		return err_os(e, "host name");
	return ERR_OK;
}

/* Healthy is who can answer for at least one node. */
static void tell_health(struct relay *r, bool healthy)
{
	for (size_t i = 0; i < ARRAY_LEN(health_names); i++)
		rpc_server_set_health(r->server, health_names[i], healthy);
}

static void on_archive_changed(void *ctx, bool is_well, const char *why)
{
	struct relay *r = ctx;

	tell_health(r, is_well);
	if (is_well)
		log_info("ClickHouse answers", "url=%s", LOG_QUOTE(r->o.clickhouse.url));
	else
		log_warn("ClickHouse does not answer, asking on", "url=%s err=%s",
			 LOG_QUOTE(r->o.clickhouse.url), LOG_QUOTE(why));
}

/* Who answers. */
static enum err_code open_answers(struct relay *r, struct err *e)
{
	rpc_init();
	r->rpc_up = true;
	if (!r->o.clickhouse.url)
		return nodes_new(&r->o, r->node_name, &r->nodes, e);
	const struct archive_config config = { .clickhouse = &r->o.clickhouse,
					       .version = RLY_VERSION,
					       .node_name = r->node_name,
					       .queries = r->o.clickhouse_queries,
					       .changed = on_archive_changed,
					       .ctx = r };
	if (clickhouse_password_is_open(&r->o.clickhouse))
		log_warn("flows and the password of ClickHouse travel in plain text", "url=%s",
			 LOG_QUOTE(r->o.clickhouse.url));
	return archive_new(&config, &r->archive, e);
}

static enum err_code open_server(struct relay *r, struct err *e)
{
	static const struct rpc_metadata metadata[] = {
		{ "hubble-relay-version", TYCHO_HUBBLE_VERSION }, { "tycho-version", TYCHO_VERSION }
	};
	const struct serve_options *o = &r->o.serve;
	struct rpc_listen listens[SERVE_LIST];
	enum err_code code = serve_listens(o, listens, e);
	if (code != ERR_OK)
		return code;
	if (code == ERR_OK && o->access_file)
		code = gate_new(o->access_file, &r->gate, e);
	if (code != ERR_OK)
		return code;
	struct rpc_server_config config = { .listens = listens,
					    .listen_count = o->listen_count,
					    .metadata = metadata,
					    .metadata_count = ARRAY_LEN(metadata),
					    .gate = gate_of(r->gate),
					    .fan = r->nodes ? nodes_fan(r->nodes) : NULL,
					    .health_services = health_names,
					    .health_service_count = ARRAY_LEN(health_names) };
	config.methods = r->nodes ? api_methods(nodes_api(r->nodes), &config.method_count)
				  : archive_methods(r->archive, &config.method_count);
	code = rpc_server_new(&config, &r->server, e);
	if (code != ERR_OK)
		return code;
	r->is_healthy = true;
	if (r->nodes) {
		api_set_server(nodes_api(r->nodes), r->server);
		return ERR_OK;
	}
	archive_set_server(r->archive, r->server);
	return archive_start(r->archive, e);
}

static enum err_code open_telemetry(struct relay *r, struct err *e)
{
	if (!r->o.serve.metrics_listen)
		return ERR_OK;
	const struct telemetry_config config = {
		.options = &r->o,
		.peers = r->nodes ? nodes_peers(r->nodes) : NULL,
		.api = r->nodes ? nodes_api(r->nodes) : NULL,
		.archive = r->archive,
		.server = r->server,
	};
	return telemetry_new(&config, &r->telemetry, e);
}

/* @return false when it is time to stop. */
static bool on_signal(struct relay *r)
{
	int number = signals_next(r->signals);

	if (number == SIGHUP && r->nodes)
		nodes_reread(r->nodes);
	if (number == SIGHUP || !number)
		return true;
	notify_send("STOPPING=1");
	log_info("stopping", "signal=%d", number);
	return false;
}

static void note_available(struct relay *r, size_t peers)
{
	bool healthy = peers > 0;

	if (healthy == r->is_healthy)
		return;
	r->is_healthy = healthy;
	tell_health(r, healthy);
	if (healthy)
		log_info("at least one peer is available");
	else
		log_warn("no peer is available");
}

static int wait_ms(struct mono_ns now, struct mono_ns until)
{
	if (until.v <= now.v)
		return 0;
	uint64_t ms = (until.v - now.v + NS_PER_MS - 1) / NS_PER_MS;
	return ms < INT32_MAX ? (int)ms : -1;
}

/* Until a signal says that it is time to stop. */
static enum err_code serve(struct relay *r, struct err *e)
{
	for (;;) {
		struct mono_ns until = { UINT64_MAX };
		struct pollfd fds[1 + NODES_FDS] = { { .fd = r->signals, .events = POLLIN } };
		size_t count = 1;
		if (r->nodes) {
			note_available(r, nodes_run(r->nodes, mono_now(), &until));
			nodes_fds(r->nodes, fds + count);
			count += NODES_FDS;
		}
		if (poll(fds, count, wait_ms(mono_now(), until)) < 0 && errno != EINTR)
			return err_os(e, "wait for events");
		if (fds[0].revents && !on_signal(r))
			return ERR_OK;
		if (r->nodes)
			nodes_take(r->nodes, fds + 1);
	}
}

static enum err_code relay(struct relay *r, struct err *e)
{
	static enum err_code (*const steps[])(struct relay *, struct err *) = {
		take_signals, name_us, open_answers, open_server, open_telemetry,
	};

	for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
		enum err_code code = steps[i](r, e);
		if (code != ERR_OK)
			return code;
	}
	serve_tell_ready(&r->o.serve, &r->o.common, "relaying", r->node_name, r->server,
			 r->telemetry ? telemetry_port(r->telemetry) : 0);
	return serve(r, e);
}

int main(int argc, char **argv)
{
	__attribute__((cleanup(relay_done_guard_))) struct relay r = { .signals = -1 };
	struct err e;

	std_fds_hold();
	if (rly_options_read(argc, (const char *const *)argv, &r.o, &e) != ERR_OK) {
		(void)fprintf(stderr, "tycho-relay: %s\n", e.msg);
		return 1;
	}
	if (opt_is_answered(&rly_program, &r.o.common))
		return std_fds_end("tycho-relay");
	log_set_level(r.o.common.log_level);
	if (!r.o.serve.listen_count)
		r.o.serve.listen[r.o.serve.listen_count++] = "localhost:4245";
	if (relay(&r, &e) != ERR_OK) {
		(void)fprintf(stderr, "tycho-relay: %s\n", e.msg);
		return 1;
	}
	return 0;
}
