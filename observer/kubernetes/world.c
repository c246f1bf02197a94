#include "observer/kubernetes/world.h"

#include <sys/random.h>

#include "observer/kubernetes/ids.h"
#include "observer/kubernetes/local_pods.h"

const char *kube_kind_name(enum kube_kind kind)
{
	static const char *const names[] = {
		[KUBE_NAMESPACES] = "Namespace",
		[KUBE_NODES] = "Node",
		[KUBE_PODS] = "Pod",
		[KUBE_SERVICES] = "Service",
		[KUBE_SLICES] = "EndpointSlice",
		[KUBE_NETWORK_POLICIES] = "NetworkPolicy",
		[KUBE_CILIUM_POLICIES] = "CiliumNetworkPolicy",
		[KUBE_CLUSTERWIDE_POLICIES] = "CiliumClusterwideNetworkPolicy",
		[KUBE_CIDR_GROUPS] = "CiliumCIDRGroup",
		[KUBE_CILIUM_ENDPOINTS] = "CiliumEndpoint",
		[KUBE_CILIUM_IDENTITIES] = "CiliumIdentity",
	};
	_Static_assert(ARRAY_LEN(names) == KUBE_KINDS, "a kind without a name");

	return (size_t)kind < KUBE_KINDS ? names[kind] : "";
}

bool kube_kind_is_policy(enum kube_kind kind)
{
	return kind >= KUBE_NETWORK_POLICIES && kind <= KUBE_CIDR_GROUPS;
}

enum kube_kind kube_kind_of(const json_t *object)
{
	const char *kind = json_string_value(json_object_get(object, "kind"));
	int k = 0;

	while (k < KUBE_KINDS && !(kind && strcmp(kind, kube_kind_name((enum kube_kind)k)) == 0))
		k++;
	return (enum kube_kind)k;
}

/* ---- label sets */

static void set_unref(struct kube_world *w, struct kube_labels *set)
{
	if (!set || --set->refs)
		return;
	struct kube_labels **at = &w->sets[set->hash & (w->set_room - 1)];
	while (*at != set)
		at = &(*at)->next;
	*at = set->next;
	w->set_count--;
	free(set);
}

static bool set_is(const struct kube_labels *set, struct str text)
{
	return str_eq(str_n(set->list + set->count, set->bytes), text);
}

static bool sets_grow(struct kube_world *w)
{
	size_t room = w->set_room ? w->set_room * 2 : 256;
	struct kube_labels **to = calloc(room, sizeof(struct kube_labels *)), *set;

	if (!to)
		return w->set_room > 0;
	for (size_t i = 0; i < w->set_room; i++)
		while ((set = w->sets[i])) {
			w->sets[i] = set->next;
			set->next = to[set->hash & (room - 1)];
			to[set->hash & (room - 1)] = set;
		}
	free(w->sets);
	w->sets = to;
	w->set_room = room;
	return true;
}

/* @text: each label ended by NUL. One reference more; NULL: no memory. */
static struct kube_labels *set_of(struct kube_world *w, struct str text)
{
	uint64_t hash = hash_bytes(text.p, text.len, w->seed);
	size_t count = 0;

	if (w->set_count >= w->set_room && !sets_grow(w))
		return NULL;
	struct kube_labels **bucket = &w->sets[hash & (w->set_room - 1)];
	for (struct kube_labels *s = *bucket; s; s = s->next)
		if (s->hash == hash && set_is(s, text)) {
			s->refs++;
			return s;
		}
	for (size_t i = 0; i < text.len; i++)
		count += !text.p[i];
	struct kube_labels *set = malloc(sizeof *set + count * sizeof(struct str) + text.len + 1);
	if (!set)
		return NULL;
	*set = (struct kube_labels){
		.hash = hash, .next = *bucket, .refs = 1, .count = count, .bytes = text.len
	};
	char *p = (char *)(set->list + count);
	memcpy(p, text.p, text.len);
	p[text.len] = 0;
	for (size_t i = 0; i < count; i++) {
		set->list[i] = str_of(p);
		p += set->list[i].len + 1;
	}
	*bucket = set;
	w->set_count++;
	return set;
}

/* ---- things by name */

static uint64_t hash_of(const struct kube_table *t, struct str namespace_, struct str name)
{
	return hash_bytes(name.p, name.len, hash_bytes(namespace_.p, namespace_.len, t->seed));
}

struct kube_thing **kube_find(struct kube_table *t, struct str namespace_, struct str name)
{
	static struct kube_thing *none;
	uint64_t hash = hash_of(t, namespace_, name);

	if (!t->room)
		return &none;
	struct kube_thing **at = &t->buckets[hash & (t->room - 1)];
	while (*at && !((*at)->hash == hash && str_eq((*at)->name, name) &&
			str_eq((*at)->namespace_, namespace_)))
		at = &(*at)->next;
	return at;
}

static bool grow(struct kube_table *t)
{
	size_t room = t->room ? t->room * 2 : 64;
	struct kube_thing **to = calloc(room, sizeof(struct kube_thing *)), *thing;

	if (!to)
		return t->room > 0;
	for (size_t i = 0; i < t->room; i++)
		while ((thing = t->buckets[i])) {
			t->buckets[i] = thing->next;
			thing->next = to[thing->hash & (room - 1)];
			to[thing->hash & (room - 1)] = thing;
		}
	free(t->buckets);
	t->buckets = to;
	t->room = room;
	return true;
}

static void thing_free(struct kube_world *w, struct kube_thing *t)
{
	set_unref(w, t->labels);
	free(t);
}

/* ---- construction */

enum kube_bounds { TEXT_MAX = 4 << 20, PORT_BYTES = KUBE_PORTS_MAX * (int)sizeof(uint16_t) };

enum err_code kube_world_new(const char *cluster, const char *node, struct kube_world **ret,
			     struct err *e)
{
	AUTO(kube_world_free) struct kube_world *w = calloc(1, sizeof *w);
	if (!w)
		return err_set(e, ERR_NOMEM, "Kubernetes");
	w->cluster = str_dup(str_of(cluster));
	w->node = str_dup(str_of(node));
	if (!w->cluster || !w->node)
		return err_set(e, ERR_NOMEM, "Kubernetes");
	if (getrandom(&w->seed, sizeof w->seed, 0) != sizeof w->seed)
		return err_os(e, "random seed");
	for (int k = 0; k < KUBE_KINDS; k++)
		w->things[k].seed = w->seed;
	w->reading = (struct kube_reading){ .cluster = w->cluster,
					    .node = w->node,
					    .seed = w->seed,
					    .text = buf_init(TEXT_MAX),
					    .label_text = buf_init(TEXT_MAX),
					    .ips = buf_init((size_t)KUBE_IPS_MAX * 16),
					    .ports = buf_init(PORT_BYTES),
					    .node_ports = buf_init(PORT_BYTES) };
	*ret = TAKE(w);
	return ERR_OK;
}

void kube_world_free(struct kube_world *w)
{
	if (!w)
		return;
	for (int k = 0; k < KUBE_KINDS; k++) {
		struct kube_table *t = &w->things[k];
		for (size_t i = 0; i < t->room; i++)
			for (struct kube_thing *next, *at = t->buckets[i]; at; at = next) {
				next = at->next;
				thing_free(w, at);
			}
		free(t->buckets);
	}
	free(w->sets);
	kube_claims_done(&w->claims);
	map_free(w->ids);
	kube_reading_done(&w->reading);
	free(w->cluster);
	free(w->node);
	free(w);
}

/* ---- changes */

/* Addresses of pods in a namespace are called otherwise when its labels change. */
static void touch_namespace(struct kube_world *w, struct str namespace_)
{
	EACH_THING(w, KUBE_PODS, t)
	{
		if (str_eq(t->namespace_, namespace_))
			kube_claims_touch(&w->claims, t);
	}
}

static bool same_json(const struct kube_thing *old, const struct kube_thing *new)
{
	return str_eq(old ? old->json : STR(""), new ? new->json : STR(""));
}

/* @old is gone, or has become @new; either may be NULL. */
static void soil(struct kube_world *w, enum kube_kind kind, const struct kube_thing *old,
		 const struct kube_thing *new)
{
	const struct kube_thing *any = new ? new : old, *pod;

	switch (kind) {
	case KUBE_PODS:
		if (w->uses_port_names && !same_json(old, new))
			w->dirt |= KUBE_DIRTY_POLICIES;
		break;
	case KUBE_NAMESPACES:
		touch_namespace(w, any->name);
		w->dirt |= KUBE_DIRTY_POLICIES;
		break;
	case KUBE_SERVICES:
		w->wants_services = true;
		w->dirt |= w->uses_services && !same_json(old, new) ? KUBE_DIRTY_POLICIES : 0;
		break;
	case KUBE_SLICES:
		w->dirt |= w->uses_services ? KUBE_DIRTY_POLICIES : 0;
		break;
	case KUBE_NODES:
		w->wants_services |= any->flags & KUBE_LOCAL;
		break;
	case KUBE_CILIUM_ENDPOINTS:
		pod = *kube_find(&w->things[KUBE_PODS], any->namespace_, any->name);
		if (pod)
			kube_claims_touch(&w->claims, pod);
		break;
	case KUBE_CILIUM_IDENTITIES:
		kube_ids_change(w, old, new);
		break;
	case KUBE_NETWORK_POLICIES:
	case KUBE_CILIUM_POLICIES:
	case KUBE_CLUSTERWIDE_POLICIES:
	case KUBE_CIDR_GROUPS:
		w->dirt |= KUBE_DIRTY_POLICIES;
		break;
	case KUBE_KINDS:
		break;
	}
	if (w->claims.changed_count || w->claims.too_many || w->wants_services || w->wants_all ||
	    w->changed_id_count)
		w->dirt |= KUBE_DIRTY_NAMES;
}

/* Whose addresses mean something. */
static bool claims(enum kube_kind kind, const struct kube_thing *t)
{
	return kind == KUBE_PODS || kind == KUBE_NODES ||
	       (kind == KUBE_SLICES && t->flags & KUBE_API_SERVER);
}

void kube_world_begin(struct kube_world *w, enum kube_kind kind)
{
	w->things[kind].generation++;
}

/* Takes @new. */
static bool place(struct kube_world *w, enum kube_kind kind, struct kube_thing *new)
{
	struct kube_table *t = &w->things[kind];

	if (t->count >= t->room && !grow(t))
		return false;
	new->hash = hash_of(t, new->namespace_, new->name);
	new->generation = t->generation;
	struct kube_thing **at = kube_find(t, new->namespace_, new->name), *old = *at;
	if (!old && t->count == KUBE_THINGS_MAX)
		return false;
	if (old && old->content == new->content) {
		old->generation = t->generation;
		thing_free(w, new);
		return true;
	}
	if (claims(kind, new) && !kube_claims_add(&w->claims, kind, new))
		return false;
	new->next = old ? old->next : NULL;
	*at = new;
	t->count += !old;
	if (old && claims(kind, old))
		kube_claims_remove(&w->claims, old);
	soil(w, kind, old, new);
	if (old)
		thing_free(w, old);
	return true;
}

void kube_world_tell_local(struct kube_world *w, struct local_pods *local)
{
	w->local = local;
}

static bool is_local(const struct kube_thing *t)
{
	return t && t->flags & KUBE_LOCAL;
}

/* A name may go from one node to another between two lists. */
static void tell_local(struct kube_world *w, const json_t *pod, bool is_here)
{
	struct str namespace_ = kube_metadata(pod, "namespace"), name = kube_metadata(pod, "name");

	if (w->local && is_here)
		local_pods_put(w->local, namespace_, name, kube_metadata(pod, "uid"));
	else if (w->local)
		local_pods_remove(w->local, namespace_, name);
}

bool kube_world_put(struct kube_world *w, enum kube_kind kind, json_t *object)
{
	struct str labels;
	struct kube_thing *new = kube_thing_read(&w->reading, kind, object, &labels);
	bool is_here = is_local(new); /* it may be gone once it has its place */

	if (new &&kind == KUBE_PODS)
		new->labels = set_of(w, labels);
	if (!new || (kind == KUBE_PODS && !new->labels) || !place(w, kind, new)) {
		w->left_out++;
		if (new)
			thing_free(w, new);
		/* what it was before, it is no more */
		kube_world_remove(w, kind, object);
		return false;
	}
	if (kind == KUBE_PODS)
		tell_local(w, object, is_here);
	return true;
}

static void remove_at(struct kube_world *w, enum kube_kind kind, struct kube_thing **at)
{
	struct kube_thing *old = *at;

	*at = old->next;
	w->things[kind].count--;
	if (kind == KUBE_PODS && w->local)
		local_pods_remove(w->local, old->namespace_, old->name);
	if (claims(kind, old))
		kube_claims_remove(&w->claims, old);
	soil(w, kind, old, NULL);
	thing_free(w, old);
}

void kube_world_remove(struct kube_world *w, enum kube_kind kind, const json_t *object)
{
	struct kube_thing **at = kube_find(&w->things[kind], kube_metadata(object, "namespace"),
					   kube_metadata(object, "name"));

	if (*at)
		remove_at(w, kind, at);
}

void kube_world_end(struct kube_world *w, enum kube_kind kind)
{
	struct kube_table *t = &w->things[kind];

	for (size_t i = 0; i < t->room; i++)
		for (struct kube_thing **at = &t->buckets[i]; *at;) {
			if ((*at)->generation != t->generation)
				remove_at(w, kind, at);
			else
				at = &(*at)->next;
		}
}

size_t kube_world_count(const struct kube_world *w, enum kube_kind kind)
{
	return w->things[kind].count;
}

uint64_t kube_world_left_out(const struct kube_world *w)
{
	return w->left_out;
}

unsigned kube_world_dirt(struct kube_world *w)
{
	unsigned dirt = w->dirt;

	w->dirt = 0;
	return dirt;
}

/* ---- policies */

static bool mentions(struct str json, const char *what)
{
	return memmem(json.p, json.len, what, strlen(what));
}

/* "port":"http", as no number begins. */
static bool names_a_port(struct str json)
{
	static const char before[] = "\"port\":\"";

	for (;;) {
		const char *at = memmem(json.p, json.len, before, sizeof before - 1);
		if (!at)
			return false;
		json = str_from(json, (size_t)(at - json.p) + sizeof before - 1);
		if (json.len && !(*json.p >= '0' && *json.p <= '9'))
			return true;
	}
}

static int by_name(const void *x, const void *y)
{
	const struct kube_thing *const *a = x, *const *b = y;
	int order = str_cmp((*a)->namespace_, (*b)->namespace_);

	return order ? order : str_cmp((*a)->name, (*b)->name);
}

const struct kube_thing **kube_in_order(const struct kube_world *w, enum kube_kind kind)
{
	size_t n = 0;
	const struct kube_thing **list =
		calloc(w->things[kind].count + 1, sizeof(struct kube_thing *));

	if (!list)
		return NULL;
	EACH_THING(w, kind, t)
	list[n++] = t;
	qsort(list, n, sizeof *list, by_name);
	return list;
}

struct told {
	void (*each)(void *ctx, enum kube_kind kind, struct str json);
	void *ctx;
	bool failed; /* for want of memory */
};

static void tell(struct kube_world *w, enum kube_kind kind, struct told *to)
{
	AUTO(own_free) const struct kube_thing **list = kube_in_order(w, kind);

	to->failed |= !list;
	for (size_t i = 0; list && list[i]; i++)
		if (list[i]->json.len)
			to->each(to->ctx, kind, list[i]->json);
}

void kube_needs_of(struct str json, struct kube_needs *needs)
{
	needs->services |= mentions(json, "\"toServices\"");
	needs->port_names |= names_a_port(json);
}

enum err_code kube_world_policies(struct kube_world *w, const struct kube_needs *more,
				  void (*each)(void *ctx, enum kube_kind kind, struct str json),
				  void *ctx, struct err *e)
{
	struct told to = { each, ctx, false };
	struct kube_needs needs = *more;

	for (int k = KUBE_NETWORK_POLICIES; k <= KUBE_CIDR_GROUPS; k++) {
		EACH_THING(w, k, t)
		{
			kube_needs_of(t->json, &needs);
		}
		tell(w, (enum kube_kind)k, &to);
	}
	w->uses_services = needs.services;
	w->uses_port_names = needs.port_names;
	tell(w, KUBE_NAMESPACES, &to);
	if (w->uses_services) {
		tell(w, KUBE_SERVICES, &to);
		tell(w, KUBE_SLICES, &to);
	}
	if (w->uses_port_names)
		tell(w, KUBE_PODS, &to);
	return to.failed ? err_set(e, ERR_NOMEM, "policies of Kubernetes") : ERR_OK;
}
