/*
 * link_names - names of this node's interfaces by number, for the capture thread.
 *
 *	netlink ──► links ──► list ──► link_names_get
 *
 * Time     what changed is noticed at most LINK_NAMES_LOOK_MS later, by the clock of the caller.
 * Threads  one at a time. A look that finds changes asks the kernel for the list: no wait, but a
 *          few system calls.
 */
#ifndef TYCHO_OBSERVER_SOURCE_LINK_NAMES_H
#define TYCHO_OBSERVER_SOURCE_LINK_NAMES_H

#include <net/if.h>
#include <stdbool.h>

#include "base/err.h"
#include "base/time.h"

enum { LINK_NAMES_LOOK_MS = 250 };

struct link_names;

MUST_CHECK enum err_code link_names_new(struct link_names **ret, struct err *e);
void link_names_free(struct link_names *l);
AUTO_DEFINE(struct link_names, link_names_free);

/* False: no such interface. @ctx is the struct link_names. */
bool link_names_get(void *ctx, uint32_t ifindex, struct mono_ns now, char ret[IF_NAMESIZE]);

#endif
