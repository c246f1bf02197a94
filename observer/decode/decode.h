/*
 * decode - captured bytes to a flow record: every field that a packet can fill.
 *
 *	raw event ──► link, network, transport layer ──► numbers in struct flow
 *	                                  └─► DNS message ──► l7 bytes in ext, answers to the name cache
 *
 * What a packet yields follows reference/cilium-events.md 6.1 (layer chain, limits, texts); packets that the reference refuses are refused.
 * Never reads past the captured bytes, never allocates. A refused packet is counted, not logged.
 */
#ifndef TYCHO_OBSERVER_DECODE_H
#define TYCHO_OBSERVER_DECODE_H

#include "base/buf.h"
#include "flow/flow.h"

/* First layer of the captured bytes. */
enum decode_start { DECODE_ETHERNET, DECODE_IPV4, DECODE_IPV6 };

/* Where the last layer's payload lies; for DNS and tunnels. */
struct decode_payload {
	struct str bytes; /* payload of TCP or UDP, empty otherwise */
	bool fragment;    /* the packet is a fragment: transport unknown */
	uint16_t vlan_id; /* of the outermost tag, if any; our own programs' packets only */
};

/* Fills the packet's members of *@f (ethernet, IP, l4, their bits, ip_version) and leaves the others alone. @vlan: step over 802.1Q and
 * 802.1ad tags (our own sources; the reference stops there). @return false if the reference would refuse the packet; *f is then
 * unspecified. An empty packet is a flow without layers. */
bool decode_packet(struct str packet, enum decode_start start, bool vlan, struct flow *f, struct decode_payload *ret_payload);

#endif
