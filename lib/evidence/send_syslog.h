/*
 * send_syslog - one line to a syslog daemon, with facility daemon and level notice.
 *
 * Local    a datagram to a socket in the file system, in the words of syslog(3): journald and
 *          rsyslog's imuxsock read it. Unlike syslog(3) it says when nobody is there.
 * Far      RFC 5424 over TCP, a connection for each line, framed by its length (RFC 6587 §3.4.1).
 *          Taken is a line when the receiver has closed its side without a complaint.
 */
#ifndef TYCHO_EVIDENCE_SEND_SYSLOG_H
#define TYCHO_EVIDENCE_SEND_SYSLOG_H

#include "base/err.h"
#include "base/str.h"

/* @where: "/path" of a socket, or "host:port"; "[::1]:514". */
bool syslog_where_is_valid(const char *where);
/* Sends @line without its newline, waiting at most about @timeout_ms. ERR_UNAVAILABLE and others:
 * it was not taken. */
MUST_CHECK enum err_code send_to_syslog(const char *where, struct str line, unsigned timeout_ms,
					struct err *e);

#endif
