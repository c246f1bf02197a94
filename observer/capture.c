#include "observer/capture.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/random.h>

#include "base/log.h"

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
};

struct capture {
	struct raw_sink sink; /* first: the sources hand this back */
	struct compose compose;
	struct flow_clock clock;
	struct mono_ns now; /* when this loop pass began */
	struct source *sources[MAX_SOURCES];
	size_t source_count;
	int stop_fd, ended_fd;
	pthread_t thread;
	bool running;
};

static void take_event(struct raw_sink *sink, const struct raw_event *ev)
{
	struct capture *c = (struct capture *)sink;

	compose_event(&c->compose, ev, c->now);
}

static void look_at_clocks(struct capture *c)
{
	c->now = mono_now();
	uint64_t back_ns = flow_clock_look(&c->clock, c->now, wall_now());
	name_quiet(c->compose.names, flow_clock_wall(&c->clock, c->now));
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
			if (source_drain(s, &c->sink, DRAIN_EVENTS) > 0)
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
				(void)source_drain(c->sources[i], &c->sink, DRAIN_EVENTS);
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
	uint64_t seed[2];
	if (getrandom(seed, sizeof seed, 0) != sizeof seed) {
		c->stop_fd = -1;
		return err_os(e, "random seed");
	}
	compose_init(&c->compose, config->log, config->dict, config->names, &c->clock, seed);
	c->compose.cilium = config->cilium;
	c->stop_fd = eventfd(0, EFD_CLOEXEC);
	if (c->stop_fd < 0)
		return err_os(e, "capture eventfd");
	memcpy(c->sources, config->sources, config->source_count * sizeof *c->sources);
	c->source_count = config->source_count;
	int os = pthread_create(&c->thread, NULL, capture_main, c);
	if (os) {
		c->source_count = 0; /* still the caller's */
		return err_errno(e, os, "start the capture thread");
	}
	c->running = true;
	(void)pthread_setname_np(c->thread, "tycho-capture");
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

struct compose_counts capture_counts(const struct capture *c)
{
	return compose_counts(&c->compose);
}
