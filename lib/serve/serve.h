/*
 * serve - what observer and relay have in common as servers: where they answer and for whom, as
 * their command lines say it.
 *
 *	--listen, --tls-…, --access-file ──► rpc_listen, for rpc_server_new
 *	--metrics-listen, --metrics-tls-… ──► metrics_server
 *	both ──► "ready localhost:4245 metrics=127.0.0.1:9966"
 *
 * The rows of --listen and --metrics-listen are the program's own, for their defaults differ.
 */
#ifndef TYCHO_SERVE_SERVE_H
#define TYCHO_SERVE_SERVE_H

#include "base/opt.h"
#include "metrics/server.h"
#include "rpc/server.h"

enum { SERVE_LIST = 64 /* addresses, CA files */ };

/* Texts are borrowed from argv. */
struct serve_options {
	const char *listen[SERVE_LIST];
	size_t listen_count;
	bool insecure_listen;
	struct rpc_tls tls; /* cert_file NULL: none */
	const char *client_ca_files[SERVE_LIST];
	const char *access_file;    /* NULL: everybody may see everything */
	const char *metrics_listen; /* NULL: no endpoint */
	struct rpc_tls metrics_tls;
	const char *metrics_client_ca_files[SERVE_LIST];
	const char *metrics_users_file; /* NULL: no password asked */
};

enum { SERVE_ROWS = 5, SERVE_METRICS_ROWS = 4 };
extern const struct opt_row serve_rows[SERVE_ROWS];
extern const struct opt_row serve_metrics_rows[SERVE_METRICS_ROWS];
#define SERVE_GROUP(type, field)                                                                   \
	{                                                                                          \
		"Answers", serve_rows, SERVE_ROWS, offsetof(type, field)                           \
	}
#define SERVE_METRICS_GROUP(type, field)                                                           \
	{                                                                                          \
		"Metrics", serve_metrics_rows, SERVE_METRICS_ROWS, offsetof(type, field)           \
	}

/* What was read belongs together, or ERR_INVALID. Fills in what points into *@o, which stays where
 * it is from then on. */
MUST_CHECK enum err_code serve_check(struct serve_options *o, struct err *e);

/* One for each of listen_count. Unix sockets are for owner and group and have no TLS. Plain text
 * beyond loopback is only given out to those who asked for it by name (ERR_INVALID), and warned
 * of. */
MUST_CHECK enum err_code serve_listens(const struct serve_options *o,
				       struct rpc_listen ret[SERVE_LIST], struct err *e);
/* Which of the addresses others are told of: the first that other machines can reach, else the first
 * that is no unix socket. false: there is none. */
bool serve_network_listen(const struct serve_options *o, size_t *ret_i);

/* The endpoint of --metrics-listen; @config says all but where and for whom. */
MUST_CHECK enum err_code serve_metrics(const struct serve_options *o,
				       const struct metrics_server_config *config,
				       struct metrics_server **ret, struct err *e);

/* Logs @event with @node and the addresses, with the ports that were really given, and tells
 * whoever started us. @metrics_port 0: no endpoint. */
void serve_tell_ready(const struct serve_options *o, const struct opt_common *common,
		      const char *event, const char *node, struct rpc_server *server,
		      int metrics_port);

#endif
