#include "observer/options.h"

#include "base/opt.h"
#include "observer/upstream/agent_names.h"
#include "base/time.h"

/* One row per option: name, argument (NULL: none), help. Drives reading and --help alike. */
enum option_id {
	OPT_ACCESS_FILE,
	OPT_CHECKPOINT_CA_FILE,
	OPT_CHECKPOINT_TO,
	OPT_CILIUM_AGENT,
	OPT_CILIUM_MAP,
	OPT_CILIUM_MONITOR,
	OPT_CILIUM_RELEASE,
	OPT_CILIUM_TAKE_EVENTS,
	OPT_CLUSTER,
	OPT_DROPS_EVERYWHERE,
	OPT_ENDPOINTS,
	OPT_EVIDENCE_KEY,
	OPT_HELP,
	OPT_HUBBLE_CA_FILE,
	OPT_HUBBLE_CERT_FILE,
	OPT_HUBBLE_HISTORY,
	OPT_HUBBLE_KEY_FILE,
	OPT_HUBBLE_SERVER,
	OPT_HUBBLE_TLS,
	OPT_HUBBLE_TLS_NAME,
	OPT_INSECURE_LISTEN,
	OPT_INTERFACE,
	OPT_INTERVAL,
	OPT_KUBECONFIG,
	OPT_KUBERNETES,
	OPT_KUBE_CONTEXT,
	OPT_LISTEN,
	OPT_LOG_LEVEL,
	OPT_METRICS,
	OPT_METRICS_CONFIG,
	OPT_METRICS_LISTEN,
	OPT_METRICS_SERIES,
	OPT_METRICS_TLS_CERT_FILE,
	OPT_METRICS_TLS_CLIENT_CA_FILE,
	OPT_METRICS_TLS_KEY_FILE,
	OPT_METRICS_USERS_FILE,
	OPT_NFLOG_DEFAULT,
	OPT_NFLOG_GROUP,
	OPT_NFLOG_PATTERN,
	OPT_NO_BPF,
	OPT_NODE_LABEL,
	OPT_NODE_NAME,
	OPT_NOISE,
	OPT_POLICIES,
	OPT_POLICY_MEANING,
	OPT_READY_FD,
	OPT_REDACT_ENABLED,
	OPT_REDACT_HTTP_HEADERS_ALLOW,
	OPT_REDACT_HTTP_HEADERS_DENY,
	OPT_REDACT_HTTP_URLQUERY,
	OPT_REDACT_HTTP_USERINFO,
	OPT_REDACT_KAFKA_APIKEY,
	OPT_REPLAY,
	OPT_REPLAY_KEEP_TIME,
	OPT_REPLAY_REPEAT,
	OPT_REPLAY_SPEED,
	OPT_RETENTION,
	OPT_RETENTION_EDGES,
	OPT_RETENTION_SIZE,
	OPT_RING_CAPACITY,
	OPT_SEAL_PERIOD,
	OPT_SOURCE,
	OPT_STALL_TIMEOUT,
	OPT_STATE_DIR,
	OPT_STORE,
	OPT_TLS_CERT_FILE,
	OPT_TLS_CLIENT_CA_FILE,
	OPT_TLS_KEY_FILE,
	OPT_VERSION,
	OPT_COUNT_
};

enum { OPTIONS_SERIES_MIN = 64, OPTIONS_SERIES_MAX = 1000000 };

static const struct opt_row table[] = {
	[OPT_ACCESS_FILE] = { "access-file", "FILE",
			      "who may see the flows of which namespaces; reread when it changes" },
	[OPT_CHECKPOINT_CA_FILE] = { "checkpoint-ca-file", "FILE",
				     "believe https targets of --checkpoint-to if signed by this "
				     "(PEM) (default: the system's CAs)" },
	[OPT_CHECKPOINT_TO] = { "checkpoint-to", "TARGET",
				"send each signed checkpoint there at once: file:/path, syslog, "
				"http://… or https://…; repeatable" },
	[OPT_CILIUM_AGENT] = { "cilium-agent", "PATH",
			       "take names and policies from the Cilium agent that answers on this "
			       "socket; 'none': from none (default where Cilium's events are "
			       "read: " AGENT_NAMES_DEFAULT_PATH ")" },
	[OPT_CILIUM_MAP] = { "cilium-map", "PATH",
			     "Cilium's pinned perf event array, for --source cilium-perf "
			     "(default " PERF_DEFAULT_PATH ", or below /run/cilium/bpffs)" },
	[OPT_CILIUM_MONITOR] = { "cilium-monitor", "PATH",
				 "read this monitor socket of a Cilium agent (default for --source "
				 "cilium-monitor: " MONITOR_DEFAULT_PATH ")" },
	[OPT_CILIUM_RELEASE] = { "cilium-release", "RELEASE",
				 "layout of policy verdicts and socket traces: 1.18 (and before), "
				 "1.19 or auto (default auto: by the versions of other events)" },
	[OPT_CILIUM_TAKE_EVENTS] = { "cilium-take-events", NULL,
				     "let --source cilium-perf take the events away from Cilium's "
				     "agent, whose Hubble then sees none" },
	[OPT_CLUSTER] = { "cluster", "NAME", "cluster this node belongs to (default: none)" },
	[OPT_DROPS_EVERYWHERE] = { "drops-everywhere", NULL,
				   "report drops of all network namespaces of the machine, "
				   "also from inside one (default: there only this node's)" },
	[OPT_ENDPOINTS] = { "endpoints", "FILE",
			    "YAML file that names addresses; reread when it changes" },
	[OPT_EVIDENCE_KEY] = { "evidence-key", "FILE",
			       "Ed25519 key (PEM) that signs the record; made if it is not there "
			       "(default: evidence.key beside the store)" },
	[OPT_HELP] = { "help", NULL, "print this text" },
	[OPT_HUBBLE_CA_FILE] = { "hubble-ca-file", "FILE",
				 "believe the Hubble server if signed by this (PEM), implies "
				 "--hubble-tls; repeatable" },
	[OPT_HUBBLE_CERT_FILE] = { "hubble-cert-file", "FILE",
				   "our certificate chain (PEM) towards the Hubble server" },
	[OPT_HUBBLE_HISTORY] = { "hubble-history", "TIME",
				 "how far back the Hubble server is asked at first (default 1h; "
				 "0: only what comes)" },
	[OPT_HUBBLE_KEY_FILE] = { "hubble-key-file", "FILE",
				  "private key (PEM) of --hubble-cert-file" },
	[OPT_HUBBLE_SERVER] = { "hubble-server", "ADDRESS",
				"follow the flows of this Hubble server: agent, relay or Tycho "
				"(--source hubble: default unix:///var/run/cilium/hubble.sock)" },
	[OPT_HUBBLE_TLS] = { "hubble-tls", NULL,
			     "TLS to the Hubble server; without --hubble-ca-file, the system's CAs "
			     "are believed" },
	[OPT_HUBBLE_TLS_NAME] = { "hubble-tls-name", "NAME",
				  "name to expect in the Hubble server's certificate (default: "
				  "its host), implies --hubble-tls" },
	[OPT_INSECURE_LISTEN] = { "insecure-listen", NULL,
				  "allow plain text on addresses beyond loopback" },
	[OPT_INTERFACE] = { "interface", "NAME",
			    "interface to watch, or a glob such as 'veth*'; '!' excludes; "
			    "repeatable "
			    "(default: those with a peer in another namespace or a route out)" },
	[OPT_INTERVAL] = { "interval", "TIME",
			   "how often a connection that goes on is reported (default 5s)" },
	[OPT_KUBECONFIG] = { "kubeconfig", "FILE",
			     "how to reach the API server of --kubernetes (default: as the pod "
			     "that this runs in)" },
	[OPT_KUBERNETES] = { "kubernetes", NULL,
			     "take names and policies from Kubernetes' API server" },
	[OPT_KUBE_CONTEXT] = { "kube-context", "NAME",
			       "context of --kubeconfig (default: its current one)" },
	[OPT_LISTEN] = { "listen", "ADDRESS",
			 "where to answer: unix:///path or host:port; repeatable "
			 "(default unix:///run/tycho/observer.sock)" },
	[OPT_LOG_LEVEL] = { "log-level", "LEVEL", "debug, info, warn or error (default info)" },
	[OPT_METRICS] = { "metrics", "LIST",
			  "Hubble's metrics to count, with their options, such as "
			  "'flow drop:labelsContext=source_namespace'" },
	[OPT_METRICS_CONFIG] = { "metrics-config", "FILE",
				 "YAML file of Hubble's metrics, instead of --metrics; reread when "
				 "it changes" },
	[OPT_METRICS_LISTEN] = { "metrics-listen", "ADDRESS",
				 "host:port to answer /metrics, /healthz and /readyz on "
				 "(default with --metrics and --metrics-config: 127.0.0.1:9965; "
				 "otherwise none)" },
	[OPT_METRICS_SERIES] = { "metrics-series", "N",
				 "most series of Hubble's metrics at a time; the least active "
				 "fold into others (default 20000)" },
	[OPT_METRICS_TLS_CERT_FILE] = { "metrics-tls-cert-file", "FILE",
					"certificate chain (PEM) of the metrics address" },
	[OPT_METRICS_TLS_CLIENT_CA_FILE] = { "metrics-tls-client-ca-file", "FILE",
					     "demand certificates signed by this from who asks "
					     "for metrics; repeatable" },
	[OPT_METRICS_TLS_KEY_FILE] = { "metrics-tls-key-file", "FILE",
				       "private key (PEM) of --metrics-tls-cert-file" },
	[OPT_METRICS_USERS_FILE] = { "metrics-users-file", "FILE",
				     "name:hash lines (htpasswd -B): who may ask for /metrics" },
	[OPT_NFLOG_DEFAULT] = { "nflog-default", "VERDICT",
				"verdict of packets whose log prefix tells none: allow, deny or "
				"audit (default audit)" },
	[OPT_NFLOG_GROUP] = { "nflog-group", "N",
			      "netfilter log group to read policy verdicts from; repeatable" },
	[OPT_NFLOG_PATTERN] = { "nflog-pattern", "REGEX",
				"how to read a log prefix: named groups verdict, direction, policy "
				"(default form "
				"tycho:<allow|deny|audit>:<ingress|egress>:<policy>)" },
	[OPT_NO_BPF] = { "no-bpf", NULL, "load no kernel programs" },
	[OPT_NODE_LABEL] = { "node-label", "KEY=VALUE", "label of this node; repeatable" },
	[OPT_NODE_NAME] = { "node-name", "NAME", "name of this node (default: host name)" },
	[OPT_NOISE] = { "noise", NULL,
			"also report kernel drop reasons that are part of normal operation" },
	[OPT_POLICIES] = { "policies", "PATH",
			   "network policies in force, for naming them in drops and verdicts: "
			   "a file or folder of Kubernetes objects; reread when it changes" },
	[OPT_POLICY_MEANING] = { "policy-meaning", "WHOSE",
				 "what a NetworkPolicy means: cilium, or kubernetes for other CNIs "
				 "(default cilium)" },
	[OPT_READY_FD] = { "ready-fd", "FD",
			   "write one line to this descriptor when serving, then close it" },
	[OPT_REDACT_ENABLED] = { "redact-enabled", NULL,
				 "redact L7 records of Cilium: values of HTTP headers, and what "
				 "the "
				 "other --redact options say" },
	[OPT_REDACT_HTTP_HEADERS_ALLOW] = { "redact-http-headers-allow", "NAME",
					    "header whose value stays, no other's does; "
					    "repeatable" },
	[OPT_REDACT_HTTP_HEADERS_DENY] = { "redact-http-headers-deny", "NAME",
					   "header whose value is redacted, no other's is; "
					   "repeatable" },
	[OPT_REDACT_HTTP_URLQUERY] = { "redact-http-urlquery", NULL,
				       "cut off the query and fragment of URLs" },
	[OPT_REDACT_HTTP_USERINFO] = { "redact-http-userinfo", "BOOL",
				       "redact the password in URLs (default true)" },
	[OPT_REDACT_KAFKA_APIKEY] = { "redact-kafka-apikey", NULL, "redact Kafka's API keys" },
	[OPT_REPLAY] = { "replay", "FILE",
			 "read flows from Hubble JSON lines; '-' is standard input" },
	[OPT_REPLAY_KEEP_TIME] = { "replay-keep-time", NULL,
				   "keep the recorded times instead of stamping flows anew" },
	[OPT_REPLAY_REPEAT] = { "replay-repeat", "N", "read the file N times (default 1)" },
	[OPT_REPLAY_SPEED] = { "replay-speed", "X",
			       "1 as recorded, 2 twice as fast, 0 as fast as possible (default "
			       "0)" },
	[OPT_RETENTION] = { "retention", "TIME",
			    "how long flows are kept, such as 36h or 30d; 0: without limit "
			    "(default 7d)" },
	[OPT_RETENTION_EDGES] = { "retention-edges", "TIME",
				  "how long the service map by the minute is kept (default 400d)" },
	[OPT_RETENTION_SIZE] = { "retention-size", "SIZE",
				 "how large the store may grow, such as 500M or 2T; 0: without "
				 "limit (default 10G)" },
	[OPT_RING_CAPACITY] = { "ring-capacity", "N",
				"flows kept in memory: 2^k - 1 (default 65535)" },
	[OPT_SEAL_PERIOD] = { "seal-period", "TIME",
			      "what a crash may lose: flows are sealed into the store this often "
			      "(default 1s)" },
	[OPT_SOURCE] = { "source", "NAME",
			 "observe by this source, and none that is not named: bpf, nflog, replay, "
			 "hubble, cilium-monitor, cilium-perf; repeatable (default: "
			 "cilium-monitor if its socket is there, else bpf; and those that other "
			 "options ask for)" },
	[OPT_STALL_TIMEOUT] = { "stall-timeout", "TIME",
				"cut off a client that takes no message for so long (default "
				"30s)" },
	[OPT_STATE_DIR] = { "state-dir", "DIR",
			    "what must survive a restart (default /var/lib/tycho, "
			    "or $XDG_STATE_HOME/tycho when not root)" },
	[OPT_STORE] = { "store", "DIR|off", "where flows are kept (default: the state directory)" },
	[OPT_TLS_CERT_FILE] = { "tls-cert-file", "FILE",
				"certificate chain (PEM) for TCP addresses" },
	[OPT_TLS_CLIENT_CA_FILE] = { "tls-client-ca-file", "FILE",
				     "demand client certificates signed by this; repeatable" },
	[OPT_TLS_KEY_FILE] = { "tls-key-file", "FILE", "private key (PEM) of --tls-cert-file" },
	[OPT_VERSION] = { "version", NULL, "print the version" },
};
_Static_assert(ARRAY_LEN(table) == OPT_COUNT_, "an option without a row");

void obs_options_help(void)
{
	opt_help("tycho-observer watches the flows of this node and answers for them.\n"
		 "\n"
		 "Usage: tycho-observer [OPTION]…",
		 table, OPT_COUNT_);
}

static enum err_code bad_value(struct err *e, enum option_id id, const char *value,
			       const char *want)
{
	return opt_bad(&table[id], value, want, e);
}

static enum err_code add_text(const char **list, size_t *count, enum option_id id,
			      const char *value, struct err *e)
{
	return opt_add(list, count, OPTIONS_LIST, &table[id], value, e);
}

static bool parse_speed(const char *value, double *ret)
{
	char *end;
	double v = strtod(value, &end);

	if (end == value || *end || !(v >= 0 && v <= 1e9))
		return false;
	*ret = v;
	return true;
}

/* In the order of enum source_bit. */
static const char *const source_names[] = { "bpf",    "nflog",          "replay",
					    "hubble", "cilium-monitor", "cilium-perf" };
enum source_bit {
	SOURCE_BPF = 1,
	SOURCE_NFLOG = 2,
	SOURCE_REPLAY = 4,
	SOURCE_HUBBLE = 8,
	SOURCE_CILIUM_MONITOR = 16,
	SOURCE_CILIUM_PERF = 32,
};

static enum err_code add_source(struct obs_options *o, const char *value, struct err *e)
{
	for (size_t i = 0; i < ARRAY_LEN(source_names); i++)
		if (strcmp(value, source_names[i]) == 0) {
			o->sources |= 1U << i;
			return ERR_OK;
		}
	return bad_value(e, OPT_SOURCE, value,
			 "bpf, nflog, replay, hubble, cilium-monitor or cilium-perf");
}

/* "36h", "30d", "0": Go's durations, and days. */
static bool parse_age(struct str s, uint64_t *ret_ns)
{
	uint64_t days;
	int64_t ns;

	if (str_has_suffix(s, STR("d")) && parse_u64(str_upto(s, s.len - 1), 36500, &days)) {
		*ret_ns = days * 86400 * NS_PER_S;
		return true;
	}
	if (!duration_parse(s, &ns) || ns < 0)
		return false;
	*ret_ns = (uint64_t)ns;
	return true;
}

/* "500M", "10G": powers of 1,024; plain bytes. */
static bool parse_size(struct str s, uint64_t *ret_bytes)
{
	static const char units[] = "KMGTP";
	unsigned shift = 0;
	uint64_t n;

	if (s.len && strchr(units, s.p[s.len - 1])) {
		shift = 10 * (unsigned)(strchr(units, s.p[s.len - 1]) - units + 1);
		s = str_upto(s, s.len - 1);
	}
	if (!parse_u64(s, UINT64_MAX >> (shift + 1), &n))
		return false;
	*ret_bytes = n << shift;
	return true;
}

static enum err_code set_store(struct obs_options *o, enum option_id id, const char *value,
			       struct err *e)
{
	const uint64_t minute_ns = 60 * NS_PER_S, size_min = UINT64_C(16) << 20;
	struct str s = str_of(value);
	uint64_t v;

	switch (id) {
	case OPT_RETENTION:
		if (!parse_age(s, &v) || (v && v < minute_ns))
			return bad_value(e, id, value,
					 "a time from 1m on, such as 36h or 30d, or 0");
		o->store.retention_ns = v;
		return ERR_OK;
	case OPT_RETENTION_EDGES:
		if (!parse_age(s, &v) || v < 60 * minute_ns)
			return bad_value(e, id, value, "a time from 1h on, such as 90d");
		o->store.edges_retention_ns = v;
		return ERR_OK;
	case OPT_RETENTION_SIZE:
		if (!parse_size(s, &v) || (v && v < size_min))
			return bad_value(e, id, value,
					 "a size from 16M on, such as 500M or 2T, or 0");
		o->store.retention_bytes = v;
		return ERR_OK;
	case OPT_SEAL_PERIOD:
		if (!parse_age(s, &v) || v < 100 * NS_PER_MS || v > minute_ns)
			return bad_value(e, id, value, "a time from 100ms to 1m, such as 1s");
		o->store.seal_ns = v;
		return ERR_OK;
	default:
		o->store_off = strcmp(value, "off") == 0;
		o->store_dir = o->store_off ? NULL : value;
		return *value ? ERR_OK : bad_value(e, id, value, "a folder, or off");
	}
}

static enum err_code set_number(struct obs_options *o, enum option_id id, const char *value,
				struct err *e)
{
	struct str s = str_of(value);
	uint64_t n;
	int64_t ns;

	switch (id) {
	case OPT_INTERVAL:
		if (!duration_parse(s, &ns) || ns < (int64_t)(100 * NS_PER_MS) ||
		    ns > (int64_t)(3600 * NS_PER_S))
			return bad_value(e, id, value, "a time from 100ms to 1h, such as 5s");
		o->bpf_config.interval_ns = (uint64_t)ns;
		return ERR_OK;
	case OPT_STALL_TIMEOUT:
		if (!duration_parse(s, &ns) || ns < (int64_t)(100 * NS_PER_MS) ||
		    ns > (int64_t)(3600 * NS_PER_S))
			return bad_value(e, id, value, "a time from 100ms to 1h, such as 30s");
		o->stall_timeout_ns = (uint64_t)ns;
		return ERR_OK;
	case OPT_HUBBLE_HISTORY:
		if (!duration_parse(s, &ns) || ns < 0)
			return bad_value(e, id, value, "a time such as 1h, or 0");
		o->hubble.history_ns = (uint64_t)ns;
		return ERR_OK;
	case OPT_NFLOG_GROUP:
		if (o->nflog.group_count == OPTIONS_LIST)
			return err_set(e, ERR_INVALID, "--%s is given more than %d times",
				       table[id].name, OPTIONS_LIST);
		if (!parse_u16(s, &o->nflog_groups[o->nflog.group_count]))
			return bad_value(e, id, value, "a group number from 0 to 65535");
		o->nflog.group_count++;
		return ERR_OK;
	case OPT_READY_FD:
		return opt_fd(&table[id], value, &o->ready_fd, e);
	case OPT_REPLAY_REPEAT:
		if (!parse_u64(s, UINT64_MAX, &n) || n == 0)
			return bad_value(e, id, value, "a number from 1 up");
		o->replay.repeat = n;
		return ERR_OK;
	case OPT_REPLAY_SPEED:
		if (!parse_speed(value, &o->replay.speed))
			return bad_value(e, id, value, "a factor such as 1, 2.5 or 0");
		return ERR_OK;
	case OPT_METRICS_SERIES:
		if (!parse_u64(s, OPTIONS_SERIES_MAX, &n) || n < OPTIONS_SERIES_MIN)
			return bad_value(e, id, value, "a number of series from 64 to 1000000");
		o->metrics_series = (size_t)n;
		return ERR_OK;
	default:
		if (!parse_u64(s, SIZE_MAX, &n))
			return bad_value(e, id, value, "a number of flows, 2^k - 1");
		o->ring_capacity = (size_t)n;
		return ERR_OK;
	}
}

static enum err_code set_release(struct obs_options *o, const char *value, struct err *e)
{
	static const char *const releases[] = { [CILIUM_RELEASE_AUTO] = "auto",
						[CILIUM_RELEASE_1_18] = "1.18",
						[CILIUM_RELEASE_1_19] = "1.19" };

	for (size_t i = 0; i < ARRAY_LEN(releases); i++)
		if (strcmp(value, releases[i]) == 0) {
			o->cilium.release = (enum cilium_release)i;
			return ERR_OK;
		}
	return bad_value(e, OPT_CILIUM_RELEASE, value, "1.18, 1.19 or auto");
}

static enum err_code set_cilium(struct obs_options *o, enum option_id id, const char *value,
				struct err *e)
{
	struct cilium_options *c = &o->cilium;

	switch (id) {
	case OPT_CILIUM_MAP:
		c->map_path = value;
		return ERR_OK;
	case OPT_CILIUM_MONITOR:
		c->monitor_path = value;
		return ERR_OK;
	case OPT_CILIUM_RELEASE:
		return set_release(o, value, e);
	case OPT_CILIUM_TAKE_EVENTS:
		c->take_events = true;
		return ERR_OK;
	case OPT_REDACT_ENABLED:
		c->redact.enabled = true;
		return ERR_OK;
	case OPT_REDACT_HTTP_HEADERS_ALLOW:
		return add_text(c->headers_allow, &c->redact.allow_count, id, value, e);
	case OPT_REDACT_HTTP_HEADERS_DENY:
		return add_text(c->headers_deny, &c->redact.deny_count, id, value, e);
	case OPT_REDACT_HTTP_URLQUERY:
		c->redact.http_urlquery = true;
		return ERR_OK;
	case OPT_REDACT_HTTP_USERINFO:
		return parse_bool(str_of(value), &c->redact.http_userinfo)
			       ? ERR_OK
			       : bad_value(e, id, value, "true or false");
	default:
		c->redact.kafka_apikey = true;
		return ERR_OK;
	}
}

static enum err_code set_otherwise(struct obs_options *o, const char *value, struct err *e)
{
	static const char *const words[] = { [NFLOG_OTHERWISE_AUDIT] = "audit",
					     [NFLOG_OTHERWISE_ALLOW] = "allow",
					     [NFLOG_OTHERWISE_DENY] = "deny" };

	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		if (strcmp(value, words[i]) == 0) {
			o->nflog.otherwise = (enum nflog_otherwise)i;
			return ERR_OK;
		}
	return bad_value(e, OPT_NFLOG_DEFAULT, value, "allow, deny or audit");
}

static enum err_code set_option(struct obs_options *o, enum option_id id, const char *value,
				struct err *e)
{
	switch (id) {
	case OPT_CILIUM_AGENT:
		if (!*value)
			return bad_value(e, id, value, "the path of a socket, or none");
		o->cilium_agent = value;
		return ERR_OK;
	case OPT_CLUSTER:
		o->cluster = value;
		return ERR_OK;
	case OPT_DROPS_EVERYWHERE:
		o->bpf_config.drop_scope = BPF_SCOPE_MACHINE;
		return ERR_OK;
	case OPT_ENDPOINTS:
		o->endpoints = value;
		return ERR_OK;
	case OPT_CHECKPOINT_CA_FILE:
		o->checkpoint_ca_file = value;
		return ERR_OK;
	case OPT_CHECKPOINT_TO:
		return add_text(o->checkpoint_to, &o->checkpoint_to_count, id, value, e);
	case OPT_EVIDENCE_KEY:
		o->evidence_key = value;
		return ERR_OK;
	case OPT_KUBECONFIG:
		o->kubeconfig = value;
		return ERR_OK;
	case OPT_KUBERNETES:
		o->kubernetes = true;
		return ERR_OK;
	case OPT_KUBE_CONTEXT:
		o->kube_context = value;
		return ERR_OK;
	case OPT_HELP:
		o->help = true;
		return ERR_OK;
	case OPT_POLICY_MEANING:
		return policy_meaning_parse(str_of(value), &o->policy_meaning)
			       ? ERR_OK
			       : bad_value(e, id, value, "cilium or kubernetes");
	case OPT_POLICIES:
		o->policies = value;
		return ERR_OK;
	case OPT_CILIUM_MAP:
	case OPT_CILIUM_MONITOR:
	case OPT_CILIUM_RELEASE:
	case OPT_CILIUM_TAKE_EVENTS:
	case OPT_REDACT_ENABLED:
	case OPT_REDACT_HTTP_HEADERS_ALLOW:
	case OPT_REDACT_HTTP_HEADERS_DENY:
	case OPT_REDACT_HTTP_URLQUERY:
	case OPT_REDACT_HTTP_USERINFO:
	case OPT_REDACT_KAFKA_APIKEY:
		return set_cilium(o, id, value, e);
	case OPT_ACCESS_FILE:
		o->access_file = value;
		return ERR_OK;
	case OPT_HUBBLE_CA_FILE:
		o->hubble.tls = &o->hubble_tls;
		return add_text(o->hubble_ca_files, &o->hubble_tls.ca_file_count, id, value, e);
	case OPT_HUBBLE_CERT_FILE:
		o->hubble_tls.cert_file = value;
		return ERR_OK;
	case OPT_HUBBLE_KEY_FILE:
		o->hubble_tls.key_file = value;
		return ERR_OK;
	case OPT_HUBBLE_SERVER:
		o->hubble.address = value;
		return ERR_OK;
	case OPT_HUBBLE_TLS:
		o->hubble.tls = &o->hubble_tls;
		return ERR_OK;
	case OPT_HUBBLE_TLS_NAME:
		o->hubble.tls = &o->hubble_tls;
		o->hubble_tls.server_name = value;
		return ERR_OK;
	case OPT_INSECURE_LISTEN:
		o->insecure_listen = true;
		return ERR_OK;
	case OPT_INTERFACE:
		return add_text(o->interfaces, &o->bpf_config.interface_count, id, value, e);
	case OPT_LISTEN:
		return add_text(o->listen, &o->listen_count, id, value, e);
	case OPT_LOG_LEVEL:
		return opt_log_level(&table[id], value, &o->log_level, e);
	case OPT_METRICS:
		o->metrics = value;
		return ERR_OK;
	case OPT_METRICS_CONFIG:
		o->metrics_config = value;
		return ERR_OK;
	case OPT_METRICS_LISTEN:
		o->metrics_listen = value;
		return ERR_OK;
	case OPT_METRICS_TLS_CERT_FILE:
		o->metrics_tls_cert_file = value;
		return ERR_OK;
	case OPT_METRICS_TLS_CLIENT_CA_FILE:
		return add_text(o->metrics_tls_client_ca_files, &o->metrics_tls_client_ca_count, id,
				value, e);
	case OPT_METRICS_TLS_KEY_FILE:
		o->metrics_tls_key_file = value;
		return ERR_OK;
	case OPT_METRICS_USERS_FILE:
		o->metrics_users_file = value;
		return ERR_OK;
	case OPT_NFLOG_DEFAULT:
		return set_otherwise(o, value, e);
	case OPT_NFLOG_PATTERN:
		o->nflog.pattern = value;
		return ERR_OK;
	case OPT_NO_BPF:
		o->bpf = false;
		return ERR_OK;
	case OPT_NODE_LABEL:
		if (!strchr(value, '='))
			return bad_value(e, id, value, "KEY=VALUE");
		return add_text(o->node_labels, &o->node_label_count, id, value, e);
	case OPT_NODE_NAME:
		o->node_name = value;
		return ERR_OK;
	case OPT_NOISE:
		o->bpf_config.noise = true;
		return ERR_OK;
	case OPT_REPLAY:
		o->replay.path = value;
		return ERR_OK;
	case OPT_REPLAY_KEEP_TIME:
		o->replay.keep_time = true;
		return ERR_OK;
	case OPT_RETENTION:
	case OPT_RETENTION_EDGES:
	case OPT_RETENTION_SIZE:
	case OPT_SEAL_PERIOD:
	case OPT_STORE:
		return set_store(o, id, value, e);
	case OPT_SOURCE:
		return add_source(o, value, e);
	case OPT_STATE_DIR:
		o->state_dir = value;
		return ERR_OK;
	case OPT_TLS_CERT_FILE:
		o->tls_cert_file = value;
		return ERR_OK;
	case OPT_TLS_CLIENT_CA_FILE:
		return add_text(o->tls_client_ca_files, &o->tls_client_ca_count, id, value, e);
	case OPT_TLS_KEY_FILE:
		o->tls_key_file = value;
		return ERR_OK;
	case OPT_VERSION:
		o->version = true;
		return ERR_OK;
	default:
		return set_number(o, id, value, e);
	}
}

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
	if (o->sources & SOURCE_BPF && !o->bpf)
		return err_set(e, ERR_INVALID, "--no-bpf contradicts --source bpf");
	o->bpf = o->sources & SOURCE_BPF;
	const struct {
		enum source_bit bit;
		bool is_asked;
		const char *option, *source;
	} others[] = {
		{ SOURCE_NFLOG, o->nflog.group_count > 0, "nflog-group", "nflog" },
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
	if ((c->take_events || c->map_path) && !c->perf)
		return err_set(e, ERR_INVALID, "--%s needs --source cilium-perf",
			       c->map_path ? "cilium-map" : "cilium-take-events");
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

static enum err_code check_hubble(const struct obs_options *o, struct err *e)
{
	if (!o->hubble_tls.cert_file != !o->hubble_tls.key_file)
		return err_set(e, ERR_INVALID,
			       "--hubble-cert-file and --hubble-key-file are needed together");
	if (o->hubble_tls.cert_file && !o->hubble.tls)
		return err_set(e, ERR_INVALID, "--hubble-cert-file needs --hubble-tls");
	if (o->hubble.tls && !o->hubble.address)
		return err_set(e, ERR_INVALID, "--hubble-tls needs --hubble-server");
	return ERR_OK;
}

/* What the endpoint needs, and that there is one. */
static enum err_code check_metrics(struct obs_options *o, struct err *e)
{
	if (o->metrics && o->metrics_config)
		return err_set(e, ERR_INVALID, "--metrics and --metrics-config exclude each other");
	if (!o->metrics_listen && (o->metrics || o->metrics_config))
		o->metrics_listen = "127.0.0.1:9965";
	if (!o->metrics_tls_cert_file != !o->metrics_tls_key_file)
		return err_set(e, ERR_INVALID,
			       "--metrics-tls-cert-file and --metrics-tls-key-file are needed "
			       "together");
	if (o->metrics_tls_client_ca_count && !o->metrics_tls_cert_file)
		return err_set(e, ERR_INVALID,
			       "--metrics-tls-client-ca-file needs --metrics-tls-cert-file and "
			       "--metrics-tls-key-file");
	if (!o->metrics_listen && (o->metrics_tls_cert_file || o->metrics_users_file))
		return err_set(e, ERR_INVALID, "%s needs --metrics-listen",
			       o->metrics_users_file ? "--metrics-users-file"
						     : "--metrics-tls-cert-file");
	return ERR_OK;
}

static enum err_code check_kubernetes(const struct obs_options *o, struct err *e)
{
	if ((o->kubeconfig || o->kube_context) && !o->kubernetes)
		return err_set(e, ERR_INVALID,
			       "--kubeconfig and --kube-context go with --kubernetes");
	if (o->kube_context && !o->kubeconfig)
		return err_set(e, ERR_INVALID, "--kube-context goes with --kubeconfig");
	if (o->kubernetes && o->policies)
		return err_set(e, ERR_INVALID,
			       "--policies and --kubernetes: policies come from one of them");
	return ERR_OK;
}

static enum err_code check_together(const struct obs_options *o, struct err *e)
{
	if (!o->tls_cert_file != !o->tls_key_file)
		return err_set(e, ERR_INVALID,
			       "--tls-cert-file and --tls-key-file are needed together");
	if (o->tls_client_ca_count && !o->tls_cert_file)
		return err_set(e, ERR_INVALID,
			       "--tls-client-ca-file needs --tls-cert-file and --tls-key-file");
	if (o->nflog.otherwise && !o->nflog.group_count)
		return err_set(e, ERR_INVALID, "--nflog-default needs --nflog-group");
	if (o->nflog.pattern && !o->nflog.group_count)
		return err_set(e, ERR_INVALID, "--nflog-pattern needs --nflog-group");
	if (o->replay.repeat > 1 && o->replay.path && strcmp(o->replay.path, "-") == 0)
		return err_set(e, ERR_INVALID,
			       "--replay-repeat: standard input can be read only once");
	if (!o->bpf && !o->nflog.group_count && !o->replay.path && !o->hubble.address &&
	    !o->cilium.monitor && !o->cilium.perf)
		return err_set(e, ERR_INVALID,
			       "--no-bpf leaves nothing to observe; add --nflog-group, --replay, "
			       "--hubble-server or --cilium-monitor");
	if (check_cilium(o, e) != ERR_OK || check_kubernetes(o, e) != ERR_OK)
		return e->code;
	return check_hubble(o, e);
}

enum err_code obs_options_read(int argc, const char *const *argv, struct obs_options *ret,
			       struct err *e)
{
	struct obs_options o = {
		.bpf = true,
		.ring_capacity = 65535,
		.metrics_series = 20000,
		.log_level = LOG_INFO,
		.ready_fd = -1,
		.bpf_config = { .traces = true, .drops = true },
		.hubble = { .history_ns = 3600 * NS_PER_S },
		.store = { .retention_ns = 7 * 86400 * NS_PER_S,
			   .retention_bytes = UINT64_C(10) << 30 },
		.cilium = { .redact.http_userinfo = true },
	};

	struct opt_reader r = opt_reader_of(table, OPT_COUNT_, argc, argv);
	const char *value;
	enum err_code code;
	size_t id;
	while ((code = opt_next(&r, &id, &value, e)) == ERR_OK) {
		code = set_option(&o, (enum option_id)id, value, e);
		if (code != ERR_OK)
			return code;
	}
	if (code != ERR_CLOSED)
		return code;
	*ret = o;
	ret->bpf_config.interfaces = ret->interfaces;
	ret->nflog.groups = ret->nflog_groups;
	ret->hubble_tls.ca_files = ret->hubble_ca_files;
	if (ret->hubble.tls)
		ret->hubble.tls = &ret->hubble_tls;
	if (ret->help || ret->version)
		return ERR_OK;
	code = choose_sources(ret, e);
	if (code == ERR_OK)
		code = check_metrics(ret, e);
	return code == ERR_OK ? check_together(ret, e) : code;
}
