/*
 * forward - --port-forward: a relay in a Kubernetes cluster, as if it answered on this machine.
 *
 * tycho-port-forward does it, as a child: who does not ask for it does not load what that takes.
 */
#ifndef TYCHO_CLI_FORWARD_H
#define TYCHO_CLI_FORWARD_H

#include "cli/child.h"
#include "cli/settings.h"

struct forward {
	struct child child;
	char server[64];
};

/* Where --port-forward is set: waits until there is a way to the relay, and makes its end here the
 * server of @s, which borrows @ret. Errors are the child's sentences. Before gRPC starts. */
MUST_CHECK enum err_code forward_start(struct settings *s, struct forward *ret, struct err *e);
/* Harmless if there is none. */
void forward_stop(struct forward *f);

#endif
