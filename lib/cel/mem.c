#include "cel/mem.h"

#include <stdlib.h>
#include <string.h>

enum { FIRST_BLOCK_BYTES = 4096, ALIGN_BYTES = 16 };

struct mem_block {
	struct mem_block *next;
	size_t size, used; /* bytes of data */
	_Alignas(ALIGN_BYTES) char data[];
};

void mem_done(struct mem *m)
{
	for (struct mem_block *b = m->blocks, *next; b; b = next) {
		next = b->next;
		free(b);
	}
	m->blocks = NULL;
	m->bytes = 0;
}

void mem_reset(struct mem *m)
{
	struct mem_block *keep = m->blocks;

	if (!keep)
		return;
	m->blocks = keep->next;
	mem_done(m);
	keep->next = NULL;
	keep->used = 0;
	m->blocks = keep;
	m->bytes = keep->size;
}

static struct mem_block *add_block(struct mem *m, size_t bytes)
{
	size_t size = m->blocks ? m->blocks->size * 2 : FIRST_BLOCK_BYTES;

	while (size < bytes)
		size *= 2;
	if (size > m->max_bytes - m->bytes)
		size = m->max_bytes - m->bytes;
	if (size < bytes)
		return NULL;
	struct mem_block *b = malloc(sizeof *b + size);
	if (!b)
		return NULL;
	*b = (struct mem_block){ .next = m->blocks, .size = size };
	m->blocks = b;
	m->bytes += size;
	return b;
}

void *mem_get(struct mem *m, size_t bytes)
{
	struct mem_block *b = m->blocks;

	if (bytes > m->max_bytes)
		return NULL;
	bytes = (bytes + ALIGN_BYTES - 1) / ALIGN_BYTES * ALIGN_BYTES;
	if (!b || bytes > b->size - b->used)
		b = add_block(m, bytes);
	if (!b)
		return NULL;
	void *p = b->data + b->used;
	b->used += bytes;
	return memset(p, 0, bytes);
}

struct str mem_str(struct mem *m, struct str s)
{
	char *p = mem_get(m, s.len + 1);

	if (!p)
		return (struct str){ NULL, 0 };
	if (s.len)
		memcpy(p, s.p, s.len);
	return str_n(p, s.len);
}
