/*
 * decode - captured bytes to a flow record: every field that a packet can fill.
 *
 *	packet ──► Ethernet ─► IPv4 | IPv6 ─► TCP | UDP | SCTP ──► numbers in struct flow
 *	                          ▲   └─┐     ICMP | VRRP | IGMP
 *	                          └─────┘     └─► payload: dns.h, or decode_packet for tunnels
 *
 * Which layers are known, where the chain ends and which packets are refused follows Cilium's
 * reference decoder (its Hubble parser and the layers of gopacket), as conformance with recorded
 * events demands:
 *
 *  - A layer that is not known ends the chain: ARP, GRE, ESP, a fragment, an extension header
 *    other than hop-by-hop.
 *  - So does a payload of no bytes: a packet cut at a border of layers is a flow up to there.
 *  - A known layer that is cut short or contradicts itself refuses the whole packet.
 *  - With IP in IP the inner header takes the place of the outer one.
 *
 * Threads  pure functions.
 * Bounds   never reads past the captured bytes, never allocates; each layer consumes bytes.
 */
#ifndef TYCHO_OBSERVER_DECODE_H
#define TYCHO_OBSERVER_DECODE_H

#include "base/str.h"
#include "flow/flow.h"

/* First layer of the captured bytes. */
enum decode_start { DECODE_ETHERNET, DECODE_IPV4, DECODE_IPV6 };

/* Where the last layer's payload lies; for DNS and tunnels. */
struct decode_payload {
	struct str bytes; /* of TCP or UDP, within the lengths of IP and UDP; else empty */
	bool fragment;    /* the packet is a fragment: transport unknown */
	uint16_t vlan_id; /* of the outermost tag; 0 without one, and where @vlan is false */
};

/* Fills the packet's members of *@f (ethernet, IP, l4, their bits, ip_version) and leaves the
 * others alone. @vlan: step over 802.1Q and 802.1ad tags (our own sources; the reference stops
 * there). @return false if the packet is refused; *@f's packet members are then unspecified and
 * *@ret_payload is untouched. An empty packet is a flow without layers. */
bool decode_packet(struct str packet, enum decode_start start, bool vlan, struct flow *f,
		   struct decode_payload *ret_payload);

#endif
