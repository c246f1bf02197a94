/* CiliumNetworkPolicy and CiliumClusterwideNetworkPolicy. */
#include "policy/inside.h"

struct owner {
	struct str namespace_; /* "": clusterwide */
	bool init, node;       /* the subject: pods whose labels are not known yet; nodes */
};

/* What a section's rules may have, and what it is. */
struct section {
	enum policy_section section;
	const char *key;
	bool ingress, deny;
};
static const struct section sections[] = {
	{ POLICY_SECTION_INGRESS, "ingress", true, false },
	{ POLICY_SECTION_INGRESS_DENY, "ingressDeny", true, true },
	{ POLICY_SECTION_EGRESS, "egress", false, false },
	{ POLICY_SECTION_EGRESS_DENY, "egressDeny", false, true },
};
_Static_assert(ARRAY_LEN(sections) == POLICY_SECTION_COUNT_, "a section without a reader");

/* --- peers -------------------------------------------------------------------------------- */

/* What a selector of peers means beyond its text: pods of the policy's own namespace, or of any for
 * a clusterwide policy, and of the local cluster, unless it says otherwise itself. One of reserved
 * labels stands alone. (Cilium, pkg/k8s/apis/cilium.io/utils.) */
static void complete_peer(struct reading *r, struct selector *s, const struct owner *owner)
{
	struct str k8s = STR("k8s"), any = STR("any");

	if (selector_has_key_prefix(s, STR("reserved"), STR("")))
		return;
	if (!selector_has_key(s, k8s, KEY_CLUSTER) && !selector_has_key(s, any, KEY_CLUSTER))
		selector_require(r, s, REQ_IN, k8s, KEY_CLUSTER, r->set->cluster);
	if (owner->init || selector_has_key(s, k8s, KEY_NAMESPACE) ||
	    selector_has_key(s, any, KEY_NAMESPACE))
		return;
	if (!owner->namespace_.len)
		selector_require(r, s, REQ_EXISTS, k8s, KEY_NAMESPACE, STR(""));
	else if (!selector_has_key_prefix(s, k8s, KEY_NAMESPACE_LABELS) &&
		 !selector_has_key_prefix(s, any, KEY_NAMESPACE_LABELS))
		selector_require(r, s, REQ_IN, k8s, KEY_NAMESPACE, owner->namespace_);
}

static void read_peers(struct reading *r, const json_t *list, const char *key,
		       const struct owner *owner, size_t room_for, struct rule *rule)
{
	size_t at = step(r, key);

	for (size_t i = 0; i < json_array_size(list) && r->code == ERR_OK; i++) {
		size_t below = step_to(r, i);
		struct selector *s = read_selector(r, json_array_get(list, i), STR(""), STR(""));

		if (s) {
			complete_peer(r, s, owner);
			rule_add_selector(r, rule, room_for, s);
		}
		back(r, below);
	}
	back(r, at);
}

/* A selector of one label. */
static void add_label(struct reading *r, struct rule *rule, size_t room_for, struct str source,
		      struct str key, struct str value)
{
	struct requirement requirements[1];
	struct selector s = { requirements, 0, 0 };

	selector_require(r, &s, value.len ? REQ_IN : REQ_EXISTS, source, key, value);
	/* interning copies the selector, not what it points to */
	struct requirement *own = room(r, sizeof *own);
	if (!own)
		return;
	*own = requirements[0];
	s.requirements = own;
	rule_add_selector(r, rule, room_for, &s);
}

static void add_everything(struct reading *r, struct rule *rule, size_t room_for)
{
	const struct selector all = { 0 };

	rule_add_selector(r, rule, room_for, &all);
}

enum { ENTITY_SELECTORS = 9 }; /* at most, of one entity */

static void read_entity(struct reading *r, struct str name, size_t room_for, struct rule *rule)
{
	static const char *const plain[] = { "host",        "init",   "ingress", "unmanaged",
					     "remote-node", "health", "none",    "kube-apiserver" };
	static const char *const world[] = { "world", "world-ipv4", "world-ipv6" };
	static const char *const cluster[] = { "host",   "remote-node", "init",          "ingress",
					       "health", "unmanaged",   "kube-apiserver" };
	struct str reserved = STR("reserved");

	for (size_t i = 0; i < ARRAY_LEN(plain); i++)
		if (str_is(name, plain[i])) {
			add_label(r, rule, room_for, reserved, str_of(plain[i]), STR(""));
			return;
		}
	if (str_is(name, "all")) {
		add_everything(r, rule, room_for);
	} else if (str_is(name, "world")) {
		for (size_t i = 0; i < ARRAY_LEN(world); i++)
			add_label(r, rule, room_for, reserved, str_of(world[i]), STR(""));
	} else if (str_is(name, "cluster")) {
		for (size_t i = 0; i < ARRAY_LEN(cluster); i++)
			add_label(r, rule, room_for, reserved, str_of(cluster[i]), STR(""));
		add_label(r, rule, room_for, STR("k8s"), KEY_CLUSTER, r->set->cluster);
	} else {
		bad(r,
		    "entity '%.*s': must be all, world, cluster, host, init, ingress, unmanaged, "
		    "remote-node, health, none or kube-apiserver",
		    (int)(name.len < 40 ? name.len : 40), name.p);
	}
}

static void read_entities(struct reading *r, const json_t *list, const char *key, size_t room_for,
			  struct rule *rule)
{
	size_t at = step(r, key);

	for (size_t i = 0; i < json_array_size(list) && r->code == ERR_OK; i++) {
		size_t below = step_to(r, i);
		read_entity(r, text_of(r, json_array_get(list, i)), room_for, rule);
		back(r, below);
	}
	back(r, at);
}

static void read_names(struct reading *r, const json_t *list, struct rule *rule)
{
	size_t n = json_array_size(list), at = step(r, "toFQDNs");
	struct str *names = room(r, n * sizeof *names);

	for (size_t i = 0; i < n && r->code == ERR_OK; i++) {
		const json_t *one = json_array_get(list, i);
		size_t below = step_to(r, i);

		check_dns(r, one);
		struct str name = member_text(r, one, "matchName");
		if (!name.p)
			name = member_text(r, one, "matchPattern");
		if (r->code == ERR_OK) {
			char *p = room(r, name.len);
			for (size_t j = 0; p && j < name.len; j++)
				p[j] = name.p[j] >= 'A' && name.p[j] <= 'Z'
					       ? (char)(name.p[j] + 'a' - 'A')
					       : name.p[j];
			if (p && name.len && p[name.len - 1] == '.')
				name.len--;
			if (p)
				names[i] = str_n(p, name.len);
		}
		back(r, below);
	}
	back(r, at);
	rule->names = names;
	rule->name_count = n;
	r->set->uses_names |= n > 0;
}

/* --- address blocks --------------------------------------------------------------------------- */

static struct prefix *read_except(struct reading *r, const json_t *list,
				  const struct prefix *within, size_t *ret_count)
{
	size_t n = json_array_size(list), at = step(r, "except");
	struct prefix *out = room(r, n * sizeof *out);

	for (size_t i = 0; i < n && r->code == ERR_OK; i++) {
		size_t below = step_to(r, i);
		uint8_t ip[16];

		out[i] = read_prefix(r, text_of(r, json_array_get(list, i)), ip);
		/* as the agent: where it begins, not whether it fits */
		if (within && r->code == ERR_OK && !prefix_contains(within, ip))
			bad(r, "it is not within cidr");
		back(r, below);
	}
	back(r, at);
	*ret_count = n;
	return out;
}

static void read_block_entry(struct reading *r, const json_t *entry, struct rule *rule)
{
	static const char *const keys[] = { "cidr", "cidrGroupRef", "cidrGroupSelector", "except",
					    NULL };

	if (!is_object(r, entry))
		return;
	only(r, entry, keys);
	struct str cidr = member_text(r, entry, "cidr");
	struct str group = member_text(r, entry, "cidrGroupRef");
	json_t *selector = member_object(r, entry, "cidrGroupSelector");
	json_t *except = member_array(r, entry, "except");

	if ((cidr.len > 0) + (group.len > 0) + (selector != NULL) != 1) {
		bad(r, "one of cidr, cidrGroupRef and cidrGroupSelector");
		return;
	}
	if (cidr.len) {
		struct block *b = &rule->blocks[rule->block_count++];
		uint8_t ip[16];

		b->prefix = read_prefix(r, cidr, ip);
		b->text = keep(r, cidr);
		b->except = read_except(r, except, &b->prefix, &b->except_count);
		return;
	}
	if (!is_subdomain(group))
		bad(r, "cidrGroupRef is no name of a group");
	struct group_ref *g = &rule->groups[rule->group_count++];
	g->name = keep(r, group.p ? group : STR(""));
	g->except = read_except(r, except, NULL, &g->except_count);
	if (selector) {
		size_t at = step(r, "cidrGroupSelector");
		g->selector =
			intern_selector(r, read_selector(r, selector, STR("cidrgroup"), STR("")));
		back(r, at);
	}
}

static void read_blocks(struct reading *r, const json_t *plain, const char *plain_key,
			const json_t *set, const char *set_key, struct rule *rule)
{
	size_t n = json_array_size(plain), m = json_array_size(set), at = step(r, plain_key);

	rule->blocks = room(r, (n + m) * sizeof *rule->blocks);
	rule->groups = room(r, m * sizeof *rule->groups);
	for (size_t i = 0; i < n && r->code == ERR_OK; i++) {
		size_t below = step_to(r, i);
		struct str cidr = text_of(r, json_array_get(plain, i));
		struct block *b = &rule->blocks[rule->block_count++];
		uint8_t ip[16];

		b->prefix = read_prefix(r, cidr, ip);
		b->text = keep(r, cidr);
		back(r, below);
	}
	back(r, at);
	at = step(r, set_key);
	for (size_t i = 0; i < m && r->code == ERR_OK; i++) {
		size_t below = step_to(r, i);
		read_block_entry(r, json_array_get(set, i), rule);
		back(r, below);
	}
	back(r, at);
}

/* --- services --------------------------------------------------------------------------------- */

static void read_service_ref(struct reading *r, const json_t *entry, struct service_ref *to)
{
	static const char *const keys[] = { "k8sService", "k8sServiceSelector", NULL };
	static const char *const by_name[] = { "serviceName", "namespace", NULL };
	static const char *const by_selector[] = { "selector", "namespace", NULL };

	if (!is_object(r, entry))
		return;
	only(r, entry, keys);
	json_t *name = member_object(r, entry, "k8sService");
	json_t *selector = member_object(r, entry, "k8sServiceSelector");

	only_in(r, entry, "k8sServiceSelector", by_selector);
	only_in(r, entry, "k8sService", by_name);
	if (selector) { /* where there are both, it wins */
		size_t at = step(r, "k8sServiceSelector");
		struct str ns = member_text(r, selector, "namespace");
		json_t *labels = member_object(r, selector, "selector");

		to->namespace_ = keep(r, ns.p ? ns : STR(""));
		if (!labels)
			bad(r, "selector is missing");
		else
			to->selector = read_selector(r, labels, STR(""), STR(""));
		back(r, at);
	} else if (name) {
		struct str service = member_text(r, name, "serviceName");
		struct str ns = member_text(r, name, "namespace");

		to->name = keep(r, service.p ? service : STR(""));
		to->namespace_ = keep(r, ns.p ? ns : STR(""));
	}
}

static void read_services(struct reading *r, const json_t *list, struct rule *rule)
{
	size_t n = json_array_size(list), at = step(r, "toServices");

	rule->services = room(r, n * sizeof *rule->services);
	for (size_t i = 0; i < n && r->code == ERR_OK; i++) {
		size_t below = step_to(r, i);
		read_service_ref(r, json_array_get(list, i),
				 &rule->services[rule->service_count++]);
		back(r, below);
	}
	back(r, at);
}

/* --- one rule --------------------------------------------------------------------------------- */

/* Members that say who the peer is; of these a rule may have one that is not empty. */
struct peer_lists {
	json_t *endpoints, *entities, *cidr, *cidr_set, *groups, *nodes, *services, *names;
};

static void check_one_kind(struct reading *r, const struct peer_lists *p, bool ingress)
{
	const struct {
		const json_t *list;
		const char *ingress, *egress;
	} kinds[] = {
		{ p->endpoints, "fromEndpoints", "toEndpoints" },
		{ p->entities, "fromEntities", "toEntities" },
		{ p->cidr, "fromCIDR", "toCIDR" },
		{ p->cidr_set, "fromCIDRSet", "toCIDRSet" },
		{ p->groups, "fromGroups", "toGroups" },
		{ p->nodes, "fromNodes", "toNodes" },
		{ p->services, "", "toServices" },
		{ p->names, "", "toFQDNs" },
	};
	const char *first = NULL;

	for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
		const char *name = ingress ? kinds[i].ingress : kinds[i].egress;

		if (!json_array_size(kinds[i].list))
			continue;
		if (first)
			bad(r, "%s and %s cannot be combined in one rule", first, name);
		first = name;
	}
}

static void check_rule_keys(struct reading *r, const json_t *json, const struct section *in)
{
	static const char *const ingress[] = {
		"fromEndpoints", "fromRequires",   "fromCIDR",  "fromCIDRSet",
		"fromEntities",  "fromGroups",     "fromNodes", "toPorts",
		"icmps",         "authentication", NULL
	};
	static const char *const egress[] = { "toEndpoints", "toRequires", "toCIDR",
					      "toCIDRSet",   "toEntities", "toGroups",
					      "toNodes",     "toServices", "toPorts",
					      "icmps",       "toFQDNs",    "authentication",
					      NULL };

	only(r, json, in->ingress ? ingress : egress);
	if (in->deny && json_object_get(json, "toFQDNs"))
		bad(r, "rules that deny take no toFQDNs");
	if (in->deny && json_object_get(json, "authentication"))
		bad(r, "rules that deny take no authentication");
}

static void check_group(struct reading *r, const json_t *group)
{
	static const char *const keys[] = { "aws", NULL };
	static const char *const of_aws[] = { "labels", "region", "securityGroupsIds",
					      "securityGroupsNames", NULL };

	only(r, group, keys);
	only_in(r, group, "aws", of_aws);
}

static void read_rest(struct reading *r, const json_t *json, const struct section *in,
		      struct rule *rule)
{
	static const char *const keys[] = { "mode", NULL };
	json_t *authentication = member_object(r, json, "authentication");

	only_in(r, json, "authentication", keys);
	if (json_array_size(member_array(r, json, in->ingress ? "fromRequires" : "toRequires")))
		bad(r, "%s is gone; use %s", in->ingress ? "fromRequires" : "toRequires",
		    in->ingress ? "fromEndpoints" : "toEndpoints");
	if (authentication) {
		struct str mode = member_text(r, authentication, "mode");
		if (!str_is(mode, "required") && !str_is(mode, "disabled") &&
		    !str_is(mode, "test-always-fail"))
			bad(r,
			    "authentication.mode must be disabled, required or test-always-fail");
		rule->authentication = keep(r, mode);
	}
}

static bool is_empty(const json_t *list)
{
	return list && !json_array_size(list);
}

static bool has_peers(const struct peer_lists *p)
{
	return json_array_size(p->endpoints) || json_array_size(p->entities) ||
	       json_array_size(p->cidr) || json_array_size(p->cidr_set) ||
	       json_array_size(p->groups) || json_array_size(p->services) ||
	       json_array_size(p->names);
}

static void read_rule(struct reading *r, const json_t *json, const struct section *in,
		      const struct owner *owner, struct rule *rule)
{
	bool ingress = in->ingress;
	const char *endpoints_key = ingress ? "fromEndpoints" : "toEndpoints";
	const char *entities_key = ingress ? "fromEntities" : "toEntities";
	const char *cidr_key = ingress ? "fromCIDR" : "toCIDR";
	const char *cidr_set_key = ingress ? "fromCIDRSet" : "toCIDRSet";
	const char *nodes_key = ingress ? "fromNodes" : "toNodes";

	if (!is_object(r, json))
		return;
	check_rule_keys(r, json, in);
	read_rest(r, json, in, rule);
	const struct peer_lists p = {
		.endpoints = member_array(r, json, endpoints_key),
		.entities = member_array(r, json, entities_key),
		.cidr = member_array(r, json, cidr_key),
		.cidr_set = member_array(r, json, cidr_set_key),
		.groups = member_array(r, json, ingress ? "fromGroups" : "toGroups"),
		.nodes = member_array(r, json, nodes_key),
		.services = ingress ? NULL : member_array(r, json, "toServices"),
		.names = ingress ? NULL : member_array(r, json, "toFQDNs"),
	};
	json_t *ports = member_array(r, json, "toPorts"), *icmps = member_array(r, json, "icmps");

	check_one_kind(r, &p, ingress);
	if (json_array_size(p.nodes))
		bad(r, "%s needs Cilium's enable-node-selector-labels, which is off by default",
		    nodes_key);
	if (json_array_size(ports) && json_array_size(icmps))
		bad(r, "icmps and toPorts cannot be combined in one rule");
	/* an empty list selects nobody, whatever else is there; absent, it says nothing */
	rule->nobody = is_empty(p.endpoints) || is_empty(p.nodes) || is_empty(p.entities) ||
		       is_empty(p.cidr) || is_empty(p.cidr_set);
	rule->unresolved = json_array_size(p.groups) > 0;
	rule->no_peers = !rule->nobody && !has_peers(&p);
	size_t room_for =
		json_array_size(p.endpoints) + json_array_size(p.entities) * ENTITY_SELECTORS;
	check_each(r, p.groups, ingress ? "fromGroups" : "toGroups", check_group);
	read_peers(r, p.endpoints, endpoints_key, owner, room_for, rule);
	read_entities(r, p.entities, entities_key, room_for, rule);
	read_blocks(r, p.cidr, cidr_key, p.cidr_set, cidr_set_key, rule);
	read_services(r, p.services, rule);
	read_names(r, p.names, rule);
	read_to_ports(r, ports,
		      (struct port_context){ ingress, in->deny, owner->node, owner->namespace_ },
		      rule);
	read_icmps(r, icmps, rule);
}

static void read_section(struct reading *r, const json_t *spec, const struct section *in,
			 const struct owner *owner, struct spec *to)
{
	json_t *list = member_array(r, spec, in->key);
	struct rule *rules = add_rules(r, to, in->section, json_array_size(list));
	size_t at = step(r, in->key);

	for (size_t i = 0; i < json_array_size(list) && r->code == ERR_OK; i++) {
		size_t below = step_to(r, i);
		read_rule(r, json_array_get(list, i), in, owner, &rules[i]);
		back(r, below);
	}
	back(r, at);
}

/* --- spec ---------------------------------------------------------------------------------------
 */

static struct selector *read_subject(struct reading *r, const json_t *json, struct owner *owner)
{
	json_t *endpoints = member_object(r, json, "endpointSelector");
	json_t *nodes = member_object(r, json, "nodeSelector");

	if (!endpoints == !nodes) {
		bad(r, "either endpointSelector or nodeSelector");
		return NULL;
	}
	if (nodes && owner->namespace_.len) {
		bad(r, "a nodeSelector is for CiliumClusterwideNetworkPolicy only");
		return NULL;
	}
	size_t at = step(r, nodes ? "nodeSelector" : "endpointSelector");
	struct selector *s = read_selector(r, nodes ? nodes : endpoints, STR(""), STR(""));

	owner->node = nodes != NULL;
	if (s && !nodes) {
		owner->init = selector_has_key(s, STR("reserved"), STR("init"));
		if (owner->init && owner->namespace_.len)
			bad(r, "reserved:init is for CiliumClusterwideNetworkPolicy only");
		if (owner->namespace_.len)
			selector_require(r, s, REQ_IN, STR("k8s"), KEY_NAMESPACE,
					 owner->namespace_);
	}
	back(r, at);
	return s;
}

static bool switched(struct reading *r, const json_t *json, const char *key, bool otherwise)
{
	json_t *v = json_object_get(json, key);

	if (!v || json_is_null(v))
		return otherwise;
	if (!json_is_boolean(v))
		bad(r, "enableDefaultDeny.%s must be true or false", key);
	return json_is_true(v);
}

static void check_label(struct reading *r, const json_t *label)
{
	static const char *const keys[] = { "key", "value", "source", "cidr", NULL };

	only(r, label, keys);
	if (!member_text(r, label, "key").len)
		bad(r, "key is missing");
	(void)member_text(r, label, "value");
	(void)member_text(r, label, "source");
}

/* What flows that match are to show: at most 32 characters, none of them for control. */
static void check_log(struct reading *r, const json_t *spec)
{
	enum { LOG_MAX = 32 };
	static const char *const keys[] = { "value", NULL };
	const json_t *log = member_object(r, spec, "log");
	size_t at = step(r, "log"), characters = 0;

	if (log) {
		only(r, log, keys);
		struct str value = member_text(r, log, "value");
		for (size_t i = 0; i < value.len; i++) {
			uint8_t c = (uint8_t)value.p[i];
			if (c < 0x20 || c == 0x7f)
				bad(r, "value has a control character");
			characters += (c & 0xc0) != 0x80;
		}
		if (characters > LOG_MAX)
			bad(r, "value: at most %d characters", LOG_MAX);
	}
	back(r, at);
}

static void read_spec(struct reading *r, const json_t *json, struct owner owner, uint32_t policy,
		      int32_t index)
{
	static const char *const keys[] = { "endpointSelector",
					    "nodeSelector",
					    "ingress",
					    "ingressDeny",
					    "egress",
					    "egressDeny",
					    "enableDefaultDeny",
					    "labels",
					    "description",
					    "log",
					    NULL };
	static const char *const directions[] = { "ingress", "egress", NULL };

	only(r, json, keys);
	struct selector *subject = read_subject(r, json, &owner);
	json_t *deny = member_object(r, json, "enableDefaultDeny");
	bool present = false;
	size_t rules = 0;

	if (!subject)
		return;
	for (size_t i = 0; i < ARRAY_LEN(sections); i++) {
		const json_t *list = member_array(r, json, sections[i].key);
		present |= list != NULL;
		rules += json_array_size(list);
	}
	if (!present)
		bad(r, "at least one of ingress, ingressDeny, egress and egressDeny");
	if (present && !rules)
		bad(r, "at least one rule of ingress, ingressDeny, egress or egressDeny");
	check_each(r, member_array(r, json, "labels"), "labels", check_label);
	(void)member_text(r, json, "description");
	check_log(r, json);
	only_in(r, json, "enableDefaultDeny", directions);
	uint32_t id = intern_selector(r, subject);
	struct spec *spec = add_spec(r, policy, index);
	if (!spec)
		return;
	spec->subject = id;
	spec->node = owner.node;
	for (size_t i = 0; i < ARRAY_LEN(sections); i++)
		read_section(r, json, &sections[i], &owner, spec);
	bool in = spec->rule_count[POLICY_SECTION_INGRESS] ||
		  spec->rule_count[POLICY_SECTION_INGRESS_DENY];
	bool out = spec->rule_count[POLICY_SECTION_EGRESS] ||
		   spec->rule_count[POLICY_SECTION_EGRESS_DENY];
	/* without rules for a direction there is nothing to switch on */
	spec->applies[POLICY_INGRESS] = in;
	spec->applies[POLICY_EGRESS] = out;
	spec->default_deny[POLICY_INGRESS] = switched(r, deny, "ingress", true) && in;
	spec->default_deny[POLICY_EGRESS] = switched(r, deny, "egress", true) && out;
	spec->idle_deny[POLICY_INGRESS] = switched(r, deny, "ingress", false) && !in;
	spec->idle_deny[POLICY_EGRESS] = switched(r, deny, "egress", false) && !out;
}

/* The resource definition has no field that may be null: an API server refuses "toPorts:" with nothing
 * behind it, which does not mean all ports. */
static void check_nulls(struct reading *r, const json_t *json)
{
	const char *key;
	json_t *value;
	size_t i;

	if (json_is_null(json))
		bad(r, "it is null: leave it out, or say what it is");
	/* jansson's iterators take what they do not change without const */
	json_object_foreach((json_t *)(uintptr_t)json, key, value)
	{
		size_t at = step(r, key);
		check_nulls(r, value);
		back(r, at);
	}
	json_array_foreach(json, i, value)
	{
		size_t at = step_to(r, i);
		check_nulls(r, value);
		back(r, at);
	}
}

static void check_nulls_in(struct reading *r, const json_t *object, const char *key)
{
	const json_t *value = json_object_get(object, key);
	size_t at = step(r, key);

	if (value && !r->served)
		check_nulls(r, value);
	back(r, at);
}

void read_cilium_policy(struct reading *r, const json_t *object, uint32_t policy)
{
	static const char *const keys[] = { "apiVersion", "kind",   "metadata", "spec",
					    "specs",      "status", NULL };
	struct owner owner = { .namespace_ = set_policy(r->set, policy)->namespace_ };

	only(r, object, keys);
	check_nulls_in(r, object, "spec");
	check_nulls_in(r, object, "specs");
	json_t *spec = member_object(r, object, "spec"), *specs = member_array(r, object, "specs");
	if (!spec && !specs) {
		bad(r, "neither spec nor specs");
		return;
	}
	if (spec) {
		size_t at = step(r, "spec");
		read_spec(r, spec, owner, policy, POLICY_SPEC);
		back(r, at);
	}
	size_t at = step(r, "specs");
	for (size_t i = 0; i < json_array_size(specs) && r->code == ERR_OK; i++) {
		size_t below = step_to(r, i);
		if (is_object(r, json_array_get(specs, i)))
			read_spec(r, json_array_get(specs, i), owner, policy, (int32_t)i);
		back(r, below);
	}
	back(r, at);
}
