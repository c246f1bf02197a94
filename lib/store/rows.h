/*
 * rows - a table of different rows of one size, found by their content.
 *
 * Shape    rows are plain bytes without padding, numbered from 0 in the order of their coming.
 * Threads  one thread.
 */
#ifndef TYCHO_STORE_ROWS_H
#define TYCHO_STORE_ROWS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct rows {
	size_t row_bytes; /* set by the owner, for good */
	uint8_t *v;       /* [count][row_bytes] */
	size_t count, room;
	uint32_t *slots; /* number + 1; 0: empty */
	size_t mask;     /* of the slots; 0: none yet */
};

static inline uint64_t rows_hash(const void *row, size_t bytes)
{
	const uint8_t *p = row;
	uint64_t h = UINT64_C(0x2545f4914f6cdd1d), w;

	for (; bytes >= 8; p += 8, bytes -= 8) {
		memcpy(&w, p, 8);
		h = (h ^ w) * UINT64_C(0x9e3779b97f4a7c15);
		h ^= h >> 29;
	}
	if (bytes) {
		w = 0;
		memcpy(&w, p, bytes);
		h = (h ^ w) * UINT64_C(0x9e3779b97f4a7c15);
		h ^= h >> 29;
	}
	return h * UINT64_C(0xbf58476d1ce4e5b9) >> 20;
}

/* Number of @row, which is added if it is new. False: no memory. */
bool rows_put_hashed(struct rows *t, const void *row, uint64_t hash, uint32_t *ret);
static inline bool rows_put(struct rows *t, const void *row, uint32_t *ret)
{
	return rows_put_hashed(t, row, rows_hash(row, t->row_bytes), ret);
}
static inline const void *rows_at(const struct rows *t, uint32_t number)
{
	return t->v + number * t->row_bytes;
}
void rows_reset(struct rows *t); /* memory is kept */
void rows_done(struct rows *t);

#endif
