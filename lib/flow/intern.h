/*
 * intern - bytes to a number, found without a lock: the index behind flow_dict.
 *
 *	table  [ tag,key | free | tag,key | … ]   open addressing; a slot names a key by number
 *	keys   { bytes, value } …                 in blocks that never move
 *
 * Shape    bounded: at most @max keys.
 * Owner    keys, their bytes and the tables live in the arena that intern_init was given. A table
 *          that grew is left behind there: a reader may still be in it, and all of them together
 *          are no larger than the newest.
 * Threads  get: any thread, wait-free. All others: one thread at a time (the caller's lock); reset
 *          and done need all readers gone.
 */
#ifndef TYCHO_FLOW_INTERN_H
#define TYCHO_FLOW_INTERN_H

#include <stdatomic.h>

#include "base/str.h"

/* Memory that is taken piece by piece and given back as a whole. */
struct arena {
	struct arena_block *blocks;
	atomic_size_t bytes; /* held; any thread may read it */
};
void *arena_take(struct arena *a, size_t bytes); /* aligned for any type; NULL: out of memory */
void arena_reset(struct arena *a);

struct intern {
	_Atomic(struct intern_table *) table; /* NULL until the first put */
	struct intern_key **blocks;           /* a block is set before a slot names a key in it */
	size_t count, max;                    /* keys; writer only */
	uint64_t seed;
	struct arena *arena;
};

/* @return false: out of memory. */
bool intern_init(struct intern *in, size_t max, uint64_t seed, struct arena *arena);
void intern_done(struct intern *in);
/* Forgets all keys; the caller resets the arena. */
void intern_reset(struct intern *in);

bool intern_get(const struct intern *in, struct str bytes, uint32_t *ret_value);
/* Makes room for one more key. @return false: full, or out of memory. */
bool intern_reserve(struct intern *in);
/* Adds @bytes, which must not be there yet, lie in the arena and have been reserved for. What
 * @value names must be visible before: a reader may find it at once. */
void intern_put(struct intern *in, struct str bytes, uint32_t value);

#endif
