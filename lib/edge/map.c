#include "edge/map.h"

#include "base/map.h"

enum { KEY_BYTES = 8192, TEXTS = 10, CACHE_SLOTS = 1 << 12 };

_Static_assert(TEXTS *(EDGE_TEXT_BYTES + 2) + 8 <= KEY_BYTES, "every key has room");

struct edge {
	struct str bytes; /* the key, as put_key writes it; the map's own */
	struct edge_key key;
	struct edge_totals totals;
	uint64_t version;
};

/* Most flows have neither DNS names nor policies: numbers then say all of the key. */
struct cached {
	uint32_t src, dst;
	uint32_t drop_desc;
	uint16_t port;
	uint8_t l4, verdict;
	uint32_t edge; /* 1 + index; 0: empty */
};

struct edge_map {
	struct map *ids;
	struct edge *edges;
	size_t count, room, max;
	uint64_t version, left_out;
	struct cached cache[CACHE_SLOTS];
};

enum err_code edge_map_new(size_t max_edges, uint64_t seed, struct edge_map **ret, struct err *e)
{
	AUTO(edge_map_free) struct edge_map *m = calloc(1, sizeof *m);

	if (!m)
		return err_set(e, ERR_NOMEM, "service map");
	m->max = max_edges;
	enum err_code code = map_new(max_edges, seed, &m->ids, e);
	if (code != ERR_OK)
		return code;
	*ret = TAKE(m);
	return ERR_OK;
}

void edge_map_free(struct edge_map *m)
{
	if (!m)
		return;
	map_free(m->ids);
	free(m->edges);
	free(m);
}

uint64_t edge_map_version(const struct edge_map *m)
{
	return m->version;
}

uint64_t edge_map_left_out(const struct edge_map *m)
{
	return m->left_out;
}

/* --- keys --------------------------------------------------------------------------------- */

struct numbers {
	uint32_t drop_desc;
	uint16_t port;
	uint8_t l4, verdict;
};
_Static_assert(sizeof(struct numbers) == 8, "no padding: it is part of a key");

/* In the order in which they lie in a key. */
static void texts_of(struct edge_key *k, struct str *ret[TEXTS])
{
	struct str *const texts[TEXTS] = { &k->src.cluster, &k->src.namespace_, &k->src.name,
					   &k->src.kind,    &k->dst.cluster,    &k->dst.namespace_,
					   &k->dst.name,    &k->dst.kind,       &k->dns,
					   &k->policy };
	memcpy(ret, texts, sizeof texts);
}

/* Numbers, then each text with its length. */
static void put_key(struct buf *b, const struct edge_key *key)
{
	struct edge_key k = *key;
	const struct numbers n = { k.drop_desc, k.port, k.l4, k.verdict };
	struct str *texts[TEXTS];

	texts_of(&k, texts);
	buf_put(b, &n, sizeof n);
	for (size_t i = 0; i < TEXTS; i++)
		edge_text_put(b, *texts[i]);
}

/* The key that @bytes say, borrowed from them. */
static struct edge_key get_key(struct str bytes)
{
	struct edge_key k = { .port = 0 };
	struct numbers n;
	struct str *texts[TEXTS];

	memcpy(&n, bytes.p, sizeof n);
	k.drop_desc = n.drop_desc;
	k.port = n.port;
	k.l4 = n.l4;
	k.verdict = n.verdict;
	bytes = str_from(bytes, sizeof n);
	texts_of(&k, texts);
	for (size_t i = 0; i < TEXTS; i++) {
		uint16_t len;
		memcpy(&len, bytes.p, sizeof len);
		bytes = str_from(bytes, sizeof len);
		*texts[i] = str_upto(bytes, len);
		bytes = str_from(bytes, len);
	}
	return k;
}

/* --- adding ------------------------------------------------------------------------------- */

static struct edge *make(struct edge_map *m, struct str bytes)
{
	if (m->count == m->max)
		return NULL;
	if (m->count == m->room) {
		size_t room = m->room ? 2 * m->room : 64;
		struct edge *grown = realloc(m->edges, room * sizeof *grown);
		if (!grown)
			return NULL;
		m->edges = grown;
		m->room = room;
	}
	struct str kept;
	if (map_put(m->ids, bytes, (uint32_t)m->count, &kept, NULL) != ERR_OK)
		return NULL;
	struct edge *edge = &m->edges[m->count++];
	*edge = (struct edge){ .bytes = kept, .key = get_key(kept) };
	return edge;
}

/* NULL: no room. */
static struct edge *find(struct edge_map *m, const struct edge_key *key)
{
	char bytes[KEY_BYTES];
	struct buf b = buf_fixed(bytes, sizeof bytes);
	uint32_t id;

	put_key(&b, key);
	if (map_get(m->ids, buf_str(&b), &id))
		return &m->edges[id];
	return make(m, buf_str(&b));
}

static void add(struct edge_map *m, struct edge *edge, const struct edge_totals *by)
{
	struct edge_totals *t = &edge->totals;

	t->flows += by->flows;
	t->packets += by->packets;
	t->bytes += by->bytes;
	t->l7_ok += by->l7_ok;
	t->l7_errors += by->l7_errors;
	if (by->first.v && (!t->first.v || by->first.v < t->first.v))
		t->first = by->first;
	if (by->last.v > t->last.v)
		t->last = by->last;
	edge->version = ++m->version;
}

void edge_map_add(struct edge_map *m, const struct edge_key *key, const struct edge_totals *totals)
{
	struct edge *edge = find(m, key);

	if (edge)
		add(m, edge, totals);
	else
		m->left_out += totals->flows;
}

static struct edge *find_by_names(struct edge_map *m, const struct flow *f,
				  const struct flow_dict *dict, struct edge_key *key)
{
	char text[EDGE_POLICY_BYTES];
	struct buf policy = buf_fixed(text, sizeof text);
	bool answer = edge_is_answer(f);
	const struct endpoint *src = flow_dict_get_endpoint(dict, f->src_ep);
	const struct endpoint *dst = flow_dict_get_endpoint(dict, f->dst_ep);

	edge_policy_put(&policy, f);
	key->src = edge_side_of(answer ? dst : src);
	key->dst = edge_side_of(answer ? src : dst);
	key->dns = edge_dns_name(f, dict);
	key->policy = buf_str(&policy);
	return find(m, key);
}

static size_t slot_of(const struct cached *c)
{
	uint64_t h = (uint64_t)c->src << 32 | c->dst;

	h ^= (uint64_t)c->port << 48 | (uint64_t)c->l4 << 40 | (uint64_t)c->verdict << 32 |
	     c->drop_desc;
	h *= UINT64_C(0x9e3779b97f4a7c15); /* Knuth, TAOCP 6.4: 2^64 over the golden ratio */
	return h >> 52;
}
_Static_assert(CACHE_SLOTS == 1 << (64 - 52), "slot_of yields an index");

static struct edge *find_by_numbers(struct edge_map *m, const struct flow *f,
				    const struct flow_dict *dict, struct edge_key *key)
{
	bool answer = edge_is_answer(f);
	struct cached want = { .src = answer ? f->dst_ep.v : f->src_ep.v,
			       .dst = answer ? f->src_ep.v : f->dst_ep.v,
			       .drop_desc = key->drop_desc,
			       .port = key->port,
			       .l4 = key->l4,
			       .verdict = key->verdict };
	struct cached *c = &m->cache[slot_of(&want)];

	if (c->edge && c->src == want.src && c->dst == want.dst && c->port == want.port &&
	    c->l4 == want.l4 && c->verdict == want.verdict && c->drop_desc == want.drop_desc)
		return &m->edges[c->edge - 1];
	struct edge *edge = find_by_names(m, f, dict, key);
	if (edge) {
		want.edge = (uint32_t)(edge - m->edges) + 1;
		*c = want;
	}
	return edge;
}

void edge_map_add_flow(struct edge_map *m, const struct flow *f, const struct flow_dict *dict)
{
	if (f->kind != FLOW_KIND_FLOW || !edge_has_ends(f))
		return;
	struct wall_ns time = { flow_is(f, FLOW_HAS_TIME) ? f->time.v : 0 };
	bool counts = flow_is(f, FLOW_HAS_DETAIL);
	enum edge_l7 l7 = edge_l7_of(f);
	struct edge_key key = {
		.drop_desc = f->drop_desc,
		.port = edge_port(f),
		.l4 = f->l4,
		.verdict = f->verdict,
	};
	const struct edge_totals one = {
		.flows = 1,
		.packets = counts ? f->packets : 0,
		.bytes = counts ? f->bytes : 0,
		.l7_ok = l7 == EDGE_L7_OK,
		.l7_errors = l7 == EDGE_L7_ERROR,
		.first = time,
		.last = time,
	};
	bool by_numbers = !(f->bits & (FLOW_HAS_NAMES | FLOW_HAS_POLICIES));
	struct edge *edge = (by_numbers ? find_by_numbers : find_by_names)(m, f, dict, &key);

	if (edge)
		add(m, edge, &one);
	else
		m->left_out++;
}

bool edge_map_each(const struct edge_map *m, uint64_t since, size_t *at,
		   bool (*each)(void *ctx, const struct edge_key *key,
				const struct edge_totals *totals),
		   void *ctx)
{
	for (; *at < m->count; ++*at) {
		const struct edge *edge = &m->edges[*at];
		if (edge->version > since && !each(ctx, &edge->key, &edge->totals))
			return false;
	}
	return true;
}
