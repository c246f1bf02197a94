/*
 * drop_reason - the kernel's reasons for a drop as flow.DropReason, so that Hubble's filters,
 * dashboards and eyes read them.
 *
 * The kernel's own name travels along (FlowDetail.kernel_drop_reason and Summary); this table only
 * says which of Cilium's reasons comes nearest. Source: include/net/dropreason-core.h (Linux 6.18),
 * reference/drop-reasons.tsv.
 */
#ifndef TYCHO_OBSERVER_DROP_REASON_H
#define TYCHO_OBSERVER_DROP_REASON_H

#include "base/str.h"

/* A flow.DropReason for @kernel ("NETFILTER_DROP"); DROP_REASON_OTHER if nothing comes near. */
uint32_t drop_reason_of_kernel(struct str kernel);

enum {
	DROP_REASON_INVALID_SOURCE_MAC = 130,
	DROP_REASON_INVALID_DESTINATION_MAC = 131,
	DROP_REASON_INVALID_SOURCE_IP = 132,
	DROP_REASON_POLICY_DENIED = 133,
	DROP_REASON_INVALID_PACKET = 134,
	DROP_REASON_CT_INVALID_HEADER = 135,
	DROP_REASON_UNSUPPORTED_L3 = 139,
	DROP_REASON_UNKNOWN_L4 = 142,
	DROP_REASON_UNROUTABLE = 151,
	DROP_REASON_BAD_L3_CHECKSUM = 153,
	DROP_REASON_BAD_L4_CHECKSUM = 154,
	DROP_REASON_BAD_IPV6_EXTENSION = 156,
	DROP_REASON_FRAGMENT = 157,
	DROP_REASON_UNKNOWN_STATE = 163,
	DROP_REASON_HOST_UNREACHABLE = 164,
	DROP_REASON_UNSUPPORTED_L2 = 166,
	DROP_REASON_FIB_LOOKUP_FAILED = 169,
	DROP_REASON_NO_SOCKET = 178,
	DROP_REASON_POLICY_DENY = 181,
	DROP_REASON_VLAN = 182,
	DROP_REASON_AUTH_REQUIRED = 189,
	DROP_REASON_TTL_EXCEEDED = 196,
	DROP_REASON_RATE_LIMITED = 198,
	/* Nothing comes near. A code that Cilium leaves unnamed, so that nobody is misled by a
	 * wrong text. */
	DROP_REASON_OTHER = 255,
};

#endif
