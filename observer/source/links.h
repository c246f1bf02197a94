/*
 * links - the interfaces of this network namespace, and which of them to watch.
 *
 *	netlink ─┬─ links, default routes ──► links_refresh ──► list by ifindex ──► choice_holds
 *	         └─ change messages ────────► links_fd readable ──► links_changed
 *
 * Threads  one at a time.
 * Bounds   change messages that overflow the socket count as a change; nothing is missed by that.
 */
#ifndef TYCHO_OBSERVER_SOURCE_LINKS_H
#define TYCHO_OBSERVER_SOURCE_LINKS_H

#include "base/err.h"
#include <net/if.h>
#include <stdbool.h>
#include <stdint.h>

struct link {
	uint32_t ifindex;
	char name[IF_NAMESIZE];
	bool l3;           /* without Ethernet header: tun, WireGuard, IP tunnels */
	bool peer_netns;   /* its far end, or what it stands on, is in another network namespace */
	int32_t peer_nsid; /* that namespace's number in this one, where peer_netns */
	bool route_out;    /* a default route of either family leaves by it */
	bool gateway;      /* any route through a next hop leaves by it; see links_open */
};

struct links;

/* @gateways: link.gateway is wanted, and each change of such a route is a change. Not for free: the
 * kernel has to list all its routes each time. */
MUST_CHECK enum err_code links_open(bool gateways, struct links **ret, struct err *e);
void links_free(struct links *l); /* NULL is a no-op */
AUTO_DEFINE(struct links, links_free);

/* Readable when something may have changed. */
int links_fd(const struct links *l);
/* Reads the messages that wait; true if the list should be refreshed. Never blocks. */
bool links_changed(struct links *l);
/* Asks the kernel for the whole list. On failure the old list stays. */
MUST_CHECK enum err_code links_refresh(struct links *l, struct err *e);
/* By ifindex, ascending. Borrowed until the next refresh. */
const struct link *links_list(const struct links *l, size_t *ret_count);

struct choice;

/* @patterns as struct source_bpf_config says; copied. ERR_INVALID: an empty one. */
MUST_CHECK enum err_code choice_new(const char *const *patterns, size_t n, struct choice **ret,
				    struct err *e);
void choice_free(struct choice *c); /* NULL is a no-op */
AUTO_DEFINE(struct choice, choice_free);

bool choice_holds(const struct choice *c, const struct link *link);
/* True if somebody asked for interfaces by pattern. */
bool choice_is_explicit(const struct choice *c);
/* The first plain name (no wildcard, no exclusion) that is not in the list; NULL when all are
 * there. Borrowed. */
const char *choice_missing(const struct choice *c, const struct link *list, size_t n);

#endif
