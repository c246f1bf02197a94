/* What was counted, as what is told. */
#include "policy/audit_inside.h"

/* --- rules that nothing used ------------------------------------------------------------------ */

static bool asks_port_names(const struct rule *rule)
{
	for (size_t i = 0; i < rule->port_count; i++)
		if (rule->ports[i].name.len)
			return true;
	return false;
}

/* Why nobody can say that the rule is not used; NULL: it is not. */
static const char *doubt(const struct audit *a, const struct used_rule *r)
{
	const struct policy_set *set = a->set;
	const struct rule *rule = r->rule;
	enum policy_direction direction =
		r->ref.section == POLICY_SECTION_INGRESS ||
				r->ref.section == POLICY_SECTION_INGRESS_DENY
			? POLICY_INGRESS
			: POLICY_EGRESS;

	if (a->is_named[r->ref.policy])
		return "flows name its policy, and no rule of it is for them: another version of "
		       "it was in force";
	if (a->has_nameless &&
	    (r->spec->asks[direction].namespaces || set->subjects_ask_namespaces))
		return "labels of namespaces are asked for: give the Namespaces";
	if (asks_port_names(rule) && !set->pods.count)
		return "names of ports are asked for: give the Pods";
	if (rule->service_count && !set->services.count)
		return "services are asked for: give the Services and EndpointSlices";
	if (rule->group_count && !set->groups.count)
		return "groups of addresses are asked for: give the CiliumCIDRGroups";
	if (rule->unresolved)
		return "groups of a cloud are asked for, whose addresses are not known";
	if (r->is_nameless)
		return "DNS names are asked for, and of an address that its pods reach none is "
		       "known";
	if (r->otherwise)
		return "flows match it, which were recorded as decided otherwise";
	if (a->has_left_out)
		return "more rules were for one connection than are told";
	return NULL;
}

/* Rules that say nothing on purpose, and those of policies that nobody evaluates. */
static bool is_of_use(const struct used_rule *r)
{
	const struct rule *rule = r->rule;

	return !r->spec->node &&
	       (!rule->nobody || rule->service_count || rule->group_count || rule->unresolved);
}

static enum err_code tell_rules(struct audit *a, struct audit_report *ret, struct err *e)
{
	struct audit_rule *rules = mem_get(&a->mem, (a->rule_count + 1) * sizeof *rules);
	size_t n = 0;

	if (!rules)
		return err_set(e, ERR_NOMEM, "audit of policies");
	for (size_t i = 0; i < a->rule_count; i++) {
		const struct used_rule *r = &a->rules[i];

		rules[i] = (struct audit_rule){
			.ref = r->ref,
			.denies = r->ref.section == POLICY_SECTION_INGRESS_DENY ||
				  r->ref.section == POLICY_SECTION_EGRESS_DENY,
			.flows = r->flows,
			.span = r->span,
		};
		if (!r->flows)
			rules[i].why = doubt(a, r);
		if (!r->flows)
			rules[i].result = rules[i].why ? AUDIT_UNJUDGED : AUDIT_UNUSED;
	}
	if (audit_widths(a, rules, e) != ERR_OK)
		return e->code;
	for (size_t i = 0; i < a->rule_count; i++) {
		if (!is_of_use(&a->rules[i]))
			continue;
		rules[n++] = rules[i];
		ret->results[rules[i].result]++;
	}
	ret->rules = rules;
	ret->rule_count = n;
	return ERR_OK;
}

static enum err_code tell_idle(struct audit *a, struct audit_report *ret, struct err *e)
{
	size_t count = policy_set_count(a->set);
	uint32_t *idle = mem_get(&a->mem, (count + 1) * sizeof *idle);

	if (!idle)
		return err_set(e, ERR_NOMEM, "audit of policies");
	for (uint32_t i = 0; i < count; i++)
		if (!a->selected[i] && !policy_set_is_of_nodes(a->set, i))
			idle[ret->idle_count++] = i;
	ret->idle = idle;
	return ERR_OK;
}

/* --- lists ------------------------------------------------------------------------------------ */

static int by_count(const void *pa, const void *pb)
{
	const struct audit_reason *a = pa, *b = pb;

	if (a->flows != b->flows)
		return a->flows > b->flows ? -1 : 1;
	return str_cmp(a->text, b->text);
}

/* Texts with flows, the most first. */
static enum err_code tell_reasons(struct audit *a, const uint64_t *flows,
				  const struct audit_reason **ret, size_t *ret_count, struct err *e)
{
	struct audit_reason *list;
	size_t n = 0;

	for (size_t i = 1; i < a->text_count; i++)
		n += flows[i] > 0;
	list = mem_get(&a->mem, (n + 1) * sizeof *list);
	if (!list)
		return err_set(e, ERR_NOMEM, "audit of policies");
	n = 0;
	for (size_t i = 1; i < a->text_count; i++)
		if (flows[i])
			list[n++] = (struct audit_reason){ a->texts[i], flows[i] };
	qsort(list, n, sizeof *list, by_count);
	*ret = list;
	*ret_count = n;
	return ERR_OK;
}

static int by_default(const void *pa, const void *pb)
{
	const struct audit_default *a = pa, *b = pb;
	int c = str_cmp(a->workload, b->workload);

	if (a->flows != b->flows)
		return a->flows > b->flows ? -1 : 1;
	c = c ? c : (int)a->direction - (int)b->direction;
	return c ? c : str_cmp(a->by, b->by);
}

enum err_code audit_finish(struct audit *a, struct audit_report *ret, struct err *e)
{
	struct audit_report r = { .rule_count = 0 };

	for (size_t i = 0; i < a->connection_count; i++) {
		const struct connection *c = &a->connections[i];

		if (c->first == i)
			audit_add_connection(a, c, true);
		if (audit_add(a, c, &a->connections[c->first].all, e) != ERR_OK)
			return e->code;
	}
	if (audit_ends(a, &r, e) != ERR_OK || tell_rules(a, &r, e) != ERR_OK ||
	    tell_idle(a, &r, e) != ERR_OK ||
	    tell_reasons(a, a->unknown_flows, &r.unknown, &r.unknown_count, e) != ERR_OK ||
	    tell_reasons(a, a->foreign_flows, &r.elsewhere, &r.elsewhere_count, e) != ERR_OK)
		return e->code;
	if (a->default_count)
		qsort(a->defaults, a->default_count, sizeof *a->defaults, by_default);
	r.defaults = a->defaults;
	r.default_count = a->default_count;
	r.newly_denied = a->newly_denied;
	r.newly_allowed = a->newly_allowed;
	r.flows = a->flows;
	r.other = a->other;
	r.again = a->again;
	r.span = a->span;
	*ret = r;
	return ERR_OK;
}
