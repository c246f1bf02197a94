/*
 * The newest of the agent's policies, for the capture thread: without a lock, and nothing is freed there.
 */
#include "observer/upstream/agent_policy.h"

#include <netinet/in.h>
#include <stdatomic.h>

#include "flow/flow.pb-c.h"

enum {
	EVENT_POLICY_VERDICT = 5,
	REASON_POLICY_DENY = 181,
	/* flow.Flow */
	EGRESS_ALLOWED_BY = 21001,
	INGRESS_ALLOWED_BY = 21002,
	EGRESS_DENIED_BY = 21004,
	INGRESS_DENIED_BY = 21005,
};

struct agent_policies {
	/* set by one thread, taken by capture; capture lays down what it no longer uses */
	_Atomic(struct agent_policy *) next, done;
	struct agent_policy *mine; /* capture thread */
};

enum err_code agent_policies_new(struct agent_policies **ret, struct err *e)
{
	struct agent_policies *all = calloc(1, sizeof *all);
	if (!all)
		return err_set(e, ERR_NOMEM, "policies of the agent");
	*ret = all;
	return ERR_OK;
}

void agent_policies_free(struct agent_policies *all)
{
	if (!all)
		return;
	agent_policy_free(atomic_load(&all->next));
	agent_policy_free(atomic_load(&all->done));
	agent_policy_free(all->mine);
	free(all);
}

void agent_policies_set_take(struct agent_policies *all, struct agent_policy *p)
{
	agent_policy_free(atomic_exchange_explicit(&all->next, p, memory_order_acq_rel));
	agent_policy_free(atomic_exchange_explicit(&all->done, NULL, memory_order_acq_rel));
}

static const struct agent_policy *current(struct agent_policies *all)
{
	/* While the old one has not been fetched yet, the one before last stays a bit longer. */
	if (atomic_load_explicit(&all->next, memory_order_relaxed) &&
	    !atomic_load_explicit(&all->done, memory_order_acquire)) {
		struct agent_policy *fresh =
			atomic_exchange_explicit(&all->next, NULL, memory_order_acq_rel);
		if (fresh) {
			atomic_store_explicit(&all->done, all->mine, memory_order_release);
			all->mine = fresh;
		}
	}
	return all->mine;
}

static bool read_key(const struct flow_dict *dict, const struct flow *f, struct agent_policy_key *k)
{
	static const uint8_t protocols[] = {
		[FLOW_L4_TCP] = IPPROTO_TCP,      [FLOW_L4_UDP] = IPPROTO_UDP,
		[FLOW_L4_SCTP] = IPPROTO_SCTP,    [FLOW_L4_ICMP4] = IPPROTO_ICMP,
		[FLOW_L4_ICMP6] = IPPROTO_ICMPV6,
	};
	bool ingress = f->direction == FLOW__TRAFFIC_DIRECTION__INGRESS;
	const struct endpoint *mine = flow_dict_get_endpoint(dict, ingress ? f->dst_ep : f->src_ep);
	const struct endpoint *other =
		flow_dict_get_endpoint(dict, ingress ? f->src_ep : f->dst_ep);

	if (f->event_type != EVENT_POLICY_VERDICT || !mine || !mine->id ||
	    (!ingress && f->direction != FLOW__TRAFFIC_DIRECTION__EGRESS) ||
	    f->l4 >= ARRAY_LEN(protocols))
		return false;
	bool allowed =
		f->verdict == FLOW__VERDICT__FORWARDED || f->verdict == FLOW__VERDICT__REDIRECTED;
	bool icmp = f->l4 == FLOW_L4_ICMP4 || f->l4 == FLOW_L4_ICMP6;
	*k = (struct agent_policy_key){
		.endpoint = (uint16_t)mine->id,
		.direction = ingress ? AGENT_INGRESS : AGENT_EGRESS,
		.denied =
			f->verdict == FLOW__VERDICT__DROPPED && f->drop_desc == REASON_POLICY_DENY,
		.identity = other ? other->identity : 0,
		.protocol = protocols[f->l4],
		.port = icmp ? f->icmp_type : f->dst_port,
		.match_type = f->policy_match_type,
	};
	/* echo replies have type 0, and so no key: the reference's way */
	return (allowed || k->denied) && k->protocol && k->port;
}

void agent_policies_flow(struct agent_policies *all, const struct flow_dict *dict, struct flow *f,
			 struct buf *ext)
{
	static const uint32_t fields[2][2] = {
		[AGENT_INGRESS] = { INGRESS_ALLOWED_BY, INGRESS_DENIED_BY },
		[AGENT_EGRESS] = { EGRESS_ALLOWED_BY, EGRESS_DENIED_BY },
	};
	const struct agent_policy *p = current(all);
	struct agent_policy_key key;

	if (p && read_key(dict, f, &key) &&
	    agent_policy_put(p, &key, fields[key.direction][key.denied], ext))
		f->bits |= FLOW_HAS_POLICIES;
}
