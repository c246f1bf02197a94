/*
 * point - what user space tells the trace programs about an interface they are attached to.
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

#endif
