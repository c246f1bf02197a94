/*
 * hooks - our programs on an interface, before all others that see its packets, both ways.
 *
 * tcx      Linux 6.6 and later: a link for each side. The kernel takes them back with the process,
 *          however that ends. Programs and filters of others stand behind ours undisturbed.
 * clsact   before: filters of its qdisc, priority 1, for protocol "all", under handles of our own.
 *          Other BPF filters of priority 1 and all filters of other priorities live beside ours
 *          undisturbed; one of another kind at priority 1 excludes ours (ERR_EXISTS). They outlive
 *          a killed observer; the handle says whether the qdisc is ours, too.
 * Why      first, because a program that redirects or drops hides the packet from those behind it.
 * Scope    the caller's network namespace, one observer at a time in it: hooks_lock.
 * Source   kernel net/core/dev.c (sch_handle_ingress: tcx, then filters), kernel/bpf/tcx.c.
 */
#ifndef TYCHO_OBSERVER_SOURCE_HOOKS_H
#define TYCHO_OBSERVER_SOURCE_HOOKS_H

#include "base/err.h"
#include <stdbool.h>
#include <stdint.h>

/* Takes the right to hook in this network namespace: a descriptor to close when done; the kernel
 * lets go of it when the process dies. ERR_EXISTS: another observer has it. */
MUST_CHECK enum err_code hooks_lock(int *ret_fd, struct err *e);

/* What we have on an interface; nothing: HOOKS_NONE. Moves, is not copied. */
struct hooks {
	enum { HOOKS_NONE, HOOKS_TCX, HOOKS_CLSACT } by;
	int links[2];   /* tcx: one for each side */
	bool own_qdisc; /* clsact: the qdisc is ours */
};

/* @in_fd and @out_fd are loaded programs whose names start with "tycho_". @by_clsact: also where
 * there is tcx. ERR_NOT_FOUND: the interface is gone. ERR_EXISTS: see above. Nothing is left on
 * failure. */
MUST_CHECK enum err_code hooks_attach(uint32_t ifindex, int in_fd, int out_fd, bool by_clsact,
				      struct hooks *ret, struct err *e);
/* Takes them back, and the qdisc if it is ours and nobody else uses it by now. @gone: the kernel has
 * removed the interface; no matter if it has and nobody knows. */
void hooks_detach(uint32_t ifindex, struct hooks *h, bool gone);
/* Takes back filters that a killed observer left on the interface. Under hooks_lock only. @return true if
 * there was something. */
bool hooks_clean(uint32_t ifindex);

#endif
