/* size(), in and []. Source: cel-go common/types/list.go, map.go. */
#include <stdio.h>

#include "cel/eval.h"
#include "cel/message.h"

enum { FAULT_BYTES = 160 };

static size_t chars_of(struct str s)
{
	size_t n = 0;

	for (size_t i = 0; i < s.len; i++)
		n += ((uint8_t)s.p[i] & 0xc0) != 0x80;
	return n;
}

struct value op_size(struct eval *ev, const struct expr *n, const struct value *args, size_t count)
{
	(void)n;
	(void)count;
	switch ((enum value_kind)args[0].kind) {
	case VALUE_STRING:
		if (!eval_spend_bytes(ev, args[0].str.len))
			return EVAL_EXHAUSTED;
		return value_int((int64_t)chars_of(args[0].str));
	case VALUE_BYTES:
		return value_int((int64_t)args[0].str.len);
	case VALUE_LIST:
	case VALUE_MAP:
		return value_int(args[0].len);
	default:
		return VALUE_NO_OVERLOAD;
	}
}

/* The value of @key in @map, NULL if there is none. A key of its own kind goes before equal ones of
 * others, an int before a uint. */
static const struct value *map_find(struct eval *ev, struct value map, struct value key)
{
	const struct value *found = NULL;

	for (uint32_t i = 0; i < map.len; i++) {
		const struct value *own = &map.items[2 * i];

		if (!value_equal(ev, *own, key))
			continue;
		if (own->kind == key.kind)
			return own + 1;
		if (!found || own->kind == VALUE_INT)
			found = own + 1;
	}
	return found;
}

struct value op_in(struct eval *ev, const struct expr *n, const struct value *args, size_t count)
{
	(void)n;
	(void)count;
	if (args[1].kind == VALUE_MAP)
		return value_bool(map_find(ev, args[1], args[0]) != NULL);
	if (args[1].kind != VALUE_LIST)
		return VALUE_NO_OVERLOAD;
	for (uint32_t i = 0; i < args[1].len; i++)
		if (value_equal(ev, args[0], args[1].items[i]))
			return value_bool(true);
	return value_bool(false);
}

static struct value fault_about(struct eval *ev, const char *sentence, struct value v)
{
	char text[FAULT_BYTES];
	struct buf b = buf_fixed(text, sizeof text - 1);

	buf_printf(&b, "%s: ", sentence);
	if (v.kind == VALUE_STRING)
		buf_str_put(&b, str_of(EXCERPT(v.str)));
	else if (v.kind == VALUE_UINT)
		buf_u64(&b, v.unum);
	else if (v.kind == VALUE_INT)
		buf_i64(&b, v.num);
	return eval_fault(ev, buf_cstr(&b));
}

static struct value index_message(struct eval *ev, struct value message, struct value name)
{
	const struct schema_field *f = NULL;

	if (name.kind != VALUE_STRING)
		return VALUE_NO_OVERLOAD;
	f = schema_field_named(message.message.schema, name.str);
	if (!f || !str_eq(f->name, name.str))
		return fault_about(ev, "no such field", name);
	return message_get(ev, message, f);
}

struct value op_index(struct eval *ev, const struct expr *n, const struct value *args, size_t count)
{
	struct value from = args[0], key = args[1];
	int64_t i;

	(void)n;
	(void)count;
	if (from.kind == VALUE_MAP) {
		const struct value *found = map_find(ev, from, key);
		return found ? *found : fault_about(ev, "no such key", key);
	}
	if (from.kind == VALUE_MESSAGE)
		return index_message(ev, from, key);
	if (from.kind != VALUE_LIST)
		return VALUE_NO_OVERLOAD;
	if (!value_whole(key, &i))
		return VALUE_FAULT("unsupported index value in list");
	if (i < 0 || i >= (int64_t)from.len)
		return fault_about(ev, "index out of bounds", value_int(i));
	return from.items[i];
}
