/*
 * ring - a BPF ring buffer read in place, its records in order of time.
 *
 *	kernel ──► [ … | r7 | r8 | r9 | … ]        written in the order in which they were reserved
 *	                  └─ window ─┘             looked at, not given back yet: sorted by mono_ns
 *
 * Each CPU stamps its records itself, so neighbours may stand the wrong way round. The window puts
 * them right as long as a record is no more than RING_WINDOW places away from its own.
 *
 * Owner    records are borrowed: they lie in the ring until ring_release after ring_take. Only the
 *          one across the end of the memory, of which there is one at a time, is put together in a
 *          copy: mapping the data twice in a row would save that, but count every page as resident
 *          twice.
 * Threads  one reader.
 * Why not libbpf's ring_buffer: it hands over a ring at a time and cannot look before it takes,
 * which merging two rings by time needs. The layout is the kernel's interface (<linux/bpf.h>,
 * BPF_RINGBUF_*; kernel/bpf/ringbuf.c).
 */
#ifndef TYCHO_OBSERVER_SOURCE_RING_H
#define TYCHO_OBSERVER_SOURCE_RING_H

#include "base/err.h"
#include "bpf/event.h"
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { RING_WINDOW = 32, RING_RECORD_MAX = sizeof(struct bpf_event) + BPF_EVENT_DNS_CAP_BYTES };

struct ring_record {
	const struct bpf_event *event; /* with its cap_bytes behind it */
	uint64_t position;             /* where it lies: bytes since the ring began */
};

/* Zero is a ring that is not there: always empty. */
struct ring {
	_Atomic(unsigned long) *consumer;       /* how far we have read; the kernel's page */
	const _Atomic(unsigned long) *producer; /* how far the kernel has written; likewise */
	const uint8_t *data;
	size_t bytes, page_bytes;
	uint64_t end;   /* what was there at ring_look */
	uint64_t next;  /* first record not in the window yet */
	unsigned taken; /* since the last release */
	struct ring_record window[RING_WINDOW];
	unsigned first, count; /* of the window, a ring in itself */
	union {
		struct bpf_event event;
		uint8_t bytes[RING_RECORD_MAX];
	} whole; /* the record across the end */
};

/* @bytes as the map was made. The descriptor is not kept. */
MUST_CHECK enum err_code ring_map(int map_fd, size_t bytes, struct ring *ret, struct err *e);
/* Over memory of the caller's. For tests. */
struct ring ring_over(_Atomic(unsigned long) *consumer, const _Atomic(unsigned long) *producer,
		      const uint8_t *data, size_t bytes);
void ring_unmap(struct ring *r); /* of what ring_map made, or zero */

/* Takes note of what is there by now; what comes later is seen after the next ring_look. */
void ring_look(struct ring *r);
/* The earliest record, NULL if there is none. Valid until ring_release. */
const struct bpf_event *ring_peek(struct ring *r);
/* Takes what ring_peek has shown. */
void ring_take(struct ring *r);
/* Gives the room of what was taken back to the kernel. */
void ring_release(struct ring *r);
/* How much of the ring is in use, in bytes. */
size_t ring_used(const struct ring *r);

#endif
