/*
 * tycho-observer - watches the flows of this node and answers for them.
 *
 *	main thread      signals, endpoint file, own addresses ──► name table
 *	tycho-capture    sources ──► decode ──► name ──► flow log
 *	tycho-keep       flow log ──► store; tycho-sync, the store's, waits for the disk
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
#include "base/buf.h"
#include "base/log.h"
#include "base/notify.h"
#include "base/net.h"
#include "base/signals.h"
#include "base/std_fds.h"
#include "config.h"
#include "observer/agent.h"
#include "observer/api/api.h"
#include "observer/capture.h"
#include "observer/doctor/doctor.h"
#include "observer/evidence/evidence.h"
#include "observer/host.h"
#include "observer/keep/keep.h"
#include "observer/kubernetes/kubernetes.h"
#include "observer/lean.h"
#include "observer/log/epoch.h"
#include "observer/name/file.h"
#include "observer/options.h"
#include "observer/paths.h"
#include "observer/policy/file.h"
#include "observer/upstream/agent_names.h"
#include "observer/telemetry.h"
#include "rpc/server.h"

enum {
	DICT_ENTRIES = 1 << 20, /* distinct endpoints, services, nodes */
	SHUTDOWN_GRACE_S = 2,
	CLUSTER_MAX_BYTES = 200, /* of its name */
	SEAL_FLOWS = 65536,      /* a block of the store at most */
	PROVIDER_KUBERNETES = 0, /* slots in the name table */
	PROVIDER_FILE = 1,
	PROVIDER_CILIUM = 2,
};

/* Everything that lives as long as the process, torn down in reverse order. */
struct observer {
	struct obs_options o;
	char node_name[512]; /* "cluster/node" or "node" */
	char node[256];
	char tls_name[768]; /* "node.cluster.hubble-grpc.cilium.io" */
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
	struct epoch *epoch;
	char state[PATHS_BYTES];   /* the folder; "" if there is none */
	uint64_t first_seq;        /* number of the first record of this run */
	struct store *store;       /* NULL: no history */
	struct evidence *evidence; /* NULL: no history, nothing to prove */
	struct flow_log *log;
	struct agent *agent;
	struct cilium_part cilium;
	struct source *sources[8];
	size_t source_count;
	const struct source *replay; /* one of them; NULL: none */
	struct api *api;
	struct gate *gate;
	bool rpc_up;
	struct rpc_server *server;
	struct capture *capture;
	struct keep *keep;
	struct kubernetes *kubernetes; /* NULL: not asked for */
	struct telemetry *telemetry;   /* NULL: not asked for */
};

static void observer_done(struct observer *ob)
{
	telemetry_free(ob->telemetry);
	kubernetes_free(ob->kubernetes);
	rpc_server_free(ob->server, SHUTDOWN_GRACE_S * NS_PER_S);
	capture_free(ob->capture);
	for (size_t i = 0; i < ob->source_count; i++)
		source_free(ob->sources[i]); /* those that capture did not get to take */
	cilium_part_done(&ob->cilium);
	if (ob->rpc_up)
		rpc_shutdown();
	api_free(ob->api);
	gate_free(ob->gate);
	agent_names_free(ob->cilium_agent); /* tells the keeper, and is told by capture */
	keep_free(ob->keep);                /* after capture: it takes what the log still holds */
	evidence_free(ob->evidence);
	store_close(ob->store, wall_now());
	agent_free(ob->agent);
	flow_log_free(ob->log);
	epoch_free(ob->epoch);
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

/* Names of nodes and clusters may have dots; in a certificate's name each is one label, so that one
 * wildcard is good for all nodes of a cluster. */
static void put_label(struct buf *b, const char *name)
{
	for (; *name; name++)
		buf_char(b, *name == '.' ? '-' : *name);
}

/* The name that Hubble's relay, and ours, expect in the certificate. */
static void name_for_tls(struct observer *ob, const char *cluster)
{
	struct buf b = buf_fixed(ob->tls_name, sizeof ob->tls_name - 1);

	put_label(&b, ob->node);
	buf_char(&b, '.');
	put_label(&b, cluster);
	buf_lit(&b, ".hubble-grpc.cilium.io");
	ob->tls_name[b.len] = '\0';
}

static enum err_code name_the_node(struct observer *ob, struct err *e)
{
	if (ob->o.node_name && (!*ob->o.node_name || strlen(ob->o.node_name) >= sizeof ob->node))
		return err_set(e, ERR_INVALID, "--node-name: a name of 1 to %zu bytes is needed",
			       sizeof ob->node - 1);
	if (ob->o.node_name)
		(void)snprintf(ob->node, sizeof ob->node, "%s", ob->o.node_name);
	else
		host_name(ob->node, sizeof ob->node);
	if (ob->o.cluster && strlen(ob->o.cluster) > CLUSTER_MAX_BYTES)
		return err_set(e, ERR_INVALID, "--cluster: a name of at most %d bytes is needed",
			       CLUSTER_MAX_BYTES);
	if (strchr(ob->node, '/') || (ob->o.cluster && strchr(ob->o.cluster, '/')))
		return err_set(e, ERR_INVALID, "--node-name and --cluster must not contain '/'");
	/* A Go client gives up a stream that carries one string of other bytes. */
	if (!utf8_is_valid(str_of(ob->node)) ||
	    (ob->o.cluster && !utf8_is_valid(str_of(ob->o.cluster))))
		return err_set(e, ERR_INVALID, "--node-name and --cluster must be valid UTF-8");
	bool in_cluster = ob->o.cluster && *ob->o.cluster && strcmp(ob->o.cluster, "default") != 0;
	(void)snprintf(ob->node_name, sizeof ob->node_name, "%.*s%s%s", CLUSTER_MAX_BYTES,
		       in_cluster ? ob->o.cluster : "", in_cluster ? "/" : "", ob->node);
	name_for_tls(ob, in_cluster ? ob->o.cluster : "default");
	return ERR_OK;
}

static enum err_code open_names(struct observer *ob, struct err *e)
{
	enum err_code code = flow_dict_new(DICT_ENTRIES, &ob->dict, e);
	if (code != ERR_OK)
		return code;
	const struct name_config config = {
		.cluster = ob->o.cluster ? ob->o.cluster : "",
		.node = ob->node,
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

/* Where the numbers of this run begin. A folder that was asked for must work; without one, the
 * clock does. */
static enum err_code open_epoch(struct observer *ob, struct err *e)
{
	char usual[PATHS_BYTES];

	paths_default_state(usual);
	const char *dir = ob->o.state_dir ? ob->o.state_dir : usual;
	enum err_code code = paths_make_folder(dir, e);
	if (code == ERR_OK)
		code = epoch_open(dir, wall_now(), &ob->epoch, e);
	if (code == ERR_OK) {
		(void)snprintf(ob->state, sizeof ob->state, "%s", dir);
		ob->first_seq = epoch_first_seq(ob->epoch);
		return ERR_OK;
	}
	if (ob->o.state_dir || code == ERR_EXISTS || code == ERR_PARSE)
		return code;
	log_warn("no folder to keep state in; flows are numbered by the clock", "err=%s",
		 LOG_QUOTE(e->msg));
	ob->first_seq = epoch_from_clock(wall_now());
	return ERR_OK;
}

/* History. As with the epoch: what was asked for must work; so must what others hold, or have
 * written with a newer program. Otherwise the observer observes without. */
static enum err_code open_store(struct observer *ob, struct err *e)
{
	const char *dir = ob->o.store_dir ? ob->o.store_dir : ob->state;
	struct store_config config = ob->o.store;

	if (ob->o.store_off || !*dir)
		return ERR_OK;
	config.dir = dir;
	config.dict = ob->dict;
	config.node = ob->node_name;
	config.version = TYCHO_VERSION;
	/* Half of the log at most, so that what is not sealed yet can still be read there. */
	config.seal_flows =
		ob->o.ring_capacity / 2 < SEAL_FLOWS ? ob->o.ring_capacity / 2 : SEAL_FLOWS;
	config.seal_flows = config.seal_flows ? config.seal_flows : 1;
	enum err_code code = ob->o.store_dir ? paths_make_folder(dir, e) : ERR_OK;
	if (code == ERR_OK)
		code = store_open(&config, wall_now(), ob->first_seq, &ob->store, e);
	if (code == ERR_OK) {
		/* A store that was kept without its state directory may be ahead of it. */
		if (store_taken(ob->store) > ob->first_seq)
			ob->first_seq = store_taken(ob->store);
		return ERR_OK;
	}
	if (ob->o.store_dir || code == ERR_EXISTS || code == ERR_UNSUPPORTED)
		return err_in(e, "%s", "history");
	log_warn("no history is kept", "err=%s", LOG_QUOTE(e->msg));
	return ERR_OK;
}

static enum err_code open_log(struct observer *ob, struct err *e)
{
	const struct flow_log_config config = { .capacity = ob->o.ring_capacity,
						.first_seq = ob->first_seq };

	return flow_log_new(&config, &ob->log, e);
}

/* On a node that runs Cilium, its datapath says everything already; our own programs would say it
 * again. */
static enum err_code open_cilium(struct observer *ob, struct err *e)
{
	struct cilium_options *o = &ob->o.cilium;
	size_t count;

	if (ob->o.bpf && ob->o.bpf_by_default && cilium_part_has_socket(o)) {
		log_info("cilium's monitor socket is there: reading it instead of loading kernel "
			 "programs; --source bpf would",
			 "path=%s", MONITOR_DEFAULT_PATH);
		ob->o.bpf = false;
		o->monitor = true;
	}
	enum err_code code = cilium_part_open(&ob->cilium, o, ob->dict, ob->names,
					      &ob->sources[ob->source_count], &count, e);
	ob->source_count += count;
	return code;
}

static enum err_code open_sources(struct observer *ob, struct err *e)
{
	enum err_code code = agent_new(&ob->agent, &ob->sources[0], e);
	if (code != ERR_OK)
		return code;
	ob->source_count = 1;
	code = open_cilium(ob, e);
	if (code != ERR_OK)
		return code;
	if (ob->o.bpf) {
		code = source_bpf_new(&ob->o.bpf_config, &ob->sources[ob->source_count], e);
		if (code != ERR_OK)
			return code;
		ob->source_count++;
	}
	if (ob->o.nflog.group_count) {
		code = source_nflog_new(&ob->o.nflog, &ob->sources[ob->source_count], e);
		if (code != ERR_OK)
			return code;
		ob->source_count++;
	}
	if (ob->o.kernel_log) {
		const struct source_kernel_log_config config = { ob->o.kernel_log,
								 ob->o.nflog.pattern,
								 ob->o.nflog.otherwise };
		code = source_kernel_log_new(&config, &ob->sources[ob->source_count], e);
		if (code != ERR_OK)
			return code;
		ob->source_count++;
	}
	if (ob->o.replay.path) {
		code = source_replay_new(&ob->o.replay, &ob->sources[ob->source_count], e);
		if (code != ERR_OK)
			return code;
		ob->replay = ob->sources[ob->source_count++];
	}
	return ERR_OK;
}

/* It asks the store where it was, and the server for what has happened since. */
static enum err_code open_upstream(struct observer *ob, struct err *e)
{
	struct source_hubble_config config = ob->o.hubble;

	if (!config.address)
		return ERR_OK;
	config.store = ob->store;
	config.dict = ob->dict;
	enum err_code code = source_hubble_new(&config, &ob->sources[ob->source_count], e);
	ob->source_count += code == ERR_OK;
	return code;
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
		.node_name = ob->node_name,
		.address = has_network ? o->listen[network] : "",
		.tls_server_name = o->tls.cert_file && has_network ? ob->tls_name : NULL,
		.started = mono_now(),
		.store = ob->store,
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
	methods[api_count] = evidence_method(ob->evidence);
	config.methods = methods;
	config.method_count = api_count + 1;
	code = rpc_server_new(&config, &ob->server, e);
	if (code == ERR_OK && has_network)
		api_set_port(ob->api, rpc_server_port(ob->server, network));
	return code;
}

/* The store's key, its checkpoints, its exports. */
static enum err_code open_evidence(struct observer *ob, struct err *e)
{
	char key[PATHS_BYTES + 16];

	if (!ob->store) {
		if (ob->o.checkpoint_to_count)
			return err_set(e, ERR_INVALID,
				       "--checkpoint-to: there are no checkpoints without a store");
		return ERR_OK;
	}
	(void)snprintf(key, sizeof key, "%s/evidence.key",
		       ob->o.store_dir ? ob->o.store_dir : ob->state);
	const struct evidence_config config = {
		.store = ob->store,
		.dict = ob->dict,
		.node = ob->node_name,
		.version = "tycho " TYCHO_VERSION,
		.key_file = ob->o.evidence_key ? ob->o.evidence_key : key,
		.targets = ob->o.checkpoint_to,
		.target_count = ob->o.checkpoint_to_count,
		.tls = ob->o.checkpoint_tls,
	};
	return evidence_new(&config, &ob->evidence, e);
}

static enum err_code note_policy(void *ctx, const json_t *object, struct err *e)
{
	return keep_policies_add(ctx, object, STR(POLICY_ORIGIN_FILES), e);
}

/* What the policies in force say goes into history, too. Beside Kubernetes its thread sees to it.
 */
static void keep_policies(struct observer *ob)
{
	struct keep_policies *policies;
	struct err e;

	if (!ob->keep || !ob->policy_file || ob->o.kubernetes)
		return;
	enum err_code code = keep_policies_new(&policies, &e);
	if (code == ERR_OK) {
		code = policy_file_each(ob->policy_file, note_policy, policies, &e);
		if (code == ERR_OK)
			keep_take_policies(ob->keep, policies);
		else
			keep_policies_free(policies);
	}
	if (code != ERR_OK)
		log_warn("policies are not kept", "err=%s", LOG_QUOTE(e.msg));
}

static enum err_code start_keeper(struct observer *ob, struct err *e)
{
	const struct keep_config config = { .log = ob->log,
					    .dict = ob->dict,
					    .store = ob->store,
					    .checkpoints = evidence_checkpoints(ob->evidence),
					    .agent = ob->agent,
					    .seal_ns = ob->o.store.seal_ns };

	enum err_code code = ob->store ? keep_new(&config, &ob->keep, e) : ERR_OK;
	if (code == ERR_OK)
		keep_policies(ob);
	return code;
}

/* On the thread of the agent's names. */
static void keep_rules(void *ctx, const json_t *answer)
{
	struct observer *ob = ctx;
	struct keep_policies *policies;
	struct err e;

	if (keep_policies_of_agent(answer, &policies, &e) == ERR_OK)
		keep_take_policies(ob->keep, policies);
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
						   .on_rules = ob->keep ? keep_rules : NULL,
						   .ctx = ob };
	return code == ERR_OK ? agent_names_new(&config, &ob->cilium_agent, e) : code;
}

static enum err_code start_capture(struct observer *ob, struct err *e)
{
	ob->ended_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (ob->ended_fd < 0)
		return err_os(e, "eventfd");
	const struct capture_config config = {
		.sources = ob->sources,
		.source_count = ob->source_count,
		.log = ob->log,
		.dict = ob->dict,
		.names = ob->names,
		.cilium = ob->cilium.decoder,
		.agent_policies = ob->agent_policies,
		.agent = ob->cilium_agent,
		.ended_fd = ob->ended_fd,
		.policies = ob->policies,
	};
	enum err_code code = capture_new(&config, &ob->capture, e);
	if (code == ERR_OK)
		ob->source_count = 0;
	return code;
}

/* Names come when the API server has answered; nobody waits for them. */
static enum err_code open_kubernetes(struct observer *ob, struct err *e)
{
	const struct kubernetes_config config = {
		.kubeconfig = ob->o.kubeconfig,
		.context = ob->o.kube_context,
		.cluster = ob->o.cluster ? ob->o.cluster : "",
		.node = ob->node,
		.who = PROVIDER_KUBERNETES,
		.names = ob->names,
		.policies = ob->policies,
		.meaning = &ob->policy_config,
		.files = ob->policy_file,
		.keep = ob->keep,
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
}

static enum err_code open_telemetry(struct observer *ob, struct err *e)
{
	if (!ob->o.serve.metrics_listen)
		return ERR_OK;
	const struct telemetry_config config = {
		.options = &ob->o,
		.log = ob->log,
		.dict = ob->dict,
		.names = ob->names,
		.api = ob->api,
		.capture = ob->capture,
		.server = ob->server,
		.store = ob->store,
		.evidence = ob->evidence,
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
		agent_tell(ob->agent, "endpoints-reloaded", "{}");
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
		agent_tell(ob->agent, "policies-reloaded", "{}");
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
	uint64_t bad = source_replay_bad_lines(ob->replay);

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
		take_signals,  name_the_node,  open_names,   open_policies,     open_epoch,
		open_sources,  open_store,     open_log,     start_rpc,         open_upstream,
		open_evidence, open_server,    start_keeper, open_cilium_agent, open_kubernetes,
		start_capture, open_telemetry,
	};

	for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
		enum err_code code = steps[i](ob, e);
		if (code != ERR_OK)
			return code;
	}
	agent_tell_started(ob->agent, wall_now());
	evidence_announce(ob->evidence);
	lean_heap();
	lean_image();
	serve_tell_ready(&ob->o.serve, &ob->o.common, "observing", ob->node_name, ob->server,
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
	unsigned failed = doctor_examine(&ob->o, ob->node, strcmp(ob->o.doctor, "json") == 0);
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
