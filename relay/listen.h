/*
 * listen - which addresses only this machine can reach.
 */
#ifndef TYCHO_RELAY_LISTEN_H
#define TYCHO_RELAY_LISTEN_H

#include <stdbool.h>

/* "unix:…". */
bool listen_is_unix(const char *address);
/* A unix socket, "localhost", 127.0.0.0/8 or [::1]; with a port. */
bool listen_is_local(const char *address);

#endif
