/*
 * chunk - one chunk of a bundle checked on its own: entries of the chain, and the lines that
 * are the records of their blocks.
 *
 * Threads  pure but for the memory it keeps: one struct chunk_checker per thread.
 * Source   docs/evidence.md
 */
#ifndef TYCHO_EVIDENCE_CHUNK_H
#define TYCHO_EVIDENCE_CHUNK_H

#include "base/buf.h"
#include "base/err.h"
#include "chain/chain.h"
#include "evidence/manifest.h"

/* The chain's head after an entry, as somebody signed it. */
struct chunk_pin {
	uint64_t entry;
	struct chain_hash head;
	bool is_external; /* not from the bundle */
};

struct chunk {
	const char *dir;      /* "nodes/1/000001" */
	uint64_t first_entry; /* as the manifest says */
	struct chain_hash before;
	const struct chunk_pin *pins; /* ascending by entry */
	size_t pin_count;
	uint64_t mtime_s; /* of the archive's files */
};

/* What was found: lies in the caller's, reused from chunk to chunk. */
struct chunk_result {
	uint64_t last_entry, flows, blocks, pins_met, external_met;
	struct chain_hash head;
	struct buf item_roots;       /* a struct chain_hash per block with records */
	struct buf gaps;             /* bodies of gap entries, a line each */
	struct manifest_files files; /* names and sizes */
};
void chunk_result_init(struct chunk_result *r);
void chunk_result_done(struct chunk_result *r);

struct chunk_checker;
MUST_CHECK enum err_code chunk_checker_new(struct chunk_checker **ret, struct err *e);
void chunk_checker_free(struct chunk_checker *c);
AUTO_DEFINE(struct chunk_checker, chunk_checker_free);
/* @frame: compressed. ERR_PARSE: the first thing wrong, in a sentence. */
MUST_CHECK enum err_code chunk_check(struct chunk_checker *c, const struct chunk *chunk,
				     struct str frame, struct chunk_result *ret, struct err *e);
/* The same of the archive's bytes. */
MUST_CHECK enum err_code chunk_check_bytes(struct chunk_checker *c, const struct chunk *chunk,
					   struct str bytes, struct chunk_result *ret,
					   struct err *e);

#endif
