#include "observer/drop_events/drop_events.h"

#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/random.h>

#include "base/buf.h"
#include "base/counter.h"
#include "base/log.h"
#include "base/thread.h"
#include "metrics/page.h"
#include "observer/drop_events/message.h"
#include "observer/drop_events/post.h"
#include "observer/drop_events/whose.h"

enum {
	BATCH_RECORDS = 128,
	BATCHES = 64, /* between two looks at the API server */
	LOOK_MS = 200,
};

struct drop_events {
	/* immutable after start */
	const struct flow_log *log;
	const struct flow_dict *dict;
	struct local_pods *pods;
	struct drop_wanted wanted;
	bool kernel_drops;
	char *node;
	int stop_fd;
	pthread_t thread;
	bool running;
	/* the thread's own */
	struct flow_log_bell *bell; /* the log's */
	struct flow_batch *batch;
	struct drop_limiter *limiter;
	struct drop_post *post;
	uint64_t cursor;
	/* any thread */
	_Atomic uint64_t outcomes[DROP_OUT_COUNT_], waiting, missed, at;
};

/* ---- drops */

static void take_drop(struct drop_events *d, const struct flow *f, struct mono_ns now)
{
	static const enum drop_outcome outcomes[] = { [DROP_REPEATED] = DROP_OUT_REPEATED,
						      [DROP_RATE] = DROP_OUT_RATE,
						      [DROP_FULL] = DROP_OUT_QUEUE };
	char text[DROP_MESSAGE_BYTES];
	struct buf message = buf_fixed(text, sizeof text);
	struct drop_side side;

	if (!drop_whose(f, d->dict, d->pods, &side)) {
		counter_add(&d->outcomes[DROP_OUT_ELSEWHERE], 1);
		return;
	}
	drop_message_put(&message, f, d->dict, side.incoming, d->wanted.extended);
	const struct drop_what what = { .namespace_ = side.pod->namespace_,
					.pod = side.pod->pod,
					.uid = str_of(side.uid),
					.message = buf_str(&message) };
	enum drop_limit limit = drop_limiter_take(
		d->limiter, &what, flow_is(f, FLOW_HAS_TIME) ? f->time : wall_now(), now);
	if (limit != DROP_TELL)
		counter_add(&d->outcomes[outcomes[limit]], 1);
}

/* @return false when the log has no more. */
static bool read_batch(struct drop_events *d)
{
	uint64_t lost;
	size_t n = flow_log_read(d->log, &d->cursor, UINT64_MAX, d->batch, &lost);
	struct mono_ns now = mono_now();

	if (lost)
		counter_add(&d->missed, lost);
	for (size_t i = 0; i < n; i++)
		if (drop_is_wanted(&d->wanted, &d->batch->flows[i], d->kernel_drops))
			take_drop(d, &d->batch->flows[i], now);
	atomic_store_explicit(&d->waiting, drop_limiter_waiting(d->limiter), memory_order_relaxed);
	/* last: whoever sees how far it has read sees all that came of it */
	atomic_store_explicit(&d->at, d->cursor, memory_order_release);
	return n || lost;
}

/* ---- events */

/* @return true if the next request may be begun at once. */
static bool post(struct drop_events *d, struct mono_ns now)
{
	struct drop_note *next = drop_limiter_next(d->limiter);
	enum drop_post_result result = drop_post_step(d->post, next, now);

	if (result == POST_TOLD)
		drop_limiter_told(d->limiter);
	else if (result == POST_FAILED)
		drop_limiter_failed(d->limiter);
	if (result == POST_TOLD || result == POST_FAILED)
		counter_add(&d->outcomes[result == POST_TOLD ? DROP_OUT_TOLD : DROP_OUT_FAILED], 1);
	atomic_store_explicit(&d->waiting, drop_limiter_waiting(d->limiter), memory_order_relaxed);
	return result != POST_BUSY && drop_limiter_next(d->limiter) &&
	       drop_post_due(d->post).v <= now.v;
}

static int wait_ms(const struct drop_events *d)
{
	uint64_t now = mono_now().v, due = drop_post_due(d->post).v;

	if (!drop_limiter_next(d->limiter) || due <= now)
		return LOOK_MS;
	uint64_t ms = (due - now) / NS_PER_MS + 1;
	return ms < LOOK_MS ? (int)ms : LOOK_MS;
}

static bool is_over(const struct drop_events *d)
{
	uint64_t one;

	return read(d->stop_fd, &one, sizeof one) == sizeof one;
}

static void *events_main(void *arg)
{
	struct drop_events *d = arg;
	const int fds[] = { d->stop_fd, flow_log_bell_fd(d->bell) };

	while (!is_over(d)) {
		bool more = false;
		flow_log_bell_set(d->bell);
		for (int i = 0; i < BATCHES && (more = read_batch(d)); i++) {
		}
		more |= post(d, mono_now());
		drop_post_wait(d->post, fds, ARRAY_LEN(fds), more ? 0 : wait_ms(d));
		flow_log_bell_hear(d->bell);
	}
	return NULL;
}

/* ---- construction */

static enum err_code make(struct drop_events *d, const struct drop_events_config *config,
			  struct err *e)
{
	struct kube_config *kube = NULL;
	uint64_t random[2];

	d->node = str_dup(str_of(config->node));
	d->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (!d->node)
		return err_set(e, ERR_NOMEM, "drop events");
	if (d->stop_fd < 0)
		return err_os(e, "eventfd");
	if (getrandom(random, sizeof random, 0) != sizeof random)
		return err_os(e, "random numbers");
	const struct drop_limiter_config limits = { .interval_ns = d->wanted.interval_ns,
						    .rate = d->wanted.rate,
						    .seed = random[0],
						    .number = wall_now().v };
	enum err_code code = drop_limiter_new(&limits, &d->limiter, e);
	if (code == ERR_OK)
		code = kube_config_read(config->kubeconfig, config->context, &kube, e);
	if (code == ERR_OK)
		code = drop_post_new(kube, d->node, random[1], &d->post, e);
	if (code == ERR_OK)
		code = flow_batch_new(d->log, BATCH_RECORDS, &d->batch, e);
	return code == ERR_OK ? flow_log_bell_new(config->log, &d->bell, e) : code;
}

enum err_code drop_events_new(const struct drop_events_config *config, struct drop_events **ret,
			      struct err *e)
{
	struct err mine;
	e = e ? e : &mine;
	AUTO(drop_events_free) struct drop_events *d = calloc(1, sizeof *d);
	if (!d)
		return err_set(e, ERR_NOMEM, "drop events");
	d->stop_fd = -1;
	d->log = config->log;
	d->dict = config->dict;
	d->pods = config->pods;
	d->wanted = config->wanted;
	d->kernel_drops = config->kernel_drops;
	d->cursor = flow_log_range(config->log).oldest;
	if (make(d, config, e) != ERR_OK)
		return err_in(e, "%s", "--drop-events");
	enum err_code code = thread_start("tycho-drops", events_main, d, &d->thread, e);
	if (code != ERR_OK)
		return code;
	d->running = true;
	*ret = TAKE(d);
	return ERR_OK;
}

void drop_events_free(struct drop_events *d)
{
	if (!d)
		return;
	if (d->running) {
		uint64_t one = 1;
		(void)!write(d->stop_fd, &one, sizeof one);
		(void)pthread_join(d->thread, NULL);
	}
	if (d->stop_fd >= 0)
		(void)close(d->stop_fd);
	drop_post_free(d->post);
	drop_limiter_free(d->limiter);
	flow_batch_free(d->batch);
	free(d->node);
	free(d);
}

/* ---- counts */

struct drop_events_counts drop_events_counts(const struct drop_events *d)
{
	uint64_t at = atomic_load_explicit(&d->at, memory_order_acquire);
	struct flow_log_range range = flow_log_range(d->log);
	struct drop_events_counts c = {
		.waiting = counter_get(&d->waiting),
		.missed = counter_get(&d->missed),
		.lag = range.next - (at > range.oldest ? at : range.oldest),
	};

	for (size_t i = 0; i < DROP_OUT_COUNT_; i++)
		c.outcomes[i] = counter_get(&d->outcomes[i]);
	return c;
}

void drop_events_reader(const void *ctx, uint64_t *ret_lost, uint64_t *ret_lag)
{
	const struct drop_events_counts c = drop_events_counts(ctx);

	*ret_lost = c.missed;
	*ret_lag = c.lag;
}

void drop_events_collect(void *ctx, struct metrics_page *page)
{
	static const char *const names[] = {
		[DROP_OUT_TOLD] = "told",     [DROP_OUT_REPEATED] = "repeated",
		[DROP_OUT_RATE] = "rate",     [DROP_OUT_QUEUE] = "queue",
		[DROP_OUT_FAILED] = "failed", [DROP_OUT_ELSEWHERE] = "elsewhere",
	};
	_Static_assert(ARRAY_LEN(names) == DROP_OUT_COUNT_, "an outcome without a name");
	const struct drop_events_counts c = drop_events_counts(ctx);

	page_family(page, "tycho_drop_events_drops_total", METRIC_COUNTER,
		    "Drops that could be told as events of Kubernetes, by what came of it");
	for (size_t i = 0; i < DROP_OUT_COUNT_; i++) {
		const struct page_label label = { "outcome", str_of(names[i]) };
		page_u64(page, &label, 1, c.outcomes[i]);
	}
	page_gauge(page, "tycho_drop_events_waiting", "Drops that are about to be told",
		   (double)c.waiting);
}
