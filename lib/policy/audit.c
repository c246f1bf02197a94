#include "policy/audit.h"

#include <sys/random.h>

#include "flow/flow.pb-c.h"
#include "policy/audit_inside.h"

enum { REFS_TOLD = 8, TEXT_MAX = 8192 };

const char *audit_result_name(enum audit_result result)
{
	static const char *const names[] = { "used", "wide", "unused", "unjudged" };

	_Static_assert(ARRAY_LEN(names) == AUDIT_RESULT_COUNT_, "a result without a name");
	return (unsigned)result < AUDIT_RESULT_COUNT_ ? names[result] : "";
}

/* --- life ------------------------------------------------------------------------------------- */

void audit_free(struct audit *a)
{
	if (!a)
		return;
	map_free(a->by_key);
	map_free(a->by_text);
	map_free(a->by_seen);
	map_free(a->by_default);
	free(a->texts);
	free(a->rules);
	free(a->first_rule);
	free(a->parts);
	free(a->seen);
	free(a->hits);
	free(a->connections);
	free(a->is_named);
	free(a->rows[CLIENT]);
	free(a->rows[SERVER]);
	free(a->open_flows);
	free(a->selected);
	free(a->defaults);
	free(a->unknown_flows);
	free(a->foreign_flows);
	mem_done(&a->mem);
	free(a);
}

enum err_code audit_text(struct audit *a, struct str text, uint32_t *ret, struct err *e)
{
	if (map_get(a->by_text, text, ret))
		return ERR_OK;
	*ret = 0;
	if (a->text_count == AUDIT_TEXTS_MAX)
		return ERR_OK;
	uint32_t at = (uint32_t)a->text_count;
	if (policy_grow(&a->texts, at, &a->text_room, sizeof *a->texts, e) != ERR_OK ||
	    map_put(a->by_text, text, at, &a->texts[at], e) != ERR_OK)
		return e->code;
	a->text_count++;
	*ret = at;
	return ERR_OK;
}

static enum err_code make_room(struct audit *a, struct err *e)
{
	size_t policies = policy_set_count(a->set) + 1;

	a->rows[CLIENT] = malloc(policy_row_bytes(a->set));
	a->rows[SERVER] = malloc(policy_row_bytes(a->set));
	a->is_named = calloc(policies, sizeof *a->is_named);
	a->selected = calloc(policies, sizeof *a->selected);
	/* as many as there may be: what is not used costs nothing */
	a->open_flows = calloc(AUDIT_TEXTS_MAX, 2 * sizeof *a->open_flows);
	a->unknown_flows = calloc(AUDIT_TEXTS_MAX, sizeof *a->unknown_flows);
	a->foreign_flows = calloc(AUDIT_TEXTS_MAX, sizeof *a->foreign_flows);
	if (!a->rows[CLIENT] || !a->rows[SERVER] || !a->is_named || !a->selected ||
	    !a->open_flows || !a->unknown_flows || !a->foreign_flows)
		return err_set(e, ERR_NOMEM, "audit of policies");
	return ERR_OK;
}

enum err_code audit_new(const struct policy_set *set, const struct flow_dict *dict,
			struct audit **ret, struct err *e)
{
	AUTO(audit_free) struct audit *a = calloc(1, sizeof *a);
	uint64_t seed;
	uint32_t none;

	if (!a)
		return err_set(e, ERR_NOMEM, "audit of policies");
	a->set = set;
	a->dict = dict;
	a->mem = mem_init(AUDIT_MEMORY_MAX);
	if (getrandom(&seed, sizeof seed, 0) != sizeof seed)
		return err_os(e, "random seed");
	if (map_new(AUDIT_CONNECTIONS_MAX, seed, &a->by_key, e) != ERR_OK ||
	    map_new(AUDIT_TEXTS_MAX, seed, &a->by_text, e) != ERR_OK ||
	    map_new(AUDIT_SEEN_ALL_MAX, seed, &a->by_seen, e) != ERR_OK ||
	    map_new(AUDIT_TEXTS_MAX, seed, &a->by_default, e) != ERR_OK ||
	    audit_text(a, STR(""), &none, e) != ERR_OK || make_room(a, e) != ERR_OK ||
	    audit_rules_make(a, e) != ERR_OK)
		return e->code;
	*ret = TAKE(a);
	return ERR_OK;
}

/* --- decisions -------------------------------------------------------------------------------- */

static enum err_code unknown(struct audit *a, struct str why, struct side *s, struct err *e)
{
	s->unknown = true;
	return audit_text(a, why, &s->why, e);
}

static enum err_code put_refs(struct audit *a, struct str before, struct str between, uint32_t *ret,
			      struct err *e)
{
	char text[TEXT_MAX];
	struct buf b = buf_fixed(text, sizeof text);
	const struct policy_answer *answer = &a->answer;
	size_t n = answer->count < REFS_TOLD ? answer->count : REFS_TOLD;
	size_t more = answer->left_out + answer->count - n;

	buf_str_put(&b, before);
	for (size_t i = 0; i < n; i++) {
		buf_str_put(&b, i ? between : STR(""));
		policy_ref_put(a->set, answer->by[i], &b);
	}
	if (more)
		buf_printf(&b, "%.*sand %zu more", STR_FMT(between), more);
	return audit_text(a, buf_str(&b), ret, e);
}

/* Two rules contradict each other: which, and in what. */
static enum err_code broken(struct audit *a, struct side *s, struct err *e)
{
	char text[128];
	struct buf b = buf_fixed(text, sizeof text);

	s->unknown = true;
	buf_printf(&b, "%s: ", policy_clash_words(a->answer.clash));
	return put_refs(a, buf_str(&b), STR(" and "), &s->why, e);
}

static bool names_policy(const struct by_list *by, uint32_t policy)
{
	if ((!by->count && !by->foreign) || by->more)
		return true; /* nobody is named, or not all are */
	for (size_t i = 0; i < by->count; i++)
		if (by->policies[i] == policy)
			return true;
	return false;
}

/* A flow that passed names a policy of which no rule is for it: another version was in force. */
static void note_named(struct audit *a, const struct by_list *by)
{
	const struct policy_answer *answer = &a->answer;

	for (size_t i = 0; i < by->count; i++) {
		bool has_rule = false;

		for (size_t j = 0; j < answer->count && !has_rule; j++)
			has_rule = answer->by[j].policy == by->policies[i] &&
				   answer->verdict == POLICY_ALLOWED;
		a->is_named[by->policies[i]] |= !has_rule;
	}
}

static enum err_code hit_rules(struct audit *a, const struct policy_query *query,
			       const struct policy_asked *q, const struct by_list *by,
			       struct side *s, struct err *e)
{
	const struct policy_answer *answer = &a->answer;

	s->first_hit = (uint32_t)a->hit_count;
	if (q->passed)
		note_named(a, by);
	if (answer->verdict != POLICY_ALLOWED && answer->verdict != POLICY_DENIED)
		return ERR_OK;
	a->has_left_out |= answer->left_out > 0;
	for (size_t i = 0; i < answer->count; i++)
		if (names_policy(by, answer->by[i].policy) &&
		    audit_rule_hit(a, answer->by[i], query, q, e) != ERR_OK)
			return e->code;
	s->hit_count = (uint32_t)a->hit_count - s->first_hit;
	return ERR_OK;
}

/* Why what was answered may be wrong. */
static enum err_code note_doubt(struct audit *a, const struct policy_query *query,
				const struct endpoint *subject, struct side *s, struct err *e)
{
	const struct policy_answer *answer = &a->answer;
	const char *lacks = NULL;

	if (answer->verdict != POLICY_DENIED)
		lacks = policy_lacks(a->set, query, answer);
	if (answer->verdict == POLICY_BROKEN)
		return broken(a, s, e);
	if (lacks)
		return unknown(a, str_of(lacks), s, e);
	if (answer->verdict == POLICY_NOT_ENFORCED && subject->namespace_.len)
		return unknown(a, STR("a pod of another cluster than --policy-cluster"), s, e);
	if (answer->unsure)
		return unknown(a, STR("a policy there has fields that are not known"), s, e);
	return ERR_OK;
}

static enum err_code decide_at(struct audit *a, const struct policy_asked *q, const struct by *by,
			       enum policy_direction direction, struct side *s, struct err *e)
{
	int subject = direction == POLICY_EGRESS ? CLIENT : SERVER, peer = 1 - subject;
	struct policy_answer *answer = &a->answer;
	char text[TEXT_MAX];
	struct buf b = buf_fixed(text, sizeof text);
	uint8_t ip[1][16];

	memcpy(ip[0], q->ips[peer], 16);
	const struct policy_query query = {
		.direction = direction,
		.subject = a->rows[subject],
		.peer = { a->rows[peer], (const uint8_t(*)[16])ip, 1, q->names.of[peer],
			  q->names.count[peer] },
		.protocol = q->protocol,
		.port = q->port,
	};
	policy_ask(a->set, &query, answer);
	audit_note_nameless(a, &query);
	*s = (struct side){ .verdict = (uint8_t)answer->verdict };
	s->to_proxy = answer->redirect.len > 0;
	s->needs_auth = answer->authentication.len > 0;
	s->never = str_is(answer->authentication, "test-always-fail");
	policy_asked_put_end(q, subject, &b);
	if (hit_rules(a, &query, q, &by->of[direction], s, e) != ERR_OK)
		return e->code;
	if ((answer->verdict == POLICY_NOT_SELECTED || answer->verdict == POLICY_DEFAULT_ALLOWED) &&
	    audit_text(a, buf_str(&b), &s->who, e) != ERR_OK)
		return e->code;
	if (answer->verdict == POLICY_DEFAULT_ALLOWED &&
	    put_refs(a, STR(""), STR(", "), &s->why, e) != ERR_OK)
		return e->code;
	return note_doubt(a, &query, q->ends[subject], s, e);
}

static enum err_code decide(struct audit *a, const struct policy_asked *q, const struct by *by,
			    struct connection *c, struct err *e)
{
	*c = (struct connection){ .foreign = by->first_foreign, .by = by->hash };
	if (!policy_end_is_known(q->ends[CLIENT]) || !policy_end_is_known(q->ends[SERVER]))
		return audit_text(a, STR("who one of the ends is, is not known"), &c->why, e);
	for (int i = CLIENT; i <= SERVER; i++) {
		const struct policy_end end = policy_end_of(q->ends[i], q->ips[i]);

		policy_row_fill(a->set, &end, a->rows[i]);
		a->has_nameless |= (a->rows[i]->flags & ROW_NAMELESS) != 0;
	}
	if (decide_at(a, q, by, POLICY_EGRESS, &c->sides[POLICY_EGRESS], e) != ERR_OK)
		return e->code;
	return decide_at(a, q, by, POLICY_INGRESS, &c->sides[POLICY_INGRESS], e);
}

/* --- connections ------------------------------------------------------------------------------ */

/* Pods are the same at all their addresses; what is outside is its address. */
struct key {
	uint32_t ids[2];
	uint8_t ips[2][16];
	uint64_t names, by;
	uint16_t port;
	uint8_t protocol;
	bool is_named; /* not the connection's first, but those that name @by */
	uint8_t reserved_[4];
};
_Static_assert(sizeof(struct key) == 64, "compared as bytes: no holes");

static struct key key_of(const struct audit *a, const struct policy_asked *q)
{
	struct key k = { .names = q->names.hash, .port = q->port, .protocol = q->protocol };
	bool by_ip = policy_set_uses_addresses(a->set);

	for (int i = CLIENT; i <= SERVER; i++) {
		k.ids[i] = q->ids[i].v;
		if (by_ip || !q->ends[i] || !q->ends[i]->pod.len)
			memcpy(k.ips[i], q->ips[i], 16);
	}
	return k;
}

static void count_flow(struct tally *t, const struct flow *f, const struct policy_asked *q)
{
	struct policy_span span = { flow_is(f, FLOW_HAS_TIME), f->time, f->time };

	t->passed += q->passed;
	t->through += q->through;
	t->audited += q->audited;
	policy_span_add(q->passed ? &t->passed_span : &t->denied_span, span);
	if (!q->passed)
		t->denied[f->direction < ARRAY_LEN(t->denied) ? f->direction : 0]++;
}

/* One that there is no room for: asked, counted, forgotten. */
static enum err_code flow_alone(struct audit *a, const struct flow *f, const struct policy_asked *q,
				const struct by *by, struct err *e)
{
	size_t hits = a->hit_count;
	struct connection c;

	if (decide(a, q, by, &c, e) != ERR_OK)
		return e->code;
	count_flow(&c.own, f, q);
	c.all = c.own;
	audit_add_connection(a, &c, false);
	enum err_code code = audit_add(a, &c, &c.all, e);
	a->hit_count = hits;
	a->again++;
	return code;
}

/* Those of @key, made if they are not there. ERR_CLOSED: there is no room. */
static enum err_code find(struct audit *a, const struct key *key, const struct policy_asked *q,
			  const struct by *by, uint32_t *ret, struct err *e)
{
	const struct str bytes = str_n(key, sizeof *key);

	if (map_get(a->by_key, bytes, ret))
		return ERR_OK;
	if (a->connection_count == AUDIT_CONNECTIONS_MAX || a->hit_count > AUDIT_HITS_MAX)
		return err_set(e, ERR_CLOSED, "more than %d connections", AUDIT_CONNECTIONS_MAX);
	*ret = (uint32_t)a->connection_count;
	if (policy_grow(&a->connections, *ret, &a->connection_room, sizeof *a->connections, e) !=
		    ERR_OK ||
	    decide(a, q, by, &a->connections[*ret], e) != ERR_OK ||
	    map_put(a->by_key, bytes, *ret, NULL, e) != ERR_OK)
		return e->code;
	a->connections[*ret].first = *ret;
	a->connection_count++;
	return ERR_OK;
}

enum err_code audit_flow(struct audit *a, const struct flow *f, struct err *e)
{
	struct policy_asked q;
	struct by by;
	uint32_t first, at;
	struct err mine;

	if (!policy_asked_read(a->dict, f, &q)) {
		a->other++;
		return ERR_OK;
	}
	if (audit_by_read(a, f, &by, e) != ERR_OK)
		return e->code;
	struct key key = key_of(a, &q);
	enum err_code code = find(a, &key, &q, &by, &first, &mine);
	at = first;
	if (code == ERR_OK && a->connections[first].by != by.hash) {
		key.by = by.hash;
		key.is_named = true;
		code = find(a, &key, &q, &by, &at, &mine);
	}
	if (code == ERR_CLOSED)
		return flow_alone(a, f, &q, &by, e);
	if (code != ERR_OK)
		return err_set(e, code, "%s", mine.msg);
	a->connections[at].first = first;
	count_flow(&a->connections[at].own, f, &q);
	count_flow(&a->connections[first].all, f, &q);
	return ERR_OK;
}
