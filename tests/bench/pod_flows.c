#include "tests/bench/pod_flows.h"

#include <stdio.h>

struct pod_flows pod_flows_named(struct flow_dict *d)
{
	const struct str labels[] = { STR("k8s:app=reviews"),
				      STR("k8s:io.cilium.k8s.policy.cluster=default"),
				      STR("k8s:io.kubernetes.pod.namespace=kube-system") };
	const struct workload workload = { STR("reviews"), STR("Deployment") };
	const struct node node = { .name = STR("edge/worker-1"),
				   .emitter_name = STR("Tycho"),
				   .emitter_version = STR("0.1.0") };
	struct pod_flows pods = { .node = flow_dict_node(d, &node) };

	for (uint32_t i = 0; i < POD_FLOWS_PODS; i++) {
		char pod[32];
		(void)snprintf(pod, sizeof pod, "reviews-78ndv-%u", i);
		const struct endpoint endpoint = { .id = i,
						   .identity = 20000 + i,
						   .cluster = STR("default"),
						   .namespace_ = STR("shop"),
						   .pod = str_of(pod),
						   .labels = labels,
						   .label_count = ARRAY_LEN(labels),
						   .workloads = &workload,
						   .workload_count = 1 };
		pods.pods[i] = flow_dict_endpoint(d, &endpoint);
	}
	return pods;
}

struct flow pod_flow(const struct pod_flows *pods, uint64_t seq, uint32_t i)
{
	uint32_t pair = i * 2654435761u % 4000, src = pair % POD_FLOWS_PODS,
		 dst = pair / 7 % POD_FLOWS_PODS;
	struct flow f = {
		.seq = seq,
		.time.v = 1709632000 * NS_PER_S + seq * 7919,
		.uuid = { (0x13112375fccc0a98 + i * 77777) | 0x4000, 0x85303e89644c4b05 + seq },
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
		.src_ep = pods->pods[src],
		.dst_ep = pods->pods[dst],
		.node = pods->node,
		.ifindex = 12,
		.ifname = "lxc1234",
		.packets = 3,
		.bytes = 4500,
	};

	ip_from_v4(f.src_ip, (uint8_t[]){ 10, 9, (uint8_t)(src >> 8), (uint8_t)src });
	ip_from_v4(f.dst_ip, (uint8_t[]){ 10, 14, (uint8_t)(dst >> 8), (uint8_t)dst });
	return f;
}
