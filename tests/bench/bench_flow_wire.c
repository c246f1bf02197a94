/* What a flow costs on its way through lib/flow, in ns, with the budget beside it. Not a test: it
 * prints. */
#include <stdio.h>

#include "base/buf.h"
#include "flow/dict.h"
#include "flow/mask.h"
#include "flow/wire.h"
#include "tests/bench/bench.h"
#include "cli/default_mask.h"

enum { FLOWS = 1024, ROUNDS = 500, MESSAGE_BYTES = 2048, ENDPOINTS = 200 };

struct corpus {
	struct flow_dict *dict;
	struct flow made[FLOWS];
	struct str messages[FLOWS];
	char bytes[FLOWS][MESSAGE_BYTES];
};

/* Pods, labels and node as a Kubernetes cluster has them: about 600 bytes a flow. */
static void fill(struct corpus *c)
{
	struct endpoint_id endpoints[ENDPOINTS];
	const struct str labels[] = { STR("k8s:app=reviews"),
				      STR("k8s:io.cilium.k8s.policy.cluster=default"),
				      STR("k8s:io.kubernetes.pod.namespace=kube-system") };
	const struct workload workload = { STR("reviews"), STR("Deployment") };
	const struct node node = { .name = STR("edge/worker-1"),
				   .emitter_name = STR("Tycho"),
				   .emitter_version = STR("0.1.0") };
	struct node_id node_id = flow_dict_node(c->dict, &node);

	for (uint32_t i = 0; i < ENDPOINTS; i++) {
		char pod[32];
		(void)snprintf(pod, sizeof pod, "reviews-78ndv-%u", i);
		endpoints[i] = flow_dict_endpoint(
			c->dict, &(struct endpoint){ .id = i,
						     .identity = 20000 + i,
						     .cluster = STR("default"),
						     .namespace_ = STR("shop"),
						     .pod = str_of(pod),
						     .labels = labels,
						     .label_count = ARRAY_LEN(labels),
						     .workloads = &workload,
						     .workload_count = 1 });
	}
	for (uint32_t i = 0; i < FLOWS; i++) {
		struct flow *f = &c->made[i];
		*f = (struct flow){
			.seq = 1000 + i,
			.time.v = 1709632000 * NS_PER_S + i * 7919,
			.uuid = { 0x13112375fccc4a98 + i, 0x85303e89644c4b05 },
			.bits = FLOW_HAS_TIME | FLOW_HAS_UUID | FLOW_HAS_ETHERNET | FLOW_HAS_IP |
				FLOW_HAS_SRC_IP | FLOW_HAS_DST_IP | FLOW_HAS_TCP_FLAGS |
				FLOW_HAS_EVENT_TYPE | FLOW_HAS_IFACE,
			.verdict = 1,
			.type = 1,
			.l4 = FLOW_L4_TCP,
			.ip_version = 1,
			.is_reply = FLOW_REPLY_FALSE,
			.direction = 1,
			.src_port = (uint16_t)(30000 + i),
			.dst_port = 8080,
			.tcp_flags = FLOW_TCP_SYN | FLOW_TCP_ACK,
			.trace_point = 101,
			.trace_reason = 1,
			.event_type = 4,
			.src_ep = endpoints[i % ENDPOINTS],
			.dst_ep = endpoints[i * 7 % ENDPOINTS],
			.node = node_id,
			.ifindex = 12,
			.ifname = "lxc1234",
			.packets = 3,
			.bytes = 4500,
		};
		ip_from_v4(f->src_ip, (uint8_t[]){ 10, 9, 2, (uint8_t)i });
		ip_from_v4(f->dst_ip, (uint8_t[]){ 10, 14, 0, (uint8_t)(i >> 2) });
		struct buf b = buf_fixed(c->bytes[i], MESSAGE_BYTES);
		flow_encode(&b, f, c->dict);
		c->messages[i] = buf_str(&b);
	}
}

/* The quickest of many passes: what the work costs when nobody else has the processor. */
struct pass {
	struct mono_ns start;
	uint64_t best_ns;
};

static void pass_begin(struct pass *p)
{
	p->start = mono_now();
}

static void pass_end(struct pass *p)
{
	uint64_t ns = mono_now().v - p->start.v;

	p->best_ns = p->best_ns && p->best_ns < ns ? p->best_ns : ns;
}

static void report(const char *what, const struct pass *p, unsigned budget_ns)
{
	double ns = (double)p->best_ns / FLOWS;

	if (budget_ns)
		bench_at_most(what, ns, "ns", budget_ns);
	else
		bench_note(what, ns, "ns");
}

int main(void)
{
	struct err e;
	AUTO(flow_dict_free) struct flow_dict *dict = NULL;
	AUTO(flow_mask_free) struct flow_mask *mask = NULL;
	AUTO(own_free) struct corpus *c = calloc(1, sizeof *c);
	AUTO_BUF struct buf b = buf_init(1 << 20);
	uint64_t sum = 0;

	if (!c || flow_dict_new(65536, &dict, &e) != ERR_OK ||
	    flow_mask_new(default_mask, ARRAY_LEN(default_mask), &mask, &e) != ERR_OK) {
		(void)fprintf(stderr, "no memory\n");
		return 1;
	}
	c->dict = dict;
	fill(c);
	bench_note("a flow", (double)c->messages[0].len, "bytes");

	struct pass encode = { 0 }, response = { 0 }, decode = { 0 }, masked = { 0 };
	for (int r = 0; r < ROUNDS; r++) {
		pass_begin(&encode);
		for (int i = 0; i < FLOWS; i++) {
			buf_reset(&b);
			flow_encode(&b, &c->made[i], dict);
			sum += b.len;
		}
		pass_end(&encode);

		pass_begin(&response);
		for (int i = 0; i < FLOWS; i++) {
			buf_reset(&b);
			flow_encode_response(&b, &c->made[i], dict, STR(""));
			sum += b.len;
		}
		pass_end(&response);

		pass_begin(&decode);
		for (int i = 0; i < FLOWS; i++) {
			struct flow f;
			if (flow_decode(c->messages[i], dict, &f, &e) != ERR_OK)
				return 1;
			sum += f.src_port;
		}
		pass_end(&decode);

		pass_begin(&masked);
		for (int i = 0; i < FLOWS; i++) {
			buf_reset(&b);
			flow_mask_apply(mask, c->messages[i], &b);
			sum += b.len;
		}
		pass_end(&masked);
	}
	report("encode", &encode, 100);
	report("encode as a response", &response, 0);
	report("decode", &decode, 200);
	report("mask of the CLI", &masked, 0);
	(void)printf("(checksum %llu)\n", (unsigned long long)sum);
	return 0;
}
