/*
 * https - TLS of what is served over HTTP, the metrics and the page: a context made from PEM files,
 * made anew when they change.
 *
 * TLS 1.3 only, as Hubble's metrics. With CA files, clients must show a certificate that one of
 * them signed.
 *
 * Threads  one at a time.
 */
#ifndef TYCHO_METRICS_HTTPS_H
#define TYCHO_METRICS_HTTPS_H

#include <openssl/ssl.h>

#include "base/err.h"
#include "base/str.h"

struct rpc_tls;
struct https;

/* As rpc_server_new says about certificates. @what is served, for the log: "metrics"; borrowed. */
MUST_CHECK enum err_code https_new(const struct rpc_tls *tls, const char *what, struct https **ret,
				   struct err *e);
void https_free(struct https *h);
AUTO_DEFINE(struct https, https_free);

/* The context as the files are now: rereads those that changed; broken ones are logged, and the old
 * identity stays. Borrowed until the next call. */
SSL_CTX *https_context(struct https *h);
/* A connection on @fd, to be accepted, with that context; own (SSL_free). NULL: out of memory. */
SSL *https_accept(struct https *h, int fd);

/* When the first certificate in the PEM file at @path ends, in seconds since the epoch. */
bool https_certificate_end(const char *path, int64_t *ret_s);

#endif
