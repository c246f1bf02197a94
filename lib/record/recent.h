/*
 * recent - values of a member of which a node has few, with the fields that they are: interfaces,
 * services, names.
 *
 * A slot has the value that was read last of those that share it.
 *
 * Threads  one thread per struct recent.
 */
#ifndef TYCHO_RECORD_RECENT_H
#define TYCHO_RECORD_RECENT_H

#include "record/values.h"

enum { RECENT_SLOTS = 1024, RECENT_BYTES = 126 };

/* Zeros: nothing was read. */
struct recent {
	_Alignas(64) struct recent_value {
		uint8_t text_len, bytes_len; /* 0: free */
		char bytes[RECENT_BYTES];    /* the text, then the field */
	} slots[RECENT_SLOTS];
	char room[VALUES_ROOM]; /* that can be read behind the last one */
};

/* The value of @f at the front of @s, its key read already, looked up by its first @front bytes.
 * *@ret is its field, in the slot or in @o, with VALUES_ROOM bytes behind it that can be read. False:
 * as values_put_field says. */
bool recent_read(struct recent *r, struct scan *s, const struct schema_field *f, size_t front,
		 struct values_out *o, struct str *ret);
#endif
