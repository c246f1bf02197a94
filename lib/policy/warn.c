/* What is valid, and hardly ever meant. */
#include <netinet/in.h>

#include "policy/inside.h"

enum { DNS_PORT = 53, COMPARED_MAX = 1 << 22 };

struct warning {
	const struct policy_set *set;
	const struct spec *spec;
	size_t left; /* comparisons that may still be made for this policy */
	void (*each)(void *ctx, const struct policy_warning *w);
	void *ctx;
};

static struct policy_ref ref_of(const struct warning *w, const struct rule *rule)
{
	return (struct policy_ref){ w->spec->policy, w->spec->index, rule->section, rule->index };
}

static void say(const struct warning *w, enum policy_warning_kind kind, const struct rule *rule)
{
	w->each(w->ctx, &(struct policy_warning){ kind, { ref_of(w, rule) }, 1 });
}

static void say_two(const struct warning *w, enum policy_warning_kind kind, const struct rule *rule,
		    const struct rule *other)
{
	w->each(w->ctx, &(struct policy_warning){ kind, { ref_of(w, rule), ref_of(w, other) }, 2 });
}

static bool is_egress(enum policy_section section)
{
	return section == POLICY_SECTION_EGRESS || section == POLICY_SECTION_EGRESS_DENY;
}

static bool is_deny(enum policy_section section)
{
	return section == POLICY_SECTION_INGRESS_DENY || section == POLICY_SECTION_EGRESS_DENY;
}

/* --- what covers what ------------------------------------------------------------------------- */

static bool may_compare(struct warning *w)
{
	if (!w->left)
		return false;
	w->left--;
	return true;
}

/* All values of @a are among those of @b. */
static bool values_within(const struct requirement *a, const struct requirement *b)
{
	for (size_t i = 0; i < a->value_count; i++) {
		bool found = false;

		for (size_t j = 0; j < b->value_count && !found; j++)
			found = str_eq(a->values[i], b->values[j]);
		if (!found)
			return false;
	}
	return true;
}

/* What has @narrow has @wide. */
static bool requirement_implies(const struct requirement *narrow, const struct requirement *wide)
{
	if (!str_eq(narrow->source, wide->source) || !str_eq(narrow->key, wide->key))
		return false;
	switch (wide->op) {
	case REQ_IN:
		return narrow->op == REQ_IN && values_within(narrow, wide);
	case REQ_EXISTS:
		return narrow->op == REQ_IN || narrow->op == REQ_EXISTS;
	case REQ_NOT_IN:
		return narrow->op == REQ_ABSENT ||
		       (narrow->op == REQ_NOT_IN && values_within(wide, narrow));
	default:
		return narrow->op == REQ_ABSENT;
	}
}

/* Whoever @narrow selects, @wide selects. */
static bool selector_within(struct warning *w, const struct selector *narrow,
			    const struct selector *wide)
{
	for (size_t i = 0; i < wide->count; i++) {
		bool found = false;

		for (size_t j = 0; j < narrow->count && !found; j++)
			found = may_compare(w) && requirement_implies(&narrow->requirements[j],
								      &wide->requirements[i]);
		if (!found)
			return false;
	}
	return true;
}

static bool prefix_within(const struct prefix *narrow, const struct prefix *wide)
{
	const struct prefix *p = narrow;
	uint8_t ip[16];

	for (int i = 0; i < 8; i++) {
		ip[i] = (uint8_t)(p->hi >> (56 - 8 * i));
		ip[8 + i] = (uint8_t)(p->lo >> (56 - 8 * i));
	}
	return narrow->bits >= wide->bits && prefix_contains(wide, ip);
}

/* What @wide leaves out is none of @narrow, or is left out there, too. */
static bool block_within(struct warning *w, const struct block *narrow, const struct block *wide)
{
	if (!prefix_within(&narrow->prefix, &wide->prefix))
		return false;
	for (size_t i = 0; i < wide->except_count; i++) {
		const struct prefix *except = &wide->except[i];
		bool left_out = !prefix_within(except, &narrow->prefix) &&
				!prefix_within(&narrow->prefix, except);

		for (size_t j = 0; j < narrow->except_count && !left_out; j++)
			left_out = may_compare(w) && prefix_within(except, &narrow->except[j]);
		if (!left_out)
			return false;
	}
	return true;
}

static bool is_everybody(const struct policy_set *set, const struct rule *rule)
{
	for (size_t i = 0; i < rule->selector_count && !rule->service_count; i++)
		if (!set_selector(set, rule->selectors[i])->count)
			return true;
	return rule->everybody;
}

static bool has_selector_for(struct warning *w, const struct rule *wide, uint32_t narrow)
{
	for (size_t i = 0; i < wide->selector_count; i++)
		if (may_compare(w) && selector_within(w, set_selector(w->set, narrow),
						      set_selector(w->set, wide->selectors[i])))
			return true;
	return false;
}

static bool has_block_for(struct warning *w, const struct rule *wide, const struct block *narrow)
{
	for (size_t i = 0; i < wide->own_blocks; i++)
		if (may_compare(w) && block_within(w, narrow, &wide->blocks[i]))
			return true;
	return false;
}

static bool has_name_for(struct warning *w, const struct rule *wide, struct str narrow)
{
	for (size_t i = 0; i < wide->name_count; i++)
		if (may_compare(w) && str_eq(wide->names[i], narrow))
			return true;
	return false;
}

/* Services and groups stand for what other objects say: only "everybody" is sure to cover them. */
static bool peers_within(struct warning *w, const struct rule *narrow, const struct rule *wide)
{
	if (narrow->nobody || wide->nobody)
		return false;
	if (is_everybody(w->set, wide))
		return true;
	if (is_everybody(w->set, narrow) || narrow->unresolved || narrow->service_count ||
	    narrow->group_count || wide->service_count)
		return false;
	for (size_t i = 0; i < narrow->selector_count; i++)
		if (!has_selector_for(w, wide, narrow->selectors[i]))
			return false;
	for (size_t i = 0; i < narrow->block_count; i++)
		if (!has_block_for(w, wide, &narrow->blocks[i]))
			return false;
	for (size_t i = 0; i < narrow->name_count; i++)
		if (!has_name_for(w, wide, narrow->names[i]))
			return false;
	return true;
}

static bool asks_proxy(const struct rule *rule)
{
	for (size_t i = 0; i < rule->port_count; i++)
		if (rule->ports[i].proxy.name.len || rule->ports[i].asks)
			return true;
	return false;
}

static bool port_within(const struct port *narrow, const struct port *wide)
{
	if (narrow->protocol != wide->protocol)
		return false;
	if (narrow->name.len || wide->name.len)
		return str_eq(narrow->name, wide->name) && narrow->named_last == wide->named_last;
	return narrow->first >= wide->first && narrow->last <= wide->last;
}

static bool ports_within(struct warning *w, const struct rule *narrow, const struct rule *wide)
{
	if (!wide->narrowed)
		return true;
	if (!narrow->narrowed || !narrow->port_count)
		return false;
	for (size_t i = 0; i < narrow->port_count; i++) {
		bool found = false;

		for (size_t j = 0; j < wide->port_count && !found; j++)
			found = may_compare(w) && port_within(&narrow->ports[i], &wide->ports[j]);
		if (!found)
			return false;
	}
	return true;
}

/* What @narrow matches, @wide matches. */
static bool rule_within(struct warning *w, const struct rule *narrow, const struct rule *wide)
{
	return may_compare(w) && peers_within(w, narrow, wide) && ports_within(w, narrow, wide);
}

/* And it has no effect beside it: none asks for a proxy, both for the same authentication. */
static bool is_covered(struct warning *w, const struct rule *rule, const struct rule *by)
{
	return !asks_proxy(rule) && !asks_proxy(by) &&
	       str_eq(rule->authentication, by->authentication) && rule_within(w, rule, by);
}

/* --- one rule --------------------------------------------------------------------------------- */

/* Only that it is a pod, of some namespace and cluster. */
static bool is_any_pod(const struct selector *s)
{
	for (size_t i = 0; i < s->count; i++)
		if (!str_eq(s->requirements[i].key, KEY_NAMESPACE) &&
		    !str_eq(s->requirements[i].key, KEY_CLUSTER))
			return false;
	return s->count > 0;
}

static bool has_every_peer(struct warning *w, const struct rule *rule)
{
	for (size_t i = 0; i < rule->selector_count && !rule->service_count; i++) {
		const struct selector *all = set_selector(w->set, rule->selectors[i]);

		for (size_t j = 0; j < rule->selector_count && w->left && is_any_pod(all); j++) {
			const struct selector *some = set_selector(w->set, rule->selectors[j]);
			if (!is_any_pod(some) && may_compare(w) && selector_within(w, some, all))
				return true;
		}
	}
	return false;
}

/* NetworkPolicy does not allow it. */
static bool excepts_all(const struct rule *rule)
{
	for (size_t i = 0; i < rule->own_blocks; i++)
		for (size_t j = 0; j < rule->blocks[i].except_count; j++)
			if (prefix_within(&rule->blocks[i].prefix, &rule->blocks[i].except[j]))
				return true;
	return false;
}

static void warn_rule(struct warning *w, const struct rule *rule, size_t rules)
{
	bool none = rule->no_peers && !rule->narrowed &&
		    set_policy(w->set, w->spec->policy)->kind != POLICY_KNP;

	if (rule->empty_peers)
		say(w, POLICY_WARN_EMPTY_PEERS, rule);
	if (rule->empty_ports)
		say(w, POLICY_WARN_EMPTY_PORTS, rule);
	if (rule->two_peers)
		say(w, POLICY_WARN_TWO_PEERS, rule);
	else if (has_every_peer(w, rule))
		say(w, POLICY_WARN_EVERY_PEER, rule);
	if (rule->narrowed && !rule->port_count)
		say(w, POLICY_WARN_NO_PORT, rule);
	if (excepts_all(rule))
		say(w, POLICY_WARN_EXCEPT, rule);
	if (none && rules > 1)
		say(w, POLICY_WARN_NOTHING, rule);
}

/* --- two rules -------------------------------------------------------------------------------- */

static bool is_peers_only(const struct warning *w, const struct rule *rule)
{
	return !rule->no_peers && !rule->nobody && !is_everybody(w->set, rule) && !rule->narrowed &&
	       !rule->empty_ports;
}

/* Everybody may be asked for names, and answer a ping: who writes that by itself means it. */
static bool is_ports_only(const struct rule *rule)
{
	bool egress = is_egress((enum policy_section)rule->section);

	for (size_t i = 0; i < rule->port_count; i++) {
		const struct port *p = &rule->ports[i];
		bool dns = egress && p->first == DNS_PORT && p->last == DNS_PORT;

		if (p->protocol != IPPROTO_ICMP && p->protocol != IPPROTO_ICMPV6 && !dns)
			return rule->no_peers && !rule->empty_peers;
	}
	return false;
}

/* Who has both in one item knows what two of them mean. */
static void warn_split(const struct warning *w, const struct rule *rules, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!rules[i].no_peers && rules[i].narrowed)
			return;
	for (size_t i = 0; i + 1 < n; i++) {
		const struct rule *one = &rules[i], *other = &rules[i + 1];

		if ((is_peers_only(w, one) && is_ports_only(other)) ||
		    (is_ports_only(one) && is_peers_only(w, other)))
			say_two(w, POLICY_WARN_SPLIT, one, other);
	}
}

/* A rule that lets pass all, or denies all, and makes others of its section pointless. */
static const struct rule *find_everything(struct warning *w, const struct rule *rules, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (rules[i].narrowed || !is_everybody(w->set, &rules[i]))
			continue;
		for (size_t j = 0; j < n && w->left; j++)
			if (i != j && is_covered(w, &rules[j], &rules[i]))
				return &rules[i];
	}
	return NULL;
}

static void warn_covered(struct warning *w, const struct rule *rules, size_t n)
{
	const struct rule *everything = find_everything(w, rules, n);

	if (everything && !everything->empty_peers)
		say(w, POLICY_WARN_EVERYTHING, everything);
	for (size_t i = 0; i < n; i++) {
		if (everything && is_covered(w, &rules[i], everything))
			continue;
		for (size_t j = 0; j < n && w->left; j++) {
			/* of two that match the same, the later one is told */
			if (i == j || !is_covered(w, &rules[i], &rules[j]) ||
			    (i < j && is_covered(w, &rules[j], &rules[i])))
				continue;
			say_two(w, POLICY_WARN_COVERED, &rules[i], &rules[j]);
			break;
		}
	}
}

static void warn_denied(struct warning *w, enum policy_section allow, enum policy_section deny)
{
	const struct spec *s = w->spec;

	for (size_t i = 0; i < s->rule_count[allow]; i++)
		for (size_t j = 0; j < s->rule_count[deny] && w->left; j++)
			if (rule_within(w, &s->rules[allow][i], &s->rules[deny][j])) {
				say_two(w, POLICY_WARN_DENIED, &s->rules[allow][i],
					&s->rules[deny][j]);
				break;
			}
}

/* --- one spec --------------------------------------------------------------------------------- */

static bool may_share_subjects(const struct policy_set *set, const struct spec *a,
			       const struct spec *b)
{
	return specs_can_meet(a, b) &&
	       !selectors_exclude(set_selector(set, a->subject), set_selector(set, b->subject));
}

/* Of @specs, indices, one may have a subject that @to has. */
static bool has_one_for(const struct policy_set *set, const struct list *specs,
			const struct spec *to)
{
	for (size_t i = 0; i < specs->count; i++)
		if (may_share_subjects(set, set_spec(set, ((const uint32_t *)specs->items)[i]), to))
			return true;
	return false;
}

static void warn_names(const struct warning *w)
{
	const struct spec *s = w->spec;

	for (size_t i = 0; i < s->rule_count[POLICY_SECTION_EGRESS]; i++) {
		const struct rule *rule = &s->rules[POLICY_SECTION_EGRESS][i];

		if (!rule->name_count)
			continue;
		if (!has_one_for(w->set, &w->set->showing, s))
			say(w, POLICY_WARN_NAMES, rule);
		return;
	}
}

static void warn_directions(const struct warning *w)
{
	static const struct {
		enum policy_section allow, deny;
	} sections[] = {
		[POLICY_INGRESS] = { POLICY_SECTION_INGRESS, POLICY_SECTION_INGRESS_DENY },
		[POLICY_EGRESS] = { POLICY_SECTION_EGRESS, POLICY_SECTION_EGRESS_DENY },
	};
	const struct spec *s = w->spec;

	for (size_t i = 0; i < ARRAY_LEN(sections); i++) {
		const struct rule whole = { .section = (uint8_t)sections[i].allow,
					    .index = POLICY_NO_RULE };

		if (s->untyped[i])
			say(w, POLICY_WARN_TYPES, &whole);
		if (s->idle_deny[i])
			say(w, POLICY_WARN_IDLE_DENY, &whole);
		/* who writes an empty rule means it */
		if (s->default_deny[i] && s->rule_count[sections[i].deny] &&
		    !s->rule_count[sections[i].allow] &&
		    !has_one_for(w->set, &w->set->allowing[i], s))
			say(w, POLICY_WARN_ONLY_DENIES, s->rules[sections[i].deny]);
	}
}

static void warn_spec(struct warning *w)
{
	const struct spec *s = w->spec;

	warn_directions(w);
	for (size_t k = 0; k < POLICY_SECTION_COUNT_; k++) {
		for (size_t i = 0; i < s->rule_count[k]; i++)
			warn_rule(w, &s->rules[k][i], s->rule_count[k]);
		warn_split(w, s->rules[k], s->rule_count[k]);
		warn_covered(w, s->rules[k], s->rule_count[k]);
	}
	warn_denied(w, POLICY_SECTION_INGRESS, POLICY_SECTION_INGRESS_DENY);
	warn_denied(w, POLICY_SECTION_EGRESS, POLICY_SECTION_EGRESS_DENY);
	warn_names(w);
}

void policy_set_warn(const struct policy_set *set, uint32_t policy,
		     void (*each)(void *ctx, const struct policy_warning *w), void *ctx)
{
	struct warning w = { .set = set, .left = COMPARED_MAX, .each = each, .ctx = ctx };

	for (size_t i = set_first_spec(set, policy); is_spec_of(set, i, policy); i++) {
		w.spec = set_spec(set, i);
		warn_spec(&w);
	}
}

bool policy_set_asks_labels(const struct policy_set *set, uint32_t policy)
{
	for (size_t i = set_first_spec(set, policy); is_spec_of(set, i, policy); i++) {
		const struct selector *s = set_selector(set, set_spec(set, i)->subject);

		if (!s->count || is_any_pod(s))
			return false;
	}
	return true;
}

/* --- words ------------------------------------------------------------------------------------ */

/* The others where they are other sentences. */
static const struct {
	const char *of_allow, *of_deny, *of_egress;
} words[] = {
	[POLICY_WARN_SPLIT] = {
		"peers and ports are two items, of which either one is enough: these peers pass on "
		"all ports, and anybody on these ports; one item with both asks for both",
		"peers and ports are two items, of which either one is enough: these peers are "
		"denied on all ports, and everybody on these ports; one item with both asks for "
		"both",
	},
	[POLICY_WARN_TWO_PEERS] = {
		"podSelector and namespaceSelector are two peers, of which either one is enough: "
		"pods with these labels in the policy's own namespace, and all pods of those "
		"namespaces; one peer with both asks for both",
	},
	[POLICY_WARN_EVERY_PEER] = {
		"a peer that asks for no labels of pods selects all of them there, so that "
		"narrower ones beside it add nothing",
	},
	[POLICY_WARN_EMPTY_PEERS] = {
		"an empty list of peers means anybody, not nobody",
	},
	[POLICY_WARN_EMPTY_PORTS] = {
		"an empty list of ports means all ports, not none",
	},
	[POLICY_WARN_NO_PORT] = {
		"toPorts or icmps name no port and no type, so that the rule allows nothing",
		"toPorts or icmps name no port and no type, so that the rule denies nothing",
	},
	[POLICY_WARN_EXCEPT] = {
		"an except takes in all of its cidr, of which nothing is left",
	},
	[POLICY_WARN_EVERYTHING] = {
		"it lets anybody pass on all ports, so that rules beside it add nothing",
		"it denies everybody on all ports, so that rules beside it add nothing",
	},
	[POLICY_WARN_NOTHING] = {
		"a rule without peers and ports allows nobody, and rules beside it deny by "
		"default without it; anybody are the entities [all]",
		"a rule without peers and ports denies nobody; everybody are the entities [all]",
	},
	[POLICY_WARN_COVERED] = {
		"the first adds nothing: the second allows all that it allows",
		"the first adds nothing: the second denies all that it denies",
	},
	[POLICY_WARN_DENIED] = {
		"the first has no effect: the second denies all that it allows",
	},
	[POLICY_WARN_TYPES] = {
		"policyTypes leaves out Ingress, for which there are rules: Kubernetes does not "
		"look at them, Cilium enforces them",
		.of_egress = "policyTypes leaves out Egress, for which there are rules: Kubernetes "
			     "does not look at them, Cilium enforces them",
	},
	[POLICY_WARN_IDLE_DENY] = {
		"enableDefaultDeny.ingress is true, which denies nothing without a rule for "
		"ingress; an empty one is enough, ingress: [{}]",
		.of_egress = "enableDefaultDeny.egress is true, which denies nothing without a rule "
			     "for egress; an empty one is enough, egress: [{}]",
	},
	[POLICY_WARN_ONLY_DENIES] = {
		"none of these policies allows these pods anything in that direction, so that all "
		"is denied by default; with enableDefaultDeny false only what the rules say is",
	},
	[POLICY_WARN_NAMES] = {
		"no rule for DNS (toPorts.rules.dns) of the same pods among these policies: Cilium "
		"learns a name's addresses only from answers that pass its proxy, so that toFQDNs "
		"matches none",
	},
};
_Static_assert(ARRAY_LEN(words) == POLICY_WARN_COUNT_, "a warning without words");

const char *policy_warning_words(const struct policy_warning *w)
{
	enum policy_section section = (enum policy_section)w->rules[0].section;

	if (is_deny(section) && words[w->kind].of_deny)
		return words[w->kind].of_deny;
	if (is_egress(section) && words[w->kind].of_egress)
		return words[w->kind].of_egress;
	return words[w->kind].of_allow;
}
