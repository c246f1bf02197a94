#include "observer/options.h"

#include "base/time.h"
#include "config.h"
#include "observer/upstream/agent_names.h"

#define MINUTE_NS (60 * NS_PER_S)

/* ---- values that no kind of row reads */

/* In the order of enum source_bit. */
static const char *const source_names[] = { "bpf",       "nflog",          "replay",
					    "hubble",    "cilium-monitor", "cilium-perf",
					    "kernel-log" };
enum source_bit {
	SOURCE_BPF = 1,
	SOURCE_NFLOG = 2,
	SOURCE_REPLAY = 4,
	SOURCE_HUBBLE = 8,
	SOURCE_CILIUM_MONITOR = 16,
	SOURCE_CILIUM_PERF = 32,
	SOURCE_KERNEL_LOG = 64,
};

static enum err_code take_source(const struct opt_row *row, void *options, const char *value,
				 struct err *e)
{
	struct obs_options *o = options;

	for (size_t i = 0; i < ARRAY_LEN(source_names); i++)
		if (strcmp(value, source_names[i]) == 0) {
			o->sources |= 1U << i;
			return ERR_OK;
		}
	return opt_bad(row, value,
		       "bpf, nflog, kernel-log, replay, hubble, cilium-monitor or cilium-perf", e);
}

static enum err_code take_drops_everywhere(const struct opt_row *row, void *options,
					   const char *value, struct err *e)
{
	struct obs_options *o = options;

	(void)row;
	(void)value;
	(void)e;
	o->bpf_config.drop_scope = BPF_SCOPE_MACHINE;
	return ERR_OK;
}

static enum err_code take_nflog_group(const struct opt_row *row, void *options, const char *value,
				      struct err *e)
{
	struct obs_options *o = options;

	if (o->nflog.group_count == OPTIONS_LIST)
		return err_set(e, ERR_INVALID, "--%s is given more than %d times", row->name,
			       OPTIONS_LIST);
	if (!parse_u16(str_of(value), &o->nflog_groups[o->nflog.group_count]))
		return opt_bad(row, value, "a group number from 0 to 65535", e);
	o->nflog.group_count++;
	return ERR_OK;
}

static enum err_code take_speed(const struct opt_row *row, void *options, const char *value,
				struct err *e)
{
	struct obs_options *o = options;
	char *end;
	double speed = strtod(value, &end);

	if (end == value || *end || !(speed >= 0 && speed <= 1e9))
		return opt_bad(row, value, "a factor such as 1, 2.5 or 0", e);
	o->replay.speed = speed;
	return ERR_OK;
}

static enum err_code take_label(const struct opt_row *row, void *options, const char *value,
				struct err *e)
{
	if (!strchr(value, '='))
		return opt_bad(row, value, "KEY=VALUE", e);
	return opt_take_list(row, options, value, e);
}

/* What is no header's name would silently redact nothing. */
static enum err_code take_headers(const struct opt_row *row, void *options, const char *value,
				  struct err *e)
{
	if (!redact_are_headers(str_of(value)))
		return opt_bad(row, value, "names of HTTP headers, with commas between", e);
	return opt_take_list(row, options, value, e);
}

static enum err_code take_meaning(const struct opt_row *row, void *options, const char *value,
				  struct err *e)
{
	struct obs_options *o = options;

	return policy_meaning_parse(str_of(value), &o->policy_meaning)
		       ? ERR_OK
		       : opt_bad(row, value, "cilium or kubernetes", e);
}

static enum err_code take_reasons(const struct opt_row *row, void *options, const char *value,
				  struct err *e)
{
	struct obs_options *o = options;

	return drop_wanted_reasons(&o->drop_events, str_of(value), e) == ERR_OK
		       ? ERR_OK
		       : err_in(e, "--%s", row->name);
}

static enum err_code take_store(const struct opt_row *row, void *options, const char *value,
				struct err *e)
{
	struct obs_options *o = options;

	o->store_off = strcmp(value, "off") == 0;
	o->store_dir = o->store_off ? NULL : value;
	return *value ? ERR_OK : opt_bad(row, value, "a folder, or off", e);
}

static const char *const nflog_words[] = { [NFLOG_OTHERWISE_AUDIT] = "audit",
					   [NFLOG_OTHERWISE_ALLOW] = "allow",
					   [NFLOG_OTHERWISE_DENY] = "deny",
					   NULL };
static const char *const release_words[] = { [CILIUM_RELEASE_AUTO] = "auto",
					     [CILIUM_RELEASE_1_18] = "1.18",
					     [CILIUM_RELEASE_1_19] = "1.19",
					     NULL };

/* ---- the options */

static const struct opt_row source_rows[] = {
	{ "drops-everywhere", NULL,
	  "report drops of all network namespaces of the machine, also from "
	  "inside one (default: there only this node's)",
	  OPT_OWN(take_drops_everywhere) },
	{ "interface", "NAME",
	  "interface to watch, or a glob such as 'veth*'; '!' excludes; "
	  "repeatable (default: those with a peer in another namespace or a route"
	  " out)",
	  OPT_LIST(struct obs_options, interfaces, bpf_config.interface_count) },
	{ "interval", "TIME", "how often a connection that goes on is reported (default 5s)",
	  OPT_DURATION(struct obs_options, bpf_config.interval_ns), .min = 100 * NS_PER_MS,
	  .max = 3600 * NS_PER_S, .want = "a time from 100ms to 1h, such as 5s" },
	{ "kernel-log", "PATH",
	  "read verdicts from what LOG rules write into the kernel's log: a device, usually "
	  "/dev/kmsg, or a pipe",
	  OPT_TEXT(struct obs_options, kernel_log) },
	{ "nflog-default", "VERDICT",
	  "verdict of packets whose log prefix tells none: allow, deny or audit "
	  "(default audit)",
	  OPT_WORD(struct obs_options, nflog.otherwise, nflog_words),
	  .want = "allow, deny or audit" },
	{ "nflog-group", "N", "netfilter log group to read policy verdicts from; repeatable",
	  OPT_OWN(take_nflog_group) },
	{ "nflog-pattern", "REGEX",
	  "how to read a log prefix: named groups verdict, direction, policy "
	  "(default form tycho:<allow|deny|audit>:<ingress|egress>:<policy>)",
	  OPT_TEXT(struct obs_options, nflog.pattern) },
	{ "no-bpf", NULL, "load no kernel programs", OPT_UNSET(struct obs_options, bpf) },
	{ "noise", NULL, "also report kernel drop reasons that are part of normal operation",
	  OPT_FLAG(struct obs_options, bpf_config.noise) },
	{ "replay", "FILE", "read flows from Hubble JSON lines; '-' is standard input",
	  OPT_TEXT(struct obs_options, replay.path) },
	{ "replay-keep-time", NULL, "keep the recorded times instead of stamping flows anew",
	  OPT_FLAG(struct obs_options, replay.keep_time) },
	{ "replay-repeat", "N", "read the file N times (default 1)",
	  OPT_NUMBER(struct obs_options, replay.repeat), .min = 1, .want = "a number from 1 up" },
	{ "replay-speed", "X", "1 as recorded, 2 twice as fast, 0 as fast as possible (default 0)",
	  OPT_OWN(take_speed) },
	{ "source", "NAME",
	  "observe by this source, and none that is not named: bpf, nflog, "
	  "kernel-log, replay, hubble, cilium-monitor, cilium-perf; repeatable (default: "
	  "cilium-monitor if its socket is there, else bpf; and those that other "
	  "options ask for)",
	  OPT_OWN(take_source) },
};

static const struct opt_row cilium_rows[] = {
	{ "cilium-agent", "PATH",
	  "take names and policies from the Cilium agent that answers on this "
	  "socket; 'none': from none (default where Cilium's events are "
	  "read: " AGENT_NAMES_DEFAULT_PATH ")",
	  OPT_TEXT(struct obs_options, cilium_agent), .want = "the path of a socket, or none" },
	{ "cilium-map", "PATH",
	  "Cilium's pinned perf event array, for --source cilium-perf (default " PERF_DEFAULT_PATH
	  ", or below /run/cilium/bpffs)",
	  OPT_TEXT(struct obs_options, cilium.map_path) },
	{ "cilium-monitor", "PATH",
	  "read this monitor socket of a Cilium agent (default for --source "
	  "cilium-monitor: " MONITOR_DEFAULT_PATH ")",
	  OPT_TEXT(struct obs_options, cilium.monitor_path) },
	{ "cilium-release", "RELEASE",
	  "layout of policy verdicts and socket traces: 1.18 (and before), 1.19 "
	  "or auto (default auto: by the versions of other events)",
	  OPT_WORD(struct obs_options, cilium.release, release_words),
	  .want = "1.18, 1.19 or auto" },
	{ "cilium-take-events", NULL,
	  "let --source cilium-perf take the events away from Cilium's agent, "
	  "whose Hubble then sees none",
	  OPT_FLAG(struct obs_options, cilium.take_events) },
	{ "hubble-ca-file", "FILE",
	  "believe the Hubble server if signed by this (PEM), implies "
	  "--hubble-tls; repeatable",
	  OPT_LIST(struct obs_options, hubble_ca_files, hubble_tls.ca_file_count) },
	{ "hubble-cert-file", "FILE", "our certificate chain (PEM) towards the Hubble server",
	  OPT_TEXT(struct obs_options, hubble_tls.cert_file) },
	{ "hubble-history", "TIME",
	  "how far back the Hubble server is asked at first (default 1h; 0: only "
	  "what comes)",
	  OPT_DURATION(struct obs_options, hubble.history_ns), .want = "a time such as 1h, or 0" },
	{ "hubble-key-file", "FILE", "private key (PEM) of --hubble-cert-file",
	  OPT_TEXT(struct obs_options, hubble_tls.key_file) },
	{ "hubble-server", "ADDRESS",
	  "follow the flows of this Hubble server: agent, relay or Tycho "
	  "(--source hubble: default unix:///var/run/cilium/hubble.sock)",
	  OPT_TEXT(struct obs_options, hubble.address) },
	{ "hubble-tls", NULL,
	  "TLS to the Hubble server; without --hubble-ca-file, the system's CAs "
	  "are believed",
	  OPT_FLAG(struct obs_options, hubble_has_tls) },
	{ "hubble-tls-name", "NAME",
	  "name to expect in the Hubble server's certificate (default: its host),"
	  " implies --hubble-tls",
	  OPT_TEXT(struct obs_options, hubble_tls.server_name) },
	{ "redact-enabled", NULL,
	  "redact L7 records of Cilium: values of HTTP headers, and what the "
	  "other --redact options say",
	  OPT_FLAG(struct obs_options, cilium.redact.enabled) },
	{ "redact-http-headers-allow", "NAMES",
	  "headers whose values stay, no others' do (a,b); repeatable",
	  OPT_LIST_OF(take_headers, struct obs_options, cilium.headers_allow,
		      cilium.redact.allow_count) },
	{ "redact-http-headers-deny", "NAMES",
	  "headers whose values are redacted, no others' are (a,b); repeatable",
	  OPT_LIST_OF(take_headers, struct obs_options, cilium.headers_deny,
		      cilium.redact.deny_count) },
	{ "redact-http-urlquery", NULL, "cut off the query and fragment of URLs",
	  OPT_FLAG(struct obs_options, cilium.redact.http_urlquery) },
	{ "redact-http-userinfo", "BOOL", "redact the password in URLs (default true)",
	  OPT_BOOL(struct obs_options, cilium.redact.http_userinfo) },
	{ "redact-kafka-apikey", NULL, "redact Kafka's API keys",
	  OPT_FLAG(struct obs_options, cilium.redact.kafka_apikey) },
};

static const struct opt_row name_rows[] = {
	{ "cluster", "NAME", "cluster this node belongs to (default: none)",
	  OPT_TEXT(struct obs_options, cluster) },
	{ "endpoints", "FILE", "YAML file that names addresses; reread when it changes",
	  OPT_TEXT(struct obs_options, endpoints) },
	{ "kube-context", "NAME", "context of --kubeconfig (default: its current one)",
	  OPT_TEXT(struct obs_options, kube_context) },
	{ "kubeconfig", "FILE",
	  "how to reach the API server of --kubernetes (default: as the pod that "
	  "this runs in)",
	  OPT_TEXT(struct obs_options, kubeconfig) },
	{ "kubernetes", NULL, "take names and policies from Kubernetes' API server",
	  OPT_FLAG(struct obs_options, kubernetes) },
	{ "node-label", "KEY=VALUE", "label of this node; repeatable",
	  OPT_LIST_OF(take_label, struct obs_options, node_labels, node_label_count) },
	{ "node-name", "NAME", "name of this node (default: host name)",
	  OPT_TEXT(struct obs_options, node_name) },
	{ "policies", "PATH",
	  "network policies in force, for naming them in drops and verdicts: a "
	  "file or folder of Kubernetes objects; reread when it changes",
	  OPT_TEXT(struct obs_options, policies) },
	{ "policy-meaning", "WHOSE",
	  "what a NetworkPolicy means: cilium, or kubernetes for other CNIs "
	  "(default cilium)",
	  OPT_OWN(take_meaning) },
};

static const struct opt_row event_rows[] = {
	{ "drop-events", NULL,
	  "tell drops of this node's pods as events of Kubernetes, which 'kubectl describe pod' "
	  "shows",
	  OPT_FLAG(struct obs_options, drop_events.on) },
	{ "drop-events-extended", NULL, "name policies in these events, too",
	  OPT_FLAG(struct obs_options, drop_events.extended) },
	{ "drop-events-interval", "TIME",
	  "tell the same of one pod only once in this time; 0: each time (default 2m)",
	  OPT_DURATION(struct obs_options, drop_events.interval_ns), .min = NS_PER_S,
	  .max = 86400 * NS_PER_S, .or_zero = true, .want = "a time from 1s to 24h, or 0" },
	{ "drop-events-rate-limit", "N", "events a second at most; 0: without limit (default 1)",
	  OPT_NUMBER(struct obs_options, drop_events.rate), .max = DROP_RATE_MAX,
	  .want = "a number from 0 to 1000" },
	{ "drop-events-reasons", "LIST",
	  "which drops, by their reasons (default auth_required,policy_denied)",
	  OPT_OWN(take_reasons) },
};

static const struct opt_row record_rows[] = {
	{ "checkpoint-ca-file", "FILE",
	  "believe https and TLS targets of --checkpoint-to if signed by this (PEM) "
	  "(default: the system's CAs)",
	  OPT_TEXT(struct obs_options, checkpoint_tls.ca_file) },
	{ "checkpoint-cert-file", "FILE", "our certificate (PEM), for targets that ask for one",
	  OPT_TEXT(struct obs_options, checkpoint_tls.cert_file) },
	{ "checkpoint-key-file", "FILE", "its private key (PEM)",
	  OPT_TEXT(struct obs_options, checkpoint_tls.key_file) },
	{ "checkpoint-to", "TARGET",
	  "send each signed checkpoint there at once: file:/path, syslog, "
	  "syslog:/path, syslog+tls://host:port, syslog+tcp://host:port, "
	  "syslog+udp://host:port, http://… or https://…; repeatable",
	  OPT_LIST(struct obs_options, checkpoint_to, checkpoint_to_count) },
	{ "evidence-key", "FILE",
	  "Ed25519 key (PEM) that signs the record; made if it is not there "
	  "(default: evidence.key beside the store)",
	  OPT_TEXT(struct obs_options, evidence_key) },
	{ "retention", "TIME",
	  "how long flows are kept, such as 36h or 30d; 0: without limit (default"
	  " 7d)",
	  OPT_DURATION(struct obs_options, store.retention_ns), .min = MINUTE_NS, .or_zero = true,
	  .want = "a time from 1m on, such as 36h or 30d, or 0" },
	{ "retention-edges", "TIME",
	  "how long the service map by the minute is kept (default 400d)",
	  OPT_DURATION(struct obs_options, store.edges_retention_ns), .min = 60 * MINUTE_NS,
	  .want = "a time from 1h on, such as 90d" },
	{ "retention-size", "SIZE",
	  "how large the store may grow, such as 500M or 2T; 0: without limit "
	  "(default 10G)",
	  OPT_SIZE(struct obs_options, store.retention_bytes), .min = UINT64_C(16) << 20,
	  .or_zero = true, .want = "a size from 16M on, such as 500M or 2T, or 0" },
	{ "ring-capacity", "N", "flows kept in memory: 2^k - 1 (default 65535)",
	  OPT_NUMBER(struct obs_options, ring_capacity), .want = "a number of flows, 2^k - 1" },
	{ "seal-period", "TIME",
	  "what a crash may lose: flows are sealed into the store this often "
	  "(default 1s)",
	  OPT_DURATION(struct obs_options, store.seal_ns), .min = 100 * NS_PER_MS, .max = MINUTE_NS,
	  .want = "a time from 100ms to 1m, such as 1s" },
	{ "state-dir", "DIR",
	  "what must survive a restart (default /var/lib/tycho, or "
	  "$XDG_STATE_HOME/tycho when not root)",
	  OPT_TEXT(struct obs_options, state_dir) },
	{ "store", "DIR|off", "where flows are kept (default: the state directory)",
	  OPT_OWN(take_store) },
};

static const struct opt_row metrics_rows[] = {
	{ "metrics", "LIST",
	  "Hubble's metrics to count, with their options, such as 'flow "
	  "drop:labelsContext=source_namespace'",
	  OPT_TEXT(struct obs_options, metrics) },
	{ "metrics-config", "FILE",
	  "YAML file of Hubble's metrics, instead of --metrics; reread when it "
	  "changes",
	  OPT_TEXT(struct obs_options, metrics_config) },
	{ "metrics-listen", "ADDRESS",
	  "host:port to answer /metrics, /healthz and /readyz on (default with "
	  "--metrics and --metrics-config: 127.0.0.1:9965; otherwise none)",
	  OPT_TEXT(struct obs_options, serve.metrics_listen) },
	{ "metrics-series", "N",
	  "most series of Hubble's metrics at a time; the least active fold into "
	  "others (default 20000)",
	  OPT_NUMBER(struct obs_options, metrics_series), .min = 64, .max = 1000000,
	  .want = "a number of series from 64 to 1000000" },
};

static const struct opt_row export_rows[] = {
	{ "export-aggregation-interval", "TIME",
	  "how often the groups of --export-fieldaggregate are written, such as 30s",
	  OPT_DURATION(struct obs_options, exports.interval_ns), .min = EXPORT_INTERVAL_MIN_NS,
	  .or_zero = true, .want = "a time from 100ms on, such as 30s, or 0" },
	{ "export-allowlist", "FILTERS",
	  "export only what passes one of these flow filters: JSON objects, one behind the other; "
	  "repeatable",
	  OPT_LIST(struct obs_options, exports.allow, exports.allow_count) },
	{ "export-denylist", "FILTERS",
	  "export nothing that passes one of these flow filters; repeatable",
	  OPT_LIST(struct obs_options, exports.deny, exports.deny_count) },
	{ "export-fieldaggregate", "FIELDS",
	  "count flows that are equal in these fields instead of writing each, such as "
	  "source.namespace,destination.namespace",
	  OPT_TEXT(struct obs_options, exports.aggregate) },
	{ "export-fieldmask", "FIELDS",
	  "write only these fields of flows, such as time,source.pod_name,verdict (default all)",
	  OPT_TEXT(struct obs_options, exports.mask) },
	{ "export-file-compress", NULL, "pack full files with gzip",
	  OPT_FLAG(struct obs_options, exports.compress) },
	{ "export-file-max-backups", "N", "full files that are kept (default 5)",
	  OPT_NUMBER(struct obs_options, exports.max_backups), .min = 1, .max = EXPORT_MAX_BACKUPS,
	  .want = "a number of files from 1 to 10000" },
	{ "export-file-max-size-mb", "N",
	  "how large the file may grow, in MiB, before another is begun (default 10)",
	  OPT_NUMBER(struct obs_options, exports.max_size_mb), .min = 1, .max = EXPORT_MAX_SIZE_MB,
	  .want = "a number of MiB from 1 to 1048576" },
	{ "export-file-path", "FILE|stdout",
	  "write flows there, as JSON lines, as they come (default: nowhere)",
	  OPT_TEXT(struct obs_options, exports.path) },
	{ "flowlogs-config-path", "FILE",
	  "YAML file of further exporters, as Hubble reads it; reread when it changes",
	  OPT_TEXT(struct obs_options, exports.config) },
};

static const struct opt_row answer_rows[] = {
	{ "listen", "ADDRESS",
	  "where to answer: unix:///path or host:port; repeatable (default "
	  "unix:///run/tycho/observer.sock)",
	  OPT_LIST(struct obs_options, serve.listen, serve.listen_count) },
	{ "stall-timeout", "TIME",
	  "cut off a client that takes no message for so long (default 30s)",
	  OPT_DURATION(struct obs_options, stall_timeout_ns), .min = 100 * NS_PER_MS,
	  .max = 3600 * NS_PER_S, .want = "a time from 100ms to 1h, such as 30s" },
};

static const struct opt_row program_rows[] = {
	{ "doctor", "FORMAT",
	  "say whether an observer with these options can work here, and end: compact or json",
	  OPT_TEXT(struct obs_options, doctor) },
};

static const struct opt_row ship_rows[] = {
	{ "clickhouse-period", "TIME",
	  "flows are shipped to --clickhouse this often, and when 65,536 wait (default 10s)",
	  OPT_DURATION(struct obs_options, clickhouse_period_ns), .min = NS_PER_S,
	  .max = 60 * MINUTE_NS, .want = "a time from 1s to 1h, such as 10s" },
};

static const struct opt_group groups[] = {
	{ "What is watched", source_rows, ARRAY_LEN(source_rows), 0 },
	{ "Cilium and Hubble", cilium_rows, ARRAY_LEN(cilium_rows), 0 },
	{ "Names and policies", name_rows, ARRAY_LEN(name_rows), 0 },
	{ "Drops as events of Kubernetes", event_rows, ARRAY_LEN(event_rows), 0 },
	{ "The record", record_rows, ARRAY_LEN(record_rows), 0 },
	CLICKHOUSE_GROUP(struct obs_options, clickhouse),
	{ CLICKHOUSE_TITLE, ship_rows, ARRAY_LEN(ship_rows), 0 },
	{ "Export", export_rows, ARRAY_LEN(export_rows), 0 },
	{ "Answers", answer_rows, ARRAY_LEN(answer_rows), 0 },
	SERVE_GROUP(struct obs_options, serve),
	{ "Metrics", metrics_rows, ARRAY_LEN(metrics_rows), 0 },
	SERVE_METRICS_GROUP(struct obs_options, serve),
	{ OPT_COMMON_TITLE, program_rows, ARRAY_LEN(program_rows), 0 },
	OPT_COMMON_GROUP(struct obs_options, common),
};

const struct opt_program obs_program = {
	"tycho-observer", TYCHO_VERSION,
	"tycho-observer watches the flows of this node and answers for them.", groups,
	ARRAY_LEN(groups)
};

/* ---- what belongs together */

/* What --source names is observed; what it does not must not have been asked for otherwise. */
static enum err_code choose_sources(struct obs_options *o, struct err *e)
{
	const struct source_bpf_config *bpf = &o->bpf_config;
	if (!o->sources) {
		o->cilium.monitor = o->cilium.monitor_path;
		o->bpf_by_default = o->bpf && !bpf->interface_count && !bpf->interval_ns &&
				    !bpf->noise && !bpf->drop_scope;
		o->bpf = o->bpf && !(o->cilium.monitor && o->bpf_by_default);
		return ERR_OK;
	}
	o->cilium.monitor = o->sources & SOURCE_CILIUM_MONITOR;
	o->cilium.perf = o->sources & SOURCE_CILIUM_PERF;
	if (o->sources & SOURCE_HUBBLE && !o->hubble.address)
		o->hubble.address = "unix:///var/run/cilium/hubble.sock";
	if (o->sources & SOURCE_KERNEL_LOG && !o->kernel_log)
		o->kernel_log = KERNEL_LOG_DEFAULT_PATH;
	if (o->sources & SOURCE_BPF && !o->bpf)
		return err_set(e, ERR_INVALID, "--no-bpf contradicts --source bpf");
	o->bpf = o->sources & SOURCE_BPF;
	const struct {
		enum source_bit bit;
		bool is_asked;
		const char *option, *source;
	} others[] = {
		{ SOURCE_NFLOG, o->nflog.group_count > 0, "nflog-group", "nflog" },
		{ SOURCE_KERNEL_LOG, o->kernel_log != NULL, "kernel-log", "kernel-log" },
		{ SOURCE_REPLAY, o->replay.path != NULL, "replay", "replay" },
		{ SOURCE_HUBBLE, o->hubble.address != NULL, "hubble-server", "hubble" },
		{ SOURCE_CILIUM_MONITOR, o->cilium.monitor_path || o->cilium.monitor,
		  "cilium-monitor", "cilium-monitor" },
	};
	for (size_t i = 0; i < ARRAY_LEN(others); i++) {
		bool is_named = o->sources & others[i].bit;
		if (is_named && !others[i].is_asked)
			return err_set(e, ERR_INVALID, "--source %s needs --%s", others[i].source,
				       others[i].option);
		if (!is_named && others[i].is_asked)
			return err_set(e, ERR_INVALID,
				       "--%s needs --source %s, now that --source "
				       "is given",
				       others[i].option, others[i].source);
	}
	return ERR_OK;
}

static enum err_code check_cilium(const struct obs_options *o, struct err *e)
{
	const struct cilium_options *c = &o->cilium;

	if (c->perf && !c->take_events)
		return err_set(e, ERR_INVALID,
			       "--source cilium-perf takes all events away from Cilium's agent: "
			       "its Hubble and cilium monitor fall silent, and stay so until Tycho "
			       "has ended and the agent is restarted. If that is meant, add "
			       "--cilium-take-events; --source cilium-monitor reads the same "
			       "events and disturbs nobody");
	if (c->redact.allow_count && c->redact.deny_count)
		return err_set(e, ERR_INVALID,
			       "--redact-http-headers-allow and --redact-http-headers-deny exclude "
			       "each other");
	if (!c->redact.enabled &&
	    (c->redact.allow_count || c->redact.deny_count || c->redact.http_urlquery ||
	     c->redact.kafka_apikey || !c->redact.http_userinfo))
		return err_set(e, ERR_INVALID, "the --redact options need --redact-enabled");
	return ERR_OK;
}

static enum err_code check_doctor(const struct obs_options *o, struct err *e)
{
	if (o->doctor && strcmp(o->doctor, "compact") != 0 && strcmp(o->doctor, "json") != 0)
		return err_set(e, ERR_INVALID, "--doctor takes compact or json");
	return ERR_OK;
}

static enum err_code check_metrics(struct obs_options *o, struct err *e)
{
	if (o->metrics && o->metrics_config)
		return err_set(e, ERR_INVALID, "--metrics and --metrics-config exclude each other");
	if (!o->serve.metrics_listen && (o->metrics || o->metrics_config))
		o->serve.metrics_listen = "127.0.0.1:9965";
	return serve_check(&o->serve, e);
}

static enum err_code check_sources(const struct obs_options *o, struct err *e)
{
	bool reads_prefixes = o->nflog.group_count || o->kernel_log;

	if (o->replay.repeat > 1 && o->replay.path && strcmp(o->replay.path, "-") == 0)
		return err_set(e, ERR_INVALID,
			       "--replay-repeat: standard input can be read only once");
	if (!o->doctor && !o->bpf && !reads_prefixes && !o->replay.path && !o->hubble.address &&
	    !o->cilium.monitor && !o->cilium.perf)
		return err_set(e, ERR_INVALID,
			       "--no-bpf leaves nothing to observe; add --nflog-group, --replay, "
			       "--hubble-server or --cilium-monitor");
	return ERR_OK;
}

/* Nothing that is asked for is silently left undone. */
static enum err_code check_needs(const struct obs_options *o, int argc, const char *const *argv,
				 struct err *e)
{
	static const char bpf_what[] =
		"the kernel programs, which --no-bpf or another --source leaves out";
	static const char store_what[] = "a store: it contradicts --store off";
	static const char cilium_what[] = "--source cilium-monitor or cilium-perf";
	static const char hubble_what[] = "--hubble-server or --source hubble";
	static const char export_what[] = "--export-file-path";
	static const char prefix_what[] = "--nflog-group or --kernel-log";
	static const char drops_what[] = "--drop-events";
	bool drops = o->drop_events.on;
	bool store = !o->store_off, prefix = o->nflog.group_count || o->kernel_log;
	/* Where nobody chose, the agent's socket may be found at the start. */
	bool cilium = o->cilium.monitor || o->cilium.perf || (o->bpf && o->bpf_by_default);
	bool metrics = o->metrics || o->metrics_config, policies = o->policies || o->kubernetes;
	const struct opt_need needs[] = {
		{ "checkpoint-ca-file", o->checkpoint_to_count, "--checkpoint-to" },
		{ "checkpoint-cert-file", o->checkpoint_to_count, "--checkpoint-to" },
		{ "checkpoint-key-file", o->checkpoint_to_count, "--checkpoint-to" },
		{ "checkpoint-to", store, store_what },
		{ "cilium-map", o->cilium.perf, "--source cilium-perf" },
		{ "cilium-release", cilium, cilium_what },
		{ "cilium-take-events", o->cilium.perf, "--source cilium-perf" },
		{ "clickhouse", store, store_what },
		{ "clickhouse-period", o->clickhouse.url, "--clickhouse" },
		{ "drop-events", o->kubernetes, "--kubernetes" },
		{ "drop-events-extended", drops, drops_what },
		{ "drop-events-interval", drops, drops_what },
		{ "drop-events-rate-limit", drops, drops_what },
		{ "drop-events-reasons", drops, drops_what },
		{ "drops-everywhere", o->bpf, bpf_what },
		{ "evidence-key", store, store_what },
		{ "export-aggregation-interval", o->exports.aggregate, "--export-fieldaggregate" },
		{ "export-allowlist", o->exports.path, export_what },
		{ "export-denylist", o->exports.path, export_what },
		{ "export-fieldaggregate", o->exports.path, export_what },
		{ "export-fieldaggregate", o->exports.interval_ns,
		  "--export-aggregation-interval" },
		{ "export-fieldmask", o->exports.path, export_what },
		{ "export-file-compress", o->exports.path, export_what },
		{ "export-file-max-backups", o->exports.path, export_what },
		{ "export-file-max-size-mb", o->exports.path, export_what },
		{ "hubble-ca-file", o->hubble.address, hubble_what },
		{ "hubble-cert-file", o->hubble.tls, "--hubble-tls" },
		{ "hubble-history", o->hubble.address, hubble_what },
		{ "hubble-tls", o->hubble.address, hubble_what },
		{ "hubble-tls-name", o->hubble.address, hubble_what },
		{ "interface", o->bpf, bpf_what },
		{ "interval", o->bpf, bpf_what },
		{ "kube-context", o->kubeconfig, "--kubeconfig" },
		{ "kubeconfig", o->kubernetes, "--kubernetes" },
		{ "metrics-series", metrics, "--metrics or --metrics-config" },
		{ "nflog-default", prefix, prefix_what },
		{ "nflog-pattern", prefix, prefix_what },
		{ "noise", o->bpf, bpf_what },
		{ "policy-meaning", policies, "--policies or --kubernetes" },
		{ "redact-enabled", cilium, cilium_what },
		{ "replay-keep-time", o->replay.path, "--replay" },
		{ "replay-repeat", o->replay.path, "--replay" },
		{ "replay-speed", o->replay.path, "--replay" },
		{ "retention", store, store_what },
		{ "retention-edges", store, store_what },
		{ "retention-size", store, store_what },
		{ "seal-period", store, store_what },
	};
	return opt_check_needs(&obs_program, argc, argv, needs, ARRAY_LEN(needs), e);
}

enum err_code obs_options_read(int argc, const char *const *argv, struct obs_options *ret,
			       struct err *e)
{
	*ret = (struct obs_options){
		.bpf = true,
		.ring_capacity = 65535,
		.metrics_series = 20000,
		.exports = { .max_size_mb = EXPORT_DEFAULT_SIZE_MB,
			     .max_backups = EXPORT_DEFAULT_BACKUPS },
		.bpf_config = { .traces = true, .drops = true },
		.hubble = { .history_ns = 3600 * NS_PER_S },
		.store = { .retention_ns = 7 * 86400 * NS_PER_S,
			   .retention_bytes = UINT64_C(10) << 30 },
		.cilium = { .redact.http_userinfo = true },
		.drop_events = drop_wanted_default(),
		.common = OPT_COMMON_DEFAULT,
	};
	enum err_code code = opt_read(&obs_program, argc, argv, ret, e);
	if (code != ERR_OK || ret->common.help || ret->common.version)
		return code;
	ret->bpf_config.interfaces = ret->interfaces;
	ret->nflog.groups = ret->nflog_groups;
	ret->hubble_tls.ca_files = ret->hubble_ca_files;
	if (ret->hubble_has_tls || ret->hubble_tls.ca_file_count || ret->hubble_tls.server_name)
		ret->hubble.tls = &ret->hubble_tls;
	code = choose_sources(ret, e);
	if (code == ERR_OK)
		code = check_metrics(ret, e);
	if (code == ERR_OK)
		code = check_sources(ret, e);
	if (code == ERR_OK)
		code = check_cilium(ret, e);
	if (code == ERR_OK)
		code = check_doctor(ret, e);
	if (code == ERR_OK)
		code = opt_both("hubble-cert-file", ret->hubble_tls.cert_file, "hubble-key-file",
				ret->hubble_tls.key_file, e);
	if (code == ERR_OK)
		code = opt_both("checkpoint-cert-file", ret->checkpoint_tls.cert_file,
				"checkpoint-key-file", ret->checkpoint_tls.key_file, e);
	if (code == ERR_OK)
		code = check_needs(ret, argc, argv, e);
	return code == ERR_OK ? clickhouse_options_check(&ret->clickhouse, e) : code;
}
