/*
 * child - one of our daemons as our child: started, waited for until it answers, stopped.
 *
 * The child has a process group of its own, so that Ctrl-C in the terminal comes to us and we end
 * it in order; but for one that may have to ask somebody at the terminal, which then has to wait for
 * its end by itself. Should we die, the kernel sends it SIGTERM. Start it before gRPC: the C core does
 * not survive a fork.
 */
#ifndef TYCHO_CLI_CHILD_H
#define TYCHO_CLI_CHILD_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/err.h"
#include "base/str.h"

enum { CHILD_ADDRESSES_BYTES = 4096 };

struct child {
	const char *program;                   /* "tycho-observer"; borrowed */
	bool at_terminal;                      /* of our process group; set before the start */
	pid_t pid;                             /* 0: none */
	char addresses[CHILD_ADDRESSES_BYTES]; /* where it answers, separated by blanks */
};

/* True if @program is beside our own program or in $PATH. */
bool child_is_there(const char *program);
/* Starts @program, the one beside us or else the one in $PATH, with @args (without the program's
 * name), and waits until it answers (--ready-fd). On failure it has said why, on stderr, and the
 * sentence here is short, or to us, and it is its own. */
MUST_CHECK enum err_code child_start(const char *program, const char *const *args, size_t arg_count,
				     struct child *ret, struct err *e);
/* Becomes @program, the one beside us or else the one in $PATH, with @argv (the program's name
 * first, NULL last). Returns only if it cannot. */
MUST_CHECK enum err_code child_become(const char *program, char *const *argv, struct err *e);
/* True if the child has ended by itself. */
bool child_has_ended(struct child *c);
/* SIGTERM, and SIGKILL after @grace_s seconds; returns when it is gone. */
void child_stop(struct child *c, unsigned grace_s);

#endif
