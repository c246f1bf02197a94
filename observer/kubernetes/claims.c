#include "observer/kubernetes/claims.h"

static struct kube_claim **bucket_of(const struct kube_claims *c, const uint8_t ip[16])
{
	return &c->buckets[hash_bytes(ip, 16, 0) & (c->room - 1)];
}

void kube_claims_done(struct kube_claims *c)
{
	for (size_t i = 0; i < c->room; i++)
		for (struct kube_claim *next, *at = c->buckets[i]; at; at = next) {
			next = at->next;
			free(at);
		}
	free(c->buckets);
	free(c->changed);
	*c = (struct kube_claims){ 0 };
}

static void note(struct kube_claims *c, const uint8_t ip[16])
{
	if (!c->changed)
		c->changed = calloc(KUBE_CHANGED_MAX, sizeof *c->changed);
	if (!c->changed || c->changed_count == KUBE_CHANGED_MAX)
		c->too_many = true;
	else
		memcpy(c->changed[c->changed_count++], ip, 16);
}

void kube_claims_touch(struct kube_claims *c, const struct kube_thing *thing)
{
	for (size_t i = 0; i < thing->ip_count; i++)
		note(c, thing->ips[i]);
}

static bool grow(struct kube_claims *c)
{
	size_t room = c->room ? c->room * 2 : 64;
	struct kube_claims to = { .buckets = calloc(room, sizeof(struct kube_claim *)),
				  .room = room };
	struct kube_claim *at;

	if (!to.buckets)
		return c->room > 0;
	for (size_t i = 0; i < c->room; i++)
		while ((at = c->buckets[i])) {
			struct kube_claim **bucket = bucket_of(&to, at->ip);
			c->buckets[i] = at->next;
			at->next = *bucket;
			*bucket = at;
		}
	free(c->buckets);
	c->buckets = to.buckets;
	c->room = room;
	return true;
}

static void remove_first(struct kube_claims *c, const struct kube_thing *thing, size_t count)
{
	for (size_t i = 0; i < count && c->room; i++) {
		struct kube_claim **at = bucket_of(c, thing->ips[i]), *old;
		while (*at && ((*at)->thing != thing || memcmp((*at)->ip, thing->ips[i], 16) != 0))
			at = &(*at)->next;
		old = *at;
		if (!old)
			continue;
		*at = old->next;
		free(old);
		c->count--;
	}
}

bool kube_claims_add(struct kube_claims *c, enum kube_kind kind, const struct kube_thing *thing)
{
	for (size_t i = 0; i < thing->ip_count; i++) {
		struct kube_claim *one = NULL;
		if (c->count < c->room || grow(c))
			one = malloc(sizeof *one);
		if (!one) {
			remove_first(c, thing, i);
			return false;
		}
		struct kube_claim **bucket = bucket_of(c, thing->ips[i]);
		*one = (struct kube_claim){ .next = *bucket, .thing = thing, .kind = kind };
		memcpy(one->ip, thing->ips[i], 16);
		*bucket = one;
		c->count++;
	}
	kube_claims_touch(c, thing);
	return true;
}

void kube_claims_remove(struct kube_claims *c, const struct kube_thing *thing)
{
	remove_first(c, thing, thing->ip_count);
	kube_claims_touch(c, thing);
}

static int rank(enum kube_kind kind)
{
	return kind == KUBE_PODS ? 0 : kind == KUBE_NODES ? 1 : 2;
}

/* Below 0: @x comes before @y. */
static int compare(const struct kube_claim *x, const struct kube_claim *y)
{
	const struct kube_thing *a = x->thing, *b = y->thing;
	int order = rank(x->kind) - rank(y->kind);

	if (!order && x->kind == KUBE_PODS) {
		order = (int)(a->flags & KUBE_LEAVING) - (int)(b->flags & KUBE_LEAVING);
		order = order ? order : str_cmp(b->created, a->created);
	} else if (!order) {
		order = (int)(b->flags & KUBE_LOCAL) - (int)(a->flags & KUBE_LOCAL);
	}
	order = order ? order : str_cmp(a->namespace_, b->namespace_);
	return order ? order : str_cmp(a->name, b->name);
}

const struct kube_claim *kube_claims_best(const struct kube_claims *c, const uint8_t ip[16])
{
	const struct kube_claim *best = NULL;

	for (const struct kube_claim *at = c->room ? *bucket_of(c, ip) : NULL; at; at = at->next)
		if (memcmp(at->ip, ip, 16) == 0 && (!best || compare(at, best) < 0))
			best = at;
	return best;
}

bool kube_claims_is_api_server(const struct kube_claims *c, const uint8_t ip[16])
{
	for (const struct kube_claim *at = c->room ? *bucket_of(c, ip) : NULL; at; at = at->next)
		if (at->kind == KUBE_SLICES && memcmp(at->ip, ip, 16) == 0)
			return true;
	return false;
}

static int compare_ips(const void *a, const void *b)
{
	return memcmp(a, b, 16);
}

void kube_claims_sort_changed(struct kube_claims *c)
{
	size_t kept = 0;

	if (!c->changed_count)
		return;
	qsort(c->changed, c->changed_count, sizeof *c->changed, compare_ips);
	for (size_t i = 0; i < c->changed_count; i++)
		if (!kept || memcmp(c->changed[kept - 1], c->changed[i], 16) != 0)
			memmove(c->changed[kept++], c->changed[i], 16);
	c->changed_count = kept;
}

void kube_claims_forget_changes(struct kube_claims *c)
{
	c->changed_count = 0;
	c->too_many = false;
}
