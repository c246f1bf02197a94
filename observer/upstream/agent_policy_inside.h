/*
 * agent_policy_inside - what agent_policy.c reads of the agent, and agent_policy_ask.c looks up.
 */
#ifndef TYCHO_OBSERVER_UPSTREAM_AGENT_POLICY_INSIDE_H
#define TYCHO_OBSERVER_UPSTREAM_AGENT_POLICY_INSIDE_H

#include "observer/upstream/agent_policy.h"

struct map;

/* What a selector selects: identities, ascending. */
struct selector {
	bool is_wildcard;
	uint32_t first, count; /* in policy->identities */
};

/* Some selector's place in a filter, with the rule sets that put it there. */
struct origin {
	uint32_t selector;
	uint16_t precedence; /* of entries for the same, only those with the highest are */
	bool denies;
	bool is_sure;          /* first … are its own; else those of the whole filter */
	uint32_t first, count; /* in policy->policies */
};

struct filter {
	uint16_t endpoint;
	uint8_t direction;
	bool is_localhost; /* what lets this host in, if the agent is told to; no rule's */
	bool any_protocol;
	uint8_t protocol;
	uint16_t port, end_port;       /* 0: any */
	uint32_t first, count;         /* in policy->origins */
	uint32_t all_first, all_count; /* rule sets of all selectors together */
};

struct agent_policy {
	struct filter *filters; /* by endpoint, then direction */
	struct origin *origins;
	struct selector *selectors;
	uint32_t *identities;
	struct span {
		uint32_t at, len;
	} * policies; /* flow.Policy messages in @bytes */
	size_t filter_count, origin_count, selector_count, identity_count, policy_count;
	size_t own_count; /* of the filters: the agent's own, of which its API says nothing */
	size_t filter_cap, origin_cap, selector_cap, identity_cap, policy_cap;
	struct buf bytes;
	struct map *names; /* while it is built: a selector's text ► its number */
	bool failed;       /* out of memory */
};

bool agent_policy_selects(const struct agent_policy *p, uint32_t selector, uint32_t identity);

#endif
