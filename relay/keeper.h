/*
 * keeper - asks the peers, in turn, whether they live; tells of those that come and go.
 *
 * A dead connection is often not known to be dead: the node lost its power, a firewall forgot us,
 * the process is frozen. HTTP/2 pings would find out, but servers as they come from the gRPC
 * libraries punish a client that pings more often than every five minutes. So the keeper makes a
 * call of the health service: once in an interval to each peer, spread out, and at once to one
 * that a query waits for in vain. Whatever comes back, an error too, is a sign of life. When
 * nothing does, the connection is given up: its calls end, and a new one is made.
 *
 * Threads  main's, but for keeper_poke.
 */
#ifndef TYCHO_RELAY_KEEPER_H
#define TYCHO_RELAY_KEEPER_H

#include "relay/peers.h"
#include "rpc/server.h"

struct keeper;

/* @fan is borrowed; a peer is asked every @interval_ns and has @patience_ns to answer. */
MUST_CHECK enum err_code keeper_new(struct rpc_fan *fan, uint64_t patience_ns, uint64_t interval_ns,
				    struct keeper **ret, struct err *e);
void keeper_free(struct keeper *k); /* after the peers, which poke it; NULL is a no-op */
AUTO_DEFINE(struct keeper, keeper_free);

/* Readable when keeper_run has something to do. */
int keeper_fd(const struct keeper *k);
/* Any thread: somebody is suspect, or not what it was. */
void keeper_poke(struct keeper *k);
/* Takes answers; looks at everybody when poked, or when somebody's turn has come. @return how many
 * peers are available; *@ret_next is when to call again, poked or not. */
size_t keeper_run(struct keeper *k, struct peers *peers, struct mono_ns now,
		  struct mono_ns *ret_next);
/* Connects anew wherever certificate files have changed; else they are looked at in turn. */
void keeper_renew(struct peers *peers);

#endif
