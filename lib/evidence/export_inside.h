/*
 * export_inside - what the files of an export share: its state, phase by phase.
 *
 *	export.c            life, policies, checkpoints, entries
 *	export_begin.c      the record as it stands when the export begins
 *	export_block.c      records, with their leaves and proofs
 *	export_statement.c  what the node signs in the end
 */
#ifndef TYCHO_EVIDENCE_EXPORT_INSIDE_H
#define TYCHO_EVIDENCE_EXPORT_INSIDE_H

#include "base/map.h"
#include "chain/sha256.h"
#include "chain/tree.h"
#include "evidence/export.h"
#include "evidence/redact.h"
#include "evidence/response.h"
#include "evidence/text.h"
#include "tycho/v1/evidence.pb-c.h"

enum {
	WORK = 2048,        /* records a portion */
	PAGE_ENTRIES = 512, /* entries read at once */
	PAGE_BYTES = 4 << 20,
	CHECKPOINTS_AT_ONCE = 2048,
	TEXT_BYTES = 64 << 20,
	PARTS_MAX = 1 << 20, /* distinct parts of a block */
	PART_BYTES = 64 << 20,
};

enum phase { FIRST_MATCH, POLICIES, CHECKPOINTS, ENTRIES, BLOCK, STATEMENT, DONE };

/* A page of the chain, copied. */
struct page_entry {
	uint64_t number, first_seq, last_seq, count;
	struct chain_hash before, hash, root;
	bool is_block;
	size_t body_at, body_len;
};
struct page {
	struct page_entry entries[PAGE_ENTRIES];
	size_t count, at;
	struct buf bodies;
};

/* What is missing in the range. */
struct export_gaps {
	struct buf list; /* JSON objects, a comma between two */
	uint64_t count[STORE_GAP_CAUSES_], lost[STORE_GAP_CAUSES_];
	bool any;
};

struct evidence_export {
	struct evidence_export_config config;
	Tycho__V1__ExportRequest *request;
	struct flow_filter *filter;
	struct wall_ns since, until;
	bool has_since, has_until;
	unsigned redact;
	struct redact_key redact_key;
	struct chain_secret secret;
	enum phase phase;

	/* The record as it stood when the export began. */
	struct store_bounds began;
	struct wall_ns oldest, newest;
	struct export_gaps gaps;
	struct buf policies; /* lines */
	size_t policies_at;
	uint64_t policy_count;

	/* Matches, by number: what the filtered scan has found and no block has taken yet. */
	struct store_scan *matching;
	bool has_all_matches;
	uint64_t matches[WORK * 2];
	size_t match_at, match_count;

	struct buf checkpoints; /* ExportResponse messages with their length before them */
	size_t checkpoints_at;
	uint64_t checkpoint_next, start_entry;
	uint64_t end_entry; /* of the first checkpoint behind the range, else the last there was */
	bool has_end_checkpoint, checkpoints_ended;
	uint64_t checkpoint_count;
	struct sha256 checkpoint_sum; /* over the lines of those sent */

	struct page page;
	struct buf bodies; /* EvidenceEntries.bodies not sent yet */
	uint64_t next_entry, first_pending;
	struct chain_hash before_pending;
	uint64_t first_entry, last_entry; /* sent */
	struct chain_hash before_first, head;

	/* All records, from the block at work on. */
	struct store_scan *all;
	const struct flow *portion;
	size_t portion_at, portion_count;
	bool all_ended;

	struct page_entry block;
	bool block_has_begun, block_is_sent; /* a piece of it, with the secrets */
	struct chain_block *chain;
	struct map *parts_known, *shared_known; /* numbers, by content */
	uint32_t parts_count, shared_count;
	struct chain_hash *items;
	uint32_t *places;
	size_t item_count, item_cap;
	struct buf parts[CHAIN_PARTS_], scratch, key, shown;
	struct buf piece_parts, piece_records;

	struct chain_tree root; /* over blocks' roots over items */
	uint64_t flows, blocks;
};

/* Begins a response with this member; wire_end ends it. */
size_t export_begin_response(const struct evidence_export *x, struct buf *out, uint32_t member);
void export_put_signed(const struct evidence_export *x, struct buf *out, uint32_t member,
		       const struct signed_text *s);
/* The first step: all that a later one cannot ask any more, and the scan for what matches. */
MUST_CHECK enum err_code export_begin(struct evidence_export *x, struct err *e);
/* Gaps that were found while records were read, too. */
MUST_CHECK enum err_code export_add_damage(struct evidence_export *x, struct err *e);
/* Is record @seq, or entry @entry, gone that was there when the export began? The text says so. */
MUST_CHECK enum err_code export_check_held(struct evidence_export *x, uint64_t entry, uint64_t seq,
					   struct err *e);
/* Looks for further matches once those known are used up. */
MUST_CHECK enum err_code export_find_matches(struct evidence_export *x, struct err *e);
static inline bool export_knows_matches(const struct evidence_export *x)
{
	return x->match_at < x->match_count || x->has_all_matches;
}
static inline bool export_has_match(const struct evidence_export *x)
{
	return x->match_at < x->match_count;
}
/* A portion of the block's records; ENTRIES is the next phase when it is through. */
MUST_CHECK enum err_code export_step_block(struct evidence_export *x, struct buf *out,
					   struct err *e);
MUST_CHECK enum err_code export_step_statement(struct evidence_export *x, struct buf *out,
					       struct err *e);

#endif
