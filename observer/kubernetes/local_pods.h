/*
 * local_pods - the pods of this node and their uids, for who asks from another thread.
 *
 *	kube_world ──put, remove──► local_pods ◄──find── drop events
 *
 * Bounds   LOCAL_PODS_MAX; what goes beyond is not there. Texts are copied.
 * Threads  any.
 */
#ifndef TYCHO_OBSERVER_KUBERNETES_LOCAL_PODS_H
#define TYCHO_OBSERVER_KUBERNETES_LOCAL_PODS_H

#include "base/err.h"
#include "base/str.h"

/* A kubelet runs 110 pods unless told otherwise, and hardly more than some hundreds. */
enum { LOCAL_PODS_MAX = 8192, LOCAL_POD_UID_BYTES = 64 };

struct local_pods;

MUST_CHECK enum err_code local_pods_new(struct local_pods **ret, struct err *e);
void local_pods_free(struct local_pods *p);
AUTO_DEFINE(struct local_pods, local_pods_free);

/* From now on the pod of that name has this uid, of which LOCAL_POD_UID_BYTES - 1 bytes are kept.
 * No memory: there is no such pod. */
void local_pods_put(struct local_pods *p, struct str namespace_, struct str name, struct str uid);
void local_pods_remove(struct local_pods *p, struct str namespace_, struct str name);
/* False: no pod of this node, as far as is known; @ret_uid is then untouched. */
bool local_pods_find(struct local_pods *p, struct str namespace_, struct str name,
		     char ret_uid[LOCAL_POD_UID_BYTES]);

#endif
