/*
 * netip - addresses and prefixes read from text with the reference's rules and error sentences.
 *
 * Source   Go's net/netip (ParseAddr, ParsePrefix, Prefix.Contains), which the reference's filters
 *          call.
 * Threads  pure functions.
 */
#ifndef TYCHO_FILTER_NETIP_H
#define TYCHO_FILTER_NETIP_H

#include "base/err.h"
#include "base/str.h"

struct netip {
	uint8_t ip[16]; /* IPv4 mapped */
	bool is_v4; /* false for "::ffff:1.2.3.4", which the reference holds apart from 1.2.3.4 */
	bool has_zone; /* fe80::1%eth0 */
};
struct netip_prefix {
	struct netip addr; /* bits beyond the prefix are as given */
	unsigned bits;     /* of an IPv4 or IPv6 address: 0..32 or 0..128 */
};

/* ERR_INVALID: `ParseAddr("10.0.0"): IPv4 address too short`. */
MUST_CHECK enum err_code netip_parse(struct str s, struct netip *ret, struct err *e);
/* ERR_INVALID: `netip.ParsePrefix("10.0.0.0/40"): prefix length out of range`. */
MUST_CHECK enum err_code netip_prefix_parse(struct str s, struct netip_prefix *ret, struct err *e);
/* False across families and for addresses with a zone. */
bool netip_prefix_contains(const struct netip_prefix *p, const struct netip *a);

#endif
