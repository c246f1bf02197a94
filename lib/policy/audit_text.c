/* Ports and peers of rules, as people read them. */
#include "policy/audit_inside.h"

enum { VALUES_TOLD = 4 };

void audit_port_put(uint32_t what, struct buf *out)
{
	uint8_t protocol = (uint8_t)(what >> 16);

	if (protocol == IPPROTO_ICMP || protocol == IPPROTO_ICMPV6)
		buf_printf(out, "%s type %u", policy_protocol_name(protocol), what & UINT16_MAX);
	else
		buf_printf(out, "%u/%s", what & UINT16_MAX, policy_protocol_name(protocol));
}

static void put_protocols(const struct part *p, const struct port *port, struct buf *out)
{
	static const struct {
		uint8_t mask;
		const char *words;
	} known[] = {
		{ MASK_TCP, "TCP" },
		{ MASK_UDP, "UDP" },
		{ MASK_SCTP, "SCTP" },
		{ MASK_TCP | MASK_UDP, "TCP+UDP" },
		{ MASK_TCP | MASK_UDP | MASK_SCTP, "ANY" },
	};

	for (size_t i = 0; i < ARRAY_LEN(known); i++)
		if (known[i].mask == p->mask) {
			buf_str_put(out, str_of(known[i].words));
			return;
		}
	buf_printf(out, "protocol %u", port->protocol);
}

static void put_ports(const struct part *p, const struct port *port, struct buf *out)
{
	if (port->protocol == IPPROTO_ICMP || port->protocol == IPPROTO_ICMPV6) {
		audit_port_put((uint32_t)port->protocol << 16 | port->first, out);
		return;
	}
	if (port->name.len) {
		buf_str_put(out, port->name);
	} else if (!port->first && port->last == UINT16_MAX) {
		buf_lit(out, "all");
	} else {
		buf_printf(out, "%u", port->first);
		if (port->last != port->first)
			buf_printf(out, "-%u", port->last);
	}
	buf_char(out, '/');
	put_protocols(p, port, out);
}

/* --- selectors -------------------------------------------------------------------------------- */

static bool is_one(const struct requirement *q, struct str key)
{
	return q->op == REQ_IN && q->value_count == 1 && str_eq(q->key, key);
}

/* Of each rule: said by the others, or by nobody. */
static bool goes_without_saying(const struct audit *a, const struct requirement *q)
{
	return (is_one(q, KEY_CLUSTER) && str_eq(q->values[0], a->set->cluster)) ||
	       (q->op == REQ_EXISTS && str_eq(q->key, KEY_NAMESPACE));
}

static void put_values(const struct requirement *q, struct buf *out)
{
	if (q->op == REQ_EXISTS || q->op == REQ_ABSENT)
		return;
	buf_str_put(out, q->op == REQ_NOT_IN ? STR("!=") : STR("="));
	if (q->value_count == 1) {
		buf_str_put(out, q->values[0]);
		return;
	}
	for (size_t i = 0; i < q->value_count && i <= VALUES_TOLD; i++) {
		buf_str_put(out, i ? STR("|") : STR(""));
		if (i == VALUES_TOLD)
			buf_lit(out, "…");
		else
			buf_str_put(out, q->values[i]);
	}
}

static void put_requirement(const struct requirement *q, struct buf *out)
{
	struct str key = q->key;

	if (q->op == REQ_ABSENT)
		buf_char(out, '!');
	if (str_is(q->source, "reserved") || str_is(q->source, "cidrgroup"))
		buf_printf(out, "%.*s:", STR_FMT(q->source));
	if (str_has_prefix(key, KEY_NAMESPACE_LABELS)) {
		buf_lit(out, "namespace:");
		key = str_from(key, KEY_NAMESPACE_LABELS.len);
	}
	buf_str_put(out, key);
	put_values(q, out);
}

static void put_selector(const struct audit *a, const struct selector *s, struct buf *out)
{
	struct str ns = STR("");
	size_t n = 0;

	if (s->count == 1 && s->requirements[0].op == REQ_EXISTS &&
	    str_is(s->requirements[0].source, "reserved")) {
		buf_str_put(out, s->requirements[0].key);
		return;
	}
	for (size_t i = 0; i < s->count; i++) {
		const struct requirement *q = &s->requirements[i];

		if (is_one(q, KEY_NAMESPACE) || is_one(q, KEY_NAMESPACE_NAME)) {
			ns = q->values[0];
		} else if (!goes_without_saying(a, q)) {
			buf_str_put(out, n++ ? STR(",") : STR(""));
			put_requirement(q, out);
		}
	}
	if (!n)
		buf_lit(out, "all pods");
	if (ns.len)
		buf_printf(out, " in %.*s", STR_FMT(ns));
}

static void put_pods(const struct audit *a, const struct part *p, const struct rule *rule,
		     struct buf *out)
{
	if (p->count == 1)
		put_selector(a, set_selector(a->set, rule->selectors[p->first]), out);
	else /* entities of several selectors: world has three */
		buf_str_put(out, p->count == 3 ? STR("world") : STR("cluster"));
}

static void put_block(const struct block *b, struct buf *out)
{
	audit_prefix_put(&b->prefix, out);
	if (b->except_count)
		buf_printf(out, " except %zu", b->except_count);
}

void audit_prefix_put(const struct prefix *p, struct buf *out)
{
	uint8_t ip[16];
	char text[FLOW_IP_TEXT_BYTES];

	for (int i = 0; i < 8; i++) {
		ip[i] = (uint8_t)(p->hi >> (56 - 8 * i));
		ip[8 + i] = (uint8_t)(p->lo >> (56 - 8 * i));
	}
	buf_str_put(out, ip_text(ip, text));
	buf_printf(out, "/%u", p->v4 ? p->bits - 96u : p->bits);
}

void audit_part_put(const struct audit *a, const struct part *p, struct buf *out)
{
	const struct rule *rule = a->rules[p->rule].rule;

	switch ((enum part_kind)p->kind) {
	case PART_ALL_PORTS:
		buf_lit(out, "all");
		break;
	case PART_PORTS:
		put_ports(p, &rule->ports[p->first], out);
		break;
	case PART_ANYBODY:
		buf_lit(out, "anybody");
		break;
	case PART_PODS:
		put_pods(a, p, rule, out);
		break;
	case PART_BLOCK:
		put_block(&rule->blocks[p->first], out);
		break;
	case PART_NAME:
		buf_str_put(out, rule->names[p->first]);
		break;
	case PART_LINKED:
		buf_str_put(out,
			    rule->service_count ? STR("services") : STR("groups of addresses"));
	}
}
