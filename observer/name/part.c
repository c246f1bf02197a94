#include "observer/name/part.h"

#include "observer/name/told.h"

/* The index holds places in the list plus one, 0 is free; at most half full. */

void part_done(struct snapshot_part *p)
{
	free(p->prefixes);
	free(p->index);
	free(p->services);
	free(p->identities);
	free(p->cgroups);
	told_unref(p->told);
	*p = (struct snapshot_part){ 0 };
}

/* The place in the index that has the prefix, or the free one where it belongs. */
static size_t place_of(const struct snapshot_part *p, struct ip128 ip, uint8_t bits)
{
	for (size_t i = snapshot_hash(ip, bits) & p->index_mask;; i = (i + 1) & p->index_mask) {
		if (!p->index[i])
			return i;
		const struct snapshot_prefix *x = &p->prefixes[p->index[i] - 1];
		if (x->ip.lo == ip.lo && x->ip.hi == ip.hi && x->bits == bits)
			return i;
	}
}

static enum err_code no_memory(const struct snapshot_part *p, struct err *e)
{
	return err_set(e, ERR_NOMEM, "names of %zu addresses", p->prefix_count);
}

/* An index that @count prefixes fit into, and nothing in it. */
static uint32_t *new_index(size_t count, size_t *ret_mask)
{
	size_t slots = 16;

	while (slots < count * 2)
		slots *= 2;
	*ret_mask = slots - 1;
	return calloc(slots, sizeof(uint32_t));
}

enum err_code part_index(struct snapshot_part *p,
			 void (*dropped)(void *ctx, const struct snapshot_prefix *x), void *ctx,
			 struct err *e)
{
	size_t kept = 0, mask;
	uint32_t *index = new_index(p->prefix_count, &mask);

	if (!index)
		return no_memory(p, e);
	free(p->index);
	p->index = index;
	p->index_mask = mask;
	for (size_t i = 0; i < p->prefix_count; i++) {
		const struct snapshot_prefix x = p->prefixes[i];
		size_t at = place_of(p, x.ip, x.bits);
		if (index[at]) {
			dropped(ctx, &x);
			continue;
		}
		p->prefixes[kept++] = x;
		index[at] = (uint32_t)kept;
	}
	p->prefix_count = p->prefix_room = kept;
	return ERR_OK;
}

const struct snapshot_prefix *part_find(const struct snapshot_part *p, struct ip128 ip,
					uint8_t bits)
{
	if (!p->index)
		return NULL;
	size_t at = place_of(p, ip, bits);
	return p->index[at] ? &p->prefixes[p->index[at] - 1] : NULL;
}

static bool grow(struct snapshot_part *p)
{
	size_t room = p->prefix_count + p->prefix_count / 4 + 64, mask;

	if (p->prefix_count >= p->prefix_room) {
		struct snapshot_prefix *list = realloc(p->prefixes, room * sizeof *list);
		if (!list)
			return false;
		p->prefixes = list;
		p->prefix_room = room;
	}
	if (p->index && (p->prefix_count + 1) * 2 <= p->index_mask + 1)
		return true;
	uint32_t *index = new_index(room, &mask);
	if (!index)
		return false;
	free(p->index);
	p->index = index;
	p->index_mask = mask;
	for (size_t i = 0; i < p->prefix_count; i++)
		index[place_of(p, p->prefixes[i].ip, p->prefixes[i].bits)] = (uint32_t)i + 1;
	return true;
}

enum err_code part_set(struct snapshot_part *p, const struct snapshot_prefix *x, struct err *e)
{
	if (!grow(p))
		return no_memory(p, e);
	size_t at = place_of(p, x->ip, x->bits);
	if (!p->index[at])
		p->index[at] = (uint32_t)++p->prefix_count;
	p->prefixes[p->index[at] - 1] = *x;
	return ERR_OK;
}

/* Frees place @hole: what probed past it moves up, so that no search ends early. */
static void close_hole(struct snapshot_part *p, size_t hole)
{
	for (size_t i = (hole + 1) & p->index_mask; p->index[i]; i = (i + 1) & p->index_mask) {
		const struct snapshot_prefix *x = &p->prefixes[p->index[i] - 1];
		size_t home = snapshot_hash(x->ip, x->bits) & p->index_mask;
		if (((i - home) & p->index_mask) < ((i - hole) & p->index_mask))
			continue; /* its home lies behind the hole */
		p->index[hole] = p->index[i];
		hole = i;
	}
	p->index[hole] = 0;
}

bool part_remove(struct snapshot_part *p, struct ip128 ip, uint8_t bits)
{
	if (!p->index)
		return false;
	size_t at = place_of(p, ip, bits), last = p->prefix_count - 1;
	if (!p->index[at])
		return false;
	size_t gap = p->index[at] - 1;
	close_hole(p, at);
	if (gap != last) { /* the last one of the list takes its place */
		const struct snapshot_prefix x = p->prefixes[last];
		p->index[place_of(p, x.ip, x.bits)] = (uint32_t)gap + 1;
		p->prefixes[gap] = x;
	}
	p->prefix_count--;
	return true;
}
