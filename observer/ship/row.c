#include "observer/ship/row.h"

#include "clickhouse/rowbinary.h"
#include "clickhouse/schema.h"
#include "flow/flow.pb-c.h"
#include "flow/names.h"
#include "flow/wire.h"

enum { RECORD_BYTES = 16 << 20 };

/* Fields of flow.proto that no member of a record repeats. */
enum {
	FLOW_VERDICT = 2,
	FLOW_TYPE = 10,
	FLOW_SOURCE_NAMES = 13,
	FLOW_DESTINATION_NAMES = 14,
	FLOW_L7 = 15,
	FLOW_DIRECTION = 22,
	FLOW_TRACE_POINT = 24,
	FLOW_FIRST_POLICIES = 21001, /* egress_allowed_by … ingress_denied_by */
	FLOW_LAST_POLICIES = 21005,
	FLOW_NO_POLICIES = 21003,
	POLICY_NAME = 1,
	L7_TYPE = 1,
	L7_LATENCY_NS = 2,
	L7_DNS = 100,
	L7_HTTP = 101,
	DNS_QUERY = 1,
	DNS_RCODE = 6,
	HTTP_CODE = 1,
	HTTP_METHOD = 2,
	HTTP_URL = 3,
	HTTP_PROTOCOL = 4,
};

struct ship_row ship_row_init(const struct flow_dict *dict, struct str node)
{
	return (struct ship_row){ .dict = dict, .node = node, .text = buf_init(RECORD_BYTES) };
}

void ship_row_done(struct ship_row *r)
{
	buf_done(&r->text);
}

/* --- pieces -------------------------------------------------------------------------------- */

static void put_nothing(struct buf *b)
{
	rowbinary_put_length(b, 0); /* a text, a list */
}

/* What was put together in @r's text. */
static void put_made(struct ship_row *r, struct buf *b)
{
	if (r->text.failed)
		b->failed = true;
	rowbinary_put_text(b, buf_str(&r->text));
}

static void put_enum(struct ship_row *r, struct buf *b, const ProtobufCEnumDescriptor *desc,
		     int32_t number)
{
	buf_reset(&r->text);
	enum_put(&r->text, desc, number);
	put_made(r, b);
}

static struct str ext_of(const struct flow *f)
{
	return str_n(f->ext, f->ext_len);
}

/* All texts that @take finds in the flow's own message, as a list. */
static void put_list(struct buf *b, const struct flow *f,
		     bool (*take)(const struct wire_field *field, uint32_t number, struct str *ret),
		     uint32_t number)
{
	struct wire_field field;
	struct str text;
	size_t count = 0;

	for (struct wire_reader r = wire_reader_of(ext_of(f)); wire_next(&r, &field);)
		count += take(&field, number, &text);
	rowbinary_put_length(b, count);
	for (struct wire_reader r = wire_reader_of(ext_of(f)); wire_next(&r, &field);)
		if (take(&field, number, &text))
			rowbinary_put_text(b, text);
}

static bool take_text(const struct wire_field *field, uint32_t number, struct str *ret)
{
	*ret = field->bytes;
	return field->number == number && field->type == WIRE_LEN;
}

static bool take_policy(const struct wire_field *field, uint32_t number, struct str *ret)
{
	(void)number;
	return field->number >= FLOW_FIRST_POLICIES && field->number <= FLOW_LAST_POLICIES &&
	       field->number != FLOW_NO_POLICIES && field->type == WIRE_LEN &&
	       wire_find(field->bytes, POLICY_NAME, ret);
}

static void put_service(struct ship_row *r, struct buf *b, struct service_id id)
{
	const struct service *svc = flow_dict_get_service(r->dict, id);

	buf_reset(&r->text);
	if (svc)
		buf_printf(&r->text, "%.*s/%.*s", STR_FMT(svc->namespace_), STR_FMT(svc->name));
	put_made(r, b);
}

/* ip … names of one side. */
static void put_side(struct ship_row *r, struct buf *b, const struct flow *f, enum flow_side side)
{
	const bool is_source = side == FLOW_SRC;
	static const struct endpoint nobody;
	const struct endpoint *ep =
		flow_dict_get_endpoint(r->dict, is_source ? f->src_ep : f->dst_ep);
	char tmp[FLOW_IP_TEXT_BYTES];
	uint32_t port = 0;

	ep = ep ? ep : &nobody;
	rowbinary_put_text(b, flow_ip_text(f, side, tmp));
	(void)flow_port(f, side, &port);
	rowbinary_put_u32(b, port);
	rowbinary_put_u32(b, ep->identity);
	rowbinary_put_text(b, ep->cluster);
	rowbinary_put_text(b, ep->namespace_);
	rowbinary_put_text(b, ep->pod);
	rowbinary_put_text(b, ep->workload_count ? ep->workloads[0].name : STR(""));
	rowbinary_put_length(b, ep->label_count);
	for (size_t i = 0; i < ep->label_count; i++)
		rowbinary_put_text(b, ep->labels[i]);
	put_service(r, b, is_source ? f->src_svc : f->dst_svc);
	put_list(b, f, take_text, is_source ? FLOW_SOURCE_NAMES : FLOW_DESTINATION_NAMES);
}

static void put_flags(struct ship_row *r, struct buf *b, const struct flow *f)
{
	static const char *const names[] = { "FIN", "SYN", "RST", "PSH", "ACK",
					     "URG", "ECE", "CWR", "NS" };

	buf_reset(&r->text);
	if (f->l4 == FLOW_L4_TCP && flow_is(f, FLOW_HAS_TCP_FLAGS))
		for (size_t i = 0; i < ARRAY_LEN(names); i++)
			if (f->tcp_flags >> i & 1)
				buf_printf(&r->text, "%s%s", r->text.len ? " " : "", names[i]);
	put_made(r, b);
}

struct l7 {
	bool is_there;
	uint64_t type, latency_ns, dns_rcode, http_code;
	struct str dns_query, http_method, http_url, http_protocol;
};

static void read_record(struct l7 *l7, uint32_t record, const struct wire_field *field)
{
	const bool is_text = field->type == WIRE_LEN;

	if (record == L7_DNS && field->number == DNS_QUERY && is_text)
		l7->dns_query = field->bytes;
	else if (record == L7_DNS && field->number == DNS_RCODE)
		l7->dns_rcode = field->value;
	else if (record == L7_HTTP && field->number == HTTP_CODE)
		l7->http_code = field->value;
	else if (record == L7_HTTP && field->number == HTTP_METHOD && is_text)
		l7->http_method = field->bytes;
	else if (record == L7_HTTP && field->number == HTTP_URL && is_text)
		l7->http_url = field->bytes;
	else if (record == L7_HTTP && field->number == HTTP_PROTOCOL && is_text)
		l7->http_protocol = field->bytes;
}

static struct l7 read_l7(const struct flow *f)
{
	struct l7 l7 = { .dns_query = STR(""),
			 .http_method = STR(""),
			 .http_url = STR(""),
			 .http_protocol = STR("") };
	struct wire_field field, inner;
	struct str message;

	if (!flow_is(f, FLOW_HAS_L7) || !wire_find(ext_of(f), FLOW_L7, &message))
		return l7;
	l7.is_there = true;
	for (struct wire_reader r = wire_reader_of(message); wire_next(&r, &field);) {
		if (field.number == L7_TYPE)
			l7.type = field.value;
		else if (field.number == L7_LATENCY_NS)
			l7.latency_ns = field.value;
		else if (field.type == WIRE_LEN)
			for (struct wire_reader in = wire_reader_of(field.bytes);
			     wire_next(&in, &inner);)
				read_record(&l7, field.number, &inner);
	}
	return l7;
}

static void put_l7(struct ship_row *r, struct buf *b, const struct flow *f)
{
	const struct l7 l7 = read_l7(f);

	if (l7.is_there)
		put_enum(r, b, &flow__l7_flow_type__descriptor, (int32_t)l7.type);
	else
		put_nothing(b);
	rowbinary_put_u64(b, l7.latency_ns);
	rowbinary_put_text(b, l7.dns_query);
	rowbinary_put_u32(b, (uint32_t)l7.dns_rcode);
	rowbinary_put_text(b, l7.http_method);
	rowbinary_put_text(b, l7.http_url);
	rowbinary_put_u32(b, (uint32_t)l7.http_code);
	rowbinary_put_text(b, l7.http_protocol);
}

/* --- a row --------------------------------------------------------------------------------- */

static void put_node_name(struct ship_row *r, struct buf *b, const struct flow *f)
{
	const struct node *node = flow_dict_get_node(r->dict, f->node);

	rowbinary_put_text(b, node ? node->name : STR(""));
}

/* verdict … type */
static void put_verdict(struct ship_row *r, struct buf *b, const struct flow *f)
{
	put_enum(r, b, &flow__verdict__descriptor, flow_enum(f, FLOW_VERDICT, f->verdict));
	if (f->verdict == FLOW__VERDICT__DROPPED)
		put_enum(r, b, &flow__drop_reason__descriptor, (int32_t)f->drop_desc);
	else
		put_nothing(b);
	put_enum(r, b, &flow__flow_type__descriptor, flow_enum(f, FLOW_TYPE, f->type));
}

/* ip_version … trace_reason */
static void put_packet(struct ship_row *r, struct buf *b, const struct flow *f)
{
	rowbinary_put_u8(b, f->ip_version == 1 ? 4 : f->ip_version == 2 ? 6 : 0);
	rowbinary_put_text(b, str_of(l4_name(f->l4)));
	put_flags(r, b, f);
	put_enum(r, b, &flow__traffic_direction__descriptor,
		 flow_enum(f, FLOW_DIRECTION, f->direction));
	rowbinary_put_null(b, f->is_reply == FLOW_REPLY_ABSENT);
	if (f->is_reply != FLOW_REPLY_ABSENT)
		rowbinary_put_u8(b, f->is_reply == FLOW_REPLY_TRUE);
	put_enum(r, b, &flow__trace_observation_point__descriptor,
		 flow_enum(f, FLOW_TRACE_POINT, f->trace_point));
	put_enum(r, b, &flow__trace_reason__descriptor, f->trace_reason);
}

/* event_type … policies */
static void put_details(struct ship_row *r, struct buf *b, const struct flow *f)
{
	const bool has_event = flow_is(f, FLOW_HAS_EVENT_TYPE);
	const bool has_detail = flow_is(f, FLOW_HAS_DETAIL);

	rowbinary_put_u32(b, has_event ? (uint32_t)f->event_type : 0);
	rowbinary_put_u32(b, has_event ? (uint32_t)f->event_sub_type : 0);
	rowbinary_put_text(b, flow_ifname(f));
	rowbinary_put_u32(b, flow_is(f, FLOW_HAS_IFACE) ? f->ifindex : 0);
	rowbinary_put_u8(b, flow_is(f, FLOW_ENCRYPTED));
	rowbinary_put_u64(b, has_detail ? f->packets : 0);
	rowbinary_put_u64(b, has_detail ? f->bytes : 0);
	rowbinary_put_u32(b, has_detail ? f->netns : 0);
	rowbinary_put_text(b, flow_dict_get_kernel_reason(r->dict, f->kernel_reason));
	put_list(b, f, take_policy, 0);
}

static void put_flow(struct ship_row *r, struct buf *b, const struct flow *f)
{
	char uuid[FLOW_UUID_TEXT_BYTES];

	rowbinary_put_text(b, flow_uuid_text(f, uuid));
	put_verdict(r, b, f);
	put_node_name(r, b, f);
	put_side(r, b, f, FLOW_SRC);
	put_side(r, b, f, FLOW_DST);
	put_packet(r, b, f);
	put_details(r, b, f);
	put_l7(r, b, f);
	buf_reset(&r->text);
	flow_summary_put(&r->text, f, r->dict);
	put_made(r, b);
}

/* As put_flow, for what is none: the columns between kind and response. */
static void put_other(struct ship_row *r, struct buf *b, const struct flow *f)
{
	for (size_t i = CF_UUID; i < CF_RESPONSE; i++) {
		static const struct {
			const char *type;
			size_t bytes;
		} zeros[] = { { "UInt8", 1 }, { "UInt32", 4 }, { "Int32", 4 }, { "UInt64", 8 } };
		const struct str type = str_of(clickhouse_flows.columns[i].type);
		size_t bytes = 1; /* of a length, of Nullable's */
		for (size_t z = 0; z < ARRAY_LEN(zeros); z++)
			if (str_is(type, zeros[z].type))
				bytes = zeros[z].bytes;
		if (i == CF_NODE_NAME)
			put_node_name(r, b, f);
		else if (str_has_prefix(type, STR("Nullable")))
			rowbinary_put_null(b, true);
		else
			buf_put(b, (const char[8]){ 0 }, bytes);
	}
}

void ship_row_put(struct ship_row *r, struct buf *b, const struct flow *f, uint64_t time_ns)
{
	const bool is_flow = f->kind == FLOW_KIND_FLOW;

	rowbinary_put_text(b, r->node);
	rowbinary_put_u64(b, f->seq);
	rowbinary_put_u64(b, time_ns);
	rowbinary_put_text(b, str_of(is_flow ? CLICKHOUSE_KIND_FLOW : CLICKHOUSE_KIND_LOST));
	if (is_flow)
		put_flow(r, b, f);
	else
		put_other(r, b, f);
	buf_reset(&r->text);
	/* as the observer itself gives it out (observer/api/get_flows.c) */
	flow_encode_response(&r->text, f, r->dict, is_flow ? STR("") : r->node);
	put_made(r, b);
}

void ship_gap_put(struct buf *b, struct str node, uint64_t entry, struct str cause,
		  const struct store_gap *gap)
{
	rowbinary_put_text(b, node);
	rowbinary_put_u64(b, entry);
	rowbinary_put_text(b, cause);
	rowbinary_put_u64(b, gap->from.v);
	rowbinary_put_u64(b, gap->to.v);
	rowbinary_put_u64(b, gap->lost);
	rowbinary_put_u64(b, gap->first_seq);
	rowbinary_put_u64(b, gap->last_seq);
	rowbinary_put_text(b, gap->node);
	rowbinary_put_text(b, gap->detail);
}
