/*
 * options - the command line of tycho-relay, read into one struct.
 */
#ifndef TYCHO_RELAY_OPTIONS_H
#define TYCHO_RELAY_OPTIONS_H

#include "base/err.h"
#include "base/log.h"
#include "relay/dns.h"
#include "relay/peers.h"

enum { RLY_OPTIONS_LIST = 64, RLY_OPTIONS_PEERS = 1000 };

/* Texts are borrowed from argv. */
struct rly_options {
	const char *listen[RLY_OPTIONS_LIST];
	size_t listen_count;
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
	const char *peer_ca_files[RLY_OPTIONS_LIST];
	size_t peer_ca_count;
	const char *peer_cert_file, *peer_key_file;
	const char *tls_cert_file, *tls_key_file;
	const char *tls_client_ca_files[RLY_OPTIONS_LIST];
	size_t tls_client_ca_count;
	const char *access_file; /* NULL: everybody may see everything */
	bool insecure_listen;
	const char *metrics_listen; /* NULL: no endpoint */
	const char *metrics_tls_cert_file, *metrics_tls_key_file;
	const char *metrics_tls_client_ca_files[RLY_OPTIONS_LIST];
	size_t metrics_tls_client_ca_count;
	const char *metrics_users_file; /* NULL: no password asked */
	bool forward_authorization;
	size_t sort_window;
	uint64_t drain_ns, peer_timeout_ns;
	enum log_level log_level;
	int ready_fd; /* -1: none */
	bool help, version;
};

/* ERR_INVALID with one sentence that names the option; *@ret is then of no use. */
MUST_CHECK enum err_code rly_options_read(int argc, const char *const *argv,
					  struct rly_options *ret, struct err *e);
void rly_options_help(void);

#endif
