/*
 * store_check - a node's own record checked from its file: chain, blocks, gaps, checkpoints.
 */
#ifndef TYCHO_EVIDENCE_STORE_CHECK_H
#define TYCHO_EVIDENCE_STORE_CHECK_H

#include "base/buf.h"
#include "base/err.h"
#include "store/store.h"

/* Appends a summary. ERR_PARSE: the first thing wrong, named: an entry, block, gap or checkpoint
 * that does not follow. @dict is the reader's; @key, may be NULL: the only key that is believed. */
struct evidence_key;
MUST_CHECK enum err_code evidence_store_check(struct store_reader *reader, struct flow_dict *dict,
					      const struct evidence_key *key, struct buf *summary,
					      struct err *e);

#endif
