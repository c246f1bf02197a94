#include <errno.h>
#include <stdio.h>

#include "base/buf.h"
#include "flow/names.h"
#include "observer/name/inside.h"
#include "observer/name/told.h"

/* --- publishing --------------------------------------------------------------------------- */

static void state_unref(struct state *s)
{
	if (--s->refs)
		return;
	snapshot_free(s->snapshot);
	free(s);
}

void name_free_versions(struct version *v)
{
	while (v) {
		struct version *older = v->older;
		for (size_t i = 0; i < v->state_count; i++)
			state_unref(v->states[i]);
		free(v);
		v = older;
	}
}

/* With mx. What was true before the newest state of @v, as far as there is room. */
static void remember_past(struct version *v, const struct version *before)
{
	struct wall_ns until = v->since;
	size_t bytes = 0;

	if (!before || !v->since.v)
		return;
	before->states[0]->bytes = snapshot_own_bytes(v->snapshot); /* what is in its place now */
	for (size_t i = 0; i < before->state_count && v->state_count <= NAME_PAST; i++) {
		struct state *s = before->states[i];

		bytes += s->bytes;
		if (bytes > NAME_PAST_BYTES || until.v + NAME_PAST_S * NS_PER_S < v->since.v)
			return;
		s->refs++;
		v->states[v->state_count++] = s;
		until = s->since;
	}
}

enum err_code name_publish(struct name_table *t, struct snapshot *s, struct wall_ns since,
			   struct err *e)
{
	struct version *v = calloc(1, sizeof *v);
	struct state *state = malloc(sizeof *state);

	if (!v || !state) {
		free(v);
		free(state);
		snapshot_free(s);
		return err_set(e, ERR_NOMEM, "name table");
	}
	v->number = t->newest ? t->newest->number + 1 : 1;
	*state = (struct state){ s, v->number, since, 1, 0 };
	v->snapshot = s;
	v->since = since;
	v->states[v->state_count++] = state;
	remember_past(v, t->newest);
	v->older = t->newest;
	t->newest = v;
	atomic_store_explicit(&t->current, v, memory_order_release); /* pairs with load_current */

	uint64_t in_use = atomic_load_explicit(&t->capture_at,
					       memory_order_acquire); /* pairs with load_current */
	while (v->number > in_use && v->older)
		v = v->older;
	name_free_versions(v->older);
	v->older = NULL;
	return ERR_OK;
}

/* With mx. What a provider says first has been true before it said so. */
static struct wall_ns since_of(struct name_table *t, unsigned which, struct wall_ns since)
{
	bool first = !t->has_spoken[which];

	t->has_spoken[which] = true;
	if (first)
		return (struct wall_ns){ 0 };
	return since.v ? since : wall_now();
}

/* With mx. Puts @fresh in the place of part @which and publishes; takes what @fresh holds, and
 * leaves there what is to be freed. */
static enum err_code replace_part(struct name_table *t, unsigned which, struct snapshot_part *fresh,
				  struct wall_ns since, struct err *e)
{
	struct snapshot_part parts[PARTS];
	struct snapshot *s;

	memcpy(parts, t->parts, sizeof parts);
	parts[which] = *fresh;
	enum err_code code = snapshot_new(parts, PARTS, t->world, t->host, &s, e);
	if (code == ERR_OK)
		code = name_publish(t, s, since_of(t, which, since), e);
	if (code != ERR_OK)
		return code;
	*fresh = t->parts[which];
	t->parts[which] = parts[which];
	return ERR_OK;
}

/* What a prefix held is needed no more. @ctx: the table. */
static void let_go(void *ctx, const struct snapshot_prefix *x)
{
	struct name_table *t = ctx;

	if (x->held_identity)
		numbers_drop(t->identities, x->held_identity);
	if (x->held_local)
		numbers_drop(t->endpoint_ids, x->held_local);
}

static void free_part(struct name_table *t, struct snapshot_part *part)
{
	for (size_t i = 0; i < part->prefix_count; i++)
		let_go(t, &part->prefixes[i]);
	part_done(part);
}

/* --- numbers ------------------------------------------------------------------------------ */

static int compare_strs(const void *a, const void *b)
{
	return str_cmp(*(const struct str *)a, *(const struct str *)b);
}

/* One endpoint of a view, while numbers are given out. */
struct draft {
	const struct name_prefix *in;
	struct str *labels; /* sorted, unique; in the draft list's block */
	size_t label_count;
	struct str set; /* labels as one text */
	size_t index;
};

static size_t sort_unique(struct str *labels, size_t n)
{
	size_t kept = 0;

	qsort(labels, n, sizeof *labels, compare_strs);
	for (size_t i = 0; i < n; i++)
		if (!kept || !str_eq(labels[kept - 1], labels[i]))
			labels[kept++] = labels[i];
	return kept;
}

static int compare_sets(const void *a, const void *b)
{
	return str_cmp(((const struct draft *)a)->set, ((const struct draft *)b)->set);
}

/* What endpoints are called while the view is built. */
struct drafts {
	struct draft *list;
	struct str *labels;
	struct buf sets;
};

static void drafts_done(struct drafts *d)
{
	free(d->list);
	free(d->labels);
	buf_done(&d->sets);
}

/* A view's identities by number, each once. */
struct identity_list {
	const struct name_identity **list;
	size_t count;
};

static int compare_identities(const void *a, const void *b)
{
	const struct name_identity *x = *(const struct name_identity *const *)a;
	const struct name_identity *y = *(const struct name_identity *const *)b;

	if (x->identity != y->identity)
		return x->identity < y->identity ? -1 : 1;
	return x < y ? -1 : x > y; /* in the view's order */
}

static enum err_code sort_identities(const struct name_view *view, struct identity_list *ret,
				     struct err *e)
{
	size_t n = 0;

	ret->list = calloc(view->identity_count + 1, sizeof *ret->list);
	if (!ret->list)
		return err_set(e, ERR_NOMEM, "%zu identities", view->identity_count);
	for (size_t i = 0; i < view->identity_count; i++)
		ret->list[i] = &view->identities[i];
	qsort(ret->list, view->identity_count, sizeof *ret->list, compare_identities);
	for (size_t i = 0; i < view->identity_count; i++)
		if (!n || ret->list[n - 1]->identity != ret->list[i]->identity)
			ret->list[n++] = ret->list[i];
	ret->count = n;
	return ERR_OK;
}

/* Labels that @p is shown with, before sorting. */
static size_t labels_of(const struct identity_list *ids, const struct name_prefix *p,
			const struct str **ret, struct str reserved[2])
{
	uint32_t identity = p->endpoint.identity;

	*ret = p->endpoint.labels;
	if (!p->verbatim || p->endpoint.label_count)
		return p->endpoint.label_count;
	for (size_t lo = 0, hi = ids->count; lo < hi;) {
		size_t mid = lo + (hi - lo) / 2;
		if (ids->list[mid]->identity == identity) {
			*ret = ids->list[mid]->labels;
			return ids->list[mid]->label_count;
		}
		if (ids->list[mid]->identity < identity)
			lo = mid + 1;
		else
			hi = mid;
	}
	*ret = reserved;
	return said_reserved_labels(identity, reserved);
}

/* Drafts of all prefixes of @view in order of their label sets, so that numbers do not depend on
 * the view's order. */
static enum err_code make_drafts(const struct name_view *view, const struct identity_list *ids,
				 struct drafts *d, struct err *e)
{
	size_t labels = 0, set_bytes = 0;
	struct str reserved[2];
	const struct str *of;

	for (size_t i = 0; i < view->prefix_count; i++) {
		size_t n = labels_of(ids, &view->prefixes[i], &of, reserved);
		labels += n;
		for (size_t l = 0; l < n; l++)
			set_bytes += of[l].len + 1;
	}
	d->list = calloc(view->prefix_count + 1, sizeof *d->list);
	d->labels = calloc(labels + 1, sizeof *d->labels);
	d->sets = buf_init(set_bytes);
	if (!d->list || !d->labels || (set_bytes && !buf_reserve(&d->sets, set_bytes)))
		return err_set(e, ERR_NOMEM, "names of %zu addresses", view->prefix_count);
	struct str *next = d->labels;
	for (size_t i = 0; i < view->prefix_count; i++) {
		struct draft *dr = &d->list[i];
		*dr = (struct draft){ .in = &view->prefixes[i], .labels = next, .index = i };
		size_t n = labels_of(ids, dr->in, &of, reserved);
		for (size_t l = 0; l < n; l++)
			*next++ = of[l];
		if (dr->in->verbatim && !dr->in->local)
			n = said_filter_labels(dr->in->endpoint.identity, dr->labels, n);
		dr->label_count = sort_unique(dr->labels, n);
		size_t start = d->sets.len;
		for (size_t l = 0; l < dr->label_count; l++) {
			buf_str_put(&d->sets, dr->labels[l]);
			buf_char(&d->sets, ';');
		}
		dr->set = str_from(buf_str(&d->sets), start);
	}
	qsort(d->list, view->prefix_count, sizeof *d->list, compare_sets);
	return ERR_OK;
}

/* *@ret_held: the same, if it is one of ours. */
static uint32_t identity_of(struct name_table *t, const struct draft *dr, uint32_t *ret_held)
{
	struct str prefix = STR("reserved:");
	uint32_t identity;

	if (dr->in->endpoint.identity || dr->in->verbatim)
		return dr->in->endpoint.identity;
	if (dr->label_count == 1 && str_has_prefix(dr->labels[0], prefix) &&
	    identity_parse_name(str_from(dr->labels[0], prefix.len), &identity))
		return identity;
	return *ret_held = numbers_get(t->identities, dr->set);
}

static uint32_t endpoint_id_of(struct name_table *t, const struct name_prefix *p,
			       uint32_t *ret_held)
{
	char text[1024], ip[FLOW_IP_TEXT_BYTES];
	const struct endpoint *ep = &p->endpoint;

	if (ep->id || !p->local)
		return ep->id;
	int len = ep->pod.len ? snprintf(text, sizeof text, "%.*s/%.*s/%.*s", STR_FMT(ep->cluster),
					 STR_FMT(ep->namespace_), STR_FMT(ep->pod))
			      : snprintf(text, sizeof text, "%.*s", STR_FMT(ip_text(p->ip, ip)));
	return *ret_held = numbers_get(t->endpoint_ids,
				       str_upto(str_n(text, sizeof text - 1), (size_t)len));
}

/* A bare endpoint: labels and cluster, nothing else. @labels: room for those of @in. */
static struct snapshot_identity bare_identity(struct name_table *t, const struct name_identity *in,
					      struct str *labels)
{
	for (size_t l = 0; l < in->label_count; l++)
		labels[l] = in->labels[l];
	size_t n = said_filter_labels(in->identity, labels, in->label_count);
	struct endpoint ep = { .identity = in->identity, .labels = labels };
	ep.label_count = sort_unique(labels, n);
	ep.cluster = said_cluster(labels, ep.label_count);
	return (struct snapshot_identity){ in->identity, flow_dict_endpoint(t->dict, &ep) };
}

static enum err_code make_identities(struct name_table *t, const struct identity_list *ids,
				     struct snapshot_part *part, struct err *e)
{
	struct str *labels = NULL;
	size_t most = 0;

	for (size_t i = 0; i < ids->count; i++)
		if (ids->list[i]->label_count > most)
			most = ids->list[i]->label_count;
	labels = calloc(most + 1, sizeof *labels);
	if (!labels)
		return err_set(e, ERR_NOMEM, "%zu identities", ids->count);
	for (size_t i = 0; i < ids->count; i++)
		part->identities[part->identity_count++] = bare_identity(t, ids->list[i], labels);
	free(labels);
	return ERR_OK;
}

static uint8_t bits_of(const struct name_prefix *p)
{
	/* the node's own addresses, told by a provider that has no endpoint for it */
	bool is_host = p->endpoint.identity == IDENTITY_HOST && !p->local && !p->verbatim;

	return (uint8_t)(WHO_CLAIMED | (p->local ? WHO_LOCAL : 0) | (is_host ? WHO_HOST : 0) |
			 (p->pod_not_cached ? WHO_NO_POD : 0));
}

/* With mx. What the table keeps of a draft; it holds its numbers. */
static struct snapshot_prefix intern(struct name_table *t, const struct draft *dr)
{
	struct endpoint ep = dr->in->endpoint;
	struct snapshot_prefix x = {
		.ip = ip128_prefix(ip128_of(dr->in->ip), dr->in->bits),
		.bits = dr->in->bits,
	};

	ep.labels = dr->labels;
	ep.label_count = dr->label_count;
	ep.identity = identity_of(t, dr, &x.held_identity);
	ep.id = endpoint_id_of(t, dr->in, &x.held_local);
	if (!ep.cluster.len)
		ep.cluster =
			dr->in->verbatim ? said_cluster(ep.labels, ep.label_count) : t->cluster;
	x.who = (struct who){ .ep = flow_dict_endpoint(t->dict, &ep),
			      .identity = ep.identity,
			      .local_id = dr->in->local ? ep.id : 0,
			      .bits = bits_of(dr->in) };
	return x;
}

static enum err_code take_services(struct name_table *t, struct snapshot_part *part,
				   const struct name_service *services, size_t count, struct err *e)
{
	part->services = calloc(count + 1, sizeof *part->services);
	if (!part->services)
		return err_set(e, ERR_NOMEM, "names of %zu services", count);
	for (size_t i = 0; i < count; i++)
		part->services[i] =
			(struct snapshot_service){ ip128_of(services[i].ip), services[i].port,
						   flow_dict_service(t->dict,
								     &services[i].service) };
	part->service_count = count;
	return ERR_OK;
}

/* With mx. @was is what the provider said before. */
static enum err_code take_told(struct snapshot_part *part, const struct name_view *view,
			       const struct snapshot_part *was, struct err *e)
{
	if (view->keep_told)
		part->told = told_ref(was->told);
	else if (view->told_count)
		return told_new(view->told, view->told_count, &part->told, e);
	return ERR_OK;
}

/* With mx. @view with names as dictionary ids. */
static enum err_code make_part(struct name_table *t, const struct name_view *view,
			       const struct snapshot_part *was, struct snapshot_part *ret,
			       struct err *e)
{
	struct drafts drafts = { 0 };
	struct identity_list ids = { 0 };
	struct snapshot_part part = {
		.prefixes = calloc(view->prefix_count + 1, sizeof *part.prefixes),
		.identities = calloc(view->identity_count + 1, sizeof *part.identities),
		.cgroups = calloc(view->cgroup_count + 1, sizeof *part.cgroups),
	};
	enum err_code code = sort_identities(view, &ids, e);

	if (code == ERR_OK)
		code = make_drafts(view, &ids, &drafts, e);
	if (code == ERR_OK && (!part.prefixes || !part.identities || !part.cgroups))
		code = err_set(e, ERR_NOMEM, "names of %zu addresses", view->prefix_count);
	if (code == ERR_OK)
		code = take_services(t, &part, view->services, view->service_count, e);
	if (code == ERR_OK)
		code = make_identities(t, &ids, &part, e);
	if (code == ERR_OK)
		code = take_told(&part, view, was, e);
	if (code != ERR_OK)
		goto out;
	/* back in the view's place: of two equal prefixes the first counts */
	for (size_t i = 0; i < view->prefix_count; i++)
		part.prefixes[drafts.list[i].index] = intern(t, &drafts.list[i]);
	part.prefix_count = view->prefix_count;
	for (size_t i = 0; i < view->cgroup_count; i++) {
		struct snapshot_cgroup *to = &part.cgroups[part.cgroup_count++];
		to->cgroup = view->cgroups[i].cgroup;
		memcpy(to->ip4, view->cgroups[i].ip4, sizeof to->ip4);
		memcpy(to->ip6, view->cgroups[i].ip6, sizeof to->ip6);
	}
	code = part_index(&part, let_go, t, e);
out:
	free(ids.list);
	drafts_done(&drafts);
	if (code != ERR_OK)
		free_part(t, &part);
	else
		*ret = part;
	return code;
}

static enum err_code check_prefixes(const struct name_prefix *list, size_t count, struct err *e)
{
	for (size_t i = 0; i < count; i++)
		if (list[i].bits > 128)
			return err_set(e, ERR_INVALID, "a prefix of %u bits", list[i].bits);
	return ERR_OK;
}

static enum err_code check_who(unsigned who, struct err *e)
{
	if (who >= NAME_PROVIDERS)
		return err_set(e, ERR_INVALID, "name provider %u: there are %d", who,
			       NAME_PROVIDERS);
	return ERR_OK;
}

enum err_code name_update(struct name_table *t, unsigned who, const struct name_view *view,
			  struct err *e)
{
	struct snapshot_part part = { 0 };

	if (view->prefix_count > NAME_PREFIXES_MAX || view->service_count > NAME_PREFIXES_MAX)
		return err_set(e, ERR_INVALID, "%zu addresses and %zu services: at most %d of each",
			       view->prefix_count, view->service_count, NAME_PREFIXES_MAX);
	if (view->identity_count > NAME_PREFIXES_MAX || view->cgroup_count > NAME_PREFIXES_MAX)
		return err_set(e, ERR_INVALID, "%zu identities and %zu cgroups: at most %d of each",
			       view->identity_count, view->cgroup_count, NAME_PREFIXES_MAX);
	if (view->told_count > NAME_TOLD_MAX)
		return err_set(e, ERR_INVALID, "%zu names that endpoints were told: at most %d",
			       view->told_count, NAME_TOLD_MAX);
	enum err_code code = check_who(who, e);
	if (code == ERR_OK)
		code = check_prefixes(view->prefixes, view->prefix_count, e);
	if (code != ERR_OK)
		return code;
	(void)pthread_mutex_lock(&t->mx);
	code = make_part(t, view, &t->parts[who], &part, e);
	if (code == ERR_OK)
		code = replace_part(t, who, &part, view->since, e);
	if (code == ERR_OK)
		atomic_fetch_add_explicit(&t->generation, 1, memory_order_release);
	free_part(t, &part);
	(void)pthread_mutex_unlock(&t->mx);
	return code;
}

/* --- changes ------------------------------------------------------------------------------ */

/* A change on its way into a part. */
struct changing {
	struct name_table *t;
	struct snapshot_part *part;
	struct snapshot_key *keys;
	size_t count;
	bool locals; /* an endpoint of this node is among them */
};

static void note_key(struct changing *c, struct ip128 ip, uint8_t bits)
{
	c->keys[c->count++] = (struct snapshot_key){ ip, bits };
}

static enum err_code take_prefix(struct changing *c, const struct draft *dr, struct err *e)
{
	const struct snapshot_prefix x = intern(c->t, dr), *had = part_find(c->part, x.ip, x.bits);
	const struct snapshot_prefix old = had ? *had : (struct snapshot_prefix){ 0 };
	enum err_code code = part_set(c->part, &x, e);

	let_go(c->t, code == ERR_OK ? &old : &x);
	c->locals |= x.who.local_id || old.who.local_id;
	note_key(c, x.ip, x.bits);
	return code;
}

static void take_gone(struct changing *c, const struct name_gone *gone)
{
	struct ip128 ip = ip128_prefix(ip128_of(gone->ip), gone->bits);
	const struct snapshot_prefix *had = part_find(c->part, ip, gone->bits);

	if (!had)
		return;
	let_go(c->t, had);
	c->locals |= had->who.local_id != 0;
	(void)part_remove(c->part, ip, gone->bits);
	note_key(c, ip, gone->bits);
}

static enum err_code replace_services(struct changing *c, const struct name_change *change,
				      struct err *e)
{
	struct snapshot_part fresh = { 0 };
	enum err_code code =
		take_services(c->t, &fresh, change->services, change->service_count, e);

	if (code != ERR_OK)
		return code;
	free(c->part->services);
	c->part->services = fresh.services;
	c->part->service_count = fresh.service_count;
	return ERR_OK;
}

/* In its place in the part, at the end of it, or, without labels, out of it. */
static enum err_code take_identity(struct changing *c, const struct name_identity *in,
				   struct err *e)
{
	struct snapshot_part *part = c->part;
	size_t at = 0;

	while (at < part->identity_count && part->identities[at].identity != in->identity)
		at++;
	if (!in->label_count) {
		if (at < part->identity_count)
			part->identities[at] = part->identities[--part->identity_count];
		return ERR_OK;
	}
	AUTO(own_free) struct str *labels = calloc(in->label_count, sizeof *labels);
	if (at == part->identity_count) {
		struct snapshot_identity *more = realloc(part->identities, (at + 1) * sizeof *more);
		if (!more)
			return err_set(e, ERR_NOMEM, "%zu identities", at + 1);
		part->identities = more;
		part->identities[part->identity_count++] = (struct snapshot_identity){ 0 };
	}
	if (!labels)
		return err_set(e, ERR_NOMEM, "%zu identities", at + 1);
	part->identities[at] = bare_identity(c->t, in, labels);
	return ERR_OK;
}

/* With mx. */
static enum err_code change_part(struct changing *c, const struct name_change *change,
				 struct err *e)
{
	struct drafts drafts = { 0 };
	struct identity_list none = { 0 };
	const struct name_view view = { .prefixes = change->prefixes,
					.prefix_count = change->prefix_count };
	enum err_code code = make_drafts(&view, &none, &drafts, e);

	for (size_t i = 0; i < change->gone_count && code == ERR_OK; i++)
		take_gone(c, &change->gone[i]);
	for (size_t i = 0; i < change->prefix_count && code == ERR_OK; i++)
		code = take_prefix(c, &drafts.list[i], e);
	if (code == ERR_OK && change->has_services)
		code = replace_services(c, change, e);
	for (size_t i = 0; i < change->identity_count && code == ERR_OK; i++)
		code = take_identity(c, &change->identities[i], e);
	drafts_done(&drafts);
	return code;
}

static enum err_code publish_change(struct changing *c, bool services, struct wall_ns since,
				    struct err *e)
{
	struct name_table *t = c->t;
	struct snapshot *s = NULL;
	unsigned more = (services ? SNAPSHOT_SERVICES : 0) | (c->locals ? SNAPSHOT_LOCALS : 0);
	enum err_code code = snapshot_change(t->newest->snapshot, t->parts, PARTS, c->keys,
					     c->count, more, &s, e);

	if (code == ERR_OK && !s)
		code = snapshot_new(t->parts, PARTS, t->world, t->host, &s, e);
	return code == ERR_OK ? name_publish(t, s, since, e) : code;
}

static enum err_code check_change(const struct name_table *t, unsigned who,
				  const struct name_change *change, struct err *e)
{
	enum err_code code = check_who(who, e);

	if (code == ERR_OK)
		code = check_prefixes(change->prefixes, change->prefix_count, e);
	if (code == ERR_OK &&
	    (t->parts[who].prefix_count + change->prefix_count > NAME_PREFIXES_MAX ||
	     t->parts[who].identity_count + change->identity_count > NAME_PREFIXES_MAX ||
	     change->service_count > NAME_PREFIXES_MAX))
		code = err_set(e, ERR_INVALID, "more than %d addresses, services or identities",
			       NAME_PREFIXES_MAX);
	for (size_t i = 0; i < change->gone_count && code == ERR_OK; i++)
		if (change->gone[i].bits > 128)
			code = err_set(e, ERR_INVALID, "a prefix of %u bits", change->gone[i].bits);
	return code;
}

enum err_code name_change(struct name_table *t, unsigned who, const struct name_change *change,
			  struct err *e)
{
	AUTO(own_free)
	struct snapshot_key *keys =
		calloc(change->prefix_count + change->gone_count + 1, sizeof *keys);
	struct changing c = { .t = t, .keys = keys };
	struct wall_ns since = { 0 };

	if (!keys)
		return err_set(e, ERR_NOMEM, "names of %zu addresses", change->prefix_count);
	(void)pthread_mutex_lock(&t->mx);
	enum err_code code = check_change(t, who, change, e);
	if (code == ERR_OK) {
		c.part = &t->parts[who];
		since = since_of(t, who, change->since);
		code = change_part(&c, change, e);
	}
	if (code == ERR_OK)
		code = publish_change(&c, change->has_services || change->identity_count, since, e);
	if (code == ERR_OK)
		atomic_fetch_add_explicit(&t->generation, 1, memory_order_release);
	(void)pthread_mutex_unlock(&t->mx);
	return code;
}

/* --- what is known ------------------------------------------------------------------------ */

uint64_t name_generation(const struct name_table *t)
{
	return atomic_load_explicit(&t->generation, memory_order_acquire);
}

void name_endpoints(struct name_table *t, void (*each)(void *ctx, struct endpoint_id ep), void *ctx)
{
	(void)pthread_mutex_lock(&t->mx);
	for (size_t i = 0; i < NAME_PROVIDERS; i++)
		for (size_t j = 0; j < t->parts[i].prefix_count; j++)
			each(ctx, t->parts[i].prefixes[j].who.ep);
	(void)pthread_mutex_unlock(&t->mx);
}

enum err_code name_update_host(struct name_table *t, const uint8_t (*ips)[16], size_t count,
			       struct err *e)
{
	struct snapshot_part part = { .prefixes = calloc(count + 1, sizeof *part.prefixes) };

	if (!part.prefixes)
		return err_set(e, ERR_NOMEM, "%zu addresses of the node", count);
	for (size_t i = 0; i < count; i++)
		part.prefixes[i] =
			(struct snapshot_prefix){ .ip = ip128_of(ips[i]),
						  .bits = 128,
						  .who = { .ep = t->host,
							   .identity = IDENTITY_HOST,
							   .bits = WHO_CLAIMED | WHO_HOST } };
	part.prefix_count = count;
	(void)pthread_mutex_lock(&t->mx);
	enum err_code code = part_index(&part, let_go, t, e);
	if (code == ERR_OK)
		code = replace_part(t, HOST_PART, &part, (struct wall_ns){ 0 }, e);
	free_part(t, &part);
	(void)pthread_mutex_unlock(&t->mx);
	return code;
}
