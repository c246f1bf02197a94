/*
 * up_observer - a tycho-observer as our child: started, waited for until it answers, stopped.
 *
 * The child has a process group of its own, so that Ctrl-C in the terminal comes to us and we end
 * it in order; should we die, the kernel sends it SIGTERM. Start it before gRPC: the C core does
 * not survive a fork.
 */
#ifndef TYCHO_CLI_UP_OBSERVER_H
#define TYCHO_CLI_UP_OBSERVER_H

#include <sys/types.h>

#include "base/err.h"
#include "base/str.h"

enum { UP_ADDRESSES_BYTES = 4096 };

struct up_observer {
	pid_t pid;                          /* 0: none */
	char addresses[UP_ADDRESSES_BYTES]; /* where it answers, separated by blanks */
};

/* Starts the tycho-observer beside this program, or the one in $PATH, with @args (without the
 * program's name), and waits until it answers. On failure the observer has said why on stderr; the
 * sentence here is short. */
MUST_CHECK enum err_code up_observer_start(const char *const *args, size_t arg_count,
					   struct up_observer *ret, struct err *e);
/* True if the child has ended by itself. */
bool up_observer_has_ended(struct up_observer *o);
/* SIGTERM, and SIGKILL after @grace_s seconds; returns when it is gone. */
void up_observer_stop(struct up_observer *o, unsigned grace_s);

#endif
