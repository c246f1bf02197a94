/*
 * agent_policy - by which policies a Cilium endpoint allowed or denied a connection: the agent's
 * realized policy, looked up as Hubble looks it up.
 *
 *	policy-verdict flow ──► (endpoint, direction, identity, protocol, port, match type)
 *	      │  /v1/endpoint: status.policy.realized.l4   ─ rules, their origins
 *	      │  /v1/policy/selectors                      ─ selector ► identities
 *	      ▼
 *	*_allowed_by, *_denied_by: flow.Policy{name, namespace, kind, labels, revision}
 *
 * Rule     reference/cilium-events.md 6.2 (policy correlation): verdicts FORWARDED and REDIRECTED
 *          are allowed, DROPPED with reason 181 is denied, all others get nothing. The match type
 *          says which key of the endpoint's policy map matched, and so which rules made it.
 *          Of rules that make the same entry those count that have precedence: a proxy before none.
 *          What no rule is about the agent allows itself, and Hubble names that, too: by
 *          "policy-enabled" and by its label, reserved:io.cilium.policy.derived-from=….
 *          tests/oracle/correlation holds all of it against the policy maps that Cilium makes.
 * Unsure   the agent's API says for which selector a rule set stands only at ingress. Where a
 *          filter has several selectors, several rule sets, and not all its selectors match, whose
 *          rule it was is not known: nothing is told rather than something wrong.
 * Owner    a policy is immutable, and copies all it needs.
 */
#ifndef TYCHO_OBSERVER_UPSTREAM_AGENT_POLICY_H
#define TYCHO_OBSERVER_UPSTREAM_AGENT_POLICY_H

#include <jansson.h>

#include "base/buf.h"
#include "base/err.h"
#include "flow/dict.h"
#include "flow/flow.h"

struct agent_policy;

/* @endpoints and @selectors as the agent answers; borrowed for the call, NULL: none. What cannot be
 * read is left out. ERR_NOMEM. */
MUST_CHECK enum err_code agent_policy_new(const json_t *endpoints, const json_t *selectors,
					  struct agent_policy **ret, struct err *e);
void agent_policy_free(struct agent_policy *p);
AUTO_DEFINE(struct agent_policy, agent_policy_free);
size_t agent_policy_rules(const struct agent_policy *p);

enum agent_direction { AGENT_INGRESS, AGENT_EGRESS };

struct agent_policy_key {
	uint16_t endpoint; /* of this node: who decided */
	enum agent_direction direction;
	bool denied;
	uint32_t identity;   /* the other side's */
	uint8_t protocol;    /* IPPROTO_ */
	uint16_t port;       /* or ICMP type; not 0 */
	uint32_t match_type; /* flow.Flow.policy_match_type */
};
/* The policies of that key: bytes of repeated flow.Policy, each as a field of number @field,
 * appended to @b, 64 at most; how many more there are as policies_left_out of tycho.v1.FlowDetail.
 * @return how many. Allocates nothing but in @b. */
size_t agent_policy_put(const struct agent_policy *p, const struct agent_policy_key *key,
			uint32_t field, struct buf *b);

/* ---- for the capture thread: the newest policy, without a lock */

struct agent_policies;
MUST_CHECK enum err_code agent_policies_new(struct agent_policies **ret, struct err *e);
void agent_policies_free(struct agent_policies *all);
AUTO_DEFINE(struct agent_policies, agent_policies_free);
/* One thread: takes @p, which counts from now on. */
void agent_policies_set_take(struct agent_policies *all, struct agent_policy *p);
/* Capture thread: adds its policies to a policy-verdict flow, to @ext and @f's bits. */
void agent_policies_flow(struct agent_policies *all, const struct flow_dict *dict, struct flow *f,
			 struct buf *ext);

#endif
