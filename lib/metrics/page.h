/*
 * page - the two text formats in which metrics are told, written family by family.
 *
 *	page_family(p, "tycho_flows_total", METRIC_COUNTER, "Flows seen");
 *	page_u64(p, labels, n, 42);
 *
 * Source   Prometheus text format 0.0.4; OpenMetrics 1.0: counter families lose their "_total",
 *          numbers are floats, "# EOF" ends the page.
 * Limits   names and help texts are the program's own and written as they are; label values are
 *          anybody's and are escaped.
 */
#ifndef TYCHO_METRICS_PAGE_H
#define TYCHO_METRICS_PAGE_H

#include "base/buf.h"
#include "base/time.h"

enum metric_type { METRIC_COUNTER, METRIC_GAUGE, METRIC_HISTOGRAM };
enum page_format { PAGE_TEXT, PAGE_OPENMETRICS };

struct metrics_page {
	struct buf *out;
	enum page_format format;
	const char *family; /* the one begun last */
};

struct page_label {
	const char *name;
	struct str value;
};

/* Begins a family; samples follow. */
void page_family(struct metrics_page *p, const char *name, enum metric_type type, const char *help);
void page_u64(struct metrics_page *p, const struct page_label *labels, size_t n, uint64_t v);
void page_double(struct metrics_page *p, const struct page_label *labels, size_t n, double v);
/* A family of one sample without labels. */
void page_counter(struct metrics_page *p, const char *name, const char *help, uint64_t v);
void page_gauge(struct metrics_page *p, const char *name, const char *help, double v);
/* The end of the whole page. */
void page_end(struct metrics_page *p);

/* Observations by size; bounds are Prometheus' usual ones, 5 ms to 10 s. */
enum { HISTOGRAM_BOUNDS = 11 };
extern const double histogram_bounds[HISTOGRAM_BOUNDS];
struct histogram {
	uint64_t buckets[HISTOGRAM_BOUNDS + 1]; /* each value in one; the last has no bound */
	double sum;
};
/* The bucket of @value. NaN is in the last one. */
size_t histogram_bucket(double value);
static inline void histogram_observe(struct histogram *h, double value)
{
	h->buckets[histogram_bucket(value)]++;
	h->sum += value;
}
void page_histogram(struct metrics_page *p, const struct page_label *labels, size_t n,
		    const struct histogram *h);

/* --- pieces, for who keeps label texts ready ----------------------------------------------- */

/* A value of PAGE_VALUE_BYTES or less that stands for one of any length, put together from pieces:
 * what is longer becomes its beginning, cut at a character, "…" and a hash of it all, always the
 * same, so that two that begin alike stay two. Fails as the buffer does. The labels of a real
 * identity are up to 1,300 bytes together. */
enum { PAGE_VALUE_BYTES = 2048 };
struct page_value {
	struct buf *to;
	size_t from; /* where it begins */
	uint64_t rest;
	bool is_long;
};
struct page_value page_value_begin(struct buf *to);
void page_value_put(struct page_value *v, struct str piece);
/* @return its bytes; they begin at v->from. */
size_t page_value_end(struct page_value *v);

/* name="value", the value as page_value has it, escaped and made UTF-8. */
void page_label_put(struct buf *b, const char *name, struct str value);
/* A number as the format has it. */
void page_number_put(struct buf *b, enum page_format format, double v);
/* "# {traceID=…} value time", or nothing where @trace is "" or the format has none. */
struct page_exemplar {
	struct str trace;
	double value;
	struct wall_ns when;
};
/* family + suffix{labels[,extra]} value[exemplar]; both label texts as page_label_put writes them.
 */
void page_line(struct metrics_page *p, const char *suffix, struct str labels, struct str extra,
	       uint64_t v, const struct page_exemplar *exemplar);
/* As page_histogram, with a label text; @exemplars: one a bucket, NULL: none. */
void page_histogram_lines(struct metrics_page *p, struct str labels, const struct histogram *h,
			  const struct page_exemplar *exemplars);

#endif
