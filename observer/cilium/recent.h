/*
 * recent - something to remember about each of the last N requests, by their ids.
 *
 *	request "X-Request-Id: ab…" ──► recent_put ──► … ──► recent_take ◄── its response
 *
 * Shape    at most @max ids; the one that was not touched for longest makes room. Ids are kept as
 *          128-bit seeded hashes: two different ones do not meet.
 * Threads  one. Memory is taken once.
 */
#ifndef TYCHO_OBSERVER_CILIUM_RECENT_H
#define TYCHO_OBSERVER_CILIUM_RECENT_H

#include "base/err.h"
#include "base/str.h"
#include "base/time.h"

struct recent;

/* What is remembered: a time, and one short text. */
struct recent_note {
	struct timestamp at;
	char text[33]; /* terminated */
};

/* @max from 1 up; @seed: unknown to whoever chooses the ids. */
MUST_CHECK enum err_code recent_new(uint32_t max, uint64_t seed, struct recent **ret,
				    struct err *e);
void recent_free(struct recent *r);
AUTO_DEFINE(struct recent, recent_free);

/* Remembers @note for @id, in place of an earlier one. */
void recent_put(struct recent *r, struct str id, const struct recent_note *note);
/* Hands over what is remembered for @id and forgets it; false if there is nothing. */
bool recent_take(struct recent *r, struct str id, struct recent_note *ret);

#endif
