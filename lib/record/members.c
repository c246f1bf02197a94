#include "record/members.h"

#include "base/pages.h"
#include "flow/fields.h"
#include "flow/wire.h"

bool flow_places_init(struct flow_places *ret)
{
	const struct schema_message *flow = schema_find(STR("flow.Flow"));

	if (!flow)
		return false;
	ret->flow = flow;
	for (size_t i = 0; i < flow->field_count; i++) {
		size_t below = 0;
		for (size_t k = 0; k < flow->field_count; k++)
			below += flow->fields[k].number < flow->fields[i].number;
		ret->of_index[i] = (uint8_t)below;
	}
	return true;
}

size_t flow_place(const struct flow_places *p, uint32_t number)
{
	const struct schema_field *f = schema_field_numbered(p->flow, number);

	return f ? p->of_index[f->index] : SCHEMA_MAX_FIELDS;
}

size_t members_value(const struct scan *s)
{
	size_t depth = 0;
	bool in_string = false;

	for (const char *p = s->p; p < s->end; p++) {
		if (in_string) {
			if (*p == '\\')
				p++;
			else
				in_string = *p != '"';
			if (!in_string && !depth)
				return (size_t)(p + 1 - s->p);
			continue;
		}
		switch (*p) {
		case '"':
			in_string = true;
			break;
		case '{':
		case '[':
			depth++;
			break;
		case '}':
		case ']':
			if (!depth)
				return (size_t)(p - s->p);
			if (--depth == 0)
				return (size_t)(p + 1 - s->p);
			break;
		case ',':
			if (!depth)
				return (size_t)(p - s->p);
			break;
		default:
			break;
		}
	}
	return 0;
}

enum { MEMORY_BYTES = 16 << 20, RUN_BYTES = 4 << 10, LINE = 64, FIRST = LINE };

enum err_code members_memory_init(struct members_memory *ret, uint64_t seed, struct err *e)
{
	*ret = (struct members_memory){ .bytes = pages_new(1, MEMORY_BYTES),
					.used = FIRST,
					.seed = seed };
	if (!ret->bytes || !flow_places_init(&ret->places))
		return err_set(e, ERR_NOMEM, "lines of a bundle");
	pages_wish_huge(ret->bytes, MEMORY_BYTES);
	return canon_new(&ret->canon, e);
}

void members_memory_done(struct members_memory *m)
{
	canon_free(m->canon);
	pages_free(m->bytes, 1, MEMORY_BYTES);
}

void members_memory_reset(struct members_memory *m)
{
	m->used = FIRST;
	m->is_full = false;
	memset(m->labels, 0, sizeof m->labels);
}

/* A run at work. */
struct making {
	struct members run;
	struct members_field fields[MEMBERS_FIELDS];
	char bytes[RUN_BYTES];
	size_t len;
	struct str labels;
};

static bool put_bytes(struct making *w, struct str s)
{
	if (s.len > sizeof w->bytes - w->len)
		return false;
	memcpy(w->bytes + w->len, s.p, s.len);
	w->len += s.len;
	return true;
}

/* A field behind the others; those of a list are one. */
static bool add_field(struct making *w, const struct flow_places *places,
		      const struct wire_field *x)
{
	const struct schema_field *f = schema_field_numbered(places->flow, x->number);
	struct members *run = &w->run;
	size_t at = w->len;

	if (!f || !put_bytes(w, x->raw))
		return false;
	uint8_t place = places->of_index[f->index];
	struct members_field *last = run->count ? &w->fields[run->count - 1] : NULL;
	if (last && last->place == place && f->repeated) {
		last->len += (uint16_t)x->raw.len;
		return true;
	}
	if (run->count == MEMBERS_FIELDS || (last && last->place == place))
		return false;
	w->fields[run->count++] =
		(struct members_field){ (uint16_t)at, (uint16_t)x->raw.len, place };
	run->first = run->first < 0 || f->index < run->first ? (int8_t)f->index : run->first;
	run->last = f->index > run->last ? (int8_t)f->index : run->last;
	return true;
}

static bool add_part(struct making *w, const struct flow_places *places, struct str part)
{
	struct wire_reader r = wire_reader_of(part);

	for (struct wire_field x; wire_next(&r, &x);)
		if (!add_field(w, places, &x))
			return false;
	return !r.bad;
}

/* The run's fields and labels, behind its text. */
static bool add_parts(struct making *w, const struct flow_places *places,
		      const struct str parts[CHAIN_PARTS_])
{
	struct str labels = parts[CHAIN_SOURCE_LABELS].len ? parts[CHAIN_SOURCE_LABELS]
							   : parts[CHAIN_DESTINATION_LABELS];

	if (!add_part(w, places, parts[CHAIN_CORE]) ||
	    !add_part(w, places, parts[CHAIN_ADDRESSES]) || !add_part(w, places, parts[CHAIN_DNS]))
		return false;
	w->labels = labels;
	return !labels.len || w->run.count == 1; /* they are of one endpoint */
}

/* The next @len bytes, and FIELD_ROOM more. 0: there is no room. */
static members_ref take(struct members_memory *m, size_t len)
{
	size_t ref = m->used;

	if (len + FIELD_ROOM + LINE > MEMORY_BYTES - ref) {
		m->is_full = true;
		return 0;
	}
	m->used = (ref + len + FIELD_ROOM - 1) / LINE * LINE + LINE;
	return (members_ref)ref;
}

/* 0: there is no room. */
static members_ref keep_labels(struct members_memory *m, struct str labels)
{
	members_ref *slot = &m->labels[hash_bytes(labels.p, labels.len, m->seed) % MEMBERS_LABELS];
	const struct members_labels *known = members_labels_of(m, *slot);

	if (*slot && str_eq(str_n(known->bytes, known->len), labels))
		return *slot;
	members_ref ref = take(m, offsetof(struct members_labels, bytes) + labels.len);
	if (!ref)
		return 0;
	struct members_labels *to = (struct members_labels *)(m->bytes + ref);
	to->number = ++m->labels_count;
	to->len = (uint16_t)labels.len;
	memcpy(to->bytes, labels.p, labels.len);
	return *slot = ref;
}

/* Moves it to where it stays. 0: there is no room. */
static members_ref keep(struct members_memory *m, struct making *w)
{
	const size_t head_len = offsetof(struct members, fields);
	size_t fields_len = w->run.count * sizeof *w->fields;

	if (w->labels.len && !(w->run.labels = keep_labels(m, w->labels)))
		return 0;
	members_ref ref = take(m, head_len + fields_len + w->len);
	if (!ref)
		return 0;
	char *p = m->bytes + ref;
	memcpy(p, &w->run, head_len);
	memcpy(p + head_len, w->fields, fields_len);
	memcpy(p + head_len + fields_len, w->bytes, w->len);
	return ref;
}

members_ref members_put(struct members_memory *m, struct str text, size_t tail_len)
{
	AUTO_BUF struct buf object = buf_init(MEMBERS_TEXT + 2);
	struct making w;
	struct str parts[CHAIN_PARTS_];
	struct str inner =
		text.len && text.p[text.len - 1] == ',' ? str_upto(text, text.len - 1) : text;

	w.len = 0;
	w.run = (struct members){ .text_len = (uint16_t)text.len,
				  .tail_len = (uint8_t)tail_len,
				  .first = -1,
				  .last = -1,
				  .is_there = true };
	if (text.len > MEMBERS_TEXT || !put_bytes(&w, str_n(text.p, text.len + tail_len)))
		return 0;
	buf_char(&object, '{');
	buf_str_put(&object, inner);
	buf_char(&object, '}');
	if (object.failed || !canon_object(m->canon, buf_str(&object), parts) ||
	    !add_parts(&w, &m->places, parts))
		return 0;
	return keep(m, &w);
}
