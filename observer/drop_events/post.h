/*
 * drop_post - one event at a time to the API server, and what comes of it.
 *
 *	note ──► POST, or PATCH where its event is there ──► POST_TOLD
 *	  ▲                  ├── refused: it is over ──────► POST_FAILED
 *	  └──── a pause ─────┴── away, 401, 429, 5xx
 *
 * Gone     a PATCH that finds no event (they last an hour) makes it again. A name that is taken was
 *          ours: a request whose answer was lost.
 * Refused  403, 404 (the namespace is gone), 400, 422 …: the event is over. Without the right, which
 *          the next one lacks, too, there is a pause.
 * Pauses   as all requests to the API server (kube_next_pause), or what Retry-After says. A server
 *          that fails (5xx, 409) is asked DROP_POST_TRIES times for one event; one that is away, or
 *          busy, or does not know our token, until it answers.
 * Logs     the first failure, another kind of failure, the first success after it.
 * Threads  one, which waits in drop_post_wait and nowhere else.
 */
#ifndef TYCHO_OBSERVER_DROP_EVENTS_POST_H
#define TYCHO_OBSERVER_DROP_EVENTS_POST_H

#include "observer/drop_events/limiter.h"
#include "kube/client.h"

enum { DROP_POST_TRIES = 4, DROP_POST_TIMEOUT_MS = 30000, DROP_POST_FDS = 2 };

struct drop_post;

/* @config is taken. @node: of the event's source; borrowed. ERR_NOMEM. */
MUST_CHECK enum err_code drop_post_new(struct kube_config *config, const char *node,
				       uint64_t random, struct drop_post **ret, struct err *e);
void drop_post_free(struct drop_post *p);
AUTO_DEFINE(struct drop_post, drop_post_free);

enum drop_post_result {
	POST_IDLE, /* nothing is under way: @next was NULL, or is to be tried again, perhaps later */
	POST_BUSY,   /* a request is */
	POST_TOLD,   /* the note is */
	POST_FAILED, /* it will not be */
};
/* Begins a request for @next if none is under way and no pause is, and goes on with the one that is.
 * Until POST_TOLD or POST_FAILED it is to be the same note. Never blocks. */
enum drop_post_result drop_post_step(struct drop_post *p, struct drop_note *next,
				     struct mono_ns now);
/* When the pause is over; 0: there is none. */
struct mono_ns drop_post_due(const struct drop_post *p);
/* Until one of @fds (DROP_POST_FDS at most) can be read, the request goes on, or @ms are over. */
void drop_post_wait(struct drop_post *p, const int *fds, size_t n, int ms);

#endif
