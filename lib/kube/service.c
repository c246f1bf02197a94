#include "kube/service.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "kube/client.h"

enum { SERVICE_MAX = 1 << 20, LIST_MAX = 64 << 20, PATH_MAX_ = 4096, LIST_ASKED = 500 };

/* RFC 1123, as Kubernetes has names: it becomes part of a path. */
static bool is_name(const char *s, size_t size)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyz0123456789-.";

	return s && *s && strlen(s) < size && strspn(s, letters) == strlen(s) && *s != '.';
}

static const char *text_of(const json_t *v, const char *key)
{
	return json_string_value(json_object_get(v, key));
}

/* NULL: there is none that is called "grpc". */
static const json_t *port_of_grpc(const json_t *service)
{
	const json_t *ports = json_object_get(json_object_get(service, "spec"), "ports"), *port;
	size_t i;

	json_array_foreach(ports, i, port)
	{
		const char *name = text_of(port, "name");
		if (name && strcmp(name, "grpc") == 0)
			return port;
	}
	return NULL;
}

static const json_t *pick_port(const json_t *service)
{
	const json_t *port = port_of_grpc(service);

	return port ? port
		    : json_array_get(json_object_get(json_object_get(service, "spec"), "ports"), 0);
}

static bool is_ready(const json_t *pod)
{
	const json_t *status = json_object_get(pod, "status"), *condition;
	const char *phase = text_of(status, "phase");
	size_t i;

	if (json_object_get(json_object_get(pod, "metadata"), "deletionTimestamp") || !phase ||
	    strcmp(phase, "Running") != 0)
		return false;
	json_array_foreach(json_object_get(status, "conditions"), i, condition)
	{
		const char *type = text_of(condition, "type"), *is = text_of(condition, "status");
		if (type && is && strcmp(type, "Ready") == 0)
			return strcmp(is, "True") == 0;
	}
	return false;
}

/* What @port of a service is in @pod; 0: the pod has none of that name. */
static json_int_t port_in(const json_t *pod, const json_t *port)
{
	const json_t *target = json_object_get(port, "targetPort"), *container, *its;
	const char *name = json_string_value(target);
	size_t i, k;

	if (json_is_integer(target) && json_integer_value(target))
		return json_integer_value(target);
	if (!name)
		return json_integer_value(json_object_get(port, "port"));
	json_array_foreach(json_object_get(json_object_get(pod, "spec"), "containers"), i,
			   container)
	{
		json_array_foreach(json_object_get(container, "ports"), k, its)
		{
			const char *called = text_of(its, "name");
			if (called && strcmp(called, name) == 0)
				return json_integer_value(json_object_get(its, "containerPort"));
		}
	}
	return 0;
}

static enum err_code pick_pod(const json_t *service, const json_t *pods, struct kube_port *ret,
			      struct err *e)
{
	const json_t *port = pick_port(service), *pod;
	const char *name = text_of(json_object_get(service, "metadata"), "name");
	size_t i, ready = 0;

	name = name ? name : "";
	if (!port)
		return err_set(e, ERR_NOT_FOUND, "service '%s' has no port", name);
	json_array_foreach(json_object_get(pods, "items"), i, pod)
	{
		const char *its = text_of(json_object_get(pod, "metadata"), "name");
		json_int_t number = port_in(pod, port);
		if (!is_ready(pod))
			continue;
		ready++;
		if (!is_name(its, sizeof ret->pod) || number <= 0 || number > UINT16_MAX)
			continue;
		ret->port = (uint16_t)number;
		(void)snprintf(ret->pod, sizeof ret->pod, "%s", its);
		(void)snprintf(ret->service, sizeof ret->service, "%.63s", name);
		return ERR_OK;
	}
	return ready ? err_set(e, ERR_NOT_FOUND,
			       "no pod of service '%s' has the port that it names", name)
		     : err_set(e, ERR_NOT_FOUND, "no pod of service '%s' is ready", name);
}

/* "a=b,c=d", for a query; @b fails where there is no memory. */
static void selector_put(struct buf *b, const json_t *selector)
{
	const char *key;
	json_t *value;
	const char *comma = "";

	json_object_foreach((json_t *)(uintptr_t)selector, key, value)
	{
		char *k = curl_easy_escape(NULL, key, 0);
		char *v = curl_easy_escape(
			NULL, json_string_value(value) ? json_string_value(value) : "", 0);
		if (k && v)
			buf_printf(b, "%s%s%%3D%s", comma, k, v);
		else
			b->failed = true;
		comma = "%2C";
		curl_free(k);
		curl_free(v);
	}
}

/* One connection for all that is asked. */
struct asking {
	const struct kube_config *config;
	CURL *curl;
	char why[CURL_ERROR_SIZE];
};

static enum err_code find_pod(struct asking *a, const json_t *service, struct kube_port *ret,
			      struct err *e)
{
	const json_t *selector = json_object_get(json_object_get(service, "spec"), "selector");
	AUTO_BUF struct buf path = buf_init(PATH_MAX_);
	json_t *pods = NULL;

	if (!json_object_size(selector))
		return err_set(e, ERR_NOT_FOUND, "the service selects no pods");
	buf_printf(&path, "/api/v1/namespaces/%s/pods?limit=%d&labelSelector=", ret->namespace_,
		   LIST_ASKED);
	selector_put(&path, selector);
	const char *text = buf_cstr(&path);
	if (path.failed)
		return err_set(e, ERR_NOMEM, "the service's selector");
	if (kube_client_ask(a->curl, a->why, a->config, text, NULL, LIST_MAX, &pods, e) != ERR_OK)
		return err_in(e, "pods in namespace '%s'", ret->namespace_);
	enum err_code code = pick_pod(service, pods, ret, e);
	json_decref(pods);
	return code;
}

static enum err_code nothing_found(const struct kube_wanted *w, struct err *e)
{
	AUTO_BUF struct buf b = buf_init(1024);

	for (size_t i = 0; i < w->count; i++)
		buf_printf(&b, "%s'%s'", i ? " or " : "", w->names[i]);
	return err_set(e, ERR_NOT_FOUND, "there is no service %s in namespace '%s'", buf_cstr(&b),
		       w->namespace_);
}

/* ERR_CLOSED, without a sentence: there is none with these labels. */
static enum err_code find_by_labels(struct asking *a, const struct kube_wanted *w,
				    struct kube_port *found, struct err *e)
{
	char path[PATH_MAX_];
	json_t *all = NULL;
	const json_t *service;
	size_t i;

	(void)snprintf(path, sizeof path,
		       "/api/v1/namespaces/%s/services?limit=%d&labelSelector=%s", w->namespace_,
		       LIST_ASKED, w->labels);
	enum err_code code =
		kube_client_ask(a->curl, a->why, a->config, path, NULL, LIST_MAX, &all, e);
	if (code != ERR_OK)
		return code;
	code = ERR_CLOSED;
	json_array_foreach(json_object_get(all, "items"), i, service)
	{
		if (!port_of_grpc(service))
			continue; /* that of its metrics, say */
		code = find_pod(a, service, found, e);
		break;
	}
	json_decref(all);
	return code;
}

static enum err_code find(struct asking *a, const struct kube_wanted *w, struct kube_port *found,
			  struct err *e)
{
	struct err denied = { .code = ERR_OK };

	for (size_t i = 0; i < w->count; i++) {
		char path[PATH_MAX_];
		json_t *service = NULL;
		if (!is_name(w->names[i], sizeof found->service))
			return err_set(e, ERR_INVALID, "'%s' cannot be a service", w->names[i]);
		(void)snprintf(path, sizeof path, "/api/v1/namespaces/%s/services/%s",
			       w->namespace_, w->names[i]);
		enum err_code code = kube_client_ask(a->curl, a->why, a->config, path, NULL,
						     SERVICE_MAX, &service, e);
		if (code == ERR_OK) {
			code = find_pod(a, service, found, e);
			json_decref(service);
			return code;
		}
		/* Who may not see one may still see the next. */
		if (code == ERR_PERMISSION && denied.code == ERR_OK) {
			denied = *e;
			(void)err_in(&denied, "service '%s'", w->names[i]);
		}
		if (code != ERR_PERMISSION && code != ERR_NOT_FOUND)
			return err_in(e, "service '%s'", w->names[i]);
	}
	if (denied.code != ERR_OK) {
		*e = denied;
		return e->code;
	}
	/* Who may not list them has been told of each by name that it is not there. */
	enum err_code code = w->labels ? find_by_labels(a, w, found, e) : ERR_CLOSED;
	return code == ERR_CLOSED || code == ERR_PERMISSION ? nothing_found(w, e) : code;
}

enum err_code kube_service_find(const struct kube_config *config, const struct kube_wanted *wanted,
				struct kube_port *ret, struct err *e)
{
	struct kube_port found = { .port = 0 };
	struct asking a = { .config = config };
	struct err mine;

	e = e ? e : &mine;
	if (!is_name(wanted->namespace_, sizeof found.namespace_))
		return err_set(e, ERR_INVALID, "'%s' cannot be a namespace", wanted->namespace_);
	(void)snprintf(found.namespace_, sizeof found.namespace_, "%s", wanted->namespace_);
	a.curl = kube_client_new(config, a.why);
	if (!a.curl)
		return err_set(e, ERR_NOMEM, "a client of the API server");
	enum err_code code = find(&a, wanted, &found, e);
	curl_easy_cleanup(a.curl);
	if (code == ERR_OK)
		*ret = found;
	return code;
}
