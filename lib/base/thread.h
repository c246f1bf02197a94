/*
 * thread - threads as all of ours are: they have a name, and no signal comes to them (signals are
 * main's, signals.h). And waiting for them by the clock that nobody sets.
 */
#ifndef TYCHO_BASE_THREAD_H
#define TYCHO_BASE_THREAD_H

#include <pthread.h>

#include "base/err.h"
#include "base/time.h"

/* Runs @run(@arg). @name: at most 15 bytes, as ps shows them. *@ret is to be joined, or detached.
 * Fails as the system says: "start thread 'name': …". */
MUST_CHECK enum err_code thread_start(const char *name, void *(*run)(void *arg), void *arg,
				      pthread_t *ret, struct err *e);

/* A condition for thread_cond_wait; pthread_cond_destroy ends it. */
void thread_cond_init(pthread_cond_t *c);
/* With @mx. Until it is signalled, or for no reason, or until @until: false, the time is over. */
bool thread_cond_wait(pthread_cond_t *c, pthread_mutex_t *mx, struct mono_ns until);

#endif
