/*
 * guard - which requests a browser may make of us: the answer to DNS rebinding and to other sites'
 * scripts.
 *
 * A page from anywhere can point its own name at 127.0.0.1 and so reach us as "itself"; what it
 * cannot do is choose the Host and Origin headers that its browser sends. So a request must name
 * us by an address, by "localhost", or by a name that the operator gave; and a websocket must come
 * from a page of that same name and port.
 *
 * Threads  pure functions: any thread.
 * Source   RFC 9110 §7.2 (Host), RFC 6454 §7 (Origin), RFC 6455 §10.2.
 */
#ifndef TYCHO_UI_GUARD_H
#define TYCHO_UI_GUARD_H

#include "base/str.h"

/* The names beside addresses and "localhost" that are ours; borrowed. */
struct ui_names {
	const char *const *names;
	size_t count;
};

/* "[::1]:80" is "::1", "a.example:80" is "a.example"; false if @host is no host with at most one
 * port. *@ret_name is borrowed from @host. */
bool ui_host_name(struct str host, struct str *ret_name);
bool ui_host_is_ours(struct str host, const struct ui_names *ours);
/* True if @origin is "http://", or with @tls "https://", and exactly @host (whatever case), which
 * is ours. */
bool ui_origin_is_ours(struct str origin, struct str host, const struct ui_names *ours, bool tls);

#endif
