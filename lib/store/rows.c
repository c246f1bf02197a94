#include "store/rows.h"

#include <stdlib.h>

enum { FIRST_ROOM = 64 };

static bool slots_grow(struct rows *t)
{
	size_t mask = t->mask ? t->mask * 2 + 1 : 2 * FIRST_ROOM - 1;
	uint32_t *slots = calloc(mask + 1, sizeof *slots);

	if (!slots)
		return false;
	for (size_t i = 0; i < t->count; i++) {
		size_t at = rows_hash(t->v + i * t->row_bytes, t->row_bytes) & mask;

		while (slots[at])
			at = (at + 1) & mask;
		slots[at] = (uint32_t)i + 1;
	}
	free(t->slots);
	t->slots = slots;
	t->mask = mask;
	return true;
}

static bool row_add(struct rows *t, const void *row)
{
	if (t->count == t->room) {
		size_t room = t->room ? t->room * 2 : FIRST_ROOM;
		uint8_t *v = realloc(t->v, room * t->row_bytes);

		if (!v)
			return false;
		t->v = v;
		t->room = room;
	}
	memcpy(t->v + t->count++ * t->row_bytes, row, t->row_bytes);
	return true;
}

bool rows_put_hashed(struct rows *t, const void *row, uint64_t hash, uint32_t *ret)
{
	if (t->count * 2 >= t->mask && !slots_grow(t))
		return false;
	size_t at = hash & t->mask;
	for (; t->slots[at]; at = (at + 1) & t->mask)
		if (memcmp(t->v + (t->slots[at] - 1) * t->row_bytes, row, t->row_bytes) == 0) {
			*ret = t->slots[at] - 1;
			return true;
		}
	if (!row_add(t, row))
		return false;
	*ret = (uint32_t)t->count - 1;
	t->slots[at] = (uint32_t)t->count;
	return true;
}

void rows_reset(struct rows *t)
{
	t->count = 0;
	if (t->mask)
		memset(t->slots, 0, (t->mask + 1) * sizeof *t->slots);
}

void rows_done(struct rows *t)
{
	free(t->v);
	free(t->slots);
	t->v = NULL;
	t->slots = NULL;
	t->count = t->room = t->mask = 0;
}
