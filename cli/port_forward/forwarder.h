/*
 * forwarder - a port of this machine behind which a pod's port is.
 *
 *	who connects ──► 127.0.0.1:4245 ──► forwarder ══ a tunnel each ══► pod of a service
 *
 * Shape    FORWARDER_CONNECTIONS at a time; who comes beyond that is turned away, and it is said.
 * Pods     connections go to a pod that was ready when it was found, until a tunnel to it breaks or
 *          cannot be made: then the next one finds another.
 * Threads  forwarder_run's, which accepts, and one for each connection.
 * Errors   of the first tunnel are forwarder_new's, so that whoever starts us learns them; of later ones
 *          they go to stderr, and the connection ends.
 */
#ifndef TYCHO_CLI_PORT_FORWARD_FORWARDER_H
#define TYCHO_CLI_PORT_FORWARD_FORWARDER_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/own.h"
#include "kube/service.h"

enum { FORWARDER_CONNECTIONS = 64 };

/* Texts are borrowed for the life of the forwarder. */
struct forwarder_config {
	const char *kubeconfig, *context; /* NULL: as kube_config_find has it */
	struct kube_wanted service;
	uint16_t port; /* of this machine; 0: one that is free */
};
struct forwarder;

/* Listens, signs in, finds a pod, and opens a tunnel to it. ERR_EXISTS: something else has the port;
 * and those of kube/kubeconfig.h, kube/exec.h, kube/service.h, kube/tunnel.h. */
MUST_CHECK enum err_code forwarder_new(const struct forwarder_config *config,
				       struct forwarder **ret, struct err *e);
/* No connection may be left: after forwarder_run. */
void forwarder_free(struct forwarder *f);
AUTO_DEFINE(struct forwarder, forwarder_free);
uint16_t forwarder_port(const struct forwarder *f);
/* "kube-system/hubble-relay-abc:4245": where the first tunnel leads. */
const char *forwarder_target(const struct forwarder *f);
/* Until @stop_fd is readable; it is not read. Ends connections, and waits until they are gone. */
MUST_CHECK enum err_code forwarder_run(struct forwarder *f, int stop_fd, struct err *e);

#endif
