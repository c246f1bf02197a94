/*
 * discovery - peers as a server's peer.Peer/Notify tells of them (Hubble's peer service, or ours).
 *
 * The stream is opened again when it ends, after a pause that doubles from DISCOVERY_PAUSE_MIN_NS
 * to DISCOVERY_PAUSE_MAX_NS, give or take a quarter. Peers that are known stay meanwhile. A new
 * stream begins with all that the service knows; nothing says where that ends, and a service that has
 * just started may still be learning. So peers that it has not told of DISCOVERY_SETTLE_NS after it
 * began to speak again went while it was away, and go.
 *
 * Notify may have nothing to say for days, so the service is asked for its health every
 * @check_ns; if nothing comes back within the patience, the connection is made anew.
 *
 * Threads  main's.
 */
#ifndef TYCHO_RELAY_DISCOVERY_H
#define TYCHO_RELAY_DISCOVERY_H

#include "relay/peers.h"

struct discovery;

#define DISCOVERY_PAUSE_MIN_NS NS_PER_S
#define DISCOVERY_PAUSE_MAX_NS (30 * NS_PER_S) /* the reference's --retry-timeout */

#define DISCOVERY_SETTLE_NS (30 * NS_PER_S)

/* @tls NULL, and any unix socket: plain text. All borrowed. Fails as rpc_fan_channel_new. */
MUST_CHECK enum err_code discovery_new(struct rpc_fan *fan, const char *address,
				       const struct rpc_tls *tls, uint64_t patience_ns,
				       uint64_t check_ns, struct peers *peers,
				       struct discovery **ret, struct err *e);
void discovery_free(struct discovery *d); /* NULL is a no-op */
AUTO_DEFINE(struct discovery, discovery_free);

/* Readable when discovery_run has something to do. */
int discovery_fd(const struct discovery *d);
/* Takes what the service said. *@ret_next is when to call again, asked or not. */
void discovery_run(struct discovery *d, struct mono_ns now, struct mono_ns *ret_next);

enum { DISCOVERY_ADDRESS_BYTES = 512 };
/* The address of a notification in the form channels take: "10.0.0.1" is "10.0.0.1:4244", as is an
 * unusable port; "/run/x.sock" is "unix:///run/x.sock". "" stays "". */
void discovery_address(struct str told, char out[static DISCOVERY_ADDRESS_BYTES]);

#endif
