/*
 * bench_filter - nanoseconds a flow for filters over a batch of records, beside the budget.
 *
 *	bench_filter [flows]        default 65,535: a full ring, larger than second-level caches
 *	bench_filter dump FILE      the flows into a file (bench_dump.h)
 *
 * Two figures: over 4,096 records again and again (what the test itself costs) and over all of them
 * (with the memory).
 */
#include <stdio.h>
#include <string.h>

#include "base/time.h"
#include "filter/filter.h"
#include "flow/flow.pb-c.h"
#include "tests/bench/bench.h"
#include "tests/bench/bench_dump.h"

enum { SMALL = 4096, ENDPOINTS = 5000, ATTEMPT_FLOWS = 1 << 19, ATTEMPTS = 60 };

static uint32_t next(uint32_t *random)
{
	*random = *random * 1664525 + 1013904223;
	return *random >> 8;
}

static void fill(struct flow *flows, size_t n, struct flow_dict *dict)
{
	static const uint8_t l4[] = { FLOW_L4_TCP, FLOW_L4_TCP, FLOW_L4_TCP, FLOW_L4_UDP,
				      FLOW_L4_ICMP4 };
	static const uint16_t ports[] = { 80, 443, 53, 8080, 5432, 6379, 9090, 4240 };
	uint32_t random = 1;
	struct endpoint_id ids[ENDPOINTS];

	for (size_t i = 0; i < ENDPOINTS; i++) {
		char pod[32], label[32];
		struct str labels[2] = { str_n(label, (size_t)snprintf(label, sizeof label,
								       "k8s:app=app-%zu", i % 100)),
					 STR("k8s:io.kubernetes.pod.namespace=shop") };

		ids[i] = flow_dict_endpoint(
			dict,
			&(struct endpoint){
				.identity = (uint32_t)(1000 + i),
				.namespace_ = STR("shop"),
				.pod = str_n(pod, (size_t)snprintf(pod, sizeof pod, "pod-%zu", i)),
				.labels = labels,
				.label_count = 2 });
	}
	for (size_t i = 0; i < n; i++) {
		flows[i] = (struct flow){
			.bits = FLOW_HAS_TIME | FLOW_HAS_IP | FLOW_HAS_SRC_IP | FLOW_HAS_DST_IP |
				FLOW_HAS_EVENT_TYPE,
			.verdict = next(&random) % 20 ? FLOW__VERDICT__FORWARDED
						      : FLOW__VERDICT__DROPPED,
			.l4 = l4[next(&random) % ARRAY_LEN(l4)],
			.src_port = (uint16_t)(32768 + next(&random) % 28000),
			.dst_port = ports[next(&random) % ARRAY_LEN(ports)],
			.src_ip = { [10] = 0xff,
				    [11] = 0xff,
				    [12] = 10,
				    [15] = (uint8_t)next(&random) },
			.dst_ip = { [10] = 0xff,
				    [11] = 0xff,
				    [12] = 10,
				    [15] = (uint8_t)next(&random) },
			.src_ep = ids[next(&random) % ENDPOINTS],
			.dst_ep = ids[next(&random) % ENDPOINTS],
		};
	}
}

/* The best of many short attempts: other programs make single ones slow, never fast. */
static double measure(struct flow_filter *filter, const struct flow *flows, size_t n,
		      uint64_t *bits, size_t *ret_found)
{
	double best = 0;

	for (int attempt = 0; attempt < ATTEMPTS; attempt++) {
		size_t rounds = ATTEMPT_FLOWS / n + 1;
		struct mono_ns start = mono_now();

		for (size_t i = 0; i < rounds; i++)
			*ret_found = flow_filter_match_n(filter, flows, n, bits);
		double ns = (double)(mono_now().v - start.v) / (double)(rounds * n);
		best = attempt == 0 || ns < best ? ns : best;
	}
	return best;
}

static int run(const char *name, double budget_ns, Flow__FlowFilter *ff, struct flow_dict *dict,
	       const struct flow *flows, size_t n, uint64_t *bits)
{
	AUTO(flow_filter_free) struct flow_filter *filter = NULL;
	struct err e;
	size_t found;
	char what[64];

	if (flow_filter_new(&ff, 1, NULL, 0, dict, &filter, &e) != ERR_OK) {
		(void)fprintf(stderr, "%s: %s\n", name, e.msg);
		return 1;
	}
	double small = measure(filter, flows, n < SMALL ? n : SMALL, bits, &found);
	double all = measure(filter, flows, n, bits, &found);
	(void)snprintf(what, sizeof what, "%s, %zu of %zu found", name, found, n);
	if (budget_ns > 0)
		bench_at_most(what, all, "ns", budget_ns);
	else
		bench_note(what, all, "ns");
	bench_note("the same in the cache", small, "ns");
	return 0;
}

int main(int argc, char **argv)
{
	uint64_t n = 65535;
	bool dumps = argc == 3 && strcmp(argv[1], "dump") == 0;

	if (argc > 1 && !dumps && (argc > 2 || !parse_u64(str_of(argv[1]), 1 << 24, &n))) {
		(void)fprintf(stderr, "usage: bench_filter [flows | dump FILE]\n");
		return 1;
	}
	AUTO(flow_dict_free) struct flow_dict *dict = NULL;
	AUTO(own_free) struct flow *flows = calloc(n, sizeof *flows);
	AUTO(own_free) uint64_t *bits = calloc(n / 64 + 1, sizeof *bits);
	struct err e;

	if (!n || !flows || !bits || flow_dict_new(ENDPOINTS + 1, &dict, &e) != ERR_OK)
		return 1;
	fill(flows, n, dict);
	if (dumps)
		return !bench_dump_flows(argv[2], flows, n, dict);

	/* protobuf-c's strings are not const */
	char p53[] = "53", p80[] = "80", p443[] = "443", p8080[] = "8080", p9090[] = "9090",
	     is_udp[] = "udp", selector[] = "app in (app-1,app-2)", prefix[] = "10.0.0.0/28";
	char *ports[] = { p53 }, *many_ports[] = { p53, p80, p443, p8080, p9090 },
	     *udp[] = { is_udp };
	char *labels[] = { selector }, *prefixes[] = { prefix };
	Flow__Verdict dropped[] = { FLOW__VERDICT__DROPPED };
	Flow__FlowFilter port_protocol = FLOW__FLOW_FILTER__INIT,
			 port_list = FLOW__FLOW_FILTER__INIT, verdict = FLOW__FLOW_FILTER__INIT,
			 label = FLOW__FLOW_FILTER__INIT, cidr = FLOW__FLOW_FILTER__INIT;
	port_protocol.destination_port = ports;
	port_protocol.n_destination_port = 1;
	port_protocol.protocol = udp;
	port_protocol.n_protocol = 1;
	port_list.destination_port = many_ports;
	port_list.n_destination_port = ARRAY_LEN(many_ports);
	verdict.verdict = dropped;
	verdict.n_verdict = 1;
	label.source_label = labels;
	label.n_source_label = 1;
	cidr.source_ip = prefixes;
	cidr.n_source_ip = 1;

	return run("port and protocol", 2, &port_protocol, dict, flows, n, bits) |
	       run("five ports", 0, &port_list, dict, flows, n, bits) |
	       run("verdict", 0, &verdict, dict, flows, n, bits) |
	       run("label selector", 0, &label, dict, flows, n, bits) |
	       run("prefix", 0, &cidr, dict, flows, n, bits);
}
