/* observer/metrics: what the recorded cases (tests/golden/metrics.py) do not reach: keys and
 * caches, flows of our own sources, the budget, pods that go. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <pthread.h>
#include <stdio.h>

#include "base/buf.h"
#include "flow/dict.h"
#include "flow/fields.h"
#include "flow/flow.pb-c.h"
#include "flow/wire.h"
#include "metrics/metrics.h"
#include "observer/log/log.h"
#include "observer/metrics/context.h"
#include "observer/metrics/flow_metrics.h"
#include "observer/metrics/gone.h"
#include "observer/metrics/reader.h"
#include "observer/name/name.h"
#include "metrics_world.h"

/* Series of @family, each of them @ones times counted. */
static void expect_series(struct world *w, const char *family, unsigned series, uint64_t ones)
{
	unsigned found = 0;

	for (const char *at = page(w); (at = strstr(at, family)); at += strlen(family)) {
		if (at[-1] != '\n')
			continue;
		const char *end = strchr(at, '\n');
		const char *value = end;
		while (value[-1] != ' ')
			value--;
		assert_int_equal(strtoull(value, NULL, 10), ones);
		found++;
	}
	assert_int_equal(found, series);
}

/* --- what is counted ---------------------------------------------------------------------- */

static void a_denied_packet_is_one_drop_where_the_kernels_drops_are_seen(void **state)
{
	(void)state;
	AUTO_WORLD w;
	open_world(&w, 1000, true);
	configure(&w, "drop flow");
	struct flow verdict = packet(EVENT_VERDICT, FLOW__VERDICT__DROPPED);
	struct flow drop = packet(EVENT_DROP, FLOW__VERDICT__DROPPED);
	verdict.drop_desc = drop.drop_desc = POLICY_DENIED;
	count(&w, &verdict);
	count(&w, &drop);
	expect(&w, "hubble_drop_total{protocol=\"TCP\",reason=\"POLICY_DENIED\"} 1");
	expect(&w,
	       "hubble_flows_processed_total{protocol=\"TCP\",subtype=\"\",type=\"PolicyVerdict\","
	       "verdict=\"DROPPED\"} 1");
}

static void a_denied_packet_is_one_drop_where_only_verdicts_are_seen(void **state)
{
	(void)state;
	AUTO_WORLD w;
	open_world(&w, 1000, false);
	configure(&w, "drop");
	struct flow verdict = packet(EVENT_VERDICT, FLOW__VERDICT__DROPPED);
	verdict.drop_desc = POLICY_DENIED;
	count(&w, &verdict);
	expect(&w, "hubble_drop_total{protocol=\"TCP\",reason=\"POLICY_DENIED\"} 1");
}

static void a_drop_that_cilium_has_no_name_for_has_the_kernels(void **state)
{
	(void)state;
	AUTO_WORLD w;
	open_world(&w, 1000, true);
	configure(&w, "drop");
	struct flow drop = packet(EVENT_DROP, FLOW__VERDICT__DROPPED);
	drop.drop_desc = 255;
	count(&w, &drop); /* as foreign flows may come: no more is known */
	drop.bits |= FLOW_HAS_DETAIL;
	drop.kernel_reason = flow_dict_kernel_reason(w.dict, STR("TCP_OLD_DATA"));
	count(&w, &drop);
	count(&w, &drop);
	drop.kernel_reason = flow_dict_kernel_reason(w.dict, STR("NETFILTER_DROP"));
	count(&w, &drop);
	drop.drop_desc = POLICY_DENIED;
	count(&w, &drop);
	expect(&w, "hubble_drop_total{protocol=\"TCP\",reason=\"255\"} 1");
	expect(&w, "hubble_drop_total{protocol=\"TCP\",reason=\"TCP_OLD_DATA\"} 2");
	expect(&w, "hubble_drop_total{protocol=\"TCP\",reason=\"NETFILTER_DROP\"} 1");
	expect(&w, "hubble_drop_total{protocol=\"TCP\",reason=\"POLICY_DENIED\"} 1");
}

static void records_that_are_no_flows_are_not_counted(void **state)
{
	(void)state;
	AUTO_WORLD w;
	open_world(&w, 1000, false);
	configure(&w, "flow");
	struct flow f = packet(EVENT_TRACE, FLOW__VERDICT__FORWARDED);
	f.kind = FLOW_KIND_LOST;
	count(&w, &f);
	assert_string_equal(page(&w), "");
}

/* --- keys --------------------------------------------------------------------------------- */

static void flows_of_different_pods_addresses_and_directions_are_kept_apart(void **state)
{
	(void)state;
	AUTO_WORLD w;
	open_world(&w, 1000, false);
	configure(&w,
		  "flow:sourceContext=pod;destinationContext=ip;labelsContext=traffic_direction");
	struct flow f = packet(EVENT_TRACE, FLOW__VERDICT__FORWARDED);
	f.bits |= FLOW_HAS_DST_IP;
	for (unsigned i = 0; i < 24; i++) { /* each twice: the second comes from the cache */
		unsigned n = i % 12;
		f.src_ep = pod(&w, "shop", n & 1 ? "a" : "b");
		ip_from_v4(f.dst_ip, (uint8_t[]){ 10, 0, 0, n & 2 ? 1 : 2 });
		f.direction = n / 4 == 2 ? 77 : (uint8_t)(n / 4);
		count(&w, &f);
	}
	expect(&w, "hubble_flows_processed_total{destination=\"10.0.0.1\",protocol=\"TCP\","
		   "source=\"shop/a\",subtype=\"to-endpoint\",traffic_direction=\"unknown\","
		   "type=\"Trace\",verdict=\"FORWARDED\"} 2");
	/* a direction without a name is its number: Cilium pkg/hubble/metrics/api/context.go */
	expect(&w, "hubble_flows_processed_total{destination=\"10.0.0.1\",protocol=\"TCP\","
		   "source=\"shop/a\",subtype=\"to-endpoint\",traffic_direction=\"77\","
		   "type=\"Trace\",verdict=\"FORWARDED\"} 2");
	expect(&w, "hubble_flows_processed_total{destination=\"10.0.0.2\",protocol=\"TCP\","
		   "source=\"shop/b\",subtype=\"to-endpoint\",traffic_direction=\"ingress\","
		   "type=\"Trace\",verdict=\"FORWARDED\"} 2");
	assert_int_equal(metrics_counts(w.metrics).series, 12);
	count_message(&w, "{\"event_type\":{\"type\":4},\"traffic_direction\":70000}");
	assert_non_null(strstr(page(&w), "traffic_direction=\"70000\""));
}

/* httpV2 tells of the request, whose source is the response's destination: what a label's value
 * depends on is on the other side of the flow. */
static void sides_that_change_places_are_kept_apart(void **state)
{
	static const char *const sides[] = { "source", "destination" };

	(void)state;
	for (size_t side = 0; side < ARRAY_LEN(sides); side++) {
		AUTO_WORLD w;
		char list[64], json[256];
		open_world(&w, 1000, false);
		(void)snprintf(list, sizeof list, "httpV2:labelsContext=%s_ip", sides[side]);
		configure(&w, list);
		for (unsigned i = 0; i < 4; i++) {
			(void)snprintf(json, sizeof json,
				       "{\"IP\":{\"%s\":\"10.0.0.%u\",\"%s\":\"10.0.1.1\"},\"l7\":"
				       "{\"type\":\"RESPONSE\",\"http\":{\"code\":200}}}",
				       sides[!side], i % 2, sides[side]);
			count_message(&w, json);
		}
		expect_series(&w, "hubble_http_requests_total{", 2, 2);
	}
}

/* Cilium pkg/hubble/metrics/flows-to-world/handler.go (1.18): the message is asked for, not what is
 * in it. */
static void a_layer_4_that_says_nothing_is_one(void **state)
{
	(void)state;
	AUTO_WORLD w;
	open_world(&w, 1000, false);
	configure(&w, "flows-to-world:port");
	count_message(&w, "{\"event_type\":{\"type\":4},\"verdict\":\"FORWARDED\",\"l4\":{},"
			  "\"destination\":{\"labels\":[\"reserved:world\"]}}");
	count_message(&w, "{\"event_type\":{\"type\":4},\"verdict\":\"FORWARDED\","
			  "\"destination\":{\"labels\":[\"reserved:world\"]}}");
	expect(&w, "hubble_flows_to_world_total{port=\"\",protocol=\"Unknown L4\","
		   "verdict=\"FORWARDED\"} 1");
}

/* Cilium pkg/hubble/metrics/dns/rcode.go: codes have 32 bits. */
static void a_response_code_is_not_cut(void **state)
{
	static const unsigned codes[] = { 3, 24, 255, 256, 259, 1 << 16 };

	(void)state;
	AUTO_WORLD w;
	open_world(&w, 1000, false);
	configure(&w, "dns");
	for (size_t i = 0; i < ARRAY_LEN(codes); i++) {
		char json[128];
		(void)snprintf(json, sizeof json,
			       "{\"is_reply\":true,\"l7\":{\"dns\":{\"rcode\":%u}}}", codes[i]);
		count_message(&w, json);
	}
	expect(&w, "hubble_dns_responses_total{ips_returned=\"0\",qtypes=\"\","
		   "rcode=\"Non-Existent Domain\"} 1");
	expect(&w, "hubble_dns_responses_total{ips_returned=\"0\",qtypes=\"\",rcode=\"\"} 5");
}

/* Cilium pkg/hubble/metrics/http/handler.go (1.18) looks no further than the first. */
static void of_several_words_on_exemplars_the_first_counts(void **state)
{
	static const char flow[] = "{\"l7\":{\"type\":\"RESPONSE\",\"http\":{\"code\":200}},"
				   "\"trace_context\":{\"parent\":{\"trace_id\":\"4bf92f35\"}}}";
	static const char *const lists[] = { "httpV2:exemplars=false;exemplars=true",
					     "httpV2:exemplars=true;exemplars=false" };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(lists); i++) {
		AUTO_WORLD w;
		open_world(&w, 1000, false);
		configure(&w, lists[i]);
		count_message(&w, flow);
		assert_int_equal(strstr(page_as(&w, PAGE_OPENMETRICS), "4bf92f35") != NULL, i == 1);
	}
}

/* What people run: the labels of a pod and of its namespace. */
static void the_labels_of_a_real_identity_are_told_whole(void **state)
{
	enum { LABELS = 24, LABEL_BYTES = 64 };
	static char texts[LABELS][LABEL_BYTES + 1];
	struct str labels[LABELS];
	char wanted[LABELS * (LABEL_BYTES + 1) + 32] = "source=\"";

	(void)state;
	AUTO_WORLD w;
	open_world(&w, 1000, false);
	configure(&w, "flow:sourceContext=identity");
	for (size_t i = 0; i < LABELS; i++) {
		(void)snprintf(texts[i], sizeof texts[i], "k8s:%060zu", i);
		labels[i] = str_of(texts[i]);
		(void)snprintf(wanted + strlen(wanted), sizeof wanted - strlen(wanted), "%s%s",
			       i ? "," : "", texts[i]);
	}
	struct flow f = packet(EVENT_TRACE, FLOW__VERDICT__FORWARDED);
	f.src_ep = flow_dict_endpoint(
		w.dict, &(struct endpoint){ .labels = labels, .label_count = LABELS });
	count(&w, &f);
	const char *told = strstr(page(&w), wanted);
	assert_non_null(told);
	assert_int_equal(told[strlen(wanted)], '"');
}

static void no_address_and_the_address_of_zeros_are_kept_apart(void **state)
{
	(void)state;
	AUTO_WORLD w;
	open_world(&w, 1000, false);
	configure(&w, "tcp:sourceContext=ip");
	struct flow f = packet(EVENT_TRACE, FLOW__VERDICT__FORWARDED);
	f.tcp_flags = FLOW_TCP_SYN;
	count(&w, &f);
	f.bits |= FLOW_HAS_SRC_IP;
	count(&w, &f);
	expect(&w, "hubble_tcp_flags_total{family=\"IPv4\",flag=\"SYN\",source=\"\"} 1");
	expect(&w, "hubble_tcp_flags_total{family=\"IPv4\",flag=\"SYN\",source=\"::\"} 1");
}

/* DNS names are interned; more of them than the interner holds must not mix them up. */
static void more_names_than_are_remembered_are_still_told_apart(void **state)
{
	(void)state;
	AUTO_WORLD w;
	open_world(&w, 200000, false);
	configure(&w, "tcp:destinationContext=dns");
	struct flow f = packet(EVENT_TRACE, FLOW__VERDICT__FORWARDED);
	f.tcp_flags = FLOW_TCP_SYN;
	f.bits |= FLOW_HAS_NAMES;
	for (unsigned round = 0; round < 2; round++)
		for (unsigned i = 0; i < 70000; i++) {
			char name[32];
			AUTO_BUF struct buf ext = buf_init(100);
			(void)snprintf(name, sizeof name, "host-%u.example", i);
			wire_put_str(&ext, 14, str_of(name));
			f.ext = (const uint8_t *)ext.p;
			f.ext_len = (uint32_t)ext.len;
			count(&w, &f);
		}
	assert_int_equal(metrics_counts(w.metrics).series, 70000);
	expect(&w, "hubble_tcp_flags_total{destination=\"host-0.example\",family=\"IPv4\","
		   "flag=\"SYN\"} 2");
	expect(&w, "hubble_tcp_flags_total{destination=\"host-69999.example\",family=\"IPv4\","
		   "flag=\"SYN\"} 2");
}

static void long_texts_are_forgotten_before_they_are_too_much(void **state)
{
	enum { LONG_BYTES = 1 << 15 };
	AUTO_BUF struct buf text = buf_init(LONG_BYTES);
	struct texts t;

	(void)state;
	assert_int_equal(texts_init(&t, NULL), ERR_OK);
	assert_non_null(buf_reserve(&text, LONG_BYTES));
	memset(text.p, 'x', LONG_BYTES);
	text.len = LONG_BYTES;
	for (uint32_t i = 0; i < TEXTS_BYTES / LONG_BYTES + 1; i++) {
		memcpy(text.p, &i, sizeof i);
		assert_int_equal(texts_id(&t, buf_str(&text)), i + 1); /* none is given twice */
		assert_int_equal(texts_id(&t, buf_str(&text)), i + 1);
	}
	assert_int_equal(map_count(t.map), 1);
	texts_done(&t);
}

enum { LONG = 300 << 10 };

/* LONG bytes and a terminator; the last is @last. */
static const char *long_text(char last)
{
	static char text[LONG + 1];

	memset(text, 'x', LONG);
	text[LONG - 1] = last;
	text[LONG] = '\0';
	return text;
}

/* Whatever a server that is followed may say. */
static void texts_that_are_too_long_for_a_label_are_kept_apart_by_their_ends(void **state)
{
	(void)state;
	AUTO_WORLD w;
	open_world(&w, 1000, false);
	configure(&w, "tcp:sourceContext=pod;destinationContext=dns");
	struct flow f = packet(EVENT_TRACE, FLOW__VERDICT__FORWARDED);
	f.tcp_flags = FLOW_TCP_SYN;
	f.bits |= FLOW_HAS_NAMES;
	f.src_ep = pod(&w, "shop", "a");
	for (unsigned i = 0; i < 3 * 2; i++) {
		AUTO_BUF struct buf ext = buf_init(2 * LONG);
		wire_put_str(&ext, 14, STR("first.example"));
		wire_put_str(&ext, 14, str_of(long_text((char)('a' + i % 3))));
		f.ext = (const uint8_t *)ext.p;
		f.ext_len = (uint32_t)ext.len;
		count(&w, &f);
	}
	expect_series(&w, "hubble_tcp_flags_total{destination=\"first.example,xxx", 3, 2);
	expect_none(&w, "source=\"\""); /* the other labels are what they are */
	assert_non_null(strstr(page(&w), "source=\"shop/a\"} 2"));
}

static void queries_that_are_too_long_for_a_label_are_kept_apart_by_their_ends(void **state)
{
	(void)state;
	AUTO_WORLD w;
	open_world(&w, 1000, false);
	configure(&w, "dns:query");
	struct flow f = packet(EVENT_TRACE, FLOW__VERDICT__FORWARDED);
	f.bits |= FLOW_HAS_L7;
	for (unsigned i = 0; i < 3 * 2; i++) {
		AUTO_BUF struct buf ext = buf_init(2 * LONG);
		size_t l7 = wire_begin(&ext, FLOW_FIELD_L7);
		size_t dns = wire_begin(&ext, L7_FIELD_DNS);
		wire_put_str(&ext, 1, str_of(long_text((char)('a' + i % 3))));
		wire_end(&ext, dns);
		wire_end(&ext, l7);
		f.ext = (const uint8_t *)ext.p;
		f.ext_len = (uint32_t)ext.len;
		count(&w, &f);
	}
	expect_series(&w, "hubble_dns_queries_total{", 3, 2);
}

static void labels_that_are_too_long_leave_others_as_they_are(void **state)
{
	(void)state;
	AUTO_WORLD w;
	open_world(&w, 1000, false);
	configure(&w, "flow:sourceContext=identity;destinationContext=pod");
	struct flow f = packet(EVENT_TRACE, FLOW__VERDICT__FORWARDED);
	f.dst_ep = pod(&w, "shop", "b");
	for (unsigned i = 0; i < 3 * 2; i++) {
		const struct str labels[] = { STR("k8s:app=a"),
					      str_of(long_text((char)('a' + i % 3))) };
		f.src_ep = flow_dict_endpoint(
			w.dict, &(struct endpoint){ .labels = labels, .label_count = 2 });
		count(&w, &f);
	}
	expect_series(&w, "hubble_flows_processed_total{destination=\"shop/b\",", 3, 2);
}

static void beyond_the_budget_everything_is_still_counted(void **state)
{
	(void)state;
	AUTO_WORLD w;
	uint64_t sum = 0;
	open_world(&w, 64, false);
	configure(&w, "port-distribution flow:sourceContext=pod");
	struct flow f = packet(EVENT_TRACE, FLOW__VERDICT__FORWARDED);
	f.is_reply = FLOW_REPLY_FALSE;
	for (unsigned i = 0; i < 3000; i++) {
		char name[16];
		(void)snprintf(name, sizeof name, "p%u", i % 500);
		f.src_ep = pod(&w, "shop", name);
		f.dst_port = (uint16_t)i;
		count(&w, &f);
		assert_true(metrics_counts(w.metrics).series <= 64);
	}
	for (const char *at = page(&w); (at = strstr(at, "\nhubble_flows_processed_total{")); at++)
		sum += strtoull(strstr(at, "} ") + 2, NULL, 10);
	assert_int_equal(sum, 3000);
	expect_none(&w, "verdict=\"other\"");
	expect_none(&w, "protocol=\"other\"");
}

/* --- pods that go ------------------------------------------------------------------------- */

static void a_pod_that_is_gone_takes_its_series_with_it(void **state)
{
	(void)state;
	AUTO_WORLD w;
	open_world(&w, 1000, false);
	configure(&w, "flow:sourceContext=pod tcp:labelsContext=destination_pod,"
		      "destination_namespace drop:sourceContext=pod-name");
	struct flow f = packet(EVENT_TRACE, FLOW__VERDICT__FORWARDED);
	f.tcp_flags = FLOW_TCP_SYN;
	f.src_ep = pod(&w, "shop", "a");
	f.dst_ep = pod(&w, "shop", "b");
	count(&w, &f);
	f.verdict = FLOW__VERDICT__DROPPED;
	count(&w, &f);
	assert_int_equal(flow_metrics_forget_pod(w.fm, STR("other"), STR("a")), 0);
	assert_int_equal(flow_metrics_forget_pod(w.fm, STR("shop"), STR("a")), 2);
	expect_none(&w, "hubble_flows_processed_total");
	expect(&w, "hubble_drop_total{protocol=\"TCP\",reason=\"DROP_REASON_UNKNOWN\","
		   "source=\"a\"} 1"); /* pod-name alone does not say whose */
	assert_int_equal(flow_metrics_forget_pod(w.fm, STR("shop"), STR("b")), 1);
	expect_none(&w, "hubble_tcp_flags_total");
	count(&w, &f); /* and comes back from nothing */
	expect(&w, "hubble_flows_processed_total{protocol=\"TCP\",source=\"shop/a\",subtype=\"to-"
		   "endpoint\",type=\"Trace\",verdict=\"DROPPED\"} 1");
}

struct forgotten {
	char text[256];
};

static void note(void *ctx, struct str namespace_, struct str pod_name)
{
	struct forgotten *f = ctx;
	size_t len = strlen(f->text);

	(void)snprintf(f->text + len, sizeof f->text - len, "%.*s/%.*s ", STR_FMT(namespace_),
		       STR_FMT(pod_name));
}

static void name_pods(struct name_table *t, const char *const *pods, size_t n)
{
	struct name_prefix prefixes[8];

	for (size_t i = 0; i < n; i++) {
		prefixes[i] = (struct name_prefix){
			.bits = 128,
			.endpoint = { .namespace_ = STR("shop"), .pod = str_of(pods[i]) },
		};
		ip_from_v4(prefixes[i].ip, (uint8_t[]){ 10, 0, 0, (uint8_t)(i + 1) });
	}
	const struct name_view view = { .prefixes = prefixes, .prefix_count = n };
	assert_int_equal(name_update(t, 1, &view, NULL), ERR_OK);
}

static void a_pod_is_gone_a_minute_after_the_names_forget_it(void **state)
{
	(void)state;
	AUTO(flow_dict_free) struct flow_dict *dict = NULL;
	AUTO(name_table_free) struct name_table *names = NULL;
	AUTO(gone_free) struct gone *g = NULL;
	struct forgotten f = { "" };
	struct mono_ns now = { NS_PER_S };
	assert_int_equal(flow_dict_new(1000, &dict, NULL), ERR_OK);
	assert_int_equal(name_table_new(&(struct name_config){ .cluster = "", .node = "n" }, dict,
					&names, NULL),
			 ERR_OK);
	assert_int_equal(gone_new(names, dict, &g, NULL), ERR_OK);
	name_pods(names, (const char *const[]){ "a", "b", "c" }, 3);
	gone_look(g, now, note, &f);
	name_pods(names, (const char *const[]){ "a" }, 1); /* b and c went */
	gone_look(g, now, note, &f);
	now.v += 30 * NS_PER_S;
	name_pods(names, (const char *const[]){ "a", "c" }, 2); /* c is back */
	gone_look(g, now, note, &f);
	now.v += 30 * NS_PER_S - 1;
	gone_look(g, now, note, &f);
	assert_string_equal(f.text, "");
	now.v += 1;
	gone_look(g, now, note, &f);
	assert_string_equal(f.text, "shop/b ");
	now.v += 3600 * NS_PER_S;
	gone_look(g, now, note, &f);
	assert_string_equal(f.text, "shop/b ");
}

/* --- the reader --------------------------------------------------------------------------- */

static void a_reader_counts_the_log_and_what_it_missed(void **state)
{
	(void)state;
	AUTO_WORLD w;
	AUTO(flow_log_free) struct flow_log *log = NULL;
	open_world(&w, 1000, false);
	configure(&w, "flow");
	assert_int_equal(flow_log_new(&(struct flow_log_config){ .capacity = 63, .first_seq = 1 },
				      &log, NULL),
			 ERR_OK);
	struct flow f = packet(EVENT_TRACE, FLOW__VERDICT__FORWARDED);
	for (unsigned i = 0; i < 100; i++) /* 37 more than it holds */
		(void)flow_log_put(log, &f);
	struct flow lost = { .kind = FLOW_KIND_LOST };
	AUTO_BUF struct buf ext = buf_init(100);
	wire_put_u64(&ext, 1, FLOW__LOST_EVENT_SOURCE__PERF_EVENT_RING_BUFFER);
	wire_put_u64(&ext, 2, 500);
	lost.ext = (const uint8_t *)ext.p;
	lost.ext_len = (uint32_t)ext.len;
	(void)flow_log_put(log, &lost);
	AUTO(metrics_reader_free) struct metrics_reader *r = NULL;
	const struct metrics_reader_config config = { .log = log, .metrics = w.fm };
	assert_int_equal(metrics_reader_new(&config, &r, NULL), ERR_OK);
	struct metrics_reader_counts c;
	do
		c = metrics_reader_counts(r);
	while (c.records < 63);
	assert_int_equal(c.missed, 38);
	assert_int_equal(c.lag, 0);
	assert_int_equal(c.lost_events[FLOW__LOST_EVENT_SOURCE__PERF_EVENT_RING_BUFFER], 500);
	expect(&w, "hubble_flows_processed_total{protocol=\"TCP\",subtype=\"to-endpoint\","
		   "type=\"Trace\",verdict=\"FORWARDED\"} 62");
}

enum { BATCHES = 400, BATCH = 50 };

static void *count_batches(void *arg)
{
	struct flow flows[BATCH];

	for (unsigned i = 0; i < BATCH; i++)
		flows[i] = packet(EVENT_TRACE, FLOW__VERDICT__FORWARDED);
	for (unsigned i = 0; i < BATCHES; i++) {
		for (unsigned j = 0; j < BATCH; j++) {
			flows[j].dst_port = (uint16_t)(i * BATCH + j);
			flows[j].is_reply = FLOW_REPLY_FALSE;
		}
		flow_metrics_count(arg, flows, BATCH, (struct wall_ns){ 1 });
	}
	return NULL;
}

static void scrapes_and_folding_lose_nothing_while_flows_are_counted(void **state)
{
	(void)state;
	AUTO_WORLD w;
	pthread_t thread;
	uint64_t last = 0;
	open_world(&w, 500, false);
	configure(&w, "port-distribution flow");
	assert_int_equal(pthread_create(&thread, NULL, count_batches, w.fm), 0);
	while (last < BATCHES * BATCH) { /* what is told only grows */
		const char *at = strstr(page(&w), "\nhubble_flows_processed_total{");
		uint64_t now = at ? strtoull(strstr(at, "} ") + 2, NULL, 10) : 0;
		assert_true(now >= last);
		last = now;
	}
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_int_equal(last, BATCHES * BATCH);
	assert_true(metrics_counts(w.metrics).folded > 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_denied_packet_is_one_drop_where_the_kernels_drops_are_seen),
		cmocka_unit_test(a_denied_packet_is_one_drop_where_only_verdicts_are_seen),
		cmocka_unit_test(a_drop_that_cilium_has_no_name_for_has_the_kernels),
		cmocka_unit_test(records_that_are_no_flows_are_not_counted),
		cmocka_unit_test(flows_of_different_pods_addresses_and_directions_are_kept_apart),
		cmocka_unit_test(sides_that_change_places_are_kept_apart),
		cmocka_unit_test(a_layer_4_that_says_nothing_is_one),
		cmocka_unit_test(a_response_code_is_not_cut),
		cmocka_unit_test(of_several_words_on_exemplars_the_first_counts),
		cmocka_unit_test(the_labels_of_a_real_identity_are_told_whole),
		cmocka_unit_test(no_address_and_the_address_of_zeros_are_kept_apart),
		cmocka_unit_test(more_names_than_are_remembered_are_still_told_apart),
		cmocka_unit_test(long_texts_are_forgotten_before_they_are_too_much),
		cmocka_unit_test(texts_that_are_too_long_for_a_label_are_kept_apart_by_their_ends),
		cmocka_unit_test(
			queries_that_are_too_long_for_a_label_are_kept_apart_by_their_ends),
		cmocka_unit_test(labels_that_are_too_long_leave_others_as_they_are),
		cmocka_unit_test(beyond_the_budget_everything_is_still_counted),
		cmocka_unit_test(a_pod_that_is_gone_takes_its_series_with_it),
		cmocka_unit_test(a_pod_is_gone_a_minute_after_the_names_forget_it),
		cmocka_unit_test(a_reader_counts_the_log_and_what_it_missed),
		cmocka_unit_test(scrapes_and_folding_lose_nothing_while_flows_are_counted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
