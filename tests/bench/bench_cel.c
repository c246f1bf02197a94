/*
 * bench_cel - nanoseconds a flow for CEL expressions, beside the budget of 75.
 *
 *	bench_cel [flows]       default 4,096
 *
 * Each expression over made records and over whole ones, as they come from JSON or another server.
 */
#include "bench.h"

#include "base/buf.h"
#include "base/time.h"
#include "cel/cel.h"
#include "flow/wire.h"

enum { ENDPOINTS = 1000, ATTEMPTS = 30, BUDGET_NS = 75, FLOW_BYTES = 1 << 16 };

static uint32_t next(uint32_t *random)
{
	*random = *random * 1664525 + 1013904223;
	return *random >> 8;
}

static void fill(struct flow *flows, size_t n, struct flow_dict *dict)
{
	struct endpoint_id ids[ENDPOINTS];
	uint32_t random = 1;

	for (size_t i = 0; i < ENDPOINTS; i++) {
		char pod[32], label[32];
		struct str labels[2] = { str_n(label, (size_t)snprintf(label, sizeof label,
								       "k8s:app=app-%zu", i % 100)),
					 STR("k8s:io.kubernetes.pod.namespace=shop") };
		int len = snprintf(pod, sizeof pod, "%s-%zu", i % 2 ? "db" : "web", i);

		ids[i] =
			flow_dict_endpoint(dict, &(struct endpoint){ .identity = (uint32_t)i,
								     .namespace_ = STR("shop"),
								     .pod = str_n(pod, (size_t)len),
								     .labels = labels,
								     .label_count = 2 });
	}
	for (size_t i = 0; i < n; i++)
		flows[i] = (struct flow){
			.bits = FLOW_HAS_TIME | FLOW_HAS_IP | FLOW_HAS_SRC_IP | FLOW_HAS_DST_IP,
			.time = { 1700000000000000000 + i },
			.verdict = next(&random) % 2 ? 1 : 2,
			.l4 = FLOW_L4_TCP,
			.src_port = (uint16_t)next(&random),
			.dst_port = 80,
			.ip_version = 1,
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

/* The best of many attempts: other programs make single ones slow, never fast. */
static double measure(struct cel_program *p, const struct flow *flows, size_t n,
		      const struct flow_dict *dict, size_t *ret_found)
{
	double best = 0;
	struct str why;

	for (int attempt = 0; attempt < ATTEMPTS; attempt++) {
		struct mono_ns start = mono_now();

		*ret_found = 0;
		for (size_t i = 0; i < n; i++)
			*ret_found += cel_eval(p, &flows[i], dict, &why) == CEL_YES;
		double ns = (double)(mono_now().v - start.v) / (double)n;
		best = attempt == 0 || ns < best ? ns : best;
	}
	return best;
}

int main(int argc, char **argv)
{
	static const char *const expressions[] = {
		"_flow.verdict == flow.Verdict.DROPPED",
		("_flow.verdict == flow.Verdict.DROPPED && "
		 "_flow.destination.pod_name.startsWith(\"db\")"), /* one */
		"has(_flow.l4.TCP) && _flow.l4.TCP.destination_port == uint(80)",
		"_flow.source.labels.exists(l, l.startsWith('k8s:app=app-7'))",
		"'k8s:app=app-7' in _flow.source.labels",
		"_flow.source.namespace + '/' + _flow.source.pod_name == 'shop/db-1'",
		"_flow.IP.source.startsWith('10.0.0.1')",
		"_flow.time > timestamp('2023-11-14T22:13:20Z')",
		"_flow.source.pod_name.matches('^db-[0-9]+5$')",
		"_flow.l7.http.code >= uint(500)",
	};
	uint64_t n = 4096;

	if (argc > 1 && (!parse_u64(str_of(argv[1]), 1 << 20, &n) || !n)) {
		(void)fprintf(stderr, "usage: bench_cel [flows]\n");
		return 1;
	}
	AUTO(flow_dict_free) struct flow_dict *dict = NULL;
	AUTO(own_free)
	struct flow *made = calloc(n, sizeof *made), *whole = calloc(n, sizeof *whole);
	AUTO_BUF struct buf bytes = buf_init(SIZE_MAX);
	struct err e;

	if (!made || !whole || flow_dict_new(2 * ENDPOINTS, &dict, &e) != ERR_OK)
		return 1;
	fill(made, n, dict);
	if (!buf_reserve(&bytes, n * 512)) /* so that it does not move */
		return 1;
	for (size_t i = 0; i < n; i++) {
		size_t from = bytes.len;

		flow_encode(&bytes, &made[i], dict);
		if (flow_decode(str_from(buf_str(&bytes), from), dict, &whole[i], &e) != ERR_OK)
			return 1;
	}
	for (size_t i = 0; i < ARRAY_LEN(expressions); i++) {
		AUTO(cel_free) struct cel_program *p = NULL;
		size_t found;

		if (cel_compile(str_of(expressions[i]), &p, &e) != ERR_OK) {
			(void)fprintf(stderr, "%s: %s\n", expressions[i], e.msg);
			return 1;
		}
		double a = measure(p, made, n, dict, &found),
		       b = measure(p, whole, n, dict, &found);
		bench_at_most(expressions[i], a, "ns", BUDGET_NS);
		bench_note("the same, flows from elsewhere", b, "ns");
	}
	return 0;
}
