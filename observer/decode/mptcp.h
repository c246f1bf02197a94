/*
 * mptcp - is an option of Multipath TCP what it says?
 *
 * Source   RFC 8684 §3, whose options have one length, or a few, by subtype; version 0 (RFC 6824) has another form of ADD_ADDR.
 *          As the reference's decoder, which refuses the packet where one has another; of subtypes that it does not know it
 *          looks at nothing.
 * Threads  pure function.
 */
#ifndef TYCHO_OBSERVER_MPTCP_H
#define TYCHO_OBSERVER_MPTCP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { MPTCP_KIND = 30 };

/* @p: the option from its kind on; @len: what is left of the header, at least 3. */
bool mptcp_is_sound(const uint8_t *p, size_t len);

#endif
