/* One object's members by type, with the place of what is wrong. */
#include <stdarg.h>
#include <stdio.h>

#include "base/meant.h"
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

void bad_type(struct reading *r, const json_t *v, const char *wanted)
{
	bool quotes = strcmp(wanted, "text") == 0 && !json_is_object(v) && !json_is_array(v);

	bad(r, "it is %s, must be %s%s", type_name(v), wanted, quotes ? " (put it in quotes)" : "");
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
	bad_type(r, v, wanted);
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
	json_t *v = member(r, object, key, JSON_STRING, "text");

	return v ? str_n(json_string_value(v), json_string_length(v)) : (struct str){ NULL, 0 };
}

bool is_object(struct reading *r, const json_t *value)
{
	if (r->code != ERR_OK)
		return false;
	if (json_is_object(value))
		return true;
	bad_type(r, value, "a mapping");
	return false;
}

struct str text_of(struct reading *r, const json_t *value)
{
	if (r->code != ERR_OK)
		return STR("");
	if (json_is_string(value))
		return str_n(json_string_value(value), json_string_length(value));
	bad_type(r, value, "text");
	return STR("");
}

enum { LISTED_MAX = 6 }; /* fields that are offered where none is near */

static void put_known(struct buf *b, const char *key, const char *const *keys)
{
	struct meant m = meant_of(str_of(key));
	size_t n = 0;

	for (; keys[n]; n++) {
		meant_offer(&m, keys[n]);
		if (str_eq_nocase(m.typed, str_of(keys[n]))) {
			buf_printf(b, "; did you mean %s?", keys[n]);
			return;
		}
	}
	if (m.count || n > LISTED_MAX) {
		meant_put(b, &m, "");
		return;
	}
	for (size_t i = 0; i < n; i++)
		buf_printf(b, "%s%s", !i ? "; there are " : i + 1 < n ? ", " : " and ", keys[i]);
}

/* What a person wrote is wrong. A server has let it pass: newer than us, it knows more. */
static void unknown_field(struct reading *r, const char *key, const char *const *keys)
{
	char text[ERR_MSG_BYTES];
	struct buf known = buf_fixed(text, sizeof text);
	size_t at = step(r, key);

	if (!r->served) {
		put_known(&known, key, keys);
		bad(r, "no such field%.*s", STR_FMT(buf_str(&known)));
	} else if (!r->unknown++) {
		(void)snprintf(r->first_unknown, sizeof r->first_unknown, "%.*s", (int)r->at,
			       r->path);
	}
	back(r, at);
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
		if (!*k)
			unknown_field(r, key, keys);
		if (r->code != ERR_OK)
			return;
	}
}

void only_in(struct reading *r, const json_t *object, const char *key, const char *const *keys)
{
	const json_t *v = member_object(r, object, key);
	size_t at = step(r, key);

	if (v)
		only(r, v, keys);
	back(r, at);
}

void check_each(struct reading *r, const json_t *list, const char *key,
		void (*check)(struct reading *, const json_t *))
{
	size_t at = step(r, key);

	for (size_t i = 0; i < json_array_size(list) && r->code == ERR_OK; i++) {
		const json_t *one = json_array_get(list, i);
		size_t below = step_to(r, i);

		if (is_object(r, one) && check)
			check(r, one);
		back(r, below);
	}
	back(r, at);
}

/* RFC 1123, as the definitions of resources have it. */
bool is_subdomain(struct str s)
{
	for (size_t i = 0; i < s.len; i++) {
		bool alnum = (s.p[i] >= 'a' && s.p[i] <= 'z') || (s.p[i] >= '0' && s.p[i] <= '9');
		bool inside = i && i + 1 < s.len && s.p[i - 1] != '.' && s.p[i + 1] != '.';

		if (!alnum && !(s.p[i] == '-' && inside) &&
		    !(s.p[i] == '.' && inside && s.p[i - 1] != '-' && s.p[i + 1] != '-'))
			return false;
	}
	return s.len <= 253;
}

void check_texts(struct reading *r, const json_t *list, const char *key)
{
	size_t at = step(r, key);

	for (size_t i = 0; i < json_array_size(list) && r->code == ERR_OK; i++) {
		size_t below = step_to(r, i);
		(void)text_of(r, json_array_get(list, i));
		back(r, below);
	}
	back(r, at);
}
