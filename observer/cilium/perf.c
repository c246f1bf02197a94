#include "observer/cilium/perf.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <sys/timerfd.h>

#include "base/counter.h"
#include "base/log.h"
#include "observer/cilium/perf_ring.h"
#include "observer/source/notice.h"

enum { RELEASE_EVERY = 64 }; /* samples: the kernel gets its room back early */

/* Rings that have a record, the earliest on top: a binary heap. */
struct heap {
	struct perf_ring *rings[PERF_CPUS_MAX];
	uint64_t times[PERF_CPUS_MAX];
	size_t count;
};

struct perf {
	struct source source; /* first */
	char path[PATH_MAX], online_path[PATH_MAX];
	int poll_fd, timer_fd, rest_fd;
	int map_fd; /* -1: none */
	uint32_t map_id, map_entries;
	uint64_t inode; /* of the pin */
	bool told_away; /* that nothing is there has been logged */
	struct mono_ns looked_at;
	uint64_t look_ns;
	struct wall_ns heard_at;                /* when the map was last read; 0: never */
	struct perf_ring *rings[PERF_CPUS_MAX]; /* by CPU */
	uint32_t cpu_end;                       /* one more than the highest CPU with a ring */
	struct heap heap;
	_Atomic uint64_t samples, lost, opens;
	_Atomic uint32_t cpus;
};

struct source_cilium_perf_counts source_cilium_perf_counts(const struct source *s)
{
	const struct perf *p = (const struct perf *)s;

	return (struct source_cilium_perf_counts){
		.samples = counter_get(&p->samples),
		.lost = counter_get(&p->lost),
		.opens = counter_get(&p->opens),
		.cpus = atomic_load_explicit(&p->cpus, memory_order_relaxed),
	};
}

/* --- CPUs --------------------------------------------------------------------------------- */

static void close_ring(struct perf *p, uint32_t cpu)
{
	perf_ring_free(p->rings[cpu]); /* and thereby out of the epoll, and out of its slot */
	p->rings[cpu] = NULL;
}

/* Opens CPU @cpu's ring and puts it into the map. */
static enum err_code open_ring(struct perf *p, uint32_t cpu, struct err *e)
{
	AUTO(perf_ring_free) struct perf_ring *r = NULL;
	enum err_code code = perf_ring_new((int)cpu, &r, e);

	if (code != ERR_OK)
		return code;
	struct epoll_event in = { .events = EPOLLIN };
	int fd = perf_ring_fd(r);
	if (epoll_ctl(p->poll_fd, EPOLL_CTL_ADD, fd, &in) < 0)
		return err_os(e, "poll the perf buffer of CPU %u", cpu);
	if (bpf_map_update_elem(p->map_fd, &cpu, &fd, BPF_ANY) < 0)
		return err_os(e, "store the perf buffer of CPU %u", cpu);
	p->rings[cpu] = TAKE(r);
	return ERR_OK;
}

/* "0-3,5\n" to bits. @return false if it cannot be read. */
static bool read_online(const char *path, uint8_t online[PERF_CPUS_MAX])
{
	char text[4096];
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text);

	if (fd >= 0)
		(void)close(fd);
	if (n <= 0)
		return false;
	struct str rest = str_trim(str_n(text, (size_t)n)), range;
	while (str_split(&rest, ',', &range)) {
		uint32_t first, last;
		size_t dash = str_find(range, '-');
		if (!parse_u32(str_upto(range, dash), &first))
			return false;
		last = first;
		if (dash < range.len && !parse_u32(str_from(range, dash + 1), &last))
			return false;
		for (uint32_t cpu = first; cpu <= last && cpu < PERF_CPUS_MAX; cpu++)
			online[cpu] = 1;
	}
	return true;
}

/* What a CPU that goes has left is handed over before its ring is closed. */
static void take_all_of(struct perf *p, struct raw_sink *sink, uint32_t cpu);

/* Rings for the CPUs that are there; *@ret_opened of them are new. An error is that of the first
 * CPU that did not get one. */
static enum err_code fit_cpus(struct perf *p, struct raw_sink *sink, uint32_t *ret_opened,
			      struct err *e)
{
	uint8_t online[PERF_CPUS_MAX] = { 0 };
	enum err_code code = ERR_OK;
	uint32_t cpus = 0, opened = 0;

	if (!read_online(p->online_path, online))
		return err_set(e, ERR_IO, "'%.100s' does not list the CPUs", p->online_path);
	p->cpu_end = 0;
	for (uint32_t cpu = 0; cpu < PERF_CPUS_MAX; cpu++) {
		bool wanted = online[cpu] && cpu < p->map_entries;
		struct err other;
		/* one that was away and is back is on the list, but its ring is dead */
		if (p->rings[cpu] && (!wanted || !perf_ring_is_live(p->rings[cpu]))) {
			take_all_of(p, sink, cpu);
			close_ring(p, cpu);
		}
		if (!p->rings[cpu] && wanted) {
			if (open_ring(p, cpu, code == ERR_OK ? e : &other) == ERR_OK)
				opened++;
			else if (code == ERR_OK)
				code = e->code;
		}
		if (p->rings[cpu]) {
			cpus++;
			p->cpu_end = cpu + 1;
		}
	}
	atomic_store_explicit(&p->cpus, cpus, memory_order_relaxed);
	*ret_opened = opened;
	return code;
}

/* --- map ---------------------------------------------------------------------------------- */

static void close_map(struct perf *p)
{
	for (uint32_t cpu = 0; cpu < p->cpu_end; cpu++)
		if (p->rings[cpu])
			close_ring(p, cpu);
	p->cpu_end = 0;
	/* The kernel empties the slots that were filled through this descriptor, no others. */
	if (p->map_fd >= 0)
		(void)close(p->map_fd);
	p->map_fd = -1;
	p->map_id = 0;
}

/* *@ret_fd is what is pinned at the path, a perf event array. */
static enum err_code get_map(const struct perf *p, int *ret_fd, struct bpf_map_info *ret_info,
			     struct err *e)
{
	uint32_t len = sizeof *ret_info;
	int fd = bpf_obj_get(p->path);

	if (fd < 0)
		return err_os(e, "open '%.100s'", p->path);
	*ret_info = (struct bpf_map_info){ 0 };
	if (bpf_obj_get_info_by_fd(fd, ret_info, &len) < 0) {
		enum err_code code = err_os(e, "look at '%.100s'", p->path);
		(void)close(fd);
		return code;
	}
	if (ret_info->type != BPF_MAP_TYPE_PERF_EVENT_ARRAY) {
		(void)close(fd);
		return err_set(e, ERR_INVALID, "'%.100s' is no perf event array", p->path);
	}
	*ret_fd = fd;
	return ERR_OK;
}

static uint64_t inode_of(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 ? (uint64_t)st.st_ino : 0;
}

/* Opens what is pinned, if it is another map than the one that is open. */
static enum err_code open_map(struct perf *p, struct raw_sink *sink, struct err *e)
{
	uint64_t inode = inode_of(p->path);
	struct bpf_map_info info;
	uint32_t opened;
	int fd;

	enum err_code code = get_map(p, &fd, &info, e);
	if (code != ERR_OK)
		return code;
	p->inode = inode;
	if (p->map_fd >= 0 && info.id == p->map_id) {
		(void)close(fd);
		return ERR_OK;
	}
	for (uint32_t cpu = 0; cpu < p->cpu_end; cpu++)
		if (p->rings[cpu])
			take_all_of(p, sink, cpu);
	close_map(p);
	p->map_fd = fd;
	p->map_id = info.id;
	p->map_entries = info.max_entries;
	code = fit_cpus(p, sink, &opened, e);
	if (code != ERR_OK) {
		close_map(p);
		return code;
	}
	counter_add(&p->opens, 1);
	return ERR_OK;
}

static void note_open(struct perf *p, struct raw_sink *sink)
{
	struct wall_ns now = wall_now();

	p->told_away = false;
	log_info("reading cilium's perf buffers in the agent's place", "map=%s id=%u",
		 LOG_QUOTE(p->path), p->map_id);
	notice_event(sink, "cilium-connected", p->path, NULL, NULL);
	if (p->heard_at.v)
		notice_gap(sink, p->heard_at, now);
	p->heard_at = now;
}

static void note_away(struct perf *p, struct raw_sink *sink, const char *why)
{
	if (p->told_away)
		return;
	p->told_away = true;
	log_warn("cilium's perf buffers cannot be read, trying again", "map=%s err=%s",
		 LOG_QUOTE(p->path), LOG_QUOTE(why));
	notice_event(sink, "cilium-lost", p->path, "error", why);
}

/* An agent that was restarted has taken the slots back, and nothing tells: so they are taken again.
 */
static enum err_code take_slots(const struct perf *p, struct err *e)
{
	for (uint32_t cpu = 0; cpu < p->cpu_end; cpu++) {
		int fd = p->rings[cpu] ? perf_ring_fd(p->rings[cpu]) : -1;
		if (fd >= 0 && bpf_map_update_elem(p->map_fd, &cpu, &fd, BPF_ANY) < 0)
			return err_os(e, "store the perf buffer of CPU %u", cpu);
	}
	return ERR_OK;
}

/* Are the CPUs the same? What one wrote before its ring was there is lost, and nobody counts it:
 * @last is when they were looked at before. */
static void look_at_cpus(struct perf *p, struct raw_sink *sink, struct wall_ns last)
{
	struct err e = { 0 };
	uint32_t opened = 0;

	if (fit_cpus(p, sink, &opened, &e) != ERR_OK || take_slots(p, &e) != ERR_OK)
		note_away(p, sink, e.msg);
	else
		p->told_away = false;
	if (opened)
		notice_gap(sink, last, p->heard_at);
}

/* Is it still the same map, and on the same CPUs? */
static void look(struct perf *p, struct raw_sink *sink, struct mono_ns now)
{
	struct err e = { 0 };
	uint64_t opens = counter_get(&p->opens);
	uint64_t inode = inode_of(p->path);
	const struct wall_ns last = p->heard_at;

	p->looked_at = now;
	if (p->map_fd >= 0)
		p->heard_at = wall_now();
	/* A path that is gone says nothing: the programs still write to the map that was there. */
	if (p->map_fd < 0 || (inode && inode != p->inode)) {
		if (open_map(p, sink, &e) != ERR_OK)
			note_away(p, sink, e.msg);
		else if (opens != counter_get(&p->opens))
			note_open(p, sink);
	} else {
		look_at_cpus(p, sink, last);
	}
}

/* --- events ------------------------------------------------------------------------------- */

static void hand_over(struct perf *p, struct raw_sink *sink, const struct perf_record *r, int cpu)
{
	struct raw_event ev = { .kind = RAW_CILIUM, .mono = r->time, .cpu = cpu };

	if (r->lost) {
		ev.kind = RAW_LOST;
		ev.lost = r->lost;
		counter_add(&p->lost, r->lost);
	} else {
		ev.packet = r->sample;
		counter_add(&p->samples, 1);
	}
	sink->event(sink, &ev);
}

static void take_all_of(struct perf *p, struct raw_sink *sink, uint32_t cpu)
{
	struct perf_ring *r = p->rings[cpu];
	struct perf_record record;
	struct mono_ns time;

	perf_ring_look(r);
	while (perf_ring_peek(r, &time)) {
		perf_ring_take(r, &record);
		if (record.sample.p || record.lost)
			hand_over(p, sink, &record, (int)cpu);
	}
	perf_ring_release(r);
}

/* The place in the heap for time @time, from @i downwards. */
static void sink_down(struct heap *h, size_t i, struct perf_ring *ring, uint64_t time)
{
	for (;;) {
		size_t child = 2 * i + 1;
		if (child >= h->count)
			break;
		if (child + 1 < h->count && h->times[child + 1] < h->times[child])
			child++;
		if (h->times[child] >= time)
			break;
		h->rings[i] = h->rings[child];
		h->times[i] = h->times[child];
		i = child;
	}
	h->rings[i] = ring;
	h->times[i] = time;
}

static void push(struct heap *h, struct perf_ring *ring, uint64_t time)
{
	size_t i = h->count++;

	for (; i && h->times[(i - 1) / 2] > time; i = (i - 1) / 2) {
		h->rings[i] = h->rings[(i - 1) / 2];
		h->times[i] = h->times[(i - 1) / 2];
	}
	h->rings[i] = ring;
	h->times[i] = time;
}

static void fill_heap(struct perf *p)
{
	struct mono_ns time;

	p->heap.count = 0;
	for (uint32_t cpu = 0; cpu < p->cpu_end; cpu++) {
		struct perf_ring *r = p->rings[cpu];
		if (!r)
			continue;
		perf_ring_look(r);
		if (perf_ring_peek(r, &time))
			push(&p->heap, r, time.v);
	}
}

/* Records of all rings in order of their time, until @max. */
static size_t take_in_order(struct perf *p, struct raw_sink *sink, size_t max)
{
	struct heap *h = &p->heap;
	struct perf_record record;
	struct mono_ns time;
	size_t n = 0;

	for (fill_heap(p); h->count && n < max;) {
		struct perf_ring *r = h->rings[0];
		perf_ring_take(r, &record);
		if (record.sample.p || record.lost) {
			hand_over(p, sink, &record, perf_ring_cpu(r));
			n++;
		}
		if (n % RELEASE_EVERY == 0)
			perf_ring_release(r);
		if (perf_ring_peek(r, &time)) {
			sink_down(h, 0, r, time.v);
			continue;
		}
		perf_ring_release(r);
		if (--h->count)
			sink_down(h, 0, h->rings[h->count], h->times[h->count]);
	}
	for (size_t i = 0; i < h->count; i++)
		perf_ring_release(h->rings[i]);
	return n;
}

/* The next poll comes back at once. */
static void tell_rest(const struct perf *p)
{
	uint64_t one = 1;

	(void)!write(p->rest_fd, &one, sizeof one); /* an eventfd cannot be full at 1 */
}

static size_t perf_drain(struct source *source, struct raw_sink *sink, size_t max)
{
	struct perf *p = (struct perf *)source;
	uint64_t times;

	(void)!read(p->rest_fd, &times, sizeof times);
	if (read(p->timer_fd, &times, sizeof times) == sizeof times) {
		struct mono_ns now = mono_now();
		if (now.v - p->looked_at.v >= p->look_ns)
			look(p, sink, now);
	}
	size_t n = take_in_order(p, sink, max);
	if (n == max)
		tell_rest(p);
	return n;
}

/* --- life --------------------------------------------------------------------------------- */

static int perf_fd(const struct source *source)
{
	return ((const struct perf *)source)->poll_fd;
}

static void perf_free(struct source *source)
{
	struct perf *p = (struct perf *)source;
	const int fds[] = { p->timer_fd, p->rest_fd, p->poll_fd };

	close_map(p);
	for (size_t i = 0; i < ARRAY_LEN(fds); i++)
		if (fds[i] >= 0)
			(void)close(fds[i]);
	free(p);
}

static size_t perf_figures(const struct source *source, struct source_figure out[SOURCE_FIGURES])
{
	static const struct source_figure_kind kinds[] = {
		{ "map_opens_total", "How often a map of perf buffers was opened", true },
		{ "cpus", "Processors whose perf buffers are read", false },
	};
	struct source_cilium_perf_counts c = source_cilium_perf_counts(source);
	const uint64_t values[] = {
		c.opens,
		c.cpus,
	};
	_Static_assert(ARRAY_LEN(values) == ARRAY_LEN(kinds), "a figure without a name");

	for (size_t i = 0; i < ARRAY_LEN(values); i++)
		out[i] = (struct source_figure){ &kinds[i], values[i] };
	return ARRAY_LEN(values);
}

static const struct source_ops perf_ops = {
	.name = "cilium-perf",
	.fd = perf_fd,
	.drain = perf_drain,
	.figures = perf_figures,
	.free = perf_free,
};

static enum err_code copy_path(char to[PATH_MAX], const char *path, struct err *e)
{
	if (!*path || strlen(path) >= PATH_MAX)
		return err_set(e, ERR_INVALID, "a path has 1 to %d bytes", PATH_MAX - 1);
	memcpy(to, path, strlen(path) + 1);
	return ERR_OK;
}

static enum err_code open_poll(struct perf *p, struct err *e)
{
	struct epoll_event in = { .events = EPOLLIN };
	const struct itimerspec tick = {
		.it_value = { 0, 1 },
		.it_interval = { 0, PERF_TICK_MS * (long)NS_PER_MS },
	};

	p->poll_fd = epoll_create1(EPOLL_CLOEXEC);
	p->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	p->rest_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (p->poll_fd < 0 || p->timer_fd < 0 || p->rest_fd < 0 ||
	    epoll_ctl(p->poll_fd, EPOLL_CTL_ADD, p->timer_fd, &in) < 0 ||
	    epoll_ctl(p->poll_fd, EPOLL_CTL_ADD, p->rest_fd, &in) < 0 ||
	    timerfd_settime(p->timer_fd, 0, &tick, NULL) < 0)
		return err_os(e, "poll cilium's perf buffers");
	return ERR_OK;
}

/* A map that is there has to be one that can be read: what is wrong now will not mend itself. */
static enum err_code check_map(const struct perf *p, struct err *e)
{
	AUTO(perf_ring_free) struct perf_ring *ring = NULL;
	struct bpf_map_info info;
	int fd;
	enum err_code code = get_map(p, &fd, &info, e);

	if (code == ERR_OK)
		(void)close(fd);
	else if (code != ERR_NOT_FOUND)
		return code;
	return perf_ring_new(sched_getcpu(), &ring, e);
}

enum err_code source_cilium_perf_new(const struct source_cilium_perf_config *config,
				     struct source **ret, struct err *e)
{
	struct err own;
	struct perf *p = calloc(1, sizeof *p);

	e = e ? e : &own;
	if (!p)
		return err_set(e, ERR_NOMEM, "cilium's perf buffers");
	p->source.ops = &perf_ops;
	p->poll_fd = p->timer_fd = p->rest_fd = p->map_fd = -1;
	p->look_ns = config->look_ns ? config->look_ns : PERF_LOOK_MS * NS_PER_MS;
	AUTO(source_free) struct source *guard = &p->source;
	if (copy_path(p->path, config->path, e) != ERR_OK ||
	    copy_path(p->online_path,
		      config->online_path ? config->online_path : "/sys/devices/system/cpu/online",
		      e) != ERR_OK ||
	    check_map(p, e) != ERR_OK || open_poll(p, e) != ERR_OK)
		return e->code;
	*ret = TAKE(guard);
	return ERR_OK;
}
