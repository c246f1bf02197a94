/* What a line of a flow file costs, read and printed again, with the budgets beside it. Not a test:
 * it prints. */
#include <stdio.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/time.h"
#include "flow/dict.h"
#include "flow/json.h"
#include "flow/print.h"
#include "flow/wire.h"
#include "observer/observer.pb-c.h"
#include "tests/bench/bench.h"

/* Budgets: ten times the reference CLI's 44,000 lines/s compact and 27,000 JSON (DESIGN.md), on one
 * core. */
enum {
	LINES = 1000,
	PASSES = 100,
	LINE_BYTES = 1536,
	COMPACT_BUDGET_NS = 2272,
	JSON_BUDGET_NS = 3703
};

/* A flow as a Kubernetes cluster exports it: 1.2 KB. */
static const char line_format[] =
	"{\"flow\":{\"time\":\"2024-03-01T10:00:00.%09uZ\",\"uuid\":\"13112375-fccc-4a98-8530-%"
	"012u\",\"verdict\":\"FORWARDED\","
	"\"ethernet\":{\"source\":\"ca:55:17:01:b2:fe\",\"destination\":\"2a:c2:b2:9e:60:8b\"},"
	"\"IP\":{\"source\":\"10.9.2.%u\",\"destination\":\"10.14.0.7\",\"ipVersion\":\"IPv4\"},"
	"\"l4\":{\"TCP\":{\"source_port\":%u,\"destination_port\":8080,\"flags\":{\"SYN\":true}}},"
	"\"source\":{\"ID\":%u,\"identity\":23172,\"cluster_name\":\"default\",\"namespace\":"
	"\"shop\","
	"\"labels\":[\"k8s:app=reviews\",\"k8s:io.cilium.k8s.namespace.labels.kubernetes.io/"
	"metadata.name=shop\","
	"\"k8s:io.cilium.k8s.policy.cluster=default\",\"k8s:io.kubernetes.pod.namespace=shop\"],"
	"\"pod_name\":\"reviews-78ndv-%u\",\"workloads\":[{\"name\":\"reviews\",\"kind\":"
	"\"Deployment\"}]},"
	"\"destination\":{\"ID\":1098,\"identity\":60604,\"namespace\":\"staging\","
	"\"labels\":[\"k8s:app=cart\",\"k8s:io.kubernetes.pod.namespace=staging\",\"k8s:version="
	"v1\"],"
	"\"pod_name\":\"cart-28223141-rdjbt\",\"workloads\":[{\"name\":\"cart\",\"kind\":"
	"\"CronJob\"}]},"
	"\"Type\":\"L3_L4\",\"node_name\":\"default/"
	"worker-1\",\"event_type\":{\"type\":4,\"sub_type\":3},"
	"\"traffic_direction\":\"EGRESS\",\"trace_observation_point\":\"TO_STACK\",\"trace_"
	"reason\":\"ESTABLISHED\","
	"\"is_reply\":false,\"interface\":{\"index\":12,\"name\":\"lxc1234\"},\"Summary\":\"TCP "
	"Flags: SYN\"},"
	"\"node_name\":\"default/worker-1\",\"time\":\"2024-03-01T10:00:00.%09uZ\"}";

struct lines {
	char text[LINES][LINE_BYTES];
	struct str line[LINES];
	struct flow_dict *dict;
	struct buf wire;
};

static void die(const struct err *e)
{
	(void)fprintf(stderr, "bench_flow_json: %s\n", e->msg);
	exit(1);
}

static enum err_code count_bytes(void *ctx, struct str bytes, struct err *e)
{
	(void)e;
	*(size_t *)ctx += bytes.len;
	return ERR_OK;
}

/* Once over all lines: read, and printed by @printer if there is one. */
static void pass(struct lines *l, struct flow_printer *printer)
{
	const struct json_options strict = { .reject_unknown = true };
	struct err e;

	for (size_t i = 0; i < LINES; i++) {
		buf_reset(&l->wire);
		if (json_read_message(l->line[i], &observer__get_flows_response__descriptor,
				      &strict, &l->wire, NULL, &e) != ERR_OK ||
		    (printer &&
		     flow_printer_response(printer, buf_str(&l->wire), NULL, &e) != ERR_OK))
			die(&e);
	}
}

/* The quickest of many passes: what the work costs when nobody else has the processor. */
static void measure(struct lines *l, const char *what, struct flow_printer *printer,
		    unsigned budget_ns)
{
	uint64_t best_ns = UINT64_MAX;

	for (int i = 0; i < PASSES; i++) {
		struct mono_ns start = mono_now();
		pass(l, printer);
		uint64_t ns = mono_now().v - start.v;
		best_ns = ns < best_ns ? ns : best_ns;
	}
	double ns = (double)best_ns / LINES;
	if (budget_ns)
		bench_at_most(what, ns, "ns", budget_ns);
	else
		bench_note(what, ns, "ns");
}

static void measure_format(struct lines *l, const char *what, enum flow_format format,
			   unsigned budget_ns)
{
	size_t bytes = 0;
	struct flow_printer_options options = {
		.format = format,
		.dict = l->dict,
		.out = { count_bytes, &bytes },
		.status = { count_bytes, &bytes },
	};
	AUTO(flow_printer_free) struct flow_printer *printer = NULL;
	struct err e;

	if (flow_printer_new(&options, &printer, &e) != ERR_OK)
		die(&e);
	measure(l, what, printer, budget_ns);
}

int main(void)
{
	AUTO(own_free) struct lines *l = calloc(1, sizeof *l);
	struct err e;

	if (!l || flow_dict_new(1 << 16, &l->dict, &e) != ERR_OK)
		return 1;
	l->wire = buf_init(1 << 20);
	for (unsigned i = 0; i < LINES; i++) {
		int n = snprintf(l->text[i], LINE_BYTES, line_format, i, i, i % 256, 30000 + i,
				 i % 200, i % 200, i);
		l->line[i] = str_n(l->text[i], (size_t)n);
	}
	bench_note("a line", (double)l->line[0].len, "bytes");
	measure(l, "JSON read", NULL, 0);
	measure_format(l, "JSON to compact", FLOW_FORMAT_COMPACT, COMPACT_BUDGET_NS);
	measure_format(l, "JSON to JSON", FLOW_FORMAT_JSON, JSON_BUDGET_NS);
	buf_done(&l->wire);
	flow_dict_free(l->dict);
	return 0;
}
