#include "record/endpoints.h"

#include "flow/fields.h"
#include "flow/wire.h"

enum { TEXT_MAX = 1 << 10 };

void endpoints_forget(struct endpoints *t)
{
	memset(t->slots, 0, sizeof t->slots);
	memset(t->labels, 0, sizeof t->labels);
	memset(t->by_address, 0, sizeof t->by_address);
	memset(t->by_front, 0, sizeof t->by_front);
}

static const struct known_endpoint *known(const struct endpoints *t, memory_ref ref)
{
	return memory_at(t->memory, ref);
}

static inline bool is_there(const struct endpoints *t, memory_ref ref, const struct scan *s)
{
	const struct known_endpoint *k = known(t, ref);
	size_t n = k->text_len;

	/* Others mostly end elsewhere. */
	return n && scan_left(s) >= n &&
	       (n < 16 || is_zero(sixteen_at(s->p + n - 16) ^ sixteen_at(k->bytes + n - 16))) &&
	       is_same(s->p, k->bytes, n);
}

/* --- those that nobody has met --- */

/* 0: there is no room. */
static memory_ref keep_labels(struct endpoints *t, struct str labels)
{
	memory_ref *slot = &t->labels[hash_bytes(labels.p, labels.len, t->seed) % ENDPOINTS_LABELS];
	struct known_labels *k = memory_at(t->memory, *slot);

	if (*slot && str_eq(str_n(k->bytes, k->len), labels))
		return *slot;
	memory_ref ref = memory_take(t->memory, offsetof(struct known_labels, bytes) + labels.len);
	if (!ref)
		return 0;
	k = memory_at(t->memory, ref);
	k->number = ++t->labels_count;
	k->len = (uint16_t)labels.len;
	memcpy(k->bytes, labels.p, labels.len);
	return *slot = ref;
}

/* Its fields as source and as destination, one behind the other: they differ in their numbers, and are
 * of one length. */
static bool is_pair(struct str core)
{
	static const uint32_t numbers[] = { FLOW_FIELD_SOURCE, FLOW_FIELD_DESTINATION };
	struct wire_reader r = wire_reader_of(core);
	struct wire_field x;

	for (size_t i = 0; i < ARRAY_LEN(numbers); i++)
		if (!wire_next(&r, &x) || x.number != numbers[i] ||
		    (size_t)((const char *)r.p - core.p) != core.len / 2 * (i + 1))
			return false;
	return r.p == r.end;
}

/* An endpoint as parts of a flow that is from it, to it, and nothing else. 0: it is none, or there is
 * no room. */
static memory_ref keep(struct endpoints *t, struct str text)
{
	static const enum chain_part parts_of[] = { CHAIN_SOURCE_LABELS, CHAIN_DESTINATION_LABELS };
	char written[2 * TEXT_MAX + sizeof "{\"source\":,\"destination\":}"];
	struct buf object = buf_fixed(written, sizeof written);
	struct str parts[CHAIN_PARTS_];
	struct known_endpoint made = { .text_len = (uint16_t)text.len };

	buf_lit(&object, "{\"source\":");
	buf_str_put(&object, text);
	buf_lit(&object, ",\"destination\":");
	buf_str_put(&object, text);
	buf_char(&object, '}');
	if (object.failed || !canon_object(t->canon, buf_str(&object), parts) ||
	    !is_pair(parts[CHAIN_CORE]))
		return 0;
	struct str fields = parts[CHAIN_CORE];
	made.field_len = (uint16_t)(fields.len / 2);
	for (size_t side = 0; side < ARRAY_LEN(parts_of); side++) {
		struct str labels = parts[parts_of[side]];
		if (labels.len && !(made.labels[side] = keep_labels(t, labels)))
			return 0;
	}
	memory_ref ref = memory_take(t->memory, offsetof(struct known_endpoint, bytes) + text.len +
							fields.len);
	if (!ref)
		return 0;
	struct known_endpoint *k = memory_at(t->memory, ref);
	*k = made;
	memcpy(k->bytes, text.p, text.len);
	memcpy(k->bytes + text.len, fields.p, fields.len);
	return ref;
}

/* Each text has two places: with one, two that are often met may push each other out for ever.
 * @return where it is, or where it may be put. */
static memory_ref *find_slot(struct endpoints *t, struct str text, bool *ret_known)
{
	const struct scan s = { text.p, text.p + text.len };
	uint64_t h = hash_bytes(text.p, text.len, t->seed);
	memory_ref *first = &t->slots[h % ENDPOINTS_SLOTS],
		   *second = &t->slots[(h >> 32) % ENDPOINTS_SLOTS];

	*ret_known = true;
	if (is_there(t, *first, &s))
		return first;
	if (is_there(t, *second, &s))
		return second;
	*ret_known = false;
	return *first && (!*second || h >> 63) ? second : first;
}

static memory_ref look_up(struct endpoints *t, const struct scan *s)
{
	struct str text = str_n(s->p, scan_value(s));
	bool is_known;

	if (!text.len || text.len > TEXT_MAX || *text.p != '{')
		return 0;
	memory_ref *slot = find_slot(t, text, &is_known);
	if (!is_known)
		*slot = keep(t, text);
	return *slot;
}

/* --- guesses --- */

enum { TAG = MEMORY_LINE - 1 }; /* bits that no ref has */

static uint64_t address_hash(struct str address)
{
	return scan_hash(address.p, address.len);
}

static uint64_t front_hash(const struct scan *s)
{
	enum { FRONT = 32 };
	size_t left = scan_left(s);

	return scan_hash(s->p, left < FRONT ? left : FRONT);
}

static memory_ref tag_of(uint64_t hash)
{
	return (memory_ref)(hash >> 26 & TAG);
}

static memory_ref guess(const struct guesses *all, uint64_t hash)
{
	const struct guesses *g = &all[hash % ENDPOINTS_GUESSES];

	for (size_t i = 0; i < ENDPOINTS_WAYS; i++)
		if ((g->ways[i] & TAG) == tag_of(hash))
			return g->ways[i] & ~(memory_ref)TAG;
	return 0;
}

/* The newest takes the place of that with the same bits, or of the oldest. */
static void guess_was(struct guesses *all, uint64_t hash, memory_ref ref)
{
	struct guesses *g = &all[hash % ENDPOINTS_GUESSES];
	size_t i = 0;

	while (i < ENDPOINTS_WAYS - 1 && (g->ways[i] & TAG) != tag_of(hash))
		i++;
	memmove(&g->ways[1], &g->ways[0], i * sizeof g->ways[0]);
	g->ways[0] = ref | tag_of(hash);
}

const struct known_endpoint *endpoints_find(struct endpoints *t, const struct scan *s,
					    struct str address)
{
	uint64_t by_address = address_hash(address);
	memory_ref likely = guess(t->by_address, by_address);

	if (!is_there(t, likely, s)) {
		uint64_t by_front = front_hash(s);
		likely = guess(t->by_front, by_front);
		if (!is_there(t, likely, s)) {
			likely = look_up(t, s);
			guess_was(t->by_front, by_front, likely);
		}
		guess_was(t->by_address, by_address, likely);
	}
	return likely ? known(t, likely) : NULL;
}

void endpoints_expect(const struct endpoints *t, struct str address)
{
	enum { USUAL_BYTES = 448 };
	const char *likely = (const char *)known(t, guess(t->by_address, address_hash(address)));

	for (size_t at = 0; at < USUAL_BYTES; at += MEMORY_LINE)
		__builtin_prefetch(likely + at);
}
