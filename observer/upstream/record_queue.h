/*
 * record_queue - records from one thread to one other: bounded, in order, without a lock.
 *
 *	writer ──► [ record | record | … ] ──► reader
 *	   ▲ room_fd when the reader has made room      │ fd when there is something
 *
 * Shape    a ring of bytes, fixed for life; a record lies in one piece and takes at most a
 *          quarter of it.
 * Threads  put, has_room: the writer's. peek, pop, rest: the reader's. Neither ever waits for the
 *          other; who has nothing to do polls its descriptor.
 * Loss     none: what has no room stays with the writer.
 */
#ifndef TYCHO_OBSERVER_RECORD_QUEUE_H
#define TYCHO_OBSERVER_RECORD_QUEUE_H

#include "base/err.h"
#include "base/str.h"
#include "base/time.h"

struct record_queue;

enum { RECORD_QUEUE_AT_ONCE = 8 };

struct record {
	int kind;            /* the writer's and the reader's business */
	uint64_t count;      /* the same */
	struct wall_ns wall; /* 0 unknown */
	struct str who;      /* may be "" */
	struct str message;
};

/* @bytes: a power of two, at least 4096. ERR_NOMEM, or no more descriptors. */
MUST_CHECK enum err_code record_queue_new(size_t bytes, struct record_queue **ret, struct err *e);
void record_queue_free(struct record_queue *q);
AUTO_DEFINE(struct record_queue, record_queue_free);

/* Whether a record with so many bytes of text could ever be put. */
bool record_queue_fits(const struct record_queue *q, size_t who_bytes, size_t message_bytes);
/* Whether up to RECORD_QUEUE_AT_ONCE records that fit, of @bytes of text in all, can be put now.
 * False: not now; room_fd then becomes readable once it is worth trying again. */
bool record_queue_has_room(struct record_queue *q, size_t bytes);
/* Copied. False: no room, as above. */
bool record_queue_put(struct record_queue *q, const struct record *r);
/* Writer: readable (an eventfd to be read) when it is worth trying again. */
int record_queue_room_fd(const struct record_queue *q);

/* Reader: readable while there may be records. */
int record_queue_fd(const struct record_queue *q);
/* The oldest record, borrowed until pop. False: there is none, and fd says when there is. */
bool record_queue_peek(struct record_queue *q, struct record *ret);
void record_queue_pop(struct record_queue *q);
/* Reader, when it leaves records behind for now: fd stays readable. */
void record_queue_rest(struct record_queue *q);

#endif
