/*
 * gather - what is gathered from many flows, for audit and suggest: lists that grow, and spans of
 * time.
 *
 * Threads  pure functions.
 */
#ifndef TYCHO_POLICY_GATHER_H
#define TYCHO_POLICY_GATHER_H

#include "base/err.h"
#include "base/own.h"
#include "base/time.h"

/* From the first flow that has a time to the last, both with it. */
struct policy_span {
	bool known; /* one had a time */
	struct wall_ns first, last;
};
void policy_span_add(struct policy_span *to, struct policy_span one);

/* Room for one more after @count items of @size in *@items, a pointer to them (NULL: none yet), which
 * has *@room. ERR_NOMEM: all is as it was. */
MUST_CHECK enum err_code policy_grow(void *items, size_t count, size_t *room, size_t size,
				     struct err *e);

#endif
