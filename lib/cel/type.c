#include "cel/type.h"

#include "base/buf.h"
#include "flow/schema.h"

enum { STEPS_MAX = 1000000, UNKNOWN_MAX = 1 << 20 };

const struct type type_error = { .kind = TYPE_ERROR }, type_dyn = { .kind = TYPE_DYN },
		  type_null = { .kind = TYPE_NULL }, type_bool = { .kind = TYPE_BOOL },
		  type_int = { .kind = TYPE_INT }, type_uint = { .kind = TYPE_UINT },
		  type_double = { .kind = TYPE_DOUBLE }, type_string = { .kind = TYPE_STRING },
		  type_bytes = { .kind = TYPE_BYTES }, type_timestamp = { .kind = TYPE_TIMESTAMP },
		  type_duration = { .kind = TYPE_DURATION };

static const struct type type_any = { .kind = TYPE_ANY };

void typing_done(struct typing *t)
{
	free(t->found);
	free(t->changes);
	*t = (struct typing){ .mem = t->mem };
}

static const struct type *make(struct typing *t, struct type content)
{
	struct type *type = mem_get(t->mem, sizeof *type);

	if (!type) {
		t->failed = true;
		return &type_error;
	}
	*type = content;
	return type;
}

const struct type *type_list(struct typing *t, const struct type *of)
{
	return make(t, (struct type){ .kind = TYPE_LIST, .of = { of } });
}

const struct type *type_map(struct typing *t, const struct type *key, const struct type *of)
{
	return make(t, (struct type){ .kind = TYPE_MAP, .of = { key, of } });
}

const struct type *type_type(struct typing *t, const struct type *of)
{
	return make(t, (struct type){ .kind = TYPE_TYPE, .of = { of } });
}

const struct type *type_unknown(struct typing *t)
{
	if (t->count == t->capacity) {
		size_t capacity = t->capacity * 2 + 64;
		const struct type **bigger =
			capacity > UNKNOWN_MAX
				? NULL
				: realloc(t->found, capacity * sizeof(const struct type *));

		if (!bigger) {
			t->failed = true;
			return &type_error;
		}
		t->found = bigger;
		t->capacity = capacity;
	}
	t->found[t->count] = NULL;
	return make(t, (struct type){ .kind = TYPE_UNKNOWN, .number = (uint32_t)t->count++ });
}

static const struct type *scalar_type(enum schema_type type)
{
	switch (type) {
	case SCHEMA_DOUBLE:
	case SCHEMA_FLOAT:
		return &type_double;
	case SCHEMA_UINT64:
	case SCHEMA_UINT32:
	case SCHEMA_FIXED64:
	case SCHEMA_FIXED32:
		return &type_uint;
	case SCHEMA_BOOL:
		return &type_bool;
	case SCHEMA_STRING:
		return &type_string;
	case SCHEMA_BYTES:
		return &type_bytes;
	default: /* enums are ints */
		return &type_int;
	}
}

const struct type *type_message(struct typing *t, const struct schema_message *m)
{
	switch (m->special) {
	case SCHEMA_TIMESTAMP:
		return &type_timestamp;
	case SCHEMA_DURATION:
		return &type_duration;
	case SCHEMA_ANY:
		return &type_any;
	case SCHEMA_WRAPPER: {
		struct type wrapped = *scalar_type((enum schema_type)m->fields[0].type);

		wrapped.nullable = true;
		return make(t, wrapped);
	}
	default:
		return make(t, (struct type){ .kind = TYPE_MESSAGE, .message = m });
	}
}

const struct type *type_of_field(struct typing *t, const struct schema_field *f)
{
	const struct type *type = f->type == SCHEMA_MESSAGE
					  ? type_message(t, f->message)
					  : scalar_type((enum schema_type)f->type);

	return f->repeated ? type_list(t, type) : type;
}

/* --- what is known of unknown types ------------------------------------------------------ */

static bool spend(struct typing *t)
{
	t->failed |= ++t->steps > STEPS_MAX;
	return !t->failed;
}

static const struct type *found(const struct typing *t, const struct type *type)
{
	return type->kind == TYPE_UNKNOWN ? t->found[type->number] : NULL;
}

static void set_found(struct typing *t, const struct type *unknown, const struct type *type)
{
	if (t->change_count == t->change_capacity) {
		size_t capacity = t->change_capacity * 2 + 64;
		void *bigger = realloc(t->changes, capacity * sizeof *t->changes);

		if (!bigger) {
			t->failed = true;
			return;
		}
		t->changes = bigger;
		t->change_capacity = capacity;
	}
	t->changes[t->change_count].number = unknown->number;
	t->changes[t->change_count++].before = t->found[unknown->number];
	t->found[unknown->number] = type;
}

bool type_same(struct typing *t, const struct type *a, const struct type *b)
{
	if (a == b)
		return true;
	if (!spend(t) || a->kind != b->kind || a->message != b->message || a->number != b->number)
		return false;
	for (size_t i = 0; i < 2; i++)
		if (!a->of[i] != !b->of[i] || (a->of[i] && !type_same(t, a->of[i], b->of[i])))
			return false;
	return true;
}

/* Does @unknown occur in @within, so that it would be part of itself? */
static bool occurs(struct typing *t, const struct type *unknown, const struct type *within)
{
	if (!spend(t) || type_same(t, unknown, within))
		return true;
	if (within->kind == TYPE_UNKNOWN)
		return found(t, within) && occurs(t, unknown, found(t, within));
	for (size_t i = 0; i < 2; i++)
		if (within->of[i] && occurs(t, unknown, within->of[i]))
			return true;
	return false;
}

static bool is_dynamic(const struct type *type)
{
	return type->kind == TYPE_DYN || type->kind == TYPE_ANY;
}

static bool says_less_or_same(struct typing *t, const struct type *a, const struct type *b)
{
	if (!spend(t) || is_dynamic(a) || a->kind == TYPE_UNKNOWN)
		return true;
	if (is_dynamic(b) || b->kind == TYPE_UNKNOWN || a->kind != b->kind)
		return false;
	switch (a->kind) {
	case TYPE_MAP:
		if (!says_less_or_same(t, a->of[1], b->of[1]))
			return false;
		return says_less_or_same(t, a->of[0], b->of[0]);
	case TYPE_LIST:
		return says_less_or_same(t, a->of[0], b->of[0]);
	case TYPE_TYPE:
		return true;
	default:
		return type_same(t, a, b);
	}
}

const struct type *type_general(struct typing *t, const struct type *a, const struct type *b)
{
	return says_less_or_same(t, a, b) ? a : b;
}

static bool assignable(struct typing *t, const struct type *a, const struct type *b);

/* Can @unknown be @type? *@ret_known: it stood for some type already. */
static bool stands_for(struct typing *t, const struct type *type, const struct type *unknown,
		       bool *ret_known)
{
	const struct type *before = found(t, unknown);

	*ret_known = true;
	if (type_same(t, type, unknown) || (before && type_same(t, type, before)))
		return true;
	if (before) {
		if (!assignable(t, type, before))
			return false;
		const struct type *general = type_general(t, type, before);
		if (!occurs(t, unknown, general))
			set_found(t, unknown, general);
		return true;
	}
	*ret_known = false;
	if (occurs(t, unknown, type))
		return false;
	set_found(t, unknown, type);
	return true;
}

static bool takes_null(const struct type *type)
{
	return type->nullable || type->kind == TYPE_NULL || type->kind == TYPE_MESSAGE ||
	       type->kind == TYPE_DURATION || type->kind == TYPE_TIMESTAMP;
}

static bool assignable(struct typing *t, const struct type *a, const struct type *b)
{
	bool known;

	if (!spend(t))
		return false;
	if (b->kind == TYPE_UNKNOWN) {
		if (stands_for(t, a, b, &known))
			return true;
		if (known)
			return false;
	}
	if (a->kind == TYPE_UNKNOWN)
		return stands_for(t, b, a, &known);
	if (a->kind == TYPE_ERROR || is_dynamic(a) || b->kind == TYPE_ERROR || is_dynamic(b))
		return true;
	if (a->kind == TYPE_NULL)
		return takes_null(b);
	if (b->kind == TYPE_NULL)
		return takes_null(a);
	if (a->kind != b->kind || a->message != b->message)
		return false;
	if (a->kind == TYPE_TYPE)
		return true;
	for (size_t i = 0; i < 2; i++)
		if (a->of[i] && !assignable(t, a->of[i], b->of[i]))
			return false;
	return true;
}

bool types_assignable(struct typing *t, const struct type *const *given,
		      const struct type *const *wanted, size_t n)
{
	t->change_count = 0;
	for (size_t i = 0; i < n; i++) {
		if (assignable(t, given[i], wanted[i]) && !t->failed)
			continue;
		while (t->change_count--)
			t->found[t->changes[t->change_count].number] =
				t->changes[t->change_count].before;
		t->change_count = 0;
		return false;
	}
	return true;
}

bool type_assignable(struct typing *t, const struct type *given, const struct type *wanted)
{
	return types_assignable(t, &given, &wanted, 1);
}

const struct type *type_resolve(struct typing *t, const struct type *type, bool to_dyn)
{
	while (found(t, type) && spend(t))
		type = found(t, type);
	if (!spend(t))
		return &type_error;
	if (type->kind == TYPE_UNKNOWN)
		return to_dyn ? &type_dyn : type;
	if (!type->of[0])
		return type;
	struct type resolved = *type;
	for (size_t i = 0; i < 2; i++)
		if (type->of[i])
			resolved.of[i] = type_resolve(t, type->of[i], to_dyn);
	return make(t, resolved);
}

/* --- names ------------------------------------------------------------------------------- */

static const char *const names[] = {
	[TYPE_ERROR] = "!error!",
	[TYPE_DYN] = "dyn",
	[TYPE_ANY] = "any",
	[TYPE_NULL] = "null",
	[TYPE_BOOL] = "bool",
	[TYPE_INT] = "int",
	[TYPE_UINT] = "uint",
	[TYPE_DOUBLE] = "double",
	[TYPE_STRING] = "string",
	[TYPE_BYTES] = "bytes",
	[TYPE_TIMESTAMP] = "timestamp",
	[TYPE_DURATION] = "duration",
	[TYPE_LIST] = "list",
	[TYPE_MAP] = "map",
	[TYPE_TYPE] = "type",
	[TYPE_MESSAGE] = "",
	[TYPE_UNKNOWN] = "_var",
};

static void put_params(struct buf *b, const struct type *type,
		       void (*put)(struct buf *, const struct type *))
{
	for (size_t i = 0; i < 2 && type->of[i] && !b->failed; i++) {
		buf_str_put(b, i ? STR(", ") : STR("("));
		put(b, type->of[i]);
	}
	if (type->of[0])
		buf_char(b, ')');
}

static void put_own_name(struct buf *b, const struct type *type, const char *name)
{
	if (type->kind == TYPE_MESSAGE)
		buf_str_put(b, type->message->name);
	else if (type->kind == TYPE_UNKNOWN)
		buf_printf(b, "%s%u", name, type->number);
	else
		buf_printf(b, type->nullable ? "wrapper(%s)" : "%s", name);
}

void type_put(struct buf *b, const struct type *type)
{
	put_own_name(b, type, names[type->kind]);
	put_params(b, type, type_put);
}

void type_put_result(struct buf *b, const struct type *type)
{
	const char *name = type->kind == TYPE_TIMESTAMP  ? "google.protobuf.Timestamp"
			   : type->kind == TYPE_DURATION ? "google.protobuf.Duration"
			   : type->kind == TYPE_ANY      ? "google.protobuf.Any"
			   : type->kind == TYPE_NULL     ? "null_type"
							 : names[type->kind];

	put_own_name(b, type, name);
	put_params(b, type, type_put_result);
}
