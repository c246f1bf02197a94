#include "relay/options.h"

#include "base/opt.h"

enum {
	DEFAULT_SORT_WINDOW = 100, /* both as Hubble Relay's */
	DEFAULT_DRAIN_S = 1,
	DEFAULT_PEER_TIMEOUT_S = 3,
	DEFAULT_DNS_INTERVAL_S = 30,
};

/* One row per option: name, argument (NULL: none), help. Drives reading and --help alike. */
enum option_id {
	OPT_ACCESS_FILE,
	OPT_FORWARD_AUTHORIZATION,
	OPT_HELP,
	OPT_INSECURE_LISTEN,
	OPT_LISTEN,
	OPT_LOG_LEVEL,
	OPT_METRICS_LISTEN,
	OPT_METRICS_TLS_CERT_FILE,
	OPT_METRICS_TLS_CLIENT_CA_FILE,
	OPT_METRICS_TLS_KEY_FILE,
	OPT_METRICS_USERS_FILE,
	OPT_NODE_NAME,
	OPT_PEER,
	OPT_PEER_CA_FILE,
	OPT_PEER_CERT_FILE,
	OPT_PEER_DNS,
	OPT_PEER_DNS_INTERVAL,
	OPT_PEER_KEY_FILE,
	OPT_PEER_SERVICE,
	OPT_PEER_SERVICE_TLS_NAME,
	OPT_PEER_SRV,
	OPT_PEER_TIMEOUT,
	OPT_PEER_TLS,
	OPT_PEERS_FILE,
	OPT_READY_FD,
	OPT_SORT_BUFFER_DRAIN_TIMEOUT,
	OPT_SORT_BUFFER_LEN_MAX,
	OPT_TLS_CERT_FILE,
	OPT_TLS_CLIENT_CA_FILE,
	OPT_TLS_KEY_FILE,
	OPT_VERSION,
	OPT_COUNT_
};

static const struct opt_row table[] = {
	[OPT_ACCESS_FILE] = { "access-file", "FILE",
			      "who may see the flows of which namespaces; reread when it changes" },
	[OPT_FORWARD_AUTHORIZATION] = { "forward-authorization", NULL,
					"pass the caller's authorization on to the peers" },
	[OPT_HELP] = { "help", NULL, "print this text" },
	[OPT_INSECURE_LISTEN] = { "insecure-listen", NULL,
				  "allow plain text on addresses beyond loopback" },
	[OPT_LISTEN] = { "listen", "ADDRESS",
			 "where to answer: unix:///path or host:port; repeatable "
			 "(default localhost:4245)" },
	[OPT_LOG_LEVEL] = { "log-level", "LEVEL", "debug, info, warn or error (default info)" },
	[OPT_METRICS_LISTEN] = { "metrics-listen", "ADDRESS",
				 "host:port to answer /metrics, /healthz and /readyz on, such as "
				 "127.0.0.1:9966 (default: none)" },
	[OPT_METRICS_TLS_CERT_FILE] = { "metrics-tls-cert-file", "FILE",
					"certificate chain (PEM) of the metrics address" },
	[OPT_METRICS_TLS_CLIENT_CA_FILE] = { "metrics-tls-client-ca-file", "FILE",
					     "demand certificates signed by this from who asks "
					     "for metrics; repeatable" },
	[OPT_METRICS_TLS_KEY_FILE] = { "metrics-tls-key-file", "FILE",
				       "private key (PEM) of --metrics-tls-cert-file" },
	[OPT_METRICS_USERS_FILE] = { "metrics-users-file", "FILE",
				     "name:hash lines (htpasswd -B): who may ask for /metrics" },
	[OPT_NODE_NAME] = { "node-name", "NAME",
			    "who signs what the relay says itself (default: host name)" },
	[OPT_PEER] = { "peer", "NAME=ADDRESS[,TLS-NAME]",
		       "an observer or relay to ask; repeatable" },
	[OPT_PEER_CA_FILE] = { "peer-ca-file", "FILE",
			       "believe peers signed by this (PEM), implies --peer-tls; "
			       "repeatable" },
	[OPT_PEER_CERT_FILE] = { "peer-cert-file", "FILE",
				 "our certificate chain (PEM) towards peers" },
	[OPT_PEER_DNS] = { "peer-dns", "HOST:PORT",
			   "every address of HOST is a peer; asked again and again; repeatable" },
	[OPT_PEER_DNS_INTERVAL] = { "peer-dns-interval", "TIME",
				    "between two questions to the name service (default 30s)" },
	[OPT_PEER_KEY_FILE] = { "peer-key-file", "FILE", "private key (PEM) of --peer-cert-file" },
	[OPT_PEER_SERVICE] = { "peer-service", "ADDRESS",
			       "server that tells of peers as they come and go "
			       "(peer.Peer/Notify)" },
	[OPT_PEER_SERVICE_TLS_NAME] = { "peer-service-tls-name", "NAME",
					"name to expect in the peer service's certificate "
					"(default: its host)" },
	[OPT_PEER_SRV] = { "peer-srv", "NAME",
			   "every target of NAME's SRV records is a peer, as with --peer-dns; "
			   "repeatable" },
	[OPT_PEER_TIMEOUT] = { "peer-timeout", "TIME",
			       "how long a peer may take to show that it lives (default 3s)" },
	[OPT_PEER_TLS] = { "peer-tls", NULL,
			   "TLS to peers; without --peer-ca-file, the system's CAs are believed" },
	[OPT_PEERS_FILE] = { "peers-file", "FILE",
			     "more peers, one NAME=ADDRESS[,TLS-NAME] a line; "
			     "reread when it changes" },
	[OPT_READY_FD] = { "ready-fd", "FD",
			   "write one line to this descriptor when serving, then close it" },
	[OPT_SORT_BUFFER_DRAIN_TIMEOUT] = { "sort-buffer-drain-timeout", "TIME",
					    "how long a silent peer may hold up the others "
					    "(default 1s)" },
	[OPT_SORT_BUFFER_LEN_MAX] = { "sort-buffer-len-max", "N",
				      "live flows of each peer held back to be put in order "
				      "(default 100)" },
	[OPT_TLS_CERT_FILE] = { "tls-cert-file", "FILE",
				"certificate chain (PEM) for TCP addresses" },
	[OPT_TLS_CLIENT_CA_FILE] = { "tls-client-ca-file", "FILE",
				     "demand client certificates signed by this; repeatable" },
	[OPT_TLS_KEY_FILE] = { "tls-key-file", "FILE", "private key (PEM) of --tls-cert-file" },
	[OPT_VERSION] = { "version", NULL, "print the version" },
};
_Static_assert(ARRAY_LEN(table) == OPT_COUNT_, "an option without a row");

void rly_options_help(void)
{
	opt_help("tycho-relay makes many observers look like one.\n"
		 "\n"
		 "Usage: tycho-relay [OPTION]…",
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
	return opt_add(list, count, RLY_OPTIONS_LIST, &table[id], value, e);
}

static enum err_code add_peer(struct rly_options *o, const char *value, struct err *e)
{
	if (o->peer_count == RLY_OPTIONS_PEERS)
		return err_set(e, ERR_INVALID,
			       "--peer is given more than %d times; see --peers-file",
			       RLY_OPTIONS_PEERS);
	if (peer_spec_parse(str_of(value), &o->peers[o->peer_count], e) != ERR_OK)
		return err_in(e, "--peer");
	o->peer_count++;
	return ERR_OK;
}

static enum err_code add_question(struct rly_options *o, enum option_id id, const char *value,
				  struct err *e)
{
	if (o->dns_count == RLY_OPTIONS_LIST)
		return err_set(e, ERR_INVALID, "--%s: more than %d names", table[id].name,
			       RLY_OPTIONS_LIST);
	if (!*value)
		return bad_value(e, id, value, "a name");
	o->dns[o->dns_count++] = (struct dns_question){ id == OPT_PEER_SRV, value };
	return ERR_OK;
}

static enum err_code set_number(struct rly_options *o, enum option_id id, const char *value,
				struct err *e)
{
	uint64_t n;
	int64_t ns;

	switch (id) {
	case OPT_READY_FD:
		return opt_fd(&table[id], value, &o->ready_fd, e);
	case OPT_PEER_DNS_INTERVAL:
		if (!duration_parse(str_of(value), &ns) || ns < (int64_t)(100 * NS_PER_MS) ||
		    ns > (int64_t)(3600 * NS_PER_S))
			return bad_value(e, id, value, "a time from 100ms to 1h, such as 30s");
		o->dns_interval_ns = (uint64_t)ns;
		return ERR_OK;
	case OPT_PEER_TIMEOUT:
	case OPT_SORT_BUFFER_DRAIN_TIMEOUT:
		if (!duration_parse(str_of(value), &ns) || ns < (int64_t)NS_PER_MS ||
		    ns > (int64_t)(60 * NS_PER_S))
			return bad_value(e, id, value, "a time from 1ms to 1m, such as 500ms");
		*(id == OPT_PEER_TIMEOUT ? &o->peer_timeout_ns : &o->drain_ns) = (uint64_t)ns;
		return ERR_OK;
	default:
		if (!parse_u64(str_of(value), 1000000, &n) || n == 0)
			return bad_value(e, id, value, "a number of flows from 1 to 1000000");
		o->sort_window = (size_t)n;
		return ERR_OK;
	}
}

static enum err_code set_option(struct rly_options *o, enum option_id id, const char *value,
				struct err *e)
{
	switch (id) {
	case OPT_ACCESS_FILE:
		o->access_file = value;
		return ERR_OK;
	case OPT_FORWARD_AUTHORIZATION:
		o->forward_authorization = true;
		return ERR_OK;
	case OPT_HELP:
		o->help = true;
		return ERR_OK;
	case OPT_INSECURE_LISTEN:
		o->insecure_listen = true;
		return ERR_OK;
	case OPT_LISTEN:
		return add_text(o->listen, &o->listen_count, id, value, e);
	case OPT_LOG_LEVEL:
		return opt_log_level(&table[id], value, &o->log_level, e);
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
	case OPT_NODE_NAME:
		o->node_name = value;
		return ERR_OK;
	case OPT_PEER:
		return add_peer(o, value, e);
	case OPT_PEER_CA_FILE:
		o->peer_tls = true;
		return add_text(o->peer_ca_files, &o->peer_ca_count, id, value, e);
	case OPT_PEER_CERT_FILE:
		o->peer_cert_file = value;
		return ERR_OK;
	case OPT_PEER_DNS:
	case OPT_PEER_SRV:
		return add_question(o, id, value, e);
	case OPT_PEER_KEY_FILE:
		o->peer_key_file = value;
		return ERR_OK;
	case OPT_PEER_SERVICE:
		o->peer_service = value;
		return ERR_OK;
	case OPT_PEER_SERVICE_TLS_NAME:
		o->peer_service_tls_name = value;
		return ERR_OK;
	case OPT_PEER_TLS:
		o->peer_tls = true;
		return ERR_OK;
	case OPT_PEERS_FILE:
		o->peers_file = value;
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

static enum err_code check_metrics(const struct rly_options *o, struct err *e)
{
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

static enum err_code check_together(const struct rly_options *o, struct err *e)
{
	if (!o->tls_cert_file != !o->tls_key_file)
		return err_set(e, ERR_INVALID,
			       "--tls-cert-file and --tls-key-file are needed together");
	if (o->tls_client_ca_count && !o->tls_cert_file)
		return err_set(e, ERR_INVALID,
			       "--tls-client-ca-file needs --tls-cert-file and --tls-key-file");
	if (!o->peer_cert_file != !o->peer_key_file)
		return err_set(e, ERR_INVALID,
			       "--peer-cert-file and --peer-key-file are needed together");
	if (o->peer_cert_file && !o->peer_tls)
		return err_set(e, ERR_INVALID,
			       "--peer-cert-file needs --peer-tls or --peer-ca-file");
	if (o->peer_service_tls_name && (!o->peer_service || !o->peer_tls))
		return err_set(e, ERR_INVALID,
			       "--peer-service-tls-name needs --peer-service and --peer-tls");
	if (!o->peer_count && !o->peers_file && !o->peer_service && !o->dns_count)
		return err_set(e, ERR_INVALID,
			       "there is nobody to ask; give --peer, --peers-file, --peer-dns, "
			       "--peer-srv or --peer-service");
	return ERR_OK;
}

enum err_code rly_options_read(int argc, const char *const *argv, struct rly_options *ret,
			       struct err *e)
{
	*ret = (struct rly_options){
		.sort_window = DEFAULT_SORT_WINDOW,
		.drain_ns = DEFAULT_DRAIN_S * NS_PER_S,
		.dns_interval_ns = DEFAULT_DNS_INTERVAL_S * NS_PER_S,
		.peer_timeout_ns = DEFAULT_PEER_TIMEOUT_S * NS_PER_S,
		.log_level = LOG_INFO,
		.ready_fd = -1,
	};
	struct opt_reader r = opt_reader_of(table, OPT_COUNT_, argc, argv);
	const char *value;
	enum err_code code;
	size_t id;
	while ((code = opt_next(&r, &id, &value, e)) == ERR_OK) {
		code = set_option(ret, (enum option_id)id, value, e);
		if (code != ERR_OK)
			return code;
	}
	if (code != ERR_CLOSED)
		return code;
	if (ret->help || ret->version)
		return ERR_OK;
	code = check_metrics(ret, e);
	return code == ERR_OK ? check_together(ret, e) : code;
}
