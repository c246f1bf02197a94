/* Who the ends of connections are, and by which labels policies can select them. */
#include <stdio.h>

#include "policy/inside.h"
#include "policy/suggest_inside.h"

enum {
	NAME_MAX_BYTES = 4096, /* of what names are told apart by; Kubernetes has none of 254 */
	PAIRS_MAX = 256, /* labels that selectors are made of: any of them will do, if they tell */
};

/* Labels that tell what a pod is, the most usual first. */
static const char *const telling[] = {
	"app.kubernetes.io/name",
	"app",
	"k8s-app",
	"app.kubernetes.io/component",
	"app.kubernetes.io/instance",
	"component",
	"role",
	"tier",
	"name",
	"run",
};

/* Beside what policy_label_counts leaves out: labels of one pod, one run or one release, and those
 * that Cilium makes. */
static bool is_passing(struct str key)
{
	static const char *const keys[] = {
		"app.kubernetes.io/version",
		"app.kubernetes.io/managed-by",
		"app.kubernetes.io/created-by",
		"batch.kubernetes.io/job-name",
		"job-name",
		"version",
		"chart",
		"heritage",
		"helm.sh/chart",
		"rollouts-pod-template-hash",
	};

	for (size_t i = 0; i < ARRAY_LEN(keys); i++)
		if (str_is(key, keys[i]))
			return true;
	return str_has_prefix(key, STR("io.kubernetes.")) ||
	       str_has_prefix(key, STR("io.cilium.")) || !policy_label_counts(key);
}

static size_t rank_of(const struct pair *p)
{
	size_t i = 0;

	while (i < ARRAY_LEN(telling) && !str_is(p->key, telling[i]))
		i++;
	return i;
}

static int by_rank(const void *pa, const void *pb)
{
	const struct pair *a = pa, *b = pb;
	size_t i = rank_of(a), j = rank_of(b);

	return i != j ? (i < j ? -1 : 1) : str_cmp(a->key, b->key);
}

static void pair_put(struct buf *b, const struct pair *p)
{
	buf_str_put(b, p->key);
	buf_char(b, '=');
	buf_str_put(b, p->value);
}

static bool pair_eq(const struct pair *a, const struct pair *b)
{
	return str_eq(a->key, b->key) && str_eq(a->value, b->value);
}

bool label_set_has(const struct label_set *set, const struct pair *p)
{
	for (size_t i = 0; i < set->count; i++)
		if (pair_eq(&set->pairs[i], p))
			return true;
	return false;
}

static struct label_set *set_at(const struct suggest *s, uint32_t i)
{
	return &s->sets[i];
}

void label_sets_free(struct suggest *s)
{
	for (size_t i = 0; i < s->set_count; i++)
		free(s->sets[i].pairs);
	for (size_t i = 0; i < s->group_count; i++) {
		free(s->groups[i].shared);
		free(s->groups[i].chosen);
	}
	free(s->sets);
	free(s->groups);
}

/* --- what an endpoint is ---------------------------------------------------------------------- */

static struct str label_of(const struct endpoint *ep, struct str prefix)
{
	for (size_t i = 0; i < ep->label_count; i++)
		if (str_has_prefix(ep->labels[i], prefix))
			return str_from(ep->labels[i], prefix.len);
	return STR("");
}

static bool has_label(const struct endpoint *ep, struct str label)
{
	for (size_t i = 0; i < ep->label_count; i++)
		if (str_eq(ep->labels[i], label))
			return true;
	return false;
}

static bool is_reserved(const struct endpoint *ep, struct str key)
{
	for (size_t i = 0; i < ep->label_count; i++) {
		const struct label one = label_read(ep->labels[i]);

		if (str_is(one.source, "reserved") && str_eq(one.key, key))
			return true;
	}
	return false;
}

/* What Kubernetes says of it by a label; p NULL: nothing. */
static struct str said_of(const struct endpoint *ep, struct str key)
{
	for (size_t i = 0; i < ep->label_count; i++) {
		const struct label one = label_read(ep->labels[i]);

		if (str_is(one.source, "k8s") && str_eq(one.key, key))
			return one.value;
	}
	return (struct str){ NULL, 0 };
}

static struct str namespace_of(const struct endpoint *ep)
{
	struct str said = said_of(ep, KEY_NAMESPACE);

	return ep->namespace_.len || !said.p ? ep->namespace_ : said;
}

/* Labels of its namespace are told, and Kubernetes' own is not among them: it is before 1.21. */
static bool is_nameless(const struct endpoint *ep)
{
	bool told = false, named = false;

	for (size_t i = 0; i < ep->label_count; i++) {
		const struct label one = label_read(ep->labels[i]);

		told |= str_has_prefix(one.key, KEY_NAMESPACE_LABELS);
		named |= str_is(one.source, "k8s") && str_eq(one.key, KEY_NAMESPACE_NAME) &&
			 str_eq(one.value, namespace_of(ep));
	}
	return told && !named;
}

static bool is_local(const struct suggest *s, const struct endpoint *ep)
{
	const char *own = s->config.cluster ? s->config.cluster : "default";
	struct str said = said_of(ep, KEY_CLUSTER);

	if (said.p)
		return str_is(said, own);
	return !ep->cluster.len || str_is(ep->cluster, "default") || str_is(ep->cluster, own);
}

static struct end nobody(const char *why)
{
	return (struct end){ .kind = END_NOBODY, .why = why };
}

/* All but the group of a pod. */
static struct end look_at(const struct suggest *s, const struct endpoint *ep)
{
	static const struct str entities[] = { STR("kube-apiserver"), STR("remote-node"),
					       STR("host"),           STR("health"),
					       STR("ingress"),        STR("init"),
					       STR("unmanaged") };

	if (!ep || is_reserved(ep, STR("unknown")))
		return nobody("nobody named the other end");
	if (has_label(ep, STR(FLOW_DICT_OVERFLOW_LABEL)))
		return nobody("more names than are held");
	for (size_t i = 0; i < ARRAY_LEN(entities); i++)
		if (is_reserved(ep, entities[i]))
			return (struct end){ .kind = END_ENTITY, .entity = entities[i] };
	if (is_reserved(ep, STR("world")) || is_reserved(ep, STR("world-ipv4")) ||
	    is_reserved(ep, STR("world-ipv6")))
		return (struct end){ .kind = END_WORLD };
	if (label_of(ep, STR("cidr:")).len) /* to Cilium a block is one of addresses outside */
		return s->config.kind == SUGGEST_CILIUM
			       ? nobody("its labels do not say that it is outside")
			       : (struct end){ .kind = END_WORLD };
	struct str ns = namespace_of(ep), said = said_of(ep, KEY_NAMESPACE);
	if (!ns.len)
		return nobody("nobody named the other end");
	if (said.p && !str_eq(said, ns)) /* policies go by labels */
		return nobody("its labels say another namespace than its name");
	if (!is_local(s, ep))
		return (struct end){ .kind = END_NOBODY,
				     .elsewhere = true,
				     .why = "a pod of another cluster than --policy-cluster" };
	if (ns.len > 63 || str_find(ns, '.') < ns.len || !is_subdomain(ns))
		return nobody("a namespace whose name none can have");
	return (struct end){ .kind = END_POD };
}

/* Labels that selectors can ask for, of which two sources do not say different things. */
static enum err_code read_pairs(const struct endpoint *ep, struct pair **ret, size_t *ret_count,
				struct err *e)
{
	size_t n = ep->label_count < PAIRS_MAX ? ep->label_count : PAIRS_MAX;
	size_t count = 0;
	struct pair *pairs = calloc(n + 1, sizeof *pairs);

	if (!pairs)
		return err_set(e, ERR_NOMEM, "labels of pods");
	for (size_t i = 0; i < n; i++) {
		const struct label one = label_read(ep->labels[i]);
		bool twice = false;

		if (!str_is(one.source, "k8s") || is_passing(one.key) ||
		    !label_is_selectable(one.key, one.value))
			continue;
		for (size_t j = 0; j < ep->label_count && !twice; j++)
			twice = i != j && str_eq(label_read(ep->labels[j]).key, one.key);
		if (!twice)
			pairs[count++] = (struct pair){ one.key, one.value };
	}
	qsort(pairs, count, sizeof *pairs, by_rank);
	*ret = pairs;
	*ret_count = count;
	return ERR_OK;
}

void group_share(struct suggest_group *g, const struct label_set *set)
{
	size_t kept = 0;

	for (size_t i = 0; i < g->shared_count; i++)
		if (label_set_has(set, &g->shared[i]))
			g->shared[kept++] = g->shared[i];
	g->shared_count = kept;
}

static enum err_code find_group(struct suggest *s, const struct endpoint *ep, struct str key,
				const struct pair *pairs, size_t count, uint32_t *ret,
				struct err *e)
{
	if (map_get(s->by_group, key, ret))
		return ERR_OK;
	uint32_t at = (uint32_t)s->group_count;
	struct suggest_group g = { .namespace_ = namespace_of(ep), .leader = at };

	if (ep->workload_count) {
		g.name = ep->workloads[0].name;
		g.kind = ep->workloads[0].kind;
	} else if (count && rank_of(pairs) < ARRAY_LEN(telling)) {
		g.name = pairs[0].value;
	}
	if (policy_grow(&s->groups, at, &s->group_room, sizeof *s->groups, e) != ERR_OK)
		return e->code;
	g.shared = calloc(count + 1, sizeof *g.shared);
	if (!g.shared)
		return err_set(e, ERR_NOMEM, "labels of pods");
	memcpy(g.shared, pairs, count * sizeof *pairs);
	g.shared_count = count;
	if (map_put(s->by_group, key, at, &g.key, e) != ERR_OK) {
		free(g.shared);
		return e->code;
	}
	s->groups[at] = g;
	s->group_count++;
	*ret = at;
	return ERR_OK;
}

/* Takes @pairs, whatever comes of it. */
static enum err_code add_set(struct suggest *s, const struct endpoint *ep, struct pair *pairs,
			     size_t count, uint32_t *ret_group, struct err *e)
{
	AUTO(own_free) struct pair *mine = pairs;
	AUTO_BUF struct buf labels = buf_init(1 << 20);
	AUTO_BUF struct buf key = buf_init(1 << 20);
	uint32_t at;

	for (size_t i = 0; i < count; i++) {
		pair_put(&labels, &pairs[i]);
		buf_char(&labels, ',');
	}
	buf_str_put(&key, namespace_of(ep));
	buf_char(&key, '\0');
	if (ep->workload_count) {
		buf_str_put(&key, str_upto(ep->workloads[0].name, NAME_MAX_BYTES));
		buf_char(&key, '\0');
		buf_str_put(&key, str_upto(ep->workloads[0].kind, NAME_MAX_BYTES));
	} else {
		buf_char(&key, '\0');
		buf_str_put(&key, buf_str(&labels));
	}
	size_t group_bytes = key.len;
	buf_char(&key, '\0');
	buf_str_put(&key, buf_str(&labels));
	if (key.failed || labels.failed)
		return err_set(e, ERR_NOMEM, "labels of pods");
	if (map_get(s->by_labels, buf_str(&key), &at)) {
		*ret_group = set_at(s, at)->group;
		return ERR_OK;
	}
	if (s->set_count == SUGGEST_LABEL_SETS_MAX)
		return err_set(e, ERR_CLOSED, "more than %d sets of labels",
			       SUGGEST_LABEL_SETS_MAX);
	at = (uint32_t)s->set_count;
	if (policy_grow(&s->sets, at, &s->set_room, sizeof *s->sets, e) != ERR_OK ||
	    find_group(s, ep, str_upto(buf_str(&key), group_bytes), pairs, count, ret_group, e) !=
		    ERR_OK ||
	    map_put(s->by_labels, buf_str(&key), at, NULL, e) != ERR_OK)
		return e->code;
	s->sets[at] = (struct label_set){ *ret_group, TAKE(mine), count };
	s->set_count++;
	group_share(&s->groups[*ret_group], &s->sets[at]);
	return ERR_OK;
}

enum err_code suggest_end(struct suggest *s, struct endpoint_id id, const struct end **ret,
			  struct err *e)
{
	const struct endpoint *ep = flow_dict_get_endpoint(s->dict, id);
	struct pair *pairs = NULL;
	size_t count = 0;

	while (id.v >= s->end_room) {
		size_t from = s->end_room;
		if (policy_grow(&s->ends, from, &s->end_room, sizeof *s->ends, e) != ERR_OK)
			return e->code;
		memset(s->ends + from, 0, (s->end_room - from) * sizeof *s->ends);
	}
	*ret = &s->ends[id.v];
	if (s->ends[id.v].kind != END_UNSEEN)
		return ERR_OK;
	struct end end = look_at(s, ep);
	if (end.kind == END_POD) {
		if (read_pairs(ep, &pairs, &count, e) != ERR_OK ||
		    add_set(s, ep, pairs, count, &end.group, e) != ERR_OK)
			return e->code;
		struct suggest_group *g = &s->groups[end.group];
		if (!g->pod.len || str_cmp(ep->pod, g->pod) < 0)
			g->pod = ep->pod;
		g->nameless |= is_nameless(ep);
	}
	s->ends[id.v] = end;
	return ERR_OK;
}
