#include "observer/export/export.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>

#include "base/counter.h"
#include "base/log.h"
#include "base/thread.h"
#include "base/watch.h"
#include "metrics/page.h"
#include "observer/export/backups.h"
#include "observer/export/exporter.h"

enum { BATCH_RECORDS = 256, BATCHES = 64 /* between two looks around */ };

struct export
{
	const struct flow_log *log;
	struct flow_log_bell *bell; /* the log's */
	struct exporter_env env;
	struct export_backups *backups;
	struct flow_batch *batch;
	uint64_t cursor;     /* the thread's own, as is what follows */
	struct wall_ns last; /* when a record was read last */
	char *file;          /* of dynamic exporters; NULL: none */
	struct file_watch *watch;
	char *failure;        /* why it could not be applied, as told last; NULL: it was */
	struct mono_ns retry; /* when that is tried again */
	/* The thread's, which alone changes them; guarded by exporters_mx for that and for others. */
	pthread_mutex_t exporters_mx;
	struct exporter *fixed; /* NULL: none */
	struct exporter *dynamic[EXPORT_SPECS];
	size_t dynamic_count;
	int stop_fd;
	pthread_t thread;
	bool running;
	_Atomic uint64_t at, missed;
	_Atomic uint64_t added, updated, removed, failed, hash, applied_s;
};

static struct export_now now_is(void)
{
	return (struct export_now){ wall_now(), mono_now() };
}

/* --- the file of dynamic exporters ------------------------------------------------------------ */

static struct exporter *find_exporter(const struct export *x, const char *name)
{
	for (size_t i = 0; i < x->dynamic_count; i++)
		if (strcmp(exporter_name(x->dynamic[i]), name) == 0)
			return x->dynamic[i];
	return NULL;
}

static bool is_among(const struct exporter *e, struct exporter *const *list, size_t n)
{
	while (n && list[n - 1] != e)
		n--;
	return n > 0;
}

/* The exporters of @specs: running ones where nothing changed, new ones otherwise. @ret, of
 * specs->count, is set as far as it came. */
static enum err_code make_exporters(const struct export *x, const struct export_specs *specs,
				    struct export_now now, struct exporter **ret, struct err *e)
{
	for (size_t i = 0; i < specs->count; i++) {
		const struct export_spec *s = &specs->specs[i];
		struct exporter *old = find_exporter(x, s->name);
		if (x->fixed && strcmp(exporter_path(x->fixed), s->path) == 0)
			return err_set(e, ERR_INVALID,
				       "'%s': filePath is that of --export-file-path",
				       EXCERPT(str_of(s->name)));
		if (old && str_eq(exporter_text(old), s->text))
			ret[i] = old;
		else if (exporter_new(s, &x->env, now, &ret[i], e) != ERR_OK)
			return err_in(e, "'%s'", EXCERPT(str_of(s->name)));
	}
	return ERR_OK;
}

/* @next takes the place of what runs. */
static void replace_exporters(struct export *x, struct exporter *const *next, size_t n,
			      struct export_now now)
{
	struct exporter *old[EXPORT_SPECS];
	size_t old_count = x->dynamic_count;

	for (size_t i = 0; i < n; i++) {
		const struct exporter *was = find_exporter(x, exporter_name(next[i]));
		if (was != next[i])
			counter_add(was ? &x->updated : &x->added, 1);
	}
	memcpy(old, x->dynamic, old_count * sizeof *old);
	(void)pthread_mutex_lock(&x->exporters_mx);
	memcpy(x->dynamic, next, n * sizeof *next);
	x->dynamic_count = n;
	(void)pthread_mutex_unlock(&x->exporters_mx);
	for (size_t i = 0; i < old_count; i++) {
		if (!find_exporter(x, exporter_name(old[i])))
			counter_add(&x->removed, 1);
		if (!is_among(old[i], next, n))
			exporter_free(old[i], now);
	}
}

static enum err_code apply(struct export *x, struct export_now now, struct err *e)
{
	AUTO_BUF struct buf text = buf_init(EXPORT_CONFIG_BYTES);
	AUTO(export_specs_free) struct export_specs *specs = NULL;
	struct exporter *next[EXPORT_SPECS] = { 0 };

	if (file_read(x->file, "the file of exporters", &text, e) != ERR_OK)
		return e->code;
	if (export_specs_yaml(buf_str(&text), &specs, e) != ERR_OK)
		return e->code;
	enum err_code code = make_exporters(x, specs, now, next, e);
	if (code == ERR_OK) {
		replace_exporters(x, next, specs->count, now);
		/* as a gauge can hold it */
		atomic_store(&x->hash,
			     hash_bytes(buf_str(&text).p, text.len, 0) & UINT64_C(0xffffffff));
		atomic_store(&x->applied_s, now.wall.v / NS_PER_S);
		return ERR_OK;
	}
	for (size_t i = 0; i < specs->count; i++)
		if (next[i] && !is_among(next[i], x->dynamic, x->dynamic_count))
			exporter_free(next[i], now);
	return code;
}

/* @is_retry: the file has not changed, and the same failure is no news. */
static void reload(struct export *x, struct export_now now, bool is_retry)
{
	struct err e;
	enum err_code code = apply(x, now, &e);
	bool is_news =
		!is_retry || (code != ERR_OK && x->failure && strcmp(x->failure, e.msg) != 0);

	free(x->failure);
	x->failure = NULL;
	if (code == ERR_OK) {
		log_info("exporters configured", "file=%s exporters=%zu", LOG_QUOTE(x->file),
			 x->dynamic_count);
		return;
	}
	x->failure = str_dup(str_of(e.msg));
	x->retry.v = now.mono.v + EXPORT_RETRY_MS * NS_PER_MS;
	if (!is_news)
		return;
	counter_add(&x->failed, 1);
	log_error("exporters not configured anew; the old ones stay", "file=%s err=%s",
		  LOG_QUOTE(x->file), LOG_QUOTE(e.msg));
}

/* --- the loop --------------------------------------------------------------------------------- */

static struct exporter *exporter_at(const struct export *x, size_t i)
{
	return i < x->dynamic_count ? x->dynamic[i] : i == x->dynamic_count ? x->fixed : NULL;
}

/* @return false when the log has no more. */
static bool read_batch(struct export *x, struct export_now now)
{
	uint64_t lost;
	size_t n = flow_log_read(x->log, &x->cursor, UINT64_MAX, x->batch, &lost);

	for (size_t i = 0; i <= x->dynamic_count; i++) {
		struct exporter *to = exporter_at(x, i);
		if (to && lost)
			exporter_put_overtaken(to, lost, x->last, now.wall, now);
		if (to && n)
			exporter_put(to, x->batch->flows, n, now);
	}
	if (n)
		x->last = now.wall;
	if (lost)
		counter_add(&x->missed, lost);
	return n || lost;
}

static void pass_all(struct export *x, struct export_now now)
{
	for (size_t i = 0; i <= x->dynamic_count; i++)
		if (exporter_at(x, i))
			exporter_pass(exporter_at(x, i), now);
	/* last: who sees that it has come so far finds all of it written */
	atomic_store_explicit(&x->at, x->cursor, memory_order_release);
}

static void *export_main(void *arg)
{
	struct export *x = arg;

	for (;;) {
		struct export_now now = now_is();
		bool more = false;
		flow_log_bell_set(x->bell);
		for (int i = 0; i < BATCHES && (more = read_batch(x, now)); i++) {
		}
		pass_all(x, now);
		struct pollfd fds[] = {
			{ .fd = x->stop_fd, .events = POLLIN },
			{ .fd = x->watch ? file_watch_fd(x->watch) : -1, .events = POLLIN },
			{ .fd = flow_log_bell_fd(x->bell), .events = POLLIN },
		};
		if (poll(fds, ARRAY_LEN(fds), more ? 0 : EXPORT_WAIT_MS) < 0 && errno != EINTR) {
			log_error("flows are exported no more: poll failed", "errno=%d", errno);
			return NULL;
		}
		if (fds[0].revents)
			break;
		if (fds[1].revents && file_watch_changed(x->watch))
			reload(x, now_is(), false);
		else if (x->failure && mono_now().v >= x->retry.v)
			reload(x, now_is(), true);
		if (fds[2].revents)
			flow_log_bell_hear(x->bell);
	}
	while (read_batch(x, now_is())) {
	}
	pass_all(x, now_is());
	return NULL;
}

static enum err_code open_fixed(struct export *x, const struct export_options *o, struct err *e)
{
	AUTO(export_specs_free) struct export_specs *specs = NULL;

	if (!o->path)
		return ERR_OK;
	if (export_specs_options(o, &specs, e) != ERR_OK)
		return e->code;
	return exporter_new(&specs->specs[0], &x->env, now_is(), &x->fixed, e);
}

static enum err_code open_dynamic(struct export *x, const struct export_options *o, struct err *e)
{
	if (!o->config)
		return ERR_OK;
	x->file = str_dup(str_of(o->config));
	if (!x->file)
		return err_set(e, ERR_NOMEM, "exporters");
	if (file_watch_new(x->file, &x->watch, e) != ERR_OK)
		return err_in(e, "--flowlogs-config-path");
	reload(x, now_is(), false); /* watched before it is read: no change falls between the two */
	return ERR_OK;
}

enum err_code export_new(const struct export_config *config, struct export **ret, struct err *e)
{
	struct err mine;
	AUTO(export_free) struct export *x = calloc(1, sizeof *x);

	e = e ? e : &mine;
	if (!x)
		return err_set(e, ERR_NOMEM, "exporters");
	*x = (struct export){ .log = config->log,
			      .cursor = flow_log_range(config->log).oldest,
			      .last = wall_now(),
			      .stop_fd = eventfd(0, EFD_CLOEXEC) };
	(void)pthread_mutex_init(&x->exporters_mx, NULL);
	if (x->stop_fd < 0)
		return err_os(e, "eventfd");
	if (flow_batch_new(x->log, BATCH_RECORDS, &x->batch, e) != ERR_OK ||
	    flow_log_bell_new(config->log, &x->bell, e) != ERR_OK ||
	    export_backups_new(&x->backups, e) != ERR_OK)
		return e->code;
	x->env = (struct exporter_env){ config->dict, config->node, x->backups };
	if (open_fixed(x, config->options, e) != ERR_OK ||
	    open_dynamic(x, config->options, e) != ERR_OK)
		return e->code;
	enum err_code code = thread_start("tycho-export", export_main, x, &x->thread, e);
	if (code != ERR_OK)
		return code;
	x->running = true;
	*ret = TAKE(x);
	return ERR_OK;
}

void export_free(struct export *x)
{
	if (!x)
		return;
	if (x->running) {
		uint64_t one = 1;
		(void)!write(x->stop_fd, &one, sizeof one);
		(void)pthread_join(x->thread, NULL);
	}
	for (size_t i = 0; i <= x->dynamic_count; i++)
		exporter_free(exporter_at(x, i), now_is());
	export_backups_free(x->backups); /* what they left to be packed is theirs */
	if (x->stop_fd >= 0)
		(void)close(x->stop_fd);
	(void)pthread_mutex_destroy(&x->exporters_mx);
	file_watch_free(x->watch);
	flow_batch_free(x->batch);
	free(x->failure);
	free(x->file);
	free(x);
}

/* --- what is told ----------------------------------------------------------------------------- */

void export_reader(const void *ctx, uint64_t *ret_lost, uint64_t *ret_lag)
{
	const struct export *x = ctx;
	uint64_t at = atomic_load_explicit(&x->at, memory_order_acquire);
	struct flow_log_range range = flow_log_range(x->log);

	*ret_lost = counter_get(&x->missed);
	*ret_lag = range.next - (at > range.oldest ? at : range.oldest);
}

static void put_labelled(struct metrics_page *p, const char *label, const char *value, uint64_t v)
{
	const struct page_label labels[] = { { label, str_of(value) } };

	page_u64(p, labels, 1, v);
}

/* Hubble's names. */
static void tell_dynamic(const struct export *x, struct metrics_page *p)
{
	size_t active = 0;

	for (size_t i = 0; i < x->dynamic_count; i++)
		active += exporter_counts(x->dynamic[i]).is_active;
	page_family(p, "hubble_dynamic_exporter_exporters_total", METRIC_GAUGE,
		    "Number of configured exporters");
	put_labelled(p, "status", "active", active);
	put_labelled(p, "status", "inactive", x->dynamic_count - active);
	page_family(p, "hubble_dynamic_exporter_up", METRIC_GAUGE,
		    "Whether an exporter's end is still to come");
	for (size_t i = 0; i < x->dynamic_count; i++)
		put_labelled(p, "name", exporter_name(x->dynamic[i]),
			     exporter_counts(x->dynamic[i]).is_active);
	page_family(p, "hubble_dynamic_exporter_reconfigurations_total", METRIC_COUNTER,
		    "Changes of exporters by the file, and files that were wrong");
	put_labelled(p, "op", "add", counter_get(&x->added));
	put_labelled(p, "op", "update", counter_get(&x->updated));
	put_labelled(p, "op", "remove", counter_get(&x->removed));
	put_labelled(p, "op", "failure", counter_get(&x->failed));
	page_gauge(p, "hubble_dynamic_exporter_config_hash", "Hash of the file applied last",
		   (double)counter_get(&x->hash));
	page_gauge(p, "hubble_dynamic_exporter_config_last_applied",
		   "When a file was applied last, in seconds since 1970",
		   (double)counter_get(&x->applied_s));
}

static void tell_each(const struct export *x, struct metrics_page *p, const char *name,
		      const char *help, uint64_t (*figure)(const struct exporter_counts *))
{
	page_family(p, name, METRIC_COUNTER, help);
	for (size_t i = 0; i <= x->dynamic_count; i++) {
		const struct exporter *e = exporter_at(x, i);
		if (!e)
			continue;
		const struct exporter_counts c = exporter_counts(e);
		const struct page_label labels[] = { { "kind", str_of(e == x->fixed ? "static"
										    : "dynamic") },
						     { "name", str_of(exporter_name(e)) } };
		page_u64(p, labels, ARRAY_LEN(labels), figure(&c));
	}
}

static uint64_t lines_of(const struct exporter_counts *c)
{
	return c->lines;
}

static uint64_t bytes_of(const struct exporter_counts *c)
{
	return c->bytes;
}

static uint64_t lost_of(const struct exporter_counts *c)
{
	return c->lost;
}

static uint64_t rotations_of(const struct exporter_counts *c)
{
	return c->rotations;
}

static uint64_t faults_of(const struct exporter_counts *c)
{
	return c->faults;
}

void export_collect(void *ctx, struct metrics_page *page)
{
	struct export *x = ctx;

	(void)pthread_mutex_lock(&x->exporters_mx);
	if (x->file)
		tell_dynamic(x, page);
	tell_each(x, page, "tycho_export_lines_total", "Lines that an exporter has written",
		  lines_of);
	tell_each(x, page, "tycho_export_bytes_total", "Bytes of these lines", bytes_of);
	tell_each(x, page, "tycho_export_lost_lines_total",
		  "Lines that an exporter could not write", lost_of);
	tell_each(x, page, "tycho_export_rotations_total",
		  "How often an exporter's file was full, and another begun", rotations_of);
	tell_each(x, page, "tycho_export_filter_faults_total",
		  "Flows on which an expression of an exporter's filter failed", faults_of);
	(void)pthread_mutex_unlock(&x->exporters_mx);
}
