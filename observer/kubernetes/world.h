/*
 * kube_world - what is known of a cluster, as little of it as names and policies need.
 *
 *	object ──► kube_world_put ──► things by kind, namespace and name
 *	                                  ├──► kube_view       names, for the name table: all of
 *	                                  │                    them, or what changed
 *	                                  └──► policy objects, for evaluator and store
 *
 * Kept     pods: addresses, labels (one copy for all pods that share them), workload, named ports;
 *          of policies everything but status and managedFields.
 * Lists    begin, put each, end: what the list did not name is forgotten at its end and not before.
 * Names    as Cilium gives them (docs/kubernetes.md). A pod that is over (Succeeded, Failed, without
 *          a sandbox, or to be deleted and without a container that runs) or shares the node's
 *          address (hostNetwork) claims no address; where two pods claim one, the one that is not
 *          on its way out has it, then the younger.
 * Bounds   KUBE_THINGS_MAX of a kind; KUBE_LABELS_MAX labels, KUBE_IPS_MAX addresses and
 *          KUBE_PORTS_MAX ports of one object, and KUBE_FRONTS_MAX pairs of these of one service.
 *          An object that goes beyond, or cannot be read, is left out whole, with what was known of
 *          it before, and counted.
 * Threads  one at a time.
 */
#ifndef TYCHO_OBSERVER_KUBERNETES_WORLD_H
#define TYCHO_OBSERVER_KUBERNETES_WORLD_H

#include <jansson.h>

#include "observer/name/name.h"

enum {
	KUBE_THINGS_MAX = 1 << 17,
	KUBE_LABELS_MAX = 1024,
	KUBE_IPS_MAX = 1 << 16,
	KUBE_PORTS_MAX = 1 << 16,
	KUBE_FRONTS_MAX = 1 << 18,
};

enum kube_kind {
	KUBE_NAMESPACES,
	KUBE_NODES,
	KUBE_PODS,
	KUBE_SERVICES,
	KUBE_SLICES,
	KUBE_NETWORK_POLICIES,
	KUBE_CILIUM_POLICIES,
	KUBE_CLUSTERWIDE_POLICIES,
	KUBE_CIDR_GROUPS,
	KUBE_CILIUM_ENDPOINTS,
	KUBE_CILIUM_IDENTITIES,
	KUBE_KINDS
};
/* "Pod", "NetworkPolicy", … */
const char *kube_kind_name(enum kube_kind kind);
/* A policy, or what one refers to by name: goes into the store. */
bool kube_kind_is_policy(enum kube_kind kind);
/* What the object says that it is; KUBE_KINDS: none of these. */
enum kube_kind kube_kind_of(const json_t *object);

struct kube_world;

/* @cluster "" is "default" in labels, as Cilium has it; @node: this node's name. Copied. */
MUST_CHECK enum err_code kube_world_new(const char *cluster, const char *node,
					struct kube_world **ret, struct err *e);
void kube_world_free(struct kube_world *w);
AUTO_DEFINE(struct kube_world, kube_world_free);

struct local_pods;
/* Before the first object: which pods live here is told there, too. Borrowed. */
void kube_world_tell_local(struct kube_world *w, struct local_pods *local);

void kube_world_begin(struct kube_world *w, enum kube_kind kind);
/* @object is borrowed for the call, and may lose members. False: left out. */
bool kube_world_put(struct kube_world *w, enum kube_kind kind, json_t *object);
void kube_world_remove(struct kube_world *w, enum kube_kind kind, const json_t *object);
void kube_world_end(struct kube_world *w, enum kube_kind kind);

size_t kube_world_count(const struct kube_world *w, enum kube_kind kind);
uint64_t kube_world_left_out(const struct kube_world *w);

enum kube_dirt { KUBE_DIRTY_NAMES = 1, KUBE_DIRTY_POLICIES = 2 };
/* What changed since the last call: enum kube_dirt. */
unsigned kube_world_dirt(struct kube_world *w);

/* Borrows from the world until its next change. */
struct kube_view {
	struct name_view names;
	/* changes: addresses that nobody has any more; whether services are told. Identities are
	 * those that changed; one without labels is gone. */
	struct name_gone *gone;
	size_t gone_count;
	bool has_services;
	/* what it stands on */
	struct name_prefix *prefixes;
	struct name_service *services;
	struct name_identity *identities;
	struct workload *workloads;
	struct str *labels;
	size_t label_count, workload_count;
};
/* All names. */
MUST_CHECK enum err_code kube_world_view(struct kube_world *w, struct kube_view *ret,
					 struct err *e);
/* What is different from the last view or changes; services, if one of them is, all. */
MUST_CHECK enum err_code kube_world_changes(struct kube_world *w, struct kube_view *ret,
					    struct err *e);
/* True if changes would not say all of it: take a view. */
bool kube_world_wants_all(const struct kube_world *w);
void kube_view_done(struct kube_view *v);

/* What policies ask for beside policies and namespaces. */
struct kube_needs {
	bool services, port_names;
};
/* Adds what this policy asks for, JSON without blanks. */
void kube_needs_of(struct str json, struct kube_needs *needs);

/* Calls @each with the objects that the evaluator wants, as JSON text; policies first, of a kind by
 * namespace and name. @more: what policies ask for that come from elsewhere. ERR_NOMEM: not all. */
MUST_CHECK enum err_code kube_world_policies(struct kube_world *w, const struct kube_needs *more,
					     void (*each)(void *ctx, enum kube_kind kind,
							  struct str json),
					     void *ctx, struct err *e);

#endif
