/*
 * kube_claims - which objects say that an address is theirs, and of which addresses that changed.
 *
 *	10.0.1.5 ──► pod shop/web-0 ──► pod shop/web-7      the best of them has the address
 *
 * Who      pods before nodes before API servers that run elsewhere; of two pods the one that is not
 *          being deleted, then the younger; of two nodes this one.
 * Owner    objects are borrowed: take their claims back before they go.
 * Threads  one at a time.
 */
#ifndef TYCHO_OBSERVER_KUBERNETES_CLAIMS_H
#define TYCHO_OBSERVER_KUBERNETES_CLAIMS_H

#include "observer/kubernetes/thing.h"

enum { KUBE_CHANGED_MAX = 8192 }; /* addresses; of more, all are looked at */

struct kube_claim {
	struct kube_claim *next; /* in its bucket */
	const struct kube_thing *thing;
	enum kube_kind kind;
	uint8_t ip[16];
};

struct kube_claims {
	struct kube_claim **buckets;
	size_t room, count;     /* room: a power of two, or 0 */
	uint8_t (*changed)[16]; /* some more than once */
	size_t changed_count;
	bool too_many; /* changes: the list is not all of them */
};

void kube_claims_done(struct kube_claims *c);
/* All addresses of @thing. False: no memory, and none is claimed. */
bool kube_claims_add(struct kube_claims *c, enum kube_kind kind, const struct kube_thing *thing);
void kube_claims_remove(struct kube_claims *c, const struct kube_thing *thing);
/* What is said of them has changed, though they stay. */
void kube_claims_touch(struct kube_claims *c, const struct kube_thing *thing);
/* Who has @ip; NULL: nobody. */
const struct kube_claim *kube_claims_best(const struct kube_claims *c, const uint8_t ip[16]);
/* True if an API server says that @ip is its own. */
bool kube_claims_is_api_server(const struct kube_claims *c, const uint8_t ip[16]);
/* Puts @changed into order, each once. */
void kube_claims_sort_changed(struct kube_claims *c);
/* As if nothing had changed. */
void kube_claims_forget_changes(struct kube_claims *c);

#endif
