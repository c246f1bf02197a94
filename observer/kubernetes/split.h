/*
 * kube_split - a list of Kubernetes' API taken apart as it arrives.
 *
 *	{"kind":"PodList","metadata":{…},"items":[{…},{…},…]}
 *	      └─ member ──┴─ member       └ item ┘└ item ┘
 *
 * Shape    one JSON object; the elements of its member "items" come one by one, each a JSON object,
 *          its other members whole. Only one of them is held at a time. Blanks may stand anywhere.
 * Bounds   KUBE_ITEM_MAX bytes an item or member, KUBE_KEY_MAX a name of a member.
 * Checks   brackets and strings only; what an item holds is for who reads it to check.
 * Threads  one at a time.
 */
#ifndef TYCHO_OBSERVER_KUBERNETES_SPLIT_H
#define TYCHO_OBSERVER_KUBERNETES_SPLIT_H

#include "base/buf.h"
#include "base/err.h"

enum { KUBE_ITEM_MAX = 8 << 20, KUBE_KEY_MAX = 128, KUBE_DEPTH_MAX = 512 };

/* Bytes are borrowed for the call; an error ends the whole. */
struct kube_split_to {
	enum err_code (*item)(void *ctx, struct str json, struct err *e);
	enum err_code (*member)(void *ctx, struct str key, struct str json, struct err *e);
	void *ctx;
};

struct kube_split {
	struct kube_split_to to;
	struct buf held; /* the item or member under way */
	char key[KUBE_KEY_MAX];
	size_t key_len;
	unsigned state, depth;
	bool in_string, after_backslash, in_items;
};

void kube_split_init(struct kube_split *s, const struct kube_split_to *to);
void kube_split_done(struct kube_split *s);
/* For the next list. */
void kube_split_reset(struct kube_split *s);
/* ERR_PARSE, ERR_NOMEM (a bound), or what a callback said; nothing more may be fed then. */
MUST_CHECK enum err_code kube_split_feed(struct kube_split *s, struct str bytes, struct err *e);
/* True once the list is complete. */
bool kube_split_is_complete(const struct kube_split *s);

#endif
