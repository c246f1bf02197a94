/*
 * split - inside lib/chain: an endpoint of the dictionary, its labels apart.
 */
#ifndef TYCHO_CHAIN_SPLIT_H
#define TYCHO_CHAIN_SPLIT_H

#include "base/str.h"

struct split_endpoint {
	struct str rest[2]; /* before and behind the labels */
	struct str labels;  /* with their tags; "" if there are none */
};
/* @wire: flow.Endpoint in the dictionary's canonical form; borrowed. */
struct split_endpoint split_endpoint_of(struct str wire);

#endif
