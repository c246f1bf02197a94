/*
 * endpoints - which of the known endpoints stands there?
 *
 * That of an address is nearly always the one that it was before; if not, one whose text begins so:
 * with its number on the node. Else all of the text is looked up, and remembered if nobody has met
 * it.
 *
 * Threads  one thread per struct endpoints.
 */
#ifndef TYCHO_RECORD_ENDPOINTS_H
#define TYCHO_RECORD_ENDPOINTS_H

#include "flow/flow.h"
#include "record/members.h"

enum { ENDPOINTS_SLOTS = 1 << 14, ENDPOINTS_GUESSES = 1 << 15 };

/* Zeros: none is known. */
struct endpoints {
	members_ref slots[ENDPOINTS_SLOTS];
	members_ref by_address[ENDPOINTS_GUESSES], by_front[ENDPOINTS_GUESSES];
};

/* The member at the front of @s, which has a key of @key_len bytes, of a flow whose address on that
 * side is @address. NULL: it is none, or cannot be remembered. */
const struct members *endpoints_find(struct endpoints *t, struct members_memory *m,
				     const struct scan *s, size_t key_len, enum flow_side side,
				     struct str address);
/* Asks for the bytes of the one that @address stands for: there are more of them than a core keeps
 * near. */
void endpoints_expect(const struct endpoints *t, const struct members_memory *m,
		      enum flow_side side, struct str address);

#endif
