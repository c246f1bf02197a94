#include "policy_cluster.h"

#include <stdio.h>

#include "flow/flow.h"

static void must(bool holds, const char *what)
{
	if (holds)
		return;
	(void)fprintf(stderr, "world: %s\n", what);
	abort();
}

static const char *text_of(const json_t *object, const char *key)
{
	const char *s = json_string_value(json_object_get(object, key));

	return s ? s : "";
}

static void add_label(struct cluster_end *e, const char *source, const char *key, const char *value)
{
	size_t n = e->end.label_count++;

	must(n < CLUSTER_LABELS_MAX, "labels of an end");
	(void)snprintf(e->text[n], sizeof e->text[n], "%s:%s%s%s", source, key, *value ? "=" : "",
		       value);
	e->labels[n] = str_of(e->text[n]);
	e->end.labels = e->labels;
}

static struct cluster_end *add_end(struct cluster *w, const char *name)
{
	struct cluster_end *e = &w->ends[w->count++];

	must(w->count <= CLUSTER_ENDS_MAX, "ends");
	*e = (struct cluster_end){ 0 };
	(void)snprintf(e->name, sizeof e->name, "%s", name);
	return e;
}

static void add_ip(struct cluster_end *e, const char *text)
{
	must(e->end.ip_count < ARRAY_LEN(e->ips) &&
		     ip_parse(str_of(text), e->ips[e->end.ip_count++]),
	     text);
	e->end.ip = e->ips[0];
	e->end.ips = (const uint8_t(*)[16])e->ips;
}

static void add_ips(struct cluster_end *e, const json_t *list)
{
	size_t i;
	json_t *ip;

	json_array_foreach(list, i, ip) add_ip(e, json_string_value(ip));
}

static json_t *find_named(const json_t *list, const char *name)
{
	size_t i;
	json_t *v;

	json_array_foreach(list, i, v) if (strcmp(text_of(v, "name"), name) == 0) return v;
	return NULL;
}

static void add_pod(struct cluster *w, const json_t *pod)
{
	char name[96], key[160];
	const char *ns = text_of(pod, "namespace"), *cluster = text_of(pod, "cluster"), *k;
	json_t *v;

	(void)snprintf(name, sizeof name, "%s/%s", ns, text_of(pod, "name"));
	struct cluster_end *e = add_end(w, name);
	json_object_foreach(json_object_get(pod, "labels"), k,
			    v) if (policy_label_counts(str_of(k)))
		add_label(e, "k8s", k, json_string_value(v));
	json_t *namespaces = json_object_get(w->json, "namespaces");
	json_object_foreach(json_object_get(find_named(namespaces, ns), "labels"), k, v)
	{
		(void)snprintf(key, sizeof key, "io.cilium.k8s.namespace.labels.%s", k);
		add_label(e, "k8s", key, json_string_value(v));
	}
	add_label(e, "k8s", "io.kubernetes.pod.namespace", ns);
	add_label(e, "k8s", "io.cilium.k8s.policy.cluster",
		  *cluster ? cluster : text_of(w->json, "cluster"));
	if (*text_of(pod, "serviceAccount"))
		add_label(e, "k8s", "io.cilium.k8s.policy.serviceaccount",
			  text_of(pod, "serviceAccount"));
	e->end.namespace_ = str_of(text_of(pod, "namespace"));
	e->end.pod = str_of(text_of(pod, "name"));
	add_ips(e, json_object_get(pod, "ips"));
}

static void add_world_label(const struct cluster *w, struct cluster_end *e)
{
	bool dual = json_is_true(json_object_get(w->json, "dualStack"));

	add_label(e, "reserved",
		  !dual                 ? "world"
		  : ip_is_v4(e->ips[0]) ? "world-ipv4"
					: "world-ipv6",
		  "");
}

static void add_external(struct cluster *w, const char *ip, bool apiserver)
{
	struct cluster_end *e = add_end(w, ip);
	size_t i, j;
	json_t *name, *v;

	add_ip(e, ip);
	if (apiserver)
		add_label(e, "reserved", "kube-apiserver", "");
	add_world_label(w, e);
	json_array_foreach(json_object_get(w->json, "fqdns"), i, name) json_array_foreach(
		json_object_get(name, "ips"), j, v) if (strcmp(json_string_value(v), ip) == 0)
		e->names[e->name_count++] = str_of(text_of(name, "name"));
}

void cluster_read(struct cluster *w, json_t *json)
{
	size_t i;
	json_t *v;

	w->json = json;
	w->count = 0;
	json_array_foreach(json_object_get(w->json, "pods"), i, v) add_pod(w, v);
	json_array_foreach(json_object_get(w->json, "nodes"), i, v)
	{
		char node[96];
		(void)snprintf(node, sizeof node, "node:%s", text_of(v, "name"));
		struct cluster_end *e = add_end(w, node);
		add_label(e, "reserved",
			  json_is_true(json_object_get(v, "local")) ? "host" : "remote-node", "");
		if (json_is_true(json_object_get(v, "kubeApiserver")))
			add_label(e, "reserved", "kube-apiserver", "");
		add_ips(e, json_object_get(v, "ips"));
	}
	json_array_foreach(json_object_get(w->json, "specials"), i, v)
	{
		struct cluster_end *e = add_end(w, text_of(v, "name"));
		add_label(e, "reserved", text_of(v, "entity"), "");
		add_ip(e, text_of(v, "ip"));
	}
	json_array_foreach(json_object_get(w->json, "external"), i, v) add_external(
		w, text_of(v, "ip"), json_is_true(json_object_get(v, "kubeApiserver")));
}

/* Outside addresses need not be listed in the world. */
struct cluster_end *cluster_end_of(struct cluster *w, const char *name)
{
	for (size_t i = 0; i < w->count; i++)
		if (strcmp(w->ends[i].name, name) == 0)
			return &w->ends[i];
	add_external(w, name, false);
	return &w->ends[w->count - 1];
}

/* --- sets ------------------------------------------------------------------------------------- */

static void must_add(struct policy_builder *b, json_t *object)
{
	struct err e;

	must(object, "an object");
	if (policy_builder_add(b, object, &e) != ERR_OK)
		must(false, e.msg);
	json_decref(object);
}

static json_t *labels_or_none(const json_t *v, const char *key)
{
	json_t *labels = json_object_get(v, key);

	return labels ? json_incref(labels) : json_object();
}

static void add_pod_ports(struct policy_builder *b, const json_t *pod)
{
	json_t *ports = json_array(), *p;
	size_t i;

	if (*text_of(pod, "cluster")) { /* its API server is another one */
		json_decref(ports);
		return;
	}
	json_array_foreach(json_object_get(pod, "ports"), i, p) json_array_append_new(
		ports, json_pack("{s:s,s:i,s:s}", "name", text_of(p, "name"), "containerPort",
				 (int)json_integer_value(json_object_get(p, "port")), "protocol",
				 text_of(p, "protocol")));
	must_add(b, json_pack("{s:s,s:s,s:{s:s,s:s},s:{s:[{s:o}]}}", "kind", "Pod", "apiVersion",
			      "v1", "metadata", "name", text_of(pod, "name"), "namespace",
			      text_of(pod, "namespace"), "spec", "containers", "ports", ports));
}

static void add_backends(struct policy_builder *b, const json_t *service)
{
	json_t *addresses = json_array(), *ip;
	size_t i;

	json_array_foreach(json_object_get(service, "backends"), i, ip)
		json_array_append_new(addresses, json_pack("{s:O}", "ip", ip));
	must_add(b, json_pack("{s:s,s:s,s:{s:s,s:s},s:[{s:o}]}", "kind", "Endpoints", "apiVersion",
			      "v1", "metadata", "name", text_of(service, "name"), "namespace",
			      text_of(service, "namespace"), "subsets", "addresses", addresses));
}

static void add_objects(struct policy_builder *b, const json_t *world)
{
	size_t i;
	json_t *v;

	json_array_foreach(json_object_get(world, "namespaces"), i, v)
		must_add(b, json_pack("{s:s,s:s,s:{s:s,s:o}}", "kind", "Namespace", "apiVersion",
				      "v1", "metadata", "name", text_of(v, "name"), "labels",
				      labels_or_none(v, "labels")));
	json_array_foreach(json_object_get(world, "cidrGroups"), i, v) must_add(
		b, json_pack("{s:s,s:s,s:{s:s,s:o},s:{s:O}}", "kind", "CiliumCIDRGroup",
			     "apiVersion", "cilium.io/v2", "metadata", "name", text_of(v, "name"),
			     "labels", labels_or_none(v, "labels"), "spec", "externalCIDRs",
			     json_object_get(v, "externalCIDRs")));
	json_array_foreach(json_object_get(world, "services"), i, v)
	{
		must_add(b, json_pack("{s:s,s:s,s:{s:s,s:s,s:o},s:{s:o}}", "kind", "Service",
				      "apiVersion", "v1", "metadata", "name", text_of(v, "name"),
				      "namespace", text_of(v, "namespace"), "labels",
				      labels_or_none(v, "labels"), "spec", "selector",
				      labels_or_none(v, "selector")));
		add_backends(b, v);
	}
	json_array_foreach(json_object_get(world, "pods"), i, v) add_pod_ports(b, v);
}

struct policy_builder *cluster_builder(const struct cluster *w, enum policy_meaning meaning)
{
	const char *labels[16];
	char text[16][128];
	struct policy_config config = {
		.meaning = meaning,
		.cluster = w ? text_of(w->json, "cluster") : NULL,
		.host_firewall = w && json_is_true(json_object_get(w->json, "hostFirewall")),
		.node_labels = labels,
	};
	struct policy_builder *b;
	struct err e;
	size_t i;
	json_t *node, *v;
	const char *k;

	json_array_foreach(w ? json_object_get(w->json, "nodes") : NULL, i,
			   node) if (json_is_true(json_object_get(node, "local")))
		json_object_foreach(json_object_get(node, "labels"), k, v)
	{
		size_t n = config.node_label_count++;
		(void)snprintf(text[n], sizeof text[n], "%s=%s", k, json_string_value(v));
		labels[n] = text[n];
	}
	if (policy_builder_new(&config, &b, &e) != ERR_OK)
		must(false, e.msg);
	if (w)
		add_objects(b, w->json);
	return b;
}
