#include "ui-server/servicemap.h"

#include "base/buf.h"
#include "base/map.h"
#include "edge/edge.h"
#include "flow/fields.h"
#include "flow/flow.pb-c.h"
#include "flow/json.h"
#include "flow/names.h"
#include "flow/wire.h"
#include "ui-server/wire.h"

enum {
	TEXTS_MOST = 4096, /* reasons and policies of one map */
	KEY_BYTES = 2048,  /* longer names are cut */
};

enum card_kind {
	CARD_WORKLOAD,
	CARD_POD,
	CARD_RESERVED, /* "host", "kube-apiserver", … */
	CARD_IDENTITY, /* known by its labels only */
	CARD_NAME,     /* DNS */
	CARD_CIDR,
	CARD_ADDRESS,
	CARD_REST,    /* addresses beyond the limit */
	CARD_NOWHERE, /* no name and no address */
	CARD_KIND_COUNT_
};
static const char *const card_kinds[] = {
	[CARD_WORKLOAD] = "workload", [CARD_POD] = "pod",   [CARD_RESERVED] = "reserved",
	[CARD_IDENTITY] = "identity", [CARD_NAME] = "name", [CARD_CIDR] = "cidr",
	[CARD_ADDRESS] = "address",   [CARD_REST] = "rest", [CARD_NOWHERE] = "nowhere",
};
_Static_assert(ARRAY_LEN(card_kinds) == CARD_KIND_COUNT_, "a kind of card without a name");

static const char *const outcome_names[] = {
	[UI_FORWARDED] = "forwarded",
	[UI_DROPPED] = "dropped",
	[UI_AUDITED] = "audited",
	[UI_UNKNOWN] = "unknown",
};
_Static_assert(ARRAY_LEN(outcome_names) == UI_OUTCOME_COUNT_, "an outcome without a name");

/* Who is at one end of a flow; texts are borrowed. */
struct who {
	enum card_kind kind;
	struct str cluster, namespace_, workload, name;
	uint32_t identity; /* of the reserved and of identities */
};

struct card {
	struct who who; /* texts lie in the key that the table of cards holds */
	uint64_t since; /* version that brought it */
};

struct reason {
	uint32_t text;  /* index of texts */
	uint64_t count; /* 0: free */
};

struct edge {
	uint32_t src, dst, port; /* cards; port 0 where there is none */
	uint8_t l4;
	bool policy_is_ingress, policy_side_known;
	uint32_t policy; /* 1 + index of texts; 0 none is known */
	uint64_t changed;
	uint64_t counts[UI_OUTCOME_COUNT_], bytes;
	struct wall_ns first, last, first_dropped, last_dropped;
	struct reason reasons[UI_WIRE_REASONS];
};

struct ui_map {
	struct ui_map_limits limits;
	uint64_t version, untracked;
	size_t card_count, edge_count, address_count, text_count;
	struct map *card_ids, *edge_ids, *text_ids;
	struct card *cards;
	struct edge *edges;
	struct str *texts; /* lie in text_ids */
	/* 1 + card of named endpoints, by endpoint id of this generation of the dictionary */
	uint32_t *by_endpoint;
	size_t by_endpoint_count;
	uint64_t generation;
};

void ui_map_free(struct ui_map *m)
{
	if (!m)
		return;
	map_free(m->card_ids);
	map_free(m->edge_ids);
	map_free(m->text_ids);
	free(m->cards);
	free(m->edges);
	free(m->texts);
	free(m->by_endpoint);
	free(m);
}

enum err_code ui_map_new(struct ui_map_limits limits, uint64_t seed, struct ui_map **ret,
			 struct err *e)
{
	AUTO(ui_map_free) struct ui_map *m = calloc(1, sizeof *m);

	if (!m)
		return err_set(e, ERR_NOMEM, "service map");
	m->limits = limits;
	m->cards = calloc(limits.cards, sizeof *m->cards);
	m->edges = calloc(limits.edges, sizeof *m->edges);
	m->texts = calloc(TEXTS_MOST, sizeof *m->texts);
	if (!m->cards || !m->edges || !m->texts)
		return err_set(e, ERR_NOMEM, "service map");
	if (map_new(limits.cards, seed, &m->card_ids, e) != ERR_OK ||
	    map_new(limits.edges, seed, &m->edge_ids, e) != ERR_OK ||
	    map_new(TEXTS_MOST, seed, &m->text_ids, e) != ERR_OK)
		return err_in(e, "service map");
	*ret = TAKE(m);
	return ERR_OK;
}

static enum ui_outcome outcome_of(int verdict)
{
	switch (verdict) {
	case FLOW__VERDICT__FORWARDED:
	case FLOW__VERDICT__REDIRECTED:
	case FLOW__VERDICT__TRACED:
	case FLOW__VERDICT__TRANSLATED:
		return UI_FORWARDED;
	case FLOW__VERDICT__DROPPED:
	case FLOW__VERDICT__ERROR:
		return UI_DROPPED;
	case FLOW__VERDICT__AUDIT:
		return UI_AUDITED;
	default:
		return UI_UNKNOWN;
	}
}

enum ui_outcome ui_outcome_of(const struct flow *f)
{
	return outcome_of(f->verdict);
}

/* --- cards --- */

static struct str label_with(const struct endpoint *ep, struct str prefix)
{
	for (size_t i = 0; i < ep->label_count; i++)
		if (str_has_prefix(ep->labels[i], prefix) && ep->labels[i].len > prefix.len)
			return str_from(ep->labels[i], prefix.len);
	return STR("");
}

/* False where the endpoint says no more than "somewhere outside". */
static bool name_endpoint(const struct endpoint *ep, struct who *ret)
{
	static const char *const app_labels[] = { "k8s:app=", "k8s:app.kubernetes.io/name=",
						  "k8s:k8s-app=", "container:app=" };
	const char *reserved = identity_name(ep->identity);
	struct who who = { .cluster = ep->cluster, .namespace_ = ep->namespace_ };

	if (ep->workload_count && ep->workloads[0].name.len) {
		who.kind = CARD_WORKLOAD;
		who.name = ep->workloads[0].name;
		who.workload = ep->workloads[0].kind;
	} else if (ep->pod.len) {
		who.kind = CARD_POD;
		who.name = ep->pod;
	} else if (label_with(ep, STR("cidr:")).len) {
		who = (struct who){ .kind = CARD_CIDR, .name = label_with(ep, STR("cidr:")) };
	} else if (ep->identity && reserved) {
		if (str_has_prefix(str_of(reserved), STR("world")))
			return false;
		who = (struct who){ .kind = CARD_RESERVED,
				    .name = str_of(reserved),
				    .identity = ep->identity };
	} else if (ep->identity && ep->label_count) {
		who.kind = CARD_IDENTITY;
		who.identity = ep->identity;
		for (size_t i = 0; i < ARRAY_LEN(app_labels) && !who.name.len; i++)
			who.name = label_with(ep, str_of(app_labels[i]));
		if (!who.name.len)
			who.name = ep->labels[0];
	} else {
		return false;
	}
	*ret = who;
	return true;
}

static struct str put_part(struct buf *key, struct str part)
{
	size_t room = key->max - key->len, from = key->len;

	buf_str_put(key, utf8_upto(part, room > 1 ? room - 1 : 0));
	buf_char(key, '\0'); /* full: names that differ beyond the limit share a card */
	key->failed = false;
	return str_n(key->p + from, key->len - from - (key->len > from));
}

/* The card of @who, a new one if need be; false if there may be no more. */
static bool find_card(struct ui_map *m, struct who who, uint32_t *ret)
{
	char bytes[KEY_BYTES];
	struct buf key = buf_fixed(bytes, sizeof bytes);

	buf_char(&key, (char)who.kind);
	buf_put(&key, &who.identity, sizeof who.identity);
	who.cluster = put_part(&key, who.cluster);
	who.namespace_ = put_part(&key, who.namespace_);
	who.workload = put_part(&key, who.workload);
	who.name = put_part(&key, who.name);
	if (map_get(m->card_ids, buf_str(&key), ret))
		return true;
	struct str kept;
	if (m->card_count == m->limits.cards ||
	    map_put(m->card_ids, buf_str(&key), (uint32_t)m->card_count, &kept, NULL) != ERR_OK)
		return false;
	struct str *texts[] = { &who.cluster, &who.namespace_, &who.workload, &who.name };
	for (size_t i = 0; i < ARRAY_LEN(texts); i++)
		texts[i]->p = kept.p + (texts[i]->p - bytes);
	m->cards[m->card_count] = (struct card){ who, m->version };
	*ret = (uint32_t)m->card_count++;
	return true;
}

/* A side without a name of its own: by DNS name or address. */
static bool find_outside(struct ui_map *m, const struct flow *f, enum flow_side side, uint32_t *ret)
{
	uint32_t field = side == FLOW_SRC ? FLOW_FIELD_SOURCE_NAMES : FLOW_FIELD_DESTINATION_NAMES;
	char tmp[FLOW_IP_TEXT_BYTES];
	struct str name;

	if (flow_is(f, FLOW_HAS_NAMES) && wire_find(str_n(f->ext, f->ext_len), field, &name) &&
	    name.len)
		return find_card(m, (struct who){ .kind = CARD_NAME, .name = name }, ret);
	name = flow_ip_text(f, side, tmp);
	if (!name.len)
		return find_card(m, (struct who){ .kind = CARD_NOWHERE }, ret);
	/* Whether it is known is only seen by looking; so it is made, unless that is too many. */
	size_t before = m->card_count;
	if (m->address_count < m->limits.addresses) {
		if (!find_card(m, (struct who){ .kind = CARD_ADDRESS, .name = name }, ret))
			return false;
		m->address_count += m->card_count - before;
		return true;
	}
	size_t limit = m->limits.cards;
	m->limits.cards = m->card_count; /* look, but make none */
	bool known = find_card(m, (struct who){ .kind = CARD_ADDRESS, .name = name }, ret);
	m->limits.cards = limit;
	return known || find_card(m, (struct who){ .kind = CARD_REST }, ret);
}

static bool remembered_card(struct ui_map *m, uint32_t endpoint, const struct flow_dict *dict,
			    uint32_t *ret)
{
	uint64_t generation = flow_dict_generation(dict);

	if (generation != m->generation) {
		if (m->by_endpoint_count)
			memset(m->by_endpoint, 0, m->by_endpoint_count * sizeof *m->by_endpoint);
		m->generation = generation;
	}
	if (endpoint >= m->by_endpoint_count || !m->by_endpoint[endpoint])
		return false;
	*ret = m->by_endpoint[endpoint] - 1;
	return true;
}

/* Without memory nothing is remembered, and looked up again. */
static void remember_card(struct ui_map *m, uint32_t endpoint, uint32_t card)
{
	if (endpoint >= m->by_endpoint_count) {
		size_t count = ((size_t)endpoint + 1) * 2;
		uint32_t *grown = realloc(m->by_endpoint, count * sizeof *grown);
		if (!grown)
			return;
		memset(grown + m->by_endpoint_count, 0,
		       (count - m->by_endpoint_count) * sizeof *grown);
		m->by_endpoint = grown;
		m->by_endpoint_count = count;
	}
	m->by_endpoint[endpoint] = card + 1;
}

static bool card_of_side(struct ui_map *m, const struct flow *f, enum flow_side side,
			 const struct flow_dict *dict, uint32_t *ret)
{
	struct endpoint_id id = side == FLOW_SRC ? f->src_ep : f->dst_ep;
	const struct endpoint *ep;
	struct who who;

	if (id.v && remembered_card(m, id.v, dict, ret))
		return true;
	ep = flow_dict_get_endpoint(dict, id);
	if (!ep || !name_endpoint(ep, &who))
		return find_outside(m, f, side, ret);
	if (!find_card(m, who, ret))
		return false;
	remember_card(m, id.v, *ret);
	return true;
}

/* --- edges --- */

static struct edge *find_edge(struct ui_map *m, uint32_t src, uint32_t dst, uint32_t port,
			      uint8_t l4)
{
	const uint32_t key[] = { src, dst, port, l4 };
	uint32_t id;

	if (map_get(m->edge_ids, str_n(key, sizeof key), &id))
		return &m->edges[id];
	if (m->edge_count == m->limits.edges ||
	    map_put(m->edge_ids, str_n(key, sizeof key), (uint32_t)m->edge_count, NULL, NULL) !=
		    ERR_OK)
		return NULL;
	struct edge *edge = &m->edges[m->edge_count++];
	*edge = (struct edge){ .src = src, .dst = dst, .port = port, .l4 = l4 };
	return edge;
}

/* 1 + index; 0 for no text, and if there are too many. */
static uint32_t intern_text(struct ui_map *m, struct str text)
{
	uint32_t id;
	struct str kept;

	if (!text.len)
		return 0;
	if (map_get(m->text_ids, text, &id))
		return id + 1;
	if (m->text_count == TEXTS_MOST ||
	    map_put(m->text_ids, text, (uint32_t)m->text_count, &kept, NULL) != ERR_OK)
		return 0;
	m->texts[m->text_count] = kept;
	return (uint32_t)++m->text_count;
}

/* By name, or by number where this version has no name for it: what filters ask for either way. Who
 * says neither may have the kernel's own name, @kernel. */
static void count_reason(struct ui_map *m, struct edge *edge, int32_t reason, struct str kernel,
			 uint64_t n)
{
	const char *name = enum_name(&flow__drop_reason__descriptor, reason);
	char bytes[sizeof "-2147483648"];
	struct buf number = buf_fixed(bytes, sizeof bytes);

	if (!name)
		buf_i64(&number, reason);
	uint32_t text = intern_text(m, !reason ? kernel : name ? str_of(name) : buf_str(&number));

	for (size_t i = 0; text && i < UI_WIRE_REASONS; i++) {
		struct reason *r = &edge->reasons[i];
		if (r->count && r->text != text - 1)
			continue;
		r->text = text - 1;
		r->count += n;
		return;
	}
}

/* The first policy that denied, as "namespace/name". */
static void note_policy(struct ui_map *m, struct edge *edge, const struct flow *f)
{
	static const uint32_t fields[] = { FLOW_FIELD_EGRESS_DENIED_BY,
					   FLOW_FIELD_INGRESS_DENIED_BY };
	enum { POLICY_NAME = 1, POLICY_NAMESPACE = 2 };
	char bytes[KEY_BYTES];

	if (!flow_is(f, FLOW_HAS_POLICIES))
		return;
	for (size_t i = 0; i < ARRAY_LEN(fields); i++) {
		struct buf text = buf_fixed(bytes, sizeof bytes);
		struct str policy, part;
		if (!wire_find(str_n(f->ext, f->ext_len), fields[i], &policy))
			continue;
		if (wire_find(policy, POLICY_NAMESPACE, &part) && part.len) {
			buf_str_put(&text, part);
			buf_char(&text, '/');
		}
		if (!wire_find(policy, POLICY_NAME, &part))
			continue;
		buf_str_put(&text, part);
		uint32_t id = text.failed ? 0 : intern_text(m, buf_str(&text));
		if (!id)
			continue;
		edge->policy = id;
		edge->policy_side_known = true;
		edge->policy_is_ingress = fields[i] == FLOW_FIELD_INGRESS_DENIED_BY;
		return;
	}
}

static void note_drops(struct edge *edge, struct wall_ns first, struct wall_ns last)
{
	if (first.v && (!edge->first_dropped.v || first.v < edge->first_dropped.v))
		edge->first_dropped = first;
	if (last.v > edge->last_dropped.v)
		edge->last_dropped = last;
}

static void count_flow(struct ui_map *m, struct edge *edge, const struct flow *f,
		       const struct flow_dict *dict)
{
	enum ui_outcome outcome = ui_outcome_of(f);

	edge->changed = m->version;
	edge->counts[outcome]++;
	if (flow_is(f, FLOW_HAS_DETAIL))
		edge->bytes += f->bytes;
	if (flow_is(f, FLOW_HAS_TIME)) {
		if (!edge->first.v || f->time.v < edge->first.v)
			edge->first = f->time;
		if (f->time.v > edge->last.v)
			edge->last = f->time;
		if (outcome == UI_DROPPED)
			note_drops(edge, f->time, f->time);
	}
	if (outcome == UI_DROPPED)
		count_reason(m, edge, (int32_t)f->drop_desc,
			     flow_dict_get_kernel_reason(dict, f->kernel_reason), 1);
	if (outcome == UI_DROPPED || outcome == UI_AUDITED)
		note_policy(m, edge, f);
}

void ui_map_add(struct ui_map *m, const struct flow *f, const struct flow_dict *dict)
{
	uint32_t src, dst, src_port = 0, dst_port = 0;

	if (!edge_has_ends(f))
		return;
	m->version++;
	if (!card_of_side(m, f, FLOW_SRC, dict, &src) ||
	    !card_of_side(m, f, FLOW_DST, dict, &dst)) {
		m->untracked++;
		return;
	}
	(void)flow_port(f, FLOW_SRC, &src_port);
	(void)flow_port(f, FLOW_DST, &dst_port);
	struct edge *edge = edge_is_answer(f) ? find_edge(m, dst, src, src_port, f->l4)
					      : find_edge(m, src, dst, dst_port, f->l4);
	if (edge)
		count_flow(m, edge, f, dict);
	else
		m->untracked++;
}

static struct who who_of(const Tycho__V1__Peer *p)
{
	struct str name = str_of(p->workload);
	uint8_t ip[16];

	if (*p->namespace_ || *p->workload_kind)
		return (struct who){ .kind = *p->workload_kind ? CARD_WORKLOAD : CARD_POD,
				     .cluster = str_of(p->cluster),
				     .namespace_ = str_of(p->namespace_),
				     .workload = str_of(p->workload_kind),
				     .name = name };
	if (p->n_dns_names)
		return (struct who){ .kind = CARD_NAME, .name = str_of(p->dns_names[0]) };
	if (!name.len)
		return (struct who){ .kind = CARD_NOWHERE };
	return (struct who){ .kind = ip_parse(name, ip)                ? CARD_ADDRESS
				     : str_find(name, '/') != name.len ? CARD_CIDR
								       : CARD_RESERVED,
			     .name = name };
}

static uint8_t l4_of(const char *name)
{
	for (uint8_t l4 = FLOW_L4_TCP; l4 <= FLOW_L4_IGMP; l4++)
		if (str_is(str_of(name), l4_name(l4)))
			return l4;
	return FLOW_L4_NONE;
}

static struct wall_ns wall_of(const Google__Protobuf__Timestamp *t)
{
	bool good = t && t->seconds > 0 && t->seconds < INT32_MAX && t->nanos >= 0;

	return (struct wall_ns){ good ? (uint64_t)t->seconds * NS_PER_S + (uint64_t)t->nanos : 0 };
}

static void count_edge(struct ui_map *m, struct edge *edge, const Tycho__V1__Edge *in)
{
	enum ui_outcome outcome = outcome_of((int)in->verdict);
	struct wall_ns first = wall_of(in->first_seen), last = wall_of(in->last_seen);

	edge->changed = m->version;
	edge->counts[outcome] += in->flows;
	edge->bytes += in->bytes;
	if (first.v && (!edge->first.v || first.v < edge->first.v))
		edge->first = first;
	if (last.v > edge->last.v)
		edge->last = last;
	if (outcome != UI_DROPPED && outcome != UI_AUDITED)
		return;
	if (outcome == UI_DROPPED)
		note_drops(edge, first, last);
	if (outcome == UI_DROPPED)
		count_reason(m, edge, (int32_t)in->drop_reason, STR(""), in->flows);
	if (in->n_policies && !edge->policy)
		edge->policy = intern_text(m, str_of(in->policies[0]));
}

void ui_map_add_edge(struct ui_map *m, const Tycho__V1__Edge *in)
{
	uint32_t src, dst;
	struct edge *edge = NULL;

	m->version++;
	if (in->source && in->destination && find_card(m, who_of(in->source), &src) &&
	    find_card(m, who_of(in->destination), &dst))
		edge = find_edge(m, src, dst, in->port, l4_of(in->protocol));
	if (edge)
		count_edge(m, edge, in);
	else
		m->untracked += in->flows;
}

uint64_t ui_map_version(const struct ui_map *m)
{
	return m->version;
}

/* --- JSON --- */

static void put_text(struct buf *b, const char *member, struct str text)
{
	if (!text.len)
		return;
	buf_printf(b, ",\"%s\":", member);
	json_put_string(b, text);
}

/* Milliseconds: nanoseconds since the epoch are beyond what a number in a browser holds. Counts
 * stay below 2^53 for as long as anybody watches. */
static void put_number(struct buf *b, const char *member, uint64_t v)
{
	if (v)
		buf_printf(b, ",\"%s\":%llu", member, (unsigned long long)v);
}

static void put_card(struct buf *b, size_t id, const struct card *c)
{
	buf_printf(b, "{\"id\":%zu,\"kind\":\"%s\"", id, card_kinds[c->who.kind]);
	put_text(b, "cluster", c->who.cluster);
	put_text(b, "namespace", c->who.namespace_);
	put_text(b, "workload", c->who.workload);
	put_text(b, "name", c->who.name);
	put_number(b, "identity", c->who.identity);
	buf_char(b, '}');
}

static void put_edge(struct buf *b, const struct ui_map *m, size_t id, const struct edge *edge)
{
	const char *l4 = edge->l4 == FLOW_L4_NONE ? "IP" : l4_name(edge->l4);
	const char *before = ",\"reasons\":{";

	buf_printf(b, "{\"id\":%zu,\"from\":%u,\"to\":%u,\"protocol\":\"%s\"", id, edge->src,
		   edge->dst, l4);
	put_number(b, "port", edge->port);
	for (size_t i = 0; i < UI_OUTCOME_COUNT_; i++)
		put_number(b, outcome_names[i], edge->counts[i]);
	put_number(b, "bytes", edge->bytes);
	put_number(b, "first", edge->first.v / NS_PER_MS);
	put_number(b, "last", edge->last.v / NS_PER_MS);
	put_number(b, "first_dropped", edge->first_dropped.v / NS_PER_MS);
	put_number(b, "last_dropped", edge->last_dropped.v / NS_PER_MS);
	for (size_t i = 0; i < UI_WIRE_REASONS && edge->reasons[i].count; i++) {
		buf_str_put(b, str_of(before));
		json_put_string(b, m->texts[edge->reasons[i].text]);
		buf_printf(b, ":%llu", (unsigned long long)edge->reasons[i].count);
		before = ",";
	}
	if (edge->reasons[0].count)
		buf_char(b, '}');
	if (edge->policy) {
		put_text(b, "denied_by", m->texts[edge->policy - 1]);
		if (edge->policy_side_known)
			put_text(b, "denied_on",
				 edge->policy_is_ingress ? STR("ingress") : STR("egress"));
	}
	buf_char(b, '}');
}

void ui_map_put(const struct ui_map *m, uint64_t since, struct buf *b)
{
	const char *before = "";

	buf_printf(b, "{\"full\":%s,\"cards\":[", since ? "false" : "true");
	for (size_t i = 0; i < m->card_count; i++) {
		if (m->cards[i].since <= since)
			continue;
		buf_str_put(b, str_of(before));
		put_card(b, i, &m->cards[i]);
		before = ",";
	}
	buf_lit(b, "],\"edges\":[");
	before = "";
	for (size_t i = 0; i < m->edge_count; i++) {
		if (m->edges[i].changed <= since)
			continue;
		buf_str_put(b, str_of(before));
		put_edge(b, m, i, &m->edges[i]);
		before = ",";
	}
	buf_printf(b, "],\"untracked\":%llu}", (unsigned long long)m->untracked);
}
