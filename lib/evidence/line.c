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
	SHAPES = 8,
	STEPS = 16,
};

/* Texts by the bytes that they were made of. */
enum { A, B, C, END, TEXTS };
struct slot {
	uint32_t
		filled; /* how often: whoever remembers the slot sees whether it is another's now */
	uint16_t key_at, key_len[2], text_len[TEXTS]; /* key_len[0] 0: free */
	char bytes[SLOT_BYTES - 4 - 2 * (3 + TEXTS)]; /* texts, then the key */
};
_Static_assert(sizeof(struct slot) == SLOT_BYTES, "slots lie side by side");

/* What is different in each core; everything else is common. The seam is where its shared fragments
 * are, the endpoints. */
enum { TIME, UUID, L4, TYCHO, PLACES, COMMON = PLACES, SEAM };

/* How a core was made up that has been seen: its fields in places, and runs of common bytes between
 * them. Most cores are made up like one of the last few. */
struct shape {
	const struct slot *slot; /* what is common; NULL: free */
	uint32_t filled;         /* as it was in the slot */
	size_t count;
	struct {
		uint16_t place, len; /* len of COMMON: bytes of the run */
	} steps[STEPS];
};

struct line_matcher {
	struct slot *endpoints, *common;
	struct shape shapes[SHAPES]; /* met last first */
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

/* Sixteen bytes; signed, so that what is no ASCII is below the blank, too. */
typedef signed char sixteen __attribute__((vector_size(16)));
typedef uint64_t two __attribute__((vector_size(16)));

static inline sixteen sixteen_at(const char *p)
{
	sixteen v;

	memcpy(&v, p, sizeof v);
	return v;
}

static inline bool is_zero(sixteen v)
{
	const two halves = (two)v;

	return !(halves[0] | halves[1]);
}

/* All of at most eight bytes, some of them twice; of none 'a's. */
static inline uint64_t few_at(const char *p, size_t n)
{
	uint64_t v = SWAR_ONES * 'a';

	if (n >= 4) {
		uint32_t first, last;
		memcpy(&first, p, sizeof first);
		memcpy(&last, p + n - sizeof last, sizeof last);
		v = (uint64_t)first << 32 | last;
	} else if (n) {
		v = (v << 24) | (uint64_t)(uint8_t)p[0] << 16 | (uint64_t)(uint8_t)p[n / 2] << 8 |
		    (uint8_t)p[n - 1];
	}
	return v;
}

/* Nearly all that is compared is short: a call would cost more than the comparison. */
static inline bool is_same(const char *a, const char *b, size_t n)
{
	if (n > 64)
		return memcmp(a, b, n) == 0;
	if (n > 32)
		return is_zero((sixteen_at(a) ^ sixteen_at(b)) |
			       (sixteen_at(a + 16) ^ sixteen_at(b + 16)) |
			       (sixteen_at(a + n - 32) ^ sixteen_at(b + n - 32)) |
			       (sixteen_at(a + n - 16) ^ sixteen_at(b + n - 16)));
	if (n > 16)
		return is_zero((sixteen_at(a) ^ sixteen_at(b)) |
			       (sixteen_at(a + n - 16) ^ sixteen_at(b + n - 16)));
	if (n > 8)
		return !((swar_load(a) ^ swar_load(b)) |
			 (swar_load(a + n - 8) ^ swar_load(b + n - 8)));
	return few_at(a, n) == few_at(b, n);
}

static inline bool eat(struct eater *t, const char *p, size_t n)
{
	if ((size_t)(t->end - t->p) < n || !is_same(t->p, p, n))
		return false;
	t->p += n;
	return true;
}

/* Of a length that the compiler knows: a few instructions. */
#define eat_lit(t, literal) eat_fixed((t), "" literal, sizeof(literal) - 1)
__attribute__((always_inline)) static inline bool eat_fixed(struct eater *t, const char *p,
							    size_t n)
{
	if ((size_t)(t->end - t->p) < n || memcmp(t->p, p, n) != 0)
		return false;
	t->p += n;
	return true;
}

/* Characters that JSON, as lib/flow writes it, does not hold as they are, marked. */
static inline sixteen not_plain(sixteen v)
{
	return (v < ' ') | (v == '"') | (v == '\\') | (v == '<') | (v == '>') | (v == '&');
}

static inline bool is_plain(const char *p, size_t n)
{
	if (n < sizeof(sixteen)) {
		const two v = { n > 8 ? swar_load(p) : few_at(p, n),
				n > 8 ? swar_load(p + n - 8) : SWAR_ONES * 'a' };
		return is_zero(not_plain((sixteen)v));
	}
	sixteen stops = not_plain(sixteen_at(p + n - sizeof stops));
	for (size_t i = 0; i + sizeof stops < n; i += sizeof stops)
		stops |= not_plain(sixteen_at(p + i));
	return is_zero(stops);
}

static inline bool eat_string(struct eater *t, struct str s)
{
	if ((size_t)(t->end - t->p) < s.len + 2 || t->p[0] != '"' || t->p[s.len + 1] != '"' ||
	    !is_same(t->p + 1, s.p, s.len) || !is_plain(s.p, s.len))
		return false;
	t->p += s.len + 2;
	return true;
}

/* Read rather than written: the digits say how many there are. */
static bool eat_u64(struct eater *t, uint64_t v)
{
	const char *p = t->p;
	uint64_t read = 0;

	if (p < t->end && *p == '0' && v)
		return false; /* a number does not begin so */
	for (; p < t->end && (uint8_t)(*p - '0') < 10 && p - t->p < 19; p++)
		read = read * 10 + (uint8_t)(*p - '0');
	if (p == t->p || read != v)
		return false;
	t->p = p;
	return true;
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
	const struct schema_field *f = m->fields, *end = f + m->field_count;
	bool of_oneof = false, is_first = true;

	if (!depth || m->special != SCHEMA_PLAIN || !eat_lit(t, "{"))
		return false;
	for (struct wire_field x; wire_next(&reader, &x);) {
		while (f < end && f->number != x.number)
			f++;
		if (f == end || f->repeated || (f->oneof_count && of_oneof))
			return false;
		if ((!is_first && !eat_lit(t, ",")) || !eat(t, f->key.p, f->key.len) ||
		    !eat_value(t, f, &x, depth))
			return false;
		is_first = false;
		of_oneof |= f->oneof_count != 0;
		f++;
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
	const char *p = s->bytes + s->key_at;

	return s->key_len[0] == key[0].len && s->key_len[1] == key[1].len &&
	       is_same(p, key[0].p, key[0].len) && is_same(p + key[0].len, key[1].p, key[1].len);
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

/* Remembers r->text, which is TEXTS texts of these lengths. */
static bool slot_fill(struct slot *s, const struct str key[2], const struct buf *text,
		      const size_t text_len[TEXTS])
{
	size_t all = key[0].len + key[1].len + text->len;

	s->key_len[0] = 0;
	s->filled++;
	if (text->failed || !key[0].len || all > sizeof s->bytes)
		return false;
	memcpy(s->bytes, text->p, text->len);
	memcpy(s->bytes + text->len, key[0].p, key[0].len);
	if (key[1].len)
		memcpy(s->bytes + text->len + key[0].len, key[1].p, key[1].len);
	for (size_t i = 0; i < TEXTS; i++)
		s->text_len[i] = (uint16_t)text_len[i];
	s->key_at = (uint16_t)text->len;
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
	struct evidence_shared *shared; /* the endpoint in the core; NULL: none */
	enum chain_part part;           /* its labels */
	uint32_t number;                /* of that */
	struct str labels;
};

/* What was found in this block under the numbers of endpoint and labels; NULL: nothing, or its slot
 * is another's now. */
static const struct slot *known_slot(const struct side *side)
{
	const struct slot *s = side->shared->slot;

	return s && s->filled == side->shared->slot_filled && side->shared->labels == side->number
		       ? s
		       : NULL;
}

/* False: the core has in common with others what is no endpoint. */
static bool find_sides(struct evidence_block *b, const struct evidence_record *record,
		       struct side *source, struct side *destination)
{
	*source = (struct side){ .part = CHAIN_SOURCE_LABELS };
	*destination = (struct side){ .part = CHAIN_DESTINATION_LABELS };
	for (size_t i = 0; i < RECORD_SHARED_MAX && record->shared[i]; i++) {
		struct evidence_shared *shared = &b->shared[record->shared[i] - 1];
		struct side *side = shared->field == FLOW_FIELD_SOURCE        ? source
				    : shared->field == FLOW_FIELD_DESTINATION ? destination
									      : NULL;
		if (!side || side->shared)
			return false;
		side->shared = shared;
		side->number = record->parts[side->part];
		side->labels = evidence_block_part(b, record, side->part);
	}
	return (source->shared || !record->parts[CHAIN_SOURCE_LABELS]) &&
	       (destination->shared || !record->parts[CHAIN_DESTINATION_LABELS]);
}

/* Fills @s with the endpoint's text. */
static bool endpoint_fill(struct line_matcher *r, const struct side *side, const struct str key[2],
			  struct slot *s)
{
	struct str parts[CHAIN_PARTS_] = { key[0] };
	size_t text_len[TEXTS] = { 0 };

	parts[side->part] = key[1];
	buf_reset(&r->message);
	buf_reset(&r->text);
	chain_join(parts, &r->message);
	if (r->message.failed || !put_members(r, buf_str(&r->message)))
		return false;
	text_len[A] = r->text.len;
	return slot_fill(s, key, &r->text, text_len);
}

static bool eat_endpoint(struct line_matcher *r, struct eater *t, const struct side *side)
{
	if (!side->shared)
		return true;
	const struct slot *known = known_slot(side);
	if (!known) {
		const struct str key[2] = { side->shared->bytes, side->labels };
		struct slot *s;
		if (!slot_find(r->endpoints, ENDPOINT_SLOTS, key_hash(r, key), key, &s) &&
		    !endpoint_fill(r, side, key, s))
			return false;
		known = side->shared->slot = s;
		side->shared->slot_filled = s->filled;
		side->shared->labels = side->number;
	}
	return eat(t, known->bytes, known->text_len[A]);
}

/* --- the core --- */

/* A core taken apart. Absent fields: raw.len 0. */
struct cut {
	struct wire_field fields[PLACES];
	struct str common; /* everything else, one field after the other */
	struct shape shape;
};

static const uint32_t place_numbers[PLACES] = {
	[TIME] = FLOW_FIELD_TIME,
	[UUID] = FLOW_FIELD_UUID,
	[L4] = FLOW_FIELD_L4,
	[TYCHO] = FLOW_FIELD_TYCHO,
};

static void cut_begin(struct cut *cut)
{
	for (size_t i = 0; i < PLACES; i++)
		cut->fields[i].raw.len = cut->fields[i].bytes.len = 0;
}

/* Cuts the core as that one was cut. The bytes of a run are whole fields, and the same bytes are
 * the same fields. */
static bool cut_as(const struct shape *s, const struct evidence_record *record, struct cut *cut)
{
	struct wire_reader reader = wire_reader_of(record->head);

	if (!s->slot || s->slot->filled != s->filled)
		return false;
	const char *common = s->slot->bytes + s->slot->key_at;
	cut_begin(cut);
	for (size_t i = 0; i < s->count; i++) {
		size_t place = s->steps[i].place, len = s->steps[i].len;
		if (place == COMMON) {
			if ((size_t)(reader.end - reader.p) < len ||
			    !is_same((const char *)reader.p, common, len))
				return false;
			reader.p += len;
			common += len;
			continue;
		}
		if (place == SEAM) {
			if (reader.p != reader.end)
				return false;
			reader = wire_reader_of(record->tail);
			continue;
		}
		struct wire_field *x = &cut->fields[place];
		if (!wire_next(&reader, x) || x->number != place_numbers[place] ||
		    x->type != WIRE_LEN)
			return false;
	}
	return reader.p == reader.end;
}

static size_t place_of(uint32_t number)
{
	size_t i = 0;

	while (i < PLACES && place_numbers[i] != number)
		i++;
	return i;
}

static void add_step(struct shape *s, size_t place, size_t len)
{
	if (s->count < STEPS) {
		s->steps[s->count].place = (uint16_t)place;
		s->steps[s->count].len = (uint16_t)len;
	}
	s->count++;
}

/* Of bytes between places. @space: KEY_BYTES for what cut->common refers to. */
static bool add_run(struct cut *cut, const char *from, size_t len, char *space)
{
	size_t used = cut->common.len;

	if (!len)
		return true;
	if (used + len > KEY_BYTES)
		return false;
	memcpy(space + used, from, len);
	cut->common = str_n(space, used + len);
	add_step(&cut->shape, COMMON, len);
	return true;
}

/* Cuts head or tail of any shape. */
static bool cut_half(struct str half, struct cut *cut, char space[KEY_BYTES])
{
	struct wire_reader reader = wire_reader_of(half);
	const char *from = half.p; /* of a run */
	size_t run = 0;

	for (struct wire_field x; wire_next(&reader, &x);) {
		size_t place = place_of(x.number);
		if (place < PLACES) {
			if (cut->fields[place].raw.len || x.type != WIRE_LEN ||
			    !add_run(cut, from, run, space))
				return false;
			cut->fields[place] = x;
			add_step(&cut->shape, place, 0);
			from = x.raw.p + x.raw.len;
			run = 0;
			continue;
		}
		/* parts that are committed to on their own, and endpoints that are not shared */
		if (x.number == FLOW_FIELD_ETHERNET || x.number == FLOW_FIELD_IP ||
		    x.number == FLOW_FIELD_TUNNEL || x.number == FLOW_FIELD_SOURCE_NAMES ||
		    x.number == FLOW_FIELD_DESTINATION_NAMES || x.number == FLOW_FIELD_L7 ||
		    x.number == FLOW_FIELD_SOURCE || x.number == FLOW_FIELD_DESTINATION)
			return false;
		run += x.raw.len;
	}
	return !reader.bad && add_run(cut, from, run, space);
}

static bool cut_core(const struct evidence_record *record, struct cut *cut, char space[KEY_BYTES])
{
	cut_begin(cut);
	cut->common = str_n(space, 0);
	cut->shape.count = 0;
	if (!cut_half(record->head, cut, space))
		return false;
	add_step(&cut->shape, SEAM, 0);
	return cut_half(record->tail, cut, space) && cut->fields[TIME].raw.len && cut->common.len;
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

/* Puts a shape before the others. */
static void shape_first(struct line_matcher *r, size_t at, const struct shape *shape)
{
	struct shape s = *shape; /* may be among those that move */

	memmove(&r->shapes[1], &r->shapes[0], at * sizeof s);
	r->shapes[0] = s;
}

/* Takes a core apart. @return the texts of what is common; NULL: not known. */
static const struct slot *cut(struct line_matcher *r, const struct evidence_record *record,
			      struct cut *ret)
{
	char space[KEY_BYTES];

	for (size_t i = 0; i < SHAPES; i++) {
		if (!cut_as(&r->shapes[i], record, ret))
			continue;
		if (i)
			shape_first(r, i, &r->shapes[i]);
		return r->shapes[0].slot;
	}
	if (!cut_core(record, ret, space))
		return NULL;
	const struct slot *s = common(r, ret->common);
	if (s && ret->shape.count <= STEPS) {
		ret->shape.slot = s;
		ret->shape.filled = s->filled;
		shape_first(r, SHAPES - 1, &ret->shape);
	}
	return s;
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

void line_prefetch(const struct evidence_block *b, size_t i)
{
	if (i >= b->record_count)
		return;
	const struct evidence_record *record = &b->records[i];
	__builtin_prefetch(record->head.p);
	__builtin_prefetch(record->tail.p);
	__builtin_prefetch(record->tail.p + 64);
	__builtin_prefetch(record->tail.p + 128);
	for (enum chain_part p = CHAIN_ADDRESSES; p < CHAIN_PARTS_; p++)
		if (record->parts[p])
			__builtin_prefetch(&b->parts[record->parts[p] - 1]);
	for (size_t k = 0; k < RECORD_SHARED_MAX && record->shared[k]; k++) {
		const char *slot = b->shared[record->shared[k] - 1].slot;
		for (size_t at = 0; slot && at < SLOT_BYTES * 3 / 8; at += 64)
			__builtin_prefetch(slot + at);
	}
}

size_t line_match(struct line_matcher *r, struct evidence_block *b, size_t i, struct str text)
{
	const struct evidence_record *record = &b->records[i];
	struct eater t = { text.p, text.p + text.len };
	char time[SECOND_CHARS + 11];
	struct side source, destination;
	struct cut core;
	const struct wire_field *f = core.fields;

	if (!find_sides(b, record, &source, &destination))
		return 0;
	const struct slot *s = cut(r, record, &core);
	if (!s || !time_text(r, f[TIME].bytes, time))
		return 0;
	const char *texts = s->bytes;
	if (!eat_lit(&t, "{\"flow\":{\"time\":\"") || !eat_fixed(&t, time, sizeof time) ||
	    !eat_lit(&t, "\"") ||
	    (f[UUID].bytes.len && (!eat_lit(&t, ",\"uuid\":") || !eat_string(&t, f[UUID].bytes))) ||
	    !eat(&t, texts, s->text_len[A]) ||
	    !eat_addresses(r, &t, evidence_block_part(b, record, CHAIN_ADDRESSES)) ||
	    (f[L4].raw.len &&
	     (!eat_lit(&t, ",\"l4\":") || !eat_message(&t, r->l4, f[L4].bytes, DEPTH))) ||
	    !eat_endpoint(r, &t, &source) || !eat_endpoint(r, &t, &destination) ||
	    !eat(&t, texts + s->text_len[A], s->text_len[B]) ||
	    !eat_names(&t, evidence_block_part(b, record, CHAIN_DNS)) ||
	    !eat(&t, texts + s->text_len[A] + s->text_len[B], s->text_len[C]) ||
	    (f[TYCHO].raw.len &&
	     (!eat_lit(&t, ",\"tycho\":") || !eat_message(&t, r->tycho, f[TYCHO].bytes, DEPTH))) ||
	    !eat(&t, texts + s->text_len[A] + s->text_len[B] + s->text_len[C], s->text_len[END]) ||
	    !eat_fixed(&t, time, sizeof time) || !eat_lit(&t, "\"}\n"))
		return 0;
	return (size_t)(t.p - text.p);
}
