#include "cel/quick.h"

#include "flow/fields.h"
#include "flow/schema.h"

/* --- numbers ------------------------------------------------------------------------------- */

static bool read_verdict(struct eval *ev, int which, struct value *ret)
{
	(void)which;
	*ret = value_int(flow_enum(ev->flow, FLOW_FIELD_VERDICT, ev->flow->verdict));
	return true;
}

/* Enums in 8 bits, by their place in the record. */
static bool read_enum(struct eval *ev, int which, struct value *ret)
{
	static const struct {
		uint32_t field;
		size_t offset;
	} members[] = {
		{ FLOW_FIELD_TYPE, offsetof(struct flow, type) },
		{ FLOW_FIELD_TRAFFIC_DIRECTION, offsetof(struct flow, direction) },
		{ FLOW_FIELD_AUTH_TYPE, offsetof(struct flow, auth_type) },
		{ FLOW_FIELD_TRACE_OBSERVATION_POINT, offsetof(struct flow, trace_point) },
		{ FLOW_FIELD_TRACE_REASON, offsetof(struct flow, trace_reason) },
		{ FLOW_FIELD_DEBUG_CAPTURE_POINT, offsetof(struct flow, capture_point) },
		{ FLOW_FIELD_SOCK_XLATE_POINT, offsetof(struct flow, sock_point) },
	};
	uint8_t member = ((const uint8_t *)ev->flow)[members[which].offset];

	*ret = value_int(flow_enum(ev->flow, members[which].field, member));
	return true;
}

enum { DROP_REASON, DROP_DESC, POLICY_MATCH, PROXY_PORT, COOKIE, CGROUP, EVENT_TYPE, SUB_TYPE };

static bool read_number(struct eval *ev, int which, struct value *ret)
{
	const struct flow *f = ev->flow;

	switch (which) {
	case DROP_REASON:
		*ret = value_uint(f->drop_reason);
		break;
	case DROP_DESC:
		*ret = value_int((int32_t)f->drop_desc);
		break;
	case POLICY_MATCH:
		*ret = value_uint(f->policy_match_type);
		break;
	case PROXY_PORT:
		*ret = value_uint(f->proxy_port);
		break;
	case COOKIE:
		*ret = value_uint(f->socket_cookie);
		break;
	case CGROUP:
		*ret = value_uint(f->cgroup_id);
		break;
	default:
		*ret = value_int(!flow_is(f, FLOW_HAS_EVENT_TYPE) ? 0
				 : which == EVENT_TYPE            ? f->event_type
								  : f->event_sub_type);
	}
	return true;
}

static bool read_is_reply(struct eval *ev, int which, struct value *ret)
{
	(void)which;
	*ret = ev->flow->is_reply == FLOW_REPLY_ABSENT
		       ? value_null()
		       : value_bool(ev->flow->is_reply == FLOW_REPLY_TRUE);
	return true;
}

static bool read_time(struct eval *ev, int which, struct value *ret)
{
	struct timestamp t = { 0 };

	(void)which;
	(void)flow_time(ev->flow, &t);
	*ret = value_time(t);
	return !flow_is(ev->flow, FLOW_ODD_TIME);
}

/* --- layers 3 and 4 ------------------------------------------------------------------------ */

static bool read_address(struct eval *ev, int which, struct value *ret)
{
	char *space = mem_get(ev->mem, FLOW_IP_TEXT_BYTES);

	if (!space)
		return false;
	*ret = value_string(flow_ip_text(ev->flow, (enum flow_side)which, space));
	return true;
}

enum { IP_VERSION, IP_ENCRYPTED };

static bool read_ip(struct eval *ev, int which, struct value *ret)
{
	*ret = which == IP_VERSION ? value_int(ev->flow->ip_version)
				   : value_bool(flow_is(ev->flow, FLOW_ENCRYPTED));
	return which != IP_VERSION || ev->flow->ip_version != UINT8_MAX;
}

/* @which: the layer, times two, plus the side. */
static bool read_port(struct eval *ev, int which, struct value *ret)
{
	uint32_t port = 0;

	if (ev->flow->l4 == which / 2)
		(void)flow_port(ev->flow, (enum flow_side)(which % 2), &port);
	*ret = value_uint(port);
	return true;
}
#define PORT(l4, side) ((l4)*2 + (side))

static bool read_tcp_flag(struct eval *ev, int which, struct value *ret)
{
	const struct flow *f = ev->flow;

	*ret = value_bool(f->l4 == FLOW_L4_TCP && flow_is(f, FLOW_HAS_TCP_FLAGS) &&
			  (f->tcp_flags & which));
	return true;
}

/* --- names --------------------------------------------------------------------------------- */

/* The endpoint of a side; *@ret is NULL if there is none. False where the dictionary was too full
 * to know it: whole flows have it still. */
static bool endpoint_of(const struct eval *ev, int which, const struct endpoint **ret)
{
	struct endpoint_id id = which == FLOW_SRC ? ev->flow->src_ep : ev->flow->dst_ep;
	bool whole = flow_is(ev->flow, FLOW_WHOLE);

	*ret = flow_dict_get_endpoint(ev->dict, id);
	if (!*ret)
		return !whole;
	return !whole || (*ret)->label_count != 1 ||
	       !str_is((*ret)->labels[0], FLOW_DICT_OVERFLOW_LABEL);
}

static bool read_identity(struct eval *ev, int which, struct value *ret)
{
	const struct endpoint *ep;
	bool known = endpoint_of(ev, which, &ep);

	*ret = value_uint(ep ? ep->identity : 0);
	return known;
}

static bool read_endpoint_id(struct eval *ev, int which, struct value *ret)
{
	const struct endpoint *ep;
	bool known = endpoint_of(ev, which, &ep);

	*ret = value_uint(ep ? ep->id : 0);
	return known;
}

static bool read_pod(struct eval *ev, int which, struct value *ret)
{
	const struct endpoint *ep;
	bool known = endpoint_of(ev, which, &ep);

	*ret = value_string(ep ? ep->pod : STR(""));
	return known;
}

static bool read_namespace(struct eval *ev, int which, struct value *ret)
{
	const struct endpoint *ep;
	bool known = endpoint_of(ev, which, &ep);

	*ret = value_string(ep ? ep->namespace_ : STR(""));
	return known;
}

static bool read_cluster(struct eval *ev, int which, struct value *ret)
{
	const struct endpoint *ep;
	bool known = endpoint_of(ev, which, &ep);

	*ret = value_string(ep ? ep->cluster : STR(""));
	return known;
}

static bool read_strings(struct eval *ev, const struct str *v, size_t n, struct value *ret)
{
	struct value *items = mem_get(ev->mem, n * sizeof *items);

	for (size_t i = 0; items && i < n; i++)
		items[i] = value_string(v[i]);
	*ret = items ? value_list(items, n) : EVAL_NO_MEMORY;
	return true;
}

static bool read_labels(struct eval *ev, int which, struct value *ret)
{
	const struct endpoint *ep;

	if (!endpoint_of(ev, which, &ep) || (ep && !eval_spend(ev, ep->label_count)))
		return false;
	return read_strings(ev, ep ? ep->labels : NULL, ep ? ep->label_count : 0, ret);
}

static bool read_interface(struct eval *ev, int which, struct value *ret)
{
	(void)which;
	*ret = value_string(flow_ifname(ev->flow));
	return true;
}

static const struct quick values[] = {
	{ "verdict", read_verdict, 0 },
	{ "Type", read_enum, 0 },
	{ "traffic_direction", read_enum, 1 },
	{ "auth_type", read_enum, 2 },
	{ "trace_observation_point", read_enum, 3 },
	{ "trace_reason", read_enum, 4 },
	{ "debug_capture_point", read_enum, 5 },
	{ "sock_xlate_point", read_enum, 6 },
	{ "drop_reason", read_number, DROP_REASON },
	{ "drop_reason_desc", read_number, DROP_DESC },
	{ "policy_match_type", read_number, POLICY_MATCH },
	{ "proxy_port", read_number, PROXY_PORT },
	{ "socket_cookie", read_number, COOKIE },
	{ "cgroup_id", read_number, CGROUP },
	{ "event_type.type", read_number, EVENT_TYPE },
	{ "event_type.sub_type", read_number, SUB_TYPE },
	{ "is_reply", read_is_reply, 0 },
	{ "time", read_time, 0 },
	{ "IP.source", read_address, FLOW_SRC },
	{ "IP.destination", read_address, FLOW_DST },
	{ "IP.source_xlated", read_address, FLOW_XLATED },
	{ "IP.ipVersion", read_ip, IP_VERSION },
	{ "IP.encrypted", read_ip, IP_ENCRYPTED },
	{ "l4.TCP.source_port", read_port, PORT(FLOW_L4_TCP, FLOW_SRC) },
	{ "l4.TCP.destination_port", read_port, PORT(FLOW_L4_TCP, FLOW_DST) },
	{ "l4.UDP.source_port", read_port, PORT(FLOW_L4_UDP, FLOW_SRC) },
	{ "l4.UDP.destination_port", read_port, PORT(FLOW_L4_UDP, FLOW_DST) },
	{ "l4.SCTP.source_port", read_port, PORT(FLOW_L4_SCTP, FLOW_SRC) },
	{ "l4.SCTP.destination_port", read_port, PORT(FLOW_L4_SCTP, FLOW_DST) },
	{ "l4.TCP.flags.FIN", read_tcp_flag, FLOW_TCP_FIN },
	{ "l4.TCP.flags.SYN", read_tcp_flag, FLOW_TCP_SYN },
	{ "l4.TCP.flags.RST", read_tcp_flag, FLOW_TCP_RST },
	{ "l4.TCP.flags.PSH", read_tcp_flag, FLOW_TCP_PSH },
	{ "l4.TCP.flags.ACK", read_tcp_flag, FLOW_TCP_ACK },
	{ "l4.TCP.flags.URG", read_tcp_flag, FLOW_TCP_URG },
	{ "l4.TCP.flags.ECE", read_tcp_flag, FLOW_TCP_ECE },
	{ "l4.TCP.flags.CWR", read_tcp_flag, FLOW_TCP_CWR },
	{ "l4.TCP.flags.NS", read_tcp_flag, FLOW_TCP_NS },
	{ "source.ID", read_endpoint_id, FLOW_SRC },
	{ "source.identity", read_identity, FLOW_SRC },
	{ "source.cluster_name", read_cluster, FLOW_SRC },
	{ "source.namespace", read_namespace, FLOW_SRC },
	{ "source.pod_name", read_pod, FLOW_SRC },
	{ "source.labels", read_labels, FLOW_SRC },
	{ "destination.ID", read_endpoint_id, FLOW_DST },
	{ "destination.identity", read_identity, FLOW_DST },
	{ "destination.cluster_name", read_cluster, FLOW_DST },
	{ "destination.namespace", read_namespace, FLOW_DST },
	{ "destination.pod_name", read_pod, FLOW_DST },
	{ "destination.labels", read_labels, FLOW_DST },
	{ "interface.name", read_interface, 0 },
};

/* --- presence ------------------------------------------------------------------------------ */

static bool has_l4(struct eval *ev, int which, struct value *ret)
{
	*ret = value_bool(ev->flow->l4 == which);
	return true;
}

static bool has_bits(struct eval *ev, int which, struct value *ret)
{
	*ret = value_bool(flow_is(ev->flow, (uint32_t)which));
	return true;
}

static bool has_is_reply(struct eval *ev, int which, struct value *ret)
{
	(void)which;
	*ret = value_bool(ev->flow->is_reply != FLOW_REPLY_ABSENT);
	return true;
}

static const struct quick presences[] = {
	{ "l4.TCP", has_l4, FLOW_L4_TCP },      { "l4.UDP", has_l4, FLOW_L4_UDP },
	{ "l4.ICMPv4", has_l4, FLOW_L4_ICMP4 }, { "l4.ICMPv6", has_l4, FLOW_L4_ICMP6 },
	{ "l4.SCTP", has_l4, FLOW_L4_SCTP },    { "time", has_bits, FLOW_HAS_TIME },
	{ "IP", has_bits, FLOW_HAS_IP },        { "l7", has_bits, FLOW_HAS_L7 },
	{ "is_reply", has_is_reply, 0 },
};

static bool is_path(const char *text, const struct schema_field *const *path, size_t len)
{
	struct str rest = str_of(text), part;
	size_t i = 0;

	for (; str_split(&rest, '.', &part); i++)
		if (i == len || !str_eq(part, path[i]->name))
			return false;
	return i == len;
}

const struct quick *quick_find(const struct schema_field *const *path, size_t len, bool presence)
{
	const struct quick *table = presence ? presences : values;
	size_t n = presence ? ARRAY_LEN(presences) : ARRAY_LEN(values);

	for (size_t i = 0; i < n; i++)
		if (is_path(table[i].path, path, len))
			return &table[i];
	return NULL;
}
