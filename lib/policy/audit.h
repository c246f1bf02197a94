/*
 * audit - policies beside what was seen: which rules nothing used, which allow more than was seen, and
 * what no policy covers.
 *
 *	flows ──► connections ──► both ends asked ──► rules, their ports and peers: flows counted
 *	                               └──► ends that no policy selects, that none closes
 *
 * Used      a rule that matched a connection, where the policies decide what was recorded. Where a flow
 *           names the policies that allowed or denied it, only rules of these.
 * Wide      of a rule that was used: ports and peers of it that never were; ranges, blocks and
 *           selectors of which only some were.
 * Unjudged  a rule that nothing used, and that asks for what nobody told: it is not called unused.
 * Rules     of policies for nodes, which are not evaluated, and Cilium's empty ones, which are there
 *           to match nothing, are left out.
 * Memory    bounded: enum audit_limits. Connections beyond are asked anew for each of their flows, so
 *           that no rule is called unused for them.
 * Order     the same flows give the same report, whatever their order, unless a limit was reached.
 * Threads   one at a time.
 */
#ifndef TYCHO_POLICY_AUDIT_H
#define TYCHO_POLICY_AUDIT_H

#include "base/buf.h"
#include "base/err.h"
#include "flow/flow.h"
#include "policy/gather.h"
#include "policy/policy.h"

enum audit_limits {
	AUDIT_CONNECTIONS_MAX = 1 << 17,
	AUDIT_HITS_MAX = 1 << 22,  /* what connections are remembered to match */
	AUDIT_TEXTS_MAX = 1 << 18, /* names of ends, addresses, … */
	AUDIT_PARTS_MAX = 1 << 18, /* ports and peers of rules; rules beyond have no width */
	AUDIT_SEEN_MAX = 16,       /* different ports or peers told of one part of a rule */
	AUDIT_SEEN_ALL_MAX = 1 << 18,
	AUDIT_TOLD_MAX = 8, /* peers never seen, of one part */
	AUDIT_MEMORY_MAX = 256 << 20, /* bytes of a report's texts and lists */
};

struct audit;

/* Both are borrowed for its life; @dict is the dictionary of the flows. ERR_NOMEM. */
MUST_CHECK enum err_code audit_new(const struct policy_set *set, const struct flow_dict *dict,
				   struct audit **ret, struct err *e);
void audit_free(struct audit *a);
AUTO_DEFINE(struct audit, audit_free);
/* @flow with its bytes is borrowed for the call. All ends in @dict are taken for known, also those of
 * no flow. ERR_NOMEM. */
MUST_CHECK enum err_code audit_flow(struct audit *a, const struct flow *flow, struct err *e);

enum audit_result {
	AUDIT_USED,
	AUDIT_WIDE, /* used, and wider than what was seen */
	AUDIT_UNUSED,
	AUDIT_UNJUDGED,
	AUDIT_RESULT_COUNT_
};
/* "used", "wide", "unused", "unjudged". */
const char *audit_result_name(enum audit_result result);

/* Ports or peers that a rule allows, of which not all were seen. */
struct audit_part {
	bool ports;        /* else peers */
	struct str allows; /* "5432-6432/TCP", "app=cart in shop", "10.0.0.0/8", … */
	uint64_t flows;    /* 0: never used */
	bool more;         /* more different ones than AUDIT_SEEN_MAX, and so none is in @seen */
	const struct str *seen;
	size_t seen_count;
	struct str within; /* a block that has all addresses that were seen; "" */
	size_t known;      /* of a selector: who of all is selected, seen there or not */
	const struct str *unseen;
	size_t unseen_count, unseen_left_out;
};
struct audit_rule {
	struct policy_ref ref;
	bool denies;
	enum audit_result result;
	uint64_t flows;
	struct policy_span span;        /* of the connections behind it */
	const char *why;                /* of UNJUDGED */
	const struct audit_part *parts; /* of WIDE */
	size_t part_count;
};
/* Pods of a workload that a direction is open for. */
struct audit_open {
	struct str workload;
	enum policy_direction direction;
	size_t pods, open_pods; /* that are known */
	uint64_t flows;
};
/* Flows that passed because the policies that select the end deny nothing by default. */
struct audit_default {
	struct str workload, by; /* by: policies, ", " between */
	enum policy_direction direction;
	uint64_t flows;
};
struct audit_reason {
	struct str text;
	uint64_t flows;
};
struct audit_count {
	uint64_t flows, connections;
};
struct audit_report {
	const struct audit_rule *rules; /* in the order of the set */
	size_t rule_count;
	size_t results[AUDIT_RESULT_COUNT_]; /* rules of each */
	const uint32_t *idle;                /* policies that select no known pod */
	size_t idle_count;
	const struct audit_open *open; /* the most flows first */
	size_t open_count;
	const struct audit_default *defaults;
	size_t default_count;
	/* What the policies decide otherwise than it was recorded, as preview counts it. */
	struct audit_count newly_denied, newly_allowed;
	const struct audit_reason *unknown; /* why it is not known what the policies decide */
	size_t unknown_count;
	const struct audit_reason
		*elsewhere; /* policies that flows name, and that are not in the set */
	size_t elsewhere_count;
	uint64_t flows; /* that policies decided */
	uint64_t other; /* that they did not */
	uint64_t again; /* of connections beyond the limit */
	struct policy_span span;
};
/* Once, after all flows. *@ret borrows from @a. ERR_NOMEM. */
MUST_CHECK enum err_code audit_finish(struct audit *a, struct audit_report *ret, struct err *e);

#endif
