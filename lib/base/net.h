/*
 * net - what a listen or server address is: "unix:///path", "host:port", ":port", "[::1]:port".
 */
#ifndef TYCHO_BASE_NET_H
#define TYCHO_BASE_NET_H

#include "base/str.h"

/* "unix:/path" and "unix:///path". */
bool address_is_unix(const char *address);
/* True if only this machine can reach it: a unix socket, localhost, 127.0.0.0/8, [::1]. */
bool address_is_local(const char *address);

#endif
