/*
 * The Summary of a flow, composed as Cilium's decoders do (pkg/hubble/parser of Cilium 1.19.4): the
 * text of the last layer, or of the L7 record.
 */
#include "flow/flow.h"

#include "base/buf.h"
#include "base/gotext.h"
#include "flow/dict.h"
#include "flow/fields.h"
#include "flow/names.h"
#include "flow/wire.h"

enum { TYPE_L7 = 2, TYPE_SOCK = 3 };                     /* flow.FlowType */
enum { L7_REQUEST = 1, L7_RESPONSE = 2, L7_SAMPLE = 3 }; /* flow.L7FlowType */

static void put_tcp_flags(struct buf *b, unsigned flags)
{
	static const struct {
		uint16_t bit;
		char name[4];
	} order[] = {
		{ FLOW_TCP_SYN, "SYN" }, { FLOW_TCP_ACK, "ACK" }, { FLOW_TCP_RST, "RST" },
		{ FLOW_TCP_FIN, "FIN" }, { FLOW_TCP_PSH, "PSH" }, { FLOW_TCP_URG, "URG" },
		{ FLOW_TCP_ECE, "ECE" }, { FLOW_TCP_CWR, "CWR" }, { FLOW_TCP_NS, "NS" },
	};
	bool first = true;

	buf_lit(b, "TCP Flags: ");
	for (size_t i = 0; i < ARRAY_LEN(order) && flags; i++) {
		if (!(flags & order[i].bit))
			continue;
		flags &= ~(unsigned)order[i].bit;
		if (!first)
			buf_lit(b, ", ");
		first = false;
		buf_put(b, order[i].name, order[i].bit == FLOW_TCP_NS ? 2 : 3);
	}
}

/* --- L7 records --- */

/* Texts of the repeated field @number with commas between them. @return how many */
static size_t put_list(struct buf *b, struct str message, uint32_t number, bool escaped)
{
	struct wire_reader r = wire_reader_of(message);
	size_t n = 0;

	for (struct wire_field x; wire_next(&r, &x);)
		if (x.number == number && x.type == WIRE_LEN) {
			if (n++)
				buf_char(b, ',');
			if (escaped)
				go_escape_put(b, x.bytes);
			else
				buf_str_put(b, x.bytes);
		}
	return n;
}

static bool has_field(struct str message, uint32_t number)
{
	struct str s;

	return wire_find(message, number, &s);
}

static struct str text_field(struct str message, uint32_t number)
{
	struct str s = { "", 0 };

	(void)wire_find(message, number, &s);
	return s;
}

static uint64_t number_field(struct str message, uint32_t number)
{
	struct wire_reader r = wire_reader_of(message);
	uint64_t v = 0;

	for (struct wire_field x; wire_next(&r, &x);)
		if (x.number == number && x.type == WIRE_VARINT)
			v = x.value;
	return v;
}

/* flow.DNS: query 1, ips 2, ttl 3, cnames 4, observation_source 5, rcode 6, qtypes 7 */
static void put_dns(struct buf *b, uint64_t type, struct str dns)
{
	if (type == L7_REQUEST) {
		buf_lit(b, "DNS Query ");
		buf_str_put(b, text_field(dns, 1));
		buf_char(b, ' ');
		(void)put_list(b, dns, 7, false);
		return;
	}
	if (type != L7_RESPONSE)
		return;
	buf_lit(b, "DNS Answer ");
	uint8_t rcode = (uint8_t)number_field(dns, 6); /* the reference looks at 8 bits, too */
	if (rcode) {
		buf_lit(b, "RCode: ");
		buf_str_put(b, str_of(dns_rcode_text(rcode)));
	} else {
		bool ips = has_field(dns, 2), cnames = has_field(dns, 4);
		if (ips) {
			buf_char(b, '"');
			(void)put_list(b, dns, 2, true);
			buf_char(b, '"');
		}
		if (ips && cnames)
			buf_char(b, ' ');
		if (cnames) {
			buf_lit(b, "CNAMEs: \"");
			(void)put_list(b, dns, 4, true);
			buf_char(b, '"');
		}
	}
	buf_lit(b, " TTL: ");
	buf_u64(b, (uint32_t)number_field(dns, 3));
	buf_lit(b, " (");
	buf_str_put(b, str_eq(text_field(dns, 5), STR("proxy")) ? STR("Proxy") : STR("Query"));
	buf_char(b, ' ');
	buf_str_put(b, text_field(dns, 1));
	buf_char(b, ' ');
	(void)put_list(b, dns, 7, false);
	buf_char(b, ')');
}

/* flow.HTTP: code 1, method 2, url 3, protocol 4 */
static void put_http(struct buf *b, uint64_t type, uint64_t latency_ns, struct str http)
{
	if (type != L7_REQUEST && type != L7_RESPONSE)
		return;
	buf_str_put(b, text_field(http, 4));
	buf_char(b, ' ');
	if (type == L7_RESPONSE) {
		buf_u64(b, (uint32_t)number_field(http, 1));
		buf_char(b, ' ');
		buf_u64(b, latency_ns / NS_PER_MS);
		buf_lit(b, "ms (");
	}
	buf_str_put(b, text_field(http, 2));
	buf_char(b, ' ');
	buf_str_put(b, text_field(http, 3));
	if (type == L7_RESPONSE)
		buf_char(b, ')');
}

/* flow.Kafka: error_code 1, api_key 3, correlation_id 4, topic 5 */
static void put_kafka(struct buf *b, uint64_t type, struct str kafka)
{
	buf_str_put(b, type == L7_REQUEST ? STR("Kafka request ") : STR("Kafka response "));
	buf_str_put(b, text_field(kafka, 3));
	buf_lit(b, " correlation id ");
	buf_i64(b, (int32_t)(uint32_t)number_field(kafka, 4));
	buf_lit(b, " topic '");
	buf_str_put(b, text_field(kafka, 5));
	buf_char(b, '\'');
	if (type != L7_REQUEST) {
		buf_lit(b, " return code ");
		buf_i64(b, (int32_t)(uint32_t)number_field(kafka, 1));
	}
}

/* flow.Layer7: type 1, latency_ns 2, dns 100, http 101, kafka 102 */
static void put_l7(struct buf *b, struct str l7)
{
	uint64_t type = number_field(l7, 1);
	struct str record;

	if (wire_find(l7, 101, &record))
		put_http(b, type, number_field(l7, 2), record);
	else if (wire_find(l7, 102, &record))
		put_kafka(b, type, record);
	else if (wire_find(l7, 100, &record))
		put_dns(b, type, record);
}

/* --- packets --- */

static void put_layer(struct buf *b, const struct flow *f)
{
	switch ((enum flow_l4)f->l4) {
	case FLOW_L4_TCP:
		if (flow_is(f, FLOW_HAS_TCP_FLAGS))
			put_tcp_flags(b, f->tcp_flags);
		else
			buf_lit(b, "TCP");
		break;
	case FLOW_L4_UDP:
		buf_lit(b, "UDP");
		break;
	case FLOW_L4_SCTP:
		buf_lit(b, "SCTP");
		break;
	case FLOW_L4_ICMP4:
		buf_lit(b, "ICMPv4 ");
		icmp4_text_put(b, f->icmp_type, f->icmp_code);
		break;
	case FLOW_L4_ICMP6:
		buf_lit(b, "ICMPv6 ");
		icmp6_text_put(b, f->icmp_type, f->icmp_code);
		break;
	case FLOW_L4_VRRP:
		buf_lit(b, "VRRP VRRPv2 Advertisement");
		break;
	case FLOW_L4_IGMP:
		buf_lit(b, "IGMP ");
		buf_str_put(b, str_of(igmp_type_text(f->igmp_type)));
		break;
	case FLOW_L4_NONE:
		if (f->type == TYPE_SOCK)
			buf_lit(b, "Unknown");
		else if (flow_is(f, FLOW_HAS_IP))
			buf_str_put(b, f->ip_version == 2 ? STR("IPv6") : STR("IPv4"));
		else if (flow_is(f, FLOW_HAS_ETHERNET))
			buf_lit(b, "Ethernet");
		break;
	}
}

void flow_summary_put(struct buf *b, const struct flow *f, const struct flow_dict *dict)
{
	struct str text;

	if (f->kind != FLOW_KIND_FLOW)
		return;
	if (f->bits & (FLOW_WHOLE | FLOW_HAS_SUMMARY)) {
		if (flow_is(f, FLOW_HAS_SUMMARY) &&
		    wire_find(str_n(f->ext, f->ext_len), FLOW_FIELD_SUMMARY, &text))
			buf_str_put(b, text);
		return;
	}
	size_t start = b->len;
	if (flow_is(f, FLOW_HAS_L7) && wire_find(str_n(f->ext, f->ext_len), FLOW_FIELD_L7, &text))
		put_l7(b, text);
	else if (f->type != TYPE_L7)
		put_layer(b, f);
	if (f->kernel_reason) {
		if (b->len > start)
			buf_lit(b, "; ");
		buf_str_put(b, flow_dict_get_kernel_reason(dict, f->kernel_reason));
	}
}
