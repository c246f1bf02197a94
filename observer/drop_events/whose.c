#include "observer/drop_events/whose.h"

#include "flow/flow.pb-c.h"

enum { EVENT_VERDICT = 5 }; /* Cilium's monitor: a policy verdict */

bool drop_is_wanted(const struct drop_wanted *w, const struct flow *f, bool kernel_drops)
{
	if (f->kind != FLOW_KIND_FLOW || f->verdict != FLOW__VERDICT__DROPPED ||
	    !drop_wanted_has(w, f->drop_desc))
		return false;
	return !(kernel_drops && !flow_is(f, FLOW_WHOLE) && flow_is(f, FLOW_HAS_EVENT_TYPE) &&
		 f->event_type == EVENT_VERDICT);
}

static bool is_here(const struct flow_dict *dict, struct local_pods *pods, struct endpoint_id id,
		    struct drop_side *side)
{
	side->pod = flow_dict_get_endpoint(dict, id);
	return side->pod && side->pod->pod.len &&
	       local_pods_find(pods, side->pod->namespace_, side->pod->pod, side->uid);
}

bool drop_whose(const struct flow *f, const struct flow_dict *dict, struct local_pods *pods,
		struct drop_side *ret)
{
	ret->incoming = f->direction == FLOW__TRAFFIC_DIRECTION__INGRESS;
	if (ret->incoming)
		return is_here(dict, pods, f->dst_ep, ret);
	if (is_here(dict, pods, f->src_ep, ret))
		return true;
	ret->incoming = f->direction != FLOW__TRAFFIC_DIRECTION__EGRESS;
	return ret->incoming && is_here(dict, pods, f->dst_ep, ret);
}
