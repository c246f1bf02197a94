/*
 * value - what an expression yields: a small tagged union, and how two of them compare.
 *
 * Messages are their protobuf bytes with the schema that explains them; lists and maps are arrays
 * in the memory of the evaluation. Errors are values, too: && and || may absorb them.
 *
 * Owner    a value borrows; what it points to lives as long as the evaluation (or, for literals,
 * the program).
 */
#ifndef TYCHO_CEL_VALUE_H
#define TYCHO_CEL_VALUE_H

#include "base/str.h"
#include "base/time.h"

struct schema_message;
struct eval;
struct value;

enum value_kind {
	VALUE_ERROR, /* str: why */
	VALUE_NULL,
	VALUE_BOOL,
	VALUE_INT,
	VALUE_UINT,
	VALUE_DOUBLE,
	VALUE_STRING,
	VALUE_BYTES,
	VALUE_TIMESTAMP,
	VALUE_DURATION, /* num, in nanoseconds */
	VALUE_TYPE,     /* str: its name */
	VALUE_LIST,
	VALUE_MAP,
	VALUE_MESSAGE,
};

struct value {
	uint8_t kind; /* enum value_kind */
	uint32_t len; /* of a list in elements, of a map in entries, of a message in bytes */
	union {
		bool yes;
		int64_t num;
		uint64_t unum;
		double real;
		struct str str;
		struct timestamp time;
		const struct value *items; /* list: elements; map: key, value, key, value, … */
		struct {
			const struct schema_message *schema;
			const uint8_t *wire; /* NULL: the flow of a record that is none */
		} message;
	};
};

static inline struct value value_null(void)
{
	return (struct value){ .kind = VALUE_NULL };
}
static inline struct value value_bool(bool yes)
{
	return (struct value){ .kind = VALUE_BOOL, .yes = yes };
}
static inline struct value value_int(int64_t v)
{
	return (struct value){ .kind = VALUE_INT, .num = v };
}
static inline struct value value_uint(uint64_t v)
{
	return (struct value){ .kind = VALUE_UINT, .unum = v };
}
static inline struct value value_double(double v)
{
	return (struct value){ .kind = VALUE_DOUBLE, .real = v };
}
static inline struct value value_string(struct str s)
{
	return (struct value){ .kind = VALUE_STRING, .str = s };
}
static inline struct value value_bytes(struct str s)
{
	return (struct value){ .kind = VALUE_BYTES, .str = s };
}
static inline struct value value_time(struct timestamp t)
{
	return (struct value){ .kind = VALUE_TIMESTAMP, .time = t };
}
static inline struct value value_duration(int64_t ns)
{
	return (struct value){ .kind = VALUE_DURATION, .num = ns };
}
static inline struct value value_type(struct str name)
{
	return (struct value){ .kind = VALUE_TYPE, .str = name };
}
static inline struct value value_list(const struct value *items, size_t n)
{
	return (struct value){ .kind = VALUE_LIST, .len = (uint32_t)n, .items = items };
}
static inline struct value value_message(const struct schema_message *schema, struct str wire)
{
	return (struct value){ .kind = VALUE_MESSAGE,
			       .len = (uint32_t)wire.len,
			       .message = { schema, (const uint8_t *)wire.p } };
}
#define VALUE_FAULT(literal) ((struct value){ .kind = VALUE_ERROR, .str = STR(literal) })
#define VALUE_NO_OVERLOAD VALUE_FAULT("no such overload")

static inline struct str value_wire(struct value v)
{
	return str_n(v.message.wire ? v.message.wire : (const uint8_t *)"", v.len);
}

/* CEL's ==: numbers by what they are worth, whatever their type; values of other types that differ
 * are not equal. Takes steps of @ev, which may be used up: the answer then means nothing. */
bool value_equal(struct eval *ev, struct value a, struct value b);
/* -1, 0, 1 as VALUE_INT, or an error: NaN, or types that have no order. */
struct value value_compare(struct eval *ev, struct value a, struct value b);
/* "int", "google.protobuf.Timestamp", "flow.Flow", … */
struct str value_type_name(struct value v);
/* True if @v is a whole number that an int64 holds, whatever its type. */
bool value_whole(struct value v, int64_t *ret);

#endif
