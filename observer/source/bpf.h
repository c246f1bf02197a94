/*
 * source bpf - our own kernel programs: tcx or clsact (hooks.h) for traces, tp_btf/kfree_skb for
 * drops.
 *
 * Interfaces are chosen once and then followed through netlink: new ones are picked up as they
 * appear, gone ones let go. A packet is never changed; on free every hook is taken back. A killed
 * observer leaves nothing where there is tcx; what it left else is removed at the next start.
 *
 * Scope    traces: the network namespace source_bpf_new is called in, one observer at a time.
 *          Drops: this node's, see enum source_bpf_scope.
 * Order    one drain hands events over in order of their time, drops and traces together; but while
 *          drops fill more than a quarter of their ring, they go first. What is being written at
 *          that moment comes with the next drain.
 * Counts   bytes and packets of a connection's events add up to what passed, also where events were
 *          lost; the rest of a connection that fell silent comes within two intervals, without
 *          Ethernet header and of packet_bytes 0, for it stands for no single packet. A table of
 *          hundreds of thousands of connections adds some 3 s to that: it is walked in slices of
 *          2 ms. What a connection that was pushed out of a full table has counted since its last
 *          event is not told; source_bpf_stats says how many there were.
 * Latency  events come when enough have gathered, or after 50 ms.
 */
#ifndef TYCHO_OBSERVER_SOURCE_BPF_H
#define TYCHO_OBSERVER_SOURCE_BPF_H

#include "observer/source/source.h"

/* Whose drops are told. */
enum source_bpf_scope {
	/* In the machine's first network namespace: all of the machine. In another one: that one
	 * and those its interfaces lead to (a pod, over its veth), without the interfaces that
	 * packets leave by for other nodes: a default route, or any route through a next hop. Drops
	 * of which the kernel does not know the namespace are then left out. */
	BPF_SCOPE_NODE,
	BPF_SCOPE_MACHINE,
};

struct source_bpf_config {
	/* Names or shell-style globs ("eth*", "!docker0" excludes). None: every interface whose
	 * peer is in another network namespace, and those that carry a route out. A name without
	 * wildcard that does not exist is ERR_NOT_FOUND. */
	const char *const *interfaces;
	size_t interface_count;
	uint64_t interval_ns; /* report of a connection that goes on; 0: 5 s */
	/* Powers of two, from a page to 1 GiB; 0: 4 MiB and 2 MiB, some 25,000 and 8,000 events.
	 * Mapped twice in a row, so that no record is torn, and resident from the start: count them
	 * double. */
	size_t trace_ring_bytes, verdict_ring_bytes;
	uint32_t connections; /* tracked at once, oldest forgotten first; 0: 262,144 */
	bool traces, drops;   /* which programs to load */
	enum source_bpf_scope drop_scope;
	bool noise;     /* also report drop reasons that are part of normal operation */
	bool by_clsact; /* as on a kernel without tcx, for tests */
};

/* ERR_PERMISSION (no root / CAP_BPF, CAP_NET_ADMIN, CAP_PERFMON), ERR_UNSUPPORTED (no BTF, kernel
 * too old), ERR_EXISTS (another observer traces in this network namespace, or the hook of a named
 * interface is taken), each with a sentence that says how to get it. */
MUST_CHECK enum err_code source_bpf_new(const struct source_bpf_config *config, struct source **ret,
					struct err *e);

struct source_bpf_stats {
	uint64_t lost_traces, lost_verdicts; /* failed reserves since start */
	uint64_t pushed_out; /* connections that a full table had no room for any more; at least */
	uint32_t interfaces; /* attached now */
	uint32_t refused;    /* chosen, but something else holds the hook: not watched */
};
/* Capture thread. */
struct source_bpf_stats source_bpf_stats(const struct source *s);

/* The source's flush (source.h): reports now what connections have counted since their last report,
 * for the next drain to hand over. True if the ring was full before the end. Capture thread. */
bool source_bpf_flush(struct source *s);

#endif
