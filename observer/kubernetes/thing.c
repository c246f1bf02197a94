#include "observer/kubernetes/thing.h"

#include <ctype.h>

#include "policy/policy.h"

/* A thing being read: lists grow in r, texts are told by where they begin in r->text. */
struct part {
	size_t from, len;
};

struct draft {
	struct kube_reading *r;
	struct part namespace_, name, workload_kind, workload, created, json;
	struct part own[KUBE_LABELS_MAX];
	size_t own_count;
	uint32_t identity, flags;
	bool bad;
};

static struct str text_in(const json_t *object, const char *key)
{
	const json_t *v = json_object_get(object, key);

	return json_is_string(v) ? str_n(json_string_value(v), json_string_length(v)) : STR("");
}

static const json_t *metadata_of(const json_t *object)
{
	return json_object_get(object, "metadata");
}

struct str kube_metadata(const json_t *object, const char *key)
{
	return text_in(metadata_of(object), key);
}

static struct part keep(struct draft *d, struct str s)
{
	struct part p = { d->r->text.len, s.len };

	buf_str_put(&d->r->text, s);
	return p;
}

static void add_ip(struct draft *d, struct str text)
{
	uint8_t ip[16];

	if (ip_parse(text, ip))
		buf_put(&d->r->ips, ip, sizeof ip);
}

static int compare_ips(const void *a, const void *b)
{
	return memcmp(a, b, 16);
}

/* Objects name an address more than once: as podIP and as the first of podIPs. */
static void sort_ips(struct buf *b)
{
	size_t count = b->len / 16, kept = 0;
	uint8_t(*ips)[16] = (uint8_t(*)[16])(void *)b->p;

	if (!count)
		return;
	qsort(ips, count, 16, compare_ips);
	for (size_t i = 0; i < count; i++)
		if (!kept || memcmp(ips[kept - 1], ips[i], 16) != 0)
			memmove(ips[kept++], ips[i], 16);
	b->len = kept * 16;
}

static void add_port(struct buf *list, const json_t *port)
{
	json_int_t v = json_integer_value(port);
	uint16_t number = (uint16_t)v;

	if (v > 0 && v <= UINT16_MAX)
		buf_put(list, &number, sizeof number);
}

/* "k8s:key=value", or "k8s:key" for an empty value: Cilium's Label.String. */
static void put_label(struct buf *b, struct str prefix, struct str key, struct str value)
{
	buf_lit(b, "k8s:");
	buf_str_put(b, prefix);
	buf_str_put(b, key);
	if (value.len) {
		buf_char(b, '=');
		buf_str_put(b, value);
	}
}

/* ---- pods */

static void pod_label(struct buf *b, struct str key, struct str value)
{
	put_label(b, STR(""), key, value);
	buf_char(b, 0);
}

static int compare_keys(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* In order of their keys, so that equal sets have equal texts; those that Cilium adds come last. */
static void read_pod_labels(struct draft *d, const json_t *pod)
{
	struct buf *b = &d->r->label_text;
	json_t *labels = json_object_get(metadata_of(pod), "labels");
	struct str account = text_in(json_object_get(pod, "spec"), "serviceAccountName");
	const char *keys[KUBE_LABELS_MAX], *key;
	json_t *value;
	size_t n = 0;

	json_object_foreach(labels, key, value)
	{
		if (n == KUBE_LABELS_MAX) {
			d->bad = true;
			return;
		}
		keys[n++] = key;
	}
	qsort(keys, n, sizeof *keys, compare_keys);
	for (size_t i = 0; i < n; i++)
		if (policy_label_counts(str_of(keys[i])))
			pod_label(b, str_of(keys[i]), text_in(labels, keys[i]));
	pod_label(b, STR("io.cilium.k8s.policy.cluster"),
		  str_of(*d->r->cluster ? d->r->cluster : "default"));
	if (account.len)
		pod_label(b, STR("io.cilium.k8s.policy.serviceaccount"), account);
	pod_label(b, STR("io.kubernetes.pod.namespace"), text_in(metadata_of(pod), "namespace"));
}

/* "report-28391234" ► "report": a CronJob's number has 8 to 10 digits. */
static bool cron_job_of(struct str job, struct str *ret)
{
	size_t digits = 0;

	while (digits < job.len && isdigit((unsigned char)job.p[job.len - 1 - digits]))
		digits++;
	if (digits < 8 || digits > 10 || job.len < digits + 2 || job.p[job.len - digits - 1] != '-')
		return false;
	*ret = str_upto(job, job.len - digits - 1);
	return true;
}

static void read_workload(struct draft *d, const json_t *pod)
{
	const json_t *metadata = metadata_of(pod), *owner,
		     *labels = json_object_get(metadata, "labels");
	struct str kind = STR("Pod"), name = text_in(metadata, "name");
	size_t i;

	json_array_foreach(json_object_get(metadata, "ownerReferences"), i, owner)
	{
		if (!json_is_true(json_object_get(owner, "controller")) ||
		    !text_in(metadata, "generateName").len)
			continue;
		struct str hash = text_in(labels, "pod-template-hash"), cron;
		struct str config = text_in(labels, "deploymentconfig");
		kind = text_in(owner, "kind");
		name = text_in(owner, "name");
		if (str_is(kind, "ReplicaSet") && hash.len && name.len > hash.len + 1 &&
		    str_has_suffix(name, hash) && name.p[name.len - hash.len - 1] == '-') {
			kind = STR("Deployment");
			name = str_upto(name, name.len - hash.len - 1);
		} else if (str_is(kind, "ReplicationController") && config.len) {
			kind = STR("DeploymentConfig");
			name = config;
		} else if (str_is(kind, "Job") && cron_job_of(name, &cron)) {
			kind = STR("CronJob");
			name = cron;
		}
		break;
	}
	d->workload_kind = keep(d, kind);
	d->workload = keep(d, name);
}

static void add_named_ports(json_t *ports, const json_t *containers)
{
	const json_t *container;
	json_t *port;
	size_t i, j;

	json_array_foreach(containers, i, container)
	{
		json_array_foreach(json_object_get(container, "ports"), j, port)
		{
			if (text_in(port, "name").len)
				json_array_append(ports, port);
		}
	}
}

/* A Pod with nothing but the names of its ports, for the evaluator; none has nothing. */
static json_t *named_ports(const json_t *pod)
{
	const json_t *spec = json_object_get(pod, "spec");
	json_t *ports = json_array();

	add_named_ports(ports, json_object_get(spec, "containers"));
	add_named_ports(ports, json_object_get(spec, "initContainers")); /* sidecars */
	if (!json_array_size(ports)) {
		json_decref(ports);
		return NULL;
	}
	return json_pack("{s:[{s:o}]}", "containers", "ports", ports);
}

/* Every container that was ever there has ended. */
static bool no_container_runs(const json_t *status)
{
	static const char *const lists[] = { "containerStatuses", "initContainerStatuses",
					     "ephemeralContainerStatuses" };
	const json_t *one;
	size_t i;

	for (size_t k = 0; k < ARRAY_LEN(lists); k++)
		json_array_foreach(json_object_get(status, lists[k]), i, one)
		{
			const json_t *state = json_object_get(one, "state");
			if (!json_is_object(json_object_get(state, "terminated")))
				return false;
		}
	return json_array_size(json_object_get(status, lists[0])) > 0;
}

/* The kubelet says that the pod has no sandbox, and so no network (KEP 3085). */
static bool has_no_network(const json_t *status)
{
	const json_t *one;
	size_t i;

	json_array_foreach(json_object_get(status, "conditions"), i, one)
	{
		if (str_is(text_in(one, "type"), "PodReadyToStartContainers"))
			return str_is(text_in(one, "status"), "False");
	}
	return false;
}

/* The address that is still written down there is not, or will at once not be, this pod's any
 * more. Before Kubernetes 1.27 the phase of a pod that is deleted stays Running to its end; what is
 * being deleted starts no container again. */
static bool is_over(const json_t *pod, bool is_leaving)
{
	const json_t *status = json_object_get(pod, "status");
	struct str phase = text_in(status, "phase");

	return str_is(phase, "Succeeded") || str_is(phase, "Failed") || has_no_network(status) ||
	       (is_leaving && no_container_runs(status));
}

/* Not its node's, and not what another pod may have by now. */
static bool has_own_address(const json_t *pod, bool is_leaving)
{
	return !json_is_true(json_object_get(json_object_get(pod, "spec"), "hostNetwork")) &&
	       !is_over(pod, is_leaving);
}

static void read_pod(struct draft *d, const json_t *pod)
{
	const json_t *spec = json_object_get(pod, "spec"), *ip;
	const json_t *status = json_object_get(pod, "status");
	size_t i;

	if (str_is(text_in(spec, "nodeName"), d->r->node))
		d->flags |= KUBE_LOCAL;
	if (text_in(metadata_of(pod), "deletionTimestamp").len)
		d->flags |= KUBE_LEAVING;
	read_pod_labels(d, pod);
	read_workload(d, pod);
	if (!has_own_address(pod, d->flags & KUBE_LEAVING))
		return;
	json_array_foreach(json_object_get(status, "podIPs"), i, ip) add_ip(d, text_in(ip, "ip"));
	add_ip(d, text_in(status, "podIP"));
}

/* ---- the rest */

/* The object that the evaluator gets, made of @from: kind, version, name, and @members of it. */
static void keep_json(struct draft *d, const char *kind, const char *version, const json_t *from,
		      const char *const *members, size_t count)
{
	const json_t *metadata = metadata_of(from);
	json_t *meta = json_object(), *out;
	static const char *const named[] = { "name", "namespace", "labels" };

	for (size_t i = 0; i < ARRAY_LEN(named); i++)
		if (json_object_get(metadata, named[i]))
			json_object_set(meta, named[i], json_object_get(metadata, named[i]));
	out = json_pack("{s:s, s:s, s:o}", "kind", kind, "apiVersion", version, "metadata", meta);
	for (size_t i = 0; i < count; i++)
		if (json_object_get(from, members[i]))
			json_object_set(out, members[i], json_object_get(from, members[i]));
	char *text = json_dumps(out, JSON_COMPACT | JSON_SORT_KEYS);
	d->json = keep(d, str_of(text));
	d->bad |= !text;
	free(text);
	json_decref(out);
}

static void own_label(struct draft *d, struct str prefix, struct str key, struct str value)
{
	struct buf *b = &d->r->text;
	size_t from = b->len;

	if (d->own_count == KUBE_LABELS_MAX) {
		d->bad = true;
		return;
	}
	put_label(b, prefix, key, value);
	d->own[d->own_count++] = (struct part){ from, b->len - from };
}

static void read_namespace(struct draft *d, const json_t *ns)
{
	json_t *labels = json_object_get(metadata_of(ns), "labels"), *value;
	const char *key;

	json_object_foreach(labels, key, value)
	{
		own_label(d, STR("io.cilium.k8s.namespace.labels."), str_of(key),
			  text_in(labels, key));
	}
	keep_json(d, "Namespace", "v1", ns, NULL, 0);
}

static void read_node(struct draft *d, const json_t *node)
{
	/* the addresses of Cilium's own interfaces, which its agents write down there */
	static const char *const noted[] = { "network.cilium.io/ipv4-cilium-host",
					     "network.cilium.io/ipv6-cilium-host",
					     "io.cilium.network.ipv4-cilium-host",
					     "io.cilium.network.ipv6-cilium-host" };
	const json_t *annotations = json_object_get(metadata_of(node), "annotations"), *address;
	size_t i;

	if (str_is(kube_metadata(node, "name"), d->r->node))
		d->flags |= KUBE_LOCAL;
	json_array_foreach(json_object_get(json_object_get(node, "status"), "addresses"), i,
			   address)
	{
		struct str type = text_in(address, "type");
		if (str_is(type, "InternalIP") || str_is(type, "ExternalIP"))
			add_ip(d, text_in(address, "address"));
	}
	for (i = 0; i < ARRAY_LEN(noted); i++)
		add_ip(d, text_in(annotations, noted[i]));
}

static void read_service(struct draft *d, const json_t *service)
{
	static const char *const members[] = { "spec" };
	const json_t *spec = json_object_get(service, "spec"), *v, *balancer;
	json_t *small = json_object();
	size_t i;

	add_ip(d, text_in(spec, "clusterIP")); /* "None" is no address */
	json_array_foreach(json_object_get(spec, "clusterIPs"), i, v)
		add_ip(d, str_of(json_string_value(v)));
	json_array_foreach(json_object_get(spec, "externalIPs"), i, v)
		add_ip(d, str_of(json_string_value(v)));
	balancer = json_object_get(json_object_get(service, "status"), "loadBalancer");
	json_array_foreach(json_object_get(balancer, "ingress"), i, v) add_ip(d, text_in(v, "ip"));
	json_array_foreach(json_object_get(spec, "ports"), i, v)
	{
		add_port(&d->r->ports, json_object_get(v, "port"));
		add_port(&d->r->node_ports, json_object_get(v, "nodePort"));
	}
	json_t *selector = json_object_get(spec, "selector");
	json_t *slim = json_object();
	if (selector)
		json_object_set(slim, "selector", selector);
	json_object_set(small, "metadata", json_object_get(service, "metadata"));
	json_object_set_new(small, "spec", slim);
	keep_json(d, "Service", "v1", small, members, ARRAY_LEN(members));
	json_decref(small);
}

static void read_slice(struct draft *d, const json_t *slice)
{
	static const char *const members[] = { "addressType", "endpoints" };
	const json_t *endpoint, *address;
	struct str of = text_in(json_object_get(metadata_of(slice), "labels"),
				"kubernetes.io/service-name");
	json_t *small = json_object(), *list = json_array();
	size_t i, j;

	bool is_api =
		str_is(of, "kubernetes") && str_is(kube_metadata(slice, "namespace"), "default");
	d->flags |= is_api ? KUBE_API_SERVER : 0;
	json_array_foreach(json_object_get(slice, "endpoints"), i, endpoint)
	{
		json_t *addresses = json_object_get(endpoint, "addresses");
		if (!addresses)
			continue;
		if (policy_backend_serves(endpoint))
			json_array_append_new(list, json_pack("{s:O}", "addresses", addresses));
		if (is_api)
			json_array_foreach(addresses, j, address)
				add_ip(d, str_of(json_string_value(address)));
	}
	json_object_set(small, "metadata", json_object_get(slice, "metadata"));
	json_object_set(small, "addressType", json_object_get(slice, "addressType"));
	json_object_set_new(small, "endpoints", list);
	keep_json(d, "EndpointSlice", "discovery.k8s.io/v1", small, members, ARRAY_LEN(members));
	json_decref(small);
}

static void read_policy(struct draft *d, enum kube_kind kind, json_t *policy)
{
	json_t *copy = json_copy(policy); /* shallow */
	const char *version =
		kind == KUBE_NETWORK_POLICIES ? "networking.k8s.io/v1" : "cilium.io/v2";

	(void)json_object_del(copy, "status");
	(void)json_object_del(json_object_get(copy, "metadata"), "managedFields");
	/* items of lists have neither */
	json_object_set_new(copy, "kind", json_string(kube_kind_name(kind)));
	if (!json_object_get(copy, "apiVersion"))
		json_object_set_new(copy, "apiVersion", json_string(version));
	char *text = json_dumps(copy, JSON_COMPACT | JSON_SORT_KEYS);
	d->json = keep(d, str_of(text));
	d->bad |= !text;
	free(text);
	json_decref(copy);
}

static void read_cilium_endpoint(struct draft *d, const json_t *endpoint)
{
	const json_t *status = json_object_get(endpoint, "status");
	json_int_t id =
		json_integer_value(json_object_get(json_object_get(status, "identity"), "id"));

	d->identity = id > 0 && id <= UINT32_MAX ? (uint32_t)id : 0;
}

static void read_cilium_identity(struct draft *d, const json_t *identity)
{
	json_t *labels = json_object_get(identity, "security-labels"), *value;
	const char *key;

	if (!parse_u32(kube_metadata(identity, "name"), &d->identity) || !d->identity)
		d->bad = true;
	json_object_foreach(labels, key, value)
	{
		struct buf *b = &d->r->text;
		size_t from = b->len;
		struct str v = text_in(labels, key);
		if (d->own_count == KUBE_LABELS_MAX) {
			d->bad = true;
			return;
		}
		buf_str_put(b, str_of(key)); /* has its source: "k8s:app" */
		if (v.len) {
			buf_char(b, '=');
			buf_str_put(b, v);
		}
		d->own[d->own_count++] = (struct part){ from, b->len - from };
	}
}

/* ---- packing */

static struct str placed(const char *base, struct part p)
{
	return str_n(base + p.from, p.len);
}

static struct kube_thing *pack(const struct draft *d, struct str labels)
{
	const struct str text = buf_str(&d->r->text);
	const struct kube_reading *r = d->r;
	size_t own = d->own_count * sizeof(struct str), ips = r->ips.len;
	size_t ports = r->ports.len + r->node_ports.len;
	char *p = calloc(1, sizeof(struct kube_thing) + own + ips + ports + text.len + 1);
	struct kube_thing *t = (struct kube_thing *)(void *)p;

	if (!p)
		return NULL;
	p += sizeof *t;
	t->own_labels = (struct str *)(void *)p;
	t->ips = (uint8_t(*)[16])(void *)(p + own);
	t->ports = (uint16_t *)(void *)(p + own + ips);
	t->node_ports = t->ports + r->ports.len / sizeof(uint16_t);
	p += own + ips + ports;
	memcpy(p, text.p, text.len);
	memcpy(t->ips, buf_str(&r->ips).p, ips);
	memcpy(t->ports, buf_str(&r->ports).p, r->ports.len);
	memcpy(t->node_ports, buf_str(&r->node_ports).p, r->node_ports.len);
	for (size_t i = 0; i < d->own_count; i++)
		t->own_labels[i] = placed(p, d->own[i]);
	t->namespace_ = placed(p, d->namespace_);
	t->name = placed(p, d->name);
	t->workload_kind = placed(p, d->workload_kind);
	t->workload = placed(p, d->workload);
	t->created = placed(p, d->created);
	t->json = placed(p, d->json);
	t->ip_count = (uint32_t)(ips / 16);
	t->port_count = (uint32_t)(r->ports.len / sizeof(uint16_t));
	t->node_port_count = (uint32_t)(r->node_ports.len / sizeof(uint16_t));
	t->own_label_count = (uint32_t)d->own_count;
	t->identity = d->identity;
	t->flags = d->flags;
	t->content =
		hash_bytes(text.p, text.len, d->r->seed ^ d->identity ^ (uint64_t)d->flags << 32);
	t->content = hash_bytes(t->ips, ips, t->content);
	t->content = hash_bytes(t->ports, ports, t->content);
	t->content = hash_bytes(labels.p, labels.len, t->content);
	return t;
}

static void read_kind(struct draft *d, enum kube_kind kind, json_t *object)
{
	static const char *const spec[] = { "spec" };

	switch (kind) {
	case KUBE_NAMESPACES:
		read_namespace(d, object);
		break;
	case KUBE_NODES:
		read_node(d, object);
		break;
	case KUBE_PODS: {
		read_pod(d, object);
		json_t *ports = has_own_address(object, d->flags & KUBE_LEAVING)
					? named_ports(object)
					: NULL;
		if (ports) {
			const json_t *metadata = metadata_of(object);
			json_t *small =
				json_pack("{s:{s:O?, s:O?}, s:o}", "metadata", "name",
					  json_object_get(metadata, "name"), "namespace",
					  json_object_get(metadata, "namespace"), "spec", ports);
			keep_json(d, "Pod", "v1", small, spec, ARRAY_LEN(spec));
			json_decref(small);
		}
		break;
	}
	case KUBE_SERVICES:
		read_service(d, object);
		break;
	case KUBE_SLICES:
		read_slice(d, object);
		break;
	case KUBE_CILIUM_ENDPOINTS:
		read_cilium_endpoint(d, object);
		break;
	case KUBE_CILIUM_IDENTITIES:
		read_cilium_identity(d, object);
		break;
	case KUBE_NETWORK_POLICIES:
	case KUBE_CILIUM_POLICIES:
	case KUBE_CLUSTERWIDE_POLICIES:
	case KUBE_CIDR_GROUPS:
		read_policy(d, kind, object);
		break;
	case KUBE_KINDS:
		d->bad = true;
	}
}

static bool is_within_bounds(const struct kube_reading *r)
{
	return !r->text.failed && !r->label_text.failed && !r->ips.failed && !r->ports.failed &&
	       !r->node_ports.failed &&
	       r->ips.len / 16 * (r->ports.len / sizeof(uint16_t)) <= KUBE_FRONTS_MAX;
}

void kube_reading_done(struct kube_reading *r)
{
	buf_done(&r->text);
	buf_done(&r->label_text);
	buf_done(&r->ips);
	buf_done(&r->ports);
	buf_done(&r->node_ports);
}

struct kube_thing *kube_thing_read(struct kube_reading *r, enum kube_kind kind, json_t *object,
				   struct str *ret_labels)
{
	struct draft d;

	d.r = r;
	d.own_count = 0;
	d.identity = d.flags = 0;
	d.bad = false;
	d.workload_kind = d.workload = d.json = (struct part){ 0, 0 };
	buf_reset(&r->text);
	buf_reset(&r->label_text);
	buf_reset(&r->ips);
	buf_reset(&r->ports);
	buf_reset(&r->node_ports);
	d.namespace_ = keep(&d, kube_metadata(object, "namespace"));
	d.name = keep(&d, kube_metadata(object, "name"));
	d.created = keep(&d, kube_metadata(object, "creationTimestamp"));
	if (!d.name.len)
		return NULL;
	read_kind(&d, kind, object);
	sort_ips(&r->ips);
	if (d.bad || !is_within_bounds(r))
		return NULL;
	*ret_labels = buf_str(&r->label_text);
	return pack(&d, *ret_labels);
}
