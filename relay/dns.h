/*
 * dns - peers as a name service tells of them: a headless service, say.
 *
 *	--peer-dns HOST:PORT   A records of HOST, else AAAA ──► peers "10.0.0.1:4244", …
 *	--peer-srv NAME        SRV records of NAME ──► peers by their targets' names, at their ports
 *
 * Both kinds of address would be the same nodes twice, so one is taken. A thread of its own asks
 * the system's resolver, every interval and on SIGHUP; nobody waits for it. "There is no such name"
 * is an answer: then there are no such peers. While there is no answer at all, the last one holds.
 *
 * Threads  main's; inside, the resolver's.
 */
#ifndef TYCHO_RELAY_DNS_H
#define TYCHO_RELAY_DNS_H

#include "base/err.h"
#include "base/str.h"
#include "base/time.h"

struct peers;
struct dns_peers;

enum { DNS_TARGETS_MAX = 4096, DNS_NAME_BYTES = 256 };

struct dns_question {
	bool is_srv;
	const char *text; /* "HOST:PORT"; of SRV: the name */
};

/* @questions and their texts must outlive it; @peers is borrowed. Asks at once, answers come later.
 * ERR_INVALID: no HOST:PORT. */
MUST_CHECK enum err_code dns_peers_new(const struct dns_question *questions, size_t count,
				       uint64_t interval_ns, struct peers *peers,
				       struct dns_peers **ret, struct err *e);
/* Does not wait for an answer that is under way. NULL is a no-op. */
void dns_peers_free(struct dns_peers *d);
AUTO_DEFINE(struct dns_peers, dns_peers_free);

/* Readable when dns_peers_run has something to do. */
int dns_peers_fd(const struct dns_peers *d);
/* Gives what was heard to the peers. */
void dns_peers_run(struct dns_peers *d);
/* Asks again now. */
void dns_peers_refresh(struct dns_peers *d);

struct dns_target {
	char host[DNS_NAME_BYTES]; /* without the last dot */
	uint16_t port;
};
/* The SRV records in the answer section of a message (RFC 1035 §4, RFC 2782), at most @max, in
 * order. ERR_PARSE: it is no such message. A target "." says that there is no such service. */
MUST_CHECK enum err_code dns_read_srv(struct str message, struct dns_target *out, size_t max,
				      size_t *ret_count, struct err *e);

#endif
