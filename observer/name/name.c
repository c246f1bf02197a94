#include "observer/name/name.h"

#include <sys/random.h>

#include "base/buf.h"
#include "base/pages.h"
#include "config.h"
#include "flow/wire.h"
#include "observer/name/inside.h"
#include "observer/name/told.h"

enum {
	IDENTITY_WORLD = 2,
	IDENTITY_MIN = 256, /* cluster identities (reference/cilium-events.md section 4) */
	IDENTITY_MAX = 65535,
	ENDPOINT_ID_MAX = 65535,
	DNS_ADDRESSES_DEFAULT = 65536,
	FIELD_SOURCE_NAMES = 13, /* of flow.Flow */
	FIELD_DESTINATION_NAMES = 14,
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
	t->said = pages_new(1, sizeof *t->said);
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
	struct snapshot *empty;
	if (snapshot_new(t->parts, PARTS, t->world, t->host, &empty, e) != ERR_OK ||
	    name_publish(t, empty, (struct wall_ns){ 0 }, e) != ERR_OK)
		return e->code;
	*ret = TAKE(t);
	return ERR_OK;
}

void name_table_free(struct name_table *t)
{
	if (!t)
		return;
	name_free_versions(t->newest);
	for (size_t i = 0; i < PARTS; i++)
		part_done(&t->parts[i]);
	numbers_free(t->identities);
	numbers_free(t->endpoint_ids);
	dns_names_free(t->dns);
	pages_free(t->said, 1, sizeof *t->said);
	seen_free(t->seen);
	(void)pthread_mutex_destroy(&t->mx);
	free(t->cluster_text);
	free(t);
}

struct node_id name_node(const struct name_table *t)
{
	return t->node;
}

uint64_t name_unlisted(const struct name_table *t)
{
	return seen_unlisted(t->seen);
}

struct name_dns_counts name_dns_counts(struct name_table *t)
{
	struct name_dns_counts counts = { .pushed_out = dns_names_pushed_out(t->dns) };

	(void)pthread_mutex_lock(&t->mx);
	for (size_t i = 0; i < PARTS; i++)
		counts.left_out += told_left_out(t->parts[i].told);
	(void)pthread_mutex_unlock(&t->mx);
	return counts;
}

void name_namespaces(struct name_table *t, struct wall_ns now,
		     void (*each)(void *ctx, struct str cluster, struct str ns), void *ctx)
{
	seen_list(t->seen, now, each, ctx);
}

/* --- capture thread ----------------------------------------------------------------------- */

static const struct version *load_version(struct name_table *t)
{
	const struct version *v =
		atomic_load_explicit(&t->current, memory_order_acquire); /* pairs with publish */

	if (v->number != t->at) {
		t->at = v->number;
		atomic_store_explicit(&t->capture_at, v->number,
				      memory_order_release); /* pairs with publish */
	}
	return v;
}

static const struct snapshot *load_current(struct name_table *t)
{
	return load_version(t)->snapshot;
}

/* What was true when the flow happened. */
struct moment {
	const struct snapshot *snapshot;
	uint64_t number;
};

/* Of a flow from before the newest change. */
static struct moment moment_before(const struct version *v, struct wall_ns time)
{
	const struct state *s = v->states[0];

	for (size_t i = 1; i < v->state_count && time.v < s->since.v; i++)
		s = v->states[i];
	return (struct moment){ s->snapshot, s->number };
}

static struct moment moment_of(struct name_table *t, const struct flow *f)
{
	const struct version *v = load_version(t);

	if (__builtin_expect(f->time.v < v->since.v, 0) && f->bits & FLOW_HAS_TIME &&
	    f->time.v + NAME_PAST_S * NS_PER_S >= v->since.v)
		return moment_before(v, f->time);
	return (struct moment){ v->snapshot, v->number };
}

void name_quiet(struct name_table *t, struct wall_ns now)
{
	t->now = now;
	(void)load_current(t);
}

void name_ahead(struct name_table *t, const struct flow *f)
{
	const struct snapshot *s = load_current(t);

	snapshot_ahead(s, f->src_ip);
	snapshot_ahead(s, f->dst_ip);
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

/* The other end of a flow, which may have been told a name. */
struct peer {
	struct who who;
	const uint8_t *ip;
};

/* Names of @ip: those that @peer was told, or, if @anyones, all that were learned. */
static size_t put_names(struct name_table *t, const struct snapshot *s, const uint8_t *ip,
			struct peer peer, bool anyones, struct wall_ns now, uint32_t field,
			struct buf *ext)
{
	struct str learned[DNS_NAMES_PER_ADDRESS], told[TOLD_PER_ADDRESS];
	size_t l = 0, o = 0, n = 0, learned_count = 0, told_count = 0;

	if (dns_names_count(t->dns))
		learned_count = dns_names_find(t->dns, ip, client_of(peer.who, peer.ip), anyones,
					       now, learned);
	if (peer.who.local_id)
		told_count = told_find(snapshot_told(s), ip, peer.who.local_id, now, told);
	for (; l < learned_count || o < told_count; n++) {
		int order = l == learned_count ? 1
			    : o == told_count  ? -1
					       : dns_name_cmp(learned[l], told[o]);
		wire_put_str(ext, field, order <= 0 ? learned[l] : told[o]);
		l += order <= 0;
		o += order >= 0;
	}
	return n;
}

/* Names of @ip, which is @who. Of an address of the world, those that anyone was told. */
static size_t put_names_of(struct name_table *t, const struct snapshot *s, const uint8_t *ip,
			   struct who who, struct peer peer, struct wall_ns now, uint32_t field,
			   struct buf *ext)
{
	bool anyones = !(who.bits & WHO_CLAIMED);

	if (!anyones && !is_here(peer.who))
		return 0;
	return put_names(t, s, ip, peer, anyones, now, field, ext);
}

static bool knows_names(const struct name_table *t, const struct snapshot *s)
{
	return dns_names_count(t->dns) || snapshot_told(s);
}

static void put_dns_names(struct name_table *t, const struct snapshot *s, struct flow *f,
			  struct who src, struct who dst, struct buf *ext)
{
	struct wall_ns now = f->bits & FLOW_HAS_TIME ? f->time : (struct wall_ns){ 0 };
	const struct peer source = { src, f->src_ip }, destination = { dst, f->dst_ip };

	if (!knows_names(t, s))
		return;
	size_t n = put_names_of(t, s, f->src_ip, src, destination, now, FIELD_SOURCE_NAMES, ext);
	n += put_names_of(t, s, f->dst_ip, dst, source, now, FIELD_DESTINATION_NAMES, ext);
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
	const struct moment then = moment_of(t, f);
	const struct snapshot *s = then.snapshot;
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
		put_dns_names(t, s, f, src, dst, ext);
	mark_namespaces(t, f);
}

/* Of an address of the world, too, only those that the peer, living here, was told. */
static void put_told_names(struct name_table *t, const struct snapshot *s, struct flow *f,
			   struct peer src, struct peer dst, struct buf *ext)
{
	struct wall_ns now = f->bits & FLOW_HAS_TIME ? f->time : (struct wall_ns){ 0 };
	size_t n = 0;

	if (is_here(dst.who))
		n += put_names(t, s, f->src_ip, dst, false, now, FIELD_SOURCE_NAMES, ext);
	if (is_here(src.who))
		n += put_names(t, s, f->dst_ip, src, false, now, FIELD_DESTINATION_NAMES, ext);
	if (n)
		f->bits |= FLOW_HAS_NAMES;
}

uint32_t name_flow_said(struct name_table *t, struct flow *f, uint32_t src_identity,
			uint32_t dst_identity, struct buf *ext)
{
	const struct moment then = moment_of(t, f);
	const struct snapshot *s = then.snapshot;
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
	f->src_ep = said_endpoint(t->said, t->dict, s, then.number, src, src_identity);
	f->dst_ep = said_endpoint(t->said, t->dict, s, then.number, dst, dst_identity);
	put_services(s, f);
	if (flow_is(f, FLOW_HAS_SRC_IP | FLOW_HAS_DST_IP) && knows_names(t, s))
		put_told_names(t, s, f, (struct peer){ src, f->src_ip },
			       (struct peer){ dst, f->dst_ip }, ext);
	mark_namespaces(t, f);
	return src.local_id;
}

/* The endpoint of this node with that Endpoint.ID, if there is one. */
static struct peer local_peer(const struct snapshot *s, const uint8_t *ip, uint32_t local_id)
{
	const struct endpoint_id ep = snapshot_local(s, local_id);

	return (struct peer){
		{ .ep = ep, .local_id = ep.v ? local_id : 0, .bits = ep.v ? WHO_LOCAL : 0 }, ip
	};
}

void name_flow_told(struct name_table *t, struct flow *f, uint32_t src_local, uint32_t dst_local,
		    struct buf *ext)
{
	const struct snapshot *s = moment_of(t, f).snapshot;

	f->node = t->node;
	put_services(s, f);
	if (flow_is(f, FLOW_HAS_SRC_IP | FLOW_HAS_DST_IP) && knows_names(t, s))
		put_told_names(t, s, f, local_peer(s, f->src_ip, src_local),
			       local_peer(s, f->dst_ip, dst_local), ext);
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
