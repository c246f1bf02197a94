/*
 * leaf - leaves of one block's records (chain.h), many hashed at a time.
 *
 *	record ─► parts ─► commitments ┐
 *	                               ├─► leaf          all of some dozens of records, then all
 *	record ─► core ────────────────┘                 of the next ones
 *
 * Labels repeat from record to record: what they were committed to is remembered within the block.
 *
 * Threads  one thread per struct leaf_hasher.
 */
#ifndef TYCHO_EVIDENCE_LEAF_H
#define TYCHO_EVIDENCE_LEAF_H

#include "base/err.h"
#include "chain/chain.h"

struct leaf_hasher;
MUST_CHECK enum err_code leaf_hasher_new(struct leaf_hasher **ret, struct err *e);
void leaf_hasher_free(struct leaf_hasher *h);
AUTO_DEFINE(struct leaf_hasher, leaf_hasher_free);

/* Another block begins. @secrets: of its parts; NULL: that part is withheld. Borrowed until the
 * last leaf. */
void leaf_begin(struct leaf_hasher *h, const struct chain_secret *const secrets[CHAIN_PARTS_]);
/* Where the next record's core may be put, with room for LEAF_CORE_BYTES: leaf_add need not copy it
 * then. Good until the next leaf_add or leaf_flush. */
enum { LEAF_CORE_BYTES = 832 };
char *leaf_core(struct leaf_hasher *h);
/* The leaf of a record comes to *@to, at leaf_flush at the latest. @parts are borrowed for the
 * call; @commitments of withheld parts until the flush, others are not looked at. @labels_key:
 * where that of a side is the same as before in this block, and not 0, so are the labels. */
void leaf_add(struct leaf_hasher *h, uint64_t seq, const struct str parts[CHAIN_PARTS_],
	      const struct chain_hash *const commitments[CHAIN_PARTS_],
	      const uint64_t labels_key[2], struct chain_hash *to);
void leaf_flush(struct leaf_hasher *h);

#endif
