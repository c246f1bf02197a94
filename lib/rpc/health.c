/*
 * grpc.health.v1.Health (https://github.com/grpc/grpc/blob/master/doc/health-checking.md). The name
 * "" stands for the whole server; other names are those the program set. Check of an unknown name
 * is NOT_FOUND, Watch of one says SERVICE_UNKNOWN and waits for it to appear.
 */
#include <stdlib.h>

#include "base/buf.h"
#include "grpc/health/v1/health.pb-c.h"
#include "rpc/serving.h"

typedef Grpc__Health__V1__HealthCheckRequest Request;
typedef Grpc__Health__V1__HealthCheckResponse Response;
typedef Grpc__Health__V1__HealthCheckResponse__ServingStatus Status;
#define SERVING GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__SERVING
#define NOT_SERVING GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__NOT_SERVING
#define SERVICE_UNKNOWN GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__SERVICE_UNKNOWN

enum {
	ANSWER_MAX_BYTES = 16,
	SERVICES_MAX = 1024,
	/* Kept for as long as the watch lasts, and anybody may watch, whom a gate lets do nothing else,
	 * too. */
	WATCHED_NAME_MAX = 1024,
};

struct service {
	char *name;
	Status status;
};

struct health {
	pthread_mutex_t mx;
	struct service *services; /* guarded by mx */
	size_t count;             /* guarded by mx */
	atomic_bool changed;
	struct link watchers; /* server thread only */
};

struct watcher {
	struct link link;
	struct rpc_call *call;
	char *name;
	Status told;
};

static Status status_locked(const struct health *h, const char *name)
{
	for (size_t i = 0; i < h->count; i++)
		if (strcmp(h->services[i].name, name) == 0)
			return h->services[i].status;
	return SERVICE_UNKNOWN;
}

static Status status_of(struct health *h, const char *name)
{
	pthread_mutex_lock(&h->mx);
	Status status = status_locked(h, name);
	pthread_mutex_unlock(&h->mx);
	return status;
}

enum err_code health_new(const char *const *services, size_t count, struct health **ret,
			 struct err *e)
{
	struct health *h = calloc(1, sizeof *h);
	if (!h)
		return err_set(e, ERR_NOMEM, "health service");
	pthread_mutex_init(&h->mx, NULL);
	link_init(&h->watchers);
	health_set(h, "", true);
	for (size_t i = 0; i < count; i++)
		health_set(h, services[i], true);
	if (h->count == 0) {
		health_free(h);
		return err_set(e, ERR_NOMEM, "health service");
	}
	*ret = h;
	return ERR_OK;
}

void health_free(struct health *h)
{
	if (!h)
		return;
	for (size_t i = 0; i < h->count; i++)
		free(h->services[i].name);
	free(h->services);
	pthread_mutex_destroy(&h->mx);
	free(h);
}

void health_set(struct health *h, const char *name, bool serving)
{
	size_t i = 0;

	pthread_mutex_lock(&h->mx);
	while (i < h->count && strcmp(h->services[i].name, name) != 0)
		i++;
	if (i == h->count && h->count < SERVICES_MAX) {
		struct service *more = realloc(h->services, (h->count + 1) * sizeof *more);
		char *copy = str_dup(str_of(name));
		if (more)
			h->services = more;
		if (more && copy)
			h->services[h->count++] = (struct service){ .name = copy };
		else
			free(copy);
	}
	if (i < h->count)
		h->services[i].status = serving ? SERVING : NOT_SERVING;
	pthread_mutex_unlock(&h->mx);
	atomic_store_explicit(&h->changed, true, memory_order_release);
}

static size_t encode(Status status, uint8_t out[static ANSWER_MAX_BYTES])
{
	Response answer = GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__INIT;

	answer.status = status;
	return grpc__health__v1__health_check_response__pack(&answer, out);
}

static void request_free(Request **r)
{
	if (*r)
		grpc__health__v1__health_check_request__free_unpacked(*r, NULL);
}

static Request *decode(struct rpc_call *call, struct str bytes)
{
	Request *r = grpc__health__v1__health_check_request__unpack(NULL, bytes.len,
								    (const uint8_t *)bytes.p);

	if (!r)
		rpc_call_end(call, RPC_INVALID_ARGUMENT, "not a HealthCheckRequest");
	return r;
}

static void check(struct rpc_call *call, struct str bytes, void *ctx)
{
	uint8_t out[ANSWER_MAX_BYTES];
	__attribute__((cleanup(request_free))) Request *r = decode(call, bytes);
	if (!r)
		return;
	Status status = status_of(ctx, r->service);
	if (status == SERVICE_UNKNOWN)
		rpc_call_end(call, RPC_NOT_FOUND, "unknown service");
	else
		rpc_call_reply(call, str_n(out, encode(status, out)));
}

static void list(struct rpc_call *call, struct str bytes, void *ctx)
{
	struct health *h = ctx;
	(void)bytes; /* the request is an empty message */

	pthread_mutex_lock(&h->mx);
	size_t n = h->count, size = 0;
	Grpc__Health__V1__HealthListResponse answer = GRPC__HEALTH__V1__HEALTH_LIST_RESPONSE__INIT;
	Grpc__Health__V1__HealthListResponse__StatusesEntry *entries = calloc(n, sizeof *entries),
							    **ptrs = calloc(n, sizeof(void *));
	Response *values = calloc(n, sizeof *values);
	uint8_t *out = NULL;
	if (entries && ptrs && values) {
		for (size_t i = 0; i < n; i++) {
			grpc__health__v1__health_check_response__init(&values[i]);
			values[i].status = h->services[i].status;
			grpc__health__v1__health_list_response__statuses_entry__init(&entries[i]);
			entries[i].key = h->services[i].name;
			entries[i].value = &values[i];
			ptrs[i] = &entries[i];
		}
		answer.n_statuses = n;
		answer.statuses = ptrs;
		size = grpc__health__v1__health_list_response__get_packed_size(&answer);
		out = malloc(size + 1);
		if (out)
			(void)grpc__health__v1__health_list_response__pack(&answer, out);
	}
	pthread_mutex_unlock(&h->mx);
	if (out)
		rpc_call_reply(call, str_n(out, size));
	else
		rpc_call_end(call, RPC_RESOURCE_EXHAUSTED, "out of memory");
	free(out);
	free(values);
	free(ptrs);
	free(entries);
}

static void tell(struct watcher *w, Status status)
{
	uint8_t out[ANSWER_MAX_BYTES];

	if (w->told == status)
		return;
	w->told = status;
	if (!rpc_call_send(w->call, str_n(out, encode(status, out))))
		rpc_call_end(w->call, RPC_RESOURCE_EXHAUSTED, "client reads too slowly");
}

static void watch_done(void *state)
{
	struct watcher *w = state;

	link_del(&w->link);
	free(w->name);
	free(w);
}

static void watch(struct rpc_call *call, struct str bytes, void *ctx)
{
	/* not pulled: health_publish speaks */
	static const struct rpc_stream_ops ops = { .done = watch_done };
	struct health *h = ctx;
	__attribute__((cleanup(request_free))) Request *r = decode(call, bytes);
	if (!r)
		return;
	if (strlen(r->service) > WATCHED_NAME_MAX) {
		rpc_call_end(call, RPC_INVALID_ARGUMENT,
			     "the name of a service to watch has at most %d bytes",
			     WATCHED_NAME_MAX);
		return;
	}
	struct watcher *w = calloc(1, sizeof *w);
	char *name = str_dup(str_of(r->service));
	if (!w || !name) {
		free(w);
		free(name);
		rpc_call_end(call, RPC_RESOURCE_EXHAUSTED, "out of memory");
		return;
	}
	*w = (struct watcher){ .call = call, .name = name };
	link_append(&h->watchers, &w->link);
	rpc_call_stream(call, &ops, w);
	tell(w, status_of(h, name)); /* "told" is still UNKNOWN, which no service is */
}

void health_publish(struct health *h)
{
	struct link *next;

	if (!atomic_exchange_explicit(&h->changed, false, memory_order_acquire))
		return;
	for (struct link *l = h->watchers.next; l != &h->watchers; l = next) {
		struct watcher *w = LINK_OWNER(l, struct watcher, link);
		next = l->next;
		tell(w, status_of(h, w->name));
		call_pump(w->call);
	}
}

void (*health_method(struct str path))(struct rpc_call *, struct str, void *)
{
	if (str_is(path, "/grpc.health.v1.Health/Check"))
		return check;
	if (str_is(path, "/grpc.health.v1.Health/List"))
		return list;
	if (str_is(path, "/grpc.health.v1.Health/Watch"))
		return watch;
	return NULL;
}
