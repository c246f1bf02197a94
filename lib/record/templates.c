#include "record/templates.h"

#include "flow/fields.h"
#include "flow/wire.h"

enum {
	CUTS_MAX = 32,
	CHUNKS_MAX = 64,
	BYTES_MAX = 8 << 10, /* of a piece, of a leaf */
	SIBLINGS_MAX = 32,   /* who comes after them is forgotten */
};

static struct piece *piece_at(const struct templates *t, memory_ref ref)
{
	return memory_at(t->memory, ref);
}

static void to_front(memory_ref *children, memory_ref *at, struct piece *p)
{
	memory_ref ref = *at;

	*at = p->next;
	p->next = *children;
	*children = ref;
}

struct piece *templates_search(const struct templates *t, memory_ref *children,
			       const struct scan *s, bool is_dns)
{
	for (memory_ref *at = children; *at; at = &piece_at(t, *at)->next) {
		struct piece *p = piece_at(t, *at);
		if (piece_is_there(p, s, is_dns)) {
			to_front(children, at, p);
			return p;
		}
	}
	return NULL;
}

/* --- a line cut into its pieces --- */

struct cuts {
	struct {
		struct str text;
		uint8_t slot;
	} at[CUTS_MAX];
	size_t count;
};

static bool cut(struct cuts *c, const char *from, const char *to, uint8_t slot)
{
	if (c->count == CUTS_MAX || to < from || to - from > BYTES_MAX)
		return false;
	c->at[c->count].text = str_n(from, (size_t)(to - from));
	c->at[c->count++].slot = slot;
	return true;
}

/* The member at the front; behind it and its comma. */
static bool next_member(const struct templates *t, struct scan *s, const struct schema_field **ret,
			struct str *ret_value)
{
	struct scan key = { s->p + 1, s->end };
	size_t n = scan_find(&key, '"');

	if (scan_left(&key) < n + 2)
		return false;
	struct scan value = { key.p + n + 2, s->end };
	*ret = schema_field_named(t->flow, str_n(key.p, n));
	*ret_value = str_n(value.p, scan_value(&value));
	s->p = value.p + ret_value->len;
	if (!*ret || !ret_value->len || s->p == s->end)
		return false;
	s->p += *s->p == ',';
	return true;
}

static bool cut_line(const struct templates *t, struct str line, struct cuts *c)
{
	struct scan s = { line.p, line.p + line.len };
	const char *from = line.p;
	const struct schema_field *f;
	struct str value, time = { NULL, 0 };

	if (!scan_past_lit(&s, "{\"flow\":{"))
		return false;
	while (scan_at_lit(&s, "\"")) {
		if (!next_member(t, &s, &f, &value))
			return false;
		uint8_t slot = t->slots[f->index];
		if (slot == TEMPLATE_NONE)
			continue;
		if (!cut(c, from, value.p, slot))
			return false;
		from = value.p + value.len;
		if (f->number == FLOW_FIELD_TIME)
			time = value;
	}
	if (time.len) {
		const char *again = s.end - (sizeof "}\n" - 1) - time.len;
		if (again < s.p || !str_eq(str_n(again, time.len), time) ||
		    !cut(c, from, again, TEMPLATE_AGAIN))
			return false;
		from = again + time.len;
	}
	return cut(c, from, s.end, TEMPLATE_END);
}

/* --- how its parts are put together --- */

struct making {
	struct leaf leaf;
	struct chunk chunks[CHUNKS_MAX];
	size_t count, values; /* chunks; those of them that are values */
	char bytes[BYTES_MAX];
	size_t len;
	bool is_dns;
};

static bool add_chunk(struct making *w, struct chunk c)
{
	if (w->count == CHUNKS_MAX)
		return false;
	w->values += c.slot != TEMPLATE_NONE;
	w->chunks[w->count++] = c;
	return true;
}

/* Bytes behind the others of this part, which begins with chunk @first. */
static bool add_bytes(struct making *w, size_t first, struct str bytes)
{
	struct chunk *last = w->count > first ? &w->chunks[w->count - 1] : NULL;

	if (bytes.len > sizeof w->bytes - w->len)
		return false;
	memcpy(w->bytes + w->len, bytes.p, bytes.len);
	w->len += bytes.len;
	if (last && last->slot == TEMPLATE_NONE) {
		last->len += (uint16_t)bytes.len;
		return true;
	}
	return add_chunk(w, (struct chunk){ TEMPLATE_NONE, (uint16_t)(w->len - bytes.len),
					    (uint16_t)bytes.len });
}

static bool add_part(struct making *w, const struct templates *t, struct str part)
{
	struct wire_reader r = wire_reader_of(part);
	size_t first = w->count;
	uint32_t number = 0; /* of the last value: a list's fields are one */

	for (struct wire_field x; wire_next(&r, &x);) {
		const struct schema_field *f = schema_field_numbered(t->flow, x.number);
		if (!f)
			return false;
		uint8_t slot = t->slots[f->index];
		if (slot == TEMPLATE_NONE
			    ? !add_bytes(w, first, x.raw)
			    : number != x.number && !add_chunk(w, (struct chunk){ .slot = slot }))
			return false;
		number = slot == TEMPLATE_NONE ? 0 : x.number;
	}
	return !r.bad;
}

static bool make_leaf(struct making *w, const struct templates *t,
		      const struct str parts[CHAIN_PARTS_])
{
	struct str l7;

	w->count = w->values = w->len = 0;
	w->is_dns = wire_find(parts[CHAIN_DNS], FLOW_FIELD_L7, &l7);
	for (enum chain_part p = CHAIN_CORE; p < CHAIN_PARTS_; p++) {
		bool is_labels = p == CHAIN_SOURCE_LABELS || p == CHAIN_DESTINATION_LABELS;
		if (!is_labels && !add_part(w, t, parts[p]))
			return false;
		w->leaf.ends[p] = (uint8_t)w->count;
	}
	w->leaf.len = (uint16_t)w->len;
	return true;
}

/* 0: there is no room. */
static memory_ref keep_leaf(struct memory *m, const struct making *w)
{
	const size_t head = offsetof(struct leaf, chunks), chunks = w->count * sizeof *w->chunks;
	memory_ref ref = memory_take(m, head + chunks + w->len);

	if (ref) {
		char *p = memory_at(m, ref);
		memcpy(p, &w->leaf, head);
		memcpy(p + head, w->chunks, chunks);
		memcpy(p + head + chunks, w->bytes, w->len);
	}
	return ref;
}

/* --- the tree --- */

static struct piece *find_same(const struct templates *t, memory_ref children, struct str text,
			       uint8_t slot, bool is_dns)
{
	for (memory_ref at = children; at; at = piece_at(t, at)->next) {
		struct piece *p = piece_at(t, at);
		if (p->slot == slot && str_eq(str_n(p->text, p->text_len), text) &&
		    (slot != TEMPLATE_END || p->is_dns == is_dns))
			return p;
	}
	return NULL;
}

static void forget_last(const struct templates *t, memory_ref *children)
{
	for (size_t i = 0; *children && i < SIBLINGS_MAX; i++)
		children = &piece_at(t, *children)->next;
	*children = 0;
}

/* As the first of @children. NULL: there is no room. */
static struct piece *add_piece(struct templates *t, memory_ref *children, struct str text,
			       uint8_t slot, const struct making *w)
{
	memory_ref ref = memory_take(t->memory, offsetof(struct piece, text) + text.len);
	if (!ref)
		return NULL;
	struct piece *p = piece_at(t, ref);
	*p = (struct piece){
		.next = *children, .text_len = (uint16_t)text.len, .slot = slot, .is_dns = w->is_dns
	};
	memcpy(p->text, text.p, text.len);
	if (slot == TEMPLATE_END && !(p->leaf = keep_leaf(t->memory, w)))
		return NULL;
	*children = ref;
	forget_last(t, children);
	return p;
}

void templates_learn(struct templates *t, struct str line, const struct str parts[CHAIN_PARTS_])
{
	struct cuts cuts = { .count = 0 };
	struct making w;
	memory_ref *children = &t->first;
	size_t values = 0;

	if (!cut_line(t, line, &cuts) || !make_leaf(&w, t, parts))
		return;
	for (size_t i = 0; i < cuts.count; i++)
		values += cuts.at[i].slot >= TEMPLATE_SLOTS;
	if (values != w.values) /* a value that is no field, or more than one */
		return;
	for (size_t i = 0; i < cuts.count; i++) {
		struct str text = cuts.at[i].text;
		uint8_t slot = cuts.at[i].slot;
		struct piece *p = find_same(t, *children, text, slot, w.is_dns);
		if (!p && !(p = add_piece(t, children, text, slot, &w)))
			return;
		children = &p->first;
	}
}
