/*
 * counter - counts that one thread adds to and any may read.
 */
#ifndef TYCHO_BASE_COUNTER_H
#define TYCHO_BASE_COUNTER_H

#include <stdatomic.h>
#include <stdint.h>

/* With one writer no read-modify-write is needed: this costs what a plain addition does. */
static inline void counter_add(_Atomic uint64_t *counter, uint64_t n)
{
	uint64_t v = atomic_load_explicit(counter, memory_order_relaxed);
	atomic_store_explicit(counter, v + n, memory_order_relaxed);
}

static inline uint64_t counter_get(const _Atomic uint64_t *counter)
{
	return atomic_load_explicit(counter, memory_order_relaxed);
}

#endif
