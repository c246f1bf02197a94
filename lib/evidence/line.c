#include "evidence/line.h"

#include "base/pages.h"
#include "base/time.h"
#include "evidence/eat.h"
#include "flow/fields.h"
#include "flow/json.h"
#include "flow/names.h"
#include "flow/wire.h"
#include "observer/observer.pb-c.h"

enum {
	SLOT_BYTES = 1024,
	ENDPOINT_SLOTS = 4096,
	COMMON_SLOTS = 1024,
	SAID_SLOTS = 512,
	SAID_RAW = 78,
	SAID_TEXT = 112,
	KEY_BYTES = 512,
	TEXT_MAX = 1 << 16,
	SECOND_CHARS = 19, /* 2024-03-05T09:46:40 */
	SHAPES = 2,
	STEPS = 16,
};

/* Texts by the bytes that they were made of; A to E as in line.h's picture. */
enum { A, B, C, D, E, END, TEXTS };
struct slot {
	uint32_t filled; /* how often: whoever noted the slot sees whether it is another's now */
	uint16_t key_at, key_len[2], text_len[TEXTS]; /* key_len[0] 0: free */
	char bytes[SLOT_BYTES - 4 - 2 * (3 + TEXTS)]; /* texts, then the key */
};
_Static_assert(sizeof(struct slot) == SLOT_BYTES, "slots lie side by side");

/* What small fields said that many flows share, if not all: an interface, a service, a pair of
 * Ethernet addresses; and how that stands in a line. */
struct said {
	uint8_t raw_len, text_len; /* raw_len 0: free */
	char raw[SAID_RAW], text[SAID_TEXT];
};

/* What is different in each core; everything else is common. The seam is where its shared fragments
 * are, the endpoints. */
enum {
	TIME,
	UUID,
	L4,
	SOURCE_SERVICE,
	DESTINATION_SERVICE,
	INTERFACE,
	TYCHO,
	PLACES,
	COMMON = PLACES,
	SEAM,
};

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
	struct said *said;
	struct shape shapes[SHAPES]; /* met last first */
	uint64_t seed;
	struct buf message, text; /* scratch, for what was not remembered */
	const struct schema_message *flow;
	const struct schema_field *fields[PLACES]; /* what stands in a place */
	const struct schema_field *ethernet, *ip, *l7, *summary;
	uint16_t piece_from[E + 1], piece_behind[E + 1]; /* of A to E: places in the schema */
	int64_t second;                                  /* whose text is: */
	char second_text[SECOND_CHARS];
};

static const struct schema_field *flow_field(const struct line_matcher *r, uint32_t number)
{
	return schema_field_numbered(r->flow, number);
}

static const uint32_t place_numbers[PLACES] = {
	[TIME] = FLOW_FIELD_TIME,
	[UUID] = FLOW_FIELD_UUID,
	[L4] = FLOW_FIELD_L4,
	[SOURCE_SERVICE] = FLOW_FIELD_SOURCE_SERVICE,
	[DESTINATION_SERVICE] = FLOW_FIELD_DESTINATION_SERVICE,
	[INTERFACE] = FLOW_FIELD_INTERFACE,
	[TYCHO] = FLOW_FIELD_TYCHO,
};

/* Where A to E begin and end: what is read stands between them, in rows. False: it does not stand in
 * the declaration as the picture in line.h has it. */
static bool find_pieces(struct line_matcher *r)
{
	static const uint32_t rows[][6] = {
		{ FLOW_FIELD_TIME, FLOW_FIELD_UUID },
		{ FLOW_FIELD_ETHERNET, FLOW_FIELD_IP, FLOW_FIELD_L4, FLOW_FIELD_TUNNEL,
		  FLOW_FIELD_SOURCE, FLOW_FIELD_DESTINATION },
		{ FLOW_FIELD_SOURCE_NAMES, FLOW_FIELD_DESTINATION_NAMES, FLOW_FIELD_L7 },
		{ FLOW_FIELD_SOURCE_SERVICE, FLOW_FIELD_DESTINATION_SERVICE },
		{ FLOW_FIELD_INTERFACE },
		{ FLOW_FIELD_TYCHO },
	};
	uint16_t at = 0;

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		at = flow_field(r, rows[i][0])->index;
		if (i)
			r->piece_behind[A + i - 1] = at;
		for (size_t k = 0; k < ARRAY_LEN(rows[i]) && rows[i][k]; k++, at++)
			if (flow_field(r, rows[i][k])->index != at)
				return false;
		if (i <= E)
			r->piece_from[A + i] = at;
	}
	return flow_field(r, FLOW_FIELD_TIME)->index == 0 && at == r->flow->field_count;
}

enum err_code line_matcher_new(struct line_matcher **ret, struct err *e)
{
	AUTO(line_matcher_free) struct line_matcher *r = calloc(1, sizeof *r);

	if (!r)
		return err_set(e, ERR_NOMEM, "lines of a bundle");
	r->message = r->text = buf_init(TEXT_MAX);
	r->seed = (uint64_t)(uintptr_t)r ^ mono_now().v;
	r->second = INT64_MIN;
	r->flow = schema_find(STR("flow.Flow"));
	r->endpoints = pages_new(ENDPOINT_SLOTS, sizeof *r->endpoints);
	r->common = pages_new(COMMON_SLOTS, sizeof *r->common);
	r->said = pages_new(SAID_SLOTS, sizeof *r->said);
	if (!r->endpoints || !r->common || !r->said || !r->flow)
		return err_set(e, ERR_NOMEM, "lines of a bundle");
	for (size_t i = 0; i < PLACES; i++)
		r->fields[i] = flow_field(r, place_numbers[i]);
	r->ethernet = flow_field(r, FLOW_FIELD_ETHERNET);
	r->ip = flow_field(r, FLOW_FIELD_IP);
	r->l7 = flow_field(r, FLOW_FIELD_L7);
	r->summary = flow_field(r, FLOW_FIELD_SUMMARY);
	if (!find_pieces(r))
		return err_set(e, ERR_UNSUPPORTED, "lines of a bundle: another flow.proto");
	*ret = TAKE(r);
	return ERR_OK;
}

void line_matcher_free(struct line_matcher *r)
{
	if (!r)
		return;
	pages_free(r->endpoints, ENDPOINT_SLOTS, sizeof *r->endpoints);
	pages_free(r->common, COMMON_SLOTS, sizeof *r->common);
	pages_free(r->said, SAID_SLOTS, sizeof *r->said);
	buf_done(&r->message);
	buf_done(&r->text);
	free(r);
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

/* --- A to E and the end --- */

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
		for (int i = A; i <= E; i++)
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
	for (int p = A; p <= E; p++) {
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

/* --- small fields that are remembered --- */

/* As eat_field. What was read once and was right is right again. */
static bool eat_said(struct line_matcher *r, struct eater *t, const struct schema_field *f,
		     const struct wire_field *x)
{
	const char *from = t->p;

	if (!x->raw.len)
		return true;
	if (x->raw.len > SAID_RAW)
		return eat_field(t, f, x);
	struct said *s = &r->said[hash_bytes(x->raw.p, x->raw.len, r->seed) % SAID_SLOTS];
	if (s->raw_len == x->raw.len && is_same(s->raw, x->raw.p, s->raw_len))
		return eat(t, s->text, s->text_len);
	if (!eat_field(t, f, x))
		return false;
	size_t len = (size_t)(t->p - from);
	if (len <= SAID_TEXT) {
		memcpy(s->raw, x->raw.p, x->raw.len);
		memcpy(s->text, from, len);
		s->raw_len = (uint8_t)x->raw.len;
		s->text_len = (uint8_t)len;
	}
	return true;
}

/* --- parts --- */

static bool eat_addresses(struct line_matcher *r, struct eater *t, struct str part)
{
	struct wire_reader reader = wire_reader_of(part);
	uint32_t last = 0;

	for (struct wire_field x; wire_next(&reader, &x); last = x.number) {
		bool is_ip = x.number == FLOW_FIELD_IP;
		if ((!is_ip && x.number != FLOW_FIELD_ETHERNET) || x.number <= last ||
		    !(is_ip ? eat_field(t, r->ip, &x) : eat_said(r, t, r->ethernet, &x)))
			return false;
	}
	return !reader.bad;
}

/* What belongs to a DNS record besides names. Absent: raw.len 0. */
struct dns {
	struct wire_field l7, summary;
};

/* Names, and the rest to @ret. */
static bool eat_names(struct eater *t, struct str part, struct dns *ret)
{
	struct wire_reader reader = wire_reader_of(part);
	uint32_t last = 0;
	bool is_open = false;

	ret->l7.raw.len = ret->summary.raw.len = 0;
	for (struct wire_field x; wire_next(&reader, &x); last = x.number) {
		if (x.type != WIRE_LEN || x.number < last)
			return false;
		if (x.number == FLOW_FIELD_L7 || x.number == FLOW_FIELD_SUMMARY) {
			struct wire_field *to =
				x.number == FLOW_FIELD_L7 ? &ret->l7 : &ret->summary;
			if (to->raw.len)
				return false;
			*to = x;
			continue;
		}
		bool is_source = x.number == FLOW_FIELD_SOURCE_NAMES;
		if (!is_source && x.number != FLOW_FIELD_DESTINATION_NAMES)
			return false;
		if (x.number == last
			    ? !eat_lit(t, ",")
			    : (is_open && !eat_lit(t, "]")) ||
				      (is_source ? !eat_lit(t, ",\"source_names\":[")
						 : !eat_lit(t, ",\"destination_names\":[")))
			return false;
		if (!eat_string(t, x.bytes))
			return false;
		is_open = true;
	}
	return !reader.bad && (!is_open || eat_lit(t, "]"));
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
		const struct slot *slot = b->shared[record->shared[k] - 1].slot;
		for (size_t at = 0; slot && at < slot->key_at; at += 64)
			__builtin_prefetch(slot->bytes + at);
	}
}

/* The next of the texts that a core's common bytes come to. */
static inline bool eat_text(struct eater *t, const char **texts, uint16_t len)
{
	const char *p = *texts;

	*texts += len;
	return eat(t, p, len);
}

size_t line_match(struct line_matcher *r, struct evidence_block *b, size_t i, struct str text)
{
	const struct evidence_record *record = &b->records[i];
	struct eater t = { text.p, text.p + text.len };
	char time[SECOND_CHARS + 11];
	struct side source, destination;
	struct dns dns;
	struct cut core;
	const struct wire_field *f = core.fields;

	if (!find_sides(b, record, &source, &destination))
		return 0;
	const struct slot *s = cut(r, record, &core);
	if (!s || !time_text(r, f[TIME].bytes, time))
		return 0;
	const char *texts = s->bytes;
	if (!eat_lit(&t, "{\"flow\":{\"time\":\"") || !eat_fixed(&t, time, sizeof time) ||
	    !eat_lit(&t, "\"") || !eat_field(&t, r->fields[UUID], &f[UUID]) ||
	    !eat_text(&t, &texts, s->text_len[A]) ||
	    !eat_addresses(r, &t, evidence_block_part(b, record, CHAIN_ADDRESSES)) ||
	    !eat_field(&t, r->fields[L4], &f[L4]) || !eat_endpoint(r, &t, &source) ||
	    !eat_endpoint(r, &t, &destination) || !eat_text(&t, &texts, s->text_len[B]) ||
	    !eat_names(&t, evidence_block_part(b, record, CHAIN_DNS), &dns) ||
	    !eat_field(&t, r->l7, &dns.l7) || !eat_text(&t, &texts, s->text_len[C]) ||
	    !eat_said(r, &t, r->fields[SOURCE_SERVICE], &f[SOURCE_SERVICE]) ||
	    !eat_said(r, &t, r->fields[DESTINATION_SERVICE], &f[DESTINATION_SERVICE]) ||
	    !eat_text(&t, &texts, s->text_len[D]) ||
	    !eat_said(r, &t, r->fields[INTERFACE], &f[INTERFACE]) ||
	    !eat_text(&t, &texts, s->text_len[E]) || (dns.summary.raw.len && s->text_len[E]) ||
	    !eat_field(&t, r->summary, &dns.summary) ||
	    !eat_field(&t, r->fields[TYCHO], &f[TYCHO]) ||
	    !eat_text(&t, &texts, s->text_len[END]) || !eat_fixed(&t, time, sizeof time) ||
	    !eat_lit(&t, "\"}\n"))
		return 0;
	return (size_t)(t.p - text.p);
}
