/* The columns of flows, and what stands in them. */
#include "flow/json.h"
#include "flow/names.h"
#include "flow/wire.h"
#include "store/sql_flows.h"

enum { TEXT_BYTES = 16 << 20 };

static const struct sql_column columns[] = {
	[C_SEQ] = { "seq", "INTEGER", "number of the record on this node" },
	[C_TIME] = { "time", "TEXT", "RFC 3339, UTC, nine digits" },
	[C_TIME_NS] = { "time_ns", "INTEGER", "the same in nanoseconds since 1970" },
	[C_KIND] = { "kind", "TEXT", "flow, lost, agent, debug: what the record is" },
	[C_UUID] = { "uuid", "TEXT", "name of the flow" },
	[C_VERDICT] = { "verdict", "TEXT", "FORWARDED, DROPPED, AUDIT, …" },
	[C_DROP_REASON_DESC] = { "drop_reason_desc", "TEXT", "of drops: POLICY_DENIED, …" },
	[C_TYPE] = { "type", "TEXT", "L3_L4, L7, SOCK" },
	[C_NODE_NAME] = { "node_name", "TEXT", "cluster/node" },
	[C_SOURCE_IP] = { "source_ip", "TEXT", "address" },
	[C_SOURCE_PORT] = { "source_port", "INTEGER", "of TCP, UDP, SCTP" },
	[C_SOURCE_IDENTITY] = { "source_identity", "INTEGER", "security identity" },
	[C_SOURCE_CLUSTER] = { "source_cluster", "TEXT", "name of the cluster" },
	[C_SOURCE_NAMESPACE] = { "source_namespace", "TEXT", "Kubernetes namespace" },
	[C_SOURCE_POD] = { "source_pod", "TEXT", "name of the pod" },
	[C_SOURCE_WORKLOAD] = { "source_workload", "TEXT", "name of its first workload" },
	[C_SOURCE_LABELS] = { "source_labels", "TEXT", "labels as a JSON array" },
	[C_SOURCE_SERVICE] = { "source_service", "TEXT", "namespace/name" },
	[C_SOURCE_NAMES] = { "source_names", "TEXT", "DNS names, separated by commas" },
	[C_DESTINATION_IP] = { "destination_ip", "TEXT", "address" },
	[C_DESTINATION_PORT] = { "destination_port", "INTEGER", "of TCP, UDP, SCTP" },
	[C_DESTINATION_IDENTITY] = { "destination_identity", "INTEGER", "security identity" },
	[C_DESTINATION_CLUSTER] = { "destination_cluster", "TEXT", "name of the cluster" },
	[C_DESTINATION_NAMESPACE] = { "destination_namespace", "TEXT", "Kubernetes namespace" },
	[C_DESTINATION_POD] = { "destination_pod", "TEXT", "name of the pod" },
	[C_DESTINATION_WORKLOAD] = { "destination_workload", "TEXT", "name of its first workload" },
	[C_DESTINATION_LABELS] = { "destination_labels", "TEXT", "labels as a JSON array" },
	[C_DESTINATION_SERVICE] = { "destination_service", "TEXT", "namespace/name" },
	[C_DESTINATION_NAMES] = { "destination_names", "TEXT", "DNS names, separated by commas" },
	[C_IP_VERSION] = { "ip_version", "INTEGER", "4 or 6" },
	[C_PROTOCOL] = { "protocol", "TEXT", "TCP, UDP, SCTP, ICMPv4, ICMPv6, VRRP, IGMP" },
	[C_TCP_FLAGS] = { "tcp_flags", "TEXT", "SYN ACK …" },
	[C_TRAFFIC_DIRECTION] = { "traffic_direction", "TEXT", "INGRESS, EGRESS" },
	[C_IS_REPLY] = { "is_reply", "INTEGER", "0, 1, NULL if unknown" },
	[C_TRACE_OBSERVATION_POINT] = { "trace_observation_point", "TEXT", "TO_ENDPOINT, …" },
	[C_TRACE_REASON] = { "trace_reason", "TEXT", "NEW, ESTABLISHED, REPLY, …" },
	[C_EVENT_TYPE] = { "event_type", "INTEGER", "number of Cilium's monitor" },
	[C_EVENT_SUB_TYPE] = { "event_sub_type", "INTEGER", "number of Cilium's monitor" },
	[C_INTERFACE] = { "interface", "TEXT", "name of the interface" },
	[C_INTERFACE_INDEX] = { "interface_index", "INTEGER", "its number" },
	[C_ENCRYPTED] = { "encrypted", "INTEGER", "0, 1" },
	[C_PACKETS] = { "packets", "INTEGER", "packets that the record stands for" },
	[C_BYTES] = { "bytes", "INTEGER", "bytes that it stands for" },
	[C_NETNS] = { "netns", "INTEGER", "inode of the network namespace" },
	[C_KERNEL_DROP_REASON] = { "kernel_drop_reason", "TEXT", "the kernel's name for a drop" },
	[C_POLICIES] = { "policies", "TEXT",
			 "names of policies that decided, separated by commas" },
	[C_SUMMARY] = { "summary", "TEXT", "TCP Flags: SYN; DNS Query …" },
	[C_JSON] = { "json", "TEXT", "the whole flow as Hubble's JSON" },
};
_Static_assert(ARRAY_LEN(columns) == COLUMNS_, "a name for each");

const struct sql_table sql_flows_table = { "flows", "Flows, and what else the log held.", columns,
					   COLUMNS_ };

struct cells {
	const struct flow_dict *dict;
	struct buf *text;
};

static void put_enum(sqlite3_context *x, struct cells *c, const ProtobufCEnumDescriptor *desc,
		     int32_t number)
{
	buf_reset(c->text);
	enum_put(c->text, desc, number);
	sql_result_text(x, buf_str(c->text));
}

static void put_joined(struct buf *b, struct str s, const char *between)
{
	if (b->len)
		buf_str_put(b, str_of(between));
	buf_str_put(b, s);
}

/* Texts of all fields @number of the flow's own message, joined. */
static void put_names(sqlite3_context *x, struct cells *c, const struct flow *f, uint32_t number)
{
	struct wire_field field;

	buf_reset(c->text);
	if (flow_is(f, FLOW_HAS_NAMES))
		for (struct wire_reader r = wire_reader_of(str_n(f->ext, f->ext_len));
		     wire_next(&r, &field);)
			if (field.number == number && field.type == WIRE_LEN)
				put_joined(c->text, field.bytes, ",");
	sql_result_text(x, buf_str(c->text));
}

/* flow.proto: egress_allowed_by … ingress_denied_by; Policy.name = 1. */
static void put_policies(sqlite3_context *x, struct cells *c, const struct flow *f)
{
	enum { FIRST = 21001, LAST = 21005, NOT_ONE = 21003, NAME = 1 };
	struct wire_field field;
	struct str name;

	buf_reset(c->text);
	if (flow_is(f, FLOW_HAS_POLICIES))
		for (struct wire_reader r = wire_reader_of(str_n(f->ext, f->ext_len));
		     wire_next(&r, &field);)
			if (field.number >= FIRST && field.number <= LAST &&
			    field.number != NOT_ONE && field.type == WIRE_LEN &&
			    wire_find(field.bytes, NAME, &name))
				put_joined(c->text, name, ",");
	sql_result_text(x, buf_str(c->text));
}

static void put_endpoint(sqlite3_context *x, struct cells *c, const struct flow *f, int column)
{
	bool is_source = column < C_DESTINATION_IP;
	const struct endpoint *ep =
		flow_dict_get_endpoint(c->dict, is_source ? f->src_ep : f->dst_ep);

	if (!ep) {
		sqlite3_result_null(x);
		return;
	}
	switch (is_source ? column : column - C_DESTINATION_IP + C_SOURCE_IP) {
	case C_SOURCE_IDENTITY:
		sqlite3_result_int64(x, ep->identity);
		break;
	case C_SOURCE_CLUSTER:
		sql_result_text(x, ep->cluster);
		break;
	case C_SOURCE_NAMESPACE:
		sql_result_text(x, ep->namespace_);
		break;
	case C_SOURCE_POD:
		sql_result_text(x, ep->pod);
		break;
	case C_SOURCE_WORKLOAD:
		sql_result_text(x, ep->workload_count ? ep->workloads[0].name : STR(""));
		break;
	default:
		buf_reset(c->text);
		buf_char(c->text, '[');
		for (size_t i = 0; i < ep->label_count; i++) {
			if (i)
				buf_char(c->text, ',');
			json_put_string(c->text, ep->labels[i]);
		}
		buf_char(c->text, ']');
		sql_result_text(x, ep->label_count ? buf_str(c->text) : STR(""));
	}
}

static void put_service(sqlite3_context *x, struct cells *c, struct service_id id)
{
	const struct service *svc = flow_dict_get_service(c->dict, id);

	buf_reset(c->text);
	if (svc)
		buf_printf(c->text, "%.*s/%.*s", STR_FMT(svc->namespace_), STR_FMT(svc->name));
	sql_result_text(x, buf_str(c->text));
}

static void put_flags(sqlite3_context *x, struct cells *c, const struct flow *f)
{
	static const char *const names[] = { "FIN", "SYN", "RST", "PSH", "ACK",
					     "URG", "ECE", "CWR", "NS" };

	buf_reset(c->text);
	if (f->l4 == FLOW_L4_TCP && flow_is(f, FLOW_HAS_TCP_FLAGS))
		for (size_t i = 0; i < ARRAY_LEN(names); i++)
			if (f->tcp_flags >> i & 1)
				put_joined(c->text, str_of(names[i]), " ");
	sql_result_text(x, buf_str(c->text));
}

static void put_port(sqlite3_context *x, const struct flow *f, enum flow_side side)
{
	uint32_t port;

	if (f->kind == FLOW_KIND_FLOW && flow_port(f, side, &port))
		sqlite3_result_int64(x, port);
	else
		sqlite3_result_null(x);
}

static void put_json(sqlite3_context *x, struct cells *c, const struct flow *f)
{
	AUTO_BUF struct buf wire = buf_init(TEXT_BYTES);

	if (f->kind != FLOW_KIND_FLOW) {
		sqlite3_result_null(x);
		return;
	}
	buf_reset(c->text);
	flow_encode(&wire, f, c->dict);
	if (json_put_message(c->text, &flow__flow__descriptor, buf_str(&wire), NULL) == ERR_OK)
		sql_result_text(x, buf_str(c->text));
	else
		sqlite3_result_null(x);
}

/* Of records of every kind. */
static bool put_common(sqlite3_context *x, struct cells *c, const struct flow *f, int column)
{
	static const char *const kinds[] = { "flow", "lost", "agent", "debug" };
	const struct node *node;

	switch (column) {
	case C_SEQ:
		sqlite3_result_int64(x, (sqlite3_int64)f->seq);
		return true;
	case C_TIME:
		if (flow_is(f, FLOW_HAS_TIME))
			sql_result_time(x, f->time);
		else
			sqlite3_result_null(x);
		return true;
	case C_TIME_NS:
		if (flow_is(f, FLOW_HAS_TIME))
			sqlite3_result_int64(x, (sqlite3_int64)f->time.v);
		else
			sqlite3_result_null(x);
		return true;
	case C_KIND:
		sql_result_text(x, f->kind < ARRAY_LEN(kinds) ? str_of(kinds[f->kind]) : STR(""));
		return true;
	case C_NODE_NAME:
		node = flow_dict_get_node(c->dict, f->node);
		sql_result_text(x, node ? node->name : STR(""));
		return true;
	default:
		return false;
	}
}

static void put_number(sqlite3_context *x, bool is_known, uint64_t v)
{
	if (is_known)
		sqlite3_result_int64(x, (sqlite3_int64)v);
	else
		sqlite3_result_null(x);
}

static void put_flow(sqlite3_context *x, struct cells *c, const struct flow *f, int column)
{
	char tmp[FLOW_IP_TEXT_BYTES];
	bool has_detail = flow_is(f, FLOW_HAS_DETAIL), has_event = flow_is(f, FLOW_HAS_EVENT_TYPE);

	switch (column) {
	case C_UUID:
		sql_result_text(x, flow_uuid_text(f, tmp));
		break;
	case C_VERDICT:
		put_enum(x, c, &flow__verdict__descriptor, flow_enum(f, 2, f->verdict));
		break;
	case C_DROP_REASON_DESC:
		if (f->verdict == FLOW__VERDICT__DROPPED)
			put_enum(x, c, &flow__drop_reason__descriptor, (int32_t)f->drop_desc);
		else
			sqlite3_result_null(x);
		break;
	case C_TYPE:
		put_enum(x, c, &flow__flow_type__descriptor, flow_enum(f, 10, f->type));
		break;
	case C_SOURCE_IP:
		sql_result_text(x, flow_ip_text(f, FLOW_SRC, tmp));
		break;
	case C_DESTINATION_IP:
		sql_result_text(x, flow_ip_text(f, FLOW_DST, tmp));
		break;
	case C_SOURCE_PORT:
		put_port(x, f, FLOW_SRC);
		break;
	case C_DESTINATION_PORT:
		put_port(x, f, FLOW_DST);
		break;
	case C_SOURCE_SERVICE:
		put_service(x, c, f->src_svc);
		break;
	case C_DESTINATION_SERVICE:
		put_service(x, c, f->dst_svc);
		break;
	case C_SOURCE_NAMES:
		put_names(x, c, f, 13);
		break;
	case C_DESTINATION_NAMES:
		put_names(x, c, f, 14);
		break;
	case C_IP_VERSION:
		put_number(x, f->ip_version == 1 || f->ip_version == 2, f->ip_version == 1 ? 4 : 6);
		break;
	case C_PROTOCOL:
		sql_result_text(x, str_of(l4_name(f->l4)));
		break;
	case C_TCP_FLAGS:
		put_flags(x, c, f);
		break;
	case C_TRAFFIC_DIRECTION:
		put_enum(x, c, &flow__traffic_direction__descriptor,
			 flow_enum(f, 22, f->direction));
		break;
	case C_IS_REPLY:
		put_number(x, f->is_reply != FLOW_REPLY_ABSENT, f->is_reply == FLOW_REPLY_TRUE);
		break;
	case C_TRACE_OBSERVATION_POINT:
		put_enum(x, c, &flow__trace_observation_point__descriptor,
			 flow_enum(f, 24, f->trace_point));
		break;
	case C_TRACE_REASON:
		put_enum(x, c, &flow__trace_reason__descriptor, f->trace_reason);
		break;
	case C_EVENT_TYPE:
		put_number(x, has_event, (uint64_t)(int64_t)f->event_type);
		break;
	case C_EVENT_SUB_TYPE:
		put_number(x, has_event, (uint64_t)(int64_t)f->event_sub_type);
		break;
	case C_INTERFACE:
		sql_result_text(x, flow_ifname(f));
		break;
	case C_INTERFACE_INDEX:
		put_number(x, flow_is(f, FLOW_HAS_IFACE), f->ifindex);
		break;
	case C_ENCRYPTED:
		sqlite3_result_int(x, flow_is(f, FLOW_ENCRYPTED));
		break;
	case C_PACKETS:
		put_number(x, has_detail, f->packets);
		break;
	case C_BYTES:
		put_number(x, has_detail, f->bytes);
		break;
	case C_NETNS:
		put_number(x, has_detail && f->netns, f->netns);
		break;
	case C_KERNEL_DROP_REASON:
		sql_result_text(x, flow_dict_get_kernel_reason(c->dict, f->kernel_reason));
		break;
	case C_POLICIES:
		put_policies(x, c, f);
		break;
	case C_SUMMARY:
		buf_reset(c->text);
		flow_summary_put(c->text, f, c->dict);
		sql_result_text(x, buf_str(c->text));
		break;
	case C_JSON:
		put_json(x, c, f);
		break;
	default:
		put_endpoint(x, c, f, column);
	}
}

void flows_cell(sqlite3_context *x, const struct flow *f, const struct flow_dict *dict,
		struct buf *text, int column)
{
	struct cells c = { dict, text };

	if (put_common(x, &c, f, column))
		return;
	if (f->kind == FLOW_KIND_FLOW)
		put_flow(x, &c, f, column);
	else
		sqlite3_result_null(x);
}
