#include "evidence/line.h"

#include "base/time.h"
#include "flow/fields.h"
#include "flow/json.h"
#include "flow/names.h"
#include "flow/schema.h"
#include "flow/swar.h"
#include "flow/wire.h"
#include "observer/observer.pb-c.h"

enum {
	SLOT_BYTES = 1024,
	ENDPOINT_SLOTS = 4096,
	COMMON_SLOTS = 1024,
	KEY_BYTES = 512,
	TEXT_MAX = 1 << 16,
	SECOND_CHARS = 19, /* 2024-03-05T09:46:40 */
	DEPTH = 4,
};

/* Texts by the bytes that they were made of. */
enum { A, B, C, END, TEXTS };
struct slot {
	uint16_t key_len[2], text_len[TEXTS]; /* key_len[0] 0: free */
	char bytes[SLOT_BYTES - 2 * (2 + TEXTS)];
};
_Static_assert(sizeof(struct slot) == SLOT_BYTES, "slots lie side by side");

struct line_matcher {
	struct slot *endpoints, *common;
	uint64_t seed;
	struct buf message, text; /* scratch, for what was not remembered */
	const struct schema_message *flow, *ethernet, *ip, *l4, *tycho;
	uint16_t piece_from[C + 1], piece_behind[C + 1]; /* of A, B, C: places in the schema */
	int64_t second;                                  /* whose text is: */
	char second_text[SECOND_CHARS];
};

static const struct schema_field *flow_field(const struct line_matcher *r, uint32_t number)
{
	return schema_field_numbered(r->flow, number);
}

/* Whether fields stand in the declaration as the picture in line.h has them, and where A, B and C
 * begin and end. */
static bool find_pieces(struct line_matcher *r)
{
	static const uint32_t row[] = { FLOW_FIELD_ETHERNET, FLOW_FIELD_IP,
					FLOW_FIELD_L4,       FLOW_FIELD_TUNNEL,
					FLOW_FIELD_SOURCE,   FLOW_FIELD_DESTINATION };
	const struct schema_field *uuid = flow_field(r, FLOW_FIELD_UUID),
				  *ethernet = flow_field(r, FLOW_FIELD_ETHERNET),
				  *names = flow_field(r, FLOW_FIELD_SOURCE_NAMES),
				  *to_names = flow_field(r, FLOW_FIELD_DESTINATION_NAMES),
				  *tycho = flow_field(r, FLOW_FIELD_TYCHO);

	if (flow_field(r, FLOW_FIELD_TIME)->index != 0 || uuid->index != 1 ||
	    to_names->index != names->index + 1 || tycho->index + 1 != r->flow->field_count)
		return false;
	for (size_t i = 0; i < ARRAY_LEN(row); i++)
		if (flow_field(r, row[i])->index != ethernet->index + i)
			return false;
	r->piece_from[A] = (uint16_t)(uuid->index + 1);
	r->piece_behind[A] = ethernet->index;
	r->piece_from[B] = (uint16_t)(ethernet->index + ARRAY_LEN(row));
	r->piece_behind[B] = names->index;
	r->piece_from[C] = (uint16_t)(to_names->index + 1);
	r->piece_behind[C] = tycho->index;
	return true;
}

enum err_code line_matcher_new(struct line_matcher **ret, struct err *e)
{
	AUTO(line_matcher_free) struct line_matcher *r = calloc(1, sizeof *r);

	if (!r)
		return err_set(e, ERR_NOMEM, "lines of a bundle");
	r->message = r->text = buf_init(TEXT_MAX);
	r->seed = (uint64_t)(uintptr_t)r ^ mono_now().v;
	r->second = INT64_MIN;
	r->endpoints = calloc(ENDPOINT_SLOTS, sizeof *r->endpoints);
	r->common = calloc(COMMON_SLOTS, sizeof *r->common);
	r->flow = schema_find(STR("flow.Flow"));
	if (!r->endpoints || !r->common || !r->flow)
		return err_set(e, ERR_NOMEM, "lines of a bundle");
	r->ethernet = flow_field(r, FLOW_FIELD_ETHERNET)->message;
	r->ip = flow_field(r, FLOW_FIELD_IP)->message;
	r->l4 = flow_field(r, FLOW_FIELD_L4)->message;
	r->tycho = flow_field(r, FLOW_FIELD_TYCHO)->message;
	if (!find_pieces(r))
		return err_set(e, ERR_UNSUPPORTED, "lines of a bundle: another flow.proto");
	*ret = TAKE(r);
	return ERR_OK;
}

void line_matcher_free(struct line_matcher *r)
{
	if (!r)
		return;
	free(r->endpoints);
	free(r->common);
	buf_done(&r->message);
	buf_done(&r->text);
	free(r);
}

/* --- the text, eaten from the front --- */

struct eater {
	const char *p, *end;
};

static inline bool eat(struct eater *t, const char *p, size_t n)
{
	if ((size_t)(t->end - t->p) < n || memcmp(t->p, p, n) != 0)
		return false;
	t->p += n;
	return true;
}
#define eat_lit(t, literal) eat((t), "" literal, sizeof(literal) - 1)

static inline bool eat_str(struct eater *t, struct str s)
{
	return eat(t, s.p, s.len);
}

/* Characters that JSON, as lib/flow writes it, does not hold as they are, marked. '"' and '&'
 * differ in one bit, '<' and '>' in another. */
static inline uint64_t not_plain(uint64_t v)
{
	return (v & SWAR_HIGHS) | swar_below(v, 0x20) | swar_equal(v, '\\') |
	       swar_equal(v | SWAR_ONES * ('"' ^ '&'), '&') |
	       swar_equal(v | SWAR_ONES * ('<' ^ '>'), '>');
}

static inline bool is_plain(const char *p, size_t n)
{
	uint64_t stops = 0, last = SWAR_ONES * 'a';

	if (n < sizeof last) {
		memcpy(&last, p, n);
		return !not_plain(last);
	}
	for (size_t i = 0; i + sizeof last <= n; i += sizeof last)
		stops |= not_plain(swar_load(p + i));
	return !(stops | not_plain(swar_load(p + n - sizeof last)));
}

static bool eat_string(struct eater *t, struct str s)
{
	return eat_lit(t, "\"") && eat_str(t, s) && eat_lit(t, "\"") && is_plain(s.p, s.len);
}

static bool eat_u64(struct eater *t, uint64_t v)
{
	char digits[20];
	size_t i = sizeof digits;

	do
		digits[--i] = (char)('0' + v % 10);
	while (v /= 10);
	return eat(t, digits + i, sizeof digits - i);
}

static bool eat_message(struct eater *t, const struct schema_message *m, struct str bytes,
			int depth);

/* A field with a value that is not its default. */
static bool eat_value(struct eater *t, const struct schema_field *f, const struct wire_field *x,
		      int depth)
{
	if ((x->type == WIRE_VARINT) != (f->wire_type == WIRE_VARINT))
		return false;
	switch (f->type) {
	case SCHEMA_STRING:
		return x->bytes.len && eat_string(t, x->bytes);
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

/* A message whose fields come once each, in the order of their declaration. */
static bool eat_message(struct eater *t, const struct schema_message *m, struct str bytes,
			int depth)
{
	struct wire_reader reader = wire_reader_of(bytes);
	int last = -1;
	bool of_oneof = false;

	if (!depth || m->special != SCHEMA_PLAIN || !eat_lit(t, "{"))
		return false;
	for (struct wire_field x; wire_next(&reader, &x);) {
		const struct schema_field *f = schema_field_numbered(m, x.number);
		if (!f || f->index <= last || f->repeated || (f->oneof_count && of_oneof))
			return false;
		if ((last >= 0 && !eat_lit(t, ",")) || !eat_str(t, f->key) ||
		    !eat_value(t, f, &x, depth))
			return false;
		last = f->index;
		of_oneof |= f->oneof_count != 0;
	}
	return !reader.bad && eat_lit(t, "}");
}

/* --- time --- */

/* False for times that cannot be written, and for those that are written shorter. */
static bool time_text(struct line_matcher *r, struct str message, char ret[SECOND_CHARS + 11])
{
	struct wire_reader reader = wire_reader_of(message);
	struct timestamp t = { 0 };

	for (struct wire_field x; wire_next(&reader, &x);)
		if (x.number == 1 && x.type == WIRE_VARINT)
			t.s = (int64_t)x.value;
		else if (x.number == 2 && x.type == WIRE_VARINT)
			t.ns = (int32_t)x.value;
		else
			return false;
	if (reader.bad || t.s < 0 || t.s > TIMESTAMP_MAX_S || t.ns <= 0 ||
	    t.ns >= (int32_t)NS_PER_S || t.ns % 1000 == 0)
		return false;
	if (t.s != r->second) {
		char text[40];
		struct buf b = buf_fixed(text, sizeof text);
		timestamp_put(&b, (struct timestamp){ .s = t.s });
		if (b.failed || b.len != SECOND_CHARS + 1) /* with its Z */
			return false;
		memcpy(r->second_text, text, SECOND_CHARS);
		r->second = t.s;
	}
	memcpy(ret, r->second_text, SECOND_CHARS);
	ret[SECOND_CHARS] = '.';
	uint32_t ns = (uint32_t)t.ns;
	for (size_t i = 9; i; i--, ns /= 10)
		ret[SECOND_CHARS + i] = (char)('0' + ns % 10);
	ret[SECOND_CHARS + 10] = 'Z';
	return true;
}

/* --- what is remembered --- */

static bool slot_is(const struct slot *s, const struct str key[2])
{
	return s->key_len[0] == key[0].len && s->key_len[1] == key[1].len &&
	       memcmp(s->bytes, key[0].p, key[0].len) == 0 &&
	       (!key[1].len || memcmp(s->bytes + key[0].len, key[1].p, key[1].len) == 0);
}

static uint64_t key_hash(const struct line_matcher *r, const struct str key[2])
{
	uint64_t h = hash_bytes(key[0].p, key[0].len, r->seed);

	return key[1].len ? hash_bytes(key[1].p, key[1].len, h) : h;
}

/* True: *@ret has it. False: it may be put there. Each key has two places: with one, two that are
 * often met may push each other out for ever. @count is a power of two. */
static bool slot_find(struct slot *slots, size_t count, uint64_t h, const struct str key[2],
		      struct slot **ret)
{
	struct slot *first = &slots[h & (count - 1)], *second = &slots[(h >> 32) & (count - 1)];

	*ret = first;
	if (slot_is(first, key))
		return true;
	if (slot_is(second, key)) {
		*ret = second;
		return true;
	}
	if (first->key_len[0] && (!second->key_len[0] || h >> 63))
		*ret = second;
	return false;
}

/* The table is larger than what a core keeps near: asked for before it is needed. */
static void slot_prefetch(const struct slot *slots, size_t count, uint64_t h)
{
	const char *p = (const char *)&slots[h & (count - 1)];

	for (size_t i = 0; i < SLOT_BYTES * 5 / 8; i += 64)
		__builtin_prefetch(p + i);
}

static const char *slot_texts(const struct slot *s)
{
	return s->bytes + s->key_len[0] + s->key_len[1];
}

/* Remembers r->text, which is TEXTS texts of these lengths. */
static bool slot_fill(struct slot *s, const struct str key[2], const struct buf *text,
		      const size_t text_len[TEXTS])
{
	size_t all = key[0].len + key[1].len + text->len;

	s->key_len[0] = 0;
	if (text->failed || !key[0].len || all > sizeof s->bytes)
		return false;
	memcpy(s->bytes, key[0].p, key[0].len);
	if (key[1].len)
		memcpy(s->bytes + key[0].len, key[1].p, key[1].len);
	memcpy(s->bytes + key[0].len + key[1].len, text->p, text->len);
	for (size_t i = 0; i < TEXTS; i++)
		s->text_len[i] = (uint16_t)text_len[i];
	s->key_len[1] = (uint16_t)key[1].len;
	s->key_len[0] = (uint16_t)key[0].len;
	return true;
}

/* Appends the members of a flow to r->text, each behind a comma; false if lib/flow's writer is not
 * asked so by render.h. */
static bool put_members(struct line_matcher *r, struct str message)
{
	size_t at = r->text.len;

	if (!message.len)
		return true;
	if (json_put_message(&r->text, &flow__flow__descriptor, message, NULL) != ERR_OK ||
	    r->text.failed)
		return false;
	if (r->text.len - at == 2) {
		r->text.len = at; /* {}: defaults only */
		return true;
	}
	r->text.p[at] = ',';
	r->text.len--;
	return true;
}

/* --- endpoints --- */

struct side {
	struct str key[2]; /* the endpoint in the core, with its tag, and its labels */
	enum chain_part part;
	uint64_t hash;
};

static struct side side_of(const struct line_matcher *r, struct str raw,
			   const struct str parts[CHAIN_PARTS_], enum chain_part part)
{
	struct side s = { .key = { raw, parts[part] }, .part = part };

	if (raw.len) {
		/* labels hang on the endpoint: what shares the rest shares a place, too */
		s.hash = hash_bytes(raw.p, raw.len, r->seed);
		slot_prefetch(r->endpoints, ENDPOINT_SLOTS, s.hash);
	}
	return s;
}

static const struct slot *endpoint(struct line_matcher *r, const struct side *side)
{
	struct str parts[CHAIN_PARTS_] = { side->key[0] };
	size_t text_len[TEXTS] = { 0 };
	struct slot *s;

	if (slot_find(r->endpoints, ENDPOINT_SLOTS, side->hash, side->key, &s))
		return s;
	parts[side->part] = side->key[1];
	buf_reset(&r->message);
	buf_reset(&r->text);
	chain_join(parts, &r->message);
	if (r->message.failed || !put_members(r, buf_str(&r->message)))
		return NULL;
	text_len[A] = r->text.len;
	return slot_fill(s, side->key, &r->text, text_len) ? s : NULL;
}

static bool eat_endpoint(struct line_matcher *r, struct eater *t, const struct side *side)
{
	if (!side->key[0].len)
		return !side->key[1].len;
	const struct slot *s = endpoint(r, side);
	return s && eat(t, slot_texts(s), s->text_len[A]);
}

/* --- the core --- */

/* A core taken apart. Absent fields: raw.len 0. */
struct cut {
	struct wire_field time, uuid, l4, source, destination, tycho;
	struct str common; /* everything else, one field after the other */
};

static struct wire_field *place_of(struct cut *cut, const struct wire_field *x)
{
	switch (x->number) {
	case FLOW_FIELD_TIME:
		return &cut->time;
	case FLOW_FIELD_UUID:
		return &cut->uuid;
	case FLOW_FIELD_L4:
		return &cut->l4;
	case FLOW_FIELD_SOURCE:
		return &cut->source;
	case FLOW_FIELD_DESTINATION:
		return &cut->destination;
	case FLOW_FIELD_TYCHO:
		return &cut->tycho;
	default:
		return NULL;
	}
}

/* @space: for what cut->common refers to. */
static bool cut_core(struct str core, struct cut *cut, char space[KEY_BYTES])
{
	struct wire_reader reader = wire_reader_of(core);
	const char *from = NULL; /* of fields in common that lie side by side */
	size_t run = 0, used = 0;

	cut->time.raw.len = cut->uuid.raw.len = cut->l4.raw.len = 0;
	cut->source.raw.len = cut->destination.raw.len = cut->tycho.raw.len = 0;
	for (struct wire_field x; wire_next(&reader, &x);) {
		struct wire_field *place = place_of(cut, &x);
		if (place) {
			if (place->raw.len || x.type != WIRE_LEN)
				return false;
			*place = x;
			continue;
		}
		/* parts that are committed to on their own, and what is different each time */
		if (x.number == FLOW_FIELD_ETHERNET || x.number == FLOW_FIELD_IP ||
		    x.number == FLOW_FIELD_TUNNEL || x.number == FLOW_FIELD_SOURCE_NAMES ||
		    x.number == FLOW_FIELD_DESTINATION_NAMES || x.number == FLOW_FIELD_L7)
			return false;
		if (run && from + run == x.raw.p) {
			run += x.raw.len;
			continue;
		}
		if (used + run > KEY_BYTES)
			return false;
		if (run)
			memcpy(space + used, from, run);
		used += run;
		from = x.raw.p;
		run = x.raw.len;
	}
	if (reader.bad || used + run > KEY_BYTES)
		return false;
	if (run)
		memcpy(space + used, from, run);
	cut->common = str_n(space, used + run);
	return cut->time.raw.len && cut->common.len;
}

/* --- A, B, C and the end --- */

/* Appends the fields of @common that stand in piece @p to r->message. False: one belongs nowhere.
 */
static bool gather(struct line_matcher *r, struct str common, int p, struct str *ret_node)
{
	struct wire_reader reader = wire_reader_of(common);

	for (struct wire_field x; wire_next(&reader, &x);) {
		const struct schema_field *f = flow_field(r, x.number);
		if (!f)
			return false;
		bool is_anywhere = false;
		for (int i = A; i <= C; i++)
			is_anywhere |=
				f->index >= r->piece_from[i] && f->index < r->piece_behind[i];
		if (!is_anywhere)
			return false;
		if (f->index >= r->piece_from[p] && f->index < r->piece_behind[p])
			buf_str_put(&r->message, x.raw);
		if (x.number == FLOW_FIELD_NODE_NAME && x.type == WIRE_LEN)
			*ret_node = x.bytes;
	}
	return !r->message.failed;
}

static const struct slot *common(struct line_matcher *r, struct str bytes)
{
	const struct str key[2] = { bytes, { NULL, 0 } };
	struct slot *s;
	struct str node = { NULL, 0 };
	size_t text_len[TEXTS];

	if (slot_find(r->common, COMMON_SLOTS, key_hash(r, key), key, &s))
		return s;
	buf_reset(&r->text);
	for (int p = A; p <= C; p++) {
		size_t before = r->text.len;
		buf_reset(&r->message);
		if (!gather(r, bytes, p, &node) || !put_members(r, buf_str(&r->message)))
			return NULL;
		text_len[p] = r->text.len - before;
	}
	size_t before = r->text.len;
	buf_char(&r->text, '}');
	if (node.len) {
		buf_lit(&r->text, ",\"node_name\":");
		json_put_string(&r->text, node);
	}
	buf_lit(&r->text, ",\"time\":\"");
	text_len[END] = r->text.len - before;
	return slot_fill(s, key, &r->text, text_len) ? s : NULL;
}

/* --- parts --- */

static bool eat_addresses(const struct line_matcher *r, struct eater *t, struct str part)
{
	struct wire_reader reader = wire_reader_of(part);
	uint32_t last = 0;

	for (struct wire_field x; wire_next(&reader, &x); last = x.number) {
		bool is_ip = x.number == FLOW_FIELD_IP;
		if ((!is_ip && x.number != FLOW_FIELD_ETHERNET) || x.number <= last ||
		    x.type != WIRE_LEN)
			return false;
		if (!(is_ip ? eat_lit(t, ",\"IP\":") : eat_lit(t, ",\"ethernet\":")) ||
		    !eat_message(t, is_ip ? r->ip : r->ethernet, x.bytes, DEPTH))
			return false;
	}
	return !reader.bad;
}

static bool eat_names(struct eater *t, struct str part)
{
	struct wire_reader reader = wire_reader_of(part);
	uint32_t last = 0;

	for (struct wire_field x; wire_next(&reader, &x); last = x.number) {
		bool is_source = x.number == FLOW_FIELD_SOURCE_NAMES;
		if ((!is_source && x.number != FLOW_FIELD_DESTINATION_NAMES) || x.number < last ||
		    x.type != WIRE_LEN)
			return false;
		if (x.number == last
			    ? !eat_lit(t, ",")
			    : (last && !eat_lit(t, "]")) ||
				      (is_source ? !eat_lit(t, ",\"source_names\":[")
						 : !eat_lit(t, ",\"destination_names\":[")))
			return false;
		if (!eat_string(t, x.bytes))
			return false;
	}
	return !reader.bad && (!last || eat_lit(t, "]"));
}

/* --- the line --- */

size_t line_match(struct line_matcher *r, const struct evidence_block *b, size_t i, struct str text)
{
	struct eater t = { text.p, text.p + text.len };
	char space[KEY_BYTES], time[SECOND_CHARS + 11];
	struct str parts[CHAIN_PARTS_];
	struct cut cut;

	evidence_block_parts(b, i, parts);
	if (!cut_core(parts[CHAIN_CORE], &cut, space) || !time_text(r, cut.time.bytes, time))
		return 0;
	const struct side source = side_of(r, cut.source.raw, parts, CHAIN_SOURCE_LABELS),
			  destination =
				  side_of(r, cut.destination.raw, parts, CHAIN_DESTINATION_LABELS);
	const struct slot *s = common(r, cut.common);
	if (!s)
		return 0;
	const char *texts = slot_texts(s);
	if (!eat_lit(&t, "{\"flow\":{\"time\":\"") || !eat(&t, time, sizeof time) ||
	    !eat_lit(&t, "\"") ||
	    (cut.uuid.bytes.len &&
	     (!eat_lit(&t, ",\"uuid\":") || !eat_string(&t, cut.uuid.bytes))) ||
	    !eat(&t, texts, s->text_len[A]) || !eat_addresses(r, &t, parts[CHAIN_ADDRESSES]) ||
	    (cut.l4.raw.len &&
	     (!eat_lit(&t, ",\"l4\":") || !eat_message(&t, r->l4, cut.l4.bytes, DEPTH))) ||
	    !eat_endpoint(r, &t, &source) || !eat_endpoint(r, &t, &destination) ||
	    !eat(&t, texts + s->text_len[A], s->text_len[B]) || !eat_names(&t, parts[CHAIN_DNS]) ||
	    !eat(&t, texts + s->text_len[A] + s->text_len[B], s->text_len[C]) ||
	    (cut.tycho.raw.len &&
	     (!eat_lit(&t, ",\"tycho\":") || !eat_message(&t, r->tycho, cut.tycho.bytes, DEPTH))) ||
	    !eat(&t, texts + s->text_len[A] + s->text_len[B] + s->text_len[C], s->text_len[END]) ||
	    !eat(&t, time, sizeof time) || !eat_lit(&t, "\"}\n"))
		return 0;
	return (size_t)(t.p - text.p);
}
