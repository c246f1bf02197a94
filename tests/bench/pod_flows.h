/*
 * pod_flows - flows of one kind: SYN ACKs between 600 pods of a Kubernetes cluster, over 4,000
 * pairs of addresses. About 600 bytes each as a message: for what is paid by the flow, whatever it
 * says.
 */
#ifndef TYCHO_BENCH_POD_FLOWS_H
#define TYCHO_BENCH_POD_FLOWS_H

#include "flow/dict.h"
#include "flow/flow.h"

enum { POD_FLOWS_PODS = 600 };

struct pod_flows {
	struct endpoint_id pods[POD_FLOWS_PODS];
	struct node_id node;
};

/** Pods, labels, workload and node, put into @d (room for POD_FLOWS_PODS endpoints). */
struct pod_flows pod_flows_named(struct flow_dict *d);
/** Flow number @seq; @i, which counts from 0 on, says between whom. */
struct flow pod_flow(const struct pod_flows *pods, uint64_t seq, uint32_t i);

#endif
