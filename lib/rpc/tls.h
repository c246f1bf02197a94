/*
 * tls - identities from PEM files, checked before gRPC sees them, read again when they change.
 *
 * gRPC says no more than "no" to a bad certificate, so libcrypto looks first and finds the words. A
 * tls_files is a copy of somebody's struct rpc_tls; credentials made from it may outlive it.
 */
#ifndef TYCHO_RPC_TLS_H
#define TYCHO_RPC_TLS_H

#include <grpc/grpc_security.h>

#include "base/err.h"
#include "base/str.h"

struct rpc_tls;
struct tls_files;

/* Copies @tls; reads nothing yet. */
MUST_CHECK enum err_code tls_files_new(const struct rpc_tls *tls, struct tls_files **ret,
				       struct err *e);
void tls_files_free(struct tls_files *f); /* NULL is a no-op */
AUTO_DEFINE(struct tls_files, tls_files_free);
/* Any file looks other than when it was last read (time, size or inode), or never was. One thread
 * at a time. */
bool tls_files_changed(const struct tls_files *f);
/* Name to expect of the server, NULL to take the address's. */
const char *tls_files_server_name(const struct tls_files *f);

/* What is in the files, checked; each NULL when not given. Own; what was in
 * the files of certificate and key is wiped when it is done. */
struct tls_pem {
	char *cert, *key, *ca;
};
void tls_pem_done(struct tls_pem *p);
/* Reads and checks all files, and remembers how they looked, good or not: a broken file is
 * complained about once. */
MUST_CHECK enum err_code tls_files_read(struct tls_files *f, struct tls_pem *ret, struct err *e);

/* Credentials of a channel, from the files as they are. Own: grpc_channel_credentials_release. */
MUST_CHECK enum err_code tls_channel_creds(struct tls_files *f, grpc_channel_credentials **ret,
					   struct err *e);

/* Credentials of one listening port: gRPC asks it for news at each handshake, per port, so ports
 * cannot share. Must live until the server that uses it is gone. */
struct tls_port;
MUST_CHECK enum err_code tls_port_new(const struct rpc_tls *tls, struct tls_port **ret,
				      struct err *e);
void tls_port_free(struct tls_port *p); /* NULL is a no-op */
AUTO_DEFINE(struct tls_port, tls_port_free);
/* Borrow. */
grpc_server_credentials *tls_port_creds(const struct tls_port *p);

#endif
