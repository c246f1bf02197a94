/*
 * map - bytes to a 32-bit number: the hash table behind interning.
 *
 * Shape    open addressing, grows by doubling up to @max entries; keys are copied into the map's
 *          own blocks and never move, so a key's bytes may be borrowed for the life of the map.
 * Threads  one thread at a time.
 * Loss     none: a full map says ERR_NOMEM, and what it holds stays.
 */
#ifndef TYCHO_BASE_MAP_H
#define TYCHO_BASE_MAP_H

#include "base/err.h"
#include "base/str.h"

struct map;

/* @max entries, at least 1; @seed for hashing: random where keys come from outside. */
MUST_CHECK enum err_code map_new(size_t max, uint64_t seed, struct map **ret, struct err *e);
void map_free(struct map *m); /* NULL is a no-op */
AUTO_DEFINE(struct map, map_free);

/* True and *@ret_value when @key is there. */
bool map_get(const struct map *m, struct str key, uint32_t *ret_value);
/* Adds @key, or replaces its value. *@ret_key (may be NULL) borrows the map's own copy of the key.
 * Fails with ERR_NOMEM: full, or no memory. */
MUST_CHECK enum err_code map_put(struct map *m, struct str key, uint32_t value, struct str *ret_key,
				 struct err *e);
size_t map_count(const struct map *m);
/* Forgets everything; memory is kept for reuse where that is cheap. Borrowed keys end here. */
void map_reset(struct map *m);

#endif
