/*
 * options - the command line of tycho-relay, read into one struct.
 */
#ifndef TYCHO_RELAY_OPTIONS_H
#define TYCHO_RELAY_OPTIONS_H

#include "base/opt.h"
#include "clickhouse/options.h"
#include "config.h"
#include "relay/dns.h"
#include "relay/peers.h"
#include "serve/serve.h"

#define RLY_VERSION "tycho-relay v" TYCHO_VERSION
enum { RLY_OPTIONS_LIST = 64, RLY_OPTIONS_PEERS = 1000 };

/* Texts are borrowed from argv. */
struct rly_options {
	struct opt_common common;
	struct serve_options serve;
	const char *node_name; /* NULL: the host's */
	struct peer_spec peers[RLY_OPTIONS_PEERS];
	size_t peer_count;
	const char *peers_file; /* NULL: none */
	struct dns_question dns[RLY_OPTIONS_LIST];
	size_t dns_count;
	uint64_t dns_interval_ns;
	const char *peer_service; /* NULL: none */
	const char *peer_service_tls_name;
	bool peer_tls;
	struct rpc_tls peer_files; /* of use with @peer_tls */
	const char *peer_ca_files[RLY_OPTIONS_LIST];
	bool forward_authorization;
	size_t sort_window;
	uint64_t drain_ns, peer_timeout_ns, peer_interval_ns;
	struct clickhouse_config clickhouse; /* url NULL: peers are asked */
	size_t clickhouse_queries;
};

/* ERR_INVALID with one sentence that names the option; *@ret is then of no use. It holds pointers
 * into itself: it stays where it is. */
MUST_CHECK enum err_code rly_options_read(int argc, const char *const *argv,
					  struct rly_options *ret, struct err *e);
/* For --help and --version. */
extern const struct opt_program rly_program;

#endif
