/*
 * source_hubble - the flows of a Hubble-compatible server (an agent, a relay, another Tycho),
 * followed, and kept as they come: uuids, node names, policies and fields that we do not know
 * included.
 *
 *	server ══ GetFlows ═══╗
 *	       ══ GetAgentEvents ═► tycho-upstream ──► queue ──► source_drain (capture thread)
 *	       ══ GetDebugEvents ═╝  what came before is left out
 *
 * A break  (the server is restarted, the network is gone, we were too slow) is followed by a new
 *          call, from where the old one stopped (observer/upstream/resume.h): nothing twice, and
 *          nothing missing, or a LostEvent that says between which times something may be missing:
 *          source HUBBLE_RING_BUFFER, num_events_lost 0 (nobody knows how many), first and last.
 *          A restart of ours is a break, too, where there is a store that holds what came before.
 * Lost     events of the server are kept as they are, once each.
 * Nodes    what a relay says of its nodes becomes an agent event of our own ("hubble-nodes"), and
 *          so do connections that come and go ("hubble-connected", "hubble-lost") and gaps
 *          ("hubble-gap").
 * Pauses   a failed connection is tried again after 0.2 s at first, 5 s at last, a failed call
 *          after 0.25 s at first, 30 s at last, a fifth more or less. A server that says nothing
 *          for 15 s is asked for its status; without an answer the connection is made anew.
 * Limits   the queue holds QUEUE bytes; when capture does not keep up, nothing is read from the
 *          server, which then tells what we missed. A message too large for the queue is counted
 *          and told as lost.
 * Threads  its own (tycho-upstream) talks and decides; drain copies nothing and takes no lock.
 */
#ifndef TYCHO_OBSERVER_UPSTREAM_HUBBLE_H
#define TYCHO_OBSERVER_UPSTREAM_HUBBLE_H

#include "observer/source/source.h"
#include "rpc/rpc.h"

struct flow_dict;
struct store;

struct source_hubble_config {
	const char *address;       /* as for rpc_channel_new; NULL: no such source */
	const struct rpc_tls *tls; /* copied; NULL: plain text, unless the address says tls:// */
	uint64_t history_ns;       /* how far back the first call asks; 0: only what comes */
	size_t queue_bytes;        /* power of two; 0: 4 MiB */
	size_t remembered;         /* ids of flows; power of two; 0: 262,144 */
	struct store *store; /* what we had before we were started; NULL: nothing. Borrowed for
			      * the call, as is its dictionary */
	const struct flow_dict *dict;
};

/* Starts to connect, and never gives up: a server that is not there yet is no failure. After
 * rpc_init; freed before rpc_shutdown. ERR_INVALID: the address or the certificate files are
 * wrong. */
MUST_CHECK enum err_code source_hubble_new(const struct source_hubble_config *config,
					   struct source **ret, struct err *e);

struct source_hubble_counts {
	bool is_connected;       /* the stream of flows is open, and has said something */
	uint64_t connects;       /* how often it was */
	uint64_t flows;          /* handed on */
	uint64_t other;          /* agent, debug and lost events handed on */
	uint64_t seen_before;    /* came again, and were left out */
	uint64_t gaps;           /* places where flows may be missing */
	uint64_t bad;            /* messages that are no protobuf, or too large */
	uint64_t nodes;          /* told apart by name */
	struct wall_ns newest;   /* time of the newest flow; 0 none */
	struct mono_ns heard_at; /* when something last came; 0 never */
};
/* Any thread. */
struct source_hubble_counts source_hubble_counts(const struct source *s);

#endif
