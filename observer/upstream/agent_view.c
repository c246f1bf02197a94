#include "observer/upstream/agent_view.h"

#include <string.h>

#include "observer/name/dns_names.h"

struct str agent_text(const json_t *object, const char *key)
{
	const json_t *v = json_object_get(object, key);

	return v && json_is_string(v) ? str_n(json_string_value(v), json_string_length(v))
				      : STR("");
}

bool agent_number(const json_t *object, const char *key, uint64_t max, uint64_t *ret)
{
	const json_t *v = json_object_get(object, key);

	if (!json_is_integer(v) || json_integer_value(v) < 0 ||
	    (uint64_t)json_integer_value(v) > max)
		return false;
	*ret = (uint64_t)json_integer_value(v);
	return true;
}

/* ---- sizes first, so that nothing moves while it is filled */

static size_t labels_of(const json_t *endpoint_or_identity, const json_t **ret)
{
	const json_t *labels = json_object_get(endpoint_or_identity, "labels");

	*ret = labels;
	return json_array_size(labels);
}

static const json_t *identity_of(const json_t *endpoint)
{
	return json_object_get(json_object_get(endpoint, "status"), "identity");
}

static const json_t *addresses_of(const json_t *endpoint)
{
	return json_object_get(json_object_get(json_object_get(endpoint, "status"), "networking"),
			       "addressing");
}

static const json_t *containers_of(const json_t *pod)
{
	return json_object_get(pod, "containers");
}

struct sizes {
	size_t prefixes, services, identities, cgroups, told, texts;
};

static struct sizes sizes_of(const struct agent_answers *a)
{
	struct sizes n = { .prefixes = json_array_size(a->ips),
			   .services = json_array_size(a->services),
			   .identities = json_array_size(a->identities) };
	const json_t *v, *labels;
	size_t i;

	json_array_foreach(a->endpoints, i, v)
	{
		n.prefixes += 2 * json_array_size(addresses_of(v));
		n.texts += labels_of(identity_of(v), &labels);
	}
	json_array_foreach(a->identities, i, v) n.texts += labels_of(v, &labels);
	json_array_foreach(json_object_get(a->cgroups, "pod-metadatas"), i, v) n.cgroups +=
		json_array_size(containers_of(v));
	json_array_foreach(a->fqdns, i, v) n.told += json_array_size(json_object_get(v, "ips"));
	if (n.told > NAME_TOLD_MAX)
		n.told = NAME_TOLD_MAX;
	return n;
}

/* calloc of nothing is something here: NULL is for failure. */
static void *room_for(size_t n, size_t size)
{
	return calloc(n ? n : 1, size);
}

/* ---- entries */

/* Appends the labels; *@ret_labels borrows them from the view. */
static size_t put_labels(struct agent_view *v, const json_t *owner, const struct str **ret_labels)
{
	const json_t *labels, *label;
	size_t i, first = v->text_count;

	(void)labels_of(owner, &labels);
	json_array_foreach(labels, i, label) if (json_is_string(label) && json_string_length(label))
		v->texts[v->text_count++] =
		str_n(json_string_value(label), json_string_length(label));
	*ret_labels = v->texts + first;
	return v->text_count - first;
}

static void put_endpoint_ip(struct agent_view *v, const struct endpoint *e, struct str text)
{
	struct name_prefix p = { .bits = 128, .endpoint = *e, .local = true, .verbatim = true };

	if (!text.len)
		return;
	if (!ip_parse(text, p.ip)) {
		v->left_out++;
		return;
	}
	v->prefixes[v->prefix_count++] = p;
	v->local_count++;
}

/* pod-name is "namespace/name", of older agents. */
static void read_pod(const json_t *endpoint, struct endpoint *e)
{
	const json_t *ids =
		json_object_get(json_object_get(endpoint, "status"), "external-identifiers");
	struct str both = agent_text(ids, "pod-name");
	size_t slash = str_find(both, '/');

	e->namespace_ = agent_text(ids, "k8s-namespace");
	e->pod = agent_text(ids, "k8s-pod-name");
	if (!e->pod.len && slash < both.len) {
		e->namespace_ = str_upto(both, slash);
		e->pod = str_from(both, slash + 1);
	}
}

static void put_endpoint(struct agent_view *v, const json_t *endpoint)
{
	struct endpoint e = { 0 };
	uint64_t id, identity;
	const json_t *pair;
	size_t i;

	if (!agent_number(endpoint, "id", UINT16_MAX, &id) || !id) {
		v->left_out++;
		return;
	}
	/* without an identity: it waits for one */
	e.identity = agent_number(identity_of(endpoint), "id", UINT32_MAX, &identity)
			     ? (uint32_t)identity
			     : 0;
	e.id = (uint32_t)id;
	read_pod(endpoint, &e);
	e.label_count = put_labels(v, identity_of(endpoint), &e.labels);
	json_array_foreach(addresses_of(endpoint), i, pair)
	{
		put_endpoint_ip(v, &e, agent_text(pair, "ipv4"));
		put_endpoint_ip(v, &e, agent_text(pair, "ipv6"));
	}
}

static bool read_cidr(struct str text, struct name_prefix *p)
{
	size_t slash = str_find(text, '/');
	uint8_t bits;

	if (!ip_parse(str_upto(text, slash), p->ip))
		return false;
	bool is_v4 = ip_is_v4(p->ip) && str_find(str_upto(text, slash), ':') == slash;
	uint8_t most = is_v4 ? 32 : 128;
	bits = most;
	if (slash < text.len && (!parse_u8(str_from(text, slash + 1), &bits) || bits > most))
		return false;
	p->bits = (uint8_t)(is_v4 ? 96 + bits : bits);
	return true;
}

static void put_ip(struct agent_view *v, const json_t *entry)
{
	struct name_prefix p = { .verbatim = true };
	const json_t *metadata = json_object_get(entry, "metadata");
	uint64_t identity;

	if (!read_cidr(agent_text(entry, "cidr"), &p) ||
	    !agent_number(entry, "identity", UINT32_MAX, &identity)) {
		v->left_out++;
		return;
	}
	p.endpoint.identity = (uint32_t)identity;
	p.endpoint.namespace_ = agent_text(metadata, "namespace");
	p.endpoint.pod = agent_text(metadata, "name");
	v->prefixes[v->prefix_count++] = p;
}

static void put_identity(struct agent_view *v, const json_t *entry)
{
	struct name_identity out = { 0 };
	uint64_t identity;

	if (!agent_number(entry, "id", UINT32_MAX, &identity) || !identity) {
		v->left_out++;
		return;
	}
	out.identity = (uint32_t)identity;
	out.label_count = put_labels(v, entry, &out.labels);
	v->identities[v->identity_count++] = out;
}

static const json_t *service_spec(const json_t *service)
{
	const json_t *realized = json_object_get(json_object_get(service, "status"), "realized");

	return json_is_object(realized) ? realized : json_object_get(service, "spec");
}

/* A front end is asked for as TCP, then as UDP: of two on one port the first is TCP's. */
static void put_services(struct agent_view *v, const json_t *services, bool udp)
{
	const json_t *service;
	size_t i;

	json_array_foreach(services, i, service)
	{
		const json_t *spec = service_spec(service);
		const json_t *front = json_object_get(spec, "frontend-address");
		const json_t *flags = json_object_get(spec, "flags");
		struct str protocol = agent_text(front, "protocol");
		bool is_udp = str_eq_nocase(protocol, STR("udp"));
		struct name_service out = { 0 };
		uint64_t port = 0;

		if (is_udp != udp || str_is(agent_text(front, "scope"), "internal"))
			continue;
		out.service.name = agent_text(flags, "name");
		out.service.namespace_ = agent_text(flags, "namespace");
		if (!out.service.name.len)
			continue; /* the agent's own, or a HostPort's */
		if (!ip_parse(agent_text(front, "ip"), out.ip) ||
		    !agent_number(front, "port", UINT16_MAX, &port) || !port) {
			v->left_out++;
			continue;
		}
		out.port = (uint16_t)port;
		v->services[v->service_count++] = out;
	}
}

static void put_pod_cgroups(struct agent_view *v, const json_t *pod)
{
	static const uint8_t none[16];
	struct name_cgroup out = { 0 };
	const json_t *entry;
	uint8_t ip[16];
	size_t i;

	json_array_foreach(json_object_get(pod, "ips"), i, entry)
	{
		if (!json_is_string(entry) ||
		    !ip_parse(str_n(json_string_value(entry), json_string_length(entry)), ip))
			continue;
		uint8_t *to = ip_is_v4(ip) ? out.ip4 : out.ip6;
		if (memcmp(to, none, sizeof none) == 0)
			memcpy(to, ip, sizeof ip);
	}
	json_array_foreach(containers_of(pod), i, entry)
	{
		if (agent_number(entry, "cgroup-id", INT64_MAX, &out.cgroup) && out.cgroup)
			v->cgroups[v->cgroup_count++] = out;
		else
			v->left_out++;
	}
}

/* Until when a name holds that the agent had when it was asked. */
static bool read_until(const json_t *lookup, struct wall_ns asked, struct wall_ns *ret)
{
	struct str text = agent_text(lookup, "expiration-time");
	struct timestamp at;

	*ret = asked;
	if (text.len && !timestamp_parse(text, &at))
		return false;
	/* times before 1970 are Go's zero */
	if (!text.len || !timestamp_to_wall(at, ret) || ret->v < asked.v)
		*ret = asked;
	else if (ret->v > asked.v + DNS_TTL_MAX_S * NS_PER_S)
		ret->v = asked.v + DNS_TTL_MAX_S * NS_PER_S;
	ret->v += DNS_GRACE_S * NS_PER_S;
	return true;
}

static void put_lookup(struct agent_view *v, size_t room, const json_t *lookup,
		       struct wall_ns asked)
{
	struct name_told told = { .name = agent_text(lookup, "fqdn") };
	const json_t *ip;
	uint64_t id;
	size_t i;

	if (json_is_object(lookup) && !json_object_get(lookup, "endpoint-id"))
		return; /* the agent's own */
	if (!agent_number(lookup, "endpoint-id", UINT16_MAX, &id) || !told.name.len ||
	    !read_until(lookup, asked, &told.until)) {
		v->left_out++;
		return;
	}
	told.endpoint = (uint32_t)id;
	json_array_foreach(json_object_get(lookup, "ips"), i, ip)
	{
		if (v->told_count < room && json_is_string(ip) &&
		    ip_parse(str_n(json_string_value(ip), json_string_length(ip)), told.ip))
			v->told[v->told_count++] = told;
		else
			v->left_out++;
	}
}

/* ---- all of it */

/* Hubble's L7 records take the pod from the IP cache alone; an endpoint that it does not know yet
 * has none there. */
static int by_ip(const void *a, const void *b)
{
	return memcmp((*(const struct name_prefix *const *)a)->ip,
		      (*(const struct name_prefix *const *)b)->ip, 16);
}

static bool mark_not_cached(struct agent_view *v)
{
	size_t n = 0;
	const struct name_prefix **cached = room_for(v->prefix_count, sizeof(struct name_prefix *));

	if (!cached)
		return false;
	for (size_t i = v->local_count; i < v->prefix_count; i++)
		if (v->prefixes[i].bits == 128 && v->prefixes[i].endpoint.pod.len)
			cached[n++] = &v->prefixes[i];
	qsort(cached, n, sizeof *cached, by_ip);
	for (size_t i = 0; i < v->local_count; i++) {
		const struct name_prefix *key = &v->prefixes[i];
		v->prefixes[i].pod_not_cached =
			!n || !bsearch(&key, cached, n, sizeof *cached, by_ip);
	}
	free(cached);
	return true;
}

static void fill(struct agent_view *v, const struct agent_answers *a, const struct sizes *n)
{
	const json_t *entry;
	size_t i;

	json_array_foreach(a->endpoints, i, entry) put_endpoint(v, entry);
	json_array_foreach(a->ips, i, entry) put_ip(v, entry);
	json_array_foreach(a->identities, i, entry) put_identity(v, entry);
	put_services(v, a->services, false);
	put_services(v, a->services, true);
	json_array_foreach(json_object_get(a->cgroups, "pod-metadatas"), i, entry)
		put_pod_cgroups(v, entry);
	json_array_foreach(a->fqdns, i, entry) put_lookup(v, n->told, entry, a->asked);
}

static bool is_list(const json_t *v)
{
	return !v || json_is_array(v) || json_is_null(v);
}

enum err_code agent_view_new(const struct agent_answers *answers, struct agent_view **ret,
			     struct err *e)
{
	if (!is_list(answers->endpoints) || !is_list(answers->ips) ||
	    !is_list(answers->identities) || !is_list(answers->services) ||
	    !is_list(answers->fqdns))
		return err_set(e, ERR_PARSE, "the agent's answer is no list");
	struct sizes n = sizes_of(answers);
	AUTO(agent_view_free) struct agent_view *v = calloc(1, sizeof *v);
	if (!v)
		return err_set(e, ERR_NOMEM, "names of the agent");
	v->prefixes = room_for(n.prefixes, sizeof *v->prefixes);
	v->services = room_for(n.services, sizeof *v->services);
	v->identities = room_for(n.identities, sizeof *v->identities);
	v->cgroups = room_for(n.cgroups, sizeof *v->cgroups);
	v->texts = room_for(n.texts, sizeof *v->texts);
	v->told = room_for(n.told, sizeof *v->told);
	if (!v->prefixes || !v->services || !v->identities || !v->cgroups || !v->texts || !v->told)
		return err_set(e, ERR_NOMEM, "names of the agent");
	fill(v, answers, &n);
	if (!mark_not_cached(v))
		return err_set(e, ERR_NOMEM, "names of the agent");
	*ret = TAKE(v);
	return ERR_OK;
}

void agent_view_free(struct agent_view *v)
{
	if (!v)
		return;
	free(v->prefixes);
	free(v->services);
	free(v->identities);
	free(v->cgroups);
	free(v->told);
	free(v->texts);
	free(v);
}
