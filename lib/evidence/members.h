/*
 * members - runs of members of a flow's JSON, remembered with the fields that they are.
 *
 * Most of a line has been read before: endpoints, names, what kind of event it is. A run is read
 * once by canon.h; met again, its text is compared, and its fields are copied.
 *
 *	text    "verdict":"FORWARDED","ethernet":{       what is in brackets is the *tail*: what follows
 *	        └────────────────────┘[       ]          the run tells it from a longer one
 *	fields  verdict: 10 01
 */
#ifndef TYCHO_EVIDENCE_MEMBERS_H
#define TYCHO_EVIDENCE_MEMBERS_H

#include "evidence/canon.h"
#include "evidence/values.h"

/* Top-level fields of a flow. Places are those in ascending order of their numbers. */
struct flow_fields {
	uint64_t has; /* a bit for each place */
	size_t bytes; /* of all */
	struct {
		const char *p; /* FIELD_ROOM bytes can be read even if there are fewer */
		size_t len;
	} at[SCHEMA_MAX_FIELDS];
};
enum { FIELD_ROOM = VALUES_ROOM };

struct flow_places {
	const struct schema_message *flow;
	uint8_t of_index[SCHEMA_MAX_FIELDS]; /* by index in the schema */
};
bool flow_places_init(struct flow_places *ret);
/* SCHEMA_MAX_FIELDS: there is none. */
size_t flow_place(const struct flow_places *p, uint32_t number);

/* A field of a run: its bytes are at the run's bytes. */
struct members_field {
	uint16_t at, len;
	uint8_t place;
};

enum { MEMBERS_TEXT = 1 << 10, MEMBERS_FIELDS = 16, MEMBERS_TAIL = 6 };
/* A slot of a table of runs; zeros: free. */
struct members {
	const char *bytes; /* text and tail, then fields and labels; NULL: free */
	const struct members_field *fields;
	uint32_t number; /* no other run ever has it */
	uint16_t text_len, labels_at, labels_len;
	uint8_t tail_len, count;
	int8_t first, last; /* places in the declaration; -1: nothing at all */
};

static inline bool members_are_at(const struct members *m, const struct scan *s)
{
	size_t n = (size_t)m->text_len + m->tail_len;

	/* Others mostly end elsewhere. */
	return m->bytes && scan_left(s) >= n &&
	       (n < 16 || is_zero(sixteen_at(s->p + n - 16) ^ sixteen_at(m->bytes + n - 16))) &&
	       is_same(s->p, m->bytes, n);
}

/* What reads runs and holds their bytes. */
struct members_memory {
	struct canon *canon;
	struct flow_places places;
	char *bytes;
	size_t used;
	uint32_t count;
};
MUST_CHECK enum err_code members_memory_init(struct members_memory *ret, struct err *e);
void members_memory_done(struct members_memory *m);
/* Fills @slot with the run at the front of @text, of @text.len bytes, with @tail_len bytes behind
 * it. *@ret_full: there was no room, and the slot is free; forget all slots, then
 * members_memory_reset. False: it is no run, or too long to be remembered; the slot is then free. */
bool members_fill(struct members_memory *m, struct members *slot, struct str text, size_t tail_len,
		  bool *ret_full);
void members_memory_reset(struct members_memory *m);

/* Bytes of the value at the front of @s: to the end of a string, an object, a list; to the next
 * comma or bracket of others. 0: there is none. */
size_t members_value(const struct scan *s);

#endif
