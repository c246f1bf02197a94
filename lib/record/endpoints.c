#include "record/endpoints.h"

/* Each text has two places: with one, two that are often met may push each other out for ever.
 * @return where it is, or where it may be put. */
static members_ref *find_slot(struct endpoints *t, const struct members_memory *m, struct str text,
			      bool *ret_known)
{
	const struct scan s = { text.p, text.p + text.len };
	uint64_t h = hash_bytes(text.p, text.len, m->seed);
	members_ref *first = &t->slots[h % ENDPOINTS_SLOTS],
		    *second = &t->slots[(h >> 32) % ENDPOINTS_SLOTS];

	*ret_known = true;
	if (members_are_there(m, *first, &s))
		return first;
	if (members_are_there(m, *second, &s))
		return second;
	*ret_known = false;
	return *first && (!*second || h >> 63) ? second : first;
}

/* 0: it is none, or cannot be remembered. */
static members_ref look_up(struct endpoints *t, struct members_memory *m, const struct scan *s,
			   size_t key_len)
{
	const struct scan value = { s->p + key_len, s->end };
	struct str text = str_n(s->p, key_len + members_value(&value));
	bool is_known;
	members_ref *slot = find_slot(t, m, text, &is_known);

	if (!is_known)
		*slot = members_put(m, text, 0);
	return *slot;
}

static size_t address_guess(enum flow_side side, struct str address)
{
	return (scan_hash(address.p, address.len) + side) % ENDPOINTS_GUESSES;
}

static size_t front_guess(enum flow_side side, const struct scan *value)
{
	enum { FRONT = 32 };
	size_t left = scan_left(value);

	return (scan_hash(value->p, left < FRONT ? left : FRONT) + side) % ENDPOINTS_GUESSES;
}

const struct members *endpoints_find(struct endpoints *t, struct members_memory *m,
				     const struct scan *s, size_t key_len, enum flow_side side,
				     struct str address)
{
	members_ref *likely = &t->by_address[address_guess(side, address)];

	if (!members_are_there(m, *likely, s)) {
		const struct scan value = { s->p + key_len, s->end };
		members_ref *by_front = &t->by_front[front_guess(side, &value)];
		if (!members_are_there(m, *by_front, s))
			*by_front = look_up(t, m, s, key_len);
		*likely = *by_front;
	}
	return *likely ? members_of(m, *likely) : NULL;
}

void endpoints_expect(const struct endpoints *t, const struct members_memory *m,
		      enum flow_side side, struct str address)
{
	enum { USUAL_BYTES = 448, CACHE_LINE = 64 };
	const struct members *likely = members_of(m, t->by_address[address_guess(side, address)]);

	for (size_t at = 0; at < USUAL_BYTES; at += CACHE_LINE)
		__builtin_prefetch((const char *)likely + at);
}
