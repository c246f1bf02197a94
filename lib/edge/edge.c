#include "edge/edge.h"

#include "filter/l7.h"
#include "flow/fields.h"
#include "flow/flow.pb-c.h"
#include "flow/names.h"
#include "flow/wire.h"

/* First port that Linux gives to clients: ip_local_port_range, networking/ip-sysctl.rst. */
enum { EPHEMERAL_PORT = 32768 };

static struct str ext_of(const struct flow *f)
{
	return f->ext_len ? str_n(f->ext, f->ext_len) : STR("");
}

/* --- who ---------------------------------------------------------------------------------- */

static struct str label_with(const struct endpoint *ep, struct str prefix)
{
	for (size_t i = 0; i < ep->label_count; i++)
		if (str_has_prefix(ep->labels[i], prefix) && ep->labels[i].len > prefix.len)
			return str_from(ep->labels[i], prefix.len);
	return STR("");
}

struct edge_side edge_side_of(const struct endpoint *ep)
{
	if (!ep)
		return (struct edge_side){ STR(""), STR(""), STR("unknown"), STR("") };
	struct edge_side side = { ep->cluster, ep->namespace_, STR("unknown"), STR("") };
	const char *reserved = identity_name(ep->identity);
	struct str cidr = label_with(ep, STR("cidr:"));

	if (ep->workload_count && ep->workloads[0].name.len) {
		side.name = ep->workloads[0].name;
		side.kind = ep->workloads[0].kind;
	} else if (ep->pod.len) {
		side.name = ep->pod;
	} else if (cidr.len || reserved) {
		side.namespace_ = STR("");
		side.name = cidr.len ? cidr : str_of(reserved);
	} else if (ep->label_count) {
		side.name = ep->labels[0];
	}
	return side;
}

/* --- which way ---------------------------------------------------------------------------- */

bool edge_is_answer(const struct flow *f)
{
	uint32_t src_port, dst_port;

	if (f->is_reply != FLOW_REPLY_ABSENT)
		return f->is_reply == FLOW_REPLY_TRUE;
	if (f->l4 == FLOW_L4_TCP && flow_is(f, FLOW_HAS_TCP_FLAGS) && f->tcp_flags & FLOW_TCP_SYN)
		return f->tcp_flags & FLOW_TCP_ACK;
	return flow_port(f, FLOW_SRC, &src_port) && flow_port(f, FLOW_DST, &dst_port) && src_port &&
	       src_port < EPHEMERAL_PORT && dst_port >= EPHEMERAL_PORT;
}

uint16_t edge_port(const struct flow *f)
{
	uint32_t port;

	if (!flow_port(f, edge_is_answer(f) ? FLOW_SRC : FLOW_DST, &port))
		return 0;
	return port > UINT16_MAX ? 0 : (uint16_t)port;
}

bool edge_has_ends(const struct flow *f)
{
	return flow_is(f, FLOW_HAS_IP) || f->src_ep.v || f->dst_ep.v;
}

struct str edge_dns_name(const struct flow *f, const struct flow_dict *dict)
{
	if (!flow_is(f, FLOW_HAS_NAMES))
		return STR("");
	bool answer = edge_is_answer(f);
	const struct endpoint *asked = flow_dict_get_endpoint(dict, answer ? f->src_ep : f->dst_ep);
	struct str name;
	if (asked && (asked->pod.len || asked->workload_count))
		return STR("");
	if (!wire_find(ext_of(f), answer ? FLOW_FIELD_SOURCE_NAMES : FLOW_FIELD_DESTINATION_NAMES,
		       &name))
		return STR("");
	return name;
}

/* --- what was decided --------------------------------------------------------------------- */

void edge_policy_put(struct buf *b, const struct flow *f)
{
	static const uint32_t fields[] = { FLOW_FIELD_EGRESS_DENIED_BY,
					   FLOW_FIELD_INGRESS_DENIED_BY,
					   FLOW_FIELD_EGRESS_ALLOWED_BY,
					   FLOW_FIELD_INGRESS_ALLOWED_BY };
	enum { POLICY_NAME = 1, POLICY_NAMESPACE = 2 };

	for (size_t i = 0; flow_is(f, FLOW_HAS_POLICIES) && i < ARRAY_LEN(fields); i++) {
		struct str policy, name, namespace_;
		if (!wire_find(ext_of(f), fields[i], &policy) ||
		    !wire_find(policy, POLICY_NAME, &name))
			continue;
		if (wire_find(policy, POLICY_NAMESPACE, &namespace_) && namespace_.len) {
			buf_str_put(b, str_upto(namespace_, EDGE_TEXT_BYTES + 1));
			buf_char(b, '/');
		}
		buf_str_put(b, str_upto(name, EDGE_TEXT_BYTES + 1));
		return;
	}
}

void edge_text_put(struct buf *b, struct str s)
{
	char cut[EDGE_TEXT_BYTES + 1];

	if (s.len > EDGE_TEXT_BYTES)
		s = str_of(str_excerpt(s, cut, sizeof cut));
	uint16_t len = (uint16_t)s.len;
	buf_put(b, &len, sizeof len);
	buf_str_put(b, s);
}

/* Varint field @number of @message, the last one; 0 if absent. */
static uint64_t number_in(struct str message, uint32_t number)
{
	struct wire_reader r = wire_reader_of(message);
	struct wire_field field;
	uint64_t v = 0;

	while (wire_next(&r, &field))
		if (field.number == number && field.type == WIRE_VARINT)
			v = field.value;
	return v;
}

enum edge_l7 edge_l7_of(const struct flow *f)
{
	enum { L7_TYPE = 1, DNS_RCODE = 6, HTTP_ERRORS_FROM = 400 };
	struct str message;
	struct l7_http http;

	if (!flow_is(f, FLOW_HAS_L7) || !wire_find(ext_of(f), FLOW_FIELD_L7, &message) ||
	    number_in(message, L7_TYPE) != FLOW__L7_FLOW_TYPE__RESPONSE)
		return EDGE_L7_NONE;
	struct l7 l7 = l7_of(f);
	bool failed = (l7.kind == L7_HTTP && l7_http(f, &http) && http.code >= HTTP_ERRORS_FROM) ||
		      (l7.kind == L7_DNS && number_in(l7.record, DNS_RCODE));
	return failed ? EDGE_L7_ERROR : EDGE_L7_OK;
}
