/*
 * lines - a block's lines held against its proof: which leaves do they come to, and which of them
 * is not what it was?
 *
 * Threads  one thread per struct lines_checker.
 */
#ifndef TYCHO_EVIDENCE_LINES_H
#define TYCHO_EVIDENCE_LINES_H

#include "evidence/proof.h"

/* A file of lines that is being read. */
struct lines {
	struct str rest;
	uint64_t read;
};
/* The next, with its newline. False: there is none. */
bool lines_next(struct lines *l, struct str *ret);

/* flows.jsonl, flows.csv of a chunk. */
struct lines_files {
	const char *dir; /* for sentences */
	struct lines json, csv;
	bool has_csv;
};

struct lines_checker;
MUST_CHECK enum err_code lines_checker_new(struct lines_checker **ret, struct err *e);
void lines_checker_free(struct lines_checker *c);
AUTO_DEFINE(struct lines_checker, lines_checker_free);

/* Reads the lines of a block of which @count records are in the chain: *@ret_root is the root that
 * they and the proof lead to, *@ret_items that over their items (docs/evidence.md). ERR_PARSE: one
 * is not that of its record, or there are too few; or the proof does not fit. */
MUST_CHECK enum err_code lines_check(struct lines_checker *c, const struct evidence_proof *proof,
				     uint64_t count, struct lines_files *files,
				     struct chain_hash *ret_root, struct chain_hash *ret_items,
				     struct err *e);

#endif
