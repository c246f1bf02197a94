/*
 * schema - the messages of proto/ as JSON needs them: fields in declaration order, found fast by
 * name or number.
 *
 * protobuf-c's descriptors know neither declaration order (they sort by number) nor oneof names nor
 * well-known types. The compiled .proto files, which are built in for server reflection, know all
 * of it, so the schema is made from them: once, at first use, and immutable from then on.
 *
 * Threads  any. Everything returned lives as long as the process.
 */
#ifndef TYCHO_FLOW_SCHEMA_H
#define TYCHO_FLOW_SCHEMA_H

#include "base/str.h"

/* google.protobuf.FieldDescriptorProto.Type; groups do not occur. */
enum schema_type {
	SCHEMA_DOUBLE = 1,
	SCHEMA_FLOAT = 2,
	SCHEMA_INT64 = 3,
	SCHEMA_UINT64 = 4,
	SCHEMA_INT32 = 5,
	SCHEMA_FIXED64 = 6,
	SCHEMA_FIXED32 = 7,
	SCHEMA_BOOL = 8,
	SCHEMA_STRING = 9,
	SCHEMA_MESSAGE = 11,
	SCHEMA_BYTES = 12,
	SCHEMA_UINT32 = 13,
	SCHEMA_ENUM = 14,
	SCHEMA_SFIXED32 = 15,
	SCHEMA_SFIXED64 = 16,
	SCHEMA_SINT32 = 17,
	SCHEMA_SINT64 = 18,
};

/* Messages whose JSON is not an object of their fields. */
enum schema_special {
	SCHEMA_PLAIN,
	SCHEMA_TIMESTAMP,
	SCHEMA_DURATION,
	SCHEMA_WRAPPER, /* BoolValue, UInt32Value, …: the bare value */
	SCHEMA_ANY,
	SCHEMA_FIELD_MASK,
	SCHEMA_EMPTY,
};

/* No message has more: readers keep one bit for each field. */
enum { SCHEMA_MAX_FIELDS = 64 };

struct schema_enum;
struct schema_message;

struct schema_field {
	struct str name;      /* as in the .proto file */
	struct str json_name; /* lowerCamelCase */
	struct str key;       /* `"name":`, ready to be written */
	uint32_t number;
	uint8_t type;      /* enum schema_type */
	uint8_t wire_type; /* enum wire_type of one value */
	uint8_t tag_len;
	uint8_t tag[8]; /* of one value as it stands before it: tag_len bytes, then zeros */
	bool repeated;
	bool has_presence; /* zero and absent differ: messages, members of a oneof, `optional` */
	uint16_t index;    /* in fields[] */
	uint16_t oneof_first, oneof_count;    /* its oneof's fields in fields[]; count 0: in none */
	struct str oneof_name;                /* "flow.Layer4.protocol"; "" in none */
	const struct schema_message *message; /* of SCHEMA_MESSAGE */
	const struct schema_enum *enumeration; /* of SCHEMA_ENUM */
};

struct schema_message {
	struct str name; /* "flow.Flow" */
	enum schema_special special;
	bool is_map_entry;                 /* fields 1 and 2 are key and value */
	const struct schema_field *fields; /* in declaration order */
	uint16_t field_count;
	uint16_t low_count;        /* length of by_number */
	const uint16_t *by_number; /* 1 + index of small field numbers, 0 for none */
	const uint16_t *slots; /* names and JSON names hashed: 1 + index, 0 for free; slot_mask + 1
				  of them */
	uint32_t slot_mask;
};

/* Message by full name, NULL if proto/ has none (or memory for the schema ran out). */
const struct schema_message *schema_find(struct str full_name);
/* Field by either spelling; NULL if there is none. */
const struct schema_field *schema_field_named(const struct schema_message *m, struct str name);
const struct schema_field *schema_field_numbered(const struct schema_message *m, uint32_t number);

/* Enum by full name ("flow.Verdict", "flow.Tunnel.Protocol"); NULL as schema_find. */
const struct schema_enum *schema_find_enum(struct str full_name);
/* Name of @number; "" if it has none. */
struct str schema_enum_name(const struct schema_enum *e, int32_t number);
bool schema_enum_number(const struct schema_enum *e, struct str name, int32_t *ret);

#endif
