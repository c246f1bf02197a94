#include "observer/capture.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/random.h>

#include "base/counter.h"
#include "base/log.h"
#include "base/thread.h"

enum {
	MAX_SOURCES = 8,
	/* Per source and loop pass, so that a flood in one source does not starve the others. */
	DRAIN_EVENTS = 4096,
	/* The wall clock is compared at least this often. */
	LOOK_MS = 1000,
	/* At the stop: passes over a source for what it has left. 256 hold a million events, four
	 * times what a full table of connections can report; an endless flood does not hold up the
	 * stop. */
	LAST_PASSES = 256,
	/* Figures of the sources are no older. */
	FIGURES_MS = 900,
};

/* What other threads may ask about a source: the capture thread writes, nobody else. */
struct source_tally {
	_Atomic uint64_t events, lost;
	_Atomic size_t figure_count;
	_Atomic(const struct source_figure_kind *) kinds[SOURCE_FIGURES];
	_Atomic uint64_t figures[SOURCE_FIGURES];
};

struct capture {
	struct raw_sink sink; /* first: the sources hand this back */
	struct compose compose;
	struct flow_clock clock;
	struct mono_ns now; /* when this loop pass began */
	struct source *sources[MAX_SOURCES];
	size_t source_count;
	struct source_tally tallies[MAX_SOURCES];
	struct source_tally *draining; /* of the source that is being drained */
	struct mono_ns figures_at;     /* when sources were last asked for figures */
	_Atomic uint64_t seen_ns;      /* = now.v, for others */
	int stop_fd, ended_fd;
	pthread_t thread;
	bool running;
};

static size_t drain(struct capture *c, size_t i)
{
	c->draining = &c->tallies[i];
	return source_drain(c->sources[i], &c->sink, DRAIN_EVENTS);
}

static void ask_figures(struct capture *c)
{
	struct source_figure figures[SOURCE_FIGURES];

	for (size_t i = 0; i < c->source_count; i++) {
		struct source_tally *t = &c->tallies[i];
		if (!c->sources[i]->ops->figures)
			continue;
		size_t n = c->sources[i]->ops->figures(c->sources[i], figures);
		for (size_t j = 0; j < n; j++) {
			atomic_store_explicit(&t->kinds[j], figures[j].kind, memory_order_relaxed);
			atomic_store_explicit(&t->figures[j], figures[j].value,
					      memory_order_relaxed);
		}
		atomic_store_explicit(&t->figure_count, n, memory_order_release);
	}
	c->figures_at = c->now;
}

static void take_event(struct raw_sink *sink, const struct raw_event *ev)
{
	struct capture *c = (struct capture *)sink;

	counter_add(ev->kind == RAW_LOST ? &c->draining->lost : &c->draining->events,
		    ev->kind == RAW_LOST ? ev->lost : 1);
	compose_event(&c->compose, ev, c->now);
}

static void look_at_clocks(struct capture *c)
{
	c->now = mono_now();
	atomic_store_explicit(&c->seen_ns, c->now.v, memory_order_relaxed);
	if (c->now.v - c->figures_at.v >= FIGURES_MS * NS_PER_MS)
		ask_figures(c);
	uint64_t back_ns = flow_clock_look(&c->clock, c->now, wall_now());
	name_quiet(c->compose.names, flow_clock_wall(&c->clock, c->now));
	if (c->compose.policies)
		policy_quiet(c->compose.policies);
	if (back_ns)
		log_warn(
			"wall clock was set back; flow times run at half speed until it catches up",
			"step_ms=%llu", (unsigned long long)(back_ns / NS_PER_MS));
}

/* True when there are sources that come to an end (replays), and all of them have. */
static bool replays_ended(const struct capture *c)
{
	bool any = false;

	for (size_t i = 0; i < c->source_count; i++) {
		if (!c->sources[i]->ops->ended)
			continue;
		if (!source_ended(c->sources[i]))
			return false;
		any = true;
	}
	return any;
}

static void tell_ended(struct capture *c)
{
	uint64_t one = 1;

	if (c->ended_fd >= 0)
		(void)!write(c->ended_fd, &one, sizeof one); /* an eventfd cannot be full at 1 */
	c->ended_fd = -1;
}

/* What the sources hold back until its time has come, and what lies in their queues. A replay is
 * stopped where it is: the rest of the file is nothing that has happened. */
static void take_last(struct capture *c)
{
	look_at_clocks(c);
	for (size_t i = 0; i < c->source_count; i++) {
		struct source *s = c->sources[i];
		bool more = source_flush(s);

		if (s->ops->ended)
			continue;
		for (int pass = 0; pass < LAST_PASSES; pass++) {
			if (drain(c, i) > 0)
				continue;
			if (!more)
				break;
			more = source_flush(s);
		}
	}
}

static void *capture_main(void *arg)
{
	struct capture *c = arg;
	struct pollfd fds[MAX_SOURCES + 1];

	for (;;) {
		nfds_t n = 0;
		fds[n++] = (struct pollfd){ .fd = c->stop_fd, .events = POLLIN };
		for (size_t i = 0; i < c->source_count; i++)
			fds[n++] = (struct pollfd){
				.fd = source_ended(c->sources[i]) ? -1 : source_fd(c->sources[i]),
				.events = POLLIN,
			};
		if (poll(fds, n, LOOK_MS) < 0 && errno != EINTR) {
			log_error("capture stops: poll failed", "errno=%d", errno);
			return NULL;
		}
		if (fds[0].revents) {
			take_last(c);
			return NULL;
		}
		look_at_clocks(c);
		for (size_t i = 0; i < c->source_count; i++)
			if (fds[i + 1].revents)
				(void)drain(c, i);
		if (replays_ended(c))
			tell_ended(c);
	}
}

enum err_code capture_new(const struct capture_config *config, struct capture **ret, struct err *e)
{
	if (config->source_count > MAX_SOURCES)
		return err_set(e, ERR_INVALID, "more than %d sources", MAX_SOURCES);
	AUTO(capture_free) struct capture *c = calloc(1, sizeof *c);
	if (!c)
		return err_set(e, ERR_NOMEM, "capture");
	c->ended_fd = config->ended_fd;
	c->sink.event = take_event;
	c->clock = flow_clock_of(mono_now(), wall_now());
	c->now = mono_now();
	atomic_init(&c->seen_ns, c->now.v);
	uint64_t seed[2];
	if (getrandom(seed, sizeof seed, 0) != sizeof seed) {
		c->stop_fd = -1;
		return err_os(e, "random seed");
	}
	compose_init(&c->compose, config->log, config->dict, config->names, &c->clock, seed);
	c->compose.cilium = config->cilium;
	c->compose.policies = config->policies;
	c->compose.agent_policies = config->agent_policies;
	c->compose.agent = config->agent;
	c->stop_fd = eventfd(0, EFD_CLOEXEC);
	if (c->stop_fd < 0)
		return err_os(e, "capture eventfd");
	memcpy(c->sources, config->sources, config->source_count * sizeof *c->sources);
	c->source_count = config->source_count;
	enum err_code code = thread_start("tycho-capture", capture_main, c, &c->thread, e);
	if (code != ERR_OK) {
		c->source_count = 0; /* still the caller's */
		return code;
	}
	c->running = true;
	*ret = TAKE(c);
	return ERR_OK;
}

void capture_free(struct capture *c)
{
	if (!c)
		return;
	if (c->running) {
		uint64_t one = 1;
		(void)!write(c->stop_fd, &one, sizeof one);
		(void)pthread_join(c->thread, NULL);
	}
	for (size_t i = 0; i < c->source_count; i++)
		source_free(c->sources[i]);
	if (c->stop_fd >= 0)
		(void)close(c->stop_fd);
	free(c);
}

const struct policy_table *capture_policies(const struct capture *c)
{
	return c->compose.policies;
}

struct compose_counts capture_counts(const struct capture *c)
{
	return compose_counts(&c->compose);
}

uint64_t capture_lost_of(const struct capture *c, uint32_t cpu)
{
	return compose_lost_of(&c->compose, cpu);
}

struct mono_ns capture_seen(const struct capture *c)
{
	return (struct mono_ns){ counter_get(&c->seen_ns) };
}

bool capture_source(const struct capture *c, size_t i, struct capture_source *ret)
{
	if (i >= c->source_count)
		return false;
	const struct source_tally *t = &c->tallies[i];
	*ret = (struct capture_source){
		.name = c->sources[i]->ops->name,
		.events = counter_get(&t->events),
		.lost = counter_get(&t->lost),
		.figure_count = atomic_load_explicit(&t->figure_count, memory_order_acquire),
	};
	for (size_t j = 0; j < ret->figure_count; j++)
		ret->figures[j] = (struct source_figure){
			atomic_load_explicit(&t->kinds[j], memory_order_relaxed),
			counter_get(&t->figures[j]),
		};
	return true;
}
