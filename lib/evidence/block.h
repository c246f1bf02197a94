/*
 * block - the exported records of one block of the chain, gathered from tycho.v1.EvidenceBlock
 * pieces, and the hashes that they come to.
 *
 * Owner    contents are borrowed from the pieces' bytes, which must stay until the reset.
 * Bounds   shape is checked piece by piece: references to parts that exist, of the right kind;
 *          places and numbers that ascend; hashes and secrets of their length. Memory is a small
 *          multiple of the pieces' bytes.
 */
#ifndef TYCHO_EVIDENCE_BLOCK_H
#define TYCHO_EVIDENCE_BLOCK_H

#include "base/err.h"
#include "chain/chain.h"

struct evidence_part {
	enum chain_part part;
	bool withheld;
	struct str content;           /* of a withheld part: what is shown */
	struct chain_hash commitment; /* of a withheld part; else from evidence_block_hash on */
};

struct evidence_record {
	uint64_t seq;
	struct str core;
	uint32_t parts[CHAIN_PARTS_]; /* numbers in the table, from 1; 0: empty. [CHAIN_CORE]: 0 */
};

struct evidence_block {
	uint64_t entry;
	bool has_begun, is_complete;
	bool has_secret[CHAIN_PARTS_];
	struct chain_secret secrets[CHAIN_PARTS_];
	struct evidence_part *parts; /* number n at [n - 1] */
	size_t part_count, part_cap;
	struct evidence_record *records;
	uint32_t *places; /* of the records in the block */
	size_t record_count, record_cap, place_cap;
	struct str proof;
	/* of evidence_block_hash */
	struct chain_hash *leaves, *items;
	size_t hash_cap;
};

void evidence_block_done(struct evidence_block *b);
/* Ready for the next block, memory kept. */
void evidence_block_reset(struct evidence_block *b);
/* ERR_PARSE with a sentence that goes behind "block N: ". */
MUST_CHECK enum err_code evidence_block_take(struct evidence_block *b, struct str piece,
					     struct err *e);
/* The parts of record @i as shown. */
void evidence_block_parts(const struct evidence_block *b, size_t i, struct str ret[CHAIN_PARTS_]);
/* Asks for what evidence_block_parts will want of record @i, if there is one: a block is larger than
 * what a core keeps near. */
static inline void evidence_block_prefetch(const struct evidence_block *b, size_t i)
{
	if (i >= b->record_count)
		return;
	for (enum chain_part p = CHAIN_ADDRESSES; p < CHAIN_PARTS_; p++)
		if (b->records[i].parts[p])
			__builtin_prefetch(&b->parts[b->records[i].parts[p] - 1]);
	__builtin_prefetch(b->records[i].core.p);
	__builtin_prefetch(b->records[i].core.p + 64);
}
/* Of a complete block of @count records: the root that its records and its proof lead to, and the
 * root over its items (docs/evidence.md). ERR_PARSE: the proof does not fit the records. */
MUST_CHECK enum err_code evidence_block_hash(struct evidence_block *b, uint64_t count,
					     struct chain_hash *ret_root,
					     struct chain_hash *ret_items, struct err *e);

#endif
