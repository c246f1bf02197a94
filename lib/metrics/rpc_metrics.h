/*
 * rpc_metrics - what a gRPC server was asked and answered: grpc_server_*, named as Hubble's servers
 * name them, for calls over every address; and tycho_rpc_* beside them.
 */
#ifndef TYCHO_METRICS_RPC_METRICS_H
#define TYCHO_METRICS_RPC_METRICS_H

#include "metrics/metrics.h"

/* A metrics_collect_fn; @ctx is a struct rpc_server. */
void rpc_metrics_collect(void *ctx, struct metrics_page *page);

#endif
