#include "tests/unit/nomem.h"

#include <stddef.h>

void *__real_malloc(size_t bytes);
void *__real_calloc(size_t n, size_t bytes);
void *__real_realloc(void *p, size_t bytes);
void *__wrap_malloc(size_t bytes);
void *__wrap_calloc(size_t n, size_t bytes);
void *__wrap_realloc(void *p, size_t bytes);

static bool armed;
static long left; /* allocations until one fails; below zero: it has */

void nomem_after(long n)
{
	armed = true;
	left = n;
}

bool nomem_end(void)
{
	bool failed = armed && left < 0;

	armed = false;
	return failed;
}

static bool fails_now(void)
{
	return armed && left >= 0 && left-- == 0;
}

void *__wrap_malloc(size_t bytes)
{
	return fails_now() ? NULL : __real_malloc(bytes);
}

void *__wrap_calloc(size_t n, size_t bytes)
{
	return fails_now() ? NULL : __real_calloc(n, bytes);
}

void *__wrap_realloc(void *p, size_t bytes)
{
	return fails_now() ? NULL : __real_realloc(p, bytes);
}
