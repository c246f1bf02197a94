/* Facts of one policy and direction as its rules. */
#include "policy/flow.h"
#include "policy/suggest_make.h"

enum { DNS_PORT = 53, PORTS_OF_ONE = 40 }; /* Cilium takes 40 ports in a list */

static void put_second(struct buf *b, struct wall_ns at)
{
	struct timestamp t = timestamp_of(at);

	t.ns = 0;
	timestamp_put(b, t);
}

static void put_span(struct buf *b, struct policy_span span)
{
	if (!span.known)
		return;
	buf_lit(b, ", ");
	put_second(b, span.first);
	if (span.first.v / NS_PER_S == span.last.v / NS_PER_S)
		return;
	buf_lit(b, " to ");
	put_second(b, span.last);
}

/* --- selectors and peers ---------------------------------------------------------------------- */

static json_t *labels_of(struct maker *m, const struct suggest_group *g)
{
	json_t *labels = made(m, json_object());

	for (size_t i = 0; i < g->chosen_count; i++)
		m->failed |= json_object_setn_new(labels, g->chosen[i].key.p, g->chosen[i].key.len,
						  make_text(m, g->chosen[i].value)) != 0;
	return labels;
}

static json_t *selector_of(struct maker *m, json_t *labels)
{
	if (labels && json_object_size(labels))
		return make_mapping(m, "matchLabels", labels);
	json_decref(labels);
	return made(m, json_object());
}

json_t *make_selector(struct maker *m, const struct suggest_group *g)
{
	return selector_of(m, labels_of(m, g));
}

static json_t *pods_of(struct maker *m, const struct suggest_group *subject, uint32_t leader)
{
	const struct suggest_group *g = &m->s->groups[leader];
	bool far = !str_eq(g->namespace_, subject->namespace_);
	json_t *labels = labels_of(m, g), *peer;

	if (m->cilium) {
		if (far)
			make_set(m, labels, "k8s:io.kubernetes.pod.namespace",
				 make_text(m, g->namespace_));
		return selector_of(m, labels);
	}
	peer = made(m, json_object());
	if (far)
		make_set(m, peer, "namespaceSelector",
			 make_mapping(m, "matchLabels",
				      make_mapping(m, "kubernetes.io/metadata.name",
						   make_text(m, g->namespace_))));
	make_set(m, peer, "podSelector", selector_of(m, labels));
	return peer;
}

static json_t *peer_of(struct maker *m, const struct suggest_group *subject, const struct peer *p)
{
	if (p->class_ == PEER_PODS)
		return pods_of(m, subject, p->group);
	if (p->class_ == PEER_NAME)
		return make_mapping(m, "matchName", make_text(m, p->text));
	if (m->cilium)
		return make_text(m, p->text);
	return make_mapping(m, "ipBlock", make_mapping(m, "cidr", make_text(m, p->text)));
}

static const char *peers_key(const struct maker *m, enum peer_class class_, bool ingress)
{
	if (!m->cilium)
		return ingress ? "from" : "to";
	switch (class_) {
	case PEER_PODS:
		return ingress ? "fromEndpoints" : "toEndpoints";
	case PEER_ENTITY:
		return ingress ? "fromEntities" : "toEntities";
	case PEER_NAME:
		return "toFQDNs";
	default:
		return ingress ? "fromCIDR" : "toCIDR";
	}
}

/* --- ports ------------------------------------------------------------------------------------ */

/* Facts of one peer that one rule can say: sorted, next to each other. */
struct run {
	const struct fact *facts;
	size_t count; /* of those allowed */
	size_t span;  /* of all */
	bool is_dns;  /* of the cluster's server */
	bool done;
};

static json_t *port_of(struct maker *m, uint8_t protocol, uint16_t port)
{
	char digits[8];
	struct buf b = buf_fixed(digits, sizeof digits);
	json_t *object;

	buf_u64(&b, port);
	object = make_mapping(m, "port",
			      m->cilium ? make_text(m, buf_str(&b)) : made(m, json_integer(port)));
	make_set(m, object, "protocol", make_text(m, str_of(policy_protocol_name(protocol))));
	return object;
}

static bool is_dns_port(uint8_t protocol, uint16_t port)
{
	return port == DNS_PORT && (protocol == IPPROTO_TCP || protocol == IPPROTO_UDP);
}

static bool has_port(const struct run *r, uint8_t protocol, uint16_t port)
{
	for (size_t i = 0; i < r->span; i++)
		if (r->facts[i].allowed && r->facts[i].protocol == protocol &&
		    r->facts[i].port == port)
			return true;
	return false;
}

static bool asks_dns(const struct run *r)
{
	return has_port(r, IPPROTO_UDP, DNS_PORT) || has_port(r, IPPROTO_TCP, DNS_PORT);
}

/* TCP 53 and UDP 53 where @dns, the others where not. */
static json_t *ports_of(struct maker *m, const struct run *r, bool dns)
{
	json_t *ports = made(m, json_array());

	if (dns && r->is_dns) {
		make_append(m, ports, port_of(m, IPPROTO_UDP, DNS_PORT));
		make_append(m, ports, port_of(m, IPPROTO_TCP, DNS_PORT));
		return ports;
	}
	for (size_t i = 0; i < r->span; i++) {
		const struct fact *f = &r->facts[i];

		if (f->allowed && is_dns_port(f->protocol, f->port) == dns)
			make_append(m, ports, port_of(m, f->protocol, f->port));
	}
	return ports;
}

static void append_all(struct maker *m, json_t *to, json_t *from)
{
	m->failed |= json_array_extend(to, from) != 0;
	json_decref(from);
}

static json_t *icmps_of(struct maker *m, const struct run *r)
{
	json_t *fields = made(m, json_array());

	for (size_t i = 0; i < r->span; i++) {
		if (!r->facts[i].allowed)
			continue;
		bool v4 = r->facts[i].protocol == IPPROTO_ICMP;
		json_t *field =
			make_mapping(m, "family", make_text(m, v4 ? STR("IPv4") : STR("IPv6")));
		make_set(m, field, "type", made(m, json_integer(r->facts[i].port)));
		make_append(m, fields, field);
	}
	json_t *icmps = made(m, json_array());
	make_append(m, icmps, make_mapping(m, "fields", fields));
	return icmps;
}

/* What shows a pod's DNS to Cilium, of any name: which names are asked for is not what this is
 * about, only that their addresses are learned. */
static json_t *dns_rules(struct maker *m)
{
	json_t *patterns = made(m, json_array());

	make_append(m, patterns, make_mapping(m, "matchPattern", make_text(m, STR("*"))));
	return make_mapping(m, "dns", patterns);
}

static void set_ports(struct maker *m, json_t *rule, const struct run *r, bool shows_dns)
{
	if (is_icmp(r->facts->protocol)) {
		make_set(m, rule, "icmps", icmps_of(m, r));
		return;
	}
	json_t *dns = asks_dns(r) ? ports_of(m, r, true) : made(m, json_array());
	json_t *ports = ports_of(m, r, false);
	if (!m->cilium) {
		append_all(m, dns, ports);
		make_set(m, rule, "ports", dns);
		return;
	}
	json_t *list = made(m, json_array()), *item;
	if (json_array_size(dns) && shows_dns) {
		item = make_mapping(m, "ports", dns);
		make_set(m, item, "rules", dns_rules(m));
		make_append(m, list, item);
	} else {
		append_all(m, dns, ports);
		ports = dns;
	}
	for (size_t i = 0; i < json_array_size(ports); i += PORTS_OF_ONE) {
		json_t *some = made(m, json_array());
		for (size_t j = i; j < i + PORTS_OF_ONE && j < json_array_size(ports); j++)
			m->failed |= json_array_append(some, json_array_get(ports, j)) != 0;
		make_append(m, list, make_mapping(m, "ports", some));
	}
	json_decref(ports);
	make_set(m, rule, "toPorts", list);
}

/* --- rules ------------------------------------------------------------------------------------ */

struct runs {
	struct run *items;
	size_t count;
};

static enum peer_class class_of(const struct maker *m, const struct run *r)
{
	return m->s->peers[r->facts->peer].class_;
}

static bool is_same_run(const struct fact *a, const struct fact *b)
{
	return a->peer == b->peer && is_icmp(a->protocol) == is_icmp(b->protocol);
}

static void find_runs(struct maker *m, const struct part *p, struct runs *to)
{
	to->items = calloc(p->count + 1, sizeof *to->items);
	m->failed |= !to->items;
	for (size_t i = 0; i < p->count && to->items;) {
		struct run r = { .facts = &p->facts[i] };

		for (; i < p->count && is_same_run(r.facts, &p->facts[i]); i++) {
			r.count += p->facts[i].allowed;
			r.span++;
		}
		if (!r.count || class_of(m, &r) == PEER_OWN_NODE)
			continue;
		r.is_dns = !p->ingress && peer_is_kube_dns(m->s, &m->s->peers[r.facts->peer]) &&
			   asks_dns(&r);
		to->items[to->count++] = r;
	}
}

static bool has_same_ports(const struct run *a, const struct run *b)
{
	if (a->count != b->count)
		return false;
	for (size_t i = 0; i < a->span; i++)
		if (a->facts[i].allowed && !has_port(b, a->facts[i].protocol, a->facts[i].port))
			return false;
	return true;
}

static bool go_together(const struct maker *m, const struct run *a, const struct run *b)
{
	return !a->is_dns && !b->is_dns && class_of(m, a) == class_of(m, b) && has_same_ports(a, b);
}

static void put_behind(struct maker *m, const struct run *r, struct buf *b)
{
	struct fact sum = { .passed = 0 };

	for (size_t i = 0; i < r->span; i++) {
		const struct fact *f = &r->facts[i];

		if (!f->allowed)
			continue;
		sum.passed += f->passed;
		sum.denied += f->denied;
		policy_span_add(&sum.span, f->span);
	}
	peer_put(m->s, &m->s->peers[r->facts->peer], b);
	buf_lit(b, ": ");
	make_flows(b, sum.passed + sum.denied);
	put_span(b, sum.span);
	if (sum.denied) {
		buf_lit(b, ", ");
		buf_grouped(b, sum.denied);
		buf_lit(b, " of them denied");
	}
}

static json_t *rule_of(struct maker *m, const struct part *p, struct runs *runs, size_t at,
		       bool shows_dns)
{
	AUTO_BUF struct buf line = buf_init(SUGGEST_COMMENT_MAX);
	struct run *first = &runs->items[at];
	json_t *comment = made(m, json_array()), *peers = made(m, json_array());
	json_t *rule = make_mapping(m, SUGGEST_COMMENT, comment);
	size_t n = 0;

	if (first->is_dns)
		make_words(m, comment, "DNS of the cluster: by UDP, and by TCP for long answers");
	if (shows_dns && class_of(m, first) != PEER_NAME && asks_dns(first))
		make_words(m, comment,
			   "Any name may be asked for; toFQDNs learns addresses from the answers");
	for (size_t i = at; i < runs->count; i++) {
		struct run *r = &runs->items[i];

		if (r->done || (i != at && !go_together(m, first, r)))
			continue;
		r->done = true;
		make_append(m, peers, peer_of(m, p->subject, &m->s->peers[r->facts->peer]));
		if (n++ >= SUGGEST_TOLD_MAX)
			continue;
		put_behind(m, r, &line);
		make_line(m, comment, &line);
	}
	if (n > SUGGEST_TOLD_MAX) {
		buf_printf(&line, "and %zu more", n - SUGGEST_TOLD_MAX);
		make_line(m, comment, &line);
	}
	make_set(m, rule, peers_key(m, class_of(m, first), p->ingress), peers);
	set_ports(m, rule, first, shows_dns && class_of(m, first) != PEER_NAME);
	return rule;
}

/* toFQDNs needs it, and none was seen. */
static json_t *unseen_dns_rule(struct maker *m)
{
	json_t *comment = made(m, json_array()), *peers = made(m, json_array());
	json_t *rule = make_mapping(m, SUGGEST_COMMENT, comment), *ports = made(m, json_array());
	json_t *labels = make_mapping(m, "k8s-app", make_text(m, STR("kube-dns"))), *item;
	json_t *list = made(m, json_array());

	make_words(m, comment, "Not seen, but needed: names of toFQDNs are learned from DNS");
	make_set(m, labels, "k8s:io.kubernetes.pod.namespace", make_text(m, STR("kube-system")));
	make_append(m, peers, make_mapping(m, "matchLabels", labels));
	make_set(m, rule, "toEndpoints", peers);
	make_append(m, ports, port_of(m, IPPROTO_UDP, DNS_PORT));
	make_append(m, ports, port_of(m, IPPROTO_TCP, DNS_PORT));
	item = make_mapping(m, "ports", ports);
	make_set(m, item, "rules", dns_rules(m));
	make_append(m, list, item);
	make_set(m, rule, "toPorts", list);
	return rule;
}

json_t *make_rules(struct maker *m, const struct part *p)
{
	json_t *rules = made(m, json_array());
	struct runs runs = { 0 };
	bool names = false, dns = false;

	find_runs(m, p, &runs);
	for (size_t i = 0; i < runs.count; i++) {
		names |= class_of(m, &runs.items[i]) == PEER_NAME;
		dns |= class_of(m, &runs.items[i]) != PEER_NAME && asks_dns(&runs.items[i]);
	}
	if (names && !dns)
		make_append(m, rules, unseen_dns_rule(m));
	for (size_t i = 0; i < runs.count; i++)
		if (!runs.items[i].done)
			make_append(m, rules, rule_of(m, p, &runs, i, names));
	free(runs.items);
	/* an empty rule of Cilium's closes the direction, an empty list does not */
	if (m->cilium && !json_array_size(rules))
		make_append(m, rules, made(m, json_object()));
	return rules;
}
