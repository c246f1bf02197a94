#include "observer/kubernetes/local_pods.h"

#include <pthread.h>
#include <stdio.h>
#include <sys/random.h>

enum { BUCKETS = 1024 };

struct local_pod {
	struct local_pod *next;
	uint64_t hash;
	size_t namespace_len, name_len;
	char uid[LOCAL_POD_UID_BYTES];
	char text[]; /* namespace, then name */
};

struct local_pods {
	pthread_mutex_t mx;
	/* guarded by mx */
	struct local_pod *buckets[BUCKETS];
	size_t count;
	uint64_t seed; /* immutable: names are who uses the cluster's */
};

enum err_code local_pods_new(struct local_pods **ret, struct err *e)
{
	AUTO(local_pods_free) struct local_pods *p = calloc(1, sizeof *p);

	if (!p)
		return err_set(e, ERR_NOMEM, "pods of this node");
	(void)pthread_mutex_init(&p->mx, NULL);
	if (getrandom(&p->seed, sizeof p->seed, 0) != sizeof p->seed)
		return err_os(e, "random seed");
	*ret = TAKE(p);
	return ERR_OK;
}

void local_pods_free(struct local_pods *p)
{
	if (!p)
		return;
	for (size_t i = 0; i < BUCKETS; i++)
		for (struct local_pod *next, *at = p->buckets[i]; at; at = next) {
			next = at->next;
			free(at);
		}
	(void)pthread_mutex_destroy(&p->mx);
	free(p);
}

static uint64_t hash_of(const struct local_pods *p, struct str namespace_, struct str name)
{
	return hash_bytes(name.p, name.len, hash_bytes(namespace_.p, namespace_.len, p->seed));
}

/* Where it is, or would be. */
static struct local_pod **place_of(struct local_pods *p, struct str namespace_, struct str name)
{
	uint64_t hash = hash_of(p, namespace_, name);
	struct local_pod **at = &p->buckets[hash % BUCKETS];

	while (*at && !((*at)->hash == hash &&
			str_eq(str_n((*at)->text, (*at)->namespace_len), namespace_) &&
			str_eq(str_n((*at)->text + (*at)->namespace_len, (*at)->name_len), name)))
		at = &(*at)->next;
	return at;
}

static struct local_pod *pod_new(struct str namespace_, struct str name, uint64_t hash)
{
	struct local_pod *pod = calloc(1, sizeof *pod + namespace_.len + name.len);

	if (!pod)
		return NULL;
	pod->hash = hash;
	pod->namespace_len = namespace_.len;
	pod->name_len = name.len;
	if (namespace_.len)
		memcpy(pod->text, namespace_.p, namespace_.len);
	if (name.len)
		memcpy(pod->text + namespace_.len, name.p, name.len);
	return pod;
}

void local_pods_put(struct local_pods *p, struct str namespace_, struct str name, struct str uid)
{
	(void)pthread_mutex_lock(&p->mx);
	struct local_pod **at = place_of(p, namespace_, name);
	if (!*at && p->count < LOCAL_PODS_MAX) {
		*at = pod_new(namespace_, name, hash_of(p, namespace_, name));
		p->count += *at != NULL;
	}
	if (*at)
		(void)snprintf((*at)->uid, sizeof(*at)->uid, "%.*s", STR_FMT(uid));
	(void)pthread_mutex_unlock(&p->mx);
}

void local_pods_remove(struct local_pods *p, struct str namespace_, struct str name)
{
	(void)pthread_mutex_lock(&p->mx);
	struct local_pod **at = place_of(p, namespace_, name), *old = *at;
	if (old) {
		*at = old->next;
		p->count--;
	}
	(void)pthread_mutex_unlock(&p->mx);
	free(old);
}

bool local_pods_find(struct local_pods *p, struct str namespace_, struct str name,
		     char ret_uid[LOCAL_POD_UID_BYTES])
{
	(void)pthread_mutex_lock(&p->mx);
	const struct local_pod *pod = *place_of(p, namespace_, name);
	if (pod)
		memcpy(ret_uid, pod->uid, sizeof pod->uid);
	(void)pthread_mutex_unlock(&p->mx);
	return pod;
}
