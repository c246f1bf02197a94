/*
 * drop_message - a drop in the words of an event, which are Hubble's.
 *
 *	Incoming packet dropped (policy_denied) from default/client (10.0.0.1) TCP/80.
 *	Outgoing packet dropped (policy_deny) to world (192.0.2.1) UDP/53. Denied by policies: …
 *
 * Peer     "namespace/pod (address)", the name of a reserved identity, or the address alone.
 * Extended the policies that the flow names for the pod's direction, by kind and name, sorted, each
 *          once: "Denied by" where a rule denies (policy_deny), else "Applied": they close the
 *          direction, and none of them lets the packet in. Those without a namespace are clusterwide.
 * Foreign  texts that others wrote are cut to what names may have; what is no UTF-8 becomes U+FFFD,
 *          control characters '?': kubectl prints messages to terminals.
 * Bounds   DROP_MESSAGE_BYTES, which is what Kubernetes takes: policies that do not fit are counted.
 */
#ifndef TYCHO_OBSERVER_DROP_EVENTS_MESSAGE_H
#define TYCHO_OBSERVER_DROP_EVENTS_MESSAGE_H

#include "flow/dict.h"

enum { DROP_MESSAGE_BYTES = 1024 };

/* @incoming: told to the pod that it was to reach, else to the one that sent it. @to has room for
 * DROP_MESSAGE_BYTES. */
void drop_message_put(struct buf *to, const struct flow *f, const struct flow_dict *dict,
		      bool incoming, bool extended);

#endif
