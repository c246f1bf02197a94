/*
 * kube_fixture - a world of Kubernetes of node-a, objects as text, and who has an address in it.
 */
#ifndef TYCHO_TESTS_KUBE_FIXTURE_H
#define TYCHO_TESTS_KUBE_FIXTURE_H

#include "observer/kubernetes/world.h"

struct kube_world *world_new(void);
/* @text must be well; own. */
json_t *json_of(const char *text);
void put(struct kube_world *w, enum kube_kind kind, const char *text);
void take_out(struct kube_world *w, enum kube_kind kind, const char *text);
/* A pod of namespace n; @more: of its status, with a comma behind it. */
void pod_named(struct kube_world *w, const char *name, const char *created, const char *more,
	       const char *ip);

/* All of it. */
void view_of(struct kube_world *w, struct kube_view *v);
/* Who has @ip: the first that claims it, as in the name table. */
const struct name_prefix *who(const struct kube_view *v, const char *ip);
bool has_label(const struct name_prefix *p, const char *text);
void assert_str(struct str s, const char *text);

#endif
