#include "cli/preview.h"

#include <netinet/in.h>
#include <sys/random.h>

#include "base/buf.h"
#include "base/map.h"
#include "flow/dict.h"
#include "policy/flow.h"

enum {
	WHY_REFS = 8,    /* rules told of one decision */
	TEXT_MAX = 8192, /* of one */
};

enum {
	WHY_NONE,
	WHY_ENDS,
	WHY_CLUSTER,
	WHY_PROXY,
	WHY_AUTHENTICATION,
	WHY_LACKS,
	WHY_UNSURE,
	WHY_BROKEN,
	WHY_BOTH,
	WHY_RECORD,
	WHY_COUNT_
};
static const struct str whys[] = {
	[WHY_NONE] = STR(""),
	[WHY_ENDS] = STR("who one of the ends is, is not known"),
	[WHY_CLUSTER] = STR("a pod of another cluster than --policy-cluster"),
	[WHY_PROXY] = STR("allowed as far as a proxy, whose rules are not evaluated"),
	[WHY_AUTHENTICATION] =
		STR("allowed once both ends are authenticated, which nobody here knows"),
	[WHY_LACKS] = STR(""), /* one of its own */
	[WHY_UNSURE] = STR("a policy there has fields that are not known"),
	[WHY_BROKEN] = STR(""), /* with the rules */
	[WHY_BOTH] = STR("the record has it both ways"),
	[WHY_RECORD] = STR("the record is not what the policies of --now decide"),
};
_Static_assert(ARRAY_LEN(whys) == WHY_COUNT_, "a reason without words");

enum decided { DECIDED_ALLOWED, DECIDED_DENIED, DECIDED_UNKNOWN };

struct decision {
	uint8_t is;        /* enum decided */
	uint8_t direction; /* enum policy_direction */
	bool to_proxy;     /* allowed, if rules of a proxy allow it */
	bool needs_auth;   /* allowed, if both ends are authenticated */
	bool by_new;       /* one of the rules is of a new policy */
	uint32_t why;      /* in texts */
};

struct connection {
	struct decision after, before;
	uint64_t passed, through, denied; /* flows; through: of those passed, up to the other end */
	uint32_t source, destination;     /* in texts */
	uint16_t port;
	uint8_t protocol;
};

struct preview {
	const struct policy_set *after, *before;
	const struct flow_dict *dict;
	struct map *by_key, *by_text;
	struct connection *list;
	size_t count, room;
	struct str *texts; /* borrowed from by_text */
	size_t text_count;
	struct policy_row *rows[2];
	uint64_t other, left_out;
	struct policy_answer answer;
};

const char *preview_change_name(enum preview_change change)
{
	static const char *const names[] = { "same", "denied", "allowed", "unknown" };

	_Static_assert(ARRAY_LEN(names) == PREVIEW_CHANGE_COUNT_, "a change without a name");
	return (unsigned)change < PREVIEW_CHANGE_COUNT_ ? names[change] : "";
}

/* --- life --------------------------------------------------------------------------------- */

void preview_free(struct preview *p)
{
	if (!p)
		return;
	map_free(p->by_key);
	map_free(p->by_text);
	free(p->list);
	free(p->texts);
	free(p->rows[0]);
	free(p->rows[1]);
	free(p);
}

static size_t row_bytes(const struct policy_set *after, const struct policy_set *before)
{
	size_t a = policy_row_bytes(after), b = before ? policy_row_bytes(before) : 0;

	return a > b ? a : b;
}

/* The id of @text, which is kept once. */
static enum err_code text_id(struct preview *p, struct str text, uint32_t *ret, struct err *e)
{
	if (map_get(p->by_text, text, ret))
		return ERR_OK;
	*ret = (uint32_t)p->text_count;
	if (map_put(p->by_text, text, *ret, &p->texts[*ret], e) != ERR_OK)
		return err_in(e, "texts of connections");
	p->text_count++;
	return ERR_OK;
}

enum err_code preview_new(const struct policy_set *after, const struct policy_set *before,
			  const struct flow_dict *dict, struct preview **ret, struct err *e)
{
	AUTO(preview_free) struct preview *p = calloc(1, sizeof *p);
	uint64_t seed;
	uint32_t id;

	if (!p)
		return err_set(e, ERR_NOMEM, "preview");
	if (getrandom(&seed, sizeof seed, 0) != sizeof seed)
		return err_os(e, "random seed");
	p->after = after;
	p->before = before;
	p->dict = dict;
	p->rows[0] = malloc(row_bytes(after, before));
	p->rows[1] = malloc(row_bytes(after, before));
	p->texts = malloc(PREVIEW_TEXTS_MAX * sizeof *p->texts);
	if (!p->rows[0] || !p->rows[1] || !p->texts)
		return err_set(e, ERR_NOMEM, "preview");
	if (map_new(PREVIEW_CONNECTIONS_MAX, seed, &p->by_key, e) != ERR_OK ||
	    map_new(PREVIEW_TEXTS_MAX, seed, &p->by_text, e) != ERR_OK ||
	    text_id(p, STR(""), &id, e) != ERR_OK)
		return e->code;
	*ret = TAKE(p);
	return ERR_OK;
}

/* --- decisions -------------------------------------------------------------------------------- */

static enum err_code put_refs(struct preview *p, const struct policy_set *set, struct decision *d,
			      struct err *e)
{
	char text[TEXT_MAX];
	struct buf b = buf_fixed(text, sizeof text);
	const struct policy_answer *a = &p->answer;
	size_t more = a->left_out;

	for (size_t i = 0; i < a->count; i++) {
		d->by_new |=
			str_is(policy_set_info(set, a->by[i].policy)->origin, PREVIEW_ORIGIN_NEW);
		if (i >= WHY_REFS) {
			more++;
			continue;
		}
		if (i)
			buf_lit(&b, ", ");
		policy_ref_put(set, a->by[i], &b);
	}
	if (more)
		buf_printf(&b, ", and %zu more", more);
	return text_id(p, buf_str(&b), &d->why, e);
}

static enum err_code unknown(struct preview *p, struct str why, struct decision *d, struct err *e)
{
	d->is = DECIDED_UNKNOWN;
	return text_id(p, why, &d->why, e);
}

/* Two rules contradict each other: which, and in what. */
static enum err_code broken(struct preview *p, const struct policy_set *set, struct decision *d,
			    struct err *e)
{
	const struct policy_answer *a = &p->answer;
	char text[TEXT_MAX];
	struct buf b = buf_fixed(text, sizeof text);

	buf_printf(&b, "%s: ", policy_clash_words(a->clash));
	policy_ref_put(set, a->by[0], &b);
	buf_lit(&b, " and ");
	policy_ref_put(set, a->by[1], &b);
	return unknown(p, buf_str(&b), d, e);
}

/* What the policies decide at one end. */
static enum err_code decide_at(struct preview *p, const struct policy_set *set,
			       const struct policy_asked *q, enum policy_direction direction,
			       struct decision *d, struct err *e)
{
	int subject = direction == POLICY_EGRESS ? 0 : 1, peer = 1 - subject;
	uint8_t ip[1][16];
	const char *lacks;

	memcpy(ip[0], q->ips[peer], 16);
	const struct policy_query query = {
		.direction = direction,
		.subject = p->rows[subject],
		.peer = { p->rows[peer], (const uint8_t(*)[16])ip, 1, q->names.of[peer],
			  q->names.count[peer] },
		.protocol = q->protocol,
		.port = q->port,
	};
	struct policy_answer *a = &p->answer;
	policy_ask(set, &query, a);
	*d = (struct decision){ .direction = (uint8_t)direction };
	if (a->verdict == POLICY_NOT_ENFORCED && (lacks = policy_lacks(set, &query, a)))
		return unknown(p, str_of(lacks), d, e);
	if (a->verdict == POLICY_NOT_ENFORCED)
		return q->ends[subject]->namespace_.len ? unknown(p, whys[WHY_CLUSTER], d, e)
							: ERR_OK;
	if (a->unsure)
		return unknown(p, whys[WHY_UNSURE], d, e);
	if (a->verdict == POLICY_BROKEN)
		return broken(p, set, d, e);
	if (a->verdict != POLICY_DENIED && (lacks = policy_lacks(set, &query, a)))
		return unknown(p, str_of(lacks), d, e);
	if (policy_verdict_denies(a->verdict) || str_is(a->authentication, "test-always-fail"))
		d->is = DECIDED_DENIED;
	d->to_proxy = a->redirect.len > 0;
	d->needs_auth = a->authentication.len > 0;
	return put_refs(p, set, d, e);
}

static void fill_row(struct preview *p, const struct policy_set *set, const struct policy_asked *q,
		     int i)
{
	const struct endpoint *ep = q->ends[i];
	const struct policy_end end = policy_end_of(ep, q->ips[i]);

	policy_row_fill(set, &end, p->rows[i]);
}

/* At both ends: what one denies is denied. */
static enum err_code decide(struct preview *p, const struct policy_set *set,
			    const struct policy_asked *q, struct decision *ret, struct err *e)
{
	struct decision out, in;

	if (!policy_end_is_known(q->ends[0]) || !policy_end_is_known(q->ends[1]))
		return unknown(p, whys[WHY_ENDS], ret, e);
	fill_row(p, set, q, 0);
	fill_row(p, set, q, 1);
	if (decide_at(p, set, q, POLICY_EGRESS, &out, e) != ERR_OK ||
	    decide_at(p, set, q, POLICY_INGRESS, &in, e) != ERR_OK)
		return e->code;
	if (out.is == DECIDED_DENIED || (in.is != DECIDED_DENIED && out.is == DECIDED_UNKNOWN))
		*ret = out;
	else if (in.is != DECIDED_ALLOWED)
		*ret = in;
	else {
		*ret = in.why ? in : out; /* who lets it in says more than who lets it out */
		ret->to_proxy = in.to_proxy || out.to_proxy;
		ret->needs_auth = in.needs_auth || out.needs_auth;
		/* at an end where it depends on more than rules */
		ret->by_new = (in.by_new && (in.to_proxy || in.needs_auth)) ||
			      (out.by_new && (out.to_proxy || out.needs_auth));
	}
	return ERR_OK;
}

/* --- connections ------------------------------------------------------------------------------ */

/* Pods are the same at all their addresses; what is outside is its address. */
struct key {
	uint32_t ids[2];
	uint8_t ips[2][16];
	uint64_t names;
	uint16_t port;
	uint8_t protocol;
	uint8_t reserved_[5];
};
_Static_assert(sizeof(struct key) == 56, "compared as bytes: no holes");

static struct key key_of(const struct preview *p, const struct policy_asked *q)
{
	struct key k = { .names = q->names.hash, .port = q->port, .protocol = q->protocol };
	bool by_ip = policy_set_uses_addresses(p->after) ||
		     (p->before && policy_set_uses_addresses(p->before));

	for (int i = 0; i < 2; i++) {
		k.ids[i] = q->ids[i].v;
		if (by_ip || !q->ends[i] || !q->ends[i]->pod.len)
			memcpy(k.ips[i], q->ips[i], 16);
	}
	return k;
}

static enum err_code show_end(struct preview *p, const struct policy_asked *q, int i, uint32_t *ret,
			      struct err *e)
{
	char text[TEXT_MAX];
	struct buf b = buf_fixed(text, sizeof text);

	policy_asked_put_end(q, i, &b);
	return text_id(p, buf_str(&b), ret, e);
}

static enum err_code add_connection(struct preview *p, struct str key, const struct policy_asked *q,
				    struct err *e)
{
	struct connection c = { .port = q->port, .protocol = q->protocol };

	if (p->count == p->room) {
		size_t room = p->room ? p->room * 2 : 256;
		struct connection *more = reallocarray(p->list, room, sizeof *more);
		if (!more)
			return err_set(e, ERR_NOMEM, "connections");
		p->list = more;
		p->room = room;
	}
	if (decide(p, p->after, q, &c.after, e) != ERR_OK ||
	    (p->before && decide(p, p->before, q, &c.before, e) != ERR_OK) ||
	    show_end(p, q, 0, &c.source, e) != ERR_OK ||
	    show_end(p, q, 1, &c.destination, e) != ERR_OK ||
	    map_put(p->by_key, key, (uint32_t)p->count, NULL, e) != ERR_OK)
		return e->code;
	p->list[p->count++] = c;
	return ERR_OK;
}

enum err_code preview_flow(struct preview *p, const struct flow *flow, struct err *e)
{
	enum { TEXTS_OF_ONE = 6 }; /* two ends shown, two sets asked at both */
	struct policy_asked q;
	uint32_t at;

	if (!policy_asked_read(p->dict, flow, &q) || q.audited) {
		p->other++;
		return ERR_OK;
	}
	const struct key key = key_of(p, &q);
	const struct str bytes = str_n(&key, sizeof key);
	if (!map_get(p->by_key, bytes, &at)) {
		if (p->count == PREVIEW_CONNECTIONS_MAX ||
		    p->text_count + TEXTS_OF_ONE > PREVIEW_TEXTS_MAX) {
			p->left_out++;
			return ERR_OK;
		}
		at = (uint32_t)p->count;
		if (add_connection(p, bytes, &q, e) != ERR_OK)
			return e->code;
	}
	struct connection *c = &p->list[at];
	c->passed += q.passed;
	c->through += q.through;
	c->denied += !q.passed;
	return ERR_OK;
}

/* --- what comes of it ------------------------------------------------------------------------- */

/* What policies decided when the flows were recorded. A drop at the destination leaves flows that
 * passed at the source: only what got through says that it was allowed. */
static enum decided recorded(const struct connection *c)
{
	if (!c->denied)
		return DECIDED_ALLOWED;
	return c->through ? DECIDED_UNKNOWN : DECIDED_DENIED;
}

static enum preview_change unknown_row(const struct connection *c, struct str why,
				       struct preview_row *row)
{
	row->flows = c->passed + c->denied;
	row->why = why;
	return PREVIEW_UNKNOWN;
}

static enum preview_change change_of(const struct preview *p, const struct connection *c,
				     struct preview_row *row)
{
	enum decided was = recorded(c);

	if (c->after.is == DECIDED_UNKNOWN)
		return unknown_row(c, p->texts[c->after.why], row);
	if (p->before && c->before.is == DECIDED_UNKNOWN)
		return unknown_row(c, p->texts[c->before.why], row);
	if (p->before && was != DECIDED_UNKNOWN && was != c->before.is)
		return unknown_row(c, whys[WHY_RECORD], row);
	if (p->before)
		was = c->before.is;
	if (was == DECIDED_UNKNOWN)
		return unknown_row(c, whys[WHY_BOTH], row);
	row->why = p->texts[c->after.why];
	row->direction = c->after.direction;
	if (c->after.is == DECIDED_DENIED) {
		row->flows = was == DECIDED_DENIED ? c->passed + c->denied : c->passed;
		return was == DECIDED_DENIED ? PREVIEW_SAME : PREVIEW_DENIED;
	}
	bool new_rules = !p->before || c->after.by_new;
	if (c->after.to_proxy && (new_rules || !c->before.to_proxy))
		return unknown_row(c, whys[WHY_PROXY], row);
	if (c->after.needs_auth && (new_rules || !c->before.needs_auth))
		return unknown_row(c, whys[WHY_AUTHENTICATION], row);
	row->flows = was == DECIDED_ALLOWED ? c->passed + c->denied : c->denied;
	return was == DECIDED_ALLOWED ? PREVIEW_SAME : PREVIEW_ALLOWED;
}

static int compare_edges(const struct preview_row *a, const struct preview_row *b)
{
	int c = (a->change > b->change) - (a->change < b->change);

	c = c ? c : str_cmp(a->source, b->source);
	c = c ? c : str_cmp(a->destination, b->destination);
	c = c ? c : (a->protocol > b->protocol) - (a->protocol < b->protocol);
	c = c ? c : (a->port > b->port) - (a->port < b->port);
	c = c ? c : (a->direction > b->direction) - (a->direction < b->direction);
	return c ? c : str_cmp(a->why, b->why);
}

static int by_edge(const void *a, const void *b)
{
	return compare_edges(a, b);
}

static int by_flows(const void *pa, const void *pb)
{
	const struct preview_row *a = pa, *b = pb;

	if (a->change != b->change)
		return a->change < b->change ? -1 : 1;
	if (a->flows != b->flows)
		return a->flows > b->flows ? -1 : 1;
	return compare_edges(a, b);
}

enum err_code preview_rows(const struct preview *p, struct preview_row **ret_rows,
			   size_t *ret_count, struct preview_counts *ret_counts, struct err *e)
{
	struct preview_row *rows = calloc(p->count + 1, sizeof *rows);
	size_t n = 0, kept = 0;

	if (!rows)
		return err_set(e, ERR_NOMEM, "preview");
	*ret_counts = (struct preview_counts){ .other = p->other, .left_out = p->left_out };
	for (size_t i = 0; i < p->count; i++) {
		const struct connection *c = &p->list[i];
		struct preview_row row = {
			.source = p->texts[c->source],
			.destination = p->texts[c->destination],
			.protocol = c->protocol,
			.port = c->port,
		};
		row.change = change_of(p, c, &row);
		ret_counts->flows[row.change] += row.flows;
		ret_counts->connections[row.change]++;
		if (row.change != PREVIEW_SAME)
			rows[n++] = row;
	}
	qsort(rows, n, sizeof *rows, by_edge);
	for (size_t i = 0; i < n; i++)
		if (kept && compare_edges(&rows[kept - 1], &rows[i]) == 0)
			rows[kept - 1].flows += rows[i].flows;
		else
			rows[kept++] = rows[i];
	qsort(rows, kept, sizeof *rows, by_flows);
	*ret_rows = rows;
	*ret_count = kept;
	return ERR_OK;
}
