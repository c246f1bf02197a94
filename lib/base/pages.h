/*
 * pages - zeroed memory of which only what is used counts.
 *
 * For tables that are made as large as they may ever become: their pages become real when they are
 * first written. calloc promises no such thing. It hands out pieces that others have used, too, and
 * then every page is written at once; which of the two it is depends on what was freed before.
 */
#ifndef TYCHO_BASE_PAGES_H
#define TYCHO_BASE_PAGES_H

#include "base/own.h"

/* @count * @bytes of zeros; NULL when memory is short, or the product too large. */
void *pages_new(size_t count, size_t bytes);
/* @p as pages_new gave it for the same size; NULL is a no-op. */
void pages_free(void *p, size_t count, size_t bytes);

/* Makes memory of pages_new real at once, which takes less than page by page: for what will be used
 * all over. A wish: it is no failure if memory is short. */
void pages_want(void *p, size_t size);

/* Where the system does so when asked, memory becomes real by 2 MiB at a time: for what is used
 * densely, or looked up at random. A wish: it is no failure if it does not. Any memory, but what
 * becomes real then is zeroed only if it is of pages_new. */
void pages_wish_huge(void *p, size_t size);

#endif
