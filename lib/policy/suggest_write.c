/* Facts as objects, with comments on what is behind them. */
#include <stdarg.h>

#include "policy/suggest_inside.h"

enum {
	COMMENT_MAX = 1 << 16,
	DNS_PORT = 53,
	PORTS_OF_ONE = 40
}; /* Cilium takes 40 ports in a list */

/* What failed once has failed: values may be NULL after that, which jansson refuses. */
struct maker {
	const struct suggest *s;
	bool failed;
	bool cilium;
};

static json_t *made(struct maker *m, json_t *value)
{
	m->failed |= !value;
	return value;
}

static json_t *text(struct maker *m, struct str s)
{
	return made(m, json_stringn(s.p, s.len));
}

/* Takes @value. */
static void set(struct maker *m, json_t *object, const char *key, json_t *value)
{
	m->failed |= json_object_set_new(object, key, value) != 0;
}

static void append(struct maker *m, json_t *array, json_t *value)
{
	m->failed |= json_array_append_new(array, value) != 0;
}

/* Takes @value: { key: value }. */
static json_t *mapping(struct maker *m, const char *key, json_t *value)
{
	json_t *object = made(m, json_object());

	set(m, object, key, value);
	return object;
}

static void say_buf(struct maker *m, json_t *comment, struct buf *line)
{
	if (line->failed)
		m->failed = true;
	else
		append(m, comment, text(m, buf_str(line)));
	buf_reset(line);
}

static void say(struct maker *m, json_t *comment, const char *line)
{
	append(m, comment, text(m, str_of(line)));
}

static void put_flows(struct buf *b, uint64_t n)
{
	buf_grouped(b, n);
	buf_str_put(b, n == 1 ? STR(" flow") : STR(" flows"));
}

static void put_second(struct buf *b, struct wall_ns at)
{
	struct timestamp t = timestamp_of(at);

	t.ns = 0;
	timestamp_put(b, t);
}

static void put_span(struct buf *b, struct span span)
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
						  text(m, g->chosen[i].value)) != 0;
	return labels;
}

static json_t *selector_of(struct maker *m, json_t *labels)
{
	if (labels && json_object_size(labels))
		return mapping(m, "matchLabels", labels);
	json_decref(labels);
	return made(m, json_object());
}

static json_t *pods_of(struct maker *m, const struct suggest_group *subject, uint32_t leader)
{
	const struct suggest_group *g = &m->s->groups[leader];
	bool far = !str_eq(g->namespace_, subject->namespace_);
	json_t *labels = labels_of(m, g), *peer;

	if (m->cilium) {
		if (far)
			set(m, labels, "k8s:io.kubernetes.pod.namespace", text(m, g->namespace_));
		return selector_of(m, labels);
	}
	peer = made(m, json_object());
	if (far)
		set(m, peer, "namespaceSelector",
		    mapping(m, "matchLabels",
			    mapping(m, "kubernetes.io/metadata.name", text(m, g->namespace_))));
	set(m, peer, "podSelector", selector_of(m, labels));
	return peer;
}

static json_t *peer_of(struct maker *m, const struct suggest_group *subject, const struct peer *p)
{
	if (p->class_ == PEER_PODS)
		return pods_of(m, subject, p->group);
	if (p->class_ == PEER_NAME)
		return mapping(m, "matchName", text(m, p->text));
	if (m->cilium)
		return text(m, p->text);
	return mapping(m, "ipBlock", mapping(m, "cidr", text(m, p->text)));
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
	AUTO_BUF struct buf b = buf_init(16);
	json_t *object;

	buf_u64(&b, port);
	object = mapping(m, "port", m->cilium ? text(m, buf_str(&b)) : made(m, json_integer(port)));
	set(m, object, "protocol", text(m, str_of(suggest_protocol(protocol))));
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
		append(m, ports, port_of(m, IPPROTO_UDP, DNS_PORT));
		append(m, ports, port_of(m, IPPROTO_TCP, DNS_PORT));
		return ports;
	}
	for (size_t i = 0; i < r->span; i++) {
		const struct fact *f = &r->facts[i];

		if (f->allowed && is_dns_port(f->protocol, f->port) == dns)
			append(m, ports, port_of(m, f->protocol, f->port));
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
		json_t *field = mapping(m, "family", text(m, v4 ? STR("IPv4") : STR("IPv6")));
		set(m, field, "type", made(m, json_integer(r->facts[i].port)));
		append(m, fields, field);
	}
	json_t *icmps = made(m, json_array());
	append(m, icmps, mapping(m, "fields", fields));
	return icmps;
}

/* What shows a pod's DNS to Cilium, of any name: which names are asked for is not what this is
 * about, only that their addresses are learned. */
static json_t *dns_rules(struct maker *m)
{
	json_t *patterns = made(m, json_array());

	append(m, patterns, mapping(m, "matchPattern", text(m, STR("*"))));
	return mapping(m, "dns", patterns);
}

static void set_ports(struct maker *m, json_t *rule, const struct run *r, bool shows_dns)
{
	if (is_icmp(r->facts->protocol)) {
		set(m, rule, "icmps", icmps_of(m, r));
		return;
	}
	json_t *dns = asks_dns(r) ? ports_of(m, r, true) : made(m, json_array());
	json_t *ports = ports_of(m, r, false);
	if (!m->cilium) {
		append_all(m, dns, ports);
		set(m, rule, "ports", dns);
		return;
	}
	json_t *list = made(m, json_array()), *item;
	if (json_array_size(dns) && shows_dns) {
		item = mapping(m, "ports", dns);
		set(m, item, "rules", dns_rules(m));
		append(m, list, item);
	} else {
		append_all(m, dns, ports);
		ports = dns;
	}
	for (size_t i = 0; i < json_array_size(ports); i += PORTS_OF_ONE) {
		json_t *some = made(m, json_array());
		for (size_t j = i; j < i + PORTS_OF_ONE && j < json_array_size(ports); j++)
			m->failed |= json_array_append(some, json_array_get(ports, j)) != 0;
		append(m, list, mapping(m, "ports", some));
	}
	json_decref(ports);
	set(m, rule, "toPorts", list);
}

/* --- rules ------------------------------------------------------------------------------------ */

struct part {
	const struct suggest_group *subject;
	const struct fact *facts; /* of one subject and direction */
	size_t count;
	bool ingress;
	struct run *runs;
	size_t run_count;
};

static enum peer_class class_of(const struct maker *m, const struct run *r)
{
	return m->s->peers[r->facts->peer].class_;
}

static bool is_same_run(const struct fact *a, const struct fact *b)
{
	return a->peer == b->peer && is_icmp(a->protocol) == is_icmp(b->protocol);
}

static void find_runs(struct maker *m, struct part *p)
{
	p->runs = calloc(p->count + 1, sizeof *p->runs);
	m->failed |= !p->runs;
	for (size_t i = 0; i < p->count && p->runs;) {
		struct run r = { .facts = &p->facts[i] };

		for (; i < p->count && is_same_run(r.facts, &p->facts[i]); i++) {
			r.count += p->facts[i].allowed;
			r.span++;
		}
		if (!r.count || class_of(m, &r) == PEER_OWN_NODE)
			continue;
		r.is_dns = !p->ingress && peer_is_kube_dns(m->s, &m->s->peers[r.facts->peer]) &&
			   asks_dns(&r);
		p->runs[p->run_count++] = r;
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
		span_add(&sum.span, f->span);
	}
	peer_put(m->s, &m->s->peers[r->facts->peer], b);
	buf_lit(b, ": ");
	put_flows(b, sum.passed + sum.denied);
	put_span(b, sum.span);
	if (sum.denied) {
		buf_lit(b, ", ");
		buf_grouped(b, sum.denied);
		buf_lit(b, " of them denied");
	}
}

static json_t *rule_of(struct maker *m, struct part *p, size_t at, bool shows_dns)
{
	AUTO_BUF struct buf line = buf_init(COMMENT_MAX);
	struct run *first = &p->runs[at];
	json_t *comment = made(m, json_array()), *peers = made(m, json_array());
	json_t *rule = mapping(m, SUGGEST_COMMENT, comment);
	size_t n = 0;

	if (first->is_dns)
		say(m, comment, "DNS of the cluster: by UDP, and by TCP for long answers");
	if (shows_dns && class_of(m, first) != PEER_NAME && asks_dns(first))
		say(m, comment,
		    "Any name may be asked for; toFQDNs learns addresses from the answers");
	for (size_t i = at; i < p->run_count; i++) {
		struct run *r = &p->runs[i];

		if (r->done || (i != at && !go_together(m, first, r)))
			continue;
		r->done = true;
		append(m, peers, peer_of(m, p->subject, &m->s->peers[r->facts->peer]));
		if (n++ >= SUGGEST_TOLD_MAX)
			continue;
		put_behind(m, r, &line);
		say_buf(m, comment, &line);
	}
	if (n > SUGGEST_TOLD_MAX) {
		buf_printf(&line, "and %zu more", n - SUGGEST_TOLD_MAX);
		say_buf(m, comment, &line);
	}
	set(m, rule, peers_key(m, class_of(m, first), p->ingress), peers);
	set_ports(m, rule, first, shows_dns && class_of(m, first) != PEER_NAME);
	return rule;
}

/* toFQDNs needs it, and none was seen. */
static json_t *unseen_dns_rule(struct maker *m)
{
	json_t *comment = made(m, json_array()), *peers = made(m, json_array());
	json_t *rule = mapping(m, SUGGEST_COMMENT, comment), *ports = made(m, json_array());
	json_t *labels = mapping(m, "k8s-app", text(m, STR("kube-dns"))), *item;
	json_t *list = made(m, json_array());

	say(m, comment, "Not seen, but needed: names of toFQDNs are learned from DNS");
	set(m, labels, "k8s:io.kubernetes.pod.namespace", text(m, STR("kube-system")));
	append(m, peers, mapping(m, "matchLabels", labels));
	set(m, rule, "toEndpoints", peers);
	append(m, ports, port_of(m, IPPROTO_UDP, DNS_PORT));
	append(m, ports, port_of(m, IPPROTO_TCP, DNS_PORT));
	item = mapping(m, "ports", ports);
	set(m, item, "rules", dns_rules(m));
	append(m, list, item);
	set(m, rule, "toPorts", list);
	return rule;
}

static json_t *rules_of(struct maker *m, struct part *p)
{
	json_t *rules = made(m, json_array());
	bool names = false, dns = false;

	find_runs(m, p);
	for (size_t i = 0; i < p->run_count; i++) {
		names |= class_of(m, &p->runs[i]) == PEER_NAME;
		dns |= class_of(m, &p->runs[i]) != PEER_NAME && asks_dns(&p->runs[i]);
	}
	if (names && !dns)
		append(m, rules, unseen_dns_rule(m));
	for (size_t i = 0; i < p->run_count; i++)
		if (!p->runs[i].done)
			append(m, rules, rule_of(m, p, i, names));
	free(p->runs);
	p->runs = NULL;
	/* an empty rule of Cilium's closes the direction, an empty list does not */
	if (m->cilium && !json_array_size(rules))
		append(m, rules, made(m, json_object()));
	return rules;
}

/* --- what is told of a policy ----------------------------------------------------------------- */

struct told {
	const char *title;
	bool (*is_it)(const struct suggest *s, const struct fact *f);
};

static bool was_left_denied(const struct suggest *s, const struct fact *f)
{
	(void)s;
	return f->denied && !f->seen;
}

static bool was_unsaid(const struct suggest *s, const struct fact *f)
{
	return f->seen && fact_unsaid(s, f);
}

static bool was_left_out(const struct suggest *s, const struct fact *f)
{
	(void)s;
	return f->left_out;
}

static bool is_of_own_node(const struct suggest *s, const struct fact *f)
{
	return f->seen && s->peers[f->peer].class_ == PEER_OWN_NODE;
}

static const struct told tells[] = {
	{ "Without a rule, for its own node always reaches a pod:", is_of_own_node },
	{ "Denied when it was seen, and by this policy (--with-denied allows it):",
	  was_left_denied },
	{ "NOT ALLOWED, though it was forwarded, for no rule can say it:", was_unsaid },
	{ "NOT ALLOWED, though it was forwarded: beyond the limits of peers or ports, which "
	  "--cidr-prefix may help with:",
	  was_left_out },
};

static void put_fact(struct maker *m, const struct fact *f, struct buf *b)
{
	buf_str_put(b, f->direction == POLICY_INGRESS ? STR("  from ") : STR("  to "));
	peer_put(m->s, &m->s->peers[f->peer], b);
	buf_printf(b, ", %s", suggest_protocol(f->protocol));
	if (!is_icmp(f->protocol))
		buf_printf(b, " %u", f->port);
	buf_lit(b, ": ");
	put_flows(b, f->passed + f->denied);
	if (f->seen && fact_unsaid(m->s, f))
		buf_printf(b, "; %s", fact_unsaid(m->s, f));
}

static void tell(struct maker *m, json_t *comment, const struct told *t, const struct fact *facts,
		 size_t count)
{
	AUTO_BUF struct buf line = buf_init(COMMENT_MAX);
	size_t n = 0;

	for (size_t i = 0; i < count; i++) {
		if (!t->is_it(m->s, &facts[i]))
			continue;
		if (!n)
			say(m, comment, t->title);
		if (n++ >= SUGGEST_TOLD_MAX)
			continue;
		put_fact(m, &facts[i], &line);
		say_buf(m, comment, &line);
	}
	if (n > SUGGEST_TOLD_MAX) {
		buf_printf(&line, "  and %zu more", n - SUGGEST_TOLD_MAX);
		say_buf(m, comment, &line);
	}
}

static bool has_node_block(const struct suggest *s, const struct fact *facts, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (facts[i].allowed && s->peers[facts[i].peer].entity.len)
			return true;
	return false;
}

static bool allows_any(const struct fact *facts, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (facts[i].allowed)
			return true;
	return false;
}

/* --- one policy ------------------------------------------------------------------------------- */

static json_t *comment_of(struct maker *m, uint32_t leader, const struct fact *facts, size_t in,
			  size_t count)
{
	AUTO_BUF struct buf line = buf_init(COMMENT_MAX);
	json_t *comment = made(m, json_array());
	size_t members = 0;

	for (size_t i = 0; i < m->s->group_count; i++)
		members += m->s->groups[i].leader == leader;
	group_put(m->s, leader, &line);
	say_buf(m, comment, &line);
	if (members > 1)
		say(m, comment, "Their labels do not tell them apart: one policy for all of them.");
	if (m->s->config.ingress && !allows_any(facts, in))
		say(m, comment, "No ingress was seen that is to be allowed: all of it is denied.");
	if (m->s->config.egress && !allows_any(facts + in, count - in))
		say(m, comment, "No egress was seen that is to be allowed: all of it is denied.");
	if (has_node_block(m->s, facts, count))
		say(m, comment,
		    "Addresses of nodes are in ipBlock, which Cilium does not apply to them: see "
		    "--kind cilium.");
	for (size_t i = 0; i < ARRAY_LEN(tells); i++)
		tell(m, comment, &tells[i], facts, count);
	return comment;
}

/* @facts of one subject: @in of ingress, then those of egress. */
static json_t *policy_of(struct maker *m, uint32_t leader, const struct fact *facts, size_t in,
			 size_t count)
{
	const struct suggest_group *g = &m->s->groups[leader];
	struct part parts[] = { { .subject = g, .facts = facts, .count = in, .ingress = true },
				{ .subject = g, .facts = facts + in, .count = count - in } };
	const bool wanted[] = { m->s->config.ingress, m->s->config.egress };
	json_t *object = mapping(m, SUGGEST_COMMENT, comment_of(m, leader, facts, in, count));
	json_t *metadata = mapping(m, "name", text(m, str_of(g->policy)));
	json_t *types = made(m, json_array());

	set(m, object, "apiVersion",
	    text(m, m->cilium ? STR("cilium.io/v2") : STR("networking.k8s.io/v1")));
	set(m, object, "kind",
	    text(m, m->cilium ? STR("CiliumNetworkPolicy") : STR("NetworkPolicy")));
	set(m, metadata, "namespace", text(m, g->namespace_));
	set(m, object, "metadata", metadata);
	json_t *spec = mapping(m, m->cilium ? "endpointSelector" : "podSelector",
			       selector_of(m, labels_of(m, g)));
	if (wanted[0])
		append(m, types, text(m, STR("Ingress")));
	if (wanted[1])
		append(m, types, text(m, STR("Egress")));
	if (m->cilium)
		json_decref(types);
	else
		set(m, spec, "policyTypes", types);
	for (size_t i = 0; i < ARRAY_LEN(parts); i++)
		if (wanted[i])
			set(m, spec, parts[i].ingress ? "ingress" : "egress",
			    rules_of(m, &parts[i]));
	set(m, object, "spec", spec);
	return object;
}

/* --- all of them ------------------------------------------------------------------------------ */

static void count_connection(const struct suggest *s, const struct connection *c,
			     struct suggest_counts *to)
{
	uint64_t flows = c->passed + c->denied;
	bool allowed = false, unsaid = false, left_out = false, any = false;

	for (int i = CLIENT; i <= SERVER; i++) {
		const struct fact *f = c->facts[i] != NO_FACT ? &s->facts[c->facts[i]] : NULL;

		any |= f != NULL;
		allowed |= f && f->allowed;
		left_out |= f && f->left_out;
		unsaid |= f && was_unsaid(s, f);
	}
	if (unsaid)
		to->unsaid += flows;
	else if (left_out)
		to->left_out += flows;
	else if (allowed)
		to->flows += flows;
	else if (any)
		to->denied += flows;
	else
		to->other += flows;
	if (!allowed || !c->span.known)
		return;
	if (!to->has_time || c->span.first.v < to->first.v)
		to->first = c->span.first;
	if (!to->has_time || c->span.last.v > to->last.v)
		to->last = c->span.last;
	to->has_time = true;
}

struct subject {
	const struct suggest_group *group;
	uint32_t leader;
};

static int by_group(const void *a, const void *b)
{
	return str_cmp(((const struct subject *)a)->group->key,
		       ((const struct subject *)b)->group->key);
}

static void make_all(struct maker *m, struct subject *subjects, size_t count, json_t *list)
{
	const struct suggest *s = m->s;
	size_t at = 0;

	qsort(subjects, count, sizeof *subjects, by_group);
	for (size_t i = 0; i < count; i++) {
		size_t from = at, in = 0;

		/* facts are sorted as subjects are */
		for (; at < s->fact_count && s->facts[at].subject == subjects[i].leader; at++)
			in += s->facts[at].direction == POLICY_INGRESS;
		append(m, list, policy_of(m, subjects[i].leader, s->facts + from, in, at - from));
	}
}

enum err_code suggest_policies(struct suggest *s, json_t **ret, struct suggest_counts *ret_counts,
			       struct err *e)
{
	struct suggest_counts counts = { .other = s->other, .left_out = s->left_out };
	struct maker m = { .s = s, .cilium = s->config.kind == SUGGEST_CILIUM };
	AUTO(own_free) struct subject *subjects = calloc(s->group_count + 1, sizeof *subjects);
	size_t n = 0;

	if (!subjects)
		return err_set(e, ERR_NOMEM, "suggested policies");
	if (suggest_tell_apart(s, e) != ERR_OK || suggest_facts(s, e) != ERR_OK)
		return e->code;
	for (size_t i = 0; i < s->connection_count; i++)
		count_connection(s, &s->connections[i], &counts);
	if (!counts.flows)
		return err_set(
			e, ERR_NOT_FOUND,
			"no forwarded connection of these pods was seen: nothing to suggest");
	for (size_t i = 0; i < s->group_count; i++)
		if (s->groups[i].leader == i && s->groups[i].asked)
			subjects[n++] = (struct subject){ &s->groups[i], (uint32_t)i };
	json_t *list = made(&m, json_array());
	make_all(&m, subjects, n, list);
	if (m.failed) {
		json_decref(list);
		return err_set(e, ERR_NOMEM, "suggested policies");
	}
	counts.policies = n;
	*ret = list;
	*ret_counts = counts;
	return ERR_OK;
}
