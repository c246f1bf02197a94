/*
 * metrics_reader - one more cursor on the flow log: reads everything and has it counted.
 *
 *	flow log ──► batches ──► flow_metrics_count
 *	         └─► LOST records ──► counts by source
 *	--metrics-config file ──► flow_metrics_file, when it changes
 *	names ──► pods that are gone ──► flow_metrics_forget_pod
 *
 * Threads  metrics_reader_new starts one ("tycho-metrics"), metrics_reader_free stops and joins it.
 *          It looks at the log every READER_WAIT_MS, and when the log's bell tells that a quarter
 *          of it is new.
 * Loss     when the log overtakes it, it is told how much, and tells on.
 */
#ifndef TYCHO_OBSERVER_METRICS_READER_H
#define TYCHO_OBSERVER_METRICS_READER_H

#include "base/err.h"
#include "observer/log/log.h"

struct flow_dict;
struct flow_metrics;
struct metrics_reader;
struct name_table;

enum { READER_WAIT_MS = 50 };

struct metrics_reader_config {
	struct flow_log *log; /* borrowed, as is metrics */
	struct flow_metrics *metrics;
	/* Whose pods' series are removed when they are gone (gone.h); NULL: nobody's. Borrowed. */
	struct name_table *names;
	const struct flow_dict *dict;
	/* Configuration to follow; NULL: none. It need not exist, its folder must. */
	const char *file;
};

/* Reads the file before it returns; a bad one is logged, and the metrics come when it is mended. */
MUST_CHECK enum err_code metrics_reader_new(const struct metrics_reader_config *config,
					    struct metrics_reader **ret, struct err *e);
void metrics_reader_free(struct metrics_reader *r);
AUTO_DEFINE(struct metrics_reader, metrics_reader_free);

/* flow.LostEventSource, 0 to 3 */
enum { LOST_SOURCES = 4 };
struct metrics_reader_counts {
	uint64_t records;                   /* read, of every kind */
	uint64_t missed;                    /* overtaken by the log */
	uint64_t lag;                       /* records in the log that are not read yet */
	uint64_t lost_events[LOST_SOURCES]; /* what LOST records say */
	uint64_t reloads, bad_reloads;      /* of the file */
};
/* Any thread. */
struct metrics_reader_counts metrics_reader_counts(const struct metrics_reader *r);

#endif
