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
#ifndef TYCHO_RECORD_MEMBERS_H
#define TYCHO_RECORD_MEMBERS_H

#include "record/canon.h"
#include "record/values.h"

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
/* Where something is in the memory; zero, with which tables begin: nothing is there. */
typedef uint32_t members_ref;

/* A run: everything that is wanted of one that is met again is in one place, but for labels, which
 * are a part of their own, and the same of many endpoints. */
struct members {
	members_ref labels;
	uint16_t text_len;
	uint8_t tail_len, count;
	int8_t first, last; /* places in the declaration; -1: nothing at all */
	bool is_there;
	struct members_field fields[];
	/* behind them: text and tail, bytes of the fields */
};
struct members_labels {
	uint32_t number; /* no other labels ever have it; they may have two */
	uint16_t len;
	char bytes[];
};

static inline const char *members_bytes(const struct members *m)
{
	return (const char *)(m->fields + m->count);
}

static inline bool members_are_at(const struct members *m, const struct scan *s)
{
	const char *bytes = members_bytes(m);
	size_t n = (size_t)m->text_len + m->tail_len;

	/* Others mostly end elsewhere. */
	return m->is_there && scan_left(s) >= n &&
	       (n < 16 || is_zero(sixteen_at(s->p + n - 16) ^ sixteen_at(bytes + n - 16))) &&
	       is_same(s->p, bytes, n);
}

enum { MEMBERS_LABELS = 4096 };
/* What reads runs and holds them. */
struct members_memory {
	struct canon *canon;
	struct flow_places places;
	char *bytes;
	size_t used;
	uint64_t seed;
	members_ref labels[MEMBERS_LABELS]; /* by hash */
	uint32_t labels_count;
	bool is_full; /* for the next run; forget all refs, then members_memory_reset */
};
/* @seed: of hashes, nobody else's to know. */
MUST_CHECK enum err_code members_memory_init(struct members_memory *ret, uint64_t seed,
					     struct err *e);
void members_memory_done(struct members_memory *m);
static inline const struct members *members_of(const struct members_memory *m, members_ref ref)
{
	return (const struct members *)(m->bytes + ref);
}
static inline const struct members_labels *members_labels_of(const struct members_memory *m,
							     members_ref ref)
{
	return (const struct members_labels *)(m->bytes + ref);
}
static inline bool members_are_there(const struct members_memory *m, members_ref ref,
				     const struct scan *s)
{
	return members_are_at(members_of(m, ref), s);
}
/* Remembers the run at the front of @text, of @text.len bytes, with @tail_len bytes behind it. 0: it
 * is no run, or too long to be remembered, or there is no room. */
members_ref members_put(struct members_memory *m, struct str text, size_t tail_len);
void members_memory_reset(struct members_memory *m);

/* Behind a member stands a comma, which is stepped over, or the end of the object. */
static inline bool members_past_comma(struct scan *s)
{
	if (s->p == s->end || (*s->p != ',' && *s->p != '}'))
		return false;
	s->p += *s->p == ',';
	return true;
}
/* Bytes of the value at the front of @s: to the end of a string, an object, a list; to the next
 * comma or bracket of others. 0: there is none. */
size_t members_value(const struct scan *s);

#endif
