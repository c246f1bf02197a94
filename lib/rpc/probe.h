/*
 * probe - the way to a server, one step at a time, for whoever must say where it ends.
 *
 *	address_resolve ──► probe_connect ──► probe_tls
 *
 * gRPC says "unavailable" to all of it. Nothing here is used to talk to a server.
 *
 * Threads  any; each blocks for at most its timeout.
 */
#ifndef TYCHO_RPC_PROBE_H
#define TYCHO_RPC_PROBE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

struct address;
struct rpc_tls;

/* Connects to a numeric address or a unix socket. *@ret_fd is the caller's to close. Fails with
 * what the system says, or ERR_TIMEOUT. */
MUST_CHECK enum err_code probe_connect(const struct address *numeric, uint64_t timeout_ns,
				       int *ret_fd, struct err *e);

enum { PROBE_TEXT_BYTES = 256, PROBE_NAMES_BYTES = 1024 };

/* What the server showed, believed or not. */
struct probe_tls {
	char protocol[32];              /* "TLSv1.3" */
	char subject[PROBE_TEXT_BYTES]; /* of its certificate */
	char issuer[PROBE_TEXT_BYTES]; /* of the last certificate it sent: whose authority is wanted
					*/
	char names[PROBE_NAMES_BYTES]; /* "a.example, *.b.example" */
	int64_t expires_s;             /* since 1970; of the certificate that expires first */
	char chain[PROBE_TEXT_BYTES];  /* why we would not believe it; "": we do */
	bool name_fits;                /* the name that is expected is among @names */
	bool has_expired, is_self_signed; /* reasons in @chain that one can do something about */
};

/* A handshake on @fd as a client with these files, which expects @name. The certificate is looked
 * at but does not end the handshake; one that the server wants of us may. ERR_UNSUPPORTED: the
 * server speaks no TLS. ERR_PERMISSION: it wants a certificate of us, or another one.
 * ERR_NOT_FOUND, ERR_PARSE: our files. ERR_TIMEOUT, ERR_CLOSED. *@ret is filled as far as it came,
 * on failure too. */
MUST_CHECK enum err_code probe_tls(int fd, const struct rpc_tls *tls, const char *name,
				   uint64_t timeout_ns, struct probe_tls *ret, struct err *e);

#endif
