/* Rules as parts, ports and peers, and which of them a connection matches. */
#include "policy/audit_inside.h"

enum { WORLD_SELECTORS = 3, CLUSTER_SELECTORS = 8, DNS_PORT = 53, TEXT_MAX = 8192 };

/* --- parts of a rule -------------------------------------------------------------------------- */

static enum err_code add_part(struct audit *a, struct used_rule *r, struct part part, struct err *e)
{
	if (a->part_count == AUDIT_PARTS_MAX) {
		r->has_no_width = true;
		return ERR_OK;
	}
	if (policy_grow(&a->parts, a->part_count, &a->part_room, sizeof *a->parts, e) != ERR_OK)
		return e->code;
	part.rule = (uint32_t)(r - a->rules);
	part.last_known = UINT32_MAX;
	a->parts[a->part_count++] = part;
	r->part_count++;
	return ERR_OK;
}

static uint8_t mask_of(uint8_t protocol)
{
	switch (protocol) {
	case IPPROTO_TCP:
		return MASK_TCP;
	case IPPROTO_UDP:
		return MASK_UDP;
	case IPPROTO_SCTP:
		return MASK_SCTP;
	default:
		return MASK_OTHER;
	}
}

static bool is_same_range(const struct port *a, const struct port *b)
{
	return a->first == b->first && a->last == b->last && !a->name.len && !b->name.len &&
	       !a->never && !b->never;
}

/* Protocols that the rule has for the range of port @i. */
static uint8_t protocols_of(const struct rule *rule, size_t i)
{
	uint8_t mask = 0;

	for (size_t j = 0; j < rule->port_count; j++)
		if (j == i || is_same_range(&rule->ports[i], &rule->ports[j]))
			mask |= mask_of(rule->ports[j].protocol);
	return mask;
}

/* "ANY" is three protocols, and DNS is asked by UDP and TCP: nobody means one of them alone. */
static uint8_t joined_mask(const struct rule *rule, size_t i)
{
	const struct port *p = &rule->ports[i];
	uint8_t all = protocols_of(rule, i) & (MASK_TCP | MASK_UDP | MASK_SCTP);
	bool dns = p->first == DNS_PORT && p->last == DNS_PORT;

	if (mask_of(p->protocol) == MASK_OTHER || p->name.len)
		return mask_of(p->protocol);
	return dns || all == (MASK_TCP | MASK_UDP | MASK_SCTP) ? all : mask_of(p->protocol);
}

/* An earlier port stands for it, too. */
static bool is_joined(const struct rule *rule, size_t i)
{
	for (size_t j = 0; j < i; j++)
		if (is_same_range(&rule->ports[i], &rule->ports[j]) &&
		    (rule->ports[i].protocol == rule->ports[j].protocol ||
		     (joined_mask(rule, j) != MASK_OTHER &&
		      joined_mask(rule, j) & mask_of(rule->ports[i].protocol))))
			return true;
	return false;
}

static enum err_code add_ports(struct audit *a, struct used_rule *r, struct err *e)
{
	const struct rule *rule = r->rule;

	if (!rule->narrowed)
		return add_part(a, r, (struct part){ .kind = PART_ALL_PORTS }, e);
	for (uint32_t i = 0; i < rule->port_count; i++) {
		const struct part part = {
			.kind = PART_PORTS, .first = i, .count = 1, .mask = joined_mask(rule, i)
		};

		if (!is_joined(rule, i) && add_part(a, r, part, e) != ERR_OK)
			return e->code;
	}
	return ERR_OK;
}

static bool is_reserved(const struct audit *a, const struct rule *rule, size_t i, const char *name)
{
	if (i >= rule->selector_count)
		return false;
	const struct selector *s = set_selector(a->set, rule->selectors[i]);

	return s->count == 1 && s->requirements[0].op == REQ_EXISTS &&
	       str_is(s->requirements[0].source, "reserved") &&
	       str_is(s->requirements[0].key, name);
}

/* How many selectors stand for one entity from @i on, as it was read. */
static uint32_t selectors_of_peer(const struct audit *a, const struct rule *rule, size_t i)
{
	if (is_reserved(a, rule, i, "world") && is_reserved(a, rule, i + 1, "world-ipv4") &&
	    is_reserved(a, rule, i + 2, "world-ipv6"))
		return WORLD_SELECTORS;
	if (is_reserved(a, rule, i, "host") && is_reserved(a, rule, i + 1, "remote-node") &&
	    is_reserved(a, rule, i + 2, "init") && is_reserved(a, rule, i + 3, "ingress") &&
	    i + CLUSTER_SELECTORS <= rule->selector_count)
		return CLUSTER_SELECTORS;
	return 1;
}

static enum err_code add_pods(struct audit *a, struct used_rule *r, struct err *e)
{
	const struct rule *rule = r->rule;

	for (uint32_t i = 0; i < rule->selector_count;) {
		bool anybody = !set_selector(a->set, rule->selectors[i])->count;
		const struct part part = { .kind = anybody ? PART_ANYBODY : PART_PODS,
					   .first = i,
					   .count = selectors_of_peer(a, rule, i) };

		if (add_part(a, r, part, e) != ERR_OK)
			return e->code;
		i += part.count;
	}
	return ERR_OK;
}

static enum err_code add_peers(struct audit *a, struct used_rule *r, struct err *e)
{
	const struct rule *rule = r->rule;

	if (rule->everybody)
		return add_part(a, r, (struct part){ .kind = PART_ANYBODY }, e);
	/* services are a rule's only peers: selectors and blocks are theirs */
	if (!rule->service_count && add_pods(a, r, e) != ERR_OK)
		return e->code;
	for (uint32_t i = 0; i < rule->own_blocks && !rule->service_count; i++)
		if (add_part(a, r, (struct part){ .kind = PART_BLOCK, .first = i, .count = 1 },
			     e) != ERR_OK)
			return e->code;
	for (uint32_t i = 0; i < rule->name_count; i++)
		if (add_part(a, r, (struct part){ .kind = PART_NAME, .first = i, .count = 1 }, e) !=
		    ERR_OK)
			return e->code;
	if (rule->service_count || rule->group_count)
		return add_part(a, r, (struct part){ .kind = PART_LINKED }, e);
	return ERR_OK;
}

static bool denies(uint8_t section)
{
	return section == POLICY_SECTION_INGRESS_DENY || section == POLICY_SECTION_EGRESS_DENY;
}

static enum err_code make_rule(struct audit *a, struct used_rule *r, struct err *e)
{
	r->first_part = (uint32_t)a->part_count;
	if (denies(r->ref.section) || r->rule->nobody) /* a wide denial is no finding */
		return ERR_OK;
	if (add_ports(a, r, e) != ERR_OK)
		return e->code;
	return add_peers(a, r, e);
}

enum err_code audit_rules_make(struct audit *a, struct err *e)
{
	const struct policy_set *set = a->set;
	size_t n = 0;

	a->rules = calloc(set->rule_count + 1, sizeof *a->rules);
	a->first_rule = calloc(set->specs.count * POLICY_SECTION_COUNT_ + 1, sizeof *a->first_rule);
	if (!a->rules || !a->first_rule)
		return err_set(e, ERR_NOMEM, "audit of policies");
	for (size_t i = 0; i < set->specs.count; i++)
		for (uint8_t k = 0; k < POLICY_SECTION_COUNT_; k++) {
			const struct spec *s = set_spec(set, i);

			a->first_rule[i * POLICY_SECTION_COUNT_ + k] = (uint32_t)n;
			for (size_t j = 0; j < s->rule_count[k]; j++) {
				struct used_rule *r = &a->rules[n++];

				r->spec = s;
				r->rule = &s->rules[k][j];
				r->ref = (struct policy_ref){ s->policy, s->index, k,
							      r->rule->index };
				if (make_rule(a, r, e) != ERR_OK)
					return e->code;
			}
		}
	a->rule_count = n;
	return ERR_OK;
}

/* --- what matches ----------------------------------------------------------------------------- */

static bool port_part_matches(const struct part *p, const struct rule *rule,
			      const struct policy_query *q)
{
	struct port port = rule->ports[p->first];
	uint16_t first, last;
	bool its = p->mask == MASK_OTHER ? port.protocol == q->protocol
					 : p->mask & mask_of(q->protocol);

	port.protocol = q->protocol;
	return its && port_range(&port, q, &first, &last) && q->port >= first && q->port <= last;
}

bool audit_part_selects(const struct audit *a, const struct part *p, const struct policy_row *row)
{
	const struct rule *rule = a->rules[p->rule].rule;

	if (p->kind == PART_ANYBODY)
		return true;
	for (uint32_t i = 0; p->kind == PART_PODS && i < p->count; i++)
		if (row_has_selector(row, rule->selectors[p->first + i]))
			return true;
	return false;
}

static bool linked_matches(const struct rule *rule, const struct policy_peer *peer)
{
	for (size_t i = 0; i < rule->group_count; i++)
		if (group_matches(&rule->groups[i], peer))
			return true;
	for (size_t i = rule->service_count ? 0 : rule->own_blocks; i < rule->block_count; i++)
		if (block_has(&rule->blocks[i], peer->ips[0]))
			return true;
	for (size_t i = 0; rule->service_count && i < rule->selector_count; i++)
		if (row_has_selector(peer->row, rule->selectors[i]))
			return true;
	return false;
}

/* @ret_name: of a rule by names the one that matches. */
static bool part_matches(const struct audit *a, const struct part *p, const struct policy_query *q,
			 struct str *ret_name)
{
	const struct rule *rule = a->rules[p->rule].rule;
	bool outside = (q->peer.row->flags & ROW_WORLD) || rule->any_address;

	switch (p->kind) {
	case PART_ALL_PORTS:
		return true;
	case PART_PORTS:
		return port_part_matches(p, rule, q);
	case PART_BLOCK:
		return outside && block_has(&rule->blocks[p->first], q->peer.ips[0]);
	case PART_NAME:
		for (size_t i = 0; outside && i < q->peer.name_count; i++)
			if (name_matches(rule->names[p->first], q->peer.names[i])) {
				*ret_name = q->peer.names[i];
				return true;
			}
		return false;
	case PART_LINKED:
		return linked_matches(rule, &q->peer);
	default:
		return audit_part_selects(a, p, q->peer.row);
	}
}

/* Names are the only peers of their rules. */
static void note_rule(struct audit *a, struct used_rule *r, const struct policy_query *q)
{
	for (uint32_t i = r->first_part; i < r->first_part + r->part_count; i++) {
		const struct part *p = &a->parts[i];

		r->is_nameless |= p->kind == PART_ALL_PORTS ||
				  (p->kind == PART_PORTS && port_part_matches(p, r->rule, q));
	}
	r->is_nameless |= r->has_no_width;
}

void audit_note_nameless(struct audit *a, const struct policy_query *q)
{
	if (q->direction != POLICY_EGRESS || !a->set->uses_names || q->peer.name_count ||
	    !(q->peer.row->flags & ROW_WORLD))
		return;
	for (size_t i = 0; i < a->set->specs.count; i++) {
		const struct spec *s = set_spec(a->set, i);
		struct used_rule *rules =
			&a->rules[a->first_rule[i * POLICY_SECTION_COUNT_ + POLICY_SECTION_EGRESS]];

		if (!s->asks[POLICY_EGRESS].names || !row_has_spec(a->set, q->subject, i))
			continue;
		for (size_t j = 0; j < s->rule_count[POLICY_SECTION_EGRESS]; j++)
			if (rules[j].rule->name_count)
				note_rule(a, &rules[j], q);
	}
}

/* --- what was seen of a part ------------------------------------------------------------------ */

static enum err_code hit(struct audit *a, enum hit_kind kind, uint32_t at, struct err *e)
{
	if (policy_grow(&a->hits, a->hit_count, &a->hit_room, sizeof *a->hits, e) != ERR_OK)
		return e->code;
	a->hits[a->hit_count++] = (uint32_t)kind << HIT_SHIFT | at;
	return ERR_OK;
}

static enum err_code see(struct audit *a, uint32_t part, uint32_t what, struct err *e)
{
	const uint32_t key[2] = { part, what };
	struct part *p = &a->parts[part];
	uint32_t at;

	if (map_get(a->by_seen, str_n(key, sizeof key), &at))
		return hit(a, HIT_SEEN, at, e);
	if (p->seen == AUDIT_SEEN_MAX || a->seen_count == AUDIT_SEEN_ALL_MAX) {
		p->more = true;
		return ERR_OK;
	}
	at = (uint32_t)a->seen_count;
	if (policy_grow(&a->seen, a->seen_count, &a->seen_room, sizeof *a->seen, e) != ERR_OK ||
	    map_put(a->by_seen, str_n(key, sizeof key), at, NULL, e) != ERR_OK)
		return e->code;
	a->seen[a->seen_count++] = (struct seen){ .part = part, .what = what };
	p->seen++;
	return hit(a, HIT_SEEN, at, e);
}

static unsigned common_bits(const struct prefix *a, const struct prefix *b)
{
	unsigned n = a->bits < b->bits ? a->bits : b->bits, common = 128;

	if (a->hi != b->hi)
		common = (unsigned)__builtin_clzll(a->hi ^ b->hi);
	else if (a->lo != b->lo)
		common = 64 + (unsigned)__builtin_clzll(a->lo ^ b->lo);
	return common < n ? common : n;
}

static void widen(struct part *p, const uint8_t ip[16])
{
	const struct prefix one = prefix_of(ip, 128, ip_is_v4(ip));

	p->cover = p->covered ? prefix_of(ip, common_bits(&p->cover, &one), one.v4) : one;
	p->covered = true;
}

static enum err_code see_text(struct audit *a, uint32_t part, struct str text, struct err *e)
{
	uint32_t id = 0;

	/* those of a part that has enough of them would fill the room of others */
	if (!map_get(a->by_text, text, &id) && a->parts[part].seen < AUDIT_SEEN_MAX &&
	    audit_text(a, text, &id, e) != ERR_OK)
		return e->code;
	if (id)
		return see(a, part, id, e);
	a->parts[part].more = true;
	return ERR_OK;
}

static enum err_code hit_part(struct audit *a, uint32_t part, const struct policy_query *q,
			      const struct policy_asked *of, struct str name, struct err *e)
{
	struct part *p = &a->parts[part];
	int peer = q->direction == POLICY_EGRESS ? SERVER : CLIENT;
	char text[TEXT_MAX], ip[FLOW_IP_TEXT_BYTES];
	struct buf b = buf_fixed(text, sizeof text);

	if (hit(a, HIT_PART, part, e) != ERR_OK)
		return e->code;
	p->outside |= (q->peer.row->flags & ROW_WORLD) != 0;
	switch (p->kind) {
	case PART_ALL_PORTS:
	case PART_PORTS:
		return see(a, part, (uint32_t)q->protocol << 16 | q->port, e);
	case PART_BLOCK:
		widen(p, of->ips[peer]);
		return see_text(a, part, ip_text(of->ips[peer], ip), e);
	case PART_NAME:
		return see_text(a, part, name, e);
	default:
		policy_asked_put_end(of, peer, &b);
		return see_text(a, part, buf_str(&b), e);
	}
}

static uint32_t find_rule(const struct audit *a, struct policy_ref ref)
{
	size_t i = set_first_spec(a->set, ref.policy);

	while (set_spec(a->set, i)->index != ref.spec)
		i++;
	return a->first_rule[i * POLICY_SECTION_COUNT_ + ref.section] + ref.rule;
}

enum err_code audit_rule_hit(struct audit *a, struct policy_ref ref, const struct policy_query *q,
			     const struct policy_asked *of, struct err *e)
{
	uint32_t at = find_rule(a, ref);
	const struct used_rule *r = &a->rules[at];
	struct str name = STR("");

	if (hit(a, HIT_RULE, at, e) != ERR_OK)
		return e->code;
	for (uint32_t i = 0; i < r->part_count; i++)
		if (part_matches(a, &a->parts[r->first_part + i], q, &name) &&
		    hit_part(a, r->first_part + i, q, of, name, e) != ERR_OK)
			return e->code;
	return ERR_OK;
}
