/*
 * Names made of objects: of all, or of those addresses of which something changed.
 */
#include <stdio.h>

#include "observer/kubernetes/ids.h"
#include "observer/name/said.h"

enum { IDENTITY_HOST = 1, IDENTITY_REMOTE_NODE = 6, IDENTITY_KUBE_API_SERVER = 7 };

/* ---- labels and identities */

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
	const struct kube_thing *ns =
		*kube_find(&w->things[KUBE_NAMESPACES], STR(""), pod->namespace_);
	set->view = w->views;
	set->from = v->label_count;
	add_labels(v, set->list, set->count);
	if (ns)
		add_labels(v, ns->own_labels, ns->own_label_count);
	set->shown = v->label_count - set->from;
}

/* That of the pod's CiliumEndpoint, else that of its labels, else 0. */
static uint32_t identity_of(struct kube_world *w, struct kube_view *v, const struct kube_thing *pod)
{
	const struct kube_thing *endpoint =
		*kube_find(&w->things[KUBE_CILIUM_ENDPOINTS], pod->namespace_, pod->name);

	if (endpoint && endpoint->identity)
		return endpoint->identity;
	return kube_ids_find(w, v->labels + pod->labels->from, pod->labels->shown);
}

static void show_identity(struct kube_view *v, const struct kube_thing *t)
{
	v->identities[v->names.identity_count++] =
		(struct name_identity){ t->identity, v->labels + v->label_count,
					t->own_label_count };
	add_labels(v, t->own_labels, t->own_label_count);
}

static const struct kube_thing *changed_identity(struct kube_world *w, size_t i)
{
	char name[16];
	int len = snprintf(name, sizeof name, "%u", w->changed_ids[i]);

	return *kube_find(&w->things[KUBE_CILIUM_IDENTITIES], STR(""), str_n(name, (size_t)len));
}

/* Of those that changed; what is gone has no labels any more. */
static void show_changed_identities(struct kube_world *w, struct kube_view *v)
{
	for (size_t i = 0; i < w->changed_id_count; i++) {
		const struct kube_thing *t = changed_identity(w, i);

		if (t)
			show_identity(v, t);
		else
			v->identities[v->names.identity_count++] =
				(struct name_identity){ .identity = w->changed_ids[i] };
	}
}

/* ---- addresses */

static struct endpoint pod_endpoint(struct kube_world *w, struct kube_view *v,
				    const struct kube_thing *pod)
{
	struct workload *workload = &v->workloads[v->workload_count++];

	show_labels(w, v, pod);
	*workload = (struct workload){ pod->workload, pod->workload_kind };
	return (struct endpoint){
		.identity = identity_of(w, v, pod),
		.namespace_ = pod->namespace_,
		.pod = pod->name,
		.labels = v->labels + pod->labels->from,
		.label_count = pod->labels->shown,
		.workloads = workload,
		.workload_count = pod->workload.len ? 1 : 0,
	};
}

/* Nodes: host, remote-node, and which of them the API server runs on. */
static struct endpoint node_endpoint(bool local, bool api)
{
	static const struct str host[] = { STR("reserved:host"), STR("reserved:kube-apiserver") };
	static const struct str remote[] = { STR("reserved:remote-node"),
					     STR("reserved:kube-apiserver") };

	return (struct endpoint){
		.identity = local ? IDENTITY_HOST
			    : api ? IDENTITY_KUBE_API_SERVER
				  : IDENTITY_REMOTE_NODE,
		.labels = local ? host : remote,
		.label_count = api ? 2 : 1,
	};
}

/* API servers that run elsewhere. */
static struct endpoint api_endpoint(void)
{
	static const struct str world[] = { STR("reserved:kube-apiserver"), STR("reserved:world") };

	return (struct endpoint){ .labels = world, .label_count = ARRAY_LEN(world) };
}

static void show_address(struct kube_world *w, struct kube_view *v, const struct kube_claim *c)
{
	struct name_prefix *p = &v->prefixes[v->names.prefix_count++];
	bool local = c->thing->flags & KUBE_LOCAL;

	*p = (struct name_prefix){ .bits = 128 };
	memcpy(p->ip, c->ip, 16);
	if (c->kind == KUBE_PODS) {
		p->endpoint = pod_endpoint(w, v, c->thing);
		p->local = local;
	} else if (c->kind == KUBE_NODES) {
		p->endpoint = node_endpoint(local, kube_claims_is_api_server(&w->claims, c->ip));
	} else {
		p->endpoint = api_endpoint();
	}
}

/* ---- services */

static void add_service(struct kube_view *v, const uint8_t ip[16], uint16_t port,
			const struct kube_thing *of)
{
	struct name_service *s = &v->services[v->names.service_count++];

	*s = (struct name_service){ .port = port,
				    .service = { .name = of->name, .namespace_ = of->namespace_ } };
	memcpy(s->ip, ip, 16);
}

static void show_cluster_addresses(struct kube_view *v, const struct kube_thing *t)
{
	for (size_t i = 0; i < t->ip_count; i++)
		for (size_t p = 0; p < t->port_count; p++)
			add_service(v, t->ips[i], t->ports[p], t);
}

static void show_node_ports(struct kube_view *v, const struct kube_thing *node,
			    const struct kube_thing *t)
{
	for (size_t i = 0; i < node->ip_count; i++)
		for (size_t p = 0; p < t->node_port_count; p++)
			add_service(v, node->ips[i], t->node_ports[p], t);
}

static enum err_code show_services(const struct kube_world *w, struct kube_view *v, struct err *e)
{
	AUTO(own_free) const struct kube_thing **services = kube_in_order(w, KUBE_SERVICES);

	if (!services)
		return err_set(e, ERR_NOMEM, "names of services");
	for (size_t i = 0; services[i]; i++)
		show_cluster_addresses(v, services[i]);
	EACH_THING(w, KUBE_NODES, node)
	{
		for (size_t i = 0; node->flags & KUBE_LOCAL && services[i]; i++)
			show_node_ports(v, node, services[i]);
	}
	return ERR_OK;
}

/* ---- rooms that all of it fits into */

/* Labels that showing this pod adds to those of the ones before. */
static size_t labels_of(struct kube_world *w, const struct kube_thing *pod)
{
	if (pod->labels->view == w->views)
		return 0;
	pod->labels->view = w->views;
	const struct kube_thing *ns =
		*kube_find(&w->things[KUBE_NAMESPACES], STR(""), pod->namespace_);
	return pod->labels->count + (ns ? ns->own_label_count : 0);
}

static enum err_code address_rooms(struct kube_world *w, const struct kube_claim *const *list,
				   size_t count, size_t labels, struct kube_view *v, struct err *e)
{
	size_t pods = 0;

	w->views++;
	for (size_t i = 0; i < count; i++)
		if (list[i]->kind == KUBE_PODS) {
			labels += labels_of(w, list[i]->thing);
			pods++;
		}
	w->views++;
	v->prefixes = calloc(count + 1, sizeof *v->prefixes);
	v->labels = calloc(labels + 1, sizeof *v->labels);
	v->workloads = calloc(pods + 1, sizeof *v->workloads);
	if (!v->prefixes || !v->labels || !v->workloads)
		return err_set(e, ERR_NOMEM, "names of %zu addresses", count);
	return ERR_OK;
}

static enum err_code service_rooms(const struct kube_world *w, struct kube_view *v, struct err *e)
{
	size_t services = 1, local_ips = 0, node_ports = 0;

	EACH_THING(w, KUBE_NODES, t)
	local_ips += t->flags & KUBE_LOCAL ? t->ip_count : 0;
	EACH_THING(w, KUBE_SERVICES, t)
	{
		services += (size_t)t->ip_count * t->port_count;
		node_ports += t->node_port_count;
	}
	services += local_ips * node_ports;
	v->services = calloc(services, sizeof *v->services);
	return v->services ? ERR_OK : err_set(e, ERR_NOMEM, "names of %zu services", services);
}

/* ---- views */

/* The claim that counts of each address. */
static size_t list_all(const struct kube_world *w, const struct kube_claim **list)
{
	size_t n = 0;

	for (size_t i = 0; i < w->claims.room; i++)
		for (const struct kube_claim *c = w->claims.buckets[i]; c; c = c->next)
			if (kube_claims_best(&w->claims, c->ip) == c)
				list[n++] = c;
	return n;
}

/* Of the changed ones; those that nobody has are @v's gone. */
static size_t list_changed(const struct kube_world *w, struct kube_view *v,
			   const struct kube_claim **list)
{
	const struct kube_claims *c = &w->claims;
	size_t n = 0;

	for (size_t i = 0; i < c->changed_count; i++) {
		const struct kube_claim *best = kube_claims_best(c, c->changed[i]);
		if (best) {
			list[n++] = best;
			continue;
		}
		struct name_gone *gone = &v->gone[v->gone_count++];
		gone->bits = 128;
		memcpy(gone->ip, c->changed[i], 16);
	}
	return n;
}

static enum err_code show(struct kube_world *w, const struct kube_claim *const *list, size_t count,
			  size_t labels, struct kube_view *v, struct err *e)
{
	enum err_code code = kube_ids_know(w, e);

	if (code == ERR_OK)
		code = address_rooms(w, list, count, labels, v, e);
	if (code == ERR_OK && v->has_services)
		code = service_rooms(w, v, e);
	if (code != ERR_OK)
		return code;
	for (size_t i = 0; i < count; i++)
		show_address(w, v, list[i]);
	if (v->has_services && show_services(w, v, e) != ERR_OK)
		return e->code;
	v->names.prefixes = v->prefixes;
	v->names.services = v->services;
	return ERR_OK;
}

static void told(struct kube_world *w)
{
	kube_claims_forget_changes(&w->claims);
	w->wants_all = w->wants_services = false;
	w->was_told = true;
	w->changed_id_count = 0;
}

bool kube_world_wants_all(const struct kube_world *w)
{
	return w->wants_all || w->claims.too_many;
}

enum err_code kube_world_view(struct kube_world *w, struct kube_view *ret, struct err *e)
{
	size_t identities = kube_world_count(w, KUBE_CILIUM_IDENTITIES), labels = 0;
	struct kube_view v = { .has_services = true };
	AUTO(own_free)
	const struct kube_claim **list = calloc(w->claims.count + 1, sizeof *list);

	v.identities = calloc(identities + 1, sizeof *v.identities);
	enum err_code code =
		list && v.identities ? ERR_OK : err_set(e, ERR_NOMEM, "names of Kubernetes");
	EACH_THING(w, KUBE_CILIUM_IDENTITIES, t)
	labels += t->own_label_count;
	if (code == ERR_OK)
		code = show(w, list, list_all(w, list), labels, &v, e);
	if (code != ERR_OK) {
		kube_view_done(&v);
		return code;
	}
	EACH_THING(w, KUBE_CILIUM_IDENTITIES, t)
	show_identity(&v, t);
	v.names.identities = v.identities;
	told(w);
	*ret = v;
	return ERR_OK;
}

enum err_code kube_world_changes(struct kube_world *w, struct kube_view *ret, struct err *e)
{
	struct kube_view v = { .has_services = w->wants_services };
	size_t labels = 0;

	kube_claims_sort_changed(&w->claims);
	AUTO(own_free)
	const struct kube_claim **list = calloc(w->claims.changed_count + 1, sizeof *list);
	v.gone = calloc(w->claims.changed_count + 1, sizeof *v.gone);
	v.identities = calloc(w->changed_id_count + 1, sizeof *v.identities);
	enum err_code code = list && v.gone && v.identities
				     ? ERR_OK
				     : err_set(e, ERR_NOMEM, "names of Kubernetes");
	for (size_t i = 0; i < w->changed_id_count; i++) {
		const struct kube_thing *t = changed_identity(w, i);
		labels += t ? t->own_label_count : 0;
	}
	if (code == ERR_OK)
		code = show(w, list, list_changed(w, &v, list), labels, &v, e);
	if (code != ERR_OK) {
		kube_view_done(&v);
		return code;
	}
	show_changed_identities(w, &v);
	v.names.identities = v.identities;
	told(w);
	*ret = v;
	return ERR_OK;
}

void kube_view_done(struct kube_view *v)
{
	free(v->prefixes);
	free(v->gone);
	free(v->services);
	free(v->identities);
	free(v->workloads);
	free(v->labels);
	*v = (struct kube_view){ 0 };
}
