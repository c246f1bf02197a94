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

#endif
