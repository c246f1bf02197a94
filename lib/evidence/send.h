/*
 * send - checkpoints sent elsewhere at once, so that whoever owns the node cannot rewrite its past.
 *
 *	store's thread ─► evidence_sender_put ─► queue ─┬► tycho-witness ─► a file
 *	                                                ├► tycho-witness ─► syslog
 *	                                                └► tycho-witness ─► an HTTP server
 *
 * Threads  put: any thread; never waits. Each target has a thread of the sender's, so that one that
 *          hangs, or whose name nobody can look up, holds up no other; it logs what fails, once
 *          until the target works again.
 * Loss     a line that a target did not take is tried again with the next one and each second, in
 *          order; at most @QUEUE lines wait per target. What is dropped then, cannot be sent at
 *          all or is left at the end, is counted and logged.
 * File     appended and synced, 0640.
 * syslog   send_syslog.h: this machine's daemon, another socket, or a host by TCP, TLS or UDP.
 * POST     content type application/json, one line each, any status from 200 to 299 is yes.
 */
#ifndef TYCHO_EVIDENCE_SEND_H
#define TYCHO_EVIDENCE_SEND_H

#include "base/err.h"
#include "base/str.h"
#include "evidence/send_tls.h"

enum { SENDER_QUEUE = 1024, SENDER_TARGETS = 8 };

struct evidence_sender;

struct evidence_sender_config {
	/* "file:/path", "http://…", "https://…", and what syslog_place_parse knows */
	const char *const *targets;
	size_t target_count;
	struct send_tls tls; /* of https and of syslog over TLS */
	unsigned timeout_ms; /* of one attempt over a network; 0: 5 s */
	unsigned grace_ms;   /* what is queued at the end is given; 0: 5 s */
};
/* @config is copied. ERR_INVALID: no such target, or a file of TLS that cannot be used. */
MUST_CHECK enum err_code evidence_sender_new(const struct evidence_sender_config *config,
					     struct evidence_sender **ret, struct err *e);
/* Gives what is queued @grace_ms; an attempt that is not over half of that later (a name service
 * that does not answer) is left alone, with all that it needs. NULL is a no-op. */
void evidence_sender_free(struct evidence_sender *s);
AUTO_DEFINE(struct evidence_sender, evidence_sender_free);

void evidence_sender_put(struct evidence_sender *s, struct str line);

struct evidence_sender_counts {
	uint64_t sent, failed, dropped; /* lines by target, added up; failed: attempts */
};
struct evidence_sender_counts evidence_sender_counts(struct evidence_sender *s);

#endif
