#include "flow/schema.h"

#include <pthread.h>
#include <stdlib.h>

#include "google/protobuf/descriptor.pb-c.h"

#include "base/buf.h"
#include "base/map.h"
#include "flow/wire.h"
#include "proto/descriptors.h"

struct enum_value {
	struct str name;
	int32_t number;
};

struct schema_enum {
	const struct enum_value
		*values; /* in declaration order; the first name of a number is its name */
	size_t count;
	const uint16_t *by_number; /* 1 + index of numbers 0..low_count-1, 0 for none */
	size_t low_count;
	const uint16_t *slots; /* names hashed: 1 + index, 0 for free */
	uint32_t slot_mask;
};

/* Field and enum numbers below this are looked up in an array, others one by one. */
enum { LOW_NUMBERS = 512 };

/* The whole schema: one allocation after another that is never freed; a failure leaves it empty. */
static struct {
	struct map *names; /* full name to 1 + index in messages, or in enums */
	struct map *enum_names;
	struct schema_message *messages;
	struct schema_enum *enums;
	size_t message_count, enum_count;
	bool failed; /* no memory while building, or a message beyond SCHEMA_MAX_FIELDS */
} schema;

static void *keep(size_t count, size_t size)
{
	void *p = calloc(count ? count : 1, size);

	schema.failed |= !p;
	return p;
}

static struct str keep_str(const char *a, const char *b, const char *c)
{
	size_t na = strlen(a), nb = strlen(b), nc = strlen(c);
	char *p = keep(na + nb + nc + 1, 1);

	if (!p)
		return STR("");
	memcpy(p, a, na);
	memcpy(p + na, b, nb);
	memcpy(p + na + nb, c, nc);
	return str_n(p, na + nb + nc);
}

/* Field names are short and few to a message: length and the outer bytes tell nearly all of them
 * apart. */
static uint32_t name_hash(struct str s)
{
	uint64_t head = 0, tail = 0;

	if (s.len >= 8) {
		memcpy(&head, s.p, 8);
		memcpy(&tail, s.p + s.len - 8, 8);
	} else {
		for (size_t i = 0; i < s.len; i++)
			head = head << 8 | (uint8_t)s.p[i];
	}
	uint64_t h = (head ^ (tail << 7 | tail >> 57) ^ s.len) * UINT64_C(0x9e3779b97f4a7c15);
	return (uint32_t)(h >> 32);
}

static uint32_t slot_mask_for(size_t names)
{
	uint32_t slots = 4;

	while (slots < 2 * names)
		slots *= 2;
	return slots - 1;
}

static void slot_put(uint16_t *slots, uint32_t mask, struct str name, size_t index)
{
	uint32_t i = name_hash(name) & mask;

	while (slots[i])
		i = (i + 1) & mask;
	slots[i] = (uint16_t)(index + 1);
}

static enum wire_type wire_type_of(int type)
{
	switch (type) {
	case SCHEMA_DOUBLE:
	case SCHEMA_FIXED64:
	case SCHEMA_SFIXED64:
		return WIRE_I64;
	case SCHEMA_FLOAT:
	case SCHEMA_FIXED32:
	case SCHEMA_SFIXED32:
		return WIRE_I32;
	case SCHEMA_STRING:
	case SCHEMA_BYTES:
	case SCHEMA_MESSAGE:
		return WIRE_LEN;
	default:
		return WIRE_VARINT;
	}
}

static enum schema_special special_of(struct str name)
{
	static const struct {
		const char *name;
		enum schema_special special;
	} specials[] = {
		{ "Timestamp", SCHEMA_TIMESTAMP },
		{ "Duration", SCHEMA_DURATION },
		{ "Any", SCHEMA_ANY },
		{ "FieldMask", SCHEMA_FIELD_MASK },
		{ "Empty", SCHEMA_EMPTY },
		{ "DoubleValue", SCHEMA_WRAPPER },
		{ "FloatValue", SCHEMA_WRAPPER },
		{ "Int64Value", SCHEMA_WRAPPER },
		{ "UInt64Value", SCHEMA_WRAPPER },
		{ "Int32Value", SCHEMA_WRAPPER },
		{ "UInt32Value", SCHEMA_WRAPPER },
		{ "BoolValue", SCHEMA_WRAPPER },
		{ "StringValue", SCHEMA_WRAPPER },
		{ "BytesValue", SCHEMA_WRAPPER },
	};

	if (!str_has_prefix(name, STR("google.protobuf.")))
		return SCHEMA_PLAIN;
	name = str_from(name, sizeof "google.protobuf." - 1);
	for (size_t i = 0; i < ARRAY_LEN(specials); i++)
		if (str_is(name, specials[i].name))
			return specials[i].special;
	return SCHEMA_PLAIN;
}

/* --- pass 1: every message and enum gets its name and place ------------------------- */

typedef const Google__Protobuf__DescriptorProto descriptor;
typedef const Google__Protobuf__EnumDescriptorProto enum_descriptor;

static void add_name(struct map *names, struct str name, size_t index)
{
	if (map_put(names, name, (uint32_t)index, NULL, NULL) != ERR_OK)
		schema.failed = true;
}

static void count_message(descriptor *d, size_t *messages, size_t *enums)
{
	++*messages;
	*enums += d->n_enum_type;
	for (size_t i = 0; i < d->n_nested_type; i++)
		count_message(d->nested_type[i], messages, enums);
}

static void build_enum(enum_descriptor *d, const char *scope)
{
	struct schema_enum *e = &schema.enums[schema.enum_count];
	struct enum_value *values = keep(d->n_value, sizeof *values);
	uint16_t *by_number = keep(LOW_NUMBERS, sizeof *by_number);
	uint32_t mask = slot_mask_for(d->n_value);
	uint16_t *slots = keep(mask + 1, sizeof *slots);

	if (schema.failed)
		return;
	for (size_t i = 0; i < d->n_value; i++) {
		int32_t number = d->value[i]->number;

		values[i] = (struct enum_value){ keep_str(d->value[i]->name, "", ""), number };
		slot_put(slots, mask, values[i].name, i);
		if (number >= 0 && number < LOW_NUMBERS && !by_number[number])
			by_number[number] = (uint16_t)(i + 1);
	}
	*e = (struct schema_enum){ values, d->n_value, by_number, LOW_NUMBERS, slots, mask };
	AUTO_BUF struct buf name = buf_init(SIZE_MAX);
	buf_printf(&name, "%s.%s", scope, d->name);
	schema.failed |= name.failed;
	add_name(schema.enum_names, buf_str(&name), schema.enum_count++);
}

static void name_message(descriptor *d, const char *scope)
{
	struct str name = keep_str(scope, ".", d->name); /* terminated: keep() zeroes */
	struct schema_message *m = &schema.messages[schema.message_count];

	if (schema.failed)
		return;
	m->name = name;
	m->special = special_of(name);
	m->is_map_entry = d->options && d->options->map_entry;
	add_name(schema.names, name, schema.message_count++);
	for (size_t i = 0; i < d->n_enum_type; i++)
		build_enum(d->enum_type[i], name.p);
	for (size_t i = 0; i < d->n_nested_type; i++)
		name_message(d->nested_type[i], name.p);
}

/* --- pass 2: fields, which may refer to any of them --------------------------------- */

static void build_field(struct schema_field *f, descriptor *d, size_t index,
			const struct schema_message *m, bool proto3)
{
	const Google__Protobuf__FieldDescriptorProto *fd = d->field[index];
	bool in_oneof = fd->has_oneof_index && !fd->proto3_optional;
	uint32_t target;

	*f = (struct schema_field){
		.name = keep_str(fd->name, "", ""),
		.json_name = keep_str(fd->json_name ? fd->json_name : fd->name, "", ""),
		.key = keep_str("\"", fd->name, "\":"),
		.number = (uint32_t)fd->number,
		.type = (uint8_t)fd->type,
		.wire_type = (uint8_t)wire_type_of((int)fd->type),
		.repeated = fd->label ==
			    GOOGLE__PROTOBUF__FIELD_DESCRIPTOR_PROTO__LABEL__LABEL_REPEATED,
		.index = (uint16_t)index,
	};
	for (uint32_t tag = f->number << 3 | f->wire_type; tag; tag >>= 7)
		f->tag[f->tag_len++] = (uint8_t)(tag | (tag > 0x7f ? 0x80 : 0));
	f->has_presence =
		!f->repeated && (!proto3 || fd->has_oneof_index || f->type == SCHEMA_MESSAGE);
	if (in_oneof) {
		f->oneof_first = UINT16_MAX;
		for (size_t i = 0; i < d->n_field; i++) {
			if (!d->field[i]->has_oneof_index ||
			    d->field[i]->oneof_index != fd->oneof_index)
				continue;
			f->oneof_first = f->oneof_count ? f->oneof_first : (uint16_t)i;
			f->oneof_count++;
		}
		f->oneof_name = keep_str(m->name.p, ".", d->oneof_decl[fd->oneof_index]->name);
	}
	if (!fd->type_name || fd->type_name[0] != '.')
		return;
	struct str type_name = str_of(fd->type_name + 1);
	if (f->type == SCHEMA_MESSAGE && map_get(schema.names, type_name, &target))
		f->message = &schema.messages[target];
	else if (f->type == SCHEMA_ENUM && map_get(schema.enum_names, type_name, &target))
		f->enumeration = &schema.enums[target];
}

static void build_message(descriptor *d, bool proto3, size_t *next)
{
	struct schema_message *m = &schema.messages[(*next)++];
	struct schema_field *fields = keep(d->n_field, sizeof *fields);
	uint16_t low_count = 0;
	uint32_t mask = slot_mask_for(2 * d->n_field);
	uint16_t *slots = keep(mask + 1, sizeof *slots);

	schema.failed |= d->n_field > SCHEMA_MAX_FIELDS;
	for (size_t i = 0; i < d->n_field; i++)
		if (d->field[i]->number < LOW_NUMBERS && d->field[i]->number >= low_count)
			low_count = (uint16_t)(d->field[i]->number + 1);
	uint16_t *by_number = keep(low_count, sizeof *by_number);
	if (schema.failed)
		return;

	for (size_t i = 0; i < d->n_field; i++) {
		build_field(&fields[i], d, i, m, proto3);
		slot_put(slots, mask, fields[i].name, i);
		if (!str_eq(fields[i].name, fields[i].json_name))
			slot_put(slots, mask, fields[i].json_name, i);
		if (fields[i].number < low_count)
			by_number[fields[i].number] = (uint16_t)(i + 1);
	}
	m->fields = fields;
	m->field_count = (uint16_t)d->n_field;
	m->by_number = by_number;
	m->low_count = low_count;
	m->slots = slots;
	m->slot_mask = mask;
	for (size_t i = 0; i < d->n_nested_type; i++)
		build_message(d->nested_type[i], proto3, next);
}

/* No .proto file here uses these, but an Any may hold one. */
static const char *const lone_messages[] = { "google.protobuf.Duration", "google.protobuf.Empty" };
enum { LONE_MESSAGES = ARRAY_LEN(lone_messages) };

static void add_lone(struct str name)
{
	struct schema_message *m = &schema.messages[schema.message_count];
	uint32_t seen;

	if (schema.failed || map_get(schema.names, name, &seen))
		return;
	m->name = name;
	m->special = special_of(name);
	add_name(schema.names, name, schema.message_count++);
}

static void build(void)
{
	Google__Protobuf__FileDescriptorSet *set = google__protobuf__file_descriptor_set__unpack(
		NULL, proto_descriptors_bytes, proto_descriptors);
	size_t messages = LONE_MESSAGES, enums = 0, next = 0;

	if (!set || map_new(65536, 0, &schema.names, NULL) != ERR_OK ||
	    map_new(65536, 0, &schema.enum_names, NULL) != ERR_OK) {
		schema.failed = true;
		goto out;
	}
	for (size_t i = 0; i < set->n_file; i++) {
		enums += set->file[i]->n_enum_type;
		for (size_t k = 0; k < set->file[i]->n_message_type; k++)
			count_message(set->file[i]->message_type[k], &messages, &enums);
	}
	schema.messages = keep(messages, sizeof *schema.messages);
	schema.enums = keep(enums, sizeof *schema.enums);
	for (size_t i = 0; i < set->n_file && !schema.failed; i++) {
		const Google__Protobuf__FileDescriptorProto *file = set->file[i];

		for (size_t k = 0; k < file->n_enum_type; k++)
			build_enum(file->enum_type[k], file->package);
		for (size_t k = 0; k < file->n_message_type; k++)
			name_message(file->message_type[k], file->package);
	}
	for (size_t i = 0; i < set->n_file && !schema.failed; i++) {
		bool proto3 = set->file[i]->syntax && strcmp(set->file[i]->syntax, "proto3") == 0;

		for (size_t k = 0; k < set->file[i]->n_message_type; k++)
			build_message(set->file[i]->message_type[k], proto3, &next);
	}
	for (size_t i = 0; i < LONE_MESSAGES; i++)
		add_lone(str_of(lone_messages[i]));
out:
	if (set)
		google__protobuf__file_descriptor_set__free_unpacked(set, NULL);
}

/* Index of @full_name in one of the two tables of names. */
static bool find(struct map *const *names, struct str full_name, uint32_t *ret)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	(void)pthread_once(&once, build);
	return !schema.failed && map_get(*names, full_name, ret);
}

const struct schema_message *schema_find(struct str full_name)
{
	uint32_t index;

	return find(&schema.names, full_name, &index) ? &schema.messages[index] : NULL;
}

const struct schema_enum *schema_find_enum(struct str full_name)
{
	uint32_t index;

	return find(&schema.enum_names, full_name, &index) ? &schema.enums[index] : NULL;
}

const struct schema_field *schema_field_named(const struct schema_message *m, struct str name)
{
	if (!m->field_count)
		return NULL;
	for (uint32_t i = name_hash(name) & m->slot_mask; m->slots[i]; i = (i + 1) & m->slot_mask) {
		const struct schema_field *f = &m->fields[m->slots[i] - 1];

		if (str_eq(f->name, name) || str_eq(f->json_name, name))
			return f;
	}
	return NULL;
}

const struct schema_field *schema_field_numbered(const struct schema_message *m, uint32_t number)
{
	if (number < m->low_count)
		return m->by_number[number] ? &m->fields[m->by_number[number] - 1] : NULL;
	for (size_t i = m->field_count; number >= LOW_NUMBERS && i-- > 0;)
		if (m->fields[i].number == number)
			return &m->fields[i];
	return NULL;
}

struct str schema_enum_name(const struct schema_enum *e, int32_t number)
{
	if (number >= 0 && (size_t)number < e->low_count)
		return e->by_number[number] ? e->values[e->by_number[number] - 1].name : STR("");
	for (size_t i = 0; i < e->count; i++)
		if (e->values[i].number == number)
			return e->values[i].name;
	return STR("");
}

bool schema_enum_number(const struct schema_enum *e, struct str name, int32_t *ret)
{
	for (uint32_t i = name_hash(name) & e->slot_mask; e->slots[i]; i = (i + 1) & e->slot_mask) {
		const struct enum_value *v = &e->values[e->slots[i] - 1];

		if (str_eq(v->name, name)) {
			*ret = v->number;
			return true;
		}
	}
	return false;
}
