/*
 * https - TLS of the metrics endpoint: a context made from PEM files, made anew when they change.
 *
 * TLS 1.3 only, as Hubble's. With CA files, clients must show a certificate that one of them
 * signed.
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

/* As rpc_server_new says about certificates. */
MUST_CHECK enum err_code https_new(const struct rpc_tls *tls, struct https **ret, struct err *e);
void https_free(struct https *h);
AUTO_DEFINE(struct https, https_free);

/* A connection on @fd, to be accepted; own (SSL_free). Rereads files that changed; broken ones are
 * logged, and the old identity stays. NULL: out of memory. */
SSL *https_accept(struct https *h, int fd);

/* When the first certificate in the PEM file at @path ends, in seconds since the epoch. */
bool https_certificate_end(const char *path, int64_t *ret_s);

#endif
