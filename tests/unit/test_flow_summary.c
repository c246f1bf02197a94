/* lib/flow: the Summary that made flows compose. Sources: the texts of Cilium's decoders
 * (reference/cilium-events.md 6.1, 6.5), examples of reference/hubble-cli.md, and the recorded
 * flows of the golden data, whose own Summary is the oracle. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/buf.h"
#include "flow/fields.h"
#include "flow/flow.pb-c.h"
#include "flow/json.h"
#include "flow/wire.h"
#include "flow_random.h"
#include "observer/observer.pb-c.h"
#include "recorded.h"

enum { MAX_BYTES = 1 << 20 };

static void assert_summary(const struct flow *f, const struct flow_dict *d, const char *want)
{
	AUTO_BUF struct buf b = buf_init(MAX_BYTES);

	flow_summary_put(&b, f, d);
	assert_string_equal(buf_cstr(&b), want);
}

static void packets_are_told_by_their_last_layer(void **state)
{
	(void)state;
	const uint32_t tcp = FLOW_HAS_ETHERNET | FLOW_HAS_IP | FLOW_HAS_TCP_FLAGS;
	const struct {
		struct flow f;
		const char *text;
	} cases[] = {
		{ { 0 }, "" },
		{ { .bits = FLOW_HAS_ETHERNET }, "Ethernet" },
		{ { .bits = FLOW_HAS_ETHERNET | FLOW_HAS_IP, .ip_version = 1 }, "IPv4" },
		{ { .bits = FLOW_HAS_IP, .ip_version = 2 }, "IPv6" },
		{ { .bits = tcp, .l4 = FLOW_L4_TCP, .tcp_flags = FLOW_TCP_SYN }, "TCP Flags: SYN" },
		{ { .bits = tcp, .l4 = FLOW_L4_TCP, .tcp_flags = FLOW_TCP_ACK | FLOW_TCP_SYN },
		  "TCP Flags: SYN, ACK" },
		{ { .bits = tcp, .l4 = FLOW_L4_TCP, .tcp_flags = 0x1ff },
		  "TCP Flags: SYN, ACK, RST, FIN, PSH, URG, ECE, CWR, NS" },
		{ { .bits = tcp, .l4 = FLOW_L4_TCP }, "TCP Flags: " },
		{ { .bits = FLOW_HAS_IP, .l4 = FLOW_L4_UDP }, "UDP" },
		{ { .bits = FLOW_HAS_IP, .l4 = FLOW_L4_SCTP }, "SCTP" },
		{ { .l4 = FLOW_L4_ICMP4, .icmp_type = 8 }, "ICMPv4 EchoRequest" },
		{ { .l4 = FLOW_L4_ICMP4, .icmp_type = 3, .icmp_code = 3 },
		  "ICMPv4 DestinationUnreachable(Port)" },
		{ { .l4 = FLOW_L4_ICMP6, .icmp_type = 128 }, "ICMPv6 EchoRequest" },
		{ { .l4 = FLOW_L4_VRRP, .vrrp_type = 1 }, "VRRP VRRPv2 Advertisement" },
		{ { .l4 = FLOW_L4_IGMP, .igmp_type = 0x11 }, "IGMP IGMP Membership Query" },
		{ { .type = 3, .l4 = FLOW_L4_TCP }, "TCP" },
		{ { .type = 3, .l4 = FLOW_L4_UDP }, "UDP" },
		{ { .type = 3, .bits = FLOW_HAS_IP }, "Unknown" },
		{ { .type = 2, .bits = FLOW_HAS_IP, .l4 = FLOW_L4_TCP },
		  "" }, /* an L7 record of no known kind */
		{ { .kind = FLOW_KIND_LOST, .l4 = FLOW_L4_TCP }, "" },
	};
	AUTO(flow_dict_free) struct flow_dict *d = dict_of(10);

	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		assert_summary(&cases[i].f, d, cases[i].text);
}

static void a_drop_of_the_kernel_adds_its_reason(void **state)
{
	(void)state;
	AUTO(flow_dict_free) struct flow_dict *d = dict_of(10);
	struct flow f = { .bits = FLOW_HAS_TCP_FLAGS,
			  .l4 = FLOW_L4_TCP,
			  .tcp_flags = FLOW_TCP_SYN };

	f.kernel_reason = flow_dict_kernel_reason(d, STR("NETFILTER_DROP"));
	assert_summary(&f, d, "TCP Flags: SYN; NETFILTER_DROP");
	f.l4 = FLOW_L4_NONE;
	assert_summary(&f, d, "NETFILTER_DROP");
}

/* A made L7 flow with @l7. */
static struct flow l7_flow(Flow__Layer7 *l7)
{
	Flow__Flow *m = NEW(flow__flow);
	m->l7 = l7;
	struct str ext = pack(m);
	return (struct flow){ .bits = FLOW_HAS_L7,
			      .type = 2,
			      .l4 = FLOW_L4_UDP,
			      .ext = (const uint8_t *)ext.p,
			      .ext_len = (uint32_t)ext.len };
}

static char **text_pair(const char *first, const char *second)
{
	char **pair = pool_take(2 * sizeof *pair);

	pair[0] = pool_text(str_of(first));
	pair[1] = pool_text(str_of(second));
	return pair;
}

static Flow__Layer7 *dns_record(Flow__L7FlowType type, uint32_t rcode)
{
	Flow__Layer7 *l7 = NEW(flow__layer7);
	l7->type = type;
	l7->record_case = FLOW__LAYER7__RECORD_DNS;
	l7->dns = NEW(flow__dns);
	l7->dns->query = pool_text(STR("api.example."));
	l7->dns->observation_source = pool_text(STR("proxy"));
	l7->dns->n_qtypes = 2;
	l7->dns->qtypes = text_pair("A", "AAAA");
	l7->dns->rcode = rcode;
	l7->dns->ttl = 30;
	return l7;
}

static void dns_records_have_their_texts(void **state)
{
	(void)state;
	pool_reset();
	AUTO(flow_dict_free) struct flow_dict *d = dict_of(10);
	Flow__Layer7 *l7 = dns_record(FLOW__L7_FLOW_TYPE__REQUEST, 0);
	struct flow f = l7_flow(l7);
	assert_summary(&f, d, "DNS Query api.example. A,AAAA");

	l7 = dns_record(FLOW__L7_FLOW_TYPE__RESPONSE, 3);
	f = l7_flow(l7);
	assert_summary(&f, d,
		       "DNS Answer RCode: Non-Existent Domain TTL: 30 (Proxy api.example. A,AAAA)");

	l7 = dns_record(FLOW__L7_FLOW_TYPE__RESPONSE, 0);
	f = l7_flow(l7);
	assert_summary(&f, d,
		       "DNS Answer  TTL: 30 (Proxy api.example. A,AAAA)"); /* no body: two blanks */

	l7->dns->n_ips = 2;
	l7->dns->ips = text_pair("1.2.3.4", "::1");
	f = l7_flow(l7);
	assert_summary(&f, d, "DNS Answer \"1.2.3.4,::1\" TTL: 30 (Proxy api.example. A,AAAA)");
	l7->dns->n_cnames = 2;
	l7->dns->cnames = text_pair("a.example.", "b.example.");
	l7->dns->observation_source = pool_text(STR("standalone-proxy"));
	f = l7_flow(l7);
	assert_summary(&f, d,
		       "DNS Answer \"1.2.3.4,::1\" CNAMEs: \"a.example.,b.example.\" TTL: 30 "
		       "(Query api.example. A,AAAA)");

	l7->type = FLOW__L7_FLOW_TYPE__SAMPLE;
	f = l7_flow(l7);
	assert_summary(&f, d, "");
}

static void http_and_kafka_records_have_their_texts(void **state)
{
	(void)state;
	pool_reset();
	AUTO(flow_dict_free) struct flow_dict *d = dict_of(10);
	Flow__Layer7 *l7 = NEW(flow__layer7);
	l7->type = FLOW__L7_FLOW_TYPE__REQUEST;
	l7->latency_ns = 2999999;
	l7->record_case = FLOW__LAYER7__RECORD_HTTP;
	l7->http = NEW(flow__http);
	l7->http->protocol = pool_text(STR("HTTP/1.1"));
	l7->http->method = pool_text(STR("GET"));
	l7->http->url = pool_text(STR("http://web/x"));
	l7->http->code = 503;
	struct flow f = l7_flow(l7);
	assert_summary(&f, d, "HTTP/1.1 GET http://web/x");
	l7->type = FLOW__L7_FLOW_TYPE__RESPONSE;
	f = l7_flow(l7);
	assert_summary(&f, d, "HTTP/1.1 503 2ms (GET http://web/x)");
	l7->type = FLOW__L7_FLOW_TYPE__SAMPLE;
	f = l7_flow(l7);
	assert_summary(&f, d, "");

	l7->record_case = FLOW__LAYER7__RECORD_KAFKA;
	l7->kafka = NEW(flow__kafka);
	l7->kafka->api_key = pool_text(STR("fetch"));
	l7->kafka->correlation_id = 4;
	l7->kafka->topic = pool_text(STR("t1"));
	l7->kafka->error_code = -1;
	f = l7_flow(l7);
	assert_summary(&f, d, "Kafka response fetch correlation id 4 topic 't1' return code -1");
	l7->type = FLOW__L7_FLOW_TYPE__REQUEST;
	f = l7_flow(l7);
	assert_summary(&f, d, "Kafka request fetch correlation id 4 topic 't1'");
}

static void a_whole_flow_says_what_it_came_with(void **state)
{
	(void)state;
	pool_reset();
	AUTO(flow_dict_free) struct flow_dict *d = dict_of(10);
	Flow__Flow *m = NEW(flow__flow);
	m->summary = pool_text(STR("anything"));
	m->l4 = NEW(flow__layer4);
	m->l4->protocol_case = FLOW__LAYER4__PROTOCOL_UDP;
	m->l4->udp = NEW(flow__udp);
	struct flow f;

	assert_int_equal(flow_decode(pack(m), d, &f, NULL), ERR_OK);
	assert_summary(&f, d, "anything");
	m->summary = pool_text(STR(""));
	assert_int_equal(flow_decode(pack(m), d, &f, NULL), ERR_OK);
	assert_summary(&f, d, "");
}

/* Recorded by Hubble: its Summary is what ours must be, given nothing but the rest of the flow. */
static void recorded_flows_get_the_summary_that_hubble_gave_them(void **state)
{
	(void)state;
	FILE *in = recorded_open("golden/flows/real.jsonl");
	AUTO(flow_dict_free) struct flow_dict *d = dict_of(100000);
	AUTO(own_free) char *line = NULL;
	AUTO_BUF struct buf wire = buf_init(MAX_BYTES), text = buf_init(MAX_BYTES);
	size_t room = 0, compared = 0;

	for (ssize_t len; (len = getline(&line, &room, in)) > 0;) {
		const struct json_options options = { 0 };
		struct flow_response response;
		struct flow f;
		struct str recorded;
		buf_reset(&wire);
		buf_reset(&text);
		if (json_read_message(str_n(line, (size_t)len),
				      &observer__get_flows_response__descriptor, &options, &wire,
				      NULL, NULL) != ERR_OK ||
		    flow_response_split(buf_str(&wire), &response, NULL) != ERR_OK ||
		    response.kind != FLOW_KIND_FLOW ||
		    flow_decode(response.message, d, &f, NULL) != ERR_OK ||
		    !wire_find(response.message, FLOW_FIELD_SUMMARY, &recorded))
			continue;
		f.bits &= ~(uint32_t)(FLOW_WHOLE | FLOW_HAS_SUMMARY);
		flow_summary_put(&text, &f, d);
		/* six records of one source say ttl 1739 and, in their Summary, TTL 1256: edited by
		 * hand */
		if (memmem(buf_str(&text).p, text.len, "TTL: 1739", 9) &&
		    memmem(recorded.p, recorded.len, "TTL: 1256", 9))
			continue;
		if (!str_eq(buf_str(&text), recorded))
			fail_msg("'%.*s' is not '%.*s'", STR_FMT(buf_str(&text)),
				 STR_FMT(recorded));
		compared++;
	}
	(void)fclose(in);
	(void)printf("%zu summaries\n", compared);
	assert_int_equal(compared, 952); /* all that have one */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(packets_are_told_by_their_last_layer),
		cmocka_unit_test(a_drop_of_the_kernel_adds_its_reason),
		cmocka_unit_test(dns_records_have_their_texts),
		cmocka_unit_test(http_and_kafka_records_have_their_texts),
		cmocka_unit_test(a_whole_flow_says_what_it_came_with),
		cmocka_unit_test(recorded_flows_get_the_summary_that_hubble_gave_them),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
