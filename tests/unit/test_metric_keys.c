/* observer/metrics, keys: what a flow adds to the page does not depend on the flows before it.
 *
 *	all flows ──► one set of metrics ──────► page
 *	each flow ──► metrics of its own ──► page ──► + ──► the same numbers
 *
 * Keys spare the metrics the texts of labels: flows with equal keys are counted in one series. What
 * a key forgets is found where two flows differ in nothing else, so flows come in families that
 * differ in one member from the first.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>

#include "base/buf.h"
#include "base/map.h"
#include "flow/dict.h"
#include "flow/flow.pb-c.h"
#include "flow/json.h"
#include "flow/wire.h"
#include "flow_random.h"
#include "metrics/metrics.h"
#include "observer/metrics/flow_metrics.h"

enum { MEMBERS = 18, CHOICES = 18, FAMILIES = 24, FLOWS_MAX = 2400, LINES = 20000 };

#define DNS(query, qtypes, rrtypes, rcode, ips)                                                    \
	"\"dns\":{\"query\":\"" query "\",\"qtypes\":[\"" qtypes "\"],\"rrtypes\":[\"" rrtypes     \
	"\"],\"rcode\":" rcode ",\"ips\":[\"" ips "\"]}"
#define HTTP(code, method, protocol)                                                               \
	"\"http\":{\"code\":" code ",\"method\":\"" method "\",\"protocol\":\"" protocol "\"}"
#define KAFKA(topic, key, error)                                                                   \
	"\"kafka\":{\"topic\":\"" topic "\",\"api_key\":\"" key "\",\"error_code\":" error "}"

static const char form[] =
	"{\"verdict\":%s,\"IP\":{\"source\":%s,\"destination\":%s,\"ipVersion\":%s},\"l4\":%s,"
	"\"source\":%s,\"destination\":%s,\"source_names\":%s,\"destination_names\":%s,"
	"\"event_type\":{\"type\":%s,\"sub_type\":%s},\"traffic_direction\":%s,"
	"\"drop_reason_desc\":%s,\"policy_match_type\":%s,\"is_reply\":%s,"
	"\"l7\":{\"type\":%s,\"latency_ns\":%s,%s}}";

/* null: the member is left out */
static const char *const choices[MEMBERS][CHOICES] = {
	{ "1", "2", "5", "300", "301" },
	{ "\"10.0.0.1\"", "\"10.0.0.2\"", "\"::1\"", "\"odd\"", "null" },
	{ "\"10.0.1.1\"", "\"10.0.1.2\"", "\"::1\"", "\"odd\"", "null" },
	{ "1", "2" },
	{ "{\"TCP\":{\"destination_port\":80,\"flags\":{\"SYN\":true}}}",
	  "{\"TCP\":{\"destination_port\":81,\"flags\":{\"SYN\":true,\"ACK\":true,\"FIN\":true}}}",
	  "{\"UDP\":{\"destination_port\":70000}}", "{\"ICMPv4\":{\"type\":3,\"code\":1}}",
	  "{\"ICMPv4\":{\"type\":3,\"code\":2}}", "{\"ICMPv6\":{\"type\":3,\"code\":1}}", "{}" },
	{ "{\"namespace\":\"shop\",\"pod_name\":\"a\",\"labels\":[\"k8s:app=x\"]}",
	  "{\"namespace\":\"shop\",\"pod_name\":\"b\",\"labels\":[\"k8s:app=y\"]}",
	  "{\"workloads\":[{\"name\":\"w\",\"kind\":\"Job\"}],\"identity\":1}", "null" },
	{ "{\"namespace\":\"shop\",\"pod_name\":\"a\",\"labels\":[\"k8s:app=x\"]}",
	  "{\"namespace\":\"bank\",\"workloads\":[{\"name\":\"w\",\"kind\":\"Job\"}]}",
	  "{\"labels\":[\"reserved:world\"]}", "{\"labels\":[\"reserved:world\",\"cidr:::/0\"]}" },
	{ "[]", "[\"a.example\"]", "[\"a.example\",\"b.example\"]" },
	{ "[]", "[\"a.example\"]", "[\"c.example\"]" },
	{ "1", "4", "5", "129", "7" },
	{ "0", "3", "133" },
	{ "0", "1", "2", "3", "300" },
	{ "0", "133", "999" },
	{ "0", "1", "300" },
	{ "null", "true", "false" },
	{ "1", "2" },
	{ "0", "5000000", "11000000000" },
	{ DNS("a.", "A", "A", "3", "::1"), DNS("b.", "A", "A", "3", "::1"),
	  DNS("a.", "A\",\"AA", "A", "3", "::1"), DNS("a.", "AA", "A", "3", "::1"),
	  DNS("a.", "A", "AA", "3", "::1"), DNS("a.", "A", "A", "259", "::1"),
	  DNS("a.", "A", "A", "3", "::1\",\"::2"), HTTP("200", "GET", "HTTP/1.1"),
	  HTTP("404", "GET", "HTTP/1.1"), HTTP("200", "PUT", "HTTP/1.1"),
	  HTTP("200", "GET", "HTTP/2"), HTTP("200", "G", "ET"), HTTP("200", "GE", "T"),
	  KAFKA("t", "f", "1"), KAFKA("u", "f", "1"), KAFKA("t", "g", "1"), KAFKA("t", "f", "-1"),
	  KAFKA("tf", "", "1") },
};

struct message {
	struct buf wire;
	struct flow flow;
};

struct corpus {
	struct flow_dict *dict;
	struct message messages[FLOWS_MAX];
	size_t count;
};

static size_t count_choices(size_t member)
{
	size_t n = 0;

	while (n < CHOICES && choices[member][n])
		n++;
	return n;
}

static void make_message(struct corpus *c, const size_t picks[MEMBERS])
{
	assert_true(c->count < FLOWS_MAX);
	struct message *m = &c->messages[c->count++];
	const char *t[MEMBERS];
	char json[2048];
	struct err e;

	for (size_t i = 0; i < MEMBERS; i++)
		t[i] = choices[i][picks[i]];
	int len = snprintf(json, sizeof json, form, t[0], t[1], t[2], t[3], t[4], t[5], t[6], t[7],
			   t[8], t[9], t[10], t[11], t[12], t[13], t[14], t[15], t[16], t[17]);
	assert_in_range(len, 1, sizeof json - 1);
	m->wire = buf_init(sizeof json);
	if (json_read_message(str_of(json), &flow__flow__descriptor, NULL, &m->wire, NULL, &e) !=
		    ERR_OK ||
	    flow_decode(buf_str(&m->wire), c->dict, &m->flow, &e) != ERR_OK)
		fail_msg("%s: %s", e.msg, json);
}

static void corpus_init(struct corpus *c, struct random *r)
{
	assert_int_equal(flow_dict_new(10000, &c->dict, NULL), ERR_OK);
	for (size_t family = 0; family < FAMILIES; family++) {
		size_t first[MEMBERS], picks[MEMBERS];
		for (size_t i = 0; i < MEMBERS; i++)
			first[i] = random_below(r, count_choices(i));
		make_message(c, first);
		for (size_t i = 0; i < MEMBERS; i++) {
			memcpy(picks, first, sizeof picks);
			for (picks[i] = 0; picks[i] < count_choices(i); picks[i]++)
				if (picks[i] != first[i])
					make_message(c, picks);
		}
	}
}

static void corpus_done(struct corpus *c)
{
	for (size_t i = 0; i < c->count; i++)
		buf_done(&c->messages[i].wire);
	flow_dict_free(c->dict);
}

/* Samples of pages, by all that stands before the value. */
struct sums {
	struct map *lines;
	double values[LINES];
};

static void add_page(struct sums *s, struct metrics *metrics, double sign)
{
	AUTO_BUF struct buf out = buf_init(16 << 20);
	struct str line, lines;

	assert_int_equal(metrics_write(metrics, PAGE_TEXT, &out, NULL), ERR_OK);
	buf_char(&out, '\0');
	assert_false(out.failed);
	lines = str_n(out.p, out.len - 1);
	while (str_split(&lines, '\n', &line)) {
		if (!line.len || line.p[0] == '#')
			continue;
		size_t key = line.len;
		while (line.p[key - 1] != ' ')
			key--;
		uint32_t at;
		if (!map_get(s->lines, str_upto(line, key), &at)) {
			at = (uint32_t)map_count(s->lines);
			assert_int_equal(map_put(s->lines, str_upto(line, key), at, NULL, NULL),
					 ERR_OK);
			s->values[at] = 0;
		}
		s->values[at] += sign * strtod(line.p + key, NULL);
	}
}

static void unwarned(void *ctx, const char *sentence)
{
	(void)ctx;
	fail_msg("%s", sentence);
}

static void count_flows(struct corpus *c, const char *list, const struct message *m, size_t n,
			struct sums *sums, double sign)
{
	AUTO(metrics_free) struct metrics *metrics = NULL;
	AUTO(flow_metrics_free) struct flow_metrics *fm = NULL;
	struct err e;

	assert_int_equal(metrics_new(LINES, &metrics, NULL), ERR_OK);
	const struct flow_metrics_config config = { .metrics = metrics,
						    .dict = c->dict,
						    .warn = unwarned };
	assert_int_equal(flow_metrics_new(&config, &fm, NULL), ERR_OK);
	if (flow_metrics_list(fm, str_of(list), &e) != ERR_OK)
		fail_msg("%s: %s", list, e.msg);
	for (size_t i = 0; i < n; i++)
		flow_metrics_count(fm, &m[i].flow, 1, (struct wall_ns){ 1 });
	add_page(sums, metrics, sign);
}

static void expect_independence(struct corpus *c, const char *list, struct sums *sums)
{
	map_reset(sums->lines);
	count_flows(c, list, c->messages, c->count, sums, 1);
	for (size_t i = 0; i < c->count; i++)
		count_flows(c, list, &c->messages[i], 1, sums, -1);
	assert_true(map_count(sums->lines) > 0);
	for (size_t i = 0; i < map_count(sums->lines); i++)
		if (sums->values[i] > 1e-6 || sums->values[i] < -1e-6)
			fail_msg("%s: some sample is off by %g", list, sums->values[i]);
}

static const char *const options[] = {
	"labelsContext=source_ip",
	"labelsContext=source_pod",
	"labelsContext=source_namespace",
	"labelsContext=source_workload",
	"labelsContext=source_workload_kind",
	"labelsContext=source_app",
	"labelsContext=destination_ip",
	"labelsContext=destination_pod",
	"labelsContext=destination_namespace",
	"labelsContext=destination_workload",
	"labelsContext=destination_workload_kind",
	"labelsContext=destination_app",
	"labelsContext=traffic_direction",
	"sourceContext=identity",
	"sourceContext=workload|ip",
	"sourceContext=dns",
	"destinationContext=ip",
	"destinationContext=dns|pod",
	"destinationContext=app",
	"sourceEgressContext=ip;destinationIngressContext=dns",
	"sourceIngressContext=pod;sourceContext=dns",
	"destinationEgressContext=pod-name;destinationContext=ip",
};
static const char *const kinds[] = { "dns:query", "drop",   "flow",
				     "http",      "httpV2", "flows-to-world:port;any-drop",
				     "icmp",      "kafka",  "policy",
				     "tcp",       "dns",    "port-distribution" };

/* The contexts' part of a key is everybody's: three kinds of keys stand for all. */
static const char *const kinds_with_options[] = { "flow:", "dns:query;", "httpV2:" };

static void what_a_flow_adds_does_not_depend_on_those_before_it(void **state)
{
	struct random r = random_of("metric_keys", 0x6d657472);
	static struct sums sums;
	static struct corpus c;
	char list[256];

	(void)state;
	corpus_init(&c, &r);
	assert_int_equal(map_new(LINES, 1, &sums.lines, NULL), ERR_OK);
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
		expect_independence(&c, kinds[i], &sums);
	for (size_t i = 0; i < ARRAY_LEN(options); i++)
		for (size_t j = 0; j < ARRAY_LEN(kinds_with_options); j++) {
			(void)snprintf(list, sizeof list, "%s%s", kinds_with_options[j],
				       options[i]);
			expect_independence(&c, list, &sums);
		}
	map_free(sums.lines);
	corpus_done(&c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_a_flow_adds_does_not_depend_on_those_before_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
