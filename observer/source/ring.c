#include "observer/source/ring.h"

#include <linux/bpf.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static uint32_t record_header(const uint8_t *at)
{
	const _Atomic(uint32_t) *header = (const void *)at;

	return atomic_load_explicit(header, memory_order_acquire); /* pairs with the submit */
}

enum err_code ring_map(int map_fd, size_t bytes, struct ring *ret, struct err *e)
{
	size_t page_bytes = (size_t)sysconf(_SC_PAGESIZE);
	void *consumer, *rest;

	consumer = mmap(NULL, page_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, map_fd, 0);
	if (consumer == MAP_FAILED)
		return err_os(e, "map the ring");
	rest = mmap(NULL, page_bytes + bytes, PROT_READ, MAP_SHARED, map_fd, (off_t)page_bytes);
	if (rest == MAP_FAILED) {
		(void)err_os(e, "map the ring");
		(void)munmap(consumer, page_bytes);
		return e ? e->code : ERR_IO;
	}
	*ret = ring_over(consumer, rest, (const uint8_t *)rest + page_bytes, bytes);
	ret->page_bytes = page_bytes;
	return ERR_OK;
}

struct ring ring_over(_Atomic(unsigned long) *consumer, const _Atomic(unsigned long) *producer,
		      const uint8_t *data, size_t bytes)
{
	return (struct ring){
		.consumer = consumer,
		.producer = producer,
		.data = data,
		.bytes = bytes,
		.next = atomic_load_explicit(consumer, memory_order_relaxed),
	};
}

void ring_unmap(struct ring *r)
{
	if (!r->page_bytes)
		return;
	(void)munmap((void *)(uintptr_t)r->consumer, r->page_bytes);
	(void)munmap((void *)(uintptr_t)r->producer, r->page_bytes + r->bytes);
	*r = (struct ring){ 0 };
}

void ring_look(struct ring *r)
{
	if (r->producer)
		r->end = atomic_load_explicit(r->producer, memory_order_acquire);
}

/* Records come nearly sorted, so the way down is mostly no way at all. */
static void put_in_place(struct ring *r, struct ring_record record)
{
	unsigned at = r->count++;

	for (; at > 0; at--) {
		struct ring_record *before = &r->window[(r->first + at - 1) % RING_WINDOW];

		if (before->event->mono_ns <= record.event->mono_ns)
			break;
		r->window[(r->first + at) % RING_WINDOW] = *before;
	}
	r->window[(r->first + at) % RING_WINDOW] = record;
}

/* The @size bytes from @offset of the data on, which may go on at its beginning. Since all that is
 * not given back yet is no longer than the ring, one record at most lies across its end. */
static const struct bpf_event *record_at(struct ring *r, size_t offset, size_t size)
{
	enum { LINE = 64, LINES = 3 }; /* of a cache; an event with the headers of its packet */
	size_t room = r->bytes - offset;

	if (size <= room) {
		/* Another CPU has just written it: what is read now and then comes from afar. */
		for (size_t at = LINE; at < LINES * LINE; at += LINE)
			__builtin_prefetch(r->data + offset + at);
		return (const void *)(r->data + offset);
	}
	memcpy(r->whole.bytes, r->data + offset, room);
	memcpy(r->whole.bytes + room, r->data, size - room);
	return &r->whole.event;
}

static void fill(struct ring *r)
{
	while (r->count < RING_WINDOW && r->next < r->end) {
		uint64_t position = r->next;
		/* Positions are multiples of 8, so a header is never torn. */
		uint32_t header = record_header(r->data + (position & (r->bytes - 1)));
		size_t size = header & ~(BPF_RINGBUF_BUSY_BIT | BPF_RINGBUF_DISCARD_BIT);

		if (header & BPF_RINGBUF_BUSY_BIT) {
			r->end = r->next; /* still being written, and so all behind it waits */
			return;
		}
		r->next += (BPF_RINGBUF_HDR_SZ + size + 7) / 8 * 8;
		if (header & BPF_RINGBUF_DISCARD_BIT || size < sizeof(struct bpf_event) ||
		    size > RING_RECORD_MAX)
			continue; /* the second and the third: not of our programs */
		const struct bpf_event *event =
			record_at(r, (position + BPF_RINGBUF_HDR_SZ) & (r->bytes - 1), size);
		if (size >= sizeof *event + event->cap_bytes)
			put_in_place(r, (struct ring_record){ event, position });
	}
}

const struct bpf_event *ring_peek(struct ring *r)
{
	if (r->count < RING_WINDOW)
		fill(r);
	return r->count ? r->window[r->first].event : NULL;
}

void ring_take(struct ring *r)
{
	enum { RELEASE_EVERY = 64 }; /* a write to a line that the kernel reads for each record */

	if (r->taken >= RELEASE_EVERY)
		ring_release(r); /* of those before */
	r->first = (r->first + 1) % RING_WINDOW;
	r->count--;
	r->taken++;
}

void ring_release(struct ring *r)
{
	uint64_t position = r->next;

	for (unsigned i = 0; i < r->count; i++) {
		uint64_t kept = r->window[(r->first + i) % RING_WINDOW].position;

		if (kept < position)
			position = kept;
	}
	r->taken = 0;
	if (r->consumer)
		atomic_store_explicit(r->consumer, position, memory_order_release);
}

size_t ring_used(const struct ring *r)
{
	return r->producer ? atomic_load_explicit(r->producer, memory_order_relaxed) -
				     atomic_load_explicit(r->consumer, memory_order_relaxed)
			   : 0;
}
