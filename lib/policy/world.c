/* What policies refer to: namespaces, groups of addresses, services, names of ports. */
#include <netinet/in.h>

#include "filter/netip.h"
#include "flow/flow.h"
#include "policy/inside.h"

enum { MANY = 1 << 16 }; /* entries of one list in one object */

/* --- address blocks --------------------------------------------------------------------------- */

static void split(const uint8_t ip[16], uint64_t *hi, uint64_t *lo)
{
	*hi = *lo = 0;
	for (int i = 0; i < 8; i++) {
		*hi = *hi << 8 | ip[i];
		*lo = *lo << 8 | ip[i + 8];
	}
}

static uint64_t high_bits(unsigned n)
{
	return n == 0 ? 0 : n >= 64 ? UINT64_MAX : UINT64_MAX << (64 - n);
}

bool prefix_contains(const struct prefix *p, const uint8_t ip[16])
{
	uint64_t hi, lo;

	split(ip, &hi, &lo);
	return ip_is_v4(ip) == p->v4 && (hi & high_bits(p->bits)) == p->hi &&
	       (lo & high_bits(p->bits > 64 ? p->bits - 64 : 0)) == p->lo;
}

struct prefix prefix_of(const uint8_t ip[16], unsigned bits, bool v4)
{
	struct prefix p = { .bits = (uint8_t)bits, .v4 = v4 };

	split(ip, &p.hi, &p.lo);
	p.hi &= high_bits(bits);
	p.lo &= high_bits(bits > 64 ? bits - 64 : 0);
	return p;
}

struct prefix read_prefix(struct reading *r, struct str text, uint8_t ret_ip[16])
{
	struct netip_prefix p;
	struct err e;

	memset(ret_ip, 0, 16);
	if (r->code != ERR_OK)
		return (struct prefix){ 0 };
	if (netip_prefix_parse(text, &p, &e) != ERR_OK) {
		/* netip.ParsePrefix("…"): why */
		const char *why = strstr(e.msg, "): ");

		bad(r, "'%.*s' is no address block: %s", (int)(text.len < 60 ? text.len : 60),
		    text.p, why ? why + 3 : e.msg);
		return (struct prefix){ 0 };
	}
	memcpy(ret_ip, p.addr.ip, 16);
	return prefix_of(p.addr.ip, p.addr.is_v4 ? p.bits + 96 : p.bits, p.addr.is_v4);
}

/* --- labels -------------------------------------------------------------------------------------
 */

static struct label make_label(struct reading *r, struct str source, struct str prefix,
			       struct str key, struct str value)
{
	char *p = room(r, prefix.len + key.len);
	struct label l = { .source = source };

	if (!p)
		return l;
	memcpy(p, prefix.p, prefix.len);
	memcpy(p + prefix.len, key.p, key.len);
	l.key = str_n(p, prefix.len + key.len);
	l.key_hash = label_hash(l.key);
	l.value = keep(r, value);
	l.value_hash = label_hash(l.value);
	return l;
}

/* The mapping `labels` of @in, with room for one more. */
static struct label *read_labels(struct reading *r, const json_t *in, struct str source,
				 struct str prefix, size_t *ret_count)
{
	json_t *labels = member_object(r, in, "labels");
	struct label *out = room(r, (json_object_size(labels) + 1) * sizeof *out);
	const char *key;
	json_t *value;
	size_t n = 0, at = step(r, "labels");

	if (out)
		json_object_foreach(labels, key, value)
		{
			struct str text = text_of(r, value);
			out[n++] = make_label(r, source, prefix, str_of(key), text);
		}
	back(r, at);
	*ret_count = n;
	return out;
}

static struct str text_member_kept(struct reading *r, const json_t *object, const char *key)
{
	struct str s = member_text(r, object, key);

	return keep(r, s.p ? s : STR(""));
}

static struct str namespace_of(struct reading *r, const json_t *metadata)
{
	struct str ns = text_member_kept(r, metadata, "namespace");

	return ns.len ? ns : STR("default");
}

static void *add_item(struct reading *r, struct list *list, size_t size)
{
	void *p = r->code == ERR_OK ? list_add(&r->set->mem, list, size) : NULL;

	if (!p)
		no_memory(r);
	return p;
}

/* --- objects ------------------------------------------------------------------------------------
 */

void read_namespace(struct reading *r, const json_t *object)
{
	json_t *metadata = member_object(r, object, "metadata");
	struct namespace_entry n = { .name = text_member_kept(r, metadata, "name") };

	n.labels = read_labels(r, metadata, STR("k8s"), KEY_NAMESPACE_LABELS, &n.label_count);
	struct namespace_entry *to = add_item(r, &r->set->namespaces, sizeof *to);
	if (to)
		*to = n;
}

void read_group(struct reading *r, const json_t *object)
{
	static const char *const keys[] = {
		"apiVersion", "kind", "metadata", "spec", "status", NULL
	};
	static const char *const of_spec[] = { "externalCIDRs", NULL };
	json_t *metadata = member_object(r, object, "metadata");
	json_t *spec = member_object(r, object, "spec");
	only(r, object, keys);
	only_in(r, object, "spec", of_spec);
	struct group g = { .name = text_member_kept(r, metadata, "name") };
	json_t *list = member_array(r, spec, "externalCIDRs");
	size_t n = json_array_size(list), at;

	g.labels = read_labels(r, metadata, STR("cidrgroup"), STR(""), &g.label_count);
	if (g.labels)
		g.labels[g.label_count++] =
			make_label(r, STR("cidrgroup"), KEY_GROUP_NAME, g.name, STR(""));
	g.prefixes = room(r, n * sizeof *g.prefixes);
	at = step(r, "spec");
	(void)step(r, "externalCIDRs");
	for (size_t i = 0; i < n && r->code == ERR_OK; i++) {
		size_t below = step_to(r, i);
		uint8_t ip[16];

		g.prefixes[g.prefix_count++] =
			read_prefix(r, text_of(r, json_array_get(list, i)), ip);
		back(r, below);
	}
	back(r, at);
	struct group *to = add_item(r, &r->set->groups, sizeof *to);
	if (to)
		*to = g;
}

void read_service(struct reading *r, const json_t *object)
{
	json_t *metadata = member_object(r, object, "metadata");
	json_t *spec = member_object(r, object, "spec");
	json_t *labels = member_object(r, spec, "selector");
	struct service_entry s = { .name = text_member_kept(r, metadata, "name"),
				   .namespace_ = namespace_of(r, metadata) };

	s.labels = read_labels(r, metadata, STR("k8s"), STR(""), &s.label_count);
	if (json_object_size(labels)) {
		json_t *as_selector = json_pack("{s:O}", "matchLabels", labels);

		if (!as_selector) {
			no_memory(r);
			return;
		}
		s.selector = read_selector(r, as_selector, STR("k8s"), STR(""));
		json_decref(as_selector);
		if (s.selector) { /* as peers of endpoints: those of the local cluster */
			selector_require(r, s.selector, REQ_IN, STR("k8s"), KEY_NAMESPACE,
					 s.namespace_);
			selector_require(r, s.selector, REQ_IN, STR("k8s"), KEY_CLUSTER,
					 r->set->cluster);
		}
	}
	struct service_entry *to = add_item(r, &r->set->services, sizeof *to);
	if (to)
		*to = s;
}

static void add_address(struct reading *r, struct backends_entry *to, struct str text)
{
	uint8_t ip[16];

	if (r->code == ERR_OK && !ip_parse(text, ip))
		return; /* a slice of names (addressType FQDN) has no addresses */
	if (to->count < MANY && r->code == ERR_OK)
		memcpy(to->ips[to->count++], ip, 16);
}

void read_endpoints(struct reading *r, const json_t *object)
{
	json_t *metadata = member_object(r, object, "metadata");
	json_t *subsets = member_array(r, object, "subsets");
	struct backends_entry b = { .name = text_member_kept(r, metadata, "name"),
				    .namespace_ = namespace_of(r, metadata) };
	size_t total = 0, i, j;
	json_t *subset, *address;

	json_array_foreach(subsets, i, subset) total +=
		json_array_size(json_object_get(subset, "addresses"));
	b.ips = room(r, (total + 1) * 16);
	json_array_foreach(subsets, i, subset)
		json_array_foreach(json_object_get(subset, "addresses"), j, address)
	{
		struct str ip = member_text(r, address, "ip");
		add_address(r, &b, ip.p ? ip : STR(""));
	}
	struct backends_entry *to = add_item(r, &r->set->backends, sizeof *to);
	if (to)
		*to = b;
}

bool policy_backend_serves(const json_t *endpoint)
{
	const json_t *conditions = json_object_get(endpoint, "conditions");

	return !json_is_false(json_object_get(conditions, "ready")) ||
	       (json_is_true(json_object_get(conditions, "terminating")) &&
		json_is_true(json_object_get(conditions, "serving")));
}

void read_endpoint_slice(struct reading *r, const json_t *object)
{
	json_t *metadata = member_object(r, object, "metadata");
	json_t *labels = member_object(r, metadata, "labels");
	json_t *endpoints = member_array(r, object, "endpoints");
	struct backends_entry b = { .name = text_member_kept(r, labels,
							     "kubernetes.io/service-name"),
				    .namespace_ = namespace_of(r, metadata) };
	size_t total = 0, i, j;
	json_t *endpoint, *address;

	json_array_foreach(endpoints, i, endpoint) total +=
		json_array_size(json_object_get(endpoint, "addresses"));
	b.ips = room(r, (total + 1) * 16);
	json_array_foreach(endpoints, i, endpoint)
	{
		if (!policy_backend_serves(endpoint))
			continue;
		json_array_foreach(json_object_get(endpoint, "addresses"), j, address)
			add_address(r, &b, text_of(r, address));
	}
	struct backends_entry *to = add_item(r, &r->set->backends, sizeof *to);
	if (to)
		*to = b;
}

/* --- names of ports -----------------------------------------------------------------------------
 */

static uint8_t protocol_number(struct str s)
{
	return str_is(s, "UDP") ? IPPROTO_UDP : str_is(s, "SCTP") ? IPPROTO_SCTP : IPPROTO_TCP;
}

static void read_container(struct reading *r, const json_t *container, struct pod_ports *to)
{
	json_t *ports = member_array(r, container, "ports"), *port;
	size_t i;

	json_array_foreach(ports, i, port)
	{
		struct str name = is_object(r, port) ? member_text(r, port, "name") : STR("");
		struct str protocol = member_text(r, port, "protocol");
		json_int_t number = json_integer_value(json_object_get(port, "containerPort"));

		if (r->code != ERR_OK)
			return;
		if (!name.len || number < 1 || number > UINT16_MAX || to->count >= MANY)
			continue;
		to->ports[to->count++] =
			(struct named_port){ keep(r, name), protocol_number(protocol),
					     (uint16_t)number };
	}
}

void read_pod(struct reading *r, const json_t *object)
{
	static const char *const lists[] = { "containers", "initContainers" };
	json_t *spec = member_object(r, object, "spec"), *container;
	struct str phase = member_text(r, member_object(r, object, "status"), "phase");
	struct pod_ports p = { 0 };
	size_t total = 0, i;

	/* no endpoint, and so without names to look up: it has its node's address, or none any more */
	if (json_is_true(json_object_get(spec, "hostNetwork")) || str_is(phase, "Succeeded") ||
	    str_is(phase, "Failed"))
		spec = NULL;
	for (size_t k = 0; k < ARRAY_LEN(lists); k++)
		json_array_foreach(member_array(r, spec, lists[k]), i, container) total +=
			json_array_size(json_object_get(container, "ports"));
	p.ports = room(r, (total + 1) * sizeof *p.ports);
	for (size_t k = 0; k < ARRAY_LEN(lists); k++)
		json_array_foreach(member_array(r, spec, lists[k]), i,
				   container) if (is_object(r, container))
			read_container(r, container, &p);
	struct pod_ports *to = add_item(r, &r->set->pods, sizeof *to);
	if (to)
		*to = p;
}
