#include "observer/cilium/perf_ring.h"

#include <linux/perf_event.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>

struct perf_ring {
	int fd, cpu;
	size_t page_bytes, data_bytes; /* data_bytes: power of two */
	struct perf_event_mmap_page *page;
	const uint8_t *data;
	uint64_t running_ns;        /* how long the event had been on its CPU when last asked */
	uint64_t head, tail;        /* head as last looked at; tail where we are */
	struct mono_ns last;        /* time of the last record that had one */
	char whole[UINT16_MAX + 1]; /* a record that runs over the end of the ring, in one piece */
};

static int open_event(int cpu)
{
	struct perf_event_attr attr = {
		.type = PERF_TYPE_SOFTWARE,
		.size = sizeof attr,
		.config = PERF_COUNT_SW_BPF_OUTPUT,
		.sample_type = PERF_SAMPLE_RAW | PERF_SAMPLE_TIME,
		.read_format = PERF_FORMAT_TOTAL_TIME_RUNNING,
		.sample_period = 1,
		.watermark = 1,
		.wakeup_watermark = PERF_RING_WAKE_BYTES,
		.use_clockid = 1,
		.clockid = CLOCK_MONOTONIC,
	};

	return (int)syscall(SYS_perf_event_open, &attr, -1, cpu, -1, PERF_FLAG_FD_CLOEXEC);
}

enum err_code perf_ring_new(int cpu, struct perf_ring **ret, struct err *e)
{
	AUTO(perf_ring_free) struct perf_ring *r = calloc(1, sizeof *r);

	if (!r)
		return err_set(e, ERR_NOMEM, "perf buffer of CPU %d", cpu);
	r->cpu = cpu;
	r->page_bytes = (size_t)sysconf(_SC_PAGESIZE);
	r->data_bytes = PERF_RING_PAGES * r->page_bytes;
	r->fd = open_event(cpu);
	if (r->fd < 0)
		return err_os(e, "perf event of CPU %d", cpu);
	void *at = mmap(NULL, r->page_bytes + r->data_bytes, PROT_READ | PROT_WRITE, MAP_SHARED,
			r->fd, 0);
	if (at == MAP_FAILED)
		return err_os(e, "perf buffer of CPU %d", cpu);
	r->page = at;
	r->data = (const uint8_t *)at + r->page_bytes;
	if (ioctl(r->fd, PERF_EVENT_IOC_ENABLE, 0) < 0)
		return err_os(e, "enable the perf event of CPU %d", cpu);
	*ret = TAKE(r);
	return ERR_OK;
}

void perf_ring_free(struct perf_ring *r)
{
	if (!r)
		return;
	if (r->page)
		(void)munmap(r->page, r->page_bytes + r->data_bytes);
	if (r->fd >= 0)
		(void)close(r->fd);
	free(r);
}

int perf_ring_fd(const struct perf_ring *r)
{
	return r->fd;
}

int perf_ring_cpu(const struct perf_ring *r)
{
	return r->cpu;
}

bool perf_ring_is_live(struct perf_ring *r)
{
	struct {
		uint64_t count, running_ns;
	} now;
	bool is_live =
		read(r->fd, &now, sizeof now) == sizeof now && now.running_ns != r->running_ns;

	if (is_live)
		r->running_ns = now.running_ns;
	return is_live;
}

void perf_ring_look(struct perf_ring *r)
{
	/* acquire, pairs with the kernel's barrier before it moves data_head (perf_event.h) */
	r->head = __atomic_load_n(&r->page->data_head, __ATOMIC_ACQUIRE);
}

void perf_ring_release(struct perf_ring *r)
{
	/* release: the kernel may write there once it sees this */
	__atomic_store_n(&r->page->data_tail, r->tail, __ATOMIC_RELEASE);
}

static size_t place_of(const struct perf_ring *r, uint64_t at)
{
	return (size_t)(at & (r->data_bytes - 1));
}

/* Headers are 8 bytes on a multiple of 8: never over the end. */
static struct perf_event_header header_at(const struct perf_ring *r)
{
	struct perf_event_header h;

	memcpy(&h, r->data + place_of(r, r->tail), sizeof h);
	return h;
}

bool perf_ring_peek(struct perf_ring *r, struct mono_ns *ret)
{
	struct perf_event_header h;

	if (r->head - r->tail < sizeof h)
		return false;
	h = header_at(r);
	if (h.size < sizeof h || h.size > r->head - r->tail) {
		r->tail = r->head; /* cannot be: but then nothing behind it can be read */
		return false;
	}
	/* A sample's time is its first member. A loss has none: it happened before what follows. */
	if (h.type == PERF_RECORD_SAMPLE && h.size >= sizeof h + 8)
		memcpy(&r->last.v, r->data + place_of(r, r->tail + sizeof h), 8);
	*ret = r->last;
	return true;
}

void perf_ring_take(struct perf_ring *r, struct perf_record *ret)
{
	struct perf_event_header h = header_at(r);
	size_t at = place_of(r, r->tail), room = r->data_bytes - at;
	const uint8_t *p = r->data + at;
	uint32_t bytes;

	*ret = (struct perf_record){ .time = r->last };
	if (h.size > room) {
		memcpy(r->whole, p, room);
		memcpy(r->whole + room, r->data, h.size - room);
		p = (const uint8_t *)r->whole;
	}
	r->tail += h.size;
	p += sizeof h;
	h.size = (uint16_t)(h.size - sizeof h);
	if (h.type == PERF_RECORD_SAMPLE && h.size >= 12) {
		/* u64 time; u32 size; bytes */
		memcpy(&bytes, p + 8, sizeof bytes);
		if (bytes <= h.size - 12U)
			ret->sample = str_n(p + 12, bytes);
	} else if (h.type == PERF_RECORD_LOST && h.size >= 16) {
		/* u64 id; u64 lost */
		memcpy(&ret->lost, p + 8, sizeof ret->lost);
	}
}
