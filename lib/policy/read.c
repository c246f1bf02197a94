/* One object's members by type, with the place of what is wrong. */
#include <stdarg.h>
#include <stdio.h>

#include "policy/inside.h"

void bad(struct reading *r, const char *fmt, ...)
{
	char text[ERR_MSG_BYTES];
	va_list ap;

	if (r->code != ERR_OK)
		return;
	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	r->code = r->at ? err_set(r->e, ERR_INVALID, "%.*s: %s", (int)r->at, r->path, text)
			: err_set(r->e, ERR_INVALID, "%s", text);
}

void no_memory(struct reading *r)
{
	if (r->code == ERR_OK)
		r->code = err_set(r->e, ERR_NOMEM, "more than %d MiB of policies, or no memory",
				  POLICY_MEMORY_MAX >> 20);
}

/* A path that is too long for its room ends with what fitted. */
static size_t step_text(struct reading *r, const char *text)
{
	size_t was = r->at, n = strlen(text), left = sizeof r->path - r->at;

	n = n < left ? n : left;
	memcpy(r->path + r->at, text, n);
	r->at += n;
	return was;
}

size_t step(struct reading *r, const char *key)
{
	char text[128];

	(void)snprintf(text, sizeof text, "%s%s", r->at ? "." : "", key);
	return step_text(r, text);
}

size_t step_to(struct reading *r, size_t index)
{
	char text[32];

	(void)snprintf(text, sizeof text, "[%zu]", index);
	return step_text(r, text);
}

void back(struct reading *r, size_t at)
{
	r->at = at;
}

void *room(struct reading *r, size_t bytes)
{
	void *p = mem_get(&r->set->mem, bytes ? bytes : 1);

	if (!p)
		no_memory(r);
	return p;
}

struct str keep(struct reading *r, struct str s)
{
	struct str copy = mem_str(&r->set->mem, s);

	if (!copy.p) {
		no_memory(r);
		return STR("");
	}
	return copy;
}

void *list_add(struct mem *m, struct list *l, size_t size)
{
	if (l->count == l->room) {
		size_t more = l->room ? l->room * 2 : 16;
		void *items = mem_get(m, more * size);

		if (!items)
			return NULL;
		if (l->count)
			memcpy(items, l->items, l->count * size);
		l->items = items;
		l->room = more;
	}
	return memset((char *)l->items + l->count++ * size, 0, size);
}

static const char *type_name(const json_t *v)
{
	switch (json_typeof(v)) {
	case JSON_OBJECT:
		return "a mapping";
	case JSON_ARRAY:
		return "a list";
	case JSON_STRING:
		return "text";
	case JSON_INTEGER:
	case JSON_REAL:
		return "a number";
	case JSON_TRUE:
	case JSON_FALSE:
		return "true or false";
	default:
		return "null";
	}
}

static json_t *member(struct reading *r, const json_t *object, const char *key, json_type type,
		      const char *wanted)
{
	json_t *v = r->code == ERR_OK ? json_object_get(object, key) : NULL;

	if (!v || json_is_null(v))
		return NULL;
	if (json_typeof(v) == type)
		return v;
	size_t at = step(r, key);
	bad(r, "it is %s, must be %s", type_name(v), wanted);
	back(r, at);
	return NULL;
}

json_t *member_object(struct reading *r, const json_t *object, const char *key)
{
	return member(r, object, key, JSON_OBJECT, "a mapping");
}

json_t *member_array(struct reading *r, const json_t *object, const char *key)
{
	return member(r, object, key, JSON_ARRAY, "a list");
}

struct str member_text(struct reading *r, const json_t *object, const char *key)
{
	json_t *v = member(r, object, key, JSON_STRING, "text (put it in quotes)");

	return v ? str_n(json_string_value(v), json_string_length(v)) : (struct str){ NULL, 0 };
}

bool is_object(struct reading *r, const json_t *value)
{
	if (r->code != ERR_OK)
		return false;
	if (json_is_object(value))
		return true;
	bad(r, "it is %s, must be a mapping", type_name(value));
	return false;
}

struct str text_of(struct reading *r, const json_t *value)
{
	if (r->code != ERR_OK)
		return STR("");
	if (json_is_string(value))
		return str_n(json_string_value(value), json_string_length(value));
	bad(r, "it is %s, must be text (put it in quotes)", type_name(value));
	return STR("");
}

void only(struct reading *r, const json_t *object, const char *const *keys)
{
	const char *key;
	json_t *value;

	if (r->code != ERR_OK)
		return;
	/* jansson's iterators take what they do not change without const */
	json_object_foreach((json_t *)(uintptr_t)object, key, value)
	{
		const char *const *k = keys;

		while (*k && strcmp(*k, key) != 0)
			k++;
		if (!*k) {
			bad(r, "the field '%.60s' is not known here", key);
			return;
		}
	}
}
