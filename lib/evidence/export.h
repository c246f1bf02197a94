/*
 * export - a node's side of an export: its store read into tycho.v1.ExportResponse messages.
 *
 *	policies ─► checkpoints ─► entries, blocks, entries, blocks … ─► statement (signed)
 *
 * Pulled in portions of a few milliseconds, so that it can run on a server's thread. The records of
 * a block are read whole, to prove those that match: leaves, tree, and a check that the root is the
 * one in the chain.
 *
 * Range    blocks with records that match; the chain's entries from the last checkpoint before the
 *          range (or the oldest entry held) to the first behind it (or the head). The statement
 *          says what was asked and what was answered, gaps included, and holds the root over all
 *          exported records: none can be taken out of a bundle unseen.
 * Moment   the record as it stands at the first call of evidence_export_next: what is recorded later
 *          is not part of the answer. Nothing is held on to between two calls, so that the store's
 *          log stays short however slowly the asker reads; what retention takes before it was read
 *          ends the export (ERR_AGAIN).
 * Threads  one thread per export.
 * Source   docs/evidence.md
 */
#ifndef TYCHO_EVIDENCE_EXPORT_H
#define TYCHO_EVIDENCE_EXPORT_H

#include "base/buf.h"
#include "base/err.h"
#include "evidence/key.h"
#include "store/store.h"

enum {
	EXPORT_PIECE_BYTES = 512 << 10, /* of one message, about */
	EXPORT_NONCE_BYTES = 16,
};

struct evidence_export;

struct evidence_export_config {
	struct store_reader *reader; /* borrowed, this export's alone */
	struct flow_dict *dict;      /* of the reader; borrowed */
	const struct evidence_key *key;
	const char *node, *version;
	struct wall_ns now; /* the statement's time */
};

/* @request: tycho.v1.ExportRequest. ERR_PARSE, ERR_INVALID: it is none, or a filter is wrong. */
MUST_CHECK enum err_code evidence_export_new(const struct evidence_export_config *config,
					     struct str request, struct evidence_export **ret,
					     struct err *e);
void evidence_export_free(struct evidence_export *x);
AUTO_DEFINE(struct evidence_export, evidence_export_free);
/* One portion: @out, emptied first, has a message or nothing. *@ret_more false: that was the last,
 * the statement. ERR_PARSE: the store's records are not what its chain says. ERR_AGAIN: retention was
 * faster; another export, of less or of what is younger, may be through. */
MUST_CHECK enum err_code evidence_export_next(struct evidence_export *x, struct buf *out,
					      bool *ret_more, struct err *e);

#endif
