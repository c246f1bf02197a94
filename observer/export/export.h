/*
 * export - the exporters: one more cursor on the flow log, whose records go into files.
 *
 *	flow log ──cursor──► batches ──► each exporter
 *	                └ overtaken: a lost_events line, and a count
 *	--flowlogs-config-path file ──► dynamic exporters, when it changes
 *
 * Threads  one of its own, "tycho-export", and "tycho-gzip" (backups.h). It looks at the log every
 *          EXPORT_WAIT_MS, and when the log's bell tells that a quarter of it is new.
 * Loss     a disk that is slow, or full, costs lines, which are counted; never capture.
 * File     it is followed; one that is wrong leaves everything as it is, and counts a failure. Only
 *          exporters whose entry changed are made anew. One that could not be applied is tried
 *          again every EXPORT_RETRY_MS.
 */
#ifndef TYCHO_OBSERVER_EXPORT_H
#define TYCHO_OBSERVER_EXPORT_H

#include "base/err.h"
#include "observer/export/config.h"
#include "observer/log/log.h"

struct export;
struct flow_dict;
struct metrics_page;

enum { EXPORT_WAIT_MS = 100, EXPORT_RETRY_MS = 5000 };

struct export_config {
	const struct export_options *options; /* borrowed for the call; of its texts, the config
						 file's name for life */
	struct flow_log *log;                 /* borrowed */
	const struct flow_dict *dict;         /* borrowed */
	const char *node;                     /* borrowed: this node's name, without its cluster */
};

/* Begins with the oldest record of the log. ERR_INVALID and what opening a file says, with the
 * option. A file of dynamic exporters that is wrong is logged; they come when it is mended. */
MUST_CHECK enum err_code export_new(const struct export_config *config, struct export **ret,
				    struct err *e);
/* Writes what the log still holds, and ends. */
void export_free(struct export *x);
AUTO_DEFINE(struct export, export_free);

/* Any thread; @ctx is a struct export. How many records the log overwrote before they were read, and
 * how many in it are not exported yet. */
void export_reader(const void *ctx, uint64_t *ret_lost, uint64_t *ret_lag);
/* A metrics_collect_fn; @ctx is a struct export. */
void export_collect(void *ctx, struct metrics_page *page);

#endif
