/*
 * send_tls - bytes over a connected TCP socket to somebody who speaks TLS 1.2 or 1.3 and proves
 * to be the host that is meant; both sides close (RFC 5425 §4.2, §4.4).
 *
 * Files    PEM, read anew each time: renewed certificates need no restart.
 * Time     that of the socket (SO_SNDTIMEO, SO_RCVTIMEO), for each step.
 * Signals  SIGPIPE is the caller's: blocked or ignored.
 */
#ifndef TYCHO_EVIDENCE_SEND_TLS_H
#define TYCHO_EVIDENCE_SEND_TLS_H

#include "base/err.h"
#include "base/str.h"

struct send_tls {
	const char *ca_file;              /* NULL: the system's authorities */
	const char *cert_file, *key_file; /* ours, for those who ask for one; NULL: none */
};

/* Whether the files can be used. ERR_INVALID names the one that cannot. */
MUST_CHECK enum err_code send_tls_check(const struct send_tls *tls, struct err *e);

/* @host: a name or an address, which the certificate must have. ERR_OK: all of @s was written and
 * the other side has closed without a complaint (an end without its close_notify counts, too, as
 * not every receiver sends one). @fd stays open. */
MUST_CHECK enum err_code send_over_tls(int fd, const char *host, const struct send_tls *tls,
				       struct str s, struct err *e);

#endif
