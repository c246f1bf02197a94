/* The field mask that the CLI sends unless it prints JSON (cli/observe.c). */
#ifndef TYCHO_BENCH_CLI_MASK_H
#define TYCHO_BENCH_CLI_MASK_H

static const char *const cli_mask[] = {
	"time",
	"verdict",
	"ethernet",
	"IP",
	"l4",
	"source.identity",
	"source.namespace",
	"source.pod_name",
	"destination.identity",
	"destination.namespace",
	"destination.pod_name",
	"Type",
	"node_name",
	"l7",
	"event_type",
	"source_service",
	"destination_service",
	"is_reply",
	"Summary",
	"ip_trace_id",
	"traffic_direction",
	"policy_match_type",
	"auth_type",
	"debug_capture_point",
	"sock_xlate_point",
	"source_names",
	"destination_names",
	"egress_allowed_by",
	"ingress_allowed_by",
	"egress_denied_by",
	"ingress_denied_by",
};

#endif
