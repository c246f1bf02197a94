/*
 * node_status - what became of a node that was to answer, as a message among flows
 * (observer.GetFlowsResponse with a relay.NodeStatusEvent).
 */
#ifndef TYCHO_FLOW_NODE_STATUS_H
#define TYCHO_FLOW_NODE_STATUS_H

#include "base/str.h"
#include "base/time.h"
#include "relay/relay.pb-c.h"

struct buf;

/* What is said of a node that sends bytes which cannot be read. */
#define NODE_SENT_NO_FLOW "the peer sent bytes that are no flow"

struct node_status {
	Relay__NodeState state;
	struct str names;   /* as node_status_name has put them, one after the other */
	struct str text;    /* "": none */
	struct str said_by; /* a node's name */
	struct wall_ns time;
};
void node_status_name(struct buf *names, struct str name);
/* Appends the response. */
void node_status_put(struct buf *b, const struct node_status *status);

#endif
