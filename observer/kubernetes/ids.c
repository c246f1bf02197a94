#include "observer/kubernetes/ids.h"

static int cmp_label(const void *a, const void *b)
{
	return str_cmp(*(const struct str *)a, *(const struct str *)b);
}

/* Labels in order, each ended by NUL. Borrowed until the next call. */
static struct str key_of(struct kube_world *w, struct str *labels, size_t count)
{
	struct buf *b = &w->reading.text;

	qsort(labels, count, sizeof *labels, cmp_label);
	buf_reset(b);
	for (size_t i = 0; i < count; i++) {
		buf_str_put(b, labels[i]);
		buf_char(b, 0);
	}
	return buf_str(b);
}

static struct str key_of_identity(struct kube_world *w, const struct kube_thing *identity)
{
	struct str labels[KUBE_LABELS_MAX];

	memcpy(labels, identity->own_labels, identity->own_label_count * sizeof *labels);
	return key_of(w, labels, identity->own_label_count);
}

static enum err_code add(struct kube_world *w, struct map *ids, const struct kube_thing *identity,
			 struct err *e)
{
	struct str key = key_of_identity(w, identity);
	uint32_t other;

	if (map_get(ids, key, &other) && other && other < identity->identity)
		return ERR_OK;
	return map_put(ids, key, identity->identity, NULL, e);
}

enum err_code kube_ids_know(struct kube_world *w, struct err *e)
{
	AUTO(map_free) struct map *ids = NULL;
	enum err_code code;

	if (w->ids || !kube_world_count(w, KUBE_CILIUM_IDENTITIES))
		return ERR_OK;
	code = map_new(KUBE_THINGS_MAX, w->seed, &ids, e);
	EACH_THING(w, KUBE_CILIUM_IDENTITIES, t)
	{
		if (code == ERR_OK)
			code = add(w, ids, t, e);
	}
	if (code == ERR_OK)
		w->ids = TAKE(ids);
	return code;
}

uint32_t kube_ids_find(struct kube_world *w, struct str *labels, size_t count)
{
	uint32_t identity = 0;

	if (w->ids)
		(void)map_get(w->ids, key_of(w, labels, count), &identity);
	return identity;
}

/* --- changes ------------------------------------------------------------------------------ */

static bool has(const struct str *labels, size_t count, struct str label)
{
	for (size_t i = 0; i < count; i++)
		if (str_eq(labels[i], label))
			return true;
	return false;
}

static bool has_all(const struct kube_thing *identity, const struct str *labels, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (!has(identity->own_labels, identity->own_label_count, labels[i]))
			return false;
	return true;
}

/* The lowest of the others that have the labels of @gone; 0: none has. */
static uint32_t next_of(const struct kube_world *w, const struct kube_thing *gone)
{
	uint32_t lowest = 0;

	EACH_THING(w, KUBE_CILIUM_IDENTITIES, t)
	{
		if (t->own_label_count == gone->own_label_count && t->identity != gone->identity &&
		    (!lowest || t->identity < lowest) &&
		    has_all(gone, t->own_labels, t->own_label_count))
			lowest = t->identity;
	}
	return lowest;
}

static enum err_code forget(struct kube_world *w, const struct kube_thing *gone)
{
	struct str key = key_of_identity(w, gone);
	uint32_t now;

	if (!map_get(w->ids, key, &now) || now != gone->identity)
		return ERR_OK;
	return map_put(w->ids, key, next_of(w, gone), NULL, NULL);
}

static struct str namespace_of(const struct kube_thing *identity)
{
	const struct str before = STR("k8s:io.kubernetes.pod.namespace=");

	for (size_t i = 0; i < identity->own_label_count; i++)
		if (str_has_prefix(identity->own_labels[i], before))
			return str_from(identity->own_labels[i], before.len);
	return STR("");
}

/* Pods whose labels, with those of their namespace, are the identity's. */
static void touch_pods(struct kube_world *w, const struct kube_thing *identity)
{
	struct str name = namespace_of(identity);
	const struct kube_thing *ns = *kube_find(&w->things[KUBE_NAMESPACES], STR(""), name);
	size_t more = ns ? ns->own_label_count : 0;
	const struct kube_labels *last = NULL;
	bool is_same = false;

	if (!name.len || (ns && !has_all(identity, ns->own_labels, more)))
		return;
	EACH_THING(w, KUBE_PODS, pod)
	{
		if (pod->labels->count + more != identity->own_label_count ||
		    !str_eq(pod->namespace_, name))
			continue;
		if (pod->labels != last)
			is_same = has_all(identity, pod->labels->list, pod->labels->count);
		last = pod->labels;
		if (is_same)
			kube_claims_touch(&w->claims, pod);
	}
}

static bool note(struct kube_world *w, uint32_t identity)
{
	if (w->changed_id_count == KUBE_CHANGED_IDS)
		return false;
	w->changed_ids[w->changed_id_count++] = identity;
	return true;
}

void kube_ids_change(struct kube_world *w, const struct kube_thing *old,
		     const struct kube_thing *new)
{
	enum err_code code = ERR_OK;

	if (!w->was_told || w->wants_all || !note(w, new ? new->identity : old->identity)) {
		map_free(w->ids);
		w->ids = NULL;
		w->wants_all = true;
		return;
	}
	if (old && w->ids)
		code = forget(w, old);
	if (new && w->ids && code == ERR_OK)
		code = add(w, w->ids, new, NULL);
	if (code != ERR_OK) { /* made again when they are asked for */
		map_free(w->ids);
		w->ids = NULL;
	}
	if (old)
		touch_pods(w, old);
	if (new)
		touch_pods(w, new);
}
