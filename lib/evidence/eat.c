#include "evidence/eat.h"

enum { DEPTH = 5, DIGITS_MAX = 19 /* of a number that surely fits */ };

bool eat_escaped(struct eater *t, struct str s)
{
	const char *p = t->p;

	for (size_t i = 0; i < s.len; i++) {
		bool is_escaped = s.p[i] == '"' || s.p[i] == '\\';
		if (t->end - p < 3 || (!is_escaped && !is_plain(s.p + i, 1)) ||
		    (is_escaped && *p++ != '\\') || *p++ != s.p[i])
			return false;
	}
	if (*p != '"')
		return false;
	t->p = p + 1;
	return true;
}

/* Read rather than written: the digits say how many there are. */
static bool eat_u64(struct eater *t, uint64_t v)
{
	const char *p = t->p;
	uint64_t read = 0;

	if (p < t->end && *p == '0' && v)
		return false; /* a number does not begin so */
	for (; p < t->end && (uint8_t)(*p - '0') < 10 && p - t->p < DIGITS_MAX; p++)
		read = read * 10 + (uint8_t)(*p - '0');
	if (p == t->p || read != v)
		return false;
	t->p = p;
	return true;
}

/* A field with a value that is not its default. */
static bool eat_value(struct eater *t, const struct schema_field *f, const struct wire_field *x,
		      int depth)
{
	if (x->type != f->wire_type)
		return false;
	switch (f->type) {
	case SCHEMA_STRING:
		return x->bytes.len && eat_string(t, x->bytes);
	case SCHEMA_INT32:
		return x->value && x->value <= INT32_MAX && eat_u64(t, x->value);
	case SCHEMA_UINT32:
		return x->value && x->value <= UINT32_MAX && eat_u64(t, x->value);
	case SCHEMA_UINT64:
		return x->value && eat_lit(t, "\"") && eat_u64(t, x->value) && eat_lit(t, "\"");
	case SCHEMA_BOOL:
		return x->value == 1 && eat_lit(t, "true");
	case SCHEMA_ENUM: {
		struct str name = x->value && x->value <= INT32_MAX
					  ? schema_enum_name(f->enumeration, (int32_t)x->value)
					  : STR("");
		return name.len && eat_string(t, name);
	}
	case SCHEMA_MESSAGE:
		return eat_message(t, f->message, x->bytes, depth - 1);
	default:
		return false;
	}
}

bool eat_message(struct eater *t, const struct schema_message *m, struct str bytes, int depth)
{
	struct wire_reader reader = wire_reader_of(bytes);
	const struct schema_field *f = m->fields, *end = f + m->field_count;
	const struct schema_field *list = NULL; /* whose values are being read */
	bool of_oneof = false, is_first = true;

	if (!depth || m->special != SCHEMA_PLAIN || !eat_lit(t, "{"))
		return false;
	for (struct wire_field x; wire_next(&reader, &x);) {
		if (list && x.number == list->number) {
			if (!eat_lit(t, ",") || !eat_value(t, list, &x, depth))
				return false;
			continue;
		}
		if (list && !eat_lit(t, "]"))
			return false;
		while (f < end && f->number != x.number)
			f++;
		if (f == end || (f->oneof_count && of_oneof))
			return false;
		list = f->repeated ? f : NULL;
		if ((!is_first && !eat_lit(t, ",")) || !eat(t, f->key.p, f->key.len) ||
		    (list && (f->wire_type != WIRE_LEN || !eat_lit(t, "["))) ||
		    !eat_value(t, f, &x, depth))
			return false;
		is_first = false;
		of_oneof |= f->oneof_count != 0;
		f++;
	}
	return !reader.bad && (!list || eat_lit(t, "]")) && eat_lit(t, "}");
}

bool eat_field(struct eater *t, const struct schema_field *f, const struct wire_field *x)
{
	return !x->raw.len ||
	       (eat_lit(t, ",") && eat(t, f->key.p, f->key.len) && eat_value(t, f, x, DEPTH));
}
