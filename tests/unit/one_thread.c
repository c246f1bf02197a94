/* A test that is left out of the thread sanitizer's build (tycho_unit_test: ONE_THREAD) starts no thread: this is in the way of one. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

int __wrap_pthread_create(pthread_t *ret, const pthread_attr_t *attr, void *(*run)(void *),
			  void *arg);

int __wrap_pthread_create(pthread_t *ret, const pthread_attr_t *attr, void *(*run)(void *),
			  void *arg)
{
	(void)ret, (void)attr, (void)run, (void)arg;
	(void)fputs("ONE_THREAD in CMakeLists.txt says that this test starts no thread: it does\n",
		    stderr);
	abort();
}
