/*
 * perf_ring - one CPU's perf buffer: what bpf_perf_event_output wrote there.
 *
 *	kernel ──► [ …│ time, size, bytes │ … │ lost n │ … ] ──► perf_ring_next
 *	               ▲ tail: ours to move     head: the kernel's ▲
 *
 * Shape    PERF_RING_PAGES pages. The kernel wakes a poller when PERF_RING_WAKE_BYTES are waiting;
 *          for less than that somebody has to look now and then.
 * Owner    records are borrowed until the next call.
 * Threads  one.
 * Loss     what found the ring full is counted by the kernel, and told in place of a record.
 */
#ifndef TYCHO_OBSERVER_CILIUM_PERF_RING_H
#define TYCHO_OBSERVER_CILIUM_PERF_RING_H

#include "base/err.h"
#include "base/time.h"

enum { PERF_RING_PAGES = 64, PERF_RING_WAKE_BYTES = 16 << 10 };

struct perf_ring;

/* A ring for the events of CPU @cpu, which is online. ERR_PERMISSION: needs CAP_PERFMON. */
MUST_CHECK enum err_code perf_ring_new(int cpu, struct perf_ring **ret, struct err *e);
void perf_ring_free(struct perf_ring *r);
AUTO_DEFINE(struct perf_ring, perf_ring_free);

/* To be stored in a perf event array, and to be polled. */
int perf_ring_fd(const struct perf_ring *r);
int perf_ring_cpu(const struct perf_ring *r);

/* False: nothing was counted there since the last call, so the kernel has let go of it. It does so
 * when the CPU is taken away, and does not take it up again when the CPU is back. What is in the
 * ring can still be read. A system call. */
bool perf_ring_is_live(struct perf_ring *r);

/* One record: a sample, or how many were lost. */
struct perf_record {
	struct mono_ns time;
	struct str sample; /* p NULL: none */
	uint64_t lost;
};
/* Sees what the kernel has written so far; perf_ring_peek looks no further. */
void perf_ring_look(struct perf_ring *r);
/* The time of the next record; false if there is none. */
bool perf_ring_peek(struct perf_ring *r, struct mono_ns *ret);
/* Takes the record that was peeked at. Records of no interest are stepped over: then it has neither
 * sample nor loss. */
void perf_ring_take(struct perf_ring *r, struct perf_record *ret);
/* Gives what was taken back to the kernel. */
void perf_ring_release(struct perf_ring *r);

#endif
