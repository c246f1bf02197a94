/*
 * mem - memory that is given out piece by piece and taken back at once, up to a limit.
 *
 * Owner    whoever embeds it; pieces live until mem_reset or mem_done.
 */
#ifndef TYCHO_CEL_MEM_H
#define TYCHO_CEL_MEM_H

#include <stddef.h>

#include "base/str.h"

struct mem_block;

struct mem {
	struct mem_block *blocks; /* the one in use first, each larger than those before it */
	size_t bytes, max_bytes;  /* of all blocks */
};

static inline struct mem mem_init(size_t max_bytes)
{
	return (struct mem){ .max_bytes = max_bytes };
}
void mem_done(struct mem *m);
/* Takes everything back; the largest block is kept. */
void mem_reset(struct mem *m);
/* Zeroed, aligned for any type. NULL beyond the limit, or without memory. */
void *mem_get(struct mem *m, size_t bytes);
/* A copy of @s; its p is NULL where there is no memory. */
struct str mem_str(struct mem *m, struct str s);

#endif
