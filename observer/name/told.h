/*
 * told - which names endpoints of this node were told for which addresses, as their agent keeps it.
 *
 *	(Endpoint.ID 42, 192.0.2.7) ──► one.example, two.example
 *
 * Beside what DNS answers taught us ourselves (observer/name/dns_names.h): an agent says all of it
 * at once, again and again.
 *
 * Shape    immutable; names are unique and in order (dns_name_cmp), at most TOLD_PER_ADDRESS for an
 *          endpoint and an address: of more the first in order.
 * Owner    it holds its texts. Shared: counted.
 * Threads  finding: any number. Making, _ref and _unref: one at a time.
 */
#ifndef TYCHO_OBSERVER_TOLD_H
#define TYCHO_OBSERVER_TOLD_H

#include "observer/name/name.h"

enum { TOLD_PER_ADDRESS = 64 };

struct told;

/* Names that are none (dns_name_tidy) are left out. ERR_NOMEM. */
MUST_CHECK enum err_code told_new(const struct name_told *list, size_t count, struct told **ret,
				  struct err *e);
/* Names beyond TOLD_PER_ADDRESS. NULL has none. */
size_t told_left_out(const struct told *t);
struct told *told_ref(struct told *t); /* @return @t; NULL is fine for both */
void told_unref(struct told *t);

/* What @endpoint was told for @ip and holds at @now (0: whatever their age). NULL knows nothing.
 * @return how many; borrowed for the life of @t. */
size_t told_find(const struct told *t, const uint8_t ip[16], uint32_t endpoint, struct wall_ns now,
		 struct str ret[TOLD_PER_ADDRESS]);

#endif
