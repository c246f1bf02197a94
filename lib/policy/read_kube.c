/* NetworkPolicy. What an API server gave is read as Cilium's agent reads it; what a person wrote is
 * held to what the API server asks for, too. */
#include "policy/inside.h"

/* "Any pod, node or address": what a rule without peers means here. */
static void add_everybody(struct reading *r, struct rule *rule)
{
	const struct selector all = { 0 };

	rule_add_selector(r, rule, 1, &all);
}

static void read_block(struct reading *r, const json_t *json, struct rule *rule)
{
	static const char *const keys[] = { "cidr", "except", NULL };
	size_t at = step(r, "ipBlock");
	only(r, json, keys);
	struct str cidr = member_text(r, json, "cidr");
	json_t *except = member_array(r, json, "except");
	size_t n = json_array_size(except);
	struct prefix *list = room(r, n * sizeof *list);
	struct block *b = &rule->blocks[rule->block_count++];
	uint8_t ip[16];

	size_t into = step(r, "cidr");
	if (cidr.len)
		b->prefix = read_prefix(r, cidr, ip);
	else
		bad(r, "it is missing");
	back(r, into);
	for (size_t i = 0; i < n && r->code == ERR_OK; i++) {
		size_t down = step(r, "except"), below = step_to(r, i);

		(void)below;
		list[i] = read_prefix(r, text_of(r, json_array_get(except, i)), ip);
		if (r->code == ERR_OK && !prefix_contains(&b->prefix, ip))
			bad(r, "it is not within cidr");
		if (r->code == ERR_OK && !r->served && list[i].bits <= b->prefix.bits)
			bad(r, "it leaves nothing of cidr");
		back(r, down);
	}
	b->except = list;
	b->except_count = n;
	back(r, at);
}

/* A label of it without a value is as good as none (Cilium, pkg/k8s, isPodSelectorSelectingCluster). */
static bool names_cluster(const struct selector *pods)
{
	for (size_t i = 0; i < pods->count; i++) {
		const struct requirement *q = &pods->requirements[i];

		if (str_eq(q->key, KEY_CLUSTER) && (i >= pods->labels || q->values[0].len))
			return true;
	}
	return false;
}

/* Pods, by their labels and those of their namespace: of the policy's own where the peer does not
 * select namespaces; of the local cluster unless the labels name another. */
static void read_pods(struct reading *r, const json_t *pods, const json_t *namespaces,
		      struct str own, size_t room_for, struct rule *rule)
{
	struct selector *p = NULL, *n = NULL;
	struct str k8s = STR("k8s");
	size_t at;

	at = step(r, "podSelector");
	if (pods)
		p = read_selector(r, pods, k8s, STR(""));
	back(r, at);
	at = step(r, "namespaceSelector");
	if (namespaces)
		n = read_selector(r, namespaces, k8s, KEY_NAMESPACE_LABELS);
	back(r, at);
	if (r->code != ERR_OK)
		return;
	struct selector both = { 0 };
	size_t count = (p ? p->count : 0) + (n ? n->count : 0);
	both.requirements = room(r, (count + 3) * sizeof *both.requirements);
	if (!both.requirements)
		return;
	for (size_t i = 0; p && i < p->count; i++)
		both.requirements[both.count++] = p->requirements[i];
	both.labels = p ? p->labels : 0; /* what they say of these two gives way */
	for (size_t i = 0; n && i < n->count; i++)
		both.requirements[both.count++] = n->requirements[i];
	if (!n)
		selector_require(r, &both, REQ_IN, k8s, KEY_NAMESPACE, own);
	else if (!n->count)
		selector_require(r, &both, REQ_EXISTS, k8s, KEY_NAMESPACE, STR(""));
	if (!p || !names_cluster(p))
		selector_require(r, &both, REQ_IN, k8s, KEY_CLUSTER, r->set->cluster);
	rule_add_selector(r, rule, room_for, &both);
}

static void read_peer(struct reading *r, const json_t *json, struct str own, size_t room_for,
		      struct rule *rule)
{
	static const char *const keys[] = { "podSelector", "namespaceSelector", "ipBlock", NULL };

	if (!is_object(r, json))
		return;
	only(r, json, keys);
	json_t *block = member_object(r, json, "ipBlock");
	json_t *pods = member_object(r, json, "podSelector");
	json_t *namespaces = member_object(r, json, "namespaceSelector");

	if (block && (pods || namespaces))
		bad(r, "ipBlock stands alone");
	else if (block)
		read_block(r, block, rule);
	else if (pods || namespaces)
		read_pods(r, pods, namespaces, own, room_for, rule);
	else
		bad(r, "a peer without podSelector, namespaceSelector or ipBlock");
}

static bool asks_labels(const json_t *selector)
{
	return json_object_size(json_object_get(selector, "matchLabels")) ||
	       json_array_size(json_object_get(selector, "matchExpressions"));
}

/* Labels of pods, and namespaces, each a peer of its own, and no other peer. */
static bool is_two_peers(const json_t *peers)
{
	const json_t *one = json_array_get(peers, 0), *other = json_array_get(peers, 1);

	if (json_array_size(peers) != 2)
		return false;
	if (json_object_get(one, "namespaceSelector")) {
		const json_t *swapped = one;

		one = other;
		other = swapped;
	}
	return json_object_size(one) == 1 && json_object_size(other) == 1 &&
	       asks_labels(json_object_get(one, "podSelector")) &&
	       json_object_get(other, "namespaceSelector");
}

static void read_rule(struct reading *r, const json_t *json, const char *peers_key, struct str own,
		      struct rule *rule)
{
	const char *const keys[] = { peers_key, "ports", NULL };

	if (!is_object(r, json))
		return;
	only(r, json, keys);
	json_t *peers = member_array(r, json, peers_key);
	size_t n = json_array_size(peers), at = step(r, peers_key);

	rule->blocks = room(r, n * sizeof *rule->blocks);
	if (!n)
		add_everybody(r, rule);
	for (size_t i = 0; i < n && r->code == ERR_OK; i++) {
		size_t below = step_to(r, i);
		read_peer(r, json_array_get(peers, i), own, n, rule);
		back(r, below);
	}
	back(r, at);
	json_t *ports = member_array(r, json, "ports");
	read_kube_ports(r, ports, rule);
	rule->no_peers = !n;
	rule->empty_peers = !n && json_object_get(json, peers_key);
	rule->empty_ports = !json_array_size(ports) && json_object_get(json, "ports");
	rule->two_peers = is_two_peers(peers);
	rule->any_address = r->set->kubernetes;
	for (size_t i = 0; i < rule->port_count; i++)
		rule->ports[i].of_peer = r->set->kubernetes;
}

static void read_section(struct reading *r, const json_t *spec, enum policy_section section,
			 const char *key, const char *peers_key, struct str own, struct spec *to)
{
	json_t *list = member_array(r, spec, key);
	struct rule *rules = add_rules(r, to, section, json_array_size(list));
	size_t at = step(r, key);

	for (size_t i = 0; i < json_array_size(list) && r->code == ERR_OK; i++) {
		size_t below = step_to(r, i);
		read_rule(r, json_array_get(list, i), peers_key, own, &rules[i]);
		back(r, below);
	}
	back(r, at);
}

/* Without policyTypes: ingress, and egress where there are rules for it (the API server's default).
 */
static void read_types(struct reading *r, const json_t *json, struct spec *spec)
{
	json_t *types = member_array(r, json, "policyTypes");
	bool in = !json_array_size(types), out = false;

	for (size_t i = 0; i < json_array_size(types) && r->code == ERR_OK; i++) {
		struct str type = text_of(r, json_array_get(types, i));

		if (str_is(type, "Ingress"))
			in = true;
		else if (str_is(type, "Egress"))
			out = true;
		else
			bad(r, "policyTypes[%zu] '%.*s': must be Ingress or Egress", i,
			    (int)(type.len < 40 ? type.len : 40), type.p);
	}
	spec->untyped[POLICY_INGRESS] = !in && spec->rule_count[POLICY_SECTION_INGRESS];
	spec->untyped[POLICY_EGRESS] =
		json_array_size(types) && !out && spec->rule_count[POLICY_SECTION_EGRESS];
	if (!r->set->kubernetes) { /* Cilium enforces rules outside policyTypes as well */
		in |= spec->rule_count[POLICY_SECTION_INGRESS] > 0;
		out |= spec->rule_count[POLICY_SECTION_EGRESS] > 0;
	} else if (!json_array_size(types)) {
		out = spec->rule_count[POLICY_SECTION_EGRESS] > 0;
	}
	spec->applies[POLICY_INGRESS] = spec->default_deny[POLICY_INGRESS] = in;
	spec->applies[POLICY_EGRESS] = spec->default_deny[POLICY_EGRESS] = out;
}

void read_network_policy(struct reading *r, const json_t *object, uint32_t policy)
{
	static const char *const keys[] = {
		"apiVersion", "kind", "metadata", "spec", "status", NULL
	};
	static const char *const of_spec[] = { "podSelector", "ingress", "egress", "policyTypes",
					       NULL };
	struct str own = set_policy(r->set, policy)->namespace_;
	only(r, object, keys);
	json_t *json = member_object(r, object, "spec"); /* without one: all pods, and no rules */
	size_t at = step(r, "spec");

	only(r, json, of_spec);
	json_t *pods = member_object(r, json, "podSelector");
	struct selector *subject = NULL;
	struct selector everyone = { .requirements = room(r, 3 * sizeof *everyone.requirements) };
	if (pods) {
		size_t below = step(r, "podSelector");
		subject = read_selector(r, pods, STR("k8s"), STR(""));
		back(r, below);
	} else {
		subject = &everyone;
	}
	if (!subject || r->code != ERR_OK)
		return;
	selector_require(r, subject, REQ_IN, STR("k8s"), KEY_NAMESPACE, own);
	uint32_t id = intern_selector(r, subject);
	struct spec *spec = add_spec(r, policy, POLICY_SPEC);
	if (!spec)
		return;
	spec->subject = id;
	read_section(r, json, POLICY_SECTION_INGRESS, "ingress", "from", own, spec);
	read_section(r, json, POLICY_SECTION_EGRESS, "egress", "to", own, spec);
	read_types(r, json, spec);
	back(r, at);
}
