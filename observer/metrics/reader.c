#include "observer/metrics/reader.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/eventfd.h>

#include "base/counter.h"
#include "base/log.h"
#include "base/thread.h"
#include "base/watch.h"
#include "flow/wire.h"
#include "observer/metrics/config.h"
#include "observer/metrics/flow_metrics.h"
#include "observer/metrics/gone.h"

enum {
	BATCH_RECORDS = 128,
	LOST_SOURCE = 1, /* flow.LostEvent */
	LOST_COUNT = 2,
};

struct metrics_reader {
	const struct flow_log *log;
	struct flow_log_bell *bell; /* the log's */
	struct flow_metrics *metrics;
	char *file; /* own; NULL: none */
	struct file_watch *watch;
	struct gone *gone;      /* NULL: nobody's pods are followed */
	struct mono_ns gone_at; /* when it was last looked at */
	struct flow_batch *batch;
	uint64_t cursor; /* the thread's own */
	int stop_fd;
	pthread_t thread;
	bool running;
	_Atomic uint64_t at, records, missed, reloads, bad_reloads;
	_Atomic uint64_t lost_events[LOST_SOURCES];
};

static void reload(struct metrics_reader *r)
{
	AUTO_BUF struct buf text = buf_init(METRICS_CONFIG_BYTES);
	struct err e;
	enum err_code code = file_read(r->file, "the metrics file", &text, &e);

	if (code == ERR_OK)
		code = flow_metrics_file(r->metrics, buf_str(&text), &e);
	if (code == ERR_OK)
		log_info("metrics configured", "file=%s", LOG_QUOTE(r->file));
	else
		log_error("metrics not configured anew; the old ones stay", "file=%s err=%s",
			  LOG_QUOTE(r->file), LOG_QUOTE(e.msg));
	counter_add(code == ERR_OK ? &r->reloads : &r->bad_reloads, 1);
}

static void take_lost(struct metrics_reader *r, const struct flow *f)
{
	struct wire_reader w = wire_reader_of(str_n(f->ext, f->ext_len));
	uint64_t source = 0, n = 0;

	for (struct wire_field x; wire_next(&w, &x);)
		if (x.type == WIRE_VARINT && x.number == LOST_SOURCE)
			source = x.value;
		else if (x.type == WIRE_VARINT && x.number == LOST_COUNT)
			n = x.value;
	counter_add(&r->lost_events[source < LOST_SOURCES ? source : 0], n);
}

/* @return false when there is no more for now. */
static bool read_batch(struct metrics_reader *r)
{
	uint64_t lost;
	size_t n = flow_log_read(r->log, &r->cursor, UINT64_MAX, r->batch, &lost);

	if (lost)
		counter_add(&r->missed, lost);
	for (size_t i = 0; i < n; i++)
		if (r->batch->flows[i].kind == FLOW_KIND_LOST)
			take_lost(r, &r->batch->flows[i]);
	if (n)
		flow_metrics_count(r->metrics, r->batch->flows, n, wall_now());
	atomic_store_explicit(&r->at, r->cursor, memory_order_relaxed);
	/* last: whoever sees the records counted sees all that came of them */
	atomic_store_explicit(&r->records, counter_get(&r->records) + n, memory_order_release);
	return n || lost;
}

static void forget(void *ctx, struct str namespace_, struct str pod)
{
	struct metrics_reader *r = ctx;

	(void)flow_metrics_forget_pod(r->metrics, namespace_, pod);
}

static void look_at_pods(struct metrics_reader *r)
{
	struct mono_ns now = mono_now();

	if (!r->gone || now.v - r->gone_at.v < GONE_LOOK_EVERY_S * NS_PER_S)
		return;
	r->gone_at = now;
	gone_look(r->gone, now, forget, r);
}

static void *read_main(void *arg)
{
	struct metrics_reader *r = arg;

	for (;;) {
		bool more = false;
		flow_log_bell_set(r->bell);
		for (int i = 0; i < 64 && (more = read_batch(r)); i++) {
		}
		look_at_pods(r);
		struct pollfd fds[] = {
			{ .fd = r->stop_fd, .events = POLLIN },
			{ .fd = r->watch ? file_watch_fd(r->watch) : -1, .events = POLLIN },
			{ .fd = flow_log_bell_fd(r->bell), .events = POLLIN },
		};
		if (poll(fds, ARRAY_LEN(fds), more ? 0 : READER_WAIT_MS) < 0 && errno != EINTR) {
			log_error("flows are counted no more: poll failed", "errno=%d", errno);
			return NULL;
		}
		if (fds[0].revents)
			return NULL;
		if (fds[1].revents && file_watch_changed(r->watch))
			reload(r);
		if (fds[2].revents)
			flow_log_bell_hear(r->bell);
	}
}

enum err_code metrics_reader_new(const struct metrics_reader_config *config,
				 struct metrics_reader **ret, struct err *e)
{
	struct err mine;
	e = e ? e : &mine;
	AUTO(metrics_reader_free) struct metrics_reader *r = calloc(1, sizeof *r);
	if (!r)
		return err_set(e, ERR_NOMEM, "reader of metrics");
	r->log = config->log;
	r->metrics = config->metrics;
	r->stop_fd = eventfd(0, EFD_CLOEXEC);
	if (r->stop_fd < 0)
		return err_os(e, "eventfd");
	if (flow_batch_new(r->log, BATCH_RECORDS, &r->batch, e) != ERR_OK ||
	    flow_log_bell_new(config->log, &r->bell, e) != ERR_OK)
		return e->code;
	if (config->names && gone_new(config->names, config->dict, &r->gone, e) != ERR_OK)
		return e->code;
	if (config->file) {
		r->file = str_dup(str_of(config->file));
		if (!r->file)
			return err_set(e, ERR_NOMEM, "reader of metrics");
		if (file_watch_new(r->file, &r->watch, e) != ERR_OK)
			return e->code;
		reload(r); /* watched before it is read: no change falls between the two */
	}
	enum err_code code = thread_start("tycho-metrics", read_main, r, &r->thread, e);
	if (code != ERR_OK)
		return code;
	r->running = true;
	*ret = TAKE(r);
	return ERR_OK;
}

void metrics_reader_free(struct metrics_reader *r)
{
	if (!r)
		return;
	if (r->running) {
		uint64_t one = 1;
		(void)!write(r->stop_fd, &one, sizeof one);
		(void)pthread_join(r->thread, NULL);
	}
	if (r->stop_fd >= 0)
		(void)close(r->stop_fd);
	gone_free(r->gone);
	file_watch_free(r->watch);
	flow_batch_free(r->batch);
	free(r->file);
	free(r);
}

struct metrics_reader_counts metrics_reader_counts(const struct metrics_reader *r)
{
	uint64_t records = atomic_load_explicit(&r->records, memory_order_acquire);
	uint64_t at = counter_get(&r->at);
	struct flow_log_range range = flow_log_range(r->log);
	struct metrics_reader_counts c = {
		.records = records,
		.missed = counter_get(&r->missed),
		.lag = range.next - (at > range.oldest ? at : range.oldest),
		.reloads = counter_get(&r->reloads),
		.bad_reloads = counter_get(&r->bad_reloads),
	};

	for (size_t i = 0; i < LOST_SOURCES; i++)
		c.lost_events[i] = counter_get(&r->lost_events[i]);
	return c;
}
