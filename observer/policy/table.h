/*
 * policy_table - the policies in force, and who they say let a flow pass or stopped it.
 *
 *	provider (files, Kubernetes, …) ──► policy_publish ──► immutable set ──► policy_flow
 *
 * A drop or a verdict that carries no policy is given to the policies in force on its two ends. If
 * they come to the verdict that was seen, their names go into the flow, marked as derived: nobody
 * but us says so. docs/policy.md tells how sure that is.
 *
 *	what was seen                           named                      FlowDetail.policy_source
 *	verdict of a rule, policies agree       *_allowed_by, *_denied_by  DERIVED
 *	drop that policies explain, or part     the same                   DERIVED_LIKELY
 *	  of the evidence is missing, or
 *	  policies there are not known in full
 *	verdict of a rule, policies disagree    nothing                    CONTRADICTED
 *	everything else                         nothing                    –
 *
 * What is not looked at: flows that carry policies, whole flows, replies, packets on their way to a
 * service address (the backend is not known yet), drops for reasons that no policy gives.
 *
 * Provider a set is all there is, whoever gave it: of files and an API server, who follows the API
 *          server puts both into one and publishes it, when they have been quiet for a moment (9 ms
 *          for 500 policies). Each policy says where it is from. Beside policies a set wants
 *          CiliumCIDRGroups, Namespaces, Services and their EndpointSlices, and the Pods that name
 *          ports.
 * Cost     an answer is kept by endpoints, protocol and port (and by address, where rules ask for
 *          addresses or names); so are the ends' rows. Both have fixed room, taken once.
 * Threads  publish: any thread but capture. policy_flow, policy_quiet: the capture thread; no lock,
 *          no allocation. Old sets are freed once the capture thread has moved on.
 */
#ifndef TYCHO_OBSERVER_POLICY_TABLE_H
#define TYCHO_OBSERVER_POLICY_TABLE_H

#include "base/buf.h"
#include "flow/dict.h"
#include "policy/policy.h"

/* struct policy_info, origin */
#define POLICY_ORIGIN_FILES "files"
#define POLICY_ORIGIN_KUBERNETES "kubernetes"

struct policy_table;

enum {
	POLICY_NAMED_MAX = 8, /* policies named in a list of a flow; more are counted */
	POLICY_PAST = 4,      /* sets kept beside the one in force, for flows that are read late */
	POLICY_PAST_S = 10,   /* and for how long at most */
};

/* @dict is borrowed. ERR_NOMEM. */
MUST_CHECK enum err_code policy_table_new(const struct flow_dict *dict, struct policy_table **ret,
					  struct err *e);
void policy_table_free(struct policy_table *t);
AUTO_DEFINE(struct policy_table, policy_table_free);

/* The policies that are in force from @since on (of the first ones: always), all of them; @set is
 * taken if it succeeds. Flows that happened before are put to what was in force then, of which the
 * last POLICY_PAST sets are known. Rows of ends must fit: ERR_INVALID when there are so many
 * different selectors that fewer than 64 ends could be kept. ERR_NOMEM. */
MUST_CHECK enum err_code policy_publish(struct policy_table *t, struct policy_set *set,
					struct wall_ns since, struct err *e);
/* Any thread but capture, now and then: forgets sets that ended more than POLICY_PAST_S ago. */
void policy_tidy(struct policy_table *t, struct wall_ns now);

/* Names the policies of a made and named flow, as they were when it happened; appends flow.Flow
 * fields to @ext. */
void policy_flow(struct policy_table *t, struct flow *f, struct buf *ext);
/* Once a loop pass: nothing of old sets is held. */
void policy_quiet(struct policy_table *t);

/* Any thread. */
struct policy_counts {
	uint64_t derived, likely, contradicted; /* flows */
	uint64_t unexplained;                   /* drops that no policy explains */
	uint64_t policies;                      /* in force */
	uint64_t asked;                         /* answers that were not there yet */
};
struct policy_counts policy_table_counts(const struct policy_table *t);

#endif
