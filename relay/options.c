#include "relay/options.h"

enum {
	DEFAULT_SORT_WINDOW = 100, /* both as Hubble Relay's */
	DEFAULT_DRAIN_S = 1,
	DEFAULT_PEER_TIMEOUT_S = 3,
	DEFAULT_PEER_INTERVAL_S = 20,
	DEFAULT_DNS_INTERVAL_S = 30,
	DEFAULT_CLICKHOUSE_QUERIES = 32,
};

static enum err_code take_peer(const struct opt_row *row, void *options, const char *value,
			       struct err *e)
{
	struct rly_options *o = options;

	if (o->peer_count == RLY_OPTIONS_PEERS)
		return err_set(e, ERR_INVALID, "--%s is given more than %d times; see --peers-file",
			       row->name, RLY_OPTIONS_PEERS);
	if (peer_spec_parse(str_of(value), &o->peers[o->peer_count], e) != ERR_OK)
		return err_in(e, "--%s", row->name);
	o->peer_count++;
	return ERR_OK;
}

static enum err_code add_question(const struct opt_row *row, struct rly_options *o, bool srv,
				  const char *value, struct err *e)
{
	if (o->dns_count == RLY_OPTIONS_LIST)
		return err_set(e, ERR_INVALID, "--%s: more than %d names", row->name,
			       RLY_OPTIONS_LIST);
	if (!*value)
		return opt_bad(row, value, "a name", e);
	o->dns[o->dns_count++] = (struct dns_question){ srv, value };
	return ERR_OK;
}

static enum err_code take_dns(const struct opt_row *row, void *options, const char *value,
			      struct err *e)
{
	return add_question(row, options, false, value, e);
}

static enum err_code take_srv(const struct opt_row *row, void *options, const char *value,
			      struct err *e)
{
	return add_question(row, options, true, value, e);
}

static const struct opt_row peer_rows[] = {
	{ "peer", "NAME=ADDRESS[,TLS-NAME]", "an observer or relay to ask; repeatable",
	  OPT_OWN(take_peer) },
	{ "peer-ca-file", "FILE",
	  "believe peers signed by this (PEM), implies --peer-tls; repeatable",
	  OPT_LIST(struct rly_options, peer_ca_files, peer_files.ca_file_count) },
	{ "peer-cert-file", "FILE", "our certificate chain (PEM) towards peers",
	  OPT_TEXT(struct rly_options, peer_files.cert_file) },
	{ "peer-dns", "HOST:PORT",
	  "every address of HOST is a peer; asked again and again; repeatable", OPT_OWN(take_dns) },
	{ "peer-dns-interval", "TIME", "between two questions to the name service (default 30s)",
	  OPT_DURATION(struct rly_options, dns_interval_ns), .min = 100 * NS_PER_MS,
	  .max = 3600 * NS_PER_S, .want = "a time from 100ms to 1h, such as 30s" },
	{ "peer-interval", "TIME", "how often a peer is asked whether it lives (default 20s)",
	  OPT_DURATION(struct rly_options, peer_interval_ns), .min = NS_PER_S,
	  .max = 3600 * NS_PER_S, .want = "a time from 1s to 1h, such as 20s" },
	{ "peer-key-file", "FILE", "private key (PEM) of --peer-cert-file",
	  OPT_TEXT(struct rly_options, peer_files.key_file) },
	{ "peer-service", "ADDRESS",
	  "server that tells of peers as they come and go (peer.Peer/Notify)",
	  OPT_TEXT(struct rly_options, peer_service) },
	{ "peer-service-tls-name", "NAME",
	  "name to expect in the peer service's certificate (default: its host)",
	  OPT_TEXT(struct rly_options, peer_service_tls_name) },
	{ "peer-srv", "NAME",
	  "every target of NAME's SRV records is a peer, as with --peer-dns; repeatable",
	  OPT_OWN(take_srv) },
	{ "peer-timeout", "TIME", "how long a peer may take to show that it lives (default 3s)",
	  OPT_DURATION(struct rly_options, peer_timeout_ns), .min = NS_PER_MS, .max = 60 * NS_PER_S,
	  .want = "a time from 1ms to 1m, such as 500ms" },
	{ "peer-tls", NULL, "TLS to peers; without --peer-ca-file, the system's CAs are believed",
	  OPT_FLAG(struct rly_options, peer_tls) },
	{ "peers-file", "FILE",
	  "more peers, one NAME=ADDRESS[,TLS-NAME] a line; reread when it changes",
	  OPT_TEXT(struct rly_options, peers_file) },
};

static const struct opt_row archive_rows[] = {
	{ "clickhouse-queries", "N", "how many are answered at a time (default 32)",
	  OPT_NUMBER(struct rly_options, clickhouse_queries), .min = 1, .max = 1000,
	  .want = "a number of queries from 1 to 1000" },
};

static const struct opt_row answer_rows[] = {
	{ "forward-authorization", NULL, "pass the caller's authorization on to the peers",
	  OPT_FLAG(struct rly_options, forward_authorization) },
	{ "listen", "ADDRESS",
	  "where to answer: unix:///path or host:port; repeatable (default localhost:4245)",
	  OPT_LIST(struct rly_options, serve.listen, serve.listen_count) },
	{ "node-name", "NAME", "who signs what the relay says itself (default: host name)",
	  OPT_TEXT(struct rly_options, node_name) },
	{ "sort-buffer-drain-timeout", "TIME",
	  "how long a silent peer may hold up the others (default 1s)",
	  OPT_DURATION(struct rly_options, drain_ns), .min = NS_PER_MS, .max = 60 * NS_PER_S,
	  .want = "a time from 1ms to 1m, such as 500ms" },
	{ "sort-buffer-len-max", "N",
	  "live flows of each peer held back to be put in order (default 100)",
	  OPT_NUMBER(struct rly_options, sort_window), .min = 1, .max = 1000000,
	  .want = "a number of flows from 1 to 1000000" },
};

static const struct opt_row metrics_rows[] = {
	{ "metrics-listen", "ADDRESS",
	  "host:port to answer /metrics, /healthz and /readyz on, such as 127.0.0.1:9966 "
	  "(default: none)",
	  OPT_TEXT(struct rly_options, serve.metrics_listen) },
};

static const struct opt_group groups[] = {
	{ "Whom it asks", peer_rows, ARRAY_LEN(peer_rows), 0 },
	CLICKHOUSE_GROUP(struct rly_options, clickhouse),
	{ CLICKHOUSE_TITLE, archive_rows, ARRAY_LEN(archive_rows), 0 },
	{ "Answers", answer_rows, ARRAY_LEN(answer_rows), 0 },
	SERVE_GROUP(struct rly_options, serve),
	{ "Metrics", metrics_rows, ARRAY_LEN(metrics_rows), 0 },
	SERVE_METRICS_GROUP(struct rly_options, serve),
	OPT_COMMON_GROUP(struct rly_options, common),
};

const struct opt_program rly_program = { "tycho-relay", TYCHO_VERSION,
					 "tycho-relay makes many observers look like one.", groups,
					 ARRAY_LEN(groups) };

static enum err_code check_peers(const struct rly_options *o, struct err *e)
{
	const struct rpc_tls *tls = &o->peer_files;

	if (opt_both("peer-cert-file", tls->cert_file, "peer-key-file", tls->key_file, e) != ERR_OK)
		return e->code;
	if (!o->peer_count && !o->peers_file && !o->peer_service && !o->dns_count)
		return err_set(e, ERR_INVALID,
			       "there is nobody to ask; give --peer, --peers-file, --peer-dns, "
			       "--peer-srv, --peer-service or --clickhouse");
	for (size_t i = 0; i < o->peer_count; i++)
		if (o->peers[i].tls_name.len && !o->peer_tls)
			return err_set(e, ERR_INVALID,
				       "--peer %.*s=…,%.*s: a TLS name needs --peer-tls or "
				       "--peer-ca-file",
				       STR_FMT(o->peers[i].name), STR_FMT(o->peers[i].tls_name));
	return ERR_OK;
}

/* Who is asked about ClickHouse asks nobody else: its options are of no use beside those. */
static enum err_code check_archive(const struct rly_options *o, int argc, const char *const *argv,
				   struct err *e)
{
	static const char *const others[] = { "forward-authorization", "sort-buffer-drain-timeout",
					      "sort-buffer-len-max" };

	for (size_t i = 0; i < ARRAY_LEN(peer_rows) + ARRAY_LEN(others); i++) {
		const char *name = i < ARRAY_LEN(peer_rows) ? peer_rows[i].name
							    : others[i - ARRAY_LEN(peer_rows)];
		if (opt_is_given(&rly_program, argc, argv, name))
			return err_set(e, ERR_INVALID,
				       "--%s is of no use with --clickhouse, where no peers are "
				       "asked",
				       name);
	}
	return clickhouse_options_check(&o->clickhouse, e);
}

/* Nothing that is asked for is silently left undone. */
static enum err_code check_needs(const struct rly_options *o, int argc, const char *const *argv,
				 struct err *e)
{
	static const char tls_what[] = "--peer-tls or --peer-ca-file";
	const struct opt_need needs[] = {
		{ "clickhouse-queries", o->clickhouse.url, "--clickhouse" },
		{ "peer-cert-file", o->peer_tls, tls_what },
		{ "peer-dns-interval", o->dns_count, "--peer-dns or --peer-srv" },
		{ "peer-service-tls-name", o->peer_service, "--peer-service" },
		{ "peer-service-tls-name", o->peer_tls, tls_what },
	};
	return opt_check_needs(&rly_program, argc, argv, needs, ARRAY_LEN(needs), e);
}

enum err_code rly_options_read(int argc, const char *const *argv, struct rly_options *ret,
			       struct err *e)
{
	*ret = (struct rly_options){
		.sort_window = DEFAULT_SORT_WINDOW,
		.drain_ns = DEFAULT_DRAIN_S * NS_PER_S,
		.dns_interval_ns = DEFAULT_DNS_INTERVAL_S * NS_PER_S,
		.peer_timeout_ns = DEFAULT_PEER_TIMEOUT_S * NS_PER_S,
		.peer_interval_ns = DEFAULT_PEER_INTERVAL_S * NS_PER_S,
		.clickhouse_queries = DEFAULT_CLICKHOUSE_QUERIES,
		.common = OPT_COMMON_DEFAULT,
	};
	enum err_code code = opt_read(&rly_program, argc, argv, ret, e);
	if (code != ERR_OK || ret->common.help || ret->common.version)
		return code;
	ret->peer_files.ca_files = ret->peer_ca_files;
	ret->peer_tls = ret->peer_tls || ret->peer_files.ca_file_count;
	code = serve_check(&ret->serve, e);
	if (code == ERR_OK && ret->clickhouse.url)
		return check_archive(ret, argc, argv, e);
	if (code == ERR_OK)
		code = clickhouse_options_check(&ret->clickhouse, e);
	if (code == ERR_OK)
		code = check_peers(ret, e);
	return code == ERR_OK ? check_needs(ret, argc, argv, e) : code;
}
