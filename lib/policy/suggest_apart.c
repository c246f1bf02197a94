/* Labels that tell workloads apart, and names for their policies. */
#include <stdio.h>

#include "policy/suggest_inside.h"

static void join(struct suggest *s, uint32_t a, uint32_t b)
{
	struct suggest_group *to = &s->groups[a];
	const struct suggest_group *from = &s->groups[b];
	const struct label_set shared = { b, from->shared, from->shared_count };

	group_share(to, &shared);
	to->is_subject |= from->is_subject;
	to->nameless |= from->nameless;
	for (size_t i = 0; i < s->group_count; i++)
		if (s->groups[i].leader == b)
			s->groups[i].leader = a;
}

static uint32_t leader_of(const struct suggest *s, uint32_t set)
{
	return s->groups[s->sets[set].group].leader;
}

/* Of sets of other pods of the namespace, those that @p is among stay. */
static size_t keep_with(const struct suggest *s, const struct pair *p, uint32_t *sets, size_t n)
{
	size_t kept = 0;

	for (size_t i = 0; i < n; i++)
		if (label_set_has(&s->sets[sets[i]], p))
			sets[kept++] = sets[i];
	return kept;
}

/* The telling label, and of the others those that leave fewer pods. *@ret: in @sets, room for all
 * of them, what is left of others. */
static size_t choose(const struct suggest *s, struct suggest_group *g, uint32_t leader,
		     uint32_t *sets)
{
	size_t n = 0;

	for (uint32_t i = 0; i < s->set_count; i++)
		if (leader_of(s, i) != leader &&
		    str_eq(s->groups[leader_of(s, i)].namespace_, g->namespace_))
			sets[n++] = i;
	g->chosen_count = 0;
	for (size_t i = 0; i < g->shared_count && (n || !i); i++) {
		size_t left = keep_with(s, &g->shared[i], sets, n);

		if (!i || left < n)
			g->chosen[g->chosen_count++] = g->shared[i];
		n = left;
	}
	return n;
}

static enum err_code settle(struct suggest *s, uint32_t leader, uint32_t *sets, struct err *e)
{
	struct suggest_group *g = &s->groups[leader];
	size_t n;

	free(g->chosen);
	g->chosen = calloc(g->shared_count + 1, sizeof *g->chosen);
	if (!g->chosen)
		return err_set(e, ERR_NOMEM, "labels of pods");
	while ((n = choose(s, g, leader, sets)) > 0)
		for (size_t i = 0; i < n; i++)
			if (leader_of(s, sets[i]) != leader)
				join(s, leader, leader_of(s, sets[i]));
	return ERR_OK;
}

struct keyed {
	struct str key;
	uint32_t group;
};

static int by_key(const void *a, const void *b)
{
	return str_cmp(((const struct keyed *)a)->key, ((const struct keyed *)b)->key);
}

/* A name as Kubernetes takes it. */
static size_t put_name(char *out, size_t room, struct str name)
{
	size_t n = 0;

	for (size_t i = 0; i < name.len && n < room; i++) {
		char c = name.p[i];

		if (c >= 'A' && c <= 'Z')
			c = (char)(c + 'a' - 'A');
		if ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'))
			out[n++] = c;
		else if (n && out[n - 1] != '-')
			out[n++] = '-';
	}
	while (n && out[n - 1] == '-')
		n--;
	return n;
}

static bool is_taken(const struct suggest *s, const struct keyed *before, size_t count,
		     const struct suggest_group *g)
{
	for (size_t i = 0; i < count; i++) {
		const struct suggest_group *other = &s->groups[before[i].group];

		if (str_eq(other->namespace_, g->namespace_) && !strcmp(other->policy, g->policy))
			return true;
	}
	return false;
}

static void name_policy(const struct suggest *s, const struct keyed *before, size_t count,
			struct suggest_group *g)
{
	enum { NUMBER_BYTES = 8 };
	char base[sizeof g->policy - NUMBER_BYTES];
	size_t n = put_name(base, sizeof base, g->name.len ? g->name : g->pod);

	if (!n)
		n = put_name(base, sizeof base, STR("workload"));
	(void)snprintf(g->policy, sizeof g->policy, "%.*s", (int)n, base);
	for (unsigned i = 2; is_taken(s, before, count, g); i++)
		(void)snprintf(g->policy, sizeof g->policy, "%.*s-%u", (int)n, base, i);
}

enum err_code suggest_tell_apart(struct suggest *s, struct err *e)
{
	AUTO(own_free) struct keyed *order = calloc(s->group_count + 1, sizeof *order);
	AUTO(own_free) uint32_t *sets = calloc(s->set_count + 1, sizeof *sets);

	if (!order || !sets)
		return err_set(e, ERR_NOMEM, "labels of pods");
	for (size_t i = 0; i < s->group_count; i++)
		order[i] = (struct keyed){ s->groups[i].key, (uint32_t)i };
	qsort(order, s->group_count, sizeof *order, by_key);
	for (size_t i = 0; i < s->group_count; i++)
		if (s->groups[order[i].group].leader == order[i].group &&
		    settle(s, order[i].group, sets, e) != ERR_OK)
			return e->code;
	for (size_t i = 0; i < s->group_count; i++)
		name_policy(s, order, i, &s->groups[order[i].group]);
	return ERR_OK;
}

static void put_one(const struct suggest_group *g, struct buf *out)
{
	enum { SHOWN_MAX = 253 }; /* bytes; Kubernetes has no longer names */

	buf_str_put(out, g->namespace_);
	buf_char(out, '/');
	buf_str_put(out, utf8_upto(g->name.len ? g->name : g->pod, SHOWN_MAX));
	if (!g->kind.len)
		return;
	buf_lit(out, " (");
	buf_str_put(out, utf8_upto(g->kind, SHOWN_MAX));
	buf_char(out, ')');
}

static bool is_same_name(const struct suggest_group *a, const struct suggest_group *b)
{
	return str_eq(a->name, b->name) && str_eq(a->kind, b->kind) &&
	       (a->name.len || str_eq(a->pod, b->pod));
}

size_t group_put(const struct suggest *s, uint32_t leader, struct buf *out)
{
	AUTO(own_free) struct keyed *order = calloc(s->group_count + 1, sizeof *order);
	const struct suggest_group *last = NULL;
	size_t n = 0, names = 0;

	out->failed |= !order;
	if (!order)
		return 0;
	for (size_t i = 0; i < s->group_count; i++)
		if (s->groups[i].leader == leader)
			order[n++] = (struct keyed){ s->groups[i].key, (uint32_t)i };
	qsort(order, n, sizeof *order, by_key);
	for (size_t i = 0; i < n; i++) {
		const struct suggest_group *g = &s->groups[order[i].group];

		if (last && is_same_name(last, g))
			continue;
		last = g;
		if (names++ >= SUGGEST_TOLD_MAX)
			continue;
		buf_str_put(out, names > 1 ? STR(", ") : STR(""));
		put_one(g, out);
	}
	if (names > SUGGEST_TOLD_MAX)
		buf_printf(out, " and %zu more", names - SUGGEST_TOLD_MAX);
	if (!s->groups[leader].chosen_count)
		buf_lit(out, " [no labels in common: all pods of the namespace]");
	return names;
}
