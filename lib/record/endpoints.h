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
#include "record/canon.h"
#include "record/memory.h"
#include "record/scan.h"

enum {
	ENDPOINTS_SLOTS = 1 << 14,
	ENDPOINTS_GUESSES = 1 << 13,
	ENDPOINTS_WAYS = 4,
	ENDPOINTS_LABELS = 1 << 12,
};

/* Source or destination of a flow, and soon the other one: everything that is wanted of one that is
 * met again is in one place, but for labels, which are parts of their own, and the same of many. */
struct known_endpoint {
	memory_ref labels[2];         /* by enum flow_side, as below */
	uint16_t text_len, field_len; /* 0: this is nothing */
	char bytes
		[]; /* the member's value, then the field that it is as source, and as destination */
};
static inline struct str known_field(const struct known_endpoint *k, enum flow_side side)
{
	return str_n(k->bytes + k->text_len + side * k->field_len, k->field_len);
}

struct known_labels {
	uint32_t number; /* no other labels ever have it; they may have two */
	uint16_t len;
	char bytes[]; /* their part of the record */
};

/* Where those may be of which a hash is known: a few that share a place, the newest first, each with
 * bits of its hash where a ref has none. */
struct guesses {
	memory_ref ways[ENDPOINTS_WAYS];
};

/* Zeros but for what is borrowed: none is known. */
struct endpoints {
	struct memory *memory;
	struct canon *canon;
	uint64_t seed; /* of hashes, nobody else's to know */
	uint32_t labels_count;
	memory_ref slots[ENDPOINTS_SLOTS], labels[ENDPOINTS_LABELS];
	struct guesses by_address[ENDPOINTS_GUESSES], by_front[ENDPOINTS_GUESSES];
};
/* When the memory is to be reset. */
void endpoints_forget(struct endpoints *t);

/* The endpoint whose object is at the front of @s, of a flow whose address on its side is @address.
 * NULL: it is none, or cannot be remembered. */
const struct known_endpoint *endpoints_find(struct endpoints *t, const struct scan *s,
					    struct str address);
/* Asks for the bytes of the one that @address stands for: there are more of them than a core keeps
 * near. */
void endpoints_expect(const struct endpoints *t, struct str address);

#endif
