#include "observer/upstream/agent_policy.h"

#include <netinet/in.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/random.h>

#include "base/map.h"
#include "flow/flow.pb-c.h"
#include "flow/wire.h"
#include "observer/upstream/agent_view.h"

enum {
	SELECTORS_MAX = 1 << 20, /* different ones of all endpoints */
	/* match types, reference 3.4 */
	MATCH_L3_ONLY = 1,
	MATCH_ALL = 4,
	MATCH_L4_ONLY = 3,
	MATCH_L3_PROTO = 5,
	MATCH_PROTO_ONLY = 6,
	EVENT_POLICY_VERDICT = 5,
	REASON_POLICY_DENY = 181,
	IDENTITY_HOST = 1,
	/* flow.Flow */
	EGRESS_ALLOWED_BY = 21001,
	INGRESS_ALLOWED_BY = 21002,
	EGRESS_DENIED_BY = 21004,
	INGRESS_DENIED_BY = 21005,
};

/* What a selector selects: identities, ascending. */
struct selector {
	bool is_wildcard;
	uint32_t first, count; /* in policy->identities */
};

/* Some selector's place in a filter, with the rule sets that put it there. */
struct origin {
	uint32_t selector;
	uint16_t precedence; /* of entries for the same, only those with the highest are */
	bool denies;
	bool is_sure;          /* first … are its own; else those of the whole filter */
	uint32_t first, count; /* in policy->policies */
};

struct filter {
	uint16_t endpoint;
	uint8_t direction;
	bool is_localhost; /* what lets this host in, if the agent is told to; no rule's */
	bool any_protocol;
	uint8_t protocol;
	uint16_t port, end_port;       /* 0: any */
	uint32_t first, count;         /* in policy->origins */
	uint32_t all_first, all_count; /* rule sets of all selectors together */
};

struct agent_policy {
	struct filter *filters; /* by endpoint, then direction */
	struct origin *origins;
	struct selector *selectors;
	uint32_t *identities;
	struct span {
		uint32_t at, len;
	} * policies; /* flow.Policy messages in @bytes */
	size_t filter_count, origin_count, selector_count, identity_count, policy_count;
	size_t own_count; /* of the filters: the agent's own, of which its API says nothing */
	size_t filter_cap, origin_cap, selector_cap, identity_cap, policy_cap;
	struct buf bytes;
	struct map *names; /* while it is built: a selector's text ► its number */
	bool failed;       /* out of memory */
};

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

static bool selects(const struct agent_policy *p, uint32_t selector, uint32_t identity)
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

/* ---- asking */

/* Does this filter make an entry of the policy map for such a key, or for ports that its port is
 * one of? */
static bool filter_is_asked(const struct filter *f, const struct agent_policy_key *k)
{
	if (f->is_localhost)
		return false;
	switch (k->match_type) {
	case MATCH_L3_ONLY:
	case MATCH_ALL:
		return f->any_protocol && !f->port;
	case MATCH_L3_PROTO:
	case MATCH_PROTO_ONLY:
		return !f->any_protocol && f->protocol == k->protocol && !f->port;
	default: /* with the port */
		return !f->any_protocol && f->protocol == k->protocol && f->port &&
		       f->port <= k->port && k->port <= f->end_port;
	}
}

/* Is the port one of several in the filter's entry? A range is made entries of 2, 4, 8 … ports, each
 * as large as can be; what has no room in one is an entry by itself. */
static bool is_one_of_several(const struct filter *f, uint16_t port)
{
	uint16_t twin = port ^ 1;

	return f->port && f->port <= twin && twin <= f->end_port;
}

/* Entries without an identity are made of wildcards, entries with one of the others. */
static bool origin_is_asked(const struct agent_policy *p, const struct origin *o,
			    const struct agent_policy_key *k)
{
	bool any_identity = k->match_type == MATCH_ALL || k->match_type == MATCH_L4_ONLY ||
			    k->match_type == MATCH_PROTO_ONLY;

	if (o->denies != k->denied)
		return false;
	if (any_identity)
		return p->selectors[o->selector].is_wildcard;
	return !p->selectors[o->selector].is_wildcard && selects(p, o->selector, k->identity);
}

enum {
	TOLD_MAX = 64,      /* rule sets of one flow; more are not told */
	ORDER_BYTES = 1024, /* of their labels, by which they are sorted */
	LABELS_FIELD = 3,   /* of flow.Policy */
};

struct told {
	const struct agent_policy *p;
	uint32_t list[TOLD_MAX];
	size_t count;
};

static struct str policy_message(const struct agent_policy *p, uint32_t i)
{
	const struct span *s = &p->policies[i];

	return str_n(p->bytes.p ? p->bytes.p + s->at : "", s->len);
}

/* Labels with a blank between them, and a bracket at the end: the agent sorts by that. */
static struct str label_text(struct str message, char *out, size_t size)
{
	struct wire_reader r = wire_reader_of(message);
	struct buf b = buf_fixed(out, size);
	bool first = true;

	for (struct wire_field x; wire_next(&r, &x);)
		if (x.number == LABELS_FIELD) {
			if (!first)
				buf_char(&b, ' ');
			buf_str_put(&b, x.bytes);
			first = false;
		}
	buf_char(&b, ']');
	return buf_str(&b);
}

static bool comes_before(const struct agent_policy *p, uint32_t i, uint32_t k)
{
	char one[ORDER_BYTES], other[ORDER_BYTES];

	return str_cmp(label_text(policy_message(p, i), one, sizeof one),
		       label_text(policy_message(p, k), other, sizeof other)) < 0;
}

/* The place of the rule set in the list; its count where it is none of it. Equal ones are one. */
static size_t place_of(const struct told *t, uint32_t policy)
{
	struct str message = policy_message(t->p, policy);
	size_t at = 0;

	while (at < t->count && !str_eq(message, policy_message(t->p, t->list[at])))
		at++;
	return at;
}

/* What is told is in order of labels, as each list of the agent's is: they are merged. */
static void tell(struct told *t, uint32_t first, uint32_t count)
{
	size_t from = 0; /* behind the one before */

	for (uint32_t i = first; i < first + count && t->count < TOLD_MAX; i++) {
		size_t at = place_of(t, i);
		if (at == t->count) {
			for (at = from; at < t->count && comes_before(t->p, t->list[at], i);)
				at++;
			memmove(t->list + at + 1, t->list + at, (t->count - at) * sizeof *t->list);
			t->list[at] = i;
			t->count++;
		}
		from = at + 1;
	}
}

static void ask_filter(struct told *t, const struct filter *f, const struct agent_policy_key *k,
		       int precedence)
{
	const struct origin *o = f->count ? &t->p->origins[f->first] : NULL;
	size_t asked = 0;

	for (uint32_t i = 0; i < f->count; i++)
		asked += o[i].precedence == precedence && origin_is_asked(t->p, &o[i], k);
	for (uint32_t i = 0; asked && i < f->count; i++) {
		if (o[i].precedence != precedence || !origin_is_asked(t->p, &o[i], k))
			continue;
		/* of several selectors' rule sets without names, only if all of them match */
		if (o[i].is_sure || asked == f->count)
			tell(t, o[i].first, o[i].count);
	}
}

/* The next filter that has to do with the key, from *@at on; its entries are for the key's port
 * alone, or for @several. NULL if there is none. */
static const struct filter *next_asked(const struct agent_policy *p, size_t *at,
				       const struct agent_policy_key *k, bool several)
{
	while (*at < p->filter_count && p->filters[*at].endpoint == k->endpoint) {
		const struct filter *f = &p->filters[(*at)++];
		if (f->direction == k->direction && filter_is_asked(f, k) &&
		    is_one_of_several(f, k->port) == several)
			return f;
	}
	return NULL;
}

/* Those of the endpoint whose filters begin at @first. @return whether some have to do with the key,
 * told or not. */
static bool ask_filters(struct told *t, size_t first, const struct agent_policy_key *k,
			bool several)
{
	const struct agent_policy *p = t->p;
	const struct filter *f;
	int highest = -1;

	for (size_t at = first; (f = next_asked(p, &at, k, several));)
		for (uint32_t i = f->first; i < f->first + f->count; i++)
			if (p->origins[i].precedence > highest &&
			    origin_is_asked(p, &p->origins[i], k))
				highest = p->origins[i].precedence;
	for (size_t at = first; highest >= 0 && (f = next_asked(p, &at, k, several));)
		ask_filter(t, f, k, highest);
	return highest >= 0;
}

/* This host is let in by itself: where no rule lets it, that was it. */
static void ask_localhost(struct told *t, size_t at, const struct agent_policy_key *k)
{
	if (k->identity != IDENTITY_HOST || k->denied || k->direction != AGENT_INGRESS ||
	    k->match_type != MATCH_L3_ONLY)
		return;
	for (; at < t->p->filter_count && t->p->filters[at].endpoint == k->endpoint; at++)
		if (t->p->filters[at].is_localhost)
			tell(t, t->p->filters[at].all_first, t->p->filters[at].all_count);
}

size_t agent_policy_put(const struct agent_policy *p, const struct agent_policy_key *key,
			uint32_t field, struct buf *b)
{
	struct told t = { .p = p };
	size_t low = 0, high = p->filter_count;

	while (low < high) { /* the endpoint's first */
		size_t mid = low + (high - low) / 2;
		if (p->filters[mid].endpoint < key->endpoint)
			low = mid + 1;
		else
			high = mid;
	}
	/* Of an entry for several ports Hubble knows no rules; we do, if there is no other. */
	if (!ask_filters(&t, low, key, false) && !ask_filters(&t, low, key, true))
		ask_localhost(&t, low, key);
	for (size_t i = 0; i < t.count; i++)
		wire_put_len(b, field, policy_message(p, t.list[i]));
	return t.count;
}

/* ---- the capture thread's */

struct agent_policies {
	/* set by one thread, taken by capture; capture lays down what it no longer uses */
	_Atomic(struct agent_policy *) next, done;
	struct agent_policy *mine; /* capture thread */
};

enum err_code agent_policies_new(struct agent_policies **ret, struct err *e)
{
	struct agent_policies *all = calloc(1, sizeof *all);
	if (!all)
		return err_set(e, ERR_NOMEM, "policies of the agent");
	*ret = all;
	return ERR_OK;
}

void agent_policies_free(struct agent_policies *all)
{
	if (!all)
		return;
	agent_policy_free(atomic_load(&all->next));
	agent_policy_free(atomic_load(&all->done));
	agent_policy_free(all->mine);
	free(all);
}

void agent_policies_set_take(struct agent_policies *all, struct agent_policy *p)
{
	agent_policy_free(atomic_exchange_explicit(&all->next, p, memory_order_acq_rel));
	agent_policy_free(atomic_exchange_explicit(&all->done, NULL, memory_order_acq_rel));
}

static const struct agent_policy *current(struct agent_policies *all)
{
	/* While the old one has not been fetched yet, the one before last stays a bit longer. */
	if (atomic_load_explicit(&all->next, memory_order_relaxed) &&
	    !atomic_load_explicit(&all->done, memory_order_acquire)) {
		struct agent_policy *fresh =
			atomic_exchange_explicit(&all->next, NULL, memory_order_acq_rel);
		if (fresh) {
			atomic_store_explicit(&all->done, all->mine, memory_order_release);
			all->mine = fresh;
		}
	}
	return all->mine;
}

static bool read_key(const struct flow_dict *dict, const struct flow *f, struct agent_policy_key *k)
{
	static const uint8_t protocols[] = {
		[FLOW_L4_TCP] = IPPROTO_TCP,      [FLOW_L4_UDP] = IPPROTO_UDP,
		[FLOW_L4_SCTP] = IPPROTO_SCTP,    [FLOW_L4_ICMP4] = IPPROTO_ICMP,
		[FLOW_L4_ICMP6] = IPPROTO_ICMPV6,
	};
	bool ingress = f->direction == FLOW__TRAFFIC_DIRECTION__INGRESS;
	const struct endpoint *mine = flow_dict_get_endpoint(dict, ingress ? f->dst_ep : f->src_ep);
	const struct endpoint *other =
		flow_dict_get_endpoint(dict, ingress ? f->src_ep : f->dst_ep);

	if (f->event_type != EVENT_POLICY_VERDICT || !mine || !mine->id ||
	    (!ingress && f->direction != FLOW__TRAFFIC_DIRECTION__EGRESS) ||
	    f->l4 >= ARRAY_LEN(protocols))
		return false;
	bool allowed =
		f->verdict == FLOW__VERDICT__FORWARDED || f->verdict == FLOW__VERDICT__REDIRECTED;
	bool icmp = f->l4 == FLOW_L4_ICMP4 || f->l4 == FLOW_L4_ICMP6;
	*k = (struct agent_policy_key){
		.endpoint = (uint16_t)mine->id,
		.direction = ingress ? AGENT_INGRESS : AGENT_EGRESS,
		.denied =
			f->verdict == FLOW__VERDICT__DROPPED && f->drop_desc == REASON_POLICY_DENY,
		.identity = other ? other->identity : 0,
		.protocol = protocols[f->l4],
		.port = icmp ? f->icmp_type : f->dst_port,
		.match_type = f->policy_match_type,
	};
	/* echo replies have type 0, and so no key: the reference's way */
	return (allowed || k->denied) && k->protocol && k->port;
}

void agent_policies_flow(struct agent_policies *all, const struct flow_dict *dict, struct flow *f,
			 struct buf *ext)
{
	static const uint32_t fields[2][2] = {
		[AGENT_INGRESS] = { INGRESS_ALLOWED_BY, INGRESS_DENIED_BY },
		[AGENT_EGRESS] = { EGRESS_ALLOWED_BY, EGRESS_DENIED_BY },
	};
	const struct agent_policy *p = current(all);
	struct agent_policy_key key;

	if (p && read_key(dict, f, &key) &&
	    agent_policy_put(p, &key, fields[key.direction][key.denied], ext))
		f->bits |= FLOW_HAS_POLICIES;
}
