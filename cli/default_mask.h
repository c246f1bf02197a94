/*
 * default_mask - the fields that compact, dict and table show; a server need not send more.
 *
 * The first twenty are Hubble CLI 1.19.4's; it leaves out the rest, and so prints verdicts without
 * their direction, sockets and captures without their point, and neither DNS names nor policies,
 * unless the mask is turned off.
 */
#ifndef TYCHO_CLI_DEFAULT_MASK_H
#define TYCHO_CLI_DEFAULT_MASK_H

static const char *const default_mask[] = {
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
