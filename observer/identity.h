/*
 * identity - what this node is called: in its flows, in its cluster, in its certificate.
 */
#ifndef TYCHO_OBSERVER_IDENTITY_H
#define TYCHO_OBSERVER_IDENTITY_H

#include "base/err.h"

struct identity {
	char node[256];
	char full[512]; /* "cluster/node", or "node" in no cluster or the one called "default" */
	char tls_name[768]; /* "node.cluster.hubble-grpc.cilium.io" */
};

/* @node: NULL is the host's name; @cluster: NULL or "" is none. ERR_INVALID names the option that
 * said it. */
MUST_CHECK enum err_code identity_of(const char *node, const char *cluster, struct identity *ret,
				     struct err *e);

#endif
