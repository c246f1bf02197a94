#include "observer/name/numbers.h"

#include "base/pages.h"

struct entry {
	char *text; /* NULL: never used */
	size_t len;
	uint32_t held; /* how often */
};

struct numbers {
	uint32_t first, count;
	uint32_t longest_probe; /* no text lies further from where its hash points */
	struct entry *entries;
};

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
	if (!n->entries)
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

/* Where a new text goes: a place nobody ever used, else one that nobody uses now, else @home. */
static uint32_t place_for_new(const struct numbers *n, uint32_t home, uint32_t *ret_probe)
{
	uint32_t unused = UINT32_MAX;

	for (uint32_t probe = 0; probe < n->count; probe++) {
		const struct entry *en = &n->entries[(home + probe) % n->count];
		if (!en->text) {
			*ret_probe = probe;
			return (home + probe) % n->count;
		}
		if (!en->held && unused == UINT32_MAX)
			unused = probe;
	}
	*ret_probe = unused == UINT32_MAX ? 0 : unused;
	return (home + *ret_probe) % n->count;
}

uint32_t numbers_get(struct numbers *n, struct str text)
{
	uint32_t home = (uint32_t)(fnv1a(text) % n->count), probe;

	for (probe = 0; probe <= n->longest_probe; probe++) {
		uint32_t at = (home + probe) % n->count;
		struct entry *en = &n->entries[at];
		if (en->text && str_eq(str_n(en->text, en->len), text)) {
			en->held++;
			return n->first + at;
		}
	}
	uint32_t at = place_for_new(n, home, &probe);
	struct entry *en = &n->entries[at];
	char *copy = en->held ? NULL : str_dup(text);
	en->held++; /* shared, too: it is dropped like any other */
	if (copy) {
		free(en->text);
		en->text = copy;
		en->len = text.len;
		if (probe > n->longest_probe)
			n->longest_probe = probe;
	}
	return n->first + at;
}

void numbers_drop(struct numbers *n, uint32_t number)
{
	struct entry *en = &n->entries[number - n->first];

	en->held -= en->held > 0;
}
