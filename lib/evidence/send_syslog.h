/*
 * send_syslog - one line to a syslog daemon, with facility daemon and level notice.
 *
 * Local    a datagram to a socket in the file system, in the words of syslog(3): journald and
 *          rsyslog's imuxsock read it. Unlike syslog(3) it says when nobody is there.
 * TCP      RFC 5424, a connection for each line, framed by its length (RFC 6587 §3.4.1). Taken is
 *          a line when the receiver has closed its side without a complaint.
 * TLS      the same over TLS (RFC 5425); who receives it must prove to be the host.
 * UDP      RFC 5424 in one datagram (RFC 5426). Taken is a line when it has left, and no host said
 *          within a moment that nobody listens: what is lost on the way, nobody learns.
 * Names    of hosts are looked up for each line, which may take as long as the system's resolver
 *          likes, whatever the time given.
 */
#ifndef TYCHO_EVIDENCE_SEND_SYSLOG_H
#define TYCHO_EVIDENCE_SEND_SYSLOG_H

#include "base/err.h"
#include "base/str.h"
#include "evidence/send_tls.h"

/* In bytes. RFC 5426 §3.2: what each receiver should be able to take; checkpoints have some 650. */
enum { SYSLOG_UDP_MAX = 2048 };

struct syslog_place {
	enum { SYSLOG_LOCAL, SYSLOG_TCP, SYSLOG_TLS, SYSLOG_UDP } by;
	const char *where; /* "/path" of a socket, or "host:port", "[::1]:514" */
};

/* "syslog" (/dev/log), "syslog:/path", "syslog://host:port", the same as "syslog+tcp://…",
 * "syslog+tls://host:port" and "syslog+udp://host:port". False: @text is none of them. @ret borrows from it. */
bool syslog_place_parse(const char *text, struct syslog_place *ret);
/* False: @line is too long for a datagram there, now and ever. */
bool syslog_takes(const struct syslog_place *to, struct str line);
/* Sends @line without its newline, waiting at most about @timeout_ms for each step. Any error: it
 * was not taken. */
MUST_CHECK enum err_code send_to_syslog(const struct syslog_place *to, struct str line,
					const struct send_tls *tls, unsigned timeout_ms,
					struct err *e);

#endif
