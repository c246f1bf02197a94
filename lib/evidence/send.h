/*
 * send - checkpoints sent elsewhere at once, so that whoever owns the node cannot rewrite its past.
 *
 *	store's thread ─► evidence_sender_put ─► queue ─► tycho-witness ─► file, syslog, HTTP POST
 *
 * Threads  put: any thread; never waits. The targets are served by one thread of the sender's, in
 *          turn; it logs what fails, once per target until it works again.
 * Loss     a line that a target did not take is tried again with the next one and each second, in
 *          order; at most @QUEUE lines wait per target. What is dropped then is counted and logged.
 * File     appended and synced, 0640.
 * syslog   send_syslog.h: this machine's daemon, another socket, or a host by TCP.
 * POST     content type application/json, one line each, any status from 200 to 299 is yes.
 */
#ifndef TYCHO_EVIDENCE_SEND_H
#define TYCHO_EVIDENCE_SEND_H

#include "base/err.h"
#include "base/str.h"

enum { SENDER_QUEUE = 1024, SENDER_TARGETS = 8 };

struct evidence_sender;

struct evidence_sender_config {
	/* "file:/path", "syslog" (/dev/log), "syslog:/path", "syslog://host:port", "http://…",
	 * "https://…" */
	const char *const *targets;
	size_t target_count;
	const char *ca_file; /* of https; NULL: the system's */
	unsigned timeout_ms; /* of one attempt over a network; 0: 5 s */
};
/* @config is copied. ERR_INVALID: no such target. */
MUST_CHECK enum err_code evidence_sender_new(const struct evidence_sender_config *config,
					     struct evidence_sender **ret, struct err *e);
/* Gives what is queued two seconds, then ends the thread. NULL is a no-op. */
void evidence_sender_free(struct evidence_sender *s);
AUTO_DEFINE(struct evidence_sender, evidence_sender_free);

void evidence_sender_put(struct evidence_sender *s, struct str line);

struct evidence_sender_counts {
	uint64_t sent, failed, dropped; /* lines by target, added up; failed: attempts */
};
struct evidence_sender_counts evidence_sender_counts(struct evidence_sender *s);

#endif
