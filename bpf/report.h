/*
 * report - what both programs share in handing events over: batched wake-ups, and the count of what
 * did not fit.
 *
 * Waking the reader for every event would cost more than the event. It is woken when @wakeup_bytes
 * have gathered; what is less than that it finds by its own timer (observer/source/bpf.c).
 */
#ifndef TYCHO_BPF_REPORT_H
#define TYCHO_BPF_REPORT_H

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include "event.h"

const volatile __u64 wakeup_bytes = 64 * 1024;

/* Records that found their ring full. User space looks at it many times a second and has it mapped:
 * that costs it nothing. One for all CPUs, since only who has just had the ring's lock counts here;
 * in a line of the cache of its own. */
struct {
	__u64 records, apart[7];
} lost __attribute__((aligned(64)));

static __always_inline void count_lost(void)
{
	__sync_fetch_and_add(&lost.records, 1);
}

/* Flags for bpf_ringbuf_submit. Only the records that cross the mark wake: above it the reader is
 * at work already, and a wake-up is an interrupt of its own. A crossing that slips through is found
 * by the reader's timer. */
static __always_inline __u64 wakeup_flags(void *ring)
{
	enum { CROSSING_BYTES = 4096 };
	__u64 waiting_bytes = bpf_ringbuf_query(ring, BPF_RB_AVAIL_DATA);

	return waiting_bytes - wakeup_bytes < CROSSING_BYTES ? BPF_RB_FORCE_WAKEUP
							     : BPF_RB_NO_WAKEUP;
}

#endif
