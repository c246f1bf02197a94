/*
 * memory - what was read before, in one place: pieces that are there until all are forgotten.
 */
#ifndef TYCHO_RECORD_MEMORY_H
#define TYCHO_RECORD_MEMORY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/own.h"

/* Where a piece is: at the front of a line of the cache, so that it has bits to spare. Zero, with which
 * tables begin: there is none. What lies there is zeros. */
typedef uint32_t memory_ref;
enum { MEMORY_LINE = 64 };

struct memory {
	char *bytes;
	size_t used;
	bool is_full; /* for what was asked for last: drop all refs, then memory_reset */
};
MUST_CHECK enum err_code memory_init(struct memory *ret, struct err *e);
void memory_done(struct memory *m);
/* Nothing is there any more. */
void memory_reset(struct memory *m);

/* @len bytes, which may hold anything; VALUES_ROOM bytes more can be read. 0: there is no room. */
memory_ref memory_take(struct memory *m, size_t len);

static inline void *memory_at(const struct memory *m, memory_ref ref)
{
	return m->bytes + ref;
}

#endif
