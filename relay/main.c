/*
 * tycho-relay - many observers, one answer.
 *
 *	main thread   signals, peers file, peer service, life of the peers ──► list of peers, health
 *	resolver      names of --peer-dns and --peer-srv ──► main
 *	rpc-server    calls to the peers ──► inboxes of the queries ──► merge ──► clients
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>

#include "access/gate.h"
#include "base/log.h"
#include "base/notify.h"
#include "base/signals.h"
#include "base/std_fds.h"
#include "config.h"
#include "relay/api.h"
#include "relay/discovery.h"
#include "relay/keeper.h"
#include "relay/options.h"
#include "relay/peers.h"
#include "relay/peers_file.h"
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
	struct rpc_fan *fan;
	struct keeper *keeper;
	struct peers *peers;
	struct peers_file *file;
	struct dns_peers *dns;
	struct rpc_tls service_tls;
	struct discovery *discovery;
	struct api *api;
	struct gate *gate;
	struct rpc_server *server;
	struct telemetry *telemetry; /* NULL: not asked for */
	bool is_healthy;             /* as was last told */
};

static void relay_done(struct relay *r)
{
	telemetry_free(r->telemetry);
	rpc_server_free(r->server, SHUTDOWN_GRACE_S * NS_PER_S);
	api_free(r->api);
	gate_free(r->gate);
	discovery_free(r->discovery);
	dns_peers_free(r->dns);
	peers_file_free(r->file);
	peers_free(r->peers);
	keeper_free(r->keeper);
	rpc_fan_free(r->fan);
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

static void on_peer_changed(void *ctx)
{
	keeper_poke(ctx);
}

static enum err_code open_peers(struct relay *r, struct err *e)
{
	rpc_init();
	r->rpc_up = true;
	r->service_tls = r->o.peer_files;
	r->service_tls.server_name = r->o.peer_service_tls_name;
	enum err_code code = rpc_fan_new_for_server(&r->fan, e);
	if (code == ERR_OK)
		code = keeper_new(r->fan, r->o.peer_timeout_ns, r->o.peer_interval_ns, &r->keeper,
				  e);
	if (code != ERR_OK)
		return code;
	const struct peers_config config = { .fan = r->fan,
					     .tls = r->o.peer_tls ? &r->o.peer_files : NULL,
					     .changed = on_peer_changed,
					     .ctx = r->keeper };
	code = peers_new(&config, &r->peers, e);
	if (code == ERR_OK && r->o.peer_count)
		code = peers_set(r->peers, PEER_STATIC, r->o.peers, r->o.peer_count, e);
	if (code == ERR_OK && r->o.peers_file)
		code = peers_file_new(r->o.peers_file, r->peers, &r->file, e);
	if (code == ERR_OK && r->o.dns_count)
		code = dns_peers_new(r->o.dns, r->o.dns_count, r->o.dns_interval_ns, r->peers,
				     &r->dns, e);
	if (code == ERR_OK && r->o.peer_service)
		code = discovery_new(r->fan, r->o.peer_service,
				     r->o.peer_tls ? &r->service_tls : NULL, r->o.peer_timeout_ns,
				     r->o.peer_interval_ns, r->peers, &r->discovery, e);
	return code;
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
	const struct api_config api = { .fan = r->fan,
					.peers = r->peers,
					.keeper = r->keeper,
					.version = "tycho-relay v" TYCHO_VERSION,
					.node_name = r->node_name,
					.window = r->o.sort_window,
					.drain_ns = r->o.drain_ns,
					.forward_authorization = r->o.forward_authorization };
	code = api_new(&api, &r->api, e);
	if (code == ERR_OK && o->access_file)
		code = gate_new(o->access_file, &r->gate, e);
	if (code != ERR_OK)
		return code;
	struct rpc_server_config config = { .listens = listens,
					    .listen_count = o->listen_count,
					    .metadata = metadata,
					    .metadata_count = ARRAY_LEN(metadata),
					    .gate = gate_of(r->gate),
					    .fan = r->fan,
					    .health_services = health_names,
					    .health_service_count = ARRAY_LEN(health_names) };
	config.methods = api_methods(r->api, &config.method_count);
	code = rpc_server_new(&config, &r->server, e);
	if (code != ERR_OK)
		return code;
	api_set_server(r->api, r->server);
	r->is_healthy = true;
	return ERR_OK;
}

static enum err_code open_telemetry(struct relay *r, struct err *e)
{
	if (!r->o.serve.metrics_listen)
		return ERR_OK;
	const struct telemetry_config config = {
		.options = &r->o, .peers = r->peers, .api = r->api, .server = r->server
	};
	return telemetry_new(&config, &r->telemetry, e);
}

static void reread_peers(struct relay *r, bool always)
{
	struct err e;

	if (!r->file)
		return;
	enum err_code code = peers_file_poll(r->file, always, &e);
	if (code == ERR_OK)
		log_info("peers reread", "file=%s", LOG_QUOTE(r->o.peers_file));
	else if (code != ERR_AGAIN)
		log_warn("peers not reread; the old ones stay", "err=%s", LOG_QUOTE(e.msg));
}

/* @return false when it is time to stop. */
static bool on_signal(struct relay *r)
{
	int number = signals_next(r->signals);

	if (number == SIGHUP) {
		reread_peers(r, true);
		if (r->dns)
			dns_peers_refresh(r->dns);
		keeper_renew(r->peers);
	}
	if (number == SIGHUP || !number)
		return true;
	notify_send("STOPPING=1");
	log_info("stopping", "signal=%d", number);
	return false;
}

/* Healthy is who can answer for at least one node. */
static void tell_health(struct relay *r, bool healthy)
{
	if (healthy == r->is_healthy)
		return;
	r->is_healthy = healthy;
	for (size_t i = 0; i < ARRAY_LEN(health_names); i++)
		rpc_server_set_health(r->server, health_names[i], healthy);
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
		struct mono_ns now = mono_now(), keep_at, discover_at = { UINT64_MAX };
		if (r->discovery)
			discovery_run(r->discovery, now, &discover_at);
		tell_health(r, keeper_run(r->keeper, r->peers, now, &keep_at) > 0);
		struct pollfd fds[] = {
			{ .fd = r->signals, .events = POLLIN },
			{ .fd = keeper_fd(r->keeper), .events = POLLIN },
			{ .fd = r->file ? peers_file_fd(r->file) : -1, .events = POLLIN },
			{ .fd = r->discovery ? discovery_fd(r->discovery) : -1, .events = POLLIN },
			{ .fd = r->dns ? dns_peers_fd(r->dns) : -1, .events = POLLIN },
		};
		struct mono_ns until = keep_at.v < discover_at.v ? keep_at : discover_at;
		if (poll(fds, ARRAY_LEN(fds), wait_ms(mono_now(), until)) < 0 && errno != EINTR)
			return err_os(e, "wait for events");
		if (fds[0].revents && !on_signal(r))
			return ERR_OK;
		if (fds[2].revents)
			reread_peers(r, false);
		if (fds[4].revents)
			dns_peers_run(r->dns);
	}
}

static enum err_code relay(struct relay *r, struct err *e)
{
	static enum err_code (*const steps[])(struct relay *, struct err *) = {
		take_signals, name_us, open_peers, open_server, open_telemetry,
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
