#include "observer/upstream/resume.h"

#include "base/map.h"

/* What came, in the order it came; the oldest is overwritten. */
struct item {
	uint64_t print; /* fingerprint of node, id and time; 0: an empty place */
	uint64_t time;  /* 0 unknown */
	uint32_t node;
};

struct node {
	struct str name;    /* lives in the map */
	uint64_t high;      /* newest time */
	uint64_t forgotten; /* newest time among what is remembered no more */
	uint64_t proved;    /* the take that last recognised something of it */
	bool is_broken;     /* its stream broke, and has not got beyond @high since */
	bool is_sure;       /* … but the seam was seen, or its gap told */
};

struct resume {
	uint64_t seed, taken;
	/* @size items; @table of twice as many places holds their indices plus one */
	struct item *items;
	uint32_t *table;
	size_t size;
	uint64_t next; /* items put in all */
	struct map *names;
	struct node *nodes; /* nodes[0]: those that there was no room for */
	size_t node_count, node_cap;
};

enum err_code resume_new(size_t remembered, uint64_t seed, struct resume **ret, struct err *e)
{
	if (!remembered || remembered > 1U << 30 || (remembered & (remembered - 1)))
		return err_set(e, ERR_INVALID, "%zu ids to remember", remembered);
	AUTO(resume_free) struct resume *r = calloc(1, sizeof *r);
	if (!r)
		return err_set(e, ERR_NOMEM, "resume");
	r->seed = seed;
	r->size = remembered;
	r->items = calloc(remembered, sizeof *r->items);
	r->table = calloc(2 * remembered, sizeof *r->table);
	r->nodes = calloc(1, sizeof *r->nodes);
	if (!r->items || !r->table || !r->nodes)
		return err_set(e, ERR_NOMEM, "resume");
	r->nodes[0].name = STR("");
	r->node_count = r->node_cap = 1;
	enum err_code code = map_new(RESUME_NODES_MAX, seed, &r->names, e);
	if (code != ERR_OK)
		return code;
	*ret = TAKE(r);
	return ERR_OK;
}

void resume_free(struct resume *r)
{
	if (!r)
		return;
	map_free(r->names);
	free(r->nodes);
	free(r->table);
	free(r->items);
	free(r);
}

/* ---- what is remembered: open addressing by fingerprint */

static size_t home(const struct resume *r, uint64_t print)
{
	return print & (2 * r->size - 1);
}

/* The place of @print, or the empty one where it would go. */
static size_t place_of(const struct resume *r, uint64_t print)
{
	size_t at = home(r, print);

	while (r->table[at] && r->items[r->table[at] - 1].print != print)
		at = (at + 1) & (2 * r->size - 1);
	return at;
}

/* Empties a place and moves up what was pushed beyond it (Knuth, TAOCP 3, 6.4 R). */
static void take_out(struct resume *r, size_t hole)
{
	size_t mask = 2 * r->size - 1;

	for (size_t at = (hole + 1) & mask; r->table[at]; at = (at + 1) & mask) {
		size_t from = home(r, r->items[r->table[at] - 1].print);
		if (((at - from) & mask) >= ((at - hole) & mask)) {
			r->table[hole] = r->table[at];
			hole = at;
		}
	}
	r->table[hole] = 0;
}

static void remember(struct resume *r, uint64_t print, uint32_t node, uint64_t time)
{
	size_t at = r->next++ & (r->size - 1);
	struct item *item = &r->items[at];

	if (item->print) {
		struct node *n = &r->nodes[item->node];
		/* what a clock that was set back left behind is no bound */
		if (item->time > n->forgotten && item->time <= n->high)
			n->forgotten = item->time;
		take_out(r, place_of(r, item->print));
	}
	*item = (struct item){ print, time, node };
	r->table[place_of(r, print)] = (uint32_t)at + 1;
}

/* ---- nodes */

static uint32_t node_of(struct resume *r, struct str name)
{
	uint32_t i;
	struct str key;

	if (map_get(r->names, name, &i))
		return i;
	if (name.len > RESUME_NAME_BYTES)
		return 0;
	if (r->node_count == r->node_cap) {
		size_t cap = 2 * r->node_cap;
		struct node *nodes = realloc(r->nodes, cap * sizeof *nodes);
		if (!nodes)
			return 0;
		r->nodes = nodes;
		r->node_cap = cap;
	}
	i = (uint32_t)r->node_count;
	if (map_put(r->names, name, i, &key, NULL) != ERR_OK)
		return 0;
	r->nodes[i] = (struct node){ .name = key };
	r->node_count++;
	return i;
}

static void see_time(struct node *n, uint64_t time)
{
	if (time > n->high) {
		n->high = time;
		n->is_broken = false; /* beyond the seam */
	} else if (!n->is_broken && n->high - time > RESUME_OVERLAP_NS) {
		n->high = time; /* its clock was set back */
		n->forgotten = 0;
	}
}

/* Never 0. */
static uint64_t fingerprint(const struct resume *r, uint32_t node, struct str id,
			    struct wall_ns time)
{
	const uint64_t key[] = { hash_bytes(id.p, id.len, r->seed), time.v, node };
	uint64_t print = hash_bytes(key, sizeof key, r->seed);

	return print ? print : 1;
}

bool resume_take(struct resume *r, struct str node, struct str id, struct wall_ns time,
		 bool *ret_has_gap, struct resume_gap *ret_gap)
{
	uint32_t i = node_of(r, node);
	struct node *n = &r->nodes[i];
	uint64_t print = fingerprint(r, i, id, time);

	*ret_has_gap = false;
	r->taken++;
	if (!time.v)
		return true;
	bool is_seen = r->table[place_of(r, print)] != 0;
	if (!is_seen && n->is_broken && time.v <= n->forgotten)
		is_seen = true;
	if (is_seen) {
		n->proved = r->taken;
		n->is_sure = true;
		return false;
	}
	if (n->is_broken && !n->is_sure) {
		*ret_has_gap = n->high > 0;
		*ret_gap = (struct resume_gap){ n->name,
						{ n->high },
						{ time.v > n->high ? time.v : n->high } };
		n->is_sure = true;
	}
	remember(r, print, i, time.v);
	see_time(n, time.v);
	return true;
}

static void break_one(struct node *n)
{
	n->is_broken = true;
	n->is_sure = false;
}

void resume_break(struct resume *r)
{
	for (size_t i = 0; i < r->node_count; i++)
		break_one(&r->nodes[i]);
}

void resume_break_node(struct resume *r, struct str node, uint64_t not_before)
{
	uint32_t i;

	if (map_get(r->names, node, &i) && r->nodes[i].proved <= not_before)
		break_one(&r->nodes[i]);
}

uint64_t resume_taken(const struct resume *r)
{
	return r->taken;
}

bool resume_since(const struct resume *r, struct wall_ns now, struct wall_ns *ret)
{
	uint64_t newest = 0, since = UINT64_MAX;

	for (size_t i = 0; i < r->node_count; i++)
		newest = r->nodes[i].high > newest ? r->nodes[i].high : newest;
	for (size_t i = 0; i < r->node_count; i++) {
		const struct node *n = &r->nodes[i];
		if (!n->high || newest - n->high > RESUME_QUIET_NS)
			continue;
		uint64_t from = n->high > RESUME_OVERLAP_NS ? n->high - RESUME_OVERLAP_NS : 0;
		/* nothing before that would be recognised */
		from = from > n->forgotten ? from : n->forgotten;
		since = from < since ? from : since;
	}
	if (since == UINT64_MAX)
		return false;
	uint64_t latest = now.v > RESUME_OVERLAP_NS ? now.v - RESUME_OVERLAP_NS : 0;
	ret->v = since < latest ? since : latest;
	return true;
}

bool resume_next_gap(struct resume *r, struct wall_ns now, struct resume_gap *ret)
{
	for (size_t i = 0; i < r->node_count; i++) {
		struct node *n = &r->nodes[i];
		if (!n->is_broken || n->is_sure || !n->high)
			continue;
		n->is_sure = true;
		*ret = (struct resume_gap){ n->name, { n->high }, now };
		return true;
	}
	return false;
}

size_t resume_nodes(const struct resume *r)
{
	return r->node_count - 1;
}
