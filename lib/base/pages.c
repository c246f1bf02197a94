#include "base/pages.h"

#include <stdint.h>
#include <sys/mman.h>

#if defined(__SANITIZE_ADDRESS__)
#define BY_MALLOC 1 /* where it is written past its end, that is found */
#elif defined(__has_feature)
#define BY_MALLOC __has_feature(address_sanitizer)
#else
#define BY_MALLOC 0
#endif

void *pages_new(size_t count, size_t bytes)
{
	size_t total;

	if (__builtin_mul_overflow(count, bytes, &total))
		return NULL;
	if (BY_MALLOC)
		return calloc(1, total ? total : 1);
	void *p = mmap(NULL, total ? total : 1, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
		       -1, 0);
	return p == MAP_FAILED ? NULL : p;
}

void pages_free(void *p, size_t count, size_t bytes)
{
	size_t total = count * bytes; /* it did not overflow when it was made */

	if (BY_MALLOC)
		free(p);
	else if (p)
		(void)munmap(p, total ? total : 1);
}

void pages_want(void *p, size_t size)
{
#ifdef MADV_POPULATE_WRITE /* Linux 5.14 */
	if (!BY_MALLOC)
		(void)madvise(p, size, MADV_POPULATE_WRITE);
#else
	(void)p, (void)size;
#endif
}

void pages_wish_huge(void *p, size_t size)
{
	enum { HUGE_BYTES = 2 << 20 };
	size_t skipped = -(uintptr_t)p & (HUGE_BYTES - 1);

	if (size > skipped + HUGE_BYTES)
		(void)madvise((char *)p + skipped, (size - skipped) & ~(size_t)(HUGE_BYTES - 1),
			      MADV_HUGEPAGE);
}
