/*
 * checkpoint - the chain's head, signed: what pins a record down at a time.
 *
 *	{"tycho":"checkpoint","node":"edge/worker-1","entry":"1207","head":"9c…","records":"66041",
 *	 "seq":"1792…","time":"2026-11-21T02:13:00.000000000Z","key":"fingerprint"}
 *
 * entry and head: the last entry and its hash; records: held by the store; seq: all records below
 * it are in entries up to this one.
 */
#ifndef TYCHO_EVIDENCE_CHECKPOINT_H
#define TYCHO_EVIDENCE_CHECKPOINT_H

#include "base/buf.h"
#include "base/err.h"
#include "base/time.h"
#include "chain/chain.h"
#include "evidence/key.h"
#include "evidence/send.h"
#include "evidence/text.h"

struct store;

struct checkpoint_text {
	uint64_t entry, records, seq;
	struct chain_hash head;
	struct wall_ns time;
	struct str node, fingerprint; /* borrowed; as in the JSON, escapes included */
};
bool checkpoint_text_parse(struct str text, struct checkpoint_text *ret);

/* Checkpoints that were kept elsewhere: lines as evidence_sender sends them, of any nodes. What
 * stands before a line's brace is passed over, as syslog puts something there. */
struct kept_checkpoints {
	struct str rest;    /* borrowed */
	size_t line;        /* number of the one that was read last */
	struct buf scratch; /* what the last one's texts lie in */
};
struct kept_checkpoints kept_checkpoints_of(struct str lines);
void kept_checkpoints_done(struct kept_checkpoints *k);
/* False at the end, and at a line that is none: *@ret_code is then ERR_PARSE. Signatures are not
 * looked at. */
MUST_CHECK bool kept_checkpoints_next(struct kept_checkpoints *k, struct signed_text *ret_signed,
				      struct checkpoint_text *ret, enum err_code *ret_code,
				      struct err *e);

/*
 * The maker of a running store's checkpoints: one a minute if the chain has grown, and one at the
 * end. On the store's writing thread.
 */
struct checkpoints;

struct checkpoints_config {
	struct store *store;            /* borrowed */
	const struct evidence_key *key; /* borrowed */
	const char *node;
	struct evidence_sender *sender; /* borrowed; NULL: kept in the store only */
	uint64_t interval_ns;           /* 0: a minute */
};
MUST_CHECK enum err_code checkpoints_new(const struct checkpoints_config *config,
					 struct checkpoints **ret, struct err *e);
void checkpoints_free(struct checkpoints *c);
AUTO_DEFINE(struct checkpoints, checkpoints_free);
/* How many were signed and kept. Any thread. */
uint64_t checkpoints_made(const struct checkpoints *c);
/* Once a loop pass: makes one if it is due. A failure is told each time; the next pass tries again
 * after a second. */
MUST_CHECK enum err_code checkpoints_tick(struct checkpoints *c, struct wall_ns now, struct err *e);
/* Before the store is closed: stops it, and makes one over all that it holds, its stop entry
 * included. */
MUST_CHECK enum err_code checkpoints_last(struct checkpoints *c, struct wall_ns now, struct err *e);

#endif
