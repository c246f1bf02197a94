#include "observer/cilium/gob.h"

enum { LAST_BUILTIN = GOB_INTERFACE };

static void fail(struct gob *g)
{
	g->bad = true;
	g->p = g->end;
}

static size_t left(const struct gob *g)
{
	return (size_t)(g->end - g->p);
}

uint64_t gob_uint(struct gob *g)
{
	uint64_t v = 0;

	if (g->bad || g->p == g->end) {
		fail(g);
		return 0;
	}
	uint8_t head = *g->p++;
	if (head < 128)
		return head;
	size_t bytes = (uint8_t)-head;
	if (bytes > sizeof v || bytes > left(g)) {
		fail(g);
		return 0;
	}
	for (; bytes; bytes--)
		v = v << 8 | *g->p++;
	return v;
}

int64_t gob_int(struct gob *g)
{
	uint64_t v = gob_uint(g);

	return (int64_t)(v & 1 ? ~(v >> 1) : v >> 1);
}

struct str gob_bytes(struct gob *g)
{
	uint64_t len = gob_uint(g);

	if (len > left(g))
		fail(g);
	if (g->bad)
		return STR("");
	struct str s = str_n(g->p, (size_t)len);
	g->p += len;
	return s;
}

/* A number of elements, each of which takes a byte at least. */
static size_t take_count(struct gob *g)
{
	uint64_t n = gob_uint(g);

	if (n > left(g))
		fail(g);
	return g->bad ? 0 : (size_t)n;
}

/* --- types -------------------------------------------------------------------------------- */

void gob_types_reset(struct gob_types *t)
{
	t->type_count = t->field_count = t->name_bytes = 0;
}

/* Senders number their types upwards, so nearly every search ends at once. */
static const struct gob_type *find_type(const struct gob_types *t, int32_t id)
{
	for (size_t i = 0; i < t->type_count; i++)
		if (t->types[i].id == id)
			return &t->types[i];
	return NULL;
}

enum gob_kind gob_kind_of(const struct gob_types *t, int32_t id)
{
	const struct gob_type *type;

	if (id > 0 && id <= LAST_BUILTIN)
		return (enum gob_kind)id;
	type = find_type(t, id);
	return type ? (enum gob_kind)type->kind : GOB_UNKNOWN;
}

static struct str field_name(const struct gob_types *t, const struct gob_field *f)
{
	return str_n(t->names + f->name_at, f->name_len);
}

/* --- values ------------------------------------------------------------------------------- */

static void skip_value(struct gob *g, const struct gob_types *t, int32_t id, unsigned depth);

/* The next field of a struct of type @type; NULL at its end. *@at starts with -1. */
static const struct gob_field *next_field(struct gob *g, const struct gob_types *t,
					  const struct gob_type *type, int64_t *at)
{
	uint64_t delta = gob_uint(g);

	if (g->bad || !delta)
		return NULL;
	if (delta > type->field_count || *at + (int64_t)delta >= type->field_count) {
		fail(g);
		return NULL;
	}
	*at += (int64_t)delta;
	return &t->fields[type->first_field + (size_t)*at];
}

static void skip_fields(struct gob *g, const struct gob_types *t, const struct gob_type *type,
			unsigned depth)
{
	int64_t at = -1;

	for (const struct gob_field *f; (f = next_field(g, t, type, &at));)
		skip_value(g, t, f->type, depth);
}

/* Name of the type inside, its id, and the length of what follows; all of it absent for nil. */
static void skip_interface(struct gob *g)
{
	if (gob_bytes(g).len == 0)
		return;
	(void)gob_int(g);
	(void)gob_bytes(g);
}

static void skip_value(struct gob *g, const struct gob_types *t, int32_t id, unsigned depth)
{
	enum gob_kind kind = gob_kind_of(t, id);
	const struct gob_type *type = find_type(t, id);

	if (depth > GOB_DEPTH_MAX) {
		fail(g);
		return;
	}
	switch (kind) {
	case GOB_BOOL:
	case GOB_INT:
	case GOB_UINT:
	case GOB_FLOAT:
		(void)gob_uint(g);
		return;
	case GOB_COMPLEX:
		(void)gob_uint(g);
		(void)gob_uint(g);
		return;
	case GOB_BYTES:
	case GOB_STRING:
	case GOB_OPAQUE:
		(void)gob_bytes(g);
		return;
	case GOB_INTERFACE:
		skip_interface(g);
		return;
	case GOB_ARRAY:
	case GOB_SLICE:
	case GOB_MAP:
		for (size_t n = take_count(g); n && !g->bad; n--) {
			if (kind == GOB_MAP)
				skip_value(g, t, type->key, depth + 1);
			skip_value(g, t, type->elem, depth + 1);
		}
		return;
	case GOB_STRUCT:
		skip_fields(g, t, type, depth + 1);
		return;
	case GOB_UNKNOWN:
		break;
	}
	fail(g);
}

void gob_skip(struct gob *g, const struct gob_types *t, int32_t id)
{
	skip_value(g, t, id, 0);
}

/* --- definitions -------------------------------------------------------------------------- */

/*
 * A definition is itself a value, of a struct whose fields Go has agreed on: one of
 * 1 array {Common, Elem, Len}, 2 slice {Common, Elem}, 3 struct {Common, Fields}, 4 map {Common,
 * Key, Elem}, 5 to 7 types that marshal themselves {Common}; Common is {Name, Id}.
 */
enum {
	DEFINES_ARRAY = 1,
	DEFINES_SLICE,
	DEFINES_STRUCT,
	DEFINES_MAP,
	DEFINES_GOB,
	DEFINES_BINARY,
	DEFINES_TEXT
};

/* The number of the next field of a struct, from 1 up; 0 at its end. */
static uint64_t next_number(struct gob *g, uint64_t *at, uint64_t last)
{
	uint64_t delta = gob_uint(g);

	if (g->bad || !delta)
		return 0;
	if (delta > last - *at) {
		fail(g);
		return 0;
	}
	return *at += delta;
}

static int32_t take_id(struct gob *g)
{
	int64_t id = gob_int(g);

	if (id <= 0 || id > INT32_MAX)
		fail(g);
	return g->bad ? 0 : (int32_t)id;
}

static void skip_common(struct gob *g)
{
	uint64_t at = 0;

	for (uint64_t n; (n = next_number(g, &at, 2));)
		if (n == 1)
			(void)gob_bytes(g);
		else
			(void)gob_int(g);
}

static void take_field(struct gob *g, struct gob_types *t)
{
	struct gob_field f = { .name_at = (uint16_t)t->name_bytes };
	uint64_t at = 0;

	for (uint64_t n; (n = next_number(g, &at, 2));) {
		if (n == 2) {
			f.type = take_id(g);
			continue;
		}
		struct str name = gob_bytes(g);
		if (name.len > GOB_NAMES_BYTES - t->name_bytes) {
			fail(g);
			return;
		}
		memcpy(t->names + t->name_bytes, name.p, name.len);
		t->name_bytes += name.len;
		f.name_len = (uint16_t)name.len;
	}
	if (t->field_count == GOB_FIELDS_MAX || !f.type) {
		fail(g);
		return;
	}
	t->fields[t->field_count++] = f;
}

static void take_members(struct gob *g, struct gob_types *t, struct gob_type *type, uint64_t what)
{
	uint64_t at = 0, last = what >= DEFINES_GOB ? 1 : what == DEFINES_SLICE ? 2 : 3;

	if (what == DEFINES_STRUCT)
		last = 2;
	for (uint64_t n; (n = next_number(g, &at, last));) {
		if (n == 1)
			skip_common(g);
		else if (what == DEFINES_STRUCT)
			for (size_t left_over = take_count(g); left_over && !g->bad; left_over--)
				take_field(g, t);
		else if (what == DEFINES_MAP && n == 2)
			type->key = take_id(g);
		else if (what == DEFINES_ARRAY && n == 3)
			(void)gob_int(g);
		else
			type->elem = take_id(g);
	}
}

static bool define(struct gob_types *t, struct gob *g, int32_t id)
{
	static const uint8_t kinds[] = {
		[DEFINES_ARRAY] = GOB_ARRAY,   [DEFINES_SLICE] = GOB_SLICE,
		[DEFINES_STRUCT] = GOB_STRUCT, [DEFINES_MAP] = GOB_MAP,
		[DEFINES_GOB] = GOB_OPAQUE,    [DEFINES_BINARY] = GOB_OPAQUE,
		[DEFINES_TEXT] = GOB_OPAQUE,
	};
	struct gob_type type = { .id = id, .first_field = (uint16_t)t->field_count };
	uint64_t at = 0, what = next_number(g, &at, DEFINES_TEXT);

	if (!what || t->type_count == GOB_TYPES_MAX || find_type(t, id) || id <= LAST_BUILTIN)
		return false;
	type.kind = kinds[what];
	take_members(g, t, &type, what);
	if (next_number(g, &at, DEFINES_TEXT) || g->bad || g->p != g->end)
		return false;
	bool has_elem = type.kind == GOB_ARRAY || type.kind == GOB_SLICE || type.kind == GOB_MAP;
	if ((has_elem && !type.elem) || (type.kind == GOB_MAP && !type.key))
		return false;
	type.field_count = (uint16_t)(t->field_count - type.first_field);
	t->types[t->type_count++] = type;
	return true;
}

/* --- messages ----------------------------------------------------------------------------- */

enum gob_frame gob_frame(struct str bytes, size_t *ret_head, size_t *ret_body)
{
	struct gob g = gob_of(bytes);
	size_t head = 1;

	*ret_head = *ret_body = 0;
	if (!bytes.len)
		return GOB_FRAME_SHORT;
	if (*g.p >= 128)
		head += (uint8_t) - *g.p;
	if (head > 1 + sizeof(uint64_t))
		return GOB_FRAME_BAD;
	if (head > bytes.len)
		return GOB_FRAME_SHORT;
	uint64_t body = gob_uint(&g);
	if (!body || body > GOB_MESSAGE_MAX)
		return GOB_FRAME_BAD;
	*ret_head = head;
	*ret_body = (size_t)body;
	return body > left(&g) ? GOB_FRAME_SHORT : GOB_FRAME_WHOLE;
}

enum gob_message gob_take(struct gob_types *t, struct str body, int32_t *ret_id,
			  struct gob *ret_value)
{
	struct gob g = gob_of(body);
	int64_t id = gob_int(&g);

	if (g.bad || id == 0 || id > INT32_MAX || id < -INT32_MAX)
		return GOB_BAD;
	if (id < 0)
		return define(t, &g, (int32_t)-id) ? GOB_DEFINED : GOB_BAD;
	*ret_id = (int32_t)id;
	*ret_value = g;
	return GOB_VALUE;
}

bool gob_first_value(struct gob_types *t, struct str stream, int32_t *ret_id, struct gob *ret_value)
{
	size_t head, body;

	gob_types_reset(t);
	while (gob_frame(stream, &head, &body) == GOB_FRAME_WHOLE) {
		switch (gob_take(t, str_n(stream.p + head, body), ret_id, ret_value)) {
		case GOB_DEFINED:
			stream = str_from(stream, head + body);
			continue;
		case GOB_VALUE:
			return true;
		case GOB_BAD:
			return false;
		}
	}
	return false;
}

/* --- structs ------------------------------------------------------------------------------ */

static void clear(const struct gob_want *wants, void *out)
{
	for (; wants->name; wants++) {
		char *to = (char *)out + wants->at;
		switch (wants->kind) {
		case GOB_WANT_NUMBER:
			*(int64_t *)(void *)to = 0;
			break;
		case GOB_WANT_TEXT:
			*(struct str *)(void *)to = STR("");
			break;
		case GOB_WANT_LIST:
			*(struct gob_list *)(void *)to = (struct gob_list){ .at = gob_of(STR("")) };
			break;
		case GOB_WANT_STRUCT:
			*(bool *)(void *)to = false;
			clear(wants->wants, to);
			break;
		}
	}
}

static const struct gob_want *find_want(const struct gob_want *wants, struct str name)
{
	for (; wants->name; wants++)
		if (str_is(name, wants->name))
			return wants;
	return NULL;
}

static bool fits(enum gob_want_kind want, enum gob_kind kind)
{
	switch (want) {
	case GOB_WANT_NUMBER:
		return kind == GOB_INT || kind == GOB_UINT || kind == GOB_BOOL;
	case GOB_WANT_TEXT:
		return kind == GOB_STRING || kind == GOB_BYTES || kind == GOB_OPAQUE;
	case GOB_WANT_LIST:
		return kind == GOB_SLICE || kind == GOB_ARRAY || kind == GOB_MAP;
	case GOB_WANT_STRUCT:
		return kind == GOB_STRUCT;
	}
	return false;
}

void gob_read_list(struct gob *g, const struct gob_types *t, int32_t id, struct gob_list *ret)
{
	const struct gob_type *type = find_type(t, id);
	struct gob probe = *g;

	if (!type || !fits(GOB_WANT_LIST, (enum gob_kind)type->kind)) {
		*ret = (struct gob_list){ 0 };
		fail(g);
		return;
	}
	ret->count = take_count(&probe);
	ret->at = probe;
	ret->elem = type->elem;
	ret->key = type->kind == GOB_MAP ? type->key : 0;
	gob_skip(g, t, id);
	ret->at.end = g->p;
}

static bool read_struct(struct gob *g, const struct gob_types *t, int32_t id,
			const struct gob_want *wants, void *out, unsigned depth)
{
	const struct gob_type *type = find_type(t, id);
	int64_t at = -1;

	if (!type || type->kind != GOB_STRUCT || depth > GOB_DEPTH_MAX) {
		fail(g);
		return false;
	}
	for (const struct gob_field *f; (f = next_field(g, t, type, &at));) {
		enum gob_kind kind = gob_kind_of(t, f->type);
		const struct gob_want *want = find_want(wants, field_name(t, f));
		char *to = (char *)out + (want ? want->at : 0);

		if (!want || !fits(want->kind, kind)) {
			gob_skip(g, t, f->type);
			continue;
		}
		switch (want->kind) {
		case GOB_WANT_NUMBER:
			*(int64_t *)(void *)to =
				kind == GOB_INT ? gob_int(g) : (int64_t)gob_uint(g);
			break;
		case GOB_WANT_TEXT:
			*(struct str *)(void *)to = gob_bytes(g);
			break;
		case GOB_WANT_LIST:
			gob_read_list(g, t, f->type, (struct gob_list *)(void *)to);
			break;
		case GOB_WANT_STRUCT:
			*(bool *)(void *)to = true;
			(void)read_struct(g, t, f->type, want->wants, to, depth + 1);
			break;
		}
	}
	return !g->bad;
}

bool gob_read(struct gob *g, const struct gob_types *t, int32_t id, const struct gob_want *wants,
	      void *out)
{
	clear(wants, out);
	return read_struct(g, t, id, wants, out, 0);
}
