/* When all objects are there: what rules refer to by name becomes selectors, blocks and numbers. */
#include "flow/flow.h"
#include "policy/inside.h"

enum { LINKED_MAX = 1 << 16 };

static struct group *group_at(const struct policy_set *s, size_t i)
{
	return (struct group *)s->groups.items + i;
}
static struct service_entry *service_at(const struct policy_set *s, size_t i)
{
	return (struct service_entry *)s->services.items + i;
}
static struct backends_entry *backends_at(const struct policy_set *s, size_t i)
{
	return (struct backends_entry *)s->backends.items + i;
}

static void add_block(struct reading *r, struct list *to, struct block block)
{
	struct block *b = NULL;

	if (to->count < LINKED_MAX)
		b = list_add(&r->set->mem, to, sizeof *b);
	if (b)
		*b = block;
	else
		no_memory(r);
}

/* --- groups --------------------------------------------------------------------------------- */

static void link_groups(struct reading *r, const struct rule *rule, struct list *blocks)
{
	for (size_t i = 0; i < rule->group_count; i++)
		for (size_t j = 0; j < r->set->groups.count; j++) {
			const struct group *g = group_at(r->set, j);

			if (!rule->groups[i].name.len || !str_eq(rule->groups[i].name, g->name))
				continue;
			for (size_t k = 0; k < g->prefix_count; k++)
				add_block(r, blocks,
					  (struct block){ .prefix = g->prefixes[k],
							  .except = rule->groups[i].except,
							  .except_count =
								  rule->groups[i].except_count });
		}
}

/* --- services --------------------------------------------------------------------------------- */

static bool service_is_meant(const struct service_ref *ref, const struct service_entry *s)
{
	if (ref->namespace_.len && !str_eq(ref->namespace_, s->namespace_))
		return false;
	if (ref->selector)
		return selector_matches(ref->selector, s->labels, s->label_count);
	return ref->name.len && str_eq(ref->name, s->name);
}

static void link_backends(struct reading *r, const struct service_entry *s, struct list *blocks)
{
	for (size_t i = 0; i < r->set->backends.count; i++) {
		const struct backends_entry *b = backends_at(r->set, i);

		if (!str_eq(b->name, s->name) || !str_eq(b->namespace_, s->namespace_))
			continue;
		for (size_t j = 0; j < b->count; j++)
			add_block(r, blocks,
				  (struct block){ .prefix = prefix_of(b->ips[j], 128,
								      ip_is_v4(b->ips[j])) });
	}
}

static void add_selector(struct reading *r, struct list *to, uint32_t id)
{
	uint32_t *at = NULL;

	if (to->count < LINKED_MAX)
		at = list_add(&r->set->mem, to, sizeof *at);
	if (at)
		*at = id;
	else
		no_memory(r);
}

/* Cilium looks up services for rules that allow only: in one that denies they are nobody, and with ports
 * everybody (pkg/policy/k8s, processRule). */
static void link_services(struct reading *r, const struct rule *rule, struct list *selectors,
			  struct list *blocks)
{
	if (rule->section != POLICY_SECTION_EGRESS)
		return;
	for (size_t i = 0; i < rule->service_count; i++)
		for (size_t j = 0; j < r->set->services.count && r->code == ERR_OK; j++) {
			const struct service_entry *s = service_at(r->set, j);

			if (!service_is_meant(&rule->services[i], s))
				continue;
			if (s->selector)
				add_selector(r, selectors, intern_selector(r, s->selector));
			else
				link_backends(r, s, blocks);
		}
}

/* --- names of ports -----------------------------------------------------------------------------
 */

/* At egress a name is looked up in all pods of the cluster, and stands for nothing where they give
 * it different numbers. */
static void link_port(const struct policy_set *set, struct port *p)
{
	uint16_t found = 0;

	for (size_t i = 0; i < set->pods.count; i++) {
		const struct pod_ports *pod = (struct pod_ports *)set->pods.items + i;

		for (size_t j = 0; j < pod->count; j++) {
			const struct named_port *n = &pod->ports[j];

			if (n->protocol != p->protocol || !str_eq(n->name, p->name))
				continue;
			if (found && found != n->port) {
				p->never = true;
				return;
			}
			found = n->port;
		}
	}
	p->never = !found;
	p->first = found;
	p->last = p->named_last > found ? p->named_last : found;
}

/* --- one rule -----------------------------------------------------------------------------------
 */

static void link_rule(struct reading *r, struct rule *rule)
{
	bool egress = rule->section == POLICY_SECTION_EGRESS ||
		      rule->section == POLICY_SECTION_EGRESS_DENY;

	rule->own_blocks = rule->block_count;
	if (rule->group_count || rule->service_count) {
		struct list selectors = { 0 }, blocks = { 0 };

		for (size_t i = 0; i < rule->selector_count; i++)
			add_selector(r, &selectors, rule->selectors[i]);
		for (size_t i = 0; i < rule->block_count; i++)
			add_block(r, &blocks, rule->blocks[i]);
		link_groups(r, rule, &blocks);
		link_services(r, rule, &selectors, &blocks);
		rule->selectors = selectors.items;
		rule->selector_count = selectors.count;
		rule->blocks = blocks.items;
		rule->block_count = blocks.count;
	}
	bool selects_groups = false;
	for (size_t i = 0; i < rule->group_count; i++) {
		selects_groups |= !rule->groups[i].name.len;
		r->set->uses_addresses |= rule->groups[i].except_count > 0;
	}
	r->set->uses_addresses |= rule->block_count > 0;
	for (size_t i = 0; i < rule->port_count; i++)
		if (rule->ports[i].name.len && egress && !rule->ports[i].of_peer)
			link_port(r->set, &rule->ports[i]);
	for (size_t i = 0; i < rule->selector_count; i++)
		rule->anybody |= !set_selector(r->set, rule->selectors[i])->count;
	for (size_t i = 0; i < rule->group_count; i++) /* it is the same selector to the agent */
		rule->anybody |= !rule->groups[i].name.len && !rule->groups[i].except_count &&
				 !set_selector(r->set, rule->groups[i].selector)->count;
	if (!rule->selector_count && !rule->block_count && !rule->name_count && !selects_groups &&
	    !rule->nobody) {
		/* Ports without peers are open to everybody; a rule with neither means nobody. */
		rule->everybody = rule->narrowed && !rule->unresolved && !rule->group_count;
		rule->nobody = !rule->everybody && !rule->group_count;
	}
	rule->anybody |= rule->everybody;
}

/* --- who may be selected -------------------------------------------------------------------------- */

/* The one namespace that the selector asks for; p NULL: none, or several. */
static struct str namespace_asked(const struct selector *s)
{
	for (size_t i = 0; i < s->count; i++) {
		const struct requirement *q = &s->requirements[i];

		if (q->op == REQ_IN && q->value_count == 1 && str_is(q->source, "k8s") &&
		    str_eq(q->key, KEY_NAMESPACE))
			return q->values[0];
	}
	return (struct str){ NULL, 0 };
}

/* The group of each selector in @ret_of. @return how many there are, 0 after an error. */
static size_t group_selectors(struct reading *r, uint32_t *ret_of)
{
	struct policy_set *set = r->set;
	uint32_t groups = 1;

	if (map_new(POLICY_SELECTORS_MAX + 1, set->seed, &set->group_ids, r->e) != ERR_OK) {
		no_memory(r);
		return 0;
	}
	for (size_t i = 0; i < set->selectors.count; i++) {
		struct str ns = namespace_asked(set_selector(set, i));

		ret_of[i] = 0;
		if (!ns.p || map_get(set->group_ids, ns, &ret_of[i]))
			continue;
		ret_of[i] = groups;
		if (map_put(set->group_ids, ns, groups++, NULL, NULL) != ERR_OK) {
			no_memory(r);
			return 0;
		}
	}
	return groups;
}

void index_selectors(struct reading *r)
{
	struct policy_set *set = r->set;
	size_t n = set->selectors.count;
	uint32_t *of = room(r, (n + 1) * sizeof *of);

	set->by_namespace = room(r, (n + 1) * sizeof *set->by_namespace);
	if (r->code != ERR_OK)
		return;
	set->group_count = group_selectors(r, of);
	set->groups_of = room(r, (set->group_count + 1) * sizeof *set->groups_of);
	if (r->code != ERR_OK)
		return;
	for (size_t i = 0; i < n; i++)
		set->groups_of[of[i]].count++;
	for (size_t g = 1; g < set->group_count; g++)
		set->groups_of[g].first = set->groups_of[g - 1].first + set->groups_of[g - 1].count;
	for (size_t g = 0; g < set->group_count; g++)
		set->groups_of[g].count = 0; /* grows again as they are put in */
	for (uint32_t i = 0; i < n; i++) {
		struct selector_group *g = &set->groups_of[of[i]];
		set->by_namespace[g->first + g->count++] = i;
	}
}

/* --- what is noted of a rule ------------------------------------------------------------------------ */

static bool asks_namespace(const struct selector *s)
{
	for (size_t i = 0; i < s->count; i++)
		if (str_has_prefix(s->requirements[i].key, KEY_NAMESPACE_LABELS) &&
		    !str_eq(s->requirements[i].key, KEY_NAMESPACE_NAME))
			return true;
	return false;
}

static void note_rule(const struct policy_set *set, struct asks *asks, const struct rule *rule)
{
	asks->services |= rule->service_count > 0;
	asks->groups |= rule->group_count > 0;
	asks->cloud_groups |= rule->unresolved;
	asks->names |= rule->name_count > 0;
	asks->denials |= rule->section == POLICY_SECTION_INGRESS_DENY ||
			 rule->section == POLICY_SECTION_EGRESS_DENY;
	for (size_t i = 0; i < rule->port_count; i++)
		asks->port_names |= rule->ports[i].name.len > 0;
	for (size_t i = 0; i < rule->selector_count; i++)
		asks->namespaces |= asks_namespace(set_selector(set, rule->selectors[i]));
}

/* What rules ask for that nobody may have told: policy_lacks. */
static void note_asks(struct policy_set *set)
{
	for (size_t i = 0; i < set->specs.count; i++) {
		struct spec *s = set_spec(set, i);

		set->subjects_ask_namespaces |= asks_namespace(set_selector(set, s->subject));
		set->has_node_specs |= s->node;
		s->namespace_ = namespace_asked(set_selector(set, s->subject));
		for (size_t k = 0; k < POLICY_SECTION_COUNT_; k++) {
			bool egress = k == POLICY_SECTION_EGRESS || k == POLICY_SECTION_EGRESS_DENY;

			for (size_t j = 0; j < s->rule_count[k]; j++)
				note_rule(set, &s->asks[egress ? POLICY_EGRESS : POLICY_INGRESS],
					  &s->rules[k][j]);
		}
	}
}

static bool allows_something(const struct spec *s, enum policy_section section)
{
	for (size_t i = 0; i < s->rule_count[section]; i++)
		if (!s->rules[section][i].nobody)
			return true;
	return false;
}

static bool shows_names(const struct spec *s)
{
	for (size_t i = 0; i < s->rule_count[POLICY_SECTION_EGRESS]; i++) {
		const struct rule *rule = &s->rules[POLICY_SECTION_EGRESS][i];

		for (size_t j = 0; j < rule->port_count; j++)
			if (str_is(rule->ports[j].proxy.name, "dns"))
				return true;
	}
	return false;
}

static void note_spec(struct reading *r, struct list *to, uint32_t spec)
{
	uint32_t *at = r->code == ERR_OK ? list_add(&r->set->mem, to, sizeof *at) : NULL;

	if (at)
		*at = spec;
	else
		no_memory(r);
}

/* What policies are warned of where no other one does it. */
static void note_specs(struct reading *r)
{
	struct policy_set *set = r->set;

	for (uint32_t i = 0; i < set->specs.count; i++) {
		const struct spec *s = set_spec(set, i);

		if (allows_something(s, POLICY_SECTION_INGRESS))
			note_spec(r, &set->allowing[POLICY_INGRESS], i);
		if (allows_something(s, POLICY_SECTION_EGRESS))
			note_spec(r, &set->allowing[POLICY_EGRESS], i);
		if (shows_names(s))
			note_spec(r, &set->showing, i);
	}
}

void link_rules(struct reading *r)
{
	note_asks(r->set);
	for (size_t i = 0; i < r->set->specs.count; i++)
		for (size_t k = 0; k < POLICY_SECTION_COUNT_; k++)
			for (size_t j = 0; j < set_spec(r->set, i)->rule_count[k]; j++) {
				link_rule(r, &set_spec(r->set, i)->rules[k][j]);
				if (r->code != ERR_OK)
					return;
			}
	note_specs(r);
	link_conflicts(r);
}
