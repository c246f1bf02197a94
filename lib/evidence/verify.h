/*
 * verify - a bundle checked offline: is everything in it what the nodes recorded and signed?
 *
 *	file ─► sum │ manifest, statements, checkpoints ─► chunks, by several threads ─► summary
 *
 * Says the first thing wrong, in the bundle's order, and names it. What it proves and what it
 * cannot is in docs/evidence.md.
 */
#ifndef TYCHO_EVIDENCE_VERIFY_H
#define TYCHO_EVIDENCE_VERIFY_H

#include "base/buf.h"
#include "base/err.h"

enum { VERIFY_THREADS = 16 };

struct evidence_verify_config {
	const char *path;
	/* Public keys to trust: PEM texts or fingerprints (64 hex digits). None: those in the
	 * bundle. */
	const struct str *keys;
	size_t key_count;
	/* Checkpoints that were kept elsewhere: lines as evidence_sender sends them; p NULL: none.
	 */
	struct str checkpoints;
	unsigned threads; /* 0: one for each processor, at most VERIFY_THREADS */
};

/* Appends a summary to @summary. ERR_PARSE: the bundle does not prove what it says; *e names the
 * first fault. Others: it could not be read. */
MUST_CHECK enum err_code evidence_verify(const struct evidence_verify_config *config,
					 struct buf *summary, struct err *e);
/* The same of bytes in memory, @config's path only to name them. */
MUST_CHECK enum err_code evidence_verify_bytes(const struct evidence_verify_config *config,
					       struct str bytes, struct buf *summary,
					       struct err *e);

#endif
