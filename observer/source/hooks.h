/*
 * hooks - our filters on an interface's clsact qdisc: put there, taken back, and recognised when a
 * killed observer left them.
 *
 * Place    priority 1 of ingress and egress, for protocol "all", under handles of our own. First,
 *          because a filter that redirects or drops hides the packet from those behind it. Other
 *          BPF filters of priority 1 and all filters of other priorities live beside ours
 *          undisturbed; one of another kind at priority 1 excludes ours (ERR_EXISTS).
 * Traces   the handle says whether the qdisc is ours too, so this survives a killed observer.
 * Scope    the caller's network namespace, one observer at a time in it: hooks_lock.
 */
#ifndef TYCHO_OBSERVER_SOURCE_HOOKS_H
#define TYCHO_OBSERVER_SOURCE_HOOKS_H

#include "base/err.h"
#include <stdbool.h>
#include <stdint.h>

/* Takes the right to hook in this network namespace: a descriptor to close when done; the kernel
 * lets go of it when the process dies. ERR_EXISTS: another observer has it. */
MUST_CHECK enum err_code hooks_lock(int *ret_fd, struct err *e);

/* @in_fd and @out_fd are loaded programs whose names start with "tycho_". *@ret_own_qdisc: the
 * qdisc is ours, to be handed to hooks_detach. ERR_NOT_FOUND: the interface is gone. ERR_EXISTS:
 * see above. Nothing is left on failure. */
MUST_CHECK enum err_code hooks_attach(uint32_t ifindex, int in_fd, int out_fd, bool *ret_own_qdisc,
				      struct err *e);
/* Takes both filters back, and the qdisc if it is ours and nobody else uses it by now. No matter if
 * the interface is gone. */
void hooks_detach(uint32_t ifindex, bool own_qdisc);
/* Takes back what a killed observer left on the interface. Under hooks_lock only. @return true if
 * there was something. */
bool hooks_clean(uint32_t ifindex);

#endif
