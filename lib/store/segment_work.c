/*
 * Memory of segments that are open together. It comes from blocks that are used again for the next
 * ones: what they hold together is the most that there ever is, however it is spread among them.
 */
#include "base/pages.h"
#include "store/segment_read.h"

/* Under the address sanitizer each piece is a block, so that it is seen when one is overrun. */
#if defined(__SANITIZE_ADDRESS__)
#define EACH_ALONE 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define EACH_ALONE 1
#endif
#endif
#ifndef EACH_ALONE
#define EACH_ALONE 0
#endif
enum { BLOCK_BYTES = EACH_ALONE ? 0 : 256 << 10, ALIGNED = 16 };

struct work_block {
	struct work_block *next;
	size_t bytes;
	_Alignas(ALIGNED) char p[];
};

static void free_blocks(struct segment_work *w)
{
	while (w->blocks) {
		struct work_block *next = w->blocks->next;

		free(w->blocks);
		w->blocks = next;
	}
}

struct segment_work *segment_work_new(void)
{
	struct segment_work *w = pages_new(1, sizeof *w);

	if (!w)
		return NULL;
	w->at = &w->blocks;
	w->zstd = ZSTD_createDCtx();
	if (w->zstd)
		return w;
	segment_work_free(w);
	return NULL;
}

void segment_work_free(struct segment_work *w)
{
	if (!w)
		return;
	free_blocks(w);
	(void)ZSTD_freeDCtx(w->zstd);
	for (size_t i = 0; i < ARRAY_LEN(w->unpacked); i++)
		free(w->unpacked[i].p);
	pages_free(w, 1, sizeof *w);
}

void segment_work_reset(struct segment_work *w)
{
	if (EACH_ALONE)
		free_blocks(w);
	w->at = &w->blocks;
	w->used = 0;
}

/* Makes *w->at a block with room for @bytes: one of those that come next, or a new one. */
static bool next_block(struct segment_work *w, size_t bytes)
{
	struct work_block **next = *w->at && w->used ? &(*w->at)->next : w->at, **fit = next;

	while (*fit && (*fit)->bytes < bytes)
		fit = &(*fit)->next;
	struct work_block *b = *fit;
	if (b) {
		*fit = b->next;
	} else {
		size_t size = bytes > BLOCK_BYTES ? bytes : BLOCK_BYTES;

		b = malloc(sizeof *b + size);
		if (!b)
			return false;
		b->bytes = size;
	}
	b->next = *next;
	*next = b;
	w->at = next;
	w->used = 0;
	return true;
}

void *segment_room(struct segment *s, size_t bytes)
{
	struct segment_work *w = s->work;
	size_t rounded = bytes ? (bytes + ALIGNED - 1) / ALIGNED * ALIGNED : ALIGNED;

	if ((!*w->at || (*w->at)->bytes - w->used < rounded) && !next_block(w, rounded)) {
		s->no_memory = true;
		return NULL;
	}
	w->used += rounded;
	return (*w->at)->p + w->used - rounded;
}

void *segment_passing(struct segment *s, struct room *r, size_t bytes)
{
	if (bytes > r->bytes || !r->p) {
		free(r->p);
		r->p = malloc(bytes ? bytes : 1);
		r->bytes = r->p ? bytes : 0;
		s->no_memory |= !r->p;
	}
	return r->p;
}
