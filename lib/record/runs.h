/*
 * runs - which of the known runs of members stands in this place of the line?
 *
 * Lines of one kind of event have the same runs, one behind the other: the one that came last time
 * after those before it is tried first, then the others, the last met first.
 *
 * Threads  one thread per struct runs.
 */
#ifndef TYCHO_RECORD_RUNS_H
#define TYCHO_RECORD_RUNS_H

#include "record/members.h"

enum { RUNS_SLOTS = 32, RUNS_CONTEXTS = 1024 };

/* Of one place in the line. */
struct runs {
	uint8_t order[RUNS_SLOTS], behind[RUNS_CONTEXTS];
	members_ref slots[RUNS_SLOTS];
};
void runs_init(struct runs *r);
/* When the memory is to be reset. */
void runs_forget(struct runs *r);

/* The run at the front of @s: members up to the next of @special, a bit for each index in the
 * schema. *@context: what came before it in the line, 0 at its beginning. NULL: it is none, or
 * cannot be remembered. */
const struct members *runs_find(struct runs *r, struct members_memory *m, const struct scan *s,
				uint64_t special, uint32_t *context);
/* The run that is likely to stand first in a line. */
const struct members *runs_first(const struct runs *r, const struct members_memory *m);

#endif
