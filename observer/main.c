/*
 * tycho-observer - watches the flows of this node and answers for them.
 *
 *	main thread      signals, endpoint file, own addresses ──► name table
 *	tycho-capture    sources ──► decode ──► name ──► flow log
 *	tycho-keep       flow log ──► store; tycho-sync, the store's, waits for the disk
 *	tycho-ship       store ──► ClickHouse, if one is named
 *	tycho-export     flow log ──► files of JSON lines, if asked for
 *	tycho-rpc        flow log ──► gRPC
 *	tycho-kube       Kubernetes' API server ──► name table, policies, if one is followed
 *	tycho-upstream   a Hubble server's flows ──► capture, if one is followed
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/eventfd.h>

#include "access/gate.h"
#include "base/log.h"
#include "base/notify.h"
#include "base/signals.h"
#include "base/std_fds.h"
#include "config.h"
#include "observer/api/api.h"
#include "observer/capture.h"
#include "observer/doctor/doctor.h"
#include "observer/drop_events/drop_events.h"
#include "observer/export/export.h"
#include "observer/history.h"
#include "observer/host.h"
#include "observer/identity.h"
#include "observer/kubernetes/kubernetes.h"
#include "observer/kubernetes/local_pods.h"
#include "observer/lean.h"
#include "observer/name/file.h"
#include "observer/paths.h"
#include "observer/source_set.h"
#include "observer/telemetry.h"
#include "observer/upstream/agent_names.h"
#include "rpc/server.h"

enum {
	DICT_ENTRIES = 1 << 20, /* distinct endpoints, services, nodes */
	SHUTDOWN_GRACE_S = 2,
	PROVIDER_KUBERNETES = 0, /* slots in the name table */
	PROVIDER_FILE = 1,
	PROVIDER_CILIUM = 2,
};

/* Everything that lives as long as the process, torn down in reverse order. */
struct observer {
	struct obs_options o;
	struct identity id;
	int signals, ended_fd;
	struct flow_dict *dict;
	struct name_table *names;
	struct host *host;
	struct name_file *file;
	struct policy_table *policies;
	struct policy_config policy_config;
	struct policy_file *policy_file;
	struct agent_policies *agent_policies; /* both of Cilium's agent; NULL: not asked for */
	struct agent_names *cilium_agent;
	struct history history;
	struct flow_log *log;
	struct source_set sources;
	struct api *api;
	struct gate *gate;
	bool rpc_up;
	struct rpc_server *server;
	struct capture *capture;
	struct local_pods *pods; /* both NULL: not asked for */
	struct drop_events *drop_events;
	struct kubernetes *kubernetes;    /* NULL: not asked for */
	struct export *export;            /* NULL: not asked for */
	struct telling_reader readers[2]; /* of the log, beside those that telemetry knows */
	struct telemetry *telemetry;      /* NULL: not asked for */
};

static void observer_done(struct observer *ob)
{
	telemetry_free(ob->telemetry);
	kubernetes_free(ob->kubernetes);
	drop_events_free(ob->drop_events);
	local_pods_free(ob->pods);
	rpc_server_free(ob->server, SHUTDOWN_GRACE_S * NS_PER_S);
	capture_free(ob->capture);
	export_free(ob->export); /* after capture: it writes what the log still holds */
	source_set_done(&ob->sources);
	if (ob->rpc_up)
		rpc_shutdown();
	api_free(ob->api);
	gate_free(ob->gate);
	agent_names_free(ob->cilium_agent); /* tells the keeper, and is told by capture */
	history_done(&ob->history);
	agent_free(ob->sources.agent);
	flow_log_free(ob->log);
	policy_file_free(ob->policy_file);
	policy_table_free(ob->policies);
	agent_policies_free(ob->agent_policies);
	name_file_free(ob->file);
	host_free(ob->host);
	name_table_free(ob->names);
	flow_dict_free(ob->dict);
	if (ob->ended_fd >= 0)
		(void)close(ob->ended_fd);
	if (ob->signals >= 0)
		(void)close(ob->signals);
}
static void observer_done_guard_(struct observer *ob)
{
	observer_done(ob);
}

static enum err_code take_signals(struct observer *ob, struct err *e)
{
	return signals_take(&ob->signals, e);
}

static enum err_code name_the_node(struct observer *ob, struct err *e)
{
	return identity_of(ob->o.node_name, ob->o.cluster, &ob->id, e);
}

static enum err_code open_names(struct observer *ob, struct err *e)
{
	enum err_code code = flow_dict_new(DICT_ENTRIES, &ob->dict, e);
	if (code != ERR_OK)
		return code;
	const struct name_config config = {
		.cluster = ob->o.cluster ? ob->o.cluster : "",
		.node = ob->id.node,
		.node_labels = ob->o.node_labels,
		.node_label_count = ob->o.node_label_count,
	};
	code = name_table_new(&config, ob->dict, &ob->names, e);
	if (code == ERR_OK)
		code = host_new(ob->names, &ob->host, e);
	if (code == ERR_OK && ob->o.endpoints)
		code = name_file_new(ob->o.endpoints, PROVIDER_FILE, ob->names, &ob->file, e);
	return code;
}

/* Servers and sources both stand on it. */
static enum err_code start_rpc(struct observer *ob, struct err *e)
{
	(void)e;
	rpc_init();
	ob->rpc_up = true;
	return ERR_OK;
}

static void tell_policies(const struct observer *ob, const char *what)
{
	size_t skipped, count = policy_file_count(ob->policy_file, &skipped);

	log_info(what, "path=%s policies=%zu skipped=%zu", LOG_QUOTE(ob->o.policies), count,
		 skipped);
}

static enum err_code open_policies(struct observer *ob, struct err *e)
{
	ob->policy_config = (struct policy_config){
		.meaning = ob->o.policy_meaning,
		.cluster = ob->o.cluster && *ob->o.cluster ? ob->o.cluster : NULL,
		.node_labels = ob->o.node_labels,
		.node_label_count = ob->o.node_label_count,
		.counted_labels = ob->o.kubernetes,
	};
	enum err_code code = policy_table_new(ob->dict, &ob->policies, e);
	if (code == ERR_OK && ob->o.policies)
		code = policy_file_new(ob->o.policies, &ob->policy_config, ob->policies,
				       ob->o.kubernetes, &ob->policy_file, e);
	if (code == ERR_OK && ob->policy_file)
		tell_policies(ob, "policies read");
	return code;
}

static enum err_code number_records(struct observer *ob, struct err *e)
{
	return history_number(&ob->history, &ob->o, e);
}

static enum err_code open_sources(struct observer *ob, struct err *e)
{
	return source_set_open(&ob->sources, &ob->o, ob->dict, ob->names, e);
}

static enum err_code open_history(struct observer *ob, struct err *e)
{
	return history_open(&ob->history, &ob->o, ob->dict, ob->id.full, e);
}

static enum err_code open_log(struct observer *ob, struct err *e)
{
	const struct flow_log_config config = { .capacity = ob->o.ring_capacity,
						.first_seq = ob->history.first_seq };

	return flow_log_new(&config, &ob->log, e);
}

static enum err_code open_upstream(struct observer *ob, struct err *e)
{
	return source_set_follow(&ob->sources, &ob->o, ob->history.store, ob->dict, e);
}

static enum err_code sign_history(struct observer *ob, struct err *e)
{
	return history_sign(&ob->history, &ob->o, ob->dict, ob->id.full, e);
}

static enum err_code open_server(struct observer *ob, struct err *e)
{
	static const char *const health[] = { "hubble.server.Observer", "observer.Observer" };
	static const struct rpc_metadata metadata[] = { { "hubble-server-version",
							  TYCHO_HUBBLE_VERSION },
							{ "tycho-version", TYCHO_VERSION } };
	const struct serve_options *o = &ob->o.serve;
	struct rpc_listen listens[SERVE_LIST];
	enum err_code code = serve_listens(o, listens, e);

	for (size_t i = 0; code == ERR_OK && i < o->listen_count; i++)
		code = paths_make_socket_folder(o->listen[i], e);
	if (code != ERR_OK)
		return code;
	size_t network;
	bool has_network = serve_network_listen(o, &network);
	const struct api_config api = {
		.log = ob->log,
		.dict = ob->dict,
		.names = ob->names,
		.version = "tycho v" TYCHO_VERSION,
		.node_name = ob->id.full,
		.address = has_network ? o->listen[network] : "",
		.tls_server_name = o->tls.cert_file && has_network ? ob->id.tls_name : NULL,
		.started = mono_now(),
		.store = ob->history.store,
		.retention_ns = ob->o.store.retention_ns,
		.retention_bytes = ob->o.store.retention_bytes,
	};
	code = api_new(&api, &ob->api, e);
	if (code == ERR_OK && o->access_file)
		code = gate_new(o->access_file, &ob->gate, e);
	if (code != ERR_OK)
		return code;
	struct rpc_server_config config = {
		.listens = listens,
		.listen_count = o->listen_count,
		.metadata = metadata,
		.metadata_count = ARRAY_LEN(metadata),
		.gate = gate_of(ob->gate),
		.health_services = health,
		.health_service_count = ARRAY_LEN(health),
		.stall_ns = ob->o.stall_timeout_ns,
	};
	size_t api_count;
	const struct rpc_method *from_api = api_methods(ob->api, &api_count);
	AUTO(own_free) struct rpc_method *methods = calloc(api_count + 1, sizeof *methods);
	if (!methods)
		return err_set(e, ERR_NOMEM, "methods");
	memcpy(methods, from_api, api_count * sizeof *methods);
	methods[api_count] = evidence_method(ob->history.evidence);
	config.methods = methods;
	config.method_count = api_count + 1;
	code = rpc_server_new(&config, &ob->server, e);
	if (code == ERR_OK && has_network)
		api_set_port(ob->api, rpc_server_port(ob->server, network));
	return code;
}

/* What the policies in force say goes into history, too. Beside Kubernetes its thread sees to it.
 */
static void keep_policies(struct observer *ob)
{
	if (ob->policy_file && !ob->o.kubernetes)
		history_take_policies(&ob->history, ob->policy_file);
}

static enum err_code start_keeper(struct observer *ob, struct err *e)
{
	enum err_code code =
		history_keep(&ob->history, &ob->o, ob->log, ob->dict, ob->sources.agent, e);
	if (code == ERR_OK)
		keep_policies(ob);
	return code == ERR_OK ? history_ship(&ob->history, &ob->o, ob->dict, ob->id.full, e) : code;
}

static enum err_code start_export(struct observer *ob, struct err *e)
{
	const struct export_config config = {
		.options = &ob->o.exports, .log = ob->log, .dict = ob->dict, .node = ob->id.node
	};

	return ob->o.exports.path || ob->o.exports.config ? export_new(&config, &ob->export, e)
							  : ERR_OK;
}

/* On the thread of the agent's names. */
static void keep_rules(void *ctx, const json_t *answer)
{
	struct observer *ob = ctx;
	struct keep_policies *policies;
	struct err e;

	if (keep_policies_of_agent(answer, &policies, &e) == ERR_OK)
		keep_take_policies(ob->history.keep, policies);
	else
		log_debug("the agent's policies are not kept", "err=%s", LOG_QUOTE(e.msg));
}

/* Whoever reads Cilium's events wants its names, too. */
static enum err_code open_cilium_agent(struct observer *ob, struct err *e)
{
	const struct obs_options *o = &ob->o;
	const char *socket = o->cilium_agent;

	if (!socket && (o->cilium.monitor || o->cilium.perf))
		socket = AGENT_NAMES_DEFAULT_PATH;
	if (!socket || strcmp(socket, "none") == 0)
		return ERR_OK;
	enum err_code code = agent_policies_new(&ob->agent_policies, e);
	const struct agent_names_config config = { .socket = socket,
						   .who = PROVIDER_CILIUM,
						   .names = ob->names,
						   .policies = ob->agent_policies,
						   .on_rules = ob->history.keep ? keep_rules : NULL,
						   .ctx = ob };
	return code == ERR_OK ? agent_names_new(&config, &ob->cilium_agent, e) : code;
}

static enum err_code start_capture(struct observer *ob, struct err *e)
{
	ob->ended_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (ob->ended_fd < 0)
		return err_os(e, "eventfd");
	const struct capture_config config = {
		.sources = ob->sources.all,
		.source_count = ob->sources.count,
		.log = ob->log,
		.dict = ob->dict,
		.names = ob->names,
		.cilium = ob->sources.cilium.decoder,
		.agent_policies = ob->agent_policies,
		.agent = ob->cilium_agent,
		.ended_fd = ob->ended_fd,
		.policies = ob->policies,
	};
	enum err_code code = capture_new(&config, &ob->capture, e);
	if (code == ERR_OK)
		ob->sources.count = 0;
	return code;
}

static enum err_code open_drop_events(struct observer *ob, struct err *e)
{
	const struct obs_options *o = &ob->o;

	if (!o->drop_events.on)
		return ERR_OK;
	enum err_code code = local_pods_new(&ob->pods, e);
	const struct drop_events_config config = {
		.log = ob->log,
		.dict = ob->dict,
		.pods = ob->pods,
		.wanted = o->drop_events,
		.kubeconfig = o->kubeconfig,
		.context = o->kube_context,
		.node = ob->id.node,
		.kernel_drops = obs_options_see_drops(o),
	};
	return code == ERR_OK ? drop_events_new(&config, &ob->drop_events, e) : code;
}

/* Names come when the API server has answered; nobody waits for them. */
static enum err_code open_kubernetes(struct observer *ob, struct err *e)
{
	const struct kubernetes_config config = {
		.kubeconfig = ob->o.kubeconfig,
		.context = ob->o.kube_context,
		.cluster = ob->o.cluster ? ob->o.cluster : "",
		.node = ob->id.node,
		.who = PROVIDER_KUBERNETES,
		.names = ob->names,
		.policies = ob->policies,
		.meaning = &ob->policy_config,
		.files = ob->policy_file,
		.keep = ob->history.keep,
		.local = ob->pods,
	};

	return ob->o.kubernetes ? kubernetes_new(&config, &ob->kubernetes, e) : ERR_OK;
}

static void collect_more(void *ctx, struct metrics_page *page)
{
	const struct observer *ob = ctx;

	if (ob->cilium_agent)
		agent_names_collect(ob->cilium_agent, page);
	if (ob->kubernetes)
		kubernetes_collect(ob->kubernetes, page);
	if (ob->drop_events)
		drop_events_collect(ob->drop_events, page);
	if (ob->export)
		export_collect(ob->export, page);
	ship_collect(ob->history.ship, page);
}

static enum err_code open_telemetry(struct observer *ob, struct err *e)
{
	if (!ob->o.serve.metrics_listen)
		return ERR_OK;
	size_t readers = 0;
	if (ob->drop_events)
		ob->readers[readers++] = (struct telling_reader){ "drop-events", drop_events_reader,
								  ob->drop_events };
	if (ob->export)
		ob->readers[readers++] =
			(struct telling_reader){ "export", export_reader, ob->export };
	const struct telemetry_config config = {
		.options = &ob->o,
		.log = ob->log,
		.dict = ob->dict,
		.names = ob->names,
		.api = ob->api,
		.capture = ob->capture,
		.server = ob->server,
		.store = ob->history.store,
		.evidence = ob->history.evidence,
		.readers = ob->readers,
		.reader_count = readers,
		.collect = collect_more,
		.ctx = ob,
	};
	return telemetry_new(&config, &ob->telemetry, e);
}

static void reread_endpoints(struct observer *ob)
{
	struct err e;

	if (!ob->file)
		return;
	enum err_code code = name_file_poll(ob->file, &e);
	if (code == ERR_OK) {
		log_info("endpoints reread", "file=%s", LOG_QUOTE(ob->o.endpoints));
		agent_tell(ob->sources.agent, "endpoints-reloaded", "{}");
		lean_heap();
	} else if (code != ERR_AGAIN) {
		log_warn("endpoints not reread; the old ones stay", "err=%s", LOG_QUOTE(e.msg));
	}
}

static void reread_policies(struct observer *ob)
{
	struct err e;

	if (!ob->policy_file)
		return;
	enum err_code code = policy_file_poll(ob->policy_file, &e);
	if (code == ERR_OK) {
		tell_policies(ob, "policies reread");
		agent_tell(ob->sources.agent, "policies-reloaded", "{}");
		keep_policies(ob);
		if (ob->kubernetes)
			kubernetes_files_changed(ob->kubernetes);
		lean_heap();
	} else if (code != ERR_AGAIN) {
		log_warn("policies not reread; the old ones stay", "err=%s", LOG_QUOTE(e.msg));
	}
}

/* @return false when it is time to stop. */
static bool on_signal(struct observer *ob)
{
	int number = signals_next(ob->signals);

	if (number == SIGHUP) {
		reread_endpoints(ob);
		reread_policies(ob);
	}
	if (number == SIGHUP || !number)
		return true;
	notify_send("STOPPING=1");
	log_info("stopping", "signal=%d", number);
	return false;
}

/* The replay has come to its end. */
static void tell_replay(const struct observer *ob)
{
	uint64_t bad = source_replay_bad_lines(ob->sources.replay);

	if (bad)
		log_warn("lines of the replay could not be read and are counted as lost",
			 "file=%s lines=%llu", LOG_QUOTE(ob->o.replay.path),
			 (unsigned long long)bad);
	log_info("replay is over", "file=%s", LOG_QUOTE(ob->o.replay.path));
}

/* Until a signal says that it is time to stop. */
static enum err_code serve(struct observer *ob, struct err *e)
{
	struct err why;

	for (;;) {
		struct pollfd fds[] = {
			{ .fd = ob->signals, .events = POLLIN },
			{ .fd = host_fd(ob->host), .events = POLLIN },
			{ .fd = ob->ended_fd, .events = POLLIN },
			{ .fd = ob->file ? name_file_fd(ob->file) : -1, .events = POLLIN },
			{ .fd = ob->policy_file ? policy_file_fd(ob->policy_file) : -1,
			  .events = POLLIN },
		};
		if (poll(fds, ARRAY_LEN(fds), -1) < 0 && errno != EINTR)
			return err_os(e, "wait for events");
		if (fds[0].revents && !on_signal(ob))
			return ERR_OK;
		if (fds[1].revents && host_poll(ob->host, &why) != ERR_OK)
			log_warn("own addresses not reread", "err=%s", LOG_QUOTE(why.msg));
		if (fds[2].revents) {
			uint64_t n;
			if (read(ob->ended_fd, &n, sizeof n) == sizeof n)
				tell_replay(ob);
		}
		if (fds[3].revents)
			reread_endpoints(ob);
		if (fds[4].revents)
			reread_policies(ob);
	}
}

static enum err_code observe(struct observer *ob, struct err *e)
{
	/* The store's gap ends when it is opened: by then the kernel's hooks must be there, and what they
	 * see waits in their rings. But only one observer of a folder may touch them. */
	static enum err_code (*const steps[])(struct observer *, struct err *) = {
		take_signals,     name_the_node,   open_names,    open_policies,  number_records,
		open_sources,     open_history,    open_log,      start_rpc,      open_upstream,
		sign_history,     open_server,     start_keeper,  start_export,   open_cilium_agent,
		open_drop_events, open_kubernetes, start_capture, open_telemetry,
	};

	for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
		enum err_code code = steps[i](ob, e);
		if (code != ERR_OK)
			return code;
	}
	agent_tell_started(ob->sources.agent, wall_now());
	evidence_announce(ob->history.evidence);
	lean_heap();
	lean_image();
	serve_tell_ready(&ob->o.serve, &ob->o.common, "observing", ob->id.full, ob->server,
			 ob->telemetry ? telemetry_port(ob->telemetry) : 0);
	return serve(ob, e);
}

/* @return the exit status. */
static int examine(struct observer *ob)
{
	struct err e;

	if (name_the_node(ob, &e) != ERR_OK) {
		(void)fprintf(stderr, "tycho-observer: %s\n", e.msg);
		return 1;
	}
	unsigned failed = doctor_examine(&ob->o, ob->id.node, strcmp(ob->o.doctor, "json") == 0);
	return std_fds_end("tycho-observer") || failed;
}

int main(int argc, char **argv)
{
	__attribute__((cleanup(observer_done_guard_))) struct observer ob = { .signals = -1,
									      .ended_fd = -1 };
	char default_listen[PATHS_BYTES];
	struct err e;

	std_fds_hold();
	if (obs_options_read(argc, (const char *const *)argv, &ob.o, &e) != ERR_OK) {
		(void)fprintf(stderr, "tycho-observer: %s\n", e.msg);
		return 1;
	}
	if (opt_is_answered(&obs_program, &ob.o.common))
		return std_fds_end("tycho-observer");
	if (ob.o.doctor)
		return examine(&ob);
	lean_start();
	log_set_level(ob.o.common.log_level);
	if (!ob.o.serve.listen_count) {
		paths_default_listen(default_listen);
		ob.o.serve.listen[ob.o.serve.listen_count++] = default_listen;
	}
	if (observe(&ob, &e) != ERR_OK) {
		(void)fprintf(stderr, "tycho-observer: %s\n", e.msg);
		return 1;
	}
	return 0;
}
