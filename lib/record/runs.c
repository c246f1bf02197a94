#include "record/runs.h"

void runs_init(struct runs *r)
{
	*r = (struct runs){ .order = { 0 } };
	for (size_t i = 0; i < RUNS_SLOTS; i++)
		r->order[i] = (uint8_t)i;
}

void runs_forget(struct runs *r)
{
	memset(r->slots, 0, sizeof r->slots);
}

/* How long the run at the front is, and its tail. False: there is none. */
static bool measure(const struct members_memory *m, const struct scan *at, uint64_t special,
		    size_t *ret_len, size_t *ret_tail)
{
	struct scan s = *at;

	while (s.p < s.end && *s.p == '"') {
		struct scan key = { s.p + 1, s.end };
		size_t n = scan_find(&key, '"');
		const struct schema_field *f = schema_field_named(m->places.flow, str_n(key.p, n));
		if (!f)
			return false;
		if (special >> f->index & 1)
			break;
		if (scan_left(&key) < n + 2)
			return false;
		struct scan value = { key.p + n + 2, s.end };
		size_t len = members_value(&value);
		if (!len)
			return false;
		s.p = value.p + len;
		if (!members_past_comma(&s))
			return false;
	}
	size_t left = scan_left(&s);
	*ret_len = (size_t)(s.p - at->p);
	*ret_tail = left && *s.p == '}' ? 1 : left < MEMBERS_TAIL ? left : MEMBERS_TAIL;
	return true;
}

/* 0: it is no run, or cannot be remembered. */
static members_ref remember(struct members_memory *m, const struct scan *s, uint64_t special)
{
	size_t len, tail;

	return measure(m, s, special, &len, &tail) ? members_put(m, str_n(s->p, len), tail) : 0;
}

/* The slot that has it; if none has, that of a run that was not met for long. */
static uint8_t search(struct runs *r, struct members_memory *m, const struct scan *s,
		      uint64_t special)
{
	size_t i = 0;

	while (i < RUNS_SLOTS && !members_are_there(m, r->slots[r->order[i]], s))
		i++;
	bool is_known = i < RUNS_SLOTS;
	i -= !is_known;
	uint8_t slot = r->order[i];
	if (!is_known)
		r->slots[slot] = remember(m, s, special);
	/* nearer to the front */
	memmove(&r->order[i / 2 + 1], &r->order[i / 2], i - i / 2);
	r->order[i / 2] = slot;
	return slot;
}

const struct members *runs_find(struct runs *r, struct members_memory *m, const struct scan *s,
				uint64_t special, uint32_t *context)
{
	uint8_t *slot = &r->behind[*context % RUNS_CONTEXTS];

	if (!members_are_there(m, r->slots[*slot], s))
		*slot = search(r, m, s, special);
	*context = *context * RUNS_SLOTS + *slot;
	*context ^= *context >> 12;
	return r->slots[*slot] ? members_of(m, r->slots[*slot]) : NULL;
}

const struct members *runs_first(const struct runs *r, const struct members_memory *m)
{
	return members_of(m, r->slots[r->behind[0]]);
}
