/*
 * drop_limiter - which drops are told now, and what has been told before.
 *
 *	drop ──► the same was told within the interval, or is about to be ──► DROP_REPEATED
 *	     ├── DROP_WAITING_MAX others wait already ──────────────────────► DROP_FULL
 *	     ├── so many were told this second ─────────────────────────────► DROP_RATE
 *	     └── DROP_TELL: a note, in a queue until told or failed
 *
 * Shape    a note is one message to one pod. It counts every drop that comes to it, told or not, and
 *          remembers which event of the API server says it, so that one event is kept up to date
 *          instead of many that say the same. DROP_NOTES_MAX of them; the one that was told longest
 *          ago is forgotten for a new one. Those in the queue stay.
 * Rate     a bucket of as many tokens as may be told in a second, filled at that pace; only what
 *          would be told takes one.
 * Owner    notes are the limiter's; texts are copied.
 * Threads  one. The clock is the caller's.
 */
#ifndef TYCHO_OBSERVER_DROP_EVENTS_LIMITER_H
#define TYCHO_OBSERVER_DROP_EVENTS_LIMITER_H

#include "base/err.h"
#include "base/str.h"
#include "base/time.h"

enum { DROP_NOTES_MAX = 4096, DROP_WAITING_MAX = 256 };

struct drop_what {
	struct str namespace_, pod, uid, message;
};

struct drop_note {
	struct drop_what what;      /* its own texts */
	uint64_t number;            /* for its event's name: no two have the same */
	struct wall_ns first, last; /* drop */
	uint64_t count;             /* of drops */
	bool is_made;               /* the event is there, as far as we know */
	unsigned tries;             /* failed ones, since it waits */
	/* the limiter's own */
	bool is_waiting;
	struct mono_ns told;
	uint64_t hash;
	struct drop_note *next;          /* in its bucket */
	struct drop_note *newer, *older; /* of all, by when they were told */
	struct drop_note *behind;        /* in the queue */
};

enum drop_limit { DROP_TELL, DROP_REPEATED, DROP_RATE, DROP_FULL };

struct drop_limiter;

struct drop_limiter_config {
	uint64_t interval_ns;
	uint32_t rate;   /* a second; 0: no limit */
	uint64_t seed;   /* for hashing; random */
	uint64_t number; /* below that of the first note: the time, so that no other run has it */
};

MUST_CHECK enum err_code drop_limiter_new(const struct drop_limiter_config *config,
					  struct drop_limiter **ret, struct err *e);
void drop_limiter_free(struct drop_limiter *l);
AUTO_DEFINE(struct drop_limiter, drop_limiter_free);

/* A drop that happened at @when. No memory for its note: DROP_FULL. */
enum drop_limit drop_limiter_take(struct drop_limiter *l, const struct drop_what *what,
				  struct wall_ns when, struct mono_ns now);
/* The note that has waited longest, borrowed until it is told or failed; NULL: none waits. */
struct drop_note *drop_limiter_next(const struct drop_limiter *l);
/* That note is told, and waits no more. */
void drop_limiter_told(struct drop_limiter *l);
/* It could not be told, and is forgotten: the next such drop is a new one. */
void drop_limiter_failed(struct drop_limiter *l);

size_t drop_limiter_waiting(const struct drop_limiter *l);
size_t drop_limiter_notes(const struct drop_limiter *l);

#endif
