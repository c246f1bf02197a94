/* Rules that exclude each other: two that ask for different things of one peer on one port. */
#include "policy/inside.h"

enum { CONFLICTS_MAX = 4096 };

/* Of whom something is asked: everybody, a selector, a block or a name. */
struct asked_of {
	bool all;
	uint32_t selector; /* 1 + its index; 0 none */
	const struct block *block;
	const struct group_ref *group;
	struct str name;
};

struct asked {
	uint32_t spec;
	const struct rule *rule;
	bool egress;
	struct asked_of of;
	const struct port *port;
	uint8_t rank;    /* of listeners: those of another one give way */
	struct str what; /* proxy, secret, mode of authentication, … */
};

static int compare(uint64_t a, uint64_t b)
{
	return a < b ? -1 : a > b;
}

static int compare_prefixes(const struct prefix *a, const struct prefix *b)
{
	int order = compare(a->hi, b->hi);

	if (!order)
		order = compare(a->lo, b->lo);
	if (!order)
		order = compare(a->bits, b->bits);
	return order ? order : compare(a->v4, b->v4);
}

static int compare_excepts(const struct prefix *a, size_t a_count, const struct prefix *b,
			   size_t b_count)
{
	int order = compare(a_count, b_count);

	for (size_t i = 0; !order && i < a_count; i++)
		order = compare_prefixes(&a[i], &b[i]);
	return order;
}

/* By their texts: 10.0.0.0/8 and 10.0.0.1/8 are two selectors to the agent. NULL is before all. */
static int compare_blocks(const struct block *a, const struct block *b)
{
	if (!a || !b)
		return compare(a != NULL, b != NULL);
	int order = str_cmp(a->text, b->text);
	return order ? order
		     : compare_excepts(a->except, a->except_count, b->except, b->except_count);
}

/* NULL is before all. */
static int compare_groups(const struct group_ref *a, const struct group_ref *b)
{
	if (!a || !b)
		return compare(a != NULL, b != NULL);
	int order = str_cmp(a->name, b->name);
	if (!order)
		order = compare(a->selector, b->selector);
	return order ? order
		     : compare_excepts(a->except, a->except_count, b->except, b->except_count);
}

static int compare_peers(const struct asked_of *a, const struct asked_of *b)
{
	int order = compare(a->all, b->all);

	if (!order)
		order = compare(a->selector, b->selector);
	if (!order)
		order = compare_blocks(a->block, b->block);
	if (!order)
		order = compare_groups(a->group, b->group);
	return order ? order : str_cmp(a->name, b->name);
}

/* "80" and "80 to 80" are two places; of ports by name the name only counts (pkg/policy, L4PolicyMap). */
static int compare_ports(const struct port *a, const struct port *b)
{
	int order = compare(a->protocol, b->protocol);

	if (!order)
		order = str_cmp(a->name, b->name);
	if (order || a->name.len)
		return order;
	order = compare(a->first, b->first);
	return order ? order : compare(a->end, b->end);
}

/* One peer, one port: what Cilium merges. */
static int compare_places(const struct asked *a, const struct asked *b)
{
	int order = compare(a->egress, b->egress);

	if (!order)
		order = compare_peers(&a->of, &b->of);
	return order ? order : compare_ports(a->port, b->port);
}

static int by_place(const void *pa, const void *pb)
{
	return compare_places(pa, pb);
}

static int compare_asked(const struct asked *a, const struct asked *b)
{
	int order = compare(a->rank, b->rank);

	return order ? order : compare_places(a, b);
}

static int by_asked_and_what(const void *pa, const void *pb)
{
	const struct asked *a = pa, *b = pb;
	int order = compare_asked(a, b);

	return order ? order : str_cmp(a->what, b->what);
}

static void add_asked(struct reading *r, struct list *all, const struct asked *like,
		      struct asked_of of)
{
	struct asked *to = list_add(&r->set->mem, all, sizeof *to);

	if (!to) {
		no_memory(r);
		return;
	}
	*to = *like;
	to->of = of;
}

/* The agent holds nothing against what is asked of the entity "none" (pkg/policy, mergePortProto). */
static bool is_none(const struct selector *s)
{
	const struct requirement *q = s->requirements;

	return s->count == 1 && str_is(q->source, "reserved") && str_is(q->key, "none") &&
	       (q->op == REQ_EXISTS || (q->op == REQ_IN && !q->values[0].len));
}

static void add_all_asked(struct reading *r, const struct rule *rule, const struct asked *like,
			  struct list *all)
{
	if (rule->anybody) { /* the other peers then do not count */
		add_asked(r, all, like, (struct asked_of){ .all = true });
		return;
	}
	for (size_t i = 0; i < rule->selector_count; i++)
		if (!is_none(set_selector(r->set, rule->selectors[i])))
			add_asked(r, all, like,
				  (struct asked_of){ .selector = rule->selectors[i] + 1 });
	for (size_t i = 0; i < rule->own_blocks; i++)
		add_asked(r, all, like, (struct asked_of){ .block = &rule->blocks[i] });
	for (size_t i = 0; i < rule->group_count; i++)
		add_asked(r, all, like, (struct asked_of){ .group = &rule->groups[i] });
	for (size_t i = 0; i < rule->name_count; i++)
		add_asked(r, all, like, (struct asked_of){ .name = rule->names[i] });
}

/* What is held against each other. What only looks at TLS ("tls") gives way to what looks into it: it is
 * held against the others only. */
enum asked_kind {
	ASKED_PROXY,
	ASKED_TLS,
	ASKED_LISTENER,
	ASKED_TERMINATING,
	ASKED_ORIGINATING,
	ASKED_WITHIN,
	ASKED_AUTHENTICATION,
	ASKED_KIND_COUNT_
};
static const enum policy_clash clash_of[] = {
	[ASKED_PROXY] = POLICY_CLASH_PROXY,
	[ASKED_TLS] = POLICY_CLASH_PROXY,
	[ASKED_LISTENER] = POLICY_CLASH_LISTENER,
	[ASKED_TERMINATING] = POLICY_CLASH_TERMINATING,
	[ASKED_ORIGINATING] = POLICY_CLASH_ORIGINATING,
	[ASKED_WITHIN] = POLICY_CLASH_NAMES,
	[ASKED_AUTHENTICATION] = POLICY_CLASH_AUTHENTICATION,
};
_Static_assert(ARRAY_LEN(clash_of) == ASKED_KIND_COUNT_, "a kind without a clash");

/* What the rule asks of that kind at the port; "" nothing. */
static struct str asked_what(const struct rule *rule, const struct port *port, enum asked_kind kind)
{
	static const struct port_asks nothing;
	const struct port_asks *asks = port->asks ? port->asks : &nothing;
	struct str proxy = port->proxy.name;
	bool tls = str_is(proxy, "tls");

	switch (kind) {
	case ASKED_PROXY:
		return tls ? STR("") : proxy;
	case ASKED_TLS:
		return tls || str_is(proxy, "dns") || str_is(proxy, "crd") ? proxy : STR("");
	case ASKED_LISTENER:
		return asks->listener;
	case ASKED_TERMINATING:
		return asks->terminating;
	case ASKED_ORIGINATING:
		return asks->originating;
	case ASKED_WITHIN: /* without a proxy nobody looks */
		return proxy.len ? asks->within : STR("");
	default:
		return rule->authentication;
	}
}

static void list_rule(struct reading *r, const struct rule *rule, struct asked like,
		      const struct port *port, enum asked_kind kind, struct list *all)
{
	like.rule = rule;
	like.port = port;
	like.what = asked_what(rule, port, kind);
	if (kind == ASKED_LISTENER)
		like.rank = port->proxy.rank;
	if (like.what.len && !rule->nobody)
		add_all_asked(r, rule, &like, all);
}

static void list_asked(struct reading *r, uint32_t spec, enum policy_section section,
		       enum asked_kind kind, struct list *all)
{
	static const struct port any_port;
	const struct spec *s = set_spec(r->set, spec);
	const struct asked like = { .spec = spec, .egress = section == POLICY_SECTION_EGRESS };

	for (size_t i = 0; i < s->rule_count[section]; i++) {
		const struct rule *rule = &s->rules[section][i];

		if (!rule->narrowed)
			list_rule(r, rule, like, &any_port, kind, all);
		for (size_t j = 0; j < rule->port_count && r->code == ERR_OK; j++)
			list_rule(r, rule, like, &rule->ports[j], kind, all);
	}
}

bool specs_can_meet(const struct spec *a, const struct spec *b)
{
	return a->node == b->node &&
	       (!a->namespace_.p || !b->namespace_.p || str_eq(a->namespace_, b->namespace_));
}

static struct policy_ref ref_of(const struct policy_set *set, const struct asked *a)
{
	const struct spec *s = set_spec(set, a->spec);

	return (struct policy_ref){ s->policy, s->index, a->rule->section, a->rule->index };
}

/* In the order in which Cilium merges them: clusterwide policies first, then by their names (pkg/policy,
 * ruleSlice.sort; the keys are "ccnp//NAME", "cnp/NAMESPACE/NAME"), in a policy by spec and section. */
static bool is_merged_before(const struct policy_set *set, const struct asked *a,
			     const struct asked *b)
{
	uint32_t one = set_spec(set, a->spec)->policy, other = set_spec(set, b->spec)->policy;
	const struct policy_info *of_a = set_policy(set, one), *of_b = set_policy(set, other);
	int order = 0;

	if (one != other) {
		order = compare(of_b->kind, of_a->kind);
		if (!order)
			order = str_cmp(of_a->name, of_b->name);
	}
	if (!order)
		order = compare(a->spec, b->spec);
	if (!order)
		order = compare(a->rule->section, b->rule->section);
	return order ? order < 0 : a->rule->index < b->rule->index;
}

/* What goes before what is asked for: rules that deny, and listeners of a better rank. By place. */
struct settlers {
	struct list denials, listeners;
	bool listed; /* denials */
};

static size_t first_at(const struct list *l, const struct asked *place)
{
	const struct asked *all = l->items;
	size_t first = 0, end = l->count;

	while (first < end) {
		size_t middle = first + (end - first) / 2;

		if (compare_places(&all[middle], place) < 0)
			first = middle + 1;
		else
			end = middle;
	}
	return first;
}

/* Once @settler is merged, what @later asks for counts no more. */
static bool settles(const struct policy_set *set, const struct asked *settler,
		    const struct asked *later)
{
	bool wins = settler->rank < later->rank || !later->rank;

	return wins && is_merged_before(set, settler, later) &&
	       specs_can_meet(set_spec(set, settler->spec), set_spec(set, later->spec));
}

static bool has_spec(const struct list *specs, uint32_t spec)
{
	for (size_t i = 0; i < specs->count; i++)
		if (((const uint32_t *)specs->items)[i] == spec)
			return true;
	return false;
}

/* Appends the specs that settle the conflict of @a and @b to @specs. @return false if no end has the
 * conflict, for whoever is the subject of both is the subject of one of these. */
static bool find_settlers(struct reading *r, const struct list *l, const struct asked *a,
			  const struct asked *b, struct list *specs)
{
	const struct asked *all = l->items, *later = is_merged_before(r->set, a, b) ? b : a;

	for (size_t i = first_at(l, later); i < l->count && compare_places(&all[i], later) == 0;
	     i++) {
		uint32_t subject = set_spec(r->set, all[i].spec)->subject;

		if (!settles(r->set, &all[i], later) || has_spec(specs, all[i].spec))
			continue;
		if (subject == set_spec(r->set, a->spec)->subject ||
		    subject == set_spec(r->set, b->spec)->subject ||
		    !set_selector(r->set, subject)->count)
			return false;
		uint32_t *to = list_add(&r->set->mem, specs, sizeof *to);
		if (!to) {
			no_memory(r);
			return true;
		}
		*to = all[i].spec;
	}
	return true;
}

/* In the order of the files. */
static bool is_before(const struct asked *a, const struct asked *b)
{
	return a->spec != b->spec ? a->spec < b->spec : a->rule->index < b->rule->index;
}

static void add_conflict(struct reading *r, enum asked_kind kind, const struct settlers *settlers,
			 const struct asked *a, const struct asked *b)
{
	struct list *conflicts = &r->set->conflicts;
	struct list specs = { 0 };

	if (!find_settlers(r, &settlers->denials, a, b, &specs) ||
	    !find_settlers(r, &settlers->listeners, a, b, &specs))
		return;
	struct conflict *c = conflicts->count < CONFLICTS_MAX
				     ? list_add(&r->set->mem, conflicts, sizeof *c)
				     : NULL;

	if (!c) {
		bad(r, "more than %d rules that exclude each other on one port", CONFLICTS_MAX);
		return;
	}
	if (!is_before(a, b)) {
		const struct asked *later = a;

		a = b;
		b = later;
	}
	*c = (struct conflict){ .clash = clash_of[kind],
				.specs = { a->spec, b->spec },
				.refs = { ref_of(r->set, a), ref_of(r->set, b) },
				.asked = { a->what, b->what },
				.settled_by = specs.items,
				.settled_count = specs.count };
}

static void list_denials(struct reading *r, uint32_t spec, enum policy_section section,
			 struct list *all)
{
	static const struct port any_port;
	const struct spec *s = set_spec(r->set, spec);
	struct asked like = { .spec = spec,
			      .egress = section == POLICY_SECTION_EGRESS_DENY,
			      .port = &any_port };

	for (size_t i = 0; i < s->rule_count[section]; i++) {
		const struct rule *rule = &s->rules[section][i];

		like.rule = rule;
		for (size_t j = 0; j < (rule->narrowed ? rule->port_count : 1); j++) {
			if (rule->narrowed)
				like.port = &rule->ports[j];
			if (!rule->nobody && r->code == ERR_OK)
				add_all_asked(r, rule, &like, all);
		}
		like.port = &any_port;
	}
}

static void list_settlers(struct reading *r, enum asked_kind kind, const struct list *asked,
			  struct settlers *to)
{
	for (uint32_t i = 0; !to->listed && i < r->set->specs.count && r->code == ERR_OK; i++) {
		list_denials(r, i, POLICY_SECTION_INGRESS_DENY, &to->denials);
		list_denials(r, i, POLICY_SECTION_EGRESS_DENY, &to->denials);
	}
	if (!to->listed && to->denials.count)
		qsort(to->denials.items, to->denials.count, sizeof(struct asked), by_place);
	to->listed = true;
	to->listeners.count = 0;
	for (size_t i = 0; kind == ASKED_LISTENER && i < asked->count && r->code == ERR_OK; i++) {
		const struct asked *one = (const struct asked *)asked->items + i;

		add_asked(r, &to->listeners, one, one->of);
	}
	if (to->listeners.count)
		qsort(to->listeners.items, to->listeners.count, sizeof(struct asked), by_place);
}

static void link_kind(struct reading *r, enum asked_kind kind, struct settlers *settlers)
{
	struct list all = { 0 };

	for (uint32_t i = 0; i < r->set->specs.count && r->code == ERR_OK; i++) {
		list_asked(r, i, POLICY_SECTION_INGRESS, kind, &all);
		list_asked(r, i, POLICY_SECTION_EGRESS, kind, &all);
	}
	if (r->code != ERR_OK || all.count < 2)
		return;
	list_settlers(r, kind, &all, settlers);
	struct asked *a = all.items;
	qsort(a, all.count, sizeof *a, by_asked_and_what);
	for (size_t i = 0, others = 0; i < all.count; i++) {
		/* thousands may ask for one thing: only those are compared that ask for others */
		for (others = others > i ? others : i + 1;
		     others < all.count && by_asked_and_what(&a[i], &a[others]) == 0;)
			others++;
		for (size_t j = others; j < all.count && compare_asked(&a[i], &a[j]) == 0; j++)
			if (r->code == ERR_OK && specs_can_meet(set_spec(r->set, a[i].spec),
								set_spec(r->set, a[j].spec)))
				add_conflict(r, kind, settlers, &a[i], &a[j]);
	}
}

void link_conflicts(struct reading *r)
{
	struct settlers settlers = { 0 };

	for (int kind = 0; kind < ASKED_KIND_COUNT_ && r->code == ERR_OK; kind++)
		link_kind(r, (enum asked_kind)kind, &settlers);
}

bool selectors_exclude(const struct selector *a, const struct selector *b)
{
	for (size_t i = 0; i < a->count; i++)
		for (size_t j = 0; j < b->count; j++) {
			const struct requirement *one = &a->requirements[i];
			const struct requirement *other = &b->requirements[j];
			bool shared = false;

			if (one->op != REQ_IN || other->op != REQ_IN ||
			    !str_eq(one->key, other->key) || !str_eq(one->source, other->source))
				continue;
			for (size_t k = 0; k < one->value_count * other->value_count; k++)
				shared |= str_eq(one->values[k / other->value_count],
						 other->values[k % other->value_count]);
			if (!shared)
				return true;
		}
	return false;
}

size_t policy_set_conflict_count(const struct policy_set *set)
{
	return set->conflicts.count;
}

void policy_set_conflict(const struct policy_set *set, size_t i, struct policy_conflict *ret)
{
	const struct conflict *c = set_conflict(set, i);
	uint32_t one = set_spec(set, c->specs[0])->subject;
	uint32_t other = set_spec(set, c->specs[1])->subject;

	*ret = (struct policy_conflict){
		.clash = c->clash,
		.rules = { c->refs[0], c->refs[1] },
		.asked = { c->asked[0], c->asked[1] },
		.same_subject = one == other,
		.apart = selectors_exclude(set_selector(set, one), set_selector(set, other)),
	};
}
