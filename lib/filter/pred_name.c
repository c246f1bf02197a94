/* Predicates on names: what a flow's endpoints, services and node are called. Each judges a
 * dictionary entry once and remembers the answer by id. */
#include "filter/answers.h"
#include "filter/glob.h"
#include "base/gotext.h"
#include "filter/selector.h"
#include "filter/pred.h"
#include "filter/zone_sets.h"
#include "flow/dict.h"
#include "flow/flow.pb-c.h"

enum whose { SOURCE, DESTINATION, SOURCE_SERVICE, DESTINATION_SERVICE, NODE };

/* "ns/prefix" */
struct path {
	struct str namespace_, prefix; /* "": any */
};

struct name_pred {
	struct pred t;
	const struct flow_dict *dict;
	enum whose whose;
	bool absent; /* the answer for a flow that lacks the entry */
	struct answers answers;
	/* Which one is called depends on @whose; the entry is never NULL. */
	bool (*judge_endpoint)(const struct name_pred *t, const struct endpoint *ep);
	bool (*judge_service)(const struct name_pred *t, const struct service *svc);
	bool (*judge_node)(const struct name_pred *t, const struct node *node);
	/* what is asked for; each predicate uses one of these */
	size_t count;
	uint32_t *identities;
	struct path *paths;
	struct selector **selectors;
	struct node_glob *globs;
	struct strs *texts; /* cluster names, names of workloads, what paths point into */
	struct strs *kinds; /* of workloads */
};

static void name_free(struct pred *t)
{
	struct name_pred *n = (struct name_pred *)t;

	for (size_t i = 0; i < n->count; i++) {
		if (n->selectors)
			selector_free(n->selectors[i]);
		if (n->globs)
			node_glob_done(&n->globs[i]);
	}
	answers_done(&n->answers);
	free(n->identities);
	free(n->paths);
	free(n->selectors);
	free(n->globs);
	free(n->texts);
	free(n->kinds);
	free(n);
}

static void name_forget(struct pred *t)
{
	answers_forget(&((struct name_pred *)t)->answers);
}

static uint32_t id_of(const struct name_pred *n, const struct flow *f)
{
	static const size_t offsets[] = {
		[SOURCE] = offsetof(struct flow, src_ep),
		[DESTINATION] = offsetof(struct flow, dst_ep),
		[SOURCE_SERVICE] = offsetof(struct flow, src_svc),
		[DESTINATION_SERVICE] = offsetof(struct flow, dst_svc),
		[NODE] = offsetof(struct flow, node),
	};

	/* each is a struct of one uint32_t */
	return *(const uint32_t *)((const char *)f + offsets[n->whose]);
}

static bool judge(const struct name_pred *n, uint32_t id)
{
	const struct endpoint *ep;
	const struct service *svc;
	const struct node *node;

	switch (n->whose) {
	case SOURCE:
	case DESTINATION:
		ep = flow_dict_get_endpoint(n->dict, (struct endpoint_id){ id });
		return ep ? n->judge_endpoint(n, ep) : n->absent;
	case SOURCE_SERVICE:
	case DESTINATION_SERVICE:
		svc = flow_dict_get_service(n->dict, (struct service_id){ id });
		return svc ? n->judge_service(n, svc) : n->absent;
	case NODE:
		node = flow_dict_get_node(n->dict, (struct node_id){ id });
		return node ? n->judge_node(n, node) : n->absent;
	}
	return false;
}

static bool answer(struct name_pred *n, uint32_t id)
{
	bool yes;

	if (id == 0)
		return n->absent;
	if (answers_find(&n->answers, id, &yes))
		return yes;
	yes = judge(n, id);
	answers_keep(&n->answers, id, yes);
	return yes;
}

static bool name_matches(struct pred *t, const struct flow *f)
{
	struct name_pred *n = (struct name_pred *)t;

	return f->kind == FLOW_KIND_FLOW ? answer(n, id_of(n, f)) : n->absent;
}

static uint64_t name_matches_block(struct pred *t, const struct block *b, uint64_t asked)
{
	struct name_pred *n = (struct name_pred *)t;
	uint64_t bits = 0;

	for (; asked; asked &= asked - 1) {
		size_t i = (size_t)__builtin_ctzll(asked);

		bits |= (uint64_t)answer(n, id_of(n, &b->flows[i])) << i;
	}
	return bits;
}

static bool name_may_match(struct pred *t, const struct flow_zone *z)
{
	struct name_pred *n = (struct name_pred *)t;
	const struct id_set *ids = n->whose == NODE ? &z->nodes
				   : n->whose == SOURCE_SERVICE || n->whose == DESTINATION_SERVICE
					   ? &z->services
					   : &z->endpoints;

	if (ids->any)
		return true;
	for (size_t w = 0; w < ids->count; w++) {
		const struct answer_word *said =
			w < n->answers.count ? &n->answers.words[w] : &(struct answer_word){ 0 };
		uint64_t unknown = ids->words[w] & ~said->known;

		if (ids->words[w] & said->known & said->yes)
			return true;
		for (; unknown; unknown &= unknown - 1)
			if (answer(n, (uint32_t)(w * 64) + (uint32_t)__builtin_ctzll(unknown)))
				return true;
	}
	return false;
}

static struct name_pred *name_pred_new(const struct flow_dict *dict, enum whose whose,
				       struct err *e)
{
	struct name_pred *n = calloc(1, sizeof *n);

	if (!n) {
		(void)err_set(e, ERR_NOMEM, "flow filter");
		return NULL;
	}
	static const enum flow_member members[] = {
		[SOURCE] = FLOW_MEMBER_SRC_EP,
		[DESTINATION] = FLOW_MEMBER_DST_EP,
		[SOURCE_SERVICE] = FLOW_MEMBER_SERVICES,
		[DESTINATION_SERVICE] = FLOW_MEMBER_SERVICES,
		[NODE] = FLOW_MEMBER_NODE,
	};
	n->t = (struct pred){
		.matches = name_matches,
		.matches_block = name_matches_block,
		.may_match = name_may_match,
		.members = FLOW_MEMBER(members[whose]),
		.forget = name_forget,
		.free = name_free,
		.cost = 2,
	};
	n->dict = dict;
	n->whose = whose;
	return n;
}

/* --- security identity ------------------------------------------------------------------------ */

static bool identity_is_asked(const struct name_pred *n, const struct endpoint *ep)
{
	for (size_t i = 0; i < n->count; i++)
		if (n->identities[i] == ep->identity)
			return true;
	return false;
}

static enum err_code identity_pred_new(const uint32_t *v, size_t count,
				       const struct flow_dict *dict, enum whose whose,
				       struct pred **ret, struct err *e)
{
	if (!count)
		return ERR_OK;
	struct name_pred *n = name_pred_new(dict, whose, e);
	if (!n)
		return ERR_NOMEM;
	AUTO(pred_free) struct pred *made = &n->t;
	n->judge_endpoint = identity_is_asked;
	n->identities = malloc(count * sizeof *v);
	if (!n->identities)
		return err_set(e, ERR_NOMEM, "flow filter");
	memcpy(n->identities, v, count * sizeof *v);
	n->count = count;
	*ret = TAKE(made);
	return ERR_OK;
}

enum err_code pred_source_identity_new(const Flow__FlowFilter *ff, const struct flow_dict *dict,
				       struct pred **ret, struct err *e)
{
	return identity_pred_new(ff->source_identity, ff->n_source_identity, dict, SOURCE, ret, e);
}

enum err_code pred_destination_identity_new(const Flow__FlowFilter *ff,
					    const struct flow_dict *dict, struct pred **ret,
					    struct err *e)
{
	return identity_pred_new(ff->destination_identity, ff->n_destination_identity, dict,
				 DESTINATION, ret, e);
}

/* --- "namespace/name-prefix": pods and services ----------------------------------------------- */

static bool path_is_asked(const struct name_pred *n, struct str namespace_, struct str name)
{
	if (!namespace_.len && !name.len)
		return false;
	for (size_t i = 0; i < n->count; i++) {
		const struct path *p = &n->paths[i];

		if ((!p->namespace_.len || str_eq(p->namespace_, namespace_)) &&
		    str_has_prefix(name, p->prefix))
			return true;
	}
	return false;
}

static bool pod_is_asked(const struct name_pred *n, const struct endpoint *ep)
{
	return path_is_asked(n, ep->namespace_, ep->pod);
}

static bool service_is_asked(const struct name_pred *n, const struct service *svc)
{
	return path_is_asked(n, svc->namespace_, svc->name);
}

static enum err_code path_pred_new(char *const *values, size_t count, const struct flow_dict *dict,
				   enum whose whose, struct pred **ret, struct err *e)
{
	if (!count)
		return ERR_OK;
	struct name_pred *n = name_pred_new(dict, whose, e);
	if (!n)
		return ERR_NOMEM;
	AUTO(pred_free) struct pred *made = &n->t;
	n->judge_endpoint = pod_is_asked;
	n->judge_service = service_is_asked;
	n->texts = strs_copy(values, count);
	n->paths = calloc(count, sizeof *n->paths);
	if (!n->texts || !n->paths)
		return err_set(e, ERR_NOMEM, "flow filter");
	n->count = count;
	for (size_t i = 0; i < count; i++) {
		struct str s = n->texts->v[i];
		size_t slash = str_find(s, '/');

		if (!s.len)
			return err_set(e, ERR_INVALID, "invalid filter, name must not be empty");
		if (slash == s.len) {
			n->paths[i] = (struct path){ STR("default"), s };
			continue;
		}
		/* "ns/pod/more" is "ns/pod": the reference splits at every slash and takes two */
		struct str prefix = str_from(s, slash + 1);
		n->paths[i] = (struct path){ str_upto(s, slash),
					     str_upto(prefix, str_find(prefix, '/')) };
	}
	*ret = TAKE(made);
	return ERR_OK;
}

enum err_code pred_source_pod_new(const Flow__FlowFilter *ff, const struct flow_dict *dict,
				  struct pred **ret, struct err *e)
{
	return path_pred_new(ff->source_pod, ff->n_source_pod, dict, SOURCE, ret, e);
}

enum err_code pred_destination_pod_new(const Flow__FlowFilter *ff, const struct flow_dict *dict,
				       struct pred **ret, struct err *e)
{
	return path_pred_new(ff->destination_pod, ff->n_destination_pod, dict, DESTINATION, ret, e);
}

enum err_code pred_source_service_new(const Flow__FlowFilter *ff, const struct flow_dict *dict,
				      struct pred **ret, struct err *e)
{
	if (path_pred_new(ff->source_service, ff->n_source_service, dict, SOURCE_SERVICE, ret, e) !=
	    ERR_OK)
		return err_in(e, "invalid source service filter");
	return ERR_OK;
}

enum err_code pred_destination_service_new(const Flow__FlowFilter *ff, const struct flow_dict *dict,
					   struct pred **ret, struct err *e)
{
	if (path_pred_new(ff->destination_service, ff->n_destination_service, dict,
			  DESTINATION_SERVICE, ret, e) != ERR_OK)
		return err_in(e, "invalid destination service filter");
	return ERR_OK;
}

/* --- workloads -------------------------------------------------------------------------------- */

static bool workload_is_asked(const struct name_pred *n, const struct endpoint *ep)
{
	for (size_t w = 0; w < ep->workload_count; w++) {
		for (size_t i = 0; i < n->count; i++) {
			struct str name = n->texts->v[i], kind = n->kinds->v[i];

			if ((!name.len || str_eq(name, ep->workloads[w].name)) &&
			    (!kind.len || str_eq(kind, ep->workloads[w].kind)))
				return true;
		}
	}
	return false;
}

static enum err_code workload_pred_new(Flow__Workload *const *values, size_t count,
				       const struct flow_dict *dict, enum whose whose,
				       struct pred **ret, struct err *e)
{
	if (!count)
		return ERR_OK;
	struct name_pred *n = name_pred_new(dict, whose, e);
	if (!n)
		return ERR_NOMEM;
	AUTO(pred_free) struct pred *made = &n->t;
	AUTO(own_free) char **names = calloc(count, sizeof *names);
	AUTO(own_free) char **kinds = calloc(count, sizeof *kinds);
	for (size_t i = 0; names && kinds && i < count; i++) {
		names[i] = values[i]->name;
		kinds[i] = values[i]->kind;
	}
	n->judge_endpoint = workload_is_asked;
	n->texts = names && kinds ? strs_copy(names, count) : NULL;
	n->kinds = names && kinds ? strs_copy(kinds, count) : NULL;
	if (!n->texts || !n->kinds)
		return err_set(e, ERR_NOMEM, "flow filter");
	n->count = count;
	*ret = TAKE(made);
	return ERR_OK;
}

enum err_code pred_source_workload_new(const Flow__FlowFilter *ff, const struct flow_dict *dict,
				       struct pred **ret, struct err *e)
{
	return workload_pred_new(ff->source_workload, ff->n_source_workload, dict, SOURCE, ret, e);
}

enum err_code pred_destination_workload_new(const Flow__FlowFilter *ff,
					    const struct flow_dict *dict, struct pred **ret,
					    struct err *e)
{
	return workload_pred_new(ff->destination_workload, ff->n_destination_workload, dict,
				 DESTINATION, ret, e);
}

/* --- labels of endpoints and nodes ------------------------------------------------------------ */

static bool labels_are_asked(const struct name_pred *n, const struct str *labels, size_t count)
{
	for (size_t i = 0; i < n->count; i++)
		if (selector_match(n->selectors[i], labels, count))
			return true;
	return false;
}

static bool endpoint_labels_are_asked(const struct name_pred *n, const struct endpoint *ep)
{
	return labels_are_asked(n, ep->labels, ep->label_count);
}

static bool node_labels_are_asked(const struct name_pred *n, const struct node *node)
{
	return labels_are_asked(n, node->labels, node->label_count);
}

static enum err_code label_pred_new(char *const *values, size_t count, const struct flow_dict *dict,
				    enum whose whose, const char *name, struct pred **ret,
				    struct err *e)
{
	if (!count)
		return ERR_OK;
	struct name_pred *n = name_pred_new(dict, whose, e);
	if (!n)
		return ERR_NOMEM;
	AUTO(pred_free) struct pred *made = &n->t;
	n->judge_endpoint = endpoint_labels_are_asked;
	n->judge_node = node_labels_are_asked;
	n->selectors = calloc(count, sizeof(struct selector *));
	if (!n->selectors)
		return err_set(e, ERR_NOMEM, "flow filter");
	n->count = count;
	for (size_t i = 0; i < count; i++)
		if (selector_new(str_of(values[i]), &n->selectors[i], e) != ERR_OK)
			return err_in(e, "invalid %s label filter", name);
	/* Whatever has no labels, be it no flow at all, has none of them: "!app" selects it. */
	n->absent = labels_are_asked(n, NULL, 0);
	n->t.sees_events = true;
	*ret = TAKE(made);
	return ERR_OK;
}

enum err_code pred_source_label_new(const Flow__FlowFilter *ff, const struct flow_dict *dict,
				    struct pred **ret, struct err *e)
{
	return label_pred_new(ff->source_label, ff->n_source_label, dict, SOURCE, "source", ret, e);
}

enum err_code pred_destination_label_new(const Flow__FlowFilter *ff, const struct flow_dict *dict,
					 struct pred **ret, struct err *e)
{
	return label_pred_new(ff->destination_label, ff->n_destination_label, dict, DESTINATION,
			      "destination", ret, e);
}

enum err_code pred_node_labels_new(const Flow__FlowFilter *ff, const struct flow_dict *dict,
				   struct pred **ret, struct err *e)
{
	return label_pred_new(ff->node_labels, ff->n_node_labels, dict, NODE, "node", ret, e);
}

/* --- node names ------------------------------------------------------------------------------- */

static bool node_is_asked(const struct name_pred *n, const struct node *node)
{
	for (size_t i = 0; i < n->count; i++)
		if (node_glob_match(&n->globs[i], node->name))
			return true;
	return false;
}

enum err_code pred_node_name_new(const Flow__FlowFilter *ff, const struct flow_dict *dict,
				 struct pred **ret, struct err *e)
{
	size_t count = ff->n_node_name;

	if (!count)
		return ERR_OK;
	struct name_pred *n = name_pred_new(dict, NODE, e);
	if (!n)
		return ERR_NOMEM;
	AUTO(pred_free) struct pred *made = &n->t;
	n->judge_node = node_is_asked;
	n->globs = calloc(count, sizeof *n->globs);
	if (!n->globs)
		return err_set(e, ERR_NOMEM, "flow filter");
	n->count = count;
	for (size_t i = 0; i < count; i++) {
		enum err_code code = node_glob_init(&n->globs[i], str_of(ff->node_name[i]), e);

		if (code != ERR_OK)
			return code;
	}
	*ret = TAKE(made);
	return ERR_OK;
}

/* --- clusters of endpoints -------------------------------------------------------------------- */

static bool cluster_is_asked(const struct name_pred *n, const struct endpoint *ep)
{
	return strs_have(n->texts, ep->cluster);
}

static enum err_code cluster_pred_new(char *const *values, size_t count,
				      const struct flow_dict *dict, enum whose whose,
				      struct pred **ret, struct err *e)
{
	if (!count)
		return ERR_OK;
	for (size_t i = 0; i < count; i++)
		if (!values[i][0])
			return err_set(e, ERR_INVALID, "invalid filter, name must not be empty");
	struct name_pred *n = name_pred_new(dict, whose, e);
	if (!n)
		return ERR_NOMEM;
	AUTO(pred_free) struct pred *made = &n->t;
	n->judge_endpoint = cluster_is_asked;
	n->texts = strs_copy(values, count);
	if (!n->texts)
		return err_set(e, ERR_NOMEM, "flow filter");
	*ret = TAKE(made);
	return ERR_OK;
}

enum err_code pred_source_cluster_name_new(const Flow__FlowFilter *ff, const struct flow_dict *dict,
					   struct pred **ret, struct err *e)
{
	return cluster_pred_new(ff->source_cluster_name, ff->n_source_cluster_name, dict, SOURCE,
				ret, e);
}

enum err_code pred_destination_cluster_name_new(const Flow__FlowFilter *ff,
						const struct flow_dict *dict, struct pred **ret,
						struct err *e)
{
	return cluster_pred_new(ff->destination_cluster_name, ff->n_destination_cluster_name, dict,
				DESTINATION, ret, e);
}
