/*
 * own.h - the compiler extensions we use for ownership, in one place.
 *
 *	AUTO_DEFINE(struct exporter, exporter_free)         once, beside the type
 *	AUTO(exporter_free) struct exporter *x = …;         freed when x leaves scope
 *	*ret = TAKE(x);                                     … unless ownership was taken away
 */
#ifndef TYCHO_BASE_OWN_H
#define TYCHO_BASE_OWN_H

#include <stddef.h>
#include <stdlib.h>
#include <unistd.h>

#define MUST_CHECK __attribute__((warn_unused_result))
#define FORMAT(fmt, args) __attribute__((format(printf, fmt, args)))
#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))

/* Makes the guard that AUTO(fn) attaches to a `type *` variable. @fn must accept NULL. */
#define AUTO_DEFINE(type, fn)                                                                      \
	static inline void fn##_guard_(type **p)                                                   \
	{                                                                                          \
		fn(*p);                                                                            \
	}                                                                                          \
	_Static_assert(sizeof(type *) == sizeof(void *), "guards hold object pointers")
#define AUTO(fn) __attribute__((cleanup(fn##_guard_)))

/* Yields pointer @p and leaves NULL behind: how ownership escapes a guarded scope. */
#define TAKE(p)                                                                                    \
	({                                                                                         \
		__typeof__(p) take_ = (p);                                                         \
		(p) = NULL;                                                                        \
		take_;                                                                             \
	})

static inline void own_free(void *p)
{
	free(p);
}
static inline void own_free_guard_(void *pp)
{
	free(*(void **)pp);
}

/* A file descriptor that closes itself: AUTO_FD int fd = open(…); */
static inline void own_close_(const int *fd)
{
	if (*fd >= 0)
		(void)close(*fd);
}
#define AUTO_FD __attribute__((cleanup(own_close_)))
#define TAKE_FD(fd)                                                                                \
	({                                                                                         \
		int take_ = (fd);                                                                  \
		(fd) = -1;                                                                         \
		take_;                                                                             \
	})

#endif
