#include "base/meant.h"

enum { NAME_MOST = 47, EDITS_MOST = 2, BYTES_PER_EDIT = 3, BEGINNING_LEAST = 2 };

/* Edits that turn @a into @b, a swap of two neighbours being one (the restricted
 * Damerau-Levenshtein distance), row by row. Neither is longer than NAME_MOST. */
static size_t edits(struct str a, struct str b)
{
	size_t rows[3][NAME_MOST + 1] = { 0 }, *before = rows[0], *last = rows[1], *row = rows[2];

	for (size_t j = 0; j <= b.len; j++)
		row[j] = j;
	for (size_t i = 1; i <= a.len; i++) {
		size_t *oldest = before;
		before = last;
		last = row;
		row = oldest;
		row[0] = i;
		for (size_t j = 1; j <= b.len; j++) {
			size_t best = last[j - 1] + (a.p[i - 1] != b.p[j - 1]);
			if (last[j] + 1 < best)
				best = last[j] + 1;
			if (row[j - 1] + 1 < best)
				best = row[j - 1] + 1;
			if (i > 1 && j > 1 && a.p[i - 1] == b.p[j - 2] &&
			    a.p[i - 2] == b.p[j - 1] && before[j - 2] + 1 < best)
				best = before[j - 2] + 1;
			row[j] = best;
		}
	}
	return row[b.len];
}

void meant_offer(struct meant *m, const char *name)
{
	struct str s = str_of(name);
	size_t most = s.len / BYTES_PER_EDIT < EDITS_MOST ? s.len / BYTES_PER_EDIT : EDITS_MOST, n;

	if (!m->typed.len || m->typed.len > NAME_MOST || s.len > NAME_MOST)
		return;
	if (m->typed.len >= BEGINNING_LEAST && str_has_prefix(s, m->typed))
		n = 0;
	else if ((n = edits(m->typed, s)) > most)
		return;
	if (m->count && n > m->edits)
		return;
	if (n < m->edits)
		m->count = 0;
	m->edits = n;
	if (m->count < MEANT_MOST)
		m->names[m->count++] = name;
}

void meant_put(struct buf *b, const struct meant *m, const char *before)
{
	for (size_t i = 0; i < m->count; i++)
		buf_printf(b, "%s%s%s",
			   i == 0              ? "; did you mean "
			   : i + 1 == m->count ? " or "
					       : ", ",
			   before, m->names[i]);
	if (m->count)
		buf_char(b, '?');
}
