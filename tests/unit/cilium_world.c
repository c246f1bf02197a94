#include "cilium_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

enum { PREFIXES = 256, LABELS = 1024, SERVICES = 64, IDENTITIES = 64, CGROUPS = 64, TOLD = 64 };

static struct str text_of(const json_t *object, const char *key)
{
	const json_t *v = json_object_get(object, key);

	return v ? str_n(json_string_value(v), json_string_length(v)) : STR("");
}

static uint64_t number_of(const json_t *object, const char *key)
{
	double v = json_real_value(json_object_get(object, key));

	return v >= 18446744073709551615.0 ? UINT64_MAX : (uint64_t)v;
}

/* What a view borrows while it is put together. */
struct draft {
	struct str labels[LABELS];
	size_t label_count;
	struct workload workloads[PREFIXES];
	struct name_prefix prefixes[PREFIXES];
	size_t prefix_count;
	struct name_service services[SERVICES];
	size_t service_count;
	struct name_identity identities[IDENTITIES];
	size_t identity_count;
	struct name_cgroup cgroups[CGROUPS];
	size_t cgroup_count;
	struct name_told told[TOLD];
	size_t told_count;
};

static const struct str *take_labels(struct draft *d, const json_t *list, size_t *ret_count)
{
	const struct str *first = &d->labels[d->label_count];

	*ret_count = json_array_size(list);
	assert_in_range(d->label_count + *ret_count, 0, LABELS);
	for (size_t i = 0; i < *ret_count; i++) {
		const json_t *v = json_array_get(list, i);
		d->labels[d->label_count++] = str_n(json_string_value(v), json_string_length(v));
	}
	return first;
}

static struct name_prefix *new_prefix(struct draft *d, struct str text)
{
	struct name_prefix *p = &d->prefixes[d->prefix_count++];
	size_t slash = str_find(text, '/');
	uint8_t bits = 128;

	assert_in_range(d->prefix_count, 1, PREFIXES);
	assert_true(ip_parse(str_upto(text, slash), p->ip));
	if (slash < text.len) {
		assert_true(parse_u8(str_from(text, slash + 1), &bits));
		bits = ip_is_v4(p->ip) ? (uint8_t)(bits + 96) : bits;
	}
	p->bits = bits;
	p->verbatim = true;
	return p;
}

/* What an address alone is known for: the pod, where someone says so. */
static void take_metadata(const json_t *world, struct str ip, struct endpoint *ep)
{
	size_t i;
	json_t *m;

	json_array_foreach(json_object_get(world, "k8s_metadata"), i, m)
	{
		if (!str_eq(text_of(m, "ip"), ip))
			continue;
		ep->namespace_ = text_of(m, "namespace");
		ep->pod = text_of(m, "pod_name");
	}
}

static void take_endpoint(struct draft *d, const json_t *world, const json_t *in)
{
	const json_t *workload = json_object_get(in, "workload");
	struct endpoint ep = { .id = (uint32_t)number_of(in, "id"),
			       .identity = (uint32_t)number_of(in, "identity"),
			       .namespace_ = text_of(in, "namespace"),
			       .pod = text_of(in, "pod_name") };
	size_t i;
	json_t *ip;

	ep.labels = take_labels(d, json_object_get(in, "labels"), &ep.label_count);
	if (json_is_object(workload)) {
		struct workload *w = &d->workloads[d->prefix_count];
		*w = (struct workload){ text_of(workload, "name"), text_of(workload, "kind") };
		ep.workloads = w;
		ep.workload_count = 1;
	}
	json_array_foreach(json_object_get(in, "ips"), i, ip)
	{
		struct name_prefix *p = new_prefix(d, str_of(json_string_value(ip)));
		p->endpoint = ep;
		p->local = true;
		struct endpoint cached = { 0 };
		take_metadata(world, str_of(json_string_value(ip)), &cached);
		p->pod_not_cached = !cached.pod.len;
	}
}

/* Endpoints before everything else: of two equal prefixes the first counts. */
static void take_addresses(struct draft *d, const json_t *world)
{
	size_t i;
	json_t *v;

	json_array_foreach(json_object_get(world, "endpoints"), i, v) take_endpoint(d, world, v);
	json_array_foreach(json_object_get(world, "ipcache"), i, v)
	{
		struct str prefix = text_of(v, "prefix");
		struct name_prefix *p = new_prefix(d, prefix);
		p->endpoint.identity = (uint32_t)number_of(v, "identity");
		if (p->bits == 128)
			take_metadata(world, str_upto(prefix, str_find(prefix, '/')), &p->endpoint);
	}
	json_array_foreach(json_object_get(world, "k8s_metadata"), i, v)
	{
		struct name_prefix *p = new_prefix(d, text_of(v, "ip"));
		take_metadata(world, text_of(v, "ip"), &p->endpoint);
	}
}

/* Frontends are looked up as TCP first. */
static void take_services(struct draft *d, const json_t *world, const char *protocol)
{
	size_t i;
	json_t *v;

	json_array_foreach(json_object_get(world, "services"), i, v)
	{
		struct name_service *s = &d->services[d->service_count];
		if (!str_is(text_of(v, "protocol"), protocol))
			continue;
		assert_in_range(++d->service_count, 1, SERVICES);
		assert_true(ip_parse(text_of(v, "ip"), s->ip));
		s->port = (uint16_t)number_of(v, "port");
		s->service = (struct service){ .name = text_of(v, "name"),
					       .namespace_ = text_of(v, "namespace") };
	}
}

static void take_numbers(struct draft *d, const json_t *world)
{
	size_t i, k;
	json_t *v, *ip;

	json_array_foreach(json_object_get(world, "identities"), i, v)
	{
		struct name_identity *id = &d->identities[d->identity_count++];
		id->identity = (uint32_t)number_of(v, "id");
		id->labels = take_labels(d, json_object_get(v, "labels"), &id->label_count);
	}
	json_array_foreach(json_object_get(world, "cgroups"), i, v)
	{
		struct name_cgroup *c = &d->cgroups[d->cgroup_count++];
		c->cgroup = number_of(v, "id");
		json_array_foreach(json_object_get(v, "ips"), k, ip)
		{
			uint8_t bytes[16];
			if (ip_parse(str_of(json_string_value(ip)), bytes))
				memcpy(ip_is_v4(bytes) ? c->ip4 : c->ip6, bytes, sizeof bytes);
		}
	}
}

/* What endpoints here have resolved: every second name of an address is one that the agent says,
 * the others were learned of answers. */
static void take_names(struct draft *d, const struct cilium_world *w)
{
	size_t i, k;
	json_t *endpoint, *names, *name;
	const char *ip;

	json_array_foreach(json_object_get(w->json, "endpoints"), i, endpoint)
		json_object_foreach(json_object_get(endpoint, "dns"), ip, names)
			json_array_foreach(names, k, name)
	{
		struct name_told *t = &d->told[d->told_count];
		if (k % 2 == 0)
			continue;
		assert_in_range(++d->told_count, 1, TOLD);
		assert_true(ip_parse(str_of(ip), t->ip));
		t->endpoint = (uint32_t)number_of(endpoint, "id");
		t->name = str_of(json_string_value(name));
		t->until.v = UINT64_MAX;
	}
}

static void learn_names(const struct cilium_world *w)
{
	const struct wall_ns long_ago = { NS_PER_S };
	size_t i, k;
	json_t *endpoint, *names, *name;
	const char *ip;

	json_array_foreach(json_object_get(w->json, "endpoints"), i, endpoint)
	{
		const json_t *own = json_array_get(json_object_get(endpoint, "ips"), 0);
		uint8_t client[16], address[16];
		assert_true(ip_parse(str_of(json_string_value(own)), client));
		json_object_foreach(json_object_get(endpoint, "dns"), ip, names)
			json_array_foreach(names, k, name)
		{
			assert_true(ip_parse(str_of(ip), address));
			if (k % 2 == 0)
				name_learn(w->names, client, address,
					   str_of(json_string_value(name)), UINT32_MAX, long_ago);
		}
	}
}

struct cilium_world cilium_world_open(const char *path)
{
	json_error_t why;
	struct err e;
	struct cilium_world w = { 0 };
	const struct name_config config = { .cluster = "kind-1", .node = "node-a" };

	/* one number is beyond jansson's integers */
	w.json = json_load_file(path, JSON_DECODE_INT_AS_REAL, &why);
	if (!w.json)
		fail_msg("%s: %s", path, why.text);
	if (flow_dict_new(1 << 16, &w.dict, &e) != ERR_OK ||
	    name_table_new(&config, w.dict, &w.names, &e) != ERR_OK)
		fail_msg("%s", e.msg);
	struct draft *d = calloc(1, sizeof *d);
	assert_non_null(d);
	take_addresses(d, w.json);
	take_services(d, w.json, "TCP");
	take_services(d, w.json, "UDP");
	take_numbers(d, w.json);
	take_names(d, &w);
	const struct name_view view = { .prefixes = d->prefixes,
					.prefix_count = d->prefix_count,
					.services = d->services,
					.service_count = d->service_count,
					.identities = d->identities,
					.identity_count = d->identity_count,
					.cgroups = d->cgroups,
					.cgroup_count = d->cgroup_count,
					.told = d->told,
					.told_count = d->told_count };
	if (name_update(w.names, 0, &view, &e) != ERR_OK)
		fail_msg("%s", e.msg);
	free(d);
	learn_names(&w);
	return w;
}

void cilium_world_done(struct cilium_world *w)
{
	name_table_free(w->names);
	flow_dict_free(w->dict);
	json_decref(w->json);
}

bool cilium_world_link(void *ctx, uint32_t ifindex, struct mono_ns now, char ret[FLOW_IFNAME_BYTES])
{
	const struct cilium_world *w = ctx;
	size_t i;
	json_t *v;

	(void)now;
	json_array_foreach(json_object_get(w->json, "links"), i, v)
	{
		if (number_of(v, "index") != ifindex)
			continue;
		(void)snprintf(ret, FLOW_IFNAME_BYTES, "%s",
			       json_string_value(json_object_get(v, "name")));
		return true;
	}
	return false;
}

struct node_id cilium_world_node(const struct cilium_world *w, struct str name)
{
	return flow_dict_node(w->dict, &(struct node){ .name = name });
}
