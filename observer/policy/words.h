/*
 * policy_words - what the policies of a set put into a flow, written once and copied from then on.
 *
 *	policy ──► flow.Policy, as wire bytes      into *_allowed_by, *_denied_by
 *	       └─► "cnp:shop/db"                   into FlowDetail.policy_rules, before the rule
 *
 * Owner    of its bytes; the set is borrowed for its life.
 * Threads  immutable after construction.
 */
#ifndef TYCHO_OBSERVER_POLICY_WORDS_H
#define TYCHO_OBSERVER_POLICY_WORDS_H

#include "policy/policy.h"

struct policy_words;

MUST_CHECK enum err_code policy_words_new(const struct policy_set *set, struct policy_words **ret,
					  struct err *e);
void policy_words_free(struct policy_words *w);
AUTO_DEFINE(struct policy_words, policy_words_free);

/* Field @field of flow.Flow. */
void policy_words_put(const struct policy_words *w, uint32_t field, uint32_t policy,
		      struct buf *out);
/* Field @field of FlowDetail: the rule, as policy_ref_put has it. */
void policy_words_put_rule(const struct policy_words *w, uint32_t field, struct policy_ref ref,
			   struct buf *out);

#endif
