/* What the chain costs a flow, in ns: its leaf, its share of the tree, and what the hashing alone
 * would cost one message at a time. */
#include <stdio.h>

#include "chain/chain.h"
#include "chain/sha256.h"
#include "tests/bench/bench.h"

enum { FLOWS = 1 << 16, ROUNDS = 12, ENDPOINTS = 600, MESSAGE_BYTES = 440 };

static struct flow flows[FLOWS];

/* Pods, labels and node as a Kubernetes cluster has them; 4,000 pairs of addresses. */
static void fill(struct flow_dict *d)
{
	static struct endpoint_id endpoints[ENDPOINTS];
	const struct str labels[] = { STR("k8s:app=reviews"),
				      STR("k8s:io.cilium.k8s.policy.cluster=default"),
				      STR("k8s:io.kubernetes.pod.namespace=kube-system") };
	const struct workload workload = { STR("reviews"), STR("Deployment") };
	const struct node node = { .name = STR("edge/worker-1"),
				   .emitter_name = STR("Tycho"),
				   .emitter_version = STR("0.1.0") };
	struct node_id node_id = flow_dict_node(d, &node);

	for (uint32_t i = 0; i < ENDPOINTS; i++) {
		char pod[32];
		(void)snprintf(pod, sizeof pod, "reviews-78ndv-%u", i);
		endpoints[i] =
			flow_dict_endpoint(d, &(struct endpoint){ .id = i,
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
		uint32_t pair = i * 2654435761u % 4000, src = pair % ENDPOINTS,
			 dst = pair / 7 % ENDPOINTS;
		struct flow *f = &flows[i];
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
			.src_ep = endpoints[src],
			.dst_ep = endpoints[dst],
			.node = node_id,
			.ifindex = 12,
			.ifname = "lxc1234",
			.packets = 3,
			.bytes = 4500,
		};
		ip_from_v4(f->src_ip, (uint8_t[]){ 10, 9, (uint8_t)(src >> 8), (uint8_t)src });
		ip_from_v4(f->dst_ip, (uint8_t[]){ 10, 14, (uint8_t)(dst >> 8), (uint8_t)pair });
	}
}

static double best(double a, uint64_t ns, size_t per)
{
	double b = (double)ns / (double)per;

	return a != 0.0 && a < b ? a : b;
}

int main(void)
{
	struct err e;
	AUTO(flow_dict_free) struct flow_dict *d = NULL;
	AUTO(chain_block_free) struct chain_block *b = NULL;
	const struct chain_secret secret = { { 1, 2, 3 } };
	static char message[MESSAGE_BYTES];
	struct chain_hash root, two[2];
	double add = 0, tree = 0, one_by_one = 0, by_twos = 0;

	if (flow_dict_new(65536, &d, &e) != ERR_OK || chain_block_new(&b, &e) != ERR_OK)
		return 1;
	fill(d);
	for (uint64_t r = 0; r < ROUNDS; r++) {
		chain_block_start(b, &secret, r + 1);
		uint64_t at = mono_now().v;
		for (size_t i = 0; i < FLOWS; i++)
			if (chain_block_add(b, &flows[i], d, &e) != ERR_OK)
				return 1;
		add = best(add, mono_now().v - at, FLOWS);
		at = mono_now().v;
		if (chain_block_root(b, &root, &e) != ERR_OK)
			return 1;
		tree = best(tree, mono_now().v - at, FLOWS);
		at = mono_now().v;
		for (size_t i = 0; i < FLOWS; i++) {
			memcpy(message, &i, sizeof i);
			sha256(str_n(message, sizeof message), two[0].v);
		}
		one_by_one = best(one_by_one, mono_now().v - at, FLOWS);
		at = mono_now().v;
		for (size_t i = 0; i < FLOWS; i += 2) {
			const struct str both[2] = { str_n(message, sizeof message),
						     str_n(message, sizeof message) };
			memcpy(message, &i, sizeof i);
			sha256_two(both, (uint8_t *const[]){ two[0].v, two[1].v });
		}
		by_twos = best(by_twos, mono_now().v - at, FLOWS);
	}
	bench_at_most("chain: a flow's leaf", add, "ns", 400);
	bench_note("chain: a flow's share of the tree", tree, "ns");
	bench_note("chain: 440 bytes hashed, one at a time", one_by_one, "ns");
	bench_note("chain: 440 bytes hashed, two at a time", by_twos, "ns");
	return 0;
}
