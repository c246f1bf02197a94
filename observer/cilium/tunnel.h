/*
 * tunnel - VXLAN and Geneve: the packet within the packet.
 *
 *	outer IP │ UDP │ VXLAN or Geneve │ inner Ethernet … ──► the flow's members
 *	   └────────┴──► struct tunnel
 *
 * Cilium's datapath flags a packet that is its own overlay's underlay; the flow is then the inner
 * packet, and the outer one is told as Flow.tunnel. An inner packet to (or else from) a tunnel's
 * port is opened again, as the reference does; the flow shows the innermost.
 *
 * Threads  pure functions. Never reads past the bytes, never allocates; each round consumes some.
 * Source   RFC 7348 §5, RFC 8926 §3.4, reference/cilium-events.md 6.1.
 */
#ifndef TYCHO_OBSERVER_CILIUM_TUNNEL_H
#define TYCHO_OBSERVER_CILIUM_TUNNEL_H

#include "base/buf.h"
#include "flow/flow.h"

/* flow.Tunnel.Protocol */
enum tunnel_protocol { TUNNEL_NONE, TUNNEL_VXLAN, TUNNEL_GENEVE };

struct tunnel {
	enum tunnel_protocol protocol;
	uint32_t vni;
	uint8_t src_ip[16], dst_ip[16], ip_version; /* of the outer packet */
	uint16_t src_port, dst_port;
	/* The last layer's name where the flow's members tell another one: in a nested tunnel an
	 * outer layer's l4 stays if the innermost packet has none. Static; else empty. */
	struct str last_layer;
};

/* @f holds the outer packet and @payload that of its UDP. On success @f's packet members are those
 * of the inner one (none, if nothing follows that is known) and *@ret says what was outside. False:
 * refused, as is a payload without room for the header. */
bool tunnel_open(enum tunnel_protocol protocol, struct str payload, struct flow *f,
		 struct tunnel *ret);
/* Appends flow.Flow's field tunnel. */
void tunnel_put(struct buf *ext, const struct tunnel *t);

#endif
