/* Ends of connections for `tycho policy explain`: from Pods, labels, addresses, names. */
#include <stdio.h>

#include "cli/policy.h"
#include "flow/flow.h"

enum { TEXT_MAX = 1 << 16 };

void policy_world_done(struct policy_world *w)
{
	policy_set_free(w->set);
	json_decref(w->pods);
	json_decref(w->services);
}

void policy_side_done(struct policy_side *s)
{
	buf_done(&s->text);
}

static void side_init(struct policy_side *s)
{
	*s = (struct policy_side){ .text = buf_init(TEXT_MAX) };
	(void)buf_reserve(&s->text, TEXT_MAX); /* labels are borrowed from it: it must not move */
}

static const char *text_at(const json_t *object, const char *key)
{
	const char *s = json_string_value(json_object_get(object, key));

	return s ? s : "";
}

static void add_label(struct policy_side *s, const char *source, struct str key, struct str value)
{
	size_t at = s->text.len;

	if (s->end.label_count == POLICY_END_LABELS)
		return;
	buf_printf(&s->text, "%s:%.*s%s%.*s", source, STR_FMT(key), value.len ? "=" : "",
		   STR_FMT(value));
	if (s->text.failed)
		return;
	s->labels[s->end.label_count++] = str_from(buf_str(&s->text), at);
	s->end.labels = s->labels;
}

static void add_ip(struct policy_side *s, const char *text)
{
	if (s->end.ip_count == POLICY_END_IPS || !ip_parse(str_of(text), s->ips[s->end.ip_count]))
		return;
	s->end.ip_count++;
	s->end.ip = s->ips[0];
	s->end.ips = (const uint8_t(*)[16])s->ips;
}

void policy_keep(json_t *kept, const char *kind, json_t *object)
{
	struct str list = str_of(text_at(object, "kind"));
	bool typed = str_has_prefix(list, str_of(kind)) &&
		     str_eq(str_from(list, strlen(kind)), STR("List"));
	json_t *item;
	size_t i;

	if (str_is(list, kind))
		(void)json_array_append(kept, object);
	/* a list stands for its items, one level deep */
	json_array_foreach(json_object_get(object, "items"), i, item)
	{
		if (typed || strcmp(text_at(item, "kind"), kind) == 0)
			(void)json_array_append(kept, item);
	}
}

static bool is_on_host_network(const json_t *pod)
{
	return json_is_true(json_object_get(json_object_get(pod, "spec"), "hostNetwork"));
}

static bool is_over(const json_t *pod)
{
	const char *phase = text_at(json_object_get(pod, "status"), "phase");

	return strcmp(phase, "Succeeded") == 0 || strcmp(phase, "Failed") == 0;
}

bool policy_pod_counts(const json_t *pod)
{
	return !is_on_host_network(pod) && !is_over(pod);
}

/* Cilium's policies see identities, and so not each label of a pod. */
static void add_pod_label(struct policy_side *s, enum policy_meaning meaning, struct str key,
			  struct str value)
{
	if (meaning == POLICY_AS_KUBERNETES ? !policy_label_is_given(key)
					    : policy_label_counts(key))
		add_label(s, "k8s", key, value);
}

enum err_code policy_side_of_pod(const json_t *pod, enum policy_meaning meaning,
				 struct policy_side *s, struct err *e)
{
	const json_t *metadata = json_object_get(pod, "metadata");
	const json_t *status = json_object_get(pod, "status");
	const char *account = text_at(json_object_get(pod, "spec"), "serviceAccountName");
	const char *key, *ns = text_at(metadata, "namespace");
	json_t *value, *one;
	size_t i;

	side_init(s);
	s->end.namespace_ = str_of(*ns ? ns : "default");
	s->end.pod = str_of(text_at(metadata, "name"));
	(void)snprintf(s->shown, sizeof s->shown, "%.*s/%.*s", STR_FMT(s->end.namespace_),
		       STR_FMT(s->end.pod));
	json_object_foreach(json_object_get(metadata, "labels"), key, value)
	{
		if (json_is_string(value))
			add_pod_label(s, meaning, str_of(key), str_of(json_string_value(value)));
	}
	if (*account)
		add_label(s, "k8s", STR("io.cilium.k8s.policy.serviceaccount"), str_of(account));
	add_ip(s, text_at(status, "podIP"));
	json_array_foreach(json_object_get(status, "podIPs"), i,
			   one) if (strcmp(text_at(one, "ip"), text_at(status, "podIP")) != 0)
		add_ip(s, text_at(one, "ip"));
	if (!s->text.failed && s->end.label_count < POLICY_END_LABELS)
		return ERR_OK;
	policy_side_done(s);
	return err_set(e, ERR_INVALID, "pod %s has more than %d labels", s->shown,
		       POLICY_END_LABELS - 1);
}

static bool is_pod_named(const json_t *pod, struct str ns, struct str name)
{
	const json_t *metadata = json_object_get(pod, "metadata");
	const char *its = text_at(metadata, "namespace");

	return str_is(name, text_at(metadata, "name")) && str_is(ns, *its ? its : "default");
}

static bool is_address(const json_t *text, const uint8_t ip[16])
{
	uint8_t its[16];

	return json_is_string(text) && ip_parse(str_of(json_string_value(text)), its) &&
	       memcmp(its, ip, 16) == 0;
}

/* The address in member @one, or one of those in the list @all: texts, or objects with an `ip`. */
static bool has_address(const json_t *in, const char *one, const char *all, const uint8_t ip[16])
{
	json_t *entry;
	size_t i;

	if (is_address(json_object_get(in, one), ip))
		return true;
	json_array_foreach(json_object_get(in, all), i, entry)
	{
		if (is_address(json_is_object(entry) ? json_object_get(entry, "ip") : entry, ip))
			return true;
	}
	return false;
}

/* Pods on the node's own network have the node's address; that of one that is over may be another's
 * by now. */
static bool is_pod_at(const json_t *pod, const uint8_t ip[16])
{
	return policy_pod_counts(pod) &&
	       has_address(json_object_get(pod, "status"), "podIP", "podIPs", ip);
}

/* Pods tell the addresses of their nodes. */
static bool is_of_node(const json_t *pods, const uint8_t ip[16])
{
	json_t *pod;
	size_t i;

	json_array_foreach(pods, i, pod)
	{
		if (has_address(json_object_get(pod, "status"), "hostIP", "hostIPs", ip))
			return true;
	}
	return false;
}

static bool is_of_service(const json_t *services, const uint8_t ip[16])
{
	json_t *service;
	size_t i;

	json_array_foreach(services, i, service)
	{
		if (has_address(json_object_get(service, "spec"), "clusterIP", "clusterIPs", ip))
			return true;
	}
	return false;
}

/* The Pod that has it, or nobody known: of Cilium's policies no block and no name selects a node. */
static enum err_code read_address(const struct policy_world *w, const char *text,
				  const uint8_t ip[16], struct policy_side *s, struct err *e)
{
	json_t *pod;
	size_t i;

	json_array_foreach(w->pods, i, pod)
	{
		if (is_pod_at(pod, ip))
			return policy_side_of_pod(pod, w->meaning, s, e);
	}
	/* to Kubernetes a node is an address like any other */
	if (w->meaning == POLICY_AS_CILIUM && is_of_node(w->pods, ip))
		return err_set(e, ERR_INVALID,
			       "%s is a node's address, and policies see the node: ask for host "
			       "or remote-node",
			       text);
	if (is_of_service(w->services, ip))
		return err_set(e, ERR_INVALID,
			       "%s is a service's address, and policies see its backends: ask for "
			       "one of them",
			       text);
	side_init(s);
	add_label(s, "reserved", STR("world"), STR(""));
	add_ip(s, text);
	(void)snprintf(s->shown, sizeof s->shown, "%s", text);
	return ERR_OK;
}

static enum err_code read_pod(const struct policy_world *w, struct str text, struct policy_side *s,
			      struct err *e)
{
	size_t slash = str_find(text, '/'), i;
	json_t *pod;

	json_array_foreach(w->pods, i, pod)
	{
		if (!is_pod_named(pod, str_upto(text, slash), str_from(text, slash + 1)))
			continue;
		if (!is_on_host_network(pod))
			return policy_side_of_pod(pod, w->meaning, s, e);
		return err_set(e, ERR_INVALID,
			       "pod %s is on its node's network, and policies see the node: ask "
			       "for host or remote-node",
			       EXCERPT(text));
	}
	return err_set(e, ERR_NOT_FOUND,
		       "no pod %.*s among the objects; NAMESPACE:KEY=VALUE,… needs none",
		       (int)(text.len < 200 ? text.len : 200), text.p);
}

static enum err_code read_labels(const struct policy_world *w, struct str text,
				 struct policy_side *s, struct err *e)
{
	size_t colon = str_find(text, ':');
	struct str rest = str_from(text, colon + 1), one;

	side_init(s);
	s->end.namespace_ = str_upto(text, colon);
	(void)str_excerpt(text, s->shown, sizeof s->shown);
	while (rest.len && str_split(&rest, ',', &one)) {
		size_t equals = str_find(one, '=');

		if (!equals || equals == one.len || s->end.label_count == POLICY_END_LABELS) {
			policy_side_done(s);
			return err_set(e, ERR_INVALID, "'%s' is no list of KEY=VALUE,…",
				       EXCERPT(text));
		}
		add_pod_label(s, w->meaning, str_upto(one, equals), str_from(one, equals + 1));
	}
	return ERR_OK;
}

static bool is_reserved(const char *text)
{
	static const char *const names[] = { "host",    "remote-node", "kube-apiserver", "health",
					     "ingress", "init",        "unmanaged",      "world" };

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (strcmp(text, names[i]) == 0)
			return true;
	return false;
}

enum err_code policy_side_read(const struct policy_world *w, const char *text,
			       struct policy_side *s, struct err *e)
{
	struct str whole = str_of(text);
	uint8_t ip[16];

	if (ip_parse(whole, ip))
		return read_address(w, text, ip, s, e);
	if (is_reserved(text)) {
		side_init(s);
		add_label(s, "reserved", whole, STR(""));
		if (strcmp(text, "kube-apiserver") == 0) /* a node, too, unless it is outside */
			add_label(s, "reserved", STR("remote-node"), STR(""));
	} else if (str_find(whole, ':') < whole.len) {
		return read_labels(w, whole, s, e);
	} else if (str_find(whole, '/') < whole.len) {
		return read_pod(w, whole, s, e);
	} else {
		return err_set(e, ERR_INVALID,
			       "'%s' is no end: NAMESPACE/POD, NAMESPACE:KEY=VALUE,…, an "
			       "address, host, remote-node, kube-apiserver, health, ingress, init, "
			       "unmanaged or world",
			       EXCERPT(str_of(text)));
	}
	(void)snprintf(s->shown, sizeof s->shown, "%s", text);
	return ERR_OK;
}
