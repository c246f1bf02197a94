/*
 * scope - the network namespaces that are this node's, for an observer that runs inside a network
 * namespace of its own: that one, and those its interfaces lead to.
 *
 *	interface ──► number of its peer's namespace ──► inode ──► map `scope` of the drop program
 *	              (IFLA_LINK_NETNSID)                ▲
 *	              /run/netns, /proc/<pid>/ns/net ────┘ asked for theirs (RTM_GETNSID)
 *
 * The kernel tells the peer's namespace by a number that holds in ours alone; events carry inodes.
 * So what could be a peer is looked up and asked for its number. An interface keeps its answer for
 * life; a namespace that cannot be found (hidden by a mount or by rights: CAP_SYS_PTRACE is needed
 * for other users' processes) is looked for again, ever more rarely.
 *
 * Interfaces that packets leave by for other nodes (a default route, or any through a next hop)
 * lead to the network's side, which is no part of the node.
 *
 * Threads  one at a time.
 * Time     a search costs some microseconds for each process of the machine; there is one only when
 *          an interface leads to a namespace not known yet.
 */
#ifndef TYCHO_OBSERVER_SOURCE_SCOPE_H
#define TYCHO_OBSERVER_SOURCE_SCOPE_H

#include "base/err.h"
#include "base/time.h"
#include "observer/source/links.h"

struct scope;

/* @map_fd: a hash of inodes (u32 to u8), from now on kept by the scope; borrowed. It holds
 * @own_inode at once. */
MUST_CHECK enum err_code scope_new(uint32_t own_inode, int map_fd, struct scope **ret,
				   struct err *e);
void scope_free(struct scope *s); /* NULL is a no-op */
AUTO_DEFINE(struct scope, scope_free);

/* After each change of the list, and when scope_is_due. Without memory the old scope stays. */
void scope_follow(struct scope *s, const struct link *list, size_t n, struct mono_ns now);
/* True if something was not found, and it is time to look again. */
bool scope_is_due(const struct scope *s, struct mono_ns now);

#endif
