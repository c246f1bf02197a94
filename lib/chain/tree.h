/*
 * tree - the level by level side of chain.h's trees, for those who hold all hashes of one.
 */
#ifndef TYCHO_CHAIN_TREE_H
#define TYCHO_CHAIN_TREE_H

#include "chain/chain.h"

/* The level above @level, (@count + 1) / 2 hashes; @out may be @level. @return how many. */
size_t chain_level_up(const struct chain_hash *level, size_t count, struct chain_hash *out);
/* Root over @hashes, which are overwritten. */
struct chain_hash chain_root_in_place(struct chain_hash *hashes, size_t count);

/* A tree whose leaves come one by one. */
struct chain_tree {
	struct chain_hash waiting[64]; /* complete subtrees, the largest first */
	size_t depth;
	uint64_t count;
};
void chain_tree_add(struct chain_tree *t, const struct chain_hash *leaf);
struct chain_hash chain_tree_root(const struct chain_tree *t);

/*
 * Several leaves, one proof: the roots of all largest subtrees that hold none of the leaves, from
 * left to right. The leaves' places are strictly ascending and below @count.
 *
 *	root(lo, n):  no leaf in [lo, lo + n)  ──► the proof's next hash
 *	              n = 1                    ──► the leaf
 *	              else                     ──► node(root(lo, k), root(lo + k, n - k)),
 *	                                           k the largest power of two below n
 */
struct chain_places {
	const uint32_t *index;
	size_t count;
};
/* Appends the proof. */
void chain_proof_put(const struct chain_hash *leaves, size_t count, struct chain_places places,
		     struct buf *out);
/* The root that @leaves (those at @places, overwritten) and @proof lead to; false if the proof has
 * hashes too many or too few. */
bool chain_proof_root(struct chain_hash *leaves, struct chain_places places, size_t count,
		      struct str proof, struct chain_hash *ret);

#endif
