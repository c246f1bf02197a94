#include "observer/cilium/recent.h"

/* Entries are numbered from 1 up; 0 ends a chain, and is the sentinel of the list by age. */
struct entry {
	uint64_t key[2];
	uint32_t chain;        /* next in its bucket */
	uint32_t older, newer; /* by age; of free entries, older is the next free one */
	struct recent_note note;
};

struct recent {
	uint64_t seed;
	uint32_t max, count, used; /* used: entries that were ever taken */
	uint32_t free;             /* first of those given back */
	uint32_t mask;
	uint32_t *buckets;
	struct entry *entries; /* entries[0] is the sentinel: older the newest, newer the oldest */
};

enum err_code recent_new(uint32_t max, uint64_t seed, struct recent **ret, struct err *e)
{
	AUTO(recent_free) struct recent *r = calloc(1, sizeof *r);
	uint32_t buckets = 1;

	while (buckets < max)
		buckets *= 2;
	if (!r)
		return err_set(e, ERR_NOMEM, "recent requests");
	*r = (struct recent){ .seed = seed, .max = max, .mask = buckets - 1 };
	r->buckets = calloc(buckets, sizeof *r->buckets);
	r->entries = calloc((size_t)max + 1, sizeof *r->entries);
	if (!r->buckets || !r->entries)
		return err_set(e, ERR_NOMEM, "%u recent requests", max);
	*ret = TAKE(r);
	return ERR_OK;
}

void recent_free(struct recent *r)
{
	if (!r)
		return;
	free(r->buckets);
	free(r->entries);
	free(r);
}

struct key {
	uint64_t v[2];
};

static struct key key_of(const struct recent *r, struct str id)
{
	return (struct key){ { hash_bytes(id.p, id.len, r->seed),
			       hash_bytes(id.p, id.len, r->seed ^ UINT64_C(0x9e3779b97f4a7c15)) } };
}

/* The place that names the entry with that key, or where it would be named. */
static uint32_t *find(struct recent *r, struct key key)
{
	uint32_t *at = &r->buckets[key.v[0] & r->mask];

	while (*at && memcmp(r->entries[*at].key, key.v, sizeof key.v) != 0)
		at = &r->entries[*at].chain;
	return at;
}

static void unlink_age(struct recent *r, uint32_t i)
{
	struct entry *en = &r->entries[i];

	r->entries[en->older].newer = en->newer;
	r->entries[en->newer].older = en->older;
}

static void link_newest(struct recent *r, uint32_t i)
{
	struct entry *sentinel = &r->entries[0], *en = &r->entries[i];

	en->newer = 0;
	en->older = sentinel->older;
	r->entries[sentinel->older].newer = i;
	sentinel->older = i;
}

static void forget(struct recent *r, uint32_t *at)
{
	uint32_t i = *at;

	*at = r->entries[i].chain;
	unlink_age(r, i);
	r->entries[i].older = r->free;
	r->free = i;
	r->count--;
}

static uint32_t take_entry(struct recent *r)
{
	uint32_t i = r->free;

	if (i) {
		r->free = r->entries[i].older;
		return i;
	}
	return ++r->used;
}

void recent_put(struct recent *r, struct str id, const struct recent_note *note)
{
	struct key key = key_of(r, id);
	uint32_t *at = find(r, key), i = *at;

	if (i) {
		unlink_age(r, i);
	} else {
		if (r->count == r->max) {
			struct key oldest;
			memcpy(oldest.v, r->entries[r->entries[0].newer].key, sizeof oldest.v);
			forget(r, find(r, oldest));
		}
		i = take_entry(r);
		memcpy(r->entries[i].key, key.v, sizeof key.v);
		uint32_t *bucket = &r->buckets[key.v[0] & r->mask];
		r->entries[i].chain = *bucket;
		*bucket = i;
		r->count++;
	}
	r->entries[i].note = *note;
	link_newest(r, i);
}

bool recent_take(struct recent *r, struct str id, struct recent_note *ret)
{
	uint32_t *at = find(r, key_of(r, id));

	if (!*at)
		return false;
	*ret = r->entries[*at].note;
	forget(r, at);
	return true;
}
