/*
 * address - the forms in which people write where to listen and what to call.
 *
 *	host:port   [::1]:port   :port   tls://host:port   unix:///path   unix:/path
 */
#ifndef TYCHO_RPC_ADDRESS_H
#define TYCHO_RPC_ADDRESS_H

#include <sys/un.h>

#include "base/err.h"
#include "base/str.h"

struct address {
	bool is_unix, is_tls;
	/* without brackets; "" means every interface (listen) or localhost (call) */
	char host[256];
	uint16_t port;
	char path[sizeof(((struct sockaddr_un *)0)->sun_path)]; /* unix sockets */
};

/* Fails with ERR_INVALID. */
MUST_CHECK enum err_code address_parse(struct str text, struct address *ret, struct err *e);

enum { ADDRESS_TARGET_BYTES = 400 };
/* As grpc_channel_create takes it: "ipv4:127.0.0.1:4245", "dns:///node1:4245", "unix:/run/x". */
void address_target(const struct address *a, char out[static ADDRESS_TARGET_BYTES]);
/* As grpc_server_add_http2_port takes it, for numeric hosts and sockets. */
void address_port_name(const struct address *a, char out[static ADDRESS_TARGET_BYTES]);

/* The numeric addresses @a stands for, at most @max: "localhost" has two, "" one that takes all
 * families. Fails with ERR_NOT_FOUND: no such host. */
MUST_CHECK enum err_code address_resolve(const struct address *a, struct address *out, size_t max,
					 size_t *ret_count, struct err *e);
/* Where others reach who listens on @a, as "host:port". One who listens on every interface is told
 * of by the address that this machine calls others from, IPv4 first. false: others cannot. No
 * waiting: asks routes and interfaces only. */
bool address_for_others(const struct address *a, char out[static ADDRESS_TARGET_BYTES]);
/* Whether one could listen on a numeric address just now: gRPC itself only answers yes or no. Fails
 * with ERR_EXISTS, ERR_PERMISSION, …. A unix socket nobody listens on any more is removed. */
MUST_CHECK enum err_code address_probe(const struct address *a, struct err *e);

#endif
