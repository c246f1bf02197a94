/*
 * chain - why nobody can change the record unseen: records hashed into trees, trees into a chain.
 *
 *	record ─► leaf ┐
 *	record ─► leaf ┴─► Merkle root ─► entry 7 ◄── entry 8 ◄── entry 9 …   each holds the hash of
 *	                                  (block)     (gap)       (block)    the one before
 *
 * Leaf     a record in five *parts* (enum chain_part). Each part is a fragment of flow.Flow as
 *          protobuf bytes; put one after the other they are the whole message (protobuf merges what
 *          it meets twice). The core is hashed as it is; of the other parts the leaf holds only a
 *          *commitment*, so that a part can be kept back (redacted) and the proof still holds:
 *
 *	          C(part)  = SHA-256( 0x02 ‖ part ‖ secret of (block, part) ‖ bytes )
 *	          leaf     = SHA-256( 0x00 ‖ kind ‖ seq ‖ core ‖ C(addresses) ‖ C(source labels)
 *	                                                  ‖ C(destination labels) ‖ C(dns) )
 *
 *          kind is one byte (enum flow_kind), seq eight, most significant first. Records that are
 *          no flow have their whole message in the core and four commitments to nothing.
 * Tree     RFC 9162 §2.1.1: SHA-256, 0x01 before inner nodes.
 * Entry    SHA-256( 0x03 ‖ number ‖ hash of the entry before ‖ body ); number has eight bytes, the
 *          body is one line of JSON (docs/evidence.md lists its members by kind).
 * Secrets  of (block, part): HMAC-SHA-256( store's secret, "tycho part" ‖ block number ‖ part ).
 *          Whoever gets a part gets its secret for that block; whoever does not learns nothing.
 * Threads  one thread per struct chain_block; the rest are pure functions.
 */
#ifndef TYCHO_CHAIN_CHAIN_H
#define TYCHO_CHAIN_CHAIN_H

#include "base/buf.h"
#include "base/err.h"
#include "flow/dict.h"
#include "flow/flow.h"

enum chain_part {
	CHAIN_CORE,
	CHAIN_ADDRESSES, /* ethernet, IP, tunnel */
	CHAIN_SOURCE_LABELS,
	CHAIN_DESTINATION_LABELS,
	CHAIN_DNS, /* source_names, destination_names, l7 of DNS and the Summary made of it */
	CHAIN_PARTS_
};

struct chain_hash {
	uint8_t v[32];
};

/* What a leaf has before the core. */
enum { CHAIN_LEAF_HEAD = 1 + 1 + 8 };
void chain_leaf_head(uint8_t to[CHAIN_LEAF_HEAD], uint8_t kind, uint64_t seq);
/* Eight bytes, most significant first. */
void chain_be64_put(uint8_t to[8], uint64_t v);

/* The store's own secret: from it come those of each block's parts. */
struct chain_secret {
	uint8_t v[32];
};
struct chain_secret chain_part_secret(const struct chain_secret *store, uint64_t block,
				      enum chain_part part);

/* --- leaves ------------------------------------------------------------------------------- */

/* Appends each part of @f to its buffer. Of a whole flow, top-level fields keep their order within
 * a part; what is no flow goes into the core. */
void chain_split(const struct flow *f, const struct flow_dict *d, struct buf parts[CHAIN_PARTS_]);
/* A flow's parts as one flow.Flow message in which each endpoint is in one piece; parts that were
 * kept back are "". For readers that do not merge as protobuf demands (protobuf-c 1.4 loses numbers
 * when it merges messages). */
void chain_join(const struct str parts[CHAIN_PARTS_], struct buf *out);
struct chain_hash chain_commit(enum chain_part part, const struct chain_secret *part_secret,
			       struct str bytes);
/* What it hashes before @bytes. */
enum { CHAIN_COMMIT_HEAD = 1 + 1 + 32 };
void chain_commit_head(uint8_t to[CHAIN_COMMIT_HEAD], enum chain_part part,
		       const struct chain_secret *part_secret);
/* @commitments: of the four parts after the core. */
struct chain_hash chain_leaf(uint8_t kind, uint64_t seq, struct str core,
			     const struct chain_hash commitments[CHAIN_PARTS_ - 1]);

/* --- the tree of one block, at speed ------------------------------------------------------ */

/* Remembers what it has committed to (labels, addresses), so that a flow costs about one leaf. */
struct chain_block;
MUST_CHECK enum err_code chain_block_new(struct chain_block **ret, struct err *e);
void chain_block_free(struct chain_block *b);
AUTO_DEFINE(struct chain_block, chain_block_free);
/* Empties it for block @number. */
void chain_block_start(struct chain_block *b, const struct chain_secret *store, uint64_t number);
MUST_CHECK enum err_code chain_block_add(struct chain_block *b, const struct flow *f,
					 const struct flow_dict *d, struct err *e);
size_t chain_block_count(const struct chain_block *b);
/* Leaves so far, borrowed until the next add. */
const struct chain_hash *chain_block_leaves(struct chain_block *b);
/* ERR_NOMEM. */
MUST_CHECK enum err_code chain_block_root(struct chain_block *b, struct chain_hash *ret,
					  struct err *e);

/* --- trees and proofs over leaves (RFC 9162 §2.1.3) ------------------------------------------ */

struct chain_hash chain_root(const struct chain_hash *leaves, size_t count);
enum { CHAIN_PROOF_MAX = 64 };
/* Inclusion proof of leaf @index; at most CHAIN_PROOF_MAX hashes. @return how many. */
size_t chain_proof(const struct chain_hash *leaves, size_t count, size_t index,
		   struct chain_hash ret[CHAIN_PROOF_MAX]);
/* True if @proof leads from @leaf to @root. */
bool chain_proof_holds(const struct chain_hash *leaf, size_t index, size_t count,
		       const struct chain_hash *proof, size_t proof_len,
		       const struct chain_hash *root);

/* --- entries --------------------------------------------------------------------------------- */

/* The first entry has number 1 and 32 zero bytes before it. */
struct chain_hash chain_entry(uint64_t number, const struct chain_hash *before, struct str body);

#endif
