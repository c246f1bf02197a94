/*
 * gob - values of Go's encoding/gob, read within bounds.
 *
 *	stream  [ length │ -id, definition ] [ length │ id, value ] …
 *	                   └──► struct gob_types        └──► struct gob + type id ──► gob_fields …
 *
 * Just what Cilium's monitor needs: no interfaces but to step over them, no values other than
 * structs at the top. Types are found by the names of their fields, as Go does; ids are the
 * sender's own.
 *
 * Owner    everything read is borrowed from the bytes; definitions are copied into the table.
 * Threads  none of its own; one user per table.
 * Bounds   never reads past its bytes, never allocates; tables are fixed (GOB_ limits), nesting is
 *          bounded, every element consumes a byte at least. Beyond a limit the stream is bad.
 * Source   encoding/gob's documentation; reference/cilium-events.md 5.1.
 */
#ifndef TYCHO_OBSERVER_CILIUM_GOB_H
#define TYCHO_OBSERVER_CILIUM_GOB_H

#include "base/str.h"

enum {
	GOB_TYPES_MAX = 96,
	GOB_FIELDS_MAX = 384, /* of all types together */
	GOB_NAMES_BYTES = 6144,
	GOB_DEPTH_MAX = 16,
	GOB_MESSAGE_MAX = 4 << 20, /* bytes of one message */
};

/* How a value looks on the wire; the first are the ids of built-in types. */
enum gob_kind {
	GOB_UNKNOWN,
	GOB_BOOL,
	GOB_INT,
	GOB_UINT,
	GOB_FLOAT,
	GOB_BYTES,
	GOB_STRING,
	GOB_COMPLEX,
	GOB_INTERFACE,
	GOB_ARRAY,
	GOB_SLICE,
	GOB_STRUCT,
	GOB_MAP,
	GOB_OPAQUE, /* a type that marshals itself: bytes */
};

struct gob_field {
	uint16_t name_at, name_len; /* in the table's names */
	int32_t type;
};
struct gob_type {
	int32_t id;
	uint8_t kind;      /* enum gob_kind */
	int32_t elem, key; /* of arrays, slices and maps */
	uint16_t first_field, field_count;
};
struct gob_types {
	struct gob_type types[GOB_TYPES_MAX];
	struct gob_field fields[GOB_FIELDS_MAX];
	char names[GOB_NAMES_BYTES];
	size_t type_count, field_count, name_bytes;
};
/* Forgets all definitions. */
void gob_types_reset(struct gob_types *t);
enum gob_kind gob_kind_of(const struct gob_types *t, int32_t id);

/* Reader with a sticky fault: after it, everything reads as zero and @p is @end. */
struct gob {
	const uint8_t *p, *end;
	bool bad;
};
static inline struct gob gob_of(struct str s)
{
	const uint8_t *p = (const uint8_t *)(s.len ? s.p : "");

	return (struct gob){ p, p + s.len, false };
}
uint64_t gob_uint(struct gob *g);
int64_t gob_int(struct gob *g);
/* Length and that many bytes: strings, byte slices, opaque values. */
struct str gob_bytes(struct gob *g);
/* Steps over a value of type @id. */
void gob_skip(struct gob *g, const struct gob_types *t, int32_t id);

/* --- messages ----------------------------------------------------------------------------- */

enum gob_frame { GOB_FRAME_WHOLE, GOB_FRAME_SHORT, GOB_FRAME_BAD };
/* Looks for a whole message at the front of @bytes: *@ret_head bytes of length, then *@ret_body.
 * SHORT: more bytes are needed; the two are 0 if not even the length is there. BAD: no length, or
 * more than GOB_MESSAGE_MAX. */
enum gob_frame gob_frame(struct str bytes, size_t *ret_head, size_t *ret_body);

enum gob_message { GOB_DEFINED, GOB_VALUE, GOB_BAD };
/* Takes the body of a message: a definition goes into @t, of a value *@ret_id is the type and
 * *@ret_value stands on its first byte. */
enum gob_message gob_take(struct gob_types *t, struct str body, int32_t *ret_id,
			  struct gob *ret_value);
/* The first value of a complete stream of its own; its definitions go into @t, which is reset. */
bool gob_first_value(struct gob_types *t, struct str stream, int32_t *ret_id,
		     struct gob *ret_value);

/* --- structs ------------------------------------------------------------------------------ */

/*
 * What is wanted of a struct: fields by name, each into a member of a C struct. Members of absent
 * fields are zero, texts empty (never NULL); fields that are not wanted, or are of another kind,
 * are stepped over.
 */
enum gob_want_kind {
	GOB_WANT_NUMBER, /* int64_t; signed or unsigned, beyond 63 bits cut */
	GOB_WANT_TEXT,   /* struct str; strings, bytes and opaque values */
	GOB_WANT_LIST,   /* struct gob_list; slices, arrays and maps */
	GOB_WANT_STRUCT, /* a C struct that begins with `bool present` */
};
struct gob_want {
	const char *name;
	enum gob_want_kind kind;
	size_t at;                    /* offsetof */
	const struct gob_want *wants; /* of a struct; ends with a NULL name */
};
/* Elements to be walked later: @count values of type @elem; of a map, each behind a key. */
struct gob_list {
	struct gob at;
	size_t count;
	int32_t elem, key; /* key 0: no map */
};

/* Takes a value of slice, array or map type @id as a list. */
void gob_read_list(struct gob *g, const struct gob_types *t, int32_t id, struct gob_list *ret);
/* Reads a value of struct type @id. False (and @g is bad) if it is none. */
bool gob_read(struct gob *g, const struct gob_types *t, int32_t id, const struct gob_want *wants,
	      void *out);

#endif
