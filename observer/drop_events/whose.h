/*
 * drop_whose - which flows are drops to be told of, and to which pod.
 *
 *	dropped, for a reason that is wanted ──► the pod on the side that dropped, if it is this node's
 *
 * Side     the destination of what comes in, the source of what goes out; where a flow does not say
 *          which, the source if it is a pod of this node, else the destination.
 * Once     a policy verdict of a source of our own is no second drop where the kernel's drops are
 *          seen, as in metrics.
 */
#ifndef TYCHO_OBSERVER_DROP_EVENTS_WHOSE_H
#define TYCHO_OBSERVER_DROP_EVENTS_WHOSE_H

#include "flow/dict.h"
#include "observer/drop_events/wanted.h"
#include "observer/kubernetes/local_pods.h"

bool drop_is_wanted(const struct drop_wanted *w, const struct flow *f, bool kernel_drops);

struct drop_side {
	const struct endpoint *pod; /* the dictionary's */
	bool incoming;
	char uid[LOCAL_POD_UID_BYTES];
};
/* False: no pod's of this node. */
bool drop_whose(const struct flow *f, const struct flow_dict *dict, struct local_pods *pods,
		struct drop_side *ret);

#endif
