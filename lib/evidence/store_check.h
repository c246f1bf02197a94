/*
 * store_check - a node's own record checked from its file: chain, blocks, gaps, checkpoints.
 */
#ifndef TYCHO_EVIDENCE_STORE_CHECK_H
#define TYCHO_EVIDENCE_STORE_CHECK_H

#include "base/err.h"
#include "store/store.h"

struct store_check_config {
	struct store_reader *reader;
	struct flow_dict *dict; /* the reader's */
	/* The only keys that are believed: PEM texts or fingerprints; none: all. */
	const struct str *keys;
	size_t key_count;
	/* Checkpoints that were kept elsewhere: lines as evidence_sender sends them, read before
	 * the check begins, since a store that is written grows meanwhile. p NULL: none. */
	struct str checkpoints;
};

/* Gaps of one cause: what the chain, as far back as it reaches, owns up to. */
struct store_check_gaps {
	uint64_t count;
	uint64_t span_ns; /* the time that they take; where they overlap, once */
	uint64_t lost;    /* records, of those that know how many */
	uint64_t unknown; /* gaps that do not */
};
struct store_check_result {
	uint64_t records, blocks, first_entry, last_entry;
	uint64_t damaged_blocks; /* each a gap of the chain */
	struct store_check_gaps gaps[STORE_GAP_CAUSES_];
	struct store_check_gaps missing; /* all but those of the clock: then nothing is missing */
	uint64_t checkpoints;            /* that signed the chain */
	char last_time[40];              /* of the last of them; "" */
	char fingerprint[65];            /* of who signed it; "" */
	uint64_t keys_before;            /* other keys that signed before it */
	uint64_t unsigned_entries;       /* behind the last checkpoint */
	uint64_t kept_agree, kept_older; /* kept elsewhere: that agree, whose entry was pruned */
};
/* ERR_PARSE: the first thing wrong, named: an entry, block, gap or checkpoint
 * that does not follow; a checkpoint that was kept elsewhere and says another past, or that none of
 * those is of this store. */
MUST_CHECK enum err_code evidence_store_check(const struct store_check_config *config,
					      struct store_check_result *ret, struct err *e);

#endif
