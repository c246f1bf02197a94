/*
 * up_child - one of our daemons as our child: started, waited for until it answers, stopped.
 *
 * The child has a process group of its own, so that Ctrl-C in the terminal comes to us and we end
 * it in order; should we die, the kernel sends it SIGTERM. Start it before gRPC: the C core does
 * not survive a fork.
 */
#ifndef TYCHO_CLI_UP_CHILD_H
#define TYCHO_CLI_UP_CHILD_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/err.h"
#include "base/str.h"

enum { UP_ADDRESSES_BYTES = 4096 };

struct up_child {
	const char *program;                /* "tycho-observer"; borrowed */
	pid_t pid;                          /* 0: none */
	char addresses[UP_ADDRESSES_BYTES]; /* where it answers, separated by blanks */
};

/* True if @program is beside our own program or in $PATH. */
bool up_child_is_there(const char *program);
/* Starts @program, the one beside us or else the one in $PATH, with @args (without the program's
 * name), and waits until it answers (--ready-fd). On failure it has said why on stderr; the
 * sentence here is short. */
MUST_CHECK enum err_code up_child_start(const char *program, const char *const *args,
					size_t arg_count, struct up_child *ret, struct err *e);
/* Becomes @program, the one beside us or else the one in $PATH, with @argv (the program's name
 * first, NULL last). Returns only if it cannot. */
MUST_CHECK enum err_code up_child_become(const char *program, char *const *argv, struct err *e);
/* True if the child has ended by itself. */
bool up_child_has_ended(struct up_child *c);
/* SIGTERM, and SIGKILL after @grace_s seconds; returns when it is gone. */
void up_child_stop(struct up_child *c, unsigned grace_s);

#endif
