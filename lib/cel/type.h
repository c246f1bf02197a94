/*
 * type - what the checker knows of a value: its static type, and whether one type will do for
 * another.
 *
 * Source   cel-go checker/types.go, checker/format.go, common/types/types.go.
 */
#ifndef TYCHO_CEL_TYPE_H
#define TYCHO_CEL_TYPE_H

#include "cel/mem.h"

struct buf;
struct schema_field;
struct schema_message;

enum type_kind {
	TYPE_ERROR, /* of what has an issue; goes with anything */
	TYPE_DYN,
	TYPE_ANY,
	TYPE_NULL,
	TYPE_BOOL,
	TYPE_INT,
	TYPE_UINT,
	TYPE_DOUBLE,
	TYPE_STRING,
	TYPE_BYTES,
	TYPE_TIMESTAMP,
	TYPE_DURATION,
	TYPE_LIST,    /* of[0] */
	TYPE_MAP,     /* from of[0] to of[1] */
	TYPE_MESSAGE, /* message */
	TYPE_TYPE,    /* of[0] */
	TYPE_UNKNOWN, /* number: stands for a type that is still to be found */
};

struct type {
	enum type_kind kind;
	bool nullable; /* a wrapper: the type, or null */
	uint32_t number;
	const struct schema_message *message;
	const struct type *of[2];
};

extern const struct type type_error, type_dyn, type_null, type_bool, type_int, type_uint,
	type_double, type_string, type_bytes, type_timestamp, type_duration;

/* What stands for unknown types so far, and how often types were compared: that is bounded, as
 * types can be built that repeat themselves exponentially. */
struct typing {
	struct mem *mem;
	const struct type **found; /* by number; NULL: still unknown */
	size_t count, capacity;
	struct {
		uint32_t number;
		const struct type *before;
	} * changes; /* to be undone when an attempt fails */
	size_t change_count, change_capacity;
	size_t steps;
	bool failed; /* no memory, or too many steps: answers mean nothing any more */
};

void typing_done(struct typing *t);
/* These return type_error without memory. */
const struct type *type_list(struct typing *t, const struct type *of);
const struct type *type_map(struct typing *t, const struct type *key, const struct type *of);
const struct type *type_type(struct typing *t, const struct type *of);
const struct type *type_message(struct typing *t, const struct schema_message *m);
const struct type *type_unknown(struct typing *t);
const struct type *type_of_field(struct typing *t, const struct schema_field *f);

/* Can @given be used where @wanted is? Unknown types become known by it, unless the answer is no.
 */
bool type_assignable(struct typing *t, const struct type *given, const struct type *wanted);
bool types_assignable(struct typing *t, const struct type *const *given,
		      const struct type *const *wanted, size_t n);
/* @type with what is known by now; what is not stays unknown, or becomes dyn. */
const struct type *type_resolve(struct typing *t, const struct type *type, bool to_dyn);
/* Of two types that go together, the one that says less. */
const struct type *type_general(struct typing *t, const struct type *a, const struct type *b);
bool type_same(struct typing *t, const struct type *a, const struct type *b);

/* As reports name a type: "timestamp", "list(int)", "flow.Flow", "wrapper(bool)". */
void type_put(struct buf *b, const struct type *type);
/* As the type of a result is named: "google.protobuf.Timestamp". */
void type_put_result(struct buf *b, const struct type *type);

#endif
