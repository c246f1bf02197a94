#include "observer/name/seen.h"

#include <stdatomic.h>
#include <sys/random.h>

#include "base/counter.h"

enum { CACHE_SLOTS = 16384, PROBES = 64, NO_SLOT = UINT32_MAX };

/* A namespace, held as an endpoint in it: entries of the dictionary live as long as we do. */
struct slot {
	_Atomic(const struct endpoint *) in;
	_Atomic uint64_t last_s; /* seen last, seconds since 1970; 0 never */
};

struct seen {
	const struct flow_dict *dict;
	struct str own_cluster;
	uint64_t seed; /* of hashes: namespaces are called as their users like */
	/* capture thread only: where an endpoint's namespace is */
	struct {
		struct endpoint_id ep;
		uint32_t slot;
	} cache[CACHE_SLOTS];
	struct slot slots[SEEN_MAX];
	_Atomic uint64_t unlisted;
};

enum err_code seen_new(const struct flow_dict *dict, struct str own_cluster, struct seen **ret,
		       struct err *e)
{
	struct seen *s = calloc(1, sizeof *s);

	if (!s)
		return err_set(e, ERR_NOMEM, "table of namespaces");
	if (getrandom(&s->seed, sizeof s->seed, 0) != sizeof s->seed) {
		seen_free(s);
		return err_os(e, "random seed");
	}
	s->dict = dict;
	s->own_cluster = own_cluster;
	*ret = s;
	return ERR_OK;
}

void seen_free(struct seen *s)
{
	free(s);
}

static struct str cluster_of(const struct seen *s, const struct endpoint *ep)
{
	struct str c = ep->cluster.len ? ep->cluster : s->own_cluster;

	return str_is(c, "default") ? STR("") : c;
}

static int compare(const struct seen *s, const struct endpoint *a, const struct endpoint *b)
{
	int c = str_cmp(cluster_of(s, a), cluster_of(s, b));

	return c ? c : str_cmp(a->namespace_, b->namespace_);
}

/* Capture thread: the slot of @ep's namespace, a new one if need be. */
static uint32_t find_slot(struct seen *s, const struct endpoint *ep, uint64_t now_s)
{
	struct str cluster = cluster_of(s, ep);
	uint64_t h = hash_bytes(ep->namespace_.p, ep->namespace_.len,
				hash_bytes(cluster.p, cluster.len, s->seed));
	uint32_t reuse = NO_SLOT;

	for (uint32_t i = 0; i < PROBES; i++) {
		uint32_t at = (uint32_t)(h + i) % SEEN_MAX;
		const struct endpoint *in =
			atomic_load_explicit(&s->slots[at].in, memory_order_relaxed);
		if (in && compare(s, in, ep) == 0)
			return at;
		uint64_t last_s = atomic_load_explicit(&s->slots[at].last_s, memory_order_relaxed);
		if (reuse == NO_SLOT && (!in || last_s + SEEN_FOR_S < now_s))
			reuse = at;
		if (!in)
			break;
	}
	if (reuse == NO_SLOT)
		return NO_SLOT;
	struct slot *slot = &s->slots[reuse];
	if (atomic_load_explicit(&slot->in, memory_order_relaxed))
		memset(s->cache, 0,
		       sizeof s->cache); /* endpoints that point here mean another namespace */
	/* A reader takes last_s first: the old one is too old for it, 0 means nothing, and the new
	 * one was stored after `in`. */
	atomic_store_explicit(&slot->last_s, 0, memory_order_release);
	atomic_store_explicit(&slot->in, ep, memory_order_release);
	return reuse;
}

void seen_mark(struct seen *s, struct endpoint_id ep, struct wall_ns now)
{
	uint64_t now_s = now.v / NS_PER_S;
	uint32_t at = ep.v % CACHE_SLOTS;

	if (!ep.v)
		return;
	if (s->cache[at].ep.v != ep.v) {
		const struct endpoint *content = flow_dict_get_endpoint(s->dict, ep);
		uint32_t slot =
			content && content->namespace_.len ? find_slot(s, content, now_s) : NO_SLOT;
		if (content && content->namespace_.len && slot == NO_SLOT) {
			counter_add(&s->unlisted, 1);
			return; /* full: try again with the next flow */
		}
		s->cache[at].ep = ep;
		s->cache[at].slot = slot;
	}
	if (s->cache[at].slot == NO_SLOT)
		return;
	struct slot *slot = &s->slots[s->cache[at].slot];
	if (atomic_load_explicit(&slot->last_s, memory_order_relaxed) < now_s)
		atomic_store_explicit(&slot->last_s, now_s, memory_order_release);
}

/* NULL when nothing is there, or not seen for too long. */
static const struct endpoint *read_slot(const struct slot *slot, uint64_t now_s)
{
	uint64_t last_s = atomic_load_explicit(&slot->last_s, memory_order_acquire);

	if (!last_s || last_s + SEEN_FOR_S < now_s)
		return NULL;
	return atomic_load_explicit(&slot->in, memory_order_acquire);
}

static int compare_for_sort(const void *a, const void *b, void *ctx)
{
	return compare(*(const struct seen *const *)ctx, *(const struct endpoint *const *)a,
		       *(const struct endpoint *const *)b);
}

uint64_t seen_unlisted(const struct seen *s)
{
	return counter_get(&s->unlisted);
}

void seen_list(const struct seen *s, struct wall_ns now,
	       void (*each)(void *ctx, struct str cluster, struct str ns), void *ctx)
{
	const struct endpoint **list = malloc(SEEN_MAX * sizeof *list);
	size_t n = 0;

	for (size_t i = 0; list && i < SEEN_MAX; i++) {
		const struct endpoint *in = read_slot(&s->slots[i], now.v / NS_PER_S);
		if (in)
			list[n++] = in;
	}
	if (n)
		qsort_r(list, n, sizeof *list, compare_for_sort, &s);
	for (size_t i = 0; i < n; i++)
		each(ctx, cluster_of(s, list[i]), list[i]->namespace_);
	free(list);
}
