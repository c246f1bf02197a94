/*
 * The agent's realized policies, read: endpoints' rules, selectors, rule sets, and what the agent allows without a rule.
 */
#include "observer/upstream/agent_policy_inside.h"

#include <netinet/in.h>
#include <stdio.h>
#include <sys/random.h>

#include "base/map.h"
#include "flow/wire.h"
#include "observer/upstream/agent_view.h"

enum { SELECTORS_MAX = 1 << 20 /* different ones of all endpoints */ };

/* Room for one more; the address of the new one, zeroed, or NULL. */
static void *grow(struct agent_policy *p, void **list, size_t *count, size_t *cap, size_t size)
{
	if (*count == *cap) {
		size_t more = *cap ? 2 * *cap : 64;
		void *fresh = more < UINT32_MAX ? realloc(*list, more * size) : NULL;
		if (!fresh) {
			p->failed = true;
			return NULL;
		}
		*list = fresh;
		*cap = more;
	}
	void *at = (char *)*list + *count * size;
	memset(at, 0, size);
	(*count)++;
	return at;
}
#define GROW(p, what)                                                                              \
	((__typeof__((p)->what##s))grow((p), (void **)&(p)->what##s, &(p)->what##_count,           \
					&(p)->what##_cap, sizeof *(p)->what##s))

/* ---- selectors */

static int by_number(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

/* As Kubernetes prints a selector that demands nothing; and the word of later agents. */
static bool is_wildcard(struct str text)
{
	return str_is(text, "&LabelSelector{MatchLabels:map[string]string{},"
			    "MatchExpressions:[]LabelSelectorRequirement{},}") ||
	       str_is(text, "wildcard") || str_is(text, "*");
}

/* The number of the selector with this text; UINT32_MAX out of memory. One that the agent does not
 * list selects nobody. */
static uint32_t selector_of(struct agent_policy *p, struct str text)
{
	uint32_t i;

	if (map_get(p->names, text, &i))
		return i;
	i = (uint32_t)p->selector_count;
	struct selector *s = GROW(p, selector);
	if (!s || map_put(p->names, text, i, NULL, NULL) != ERR_OK) {
		p->failed = true;
		return UINT32_MAX;
	}
	s->is_wildcard = is_wildcard(text);
	return i;
}

static void read_selector(struct agent_policy *p, const json_t *entry)
{
	uint32_t i = selector_of(p, agent_text(entry, "selector"));
	uint32_t first = (uint32_t)p->identity_count;
	const json_t *v;
	size_t k;

	if (i == UINT32_MAX || p->selectors[i].count)
		return;
	json_array_foreach(json_object_get(entry, "identities"), k, v)
	{
		if (!json_is_integer(v) || json_integer_value(v) < 0 ||
		    json_integer_value(v) > UINT32_MAX)
			continue;
		uint32_t *id = grow(p, (void **)&p->identities, &p->identity_count,
				    &p->identity_cap, sizeof *p->identities);
		if (!id)
			return;
		*id = (uint32_t)json_integer_value(v);
	}
	p->selectors[i].first = first;
	p->selectors[i].count = (uint32_t)p->identity_count - first;
	if (p->selectors[i].count)
		qsort(p->identities + first, p->selectors[i].count, sizeof *p->identities,
		      by_number);
}

bool agent_policy_selects(const struct agent_policy *p, uint32_t selector, uint32_t identity)
{
	const struct selector *s = &p->selectors[selector];

	return s->is_wildcard || (s->count && bsearch(&identity, p->identities + s->first, s->count,
						      sizeof identity, by_number));
}

/* ---- rule sets: an array of labels, each set one flow.Policy */

/* flow.Policy{name 1, namespace 2, labels 3, revision 4, kind 5} */
static void put_policy(struct agent_policy *p, const json_t *labels, uint64_t revision)
{
	static const struct {
		const char *key;
		uint32_t field;
	} known[] = {
		{ "k8s:io.cilium.k8s.policy.name=", 1 },
		{ "k8s:io.cilium.k8s.policy.namespace=", 2 },
		{ "k8s:io.cilium.k8s.policy.derived-from=", 5 },
	};
	struct str values[6] = { { 0 } };
	const json_t *v;
	size_t i;

	struct span *span = (struct span *)grow(p, (void **)&p->policies, &p->policy_count,
						&p->policy_cap, sizeof *p->policies);
	if (!span)
		return;
	json_array_foreach(labels, i, v)
	{
		struct str label = str_n(json_string_value(v), json_string_length(v));
		for (size_t k = 0; json_is_string(v) && k < ARRAY_LEN(known); k++)
			if (str_has_prefix(label, str_of(known[k].key)))
				values[known[k].field] = str_from(label, strlen(known[k].key));
	}
	size_t at = p->bytes.len;
	wire_put_str(&p->bytes, 1, values[1]);
	wire_put_str(&p->bytes, 2, values[2]);
	json_array_foreach(labels, i, v) if (json_is_string(v))
		wire_put_len(&p->bytes, 3, str_n(json_string_value(v), json_string_length(v)));
	wire_put_u64(&p->bytes, 4, revision);
	wire_put_str(&p->bytes, 5, values[5]);
	*span = (struct span){ (uint32_t)at, (uint32_t)(p->bytes.len - at) };
	p->failed |= p->bytes.failed;
}

static uint32_t put_policies(struct agent_policy *p, const json_t *sets, uint64_t revision)
{
	size_t before = p->policy_count, i;
	const json_t *labels;

	json_array_foreach(sets, i, labels) put_policy(p, labels, revision);
	return (uint32_t)(p->policy_count - before);
}

/* ---- filters */

static bool read_protocol(struct str text, struct filter *f)
{
	static const struct {
		const char *name;
		uint8_t number;
	} known[] = {
		{ "TCP", IPPROTO_TCP },   { "UDP", IPPROTO_UDP },       { "SCTP", IPPROTO_SCTP },
		{ "ICMP", IPPROTO_ICMP }, { "ICMPv6", IPPROTO_ICMPV6 }, { "IGMP", IPPROTO_IGMP },
		{ "VRRP", 112 },
	};

	f->any_protocol = !text.len || str_eq_nocase(text, STR("ANY"));
	for (size_t i = 0; i < ARRAY_LEN(known); i++)
		if (str_eq_nocase(text, str_of(known[i].name)))
			f->protocol = known[i].number;
	return f->any_protocol || f->protocol;
}

/* "verdict" of 1.19 (1 is deny), "isDeny" of those before. */
static bool denies(const json_t *per_selector)
{
	static const char *const flags[] = { "isDeny", "IsDeny", "deny" };
	const json_t *verdict = json_object_get(per_selector, "verdict");

	for (size_t i = 0; i < ARRAY_LEN(flags); i++)
		if (json_is_true(json_object_get(per_selector, flags[i])))
			return true;
	return (json_is_integer(verdict) && json_integer_value(verdict) == 1) ||
	       str_eq_nocase(agent_text(per_selector, "verdict"), STR("deny"));
}

/* One that leads to a proxy takes the place of one that does not; of two, that with the lower number
 * (pkg/policy/types/entry.go of 1.19). */
static uint16_t precedence_of(const json_t *per_selector)
{
	static const char *const rules[] = { "http", "dns", "kafka", "l7", "l7proto" };
	enum { LOWEST = 256 };
	uint64_t priority;

	if (agent_number(per_selector, "listenerPriority", LOWEST - 1, &priority) && priority)
		return (uint16_t)(LOWEST - priority);
	for (size_t i = 0; i < ARRAY_LEN(rules); i++)
		if (json_object_get(per_selector, rules[i]))
			return 1;
	return 0;
}

static void put_origin(struct agent_policy *p, const struct filter *f, const char *selector,
		       const json_t *per_selector, const json_t *by_selector, uint64_t revision)
{
	uint32_t number = selector_of(p, str_of(selector));
	struct origin *o = number != UINT32_MAX ? GROW(p, origin) : NULL;

	if (!o)
		return;
	*o = (struct origin){ .selector = number,
			      .precedence = precedence_of(per_selector),
			      .denies = denies(per_selector) };
	const json_t *sets = json_object_get(by_selector, selector);
	if (!json_is_array(sets)) {
		/* those of the filter: its only selector's, or the only ones there are */
		o->first = f->all_first;
		o->count = f->all_count;
		o->is_sure = f->all_count == 1;
		return;
	}
	size_t at = p->origin_count - 1;
	uint32_t first = (uint32_t)p->policy_count, count = put_policies(p, sets, revision);
	p->origins[at].first = first;
	p->origins[at].count = count;
	p->origins[at].is_sure = true;
}

/* A port by its name: the endpoint says which it is. */
static uint16_t named_port(const json_t *named_ports, struct str name, uint8_t protocol)
{
	const json_t *v;
	uint64_t port;
	size_t i;

	json_array_foreach(named_ports, i, v)
	{
		struct filter f = { 0 };
		if (str_eq(agent_text(v, "name"), name) &&
		    read_protocol(agent_text(v, "protocol"), &f) && f.protocol == protocol &&
		    agent_number(v, "port", UINT16_MAX, &port))
			return (uint16_t)port;
	}
	return 0;
}

static bool read_ports(const json_t *rule, const json_t *named_ports, struct filter *f)
{
	uint64_t port = 0, end = 0;
	struct str name = agent_text(rule, "port-name");

	(void)agent_number(rule, "port", UINT16_MAX, &port);
	(void)agent_number(rule, "endPort", UINT16_MAX, &end);
	/* At egress the name is the peer's, and could be any port. */
	if (name.len && !port)
		port = f->direction == AGENT_INGRESS ? named_port(named_ports, name, f->protocol)
						     : 0;
	f->port = (uint16_t)port;
	f->end_port = (uint16_t)(end > port ? end : port);
	return !name.len || port;
}

static void read_rule(struct agent_policy *p, uint16_t endpoint, enum agent_direction direction,
		      const json_t *rule, const json_t *named_ports, uint64_t revision)
{
	struct filter f = { .endpoint = endpoint, .direction = (uint8_t)direction };
	struct str text = agent_text(rule, "rule");
	const json_t *by_selector = json_object_get(rule, "rules-by-selector");
	json_t *inner = json_loadb(text.p, text.len, 0, NULL); /* JSON within JSON */
	const json_t *entry, *per_selector;
	const char *selector;
	size_t i;

	if (inner && read_protocol(agent_text(inner, "protocol"), &f) &&
	    read_ports(inner, named_ports, &f)) {
		f.all_first = (uint32_t)p->policy_count;
		f.all_count =
			put_policies(p, json_object_get(rule, "derived-from-rules"), revision);
		f.first = (uint32_t)p->origin_count;
		json_array_foreach(
			json_object_get(inner, "l7-rules"), i,
			entry) for (void *at = json_object_iter((json_t *)(uintptr_t)entry); at;
				    at = json_object_iter_next((json_t *)(uintptr_t)entry, at))
		{
			selector = json_object_iter_key(at);
			per_selector = json_object_iter_value(at);
			put_origin(p, &f, selector, per_selector, by_selector, revision);
		}
		f.count = (uint32_t)(p->origin_count - f.first);
		if (f.count == 1)
			p->origins[f.first].is_sure = true;
		struct filter *to = GROW(p, filter);
		if (to)
			*to = f;
	}
	json_decref(inner);
}

/* ---- what the agent allows without a rule (pkg/policy/mapstate.go of Cilium 1.19) */

static void put_own(struct agent_policy *p, struct filter f, const char *what, uint64_t revision)
{
	char text[96];

	(void)snprintf(text, sizeof text, "reserved:io.cilium.policy.derived-from=%s", what);
	json_t *labels = json_pack("[s]", text);
	f.any_protocol = true;
	f.all_first = (uint32_t)p->policy_count;
	if (labels)
		put_policy(p, labels, revision);
	else
		p->failed = true;
	json_decref(labels);
	f.all_count = (uint32_t)(p->policy_count - f.all_first);
	struct filter *to = GROW(p, filter);
	if (!to)
		return;
	*to = f;
	p->own_count++;
}

/* Anybody, in a direction that no rule is about. */
static void put_anybody(struct agent_policy *p, uint16_t endpoint, enum agent_direction direction,
			uint64_t revision)
{
	struct filter f = { .endpoint = endpoint, .direction = (uint8_t)direction, .count = 1 };
	uint32_t wildcard = selector_of(p, STR("*"));

	f.first = (uint32_t)p->origin_count;
	struct origin *o = wildcard != UINT32_MAX ? GROW(p, origin) : NULL;
	if (!o)
		return;
	*o = (struct origin){ .selector = wildcard,
			      .is_sure = true,
			      .first = (uint32_t)p->policy_count,
			      .count = 1 };
	put_own(p, f, direction == AGENT_INGRESS ? "allow-any-ingress" : "allow-any-egress",
		revision);
}

/* @enabled: "none", "ingress", "egress", "both", or with "audit-" before it; "" where the agent does
 * not say. */
static void read_enabled(struct agent_policy *p, uint16_t endpoint, struct str enabled,
			 uint64_t revision)
{
	bool both = str_has_suffix(enabled, STR("both"));

	if (!enabled.len)
		return;
	if (!both && !str_has_suffix(enabled, STR("ingress")))
		put_anybody(p, endpoint, AGENT_INGRESS, revision);
	if (!both && !str_has_suffix(enabled, STR("egress")))
		put_anybody(p, endpoint, AGENT_EGRESS, revision);
	put_own(p,
		(struct filter){
			.endpoint = endpoint, .direction = AGENT_INGRESS, .is_localhost = true },
		"allow-localhost-ingress", revision);
}

static void read_endpoint(struct agent_policy *p, const json_t *endpoint)
{
	const json_t *status = json_object_get(endpoint, "status");
	const json_t *realized = json_object_get(json_object_get(status, "policy"), "realized");
	const json_t *l4 = json_object_get(realized, "l4");
	const json_t *named_ports = json_object_get(status, "namedPorts"), *rule;
	uint64_t id, revision = 0;
	size_t i;

	if (!agent_number(endpoint, "id", UINT16_MAX, &id))
		return;
	(void)agent_number(realized, "policy-revision", INT64_MAX, &revision);
	json_array_foreach(json_object_get(l4, "ingress"), i, rule)
		read_rule(p, (uint16_t)id, AGENT_INGRESS, rule, named_ports, revision);
	json_array_foreach(json_object_get(l4, "egress"), i, rule)
		read_rule(p, (uint16_t)id, AGENT_EGRESS, rule, named_ports, revision);
	read_enabled(p, (uint16_t)id, agent_text(realized, "policy-enabled"), revision);
}

static int by_place(const void *a, const void *b)
{
	const struct filter *x = a, *y = b;

	if (x->endpoint != y->endpoint)
		return x->endpoint < y->endpoint ? -1 : 1;
	return (x->direction > y->direction) - (x->direction < y->direction);
}

enum err_code agent_policy_new(const json_t *endpoints, const json_t *selectors,
			       struct agent_policy **ret, struct err *e)
{
	const json_t *v;
	uint64_t seed;
	size_t i;
	AUTO(agent_policy_free) struct agent_policy *p = calloc(1, sizeof *p);
	if (getrandom(&seed, sizeof seed, 0) != sizeof seed)
		return err_os(e, "random seed");
	if (!p || map_new(SELECTORS_MAX, seed, &p->names, NULL) != ERR_OK)
		return err_set(e, ERR_NOMEM, "policies of the agent");
	p->bytes = buf_init(UINT32_MAX / 4);
	json_array_foreach(selectors, i, v) read_selector(p, v);
	json_array_foreach(endpoints, i, v) read_endpoint(p, v);
	if (p->failed)
		return err_set(e, ERR_NOMEM, "policies of the agent");
	if (p->filter_count)
		qsort(p->filters, p->filter_count, sizeof *p->filters, by_place);
	map_free(p->names);
	p->names = NULL;
	*ret = TAKE(p);
	return ERR_OK;
}

void agent_policy_free(struct agent_policy *p)
{
	if (!p)
		return;
	map_free(p->names);
	buf_done(&p->bytes);
	free(p->filters);
	free(p->origins);
	free(p->selectors);
	free(p->identities);
	free(p->policies);
	free(p);
}

size_t agent_policy_rules(const struct agent_policy *p)
{
	return p->filter_count - p->own_count;
}
