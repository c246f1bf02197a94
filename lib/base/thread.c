#include "base/thread.h"

#include <errno.h>
#include <signal.h>

enum err_code thread_start(const char *name, void *(*run)(void *arg), void *arg, pthread_t *ret,
			   struct err *e)
{
	static const int own[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL }; /* of the thread's doing */
	sigset_t others, before;

	(void)sigfillset(&others);
	for (size_t i = 0; i < ARRAY_LEN(own); i++)
		(void)sigdelset(&others, own[i]);
	(void)pthread_sigmask(SIG_SETMASK, &others, &before); /* inherited */
	int os = pthread_create(ret, NULL, run, arg);
	(void)pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (os)
		return err_errno(e, os, "start thread '%s'", name);
	(void)pthread_setname_np(*ret, name);
	return ERR_OK;
}

void thread_cond_init(pthread_cond_t *c)
{
	pthread_condattr_t attr;

	(void)pthread_condattr_init(&attr);
	(void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	(void)pthread_cond_init(c, &attr);
	(void)pthread_condattr_destroy(&attr);
}

bool thread_cond_wait(pthread_cond_t *c, pthread_mutex_t *mx, struct mono_ns until)
{
	const struct timespec at = { .tv_sec = (time_t)(until.v / NS_PER_S),
				     .tv_nsec = (long)(until.v % NS_PER_S) };

	return pthread_cond_timedwait(c, mx, &at) != ETIMEDOUT;
}
