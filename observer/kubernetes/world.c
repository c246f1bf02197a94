#include "observer/kubernetes/world.h"

#include "base/map.h"
#include "observer/kubernetes/thing.h"
#include "observer/name/said.h"

enum { IDENTITY_HOST = 1, IDENTITY_REMOTE_NODE = 6, IDENTITY_KUBE_API_SERVER = 7 };
enum { API_SLICES_MAX = 64 };

struct table {
	struct kube_thing **buckets;
	size_t room, count; /* room: a power of two */
	uint64_t generation;
};

struct kube_world {
	char *cluster, *node;
	struct kube_reading reading;
	struct table things[KUBE_KINDS];
	struct kube_labels **sets; /* label sets of pods */
	size_t set_room, set_count;
	uint64_t left_out, views;
	unsigned dirt;
	bool uses_services, uses_port_names; /* some policy does */
};

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
	const char *p = (const char *)(set->list + set->count);

	return memcmp(p, text.p, text.len) == 0 && !p[text.len];
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
	uint64_t hash = hash_bytes(text.p, text.len, 0);
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
	*set = (struct kube_labels){ .hash = hash, .next = *bucket, .refs = 1, .count = count };
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

static uint64_t hash_of(struct str namespace_, struct str name)
{
	return hash_bytes(name.p, name.len, hash_bytes(namespace_.p, namespace_.len, 1));
}

static struct kube_thing **find(struct table *t, struct str namespace_, struct str name)
{
	static struct kube_thing *none;
	uint64_t hash = hash_of(namespace_, name);

	if (!t->room)
		return &none;
	struct kube_thing **at = &t->buckets[hash & (t->room - 1)];
	while (*at && !((*at)->hash == hash && str_eq((*at)->name, name) &&
			str_eq((*at)->namespace_, namespace_)))
		at = &(*at)->next;
	return at;
}

static bool grow(struct table *t)
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

enum kube_bounds { TEXT_MAX = 4 << 20 };

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
	w->reading = (struct kube_reading){ w->cluster, w->node, buf_init(TEXT_MAX),
					    buf_init(TEXT_MAX) };
	*ret = TAKE(w);
	return ERR_OK;
}

void kube_world_free(struct kube_world *w)
{
	if (!w)
		return;
	for (int k = 0; k < KUBE_KINDS; k++) {
		struct table *t = &w->things[k];
		for (size_t i = 0; i < t->room; i++)
			for (struct kube_thing *next, *at = t->buckets[i]; at; at = next) {
				next = at->next;
				thing_free(w, at);
			}
		free(t->buckets);
	}
	free(w->sets);
	buf_done(&w->reading.text);
	buf_done(&w->reading.label_text);
	free(w->cluster);
	free(w->node);
	free(w);
}

/* ---- changes */

static void soil(struct kube_world *w, enum kube_kind kind, const struct kube_thing *t)
{
	switch (kind) {
	case KUBE_PODS:
		w->dirt |= KUBE_DIRTY_NAMES;
		if (t->json.len && w->uses_port_names)
			w->dirt |= KUBE_DIRTY_POLICIES;
		break;
	case KUBE_NAMESPACES:
		w->dirt |= KUBE_DIRTY_NAMES | KUBE_DIRTY_POLICIES;
		break;
	case KUBE_SERVICES:
		w->dirt |= KUBE_DIRTY_NAMES | (w->uses_services ? KUBE_DIRTY_POLICIES : 0);
		break;
	case KUBE_SLICES:
		w->dirt |= (t->flags & KUBE_API_SERVER ? KUBE_DIRTY_NAMES : 0) |
			   (w->uses_services ? KUBE_DIRTY_POLICIES : 0);
		break;
	case KUBE_NODES:
	case KUBE_CILIUM_ENDPOINTS:
	case KUBE_CILIUM_IDENTITIES:
		w->dirt |= KUBE_DIRTY_NAMES;
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
}

void kube_world_begin(struct kube_world *w, enum kube_kind kind)
{
	w->things[kind].generation++;
}

/* Takes @new. */
static bool place(struct kube_world *w, enum kube_kind kind, struct kube_thing *new)
{
	struct table *t = &w->things[kind];

	if (t->count >= t->room && !grow(t))
		return false;
	new->hash = hash_of(new->namespace_, new->name);
	new->generation = t->generation;
	struct kube_thing **at = find(t, new->namespace_, new->name), *old = *at;
	if (!old && t->count == KUBE_THINGS_MAX)
		return false;
	if (old && old->content == new->content) {
		old->generation = t->generation;
		thing_free(w, new);
		return true;
	}
	soil(w, kind, new);
	if (old)
		soil(w, kind, old);
	new->next = old ? old->next : NULL;
	*at = new;
	t->count += !old;
	if (old)
		thing_free(w, old);
	return true;
}

bool kube_world_put(struct kube_world *w, enum kube_kind kind, json_t *object)
{
	struct str labels;
	struct kube_thing *new = kube_thing_read(&w->reading, kind, object, &labels);

	if (new &&kind == KUBE_PODS)
		new->labels = set_of(w, labels);
	if (!new || (kind == KUBE_PODS && !new->labels) || !place(w, kind, new)) {
		w->left_out++;
		if (new)
			thing_free(w, new);
		return false;
	}
	return true;
}

static void remove_at(struct kube_world *w, enum kube_kind kind, struct kube_thing **at)
{
	struct kube_thing *old = *at;

	*at = old->next;
	w->things[kind].count--;
	soil(w, kind, old);
	thing_free(w, old);
}

void kube_world_remove(struct kube_world *w, enum kube_kind kind, const json_t *object)
{
	struct kube_thing **at = find(&w->things[kind], kube_metadata(object, "namespace"),
				      kube_metadata(object, "name"));

	if (*at)
		remove_at(w, kind, at);
}

void kube_world_end(struct kube_world *w, enum kube_kind kind)
{
	struct table *t = &w->things[kind];

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

/* ---- a view */

#define EACH_THING(w, kind, t)                                                                     \
	for (size_t t##_at = 0; t##_at < (w)->things[kind].room; t##_at++)                         \
		for (const struct kube_thing *t = (w)->things[kind].buckets[t##_at]; t; t = t->next)

static void add_labels(struct kube_view *v, const struct str *list, size_t count)
{
	for (size_t i = 0; i < count; i++)
		v->labels[v->label_count++] = list[i];
}

/* The labels of a pod with those of its namespace: once for all pods that share them. */
static void show_labels(struct kube_world *w, struct kube_view *v, const struct kube_thing *pod)
{
	struct kube_labels *set = pod->labels;

	if (set->view == w->views)
		return;
	const struct kube_thing *ns = *find(&w->things[KUBE_NAMESPACES], STR(""), pod->namespace_);
	set->view = w->views;
	set->from = v->label_count;
	add_labels(v, set->list, set->count);
	if (ns)
		add_labels(v, ns->own_labels, ns->own_label_count);
	set->shown = v->label_count - set->from;
}

static int cmp_label(const void *a, const void *b)
{
	return str_cmp(*(const struct str *)a, *(const struct str *)b);
}

/* Labels in order, each ended by NUL. */
static void put_sorted(struct buf *b, struct str *labels, size_t count)
{
	qsort(labels, count, sizeof *labels, cmp_label);
	buf_reset(b);
	for (size_t i = 0; i < count; i++) {
		buf_str_put(b, labels[i]);
		buf_char(b, 0);
	}
}

/* Numbers that Cilium gave, by label set. */
static enum err_code show_identities(struct kube_world *w, struct kube_view *v, struct map **ret,
				     struct err *e)
{
	size_t count = kube_world_count(w, KUBE_CILIUM_IDENTITIES), n = 0;
	AUTO(map_free) struct map *by_labels = NULL;
	enum err_code code = count ? map_new(count, 0, &by_labels, e) : ERR_OK;

	EACH_THING(w, KUBE_CILIUM_IDENTITIES, t)
	{
		struct str *labels = v->labels + v->label_count;
		uint32_t other;
		if (code != ERR_OK)
			break;
		v->identities[n++] =
			(struct name_identity){ t->identity, labels, t->own_label_count };
		add_labels(v, t->own_labels, t->own_label_count);
		put_sorted(&w->reading.text, labels, t->own_label_count);
		struct str key = buf_str(&w->reading.text);
		/* of two the lower, whatever order they come in */
		if (!map_get(by_labels, key, &other) || other > t->identity)
			code = map_put(by_labels, key, t->identity, NULL, e);
	}
	v->names.identity_count = n;
	*ret = TAKE(by_labels);
	return code;
}

/* That of the pod's CiliumEndpoint, else that of its labels, else 0. */
static uint32_t identity_of(struct kube_world *w, const struct kube_view *v, const struct map *ids,
			    const struct kube_thing *pod)
{
	const struct kube_thing *endpoint =
		*find(&w->things[KUBE_CILIUM_ENDPOINTS], pod->namespace_, pod->name);
	uint32_t identity = 0;

	if (endpoint && endpoint->identity)
		return endpoint->identity;
	if (ids) {
		put_sorted(&w->reading.text, v->labels + pod->labels->from, pod->labels->shown);
		(void)map_get(ids, buf_str(&w->reading.text), &identity);
	}
	return identity;
}

static void add_prefix(struct kube_view *v, const uint8_t ip[16], const struct endpoint *ep,
		       bool local)
{
	struct name_prefix *p = &v->prefixes[v->names.prefix_count++];

	*p = (struct name_prefix){ .bits = 128, .endpoint = *ep, .local = local };
	memcpy(p->ip, ip, 16);
}

/* Those that have an address first: not leaving, then younger. */
static int cmp_pods(const void *a, const void *b)
{
	const struct kube_thing *x = *(const struct kube_thing *const *)a;
	const struct kube_thing *y = *(const struct kube_thing *const *)b;
	int leaving = (int)(x->flags & KUBE_LEAVING) - (int)(y->flags & KUBE_LEAVING);
	int order = leaving ? leaving : str_cmp(y->created, x->created);

	order = order ? order : str_cmp(x->namespace_, y->namespace_);
	return order ? order : str_cmp(x->name, y->name);
}

static enum err_code show_pods(struct kube_world *w, struct kube_view *v, const struct map *ids,
			       struct err *e)
{
	size_t n = 0;
	AUTO(own_free)
	const struct kube_thing **pods = calloc(kube_world_count(w, KUBE_PODS) + 1, sizeof *pods);

	if (!pods)
		return err_set(e, ERR_NOMEM, "names of pods");
	EACH_THING(w, KUBE_PODS, t)
	{
		if (t->ip_count)
			pods[n++] = t;
	}
	qsort(pods, n, sizeof *pods, cmp_pods);
	for (size_t i = 0; i < n; i++) {
		const struct kube_thing *t = pods[i];
		show_labels(w, v, t);
		v->workloads[i] = (struct workload){ t->workload, t->workload_kind };
		const struct endpoint ep = {
			.identity = identity_of(w, v, ids, t),
			.namespace_ = t->namespace_,
			.pod = t->name,
			.labels = v->labels + t->labels->from,
			.label_count = t->labels->shown,
			.workloads = &v->workloads[i],
			.workload_count = t->workload.len ? 1 : 0,
		};
		for (size_t k = 0; k < t->ip_count; k++)
			add_prefix(v, t->ips[k], &ep, t->flags & KUBE_LOCAL);
	}
	return ERR_OK;
}

/* @apis: slices of the API server, few. */
static bool is_api_server(const struct kube_thing *const *apis, size_t count, const uint8_t ip[16])
{
	for (size_t a = 0; a < count; a++)
		for (size_t i = 0; i < apis[a]->ip_count; i++)
			if (memcmp(apis[a]->ips[i], ip, 16) == 0)
				return true;
	return false;
}

/* Nodes: host, remote-node, and which of them the API server runs on; then API servers that run
 * elsewhere. Equal addresses: the first counts. */
static void show_nodes(const struct kube_world *w, struct kube_view *v)
{
	static const struct str host[] = { STR("reserved:host"), STR("reserved:kube-apiserver") };
	static const struct str remote[] = { STR("reserved:remote-node"),
					     STR("reserved:kube-apiserver") };
	static const struct str world[] = { STR("reserved:kube-apiserver"), STR("reserved:world") };

	const struct kube_thing *apis[API_SLICES_MAX];
	size_t count = 0;

	EACH_THING(w, KUBE_SLICES, t)
	{
		if (t->flags & KUBE_API_SERVER && count < API_SLICES_MAX)
			apis[count++] = t;
	}
	EACH_THING(w, KUBE_NODES, t)
	{
		bool local = t->flags & KUBE_LOCAL;
		for (size_t i = 0; i < t->ip_count; i++) {
			bool api = is_api_server(apis, count, t->ips[i]);
			const struct endpoint ep = {
				.identity = local ? IDENTITY_HOST
					    : api ? IDENTITY_KUBE_API_SERVER
						  : IDENTITY_REMOTE_NODE,
				.labels = local ? host : remote,
				.label_count = api ? 2 : 1,
			};
			add_prefix(v, t->ips[i], &ep, false);
		}
	}
	EACH_THING(w, KUBE_SLICES, t)
	{
		const struct endpoint ep = { .labels = world, .label_count = ARRAY_LEN(world) };
		for (size_t i = 0; t->flags & KUBE_API_SERVER && i < t->ip_count; i++)
			add_prefix(v, t->ips[i], &ep, false);
	}
}

static void add_service(struct kube_view *v, const uint8_t ip[16], uint16_t port,
			const struct kube_thing *of)
{
	struct name_service *s = &v->services[v->names.service_count++];

	*s = (struct name_service){ .port = port,
				    .service = { .name = of->name, .namespace_ = of->namespace_ } };
	memcpy(s->ip, ip, 16);
}

static void show_services(const struct kube_world *w, struct kube_view *v)
{
	EACH_THING(w, KUBE_SERVICES, t)
	{
		for (size_t i = 0; i < t->ip_count; i++)
			for (size_t p = 0; p < t->port_count; p++)
				add_service(v, t->ips[i], t->ports[p], t);
	}
	EACH_THING(w, KUBE_NODES, node)
	{
		if (!(node->flags & KUBE_LOCAL))
			continue;
		EACH_THING(w, KUBE_SERVICES, t)
		{
			for (size_t i = 0; i < node->ip_count; i++)
				for (size_t p = 0; p < t->node_port_count; p++)
					add_service(v, node->ips[i], t->node_ports[p], t);
		}
	}
}

/* Rooms that all of it fits into. */
static enum err_code view_rooms(struct kube_world *w, struct kube_view *v, struct err *e)
{
	size_t prefixes = 1, services = 1, labels = 1, local_ips = 0, node_ports = 0;

	EACH_THING(w, KUBE_PODS, t)
	{
		prefixes += t->ip_count;
		if (t->ip_count && t->labels->view != w->views) {
			const struct kube_thing *ns =
				*find(&w->things[KUBE_NAMESPACES], STR(""), t->namespace_);
			labels += t->labels->count + (ns ? ns->own_label_count : 0);
			t->labels->view = w->views;
		}
	}
	EACH_THING(w, KUBE_NODES, t)
	{
		prefixes += t->ip_count;
		local_ips += t->flags & KUBE_LOCAL ? t->ip_count : 0;
	}
	EACH_THING(w, KUBE_SLICES, t)
	prefixes += t->ip_count;
	EACH_THING(w, KUBE_SERVICES, t)
	{
		services += (size_t)t->ip_count * t->port_count;
		node_ports += t->node_port_count;
	}
	EACH_THING(w, KUBE_CILIUM_IDENTITIES, t)
	labels += t->own_label_count;
	services += local_ips * node_ports;
	v->prefixes = calloc(prefixes, sizeof *v->prefixes);
	v->services = calloc(services, sizeof *v->services);
	v->labels = calloc(labels, sizeof *v->labels);
	v->workloads = calloc(kube_world_count(w, KUBE_PODS) + 1, sizeof *v->workloads);
	v->identities =
		calloc(kube_world_count(w, KUBE_CILIUM_IDENTITIES) + 1, sizeof *v->identities);
	if (!v->prefixes || !v->services || !v->labels || !v->workloads || !v->identities)
		return err_set(e, ERR_NOMEM, "names of %zu addresses", prefixes);
	return ERR_OK;
}

enum err_code kube_world_view(struct kube_world *w, struct kube_view *ret, struct err *e)
{
	struct kube_view v = { 0 };
	AUTO(map_free) struct map *ids = NULL;

	w->views++;
	enum err_code code = view_rooms(w, &v, e);
	w->views++;
	if (code == ERR_OK)
		code = show_identities(w, &v, &ids, e);
	if (code == ERR_OK)
		code = show_pods(w, &v, ids, e);
	if (code != ERR_OK) {
		kube_view_done(&v);
		return code;
	}
	show_nodes(w, &v);
	show_services(w, &v);
	v.names.prefixes = v.prefixes;
	v.names.services = v.services;
	v.names.identities = v.identities;
	*ret = v;
	return ERR_OK;
}

void kube_view_done(struct kube_view *v)
{
	free(v->prefixes);
	free(v->services);
	free(v->identities);
	free(v->workloads);
	free(v->labels);
	*v = (struct kube_view){ 0 };
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

static void each_of(struct kube_world *w, enum kube_kind kind,
		    void (*each)(void *ctx, enum kube_kind kind, struct str json), void *ctx)
{
	EACH_THING(w, kind, t)
	{
		if (t->json.len)
			each(ctx, kind, t->json);
	}
}

void kube_world_policies(struct kube_world *w,
			 void (*each)(void *ctx, enum kube_kind kind, struct str json), void *ctx)
{
	w->uses_services = w->uses_port_names = false;
	for (int k = KUBE_NETWORK_POLICIES; k <= KUBE_CIDR_GROUPS; k++) {
		EACH_THING(w, k, t)
		{
			w->uses_services |= mentions(t->json, "\"toServices\"");
			w->uses_port_names |= names_a_port(t->json);
		}
		each_of(w, (enum kube_kind)k, each, ctx);
	}
	each_of(w, KUBE_NAMESPACES, each, ctx);
	if (w->uses_services) {
		each_of(w, KUBE_SERVICES, each, ctx);
		each_of(w, KUBE_SLICES, each, ctx);
	}
	if (w->uses_port_names)
		each_of(w, KUBE_PODS, each, ctx);
}
