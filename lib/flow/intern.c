#include "flow/intern.h"

#include <stdlib.h>

enum { ARENA_BLOCK_BYTES = 65536, KEYS_PER_BLOCK = 1024, FIRST_SLOTS = 64 };

struct arena_block {
	struct arena_block *next;
	size_t used, size; /* bytes */
	_Alignas(max_align_t) char bytes[];
};

void *arena_take(struct arena *a, size_t bytes)
{
	const size_t align = _Alignof(max_align_t);

	if (bytes > SIZE_MAX / 2)
		return NULL;
	bytes = (bytes + align - 1) & ~(align - 1);
	struct arena_block *b = a->blocks;
	if (!b || b->size - b->used < bytes) {
		bool large = bytes > ARENA_BLOCK_BYTES / 4;
		size_t size = large ? bytes : ARENA_BLOCK_BYTES;
		b = malloc(sizeof *b + size);
		if (!b)
			return NULL;
		*b = (struct arena_block){ .size = size };
		if (large && a->blocks) { /* behind the current block, which still has room */
			b->next = a->blocks->next;
			a->blocks->next = b;
		} else {
			b->next = a->blocks;
			a->blocks = b;
		}
		atomic_fetch_add_explicit(&a->bytes, sizeof *b + size, memory_order_relaxed);
	}
	void *p = b->bytes + b->used;
	b->used += bytes;
	return p;
}

void arena_reset(struct arena *a)
{
	while (a->blocks) {
		struct arena_block *next = a->blocks->next;
		free(a->blocks);
		a->blocks = next;
	}
	atomic_store_explicit(&a->bytes, 0, memory_order_relaxed);
}

struct intern_key {
	struct str bytes;
	uint32_t value;
};

/* A slot is 0 (free), or the upper half of the hash above the key's number plus one. Written once,
 * with release: who sees it sees the key. */
struct intern_table {
	size_t mask;
	_Atomic uint64_t slots[];
};

bool intern_init(struct intern *in, size_t max, uint64_t seed, struct arena *arena)
{
	max = max < UINT32_MAX - 1 ? max : UINT32_MAX - 1;
	struct intern_key **blocks = calloc(max / KEYS_PER_BLOCK + 1, sizeof(struct intern_key *));
	if (!blocks)
		return false;
	*in = (struct intern){ .blocks = blocks, .max = max, .seed = seed, .arena = arena };
	return true;
}

void intern_done(struct intern *in)
{
	free(in->blocks);
	in->blocks = NULL;
}

void intern_reset(struct intern *in)
{
	atomic_store_explicit(&in->table, NULL, memory_order_relaxed);
	memset(in->blocks, 0, (in->max / KEYS_PER_BLOCK + 1) * sizeof(struct intern_key *));
	in->count = 0;
}

static struct intern_key *key_at(const struct intern *in, size_t n)
{
	return &in->blocks[n / KEYS_PER_BLOCK][n % KEYS_PER_BLOCK];
}

bool intern_get(const struct intern *in, struct str bytes, uint32_t *ret_value)
{
	struct intern_table *t = atomic_load_explicit(&in->table, memory_order_acquire);
	if (!t)
		return false;
	uint64_t hash = hash_bytes(bytes.p, bytes.len, in->seed);

	for (size_t i = hash & t->mask;; i = (i + 1) & t->mask) {
		uint64_t slot = atomic_load_explicit(&t->slots[i], memory_order_acquire);
		if (!slot)
			return false;
		if (slot >> 32 != hash >> 32)
			continue;
		const struct intern_key *k = key_at(in, (uint32_t)slot - 1);
		if (str_eq(k->bytes, bytes)) {
			*ret_value = k->value;
			return true;
		}
	}
}

static void link_key(struct intern_table *t, uint64_t hash, size_t n)
{
	size_t i = hash & t->mask;

	while (atomic_load_explicit(&t->slots[i], memory_order_relaxed))
		i = (i + 1) & t->mask;
	atomic_store_explicit(&t->slots[i], hash >> 32 << 32 | (n + 1), memory_order_release);
}

/* Tables are at most three quarters full, so that every search ends. */
static bool grow_table(struct intern *in)
{
	struct intern_table *old = atomic_load_explicit(&in->table, memory_order_relaxed);
	size_t slots = old ? (old->mask + 1) * 2 : FIRST_SLOTS;
	struct intern_table *t = arena_take(in->arena, sizeof *t + slots * sizeof t->slots[0]);

	if (!t)
		return false;
	t->mask = slots - 1;
	for (size_t i = 0; i < slots; i++)
		atomic_init(&t->slots[i], 0);
	for (size_t n = 0; n < in->count; n++) {
		struct str bytes = key_at(in, n)->bytes;
		link_key(t, hash_bytes(bytes.p, bytes.len, in->seed), n);
	}
	atomic_store_explicit(&in->table, t, memory_order_release);
	return true;
}

bool intern_reserve(struct intern *in)
{
	if (in->count >= in->max)
		return false;
	struct intern_key **block = &in->blocks[in->count / KEYS_PER_BLOCK];
	if (!*block)
		*block = arena_take(in->arena, KEYS_PER_BLOCK * sizeof **block);
	struct intern_table *t = atomic_load_explicit(&in->table, memory_order_relaxed);
	return *block && ((t && (in->count + 1) * 4 <= (t->mask + 1) * 3) || grow_table(in));
}

void intern_put(struct intern *in, struct str bytes, uint32_t value)
{
	struct intern_table *t = atomic_load_explicit(&in->table, memory_order_relaxed);
	size_t n = in->count++;

	*key_at(in, n) = (struct intern_key){ bytes, value };
	link_key(t, hash_bytes(bytes.p, bytes.len, in->seed), n);
}
