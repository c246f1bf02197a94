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

/* Records that found their ring full, per CPU. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} lost SEC(".maps");

/* @counter a per-CPU array of one. */
static __always_inline void count_up(void *counter)
{
	__u32 zero = 0;
	__u64 *n = bpf_map_lookup_elem(counter, &zero);

	if (n)
		__sync_fetch_and_add(n, 1); /* a softirq may come in between */
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
