/*
 * metrics - families of bounded series, and the callbacks that are asked at each scrape.
 *
 *	metric_series_get(values) ──► ref ──► metric_add          kept here: many, bounded, folded
 *	metrics_collect(callback) ──► writes to the page itself    kept by others: few, always there
 *	metrics_write ──► all families by name, then what the callbacks say
 *
 * Shape    at most @series_max series over all families. When one more is wanted, the least active
 *          sixteenth folds: a series folds into the one of its family whose *open* labels (those
 *          whose values nobody bounds: pods, addresses, queries) all say "other"; when nothing is
 *          left but those, into the one where every label does. What a folded series had already
 *          told stays told under its own name; what it had not is told under the new one. So
 *          rate() and increase() over all series stay exact, and no alert sees a jump.
 * Values   of labels are any bytes, as page_label_put writes them: valid UTF-8, escaped; long ones
 *          are cut and told apart by a hash.
 * Owner    the registry owns families, a family its series. A ref is the caller's to keep: it says
 *          itself when its series is gone (folded, removed).
 * Threads  everything between metrics_lock and metrics_unlock, which metrics_write takes by itself;
 *          callbacks run without it, on the thread that writes.
 * Loss     no memory for a series: what would be counted there is counted in
 *          metrics_counts.refused.
 */
#ifndef TYCHO_METRICS_METRICS_H
#define TYCHO_METRICS_METRICS_H

#include "base/err.h"
#include "metrics/page.h"

enum { METRIC_LABELS_MAX = 32, METRIC_VALUE_BYTES = PAGE_VALUE_BYTES, METRIC_TRACE_BYTES = 64 };

struct metrics;
struct metric_family;

struct metric_label {
	const char *name; /* borrowed for the family's life */
	bool is_open;     /* its values are not bounded by the program: folds first */
};
struct metric_spec {
	const char *name, *help; /* name with "_total" for counters; borrowed */
	enum metric_type type;   /* METRIC_COUNTER or METRIC_HISTOGRAM (of page.h's usual bounds) */
	const struct metric_label *labels;
	size_t label_count;
};

/* The head of a series; the rest is private. */
struct metric_series {
	uint64_t count;  /* a counter's value, a histogram's observations */
	uint32_t serial; /* grows when the series ends, and its memory is used for another */
};
struct metric_ref {
	struct metric_series *series; /* NULL: none could be had */
	uint32_t serial;
};

/* @series_max at least 64. */
MUST_CHECK enum err_code metrics_new(size_t series_max, struct metrics **ret, struct err *e);
void metrics_free(struct metrics *m);
AUTO_DEFINE(struct metrics, metrics_free);

void metrics_lock(struct metrics *m);
void metrics_unlock(struct metrics *m);

/* ERR_EXISTS: the name is taken. */
MUST_CHECK enum err_code metric_family_new(struct metrics *m, const struct metric_spec *spec,
					   struct metric_family **ret, struct err *e);
/* With all its series; refs into it may not be used any more. NULL is a no-op. */
void metric_family_free(struct metric_family *f);

/* The series with these values, in the order of the spec's labels; made if it is new. */
struct metric_ref metric_series_get(struct metric_family *f, const struct str *values);
static inline bool metric_ref_is_live(struct metric_ref ref)
{
	return ref.series && ref.series->serial == ref.serial;
}
/* Of a live ref. */
static inline void metric_add(struct metric_ref ref, uint64_t n)
{
	ref.series->count += n;
}
void metric_observe(struct metric_ref ref, double value);
/* Remembers @trace beside the observation of @value (counters: what was added), for OpenMetrics.
 * One longer than METRIC_TRACE_BYTES is left out. After metric_add or metric_observe. */
void metric_exemplar(struct metric_ref ref, struct str trace, double value, struct wall_ns when);
/* What could not be counted for want of a series. */
void metric_refused(struct metrics *m, uint64_t n);

/* Removes the series whose labels (indices into the spec) have these values, all of them. @return
 * how many. */
struct metric_match {
	size_t label;
	struct str value;
};
size_t metric_series_remove(struct metric_family *f, const struct metric_match *match, size_t n);

struct metrics_counts {
	size_t series, series_max;
	uint64_t folded;  /* series */
	uint64_t removed; /* series, by metric_series_remove */
	uint64_t refused; /* increments */
};
/* Takes the lock. */
struct metrics_counts metrics_counts(struct metrics *m);

/* @collect writes families of its own to each page. Before the first metrics_write. */
typedef void metrics_collect_fn(void *ctx, struct metrics_page *page);
MUST_CHECK enum err_code metrics_collect(struct metrics *m, metrics_collect_fn *collect, void *ctx,
					 struct err *e);

/* Appends the whole page. Takes the lock itself. ERR_NOMEM: it does not fit into @out. */
MUST_CHECK enum err_code metrics_write(struct metrics *m, enum page_format format, struct buf *out,
				       struct err *e);
/* Only the families kept here, without callbacks. */
MUST_CHECK enum err_code metrics_write_families(struct metrics *m, enum page_format format,
						struct buf *out, struct err *e);

#endif
