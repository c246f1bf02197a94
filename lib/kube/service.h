/*
 * kube_service - from the name of a service to a pod behind it, and the port that it answers on.
 *
 *	service/hubble-relay ──selector──► pods that are ready ──targetPort──► pod, port
 *
 * Source   Kubernetes API, core/v1: Service.spec.selector, .ports[].targetPort; Pod.status.conditions.
 */
#ifndef TYCHO_KUBE_SERVICE_H
#define TYCHO_KUBE_SERVICE_H

#include "kube/kubeconfig.h"

enum { KUBE_LABEL_BYTES = 64, KUBE_NAME_BYTES = 254 }; /* RFC 1123's label and name, and the NUL */

/* A port of a pod. */
struct kube_port {
	char namespace_[KUBE_LABEL_BYTES], service[KUBE_LABEL_BYTES], pod[KUBE_NAME_BYTES];
	uint16_t port;
};

/* A service: the first of @names that is there, or else one that has @labels, as a query has them
 * (NULL: none), and a port that is called "grpc". */
struct kube_wanted {
	const char *namespace_;
	const char *const *names;
	size_t count;
	const char *labels;
};

/* Of the service's pods one that is ready, of its ports the one that is called "grpc", or else the
 * first. Asks the server twice or more, and waits. ERR_INVALID: a namespace or name that can be
 * none; ERR_NOT_FOUND: no such service, or no pod of it is ready; ERR_PERMISSION, ERR_UNAVAILABLE,
 * ERR_PARSE, ERR_NOMEM. */
MUST_CHECK enum err_code kube_service_find(const struct kube_config *config,
					   const struct kube_wanted *wanted, struct kube_port *ret,
					   struct err *e);

#endif
