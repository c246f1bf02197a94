/*
 * kube_ids - the numbers that Cilium gave to label sets, and whom a change of them concerns.
 *
 *	CiliumIdentity 4711: {k8s:app=web, …} ──► label set ──► 4711
 *	                                     └──► pods that have these labels
 *
 * Shape    of two identities with one label set the lower number counts, whatever order they come
 *          in.
 * Threads  one at a time.
 */
#ifndef TYCHO_OBSERVER_KUBERNETES_IDS_H
#define TYCHO_OBSERVER_KUBERNETES_IDS_H

#include "observer/kubernetes/inside.h"

/* Makes what is to be known, once; identities that come later are told by kube_ids_change. */
MUST_CHECK enum err_code kube_ids_know(struct kube_world *w, struct err *e);
/* The number of a label set, 0: none. @labels may be put into another order. */
uint32_t kube_ids_find(struct kube_world *w, struct str *labels, size_t count);
/* @old is gone, or has become @new; either may be NULL. Touches the pods that have these labels,
 * or, where that cannot be told one by one, says that all is to be told (wants_all). */
void kube_ids_change(struct kube_world *w, const struct kube_thing *old,
		     const struct kube_thing *new);

#endif
