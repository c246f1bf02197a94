/*
 * point - what user space tells the trace programs: about an interface they are attached to, and
 * when to sweep.
 */
#ifndef TYCHO_BPF_POINT_H
#define TYCHO_BPF_POINT_H

#ifndef __bpf__
#include <linux/types.h>
#endif

enum { POINTS_MAX = 16384 }; /* interfaces attached at once */

struct point {
	char name[16];
	__u8 peer_netns; /* its far end lives in another network namespace */
	__u8 zero[3];
};

struct sweep_request {
	/* Report connections not reported for that long; 0: all with unreported counts. */
	__u64 silent_ns;
};

#endif
