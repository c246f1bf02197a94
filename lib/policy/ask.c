/* Ends against selectors, flows against rules. Nothing here allocates or waits. */
#include "policy/inside.h"

static const char *const verdict_names[] = {
	[POLICY_NOT_ENFORCED] = "n/a",
	[POLICY_NOT_SELECTED] = "allowed:no-policy",
	[POLICY_ALLOWED] = "allowed:rule",
	[POLICY_DEFAULT_ALLOWED] = "allowed:default-allow",
	[POLICY_LOCALHOST] = "allowed:localhost",
	[POLICY_DENIED] = "denied:explicit",
	[POLICY_DEFAULT_DENIED] = "denied:default",
	[POLICY_BROKEN] = "error",
};
_Static_assert(ARRAY_LEN(verdict_names) == POLICY_VERDICT_COUNT_, "a verdict without a name");

const char *policy_verdict_name(enum policy_verdict verdict)
{
	return (unsigned)verdict < POLICY_VERDICT_COUNT_ ? verdict_names[verdict] : "";
}

const char *policy_clash_words(enum policy_clash clash)
{
	static const char *const words[] = {
		[POLICY_CLASH_NONE] = "",
		[POLICY_CLASH_PROXY] = "rules ask for different proxies",
		[POLICY_CLASH_LISTENER] = "rules ask for different listeners of one priority",
		[POLICY_CLASH_TERMINATING] = "rules ask for different secrets of terminatingTLS",
		[POLICY_CLASH_ORIGINATING] = "rules ask for different secrets of originatingTLS",
		[POLICY_CLASH_NAMES] =
			"rules ask for serverNames and for rules of a proxy, without "
			"terminatingTLS",
		[POLICY_CLASH_AUTHENTICATION] = "rules ask for different authentication",
	};

	_Static_assert(ARRAY_LEN(words) == POLICY_CLASH_COUNT_, "a clash without words");
	return (unsigned)clash < POLICY_CLASH_COUNT_ ? words[clash] : "";
}

bool policy_verdict_denies(enum policy_verdict verdict)
{
	return verdict == POLICY_DENIED || verdict == POLICY_DEFAULT_DENIED;
}

/* --- rows ------------------------------------------------------------------------------------- */

enum { LABELS_ROOM = POLICY_LABELS_MAX + 128 };

struct labels {
	struct label list[LABELS_ROOM];
	size_t count;
	bool only_name; /* of the namespace */
	bool is_cut;    /* there are more */
};

static void put(struct labels *l, struct label one)
{
	if (l->count < LABELS_ROOM)
		l->list[l->count++] = one;
	else
		l->is_cut = true;
}

static const struct label *label_of(const struct labels *l, struct str source, struct str key)
{
	for (size_t i = 0; i < l->count; i++)
		if (str_eq(l->list[i].key, key) && str_eq(l->list[i].source, source))
			return &l->list[i];
	return NULL;
}

static bool has_reserved(const struct labels *l, const char *key)
{
	return label_of(l, STR("reserved"), str_of(key)) != NULL;
}

static bool is_world(const struct labels *l)
{
	return has_reserved(l, "world") || has_reserved(l, "world-ipv4") ||
	       has_reserved(l, "world-ipv6");
}

static bool has_namespace_labels(const struct labels *l)
{
	for (size_t i = 0; i < l->count; i++)
		if (str_has_prefix(l->list[i].key, KEY_NAMESPACE_LABELS))
			return true;
	return false;
}

static struct label plain_label(struct str key, struct str value)
{
	return (struct label){ STR("k8s"), key, value, label_hash(key), label_hash(value) };
}

/* What Kubernetes knows of a pod and its own labels do not say. @return its namespace, "" if it is
 * no pod. */
static struct str complete_pod(const struct policy_set *set, const struct policy_end *end,
			       struct labels *l)
{
	const struct label *own = label_of(l, STR("k8s"), KEY_NAMESPACE);
	struct str ns = own ? own->value : end->namespace_;
	struct str cluster = end->cluster;
	uint32_t at;

	if (!ns.len)
		return ns;
	if (!own)
		put(l, plain_label(KEY_NAMESPACE, ns));
	if (!cluster.len || str_is(cluster, "default"))
		cluster = set->cluster;
	if (!label_of(l, STR("k8s"), KEY_CLUSTER))
		put(l, plain_label(KEY_CLUSTER, cluster));
	if (!has_namespace_labels(l) && object_find(set, "Namespace", STR(""), ns, &at)) {
		const struct namespace_entry *n =
			(struct namespace_entry *)set->namespaces.items + at;

		for (size_t i = 0; i < n->label_count; i++)
			put(l, n->labels[i]);
	}
	/* the one label that the API server gives every namespace (since 1.22) */
	if (!has_namespace_labels(l)) {
		put(l, plain_label(KEY_NAMESPACE_NAME, ns));
		l->only_name = !object_find(set, "Namespace", STR(""), ns, &at);
	}
	return ns;
}

/* Bits of the longest block of the group that the address is in, and one more; 0: it is in none. */
static unsigned group_depth(const struct group *g, const uint8_t ip[16])
{
	unsigned depth = 0;

	for (size_t i = 0; i < g->prefix_count; i++)
		if (g->prefixes[i].bits >= depth && prefix_contains(&g->prefixes[i], ip))
			depth = g->prefixes[i].bits + 1u;
	return depth;
}

/* An address has the labels of all groups it is in; where they give one key several values, that of the
 * longest block (Cilium, pkg/ipcache: labels of a block are those of the blocks around it, too). */
static void add_group_labels(const struct policy_set *set, const uint8_t ip[16], struct labels *l)
{
	unsigned depths[LABELS_ROOM];
	size_t first = l->count;

	for (size_t i = 0; i < set->groups.count; i++) {
		const struct group *g = (struct group *)set->groups.items + i;
		unsigned depth = group_depth(g, ip);

		for (size_t j = 0; depth && j < g->label_count; j++) {
			size_t at = first;

			while (at < l->count && !str_eq(l->list[at].key, g->labels[j].key))
				at++;
			if (at < l->count && depths[at] >= depth)
				continue;
			if (at == l->count)
				put(l, g->labels[j]);
			else
				l->list[at] = g->labels[j];
			if (at < LABELS_ROOM)
				depths[at] = depth;
		}
	}
}

bool policy_row_needs_ip(const struct policy_set *set, const uint8_t ip[16])
{
	for (size_t i = 0; i < set->groups.count; i++) {
		const struct group *g = (struct group *)set->groups.items + i;

		for (size_t j = 0; j < g->prefix_count; j++)
			if (prefix_contains(&g->prefixes[j], ip))
				return true;
	}
	return false;
}

static bool is_enforced(const struct policy_set *set, const struct labels *l, bool pod)
{
	const struct label *cluster = label_of(l, STR("k8s"), KEY_CLUSTER);

	if (has_reserved(l, "host"))
		return set->host_firewall;
	if (has_reserved(l, "health") || has_reserved(l, "ingress") || has_reserved(l, "init"))
		return true;
	return pod && cluster && str_eq(cluster->value, set->cluster);
}

size_t policy_row_bytes(const struct policy_set *set)
{
	return sizeof(struct policy_row) + (set->selector_words + set->spec_words) * 8;
}

static void set_bit(uint64_t *bits, size_t i)
{
	bits[i / 64] |= UINT64_C(1) << (i % 64);
}

static bool is_doubted(const struct policy_set *set, const struct policy_row *row)
{
	const uint32_t *doubts = set->doubts.items;

	if (set->unsure)
		return true;
	for (size_t i = 0; i < set->doubts.count; i++)
		if (row_has_selector(row, doubts[i]))
			return true;
	return false;
}

bool policy_row_has_conflict(const struct policy_set *set, const struct policy_row *row, size_t i)
{
	const struct conflict *c = set_conflict(set, i);

	if (!row_has_spec(set, row, c->specs[0]) || !row_has_spec(set, row, c->specs[1]))
		return false;
	for (size_t j = 0; j < c->settled_count; j++)
		if (row_has_spec(set, row, c->settled_by[j]))
			return false;
	return true;
}

static void select_specs(const struct policy_set *set, struct policy_row *row)
{
	bool host = row->flags & ROW_HOST;

	for (size_t i = 0; i < set->specs.count; i++) {
		const struct spec *s = set_spec(set, i);

		if (s->node != host)
			continue;
		if (host ? selector_matches(set_selector(set, s->subject), set->node_labels,
					    set->node_label_count)
			 : row_has_selector(row, s->subject))
			set_bit(row->bits + set->selector_words, i);
	}
	for (size_t i = 0; i < set->conflicts.count; i++)
		if (policy_row_has_conflict(set, row, i))
			row->flags |= ROW_BROKEN;
}

/* All labels of an end. @return its namespace, "" if it is no pod. */
static struct str labels_of_end(const struct policy_set *set, const struct policy_end *end,
				struct labels *l)
{
	l->count = 0;
	l->only_name = false;
	l->is_cut = end->label_count > POLICY_LABELS_MAX;
	for (size_t i = 0; i < end->label_count && i < POLICY_LABELS_MAX; i++)
		put(l, label_read(end->labels[i]));
	struct str ns = complete_pod(set, end, l);
	if (!l->count) /* nobody knows it */
		put(l, label_read(STR("reserved:world")));
	if (end->ip && is_world(l))
		add_group_labels(set, end->ip, l);
	return ns;
}

static struct str own_namespace(const struct labels *l)
{
	const struct label *own = label_of(l, STR("k8s"), KEY_NAMESPACE);

	return own ? own->value : STR("");
}

/* Selectors of one group (struct selector_group); those of other namespaces cannot match. */
static void match_group(const struct policy_set *set, uint32_t group, const struct labels *l,
			struct policy_row *row)
{
	const struct selector_group *g = &set->groups_of[group];

	for (uint32_t i = 0; i < g->count; i++) {
		uint32_t id = set->by_namespace[g->first + i];
		if (selector_matches(set_selector(set, id), l->list, l->count))
			set_bit(row->bits, id);
	}
}

void policy_row_fill(const struct policy_set *set, const struct policy_end *end,
		     struct policy_row *row)
{
	struct labels l;
	uint32_t at;

	memset(row, 0, policy_row_bytes(set));
	struct str ns = labels_of_end(set, end, &l);
	if (is_world(&l))
		row->flags |= ROW_WORLD;
	if (has_reserved(&l, "host"))
		row->flags |= ROW_HOST;
	if (has_reserved(&l, "host") || has_reserved(&l, "remote-node"))
		row->flags |= ROW_NODE;
	if (has_reserved(&l, "init"))
		row->flags |= ROW_INIT;
	if (ns.len)
		row->flags |= ROW_POD;
	if (l.only_name)
		row->flags |= ROW_NAMELESS;
	if (l.is_cut)
		row->flags |= ROW_CUT;
	uint32_t group;
	match_group(set, 0, &l, row);
	if (own_namespace(&l).len && map_get(set->group_ids, own_namespace(&l), &group))
		match_group(set, group, &l, row);
	if (ns.len && object_find(set, "Pod", ns, end->pod, &at))
		row->ports = (struct pod_ports *)set->pods.items + at;
	if (!is_enforced(set, &l, ns.len > 0))
		return;
	row->flags |= ROW_ENFORCED;
	if (is_doubted(set, row))
		row->flags |= ROW_UNSURE;
	select_specs(set, row);
}

static int compare_labels(const void *pa, const void *pb)
{
	const struct label *a = pa, *b = pb;
	int c = str_cmp(a->source, b->source);

	if (c)
		return c;
	/* as texts, where '=' comes after the key: "app.x=1" is before "app=1" */
	size_t n = a->key.len < b->key.len ? a->key.len : b->key.len;
	c = memcmp(a->key.p, b->key.p, n);
	if (c || a->key.len == b->key.len)
		return c;
	return a->key.len < b->key.len ? '=' - b->key.p[n] : a->key.p[n] - '=';
}

void policy_end_labels_put(const struct policy_set *set, const struct policy_end *end,
			   struct buf *out)
{
	struct labels l;

	(void)labels_of_end(set, end, &l);
	qsort(l.list, l.count, sizeof *l.list, compare_labels);
	for (size_t i = 0; i < l.count; i++) {
		if (i)
			buf_char(out, ',');
		buf_printf(out, "%.*s:%.*s", STR_FMT(l.list[i].source), STR_FMT(l.list[i].key));
		if (l.list[i].value.len)
			buf_printf(out, "=%.*s", STR_FMT(l.list[i].value));
	}
}

void policy_row_count_selected(const struct policy_set *set, const struct policy_row *row,
			       size_t *counts)
{
	uint32_t last = UINT32_MAX; /* specs of one policy are neighbours */

	for (size_t i = 0; i < set->specs.count; i++)
		if (row_has_spec(set, row, i) && set_spec(set, i)->policy != last) {
			last = set_spec(set, i)->policy;
			counts[last]++;
		}
}

/* --- peers ------------------------------------------------------------------------------------ */

bool block_has(const struct block *b, const uint8_t ip[16])
{
	if (!prefix_contains(&b->prefix, ip))
		return false;
	for (size_t i = 0; i < b->except_count; i++)
		if (prefix_contains(&b->except[i], ip))
			return false;
	return true;
}

static char lower_char(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c + 'a' - 'A') : c;
}

/* Characters that a star stands for: those of one label of a DNS name. */
static bool is_name_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
}

/* @pattern with stars against @name (any case), from here to the end. Stars stand for characters
 * of one label; one star to go back to is enough, for a star before a dot cannot reach past it. */
static bool name_rest_matches(struct str pattern, struct str name)
{
	size_t p = 0, n = 0, star = SIZE_MAX, from = 0;

	while (n < name.len || p < pattern.len) {
		char c = n < name.len ? lower_char(name.p[n]) : 0;

		if (p < pattern.len && pattern.p[p] == '*') {
			star = p++;
			from = n;
		} else if (p < pattern.len && n < name.len && pattern.p[p] == c) {
			p++;
			n++;
		} else if (star != SIZE_MAX && from < name.len &&
			   is_name_char(lower_char(name.p[from]))) {
			p = star + 1;
			n = ++from;
		} else {
			return false;
		}
	}
	return true;
}

/* Cilium, pkg/fqdn/matchpattern: stars alone are any name; two or more and a dot at the front are
 * one label or more; any other star is part of one label. */
bool name_matches(struct str pattern, struct str name)
{
	size_t stars = 0;

	if (name.len && name.p[name.len - 1] == '.')
		name.len--;
	while (stars < pattern.len && pattern.p[stars] == '*')
		stars++;
	if (stars && stars == pattern.len)
		return name.len > 0;
	if (stars < 2 || pattern.p[stars] != '.')
		return name_rest_matches(pattern, name);
	pattern = str_from(pattern, stars + 1);
	for (size_t dot = 1; dot < name.len; dot++)
		if (name.p[dot] == '.' && name_rest_matches(pattern, str_from(name, dot + 1)))
			return true;
	return false;
}

static bool world_matches(const struct rule *rule, const struct policy_peer *peer)
{
	for (size_t i = 0; i < rule->block_count; i++)
		for (size_t j = 0; j < peer->ip_count; j++)
			if (block_has(&rule->blocks[i], peer->ips[j]))
				return true;
	for (size_t i = 0; i < rule->name_count; i++)
		for (size_t j = 0; j < peer->name_count; j++)
			if (name_matches(rule->names[i], peer->names[j]))
				return true;
	return false;
}

/* A selector of groups by what an address is not in selects pods and nodes, too. */
bool group_matches(const struct group_ref *g, const struct policy_peer *peer)
{
	bool any = !peer->ip_count;

	if (g->name.len || !row_has_selector(peer->row, g->selector))
		return false;
	if (!(peer->row->flags &
	      ROW_WORLD)) /* blocks, and so exceptions, are of addresses outside */
		return true;
	for (size_t i = 0; i < peer->ip_count && !any; i++) {
		any = true;
		for (size_t j = 0; j < g->except_count; j++)
			any &= !prefix_contains(&g->except[j], peer->ips[i]);
	}
	return any;
}

static bool peer_matches(const struct rule *rule, const struct policy_peer *peer)
{
	if (rule->nobody)
		return false;
	if (rule->everybody)
		return true;
	for (size_t i = 0; i < rule->selector_count; i++)
		if (row_has_selector(peer->row, rule->selectors[i]))
			return true;
	for (size_t i = 0; i < rule->group_count; i++)
		if (group_matches(&rule->groups[i], peer))
			return true;
	return ((peer->row->flags & ROW_WORLD) || rule->any_address) && world_matches(rule, peer);
}

/* --- ports ------------------------------------------------------------------------------------ */

bool port_range(const struct port *p, const struct policy_query *q, uint16_t *first, uint16_t *last)
{
	const struct pod_ports *own = q->subject->ports;

	if (p->of_peer && q->direction == POLICY_EGRESS)
		own = q->peer.row->ports;
	if (p->never)
		return false;
	*first = p->first;
	*last = p->last;
	if (!p->name.len || (q->direction == POLICY_EGRESS && !p->of_peer))
		return true;
	for (size_t i = 0; own && i < own->count; i++)
		if (own->ports[i].protocol == p->protocol && str_eq(own->ports[i].name, p->name)) {
			*first = own->ports[i].port;
			*last = p->named_last > *first ? p->named_last : *first;
			return true;
		}
	return false;
}

/* True if the rule is for the port. A proxy that it asks for there goes to *@proxy, if that one does
 * not rank before it: a rule with a proxy wins over those without. What it asks for goes to @entries. */
static bool ports_match(const struct rule *rule, const struct policy_query *q, struct proxy *proxy,
			struct entry entries[ENTRY_LENGTHS])
{
	static const struct proxy none;
	bool any = !rule->narrowed;

	if (any)
		entry_add(entries, 0, &none, rule->authentication);
	for (size_t i = 0; i < rule->port_count; i++) {
		const struct port *p = &rule->ports[i];
		uint16_t first, last;

		if (p->protocol != q->protocol || !port_range(p, q, &first, &last) ||
		    q->port < first || q->port > last)
			continue;
		if (p->proxy.name.len && (!proxy->name.len || p->proxy.rank < proxy->rank))
			*proxy = p->proxy;
		entry_add(entries, entry_length(first, last, q->port), &p->proxy,
			  rule->authentication);
		any = true;
	}
	return any;
}

/* --- the question ----------------------------------------------------------------------------- */

static void tell(struct policy_answer *a, const struct spec *s, const struct rule *rule)
{
	struct policy_ref ref = { .policy = s->policy, .spec = s->index, .rule = POLICY_NO_RULE };

	if (rule) {
		ref.rule = rule->index;
		ref.section = rule->section;
	} else if (a->count && a->by[a->count - 1].policy == s->policy) {
		return; /* a policy of several specs is told once */
	}
	if (a->count < POLICY_BY_MAX)
		a->by[a->count++] = ref;
	else
		a->left_out++;
}

/* Calls @each for the specs that select the subject in the direction. */
#define FOR_EACH_SPEC(set, q, i, s)                                                                \
	for (size_t word_ = 0; word_ < (set)->spec_words; word_++)                                 \
		for (uint64_t left_ = (q)->subject->bits[(set)->selector_words + word_]; left_;    \
		     left_ &= left_ - 1)                                                           \
			if ((s = set_spec((set), word_ * 64 + (size_t)__builtin_ctzll(left_)))     \
				    ->applies[(q)->direction])

struct found {
	struct proxy proxy;
	struct entry everybody[ENTRY_LENGTHS], peer[ENTRY_LENGTHS];
	bool any, selected, default_deny;
};

static void match_section(const struct policy_query *q, const struct spec *s,
			  enum policy_section section, struct policy_answer *a, struct found *f)
{
	for (size_t i = 0; i < s->rule_count[section]; i++) {
		const struct rule *rule = &s->rules[section][i];

		if (!peer_matches(rule, &q->peer) ||
		    !ports_match(rule, q, &f->proxy, rule->anybody ? f->everybody : f->peer))
			continue;
		f->any = true;
		tell(a, s, rule);
	}
}

/* Which rules break the policy of the subject. */
static void tell_conflict(const struct policy_set *set, const struct policy_row *subject,
			  struct policy_answer *a)
{
	size_t i = 0;

	while (!policy_row_has_conflict(set, subject, i))
		i++;
	const struct conflict *c = set_conflict(set, i);
	a->verdict = POLICY_BROKEN;
	a->clash = c->clash;
	a->by[a->count++] = c->refs[0];
	a->by[a->count++] = c->refs[1];
}

void policy_ask(const struct policy_set *set, const struct policy_query *q, struct policy_answer *a)
{
	bool in = q->direction == POLICY_INGRESS;
	struct found deny = { 0 }, allow = { 0 };
	const struct spec *s;

	a->verdict = POLICY_NOT_ENFORCED;
	a->redirect = a->authentication = STR("");
	a->clash = POLICY_CLASH_NONE;
	a->unsure = q->subject->flags & (ROW_UNSURE | ROW_CUT) || q->peer.row->flags & ROW_CUT;
	a->count = a->left_out = 0;
	if (!(q->subject->flags & ROW_ENFORCED))
		return;
	if (q->subject->flags & ROW_BROKEN) {
		tell_conflict(set, q->subject, a);
		return;
	}
	FOR_EACH_SPEC(set, q, i, s)
	{
		deny.selected = true;
		deny.default_deny |= s->default_deny[q->direction];
		match_section(q, s, in ? POLICY_SECTION_INGRESS_DENY : POLICY_SECTION_EGRESS_DENY,
			      a, &deny);
	}
	if (deny.any) {
		a->verdict = POLICY_DENIED;
		return;
	}
	FOR_EACH_SPEC(set, q, i, s)
	match_section(q, s, in ? POLICY_SECTION_INGRESS : POLICY_SECTION_EGRESS, a, &allow);
	if (allow.any) {
		a->verdict = POLICY_ALLOWED;
		a->redirect = allow.proxy.name;
		a->authentication = entries_authentication(allow.everybody, allow.peer);
		return;
	}
	if (!deny.selected && !(q->subject->flags & ROW_INIT)) {
		a->verdict = POLICY_NOT_SELECTED;
		return;
	}
	bool denied = deny.default_deny || (q->subject->flags & ROW_INIT);
	if (in && (q->peer.row->flags & ROW_HOST)) {
		a->verdict = POLICY_LOCALHOST;
		return;
	}
	a->verdict = denied ? POLICY_DEFAULT_DENIED : POLICY_DEFAULT_ALLOWED;
	FOR_EACH_SPEC(set, q, i, s)
	if (!denied || s->default_deny[q->direction])
		tell(a, s, NULL);
}

/* Of the policies that select the subject. */
static struct asks asks_of(const struct policy_set *set, const struct policy_query *q)
{
	struct asks all = { 0 };
	const struct spec *s;

	FOR_EACH_SPEC(set, q, i, s)
	{
		const struct asks *one = &s->asks[q->direction];

		all.namespaces |= one->namespaces;
		all.port_names |= one->port_names;
		all.services |= one->services;
		all.groups |= one->groups;
		all.cloud_groups |= one->cloud_groups;
		all.names |= one->names;
		all.denials |= one->denials;
	}
	return all;
}

const char *policy_lacks(const struct policy_set *set, const struct policy_query *q,
			 const struct policy_answer *a)
{
	const struct policy_row *subject = q->subject, *peer = q->peer.row;
	bool in = q->direction == POLICY_INGRESS;

	if (a->verdict == POLICY_NOT_ENFORCED && set->has_node_specs && (subject->flags & ROW_NODE))
		return "policies of nodes decide there, if Cilium's host firewall is on: they are "
		       "not evaluated";
	if ((subject->flags | peer->flags) & ROW_CUT)
		return "one end has more labels than are looked at";
	if (set->subjects_ask_namespaces && (subject->flags & ROW_NAMELESS))
		return "labels of namespaces are asked for: give the Namespaces";
	if (a->verdict == POLICY_NOT_SELECTED || a->verdict == POLICY_NOT_ENFORCED)
		return NULL;
	const struct asks asks = asks_of(set, q);
	/* of a rule with ports, services that are not there are everybody */
	if (!in && asks.services && !set->services.count)
		return "services are asked for: give the Services and EndpointSlices";
	/* one rule more could allow what none allows, and deny what one allows */
	if (a->verdict != POLICY_DEFAULT_DENIED && !asks.denials)
		return NULL;
	if (asks.namespaces && (peer->flags & ROW_NAMELESS))
		return "labels of namespaces are asked for: give the Namespaces";
	if (asks.port_names && (in ? !subject->ports : !set->pods.count))
		return "names of ports are asked for: give the Pods";
	if (!(peer->flags & ROW_WORLD))
		return NULL;
	if (asks.groups && !set->groups.count)
		return "groups of addresses are asked for: give the CiliumCIDRGroups";
	if (asks.cloud_groups)
		return "groups of a cloud are asked for, whose addresses are not known";
	if (!in && asks.names && !q->peer.name_count)
		return "DNS names are asked for, and none is known of the address";
	return NULL;
}
