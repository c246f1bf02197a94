#include "observer/source/bpf.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/capability.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>

#include "bpf/drop.skel.h"
#include "bpf/event.h"
#include "bpf/point.h"
#include "bpf/quiet.h"
#include "bpf/trace.skel.h"
#include "observer/source/hooks.h"
#include "observer/source/libbpf_log.h"
#include "observer/source/links.h"
#include "observer/source/reasons.h"
#include "observer/source/ring.h"
#include "observer/source/scope.h"

/*
 * One pollable descriptor for everything. The rings are watched by edge: readable when the kernel
 * woke us, not whenever a record lies there, so that records gather and one pass takes many.
 *
 *	ring `verdicts` ──┐
 *	ring `traces` ────┤
 *	netlink ──────────┼─► epoll
 *	timer, 50 ms ─────┘ what gathered without a wake-up; lost counters; the sweep
 *
 * The sweep of a large table is walked in slices, one a tick, so that no drain is long.
 */
enum { WATCH_RING, WATCH_TIMER, WATCH_LINKS };

enum { RING_VERDICTS, RING_TRACES, RING_COUNT };

static const uint64_t tick_ns = 50 * NS_PER_MS;
static const uint64_t slice_ns = 2 * NS_PER_MS;

struct attached {
	struct link link;
	struct hooks hooks; /* none: it was refused; not tried again until the interface changes */
};

struct source_bpf {
	struct source base;
	struct trace_bpf *trace;       /* NULL: not wanted */
	struct drop_bpf *drop;         /* NULL: not wanted */
	struct ring rings[RING_COUNT]; /* zero: not wanted */
	struct reasons *reasons;
	struct links *links;
	struct scope *scope; /* NULL: drops are told wherever they happen */
	struct choice *choice;
	struct attached *attached; /* own; by ifindex */
	size_t attached_count;
	int epoll_fd, timer_fd, lock_fd;
	uint32_t netns; /* the network namespace we are in, by inode */
	bool by_clsact;
	uint64_t interval_ns;
	struct mono_ns sweep_at;
	int sweep_fd;          /* -1: none is under way */
	bool flushing;         /* that sweep is a flush */
	uint64_t sweep_begun;  /* connections begun when it started */
	uint64_t sweep_passed; /* connections it has looked at */
	uint64_t pushed_out;   /* connections, since start; at least */
	bool rush;             /* the timer is set to go off at once: records were left behind */
	int cpus;
	uint64_t *per_cpu;         /* own; scratch for reading a per-CPU counter */
	uint64_t lost[RING_COUNT]; /* since start */
	uint64_t lost_told[RING_COUNT];
	/* during a drain */
	struct raw_sink *sink;
	size_t room; /* events the caller still takes */
};

static struct source_bpf *bpf_of(struct source *s)
{
	return (struct source_bpf *)(void *)s;
}

/* --- events ---------------------------------------------------------------------------------- */

static const char *name_of(const struct source_bpf *s, uint32_t ifindex)
{
	for (size_t i = 0; i < s->attached_count; i++)
		if (s->attached[i].link.ifindex == ifindex)
			return s->attached[i].link.name;
	return "";
}

static void tell(struct source_bpf *s, const struct bpf_event *ev)
{
	char scratch[REASON_NAME_BYTES];
	struct raw_event raw = {
		.mono = { ev->mono_ns },
		.packet = { (const char *)(ev + 1), ev->cap_bytes },
		.packet_bytes = ev->packet_bytes,
		.packets = ev->packets,
		.bytes = ev->bytes,
		.ifindex = ev->ifindex,
		.ifname = ev->ifname,
		.netns = ev->netns,
		.ethertype = ev->protocol,
		.l3 = ev->flags & BPF_EVENT_L3,
		.cause = ev->cause,
		.cpu = ev->cpu,
	};

	if (ev->kind == BPF_EVENT_TRACE) {
		raw.kind = RAW_TRACE;
		raw.reply_known = ev->flags & BPF_EVENT_REPLY_KNOWN;
		raw.reply = ev->flags & BPF_EVENT_REPLY;
		raw.endpoint_side = ev->flags & BPF_EVENT_PEER_NETNS;
		raw.direction = ev->flags & BPF_EVENT_INGRESS ? RAW_DIR_INGRESS : RAW_DIR_EGRESS;
	} else {
		raw.kind = RAW_DROP;
		raw.kernel_reason = reasons_name(s->reasons, ev->drop_reason, scratch);
		if (!ev->ifname[0] && ev->ifindex && ev->netns == s->netns)
			raw.ifname = name_of(s, ev->ifindex);
	}
	s->sink->event(s->sink, &raw);
	s->room--;
}

/* Hands over what both rings hold, in order of time, while there is room. What is later than the
 * first look stays: it could be handed over before something that the other ring got meanwhile.
 * But drops do not wait behind traces once their own ring fills: a flood of traces must never push
 * a drop out. */
static void tell_rings(struct source_bpf *s)
{
	struct ring *drops = &s->rings[RING_VERDICTS], *traces = &s->rings[RING_TRACES];
	bool drops_first = ring_used(drops) > drops->bytes / 4;
	uint64_t until_ns = mono_now().v;

	ring_look(drops);
	ring_look(traces);
	while (s->room) {
		const struct bpf_event *drop = ring_peek(drops), *trace = ring_peek(traces);

		if (drop && (!trace || drops_first || drop->mono_ns < trace->mono_ns)) {
			if (drop->mono_ns > until_ns)
				break;
			tell(s, drop);
			ring_take(drops);
		} else {
			if (!trace || trace->mono_ns > until_ns)
				break;
			tell(s, trace);
			ring_take(traces);
		}
	}
	ring_release(drops);
	ring_release(traces);
}

static uint64_t read_counter(struct source_bpf *s, const struct bpf_map *map)
{
	uint32_t zero = 0;
	uint64_t sum = 0;

	if (bpf_map_lookup_elem(bpf_map__fd(map), &zero, s->per_cpu) == 0)
		for (int i = 0; i < s->cpus; i++)
			sum += s->per_cpu[i];
	return sum;
}

static void tell_lost(struct source_bpf *s)
{
	for (int i = 0; i < RING_COUNT && s->room; i++) {
		struct raw_event raw = { .kind = RAW_LOST,
					 .lost = s->lost[i] - s->lost_told[i],
					 .cpu = -1 };

		if (!raw.lost)
			continue;
		s->lost_told[i] = s->lost[i];
		s->sink->event(s->sink, &raw);
		s->room--;
	}
}

/* --- the sweep ------------------------------------------------------------------------------- */

static void sweep_end(struct source_bpf *s)
{
	if (s->sweep_fd >= 0)
		(void)close(s->sweep_fd);
	s->sweep_fd = -1;
	s->flushing = false;
}

/* @silent_ns: how long a connection was not reported; 0: all with unreported counts. */
static void sweep_start(struct source_bpf *s, uint64_t silent_ns)
{
	sweep_end(s);
	s->sweep_begun = read_counter(s, s->trace->maps.begun);
	s->sweep_passed = 0;
	s->trace->bss->sweep_silent_ns = silent_ns;
	/* Without memory it is left to the next time: nothing is lost, only told later. */
	s->sweep_fd = bpf_iter_create(bpf_link__fd(s->trace->links.tycho_sweep));
}

/* Goes on for @budget_ns, or until the ring is full. */
static void sweep_on(struct source_bpf *s, uint64_t budget_ns)
{
	uint64_t start_ns = mono_now().v;
	char passed[1024]; /* a byte for each connection; what it says does not matter */

	while (s->sweep_fd >= 0) {
		ssize_t n = read(s->sweep_fd, passed, sizeof passed);

		if (n > 0) {
			s->sweep_passed += (uint64_t)n;
			if (mono_now().v - start_ns >= budget_ns)
				return;
		} else if (n < 0 && errno == EAGAIN) {
			return;
		} else {
			/* Neither there any more nor taken out by us: the kernel needed the room.
			 * What came and went meanwhile makes it less, never more. */
			uint64_t known = s->sweep_passed + s->trace->bss->swept;

			if (s->sweep_begun > known && s->sweep_begun - known > s->pushed_out)
				s->pushed_out = s->sweep_begun - known;
			sweep_end(s);
		}
	}
}

static void set_timer(struct source_bpf *s, bool rush)
{
	struct itimerspec every = { .it_interval.tv_nsec = (long)tick_ns,
				    .it_value.tv_nsec = rush ? 1 : (long)tick_ns };

	(void)timerfd_settime(s->timer_fd, 0, &every, NULL);
	s->rush = rush;
}

static void follow_scope(struct source_bpf *s, struct mono_ns now)
{
	size_t n;
	const struct link *list = links_list(s->links, &n);

	scope_follow(s->scope, list, n, now);
}

static void on_tick(struct source_bpf *s)
{
	struct mono_ns now = mono_now();
	uint64_t expirations;

	(void)!read(s->timer_fd, &expirations, sizeof expirations);
	s->rush = false;
	if (s->drop)
		s->lost[RING_VERDICTS] = s->drop->bss->lost.records;
	if (s->scope && scope_is_due(s->scope, now))
		follow_scope(s, now);
	if (!s->trace)
		return;
	s->lost[RING_TRACES] = s->trace->bss->lost.records;
	if (s->sweep_fd < 0 && now.v >= s->sweep_at.v) {
		s->sweep_at.v = now.v + s->interval_ns;
		sweep_start(s, s->interval_ns);
	}
	sweep_on(s, slice_ns);
}

/* --- interfaces ------------------------------------------------------------------------------ */

static enum err_code attach(struct source_bpf *s, struct attached *a, struct err *e)
{
	const struct link *link = &a->link;
	struct point point = { .peer_netns = link->peer_netns };
	const struct bpf_program *in =
		link->l3 ? s->trace->progs.tycho_in_l3 : s->trace->progs.tycho_in;
	const struct bpf_program *out =
		link->l3 ? s->trace->progs.tycho_out_l3 : s->trace->progs.tycho_out;

	memcpy(point.name, link->name, sizeof point.name);
	/* Before the first packet needs it. A full table costs a name, no event. */
	(void)bpf_map_update_elem(bpf_map__fd(s->trace->maps.points), &link->ifindex, &point,
				  BPF_ANY);
	if (a->hooks.by != HOOKS_NONE)
		return ERR_OK;
	return hooks_attach(link->ifindex, bpf_program__fd(in), bpf_program__fd(out), s->by_clsact,
			    &a->hooks, e) == ERR_OK
		       ? ERR_OK
		       : err_in(e, "interface '%s'", link->name);
}

/* @gone: the kernel has removed the interface, and all that was on it. */
static void detach(struct source_bpf *s, struct attached *a, bool gone)
{
	hooks_detach(a->link.ifindex, &a->hooks, gone);
	(void)bpf_map_delete_elem(bpf_map__fd(s->trace->maps.points), &a->link.ifindex);
}

static bool same_link(const struct link *a, const struct link *b)
{
	return a->peer_netns == b->peer_netns && a->l3 == b->l3 && strcmp(a->name, b->name) == 0;
}

/* At the start. Gone meanwhile is no error, and a hook that something else holds only where
 * somebody asked for it. */
static bool is_fatal(const struct source_bpf *s, enum err_code code)
{
	return code != ERR_NOT_FOUND && (code != ERR_EXISTS || choice_is_explicit(s->choice));
}

/* Makes what is attached what is chosen: one pass over two lists in the same order. At the start
 * (@e not NULL) a refused hook can be an error; later it is counted, for there is nobody to tell.
 */
static enum err_code follow_links(struct source_bpf *s, struct err *e)
{
	size_t n, old = 0, kept = 0;
	const struct link *list = links_list(s->links, &n);
	struct attached *next = calloc(n + 1, sizeof *next);
	enum err_code code = ERR_OK;

	if (!next)
		return err_set(e, ERR_NOMEM, "interfaces");
	for (size_t i = 0; i < n; i++) {
		struct attached a = { .link = list[i] };
		bool changed = true, known;

		while (old < s->attached_count && s->attached[old].link.ifindex < list[i].ifindex)
			detach(s, &s->attached[old++], true);
		known = old < s->attached_count && s->attached[old].link.ifindex == list[i].ifindex;
		if (known) {
			a.hooks = s->attached[old].hooks;
			changed = !same_link(&a.link, &s->attached[old].link);
			old++;
		}
		if (!choice_holds(s->choice, &list[i]) || code != ERR_OK) {
			if (known)
				detach(s, &a, false);
			continue;
		}
		if (changed && attach(s, &a, e) != ERR_OK && e && is_fatal(s, e->code))
			code = e->code;
		next[kept++] = a;
	}
	while (old < s->attached_count)
		detach(s, &s->attached[old++], true);
	free(s->attached);
	s->attached = next;
	s->attached_count = kept;
	return code;
}

static void on_links(struct source_bpf *s)
{
	/* What fails here (no memory, a dump torn four times) is made up for by the next change. */
	if (!links_changed(s->links) || links_refresh(s->links, NULL) != ERR_OK)
		return;
	if (s->trace)
		(void)follow_links(s, NULL);
	if (s->scope)
		follow_scope(s, mono_now());
}

/* --- the source ------------------------------------------------------------------------------ */

static int bpf_fd(const struct source *base)
{
	return ((const struct source_bpf *)(const void *)base)->epoll_fd;
}

static size_t bpf_drain(struct source *base, struct raw_sink *sink, size_t max)
{
	struct source_bpf *s = bpf_of(base);
	struct epoll_event woken[RING_COUNT + 2];
	int n = epoll_wait(s->epoll_fd, woken, ARRAY_LEN(woken), 0);

	for (int i = 0; i < n; i++) {
		if (woken[i].data.u32 == WATCH_TIMER)
			on_tick(s);
		else if (woken[i].data.u32 == WATCH_LINKS)
			on_links(s);
	}
	if (!max)
		return 0;
	s->sink = sink;
	s->room = max;
	tell_lost(s);
	tell_rings(s);
	if (!s->room && !s->rush)
		set_timer(s, true); /* the edge is spent, but records may be left */
	return max - s->room;
}

static void bpf_free(struct source *base)
{
	struct source_bpf *s = bpf_of(base);

	if (s->trace)
		for (size_t i = 0; i < s->attached_count; i++)
			detach(s, &s->attached[i], false);
	free(s->attached);
	for (size_t i = 0; i < RING_COUNT; i++)
		ring_unmap(&s->rings[i]);
	sweep_end(s);
	scope_free(s->scope);
	drop_bpf__destroy(s->drop);
	trace_bpf__destroy(s->trace);
	choice_free(s->choice);
	links_free(s->links);
	reasons_free(s->reasons);
	free(s->per_cpu);
	for (size_t i = 0; i < 3; i++) {
		int fd = (const int[]){ s->epoll_fd, s->timer_fd, s->lock_fd }[i];

		if (fd >= 0)
			(void)close(fd);
	}
	free(s);
}

struct source_bpf_stats source_bpf_stats(const struct source *base)
{
	const struct source_bpf *s = (const struct source_bpf *)(const void *)base;
	struct source_bpf_stats stats = {
		.lost_traces = s->lost[RING_TRACES],
		.lost_verdicts = s->lost[RING_VERDICTS],
		.pushed_out = s->pushed_out,
	};

	for (size_t i = 0; i < s->attached_count; i++) {
		stats.interfaces += s->attached[i].hooks.by != HOOKS_NONE;
		stats.refused += s->attached[i].hooks.by == HOOKS_NONE;
	}
	return stats;
}

bool source_bpf_flush(struct source *base)
{
	struct source_bpf *s = bpf_of(base);

	if (!s->trace)
		return false;
	if (!s->flushing)
		sweep_start(s, 0);
	s->flushing = s->sweep_fd >= 0;
	sweep_on(s, UINT64_MAX);
	return s->flushing;
}

static size_t bpf_figures(const struct source *base, struct source_figure out[SOURCE_FIGURES])
{
	static const struct source_figure_kind kinds[] = {
		{ "lost_traces_total", "Trace events that the kernel's ring had no room for",
		  true },
		{ "lost_verdicts_total",
		  "Drop and verdict events that the kernel's ring had no room for", true },
		{ "connections_pushed_out_total",
		  "Connections that a full table forgot, with what they had not told yet", true },
		{ "interfaces", "Interfaces watched", false },
		{ "interfaces_refused",
		  "Interfaces chosen but not watched: something else holds the hook", false },
		{ "trace_ring_used_bytes", "Fill of the kernel's ring of traces", false },
		{ "trace_ring_size_bytes", "Size of the kernel's ring of traces", false },
		{ "verdict_ring_used_bytes", "Fill of the kernel's ring of drops and verdicts",
		  false },
		{ "verdict_ring_size_bytes", "Size of the kernel's ring of drops and verdicts",
		  false },
	};
	const struct source_bpf *s = (const struct source_bpf *)(const void *)base;
	struct source_bpf_stats stats = source_bpf_stats(base);
	const uint64_t values[] = {
		stats.lost_traces,
		stats.lost_verdicts,
		stats.pushed_out,
		stats.interfaces,
		stats.refused,
		ring_used(&s->rings[RING_TRACES]),
		s->rings[RING_TRACES].bytes,
		ring_used(&s->rings[RING_VERDICTS]),
		s->rings[RING_VERDICTS].bytes,
	};
	_Static_assert(ARRAY_LEN(values) == ARRAY_LEN(kinds), "a figure without a name");
	_Static_assert(ARRAY_LEN(values) <= SOURCE_FIGURES, "more figures than there is room for");

	for (size_t i = 0; i < ARRAY_LEN(values); i++)
		out[i] = (struct source_figure){ &kinds[i], values[i] };
	return ARRAY_LEN(values);
}

static const struct source_ops bpf_ops = {
	.name = "bpf",
	.fd = bpf_fd,
	.drain = bpf_drain,
	.flush = source_bpf_flush,
	.figures = bpf_figures,
	.free = bpf_free,
};

/* --- start ----------------------------------------------------------------------------------- */

/* Names what is missing before the kernel says no in a less helpful way. A kernel that lacks a
 * capability in spite of this (a seccomp profile, a user namespace, a lockdown) is told by
 * load_error. */
static enum err_code check_rights(struct err *e)
{
	static const struct {
		const char *name;
		unsigned bit;
		bool admin_has; /* CAP_SYS_ADMIN stands in */
	} needed[] = {
		{ "CAP_BPF", CAP_BPF, true },
		{ "CAP_PERFMON", CAP_PERFMON, true },
		{ "CAP_NET_ADMIN", CAP_NET_ADMIN, false },
	};
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct caps[2] = { 0 };
	char missing[64] = "";
	uint64_t have;

	if (syscall(SYS_capget, &header, caps) != 0)
		return err_os(e, "capget");
	have = (uint64_t)caps[1].effective << 32 | caps[0].effective;
	for (size_t i = 0; i < ARRAY_LEN(needed); i++) {
		if (have >> needed[i].bit & 1 || (needed[i].admin_has && have >> CAP_SYS_ADMIN & 1))
			continue;
		(void)snprintf(missing + strlen(missing), sizeof missing - strlen(missing), "%s%s",
			       missing[0] ? ", " : "", needed[i].name);
	}
	if (missing[0])
		return err_set(e, ERR_PERMISSION,
			       "BPF programs need %s: run with sudo, or grant the capabilities",
			       missing);
	return ERR_OK;
}

static enum err_code load_error(int rc, const char *what, struct err *e)
{
	const char *words = libbpf_log_words();

	if (rc == -EPERM)
		return err_set(e, ERR_PERMISSION,
			       "BPF programs (%s) may not be loaded, though we have the "
			       "capabilities: a seccomp profile, a user namespace or lockdown is "
			       "in the way",
			       what);
	if (rc == -ENOMEM)
		return err_set(
			e, ERR_NOMEM,
			"no memory for BPF maps (%s): smaller rings or fewer connections may fit",
			what);
	return err_set(
		e, ERR_UNSUPPORTED,
		"this kernel refuses the %s programs (%s); Linux 5.17 with BTF is needed%s%s", what,
		strerror(-rc), *words ? ": " : "", words);
}

/* The ring's wake-up mark: an eighth of it, so that there is time to come, and no more than what is
 * read in one go. */
static uint64_t wakeup_mark(size_t ring_bytes)
{
	enum { GO_BYTES = 256 * 1024 };

	return ring_bytes / 8 < GO_BYTES ? ring_bytes / 8 : GO_BYTES;
}

static enum err_code load_trace(struct source_bpf *s, const struct source_bpf_config *config,
				struct err *e)
{
	size_t ring_bytes = config->trace_ring_bytes ? config->trace_ring_bytes : 4U << 20;
	DECLARE_LIBBPF_OPTS(bpf_iter_attach_opts, sweep);
	union bpf_iter_link_info over = { 0 };
	int rc;

	s->trace = trace_bpf__open();
	if (!s->trace)
		return load_error(-errno, "trace", e);
	s->trace->rodata->netns = s->netns;
	s->trace->rodata->interval_ns = s->interval_ns;
	s->trace->rodata->wakeup_bytes = wakeup_mark(ring_bytes);
	rc = bpf_map__set_max_entries(s->trace->maps.traces, (uint32_t)ring_bytes);
	if (!rc && config->connections)
		rc = bpf_map__set_max_entries(s->trace->maps.connections, config->connections);
	if (!rc)
		rc = trace_bpf__load(s->trace);
	if (rc)
		return load_error(rc, "trace", e);
	over.map.map_fd = (uint32_t)bpf_map__fd(s->trace->maps.connections);
	sweep.link_info = &over;
	sweep.link_info_len = sizeof over;
	s->trace->links.tycho_sweep = bpf_program__attach_iter(s->trace->progs.tycho_sweep, &sweep);
	return s->trace->links.tycho_sweep ? ERR_OK : load_error(-errno, "trace", e);
}

/* True if we are in the machine's first network namespace, from where all is in scope. */
static bool in_first_netns(const struct source_bpf *s)
{
	LIBBPF_OPTS(bpf_test_run_opts, opts);

	return bpf_prog_test_run_opts(bpf_program__fd(s->drop->progs.tycho_first_netns), &opts) ==
		       0 &&
	       opts.retval == s->netns;
}

static enum err_code load_drop(struct source_bpf *s, const struct source_bpf_config *config,
			       struct err *e)
{
	size_t ring_bytes = config->verdict_ring_bytes ? config->verdict_ring_bytes : 2U << 20;
	int rc;

	if (reasons_new(&s->reasons, e) != ERR_OK)
		return e ? e->code : ERR_UNSUPPORTED;
	s->drop = drop_bpf__open();
	if (!s->drop)
		return load_error(-errno, "drop", e);
	for (uint32_t i = 0; i < QUIET_REASONS; i++)
		s->drop->rodata->quiet[i] = reasons_quiet(s->reasons, i, config->noise);
	s->drop->rodata->has_rx_sk = reasons_tell_socket(s->reasons);
	s->drop->rodata->wakeup_bytes = wakeup_mark(ring_bytes);
	rc = bpf_map__set_max_entries(s->drop->maps.verdicts, (uint32_t)ring_bytes);
	if (!rc)
		rc = drop_bpf__load(s->drop);
	if (rc)
		return load_error(rc, "drop", e);
	if (config->drop_scope == BPF_SCOPE_MACHINE || in_first_netns(s))
		return ERR_OK;
	s->drop->bss->scoped = true;
	return scope_new(s->netns, bpf_map__fd(s->drop->maps.scope), &s->scope, e);
}

static enum err_code watch(struct source_bpf *s, int fd, uint32_t events, uint32_t what,
			   struct err *e)
{
	struct epoll_event ev = { .events = events, .data.u32 = what };

	return epoll_ctl(s->epoll_fd, EPOLL_CTL_ADD, fd, &ev) == 0 ? ERR_OK : err_os(e, "epoll");
}

static enum err_code open_ring(struct source_bpf *s, size_t which, const struct bpf_map *map,
			       struct err *e)
{
	int fd = bpf_map__fd(map);

	if (ring_map(fd, bpf_map__max_entries(map), &s->rings[which], e) != ERR_OK)
		return e->code;
	return watch(s, fd, EPOLLIN | EPOLLET, WATCH_RING, e);
}

static enum err_code open_links(struct source_bpf *s, struct err *e)
{
	if (links_open(s->scope != NULL, &s->links, e) != ERR_OK ||
	    links_refresh(s->links, e) != ERR_OK)
		return e->code;
	return watch(s, links_fd(s->links), EPOLLIN, WATCH_LINKS, e);
}

static enum err_code start_traces(struct source_bpf *s, const struct source_bpf_config *config,
				  struct err *e)
{
	const struct link *list;
	const char *missing;
	size_t n;

	if (hooks_lock(&s->lock_fd, e) != ERR_OK ||
	    choice_new(config->interfaces, config->interface_count, &s->choice, e) != ERR_OK)
		return e->code;
	list = links_list(s->links, &n);
	missing = choice_missing(s->choice, list, n);
	if (missing)
		return err_set(e, ERR_NOT_FOUND,
			       "there is no interface '%s' here: 'ip link' lists them", missing);
	if (load_trace(s, config, e) != ERR_OK ||
	    open_ring(s, RING_TRACES, s->trace->maps.traces, e) != ERR_OK)
		return e->code;
	for (size_t i = 0; i < n; i++)
		(void)hooks_clean(list[i].ifindex);
	return follow_links(s, e);
}

/* The program is attached last of all: that needs no undoing beyond the skeleton's own. */
static enum err_code start_drops(struct source_bpf *s, struct err *e)
{
	int rc;

	if (open_ring(s, RING_VERDICTS, s->drop->maps.verdicts, e) != ERR_OK)
		return e->code;
	if (s->scope)
		follow_scope(s, mono_now());
	rc = drop_bpf__attach(s->drop);
	return rc ? load_error(rc, "drop", e) : ERR_OK;
}

static bool is_ring_size(size_t bytes)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);

	return bytes == 0 || (bytes >= page && bytes <= 1U << 30 && (bytes & (bytes - 1)) == 0);
}

enum err_code source_bpf_new(const struct source_bpf_config *config, struct source **ret,
			     struct err *e)
{
	AUTO(source_free) struct source *guard = NULL;
	struct source_bpf *s;
	struct stat netns;
	struct err local;

	e = e ? e : &local;
	if (!config->traces && !config->drops)
		return err_set(e, ERR_INVALID, "neither traces nor drops are wanted");
	if (!is_ring_size(config->trace_ring_bytes) || !is_ring_size(config->verdict_ring_bytes))
		return err_set(e, ERR_INVALID, "a ring is a power of two, from a page to 1 GiB");
	if (check_rights(e) != ERR_OK)
		return e->code;
	s = calloc(1, sizeof *s);
	if (!s)
		return err_set(e, ERR_NOMEM, "bpf source");
	*s = (struct source_bpf){
		.base.ops = &bpf_ops,
		.epoll_fd = -1,
		.timer_fd = -1,
		.lock_fd = -1,
		.sweep_fd = -1,
		.by_clsact = config->by_clsact,
		.interval_ns = config->interval_ns ? config->interval_ns : 5 * NS_PER_S,
		.cpus = libbpf_num_possible_cpus(),
	};
	guard = &s->base;
	if (stat("/proc/thread-self/ns/net", &netns) != 0)
		return err_os(e, "find the network namespace");
	s->netns = (uint32_t)netns.st_ino;
	if (s->cpus < 1)
		return err_errno(e, s->cpus, "count the CPUs");
	s->per_cpu = calloc((size_t)s->cpus, sizeof *s->per_cpu);
	if (!s->per_cpu)
		return err_set(e, ERR_NOMEM, "bpf source");
	s->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	s->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (s->epoll_fd < 0 || s->timer_fd < 0)
		return err_os(e, "bpf source");
	libbpf_log_keep();
	if ((config->drops && load_drop(s, config, e) != ERR_OK) ||
	    ((config->traces || s->scope) && open_links(s, e) != ERR_OK) ||
	    (config->traces && start_traces(s, config, e) != ERR_OK) ||
	    (config->drops && start_drops(s, e) != ERR_OK) ||
	    watch(s, s->timer_fd, EPOLLIN, WATCH_TIMER, e) != ERR_OK)
		return e->code;
	s->sweep_at.v = mono_now().v + s->interval_ns;
	set_timer(s, false);
	*ret = TAKE(guard);
	return ERR_OK;
}
