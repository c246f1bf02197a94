/* Policies, with comments on what no rule says. */
#include "policy/flow.h"
#include "policy/suggest_make.h"

json_t *made(struct maker *m, json_t *value)
{
	m->failed |= !value;
	return value;
}

json_t *make_text(struct maker *m, struct str s)
{
	return made(m, json_stringn(s.p, s.len));
}

void make_set(struct maker *m, json_t *object, const char *key, json_t *value)
{
	m->failed |= json_object_set_new(object, key, value) != 0;
}

void make_append(struct maker *m, json_t *array, json_t *value)
{
	m->failed |= json_array_append_new(array, value) != 0;
}

json_t *make_mapping(struct maker *m, const char *key, json_t *value)
{
	json_t *object = made(m, json_object());

	make_set(m, object, key, value);
	return object;
}

void make_line(struct maker *m, json_t *comment, struct buf *line)
{
	if (line->failed)
		m->failed = true;
	else
		make_append(m, comment, make_text(m, buf_str(line)));
	buf_reset(line);
}

void make_words(struct maker *m, json_t *comment, const char *line)
{
	make_append(m, comment, make_text(m, str_of(line)));
}

void make_flows(struct buf *b, uint64_t n)
{
	buf_grouped(b, n);
	buf_str_put(b, n == 1 ? STR(" flow") : STR(" flows"));
}

/* --- what is told of a policy ----------------------------------------------------------------- */

struct told {
	const char *title;
	bool (*is_it)(const struct suggest *s, const struct fact *f);
};

static bool was_left_denied(const struct suggest *s, const struct fact *f)
{
	(void)s;
	return f->denied && !f->seen;
}

static bool was_unsaid(const struct suggest *s, const struct fact *f)
{
	return f->seen && fact_unsaid(s, f);
}

static bool was_left_out(const struct suggest *s, const struct fact *f)
{
	(void)s;
	return f->left_out;
}

static bool is_of_own_node(const struct suggest *s, const struct fact *f)
{
	return f->seen && s->peers[f->peer].class_ == PEER_OWN_NODE;
}

static const struct told tells[] = {
	{ "Without a rule, for its own node always reaches a pod:", is_of_own_node },
	{ "Denied when it was seen, and by this policy (--with-denied allows it):",
	  was_left_denied },
	{ "NOT ALLOWED, though it was forwarded, for no rule can say it:", was_unsaid },
	{ "NOT ALLOWED, though it was forwarded: beyond the limits of peers or ports, which "
	  "--cidr-prefix may help with:",
	  was_left_out },
};

static void put_fact(struct maker *m, const struct fact *f, struct buf *b)
{
	buf_str_put(b, f->direction == POLICY_INGRESS ? STR("  from ") : STR("  to "));
	peer_put(m->s, &m->s->peers[f->peer], b);
	buf_printf(b, ", %s", policy_protocol_name(f->protocol));
	if (!is_icmp(f->protocol))
		buf_printf(b, " %u", f->port);
	buf_lit(b, ": ");
	make_flows(b, f->passed + f->denied);
	if (f->seen && fact_unsaid(m->s, f))
		buf_printf(b, "; %s", fact_unsaid(m->s, f));
}

static void tell(struct maker *m, json_t *comment, const struct told *t, const struct fact *facts,
		 size_t count)
{
	AUTO_BUF struct buf line = buf_init(SUGGEST_COMMENT_MAX);
	size_t n = 0;

	for (size_t i = 0; i < count; i++) {
		if (!t->is_it(m->s, &facts[i]))
			continue;
		if (!n)
			make_words(m, comment, t->title);
		if (n++ >= SUGGEST_TOLD_MAX)
			continue;
		put_fact(m, &facts[i], &line);
		make_line(m, comment, &line);
	}
	if (n > SUGGEST_TOLD_MAX) {
		buf_printf(&line, "  and %zu more", n - SUGGEST_TOLD_MAX);
		make_line(m, comment, &line);
	}
}

static bool has_node_block(const struct suggest *s, const struct fact *facts, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (facts[i].allowed && s->peers[facts[i].peer].entity.len)
			return true;
	return false;
}

static bool allows_any(const struct fact *facts, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (facts[i].allowed)
			return true;
	return false;
}

/* --- one policy ------------------------------------------------------------------------------- */

/* Pods that the policy selects, whose connections were not all read. */
static bool has_unasked(const struct suggest *s, uint32_t leader)
{
	for (size_t i = 0; i < s->group_count; i++)
		if (s->groups[i].leader == leader && !s->groups[i].asked)
			return true;
	return false;
}

static json_t *comment_of(struct maker *m, uint32_t leader, const struct fact *facts, size_t in,
			  size_t count)
{
	AUTO_BUF struct buf line = buf_init(SUGGEST_COMMENT_MAX);
	json_t *comment = made(m, json_array());

	size_t names = group_put(m->s, leader, &line);
	make_line(m, comment, &line);
	if (names > 1)
		make_words(m, comment,
			   "Their labels do not tell them apart: one policy for all of them.");
	if (has_unasked(m->s, leader))
		make_words(m, comment,
			   "NOT ALL OF THEM WERE ASKED FOR: what else the others do is denied; ask "
			   "for them, too.");
	if (m->s->config.ingress && !allows_any(facts, in))
		make_words(m, comment,
			   "No ingress was seen that is to be allowed: all of it is denied.");
	if (m->s->config.egress && !allows_any(facts + in, count - in))
		make_words(m, comment,
			   "No egress was seen that is to be allowed: all of it is denied.");
	if (has_node_block(m->s, facts, count))
		make_words(m, comment,
			   "Addresses of nodes are in ipBlock, which Cilium does not apply to "
			   "them: see "
			   "--kind cilium.");
	for (size_t i = 0; i < ARRAY_LEN(tells); i++)
		tell(m, comment, &tells[i], facts, count);
	return comment;
}

/* @facts of one subject: @in of ingress, then those of egress. */
static json_t *policy_of(struct maker *m, uint32_t leader, const struct fact *facts, size_t in,
			 size_t count)
{
	const struct suggest_group *g = &m->s->groups[leader];
	struct part parts[] = { { .subject = g, .facts = facts, .count = in, .ingress = true },
				{ .subject = g, .facts = facts + in, .count = count - in } };
	const bool wanted[] = { m->s->config.ingress, m->s->config.egress };
	json_t *object = make_mapping(m, SUGGEST_COMMENT, comment_of(m, leader, facts, in, count));
	json_t *metadata = make_mapping(m, "name", make_text(m, str_of(g->policy)));
	json_t *types = made(m, json_array());

	make_set(m, object, "apiVersion",
		 make_text(m, m->cilium ? STR("cilium.io/v2") : STR("networking.k8s.io/v1")));
	make_set(m, object, "kind",
		 make_text(m, m->cilium ? STR("CiliumNetworkPolicy") : STR("NetworkPolicy")));
	make_set(m, metadata, "namespace", make_text(m, g->namespace_));
	make_set(m, object, "metadata", metadata);
	json_t *spec = make_mapping(m, m->cilium ? "endpointSelector" : "podSelector",
				    make_selector(m, g));
	if (wanted[0])
		make_append(m, types, make_text(m, STR("Ingress")));
	if (wanted[1])
		make_append(m, types, make_text(m, STR("Egress")));
	if (m->cilium)
		json_decref(types);
	else
		make_set(m, spec, "policyTypes", types);
	for (size_t i = 0; i < ARRAY_LEN(parts); i++)
		if (wanted[i])
			make_set(m, spec, parts[i].ingress ? "ingress" : "egress",
				 make_rules(m, &parts[i]));
	make_set(m, object, "spec", spec);
	return object;
}

/* --- all of them ------------------------------------------------------------------------------ */

static void count_connection(const struct suggest *s, const struct connection *c,
			     struct suggest_counts *to)
{
	uint64_t flows = c->passed + c->denied;
	bool allowed = false, unsaid = false, left_out = false, any = false;

	for (int i = CLIENT; i <= SERVER; i++) {
		const struct fact *f = c->facts[i] != NO_FACT ? &s->facts[c->facts[i]] : NULL;

		any |= f != NULL;
		allowed |= f && f->allowed;
		left_out |= f && f->left_out;
		unsaid |= f && was_unsaid(s, f);
	}
	if (unsaid)
		to->unsaid += flows;
	else if (left_out)
		to->left_out += flows;
	else if (allowed)
		to->flows += flows;
	else if (any)
		to->denied += flows;
	else
		to->other += flows;
	if (!allowed || !c->span.known)
		return;
	if (!to->has_time || c->span.first.v < to->first.v)
		to->first = c->span.first;
	if (!to->has_time || c->span.last.v > to->last.v)
		to->last = c->span.last;
	to->has_time = true;
}

struct subject {
	const struct suggest_group *group;
	uint32_t leader;
};

static int by_group(const void *a, const void *b)
{
	return str_cmp(((const struct subject *)a)->group->key,
		       ((const struct subject *)b)->group->key);
}

static void make_all(struct maker *m, struct subject *subjects, size_t count, json_t *list)
{
	const struct suggest *s = m->s;
	size_t at = 0;

	qsort(subjects, count, sizeof *subjects, by_group);
	for (size_t i = 0; i < count; i++) {
		size_t from = at, in = 0;

		/* facts are sorted as subjects are */
		for (; at < s->fact_count && s->facts[at].subject == subjects[i].leader; at++)
			in += s->facts[at].direction == POLICY_INGRESS;
		make_append(m, list,
			    policy_of(m, subjects[i].leader, s->facts + from, in, at - from));
	}
}

static enum err_code seen_nothing(const struct suggest *s, struct err *e)
{
	static const char said[] =
		"no forwarded connection of these pods was seen that a rule can allow";

	if (!s->elsewhere)
		return err_set(e, ERR_NOT_FOUND, "%s", said);
	return err_set(e, ERR_NOT_FOUND,
		       "%s; flows of pods of another cluster than --policy-cluster: %llu", said,
		       (unsigned long long)s->elsewhere);
}

enum err_code suggest_policies(struct suggest *s, json_t **ret, struct suggest_counts *ret_counts,
			       struct err *e)
{
	struct suggest_counts counts = { .other = s->other, .left_out = s->left_out };
	struct maker m = { .s = s, .cilium = s->config.kind == SUGGEST_CILIUM };
	AUTO(own_free) struct subject *subjects = calloc(s->group_count + 1, sizeof *subjects);
	size_t n = 0;

	if (!subjects)
		return err_set(e, ERR_NOMEM, "suggested policies");
	if (suggest_tell_apart(s, e) != ERR_OK || suggest_facts(s, e) != ERR_OK)
		return e->code;
	for (size_t i = 0; i < s->connection_count; i++)
		count_connection(s, &s->connections[i], &counts);
	if (!counts.flows)
		return seen_nothing(s, e);
	for (size_t i = 0; i < s->group_count; i++)
		if (s->groups[i].leader == i && s->groups[i].is_subject)
			subjects[n++] = (struct subject){ &s->groups[i], (uint32_t)i };
	json_t *list = made(&m, json_array());
	make_all(&m, subjects, n, list);
	if (m.failed) {
		json_decref(list);
		return err_set(e, ERR_NOMEM, "suggested policies");
	}
	counts.policies = n;
	*ret = list;
	*ret_counts = counts;
	return ERR_OK;
}
