/*
 * members - the members of struct flow by name, as a set: what a reader needs to be loaded.
 *
 * Column stores load only these; the others stay zero. FLOW_MEMBER_BITS is in every set: without it
 * no member says anything.
 */
#ifndef TYCHO_FLOW_MEMBERS_H
#define TYCHO_FLOW_MEMBERS_H

#include <stdint.h>

enum flow_member {
	FLOW_MEMBER_SEQ,
	FLOW_MEMBER_KIND,
	FLOW_MEMBER_BITS,
	FLOW_MEMBER_TIME,
	FLOW_MEMBER_UUID,
	FLOW_MEMBER_VERDICT,
	FLOW_MEMBER_TYPE,
	FLOW_MEMBER_SRC_IP,
	FLOW_MEMBER_DST_IP,
	FLOW_MEMBER_SRC_XLATED,
	FLOW_MEMBER_MACS,
	FLOW_MEMBER_IP_VERSION,
	FLOW_MEMBER_REPLY,
	FLOW_MEMBER_DIRECTION,
	FLOW_MEMBER_AUTH_TYPE,
	FLOW_MEMBER_L4,       /* l4 and, of TCP, UDP, SCTP, nothing more */
	FLOW_MEMBER_SRC_PORT, /* of TCP, UDP, SCTP; of the others all of l4_bytes */
	FLOW_MEMBER_DST_PORT,
	FLOW_MEMBER_TCP_FLAGS,
	FLOW_MEMBER_POINTS, /* trace_point, trace_reason, capture_point, sock_point */
	FLOW_MEMBER_EVENT,  /* event_type, event_sub_type */
	FLOW_MEMBER_DROP,   /* drop_reason, drop_desc */
	FLOW_MEMBER_POLICY_MATCH,
	FLOW_MEMBER_PROXY_PORT,
	FLOW_MEMBER_SRC_EP,
	FLOW_MEMBER_DST_EP,
	FLOW_MEMBER_SERVICES, /* src_svc, dst_svc */
	FLOW_MEMBER_NODE,
	FLOW_MEMBER_INTERFACE, /* ifindex, ifname */
	FLOW_MEMBER_TRACE_ID,  /* ip_trace_id */
	FLOW_MEMBER_SOCKET,    /* socket_cookie, cgroup_id */
	FLOW_MEMBER_COUNTS,    /* packets, bytes */
	FLOW_MEMBER_NETNS,
	FLOW_MEMBER_KERNEL_REASON,
	FLOW_MEMBER_EXT,
	FLOW_MEMBERS_
};

typedef uint64_t flow_members; /* bit i: enum flow_member i */

#define FLOW_MEMBER(m) (UINT64_C(1) << (m))
#define FLOW_MEMBERS_ALL ((UINT64_C(1) << FLOW_MEMBERS_) - 1)

#endif
