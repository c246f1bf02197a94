#include "observer/name/numbers.h"

#include "base/pages.h"

/* A place is a number less the first. */
struct entry {
	char *text; /* NULL: never used */
	uint32_t len;
	uint32_t held;         /* how often */
	uint32_t begins, next; /* of the texts whose hash points here: the first; of its list: the
				   next. Place + 1; 0: none */
};

struct numbers {
	uint32_t first, count;
	struct entry *entries;
	uint64_t *used, *held; /* a bit a place: so that a free one is found fast */
};

static size_t words_of(const struct numbers *n)
{
	return ((size_t)n->count + 63) / 64;
}

enum err_code numbers_new(uint32_t first, uint32_t last, struct numbers **ret, struct err *e)
{
	if (last < first || last - first == UINT32_MAX)
		return err_set(e, ERR_INVALID, "numbers from %u to %u", first, last);
	AUTO(numbers_free) struct numbers *n = calloc(1, sizeof *n);
	if (!n)
		return err_set(e, ERR_NOMEM, "numbers");
	n->first = first;
	n->count = last - first + 1;
	n->entries = pages_new(n->count, sizeof *n->entries);
	n->used = calloc(words_of(n), sizeof *n->used);
	n->held = calloc(words_of(n), sizeof *n->held);
	if (!n->entries || !n->used || !n->held)
		return err_set(e, ERR_NOMEM, "%u numbers", n->count);
	*ret = TAKE(n);
	return ERR_OK;
}

void numbers_free(struct numbers *n)
{
	if (!n)
		return;
	for (uint32_t i = 0; n->entries && i < n->count; i++)
		free(n->entries[i].text);
	pages_free(n->entries, n->count, sizeof *n->entries);
	free(n->used);
	free(n->held);
	free(n);
}

/* draft-eastlake-fnv: part of what numbers are, so not hash_bytes, which may be replaced by a
 * faster one. */
static uint64_t fnv1a(struct str s)
{
	uint64_t h = UINT64_C(0xcbf29ce484222325);

	for (size_t i = 0; i < s.len; i++)
		h = (h ^ (uint8_t)s.p[i]) * UINT64_C(0x100000001b3);
	return h;
}

static uint32_t home_of(const struct numbers *n, struct str text)
{
	return (uint32_t)(fnv1a(text) % n->count);
}

/* The first bit of [@from, @to) that is not set. */
static bool find_clear(const uint64_t *bits, size_t from, size_t to, uint32_t *ret)
{
	for (size_t i = from; i < to; i = (i / 64 + 1) * 64) {
		uint64_t clear = ~bits[i / 64] >> i % 64;
		size_t at = clear ? i + (size_t)__builtin_ctzll(clear) : to;

		if (at < to) {
			*ret = (uint32_t)at;
			return true;
		}
	}
	return false;
}

/* From @home on, and round. */
static bool find_clear_from(const struct numbers *n, const uint64_t *bits, uint32_t home,
			    uint32_t *ret)
{
	return find_clear(bits, home, n->count, ret) || find_clear(bits, 0, home, ret);
}

/* Where a new text goes: a place nobody ever used, else one that nobody uses now, else @home. */
static uint32_t place_for_new(const struct numbers *n, uint32_t home)
{
	uint32_t at = home;

	if (!find_clear_from(n, n->used, home, &at))
		(void)find_clear_from(n, n->held, home, &at);
	return at;
}

static void hold(struct numbers *n, uint32_t at)
{
	n->entries[at].held++;
	n->held[at / 64] |= UINT64_C(1) << at % 64;
}

/* Takes the text of @at off the list that it is on. */
static void forget(struct numbers *n, uint32_t at)
{
	struct entry *en = &n->entries[at];
	uint32_t *link = &n->entries[home_of(n, str_n(en->text, en->len))].begins;

	while (*link != at + 1)
		link = &n->entries[*link - 1].next;
	*link = en->next;
	free(en->text);
}

/* @text is a copy that becomes the place's. */
static void settle(struct numbers *n, uint32_t at, uint32_t home, char *text_take, uint32_t len)
{
	struct entry *en = &n->entries[at];

	if (en->text)
		forget(n, at);
	en->text = text_take;
	en->len = len;
	en->next = n->entries[home].begins;
	n->entries[home].begins = at + 1;
	n->used[at / 64] |= UINT64_C(1) << at % 64;
}

uint32_t numbers_get(struct numbers *n, struct str text)
{
	uint32_t home = home_of(n, text);

	for (uint32_t i = n->entries[home].begins; i; i = n->entries[i - 1].next) {
		const struct entry *en = &n->entries[i - 1];
		if (str_eq(str_n(en->text, en->len), text)) {
			hold(n, i - 1);
			return n->first + i - 1;
		}
	}
	uint32_t at = place_for_new(n, home);
	char *copy = n->entries[at].held || text.len > UINT32_MAX ? NULL : str_dup(text);
	if (copy)
		settle(n, at, home, copy, (uint32_t)text.len);
	hold(n, at); /* shared, too: it is dropped like any other */
	return n->first + at;
}

void numbers_drop(struct numbers *n, uint32_t number)
{
	uint32_t at = number - n->first;

	n->entries[at].held -= n->entries[at].held > 0;
	if (!n->entries[at].held)
		n->held[at / 64] &= ~(UINT64_C(1) << at % 64);
}
