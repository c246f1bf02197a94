/*
 * proof - what a bundle has of one block beside its records' lines: tycho.v1.EvidenceProof.
 *
 * Owner    a proof that was read refers to the bytes that it was read from.
 * Bounds   shape is checked: as many of everything as there are records, numbers that ascend,
 *          references to what is there, hashes and secrets of their length. Memory is a small
 *          multiple of the bytes.
 */
#ifndef TYCHO_EVIDENCE_PROOF_H
#define TYCHO_EVIDENCE_PROOF_H

#include "base/err.h"
#include "chain/chain.h"
#include "evidence/block.h"

/* A record whose bytes do not follow from its line. */
struct proof_whole {
	uint32_t record;
	struct str parts[CHAIN_PARTS_]; /* as shown */
};

struct evidence_proof {
	uint64_t entry;
	bool has_secret[CHAIN_PARTS_]; /* of a part that is shown */
	struct chain_secret secrets[CHAIN_PARTS_];
	size_t count; /* records */
	uint32_t *places;
	uint64_t *seqs;
	size_t withheld_parts; /* of each record */
	uint32_t *withheld;    /* withheld_parts of each record: in commitments, from 0 */
	struct chain_hash *commitments;
	struct proof_whole *wholes;
	size_t commitment_count, whole_count;
	struct str marks, proof;
	/* how many of each there is room for */
	size_t place_cap, seq_cap, withheld_cap, commitment_cap, whole_cap;
};

void evidence_proof_done(struct evidence_proof *p);
/* @p: zeros, or from before; its memory is used again. ERR_PARSE with a sentence that goes behind
 * "a block: ". */
MUST_CHECK enum err_code evidence_proof_read(struct evidence_proof *p, struct str message,
					     struct err *e);
/* Of record @i: where commitments of withheld parts are; NULL for parts that are shown. */
void evidence_proof_commitments(const struct evidence_proof *p, size_t i,
				const struct chain_hash *ret[CHAIN_PARTS_]);

/* Record @i, if it is there with all parts; else NULL. */
const struct proof_whole *evidence_proof_whole(const struct evidence_proof *p, size_t i);

/* Appends the message of a complete block. @wholes: its records that are to be there with all
 * parts, ascending. */
void evidence_proof_put(struct buf *b, const struct evidence_block *block, const uint32_t *wholes,
			size_t whole_count);

#endif
