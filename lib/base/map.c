#include "base/map.h"

struct slot {
	uint32_t hash; /* upper half of the hash; 0 = free */
	uint32_t value;
	struct str key;
};

/* Keys live in blocks that are never moved. */
struct block {
	struct block *next;
	size_t used, size; /* bytes */
	char bytes[];
};

struct map {
	struct slot *slots;
	size_t mask, count, max;
	uint64_t seed;
	struct block *blocks;
};

enum { FIRST_SLOTS = 16, BLOCK_BYTES = 16384 };

enum err_code map_new(size_t max, uint64_t seed, struct map **ret, struct err *e)
{
	if (!max)
		return err_set(e, ERR_INVALID, "a map of no entries");
	AUTO(map_free) struct map *m = calloc(1, sizeof *m);
	if (!m)
		return err_set(e, ERR_NOMEM, "new map");
	m->slots = calloc(FIRST_SLOTS, sizeof *m->slots);
	if (!m->slots)
		return err_set(e, ERR_NOMEM, "new map");
	m->mask = FIRST_SLOTS - 1;
	m->max = max;
	m->seed = seed;
	*ret = TAKE(m);
	return ERR_OK;
}

static void free_blocks(struct map *m)
{
	while (m->blocks) {
		struct block *next = m->blocks->next;
		free(m->blocks);
		m->blocks = next;
	}
}

void map_free(struct map *m)
{
	if (!m)
		return;
	free_blocks(m);
	free(m->slots);
	free(m);
}

void map_reset(struct map *m)
{
	free_blocks(m);
	memset(m->slots, 0, (m->mask + 1) * sizeof *m->slots);
	m->count = 0;
}

size_t map_count(const struct map *m)
{
	return m->count;
}

/* The slot that holds @key, or the free one where it belongs. */
static struct slot *find(const struct map *m, struct str key, uint64_t hash)
{
	uint32_t tag = (uint32_t)(hash >> 32) | 1;

	for (size_t i = hash & m->mask;; i = (i + 1) & m->mask) {
		struct slot *s = &m->slots[i];
		if (!s->hash || (s->hash == tag && str_eq(s->key, key)))
			return s;
	}
}

bool map_get(const struct map *m, struct str key, uint32_t *ret_value)
{
	struct slot *s = find(m, key, hash_bytes(key.p, key.len, m->seed));

	if (!s->hash)
		return false;
	*ret_value = s->value;
	return true;
}

static bool grow(struct map *m)
{
	size_t n = (m->mask + 1) * 2;
	struct slot *old = m->slots, *slots = calloc(n, sizeof *slots);

	if (!slots)
		return false;
	size_t old_n = m->mask + 1;
	m->slots = slots;
	m->mask = n - 1;
	for (size_t i = 0; i < old_n; i++)
		if (old[i].hash)
			*find(m, old[i].key, hash_bytes(old[i].key.p, old[i].key.len, m->seed)) =
				old[i];
	free(old);
	return true;
}

static char *store_key(struct map *m, struct str key)
{
	if (!m->blocks || m->blocks->size - m->blocks->used < key.len) {
		size_t size = key.len > BLOCK_BYTES ? key.len : BLOCK_BYTES;
		struct block *b = malloc(sizeof *b + size);
		if (!b)
			return NULL;
		*b = (struct block){ .next = m->blocks, .size = size };
		m->blocks = b;
	}
	char *at = m->blocks->bytes + m->blocks->used;
	if (key.len)
		memcpy(at, key.p, key.len);
	m->blocks->used += key.len;
	return at;
}

enum err_code map_put(struct map *m, struct str key, uint32_t value, struct str *ret_key,
		      struct err *e)
{
	uint64_t hash = hash_bytes(key.p, key.len, m->seed);
	struct slot *s = find(m, key, hash);

	if (!s->hash) {
		if (m->count >= m->max)
			return err_set(e, ERR_NOMEM, "map is full at %zu entries", m->max);
		if ((m->count + 1) * 4 > (m->mask + 1) * 3) {
			if (!grow(m))
				return err_set(e, ERR_NOMEM, "grow map");
			s = find(m, key, hash);
		}
		char *at = store_key(m, key);
		if (!at)
			return err_set(e, ERR_NOMEM, "map key of %zu bytes", key.len);
		*s = (struct slot){ .hash = (uint32_t)(hash >> 32) | 1, .key = { at, key.len } };
		m->count++;
	}
	s->value = value;
	if (ret_key)
		*ret_key = s->key;
	return ERR_OK;
}
