/*
 * keep_policies - the texts of the policies that an observer has been given, on their way into the
 * store.
 *
 * Texts are canonical JSON: members in order, no blanks, without "status" and what managers of
 * fields have noted (metadata.managedFields): neither is policy.
 *
 * A Cilium agent tells of rules, not of objects: those whose labels name one policy become one
 * text, of kind CiliumAgentPolicy:
 *
 *	{"kind":"CiliumAgentPolicy","metadata":{"name":…,"namespace":…,"uid":…},"rules":[…]}
 *
 * The name is that of the labels, behind its kind and a slash if they say what it derives from
 * ("NetworkPolicy/web"); of rules without a name it is all their labels, with commas. Rules stand
 * as the agent gave them, in the order of their texts.
 */
#ifndef TYCHO_OBSERVER_KEEP_POLICIES_H
#define TYCHO_OBSERVER_KEEP_POLICIES_H

#include <jansson.h>

#include "base/err.h"
#include "store/store.h"

struct keep_policies;

MUST_CHECK enum err_code keep_policies_new(struct keep_policies **ret, struct err *e);
/* NetworkPolicy, CiliumNetworkPolicy, CiliumClusterwideNetworkPolicy and CiliumCIDRGroup; other
 * kinds are passed over. @origin: who gave it ("files", "kubernetes"). */
MUST_CHECK enum err_code keep_policies_add(struct keep_policies *p, const json_t *object,
					   struct str origin, struct err *e);
/* Nothing is known of those that @origin (borrowed) gave: what the store has of them stays in
 * force. */
void keep_policies_leave(struct keep_policies *p, struct str origin);
/* What an agent answers to /v1/policy: {"revision":…,"policy":"[…]"}; borrowed, NULL: it has none.
 * ERR_PARSE, ERR_NOMEM. */
MUST_CHECK enum err_code keep_policies_of_agent(const json_t *answer, struct keep_policies **ret,
						struct err *e);
void keep_policies_free(struct keep_policies *p);
AUTO_DEFINE(struct keep_policies, keep_policies_free);
bool keep_policies_are_of_agent(const struct keep_policies *p);

/* Tells the store that these are in force from @now on, and all others no more; but an agent's end
 * nothing of the others, nor they anything of its. What is known is not told again; of an agent's,
 * what derives from an object that the store has, too, is known. On failure some may not have
 * been told: call again. */
MUST_CHECK enum err_code keep_policies_note(const struct keep_policies *p, struct store *s,
					    struct wall_ns now, struct err *e);

#endif
