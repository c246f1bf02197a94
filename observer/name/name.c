#include "observer/name/name.h"

#include <errno.h>
#include <pthread.h>
#include <stdalign.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/random.h>

#include "base/buf.h"
#include "config.h"
#include "flow/names.h"
#include "observer/name/dns_names.h"
#include "observer/name/numbers.h"
#include "observer/name/said.h"
#include "observer/name/seen.h"
#include "observer/name/snapshot.h"

enum {
	HOST_PART = NAME_PROVIDERS, /* last in precedence */
	PARTS,
	IDENTITY_HOST = 1,
	IDENTITY_WORLD = 2,
	IDENTITY_MIN = 256, /* cluster identities (reference/cilium-events.md section 4) */
	IDENTITY_MAX = 65535,
	ENDPOINT_ID_MAX = 65535,
	DNS_ADDRESSES_DEFAULT = 65536,
	FIELD_SOURCE_NAMES = 13, /* of flow.Flow */
	FIELD_DESTINATION_NAMES = 14,
};

enum { CACHE_LINE = 64 };

/*
 * Old snapshots
 *
 * Only the capture thread looks into snapshots, and only into the one it loaded last. When it loads
 * one that it has not seen, it stores its number in capture_at (release): what it did with earlier
 * ones is over. An update frees what is older than the number it reads there (acquire).
 */
struct version {
	struct snapshot *snapshot;
	uint64_t number;
	struct version *older; /* guarded by mx */
};

struct name_table {
	/* immutable after construction */
	struct flow_dict *dict;
	char *cluster_text; /* owned */
	struct str cluster; /* it; "" for none */
	struct endpoint_id world, host;
	struct node_id node;
	struct seen *seen;

	pthread_mutex_t mx;                        /* between updates */
	struct numbers *identities, *endpoint_ids; /* guarded by mx */
	struct snapshot_part parts[PARTS];         /* guarded by mx */
	struct version *newest; /* guarded by mx; with all not yet freed behind it */

	_Atomic(struct version *) current;
	_Atomic uint64_t generation; /* updates by providers */

	/* capture thread only */
	alignas(CACHE_LINE) struct dns_names *dns;
	uint64_t at;        /* number of the snapshot it uses */
	struct wall_ns now; /* of name_quiet; 0: none yet */
	struct said *said;  /* where no event says identities, no page of it is touched */

	alignas(CACHE_LINE) _Atomic uint64_t capture_at; /* written by capture, read by updates */
};

/* --- life --------------------------------------------------------------------------------- */

static struct endpoint_id reserved(struct flow_dict *dict, uint32_t identity, struct str label,
				   struct str cluster)
{
	return flow_dict_endpoint(dict, &(struct endpoint){ .identity = identity,
							    .cluster = cluster,
							    .labels = &label,
							    .label_count = 1 });
}

static int compare_strs(const void *a, const void *b)
{
	return str_cmp(*(const struct str *)a, *(const struct str *)b);
}

static enum err_code intern_node(struct name_table *t, const struct name_config *config,
				 struct err *e)
{
	AUTO_BUF struct buf name = buf_init(4096);
	AUTO(own_free) struct str *labels = calloc(config->node_label_count + 1, sizeof *labels);

	if (!labels)
		return err_set(e, ERR_NOMEM, "node labels");
	for (size_t i = 0; i < config->node_label_count; i++)
		labels[i] = str_of(config->node_labels[i]);
	qsort(labels, config->node_label_count, sizeof *labels, compare_strs);
	if (t->cluster.len && !str_is(t->cluster, "default")) {
		buf_str_put(&name, t->cluster);
		buf_char(&name, '/');
	}
	buf_str_put(&name, str_of(config->node));
	if (name.failed)
		return err_set(e, ERR_INVALID, "cluster and node name are longer than %zu bytes",
			       name.max);
	t->node = flow_dict_node(t->dict, &(struct node){ .name = buf_str(&name),
							  .labels = labels,
							  .label_count = config->node_label_count,
							  .emitter_name = STR("tycho"),
							  .emitter_version = STR(TYCHO_VERSION) });
	return ERR_OK;
}

static enum err_code publish(struct name_table *t, const struct snapshot_part parts[PARTS],
			     struct err *e);

enum err_code name_table_new(const struct name_config *config, struct flow_dict *dict,
			     struct name_table **ret, struct err *e)
{
	struct err mine;
	e = e ? e : &mine;
	AUTO(name_table_free) struct name_table *t = aligned_alloc(CACHE_LINE, sizeof *t);
	if (!t)
		return err_set(e, ERR_NOMEM, "name table");
	*t = (struct name_table){ .dict = dict };
	(void)pthread_mutex_init(&t->mx, NULL);
	uint64_t seed;
	if (getrandom(&seed, sizeof seed, 0) != sizeof seed)
		return err_os(e, "random seed");
	t->cluster_text = str_dup(str_of(config->cluster));
	if (!t->cluster_text)
		return err_set(e, ERR_NOMEM, "name table");
	t->cluster = str_of(t->cluster_text);
	t->said = calloc(1, sizeof *t->said);
	if (!t->said)
		return err_set(e, ERR_NOMEM, "name table");
	size_t dns = config->dns_addresses ? config->dns_addresses : DNS_ADDRESSES_DEFAULT;
	if (intern_node(t, config, e) != ERR_OK || dns_names_new(dns, seed, &t->dns, e) != ERR_OK ||
	    seen_new(dict, t->cluster, &t->seen, e) != ERR_OK ||
	    numbers_new(IDENTITY_MIN, IDENTITY_MAX, &t->identities, e) != ERR_OK ||
	    numbers_new(1, ENDPOINT_ID_MAX, &t->endpoint_ids, e) != ERR_OK)
		return e->code;
	t->world = reserved(dict, IDENTITY_WORLD, STR("reserved:world"), STR(""));
	t->host = reserved(dict, IDENTITY_HOST, STR("reserved:host"), t->cluster);
	if (publish(t, t->parts, e) != ERR_OK)
		return e->code;
	*ret = TAKE(t);
	return ERR_OK;
}

static void free_part(struct snapshot_part *p)
{
	free(p->prefixes);
	free(p->services);
	free(p->identities);
	free(p->cgroups);
	*p = (struct snapshot_part){ 0 };
}

/* Frees @v and all older ones. */
static void free_versions(struct version *v)
{
	while (v) {
		struct version *older = v->older;
		snapshot_free(v->snapshot);
		free(v);
		v = older;
	}
}

void name_table_free(struct name_table *t)
{
	if (!t)
		return;
	free_versions(t->newest);
	for (size_t i = 0; i < PARTS; i++)
		free_part(&t->parts[i]);
	numbers_free(t->identities);
	numbers_free(t->endpoint_ids);
	dns_names_free(t->dns);
	free(t->said);
	seen_free(t->seen);
	(void)pthread_mutex_destroy(&t->mx);
	free(t->cluster_text);
	free(t);
}

struct node_id name_node(const struct name_table *t)
{
	return t->node;
}

void name_namespaces(struct name_table *t, struct wall_ns now,
		     void (*each)(void *ctx, struct str cluster, struct str ns), void *ctx)
{
	seen_list(t->seen, now, each, ctx);
}

/* --- updates ------------------------------------------------------------------------------ */

/* With mx. Makes @parts what the capture thread sees from now on. */
static enum err_code publish(struct name_table *t, const struct snapshot_part parts[PARTS],
			     struct err *e)
{
	struct version *v = calloc(1, sizeof *v);

	if (!v)
		return err_set(e, ERR_NOMEM, "name table");
	enum err_code code = snapshot_new(parts, PARTS, t->world, t->host, &v->snapshot, e);
	if (code != ERR_OK) {
		free(v);
		return code;
	}
	v->number = t->newest ? t->newest->number + 1 : 1;
	v->older = t->newest;
	t->newest = v;
	atomic_store_explicit(&t->current, v, memory_order_release); /* pairs with load_current */

	uint64_t in_use = atomic_load_explicit(&t->capture_at,
					       memory_order_acquire); /* pairs with load_current */
	while (v->number > in_use && v->older)
		v = v->older;
	free_versions(v->older);
	v->older = NULL;
	return ERR_OK;
}

/* With mx. Puts @fresh in the place of part @which and publishes; takes what @fresh holds, and
 * leaves there what is to be freed. */
static enum err_code replace_part(struct name_table *t, unsigned which, struct snapshot_part *fresh,
				  struct err *e)
{
	struct snapshot_part parts[PARTS];

	memcpy(parts, t->parts, sizeof parts);
	parts[which] = *fresh;
	enum err_code code = publish(t, parts, e);
	if (code != ERR_OK)
		return code;
	*fresh = t->parts[which];
	t->parts[which] = parts[which];
	return ERR_OK;
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

static uint32_t identity_of(struct name_table *t, unsigned who, const struct draft *dr)
{
	struct str prefix = STR("reserved:");
	uint32_t identity;

	if (dr->in->endpoint.identity || dr->in->verbatim)
		return dr->in->endpoint.identity;
	if (dr->label_count == 1 && str_has_prefix(dr->labels[0], prefix) &&
	    identity_parse_name(str_from(dr->labels[0], prefix.len), &identity))
		return identity;
	return numbers_get(t->identities, who, dr->set);
}

static uint32_t endpoint_id_of(struct name_table *t, unsigned who, const struct name_prefix *p)
{
	char text[1024], ip[FLOW_IP_TEXT_BYTES];
	const struct endpoint *ep = &p->endpoint;

	if (ep->id || !p->local)
		return ep->id;
	int len = ep->pod.len ? snprintf(text, sizeof text, "%.*s/%.*s/%.*s", STR_FMT(ep->cluster),
					 STR_FMT(ep->namespace_), STR_FMT(ep->pod))
			      : snprintf(text, sizeof text, "%.*s", STR_FMT(ip_text(p->ip, ip)));
	return numbers_get(t->endpoint_ids, who,
			   str_upto(str_n(text, sizeof text - 1), (size_t)len));
}

static struct endpoint_id intern(struct name_table *t, unsigned who, const struct draft *dr)
{
	struct endpoint ep = dr->in->endpoint;

	ep.labels = dr->labels;
	ep.label_count = dr->label_count;
	ep.identity = identity_of(t, who, dr);
	ep.id = endpoint_id_of(t, who, dr->in);
	if (!ep.cluster.len)
		ep.cluster =
			dr->in->verbatim ? said_cluster(ep.labels, ep.label_count) : t->cluster;
	return flow_dict_endpoint(t->dict, &ep);
}

/* Bare endpoints of identities: labels and cluster, nothing else. */
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
	for (size_t i = 0; i < ids->count; i++) {
		const struct name_identity *in = ids->list[i];
		for (size_t l = 0; l < in->label_count; l++)
			labels[l] = in->labels[l];
		size_t n = said_filter_labels(in->identity, labels, in->label_count);
		struct endpoint ep = { .identity = in->identity, .labels = labels };
		ep.label_count = sort_unique(labels, n);
		ep.cluster = said_cluster(labels, ep.label_count);
		part->identities[part->identity_count++] = (struct snapshot_identity){
			in->identity,
			flow_dict_endpoint(t->dict, &ep),
		};
	}
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

/* With mx. @view with names as dictionary ids. */
static enum err_code make_part(struct name_table *t, unsigned who, const struct name_view *view,
			       struct snapshot_part *ret, struct err *e)
{
	struct drafts drafts = { 0 };
	struct identity_list ids = { 0 };
	struct snapshot_part part = {
		.prefixes = calloc(view->prefix_count + 1, sizeof *part.prefixes),
		.services = calloc(view->service_count + 1, sizeof *part.services),
		.identities = calloc(view->identity_count + 1, sizeof *part.identities),
		.cgroups = calloc(view->cgroup_count + 1, sizeof *part.cgroups),
	};
	enum err_code code = sort_identities(view, &ids, e);

	if (code == ERR_OK)
		code = make_drafts(view, &ids, &drafts, e);
	if (code == ERR_OK &&
	    (!part.prefixes || !part.services || !part.identities || !part.cgroups))
		code = err_set(e, ERR_NOMEM, "names of %zu addresses", view->prefix_count);
	if (code == ERR_OK)
		code = make_identities(t, &ids, &part, e);
	free(ids.list);
	if (code != ERR_OK) {
		drafts_done(&drafts);
		free_part(&part);
		return code;
	}
	numbers_release(t->identities, who);
	numbers_release(t->endpoint_ids, who);
	for (size_t i = 0; i < view->prefix_count; i++) {
		const struct draft *dr = &drafts.list[i];
		struct endpoint_id ep = intern(t, who, dr);
		const struct endpoint *local =
			dr->in->local ? flow_dict_get_endpoint(t->dict, ep) : NULL;
		/* back in the view's place: of two equal prefixes the first counts */
		part.prefixes[dr->index] = (struct snapshot_prefix){
			.ip = ip128_prefix(ip128_of(dr->in->ip), dr->in->bits),
			.bits = dr->in->bits,
			.who = { ep, bits_of(dr->in) },
			.local_id = local ? local->id : 0,
		};
	}
	part.prefix_count = view->prefix_count;
	for (size_t i = 0; i < view->service_count; i++) {
		const struct name_service *s = &view->services[i];
		part.services[i] =
			(struct snapshot_service){ ip128_of(s->ip), s->port,
						   flow_dict_service(t->dict, &s->service) };
	}
	part.service_count = view->service_count;
	for (size_t i = 0; i < view->cgroup_count; i++) {
		struct snapshot_cgroup *to = &part.cgroups[part.cgroup_count++];
		to->cgroup = view->cgroups[i].cgroup;
		memcpy(to->ip4, view->cgroups[i].ip4, sizeof to->ip4);
		memcpy(to->ip6, view->cgroups[i].ip6, sizeof to->ip6);
	}
	drafts_done(&drafts);
	*ret = part;
	return ERR_OK;
}

enum err_code name_update(struct name_table *t, unsigned who, const struct name_view *view,
			  struct err *e)
{
	struct snapshot_part part = { 0 };

	if (who >= NAME_PROVIDERS)
		return err_set(e, ERR_INVALID, "name provider %u: there are %d", who,
			       NAME_PROVIDERS);
	if (view->prefix_count > NAME_PREFIXES_MAX || view->service_count > NAME_PREFIXES_MAX)
		return err_set(e, ERR_INVALID, "%zu addresses and %zu services: at most %d of each",
			       view->prefix_count, view->service_count, NAME_PREFIXES_MAX);
	if (view->identity_count > NAME_PREFIXES_MAX || view->cgroup_count > NAME_PREFIXES_MAX)
		return err_set(e, ERR_INVALID, "%zu identities and %zu cgroups: at most %d of each",
			       view->identity_count, view->cgroup_count, NAME_PREFIXES_MAX);
	for (size_t i = 0; i < view->prefix_count; i++)
		if (view->prefixes[i].bits > 128)
			return err_set(e, ERR_INVALID, "a prefix of %u bits",
				       view->prefixes[i].bits);
	(void)pthread_mutex_lock(&t->mx);
	enum err_code code = make_part(t, who, view, &part, e);
	if (code == ERR_OK)
		code = replace_part(t, who, &part, e);
	if (code == ERR_OK)
		atomic_fetch_add_explicit(&t->generation, 1, memory_order_release);
	(void)pthread_mutex_unlock(&t->mx);
	free_part(&part);
	return code;
}

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
						  .who = { t->host, WHO_CLAIMED | WHO_HOST } };
	part.prefix_count = count;
	(void)pthread_mutex_lock(&t->mx);
	enum err_code code = replace_part(t, HOST_PART, &part, e);
	(void)pthread_mutex_unlock(&t->mx);
	free_part(&part);
	return code;
}

/* --- capture thread ----------------------------------------------------------------------- */

static const struct snapshot *load_current(struct name_table *t)
{
	const struct version *v =
		atomic_load_explicit(&t->current, memory_order_acquire); /* pairs with publish */

	if (v->number != t->at) {
		t->at = v->number;
		atomic_store_explicit(&t->capture_at, v->number,
				      memory_order_release); /* pairs with publish */
	}
	return v->snapshot;
}

void name_quiet(struct name_table *t, struct wall_ns now)
{
	t->now = now;
	(void)load_current(t);
}

bool name_is_local(struct name_table *t, const uint8_t ip[16])
{
	return snapshot_who(load_current(t), ip).bits & WHO_LOCAL;
}

static bool is_here(struct who who)
{
	return who.bits & (WHO_LOCAL | WHO_HOST);
}

/* As a client of DNS: endpoints of this node and the node itself are known under all their
 * addresses. */
static struct dns_client client_of(struct who who, const uint8_t *ip)
{
	return (struct dns_client){ ip, is_here(who) ? who.ep : (struct endpoint_id){ 0 } };
}

void name_learn(struct name_table *t, const uint8_t client[16], const uint8_t ip[16],
		struct str name, uint32_t ttl_s, struct wall_ns now)
{
	struct who who = snapshot_who(load_current(t), client);

	dns_names_learn(t->dns, client_of(who, client), ip, name, ttl_s, now);
}

static void put_services(const struct snapshot *s, struct flow *f)
{
	bool ports = f->l4 == FLOW_L4_TCP || f->l4 == FLOW_L4_UDP || f->l4 == FLOW_L4_SCTP;

	if (!snapshot_has_services(s))
		return;
	if (f->bits & FLOW_HAS_SRC_IP)
		f->src_svc = snapshot_service(s, f->src_ip, ports ? f->src_port : 0);
	if (f->bits & FLOW_HAS_DST_IP)
		f->dst_svc = snapshot_service(s, f->dst_ip, ports ? f->dst_port : 0);
	if (f->src_svc.v || f->dst_svc.v)
		f->bits |= FLOW_HAS_SVC;
}

/* Names of @ip, which is @who, in a flow with @peer at @peer_ip. */
static size_t put_names_of(struct name_table *t, const uint8_t *ip, struct who who,
			   const uint8_t *peer_ip, struct who peer, struct wall_ns now,
			   uint32_t field, struct buf *ext)
{
	bool anyones = !(who.bits & WHO_CLAIMED);

	if (!anyones && !is_here(peer))
		return 0;
	return dns_names_put(t->dns, ip, client_of(peer, peer_ip), anyones, now, field, ext);
}

static void put_dns_names(struct name_table *t, struct flow *f, struct who src, struct who dst,
			  struct buf *ext)
{
	struct wall_ns now = f->bits & FLOW_HAS_TIME ? f->time : (struct wall_ns){ 0 };

	if (!dns_names_count(t->dns))
		return;
	size_t n =
		put_names_of(t, f->src_ip, src, f->dst_ip, dst, now, FIELD_SOURCE_NAMES, ext) +
		put_names_of(t, f->dst_ip, dst, f->src_ip, src, now, FIELD_DESTINATION_NAMES, ext);
	if (n)
		f->bits |= FLOW_HAS_NAMES;
}

static void mark_namespaces(struct name_table *t, const struct flow *f)
{
	struct wall_ns now = t->now.v ? t->now : f->time;

	seen_mark(t->seen, f->src_ep, now);
	seen_mark(t->seen, f->dst_ep, now);
}

void name_flow(struct name_table *t, struct flow *f, struct buf *ext)
{
	if (f->bits & FLOW_WHOLE) {
		mark_namespaces(t, f);
		return;
	}
	const struct snapshot *s = load_current(t);
	struct who src = { 0 }, dst = { 0 };

	f->node = t->node;
	if (f->bits & FLOW_HAS_SRC_IP)
		src = snapshot_who(s, f->src_ip);
	if (f->bits & FLOW_HAS_DST_IP)
		dst = snapshot_who(s, f->dst_ip);
	f->src_ep = src.ep;
	f->dst_ep = dst.ep;
	put_services(s, f);
	if (flow_is(f, FLOW_HAS_SRC_IP | FLOW_HAS_DST_IP))
		put_dns_names(t, f, src, dst, ext);
	mark_namespaces(t, f);
}

/* Of an address of the world, too, only those that the peer, living here, was told. */
static void put_told_names(struct name_table *t, struct flow *f, struct who src, struct who dst,
			   struct buf *ext)
{
	struct wall_ns now = f->bits & FLOW_HAS_TIME ? f->time : (struct wall_ns){ 0 };
	size_t n = 0;

	if (!dns_names_count(t->dns))
		return;
	if (is_here(dst))
		n += dns_names_put(t->dns, f->src_ip, client_of(dst, f->dst_ip), false, now,
				   FIELD_SOURCE_NAMES, ext);
	if (is_here(src))
		n += dns_names_put(t->dns, f->dst_ip, client_of(src, f->src_ip), false, now,
				   FIELD_DESTINATION_NAMES, ext);
	if (n)
		f->bits |= FLOW_HAS_NAMES;
}

uint32_t name_flow_said(struct name_table *t, struct flow *f, uint32_t src_identity,
			uint32_t dst_identity, struct buf *ext)
{
	const struct snapshot *s = load_current(t);
	struct who src = { 0 }, dst = { 0 };

	f->node = t->node;
	if (f->bits & FLOW_HAS_SRC_IP)
		src = snapshot_who(s, f->src_ip);
	if (f->bits & FLOW_HAS_DST_IP)
		dst = snapshot_who(s, f->dst_ip);
	if (snapshot_has_identities(s)) {
		/* the agent knows the node's own addresses, or has its reasons */
		src = src.bits & WHO_HOST ? (struct who){ 0 } : src;
		dst = dst.bits & WHO_HOST ? (struct who){ 0 } : dst;
	}
	const struct said_side src_side =
		said_endpoint(t->said, t->dict, s, t->at, src, src_identity);
	f->src_ep = src_side.ep;
	f->dst_ep = said_endpoint(t->said, t->dict, s, t->at, dst, dst_identity).ep;
	put_services(s, f);
	if (flow_is(f, FLOW_HAS_SRC_IP | FLOW_HAS_DST_IP))
		put_told_names(t, f, src, dst, ext);
	mark_namespaces(t, f);
	return src_side.local_id;
}

void name_flow_told(struct name_table *t, struct flow *f, uint32_t src_local, uint32_t dst_local,
		    struct buf *ext)
{
	const struct snapshot *s = load_current(t);
	const struct who src = { snapshot_local(s, src_local), WHO_LOCAL };
	const struct who dst = { snapshot_local(s, dst_local), WHO_LOCAL };

	f->node = t->node;
	put_services(s, f);
	if (flow_is(f, FLOW_HAS_SRC_IP | FLOW_HAS_DST_IP))
		put_told_names(t, f, src.ep.v ? src : (struct who){ 0 },
			       dst.ep.v ? dst : (struct who){ 0 }, ext);
	mark_namespaces(t, f);
}

struct name_found name_find(struct name_table *t, const uint8_t ip[16])
{
	struct who who = snapshot_who(load_current(t), ip);

	if (!(who.bits & WHO_CLAIMED))
		return (struct name_found){ 0 };
	return (struct name_found){ .ep = flow_dict_get_endpoint(t->dict, who.ep),
				    .local = who.bits & WHO_LOCAL,
				    .pod_cached = !(who.bits & WHO_NO_POD) };
}

const struct endpoint *name_local(struct name_table *t, uint32_t id)
{
	return flow_dict_get_endpoint(t->dict, snapshot_local(load_current(t), id));
}

bool name_cgroup_ip(struct name_table *t, uint64_t cgroup, bool ipv6, uint8_t ret_ip[16])
{
	static const uint8_t none[16];
	const struct snapshot_cgroup *c = snapshot_cgroup(load_current(t), cgroup);

	if (!c || memcmp(ipv6 ? c->ip6 : c->ip4, none, sizeof none) == 0)
		return false;
	memcpy(ret_ip, ipv6 ? c->ip6 : c->ip4, 16);
	return true;
}
