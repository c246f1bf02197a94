/* observer/cilium: Cilium's perf event array, written by a BPF program in a real kernel. */
#include <bpf/bpf.h>
#include <dirent.h>
#include <errno.h>
#include <linux/perf_event.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/sysinfo.h>

#include <cmocka.h>

#include "base/buf.h"
#include "flow/wire.h"
#include "observer/cilium/perf.h"
#include "observer/cilium/perf_ring.h"
#include "perf_emitter.h"
#include "recorded.h"

enum { PATIENCE_MS = 20000, KEEP = 4096 };

struct taken {
	struct raw_sink sink; /* first */
	struct buf bytes;     /* of all samples */
	size_t count;
	struct {
		size_t at, len;
		int cpu;
		uint64_t time;
	} samples[KEEP];
	uint64_t lost[2]; /* by CPU */
	size_t connected, gaps;
};

static void take(struct raw_sink *sink, const struct raw_event *ev)
{
	struct taken *t = (struct taken *)sink;
	struct str unknown, type = STR("");

	switch (ev->kind) {
	case RAW_CILIUM:
		if (t->count < KEEP) {
			t->samples[t->count].at = t->bytes.len;
			t->samples[t->count].len = ev->packet.len;
			t->samples[t->count].cpu = ev->cpu;
			t->samples[t->count].time = ev->mono.v;
			buf_str_put(&t->bytes, ev->packet);
		}
		t->count++;
		break;
	case RAW_LOST:
		assert_in_range(ev->cpu, 0, 1);
		t->lost[ev->cpu] += ev->lost;
		break;
	case RAW_AGENT:
		assert_true(wire_find(ev->packet, 100, &unknown) && wire_find(unknown, 1, &type));
		t->connected += str_is(type, "cilium-connected");
		break;
	case RAW_LOST_MESSAGE:
		t->gaps++;
		break;
	default:
		fail_msg("an event of kind %d", ev->kind);
	}
}

static void taken_done(struct taken *t)
{
	buf_done(&t->bytes);
}
#define AUTO_TAKEN __attribute__((cleanup(taken_done))) struct taken
#define TAKEN ((struct taken){ .sink.event = take, .bytes = buf_init(64 << 20) })

static struct source *open_source(const struct perf_emitter *em, const char *online)
{
	const struct source_cilium_perf_config config = { .path = em->path,
							  .online_path = online,
							  .look_ns = 1 };
	struct source *s;
	struct err e;

	if (source_cilium_perf_new(&config, &s, &e) != ERR_OK)
		fail_msg("%s", e.msg);
	return s;
}

static size_t drain_some(struct source *s, struct taken *t, size_t max)
{
	struct pollfd fd = { .fd = source_fd(s), .events = POLLIN };

	if (poll(&fd, 1, PATIENCE_MS) != 1)
		fail_msg("the source has nothing to do");
	return source_drain(s, &t->sink, max);
}

static void drain_until_opened(struct source *s, struct taken *t, uint64_t times)
{
	while (source_cilium_perf_counts(s).opens < times)
		(void)drain_some(s, t, 64);
}

static void drain_until(struct source *s, struct taken *t, size_t count)
{
	while (t->count < count)
		(void)drain_some(s, t, 4096);
}

static struct str sample(const struct taken *t, size_t i)
{
	return str_n(t->bytes.p + t->samples[i].at, t->samples[i].len);
}

static bool has_two_cpus(void)
{
	return get_nprocs() >= 2;
}

/* --- recorded events ---------------------------------------------------------------------- */

/* The next sample of the datapath; L7 records and notifications never come this way. */
static bool next_sample(struct str *rest, struct buf *ret)
{
	struct str line, id, kind, hex;

	while (str_split(rest, '\n', &line) && line.len) {
		assert_true(str_split(&line, '\t', &id) && str_split(&line, '\t', &kind) &&
			    str_split(&line, '\t', &hex));
		if (str_is(kind, "l7") || str_is(kind, "agent") || str_is(kind, "lost") ||
		    str_is(kind, "kind") || hex.len / 2 > EMITTER_BYTES_MAX)
			continue;
		buf_reset(ret);
		for (size_t i = 0; i + 1 < hex.len; i += 2) {
			char digits[3] = { hex.p[i], hex.p[i + 1], 0 };
			buf_char(ret, (char)strtoul(digits, NULL, 16));
		}
		return true;
	}
	return false;
}

static int cpu_of(size_t i)
{
	return has_two_cpus() ? (int)(i % 2) : 0;
}

/* Emits @rest's next @max samples, of which the first is number @i. @return the number of the one
 * after them. */
static size_t emit_some(const struct perf_emitter *em, struct str *rest, size_t i, size_t max)
{
	AUTO_BUF struct buf bytes = buf_init(4096);
	size_t end = i + max;

	for (; i < end && next_sample(rest, &bytes); i++)
		assert_int_equal(perf_emit(em, cpu_of(i), buf_str(&bytes), 1), 0);
	return i;
}

static void assert_came_as_they_went(const struct taken *t)
{
	AUTO_BUF struct buf all = recorded_read("golden/events/events.tsv"), bytes = buf_init(4096);
	struct str rest = buf_str(&all);

	for (size_t i = 0; next_sample(&rest, &bytes); i++) {
		struct str got = sample(t, i);
		assert_int_equal(t->samples[i].cpu, cpu_of(i));
		/* perf pads samples, so that with the 4 bytes of their length they end on 8 */
		assert_int_equal(got.len, (bytes.len + 4 + 7) / 8 * 8 - 4);
		assert_memory_equal(got.p, bytes.p, bytes.len);
	}
}

static void recorded_samples_come_out_as_they_went_in_on_all_cpus(void **state)
{
	(void)state;
	AUTO_EMITTER em = perf_emitter_open();
	AUTO_TAKEN t = TAKEN;
	AUTO_BUF struct buf all = recorded_read("golden/events/events.tsv");
	AUTO(source_free) struct source *s = open_source(&em, NULL);
	struct str rest = buf_str(&all);
	size_t n = 0;

	drain_until_opened(s, &t, 1);
	/* as many at once as fit into the rings for sure */
	for (size_t first = 0; (n = emit_some(&em, &rest, first, 400)) > first; first = n)
		drain_until(s, &t, n);
	assert_int_equal(t.count, n);
	assert_came_as_they_went(&t);
	assert_in_range(n, 1500, KEEP);
	assert_int_equal(t.lost[0] + t.lost[1], 0);
	assert_int_equal(t.gaps, 0);
}

/* --- order, overflow ---------------------------------------------------------------------- */

static struct str number(uint32_t v, char tmp[100])
{
	memset(tmp, 0, 100);
	memcpy(tmp, &v, sizeof v);
	return str_n(tmp, 100);
}

static void samples_of_all_cpus_come_in_order_of_time(void **state)
{
	(void)state;
	AUTO_EMITTER em = perf_emitter_open();
	AUTO_TAKEN t = TAKEN;
	AUTO(source_free) struct source *s = open_source(&em, NULL);
	char tmp[100];

	drain_until_opened(s, &t, 1);
	/* far below the watermark: they come by the tick */
	for (uint32_t i = 0; i < 100; i++)
		assert_int_equal(
			perf_emit(&em, has_two_cpus() ? (int)(i / 3 % 2) : 0, number(i, tmp), 1),
			0);
	drain_until(s, &t, 100);
	for (uint32_t i = 0; i < 100; i++) {
		assert_memory_equal(sample(&t, i).p, &i, sizeof i);
		if (i)
			assert_true(t.samples[i].time >= t.samples[i - 1].time);
	}
}

static void what_a_full_ring_loses_is_counted_for_its_cpu(void **state)
{
	(void)state;
	AUTO_EMITTER em = perf_emitter_open();
	AUTO_TAKEN t = TAKEN;
	AUTO(source_free) struct source *s = open_source(&em, NULL);
	enum { FLOOD = 20000 };
	char tmp[100];

	drain_until_opened(s, &t, 1);
	assert_int_equal(perf_emit(&em, 0, number(1, tmp), FLOOD), -ENOSPC);
	/* The kernel tells of a loss with the next sample that finds room. */
	size_t fitted = 0;
	for (size_t n; (n = source_drain(s, &t.sink, 4096)) > 0;)
		fitted += n;
	assert_in_range(fitted, 1000, FLOOD - 1);
	assert_int_equal(perf_emit(&em, 0, number(2, tmp), 1), 0);
	while (!t.lost[0])
		(void)drain_some(s, &t, 4096);
	assert_int_equal(t.lost[0] + t.count, FLOOD + 1);
	assert_int_equal(source_cilium_perf_counts(s).lost, t.lost[0]);
	assert_int_equal(t.lost[1], 0);
	/* and the ring goes on as before, over its end too */
	for (int i = 0; i < 10; i++) {
		size_t before = t.count;
		assert_int_equal(perf_emit(&em, 0, number(3, tmp), 1000), 0);
		drain_until(s, &t, before + 1000);
		assert_int_equal(t.count, before + 1000);
	}
	assert_int_equal(t.lost[0] + t.count, FLOOD + 1 + 10000);
}

static void no_more_than_asked_for_is_handed_over_at_once(void **state)
{
	(void)state;
	AUTO_EMITTER em = perf_emitter_open();
	AUTO_TAKEN t = TAKEN;
	AUTO(source_free) struct source *s = open_source(&em, NULL);
	char tmp[100];

	drain_until_opened(s, &t, 1);
	assert_int_equal(perf_emit(&em, 0, number(1, tmp), 10), 0);
	for (size_t n = 0; n < 10; n += drain_some(s, &t, 3))
		assert_in_range(t.count, n, n);
	assert_int_equal(t.count, 10);
}

/* --- changes ------------------------------------------------------------------------------ */

static void a_map_that_is_pinned_anew_is_opened_with_a_gap(void **state)
{
	(void)state;
	AUTO_EMITTER em = perf_emitter_open();
	AUTO_TAKEN t = TAKEN;
	AUTO(source_free) struct source *s = open_source(&em, NULL);
	char tmp[100];

	drain_until_opened(s, &t, 1);
	assert_int_equal(perf_emit(&em, 0, number(1, tmp), 1), 0);
	perf_emitter_pin_anew(&em);
	drain_until_opened(s, &t, 2);
	assert_int_equal(t.count, 1); /* what was in the old one is not forgotten */
	assert_int_equal(perf_emit(&em, 0, number(2, tmp), 1), 0);
	drain_until(s, &t, 2);
	assert_int_equal(t.connected, 2);
	assert_int_equal(t.gaps, 1);
}

static void a_map_that_is_not_there_yet_is_waited_for(void **state)
{
	(void)state;
	AUTO_EMITTER em = perf_emitter_open();
	AUTO_TAKEN t = TAKEN;
	char tmp[100];

	assert_int_equal(unlink(em.path), 0);
	AUTO(source_free) struct source *s = open_source(&em, NULL);
	for (int i = 0; i < 3; i++)
		(void)drain_some(s, &t, 64);
	assert_int_equal(source_cilium_perf_counts(s).opens, 0);
	perf_emitter_pin(em.events_fd, em.path);
	drain_until_opened(s, &t, 1);
	assert_int_equal(perf_emit(&em, 0, number(1, tmp), 1), 0);
	drain_until(s, &t, 1);
	assert_int_equal(t.gaps, 0);
}

static void a_source_that_ends_empties_its_own_slots_only(void **state)
{
	(void)state;
	AUTO_EMITTER em = perf_emitter_open();
	AUTO_TAKEN first = TAKEN;
	AUTO_TAKEN second = TAKEN;
	struct source *agent = open_source(&em, NULL);
	char tmp[100];

	drain_until_opened(agent, &first, 1);
	/* another reader takes the slots; the first falls silent and ends */
	AUTO(source_free) struct source *taker = open_source(&em, NULL);
	drain_until_opened(taker, &second, 1);
	source_free(agent);
	assert_int_equal(perf_emit(&em, 0, number(1, tmp), 1), 0);
	drain_until(taker, &second, 1);
	assert_int_equal(first.count, 0);
	/* the last one out leaves empty slots */
	source_free(TAKE(taker));
	assert_int_equal(perf_emit(&em, 0, number(1, tmp), 1), -ENOENT);
}

static void slots_that_an_agent_took_back_are_taken_again(void **state)
{
	(void)state;
	AUTO_EMITTER em = perf_emitter_open();
	AUTO_TAKEN t = TAKEN;
	AUTO(source_free) struct source *s = open_source(&em, NULL);
	AUTO(perf_ring_free) struct perf_ring *agent = NULL;
	const uint32_t cpu = 0;
	struct mono_ns time;
	char tmp[100];

	drain_until_opened(s, &t, 1);
	assert_int_equal(perf_ring_new(0, &agent, NULL), ERR_OK);
	int fd = perf_ring_fd(agent);
	assert_int_equal(bpf_map_update_elem(em.events_fd, &cpu, &fd, BPF_ANY), 0);
	assert_int_equal(perf_emit(&em, 0, number(1, tmp), 1), 0);
	perf_ring_look(agent);
	assert_true(perf_ring_peek(agent, &time)); /* it is the agent's now */
	/* the source's tick comes, it looks, and what follows is its own */
	for (size_t i = 0; !t.count && i < 1000; i++) {
		(void)drain_some(s, &t, 64);
		assert_int_equal(perf_emit(&em, 0, number(2, tmp), 1), 0);
	}
	assert_in_range(t.count, 1, 1000);
	assert_int_equal(t.gaps, 0);
}

static void write_text(const char *path, const char *text)
{
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	assert_true(fputs(text, f) >= 0);
	assert_int_equal(fclose(f), 0);
}

static void drain_until_cpus(struct source *s, struct taken *t, uint32_t cpus)
{
	while (source_cilium_perf_counts(s).cpus != cpus)
		(void)drain_some(s, t, 64);
}

static void cpus_that_come_and_go_get_and_lose_their_buffers(void **state)
{
	(void)state;
	AUTO_EMITTER em = perf_emitter_open();
	AUTO_TAKEN t = TAKEN;
	char online[96], tmp[100];

	if (!has_two_cpus())
		fail_msg("this test needs two CPUs");
	(void)snprintf(online, sizeof online, "%s.online", em.dir);
	write_text(online, "0\n");
	AUTO(source_free) struct source *s = open_source(&em, online);
	drain_until_opened(s, &t, 1);
	drain_until_cpus(s, &t, 1);
	assert_int_equal(perf_emit(&em, 1, number(1, tmp), 1), -ENOENT);
	write_text(online, "0-1\n");
	drain_until_cpus(s, &t, 2);
	assert_int_equal(perf_emit(&em, 1, number(2, tmp), 1), 0);
	write_text(online, "0,5000\n");
	drain_until_cpus(s, &t, 1);
	assert_int_equal(t.count, 1); /* what the CPU left behind */
	assert_int_equal(t.gaps, 1);  /* until it had a buffer */
	assert_int_equal(t.samples[0].cpu, 1);
	/* the slot keeps an event that nobody reads: it is not ours to empty by hand */
	assert_true(perf_emit(&em, 1, number(3, tmp), 1) < 0);
	assert_int_equal(perf_emit(&em, 0, number(4, tmp), 1), 0);
	drain_until(s, &t, 2);
	(void)unlink(online);
}

/* What the kernel does to a perf event whose CPU is taken away: it stops counting for good. */
static void stop_events_of_this_process(void)
{
	DIR *fds = opendir("/proc/self/fd");
	char link[64];
	int stopped = 0;

	assert_non_null(fds);
	for (struct dirent *d; (d = readdir(fds));) {
		ssize_t n = readlinkat(dirfd(fds), d->d_name, link, sizeof link - 1);
		if (n <= 0)
			continue;
		link[n] = 0;
		if (strcmp(link, "anon_inode:[perf_event]") == 0) {
			assert_int_equal(ioctl(atoi(d->d_name), PERF_EVENT_IOC_DISABLE, 0), 0);
			stopped++;
		}
	}
	(void)closedir(fds);
	assert_int_equal(stopped, get_nprocs());
}

static void a_buffer_that_the_kernel_let_go_of_is_opened_anew_with_a_gap(void **state)
{
	(void)state;
	AUTO_EMITTER em = perf_emitter_open();
	AUTO_TAKEN t = TAKEN;
	AUTO(source_free) struct source *s = open_source(&em, NULL);
	char tmp[100];

	drain_until_opened(s, &t, 1);
	assert_int_equal(perf_emit(&em, 0, number(1, tmp), 1), 0);
	stop_events_of_this_process();
	assert_true(perf_emit(&em, 0, number(2, tmp), 1) < 0);
	while (!t.gaps)
		(void)drain_some(s, &t, 64);
	assert_int_equal(t.count, 1); /* what it held before */
	assert_int_equal(perf_emit(&em, 0, number(3, tmp), 1), 0);
	drain_until(s, &t, 2);
	assert_int_equal(t.gaps, 1);
	assert_int_equal(t.connected, 1);
}

static void what_is_pinned_must_be_a_perf_event_array(void **state)
{
	(void)state;
	AUTO_EMITTER em = perf_emitter_open();
	struct source *s = NULL;
	char path[128];
	struct err e;

	(void)snprintf(path, sizeof path, "%s/other", em.dir);
	perf_emitter_pin(em.payload_fd, path);
	assert_int_equal(
		source_cilium_perf_new(&(struct source_cilium_perf_config){ .path = path }, &s, &e),
		ERR_INVALID);
	assert_non_null(strstr(e.msg, "no perf event array"));
	assert_int_equal(
		source_cilium_perf_new(&(struct source_cilium_perf_config){ .path = "" }, &s, &e),
		ERR_INVALID);
	assert_null(s);
	(void)unlink(path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(recorded_samples_come_out_as_they_went_in_on_all_cpus),
		cmocka_unit_test(samples_of_all_cpus_come_in_order_of_time),
		cmocka_unit_test(what_a_full_ring_loses_is_counted_for_its_cpu),
		cmocka_unit_test(no_more_than_asked_for_is_handed_over_at_once),
		cmocka_unit_test(a_map_that_is_pinned_anew_is_opened_with_a_gap),
		cmocka_unit_test(a_map_that_is_not_there_yet_is_waited_for),
		cmocka_unit_test(a_source_that_ends_empties_its_own_slots_only),
		cmocka_unit_test(slots_that_an_agent_took_back_are_taken_again),
		cmocka_unit_test(cpus_that_come_and_go_get_and_lose_their_buffers),
		cmocka_unit_test(a_buffer_that_the_kernel_let_go_of_is_opened_anew_with_a_gap),
		cmocka_unit_test(what_is_pinned_must_be_a_perf_event_array),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
