/* Counts of connections, added up for what they matched. */
#include "flow/flow.pb-c.h"
#include "policy/audit_inside.h"

enum {
	NOWHERE = FLOW__TRAFFIC_DIRECTION__TRAFFIC_DIRECTION_UNKNOWN,
	AT_IN = FLOW__TRAFFIC_DIRECTION__INGRESS,
	AT_OUT = FLOW__TRAFFIC_DIRECTION__EGRESS,
};

static bool side_denies(const struct side *s)
{
	return policy_verdict_denies((enum policy_verdict)s->verdict) || s->never;
}

static uint64_t denied_of(const struct tally *t)
{
	return t->denied[NOWHERE] + t->denied[AT_IN] + t->denied[AT_OUT];
}

/* Flows to which happened at this end what the policies decide there. A drop at the destination was
 * let out at the source, and leaves flows there that passed; one at the source never got further. */
static uint64_t flows_at(const struct connection *c, const struct tally *all,
			 enum policy_direction direction)
{
	const struct tally *own = &c->own;
	bool in = side_denies(&c->sides[POLICY_INGRESS]),
	     out = side_denies(&c->sides[POLICY_EGRESS]);

	if (direction == POLICY_EGRESS)
		return out ? own->denied[AT_OUT] + own->denied[NOWHERE]
			   : own->passed + own->denied[AT_IN] + (in ? own->denied[NOWHERE] : 0);
	if (in)
		return own->denied[AT_IN] + (out ? 0 : own->denied[NOWHERE]);
	return denied_of(all) && !all->through ? 0 : own->passed;
}

static void add_hits(struct audit *a, const struct connection *c, const struct side *s,
		     uint64_t flows)
{
	for (uint32_t i = 0; i < s->hit_count; i++) {
		uint32_t hit = a->hits[s->first_hit + i], at = hit & ((1u << HIT_SHIFT) - 1);

		switch ((enum hit_kind)(hit >> HIT_SHIFT)) {
		case HIT_RULE:
			a->rules[at].flows += flows;
			a->rules[at].otherwise += flows ? 0 : c->own.passed + denied_of(&c->own);
			if (flows)
				policy_span_add(&a->rules[at].span, side_denies(s)
									    ? c->own.denied_span
									    : c->own.passed_span);
			break;
		case HIT_PART:
			a->parts[at].flows += flows;
			a->parts[at].otherwise |= !flows;
			break;
		case HIT_SEEN:
			a->seen[at].flows += flows;
		}
	}
}

static enum err_code add_default(struct audit *a, const struct side *s,
				 enum policy_direction direction, uint64_t flows, struct err *e)
{
	const uint32_t key[3] = { s->who, s->why, direction };
	uint32_t at;

	if (!flows)
		return ERR_OK;
	if (!map_get(a->by_default, str_n(key, sizeof key), &at)) {
		at = (uint32_t)a->default_count;
		if (policy_grow(&a->defaults, at, &a->default_room, sizeof *a->defaults, e) !=
			    ERR_OK ||
		    map_put(a->by_default, str_n(key, sizeof key), at, NULL, e) != ERR_OK)
			return e->code;
		a->defaults[a->default_count++] = (struct audit_default){
			.workload = a->texts[s->who],
			.by = a->texts[s->why],
			.direction = direction,
		};
	}
	a->defaults[at].flows += flows;
	return ERR_OK;
}

static enum err_code add_side(struct audit *a, const struct connection *c, const struct tally *all,
			      enum policy_direction direction, struct err *e)
{
	const struct side *s = &c->sides[direction];
	uint64_t flows = flows_at(c, all, direction);

	add_hits(a, c, s, flows);
	if (s->unknown)
		return ERR_OK;
	if (s->verdict == POLICY_NOT_SELECTED)
		a->open_flows[2 * s->who + direction] += flows;
	if (s->verdict == POLICY_DEFAULT_ALLOWED)
		return add_default(a, s, direction, flows, e);
	return ERR_OK;
}

enum err_code audit_add(struct audit *a, const struct connection *c, const struct tally *all,
			struct err *e)
{
	if (c->foreign)
		a->foreign_flows[c->foreign] += c->own.passed + denied_of(&c->own);
	if (c->why)
		return ERR_OK;
	if (add_side(a, c, all, POLICY_EGRESS, e) != ERR_OK)
		return e->code;
	return add_side(a, c, all, POLICY_INGRESS, e);
}

/* What preview would say of it, which knows no audit mode. */
static void add_change(struct audit *a, const struct connection *c, bool is_whole)
{
	const struct side *in = &c->sides[POLICY_INGRESS], *out = &c->sides[POLICY_EGRESS];
	const struct tally *all = &c->all;
	bool out_denies = side_denies(out) && !out->unknown;
	bool in_denies = side_denies(in) && !in->unknown;
	uint64_t denied = denied_of(all) - all->audited;

	if (!out_denies && !in_denies && (out->unknown || in->unknown)) {
		a->unknown_flows[out->unknown ? out->why : in->why] += all->passed + denied_of(all);
		return;
	}
	if (denied && all->through) /* the record has it both ways */
		return;
	if ((out_denies || in_denies) && all->passed && !denied) {
		a->newly_denied.flows += all->passed;
		a->newly_denied.connections += is_whole;
	}
	if (!out_denies && !in_denies && denied && !in->to_proxy && !out->to_proxy &&
	    !in->needs_auth && !out->needs_auth) {
		a->newly_allowed.flows += denied;
		a->newly_allowed.connections += is_whole;
	}
}

void audit_add_connection(struct audit *a, const struct connection *first, bool is_whole)
{
	const struct tally *all = &first->all;

	a->flows += all->passed + denied_of(all);
	policy_span_add(&a->span, all->passed_span);
	policy_span_add(&a->span, all->denied_span);
	if (first->why)
		a->unknown_flows[first->why] += all->passed + denied_of(all);
	else
		add_change(a, first, is_whole);
}
