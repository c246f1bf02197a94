#include "observer/metrics/gone.h"

#include "flow/dict.h"
#include "observer/name/name.h"

/* Endpoints of the dictionary: they live as long as it does. */
struct list {
	const struct endpoint **items;
	size_t count, room;
	bool failed;
};

struct waiting {
	const struct endpoint *pod;
	struct mono_ns until;
};

struct gone {
	struct name_table *names;
	const struct flow_dict *dict;
	uint64_t generation; /* of the names that @present is of */
	struct list present; /* sorted by namespace and pod, each once */
	struct waiting *waiting;
	size_t waiting_count, waiting_room;
};

enum err_code gone_new(struct name_table *names, const struct flow_dict *dict, struct gone **ret,
		       struct err *e)
{
	struct gone *g = calloc(1, sizeof *g);

	if (!g)
		return err_set(e, ERR_NOMEM, "pods of metrics");
	g->names = names;
	g->dict = dict;
	*ret = g;
	return ERR_OK;
}

void gone_free(struct gone *g)
{
	if (!g)
		return;
	free(g->present.items);
	free(g->waiting);
	free(g);
}

static int compare(const struct endpoint *a, const struct endpoint *b)
{
	int by_namespace = str_cmp(a->namespace_, b->namespace_);

	return by_namespace ? by_namespace : str_cmp(a->pod, b->pod);
}

static int by_name(const void *a, const void *b)
{
	return compare(*(const struct endpoint *const *)a, *(const struct endpoint *const *)b);
}

struct gathering {
	const struct flow_dict *dict;
	struct list list;
};

static void gather(void *ctx, struct endpoint_id id)
{
	struct gathering *g = ctx;
	const struct endpoint *ep = flow_dict_get_endpoint(g->dict, id);

	if (!ep || !ep->pod.len || g->list.failed)
		return;
	if (g->list.count == g->list.room) {
		size_t room = g->list.room ? g->list.room * 2 : 64;
		const struct endpoint **p =
			reallocarray(g->list.items, room, sizeof(const struct endpoint *));
		if (!p) {
			g->list.failed = true;
			return;
		}
		g->list.items = p;
		g->list.room = room;
	}
	g->list.items[g->list.count++] = ep;
}

static void sort_once(struct list *l)
{
	size_t n = 0;

	if (l->count)
		qsort(l->items, l->count, sizeof(const struct endpoint *), by_name);
	for (size_t i = 0; i < l->count; i++)
		if (!n || compare(l->items[n - 1], l->items[i]) != 0)
			l->items[n++] = l->items[i];
	l->count = n;
}

static bool is_present(const struct list *l, const struct endpoint *pod)
{
	return l->count &&
	       bsearch(&pod, l->items, l->count, sizeof(const struct endpoint *), by_name);
}

/* Without memory its series stay: nothing worse. */
static void wait_for(struct gone *g, const struct endpoint *pod, struct mono_ns now)
{
	if (g->waiting_count == g->waiting_room) {
		size_t room = g->waiting_room ? g->waiting_room * 2 : 64;
		struct waiting *p = reallocarray(g->waiting, room, sizeof *p);
		if (!p)
			return;
		g->waiting = p;
		g->waiting_room = room;
	}
	g->waiting[g->waiting_count++] =
		(struct waiting){ pod, { now.v + GONE_AFTER_S * NS_PER_S } };
}

static void look_at_names(struct gone *g, uint64_t generation, struct mono_ns now)
{
	struct gathering fresh = { .dict = g->dict };
	size_t kept = 0;

	name_endpoints(g->names, gather, &fresh);
	if (fresh.list.failed) {
		free(fresh.list.items);
		return; /* the next look tries again */
	}
	sort_once(&fresh.list);
	/* who waits and is back, waits no more */
	for (size_t i = 0; i < g->waiting_count; i++)
		if (!is_present(&fresh.list, g->waiting[i].pod))
			g->waiting[kept++] = g->waiting[i];
	g->waiting_count = kept;
	for (size_t i = 0; i < g->present.count; i++)
		if (!is_present(&fresh.list, g->present.items[i]))
			wait_for(g, g->present.items[i], now);
	free(g->present.items);
	g->present = fresh.list;
	g->generation = generation;
}

void gone_look(struct gone *g, struct mono_ns now,
	       void (*forget)(void *ctx, struct str namespace_, struct str pod), void *ctx)
{
	uint64_t generation = name_generation(g->names);
	size_t kept = 0;

	if (generation != g->generation)
		look_at_names(g, generation, now);
	for (size_t i = 0; i < g->waiting_count; i++) {
		struct waiting w = g->waiting[i];
		if (w.until.v <= now.v)
			forget(ctx, w.pod->namespace_, w.pod->pod);
		else
			g->waiting[kept++] = w;
	}
	g->waiting_count = kept;
}
