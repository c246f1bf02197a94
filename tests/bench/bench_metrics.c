/* What a flow costs with metrics on, and what a scrape of a full page costs: written, compressed,
 * and over HTTP. Flows are those of a node of 5,000 endpoints, as the pipeline makes them: of 100,
 * 60 TCP (a tenth of them with SYN or FIN), 15 UDP, 10 DNS messages, 5 ICMP, 10 drops. Best of
 * several rounds: others share the machine. "dump FILE": the flows into a file (bench_dump.h). */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "flow/flow.pb-c.h"
#include "flow/wire.h"
#include "metrics/server.h"
#include "observer/log/log.h"
#include "observer/metrics/flow_metrics.h"
#include "tests/bench/bench.h"
#include "tests/bench/bench_dump.h"

enum {
	ENDPOINTS = 5000,
	RING = 65535,
	BATCH = 128,
	PARTS = 31,
	PART = 2048,
	ROUNDS = 25,
	SERIES = 20000,
	PAGE_BYTES = 64 << 20,
};

static const double flow_budget_ns = 60, scrape_budget_ms = 50;

/* What Hubble's documentation switches on. */
static const char usual[] = "dns drop tcp flow port-distribution icmp";
static const char with_pods[] = "dns:labelsContext=source_namespace,destination_namespace "
				"drop:labelsContext=source_namespace,destination_namespace "
				"tcp:labelsContext=source_namespace,destination_namespace "
				"flow:sourceContext=workload-name|reserved-identity;"
				"destinationContext=workload-name|reserved-identity "
				"port-distribution icmp";

static void die(const struct err *e)
{
	(void)fprintf(stderr, "%s\n", e->msg);
	exit(1);
}

static uint32_t next_random(uint64_t *state)
{
	*state = *state * UINT64_C(6364136223846793005) + 1442695040888963407u;
	return (uint32_t)(*state >> 33);
}

static void add_endpoints(struct flow_dict *dict)
{
	for (unsigned i = 0; i < ENDPOINTS; i++) {
		char pod[32], ns[16], app[32], label[48];
		(void)snprintf(pod, sizeof pod, "pod-%u", i);
		(void)snprintf(ns, sizeof ns, "ns-%u", i % 20);
		(void)snprintf(app, sizeof app, "app-%u", i % 100);
		(void)snprintf(label, sizeof label, "k8s:app=%s", app);
		struct str text = str_of(label);
		struct workload workload = { str_of(app), STR("Deployment") };
		const struct endpoint ep = { .identity = 1000 + i,
					     .namespace_ = str_of(ns),
					     .pod = str_of(pod),
					     .labels = &text,
					     .label_count = 1,
					     .workloads = &workload,
					     .workload_count = 1 };
		(void)flow_dict_endpoint(dict, &ep);
	}
}

/* Layer7{type, dns{query, ips, rcode, qtypes, rrtypes}} */
static void put_dns(struct buf *ext, bool reply)
{
	size_t l7 = wire_begin(ext, 15);

	wire_put_u64(ext, 1, reply ? 2 : 1);
	size_t dns = wire_begin(ext, 100);
	wire_put_str(ext, 1, STR("shop.example."));
	if (reply)
		wire_put_str(ext, 2, STR("192.0.2.7"));
	wire_put_str(ext, 7, STR("A"));
	if (reply)
		wire_put_str(ext, 8, STR("A"));
	wire_end(ext, dns);
	wire_end(ext, l7);
}

static void make_flow(struct flow *f, uint64_t *state, struct buf *ext)
{
	uint32_t kind = next_random(state) % 100, r = next_random(state);
	static const uint16_t ports[] = { 80, 443, 8080, 5432, 6379, 9090 };

	*f = (struct flow){ .kind = FLOW_KIND_FLOW,
			    .bits = FLOW_HAS_IP | FLOW_HAS_EVENT_TYPE | FLOW_HAS_TIME,
			    .verdict = FLOW__VERDICT__FORWARDED,
			    .type = FLOW__FLOW_TYPE__L3_L4,
			    .ip_version = 1,
			    .event_type = 4,
			    .event_sub_type = r & 1 ? 5 : 11,
			    .is_reply = r & 2 ? FLOW_REPLY_TRUE : FLOW_REPLY_FALSE,
			    .direction = r & 4 ? 1 : 2,
			    .src_ep = { 1 + next_random(state) % ENDPOINTS },
			    .l4 = FLOW_L4_TCP,
			    .src_port = (uint16_t)(32768 + r % 28000),
			    .dst_port = ports[r % 6] };
	f->dst_ep.v = 1 + (f->src_ep.v * 7 + r % 3) % ENDPOINTS; /* each talks to a few */
	buf_reset(ext);
	if (kind < 60) {
		f->bits |= FLOW_HAS_TCP_FLAGS;
		f->tcp_flags = FLOW_TCP_ACK | (kind < 3   ? FLOW_TCP_SYN
					       : kind < 6 ? FLOW_TCP_FIN
							  : 0);
	} else if (kind < 75) {
		f->l4 = FLOW_L4_UDP;
	} else if (kind < 85) {
		f->l4 = FLOW_L4_UDP;
		f->dst_port = 53;
		f->type = FLOW__FLOW_TYPE__L7;
		f->event_type = 129;
		f->event_sub_type = 0;
		f->bits |= FLOW_HAS_L7;
		put_dns(ext, r & 2);
	} else if (kind < 90) {
		f->l4 = FLOW_L4_ICMP4;
		f->icmp_type = r & 1 ? 8 : 0;
		f->icmp_code = 0;
	} else {
		f->verdict = FLOW__VERDICT__DROPPED;
		f->event_type = 1;
		f->event_sub_type = 133;
		f->drop_desc = f->drop_reason = r & 1 ? 133 : 181;
	}
	f->ext = (const uint8_t *)ext->p;
	f->ext_len = (uint32_t)ext->len;
}

static void fill_log(struct flow_log *log)
{
	AUTO_BUF struct buf ext = buf_init(1024);
	uint64_t state = 7;

	for (unsigned i = 0; i < RING; i++) {
		struct flow f;
		make_flow(&f, &state, &ext);
		(void)flow_log_put(log, &f);
	}
}

/* As metrics_reader does it: the copy out of the log is part of the cost. The log is read part by
 * part, and of each part the best of all rounds counts. */
static double count_part(const struct flow_log *log, struct flow_batch *b, struct flow_metrics *fm,
			 unsigned part)
{
	uint64_t cursor = 1 + (uint64_t)part * PART, end = cursor + PART, lost;
	struct mono_ns start = mono_now();

	while (flow_log_read(log, &cursor, end, b, &lost))
		if (fm)
			flow_metrics_count(fm, b->flows, b->count, (struct wall_ns){ 1 });
	return (double)(mono_now().v - start.v);
}

static void no_warning(void *ctx, const char *sentence)
{
	(void)ctx;
	(void)fprintf(stderr, "%s\n", sentence);
}

static double count_flows(const struct flow_log *log, const struct flow_dict *dict,
			  const char *list)
{
	AUTO(metrics_free) struct metrics *m = NULL;
	AUTO(flow_metrics_free) struct flow_metrics *fm = NULL;
	AUTO(flow_batch_free) struct flow_batch *b = NULL;
	struct err e;
	double best[PARTS], sum = 0;

	if (metrics_new(SERIES, &m, &e) != ERR_OK || flow_batch_new(log, BATCH, &b, &e) != ERR_OK ||
	    flow_metrics_new(
		    &(struct flow_metrics_config){
			    .metrics = m, .dict = dict, .kernel_drops = true, .warn = no_warning },
		    &fm, &e) != ERR_OK ||
	    (list && flow_metrics_list(fm, str_of(list), &e) != ERR_OK))
		die(&e);
	for (unsigned part = 0; part < PARTS; part++)
		best[part] = 1e18;
	for (int i = 0; i < ROUNDS; i++)
		for (unsigned part = 0; part < PARTS; part++) {
			double ns = count_part(log, b, list ? fm : NULL, part);
			best[part] = ns < best[part] ? ns : best[part];
		}
	for (unsigned part = 0; part < PARTS; part++)
		sum += best[part];
	return sum / (PARTS * PART);
}

/* --- scrapes ------------------------------------------------------------------------------ */

/* As many series as the budget allows, with the labels that people like. */
static void fill_series(struct metrics *m)
{
	static const struct metric_label labels[] = {
		{ "source", true },    { "destination", true }, { "verdict", false },
		{ "protocol", false }, { "type", false },       { "subtype", false },
	};
	const struct metric_spec spec = { .name = "hubble_flows_processed_total",
					  .help = "Total number of flows processed",
					  .type = METRIC_COUNTER,
					  .labels = labels,
					  .label_count = ARRAY_LEN(labels) };
	struct metric_family *f;
	struct err e;

	if (metric_family_new(m, &spec, &f, &e) != ERR_OK)
		die(&e);
	for (unsigned i = 0; i < SERIES; i++) {
		char from[40], to[40];
		(void)snprintf(from, sizeof from, "ns-%u/pod-%u-7d9f8b6c5-x2k%u", i % 20, i % 150,
			       i % 150);
		(void)snprintf(to, sizeof to, "ns-%u/pod-%u-5f6d7c8b9-q9z%u", i % 17, i / 150,
			       i / 150);
		const struct str values[] = { str_of(from), str_of(to),   STR("FORWARDED"),
					      STR("TCP"),   STR("Trace"), STR("to-endpoint") };
		metric_add(metric_series_get(f, values), i * 1000 + 1);
	}
}

/* One more series makes the order to be found anew. */
static double write_ms(struct metrics *m, struct buf *out)
{
	struct err e;

	buf_reset(out);
	struct mono_ns start = mono_now();
	if (metrics_write(m, PAGE_TEXT, out, &e) != ERR_OK)
		die(&e);
	return (double)(mono_now().v - start.v) / (double)NS_PER_MS;
}

static double scrape_ms(int port, const char *headers, size_t *ret_bytes)
{
	static char bytes[1 << 20];
	struct sockaddr_in at = { .sin_family = AF_INET,
				  .sin_port = htons((uint16_t)port),
				  .sin_addr = { htonl(INADDR_LOOPBACK) } };
	AUTO_FD int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct mono_ns start = mono_now();

	*ret_bytes = 0;
	if (fd < 0 || connect(fd, (struct sockaddr *)&at, sizeof at) != 0 ||
	    dprintf(fd, "GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n%s\r\n",
		    headers) < 0) {
		perror("scrape");
		exit(1);
	}
	for (ssize_t n; (n = read(fd, bytes, sizeof bytes)) > 0;)
		*ret_bytes += (size_t)n;
	return (double)(mono_now().v - start.v) / (double)NS_PER_MS;
}

static void bench_scrapes(void)
{
	AUTO(metrics_free) struct metrics *m = NULL;
	AUTO(metrics_server_free) struct metrics_server *s = NULL;
	AUTO_BUF struct buf out = buf_init(PAGE_BYTES);
	double first, write = 1e9, plain = 1e9, gzip = 1e9, ms;
	size_t plain_bytes = 0, gzip_bytes = 0;
	struct err e;

	if (metrics_new(SERIES, &m, &e) != ERR_OK)
		die(&e);
	fill_series(m);
	first = write_ms(m, &out);
	if (metrics_server_new(
		    &(struct metrics_server_config){ .address = "127.0.0.1:0", .metrics = m }, &s,
		    &e) != ERR_OK)
		die(&e);
	for (int i = 0; i < ROUNDS; i++) {
		ms = write_ms(m, &out);
		write = ms < write ? ms : write;
		ms = scrape_ms(metrics_server_port(s), "", &plain_bytes);
		plain = ms < plain ? ms : plain;
		ms = scrape_ms(metrics_server_port(s), "Accept-Encoding: gzip\r\n", &gzip_bytes);
		gzip = ms < gzip ? ms : gzip;
	}
	bench_note("a page of 20,000 series, written", write, "ms");
	bench_note("the same for the first time: put in order", first, "ms");
	bench_at_most("scraped over HTTP", plain, "ms", scrape_budget_ms);
	bench_at_most("scraped over HTTP, gzip", gzip, "ms", scrape_budget_ms);
	bench_note("the page", (double)plain_bytes / 1e6, "MB");
	bench_note("the page, gzip", (double)gzip_bytes / 1e6, "MB");
}

static bool dump(const struct flow_log *log, const struct flow_dict *dict, const char *path)
{
	AUTO(flow_batch_free) struct flow_batch *b = NULL;
	uint64_t cursor = 1, lost;
	struct err e;

	if (flow_batch_new(log, RING, &b, &e) != ERR_OK)
		die(&e);
	(void)flow_log_read(log, &cursor, RING + 1, b, &lost);
	return bench_dump_flows(path, b->flows, b->count, dict);
}

int main(int argc, char **argv)
{
	AUTO(flow_log_free) struct flow_log *log = NULL;
	AUTO(flow_dict_free) struct flow_dict *dict = NULL;
	struct err e;

	if (argc > 1 && (argc != 3 || strcmp(argv[1], "dump") != 0)) {
		(void)fprintf(stderr, "usage: bench_metrics [dump FILE]\n");
		return 1;
	}

	if (flow_log_new(&(struct flow_log_config){ RING, 0, 1 }, &log, &e) != ERR_OK ||
	    flow_dict_new(1 << 20, &dict, &e) != ERR_OK)
		die(&e);
	add_endpoints(dict);
	fill_log(log);
	if (argc > 1)
		return !dump(log, dict, argv[2]);
	bench_at_most("a flow, six metrics", count_flows(log, dict, usual), "ns", flow_budget_ns);
	bench_note("of which reading it from the log", count_flows(log, dict, NULL), "ns");
	bench_note("a flow, six metrics by namespace and workload",
		   count_flows(log, dict, with_pods), "ns");
	bench_scrapes();
	return 0;
}
