/*
 * kube_may - whether we have a right, as the API server says it of who asks (SelfSubjectAccessReview
 * of authorization.k8s.io/v1, which everybody may ask for).
 *
 * Threads  the caller's; blocks for some seconds at most.
 */
#ifndef TYCHO_OBSERVER_KUBERNETES_MAY_H
#define TYCHO_OBSERVER_KUBERNETES_MAY_H

#include "kube/client.h"

/* To do @verb ("create") to @resource ("events") of @group ("": core) in every namespace. ERR_OK:
 * *@ret_may says whether. ERR_UNAVAILABLE: it was not answered, @e says why; errors of
 * kube_client_ask and kube_client_headers. */
MUST_CHECK enum err_code kube_may(const struct kube_config *config, const char *verb,
				  const char *group, const char *resource, bool *ret_may,
				  struct err *e);

#endif
