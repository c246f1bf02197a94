/*
 * block - the exported records of one block of the chain, gathered from tycho.v1.EvidenceBlock
 * pieces, as a node sends them.
 *
 * Owner    contents are borrowed from the pieces' bytes, which must stay until the reset.
 * Bounds   shape is checked piece by piece: references to parts that exist, of the right kind;
 *          places and numbers that ascend; hashes and secrets of their length. Memory is a small
 *          multiple of the pieces' bytes; what the cores come to, once what they share is put in, is
 *          at most BLOCK_CORES_MAX.
 */
#ifndef TYCHO_EVIDENCE_BLOCK_H
#define TYCHO_EVIDENCE_BLOCK_H

#include "base/err.h"
#include "chain/chain.h"

struct evidence_part {
	enum chain_part part;
	bool withheld;
	struct str content;           /* of a withheld part: what is shown */
	struct chain_hash commitment; /* of a withheld part */
};

enum { RECORD_SHARED_MAX = 2 };
#define BLOCK_CORES_MAX ((uint64_t)1 << 30)

struct evidence_record {
	uint64_t seq;
	struct str head, tail;              /* of the core, before and behind what is shared */
	uint32_t shared[RECORD_SHARED_MAX]; /* numbers in the table, from 1; 0: none */
	uint32_t parts[CHAIN_PARTS_];       /* the same; 0: empty. [CHAIN_CORE]: 0 */
};

struct evidence_block {
	uint64_t entry;
	bool has_begun, is_complete;
	bool has_secret[CHAIN_PARTS_];
	struct chain_secret secrets[CHAIN_PARTS_];
	struct evidence_part *parts; /* number n at [n - 1] */
	size_t part_count, part_cap;
	struct str *shared; /* fragments of cores; the same */
	size_t shared_count, shared_cap;
	uint64_t cores_bytes;
	struct evidence_record *records;
	uint32_t *places; /* of the records in the block */
	size_t record_count, record_cap, place_cap;
	struct str proof, marks;
};
enum { RECORD_MARK_BYTES = 2 };

void evidence_block_done(struct evidence_block *b);
/* Ready for the next block, memory kept. */
void evidence_block_reset(struct evidence_block *b);
/* ERR_PARSE with a sentence that goes behind "block N: ". */
MUST_CHECK enum err_code evidence_block_take(struct evidence_block *b, struct str piece,
					     struct err *e);
/* The parts of record @i as shown. @core has room for a core that must be put together: @ret may
 * refer to it. False: that is full. */
MUST_CHECK bool evidence_block_parts(const struct evidence_block *b, size_t i, struct buf *core,
				     struct str ret[CHAIN_PARTS_]);

#endif
