/*
 * store_check - a node's own record checked from its file: chain, blocks, gaps, checkpoints.
 */
#ifndef TYCHO_EVIDENCE_STORE_CHECK_H
#define TYCHO_EVIDENCE_STORE_CHECK_H

#include "base/buf.h"
#include "base/err.h"
#include "store/store.h"

struct evidence_key;

struct store_check_config {
	struct store_reader *reader;
	struct flow_dict *dict;         /* the reader's */
	const struct evidence_key *key; /* the only one that is believed; may be NULL */
	/* Checkpoints that were kept elsewhere: lines as evidence_sender sends them, read before
	 * the check begins, since a store that is written grows meanwhile. p NULL: none. */
	struct str checkpoints;
};
/* Appends a summary. ERR_PARSE: the first thing wrong, named: an entry, block, gap or checkpoint
 * that does not follow; a checkpoint that was kept elsewhere and says another past, or that none of
 * those is of this store. */
MUST_CHECK enum err_code evidence_store_check(const struct store_check_config *config,
					      struct buf *summary, struct err *e);

#endif
