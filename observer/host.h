/*
 * host - this node's own addresses, kept in the name table as reserved:host, and its names.
 *
 * Addresses come from the kernel (getifaddrs) and are read again whenever rtnetlink says that one
 * came or went.
 */
#ifndef TYCHO_OBSERVER_HOST_H
#define TYCHO_OBSERVER_HOST_H

#include "observer/name/name.h"

struct host;

/* Reads the addresses into @names once and listens for changes. */
MUST_CHECK enum err_code host_new(struct name_table *names, struct host **ret, struct err *e);
void host_free(struct host *h);
AUTO_DEFINE(struct host, host_free);
/* Readable when addresses may have changed; then call host_poll, on the same thread always. */
int host_fd(const struct host *h);
MUST_CHECK enum err_code host_poll(struct host *h, struct err *e);

/* The host name without its domain; "localhost" if there is none. */
void host_name(char *ret, size_t size);

#endif
