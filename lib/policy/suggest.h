/*
 * suggest - policies that allow just what was seen.
 *
 *	flows ──► connections ──► who: workloads, told apart by labels ──► one policy for each
 *	               └────────────── the text, read back ◄────────────────────┘
 *
 * Subjects  pods that the caller asks for. One policy for each of their workloads; for several
 *           together whose labels do not tell them apart.
 * Seen      connections that were forwarded (or would have been: AUDIT), from who opened them to
 *           the port that was asked; replies belong to them. What policies dropped is allowed only
 *           on demand.
 * Grouping  what a rule says is what was seen, but: all pods of a workload count as one; DNS by UDP
 *           means TCP as well; addresses become blocks where the caller says so.
 * Told      in comments: what is behind each rule, and what no rule could be made of.
 * Order     the same flows give the same policies, whatever their order, unless a limit was reached.
 * Memory    bounded: enum suggest_limits; what goes beyond is counted and told.
 * Threads   one at a time.
 */
#ifndef TYCHO_POLICY_SUGGEST_H
#define TYCHO_POLICY_SUGGEST_H

#include <jansson.h>

#include "base/buf.h"
#include "base/err.h"
#include "flow/flow.h"

enum suggest_limits {
	SUGGEST_CONNECTIONS_MAX = 1 << 16,
	SUGGEST_NAMES_MAX = 1 << 14,      /* DNS names */
	SUGGEST_LABEL_SETS_MAX = 1 << 12, /* different ones of pods */
	SUGGEST_PEERS_MAX = 256,          /* of a policy in one direction */
	SUGGEST_PORTS_MAX = 64,           /* of a peer in one direction */
	SUGGEST_TOLD_MAX = 8,             /* of one kind in one comment */
};

enum suggest_kind {
	SUGGEST_KUBERNETES, /* NetworkPolicy, by the letter of Kubernetes */
	SUGGEST_CILIUM,     /* CiliumNetworkPolicy */
};

struct suggest_config {
	enum suggest_kind kind;
	const char *cluster; /* the local one; borrowed. NULL: "default" */
	bool with_denied;    /* what policies dropped is allowed, too */
	bool ingress, egress;
	uint8_t bits4, bits6; /* of blocks that addresses become: 1 … 32, 1 … 128 */
};

struct suggest;

/* @config is copied; @dict, the dictionary of the flows, is borrowed. ERR_NOMEM. */
MUST_CHECK enum err_code suggest_new(const struct suggest_config *config,
				     const struct flow_dict *dict, struct suggest **ret,
				     struct err *e);
void suggest_free(struct suggest *s);
AUTO_DEFINE(struct suggest, suggest_free);

/* @flow with its bytes is borrowed for the call. @source_asked, @destination_asked: that end of it
 * is one of the pods that policies are asked for. ERR_NOMEM. */
MUST_CHECK enum err_code suggest_flow(struct suggest *s, const struct flow *flow, bool source_asked,
				      bool destination_asked, struct err *e);

struct suggest_counts {
	uint64_t flows;    /* behind what is allowed */
	uint64_t denied;   /* that policies dropped, and no rule allows */
	uint64_t unsaid;   /* that passed, and no rule could be made of */
	uint64_t other;    /* that say nothing of policies: of proxies, other drops, … */
	uint64_t left_out; /* beyond a limit */
	size_t policies;
	bool has_time;
	struct wall_ns first, last; /* of those behind what is allowed */
};

/* A member of this name in a mapping is no part of the object: an array of texts, the lines of a
 * comment on the mapping. They hold names as flows have them: whatever bytes. */
#define SUGGEST_COMMENT "#"

/* The policies, an array of objects, in a new reference; once, after all flows. ERR_NOT_FOUND: no
 * connection of the pods asked for was seen. ERR_NOMEM. */
MUST_CHECK enum err_code suggest_policies(struct suggest *s, json_t **ret,
					  struct suggest_counts *ret_counts, struct err *e);
/* Reads @text, YAML or JSON of these policies, and puts to it the connections that they were made
 * of. ERR_INTERNAL: it cannot be read, denies one of them, or is what `policy check` warns of. */
MUST_CHECK enum err_code suggest_check(const struct suggest *s, struct str text, struct err *e);

#endif
