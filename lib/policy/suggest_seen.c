/* Connections as what policies say: subject, direction, peer, port. */
#include "policy/suggest_inside.h"

/* --- peers ------------------------------------------------------------------------------------ */

static void put_block(const struct suggest *s, const uint8_t ip[16], struct buf *out)
{
	char text[FLOW_IP_TEXT_BYTES];
	bool v4 = ip_is_v4(ip);
	unsigned bits = v4 ? s->config.bits4 : s->config.bits6, kept = v4 ? bits + 96 : bits;
	uint8_t first[16];

	for (unsigned i = 0; i < 16; i++) {
		unsigned of = kept > i * 8 ? kept - i * 8 : 0;
		first[i] = of >= 8 ? ip[i] : (uint8_t)(ip[i] & ~(0xffu >> of));
	}
	buf_str_put(out, ip_text(first, text));
	buf_printf(out, "/%u", bits);
}

/* @other: which end of @c the peer is. */
static void describe(const struct suggest *s, const struct connection *c, int other, struct peer *p,
		     struct buf *text)
{
	const struct end *end = &s->ends[c->ids[other].v];
	bool kube = s->config.kind == SUGGEST_KUBERNETES;

	*p = (struct peer){ .class_ = PEER_BLOCK };
	if (end->kind == END_NOBODY) {
		p->class_ = PEER_UNSAID;
		p->why = end->why;
		put_block(s, c->ips[other], text);
	} else if (kube && end->kind == END_ENTITY && other == CLIENT &&
		   str_is(end->entity, "host")) {
		p->class_ = PEER_OWN_NODE;
	} else if (end->kind == END_POD) {
		p->class_ = PEER_PODS;
		p->group = s->groups[end->group].leader;
		buf_str_put(text, s->groups[p->group].key);
	} else if (!kube && end->kind == END_ENTITY) {
		p->class_ = PEER_ENTITY;
		buf_str_put(text, end->entity);
	} else if (c->name.len && other == SERVER) {
		p->class_ = PEER_NAME;
		buf_str_put(text, c->name);
	} else {
		put_block(s, c->ips[other], text);
		if (end->kind == END_ENTITY)
			p->entity = end->entity;
	}
}

static enum err_code find_peer(struct suggest *s, const struct connection *c, int other,
			       uint32_t *ret, struct err *e)
{
	AUTO_BUF struct buf key = buf_init(2 << 20);
	struct peer p;

	buf_char(&key, '-');
	describe(s, c, other, &p, &key);
	if (key.failed)
		return err_set(e, ERR_NOMEM, "peers");
	key.p[0] = (char)('0' + p.class_);
	if (map_get(s->by_peer, buf_str(&key), ret)) {
		struct peer *there = &s->peers[*ret]; /* a node's address is told as that */
		if (p.entity.len && (!there->entity.len || str_cmp(p.entity, there->entity) < 0))
			there->entity = p.entity;
		return ERR_OK;
	}
	*ret = (uint32_t)s->peer_count;
	if (policy_grow(&s->peers, *ret, &s->peer_room, sizeof *s->peers, e) != ERR_OK ||
	    map_put(s->by_peer, buf_str(&key), *ret, &p.key, e) != ERR_OK)
		return e->code;
	p.text = str_from(p.key, 1);
	s->peers[s->peer_count++] = p;
	return ERR_OK;
}

void peer_put(const struct suggest *s, const struct peer *p, struct buf *out)
{
	if (p->class_ == PEER_PODS)
		(void)group_put(s, p->group, out);
	else if (p->class_ == PEER_OWN_NODE)
		buf_lit(out, "its own node");
	else
		buf_str_put(out, p->text);
	if (p->entity.len)
		buf_printf(out, " (%.*s)", STR_FMT(p->entity));
}

bool peer_is_kube_dns(const struct suggest *s, const struct peer *p)
{
	const struct suggest_group *g = &s->groups[p->group];

	if (p->class_ != PEER_PODS || !str_is(g->namespace_, "kube-system"))
		return false;
	for (size_t i = 0; i < g->shared_count; i++)
		if (str_is(g->shared[i].key, "k8s-app") && str_is(g->shared[i].value, "kube-dns"))
			return true;
	return false;
}

/* --- facts ------------------------------------------------------------------------------------ */

static enum err_code add_fact(struct suggest *s, struct connection *c, int subject, struct err *e)
{
	struct {
		uint32_t subject, peer;
		uint16_t port;
		uint8_t protocol, direction;
	} key = { .port = c->port, .protocol = c->protocol };
	_Static_assert(sizeof key == 12, "compared as bytes: no holes");
	uint32_t at;

	key.direction = subject == CLIENT ? POLICY_EGRESS : POLICY_INGRESS;
	key.subject = s->groups[s->ends[c->ids[subject].v].group].leader;
	if (find_peer(s, c, 1 - subject, &key.peer, e) != ERR_OK)
		return e->code;
	if (!map_get(s->by_fact, str_n(&key, sizeof key), &at)) {
		at = (uint32_t)s->fact_count;
		if (policy_grow(&s->facts, at, &s->fact_room, sizeof *s->facts, e) != ERR_OK ||
		    map_put(s->by_fact, str_n(&key, sizeof key), at, NULL, e) != ERR_OK)
			return e->code;
		s->facts[s->fact_count++] = (struct fact){
			.subject = key.subject,
			.peer = key.peer,
			.direction = key.direction,
			.protocol = key.protocol,
			.port = key.port,
		};
	}
	struct fact *f = &s->facts[at];
	f->passed += c->passed;
	f->through += c->through;
	f->denied += c->denied;
	policy_span_add(&f->span, c->span);
	c->facts[subject] = at;
	return ERR_OK;
}

/* A drop at the server leaves flows that passed at the client: only what got through says that it
 * was forwarded. */
static bool was_forwarded(const struct fact *f)
{
	return f->passed && (!f->denied || f->through);
}

static int compare_u64(uint64_t a, uint64_t b)
{
	return (a > b) - (a < b);
}

const char *fact_unsaid(const struct suggest *s, const struct fact *f)
{
	const struct peer *p = &s->peers[f->peer];

	if (p->class_ == PEER_OWN_NODE)
		return NULL;
	if (s->config.kind == SUGGEST_KUBERNETES && is_icmp(f->protocol))
		return "NetworkPolicy knows no ICMP";
	if (s->config.kind == SUGGEST_KUBERNETES && p->class_ == PEER_PODS &&
	    s->groups[p->group].nameless &&
	    !str_eq(s->groups[p->group].namespace_, s->groups[f->subject].namespace_))
		return "its namespace has no label kubernetes.io/metadata.name";
	return p->why;
}

static int compare_facts(const struct suggest *s, const struct fact *a, const struct fact *b)
{
	const struct peer *p = &s->peers[a->peer], *q = &s->peers[b->peer];
	int c = str_cmp(s->groups[a->subject].key, s->groups[b->subject].key);

	c = c ? c : compare_u64(a->direction, b->direction);
	c = c ? c : compare_u64(p->class_, q->class_);
	c = c ? c : str_cmp(p->key, q->key);
	c = c ? c : compare_u64(is_icmp(a->protocol), is_icmp(b->protocol));
	c = c ? c : compare_u64(a->protocol, b->protocol);
	return c ? c : compare_u64(a->port, b->port);
}

static int by_all(const void *a, const void *b, void *s)
{
	return compare_facts(s, a, b);
}

/* Facts change their places: connections are told. */
static enum err_code sort_facts(struct suggest *s, struct err *e)
{
	AUTO(own_free) uint32_t *to = calloc(s->fact_count + 1, sizeof *to);

	if (!to)
		return err_set(e, ERR_NOMEM, "connections");
	for (size_t i = 0; i < s->fact_count; i++)
		s->facts[i].was = (uint32_t)i;
	if (s->fact_count)
		qsort_r(s->facts, s->fact_count, sizeof *s->facts, by_all, s);
	for (size_t i = 0; i < s->fact_count; i++)
		to[s->facts[i].was] = (uint32_t)i;
	for (size_t i = 0; i < s->connection_count; i++)
		for (int end = CLIENT; end <= SERVER; end++)
			if (s->connections[i].facts[end] != NO_FACT)
				s->connections[i].facts[end] = to[s->connections[i].facts[end]];
	return ERR_OK;
}

/* Sorted, so that what is beyond a limit does not depend on the order of flows. */
static void limit(struct suggest *s)
{
	const struct fact *last = NULL; /* that is allowed */
	size_t peers = 0, ports = 0;

	for (size_t i = 0; i < s->fact_count; i++) {
		struct fact *f = &s->facts[i];
		bool same = last && last->subject == f->subject && last->direction == f->direction;

		if (!f->allowed || s->peers[f->peer].class_ == PEER_OWN_NODE)
			continue;
		if (!same)
			peers = ports = 0;
		if (!same || last->peer != f->peer) {
			peers++;
			ports = 0;
		}
		last = f;
		f->left_out = peers > SUGGEST_PEERS_MAX || ++ports > SUGGEST_PORTS_MAX;
	}
	for (size_t i = 0; i < s->fact_count; i++)
		s->facts[i].allowed &= !s->facts[i].left_out;
}

enum err_code suggest_facts(struct suggest *s, struct err *e)
{
	for (size_t i = 0; i < s->connection_count; i++) {
		struct connection *c = &s->connections[i];
		const bool wanted[2] = { s->config.egress, s->config.ingress };

		for (int end = CLIENT; end <= SERVER; end++) {
			const struct end *subject = &s->ends[c->ids[end].v];

			if (!wanted[end] || subject->kind != END_POD ||
			    !s->groups[s->groups[subject->group].leader].is_subject)
				continue;
			if (add_fact(s, c, end, e) != ERR_OK)
				return e->code;
		}
	}
	if (sort_facts(s, e) != ERR_OK)
		return e->code;
	for (size_t i = 0; i < s->fact_count; i++) {
		struct fact *f = &s->facts[i];

		f->seen = was_forwarded(f) || (s->config.with_denied && f->denied);
		f->allowed = f->seen && !fact_unsaid(s, f);
	}
	limit(s);
	return ERR_OK;
}
