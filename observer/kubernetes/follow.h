/*
 * kube_follow - one kind of object, listed and watched.
 *
 *	list ─page─page─► complete ──► watch ──► ends ──► watch …
 *	  ▲ from the start, after a while            │ 410 Gone
 *	  └──────────────────────────────────────────┘
 *
 * List     in pages of KUBE_PAGE; a page is taken in as it arrives. One that fails begins anew.
 * Watch    from the last resource version seen, bookmarks count; a break goes on from there.
 * Pauses   after a failure 0.2 s, twice as long each time up to 30 s, a random half of it less; or
 *          what Retry-After says, up to a minute.
 * Missing  404 for a kind that not every cluster has: none there are; asked again each minute.
 * Threads  that of the loop which drives the curl multi handle.
 */
#ifndef TYCHO_OBSERVER_KUBERNETES_FOLLOW_H
#define TYCHO_OBSERVER_KUBERNETES_FOLLOW_H

#include "kube/client.h"
#include "observer/kubernetes/split.h"
#include "observer/kubernetes/world.h"

enum {
	KUBE_PAGE = 500,
	KUBE_WATCH_S = 300, /* asked for; a tenth more or less */
	KUBE_VERSION_BYTES = 64,
	KUBE_CONTINUE_BYTES = 16 << 10,
};

struct kube_follow_counts {
	uint64_t lists, watches, events, failures, gone;
};

enum kube_follow_state { KUBE_PAUSED, KUBE_LISTING, KUBE_WATCHING };

struct kube_follow {
	enum kube_kind kind;
	const struct kube_config *config;
	struct kube_world *world;
	CURL *curl;
	CURLM *multi;
	struct curl_slist *headers;
	struct kube_split split;
	struct buf line, refusal; /* of a watch; of an answer that is none */
	struct buf url;
	char version[KUBE_VERSION_BYTES];
	char next_page[KUBE_CONTINUE_BYTES];
	char why[CURL_ERROR_SIZE];
	struct err error;
	enum kube_follow_state state;
	unsigned path; /* which of the kind's paths */
	bool is_listed, is_missing, is_settled, was_told, is_gone, has_begun;
	bool has_metadata;        /* of the page under way: it was there */
	long told_status;         /* HTTP's, of the refusal that was told last */
	struct mono_ns at, began; /* when to go on; when the request was made */
	uint64_t pause_ns, events_before;
	uint64_t *random;
	struct kube_follow_counts counts;
};

/* All borrowed. */
MUST_CHECK enum err_code kube_follow_init(struct kube_follow *f, enum kube_kind kind,
					  const struct kube_config *config,
					  struct kube_world *world, CURLM *multi, uint64_t *random,
					  struct err *e);
void kube_follow_done(struct kube_follow *f);
/* Starts what is due; @return when to call again at the latest. */
struct mono_ns kube_follow_tick(struct kube_follow *f, struct mono_ns now);
/* Its transfer has ended with @code. */
void kube_follow_ended(struct kube_follow *f, CURLcode code, struct mono_ns now);

/* One question and its answer, for who wants to know whether it would work. */
struct kube_answer {
	long status;                      /* HTTP's; 0: none came */
	char why[KUBE_WHY_BYTES];         /* it is not 200 */
	struct wall_ns asked, their_time; /* when; the server's clock then, 0: not told */
	int64_t items;                    /* of a list: 0, or 1 for some; -1: not known */
};
/* Lists one object (@name: of that name), or begins a watch and leaves. Of a follow that does
 * nothing else; multi, world and random may be NULL. Blocks for some seconds at most. */
void kube_follow_ask(struct kube_follow *f, const char *name, bool watch, struct kube_answer *ret);

#endif
